"""The low-rank engine beside interior-point solvers at the published (80, 80) networks, `hr2z` in the box of 0.1.

    python bench/interior.py [--solvers sdpa cvxopt clarabel] [--time-limit 300] [--json bench/results/interior.json]

Trial 0 of every published sparsity. Seconds are of solving and certifying, compilation apart. `lowrank` runs here,
twice, and its second time counts (`first` is the other). Each interior-point solver has a process of its own, which
is ended where it takes a minute longer than the time limit (SDPA knows none); a refusal is a row too; a solver that
has taken too long is not tried at denser networks. All bounds are certified; `excess` is ours over the solver's
value, less 1; `times` is the solver's seconds over ours. The last lines are the fastest solver's seconds over ours, per
sparsity, and their median. `--quick`: (10, 10), 60 s.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path

import numpy as np

import hr2jax
from measure import RESULTS, Table, in_process, solve_alone, solve_seconds
from networks import DATA, published_network

PACKAGES = {"sdpa": "sdpap", "cvxopt": "cvxopt", "clarabel": "clarabel"}
GRACE = 60.0  # seconds beyond the time limit to start, build and certify in
TRIAL = 0

COLUMNS = {
    "p": ">3", "sparsity": ">8", "method": "<9", "N": ">4", "bound": ">10.6f", "value": ">10.6f", "excess": ">9.1e",
    "seconds": ">8.2f", "first": ">6.2f", "compile": ">7.2f", "times": ">7.1f", "MiB": ">6.0f", "status": "<10",
    "message": "<1",
}  # fmt: skip


def sparsities(p: int) -> list[int]:
    """Those with a published local `hr2z` row."""
    rows = json.loads((DATA / "reference" / "published_one_hidden.json").read_text())["rows"]
    here = {"p": p, "method": "hr2z", "range": "local", "trial": TRIAL}
    return sorted({row["sparsity"] for row in rows if here.items() <= row.items()})


def measure(p: int, sparsity: int, method: str, tol: float, time_limit: float | None) -> dict:
    """One solve, in this process."""
    net, center = published_network(p, sparsity, TRIAL)
    result = solve_alone(
        net, center=center, radius=0.1, relaxation="hr2z", method=method, tol=tol, time_limit=time_limit
    )
    t = result.timings
    return dict(
        N=result.problem["moment_matrix"], bound=result.bound, value=result.relaxation_value,
        seconds=solve_seconds(result), compile=t["compile"], MiB=t["peak_bytes"] / 2**20,
        status=result.status.name, iterations=result.iterations, timings=dict(t),
    )  # fmt: skip


def reference(p: int, sparsity: int, solver: str, tol: float, time_limit: float) -> dict:
    """An interior-point solver's row, whatever becomes of it."""
    return in_process(__file__, [p, sparsity, solver, tol, time_limit], time_limit + GRACE)


def main() -> None:
    available = [solver for solver, package in PACKAGES.items() if importlib.util.find_spec(package)]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--p", type=int, default=80)
    parser.add_argument("--sparsities", type=int, nargs="+", help="default: all that are published")
    parser.add_argument("--solvers", nargs="+", choices=list(PACKAGES), default=available)
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--time-limit", type=float, default=300.0, help="seconds for each solver (default 300)")
    parser.add_argument("--quick", action="store_true", help="(10, 10) and 60 s")
    parser.add_argument("--json", type=Path, default=RESULTS / "interior.json", help="rows are kept here")
    parser.add_argument("--row", help=argparse.SUPPRESS)  # one row, for the process that measures it
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(*json.loads(arguments.row))))
        return
    if arguments.quick:
        arguments.p, arguments.time_limit = 10, min(arguments.time_limit, 60.0)
    p, tol = arguments.p, arguments.tol
    print(f"hr2jax {hr2jax.__version__}, interior-point solvers: {', '.join(arguments.solvers)}")
    table = Table(COLUMNS, ("p", "sparsity", "method"), arguments.json)
    table.header()
    ratios: dict[int, tuple[float, str]] = {}
    gave_up: dict[str, int] = {}
    for sparsity in arguments.sparsities or sparsities(p):
        first = measure(p, sparsity, "lowrank", tol, None)["seconds"]
        ours = measure(p, sparsity, "lowrank", tol, None) | dict(first=first)
        table.add(dict(p=p, sparsity=sparsity, method="lowrank") | ours)
        solved = []
        for solver in arguments.solvers:
            row = dict(p=p, sparsity=sparsity, method=solver)
            if solver in gave_up:
                row |= dict(status="SKIPPED", message=f"took too long at sparsity {gave_up[solver]}")
            else:
                row |= reference(p, sparsity, solver, tol, arguments.time_limit)
            if row["status"] in ("KILLED", "TIME_LIMIT"):
                gave_up[solver] = sparsity
            if row["status"] == "SOLVED":
                row |= dict(excess=ours["bound"] / row["value"] - 1, times=row["seconds"] / ours["seconds"])
                solved.append((row["times"], solver))
            table.add(row)
        if solved:
            ratios[sparsity] = min(solved)
    for sparsity, (times, solver) in ratios.items():
        print(f"sparsity {sparsity}: {solver} takes {times:.1f} times as long")
    if ratios:
        print(f"median of {len(ratios)} sparsities: {np.median([times for times, _ in ratios.values()]):.1f}")


if __name__ == "__main__":
    main()
