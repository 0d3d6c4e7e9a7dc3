"""Idle freshness: event accepted to searchable, over the encode time of that item alone."""

from __future__ import annotations

import statistics
import time

from api.client import FirstlightClient
from benchmarks.corpus import Sample, corpus
from benchmarks.pipeline import inputs_of, item_of
from benchmarks.report import Figure
from benchmarks.system import environment, running
from encoders import Encoders

ITEMS = 40
PAUSE_S = 0.1


def measure() -> list[Figure]:
    """Two figures: text only, text + image; one live event at a time."""
    return [_measure(pictures=False), _measure(pictures=True)]


def _measure(*, pictures: bool) -> Figure:
    data = corpus(ITEMS + 5, pictures=pictures)
    with environment(FIRSTLIGHT_ENCODER_CACHE_BYTES="0") as alone_settings:
        encoders = Encoders.load(alone_settings)
        with (
            environment(FIRSTLIGHT_FETCH_LOCAL_DIRS=f'["{data.folder}"]') as settings,
            running(settings) as client,
        ):
            pairs = [
                (_searchable(client, sample), _alone(encoders, sample)) for sample in data.samples
            ][5:]
        encoders.close()
    return Figure(
        name=f"idle freshness, {'text + image' if pictures else 'text only'}",
        ratio=statistics.median(ours / alone for ours, alone in pairs),
        target=2.0,
        better="lower",
        ours=1000 * statistics.median(ours for ours, _ in pairs),
        other=1000 * statistics.median(alone for _, alone in pairs),
        unit="ms",
        against="encoding that item alone",
        data=f"{data.name}, {ITEMS} items one at a time",
        ratios=[ours / alone for ours, alone in pairs],
    )


def _searchable(client: FirstlightClient, sample: Sample) -> float:
    """Seconds from acceptance to the acknowledged upsert, by the ledger."""
    time.sleep(PAUSE_S)
    client.put_item(item_of(sample).model_dump(mode="json"))
    deadline = time.monotonic() + 30.0
    while time.monotonic() < deadline:
        time.sleep(PAUSE_S)
        state = client.item(sample.id)
        if state.latency_s is not None:
            return state.latency_s
        if state.state == "dead":
            raise RuntimeError(f"{sample.id} is dead: {state.reason}")
    raise RuntimeError(f"{sample.id} is not searchable after 30 s")


def _alone(encoders: Encoders, sample: Sample) -> float:
    inputs = inputs_of(sample)
    started = time.perf_counter()
    encoded = encoders.encode_items([inputs])
    took = time.perf_counter() - started
    if encoded[0].error:
        raise encoded[0].error
    return took
