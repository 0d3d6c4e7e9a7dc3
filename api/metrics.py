"""Prometheus figures of the API, and of the ledger, the queues and the index behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import FirstlightError
from workers.metrics import LedgerCollector
from workers.queues import queue_depths

if TYPE_CHECKING:
    from api.state import Parts

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
UNROUTED = "(none)"


class Metrics:
    """One registry per app, so that several apps in one process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "firstlight_http_requests_total",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "firstlight_http_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.events = Counter(
            "firstlight_events_total",
            "Events by what became of them.",
            ["kind", "status"],
            registry=self._registry,
        )
        self._kept: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def answered(self, method: str, route: str, status: str, seconds: float) -> None:
        """Count one request. The client library takes a lock and joins names to find a labelled
        figure, so those that were found are kept."""
        kept = self._kept.get((method, route, status))
        if kept is None:
            kept = self._kept[method, route, status] = (
                self.requests.labels(method, route, status),
                self.seconds.labels(method, route),
            )
        count, time_taken = kept
        count.inc()
        time_taken.observe(seconds)

    def watch(self, parts: Parts) -> None:
        """Read ledger, broker and index at every scrape."""
        self._registry.register(LedgerCollector(parts.catalog, lambda: queue_depths(parts.broker)))
        self._registry.register(IndexCollector(parts))

    def render(self) -> bytes:
        """The text that Prometheus reads. Blocking: it asks the stores."""
        return generate_latest(self._registry)


RECENT_ITEMS = 1000


class IndexCollector(Collector):
    """Size of the live collection, and how long recent items took to get there.

    What does not answer is left out. Workers count the same latency in a histogram of their own;
    this one comes from the ledger and is there without scraping them.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing, so that registering asks nobody."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Two families."""
        yield from self._latency()
        gauge = GaugeMetricFamily(
            "firstlight_index_items", "Items in the serving collection.", labels=["collection"]
        )
        try:
            collection = self._parts.index.serving()
            if collection is not None:
                points = self._parts.index.info(collection).points
                gauge.add_metric([collection], points)
        except FirstlightError:
            return
        yield gauge

    def _latency(self) -> Iterator[GaugeMetricFamily]:
        gauge = GaugeMetricFamily(
            "firstlight_recent_event_to_searchable_seconds",
            f"Event accepted to searchable, over the last {RECENT_ITEMS} items indexed.",
            labels=["quantile"],
        )
        try:
            newest = self._parts.catalog.indexed_last(RECENT_ITEMS)
        except FirstlightError:
            return
        took_s = sorted(one.indexed_at - one.accepted_at for one in newest)
        for quantile in (0.5, 0.95, 0.99) if took_s else ():
            gauge.add_metric([str(quantile)], took_s[int(quantile * (len(took_s) - 1))])
        yield gauge


class Middleware:
    """Counts and times requests by route, not by path: an id in a label would never end."""

    def __init__(self, app: ASGIApp, measured: Metrics) -> None:
        self._app = app
        self._measured = measured

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = "500", time.perf_counter()

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, note)
        finally:
            route = getattr(scope.get("route"), "path", UNROUTED)
            self._measured.answered(scope["method"], route, status, time.perf_counter() - started)
