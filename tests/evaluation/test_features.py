"""Raw vectors from encoders or from the data, and the fusion of a split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from domain.errors import RejectedError
from domain.settings import Settings
from evaluation.dataset import Dataset
from evaluation.features import Features, available, embed, fuse, present, subsets_of


@pytest.fixture(scope="module")
def given(planted_dataset: Dataset, tiny_settings: Settings) -> Features:
    return embed(planted_dataset, tiny_settings, ["text", "attributes", "image"])


def test_vectors_that_come_with_the_data_are_taken_as_they_are(
    planted_dataset: Dataset, given: Features
) -> None:
    rows, vectors = planted_dataset.vectors["image"]
    assert np.array_equal(given.items["image"][rows], vectors)
    assert present(given.items["image"]).sum() == len(rows)
    assert set(given.items) == {"text", "image"}


def test_demographics_are_a_part_of_profiles_and_alike_for_alike_users(given: Features) -> None:
    declared = given.profiles["demographics"]
    assert present(declared).all()
    assert 2 <= len(np.unique(declared, axis=0)) <= 6


def test_texts_and_profiles_are_encoded_by_the_packs_models_and_found_again(
    planted_dataset: Dataset, tiny_settings: Settings
) -> None:
    few = planted_dataset.user_index < 0
    texts = replace(
        planted_dataset,
        vectors={},
        items=planted_dataset.items[:20],
        user_index=planted_dataset.user_index[few],
        item_index=planted_dataset.item_index[few],
        weights=planted_dataset.weights[few],
        times=None,
    )
    seen: list[tuple[str, int, int]] = []
    first = embed(texts, tiny_settings, ["text"], progress=lambda *told: seen.append(told))
    again = embed(texts, tiny_settings, ["text"])
    assert first.items["text"].shape[0] == 20
    assert np.allclose(np.linalg.norm(first.items["text"], axis=1), 1.0, atol=1e-4)
    assert set(first.profiles) == {"text", "profile", "demographics"}
    assert np.array_equal(first.items["text"], again.items["text"])
    assert first.digest == again.digest
    assert first.weights == {"text": 1.0}
    assert ("text of items", 20, 20) in seen


def test_a_modality_that_nobody_has_is_refused(
    planted_dataset: Dataset, tiny_settings: Settings
) -> None:
    with pytest.raises(RejectedError, match="smell"):
        embed(planted_dataset, tiny_settings, ["smell"])
    with pytest.raises(RejectedError, match="no item of planted has any audio"):
        embed(planted_dataset, tiny_settings, ["audio"])


def test_the_features_at_hand_are_found(planted_dataset: Dataset) -> None:
    assert available(planted_dataset) == ("text", "image", "attributes")


def test_subsets_are_each_alone_and_every_prefix() -> None:
    assert subsets_of(("a", "b", "c")) == [("a",), ("b",), ("c",), ("a", "b")]
    assert subsets_of(("a",)) == []


def test_cold_items_are_not_in_the_statistics_of_the_fusion(
    planted_dataset: Dataset, given: Features, tiny_settings: Settings
) -> None:
    warm = np.ones(planted_dataset.n_items, dtype=bool)
    warm[:30] = False
    fusion, items, raw = fuse(
        planted_dataset, given, ("text", "image", "attributes"), warm, tiny_settings
    )
    moved = dict(given.items)
    moved["text"] = given.items["text"].copy()
    moved["text"][:30] += 5.0
    other, changed, _ = fuse(
        planted_dataset, replace(given, items=moved), ("text", "image", "attributes"), warm,
        tiny_settings,
    )  # fmt: skip
    assert fusion.version == other.version
    assert np.array_equal(items[30:], changed[30:])
    assert not np.allclose(items[:30], changed[:30])
    assert [block.name for block in fusion.blocks] == ["text", "image", "attributes"]
    assert raw["attributes"].shape[0] == planted_dataset.n_items


def test_blocks_count_what_their_encoders_say_and_given_vectors_the_default(
    planted_dataset: Dataset, given: Features, tiny_settings: Settings
) -> None:
    warm = np.ones(planted_dataset.n_items, dtype=bool)
    assert given.weights == {}
    weak = replace(given, weights={"text": 0.25})
    fusion, _, _ = fuse(planted_dataset, weak, ("text", "image"), warm, tiny_settings)
    assert {block.name: block.weight for block in fusion.blocks} == {"text": 0.25, "image": 1.0}
    told = tiny_settings.fusion.model_copy(update={"weights": {"text": 3.0}})
    settings = tiny_settings.model_copy(update={"fusion": told})
    fusion, _, _ = fuse(planted_dataset, weak, ("text", "image"), warm, settings)
    assert {block.name: block.weight for block in fusion.blocks} == {"text": 3.0, "image": 1.0}


def test_an_item_without_any_of_the_subset_has_a_row_of_zeros(
    planted_dataset: Dataset, given: Features, tiny_settings: Settings
) -> None:
    warm = np.ones(planted_dataset.n_items, dtype=bool)
    _, items, _ = fuse(planted_dataset, given, ("image",), warm, tiny_settings)
    assert np.array_equal(present(items), present(given.items["image"]))
