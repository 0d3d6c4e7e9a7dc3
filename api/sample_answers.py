"""One answer of each kind, as the OpenAPI document shows it; typed, so that it cannot go stale."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from api.ranking_schemas import (
    AskedItem,
    AttributeShare,
    OnboardingAnswer,
    RankedAnswer,
    RankedItem,
    RankingModel,
)
from api.schemas import (
    Answer,
    Check,
    EventsAnswer,
    FieldError,
    ForgetReceipt,
    HealthAnswer,
    ItemAnswer,
    ItemsAnswer,
    ModelReport,
    Problem,
    ReadyAnswer,
    Receipt,
    Removed,
    Statistics,
    StatusAnswer,
    UploadAnswer,
    UserAnswer,
)
from domain.items import Item, Media
from domain.users import User

ITEM_ID, USER_ID = "film-1", "ada"
COLLECTION, FUSION, PROJECTION = "items-1f0c2b9a7d3e", "fit-58c1e0b2", "prior-58c1e0b2"
SHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MODELS = {"text": "all-MiniLM-L6-v2", "image": "efficientnet-lite0"}
ACCEPTED_AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
INDEXED_AT = ACCEPTED_AT + timedelta(milliseconds=184)

_RECEIPT = Receipt(
    index=0,
    status="accepted",
    event_id="8723c5aa-2955-4860-934b-245e80d1123d",
    kind="item",
    id=ITEM_ID,
    version=1,
)
_WRONG = FieldError(
    field="data",
    message="the item is empty",
    remedy="give at least one of title, description, tags, a text attribute, media.images,"
    " media.audio",
)
_ITEM = ItemAnswer(
    id=ITEM_ID,
    version=1,
    state="indexed",
    item=Item(
        id=ITEM_ID,
        version=1,
        title="The Lighthouse Keeper",
        attributes={"genre": ["drama"], "year": 2026},
        media=Media(images=["https://example.org/poster.jpg"]),
    ),
    lane="image",
    attempts=1,
    fingerprint=COLLECTION.removeprefix("items-"),
    models=MODELS,
    accepted_at=ACCEPTED_AT,
    indexed_at=INDEXED_AT,
    updated_at=INDEXED_AT,
    latency_s=0.184,
)
_RANKED = RankedItem(
    rank=1,
    id=ITEM_ID,
    version=1,
    title="The Lighthouse Keeper",
    score=0.875,
    parts={
        "text": 0.5,
        "image": 0.125,
        "audio": 0.0,
        "attributes": 0.25,
        "bias": 0.0,
    },
    reason="text",
    because=[AttributeShare(name="genre", value="drama", score=0.1875)],
    modalities=["text", "image"],
    attributes={"genre": ["drama"], "year": 2026},
)
_SAMPLES: tuple[Answer, ...] = (
    _RECEIPT,
    EventsAnswer(
        accepted=1,
        rejected=1,
        results=[_RECEIPT, Receipt(index=1, status="rejected", errors=[_WRONG])],
    ),
    _ITEM,
    ItemsAnswer(items=[_ITEM], next=ITEM_ID),
    UserAnswer(
        id=USER_ID,
        version=1,
        user=User(id=USER_ID, version=1, profile="I like slow films about people at sea."),
        updated_at=ACCEPTED_AT,
    ),
    UploadAnswer(
        reference=f"upload:{SHA256}",
        sha256=SHA256,
        bytes=48_213,
        kind="image",
        media_type="image/jpeg",
    ),
    RankedAnswer(
        results=[_RANKED],
        model=RankingModel(collection=COLLECTION, fusion=FUSION, projection=PROJECTION),
        took_ms=6.2,
    ),
    OnboardingAnswer(
        ask=[
            AskedItem(id="film-7", title="The Harbour", attributes={"genre": ["drama"]}, known=0.31)
        ],
        learned=0.18,
        results=[_RANKED],
        model=RankingModel(collection=COLLECTION, fusion=FUSION, projection=PROJECTION),
        took_ms=9.4,
    ),
    ForgetReceipt(
        index=0,
        status="accepted",
        event_id="8723c5aa-2955-4860-934b-245e80d1123d",
        kind="user",
        id=USER_ID,
        version=2,
        user=USER_ID,
        removed=Removed(
            profile=True,
            interactions=41,
            cached_vectors=1,
            statistics=Statistics.SUBTRACTED,
            learned_interactions=38,
            refolded_items=38,
            projection=PROJECTION,
        ),
    ),
    HealthAnswer(version="0.1.0"),
    ReadyAnswer(
        ready=True,
        checks={
            "catalog": Check(ok=True, took_ms=0.4),
            "encode": Check(ok=True, took_ms=9.8),
            "query": Check(ok=True, took_ms=1.7, detail="nearest is 'film-1'"),
        },
    ),
    StatusAnswer(
        version="0.1.0",
        counts={"pending": 0, "indexed": 110, "dead": 1, "deleted": 0},
        pending_by_lane={},
        oldest_pending_s=0.0,
        queue_depth={"text": 0, "image": 0, "audio": 0, "bulk": 0, "train": 0},
        collection=COLLECTION,
        collection_items=110,
        collections=[COLLECTION],
        fusion=FUSION,
        projection=PROJECTION,
        pack="starter",
        models=[
            ModelReport(
                name="text",
                model=MODELS["text"],
                dim=384,
                device="cpu",
                precision="bfloat16",
                fingerprint="0f5c7f1be2a4",
                speedup=2.9,
                cosine=0.9999,
            )
        ],
    ),
    Problem(
        type="urn:firstlight:problem:invalid",
        title="The request is not valid",
        status=422,
        detail=f"{_WRONG.field}: {_WRONG.message}",
        instance="/v1/events",
        errors=[_WRONG],
    ),
)
SAMPLES: dict[str, Any] = {type(one).__name__: one.model_dump(mode="json") for one in _SAMPLES}
"""By the name of the schema."""
