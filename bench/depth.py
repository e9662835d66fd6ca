"""Several hidden layers against the exact constant (activation patterns enumerated), both norms, global and local.

    python bench/depth.py                 300 random networks, 1-4 hidden layers, widths 2-8; minutes
    python bench/depth.py --liftings      forward, adjoint and both beside each other, widths 5-8
    python bench/depth.py --published     two layers, sizes (p, p, 10, 1) of Chen et al. 2020, redone

Weights are standard normal / sqrt(fan in), biases 0.3 times standard normal; local: eps 0.3 around a standard normal
center, LP pre-activation bounds. For every problem lower <= exact <= bound is checked; the bound is verified again.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import hr2jax
from hr2jax.lower import search
from hr2jax.problem import lipschitz_problem
from measure import RESULTS, Table
from networks import published_deep

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.brute import TooManyRegionsError, exact_constant

EPS, SLACK = 0.3, 1 + 1e-7  # the enumeration is in floating point


def random_network(rng: np.random.Generator, widths: list[int]) -> hr2jax.Network:
    """Widths (p_0, ..., p_L, 1)."""
    shapes = list(itertools.pairwise(widths))
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in shapes]
    return hr2jax.Network(weights, [0.3 * rng.standard_normal(b) for _, b in shapes])


def bounds_of(net: hr2jax.Network, domain: dict[str, Any], runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Exact constant, lower bound and the bound of every run; one search for witnesses serves them all."""
    problem = lipschitz_problem(net, **domain)
    found = search(net, problem, seconds=1.0)

    def known(session: Any, seconds: float) -> None:
        session.lower, session.witness = found

    row: dict[str, Any] = {"lower": found[0]}
    with mock.patch("hr2jax.api._search", known):
        for name, options in runs.items():
            began = time.perf_counter()
            result = hr2jax.solve(net, **domain, **options)
            row[name] = result.bound
            row[f"{name} status"], row[f"{name} seconds"] = result.status.name, time.perf_counter() - began
            assert result.certificate.verify(net) >= found[0]
    return row


def brute_force(networks: int, widths: range, depths: list[int], runs: dict[str, dict], path: Path) -> None:
    """Means and maxima of bound / exact per depth, norm and domain."""
    columns = {"class": "<34", "networks": ">8", "widths": ">6"}
    for name in runs:
        columns |= {f"{name} mean": ">13.4f", f"{name} max": ">12.4f"}
    table = Table(columns | {"seconds": ">8.0f"}, ("class", "widths"), path)
    table.header()
    every = list(itertools.product(depths, ("inf", 2), (False, True)))
    total, began = 0, time.perf_counter()
    for depth, norm, local in every:
        ratios: dict[str, list[float]] = {name: [] for name in runs}
        start = time.perf_counter()
        count = -(-networks // len(every))
        done, seed = 0, 0
        while done < count:
            rng = np.random.default_rng([depth, seed])
            seed += 1
            net = random_network(rng, [int(rng.choice(widths)) for _ in range(depth + 1)] + [1])
            domain: dict[str, Any] = {"norm": norm}
            if local:
                domain |= {"center": rng.standard_normal(net.widths[0]), "radius": EPS}
            try:
                exact = exact_constant(net, lipschitz_problem(net, **domain))
            except TooManyRegionsError:
                continue
            if exact < 1e-9:
                continue
            row = bounds_of(net, domain, runs)
            assert row["lower"] <= exact * SLACK, (net, row, exact)
            for name in runs:
                assert exact <= row[name] * SLACK, (net, name, row, exact)
                ratios[name].append(row[name] / exact)
            done += 1
            total += 1
        cell = {"class": f"{depth} hidden, norm {norm}, {'local' if local else 'global'}", "networks": done,
                "widths": f"{widths[0]}-{widths[-1]}", "seconds": time.perf_counter() - start}  # fmt: skip
        for name, values in ratios.items():
            cell |= {f"{name} mean": float(np.mean(values)), f"{name} max": float(np.max(values))}
        table.add(cell)
    print(f"{total} networks, lower <= exact <= bound on every one; {time.perf_counter() - began:.0f} s")


def published(sizes: list[int], limit: float) -> None:
    """(p, p, 10, 1), sparsity p: what GeoLIP's Shor (our shor, global), LipSDP, intervals and products give."""
    names = ("hr2+", "hr2", "shor", "interval", "product")
    columns = {"p": ">3", "norm": ">4", "exact": ">9.4f", "lower": ">9.4f"} | dict.fromkeys(names, ">9.4f")
    table = Table(columns | {"lipsdp": ">9.4f", "eclipse": ">9.4f", "seconds": ">8.1f"}, ("p", "norm"),
                  RESULTS / "depth_published.json")  # fmt: skip
    table.header()
    for p, norm in itertools.product(sizes, ("inf", 2)):
        net, began = published_deep(p, 0), time.perf_counter()
        runs = {name: {"relaxation": name, "time_limit": limit} for name in (*names, "lipsdp")}
        row = bounds_of(net, {"norm": norm}, runs)
        row["exact"] = None
        if p <= 8:
            with contextlib.suppress(TooManyRegionsError):
                row["exact"] = exact_constant(net, lipschitz_problem(net, norm=norm))
        row["eclipse"] = _eclipse(net) if norm == 2 else None
        table.add({"p": p, "norm": str(norm), "seconds": time.perf_counter() - began} | row)


def _eclipse(net: hr2jax.Network) -> float | None:
    """ECLipsE-Fast of the peer package eclipse-nn, where it is installed."""
    try:
        import torch
        from eclipse_nn.LipConstEstimator import LipConstEstimator
    except ImportError:
        return None
    layers: list[Any] = []
    for A, b in zip(net.weights, net.biases, strict=True):
        layer = torch.nn.Linear(A.shape[1], A.shape[0], dtype=torch.float64)
        layer.weight.data, layer.bias.data = torch.tensor(A), torch.tensor(b)
        layers += [layer, torch.nn.ReLU()]
    return float(LipConstEstimator(torch.nn.Sequential(*layers[:-1])).estimate(method="ECLipsE_Fast"))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=304)
    parser.add_argument("--widths", default="2-8")
    parser.add_argument("--liftings", action="store_true")
    parser.add_argument("--published", action="store_true")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds a relaxation may take, with --published")
    arguments = parser.parse_args()
    low, high = map(int, arguments.widths.split("-"))
    widths = range(low, high + 1)
    if arguments.published:
        published([5, 10, 20, 30, 40, 50], arguments.limit)
    elif arguments.liftings:
        runs = {f"{relaxation} {lifting}": {"relaxation": relaxation, "lifting": lifting, "bounds": "lp"}
                for relaxation in ("shor", "hr2+") for lifting in ("forward", "adjoint", "both")}  # fmt: skip
        brute_force(arguments.networks, widths, [2, 3], runs, RESULTS / "depth_liftings.json")
    else:
        runs = {name: {"relaxation": name, "bounds": "lp"} for name in ("hr2", "hr2+")}
        brute_force(arguments.networks, widths, [1, 2, 3, 4], runs, RESULTS / "depth.json")


if __name__ == "__main__":
    main()
