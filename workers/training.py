"""`firstlight train`: from who took what to the hybrid that serves.

A whole training reads everything and chooses penalties anew; an update adds what came since to
the sums and solves A again, unless a learned option serves in the ridge's place. Either way nothing
that serves is touched before the last step, one rename of a pointer; killed before that, everything
is as it was, and killed after it the refresher finishes the points.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog import Catalog
from domain.log import logger
from domain.tuning import on_all_cores
from domain.vectors import Matrix
from encoders import Fusion
from ranking import Hybrid, Moments, named, projection, untrained
from ranking.training import (
    LEAST_INTERACTIONS,
    TrainingData,
    fit_collaborative,
    fit_projection,
    name_of,
)
from workers.collection import Active
from workers.collection_settle import Dispatch
from workers.due import learned_from_a_file, outgrown
from workers.forget import forget_erased, only_without
from workers.gating import (
    alone_where_points_move,
    behind,
    gated_by,
    items_before,
    options,
    serve_behind,
)
from workers.interactions import Interactions, LeftOut, from_file, from_ledger, of_users, too_few
from workers.learning import OPTION, Learning, nothing_served, of_a_file, with_matrices
from workers.people import profiles_of
from workers.publish import dispatch as send
from workers.refresh import Refresher
from workers.sums import People, Sums, Watermarks
from workers.transfer import First, begin_with, better_of
from workers.transfer_source import Source
from workers.weighing import kept, weighed

if TYPE_CHECKING:
    from workers.runtime import Runtime

USERS_AT_ONCE = 1_000
PAGE = 20_000

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of it.

    Attributes:
        version: the hybrid that serves.
        whole: everything was learned anew; False: what came since was added.
        users, items, interactions: learned from.
        left_out: what was not, by reason.
        lines: the first few lines of a file that could not be read, and why.
        rewritten: points whose rank vectors changed.
        seconds: by stage.
        report: what was chosen, and on what grounds.
    """

    version: str
    whole: bool
    users: int
    items: int
    interactions: int
    left_out: dict[str, int]
    rewritten: int
    seconds: dict[str, float]
    report: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


@on_all_cores()
def train(
    held: Runtime,
    *,
    file: Path | None = None,
    source: Source | None = None,
    own: bool = False,
    whole: bool = False,
    dispatch: Dispatch = send,
) -> Trained:
    """Learn, publish, and rewrite what changed.

    Where gated fusion is among the options, or serves, the training holds the collections' lock:
    gates that win, or win no longer, move every point to another collection.

    Args:
        file: CSV of interactions, instead of the ledger's.
        source: what to shrink toward; by default another catalogue's A that was kept of an earlier
            training, else the fusion's own prior. Another catalogue's is kept from now on, and
            serves as it is while there are too few interactions.
        own: shrink toward the fusion's own prior, and keep no other catalogue's A any more.
        whole: learn everything anew, also where an update would do.
        dispatch: sends items that a new collection lacks and that only an encoder can give.

    Raises:
        RejectedError: nothing is indexed, too few interactions, another training is under way, or a
            file was learned from and neither a file nor `whole` is given; with gated fusion, also
            a fit or reindex that is under way. What served goes on serving.
        RetryableError: the ledger, the index or an encoder does not answer.
    """
    learning = Learning(held.settings, held.index)
    with learning.training():
        active = learning.served()
        if active is None:
            raise nothing_served()
        hybrid = learning.hybrids.current(active.fusion, active.space)
        if file is None and not whole and of_a_file(hybrid):
            raise learned_from_a_file()
        sums = learning.sums_of(hybrid)
        named_one = file is not None or source is not None or own
        if not (whole or named_one or sums is None or outgrown(held, active, hybrid, sums)):
            updated = _updated(held, learning, active, sums)
            if updated is not None:
                return updated
        with alone_where_points_move(held, active, dispatch):
            return _Whole(held, learning, active, hybrid, source, own, dispatch).run(file)


