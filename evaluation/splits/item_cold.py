"""Strict item cold start, and warm and cold items in one ranking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from evaluation.dataset import TEST, TRAIN, VALIDATION, Dataset
from evaluation.splits.split import (
    Mask,
    Split,
    Stage,
    trained_items,
    trained_users,
    warm_and_cold,
)

COLD_SHARE = 0.2
HELD_OUT_SHARE = 0.1
COLD = 3
"""Part of the pairs of cold items, beside TRAIN, VALIDATION, TEST of the warm ones."""

STAGES: tuple[tuple[Stage, int], ...] = (("validation", VALIDATION), ("test", TEST))


def item_cold_start(dataset: Dataset, seed: int, *, cold_share: float = COLD_SHARE) -> Split:
    """Strict item cold start as GAR and ALDI draw it (SCIENCE section 6).

    A share of the items that have pairs is cold: none of their pairs is trained on. Half of the
    cold items are for validation, half for test. The pairs of the warm items are split 8:1:1; a
    held-out pair whose user or item training would not know is moved to training. Cold pairs of
    users without a training pair are dropped. Where the data set names its cold items, those are
    taken.

    Evaluations of either stage, each a full ranking with the user's other known positives masked:

    - "cold": cold targets among all cold items, of both halves, as the reference code does;
    - "warm": warm targets among all warm items;
    - "overall": both kinds of target among all warm and cold items: one ranking;
    - "warm among all", "cold among all": the two kinds apart in that one ranking.

    Raises:
        RejectedError: too few items or pairs to split.
    """
    rng = np.random.default_rng(seed)
    cold_validation, cold_test = cold_halves(dataset, rng, cold_share)
    cold = cold_validation | cold_test
    part, moved = warm_parts(dataset, cold, rng)
    trained = part == TRAIN
    has_history = trained_users(dataset, trained)[dataset.user_index]
    train, warm = dataset.matrix(trained), trained_items(dataset, trained)
    facts: dict[str, int | float | str] = {
        "warm_items": int(warm.sum()),
        "cold_validation_items": int(cold_validation.sum()),
        "cold_test_items": int(cold_test.sum()),
        "train_pairs": int(train.nnz),
        "moved_to_train": moved,
        "cold_pairs_dropped": int(((part == COLD) & ~has_history).sum()),
    }
    evaluations, held_out = [], []
    for (stage, code), half in zip(STAGES, (cold_validation, cold_test), strict=True):
        targets = (part == code) | ((part == COLD) & has_history & half[dataset.item_index])
        held_out.append(dataset.matrix(targets))
        evaluations += warm_and_cold(
            dataset, stage, targets=targets, warm=warm, cold=cold, history=train
        )
        facts[f"{stage}_warm_pairs"] = int((part == code).sum())
        facts[f"{stage}_cold_pairs"] = int(targets.sum() - (part == code).sum())
    return Split(
        protocol="item-cold",
        seed=seed,
        train=train,
        validation=held_out[0],
        test=held_out[1],
        cold_validation=cold_validation,
        cold_test=cold_test,
        evaluations=tuple(evaluations),
        facts=facts,
    )


def cold_halves(dataset: Dataset, rng: np.random.Generator, share: float) -> tuple[Mask, Mask]:
    """[n_items] bool twice: the cold items of validation and of test."""
    with_pairs = np.bincount(dataset.item_index, minlength=dataset.n_items) > 0
    given = None if dataset.given is None else dataset.given.cold_items
    if given is not None:
        cold = rng.permutation(np.flatnonzero(given & with_pairs))
    else:
        drawn = rng.permutation(np.flatnonzero(with_pairs))
        cold = drawn[: round(share * len(drawn))]
    if len(cold) < 2 or len(cold) == with_pairs.sum():
        raise RejectedError(
            f"{len(cold)} cold items of {int(with_pairs.sum())} with interactions",
            field=dataset.name,
            remedy="at least two items must be cold, and one warm: give more items with"
            " interactions, or choose another protocol",
        )
    validation = np.zeros(dataset.n_items, dtype=bool)
    test = np.zeros(dataset.n_items, dtype=bool)
    validation[cold[: len(cold) // 2]] = True
    test[cold[len(cold) // 2 :]] = True
    return validation, test


def warm_parts(
    dataset: Dataset, cold: Mask, rng: np.random.Generator
) -> tuple[NDArray[np.int8], int]:
    """[n_interactions] part of every pair (COLD for cold items), and how many were moved.

    Moved to training are held-out pairs whose user or item has no training pair.
    """
    is_warm = ~cold[dataset.item_index]
    part = np.where(is_warm, TRAIN, COLD).astype(np.int8)
    rows = rng.permutation(np.flatnonzero(is_warm))
    size = int(HELD_OUT_SHARE * len(rows))
    part[rows[:size]] = VALIDATION
    part[rows[size : 2 * size]] = TEST
    moved = 0
    for held_out in (VALIDATION, TEST):
        for index, known_by in (
            (dataset.user_index, trained_users),
            (dataset.item_index, trained_items),
        ):
            known = known_by(dataset, part == TRAIN)
            strangers = (part == held_out) & ~known[index]
            moved += int(strangers.sum())
            part[strangers] = TRAIN
    return part, moved
