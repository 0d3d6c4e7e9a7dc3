"""Items for somebody of whom nothing is known: the newest."""

from __future__ import annotations

from collections.abc import Collection

from catalog import Catalog
from domain.errors import RejectedError
from domain.filters import Filters, passes
from index import Hit, ItemIndex

MOST_READ = 2_000
"""How many of the newest items are looked through for some that pass the filters."""


class Newest:
    """Reads the order from the ledger and the items from the index."""

    def __init__(self, catalog: Catalog, index: ItemIndex) -> None:
        self._catalog = catalog
        self._index = index

    def items(
        self, collection: str, limit: int, filters: Filters, exclude: Collection[str]
    ) -> list[Hit]:
        """The newest items that pass, newest first, of the last MOST_READ.

        Raises:
            RejectedError: a filter on an attribute that no item has.
        """
        if filters:
            self._check(collection, filters)
        wanted = MOST_READ if filters else min(MOST_READ, limit + len(exclude))
        ids = [one.id for one in self._catalog.newest(wanted) if one.id not in exclude]
        hits: list[Hit] = []
        for start in range(0, len(ids), 256):
            chunk = ids[start : start + 256]
            stored = self._index.fetch(collection, chunk)
            for item_id in chunk:
                item = stored.get(item_id)
                if item is not None and passes(item.attributes, filters):
                    hits.append(
                        Hit(
                            id=item.id,
                            version=item.version,
                            score=0.0,
                            title=item.title,
                            attributes=item.attributes,
                            modalities=item.modalities,
                            vectors={},
                        )
                    )
                if len(hits) == limit:
                    return hits
        return hits

    def _check(self, collection: str, filters: Filters) -> None:
        known = self._index.attributes(collection)
        for name in filters:
            if name not in known:
                raise RejectedError(
                    f"no item has an attribute {name!r}",
                    field=f"filters.{name}",
                    remedy=f"there are: {', '.join(sorted(known)[:30]) or 'none yet'}",
                )