class _Whole:
    """Everything learned anew. source, own, dispatch: see train."""

    def __init__(
        self,
        held: Runtime,
        learning: Learning,
        active: Active,
        before: Hybrid,
        source: Source | None,
        own: bool,
        dispatch: Dispatch,
    ) -> None:
        self._source, self._own = source, own
        self._dispatch = dispatch
        self._held = held
        self._learning = learning
        self._active = active
        self._before = before
        self._seconds: dict[str, float] = {}
        self._at = time.perf_counter()

    def run(self, file: Path | None) -> Trained:
        held, active = self._held, self._active
        begin = self._source
        if begin is None and not self._own:
            begin = self._learning.kept.get(active.encoders)
        begun = begin_with(held.settings, held.index, active, begin)
        marks = _last_erased(held.catalog)
        ids, content = items_before(held, active)
        rows = {item_id: at for at, item_id in enumerate(ids)}
        read = from_file(file, rows) if file is not None else from_ledger(held.catalog, rows)
        self._stage("read")
        if read.matrix.nnz < LEAST_INTERACTIONS:
            return self._unlearned(begun, behind(active.fusion, content), read)
        settings = held.settings.ranking
        profiles = profiles_of(held.catalog, held.encoders, settings, read.users)
        self._stage("profiles")
        data = TrainingData(
            active.fusion.blocks, content, read.matrix, profiles, settings.profile_weight_k0
        )
        begun = better_of(begun, active.fusion, data)
        if "chosen" in begun.report:
            self._stage("prior")
        first = begun.matrices
        fitted = fit_projection(
            data, first, options=options(held, active), concepts=settings.concepts
        )
        fusion, setting = gated_by(active.fusion, fitted.gates, content), fitted.given_gates()
        content = behind(fusion, content)
        data = replace(data, items=content)
        if fusion.gates is not fitted.gates:  # the gates that serve already, up to rounding
            fitted = fitted.summed(data)
        self._stage("projection")
        graph = weighed(held, active, ids, data, first, setting)
        if graph.report:
            self._stage("graph")
        learned = fit_collaborative(ids, data, first, setting, active.space, self._before)
        self._stage("factors")
        name = self._learning.sums.create(
            ids,
            content,
            People(read.users, read.matrix, profiles),
            fitted.statistics,
            fitted.gram,
            fitted.setting.ridge,
            first,
            replace(marks, cursor=read.cursor),
        )
        report = {"projection": fitted.report(), "collaborative": learned.report}
        report |= {"graph": graph.report} if graph.report else {}
        report |= {"prior": dict(begun.report)} if begun.report else {}
        made = named(
            Hybrid(
                version="",
                projection=projection(fusion, fitted.matrices),
                space=active.space,
                gate=learned.gate,
                moments=Moments.of(content),
                collaborative=learned.collaborative,
                graph=graph.term,
                graph_version=graph.version,
                items=learned.items,
                facts={
                    "sums": name,
                    "source": "ledger" if file is None else "files",
                    "cursor": list(read.cursor) if read.cursor else None,
                    "read": read.read,
                    "trained_at": time.time(),
                    OPTION: name_of(fitted.setting.option) if fitted.setting.option else None,
                    "report": report,
                },
            )
        )
        return self._published(made, fusion, read, report)

    def _unlearned(self, begun: First, content: Matrix, read: Interactions) -> Trained:
        """With too little to learn from: another catalogue's A serves as it is, or no longer does.
        Neither takes the place of what was learned from more, unless it is named."""
        before, learning = self._before, self._learning
        learned = bool(before.facts.get("sums")) or before.collaborative is not None
        if begun.serves_alone and (self._source is not None or not learned):
            return self._as_it_is(begun, content, read)
        elsewhere = "prior" in before.facts.get("report", {}) or learning.kept.is_there()
        if self._own and elsewhere and not learned:
            fusion = self._active.fusion
            return self._published(untrained(fusion, self._active.space), fusion, read, {})
        raise too_few(read, LEAST_INTERACTIONS)

    def _as_it_is(self, begun: First, content: Matrix, read: Interactions) -> Trained:
        """What was transferred serves, as long as there is too little to learn from."""
        report: dict[str, Any] = {"prior": dict(begun.report)}
        made = named(
            Hybrid(
                version="",
                projection=projection(self._active.fusion, begun.matrices),
                space=self._active.space,
                moments=Moments.of(content),
                facts={"source": "ledger", "trained_at": time.time(), "report": report},
            )
        )
        return self._published(made, self._active.fusion, read, report)

    def _published(
        self, made: Hybrid, fusion: Fusion, read: Interactions, report: dict[str, Any]
    ) -> Trained:
        held, active = self._held, self._active
        if fusion.version != active.fusion.version:
            serve_behind(held, active, fusion, made, self._learning, self._dispatch)
            self._stage("move")
        with self._learning.publishing():
            if self._source is not None and not self._source.own:
                self._learning.kept.keep(self._source)
            if fusion.version == active.fusion.version:
                self._learning.hybrids.publish(made, fusion)
            if self._own:
                self._learning.kept.remove()
            self._learning.sums.keep_only(made.facts.get("sums"))
        self._stage("publish")
        left_out = read.left_out
        return _finished(self._held, self._learning, left_out, self._seconds, report, whole=True)

    def _stage(self, name: str) -> None:
        now = time.perf_counter()
        self._seconds[name] = round(now - self._at, 3)
        self._at = now


