"""The methods that can be named on the command line, their grids, and what each can answer."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.errors import RejectedError
from evaluation.methods.task import Method, Parameters

Make = Callable[..., Method]


def _grid(**values: Sequence[Any]) -> tuple[dict[str, Any], ...]:
    """Every combination of the values, in the order given, the last name fastest."""
    return tuple(
        dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())
    )


@dataclass(frozen=True)
class Entry:
    """One method as the harness knows it.

    Attributes:
        name: on the command line and in the report.
        where: MODULE:CLASS, imported when it is used, so that an extra that is not installed is
            missed only by the methods that need it.
        about: one line for the report.
        grid: points between which validation chooses; one point: nothing is chosen.
        refit: names of parameters whose change needs `refit` and not `fit`; they stand last in
            the grid, so that points that share a fit follow each other.
        content: whether it reads item features; without any it is left out, and it is run once
            for every subset of modalities that is asked for.
        cold_items: whether it can order items without interactions; left out where all
            candidates are.
        graph: whether it reads the feature "graph"; it is then run on the permuted graph too.
        needs_graph: whether it is left out of a run without that feature.
        ablate: whether it is also run on the modalities one by one and one after the other.
        named: whether it is run only where it is named, and not by "all".
    """

    name: str
    where: str
    about: str
    grid: tuple[Parameters, ...] = ({},)
    refit: frozenset[str] = frozenset()
    content: bool = True
    cold_items: bool = True
    graph: bool = False
    needs_graph: bool = False
    ablate: bool = False
    named: bool = False

    @property
    def module(self) -> str:
        """The module that has the class."""
        return self.where.partition(":")[0]

    def make(self, parameters: Parameters) -> Method:
        """A new instance."""
        module, _, name = self.where.partition(":")
        made: Make = getattr(importlib.import_module(module), name)
        return made(**parameters)


_METHODS = "evaluation.methods"

ENTRIES: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "random",
            f"{_METHODS}.baselines:Random",
            "every user an order of their own",
            content=False,
        ),
        Entry(
            "popularity",
            f"{_METHODS}.baselines:Popularity",
            "users per item in training",
            content=False,
            cold_items=False,
        ),
        Entry(
            "demographics",
            f"{_METHODS}.demographics:Demographics",
            "what people who declare the same take: a ridge regression on their demographics",
            grid=_grid(strength=(1.0, 10.0, 100.0)),
            content=False,
            cold_items=False,
        ),
        Entry(
            "raw-cosine",
            f"{_METHODS}.baselines:RawCosine",
            "cosine of raw vectors to the user's history, modalities averaged",
        ),
        Entry(
            "whitened-cosine",
            f"{_METHODS}.baselines:WhitenedCosine",
            "cosine of fused vectors to the user's history: the product before training",
            ablate=True,
        ),
        Entry(
            "als-ridge",
            f"{_METHODS}.als_ridge:AlsRidge",
            "ALS, mapped from content for cold items (Gantner et al. 2010)",
            grid=_grid(regularization=(1.0, 30.0, 100.0), map=(0.01, 0.1, 1.0)),
            refit=frozenset({"map"}),
        ),
        Entry(
            "ease",
            f"{_METHODS}.ease:Ease",
            "item-item weights in closed form (Steck 2019)",
            grid=_grid(strength=(50.0, 200.0, 800.0, 3200.0, 12800.0)),
            content=False,
            cold_items=False,
        ),
        Entry(
            "implicit-als",
            f"{_METHODS}.factors:ImplicitAls",
            "matrix factorisation by `implicit` (Hu et al. 2008)",
            grid=_grid(factors=(64,), regularization=(1.0, 30.0, 100.0), alpha=(1.0, 10.0)),
            content=False,
            cold_items=False,
        ),
        Entry(
            "implicit-bpr",
            f"{_METHODS}.factors:ImplicitBpr",
            "pairwise factorisation by `implicit` (Rendle et al. 2009)",
            grid=_grid(learning_rate=(0.02, 0.1), regularization=(0.01,)),
            content=False,
            cold_items=False,
        ),
        Entry(
            "infonce",
            f"{_METHODS}.infonce:InfoNce",
            "u^T A c_i by gradient descent on InfoNCE: a learned option of the product",
            grid=_grid(decay=(1e-4, 1e-2, 1e-1)),
        ),
        Entry(
            "ridge-infonce",
            f"{_METHODS}.infonce:RidgeInfoNce",
            "the closed form and InfoNCE in one A: a learned option of the product",
            grid=_grid(decay=(1e-4, 1e-2)),
            refit=frozenset({"decay"}),
        ),
        Entry(
            "ease-distillation",
            f"{_METHODS}.distillation:EaseDistillation",
            "u^T A c_i with an EASE teacher's targets: a learned option of the product",
            grid=_grid(strength=(100.0, 1000.0), mix=(0.25, 0.5, 1.0)),
            refit=frozenset({"strength", "mix"}),
        ),
        Entry(
            "gated-fusion",
            f"{_METHODS}.gated_fusion:GatedFusion",
            "learned gates between an item's modalities, and A, on InfoNCE",
            grid=_grid(decay=(1e-4,)),
        ),
        Entry(
            "cornac-vbpr",
            f"{_METHODS}.vbpr:Vbpr",
            "VBPR by Cornac on the same fused vectors (He, McAuley 2016)",
            grid=_grid(learning_rate=(0.001, 0.004)),
        ),
        Entry(
            "bilinear",
            f"{_METHODS}.bilinear:Bilinear",
            "u^T A c_i in closed form: the product's content term",
            ablate=True,
        ),
        Entry(
            "hybrid",
            f"{_METHODS}.hybrid:GatedHybrid",
            "content and collaborative part behind the gate, in one query: the product",
        ),
        Entry(
            "bilinear-graph",
            f"{_METHODS}.graph:BilinearGraph",
            "the content term and the knowledge graph, where it beats its permuted control",
            graph=True,
            needs_graph=True,
        ),
        Entry(
            "hybrid-graph",
            f"{_METHODS}.hybrid:GraphHybrid",
            "the hybrid and the knowledge graph in one query, where it beats its permuted control",
            graph=True,
            needs_graph=True,
        ),
        Entry(
            "hybrid-infonce",
            f"{_METHODS}.hybrid:InfoNceHybrid",
            "the hybrid where the ridge's A and InfoNCE's serve in equal shares",
            named=True,
        ),
        Entry(
            "hybrid-gated-fusion",
            f"{_METHODS}.hybrid:GatedFusionHybrid",
            "the hybrid where gates between an item's modalities serve",
            named=True,
        ),
    )
}


def chosen(names: Iterable[str]) -> list[Entry]:
    """The entries named, in the order of ENTRIES; "all" names every one that need not be named.

    A name MODULE:CLASS is a method of one's own, imported from the Python path.

    Raises:
        RejectedError: an unknown name, one that cannot be imported, or two methods of one name.
    """
    wanted = list(dict.fromkeys(names))
    own = [_own(name) for name in wanted if ":" in name]
    unknown = [name for name in wanted if name not in {*ENTRIES, "all"} and ":" not in name]
    if unknown:
        raise RejectedError(
            f"there is no method {unknown[0]!r}",
            field="--methods",
            remedy=f"choose from {', '.join(ENTRIES)}, or name your own as MODULE:CLASS",
        )
    every = "all" in wanted
    found = [
        entry for name, entry in ENTRIES.items() if name in wanted or (every and not entry.named)
    ] + own
    seen: dict[str, Entry] = {}
    for entry in found:
        if seen.setdefault(entry.name, entry) is not entry:
            raise RejectedError(
                f"{entry.where} and {seen[entry.name].where} are both called {entry.name!r}",
                field="--methods",
                remedy="give one of your own another name",
            )
    return found


def _own(where: str) -> Entry:
    made = _imported(where)
    name = getattr(made, "name", where)
    grid: Any = getattr(made, "grid", ({},))
    if not isinstance(name, str) or not name.strip():
        raise RejectedError(
            f"the name of {where} is {name!r}",
            field="--methods",
            remedy="give the class a name that is a text, such as name = 'nearest'",
        )
    points = tuple(grid) if isinstance(grid, Iterable) else ()
    if not points or not all(isinstance(point, Mapping) for point in points):
        raise RejectedError(
            f"the grid of {where} is {grid!r}",
            field="--methods",
            remedy="write a tuple of one dict of parameters or more, or leave grid away",
        )
    return Entry(
        name,
        where,
        (made.__doc__ or "").strip().partition("\n")[0],
        grid=points,
        content=bool(getattr(made, "content", True)),
        cold_items=bool(getattr(made, "cold_items", True)),
        graph=bool(getattr(made, "graph", False)),
        needs_graph=bool(getattr(made, "needs_graph", False)),
        ablate=bool(getattr(made, "ablate", False)),
    )


def _imported(where: str) -> Make:
    module, _, name = where.partition(":")
    if not name or not all(part.isidentifier() for part in module.split(".")):
        reason = "it is not MODULE:CLASS"
    else:
        try:
            made: Make = getattr(importlib.import_module(module), name)
            if callable(made):
                return made
            reason = "it is no class"
        except (Exception, SystemExit) as error:  # a module of one's own may raise anything
            reason = f"{type(error).__name__}: {error}"
    raise RejectedError(
        f"{where} cannot be imported ({reason})",
        field="--methods",
        remedy="put its folder on PYTHONPATH and name it as MODULE:CLASS",
    )
