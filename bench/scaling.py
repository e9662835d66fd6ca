"""How far it goes: random one-hidden-layer networks up to widths (3072, 10000), seconds, memory and gap.

    python bench/scaling.py [--quick] [--json bench/results/scaling.json] [--plot bench/results/scaling.png]

Global `shor` and `hr2`, and `hr2z` on a box of radius 0.1, each in a process of its own, so that its peak is its own.
The interior-point reference of each relaxation runs until it first fails or takes over two minutes. Every row is
written as soon as it is there; rows that the file has already are kept, not run again. `excess` is
bound / engine's relaxation value - 1.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SIZES = ((100, 100), (300, 300), (784, 500), (1000, 1000), (2000, 2000), (3072, 5000), (3072, 10000))
QUICK, LOCAL = 1_000_000, 1_000_000  # weights of the largest network of --quick, and of the local problems
RADIUS = 0.1
REFERENCES = ("sdpa",)  # Clarabel needs 14 GB at (100, 100) already
PATIENCE = 120.0  # seconds for an interior-point solver
FITTED = 100_000  # weights of the smallest network that the exponents are fitted to


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


def measure(p0: int, p1: int, relaxation: str, domain: str, method: str, tol: float, limit: float | None) -> dict:
    """One row, in this process."""
    import hr2jax
    from networks import random_network

    net = random_network(p0, p1, 0)
    idle, began = peak_bytes(), time.perf_counter()
    where = dict(center=np.zeros(p0), radius=RADIUS) if domain == "local" else {}
    result = hr2jax.solve(net, relaxation=relaxation, method=method, tol=tol, time_limit=limit, **where)
    seconds = result.timings
    value = None if math.isnan(result.relaxation_value) else result.relaxation_value  # NaN is no JSON
    return dict(
        N=result.problem["moment_matrix"], bound=result.bound, value=value, lower=result.lower,
        excess=None if value is None else result.bound / value - 1,
        status=result.status.name, iterations=result.iterations,
        setup=seconds["setup"], compile=seconds["compile"], solve=seconds["solve"], certify=seconds["certify"],
        search=seconds["lower"], wall=time.perf_counter() - began, peak_bytes=seconds["peak_bytes"], idle_bytes=idle,
    )  # fmt: skip


def in_process(key: dict, tol: float, limit: float | None) -> dict:
    """One row, in a process of its own; a failure is a row as well."""
    command = [sys.executable, __file__, "--row", json.dumps([*key.values(), tol, limit])]
    patience = None if limit is None else 3 * limit + 60
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
    except subprocess.TimeoutExpired:
        return key | dict(status="KILLED", message=f"after {patience:.0f} s")
    if done.returncode:
        return key | dict(status="FAILED", message=(done.stderr.strip().splitlines() or ["killed"])[-1][:200])
    return key | json.loads(done.stdout.splitlines()[-1])


def wanted(quick: bool, relaxations: list[str], methods: list[str]) -> list[dict]:
    """Which rows, in order."""
    out = []
    for p0, p1 in SIZES:
        if quick and p0 * p1 > QUICK:
            continue
        for relaxation, domain in (("shor", "global"), ("hr2", "global"), ("hr2z", "local")):
            if relaxation in relaxations and (domain == "global" or p0 * p1 <= LOCAL):
                for method in methods:
                    out.append(dict(p0=p0, p1=p1, relaxation=relaxation, domain=domain, method=method))
    return out


def gave_up(rows: list[dict], key: dict) -> bool:
    """Whether the interior-point solver has failed on this relaxation already, at a smaller size."""
    same = [r for r in rows if all(r[name] == key[name] for name in ("relaxation", "domain", "method"))]
    return key["method"] in REFERENCES and any(r["status"] not in ("SOLVED", "STALLED") for r in same)


def show(row: dict) -> None:
    name = f"({row['p0']}, {row['p1']})"
    head = f"{name:<14} {row['relaxation']:<6} {row['domain']:<7} {row['method']:<9}"
    if "bound" not in row:
        print(f"{head} {row['status']}: {row.get('message', '')}", flush=True)
        return
    excess = "-" if row["excess"] is None else f"{row['excess']:.1e}"
    print(f"{head} {row['N']:>6} {row['bound']:>10.5f} {excess:>9} {row['iterations']:>6} "
          f"{row['setup']:>8.1f} {row['compile']:>8.1f} {row['solve']:>8.1f} {row['certify']:>8.1f} "
          f"{row['peak_bytes'] / 2**30:>7.2f} {row['status']}", flush=True)  # fmt: skip


def exponent(x: list[float], y: list[float]) -> float:
    """The slope of log y over log x."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def plot(rows: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    quantities = (
        ("seconds per inner step", lambda r: r["solve"] / r["iterations"]),
        ("seconds of certificates", lambda r: r["certify"]),
        ("peak bytes above the idle process", lambda r: r["peak_bytes"] - r["idle_bytes"]),
    )
    figure, axes = pyplot.subplots(1, 3, figsize=(15, 4.6), constrained_layout=True)
    solved = [r for r in rows if "bound" in r and r["iterations"]]
    kinds = sorted({(r["method"] != "lowrank", r["relaxation"], r["domain"], r["method"]) for r in solved})
    for axis, (title, quantity) in zip(axes, quantities, strict=True):
        for reference, relaxation, domain, method in kinds:
            group = [r for r in solved if (r["relaxation"], r["domain"], r["method"]) == (relaxation, domain, method)]
            group.sort(key=lambda r: r["p0"] * r["p1"])
            x = [r["p0"] * r["p1"] for r in group]
            y = [quantity(r) for r in group]
            label = f"{relaxation} {domain}" + (f", {method}" if reference else "")
            large = [k for k, weights in enumerate(x) if weights >= FITTED]
            if len(large) >= 3 and not reference:
                slope = exponent([x[k] for k in large], [y[k] for k in large])
                side = exponent([group[k]["N"] ** 2 for k in large], [y[k] for k in large])
                label += f": weights^{slope:.2f} = (N^2)^{side:.2f}"
            axis.loglog(x, y, "x:" if reference else "o-", label=label)
        axis.set(xlabel="weights p_0 p_1", title=title)
        axis.grid(True, which="both", alpha=0.3)
        axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"networks of at most {QUICK} weights")
    parser.add_argument("--relaxations", nargs="+", default=["shor", "hr2", "hr2z"], choices=["shor", "hr2", "hr2z"])
    parser.add_argument("--tol", type=float, default=1e-2)
    parser.add_argument("--time-limit", type=float, help="seconds for each solve (default: none)")
    parser.add_argument("--methods", nargs="+", default=["lowrank", *REFERENCES], choices=["lowrank", *REFERENCES])
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "scaling.json")
    parser.add_argument("--plot", type=Path, default=Path(__file__).parent / "results" / "scaling.png")
    parser.add_argument("--row", help=argparse.SUPPRESS)  # one row, for the process that measures it
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(*json.loads(arguments.row))))
        return
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    rows = json.loads(arguments.json.read_text()) if arguments.json.exists() else []
    print(f"{'network':<14} {'':<6} {'':<7} {'method':<9} {'N':>6} {'bound':>10} {'excess':>9} {'steps':>6} "
          f"{'setup s':>8} {'compile':>8} {'solve s':>8} {'certify':>8} {'GiB':>7} status")  # fmt: skip
    for key in wanted(arguments.quick, arguments.relaxations, arguments.methods):
        known = [r for r in rows if key.items() <= r.items()]
        if known or gave_up(rows, key):
            for row in known:
                show(row)
            continue
        reference = key["method"] in REFERENCES
        row = in_process(key, arguments.tol, PATIENCE if reference else arguments.time_limit)
        rows.append(row)
        show(row)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
        plot(rows, arguments.plot)


if __name__ == "__main__":
    main()
