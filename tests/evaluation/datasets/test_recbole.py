"""RecBole's atomic files, written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import RejectedError
from evaluation.dataset import Triple
from evaluation.datasets import open_dataset, read_recbole

FILES = {
    "shop.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "1\ta\t5\t100\n2\ta\t1\t200\n2\tb\t3\t300\n",
    "shop.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\t"
    "price:float\tcode:token\n"
    'a\tThe "Best" Film\t1995\tAction Drama\t2.5\t007\nb\tOther\t\t\t\t12\n',
    "shop.user": "user_id:token\tage:token\tgender:token\tzip_code:token\n1\t24\tM\t85711\n",
    "shop.kg": "head_id:token\trelation_id:token\ttail_id:token\nm.1\tgenre\tm.2\n",
    "shop.link": "item_id:token\tentity_id:token\na\tm.1\nzz\tm.3\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def test_atomic_files_become_a_dataset(tmp_path: Path) -> None:
    dataset = open_dataset(write(tmp_path, FILES))
    first, second = dataset.items
    assert dataset.name == "shop"
    assert first.title == 'The "Best" Film'
    assert first.attributes == {
        "release_year": 1995,
        "class": ["Action", "Drama"],
        "price": 2.5,
        "code": "007",
    }
    assert second.attributes == {"code": "12"}
    assert dataset.users[0].demographics == {"age": 24, "gender": "M"}
    assert dataset.matrix().toarray().tolist() == [[1, 0], [1, 1]]
    assert dataset.times is not None
    assert dataset.times.tolist() == [100, 200, 300]
    assert dataset.graph == (Triple("m.1", "genre", "m.2"),)
    assert dataset.entity_of_item == {"a": "m.1"}
    assert dataset.notes == ("shop.inter: 1 users are not among the users of shop.user",)


def test_triples_that_say_nothing_are_left_out_and_counted(tmp_path: Path) -> None:
    graph = FILES["shop.kg"] + "m.1\tgenre\tm.2\nm.1\tis\tm.1\nm.1\t\tm.2\n"
    dataset = read_recbole(write(tmp_path, {**FILES, "shop.kg": graph}))
    assert dataset.graph == (Triple("m.1", "genre", "m.2"),)
    assert [note for note in dataset.notes if note.startswith("shop.kg")] == [
        "shop.kg: 1 triples left out: a part is empty",
        "shop.kg: 1 triples left out: from an entity to itself",
        "shop.kg: 1 triples left out: repeated",
    ]


@pytest.mark.parametrize(("there", "absent"), [("kg", "link"), ("link", "kg")])
def test_a_graph_without_links_is_not_used_and_named(
    there: str, absent: str, tmp_path: Path
) -> None:
    files = {name: text for name, text in FILES.items() if name != f"shop.{absent}"}
    dataset = read_recbole(write(tmp_path, files))
    assert dataset.graph == ()
    assert f"shop.{there} is not used: there is no shop.{absent}" in dataset.notes


def test_interactions_alone_are_enough(tmp_path: Path) -> None:
    dataset = read_recbole(write(tmp_path, {"shop.inter": FILES["shop.inter"]}))
    assert [item.id for item in dataset.items] == ["a", "b"]
    assert [user.id for user in dataset.users] == ["1", "2"]
    assert dataset.notes == ("shop.item is not there: items have no content",)


def test_benchmark_files_are_a_given_split(tmp_path: Path) -> None:
    head = "user_id:token\titem_id:token\tweight:float\n"
    dataset = read_recbole(
        write(
            tmp_path,
            {
                "shop.train.inter": head + "1\ta\t2\n2\tb\t1\n",
                "shop.valid.inter": head + "1\tb\t1\n",
                "shop.test.inter": head + "2\ta\t4\n",
            },
        )
    )
    assert dataset.given is not None
    assert dataset.given.part is not None
    assert dataset.given.part.tolist() == [0, 1, 2, 0]
    assert dataset.weights.tolist() == [2, 1, 4, 1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"shop.inter": "user_id\titem_id\n1\ta\n"},
            r"shop\.inter line 1: column 'user_id' has no type; name it user_id:TYPE",
        ),
        (
            {"shop.inter": "user_id:token\tthing:token\n1\ta\n"},
            r"shop\.inter line 1: no column item_id among user_id, thing",
        ),
        ({"shop.item": "item_id:token\na\na\n"}, r"shop\.item line 3 column item_id: 'a' is"),
        ({"other.inter": FILES["shop.inter"]}, r"not exactly one NAME\.inter"),
        (
            {"shop.inter": "user_id:token\titem_id:token\ttimestamp:float\n1\ta\tx\n"},
            r"shop\.inter line 2 column timestamp: 'x' is not a time",
        ),
    ],
)
def test_atomic_files_that_are_none_are_refused(
    files: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RejectedError, match=message):
        read_recbole(write(tmp_path, {**FILES, **files}))
