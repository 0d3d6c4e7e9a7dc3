"""The item store: item vectors in Qdrant, embedded or not, through Qdrant's REST API only.

On loopback upsert and query go over plain connections (decision 0010), the rest through
qdrant-client. Every write carries its version and is a compare-and-set inside the store, so
writers may repeat, race and arrive in any order: the newest version stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse

from domain.errors import PermanentError, RejectedError, RetryableError
from domain.filters import Filters
from domain.setting_groups import IndexSettings
from domain.settings import Settings
from domain.vectors import RANK, Vector
from index.attributes import Attributes
from index.connection import client_for
from index.failures import MissingCollectionError, translated
from index.filters import EXPIRES_KEY, Json, exactly, outdated, replaceable, to_filter
from index.hot import hot_calls
from index.ids import point_id
from index.points import (
    Hit,
    ItemPoint,
    StoredItem,
    chunks,
    fault,
    newest,
    to_body,
    to_hit,
    to_stored,
)
from index.schema import CONDITION_KEYS, CollectionReport, dims_of, vector_params
from index.searches import Expiring, Search, Sizes, search_body

OLDEST_SERVER = (1, 17)
"""Older Qdrant servers ignore `update_filter`, and would let an old version overwrite a new."""

UPSERT_POINTS = 128
WRITE_PAIRS = 256


class ItemIndex:
    """Items in collections, one of which is behind the serving alias.

    One object serves all threads of a process. Every method raises RetryableError when the store
    does not answer within the settings' timeout or the collection is missing.
    """

    def __init__(self, client: QdrantClient, settings: IndexSettings, *, url: str) -> None:
        self._client = client
        self._settings = settings
        self._url = url
        self._hot = hot_calls(client, settings)
        self._attributes = Attributes(client)
        self._dims: dict[str, dict[str, int]] = {}
        self._sizes = Sizes(client)
        self._expiring = Expiring()

    @classmethod
    def connect(cls, settings: Settings) -> ItemIndex:
        """A store at settings.index_url. Sends nothing yet."""
        return cls(client_for(settings), settings.index, url=settings.index_url)

    def close(self) -> None:
        """Close the connections."""
        self._hot.close()
        self._client.close()

    def ping(self) -> None:
        """Raise RetryableError unless a usable store answers."""
        with translated(self._url):
            found = self._client.info().version
        parts = tuple(int(part) for part in found.split("-")[0].split(".")[:2] if part.isdigit())
        if parts < OLDEST_SERVER:
            raise RetryableError(
                f"the index at {self._url} is Qdrant {found}, which ignores conditions on writes",
                remedy="run Qdrant 1.17 or newer",
            )

    # -- collections ---------------------------------------------------------------------

    def ensure(self, collection: str, dims: Mapping[str, int]) -> None:
        """Make the collection if it is not there. Safe when several processes do it at once.

        Args:
            dims: length of each named vector; "rank" and the raw modalities.

        Raises:
            RejectedError: it is there with other vectors.
        """
        self.ping()
        with translated(self._url):
            if not self._client.collection_exists(collection):
                self._create(collection, dims)
            info = self._client.get_collection(collection)
            found = dims_of(collection, info)
            if found != dict(dims):
                raise RejectedError(
                    f"collection {collection!r} holds vectors {found}, not {dict(dims)}",
                    remedy="drop it, or use another FIRSTLIGHT_INDEX_ALIAS",
                )
            for key, schema in CONDITION_KEYS.items():
                if key not in (info.payload_schema or {}):
                    # Servers in strict mode refuse conditions on payloads that are not indexed.
                    self._client.create_payload_index(collection, key, field_schema=schema)
        self._dims[collection] = found

    def _create(self, collection: str, dims: Mapping[str, int]) -> None:
        self._attributes.forget(collection)
        try:
            self._client.create_collection(
                collection, vectors_config=vector_params(dims, self._settings)
            )
        except (UnexpectedResponse, ValueError):
            if not self._client.collection_exists(collection):
                raise

    def drop(self, collection: str) -> None:
        """Remove the collection and an alias that points to it; nothing if it is not there."""
        with translated(self._url):
            self._client.delete_collection(collection)
        self._forget(collection)

    def collections(self) -> list[str]:
        """Names, sorted."""
        with translated(self._url):
            found = self._client.get_collections().collections
        return sorted(collection.name for collection in found)

    def info(self, collection: str) -> CollectionReport:
        """What the collection holds."""
        with self._in(collection):
            info = self._client.get_collection(collection)
            return CollectionReport(
                name=collection,
                points=info.points_count or 0,
                indexed=info.indexed_vectors_count or 0,
                status=str(info.status.value),
                dims=dims_of(collection, info),
                attributes=dict(self._attributes.read(collection, info).types),
            )

    def attributes(self, collection: str) -> dict[str, str]:
        """Filterable attribute names and their type: text, number or boolean."""
        with self._in(collection):
            return self._attributes.types(collection)

    def serving(self) -> str | None:
        """The collection behind the alias, or None before the first swap."""
        with translated(self._url):
            aliases = self._client.get_aliases().aliases
        for alias in aliases:
            if alias.alias_name == self._settings.alias:
                return alias.collection_name
        return None

    def swap(self, collection: str) -> None:
        """Point the alias at the collection, in one step for every reader."""
        alias = self._settings.alias
        operations: list[models.AliasOperations] = []
        if self.serving() is not None:
            operations.append(
                models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
            )
        operations.append(
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(collection_name=collection, alias_name=alias)
            )
        )
        with self._in(collection):
            self._client.update_collection_aliases(operations)

    # -- writes --------------------------------------------------------------------------

    def faults(self, collection: str, points: Iterable[ItemPoint]) -> dict[str, PermanentError]:
        """What upsert would refuse, by item id: NaN, infinite, zero or misshapen vectors."""
        dims = self.dims(collection)
        found = {}
        for point in points:
            error = fault(point, dims)
            if error is not None:
                found[point.id] = error
        return found

    def upsert(self, collection: str, points: Sequence[ItemPoint]) -> None:
        """Write each point unless the same or a newer version of its item is stored.

        Returns once all are durable. Nothing is written when any point is refused.

        Raises:
            PermanentError: a vector is NaN, infinite, zero or misshapen; the item is named.
        """
        kept = newest(points)
        for error in self.faults(collection, kept).values():
            raise error
        with self._in(collection):
            self._attributes.learn(collection, kept)
            for chunk in chunks(kept, UPSERT_POINTS):
                body = {
                    "points": [to_body(point) for point in chunk],
                    "update_filter": replaceable({point.id: point.version for point in chunk}),
                }
                self._hot.upsert(collection, body)

    def rewrite(self, collection: str, points: Sequence[ItemPoint]) -> None:
        """Replace each point that is stored at exactly the version given, and nothing else: what
        is newer, older or gone stays as it is.

        Raises:
            PermanentError: a vector is NaN, infinite, zero or misshapen; the item is named.
        """
        for error in self.faults(collection, points).values():
            raise error
        with self._in(collection):
            for chunk in chunks(newest(points), UPSERT_POINTS):
                body = {
                    "points": [to_body(point) for point in chunk],
                    "update_filter": exactly([(point.id, point.version) for point in chunk]),
                    "update_mode": "update_only",
                }
                self._hot.upsert(collection, body)

    def delete(self, collection: str, pairs: Sequence[tuple[str, int]]) -> None:
        """Remove each (item id, version) if that version or an older one is stored."""
        with self._in(collection):
            for chunk in chunks(pairs, WRITE_PAIRS):
                self._remove(collection, outdated(chunk))

    def undo(self, collection: str, pairs: Sequence[tuple[str, int]]) -> None:
        """Remove each (item id, version) if exactly that version is stored."""
        with self._in(collection):
            for chunk in chunks(pairs, WRITE_PAIRS):
                self._remove(collection, exactly(chunk))

    def _remove(self, collection: str, condition: Json) -> None:
        selector = models.FilterSelector(filter=models.Filter.model_validate(condition))
        self._client.delete(collection, selector, wait=True)

    # -- reads ---------------------------------------------------------------------------

    def query(
        self,
        collection: str,
        vector: Vector,
        *,
        limit: int,
        using: str = RANK,
        filters: Filters | None = None,
        exclude: Collection[str] = (),
        exact: bool | None = None,
        with_vectors: Sequence[str] = (),
        live_at: float | None = None,
    ) -> list[Hit]:
        """The `limit` best items, best first. See Search for the arguments.

        Raises:
            RejectedError: a filter on an unknown attribute, a misshapen or non-finite vector.
        """
        search = Search(vector, limit, using, filters, exclude, exact, with_vectors, live_at)
        return self.query_many(collection, [search])[0]

    def query_many(self, collection: str, searches: Sequence[Search]) -> list[list[Hit]]:
        """Several searches in one call; the answers in order."""
        if not searches:
            return []
        sift = self._expiring.met(collection)
        found = self._found(collection, searches, sift=sift)
        if not sift and any(
            _holds_expired(hits, search) for hits, search in zip(found, searches, strict=True)
        ):
            self._expiring.meet(collection)
            found = self._found(collection, searches, sift=True)
        return found

    def _found(self, collection: str, searches: Sequence[Search], *, sift: bool) -> list[list[Hit]]:
        dims = self.dims(collection)
        with self._in(collection):
            for search in searches:
                self._attributes.check(collection, search.filters)
            size = self._sizes.of(collection)
            bodies = [
                search_body(search, dims, self._settings, size, sift=sift) for search in searches
            ]
            answers = self._hot.query(collection, bodies)
        return [[to_hit(point) for point in answer] for answer in answers]

    def fetch(
        self, collection: str, ids: Sequence[str], *, with_vectors: Sequence[str] = ()
    ) -> dict[str, StoredItem]:
        """The items of these ids that are stored, by id."""
        found = {}
        with self._in(collection):
            for chunk in chunks(ids, WRITE_PAIRS):
                records = self._client.retrieve(
                    collection,
                    [point_id(item_id) for item_id in chunk],
                    with_payload=True,
                    with_vectors=list(with_vectors),
                )
                for record in records:
                    item = to_stored(record.payload or {}, record.vector)
                    found[item.id] = item
        return found

    def scroll(
        self,
        collection: str,
        *,
        filters: Filters | None = None,
        batch: int = 256,
        with_vectors: Sequence[str] = (),
    ) -> Iterator[list[StoredItem]]:
        """All items, `batch` at a time, in no particular order.

        An item that stays stored throughout is seen exactly once; one that is written or
        removed meanwhile is seen in one state or the other, or not.
        """
        for records in self._records(collection, filters, batch, True, list(with_vectors)):
            yield [to_stored(record.payload or {}, record.vector) for record in records]

    def versions(self, collection: str, *, batch: int = 1000) -> Iterator[tuple[str, int]]:
        """(item id, version) of everything stored."""
        for records in self._records(collection, None, batch, ["item_id", "version"], False):
            for record in records:
                payload = record.payload or {}
                yield payload["item_id"], payload["version"]

    def _records(
        self,
        collection: str,
        filters: Filters | None,
        batch: int,
        payload: bool | list[str],
        vectors: bool | list[str],
    ) -> Iterator[list[models.Record]]:
        condition = self._condition(collection, filters)
        offset = None
        while True:
            with self._in(collection):
                records, offset = self._client.scroll(
                    collection,
                    scroll_filter=condition,
                    limit=batch,
                    offset=offset,
                    with_payload=payload,
                    with_vectors=vectors,
                )
            if records:
                yield records
            if offset is None:
                return

    def expired(self, collection: str, at: float, limit: int) -> list[tuple[str, int]]:
        """(item id, version) of at most `limit` items that have expired by `at`, in seconds."""
        condition: Json = {"must": [{"key": EXPIRES_KEY, "range": {"lte": at}}]}
        with self._in(collection):
            records, _ = self._client.scroll(
                collection,
                scroll_filter=models.Filter.model_validate(condition),
                limit=limit,
                with_payload=["item_id", "version"],
                with_vectors=False,
            )
        payloads = [record.payload or {} for record in records]
        return [(payload["item_id"], payload["version"]) for payload in payloads]

    def count(self, collection: str, filters: Filters | None = None) -> int:
        """How many items (match), exactly."""
        condition = self._condition(collection, filters)
        with self._in(collection):
            return self._client.count(collection, count_filter=condition, exact=True).count

    # -- what is remembered ---------------------------------------------------------------

    def dims(self, collection: str) -> dict[str, int]:
        """Length of each named vector of the collection."""
        held = self._dims.get(collection)
        if held is None:
            with self._in(collection):
                held = dims_of(collection, self._client.get_collection(collection))
            self._dims[collection] = held
        return held

    def _condition(self, collection: str, filters: Filters | None) -> models.Filter | None:
        with self._in(collection):
            self._attributes.check(collection, filters)
        made = to_filter(filters)
        return models.Filter.model_validate(made) if made else None

    def _forget(self, collection: str) -> None:
        self._dims.pop(collection, None)
        self._sizes.forget(collection)
        self._attributes.forget(collection)

    @contextmanager
    def _in(self, collection: str) -> Iterator[None]:
        try:
            with translated(self._url):
                yield
        except MissingCollectionError:
            self._forget(collection)
            raise


def _holds_expired(hits: Sequence[Hit], search: Search) -> bool:
    at = search.live_at
    return at is not None and any(
        hit.expires_at is not None and hit.expires_at <= at for hit in hits
    )
