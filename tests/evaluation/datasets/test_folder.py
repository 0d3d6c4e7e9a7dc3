"""A plain folder becomes items, users, interactions, a graph and vectors."""

from __future__ import annotations

import gzip
import time

import numpy as np
import pytest

from evaluation.dataset import TEST, TRAIN, VALIDATION, Triple
from evaluation.datasets import open_dataset, read_folder
from tests.fixtures.datasets import Writer


def test_the_smallest_folder_is_two_files(write_folder: Writer) -> None:
    dataset = read_folder(write_folder({}))
    assert dataset.name == "shop"
    assert [item.title for item in dataset.items] == ["Alien", "Blade Runner", "Casablanca", "Dune"]
    assert [user.id for user in dataset.users] == ["x", "y"]
    assert dataset.matrix().toarray().tolist() == [[1, 1, 0, 0], [1, 0, 1, 0]]
    assert dataset.times is None
    assert dataset.given is None
    assert dataset.notes == ()


def test_further_columns_become_numbers_lists_text_and_description(write_folder: Writer) -> None:
    long = "A very long review. " * 15
    dataset = read_folder(
        write_folder(
            {
                "items.csv": "id,title,plot,tags,year,price,cast & crew,maker,notes\n"
                f'a,Alien,"In space, nobody",scary|space,1979,3.5,Weaver|Holm|Weaver,Fox,{long}\n'
                "b,Blade Runner,,,1982,,Ford,,short\n"
            }
        )
    )
    alien, runner = dataset.items
    assert alien.description == f"In space, nobody\n{long.strip()}"
    assert alien.tags == ["scary", "space"]
    assert alien.attributes == {
        "year": 1979,
        "price": 3.5,
        "cast___crew": ["Weaver", "Holm"],
        "maker": "Fox",
    }
    assert runner.attributes == {"year": 1982, "cast___crew": ["Ford"]}
    assert runner.description == "short"


def test_weights_and_times_are_read(write_folder: Writer) -> None:
    dataset = read_folder(
        write_folder(
            {
                "interactions.csv": "item_id,user_id,weight,timestamp,ignored\n"
                "a,x,2.5,2026-01-31T09:30:00Z,q\nb,x,,2026-01-31T10:30:00+01:00,q\nc,y,1,,q\n"
            }
        )
    )
    assert dataset.weights.tolist() == [2.5, 1.0, 1.0]
    assert dataset.times is not None
    assert dataset.times[0] == dataset.times[1] == 1769851800
    assert np.isnan(dataset.times[2])


def test_users_say_who_they_are(write_folder: Writer) -> None:
    dataset = read_folder(
        write_folder(
            {"users.csv": "id,profile,interests,age\ny,I like old films,noir|jazz,34\nz,,,\n"}
        )
    )
    assert [user.id for user in dataset.users] == ["y", "z", "x"]
    assert dataset.users[0].profile == "I like old films"
    assert dataset.users[0].interests == ["noir", "jazz"]
    assert dataset.users[0].demographics == {"age": 34}
    assert dataset.notes == ("1 users have interactions but no row in users.csv",)


@pytest.mark.parametrize(("odd", "numeric"), [(1, True), (2, True), (3, False)])
def test_an_odd_cell_does_not_make_a_column_of_numbers_text(
    write_folder: Writer, odd: int, numeric: bool
) -> None:
    names = [*"abcd", *(f"i{number}" for number in range(36))]
    lines = [f"{name},Film,{'n/a' if at < odd else 1980 + at}" for at, name in enumerate(names)]
    dataset = read_folder(write_folder({"items.csv": "\n".join(["id,title,year", *lines])}))
    assert dataset.items[odd].attributes["year"] == (1980 + odd if numeric else str(1980 + odd))
    assert dataset.items[0].attributes == ({} if numeric else {"year": "n/a"})
    told = f"items.csv: {odd} cells of the numbers 'year' are none and count as empty"
    assert dataset.notes == ((f"{told} (line 2: 'n/a')",) if numeric else ())


def test_a_list_among_numbers_is_no_odd_cell(write_folder: Writer) -> None:
    names = [*"abcd", *(f"i{number}" for number in range(36))]
    lines = [f"{name},Film,{'7|9' if name == 'a' else 7}" for name in names]
    dataset = read_folder(write_folder({"items.csv": "\n".join(["id,title,sizes", *lines])}))
    assert [item.attributes["sizes"] for item in dataset.items[:2]] == [["7", "9"], ["7"]]
    assert dataset.notes == ()


def test_pictures_and_sounds_are_found_by_the_items_id(write_folder: Writer) -> None:
    folder = write_folder(
        {"images/a.jpg": b"1", "images/a.PNG": b"2", "images/zz.jpg": b"3", "audio/b.wav": b"4"}
    )
    dataset = read_folder(folder)
    assert dataset.items[0].media.images == [
        str(folder.resolve() / "images" / name) for name in ("a.PNG", "a.jpg")
    ]
    assert dataset.items[1].media.audio == [str(folder.resolve() / "audio" / "b.wav")]
    assert dataset.notes == ("images/: 1 files belong to no item",)


