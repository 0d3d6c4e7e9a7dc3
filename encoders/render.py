"""What the text encoders read of an item and of a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.items import Item
from domain.setting_groups import RankingSettings
from domain.users import User
from encoders.pii import REGIONS, scrub

WORDS_CHARS, INTERESTS_CHARS, DEMOGRAPHICS_CHARS, RECENT_CHARS = 2000, 500, 300, 500
TITLE_CHARS = 100
PROMPT_CHARS = WORDS_CHARS + INTERESTS_CHARS + DEMOGRAPHICS_CHARS + RECENT_CHARS + 40
"""Most characters of a prompt: some 800 tokens, which is what user models are asked to read."""

FACTS_CHARS, FACT_CHARS = 2000, 2 * DEMOGRAPHICS_CHARS
"""Most characters of all demographics, and of one of their values, that are looked through for
personal data, which costs a tenth of a millisecond each; what lies beyond is not used at all."""


def render_item(item: Item) -> str:
    """Title, description, tags and text attributes as one text; "" where there is none.

    Numbers and yes/no attributes are left to filters: words encoders read nothing in them.
    """
    lines = [item.title, item.description, ", ".join(tag for tag in item.tags if tag.strip())]
    lines += _lines(item.attributes, only_text=True)
    return "\n".join(line.strip() for line in lines if line.strip())


def render_profile(user: User, titles: Sequence[str] = ()) -> str:
    """A person as one prompt: own words, interests, demographics, titles of recent items.

    I like slow films about people at sea.
    Interests: sailing, folk music.
    country: IE
    Recently: The Lighthouse Keeper; Storm Warning.

    "" where nothing is known. The same facts render to the same text in whatever order demographics
    were sent, and to at most PROMPT_CHARS characters: each section has its own bound and ends at
    a word. An instruction, where the user model wants one, is put before it by the encoder
    (`ModelSpec.query_prefix`).

    Args:
        titles: of the items that the user had to do with last, newest first.
    """
    interests = ", ".join(_line(one) for one in user.interests if one.strip())
    recent = "; ".join(_cut(_line(title), TITLE_CHARS) for title in titles if title.strip())
    demographics = "\n".join(_lines(user.demographics, only_text=False))
    lines = [
        _cut(user.profile.strip(), WORDS_CHARS),
        f"Interests: {_cut(interests, INTERESTS_CHARS)}." if interests else "",
        _cut(demographics.strip(), DEMOGRAPHICS_CHARS),
        f"Recently: {_cut(recent, RECENT_CHARS)}." if recent else "",
    ]
    return "\n".join(line for line in lines if line)


def profile_prompt(user: User, settings: RankingSettings, titles: Sequence[str] = ()) -> str:
    """`render_profile` under the settings: personal data taken out, so many titles at its end.

    Whoever encodes a person comes through here, so that nothing of them is encoded unscrubbed.

    Args:
        titles: as many as are at hand, newest first; `settings.prompt_history` of them are used.
    """
    said = scrubbed(user, settings.pii_regions) if settings.scrub_pii else user
    return render_profile(said, titles[: settings.prompt_history])


def scrubbed(user: User, regions: Sequence[str] = REGIONS) -> User:
    """The user without e-mail addresses, phone and card numbers, in any of their texts.

    Only as much of the text is looked at as a prompt can hold, and as much again for what is taken
    out; what lies beyond is dropped.
    """
    return user.model_copy(
        update={
            "profile": scrub(_cut(user.profile, 2 * WORDS_CHARS), regions),
            "interests": [scrub(one, regions) for one in _first_of(user.interests)],
            "demographics": scrubbed_facts(user.demographics, regions),
        }
    )


def scrubbed_facts(facts: Mapping[str, Any], regions: Sequence[str] = REGIONS) -> dict[str, Any]:
    """Demographics without personal data; a value that was nothing else is left as "".

    Values that FACTS_CHARS has no room for are left out, in the order of names.
    """
    room = FACTS_CHARS
    found: dict[str, Any] = {}
    for name, value in sorted(facts.items()):
        kept = []
        for one in value if isinstance(value, list) else [value]:
            said = _written(one)
            if len(said) <= room:
                room -= len(said)
                left = scrub(said, regions)
                kept.append(one if left == said and not isinstance(one, str) else left)
        if isinstance(value, list) and (kept or not value):
            found[name] = kept
        elif kept:
            found[name] = kept[0]
    return found


def _written(value: Any) -> str:
    """What of a value is looked through: of a number its digits, too, for somebody may keep a phone
    number so. Of a decimal and of yes or no nothing."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return ""
    return _cut(str(int(value) if isinstance(value, float) else value), FACT_CHARS)


def _first_of(interests: Sequence[str]) -> list[str]:
    """The first interests, to twice as many characters as a prompt holds of them."""
    room = 2 * INTERESTS_CHARS
    kept = []
    for one in interests:
        said = _cut(one, 2 * INTERESTS_CHARS)
        if len(said) > room:
            break
        room -= len(said)
        kept.append(said)
    return kept


def _line(text: str) -> str:
    return " ".join(text.split())


def _cut(text: str, most: int) -> str:
    """At most so many characters, ending at a word where there is one."""
    if len(text) <= most:
        return text
    kept = text[: most + 1].rsplit(maxsplit=1)
    return (kept[0] if len(kept) == 2 else text[:most])[:most].rstrip(" ,;")


def _lines(values: Mapping[str, Any], *, only_text: bool) -> Sequence[str]:
    lines = []
    for name, value in sorted(values.items()):
        several = value if isinstance(value, list) else [value]
        words = [_word(one) for one in several if isinstance(one, str) or not only_text]
        shown = ", ".join(word for word in words if word.strip())
        if shown:
            lines.append(f"{name.replace('_', ' ')}: {shown}")
    return lines


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
