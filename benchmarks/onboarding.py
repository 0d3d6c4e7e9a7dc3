"""What five questions tell about a new user: `python -m benchmarks.onboarding`.

MovieLens 100k from FIRSTLIGHT_TEST_DATA. One fifth of the users are new; what the others liked
(ratings of 4 and 5) is what their tastes are learned from. The films are halved at random: the
questions are about one half, and the liked films of the other half are to be found, so every way
of asking is judged on the same films. A new user answers truthfully: liked (4, 5), not liked
(1 to 3), or not known (never rated). All films of the second half are ranked, by content and the
content's predicted popularity alone: no film's own count helps. Seeds 0 and 1 were used to choose
the constants of `ranking/onboarding.py` and are not among those of the figure.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from api.survey import MOST_TAKEN
from benchmarks.fusion_quality import data_folder
from domain.log import configure_logging
from domain.settings import load_settings
from domain.vectors import Matrix
from evaluation.datasets.movielens_100k import read_movielens_100k
from evaluation.features import embed, fuse
from evaluation.metrics import evaluate
from evaluation.splits import Evaluation
from ranking.onboarding import (
    Answer,
    Belief,
    Reals,
    answered,
    covariance_of,
    learn_taste,
    prior_belief,
    questions,
)

SEEDS = (2, 3, 4, 5, 6)
QUESTIONS = 5
METRICS = ("recall@20", "ndcg@20")
Sparse = csr_matrix


class Trial:
    """One seed: who is new, what is asked about, and what is to be found."""

    def __init__(self, seed: int, content: Matrix, rated: Sparse, liked: Sparse) -> None:
        random = np.random.default_rng(seed)
        people, items = rated.shape
        self.new = np.sort(random.permutation(people)[: people // 5])
        known = np.setdiff1d(np.arange(people), self.new)
        self.asked_half = np.zeros(items, dtype=bool)
        self.asked_half[random.permutation(items)[: items // 2]] = True
        self.rated = rated.toarray() > 0
        self.liked = liked.toarray() > 0
        taken = csr_matrix(self.liked[known].astype(np.float64))
        self.taste = learn_taste(content, taken)
        self.content = content
        count = np.asarray(taken.sum(axis=0)).ravel()
        order = np.argsort(-np.where(self.asked_half, count, -1.0), kind="stable")
        self.askable = order[:MOST_TAKEN]
        self.known = (count[self.askable] + 1.0) / (len(known) + 2.0)
        popular = content @ self.taste.mean
        self.first = prior_belief(self.taste, np.zeros((items, items)), popular).means
        self.belief = Belief(
            self.first[self.askable], covariance_of(self.taste, content[self.askable])
        )
        self.random = random

    def answer(self, user: int, item: int) -> Answer:
        """What the user says of an item."""
        return Answer.of(bool(self.liked[user, item]) if self.rated[user, item] else None)

    def scores(self, user: int, asked: Sequence[int]) -> Reals:
        """The ranking of all items once these have been answered."""
        if not len(asked):
            return self.first
        places = np.asarray(asked)
        told = [self.answer(user, item) for item in asked]
        moved = answered(self.taste, self.content[places], self.first[places], told)
        return np.asarray(self.first + self.content @ moved)

    def nothing(self, _user: int) -> list[int]:
        """No questions."""
        return []

    def at_random(self, _user: int) -> list[int]:
        """Any items."""
        chosen = self.random.choice(np.flatnonzero(self.asked_half), QUESTIONS, replace=False)
        return [int(item) for item in chosen]

    def popular(self, _user: int) -> list[int]:
        """Those that most people liked."""
        return [int(item) for item in self.askable[:QUESTIONS]]

    def at_once(self, _user: int) -> list[int]:
        """Ours, all five before the first answer."""
        return [int(self.askable[at]) for at in questions(self.belief, self.known, QUESTIONS)]

    def one_by_one(self, user: int) -> list[int]:
        """Ours, each after the answer before it."""
        belief, asked = self.belief, []
        for _ in range(QUESTIONS):
            (at,) = questions(belief, self.known, 1, asked)
            asked.append(at)
            belief = belief.after(at, self.answer(user, int(self.askable[at])))
        return [int(self.askable[at]) for at in asked]

    def judge(self, ask: Callable[[int], list[int]]) -> tuple[dict[str, float], float]:
        """The metrics, and how many of the items asked about a user knew."""
        half = ~self.asked_half
        users = np.array([user for user in self.new if (self.liked[user] & half).any()])
        asked = {int(user): ask(int(user)) for user in users}
        knew = np.mean([self.rated[user, items].sum() for user, items in asked.items()])
        empty = csr_matrix(self.liked.shape, dtype=np.float32)
        targets = np.zeros(self.liked.shape, dtype=np.float32)
        targets[users] = self.liked[users] & half
        evaluation = Evaluation(
            "new users", "test", users.astype(np.int32), half, empty, empty, csr_matrix(targets)
        )

        def scores(rows: NDArray[np.int64]) -> NDArray[np.float32]:
            found = [self.scores(int(user), asked[int(user)]) for user in rows]
            return np.asarray(found, dtype=np.float32)

        means = evaluate(scores, evaluation, ks=(20,)).means()
        return {name: means[name] for name in METRICS}, float(knew)


WAYS: dict[str, Callable[[Trial], Callable[[int], list[int]]]] = {
    "no questions": lambda trial: trial.nothing,
    "5 random items": lambda trial: trial.at_random,
    "5 most popular items": lambda trial: trial.popular,
    "ours, 5 at once": lambda trial: trial.at_once,
    "ours, one by one": lambda trial: trial.one_by_one,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    given = parser.parse_args()
    configure_logging("warning")
    folder = data_folder() / "movielens-100k"
    rated = read_movielens_100k(folder)
    liked = read_movielens_100k(folder, liked_only=True)
    settings = load_settings(data_dir=Path(tempfile.gettempdir()) / "firstlight-benchmark")
    features = embed(rated, settings, ("text",), profiles=False)
    everything = np.ones(rated.n_items, dtype=bool)
    _, content, _ = fuse(rated, features, ("text", "attributes"), everything, settings)
    found: dict[str, list[tuple[dict[str, float], float]]] = defaultdict(list)
    for seed in given.seeds:
        trial = Trial(seed, content, rated.matrix(), liked.matrix())
        for way, ask in WAYS.items():
            found[way].append(trial.judge(ask(trial)))
    print(f"{'':24}{'R@20':>14}{'NDCG@20':>16}{'known':>8}   seeds {given.seeds}")
    for way, results in found.items():
        cells = []
        for name in METRICS:
            values = np.array([means[name] for means, _ in results])
            cells.append(f"{values.mean():.4f} +- {values.std(ddof=1):.4f}")
        print(f"{way:24}{cells[0]:>16}{cells[1]:>18}{np.mean([k for _, k in results]):6.2f}")
    for name in METRICS:
        ours, popular = (
            np.array([means[name] for means, _ in found[way]])
            for way in ("ours, one by one", "5 most popular items")
        )
        gain = ours - popular
        print(
            f"{name}: ours, one by one - popular: {gain.mean():+.4f}, above on"
            f" {int((gain > 0).sum())} of {len(gain)} seeds"
        )


if __name__ == "__main__":
    main()
