"""Hybrids arrive as artifacts: atomically, without a restart, and only sound ones."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from domain.durable import write_durably
from domain.errors import RejectedError
from domain.locks import alone_at_once
from ranking import HybridStore, alone, part_dims, prior, projection, rank_space, user_vector
from ranking.artifact import load
from ranking.projection import FACTS_FILE, WEIGHTS_FILE, Projection

from .conftest import make_fusion

DIM = 15


def space(fusion):
    return rank_space(fusion.blocks, 3, 2)


def learned(fusion, seed=7):
    random = np.random.default_rng(seed)
    return projection(
        fusion,
        {
            part: random.normal(size=(rows, DIM)).astype(np.float32)
            for part, rows in part_dims(fusion.blocks).items()
        },
    )


def test_before_anything_is_published_the_prior_serves(tmp_path, fusion):
    assert HybridStore(tmp_path).current(fusion, space(fusion)).version == "prior-fit-test"


def test_a_published_projection_serves_at_the_next_call_of_another_process(tmp_path, fusion):
    reader, writer = HybridStore(tmp_path), HybridStore(tmp_path)
    assert reader.current(fusion, space(fusion)).version.startswith("prior-")
    a = learned(fusion)
    writer.publish(alone(a, space(fusion)), fusion)
    found = reader.current(fusion, space(fusion))
    assert found.version == a.version
    for part, matrix in a.matrices.items():
        assert np.array_equal(found.projection.matrices[part], matrix)
    assert reader.versions() == [a.version]


def test_an_a_made_by_hand_changes_the_ranking_as_computed_by_hand(tmp_path, fusion):
    # The user likes text block dimension 0. A sends it to audio dimension 0 with factor 2 and
    # gives every item .5 of its image dimension 1 as bias.
    matrices = {
        "history": np.zeros((DIM, DIM), dtype=np.float32),
        "one": np.zeros((1, DIM), dtype=np.float32),
    }
    matrices["history"][0, 11] = 2.0
    matrices["one"][0, 7] = 0.5
    items = np.zeros((3, DIM), dtype=np.float32)
    items[0, 0] = 1.0
    items[1, 11] = 1.0
    items[2, 7] = 1.0
    history = items[0]
    user = user_vector(fusion.blocks, {}, history, 1, 3.0)
    store = HybridStore(tmp_path)
    assert (items @ store.current(fusion, space(fusion)).query(user).vector[:DIM]).tolist() == [
        1.0,
        0.0,
        0.0,
    ]
    store.publish(alone(projection(fusion, matrices), space(fusion)), fusion)
    assert (items @ store.current(fusion, space(fusion)).query(user).vector[:DIM]).tolist() == [
        0.0,
        2.0,
        0.5,
    ]


@pytest.mark.parametrize(
    ("part", "matrix", "message"),
    [
        ("text", np.zeros((11, DIM), np.float32), r"\[11, 15\], expected float32 \[12, 15\]"),
        ("text", np.zeros((12, DIM + 1), np.float32), "expected float32"),
        ("text", np.zeros(DIM, np.float32), "expected float32"),
        ("history", np.zeros((DIM, DIM), np.float64), "float64"),
        ("text", np.full((12, DIM), np.nan, np.float32), "NaN or infinity"),
        ("one", np.full((1, DIM), np.inf, np.float32), "NaN or infinity"),
        ("moon", np.zeros((2, DIM), np.float32), "no such part"),
    ],
)
def test_an_unsound_projection_is_refused_and_the_old_one_stays(
    tmp_path, fusion, part, matrix, message
):
    store, good = HybridStore(tmp_path), learned(fusion)
    store.publish(alone(good, space(fusion)), fusion)
    bad = Projection("a-bad", fusion.version, good.layout, {part: matrix})
    with pytest.raises(RejectedError, match=message):
        store.publish(alone(bad, space(fusion)), fusion)
    assert store.current(fusion, space(fusion)).version == good.version
    # Written by somebody who did not check: refused when it is read.
    (tmp_path / "a-bad").mkdir()
    bad.save(tmp_path / "a-bad")
    (tmp_path / f"current-{fusion.version}.json").write_text('{"version": "a-bad"}')
    assert store.current(fusion, space(fusion)).version == good.version
    with pytest.raises(RejectedError, match=message):
        load(tmp_path / "a-bad", fusion, space(fusion))


def test_a_projection_of_another_fusion_is_refused_and_the_old_one_stays(tmp_path, fusion):
    store, other = HybridStore(tmp_path), make_fusion(seed=9, version="fit-other")
    good, foreign = learned(fusion), learned(other)
    store.publish(alone(good, space(fusion)), fusion)
    with pytest.raises(RejectedError, match="fit-other"):
        store.publish(alone(foreign, space(fusion)), fusion)
    assert store.current(fusion, space(fusion)).version == good.version


def test_blocks_that_lie_elsewhere_are_refused(fusion):
    a = learned(fusion)
    shifted = Projection(a.version, a.fusion_version, {"text": (0, 15)}, a.matrices)
    with pytest.raises(RejectedError, match="blocks"):
        shifted.check(fusion)


def test_every_fusion_keeps_its_own_projection_for_going_back(tmp_path, fusion):
    store, other = HybridStore(tmp_path), make_fusion(seed=9, version="fit-other")
    first, second = learned(fusion), learned(other)
    store.publish(alone(first, space(fusion)), fusion)
    store.publish(alone(second, space(other)), other)
    assert store.current(other, space(other)).version == second.version
    assert store.current(fusion, space(fusion)).version == first.version


@pytest.mark.parametrize("damage", ["weights", "facts", "format", "pointer", "gone"])
def test_a_damaged_artifact_is_refused_and_the_old_one_stays(tmp_path, fusion, damage):
    store, first, second = HybridStore(tmp_path), learned(fusion), learned(fusion, seed=8)
    store.publish(alone(first, space(fusion)), fusion)
    assert store.current(fusion, space(fusion)).version == first.version
    HybridStore(tmp_path).publish(alone(second, space(fusion)), fusion)
    folder = tmp_path / second.version
    if damage == "weights":
        (folder / WEIGHTS_FILE).write_bytes(b"\x00" * 64)
    elif damage == "facts":
        (folder / FACTS_FILE).write_text("{")
    elif damage == "format":
        facts = json.loads((folder / FACTS_FILE).read_text())
        (folder / FACTS_FILE).write_text(json.dumps(facts | {"format": 99}))
    elif damage == "pointer":
        (tmp_path / f"current-{fusion.version}.json").write_text('{"version": "../../etc"}')
    else:
        (folder / FACTS_FILE).unlink()
    assert store.current(fusion, space(fusion)).version == first.version
    fresh = HybridStore(tmp_path).current(fusion, space(fusion))
    assert fresh.version == prior(fusion).version


def test_readers_always_see_a_whole_projection_while_others_publish(tmp_path, fusion):
    store, versions = HybridStore(tmp_path), [learned(fusion, seed) for seed in range(6)]
    known = {a.version for a in versions} | {prior(fusion).version}
    seen: set[str] = set()
    done = threading.Event()

    def read():
        while not done.wait(0.001):
            seen.add(store.current(fusion, space(fusion)).version)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    publishers = [
        threading.Thread(
            target=HybridStore(tmp_path).publish, args=(alone(a, space(fusion)), fusion)
        )
        for a in [*versions, *versions]
    ]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    done.set()
    for reader in readers:
        reader.join()
    assert seen <= known
    assert store.current(fusion, space(fusion)).version in {a.version for a in versions}
    assert not list(tmp_path.glob(".*"))


def test_nobody_removes_a_hybrid_before_its_pointer_is_written(tmp_path, fusion, monkeypatch):
    held = []

    def write(path, content):
        with alone_at_once(tmp_path / "lock") as mine:
            held.append(mine)
        write_durably(path, content)

    monkeypatch.setattr("ranking.store.write_durably", write)
    store = HybridStore(tmp_path)
    for seed in range(6):
        store.publish(alone(learned(fusion, seed), space(fusion)), fusion)
    assert held == [False] * 6
    with alone_at_once(tmp_path / "lock") as mine:
        assert mine
    assert store.current(fusion, space(fusion)).version == learned(fusion, 5).version
    assert len(store.versions()) == 3


def test_an_old_hybrid_that_is_published_again_serves(tmp_path, fusion):
    store, versions = HybridStore(tmp_path), [learned(fusion, seed) for seed in range(4)]
    for a in [*versions[:3], versions[0], versions[3], versions[0]]:
        store.publish(alone(a, space(fusion)), fusion)
        assert store.current(fusion, space(fusion)).version == a.version
