"""Media by upload."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from api.auth import WRITE
from api.openapi import problem_answers
from api.problems import ProblemError
from api.schemas import UploadAnswer
from api.state import Parts, parts_of
from api.wire import answer, bounded
from workers.fetch_types import SNIFFED_BYTES, content_type

router = APIRouter(tags=["publish"], dependencies=WRITE)

MULTIPART = "multipart/form-data"
OVERHEAD_BYTES = 65_536
"""Boundaries and part headers around a file."""
IN_MEMORY_BYTES = 2**20
SETTING = "FIRSTLIGHT_API_UPLOAD_BYTES"
BINARY = {"schema": {"type": "string", "format": "binary"}}


@router.post(
    "/v1/uploads",
    status_code=201,
    response_model=UploadAnswer,
    responses=problem_answers(401, 403, 413, 422),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": BINARY,
                MULTIPART: {
                    "schema": {
                        "type": "object",
                        "properties": {"file": {"type": "string", "format": "binary"}},
                        "required": ["file"],
                    }
                },
            },
        }
    },
)
async def post_upload(request: Request) -> Response:
    """Store one picture or clip: the raw bytes as the body, or a multipart form with `file`.

    What it is is decided by its content. The same file is stored once; put the `reference`
    into an item's `media`.
    """
    parts = parts_of(request)
    most = parts.settings.api.upload_bytes
    if is_form(request):
        async with form_of(request, most, SETTING) as form:
            return answer(await parts.run(_store, parts, file_of(form, "file").file), 201)
    with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as spool:
        async for chunk in bounded(request, most, SETTING):
            spool.write(chunk)
        spool.seek(0)
        return answer(await parts.run(_store, parts, spool), 201)


def _store(parts: Parts, file: IO[bytes]) -> UploadAnswer:
    start = file.read(SNIFFED_BYTES)
    size = file.seek(0, 2)
    file.seek(0)
    sha256 = parts.uploads.put(file, parts.settings.api.upload_bytes)
    found = content_type(start)
    assert found.kind is not None
    return UploadAnswer(
        reference=f"upload:{sha256}",
        sha256=sha256,
        bytes=size,
        kind=found.kind,
        media_type=found.name,
    )


def is_form(request: Request) -> bool:
    """Whether the body is a multipart form."""
    return request.headers.get("content-type", "").lower().startswith(MULTIPART)


@asynccontextmanager
async def form_of(request: Request, limit_bytes: int, setting: str) -> AsyncIterator[FormData]:
    """A multipart form; files over a megabyte are on disk, and gone when the context ends.

    Raises:
        ProblemError: 413 more than `limit_bytes` in all, 400 not a multipart form.
    """
    stream = bounded(request, limit_bytes + OVERHEAD_BYTES, setting)
    parser = MultiPartParser(request.headers, stream, max_files=1, max_fields=16)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        said = getattr(error, "message", str(error))
        raise ProblemError(
            400,
            "malformed",
            f"not a multipart form: {said}",
            field="body",
            remedy="send one file, as curl -F file=@picture.jpg does",
        ) from None
    try:
        yield form
    finally:
        await form.close()


def file_of(form: FormData, name: str) -> UploadFile:
    """The form's file. Raises ProblemError 422 when there is none of that name."""
    found = form.get(name)
    if not isinstance(found, UploadFile):
        raise ProblemError(
            422,
            "invalid",
            "the form has no such file",
            field=name,
            remedy=f"send it as curl -F {name}=@picture.jpg does",
        )
    return found
