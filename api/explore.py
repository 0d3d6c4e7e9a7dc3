"""POST /v1/similar and POST /v1/search: items by an example, in one modality or fused."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from api.bridge import across
from api.cache import LruCache
from api.content import nearest_by_content
from api.examples import Example, Examples
from api.mistyped import explain_empty
from api.models import Models
from api.problems import ProblemError
from api.ranked import NOTHING_INDEXED, Space, answer_of, explained, within
from api.ranking_schemas import SearchRequest, SimilarRequest
from api.spaces import Spaces
from api.vectors import ItemVectors
from catalog import Catalog, ItemState
from domain.errors import FirstlightError, RejectedError, RetryableError
from domain.filters import Filters
from domain.vectors import RANK, Vector
from encoders import Fusion
from index import ItemIndex, Search
from ranking import (
    Projection,
    Query,
    prior,
    source_mean,
    user_vector,
    vector_query,
    widened,
)

ALL = "all"


class Explorer:
    """Blocking; called in a worker thread."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        index: ItemIndex,
        models: Models,
        spaces: Spaces,
        vectors: ItemVectors,
        examples: Examples,
    ) -> None:
        self._catalog = catalog
        self._index = index
        self._models = models
        self._spaces = spaces
        self._vectors = vectors
        self._examples = examples
        self._priors: LruCache[str, Projection] = LruCache(2)

    def similar(self, ask: SimilarRequest) -> dict[str, Any]:
        """Items like one item, itself left out.

        Raises:
            ProblemError: 404 an unknown item, 409 one that is not indexed, 422 one that lacks
                the modality.
        """
        started = time.perf_counter()
        return self._spaces.use(lambda space: self._similar(ask, space, started))

    def _similar(self, ask: SimilarRequest, space: Space | None, started: float) -> dict[str, Any]:
        name = RANK if ask.within == ALL else ask.within
        stored = {}
        if space is not None:
            stored = self._index.fetch(space.collection, [ask.item], with_vectors=[name])
        if space is None or ask.item not in stored:
            raise self._absent(ask.item)
        vector = stored[ask.item].vectors.get(name)
        if vector is None:
            has = ", ".join(stored[ask.item].modalities)
            raise ProblemError(
                422,
                "invalid",
                f"item {ask.item!r} has no {name}",
                field="within",
                remedy=f"it has {has}; use one of those, or all",
            )
        if ask.within == ALL:
            query = vector_query(space.rank.content_of(vector[None])[0])
            results = self._ranked(space, query, ask, [ask.item])
        else:
            results = self._within(space, ask.within, vector, ask, [ask.item])
        return self._answer(results, space, ask, started, [])

    def search(self, ask: SearchRequest, example: Example | None = None) -> dict[str, Any]:
        """Items by words, a picture or a sound.

        Args:
            example: the file, where it came with the request instead of by reference.

        Raises:
            RejectedError: nothing relates the example to the modality asked for; the file is
                broken, not what it should be, or unknown.
            RetryableError: a store or the models are not there.
        """
        started = time.perf_counter()
        if ask.text is None:
            example = example or self._examples.read(ask)
        vector = self._encode_example(example) if example is not None else None
        return self._spaces.use(lambda space: self._search(ask, example, vector, space, started))

    def _search(
        self,
        ask: SearchRequest,
        example: Example | None,
        vector: Vector | None,
        space: Space | None,
        started: float,
    ) -> dict[str, Any]:
        if space is None:
            return answer_of([], [NOTHING_INDEXED], None, started)
        notes: list[str] = []
        if example is not None and vector is not None:
            results = self._by_vector(space, example.modality, vector, ask, notes)
        else:
            results = self._by_words(space, ask.text or "", ask, notes)
        return self._answer(results, space, ask, started, notes)

    def _answer(
        self,
        results: list[dict[str, Any]],
        space: Space,
        ask: SimilarRequest | SearchRequest,
        started: float,
        notes: list[str],
    ) -> dict[str, Any]:
        explain_empty(results, notes, self._index, space.collection, ask.filters)
        return answer_of(results, notes, space, started)

    def _by_words(
        self, space: Space, text: str, ask: SearchRequest, notes: list[str]
    ) -> list[dict[str, Any]]:
        blocks = {block.name: block for block in space.fusion.blocks}
        words = self._models.words()
        if ask.within == ALL:
            embeddings = self._models.profile(text).vectors
            user = user_vector(space.fusion.blocks, embeddings, None, 0, 1.0)
            return self._ranked(space, self._prior(space.fusion).query(user), ask)
        if ask.within == "image" and "image" in blocks:
            vector = _one(words.image_text.encode([text]), "text")
            vector = vector - source_mean(blocks["image"], "image_text")
            return self._within(space, "image", vector, ask)
        vector = _one(words.text_query.encode([text]), "text")
        return self._by_vector(space, "text", vector, ask, notes)

    def _by_vector(
        self,
        space: Space,
        modality: Literal["text", "image", "audio"],
        vector: Vector,
        ask: SearchRequest,
        notes: list[str],
    ) -> list[dict[str, Any]]:
        if ask.within == modality:
            return self._within(space, modality, vector, ask)
        if ask.within == ALL:
            return self._ranked(space, vector_query(space.fusion.fuse({modality: vector})), ask)
        found, note = across(self._index, space, modality, vector, ask.within, ask.exact)
        if note:
            notes.append(note)
        return self._within(space, ask.within, found, ask)

    def _encode_example(self, example: Example) -> Vector:
        encoded = self._models.encode(example)
        if isinstance(encoded.error, RetryableError):
            raise _named(encoded.error, example.modality)
        if encoded.error is not None:  # it speaks of an item; the failure is the file's own
            message, _, remedy = encoded.failures[0].message.partition("; ")
            raise RejectedError(
                message, field=example.modality, remedy=remedy or "send a file that can be read"
            )
        vector: Vector = encoded.vectors[example.modality]
        return vector

    def _ranked(
        self,
        space: Space,
        query: Query,
        ask: SimilarRequest | SearchRequest,
        exclude: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        search = Search(
            widened(query, space.rank).vector,
            ask.limit,
            filters=ask.filters or None,
            exclude=exclude,
            exact=ask.exact,
            live_at=time.time(),
        )
        hits = nearest_by_content(self._index, space, search)
        return explained(space, query, hits, self._vectors)

    def _within(
        self,
        space: Space,
        modality: str,
        vector: Vector,
        ask: SimilarRequest | SearchRequest,
        exclude: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        filters: Filters | None = ask.filters or None
        hits = self._index.query(
            space.collection,
            np.ascontiguousarray(vector, dtype=np.float32),
            using=modality,
            limit=ask.limit,
            filters=filters,
            exclude=exclude,
            exact=ask.exact,
            live_at=time.time(),
        )
        return within(modality, hits)

    def _prior(self, fusion: Fusion) -> Projection:
        """Search is about content: what was learned of people has no say in it."""
        found = self._priors.get(fusion.version)
        if found is None:
            found = prior(fusion)
            self._priors.put(fusion.version, found)
        return found

    def _absent(self, item_id: str) -> ProblemError:
        record = self._catalog.item(item_id)
        if record is None or record.state is ItemState.DELETED:
            gone = ": it was deleted" if record is not None else ""
            return ProblemError(
                404,
                "not-found",
                f"no item {item_id!r}{gone}",
                field="item",
                remedy="publish it with PUT /v1/items/{id}",
            )
        why = f" ({record.reason})" if record.reason else ""
        return ProblemError(
            409,
            "conflict",
            f"item {item_id!r} is {record.state.value}{why}",
            field="item",
            remedy="wait until GET /v1/items/{id} says indexed",
        )


def _one(outcomes: Sequence[Vector | FirstlightError], field: str) -> Vector:
    outcome = outcomes[0]
    if isinstance(outcome, FirstlightError):
        raise _named(outcome, field)
    return outcome


def _named(error: FirstlightError, field: str) -> FirstlightError:
    return type(error)(error.message, field=error.field or field, remedy=error.remedy)
