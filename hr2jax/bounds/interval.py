"""Interval propagation: floats l <= z <= h, rounded outward, that hold on the whole domain."""

from __future__ import annotations

import numpy as np

from ..arithmetic.enclosure import TINY, Enclosure, TooLargeError
from ..arithmetic.float64 import Array
from ..domain import Domain
from ..network import Network
from ..problem import Problem

# Rows that rounding alone leaves undecided are settled in rational arithmetic, up to this many products.
MAX_EXACT_PRODUCTS = 2_000_000

Pair = tuple[Array, Array]


def interval_bounds(
    net: Network, problem: Problem, arithmetic: type[Enclosure] = Enclosure
) -> list[Pair]:
    """Interval propagation through every hidden layer: [(l_1, h_1), ..., (l_L, h_L)], float64 (p_i,) each.

    l_i <= A_i x_{i-1} + b_i <= h_i for every real x_0 of the domain, the data taken as exact reals. A first-layer bound
    that is exactly 0 comes out as 0, not as a rounding error beside it, so that a neuron just on the
    boundary is recognised as stable.

    Raises:
        ValueError: for a global problem, which has no bounded domain, or when the bounds overflow float64.
    """
    bounds = [first_layer(net, problem, arithmetic)]
    for k in range(2, net.depth + 1):
        bounds.append(finite(interval_step(net.weights[k - 1], net.biases[k - 1], bounds[-1], arithmetic), k))
    return bounds


def first_layer(net: Network, problem: Problem, arithmetic: type[Enclosure] = Enclosure) -> Pair:
    """(l_1, h_1): the exact range of the first layer's pre-activations, rounded outward.

    Raises:
        ValueError: as `interval_bounds`.
    """
    domain = problem.domain
    if not domain.is_bounded:
        raise ValueError("pre-activation bounds need a bounded domain: give center and radius")
    A, b = net.weights[0], net.biases[0]
    with np.errstate(all="ignore"):
        middle, spread = arithmetic(A) @ domain.middle(arithmetic) + b, domain.reach(A, arithmetic)
        low, high = (middle - spread).lower(), (middle + spread).upper()
        _settle_exactly(A, b, domain, low, high)
    return finite((low, high), 1)


def interval_step(A: Array, b: Array, before: Pair, arithmetic: type[Enclosure] = Enclosure) -> Pair:
    """Bounds of A ReLU(z) + b for l <= z <= h, (l, h) = `before`; NaN or infinite where float64 overflows."""
    x_low, x_high = np.maximum(before[0], 0.0), np.maximum(before[1], 0.0)
    plus, minus = arithmetic(np.maximum(A, 0.0)), arithmetic(np.minimum(A, 0.0))
    with np.errstate(all="ignore"):
        low, high = (plus @ x_low + minus @ x_high + b).lower(), (plus @ x_high + minus @ x_low + b).upper()
    # Where every product is 0, b is what is left, exactly: the radius for products that underflow would say of a dead
    # neuron that it may be on, by next to nothing, and what it feeds would get scales to match.
    return (np.where(_meet(A, x_low, x_high), low, b), np.where(_meet(A, x_high, x_low), high, b))


def _meet(A: Array, of_positive: Array, of_negative: Array) -> Array:
    """Rows of A with a positive entry at a nonzero one of the first vector, or a negative one at the second's."""
    return ((A > 0) & (of_positive != 0)).any(axis=1) | ((A < 0) & (of_negative != 0)).any(axis=1)


def finite(pair: Pair, layer: int) -> Pair:
    """`pair` itself; a TooLargeError that names the layer where it is not finite."""
    if not all(np.isfinite(side).all() for side in pair):
        raise TooLargeError(f"the pre-activation bounds of layer {layer} overflow float64 on this domain")
    return pair


def _settle_exactly(A: Array, b: Array, domain: Domain, low: Array, high: Array) -> None:
    """Replace, in place, bounds whose sign rounding left open (0 well within the error) by exact ones."""
    scale = np.abs(A) @ (np.abs(domain.center) + domain.radius) + np.abs(b)  # at least what a ball's rows spread too
    error = 8.0 * (A.shape[1] + 4) * 2.0**-53 * scale + 16.0 * TINY
    open_low = (low < 0) & (low >= -error)
    open_high = (high > 0) & (high <= error)
    rows = np.flatnonzero(open_low | open_high)
    for i in rows[: MAX_EXACT_PRODUCTS // (2 * A.shape[1]) + 1]:
        never_negative, never_positive = domain.signs(A[i], b[i])
        if open_low[i] and never_negative:
            low[i] = 0.0
        if open_high[i] and never_positive:
            high[i] = 0.0
