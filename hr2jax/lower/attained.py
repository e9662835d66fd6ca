"""What an actual point proves: a rigorous lower bound of the Lipschitz constant (docs/theory/lower-bounds.md)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import graph
from ..arithmetic.enclosure import Enclosure, check_arithmetic
from ..arithmetic.float64 import Array
from ..arithmetic.norms import Norm, unknown_norm, vector_norm
from ..arithmetic.sums import exact_dot
from ..layer import Layer, nonzero
from ..network import Network
from ..problem import Problem
from .exact import exact_attained
from .norms import dual_norm

CLOSE = 1e-9  # rounding that costs more of the bound than this is not accepted


def attained(net: Network, problem: Problem, x: ArrayLike) -> float:
    """A proved lower bound of the Lipschitz constant: the gradient's dual norm at x, rounded down.

    f is differentiable around x when no pre-activation of a kinked neuron that matters vanishes there, and then the
    constant is at least the dual norm of the gradient at x over the inputs that can move: its 1-norm for norm inf, its
    2-norm for norm 2, its largest entry for norm 1. Every such sign is proved with the rounding error accounted for. A
    neuron does not matter when it cannot change with the free inputs or when f does not depend on it around x. Where
    coefficients have radii all that holds for every member of the network, and the bound is the smallest of theirs.

    With several layers the enclosures grow by the layers' norms while the values need not. Where that
    leaves a sign open or the norm vague, small networks are evaluated in integers (`exact_attained`).

    Args:
        net: the network, any number of hidden layers.
        problem: the problem.
        x: (p_0,) the point; its float64 value is what is meant.

    Returns:
        A finite float >= 0; 0.0 when x is not finite, lies outside the domain (decided exactly), is too
        close to a kink, or something overflows.

    Raises:
        ValueError: x of the wrong shape.
        hr2jax.arithmetic.enclosure.UnsoundArithmeticError: when this process cannot prove anything.
    """
    check_arithmetic()
    return attained_unchecked(net, problem, x)


def attained_unchecked(net: Network, problem: Problem, x: ArrayLike) -> float:
    """`attained` for whoever checks this process's arithmetic, which takes longer than a small network's gradient."""
    point = np.asarray(x, dtype=np.float64)
    if point.shape != (net.widths[0],):
        raise ValueError(f"x must have shape ({net.widths[0]},), but its shape is {point.shape}")
    if not np.isfinite(point).all() or not problem.domain.contains(point):
        return 0.0
    lower = 0.0
    with np.errstate(all="ignore"):
        gradient = _gradient(net, problem, point)
        if gradient is not None and gradient.is_finite():
            sizes = np.nextafter(np.abs(gradient.mid) - gradient.rad, -np.inf)
            lower = norm_below(np.maximum(sizes, 0.0), problem.norm)
            if lower >= dual_norm(gradient.mid, problem.norm) * (1 - CLOSE):
                return lower
    if net.has_radii or net.smooth or (net.depth == 1 and net.is_chain and gradient is None):
        return lower
    return max(lower, exact_attained(net, problem, point))


def attained_along(values: Network, problem: Problem, x: Array, s: Array) -> float:
    """A lower bound of the constant, from the point x (p_0,) and the combination s (m,) of `values`, M F.

    Proved where the arithmetic is checked (`attained_unchecked`).
    """
    size = vector_norm(s, problem.output_norm)
    if not (np.isfinite(s).all() and 0.0 < size < math.inf):
        return 0.0
    found = attained_unchecked(values, problem.along(s), x)
    with np.errstate(all="ignore"):
        lower = float(np.nextafter(found / size, 0.0))
    return lower if math.isfinite(lower) else 0.0


def norm_below(sizes: Array, norm: Norm) -> float:
    """A lower bound of the norm dual to `norm` of exact sizes (n,) >= 0 (`row_norms`); 0.0 on overflow."""
    if norm == "inf":
        lower = float(Enclosure(sizes).sum().lower())
    elif norm == 1:
        lower = float(sizes.max(initial=0.0))
    elif norm != 2:
        raise unknown_norm(norm)
    else:
        # In units of the largest, so that no square overflows; what underflows is dropped.
        power = int(np.frexp(sizes.max(initial=0.0))[1])
        units = Enclosure(sizes).scaled(-power)
        units = Enclosure(np.maximum(units.lower(), 0.0))
        squares = float((units * units).sum().lower())
        root = math.nextafter(math.sqrt(squares), 0.0) if squares > 0 else 0.0
        lower = float(Enclosure(root).scaled(power).lower())
    return max(lower, 0.0) if math.isfinite(lower) else 0.0


def _gradient(net: Network, problem: Problem, x: Array) -> Enclosure | None:
    """The gradient of f at x, of t's entries, enclosed; None where f is not proved affine around x."""
    free = np.isin(np.arange(len(x)), problem.domain.free(len(x)))
    found: list[Enclosure] = []  # z of the hidden layers
    graph.evaluate(net.enclosed[:-1], Enclosure(x), lambda _, z: found.append(z))
    if not all(z.is_finite() for z in found):
        return None
    on, undecided = [z.mid > z.rad for z in found], [np.abs(z.mid) <= z.rad for z in found]
    # of an off neuron alpha is left
    slopes = [
        layer.slopes if layer.is_kinked else layer.slopes_between(z.lower(), z.upper())
        for layer, z in zip(net.layers, found, strict=False)
    ]
    alive = [
        a | b | (alpha != 0) | (not layer.is_kinked)
        for layer, a, b, (alpha, _) in zip(net.layers, on, undecided, slopes, strict=False)
    ]
    moving = graph.moving(net.enclosed[:-1], free, alive)
    kinks = False

    def step(l: int, layer: Layer, above: graph.Pairs) -> _Adjoint:
        nonlocal kinks
        g = graph.total(_pulled(A, a) for A, a in above)
        used = (g.mid != 0) | (g.rad != 0)
        alpha, beta = slopes[l - 1]
        if not layer.is_kinked:  # at a kink both sides are enclosed, of which one at least is the gradient's near x
            rows = np.flatnonzero(moving[l - 1] & used)
            return _Adjoint(rows, g[rows] * graph.between(Enclosure, alpha[rows], beta[rows]))
        kinks = kinks or bool((undecided[l - 1] & (alpha != beta) & moving[l - 1] & used).any())
        if layer.activation == "relu":
            rows = np.flatnonzero(on[l - 1] & moving[l - 1] & used)
            return _Adjoint(rows, g[rows])
        slope = np.where(on[l - 1], beta, alpha)
        rows = np.flatnonzero((slope != 0) & moving[l - 1] & used)
        return _Adjoint(rows, g[rows] if (slope[rows] == 1.0).all() else g[rows] * slope[rows])

    rows = np.flatnonzero(problem.coefficients)
    above = graph.backward(net.enclosed, _Adjoint(rows, Enclosure(problem.coefficients[rows])), step)
    return None if kinks else graph.total(_pulled(A, a) for A, a in above)[problem.directions_of(len(x))]


class _Adjoint(NamedTuple):
    """The entries `rows` of an adjoint, enclosed; the others are 0."""

    rows: Array
    values: Enclosure


def _pulled(A: Any, a: _Adjoint) -> Enclosure:
    """a^T A, enclosed; an entry that is exactly 0 comes out so where no row reaches it, and always where a is exact."""
    rows, values = a
    g = values @ A[rows]
    mid, rad = g.mid, g.rad
    if values.rad.any() or isinstance(A, Enclosure):
        zero = ~nonzero(A[rows]).any(axis=0)
    else:
        zero = np.zeros(len(mid), dtype=bool)
        for k in np.flatnonzero(np.abs(mid) <= rad):
            zero[k] = exact_dot(values.mid, A[rows, k]) == 0
    return Enclosure(np.where(zero, 0.0, mid), np.where(zero, 0.0, rad))
