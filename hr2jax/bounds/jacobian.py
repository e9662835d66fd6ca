"""Bounds of the tangents w_l = A_l D_{l-1} ... D_1 A_1 t and of the adjoints g_l, over all masks D left free.

D_l = Diag(u_l): u = 1 where `on`, 0 where `off`, 0 or 1 elsewhere (the tangents and adjoints are affine in each
u, so that this covers [0, 1] too). Everything is rounded up; where float64 overflows a bound is infinite.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import bounded, longest, operator_norm, row_norms, spectral_norm, times_up, vector_norm
from ..layer import Layer
from ..network import Network
from ..problem import Problem
from .interval import Pair

Masks = Sequence[Array]


def tangent_bounds(
    net: Network,
    problem: Problem,
    free: Array,
    on: Masks,
    off: Masks,
    arithmetic: type[Enclosure] = Enclosure,
) -> list[Array]:
    """[W_1, ..., W_L], float64 (p_l,) each: W_l >= |w_l| entry by entry, over ||t||_p <= 1 and all masks.

    The least of three bounds: the dual norms of the interval Jacobian's rows; |A_l| W_{l-1}; a row's Euclidean
    norm times a bound of ||D w_{l-1}||_2, by spectral norms or from W_{l-1}.

    Args:
        net: the network.
        problem: its norm is p.
        free: (q,) indices of the inputs along which t points.
        on, off: per hidden layer bool (p_l,): neurons whose u is 1, neurons whose u is 0 (off wins).
        arithmetic: the arithmetic that proves the bounds.

    Raises:
        ValueError: masks that do not fit the network.
    """
    _check_masks(net, on, off)
    A = net.weights[0][:, free]
    J = (A, A)
    result = [row_norms(A, problem.norm, arithmetic)]
    length = longest(problem.norm, len(free))  # of t, then of each D_l w_l
    alive_before = np.ones(len(free), dtype=bool)
    for l in range(2, net.depth + 1):
        A, alive, W = net.weights[l - 1], ~off[l - 2], result[-1]
        before = net.weights[l - 2] if l > 2 else net.weights[0][:, free]
        by_product = times_up(spectral_norm(before[np.ix_(alive, alive_before)], arithmetic), length)
        length = min(float(by_product), vector_norm(W[alive], 2, arithmetic))
        B = np.where(alive, A, 0.0)
        J = _times(B, _masked(J, on[l - 2], off[l - 2]), arithmetic)
        by_rows = row_norms(_size(J), problem.norm, arithmetic)
        by_sizes = _times(np.abs(B), (W, W), arithmetic)[1]
        by_length = times_up(row_norms(B, 2, arithmetic), length)
        result.append(np.minimum(np.minimum(by_rows, by_sizes), by_length))
        J = _within(J, result[-1][:, None])  # a unit vector is a t: |J| <= W
        alive_before = alive
    return result


def adjoint_bounds(
    net: Network,
    problem: Problem,
    free: Array,
    on: Masks,
    off: Masks,
    arithmetic: type[Enclosure] = Enclosure,
) -> list[Array]:
    """[G_1, ..., G_L], float64 (p_l,) each: G_l >= |g_l| over all masks, g_L = C^T c, g_l = A_{l+1}^T D_{l+1} g_{l+1}.

    Interval propagation, and a column's Euclidean norm times a bound of ||D g_{l+1}||_2 where that is less.
    The arguments are those of `tangent_bounds`; `free` and the norm make no difference.

    Raises:
        ValueError: masks that do not fit the network.
    """
    del free
    _check_masks(net, on, off)
    g = _output_adjoint(net, problem, arithmetic)
    result = [_size(g)]
    length = np.inf
    for l in range(net.depth - 1, 0, -1):
        A, alive = net.weights[l], ~off[l]  # A_{l+1}, and what is alive in layer l + 1
        if l + 1 < net.depth:
            after = net.weights[l + 1][np.ix_(~off[l + 1], alive)]
            length = float(times_up(spectral_norm(after, arithmetic), length))
        length = min(length, vector_norm(result[0][alive], 2, arithmetic))
        B = np.where(alive[:, None], A, 0.0).T
        g = _times(B, _masked(g, on[l], off[l]), arithmetic)
        G = np.minimum(_size(g), times_up(row_norms(B, 2, arithmetic), length))
        g = _within(g, G)
        result.insert(0, G)
    return result


def interval_constant(
    net: Network,
    problem: Problem,
    free: Array,
    on: Masks,
    off: Masks,
    arithmetic: type[Enclosure] = Enclosure,
) -> float:
    """An upper bound of the Lipschitz constant: the dual norm of the interval gradient, rounded up.

    The interval is what the propagation from the outputs and the one from the inputs both allow.
    The arguments are those of `tangent_bounds`.

    Raises:
        ValueError: masks that do not fit the network.
    """
    _check_masks(net, on, off)

    def down(l: int, layer: Layer, above: graph.Pairs) -> Pair:
        return _masked(_pulled(above, arithmetic), on[l - 1], off[l - 1])

    def up(l: int, layer: Layer, below: graph.Pairs) -> Pair:
        # x itself is None, whose Jacobian is the identity of the free inputs
        parts = ((A[:, free],) * 2 if J is None else _times(A, J, arithmetic) for A, J in below)
        return _masked(_total(parts, arithmetic), on[l - 1], off[l - 1])

    c = _output_adjoint(net, problem, arithmetic)
    top = problem.coefficients, problem.coefficients
    g = _pulled([(A[:, free], a) for A, a in graph.backward(net.layers, top, down)], arithmetic)
    J = graph.forward(net.layers[:-1], None, up)
    forward = _times(c[0][None], J, arithmetic)
    with np.errstate(all="ignore"):
        width = (arithmetic(c[1]) - c[0]).upper()  # the rounding of c
    if width.any():
        size = _size(J)
        error = _times(width[None], (size, size), arithmetic)[1]
        forward = _sum(forward, (-error, error), arithmetic)
    gradient = np.maximum(g[0], forward[0][0]), np.minimum(g[1], forward[1][0])
    return vector_norm(_size(gradient), problem.norm, arithmetic)


def product_constant(
    net: Network, problem: Problem, free: Array, arithmetic: type[Enclosure] = Enclosure
) -> float:
    """The product of the layers' operator norms and of the dual norm of C^T c, rounded up; every mask is covered.

    Args:
        net: the network.
        problem: its norm is the layers' too (`operator_norm`).
        free: (q,) indices of the inputs that move.
        arithmetic: the arithmetic that proves the bound.
    """
    bound = vector_norm(_size(_output_adjoint(net, problem, arithmetic)), problem.norm, arithmetic)
    layers = (net.weights[0][:, free], *net.weights[1:-1])
    factors = [operator_norm(A, problem.norm, arithmetic) for A in layers]
    if 0.0 in factors:  # whatever overflowed before
        return 0.0
    for factor in factors:
        bound = float(times_up(bound, factor))
    return bound


def _output_adjoint(net: Network, problem: Problem, arithmetic: type[Enclosure]) -> Pair:
    """C^T coefficients, rounded outward."""
    return _times(net.weights[-1].T, (problem.coefficients, problem.coefficients), arithmetic)


def _pulled(above: graph.Pairs, arithmetic: type[Enclosure]) -> Pair:
    """sum_m A_m^T a_m, rounded outward."""
    return _total((_times(A.T, a, arithmetic) for A, a in above), arithmetic)


def _total(parts: Iterable[Pair], arithmetic: type[Enclosure]) -> Pair:
    return reduce(lambda a, b: _sum(a, b, arithmetic), parts)


def _masked(interval: Pair, on: Array, off: Array) -> Pair:
    """The hull of D times the interval's members (rows are neurons)."""
    shape = (-1,) + (1,) * (interval[0].ndim - 1)
    on, off = on.reshape(shape), off.reshape(shape)
    low, high = interval
    return (
        np.where(off, 0.0, np.where(on, low, np.minimum(low, 0.0))),
        np.where(off, 0.0, np.where(on, high, np.maximum(high, 0.0))),
    )


