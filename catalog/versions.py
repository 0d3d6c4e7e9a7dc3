"""Which of two events about the same thing wins. Pure rules, no storage.

Versions rank first; at the same version a deletion ranks above content. That order is total but
for two different contents under one version, which only a publisher can cause: the first that was
accepted stays, and the acceptance of the other says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from domain.fields import MAX_VERSION

UNVERSIONED_TOMBSTONE = 0
"""Version of a deletion, sent without one, of what was never published; every version outranks
it."""


class Stored(NamedTuple):
    """What is known: the version and the content's JSON, None when deleted."""

    version: int
    content: str | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is to become of an event, and why. `stored` is what is known afterwards."""

    status: Literal["accepted", "duplicate", "stale"]
    stored: Stored
    note: str = ""


def judge(known: Stored | None, version: int | None, content: str | None) -> Judgement:
    """Judge an event against what is known.

    Args:
        known: None when the id was never published.
        version: the event's; None asks for the next one.
        content: canonical JSON; None is a deletion.
    """
    if version is None:
        return _judge_unversioned(known, content)
    incoming = Stored(version, content)
    if known is None or version > known.version:
        return Judgement("accepted", incoming)
    if version < known.version:
        return Judgement("stale", known, f"version {known.version} is newer")
    if known.content is not None and content is None:
        return Judgement("accepted", incoming)
    if known.content is None and content is not None:
        return Judgement(
            "stale", known, f"deleted at version {version}; a newer version brings it back"
        )
    if known.content != content:
        return Judgement(
            "duplicate",
            known,
            f"version {version} was accepted before with other content, which stays;"
            " publish a change under a newer version",
        )
    return Judgement("duplicate", known)


def _judge_unversioned(known: Stored | None, content: str | None) -> Judgement:
    if content is None and known is None:
        note = "was never published; the deletion is kept, and any version outranks it"
        return Judgement("accepted", Stored(UNVERSIONED_TOMBSTONE, None), note)
    if known is None:
        return Judgement("accepted", Stored(1, content))
    if content is None and known.content is None:
        return Judgement("duplicate", known, "is deleted already")
    if known.version >= MAX_VERSION:
        note = f"version {known.version} is stored and no version comes after it"
        return Judgement("stale", known, note)
    return Judgement("accepted", Stored(known.version + 1, content))
