"""Many solves of one network: all pairs of labels of a 10-class classifier, cold and one after the other.

    python bench/many.py [--local] [--quick] [--pairs 45] [--json bench/results/many.json]

A random network of widths (784, 500, 10); F_k - F_j for every pair of labels, `hr2` globally, or `hr2z` in the box of
radius 0.1 with `--local`. Cold: JAX's caches are cleared before every solve and nothing is known. The pass: everything
compiled stays, and a solve starts from the Result of an earlier pair, one that shares a label with it. The third way is
one call of `hr2jax.solve_all`, in wall seconds from cleared caches. Seconds are of setup, compilation, solving and
certifying; the search for lower bounds is left out. `apart` is how far a bound is from the cold one, relatively; at
most `tol` is right. `--quick`: 3 pairs of a (50, 40, 10) network; `--small`: all pairs of a (60, 60, 10) network, and
`solve_all` once more with the first rounds of all problems vmapped, which it does on an accelerator only.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import jax
import numpy as np

import hr2jax
from hr2jax.solving import each
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


def options_of(net: hr2jax.Network, local: bool, tol: float) -> dict:
    domain = dict(relaxation="hr2z", center=np.zeros(net.widths[0]), radius=RADIUS) if local else {}
    return dict(tol=tol) | domain


def row_of(result: hr2jax.Result) -> dict:
    parts = {name: result.timings[name] for name in ("setup", "compile", "solve", "certify")}
    return dict(bound=result.bound, value=result.relaxation_value, status=result.status.name,
                iterations=result.iterations, seconds=sum(parts.values()), **parts)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs=2, default=[784, 500], metavar=("P0", "P1"))
    parser.add_argument("--pairs", type=int, default=CLASSES * (CLASSES - 1) // 2, help="at most so many pairs")
    parser.add_argument("--local", action="store_true", help=f"hr2z in the box of radius {RADIUS}")
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--quick", action="store_true", help="3 pairs of a (50, 40, 10) network")
    parser.add_argument("--json", type=Path, default=RESULTS / "many.json", help="rows are kept here")
    parser.add_argument("--small", action="store_true", help="a (60, 60, 10) network; vmapped too")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.widths = [60, 60]
    if arguments.quick:
        arguments.widths, arguments.pairs = [50, 40], min(arguments.pairs, 3)
    assert jax.config.jax_compilation_cache_dir is None, "a cache on disk would warm the cold solves"
    net = random_network(*arguments.widths, SEED, CLASSES)
    pairs = list(itertools.combinations(range(CLASSES), 2))[: arguments.pairs]
    table = Table(COLUMNS, ("widths", "domain", "run", "pair"), arguments.json)
    table.header()
    same = dict(widths=str(net.widths), domain="local" if arguments.local else "global")
    options = options_of(net, arguments.local, arguments.tol)
    cold: dict[tuple[int, int], float] = {}
    seconds, worst = dict.fromkeys(("cold", "warm", "all", "vmap"), 0.0), dict.fromkeys(("warm", "all", "vmap"), 0.0)

    def add(run: str, pair: tuple[int, int], result: hr2jax.Result, after: tuple[int, int] | None = None) -> None:
        row = same | dict(run=run, pair=str(pair), after=after and str(after)) | row_of(result)
        seconds[run] += row["seconds"]
        if run == "cold":
            cold[pair] = result.bound
        else:
            row["apart"] = abs(result.bound - cold[pair]) / cold[pair]
            worst[run] = max(worst[run], row["apart"])
        table.add(row)

    for pair in pairs:
        jax.clear_caches()
        add("cold", pair, solve_alone(net, output=pair, **options))
    jax.clear_caches()
    results: dict[tuple[int, int], hr2jax.Result] = {}
    for pair in pairs:
        before = predecessor(*pair)
        results[pair] = solve_alone(net, output=pair, warm_start=results.get(before), **options)
        add("warm", pair, results[pair], before)
    runs = [("warm", "one pass"), ("all", "solve_all")]
    for run, vmapped in (("all", None), ("vmap", lambda: True))[: 2 if arguments.small else 1]:
        if vmapped:
            each._pays = vmapped
            runs.append((run, "solve_all, vmapped"))
        jax.clear_caches()
        began = time.perf_counter()
        together = hr2jax.solve_all(net, pairs, witness=0, **options)
        wall = time.perf_counter() - began
        for pair, result in zip(pairs, together, strict=True):
            add(run, pair, result)
        seconds[run] = wall  # its rows leave out what the problems share
    print(f"{len(pairs)} pairs, cold: {seconds['cold']:.1f} s")
    for run, name in runs:
        verdict = "within" if worst[run] <= arguments.tol else "NOT within"
        print(f"{name}: {seconds[run]:.1f} s, {seconds['cold'] / seconds[run]:.2f} times as fast; "
              f"bounds at most {worst[run]:.1e} apart, {verdict} {arguments.tol:g}")  # fmt: skip


if __name__ == "__main__":
    main()
