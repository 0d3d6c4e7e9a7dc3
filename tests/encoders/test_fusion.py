"""The fused vector: of bounded length whatever comes in, and no block above another by scale."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import PermanentError, RejectedError
from domain.vectors import Matrix, Vector
from encoders.fusion import Fusion, collection_fingerprint

DIMS = {"text": 24, "image": 16, "audio": 40}
SUBSETS = [set(s) for n in (1, 2, 3) for s in combinations(DIMS, n)]


def catalogue(
    count: int = 400, dims: Mapping[str, int] = DIMS, seed: int = 0, shared: float = 2.0
) -> list[dict[str, Vector]]:
    """Items whose modalities speak of a common hidden vector, anisotropic, with a large mean."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, 6))
    rows: dict[str, Matrix] = {}
    for name, dim in dims.items():
        spread = np.linspace(2.0, 0.1, dim)
        own = rng.normal(size=(count, dim))
        mixed = shared * hidden @ rng.normal(size=(6, dim)) + own
        rows[name] = (rng.normal(size=dim) * 5 + mixed * spread).astype(np.float32)
    return [{name: rows[name][i] for name in dims} for i in range(count)]


def fitted(samples: list[dict[str, Vector]], block_dim: int = 12, **options: object) -> Fusion:
    dims = {name: len(vector) for name, vector in samples[0].items()}
    return Fusion.fit(samples, dims, block_dim=block_dim, weights={}, **options)  # type: ignore[arg-type]


FUSIONS = {
    "pass-through": Fusion.passthrough(DIMS, {}),
    "fitted": fitted(catalogue()),
    "fitted on few items": fitted(catalogue(20)),
    "fitted on one block": Fusion.fit(
        [{"text": item["text"]} for item in catalogue()], DIMS, block_dim=12, weights={}
    ),
}


def assert_sound(fusion: Fusion, items: list[dict[str, Vector]]) -> None:
    """Blocks that are there have the length of their share; a guess is no longer than its own."""
    fused = fusion.fuse_many(items)
    assert fused.dtype == np.float32
    assert fused.shape == (len(items), fusion.dim)
    assert np.isfinite(fused).all()
    weights = {block.name: block.weight for block in fusion.blocks}
    for item, row in zip(items, fused, strict=True):
        np.testing.assert_allclose(fusion.fuse(item), row, atol=1e-5)
        guessed = {
            i.target
            for i in fusion.imputations
            if i.target not in item and item.keys() >= set(i.sources)
        }
        whole = np.sqrt(sum(weights[name] ** 2 for name in item.keys() | guessed))
        for block in fusion.blocks:
            length = float(np.linalg.norm(row[block.start : block.stop]))
            if block.name in item:
                assert length == pytest.approx(block.weight / whole, abs=1e-5)
            else:
                assert length <= (block.name in guessed) * block.weight / whole + 1e-5


@st.composite
def raw_items(draw: st.DrawFn) -> dict[str, Vector]:
    """Any presence subset; scales from 1e-37 to 1e37; spikes, constants and noise."""
    present = draw(st.sampled_from(SUBSETS))
    item = {}
    for name in present:
        dim = DIMS[name]
        shape = draw(st.sampled_from(["noise", "constant", "spike", "mean"]))
        scale = 10.0 ** draw(st.integers(-37, 37))
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        if shape == "noise":
            vector = rng.normal(size=dim) * scale
        elif shape == "constant":
            vector = np.full(dim, scale)
        elif shape == "spike":
            vector = np.zeros(dim)
            vector[rng.integers(dim)] = -scale
        else:
            vector = FUSIONS["fitted"]._by_name[name].mean.astype(np.float64)
        item[name] = vector.astype(np.float32)
    return item


