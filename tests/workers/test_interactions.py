"""Who took what, read from files: what is refused, what is left out, what is added up."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest

from domain.errors import RejectedError
from workers.interactions import MOST_PER_USER, Collector, from_file

ROWS = b"".join(b"u%d,i\n" % number for number in range(20_000))


@pytest.mark.parametrize(
    ("content", "message", "remedy"),
    [
        (b"who,what\n", "no column 'user'", "a line such as user,item,weight,time"),
        (b"", "no column", "a line such as user,item,weight,time"),
        (b"\xff\xfe\x00", "cannot be read", "UTF-8"),
        (b"user,item,item\nu,i,i\n", "2 columns 'item'", "each .* once"),
        (b'user,item\nu,i\n"v,i\nw,i\n', "line 3 cannot be read", "close the quote"),
        (b'user,item\nu,i\nv,"i"j\nw,i\n', "line 3 cannot be read", "close the quote"),
        (b'user,item\nu,"i\n' + ROWS, "line 2 cannot be read", "close the quote"),
        (None, "cannot be read", "name a CSV file"),
    ],
)
def test_a_file_that_is_no_table_of_interactions_is_refused(
    tmp_path: Path, content: bytes | None, message: str, remedy: str
) -> None:
    path = tmp_path / "broken.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RejectedError, match=message) as caught:
        from_file(path, {"i": 0})
    assert caught.value.field == str(path)
    assert re.search(remedy, caught.value.remedy)


def test_quotes_that_fit_together_and_columns_without_a_name_are_read(tmp_path: Path) -> None:
    path = tmp_path / "quoted.csv"
    path.write_text('user,item,,\n"u, or ""v""",i,,\n"two\nlines",i,,\n12" single,i,,\n')
    assert from_file(path, {"i": 0}).users == ['u, or "v"', "two\nlines", '12" single']


def test_of_one_user_with_too_many_items_the_latest_are_kept() -> None:
    count = MOST_PER_USER + 500
    rows = {f"i{number}": number for number in range(count)}
    collector = Collector(rows, now=1e9)
    for number in range(count):
        collector.add("glutton", f"i{number}", 1.0, float(number))
    collector.add("other", "i3", 1.0, math.nan)
    found = collector.done()
    assert np.diff(found.matrix.indptr).tolist() == [MOST_PER_USER, 1]
    assert found.matrix[[0]].indices.min() == 500
    assert (found.left_out.capped_users, found.left_out.capped) == (1, 500)


def test_weights_of_one_pair_add_up() -> None:
    collector = Collector({"i": 0, "j": 1})
    for weight in (1.0, 2.5):
        collector.add("u", "j", weight, 0.0)
    collector.add("v", "i", 1.0, 0.0)
    assert collector.done().matrix.toarray().tolist() == [[0.0, 3.5], [1.0, 0.0]]
