"""How a collection is laid out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qdrant_client import models

from domain.errors import PermanentError, RejectedError
from domain.setting_groups import IndexSettings
from domain.vectors import RANK
from index.filters import EXPIRES_KEY

VERSION_KEY = "version"
CONDITION_KEYS = {
    VERSION_KEY: models.PayloadSchemaType.INTEGER,
    EXPIRES_KEY: models.PayloadSchemaType.FLOAT,
}
"""What conditions of our own look at, and the payload index of each."""


@dataclass(frozen=True, slots=True)
class CollectionReport:
    """What a collection holds.

    Attributes:
        points: how many items; approximate on a server of several segments.
        indexed: how many vectors the HNSW graph covers; the rest is scanned.
        dims: length of each named vector.
        attributes: filterable attribute names and their type (text, number, boolean).
    """

    name: str
    points: int
    indexed: int
    status: str
    dims: dict[str, int]
    attributes: dict[str, str]


def collection_name(alias: str, fingerprint: str) -> str:
    """The collection of one fingerprint: items-3f2a..., so that two models never mix."""
    return f"{alias}-{fingerprint}"


def vector_params(
    dims: Mapping[str, int], settings: IndexSettings
) -> dict[str, models.VectorParams]:
    """The named vectors of a collection.

    "rank" is searched by every recommendation: in memory, with an HNSW graph, by dot product
    (cosine would change the order). The raw modality vectors are read for re-fusion and searched
    by example: on disk, and exactly. A graph for each would treble the build's time and memory
    to save some tens of milliseconds at a hundred thousand items.

    Raises:
        RejectedError: there is no "rank", or a length below 1.
    """
    if RANK not in dims or any(dim < 1 for dim in dims.values()):
        raise RejectedError(f"a collection needs a {RANK!r} vector and lengths >= 1, not {dims}")
    graph = models.HnswConfigDiff(m=settings.hnsw_m, ef_construct=settings.hnsw_ef_construct)
    no_graph = models.HnswConfigDiff(m=0)
    return {
        name: models.VectorParams(
            size=dim,
            distance=models.Distance.DOT if name == RANK else models.Distance.COSINE,
            hnsw_config=graph if name == RANK else no_graph,
            on_disk=name != RANK,
        )
        for name, dim in dims.items()
    }


def dims_of(collection: str, info: models.CollectionInfo) -> dict[str, int]:
    """Length of each named vector.

    Raises:
        PermanentError: the collection has one nameless vector: it is somebody else's.
    """
    params = info.config.params.vectors
    if not isinstance(params, dict):
        raise PermanentError(
            f"collection {collection!r} has no named vectors, so it is not one of Firstlight's",
            remedy="choose another FIRSTLIGHT_INDEX_ALIAS",
        )
    return {name: vector.size for name, vector in params.items()}
