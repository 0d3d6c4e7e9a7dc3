"""Operating: liveness, readiness, figures, status."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.auth import READ
from api.openapi import problem_answers
from api.schemas import HealthAnswer, ModelReport, ReadyAnswer, StatusAnswer
from api.state import Parts, parts_of
from api.wire import answer
from domain.errors import FirstlightError
from workers.queues import queue_depths

router = APIRouter(tags=["operate"])

T = TypeVar("T")


@router.get("/healthz", response_model=HealthAnswer)
async def healthz() -> Response:
    """The process lives; whether it can answer is /readyz."""
    return answer(HealthAnswer(version=version("firstlight")))


@router.get(
    "/readyz",
    response_model=ReadyAnswer,
    responses={503: {"model": ReadyAnswer, "description": "Not ready; the checks say why."}},
)
async def readyz(request: Request) -> Response:
    """Encodes a sentence and queries the index, now, and tells how long each took."""
    found = await request.app.state.readiness.prove()
    return answer(found, 200 if found.ready else 503)


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    text = await parts_of(request).run(request.app.state.metrics.render)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@router.get(
    "/v1/status",
    dependencies=READ,
    response_model=StatusAnswer,
    responses=problem_answers(401, 503),
)
async def status(request: Request) -> Response:
    """Counts by state, queues, collection, artifacts, models. What does not answer is noted."""
    parts = parts_of(request)
    return answer(await parts.run(_status, parts))


def _status(parts: Parts) -> StatusAnswer:
    notes: list[str] = []
    no_depths: dict[str, int] = {}
    no_names: list[str] = []

    def tried(what: str, read: Callable[[], T], otherwise: T) -> T:
        try:
            return read()
        except FirstlightError as error:
            notes.append(f"{what}: {error}")
            return otherwise

    space = tried("serving collection", parts.spaces.current, None)
    collection = tried("index", parts.index.serving, None)
    items = None
    if collection is not None:
        items = tried("collection size", lambda: parts.index.info(str(collection)).points, None)
    models = [
        ModelReport.model_validate(one, from_attributes=True) for one in parts.models.describe()
    ]
    return StatusAnswer(
        version=version("firstlight"),
        counts={state.value: count for state, count in parts.catalog.counts().items()},
        pending_by_lane=parts.catalog.pending_by_lane(),
        oldest_pending_s=parts.catalog.oldest_pending_s(),
        queue_depth=tried("broker", lambda: queue_depths(parts.broker), no_depths),
        collection=collection,
        collection_items=items,
        collections=tried("index", parts.index.collections, no_names),
        fusion=space.fusion.version if space is not None else None,
        projection=space.hybrid.version if space is not None else None,
        pack=parts.settings.encoder.pack,
        models=models,
        notes=notes,
    )
