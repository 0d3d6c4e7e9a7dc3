"""The server's process: `python -m index.server --data-dir DIR`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvicorn

from domain.errors import FirstlightError, RejectedError
from domain.log import configure_logging, logger
from domain.settings import load_settings
from index.server.app import create_app
from index.server.registry import Registry
from index.server.spec import Defaults
from index.server.upkeep import Upkeep

log = logger(__name__)

MAX_BYTES = 64 * 2**20
STOP_S = 10
KEEP_ALIVE_S = 75
"""Longer than clients keep idle connections (httpx: 5 s), so that it is they who close them and
never a request that meets a closing one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m index.server", description="Firstlight's embedded index server."
    )
    parser.add_argument("--data-dir", type=Path, help="default: <FIRSTLIGHT_DATA_DIR>/index")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, help="default: FIRSTLIGHT_INDEX_PORT")
    parser.add_argument("--uds", type=Path, help="listen on this unix socket instead")
    given = parser.parse_args(arguments)
    try:
        settings = load_settings()
        configure_logging(settings.log_level, settings.log_format)
        index = settings.index
        serve(
            given.data_dir or settings.folder("index"),
            host=given.host,
            port=index.port if given.port is None else given.port,
            uds=given.uds,
            api_key=index.api_key.get_secret_value() if index.api_key else None,
            defaults=Defaults(
                exact_up_to=index.exact_up_to,
                hnsw_m=index.hnsw_m,
                hnsw_ef_construct=index.hnsw_ef_construct,
                hnsw_ef=index.hnsw_ef,
            ),
        )
    except FirstlightError as error:
        print(f"index server: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def serve(
    data_dir: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 7333,
    uds: Path | None = None,
    api_key: str | None = None,
    defaults: Defaults | None = None,
    max_bytes: int = MAX_BYTES,
) -> None:
    """Serve a data directory until SIGTERM or SIGINT, then flush and release it.

    Args:
        port: 0 takes any free port; the log says which.
        uds: a unix socket to listen on instead of host and port.
        api_key: what callers must send; needed when the host is not loopback.
        max_bytes: largest body of a request.

    Raises:
        RejectedError: the address is in use or not loopback, data_dir cannot be made, or another
            server owns it.
        PermanentError: a collection's files are corrupt.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RejectedError(
            f"{data_dir} cannot be made: {error.strerror}",
            remedy="set FIRSTLIGHT_DATA_DIR (or --data-dir) to a directory that may be written to",
        ) from None
    with _listening(host, port, uds, api_key) as listener:
        registry = Registry(data_dir, defaults or Defaults())
        try:
            app = create_app(registry, api_key=api_key, max_bytes=max_bytes)
            config = uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_S,
            )
            with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
                runner.run(_run(_Server(config), listener, registry))
        finally:
            registry.close()
            log.info("index server stopped", data_dir=str(data_dir))


class _Server(uvicorn.Server):
    """Leaves signals to us: uvicorn would raise them again before the collections are closed."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            log.info("index server ready", address=_address(listener))

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _run(server: _Server, listener: socket.socket, registry: Registry) -> None:
    def stop() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    upkeep = Upkeep(registry, loop)
    try:
        await server.serve(sockets=[listener])
    finally:
        await asyncio.to_thread(upkeep.stop)


def _address(listener: socket.socket) -> str:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"http://{name[0]}:{name[1]}"


@contextlib.contextmanager
def _listening(
    host: str, port: int, uds: Path | None, api_key: str | None
) -> Iterator[socket.socket]:
    """A bound socket; it accepts nothing until the server runs."""
    if uds is not None:
        with _unix(uds) as listener:
            yield listener
        return
    if not _loopback(host) and not api_key:
        raise RejectedError(
            f"{host} is not a loopback address and no key protects it",
            remedy="set FIRSTLIGHT_INDEX_API_KEY or listen on 127.0.0.1",
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by every connection; without it an answer waits 40 ms for the reader's ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind((host, port))
        except (OSError, OverflowError) as error:
            raise RejectedError(
                f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
                remedy="choose another port with FIRSTLIGHT_INDEX_PORT (or --port)",
            ) from None
        yield listener


@contextlib.contextmanager
def _unix(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.connect(str(path))
            raise RejectedError(f"another server listens on {path}", remedy="choose another --uds")
        path.unlink(missing_ok=True)
        try:
            listener.bind(str(path))
        except OSError as error:
            raise RejectedError(
                f"cannot listen on {path}: {error}", remedy="choose another --uds"
            ) from None
        path.chmod(0o600)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main())
