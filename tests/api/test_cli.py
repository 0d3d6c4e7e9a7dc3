"""The command line against a running system: tables, JSON, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.settings import variable_names
from tests.fixtures.media import jpeg
from tests.fixtures.system import System


@pytest.fixture(scope="module")
def published(system: System, tmp_path_factory: pytest.TempPathFactory) -> System:
    """A few items published from a file with a picture beside it."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "owl.jpg").write_bytes(jpeg())
    events = [
        {"id": "owl", "version": 1, "title": "A barn owl", "media": {"images": ["owl.jpg"]}},
        {
            "type": "item.created",
            "data": {"id": "tea", "version": 1, "title": "Green tea", "attributes": {"price": 3}},
        },
        {"id": "mug", "version": 1, "title": "A mug", "attributes": {"price": 9}},
    ]
    file = folder / "items.jsonl"
    file.write_text("\n".join(json.dumps(event) for event in events))
    summary = system.json("publish", str(file))
    assert summary["accepted"] == 3
    assert summary["indexed"] == 3
    assert summary["problems"] == []
    assert summary["searchable_p95_s"] >= summary["searchable_median_s"] > 0
    again = system.json("publish", str(file))
    assert again["duplicate"] == 3
    return system


def test_bad_lines_are_named_and_harm_no_neighbour(published: System, tmp_path: Path) -> None:
    file = tmp_path / "mixed.jsonl"
    file.write_text(
        '{"id": "good", "version": 1, "title": "good"}\n'
        "{broken\n"
        '{"id": "empty"}\n'
        '{"id": "lost", "media": {"images": ["no-such.jpg"]}}\n'
    )
    summary = published.json("publish", str(file), code=1)
    assert summary["accepted"] == 1
    assert summary["rejected"] == 3
    assert summary["indexed"] == 1
    problems = "\n".join(summary["problems"])
    for part in ("line 2: not JSON", "line 3: data", "line 4: data.media.images: no-such.jpg"):
        assert part in problems


def test_a_person_sees_a_progress_and_a_summary(published: System, tmp_path: Path) -> None:
    file = tmp_path / "more.jsonl"
    file.write_text('{"id": "kettle", "version": 1, "title": "A kettle"}\n')
    said = published.run("publish", str(file))
    for part in ("published", "searchable", "1/1", "accepted", "indexed", "items/s", "median"):
        assert part in said


def test_models_lists_the_packs_and_how_each_encoder_runs(published: System) -> None:
    listed = published.json("models", "--list")
    assert {pack["name"] for pack in listed["packs"]} == {"starter", "standard", "tiny"}
    assert listed["checks"] == []
    checked = {one["part"]: one for one in published.json("models")["checks"]}
    assert {"text", "image", "audio"} <= set(checked)
    for one in checked.values():
        assert one["state"] == "ready"
        assert (one["report"]["device"], one["report"]["precision"]) == ("cpu", "float32")
    said = published.run("models", "--list")
    assert "tiny (chosen)" in said


def test_recommend_answers_a_sentence_with_scores_that_add_up(published: System) -> None:
    answer = published.json("recommend", "someone who likes birds", "--limit", "2")
    assert len(answer["results"]) == 2
    for result in answer["results"]:
        assert sum(result["parts"].values()) == result["score"]
    assert "because of" in published.run("recommend", "someone who likes birds")


def test_filters_similar_and_search(published: System) -> None:
    cheap = published.json("recommend", "anyone", "--filter", '{"price": {"lt": 5}}')
    assert [result["id"] for result in cheap["results"]] == ["tea"]
    near = published.json("similar", "owl", "--in", "text", "--limit", "1")
    assert near["results"][0]["id"] != "owl"
    found = published.json("search", "Green tea", "--in", "text", "--limit", "1")
    assert found["results"][0]["id"] == "tea"


def test_search_by_a_picture_finds_it(published: System, tmp_path: Path) -> None:
    picture = tmp_path / "same.jpg"
    picture.write_bytes(jpeg())
    found = published.json("search", "--image", str(picture), "--in", "image", "--limit", "1")
    assert found["results"][0]["id"] == "owl"


def test_status_items_and_dead(published: System) -> None:
    status = published.json("status")
    assert status["counts"]["indexed"] >= 3
    assert status["pack"] == "tiny"
    listed = published.json("items", "--state", "indexed", "--limit", "500")
    assert {"owl", "tea", "mug"} <= {item["id"] for item in listed["items"]}
    assert published.json("items", "owl")[0]["models"].keys() == {"text", "image"}
    shown = published.run("items", "owl")
    for part in ("A barn owl", "indexed", "upload:", "model of image"):
        assert part in shown
    assert published.run("items", "--state", "deleted", "--after", "zzz") == "none\n"
    assert "mug" in published.run("items")
    assert "model pack tiny" in published.run("status")


