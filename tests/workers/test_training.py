"""Training in the product: learned, published whole, added to, and forgotten from."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from catalog import START
from domain.errors import RejectedError
from domain.events import InteractionRecorded, UserDeleted
from domain.vectors import RANK
from ranking.training import Recipe, Statistics, solve
from tests.fixtures.crowd import ITEMS, crowd
from workers.collection_registry import BusyError
from workers.due import is_due
from workers.forget import forget_user
from workers.interactions import Collector
from workers.learning import Learning
from workers.sums import Sums
from workers.training import train

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop


def deleted(shop: Shop, user: str) -> None:
    event = {"data": {"id": user}, "time": "2026-06-01T00:00:00Z"}
    shop.held.catalog.accept([UserDeleted.model_validate(event)])


def learning(shop: Shop) -> Learning:
    return Learning(shop.settings, shop.held.index)


def hybrid_of(shop: Shop) -> Any:
    active = learning(shop).served()
    assert active is not None
    return learning(shop).hybrids.current(active.fusion, active.space)


def sums_of(shop: Shop) -> Sums:
    found = learning(shop).sums_of(hybrid_of(shop))
    assert found is not None
    return found


def gates(shop: Shop) -> dict[str, float]:
    served = shop.serving().current()
    assert served is not None
    return {
        item.id: item.gate for batch in shop.held.index.scroll(served.collection) for item in batch
    }


def test_a_training_is_published_and_the_items_get_their_gates(filled: Shop) -> None:
    before = hybrid_of(filled)
    found = train(filled.held)
    made = hybrid_of(filled)
    assert made.version == found.version != before.version
    assert (found.whole, found.users, found.items) == (True, 30, 60)
    assert found.interactions == len(set(crowd()))
    counts = {one: sum(item == one for _, item in set(crowd())) for one in ITEMS}
    for item_id, gate in gates(filled).items():
        assert gate == pytest.approx(counts[item_id] / (counts[item_id] + made.gate.k))
    assert found.rewritten == sum(count > 0 for count in counts.values())
    filled.check()


def test_too_few_interactions_are_refused_and_the_prior_stays(shop: Shop) -> None:
    shop.publish(*ITEMS)
    shop.took(*crowd()[:20])
    with pytest.raises(RejectedError, match="20 interactions with indexed items, training needs"):
        train(shop.held)
    assert hybrid_of(shop).version.startswith("prior-")
    assert not any(gates(shop).values())


def test_where_everybody_took_one_item_a_alone_is_learned(shop: Shop) -> None:
    shop.publish(*ITEMS)
    shop.took(*((f"u{number}", ITEMS[number % 60]) for number in range(70)))
    found = train(shop.held)
    made = hybrid_of(shop)
    assert (found.users, found.interactions) == (70, 70)
    assert made.version == found.version
    assert made.collaborative is None
    assert not made.projection.version.startswith("prior-")
    assert not any(gates(shop).values())
    shop.check()


def test_nothing_to_learn_about_is_said(shop: Shop) -> None:
    with pytest.raises(RejectedError, match="nothing is indexed"):
        train(shop.held)


def test_only_one_training_runs_at_a_time(filled: Shop) -> None:
    with learning(filled).training(), pytest.raises(BusyError, match="under way"):
        train(filled.held)


def test_what_came_since_is_added_without_looking_at_the_old_users(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(filled.held)
    filled.took(("u00", "i07"), ("new", "i08"), ("new", "i15"))
    asked: list[str] = []
    ask = filled.held.catalog.taken_by
    monkeypatch.setattr(
        filled.held.catalog, "taken_by", lambda users: asked.extend(users) or ask(users)
    )
    found = train(filled.held)
    assert not found.whole
    assert set(asked) == {"u00", "new"}
    assert found.users == 31
    whole = everything(filled)
    same(stored_sums(filled), whole)


def everything(shop: Shop, without: str = "") -> Statistics:
    """The sums of all that is in the ledger, made at once with the popularity of the training."""
    active = learning(shop).served()
    assert active is not None
    sums = sums_of(shop)
    held = stored_sums(shop)
    items = np.load(sums._folder / "items.npy")
    places = sums.places(ITEMS)
    collector = Collector(places, len(items))
    cursor = START
    while page := shop.held.catalog.interactions(cursor):
        for one in page:
            if one.user != without:
                collector.add(one.user, one.item, one.weight, one.time)
        cursor = page[-1].cursor
    made = Statistics(
        held.layout,
        Recipe(**vars_of(held.recipe)),
        held.damping,
        np.zeros_like(held.gram),
        np.zeros_like(held.cross),
    )
    made.add(active.fusion.blocks, items, collector.done().matrix, {})
    return made


def vars_of(recipe: Recipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in recipe.__dataclass_fields__}


def stored_sums(shop: Shop) -> Statistics:
    with sums_of(shop)._reading() as file:
        return file.statistics()


def same(found: Statistics, expected: Statistics) -> None:
    np.testing.assert_allclose(found.gram, expected.gram, atol=1e-6)
    np.testing.assert_allclose(found.cross, expected.cross, atol=1e-6)
    assert (found.users, found.interactions) == (expected.users, expected.interactions)


def test_forgetting_a_user_leaves_what_a_training_without_them_gives(filled: Shop) -> None:
    train(filled.held)
    before = hybrid_of(filled)
    old = dict(before.projection.matrices)
    expected = everything(filled, without="u03")
    deleted(filled, "u03")
    part = forget_user(filled.settings, filled.held.index, "u03")
    mine = {item for user, item in crowd() if user == "u03"}
    assert (part.interactions, part.items) == (len(mine), len(mine))
    same(stored_sums(filled), expected)
    made = hybrid_of(filled)
    assert made.version == part.projection != before.version
    assert any(not np.allclose(old[name], made.projection.matrices[name]) for name in old)
    # A solved from sums that never held the user.
    sums = sums_of(filled)
    with sums._reading() as file:
        gram, ridge = file.item_gram(), file.ridge()
    from ranking import prior

    active = learning(filled).served()
    assert active is not None
    fresh = solve(active.fusion.blocks, expected, gram, prior(active.fusion).matrices, ridge)
    for name, matrix in fresh.items():
        np.testing.assert_allclose(made.projection.matrices[name], matrix, atol=1e-6)
    assert learning(filled).hybrids.versions() == [made.version]
    assert not sums.has("u03")
    assert b"u03" not in (sums._folder / "sums.db").read_bytes()


def test_through_concepts_a_has_their_number_as_its_rank_also_after_forgetting(
    filled: Shop,
) -> None:
    ranking = filled.settings.ranking.model_copy(update={"concepts": 2})
    filled.settings = filled.settings.model_copy(update={"ranking": ranking})
    made = filled.reopened(filled.encoders)

    def rank() -> int:
        matrices = hybrid_of(made).projection.matrices
        stacked = np.concatenate([matrices["history"], matrices["one"]])
        return int(np.linalg.matrix_rank(stacked, tol=1e-4 * np.linalg.norm(stacked, 2)))

    report = train(made.held).report["projection"]
    assert rank() == report["ridge"]["concepts"] == 2
    assert 0.0 < report["kept"] < 1.0
    before = hybrid_of(made).version
    forget_user(made.settings, made.held.index, "u03")
    assert hybrid_of(made).version != before
    assert rank() == 2


def test_a_user_deleted_while_a_training_reads_is_not_learned_from(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workers import training

    learn = training.fit_projection

    def slow(*args: Any, **more: Any) -> Any:
        deleted(filled, "u05")
        return learn(*args, **more)

    monkeypatch.setattr(training, "fit_projection", slow)
    train(filled.held)
    assert not sums_of(filled).has("u05")


# -- files and bad input ----------------------------------------------------------------------


def test_a_file_is_learned_from_and_what_is_wrong_in_it_is_counted(
    shop: Shop, tmp_path: Path
) -> None:
    shop.publish(*ITEMS)
    lines = ["user,item,weight,time"]
    lines += [f"{user},{item},1,{number}" for number, (user, item) in enumerate(crowd())]
    duplicates = len(crowd()) - len(set(crowd()))
    lines += [
        "a,unknown,1,5",
        "a,i00,-1,5",
        "a,i00,0,5",
        "a,i00,nan,5",
        "a,i00,inf,5",
        "a,i00,1e39,5",
        "a,i00,1e15,5",
        "a,i00,1e-46,5",
        "a,i00,much,5",
        ",i00,1,5",
        "a,i01,1,2999-01-01",
        "a,i01,1,2026-01-01T10:00:00Z",
        "short",
    ]
    path = tmp_path / "interactions.csv"
    path.write_text("\n".join(lines))
    found = train(shop.held, file=path)
    assert found.left_out == {
        "unknown_items": 1,
        "bad_weights": 7,
        "malformed": 3,
        "duplicates": duplicates + 1,
        "future": 1,
    }
    last = len(lines)
    assert found.lines == [
        f"line {last - 4}: could not convert string to float: 'much'",
        f"line {last - 3}: user or item is empty",
        f"line {last}: 'item'",
    ]
    assert found.users == 31
    assert sum(gate > 0 for gate in gates(shop).values()) == len(
        {item for _, item in crowd()} | {"i01"}
    )


def test_a_ledger_with_weights_that_float32_does_not_hold_is_learned_from_without_them(
    filled: Shop,
) -> None:
    weighed(filled, "tiny", "i07", 1e-46)
    weighed(filled, "huge", "i07", 1e39)
    weighed(filled, "u00", "i08", 1e-46)
    found = train(filled.held)
    assert found.left_out["bad_weights"] == 3
    assert (found.users, found.interactions) == (30, len(set(crowd())))
    weighed(filled, "tiny", "i08", 1e-46)
    filled.took(("tiny", "i09"))
    added = train(filled.held)
    assert not added.whole
    assert (added.users, added.interactions) == (31, found.interactions + 1)


def weighed(shop: Shop, user: str, item: str, weight: float) -> None:
    """An interaction as a ledger may hold it that was filled before weights had bounds."""
    data = {"user": user, "item": item}
    event = InteractionRecorded.model_validate({"time": "2026-01-01T00:00:00Z", "data": data})
    heavy = event.data.model_copy(update={"weight": weight})
    shop.held.catalog.accept([event.model_copy(update={"data": heavy})])


# -- killed -----------------------------------------------------------------------------------


def test_killed_before_any_change_the_serving_artifacts_are_as_they_were(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(filled.held)
    filled.took(*((f"x{number}", ITEMS[number % 60]) for number in range(80)))
    before = hybrid_of(filled)
    ids = sums_of(filled)
    for stage in ("create", "publish", "keep_only"):

        def dies(*_: Any, **__: Any) -> Any:
            raise filled.Killed

        with monkeypatch.context() as patched:
            owner = "HybridStore" if stage == "publish" else "SumsStore"
            module = "ranking.store" if stage == "publish" else "workers.sums"
            patched.setattr(f"{module}.{owner}.{stage}", dies)
            with pytest.raises(filled.Killed):
                train(filled.held, whole=True)
        if stage != "keep_only":
            assert hybrid_of(filled).version == before.version
            assert sums_of(filled).name == ids.name
    assert hybrid_of(filled).version != before.version
    done = train(filled.held, whole=True)
    assert done.users == 110
    assert sorted(path.name for path in (sums_of(filled)._folder.parent).iterdir()) == [
        sums_of(filled).name
    ]
    filled.check()


SCRIPT = """
import json, sys
from tests.fixtures.shop import open_shop
from pathlib import Path
from workers.training import train
folder, url, alias = sys.argv[1:4]
shop = open_shop(Path(folder), url, alias)
print("ready", flush=True)
while True:
    found = train(shop.held, whole=True)
    print(json.dumps(found.version), flush=True)
