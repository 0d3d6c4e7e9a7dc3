"""Runs of several seeds as lines of a table, and as paired comparisons."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from evaluation.plan import Outcome, Plan
from evaluation.results import Run
from evaluation.significance import Comparison, Interval, PerUser, compare, holm, interval
from evaluation.tuning import METRIC


@dataclass(frozen=True)
class System:
    """A method on some features: what one line of the table is about."""

    method: str
    features: tuple[str, ...]

    @property
    def label(self) -> str:
        """Such as "bilinear [text+attributes]"."""
        return f"{self.method} [{'+'.join(self.features)}]" if self.features else self.method


@dataclass(frozen=True)
class Line:
    """A system's answer to one question, over the seeds.

    Attributes:
        question: name of the evaluation, after the split's where a seed has several ("N=3: cold").
        metrics: {metric: mean over the seeds' means, with its interval}.
        failed: seeds on which it failed; the means are over the others.
    """

    system: System
    question: str
    metrics: Mapping[str, Interval]
    failed: int = 0

    @property
    def note(self) -> str:
        """Such as "1 of 2 seeds" where it failed on some; "" where it did not."""
        if not self.failed:
            return ""
        done = max(value.n for value in self.metrics.values())
        return f"{done} of {done + self.failed} seeds"


@dataclass(frozen=True)
class Cost:
    """What a system takes, as means over its fits.

    Attributes:
        fit_s: seconds of one fit with the chosen hyper-parameters.
        tuning_s: seconds of choosing them, that fit included.
        scoring_ms: milliseconds per user for scores of all items and their ranking.
    """

    fit_s: float
    tuning_s: float
    scoring_ms: float


@dataclass(frozen=True)
class Versus:
    """Two systems compared user by user.

    Attributes:
        adjusted: p_seeds, and p_users, by Holm's method over the comparisons of the question.
    """

    question: str
    metric: str
    a: System
    b: System
    comparison: Comparison
    adjusted: tuple[float, float]


@dataclass(frozen=True)
class Summary:
    """What a report shows.

    Attributes:
        leading: the questions that the protocol is about, in order.
        questions: all questions, in order; the leading ones first.
        systems: in the order of the plan.
        whole: those on all features that their method reads.
        absent: {system: why it has no line}; skipped, failed or not applicable.
    """

    leading: tuple[str, ...]
    questions: tuple[str, ...]
    systems: tuple[System, ...]
    whole: tuple[System, ...]
    lines: tuple[Line, ...]
    costs: Mapping[System, Cost]
    versus: tuple[Versus, ...]
    absent: Mapping[System, str]
    parameters: Mapping[System, tuple[Mapping[str, Any], ...]]

    def line(self, system: System, question: str) -> Line | None:
        """One line, or None where the system does not answer the question."""
        for line in self.lines:
            if line.system == system and line.question == question:
                return line
        return None

    def value(self, system: System, question: str, metric: str) -> Interval | None:
        """One figure."""
        line = self.line(system, question)
        return None if line is None else line.metrics.get(metric)

    def plain(self) -> dict[str, Any]:
        """As JSON takes it; NaN (one seed has no interval) becomes null."""
        return {
            "metric": METRIC,
            "leading": self.leading,
            "results": [
                {
                    "method": line.system.method,
                    "features": line.system.features,
                    "question": line.question,
                    "failed_seeds": line.failed,
                    "metrics": {name: asdict(value) for name, value in line.metrics.items()},
                }
                for line in self.lines
            ],
            "costs": [
                {"method": one.method, "features": one.features, **asdict(cost)}
                for one, cost in self.costs.items()
            ],
            "parameters": [
                {"method": one.method, "features": one.features, "by_seed": list(chosen)}
                for one, chosen in self.parameters.items()
            ],
            "comparisons": [
                {
                    "question": one.question,
                    "metric": one.metric,
                    "a": one.a.label,
                    "b": one.b.label,
                    **asdict(one.comparison),
                    "p_seeds_holm": one.adjusted[0],
                    "p_users_holm": one.adjusted[1],
                }
                for one in self.versus
            ],
            "absent": [
                {"method": one.method, "features": one.features, "reason": reason}
                for one, reason in self.absent.items()
            ],
        }


def summarise(outcome: Outcome, plan: Plan) -> Summary:
    """Lines, costs and comparisons of an outcome."""
    by_system: dict[System, list[Run]] = defaultdict(list)
    for run in outcome.runs:
        by_system[System(run.method, run.features)].append(run)
    systems = tuple(System(entry.name, part) for entry, part in plan.steps())
    done = {one: [r for r in by_system[one] if r.state == "done"] for one in systems}
    absent = {System(name, ()): why for name, why in plan.skipped().items()}
    for one in systems:
        for run in by_system[one]:
            if run.state != "done":
                absent.setdefault(one, f"{run.state} (seed {run.seed}): {run.reason}")
    asked = list(
        dict.fromkeys(
            _name(run, question)
            for run in outcome.runs
            if run.state == "done"
            for question in run.metrics
        )
    )
    leading = tuple(q for q in asked if q.rpartition(": ")[2] in plan.questions) or tuple(asked)
    questions = (*leading, *(one for one in asked if one not in leading))
    lines = [
        Line(one, question, metrics, _failures(by_system[one], question))
        for question in questions
        for one in systems
        if (metrics := _metrics(done[one], question))
    ]
    whole = {
        entry.name: System(entry.name, plan.whole(entry))
        for entry in plan.methods
        if plan.whole(entry) or not entry.content
    }
    pairs = list(combinations(whole.values(), 2))
    pairs += [(whole[one.method], one) for one in systems if one != whole[one.method]]
    versus = [one for question in leading for one in _compared(pairs, done, question)]
    return Summary(
        leading=leading,
        questions=questions,
        systems=systems,
        whole=tuple(whole.values()),
        lines=tuple(lines),
        costs={one: _cost(done[one]) for one in systems if done[one]},
        versus=tuple(versus),
        absent=absent,
        parameters={
            one: tuple(run.parameters for run in done[one])
            for one in systems
            if any(run.parameters for run in done[one])
        },
    )


def _name(run: Run, question: str) -> str:
    return f"{run.split}: {question}" if run.split else question


def _metrics(runs: Sequence[Run], question: str) -> dict[str, Interval]:
    found: dict[str, list[float]] = defaultdict(list)
    for run in runs:
        for asked, metrics in run.metrics.items():
            if _name(run, asked) == question:
                for metric, value in metrics.items():
                    found[metric].append(value)
    return {metric: interval(values) for metric, values in found.items()}


def _failures(runs: Sequence[Run], question: str) -> int:
    """How many runs that would have answered the question failed."""
    split = question.rpartition(": ")[0]
    return sum(run.state == "failed" and run.split == split for run in runs)


def _cost(runs: Sequence[Run]) -> Cost:
    def mean(values: Iterable[float]) -> float:
        return math.fsum(values) / len(runs)

    return Cost(
        fit_s=mean(run.fit_s for run in runs),
        tuning_s=mean(run.tuning_s for run in runs),
        scoring_ms=mean(run.scoring_ms for run in runs),
    )


def _compared(
    pairs: Sequence[tuple[System, System]], done: Mapping[System, Sequence[Run]], question: str
) -> list[Versus]:
    """All pairs that answered the question on the same seeds."""
    answers = {one: _per_user(runs, question) for one, runs in done.items()}
    comparable = [(a, b) for a, b in pairs if answers[a] and answers[a].keys() == answers[b].keys()]
    found = [compare(answers[a], answers[b]) for a, b in comparable]
    adjusted = zip(
        holm([one.p_seeds for one in found]), holm([one.p_users for one in found]), strict=True
    )
    return [
        Versus(question, METRIC, a, b, comparison, both)
        for (a, b), comparison, both in zip(comparable, found, adjusted, strict=True)
    ]


def _per_user(runs: Sequence[Run], question: str) -> dict[int, PerUser]:
    return {
        run.seed: (run.users[asked], run.per_user[asked][METRIC])
        for run in runs
        for asked in run.per_user
        if _name(run, asked) == question and METRIC in run.per_user[asked]
    }
