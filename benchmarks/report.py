"""One measured figure, and the table of all of them."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson
import torch
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """A ratio measured within one run.

    Attributes:
        ratio: ours / other, the median over the runs in `ratios`.
        target: what it should reach; None where the figure only informs.
        better: which direction is better.
        ours, other: the two sides' own medians, in `unit`.
        against, data: what was compared, on what.
    """

    name: str
    ratio: float
    target: float | None
    better: Literal["higher", "lower"]
    ours: float
    other: float
    unit: str
    against: str
    data: str
    ratios: list[float] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        return self.ratio >= self.target if self.better == "higher" else self.ratio <= self.target


def processor() -> dict[str, Any]:
    """The machine, as far as it explains the figures."""
    flags: set[str] = set()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("flags"):
                flags.update(line.split(":", 1)[1].split())
    return {
        "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "amx": "amx_bf16" in flags,
        "avx512_bf16": "avx512_bf16" in flags,
        "torch": torch.__version__,
    }


def show(figures: Sequence[Figure]) -> None:
    """The table that the README quotes."""
    table = Table(box=None, pad_edge=False)
    for name in ("benchmark", "ours", "other", "unit", "ratio", "target", ""):
        table.add_column(name, justify="right" if name in ("ours", "other", "ratio") else "left")
    for figure in figures:
        sign = ">=" if figure.better == "higher" else "<="
        target = "" if figure.target is None else f"{sign} {figure.target:g}"
        verdict = {None: "", True: "reached", False: "NOT reached"}[figure.reached]
        table.add_row(
            figure.name,
            f"{figure.ours:.4g}",
            f"{figure.other:.4g}",
            figure.unit,
            f"{figure.ratio:.2f}",
            target,
            verdict,
        )
    Console(width=120).print(table)


def write(figures: Sequence[Figure], path: Path) -> None:
    """Everything, for programs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": processor(),
        "figures": [{**asdict(figure), "reached": figure.reached} for figure in figures],
    }
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
