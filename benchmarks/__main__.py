"""`make bench`: every figure of the README in one run; or `python -m benchmarks query` for some."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from benchmarks.report import Figure, show, write
from domain.log import configure_logging

BENCHMARKS = ("encoding", "pipeline", "freshness", "query", "training")
RESULT = Path(__file__).parent / "results" / "latest.json"


def main() -> int:
    """Measure, print the table, write the JSON; exit code 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="default: all")
    parser.add_argument("--json", type=Path, default=RESULT, help="where the figures go")
    given = parser.parse_args()
    configure_logging("warning")
    figures: list[Figure] = []
    for name in given.names or BENCHMARKS:
        started = time.monotonic()
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        figures += importlib.import_module(f"benchmarks.{name}").measure()
        print(f"  {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        write(figures, given.json)
    show(figures)
    print(f"written to {given.json}")
    return 1 if any(figure.reached is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
