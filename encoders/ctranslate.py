"""Reads the weights of a CTranslate2 model file (model.bin, binary version 4 to 6).

The layout is a list of named arrays, little-endian: uint32 version; the specification's name and
revision; uint32 number of variables; per variable its name, uint8 rank, uint32 dimensions, uint8
type, uint32 bytes, data; then aliases. Nothing in it is executed.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError

Arrays: TypeAlias = dict[str, NDArray[np.float32]]

_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
_VERSIONS = range(4, 7)


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def number(self, code: str) -> int:
        (found,) = struct.unpack_from(f"<{code}", self._content, self._at)
        self._at += struct.calcsize(code)
        return int(found)

    def take(self, size: int) -> bytes:
        found = self._content[self._at : self._at + size]
        if len(found) != size:
            raise struct.error("the file ends too early")
        self._at += size
        return found

    def text(self) -> str:
        return self.take(self.number("H")).rstrip(b"\0").decode()


def read_model(path: Path, prefix: str = "") -> Arrays:
    """The floating-point arrays whose name starts with `prefix`, as float32.

    int8 arrays are multiplied out by the row scales beside them (NAME_scale).

    Raises:
        RejectedError: the file is not a model of a known version.
    """
    try:
        return _read(_Reader(path.read_bytes()), prefix)
    except (struct.error, UnicodeDecodeError, ValueError, KeyError) as error:
        raise RejectedError(f"{path} is not a readable CTranslate2 model: {error}") from error


def _read(reader: _Reader, prefix: str) -> Arrays:
    version = reader.number("I")
    if version not in _VERSIONS:
        raise ValueError(f"version {version}")
    reader.text()
    reader.number("I")
    raw = {}
    for _ in range(reader.number("I")):
        name = reader.text()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        kind = reader.number("B")
        content = reader.take(reader.number("I"))
        if name.startswith(prefix):
            raw[name] = np.frombuffer(content, dtype=_TYPES[kind]).reshape(shape)
    arrays: Arrays = {}
    for name, array in raw.items():
        if array.dtype == np.int8:
            scale = raw[f"{name}_scale"].astype(np.float32)
            arrays[name] = array.astype(np.float32) / scale.reshape(-1, *[1] * (array.ndim - 1))
        elif array.dtype in (np.float16, np.float32) and not name.endswith("_scale"):
            arrays[name] = array.astype(np.float32)
    return arrays
