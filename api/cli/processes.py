"""Starting things: the whole system, or one part of it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from api.cli.output import CODE_UNAVAILABLE, console, fail, without_password
from domain.errors import FirstlightError
from domain.log import configure_logging
from domain.settings import Settings, settings

UP = "Firstlight is up; Ctrl-C ends it"
"""The last line of a start."""


def addresses(current: Settings, *, flower: bool = False) -> list[tuple[str, str]]:
    """What a person may open or point a client at."""
    found = [
        ("console page", f"{current.api_url}/"),
        ("API", current.api_url),
        ("API reference", f"{current.api_url}/docs"),
        ("metrics", f"{current.api_url}/metrics"),
        ("index (Qdrant REST)", current.index_url),
        ("broker", without_password(current.broker_url)),
        ("logs", str(current.folder("logs"))),
    ]
    if flower:
        found.append(("Flower", f"http://127.0.0.1:{current.api.flower_port}"))
    return found


def print_addresses(current: Settings, *, flower: bool = False) -> None:
    """Name and address, one a line."""
    for name, address in addresses(current, flower=flower):
        console.print(f"  {name:20} {address}", markup=False)


def up(
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 1,
    flower: Annotated[bool, typer.Option("--flower", help="Start Flower as well.")] = False,
) -> None:
    """Run everything on this machine: broker, index, workers, reconciler, API."""
    from api.auth import check_exposure
    from api.supervisor import Plan, Service, Supervisor

    current = settings()
    supervisor = Supervisor(Plan(current, workers, flower))
    problem: list[FirstlightError] = []

    def started(service: Service, seconds: float) -> None:
        console.print(f"{service.name:10} ready after {seconds:.1f} s")

    def ready() -> None:
        print_addresses(current, flower=flower)
        console.print(check_exposure(current.api))
        console.print(UP)

    def failed(error: FirstlightError) -> None:
        problem.append(error)
        threading.Thread(target=supervisor.stop, daemon=True).start()

    def restarted(name: str, pid: int) -> None:
        console.print(f"{name} ended and was started again as process {pid}")

    supervisor.run(ready=ready, failed=failed, on_service=started, on_restart=restarted)
    if problem:
        fail(problem[0])
        raise typer.Exit(CODE_UNAVAILABLE)
    console.print("stopped")


def worker(
    lanes: Annotated[
        str | None, typer.Option("--lanes", "-Q", help="Queues to serve, separated by commas.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", min=1, help="Threads.")
    ] = None,
    reconciler: Annotated[
        bool, typer.Option("--reconciler", help="Run the reconciler (Celery beat) instead.")
    ] = False,
) -> None:
    """Run one Celery worker; `celery -A workers worker` does the same."""
    from workers.main import run_reconciler, run_worker

    if reconciler:
        run_reconciler()
    else:
        run_worker(lanes=lanes, concurrency=concurrency)


def api() -> None:
    """Run the HTTP API."""
    from api.serve import run

    current = settings()
    configure_logging(current.log_level, current.log_format)
    run(current)


def index_server(
    uds: Annotated[
        Path | None, typer.Option("--uds", help="Listen on this unix socket instead of a port.")
    ] = None,
) -> None:
    """Run the embedded index server: Qdrant's engine behind Qdrant's REST API."""
    from index.server.main import main

    settings()  # a wrong one ends every command alike
    code = main([] if uds is None else ["--uds", str(uds)])
    if code:
        raise typer.Exit(code)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(up)
    app.command()(worker)
    app.command()(api)
    app.command("index-server")(index_server)
