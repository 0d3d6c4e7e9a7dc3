"""The belief about a new user: Gaussian conditioning, and questions worth asking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from ranking.onboarding import (
    DISLIKED,
    LIKED,
    NOISE,
    Answer,
    answered,
    covariance_of,
    learn_taste,
    no_taste,
    prior_belief,
    questions,
)

SEEDS = st.integers(0, 2**32 - 1)
SAID = st.sampled_from([True, False, None])


def catalogue(seed, items=30, dim=6, people=40):
    random = np.random.default_rng(seed)
    content = random.normal(size=(items, dim)).astype(np.float32)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    likes = content @ random.normal(size=(dim, people)) + 0.3 * random.normal(size=(items, people))
    taken = csr_matrix((likes > np.quantile(likes, 0.8)).astype(np.float64).T)
    return content, taken, random


def believed(taste, content, scores=None):
    return prior_belief(taste, covariance_of(taste, content), scores)


def ask_all(belief, known, said, count=5):
    """Ask one at a time; the items in order and the belief at the end."""
    asked, beliefs = [], [belief]
    for liked in said[:count]:
        (item,) = questions(belief, known, 1, asked)
        asked.append(item)
        belief = belief.after(item, Answer.of(liked))
        beliefs.append(belief)
    return asked, beliefs


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, said=st.lists(SAID, min_size=1, max_size=8))
def test_no_item_is_asked_twice_and_every_answer_makes_the_belief_surer(seed, said) -> None:
    content, taken, random = catalogue(seed)
    belief = believed(learn_taste(content, taken), content, random.normal(size=len(content)))
    known = random.uniform(0, 1, len(content))
    asked, beliefs = ask_all(belief, known, said, len(said))
    assert len(set(asked)) == len(asked)
    for before, after, item in zip(beliefs, beliefs[1:], asked, strict=False):
        assert np.all(after.variances <= before.variances + 1e-9)
        assert after.variances[item] < before.variances[item]
        assert after.variances.sum() < before.variances.sum()
    assert np.linalg.eigvalsh(beliefs[-1].covariance).min() > -1e-8


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, item=st.integers(0, 29))
def test_a_liked_item_rises_a_disliked_one_falls_and_their_neighbours_with_them(seed, item) -> None:
    content, taken, _ = catalogue(seed)
    taste = learn_taste(content, taken)
    belief = believed(taste, content)
    up, down = belief.after(item, Answer.of(True)), belief.after(item, Answer.of(False))
    assert up.means[item] > belief.means[item] > down.means[item]
    near = np.argmax(np.delete(belief.covariance[item], item))
    near += near >= item
    if belief.covariance[item, near] > 1e-6:
        assert up.means[near] > belief.means[near] > down.means[near]


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, said=st.lists(SAID, min_size=1, max_size=6))
def test_answer_by_answer_or_all_at_once_in_content_space_it_is_the_same_belief(seed, said) -> None:
    content, taken, random = catalogue(seed)
    taste = learn_taste(content, taken)
    belief = believed(taste, content, random.normal(size=len(content)))
    items = random.permutation(len(content))[: len(said)]
    after = belief
    for item, liked in zip(items, said, strict=True):
        after = after.after(int(item), Answer.of(liked))
    moved = answered(taste, content[items], belief.means[items], [Answer.of(one) for one in said])
    assert np.allclose(content @ moved, after.means - belief.means, atol=1e-4)


def test_conditioning_agrees_with_a_gaussian_process_of_another_library() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import DotProduct

    content, _, _ = catalogue(3)
    taste = no_taste(content.shape[1])
    belief = believed(taste, content)
    said = {4: True, 9: False, 17: True}
    for item, liked in said.items():
        belief = belief.after(item, Answer.of(liked))
    scale = taste.covariance[0, 0]
    kernel = scale * DotProduct(sigma_0=0.0, sigma_0_bounds="fixed")
    reference = GaussianProcessRegressor(kernel, alpha=NOISE, optimizer=None)
    values = np.array([LIKED if liked else DISLIKED for liked in said.values()])
    reference.fit(content[list(said)].astype(float), values - taste.rate)
    means, deviations = reference.predict(content.astype(float), return_std=True)
    assert np.allclose(belief.means, means + taste.rate, atol=1e-6)
    assert np.allclose(np.sqrt(belief.variances), deviations, atol=1e-6)


def test_the_first_question_is_the_one_that_takes_most_variance_off() -> None:
    content, taken, random = catalogue(5)
    belief = believed(learn_taste(content, taken), content, random.normal(size=len(content)))
    known = np.ones(len(content))
    best = belief.best()
    taken_off = [
        best @ (belief.variances - belief.after(item, Answer.of(True)).variances)
        for item in range(len(content))
    ]
    assert questions(belief, known, 1) == [int(np.argmax(taken_off))]
    assert np.allclose(belief.gains(known), taken_off, atol=1e-9)


def test_what_nobody_knows_is_not_asked_about() -> None:
    content, taken, _ = catalogue(12)
    belief = believed(learn_taste(content, taken), content)
    first, *_ = questions(belief, np.ones(len(content)), 1)
    known = np.ones(len(content))
    known[first] = 0.0
    assert first not in questions(belief, known, len(content) - 1)


def test_of_two_copies_only_one_is_asked() -> None:
    content, taken, _ = catalogue(8)
    doubled = np.concatenate([content, content])
    belief = believed(learn_taste(content, taken), doubled)
    asked = questions(belief, np.ones(len(doubled)), 5)
    assert len({item % len(content) for item in asked}) == 5


def test_what_was_asked_or_may_not_be_asked_is_not_and_a_small_catalogue_runs_out() -> None:
    content, taken, _ = catalogue(9, items=4)
    belief = believed(learn_taste(content, taken), content)
    assert set(questions(belief, np.ones(4), 10, never=[1])) == {0, 2, 3}
    assert questions(belief, np.ones(4), 3, never=range(4)) == []


def test_with_nobodys_taste_known_every_direction_is_alike() -> None:
    content, _, _ = catalogue(10)
    learned = learn_taste(content, csr_matrix((0, len(content))))
    assert np.array_equal(learned.covariance, no_taste(content.shape[1]).covariance)
    few = learn_taste(content, csr_matrix(np.eye(1, len(content))))
    assert np.isfinite(few.covariance).all()
    assert few.spread > 0


def test_taste_finds_what_people_differ_by() -> None:
    random = np.random.default_rng(0)
    content = random.normal(size=(200, 5)).astype(np.float32)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    side = random.choice([-1.0, 1.0], size=(2000, 1))  # half like what points up, half down
    taken = csr_matrix((side * content[:, 0] > 0.5).astype(np.float64))
    taste = learn_taste(content, taken)
    values, vectors = np.linalg.eigh(taste.covariance)
    assert abs(vectors[0, -1]) > 0.95
    assert values[-1] > 5 * values[-2]
    belief = believed(taste, content)
    (first,) = questions(belief, np.ones(200), 1)
    assert abs(content[first, 0]) > 0.5
    after = belief.after(first, Answer.of(True))
    assert np.corrcoef(after.means, content[:, 0] * np.sign(content[first, 0]))[0, 1] > 0.9


@pytest.mark.parametrize("liked", [True, False, None])
def test_an_answer_that_is_expected_moves_nothing(liked) -> None:
    content, taken, _ = catalogue(11)
    belief = believed(learn_taste(content, taken), content)
    expected = belief.after(3, Answer(float(belief.means[3]), Answer.of(liked).noise))
    assert np.allclose(expected.means, belief.means)
