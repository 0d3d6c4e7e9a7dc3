"""Weighing a graph for what is trained."""

from __future__ import annotations

import numpy as np
import pytest

from domain.vectors import BlockMap
from ranking.graph import shared_degrees, spectral
from ranking.graph.weigh import weigh
from ranking.training import Setting, TrainingData

DIM = 8


@pytest.fixture(scope="module")
def setting(planted):
    """Content that knows nothing of the kinds, a graph that does."""
    random = np.random.default_rng(5)
    items = random.normal(size=(len(planted.nodes), DIM)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    block = BlockMap("text", np.zeros(DIM, np.float32), np.eye(DIM, dtype=np.float32), 1.0, 0, DIM)
    data = TrainingData((block,), items, planted.interactions)
    prior = {"history": np.eye(DIM, dtype=np.float32)}
    pi = spectral(planted.graph, planted.nodes, 16).embed(planted.graph, planted.nodes)
    return data, prior, pi, shared_degrees(planted.graph, planted.nodes)


def test_a_graph_that_knows_what_content_does_not_is_kept(setting):
    data, prior, pi, degrees = setting
    term, report = weigh(data, prior, Setting(), pi, degrees, permutations=3)
    assert report.kept
    assert term.beta > 0
    term.check(pi.shape[1])
    assert report.gain > max(*report.control, *report.shuffled)


def test_the_same_graph_linked_at_random_is_not(setting):
    data, prior, pi, degrees = setting
    random = np.random.default_rng(8)
    term, report = weigh(
        data, prior, Setting(), pi[random.permutation(len(pi))], degrees, permutations=4
    )
    assert term.beta == 0.0
    assert not report.kept


def test_an_item_that_is_not_linked_changes_nothing_else(setting):
    data, prior, pi, degrees = setting
    none = np.zeros_like(pi)
    term, report = weigh(data, prior, Setting(), none, degrees)
    assert term.beta == 0.0
    assert report.linked == 0.0
