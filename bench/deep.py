"""Networks of several hidden layers too large to enumerate: two of VNN-COMP 2021's, and 20 layers of width 50.

    python bench/deep.py [--limit 250] [--only 256x2 256x4 20x50]

For the MNIST networks the margin between the two largest outputs at the first test image; local radius 0.02 or 0.5 and
global, inf and 2; beside it interval arithmetic, norm products and, for norm 2, LipSDP's bound from the same engine.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import hr2jax
from measure import RESULTS, Table
from networks import DATA

COLUMNS = {
    "problem": "<22", "method": "<9", "bound": ">12.4f", "lower": ">10.4f", "interval": ">12.4f", "product": ">14.2f",
    "ratio": ">8.2f", "status": "<11", "size": ">5", "seconds": ">8.1f", "compile": ">8.1f", "MiB": ">6.0f",
}  # fmt: skip


def problems(only: list[str]) -> Iterator[tuple[str, hr2jax.Network, dict[str, Any], list[str]]]:
    """Name, network, what is asked, relaxations."""
    for name in ("256x2", "256x4"):
        if name not in only:
            continue
        net = hr2jax.load(DATA / "data" / "onnx" / f"mnist-net_{name}.onnx")
        with np.load(DATA / "data" / "mnist_t10k.npz") as file:
            x = file["images"][0].astype(np.float64).ravel() / 255
        first, second = np.argsort(-net(x))[:2].tolist()
        output = {"output": (first, second)}
        local = {"center": x, "radius": 0.02}
        yield f"{name} local inf", net, output | local, ["shor"]
        yield f"{name} global inf", net, output, ["shor"]
        yield f"{name} global 2", net, output | {"norm": 2}, ["shor", "lipsdp"]
    if "20x50" in only:
        rng = np.random.default_rng(0)
        widths = [50] * 21 + [1]
        weights = [rng.standard_normal((b, a)) * np.sqrt(2 / a) for a, b in itertools.pairwise(widths)]
        net = hr2jax.Network(weights, [0.1 * rng.standard_normal(b) for b in widths[1:]])
        yield "20x50 global inf", net, {}, ["shor"]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=250.0, help="seconds for each solve")
    parser.add_argument("--only", nargs="*", default=["256x2", "256x4", "20x50"])
    arguments = parser.parse_args()
    table = Table(COLUMNS, ("problem", "method"), RESULTS / "deep.json")
    table.header()
    for name, net, asked, relaxations in problems(arguments.only):
        base = {
            name: hr2jax.solve(net, relaxation=name, bounds="interval", time_limit=5.0, **asked).bound
            for name in ("interval", "product")
        }
        for relaxation in relaxations:
            result = hr2jax.solve(net, relaxation=relaxation, time_limit=arguments.limit, **asked)
            assert result.certificate.verify(net) <= result.bound * (1 + 1e-12)
            timings = result.timings
            table.add({
                "problem": name, "method": relaxation, "bound": result.bound, "lower": result.lower, **base,
                "ratio": base["interval"] / result.bound, "status": result.status.name,
                "size": result.problem["moment_matrix"], "seconds": timings["solve"] + timings["certify"],
                "compile": timings["compile"], "MiB": timings["peak_bytes"] / 2**20,
            })  # fmt: skip


if __name__ == "__main__":
    main()
