"""The straight line of a batch: claim, fetch, encode, fuse, upsert, check, finish.

Each item's outcome stands alone. The line acts on the kind of an error: what is the item's own
fault ends it (permanent) or costs it an attempt (retryable); a store or an encoder that is away
postpones it without counting.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from structlog.contextvars import bound_contextvars

from catalog import (
    Catalog,
    Claim,
    Due,
    Indexed,
    ItemState,
    MediaFailure,
    Outcome,
    Pair,
    Postponed,
    Removed,
    Retry,
)
from domain.errors import PermanentError, RetryableError
from domain.items import Item
from domain.log import logger
from domain.vectors import RANK, Vector
from encoders import Encoders, ItemInputs, render_item
from index import ItemIndex, ItemPoint
from workers.batch import Batch, Fetched, Work, named, record
from workers.ghosts import Ghosts
from workers.isolation import Isolation

if TYPE_CHECKING:
    from workers.collection import Active, Collections
    from workers.composing import Composer
    from workers.fetch import MediaFetcher
    from workers.fetch_types import MediaKind

BATCHES_ENCODING = max(2, os.cpu_count() or 1)
"""Batches of more than one item in the encoders at once, so that a live item finds at most so
many ahead of it."""

BATCHES_TAKEN = BATCHES_ENCODING + 2
"""Batches that are claimed at once: the further ones fetch meanwhile. More would only wait, and
their lease with them."""

WAIT_S = 600.0
"""Bound on waiting for either."""

TRIED_BEFORE = "an earlier attempt ended without an outcome; it is tried alone"

log = logger(__name__)


@dataclass(slots=True)
class Report:
    """What became of one message.

    Attributes:
        outcomes: one per claimed pair that is still its item's newest version.
        again: due at once, because the serving collection changed while they were written.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    again: list[Due] = field(default_factory=list)


