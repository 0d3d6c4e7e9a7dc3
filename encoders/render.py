"""What the text encoders read of an item and of a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.items import Item
from domain.users import User


def render_item(item: Item) -> str:
    """Title, description, tags and text attributes as one text; "" where there is none.

    Numbers and yes/no attributes are left to filters: words encoders read nothing in them.
    """
    lines = [item.title, item.description, ", ".join(tag for tag in item.tags if tag.strip())]
    lines += _lines(item.attributes, only_text=True)
    return "\n".join(line.strip() for line in lines if line.strip())


def render_profile(user: User) -> str:
    """The person in their own words, interests and demographics as one prompt; "" if nothing."""
    interests = [one for one in user.interests if one.strip()]
    lines = [user.profile, f"Interests: {', '.join(interests)}." if interests else ""]
    lines += _lines(user.demographics, only_text=False)
    return "\n".join(line.strip() for line in lines if line.strip())


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
