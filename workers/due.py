"""When there is to be a training, and when adding what came since will not do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.errors import RejectedError
from ranking import Hybrid
from ranking.training import LEAST_INTERACTIONS
from workers.collection import Active
from workers.learning import GIVEN_UP, Learning, of_a_file, option_of
from workers.sums import Sums
from workers.weighing import awaits

if TYPE_CHECKING:
    from workers.runtime import Runtime

ITEMS_GREW, INTERACTIONS_GREW = 1.1, 1.2
"""With so many times the items or the interactions of the last whole training there is another."""

DUE_SHARE, DUE_LEAST = 0.01, 50
"""Training by itself is worth it when so many interactions came since."""


def is_due(held: Runtime) -> bool:
    """Whether enough came since the last training for another one. Raises RetryableError."""
    learning = Learning(held.settings, held.index)
    active = learning.served()
    if active is None:
        return False
    total = held.catalog.interaction_total()
    hybrid = learning.hybrids.current(active.fusion, active.space)
    if of_a_file(hybrid):
        return False
    before = int(hybrid.facts.get("read", 0))
    enough = abs(total - before) >= max(DUE_LEAST, DUE_SHARE * before)
    return total >= LEAST_INTERACTIONS and (enough or awaits(held, hybrid))


def outgrown(held: Runtime, active: Active, hybrid: Hybrid, sums: Sums) -> bool:
    """Whether what was learned from is only a part of what there is now, or another graph or
    number of concepts is asked for, or a learned option serves, or did, to which nothing can be
    added."""
    if option_of(hybrid) or hybrid.facts.get(GIVEN_UP) or awaits(held, hybrid):
        return True
    if held.settings.ranking.concepts != sums.ridge().concepts:
        return True
    items = held.index.count(active.collection)
    if items > ITEMS_GREW * sums.item_count():
        return True
    first = hybrid.facts.get("report", {}).get("projection", {}).get("interactions", 0)
    return sums.totals()[1] > INTERACTIONS_GREW * max(int(first), 1)


def learned_from_a_file() -> RejectedError:
    """The ledger knows nothing of what serves: neither an addition nor a substitute."""
    return RejectedError(
        "what serves was learned from a file, to which the ledger has nothing to add",
        remedy="name it again with --from-files, or say --full to learn from the ledger",
    )
