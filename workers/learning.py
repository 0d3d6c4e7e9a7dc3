"""The hybrid that is being changed: who may, and where the parts of it lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from domain.errors import RejectedError
from domain.locks import alone, alone_at_once
from domain.settings import Settings
from domain.vectors import Matrix
from encoders import Fusion, FusionStore
from index import ItemIndex
from ranking import Hybrid, HybridStore, named, projection
from workers.collection import Active, opened, registry_of
from workers.collection_registry import BusyError
from workers.sums import Sums, SumsStore
from workers.touched import Touched
from workers.transfer_source import Kept

OPTION, GIVEN_UP = "option", "option_given_up"
"""Facts of a hybrid: the learned option that serves, and the one that did until somebody was
forgotten."""


class Learning:
    """The artifacts that learning reads and writes, for one installation. Loads no model."""

    def __init__(self, settings: Settings, index: ItemIndex) -> None:
        artifacts = settings.folder("artifacts")
        self._index = index
        self._registry = registry_of(settings)
        self._fusions = FusionStore(artifacts / "fusion")
        self._folder = artifacts / "training"
        self.hybrids = HybridStore(artifacts / "hybrid")
        self.sums = SumsStore(artifacts / "sums")
        self.touched = Touched(artifacts / "touched")
        self.kept = Kept(artifacts)

    def served(self) -> Active | None:
        """The collection that is served, None before the first. Raises RetryableError."""
        serving = self._index.serving()
        record = self._registry.get(serving) if serving is not None else None
        return None if record is None else opened(record, self._fusions)

    def sums_of(self, hybrid: Hybrid) -> Sums | None:
        """The sums that its A was solved from; None where there are none."""
        return self.sums.open(hybrid.facts.get("sums"))

    @contextmanager
    def training(self) -> Iterator[None]:
        """One training at a time, over all processes on this data directory.

        Raises:
            BusyError: another one is at it.
        """
        with alone_at_once(self._lock("training")) as mine:
            if not mine:
                raise BusyError(
                    "a training is under way", remedy="wait for it to end: its log says when"
                )
            yield

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Whoever replaces the hybrid by another made from it is alone meanwhile; short."""
        with alone(self._lock("publishing")):
            yield

    def _lock(self, name: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{name}.lock"


def option_of(hybrid: Hybrid) -> str:
    """The learned option whose A it holds; empty where A is the ridge's."""
    return str(hybrid.facts.get(OPTION) or "")


def of_a_file(hybrid: Hybrid) -> bool:
    """Whether a file was learned from, not the ledger."""
    return hybrid.facts.get("source") == "files"


def with_matrices(hybrid: Hybrid, fusion: Fusion, matrices: dict[str, Matrix]) -> Hybrid:
    """The same with an A that was solved from its sums.

    An option's A cannot be kept as the sums change: it is given up for the ridge's, and the facts
    say which it was.

    Raises:
        RejectedError: a matrix has a wrong shape or holds NaN or infinity.
    """
    facts = {**hybrid.facts, "solved": int(hybrid.facts.get("solved", 0)) + 1}
    if option := option_of(hybrid):
        facts |= {OPTION: None, GIVEN_UP: option}
    return named(replace(hybrid, projection=projection(fusion, matrices), facts=facts))


def nothing_served() -> RejectedError:
    """There is nothing to learn about yet."""
    return RejectedError(
        "nothing is indexed yet", remedy="publish items and wait until they are indexed"
    )
