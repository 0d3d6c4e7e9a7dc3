"""An A that one data directory trained is what another begins with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from domain.errors import RejectedError
from domain.vectors import RANK
from ranking import prior
from ranking.training import solve
from ranking.training.beginning import Beginning
from tests.fixtures.crowd import ITEMS, crowd
from tests.fixtures.shop import attributes_of, open_shop
from workers.collection_fit import fit_fusion
from workers.collection_registry import BusyError
from workers.due import is_due
from workers.forget import forget_user
from workers.training import train
from workers.transfer import OWN, TRANSFERRED
from workers.transfer_source import source_at

from .test_training import deleted, everything, hybrid_of, learning, sums_of

if TYPE_CHECKING:
    from tests.fixtures.shop import Shop

OTHERS = [f"i{number:03}" for number in range(100, 190)]


def topic(item_id: str) -> int:
    return sum(map(ord, item_id)) % 7


@pytest.fixture
def other(shop: Shop, tmp_path: Path) -> Iterator[Shop]:
    """Another shop with a data directory of its own, other items, and a trained A."""
    made = open_shop(tmp_path / "other", "http://local", "others")
    made.publish(*OTHERS)
    fit_fusion(made.held, made.dispatch)
    random = np.random.default_rng(3)
    weights = np.array([8.0 if topic(one) == 3 else 1.0 for one in OTHERS])
    for user in range(40):
        mine = weights * np.array([6.0 if topic(one) == user % 7 else 1.0 for one in OTHERS])
        chosen = random.choice(OTHERS, 8, replace=False, p=mine / mine.sum())
        made.took(*((f"o{user:02}", str(one)) for one in chosen))
    train(made.held)
    yield made
    made.held.close()


def folder_of(shop: Shop) -> Path:
    return shop.settings.folder("artifacts").parent


def hybrid_folder(shop: Shop) -> Path:
    return shop.settings.folder("artifacts") / "hybrid" / hybrid_of(shop).version


def filled(shop: Shop) -> None:
    shop.publish(*ITEMS)
    fit_fusion(shop.held, shop.dispatch)


def both_ways(shop: Shop, other: Shop) -> tuple[Any, Any]:
    """The served items as they are fused here and there, [n, d] each."""
    here, there = learning(shop).served(), learning(other).served()
    assert here is not None
    assert there is not None
    names = list(shop.encoders.dims)
    own, moved = [], []
    for batch in shop.held.index.scroll(here.collection, with_vectors=[RANK, *names]):
        for item in batch:
            rank = item.vectors.pop(RANK)
            own.append(here.space.content_of(rank[None])[0])
            (raw,) = there.fusion.with_attributes([item.vectors], [attributes_of(item.id)])
            moved.append(there.fusion.fuse(raw))
    return np.stack(own), np.stack(moved)


def test_without_any_interaction_it_serves_as_it_is(shop: Shop, other: Shop) -> None:
    filled(shop)
    before = hybrid_of(shop)
    found = train(shop.held, source=source_at(str(folder_of(other)), shop.settings))
    made = hybrid_of(shop)
    assert made.version == found.version != before.version
    assert made.fusion_version != hybrid_of(other).fusion_version
    told = found.report["prior"]
    assert told["version"] == hybrid_of(other).projection.version
    assert (told["items"], told["own"]) == (60, False)
    assert told["explained"] > 0.5
    # what is scored here goes with what the other's A says of the same items
    own, moved = both_ways(shop, other)
    there = hybrid_of(other).projection
    for part, rows in (("history", (own, moved)), ("one", (np.ones((1, 1)), np.ones((1, 1))))):
        here_scores = made.projection.through(part, rows[0].astype(np.float64)) @ own.T
        there_scores = there.through(part, rows[1].astype(np.float64)) @ moved.T
        assert np.corrcoef(here_scores.ravel(), there_scores.ravel())[0, 1] > 0.8
    assert not is_due(shop.held)
    shop.check()


def test_later_trainings_begin_with_it_too_until_it_is_removed(shop: Shop, other: Shop) -> None:
    shop.publish(*ITEMS)
    train(shop.held, source=source_at(str(hybrid_folder(other)), shop.settings))
    first = dict(hybrid_of(shop).projection.matrices)
    shutil.rmtree(folder_of(other))  # what was given is kept
    shop.took(*crowd())
    assert is_due(shop.held)
    found = train(shop.held)
    assert found.whole
    assert found.report["prior"]["version"].startswith("a-")
    with sums_of(shop)._reading() as file:
        begun = file.prior()
    for part, matrix in first.items():
        np.testing.assert_array_equal(begun[part], matrix)
    # in another fusion of this catalogue it is translated anew
    fit_fusion(shop.held, shop.dispatch)
    again = train(shop.held)
    assert again.report["prior"]["version"] == found.report["prior"]["version"]
    assert hybrid_of(shop).fusion_version.startswith("fit-")
    learning(shop).kept.remove()
    assert "prior" not in train(shop.held, whole=True).report
    shop.check()


def test_other_encoders_are_refused_and_what_serves_stays(
    shop: Shop, other: Shop, make_encoders: Any
) -> None:
    changed = shop.reopened(make_encoders("strangers"))
    changed.publish(*ITEMS)
    before = hybrid_of(changed)
    with pytest.raises(RejectedError, match="encoders topics, strangers serve") as caught:
        train(changed.held, source=source_at(str(folder_of(other)), changed.settings))
    assert caught.value.field == "--prior"
    assert "same models" in caught.value.remedy
    assert hybrid_of(changed).version == before.version
    assert learning(changed).kept.get("topics") is None


def test_a_kept_a_of_other_encoders_is_left_out(shop: Shop, other: Shop) -> None:
    filled(shop)
    train(shop.held, source=source_at(str(folder_of(other)), shop.settings))
    assert learning(shop).kept.get("topics") is not None
    assert learning(shop).kept.get("strangers") is None


def test_what_is_not_there_not_trained_or_damaged_is_refused(
    shop: Shop, other: Shop, tmp_path: Path
) -> None:
    filled(shop)
    before = hybrid_of(shop).version

    def refused(named: Path | str, why: str) -> None:
        with pytest.raises(RejectedError, match=why):
            train(shop.held, source=source_at(str(named), shop.settings))
        assert hybrid_of(shop).version == before
        assert learning(shop).kept.get("topics") is None

    refused("h-none", "no folder and no version 'h-none'")
    refused("../other", "no folder and no version")
    refused(tmp_path, "no projection that can be read")
    refused("/", "no projection that can be read")
    refused(f"/{Path(__file__).parts[1]}", "no projection that can be read")
    refused(folder_of(shop), "nothing was trained")
    folder = hybrid_folder(other)
    weights = load_file(folder / "projection.safetensors")
    for broken, why in (
        ({**weights, "one": np.full_like(weights["one"], np.nan)}, "NaN or infinity"),
        ({**weights, "history": weights["history"][:, :-1].copy()}, "expected float32"),
        ({**weights, "other": weights["one"]}, "no such part"),
    ):
        save_file(broken, folder / "projection.safetensors")
        refused(folder_of(other), why)
    (folder / "projection.safetensors").write_bytes(b"nothing")
    refused(folder, "cannot be read")
    save_file(weights, folder / "projection.safetensors")
    (fusion,) = other.settings.folder("artifacts").glob(f"fusion/{hybrid_of(other).fusion_version}")
    (fusion / "fusion.json").unlink()
    refused(folder, "the fusion in .* cannot be read")
    for record in other.settings.folder("artifacts").glob("collections/*.json"):
        record.unlink()
    refused(folder_of(other), "nothing was trained")


def test_a_kept_a_that_is_damaged_is_refused_until_another_is_named(
    shop: Shop, other: Shop
) -> None:
    filled(shop)
    train(shop.held, source=source_at(str(folder_of(other)), shop.settings))
    before = hybrid_of(shop).version
    (facts,) = shop.settings.folder("artifacts").glob("prior/*/projection.json")
    facts.write_text(json.dumps({"format": 99}))
    shop.took(*crowd())
    with pytest.raises(RejectedError, match="the A to begin with") as caught:
        train(shop.held)
    assert "--prior own" in caught.value.remedy
    assert hybrid_of(shop).version == before
    train(shop.held, source=source_at(str(folder_of(other)), shop.settings))
    assert train(shop.held, whole=True).report["prior"]["version"].startswith("a-")


def test_own_undoes_a_transfer_that_serves_alone(shop: Shop, other: Shop) -> None:
    filled(shop)
    before = dict(hybrid_of(shop).projection.matrices)
    with pytest.raises(RejectedError, match="0 interactions"):
        train(shop.held, own=True)  # there is nothing to undo
    train(shop.held, source=source_at(str(folder_of(other)), shop.settings))
    found = train(shop.held, own=True)
    made = hybrid_of(shop)
    assert (found.version, found.report) == (made.version, {})
    assert made.projection.version.startswith("prior-")
    for part, matrix in before.items():
        np.testing.assert_array_equal(made.projection.matrices[part], matrix)
    assert not learning(shop).kept.is_there()
    with pytest.raises(RejectedError, match="0 interactions"):
        train(shop.held)
    shop.took(*crowd())
    assert is_due(shop.held)
    assert "prior" not in train(shop.held).report
    shop.check()


def test_own_takes_the_kept_a_away_with_the_training_that_does_without(
    shop: Shop, other: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(shop)
    train(shop.held, source=source_at(str(folder_of(other)), shop.settings))
    shop.took(*crowd())
    train(shop.held)
    with learning(shop).training(), pytest.raises(BusyError):
        train(shop.held, own=True)

    def refuses(*_: Any, **__: Any) -> Any:
        raise RejectedError("no")

    with monkeypatch.context() as patched:
        patched.setattr("workers.training.fit_projection", refuses)
        with pytest.raises(RejectedError, match="no"):
            train(shop.held, own=True)
    assert learning(shop).kept.is_there()
    assert "prior" in train(shop.held, whole=True).report
    assert "prior" not in train(shop.held, own=True).report
    assert not learning(shop).kept.is_there()


def test_a_file_of_little_use_does_not_put_the_transfer_in_place_of_what_was_learned(
    shop: Shop, other: Shop, tmp_path: Path
) -> None:
    filled(shop)
    source = source_at(str(folder_of(other)), shop.settings)
    train(shop.held, source=source)
    small = tmp_path / "small.csv"
    small.write_text("user,item\nu,i00\n")
    assert "projection" not in train(shop.held, file=small).report  # nothing was learned yet
    shop.took(*crowd())
    before = train(shop.held).version
    assert hybrid_of(shop).collaborative is not None

    def refused() -> None:
        with pytest.raises(RejectedError, match="1 interactions with indexed items"):
            train(shop.held, file=small)

    refused()
    assert hybrid_of(shop).version == before
    fit_fusion(shop.held, shop.dispatch)
    carried = hybrid_of(shop).version
    refused()  # the factors of the training go on serving
    assert hybrid_of(shop).version == carried
    assert "projection" not in train(shop.held, file=small, source=source).report


@pytest.mark.parametrize("chosen", [TRANSFERRED, OWN])
def test_the_better_of_both_priors_is_what_a_is_begun_with(
    shop: Shop, other: Shop, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    filled(shop)
    source = source_at(str(folder_of(other)), shop.settings)
    train(shop.held, source=source)
    active = learning(shop).served()
    assert active is not None
    priors = {
        TRANSFERRED: dict(hybrid_of(shop).projection.matrices),
        OWN: dict(prior(active.fusion).matrices),
    }
    assert not np.allclose(priors[OWN]["history"], priors[TRANSFERRED]["history"], atol=1e-3)
    asked: list[Any] = []

    def choose(data: Any, given: Any) -> Beginning:
        asked.append({name: dict(matrices) for name, matrices in given.items()})
        return Beginning(chosen, {TRANSFERRED: [0.1, 0.3], OWN: [0.3, 0.5]})

    monkeypatch.setattr("workers.transfer.choose_beginning", choose)
    shop.took(*crowd())
    told = train(shop.held).report["prior"]
    assert told["chosen"] == chosen
    assert told["ndcg"] == {TRANSFERRED: pytest.approx(0.2), OWN: pytest.approx(0.4)}
    assert told["version"] == source.projection.version
    with sums_of(shop)._reading() as file:
        begun = file.prior()
    for part, matrix in priors[chosen].items():
        np.testing.assert_array_equal(begun[part], matrix)
    (given,) = asked
    for name, matrices in priors.items():
        np.testing.assert_array_equal(given[name]["history"], matrices["history"])


def test_too_few_items_to_translate_by_are_refused(shop: Shop, other: Shop) -> None:
    shop.publish(*ITEMS[:10])
    with pytest.raises(RejectedError, match=r"10 items .* a transfer needs 16"):
        train(shop.held, source=source_at(str(folder_of(other)), shop.settings))


def test_an_a_of_its_own_before_a_fit_may_be_begun_with_once(shop: Shop) -> None:
    shop.publish(*ITEMS)
    shop.took(*crowd())
    version = train(shop.held).version
    fit_fusion(shop.held, shop.dispatch)
    source = source_at(version, shop.settings)
    assert source.own
    assert train(shop.held, source=source).report["prior"]["own"]
    assert learning(shop).kept.get("topics") is None
    assert "prior" not in train(shop.held, whole=True).report


def test_who_is_forgotten_is_gone_from_the_own_a_that_was_begun_with(shop: Shop) -> None:
    shop.publish(*ITEMS)
    shop.took(*crowd())
    version = train(shop.held).version
    fit_fusion(shop.held, shop.dispatch)
    train(shop.held, source=source_at(version, shop.settings))
    expected = everything(shop, without="u03")
    deleted(shop, "u03")
    forget_user(shop.settings, shop.held.index, "u03")
    active, made = learning(shop).served(), hybrid_of(shop)
    assert active is not None
    with sums_of(shop)._reading() as file:
        gram, ridge = file.item_gram(), file.ridge()
    fresh = solve(active.fusion.blocks, expected, gram, prior(active.fusion).matrices, ridge)
    for name, matrix in fresh.items():
        np.testing.assert_allclose(made.projection.matrices[name], matrix, atol=1e-6)
    assert "prior" not in made.facts["report"]
    # once is enough: who was never learned from changes nothing any more
    assert forget_user(shop.settings, shop.held.index, "nobody").projection == ""
