"""A (784,500) classifier of MNIST, trained with hr2jax's Lipschitz penalty and certified (norm inf, pixels in 0..1).

Trained on 8000 of the MNIST test images, certified on the other 2000, beside the slides' figures, whose network was
trained on the 60000 training images with an SDP penalty (Raghunathan et al. 2018).

    python examples/mnist.py --out mnist.npz --data-out held.npz
    python examples/mnist.py --penalty 0 --out plain.npz           # plain training: accurate, nothing certified
    hr2jax certify mnist.npz held.npz --radii 0.1 --clip 0,1 --via lipschitz-local --workers 2

The images are read from data/mnist_t10k.npz (images, labels) in the folder HR2JAX_DATA, ../shared unless set.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import jax
import numpy as np
from training import beside, train

import hr2jax

RADII = [0.01, 0.02, 0.04, 0.06, 0.08, 0.1]
SLIDES = {"HR-2 (slides)": [98.80, 97.24, 92.84, 87.10, 78.34, 67.63]}
FOLDER = Path(os.environ.get("HR2JAX_DATA") or Path(__file__).resolve().parents[2] / "shared")


def data(seed: int = 0) -> tuple[np.ndarray, ...]:
    """8000 images (n, 784) float32 in 0..1 and labels to train on, then the other 2000."""
    file = FOLDER / "data" / "mnist_t10k.npz"
    if not file.exists():
        raise SystemExit(f"{file} is missing: set HR2JAX_DATA to the folder that holds data/mnist_t10k.npz")
    with np.load(file) as arrays:
        images, labels = arrays["images"], arrays["labels"].astype(np.int64)
    images = (images / 255.0).astype(np.float32)
    order = np.random.default_rng(seed).permutation(len(labels))
    rows, held = order[:8000], order[8000:]
    return images[rows], labels[rows], images[held], labels[held]


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A batch moved by at most one pixel in each direction: 8000 images are few."""
    x, y = rng.integers(-1, 2, 2).tolist()
    return np.roll(images.reshape(-1, 28, 28), (x, y), (1, 2)).reshape(len(images), -1)


def network(penalty: float = 0.1, seed: int = 0, steps: int = 4000) -> hr2jax.Network:
    """The trained classifier; about 150 s on two cores."""
    images, labels, _, _ = data(seed)
    return train(
        images, labels, hidden=500, steps=steps, rate=8e-3, radius=penalty, clean=0.25, seed=seed, change=shifted
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--penalty", type=float, default=0.1, help="radius of the training's worst case (0.1)")
    parser.add_argument("--relaxation", default="shor", help="of the certificates (shor; hr2+ is tighter, takes long)")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--quick", action="store_true", help="a quarter of the training steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the network here (.npz)")
    parser.add_argument("--data-out", type=Path, help="write the held-out images here, for hr2jax certify")
    arguments = parser.parse_args()
    jax.config.update("jax_platforms", "cpu")
    net = network(arguments.penalty, arguments.seed, arguments.steps // 4 if arguments.quick else arguments.steps)
    if arguments.out:
        net.save(arguments.out)
    _, _, images, labels = data(arguments.seed)
    if arguments.data_out:
        np.savez(arguments.data_out, inputs=images, labels=labels)
    report = hr2jax.certify(
        net, images, labels, RADII, clip=(0, 1), relaxation=arguments.relaxation, progress=True
    )
    print(report, end="\n\n")
    print(beside(RADII, {f"{arguments.relaxation} (this network)": (100 * report.ratio).tolist()} | SLIDES))


if __name__ == "__main__":
    main()
