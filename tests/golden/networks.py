"""The golden set's networks: tiny, of fixed seeds, each there for a reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hr2jax import Network


def networks() -> dict[str, Network]:
    """By name."""
    stable = _random((3, 6, 2), 2)
    stable.biases[0][[0, 3]] = 9.0, -9.0  # always on and always off in the box of the cases
    stable.biases[0][4] = 0.0
    stable.weights[0][4] = 0.0  # nothing that moves reaches it
    chain = _random((3, 4, 4, 2), 6)
    chain.biases[0][0], chain.biases[1][[1, 2]] = 9.0, (-30.0, 30.0)
    dead = _random((2, 3, 1), 3)
    dead.biases[0][:] = -50.0
    integers = np.random.default_rng(4)
    tiny = _random((2, 3, 1), 5)
    made = {
        "plain": _random((3, 4, 3), 30),  # shor, hr2, hr2z, hr2+ and the constant differ
        "narrow": _random((5, 3, 1), 1),
        "wide": _random((2, 6, 1), 7),
        "stable": stable,
        "sparse": _thinned(_random((4, 5, 1), 8), 0.5, 8),
        "dead": dead,
        # ties, zeros, and pre-activations that are exactly 0
        "integers": _Arrays([integers.integers(-2, 3, s) for s in ((4, 3), (1, 4))], [np.zeros(4), np.zeros(1)]),
        # scales far from 1: their exponents are in the file
        "tiny": _Arrays([tiny.weights[0] * 2.0**-300, tiny.weights[1] * 2.0**40], [np.zeros(3), tiny.biases[1]]),
        "deep": _random((3, 4, 3, 2), 26),
        "three": _random((2, 3, 3, 2, 1), 10),
        "chain": chain,
        "thin": _thinned(_random((4, 6, 6, 1), 11), 0.5, 11),
        "smooth": _random((3, 4, 4, 2), 12, ("tanh", "gelu")),
        "mixed": _random((3, 4, 4, 4, 1), 13, ("softplus", "relu", "selu")),
    }
    return {
        name: Network(arrays.weights, arrays.biases, activation=arrays.activation) for name, arrays in made.items()
    }


@dataclass
class _Arrays:
    """A network's, that can still be changed."""

    weights: list[np.ndarray]
    biases: list[np.ndarray]
    activation: str | tuple[str, ...] = "relu"


def _random(widths: tuple[int, ...], seed: int, activation: str | tuple[str, ...] = "relu") -> _Arrays:
    rng = np.random.default_rng([seed, *widths])
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    weights = [rng.standard_normal(s) / np.sqrt(s[1]) for s in shapes]
    return _Arrays(weights, [0.15 * rng.standard_normal(p) for p in widths[1:]], activation)


def _thinned(arrays: _Arrays, share: float, seed: int) -> _Arrays:
    rng = np.random.default_rng(seed)
    return _Arrays([A * (rng.random(A.shape) >= share) for A in arrays.weights], arrays.biases)


def save(nets: Mapping[str, Network], path: Path) -> None:
    """All in one file; the keys of each after its name; the activations of hidden layers where one is no ReLU."""
    arrays = {}
    for name, net in nets.items():
        arrays |= {f"{name}/A{l}": layer.inputs[l] for l, layer in enumerate(net.layers)}
        arrays |= {f"{name}/b{l}": layer.bias for l, layer in enumerate(net.layers)}
        if not net.is_chain:
            arrays[f"{name}/kinds"] = np.array([layer.activation for layer in net.layers[:-1]])
    np.savez_compressed(path, **arrays)


def load(path: Path) -> dict[str, Network]:
    """The networks of a file that `save` has written: NumPy's generator is not asked again."""
    with np.load(path, allow_pickle=False) as file:
        layers: dict[str, int] = {}
        for key in file.files:
            name = key.partition("/")[0]
            layers[name] = layers.get(name, 0) + (key.partition("/")[2][0] == "A")
        return {
            name: Network(
                [file[f"{name}/A{l}"] for l in range(n)], [file[f"{name}/b{l}"] for l in range(n)],
                activation=file[f"{name}/kinds"].tolist() if f"{name}/kinds" in file.files else "relu",
            )
            for name, n in layers.items()
        }
