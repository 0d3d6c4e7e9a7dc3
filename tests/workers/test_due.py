"""When a training is due, when it is a whole one, and when a file has to be named again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from domain.errors import RejectedError
from tests.fixtures.crowd import ITEMS, crowd
from workers.due import is_due
from workers.training import train

from .test_training import (
    hybrid_of,
    sums_of,
)

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop


def test_why_a_file_was_of_no_use_is_said(shop: Shop, tmp_path: Path) -> None:
    shop.publish(*ITEMS)
    path = tmp_path / "strangers.csv"
    lines = [f"{user},other-{item},1" for user, item in crowd()]
    path.write_text("\n".join(["user,item,weight", "u,i00,heavy", *lines]))
    with pytest.raises(RejectedError, match="0 interactions with indexed items") as caught:
        train(shop.held, file=path)
    assert f"{len(lines)} unknown items, 1 malformed (line 2: could not" in caught.value.message
    assert "name a file with more, and publish the unknown items first" in caught.value.remedy


def test_the_ledger_takes_the_place_of_a_file_only_where_that_is_said(
    filled: Shop, tmp_path: Path
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["user,item", *(f"{user},{item}" for user, item in crowd(60, 5))]))
    train(filled.held, file=path)
    before = hybrid_of(filled).version

    def refused() -> None:
        with pytest.raises(RejectedError, match="learned from a file") as caught:
            train(filled.held)
        assert "--from-files" in caught.value.remedy
        assert "--full" in caught.value.remedy
        assert hybrid_of(filled).version == before

    refused()
    filled.publish(*(f"new{number}" for number in range(20)))  # a tenth more, and more
    refused()
    assert not is_due(filled.held)
    assert train(filled.held, file=path).users == 60
    assert train(filled.held, whole=True).users == 30
    assert not train(filled.held).whole


def test_another_number_of_concepts_asks_for_a_whole_training(filled: Shop) -> None:
    train(filled.held)
    assert not train(filled.held).whole
    ranking = filled.settings.ranking.model_copy(update={"concepts": 3})
    filled.settings = filled.settings.model_copy(update={"ranking": ranking})
    made = filled.reopened(filled.encoders)
    found = train(made.held)
    assert found.whole
    assert found.report["projection"]["ridge"]["concepts"] == 3
    assert not train(made.held).whole


def test_profiles_of_another_length_ask_for_a_whole_training(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(width: int) -> None:
        def profiles(*arguments: Any) -> dict[str, np.ndarray]:
            random = np.random.default_rng(1)
            shape = (len(arguments[-1]), width)
            return {"profile": random.standard_normal(shape).astype(np.float32)}

        monkeypatch.setattr("workers.training.profiles_of", profiles)

    def length() -> int:
        start, stop = sums_of(filled).layout().spans["profile"]
        return stop - start

    said(4)
    train(filled.held)
    filled.took(("u00", "i07"))
    assert not train(filled.held).whole
    assert length() == 4
    said(6)
    filled.took(("u01", "i07"))
    assert train(filled.held).whole
    assert length() == 6
    filled.took(("u02", "i07"))
    assert not train(filled.held).whole


def test_training_by_itself_waits_for_enough_that_is_new(filled: Shop) -> None:
    assert is_due(filled.held)
    train(filled.held)
    assert not is_due(filled.held)
    filled.took(*((f"x{number}", ITEMS[number % 60]) for number in range(60)))
    assert is_due(filled.held)
    train(filled.held)
    assert not is_due(filled.held)
