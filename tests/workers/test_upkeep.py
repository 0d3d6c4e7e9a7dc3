"""When the first fit is asked for."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from catalog import ItemState
from domain.settings import load_settings
from workers.upkeep import ASK_EVERY_S, Upkeep


@dataclass
class World:
    """What is looked at."""

    version: str = "passthrough-1"
    counts: dict[ItemState, int] = field(default_factory=dict)
    asked: int = 0

    def held(self) -> Any:
        def count() -> dict[ItemState, int]:
            self.asked += 1
            return self.counts

        active = SimpleNamespace(fusion=SimpleNamespace(version=self.version))
        return SimpleNamespace(
            collections=SimpleNamespace(active=lambda: active),
            catalog=SimpleNamespace(counts=count),
            settings=load_settings(fusion={"min_items": 50}),
        )


@pytest.mark.parametrize(
    ("indexed", "pending", "due"),
    [(49, 0, False), (50, 0, True), (50, 1, False), (1999, 9999, False), (2000, 9999, True)],
)
def test_a_fit_is_due_when_enough_is_indexed_and_no_more_is_coming_soon(
    indexed: int, pending: int, due: bool
) -> None:
    world = World(counts={ItemState.INDEXED: indexed, ItemState.PENDING: pending})
    assert Upkeep().first_fit_is_due(world.held()) is due


def test_a_fitted_collection_is_not_fitted_again_and_costs_no_query() -> None:
    world = World(version="fit-1", counts={ItemState.INDEXED: 5000})
    assert not Upkeep().first_fit_is_due(world.held())
    assert world.asked == 0


def test_it_is_asked_for_once_not_once_per_task() -> None:
    now = [0.0]
    fit = Upkeep(clock=lambda: now[0])
    world = World(counts={ItemState.INDEXED: 50})
    assert [fit.first_fit_is_due(world.held()) for _ in range(3)] == [True, False, False]
    now[0] = ASK_EVERY_S + 1
    assert fit.first_fit_is_due(world.held())
