"""From a query to an answer: candidates, choice, explanation."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from api.because import KNOWN_ITEMS, Known, because, reason_of
from api.cache import LruCache
from api.candidates import Candidates, candidates
from api.choice import Choice, Chosen, Wish, choose, is_settled
from api.explanation import explained_in_full
from api.history import History
from api.mistyped import explain_empty, mistyped
from api.newest import Newest, hit_of, is_live
from api.problems import field_error, invalid_fields
from api.ranked import NEW, Space, answer_of, result
from api.ranking_schemas import RecommendRequest
from api.seen import Seen
from api.uncertainty import Uncertainty
from api.vectors import ItemVectors
from catalog import Catalog
from domain.filters import passes
from domain.rules import Rules
from domain.setting_groups import RankingSettings
from index import Hit, ItemIndex, Search, unknown_attribute
from ranking import Query
from ranking.diversity import Near, crowded
from ranking.query import NOT_CONTENT

NOTHING_KNOWN = "nothing is known of the user that ranks items, so these are the newest"

LEAST_CANDIDATES = 100
PER_RESULT = 5
MOST_CANDIDATES = 2_000
"""Candidates for an answer that is chosen: max(100, 5 * limit), and more, up to this many, where
quotas and near-duplicates leave too few of them, or what lowers scores may have let better ones
lie further down."""

SEARCHES_PAST_COPIES = 3
"""Further searches, each of MOST_CANDIDATES and without the near-duplicates met so far, where those
leave too few."""

COPIES_LEFT_OUT = "fewer than asked for: the rest are near-duplicates of these, and were left out"

NO_RULES = Rules()


@dataclass(frozen=True, slots=True)
class Pool:
    """What an answer may be chosen from.

    Attributes:
        more: whether there are further items.
        floor: those have no higher score by the index.
    """

    hits: list[Hit]
    more: bool
    floor: float


class Answers:
    """Blocking; called in a worker thread."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        index: ItemIndex,
        vectors: ItemVectors,
        settings: RankingSettings,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._vectors = vectors
        self._settings = settings
        self._newest = Newest(catalog, index)
        self._unsure = Uncertainty(settings.bias_limit)
        self._known: Known = LruCache(KNOWN_ITEMS)

    def ranked(
        self,
        space: Space,
        query: Query,
        ask: RecommendRequest,
        seen: Seen,
        notes: list[str],
        *,
        history: History,
        now: float,
        started: float,
    ) -> dict[str, Any]:
        """The answer to a query; where it ranks nothing, the newest items.

        Args:
            history: what `explain` tells item by item.
            now: seconds since 1970; what has expired by then is left out.
            started: time.perf_counter() of the request.

        Raises:
            ProblemError: the rules speak of an attribute that no item has, or of a position
                beyond the limit.
            RejectedError: a filter on an unknown attribute.
        """
        wish = self._wish(space, query, ask, history)
        search = Search(
            query.vector,
            ask.limit,
            filters=ask.filters or None,
            exclude=seen.ids,
            exact=ask.exact,
            live_at=now,
        )
        seen.ids.update(wish.rules.exclude)
        unranked = query.is_zero
        if unranked:
            notes.append(NOTHING_KNOWN)
        choice, found = None, None
        if wish.is_plain and not unranked:
            bound = self._unsure.bias_bound(space, query)
            hits = self._hits(space, search, seen)
            found = candidates(space, query, hits, self._vectors, bound)
            if not found.bounded and (wish.near is None or not crowded(found.content, wish.near)):
                choice = Choice([Chosen(at, one) for at, one in enumerate(found.told)])
        if choice is None or found is None:
            self._check_rules(space, wish)
            pins = self._pinned(space, ask, seen, notes, now)
            found, choice = self._chosen(space, query, ask, wish, search, seen, pins)
            notes.extend(_about_copies(choice, wish))
            notes.extend(self._idle_lifts(space, wish, found))
        told, explanations = [one.told for one in choice.results], None
        if ask.explain:
            told, explanations = explained_in_full(space, query, found, choice, history)
        shown = [one.at for one in choice.results]
        hits = [found.hits[at] for at in shown]
        values = because(space.fusion, query, hits, found.vectors[shown], told, self._known)
        results = [
            result(
                rank,
                found.hits[one.at],
                found.versions[one.at],
                told[rank - 1],
                NEW if unranked else reason_of(found.told[one.at], found.hits[one.at]),
                one.moved_by,
                values[rank - 1],
            )
            for rank, one in enumerate(choice.results, 1)
        ]
        for told_in_full, explanation in zip(results, explanations or (), strict=False):
            told_in_full["explanation"] = explanation
        explain_empty(results, notes, self._index, space.collection, ask.filters)
        if not results:
            notes.extend(_what_left_nothing(ask, wish, seen))
        return answer_of(results, notes, space, started)

    # -- what is wished --------------------------------------------------------------------

    def _wish(self, space: Space, query: Query, ask: RecommendRequest, history: History) -> Wish:
        settings = self._settings
        # A trained hybrid expects something of people of whom nothing is known, too: part "cf".
        known = bool(len(history)) or any(part not in NOT_CONTENT for part in query.by_part)
        explore = settings.explore if known else max(settings.explore, settings.explore_unknown)
        near = None
        if settings.near_duplicates and not space.fusion.version.startswith("passthrough"):
            near = Near(settings.near_cosine, settings.near_duplicates)
        return Wish(
            limit=ask.limit,
            rules=ask.rules or NO_RULES,
            diversity=settings.diversity if ask.diversity is None else ask.diversity,
            explore=explore if ask.explore is None else ask.explore,
            cold_share=settings.cold_share,
            seed=secrets.randbits(63) if ask.seed is None else ask.seed,
            near=near,
            settings=settings,
        )

    def _check_rules(self, space: Space, wish: Wish) -> None:
        rules, errors = wish.rules, []
        for at, pin in enumerate(rules.pin):
            if pin.position > wish.limit:
                errors.append(
                    field_error(
                        f"rules.pin.{at}.position",
                        f"{pin.position}, and only {wish.limit} results are asked for",
                        "pin it higher, or raise limit",
                    )
                )
        named = [
            (f"rules.{kind}.{at}.where.{name}", name)
            for kind, lifts in (("boost", rules.boost), ("bury", rules.bury))
            for at, lift in enumerate(lifts)
            for name in lift.where
        ]
        named += [
            (f"rules.at_most.{at}.attribute", one.attribute) for at, one in enumerate(rules.at_most)
        ]
        if named:
            known = self._index.attributes(space.collection)
            refused = [
                unknown_attribute(name, known, field=field)
                for field, name in named
                if name not in known
            ]
            errors += [field_error(one.field, one.message, one.remedy) for one in refused]
        if errors:
            raise invalid_fields(errors)

    def _idle_lifts(self, space: Space, wish: Wish, found: Candidates) -> Iterator[str]:
        """A line for each boost or bury that no candidate meets, for it asks for another type."""
        for kind, lifts in (("boost", wish.rules.boost), ("bury", wish.rules.bury)):
            for at, lift in enumerate(lifts):
                if not any(passes(hit.attributes, lift.where) for hit in found.hits):
                    types = self._index.attributes(space.collection)
                    yield from mistyped(lift.where, types, f"rules.{kind}.{at}.where")

    # -- candidates ------------------------------------------------------------------------

    def _hits(self, space: Space, search: Search, seen: Seen) -> list[Hit]:
        """The best `search.limit` items that were not seen, whatever the user has seen."""
        size = search.limit
        while True:
            asked = replace(search, exclude=seen.ids, limit=size)
            hits = self._index.query_many(space.collection, [asked])[0]
            met = set() if seen.complete else seen.among([hit.id for hit in hits])
            left = [hit for hit in hits if hit.id not in met]
            if len(left) >= search.limit or len(hits) < size:
                return left[: search.limit]
            size *= 2

    def _chosen(
        self,
        space: Space,
        query: Query,
        ask: RecommendRequest,
        wish: Wish,
        search: Search,
        seen: Seen,
        pins: Sequence[Hit],
    ) -> tuple[Candidates, Choice]:
        size = max(LEAST_CANDIDATES, PER_RESULT * wish.limit)
        if size > MOST_CANDIDATES // 2:
            size = max(MOST_CANDIDATES // 2, wish.limit)
        searches = 0 if query.is_zero else SEARCHES_PAST_COPIES
        copies: dict[str, Hit] = {}
        while True:
            pool = self._pool(space, query, ask, wish, replace(search, limit=size), seen, pins)
            found, choice = self._choose(space, query, wish, pool.hits)
            lowered = bool(wish.rules.bury) or found.bounded
            settled = is_settled(choice, wish, pool.floor, lowered=lowered)
            if settled or not pool.more:
                break
            if size < MOST_CANDIDATES:
                size = min(size * PER_RESULT, MOST_CANDIDATES)
                continue
            refused = set(choice.copies)
            copies.update((hit.id, hit) for hit in found.hits if hit.id in refused)
            if searches == 0 or not refused:
                if copies and len(choice.results) < wish.limit:
                    best = [hit for key, hit in copies.items() if key not in refused][: wish.limit]
                    filling = replace(wish, fill=True)
                    found, choice = self._choose(space, query, filling, [*pool.hits, *best])
                break
            seen.ids.update(refused)
            searches -= 1
        return found, replace(choice, copies=list({**copies, **dict.fromkeys(choice.copies)}))

    def _choose(
        self, space: Space, query: Query, wish: Wish, hits: Sequence[Hit]
    ) -> tuple[Candidates, Choice]:
        bound = self._unsure.bias_bound(space, query)
        asked = None if query.is_zero else query
        found = candidates(space, asked, hits, self._vectors, bound)
        unsure = self._unsure.leverage(space, found.content) if wish.explore else None
        return found, choose(found, wish, self._catalog.interaction_counts, unsure)

    def _pool(
        self,
        space: Space,
        query: Query,
        ask: RecommendRequest,
        wish: Wish,
        search: Search,
        seen: Seen,
        pins: Sequence[Hit],
    ) -> Pool:
        """The best by score; of each boost the best it lifts; and the newest, where being new
        or untried is a reason to be shown."""
        pinned = {hit.id for hit in pins}
        pool: dict[str, Hit] = {}
        more, floor = False, float("-inf")
        fresh = wish.rules.freshness is not None
        at = search.live_at or 0.0
        if not query.is_zero:
            searches = [search]
            searches += [
                replace(search, filters={**ask.filters, **lift.where}) for lift in wish.rules.boost
            ]
            for one in searches:
                hits = self._hits(space, one, seen)
                if one is search and len(hits) >= search.limit:
                    more, floor = True, hits[-1].score
                for hit in hits:
                    if one is search or passes(hit.attributes, ask.filters):
                        pool.setdefault(hit.id, hit)
        if query.is_zero or fresh or wish.explore:
            new = self._newest.items(space.collection, search.limit, ask.filters, seen, at)
            if query.is_zero:
                more = len(new) >= search.limit
            for hit in new:
                pool.setdefault(hit.id, hit)
        hits = [*pins, *(hit for hit in pool.values() if hit.id not in pinned)]
        return Pool(hits, more, floor)

    def _pinned(
        self, space: Space, ask: RecommendRequest, seen: Seen, notes: list[str], now: float
    ) -> list[Hit]:
        """The pinned items that may be shown; filters, expiry and what was seen hold for them."""
        pins = ask.rules.pin if ask.rules else []
        if not pins:
            return []
        stored = self._index.fetch(space.collection, [pin.item for pin in pins])
        left_out = seen.among([pin.item for pin in pins])
        found = []
        for at, pin in enumerate(pins):
            item = stored.get(pin.item)
            if item is None or not is_live(item, now):
                why = "is not indexed, or has expired"
            elif pin.item in left_out:
                why = "was seen"
            elif not passes(item.attributes, ask.filters):
                why = "does not meet the filters"
            else:
                found.append(hit_of(item))
                continue
            notes.append(f"rules.pin.{at}: item {pin.item!r} {why}, so it was left out")
        return found


def _about_copies(choice: Choice, wish: Wish) -> list[str]:
    if choice.filled:
        return [f"{choice.filled} of these are near-duplicates of others: little else was found"]
    short = choice.copies and len(choice.results) < wish.limit
    return [COPIES_LEFT_OUT] if short else []


def _what_left_nothing(ask: RecommendRequest, wish: Wish, seen: Seen) -> list[str]:
    """A line about an empty answer where more than filters kept items out."""
    excluded = set(wish.rules.exclude)
    causes = ["rules.exclude"] if excluded else []
    causes += ["what was seen"] if seen.ids - excluded else []
    if not causes:
        return []
    return [
        f"nothing is left after {' and '.join([*(['filters'] if ask.filters else []), *causes])}"
    ]
