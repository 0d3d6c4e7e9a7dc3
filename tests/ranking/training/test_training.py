"""A from additive sums: what serves is what was trained, and what was added can be taken off."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from domain.errors import RejectedError
from domain.vectors import DEMOGRAPHICS_DIM, BlockMap
from ranking.training import (
    Recipe,
    Ridge,
    Setting,
    Statistics,
    TrainingData,
    fit_projection,
    item_gram,
    solve,
    user_layout,
    user_rows,
)
from ranking.user import profile_rows, user_vector

RAW, DIM = 6, 4


def blocks() -> tuple[BlockMap, ...]:
    rng = np.random.default_rng(3)
    return (
        BlockMap(
            "text",
            rng.standard_normal(RAW).astype(np.float32),
            rng.standard_normal((RAW, DIM)).astype(np.float32),
            1.0,
            0,
            DIM,
        ),
    )


def data(users: int = 60, items: int = 40, seed: int = 0) -> TrainingData:
    rng = np.random.default_rng(seed)
    content = rng.standard_normal((items, DIM)).astype(np.float32)
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    tastes = rng.standard_normal((users, DIM))
    taken = (tastes @ content.T + 0.5 * rng.standard_normal((users, items))) > 0.8
    taken[np.arange(users), rng.integers(items, size=users)] = True
    profiles = {"text": rng.standard_normal((users, RAW)).astype(np.float32)}
    return TrainingData(blocks(), content, csr_matrix(taken.astype(np.float32)), profiles)


@pytest.mark.parametrize("said", [(), ("demographics",), ("text",), ("demographics", "text")])
def test_a_row_of_training_is_the_vector_that_is_served(said: tuple[str, ...]) -> None:
    made = data()
    rng = np.random.default_rng(1)
    profiles = {
        part: rng.standard_normal((60, RAW if part == "text" else DEMOGRAPHICS_DIM)).astype(
            np.float32
        )
        for part in said
    }
    for rows in profiles.values():
        rows[::3] = 0.0
    made = replace(made, profiles=profiles)
    layout = user_layout(made.blocks, made.profiles)
    users = np.arange(12)
    history = made.interactions[users]
    history.data[history.indptr[4] : history.indptr[5]] = 0.0
    history.eliminate_zeros()
    rows = made.user_rows(users, history)
    sums, counts = history @ made.items, np.diff(history.indptr)
    for user in users:
        length = np.linalg.norm(sums[user])
        past = sums[user] / length if length else None
        embeddings = {part: made.profiles[part][user] for part in said}
        served = user_vector(made.blocks, embeddings, past, counts[user], made.k0)
        for part, (start, stop) in layout.spans.items():
            expected = served.parts.get(part, np.zeros(stop - start))
            np.testing.assert_allclose(rows[user, start:stop], expected, atol=1e-5)


def test_forgetting_users_leaves_the_sums_of_the_others() -> None:
    made = data()
    recipe = Recipe()
    everybody = Statistics.of(made, recipe)
    gone = np.arange(5)
    everybody.add(
        made.blocks,
        made.items,
        made.interactions[gone],
        {"text": made.profiles["text"][gone]},
        sign=-1.0,
    )
    rest = Statistics.begin(made, recipe)
    rest.add(made.blocks, made.items, made.interactions[5:], {"text": made.profiles["text"][5:]})
    assert everybody.users == rest.users
    assert everybody.interactions == rest.interactions
    gram = item_gram(made.items, np.ones(len(made.items)))
    one = solve(made.blocks, everybody, gram, {}, Ridge())
    other = solve(made.blocks, rest, gram, {}, Ridge())
    for part in one:
        np.testing.assert_allclose(one[part], other[part], atol=1e-6)


def test_another_damping_of_the_same_users_is_what_sums_begun_with_it_are() -> None:
    made = data()
    found = Statistics.of(made, Recipe(alpha=0.25)).damped(made, 0.0)
    expected = Statistics.of(made, Recipe(alpha=0.0))
    np.testing.assert_allclose(found.gram, expected.gram, atol=1e-12)
    np.testing.assert_allclose(found.cross, expected.cross, atol=1e-12)
    assert (found.recipe, found.users) == (expected.recipe, expected.users)


def test_without_interactions_a_is_the_prior() -> None:
    made = data()
    nobody = Statistics.begin(made, Recipe())
    known = {"history": np.eye(DIM, dtype=np.float32)}
    found = solve(
        made.blocks, nobody, item_gram(made.items, np.ones(len(made.items))), known, Ridge()
    )
    np.testing.assert_allclose(found["history"], known["history"], atol=1e-6)
    assert not found["text"].any()


def test_a_learned_projection_finds_what_users_took_of_items_it_never_saw() -> None:
    made = data(users=300, items=80)
    cold = np.zeros(80, dtype=bool)
    cold[60:] = True
    fitted = fit_projection(made.without_items(cold), {}, seed=0)
    warm = made.without_items(cold).interactions
    layout = fitted.statistics.layout
    rows = user_rows(
        made.blocks,
        layout,
        profile_rows(made.blocks, made.profiles),
        warm @ made.items,
        np.diff(warm.indptr).astype(np.float64),
        made.k0,
    )
    stacked = np.vstack([fitted.matrices[part] for part in layout.spans])
    scores = (rows @ stacked) @ made.items[cold].T
    taken = made.interactions[:, cold].toarray() > 0
    assert scores[taken].mean() > scores[~taken].mean() + 0.5 * scores.std()
    assert max(fitted.scores.values()) > 0.0


def test_words_are_understood_after_a_training_on_users_who_said_nothing() -> None:
    said = data(users=300, items=80)
    silent = replace(said, profiles={})
    text = np.linalg.qr(np.random.default_rng(5).standard_normal((RAW, DIM)))[0]
    known = {"history": np.eye(DIM, dtype=np.float32), "text": text.astype(np.float32)}
    fitted = fit_projection(silent, known, seed=0)
    assert "text" not in fitted.statistics.layout.spans
    scale = float(np.sum(fitted.matrices["text"] * text) / np.sum(text * text))
    assert scale > 0
    np.testing.assert_allclose(fitted.matrices["text"], scale * text, rtol=1e-5, atol=1e-9)
    again = solve(said.blocks, fitted.statistics, fitted.gram, known, fitted.setting.ridge)
    for part, matrix in fitted.matrices.items():
        np.testing.assert_allclose(again[part], matrix, rtol=1e-4, atol=1e-7)


def test_data_that_do_not_fit_together_are_refused_by_name() -> None:
    made = data()
    wrong = TrainingData(made.blocks, made.items[:, :2], made.interactions)
    with pytest.raises(RejectedError, match="items"):
        wrong.check()
    bad = made.interactions.copy()
    bad.data[0] = np.nan
    with pytest.raises(RejectedError, match="NaN"):
        fit_projection(TrainingData(made.blocks, made.items, bad), {}, setting=Setting())
