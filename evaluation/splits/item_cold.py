"""Strict item cold start, and warm and cold items in one ranking."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from evaluation.dataset import TEST, TRAIN, VALIDATION, Dataset
from evaluation.splits.split import Evaluation, Mask, Split, Stage, question

COLD_SHARE = 0.2
HELD_OUT_SHARE = 0.1
COLD = 3
"""Part of the pairs of cold items, beside TRAIN, VALIDATION, TEST of the warm ones."""


def item_cold_start(dataset: Dataset, seed: int, *, cold_share: float = COLD_SHARE) -> Split:
    """Strict item cold start as GAR and ALDI draw it (SCIENCE section 6).

    A share of the items that have pairs is cold: none of their pairs is trained on. Half of the
    cold items are for validation, half for test. The pairs of the warm items are split 8:1:1; a
    held-out pair whose user or item training would not know is moved to training. Cold pairs of
    users without a training pair are dropped.

    Evaluations of either stage, each a full ranking with the user's other known positives masked:

    - "cold": cold targets among all cold items, of both halves, as the reference code does;
    - "warm": warm targets among all warm items;
    - "overall": both kinds of target among all warm and cold items: one ranking;
    - "warm among all", "cold among all": the two kinds apart in that one ranking.

    Where the data set names its cold items or brings its parts, those are taken instead.

    Raises:
        RejectedError: too few items or pairs to split.
    """
    rng = np.random.default_rng(seed)
    cold_validation, cold_test = cold_halves(dataset, rng, cold_share)
    part, moved = warm_parts(dataset, cold_validation | cold_test, rng)
    return _split(dataset, seed, "item cold start", part, cold_validation, cold_test, moved)


def cold_halves(dataset: Dataset, rng: np.random.Generator, share: float) -> tuple[Mask, Mask]:
    """[n_items] bool twice: the cold items of validation and of test."""
    count = np.bincount(dataset.item_index, minlength=dataset.n_items)
    given = None if dataset.given is None else dataset.given.cold_items
    if given is not None:
        cold = rng.permutation(np.flatnonzero(given & (count > 0)))
    else:
        with_pairs = rng.permutation(np.flatnonzero(count))
        cold = with_pairs[: round(share * len(with_pairs))]
    if len(cold) < 2:
        raise RejectedError(
            f"{len(cold)} cold items of {int((count > 0).sum())} with interactions",
            field=dataset.name,
            remedy="give more items or a larger share of cold ones",
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
        for index, n in (
            (dataset.user_index, dataset.n_users),
            (dataset.item_index, dataset.n_items),
        ):
            known = np.zeros(n, dtype=bool)
            known[index[part == TRAIN]] = True
            strangers = (part == held_out) & ~known[index]
            moved += int(strangers.sum())
            part[strangers] = TRAIN
    if not (part == TRAIN).any():
        raise RejectedError(
            "no pair is left to train on", field=dataset.name, remedy="give more interactions"
        )
    return part, moved


def _split(
    dataset: Dataset,
    seed: int,
    protocol: str,
    part: NDArray[np.int8],
    cold_validation: Mask,
    cold_test: Mask,
    moved: int,
) -> Split:
    trained = np.zeros(dataset.n_users, dtype=bool)
    trained[dataset.user_index[part == TRAIN]] = True
    has_history = trained[dataset.user_index]
    is_cold = part == COLD
    train, everything = dataset.matrix(part == TRAIN), dataset.matrix()
    warm_items = train.getnnz(axis=0) > 0
    cold_items = cold_validation | cold_test
    facts: dict[str, int | float | str] = {
        "warm_items": int(warm_items.sum()),
        "cold_validation_items": int(cold_validation.sum()),
        "cold_test_items": int(cold_test.sum()),
        "train_pairs": int(train.nnz),
        "moved_to_train": moved,
        "cold_pairs_dropped": int((is_cold & ~has_history).sum()),
    }
    evaluations: list[Evaluation] = []
    held_out = []
    stages: tuple[tuple[Stage, int, Mask], ...] = (
        ("validation", VALIDATION, cold_validation),
        ("test", TEST, cold_test),
    )
    for stage, code, cold_half in stages:
        warm_pairs = part == code
        cold_pairs = is_cold & has_history & cold_half[dataset.item_index]
        warm, cold = dataset.matrix(warm_pairs), dataset.matrix(cold_pairs)
        both = dataset.matrix(warm_pairs | cold_pairs)
        held_out.append(both)
        all_items = warm_items | cold_items
        for name, targets, candidates in (
            ("cold", cold, cold_items),
            ("warm", warm, warm_items),
            ("overall", both, all_items),
            ("warm among all", warm, all_items),
            ("cold among all", cold, all_items),
        ):
            asked = question(name, stage, targets, candidates, everything, train)
            evaluations.append(asked)
            facts[f"{stage} {name} users"] = len(asked.users)
        facts[f"{stage}_warm_pairs"] = int(warm.nnz)
        facts[f"{stage}_cold_pairs"] = int(cold.nnz)
    return Split(
        protocol=protocol,
        seed=seed,
        train=train,
        validation=held_out[0],
        test=held_out[1],
        cold_validation=cold_validation,
        cold_test=cold_test,
        evaluations=tuple(evaluations),
        facts=facts,
    )
