"""Protocol x seeds x subsets of modalities x methods, one after the other, each kept when done.

A result is kept under a hash of all that decides it: the data set, the split, the features as
numbers, the method's grid, the metrics, the sources of the method, the splits and the metrics,
and the versions of the libraries that compute (`evaluation.sources`). A run that was killed, or
is repeated with one method more, finds what it had; whatever was changed in between is computed
anew. What failed is tried again.
"""

from __future__ import annotations

import hashlib
import time
import traceback
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from domain.errors import FirstlightError
from domain.log import logger
from domain.settings import Settings
from domain.vectors import Matrix
from encoders import Fusion
from evaluation.dataset import Dataset
from evaluation.features import Features, fuse
from evaluation.graph_block import GRAPH, PERMUTED, graph_block
from evaluation.methods import Entry, Task
from evaluation.methods.shared import Shared
from evaluation.plan import Outcome, Plan, Unwatched, Watch
from evaluation.results import FORMAT, Run, load, save
from evaluation.sources import code_digest, library_versions
from evaluation.splits import Split
from evaluation.tuning import METRIC, fit_best, judge

log = logger(__name__)

Fused = tuple[Fusion | None, Matrix, dict[str, Matrix]]
"""What `evaluation.features.fuse` gives; no fusion and no columns where nothing is fused."""


@dataclass
class Evaluator:
    """Carries a plan out; what a method raises is its own result and harms no other.

    Attributes:
        folder: where single results are kept and found again.
    """

    dataset: Dataset
    features: Features
    plan: Plan
    settings: Settings
    folder: Path
    watch: Watch = field(default_factory=Unwatched)

    def run(self) -> Outcome:
        """Every seed, split, subset and method of the plan."""
        runs: list[Run] = []
        facts: list[Mapping[str, Any]] = []
        about_data = dataset_digest(self.dataset)
        for seed in self.plan.seeds:
            splits = self.plan.splits(self.dataset, seed)
            self.watch.begin(len(self.plan.steps()) * len(splits))
            for split in splits:
                facts.append({"seed": seed, **split.facts})
                on_split = OnSplit(self, split, label_of(split, splits), about_data)
                for entry, modalities in self.plan.steps():
                    self.watch.step(named(on_split.started(entry, modalities)))
                    run, kept = on_split.run(entry, modalities)
                    self.watch.done(run, kept)
                    runs.append(run)
        return Outcome(tuple(runs), tuple(facts))


def label_of(split: Split, splits: Sequence[Split]) -> str:
    """Tells a split from the others of its seed; empty where there is one."""
    return f"N={split.facts['revealed']}" if len(splits) > 1 else ""


def content_of(modalities: tuple[str, ...]) -> tuple[str, ...]:
    """Those that are fused: all but the graph."""
    return tuple(name for name in modalities if name not in (GRAPH, PERMUTED))


def named(run: Run) -> str:
    """What is run, for people: "seed 0 N=3 bilinear text+image"."""
    parts = (f"seed {run.seed}", run.split, run.method, "+".join(run.features))
    return " ".join(part for part in parts if part)


