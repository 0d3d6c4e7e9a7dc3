"""Gates that win a training move every point behind them, and back where they no longer win."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from domain.errors import RejectedError, RetryableError
from domain.events import UserDeleted
from domain.modality_gates import ModalityGates
from encoders import EncodedItem
from ranking.training import GATED, Setting
from ranking.training.contest import SEEDS, Attempt, Contest
from ranking.training.gated import GatedFusion
from tests.fixtures.shop import TopicEncoders
from tests.fixtures.trained import hybrid_of, ridge_without, served
from workers.collection_fit import fit_fusion
from workers.collection_move import move
from workers.collection_registry import BusyError
from workers.collection_settle import settle
from workers.forget import forget_user
from workers.learning import GIVEN_UP, OPTION, Learning
from workers.training import train

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop

ITEMS = [f"i{number:03}" for number in range(90)]
USERS, EACH, TASTE = 80, 10, 6


class TwoSidedEncoders(TopicEncoders):
    """The text of every other item says what people go by, and its image says anything; of the
    others it is the image. The last coordinate of the text says which."""

    def __init__(self) -> None:
        super().__init__(dims={"text": TASTE + 1, "image": TASTE})

    def _encode(self, text: str) -> EncodedItem:
        item_id = text.partition(" ")[0]
        sides = [meaning(item_id), anything(item_id)]
        kind = 1.0
        if sum(map(ord, item_id)) % 2:
            sides, kind = sides[::-1], -1.0
        found = {"text": unit(np.append(sides[0], kind)), "image": unit(sides[1])}
        return EncodedItem({name: one.astype(np.float32) for name, one in found.items()}, (), None)


def meaning(item_id: str, part: int = 0) -> np.ndarray:
    seed = np.frombuffer(item_id.encode(), dtype=np.uint8)
    return unit(np.random.default_rng([*seed, part]).standard_normal(TASTE))


def anything(item_id: str) -> np.ndarray:
    return meaning(item_id, 1)


def unit(row: np.ndarray) -> np.ndarray:
    return np.asarray(row / np.linalg.norm(row))


def crowd() -> list[tuple[str, str]]:
    """Everybody takes items near to their taste."""
    random = np.random.default_rng(0)
    tastes = np.array([unit(row) for row in random.standard_normal((USERS, TASTE))])
    liked = 8.0 * tastes @ np.array([meaning(one) for one in ITEMS]).T
    lots = liked - np.log(-np.log(random.random(liked.shape)))
    chosen = np.argsort(-lots, axis=1)[:, :EACH]
    return [(f"u{user:03}", ITEMS[item]) for user in range(USERS) for item in chosen[user]]


QUICK = GatedFusion(learning_rate=0.03, epochs=8)


@pytest.fixture
def crowded(shop: Shop) -> Shop:
    """A shop of these items, whose fusion is fitted, and who took them."""
    made = with_options(shop, [GATED], TwoSidedEncoders())
    made.publish(*ITEMS)
    fit_fusion(made.held, made.dispatch)
    made.took(*crowd())
    return made


@pytest.fixture
def gates_win(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever they are tried: what chooses, and takes its time over it, has tests of its own."""

    def won(data: Any, prior: Any, setting: Any, names: Any, *, seed: int = 0) -> Contest:
        attempt = Attempt(GATED, QUICK, ndcg=[0.5] * SEEDS, gains=[0.1] * SEEDS)
        return Contest([0.4] * SEEDS, [attempt] if GATED in names else [])

    monkeypatch.setattr("ranking.training.fit.compete", won)
    monkeypatch.setattr("ranking.training.fit.choose", lambda *_, **__: (Setting(), {}))
    monkeypatch.setattr("ranking.training.collaborate.TRIALS", 0)


