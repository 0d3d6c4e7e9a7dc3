"""Which collection, made with which fusion, a worker writes to."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from domain.errors import RejectedError, RetryableError
from domain.log import logger
from domain.settings import Settings
from domain.vectors import RANK
from encoders import Fusion, FusionStore, collection_fingerprint
from encoders.attributes import ATTRIBUTES
from index import ItemIndex, collection_name
from ranking import RankSpace, rank_space
from workers.collection_registry import CollectionRecord, Registry

LOOK_AGAIN_S = 10.0
"""How long a collection that was there is taken to be there still."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Active:
    """A collection and the one fusion that fits it.

    Attributes:
        fingerprint: of encoders, fusion and generation; written with every point and ledger row.
        encoders: fingerprint of the item encoders alone.
        space: of its rank vectors.
    """

    collection: str
    fusion: Fusion
    fingerprint: str
    encoders: str
    space: RankSpace


def registry_of(settings: Settings) -> Registry:
    """The registry in the data directory."""
    return Registry(settings.folder("artifacts") / "collections")


class Collections:
    """For writers: where items go. One object serves all threads of a process.

    Workers with other encoders (another fingerprint) write to another collection, so a mixed
    fleet never mixes vectors; what is served is decided by the alias alone, which
    `firstlight reindex` and `firstlight fit-fusion` move.
    """

    def __init__(
        self,
        settings: Settings,
        index: ItemIndex,
        encoders_fingerprint: str,
        dims: Mapping[str, int],
        weights: Mapping[str, float],
        fusion_store: FusionStore,
    ) -> None:
        """
        Args:
            dims: lengths of the raw vectors by modality.
            weights: of blocks, where the settings say nothing.

        Raises:
            RejectedError: a weight that is unknown or not above 0.
        """
        self.weights = {**weights, **settings.fusion.weights}
        self._alias = settings.index.alias
        self._passthrough = Fusion.passthrough(
            {**dims, ATTRIBUTES: settings.fusion.block_dim}, self.weights
        )
        self._index = index
        self._dims = dict(dims)
        self._factors = settings.ranking.factors
        self._graph = settings.ranking.graph_dim
        self.encoders = encoders_fingerprint
        self.fusions = fusion_store
        self.registry = registry_of(settings)
        self._held: Active | None = None
        self._looked_at: dict[str, float] = {}

    def active(self) -> Active:
        """Where to write now. Makes the collection, and the alias when nothing is served yet.

        Costs two stats of small files while nothing changes, and a look at the index every
        LOOK_AGAIN_S seconds.

        Raises:
            RetryableError: the index does not answer, or the fusion is missing on disk.
        """
        record = self.registry.writing(self.encoders)
        if record is None or not record.factors:
            record = self._begin()
        held = self._held
        if held is None or held.collection != record.collection:
            held = self._held = self.open(record)
        self._look(held)
        return held

    def open(self, record: CollectionRecord) -> Active:
        """A collection with its fusion.

        Raises:
            RetryableError: the fusion is missing or damaged on disk.
        """
        return opened(record, self.fusions)

    def ensure(self, active: Active) -> None:
        """Make the collection if it is not there. Raises RetryableError."""
        self._index.ensure(active.collection, {RANK: active.space.dim, **self._dims})

    def record(
        self, fusion: Fusion, *, replaces: str | None, copied: bool, fresh: bool = False
    ) -> CollectionRecord:
        """A record for these encoders and this fusion; not kept yet.

        Args:
            fresh: of the next generation if there is one of this vector space already.
        """
        generation, known = 1, self.registry.records() if fresh else {}
        while True:
            version = f"{fusion.version}+f{self._factors}g{self._graph}"
            if generation > 1:
                version = f"{version}#{generation}"
            fingerprint = collection_fingerprint(self.encoders, version)
            collection = collection_name(self._alias, fingerprint)
            if collection not in known:
                break
            generation += 1
        return CollectionRecord(
            collection=collection,
            fingerprint=fingerprint,
            encoders=self.encoders,
            fusion=fusion.version,
            generation=generation,
            replaces=replaces,
            copied=copied,
            made_at=time.time(),
            factors=self._factors,
            graph=self._graph,
        )

    def passthrough(self) -> Fusion:
        """The fusion of these encoders before statistics exist, kept on disk."""
        self.fusions.add(self._passthrough)
        return self._passthrough

    def _begin(self) -> CollectionRecord:
        """The first collection of these encoders. Several processes may do it at once: all
        arrive at the same record."""
        replaces = self._index.serving()
        record = self.record(self.passthrough(), replaces=replaces, copied=False)
        if record.collection == replaces:
            record = replace(record, replaces=None)
        self.registry.put(record)
        self.registry.write_to(record)
        return record

    def _look(self, active: Active) -> None:
        now = time.monotonic()
        if now - self._looked_at.get(active.collection, float("-inf")) < LOOK_AGAIN_S:
            return
        self.ensure(active)
        serving = self._index.serving()
        if serving is None:
            self._index.swap(active.collection)
        elif serving != active.collection and active.collection not in self._looked_at:
            self._warn(active, serving)
        self._looked_at = {active.collection: now}

    def _warn(self, active: Active, serving: str) -> None:
        if self.registry.goal() is None:
            log.warning(
                "collection_not_served",
                writing=active.collection,
                serving=serving,
                reason="the encoders have changed",
                remedy="run `firstlight reindex`",
            )


def opened(record: CollectionRecord, fusions: FusionStore) -> Active:
    """A collection with its fusion.

    Raises:
        RetryableError: the fusion is missing or damaged on disk, or an older Firstlight made it.
    """
    if not record.factors:
        raise RetryableError(
            f"collection {record.collection} is of an older Firstlight, without collaborative"
            " factors",
            remedy="run `firstlight reindex`",
        )
    try:
        fusion = fusions.get(record.fusion)
    except RejectedError as error:
        raise RetryableError(
            f"the fusion of collection {record.collection} cannot be read: {error.message}",
            remedy="restore the artifacts folder or run `firstlight reindex`",
        ) from None
    space = rank_space(fusion.blocks, record.factors, record.graph)
    return Active(record.collection, fusion, record.fingerprint, record.encoders, space)
