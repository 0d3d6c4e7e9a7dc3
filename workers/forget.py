"""Forgetting users: what was learned from them is taken off, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from catalog import Catalog
from domain.errors import RejectedError
from domain.log import logger
from domain.settings import Settings
from index import ItemIndex
from ranking import Hybrid, prior
from workers.collection import Active
from workers.learning import Learning, of_a_file, option_of, with_matrices
from workers.sums import Sums

PAGE = 1_000

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class ForgottenPart:
    """What was learned of a user, and is gone.

    Attributes:
        interactions: (user, item) pairs whose part of A was subtracted.
        items: items whose N_i and v_i are counted and folded in anew by the next refresh; 0
            where a file was learned from: the ledger, which is counted, holds nothing of it, and
            the numbers of users that were trained stay until the next training.
        projection: the version that serves now, solved without the user; empty where nothing of
            the user was in it.
        option: the learned option that served until now, and was given up for the ridge; empty
            where the ridge served.
    """

    interactions: int = 0
    items: int = 0
    projection: str = ""
    option: str = ""


def forget_user(settings: Settings, index: ItemIndex, user_id: str) -> ForgottenPart:
    """Take a user out of what was learned. Call it once the ledger has deleted them.

    A is solved again from the sums without the user: equal to a training without them at the
    same item vectors and the same popularity. Nobody can be subtracted from a learned option: where
    one serves, the ridge without the user takes its place at once, until the next whole training.
    Where A was begun with a former A of this catalogue, which knows its users, it begins with the
    fusion's own prior from now on. Hybrids that were kept for going back are removed.
    A user who was not learned from costs a look into one small file.

    Raises:
        RetryableError: the index does not answer, or the sums are locked for long; the next
            training forgets the user all the same (`forget_erased`).
    """
    return forget_users(Learning(settings, index), [user_id])


def forget_users(learning: Learning, users: Sequence[str]) -> ForgottenPart:
    """See forget_user. Finishes also what another call was cut short of."""
    with learning.publishing():
        active = learning.served()
        if active is None:
            return ForgottenPart()
        hybrid = learning.hybrids.current(active.fusion, active.space)
        sums = learning.sums_of(hybrid)
        _forget_elsewhere(learning, users, hybrid, sums.name if sums else None)
        known = [user for user in users if sums is not None and sums.has(user)]
        knows_itself = _began_with_itself(hybrid)
        if sums is None or not (known or knows_itself or sums.unsolved() is not None):
            return ForgottenPart()
        if knows_itself:
            sums.begin_with(prior(active.fusion).matrices)
            hybrid = _begun_anew(hybrid)
        before = sums.totals()
        sums.replace(active.fusion.blocks, sums.without(sums.layout(), known))
        after, items = sums.totals(), sums.unsolved() or []
        made = with_matrices(hybrid, active.fusion, sums.solve(active.fusion.blocks))
        learning.hybrids.publish(made, active.fusion)
        only_without(learning, active, sums, made)
        log.info("users_forgotten", users=before[0] - after[0], interactions=before[1] - after[1])
        counted = 0 if of_a_file(hybrid) else len(items)
        return ForgottenPart(before[1] - after[1], counted, made.version, option_of(hybrid))


def _began_with_itself(hybrid: Hybrid) -> bool:
    return bool(hybrid.facts.get("report", {}).get("prior", {}).get("own"))


def _begun_anew(hybrid: Hybrid) -> Hybrid:
    report = {name: one for name, one in hybrid.facts["report"].items() if name != "prior"}
    return replace(hybrid, facts={**hybrid.facts, "report": report})


def only_without(learning: Learning, active: Active, sums: Sums, made: Hybrid) -> None:
    """A without the users who were taken off the sums serves: what else knows them is removed, and
    the items they had taken are counted anew. Cut short, it is done again by the next call."""
    learning.hybrids.keep_only(made, active.fusion)
    learning.touched.add(sums.unsolved() or [])
    sums.solved()


def _forget_elsewhere(
    learning: Learning, users: Sequence[str], hybrid: Hybrid, serving: str | None
) -> None:
    """Sums and hybrids of a training that serves no more are removed where they know a user, or
    may: of whom a hybrid has learned is told by its sums alone."""
    others = [one for one in learning.sums.all() if one.name != serving]
    if any(one.unsolved() is not None or any(map(one.has, users)) for one in others):
        learning.sums.keep_only(serving)
    learning.hybrids.remove(
        [
            version
            for version, facts in learning.hybrids.facts().items()
            if version != hybrid.version and _may_know(learning, facts)
        ]
    )


def _may_know(learning: Learning, facts: Mapping[str, Any] | None) -> bool:
    if facts is None or facts.get("report", {}).get("prior", {}).get("own"):
        return True
    return bool(facts.get("sums")) and learning.sums.open(facts["sums"]) is None


def forget_erased(learning: Learning, catalog: Catalog) -> int:
    """Forget whoever the ledger deleted since the last look, and finish forgetting who is only
    taken off the sums: a process may have died in between. How many were taken off.

    Raises:
        RetryableError: the ledger or the index does not answer.
    """
    active = learning.served()
    if active is None:
        return 0
    sums = learning.sums_of(learning.hybrids.current(active.fusion, active.space))
    if sums is None:
        return 0
    forgotten = 0
    try:
        if sums.unsolved() is not None:
            forget_users(learning, [])
        marks = sums.marks()
        while page := catalog.erased_users(marks.erased_at, marks.erased_id, PAGE):
            # One that came back since is learned from again as soon as they do something.
            part = forget_users(learning, [user for user, _ in page])
            forgotten += part.interactions > 0
            marks = marks.erased(*page[-1])
            sums.mark(marks)
    except RejectedError as error:
        log.error("not_forgotten", reason=str(error))
    return forgotten