def with_options(shop: Shop, options: list[str], encoders: TopicEncoders | None = None) -> Shop:
    ranking = shop.settings.ranking.model_copy(update={"learned_options": options})
    fusion = shop.settings.fusion.model_copy(update={"block_dim": TASTE + 1})
    shop.settings = shop.settings.model_copy(update={"ranking": ranking, "fusion": fusion})
    return shop.reopened(encoders)


def learned(shop: Shop, **how: Any) -> Any:
    return train(shop.held, dispatch=shop.dispatch, **how)


@pytest.mark.usefixtures("gates_win")
def test_gates_that_win_move_every_point_and_new_items_are_fused_behind_them(
    crowded: Shop,
) -> None:
    before = served(crowded)
    done = learned(crowded)
    assert done.report["projection"]["options"]["chosen"] == GATED
    after = served(crowded)
    assert before.fusion.version.startswith("fit-")
    assert after.fusion.version.startswith("gated-")
    assert after.fusion.gated(None).version == before.fusion.version
    assert after.collection != before.collection
    hybrid = hybrid_of(crowded)
    assert (hybrid.version, hybrid.facts[OPTION]) == (done.version, GATED)
    crowded.check()
    encoded = crowded.encoders.encoded
    crowded.publish("i900", "i901")
    assert crowded.encoders.encoded == encoded + 2
    crowded.check()  # fused behind the gates


@pytest.mark.usefixtures("gates_win")
def test_the_same_gates_again_move_nothing(crowded: Shop) -> None:
    learned(crowded)
    before = served(crowded)
    done = learned(crowded)
    assert done.whole  # nothing can be added to an A that is mixed
    assert done.report["projection"]["options"]["chosen"] == GATED
    assert served(crowded).collection == before.collection
    assert "move" not in done.seconds
    crowded.check()


@pytest.mark.usefixtures("gates_win")
def test_without_the_option_the_next_training_moves_back(crowded: Shop) -> None:
    before = served(crowded)
    learned(crowded)
    plain = with_options(crowded, [], crowded.encoders)
    done = learned(plain)
    assert served(plain).fusion.version == before.fusion.version
    assert hybrid_of(plain).version == done.version
    assert hybrid_of(plain).facts[OPTION] is None
    plain.check()
    plain.took(("new", ITEMS[3]), ("new", ITEMS[4]))
    assert not learned(plain).whole


@pytest.mark.usefixtures("gates_win")
def test_whoever_is_forgotten_is_taken_off_a_and_the_next_training_learns_gates_anew(
    crowded: Shop,
) -> None:
    learned(crowded)
    before = served(crowded)
    crowded.held.catalog.accept([UserDeleted.model_validate({"data": {"id": "u007"}})])
    part = forget_user(crowded.settings, crowded.held.index, "u007")
    assert (part.option, part.interactions) == (GATED, EACH)
    after = hybrid_of(crowded)
    assert (after.facts[OPTION], after.facts[GIVEN_UP]) == (None, GATED)
    assert served(crowded).fusion.version == before.fusion.version
    for name, matrix in ridge_without(crowded, "u007", crowd()).items():
        np.testing.assert_allclose(after.projection.matrices[name], matrix, atol=1e-6)
    done = learned(crowded)
    assert done.whole
    assert done.users == USERS - 1
    again = served(crowded)
    assert again.fusion.version.startswith("gated-")
    assert again.fusion.version != before.fusion.version
    crowded.check()


@pytest.mark.usefixtures("gates_win")
def test_a_fit_of_other_statistics_ends_the_gates(crowded: Shop) -> None:
    learned(crowded)
    crowded.publish(*(f"j{number:03}" for number in range(40)))
    fit_fusion(crowded.held, crowded.dispatch)
    assert served(crowded).fusion.version.startswith("fit-")
    crowded.check()


