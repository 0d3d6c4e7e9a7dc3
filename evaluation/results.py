"""What one method did on one split, kept on disk as soon as it is known."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

State = Literal["done", "failed", "not applicable"]

FORMAT = 2
"""Of files in the folder of runs; files of another format are not read."""

DAMAGED = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error),
    *(ValueError, KeyError, TypeError, AttributeError, IndexError),
)
"""What reading a file that is cut off, overwritten or of another kind raises."""


@dataclass(frozen=True)
class Run:
    """One method, fitted with one seed on one set of features.

    Attributes:
        key: hash of all that decides the result; see `evaluation.run`.
        method: name of the method.
        features: modalities that it was given; empty for a method that reads none.
        seed: of the split and of everything random in the method.
        split: which of the seed's splits, such as "N=3"; "" where there is one.
        state: done, failed, or not applicable to the protocol.
        reason: why it failed or does not apply.
        parameters: what validation chose.
        validation: the chosen point's value on validation; None where nothing was chosen.
        fit_s, tuning_s: seconds of the chosen fit, and of all fits with their validation.
        scoring_ms: milliseconds per user, scores of all items and ranking included.
        metrics: {evaluation: {metric: mean over its users}}.
        users: {evaluation: [n] rows of its users}.
        per_user: {evaluation: {metric: [n] float64}}.
        detail: what the method says of its fit (its attribute `detail`), and what was tried.
    """

    key: str
    method: str
    features: tuple[str, ...]
    seed: int
    split: str = ""
    state: State = "done"
    reason: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    validation: float | None = None
    fit_s: float = 0.0
    tuning_s: float = 0.0
    scoring_ms: float = 0.0
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    users: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)
    per_user: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    detail: Mapping[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON takes it."""
        plain = asdict(self)
        del plain["users"], plain["per_user"]
        return {"format": FORMAT, **plain}


def save(run: Run, folder: Path) -> None:
    """Write KEY.npz, then KEY.json, each in one step: a run that is killed leaves no half file."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {}
    for name, users in run.users.items():
        arrays[f"users\t{name}"] = users
        for metric, values in run.per_user[name].items():
            arrays[f"metric\t{name}\t{metric}"] = values
    if arrays:
        part = folder / f"{run.key}.{os.getpid()}.part.npz"
        np.savez_compressed(part, **arrays)  # type: ignore[arg-type]
        part.replace(folder / f"{run.key}.npz")
    write_json(folder / f"{run.key}.json", run.summary())


def load(key: str, folder: Path) -> Run | None:
    """What `save` wrote; None where it is absent, damaged or of another format."""
    try:
        found = orjson.loads((folder / f"{key}.json").read_bytes())
        if found.pop("format") != FORMAT or found["key"] != key:
            return None
        found["features"] = tuple(found["features"])
        users: dict[str, NDArray[np.int32]] = {}
        per_user: dict[str, dict[str, NDArray[np.float64]]] = {}
        if found["state"] == "done":
            packed = io.BytesIO((folder / f"{key}.npz").read_bytes())
            with np.load(packed, allow_pickle=False) as arrays:
                for name in arrays.files:
                    kind, evaluation, *metric = name.split("\t")
                    if kind == "users":
                        users[evaluation] = arrays[name]
                    else:
                        per_user.setdefault(evaluation, {})[metric[0]] = arrays[name]
        return Run(**found, users=users, per_user=per_user)
    except DAMAGED:
        return None


def write_json(path: Path, value: Any) -> None:
    """One JSON document, in one step."""
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(
        orjson.dumps(
            value, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
        )
    )
    part.replace(path)
