"""MovieLens 100k with times, demographics, plots, people, posters of 1M and the Freebase graph."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from domain.items import Item
from domain.users import User
from evaluation.dataset import Dataset
from evaluation.datasets.atomic import read_atomic, read_graph
from evaluation.datasets.columns import (
    build_item,
    build_user,
    check_ids,
    number,
    split_list,
    with_strangers,
)
from evaluation.datasets.movielens import GENDERS, UNKNOWN, known, year_of
from evaluation.datasets.pairs import clean_pairs, rows_of_items, rows_of_users
from evaluation.datasets.tables import Table, read_table

NAME = "ml-100k"
POSTERS = Path("movielens-1m/posters_224")
GENRES = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
"""The flags of u.item, in order."""

NAMELESS = "unknown"
"""Title of an item (267) that nobody can name; the film joined to it is another one of 2011."""


def is_movielens_100k(folder: Path) -> bool:
    """Whether the folder holds this data set with its joined texts."""
    parts = (f"{NAME}.inter", f"{NAME}.user", "u.item", "derived/item_join.csv")
    return all((folder / part).is_file() for part in parts)


def read_movielens_100k(folder: Path, *, liked_only: bool = False) -> Dataset:
    """Read the folder. Every recorded pair is a positive; `liked_only` keeps ratings of 4 and 5.

    Posters are those of MovieLens 1M, where that folder lies beside this one. Times are those of
    the ratings. Zip codes are not read.
    """
    pairs, _ = read_atomic(folder / f"{NAME}.inter", ("user_id", "item_id", "rating", "timestamp"))
    items = _items(folder)
    item_rows = {item.id: row for row, item in enumerate(items)}
    users = _users(folder)
    user_rows = {user.id: row for row, user in enumerate(users)}
    found, _ = rows_of_users([(pairs, "user_id")], user_rows)
    rating = pairs.numbers("rating", empty=0.0)
    liked = rating >= 4
    notes = [f"{int((~liked).sum())} pairs rated below 4 left out"] if liked_only else []
    kept = liked if liked_only else np.ones(pairs.rows, dtype=bool)
    clean = clean_pairs(
        found[0][kept],
        rows_of_items(pairs, "item_id", item_rows)[kept],
        None,
        pairs.seconds("timestamp")[kept],
        n_items=len(items),
        source=f"{NAME}.inter",
    )
    graph, entities, about_graph = read_graph(folder, NAME)
    return Dataset(
        name="movielens-100k" + ("-liked" if liked_only else ""),
        items=items,
        users=with_strangers(users, user_rows, [(pairs, "user_id")]),
        user_index=clean.user_index,
        item_index=clean.item_index,
        weights=np.ones_like(clean.weights),
        times=clean.times,
        graph=graph,
        entity_of_item={item: entity for item, entity in entities.items() if item in item_rows},
        notes=(*notes, *clean.notes, *about_graph),
    )


def _items(folder: Path) -> tuple[Item, ...]:
    flags = read_table(
        folder / "u.item",
        names=("id", "title", "released", "video", "url", *GENRES),
        delimiter="|",
        quoting=False,
        encoding="latin-1",
    )
    joined = _by_id(
        read_table(
            folder / "derived" / "item_join.csv",
            required=("item_id", "ml1m_movie_id", "plot_short_omdb", "plot_ml1m_long"),
        ),
        "item_id",
    )
    details: dict[str, dict[str, str]] = {}
    if (folder / "movielens100k_details.csv").is_file():
        wanted = ("movie_id", "description", "director", "writer", "cast", "age_rating")
        details = _by_id(
            read_table(folder / "movielens100k_details.csv", required=wanted, optional=()),
            "movie_id",
        )
    posters = folder.resolve().parent / POSTERS
    items = []
    for row, name in enumerate(flags["id"]):
        nameless = flags["title"][row] == NAMELESS
        join = {} if nameless else joined.get(name, {})
        detail = {} if nameless else details.get(name, {})
        fields = _fields(flags.row(row), join, detail, posters)
        items.append(build_item(fields, flags, row))
    return tuple(items)


def _by_id(table: Table, column: str) -> dict[str, dict[str, str]]:
    return {name: table.row(row) for name, row in check_ids(table, column).items()}


def _fields(
    flag: Mapping[str, str], join: Mapping[str, str], detail: Mapping[str, str], posters: Path
) -> dict[str, object]:
    def listed(column: str) -> list[str]:
        return split_list(join.get(column, ""), ",", UNKNOWN)

    def people(column: str) -> list[str]:
        return [str(one) for one in ast.literal_eval(detail.get(column) or "[]")]

    plots = (join.get("plot_ml1m_long"), join.get("plot_short_omdb"), detail.get("description"))
    poster = posters / f"{join.get('ml1m_movie_id') or 'none'}.jpg"
    return {
        "id": flag["id"],
        "title": flag["title"],
        "description": next((plot for plot in plots if plot and plot not in UNKNOWN), ""),
        "attributes": known(
            {
                "genres": [name for name in GENRES[1:] if flag[name] == "1"],
                "year": year_of(flag["title"]),
                "director": listed("director") or people("director"),
                "writer": people("writer"),
                "actors": listed("actors") or people("cast")[:4],
                "countries": listed("country"),
                "language": listed("language"),
                "certificate": detail.get("age_rating"),
            }
        ),
        "media": {"images": [str(poster)] if poster.is_file() else []},
    }


def _users(folder: Path) -> tuple[User, ...]:
    people, _ = read_atomic(folder / f"{NAME}.user", ("user_id", "age", "gender", "occupation"))
    users = []
    for name, row in check_ids(people, "user_id").items():
        who = people.row(row)
        demographics = {
            "gender": GENDERS.get(who["gender"], who["gender"]),
            "age": number(who["age"]),
            "occupation": who["occupation"],
        }
        users.append(build_user({"id": name, "demographics": known(demographics)}, people, row))
    return tuple(users)
