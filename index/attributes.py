"""Which attributes a collection can filter on, and the payload indexes that make it quick."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qdrant_client import QdrantClient, models

from domain.errors import RejectedError
from domain.filters import Filters
from domain.log import logger
from index.filters import ATTRIBUTES
from index.points import ItemPoint

log = logger(__name__)

REFRESH_S = 60.0
MOST_INDEXED = 256
"""Each index costs memory, and names come from publishers. Attributes beyond this many names
are stored and returned, but cannot be filtered on."""

INDEXES = {
    "text": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "boolean": models.PayloadSchemaType.BOOL,
}
KINDS = {schema: kind for kind, schema in INDEXES.items()}


def type_of(value: Any) -> str | None:
    """text, number or boolean; of a list its first element; None of an empty list."""
    if isinstance(value, list):
        return type_of(value[0]) if value else None
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


@dataclass(slots=True)
class _Known:
    types: dict[str, str] = field(default_factory=dict)
    indexed: set[str] = field(default_factory=set)
    read_at: float = float("-inf")
    full: bool = False


class Attributes:
    """The attribute names of every collection, held per process and re-read when in doubt.

    A name's payload index has the type it was first seen with. Values of another type under the
    same name are found all the same, only by reading payloads instead of an index.
    """

    def __init__(self, client: QdrantClient) -> None:
        self._client = client
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def types(self, collection: str) -> dict[str, str]:
        """Every filterable name and its type, read from the store."""
        info = self._client.get_collection(collection)
        return dict(self.read(collection, info).types)

    def read(self, collection: str, info: models.CollectionInfo) -> _Known:
        """Take over what the store says it indexes."""
        stored = {}
        for key, schema in (info.payload_schema or {}).items():
            place, _, name = key.partition(".")
            if place == ATTRIBUTES:
                stored[name] = KINDS.get(schema.data_type, "text")
        with self._lock:
            known = self._known.setdefault(collection, _Known())
            # qdrant-client's local mode reports no indexes, so names learned here stay known; but
            # what is not indexed (any more: the collection was made anew) is indexed again.
            known.types.update(stored)
            known.indexed = set(stored)
            known.full = False
            known.read_at = time.monotonic()
            return known

    def forget(self, collection: str) -> None:
        """The collection was dropped, or made anew."""
        with self._lock:
            self._known.pop(collection, None)

    def learn(self, collection: str, points: Iterable[ItemPoint]) -> None:
        """Make the payload indexes for names that are new to the collection."""
        known = self._known.get(collection)
        if known is None or time.monotonic() - known.read_at > REFRESH_S:
            known = self.read(collection, self._client.get_collection(collection))
        for point in points:
            for name, value in point.attributes.items():
                if name not in known.indexed:
                    self._add(collection, known, name, value)

    def _add(self, collection: str, known: _Known, name: str, value: Any) -> None:
        kind = type_of(value)
        if kind is None or known.full:
            return
        with self._lock:
            if name in known.indexed:
                return
            if len(known.indexed) >= MOST_INDEXED:
                known.full = True
                log.warning("attribute_not_filterable", collection=collection, attribute=name)
                return
            self._client.create_payload_index(
                collection, f"{ATTRIBUTES}.{name}", field_schema=INDEXES[kind], wait=True
            )
            known.types[name] = kind
            known.indexed.add(name)

    def check(self, collection: str, filters: Filters | None) -> None:
        """Refuse conditions on attributes that the collection cannot filter on.

        Raises:
            RejectedError: naming the field and the attributes there are.
        """
        if not filters:
            return
        known: Mapping[str, str] = {}
        held = self._known.get(collection)
        if held is not None:
            known = held.types
        if any(name not in known for name in filters):
            known = self.types(collection)
        for name in filters:
            if name not in known:
                raise unknown_attribute(name, known, field=f"filters.{name}")


def unknown_attribute(name: str, known: Mapping[str, str], *, field: str) -> RejectedError:
    """The refusal of a name that is not among a collection's filterable ones.

    Args:
        known: the filterable names and their types.
        field: the place in the request.
    """
    if len(known) < MOST_INDEXED:
        return RejectedError(
            f"no item has a value of an attribute {name!r}", field=field, remedy=_listed(known)
        )
    return RejectedError(
        f"the attribute {name!r} is not among the first {MOST_INDEXED} names of the collection,"
        " which are those that can be filtered on; others are only stored",
        field=field,
        remedy="give items fewer names and run `firstlight reindex`, or take another name;"
        f" {_listed(known)}",
    )


def _listed(known: Mapping[str, str]) -> str:
    if not known:
        return "the index knows no attributes yet"
    shown = [f"{name} ({kind})" for name, kind in sorted(known.items())]
    more = f" and {len(shown) - 30} more" if len(shown) > 30 else ""
    return f"there are: {', '.join(shown[:30])}{more}"