def _times(A: Array, interval: Pair, arithmetic: type[Enclosure]) -> Pair:
    """A times the interval (n,) or (n, q), rounded outward: zeros of structure stay 0, what overflows is infinite."""
    low, high = interval
    unbounded = ~(np.isfinite(low) & np.isfinite(high))
    nonzero = (A != 0).astype(np.float64)
    used = nonzero @ ((low != 0) | (high != 0)) > 0
    plus, minus = arithmetic(np.maximum(A, 0.0)), arithmetic(np.minimum(A, 0.0))
    with np.errstate(all="ignore"):
        if unbounded.any():
            low, high = np.where(unbounded, 0.0, low), np.where(unbounded, 0.0, high)
        new_low, new_high = (plus @ low + minus @ high).lower(), (plus @ high + minus @ low).upper()
    lost = ~(np.isfinite(new_low) & np.isfinite(new_high))
    if unbounded.any():
        lost |= nonzero @ unbounded > 0
    new_low, new_high = np.where(lost, -np.inf, new_low), np.where(lost, np.inf, new_high)
    return np.where(used, new_low, 0.0), np.where(used, new_high, 0.0)


def _sum(a: Pair, b: Pair, arithmetic: type[Enclosure]) -> Pair:
    """The sum of two intervals, rounded outward; infinite where it overflows."""
    with np.errstate(all="ignore"):
        low, high = (arithmetic(a[0]) + b[0]).lower(), (arithmetic(a[1]) + b[1]).upper()
    return -bounded(-low), bounded(high)


def _within(interval: Pair, size: Array) -> Pair:
    """The interval's members of magnitude at most `size`."""
    return np.maximum(interval[0], -size), np.minimum(interval[1], size)


def _size(interval: Pair) -> Array:
    """The greatest magnitude in the interval."""
    return np.maximum(np.abs(interval[0]), np.abs(interval[1]))


def _check_masks(net: Network, on: Masks, off: Masks) -> None:
    widths = list(net.widths[1:-1])
    for name, masks in (("on", on), ("off", off)):
        if [np.shape(m) for m in masks] != [(p,) for p in widths] or any(m.dtype != bool for m in masks):
            raise ValueError(
                f"{name} must be one bool array per hidden layer, of lengths {widths}, "
                f"but {[(m.dtype.name, m.shape) for m in map(np.asarray, masks)]} were given"
            )