@pytest.mark.parametrize("kind", FUSIONS)
@given(items=st.lists(raw_items(), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_fused_vector_is_finite_and_each_block_has_its_length(
    kind: str, items: list[dict[str, Vector]]
) -> None:
    assert_sound(FUSIONS[kind], items)


@given(
    scales=st.tuples(*[st.floats(-12, 12) for _ in DIMS]),
    count=st.integers(1, 40),
    constant=st.sets(st.sampled_from(list(DIMS))),
)
@settings(max_examples=40, deadline=None)
def test_a_fit_survives_few_items_constant_blocks_and_any_scale(
    scales: tuple[float, ...], count: int, constant: set[str]
) -> None:
    samples = catalogue(count)
    for name, power in zip(DIMS, scales, strict=True):
        for item in samples:
            row = samples[0][name] if name in constant else item[name]
            item[name] = (row * 10.0**power).astype(np.float32)
    fusion = fitted(samples)
    partial = [
        {name: item[name] for name in subset}
        for item, subset in zip(samples, SUBSETS * 6, strict=False)
    ]
    assert_sound(fusion, samples + partial)


@pytest.mark.parametrize("subset", SUBSETS, ids=lambda names: "+".join(sorted(names)))
@pytest.mark.parametrize("name", DIMS)
def test_scaling_a_block_changes_nothing_once_fitted(subset: set[str], name: str) -> None:
    samples = catalogue()
    scaled = [
        {n: (v * 20 if n == name else v).astype(np.float32) for n, v in item.items()}
        for item in samples
    ]
    plain, other = fitted(samples), fitted(scaled)
    kept = [{n: item[n] for n in subset} for item in samples[:50]]
    kept_scaled = [{n: item[n] for n in subset} for item in scaled[:50]]
    np.testing.assert_allclose(plain.fuse_many(kept), other.fuse_many(kept_scaled), atol=1e-4)


def test_scaling_a_block_changes_nothing_in_a_pass_through() -> None:
    fusion = Fusion.passthrough(DIMS, {})
    item = catalogue(1)[0]
    np.testing.assert_allclose(
        fusion.fuse(item), fusion.fuse({**item, "image": item["image"] * 20}), atol=1e-6
    )


def test_every_present_block_has_the_share_its_weight_says() -> None:
    weights = {"text": 2.0, "image": 1.0, "audio": 0.5}
    fusion = Fusion.fit(catalogue(), DIMS, block_dim=12, weights=weights)
    fused = fusion.fuse_many(catalogue(seed=1))
    for block in fusion.blocks:
        norms = np.linalg.norm(fused[:, block.start : block.stop], axis=1)
        np.testing.assert_allclose(norms, weights[block.name] / np.sqrt(5.25), rtol=1e-5)


def test_blocks_are_reduced_to_block_dim_and_lie_one_after_another() -> None:
    fusion = FUSIONS["fitted"]
    assert [(b.name, b.start, b.stop) for b in fusion.blocks] == [
        ("text", 0, 12),
        ("image", 12, 24),
        ("audio", 24, 36),
    ]
    assert fusion.dim == 36
    assert fusion.version.startswith("fit-")


def test_a_pass_through_is_the_normalised_raw_vector_without_centring() -> None:
    fusion = Fusion.passthrough(DIMS, {})
    assert fusion.version.startswith("passthrough-")
    item = catalogue(1)[0]
    expected = np.concatenate([item[n] / np.linalg.norm(item[n]) for n in DIMS]) / np.sqrt(3)
    np.testing.assert_allclose(fusion.fuse(item), expected, atol=1e-6)
    for block in fusion.blocks:
        assert not block.mean.any()
        np.testing.assert_array_equal(block.projection, np.eye(DIMS[block.name]))


def test_a_block_is_what_its_public_map_says() -> None:
    fusion = FUSIONS["fitted"]
    item = catalogue(seed=3)[0]
    fused = fusion.fuse(item)
    for block in fusion.blocks:
        mapped = (item[block.name] - block.mean) @ block.projection
        expected = block.weight * mapped / np.linalg.norm(mapped) / np.sqrt(3)
        np.testing.assert_allclose(fused[block.start : block.stop], expected, atol=1e-5)


def test_almost_no_items_is_the_same_as_a_pass_through() -> None:
    fusion = fitted(catalogue(15))
    assert fusion.version == Fusion.passthrough(DIMS, {}).version
    empty = Fusion.fit([], DIMS, block_dim=12, weights={})
    assert empty.version == fusion.version


def test_the_version_names_the_parameters() -> None:
    samples = catalogue()
    one = fitted(samples)
    assert fitted(samples).version == one.version
    assert fitted(catalogue(seed=9)).version != one.version
    assert fitted(samples, block_dim=10).version != one.version
    heavier = Fusion.fit(samples, DIMS, block_dim=12, weights={"text": 2.0})
    assert heavier.version != one.version


def test_a_missing_block_is_imputed_close_to_the_true_one() -> None:
    train, test = catalogue(1200)[:800], catalogue(1200)[800:]
    fusion = fitted(train)
    assert {i.target for i in fusion.imputations} == set(DIMS)
    full = fusion.fuse_many(test)
    imputed = fusion.fuse_many([{"text": i["text"], "image": i["image"]} for i in test])
    audio = fusion.blocks[2]
    masked = full.copy()
    masked[:, audio.start : audio.stop] = 0
    masked /= np.linalg.norm(masked, axis=1, keepdims=True)
    assert (imputed * full).sum(axis=1).mean() > (masked * full).sum(axis=1).mean() + 0.05


def test_a_guess_beside_a_block_leaves_the_block_as_it_is() -> None:
    """Also a weak one: what A learned to leave out must not be felt through the other blocks."""
    samples = catalogue(1200, shared=0.3)
    fusion = fitted(samples)
    (best,) = (i for i in fusion.imputations if i.target == "audio" and len(i.sources) == 2)
    assert best.gain < 0.4
    item = samples[0]
    full = fusion.fuse(item)
    part = fusion.fuse({"text": item["text"], "image": item["image"]})
    audio = fusion.blocks[2]
    np.testing.assert_allclose(part[: audio.start], full[: audio.start], atol=1e-6)
    assert 0.0 < np.linalg.norm(part[audio.start :]) < np.linalg.norm(full[audio.start :])


def test_an_unrelated_missing_block_is_masked_and_the_rest_renormalised() -> None:
    samples = catalogue(400, shared=0.0)
    fusion = fitted(samples)
    assert fusion.imputations == ()
    full = fusion.fuse(samples[0])
    part = fusion.fuse({"text": samples[0]["text"], "image": samples[0]["image"]})
    audio = fusion.blocks[2]
    assert not part[audio.start :].any()
    np.testing.assert_allclose(part[: audio.start], full[: audio.start] * np.sqrt(1.5), atol=1e-5)


def test_no_map_is_learned_from_few_items_that_carry_both() -> None:
    samples = [dict(item) for item in catalogue(400)]
    for item in samples[60:]:
        del item["audio"]
    fusion = Fusion.fit(samples, DIMS, block_dim=12, weights={})
    assert {i.target for i in fusion.imputations} == {"text", "image"}
    assert fusion.items == {"text": 400, "image": 400, "audio": 60}


def test_statistics_come_from_the_items_that_carry_the_block() -> None:
    samples = catalogue(300)
    split = [{"text": item["text"]} for item in samples] + [
        {"image": item["image"]} for item in samples
    ]
    whole, apart = fitted(samples), Fusion.fit(split, DIMS, block_dim=12, weights={})
    np.testing.assert_allclose(whole.blocks[0].mean, apart.blocks[0].mean, rtol=1e-5)
    np.testing.assert_allclose(whole.blocks[0].projection, apart.blocks[0].projection, atol=1e-5)
    assert apart.imputations == ()


def test_a_fourth_block_joins_without_a_change_elsewhere() -> None:
    dims = {**DIMS, "attributes": 30}
    samples = catalogue(400, dims)
    fusion = Fusion.fit(samples, dims, block_dim=12, weights={"attributes": 0.5})
    assert [b.name for b in fusion.blocks] == ["text", "image", "audio", "attributes"]
    subsets = [s for n in (1, 2, 3, 4) for s in combinations(dims, n)]
    assert fusion.dim == 48
    assert_sound(fusion, [{n: samples[i][n] for n in s} for i, s in enumerate(subsets)])
    three = fitted([{n: item[n] for n in DIMS} for item in samples])
    for old, new in zip(three.blocks, fusion.blocks, strict=False):
        np.testing.assert_array_equal(old.projection, new.projection)


def test_the_mean_of_query_samples_belongs_to_the_block_of_their_name() -> None:
    words = np.random.default_rng(5).normal(size=(30, 16)).astype(np.float32)
    fusion = fitted(catalogue(), query_samples={"image_text": words})
    np.testing.assert_allclose(
        fusion.blocks[1].query_means["image_text"], words.mean(axis=0), atol=1e-6
    )
    assert not fusion.blocks[0].query_means
    with pytest.raises(RejectedError, match="image_text"):
        fitted(catalogue(), query_samples={"image_text": words[:, :3]})


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({}, "no modality"),
        ({"smell": np.ones(3, np.float32)}, "no block 'smell'"),
        ({"text": np.zeros(24, np.float32)}, "text: raw vector 0 is zero"),
        ({"text": np.full(24, np.nan, np.float32)}, "NaN"),
        ({"text": np.full(24, np.inf, np.float32)}, "infinite"),
        ({"text": np.ones(23, np.float32)}, r"shape \(23,\)"),
    ],
)
def test_a_vector_that_cannot_be_fused_is_refused_with_its_block(
    item: dict[str, Vector], said: str
) -> None:
    for fusion in FUSIONS.values():
        with pytest.raises(PermanentError, match=said):
            fusion.fuse(item)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_that_would_erase_a_block_is_refused(weight: float) -> None:
    with pytest.raises(RejectedError, match="FIRSTLIGHT_FUSION_WEIGHTS"):
        Fusion.passthrough(DIMS, {"text": weight})


def test_a_weight_for_an_unknown_block_is_refused_and_names_the_known() -> None:
    with pytest.raises(RejectedError, match="text, image, audio"):
        Fusion.passthrough(DIMS, {"txt": 1.0})


def test_nothing_to_fuse_is_an_empty_matrix() -> None:
    assert FUSIONS["fitted"].fuse_many([]).shape == (0, 36)


def test_a_collection_is_named_by_encoders_and_fusion() -> None:
    name = collection_fingerprint("a", "fit-1")
    assert len(name) == 12
    assert set(name) <= set("0123456789abcdef")
    assert name != collection_fingerprint("b", "fit-1")
    assert name != collection_fingerprint("a", "fit-2")
