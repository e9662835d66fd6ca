"""Interval propagation: floats l <= z <= h, rounded outward, that hold on the whole domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.enclosure import TINY, Enclosure, TooLargeError, enclosed_in
from ..arithmetic.float64 import Array
from ..domain import Domain
from ..layer import Layer, largest, nonzero
from ..network import Network
from ..problem import Problem

# Rows that rounding alone leaves undecided are settled in rational arithmetic, up to this many products.
MAX_EXACT_PRODUCTS = 2_000_000

Pair = tuple[Array, Array]


def interval_bounds(
    net: Network, problem: Problem, arithmetic: type[Enclosure] = Enclosure
) -> list[Pair]:
    """Interval propagation through every hidden layer: [(l_1, h_1), ..., (l_L, h_L)], float64 (p_i,) each.

    l_i <= z_i <= h_i for every real x_0 of the domain and every member of the network, the data taken as exact reals. A
    first-layer bound that is exactly 0 comes out as 0, not as a rounding error beside it, so that a neuron just on the
    boundary is recognised as stable.

    Raises:
        ValueError: for a global problem, which has no bounded domain, or when the bounds overflow float64.
    """
    bounds: list[Pair] = []
    for l in range(1, len(net.layers)):
        bounds.append(layer_interval(net, problem, l, bounds, arithmetic))
    return bounds


def layer_interval(
    net: Network, problem: Problem, l: int, bounds: Sequence[Pair], arithmetic: type[Enclosure] = Enclosure
) -> Pair:
    """(l_l, h_l) of layer l by the bounds of those that it takes.

    Raises:
        ValueError: as `interval_bounds`.
    """
    layer = net.enclosed[l - 1]
    if not problem.domain.is_bounded:
        raise ValueError("pre-activation bounds need a bounded domain: give center and radius")
    if [*layer.inputs] == [0]:
        return finite(_of_input(layer, problem.domain, arithmetic), l)
    below = [(A, values_before(net, k, bounds)) for k, A in layer.inputs.items()]
    return finite(interval_step(below, layer.bias, problem.domain, arithmetic), l)


def values_before(net: Network, k: int, bounds: Sequence[Pair]) -> Pair | None:
    """The interval of y_k by that of z_k; None stands for the domain of x = y_0."""
    return None if k == 0 else value_interval(net.layers[k - 1], bounds[k - 1])


def value_interval(layer: Layer, pair: Pair) -> Pair:
    """The hull of sigma on low <= z <= high, rounded outward."""
    if layer.activation == "identity":
        return pair
    if layer.activation == "relu":
        return np.maximum(pair[0], 0.0), np.maximum(pair[1], 0.0)
    if not layer.is_kinked:
        return layer.values_between(*pair)
    ends = [_sloped(z, *layer.slopes) for z in pair]  # sigma at both ends, rounded down and up; between them, the kink
    kink = (pair[0] < 0) & (pair[1] > 0)
    low, high = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
    return np.where(kink, np.minimum(low, 0.0), low), np.where(kink, np.maximum(high, 0.0), high)


def _sloped(z: Array, alpha: Array, beta: Array) -> Pair:
    """sigma(z), rounded down and up."""
    slope = np.where(z > 0, beta, alpha)
    with np.errstate(all="ignore"):
        value = slope * z
        exact = (np.abs(slope) == 1.0) | (slope == 0) | (z == 0)
        down, up = np.nextafter(value, -np.inf), np.nextafter(value, np.inf)
    return np.where(exact, value, down), np.where(exact, value, up)


def _of_input(layer: Layer, domain: Domain, arithmetic: type[Enclosure]) -> Pair:
    """The exact range of the pre-activations of a layer that takes x alone, rounded outward."""
    (A,), b = layer.inputs.values(), layer.bias
    with np.errstate(all="ignore"):
        middle, spread = enclosed_in(arithmetic, A) @ domain.middle(arithmetic) + b, _reach(domain, A, arithmetic)
        low, high = (middle - spread).lower(), (middle + spread).upper()
        if not isinstance(A, Enclosure) and not isinstance(b, Enclosure):
            _settle_exactly(A, b, domain, low, high)
    return low, high


def _reach(domain: Domain, A: Any, arithmetic: type[Enclosure]) -> Enclosure:
    """`Domain.reach` of a matrix or of the members of one."""
    return domain.reach(A.magnitude() if isinstance(A, Enclosure) else A, arithmetic)


def interval_step(
    below: Sequence[tuple[Any, Pair | None]], b: Any, domain: Domain | None = None,
    arithmetic: type[Enclosure] = Enclosure,
) -> Pair:  # fmt: skip
    """Bounds of sum_k A_k y_k + b for y_k in intervals, None of x in the domain; NaN or infinite at an overflow."""
    ends: list[tuple[Enclosure, Enclosure]] = []
    meets = [np.zeros(b.shape, dtype=bool), np.zeros(b.shape, dtype=bool)]
    with np.errstate(all="ignore"):
        for A, values in below:
            if values is None:
                assert domain is not None
                middle, spread = enclosed_in(arithmetic, A) @ domain.middle(arithmetic), _reach(domain, A, arithmetic)
                ends.append((middle - spread, middle + spread))
                meets = [meet | nonzero(A).any(axis=1) for meet in meets]
                continue
            y_low, y_high = values
            M = A.mid if isinstance(A, Enclosure) else A
            plus, minus = arithmetic(np.maximum(M, 0.0)), arithmetic(np.minimum(M, 0.0))
            low, high = plus @ y_low + minus @ y_high, plus @ y_high + minus @ y_low
            if isinstance(A, Enclosure) and A.rad.any():
                missed = arithmetic(A.rad) @ np.maximum(np.abs(y_low), np.abs(y_high))
                low, high = low - missed, high + missed
            ends.append((low, high))
            meets[0] |= _meet(A, y_low, y_high)
            meets[1] |= _meet(A, y_high, y_low)
        low, high = (graph.total(side) + b for side in zip(*ends, strict=True))
        z_low, z_high = low.lower(), high.upper()
    # Where every product is 0, b is what is left, exactly: the radius for products that underflow would say of a dead
    # neuron that it may be on, by next to nothing, and what it feeds would get scales to match.
    b_low, b_high = (b.lower(), b.upper()) if isinstance(b, Enclosure) else (b, b)
    return np.where(meets[0], z_low, b_low), np.where(meets[1], z_high, b_high)


def _meet(A: Any, of_positive: Array, of_negative: Array) -> Array:
    """Rows of A with a positive entry at a nonzero one of the first vector, or a negative one at the second's.

    With radii, rows with an entry that is not 0 at a nonzero one of either.
    """
    if isinstance(A, Enclosure):
        return np.asarray((nonzero(A) & ((of_positive != 0) | (of_negative != 0))).any(axis=1))
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


def sizes_of_terms(net: Network, problem: Problem, bounds: Sequence[Pair]) -> list[Array]:
    """Per layer (p_l,), about the sum of the magnitudes of what a pre-activation is the sum of. Steering only."""
    out: list[Array] = []

    def step(l: int, layer: Layer, below: graph.Pairs) -> Array:
        out.append(graph.total(largest(A) @ most for A, most in below) + largest(layer.bias))
        if layer.activation == "relu":
            return np.maximum(bounds[l - 1][1], 0.0)
        return np.max(np.abs(value_interval(layer, bounds[l - 1])), axis=0)

    with np.errstate(all="ignore"):
        graph.forward(net.enclosed[:-1], np.abs(problem.domain.center) + problem.domain.radius, step)
    return out
