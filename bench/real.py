"""SDP-NN, the (784, 500) MNIST network of Raghunathan et al. 2018: certified bounds and what they cost.

    python bench/real.py [--json bench/results/real.json]

Prints one row per problem: the certified bound, the attained lower bound, seconds (compilation apart) and
peak memory of the process so far.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import hr2jax
from hr2jax.presolve import presolve
from hr2jax.problem import lipschitz_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.block import block_form
from networks import sdp_nn

PROBLEMS = {
    "global shor": dict(relaxation="shor", tol=1e-4),
    "local 0.1 shor": dict(relaxation="shor", tol=1e-3, radius=0.1),
    "local 0.1 hr2": dict(relaxation="hr2", tol=1e-3, radius=0.1),
    "local 0.1 hr2z": dict(relaxation="hr2z", tol=1e-3, radius=0.1, time_limit=600.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--only", choices=PROBLEMS, action="append", help="only these problems")
    arguments = parser.parse_args()
    net, center = sdp_nn()
    problem = lipschitz_problem(net, center=center, radius=0.1)
    for relaxation in ("shor", "hr2", "hr2z"):
        began = time.perf_counter()
        block_form(relaxation, lift(net, problem, presolve(net, problem)))
        print(f"block form of local {relaxation}, built in {time.perf_counter() - began:.2f} s")
    rows = []
    print(f"{'problem':<16} {'bound':>10} {'lower':>9} {'gap':>7} {'status':<11} "
          f"{'compile':>8} {'solve':>7} {'certify':>8} {'lower s':>8} {'peak MiB':>9}")  # fmt: skip
    for name in arguments.only or PROBLEMS:
        options = dict(PROBLEMS[name])
        if "radius" in options:
            options["center"] = center
        result = hr2jax.solve(net, **options)
        assert result.certificate.verify(net) <= result.bound * (1 + 1e-12)
        t = result.timings
        print(f"{name:<16} {result.bound:>10.5f} {result.lower:>9.4f} {result.gap:>7.2%} {result.status.name:<11} "
              f"{t['compile']:>8.2f} {t['solve']:>7.2f} {t['certify']:>8.2f} {t['lower']:>8.2f} "
              f"{t['peak_bytes'] / 2**20:>9.0f}", flush=True)  # fmt: skip
        rows.append(
            dict(problem=name, bound=result.bound, lower=result.lower, gap=result.gap, status=result.status.name,
                 relaxation_value=result.relaxation_value, iterations=result.iterations, timings=dict(t))
        )  # fmt: skip
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
