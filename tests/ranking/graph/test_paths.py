"""Paths as reasons."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(
    ("relation", "outward", "inward"),
    [
        ("director_of", "director of scott", "director scott"),
        ("part of", "part of scott", "part scott"),
        ("directedBy", "directed by scott", "directed by it: scott"),
        ("based_on", "based on scott", "based on it: scott"),
        ("film.film.directed_by", "directed by scott", "film scott"),
        ("film.director.film", "film scott", "director scott"),
        ("http://dbpedia.org/ontology/musicComposer", "music composer scott", "music composer of"),
        ("http://www.wikidata.org/prop/direct/P57", "P57 scott", "P57 of scott"),
        ("http://example.org/onto#sequelOf", "sequel of scott", "sequel scott"),
        ("schema:director", "director scott", "director of scott"),
        ("a.b/c", "c scott", "c of scott"),
    ],
)
def test_a_relation_is_told_in_words_from_either_side(relation, outward, inward):
    graph = graph_of(f"alien|{relation}|scott", f"blade|{relation}|scott")
    (path,) = history_of(graph, "alien").paths(graph.number["blade"])
    assert path.text("Alien") == f"because you liked Alien: {outward}"
    graph = graph_of(f"scott|{relation}|alien", f"scott|{relation}|blade")
    (path,) = history_of(graph, "alien").paths(graph.number["blade"])
    assert path.text("Alien").startswith(f"because you liked Alien: {inward}")


def test_a_neighbour_on_the_other_side_is_told_by_its_role():
    graph = graph_of("aliens|sequel_of|alien", "film|based_on|book")
    (path,) = history_of(graph, "aliens").paths(graph.number["alien"])
    assert path.text("Aliens") == "because you liked Aliens: sequel"
    (path,) = history_of(graph, "film").paths(graph.number["book"])
    assert path.text("The Film") == "because you liked The Film: based on it"


def test_a_relation_goes_by_its_name_where_it_has_one():
    rows = ("alien|P57|scott", "blade|P57|scott", "scott|P58|heat")
    graph = graph_of(*rows, names=("P57|director", "P57|film director", "P58|author", "q|q"))
    (path,) = history_of(graph, "alien").paths(graph.number["blade"])
    assert path.text("Alien") == "because you liked Alien: director scott"
    (path,) = history_of(graph, "heat").paths(graph.number["blade"])
    assert path.text("Heat") == "because you liked Heat: director scott (Heat: author of)"


def test_an_item_is_no_reason_for_itself():
    graph = graph_of("alien|by|scott", "blade|by|scott", "alien|in|space")
    assert history_of(graph, "alien").paths(graph.number["alien"], limit=9) == []
    found = history_of(graph, "alien", "blade").paths(graph.number["alien"], limit=9)
    assert [(path.because, path.entity) for path in found] == [(1, "scott")]
