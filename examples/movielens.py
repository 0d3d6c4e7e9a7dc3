"""Publish the MovieLens-1M films, with plots and posters, and recommend to users of one sentence.

    firstlight up                                   # in one terminal
    python examples/movielens.py PATH [--limit N]   # in another

PATH is a folder with `derived/items.csv.gz` (movie_id, title, genres, plot_omdb, overview_tmdb,
director, actors, countries, language, certificate) and `posters_224/ID.jpg`. MovieLens may be
used for research and not redistributed, so it does not come with this project.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from api.cli.output import CODE_REJECTED, CODE_UNAVAILABLE, client, console, fail, show_ranking
from api.cli.publish import Line, publish_lines, show_summary
from domain.errors import FirstlightError, RetryableError

USERS = (
    "I love clever heist films and con artists.",
    "I want animated films to watch with my five-year-old.",
    "I like slow science fiction about what it means to be human.",
    "Give me screwball comedies from the thirties and forties.",
    "I am a history teacher who shows war films to my class.",
)


def films(folder: Path, limit: int | None) -> Iterator[Line]:
    """One item-created event per film; version 1, so that publishing again changes nothing."""
    with gzip.open(folder / "derived" / "items.csv.gz", "rt", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            if limit is not None and number > limit:
                return
            yield Line(number, {"type": "item.created", "data": film(folder, row)})


def film(folder: Path, row: dict[str, str]) -> dict[str, Any]:
    """A row of the table as an item."""
    title, year = re.fullmatch(r"(.*?)(?: \((\d{4})\))?", row["title"].strip()).groups()
    genres = row["genres"].split("|")
    plots = [text for text in (row["plot_omdb"], row["overview_tmdb"]) if text and text != "N/A"]
    attributes: dict[str, Any] = {
        "genre": genres,
        "year": int(year) if year else None,
        "director": people(row["director"]),
        "actor": people(row["actors"]),
        "country": people(row["countries"]),
        "language": people(row["language"]),
        "certificate": row["certificate"],
    }
    poster = Path("posters_224") / f"{row['movie_id']}.jpg"
    return {
        "id": f"ml-{row['movie_id']}",
        "version": 1,
        "title": title,
        "description": plots[0] if plots else "",
        "tags": genres,
        "attributes": {name: value for name, value in attributes.items() if value},
        "media": {"images": [str(poster)] if (folder / poster).exists() else []},
    }


def people(names: str) -> list[str]:
    """Names without the parenthesised remarks; at most 20."""
    found = (re.sub(r"\s*\(.*?\)", "", name).strip() for name in names.split(","))
    return list(dict.fromkeys(name for name in found if name and name != "N/A"))[:20]


def main() -> int:
    """Publish, print the figures, recommend."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path, help="folder of the data set")
    parser.add_argument("--limit", type=int, help="publish only the first N films")
    parser.add_argument("--timeout-s", type=float, default=7200.0, help="how long to wait")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    given = parser.parse_args()
    if not (given.path / "derived" / "items.csv.gz").exists():
        print(f"{given.path}: no derived/items.csv.gz there; give the data set's folder")
        return 2
    try:
        with client() as api:
            lines = list(films(given.path, given.limit))
            summary = publish_lines(api, lines, given.path, wait=True, timeout_s=given.timeout_s)
            show_summary(summary)
            if given.json:
                given.json.write_text(json.dumps(asdict(summary), indent=2))
            for sentence in USERS:
                console.print(f"\n“{sentence}”", style="bold", markup=False)
                show_ranking(api.recommend(profile=sentence, limit=5))
    except FirstlightError as error:
        fail(error)
        return CODE_UNAVAILABLE if isinstance(error, RetryableError) else CODE_REJECTED
    return 0 if summary.clean else 1


if __name__ == "__main__":
    sys.exit(main())
