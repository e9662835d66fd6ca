"""Bounds of the tangents w_l = sum_k A_{l,k} D_k w_k and of the adjoints g_l, over all derivatives D left free.

D_l = Diag(beta u_l + alpha (1 - u_l)): u = 1 where `on`, 0 where `off`, 0 or 1 elsewhere (the tangents and adjoints are
affine in each u, so that this covers [0, 1] too). Everything is rounded up; what overflows is infinite.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import DUAL, haste, longest, mixed_norm, row_norms, times_up, vector_norm
from ..layer import Layer
from ..network import Network
from ..problem import Problem
from .interval import Pair
from .members import ends_of, kept, magnitude, mixed_of, operator_of, spectral_of, sum_up
from .spans import largest_slope, masked, plus, pulled, size_of, times, total, within

Masks = Sequence[Array]
# Products of matrices that an enclosed one of an interval takes.
PRODUCTS = 8.0


def tangent_bounds(
    net: Network, problem: Problem, free: Array, on: Masks, off: Masks, arithmetic: type[Enclosure] = Enclosure,
) -> list[Array]:  # fmt: skip
    """[W_1, ..., W_L], float64 (p_l,) each: W_l >= |w_l| entry by entry, over ||t||_p <= 1 and all masks.

    The least of three bounds: the dual norms of the interval Jacobian's rows; |A_l| W_{l-1}; a row's Euclidean
    norm times a bound of ||D w_{l-1}||_2, by spectral norms or from W_{l-1}. Of several inputs, sums of these.

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
    walk = _Tangents(net, problem, free, on, off, arithmetic)
    graph.forward(net.enclosed[:-1], None, walk.step)
    return walk.sizes


class _Tangents:
    """The walk of `tangent_bounds`; a layer's value is (the interval Jacobian behind its mask, W behind its mask)."""

    def __init__(
        self, net: Network, problem: Problem, free: Array, on: Masks, off: Masks, arithmetic: type[Enclosure]
    ):
        self.net, self.problem, self.free, self.on, self.off = net, problem, free, on, off
        self.arithmetic = arithmetic
        self.sizes: list[Array] = []
        self.lengths = {0: longest(problem.norm, len(free))}  # of t, then of each D_l w_l
        self.alive = {0: np.isin(np.arange(net.widths[0]), free)}

    def step(self, l: int, layer: Layer, below: graph.Pairs) -> tuple[Pair, Array]:
        """W_l, and what the layers above need."""
        problem, arithmetic = self.problem, self.arithmetic
        numbers = [*layer.inputs]
        if numbers == [0]:
            A = layer.inputs[0][:, self.free]
            J = ends_of(A)
            W = row_norms(size_of(J), problem.norm, arithmetic)
        else:
            J = total((self._times(A, k, value) for k, (A, value) in zip(numbers, below, strict=True)), arithmetic)
            by_rows = row_norms(size_of(J), problem.norm, arithmetic)
            by_sizes, by_length = [], []
            for k, A in layer.inputs.items():
                B = kept(self.alive[k], A)
                if k == 0:
                    by_sizes.append(row_norms(size_of(ends_of(A[:, self.free])), problem.norm, arithmetic))
                else:
                    S = below[numbers.index(k)][1][1]
                    by_sizes.append(times(magnitude(B), (S, S), arithmetic)[1])
                by_length.append(times_up(row_norms(magnitude(B), 2, arithmetic), self._length(k)))
            W = np.minimum(np.minimum(by_rows, sum_up(by_sizes)), sum_up(by_length))
            J = within(J, W[:, None])  # a unit vector is a t: |J| <= W
        self.sizes.append(W)
        self.alive[l] = ~self.off[l - 1] if layer.activation == "relu" else np.ones(layer.width, dtype=bool)
        behind = W if layer.activation in ("relu", "identity") else times_up(W, largest_slope(layer))
        return masked(J, self.on[l - 1], self.off[l - 1], layer), behind

    def _times(self, A: Any, k: int, value: tuple[Pair, Array] | None) -> Pair:
        """A times the Jacobian of y_k; that of x is the identity."""
        if value is None:
            return ends_of(A[:, self.free])
        return times(kept(self.alive[k], A), value[0], self.arithmetic)

    def _length(self, k: int) -> float:
        """A bound of ||D_k w_k||_2."""
        if k not in self.lengths:
            layer, alive, parts = self.net.enclosed[k - 1], self.alive[k], []
            for m, A in layer.inputs.items():
                norm = spectral_of(A[np.ix_(alive, self.alive[m])], self.arithmetic)
                parts.append(times_up(norm, self._length(m)))
            length = min(float(sum_up(parts)), vector_norm(self.sizes[k - 1][alive], 2, self.arithmetic))
            steepest = float(largest_slope(layer).max())
            self.lengths[k] = length if steepest == 1.0 else float(times_up(length, steepest))
        return self.lengths[k]


