"""Fusions on disk: what is damaged is refused, what is added is seen by every process."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from domain.errors import NotFoundError, RejectedError
from domain.modality_gates import ModalityGates
from domain.vectors import Vector
from encoders.fusion import Fusion, FusionStore
from tests.fixtures.killed import at_every_step

DIMS = {"text": 12, "image": 8}


def sample_items(count: int, seed: int = 0) -> list[dict[str, Vector]]:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, 4))
    rows = {
        n: (hidden @ rng.normal(size=(4, d)) + 0.3 * rng.normal(size=(count, d))).astype(np.float32)
        for n, d in DIMS.items()
    }
    return [{n: rows[n][i] for n in DIMS} for i in range(count)]


def fit(seed: int = 0) -> Fusion:
    words = np.random.default_rng(seed).normal(size=(9, 8)).astype(np.float32)
    return Fusion.fit(
        sample_items(300, seed),
        DIMS,
        block_dim=6,
        weights={"image": 0.7},
        query_samples={"image_text": words},
    )


def gated(seed: int = 0) -> Fusion:
    fusion = fit(seed)
    shape = (fusion.dim + len(fusion.blocks), len(fusion.blocks))
    weights = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    return fusion.gated(ModalityGates(weights))


@pytest.mark.parametrize(
    "fusion", [fit(), Fusion.passthrough(DIMS, {}), gated()], ids=["fit", "pass", "gated"]
)
def test_a_loaded_fusion_is_the_saved_one(tmp_path: Path, fusion: Fusion) -> None:
    fusion.save(tmp_path / "f")
    loaded = Fusion.load(tmp_path / "f")
    assert loaded.version == fusion.version
    assert loaded.items == fusion.items
    items: list[dict[str, Vector]] = [*sample_items(5), {"text": sample_items(1)[0]["text"]}]
    np.testing.assert_array_equal(loaded.fuse_many(items), fusion.fuse_many(items))
    for mine, theirs in zip(fusion.blocks, loaded.blocks, strict=True):
        assert mine.query_means.keys() == theirs.query_means.keys()
        for tower in mine.query_means:
            np.testing.assert_array_equal(mine.query_means[tower], theirs.query_means[tower])


def test_gates_come_last_and_are_part_of_the_version(tmp_path: Path) -> None:
    plain, fusion = fit(), gated()
    assert fusion.gates is not None
    items: list[dict[str, Vector]] = [*sample_items(5), {"text": sample_items(1)[0]["text"]}]
    wanted = fusion.gates.apply(plain.blocks, plain.fuse_many(items))
    np.testing.assert_array_equal(fusion.fuse_many(items), wanted)
    assert np.abs(wanted - plain.fuse_many(items)).max() > 0.01
    assert fusion.version.startswith("gated-")
    assert fusion.gated(None).version == plain.version
    assert fusion.gated(fusion.gates) is fusion
    other = ModalityGates(2 * fusion.gates.weights)
    assert fusion.gated(other).version != fusion.version
    store = FusionStore(tmp_path)
    store.add(fusion)
    store.add(plain)
    assert set(store.versions()) == {plain.version, fusion.version}
    assert store.get(fusion.version).gates is not None
    assert store.get(plain.version).gates is None


@pytest.mark.parametrize("name", ["mean.text", "projection.image", "imputation.0", "gates"])
@pytest.mark.parametrize("damage", ["nan", "shape", "type", "absent", "value"])
def test_a_damaged_array_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    gated().save(tmp_path)
    arrays = load_file(tmp_path / "fusion.safetensors")
    if damage == "nan":
        arrays[name].flat[0] = np.nan
    elif damage == "shape":
        arrays[name] = arrays[name][:-1]
    elif damage == "type":
        arrays[name] = arrays[name].astype(np.float64)
    elif damage == "absent":
        del arrays[name]
    else:
        arrays[name].flat[0] += 1
    save_file(arrays, tmp_path / "fusion.safetensors")
    with pytest.raises(RejectedError):
        Fusion.load(tmp_path)


@pytest.mark.parametrize("layout", ["{", "[]", '{"format": 2}', '{"format": 1, "blocks": []}'])
def test_a_damaged_layout_is_refused(tmp_path: Path, layout: str) -> None:
    fit().save(tmp_path)
    (tmp_path / "fusion.json").write_text(layout)
    with pytest.raises(RejectedError):
        Fusion.load(tmp_path)


def test_a_layout_with_another_weight_is_refused(tmp_path: Path) -> None:
    fit().save(tmp_path)
    layout = json.loads((tmp_path / "fusion.json").read_text())
    layout["blocks"][0]["weight"] = 3.0
    (tmp_path / "fusion.json").write_text(json.dumps(layout))
    with pytest.raises(RejectedError, match="says fit-"):
        Fusion.load(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RejectedError, match="cannot be read"):
        Fusion.load(tmp_path)


def test_an_unknown_version_is_named(tmp_path: Path) -> None:
    store = FusionStore(tmp_path)
    for version in ("fit-000000000000", "../etc", "active"):
        with pytest.raises(NotFoundError, match="firstlight fit-fusion"):
            store.get(version)


def test_a_version_added_by_another_process_is_read_and_stays_when_others_are_retired(
    tmp_path: Path,
) -> None:
    store = FusionStore(tmp_path / "fusion")
    assert store.versions() == []
    old, new = fit(1), fit(2)
    store.add(old)
    FusionStore(tmp_path / "fusion").add(new)
    assert store.get(new.version).dim == new.dim
    store.retire(old.version)
    store.retire(old.version)
    assert store.versions() == [new.version]
    with pytest.raises(NotFoundError):
        store.get(old.version)
    with pytest.raises(RejectedError):
        store.retire("..")


def test_a_version_added_by_several_at_the_same_time_is_there_whole(tmp_path: Path) -> None:
    fusions = [fit(1), fit(2), fit(1), fit(2)]
    threads = [
        threading.Thread(target=FusionStore(tmp_path).add, args=(fusion,)) for fusion in fusions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = FusionStore(tmp_path)
    assert set(store.versions()) == {fusion.version for fusion in fusions}
    for fusion in fusions:
        assert Fusion.load(tmp_path / fusion.version).version == fusion.version
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_version_whose_files_are_lost_is_added_again(tmp_path: Path) -> None:
    FusionStore(tmp_path).add(fit())
    (tmp_path / fit().version / "fusion.json").unlink()
    with pytest.raises(RejectedError, match="cannot be read"):
        FusionStore(tmp_path).get(fit().version)
    FusionStore(tmp_path).add(fit())
    assert FusionStore(tmp_path).get(fit().version).version == fit().version


def adds_and_retires(folder: Path) -> None:
    store = FusionStore(folder)
    store.add(fit(1))
    store.add(fit(2))
    store.retire(fit(1).version)


def test_killed_at_any_step_every_version_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    first, second = fit(1).version, fit(2).version
    found = []
    for folder in at_every_step(adds_and_retires, tmp_path):
        store = FusionStore(folder)
        found.append(store.versions())
        for version in found[-1]:
            assert store.get(version).version == version
        store.add(fit(1))
        assert store.get(first).version == first
    stages = [list(stage) for stage in dict.fromkeys(tuple(one) for one in found)]
    assert stages == [[], [first], [first, second], [second]]
