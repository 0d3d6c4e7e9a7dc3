"""What a method of one's own may do wrong without harm to the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.methods import chosen
from evaluation.run import Evaluator

SPOILING = '''
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
'''


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