class OnSplit:
    """The methods of a plan on one split.

    Args:
        label: of the split (`label_of`).
        about_data: `dataset_digest`.
    """

    def __init__(self, all_of_it: Evaluator, split: Split, label: str, about_data: str) -> None:
        self._all = all_of_it
        self._split = split
        self._label = label
        self._about_data = about_data
        self._tasks: dict[tuple[str, ...], tuple[Task, str]] = {}
        self._fusions: dict[tuple[str, ...], Fused] = {}
        self._shared: dict[tuple[str, ...], Shared] = defaultdict(Shared)
        everything = self._fused(all_of_it.plan.features)[1]
        self._space = _digest(everything)
        self._vectors = everything if everything.shape[1] else None

    def started(self, entry: Entry, modalities: tuple[str, ...], key: str = "") -> Run:
        """A run of which nothing is known yet."""
        return Run(key, entry.name, modalities, self._split.seed, self._label)

    def run(self, entry: Entry, modalities: tuple[str, ...]) -> tuple[Run, bool]:
        """(what the method did, whether an earlier run had it)."""
        if modalities not in self._tasks:
            self._tasks[modalities] = self._task(modalities)
        task, about_items = self._tasks[modalities]
        key = self._key(entry, modalities, (about_items, self._space))
        found = load(key, self._all.folder)
        if found is not None and found.state != "failed":
            return found, True
        started = self.started(entry, modalities, key)
        found = measured(entry, task, self._all.plan.ks, started, self._vectors)
        save(found, self._all.folder)
        return found, False

    def _fused(self, modalities: tuple[str, ...]) -> Fused:
        """The fusion of some modalities (the graph is in none), fitted once."""
        blocks = content_of(modalities)
        dataset, known = self._all.dataset, self._fusions
        if blocks not in known:
            known[blocks] = (
                fuse(dataset, self._all.features, blocks, self._split.warm, self._all.settings)
                if blocks
                else (None, np.zeros((dataset.n_items, 0), dtype=np.float32), {})
            )
        return known[blocks]

    def _task(self, modalities: tuple[str, ...]) -> tuple[Task, str]:
        """The task on some modalities, and a digest of its numbers."""
        fusion, items, raw = self._fused(modalities)
        dataset, split, plan = self._all.dataset, self._split, self._all.plan
        graph = None
        for name in modalities:
            if name in (GRAPH, PERMUTED):
                graph = graph_block(dataset, split, name)
        asked = split.of("validation")
        task = Task(
            dataset=dataset,
            split=split,
            items=items,
            fusion=fusion,
            raw=raw,
            profiles=self._all.features.profiles if split.profiles else {},
            graph=graph,
            questions=tuple(one for one in asked if one.name in plan.questions) or asked,
            seed=split.seed,
        ).sharing(self._shared[content_of(modalities)])
        return task, _digest(items, raw, task.profiles, {} if graph is None else {GRAPH: graph})

    def _key(self, entry: Entry, modalities: tuple[str, ...], about_items: tuple[str, str]) -> str:
        """Of one result; `about_items` are digests of what the method reads and of the vectors by
        which its lists are measured."""
        plan = self._all.plan
        content = {
            "format": FORMAT,
            "protocol": plan.protocol,
            "questions": plan.questions,
            "ks": plan.ks,
            "metric": METRIC,
            "seed": self._split.seed,
            "split": self._label,
            "method": entry.where,
            "grid": [dict(point) for point in entry.grid],
            "features": modalities,
            "data": self._about_data,
            "items": about_items,
            "code": code_digest(entry.module, "evaluation.tuning", "evaluation.splits"),
            "libraries": library_versions(),
        }
        packed = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(packed).hexdigest()[:24]


def _digest(items: Matrix, *named: Mapping[str, Matrix]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(items).tobytes())
    for matrices in named:
        for name, matrix in sorted(matrices.items()):
            digest.update(name.encode() + np.ascontiguousarray(matrix).tobytes())
    return digest.hexdigest()


def measured(
    entry: Entry, task: Task, ks: tuple[int, ...], started: Run, vectors: Matrix | None
) -> Run:
    """`started` with what became of it: done, failed with the reason, or not applicable.

    Args:
        vectors: [n_items, d], by which the distance within a list is measured, the same for every
            method and subset; None where the run has no features.
    """
    questions = task.split.of("test")
    if not entry.cold_items:
        warm = task.split.warm
        questions = tuple(one for one in questions if (one.candidates & warm).any())
        if not questions:
            reason = "it cannot order items without interactions, and all candidates are"
            return replace(started, state="not applicable", reason=reason)
    metrics: dict[str, dict[str, float]] = {}
    users: dict[str, NDArray[np.int32]] = {}
    per_user: dict[str, dict[str, NDArray[np.float64]]] = {}
    try:
        fitted = fit_best(entry, task.copied())
        begun = time.perf_counter()
        for found in judge(
            fitted.method, questions, task, ks=ks, cold=task.split.cold, vectors=vectors
        ):
            metrics[found.evaluation] = found.means()
            users[found.evaluation] = found.users
            per_user[found.evaluation] = dict(found.per_user)
        scoring_s = time.perf_counter() - begun
    except (Exception, SystemExit) as error:  # a method under test may raise anything
        reason = str(error)
        if not isinstance(error, FirstlightError):
            reason = f"{type(error).__name__}: {error}"
        log.warning("method failed", method=entry.name, seed=task.seed, reason=reason)
        detail = {"traceback": traceback.format_exc()}
        return replace(started, state="failed", reason=reason, detail=detail)
    return replace(
        started,
        parameters=fitted.parameters,
        validation=fitted.value,
        fit_s=fitted.fit_s,
        tuning_s=fitted.tuning_s,
        scoring_ms=1000 * scoring_s / max(sum(map(len, users.values())), 1),
        metrics=metrics,
        users=users,
        per_user=per_user,
        detail={**getattr(fitted.method, "detail", {}), "tried": fitted.tried},
    )


def dataset_digest(dataset: Dataset) -> str:
    """Hash of a data set's items, users, interactions and graph; vectors count as features."""
    digest = hashlib.sha256(dataset.name.encode())
    for one in (*dataset.items, *dataset.users):
        digest.update(one.model_dump_json().encode())
    for array in (dataset.user_index, dataset.item_index, dataset.weights, dataset.times):
        if array is not None:
            digest.update(np.ascontiguousarray(array).tobytes())
    for triple in dataset.graph:
        digest.update("\t".join(triple).encode())
    if dataset.given is not None:
        for part in (dataset.given.cold_items, dataset.given.part):
            if part is not None:
                digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
