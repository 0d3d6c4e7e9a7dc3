"""The server's process: one owner, an address of its own, a key, a bound on bodies."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from qdrant_client import QdrantClient

from index.server import main as server_main
from index.server.main import main
from tests.fixtures.index_server import IndexServer, ServerFactory


def run(*arguments: str) -> tuple[int, str]:
    """A server that is expected not to start."""
    command = [sys.executable, "-m", "index.server", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_a_second_server_on_the_same_data_is_told_who_owns_it(
    index_server: IndexServer,
) -> None:
    code, said = run("--data-dir", str(index_server.data_dir), "--port", "0")
    assert code == 2
    assert said.count("\n") == 1
    assert index_server.process is not None
    assert f"process {index_server.process.pid}" in said
    assert "--data-dir" in said


def test_a_port_in_use_is_named_with_the_setting_that_changes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["--data-dir", str(tmp_path), "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"127.0.0.1:{port}" in said
    assert "FIRSTLIGHT_INDEX_PORT" in said


def test_without_a_key_it_listens_on_loopback_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data-dir", str(tmp_path), "--host", "0.0.0.0", "--port", "0"]) == 2
    said = capsys.readouterr().err
    assert "FIRSTLIGHT_INDEX_API_KEY" in said
    assert not server_main._loopback("192.168.1.4")
    assert server_main._loopback("::1")


def test_with_a_key_every_path_but_health_asks_for_it(
    index_server_factory: ServerFactory,
) -> None:
    server = index_server_factory(environ={"FIRSTLIGHT_INDEX_API_KEY": "open sesame"})
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/readyz").status_code == 200
        answer = client.get("/collections")
        assert answer.status_code == 401
        assert "api-key" in answer.json()["status"]["error"]
        assert client.get("/collections", headers={"api-key": "wrong"}).status_code == 401
        assert client.get("/collections", headers={"api-key": "open sesame"}).status_code == 200
        bearer = {"authorization": "Bearer open sesame"}
        assert client.get("/collections", headers=bearer).status_code == 200

        key = {"api-key": "open sesame"}
        size = server_main.MAX_BYTES + 1
        answer = client.post("/collections/aliases", content=b" " * size, headers=key)
        assert answer.status_code == 413
        assert str(server_main.MAX_BYTES) in answer.json()["status"]["error"]
        pieces = (b" " * 2**20 for _ in range(size // 2**20 + 1))
        answer = client.post("/collections/aliases", content=pieces, headers=key)
        assert answer.status_code == 413


def test_a_stock_client_reaches_it_over_a_unix_socket(
    index_server_factory: ServerFactory, tmp_path: Path
) -> None:
    path = tmp_path / "index.sock"
    server = index_server_factory(arguments=["--uds", str(path)])
    assert server.url == f"unix:{path}"
    assert path.stat().st_mode & 0o777 == 0o600
    client = QdrantClient(
        url="http://localhost",
        port=None,
        check_compatibility=False,
        transport=httpx.HTTPTransport(uds=str(path)),
    )
    assert client.get_collections().collections == []
    client.close()
    code, said = run("--data-dir", str(tmp_path / "other"), "--uds", str(path))
    assert code == 2
    assert "--uds" in said
    assert server.stop() == 0
    assert not path.exists()
