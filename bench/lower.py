"""Lower bounds of SDP-NN: what is attained in how many seconds.

python bench/lower.py [--seconds 60] [--seed 0] [--only NAME] [--json OUT.json]

Needs sdp_nn.npz in $HR2JAX_DATA/data (default: ../shared beside the repository).
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from hr2jax.lower import attained, search
from hr2jax.network import Network
from hr2jax.problem import checked_problem

RADII = {"global": None, "radius 10": 10.0, "radius 1": 1.0, "radius 0.1": 0.1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(RADII))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = Path(os.environ.get("HR2JAX_DATA") or Path(__file__).resolve().parents[2] / "shared")
    data = np.load(folder / "data" / "sdp_nn.npz")
    net = Network([data["A_1"], data["c"][None]], [data["b_1"], np.zeros(1)])
    rows = []
    print(f"{'problem':<12} {'seconds':>8} {'lower':>10}")
    for name, radius in RADII.items():
        if options.only not in (None, name):
            continue
        local = {} if radius is None else {"center": data["x00"], "radius": radius}
        problem = checked_problem(net, **local)
        start = time.perf_counter()
        lower, witness = search(net, problem, seconds=options.seconds, seed=options.seed)
        seconds = time.perf_counter() - start
        assert attained(net, problem, witness) == lower
        rows.append({"problem": name, "seconds": round(seconds, 2), "lower": lower, "seed": options.seed})
        print(f"{name:<12} {seconds:8.1f} {lower:10.6f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
