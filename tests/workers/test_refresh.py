"""Rank vectors follow what people do: only what changed is written, never over newer content."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from domain.events import InteractionRecorded
from domain.vectors import RANK
from ranking import Gate, Hybrid, user_vector
from tests.fixtures.hybrids import random_hybrid
from workers.refresh import Refresher

if TYPE_CHECKING:
    from index import StoredItem
    from tests.fixtures.shop import Shop

_events = itertools.count()


def took(shop: Shop, *pairs: tuple[str, str]) -> None:
    shop.held.catalog.accept(
        [
            InteractionRecorded.model_validate(
                {"id": f"e{next(_events)}", "data": {"user": user, "item": item}}
            )
            for user, item in pairs
        ]
    )


def stored(shop: Shop) -> dict[str, StoredItem]:
    served = shop.serving().current()
    assert served is not None
    return {
        item.id: item
        for batch in shop.held.index.scroll(served.collection, with_vectors=[RANK])
        for item in batch
    }


def train(shop: Shop, seed: int = 0, **more: Any) -> Hybrid:
    """A hybrid over everything that is served, as if it had just been trained."""
    active = shop.held.collections.active()
    items = stored(shop)
    ids = sorted(items)
    content = active.space.content_of(np.stack([items[one].vectors[RANK] for one in ids]))
    made = random_hybrid(
        active.fusion, active.space, ids, content, seed=seed, source="files", **more
    )
    shop.held.composer.hybrids.publish(made, active.fusion)
    return made


def written(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the points that are written from now on."""
    found: list[str] = []
    for name in ("upsert", "rewrite"):
        write = getattr(shop.held.index, name)

        def noted(collection: str, points: Any, write: Any = write) -> None:
            found.extend(point.id for point in points)
            write(collection, points)

        monkeypatch.setattr(shop.held.index, name, noted)
    return found


@pytest.fixture
def filled(shop: Shop) -> Shop:
    shop.publish(*(f"i{number:02}" for number in range(40)))
    return shop


def test_before_any_training_there_is_nothing_to_do(filled: Shop) -> None:
    took(filled, ("u", "i00"))
    found = Refresher.of(filled.held).round()
    assert (found.rewritten, found.all_due, found.done) == (0, False, True)


