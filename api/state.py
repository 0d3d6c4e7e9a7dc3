"""What one API process holds: one of each store, the models, and what is composed of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from fastapi import Request

from api.answer import Answers
from api.examples import Examples
from api.explore import Explorer
from api.models import Models
from api.onboarding import Onboarding
from api.recommend import Recommender
from api.spaces import Spaces
from api.threads import Threads
from api.vectors import ItemVectors
from catalog import Catalog
from domain.settings import Settings
from encoders import FusionStore
from index import ItemIndex
from ranking import HybridStore
from ranking.graph import GraphStore
from workers.publish import Sender
from workers.serving import Serving
from workers.uploads import Uploads

if TYPE_CHECKING:
    from celery import Celery

    from encoders import Encoders

T = TypeVar("T")

THREADS = 32
"""Requests that wait for a store at once; the rest queue. The event loop never blocks."""


@dataclass
class Parts:
    """Shared by all requests of the process."""

    settings: Settings
    catalog: Catalog
    index: ItemIndex
    models: Models
    spaces: Spaces
    uploads: Uploads
    examples: Examples
    broker: Celery
    sender: Sender
    recommender: Recommender
    explorer: Explorer
    onboarding: Onboarding
    threads: Threads = field(default_factory=lambda: Threads(THREADS, "request"))

    async def run(self, work: Callable[..., T], *args: object) -> T:
        """Run blocking work in a thread: one hop, whatever the work is made of."""
        return await self.threads.run(work, *args)

    def close(self) -> None:
        """Finish what runs, then close everything, the models last."""
        self.threads.close()
        self.index.close()
        self.catalog.close()
        self.models.close()


def open_parts(
    settings: Settings, *, words: Encoders | None = None, broker: Celery | None = None
) -> Parts:
    """Open the stores. Nothing is sent, and no model is loaded yet.

    Args:
        words: encoders that are already loaded; without them `models.start()` loads some.
        broker: the Celery app to publish through; by default that of the settings.

    Raises:
        RejectedError: a setting makes no sense, or the ledger is of a newer version.
        RetryableError: the ledger does not answer.
    """
    if broker is None:
        from workers.celery import create_app

        broker = create_app(settings)
    catalog = Catalog.connect(settings)
    index = ItemIndex.connect(settings)
    models = Models(settings, words)
    spaces = Spaces(
        Serving(settings, index, FusionStore(settings.folder("artifacts") / "fusion")),
        HybridStore(settings.folder("artifacts") / "hybrid"),
        GraphStore(settings.folder("artifacts") / "graph"),
    )
    vectors = ItemVectors(index, settings.api.item_cache)
    answers = Answers(catalog=catalog, index=index, vectors=vectors, settings=settings.ranking)
    uploads = Uploads(settings.folder("uploads"))
    examples = Examples(uploads, settings.fetch)
    return Parts(
        settings=settings,
        catalog=catalog,
        index=index,
        models=models,
        spaces=spaces,
        uploads=uploads,
        examples=examples,
        broker=broker,
        sender=Sender(broker, batch=settings.worker.bulk_batch),
        recommender=Recommender(
            catalog=catalog,
            models=models,
            spaces=spaces,
            vectors=vectors,
            answers=answers,
            settings=settings.ranking,
        ),
        onboarding=Onboarding(
            catalog=catalog,
            index=index,
            models=models,
            spaces=spaces,
            vectors=vectors,
            answers=answers,
            settings=settings.ranking,
        ),
        explorer=Explorer(
            catalog=catalog,
            index=index,
            models=models,
            spaces=spaces,
            vectors=vectors,
            examples=examples,
        ),
    )


def parts_of(request: Request) -> Parts:
    """The parts of the app that a request came to."""
    parts: Parts = request.app.state.parts
    return parts
