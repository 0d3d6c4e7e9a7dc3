"""Ledger and index are compared item by item; what merely moves is no difference."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from catalog import Dead, Indexed, Pair
from domain.errors import RejectedError
from domain.vectors import RANK
from index import ItemPoint
from workers.collection_fit import fit_fusion
from workers.collection_reindex import reindex
from workers.verify import Kind, Verifier

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop


def verifier(shop: Shop) -> Verifier:
    return Verifier(shop.settings, shop.held.catalog, shop.held.index)


def found(shop: Shop) -> dict[str, Kind]:
    return {one.id: one.kind for one in shop.differences()}


def point(shop: Shop, item_id: str, version: int, **fields: Any) -> None:
    """Write a point behind the ledger's back."""
    active = shop.held.collections.active()
    text = shop.encoders.text_of(item_id)
    (rank,) = active.space.compose(active.fusion.fuse({"text": text})[None])
    values = {
        "vectors": {RANK: rank, "text": text},
        "fingerprint": active.fingerprint,
    }
    shop.held.index.upsert(active.collection, [ItemPoint(item_id, version, **{**values, **fields})])


def names(count: int) -> list[str]:
    return [f"item{number}" for number in range(count)]


def test_where_they_agree_nothing_is_listed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.verify.PAGE", 7)
    shop.publish(*names(25))
    shop.delete("item3")
    checked = verifier(shop)
    assert list(checked.differences()) == []
    assert (checked.points, checked.items) == (24, 24)


def test_every_kind_of_difference_is_listed_and_repaired(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.verify.PAGE", 7)
    monkeypatch.setattr("workers.verify.REPAIR_AT_ONCE", 3)
    shop.publish(*names(25))
    shop.publish("item5")
    shop.delete("item6")
    collection = shop.held.collections.active().collection
    shop.held.index.undo(collection, [("item1", 1), ("item2", 1), ("item5", 2)])
    point(shop, "item5", 1)
    point(shop, "item6", 1)
    point(shop, "stranger", 9)
    point(shop, "item7", 99)
    shop.held.index.undo(collection, [("item8", 1)])
    point(shop, "item8", 1, fingerprint="000000000000")
    shop.held.catalog.moved([Pair("item9", 1)], "111111111111")
    expected = {
        "item1": Kind.MISSING,
        "item2": Kind.MISSING,
        "item5": Kind.VERSION,
        "item6": Kind.GHOST,
        "stranger": Kind.GHOST,
        "item7": Kind.VERSION,
        "item8": Kind.FINGERPRINT,
        "item9": Kind.FINGERPRINT,
    }
    assert found(shop) == expected
    details = {one.id: one.detail for one in shop.differences()}
    assert details["stranger"] == "the ledger does not know it"
    assert details["item7"] == "the index is ahead: was the ledger restored?"
    checked = verifier(shop)
    assert checked.repair(checked.differences(), shop.dispatch) == len(expected)
    shop.check()
    assert shop.ids() == set(names(25)) - {"item6"}


def test_what_is_on_its_way_is_no_difference(shop: Shop) -> None:
    shop.publish(*names(10))
    shop.holding = True
    shop.publish("item0", "new")
    shop.delete("item1")
    assert found(shop) == {}
    shop.release()
    assert found(shop) == {}


def test_an_older_version_served_while_the_newest_is_dead_is_no_difference(shop: Shop) -> None:
    shop.publish(*names(10))
    shop.holding = True
    shop.publish("item0")
    pair = shop.waiting[0].pair
    shop.held.catalog.claim([pair])
    shop.held.catalog.finish([Dead(pair, "told to")])
    assert found(shop) == {}


def test_what_changes_while_it_is_looked_at_is_not_listed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(*names(10))
    states = shop.held.catalog.states

    def stale(ids: Any) -> Any:
        seen = states(ids)
        monkeypatch.setattr(shop.held.catalog, "states", states)
        shop.publish("item0")
        shop.delete("item1")
        return seen

    monkeypatch.setattr(shop.held.catalog, "states", stale)
    assert found(shop) == {}


def test_what_is_written_to_the_next_collection_is_not_missing(shop: Shop) -> None:
    shop.publish(*names(30))
    shop.holding = True
    reindex(shop.held, shop.dispatch)
    half, shop.waiting = shop.waiting[:10], shop.waiting[10:]
    shop.held.pipeline.run([one.pair for one in half])
    assert found(shop) == {}


def test_without_a_served_collection_there_is_nothing_to_compare(shop: Shop) -> None:
    with pytest.raises(RejectedError, match=r"serves no collection.*firstlight reindex"):
        verifier(shop)


def test_a_lost_index_lists_everything_and_is_repaired(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.collection.LOOK_AGAIN_S", 0.0)
    shop.publish(*names(10))
    shop.held.index.drop(shop.held.collections.active().collection)
    shop.held.collections.active()
    assert found(shop) == dict.fromkeys(names(10), Kind.MISSING)
    checked = verifier(shop)
    assert checked.repair(checked.differences(), shop.dispatch) == 10
    shop.check()


def test_a_ledger_that_claims_what_never_was_written_is_caught(shop: Shop) -> None:
    shop.holding = True
    shop.publish("lie")
    pair = shop.waiting[0].pair
    shop.held.catalog.claim([pair])
    active = shop.held.collections.active()
    shop.held.catalog.finish([Indexed(pair, active.fingerprint, {})])
    assert found(shop) == {"lie": Kind.MISSING}


def test_nothing_is_listed_beside_writers_deleters_and_refits(real_shop: Shop) -> None:
    shop = real_shop
    shop.publish(*names(40))
    ended = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        turn = 0
        try:
            while not ended.is_set():
                turn += 1
                shop.publish(f"item{turn % 40}", f"moving{turn % 10}")
                shop.delete(f"moving{(turn + 5) % 10}")
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            assert found(shop) == {}
        fit_fusion(shop.held, shop.dispatch)
        assert found(shop) == {}
    finally:
        ended.set()
        thread.join(30)
    assert failures == []
    shop.drain()
    shop.check()
