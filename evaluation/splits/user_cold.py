"""New users, of whom 0, 1, 3 or 5 items are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.errors import RejectedError
from evaluation.dataset import Dataset
from evaluation.splits.split import Evaluation, Mask, Split, Stage, question, trained_items
from evaluation.splits.warm_up import places_in_groups

NEW_SHARE = 0.3
VALIDATION_SHARE = 1 / 3
KNOWN = (0, 1, 3, 5)


def user_cold_start(
    dataset: Dataset,
    seed: int,
    *,
    known: Sequence[int] = KNOWN,
    new_share: float = NEW_SHARE,
    profiles: bool = True,
) -> Split:
    """A share of the users with enough items is new: none of their pairs is trained on.

    A third of the new users is for validation, the rest for test. Of each, the first k items in
    time are their history and masked (nested: those of k = 1 are among those of k = 3); where
    times are equal or unknown, they are drawn. All their other items are targets. Only users
    with more than max(k) items are drawn, so that every k asks about the same users. Candidates
    are all items that have an interaction.

    Evaluations are named "k=0", "k=1" ... A method that cannot use `Evaluation.history` is fitted
    on `Split.folded(evaluation)` instead.

    Args:
        profiles: whether methods may use what the users say about themselves.

    Raises:
        RejectedError: too few users with more than max(k) items.
    """
    rng = np.random.default_rng(seed)
    most = max(known)
    counts = np.bincount(dataset.user_index, minlength=dataset.n_users)
    drawn = rng.permutation(np.flatnonzero(counts > most))
    drawn = drawn[: round(new_share * len(drawn))]
    if len(drawn) < 2 or len(drawn) == np.count_nonzero(counts):
        raise RejectedError(
            f"{len(drawn)} users with more than {most} items can be new",
            field=dataset.name,
            remedy=f"give more users with more than {most} items, and others; or choose another"
            " protocol",
        )
    cut = max(1, round(VALIDATION_SHARE * len(drawn)))
    new = {
        stage: np.isin(np.arange(dataset.n_users), chosen)
        for stage, chosen in (("validation", drawn[:cut]), ("test", drawn[cut:]))
    }
    is_new = new["validation"] | new["test"]
    trained = ~is_new[dataset.user_index]
    turn = _turns(dataset, ~trained, rng)
    candidates = trained_items(dataset, np.ones(dataset.n_interactions, dtype=bool))
    train = dataset.matrix(trained)
    nobody = np.zeros(dataset.n_items, dtype=bool)
    evaluations: list[Evaluation] = []
    stages: tuple[Stage, Stage] = ("validation", "test")
    for stage in stages:
        of_stage = new[stage][dataset.user_index]
        evaluations += [
            question(
                dataset,
                f"k={k}",
                stage,
                targets=of_stage & (turn >= k),
                candidates=candidates,
                history=dataset.matrix(of_stage & (turn >= 0) & (turn < k)),
            )
            for k in known
        ]
    return Split(
        protocol="user-cold",
        seed=seed,
        train=train,
        validation=dataset.matrix(new["validation"][dataset.user_index]),
        test=dataset.matrix(new["test"][dataset.user_index]),
        cold_validation=nobody,
        cold_test=nobody,
        evaluations=tuple(evaluations),
        profiles=profiles,
        facts={
            "new_validation_users": int(new["validation"].sum()),
            "new_test_users": int(new["test"].sum()),
            "train_users": len(np.unique(dataset.user_index[trained])),
            "train_pairs": int(train.nnz),
            "items": int(candidates.sum()),
        },
    )


def _turns(dataset: Dataset, pairs: Mask, rng: np.random.Generator) -> NDArray[np.int64]:
    """[n_interactions] place of each pair in its user's order of time; -1 elsewhere."""
    rows = rng.permutation(np.flatnonzero(pairs))
    users = dataset.user_index[rows]
    if dataset.times is None:
        rows = rows[np.argsort(users, kind="stable")]
    else:
        rows = rows[np.lexsort((dataset.times[rows], users))]  # stable; NaN comes last
    turn = np.full(dataset.n_interactions, -1, dtype=np.int64)
    turn[rows] = places_in_groups(dataset.user_index[rows])
    return turn
