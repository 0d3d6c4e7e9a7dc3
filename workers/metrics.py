"""What a worker counts, and what the ledger and the queues tell when somebody scrapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from catalog import Catalog
from domain.errors import RetryableError
from domain.settings import LANES

ITEMS = Counter("firstlight_items_total", "Items a worker has finished with.", ["outcome", "lane"])
SEARCHABLE_S = Histogram(
    "firstlight_event_to_searchable_seconds",
    "From the acceptance of an event to its item being found by a query.",
    ["lane"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
STAGE_S = Histogram(
    "firstlight_stage_seconds",
    "Time of one message's items in one stage of the pipeline.",
    ["stage"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
UNDONE = Counter(
    "firstlight_writes_undone_total", "Points taken back because their item had changed meanwhile."
)
RESENT = Counter("firstlight_items_resent_total", "Items the reconciler has sent again.")


class LedgerCollector(Collector):
    """Queue depth, pending and lag, read from the ledger and the broker at every scrape.

    Register it once where it is scraped (the API): REGISTRY.register(LedgerCollector(...)).
    A source that does not answer leaves its gauges out and sets firstlight_up to 0 for itself.

    Args:
        depths: messages waiting per queue, such as `lambda: queue_depths(app)`.
    """

    def __init__(self, catalog: Catalog, depths: Callable[[], Mapping[str, int]]) -> None:
        self._catalog = catalog
        self._depths = depths

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Nothing, so that registering asks neither the ledger nor the broker."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family per figure, as prometheus-client wants them."""
        up = GaugeMetricFamily("firstlight_up", "Whether a store answered.", labels=["store"])
        try:
            yield from self._ledger()
            up.add_metric(["catalog"], 1)
        except RetryableError:
            up.add_metric(["catalog"], 0)
        try:
            yield self._queues()
            up.add_metric(["broker"], 1)
        except RetryableError:
            up.add_metric(["broker"], 0)
        yield up

    def _ledger(self) -> list[GaugeMetricFamily]:
        items = GaugeMetricFamily("firstlight_items", "Items by state.", labels=["state"])
        for state, count in self._catalog.counts().items():
            items.add_metric([state.value], count)
        pending = GaugeMetricFamily(
            "firstlight_pending_items", "Items waiting for a worker, by lane.", labels=["lane"]
        )
        waiting = self._catalog.pending_by_lane()
        for lane in LANES:
            pending.add_metric([lane], waiting.get(lane, 0))
        oldest = GaugeMetricFamily(
            "firstlight_oldest_pending_seconds", "Age of the item that waits longest."
        )
        oldest.add_metric([], self._catalog.oldest_pending_s())
        return [items, pending, oldest]

    def _queues(self) -> GaugeMetricFamily:
        depth = GaugeMetricFamily(
            "firstlight_queue_messages", "Messages waiting in the broker.", labels=["queue"]
        )
        for queue, count in self._depths().items():
            depth.add_metric([queue], count)
        return depth
