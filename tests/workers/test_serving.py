"""Readers always see a collection together with the fusion that filled it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from domain.errors import RetryableError
from ranking import vector_query, widened
from workers import serving
from workers.collection_fit import fit_fusion

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop


def test_nothing_is_served_before_the_first_collection(shop: Shop) -> None:
    assert shop.serving().current() is None


def test_the_pair_behind_the_alias_is_served(shop: Shop) -> None:
    active = shop.held.collections.active()
    collection, fusion, space = shop.serving().current() or pytest.fail("nothing served")
    assert collection == active.collection
    assert fusion.version == active.fusion.version
    assert space == active.space


def test_a_swap_is_followed_by_collection_and_fusion_together(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "LOOK_EVERY_S", 1e6)
    shop.publish(*(f"i{number}" for number in range(40)))
    reader = shop.serving()
    before = reader.current()
    fit_fusion(shop.held, shop.dispatch)
    assert reader.current() == before
    reader.forget()
    after = reader.current()
    assert before is not None
    assert after is not None
    assert after.collection != before.collection
    assert after.fusion.version.startswith("fit-")
    fused = before.fusion.fuse({"text": shop.encoders.text_of("i1 topic")})
    query = widened(vector_query(fused), before.space).vector
    assert len(shop.held.index.query(before.collection, query, limit=5)) == 5


def test_readers_never_pair_one_fusion_with_the_collection_of_another(
    real_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = real_shop
    monkeypatch.setattr(serving, "LOOK_EVERY_S", 0.0)
    shop.publish(*(f"i{number}" for number in range(40)))
    fit = fit_fusion(shop.held, shop.dispatch)
    assert fit is not None
    registry = shop.held.collections.registry
    fusion_of = {name: record.fusion for name, record in registry.records().items()}
    assert len(fusion_of) == 2
    reader, ended = shop.serving(), threading.Event()
    seen: set[tuple[str, str]] = set()

    def read() -> None:
        while not ended.is_set():
            found = reader.current()
            assert found is not None
            seen.add((found.collection, found.fusion.version))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(6):
        for collection in fusion_of:
            shop.held.index.swap(collection)
    ended.set()
    for thread in threads:
        thread.join()
    assert seen == set(fusion_of.items())


def test_the_index_is_asked_at_most_once_a_second(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.held.collections.active()
    asked = []
    ask = shop.held.index.serving
    monkeypatch.setattr(shop.held.index, "serving", lambda: asked.append(1) or ask())
    reader = shop.serving()
    ends_at = time.monotonic() + 0.5
    while time.monotonic() < ends_at:
        assert reader.current() is not None
    assert len(asked) == 1


def test_an_index_that_is_away_for_a_moment_does_not_take_the_pair_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.held.collections.active()
    reader, fresh = shop.serving(), shop.serving()
    before = reader.current()

    asked = []

    def away() -> str:
        asked.append(1)
        raise RetryableError("away")

    monkeypatch.setattr(shop.held.index, "serving", away)
    reader.forget()
    assert reader.current() == before
    for _ in range(3):
        with pytest.raises(RetryableError, match="away"):
            fresh.current()
    assert len(asked) == 2
    monkeypatch.undo()
    fresh.forget()
    assert fresh.current() == before


def test_a_collection_of_unknown_making_is_told_with_its_remedy(shop: Shop) -> None:
    active = shop.held.collections.active()
    shop.held.collections.registry.remove(active.collection)
    with pytest.raises(RetryableError, match=r"how it was made.*firstlight reindex"):
        shop.serving().current()
