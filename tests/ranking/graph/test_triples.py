"""Reading triples, names and links: what is kept, what is dropped and counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import RejectedError
from ranking.graph import read_graph, read_links
from tests.ranking.graph.conftest import lines


def named(graph) -> set[tuple[str, str, str]]:
    return {(graph.entities[h], graph.relations[r], graph.entities[t]) for h, r, t in graph.edges}


def test_triples_come_from_tabs_or_commas_with_or_without_a_header():
    wanted = {("a", "likes", "b"), ("c", "likes", "b")}
    for rows in (
        [b"a\tlikes\tb\n", b"c\tlikes\tb"],
        [b"head,relation,tail\r\n", b"a,likes,b\r\n", b"c,likes,b\r\n"],
        [
            b"\xef\xbb\xbfhead_id:token\trelation_id:token\ttail_id:token",
            *lines("a|likes|b", "c|likes|b"),
        ],
    ):
        graph, reading, _ = read_graph(rows)
        assert named(graph) == wanted
        assert (reading.lines, reading.kept, reading.malformed) == (2, 2, 0)


def test_quoted_commas_are_part_of_a_name():
    graph, _, _ = read_graph([b'a,by,"Scott, Ridley"'])
    assert named(graph) == {("a", "by", "Scott, Ridley")}


def test_a_malformed_line_is_told_by_number_and_harms_no_other():
    bad = [b"a\tb", b"\t\tx", b"a\tb\tc\td", b"\xff\xfe\tr\tb", None, b"a\tr\t" + b"x" * 5000]
    more = [f"d{n}|r|b" for n in range(4)]
    graph, reading, _ = read_graph([b"a\tr\tb", *bad, b"", b"c\tr\tb", *lines(*more)])
    assert {("a", "r", "b"), ("c", "r", "b")} < named(graph)
    assert reading.kept == 6
    assert reading.malformed == 6
    assert [line.number for line in reading.bad] == [2, 3, 4, 5, 6]
    assert "2 columns" in reading.bad[0].reason
    assert reading.lines == 12


def test_an_unclosed_quote_spoils_its_own_line_only():
    graph, reading, _ = read_graph([b'a,r,"b', b"c,r,d"])
    assert named(graph) == {("c", "r", "d")}
    assert reading.malformed == 1


def test_loops_and_duplicates_are_dropped_and_counted():
    graph, reading, _ = read_graph(lines("a|r|b", "a|r|b", "a|r|a", "a|s|b"))
    assert named(graph) == {("a", "r", "b"), ("a", "s", "b")}
    assert (reading.loops, reading.duplicates, reading.kept) == (1, 1, 2)


def test_what_an_inverse_relation_repeats_is_one_fact():
    graph, reading, _ = read_graph(
        lines("alien|directed_by|scott", "heat|directed_by|mann", "scott|director_of|alien")
        + lines("a|married_to|b", "b|married_to|a")
    )
    assert named(graph) == {
        ("alien", "directed_by", "scott"),
        ("heat", "directed_by", "mann"),
        ("a", "married_to", "b"),
    }
    assert reading.inverses == 2


def test_many_relations_cost_memory_by_the_triple_and_not_by_their_pairs():
    count = 200_000  # squared, eight bytes each: 298 GiB
    rows = [f"a{n}|r{n}|b{n}" for n in range(count)] + [f"b{count - 1}|back|a{count - 1}"]
    graph, reading, _ = read_graph(lines(*rows))
    assert len(graph.relations) == count + 1
    assert reading.inverses == 1
    assert len(graph.edges) == count


def test_two_relations_that_meet_now_and_then_are_not_inverses():
    rows = [f"a{n}|cites|b{n}" for n in range(10)] + [f"b{n}|likes|a{n}" for n in range(3)]
    rows += [f"b{n}|likes|c" for n in range(10)]
    graph, reading, _ = read_graph(lines(*rows))
    assert reading.inverses == 0
    assert len(graph.edges) == 23


def test_names_may_be_missing_and_later_ones_are_aliases():
    names = lines("e1|Ridley Scott", "e1|Sir Ridley Scott", "e1|Ridley Scott", "nobody|X", "e2|")
    graph, _, read = read_graph(lines("m|by|e1", "m|by|e2"), names)
    assert graph.name(graph.number["e1"]) == "Ridley Scott"
    assert graph.name(graph.number["e2"]) == "e2"
    assert graph.aliases == {graph.number["e1"]: ["Sir Ridley Scott"]}
    assert (read.malformed, read.duplicates) == (1, 1)


@pytest.mark.parametrize("rows", [[], [b"nothing of use"], [b"a\tr\ta"], [b"head\trelation\ttail"]])
def test_a_file_without_a_usable_triple_is_refused(rows):
    with pytest.raises(RejectedError, match="no usable triple"):
        read_graph(rows)


def test_comments_are_no_rows_and_fix_no_separator():
    rows = [b"# made on 2024-01-05, by hand, in full", b"#", *lines("a|by|x", "#|by|x", "b|by|x")]
    graph, reading, _ = read_graph(rows, [b"# id, name", *lines("a|Alien, the first")])
    assert named(graph) == {("a", "by", "x"), ("b", "by", "x")}
    assert graph.name(graph.number["a"]) == "Alien, the first"
    assert (reading.lines, reading.comments, reading.malformed) == (2, 3, 0)


def test_a_file_that_is_malformed_for_the_most_part_is_refused():
    half = [b"a,by,x", *lines("b|by|x"), b"c,by,x", *lines("d|by|x")]
    assert read_graph(half)[1].malformed == 2
    with pytest.raises(RejectedError, match=r"3 of 5 lines are malformed; line 2: 1 columns"):
        read_graph([*half, *lines("e|by|x")])
    good = lines("a|by|x", "b|by|x")
    with pytest.raises(RejectedError, match="2 of 3 lines are malformed"):
        read_graph(good, [b"a,Alien", *lines("b|Blade Runner", "x|Scott")])
    with pytest.raises(RejectedError, match="2 of 3 lines are malformed"):
        read_links([b"1,a", *lines("2|b", "3|c")])


def test_the_first_link_of_an_item_counts():
    links, reading = read_links(lines("item_id:token|entity_id:token", "1|m.1", "2|m.2", "1|m.3"))
    assert links == {"1": "m.1", "2": "m.2"}
    assert (reading.kept, reading.duplicates) == (2, 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=40))
def test_every_line_is_accounted_for_and_every_feature_is_an_edge(triples):
    rows = [f"e{h}|r{r % 3}|e{t}" for h, r, t in triples]
    if all(h == t for h, _, t in triples):
        return
    graph, reading, _ = read_graph(lines(*rows))
    assert reading.lines == len(rows)
    assert reading.kept + reading.duplicates + reading.loops + reading.inverses == len(rows)
    said = set()
    for node in range(len(graph.entities)):
        for code in graph.features(node).tolist():
            relation, outward, other = graph.feature(code)
            ends = (node, other) if outward else (other, node)
            said.add((ends[0], graph.relations.index(relation), ends[1]))
    assert said == set(map(tuple, graph.edges.tolist()))
    assert np.array_equal(
        graph.degrees, np.bincount(graph.edges[:, [0, 2]].ravel(), minlength=len(graph.entities))
    )
