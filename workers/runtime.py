"""What one worker process holds: one of each store, one set of models."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.settings import Settings, settings

if TYPE_CHECKING:
    from catalog import Catalog
    from encoders import Encoders
    from index import ItemIndex
    from workers.collection import Collections
    from workers.composing import Composer
    from workers.fetch import MediaFetcher
    from workers.pipeline import Pipeline


@dataclass
class Runtime:
    """Shared by all threads of the process. Tests put one together and `install` it."""

    settings: Settings
    catalog: Catalog
    index: ItemIndex
    encoders: Encoders
    fetcher: MediaFetcher
    collections: Collections
    composer: Composer
    pipeline: Pipeline

    def check(self) -> None:
        """Raise RetryableError when the encoders can take no work. Cheap."""
        self.encoders.check()

    def close(self) -> None:
        """Close everything, the models last; tasks under way fail and are sent again."""
        self.fetcher.close()
        self.index.close()
        self.catalog.close()
        self.encoders.close()


ITEM_PARTS = frozenset({"text", "image", "audio"})
PARTS_OF_LANE = {
    "text": frozenset({"text"}),
    "image": frozenset({"text", "image"}),
    "audio": ITEM_PARTS,
    "bulk": ITEM_PARTS,
}
"""Encoders that a lane's items need; another one is loaded when an item turns up that needs it."""


def load(chosen: Settings, lanes: Iterable[str] = PARTS_OF_LANE) -> Runtime:
    """Open the stores, then load the models that these lanes need: what is wrong with a setting
    or a store is known before anybody waits for models.

    Raises:
        RejectedError: a setting makes no sense (a model that does not exist ...).
        RetryableError: the ledger does not answer.
    """
    # Here and not above: torch takes seconds to import, and beat, the API and every command
    # line that sends a message import this package.
    from encoders import Encoders

    parts: frozenset[str] = frozenset()
    for lane in lanes:
        parts |= PARTS_OF_LANE.get(lane, frozenset())
    encoders = Encoders.load(chosen, parts=frozenset())
    held = assemble(chosen, encoders)
    try:
        encoders.prepare(parts)
    except BaseException:
        held.close()
        raise
    return held


def assemble(chosen: Settings, encoders: Encoders) -> Runtime:
    """Everything but the models, around these models."""
    from catalog import Catalog
    from encoders import FusionStore
    from index import ItemIndex
    from workers.collection import Collections
    from workers.composing import Composer
    from workers.fetch import MediaFetcher
    from workers.isolation import Isolation
    from workers.pipeline import Pipeline

    catalog = Catalog.connect(chosen)
    index = ItemIndex.connect(chosen)
    fetcher = MediaFetcher(chosen.fetch, chosen.folder("uploads"))
    collections = Collections(
        chosen,
        index,
        encoders.fingerprint,
        encoders.dims,
        encoders.weights,
        FusionStore(chosen.folder("artifacts") / "fusion"),
    )
    composer = Composer(chosen, catalog, index)
    pipeline = Pipeline(
        catalog=catalog,
        index=index,
        encoders=encoders,
        fetcher=fetcher,
        collections=collections,
        composer=composer,
        isolation=Isolation(),
        alias=chosen.index.alias,
        max_attempts=chosen.worker.max_attempts,
    )
    return Runtime(chosen, catalog, index, encoders, fetcher, collections, composer, pipeline)


_lock = threading.Lock()
_held: Runtime | None = None


def runtime(lanes: Iterable[str] = PARTS_OF_LANE) -> Runtime:
    """The runtime of this process, loaded (for these lanes) by whoever asks first."""
    global _held
    with _lock:
        if _held is None:
            _held = load(settings(), lanes)
        return _held


def install(made: Runtime) -> None:
    """Use this runtime instead of loading one."""
    global _held
    with _lock:
        _held = made


def close() -> None:
    """Close the runtime of this process, if there is one."""
    global _held
    with _lock:
        held, _held = _held, None
    if held is not None:
        held.close()
