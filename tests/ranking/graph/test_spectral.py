"""Spectral embeddings: closed form, folding in, and bounds on hubs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, diags_array

from ranking.graph import read_graph, shared_degrees, spectral
from ranking.graph.spectral import LONGEST_SHARE
from tests.ranking.graph.conftest import graph_of, lines


def test_items_of_one_kind_lie_together(planted):
    pi = spectral(planted.graph, planted.nodes, 16).embed(planted.graph, planted.nodes)
    unit = pi / np.linalg.norm(pi, axis=1, keepdims=True)
    same = planted.kinds[:, None] == planted.kinds[None]
    cosines = unit @ unit.T
    assert cosines[same].mean() > 0.4 > 0.0 > cosines[~same].mean()


def test_the_fit_is_the_truncated_svd_of_the_weighted_incidence(planted):
    graph, nodes = planted.graph, planted.nodes
    fitted = spectral(graph, nodes, 8)
    incidence = graph.incidence(nodes, fitted.codes)
    weights = np.log1p(len(nodes) / np.asarray(incidence.sum(axis=0)).ravel())
    weighted = incidence @ diags_array(weights)
    norms = np.linalg.norm(weighted.toarray(), axis=1)
    scaled = weighted.toarray() / norms[:, None]
    _, values, right = np.linalg.svd(scaled, full_matrices=False)
    assert fitted.values == pytest.approx(values[:8], rel=1e-3)
    ours = fitted.directions * np.sqrt(fitted.values)
    # one subspace, whatever the signs and the order of equal values
    assert np.linalg.svd(right[:6] @ ours)[1][:6] == pytest.approx(np.ones(6), abs=1e-2)


def test_a_node_folds_in_from_its_edges_to_where_the_fit_would_put_it(planted):
    fitted = spectral(planted.graph, planted.nodes, 16)
    node = int(planted.nodes[7])
    folded = fitted.fold_in(planted.graph.features(node))
    assert folded == pytest.approx(fitted.embed(planted.graph, np.array([node]))[0], abs=1e-6)


def test_an_item_that_the_fit_has_not_seen_lies_with_its_kind(planted):
    fitted = spectral(planted.graph, planted.nodes[:90], 16)
    pi = fitted.embed(planted.graph, planted.nodes)
    mean = np.stack([pi[:90][planted.kinds[:90] == kind].mean(axis=0) for kind in range(6)])
    assert np.array_equal((pi[90:] @ mean.T).argmax(axis=1), planted.kinds[90:])


def test_what_is_not_linked_or_shares_nothing_is_zero(planted):
    graph = graph_of("a|by|x", "b|by|x", "c|by|y")
    nodes = np.array([graph.number["a"], -1, graph.number["c"], graph.number["b"]])
    pi = spectral(graph, nodes, 4).embed(graph, nodes)
    assert not pi[1].any()
    assert not pi[2].any()
    assert shared_degrees(graph, nodes).tolist() == [1, 0, 0, 1]


def test_the_mean_linked_item_is_zero_and_the_same_seed_gives_the_same_numbers(planted):
    one = spectral(planted.graph, planted.nodes, 16)
    two = spectral(planted.graph, planted.nodes, 16)
    assert np.array_equal(one.directions, two.directions)
    pi = one.embed(planted.graph, planted.nodes)
    assert np.abs(pi.mean(axis=0)).max() < 1e-5


@pytest.mark.parametrize("linked", [0, 1])
def test_a_graph_that_relates_no_two_items_puts_everything_at_zero(linked):
    graph = graph_of("a|by|x", "b|by|y")
    nodes = np.array([graph.number["a"]] * linked + [-1])
    fitted = spectral(graph, nodes, 8)
    assert fitted.directions.shape == (0, 8)
    assert not fitted.embed(graph, nodes).any()
    assert not fitted.fold_in(np.array([3, 5])).any()


def test_an_item_with_every_feature_is_no_longer_than_the_longest_hundredth(planted):
    fitted = spectral(planted.graph, planted.nodes, 16)
    stuffed = fitted.fold_in(fitted.codes)
    usual = fitted.embed(planted.graph, planted.nodes) + fitted.mean
    lengths = np.linalg.norm(usual, axis=1)
    assert np.linalg.norm(stuffed + fitted.mean) <= np.quantile(lengths, LONGEST_SHARE) + 1e-4


def test_a_hub_of_a_hundred_thousand_edges_stays_light():
    count = 100_000
    rows = [f"i{n}|in|hub" for n in range(count)] + [f"i{n}|by|e{n % 500}" for n in range(count)]
    rows += [f"big|knows|i{n}" for n in range(count)]
    graph, _, _ = read_graph(lines(*rows))
    nodes = np.array([graph.number[f"i{n}"] for n in range(count)] + [graph.number["big"]])
    fitted = spectral(graph, nodes, 4)
    pi = fitted.embed(graph, nodes)
    weight_of = dict(zip(fitted.codes.tolist(), fitted.weights.tolist(), strict=True))
    assert weight_of[graph.number["hub"]] < weight_of[graph.number["e1"] + len(graph.entities)] / 20
    assert np.isfinite(pi).all()


def test_an_incidence_row_holds_the_known_features_alone(planted):
    graph = planted.graph
    node = int(planted.nodes[0])
    vocabulary = np.sort(graph.features(node)[:1])
    found = graph.incidence(np.array([node, -1]), vocabulary)
    assert isinstance(found, csr_matrix)
    assert found.toarray().tolist() == [[1.0], [0.0]]
