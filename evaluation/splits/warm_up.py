"""Quality against the number of interactions a new item has had."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from evaluation.dataset import TRAIN, Dataset
from evaluation.splits.item_cold import COLD, COLD_SHARE, STAGES, cold_halves, warm_parts
from evaluation.splits.split import Split, trained_items, trained_users, warm_and_cold

REVEALED = (0, 1, 2, 3, 5, 10)


def warm_up(
    dataset: Dataset,
    seed: int,
    *,
    revealed: Sequence[int] = REVEALED,
    cold_share: float = COLD_SHARE,
) -> tuple[Split, ...]:
    """One split per N: as `item_cold_start`, but N pairs of every cold item are trained on.

    The pairs that are revealed are drawn once and nested (those of N = 1 are among those of
    N = 2). Targets, candidates and masks are the same for every N, so that the curves compare:
    max(N) pairs of each cold item are set aside, and only cold items with more pairs than that
    (from users with a training pair) take part; the others are left out wholly.

    `facts["revealed"]` is N; `cold_validation` and `cold_test` name the items that take part.

    Raises:
        RejectedError: no cold item of a half has more than max(N) pairs.
    """
    rng = np.random.default_rng(seed)
    validation, test = cold_halves(dataset, rng, cold_share)
    part, moved = warm_parts(dataset, validation | test, rng)
    trained = part == TRAIN
    usable = (part == COLD) & trained_users(dataset, trained)[dataset.user_index]
    most = max(revealed)
    enough = np.bincount(dataset.item_index[usable], minlength=dataset.n_items) > most
    validation, test = validation & enough, test & enough
    if not validation.any() or not test.any():
        raise RejectedError(
            f"no cold item has more than {most} interactions",
            field=dataset.name,
            remedy="give more interactions, or choose another protocol, such as item-cold",
        )
    turn = _turns(dataset, usable & enough[dataset.item_index], rng)
    warm, cold = trained_items(dataset, trained), validation | test
    splits = []
    for n in revealed:
        pairs = trained | ((turn >= 0) & (turn < n))
        train = dataset.matrix(pairs)
        evaluations, held_out = [], []
        for (stage, code), half in zip(STAGES, (validation, test), strict=True):
            targets = (part == code) | ((turn >= most) & half[dataset.item_index])
            held_out.append(dataset.matrix(targets))
            evaluations += warm_and_cold(
                dataset, stage, targets=targets, warm=warm, cold=cold, history=train
            )
        splits.append(
            Split(
                protocol="warm-up",
                seed=seed,
                train=train,
                validation=held_out[0],
                test=held_out[1],
                cold_validation=validation,
                cold_test=test,
                evaluations=tuple(evaluations),
                facts={
                    "revealed": n,
                    "warm_items": int(warm.sum()),
                    "cold_validation_items": int(validation.sum()),
                    "cold_test_items": int(test.sum()),
                    "train_pairs": int(train.nnz),
                    "moved_to_train": moved,
                    "validation_cold_pairs": int(
                        ((turn >= most) & validation[dataset.item_index]).sum()
                    ),
                    "test_cold_pairs": int(((turn >= most) & test[dataset.item_index]).sum()),
                },
            )
        )
    return tuple(splits)


def _turns(
    dataset: Dataset, pairs: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.int64]:
    """[n_interactions] place of each pair in a random order of its item's pairs; -1 elsewhere."""
    rows = rng.permutation(np.flatnonzero(pairs))
    rows = rows[np.argsort(dataset.item_index[rows], kind="stable")]
    turn = np.full(dataset.n_interactions, -1, dtype=np.int64)
    turn[rows] = places_in_groups(dataset.item_index[rows])
    return turn


def places_in_groups(groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """[n] 0, 1, 2 ... within each run of equal values."""
    n = len(groups)
    first = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1)) if n else np.zeros(0, np.int64)
    return np.arange(n) - np.repeat(first, np.diff(np.append(first, n)))
