"""`firstlight up`: supervised processes that end with it, however it ends."""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from api.supervisor import Plan, wait_ready
from domain.errors import RejectedError, RetryableError
from domain.log import CANNOT_START
from domain.settings import Settings
from tests.fixtures.system import System, make_system


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def test_a_worker_that_dies_is_started_again_and_items_go_on(system: System) -> None:
    before = system.processes()["worker"]
    before.kill()
    wait_for(lambda: system.processes().get("worker", before).pid != before.pid)
    with system.client() as client:
        client.put_item({"id": "after-restart", "title": "an item for the second worker"})
        wait_for(lambda: client.item("after-restart").state == "indexed", 60.0)
    assert "worker ended and was started again" in system.output


def test_the_index_and_the_broker_may_be_killed_without_losing_an_item(system: System) -> None:
    with system.client() as client:
        client.put_item({"id": "before-kill", "title": "kept"})
        wait_for(lambda: client.item("before-kill").state == "indexed")
        for name in ("valkey", "index-server"):
            old = system.processes()[name]
            old.kill()
            wait_for(lambda name=name, old=old: system.processes().get(name, old).pid != old.pid)  # type: ignore[misc]
        client.put_item({"id": "after-kill", "title": "indexed by the new processes"})
        wait_for(lambda: client.item("after-kill").state == "indexed", 90.0)
    assert "0 differences" in system.run("verify")


def test_the_screen_says_where_everything_is_and_who_may_use_it(system: System) -> None:
    for part in ("console page", f"{system.url}/docs", "logs", "no keys are set"):
        assert part in system.output


def test_a_worker_that_ends_over_a_wrong_setting_ends_the_start_with_its_line(
    tmp_path: Path,
) -> None:
    plan = Plan(Settings(data_dir=tmp_path))
    said = {"event": CANNOT_START, "error": "FIRSTLIGHT_X: is 2; set it to 1"}

    def ends(line: dict[str, str], of: str) -> None:
        for service in plan.services:
            text = json.dumps(line) if service.name == of else ""
            plan.log_file(service).write_text(f"usage: {{\n3\n{text}\n")
        only = [replace(service, ready=_never) for service in plan.services if service.name == of]
        plan.services = only
        wait_ready(plan, timeout_s=0.5, ready=lambda *_: None, restarts=lambda _: 1)

    with pytest.raises(RetryableError, match="the worker not ready after"):
        ends({**said, "setting": ""}, "worker")
    with pytest.raises(RejectedError, match="the worker cannot start: FIRSTLIGHT_X: is 2; set it"):
        ends({**said, "setting": "FIRSTLIGHT_X"}, "worker")
    plan.begin()
    with pytest.raises(RetryableError, match="the worker not ready after") as refused:
        wait_ready(plan, timeout_s=0.5, ready=lambda *_: None, restarts=lambda _: 1)
    assert CANNOT_START not in str(refused.value), "what an earlier start said is no matter of this"


def _never() -> None:
    raise OSError("nobody listens")


def test_a_second_one_in_the_same_data_directory_is_refused(system: System) -> None:
    other = make_system(system.folder)
    said = other.run("up", code=2)
    assert said.startswith("error: FIRSTLIGHT_DATA_DIR: another `firstlight up` runs in")
    assert "choose another directory" in said
    assert "0 differences" in system.run("verify")


def test_without_keys_it_does_not_begin_to_listen_to_the_world(tmp_path: Path) -> None:
    made = make_system(tmp_path, FIRSTLIGHT_API_HOST="0.0.0.0")
    said = made.run("up", code=2)
    assert said.startswith("error: FIRSTLIGHT_API_HOST")
    assert "FIRSTLIGHT_API_WRITE_KEYS" in said


def test_flower_that_is_not_installed_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flower", None)
    with pytest.raises(RejectedError, match=r"pip install 'firstlight\[monitoring\]'"):
        Plan(Settings(data_dir=tmp_path), flower=True).check()


def test_every_process_ends_with_up_even_if_it_is_killed(tmp_path: Path) -> None:
    made = make_system(tmp_path)
    made.start()
    children = list(made.processes().values())
    assert len(children) == 5
    made.stop(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    made.start()  # the same data directory opens again
    children = list(made.processes().values())
    made.stop(signal.SIGINT)
    assert made.process is not None
    assert made.process.returncode == 0
    assert "stopped" in made.output
    assert psutil.wait_procs(children, timeout=1)[1] == []


def test_a_port_in_use_is_named_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        made = make_system(tmp_path, FIRSTLIGHT_INDEX_PORT=port)
        said = made.run("up", code=2)
    assert f"port {port} for the index cannot be used" in said
    assert "FIRSTLIGHT_INDEX_PORT" in said


def test_a_part_that_cannot_start_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    made = make_system(tmp_path, FIRSTLIGHT_ENCODER_TEXT_MODEL=str(tmp_path / "no-such-model"))
    said = made.run("up", code=3)
    assert "the worker" in said
    assert "no-such-model" in said


def test_a_wrong_setting_stops_the_start_with_one_line(tmp_path: Path) -> None:
    made = make_system(tmp_path, FIRSTLIGHT_ENCODER_DEVICE="abacus")
    said = made.run("up", code=2)
    assert said.startswith("error: FIRSTLIGHT_ENCODER_DEVICE")
    assert len(said.strip().splitlines()) <= 2