class Pipeline:
    """The line, shared by all threads of a worker.

    Args:
        max_attempts: on the last attempt media that still cannot be reached are left out.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        index: ItemIndex,
        encoders: Encoders,
        fetcher: MediaFetcher,
        collections: Collections,
        composer: Composer,
        isolation: Isolation,
        alias: str,
        max_attempts: int,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._encoders = encoders
        self._fetcher = fetcher
        self._collections = collections
        self._composer = composer
        self._isolation = isolation
        self._ghosts = Ghosts(catalog, index, alias)
        self._max_attempts = max_attempts
        self._taken = threading.BoundedSemaphore(BATCHES_TAKEN)
        self._encoding = threading.BoundedSemaphore(BATCHES_ENCODING)

    def run(self, pairs: Sequence[Pair]) -> Report:
        """Bring these versions into the index, or out of it.

        Stale, indexed and dead pairs are skipped, and what was taken before without an outcome
        waits until it is sent alone. Whatever happens to one item, the ledger has its outcome
        when this returns.

        Raises:
            RetryableError: the ledger does not answer; it sends the pairs again.
        """
        with _turn(self._taken, len(pairs)), self._isolation.together():
            claims = self._catalog.claim(pairs)
            suspects = [one for one in claims if one.attempts > 1 and one.item is not None]
            if suspects:
                self._catalog.finish([Postponed(one.pair, TRIED_BEFORE) for one in suspects])
                claims = [one for one in claims if one not in suspects]
            return self._run(pairs, claims, {})

    def run_alone(self, pair: Pair) -> Report:
        """As `run`, while no other item is under way in this process.

        An item may kill its process, and then costs every item beside it an attempt. What can
        be slow without being dangerous, fetching its media, is done in company.
        """
        ahead = self._fetch_ahead(pair)
        with self._isolation.alone():
            return self._run([pair], self._catalog.claim([pair]), ahead)

    def _run(self, pairs: Sequence[Pair], claims: Sequence[Claim], ahead: Fetched) -> Report:
        with bound_contextvars(**named(pairs)):
            if len(claims) < len(pairs):
                self._ghosts.clear(pairs, claims)
            if not claims:
                return Report()
            batch = Batch(claims)
            try:
                self._delete(batch)
                self._index_items(batch, ahead)
            except RetryableError as error:
                batch.postpone(str(error))
            except Exception as error:
                log.exception("pipeline_failed")
                batch.fail(f"unexpected {type(error).__name__}: {error}")
        outcomes = batch.outcomes()
        self._catalog.finish(outcomes)
        record(batch, outcomes)
        return Report(outcomes, self._written_elsewhere(batch))

    # -- deletions -----------------------------------------------------------------------

    def _delete(self, batch: Batch) -> None:
        """Out of every collection, for a refit may be filling another one."""
        if not batch.deletions:
            return
        pairs = [claim.pair for claim in batch.deletions]
        for collection in self._ghosts.collections():
            self._index.delete(collection, pairs)
        batch.removed = [Removed(pair) for pair in pairs]

    # -- items ---------------------------------------------------------------------------

    def _index_items(self, batch: Batch, ahead: Fetched) -> None:
        if not batch.works:
            return
        active = self._collections.active()
        with batch.stage("fetch"):
            fetched = ahead or self._fetch([(work.pair, work.item) for work in batch.works])
            for work in batch.works:
                last = work.claim.attempts >= self._max_attempts
                work.take(fetched.get(work.pair, ()), last_attempt=last)
        with batch.stage("encode"):
            self._encode(batch.unfinished())
        with batch.stage("fuse"):
            points = self._fuse(batch, active)
        if not points:
            return
        with batch.stage("upsert"):
            points = self._upsert(batch, active, points)
        batch.searchable_at = time.time()
        with batch.stage("check"):
            self._check(batch, active, points)
        batch.active = active

    def _fetch_ahead(self, pair: Pair) -> Fetched:
        """The media of a pair that is not claimed yet; nothing if it is no longer wanted."""
        record = self._catalog.item(pair.id)
        if record is None or record.item is None or record.version != pair.version:
            return {}
        return self._fetch([(pair, record.item)])

    def _fetch(self, items: Sequence[tuple[Pair, Item]]) -> Fetched:
        wanted: list[tuple[Pair, str, MediaKind, str]] = []
        for pair, item in items:
            for position, reference in enumerate(item.media.images):
                wanted.append((pair, f"media.images[{position}]", "image", reference))
            for position, reference in enumerate(item.media.audio):
                wanted.append((pair, f"media.audio[{position}]", "audio", reference))
        if not wanted:
            return {}
        contents = self._fetcher.fetch_all([(kind, reference) for *_, kind, reference in wanted])
        fetched: Fetched = {}
        for (pair, name, kind, _), content in zip(wanted, contents, strict=True):
            fetched.setdefault(pair, []).append((name, kind, content))
        return fetched

    def _encode(self, works: Sequence[Work]) -> None:
        if not works:
            return
        with _turn(self._encoding, len(works)):
            encoded = self._encoders.encode_items([_inputs(work) for work in works])
        sick = None
        for work, one in zip(works, encoded, strict=True):
            work.media.clear()
            work.vectors = one.vectors
            work.failures += [MediaFailure(part.field, part.message) for part in one.failures]
            if one.error is None:
                continue
            if isinstance(one.error, PermanentError):
                work.die(one.error)
                continue
            sick = sick or self._sickness()
            work.outcome = Postponed(work.pair, sick) if sick else Retry(work.pair, str(one.error))

    def _sickness(self) -> str:
        """Why the encoders can take no work, empty if they can: then the input was to blame."""
        try:
            self._encoders.check()
        except RetryableError as error:
            return str(error)
        return ""

    def _fuse(self, batch: Batch, active: Active) -> dict[str, ItemPoint]:
        works = batch.unfinished()
        if not works:
            return {}
        try:
            fused = list(active.fusion.fuse_many(_raw(works, active)))
        except PermanentError:
            fused = self._fuse_each(works, active)
            works = [work for work in works if work.outcome is None]
        if not works:
            return {}
        composed = self._composer.compose(active, [work.item for work in works], np.stack(fused))
        now = time.time()
        return {
            work.pair.id: ItemPoint(
                id=work.pair.id,
                version=work.pair.version,
                vectors={RANK: vector, **work.vectors},
                attributes=dict(work.item.attributes),
                title=work.item.title,
                fingerprint=active.fingerprint,
                indexed_at=work.claim.first_indexed_at or now,
                expires_at=work.item.expires_at.timestamp() if work.item.expires_at else None,
                gate=float(gate),
            )
            for work, vector, gate in zip(works, *composed, strict=True)
        }

    def _fuse_each(self, works: Sequence[Work], active: Active) -> list[Vector]:
        fused = []
        for work, vectors in zip(works, _raw(works, active), strict=True):
            try:
                fused.append(active.fusion.fuse(vectors))
            except PermanentError as error:
                work.die(error)
        return fused

    def _upsert(
        self, batch: Batch, active: Active, points: dict[str, ItemPoint]
    ) -> dict[str, ItemPoint]:
        """One conditional write of all that the index takes; what it refuses is dead."""
        try:
            self._index.upsert(active.collection, list(points.values()))
            return points
        except PermanentError:
            faults = self._index.faults(active.collection, points.values())
            if not faults:
                raise
        for work in batch.works:
            fault = faults.get(work.pair.id)
            if fault is not None:
                work.die(fault)
        sound = {item_id: point for item_id, point in points.items() if item_id not in faults}
        if sound:
            self._index.upsert(active.collection, list(sound.values()))
        return sound

    def _check(self, batch: Batch, active: Active, points: Mapping[str, ItemPoint]) -> None:
        """Take back what became stale while it was encoded.

        A conditional write inserts where no point exists, so an item deleted meanwhile would
        be back. Where a newer version is pending the point stays: that version overwrites it,
        and taking it back would keep an item that changes all the time out of every ranking.
        """
        states = self._catalog.states(list(points))
        models = {report.name: report.model for report in self._encoders.describe()}
        stale = []
        for work in batch.works:
            if work.pair.id not in points:
                continue
            version, state = states.get(work.pair.id, (0, ItemState.DELETED))
            if version == work.pair.version and state is not ItemState.DELETED:
                work.outcome = Indexed(
                    work.pair,
                    fingerprint=active.fingerprint,
                    models={name: models.get(name, "") for name in work.vectors},
                    failures=tuple(work.failures),
                )
                continue
            batch.superseded.add(work.pair)
            if not (version > work.pair.version and state is ItemState.PENDING):
                stale.append(work.pair)
        if stale:
            self._ghosts.undo(active.collection, stale)

    def _written_elsewhere(self, batch: Batch) -> list[Due]:
        """What was indexed into a collection that a refit replaced in the meantime.

        The refit activates its pointer, then looks through the ledger; we finish in the ledger,
        then look at the pointer. So one of the two sees the other.
        """
        if batch.active is None:
            return []
        now = self._collections.active()
        if now.fingerprint == batch.active.fingerprint:
            return []
        written = [work.pair.id for work in batch.works if isinstance(work.outcome, Indexed)]
        if not written:
            return []
        return self._catalog.requeue(
            other_than_fingerprint=now.fingerprint, ids=written, limit=len(written)
        )


def _inputs(work: Work) -> ItemInputs:
    return ItemInputs(render_item(work.item), work.contents("image"), work.contents("audio"))


def _raw(works: Sequence[Work], active: Active) -> list[Mapping[str, Vector]]:
    return active.fusion.with_attributes(
        [work.vectors for work in works], [work.item.attributes for work in works]
    )


@contextmanager
def _turn(batches: threading.BoundedSemaphore, items: int) -> Iterator[None]:
    """Wait for a place among the batches; a single item never waits."""
    if items < 2:
        yield
        return
    if not batches.acquire(timeout=WAIT_S):
        raise RetryableError("the batches before this one did not end in time")
    try:
        yield
    finally:
        batches.release()
