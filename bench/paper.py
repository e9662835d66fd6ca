"""The published comparison again: bounds and seconds of every method on the published random networks.

    python bench/paper.py [--quick] [--sizes 10 20 40 80] [--trials 5] [--time-limit 600]
                          [--json bench/results/paper.json] [--table]

Widths (p, p, 1), all published sparsities, globally and in the box of radius 0.1. Writes the rows as JSON and CSV, and
two figures as PNG and SVG: bounds and seconds against sparsity, medians with quartile ribbons over the trials.
`--quick`: p = 10 and 20, fewer trials and sparsities, under 10 minutes on 2 quiet cores.
`--table` prints the published values beside ours from the rows that the file has, and runs nothing.

* hr2, hr2z, hr2+, shor: `hr2jax.solve` without its search for lower bounds; seconds of solving and certifying,
  compilation apart. lipopt3, lipopt4: HiGHS and the proof. Every `bound` of these is certified.
* exact-mip: HiGHS's mixed-integer bound, a solver's claim. sampled: the largest gradient norm of 10000 points
  (LBS; as published, globally of [0, 10]^p). lower: our attained lower bound.
The published seconds are MOSEK's and Gurobi's on a laptop; the published LipOpt rows are those solvers' values, and
some local ones lie below attained norms, or above what the same linear program proves.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

import hr2jax
from exact import DOMAINS, RADIUS, mixed_integer, sampled, samples_of
from hr2jax.certificate.krivine import krivine_bound
from hr2jax.engines.lipopt.lipopt import solve_krivine
from hr2jax.lower import search
from hr2jax.problem import checked_problem
from measure import RESULTS, Table, solve_alone, solve_seconds
from networks import DATA, published_network

SPARSITIES = {10: (4, 8, 12, 16, 20), 20: (8, 16, 24, 32, 40)} | {p: tuple(range(10, 81, 10)) for p in (40, 80)}
SDP = ("shor", "hr2z", "hr2", "hr2+")
METHODS = (*SDP, "lipopt3", "lipopt4", "exact-mip", "sampled", "lower")
PUBLISHED = {"sampled": "lower-sampled"}  # other names in the published rows
TOL = 1e-4

# Seconds a row takes on 2 quiet cores, about (measured), by method and p: for the estimate that is printed first.
SECONDS = {
    "shor": (0.1, 0.1, 0.1, 0.3), "hr2z": (0.1, 0.1, 0.1, 0.3), "hr2": (0.1, 0.2, 0.2, 0.5), "hr2+": (1, 3, 3, 25),
    "lipopt3": (0.1, 0.2, 1.5, 45), "lipopt4": (0.1, 3, math.inf, math.inf), "exact-mip": (0.1, 2, math.inf, math.inf),
    "sampled": (0.1, 0.1, 0.1, 0.1), "lower": (0.5, 1.5, 1.5, 4),
}  # fmt: skip
PATIENCE = 60.0  # seconds more for those with JAX: their time limit counts compilation
COMPILE = 5.0  # seconds for a method's first row of a size and domain, with JAX

QUICK = {10: SPARSITIES[10], 20: (8, 24, 40)}

COLUMNS = {
    "method": "<9", "domain": "<7", "p": ">3", "sparsity": ">8", "trial": ">5", "bound": ">10.6f",
    "value": ">10.6f", "published": ">10.6f", "seconds": ">8.2f", "status": "<10", "message": "<1",
}  # fmt: skip
KEY = ("method", "domain", "p", "sparsity", "trial")
COLOURS = dict(zip(METHODS, ("C0", "C1", "C2", "C3", "C4", "C5", "C7", "C8", "k"), strict=True))


def measure(method: str, domain: str, p: int, sparsity: int, trial: int, time_limit: float) -> dict:
    """One row; `bound` is a certified upper bound, an attained lower one, or (exact-mip) a claim."""
    net, center = published_network(p, sparsity, trial)
    box = dict(center=center, radius=RADIUS) if domain == "local" else {}
    problem = checked_problem(net, **box)
    began = time.perf_counter()
    if method in SDP:
        result = solve_alone(net, relaxation=method, tol=TOL, time_limit=time_limit + PATIENCE, **box)
        return dict(bound=result.bound, value=result.relaxation_value, seconds=solve_seconds(result),
                    compile=result.timings["compile"], status=result.status.name)  # fmt: skip
    if method.startswith("lipopt"):
        degree = int(method[-1])
        value, multipliers, status = solve_krivine(net, problem, degree, time_limit)
        bound, value = krivine_bound(net, problem, degree, multipliers), value if math.isfinite(value) else None
    elif method == "exact-mip":
        value, bound, status = mixed_integer(net, problem, time_limit)
    elif method == "sampled":
        bound, value, status = sampled(net, *samples_of(domain, center)), None, "SOLVED"
    else:
        bound, value, status = search(net, problem, seconds=min(16.0, time_limit))[0], None, "SOLVED"
    return dict(bound=bound, value=value, seconds=time.perf_counter() - began, status=status)


def published_rows() -> dict[tuple, float]:
    rows = json.loads((DATA / "reference" / "published_one_hidden.json").read_text())["rows"]
    return {(r["method"], r["range"], r["p"], r["sparsity"], r["trial"]): r.get("recomputed", r["published"])
            for r in rows}  # fmt: skip


def estimate(tasks: list[tuple], time_limit: float) -> float:
    sizes = sorted(SPARSITIES)
    each = sum(min(SECONDS[method][sizes.index(p)], time_limit) for method, _, p, _, _ in tasks)
    return each + COMPILE * len({task[:4] if task[0] == "hr2+" else task[:3] for task in tasks if task[0] in SDP})


def groups(rows: list[dict], field: str) -> dict[tuple, dict[int, np.ndarray]]:
    """(domain, p, method) -> sparsity -> the trials' values of a field that were measured."""
    out: dict[tuple, dict[int, list]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.get(field) is not None:
            out[row["domain"], row["p"], row["method"]][row["sparsity"]].append(row[field])
    return {key: {s: np.array(values) for s, values in sorted(one.items())} for key, one in out.items()}


def draw(rows: list[dict], field: str, label: str, stem: Path, log: bool) -> None:
    """One panel for each domain and size: medians against sparsity, quartiles as ribbons; PNG and SVG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by = groups(rows, field)
    domains, sizes = [d for d in DOMAINS if any(key[0] == d for key in by)], sorted({key[1] for key in by})
    figure = Figure(figsize=(3.6 * len(sizes) + 1.8, 3.2 * len(domains)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(domains), len(sizes), squeeze=False)
    for i, domain in enumerate(domains):
        for j, p in enumerate(sizes):
            axes = panels[i, j]
            for method in METHODS:
                if (one := by.get((domain, p, method))) is None:
                    continue
                quantiles = np.array([np.quantile(v, (0.25, 0.5, 0.75)) for v in one.values()])
                low, middle, high = quantiles.T
                style = "--" if method in ("sampled", "lower", "exact-mip") else "-"
                axes.plot(list(one), middle, style, marker=".", color=COLOURS[method], label=method)
                axes.fill_between(list(one), low, high, color=COLOURS[method], alpha=0.15, linewidth=0)
            axes.set(title=f"{domain}, ({p}, {p})", xlabel="sparsity", ylabel=label if j == 0 else "")
            if log:
                axes.set_yscale("log")
            axes.grid(alpha=0.3)
    known = {}
    for axes in panels.flat:
        known |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(known.values(), known, loc="outside right upper")
    for suffix in (".png", ".svg"):
        figure.savefig(stem.with_suffix(suffix), dpi=110)


def comparison(rows: list[dict]) -> str:
    """Published values beside ours, as a table: ours / published - 1 over the rows that have both."""
    lines = ["| method | domain | p | rows | median published | median ours | least | median | most | not solved |",
             "| :-- | :-- | --: | --: | --: | --: | --: | --: | --: | --: |"]  # fmt: skip
    for key in sorted({(METHODS.index(r["method"]), r["domain"], r["p"]) for r in rows}):
        method = METHODS[key[0]]
        ours_all = [r for r in rows if (r["method"], r["domain"], r["p"]) == (method, *key[1:])]
        both = [r for r in ours_all if r.get("published") and r.get("bound") is not None]
        if not both:
            continue
        ours, theirs = (np.array([r[name] for r in both]) for name in ("bound", "published"))
        relative = ours / theirs - 1.0
        open_ = sum(r["status"] != "SOLVED" for r in both)
        lines.append(
            f"| {method} | {key[1]} | {key[2]} | {len(both)} | {np.median(theirs):.4f} | {np.median(ours):.4f} "
            f"| {relative.min():+.1e} | {np.median(relative):+.1e} | {relative.max():+.1e} | {open_} |"
        )
    return "\n".join(lines)


def write(table: Table) -> None:
    rows = table.rows()
    stem = table.path.with_suffix("")
    with open(stem.with_suffix(".csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "compile"], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, "bound", "bound", stem.with_name(f"{stem.name}_bounds"), log=False)
    draw(rows, "seconds", "seconds", stem.with_name(f"{stem.name}_seconds"), log=True)


def run(one: Callable[[], dict]) -> dict:
    try:
        return one()
    except (ValueError, MemoryError) as error:  # refused: it does not fit
        return dict(status="REFUSED", message=str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="p = 10 and 20, 3 and 2 trials, 15 s for a row")
    parser.add_argument("--sizes", type=int, nargs="+", choices=SPARSITIES, default=list(SPARSITIES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--time-limit", type=float, help="seconds for each row (default 600; 15 with --quick)")
    parser.add_argument("--json", type=Path, default=RESULTS / "paper.json", help="rows; CSV and figures go beside it")
    parser.add_argument("--table", action="store_true", help="print published against ours, and run nothing")
    arguments = parser.parse_args()
    table = Table(COLUMNS, KEY, arguments.json)
    if arguments.table:
        print(comparison(table.rows()))
        return
    sizes = [p for p in arguments.sizes if p in QUICK] if arguments.quick else arguments.sizes
    trials = {p: min(arguments.trials, 3 if p == 10 else 2) if arguments.quick else arguments.trials for p in sizes}
    limit = arguments.time_limit or (15.0 if arguments.quick else 600.0)
    tasks = [
        (method, domain, p, sparsity, trial)
        for p in sizes for domain in DOMAINS for sparsity in (QUICK if arguments.quick else SPARSITIES)[p]
        for trial in range(trials[p]) for method in arguments.methods
    ]  # fmt: skip
    print(f"{len(tasks)} rows, about {estimate(tasks, limit) / 60:.0f} minutes on 2 quiet cores", flush=True)
    reference, began = published_rows(), time.perf_counter()
    table.header()
    for task in tasks:
        row = run(lambda task=task: measure(*task, limit))
        published = reference.get((PUBLISHED.get(task[0], task[0]), *task[1:]))
        table.add(dict(zip(KEY, task, strict=True)) | row | dict(published=published, version=hr2jax.__version__))
    write(table)
    print(comparison(table.rows()))
    print(f"{len(tasks)} rows in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
