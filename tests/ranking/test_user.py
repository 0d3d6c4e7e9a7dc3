"""The user vector, the history and the prior, against the formulas worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from domain.errors import RejectedError
from domain.vectors import DEMOGRAPHICS_DIM
from ranking import (
    UserVector,
    history_vector,
    prior,
    projection,
    rank_dim,
    source_mean,
    user_vector,
)

DAY = 86_400.0


def unit(values):
    values = np.asarray(values, dtype=np.float64)
    return values / np.linalg.norm(values)


def test_profile_words_reach_the_block_that_an_item_with_the_same_words_has(fusion):
    text = np.random.default_rng(1).normal(size=12).astype(np.float32)
    user = user_vector(fusion.blocks, {"text": text}, None, 0, k0=3.0)
    query = prior(fusion).query(user)
    item = fusion.fuse({"text": text})
    assert np.allclose(query.vector, item, atol=1e-6)


def test_clip_words_reach_the_image_block_centred_by_their_own_towers_mean(fusion):
    words = np.random.default_rng(2).normal(size=10).astype(np.float32)
    image = fusion.blocks[1]
    query = prior(fusion).query(user_vector(fusion.blocks, {"image_text": words}, None, 0, 3.0))
    expected = unit((words - image.query_means["image_text"]) @ image.projection)
    assert np.allclose(query.vector[image.start : image.stop], expected, atol=1e-5)
    assert not query.vector[: image.start].any()
    assert not query.vector[image.stop :].any()


def test_without_a_query_mean_clip_words_are_not_centred_by_the_pictures_mean(passthrough):
    image = passthrough.blocks[1]
    assert not source_mean(image, "image_text").any()


def test_both_profile_parts_together_reach_a_unit_vector_weighted_like_the_items(fusion):
    random = np.random.default_rng(3)
    embeddings = {
        "text": random.normal(size=12).astype(np.float32),
        "image_text": random.normal(size=10).astype(np.float32),
    }
    query = prior(fusion).query(user_vector(fusion.blocks, embeddings, None, 0, 3.0))
    text, image = fusion.blocks[0], fusion.blocks[1]
    assert np.linalg.norm(query.vector) == pytest.approx(1.0, abs=1e-5)
    ratio = np.linalg.norm(query.vector[image.start : image.stop]) / np.linalg.norm(
        query.vector[text.start : text.stop]
    )
    assert ratio == pytest.approx(image.weight / text.weight, abs=1e-5)


@pytest.mark.parametrize(("count", "rho"), [(0.0, 1.0), (1.0, 0.75), (3.0, 0.5), (9.0, 0.25)])
def test_history_takes_over_from_the_profile_as_k0_over_k0_plus_n(fusion, count, rho):
    random = np.random.default_rng(4)
    text = random.normal(size=12).astype(np.float32)
    history = unit(random.normal(size=rank_dim(fusion.blocks))).astype(np.float32)
    query = prior(fusion).query(user_vector(fusion.blocks, {"text": text}, history, count, 3.0))
    profile = prior(fusion).query(user_vector(fusion.blocks, {"text": text}, None, 0, 3.0))
    expected = rho * profile.vector + (1 - rho) * history
    assert np.allclose(query.vector, expected, atol=1e-5)


def test_a_user_with_history_alone_is_their_history(fusion):
    history = unit(np.arange(1, rank_dim(fusion.blocks) + 1)).astype(np.float32)
    query = prior(fusion).query(user_vector(fusion.blocks, {}, history, 1, k0=3.0))
    assert np.allclose(query.vector, history, atol=1e-6)


def test_a_user_with_nothing_has_a_zero_query_and_is_told_apart(fusion):
    user = user_vector(fusion.blocks, {}, None, 0, k0=3.0)
    assert user.is_empty
    assert prior(fusion).query(user).is_zero


def test_an_embedding_that_equals_the_mean_is_masked_not_divided_by_zero(fusion):
    mean = fusion.blocks[0].mean.copy()
    user = user_vector(fusion.blocks, {"text": mean}, None, 0, k0=3.0)
    assert user.is_empty


def test_the_user_models_own_embedding_reaches_nothing_until_it_is_learned(fusion):
    profile = np.ones(7, dtype=np.float32)
    user = user_vector(fusion.blocks, {"profile": profile}, None, 0, k0=3.0)
    assert np.linalg.norm(user.parts["profile"]) == pytest.approx(1.0)
    assert prior(fusion).query(user).is_zero


def test_the_query_is_linear_in_every_part_of_the_user(fusion):
    random = np.random.default_rng(5)
    one = user_vector(fusion.blocks, {"text": random.normal(size=12)}, None, 0, k0=3.0)
    doubled = type(one)({name: part * 2 for name, part in one.parts.items()})
    a = prior(fusion)
    assert np.allclose(a.query(doubled).vector, 2 * a.query(one).vector, atol=1e-5)


def test_leaving_out_what_a_matrix_does_not_reach_changes_nothing(fusion):
    random = np.random.default_rng(7)
    dim = rank_dim(fusion.blocks)
    sparse = random.normal(size=(12, dim)).astype(np.float32)
    sparse[:, :3] = 0
    sparse[:, 9:] = 0
    cases = {
        "text": (sparse, random.normal(size=12).astype(np.float32)),
        "image_text": (np.zeros((10, dim), np.float32), np.ones(10, np.float32)),
        "history": (np.eye(dim, dtype=np.float32), random.normal(size=dim).astype(np.float32)),
        "one": (random.normal(size=(1, dim)).astype(np.float32), np.ones(1, np.float32)),
    }
    a = projection(fusion, {part: matrix for part, (matrix, _) in cases.items()})
    query = a.query(UserVector({part: vector for part, (_, vector) in cases.items()}))
    for part, (matrix, vector) in cases.items():
        assert np.allclose(query.by_part[part], vector @ matrix, atol=1e-5)
    assert np.allclose(query.vector, sum(query.by_part.values()), atol=1e-5)


def test_a_passthrough_fusion_ranks_by_plain_cosine(passthrough):
    random = np.random.default_rng(6)
    text = random.normal(size=12).astype(np.float32)
    items = [random.normal(size=12).astype(np.float32) for _ in range(20)]
    query = prior(passthrough).query(user_vector(passthrough.blocks, {"text": text}, None, 0, 3.0))
    scores = [float(passthrough.fuse({"text": item}) @ query.vector) for item in items]
    cosines = [float(unit(item) @ unit(text)) for item in items]
    assert np.allclose(scores, cosines, atol=1e-5)


def test_a_part_of_another_length_is_refused_by_name(fusion):
    user = user_vector(fusion.blocks, {"text": np.ones(12, dtype=np.float32)}, None, 0, k0=3.0)
    wrong = type(user)({"text": np.ones(5, dtype=np.float32)})
    with pytest.raises(RejectedError, match="text part has 5 numbers"):
        prior(fusion).query(wrong)


def test_an_interaction_one_half_life_older_counts_half():
    vectors = np.eye(2, dtype=np.float32)
    mean = history_vector(vectors, [1.0, 1.0], [0.0, 30 * DAY], 30 * DAY)
    assert np.allclose(mean, unit([1.0, 0.5]), atol=1e-6)


def test_weights_of_interactions_count():
    mean = history_vector(np.eye(2, dtype=np.float32), [1.0, 4.0], [0.0, 0.0], 30 * DAY)
    assert np.allclose(mean, unit([1.0, 4.0]), atol=1e-6)


def test_a_user_back_after_a_century_keeps_their_history():
    mean = history_vector(np.eye(2, dtype=np.float32), [1.0, 1.0], [36_500 * DAY] * 2, DAY)
    assert np.allclose(mean, unit([1.0, 1.0]), atol=1e-6)


def test_an_interaction_in_the_future_counts_as_now():
    mean = history_vector(np.eye(2, dtype=np.float32), [1.0, 1.0], [-900 * DAY, 0.0], DAY)
    assert np.allclose(mean, unit([1.0, 1.0]), atol=1e-6)


def test_history_that_is_empty_or_cancels_is_missing():
    assert history_vector(np.zeros((0, 3), dtype=np.float32), [], [], DAY) is None
    opposite = np.array([[1, 0], [-1, 0]], dtype=np.float32)
    assert history_vector(opposite, [1.0, 1.0], [0.0, 0.0], DAY) is None


def demographics(seed=9):
    return unit(np.random.default_rng(seed).normal(size=DEMOGRAPHICS_DIM)).astype(np.float32)


def test_demographics_reach_nothing_until_they_are_learned(fusion):
    user = user_vector(fusion.blocks, {"demographics": demographics()}, None, 0, 3.0)
    assert not user.is_empty
    assert prior(fusion).query(user).is_zero
    learned = np.ones((DEMOGRAPHICS_DIM, rank_dim(fusion.blocks)), dtype=np.float32)
    query = projection(fusion, {"demographics": learned}).query(user)
    assert np.allclose(query.vector, demographics() @ learned, atol=1e-5)


def test_demographics_alone_take_no_weight_from_history_but_lose_it_as_history_grows(fusion):
    history = unit(np.arange(1, rank_dim(fusion.blocks) + 1)).astype(np.float32)
    user = user_vector(fusion.blocks, {"demographics": demographics()}, history, 9, 3.0)
    assert np.allclose(user.parts["history"], history)
    assert np.allclose(user.parts["demographics"], 0.25 * demographics(), atol=1e-6)


def test_demographics_of_another_length_are_refused(fusion):
    with pytest.raises(RejectedError, match="demographics"):
        projection(fusion, {"demographics": np.ones((3, rank_dim(fusion.blocks)), np.float32)})
