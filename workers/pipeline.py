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
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from catalog import (
    Catalog,
    Claim,
    Dead,
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
from domain.errors import FirstlightError, PermanentError, RetryableError
from domain.items import Item
from domain.log import logger
from domain.vectors import RANK, Vector
from encoders import EncodedItem, Encoders, ItemInputs, render_item
from index import ItemIndex, ItemPoint
from workers import metrics
from workers.isolation import Isolation

if TYPE_CHECKING:
    from workers.collection import Active, Collections
    from workers.fetch import MediaFetcher
    from workers.fetch_types import MediaKind

BATCHES_ENCODING = max(2, os.cpu_count() or 1)
"""Batches of more than one item in the encoders at once, so that a live item finds at most so
many ahead of it. Fetching for the next ones goes on meanwhile."""

ENCODING_WAIT_S = 600.0

TRIED_BEFORE = "an earlier attempt ended without an outcome; it is tried alone"

Fetched: TypeAlias = "dict[Pair, list[tuple[str, MediaKind, bytes | FirstlightError]]]"
"""The media of each pair: field name, kind, and content or why there is none."""

log = logger(__name__)


@dataclass(slots=True)
class Work:
    """One claimed item on its way; `outcome` is set as soon as it is known."""

    claim: Claim
    item: Item
    media: list[tuple[str, MediaKind, bytes]] = field(default_factory=list)
    failures: list[MediaFailure] = field(default_factory=list)
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    outcome: Outcome | None = None

    @property
    def pair(self) -> Pair:
        """Which version of which item."""
        return self.claim.pair


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
        models: name of each modality's model, kept with every item it encoded.
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
        models: Mapping[str, str],
        isolation: Isolation,
        alias: str,
        max_attempts: int,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._encoders = encoders
        self._fetcher = fetcher
        self._collections = collections
        self._models = models
        self._isolation = isolation
        self._prefix = f"{alias}-"
        self._max_attempts = max_attempts
        self._turns = threading.BoundedSemaphore(BATCHES_ENCODING)

    def run(self, pairs: Sequence[Pair]) -> Report:
        """Bring these versions into the index, or out of it.

        Stale, indexed and dead pairs are skipped, and what was taken before without an outcome
        waits until it is sent alone. Whatever happens to one item, the ledger has its outcome
        when this returns.

        Raises:
            RetryableError: the ledger does not answer; it sends the pairs again.
        """
        with self._isolation.together():
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
        if len(claims) < len(pairs):
            self._clear_ghosts(pairs, claims)
        if not claims:
            return Report()
        line = _Line(claims)
        try:
            self._delete(line)
            self._index_items(line, ahead)
        except RetryableError as error:
            line.postpone(str(error))
        except Exception as error:
            log.exception("pipeline_failed", items=len(claims))
            line.fail(f"unexpected {type(error).__name__}: {error}")
        outcomes = line.outcomes()
        self._catalog.finish(outcomes)
        _record(line, outcomes)
        return Report(outcomes, self._written_elsewhere(line))

    # -- deletions -----------------------------------------------------------------------

    def _delete(self, line: _Line) -> None:
        """Out of every collection, for a refit may be filling another one."""
        if not line.deletions:
            return
        pairs = [claim.pair for claim in line.deletions]
        for collection in self._index.collections():
            if collection.startswith(self._prefix):
                self._index.delete(collection, pairs)
        line.removed = [Removed(pair) for pair in pairs]

    def _clear_ghosts(self, pairs: Sequence[Pair], claims: Sequence[Claim]) -> None:
        """A worker killed between its write and its check left a point of a deleted item.

        Its message comes back and finds the deletion in the ledger.
        """
        taken = {claim.pair for claim in claims}
        left = [pair for pair in pairs if pair not in taken]
        states = self._catalog.states([pair.id for pair in left])
        ghosts = [
            pair
            for pair in left
            if pair.id in states
            and states[pair.id][1] is ItemState.DELETED
            and states[pair.id][0] >= pair.version
        ]
        if not ghosts:
            return
        try:
            for collection in self._index.collections():
                if collection.startswith(self._prefix):
                    self._index.undo(collection, ghosts)
        except RetryableError as error:
            log.warning("ghosts_not_cleared", items=len(ghosts), error=str(error))

    # -- items ---------------------------------------------------------------------------

    def _index_items(self, line: _Line, ahead: Fetched) -> None:
        if not line.works:
            return
        active = self._collections.active()
        with line.stage("fetch"):
            fetched = ahead or self._fetch([(work.pair, work.item) for work in line.works])
            for work in line.works:
                self._take(work, fetched.get(work.pair, []))
        with line.stage("encode"):
            self._encode([work for work in line.works if work.outcome is None])
        with line.stage("fuse"):
            points = self._fuse(line, active)
        if not points:
            return
        with line.stage("upsert"):
            points = self._upsert(line, active, points)
        line.searchable_at = time.time()
        with line.stage("check"):
            self._check(line, active, points)
        line.active = active

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

    def _take(
        self, work: Work, fetched: Sequence[tuple[str, MediaKind, bytes | FirstlightError]]
    ) -> None:
        """What was fetched, into the work: content, a failure that is listed, or a retry."""
        for name, kind, content in fetched:
            if isinstance(content, bytes):
                work.media.append((name, kind, content))
            elif isinstance(content, RetryableError) and work.claim.attempts < self._max_attempts:
                work.outcome = work.outcome or Retry(work.pair, f"{name}: {content}")
            else:
                work.failures.append(MediaFailure(name, str(content)))

    def _encode(self, works: Sequence[Work]) -> None:
        if not works:
            return
        with self._turn() if len(works) > 1 else nullcontext():
            encoded = self._encoders.encode_items([_inputs(work) for work in works])
        sick = None
        for work, one in zip(works, encoded, strict=True):
            work.media.clear()
            work.vectors = one.vectors
            work.failures += [MediaFailure(*failure) for failure in _failures(one)]
            if one.error is None:
                continue
            if isinstance(one.error, PermanentError):
                work.outcome = Dead(work.pair, _reason(one.error, work), tuple(work.failures))
                continue
            sick = sick or self._sickness()
            work.outcome = Postponed(work.pair, sick) if sick else Retry(work.pair, str(one.error))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=ENCODING_WAIT_S):
            raise RetryableError("the encoders did not get to this batch in time")
        try:
            yield
        finally:
            self._turns.release()

    def _sickness(self) -> str:
        """Why the encoders can take no work, empty if they can: then the input was to blame."""
        try:
            self._encoders.check()
        except RetryableError as error:
            return str(error)
        return ""

    def _fuse(self, line: _Line, active: Active) -> dict[str, ItemPoint]:
        works = [work for work in line.works if work.outcome is None]
        if not works:
            return {}
        try:
            fused = list(active.fusion.fuse_many([work.vectors for work in works]))
        except PermanentError:
            fused = self._fuse_each(works, active)
            works = [work for work in works if work.outcome is None]
        now = time.time()
        return {
            work.pair.id: ItemPoint(
                id=work.pair.id,
                version=work.pair.version,
                vectors={RANK: vector, **work.vectors},
                attributes=dict(work.item.attributes),
                title=work.item.title,
                fingerprint=active.fingerprint,
                indexed_at=now,
            )
            for work, vector in zip(works, fused, strict=True)
        }

    def _fuse_each(self, works: Sequence[Work], active: Active) -> list[Vector]:
        fused = []
        for work in works:
            try:
                fused.append(active.fusion.fuse(work.vectors))
            except PermanentError as error:
                work.outcome = Dead(work.pair, str(error), tuple(work.failures))
        return fused

    def _upsert(
        self, line: _Line, active: Active, points: dict[str, ItemPoint]
    ) -> dict[str, ItemPoint]:
        """One conditional write of all that the index takes; what it refuses is dead."""
        try:
            self._index.upsert(active.collection, list(points.values()))
            return points
        except PermanentError:
            faults = self._index.faults(active.collection, points.values())
            if not faults:
                raise
        for work in line.works:
            fault = faults.get(work.pair.id)
            if fault is not None:
                work.outcome = Dead(work.pair, str(fault), tuple(work.failures))
        sound = {item_id: point for item_id, point in points.items() if item_id not in faults}
        if sound:
            self._index.upsert(active.collection, list(sound.values()))
        return sound

    def _check(self, line: _Line, active: Active, points: Mapping[str, ItemPoint]) -> None:
        """Take back what became stale while it was encoded.

        A conditional write inserts where no point exists, so an item deleted meanwhile would
        be back. Where a newer version is pending the point stays: that version overwrites it,
        and taking it back would keep an item that changes all the time out of every ranking.
        """
        states = self._catalog.states(list(points))
        stale = []
        for work in line.works:
            if work.pair.id not in points:
                continue
            version, state = states.get(work.pair.id, (0, ItemState.DELETED))
            if version == work.pair.version and state is not ItemState.DELETED:
                work.outcome = Indexed(
                    work.pair,
                    fingerprint=active.fingerprint,
                    models={name: self._models.get(name, "") for name in work.vectors},
                    failures=tuple(work.failures),
                )
                continue
            line.superseded.add(work.pair)
            if not (version > work.pair.version and state is ItemState.PENDING):
                stale.append(work.pair)
        if stale:
            self._undo(active.collection, stale)

    def _undo(self, collection: str, stale: Sequence[Pair]) -> None:
        for last in (False, False, True):
            try:
                self._index.undo(collection, stale)
            except RetryableError:
                if last:
                    log.error("ghosts_left", pairs=stale, remedy="run `firstlight verify`")
                    raise
                time.sleep(0.5)
            else:
                metrics.UNDONE.inc(len(stale))
                return

    def _written_elsewhere(self, line: _Line) -> list[Due]:
        """What was indexed into a collection that a refit replaced in the meantime.

        The refit activates its pointer, then looks through the ledger; we finish in the ledger,
        then look at the pointer. So one of the two sees the other.
        """
        if line.active is None:
            return []
        now = self._collections.active()
        if now.fingerprint == line.active.fingerprint:
            return []
        written = [work.pair.id for work in line.works if isinstance(work.outcome, Indexed)]
        if not written:
            return []
        return self._catalog.requeue(
            other_than_fingerprint=now.fingerprint, ids=written, limit=len(written)
        )


