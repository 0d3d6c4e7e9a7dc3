"""The console page: ask with one sentence, see the status, find the other pages."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from starlette.responses import HTMLResponse

router = APIRouter(include_in_schema=False)

PAGE = (Path(__file__).parents[1] / "console.html").read_text(encoding="utf-8")
POLICY = (
    "default-src 'none'; connect-src 'self'; style-src 'unsafe-inline';"
    " script-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/")
async def console() -> Response:
    """One page without dependencies; everything it shows comes from the API itself."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})
