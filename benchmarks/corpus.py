"""What is encoded and published: the MovieLens films where they are, else the sample catalogue.

The films (plots of mixed length, posters) are looked for in FIRSTLIGHT_TEST_DATA, by default
../shared/data beside the checkout. Without them the sample catalogue is repeated with a running
number in every title, so that no text is encoded from the cache.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Sample:
    """One item: its texts and, perhaps, a picture file."""

    id: str
    title: str
    description: str
    tags: tuple[str, ...]
    picture: Path | None


@dataclass(frozen=True)
class Corpus:
    """Samples, and what they are, for the report."""

    name: str
    samples: list[Sample]
    folder: Path


def test_data() -> Path:
    """Where the public data sets are, if anywhere."""
    return Path(os.environ.get("FIRSTLIGHT_TEST_DATA", ROOT / ".." / "shared" / "data")).resolve()


def corpus(count: int, *, pictures: bool) -> Corpus:
    """`count` different samples; with `pictures`, each has one."""
    films = test_data() / "movielens-1m"
    if (films / "derived" / "items.csv.gz").exists():
        found = [s for s in _films(films) if s.picture or not pictures]
        return Corpus("MovieLens-1M films", _without(found[:count], pictures), films)
    folder = ROOT / "examples" / "catalog"
    found = [s for s in _catalogue(folder) if s.picture or not pictures]
    repeated = list(itertools.islice(_repeat(found), count))
    return Corpus("sample catalogue, repeated", _without(repeated, pictures), folder)


def _without(samples: list[Sample], pictures: bool) -> list[Sample]:
    if pictures:
        return samples
    return [Sample(s.id, s.title, s.description, s.tags, None) for s in samples]


def _films(folder: Path) -> list[Sample]:
    with gzip.open(folder / "derived" / "items.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        poster = folder / "posters_224" / f"{row['movie_id']}.jpg"
        found.append(
            Sample(
                id=f"ml-{row['movie_id']}",
                title=row["title"],
                description=row["plot_omdb"] or row["overview_tmdb"],
                tags=tuple(row["genres"].split("|")),
                picture=poster if poster.exists() else None,
            )
        )
    return found


def _catalogue(folder: Path) -> list[Sample]:
    found = []
    for line in (folder / "items.jsonl").read_text(encoding="utf-8").splitlines():
        item = json.loads(line)["data"]
        pictures = item.get("media", {}).get("images", [])
        found.append(
            Sample(
                id=item["id"],
                title=item.get("title", ""),
                description=item.get("description", ""),
                tags=tuple(item.get("tags", [])),
                picture=folder / pictures[0] if pictures else None,
            )
        )
    return found


def _repeat(samples: list[Sample]) -> itertools.chain[Sample]:
    def numbered(number: int) -> list[Sample]:
        return [
            Sample(f"{s.id}-{number}", f"{s.title} {number}", s.description, s.tags, s.picture)
            for s in samples
        ]

    return itertools.chain.from_iterable(numbered(number) for number in itertools.count())