def test_after_a_training_exactly_the_items_with_interactions_are_written(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    hybrid = train(filled)
    refresher, notes = Refresher.of(filled.held), written(filled, monkeypatch)
    assert refresher.round().all_due
    done = refresher.all()
    ids = sorted(stored(filled))
    counts = dict(zip(ids, hybrid.trained_counts(ids), strict=True))
    warm = {item_id for item_id, count in counts.items() if count}
    assert set(notes) == warm
    assert (done.looked_at, done.rewritten) == (40, len(warm))
    for item_id, item in stored(filled).items():
        assert item.gate == pytest.approx(hybrid.gate.gates(counts[item_id]))
        assert (item.rewritten_at > 0) == (item_id in warm)
    assert not refresher.round().all_due
    assert refresher.all().looked_at == 0
    filled.check()


def test_an_interaction_moves_its_item_and_no_other_is_written(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(filled, gate=Gate(k=7.0))
    refresher = Refresher.of(filled.held)
    refresher.all()
    before = stored(filled)
    moving = max(before, key=lambda one: before[one].gate)
    few = min((one for one in before if before[one].gate), key=lambda one: before[one].gate)
    notes = written(filled, monkeypatch)
    number = round(float(Gate(k=7.0).counts(before[few].gate)))
    took(filled, *((f"u{n}", few) for n in range(number + 1)), ("u0", moving))
    found = refresher.round()
    assert notes == [few]
    assert (found.looked_at, found.rewritten) == (2, 1)
    after = stored(filled)
    assert after[few].gate == pytest.approx((number + 1) / (number + 8))
    assert refresher.round().looked_at == 0
    filled.check()


def test_a_cold_item_gets_factors_from_those_who_took_it(filled: Shop) -> None:
    hybrid = train(filled)
    refresher = Refresher.of(filled.held)
    refresher.all()
    before = stored(filled)
    cold = next(one for one in before if not before[one].gate)
    warm = [one for one in before if before[one].gate][:4]
    took(filled, ("ann", warm[0]), ("ann", warm[1]), ("ann", cold), ("bob", warm[2]), ("bob", cold))
    refresher.round()
    after = stored(filled)[cold]
    assert after.gate == pytest.approx(2 / 9)
    people = [
        hybrid.fold_in_trained([warm[0], warm[1], cold], [1.0, 1.0, 1.0]),
        hybrid.fold_in_trained([warm[2], cold], [1.0, 1.0]),
    ]
    assert hybrid.collaborative is not None
    rows = np.stack([taken.vector for taken in people if taken is not None])
    expected = hybrid.collaborative.fold_in_item(rows, [1.0, 1.0])
    (found,) = hybrid.space.factors_of(after.vectors[RANK][None])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_what_somebody_took_before_is_found_behind_sixty_views_of_one_item(filled: Shop) -> None:
    hybrid = train(filled)
    refresher = Refresher.of(filled.held)
    refresher.all()
    before = stored(filled)
    cold = next(one for one in before if not before[one].gate)
    warm = next(one for one in before if before[one].gate)
    took(filled, ("ann", warm))
    took(filled, *[("ann", cold)] * 60)
    refresher.round()
    after = stored(filled)[cold]
    taken = hybrid.fold_in_trained([warm, cold], [1.0, 60.0])
    assert hybrid.collaborative is not None
    assert taken is not None
    expected = hybrid.collaborative.fold_in_item(taken.vector[None], [60.0])
    (found,) = hybrid.space.factors_of(after.vectors[RANK][None])
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_an_item_taken_only_by_people_without_trained_items_stays_at_content_alone(
    filled: Shop,
) -> None:
    train(filled)
    refresher = Refresher.of(filled.held)
    refresher.all()
    before = stored(filled)
    first, second = [one for one in before if not before[one].gate][:2]
    warm = next(one for one in before if before[one].gate)
    took(filled, ("a", first), ("b", first), ("a", second))
    refresher.round()
    assert (stored(filled)[first].gate, stored(filled)[second].gate) == (0.0, 0.0)
    took(filled, ("c", warm), ("c", first))
    refresher.round()
    assert stored(filled)[first].gate > 0
    took(filled, ("b", second))  # who took what was folded in since, and nothing of the training
    refresher.round()
    assert stored(filled)[second].gate == 0.0


def test_a_new_version_of_an_item_keeps_its_collaborative_part(filled: Shop) -> None:
    train(filled)
    Refresher.of(filled.held).all()
    before = stored(filled)
    warm = max(before, key=lambda one: before[one].gate)
    filled.publish(warm, text="something quite different")
    after = stored(filled)[warm]
    assert after.version > before[warm].version
    space = filled.held.collections.active().space
    assert after.gate == pytest.approx(before[warm].gate)
    old, new = before[warm].vectors[RANK][None], after.vectors[RANK][None]
    np.testing.assert_allclose(space.factors_of(new), space.factors_of(old), rtol=1e-5)
    assert not np.allclose(space.content_of(new), space.content_of(old))
    filled.check()


def test_an_item_that_was_taken_before_it_arrived_is_folded_in_by_the_next_round(
    filled: Shop,
) -> None:
    train(filled)
    refresher = Refresher.of(filled.held)
    refresher.all()
    warm = [one for one, item in stored(filled).items() if item.gate][:2]
    took(filled, ("ann", warm[0]), ("ann", "late"), ("bob", warm[1]), ("bob", "late"))
    refresher.round()
    filled.publish("late")
    assert stored(filled)["late"].gate == 0
    assert refresher.round().rewritten == 1
    assert stored(filled)["late"].gate == pytest.approx(2 / 9)


def test_a_newer_version_that_arrives_in_between_is_never_overwritten(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(filled)
    rewrite = filled.held.index.rewrite
    raced: list[str] = []

    def late(collection: str, points: Any) -> None:
        if not raced:
            raced.extend([points[0].id, points[1].id])
            filled.publish(raced[0], text="newer content topic1")
            filled.delete(raced[1])
        rewrite(collection, points)

    monkeypatch.setattr(filled.held.index, "rewrite", late)
    Refresher.of(filled.held).all()
    found = stored(filled)
    assert found[raced[0]].title == "newer content topic1"
    assert raced[1] not in found
    filled.check()


def test_killed_anywhere_the_next_call_finishes_the_work(
    filled: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.refresh.BATCH", 7)
    train(filled)
    rewrite = filled.held.index.rewrite
    left = [2]

    def mortal(collection: str, points: Any) -> None:
        if left[0] == 0:
            raise filled.Killed
        left[0] -= 1
        rewrite(collection, points)

    monkeypatch.setattr(filled.held.index, "rewrite", mortal)
    with pytest.raises(filled.Killed):
        Refresher.of(filled.held).all()
    assert Refresher.of(filled.held).round().all_due
    monkeypatch.setattr(filled.held.index, "rewrite", rewrite)
    notes = written(filled, monkeypatch)
    done = Refresher.of(filled.held).all()
    warm = [one for one, item in stored(filled).items() if item.gate]
    assert 0 < done.rewritten == len(notes) < len(warm)
    assert not Refresher.of(filled.held).round().all_due
    filled.check()


def test_a_copy_into_a_new_collection_keeps_gates_and_factors(filled: Shop) -> None:
    from workers.collection_reindex import reindex

    train(filled)
    Refresher.of(filled.held).all()
    before = stored(filled)
    reindex(filled.held, filled.dispatch)
    after = stored(filled)
    space = filled.held.collections.active().space
    for item_id, item in before.items():
        assert after[item_id].gate == pytest.approx(item.gate)
        np.testing.assert_allclose(
            space.factors_of(after[item_id].vectors[RANK][None]),
            space.factors_of(item.vectors[RANK][None]),
            rtol=1e-4,
            atol=1e-5,
        )


def test_one_search_of_the_real_index_ranks_by_the_explicit_formula(real_shop: Shop) -> None:
    shop = real_shop
    shop.publish(*(f"i{number:03}" for number in range(120)))
    hybrid = train(shop, gate=Gate(k=5.0, warm=0.5, kappa=1.2))
    Refresher.of(shop.held).all()
    active, items = shop.held.collections.active(), stored(shop)
    ids = sorted(items)
    content = active.space.content_of(np.stack([items[one].vectors[RANK] for one in ids]))
    random = np.random.default_rng(1)
    for turn in range(8):
        past = [ids[at] for at in random.integers(0, len(ids), 5)]
        words = shop.encoders.text_of(f"q{turn} topic{turn}")
        liked_most = content[ids.index(past[0])]
        user = user_vector(active.fusion.blocks, {"text": words}, liked_most, 5, 3.0)
        ranks = np.stack([items[one].vectors[RANK] for one in past])
        p = hybrid.fold_in(past, ranks, np.ones(5))
        query = hybrid.query(user, collaborative=p)
        # SCIENCE section 1, term by term in float64.
        q = sum(
            user.parts[part].astype(np.float64) @ matrix
            for part, matrix in hybrid.projection.matrices.items()
            if part in user.parts
        )
        relevance = content @ q
        number = hybrid.trained_counts(ids)
        g = number / (number + 5.0)
        score = (1 - g + 0.5 * g) * (relevance - relevance.mean()) / relevance.std()
        if p is not None:
            v = hybrid.trained_factors(ids).astype(np.float64)
            liked = v @ p.vector
            warm = liked[number > 0]
            score += 1.2 * g * (liked - warm.mean()) / warm.std()
        hits = shop.held.index.query(active.collection, query.vector, limit=len(ids), exact=True)
        by_hand = dict(zip(ids, score, strict=True))
        assert max(abs(hit.score - by_hand[hit.id]) for hit in hits) <= 1e-4
        best = sorted(ids, key=lambda one: -by_hand[one])[:20]
        assert [hit.id for hit in hits[:20]] == best
