"""Train the small digit classifier that hr2jax ships, and write it with a few digits to try it on.

A network of widths 64-64-10 on scikit-learn's 8x8 digits (pixels k/16 in [0, 1]), trained with Adam on four
fifths of them. The penalty on the squared weights is what makes its Lipschitz constants small: the distance
at which a prediction is provably safe is its margin divided by a Lipschitz constant, and without the
penalty the constants outgrow the margins.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hr2jax import Network

SHIPPED = Path(__file__).resolve().parents[1] / "hr2jax" / "data" / "digits.npz"
HIDDEN, STEPS, BATCH, RATE = 64, 3000, 128, 3e-3

EPILOG = """\
examples:
  python examples/train_digits.py --out digits.npz             # the shipped network, elsewhere
  python examples/train_digits.py --out d.npz --decay 1e-4     # more accurate, harder to certify

The file holds A_1, b_1, C, d in float32, so hr2jax.load reads it, and two correctly classified
held-out digits of every label: inputs (20, 64) float32 and labels (20,). The same seed gives the
same file on the same machine and versions."""


def load_split(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training inputs (n, 64) float32 in [0, 1] and labels (n,), then the held-out fifth in the same way."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise SystemExit('the digits come with scikit-learn: pip install scikit-learn') from None
    pixels, labels = load_digits(return_X_y=True)
    inputs = (pixels / 16).astype(np.float32)  # whole numbers up to 16: exact
    held, train = np.split(np.random.default_rng(seed).permutation(len(labels)), [round(0.2 * len(labels))])
    return inputs[train], labels[train], inputs[held], labels[held]


def train(inputs: np.ndarray, labels: np.ndarray, decay: float, seed: int) -> dict[str, np.ndarray]:
    """The float32 weights and biases A_1, b_1, C, d after STEPS steps of Adam on batches of BATCH digits."""
    rng = np.random.default_rng(seed)

    def uniform(rows: int, columns: int) -> np.ndarray:
        return (rng.uniform(-1, 1, (rows, columns)) / np.sqrt(columns)).astype(np.float32)

    params = {"A_1": uniform(HIDDEN, 64), "b_1": np.zeros(HIDDEN, np.float32)}
    params |= {"C": uniform(10, HIDDEN), "d": np.zeros(10, np.float32)}
    optimizer = optax.adam(optax.cosine_decay_schedule(RATE, STEPS))

    def loss(params, x, y):
        scores = jax.nn.relu(x @ params["A_1"].T + params["b_1"]) @ params["C"].T + params["d"]
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels(scores, y).mean()
        return cross_entropy + decay * sum(jnp.sum(params[key] ** 2) for key in ("A_1", "C"))

    @jax.jit
    def step(params, state, x, y):
        updates, state = optimizer.update(jax.grad(loss)(params, x, y), state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(STEPS):
        batch = rng.choice(len(labels), BATCH, replace=False)
        params, state = step(params, state, inputs[batch], labels[batch])
    return {key: np.asarray(value) for key, value in params.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split, weights and batches (0)")
    parser.add_argument(
        "--decay", type=float, default=3e-3, help="weight of the penalty on the squared weights (0.003)"
    )
    parser.add_argument(
        "--out", type=Path, default=SHIPPED, help="the .npz file to write (the one inside the package)"
    )
    args = parser.parse_args()
    if args.seed < 0:
        parser.error("--seed must not be negative")
    if not args.out.parent.is_dir():
        parser.error(f"--out: there is no folder {args.out.parent}")

    jax.config.update("jax_platforms", "cpu")  # the same bits whether or not there is a GPU
    inputs, labels, held_inputs, held_labels = load_split(args.seed)
    params = train(inputs, labels, args.decay, args.seed)

    net = Network([params["A_1"], params["C"]], [params["b_1"], params["d"]])
    right = net(held_inputs).argmax(axis=1) == held_labels
    print(f"training accuracy  {(net(inputs).argmax(axis=1) == labels).mean():.2%} of {len(labels)} digits")
    print(f"held-out accuracy  {right.mean():.2%} of {len(held_labels)} digits")

    pairs = [np.flatnonzero(right & (held_labels == digit))[:2] for digit in range(10)]
    if min(map(len, pairs)) < 2:
        raise SystemExit("a label has fewer than two correctly classified held-out digits; nothing written")
    chosen = np.stack(pairs, axis=1).ravel()  # 0..9, then 0..9 again
    with open(args.out, "wb") as file:
        np.savez(file, **params, inputs=held_inputs[chosen], labels=held_labels[chosen])
    print(f"wrote {args.out} ({args.out.stat().st_size / 1000:.1f} kB)")


if __name__ == "__main__":
    main()
