"""Item vectors in Qdrant: one store, always through qdrant-client, and the embedded server."""

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
]
