"""`python -m api.serve` and `firstlight api`: the HTTP API under uvicorn."""

from __future__ import annotations

import errno
import socket
import sys

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.auth import check_exposure
from api.state import open_parts
from domain.errors import FirstlightError, RejectedError
from domain.log import configure_logging, logger
from domain.settings import Settings, settings
from domain.tuning import tune_for_serving

BACKLOG = 2048
KEEP_ALIVE_S = 30
SHUTDOWN_S = 10

log = logger(__name__)


def run(chosen: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are finished.

    Raises:
        RejectedError: others could reach it and no keys are set; the port is in use; a setting
            makes no sense.
        RetryableError: the ledger does not answer.
    """
    said = check_exposure(chosen.api)
    listening = bind(chosen)
    with listening:
        # Here and not by the app when it starts: uvicorn would bury the reason in a traceback.
        parts = open_parts(chosen)
        tune_for_serving()
        log.info("api", url=chosen.api_url, keys=said)
        uvicorn.Server(_config(create_app(chosen, parts))).run(sockets=[listening])


def _config(app: FastAPI) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        backlog=BACKLOG,
        server_header=False,
    )


def bind(chosen: Settings) -> socket.socket:
    """A listening socket. Raises RejectedError naming the setting that is to be changed."""
    host, port = chosen.api.host, chosen.api.port
    listening = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError as error:
        if listening is not None:
            listening.close()
        taken = error.errno == errno.EADDRINUSE
        raise RejectedError(
            f"port {port} of {host} is in use" if taken else f"{host}:{port}: {error.strerror}",
            field="FIRSTLIGHT_API_PORT" if taken else "FIRSTLIGHT_API_HOST",
            remedy="set it to a free port" if taken else "set it to an address of this machine",
        ) from None
    listening.set_inheritable(True)
    return listening


def main() -> None:
    """Run with the settings of the environment; a wrong one ends it with one line."""
    try:
        chosen = settings()
        configure_logging(chosen.log_level, chosen.log_format)
        run(chosen)
    except FirstlightError as error:
        sys.exit(f"firstlight: {error}")


if __name__ == "__main__":
    main()
