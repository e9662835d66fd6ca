"""Local constants of small deep networks beside exact ones:  python bench/local.py [--quick] [--seeds 4]

Networks are random, by torch's initialisation (outputs.py), one output, norm inf; the box is around a random center.
The exact constants are those of all linear regions (regions.py). `hr2+` is solved as it is, and by the lifting
"adjoint" without event rows, clauses and exclusions, as it was before these. Writes bench/results/local.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from outputs import random_network
from regions import exact_constant

import hr2jax
from measure import RESULTS, Table

WIDTHS = (
    (4, 5, 5, 1), (4, 6, 6, 1), (6, 7, 7, 1), (8, 8, 8, 1),
    (4, 5, 5, 5, 1), (4, 6, 6, 6, 1), (5, 7, 7, 7, 1), (6, 8, 8, 8, 1),
)  # fmt: skip
LIFTINGS = ("adjoint", "auto")
COLUMNS = {
    "network": "<12", "seed": ">4", "lifting": "<8", "bound": ">10.6f", "exact": ">10.6f", "ratio": ">8.4f",
    "seconds": ">8.2f", "status": "<12",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--radius", type=float, default=0.3)
    parser.add_argument("--quick", action="store_true", help="one network of each size")
    parser.add_argument("--json", type=Path, default=RESULTS / "local.json", help="rows are kept here")
    arguments = parser.parse_args()
    table = Table(COLUMNS, ("network", "seed", "lifting"), arguments.json)
    table.header()
    ratios: dict[str, list[float]] = {name: [] for name in LIFTINGS}
    for widths in WIDTHS:
        for seed in range(1 if arguments.quick else arguments.seeds):
            net, rng = random_network(widths, seed), np.random.default_rng(seed + 99)
            where = {"center": rng.uniform(-1, 1, widths[0]), "radius": arguments.radius}
            exact = exact_constant(net, "inf", "inf", **where)
            for lifting in LIFTINGS:
                began = time.process_time()
                cuts = [name for name in hr2jax.options.CUT_NAMES if name not in hr2jax.options.WITH_X]
                own = {} if lifting == "auto" else {"lifting": lifting, "cuts": cuts}
                result = hr2jax.solve(net, relaxation="hr2+", witness=0, **where, **own)
                ratios[lifting].append(result.bound / exact)
                table.add({
                    "network": "-".join(map(str, widths)), "seed": seed, "lifting": lifting, "bound": result.bound,
                    "exact": exact, "ratio": result.bound / exact, "seconds": time.process_time() - began,
                    "status": result.status.name,
                })  # fmt: skip
    for lifting, values in ratios.items():
        print(f"{lifting}: mean ratio {np.mean(values):.4f}, largest {np.max(values):.4f} of {len(values)}")


if __name__ == "__main__":
    main()
