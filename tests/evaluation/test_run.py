"""A plan carried out: kept as it goes, continued, and unharmed by a method that fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

import evaluation.run
from domain.errors import RejectedError
from domain.vectors import Matrix
from evaluation.dataset import Dataset
from evaluation.features import fuse
from evaluation.methods import Entry, Task, chosen
from evaluation.methods.baselines import Popularity
from evaluation.parallel import run_in_parallel
from evaluation.plan import protocols
from evaluation.results import Run
from evaluation.run import Evaluator
from evaluation.summary import System, summarise

FITS: list[str] = []


class Counted(Popularity):
    """Popularity that tells when it is fitted."""

    name = "counted"

    def fit(self, task: Task) -> None:
        FITS.append(self.name)
        super().fit(task)


class Broken(Popularity):
    """Raises what a method of one's own might raise."""

    name = "broken"

    def fit(self, task: Task) -> None:
        FITS.append(self.name)
        raise ZeroDivisionError("no users like this")


class Interrupted(Popularity):
    """Stands for a run that is killed."""

    name = "interrupted"

    def fit(self, task: Task) -> None:
        raise KeyboardInterrupt


class NotNumbers(Popularity):
    """Scores that are not a number."""

    name = "not-numbers"

    def scores(self, users: NDArray[np.int64], history: csr_matrix) -> NDArray[np.float32]:
        return np.full((len(users), history.shape[1]), np.nan, dtype=np.float32)


