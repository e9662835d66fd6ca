"""Our certified bounds beside the published rows (Chen et al. 2020, random one-hidden-layer networks).

    python bench/published.py [--quick] [--json bench/results/published.json]

Every `shor` row with p <= 40 (global rows also with their box of radius 10) and every `hr2z` row with
p <= 20. The reference of a row is `recomputed` (an independent interior-point solve) where there is one,
else `published`. A solver's value is not a bound; ours is, so it may lie above by what it takes to prove it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

import hr2jax
from networks import DATA, published_network

LIMIT = {"shor": 40, "hr2z": 20}
TOLERANCE = {"shor": 2e-5, "hr2z": 2e-4}  # of the solves; the rows are compared at 1e-4 and 1e-3


def solve_row(row: dict, as_box: bool) -> hr2jax.Result:
    net, center = published_network(row["p"], row["sparsity"], row["trial"])
    radius = {"local": 0.1, "global": 10.0 if as_box else None}[row["range"]]
    domain = {} if radius is None else dict(center=center, radius=radius)
    return hr2jax.solve(net, relaxation=row["method"], tol=TOLERANCE[row["method"]], **domain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="trial 0 only")
    parser.add_argument("--json", type=Path, help="write every row here")
    arguments = parser.parse_args()
    rows = json.loads((DATA / "reference" / "published_one_hidden.json").read_text())["rows"]
    wanted = [
        (row, as_box)
        for row in rows
        if row["p"] <= LIMIT.get(row["method"], 0) and not (arguments.quick and row["trial"])
        for as_box in ((False, True) if (row["method"], row["range"]) == ("shor", "global") else (True,))
    ]
    out, began = [], time.perf_counter()
    for row, as_box in wanted:
        result = solve_row(row, as_box)
        reference = row.get("recomputed", row["published"])
        domain = "local 0.1" if row["range"] == "local" else "box 10" if as_box else "global"
        out.append(
            dict(method=row["method"], domain=domain, p=row["p"], sparsity=row["sparsity"], trial=row["trial"],
                 published=row["published"], reference=reference, bound=result.bound, lower=result.lower,
                 relative=result.bound / reference - 1, seconds=result.timings["solve"], status=result.status.name)
        )  # fmt: skip
    print(f"{'method':<7} {'domain':<10} {'p':>3} {'rows':>5} {'least above':>12} {'median':>9} {'most above':>11} "
          f"{'unsolved':>9}")  # fmt: skip
    for key in sorted({(r["method"], r["domain"], r["p"]) for r in out}):
        group = [r for r in out if (r["method"], r["domain"], r["p"]) == key]
        relative = np.array([r["relative"] for r in group])
        unsolved = sum(r["status"] != "SOLVED" for r in group)
        print(f"{key[0]:<7} {key[1]:<10} {key[2]:>3} {len(group):>5} {relative.min():>12.2e} "
              f"{np.median(relative):>9.2e} {relative.max():>11.2e} {unsolved:>9}")  # fmt: skip
    print(f"{len(out)} solves in {time.perf_counter() - began:.0f} s")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(out, indent=0) + "\n")


if __name__ == "__main__":
    main()
