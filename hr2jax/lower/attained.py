"""What an actual point proves: a rigorous lower bound of the Lipschitz constant (DESIGN section 8)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from ..enclosure import Array, Enclosure, check_arithmetic
from ..network import Network
from ..problem import LipschitzProblem


def attained(net: Network, problem: LipschitzProblem, x: ArrayLike) -> float:
    """A proved lower bound of the Lipschitz constant: the gradient's 1-norm at x, rounded down.

    f is affine around x when no pre-activation that matters vanishes there, and then the constant is at
    least the dual norm of the gradient at x over the inputs that can move. Every such sign is proved
    with the rounding error accounted for. A neuron does not matter when it cannot change with the free
    inputs or when f does not depend on it around x.

    Args:
        net: the network, any number of hidden layers.
        problem: the problem, norm "inf".
        x: (p_0,) the point; its float64 value is what is meant.

    Returns:
        A finite float >= 0; 0.0 when x is not finite, lies outside the box (decided exactly), is too
        close to a kink, or something overflows.

    Raises:
        NotImplementedError: norm 2.
        ValueError: x of the wrong shape.
        hr2jax.enclosure.UnsoundArithmeticError: when this process cannot prove anything.
    """
    if problem.norm != "inf":
        raise NotImplementedError("attained lower bounds exist for the inf norm only")
    point = np.asarray(x, dtype=np.float64)
    if point.shape != (net.widths[0],):
        raise ValueError(f"x must have shape ({net.widths[0]},), but its shape is {point.shape}")
    check_arithmetic()
    if not np.isfinite(point).all() or outside(problem, point).any():
        return 0.0
    with np.errstate(all="ignore"):
        gradient = _gradient(net, problem, point)
        if gradient is None or not gradient.is_finite():
            return 0.0
        sizes = np.nextafter(np.abs(gradient.mid) - gradient.rad, -np.inf)
        total = Enclosure(np.maximum(sizes, 0.0)).sum()
        lower = float(total.lower())
    return max(lower, 0.0) if np.isfinite(lower) else 0.0


def outside(problem: LipschitzProblem, x: Array) -> Array:
    """(p_0,) bool: the entries of a finite x (p_0,) that leave the box, in exact arithmetic; globally none."""
    if problem.center is None or problem.radius is None:
        return np.zeros(x.shape, dtype=bool)
    with np.errstate(over="ignore"):
        distance = np.abs(x - problem.center)
    # Rounding is monotone: a rounded distance beside the radius decides, only equality is open.
    out = distance > problem.radius
    for j in np.flatnonzero(distance == problem.radius):
        exact = abs(Fraction(float(x[j])) - Fraction(float(problem.center[j])))
        out[j] = exact > Fraction(float(problem.radius[j]))
    return out


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
    for k in np.flatnonzero(np.abs(mid) <= rad):
        exact = sum((Fraction(float(coefficients[i])) * Fraction(float(C[i, k])) for i in rows), Fraction(0))
        if exact == 0:
            mid[k] = rad[k] = 0.0
    return Enclosure(mid, rad)


def _relu(z: Enclosure) -> Enclosure:
    """max(z, 0), enclosed: the midpoints move apart by no more than z does."""
    return Enclosure(np.maximum(z.mid, 0.0), z.rad)
