"""Tables for people, JSON for programs."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import orjson
import typer
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.client import FirstlightClient
from api.ranking_schemas import RankedAnswer, RankedItem
from domain.errors import FirstlightError
from domain.settings import settings

CODE_DIFFERS = 1
CODE_REJECTED = 2
CODE_UNAVAILABLE = 3

MASK = "****"
"""What is shown of a secret."""

SHOWN_PART = 0.0005
"""A smaller part of a score prints as zero and is left out of tables."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]

RANKING_CHARS = 60
"""What a ranking's columns before the last take at most."""

SHOWN_VALUES = 2
"""Attribute values that a ranking's table names of one result; an explanation names them all."""

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def client(timeout_s: float = 60.0) -> FirstlightClient:
    """The API as the settings name it."""
    current = settings()
    keys = [current.api.key, *current.api.write_keys]
    key = next((key.get_secret_value() for key in keys if key is not None), None)
    return FirstlightClient(
        current.api_url,
        api_key=key,
        timeout_s=timeout_s,
        batch_events=min(500, current.limits.request_events),
    )


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.buffer.flush()


def print_json_line(value: Any) -> None:
    """One JSON object on one line, for output without end."""
    sys.stdout.buffer.write(orjson.dumps(value) + b"\n")
    sys.stdout.buffer.flush()


def fail(error: FirstlightError) -> None:
    """An expected error, on standard error, on one line however wide the terminal."""
    errors.print(f"error: {error}", style="red", markup=False, soft_wrap=True)


def without_password(url: str) -> str:
    """Of a URL in whatever state: all between the user and the last @, and all parameters."""
    url = re.sub(r"(?<=://)([^/:@]*):.*@", rf"\1:{MASK}@", url)
    return re.sub(r"(?<=://)([^?]*)\?.*", rf"\1?{MASK}", url)


def table(
    title: str | None, columns: Sequence[str], rows: Iterable[Sequence[object]], whole: int = 0
) -> None:
    """A plain table; numbers are right-aligned. The first `whole` columns are never folded."""
    cells = [[("" if cell is None else cell) for cell in row] for row in rows]
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for position, name in enumerate(columns):
        numbers = bool(cells) and all(isinstance(row[position], int | float) for row in cells)
        drawn.add_column(
            name,
            justify="right" if numbers else "left",
            overflow="fold",
            no_wrap=position < whole,
        )
    for row in cells:
        shown = (f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row)
        drawn.add_row(*map(escape, shown))
    console.print(drawn)


def _lines(parts: Sequence[str], chars: int) -> str:
    """Parts in lines of at most so many characters, none of them broken."""
    joined = " ".join(part.replace(" ", "\u00a0") for part in parts)
    return textwrap.fill(joined, max(chars, 1), break_long_words=False).replace("\u00a0", " ")


def _cut(text: str, chars: int) -> str:
    return text if len(text) <= chars else f"{text[: chars - 1]}…"


def _short(value: float) -> str:
    """-0.0123 as -.012."""
    return f"{value:.3f}".replace("0.", ".", 1)


def show_ranking(answer: RankedAnswer, title: str | None = None) -> None:
    """Ranked items, and what carried each score; --json has every part."""
    drawn = Table(title=title, title_justify="left", box=None, pad_edge=False)
    drawn.add_column("#", justify="right", no_wrap=True, min_width=2)
    drawn.add_column("title", no_wrap=True, overflow="ellipsis", max_width=28)
    drawn.add_column("item", no_wrap=True, overflow="ellipsis", max_width=16)
    drawn.add_column("score", justify="right", no_wrap=True, min_width=6)
    drawn.add_column("because of", no_wrap=True, min_width=15)
    for result in answer.results:
        parts = sorted(result.parts.items(), key=lambda part: -abs(part[1]))
        shown = [f"{name} {_short(value)}" for name, value in parts if abs(value) >= SHOWN_PART]
        cells = (str(result.rank), result.title, result.id, f"{result.score:.3f}")
        values = [f"{one.name}: {one.value}" for one in result.because[:SHOWN_VALUES]]
        chars = console.width - RANKING_CHARS
        because = [_lines(shown, chars) or result.reason, *(_cut(value, chars) for value in values)]
        drawn.add_row(*map(escape, cells), escape("\n".join(because)))
    console.print(drawn)
    for result in answer.results:
        if result.explanation is not None:
            _show_explanation(result)
    if not answer.results:
        console.print("nothing matches")
    for note in answer.notes:
        console.print(f"note: {note}", markup=False)


def _show_explanation(result: RankedItem) -> None:
    """Where one score comes from, the strongest first."""
    assert result.explanation is not None
    console.print(f"\n{result.rank}. {result.title or result.id}", markup=False)
    for source in result.explanation.sources:
        if abs(source.score) < SHOWN_PART:
            continue
        named = source.title or source.item or ""
        through = " ".join(
            f"{name} {_short(value)}"
            for name, value in source.parts.items()
            if abs(value) >= SHOWN_PART and name != source.source
        )
        console.print(
            f"   {_short(source.score):>7}  {source.source} {named}".rstrip()
            + (f"  ({through})" if through else ""),
            markup=False,
        )
    for one in result.because:
        console.print(f"   {_short(one.score):>7}  {one.name}: {one.value}", markup=False)
    for path in result.explanation.paths:
        console.print(f"            {path}", markup=False)
