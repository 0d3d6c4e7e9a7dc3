"""How far a hostile item climbs, without and with the guards: `python -m benchmarks.robustness`.

MovieLens 100k from FIRSTLIGHT_TEST_DATA, text and attributes, A and its bias trained on all likes
(ratings of 4 and 5) of the films. Every user is asked for with their history, seen films left out;
the hostile items have no interactions. Told are the median over users of the best hostile item's
rank among all films, and the share of all top-10 places that hostile items take.

What is guarded against, and by what:

- words: one item whose text holds the most common words of the catalogue and whose attributes
  hold the most common values of every name. Without: blocks as long as their tokens add up to.
  With: every block and the fused vector at unit length; the text encoder's own token budget.
- loud: one item whose raw text vector is 1,000 times as long as others and lies in the direction
  that the trained queries like best. Without: no unit length. With: unit length.
- bias: one item whose content lies along the trained bias exactly, at unit length. Without: the
  bias counts in full. With: up to FIRSTLIGHT_RANKING_BIAS_LIMIT standard deviations.
- flood: 50 copies of a good item (the one that most users would be shown), each with another
  number in its title. Without: all may be shown. With: near-duplicates at most
  FIRSTLIGHT_RANKING_NEAR_DUPLICATES times.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.fusion_quality import data_folder
from domain.errors import FirstlightError
from domain.items import Item
from domain.log import configure_logging
from domain.settings import Settings, load_settings
from domain.vectors import Matrix, Vector
from encoders import Encoders, Fusion, render_item
from evaluation.dataset import Dataset
from evaluation.datasets.movielens_100k import read_movielens_100k
from evaluation.features import embed, fuse
from ranking import prior
from ranking.diversity import Near, Picker
from ranking.moments import Moments
from ranking.training import TrainingData, fit_projection

COPIES = 50
WORDS = 400
VALUES = 12
"""Of each attribute name the most common so many values."""
LOUD = 1_000.0
TOP = 10
POOL = 100

Scores = NDArray[np.float64]


class Catalogue:
    """The films, who liked what, and the trained queries of everybody."""

    def __init__(self, dataset: Dataset, settings: Settings) -> None:
        self.dataset, self.settings = dataset, settings
        features = embed(dataset, settings, ("text",), profiles=False)
        everything = np.ones(dataset.n_items, dtype=bool)
        self.fusion, self.content, self.raw = fuse(
            dataset, features, ("text", "attributes"), everything, settings
        )
        liked = dataset.matrix()
        self.liked = liked.toarray() > 0
        data = TrainingData(self.fusion.blocks, self.content, liked)
        fitted = fit_projection(data, prior(self.fusion).matrices)
        self.asked = fitted.queries(data, np.arange(dataset.n_users), liked).astype(np.float64)
        self.moments = Moments.of(self.content)
        self.bias = fitted.matrices["one"][0].astype(np.float64)
        centred = self.content.astype(np.float64) - self.moments.mean
        spread = (self.asked @ self.moments.covariance * self.asked).sum(axis=1)
        self.deviation = np.sqrt(spread)[:, None]
        self.scores = self.asked @ centred.T / self.deviation
        self.biases = centred @ self.bias

    def scored(self, hostile: NDArray[np.floating], bias_limit: float = 0.0) -> Scores:
        """[n_users, n_hostile], standardised as the hybrid does."""
        centred = hostile.astype(np.float64) - self.moments.mean
        found = self.asked @ centred.T
        if bias_limit:
            bound = bias_limit * float(self.biases.std())
            found -= np.maximum(centred @ self.bias - bound, 0.0)
        return np.asarray(found / self.deviation)


def ranks(catalogue: Catalogue, hostile: Scores) -> tuple[float, float]:
    """Median rank of the best hostile item, and the share of top-10 places they take."""
    films = np.where(catalogue.liked, -np.inf, catalogue.scores)
    best = hostile.max(axis=1)
    rank = 1 + (films > best[:, None]).sum(axis=1)
    cut = np.sort(films, axis=1)[:, ::-1][:, :TOP]
    taken = [
        np.isin(np.argsort(-np.concatenate([own, theirs]))[:TOP], np.arange(TOP, TOP + len(theirs)))
        for own, theirs in zip(cut, hostile, strict=True)
    ]
    return float(np.median(rank)), float(np.mean(taken))


def flooded(catalogue: Catalogue, copies: Matrix, hostile: Scores, near: Near) -> float:
    """The share of top-10 places that copies take where near-duplicates are limited; the original
    that they are copies of is one of those that may be shown."""
    vectors = np.concatenate([catalogue.content, copies])
    films = np.where(catalogue.liked, -np.inf, catalogue.scores)
    taken = []
    for own, theirs in zip(films, hostile, strict=True):
        scores = np.concatenate([own, theirs])
        pool = np.argsort(-scores)[:POOL]
        picked = pool[Picker(vectors[pool], near=near).pick(scores[pool], TOP)]
        taken.append(np.mean(picked >= len(own)))
    return float(np.mean(taken))


# -- the hostile items ---------------------------------------------------------------------


def stuffed(items: Sequence[Item]) -> Item:
    """The most common words, and the most common values of every attribute."""
    words: Counter[str] = Counter()
    values: dict[str, Counter[str | float | bool]] = {}
    for item in items:
        words.update(set(render_item(item).lower().split()))
        for name, value in item.attributes.items():
            several = value if isinstance(value, list) else [value]
            values.setdefault(name, Counter()).update(several)
    common = [word for word, _ in words.most_common(WORDS)]
    attributes = {name: [v for v, _ in found.most_common(VALUES)] for name, found in values.items()}
    return Item.model_validate(
        {"id": "stuffed", "title": "hit", "description": " ".join(common), "attributes": attributes}
    )


def copied(item: Item) -> list[Item]:
    """Near-duplicates under other ids."""
    return [
        item.model_copy(update={"id": f"copy{number}", "title": f"{item.title} {number}"})
        for number in range(COPIES)
    ]


def raw_of(items: Sequence[Item], fusion: Fusion, encoders: Encoders) -> list[dict[str, Vector]]:
    """What the fusion is given of each item."""
    assert fusion.attributes is not None
    described = fusion.attributes.encode([item.attributes for item in items])
    found = []
    texts = encoders.text.encode([render_item(item) for item in items])
    for text, attributes in zip(texts, described, strict=True):
        if isinstance(text, FirstlightError):
            raise text
        found.append({"text": text} | ({} if attributes is None else {"attributes": attributes}))
    return found


def unguarded(fusion: Fusion, raw: dict[str, Vector], loudness: dict[str, float]) -> Vector:
    """The fused vector as it would be without unit lengths: each block as long as its raw vector
    is beside those of the fit."""
    fused = np.zeros(fusion.dim)
    for block in fusion.blocks:
        if block.name in raw:
            mapped = (raw[block.name] - block.mean) @ block.projection
            mapped = mapped / np.linalg.norm(mapped) * loudness.get(block.name, 1.0)
            fused[block.start : block.stop] = block.weight * mapped
    length = np.sqrt(sum(block.weight**2 for block in fusion.blocks))
    return np.asarray(fused / length, dtype=np.float32)


# -- the measurement -----------------------------------------------------------------------


def main() -> None:
    """Measure and print."""
    configure_logging("warning")
    folder = data_folder() / "movielens-100k"
    if not folder.is_dir():
        sys.exit(f"no data in {folder}; set FIRSTLIGHT_TEST_DATA")
    settings = load_settings(data_dir=Path(tempfile.gettempdir()) / "firstlight-benchmark")
    dataset = read_movielens_100k(folder, liked_only=True)
    catalogue = Catalogue(dataset, settings)
    encoders = Encoders.load(settings, parts=frozenset({"text"}))
    try:
        _measure(catalogue, encoders)
    finally:
        encoders.close()


def _measure(catalogue: Catalogue, encoders: Encoders) -> None:
    fusion, items, ranking = catalogue.fusion, catalogue.dataset.items, catalogue.settings.ranking
    limit = ranking.bias_limit
    rows: list[tuple[str, tuple[float, float], tuple[float, float]]] = []

    stuffing = stuffed(items)
    (raw,) = raw_of([stuffing], fusion, encoders)
    tokens = [
        sum(len(v) if isinstance(v, list) else 1 for v in i.attributes.values()) for i in items
    ]
    count = sum(len(v) for v in stuffing.attributes.values() if isinstance(v, list))
    loud = unguarded(fusion, raw, {"attributes": count / float(np.median(tokens))})
    rows.append(
        (
            "words",
            ranks(catalogue, catalogue.scored(loud[None])),
            ranks(catalogue, catalogue.scored(fusion.fuse(raw)[None], limit)),
        )
    )

    text = next(block for block in fusion.blocks if block.name == "text")
    liked_best = catalogue.asked.mean(axis=0)[text.start : text.stop]
    towards = text.projection @ liked_best
    raw = {"text": (LOUD * towards / np.linalg.norm(towards)).astype(np.float32)}
    loud = unguarded(fusion, raw, {"text": LOUD})
    rows.append(
        (
            "loud",
            ranks(catalogue, catalogue.scored(loud[None])),
            ranks(catalogue, catalogue.scored(fusion.fuse(raw)[None], limit)),
        )
    )

    along = (catalogue.bias / np.linalg.norm(catalogue.bias))[None]
    rows.append(
        (
            "bias",
            ranks(catalogue, catalogue.scored(along)),
            ranks(catalogue, catalogue.scored(along, limit)),
        )
    )

    films = np.where(catalogue.liked, -np.inf, catalogue.scores)
    shown = np.argsort(-films, axis=1)[:, :TOP]
    good = int(np.bincount(shown.ravel(), minlength=len(items)).argmax())
    copies = fusion.fuse_many(raw_of(copied(items[good]), fusion, encoders))
    hostile = catalogue.scored(copies)
    median, share = ranks(catalogue, hostile)
    near = Near(ranking.near_cosine, ranking.near_duplicates)
    rows.append(("flood", (median, share), (median, flooded(catalogue, copies, hostile, near))))
    alike = float((copies @ catalogue.content[good]).min())

    alike_films = np.argwhere(np.triu(catalogue.content @ catalogue.content.T > near.cosine, 1))
    same = sum(items[one].title == items[other].title for one, other in alike_films)
    users, beyond = len(films), catalogue.biases > limit * catalogue.biases.std()
    print(f"{users} users, {len(items)} films; {int(beyond.sum())} films beyond the bias limit")
    print(
        f"{len(alike_films)} pairs of films with cosine > {near.cosine:g},"
        f" {same} of them with the same title"
    )
    print(f"flood: copies of {items[good].title!r}, cosine to it >= {alike:.3f}")
    print(f"{'':8}{'median rank':>24}{'share of top 10':>24}")
    print(f"{'':8}{'without':>12}{'with':>12}{'without':>12}{'with':>12}")
    for name, before, after in rows:
        print(f"{name:8}{before[0]:12.0f}{after[0]:12.0f}{before[1]:12.3f}{after[1]:12.3f}")


if __name__ == "__main__":
    main()
