"""Training a classifier of one hidden layer so that it can be certified; what spheres.py and mnist.py share."""

from __future__ import annotations

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from hr2jax import Network, lipschitz_bounds


def train(
    inputs: np.ndarray, labels: np.ndarray, *, hidden: int, steps: int, rate: float, radius: float, clean: float,
    batch: int = 128, seed: int = 0, change: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
) -> Network:  # fmt: skip
    """Adam on cross entropy at the worst point that Lipschitz constants allow within `radius`.

    Within `radius` of an input of label k a rival's lead F_j - F_k grows by at most L_kj radius, L_kj the
    constant of F_k - F_j. The loss is the cross entropy of F_j + L_kj radius (weight 1 - clean) and of F itself
    (weight clean); `radius` grows to its value over the first 40 % of the steps. radius 0: plain training.
    """
    rng = np.random.default_rng(seed)
    outputs = int(labels.max()) + 1

    def uniform(rows: int, columns: int) -> np.ndarray:
        return (rng.uniform(-1, 1, (rows, columns)) / np.sqrt(columns)).astype(np.float32)

    params = {"A_1": uniform(hidden, inputs.shape[1]), "b_1": np.zeros(hidden, np.float32)}
    params |= {"C": uniform(outputs, hidden), "d": np.zeros(outputs, np.float32)}
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps))

    def loss(params, constants, x, y, reach):
        scores = jax.nn.relu(x @ params["A_1"].T + params["b_1"]) @ params["C"].T + params["d"]
        entropy = optax.softmax_cross_entropy_with_integer_labels
        plain = entropy(scores, y).mean()
        if radius == 0:
            return plain, constants
        bounds, constants = lipschitz_bounds(params, constants)  # begins where the last step ended
        return clean * plain + (1 - clean) * entropy(scores + reach * bounds[y], y).mean(), constants

    @jax.jit
    def step(params, state, constants, x, y, reach):
        (value, constants), slope = jax.value_and_grad(loss, has_aux=True)(params, constants, x, y, reach)
        updates, state = optimizer.update(slope, state)
        return optax.apply_updates(params, updates), state, constants, value

    state, constants = optimizer.init(params), lipschitz_bounds(params)[1]
    began = time.perf_counter()
    for i in range(steps):
        rows = rng.choice(len(labels), batch, replace=False)
        x = inputs[rows] if change is None else change(inputs[rows], rng)
        reach = jnp.float32(radius * min(1.0, i / (0.4 * steps)))
        params, state, constants, value = step(params, state, constants, x, labels[rows], reach)
        if i % 500 == 499:
            print(f"step {i + 1} of {steps}, loss {float(value):.3f}, {time.perf_counter() - began:.0f} s", flush=True)
    return Network([params["A_1"], params["C"]], [params["b_1"], params["d"]])


def beside(radii: list[float], rows: dict[str, list[float]]) -> str:
    """Ratios in percent, a column for each radius."""
    width = max(map(len, rows))
    lines = [f"{'radius':<{width}}  " + "  ".join(f"{r:>6g}" for r in radii)]
    lines += [f"{name:<{width}}  " + "  ".join(f"{v:>6.2f}" for v in values) for name, values in rows.items()]
    return "\n".join(lines)
