"""Expired items go for good, a newer version stands."""

from __future__ import annotations

from datetime import UTC, datetime

from catalog import Due, ItemState, Pair
from domain.events import ItemCreated
from domain.items import Item
from tests.fixtures.shop import Shop
from workers.expiry import KEPT_S, remove_expired

NOW = 1_900_000_000.0


def put(shop: Shop, item_id: str, version: int, expires_at: float | None) -> None:
    until = None if expires_at is None else datetime.fromtimestamp(expires_at, UTC)
    item = Item(id=item_id, version=version, title=f"{item_id} topic1", expires_at=until)
    (found,) = shop.held.catalog.accept([ItemCreated(data=item)])
    shop.dispatch([Due(Pair(found.subject, found.version or 0), found.lane or "", alone=False)])


def remove(shop: Shop, now: float = NOW) -> int:
    return remove_expired(shop.held.catalog, shop.held.index, shop.dispatch, now)


def test_what_expired_long_enough_ago_is_deleted_and_nothing_else(shop: Shop) -> None:
    assert remove(shop) == 0
    put(shop, "never", 1, None)
    put(shop, "later", 1, NOW + 1)
    put(shop, "just", 1, NOW - 1)
    put(shop, "gone", 1, NOW - KEPT_S)
    assert remove(shop) == 1
    assert shop.ids() == {"never", "later", "just"}
    record = shop.held.catalog.item("gone")
    assert record is not None
    assert record.state is ItemState.DELETED
    assert record.version == 1
    assert remove(shop) == 0
    assert shop.differences() == []


def test_a_newer_version_brings_an_expired_item_back_and_one_on_its_way_stands(shop: Shop) -> None:
    put(shop, "a", 1, NOW - KEPT_S)
    assert remove(shop) == 1
    put(shop, "a", 2, NOW + 10)
    put(shop, "b", 1, NOW - KEPT_S)
    shop.holding = True
    put(shop, "b", 2, NOW + 10)
    assert remove(shop) == 0
    shop.release()
    assert shop.ids() == {"a", "b"}
    assert shop.differences() == []
