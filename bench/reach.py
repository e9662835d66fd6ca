"""Global bounds beside attained constants: hr2+ as it is, mostly by cases:  python bench/reach.py

Networks by torch's initialisation, eight seeds from FIRST on, that chose nothing here; `attained` is the constant of
up to FEW hidden neurons, whose linear regions are enumerated (regions.py), and of more the largest slope that a search
finds. `--only 3-12-1` chooses, `--seconds` is the limit, `--networks` how many of each, `--liftings` solves by
relaxations alone too, without the reach lifting and by it alone. Seconds are of the processor.
Writes bench/results/reach.json and prints the means of the ratios.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from outputs import random_network
from regions import exact_constant
from scipy.io import loadmat

import hr2jax
from measure import RESULTS, Table
from networks import DATA

COLUMNS = {
    "network": "<18", "seed": ">4", "norm": "<4", "attained": ">10.6f", "auto": ">9.5f", "auto s": ">7.2f",
    "by": "<8", "hr2+": ">9.5f", "s": ">7.2f", "reach": ">9.5f", "reach s": ">7.2f", "engine": "<8",
}  # fmt: skip
FIRST, NETWORKS = 100, 8
# Hidden neurons whose regions are enumerated: some tenths of a second.
FEW = 12
# name -> (widths, norm, biases), and what the issue asks of the mean
CASES: dict[str, tuple[tuple[int, ...], Any, bool, float]] = {
    "3-12-1 inf": ((3, 12, 1), "inf", True, 1.005),
    "2-12-1 inf": ((2, 12, 1), "inf", True, 1.04),
    "4-20-1 inf": ((4, 20, 1), "inf", True, 1.05),
    "2-6-6-1 inf": ((2, 6, 6, 1), "inf", True, 1.19),
    "4-8-1 2": ((4, 8, 1), 2, True, 1.002),
    "3-5-5-1 2": ((3, 5, 5, 1), 2, True, 1.09),
    "2-6-6-1 2": ((2, 6, 6, 1), 2, True, 1.19),
    "2-8-8-8-1 2": ((2, 8, 8, 8, 1), 2, True, 1.55),
    "3-8-1 2 plain": ((3, 8, 1), 2, False, 1.005),
    "3-8-1 inf plain": ((3, 8, 1), "inf", False, 1.005),
}


def network(widths: tuple[int, ...], seed: int, bias: bool) -> hr2jax.Network:
    """The recipe's, or without its hidden biases."""
    net = random_network(widths, seed)
    return net if bias else hr2jax.Network(net.weights, [0 * b for b in net.biases])


def attained(net: hr2jax.Network, norm: Any, bound: hr2jax.Result) -> float:
    """The constant where it is enumerated, else the largest slope of the search's and of points at all scales."""
    if sum(net.widths[1:-1]) <= FEW:
        return exact_constant(net, norm, "inf")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400_000, net.widths[0])) * 10.0 ** rng.uniform(-2, 2, (400_000, 1))
    J = net.gradient(x)
    sizes = np.abs(J).sum(axis=1) if norm == "inf" else np.linalg.norm(J, axis=1)
    return max(bound.lower, float(sizes.max()))


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="part of the names of the cases to run")
    parser.add_argument("--seconds", type=float, help="time limit of each solve")
    parser.add_argument("--networks", type=int, default=NETWORKS, help="how many of each case")
    parser.add_argument("--liftings", action="store_true", help="relaxations alone, too")
    parser.add_argument("--peers", action="store_true", help="the published abalone and wine networks instead")
    given = parser.parse_args()
    table = Table(COLUMNS, ("network", "seed", "norm"), RESULTS / "reach.json")
    if given.peers:
        peers(table, given)
        return
    for name, (widths, norm, bias, wanted) in CASES.items():
        if given.only and given.only not in name:
            continue
        ratios = []
        for seed in range(FIRST, FIRST + given.networks):
            called = name.split()[0] + "*" * (not bias)  # * without biases
            ratios.append(row(table, called, network(widths, seed, bias), norm, seed, given))
        mean, most = np.mean(ratios), np.max(ratios)
        print(f"  {name}: mean hr2+ {mean:.4f}, at most {most:.4f} (wanted {wanted})", flush=True)


def peers(table: Table, given: argparse.Namespace) -> None:
    """ExLipBaB's networks, norm 2: exact for abalone 11.1216 and wine 11-12-12-1 1.74337."""
    folder = DATA / "data" / "peers" / "exlipbab"
    for name in ("abalone_net_9x16x16x1", "wine_net_11x12x12x1", "wine_net_11x24x24x1"):
        arrays = []
        for what in ("weights", "biases"):
            found = loadmat(folder / f"{name}_ReLU_{what}.mat")
            arrays.append([values for key, values in found.items() if not key.startswith("__")])
        weights = [np.atleast_2d(A) for A in (arrays[0][0].ravel() if len(arrays[0]) == 1 else arrays[0])]
        biases = [np.ravel(b) for b in (arrays[1][0].ravel() if len(arrays[1]) == 1 else arrays[1])]
        called = name.replace("_net_", " ").replace("x", "-")
        row(table, called, hr2jax.Network(weights, biases), 2, 0, given)


def row(table: Table, name: str, net: hr2jax.Network, norm: Any, seed: int, given: argparse.Namespace) -> float:
    """One network's row; the ratio of hr2+. What is not solved again stays as it was."""
    found = {}
    liftings = ("auto", "forward" if net.depth == 1 else "adjoint", "reach") if given.liftings else ("auto",)
    for called, seconds, lifting in zip(("auto", "hr2+", "reach"), ("auto s", "s", "reach s"), liftings, strict=False):
        began = time.process_time()
        effort = 0 if lifting == "reach" else 3
        solved = hr2jax.solve(
            net, norm=norm, relaxation="hr2+", lifting=lifting, witness=effort, time_limit=given.seconds
        )  # fmt: skip
        found |= {called: solved, seconds: time.process_time() - began}
        found |= {"by" if lifting == "auto" else "engine": solved.problem["engine"]}
    least = attained(net, norm, found["auto"])
    key = {"network": name, "seed": seed, "norm": norm}
    before = [old for old in table.rows() if all(old[k] == key[k] for k in key)]
    solved = {k: v.bound / least if isinstance(v, hr2jax.Result) else v for k, v in found.items()}
    table.add((before[0] if before else {}) | key | {"attained": least} | solved)
    return solved["auto"]


if __name__ == "__main__":
    main()