def adjoint_bounds(
    net: Network, problem: Problem, free: Array, on: Masks, off: Masks, arithmetic: type[Enclosure] = Enclosure,
) -> list[Array]:  # fmt: skip
    """[G_1, ..., G_L], float64 (p_l,) each: G_l >= |g_l| over all masks, g_L = C^T c, g_l = A_{l+1}^T D_{l+1} g_{l+1}.

    Interval propagation, and a column's Euclidean norm times a bound of ||D g_{l+1}||_2 where that is less.
    The arguments are those of `tangent_bounds`; `free` and the norm make no difference. Of several values, f = M F,
    g_L = C^T M^T s over all s of norm 1 in the norm dual to `output_norm`.

    Raises:
        ValueError: masks that do not fit the network.
    """
    del free
    return _adjoints(net, problem, on, off, arithmetic)[0]


def adjoint_ranges(
    net: Network, problem: Problem, on: Masks, off: Masks, arithmetic: type[Enclosure] = Enclosure
) -> list[Pair]:
    """[(low, high), ...], float64 (p_l,) each, between which the adjoints g_l are; see `adjoint_bounds`.

    Raises:
        ValueError: masks that do not fit the network.
    """
    return _adjoints(net, problem, on, off, arithmetic)[1]


def _adjoints(
    net: Network, problem: Problem, on: Masks, off: Masks, arithmetic: type[Enclosure]
) -> tuple[list[Array], list[Pair]]:
    """Sizes and ranges of the adjoints."""
    _check_masks(net, on, off)
    n = len(net.layers)
    result: dict[int, Array] = {}
    ranges: dict[int, Pair] = {}
    lengths: dict[int, float] = {}  # of D_l g_l
    alive = [~off[l] if layer.activation == "relu" else np.ones(layer.width, dtype=bool)
             for l, layer in enumerate(net.layers[:-1])]  # fmt: skip
    above_of: dict[int, list[int]] = {}
    for m, layer in enumerate(net.layers, start=1):
        for k in layer.inputs:
            above_of.setdefault(k, []).insert(0, m)

    def length(m: int) -> float:
        """A bound of ||D_m g_m||_2."""
        if m not in lengths:
            parts: list[Any] = []
            for k in above_of[m]:
                if k == n:
                    parts.append(_length_of_top(net, problem, m, alive[m - 1], out[m], arithmetic))
                else:
                    block = net.enclosed[k - 1].inputs[m][np.ix_(alive[k - 1], alive[m - 1])]
                    parts.append(times_up(spectral_of(block, arithmetic), length(k)))
            found = min(float(sum_up(parts)), vector_norm(result[m][alive[m - 1]], 2, arithmetic))
            steepest = float(largest_slope(net.layers[m - 1]).max())
            lengths[m] = found if steepest == 1.0 else float(times_up(found, steepest))
        return lengths[m]

    out = {k: _of_top(C, problem, arithmetic) for k, C in net.enclosed[-1].inputs.items()}

    def step(l: int, layer: Layer, above: graph.Pairs) -> Pair:
        parts: list[Pair] = []
        by_length: list[Array] = []
        for m, (A, a) in zip(above_of[l], above, strict=True):
            if a is None:
                parts.append(out[l])
                by_length.append(size_of(out[l]))
                continue
            B = kept(alive[m - 1], A, rows=True).T
            parts.append(times(B, a, arithmetic))
            by_length.append(times_up(row_norms(magnitude(B), 2, arithmetic), length(m)))
        g = total(parts, arithmetic)
        G = np.minimum(size_of(g), sum_up(by_length))
        g = within(g, G)
        result[l], ranges[l] = G, g
        return masked(g, on[l - 1], off[l - 1], layer)

    graph.backward(net.enclosed, None, step)
    return [result[l] for l in range(1, n)], [ranges[l] for l in range(1, n)]


