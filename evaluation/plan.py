"""What an evaluation is to compare, and who watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evaluation.dataset import Dataset
from evaluation.features import subsets_of
from evaluation.graph_block import GRAPH, PERMUTED
from evaluation.methods import Entry
from evaluation.results import Run
from evaluation.splits import PROTOCOLS, SEEDS, UNDRAWN, Split
from evaluation.splits.user_cold import KNOWN


@dataclass(frozen=True)
class Asked:
    """A protocol of the command line.

    Attributes:
        splits: makes the splits of a seed: one, or one for each number of revealed interactions.
        questions: names of the evaluations on whose validation hyper-parameters are chosen, and
            which lead the report.
        drawn: whether the seed decides the splits; if not, all seeds have the same.
    """

    splits: Callable[[Dataset, int], Sequence[Split]]
    questions: tuple[str, ...]
    drawn: bool = True

    def seeds(self, count: int) -> tuple[int, ...]:
        """The first `count`; one where nothing is drawn: one split repeated is one split."""
        return tuple(range(count if self.drawn else 1))


def protocols() -> dict[str, Asked]:
    """Every protocol by name; "warm-cold" is "item-cold" with warm and cold in one ranking."""
    leading = {
        "item-cold": ("cold",),
        "user-cold": tuple(f"k={known}" for known in KNOWN),
        "user-cold-without-profile": tuple(f"k={known}" for known in KNOWN),
        "temporal": ("overall",),
        "warm-up": ("cold",),
        "given": ("overall",),
    }
    found = {
        name: Asked(splits, leading[name], drawn=name not in UNDRAWN)
        for name, splits in PROTOCOLS.items()
    }
    return {**found, "warm-cold": Asked(PROTOCOLS["item-cold"], ("overall",))}


@dataclass(frozen=True)
class Plan:
    """What is to be compared.

    Attributes:
        protocol: its name on the command line.
        splits: makes the splits of a seed: one, or one for each number of revealed interactions.
        questions: names of the evaluations on whose validation hyper-parameters are chosen, and
            which lead the report; where a split has none of them, all it has.
        methods: in the order of the report.
        features: all modalities asked for.
        seeds: of the splits, and of everything random in a method.
        ks: list lengths.
        ablation: whether methods that allow it are also run on parts of the features.
    """

    protocol: str
    splits: Callable[[Dataset, int], Sequence[Split]]
    questions: tuple[str, ...]
    methods: Sequence[Entry]
    features: tuple[str, ...]
    seeds: Sequence[int] = SEEDS
    ks: tuple[int, ...] = (10, 20)
    ablation: bool = True

    def whole(self, entry: Entry) -> tuple[str, ...]:
        """All the features that a method reads of those asked for."""
        if not entry.content or (entry.needs_graph and GRAPH not in self.features):
            return ()
        return tuple(name for name in self.features if entry.graph or name != GRAPH)

    def parts(self, entry: Entry) -> list[tuple[str, ...]]:
        """What it is run on besides: subsets, and the permuted graph beside every graph."""
        if not self.whole(entry):
            return []
        content = tuple(name for name in self.features if name != GRAPH)
        parts: list[tuple[str, ...]] = []
        if entry.ablate and self.ablation:
            parts += subsets_of(content)
        if GRAPH in self.whole(entry):
            parts += [] if entry.needs_graph else [content]
            parts.append((*content, PERMUTED))
        return [part for part in parts if part]

    def skipped(self) -> dict[str, str]:
        """{name: why} of the methods that are not run, for want of features they read."""
        return {
            entry.name: f"needs --features {GRAPH}"
            if entry.needs_graph and GRAPH not in self.features
            else "reads features of items, and this run has none for it"
            for entry in self.methods
            if entry.content and not self.whole(entry)
        }

    def steps(self) -> list[tuple[Entry, tuple[str, ...]]]:
        """(method, features) of one split; no features for a method that reads none."""
        return [
            (entry, part)
            for entry in self.methods
            for part in (*self.parts(entry), self.whole(entry))
            if part or not entry.content
        ]


class Watch(Protocol):
    """Who is told how far a run is."""

    def begin(self, steps: int) -> None:
        """So many more (split, method, modalities) are to come."""

    def step(self, what: str) -> None:
        """What is going on: the run that begins, or of several the one that ended."""

    def done(self, run: Run, kept: bool) -> None:
        """It is done; `kept` where it was found from an earlier run."""


class Unwatched:
    """Tells nobody."""

    def begin(self, steps: int) -> None:
        """Nothing."""

    def step(self, what: str) -> None:
        """Nothing."""

    def done(self, run: Run, kept: bool) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Outcome:
    """Every run of a plan, and what each split was.

    Attributes:
        runs: in the order they were made.
        facts: sizes of every split, with its seed.
    """

    runs: tuple[Run, ...]
    facts: tuple[Mapping[str, Any], ...] = ()

    @property
    def failed(self) -> tuple[Run, ...]:
        """Those with an error."""
        return tuple(run for run in self.runs if run.state == "failed")
