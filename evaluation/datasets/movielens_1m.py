"""MovieLens 1M with plots, people, posters and a named graph, as joined in `derived/`.

Every recorded pair is a positive (ratings are known for 42 % of them); `liked_only` keeps the
pairs rated 4 or 5 instead, which is known for all.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from domain.items import Item
from domain.limits import UNLIMITED
from domain.users import User
from evaluation.dataset import Dataset, Triple
from evaluation.datasets.pairs import clean_pairs, rows_of_items, rows_of_users
from evaluation.datasets.tables import read_table

ITEMS = Path("derived/items.csv.gz")
INTERACTIONS = Path("derived/interactions.csv.gz")
GRAPH = Path("derived/kg_named.tsv.gz")
USERS = Path("melu/users.dat")
POSTERS = Path("posters_224")

AGES = {
    "1": "under 18",
    "18": "18-24",
    "25": "25-34",
    "35": "35-44",
    "45": "45-49",
    "50": "50-55",
    "56": "56+",
}
GENDERS = {"F": "female", "M": "male"}
OCCUPATIONS = (
    "other",
    "academic or educator",
    "artist",
    "clerical or admin",
    "college or graduate student",
    "customer service",
    "doctor or health care",
    "executive or managerial",
    "farmer",
    "homemaker",
    "school student",
    "lawyer",
    "programmer",
    "retired",
    "sales or marketing",
    "scientist",
    "self-employed",
    "technician or engineer",
    "tradesman or craftsman",
    "unemployed",
    "writer",
)
UNKNOWN = {"", "N/A"}
YEAR = re.compile(r"\((\d{4})\)\s*$")
ROLE = re.compile(r"\s*\([^()]*\)\s*$")


def is_movielens_1m(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    return all((folder / part).is_file() for part in (ITEMS, INTERACTIONS, USERS))


def read_movielens_1m(folder: Path, *, liked_only: bool = False) -> Dataset:
    """Read the folder. Movies without any interaction are left out (257 of 3,881)."""
    pairs = read_table(folder / INTERACTIONS, required=("user_id", "movie_id", "rating_ge4"))
    films = read_table(folder / ITEMS, required=("movie_id", "title", "genres", "plot_omdb"))
    people = read_table(
        folder / USERS,
        names=("id", "_1", "gender", "_2", "age", "_3", "occupation", "_4", "zip"),
        delimiter=":",
        quoting=False,
    )
    seen = set(pairs["movie_id"])
    kept = [row for row, name in enumerate(films["movie_id"]) if name in seen]
    items = tuple(_item(films.row(row), folder.resolve() / POSTERS) for row in kept)
    item_rows = {item.id: row for row, item in enumerate(items)}
    users = tuple(_user(people.row(row)) for row in range(people.rows))
    user_rows = {user.id: row for row, user in enumerate(users)}
    found, _ = rows_of_users([(pairs, "user_id")], user_rows)
    weights = None
    if liked_only:
        weights = pairs.numbers("rating_ge4", empty=0.0)
    clean = clean_pairs(
        found[0],
        rows_of_items(pairs, "movie_id", item_rows),
        weights,
        None,
        n_items=len(items),
        source=INTERACTIONS.name,
    )
    graph: tuple[Triple, ...] = ()
    if (folder / GRAPH).is_file():
        triples = read_table(
            folder / GRAPH, names=("head", "relation", "tail"), delimiter="\t", quoting=False
        )
        graph = tuple(map(Triple, triples["head"], triples["relation"], triples["tail"]))
    silent = films.rows - len(kept)
    return Dataset(
        name="movielens-1m" + ("-liked" if liked_only else ""),
        items=items,
        users=users + tuple(User(id=name) for name in list(user_rows)[len(users) :]),
        user_index=clean.user_index,
        item_index=clean.item_index,
        weights=np.ones_like(clean.weights),
        graph=graph,
        entity_of_item={item.id: item.id for item in items} if graph else {},
        notes=(f"{silent} movies without an interaction left out", *clean.notes),
    )


def _item(row: dict[str, str], posters: Path) -> Item:
    year = YEAR.search(row["title"])
    attributes: dict[str, object] = {
        "genres": _split(row["genres"], "|"),
        "year": int(year.group(1)) if year else None,
        "director": _split(row["director"], ","),
        "writer": list(dict.fromkeys(ROLE.sub("", one) for one in _split(row["writer"], ","))),
        "actors": _split(row["actors"], ","),
        "countries": _split(row["countries"], "|"),
        "language": row["language"],
        "certificate": row["certificate"],
    }
    poster = posters / f"{row['movie_id']}.jpg"
    described = row["plot_omdb"] if row["plot_omdb"] not in UNKNOWN else row["overview_tmdb"]
    return Item.model_validate(
        {
            "id": row["movie_id"],
            "title": row["title"],
            "description": "" if described in UNKNOWN else described,
            "attributes": {
                name: value
                for name, value in attributes.items()
                if value and not (isinstance(value, str) and value in UNKNOWN)
            },
            "media": {"images": [str(poster)] if poster.is_file() else []},
        },
        context={"limits": UNLIMITED},
    )


def _split(text: str, separator: str) -> list[str]:
    """The parts of a list, without blanks, "N/A" and repeats."""
    parts = (part.strip() for part in text.split(separator))
    return [part for part in dict.fromkeys(parts) if part not in UNKNOWN]


def _user(row: dict[str, str]) -> User:
    occupation = row["occupation"]
    return User(
        id=row["id"],
        demographics={
            "gender": GENDERS.get(row["gender"], row["gender"]),
            "age": AGES.get(row["age"], row["age"]),
            "occupation": OCCUPATIONS[int(occupation)]
            if occupation.isdigit() and int(occupation) < len(OCCUPATIONS)
            else occupation,
        },
    )
