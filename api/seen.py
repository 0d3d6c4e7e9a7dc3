"""What a user must not be shown again, however much that is."""

from __future__ import annotations

from collections.abc import Collection

from catalog import Catalog

SEEN_AT_ONCE = 1_000
"""Interactions that are read at once; of who has more, candidates are looked up in the ledger."""


class Seen:
    """Items that are left out of one answer.

    Args:
        ids: those known already: the user's latest, `liked`, and what the rules exclude.
        user: whose further interactions are looked up in the ledger; None when `ids` is all.
    """

    def __init__(self, catalog: Catalog, ids: Collection[str], user: str | None = None) -> None:
        self._catalog = catalog
        self._user = user
        self.ids = set(ids)

    @property
    def complete(self) -> bool:
        """Whether `ids` is all there is."""
        return self._user is None

    def among(self, ids: Collection[str]) -> set[str]:
        """Those of these items that are left out. What the ledger adds is known from then on."""
        found = self.ids.intersection(ids)
        if self._user is not None:
            more = self._catalog.seen_among(self._user, set(ids) - found)
            self.ids |= more
            found |= more
        return found
