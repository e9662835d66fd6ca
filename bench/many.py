"""Many solves of one network: all pairs of labels of a 10-class classifier, cold and one after the other.

    python bench/many.py [--local] [--quick] [--pairs 45] [--json bench/results/many.json]

A random network of widths (784, 500, 10); F_k - F_j for every pair of labels, `hr2` globally, or `hr2z` in the box of
radius 0.1 with `--local`. Cold: JAX's caches are cleared before every solve and nothing is known. The pass: everything
compiled stays, and a solve starts from the Result of an earlier pair, one that shares a label with it. Seconds are of
setup, compilation, solving and certifying; the search for lower bounds is left out. `apart` is how far the two bounds
differ, relatively; at most `tol` is right. `--quick`: 3 pairs of a (50, 40, 10) network.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import jax
import numpy as np

import hr2jax
from measure import RESULTS, Table, solve_alone
from networks import random_network

CLASSES, RADIUS, SEED = 10, 0.1, 0

COLUMNS = {
    "widths": "<12", "domain": "<6", "run": "<4", "pair": "<6", "after": "<6", "bound": ">9.5f", "apart": ">8.1e",
    "seconds": ">8.2f", "setup": ">6.2f", "compile": ">7.2f", "solve": ">7.2f", "certify": ">7.2f",
    "iterations": ">10", "status": "<8",
}  # fmt: skip


def predecessor(k: int, j: int) -> tuple[int, int] | None:
    """An earlier pair that shares a label: (k, j - 1), or (k - 1, j) where that is no pair."""
    return (k, j - 1) if j - 1 > k else (k - 1, j) if k else None


def measure(net: hr2jax.Network, pair: tuple[int, int], local: bool, tol: float,
            start: hr2jax.Result | None) -> tuple[dict, hr2jax.Result]:  # fmt: skip
    options = dict(relaxation="hr2z", center=np.zeros(net.widths[0]), radius=RADIUS) if local else {}
    result = solve_alone(net, output=pair, tol=tol, warm_start=start, **options)
    parts = {name: result.timings[name] for name in ("setup", "compile", "solve", "certify")}
    row = dict(bound=result.bound, value=result.relaxation_value, status=result.status.name,
               iterations=result.iterations, seconds=sum(parts.values()), **parts)  # fmt: skip
    return row, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs=2, default=[784, 500], metavar=("P0", "P1"))
    parser.add_argument("--pairs", type=int, default=CLASSES * (CLASSES - 1) // 2, help="at most so many pairs")
    parser.add_argument("--local", action="store_true", help=f"hr2z in the box of radius {RADIUS}")
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--quick", action="store_true", help="3 pairs of a (50, 40, 10) network")
    parser.add_argument("--json", type=Path, default=RESULTS / "many.json", help="rows are kept here")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.widths, arguments.pairs = [50, 40], min(arguments.pairs, 3)
    assert jax.config.jax_compilation_cache_dir is None, "a cache on disk would warm the cold solves"
    net = random_network(*arguments.widths, SEED, CLASSES)
    pairs = list(itertools.combinations(range(CLASSES), 2))[: arguments.pairs]
    table = Table(COLUMNS, ("widths", "domain", "run", "pair"), arguments.json)
    table.header()
    same = dict(widths=str(net.widths), domain="local" if arguments.local else "global")
    cold, total = {}, dict(cold=0.0, warm=0.0)
    for pair in pairs:
        jax.clear_caches()
        row, result = measure(net, pair, arguments.local, arguments.tol, None)
        cold[pair] = result.bound
        total["cold"] += row["seconds"]
        table.add(same | dict(run="cold", pair=str(pair)) | row)
    jax.clear_caches()
    results: dict[tuple[int, int], hr2jax.Result] = {}
    worst = 0.0
    for pair in pairs:
        before = predecessor(*pair)
        row, results[pair] = measure(net, pair, arguments.local, arguments.tol, results.get(before))
        row["apart"] = abs(row["bound"] - cold[pair]) / cold[pair]
        worst = max(worst, row["apart"])
        total["warm"] += row["seconds"]
        table.add(same | dict(run="warm", pair=str(pair), after=None if before is None else str(before)) | row)
    verdict = "within" if worst <= arguments.tol else "NOT within"
    print(f"{len(pairs)} pairs: cold {total['cold']:.1f} s, one pass {total['warm']:.1f} s, "
          f"ratio {total['cold'] / total['warm']:.2f}; bounds at most {worst:.1e} apart, "
          f"{verdict} {arguments.tol:g}")  # fmt: skip


if __name__ == "__main__":
    main()
