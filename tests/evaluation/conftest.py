"""An evaluation that is small enough to be carried out in a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.settings import Settings
from evaluation.dataset import Dataset
from evaluation.features import Features, embed
from evaluation.methods import chosen
from evaluation.plan import Plan, protocols
from evaluation.run import Evaluator


@pytest.fixture(scope="module")
def features(planted_dataset: Dataset, tiny_settings: Settings) -> Features:
    return embed(planted_dataset, tiny_settings, ["text"])


@pytest.fixture
def evaluator(
    planted_dataset: Dataset, features: Features, tiny_settings: Settings, tmp_path: Path
) -> Evaluator:
    asked = protocols()["item-cold"]
    plan = Plan(
        protocol="item-cold",
        splits=asked.splits,
        questions=asked.questions,
        methods=chosen(["random", "whitened-cosine"]),
        features=("text", "attributes"),
        seeds=(0, 1),
    )
    return Evaluator(planted_dataset, features, plan, tiny_settings, tmp_path / "runs")
