"""Items by how new they are: for somebody of whom nothing is known, and to be tried out."""

from __future__ import annotations

from collections.abc import Iterator

from api.seen import Seen
from catalog import Catalog
from domain.filters import Filters, passes
from index import Hit, ItemIndex, StoredItem, unknown_attribute

MOST_READ = 2_000
"""How many of the newest items are looked through for some that may be shown."""

CHUNK = 256
"""Items that are fetched from the index at once."""


class Newest:
    """Reads the order from the ledger and the items from the index."""

    def __init__(self, catalog: Catalog, index: ItemIndex) -> None:
        self._catalog = catalog
        self._index = index

    def items(
        self, collection: str, limit: int, filters: Filters, seen: Seen, live_at: float
    ) -> list[Hit]:
        """The newest items that pass, newest first, of the last MOST_READ.

        Args:
            live_at: seconds since 1970; what has expired by then does not pass.

        Raises:
            RejectedError: a filter on an attribute that the collection cannot filter on.
        """
        if filters:
            self._check(collection, filters)
        many = bool(filters) or not seen.complete
        wanted = MOST_READ if many else min(MOST_READ, limit + len(seen.ids))
        hits: list[Hit] = []
        for chunk in self._chunks(wanted):
            left_out = seen.among(chunk)
            stored = self._index.fetch(collection, [one for one in chunk if one not in left_out])
            for item_id in chunk:
                item = stored.get(item_id)
                if item is not None and is_live(item, live_at) and passes(item.attributes, filters):
                    hits.append(hit_of(item))
                if len(hits) == limit:
                    return hits
        return hits

    def _chunks(self, first: int) -> Iterator[list[str]]:
        """Ids of the newest items: so many to begin with, and as some of them have expired or left
        the index meanwhile, all of the last MOST_READ to whoever reads on."""
        read: dict[str, None] = {}
        for most in (first, MOST_READ):
            ids = self._catalog.newest(most)
            new = [one for one in ids if one not in read]
            read.update(dict.fromkeys(new))
            for start in range(0, len(new), CHUNK):
                yield new[start : start + CHUNK]
            if len(ids) < most or most == MOST_READ:
                return

    def _check(self, collection: str, filters: Filters) -> None:
        known = self._index.attributes(collection)
        for name in filters:
            if name not in known:
                raise unknown_attribute(name, known, field=f"filters.{name}")


def is_live(item: StoredItem, at: float) -> bool:
    """Whether an item has not expired by then, in seconds since 1970."""
    return item.expires_at is None or item.expires_at > at


def hit_of(item: StoredItem) -> Hit:
    """A stored item as a result of a search that gives no score."""
    return Hit(
        id=item.id,
        version=item.version,
        score=0.0,
        title=item.title,
        attributes=item.attributes,
        modalities=item.modalities,
        vectors=item.vectors,
        indexed_at=item.indexed_at,
        expires_at=item.expires_at,
    )
