"""An A in the coordinates of another fusion: the scores stay, whatever the coordinates are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from domain.errors import RejectedError
from domain.vectors import BlockMap, Matrix
from ranking import Projection, prior, projection
from ranking.transfer import Translation, translated, translation
from ranking.user import profile_rows

from .conftest import SmallFusion, make_fusion

ITEMS = 400
NAMES = ("text", "image", "audio")


def raws(fusion: SmallFusion, count: int = ITEMS, seed: int = 5) -> dict[str, Matrix]:
    random = np.random.default_rng(seed)
    return {
        block.name: random.normal(size=(count, len(block.mean))).astype(np.float32)
        for block in fusion.blocks
    }


def fused(fusion: SmallFusion, raw: dict[str, Matrix]) -> Matrix:
    count = len(next(iter(raw.values())))
    return np.stack([fusion.fuse({n: rows[at] for n, rows in raw.items()}) for at in range(count)])


def trained(fusion: SmallFusion, seed: int = 1) -> Projection:
    """Any A of every part."""
    random = np.random.default_rng(seed)
    dims = {"text": 12, "image_text": 10, "demographics": 64, "history": 15, "one": 1}
    return projection(
        fusion,
        {part: random.normal(size=(dim, 15)).astype(np.float32) for part, dim in dims.items()},
    )


def turned(fusion: SmallFusion, seed: int = 9, scale: float = 3.0) -> SmallFusion:
    """The same blocks, each rotated and stretched."""
    random = np.random.default_rng(seed)

    def other(block: BlockMap) -> BlockMap:
        turn, _ = np.linalg.qr(random.normal(size=(block.dim, block.dim)))
        return replace(block, projection=(scale * block.projection @ turn).astype(np.float32))

    return SmallFusion("fit-turned", tuple(other(block) for block in fusion.blocks))


def between(
    here: SmallFusion, there: SmallFusion, raw: dict[str, Matrix], alike: tuple[str, ...] = ()
) -> Translation:
    return translation(
        here.blocks, fused(here, raw), there.blocks, fused(there, raw), set(raw), alike
    )


def test_into_the_same_fusion_a_stays_as_it_is(fusion: SmallFusion) -> None:
    source, raw = trained(fusion), raws(fusion)
    found = between(fusion, fusion, raw)
    assert found.explained == pytest.approx(1.0, abs=1e-3)
    made = translated(source, fusion.blocks, fusion, found, raw)
    assert made.keys() == source.matrices.keys()
    for part, matrix in source.matrices.items():
        np.testing.assert_allclose(made[part], matrix, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("alike", [(), NAMES])
def test_into_a_turned_and_stretched_fusion_scores_stay(
    fusion: SmallFusion, alike: tuple[str, ...]
) -> None:
    source, other, raw = trained(fusion), turned(fusion), raws(fusion)
    made = projection(
        other,
        translated(source, fusion.blocks, other, between(other, fusion, raw, alike), raw),
    )
    there, here = fused(fusion, raw), fused(other, raw)
    for part, rows in (("history", (there, here)), ("one", (np.ones((1, 1)), np.ones((1, 1))))):
        before = source.through(part, rows[0].astype(np.float64)) @ there.T
        after = made.through(part, rows[1].astype(np.float64)) @ here.T
        np.testing.assert_allclose(after, before, atol=0.02 * np.abs(before).max())


def test_what_a_profile_says_scores_the_same(fusion: SmallFusion) -> None:
    source, other, raw = trained(fusion), turned(fusion), raws(fusion)
    made = translated(source, fusion.blocks, other, between(other, fusion, raw), raw)
    said = {"text": raws(fusion, 30, seed=7)["text"]}
    before = profile_rows(fusion.blocks, said)["text"] @ source.matrices["text"]
    after = profile_rows(other.blocks, said)["text"] @ made["text"]
    there, here = fused(fusion, raw), fused(other, raw)
    np.testing.assert_allclose(
        after @ here.T, before @ there.T, atol=0.02 * np.abs(before @ there.T).max()
    )


def test_few_items_are_enough_where_the_encoder_is_the_same(fusion: SmallFusion) -> None:
    other = turned(fusion)
    raw = raws(fusion, 16)
    alone, told = between(other, fusion, raw), between(other, fusion, raw, NAMES)
    assert told.explained > 0.99 > 0.95 > alone.explained


def test_a_block_that_the_source_lacks_begins_with_the_own_prior(fusion: SmallFusion) -> None:
    there = make_fusion(seed=4)
    there = SmallFusion("fit-less", tuple(b for b in there.blocks if b.name != "audio"))
    random = np.random.default_rng(2)
    source = projection(
        there,
        {
            "history": random.normal(size=(11, 11)).astype(np.float32),
            "one": random.normal(size=(1, 11)).astype(np.float32),
        },
    )
    raw = raws(fusion)
    less = {name: rows for name, rows in raw.items() if name != "audio"}
    found = translation(
        fusion.blocks, fused(fusion, raw), there.blocks, fused(there, less), less.keys(), ()
    )
    made = translated(source, there.blocks, fusion, found, less)
    projection(fusion, made)
    audio = slice(11, 15)
    level = made["history"][11, 11]
    assert level > 0
    np.testing.assert_allclose(made["history"][audio, audio], level * np.eye(4), atol=1e-6)
    assert not made["history"][audio, :11].any()
    assert not made["history"][:11, audio].any()
    assert not made["one"][:, audio].any()
    own = prior(fusion).matrices
    np.testing.assert_allclose(made["text"], level * own["text"], rtol=1e-4)


def test_a_user_models_part_is_left_out(fusion: SmallFusion) -> None:
    source = trained(fusion)
    source = projection(fusion, {**source.matrices, "profile": np.ones((7, 15), dtype=np.float32)})
    raw = raws(fusion)
    made = translated(source, fusion.blocks, fusion, between(fusion, fusion, raw), raw)
    assert "profile" not in made


def test_too_few_items_and_vectors_that_tell_nothing_are_refused(fusion: SmallFusion) -> None:
    with pytest.raises(RejectedError, match=r"15 items .* a transfer needs 16"):
        between(fusion, turned(fusion), raws(fusion, 15))
    here, there = fused(fusion, raws(fusion)), fused(fusion, raws(fusion, seed=6))
    with pytest.raises(RejectedError, match=r"of the other catalogue's vectors .* can be told"):
        translation(fusion.blocks, here, fusion.blocks, there, NAMES, ())
