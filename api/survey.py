"""What a catalogue's items and the people who took them say together, looked at once in a while."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_matrix

from api.ranked import Space
from api.vectors import ItemVectors
from catalog import Catalog
from domain.vectors import Matrix
from ranking.onboarding import Reals, Taste, covariance_of, learn_taste

LATEST_TAKEN = 100_000
"""Interactions that are looked at, the latest."""

MOST_OF_EACH = 300
"""Of one person, so that nobody decides alone what everybody is asked."""

MOST_TAKEN = 400
"""Items that may be asked about: those that most people took."""

NEWEST = 200
"""Newest items, which are not asked about but are to be ranked well. Where nobody has taken
anything, as many as MOST_TAKEN of them are what may be asked about."""

FRESH_S = 600.0
"""How old a survey may be."""


@dataclass(frozen=True, slots=True)
class Survey:
    """n items of one collection, and how people's preferences lie among them.

    Attributes:
        ids: of the items.
        place: {id: position in `ids`}.
        ranks: [n, dim] float32, rank vectors.
        content: [n, d] float32, content vectors.
        known: [n], the probability that a person knows each item.
        askable: whether each item may be asked about.
        taste: of the people whose interactions came last.
        covariance: [n, n] of `taste` over the items.
        people: how many people that is.
    """

    collection: str
    ids: list[str]
    ranks: Matrix
    content: Matrix
    known: Reals
    askable: list[bool]
    taste: Taste
    covariance: Reals
    people: int
    made_at: float
    place: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", {one: at for at, one in enumerate(self.ids)})


class Surveys:
    """Makes the survey of the collection that serves, and keeps it for FRESH_S; thread-safe.

    Raises, as its stores do, RetryableError when they do not answer.
    """

    def __init__(
        self,
        catalog: Catalog,
        vectors: ItemVectors,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._vectors = vectors
        self._clock = clock
        self._lock = threading.Lock()
        self._held: Survey | None = None

    def of(self, space: Space) -> Survey:
        """The survey of this collection, at most FRESH_S old."""
        held = self._held
        if held is not None and self._is_fresh(held, space):
            return held
        with self._lock:
            held = self._held
            if held is None or not self._is_fresh(held, space):
                held = self._held = self._make(space)
            return held

    def _is_fresh(self, survey: Survey, space: Space) -> bool:
        fresh = self._clock() - survey.made_at < FRESH_S
        return fresh and survey.collection == space.collection and bool(survey.ids)

    def _make(self, space: Space) -> Survey:
        latest = self._catalog.latest_taken(LATEST_TAKEN, of_each=MOST_OF_EACH)
        taken = list(dict.fromkeys(latest))
        people = len({user for user, _ in taken})
        count = Counter(item for _, item in taken)
        popular = sorted(count, key=lambda item: (-count[item], item))[: 2 * MOST_TAKEN]
        newest = self._catalog.newest(MOST_TAKEN)
        held = self._vectors.of_items(space.collection, list(dict.fromkeys([*popular, *newest])))
        asked = [one for one in popular if one in held][:MOST_TAKEN]
        among = set(asked)
        others = [one for one in newest if one in held and one not in among]
        others = others[: NEWEST if asked else MOST_TAKEN]
        ids = [*asked, *others]
        ranks = np.stack([held[one].vector for one in ids]) if ids else _nothing(space)
        content = space.rank.content_of(ranks)
        taste = learn_taste(content, _who_took(taken, ids))
        share = np.array([(count[one] + 1.0) / (people + 2.0) for one in ids])
        return Survey(
            collection=space.collection,
            ids=ids,
            ranks=ranks,
            content=content,
            known=share if asked else np.ones(len(ids)),
            askable=[not asked or one in among for one in ids],
            taste=taste,
            covariance=covariance_of(taste, content),
            people=people,
            made_at=self._clock(),
        )


def _nothing(space: Space) -> Matrix:
    return np.zeros((0, space.rank.dim), dtype=np.float32)


def _who_took(taken: Sequence[tuple[str, str]], ids: Sequence[str]) -> csr_matrix:
    """[people, items], 1 where a person took an item."""
    place = {item: at for at, item in enumerate(ids)}
    rows: dict[str, int] = {}
    pairs = [
        (rows.setdefault(user, len(rows)), place[item]) for user, item in taken if item in place
    ]
    ones = np.ones(len(pairs))
    at = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return csr_matrix((ones, (at[:, 0], at[:, 1])), shape=(len(rows), len(ids)))
