"""Asking: recommendations, similar items, search."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.auth import READ
from api.examples import Example
from api.openapi import body, problem_answers, ref
from api.problems import ProblemError
from api.ranking_schemas import RankedAnswer, RecommendRequest, SearchRequest, SimilarRequest
from api.routes.direct import DirectRoute
from api.routes.uploads import MULTIPART, file_of, form_of, is_form
from api.state import Parts, parts_of
from api.wire import answer, check_limit, decode, read_json, validated
from domain.errors import RejectedError

router = APIRouter(tags=["ask"], dependencies=READ, route_class=DirectRoute)

FILTERS = {"genre": ["drama", "comedy"], "year": {"gte": 1990}}
FORM_SCHEMA = {
    "type": "object",
    "properties": {
        "image": {"type": "string", "format": "binary"},
        "audio": {"type": "string", "format": "binary"},
        "in": {"type": "string", "enum": ["all", "text", "image", "audio"]},
        "limit": {"type": "integer"},
        "filters": {"type": "string", "description": "JSON, as in the other form of the request."},
    },
}


@router.post(
    "/v1/recommend",
    response_model=RankedAnswer,
    responses=problem_answers(400, 401, 404, 413, 415, 422, 503),
    openapi_extra=body(
        ref("RecommendRequest"),
        {
            "a stored user": {"user": "ada", "limit": 10},
            "a sentence": {"profile": "I like quiet films about the sea.", "filters": FILTERS},
            "liked items": {"liked": ["film-1", "film-7"], "limit": 5},
            "a mix": {"user": "ada", "liked": ["film-1"], "exclude_seen": False},
        },
    ),
)
async def recommend(request: Request) -> Response:
    """Items for a stored user, a sentence, liked items, or any mix of them; best first.

    With nothing at all, or nothing that ranks items, the newest come first.
    """
    parts = parts_of(request)
    limits = parts.settings.limits
    ask = validated(RecommendRequest, await read_json(request, limits), limits)
    check_limit(ask.limit, parts.settings.api.max_limit)
    return answer(await parts.run(parts.recommender.recommend, ask))


@router.post(
    "/v1/similar",
    response_model=RankedAnswer,
    responses=problem_answers(400, 401, 404, 409, 413, 415, 422, 503),
    openapi_extra=body(
        ref("SimilarRequest"),
        {"fused": {"item": "film-1"}, "by picture": {"item": "film-1", "within": "image"}},
    ),
)
async def similar(request: Request) -> Response:
    """Items like one item, in one modality or all of them fused; itself is left out."""
    parts = parts_of(request)
    limits = parts.settings.limits
    ask = validated(SimilarRequest, await read_json(request, limits), limits)
    check_limit(ask.limit, parts.settings.api.max_limit)
    return answer(await parts.run(parts.explorer.similar, ask))


SEARCH_BODY = body(
    ref("SearchRequest"),
    {
        "words": {"text": "storm at sea", "in": "all"},
        "words, in pictures": {"text": "a lighthouse at dusk", "in": "image", "limit": 5},
        "a picture": {"image": "upload:" + "0" * 64, "in": "image"},
    },
)
SEARCH_BODY["requestBody"]["content"][MULTIPART] = {
    "schema": FORM_SCHEMA,
    "example": {"image": "(a file)", "in": "image", "limit": 5, "filters": '{"genre": "drama"}'},
}


@router.post(
    "/v1/search",
    response_model=RankedAnswer,
    responses=problem_answers(400, 401, 404, 413, 415, 422, 503),
    openapi_extra=SEARCH_BODY,
)
async def search(request: Request) -> Response:
    """Items by words, a picture or a sound; in one modality or all of them fused.

    A file is given as upload:SHA256, in base64, or as a multipart form.
    """
    parts = parts_of(request)
    limits = parts.settings.limits
    if is_form(request):
        ask, example = await _search_form(request, parts)
    else:
        ask, example = validated(SearchRequest, await read_json(request, limits), limits), None
    check_limit(ask.limit, parts.settings.api.max_limit)
    return answer(await parts.run(parts.explorer.search, ask, example))


async def _search_form(request: Request, parts: Parts) -> tuple[SearchRequest, Example]:
    fetch = parts.settings.fetch
    most = max(fetch.image_bytes, fetch.audio_bytes)
    async with form_of(request, most, "FIRSTLIGHT_FETCH_AUDIO_BYTES") as form:
        raw: dict[str, object] = {
            name: value for name, value in form.items() if isinstance(value, str)
        }
        modality = "audio" if "audio" in form else "image"
        content = await file_of(form, modality).read()
    raw[modality] = "form"
    for name in ("limit", "filters"):
        if name in raw:
            raw[name] = _part(name, str(raw[name]))
    ask = validated(SearchRequest, raw, parts.settings.limits)
    try:
        example = parts.examples.checked("audio" if modality == "audio" else "image", content)
    except RejectedError as error:
        raise ProblemError(
            422, "invalid", error.message, field=modality, remedy=error.remedy
        ) from None
    return ask, example


def _part(name: str, value: str) -> object:
    try:
        return decode(value.encode())
    except ProblemError as error:
        raise ProblemError(422, "invalid", str(error), field=name, remedy="send JSON") from None
