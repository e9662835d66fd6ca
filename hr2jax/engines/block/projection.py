"""The nearest positive semidefinite matrix, by an eigendecomposition or by matrix products only.

A's PSD part is (A + A sign(A)) / 2. "products" builds sign(A) as a composition of odd polynomials of degree
5, each the best approximation of 1 on the interval that its predecessor leaves (Chen and Chow 2014, "A
stable scaling of Newton-Schulz"; Amsel et al. 2025, "The Polar Express"): three products each, no
factorisation, which is what a GPU is fast at. Steering only: no certificate trusts a projection.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ...machine.run import compiled

Method = Literal["eigh", "products", "halves"]

# Each polynomial's interval is this much wider than its predecessor's image: rounding never leaves it.
MARGIN = 1.01
# Eigenvalues below this fraction of the norm may be projected inexactly, and how far |sign| may be from 1 elsewhere:
# float32 steers (22 products), float64 finishes (34).
ACCURACY = {np.dtype(np.float32): (1e-3, 1e-6), np.dtype(np.float64): (1e-5, 1e-13)}
# NVIDIA's GPUs are fast at products of float16 from this compute capability on (Volta).
HAS_HALVES = 7.0
# What is multiplied has entries below 10 here: so many times as large, float16 holds it, and both halves of it well.
HEADROOM = 256.0
# Sides are filled up with zeros to a multiple of this: a GPU's matrix units take no others (N = 1999: 2.5 times the
# time of N = 2048 in float16, 1.2 times in float64).
ALIGNED = 64
# On a GPU, products from this N on.
GPU_PRODUCTS = 300


def choose_projection(N: int, platform: str) -> Method:
    """The faster projection of one N by N matrix on a JAX platform ("cpu", "gpu", ...).

    CPU: eigh at every size. Measured in float64, one BLAS thread: as fast as "products" up to N = 52, 1.4 times at
    N = 81, 2 to 3.5 times at N = 108 to 1000. GPU: products. Measured on an H200 (bench/gpu.py), an iteration of
    ADMM: eigh takes 14 (float32) and 10 times (float64) as long at N = 499, 11 and 2.4 times at N = 1999.
    """
    return "products" if platform != "cpu" and N >= GPU_PRODUCTS else "eigh"


@partial(compiled, static_argnames=("method",))
def psd_part(A: Any, method: Method = "eigh") -> Any:
    """The PSD part of symmetric matrices (..., N, N), float32 or float64: their nearest PSD matrices.

    "products" is exact to rounding for eigenvalues of magnitude at least l ||A||, l = 1e-3 in float32 and 1e-5 in
    float64 (times how far the norm is overestimated, at most N^(1/8)). Of smaller ones it takes sign as a number
    between -1 and 1 only: they are off by less than l ||A|| / 2, and the result may be indefinite by as little,
    which is harmless for steering. "halves" takes float32 matrices as sums of two float16 ones each, to 22 bits, and
    leaves out the product of the lesser two.
    """
    if A.shape[-1] == 1:
        return jnp.maximum(A, 0.0)
    if method != "eigh":
        return _by_products(A, _of_halves if method == "halves" else partial(jnp.matmul, precision="highest"))
    values, vectors = jnp.linalg.eigh(A)
    scaled = vectors * jnp.maximum(values, 0.0)[..., None, :]
    return jnp.matmul(scaled, jnp.swapaxes(vectors, -1, -2), precision="highest")


def in_float32(method: Method, device: Any) -> Method:
    """The method where the arithmetic is float32: halves instead of products on a GPU that has them."""
    if method != "products":
        return method
    try:
        return "halves" if float(getattr(device, "compute_capability", None) or 0.0) >= HAS_HALVES else method
    except ValueError:  # AMD's are names
        return method


def _of_halves(A: Any, B: Any) -> Any:
    """A B of float32 matrices with entries below 10, from one product of float16 ones, thrice as long."""

    def halves(X: Any) -> tuple[Any, Any]:
        # a conversion there and back is one that XLA may leave out
        high = jax.lax.reduce_precision(HEADROOM * X, exponent_bits=5, mantissa_bits=10)
        return high.astype(jnp.float16), (HEADROOM * X - high).astype(jnp.float16)

    (A, A_low), (B, B_low) = halves(A), halves(B)
    left, right = jnp.concatenate([A, A, A_low], axis=-1), jnp.concatenate([B, B_low, B], axis=-2)
    return jnp.matmul(left, right, preferred_element_type=jnp.float32) / HEADROOM**2


def _by_products(A: Any, product: Callable[[Any, Any], Any]) -> Any:
    N = A.shape[-1]
    if N >= 2 * ALIGNED and N % ALIGNED:
        fill = -N % ALIGNED
        return _by_products(jnp.pad(A, [*(A.ndim - 2) * [(0, 0)], (0, fill), (0, fill)]), product)[..., :N, :N]
    (a, b, c), *rest = sign_polynomials(*ACCURACY[np.dtype(A.dtype)])
    # through the largest entry first, or the squares of a very small or large matrix leave the floats
    largest = jnp.max(jnp.abs(A), axis=(-1, -2), keepdims=True)
    B = A / jnp.where(largest > 0, largest, 1.0)
    frobenius = _norm(B)
    B = B / jnp.where(frobenius > 0, frobenius, 1.0)
    # The first polynomial needs B^2 and B^4 anyway, and ||B^4||_F^(1/4) bounds the spectral norm within N^(1/8).
    square = product(B, B)
    fourth = product(square, square)
    norm = MARGIN * jnp.sqrt(jnp.sqrt(_norm(fourth)))
    norm = jnp.where(norm > 0, norm, 1.0)
    eye = jnp.eye(N, dtype=A.dtype)
    sign = product(B / norm, a * eye + (b / norm**2) * square + (c / norm**4) * fourth)
    for a, b, c in rest:
        sign = 0.5 * (sign + jnp.swapaxes(sign, -1, -2))
        square = product(sign, sign)
        sign = product(sign, a * eye + b * square + c * product(square, square))
    part = 0.5 * (A + largest * (frobenius * product(B, sign)))
    return 0.5 * (part + jnp.swapaxes(part, -1, -2))


def _norm(A: Any) -> Any:
    """Frobenius norms, (..., 1, 1)."""
    return jnp.sqrt(jnp.sum(A * A, axis=(-1, -2), keepdims=True))


@cache
def sign_polynomials(smallest: float, error: float) -> tuple[tuple[float, float, float], ...]:
    """Coefficients (a, b, c) of polynomials a x + b x^3 + c x^5, their composition near 1 on [smallest, 1].

    Each is the best on the interval that its predecessor maps to, widened by MARGIN at the top, as long as that
    interval is wide; then Newton and Schulz' own, which attracts and turns an error e into 5/2 e^3. Enough of
    them to come within `error` of 1.
    """
    l, u = smallest, 1.0
    out: list[tuple[float, float, float]] = []
    while max(1.0 - l, u - 1.0) > error:
        near = max(1.0 - l, u - 1.0) <= MARGIN - 1.0
        a, b, c = (15 / 8, -10 / 8, 3 / 8) if near else best_quintic(l, u * (MARGIN if out else 1.0))
        out.append((a, b, c))
        x = np.linspace(l, u, 10001)
        image = x * (a + x**2 * (b + c * x**2))
        l, u = float(image.min()), float(image.max())
    return tuple(out)


def best_quintic(l: float, u: float) -> tuple[float, float, float]:
    """The odd polynomial of degree 5 nearest to 1 on [l, u], 0 < l < u, in the maximum norm (Remez' exchange).

    Its error is largest, with alternating signs, at l, at u and at the derivative's two zeros between them.
    """
    inner = np.array([0.75 * l + 0.25 * u, 0.25 * l + 0.75 * u])
    before = 0.0
    while True:
        x = np.array([l, *inner, u])
        a, b, c, level = np.linalg.solve(np.stack([x, x**3, x**5, [1.0, -1.0, 1.0, -1.0]], axis=1), np.ones(4))
        if abs(level) <= before * (1 + 1e-9):  # it rises to the least maximum
            return float(a), float(b), float(c)
        before = abs(level)
        root = np.sqrt(9 * b * b - 20 * a * c)
        inner = np.sqrt(np.array([-3 * b - root, -3 * b + root]) / (10 * c))
