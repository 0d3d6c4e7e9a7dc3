import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoders.cache import EmbeddingCache, cache_key


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[EmbeddingCache]:
    opened = EmbeddingCache(tmp_path, 2**24)
    yield opened
    opened.close()


def vector(seed: int, dim: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=dim).astype(np.float32)


@given(st.tuples(st.text(), st.binary()), st.tuples(st.text(), st.binary()))
def test_two_different_inputs_never_share_a_key(
    left: tuple[str, bytes], right: tuple[str, bytes]
) -> None:
    assert (cache_key(*left) == cache_key(*right)) == (left == right)


def test_moving_a_boundary_between_encoder_and_content_changes_the_key() -> None:
    assert cache_key("ab", b"c") != cache_key("a", b"bc")


def test_what_was_kept_is_found_bit_for_bit_and_by_other_processes_openings(
    cache: EmbeddingCache, tmp_path: Path
) -> None:
    kept = {cache_key("e", bytes([at])): vector(at) for at in range(5)}
    cache.put_many(kept)
    other = EmbeddingCache(tmp_path, 2**24)
    found = other.get_many([*kept, b"absent"], 8)
    other.close()
    assert found.keys() == kept.keys()
    assert all(np.array_equal(found[key], kept[key]) for key in kept)
    assert all(one.dtype == np.float32 for one in found.values())


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE embedding SET vector = zeroblob(32)",
        "UPDATE embedding SET vector = substr(vector, 1, 12)",
        "UPDATE embedding SET vector = 'text'",
        "UPDATE embedding SET checksum = checksum + 1",
    ],
)
def test_a_damaged_entry_is_ignored_and_rewritten(
    cache: EmbeddingCache, tmp_path: Path, damage: str
) -> None:
    key = cache_key("e", b"x")
    cache.put_many({key: vector(1)})
    with sqlite3.connect(cache.path) as connection:
        connection.execute(damage)
    connection.close()
    assert cache.get_many([key], 8) == {}
    cache.put_many({key: vector(1)})
    assert np.array_equal(cache.get_many([key], 8)[key], vector(1))


def test_a_vector_of_another_length_is_not_taken(cache: EmbeddingCache) -> None:
    cache.put_many({b"k": vector(1, 8)})
    assert cache.get_many([b"k"], 16) == {}


def test_a_file_that_is_no_database_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "embeddings.sqlite3").write_bytes(b"not a database" * 1000)
    cache = EmbeddingCache(tmp_path, 2**20)
    cache.put_many({b"k": vector(3)})
    assert np.array_equal(cache.get_many([b"k"], 8)[b"k"], vector(3))
    cache.close()


def test_it_stays_within_its_bound_and_the_longest_unused_leave_first(tmp_path: Path) -> None:
    bound = 2**20
    cache = EmbeddingCache(tmp_path, bound)
    cache.put_many({b"early": vector(0, 256)})
    with sqlite3.connect(cache.path) as connection:
        connection.execute("UPDATE embedding SET used_at = used_at - 5000")
    connection.close()
    assert b"early" in cache.get_many([b"early"], 256), "used again: now it is young"
    cache.put_many({b"old": vector(0, 256)})
    with sqlite3.connect(cache.path) as connection:
        connection.execute("UPDATE embedding SET used_at = used_at - 5000 WHERE key = ?", [b"old"])
    connection.close()
    for start in range(0, 1100, 100):
        cache.put_many({str(at).encode(): vector(at, 256) for at in range(start, start + 100)})
        size = cache.path.stat().st_size
        assert size <= 1.3 * bound
    assert cache.get_many([b"old"], 256) == {}
    assert len(cache.get_many([str(at).encode() for at in range(1000, 1100)], 256)) == 100
    cache.close()


def test_threads_and_two_openings_write_at_once(cache: EmbeddingCache, tmp_path: Path) -> None:
    other = EmbeddingCache(tmp_path, 2**24, busy_timeout_s=30)
    errors: list[BaseException] = []

    def work(opened: EmbeddingCache, offset: int) -> None:
        try:
            for at in range(offset, offset + 50):
                key = str(at).encode()
                opened.put_many({key: vector(at)})
                assert np.array_equal(opened.get_many([key], 8)[key], vector(at))
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=(opened, 1000 * at))
        for at, opened in enumerate([cache, cache, other, other])
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    other.close()
    assert errors == []


def test_a_cache_that_cannot_be_written_is_a_miss_and_no_error(
    cache: EmbeddingCache, tmp_path: Path
) -> None:
    impatient = EmbeddingCache(tmp_path, 2**24, busy_timeout_s=0.05)
    blocker = sqlite3.connect(cache.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    impatient.put_many({b"k": vector(1)})
    assert impatient.get_many([b"k"], 8) == {}
    blocker.execute("ROLLBACK")
    blocker.close()
    impatient.put_many({b"k": vector(1)})
    assert b"k" in impatient.get_many([b"k"], 8)
    impatient.close()


def test_looking_up_and_keeping_is_cheap(cache: EmbeddingCache) -> None:
    keys = [cache_key("e", str(at).encode()) for at in range(640)]
    vectors = {key: vector(at, 512) for at, key in enumerate(keys)}
    best_s = float("inf")
    for _ in range(3):
        started = time.thread_time()
        for start in range(0, 640, 64):
            part = keys[start : start + 64]
            cache.put_many({key: vectors[key] for key in part})
            assert len(cache.get_many(part, 512)) == 64
        best_s = min(best_s, time.thread_time() - started)
    assert best_s / 640 < 0.0002, "less than 0.2 ms an entry, kept and looked up in batches"


def test_a_closed_cache_finds_nothing(cache: EmbeddingCache) -> None:
    cache.put_many({b"k": vector(1)})
    cache.close()
    cache.put_many({b"m": vector(1)})
    assert cache.get_many([b"k"], 8) == {}
