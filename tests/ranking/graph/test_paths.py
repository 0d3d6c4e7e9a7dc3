"""Paths as reasons."""

from __future__ import annotations

from ranking.graph import reasons
from tests.ranking.graph.conftest import graph_of

NAMES = ("scott|Ridley Scott", "alien|Alien", "blade|Blade Runner")
ROWS = (
    "alien|film.film.directed_by|scott",
    "blade|film.film.directed_by|scott",
    "alien|film.film.language|english",
    "blade|film.film.language|english",
    "heat|film.film.language|english",
    "casino|film.film.language|english",
    "aliens|film.film.sequel_of|alien",
    "aliens|film.film.language|english",
    "scott|film.writer.film|heat",
)


def history_of(graph, *ids):
    return reasons(graph, [graph.number.get(one, -1) for one in ids])


def test_the_rarest_entity_is_the_best_reason():
    graph = graph_of(*ROWS, names=NAMES)
    found = history_of(graph, "casino", "alien").paths(graph.number["blade"], limit=5)
    assert [path.entity for path in found] == ["scott", "english"]
    best = found[0]
    assert (best.because, best.relation, best.name) == (1, "directed by", "Ridley Scott")
    assert best.text("Alien") == "because you liked Alien: directed by Ridley Scott"
    assert found[0].weight > found[1].weight


def test_a_path_of_two_roles_names_both():
    graph = graph_of(*ROWS, names=NAMES)
    paths = history_of(graph, "heat").paths(graph.number["blade"], limit=2)
    best = next(path for path in paths if path.entity == "scott")
    assert best.text("Heat") == "because you liked Heat: directed by Ridley Scott (Heat: writer)"


def test_a_neighbour_is_a_reason_of_its_own():
    graph = graph_of(*ROWS, names=NAMES)
    best = history_of(graph, "alien").paths(graph.number["aliens"])[0]
    assert best.text("Alien") == "because you liked Alien: sequel of"
    assert best.other_relation == ""


def test_without_a_link_or_a_shared_entity_there_is_no_path():
    graph = graph_of(*ROWS)
    assert history_of(graph, "alien").paths(-1) == []
    assert history_of(graph, "nobody").paths(graph.number["blade"]) == []
    assert history_of(graph).paths(graph.number["blade"], limit=3) == []


def test_of_equal_reasons_the_most_recent_item_is_named():
    graph = graph_of("a|by|x", "b|by|x", "c|by|x")
    assert history_of(graph, "b", "a").paths(graph.number["c"])[0].because == 0


def test_a_hub_is_no_reason():
    rows = [f"i{n}|in|hub" for n in range(10_001)] + ["i0|by|x", "i1|by|x"]
    graph = graph_of(*rows)
    found = history_of(graph, "i0").paths(graph.number["i1"], limit=5)
    assert [path.entity for path in found] == ["x"]
