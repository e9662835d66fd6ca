"""Engines beside interior-point solvers on the same relaxation, in one run: bounds, iterations, seconds.

    python bench/engines.py [--sizes 10 20 40 80] [--json bench/results/engines.json]

Published random networks (p, p), trial 0, the densest sparsity of each size, global and local (radius 0.1).
Every engine gets the block or product form of the same relaxation. Seconds are of the solve, compilation
apart; `excess` is the certified bound over the interior-point value, less 1; `times` is the interior-point
solver's seconds over the engine's.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import hr2jax
from networks import published_network

RELAXATIONS = (("shor", False), ("hr2", False), ("shor", True), ("hr2", True), ("hr2z", True))
# The fastest interior-point solver of each size that fits in memory; Clarabel's vectorised cone stops near (40, 40).
REFERENCES = {10: "clarabel", 20: "clarabel", 40: "sdpa", 80: "sdpa"}


def row(p: int, relaxation: str, local: bool, method: str, tol: float, time_limit: float) -> dict:
    net, center = published_network(p, min(2 * p, 80), 0)
    domain = dict(center=center, radius=0.1) if local else {}
    result = hr2jax.solve(net, relaxation=relaxation, method=method, tol=tol, time_limit=time_limit, **domain)
    return dict(
        p=p, relaxation=relaxation, domain="local" if local else "global", method=method, bound=result.bound,
        value=result.relaxation_value, lower=result.lower, iterations=result.iterations, status=result.status.name,
        N=result.problem["moment_matrix"], solve=result.timings["solve"], compile=result.timings["compile"],
        peak_bytes=result.timings["peak_bytes"],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 20, 40, 80], choices=list(REFERENCES))
    parser.add_argument("--methods", nargs="+", default=["lowrank", "admm"])
    parser.add_argument("--tol", type=float, default=5e-4)
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds for each solve (default 300)")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()
    print(f"{'p':>3} {'relaxation':<10} {'domain':<7} {'N':>4} {'method':<9} {'bound':>10} {'excess':>9} "
          f"{'iterations':>10} {'solve s':>8} {'compile s':>9} {'times':>7} {'status':<12}")  # fmt: skip
    rows = []
    for p in arguments.sizes:
        for relaxation, local in RELAXATIONS:
            reference = {}
            for method in (REFERENCES[p], *arguments.methods):
                r = row(p, relaxation, local, method, arguments.tol, arguments.time_limit)
                reference = reference or r
                r["excess"] = r["bound"] / reference["value"] - 1
                r["times"] = reference["solve"] / r["solve"]
                rows.append(r)
                print(f"{p:>3} {relaxation:<10} {r['domain']:<7} {r['N']:>4} {r['method']:<9} {r['bound']:>10.6f} "
                      f"{r['excess']:>9.1e} {r['iterations']:>10} {r['solve']:>8.3f} {r['compile']:>9.2f} "
                      f"{r['times']:>7.1f} {r['status']:<12}", flush=True)  # fmt: skip
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