def test_a_fit_of_unchanged_statistics_leaves_the_gates(real_shop: Shop) -> None:
    real_shop.publish(*ITEMS[:40])
    fit_fusion(real_shop.held, real_shop.dispatch)
    fusion = served(real_shop).fusion
    size = len(fusion.blocks)
    weights = np.random.default_rng(0).standard_normal((fusion.dim + size, size))
    gates = ModalityGates(weights.astype(np.float32))
    collections = real_shop.held.collections
    with collections.registry.exclusive():
        record = collections.registry.get(served(real_shop).collection)
        assert record is not None
        move(real_shop.held, record, fusion.gated(gates), lambda _: None, real_shop.dispatch)
    before = served(real_shop)
    assert before.fusion.version.startswith("gated-")
    real_shop.check()
    done = fit_fusion(real_shop.held, real_shop.dispatch)
    assert done is not None
    assert (done.fusion, done.copied) == (before.fusion.version, 0)
    assert served(real_shop).collection == before.collection


@pytest.mark.usefixtures("gates_win")
def test_before_statistics_there_is_nothing_to_gate(shop: Shop) -> None:
    made = with_options(shop, [GATED], TwoSidedEncoders())
    made.publish(*ITEMS)
    made.took(*crowd())
    assert served(made).fusion.version.startswith("passthrough-")
    assert GATED not in learned(made).report["projection"]["options"]


@contextmanager
def filling(shop: Shop) -> Iterator[None]:
    with shop.held.collections.registry.exclusive():
        yield


def test_while_a_fit_is_under_way_nothing_is_trained(crowded: Shop) -> None:
    before = hybrid_of(crowded).version
    with filling(crowded), pytest.raises(BusyError, match="fit or reindex"):
        learned(crowded)
    assert hybrid_of(crowded).version == before


@pytest.mark.usefixtures("gates_win")
def test_items_under_way_hold_the_move_up_and_the_reconciler_ends_it(crowded: Shop) -> None:
    before = served(crowded)
    crowded.holding = True
    crowded.publish(ITEMS[0])
    crowded.held.index.undo(before.collection, [(ITEMS[0], 1)])
    crowded.holding = False
    learned(crowded)
    crowded.release()
    settle(crowded.held, crowded.dispatch)
    assert served(crowded).fusion.version.startswith("gated-")
    crowded.check()


@pytest.mark.usefixtures("gates_win")
def test_a_user_forgotten_while_points_move_is_in_nothing_that_serves(
    crowded: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers.collection_copy import Copier

    copy = Copier.all

    def interrupted(copier: Copier) -> int:
        crowded.held.catalog.accept([UserDeleted.model_validate({"data": {"id": "u007"}})])
        forget_user(crowded.settings, crowded.held.index, "u007")
        return copy(copier)

    monkeypatch.setattr(Copier, "all", interrupted)
    with pytest.raises(RetryableError, match="was forgotten while points were moved"):
        learned(crowded)
    monkeypatch.undo()
    learning = Learning(crowded.settings, crowded.held.index)
    assert not any(one.has("u007") for one in learning.sums.all())
    crowded.check()
    done = learned(crowded)
    assert done.whole
    assert done.users == USERS - 1


@pytest.mark.usefixtures("gates_win")
def test_killed_at_any_moment_something_whole_serves(
    crowded: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = served(crowded)
    done: list[str] = []
    for effect in range(20):
        victim = crowded.reopened()
        with monkeypatch.context() as patched:
            steps = victim.dies_before(effect, patched)
            with pytest.raises(victim.Killed):
                learned(victim, whole=True)
        after = crowded.reopened()
        settle(after.held, after.dispatch)
        now = served(after)
        assert now.fusion.gated(None).version == before.fusion.version
        after.check()
        done = steps
        if now.fusion.version.startswith("gated-"):
            break
    # with the goal on disk, whoever looks next ends what was begun
    assert done == ["ensure", "add", "put", "ensure", "upsert", "aim"]


def test_other_encoders_than_the_served_ones_train_nothing_behind_gates(crowded: Shop) -> None:
    other = TwoSidedEncoders()
    other.fingerprint = "others"
    made = crowded.reopened(other)
    with pytest.raises(RejectedError, match="not made with this worker's encoders"):
        learned(made)
