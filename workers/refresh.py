"""Keeping rank vectors up to what people do: only what changed is written again.

Two kinds of work. *Moved*: items that somebody took since the last look; their N_i is counted
anew and their v_i folded in from who took them. *All*: after a training or a graph import every
item whose rank vector comes out differently. Both rewrite points at exactly the version that is
stored, so they never get before a newer content, and both may be killed at any moment: what is
left is done by the next call.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
from numpy.typing import NDArray

from catalog import START, Catalog, Cursor, InteractionRecord
from domain.durable import write_durably
from domain.locks import alone, alone_at_once
from domain.log import logger
from domain.settings import Settings
from domain.vectors import RANK, Matrix, Vector
from encoders import FusionStore
from index import ItemIndex, ItemPoint, StoredItem
from ranking import Hybrid
from ranking.collaborative import FEW, FOLD_HISTORY, FOLD_USERS
from workers.collection import Active, opened, registry_of
from workers.composing import Composed, Composer, factors_of

if TYPE_CHECKING:
    from workers.runtime import Runtime

PAGE = 5_000
BATCH = 256

ROUND_S = 5.0
"""A round ends after about so long; the next one goes on."""

MOVED = 0.05
"""An item is written again when N_i moved by this share of what it is written with."""

SAME = 1e-5

FOLD_READ = 1_000
"""Interactions of one user that are looked through for FOLD_HISTORY different items."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class State:
    """How far one collection is; on disk.

    Attributes:
        made_with: what every point was composed with; empty while that is being done.
        arrival, event_id: the last interaction that was looked at.
    """

    made_with: str = ""
    arrival: int = START.arrival
    event_id: str = START.event_id

    @property
    def cursor(self) -> Cursor:
        """The same as a place in the ledger."""
        return Cursor(self.arrival, self.event_id)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What one call did.

    Attributes:
        looked_at: items whose rank vectors were compared.
        rewritten: of them those that were written again.
        all_due: every point is to be looked at (`Refresher.all`), because of a new training or
            graph; until then nothing else is done.
        done: nothing is left for now.
    """

    looked_at: int = 0
    rewritten: int = 0
    all_due: bool = False
    done: bool = True


class Refresher:
    """For the collection that is served. One at a time over all processes."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        index: ItemIndex,
        composer: Composer,
        fusions: FusionStore,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._composer = composer
        self._fusions = fusions
        self._registry = registry_of(settings)
        self._folder = settings.folder("artifacts") / "refresh"

    @classmethod
    def of(cls, held: Runtime) -> Refresher:
        """With the stores of a worker."""
        return cls(held.settings, held.catalog, held.index, held.composer, held.collections.fusions)

    def round(self, budget_s: float = ROUND_S) -> Refreshed:
        """Items that somebody took since the last round, for about `budget_s` seconds.

        Raises:
            RetryableError: the ledger or the index does not answer; nothing is lost.
        """
        with alone_at_once(self._lock()) as mine:
            active = self._served() if mine else None
            if active is None:
                return Refreshed()
            hybrid, state = self._composer.hybrid(active), self._state(active)
            if state.made_with != self._made_with(hybrid):
                plain = not state.made_with and self._is_plain(hybrid)
                return Refreshed(all_due=not plain, done=plain)
            if hybrid.collaborative is None:
                return Refreshed()
            return self._moved(active, hybrid, state, time.monotonic() + budget_s)

    def all(self) -> Refreshed:
        """Compare every point with what it would be composed to now; write those that differ.

        Waits for a round that is under way.

        Raises:
            RetryableError: the ledger or the index does not answer; called again it goes on.
        """
        with alone(self._lock()):
            active = self._served()
            if active is None:
                return Refreshed()
            hybrid = self._composer.hybrid(active)
            made_with = self._made_with(hybrid)
            if self._state(active).made_with == made_with:
                return Refreshed()
            # What is taken from here on is looked at again by the rounds.
            cursor = _cursor_of(hybrid) or Cursor(self._catalog.settled(), "")
            self._put(active, State())
            looked_at = rewritten = 0
            for batch in self._index.scroll(active.collection, batch=BATCH, with_vectors=[RANK]):
                ranks = np.stack([item.vectors[RANK] for item in batch])
                composed = self._composer.recompose(active, batch, active.space.content_of(ranks))
                rewritten += self._rewrite(active, batch, ranks, composed)
                looked_at += len(batch)
            if self._made_with(self._composer.hybrid(active)) == made_with:
                self._put(active, State(made_with, cursor.arrival, cursor.event_id))
            log.info("refreshed_all", items=looked_at, rewritten=rewritten, hybrid=hybrid.version)
            return Refreshed(looked_at, rewritten)

    def these(self, ids: Sequence[str]) -> Refreshed:
        """Look at these items in the next round."""
        self._composer.touched.add(ids)
        return self.round()

    # -- items that moved ------------------------------------------------------------------

    def _moved(self, active: Active, hybrid: Hybrid, state: State, deadline: float) -> Refreshed:
        looked_at = rewritten = 0
        with self._composer.touched.taken() as ids:
            for start in range(0, len(ids), BATCH):
                rewritten += self._refold(active, hybrid, ids[start : start + BATCH])
            looked_at += len(ids)
        while page := self._catalog.interactions(state.cursor, PAGE):
            items = list(dict.fromkeys(one.item for one in page))
            for start in range(0, len(items), BATCH):
                rewritten += self._refold(active, hybrid, items[start : start + BATCH])
            looked_at += len(items)
            last = page[-1].cursor
            state = replace(state, arrival=last.arrival, event_id=last.event_id)
            self._put(active, state)
            if time.monotonic() > deadline:
                return Refreshed(looked_at, rewritten, done=False)
        if rewritten:
            log.info("refreshed", items=looked_at, rewritten=rewritten)
        return Refreshed(looked_at, rewritten)

    def _refold(self, active: Active, hybrid: Hybrid, ids: Sequence[str]) -> int:
        """Count and fold in again those of the items that moved; how many were written."""
        stored = self._index.fetch(active.collection, ids, with_vectors=[RANK])
        items = list(stored.values())
        if not items:
            return 0
        known = [item.id for item in items]
        ranks = np.stack([item.vectors[RANK] for item in items])
        counts = self._composer.counts(hybrid, known)
        written = hybrid.gate.counts(active.space.gates_of(ranks))
        moved = np.abs(counts - written) >= np.maximum(MOVED * written, 0.5)
        if not moved.any():
            return 0
        chosen = np.flatnonzero(moved)
        items, ranks = [items[at] for at in chosen], ranks[chosen]
        factors = self._factors(hybrid, items, ranks)
        composed = self._composer.recompose(active, items, active.space.content_of(ranks), factors)
        return self._rewrite(active, items, ranks, composed)

    def _factors(self, hybrid: Hybrid, items: Sequence[StoredItem], ranks: Matrix) -> Matrix:
        """v_i as they are now, [n, F]: of items trained with few users, or none, folded in."""
        side = hybrid.collaborative
        assert side is not None
        ids = [item.id for item in items]
        trained = hybrid.trained_counts(ids)
        stored = factors_of(hybrid, ids, dict(zip(ids, ranks, strict=True)))
        found = np.where((trained >= FEW)[:, None], hybrid.trained_factors(ids), stored).astype(
            np.float32
        )
        people: dict[str, Vector | None] = {}
        for at in np.flatnonzero(trained < FEW):
            audience = self._catalog.audience(ids[at], FOLD_USERS)
            self._meet([one.user for one in audience if one.user not in people], hybrid, people)
            rows = [(people[one.user], one.weight) for one in audience]
            met = [(row, weight) for row, weight in rows if row is not None]
            folded = None
            if met:
                folded = side.fold_in_item(
                    np.stack([row for row, _ in met]), [weight for _, weight in met]
                )
            found[at] = hybrid.trained_factors([ids[at]])[0] if folded is None else folded
        return found

    def _meet(self, users: Sequence[str], hybrid: Hybrid, people: dict[str, Vector | None]) -> None:
        """p_u of these users from what was trained of the items they took last."""
        for user in users:
            weights: dict[str, float] = {}
            for one in self._history(user):
                if one.item in weights or len(weights) < FOLD_HISTORY:
                    weights[one.item] = weights.get(one.item, 0.0) + one.weight
            taken = hybrid.fold_in_trained(list(weights), list(weights.values()))
            people[user] = None if taken is None else taken.vector

    def _history(self, user: str) -> list[InteractionRecord]:
        """What a user did last, further back where it is about few different items."""
        found = self._catalog.history(user, FOLD_HISTORY)
        different = len({one.item for one in found})
        again = different < FOLD_HISTORY <= len(found)
        return self._catalog.history(user, FOLD_READ) if again else found

    def _rewrite(
        self,
        active: Active,
        items: Sequence[StoredItem],
        ranks: Matrix,
        composed: Composed,
    ) -> int:
        """Write those that came out differently; how many that were."""
        changed = _changed(ranks, composed.ranks)
        if not len(changed):
            return 0
        raw = [name for name in self._index.dims(active.collection) if name != RANK]
        whole = self._index.fetch(
            active.collection, [items[at].id for at in changed], with_vectors=raw
        )
        now = time.time()
        points = [
            _point(whole[items[at].id], composed.ranks[at], float(composed.gates[at]), now)
            for at in changed
            if items[at].id in whole and whole[items[at].id].version == items[at].version
        ]
        if points:
            self._index.rewrite(active.collection, points)
        return len(points)

    # -- where it stands -------------------------------------------------------------------

    def _served(self) -> Active | None:
        serving = self._index.serving()
        record = self._registry.get(serving) if serving is not None else None
        return None if record is None else opened(record, self._fusions)

    def _made_with(self, hybrid: Hybrid) -> str:
        return f"{hybrid.item_version}/{self._composer.graph_version()}"

    def _is_plain(self, hybrid: Hybrid) -> bool:
        """Whether rank vectors are content alone, as they were first written."""
        return hybrid.collaborative is None and not self._composer.graph_version()

    def _path(self, active: Active) -> Path:
        return self._folder / f"{active.collection}.json"

    def _state(self, active: Active) -> State:
        try:
            return State(**orjson.loads(self._path(active).read_bytes()))
        except (OSError, orjson.JSONDecodeError, TypeError):
            return State()

    def _put(self, active: Active, state: State) -> None:
        write_durably(self._path(active), orjson.dumps(asdict(state)))

    def _lock(self) -> Path:
        """The file whose holder alone rewrites points."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / "lock"


def _cursor_of(hybrid: Hybrid) -> Cursor | None:
    """Up to where in the ledger it was trained."""
    found = hybrid.facts.get("cursor")
    return Cursor(int(found[0]), str(found[1])) if found else None


def _changed(before: Matrix, after: Matrix) -> NDArray[np.int64]:
    return np.flatnonzero(np.abs(before - after).max(axis=1) > SAME)


def _point(item: StoredItem, rank: Vector, gate: float, now: float) -> ItemPoint:
    return ItemPoint(
        id=item.id,
        version=item.version,
        vectors={RANK: rank, **item.vectors},
        attributes=item.attributes,
        title=item.title,
        fingerprint=item.fingerprint,
        indexed_at=item.indexed_at,
        expires_at=item.expires_at,
        gate=gate,
        rewritten_at=now,
    )
