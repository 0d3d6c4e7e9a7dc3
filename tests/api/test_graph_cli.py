"""`firstlight graph`: import, link, status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def firstlight(tmp_path: Path):
    environ = {**os.environ, "FIRSTLIGHT_DATA_DIR": str(tmp_path / "data"), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "api.cli", "graph", *arguments],
            capture_output=True,
            text=True,
            env=environ,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def triples(tmp_path: Path) -> Path:
    path = tmp_path / "graph.csv"
    path.write_text("head,relation,tail\nm1,by,p1\nm2,by,p1\nbroken\nm1,by,m1\n")
    return path


def test_a_graph_is_imported_and_its_status_shown(firstlight, triples):
    done = firstlight("import", str(triples))
    assert done.returncode == 0, done.stderr
    assert "triples kept" in done.stdout
    assert "triples, line 4: 1 columns, expected 3" in done.stderr
    assert "no item is linked yet: publish, then `firstlight graph link`" in done.stderr
    assert "answers tell its paths" not in done.stdout
    shown = firstlight("status", "--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["edges"] == 2
    assert found["by_way"] == {"given": 0, "id": 0, "attribute": 0, "title": 0, "similar": 0}
    assert found["version"] in done.stdout
    assert found["worth"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status",), "no graph was imported"),
        (("link",), "no graph was imported"),
        (("import", "nowhere.tsv"), "no such file or folder"),
        (("import", "nowhere.tsv", "--threshold", "1.5"), "give a number from 0 to 1"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(firstlight, arguments, said):
    done = firstlight(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_without_a_triple_is_refused_with_its_first_bad_line(firstlight, tmp_path):
    path = tmp_path / "bad.tsv"
    path.write_text("only\ttwo\n")
    done = firstlight("import", str(path))
    assert done.returncode == 2
    assert "no usable triple in 1 lines" in done.stderr
    assert "line 1: 2 columns, expected 3" in done.stderr
