"""What every method promises, and the order in which they must come out where content decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from domain.errors import RejectedError
from domain.settings import Settings
from evaluation.dataset import Dataset
from evaluation.features import embed, fuse
from evaluation.methods import ENTRIES, Task, chosen
from evaluation.methods.als_ridge import AlsRidge
from evaluation.methods.ease import Ease
from evaluation.methods.factors import ImplicitAls
from evaluation.methods.histories import ridge_map, with_one
from evaluation.methods.infonce import InfoNce
from evaluation.methods.vbpr import Vbpr, _with_fast_negatives
from evaluation.splits import Split, item_cold_start, user_cold_start
from evaluation.tuning import METRIC, judge
from ranking.graph import GraphTerm, user_graph_vectors

PEERS = [name for name in ENTRIES if not (name.startswith("bilinear") or name == "hybrid-graph")]
QUICK = {
    "infonce": {"epochs": 4, "learning_rate": 0.01},
    "cornac-vbpr": {"n_epochs": 8, "batch_size": 128, "learning_rate": 0.02},
}


def _task(dataset: Dataset, split: Split, settings: Settings) -> Task:
    features = embed(dataset, settings, ["text", "attributes"])
    fusion, items, raw = fuse(dataset, features, ("text", "attributes"), split.warm, settings)
    return Task(
        dataset, split, items, fusion, raw, features.profiles,
        questions=split.of("validation"), seed=split.seed,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cold(planted_dataset: Dataset, tiny_settings: Settings) -> Task:
    return _task(planted_dataset, item_cold_start(planted_dataset, 0), tiny_settings)


@pytest.fixture(scope="module")
def newcomers(planted_dataset: Dataset, tiny_settings: Settings) -> Task:
    return _task(planted_dataset, user_cold_start(planted_dataset, 0), tiny_settings)


def _fitted(name: str, task: Task):  # type: ignore[no-untyped-def]
    method = ENTRIES[name].make({**ENTRIES[name].grid[0], **QUICK.get(name, {})})
    method.fit(task)
    return method


def _quality(name: str, task: Task, question: str) -> float:
    asked = task.split.evaluation(question)
    return judge(_fitted(name, task), [asked], task)[0].mean(METRIC)


@pytest.mark.parametrize("name", PEERS)
def test_every_method_gives_finite_scores_of_all_items_and_the_same_for_the_same_seed(
    name: str, cold: Task
) -> None:
    users = np.array([3, 0, 77])
    first, again = _fitted(name, cold), _fitted(name, cold)
    scores = first.scores(users, cold.train[users])
    assert scores.shape == (3, cold.dataset.n_items)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert np.allclose(scores, again.scores(users, cold.train[users]), atol=1e-5)
    one = first.scores(users[1:2], cold.train[users[1:2]])
    assert np.allclose(scores[1], one[0], atol=1e-4)


@pytest.mark.parametrize("name", PEERS)
def test_every_method_answers_a_user_it_has_never_seen(name: str, newcomers: Task) -> None:
    for question in ("k=0", "k=3"):
        asked = newcomers.split.evaluation(question)
        users = asked.users[:5].astype(np.int64)
        scores = _fitted(name, newcomers).scores(users, asked.history[users])
        assert np.isfinite(scores).all()
        # content has nothing to go by where neither words nor items are known
        assert scores.std() > 0 or (question == "k=0" and name in ("raw-cosine", "whitened-cosine"))


def test_content_finds_cold_items_and_chance_does_not(cold: Task) -> None:
    chance = _quality("random", cold, "cold")
    for name in ("raw-cosine", "whitened-cosine", "als-ridge", "infonce", "cornac-vbpr"):
        assert _quality(name, cold, "cold") > chance + 0.05, name


def test_interactions_beat_popularity_on_warm_items(cold: Task) -> None:
    popular = _quality("popularity", cold, "warm")
    assert popular > _quality("random", cold, "warm")
    for name in ("ease", "implicit-bpr"):
        assert _quality(name, cold, "warm") > popular, name


def test_demographics_find_what_people_of_a_kind_take(newcomers: Task) -> None:
    asked = newcomers.split.evaluation("k=0")
    users = asked.users.astype(np.int64)
    method = _fitted("demographics", newcomers)
    scores = method.scores(users, asked.history[users])
    found, popular = (_quality(name, newcomers, "k=0") for name in ("demographics", "popularity"))
    assert found > popular
    nothing = replace(newcomers, profiles={})
    silent = _fitted("demographics", nothing).scores(users, asked.history[users])
    assert (silent == silent[0]).all()
    assert not (scores == scores[0]).all()


def test_a_collaborative_method_answers_a_user_without_history_by_popularity(
    newcomers: Task,
) -> None:
    asked = newcomers.split.evaluation("k=0")
    users = asked.users[:4].astype(np.int64)
    popular = _fitted("popularity", newcomers).scores(users, asked.history[users])
    for name in ("ease", "implicit-als", "implicit-bpr"):
        assert np.array_equal(
            _fitted(name, newcomers).scores(users, asked.history[users]), popular
        ), name


def test_als_ridge_tells_users_without_history_apart_by_what_they_declare(newcomers: Task) -> None:
    asked = newcomers.split.evaluation("k=0")
    users = asked.users.astype(np.int64)
    scores = _fitted("als-ridge", newcomers).scores(users, asked.history[users])
    declared = np.unique(newcomers.profiles["demographics"][users], axis=0)
    assert len(np.unique(scores.round(2), axis=0)) == len(declared)


def test_ease_is_the_closed_form_of_its_paper(cold: Task) -> None:
    method = Ease(strength=40.0)
    method.fit(cold)
    warm = np.flatnonzero(cold.warm)
    seen = (cold.train[:, warm].toarray() > 0).astype(np.float64)
    inverse = np.linalg.inv(seen.T @ seen + 40.0 * np.eye(len(warm)))
    weights = np.eye(len(warm)) - inverse / np.diag(inverse)[None, :]
    users = np.arange(10)
    expected = seen[users] @ weights
    found = method.scores(users, cold.train[users])
    assert np.allclose(found[:, warm], expected, atol=1e-4)
    assert not found[:, ~cold.warm].any()


def test_ease_refuses_a_catalogue_it_cannot_hold(
    cold: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.methods.ease.MAX_ITEMS", 50)
    with pytest.raises(RejectedError, match="the limit is 50"):
        Ease().fit(cold)


def test_als_solves_a_history_as_it_solved_the_training_users(cold: Task) -> None:
    method = ImplicitAls(factors=16, regularization=0.1)
    method.fit(cold)
    users = np.arange(20)
    solved = method.user_factors(cold.train[users])
    items = method.item_factors.astype(np.float64)
    one = cold.train[0].toarray()[0]
    system = items.T @ items + (items.T * np.maximum(one - 1, 0)) @ items + 0.1 * np.eye(16)
    assert np.allclose(solved[0], np.linalg.solve(system, items.T @ one), atol=1e-3)


def test_a_refit_is_the_same_as_a_fit(cold: Task) -> None:
    refitted, fitted = AlsRidge(factors=16, map=0.1), AlsRidge(factors=16, map=3.0)
    refitted.fit(cold)
    refitted.map = 3.0
    refitted.refit(cold)
    fitted.fit(cold)
    users = np.arange(5)
    assert np.allclose(
        refitted.scores(users, cold.train[users]), fitted.scores(users, cold.train[users]),
        atol=1e-5,
    )  # fmt: skip


def test_the_ridge_map_recovers_a_linear_relation() -> None:
    rng = np.random.default_rng(0)
    sources = rng.normal(size=(200, 5)).astype(np.float32)
    truth = rng.normal(size=(6, 3)).astype(np.float32)
    targets = with_one(sources) @ truth
    assert np.allclose(ridge_map(with_one(sources), targets, 1e-6), truth, atol=1e-3)


def test_vbpr_scores_known_users_and_items_as_cornac_does(
    cold: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    monkeypatch.setattr(Vbpr, "_keep", _recording(Vbpr._keep, kept))
    method = Vbpr(n_epochs=2)
    method.fit(cold)
    model, warm = kept[0]
    users = np.flatnonzero(cold.train.getnnz(axis=1) > 0)[[0, 5]]
    rows = [int(np.searchsorted(np.unique(cold.train.tocoo().row), user)) for user in users]
    found = method.scores(users, cold.train[users])
    for row, scores in zip(rows, found, strict=True):
        assert np.allclose(scores[warm], model.score(row), atol=1e-4)


def _recording(keep: Callable[..., None], kept: list) -> Callable[..., None]:  # type: ignore[type-arg]
    def recorded(self: Vbpr, task: Task, model: object, warm: object) -> None:
        kept.append((model, warm))
        keep(self, task, model, warm)

    return recorded


def test_no_item_of_a_user_is_drawn_as_their_negative_and_all_others_are() -> None:
    from cornac.data import Dataset

    pairs = [(str(user), str(item), 1.0) for user in range(4) for item in range(user + 1)]
    data = _with_fast_negatives(Dataset).from_uir([*pairs, ("4", "5", 1.0)], seed=0)
    drawn: dict[int, set[int]] = {}
    for _ in range(60):
        for users, _, negatives in data.uij_iter(4, shuffle=True):
            for user, item in zip(users.tolist(), negatives.tolist(), strict=True):
                drawn.setdefault(user, set()).add(item)
    for user, negatives_of in drawn.items():
        own = set(data.matrix[user].indices.tolist())
        assert negatives_of == set(range(data.num_items)) - own


def test_infonce_without_a_step_is_the_whitened_cosine(cold: Task) -> None:
    method = InfoNce(epochs=0)
    method.fit(cold)
    users = np.arange(6)
    plain = _fitted("whitened-cosine", cold).scores(users, cold.train[users])
    assert np.allclose(method.scores(users, cold.train[users]), plain, atol=1e-5)


def test_infonce_learns(cold: Task) -> None:
    asked = cold.split.evaluation("warm")
    values = []
    for epochs in (0, 12):
        method = InfoNce(epochs=epochs, learning_rate=0.01, temperature=0.2)
        method.fit(cold)
        values.append(judge(method, [asked], cold)[0].mean(METRIC))
    assert values[1] > values[0]


def test_the_graph_joins_the_hybrid_in_one_inner_product(cold: Task) -> None:
    ids = [item.id for item in cold.dataset.items]
    triples = [(one, "is", f"kind{at % 4}") for at, one in enumerate(ids)]
    dataset = replace(cold.dataset, graph=triples, entity_of_item={one: one for one in ids})
    rng = np.random.default_rng(0)
    pi = rng.standard_normal((len(ids), 4)).astype(np.float32)
    both = _fitted("hybrid-graph", replace(cold, dataset=dataset, graph=pi))
    plain = _fitted("hybrid", replace(cold, dataset=dataset, graph=pi))
    assert both.detail["graph"]["beta"] == 0.0  # places drawn by lot tell nothing
    users = np.arange(8)
    history = cold.train[users]
    without = plain.scores(users, history)
    np.testing.assert_allclose(both.scores(users, history), without, atol=1e-4)
    bias = rng.standard_normal(4).astype(np.float32)
    covariance = np.cov(pi.T, bias=True).astype(np.float32)
    term = GraphTerm(0.4, np.eye(4, dtype=np.float32), bias, covariance)
    both.hybrid = replace(both.hybrid, graph=term)
    added = term.queries(user_graph_vectors(history, pi)) @ pi.T
    np.testing.assert_allclose(both.scores(users, history), without + added, atol=1e-4)
    assert np.abs(added).max() > 0.1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("hybrid", "bilinear"),
        ("hybrid-infonce", "ridge-infonce"),
        ("hybrid-gated-fusion", "gated-fusion"),
    ],
)
def test_new_items_stand_in_a_hybrid_as_its_content_term_has_them(
    name: str, content: str, cold: Task
) -> None:
    users = np.arange(8)
    history = cold.train[users]
    new = np.flatnonzero(~cold.warm)
    parameters = {"decay": 1e-2} if content == "ridge-infonce" else {}
    alone = ENTRIES[content].make(parameters)
    alone.fit(cold)
    wanted = alone.scores(users, history)[:, new]
    found = _fitted(name, cold).scores(users, history)[:, new]
    for ours, theirs in zip(found, wanted, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > 1 - 1e-5


@pytest.mark.parametrize("name", ["bilinear", "hybrid"])
def test_too_few_training_pairs_are_refused_in_words_for_an_evaluation(
    name: str, cold: Task
) -> None:
    few = cold.train.copy()
    few.data[49:] = 0
    few.eliminate_zeros()
    with pytest.raises(RejectedError, match="needs 50 training pairs, and the split has 49") as r:
        _fitted(name, replace(cold, split=replace(cold.split, train=few)))
    assert r.value.remedy == "evaluate on more interactions"


def test_methods_are_chosen_by_name_in_the_order_of_the_report() -> None:
    assert [entry.name for entry in chosen(["ease", "random"])] == ["random", "ease"]
    named = ["hybrid-infonce", "hybrid-gated-fusion"]
    assert [entry.name for entry in chosen(["all"])] == [one for one in ENTRIES if one not in named]
    assert [entry.name for entry in chosen(["all", *named])] == list(ENTRIES)
    own = chosen(["ease", "evaluation.methods.baselines:Random"])
    assert own[-1].name == "random"
    with pytest.raises(RejectedError, match="give one of your own another name"):
        chosen(["all", "evaluation.methods.baselines:Random"])


def test_an_unknown_method_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RejectedError, match="choose from random, popularity"):
        chosen(["svd++"])
    with pytest.raises(RejectedError, match="PYTHONPATH"):
        chosen(["no.such.module:Thing"])
