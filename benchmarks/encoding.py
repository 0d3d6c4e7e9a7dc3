"""Encoding: texts against sentence-transformers, pictures against bare open_clip; same weights."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image

from benchmarks.corpus import corpus
from benchmarks.pipeline import item_of
from benchmarks.report import Figure, processor
from benchmarks.system import environment
from domain.settings import Settings
from encoders import Encoders, render_item
from encoders.device import cpu_threads
from encoders.packs import resolve

TEXTS = 240
PICTURES = 192
PAIRS = 5
PEER_BATCH = 32


def paired(
    ours: Callable[[], object], other: Callable[[], object], count: int
) -> list[tuple[float, float]]:
    """Items/s of both, in turn, after one uncounted round."""
    rates = []
    for number in range(PAIRS + 1):
        pair = []
        for run in (ours, other):
            started = time.perf_counter()
            run()
            pair.append(count / (time.perf_counter() - started))
        if number:
            rates.append((pair[0], pair[1]))
    return rates


def _all_threads(settings: Settings) -> None:
    """The peers compute in this thread: on as many of torch's threads as the encoders' lanes."""
    torch.set_num_threads(cpu_threads(settings.encoder))


def _figure(
    name: str, rates: Sequence[tuple[float, float]], target: float | None, **rest: object
) -> Figure:
    return Figure(
        name=name,
        ratio=statistics.median(a / b for a, b in rates),
        target=target,
        better="higher",
        ours=statistics.median(a for a, _ in rates),
        other=statistics.median(b for _, b in rates),
        unit="items/s",
        ratios=[a / b for a, b in rates],
        **rest,  # type: ignore[arg-type]
    )


def measure() -> list[Figure]:
    """Texts in float32 and, where the probe chose another, in that precision; pictures."""
    figures = []
    for precision in ("float32", "auto"):
        with environment(
            FIRSTLIGHT_ENCODER_PRECISION=precision, FIRSTLIGHT_ENCODER_CACHE_BYTES="0"
        ) as settings:
            encoders = Encoders.load(settings, parts=frozenset({"text", "image"}))
            chosen = {report.name: report.precision for report in encoders.describe()}
            _all_threads(settings)
            if precision == "float32" or chosen["text"] != "float32":
                weights = resolve(settings).text.source
                figures.append(_texts(encoders, weights, precision, chosen))
            if precision == "auto":
                figures.append(_pictures(encoders, settings, chosen))
            encoders.close()
    return figures


def _texts(encoders: Encoders, weights: str, precision: str, chosen: dict[str, str]) -> Figure:
    from sentence_transformers import SentenceTransformer

    data = corpus(TEXTS, pictures=False)
    texts = [render_item(item_of(sample)) for sample in data.samples]
    peer = SentenceTransformer(weights, device="cpu")
    peer.max_seq_length = 256

    def ours() -> None:
        encoders.text.encode(texts)

    rates = paired(ours, lambda: peer.encode(texts, batch_size=PEER_BATCH), len(texts))
    short = [text[:300] for text in texts[:32]]
    mine = np.stack(
        [vector for vector in encoders.text.encode(short) if isinstance(vector, np.ndarray)]
    )
    theirs = peer.encode(short, normalize_embeddings=True)
    amx = bool(processor()["amx"])
    return _figure(
        f"text encoding, {precision}",
        rates,
        1.1 if precision == "float32" else (3.0 if amx else None),
        against=f"sentence-transformers, batch {PEER_BATCH}, same weights and threads",
        data=f"{data.name}, {TEXTS} texts of mixed length",
        notes={
            "precision": chosen["text"],
            "cosine to the peer, least": float((mine * theirs).sum(axis=1).min()),
        },
    )


def _pictures(encoders: Encoders, settings: Settings, chosen: dict[str, str]) -> Figure:
    import open_clip

    data = corpus(PICTURES, pictures=True)
    files = [s.picture.read_bytes() for s in data.samples if s.picture]
    model, preprocess = open_clip.create_model_from_pretrained(resolve(settings).image.source)
    model.eval()

    def other() -> None:
        with torch.inference_mode():
            for start in range(0, len(files), PEER_BATCH):
                batch = [
                    preprocess(Image.open(io.BytesIO(content)).convert("RGB"))
                    for content in files[start : start + PEER_BATCH]
                ]
                model.encode_image(torch.stack(batch), normalize=True)

    rates = paired(lambda: encoders.image.encode(files), other, len(files))
    amx = bool(processor()["amx"])
    return _figure(
        "pictures, auto",
        rates,
        3.0 if amx else None,
        against=f"open_clip in float32, batch {PEER_BATCH}, same weights and threads",
        data=f"{data.name}, {len(files)} pictures",
        notes={"precision": chosen["image"]},
    )
