"""The rules by which events win, as properties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from catalog.versions import Stored, judge

VERSIONS = st.integers(min_value=1, max_value=6)
KINDS = st.sampled_from(["content", "deletion"])


@st.composite
def rearranged(draw: st.DrawFn) -> tuple[list[Stored], list[Stored]]:
    """Events with explicit versions (content follows from the version), in two orders."""
    once = [
        Stored(version, f"content {version}" if kind == "content" else None)
        for version, kind in draw(st.lists(st.tuples(VERSIONS, KINDS), min_size=1, max_size=8))
    ]
    repeats = draw(st.lists(st.sampled_from(once), max_size=8))
    return once, draw(st.permutations(once + repeats))


def outcome(events: list[Stored]) -> Stored | None:
    known = None
    for version, content in events:
        known = judge(known, version, content).stored
    return known


@given(rearranged())
def test_any_order_and_any_repetition_end_in_the_same_state(
    orders: tuple[list[Stored], list[Stored]],
) -> None:
    once, shuffled = orders
    expected = max(once, key=lambda event: (event.version, event.content is None))
    assert outcome(once) == outcome(shuffled) == expected


@given(
    st.none() | st.builds(Stored, st.integers(0, 6), st.none() | st.just("old")),
    st.none() | VERSIONS,
    st.none() | st.sampled_from(["old", "new"]),
)
def test_what_is_known_never_goes_back(
    known: Stored | None, version: int | None, content: str | None
) -> None:
    verdict = judge(known, version, content)
    if verdict.status != "accepted":
        assert verdict.stored == known
    elif known is not None:
        deletes = known.content is not None and verdict.stored.content is None
        assert verdict.stored.version > known.version or (
            verdict.stored.version == known.version and deletes
        )
    if version is not None and verdict.status == "accepted":
        assert verdict.stored == Stored(version, content)


@given(st.integers(0, 6), st.text(min_size=1, max_size=3))
def test_only_a_newer_version_brings_the_deleted_back(version: int, content: str) -> None:
    tombstone = Stored(version, None)
    for older in range(1, version + 1):
        assert judge(tombstone, older, content).status == "stale"
    assert judge(tombstone, version + 1, content).status == "accepted"
    assert judge(tombstone, None, content).stored == Stored(version + 1, content)