def _of_top(C: Any, problem: Problem, arithmetic: type[Enclosure]) -> Pair:
    """(p_k,) the interval of C^T c, or of C^T M^T s over all s of norm 1."""
    values = _with_outputs(C, problem, arithmetic)
    if not problem.is_vector:
        return values
    most = row_norms(size_of(values), DUAL[problem.output_norm], arithmetic)
    return -most, most


def _with_outputs(C: Any, problem: Problem, arithmetic: type[Enclosure]) -> Pair:
    """The interval of C^T c (p_k,), or of C^T M^T (p_k, m)."""
    return times(C.T, (problem.coefficients.T, problem.coefficients.T), arithmetic)


def _length_of_top(
    net: Network, problem: Problem, m: int, alive: Array, top: Pair, arithmetic: type[Enclosure]
) -> float:
    """A bound of the Euclidean length of the output's part of g_m."""
    by_entries = vector_norm(size_of(top)[alive], 2, arithmetic)
    if not problem.is_vector:
        return by_entries
    ends = _with_outputs(net.enclosed[-1].inputs[m], problem, arithmetic)
    norm = mixed_of((ends[0][alive], ends[1][alive]), 2, 2, arithmetic)
    return min(by_entries, float(times_up(norm, longest(DUAL[problem.output_norm], len(problem.coefficients)))))


def interval_constant(
    net: Network, problem: Problem, free: Array, on: Masks, off: Masks, arithmetic: type[Enclosure] = Enclosure,
) -> float:  # fmt: skip
    """An upper bound of the Lipschitz constant: the dual norm of the interval gradient, rounded up.

    The arguments are those of `tangent_bounds`.

    Raises:
        ValueError: masks that do not fit the network.
    """
    size = size_of(_interval_jacobian(net, problem, free, on, off, arithmetic))
    if problem.is_vector:
        return mixed_norm(size, problem.norm, problem.output_norm, arithmetic)
    return vector_norm(size[0], problem.norm, arithmetic)


def column_constants(net: Network, problem: Problem, free: Array, on: Masks, off: Masks) -> Array:
    """(q,) `interval_constant` of each direction alone, norm 1."""
    size = size_of(_interval_jacobian(net, problem, free, on, off, Enclosure))
    return row_norms(size.T, DUAL[problem.output_norm] if problem.is_vector else "inf")


