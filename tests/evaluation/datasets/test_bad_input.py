"""Bad input is refused by file, line and column, or left out and counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from domain.errors import RejectedError
from evaluation.dataset import Dataset
from evaluation.datasets import open_dataset, read_folder
from tests.fixtures.datasets import Writer

REFUSED: list[tuple[dict[str, str | bytes], str]] = [
    ({"items.csv": ""}, r"items\.csv: the file is empty; give it a header line"),
    ({"items.csv": "id,title\n"}, r"items\.csv: no items; write one row per item"),
    ({"items.csv": "name,title\na,b\n"}, r"items\.csv line 1: no column id among name, title"),
    ({"items.csv": "id,title,title\na,b,c\n"}, r"items\.csv line 1: column title is there twice"),
    (
        {"items.csv": "id,a b,a_b\na,b,c\n"},
        r"items\.csv line 1: column 'a_b' and another one both become the attribute 'a_b'",
    ),
    ({"items.csv": "id,title\na,b\na,c\n"}, r"items\.csv line 3 column id: 'a' is there twice"),
    ({"items.csv": "id,title\n,b\n"}, r"items\.csv line 2 column id: the id is empty"),
    (
        {"items.csv": 'id,title\na,"two\nlines"\nb\n'},
        r"items\.csv line 4: 1 fields where 2 are expected; separate the fields by ','",
    ),
    ({"items.csv": 'id,title\na,"b" c\n'}, r"items\.csv line 2: not a table"),
    (
        {"items.csv": b"id,title\na,b\nc,caf\xe9\n"},
        r"items\.csv line 3: not UTF-8 .*; save the file as UTF-8",
    ),
    ({"items.csv": "id,title\na,b\x00c\n"}, r"items\.csv line 2 column title: contains a NUL"),
    ({"items.csv": f"id,title\n{'a' * 300},b\n"}, r"items\.csv line 2 column id: .*256"),
    ({"interactions.csv": "user,item\n"}, r"interactions\.csv: none of 0 interactions"),
    ({"interactions.csv": "user,thing\nx,a\n"}, r"interactions\.csv line 1: no column item among"),
    (
        {"interactions.csv": "user,item,weight\nx,a,1\nx,b,many\n"},
        r"interactions\.csv line 3 column weight: 'many' is not a number; write a number",
    ),
    (
        {"interactions.csv": "user,item,time\nx,a,yesterday\n"},
        r"interactions\.csv line 2 column time: 'yesterday' is not a time; write seconds since",
    ),
    (
        {"interactions.csv": "user,item,time\nx,a,1769851800000\nx,b,1769851900000\n"},
        r"every time lies in the future .*; give seconds since 1970, not milliseconds",
    ),
    (
        {"interactions.csv": "user,item\nx,nothing\n"},
        r"none of 1 interactions can be used; .*1 rows dropped: the item is not among the items",
    ),
    (
        {"interactions.csv": f"user,item\nx,a\n{'y' * 300},a\n"},
        r"interactions\.csv line 3 column user: .*256",
    ),
    ({"users.csv": "id,age\nx,3\nx,4\n"}, r"users\.csv line 3 column id: 'x' is there twice"),
    ({"graph.tsv": "a,genre,horror\n"}, r"graph\.tsv line 1: 1 fields where 3 are expected"),
    ({"links.csv": "item,thing\n", "graph.tsv": ""}, r"links\.csv line 1: no column entity"),
    ({"cold_items.txt": "zz\n"}, r"cold_items\.txt: none of 1 ids is among the items"),
    ({"cold_items.txt": b"caf\xe9\n"}, r"cold_items\.txt: not UTF-8"),
    ({"vectors/clip.npy": b"not a matrix"}, r"clip\.npy: not a readable \.npy file"),
    ({"interactions.csv.gz": b"\x1f\x8b no", "interactions.csv": ""}, r"the file is empty"),
    (
        {"interactions.csv": "user;item\nx;a\n"},
        r"interactions\.csv line 1: no column user among user;item; .*separate them by ','",
    ),
    ({"interactions.csv": "user,thing\nx,a\n"}, r"no column item among user, thing; name one"),
    (
        {"interactions.csv": "user,item,time\nx,a,1000\nx,b,2026-01-31\n"},
        r"line 3 column time: '2026-01-31' is not a number; write every time as seconds .*ISO 8601",
    ),
    ({"cold_items.txt.gz": b"a\nb\n"}, r"cold_items\.txt\.gz: not a whole gzip file"),
    ({"cold_items.txt.gz": b"\x1f\x8b\x08 broken"}, r"cold_items\.txt\.gz: not a whole gzip"),
    ({"vectors/x.npy": b"PK\x03\x04 packed"}, r"x\.npy: not a readable \.npy file"),
    ({"vectors/graph.npy": b""}, r"graph\.npy: 'graph' is the name of a feature that is made"),
    ({"vectors/attributes.npy": b""}, r"attributes\.npy: 'attributes' is the name"),
    ({"vectors/permuted-graph.npy": b""}, r"permuted-graph\.npy: .*give the file another name"),
]


@pytest.mark.parametrize(("files", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_cannot_be_read_is_refused_by_file_line_and_column(
    files: Mapping[str, str | bytes], message: str, write_folder: Writer
) -> None:
    with pytest.raises(RejectedError) as caught:
        read_folder(write_folder(files))
    assert re.search(message, str(caught.value)), str(caught.value)
    assert caught.value.remedy


def test_a_broken_packed_file_is_refused(write_folder: Writer) -> None:
    folder = write_folder({"interactions.csv.gz": b"\x1f\x8b\x08 broken"})
    (folder / "interactions.csv").unlink()
    with pytest.raises(RejectedError, match="not a whole gzip file"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("matrix", "ids", "message"),
    [
        (np.zeros(4), None, r"shape \(4,\), numbers in two dimensions"),
        (np.array([["a"]] * 4), None, "numbers in two dimensions"),
        (np.zeros((3, 2)), None, "3 rows, but 4 ids in the items file"),
        (np.zeros((2, 2)), "a\na\n", "'a' is there twice"),
        (np.full((4, 2), np.inf), None, "none of 4 rows can be used"),
        (np.array([[{}]] * 4, dtype=object), None, "not a readable .npy file"),
    ],
)
def test_vectors_that_fit_no_items_are_refused(
    matrix: np.ndarray, ids: str | None, message: str, write_folder: Writer
) -> None:
    folder = write_folder({"vectors/clip.ids.txt": ids} if ids else {"vectors/readme": "x"})
    np.save(folder / "vectors" / "clip.npy", matrix)
    with pytest.raises(RejectedError, match=message):
        read_folder(folder)


def test_what_can_be_left_out_is_counted_in_the_notes(write_folder: Writer) -> None:
    dataset = read_folder(
        write_folder(
            {
                "interactions.csv": "user,item,weight,time\n"
                "x,a,1,1000\n"
                "x,a,2,3000\n"  # a repeat: weights add up, the newest time stays
                "x,zz,1,1000\n"
                ",a,1,1000\n"
                "x,b,-1,1000\n"
                "x,b,0,1000\n"
                "x,b,nan,1000\n"
                "x,b,inf,1000\n"
                "y,c,1,99999999999\n"
                "y,d,1,\n"
            }
        )
    )
    assert dataset.matrix().toarray().tolist() == [[3, 0, 0, 0], [0, 0, 1, 1]]
    assert dataset.times is not None
    assert dataset.times[0] == 3000
    assert np.isnan(dataset.times[1:]).all()
    assert dataset.notes == (
        "interactions.csv: 1 rows dropped: no user id",
        "interactions.csv: 1 rows dropped: the item is not among the items",
        "interactions.csv: 2 rows dropped: the weight is NaN or infinite as float32",
        "interactions.csv: 2 rows dropped: the weight is zero or negative as float32",
        "interactions.csv: 1 times in the future are treated as unknown",
        "interactions.csv: 1 repeats of a pair merged (weights added)",
    )


def test_weights_that_are_no_numbers_as_they_are_kept_are_left_out(write_folder: Writer) -> None:
    dataset = read_folder(
        write_folder(
            {
                "interactions.csv": "user,item,weight\n"
                "x,a,1\n"
                "x,b,1e39\n"
                "x,c,1e-46\n"
                "y,a,3e38\n"
                "y,a,3e38\n"
                "y,b,1e-40\n"
                "y,c,2\n"
                "y,c,3\n"
            }
        )
    )
    found = dataset.matrix().toarray()
    assert found.tolist() == [[1, 0, 0, 0], [0, np.float32(1e-40), 5, 0]]
    assert dataset.notes == (
        "interactions.csv: 1 rows dropped: the weight is NaN or infinite as float32",
        "interactions.csv: 1 rows dropped: the weight is zero or negative as float32",
        "interactions.csv: 2 rows dropped: the weights of a repeated pair add up to infinity",
        "interactions.csv: 1 repeats of a pair merged (weights added)",
    )


def test_only_weights_that_are_no_numbers_as_they_are_kept_are_refused(
    write_folder: Writer,
) -> None:
    folder = write_folder({"interactions.csv": "user,item,weight\nx,a,3e38\nx,a,3e38\nx,b,1e-46\n"})
    with pytest.raises(RejectedError, match="none of 3 interactions can be used"):
        read_folder(folder)


def test_an_item_with_nothing_but_an_id_stays_and_is_counted(write_folder: Writer) -> None:
    dataset = read_folder(
        write_folder({"items.csv": "id,title,year\na,,\nb,B,1999\nc,,2001\nd,D,\n"})
    )
    assert [item.title for item in dataset.items] == ["", "B", "", "D"]
    assert dataset.items[2].attributes == {"year": 2001}
    assert dataset.notes == ("2 items have no text, picture, sound or vector",)


def test_a_mark_at_the_start_and_windows_lines_are_read(write_folder: Writer) -> None:
    dataset = read_folder(
        write_folder({"items.csv": b"\xef\xbb\xbfid,title\r\na,Alien\r\nb,B\r\nc,C\r\n"})
    )
    assert [item.id for item in dataset.items] == ["a", "b", "c"]


def test_folders_that_are_not_there_or_hold_nothing_known_are_refused(write_folder: Writer) -> None:
    folder = write_folder({})
    with pytest.raises(RejectedError, match="no such folder"):
        open_dataset(folder / "nowhere")
    (folder / "items.csv").unlink()
    with pytest.raises(RejectedError, match=r"put items\.csv and interactions\.csv there"):
        open_dataset(folder)
    with pytest.raises(RejectedError, match=r"no items\.csv"):
        read_folder(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.ones(3, np.float32)}, "3 weights"),
        ({"times": np.zeros(3)}, "3 times for"),
        ({"item_index": None}, "rows 0 to 60, but there are 60"),
        ({"user_index": None}, "not distinct and sorted"),
        ({"weights": None}, "not a finite number above 0"),
    ],
)
def test_arrays_that_do_not_fit_are_no_dataset(
    change: dict[str, np.ndarray | None], message: str, small_dataset: Dataset
) -> None:
    broken = dict(change)
    if "item_index" in broken:
        broken["item_index"] = small_dataset.item_index.copy()
        broken["item_index"][-1] = 60
    if "user_index" in broken:
        broken["user_index"] = small_dataset.user_index[::-1].copy()
    if "weights" in broken and broken["weights"] is None:
        broken["weights"] = np.full(small_dataset.n_interactions, np.nan, np.float32)
    with pytest.raises(RejectedError, match=message):
        replace(small_dataset, **broken)
