"""`firstlight up`: the whole system on one machine, each part a supervised process.

Circus starts the processes, restarts one that dies and ends them when it ends; `api.tether`
makes the kernel end them where the supervisor itself is killed. What runs here is what runs in
production: the same worker, API and index protocol, behind other URLs.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
import redis

from api.auth import check_exposure
from domain.errors import FirstlightError, RejectedError, RetryableError
from domain.locks import alone_at_once
from domain.log import CANNOT_START
from domain.settings import Settings
from workers import valkey

LOG_BYTES = 10 * 2**20
LOG_BACKUPS = 2
LOG_LINES = 8
LOG_LINE_CHARS = 500

MOST_RESTARTS = 3
"""A service that ended this often before it was ready is broken, not slow."""


@dataclass(frozen=True)
class Service:
    """One supervised process.

    Attributes:
        command: what is run; its output goes to <data_dir>/logs/<name>.log.
        port, port_setting: where it listens and the variable that moves it.
        end_signal: what the kernel sends when the supervisor is killed: TERM where there is
            something to flush, KILL where losing the process loses nothing.
        ready: raises while the service does not answer yet.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], object]
    port: int | None = None
    port_setting: str = ""
    end_signal: str = "KILL"
    processes: int = 1
    graceful_s: float = 10.0


@dataclass
class Plan:
    """What `firstlight up` runs, in the order of starting."""

    settings: Settings
    workers: int = 1
    flower: bool = False
    services: list[Service] = field(init=False)
    _begun: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.services = list(_services(self.settings, self.workers, self.flower))
        self.begin()

    def begin(self) -> None:
        """From here on `said` is of this start, and not of an earlier one in the same folder."""
        logs = {service.name: self.log_file(service) for service in self.services}
        self._begun = {name: log.stat().st_size for name, log in logs.items() if log.exists()}

    def said(self, service: Service) -> list[str]:
        """The last lines that a service has left in its log since `begin`."""
        log = self.log_file(service)
        if not log.exists():
            return []
        lines = log.read_bytes()
        begun = self._begun.get(service.name, 0)
        if len(lines) >= begun:  # or it was rotated since
            lines = lines[begun:]
        return lines.decode(errors="replace").splitlines()[-LOG_LINES:]

    def check(self) -> None:
        """What would end one part again and again ends the start at once.

        Raises:
            RejectedError: the API could be reached by others without a key, Flower is not
                installed, or a port is taken; it names the setting that is to be changed.
        """
        check_exposure(self.settings.api)
        if self.flower and importlib.util.find_spec("flower") is None:
            raise RejectedError(
                "Flower is not installed",
                field="--flower",
                remedy="pip install 'firstlight[monitoring]'",
            )
        self._check_ports()

    def _check_ports(self) -> None:
        for service in self.services:
            if service.port is None:
                continue
            host = self.settings.api.host if service.name == "api" else "127.0.0.1"
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, service.port))
                except OSError as error:
                    raise RejectedError(
                        f"port {service.port} for the {service.name} cannot be used:"
                        f" {error.strerror or error}",
                        field=service.port_setting,
                        remedy="set it to a free port, or stop what listens there"
                        " (another `firstlight up`?)",
                    ) from None

    def log_file(self, service: Service) -> Path:
        """Where a service's output goes."""
        return self.settings.folder("logs") / f"{service.name}.log"


def _services(settings: Settings, workers: int, flower: bool) -> Iterator[Service]:
    firstlight = (sys.executable, "-m", "api.cli")
    if settings.broker.url is None:
        yield Service(
            "broker",
            tuple(valkey.valkey_command(settings)),
            lambda: _ping_broker(settings),
            settings.broker.port,
            "FIRSTLIGHT_BROKER_PORT",
            end_signal="TERM",
        )
    if settings.index.url is None:
        yield Service(
            "index",
            (*firstlight, "index-server"),
            lambda: _get(f"{settings.index_url}/readyz"),
            settings.index.port,
            "FIRSTLIGHT_INDEX_PORT",
            end_signal="TERM",
        )
    yield Service(
        "worker",
        (*firstlight, "worker"),
        lambda: _ping_workers(workers),
        processes=workers,
        graceful_s=settings.worker.soft_shutdown_s + 5.0,
    )
    yield Service("reconciler", (*firstlight, "worker", "--reconciler"), lambda: None)
    yield Service(
        "api",
        (*firstlight, "api"),
        lambda: _get(f"{settings.api_url}/readyz"),
        settings.api.port,
        "FIRSTLIGHT_API_PORT",
    )
    if flower:
        command = (sys.executable, "-m", "celery", "-A", "workers", "flower", "--address=127.0.0.1")
        yield Service(
            "flower",
            (*command, f"--port={settings.api.flower_port}"),
            lambda: _get(f"http://127.0.0.1:{settings.api.flower_port}/healthcheck"),
            settings.api.flower_port,
            "FIRSTLIGHT_API_FLOWER_PORT",
        )


def _get(url: str) -> None:
    httpx.get(url, timeout=10.0, trust_env=False).raise_for_status()


def _ping_broker(settings: Settings) -> None:
    with redis.Redis.from_url(settings.broker_url, socket_timeout=2.0) as client:
        client.ping()


def _ping_workers(expected: int) -> None:
    from kombu.exceptions import OperationalError

    from workers.celery import app

    try:
        answers = app.control.ping(timeout=1.0, limit=expected) or []
    except OperationalError as error:  # of kombu: the broker is away
        raise RetryableError(f"the broker does not answer ({error})") from error
    if len(answers) < expected:
        raise RetryableError(f"{len(answers)} of {expected} workers answer")


