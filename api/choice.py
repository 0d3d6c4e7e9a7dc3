"""Which of the candidates make up an answer, and in which order."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from api.candidates import Candidates
from domain.rules import Rules
from domain.setting_groups import RankingSettings
from ranking.diversity import Near, Picker
from ranking.explain import Explained
from ranking.exploration import EXPLORE, places, posterior_sd, spread_of
from ranking.parts import with_parts
from ranking.rules import RULES, Quota, addends

PIN, DIVERSITY = "pin", "diversity"

EVEN = 1e-3
"""Within this the score that the index gives and the one that is told are the same."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How an answer is to be made up: the request's own options, or else the settings'.

    Attributes:
        limit: how many results.
        rules: business rules.
        diversity: strength of MMR, 0 to 1.
        explore: share of the results that is set aside for exploration, 0 to 1.
        cold_share: share of those for items without interactions, 0 to 1.
        seed: of the draws of exploration.
        near: the limit on near-duplicates, None for none.
        fill: whether near-duplicates fill up what would stay empty otherwise.
        settings: how unsure scores are.
    """

    limit: int
    rules: Rules
    diversity: float
    explore: float
    cold_share: float
    seed: int
    near: Near | None
    settings: RankingSettings
    fill: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the best by score are the answer."""
        return not (self.diversity or self.explore or self.rules.select)


@dataclass(frozen=True, slots=True)
class Chosen:
    """One result: which candidate, its score, and what placed it other than its score."""

    at: int
    told: Explained
    moved_by: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The results in order, the ids that were left out as near-duplicates, and how many of the
    results are such that fill up the answer."""

    results: list[Chosen]
    copies: list[str] = field(default_factory=list)
    filled: int = 0


Counts = Callable[[Collection[str]], dict[str, int]]
"""Interactions stored for each item id, 0 included."""


def choose(
    found: Candidates, wish: Wish, counts: Counts, unsure: NDArray[np.float64] | None = None
) -> Choice:
    """Pins at their places; of the rest the best, unlike each other as far as wished, within the
    quotas; and the places set aside for exploration by sampled score, items without interactions
    first. In order of the score shown, but for what a result says that it was moved by.

    Args:
        unsure: [n], the leverage of each candidate's content; None where it is not known.
    """
    if not len(found):
        return Choice([])
    base = np.array([one.score for one in found.told])
    more = {}
    if wish.rules.score:
        indexed_at = [hit.indexed_at for hit in found.hits]
        attributes = [hit.attributes for hit in found.hits]
        more[RULES] = addends(wish.rules, attributes, indexed_at, time.time())
    scores = base + more[RULES] if more else base
    places_of = {pin.item: pin.position for pin in wish.rules.pin}
    free = np.array([hit.id not in places_of for hit in found.hits])
    quota = Quota(wish.rules.at_most)

    def admits(at: int) -> bool:
        admitted = quota.admits(found.hits[at].attributes)
        if admitted:
            quota.take(found.hits[at].attributes)
        return admitted

    picker = Picker(found.content, strength=wish.diversity, near=wish.near, admits=admits)
    pinned = [int(at) for at in np.flatnonzero(~free)]
    for at in pinned:
        picker.take(at)
        quota.take(found.hits[at].attributes)
    room = max(wish.limit - len(pinned), 0)
    draw = np.random.default_rng(wish.seed)
    exploring, cold = places(room, wish.explore, wish.cold_share, draw)
    picked = picker.pick(scores, room - exploring)
    if wish.explore:
        sampled, untried = _sampled(found, scores, wish, counts, draw, unsure)
        tried = picker.pick(sampled, cold, among=untried)
        tried += picker.pick(sampled, exploring - len(tried))
        more[EXPLORE] = np.zeros(len(scores))
        more[EXPLORE][tried] = sampled[tried] - scores[tried]
        picked += tried
    copies = [found.hits[at].id for at in picker.copies]
    filling: list[int] = []
    if wish.fill and copies:
        picker.allow_copies()
        filling = picker.pick(scores, room - len(picked))
        picked += filling
    told = with_parts(found.told, more)
    if wish.explore or not wish.diversity:
        picked = _in_order(found, told, wish, picked)
    return Choice(_placed(found, told, picked, pinned, places_of), copies, len(filling))


def is_settled(choice: Choice, wish: Wish, floor: float, *, lowered: bool) -> bool:
    """Whether none of the items that were not looked at could be better than what was chosen.

    Diversity prefers what is unlike to what is better, so there only lowered scores are a reason
    to look further.

    Args:
        floor: no item that was not looked at has a higher score, but for what raises it.
        lowered: whether anything lowers scores below what the index ordered items by.
    """
    if len(choice.results) < wish.limit:
        return False
    if wish.diversity and not lowered:
        return True
    shown = [
        one.told.score
        for one in choice.results
        if one.moved_by != PIN and not one.told.parts.get(EXPLORE)
    ]
    return not shown or min(shown) >= floor - EVEN


def _sampled(
    found: Candidates,
    scores: NDArray[np.float64],
    wish: Wish,
    counts: Counts,
    draw: np.random.Generator,
    unsure: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A score of each candidate drawn from its posterior, and which have no interactions."""
    known = counts([hit.id for hit in found.hits])
    interactions = np.array([known[hit.id] for hit in found.hits], dtype=np.float64)
    spread = wish.settings.explore_scale * spread_of(scores)
    sd = posterior_sd(interactions, wish.settings.explore_prior, spread, unsure)
    return scores + sd * draw.standard_normal(len(scores)), interactions == 0


def _in_order(found: Candidates, told: list[Explained], wish: Wish, picked: list[int]) -> list[int]:
    """What was picked by different scores, in order of those shown, or as diversity has it."""
    picked = sorted(picked, key=lambda at: (-told[at].score, at))
    if not wish.diversity:
        return picked
    again = Picker(found.content[picked], strength=wish.diversity)
    order = again.pick([told[at].score for at in picked], len(picked))
    return [picked[at] for at in order]


def _placed(
    found: Candidates,
    told: list[Explained],
    picked: list[int],
    pinned: list[int],
    places_of: dict[str, int],
) -> list[Chosen]:
    """The results with the pins among them, each with what moved it."""
    by_score = sorted(picked, key=lambda at: -told[at].score)
    results = [
        Chosen(at, told[at], None if told[at].score == told[usual].score else DIVERSITY)
        for at, usual in zip(picked, by_score, strict=True)
    ]
    for at in sorted(pinned, key=lambda at: places_of[found.hits[at].id]):
        place = places_of[found.hits[at].id] - 1
        results.insert(min(place, len(results)), Chosen(at, told[at], PIN))
    return results
