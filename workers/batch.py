"""One message's items on their way through the pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from catalog import (
    Claim,
    Dead,
    Indexed,
    MediaFailure,
    Outcome,
    Pair,
    Postponed,
    Removed,
    Retry,
)
from domain.errors import FirstlightError, RetryableError
from domain.items import Item
from domain.log import logger
from domain.vectors import Vector
from workers import metrics

if TYPE_CHECKING:
    from workers.collection import Active
    from workers.fetch_types import MediaKind

FetchedMedium: TypeAlias = "tuple[str, MediaKind, bytes | FirstlightError]"
"""Field name (media.images[0]), kind, and content or why there is none."""

Fetched: TypeAlias = dict[Pair, list[FetchedMedium]]
"""The media of each pair."""

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

    def take(self, fetched: Sequence[FetchedMedium], *, last_attempt: bool) -> None:
        """What was fetched: content, a failure that is listed, or a reason to try again."""
        for name, kind, content in fetched:
            if isinstance(content, bytes):
                self.media.append((name, kind, content))
            elif isinstance(content, RetryableError) and not last_attempt:
                self.outcome = self.outcome or Retry(self.pair, f"{name}: {content}")
            else:
                self.failures.append(MediaFailure(name, str(content)))

    def contents(self, wanted: MediaKind) -> tuple[tuple[str, bytes], ...]:
        """(field name, content) of the pictures or of the clips."""
        return tuple((name, content) for name, kind, content in self.media if kind == wanted)

    def die(self, error: FirstlightError) -> None:
        """No attempt will succeed; the reason names every medium that could not be used, once."""
        reason = str(error)
        media = [f"{name}: {message}" for name, message in self.failures]
        left = [one for one in media if one not in reason]  # an encoder's error lists its own
        self.outcome = Dead(self.pair, "; ".join([reason, *left]), tuple(self.failures))


class Batch:
    """What one message brought: deletions, items, and how long each stage took.

    Attributes:
        removed: deletions carried out.
        superseded: versions that stopped being their item's newest while they were encoded.
        active: where the items were written, None while nothing was.
        searchable_at: when they could be found, seconds since 1970.
        stages: seconds by stage.
    """

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.deletions = [claim for claim in claims if claim.item is None]
        self.works = [Work(claim, claim.item) for claim in claims if claim.item is not None]
        self.removed: list[Removed] = []
        self.superseded: set[Pair] = set()
        self.active: Active | None = None
        self.searchable_at: float | None = None
        self.stages: dict[str, float] = {}
        self._left: list[Outcome] = []

    def unfinished(self) -> list[Work]:
        """Items whose outcome is still open."""
        return [work for work in self.works if work.outcome is None]

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
        found += self._left
        for work in self.works:
            if work.outcome is not None and work.pair not in self.superseded:
                found.append(work.outcome)
        return found

    def _deletions_left(self, reason: str) -> None:
        if not self.removed:
            self._left = [Postponed(claim.pair, reason) for claim in self.deletions]


def named(pairs: Sequence[Pair]) -> dict[str, object]:
    """What a log line about these pairs carries, so that each item's way can be followed."""
    if len(pairs) == 1:
        return {"item": pairs[0].id, "version": pairs[0].version}
    return {"pairs": [list(pair) for pair in pairs]}


def record(batch: Batch, outcomes: Sequence[Outcome]) -> None:
    """One log line per item, and the counters."""
    claims = {work.pair: work.claim for work in batch.works}
    claims |= {claim.pair: claim for claim in batch.deletions}
    timings = {f"{name}_s": round(seconds, 4) for name, seconds in batch.stages.items()}
    now = time.time()
    for outcome in outcomes:
        claim = claims[outcome.pair]
        kind = type(outcome).__name__.lower()
        metrics.ITEMS.labels(kind, claim.lane).inc()
        details: dict[str, object] = {}
        ended_at = now
        if isinstance(outcome, Indexed):
            ended_at = batch.searchable_at or now
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
    for pair in batch.superseded:
        metrics.ITEMS.labels("superseded", claims[pair].lane).inc()
        log.info("item", item=pair.id, version=pair.version, outcome="superseded")
