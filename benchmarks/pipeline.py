"""Pipeline: items/s through Celery, ledger and index over a bare loop over the same encoders."""

from __future__ import annotations

import statistics
import time

from api.client import FirstlightClient
from benchmarks.corpus import Sample, corpus
from benchmarks.report import Figure
from benchmarks.system import environment, running, wait_indexed
from domain.items import Item, Media
from domain.tuning import tune_for_serving
from encoders import Encoders, ItemInputs, render_item

BATCH = 64
RUNS = 8
ITEMS = {False: 400, True: 256}
"""Items per run, text only and text + image; every run takes others, so no cache helps."""


def item_of(sample: Sample) -> Item:
    """The sample as it is published."""
    media = Media(images=[str(sample.picture)] if sample.picture else [])
    return Item(
        id=sample.id,
        version=1,
        title=sample.title,
        description=sample.description,
        tags=list(sample.tags),
        media=media,
    )


def inputs_of(sample: Sample) -> ItemInputs:
    """The sample as the encoders take it."""
    images = (("media.images[0]", sample.picture.read_bytes()),) if sample.picture else ()
    return ItemInputs(text=render_item(item_of(sample)), images=images, audio=())


def bare(encoders: Encoders, samples: list[Sample]) -> float:
    """Items/s of a loop that reads the files and encodes, nothing else."""
    started = time.perf_counter()
    for start in range(0, len(samples), BATCH):
        encoded = encoders.encode_items([inputs_of(s) for s in samples[start : start + BATCH]])
        if any(one.error for one in encoded):
            raise RuntimeError("an item of the corpus could not be encoded")
    return len(samples) / (time.perf_counter() - started)


def through(client: FirstlightClient, samples: list[Sample], already: int) -> float:
    """Items/s from the first acceptance to the last upsert, by the ledger's own times."""
    events = [
        {"type": "item.created", "data": item_of(sample).model_dump(mode="json")}
        for sample in samples
    ]
    client.publish(events)
    wait_indexed(client, already + len(samples))
    wanted = {sample.id for sample in samples}
    accepted, indexed, after = [], [], None
    while True:
        page = client.items(state="indexed", limit=1000, after=after)
        for item in page.items:
            if item.id in wanted and item.accepted_at and item.indexed_at:
                accepted.append(item.accepted_at)
                indexed.append(item.indexed_at)
        after = page.next
        if after is None:
            break
    return len(indexed) / (max(indexed) - min(accepted)).total_seconds()


def measure() -> list[Figure]:
    """Two figures: text only, text + image."""
    return [_measure(pictures=False), _measure(pictures=True)]


def _measure(*, pictures: bool) -> Figure:
    count = ITEMS[pictures]
    data = corpus(count * (RUNS + 1), pictures=pictures)
    runs = [data.samples[start : start + count] for start in range(0, len(data.samples), count)]
    runs = [run for run in runs if len(run) == count]
    warm, counted = runs[0], runs[1 : RUNS + 1]
    rates = []
    tune_for_serving()  # the bare loop gets what a worker's process gets
    with environment(
        FIRSTLIGHT_FETCH_LOCAL_DIRS=f'["{data.folder}"]', FIRSTLIGHT_ENCODER_CACHE_BYTES="0"
    ) as bare_settings:
        encoders = Encoders.load(bare_settings)
        bare(encoders, warm[:BATCH])
        with (
            environment(FIRSTLIGHT_FETCH_LOCAL_DIRS=f'["{data.folder}"]') as settings,
            running(settings) as client,
        ):
            through(client, warm, 0)
            for number, run in enumerate(counted, 1):
                rates.append((through(client, run, number * count), bare(encoders, run)))
        encoders.close()
    return Figure(
        name=f"pipeline, {'text + image' if pictures else 'text only'}",
        ratio=statistics.median(ours / loop for ours, loop in rates),
        target=0.85,
        better="higher",
        ours=statistics.median(ours for ours, _ in rates),
        other=statistics.median(loop for _, loop in rates),
        unit="items/s",
        against="a bare loop over the same encoders, batches of 64",
        data=f"{data.name}, {RUNS} runs of {count} items",
        ratios=[ours / loop for ours, loop in rates],
    )
