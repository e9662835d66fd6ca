"""What method="auto" rests on: the two engines on random networks from (10, 10) to (160, 160).

    python bench/auto.py [--quick] [--time-limit 300] [--json bench/results/auto.json] [--markdown]

`hr2` globally and `hr2z` in the box of radius 0.1. `seconds` are of solving and certifying, `with` is that and the
compilation (JAX's caches are cleared before every solve); `fastest` marks the engine that was faster to a certified
bound within `tol`, apart from compilation; `excess` is the bound over the engine's own estimate of the optimum, less
1 (ADMM's may lie above its bound). `--markdown` prints the rows that the file has and runs nothing. `--quick`:
(10, 10) alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import numpy as np

from measure import RESULTS, Table, solve_alone, solve_seconds
from networks import random_network

SIZES = (10, 20, 40, 80, 160)
METHODS = ("lowrank", "admm")
RADIUS, SEED = 0.1, 0

COLUMNS = {
    "network": "<10", "relaxation": "<10", "domain": "<6", "method": "<7", "N": ">4", "bound": ">10.6f",
    "excess": ">8.1e", "iterations": ">10", "seconds": ">8.3f", "with": ">7.2f", "fastest": "<7", "status": "<10",
    "message": "<1",
}  # fmt: skip


def measure(p: int, local: bool, method: str, tol: float, time_limit: float) -> dict:
    net = random_network(p, p, SEED)
    domain = dict(center=np.zeros(p), radius=RADIUS) if local else {}
    # with a time limit the low-rank engine certifies every round, which it does not need here
    limit = time_limit if method == "admm" else None
    jax.clear_caches()
    try:
        result = solve_alone(
            net, relaxation="hr2z" if local else "hr2", method=method, tol=tol, time_limit=limit, **domain
        )
    except ValueError as error:  # it does not fit in memory
        return dict(status="REFUSED", message=str(error))
    value, seconds = result.relaxation_value, solve_seconds(result)
    return {
        "N": result.problem["moment_matrix"], "bound": result.bound, "value": value, "excess": result.bound / value - 1,
        "iterations": result.iterations, "seconds": seconds, "with": seconds + result.timings["compile"],
        "status": result.status.name, "timings": dict(result.timings),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds for each ADMM solve (default 300)")
    parser.add_argument("--quick", action="store_true", help="(10, 10) alone")
    parser.add_argument("--json", type=Path, default=RESULTS / "auto.json", help="rows are kept here")
    parser.add_argument("--markdown", action="store_true", help="print what the file has, for docs/")
    arguments = parser.parse_args()
    table = Table(COLUMNS, ("network", "relaxation", "method"), arguments.json)
    if arguments.markdown:
        print(table.markdown())
        return
    assert jax.config.jax_compilation_cache_dir is None, "a cache on disk would hide the compilation"
    table.header()
    for p in SIZES[:1] if arguments.quick else arguments.sizes:
        for local in (False, True):
            name = dict(network=f"({p}, {p})", relaxation="hr2z" if local else "hr2",
                        domain="local" if local else "global")  # fmt: skip
            rows = [
                name | dict(method=method) | measure(p, local, method, arguments.tol, arguments.time_limit)
                for method in METHODS
            ]
            solved = [row for row in rows if row["status"] == "SOLVED"]
            if solved:
                min(solved, key=lambda row: row["seconds"])["fastest"] = "yes"
            for row in rows:
                table.add(row)


if __name__ == "__main__":
    main()
