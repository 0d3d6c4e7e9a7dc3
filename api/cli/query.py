"""Asking: recommend, similar, search."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from api.cli.output import AsJson, client, print_json, show_ranking
from api.ranking_schemas import RankedAnswer, Target
from domain.errors import RejectedError

Filter = Annotated[
    str | None,
    typer.Option("--filter", help='Conditions as JSON: {"year": {"gte": 1990}, "genre": "Jazz"}.'),
]
Limit = Annotated[int, typer.Option("--limit", "-n", help="How many results.")]
Within = Annotated[
    str, typer.Option("--in", help="Modality to compare in: text, image, audio, or all (fused).")
]


FILTER_EXAMPLE = '{"genre": "Jazz"}'
RULES_EXAMPLE = '{"pin": [{"item": "film-9", "position": 1}], "exclude": ["film-3"]}'


def _object(text: str | None, option: str, example: str) -> dict[str, Any] | None:
    """An option's JSON object. Raises RejectedError where it is none."""
    if text is None:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise RejectedError(
            f"not JSON ({error})", field=option, remedy=f"such as {example}"
        ) from None
    if not isinstance(value, dict):
        raise RejectedError("not a JSON object", field=option, remedy=f"such as {example}")
    return value


def _filters(text: str | None) -> dict[str, Any] | None:
    return _object(text, "--filter", FILTER_EXAMPLE)


def _target(within: str) -> Target:
    for known in ("all", "text", "image", "audio"):
        if within == known:
            return known
    raise RejectedError(
        f"{within!r} is unknown", field="--in", remedy="use text, image, audio, all"
    )


def _show(answer: RankedAnswer, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        show_ranking(answer)


def recommend(
    profile: Annotated[
        str | None, typer.Argument(help="The user in one sentence, if not stored.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="A stored user's id.")] = None,
    liked: Annotated[list[str] | None, typer.Option(help="An item id they like; repeat.")] = None,
    filters: Filter = None,
    limit: Limit = 10,
    seen: Annotated[
        bool, typer.Option("--include-seen", help="Keep what they already interacted with.")
    ] = False,
    diversity: Annotated[
        float | None, typer.Option(help="0 (by score alone) to 1 (unlike each other alone).")
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(help='Business rules as JSON: {"exclude": ["film-3"], "at_most": [...]}.'),
    ] = None,
    explore: Annotated[
        float | None, typer.Option(help="Share of the results that tries what is unsure.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Makes what explores the same each time.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell in full what made up each score.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Recommend items to a user, a sentence, or whoever likes these items."""
    with client() as api:
        answer = api.recommend(
            user=user,
            profile=profile,
            liked=liked,
            filters=_filters(filters),
            limit=limit,
            exclude_seen=not seen,
            diversity=diversity,
            rules=_object(rules, "--rules", RULES_EXAMPLE),
            explore=explore,
            seed=seed,
            explain=explain or None,
        )
    _show(answer, as_json)


def similar(
    item: Annotated[str, typer.Argument(help="An item's id.")],
    within: Within = "all",
    filters: Filter = None,
    limit: Limit = 10,
    as_json: AsJson = False,
) -> None:
    """Items like one item."""
    with client() as api:
        answer = api.similar(item, within=_target(within), filters=_filters(filters), limit=limit)
    _show(answer, as_json)


def search(
    text: Annotated[str | None, typer.Argument(help="Words to search by.")] = None,
    image: Annotated[Path | None, typer.Option(help="A picture to search by.")] = None,
    audio: Annotated[Path | None, typer.Option(help="A recording to search by.")] = None,
    within: Within = "all",
    filters: Filter = None,
    limit: Limit = 10,
    as_json: AsJson = False,
) -> None:
    """Search by words, a picture or a recording."""
    with client() as api:
        answer = api.search(
            text=text,
            image=_content("--image", image),
            audio=_content("--audio", audio),
            within=_target(within),
            filters=_filters(filters),
            limit=limit,
        )
    _show(answer, as_json)


def _content(option: str, path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise RejectedError(
            f"{path}: {error.strerror}", field=option, remedy="name a readable file"
        ) from None


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(recommend)
    app.command()(similar)
    app.command()(search)