def _updated(held: Runtime, learning: Learning, active: Active, sums: Sums) -> Trained | None:
    """What came since the last training added; the old users are not looked at. None where that
    cannot be done: profiles are encoded otherwise than those in the sums."""
    started = time.perf_counter()
    marks, total = sums.marks(), 0
    cursor, changed = marks.cursor, dict[str, None]()
    if cursor is not None:
        while page := held.catalog.interactions(cursor, PAGE):
            changed |= dict.fromkeys(one.user for one in page)
            cursor = page[-1].cursor
            total += len(page)
    read = time.perf_counter()
    for users in _parts(list(changed)):
        people = _people(held, sums, users)
        if people is None:
            return None
        sums.replace(active.fusion.blocks, people)
    sums.mark(replace(marks, cursor=cursor))
    with learning.publishing():
        hybrid = learning.hybrids.current(active.fusion, active.space)
        seen = {**hybrid.facts, "read": int(hybrid.facts.get("read", 0)) + total}
        hybrid = replace(hybrid, facts=seen)
        made = with_matrices(hybrid, active.fusion, sums.solve(active.fusion.blocks))
        learning.hybrids.publish(made, active.fusion)
        if sums.unsolved() is not None:
            only_without(learning, active, sums, made)
    seconds = {"read": read - started, "projection": time.perf_counter() - read}
    rounded = {name: round(value, 3) for name, value in seconds.items()}
    report: dict[str, Any] = {"changed_users": len(changed)}
    if graph := kept(held, hybrid):
        report["graph"] = graph
    return _finished(held, learning, LeftOut(), rounded, report, whole=False)


def _finished(
    held: Runtime,
    learning: Learning,
    left_out: LeftOut,
    seconds: dict[str, float],
    report: dict[str, Any],
    *,
    whole: bool,
) -> Trained:
    """The rest: whoever was deleted meanwhile is forgotten, and points are rewritten."""
    forget_erased(learning, held.catalog)
    started = time.perf_counter()
    refreshed = Refresher.of(held).all()
    seconds["rewrite"] = round(time.perf_counter() - started, 3)
    active = learning.served()
    assert active is not None
    hybrid = learning.hybrids.current(active.fusion, active.space)
    sums = learning.sums_of(hybrid)
    users, interactions = sums.totals() if sums is not None else (0, 0)
    trained = Trained(
        version=hybrid.version,
        whole=whole,
        users=users,
        items=sums.item_count() if sums is not None else 0,
        interactions=interactions,
        left_out=left_out.counts(),
        rewritten=refreshed.rewritten,
        seconds=seconds,
        report=report,
        lines=left_out.lines,
    )
    log.info(
        "trained",
        hybrid=trained.version,
        whole=whole,
        users=users,
        interactions=interactions,
        rewritten=trained.rewritten,
        left_out=trained.left_out,
    )
    return trained


def _people(held: Runtime, sums: Sums, users: Sequence[str]) -> People | None:
    """What these users add now, by the ledger; None where a part of their profiles has another
    length than in the sums."""
    taken = held.catalog.taken_by(users)
    places = sums.places(list({one.item for one in taken}))
    found: Interactions = of_users(users, taken, places, sums.item_count())
    said = profiles_of(held.catalog, held.encoders, held.settings.ranking, users)
    nothing = sums.without(sums.layout(), users).profiles
    if any(said[part].shape != zeros.shape for part, zeros in nothing.items() if part in said):
        return None
    return People(
        users, found.matrix, {part: said.get(part, zeros) for part, zeros in nothing.items()}
    )


def _last_erased(catalog: Catalog) -> Watermarks:
    marks = Watermarks(None)
    while page := catalog.erased_users(marks.erased_at, marks.erased_id, PAGE):
        marks = marks.erased(*page[-1])
    return marks


def _parts(users: list[str]) -> Iterator[list[str]]:
    return (users[start : start + USERS_AT_ONCE] for start in range(0, len(users), USERS_AT_ONCE))
