"""What a method of one's own may do wrong without harm to the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domain.errors import RejectedError
from evaluation.methods import chosen
from evaluation.run import Evaluator

SPOILING = """
class Spoiling:
    name = "spoiling"

    def fit(self, task):
        for array in (task.items, *task.raw.values(), *task.profiles.values(), task.train.data,
                      task.dataset.weights, *(one.targets.data for one in task.split.evaluations)):
            array[:] = 7.0
        self.n = task.items.shape[0]

    def scores(self, users, history):
        import numpy
        return numpy.zeros((len(users), self.n), dtype=numpy.float32)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the Python path."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def test_what_a_method_writes_into_its_task_reaches_no_other(
    evaluator: Evaluator, own: Path, tmp_path: Path
) -> None:
    (own / "my_spoiling.py").write_text(SPOILING)
    names = ["raw-cosine", "als-ridge", "whitened-cosine"]
    plan = replace(evaluator.plan, methods=chosen(names), ablation=False)
    before = evaluator.features.digest
    clean = replace(evaluator, plan=plan).run().runs
    plan = replace(plan, methods=[*chosen(["my_spoiling:Spoiling"]), *chosen(names)])
    runs = replace(evaluator, plan=plan, folder=tmp_path / "spoiled").run().runs
    assert [run.state for run in runs] == ["done"] * 8
    others = [run for run in runs if run.method != "spoiling"]
    for mine, other in zip(clean, others, strict=True):
        assert (mine.key, mine.metrics) == (other.key, other.metrics)
    assert evaluator.features.digest == before
    assert not np.any(evaluator.dataset.weights == 7.0)


def test_a_method_that_ends_the_process_fails_alone(evaluator: Evaluator, own: Path) -> None:
    (own / "my_exit.py").write_text(
        "class Exit:\n    name = 'exit'\n    content = False\n"
        "    def fit(self, task): raise SystemExit(3)\n"
    )
    plan = replace(evaluator.plan, methods=chosen(["my_exit:Exit", "random"]), seeds=(0,))
    outcome = replace(evaluator, plan=plan).run()
    assert {run.method: run.state for run in outcome.runs} == {"random": "done", "exit": "failed"}
    assert [run.reason for run in outcome.failed] == ["SystemExit: 3"]


METHOD = """
class {cls}:
    name = {name!r}
    content = False
    def fit(self, task): ...
    def scores(self, users, history): ...
"""


def test_two_methods_of_one_name_are_refused(own: Path) -> None:
    (own / "my_twins.py").write_text(
        METHOD.format(cls="A", name="whitened-cosine") + METHOD.format(cls="B", name="mine")
        + METHOD.format(cls="C", name="mine")
    )  # fmt: skip
    for names in (
        ["whitened-cosine", "my_twins:A"],
        ["my_twins:B", "my_twins:C"],
        ["all", "my_twins:A"],
    ):
        with pytest.raises(RejectedError, match="are both called") as raised:
            chosen(names)
        assert raised.value.field == "--methods"
        assert "another name" in raised.value.remedy
    found = chosen(["ease", "my_twins:B", "my_twins:B"])
    assert [one.name for one in found] == ["ease", "mine"]


def test_an_unknown_name_is_refused_beside_all() -> None:
    with pytest.raises(RejectedError, match="no method 'svd'"):
        chosen(["all", "svd"])


@pytest.mark.parametrize(
    ("source", "where", "reason"),
    [
        ("def (", "my_broken_0:X", "SyntaxError"),
        ("raise ValueError('no key')", "my_broken_1:X", "ValueError: no key"),
        ("raise SystemExit(2)", "my_broken_2:X", "SystemExit: 2"),
        ("X = 3", "my_broken_3:X", "it is no class"),
        ("", "my_broken_4:X", "AttributeError"),
        ("", ":X", "it is not MODULE:CLASS"),
        ("", ".my_broken_6:X", "it is not MODULE:CLASS"),
        ("", "my_broken_7:", "it is not MODULE:CLASS"),
        (METHOD.format(cls="X", name=""), "my_broken_8:X", "the name of my_broken_8:X is ''"),
        (METHOD.format(cls="X", name=3), "my_broken_9:X", "the name of my_broken_9:X is 3"),
        ("class X:\n    name = 'x'\n    grid = ()", "my_broken_10:X", r"the grid .* is \(\)"),
        ("class X:\n    name = 'x'\n    grid = 3", "my_broken_11:X", "the grid .* is 3"),
        ("class X:\n    name = 'x'\n    grid = {'a': 1}", "my_broken_12:X", "the grid .* is {'a'"),
    ],
)
def test_what_is_no_method_is_refused_with_the_reason(
    own: Path, source: str, where: str, reason: str
) -> None:
    if where[0].isalpha():
        (own / f"{where.partition(':')[0]}.py").write_text(source)
    with pytest.raises(RejectedError, match=reason) as raised:
        chosen([where])
    assert raised.value.field == "--methods"
    assert raised.value.remedy
