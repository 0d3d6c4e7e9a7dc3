"""A whole training at size: choosing penalties, the contest, factors, trial and gate, in memory.

    python -m benchmarks.whole_training [INTERACTIONS] [ITEMS]

On the made-up data of `benchmarks.training`, which hold nothing to find: it tells time and memory.
Reading the ledger, encoding profiles and rewriting points come on top.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

from benchmarks.training import DIM, PER_USER, made
from domain.settings import settings
from ranking import rank_space
from ranking.training import fit_collaborative, fit_projection


def main() -> None:
    """Print seconds by stage and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("interactions", nargs="?", type=int, default=10_000_000)
    parser.add_argument("items", nargs="?", type=int, default=10_000)
    asked = parser.parse_args()
    ranking = settings().ranking
    data = made(asked.interactions, asked.items)
    begun = time.perf_counter()
    fitted = fit_projection(data, {}, options=ranking.learned_options)
    chosen = time.perf_counter()
    space = rank_space(data.blocks, ranking.factors, 0)
    ids = [str(row) for row in range(asked.items)]
    learned = fit_collaborative(ids, data, {}, fitted.setting, space)
    ended = time.perf_counter()
    told = {
        "interactions": int(data.interactions.nnz),
        "users": asked.interactions // PER_USER,
        "items": asked.items,
        "dimensions": DIM,
        "factors": learned.report["factors"]["method"],
        "seconds": {"projection": round(chosen - begun, 1), "factors": round(ended - chosen, 1)},
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
    }
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
