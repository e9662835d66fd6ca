"""What an actual point proves: a rigorous lower bound of the Lipschitz constant (DESIGN section 8)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..arithmetic.enclosure import Enclosure, check_arithmetic
from ..arithmetic.float64 import Array
from ..network import Network
from ..problem import LipschitzProblem
from .domain import contains
from .exact import exact_attained, exact_products

CLOSE = 1e-9  # rounding that costs more of the bound than this is not accepted of several layers


def attained(net: Network, problem: LipschitzProblem, x: ArrayLike) -> float:
    """A proved lower bound of the Lipschitz constant: the gradient's dual norm at x, rounded down.

    f is affine around x when no pre-activation that matters vanishes there, and then the constant is at
    least the dual norm of the gradient at x over the inputs that can move: its 1-norm for norm inf, its
    2-norm for norm 2. Every such sign is proved with the rounding error accounted for. A neuron does not
    matter when it cannot change with the free inputs or when f does not depend on it around x.

    With several layers the enclosures grow by the layers' norms while the values need not. Where that
    leaves a sign open or the norm vague, small networks are evaluated in integers (`exact_attained`).

    Args:
        net: the network, any number of hidden layers.
        problem: the problem, norm inf or 2.
        x: (p_0,) the point; its float64 value is what is meant.

    Returns:
        A finite float >= 0; 0.0 when x is not finite, lies outside the domain (decided exactly), is too
        close to a kink, or something overflows.

    Raises:
        ValueError: x of the wrong shape.
        hr2jax.enclosure.UnsoundArithmeticError: when this process cannot prove anything.
    """
    point = np.asarray(x, dtype=np.float64)
    if point.shape != (net.widths[0],):
        raise ValueError(f"x must have shape ({net.widths[0]},), but its shape is {point.shape}")
    check_arithmetic()
    if not np.isfinite(point).all() or not contains(problem, point):
        return 0.0
    lower = 0.0
    with np.errstate(all="ignore"):
        gradient = _gradient(net, problem, point)
        if gradient is not None and gradient.is_finite():
            sizes = np.nextafter(np.abs(gradient.mid) - gradient.rad, -np.inf)
            lower = norm_below(np.maximum(sizes, 0.0), problem.norm)
            if net.depth == 1 or lower >= norm_below(np.abs(gradient.mid), problem.norm) * (1 - CLOSE):
                return lower
    if net.depth == 1:
        return lower
    return max(lower, exact_attained(net, problem, point))


def norm_below(sizes: Array, norm: str | int) -> float:
    """A lower bound of the 1-norm (`norm` "inf") or the 2-norm (2) of exact sizes (n,) >= 0; 0.0 on overflow."""
    if norm == "inf":
        lower = float(Enclosure(sizes).sum().lower())
    else:
        # In units of the largest, so that no square overflows; what underflows is dropped.
        power = int(np.frexp(sizes.max(initial=0.0))[1])
        units = Enclosure(sizes).scaled(-power)
        units = Enclosure(np.maximum(units.lower(), 0.0))
        squares = float((units * units).sum().lower())
        root = math.nextafter(math.sqrt(squares), 0.0) if squares > 0 else 0.0
        lower = float(Enclosure(root).scaled(power).lower())
    return max(lower, 0.0) if math.isfinite(lower) else 0.0


def _gradient(net: Network, problem: LipschitzProblem, x: Array) -> Enclosure | None:
    """The gradient of f at x over the free inputs, enclosed; None where f is not proved affine around x."""
    free = problem.free_inputs if problem.is_local else np.arange(len(x))
    on, undecided, moving = [], [], []
    value: Enclosure | Array = x
    varies = np.zeros(len(x), dtype=bool)  # the entries of the layer below that may change around x
    varies[free] = True
    for A, b in zip(net.weights[:-1], net.biases[:-1], strict=True):
        z = Enclosure(A) @ value + b
        if not z.is_finite():
            return None
        varies = (A[:, varies] != 0).any(axis=1)
        moving.append(varies)
        on.append(z.mid > z.rad)
        undecided.append(np.abs(z.mid) <= z.rad)
        varies = varies & (on[-1] | undecided[-1])
        value = _relu(z)
    adjoint = _outer_weights(net, problem)
    for A, active, open_, moves in zip(
        net.weights[-2::-1], on[::-1], undecided[::-1], moving[::-1], strict=True
    ):
        used = (adjoint.mid != 0) | (adjoint.rad != 0)
        if (open_ & moves & used).any():
            return None
        rows = np.flatnonzero(active & moves & used)
        adjoint = adjoint[rows] @ A[rows]
        untouched = ~(A[rows] != 0).any(axis=0)
        adjoint = Enclosure(np.where(untouched, 0.0, adjoint.mid), np.where(untouched, 0.0, adjoint.rad))
    return adjoint[free]


def _outer_weights(net: Network, problem: LipschitzProblem) -> Enclosure:
    """coefficients @ C, (p_L,), enclosed; an entry that is exactly 0 comes out as exactly 0."""
    C, coefficients = net.weights[-1], problem.coefficients
    rows = np.flatnonzero(coefficients)
    weights = Enclosure(coefficients[rows]) @ C[rows]
    mid, rad = weights.mid.copy(), weights.rad.copy()
    unsure = np.flatnonzero(np.abs(mid) <= rad)
    for k in unsure:
        if exact_products(coefficients[rows], C[rows, k]) == 0:
            mid[k] = rad[k] = 0.0
    return Enclosure(mid, rad)


def _relu(z: Enclosure) -> Enclosure:
    """max(z, 0), enclosed: the midpoints move apart by no more than z does, and not at all below 0."""
    return Enclosure(np.maximum(z.mid, 0.0), np.where(z.mid < -z.rad, 0.0, z.rad))
