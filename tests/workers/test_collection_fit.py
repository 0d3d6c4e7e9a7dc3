"""A refit moves everything to a new collection while writers, deleters and readers go on, and
may be killed anywhere."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from catalog import ItemState, Pair
from domain.errors import FirstlightError, RejectedError, RetryableError
from domain.events import ItemCreated
from ranking import vector_query, widened
from workers import collection_settle, runtime, serving
from workers.collection_fit import fit_fusion
from workers.collection_settle import settle
from workers.serving import Serving
from workers.uploads import Uploads

if TYPE_CHECKING:
    from domain.settings import Settings
    from encoders import Encoders
    from tests.fixtures.shop import Shop

ROOT = Path(__file__).resolve().parents[2]


def names(count: int, prefix: str = "item") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def test_a_fit_moves_everything_to_a_new_collection_and_keeps_the_old(real_shop: Shop) -> None:
    shop = real_shop
    shop.publish(*names(60))
    before = shop.held.collections.active()
    encoded = shop.encoders.encoded
    fit = fit_fusion(shop.held, shop.dispatch)
    assert fit is not None
    assert fit.fusion.startswith("fit-")
    assert (fit.items, fit.copied) == (60, 60)
    assert shop.held.index.serving() == fit.collection
    assert shop.held.collections.active().collection == fit.collection
    assert shop.collections() == {before.collection, fit.collection}
    assert shop.ids() == set(names(60))
    assert shop.encoders.encoded == encoded
    record = shop.held.catalog.item("item0")
    assert record is not None
    assert record.fingerprint == shop.held.collections.active().fingerprint
    shop.check()
    shop.publish("item0", "another")
    shop.delete("item1")
    shop.check()


def test_the_words_of_the_pictures_tower_centre_its_queries(shop: Shop) -> None:
    shop.publish(*names(60))
    fit_fusion(shop.held, shop.dispatch)
    blocks = {block.name: block for block in shop.held.collections.active().fusion.blocks}
    mean = blocks["image"].query_means["image_text"]
    titles = [item.title for batch in _all(shop) for item in batch]
    np.testing.assert_allclose(mean, np.mean(shop.encoders.encode(titles), axis=0), atol=1e-5)


def _all(shop: Shop) -> Iterator[list[Any]]:
    return shop.held.index.scroll(shop.held.collections.active().collection)


def test_too_few_items_are_told(shop: Shop) -> None:
    shop.publish(*names(5))
    with pytest.raises(RejectedError, match=r"5 items are indexed, statistics need 20"):
        fit_fusion(shop.held, shop.dispatch)
    assert len(shop.collections()) == 1


def test_a_fit_that_finds_nothing_new_changes_nothing(shop: Shop) -> None:
    shop.publish(*names(40))
    first = fit_fusion(shop.held, shop.dispatch)
    again = fit_fusion(shop.held, shop.dispatch)
    assert first is not None
    assert again is not None
    assert again.collection == first.collection
    assert again.copied == 0
    assert fit_fusion(shop.held, shop.dispatch, only_first=True) is None


def test_only_the_collection_before_is_kept(shop: Shop) -> None:
    shop.publish(*names(40))
    made = [shop.held.index.serving()]
    for round_ in range(3):
        shop.publish(*names(20, f"round{round_}-"))
        fit = fit_fusion(shop.held, shop.dispatch)
        assert fit is not None
        made.append(fit.collection)
    assert len(set(made)) == 4
    assert shop.collections() == set(made[2:])
    assert len(shop.fusions.versions()) == 2
    assert shop.held.collections.registry.records().keys() == set(made[2:])
    shop.check()


def test_a_second_fit_at_the_same_time_is_refused(shop: Shop) -> None:
    shop.publish(*names(40))
    with (
        shop.held.collections.registry.exclusive(),
        pytest.raises(RejectedError, match="under way"),
    ):
        fit_fusion(shop.reopened().held, shop.dispatch)


def test_items_without_usable_vectors_go_through_the_encoders_again(shop: Shop) -> None:
    shop.publish(*names(40))
    collection = shop.held.collections.active().collection
    shop.held.index.undo(collection, [("item7", 1)])
    fit = fit_fusion(shop.held, shop.dispatch)
    assert fit is not None
    assert fit.settled is not None
    assert fit.settled.requeued == 1
    settle(shop.held, shop.dispatch)
    assert shop.ids() == set(names(40))
    shop.check()


# --- races -------------------------------------------------------------------------------------


def test_a_worker_in_the_middle_of_a_task_does_not_leave_its_items_behind(shop: Shop) -> None:
    """It read the old pointer, and writes when the alias has moved already."""
    shop.publish(*names(40))
    fitted = []

    def fit_meanwhile(_: object) -> None:
        shop.encoders.before = None
        fitted.append(fit_fusion(shop.held, shop.dispatch))

    shop.encoders.before = fit_meanwhile
    shop.publish("late", "item3")
    assert shop.held.index.serving() == fitted[0].collection
    assert "late" in shop.ids()
    shop.check()


def test_what_is_deleted_while_it_is_copied_stays_deleted(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(*names(40))
    upsert = shop.held.index.upsert

    def delete_first(collection: str, points: Any) -> None:
        monkeypatch.setattr(shop.held.index, "upsert", upsert)
        shop.delete("item5", "item6")
        upsert(collection, points)

    monkeypatch.setattr(shop.held.index, "upsert", delete_first)
    fit_fusion(shop.held, shop.dispatch)
    assert shop.ids() == set(names(40)) - {"item5", "item6"}
    shop.check()


def test_what_is_updated_while_it_is_copied_stays_updated(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(*names(40))
    upsert = shop.held.index.upsert

    def update_first(collection: str, points: Any) -> None:
        monkeypatch.setattr(shop.held.index, "upsert", upsert)
        shop.publish("item5", text="changed topic1")
        upsert(collection, points)

    monkeypatch.setattr(shop.held.index, "upsert", update_first)
    fit_fusion(shop.held, shop.dispatch)
    served = shop.held.collections.active().collection
    assert shop.held.index.fetch(served, ["item5"])["item5"].title == "changed topic1"
    shop.check()


def test_what_is_pending_is_served_throughout(shop: Shop) -> None:
    """An update that waits (or is dead) does not make its item disappear with the swap."""
    shop.publish(*names(40))
    shop.holding = True
    shop.publish("item4", text="waits topic1")
    fit_fusion(shop.held, shop.dispatch)
    assert shop.ids() == set(names(40))
    shop.release()
    shop.check()


def test_a_refit_beside_writers_deleters_and_readers_loses_and_revives_nothing(
    real_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = real_shop
    monkeypatch.setattr(serving, "LOOK_EVERY_S", 0.0)
    steady = set(names(60, "steady"))
    shop.publish(*steady)
    ended = threading.Event()
    failures: list[BaseException] = []

    def go_on(work: Callable[[int], None]) -> threading.Thread:
        def loop() -> None:
            turn = 0
            while not ended.is_set():
                try:
                    work(turn)
                except BaseException as error:
                    failures.append(error)
                    return
                turn += 1

        thread = threading.Thread(target=loop)
        thread.start()
        return thread

    def write(turn: int) -> None:
        shop.publish(*(f"moving{(turn * 3 + step) % 30}" for step in range(3)))

    def delete(turn: int) -> None:
        shop.delete(f"moving{turn * 7 % 30}")
        time.sleep(0.01)

    reader = shop.serving()

    def read(turn: int) -> None:
        found = reader.current()
        assert found is not None
        collection, fusion, space = found
        assert shop.held.index.fetch(collection, sorted(steady)).keys() == steady
        fused = fusion.fuse({"text": shop.encoders.text_of("query topic1")})
        query = widened(vector_query(fused), space).vector
        assert shop.held.index.query(collection, query, limit=5)

    threads = [go_on(work) for work in (write, write, delete, read)]
    swaps = 0
    ends_at = time.monotonic() + 60
    while swaps < 3 and time.monotonic() < ends_at and not failures:
        before = shop.held.index.serving()
        try:
            fit_fusion(shop.held, shop.dispatch)
        except RejectedError:  # what it sent to the encoders is on its way
            settle(shop.held, shop.dispatch)
        swaps += shop.held.index.serving() != before
    ended.set()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert swaps == 3
    shop.drain()
    settle(shop.held, shop.dispatch)
    shop.check()
    counts = shop.held.catalog.counts()
    assert counts[ItemState.PENDING] == counts[ItemState.DEAD] == 0


# --- killed ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_refit_killed_before_any_of_its_steps_is_continued(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.collection_copy.BATCH", 16)
    shop.publish(*names(30))
    everything = set(names(30))
    steps: list[str] = []
    for effect in range(100):
        new = f"more{effect}"
        shop.publish(new)
        everything.add(new)
        victim = shop.reopened()
        with monkeypatch.context() as patched:
            steps = victim.dies_before(effect, patched)
            try:
                fit_fusion(victim.held, victim.dispatch)
                finished = True
            except victim.Killed:
                finished = False
        victim.held.catalog.close()
        victim.held.fetcher.close()
        assert shop.ids() == everything
        assert shop.serving().current() is not None
        shop.publish(new, "item0")
        settle(shop.held, shop.dispatch)
        shop.check()
        assert shop.ids() == everything
        if finished:
            break
    assert {"swap", "drop", "write_to", "aim", "moved", "upsert", "retire"} <= set(steps)
    assert len(shop.collections()) == 2


def test_a_process_that_is_killed_for_real_leaves_the_work_to_the_next(
    real_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = real_shop
    shop.publish(*names(60))
    before = shop.held.index.serving()
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tests.fixtures.shop import open_shop\n"
        "from workers.collection_copy import Copier\n"
        "from workers.collection_fit import fit_fusion\n"
        "copy = Copier._write\n"
        "def write(self, items):\n"
        "    done = copy(self, items[: len(items) // 2])\n"
        "    print('half', flush=True); time.sleep(60)\n"
        "Copier._write = write\n"
        "shop = open_shop(Path(sys.argv[1]), sys.argv[2], sys.argv[3])\n"
        "fit_fusion(shop.held, shop.dispatch)\n"
    )
    settings = shop.settings
    victim = subprocess.Popen(
        [sys.executable, "-c", code, settings.data_dir, settings.index_url, settings.index.alias],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert victim.stdout is not None
    lines = iter(victim.stdout.readline, "")
    assert any(line == "half\n" for line in lines)
    with pytest.raises(RejectedError, match="under way"):
        fit_fusion(shop.held, shop.dispatch)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    assert shop.held.index.serving() == before
    assert shop.ids() == set(names(60))
    shop.publish("item3", "newer")
    fit_fusion(shop.held, shop.dispatch)
    assert shop.held.index.serving() != before
    assert shop.ids() == {*names(60), "newer"}
    assert len(shop.collections()) == 2
    shop.check()


def test_an_index_that_goes_away_in_the_middle_is_waited_for(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(*names(40))

    def away(*_: object) -> None:
        raise RetryableError("away")

    with monkeypatch.context() as patched:
        patched.setattr(shop.held.index, "swap", away)
        with pytest.raises(RetryableError, match="away"):
            fit_fusion(shop.held, shop.dispatch)
    assert shop.ids() == set(names(40))
    settled = settle(shop.held, shop.dispatch)
    assert settled.goal is None
    assert shop.held.index.serving() == settled.serving
    shop.check()


def test_settling_is_nothing_where_there_is_no_goal(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.publish(*names(2))
    monkeypatch.setattr(collection_settle, "settle_alone", None)
    settled = settle(shop.held, shop.dispatch)
    assert (settled.serving, settled.goal) == (shop.held.index.serving(), None)


def test_settling_is_left_to_whoever_is_at_it(shop: Shop) -> None:
    shop.publish(*names(2))
    registry = shop.held.collections.registry
    record = registry.writing("topics")
    assert record is not None
    registry.aim(record)
    with registry.exclusive():
        assert settle(shop.held, shop.dispatch).goal == record.collection
    assert settle(shop.held, shop.dispatch).goal is None


def test_moved_leaves_alone_what_changed_meanwhile(shop: Shop) -> None:
    shop.publish("a", "b")
    shop.holding = True
    shop.publish("b")
    shop.held.catalog.moved([Pair("a", 1), Pair("b", 1), Pair("c", 1)], "elsewhere")
    found = [shop.held.catalog.item(name) for name in ("a", "b", "c")]
    assert [one and one.fingerprint for one in found] == ["elsewhere", None, None]


def test_real_encoders_are_fitted_with_text_and_pictures(
    shop: Shop, tiny_encoders: Encoders, tiny_settings: Settings
) -> None:
    """The tiny pack through the whole line: uploads, towers, statistics, queries in words."""
    settings = shop.settings.model_copy(update={"encoder": tiny_settings.encoder})
    held = runtime.assemble(settings, tiny_encoders)
    uploads = Uploads(settings.folder("uploads"))
    events = []
    for number in range(40):
        picture = io.BytesIO()
        colour = (number * 6, 255 - number * 6, number * 37 % 256)
        Image.new("RGB", (32, 24), colour).save(picture, "PNG")
        media = {"images": [f"upload:{uploads.put(picture.getvalue(), 10_000)}"]}
        attributes = {"year": 1980 + number, "place": ["lake", "wood"][: number % 3]}
        item = {"id": f"i{number}", "version": 1, "title": f"{number} birds", "media": media}
        item["attributes"] = attributes
        events.append(ItemCreated.model_validate({"data": item}))
    held.catalog.accept(events)
    held.pipeline.run([Pair(f"i{number}", 1) for number in range(40)])
    fit = fit_fusion(held, lambda due: None)
    assert fit is not None
    assert fit.copied == 40
    serving = Serving(settings, held.index, held.collections.fusions)
    collection, fusion, space = serving.current() or pytest.fail("nothing served")
    assert fusion.items == {"text": 40, "image": 40, "audio": 0, "attributes": 40}
    blocks = {block.name: block for block in fusion.blocks}
    assert blocks["image"].query_means["image_text"].shape == (tiny_encoders.dims["image"],)
    (vector,) = tiny_encoders.text.encode(["7 birds"])
    assert not isinstance(vector, FirstlightError)
    query = widened(vector_query(fusion.fuse({"text": vector})), space).vector
    hits = held.index.query(collection, query, limit=3)
    assert len(hits) == 3
    held.fetcher.close()
    held.catalog.close()
