"""POST /v1/recommend: who asks becomes one query, its hits become explained results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.absent import explain_absent
from api.answer import Answers
from api.history import History
from api.models import Models
from api.problems import ProblemError
from api.queries import Queries
from api.ranked import NOTHING_INDEXED, Space, answer_of
from api.ranking_schemas import RecommendRequest
from api.seen import SEEN_AT_ONCE, Seen
from api.spaces import Spaces
from api.vectors import Held, ItemVectors
from catalog import Catalog, InteractionRecord
from domain.setting_groups import RankingSettings
from domain.users import User

DAY_S = 86_400.0

NOBODY = User(id="-")


@dataclass(frozen=True, slots=True)
class Person:
    """What the ledger and the request say of who asks."""

    said: User
    interactions: Sequence[InteractionRecord]
    seen: Seen


class Recommender:
    """Blocking; called in a worker thread, one hop for the whole composition."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        models: Models,
        spaces: Spaces,
        vectors: ItemVectors,
        answers: Answers,
        settings: RankingSettings,
    ) -> None:
        self._catalog = catalog
        self._models = models
        self._spaces = spaces
        self._vectors = vectors
        self._settings = settings
        self._answers = answers
        self._queries = Queries(settings.profile_weight_k0)

    def recommend(self, ask: RecommendRequest) -> dict[str, Any]:
        """The answer as plain values, in the form of RankedAnswer.

        Raises:
            ProblemError: an unknown user (404) or liked item (422).
            RejectedError: an unknown filter attribute.
            RetryableError: a store or the models are not there.
        """
        started = time.perf_counter()
        person = self._person(ask)
        return self._spaces.use(lambda space: self._answer(ask, person, space, started))

    def _answer(
        self, ask: RecommendRequest, person: Person, space: Space | None, started: float
    ) -> dict[str, Any]:
        if space is None:
            return answer_of([], [NOTHING_INDEXED], None, started)
        notes: list[str] = []
        history = self._history(space, ask.liked, person, notes)
        said = self._models.person(person.said, history.titles, ask.user)
        query = self._queries.of(space, said, history)
        return self._answers.ranked(
            space,
            query,
            ask,
            person.seen,
            notes,
            history=history,
            now=time.time(),
            started=started,
        )

    def _person(self, ask: RecommendRequest) -> Person:
        user, interactions = None, []
        if ask.user is not None:
            record = self._catalog.user(ask.user)
            user = record.user if record is not None else None
            most = max(self._settings.history_items, SEEN_AT_ONCE)
            interactions = self._catalog.history(ask.user, most)
            if user is None and not interactions:
                self._models.forget(ask.user)
                raise ProblemError(
                    404,
                    "not-found",
                    f"no user {ask.user!r}",
                    field="user",
                    remedy="publish it with PUT /v1/users/{id}, or send profile or liked instead",
                )
        said = user or NOBODY
        asked = {
            "profile": ask.profile,
            "interests": ask.interests or None,
            "demographics": ask.demographics or None,
        }
        told = {name: value for name, value in asked.items() if value is not None}
        if told:
            said = said.model_copy(update=told)
        return Person(
            said=said,
            interactions=interactions,
            seen=self._seen(ask, interactions),
        )

    def _seen(self, ask: RecommendRequest, interactions: Sequence[InteractionRecord]) -> Seen:
        if not ask.exclude_seen:
            return Seen(self._catalog, ())
        ids = {*ask.liked, *(one.item for one in interactions)}
        return Seen(self._catalog, ids, ask.user if len(interactions) >= SEEN_AT_ONCE else None)

    def _history(
        self, space: Space, liked: Sequence[str], person: Person, notes: list[str]
    ) -> History:
        """What was liked, and all that was done with the items that were met last."""
        now = time.time()
        ids = [*liked, *(one.item for one in person.interactions)]
        if not ids:
            return History()
        met = list(dict.fromkeys(one.item for one in person.interactions))
        held = self._held(space, liked, met)
        asked = [(f"liked.{at}", item_id) for at, item_id in enumerate(liked)]
        explain_absent(self._catalog, asked, held, notes)
        weights = [1.0] * len(liked) + [one.weight for one in person.interactions]
        ages_s = [0.0] * len(liked) + [now - one.time for one in person.interactions]
        used = [at for at, item_id in enumerate(ids) if item_id in held]
        return History.of(
            space,
            [ids[at] for at in used],
            [held[ids[at]].vector for at in used],
            [held[ids[at]].title for at in used],
            [held[ids[at]].attributes for at in used],
            [weights[at] for at in used],
            [ages_s[at] for at in used],
            self._settings.history_half_life_days * DAY_S,
        )

    def _held(self, space: Space, liked: Sequence[str], met: Sequence[str]) -> dict[str, Held]:
        """The vectors of what was liked and of the first `history_items` met that are indexed.

        Args:
            met: different items, newest first.
        """
        most = self._settings.history_items
        held = self._vectors.of_items(space.collection, list(dict.fromkeys([*liked, *met[:most]])))
        found = [one for one in met[:most] if one in held]
        if len(found) < most < len(met):
            older = self._vectors.of_items(space.collection, met[most:])
            more = [one for one in met[most:] if one in older][: most - len(found)]
            held |= {one: older[one] for one in more}
        return held
