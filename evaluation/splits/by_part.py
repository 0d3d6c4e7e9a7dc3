"""Splits that are not drawn: by time, and those that came with the data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from evaluation.dataset import TEST, TRAIN, VALIDATION, Dataset
from evaluation.splits.item_cold import HELD_OUT_SHARE, STAGES
from evaluation.splits.split import (
    Mask,
    Split,
    question,
    trained_items,
    trained_users,
    warm_and_cold,
)

UNUSED = -1


def temporal(dataset: Dataset, seed: int, *, share: float = HELD_OUT_SHARE) -> Split:
    """The past is trained on, the last tenth by time is test, the tenth before it validation.

    The cut is one moment for everybody. Items without a pair before the first cut are cold, and
    are candidates from the stage in which they first appear. Pairs without a time are left out
    wholly: nobody knows on which side of a cut they lie, so they are not trained on, no targets,
    and not masked. Nothing is drawn; `seed` only passes through to the methods.

    Where times are coarse the cuts lie between two moments all the same: see `_cuts`.

    Raises:
        RejectedError: the data set has no times, or all of one moment.
    """
    if dataset.times is None or not np.isfinite(dataset.times).any():
        raise RejectedError(
            "no interaction has a time",
            field=dataset.name,
            remedy="add a time column to the interactions or choose another protocol",
        )
    known = np.isfinite(dataset.times)
    first, second = _cuts(dataset.times[known], share, dataset.name)
    part = np.full(dataset.n_interactions, UNUSED, dtype=np.int8)
    part[known & (dataset.times <= first)] = TRAIN
    part[known & (dataset.times > first) & (dataset.times <= second)] = VALIDATION
    part[known & (dataset.times > second)] = TEST
    facts: dict[str, int | float | str] = {
        "train_until": float(first),
        "validation_until": float(second),
        "without_time": int((~known).sum()),
    }
    return _split_by_part(dataset, seed, "temporal", part, facts)


def _cuts(times: NDArray[np.float64], share: float, name: str) -> tuple[float, float]:
    """The last moments of training and of validation, by quantiles of the times of all pairs.

    Of a few moments with many pairs each (years, days) one may hold a quantile and all after it.
    Then test is the last moment, and validation the one before it, but for that training has to
    keep half of the pairs: otherwise nothing is validated on.
    """
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) == 1:
        raise RejectedError(
            "all times are equal", field=f"{name}: temporal", remedy="choose another protocol"
        )
    first, second = np.quantile(times, [1 - 2 * share, 1 - share])
    if second >= moments[-1]:
        second = moments[-2]
    first = min(first, second)
    if not ((moments > first) & (moments <= second)).any():
        earlier = moments < moments[moments <= second][-1]
        if 2 * counts[earlier].sum() >= len(times):
            first = moments[earlier][-1]
    return float(first), float(second)


def given(dataset: Dataset, seed: int) -> Split:
    """The training, validation and test pairs that came with the data, as they are.

    Items without a training pair are cold. Nothing is drawn; `seed` only passes through.

    Raises:
        RejectedError: the data set brings no parts.
    """
    if dataset.given is None or dataset.given.part is None:
        raise RejectedError(
            "no split came with the data",
            field=dataset.name,
            remedy="add train.csv, validation.csv and test.csv or choose another protocol",
        )
    return _split_by_part(
        dataset, seed, "given", dataset.given.part, {"source": dataset.given.source}
    )


def _split_by_part(
    dataset: Dataset,
    seed: int,
    protocol: str,
    part: NDArray[np.int8],
    facts: dict[str, int | float | str],
) -> Split:
    for name, code in (("training", TRAIN), ("test", TEST)):
        if not (part == code).any():
            raise RejectedError(
                f"no {name} pair",
                field=f"{dataset.name}: {protocol}",
                remedy="give more pairs, or choose another protocol",
            )
    trained = part == TRAIN
    train, warm = dataset.matrix(trained), trained_items(dataset, trained)
    has_history = trained_users(dataset, trained)[dataset.user_index]
    cold_test = trained_items(dataset, part == TEST) & ~warm
    cold_validation = trained_items(dataset, part == VALIDATION) & ~warm
    evaluations, held_out = [], []
    cold: dict[str, Mask] = {"validation": cold_validation, "test": cold_test | cold_validation}
    facts |= {"warm_items": int(warm.sum()), "train_pairs": int(train.nnz)}
    for stage, code in STAGES:
        targets = part == code
        later = (part > code) | (part == UNUSED)
        held_out.append(dataset.matrix(targets))
        evaluations += warm_and_cold(
            dataset,
            stage,
            targets=targets & has_history,
            warm=warm,
            cold=cold[stage],
            history=train,
            never=later,
        )
        strangers = question(
            dataset,
            "new users",
            stage,
            targets=targets & ~has_history,
            candidates=warm | cold[stage],
            history=train,
            never=later,
        )
        evaluations += [strangers] if len(strangers.users) else []
        facts[f"{stage}_pairs"] = int(targets.sum())
        facts[f"{stage}_pairs_of_new_users"] = int((targets & ~has_history).sum())
        facts[f"cold_{stage}_items"] = int(cold[stage].sum())
    return Split(
        protocol=protocol,
        seed=seed,
        train=train,
        validation=held_out[0],
        test=held_out[1],
        cold_validation=cold_validation & ~cold_test,
        cold_test=cold_test,
        evaluations=tuple(evaluations),
        facts=facts,
    )
