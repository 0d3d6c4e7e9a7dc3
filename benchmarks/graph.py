"""Knowledge graphs against their permuted control: `python -m benchmarks.graph`.

MovieLens 1M from FIRSTLIGHT_TEST_DATA, strict item cold start, test items. Two graphs: the named
one that comes with it (all films), and the Freebase graph that lies with MovieLens 100k, linked by
ml2fb.txt (41 % of the films).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.fusion_quality import data_folder
from domain.log import configure_logging
from domain.settings import load_settings
from domain.vectors import Matrix
from evaluation.dataset import Dataset, Triple
from evaluation.datasets.movielens_1m import read_movielens_1m
from evaluation.features import Features, embed, fuse
from evaluation.graph_block import GRAPH, PERMUTED, graph_block
from evaluation.methods.bilinear import Bilinear
from evaluation.methods.graph import BilinearGraph
from evaluation.methods.learned import training_data
from evaluation.methods.task import Method, Task
from evaluation.splits import item_cold_start
from evaluation.tuning import judge
from ranking.graph import read_graph, read_links
from ranking.training import Setting, fit_projection
from workers.graph import lines_of

CONCEPTS = (16, 32, 64, 128, 256)


def freebase(dataset: Dataset, folder: Path) -> Dataset:
    """The data set with the Freebase graph in the place of its own."""
    graph, _, _ = read_graph(lines_of(folder / "movielens-100k" / "ml-100k.kg"))
    links, _ = read_links(lines_of(folder / "movielens-1m" / "kg_links" / "ml2fb.txt"))
    triples = tuple(
        Triple(graph.entities[head], graph.relations[relation], graph.entities[tail])
        for head, relation, tail in graph.edges.tolist()
    )
    linked = {item.id: links[item.id] for item in dataset.items if item.id in links}
    return replace(dataset, graph=triples, entity_of_item=linked)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", default="text,attributes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--concepts", action="store_true", help="seed 0 without a graph alone")
    given = parser.parse_args()
    configure_logging("warning")
    settings = load_settings(data_dir=Path(tempfile.gettempdir()) / "firstlight-benchmark")
    names = tuple(given.features.split(","))
    dataset = read_movielens_1m(data_folder() / "movielens-1m")
    features = embed(dataset, settings, names, profiles=False)
    for seed in range(given.seeds):
        split = item_cold_start(dataset, seed)
        fusion, items, raw = fuse(dataset, features, names, split.warm, settings)
        task = Task(dataset, split, items, fusion, raw, seed=seed)
        content = Bilinear()
        show(seed, "no graph", told(content, task))
        if seed == 0:
            concepts(content, task)
        if given.concepts:
            return
        for name, known in (("named", dataset), ("freebase", freebase(dataset, data_folder()))):
            for kind in (GRAPH, PERMUTED):
                method = BilinearGraph()
                pi = graph_block(known, split, kind)
                with_graph = replace(task, dataset=known, graph=pi).sharing(task.shared)
                found = told(method, with_graph)
                show(seed, f"{name}: {kind}", found, str(method.report))
                block = told(Bilinear(), as_block(task, features, pi))
                show(seed, f"{name}: {kind} as a block of c", block)


def as_block(task: Task, features: Features, pi: Matrix) -> Task:
    """The task with pi fused like another modality."""
    names = (GRAPH, *task.raw)
    widened = replace(features, items={**features.items, GRAPH: pi})
    settings = load_settings()
    fusion, items, raw = fuse(task.dataset, widened, names, task.split.warm, settings)
    return replace(task, fusion=fusion, items=items, raw=raw)


def concepts(content: Bilinear, task: Task) -> None:
    """A through k concepts with the penalties chosen at full rank, as a training fits it."""
    chosen = content.fitted.setting
    for k in CONCEPTS:
        method = Given(replace(chosen, ridge=replace(chosen.ridge, concepts=k)))
        found = told(method, task)
        show(task.seed, f"K={k}", found, f"{method.fitted.kept:.1%} of A is left")


class Given(Bilinear):
    """With penalties that were chosen before."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def fit(self, task: Task) -> None:
        """Solve for A."""
        self._data, first = training_data(task, self.name)
        self.fitted = fit_projection(self._data, first, setting=self._setting)


def told(method: Method, task: Task) -> tuple[float, float]:
    """Fitted and judged."""
    method.fit(task)
    return judged(method, task)


def judged(method: Method, task: Task) -> tuple[float, float]:
    """R@20 and NDCG@20 on the cold test items."""
    (found,) = judge(method, [task.split.evaluation("cold")], task, ks=(20,))
    return found.mean("recall@20"), found.mean("ndcg@20")


def show(seed: int, what: str, found: Sequence[float], report: str = "") -> None:
    """One line."""
    print(
        f"seed {seed}  {what:38} R@20 {found[0]:.4f}  NDCG@20 {found[1]:.4f}  {report}", flush=True
    )


if __name__ == "__main__":
    main()
