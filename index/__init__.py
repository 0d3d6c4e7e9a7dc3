"""Item vectors in Qdrant: one store, a client of Qdrant's REST API, and the embedded server.

The store's names are imported when they are first asked for, so that the server's processes
start without loading the client they do not use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from index.attributes import unknown_attribute
    from index.failures import MissingCollectionError
    from index.ids import point_id
    from index.points import Hit, ItemPoint, StoredItem
    from index.schema import CollectionReport, collection_name
    from index.searches import Search
    from index.store import ItemIndex

__all__ = [
    "CollectionReport",
    "Hit",
    "ItemIndex",
    "ItemPoint",
    "MissingCollectionError",
    "Search",
    "StoredItem",
    "collection_name",
    "point_id",
    "unknown_attribute",
]

_MODULES = {
    "CollectionReport": "index.schema",
    "Hit": "index.points",
    "ItemIndex": "index.store",
    "ItemPoint": "index.points",
    "MissingCollectionError": "index.failures",
    "Search": "index.searches",
    "StoredItem": "index.points",
    "collection_name": "index.schema",
    "point_id": "index.ids",
    "unknown_attribute": "index.attributes",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
