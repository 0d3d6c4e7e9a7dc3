"""The same operations in the same order give the same answers on a server and in local mode."""

from __future__ import annotations

import random
from typing import Any

import pytest

from index import ItemPoint, StoredItem
from tests.fixtures.stores import Shelf, as_filters, item_point, vector

IDS = [f"i{n}" for n in range(25)]
GENRES = ["Drama", "War", "Comedy", "Noir"]
FILTERS: list[dict[str, Any]] = [
    {},
    {"genre": "Drama"},
    {"genre": {"not": ["War", "Noir"]}},
    {"year": {"gte": 1990, "lt": 1996}},
    {"year": [1991, 1992.5], "free": True},
    {"genre": ["War", "Drama"], "free": {"not": [False]}},
]


class Player:
    """Draws operations from a seed and plays each on both shelves."""

    def __init__(self, seed: int, served: Shelf, local: Shelf) -> None:
        self.draw = random.Random(seed)
        self.shelves = (served, local)
        # Every attribute name from the start, or local mode could not know it.
        for shelf in self.shelves:
            first = item_point("first", attributes={"genre": "Noir", "year": 1990, "free": True})
            shelf.store.upsert(shelf.collection, [first])

    def point(self) -> ItemPoint:
        draw = self.draw
        attributes: dict[str, Any] = {}
        if draw.random() < 0.8:
            attributes["genre"] = draw.choice([draw.choice(GENRES), draw.sample(GENRES, 2), []])
        if draw.random() < 0.8:
            attributes["year"] = draw.choice([1990 + draw.randrange(8), 1990.5 + draw.randrange(4)])
        if draw.random() < 0.5:
            attributes["free"] = draw.random() < 0.5
        vectors = {"rank": vector(draw.randrange(10**6), 12)}
        if draw.random() < 0.7:
            vectors["text"] = draw.choice([0.5, 1, 30]) * vector(draw.randrange(10**6), 6)
        if draw.random() < 0.4:
            vectors["image"] = vector(draw.randrange(10**6), 4)
        return item_point(
            draw.choice(IDS), 1 + draw.randrange(40), attributes=attributes, vectors=vectors
        )

    def write(self) -> None:
        draw = self.draw
        kind = draw.choice(["upsert", "upsert", "upsert", "delete", "undo"])
        if kind == "upsert":
            batch = [self.point() for _ in range(draw.randrange(1, 9))]
            for shelf in self.shelves:
                shelf.store.upsert(shelf.collection, batch)
            return
        count = draw.randrange(1, 6)
        pairs = [(draw.choice(IDS), 1 + draw.randrange(40)) for _ in range(count)]
        for shelf in self.shelves:
            act = shelf.store.delete if kind == "delete" else shelf.store.undo
            act(shelf.collection, pairs)

    def compare(self) -> None:
        served, local = (self.state(shelf) for shelf in self.shelves)
        assert set(served) == set(local)
        for item_id, item in served.items():
            other = local[item_id]
            assert _plain(item) == _plain(other)
            for name, found in item.vectors.items():
                assert found == pytest.approx(other.vectors[name], rel=1e-5, abs=1e-6)

    def compare_answers(self) -> None:
        draw = self.draw
        filters = as_filters(draw.choice(FILTERS))
        using = draw.choice(["rank", "rank", "text", "image"])
        asked = vector(draw.randrange(10**6), {"rank": 12, "text": 6, "image": 4}[using])
        exclude = draw.sample(IDS, draw.randrange(4))
        limit = draw.choice([1, 5, 100])
        answers = [
            shelf.store.query(
                shelf.collection, asked, using=using, limit=limit, filters=filters, exclude=exclude
            )
            for shelf in self.shelves
        ]
        served, local = answers
        assert [hit.id for hit in served] == [hit.id for hit in local]
        assert [hit.score for hit in served] == pytest.approx(
            [hit.score for hit in local], rel=1e-4, abs=1e-5
        )
        counts = [shelf.store.count(shelf.collection, filters) for shelf in self.shelves]
        assert counts[0] == counts[1]

    @staticmethod
    def state(shelf: Shelf) -> dict[str, StoredItem]:
        pages = shelf.store.scroll(
            shelf.collection, batch=9, with_vectors=["rank", "text", "image"]
        )
        return {item.id: item for page in pages for item in page}


def _plain(item: StoredItem) -> tuple[Any, ...]:
    names = tuple(sorted(item.vectors))
    return (item.version, item.title, item.attributes, item.modalities, item.indexed_at, names)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_server_and_local_mode_agree_after_every_operation(
    shelves: tuple[Shelf, Shelf], seed: int
) -> None:
    player = Player(seed, *shelves)
    for step in range(60):
        player.write()
        player.compare_answers()
        if step % 10 == 9:
            player.compare()
    assert len(player.state(shelves[0])) > 5
