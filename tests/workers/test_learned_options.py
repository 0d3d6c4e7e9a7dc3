"""A learned option serves in the product where it wins, and is given up for who is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from domain.events import UserDeleted
from domain.vectors import Vector
from ranking.training.options import DISTILLATION
from tests.fixtures.shop import TopicEncoders
from tests.fixtures.trained import hybrid_of, ridge_without
from workers.forget import forget_user
from workers.learning import GIVEN_UP, OPTION, Learning
from workers.training import train

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop

ITEMS = [f"i{number:03}" for number in range(240)]
USERS = 300
TASTE, NOISE = 8, 24


class NoisyEncoders(TopicEncoders):
    """Texts whose vectors say what people go by in a quarter of their coordinates, and nothing in
    the others."""

    def __init__(self) -> None:
        super().__init__(dims={"text": TASTE + NOISE})

    def _encode(self, text: str) -> Any:
        return super()._encode(text.partition(" ")[0])

    def _vector(self, name: str, text: str) -> Vector:
        vector = np.concatenate([meaning(text), noise(text)])
        return (vector / np.linalg.norm(vector)).astype(np.float32)


class PlainEncoders(NoisyEncoders):
    """Texts whose vectors say nothing but what people go by."""

    def __init__(self) -> None:
        TopicEncoders.__init__(self, dims={"text": TASTE})

    def _vector(self, name: str, text: str) -> Vector:
        return meaning(text).astype(np.float32)


def meaning(text: str) -> np.ndarray:
    """[TASTE] of unit length."""
    seed = np.frombuffer(text.partition(" ")[0].encode(), dtype=np.uint8)
    found = np.random.default_rng(seed).standard_normal(TASTE)
    return found / np.linalg.norm(found)


def noise(text: str) -> np.ndarray:
    seed = np.frombuffer(text.partition(" ")[0].encode(), dtype=np.uint8)
    return np.random.default_rng([*seed, 1]).standard_normal(NOISE)


def crowd(each: int) -> list[tuple[str, str]]:
    """Everybody takes so many of the items that are near to their taste."""
    random = np.random.default_rng(0)
    tastes = random.standard_normal((USERS, TASTE))
    tastes /= np.linalg.norm(tastes, axis=1, keepdims=True)
    liked = 8.0 * tastes @ np.array([meaning(one) for one in ITEMS]).T
    lots = liked - np.log(-np.log(random.random(liked.shape)))
    chosen = np.argsort(-lots, axis=1)[:, :each]
    return [(f"u{user:03}", ITEMS[item]) for user in range(USERS) for item in chosen[user]]


def filled(shop: Shop, encoders: TopicEncoders, each: int) -> Shop:
    made = shop.reopened(encoders)
    made.publish(*ITEMS)
    made.took(*crowd(each))
    return made


def test_where_an_option_wins_it_serves_until_somebody_is_forgotten(shop: Shop) -> None:
    made = filled(shop, NoisyEncoders(), 6)
    report = train(made.held).report["projection"]["options"]
    assert report["chosen"] == DISTILLATION
    assert report[DISTILLATION]["interval"][0] > 0.0
    before = hybrid_of(made)
    assert before.facts[OPTION] == DISTILLATION

    made.held.catalog.accept([UserDeleted.model_validate({"data": {"id": "u007"}})])
    part = forget_user(made.settings, made.held.index, "u007")
    assert part.option == DISTILLATION
    assert part.interactions == 6
    after = hybrid_of(made)
    assert (after.facts[OPTION], after.facts[GIVEN_UP]) == (None, DISTILLATION)
    assert Learning(made.settings, made.held.index).hybrids.versions() == [after.version]
    for name, matrix in ridge_without(made, "u007", crowd(6)).items():
        np.testing.assert_allclose(after.projection.matrices[name], matrix, atol=1e-6)
    assert not np.allclose(
        after.projection.matrices["history"], before.projection.matrices["history"], atol=1e-3
    )

    again = train(made.held)  # nobody came, and yet nothing can be added to an option
    assert again.whole
    assert again.users == USERS - 1
    assert again.report["projection"]["options"]["chosen"] == DISTILLATION
    assert GIVEN_UP not in hybrid_of(made).facts


def test_what_arrives_while_an_option_serves_is_learned_with_everything(shop: Shop) -> None:
    made = filled(shop, NoisyEncoders(), 6)
    train(made.held)
    made.took(("new", ITEMS[3]), ("new", ITEMS[4]))
    found = train(made.held)
    assert found.whole
    assert found.users == USERS + 1


def test_where_none_wins_the_ridge_serves_and_is_added_to(shop: Shop) -> None:
    made = filled(shop, PlainEncoders(), 20)
    first = train(made.held)
    report = first.report["projection"]["options"]
    assert report["chosen"] == "ridge"
    assert not any(report[name]["wins"] for name in ("infonce", DISTILLATION))
    assert hybrid_of(made).facts[OPTION] is None
    made.took(("new", ITEMS[3]), ("new", ITEMS[4]))
    assert not train(made.held).whole
    made.held.catalog.accept([UserDeleted.model_validate({"data": {"id": "u007"}})])
    assert forget_user(made.settings, made.held.index, "u007").option == ""
    assert GIVEN_UP not in hybrid_of(made).facts


@pytest.mark.parametrize("options", [[], ["infonce"]])
def test_only_the_options_that_are_named_are_tried(shop: Shop, options: list[str]) -> None:
    ranking = shop.settings.ranking.model_copy(update={"learned_options": options})
    settings = shop.settings.model_copy(update={"ranking": ranking})
    shop.settings = settings
    made = filled(shop, NoisyEncoders(), 6)
    report = train(made.held).report["projection"]["options"]
    assert {name for name in report if name in ("infonce", DISTILLATION)} == set(options)
    assert report["chosen"] == "ridge"