def test_media_of_a_format_that_is_not_read_are_told_from_those_of_no_item(
    write_folder: Writer,
) -> None:
    dataset = read_folder(
        write_folder(
            {
                "images/a.tiff": b"1", "images/b.avif": b"2", "images/zz.tiff": b"3",
                "images/.hidden": b"", "images/c.png": b"4", "audio/a.m4a": b"5",
                "audio/b.opus": b"6",
            }
        )
    )  # fmt: skip
    assert [len(item.media.images) for item in dataset.items] == [0, 0, 1, 0]
    assert dataset.notes == (
        "images/: 1 files belong to no item",
        "images/: 2 files are of a format that is not read"
        " (read are .bmp .gif .jpeg .jpg .png .webp)",
        "audio/: 2 files are of a format that is not read (read are .flac .mp3 .ogg .wav)",
    )


def test_half_of_a_given_split_is_not_used_and_named(write_folder: Writer) -> None:
    files = {"train.csv": "user,item\nx,a\n", "validation.csv": "user,item\nx,b\n"}
    dataset = read_folder(write_folder(files))
    assert dataset.given is None
    assert dataset.n_interactions == 4
    assert dataset.notes == (
        "train.csv, validation.csv not used: a split needs train.csv and test.csv",
    )


def test_vectors_come_with_ids_or_in_the_order_of_the_items(write_folder: Writer) -> None:
    folder = write_folder({"vectors/clip.ids.txt": "c\nzz\na\nb\n"})
    named = np.array([[1, 2], [3, 4], [5, 6], [np.nan, 0]], dtype=np.float16)
    np.save(folder / "vectors" / "clip.npy", named)
    np.save(folder / "vectors" / "plain.npy", np.arange(12).reshape(4, 3))
    dataset = read_folder(folder)
    rows, matrix = dataset.vectors["clip"]
    assert rows.tolist() == [2, 0]
    assert matrix.tolist() == [[1, 2], [5, 6]]
    assert matrix.dtype == np.float32
    assert dataset.vectors["plain"][0].tolist() == [0, 1, 2, 3]
    assert dataset.notes == (
        "vectors/clip.npy: 1 rows left out: the item is not among the items",
        "vectors/clip.npy: 1 rows left out: NaN or infinity",
    )


def test_a_graph_links_items_by_id_or_by_the_links_file(write_folder: Writer) -> None:
    dataset = read_folder(
        write_folder(
            {
                "graph.tsv": "head\trelation\ttail\na\tgenre\thorror\nq42\tgenre\tnoir\n"
                "a\tgenre\thorror\na\tlike\ta\n\tgenre\thorror\n",
                "links.csv": "item,entity\nb,q42\nc,q99\nzz,q42\n",
            }
        )
    )
    assert dataset.graph == (Triple("a", "genre", "horror"), Triple("q42", "genre", "noir"))
    assert dataset.entity_of_item == {"a": "a", "b": "q42"}
    assert set(dataset.notes) == {
        "graph.tsv: 1 triples left out: a part is empty",
        "graph.tsv: 1 triples left out: from an entity to itself",
        "graph.tsv: 1 triples left out: repeated",
        "links.csv: 2 links to nothing left out",
    }


def test_a_hub_of_a_hundred_thousand_triples_is_read(write_folder: Writer) -> None:
    lines = "".join(f"e{n}\tgenre\tdrama\n" for n in range(100_000))
    assert len(read_folder(write_folder({"graph.tsv": lines})).graph) == 100_000


def test_cold_items_are_named(write_folder: Writer) -> None:
    given = read_folder(write_folder({"cold_items.txt": "c\n\nzz\n"})).given
    assert given is not None
    assert given.cold_items is not None
    assert given.cold_items.tolist() == [False, False, True, False]


def test_training_validation_and_test_files_are_a_given_split(write_folder: Writer) -> None:
    dataset = read_folder(
        write_folder(
            {
                "train.csv": "user,item\nx,a\ny,b\n",
                "validation.csv": "user,item\nx,b\ny,b\n",
                "test.csv": "user,item,weight\ny,c,2\n",
            }
        )
    )
    assert dataset.given is not None
    assert dataset.given.part is not None
    found = {
        (dataset.users[u].id, dataset.items[i].id): int(part)
        for u, i, part in zip(
            dataset.user_index, dataset.item_index, dataset.given.part, strict=True
        )
    }
    assert found == {
        ("x", "a"): TRAIN,
        ("y", "b"): TRAIN,
        ("x", "b"): VALIDATION,
        ("y", "c"): TEST,
    }
    assert dataset.notes[0].endswith("1 repeats of a pair merged (weights added)")
    assert dataset.notes[1].endswith("1 pairs stood in two parts and count for the earlier")
    assert dataset.notes[2] == "interactions.csv is not used beside train.csv and test.csv"


def test_packed_files_are_read_alike(write_folder: Writer) -> None:
    folder = write_folder({})
    plain = open_dataset(folder)
    for name in ("items.csv", "interactions.csv"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    packed = open_dataset(folder)
    assert packed.items == plain.items
    assert packed.matrix().toarray().tolist() == plain.matrix().toarray().tolist()


def test_one_user_with_a_million_interactions_is_read_in_seconds(write_folder: Writer) -> None:
    n = 1_000_000
    folder = write_folder(
        {
            "items.csv": "id,title\n" + "".join(f"{i},t\n" for i in range(1000)),
            "interactions.csv": "user,item,time\n"
            + "".join(f"x,{i % 1000},{i}\n" for i in range(n)),
        }
    )
    start = time.process_time()
    dataset = read_folder(folder)
    assert time.process_time() - start < 15
    assert dataset.n_interactions == 1000
    assert dataset.weights.tolist() == [1000.0] * 1000
    assert dataset.times is not None
    assert dataset.times.max() == n - 1
