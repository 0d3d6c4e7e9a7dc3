"""`firstlight verify`: ledger and index compared item by item, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from catalog import Catalog, ItemRecord, ItemState
from domain.errors import RejectedError
from domain.settings import Settings
from index import ItemIndex, StoredItem
from workers.collection import registry_of
from workers.collection_settle import Dispatch

PAGE = 500
REPAIR_AT_ONCE = 256


class Kind(StrEnum):
    """How ledger and index can differ."""

    MISSING = "missing"
    GHOST = "ghost"
    VERSION = "version"
    FINGERPRINT = "fingerprint"


@dataclass(frozen=True, slots=True)
class Difference:
    """One item on which they differ.

    Attributes:
        kind: missing (indexed in the ledger, not in the index), ghost (in the index, deleted or
            unknown in the ledger), version (another version), fingerprint (vectors of other
            encoders or another fusion).
        ledger_version: None where the ledger knows no such item.
        index_version: None where the index does not hold it.
        detail: the difference in words.
    """

    kind: Kind
    id: str
    ledger_version: int | None
    index_version: int | None
    detail: str


class Verifier:
    """Compares the ledger with the collection that is served.

    An item on its way (pending, or its deletion outstanding) is no difference, nor is an older
    version that is served while the newest is dead. What looks different is looked at again,
    ledger, index, ledger, and is reported only if the ledger stood still: on a busy system
    nothing is reported that was merely in motion.

    Attributes:
        points, items: how many of the index and of the ledger were compared so far.
    """

    def __init__(self, settings: Settings, catalog: Catalog, index: ItemIndex) -> None:
        """
        Raises:
            RejectedError: nothing is served.
            RetryableError: the index does not answer.
        """
        serving = index.serving()
        if serving is None:
            raise RejectedError(
                "the index serves no collection",
                remedy="start a worker, then run `firstlight reindex`",
            )
        registry = registry_of(settings)
        record, goal = registry.get(serving), registry.goal()
        self.collection = serving
        self.points = 0
        self.items = 0
        self._fingerprint = record.fingerprint if record is not None else None
        self._moving_to = None
        if goal is not None and goal.collection != serving:
            self._moving_to = goal.fingerprint
        self._catalog = catalog
        self._index = index

    def differences(self) -> Iterator[Difference]:
        """Every difference, as it is found: first what the index holds, then what it lacks.

        Raises:
            RetryableError: the ledger or the index does not answer.
        """
        for batch in self._index.scroll(self.collection, batch=PAGE):
            self.points += len(batch)
            states = self._catalog.states([stored.id for stored in batch])
            for stored in batch:
                if states.get(stored.id) != (stored.version, ItemState.INDEXED) or (
                    stored.fingerprint != self._fingerprint
                ):
                    yield from self._confirmed(stored.id)
        after = None
        while page := self._catalog.items(state=ItemState.INDEXED, limit=PAGE, after=after):
            after = page[-1].id
            self.items += len(page)
            held = self._index.fetch(self.collection, [record.id for record in page])
            for record in page:
                if record.id not in held:
                    yield from self._confirmed(record.id)
                elif record.fingerprint != self._fingerprint and (
                    held[record.id].fingerprint == self._fingerprint
                ):
                    # a wrong fingerprint of the point was reported in the first pass
                    yield from self._confirmed(record.id)

    def repair(self, differences: Iterable[Difference], dispatch: Dispatch) -> int:
        """Remove ghosts, send the rest through the encoders again; how many were seen to.

        A point of a wrong version or fingerprint is removed first, for a conditional write would
        leave it.
        """
        repaired = 0
        batch: list[Difference] = []
        for difference in differences:
            batch.append(difference)
            if len(batch) == REPAIR_AT_ONCE:
                repaired += self._repair(batch, dispatch)
                batch = []
        return repaired + self._repair(batch, dispatch)

    def _repair(self, batch: Sequence[Difference], dispatch: Dispatch) -> int:
        if not batch:
            return 0
        wrong = [(one.id, one.index_version) for one in batch if one.index_version is not None]
        if wrong:
            self._index.undo(self.collection, wrong)
        again = [one.id for one in batch if one.kind is not Kind.GHOST]
        if again:
            dispatch(self._catalog.requeue(ids=again, limit=len(again)))
        return len(batch)

    def _confirmed(self, item_id: str) -> Iterator[Difference]:
        before = self._catalog.item(item_id)
        stored = self._index.fetch(self.collection, [item_id]).get(item_id)
        after = self._catalog.item(item_id)
        if _stamp(before) == _stamp(after):
            difference = self._judge(item_id, before, stored)
            if difference is not None:
                yield difference

    def _judge(
        self, item_id: str, record: ItemRecord | None, stored: StoredItem | None
    ) -> Difference | None:
        def differs(kind: Kind, detail: str) -> Difference:
            return Difference(
                kind,
                item_id,
                None if record is None else record.version,
                None if stored is None else stored.version,
                detail,
            )

        if record is None:
            return None if stored is None else differs(Kind.GHOST, "the ledger does not know it")
        if stored is not None and stored.version > record.version:
            return differs(Kind.VERSION, "the index is ahead: was the ledger restored?")
        if record.state is ItemState.DELETED:
            if stored is None or record.next_attempt_at is not None:
                return None
            return differs(Kind.GHOST, "it is deleted")
        if record.state is not ItemState.INDEXED or record.fingerprint == self._moving_to:
            return None
        if stored is None:
            return differs(Kind.MISSING, "the index does not hold it")
        if stored.version < record.version:
            return differs(Kind.VERSION, "the index holds an older version")
        for found, where in ((stored.fingerprint, "index"), (record.fingerprint, "ledger")):
            if self._fingerprint is not None and found != self._fingerprint:
                detail = f"the {where} has it under {found}, {self._fingerprint} is served"
                return differs(Kind.FINGERPRINT, detail)
        return None


def _stamp(record: ItemRecord | None) -> tuple[object, ...]:
    if record is None:
        return ()
    return (record.version, record.state, record.updated_at, record.next_attempt_at)
