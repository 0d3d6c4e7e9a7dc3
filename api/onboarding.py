"""POST /v1/onboarding: what to ask a new user next, and the ranking as far as the answers go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from api.absent import explain_absent
from api.answer import Answers
from api.history import History
from api.models import Models
from api.newest import is_live
from api.ranked import NOTHING_INDEXED, Space, answer_of
from api.ranking_schemas import OnboardingRequest, RecommendRequest
from api.seen import Seen
from api.spaces import Spaces
from api.survey import Survey, Surveys
from api.vectors import ItemVectors
from catalog import Catalog
from domain.setting_groups import RankingSettings
from domain.users import User
from domain.vectors import Matrix, Vector
from index import ItemIndex
from ranking import Query, user_vector
from ranking.onboarding import (
    Answer,
    Belief,
    Reals,
    answered,
    covariance_of,
    prior_belief,
    questions,
)

ANSWERS, BIAS = "answers", "one"
"""Parts of the query: what the answers add, and where no bias was learned yet, how popular the
content is."""

NO_MORE = "there is nothing left to ask about"
EVEN = 1e-9


@dataclass(frozen=True, slots=True)
class Items:
    """The survey's items and those answered beside them, n in all."""

    ids: list[str]
    ranks: Matrix
    content: Matrix
    covariance: Reals


