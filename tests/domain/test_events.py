"""Events: round trips, and everything that is refused, by field and with a remedy."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.events import BadEvent, Event, parse_event, parse_events
from domain.fields import MAX_VERSION
from domain.items import Item
from domain.limits import UNLIMITED, Limits
from tests.fixtures.events import created, parsed

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
IDS = st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=256
)
VERSIONS = st.none() | st.integers(1, MAX_VERSION)
NAMES = st.text("aZ_9-", max_size=10).map(lambda text: "a" + text)
SCALARS = (
    TEXTS
    | st.booleans()
    | st.integers(-MAX_VERSION, MAX_VERSION)
    | st.floats(-MAX_VERSION, MAX_VERSION)
)
ATTRIBUTES = st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=4), max_size=4)
REFERENCES = st.sampled_from(
    ["https://h/a.jpg", "http://h/b", "file:///c", "/d", "upload:" + "0" * 64]
)
MEDIA = st.fixed_dictionaries(
    {"images": st.lists(REFERENCES, max_size=3), "audio": st.lists(REFERENCES, max_size=2)}
)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(
    datetime.isoformat
)

ITEMS = st.fixed_dictionaries(
    {
        "id": IDS,
        "version": VERSIONS,
        "title": TEXTS.map(lambda text: "t" + text),
        "description": TEXTS,
        "tags": st.lists(TEXTS, max_size=3),
        "attributes": ATTRIBUTES,
        "media": MEDIA,
        "expires_at": st.none() | TIMES,
    }
)
REFERENCED = st.fixed_dictionaries({"id": IDS, "version": VERSIONS})
USERS = st.fixed_dictionaries(
    {
        "id": IDS,
        "version": VERSIONS,
        "profile": TEXTS,
        "interests": st.lists(TEXTS, max_size=3),
        "demographics": ATTRIBUTES,
    }
)
INTERACTIONS = st.fixed_dictionaries(
    {
        "user": IDS,
        "item": IDS,
        "kind": TEXTS.map(lambda text: "k" + text),
        "weight": st.floats(1e-6, 1e6),
        "time": st.none() | TIMES,
    }
)
DATA = {
    "item.created": ITEMS,
    "item.updated": ITEMS,
    "item.deleted": REFERENCED,
    "user.updated": USERS,
    "user.deleted": REFERENCED,
    "interaction": INTERACTIONS,
}
ENVELOPE = {"id": IDS, "source": st.just("/shop"), "time": TIMES, "specversion": st.just("1.0")}


def canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("kind", DATA)
@settings(max_examples=30)
@given(data=st.data())
def test_every_kind_of_event_survives_json(kind: str, data: st.DataObject) -> None:
    raw = data.draw(st.fixed_dictionaries({**ENVELOPE, "type": st.just(kind), "data": DATA[kind]}))
    event = parsed(raw)
    again = parsed(json.loads(event.model_dump_json()))
    assert again == event
    assert again.model_dump_json() == event.model_dump_json()
    payload: Any = event.data
    dumped = payload.model_dump(mode="json")
    for name, value in raw["data"].items():
        if name not in ("time", "expires_at"):
            assert dumped[name] == value, name
            assert canonical(dumped[name]) == canonical(value), "types are kept: 1 is not 1.0"


def refusal(raw: Any, limits: Limits | None = None) -> str:
    """Every problem of an event that must be refused, as 'field: message' lines."""
    found = parse_event(raw, limits) if limits else parse_event(raw)
    assert isinstance(found, BadEvent), found
    return "\n".join(f"{one.field}: {one.message}" for one in found.problems)


def item(**data: Any) -> dict[str, Any]:
    return {"type": "item.created", "data": {"id": "x", "title": "t", **data}}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "event:"),
        ([], "event:"),
        ("text", "event:"),
        ({}, "type: missing; use one of item.created"),
        ({"type": "item.exploded", "data": {}}, "unknown event type; use one of item.created"),
        ({"type": "item.created"}, "data: Field required"),
        ({**item(), "sauce": 1}, "sauce: unknown field; remove it or correct its name"),
        (item(titel="t"), "data.titel: unknown field"),
        (item(media={"video": []}), "data.media.video: unknown field"),
        (item(id=""), "data.id: String should have at least 1 character"),
        (item(id="x" * 257), "data.id: String should have at most 256 characters"),
        (item(id=7), "data.id: Input should be a valid string"),
        (item(id="a\x00b"), "data.id: contains a NUL character (U+0000); remove it"),
        (item(title="a\x00"), "data.title: contains a NUL"),
        (item(title="a\ud800"), "data.title: contains a lone surrogate; send valid Unicode"),
        (item(attributes={"a": "\udfff"}), "data.attributes.a: contains a lone surrogate"),
        (item(attributes={"a": float("nan")}), "data.attributes.a: NaN and infinity"),
        (item(attributes={"interaction": float("nan")}), "data.attributes.interaction: NaN and"),
        (item(interaction=1), "data.interaction: unknown field"),
        ({"type": "interaction", "data": {"item.created": 1}}, "data.item.created: unknown field"),
        (item(attributes={"a": [1, float("inf")]}), "data.attributes.a: NaN and infinity"),
        (
            item(attributes={"a": {"b": 1}}),
            "data.attributes.a: not an attribute's value; send a text",
        ),
        (item(attributes={"a": None}), "data.attributes.a: not an attribute's value; send a text"),
        (item(attributes={"a": [[1]]}), "data.attributes.a: not an attribute's value; send a text"),
        (item(attributes={"a": 2**53}), "send larger ones as text"),
        (item(attributes={"a": 2.0**64}), "data.attributes.a: whole numbers stay within"),
        (item(attributes={"a": [1, -1e20]}), "data.attributes.a: whole numbers stay within"),
        (item(attributes={"a b": 1}), "data.attributes.a b"),
        (item(attributes={"1a": 1}), "data.attributes.1a"),
        (item(version=0), "data.version: a version lies between 1 and"),
        (item(version=2**53), "data.version: a version lies between 1 and"),
        (item(version=True), "data.version: a version is a whole number"),
        (item(version=1.5), "data.version: a version is a whole number"),
        (item(version="soon"), "data.version: a version is a whole number or an ISO 8601"),
        (item(version="2026-01-01T00:00:00"), "data.version: a timestamp needs a zone; append Z"),
        (item(version="1969-12-31T23:59:59Z"), "data.version: a version lies between 1"),
        (item(version="0001-01-01T00:00:00+23:59"), "data.version: a version lies between 1"),
        (item(version="9999-12-31T23:59:59-23:59"), "data.version: a version lies between 1"),
        ({**item(), "time": "2026-01-01T00:00:00"}, "time: a timestamp needs a zone; append Z"),
        ({**item(), "time": 1_700_000_000}, "time: a timestamp is ISO 8601 text with a zone"),
        (item(expires_at="1700000000"), "data.expires_at: a timestamp is ISO 8601 text"),
        (item(expires_at="1e9"), "send one such as 2026-01-31T09:30:00Z"),
        (item(expires_at="2026-01-01"), "data.expires_at: a timestamp needs a zone"),
        ({**item(), "specversion": "0.3"}, "specversion: Input should be '1.0'"),
        (item(title="", attributes={"year": 1}), "the item is empty; give at least one of title"),
        (item(title="  \n"), "the item is empty"),
        (
            item(media={"images": ["ftp://h/a.jpg"]}),
            "data.media.images.0: not a media reference; send",
        ),
        (item(media={"audio": ["clip.ogg"]}), "data.media.audio.0: not a media reference; send"),
        ({"type": "item.deleted", "data": {"id": "x", "title": "t"}}, "data.title: unknown field"),
        ({"type": "user.updated", "data": {"id": "u", "age": 7}}, "data.age: unknown field"),
        ({"type": "interaction", "data": {"user": "u"}}, "data.item: Field required"),
        ({"type": "interaction", "data": {"user": "u", "item": "i", "weight": 0}}, "data.weight"),
        ({"type": "interaction", "data": {"user": "u", "item": "i", "weight": "2"}}, "data.weight"),
        (
            {"type": "interaction", "data": {"user": "u", "item": "i", "weight": 9e-7}},
            "data.weight: Input should be greater than or equal to 0.000001; send a larger number",
        ),
        (
            {"type": "interaction", "data": {"user": "u", "item": "i", "weight": 1.1e6}},
            "data.weight: Input should be less than or equal to 1000000; send a smaller number",
        ),
        (
            {"type": "interaction", "data": {"user": "u", "item": "i", "weight": True}},
            "data.weight: Input should be a valid number",
        ),
        ({"type": "interaction", "data": {"user": "u", "item": "i", "time": 5}}, "data.time: a t"),
        (
            {"type": "interaction", "data": {"user": "u", "item": "i", "weight": float("nan")}},
            "data.weight",
        ),
    ],
)
def test_a_bad_event_is_refused_naming_the_field(raw: Any, words: str) -> None:
    assert words in refusal(raw)


def test_every_problem_of_an_event_is_told_at_once() -> None:
    text = refusal(item(id="", color="red", version=0, attributes={"a": None}))
    assert [line.split(":")[0] for line in text.splitlines()] == [
        "data.id",
        "data.version",
        "data.attributes.a",
        "data.color",
    ]


def test_a_large_float_that_was_accepted_once_stays_readable() -> None:
    data = {"id": "x", "title": "t", "attributes": {"a": 1e20}}
    assert Item.model_validate(data, context={"limits": UNLIMITED}).attributes == {"a": 1e20}


def test_a_bad_event_harms_no_neighbour_and_keeps_its_id() -> None:
    found = parse_events([item(), {**item(id=""), "id": "event 7"}, item()])
    assert [isinstance(one, BadEvent) for one in found] == [False, True, False]
    assert isinstance(found[1], BadEvent)
    assert found[1].event_id == "event 7"


@pytest.mark.parametrize(
    ("limit", "data", "field"),
    [
        ("title_chars", {"title": "four"}, "title"),
        ("description_chars", {"description": "four"}, "description"),
        ("tags", {"tags": ["a", "b", "c", "d"]}, "tags"),
        ("tag_chars", {"tags": ["", "four"]}, "tags.1"),
        ("attributes", {"attributes": {"a": 1, "b": 1, "c": 1, "d": 1}}, "attributes"),
        ("attribute_values", {"attributes": {"a": [1, 2, 3, 4]}}, "attributes.a"),
        ("attribute_chars", {"attributes": {"a": "four"}}, "attributes.a"),
        ("url_chars", {"media": {"images": ["/abc"]}}, "media.images.0"),
        ("images", {"media": {"images": ["/a", "/b", "/c", "/d"]}}, "media.images"),
        ("audio", {"media": {"audio": ["/a", "/b", "/c", "/d"]}}, "media.audio"),
    ],
)
def test_each_limit_holds_at_its_value_and_names_field_and_setting_above(
    limit: str, data: dict[str, Any], field: str
) -> None:
    unit, remedy = ("characters", "shorten it") if "chars" in limit else ("entries", "send fewer")
    assert refusal(item(**data), Limits.model_validate({limit: 3})) == (
        f"data.{field}: 4 {unit}, the limit is 3;"
        f" {remedy} or raise FIRSTLIGHT_LIMITS_{limit.upper()}"
    )
    assert not isinstance(parse_event(item(**data), Limits.model_validate({limit: 4})), BadEvent)


@pytest.mark.parametrize(
    ("limit", "data"),
    [
        ("profile_chars", {"profile": "four"}),
        ("interests", {"interests": ["a", "b", "c", "d"]}),
        ("tag_chars", {"interests": ["four"]}),
        ("attributes", {"demographics": {"a": 1, "b": 1, "c": 1, "d": 1}}),
    ],
)
def test_users_have_limits_too(limit: str, data: dict[str, Any]) -> None:
    raw = {"type": "user.updated", "data": {"id": "u", **data}}
    text = refusal(raw, Limits.model_validate({limit: 3}))
    assert text.startswith(f"data.{next(iter(data))}")
    assert "the limit is 3" in text
    assert f"FIRSTLIGHT_LIMITS_{limit.upper()}" in text
    assert not isinstance(parse_event(raw, Limits.model_validate({limit: 4})), BadEvent)


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)),
    st.integers(-23, 23),
)
def test_a_timestamp_is_the_same_version_in_every_zone(moment: datetime, hours: int) -> None:
    elsewhere = moment.astimezone(timezone(timedelta(hours=hours)))
    here, there = created_at(moment.isoformat()), created_at(elsewhere.isoformat())
    assert here == there
    assert here == (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@given(st.lists(st.datetimes(datetime(1970, 1, 2), timezones=st.just(UTC)), min_size=2, max_size=5))
def test_versions_from_timestamps_keep_their_order(moments: list[datetime]) -> None:
    in_range = sorted(moment for moment in moments if moment.year < 2200)
    versions = [created_at(moment.isoformat()) for moment in in_range]
    assert versions == sorted(versions)
    assert len(set(versions)) == len(set(in_range))


def created_at(version: str) -> int:
    event: Event = parsed(item(version=version))
    found: Any = event.data
    assert isinstance(found.version, int)
    return found.version


def test_an_event_without_id_and_time_gets_both() -> None:
    one, two = created("x"), created("x")
    assert one.id != two.id
    assert one.time.tzinfo is not None


@pytest.mark.parametrize(
    ("media", "lane"),
    [
        ({}, "text"),
        ({"images": ["/a"]}, "image"),
        ({"audio": ["/a"]}, "audio"),
        ({"images": ["/a"], "audio": ["/b"]}, "audio"),
    ],
)
def test_the_lane_is_that_of_the_heaviest_modality(media: dict[str, Any], lane: str) -> None:
    event: Any = created("x", media=media)
    assert event.data.lane == lane


def test_an_item_of_pictures_alone_or_text_attributes_alone_is_an_item() -> None:
    pictures: Any = parsed(item(title="", media={"images": ["/a"]}))
    assert not pictures.data.has_text
    attributes: Any = parsed(item(title="", attributes={"who": [1, "Ada"]}))
    assert attributes.data.has_text


@given(
    st.recursive(
        st.none() | SCALARS | st.floats(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_no_value_whatever_makes_the_parser_raise(raw: Any) -> None:
    for value in (raw, {"type": raw, "data": raw}, item(attributes={"a": raw}), item(version=raw)):
        found = parse_event(value)
        if isinstance(found, BadEvent):
            assert found.problems
            assert all(one.field and one.message for one in found.problems)