def _entry(kind: type[Popularity]) -> Entry:
    return Entry(kind.name, f"{kind.__module__}:{kind.__name__}", "a test", content=False)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes above by MODULE:CLASS, though pytest imported this file by its path."""
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    FITS.clear()


def _with(evaluator: Evaluator, *kinds: type[Popularity]) -> Evaluator:
    methods = (*evaluator.plan.methods, *map(_entry, kinds))
    return replace(evaluator, plan=replace(evaluator.plan, methods=methods))


class Told:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.steps = 0
        self.runs: list[tuple[Run, bool]] = []

    def begin(self, steps: int) -> None:
        self.steps += steps

    def step(self, what: str) -> None:
        assert what

    def done(self, run: Run, kept: bool) -> None:
        self.runs.append((run, kept))


def test_every_method_subset_and_seed_has_a_run(evaluator: Evaluator) -> None:
    told = Told()
    outcome = replace(evaluator, watch=told).run()
    assert told.steps == len(outcome.runs) == 2 * (1 + 3)
    assert {run.features for run in outcome.runs} == {
        (), ("text",), ("attributes",), ("text", "attributes"),
    }  # fmt: skip
    assert all(run.state == "done" for run in outcome.runs)
    assert [facts["seed"] for facts in outcome.facts] == [0, 1]


@pytest.mark.usefixtures("importable")
def test_a_second_run_finds_what_the_first_had_and_adds_what_is_new(evaluator: Evaluator) -> None:
    first = _with(evaluator, Counted).run()
    told = Told()
    second = replace(_with(evaluator, Counted, Broken), watch=told).run()
    assert FITS.count("counted") == 2
    assert [kept for run, kept in told.runs if run.method != "broken"] == [True] * len(first.runs)
    for a, b in zip(first.runs, [r for r in second.runs if r.method != "broken"], strict=True):
        assert a.metrics == b.metrics
        assert np.array_equal(a.per_user["overall"]["ndcg@20"], b.per_user["overall"]["ndcg@20"])


@pytest.mark.usefixtures("importable")
def test_a_run_that_is_killed_keeps_what_it_had(evaluator: Evaluator) -> None:
    with pytest.raises(KeyboardInterrupt):
        _with(evaluator, Counted, Interrupted).run()
    told = Told()
    replace(_with(evaluator, Counted), watch=told).run()
    assert [kept for run, kept in told.runs if run.seed == 0] == [True] * 5
    assert not any(kept for run, kept in told.runs if run.seed == 1)


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Broken, "ZeroDivisionError: no users like this"), (NotNumbers, "a score is NaN")],
)
def test_a_method_that_fails_harms_no_other_and_is_tried_again(
    evaluator: Evaluator, kind: type[Popularity], reason: str
) -> None:
    outcome = _with(evaluator, kind).run()
    assert {run.method for run in outcome.failed} == {kind.name}
    assert all(reason in run.reason for run in outcome.failed)
    assert sum(run.state == "done" for run in outcome.runs) == 8
    again = _with(evaluator, kind).run()
    assert len(again.failed) == 2
    summary = summarise(again, _with(evaluator, kind).plan)
    assert reason in summary.absent[System(kind.name, ())]


def test_a_damaged_result_is_computed_again(evaluator: Evaluator) -> None:
    first = evaluator.run()
    (evaluator.folder / f"{first.runs[0].key}.json").write_bytes(b"{")
    (evaluator.folder / f"{first.runs[1].key}.npz").unlink()
    told = Told()
    replace(evaluator, watch=told).run()
    assert [kept for _, kept in told.runs[:3]] == [False, False, True]


def test_other_interactions_or_another_grid_are_another_result(evaluator: Evaluator) -> None:
    first = {run.key for run in evaluator.run().runs}
    heavier = replace(evaluator.dataset, weights=evaluator.dataset.weights * 2)
    assert not first & {run.key for run in replace(evaluator, dataset=heavier).run().runs}
    methods = [replace(one, grid=({}, {})) for one in evaluator.plan.methods]
    plan = replace(evaluator.plan, methods=methods)
    assert not first & {run.key for run in replace(evaluator, plan=plan).run().runs}


def test_another_version_of_a_library_is_another_result(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(evaluator.plan, methods=chosen(["random"]), seeds=(0,))
    (first,) = replace(evaluator, plan=plan).run().runs
    monkeypatch.setattr("evaluation.run.library_versions", lambda: {"numpy": "3"})
    (second,) = replace(evaluator, plan=plan).run().runs
    assert first.key != second.key


def test_a_method_that_cannot_order_cold_items_is_left_out_of_questions_about_them(
    evaluator: Evaluator,
) -> None:
    plan = replace(evaluator.plan, methods=chosen(["popularity"]), seeds=(0,))
    (run,) = replace(evaluator, plan=plan).run().runs
    assert "cold" not in run.metrics
    assert {"warm", "overall"} <= set(run.metrics)


def test_distance_is_measured_in_one_space_for_every_method_and_subset(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[tuple[str, ...], Matrix]] = []
    measured = evaluation.run.measured

    def watched(
        entry: Entry, task: Task, ks: tuple[int, ...], started: Run, vectors: Matrix | None
    ) -> Run:
        assert vectors is not None
        seen.append((started.features, vectors))
        return measured(entry, task, ks, started, vectors)

    monkeypatch.setattr("evaluation.run.measured", watched)
    plan = replace(evaluator.plan, methods=chosen(["popularity", "whitened-cosine"]), seeds=(0,))
    runs = replace(evaluator, plan=plan).run().runs
    (split,) = plan.splits(evaluator.dataset, 0)
    whole = fuse(
        evaluator.dataset, evaluator.features, plan.features, split.warm, evaluator.settings
    )[1]
    assert [features for features, _ in seen] == [run.features for run in runs]
    assert len(runs) == 4
    for run, (_, vectors) in zip(runs, seen, strict=True):
        assert np.array_equal(vectors, whole)
        assert run.metrics["overall"]["distance@20"] > 0


def test_results_measured_by_other_features_are_not_taken_for_these(evaluator: Evaluator) -> None:
    def keys(*features: str) -> dict[tuple[str, ...], str]:
        plan = replace(evaluator.plan, features=features, seeds=(0,))
        return {run.features: run.key for run in replace(evaluator, plan=plan).run().runs}

    alone, both = keys("text"), keys("text", "attributes")
    assert alone == keys("text")
    assert alone[()] != both[()]
    assert alone["text",] != both["text",]


def test_without_features_only_methods_that_need_none_are_run(evaluator: Evaluator) -> None:
    plan = replace(evaluator.plan, features=())
    assert [entry.name for entry, _ in plan.steps()] == ["random"]


def test_a_graph_is_run_beside_its_permuted_control_by_methods_that_read_it(
    evaluator: Evaluator,
) -> None:
    methods = [replace(one, graph=one.name == "whitened-cosine") for one in evaluator.plan.methods]
    plan = replace(evaluator.plan, methods=methods, features=("text", "graph"))
    assert [part for entry, part in plan.steps() if entry.content] == [
        ("text",), ("text", "permuted-graph"), ("text", "graph"),
    ]  # fmt: skip
    only = chosen(["bilinear-graph"])
    assert [part for _, part in replace(plan, methods=only, ablation=False).steps()] == [
        ("text", "permuted-graph"), ("text", "graph"),
    ]  # fmt: skip
    assert replace(plan, methods=only, features=("text",)).steps() == []


def test_warm_up_has_a_run_for_every_number_of_revealed_interactions(
    evaluator: Evaluator,
) -> None:
    asked = protocols()["warm-up"]
    plan = replace(
        evaluator.plan, protocol="warm-up", splits=asked.splits, questions=asked.questions,
        methods=chosen(["random", "popularity"]), seeds=(0,),
    )  # fmt: skip
    summary = summarise(replace(evaluator, plan=plan).run(), plan)
    assert summary.leading == tuple(f"N={n}: cold" for n in (0, 1, 2, 3, 5, 10))
    assert summary.line(System("popularity", ()), "N=0: cold") is None
    assert summary.line(System("popularity", ()), "N=3: cold") is not None


def test_profiles_are_withheld_where_the_protocol_forbids_them(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[str]] = {}
    for name in ("user-cold", "user-cold-without-profile"):
        asked = protocols()[name]
        plan = replace(
            evaluator.plan, protocol=name, splits=asked.splits, questions=asked.questions,
            methods=chosen(["als-ridge"]), seeds=(0,),
        )  # fmt: skip
        monkeypatch.setattr(
            "evaluation.methods.als_ridge.AlsRidge.fit",
            lambda self, task, name=name: seen.update({name: set(task.profiles)}),
        )
        replace(evaluator, plan=plan).run()
    assert seen == {"user-cold": {"demographics"}, "user-cold-without-profile": set()}


def test_hyper_parameters_are_chosen_on_validation_alone(evaluator: Evaluator) -> None:
    plan = replace(evaluator.plan, methods=chosen(["als-ridge"]), seeds=(0,), ablation=False)
    (run,) = replace(evaluator, plan=plan).run().runs
    tried = run.detail["tried"]
    assert run.validation == max(value for _, value in tried)
    assert dict(run.parameters) in [
        dict(point) for point, value in tried if value == run.validation
    ]
    assert run.tuning_s >= run.fit_s > 0


def test_what_cannot_order_cold_items_is_tuned_on_one_ranking_of_all(evaluator: Evaluator) -> None:
    assert evaluator.plan.questions == ("cold",)
    plan = replace(evaluator.plan, methods=chosen(["ease", "als-ridge"]), seeds=(0,))
    als, ease = replace(evaluator, plan=replace(plan, ablation=False)).run().runs
    values = [value for _, value in ease.detail["tried"]]
    assert len(set(values)) > 1  # among cold items alone all of them would be equal
    again = replace(plan, questions=("overall",), ablation=False)
    als_overall, overall = replace(evaluator, plan=again).run().runs
    assert ease.parameters == overall.parameters
    assert ease.detail["tried"] == overall.detail["tried"]
    assert als.detail["tried"] != als_overall.detail["tried"]


def test_an_empty_validation_leaves_the_first_point(evaluator: Evaluator) -> None:
    def no_validation(dataset: Dataset, seed: int):  # type: ignore[no-untyped-def]
        return tuple(
            replace(one, evaluations=one.of("test"))
            for one in protocols()["item-cold"].splits(dataset, seed)
        )

    plan = replace(evaluator.plan, methods=chosen(["ease"]), splits=no_validation, seeds=(0,))
    (run,) = replace(evaluator, plan=plan).run().runs
    assert run.parameters == {"strength": 50.0}
    assert run.validation is None


def test_a_graph_that_is_not_there_is_a_reason_not_a_crash(evaluator: Evaluator) -> None:
    plan = replace(
        evaluator.plan, methods=[replace(one, graph=True) for one in chosen(["whitened-cosine"])],
        features=("text", "graph"), ablation=False,
    )  # fmt: skip
    with pytest.raises(RejectedError, match="linked to a graph"):
        replace(evaluator, plan=plan).run()


@pytest.mark.usefixtures("importable")
def test_several_processes_find_what_one_finds_in_the_same_order(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    warm_up = protocols()["warm-up"]
    plan = replace(
        evaluator.plan,
        protocol="warm-up",
        splits=warm_up.splits,
        methods=chosen(["popularity", "ease"]),
    )
    one = replace(evaluator, plan=plan).run()
    told = Told()
    folder = tmp_path / "parallel"
    several = run_in_parallel(replace(evaluator, plan=plan, folder=folder, watch=told), 2)
    assert several.facts == one.facts
    assert told.steps == len(told.runs) == len(several.runs) == len(one.runs)
    for mine, other in zip(one.runs, several.runs, strict=True):
        assert (mine.key, mine.method, mine.split) == (other.key, other.method, other.split)
        assert mine.metrics.keys() == other.metrics.keys()
        for question, found in mine.metrics.items():
            assert found == pytest.approx(other.metrics[question], abs=1e-6)
    again = replace(evaluator, plan=plan, folder=folder, watch=(told := Told())).run()
    assert all(kept for _, kept in told.runs)
    assert len(again.runs) == len(one.runs)


def test_a_process_that_is_killed_is_said_and_what_was_done_is_found_again(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    killed = Entry("killed", "killed_method:Killed", "a test", content=False)
    plan = replace(evaluator.plan, methods=(*evaluator.plan.methods, killed), seeds=(0,))
    with pytest.raises(RejectedError, match="a process was killed") as raised:
        run_in_parallel(replace(evaluator, plan=plan), 2)
    assert "--jobs 1" in (raised.value.remedy or "")
    told = Told()
    replace(evaluator, plan=replace(plan, methods=evaluator.plan.methods), watch=told).run()
    assert any(kept for _, kept in told.runs)
