"""Bytes to validated requests and answers to bytes: bounded, strict, and quick."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from api.problems import ProblemError, invalid, printable
from domain.limits import Limits

M = TypeVar("M", bound=BaseModel)

JSON_TYPES = (
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
)
DECODED_AT_ONCE_BYTES = 2**18
"""A larger body is decoded in a thread, so that it does not hold up the others."""
TOO_DEEP = "nested too deeply"


async def bounded(request: Request, limit_bytes: int, setting: str) -> AsyncGenerator[bytes]:
    """The body as it arrives, ended with 413 as soon as it is longer than the limit."""
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > limit_bytes:
        raise _too_large(limit_bytes, setting)
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes, setting)
        if chunk:
            yield chunk


def _too_large(limit_bytes: int, setting: str) -> ProblemError:
    return ProblemError(
        413,
        "too-large",
        f"the body is larger than {limit_bytes:,} bytes",
        field="body",
        remedy=f"send less at once or raise {setting}",
        headers={"Connection": "close"},
    )


async def read_json(request: Request, limits: Limits) -> Any:
    """The decoded JSON body.

    NaN, Infinity and lone surrogates are decoded, for the models to refuse with the field's name:
    so one such value in a list of events harms no neighbour.

    Raises:
        ProblemError: 415 another media type, 413 too large, 400 not JSON, saying where.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in JSON_TYPES:
        raise ProblemError(
            415,
            "media-type",
            f"the body is {printable(media_type) or 'of no stated type'}, not JSON",
            field="Content-Type",
            remedy="send Content-Type: application/json",
        )
    body = bytearray()
    async for chunk in bounded(request, limits.request_bytes, "FIRSTLIGHT_LIMITS_REQUEST_BYTES"):
        body += chunk
    if len(body) > DECODED_AT_ONCE_BYTES:
        return await asyncio.to_thread(decode, bytes(body))
    return decode(bytes(body))


def decode(body: bytes) -> Any:
    """JSON as Python values. Raises ProblemError 400 that says where it went wrong."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _decode_leniently(body)


def _decode_leniently(body: bytes) -> Any:
    if not body.strip():
        raise _malformed("the body is empty", "send a JSON object")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"not UTF-8 at byte {error.start}", "encode the body in UTF-8") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _malformed(
            f"malformed JSON at line {error.lineno}, column {error.colno}: {error.msg}",
            "correct it there",
        ) from None
    except RecursionError:
        raise _malformed(f"malformed JSON: {TOO_DEEP}", "send flat objects") from None
    except ValueError:
        # All else that Python's decoder refuses: integers longer than it reads.
        raise _malformed(
            "malformed JSON: a number of thousands of digits", "send it as text"
        ) from None


def _malformed(message: str, remedy: str) -> ProblemError:
    return ProblemError(400, "malformed", message, field="body", remedy=remedy)


def validated(model: type[M], raw: Any, limits: Limits) -> M:
    """The request as its model. Raises ProblemError 422 naming every wrong field."""
    if not isinstance(raw, dict):
        raise ProblemError(
            422,
            "invalid",
            f"the body is {_kind(raw)}, not a JSON object",
            field="body",
            remedy='send an object such as {"limit": 10}',
        )
    try:
        return model.model_validate(raw, context={"limits": limits})
    except ValidationError as error:
        raise invalid(error) from None


def _kind(raw: Any) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(raw), "a number")


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer; models and plain values alike."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return Response(
        orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def check_limit(limit: int, most: int) -> int:
    """How many results, within what one query may ask for. Raises ProblemError 422."""
    if not 1 <= limit <= most:
        raise ProblemError(
            422,
            "invalid",
            f"{limit} results",
            field="limit",
            remedy=f"ask for 1 to {most} (the most is FIRSTLIGHT_API_MAX_LIMIT)",
        )
    return limit
