"""SDP-NN, the (784, 500) MNIST network of Raghunathan et al. 2018: certified bounds, what they cost and when.

    python bench/real.py [--quick] [--only "local 0.1 hr2+"] [--time-limit 600] [--json bench/results/real.json]

Prints one row per problem: the certified bound, the attained lower bound, seconds (compilation apart) and
peak memory of the process so far. Below it, for bounds worth reaching: after how many seconds of solving and
certifying (compilation, setup and the search for lower bounds apart) a bound at most that large was certified.
`--quick`: 60 s instead of 600 s.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import hr2jax
from hr2jax.engines.block.form import block_form
from hr2jax.machine.compile_clock import compile_seconds
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import presolve
from measure import RESULTS, Table, solve_seconds
from networks import sdp_nn

PROBLEMS = {
    "global shor": dict(relaxation="shor", tol=1e-4),
    "local 0.1 shor": dict(relaxation="shor", tol=1e-3, radius=0.1),
    "local 0.1 hr2": dict(relaxation="hr2", tol=1e-3, radius=0.1),
    "local 0.1 hr2z": dict(relaxation="hr2z", tol=1e-3, radius=0.1),
    "global hr2+": dict(relaxation="hr2+", tol=3e-4),
    "local 0.1 hr2+": dict(relaxation="hr2+", tol=1e-3, radius=0.1),
    "global best": dict(relaxation="best", tol=1e-3),
    "local 0.1 best": dict(relaxation="best", tol=1e-3, radius=0.1),
}
LIMITED = ("hr2z", "hr2+", "best")  # the others end by themselves
HR2Z = 12.699  # about the optimum of local hr2z
# Bounds to reach, and in how many seconds.
TARGETS = {
    "local 0.1 hr2z": {12.729: 5.0, HR2Z * 1.001: 15.0},
    "local 0.1 hr2+": {11.82: 40.0, 11.47: 90.0, 11.25: 200.0},
    "global hr2+": {17.06: 15.0, 16.25: 60.0},
}
GAPS = {"global best": 0.06, "local 0.1 best": 0.14}  # to reach by the time limit

COLUMNS = {
    "problem": "<15", "bound": ">9.5f", "lower": ">8.4f", "gap": ">7.2%", "value": ">9.5f", "status": "<10",
    "iterations": ">10", "compile": ">7.2f", "solve": ">7.2f", "certify": ">7.2f", "search": ">7.2f", "MiB": ">6.0f",
}  # fmt: skip


class Progression:
    """Callback: which bound was certified after how many seconds of solving and certifying.

    Its first call is just before the engine starts: setup and the first search for lower bounds lie before it.
    """

    def __init__(self) -> None:
        self.began: float | None = None
        self.bounds: list[tuple[float, float]] = []

    def __call__(self, progress: hr2jax.Progress) -> None:
        now = progress.seconds - compile_seconds()
        if self.began is None:
            self.began = now
        if not self.bounds or progress.bound < self.bounds[-1][1]:
            self.bounds.append((now - self.began, progress.bound))

    def end(self, result: hr2jax.Result) -> None:
        """The last bound may have been certified after the last call."""
        if not self.bounds or result.bound < self.bounds[-1][1]:
            self.bounds.append((solve_seconds(result), result.bound))

    def reached(self, target: float) -> float | None:
        """Seconds until a bound of at most `target`; None if it never was."""
        return next((seconds for seconds, bound in self.bounds if bound <= target), None)


def solve_row(name: str, net: hr2jax.Network, center: object, time_limit: float) -> dict:
    options = dict(PROBLEMS[name])
    if "radius" in options:
        options["center"] = center
    if options["relaxation"] in LIMITED:
        options["time_limit"] = time_limit
    progression = Progression()
    result = hr2jax.solve(net, callback=progression, **options)
    assert result.certificate.verify(net) <= result.bound * (1 + 1e-12)
    progression.end(result)
    t = result.timings
    reached = [
        dict(bound=bound, seconds=progression.reached(bound), target=target)
        for bound, target in TARGETS.get(name, {}).items()
    ]
    return dict(
        problem=name, bound=result.bound, lower=result.lower, gap=result.gap, value=result.relaxation_value,
        status=result.status.name, iterations=result.iterations, compile=t["compile"], solve=t["solve"],
        certify=t["certify"], search=t["lower"], MiB=t["peak_bytes"] / 2**20, timings=dict(t),
        time_limit=options.get("time_limit"), cuts=len(result.certificate.multipliers.get("triangles/multipliers", ())),
        reached=reached, progression=progression.bounds,
    )  # fmt: skip


def show_targets(row: dict) -> None:
    """Below the row: what was to be reached, and whether it was."""
    for entry in row["reached"]:
        seconds, target = entry["seconds"], entry["target"]
        took = "never" if seconds is None else f"after {seconds:.1f} s"
        verdict = "met" if seconds is not None and seconds <= target else "NOT met"
        print(f"    bound <= {entry['bound']:.3f}: {took}; target {target:.0f} s, {verdict}")
    if row["problem"] in GAPS:
        wanted = GAPS[row["problem"]]
        print(f"    gap {row['gap']:.2%}; target {wanted:.0%}, {'met' if row['gap'] <= wanted else 'NOT met'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=RESULTS / "real.json", help="rows are kept here")
    parser.add_argument("--only", choices=PROBLEMS, action="append", help="only these problems")
    parser.add_argument("--time-limit", type=float, help="seconds for each of hr2z, hr2+ and best (default 600)")
    parser.add_argument("--quick", action="store_true", help="the default time limit is 60 s")
    parser.add_argument("--no-block", action="store_true", help="do not time building the block forms")
    arguments = parser.parse_args()
    time_limit = arguments.time_limit or (60.0 if arguments.quick else 600.0)
    net, center = sdp_nn()
    if not arguments.no_block:
        problem = checked_problem(net, center=center, radius=0.1)
        for relaxation in ("shor", "hr2", "hr2z"):
            began = time.perf_counter()
            block_form(relaxation, lift(net, problem, presolve(net, problem)))
            print(f"block form of local {relaxation}, built in {time.perf_counter() - began:.2f} s")
    table = Table(COLUMNS, ("problem",), arguments.json)
    table.header()
    for name in arguments.only or PROBLEMS:
        row = solve_row(name, net, center, time_limit)
        table.add(row)
        show_targets(row)


if __name__ == "__main__":
    main()
