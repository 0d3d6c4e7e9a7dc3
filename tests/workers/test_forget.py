"""Who is forgotten is gone from everything that was learned, also where that was cut short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ranking.training import Statistics, solve
from tests.fixtures.crowd import ITEMS, crowd
from workers.forget import forget_erased, forget_user
from workers.training import train

from .test_training import (
    deleted,
    everything,
    gates,
    hybrid_of,
    learning,
    same,
    stored_sums,
    sums_of,
)

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop


def solved(shop: Shop, statistics: Statistics) -> dict[str, np.ndarray]:
    """A of these sums, as the training that serves was made."""
    active = learning(shop).served()
    assert active is not None
    with sums_of(shop)._reading() as file:
        gram, ridge, first = file.item_gram(), file.ridge(), file.prior()
    return solve(active.fusion.blocks, statistics, gram, first, ridge)


def serves(shop: Shop, matrices: dict[str, np.ndarray]) -> None:
    for name, matrix in matrices.items():
        np.testing.assert_allclose(hybrid_of(shop).projection.matrices[name], matrix, atol=1e-6)


@pytest.mark.parametrize("step", ["publish", "keep_only"])
@pytest.mark.parametrize("after", ["a round", "another deletion", "a training"])
def test_forgetting_that_was_cut_short_is_finished_by_what_comes_next(
    filled: Shop, monkeypatch: pytest.MonkeyPatch, step: str, after: str
) -> None:
    from workers.refresh import Refresher

    train(filled.held)
    version, before = hybrid_of(filled).version, gates(filled)
    expected = solved(filled, everything(filled, without="u03"))
    deleted(filled, "u03")

    def dies(*_: Any, **__: Any) -> Any:
        raise filled.Killed

    with monkeypatch.context() as patched:
        patched.setattr(f"ranking.store.HybridStore.{step}", dies)
        with pytest.raises(filled.Killed):
            forget_user(filled.settings, filled.held.index, "u03")
    assert version in learning(filled).hybrids.versions()
    if after == "a round":
        forget_erased(learning(filled), filled.held.catalog)
    elif after == "another deletion":
        assert forget_user(filled.settings, filled.held.index, "nobody").projection
    else:
        assert not train(filled.held).whole
    serves(filled, expected)
    assert learning(filled).hybrids.versions() == [hybrid_of(filled).version]
    Refresher.of(filled.held).round()
    mine = {item for user, item in crowd() if user == "u03"}
    assert {one for one, gate in gates(filled).items() if gate < before[one]} == mine
    done = hybrid_of(filled).version
    assert forget_user(filled.settings, filled.held.index, "nobody").projection == ""
    assert hybrid_of(filled).version == done


def test_who_an_update_takes_off_is_gone_from_the_hybrids_before_it(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(filled.held)
    filled.took(("u03", "i07"), ("u04", "i08"))
    ask = filled.held.catalog.taken_by

    def meanwhile(users: list[str]) -> Any:
        deleted(filled, "u03")
        return ask(users)

    monkeypatch.setattr(filled.held.catalog, "taken_by", meanwhile)
    monkeypatch.setattr("workers.training.forget_erased", lambda *_: 0)  # the update does it alone
    assert not train(filled.held).whole
    assert not sums_of(filled).has("u03")
    assert learning(filled).hybrids.versions() == [hybrid_of(filled).version]


def test_a_hybrid_whose_sums_are_gone_goes_with_the_next_deletion(filled: Shop) -> None:
    first = train(filled.held).version
    second = train(filled.held, whole=True).version
    assert set(learning(filled).hybrids.versions()) == {first, second}
    assert [one.name for one in learning(filled).sums.all()] == [sums_of(filled).name]
    assert forget_user(filled.settings, filled.held.index, "nobody").projection == ""
    assert learning(filled).hybrids.versions() == [second]
    assert hybrid_of(filled).version == second


def test_weights_within_bounds_leave_what_a_training_without_the_user_gives(
    shop: Shop, tmp_path: Path
) -> None:
    shop.publish(*ITEMS)
    path = tmp_path / "weights.csv"

    def training(extra: list[str]) -> dict[str, np.ndarray]:
        lines = [f"{user},{item},1" for user, item in sorted(set(crowd()))]
        path.write_text("\n".join(["user,item,weight", *lines, *extra]))
        left_out = train(shop.held, file=path).left_out
        assert left_out == ({"bad_weights": 1} if extra else {})
        return dict(hybrid_of(shop).projection.matrices)

    training([f"heavy,{item},1e6" for item in ITEMS[:9]] + ["heavy,i30,1e15"])
    expected = stored_sums(shop)
    forget_user(shop.settings, shop.held.index, "heavy")
    with sums_of(shop)._reading() as file:
        people = file.people([f"u{n:02}" for n in range(30)], expected.layout, len(ITEMS))
    fresh = replace(
        expected,
        gram=np.zeros_like(expected.gram),
        cross=np.zeros_like(expected.cross),
        users=0,
        interactions=0,
    )
    items = np.load(sums_of(shop)._folder / "items.npy")
    active = learning(shop).served()
    assert active is not None
    fresh.add(active.fusion.blocks, items, people.interactions, people.profiles)
    same(stored_sums(shop), fresh)
    serves(shop, solved(shop, fresh))


def test_of_a_file_the_counts_stay_when_a_user_is_forgotten_and_the_receipt_claims_nothing_else(
    shop: Shop, tmp_path: Path
) -> None:
    from workers.refresh import Refresher

    shop.publish(*ITEMS)
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["user,item", *(f"{user},{item}" for user, item in crowd())]))
    train(shop.held, file=path)
    before = gates(shop)
    part = forget_user(shop.settings, shop.held.index, "u03")
    mine = {item for user, item in crowd() if user == "u03"}
    assert (part.interactions, part.items) == (len(mine), 0)
    Refresher.of(shop.held).round()
    assert gates(shop) == before


def test_forgotten_items_are_counted_again(filled: Shop) -> None:
    from workers.refresh import Refresher

    train(filled.held)
    before = gates(filled)
    deleted(filled, "u03")
    forget_user(filled.settings, filled.held.index, "u03")
    Refresher.of(filled.held).round()
    mine = {item for user, item in crowd() if user == "u03"}
    after = gates(filled)
    for item_id in ITEMS:
        assert (after[item_id] < before[item_id]) == (item_id in mine)


def test_forgetting_somebody_who_was_never_learned_from_changes_nothing(filled: Shop) -> None:
    assert forget_user(filled.settings, filled.held.index, "nobody").projection == ""
    train(filled.held)
    before = hybrid_of(filled).version
    assert forget_user(filled.settings, filled.held.index, "nobody").interactions == 0
    assert hybrid_of(filled).version == before


def test_a_user_whose_deletion_was_cut_short_is_forgotten_later(filled: Shop) -> None:
    train(filled.held)
    deleted(filled, "u05")
    assert forget_erased(learning(filled), filled.held.catalog) == 1
    assert not sums_of(filled).has("u05")
    assert forget_erased(learning(filled), filled.held.catalog) == 0


def test_a_user_forgotten_after_a_fit_is_gone_from_the_training_before_it_too(
    filled: Shop,
) -> None:
    from workers.collection_fit import fit_fusion

    train(filled.held)
    fit_fusion(filled.held, filled.dispatch)
    assert len(learning(filled).sums.all()) == 1
    deleted(filled, "u03")
    forget_user(filled.settings, filled.held.index, "u03")
    assert learning(filled).sums.all() == []
    assert learning(filled).hybrids.versions() == [hybrid_of(filled).version]
