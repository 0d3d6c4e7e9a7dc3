"""How the starter pack's matrix between pictures and words was chosen.

`python -m benchmarks.image_projection`

A class's classifier weights stand for its pictures. The matrix is made from 800 ImageNet classes;
then each of the other 200 is looked for by its name, among those 200. Five folds, so that every
class is looked for once, always by a matrix that has not seen it.
"""

from __future__ import annotations

import numpy as np

from encoders.starter import EFFICIENTNET, MINILM
from encoders.starter_projection import (
    Double,
    class_texts,
    classifier,
    embedder,
    projection,
    unit,
)

FOLDS = 5


def ranks(scores: Double) -> Double:
    """For each row, how many others score above its own column."""
    above: Double = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return above


def held_out(seen: Double, said: Double, asked: Double, ridge: float | None) -> tuple[float, float]:
    """R@1 and R@5 of unseen classes by their names."""
    order = np.random.default_rng(0).permutation(len(seen))
    found = []
    for fold in range(FOLDS):
        test = order[fold::FOLDS]
        train = np.setdiff1d(order, test)
        matrix = projection(seen[train], said[train], ridge)
        pictures = unit((seen[test] - seen[train].mean(axis=0)) @ matrix)
        words = unit(asked[test] - asked[train].mean(axis=0))
        found.append(ranks(words @ pictures.T))
    rank = np.concatenate(found)
    return float((rank < 1).mean()), float((rank < 5).mean())


def main() -> None:
    """Print the table."""
    embed = embedder(MINILM.verified().parent)
    names, defined = (unit(embed(texts)) for texts in class_texts())
    photos = unit(embed([f"a photo of a {name}" for name in class_texts()[0]]))
    seen = classifier(EFFICIENTNET.verified())
    texts = {
        "name": names,
        "a photo of a NAME": photos,
        "name: definition": defined,
        "name, and name: definition": names + defined,
    }
    print(f"{'texts of a class':28}{'matrix':>16}{'R@1':>8}{'R@5':>8}")
    for label, said in texts.items():
        for ridge in (None, 1.0, 10.0):
            one, five = held_out(seen, said, names, ridge)
            kind = "product" if ridge is None else f"ridge {ridge:g}"
            print(f"{label:28}{kind:>16}{one:8.3f}{five:8.3f}", flush=True)


if __name__ == "__main__":
    main()
