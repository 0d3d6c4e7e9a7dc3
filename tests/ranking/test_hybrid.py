"""One inner product is the whole formula; factors fold in; unsound artifacts are refused."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RejectedError
from ranking import (
    Collaborative,
    Gate,
    HybridStore,
    Moments,
    Rows,
    alone,
    contributions,
    explain,
    named,
    prior,
    rank_space,
    untrained,
    user_vector,
)
from ranking.artifact import ARRAYS_FILE, FACTS_FILE, load
from tests.fixtures.hybrids import random_hybrid

from .conftest import make_fusion

FUSION = make_fusion()
SPACE = rank_space(FUSION.blocks, 8, 4)
IDS = [f"i{n}" for n in range(80)]


def contents(seed=0, count=80):
    random = np.random.default_rng(seed)
    return np.stack(
        [
            FUSION.fuse({"text": random.normal(size=12), "image": random.normal(size=10)})
            for _ in range(count)
        ]
    )


CONTENT = contents()


def a_user(random, *, history=True):
    embeddings = {"text": random.normal(size=12), "image_text": random.normal(size=10)}
    past = CONTENT[random.integers(0, 80)] if history else None
    return user_vector(FUSION.blocks, embeddings, past, 3 if history else 0, 3.0)


def expected_person(hybrid, user, taken, warm):
    """p_u: what the items say, and what is expected of somebody with so few of them."""
    said = hybrid.collaborative.newcomers
    if said is None:
        return None if taken is None else taken.vector.astype(np.float64)
    n = 0 if taken is None else taken.count
    own = np.zeros(SPACE.factors) if taken is None else taken.vector.astype(np.float64)
    expected = own / np.sqrt(n + 0.5) @ said.matrices["taken"]
    expected = expected + np.array([n == 0, 1 / np.sqrt(n + 1)]) @ said.matrices["count"]
    for part, vector in user.parts.items():
        expected = expected + vector.astype(np.float64) @ said.matrices[part]
    blended = 10 / (n + 10) * expected / (warm @ expected).std()
    if n:
        blended += n / (n + 10) * own / (warm @ own).std()
    return blended


def explicit(hybrid, user, taken, pi_u, places):
    """s(u, i) as SCIENCE section 1 has it, term by term, in float64."""
    q = np.zeros(SPACE.content)
    for part, matrix in hybrid.projection.matrices.items():
        if part in user.parts:
            q += user.parts[part].astype(np.float64) @ matrix
    relevance = CONTENT.astype(np.float64) @ q
    z_content = (relevance - relevance.mean()) / relevance.std()
    found = hybrid.items.find(IDS)
    number = hybrid.items.take("counts", found).astype(np.float64)
    v = hybrid.items.take("factors", found).astype(np.float64)
    g = number / (number + hybrid.gate.k)
    w = (1 - g) + g * hybrid.gate.warm
    score = w * z_content
    p = expected_person(hybrid, user, taken, v[found >= 0])
    if p is not None:
        liked = v @ p
        warm = liked[found >= 0]
        known = 0 if taken is None else taken.count
        kappa = hybrid.gate.kappa * (1 + hybrid.gate.newcomer / (1 + (known / 7) ** 8))
        score += kappa * g * (liked - warm.mean()) / warm.std()
    if hybrid.graph.beta:
        term = hybrid.graph
        asked = pi_u @ term.matrix
        asked = asked / np.sqrt(asked @ term.covariance @ asked)
        score += term.beta * places @ (asked + term.bias)
    return score


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["als", "ease"]),
    st.floats(0.5, 50),
    st.floats(0.05, 2),
    st.floats(0, 3),
    st.sampled_from([0.0, 0.4]),
    st.sampled_from([None, 0.0, 2.0]),
    st.integers(0, 6),
)
def test_one_inner_product_is_the_explicit_formula(
    seed, method, k, warm, kappa, beta, newcomer, known
):
    random = np.random.default_rng(seed)
    hybrid = random_hybrid(
        FUSION,
        SPACE,
        IDS,
        CONTENT,
        seed=seed,
        method=method,
        gate=Gate(k, warm, kappa, newcomer or 0.0),
        beta=beta,
        newcomers=newcomer is not None,
    )
    places = random.normal(size=(80, 4)).astype(np.float32)
    ranks, _ = hybrid.rank_vectors(IDS, CONTENT, places=places)
    user = a_user(random)
    past = random.integers(0, 80, 6)
    past[0] = int(np.flatnonzero(hybrid.items.find(IDS) >= 0)[0])
    taken = past[:known]
    p = hybrid.fold_in([IDS[at] for at in taken], ranks[taken], random.random(known) + 0.5)
    pi_u = hybrid.graph_profile(ranks[past], np.ones(6))
    query = hybrid.query(user, collaborative=p, graph=pi_u)
    found = ranks @ query.vector
    expected = explicit(hybrid, user, p, pi_u, places)
    assert np.abs(found - expected).max() <= 1e-4
    told = explain(query, ranks, SPACE.blocks)
    for one, score in zip(told, expected, strict=True):
        assert sum(one.parts.values()) == one.score
        assert abs(one.score - score) <= 1e-4
        assert list(one.parts) == ["text", "image", "audio", "bias", "cf", "graph"]


def test_before_anything_is_learned_scores_are_the_priors():
    user = a_user(np.random.default_rng(1))
    hybrid = untrained(FUSION, SPACE)
    ranks, gates = hybrid.rank_vectors(IDS, CONTENT)
    assert not gates.any()
    query = hybrid.query(user)
    np.testing.assert_allclose(
        ranks @ query.vector, CONTENT @ prior(FUSION).query(user).vector, atol=1e-6
    )
    assert query.centre is None


def test_a_cold_item_is_ranked_by_content_alone_and_a_warm_one_by_both():
    hybrid = random_hybrid(FUSION, SPACE, IDS, CONTENT)
    ranks, gates = hybrid.rank_vectors(IDS, CONTENT)
    warm = np.flatnonzero(gates)
    p = hybrid.fold_in([IDS[warm[0]]], ranks[warm[:1]], [1.0])
    query = hybrid.query(a_user(np.random.default_rng(2)), collaborative=p)
    parts = [one.parts["cf"] for one in explain(query, ranks, SPACE.blocks)]
    for gate, part in zip(gates, parts, strict=True):
        assert (part != 0) == (gate > 0)


def test_contributions_by_part_and_block_add_up_to_the_content_score():
    hybrid = random_hybrid(FUSION, SPACE, IDS, CONTENT)
    ranks, _ = hybrid.rank_vectors(IDS, CONTENT)
    query = hybrid.query(a_user(np.random.default_rng(2)))
    total = sum(part.sum(axis=1) for part in contributions(query, ranks, SPACE.blocks).values())
    np.testing.assert_allclose(total, ranks @ query.vector, atol=1e-5)


def test_a_user_folded_in_is_the_ridge_solution_of_implicit_als():
    from implicit.cpu.als import AlternatingLeastSquares
    from scipy.sparse import csr_matrix, random_array
    from threadpoolctl import threadpool_limits

    found = random_array((60, 30), density=0.2, rng=3, format="csr", dtype=np.float32)
    interactions = csr_matrix(found)
    interactions.data[:] = 1.0 + np.round(3 * interactions.data)
    with threadpool_limits(1, "blas"):  # implicit warns of more
        model = AlternatingLeastSquares(
            factors=6, regularization=0.4, alpha=3.0, random_state=5, use_cg=False, iterations=3
        )
        model.fit(interactions, show_progress=False)
    v = model.item_factors
    side = Collaborative("als", v.T @ v, np.eye(6, dtype=np.float32), 0.4, 3.0, Moments.of(v))
    for user in range(10):
        row = interactions[[user]]
        if row.nnz:
            expected = model.recalculate_user(user, row)
            found = side.fold_in(v[row.indices], row.data)
            np.testing.assert_allclose(found.vector, expected, rtol=2e-3, atol=2e-4)


def test_an_item_folded_in_is_the_ridge_solution_on_its_users():
    random = np.random.default_rng(0)
    users = random.normal(size=(40, 5))
    gram = (users.T @ users).astype(np.float32)
    took, weight = np.arange(8), random.random(8) + 1
    side = Collaborative("als", gram, gram, 0.3, 2.0, Moments.of(users.astype(np.float32)))
    confidence = np.ones(40)
    confidence[took] = 2.0 * weight
    wanted = np.zeros(40)
    wanted[took] = 1.0
    expected = np.linalg.solve(
        (users.T * confidence) @ users + 0.3 * np.eye(5), (users.T * confidence) @ wanted
    )
    found = side.fold_in_item(users[took].astype(np.float32), weight)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_an_ease_user_is_the_sum_by_relative_weight_of_the_rows_of_their_items():
    hybrid = random_hybrid(FUSION, SPACE, IDS, CONTENT, method="ease")
    ranks, gates = hybrid.rank_vectors(IDS, CONTENT)
    at = np.flatnonzero(gates)[:3]
    rows = hybrid.items.take("users", hybrid.items.find([IDS[n] for n in at]))
    found = hybrid.fold_in([IDS[n] for n in at], ranks[at], [1.0, 2.0, 0.5])
    weights = np.array([1.0, 2.0, 0.5])
    np.testing.assert_allclose(found.vector, weights / weights.mean() @ rows, rtol=1e-5)
    assert found.count == 3


def test_a_history_without_factors_has_no_collaborative_part():
    hybrid = random_hybrid(FUSION, SPACE, IDS, CONTENT)
    ranks, gates = hybrid.rank_vectors(IDS, CONTENT)
    cold = np.flatnonzero(gates == 0)[:2]
    assert hybrid.fold_in([IDS[n] for n in cold], ranks[cold], [1.0, 1.0]) is None
    assert hybrid.fold_in([], ranks[:0], []) is None
    assert untrained(FUSION, SPACE).fold_in(IDS[:2], ranks[:2], [1.0, 1.0]) is None
    assert "cf" not in hybrid.query(a_user(np.random.default_rng(0))).by_part


def test_counts_and_factors_that_moved_replace_what_was_trained():
    hybrid = random_hybrid(FUSION, SPACE, IDS, CONTENT)
    trained = hybrid.trained_factors(IDS)
    moved = np.zeros_like(trained)
    moved[3] = 1.0
    counts = np.full(80, 7.0)
    ranks, gates = hybrid.rank_vectors(IDS, CONTENT, counts, moved)
    assert gates[3] == pytest.approx(0.5)
    np.testing.assert_allclose(SPACE.factors_of(ranks)[3], moved[3], rtol=1e-6)
    np.testing.assert_allclose(SPACE.factors_of(ranks)[:3], trained[:3], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(hybrid.gate.counts(gates[gates > 0]), 7.0)


# -- the artifact ---------------------------------------------------------------------------


def test_what_was_published_is_what_another_process_loads(tmp_path):
    store = HybridStore(tmp_path)
    made = random_hybrid(FUSION, SPACE, IDS, CONTENT, method="ease", beta=0.2, trained_at=5.0)
    store.publish(made, FUSION)
    found = HybridStore(tmp_path).current(FUSION, SPACE)
    assert (found.version, found.item_version) == (made.version, made.item_version)
    assert found.facts == {"trained_at": 5.0}
    assert named(found).version == made.version
    user = a_user(np.random.default_rng(4))
    ranks, _ = found.rank_vectors(IDS, CONTENT)
    expected, _ = made.rank_vectors(IDS, CONTENT)
    np.testing.assert_array_equal(ranks, expected)
    p = found.fold_in(IDS[:5], ranks[:5], np.ones(5))
    query = found.query(user, collaborative=p, graph=np.ones(4, dtype=np.float32))
    again = made.query(user, collaborative=p, graph=np.ones(4, dtype=np.float32))
    np.testing.assert_array_equal(query.vector, again.vector)
    assert isinstance(found.items.arrays["factors"], np.memmap)


def test_a_new_a_changes_the_version_and_not_what_items_are_made_with(tmp_path):
    store = HybridStore(tmp_path)
    made = random_hybrid(FUSION, SPACE, IDS, CONTENT)
    store.publish(made, FUSION)
    other = random_hybrid(FUSION, SPACE, IDS, CONTENT, seed=1).projection
    held = store.current(FUSION, SPACE)
    moved = named(dataclasses.replace(held, projection=other))
    assert moved.version != made.version
    assert moved.item_version == made.item_version
    store.publish(moved, FUSION)
    linked = tmp_path / moved.version / "items" / "factors.npy"
    assert linked.samefile(tmp_path / made.version / "items" / "factors.npy")
    assert store.current(FUSION, SPACE).version == moved.version


def broken(hybrid, **fields):
    return dataclasses.replace(hybrid, version="h-bad", **fields)


def nan_like(array):
    return np.full(array.shape, np.nan, dtype=np.float32)


def breakages(good):
    side, term, rows = good.collaborative, good.graph, good.items
    of = dataclasses.replace
    yield "space", {"space": rank_space(FUSION.blocks, 9, 4)}
    yield "gate.k", {"gate": Gate(k=0.0)}
    yield "gate.warm", {"gate": Gate(warm=-1.0)}
    yield "gate.kappa", {"gate": Gate(kappa=np.nan)}
    yield "moments", {"moments": Moments.of(CONTENT[:, :9])}
    yield "NaN", {"moments": of(good.moments, covariance=nan_like(good.moments.covariance))}
    yield "item_gram", {"collaborative": of(side, item_gram=side.item_gram[:3, :3])}
    yield "NaN", {"collaborative": of(side, user_gram=nan_like(side.user_gram))}
    yield "regularization", {"collaborative": of(side, regularization=0.0)}
    yield "alpha", {"collaborative": of(side, alpha=np.inf)}
    yield "method", {"collaborative": of(side, method="guess")}
    yield "graph.matrix", {"graph": of(term, matrix=term.matrix[:2])}
    yield "items.factors", {"items": Rows.of(["a"], {"factors": np.zeros((1, 7), np.float32)})}
    yield "NaN", {"items": Rows.of(["a"], {"factors": np.full((1, 8), np.nan, np.float32)})}
    yield "order", {"items": Rows(rows.keys[::-1], rows.arrays)}
    for name in ("counts", "factors"):
        left = {other: array for other, array in rows.arrays.items() if other != name}
        yield f"items.{name}: is missing", {"items": Rows(rows.keys, left)}
    yield "items.users: is missing", {"collaborative": of(side, method="ease")}
    yield "no such array", {"items": Rows.of(["a"], {"x": np.zeros((1, 8), np.float32)})}


GOOD = random_hybrid(FUSION, SPACE, IDS, CONTENT)


@pytest.mark.parametrize("case", range(len(list(breakages(GOOD)))))
def test_an_unsound_hybrid_is_refused_and_the_old_one_stays(tmp_path, case):
    message, fields = list(breakages(GOOD))[case]
    store = HybridStore(tmp_path)
    store.publish(GOOD, FUSION)
    bad = broken(GOOD, **fields)
    with pytest.raises(RejectedError, match=message):
        bad.check(FUSION, SPACE)
    if "space" not in fields:
        with pytest.raises(RejectedError, match=message):
            store.publish(bad, FUSION)
    assert store.current(FUSION, SPACE).version == GOOD.version


def test_a_hybrid_of_another_fusion_is_refused_and_the_old_one_stays(tmp_path):
    other = make_fusion(seed=9, version="fit-other")
    foreign = random_hybrid(other, rank_space(other.blocks, 8, 4), IDS, CONTENT)
    store = HybridStore(tmp_path)
    store.publish(GOOD, FUSION)
    with pytest.raises(RejectedError, match="fit-other"):
        store.publish(foreign, FUSION)
    assert store.current(FUSION, SPACE).version == GOOD.version


ROWS = ("keys", "counts", "factors", "users")
EMPTY = {f"empty {name}": name for name in ROWS}
GONE = {f"no {name}": name for name in ROWS}


@pytest.mark.parametrize("damage", ["arrays", "facts", "rows", "format", *EMPTY, *GONE])
def test_a_hybrid_damaged_on_disk_is_refused_and_the_old_one_stays(tmp_path, damage):
    second = random_hybrid(FUSION, SPACE, IDS, CONTENT, seed=5, method="ease")
    store = HybridStore(tmp_path)
    store.publish(GOOD, FUSION)
    assert store.current(FUSION, SPACE).version == GOOD.version
    HybridStore(tmp_path).publish(second, FUSION)
    folder = tmp_path / second.version
    if damage == "arrays":
        (folder / ARRAYS_FILE).write_bytes(b"\x00" * 64)
    elif damage == "facts":
        (folder / FACTS_FILE).write_text("{")
    elif damage == "rows":
        (folder / "items" / "factors.npy").write_bytes(b"\x93NUMPY")
    elif damage in EMPTY:
        (folder / "items" / f"{EMPTY[damage]}.npy").write_bytes(b"")
    elif damage in GONE:
        (folder / "items" / f"{GONE[damage]}.npy").unlink()
    else:
        facts = json.loads((folder / FACTS_FILE).read_text())
        (folder / FACTS_FILE).write_text(json.dumps(facts | {"format": 99}))
    assert store.current(FUSION, SPACE).version == GOOD.version
    with pytest.raises(RejectedError):
        load(folder, FUSION, SPACE)


def test_a_collection_with_other_lengths_gets_the_prior(tmp_path):
    store = HybridStore(tmp_path)
    store.publish(GOOD, FUSION)
    wider = rank_space(FUSION.blocks, 16, 4)
    assert store.current(FUSION, wider).version == untrained(FUSION, wider).version
    assert store.current(FUSION, SPACE).version == GOOD.version


def test_older_hybrids_are_removed_and_the_serving_ones_stay(tmp_path):
    store, other = HybridStore(tmp_path), make_fusion(seed=9, version="fit-other")
    kept = alone(prior(other), rank_space(other.blocks, 8, 4))
    store.publish(kept, other)
    made = [random_hybrid(FUSION, SPACE, IDS, CONTENT, seed=seed) for seed in range(6)]
    for hybrid in made:
        store.publish(hybrid, FUSION)
    versions = store.versions()
    assert {kept.version, made[-1].version, made[-2].version} <= set(versions)
    assert made[0].version not in versions
    assert store.current(other, kept.space).version == kept.version


def test_rows_are_found_by_id_in_any_order_and_unknown_ones_are_zero(tmp_path):
    random = np.random.default_rng(0)
    ids = [f"item {n}" for n in range(1000)]
    values = random.normal(size=(1000, 3)).astype(np.float32)
    made = Rows.of(ids, {"factors": values})
    made.save(tmp_path / "rows")
    rows = Rows.load(tmp_path / "rows")
    asked = ["item 999", "nobody", "item 0", "item 999"]
    found = rows.take("factors", rows.find(asked))
    np.testing.assert_array_equal(found, [values[999], [0, 0, 0], values[0], values[999]])
    empty = Rows.of([], {"factors": values[:0]})
    assert empty.find(["a"]).tolist() == [-1]
