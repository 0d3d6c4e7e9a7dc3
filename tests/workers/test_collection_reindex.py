"""A reindex rebuilds from the ledger while the old collection serves."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from catalog import Dead, ItemState, Pair
from domain.errors import RejectedError
from encoders import collection_fingerprint
from workers.collection_fit import fit_fusion
from workers.collection_reindex import reindex
from workers.collection_settle import settle

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop, TopicEncoders


def names(count: int, prefix: str = "item") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_everything_is_encoded_again_into_a_new_collection(shop: Shop) -> None:
    shop.publish(*names(30))
    before = shop.held.collections.active()
    shop.encoders.encoded = 0
    begun = reindex(shop.held, shop.dispatch)
    assert begun.requeued == shop.encoders.encoded == 30
    assert begun.settled.goal is None
    after = shop.held.collections.active()
    assert after.fusion.version == before.fusion.version
    assert after.fingerprint == collection_fingerprint(
        "topics", f"{before.fusion.version}+f128g64#2"
    )
    assert shop.held.index.serving() == begun.collection == after.collection
    assert shop.collections() == {before.collection, after.collection}
    shop.check()


def test_no_item_is_new_because_it_was_encoded_again(shop: Shop) -> None:
    shop.publish(*names(30))
    moment = time.time()
    begun = reindex(shop.held, shop.dispatch)
    found = shop.held.index.fetch(begun.collection, names(30))
    assert len(found) == 30
    assert max(one.indexed_at for one in found.values()) <= moment


def test_the_fit_stays_in_use(shop: Shop) -> None:
    shop.publish(*names(30))
    fit = fit_fusion(shop.held, shop.dispatch)
    reindex(shop.held, shop.dispatch)
    assert fit is not None
    assert shop.held.collections.active().fusion.version == fit.fusion
    shop.check()


def test_the_old_collection_serves_until_the_new_one_holds_all(shop: Shop) -> None:
    shop.publish(*names(30))
    old = shop.held.index.serving()
    shop.holding = True
    begun = reindex(shop.held, shop.dispatch)
    assert begun.settled.goal == begun.collection
    assert begun.settled.waiting > 0
    assert shop.held.index.serving() == old
    half = shop.waiting[:15]
    shop.waiting = shop.waiting[15:]
    shop.held.pipeline.run([one.pair for one in half])
    assert settle(shop.held, shop.dispatch).waiting == 15
    assert shop.held.index.serving() == old
    assert shop.ids() == set(names(30))
    shop.release()
    assert settle(shop.held, shop.dispatch).goal is None
    assert shop.held.index.serving() == begun.collection
    shop.check()


def test_asked_for_again_it_continues(shop: Shop) -> None:
    shop.publish(*names(30))
    shop.holding = True
    first = reindex(shop.held, shop.dispatch)
    again = reindex(shop.held, shop.dispatch)
    assert again.collection == first.collection
    assert again.requeued == 0
    with pytest.raises(RejectedError, match=r"is still being filled \(30 items or more to go\)"):
        fit_fusion(shop.held, shop.dispatch)
    shop.release()
    assert settle(shop.held, shop.dispatch).goal is None
    third = reindex(shop.held, shop.dispatch)
    assert third.collection != first.collection
    assert shop.collections() == {first.collection, third.collection}
    shop.check()


def test_what_changes_all_the_time_does_not_hold_it_up(shop: Shop) -> None:
    shop.publish(*names(30))
    shop.holding = True
    reindex(shop.held, shop.dispatch)
    shop.release()
    shop.holding = True
    shop.publish("item0", text="again topic1")
    assert settle(shop.held, shop.dispatch).goal is None
    assert shop.ids() == set(names(30))


def test_what_is_dead_does_not_hold_it_up(shop: Shop) -> None:
    shop.publish(*names(30))
    shop.holding = True
    reindex(shop.held, shop.dispatch)
    pair = Pair("item0", 1)
    shop.held.catalog.claim([pair])
    shop.held.catalog.finish([Dead(pair, "its picture is gone")])
    shop.release()
    assert settle(shop.held, shop.dispatch).goal is None
    assert shop.ids() == set(names(30)) - {"item0"}
    shop.check()


def test_what_is_deleted_and_added_meanwhile_is_right_afterwards(shop: Shop) -> None:
    shop.publish(*names(30))
    shop.holding = True
    reindex(shop.held, shop.dispatch)
    shop.delete("item1", "item2")
    shop.publish("item2", "new")
    shop.release()
    settle(shop.held, shop.dispatch)
    assert shop.ids() == {*names(30), "new"} - {"item1"}
    shop.check()


def test_a_lost_index_is_filled_from_the_ledger_and_serves_at_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.collection.LOOK_AGAIN_S", 0.0)
    shop.publish(*names(30))
    fit_fusion(shop.held, shop.dispatch)
    for collection in shop.collections():
        shop.held.index.drop(collection)
    assert shop.held.index.serving() is None
    shop.holding = True
    begun = reindex(shop.held, shop.dispatch)
    assert begun.requeued == 30
    assert shop.held.index.serving() == begun.collection
    shop.release()
    assert shop.ids() == set(names(30))
    assert settle(shop.held, shop.dispatch).goal is None
    shop.check()


def test_a_lost_fusion_is_replaced_by_none(shop: Shop) -> None:
    shop.publish(*names(30))
    fit = fit_fusion(shop.held, shop.dispatch)
    assert fit is not None
    folder = shop.settings.data_dir / "artifacts" / "fusion" / fit.fusion
    for file in folder.iterdir():
        file.unlink()
    fresh = shop.reopened()
    reindex(fresh.held, fresh.dispatch)
    assert fresh.held.collections.active().fusion.version.startswith("passthrough-")
    fresh.check()
    fit_fusion(fresh.held, fresh.dispatch)
    fresh.check()


def test_new_encoders_take_over_and_can_be_taken_back(
    shop: Shop, make_encoders: type[TopicEncoders]
) -> None:
    shop.publish(*names(30))
    fit_fusion(shop.held, shop.dispatch)
    old = shop.held.index.serving()
    newer = shop.reopened(make_encoders("other", {"text": 9, "image": 7, "audio": 5}))
    newer.publish("first-of-new")
    assert newer.held.index.serving() == old
    with pytest.raises(RejectedError, match="not made with this worker's encoders"):
        fit_fusion(newer.held, newer.dispatch)
    assert settle(newer.held, newer.dispatch).serving == old
    begun = reindex(newer.held, newer.dispatch)
    assert newer.held.index.serving() == begun.collection != old
    assert newer.ids() == {*names(30), "first-of-new"}
    newer.check()
    fit_fusion(newer.held, newer.dispatch)
    newer.check()
    newer.publish("second-of-new")
    # The old version of the program comes back.
    shop.holding = True
    begun = reindex(shop.held, shop.dispatch)
    assert shop.held.index.serving() != begun.collection
    shop.release()
    assert settle(shop.held, shop.dispatch).goal is None
    assert shop.held.index.serving() == begun.collection
    assert shop.ids() == {*names(30), "first-of-new", "second-of-new"}
    shop.check()


def test_workers_of_other_encoders_do_not_settle_it(
    shop: Shop, make_encoders: type[TopicEncoders]
) -> None:
    shop.publish(*names(3))
    shop.holding = True
    begun = reindex(shop.held, shop.dispatch)
    newer = shop.reopened(make_encoders("other"))
    assert settle(newer.held, newer.dispatch).goal == begun.collection
    assert shop.held.index.serving() != begun.collection


@pytest.mark.slow
def test_a_reindex_killed_before_any_of_its_steps_is_continued(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.collection_reindex.PAGE", 8)
    everything = set(names(20))
    shop.publish(*everything)
    steps: list[str] = []
    for effect in range(100):
        victim = shop.reopened()
        with monkeypatch.context() as patched:
            steps = victim.dies_before(effect, patched)
            try:
                reindex(victim.held, victim.dispatch)
                finished = True
            except victim.Killed:
                finished = False
        victim.held.catalog.close()
        victim.held.fetcher.close()
        assert shop.ids() == everything
        new = f"more{effect}"
        everything.add(new)
        shop.publish(new)
        shop.drain()
        settle(shop.held, shop.dispatch)
        shop.drain()
        settle(shop.held, shop.dispatch)
        assert shop.ids() == everything
        shop.check()
        if finished:
            break
    assert {"swap", "drop", "write_to", "aim", "requeue", "upsert"} <= set(steps)
    assert shop.held.catalog.counts()[ItemState.INDEXED] == len(everything)
    assert len(shop.collections()) == 2
