"""Gates of an item's modalities."""

from __future__ import annotations

import numpy as np
import pytest

from domain.errors import RejectedError
from domain.modality_gates import ModalityGates
from domain.vectors import BlockMap

SIZES = {"text": 4, "image": 3, "audio": 2}


def blocks() -> list[BlockMap]:
    made, start = [], 0
    for name, size in SIZES.items():
        eye = np.eye(size, dtype=np.float32)
        made.append(BlockMap(name, np.zeros(size, np.float32), eye, 1.0, start, start + size))
        start += size
    return made


def gates(seed: int = 0) -> ModalityGates:
    rng = np.random.default_rng(seed)
    return ModalityGates(rng.standard_normal((9 + 3, 3)).astype(np.float32))


@pytest.fixture
def items() -> np.ndarray:
    rows = np.random.default_rng(1).standard_normal((30, 9)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_by_hand() -> None:
    weights = np.zeros((12, 3), np.float32)
    weights[0, 0] = np.log(2.0)  # e^(c_0 log 2) for the text, 1 for the others
    row = np.array([[1.0, 0, 0, 0, 2.0, 0, 0, 0, 0]], np.float32)  # no audio
    made = ModalityGates(weights)
    np.testing.assert_allclose(made.of(blocks(), row), [[4 / 3, 2 / 3, 0]], rtol=1e-6)
    scaled = np.array([4 / 3, 4 / 3])
    wanted = scaled / np.linalg.norm(scaled) * np.sqrt(5.0)
    found = made.apply(blocks(), row)[0]
    np.testing.assert_allclose(found[[0, 4]], wanted, rtol=1e-6)
    assert np.count_nonzero(found) == 2


def test_lengths_stay_and_shares_add_up_to_the_blocks_there_are(items: np.ndarray) -> None:
    items[:5, 7:] = 0.0
    items[5] = 0.0
    items[6, 4:] = 0.0
    found = gates().apply(blocks(), items)
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=1), np.linalg.norm(items, axis=1), atol=1e-6
    )
    np.testing.assert_allclose(found[6], items[6], atol=1e-6)  # one block alone
    sums = gates().of(blocks(), items).sum(axis=1)
    np.testing.assert_allclose(sums[:7], [2, 2, 2, 2, 2, 0, 1], atol=1e-5)
    assert np.isfinite(found).all()


def test_an_item_is_the_same_alone_and_among_others(items: np.ndarray) -> None:
    alone = np.concatenate([gates().apply(blocks(), row[None]) for row in items])
    np.testing.assert_allclose(alone, gates().apply(blocks(), items), atol=1e-6)


def test_weights_that_would_overflow_give_all_to_one_block(items: np.ndarray) -> None:
    weights = np.zeros((12, 3), np.float32)
    weights[9, 0] = 1e30  # by the length of the text
    found = ModalityGates(weights).of(blocks(), items)
    np.testing.assert_allclose(found, np.tile([3.0, 0.0, 0.0], (len(items), 1)))


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        (np.zeros((12, 2), np.float32), r"expected float32 \[12, 3\]"),
        (np.zeros((12, 3)), "is float64"),
        (np.full((12, 3), np.nan, np.float32), "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(weights: np.ndarray, told: str) -> None:
    with pytest.raises(RejectedError, match=told):
        ModalityGates(weights).check(blocks())