def _interval_jacobian(
    net: Network, problem: Problem, free: Array, on: Masks, off: Masks, arithmetic: type[Enclosure]
) -> Pair:
    """The interval Jacobian (m, q), of one value a row: what the ways from the outputs and from the inputs allow.

    Of many inputs that from the inputs takes long, and is left out in haste.
    """
    _check_masks(net, on, off)
    n = len(net.layers)

    def down(l: int, layer: Layer, above: graph.Pairs) -> Pair:
        return masked(pulled(above, arithmetic), on[l - 1], off[l - 1], layer)

    def up(l: int, layer: Layer, below: graph.Pairs) -> Pair:
        if l == n:
            return total((of_output(A, J, problem, free, arithmetic) for A, J in below), arithmetic)
        # x itself is None, whose Jacobian is the identity of the free inputs
        parts = (ends_of(A[:, free]) if J is None else times(A, J, arithmetic) for A, J in below)
        return masked(total(parts, arithmetic), on[l - 1], off[l - 1], layer)

    top = problem.coefficients.T, problem.coefficients.T
    above = graph.backward(net.enclosed, top, down)
    g = pulled([(A[:, free], a) for A, a in above], arithmetic)
    entries = sum(float(np.prod(A.shape)) for layer in net.layers[1:] for A in layer.inputs.values())
    if PRODUCTS * entries * len(free) > haste().bound:
        return np.atleast_2d(g[0].T), np.atleast_2d(g[1].T)
    forward = graph.forward(net.enclosed, None, up)
    return np.maximum(np.atleast_2d(g[0].T), forward[0]), np.minimum(np.atleast_2d(g[1].T), forward[1])


def of_output(C: Any, J: Pair | None, problem: Problem, free: Array, arithmetic: type[Enclosure]) -> Pair:
    """The interval of M C J (values of f, q), of a matrix C of the output's; J of x itself is None."""
    ends = _with_outputs(C, problem, arithmetic)
    low, high = (np.ascontiguousarray(end.reshape(len(end), -1).T) for end in ends)  # (values of f, p_k)
    if J is None:
        return low[:, free], high[:, free]
    forward = times(low, J, arithmetic)
    with np.errstate(all="ignore"):
        width = (arithmetic(high) - low).upper()  # the rounding of c
    if width.any():
        size = size_of(J)
        error = times(width, (size, size), arithmetic)[1]
        forward = plus(forward, (-error, error), arithmetic)
    return forward


def product_constant(
    net: Network, problem: Problem, free: Array, arithmetic: type[Enclosure] = Enclosure
) -> float:
    """The product of the layers' operator norms and of the dual norm of C^T c, rounded up; every mask is covered.

    Of a layer with several inputs, the sum of its matrices' norms times their layers' products.

    Args:
        net: the network.
        problem: its norm is the layers' too (`operator_norm`).
        free: (q,) indices of the inputs along which t points.
        arithmetic: the arithmetic that proves the bound.
    """
    def of_end(k: int, C: Any) -> float:
        """The norm of C^T c, or of M C from `norm` to `output_norm`."""
        used = free if k == 0 else slice(None)
        low, high = (end[used] for end in _with_outputs(C, problem, arithmetic))
        if problem.is_vector:
            return mixed_of((low.T, high.T), problem.norm, problem.output_norm, arithmetic)
        return vector_norm(size_of((low, high)), problem.norm, arithmetic)

    ends = {k: of_end(k, C) for k, C in net.enclosed[-1].inputs.items()}
    (start,) = ends.values() if len(ends) == 1 else (1.0,)

    def step(l: int, layer: Layer, below: graph.Pairs) -> float:
        if l == len(net.layers):
            if len(ends) == 1:
                return float(below[0][1])
            return float(sum_up([times_up(end, b) for end, (_, b) in zip(ends.values(), below, strict=True)]))
        parts = []
        for k, (A, b) in zip(layer.inputs, below, strict=True):
            norm = operator_of(A[:, free] if k == 0 else A, problem.norm, arithmetic)
            parts.append(times_up(b, norm))
        whole, steepest = float(sum_up(parts)), float(largest_slope(layer).max())
        return whole if steepest == 1.0 else float(times_up(whole, steepest))

    return float(graph.forward(net.enclosed, start, step))











def _check_masks(net: Network, on: Masks, off: Masks) -> None:
    widths = list(net.widths[1:-1])
    for name, masks in (("on", on), ("off", off)):
        if [np.shape(m) for m in masks] != [(p,) for p in widths] or any(m.dtype != bool for m in masks):
            raise ValueError(
                f"{name} must be one bool array per hidden layer, of lengths {widths}, "
                f"but {[(m.dtype.name, m.shape) for m in map(np.asarray, masks)]} were given"
            )