class Onboarding:
    """Blocking; called in a worker thread. Nothing of the person is kept."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        index: ItemIndex,
        models: Models,
        spaces: Spaces,
        vectors: ItemVectors,
        answers: Answers,
        settings: RankingSettings,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._models = models
        self._spaces = spaces
        self._vectors = vectors
        self._settings = settings
        self._surveys = Surveys(catalog, vectors)
        self._answers = answers

    def onboard(self, ask: OnboardingRequest) -> dict[str, Any]:
        """The answer as plain values, in the form of OnboardingAnswer.

        Raises:
            ProblemError: 422, an answer about an unknown item.
            RejectedError: a filter on an unknown attribute.
            RetryableError: a store or the models are not there.
        """
        started = time.perf_counter()
        return self._spaces.use(lambda space: self._answer(ask, space, started))

    def _answer(
        self, ask: OnboardingRequest, space: Space | None, started: float
    ) -> dict[str, Any]:
        if space is None:
            return {**answer_of([], [NOTHING_INDEXED], None, started), "ask": [], "learned": 0.0}
        notes: list[str] = []
        survey = self._surveys.of(space)
        said = {one.item: one.liked for one in ask.answers}
        items, usable = self._items(space, survey, ask, notes)
        query, scores = self._known(space, survey, ask, items, usable)
        first = prior_belief(survey.taste, items.covariance, scores)
        belief = first
        places = [items.ids.index(item) for item in usable]
        told = [Answer.of(said[item]) for item in usable]
        for at, answer in zip(places, told, strict=True):
            belief = belief.after(at, answer)
        if usable:
            moved = answered(survey.taste, items.content[places], first.means[places], told)
            deviation = float(np.std(scores)) if scores is not None else 0.0
            unit = deviation if deviation > EVEN else 1.0
            query = _with_part(space, query, ANSWERS, moved * (unit / survey.taste.spread))
        asked = self._questions(space, survey, items, belief, ask.count, said)
        if ask.count and not asked:
            notes.append(NO_MORE)
        found = self._ranked(space, query, ask, notes, started)
        return {**found, "ask": asked, "learned": _learned(first, belief)}

    def _items(
        self, space: Space, survey: Survey, ask: OnboardingRequest, notes: list[str]
    ) -> tuple[Items, list[str]]:
        """The items of the belief, and which of them were answered, in order."""
        wanted = list(dict.fromkeys(one.item for one in ask.answers))
        held = self._vectors.of_items(space.collection, wanted)
        fields = [(f"answers.{at}.item", one.item) for at, one in enumerate(ask.answers)]
        explain_absent(self._catalog, fields, held, notes, once_shown=True)
        usable = [item for item in wanted if item in held]
        beside = [item for item in usable if item not in survey.place]
        if not beside:
            return Items(survey.ids, survey.ranks, survey.content, survey.covariance), usable
        ranks = np.concatenate([survey.ranks, np.stack([held[one].vector for one in beside])])
        content = space.rank.content_of(ranks)
        covariance = covariance_of(survey.taste, content)
        return Items([*survey.ids, *beside], ranks, content, covariance), usable

    def _known(
        self,
        space: Space,
        survey: Survey,
        ask: OnboardingRequest,
        items: Items,
        usable: Sequence[str],
    ) -> tuple[Query, Reals | None]:
        """The query without what the answers say of content, and the scores that it gives the
        items before any answer: profile and bias. Liked items are folded into the collaborative
        part and the graph, which know nothing of dislikes."""
        said = User(
            id="-",
            profile=ask.profile or "",
            interests=ask.interests,
            demographics=ask.demographics,
        )
        user = user_vector(
            space.fusion.blocks,
            self._models.person(said).vectors,
            None,
            0,
            self._settings.profile_weight_k0,
        )
        before = space.hybrid.query(user)
        likes = {one.item for one in ask.answers if one.liked}
        liked = [item for item in usable if item in likes]
        ranks = items.ranks[[items.ids.index(item) for item in liked]]
        weights = [1.0] * len(liked)
        query = space.hybrid.query(
            user,
            collaborative=space.hybrid.fold_in(liked, ranks, weights) if liked else None,
            graph=space.hybrid.graph_profile(ranks, weights) if liked else None,
        )
        if not items.ids:
            return query, None
        scores = items.ranks.astype(np.float64) @ before.vector
        deviation = float(np.std(scores))
        if BIAS not in before.by_part:
            popular = items.content @ survey.taste.mean
            spread = float(np.std(popular))
            if spread > EVEN:
                share = (deviation if deviation > EVEN else 1.0) / spread
                query = _with_part(space, query, BIAS, survey.taste.mean * share)
                scores = scores + popular * share
        return query, scores

    def _questions(
        self,
        space: Space,
        survey: Survey,
        items: Items,
        belief: Belief,
        count: int,
        said: dict[str, bool | None],
    ) -> list[dict[str, Any]]:
        beside = len(items.ids) - len(survey.ids)
        never = {
            at
            for at, item in enumerate(items.ids)
            if item in said or at >= len(survey.ids) or not survey.askable[at]
        }
        known = np.concatenate([survey.known, np.zeros(beside)])
        now = time.time()
        while True:
            chosen = questions(belief, known, count, never) if items.ids else []
            ids = [items.ids[at] for at in chosen]
            stored = self._index.fetch(space.collection, ids) if ids else {}
            live = [item in stored and is_live(stored[item], now) for item in ids]
            if all(live):
                break
            # Since the survey was made they have expired, or were deleted: others are asked about.
            never |= {at for at, is_there in zip(chosen, live, strict=True) if not is_there}
        return [
            {
                "id": item,
                "title": stored[item].title,
                "attributes": stored[item].attributes,
                "known": round(float(known[at]), 4),
            }
            for at, item in zip(chosen, ids, strict=True)
        ]

    def _ranked(
        self,
        space: Space,
        query: Query,
        ask: OnboardingRequest,
        notes: list[str],
        started: float,
    ) -> dict[str, Any]:
        met = {one.item for one in ask.answers if one.liked is not None}
        return self._answers.ranked(
            space,
            query,
            # The questions explore; the results show what the answers say.
            RecommendRequest(filters=ask.filters, limit=ask.limit, exact=ask.exact, explore=0.0),
            Seen(self._catalog, met),
            notes,
            history=History(),
            now=time.time(),
            started=started,
        )


def _with_part(space: Space, query: Query, part: str, content: Vector | Reals) -> Query:
    """The query with a further part on content, centred as its other parts are."""
    vector = np.zeros(space.rank.dim, dtype=np.float32)
    vector[: space.rank.content] = content
    if query.centre is not None:
        vector[space.rank.content] = -float(content @ query.centre)
    return Query(query.vector + vector, {**query.by_part, part: vector}, query.centre)


def _learned(first: Belief, belief: Belief) -> float:
    """The share of the variance of the best items that the answers have taken, in [0, 1]."""
    if not len(first.means):
        return 0.0
    best = first.best()
    before = float(best @ first.variances)
    left = float(best @ belief.variances)
    return round(max(0.0, 1.0 - left / before), 4) if before > 0 else 0.0
