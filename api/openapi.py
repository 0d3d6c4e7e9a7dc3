"""The OpenAPI document: bodies are read by hand (bounded, strict), so they are described here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.ranking_schemas import OnboardingRequest, RecommendRequest, SearchRequest, SimilarRequest
from api.sample_answers import ITEM_ID, SAMPLES, USER_ID
from api.schemas import InteractionBody, Problem
from domain.events import EVENT
from domain.items import Item
from domain.users import User

TEMPLATE = "#/components/schemas/{model}"
BODIES: tuple[type[BaseModel], ...] = (
    RecommendRequest,
    OnboardingRequest,
    SimilarRequest,
    SearchRequest,
    InteractionBody,
    Item,
    User,
    Problem,
)
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {}]
OPEN = ("/healthz", "/readyz", "/metrics")
PARAMETERS = {"item_id": ITEM_ID, "user_id": USER_ID, "after": ITEM_ID, "version": "2", "limit": 20}
"""An example of each."""


def ref(name: str) -> dict[str, str]:
    """A reference to a schema of the document."""
    return {"$ref": TEMPLATE.format(model=name)}


def body(schema: Mapping[str, Any], examples: Mapping[str, Any]) -> dict[str, Any]:
    """The openapi_extra of a route that takes JSON."""
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": dict(schema),
                    "examples": {name: {"value": value} for name, value in examples.items()},
                }
            },
        }
    }


def problem_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these problems."""
    described = {
        400: "The body is not JSON.",
        401: "A key is needed.",
        403: "The key may only read.",
        404: "There is no such item or user.",
        409: "The item is not indexed.",
        413: "The body is too large.",
        415: "The body is not JSON.",
        422: "A field is wrong; `errors` names it and what to do.",
        503: "A store or the models are not there; try again.",
    }
    return {
        status: {
            "description": described[status],
            "content": {"application/problem+json": {"schema": ref("Problem")}},
        }
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Make `app.openapi` describe bodies, problems and keys."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    _, described = models_json_schema(
        [(model, "validation") for model in BODIES], ref_template=TEMPLATE
    )
    event = EVENT.json_schema(ref_template=TEMPLATE)
    schemas.update(event.pop("$defs", {}))
    schemas.update(described.get("$defs", {}))
    schemas["Event"] = event
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, operations in made["paths"].items():
        for operation in operations.values():
            if path not in OPEN:
                operation["security"] = SECURITY
            answers = operation["responses"]
            if "HTTPValidationError" in str(answers.get("422", "")):
                answers["422"] = problem_answers(422)[422]
            _show_examples(operation)
    return made


def _show_examples(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in PARAMETERS:
            parameter["example"] = PARAMETERS[parameter["name"]]
    for described in operation["responses"].values():
        for content in described.get("content", {}).values():
            name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
            if name in SAMPLES:
                content["example"] = SAMPLES[name]
