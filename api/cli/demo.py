"""`firstlight demo`: what a newcomer sees first, on the sample catalogue."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from api.cli.output import client, console, show_ranking
from api.cli.processes import UP, print_addresses
from api.cli.publish import publish_lines, read_lines, show_summary
from api.client import FirstlightClient
from domain.errors import FirstlightError, RejectedError, RetryableError
from domain.settings import settings

CATALOG = Path(__file__).parents[2] / "examples" / "catalog"
START_TIMEOUT_S = 300.0
FIT_TIMEOUT_S = 180.0
NEW_USERS = 3


def demo(
    stay: Annotated[
        bool, typer.Option("--stay", help="Stay up until Ctrl-C instead of ending.")
    ] = False,
    catalog: Annotated[
        Path, typer.Option(help="Folder with items.jsonl, profiles.jsonl and now.json.")
    ] = CATALOG,
) -> None:
    """Start everything, publish the sample catalogue, and recommend to three new users."""
    profiles = _read_profiles(catalog)
    with _system() as started, client() as api:
        _wait_ready(api, started)
        console.rule("1. publish the sample catalogue", align="left")
        events = list(read_lines(catalog / "items.jsonl"))
        show_summary(publish_lines(api, events, catalog, wait=True, timeout_s=600.0))
        _wait_fitted(api)
        console.rule("2. recommend to new users, each known by one sentence", align="left")
        for profile in profiles[:NEW_USERS]:
            answer = api.recommend(profile=profile["profile"], limit=5)
            console.print(f"\n{profile['id']}: “{profile['profile']}”", markup=False, style="bold")
            show_ranking(answer)
        console.rule("3. an item published now", align="left")
        _publish_now(api, catalog)
        console.rule("4. where it listens", align="left")
        print_addresses(settings())
        if stay:
            console.print("up until Ctrl-C")
            _stay(started)


def _read_profiles(catalog: Path) -> list[dict[str, Any]]:
    try:
        lines = (catalog / "profiles.jsonl").read_bytes().splitlines()
    except OSError as error:
        raise RejectedError(
            f"{catalog}: {error.strerror}",
            field="--catalog",
            remedy="run it from a checkout, or name a folder with items.jsonl and profiles.jsonl",
        ) from None
    return [orjson.loads(line) for line in lines if line.strip()]


@dataclass
class Started:
    """`firstlight up` as a child, whose lines go through our console.

    Two processes that write to one terminal would write into each other's progress bars.
    """

    process: subprocess.Popen[str]
    up: threading.Event = field(default_factory=threading.Event)
    relay: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.relay = threading.Thread(target=self._relay, daemon=True)
        self.relay.start()

    def _relay(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            console.print(line.rstrip("\n"), markup=False, soft_wrap=True)
            if line.startswith(UP):
                self.up.set()

    def end(self) -> None:
        """Stop it and show what it still says."""
        self.process.terminate()
        self.process.wait(timeout=60)
        self.relay.join(timeout=10)


@contextmanager
def _system() -> Iterator[Started | None]:
    """`firstlight up` as a child, unless it already answers."""
    with client(timeout_s=2.0) as api:
        try:
            api.status()
        except FirstlightError:
            pass
        else:
            console.print(f"using the Firstlight that answers at {settings().api_url}")
            yield None
            return
    console.print("starting Firstlight; loading its models takes a moment")
    command = [sys.executable, "-m", "api.tether", "TERM", sys.executable, "-m", "api.cli", "up"]
    started = Started(
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    )
    try:
        yield started
    finally:
        started.end()


def _wait_ready(api: FirstlightClient, started: Started | None) -> None:
    from workers.celery import app

    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        if started is not None and started.process.poll() is not None:
            raise typer.Exit(started.process.returncode)
        said = started is None or started.up.is_set()
        try:
            if said and api.ready().ready and app.control.ping(timeout=1.0, limit=1):
                return
        except (FirstlightError, OSError):
            pass
        if time.monotonic() > deadline:
            raise RetryableError(
                f"not ready after {START_TIMEOUT_S:.0f} s",
                remedy=f"see the logs in {settings().folder('logs')}",
            )
        time.sleep(0.2)


def _wait_fitted(api: FirstlightClient) -> None:
    """The first bulk publish fits the fusion statistics; wait for the fitted collection."""
    deadline = time.monotonic() + FIT_TIMEOUT_S
    while time.monotonic() < deadline:
        status = api.status()
        if status.fusion is not None and status.fusion.startswith("fit-"):
            console.print(f"fusion statistics fitted: {status.fusion}")
            return
        time.sleep(0.2)
    console.print("fusion statistics are not fitted yet; ranking by plain normalised vectors")


def _publish_now(api: FirstlightClient, catalog: Path) -> None:
    """Publish one new item and ask for it until it is ranked."""
    spec = orjson.loads((catalog / "now.json").read_bytes())
    item, sentence = spec["item"], spec["profile"]
    for name in item.get("media", {}):
        files = item["media"][name]
        item["media"][name] = [api.upload((catalog / f).read_bytes()).reference for f in files]
    published = time.perf_counter()
    receipt = api.put_item(item)
    while True:
        answer = api.recommend(profile=sentence, limit=5)
        found = [r for r in answer.results if r.id == item["id"] and r.version == receipt.version]
        if found:
            break
        if time.perf_counter() - published > 60:
            raise RetryableError(f"{item['id']} did not appear within 60 s after its event")
        time.sleep(0.01)
    seen_s = time.perf_counter() - published
    state = api.item(item["id"])
    while state.latency_s is None and state.state == "pending":
        state = api.item(item["id"])
    console.print(f"\n“{sentence}”", style="bold", markup=False)
    show_ranking(answer)
    console.print(
        f"“{item['title']}” was published now: searchable {1000 * (state.latency_s or 0):.0f} ms"
        f" after its event was accepted; ranked #{found[0].rank} in an answer that came"
        f" {1000 * seen_s:.0f} ms after it was sent",
        markup=False,
    )


def _stay(started: Started | None) -> None:
    try:
        if started is not None:
            started.process.wait()
        else:
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        console.print()


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(demo)
