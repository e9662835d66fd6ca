"""The picture of README and docs: a box, the slopes in it, the certified bound, the witness.

`python bench/pictures.py` writes docs/pictures/box.png.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import hr2jax

OUT = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "box.png"
CENTER, RADIUS = np.array([0.25, -0.1]), 0.75


def network() -> hr2jax.Network:
    """2-12-8-1, random weights."""
    rng, widths = np.random.default_rng(7), (2, 12, 8, 1)
    shapes = [(n, m) for m, n in itertools.pairwise(widths)]
    return hr2jax.Network(
        [rng.standard_normal(shape) / np.sqrt(shape[1]) for shape in shapes],
        [0.5 * rng.standard_normal(shape[0]) for shape in shapes],
    )


def main() -> None:
    """Draw the picture."""
    net = network()
    result = hr2jax.solve(net, center=CENTER, radius=RADIUS, relaxation="hr2+")
    side = np.linspace(-1.0, 1.0, 401)
    grid = CENTER[:, None, None] + 1.35 * RADIUS * np.stack(np.meshgrid(side, side))
    slopes = np.array([np.abs(net.gradient(x, 0)).sum() for x in grid.reshape(2, -1).T]).reshape(grid.shape[1:])

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), width_ratios=(1.35, 1), layout="constrained")
    mesh = left.pcolormesh(grid[0], grid[1], slopes, cmap="viridis", shading="auto", rasterized=True)
    figure.colorbar(mesh, ax=left, label="slope: 1-norm of the gradient")
    corner = CENTER - RADIUS
    left.add_patch(plt.Rectangle(corner, 2 * RADIUS, 2 * RADIUS, fill=False, edgecolor="white", linewidth=2))
    left.plot(*result.witness, "o", color="red", markeredgecolor="white", markersize=9)
    left.annotate("witness", result.witness, (8, 8), textcoords="offset points", color="white", weight="bold")
    left.set(xlabel="x_1", ylabel="x_2", title="a network of two inputs, and a box", aspect="equal")

    inside = (np.abs(grid - CENTER[:, None, None]) <= RADIUS).all(axis=0)
    right.hist(slopes[inside], bins=40, color="C0", weights=np.full(inside.sum(), 100 / inside.sum()))
    right.axvline(result.lower, color="red", label=f"attained at the witness: {result.lower:.4f}")
    right.axvline(result.bound, color="black", linestyle="--", label=f"certified bound: {result.bound:.4f}")
    right.set(xlabel="slope", ylabel="% of the box", title="no slope in the box is above it")
    right.legend(loc="upper center", fontsize=8)
    OUT.parent.mkdir(exist_ok=True)
    figure.savefig(OUT, dpi=100)
    print(result)


if __name__ == "__main__":
    main()
