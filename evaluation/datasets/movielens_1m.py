"""MovieLens 1M with plots, people, posters and a named graph, as joined in `derived/`.

Every recorded pair is a positive (ratings are known for 42 % of them); `liked_only` keeps the
pairs rated 4 or 5 instead, which is known for all.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from domain.items import Item
from domain.users import User
from evaluation.dataset import Dataset, Triple
from evaluation.datasets.columns import build_item, build_user, split_list, with_strangers
from evaluation.datasets.movielens import GENDERS, UNKNOWN, known, year_of
from evaluation.datasets.pairs import clean_pairs, rows_of_items, rows_of_users
from evaluation.datasets.tables import Table, read_table

ITEMS = Path("derived/items.csv.gz")
INTERACTIONS = Path("derived/interactions.csv.gz")
GRAPH = Path("derived/kg_named.tsv.gz")
USERS = Path("melu/users.dat")
POSTERS = Path("posters_224")

COLUMNS = (
    "movie_id",
    "title",
    "genres",
    "plot_omdb",
    "overview_tmdb",
    "director",
    "writer",
    "actors",
    "countries",
    "language",
    "certificate",
)
AGES = {
    "1": "under 18",
    "18": "18-24",
    "25": "25-34",
    "35": "35-44",
    "45": "45-49",
    "50": "50-55",
    "56": "56+",
}
OCCUPATIONS = {
    "0": "other",
    "1": "academic or educator",
    "2": "artist",
    "3": "clerical or admin",
    "4": "college or graduate student",
    "5": "customer service",
    "6": "doctor or health care",
    "7": "executive or managerial",
    "8": "farmer",
    "9": "homemaker",
    "10": "school student",
    "11": "lawyer",
    "12": "programmer",
    "13": "retired",
    "14": "sales or marketing",
    "15": "scientist",
    "16": "self-employed",
    "17": "technician or engineer",
    "18": "tradesman or craftsman",
    "19": "unemployed",
    "20": "writer",
}
ROLE = re.compile(r"\s*\([^()]*\)\s*$")


def is_movielens_1m(folder: Path) -> bool:
    """Whether the folder holds this data set."""
    return all((folder / part).is_file() for part in (ITEMS, INTERACTIONS, USERS))


def read_movielens_1m(folder: Path, *, liked_only: bool = False) -> Dataset:
    """Read the folder. Movies without any interaction are left out (257 of 3,881)."""
    pairs = read_table(folder / INTERACTIONS, required=("user_id", "movie_id", "rating_ge4"))
    films = read_table(folder / ITEMS, required=COLUMNS)
    people = read_table(
        folder / USERS,
        names=("id", "_1", "gender", "_2", "age", "_3", "occupation", "_4", "zip"),
        delimiter=":",
        quoting=False,
    )
    seen = set(pairs["movie_id"])
    kept = [row for row, name in enumerate(films["movie_id"]) if name in seen]
    items = tuple(_item(films, row, folder.resolve() / POSTERS) for row in kept)
    item_rows = {item.id: row for row, item in enumerate(items)}
    users = tuple(_user(people, row) for row in range(people.rows))
    user_rows = {user.id: row for row, user in enumerate(users)}
    found, _ = rows_of_users([(pairs, "user_id")], user_rows)
    liked = pairs.numbers("rating_ge4", empty=0.0) > 0
    kept_pairs = liked if liked_only else np.ones(pairs.rows, dtype=bool)
    clean = clean_pairs(
        found[0][kept_pairs],
        rows_of_items(pairs, "movie_id", item_rows)[kept_pairs],
        None,
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
    notes = [f"{films.rows - len(kept)} movies without an interaction left out"]
    if liked_only:
        notes.append(f"{int((~liked).sum())} pairs rated below 4 left out")
    return Dataset(
        name="movielens-1m" + ("-liked" if liked_only else ""),
        items=items,
        users=with_strangers(users, user_rows, [(pairs, "user_id")]),
        user_index=clean.user_index,
        item_index=clean.item_index,
        weights=np.ones_like(clean.weights),
        graph=graph,
        entity_of_item={item.id: item.id for item in items} if graph else {},
        notes=(*notes, *clean.notes),
    )


def _item(films: Table, row: int, posters: Path) -> Item:
    film = films.row(row)
    poster = posters / f"{film['movie_id']}.jpg"
    plots = (film["plot_omdb"], film["overview_tmdb"])
    writers = split_list(film["writer"], ",", UNKNOWN)
    fields = {
        "id": film["movie_id"],
        "title": film["title"],
        "description": next((plot for plot in plots if plot not in UNKNOWN), ""),
        "attributes": known(
            {
                "genres": split_list(film["genres"], "|", UNKNOWN),
                "year": year_of(film["title"]),
                "director": split_list(film["director"], ",", UNKNOWN),
                "writer": list(dict.fromkeys(ROLE.sub("", one) for one in writers)),
                "actors": split_list(film["actors"], ",", UNKNOWN),
                "countries": split_list(film["countries"], "|", UNKNOWN),
                "language": film["language"],
                "certificate": film["certificate"],
            }
        ),
        "media": {"images": [str(poster)] if poster.is_file() else []},
    }
    return build_item(fields, films, row)


def _user(people: Table, row: int) -> User:
    who = people.row(row)
    demographics = {
        "gender": GENDERS.get(who["gender"], who["gender"]),
        "age": AGES.get(who["age"], who["age"]),
        "occupation": OCCUPATIONS.get(who["occupation"], who["occupation"]),
    }
    return build_user({"id": who["id"], "demographics": known(demographics)}, people, row)