def test_a_dead_item_is_listed_and_redriven(published: System, tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"
    item = {"id": "dead", "version": 1, "media": {"images": ["file:///etc/hostname"]}}
    file.write_text(json.dumps(item))
    summary = published.json("publish", str(file), code=1)
    assert summary["dead"] == 1
    listed = published.json("dead", code=1)
    assert [one["id"] for one in listed["items"]] == ["dead"]
    assert "FIRSTLIGHT_FETCH_LOCAL_DIRS" in json.dumps(listed)
    assert published.json("redrive", "dead")["redriven"] == ["dead"]
    assert "not dead" in published.run("redrive", "tea", code=1)
    with published.client() as client:
        client.delete_item("dead")


def test_verify_finds_no_difference_and_fit_needs_enough_items(published: System) -> None:
    assert "0 differences" in published.run("verify")
    assert "FIRSTLIGHT_FUSION_MIN_ITEMS" in published.run("fit-fusion", code=2)


def test_reindex_builds_a_new_collection_that_serves_the_same_items(published: System) -> None:
    before = published.json("status")
    done = published.json("reindex")
    after = published.json("status")
    assert done["collection"] == after["collection"] != before["collection"]
    assert after["collection_items"] == before["collection_items"]


def test_mistakes_are_one_line_with_a_remedy_and_an_exit_code(published: System) -> None:
    assert "no-such-item" in published.run("items", "no-such-item", code=2)
    assert "filters.colour" in published.run(
        "recommend", "x", "--filter", '{"colour": "red"}', code=2
    )
    assert "--in" in published.run("similar", "owl", "--in", "smell", code=2)
    assert "--filter" in published.run("recommend", "x", "--filter", "{", code=2)
    assert "limit" in published.run("recommend", "x", "--limit", "0", code=2)
    said = published.run("publish", "/no/such/file.jsonl", code=2)
    assert "FILE" in said
    assert "stopped" not in said, "nothing had begun"


def test_an_absent_api_is_named_with_the_remedy(system: System) -> None:
    away = System(system.folder, {**system.variables, "FIRSTLIGHT_API_URL": "http://127.0.0.1:9"})
    assert "firstlight up" in away.run("status", code=3)


def test_config_masks_secrets(system: System) -> None:
    secret = System(
        system.folder,
        {
            **system.variables,
            "FIRSTLIGHT_API_WRITE_KEYS": '["open sesame"]',
            "FIRSTLIGHT_CATALOG_URL": "postgresql+psycopg://me:open sesame@host/db?x=open sesame",
            "FIRSTLIGHT_BROKER_URL": "amqp://me:open sesame@host/",
            "FIRSTLIGHT_INDEX_URL": "http://host/?api_key=hush",
        },
    )
    said = secret.run("config")
    assert "open sesame" not in said
    assert "hush" not in said
    assert "ledger postgresql+psycopg://me:****@host/db?****" in said
    for name in variable_names():
        assert f"\n{name}=" in f"\n{said}", "a line of its own, as it would be set"
    assert 'FIRSTLIGHT_API_WRITE_KEYS=["****"]' in said
    rows = {row["name"]: row for row in secret.json("config")}
    assert rows["FIRSTLIGHT_ENCODER_PACK"]["value"] == "tiny"
    assert all(row["about"] for row in rows.values())


def test_onboard_says_what_to_ask_next_and_ranks_by_the_answers(published: System) -> None:
    first = published.json("onboard", "--count", "2", "--limit", "2")
    assert len(first["ask"]) == 2
    item = first["ask"][0]["id"]
    then = published.json("onboard", "someone who likes birds", "--liked", item)
    assert item not in [one["id"] for one in [*then["ask"], *then["results"]]]
    assert then["learned"] > 0
    assert "twice" in published.run("onboard", "--liked", "owl", "--unknown", "owl", code=2)


def test_onboard_asks_a_person_and_ranks_after_each_answer(published: System) -> None:
    said = published.run("onboard", "--count", "2", stdin="y\nmaybe\nq\n")
    assert "1/2" in said
    assert "2/2" in said
    assert said.count("of what was unsure is told") == 2


def test_a_recommendation_takes_rules_and_explains_itself(published: System) -> None:
    rules = json.dumps({"exclude": ["owl"], "pin": [{"item": "mug", "position": 1}]})
    asked = ("recommend", "tea for two", "--rules", rules, "--diversity", "0.3", "--explain")
    found = published.json(*asked, "--explore", "0.5", "--seed", "1")
    assert found["results"][0]["id"] == "mug"
    assert found["results"][0]["moved_by"] == "pin"
    assert "owl" not in [one["id"] for one in found["results"]]
    for one in found["results"]:
        rows = one["explanation"]["sources"]
        assert sum(row["score"] for row in rows) == one["score"]
    said = published.run(*asked)
    assert "1. A mug" in said
    assert "text" in said.split("1. A mug")[1]


@pytest.mark.parametrize("rules", ["{broken", "[]", '{"pins": []}'])
def test_rules_that_cannot_be_read_are_refused_by_option_or_field(
    published: System, rules: str
) -> None:
    said = published.run("recommend", "tea", "--rules", rules, code=2)
    assert "rules" in said
