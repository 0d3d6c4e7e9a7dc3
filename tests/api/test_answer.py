"""How an answer is made up: rules, diversity, exploration, expiry, what was seen."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.uncertainty import Uncertainty
from domain.items import Item
from domain.vectors import RANK
from ranking import Hybrid, HybridStore, Moments, named, projection
from ranking.graph import GraphStore, graph_artifact, link_items, read_graph
from tests.fixtures.hybrids import random_hybrid
from tests.fixtures.service import problem_of

GENRES = ["drama", "comedy", "horror", "war"]
COUNT = 60
IDS = [f"i{number:02}" for number in range(COUNT)]
SEEN = {"i03", "i04", "i20"}
EXPIRED = {"i05", "i11", "i40"}


def stamp(**ago):
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


@pytest.fixture(scope="module")
def filled(shared):
    items = []
    for number, key in enumerate(IDS):
        item = {
            "id": key,
            "version": 1,
            "title": f"Story {number} of {GENRES[number % 4]}",
            "description": " ".join(f"word{(number * step) % 17}" for step in range(1, 9)),
            "attributes": {
                "genre": GENRES[number % 4],
                "year": 1990 + number % 7,
                "cast": [f"actor{number % 5}", f"actor{number % 3}"],
            },
            "expires_at": stamp(seconds=1) if key in EXPIRED else stamp(days=-1),
        }
        items.append(item)
    shared.publish(*items)
    shared.client.put("/v1/users/ada", json={"profile": "stories of drama and war"})
    shared.client.post(
        "/v1/interactions", json=[{"user": "ada", "item": key} for key in sorted(SEEN)]
    )
    return shared


attributes_named = st.sampled_from(["genre", "year", "cast"])
where = st.one_of(
    st.fixed_dictionaries({"genre": st.sampled_from(GENRES)}),
    st.fixed_dictionaries({"year": st.builds(lambda at: {"gte": at}, st.integers(1990, 1997))}),
    st.just({"genre": ["drama", "war"], "cast": "actor1"}),
)
lifts = st.lists(st.fixed_dictionaries({"where": where, "by": st.floats(0.01, 5)}), max_size=2)
shares = st.one_of(st.none(), st.floats(0, 1))


@st.composite
def asks(draw):
    limit = draw(st.integers(1, 25))
    places = draw(st.lists(st.integers(1, limit), max_size=3, unique=True))
    items = draw(st.lists(st.sampled_from(IDS), min_size=8, max_size=8, unique=True))
    rules = {
        "exclude": items[:3],
        "pin": [
            {"item": item, "position": place}
            for item, place in zip(items[3:], places, strict=False)
        ],
        "boost": draw(lifts),
        "bury": draw(lifts),
        "at_most": [
            {"attribute": name, "count": draw(st.integers(1, 4))}
            for name in draw(st.lists(attributes_named, max_size=2, unique=True))
        ],
        "freshness": draw(st.none() | st.just({"half_life_days": 3.0, "strength": 0.2})),
    }
    who = draw(
        st.sampled_from(
            [{}, {"user": "ada"}, {"profile": "a story of war"}, {"liked": ["i01", "i02"]}]
        )
    )
    ask = {
        **who,
        "limit": limit,
        "rules": rules if draw(st.booleans()) else None,
        "diversity": draw(shares),
        "explore": draw(shares),
        "filters": draw(st.just({}) | where),
        "seed": draw(st.integers(0, 1000)),
        "explain": draw(st.booleans()),
        "exact": draw(st.sampled_from([None, True, False])),
    }
    return {name: value for name, value in ask.items() if value is not None}


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(asks())
def test_whatever_is_asked_for_the_answer_keeps_every_promise(filled, ask):
    found = filled.recommend(**ask)
    results = found["results"]
    ids = [one["id"] for one in results]
    rules = ask.get("rules", {})
    assert len(ids) == len(set(ids)) <= ask["limit"]
    assert [one["rank"] for one in results] == list(range(1, len(ids) + 1))
    for one in results:
        assert sum(one["parts"].values()) == one["score"]
        assert sum(reversed(one["parts"].values())) == one["score"]

    for one in results:
        assert ("explanation" in one) == ask["explain"]
        if ask["explain"]:
            rows = one["explanation"]["sources"]
            assert all(sum(row["parts"].values()) == row["score"] for row in rows)
            assert sum(row["score"] for row in rows) == one["score"]
            for name, value in one["parts"].items():
                assert sum(row["parts"].get(name, 0.0) for row in rows) == value

    gone = set(EXPIRED) | set(rules.get("exclude", ())) | set(ask.get("liked", ()))
    gone |= SEEN if "user" in ask else set()
    assert not gone.intersection(ids)

    for name, condition in ask.get("filters", {}).items():
        for one in results:
            value = one["attributes"][name]
            if isinstance(condition, dict):
                assert value >= condition["gte"]
            else:
                wanted = condition if isinstance(condition, list) else [condition]
                assert set(value if isinstance(value, list) else [value]) & set(wanted)

    pins = {pin["item"]: pin["position"] for pin in rules.get("pin", ())}
    for one in results:
        assert (one.get("moved_by") == "pin") == (one["id"] in pins)
        if one["id"] in pins:
            assert one["rank"] == pins[one["id"]] or one["rank"] <= len(ids)
            if len(ids) == ask["limit"]:
                assert one["rank"] == pins[one["id"]]

    stayed = [one["score"] for one in results if one.get("moved_by") is None]
    assert stayed == sorted(stayed, reverse=True)
    if not ask.get("diversity"):
        assert {one.get("moved_by") for one in results} <= {None, "pin"}

    for limit in rules.get("at_most", ()):
        values = [
            value
            for one in results
            if one["id"] not in pins
            for value in set(
                one["attributes"][limit["attribute"]]
                if isinstance(one["attributes"][limit["attribute"]], list)
                else [one["attributes"][limit["attribute"]]]
            )
        ]
        assert all(values.count(value) <= limit["count"] for value in values)

    lifted = rules.get("boost") or rules.get("bury") or rules.get("freshness")
    for one in results:
        assert ("rules" in one["parts"]) == bool(lifted)
    again = filled.recommend(**ask)["results"]
    assert [one["id"] for one in again] == ids


def test_a_boost_brings_in_what_would_not_have_been_a_candidate(filled):
    plain = filled.recommend(profile="a story", limit=1)["results"]
    worst = filled.recommend(profile="a story", limit=COUNT)["results"][-1]
    boost = [{"where": {"genre": worst["attributes"]["genre"]}, "by": 100.0}]
    found = filled.recommend(profile="a story", limit=COUNT, rules={"boost": boost})["results"]
    lifted = [one for one in found if one["parts"]["rules"] == 100.0]
    assert {one["id"] for one in lifted} == {one["id"] for one in found[: len(lifted)]}
    assert worst["id"] in {one["id"] for one in lifted}
    assert plain[0]["parts"].get("rules") is None


def test_a_pinned_item_that_may_not_be_shown_is_left_out_with_a_note(filled):
    pins = [
        {"item": item, "position": place}
        for place, item in enumerate(["never", "i05", "i03", "i06", "i08"], 1)
    ]
    found = filled.recommend(user="ada", limit=5, filters={"genre": "drama"}, rules={"pin": pins})
    notes = " ".join(found["notes"])
    assert "rules.pin.0: item 'never' is not indexed" in notes
    assert "rules.pin.1: item 'i05'" in notes
    assert "rules.pin.2: item 'i03' was seen" in notes
    assert "rules.pin.3: item 'i06' does not meet the filters" in notes
    assert [one["id"] for one in found["results"] if one.get("moved_by") == "pin"] == ["i08"]
    assert found["results"][4]["id"] == "i08"


def test_an_explanation_names_the_items_of_the_history_and_the_words(filled):
    found = filled.recommend(user="ada", liked=["i01"], explain=True, limit=3)["results"]
    plain = filled.recommend(user="ada", liked=["i01"], limit=3)["results"]
    for one, usual in zip(found, plain, strict=True):
        assert one["id"] == usual["id"]
        # Between the two requests the history has aged a little.
        assert one["score"] == pytest.approx(usual["score"], abs=1e-6)
        assert "explanation" not in usual
        rows = one["explanation"]["sources"]
        assert {row["item"] for row in rows if row["source"] == "history"} == {*SEEN, "i01"}
        assert {row["source"] for row in rows} >= {"text", "image_text", "history", "bias"}
        strength = [abs(row["score"]) for row in rows]
        assert strength == sorted(strength, reverse=True)


def test_exploration_tries_items_nobody_touched_and_says_what_was_drawn(filled):
    plain = {one["id"]: one for one in filled.recommend(profile="a story", limit=50)["results"]}
    tried = set()
    for seed in range(12):
        found = filled.recommend(profile="a story", limit=10, explore=0.3, seed=seed)["results"]
        drawn = [one for one in found if one["parts"]["explore"] != 0.0]
        assert len(drawn) <= 3
        for one in found:
            rest = sum(value for name, value in one["parts"].items() if name != "explore")
            assert rest == pytest.approx(plain[one["id"]]["score"], abs=1e-9)
        tried |= {one["id"] for one in drawn}
    assert len(tried) > 8
    assert tried - {one for one, told in plain.items() if told["rank"] <= 10}


@pytest.mark.parametrize("kind", ["boost", "bury"])
def test_a_rule_that_compares_with_another_type_is_told(filled, kind):
    rules = {kind: [{"where": {"genre": "war"}, "by": 1}, {"where": {"year": "1990"}, "by": 1}]}
    (note,) = filled.recommend(profile="a story", rules=rules)["notes"]
    assert note.startswith(f"rules.{kind}.1.where.year: asks for a text, but ")
    assert note.endswith("ask for a number")
    rules = {kind: [{"where": {"year": 1990}, "by": 1}, {"where": {"year": 1800}, "by": 1}]}
    assert filled.recommend(profile="a story", rules=rules)["notes"] == []


def test_an_answer_that_is_empty_for_all_was_left_out_says_so(filled):
    everything = filled.recommend(profile="a story", rules={"exclude": IDS})
    assert everything["results"] == []
    assert everything["notes"] == ["nothing is left after rules.exclude"]
    ask = {"liked": IDS[:30], "rules": {"exclude": IDS[30:]}, "filters": {"genre": GENRES}}
    assert filled.recommend(**ask)["notes"] == [
        "nothing is left after filters and rules.exclude and what was seen"
    ]


def test_of_what_explores_the_cold_share_is_of_items_without_interactions(make_service):
    service = make_service(ranking={"cold_share": 1.0})
    ids = [f"c{number:02}" for number in range(30)]
    service.publish(*({"id": key, "title": f"tale {key}"} for key in ids))
    untried = set(ids[::6])
    done = [{"user": f"u{at % 3}", "item": key} for at, key in enumerate(ids) if key not in untried]
    assert service.client.post("/v1/interactions", json=done).json()["accepted"] == 25
    for seed in range(5):
        ask = {"profile": "a tale", "explore": 1.0, "limit": 5, "seed": seed}
        assert {one["id"] for one in service.recommend(**ask)["results"]} == untried


def test_somebody_of_whom_nothing_is_known_gets_the_newest_with_some_tried_out(filled):
    plain = filled.recommend(limit=20, explore=0.0)
    assert {one["reason"] for one in plain["results"]} == {"new"}
    assert {one["score"] for one in plain["results"]} == {0.0}
    found = filled.recommend(limit=20, seed=1)
    assert found["notes"]
    assert {one["reason"] for one in found["results"]} == {"new"}
    drawn = [one for one in found["results"] if one["parts"].get("explore")]
    assert len(drawn) == 2
    assert all(sum(one["parts"].values()) == one["score"] for one in found["results"])


@pytest.mark.parametrize("newcomers", [False, True])
def test_a_trained_hybrid_tries_out_as_much_on_somebody_of_whom_nothing_is_known(
    make_service, newcomers
):
    service = make_service()
    ids = [f"n{number:02}" for number in range(30)]
    service.publish(*({"id": key, "title": f"tale {key}"} for key in ids))
    space = service.parts.spaces.current()
    stored = service.parts.index.fetch(space.collection, ids, with_vectors=[RANK])
    content = space.rank.content_of(np.stack([stored[key].vectors[RANK] for key in ids]))
    store = HybridStore(service.settings.data_dir / "artifacts" / "hybrid")
    made = random_hybrid(space.fusion, space.rank, ids, content, method="ease", newcomers=newcomers)
    store.publish(named(made), space.fusion)
    for ask, explored in (({}, 2), ({"liked": ["n03"]}, 0), ({"profile": "a tale"}, 0)):
        found = service.recommend(**ask, limit=20, seed=1)["results"]
        assert sum(bool(one["parts"].get("explore")) for one in found) == explored


def test_an_item_that_expires_while_it_serves_is_gone_from_every_answer(service):
    until = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
    service.publish(
        {"id": "brief", "title": "Brief tale", "expires_at": until},
        *({"id": f"long{number}", "title": f"Long tale {number}"} for number in range(3)),
    )

    def everywhere():
        bodies = {
            "recommend": {"liked": ["long0"]},
            "search": {"text": "Brief tale"},
            "similar": {"item": "long1"},
        }
        asked = [
            service.client.post(f"/v1/{path}", json={**body, "limit": 3}).json()
            for path, body in bodies.items()
        ]
        asked += [service.recommend(explore=share, limit=3) for share in (0.0, 1.0)]
        asked += [service.recommend(profile="a tale", diversity=0.5, limit=3)]
        return [{one["id"] for one in answer["results"]} for answer in asked]

    if time.time() < datetime.fromisoformat(until).timestamp() - 1.0:
        assert "brief" in everywhere()[1]
    time.sleep(max(0.0, datetime.fromisoformat(until).timestamp() - time.time()))
    for ids in everywhere():
        assert "brief" not in ids
        assert ids
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    service.publish({"id": "brief", "version": 9, "title": "Brief tale", "expires_at": later})
    assert "brief" in everywhere()[1]


def test_more_than_can_be_listed_was_seen_and_still_none_of_it_comes_back(
    make_service, monkeypatch
):
    monkeypatch.setattr("api.recommend.SEEN_AT_ONCE", 5)
    service = make_service()
    ids = [f"s{number:02}" for number in range(40)]
    service.publish(*({"id": key, "title": f"thing {key}"} for key in ids))
    old = stamp(days=1)
    service.client.post(
        "/v1/interactions",
        json=[{"user": "ann", "item": key, "time": old} for key in ids[:33]],
    )
    for ask in (
        {"user": "ann"},
        {"user": "ann", "diversity": 0.5},
        {"user": "ann", "explore": 1.0},
        {"user": "ann", "liked": ["s33"]},
        {"user": "ann", "rules": {"pin": [{"item": "s01", "position": 1}]}},
        {"user": "ann", "filters": {}},
    ):
        for limit in (3, 30):
            found = {one["id"] for one in service.recommend(**ask, limit=limit)["results"]}
            unseen = set(ids[33:]) - set(ask.get("liked", ()))
            assert found <= unseen
            assert len(found) == min(limit, len(unseen))


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        ({"diversity": 1.5}, "diversity"),
        ({"diversity": "much"}, "diversity"),
        ({"explore": -0.1}, "explore"),
        ({"explore": float("nan")}, "explore"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"explain": "yes"}, "explain"),
        ({"rules": []}, "rules"),
        ({"rules": {"pins": []}}, "rules.pins"),
        ({"rules": {"exclude": "i01"}}, "rules.exclude"),
        ({"rules": {"exclude": [3]}}, "rules.exclude.0"),
        ({"rules": {"pin": [{"item": "i01"}]}}, "rules.pin.0.position"),
        ({"rules": {"pin": [{"item": "i01", "position": 0}]}}, "rules.pin.0.position"),
        ({"rules": {"pin": [{"item": "i01", "position": 11}]}}, "rules.pin.0.position"),
        (
            {"rules": {"pin": [{"item": "i01", "position": 1}], "exclude": ["i01"]}},
            "rules.pin",
        ),
        ({"rules": {"boost": [{"where": {}, "by": 1}]}}, "rules.boost.0.where"),
        ({"rules": {"boost": [{"where": {"genre": "war"}, "by": 0}]}}, "rules.boost.0.by"),
        ({"rules": {"bury": [{"where": {"genre": "war"}, "by": -1}]}}, "rules.bury.0.by"),
        (
            {"rules": {"bury": [{"where": {"colour": "red"}, "by": 1}]}},
            "rules.bury.0.where.colour",
        ),
        (
            {"rules": {"at_most": [{"attribute": "colour", "count": 1}]}},
            "rules.at_most.0.attribute",
        ),
        ({"rules": {"at_most": [{"attribute": "genre", "count": 0}]}}, "rules.at_most.0.count"),
        (
            {"rules": {"freshness": {"half_life_days": 0, "strength": 1}}},
            "rules.freshness.half_life_days",
        ),
    ],
)
def test_a_wrong_wish_is_refused_by_field_and_remedy(filled, ask, field):
    body = json.dumps({"profile": "a", **ask})
    answer = filled.client.post(
        "/v1/recommend", content=body, headers={"Content-Type": "application/json"}
    )
    assert problem_of(answer, 422)["errors"][0]["field"] == field


def test_defaults_come_from_the_settings_and_a_request_overrides_them(make_service):
    service = make_service(ranking={"diversity": 0.9, "explore": 0.5})
    service.publish(*({"id": f"d{n}", "title": f"title {n % 3} {n}"} for n in range(12)))
    found = service.recommend(profile="title", limit=6)["results"]
    assert all("explore" in one["parts"] for one in found)
    plain = service.recommend(profile="title", limit=6, explore=0, diversity=0)["results"]
    assert all("explore" not in one["parts"] for one in plain)
    scores = [one["score"] for one in plain]
    assert scores == sorted(scores, reverse=True)


def test_an_item_made_for_the_learned_bias_is_bounded_and_gives_way(make_service):
    service = make_service(ranking={"explore_unknown": 0.0})
    service.publish(*({"id": f"b{n:02}", "title": f"film {n} about {n * 7}"} for n in range(40)))
    space = service.parts.spaces.current()
    ids = [f"b{n:02}" for n in range(40)]
    stored = service.parts.index.fetch(space.collection, ids, with_vectors=[RANK])
    content = space.rank.content_of(np.stack([stored[key].vectors[RANK] for key in ids]))
    moments = Moments.of(content)
    towards = content[7] - moments.mean
    a = projection(
        space.fusion,
        {
            "history": np.eye(space.rank.content, dtype=np.float32),
            "one": 50 * towards[None] / np.linalg.norm(towards),
        },
    )
    store = HybridStore(service.settings.data_dir / "artifacts" / "hybrid")
    for limit in (0.0, 1.0):
        made = named(Hybrid("", a, space.rank, moments=moments))
        store.publish(made, space.fusion)
        service.parts.recommender._answers._unsure = Uncertainty(limit)
        found = service.recommend(liked=["b03"], limit=40)["results"]
        biases = {one["id"]: one["parts"]["bias"] for one in found}
        scores = [one["score"] for one in found]
        assert scores == sorted(scores, reverse=True)
        assert all(sum(one["parts"].values()) == one["score"] for one in found)
        if limit == 0.0:
            loud = biases
    cut = [key for key in loud if biases[key] < loud[key] - 1e-6]
    assert max(loud, key=loud.get) in cut
    assert len(cut) < 20
    assert [biases[key] for key in cut] == pytest.approx([max(biases.values())] * len(cut))


def test_exploration_by_a_trained_hybrid_keeps_every_promise(make_service):
    service = make_service()
    service.publish(*({"id": f"t{n:02}", "title": f"tale {n} of {n % 5}"} for n in range(30)))
    space = service.parts.spaces.current()
    stored = service.parts.index.fetch(
        space.collection, [f"t{n:02}" for n in range(30)], with_vectors=[RANK]
    )
    content = space.rank.content_of(np.stack([one.vectors[RANK] for one in stored.values()]))
    a = projection(space.fusion, {"history": np.eye(space.rank.content, dtype=np.float32)})
    store = HybridStore(service.settings.data_dir / "artifacts" / "hybrid")
    store.publish(named(Hybrid("", a, space.rank, moments=Moments.of(content))), space.fusion)
    answer = service.recommend(liked=["t03"], limit=10, explore=0.5, seed=4)
    assert answer["model"]["projection"].startswith("h-")
    found = answer["results"]
    assert sum(one["parts"]["explore"] != 0 for one in found) == 5
    assert all(sum(one["parts"].values()) == one["score"] for one in found)


def test_an_explanation_tells_the_paths_of_an_imported_graph(make_service):
    service = make_service()
    service.publish(
        *({"id": f"g{n}", "title": f"Film {n}", "attributes": {"year": 1990 + n}} for n in range(6))
    )
    plain = service.recommend(liked=["g0"], explain=True)["results"]
    assert all(one["explanation"]["paths"] == [] for one in plain)
    edges = [("g0", "directed_by", "scott"), ("g3", "directed_by", "scott")]
    edges += [(f"g{n}", "set_in", f"place{n % 3}") for n in range(1, 6)]
    knowledge, _, _ = read_graph("\t".join(edge).encode() for edge in edges)
    items = [Item(id=f"g{n}", title=f"Film {n}") for n in range(6)]
    links = link_items(knowledge, items, {}).found
    store = GraphStore(service.settings.folder("artifacts") / "graph")
    store.publish(graph_artifact(knowledge, links, {}, 4))
    found = service.recommend(liked=["g0"], explain=True)["results"]
    paths = {one["id"]: one["explanation"]["paths"] for one in found}
    assert paths.pop("g3") == ["because you liked Film 0: directed by scott"]
    assert all(not path for path in paths.values())


def test_items_that_arrive_after_the_graph_tell_and_are_told_by_paths(make_service):
    service = make_service()
    films = {f"g{n}": f"Film {n}" for n in range(6)}
    service.publish(*({"id": one, "title": title} for one, title in films.items()))
    edges = [(f"m{n}", "directed_by", f"p{n % 3}") for n in range(9)]
    knowledge, _, _ = read_graph(
        ("\t".join(edge).encode() for edge in edges),
        [f"m{n}\tFilm {n}".encode() for n in range(8)],
    )
    items = [Item(id=one, title=title) for one, title in films.items()]
    links = link_items(knowledge, items, {}).found
    store = GraphStore(service.settings.folder("artifacts") / "graph")
    store.publish(graph_artifact(knowledge, links, {}, 4))
    service.publish(
        {"id": "by-title", "title": "Film 6"},
        {"id": "by-attribute", "title": "Another", "attributes": {"entity": "m8"}},
    )
    paths = {
        one["id"]: one["explanation"]["paths"]
        for one in service.recommend(liked=["g0", "g2"], explain=True, limit=20)["results"]
    }
    assert paths["by-title"] == ["because you liked Film 0: directed by p0"]
    assert paths["by-attribute"] == ["because you liked Film 2: directed by p2"]
    late = service.recommend(liked=["by-attribute"], explain=True, limit=20)["results"]
    told = {one["id"]: one["explanation"]["paths"] for one in late}
    assert told["g5"] == ["because you liked Another: directed by p2"]
    assert told["g0"] == []
