"""Whether a stronger relaxation, or way to certify, is ever worse than a weaker one within the same time limit.

    python bench/climb.py                          limits of 2, 5 and 20 s, median of three; half an hour
    python bench/climb.py --limits 2 --runs 1      quickly
    python bench/climb.py --only "(80, 80)" cnn3   problems whose name has one of these

Each solve has a process of its own with no compiled programs kept (HR2JAX_CACHE=off), as a first call has. `worse` is
by how much the median exceeds the least median of those that are weaker: it should be at most `tol`, 1e-3. Of
`certify`, bound is the mean certified radius, negative. Rows are kept beside the other results.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

import numpy as np

import hr2jax
from measure import RESULTS, Table, in_process
from networks import deep_published_network, published_network, random_network

COLUMNS = {
    "problem": "<22", "limit": ">6.0f", "what": "<18", "bound": ">11.5f", "worse": ">9.5f", "ok": "<4", "wall": ">7.1f",
}  # fmt: skip
TOL = 1e-3
CLIMB = ("lipsdp", "shor", "hr2", "hr2+")
VIA = ("lipschitz-global", "lipschitz-local")


def problem(name: str) -> tuple[hr2jax.Network, dict]:
    """The network of that name, and what is asked of it."""
    if name.startswith("cnn3"):
        import peers

        return peers.network("cnn3_seed0"), {"output": 7, "norm": 2}
    if name.startswith("10-10-10"):
        net, center = deep_published_network((10, 10, 10, 1), 0)
    else:
        p = int(name[1 : name.index(",")])
        net, center = published_network(p, p, 0)
    return net, {"center": center, "radius": 0.1} if "local" in name else {"norm": 2}


PROBLEMS = {
    "(80, 80) local": ("shor", "hr2", "hr2z", "hr2+"), "(160, 160) local": ("shor", "hr2", "hr2z", "hr2+"),
    "(160, 160) global 2": CLIMB, "10-10-10 local": ("shor", "hr2", "hr2+"), "10-10-10 global 2": CLIMB,
    "cnn3 global 2": CLIMB, "maximum (80, 80) local": ("interval", "shor", "hr2", "hr2+"), "certify (20, 40)": VIA,
}  # fmt: skip


def row(name: str, what: str, limit: float) -> dict:
    """One solve, in this process."""
    began = time.perf_counter()
    if name.startswith("certify"):
        net = random_network(20, 40, 0, outputs=5)
        x = np.random.default_rng(0).uniform(-1, 1, (10, 20))
        report = hr2jax.certify(net, x, radii=[0.05], via=what, time_limit=limit)
        return dict(bound=-float(np.mean(report.radius)), wall=time.perf_counter() - began)
    net, asked = problem(name.removeprefix("maximum "))
    solve = hr2jax.maximum if name.startswith("maximum") else hr2jax.solve
    result = solve(net, relaxation=what, time_limit=limit, tol=TOL, **asked)
    return dict(bound=result.bound, wall=time.perf_counter() - began, status=result.status.name)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""], help="problems whose name has one of these")
    parser.add_argument("--limits", nargs="*", type=float, default=[2.0, 5.0, 20.0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row is not None:
        print(json.dumps(row(*json.loads(arguments.row))))
        return
    os.environ["HR2JAX_CACHE"] = "off"
    table = Table(COLUMNS, ("problem", "limit", "what"), RESULTS / "climb.json")
    table.header()
    for name, climbs in PROBLEMS.items():
        if not any(part in name for part in arguments.only):
            continue
        for limit in arguments.limits:
            best = float("inf")
            for what in climbs:
                found = [
                    in_process(__file__, [name, what, limit], patience=4 * limit + 120) for _ in range(arguments.runs)
                ]
                bound = statistics.median(each.get("bound", float("inf")) for each in found)
                worse = (bound - best) / abs(bound) if np.isfinite([bound, best]).all() and bound else 0.0
                wall = max(each.get("wall", float("nan")) for each in found)
                table.add(dict(
                    problem=name, limit=limit, what=what, bound=bound, worse=max(worse, 0.0),
                    ok="yes" if np.isfinite(bound) and worse <= TOL else "no", wall=wall,
                ))  # fmt: skip
                best = min(best, bound)


if __name__ == "__main__":
    main()