"""


@pytest.mark.slow
def test_a_training_that_is_killed_at_any_moment_leaves_whole_artifacts(real_shop: Shop) -> None:
    shop = real_shop
    shop.publish(*ITEMS)
    shop.took(*crowd())
    train(shop.held)
    arguments = [str(shop.settings.data_dir), shop.settings.index_url, shop.settings.index.alias]
    random = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(float(random.uniform(0.2, 2.5)))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        process.stdout.close()
        hybrid = hybrid_of(shop)
        assert hybrid.version.startswith("h-")
        sums = sums_of(shop)
        assert sums.totals()[0] == 30
        matrices = sums.solve(shop.held.collections.active().fusion.blocks)
        for name, matrix in matrices.items():
            np.testing.assert_allclose(hybrid.projection.matrices[name], matrix, atol=1e-5)
    done = train(shop.held)
    assert json.loads(json.dumps(done.version)) == hybrid_of(shop).version
    shop.check()


def test_what_is_ranked_for_a_user_changes_with_what_was_learned(filled: Shop) -> None:
    train(filled.held)
    hybrid = hybrid_of(filled)
    served = filled.serving().current()
    assert served is not None
    mine = [item for user, item in crowd() if user == "u00"]
    stored = filled.held.index.fetch(served.collection, mine, with_vectors=[RANK])
    ranks = np.stack([item.vectors[RANK] for item in stored.values()])
    p = hybrid.fold_in(list(stored), ranks, np.ones(len(ranks)))
    from ranking import history_vector, user_vector

    past = history_vector(
        served.space.content_of(ranks), np.ones(len(ranks)), np.zeros(len(ranks)), 1.0
    )
    user = user_vector(served.fusion.blocks, {}, past, len(ranks), 3.0)
    query = hybrid.query(user, collaborative=p)
    hits = filled.held.index.query(served.collection, query.vector, limit=10)
    topical = [sum(map(ord, hit.id)) % 7 == 0 for hit in hits]
    assert sum(topical) >= 6


def test_a_fit_keeps_the_gates_and_begins_again_with_the_prior(filled: Shop) -> None:
    from workers.collection_fit import fit_fusion

    train(filled.held)
    before = gates(filled)
    fit = fit_fusion(filled.held, filled.dispatch)
    assert fit is not None
    carried = hybrid_of(filled)
    assert carried.projection.version.startswith("prior-fit-")
    assert carried.collaborative is not None
    assert gates(filled) == pytest.approx(before)
    assert is_due(filled.held)
    train(filled.held)
    assert not hybrid_of(filled).projection.version.startswith("prior-")
    filled.check()
