"""What several methods of a split make alike: the same results, each with the time of all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domain.settings import Settings
from evaluation.dataset import Dataset
from evaluation.features import embed
from evaluation.methods.registry import chosen
from evaluation.methods.shared import Shared
from evaluation.plan import Plan, protocols
from evaluation.results import Run
from evaluation.run import Evaluator

ALIKE = ("infonce", "ridge-infonce", "ease-distillation", "bilinear", "hybrid")


@pytest.fixture(scope="module")
def evaluator(
    planted_dataset: Dataset, tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Evaluator:
    features = embed(planted_dataset, tiny_settings, ["text", "attributes"])
    asked = protocols()["item-cold"]
    plan = Plan(
        "item-cold", asked.splits, asked.questions, chosen(ALIKE), ("text", "attributes"),
        seeds=(0,), ablation=False,
    )  # fmt: skip
    return Evaluator(planted_dataset, features, plan, tiny_settings, tmp_path_factory.mktemp("r"))


def _runs(evaluator: Evaluator, names: tuple[str, ...], folder: Path) -> dict[str, Run]:
    plan = replace(evaluator.plan, methods=chosen(names))
    found = replace(evaluator, plan=plan, folder=folder).run().runs
    assert {run.state for run in found} == {"done"}
    return {run.method: run for run in found}


def test_a_method_finds_the_same_alone_and_after_others(
    evaluator: Evaluator, tmp_path: Path
) -> None:
    together = _runs(evaluator, ALIKE, tmp_path / "all")
    for name in ("ridge-infonce", "hybrid"):
        alone = _runs(evaluator, (name,), tmp_path / name)[name]
        assert alone.metrics == together[name].metrics
        assert alone.parameters == together[name].parameters
        assert alone.validation == together[name].validation


def test_what_was_made_before_counts_in_the_time_of_a_fit(
    evaluator: Evaluator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.methods import learned

    fits: list[float] = []
    fit_projection = learned.fit_projection

    def counted(*args, **options):  # type: ignore[no-untyped-def]
        fits.append(1.0)
        return fit_projection(*args, **options)

    monkeypatch.setattr(learned, "fit_projection", counted)
    monkeypatch.setattr(Shared, "get", _an_hour_when_kept(Shared.get))
    runs = _runs(evaluator, ("bilinear", "hybrid"), tmp_path)
    assert len(fits) == 1
    assert runs["bilinear"].fit_s < 3600 <= runs["hybrid"].fit_s


def _an_hour_when_kept(get):  # type: ignore[no-untyped-def]
    def patched(self: Shared, key, make):  # type: ignore[no-untyped-def]
        before = set(self._kept)
        found = get(self, key, make)
        for one in set(self._kept) - before:
            self._kept[one] = self._kept[one][0], 3600.0
        return found

    return patched


def test_found_again_is_charged_and_made_once() -> None:
    shared, made = Shared(), []
    assert shared.get("a", lambda: made.append(1) or np.ones(3)) is shared.get("a", list)
    assert made == [1]
    assert shared.charged > 0
    before = shared.charged
    shared.get("b", lambda: 2)
    assert shared.charged == before
