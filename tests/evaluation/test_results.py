"""Results on the disk, and the digest of the code that they depend on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluation import sources
from evaluation.results import Run, load, save
from evaluation.sources import code_digest, library_versions

RUN = Run(
    "key", "random", ("text",), 3, parameters={"l": 2.5},
    metrics={"cold": {"ndcg@20": 0.5}},
    users={"cold": np.arange(2000, dtype=np.int32)},
    per_user={"cold": {"ndcg@20": np.random.default_rng(0).random(2000)}},
    detail={"tried": [[{"l": 1}, 0.2]]},
)  # fmt: skip


def test_a_run_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    save(RUN, tmp_path)
    found = load("key", tmp_path)
    assert found is not None
    assert found.summary() == RUN.summary()
    assert np.array_equal(found.per_user["cold"]["ndcg@20"], RUN.per_user["cold"]["ndcg@20"])
    assert np.array_equal(found.users["cold"], RUN.users["cold"])
    assert not list(tmp_path.glob("*.part*"))
    assert load("another", tmp_path) is None


def test_a_file_that_is_cut_off_anywhere_is_no_result(tmp_path: Path) -> None:
    save(RUN, tmp_path)
    file = tmp_path / "key.npz"
    whole = file.read_bytes()
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert load("key", tmp_path) is None
    file.write_bytes(whole[:200] + bytes(400) + whole[600:])
    assert load("key", tmp_path) is None
    file.write_bytes(whole)
    assert load("key", tmp_path) is not None


@pytest.mark.parametrize("text", ["", "3", "null", '"x"', "[]", "{}", '{"format": 2}'])
def test_json_that_is_no_result_is_none(text: str, tmp_path: Path) -> None:
    save(RUN, tmp_path)
    (tmp_path / "key.json").write_text(text)
    assert load("key", tmp_path) is None


def test_two_processes_write_the_same_result_into_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    write = np.savez_compressed

    def watched(path: Path, **arrays: np.ndarray) -> None:
        seen.append(path)
        write(path, **arrays)  # type: ignore[arg-type]

    monkeypatch.setattr(np, "savez_compressed", watched)
    for process in (11, 12):
        monkeypatch.setattr(os, "getpid", lambda process=process: process)
        save(RUN, tmp_path)
    assert len(set(seen)) == 2


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the Python path with a method, a helper beside it, and a package."""
    monkeypatch.syspath_prepend(tmp_path)
    for name, source in {
        "my_method.py": "import numpy\nfrom my_helpers import one\nfrom evaluation.methods.ease"
        " import Ease\n",
        "my_helpers.py": "import my_further\none = 1\n",
        "my_further.py": "",
        "my_package/__init__.py": "",
        "my_package/method.py": "from .h import X\nfrom . import other\n",
        "my_package/h.py": "X = 1\n",
        "my_package/other.py": "from ..nowhere import Y\n",
        "my_stranger.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    return tmp_path


@pytest.mark.parametrize(
    ("method", "changed", "counts"),
    [
        ("my_method", "my_method.py", True),
        ("my_method", "my_helpers.py", True),
        ("my_method", "my_further.py", True),
        ("my_method", "my_stranger.py", False),
        ("my_package.method", "my_package/h.py", True),
        ("my_package.method", "my_package/other.py", True),
        ("my_package.method", "my_package/__init__.py", True),
        ("my_package.method", "my_helpers.py", False),
    ],
)
def test_the_code_digest_follows_what_a_method_of_ones_own_imports(
    own: Path, method: str, changed: str, counts: bool
) -> None:
    first = code_digest(method)
    assert first == code_digest(method)
    with (own / changed).open("a") as file:
        file.write("# changed\n")
    assert (code_digest(method) != first) == counts
    assert "my_method" not in sys.modules


def test_the_code_digest_follows_the_projects_packages_and_no_library(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    path_of = sources._path

    def watched(module: str) -> Path | None:
        path = path_of(module)
        if path is not None:
            read.append(path)
        return path

    monkeypatch.setattr("evaluation.sources._path", watched)
    code_digest("evaluation.methods.demographics")
    names = {"/".join(path.parts[-3:]) for path in read}
    assert any(name.endswith("attributes/tokens.py") for name in names)
    assert not any("site-packages" in path.parts for path in read)
    assert code_digest("evaluation.methods.baselines") != code_digest("evaluation.methods.ease")


def test_a_source_that_cannot_be_read_counts_as_it_is(own: Path) -> None:
    (own / "my_method.py").write_text("def (")
    assert code_digest("my_method") != code_digest("my_stranger")


def test_the_versions_of_the_libraries_are_known() -> None:
    assert library_versions()["numpy"] == np.__version__
    assert "scikit-learn" in library_versions()
