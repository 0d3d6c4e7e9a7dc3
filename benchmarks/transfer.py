"""What an A of another catalogue is worth to one that begins: `python -m benchmarks.transfer`.

MovieLens 100k and 1M from FIRSTLIGHT_TEST_DATA, text and attributes by the starter encoders, every
recorded pair a positive, nothing said by users. A is trained on all of 100k, in the fusion fitted
on its films, and translated into the fusion fitted on the films of 1M (`ranking/transfer.py`). Of
1M the first m interactions are known. No times of them are at hand, so users arrive in a random
order, one after another, each with all of their films. 1,000 other users are asked: 0 or 5 of their
films are known, all others but these 5 are to be found (full ranking). A alone ranks: no
collaborative factors, no gate.

Many films are in both sets. A knows films by content alone and no id goes over, but it has seen how
well those were liked. So the same is asked with the films of 100k taken out of candidates and
targets. A third way begins with whichever a training chooses (`ranking/training/beginning.py`). The
sets were collected years apart; whether some person is in both cannot be told.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from benchmarks.fusion_quality import data_folder
from domain.log import configure_logging
from domain.settings import Settings, load_settings
from domain.vectors import Matrix, Vector
from encoders import Fusion
from encoders.attributes import ATTRIBUTES
from evaluation.dataset import Dataset
from evaluation.datasets.movielens_1m import read_movielens_1m
from evaluation.datasets.movielens_100k import read_movielens_100k
from evaluation.datasets.tables import read_table
from evaluation.features import embed, fuse
from evaluation.metrics import evaluate_all
from evaluation.significance import interval
from evaluation.splits import Evaluation
from ranking import prior, projection
from ranking.training import (
    LEAST_INTERACTIONS,
    TrainingData,
    choose_beginning,
    fit_projection,
    stacked,
    user_layout,
)
from ranking.transfer import Translation, translated, translation

KNOWN = (0, 100, 300, 1_000, 3_000, 10_000, 30_000)
HISTORIES = (0, 5)
ASKED = 1_000
METRICS = ("recall@20", "ndcg@20")
FEATURES = ("text", ATTRIBUTES)
OWN, OTHER = "A0", "A of 100k"
TRAINED = {OWN: "trained from A0", OTHER: "trained from A of 100k"}
CHOSEN = "from what is chosen"

Matrices = Mapping[str, Matrix]


@dataclass(frozen=True)
class Catalogues:
    """Both, and what goes from one to the other.

    Attributes:
        target: MovieLens 1M.
        fusion, content: of its films, [n_items, d].
        priors: {name: A0 by part}.
        unshared: [n_items] bool, its films that are not in 100k.
        explained: share of the films' vectors in the other fusion that L tells, by the number of
            films it is learned from: shrunk toward nothing, and as it is.
    """

    target: Dataset
    fusion: Fusion
    content: Matrix
    priors: Mapping[str, Matrices]
    unshared: NDArray[np.bool_]
    explained: Mapping[int, tuple[float, float]]


def catalogues(folder: Path, settings: Settings) -> Catalogues:
    """Read, embed, fuse, train on 100k, translate."""
    first, second = (
        read_movielens_100k(folder / "movielens-100k"),
        read_movielens_1m(folder / "movielens-1m"),
    )
    there, films, _ = _fused(first, settings)
    here, content, texts = _fused(second, settings)
    trained = fit_projection(
        TrainingData(there.blocks, films, first.matrix()), prior(there).matrices
    )
    vectors: list[dict[str, Vector]] = [{"text": row} if row.any() else {} for row in texts]
    raw = there.with_attributes(vectors, [item.attributes for item in second.items])
    known = np.array([bool(one) for one in raw])
    other = there.fuse_many([one for one in raw if one])
    lots = np.random.default_rng(0).permutation(len(other))

    def learned(count: int, alike: Sequence[str]) -> Translation:
        some = lots[:count]
        return translation(
            here.blocks, content[known][some], there.blocks, other[some], FEATURES, alike
        )

    found = learned(len(other), ("text",))
    moved = translated(
        projection(there, trained.matrices), there.blocks, here, found, {"text": texts[known]}
    )
    joined = read_table(
        folder / "movielens-100k/derived/item_join.csv", required=("ml1m_movie_id",)
    )
    both = set(joined["ml1m_movie_id"])
    return Catalogues(
        second,
        here,
        content,
        {OWN: prior(here).matrices, OTHER: moved},
        np.array([item.id not in both for item in second.items]),
        {
            count: (learned(count, ()).explained, learned(count, ("text",)).explained)
            for count in (100, 1_000, len(other))
        },
    )


def _fused(dataset: Dataset, settings: Settings) -> tuple[Fusion, Matrix, Matrix]:
    features = embed(dataset, settings, ("text",), profiles=False)
    everything = np.ones(dataset.n_items, dtype=bool)
    fusion, content, raw = fuse(dataset, features, FEATURES, everything, settings)
    return fusion, content, raw["text"]


class Trial:
    """One seed: who arrives when, who is asked, and what of them is known."""

    def __init__(self, both: Catalogues, seed: int) -> None:
        random = np.random.default_rng(seed)
        target = both.target
        self._both = both
        lots = random.permutation(target.n_interactions)
        users = random.permutation(target.n_users)
        turn = np.empty(target.n_users, dtype=np.int64)
        turn[users] = np.arange(target.n_users)
        order = np.lexsort((lots, turn[target.user_index]))
        asked = np.zeros(target.n_users, dtype=bool)
        enough = np.bincount(target.user_index, minlength=target.n_users) > max(HISTORIES)
        asked[users[enough[users]][-ASKED:]] = True
        is_asked = asked[target.user_index[order]]
        self._arriving = order[~is_asked]
        # the asked users' pairs lie together, in random order: the first ones are the history
        self._questions = {k: self._asking(order[is_asked], k) for k in HISTORIES}

    def _asking(self, pairs: NDArray[np.int64], k: int) -> list[Evaluation]:
        target = self._both.target
        owner = target.user_index[pairs]
        starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
        turn = np.arange(len(pairs)) - np.repeat(starts, np.diff(np.r_[starts, len(pairs)]))
        masked = self._pairs(pairs[turn < max(HISTORIES)])
        history = self._pairs(pairs[turn < k])
        sought = self._pairs(pairs[turn >= max(HISTORIES)])
        found = []
        for name, candidates in (
            ("all films", np.ones(target.n_items, dtype=bool)),
            ("films not in 100k", self._both.unshared),
        ):
            targets = csr_matrix(sought.multiply(candidates[None, :]))
            targets.eliminate_zeros()
            users = np.flatnonzero(np.diff(targets.indptr)).astype(np.int32)
            found.append(Evaluation(name, "test", users, candidates, masked, history, targets))
        return found

    def _pairs(self, which: NDArray[np.int64]) -> csr_matrix:
        where = np.zeros(self._both.target.n_interactions, dtype=bool)
        where[which] = True
        return self._both.target.matrix(where)

    def data(self, m: int) -> TrainingData:
        """What is known after the first m interactions."""
        known = self._pairs(self._arriving[:m])
        return TrainingData(self._both.fusion.blocks, self._both.content, known)

    def judge(self, matrices: Matrices) -> dict[tuple[int, str, str], float]:
        """{(k, candidates, metric): mean over the users asked}."""
        found = {}
        data = self.data(0)
        a = stacked(user_layout(data.blocks, {}), matrices, data.items.shape[1])
        for k, questions in self._questions.items():
            history = questions[0].history

            def scores(rows: NDArray[np.int64], past: csr_matrix = history) -> Matrix:
                return (data.user_rows(rows, past[rows]) @ a @ data.items.T).astype(np.float32)

            for measured in evaluate_all(scores, questions, ks=(20,)):
                for metric in METRICS:
                    found[k, measured.evaluation, metric] = measured.mean(metric)
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--known", type=int, nargs="+", default=list(KNOWN))
    given = parser.parse_args()
    configure_logging("warning")
    settings = load_settings(data_dir=Path(tempfile.gettempdir()) / "firstlight-benchmark")
    both = catalogues(data_folder(), settings)
    print(f"{both.target.n_items} films, {int((~both.unshared).sum())} of them in 100k as well")
    for count, (alone, told) in both.explained.items():
        print(f"L from {count} films tells {told:.1%}, without its start {alone:.1%}")
    found: dict[tuple[int, str], list[dict[tuple[int, str, str], float]]] = defaultdict(list)
    begun: dict[int, list[str]] = defaultdict(list)
    priors = {name: both.priors[name] for name in (OTHER, OWN)}
    for seed in range(given.seeds):
        trial = Trial(both, seed)
        for name, first in priors.items():
            found[0, name].append(trial.judge(first))
        for m in given.known:
            if m < LEAST_INTERACTIONS:
                continue
            data = trial.data(m)
            for name, first in priors.items():
                judged = trial.judge(fit_projection(data, first).matrices)
                found[m, TRAINED[name]].append(judged)
            begun[m].append(choose_beginning(data, priors).chosen)
            found[m, CHOSEN].append(found[m, TRAINED[begun[m][-1]]][-1])
        print(f"seed {seed} done", flush=True)
    for m, names in begun.items():
        print(f"{m:>8} interactions: begun with {', '.join(names)}")
    for question in next(iter(found.values()))[0]:
        k, candidates, metric = question
        print(f"\n{metric}, {k} films known of a user, among {candidates}")
        for (m, name), results in found.items():
            print(f"{m:>8}  {name:24}{interval([one[question] for one in results])}")
        for m in given.known:
            if m >= LEAST_INTERACTIONS:
                pair = zip(found[m, TRAINED[OTHER]], found[m, TRAINED[OWN]], strict=True)
                gain = interval([one[question] - other[question] for one, other in pair])
                print(f"{m:>8}  gain by the transfer      {gain}")


if __name__ == "__main__":
    main()
