"""Two concentric spheres in 80 dimensions, radius 1 and 2: train an (80,80) classifier and certify it.

20000 points, a fifth of them held out. Prints the share of held-out points that is certified at 0.01 .. 0.07 (norm
inf) beside the slides' (Chen et al.), whose network is another one: what compares is how the rows differ.

    python examples/spheres.py --out spheres.npz               # trained with a Lipschitz penalty
    python examples/spheres.py --penalty 0 --out spheres.npz   # plain training
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import numpy as np
from training import beside, train

import hr2jax

RADII = [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]
SLIDES = {
    "HR-2 (slides)": [87.51, 75.02, 62.46, 49.89, 37.22, 24.36, 8.15],
    "LipOpt-3 (slides)": [69.03, 37.84, 4.78, 0.15, 0.0, 0.0, 0.0],
}


def data(seed: int = 0, count: int = 20000, dimension: int = 80) -> tuple[np.ndarray, ...]:
    """Training points (16000, 80) float32 and labels, then the held-out ones; label 1 is the outer sphere."""
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((count, dimension))
    labels = rng.integers(0, 2, count)
    points *= ((1 + labels) / np.linalg.norm(points, axis=1))[:, None]
    points, cut = points.astype(np.float32), count * 4 // 5
    return points[:cut], labels[:cut], points[cut:], labels[cut:]


def network(penalty: float = 0.03, seed: int = 0, steps: int = 2000) -> hr2jax.Network:
    """The trained classifier."""
    inputs, labels, _, _ = data(seed)
    return train(inputs, labels, hidden=80, steps=steps, rate=3e-3, radius=penalty, clean=0.0, seed=seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--penalty", type=float, default=0.03, help="radius of the training's worst case (0.03)")
    parser.add_argument("--relaxation", default="hr2", help="of the certificates (hr2)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the training steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the network here (.npz)")
    arguments = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    net = network(arguments.penalty, arguments.seed, 500 if arguments.quick else 2000)
    if arguments.out:
        net.save(arguments.out)
    _, _, points, labels = data(arguments.seed)
    report = hr2jax.certify(net, points, labels, RADII, relaxation=arguments.relaxation, progress=True)
    print(report, end="\n\n")
    print(beside(RADII, {f"{arguments.relaxation} (this network)": (100 * report.ratio).tolist()} | SLIDES))


if __name__ == "__main__":
    main()
