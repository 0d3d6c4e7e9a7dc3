"""Personal data is found where it is, and numbers that are something else are left alone."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.setting_groups import RankingSettings
from domain.users import User
from encoders import demographics_part, profile_prompt, render_profile, scrub, scrubbed
from encoders.pii import personal_data
from encoders.render import PROMPT_CHARS, scrubbed_facts

EMAILS = (
    "ann@example.com",
    "ann.lee+films@mail.example.co.uk",
    "josé@müller.de",
    "o_brien-7@x.io",
    "ann＠example.com",
)
PHONES = (
    "+44 20 7946 0958",
    "+1 (415) 555-2671",
    "(415) 555-2671",
    "415-555-2671",
    "020 7946 0958",
    "030 901820",
    "06 12 34 56 78",
    "98765 43210",
    "13800138000",
    "+8613800138000",
)
CARDS = (
    "4111 1111 1111 1111",
    "4111111111111111",
    "5500-0055-5555-5559",
    "378282246310005",
    "6011 1111 1111 1117",
    "2223003122003222",
    "4111\u00a01111 1111\u00a01111",
    "4111-1111 1111-1111",
    "4111  1111  1111  1111",
    "4111/1111/1111/1111",
    "3782/822463-10005",
)
HARMLESS = (
    "born in 1984, saw 2001 and 1917",
    "films from 1990-1999 and 2000/2010",
    "10 000 hours of practice",
    "it costs 1,299.00 or 12 500 000 in all",
    "€ 1 000 000 000",
    "2019-11-24, 24.11.2019 and 11/24/2019 at 12:30-14:00",
    "isbn 978-0-306-40615-7, also written 9780306406157 or 0-306-40615-2",
    "ISBN: 0306406152, ISBN 0-14-044913-1",
    "EAN 4006381333931, SKU 8806091234567",
    "order 2024-000123-45",
    "screen of 1920x1080 at 60 Hz, 192.168.100.200",
    "version 1.2.3.4567",
    "52.5200 N 13.4050 E",
    "scores of 100-200-300",
    "84111111111111111 and 41111111111111110, 4111111111111111000000",
    "order 2024-4111111111111111, part 4111111111111111-27",
    "0.4111111111111111, 4.111111111111111 and 4111111111111111.50",
    "24.11.2019 25.11.2016, 24.11.2019-25.11.2016, 2024-01-15 2024-02-20",
    "5@3.50 each",
    "follow @nightbirds",
    "1234 5678 1234 5678",
    "seasons 2022-2023 2024-2025, 1990-1999 2000-2009",
    "4111/1111/1111/1112",
    "a@b",
)


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        *(("email", one) for one in EMAILS),
        *(("phone", one) for one in PHONES),
        *(("card", one) for one in CARDS),
    ],
)
@pytest.mark.parametrize("around", ["{}", "I like owls. Reach me: {}, any time.", "<{}>", "({})."])
def test_it_is_found_whole_and_nothing_else_is_taken(kind: str, secret: str, around: str) -> None:
    text = around.format(secret)
    found = personal_data(text)
    assert [one.kind for one in found] == [kind]
    # a bracket around an area code may go with the number or stay
    assert text[found[0].start : found[0].stop].strip("()") == secret.strip("()")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("1,4111111111111111", "1,"),
        ("-4111111111111111", "-"),
        ("card4111111111111111", "card"),
        ("card_4111-1111-1111-1111", "card_"),
        ("No.4111 1111 1111 1111", "No."),
        ("4111 1111 1111 1111x", "x"),
        ("4111111111111111-", "-"),
        ("4111111111111111 12/26", "12/26"),
        ("4111-1111-1111-1111 12/26", "12/26"),
    ],
)
def test_a_card_number_is_found_whatever_stands_against_it(text: str, left: str) -> None:
    assert scrub(text) == left


@pytest.mark.parametrize("mark", ["/", ",", ";", "|", "&", "=", "_", " "])
def test_of_addresses_that_are_joined_both_are_found(mark: str) -> None:
    text = f"a@b.co{mark}john@x.org"
    assert [one.kind for one in personal_data(text)] == ["email", "email"]
    assert scrub(text) in ("", mark)


@pytest.mark.parametrize("text", HARMLESS)
def test_years_prices_ids_and_measures_are_left_as_they_are(text: str) -> None:
    assert scrub(text) == text


def test_what_is_taken_out_leaves_the_sentence_readable() -> None:
    text = "I like owls, write to ann@example.com or call 415-555-2671 about owls."
    assert scrub(text) == "I like owls, write to or call about owls."


def test_only_the_countries_that_are_named_have_their_own_notation_found() -> None:
    assert scrub("030 901820", regions=["US"]) == "030 901820"
    assert scrub("+49 30 901820", regions=[]) == ""


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_scrubbing_never_fails_and_scrubbing_again_changes_nothing_of_ordinary_text(
    text: str,
) -> None:
    once = scrub(text)
    assert len(once) <= len(text)
    if not personal_data(text):
        assert once == text


@pytest.mark.parametrize("piece", ["@", "1 ", "a.", "1-", "a@a.", "4111 "])
def test_a_long_hostile_text_takes_no_time_to_speak_of(piece: str) -> None:
    user = User(id="u", profile=(piece * 20_000)[:20_000])
    started = time.perf_counter()
    scrubbed(user)
    assert time.perf_counter() - started < 3.0


@pytest.mark.parametrize(
    "said",
    [
        {"interests": ["020 7946 0958 " * 1400] * 100},
        {"interests": ["020 7946 0958"] * 100_000},
        {"demographics": {f"a{n}": ["020 7946 0958 " * 70] * 100 for n in range(100)}},
        {"demographics": {"a": [2079460958] * 10_000}},
        {"profile": "020 7946 0958 " * 100_000},
    ],
    ids=["long interests", "many interests", "long facts", "many numbers", "profile"],
)
def test_no_more_is_looked_through_than_a_prompt_can_hold(said, monkeypatch) -> None:
    read = []
    monkeypatch.setattr("encoders.render.scrub", lambda text, _: read.append(text) or text)
    user = User.model_construct(**{**User(id="u").model_dump(), **said})
    profile_prompt(user, RankingSettings())
    assert sum(map(len, read)) <= 7_000
    demographics_part(user, RankingSettings())
    assert sum(map(len, read)) <= 9_000


def test_interests_and_facts_beyond_what_is_looked_through_are_dropped() -> None:
    facts = {f"a{n:02}": "some fact or other" for n in range(200)} | {"country": "IE"}
    user = User.model_construct(
        **{**User(id="u").model_dump(), "interests": ["owls at night"] * 200, "demographics": facts}
    )
    found = scrubbed(user)
    assert 500 < sum(map(len, found.interests)) <= 1_000
    assert set(found.interests) == {"owls at night"}
    assert 1_900 < sum(map(len, found.demographics.values())) <= 2_000
    assert set(found.demographics) < set(facts)
    assert list(found.demographics) == sorted(found.demographics)
    assert found.demographics == scrubbed_facts(dict(reversed(facts.items())))


def user_with(secret: str) -> User:
    return User.model_validate(
        {
            "id": "u",
            "profile": f"I like owls, {secret}",
            "interests": ["owls", secret, f"owls {secret}"],
            "demographics": {"country": "IE", "contact": secret, "also": ["x", secret]},
        }
    )


@pytest.mark.parametrize("secret", [EMAILS[0], PHONES[0], CARDS[0]])
def test_a_prompt_holds_no_personal_data_wherever_in_the_user_it_was(secret: str) -> None:
    prompt = profile_prompt(user_with(secret), RankingSettings())
    assert secret not in prompt
    assert prompt == "I like owls,\nInterests: owls, owls.\nalso: x\ncountry: IE"


def test_a_phone_number_kept_as_a_number_is_found_and_an_age_is_not() -> None:
    user = User.model_validate(
        {
            "id": "u",
            "demographics": {
                "phone": 14155552671,
                "age": 41,
                "height": 1.8,
                "card": 4111111111111111.0,
                "rooms": 3.0,
            },
        }
    )
    found = scrubbed(user).demographics
    assert found == {"phone": "", "age": 41, "height": 1.8, "card": "", "rooms": 3.0}


def test_it_can_be_turned_off() -> None:
    off = RankingSettings.model_validate({"scrub_pii": False})
    assert EMAILS[0] in profile_prompt(user_with(EMAILS[0]), off)


def test_a_number_that_the_bound_cuts_through_is_gone_all_the_same() -> None:
    for padding in range(1980, 2001, 3):
        user = User(id="u", profile="a" * (padding - 1) + " ann.example@example.com b")
        assert "example" not in profile_prompt(user, RankingSettings())
        assert len(profile_prompt(user, RankingSettings())) <= PROMPT_CHARS


def test_titles_are_used_newest_first_and_as_many_as_the_settings_say() -> None:
    user = User(id="u", profile="I like owls.")
    titles = ["Owls at Night", "A Field Guide"]
    none, one = RankingSettings(), RankingSettings.model_validate({"prompt_history": 1})
    assert profile_prompt(user, none, titles) == "I like owls."
    assert profile_prompt(user, one, titles) == "I like owls.\nRecently: Owls at Night."
    assert render_profile(user, titles) == "I like owls.\nRecently: Owls at Night; A Field Guide."
