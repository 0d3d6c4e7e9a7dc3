"""Which point an item is."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID, uuid5

NAMESPACE = UUID("5a1e9c2e-3f0b-5d0e-9a64-0b5a2b6f1c77")
"""Namespace of point ids. Changing it would orphan every stored point."""


@lru_cache(maxsize=100_000)
def point_id(item_id: str) -> str:
    """The point's id: UUIDv5 of the item's id, so that every writer derives the same one.

    Cached because a query may exclude thousands of items, again and again.
    """
    return str(uuid5(NAMESPACE, item_id))
