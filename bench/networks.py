"""The networks the benchmarks and their tests run on: published random ones, fresh random ones, SDP-NN."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np

from hr2jax import Network

# Nothing of the published data is copied into the project: it lies beside the checkout, or where this says.
DATA = Path(os.environ.get("HR2JAX_DATA") or Path(__file__).resolve().parents[2] / "shared")


def published_network(p: int, sparsity: int, trial: int) -> tuple[Network, np.ndarray]:
    """A random one-hidden-layer network of Chen et al. (NeurIPS 2020), bit for bit, and its domain's centre.

    Widths (p, p, 1), float64 of float32 values. The hidden weight matrix keeps its entries with
    |row - column| <= (sparsity - 1)/2. The centre has shape (p,); the published global runs use the box of
    radius 10 around it, the local ones 0.1.
    """
    words = np.random.RandomState(trial)  # the Mersenne Twister of PyTorch, which made the published weights
    A, b = _torch_linear(words, p, p)
    # The band is cut from a dense draw: the words of the entries it drops are spent all the same.
    row, column = np.indices(A.shape)
    A = np.where(2 * np.abs(row - column) <= sparsity - 1, A, np.float32(0))
    C, d = _torch_linear(words, p, 1)
    return Network([A, C], [b, d]), np.random.RandomState(trial).rand(p)


def published_deep(p: int, trial: int) -> Network:
    """A random network (p, p, 10, 1) by the same generator, dense."""
    words = np.random.RandomState(trial)
    layers = [_torch_linear(words, a, b) for a, b in ((p, p), (p, 10), (10, 1))]
    return Network([A for A, _ in layers], [b for _, b in layers])


def deep_published_network(widths: tuple[int, ...], trial: int) -> tuple[Network, np.ndarray]:
    """A dense network of those widths by the published generator, layer after layer, and its domain's centre."""
    words = np.random.RandomState(trial)
    layers = [_torch_linear(words, n, m) for n, m in itertools.pairwise(widths)]
    return Network([A for A, _ in layers], [b for _, b in layers]), np.random.RandomState(trial).rand(widths[0])


def random_network(p0: int, p1: int, seed: int, outputs: int = 1) -> Network:
    """A dense network of widths (p0, p1, outputs) with PyTorch's default law, uniform on +-1/sqrt(fan_in).

    Float64 of float32 values, as a trained network's would be. Not PyTorch's random stream.
    """
    rng = np.random.default_rng(seed)

    def uniform(fan_in: int, *shape: int) -> np.ndarray:
        return (rng.uniform(-1.0, 1.0, shape) / np.sqrt(fan_in)).astype(np.float32)

    A, b = uniform(p0, p1, p0), uniform(p0, p1)
    return Network([A, uniform(p1, outputs, p1)], [b, uniform(p1, outputs)])


def sdp_nn() -> tuple[Network, np.ndarray]:
    """SDP-NN, the (784, 500) MNIST network of Raghunathan et al. 2018, one output, and its x00, shape (784,).

    Raises:
        FileNotFoundError: its file is not where HR2JAX_DATA says.
    """
    path = DATA / "data" / "sdp_nn.npz"
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: set HR2JAX_DATA to the folder above data/sdp_nn.npz")
    with np.load(path) as file:
        # The file has no output bias, and no Lipschitz constant depends on one.
        return Network([file["A_1"], file["c"][None, :]], [file["b_1"], np.zeros(1)]), file["x00"]


def _torch_linear(words: np.random.RandomState, fan_in: int, fan_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Weight (fan_out, fan_in) and bias (fan_out,) of a fresh torch.nn.Linear, float32."""
    # Kaiming's bound as PyTorch evaluates it; in exact arithmetic both bounds are 1/sqrt(fan_in).
    kaiming = np.sqrt(3.0) * (np.sqrt(2.0 / 6.0) / np.sqrt(fan_in))
    weight = _torch_uniform(words, kaiming, fan_out * fan_in).reshape(fan_out, fan_in)
    return weight, _torch_uniform(words, 1.0 / np.sqrt(fan_in), fan_out)


def _torch_uniform(words: np.random.RandomState, bound: float, n: int) -> np.ndarray:
    """PyTorch's float32 uniform on +-bound: the low 24 bits of a word each, shape (n,)."""
    word = words.randint(0, 2**32, size=n, dtype=np.uint32)
    k = float(np.float32(bound))
    return ((word & 0xFFFFFF) * 2.0**-24 * (2.0 * k) - k).astype(np.float32)