class _Line:
    """One batch: its deletions, its items, and how long each stage took."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.deletions = [claim for claim in claims if claim.item is None]
        self.works = [Work(claim, claim.item) for claim in claims if claim.item is not None]
        self.removed: list[Removed] = []
        self.superseded: set[Pair] = set()
        self.active: Active | None = None
        self.searchable_at: float | None = None
        self.stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage, in seconds."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = time.perf_counter() - started
            metrics.STAGE_S.labels(name).observe(self.stages[name])

    def postpone(self, reason: str) -> None:
        """Nothing more can be done now, and no item is to blame."""
        for work in self.works:
            work.outcome = work.outcome or Postponed(work.pair, reason)
        self._deletions_left(reason)

    def fail(self, reason: str) -> None:
        """Nothing more can be done now, and any item may be to blame: each is tried alone."""
        for work in self.works:
            work.outcome = work.outcome or Retry(work.pair, reason)
        self._deletions_left(reason)

    def outcomes(self) -> list[Outcome]:
        """What the ledger is told; of superseded versions it wants to hear nothing."""
        found: list[Outcome] = list(self.removed)
        found += self._postponed_deletions
        for work in self.works:
            if work.outcome is not None and work.pair not in self.superseded:
                found.append(work.outcome)
        return found

    _postponed_deletions: Sequence[Postponed] = ()

    def _deletions_left(self, reason: str) -> None:
        if not self.removed:
            self._postponed_deletions = [Postponed(claim.pair, reason) for claim in self.deletions]


def _inputs(work: Work) -> ItemInputs:
    return ItemInputs(
        text=render_item(work.item),
        images=tuple((name, content) for name, kind, content in work.media if kind == "image"),
        audio=tuple((name, content) for name, kind, content in work.media if kind == "audio"),
    )


def _failures(encoded: EncodedItem) -> list[tuple[str, str]]:
    return [(failure.field, failure.message) for failure in encoded.failures]


def _reason(error: FirstlightError, work: Work) -> str:
    """The error, with every medium that could not be used."""
    return "; ".join([str(error), *(f"{name}: {message}" for name, message in work.failures)])


def _record(line: _Line, outcomes: Sequence[Outcome]) -> None:
    """One log line per item, and the counters."""
    claims = {work.pair: work.claim for work in line.works}
    claims |= {claim.pair: claim for claim in line.deletions}
    timings = {f"{name}_s": round(seconds, 4) for name, seconds in line.stages.items()}
    now = time.time()
    for outcome in outcomes:
        claim = claims[outcome.pair]
        kind = type(outcome).__name__.lower()
        metrics.ITEMS.labels(kind, claim.lane).inc()
        details: dict[str, object] = {}
        ended_at = now
        if isinstance(outcome, Indexed):
            ended_at = line.searchable_at or now
            metrics.SEARCHABLE_S.labels(claim.lane).observe(max(0.0, ended_at - claim.accepted_at))
            if outcome.failures:
                details["failures"] = [list(failure) for failure in outcome.failures]
        elif not isinstance(outcome, Removed):
            details["reason"] = outcome.reason
        log.info(
            "item",
            item=outcome.pair.id,
            version=outcome.pair.version,
            outcome=kind,
            attempts=claim.attempts,
            latency_s=round(ended_at - claim.accepted_at, 4),
            batch=len(claims),
            **timings,
            **details,
        )
    for pair in line.superseded:
        metrics.ITEMS.labels("superseded", claims[pair].lane).inc()
        log.info("item", item=pair.id, version=pair.version, outcome="superseded")
