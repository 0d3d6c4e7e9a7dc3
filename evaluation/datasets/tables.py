"""Delimited text files, read by column; an error names the file, the line and the column."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from domain.fields import is_number

UTF_8 = "utf-8-sig"
"""UTF-8, whether or not it begins with the mark that some editors write."""

CHUNK_ROWS = 1_024
MAX_FIELD_CHARS = 2**31 - 1


def open_text(path: Path, encoding: str = UTF_8) -> io.TextIOBase:
    """The file as text, unpacked when its name ends in .gz. Raises RejectedError if absent."""
    try:
        if path.suffix == ".gz":
            return io.TextIOWrapper(gzip.open(path), encoding=encoding, newline="")
        return path.open(encoding=encoding, newline="")
    except OSError as problem:
        raise RejectedError(
            f"cannot be read ({problem.strerror or problem})",
            field=str(path),
            remedy="check the path and its permissions",
        ) from None


class Rows(Protocol):
    """What `csv.reader` returns."""

    @property
    def line_num(self) -> int:
        """Lines read so far."""

    def __iter__(self) -> Iterator[list[str]]: ...


@dataclass(frozen=True, slots=True)
class Table:
    """Some columns of one file, as text.

    Attributes:
        path: where it was read.
        columns: values by column name, in file order, stripped of surrounding blanks.
        rows: number of rows.
        delimiter, header, quoting, encoding: how to find a row's line again.
        head: names of all columns of the file, read or not.
    """

    path: Path
    columns: dict[str, list[str]]
    rows: int
    delimiter: str
    header: bool
    quoting: bool
    encoding: str = UTF_8
    head: tuple[str, ...] = ()

    def __getitem__(self, column: str) -> list[str]:
        return self.columns[column]

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def renamed(self, columns: dict[str, list[str]]) -> Table:
        """The same rows under other column names."""
        return replace(self, columns=columns)

    def row(self, row: int) -> dict[str, str]:
        """One row by column name."""
        return {name: values[row] for name, values in self.columns.items()}

    def line_of(self, row: int) -> int:
        """The line (from 1) on which a row ends. Reads the file again: for messages only."""
        with open_text(self.path, self.encoding) as stream:
            reader = _reader(stream, self.delimiter, quoting=self.quoting)
            for _ in islice(_non_empty(reader), row + 1 + self.header):
                pass
            return reader.line_num

    def reject(self, row: int, column: str, message: str, remedy: str) -> NoReturn:
        """Raise RejectedError naming file, line and column."""
        raise RejectedError(
            message, field=f"{self.path} line {self.line_of(row)} column {column}", remedy=remedy
        )

    def numbers(
        self, column: str, *, empty: float, remedy: str = "write a number, such as 3"
    ) -> NDArray[np.float64]:
        """[rows] float64; `empty` where the cell is empty. Raises RejectedError on other text."""
        texts = self.columns[column]
        try:
            if "" not in texts:
                return np.array(list(map(float, texts)), dtype=np.float64)
            return np.array([float(t) if t else empty for t in texts], dtype=np.float64)
        except ValueError:
            row = next(row for row, text in enumerate(texts) if text and not is_number(text))
            self.reject(row, column, f"{texts[row]!r} is not a number", remedy)

    def seconds(self, column: str) -> NDArray[np.float64]:
        """[rows] seconds since 1970, NaN where empty; numbers, or ISO 8601 (UTC unless a zone)."""
        texts = self.columns[column]
        first = next((text for text in texts if text), "")
        if is_number(first) or not first:
            every = "write every time as seconds since 1970, or every one as ISO 8601"
            return self.numbers(column, empty=math.nan, remedy=every)
        found = np.full(len(texts), np.nan)
        for row, text in enumerate(texts):
            if not text:
                continue
            try:
                when = datetime.fromisoformat(text)
            except ValueError:
                self.reject(
                    row,
                    column,
                    f"{text!r} is not a time",
                    "write seconds since 1970, or ISO 8601 such as 2026-01-31T09:30:00Z",
                )
            found[row] = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
        return found


def _reader(stream: io.TextIOBase, delimiter: str, *, quoting: bool) -> Rows:
    csv.field_size_limit(MAX_FIELD_CHARS)
    if quoting:
        return csv.reader(stream, delimiter=delimiter, strict=True)
    return csv.reader(stream, delimiter=delimiter, quoting=csv.QUOTE_NONE)


def _non_empty(reader: Rows) -> Iterator[list[str]]:
    return filter(None, reader)


def read_table(
    path: Path,
    *,
    required: Sequence[str] = (),
    optional: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    delimiter: str = ",",
    quoting: bool = True,
    encoding: str = UTF_8,
) -> Table:
    """Read columns of a delimited file (plain or .gz).

    Args:
        required: columns that must be there.
        optional: columns that are read where present; None reads all.
        names: column names of a file that has no header line.
        quoting: False where quotation marks mean themselves.
        encoding: other than UTF-8 only for files that are known to be.

    Raises:
        RejectedError: absent or empty file, a missing column, a row of another length, text that
            is not UTF-8 or not well quoted; each with file and line.
    """
    shell = Table(path, {}, 0, delimiter, names is None, quoting, encoding)
    with open_text(path, encoding) as stream:
        reader = _reader(stream, delimiter, quoting=quoting)
        try:
            return _read(shell, reader, required, optional, names)
        except UnicodeDecodeError as problem:
            raise RejectedError(
                f"not UTF-8 ({problem.reason})",
                field=f"{path} line {_undecodable_line(path)}",
                remedy="save the file as UTF-8",
            ) from None
        except csv.Error as problem:
            raise RejectedError(
                f"not a table: {problem}",
                field=f"{path} line {reader.line_num}",
                remedy="close every quotation mark and double those inside a quoted field",
            ) from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
            raise RejectedError(
                f"not a whole gzip file ({problem})", field=str(path), remedy="pack it again"
            ) from None


def _read(
    shell: Table,
    reader: Rows,
    required: Sequence[str],
    optional: Sequence[str] | None,
    names: Sequence[str] | None,
) -> Table:
    rows = _non_empty(reader)
    head = list(names) if names is not None else [name.strip() for name in next(rows, [])]
    _check_head(shell, head, required)
    wanted = [n for n in head if optional is None or n in required or n in optional]
    places = [head.index(name) for name in wanted]
    columns: dict[str, list[str]] = {name: [] for name in wanted}
    count = 0
    while chunk := list(islice(rows, CHUNK_ROWS)):
        if set(map(len, chunk)) != {len(head)}:
            row, bad = next(
                (row, cells) for row, cells in enumerate(chunk) if len(cells) != len(head)
            )
            raise RejectedError(
                f"{len(bad)} fields where {len(head)} are expected",
                field=f"{shell.path} line {shell.line_of(count + row)}",
                remedy=f"separate the fields by {shell.delimiter!r} and quote those that"
                " contain it",
            )
        turned = list(zip(*chunk, strict=True))
        for name, place in zip(wanted, places, strict=True):
            columns[name].extend(map(str.strip, turned[place]))
        count += len(chunk)
    return replace(shell, columns=columns, rows=count, head=tuple(head))


def _check_head(shell: Table, head: list[str], required: Sequence[str]) -> None:
    if not head:
        raise RejectedError(
            "the file is empty", field=str(shell.path), remedy="give it a header line"
        )
    missing = [name for name in required if name not in head]
    if missing:
        raise RejectedError(
            f"no column {', '.join(missing)} among {', '.join(head)}",
            field=f"{shell.path} line 1",
            remedy=f"name the columns in the first line, separated by {shell.delimiter!r}",
        )
    twice = sorted({name for name in head if head.count(name) > 1})
    if twice:
        raise RejectedError(
            f"column {', '.join(twice)} is there twice",
            field=f"{shell.path} line 1",
            remedy="rename one of them",
        )


def _undecodable_line(path: Path) -> int:
    with open_text(path, encoding="latin-1") as stream:
        for number, line in enumerate(stream, start=1):  # latin-1 keeps every byte
            try:
                line.encode("latin-1").decode("utf-8")
            except UnicodeDecodeError:
                return number
    return 0
