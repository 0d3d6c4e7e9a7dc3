"""Many writers at once: the newest version stands and no acknowledged write is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.fixtures.stores import Shelf, item_point, vector

WRITERS = 8
IDS = [f"i{n}" for n in range(12)]


def _together(jobs: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        for future in [pool.submit(job) for job in jobs]:
            future.result(timeout=120)


def test_racing_writers_leave_the_newest_version_of_every_item(served_shelf: Shelf) -> None:
    store, collection = served_shelf.store, served_shelf.collection
    pairs = [(item_id, version) for item_id in IDS for version in range(1, 31)]
    random.Random(5).shuffle(pairs)
    batches = [pairs[start : start + 9] for start in range(0, len(pairs), 9)]
    _together(
        [
            lambda batch=batch: store.upsert(collection, [item_point(*pair) for pair in batch])
            for batch in batches
        ]
    )
    assert served_shelf.versions() == dict.fromkeys(IDS, 30)
    for item in store.fetch(collection, IDS).values():
        assert item.title == f"{item.id} at 30"


def test_racing_deletions_never_remove_what_is_newer(served_shelf: Shelf) -> None:
    store, collection = served_shelf.store, served_shelf.collection
    jobs: list[Callable[[], None]] = []
    for item_id in IDS:
        for version in range(1, 21):
            point = item_point(item_id, version)
            jobs.append(lambda point=point: store.upsert(collection, [point]))
            jobs.append(lambda pair=(item_id, version - 1): store.delete(collection, [pair]))
            jobs.append(lambda pair=(item_id, version - 1): store.undo(collection, [pair]))
    random.Random(6).shuffle(jobs)
    _together(jobs)
    assert served_shelf.versions() == dict.fromkeys(IDS, 20)


def test_queries_beside_writers_all_answer(served_shelf: Shelf) -> None:
    store, collection = served_shelf.store, served_shelf.collection
    store.upsert(collection, [item_point(f"base{n}") for n in range(50)])
    found: list[int] = []

    def ask() -> None:
        hits = store.query(collection, vector(1, 12), limit=50)
        found.append(len({hit.id for hit in hits}))

    def write(number: int) -> None:
        store.upsert(collection, [item_point(f"new{number}", attributes={f"a{number % 5}": "x"})])

    jobs: list[Callable[[], None]] = [ask for _ in range(60)]
    jobs += [lambda number=number: write(number) for number in range(60)]
    random.Random(7).shuffle(jobs)
    _together(jobs)
    assert found == [50] * 60
    assert store.count(collection) == 110
    assert set(store.attributes(collection)) == {f"a{n}" for n in range(5)}
