"""Linking items to entities: by id, by title, by similarity; whatever is unsure stays unlinked."""

from __future__ import annotations

import numpy as np
import pytest

from domain.items import Item
from ranking.graph import Link, Linker, Way, link_items
from ranking.graph.names import normalised, numbers_in, year_of
from tests.ranking.graph.conftest import graph_of

FILMS = ("Alien (1979)", "Heat (1995)", "Casino (1995)", "Psycho (1960)", "Psycho (1998)")


def item(key: str, title: str = "A title", **attributes) -> Item:
    return Item(id=key, title=title, attributes=attributes)


@pytest.fixture
def graph():
    rows = [f"m.{n}|genre|g.{n % 2}" for n in range(len(FILMS))]
    names = [f"m.{n}|{name}" for n, name in enumerate(FILMS)] + ["g.0|Drama", "m.0|Alien: le 8e"]
    return graph_of(*rows, names=tuple(names))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Matrix, The (1999)", "the matrix"),
        ("Amélie", "AMELIE"),
        ("Fast & Furious", "Fast and Furious"),
        ("Schindler's List", "Schindlers  list!"),
        ("Misérables, Les", "les miserables"),
    ],
)
def test_names_are_the_same_but_for_case_accents_articles_and_year(one, other):
    assert normalised(one) == normalised(other)


def test_years_come_from_a_title_or_an_attribute():
    assert year_of("Alien (1979)", {}) == 1979
    assert year_of("Alien", {"year": 1979}) == 1979
    assert year_of("Alien", {"release_date": "1979-05-25"}) == 1979
    assert year_of("1984", {"year": "unknown"}) is None


def test_numbers_tell_the_parts_of_a_series():
    assert numbers_in("Alien 3 (1992)") == ("3",)
    assert numbers_in("Rocky IV") == ("iv",)
    assert numbers_in("Rocky") == ()


def test_exact_ids_come_first(graph):
    found = link_items(
        graph, [item("m.1"), item("x", entity="m.2"), item("y", "Alien (1979)"), item("z", "Zzz")]
    )
    ways = {key: (graph.entities[link.node], link.way) for key, link in found.found.items()}
    assert ways == {
        "m.1": ("m.1", Way.ID),
        "x": ("m.2", Way.ATTRIBUTE),
        "y": ("m.0", Way.TITLE),
    }
    assert found.by_way == {"given": 0, "id": 1, "attribute": 1, "title": 1, "similar": 0}
    assert found.unlinked == 1


def test_given_links_stand_above_ids_and_their_strays_are_counted(graph):
    found = link_items(graph, [item("m.1"), item("m.2")], {"m.1": "m.3", "m.9": "nowhere"})
    assert {key: graph.entities[link.node] for key, link in found.found.items()} == {"m.1": "m.3"}
    assert found.dangling == 1


def test_an_alias_is_as_good_as_a_name(graph):
    assert Linker(graph).by_title(item("a", "Alien: Le 8e")).node == graph.number["m.0"]


def test_the_year_decides_between_works_of_one_name(graph):
    linker = Linker(graph)
    assert linker.by_title(item("a", "Psycho (1998)")).node == graph.number["m.4"]
    assert linker.by_title(item("a", "Psycho", year=1960)).node == graph.number["m.3"]
    assert linker.by_title(item("a", "Psycho")) is None
    assert linker.by_title(item("a", "Heat (1972)")) is None
    assert linker.by_title(item("a", "Heat (1996)")).node == graph.number["m.1"]


def test_two_items_of_one_title_are_left_out(graph):
    found = link_items(graph, [item("a", "Heat"), item("b", "Heat"), item("c", "Psycho")])
    assert not found.found
    assert found.ambiguous == 3


def test_a_genre_of_the_same_name_is_no_item():
    rows = [f"m.{n}|genre|g.1" for n in range(30)]
    names = [f"m.{n}|Film number {n}" for n in range(30)] + ["g.1|Drama"]
    graph = graph_of(*rows, names=tuple(names))
    items = [item(f"i{n}", f"Film number {n}") for n in range(25)] + [item("d", "Drama")]
    found = link_items(graph, items)
    assert len(found.found) == 25
    assert "d" not in found.found


def test_a_number_that_is_an_id_is_no_title():
    graph = graph_of("1984|genre|g", "10|genre|g")
    assert link_items(graph, [item("a", "1984")]).found == {}
    assert link_items(graph, [item("10", "Ten")]).by_way["id"] == 1
    assert link_items(graph, [item("10", "Ten")], {"a": "1984"}).by_way["id"] == 0


def embed(names):
    """Letters, counted: near for near spellings."""
    found = np.zeros((len(names), 26), dtype=np.float32)
    for row, name in enumerate(names):
        for char in normalised(name):
            if char.isascii() and char.isalpha():
                found[row, ord(char) - 97] += 1
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_similar_names_link_above_the_threshold_and_only_mutually(graph):
    items = [item("a", "Casinno"), item("b", "Casinnno"), item("c", "Quite another")]
    found = link_items(graph, items, embed=embed, threshold=0.9)
    assert {key: (graph.entities[one.node], one.way) for key, one in found.found.items()} == {
        "a": ("m.2", Way.SIMILAR)
    }
    assert 0.9 <= found.found["a"].score < 1
    assert found.unlinked == 2
    assert link_items(graph, items, embed=embed, threshold=0.999).found == {}


@pytest.mark.parametrize("title", ["Casinno 2", "Casinno II", "Casinno (1980)"])
def test_another_number_or_year_never_links_by_similarity(graph, title):
    assert link_items(graph, [item("a", title)], embed=embed, threshold=0.5).found == {}


def test_without_names_nothing_is_encoded():
    def refuse(_names):
        raise AssertionError("nothing to encode")

    found = link_items(graph_of("1|genre|2"), [item("a", "Heat")], embed=refuse)
    assert found.found == {}
    assert "no free entity has a name" in found.notes[0]


def test_an_attribute_may_hold_the_one_id_in_a_list():
    graph = graph_of("m3|by|p", "m4|by|p")
    linker = Linker(graph)
    assert linker.by_id(item("z", entity=["m3"])) == Link(graph.number["m3"], Way.ATTRIBUTE)
    assert linker.by_id(item("z", entity=["m3", "m4"])) is None