def wait_ready(
    plan: Plan,
    *,
    timeout_s: float,
    ready: Callable[[Service, float], None],
    restarts: Callable[[str], int] = lambda _name: 0,
) -> None:
    """Wait until every service answers; `ready(service, seconds)` is called for each in turn.

    Raises:
        RetryableError: one did not answer in time, or ended again and again; the message ends
            with its last log lines.
    """
    started = time.monotonic()
    for service in plan.services:
        while True:
            try:
                service.ready()
                break
            except (httpx.HTTPError, redis.RedisError, OSError, FirstlightError) as error:
                waited = time.monotonic() - started
                ended = restarts(service.name)
                if ended:
                    _refuse_wrong_setting(plan, service)
                if waited > timeout_s:
                    raise _not_ready(plan, service, f"not ready after {waited:.0f} s") from error
                if ended >= MOST_RESTARTS:
                    raise _not_ready(plan, service, f"ended {ended} times at its start") from error
                time.sleep(0.1)
        ready(service, time.monotonic() - started)


def _refuse_wrong_setting(plan: Plan, service: Service) -> None:
    """What ended at its start over a wrong setting will do so again.

    Raises:
        RejectedError: with the line that it left in its log.
    """
    for line in plan.said(service):
        with suppress(orjson.JSONDecodeError):
            said = orjson.loads(line)
            known = isinstance(said, dict) and said.get("event") == CANNOT_START
            if known and said.get("setting"):
                raise RejectedError(f"the {service.name} cannot start: {said['error']}")


def _not_ready(plan: Plan, service: Service, what: str) -> RetryableError:
    tail = "\n".join(line[:LOG_LINE_CHARS] for line in plan.said(service))
    log = plan.log_file(service)
    return RetryableError(f"the {service.name} {what}", remedy=f"its log, {log}, ends:\n{tail}")


class Supervisor:
    """Runs a plan until it is told to stop (SIGINT or SIGTERM)."""

    def __init__(self, plan: Plan) -> None:
        from circus import get_arbiter

        plan.check()
        self.plan = plan
        self._restarts: Counter[str] = Counter()
        run = plan.settings.folder("run")
        for chatty in ("circus", "tornado.application"):  # a stop in progress is not an error
            logging.getLogger(chatty).setLevel(logging.CRITICAL)
        self._arbiter = get_arbiter(
            [self._watcher(service) for service in plan.services],
            controller=_socket(run / "control"),
            pubsub_endpoint=_socket(run / "events"),
            check_delay=0.5,
        )

    def _watcher(self, service: Service) -> dict[str, Any]:
        log = {
            "class": "FileStream",
            "filename": str(self.plan.log_file(service)),
            "max_bytes": LOG_BYTES,
            "backup_count": LOG_BACKUPS,
        }
        return {
            "name": service.name,
            "cmd": sys.executable,
            "args": ["-m", "api.tether", service.end_signal, *service.command],
            "numprocesses": service.processes,
            "copy_env": True,
            "graceful_timeout": service.graceful_s,
            "max_retry": -1,
            "stdout_stream": log,
            "stderr_stream": log,
        }

    def run(
        self,
        *,
        ready: Callable[[], None],
        failed: Callable[[FirstlightError], None],
        on_service: Callable[[Service, float], None],
        on_restart: Callable[[str, int], None],
        timeout_s: float = 180.0,
    ) -> None:
        """Start everything and block. The callbacks run in a thread of their own.

        Raises:
            RejectedError: this data directory is in use by another supervisor.
        """
        with alone_at_once(self.plan.settings.folder("run") / "up.lock") as mine:
            if not mine:
                raise RejectedError(
                    f"another `firstlight up` runs in {self.plan.settings.data_dir}",
                    field="FIRSTLIGHT_DATA_DIR",
                    remedy="stop it, or choose another directory",
                )
            self._run(ready, failed, on_service, on_restart, timeout_s)

    def _run(
        self,
        ready: Callable[[], None],
        failed: Callable[[FirstlightError], None],
        on_service: Callable[[Service, float], None],
        on_restart: Callable[[str, int], None],
        timeout_s: float,
    ) -> None:
        stopping = threading.Event()

        def watch() -> None:
            try:
                wait_ready(
                    self.plan,
                    timeout_s=timeout_s,
                    ready=on_service,
                    restarts=self._restarts.__getitem__,
                )
            except FirstlightError as error:
                failed(error)
            else:
                ready()

        for work in (watch, lambda: self._watch_restarts(stopping, on_restart)):
            threading.Thread(target=work, daemon=True).start()
        try:
            self._arbiter.start()
        finally:
            stopping.set()

    def stop(self) -> None:
        """End `run` from another thread, as a SIGTERM from outside would."""
        os.kill(os.getpid(), signal.SIGTERM)

    def _watch_restarts(
        self, stopping: threading.Event, on_restart: Callable[[str, int], None]
    ) -> None:
        known: dict[str, set[int]] = {}
        while not stopping.wait(0.5):
            for watcher in self._arbiter.watchers:
                pids = {process.pid for process in list(watcher.processes.values())}
                for pid in pids - known.get(watcher.name, pids):
                    if not stopping.is_set():
                        self._restarts[watcher.name] += 1
                        on_restart(watcher.name, pid)
                if pids:
                    known[watcher.name] = pids


def _socket(path: Path) -> str:
    """A unix socket for circus; its length is bounded by the kernel (about 100 bytes)."""
    if len(str(path)) > 100:
        raise RejectedError(
            f"the path {path} is too long for a unix socket",
            field="FIRSTLIGHT_DATA_DIR",
            remedy="choose a data directory with a path under 90 characters",
        )
    return f"ipc://{path}"
