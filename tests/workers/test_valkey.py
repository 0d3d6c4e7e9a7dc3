"""The embedded broker."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import redis

from domain.errors import RetryableError
from domain.settings import load_settings
from tests.fixtures.valkey import ROOT, ValkeyServer, free_port
from workers.valkey import valkey_command, wait_until_ready


def test_the_command_listens_on_loopback_and_keeps_a_log_in_the_data_directory(
    tmp_path: Path,
) -> None:
    command = valkey_command(load_settings(data_dir=tmp_path, broker={"port": 7999}))
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--bind"] == "127.0.0.1"
    assert options["--port"] == "7999"
    assert options["--appendonly"] == "yes"
    assert Path(options["--dir"]) == tmp_path.resolve() / "valkey"


def test_what_was_sent_a_second_ago_survives_a_killed_broker(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.lpush("text", "a message")
        time.sleep(1.2)
    valkey.stop(signal.SIGKILL)
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert client.lrange("text", 0, -1) == [b"a message"]


def test_a_broker_that_is_not_there_is_reported_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(RetryableError, match="FIRSTLIGHT_BROKER_URL"):
        wait_until_ready(f"redis://127.0.0.1:{free_port()}/0", timeout_s=0.3)
    assert time.monotonic() - started < 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel cannot tie processes")
def test_the_test_broker_dies_with_a_killed_test_process(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; import time, sys;"
        "from tests.fixtures.valkey import ValkeyServer, free_port;"
        f"server = ValkeyServer(Path({str(tmp_path)!r}), free_port()); server.start();"
        "print(server.process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    broker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    psutil.wait_procs([broker], timeout=5)
    assert not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE
