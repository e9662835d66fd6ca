"""Scaled bounds: floats on a grid, times powers of two, that a certificate stores and `verify` proves to be valid.

Whoever solves states a bound a little above the one it has proved (`margins`): another machine's BLAS adds in another
order, and what it proves by itself must not exceed what is stated. Whoever verifies uses what is stated.
"""

from __future__ import annotations

import numpy as np

from .. import graph
from ..arithmetic.enclosure import clipped_exponent
from ..arithmetic.float64 import Array
from ..layer import Layer, largest
from ..network import Network
from ..problem import Problem
from .layout import ADJOINTS

# Bounds are multiples of 2^-GRID of their neuron's scale: sums, differences and halves of them are then exact in
# float64, so the factors h u + l (1-u) - z carry no rounding error.
GRID = 40

# Scales beyond any that float64 numbers need: int64 sums of them would overflow, and with them the unit of the bound.
LARGEST_SCALE = 2**15

# What stated bounds exceed proved ones by, relative to their size; and in roundings of the terms that they are sums of.
MARGIN, ROUNDINGS = 1e-10, 8.0
# The same relative to the terms where coefficients have radii: those of python-flint's balls have 30 bits.
OF_RADII = 1e-8


def margins(size: Array, terms: Array, width: int, has_radii: bool = False) -> Array:
    """How much above what is proved a bound is stated.

    Args:
        size: (n,) magnitudes of the bounds; what is exactly 0 is stated as 0.
        terms: (n,) about the sums of the magnitudes of what each bound is the sum of.
        width: how many terms that are.
        has_radii: whether the network has any.
    """
    with np.errstate(all="ignore"):
        margin = MARGIN * size + ROUNDINGS * (width + 4) * 2.0**-53 * terms
        if has_radii:
            margin = margin + OF_RADII * terms
    return np.where((size > 0) & np.isfinite(margin), margin, 0.0)


def reach_margins(net: Network, problem: Problem, sizes: list[Array], chain: str) -> list[Array]:
    """Per layer (p_l,), what is added to the bounds of a chain (`margins`).

    Where a size is nothing but a rounding's leftover, the next layer's is nothing else either.
    """
    out = [np.zeros(0)] * len(sizes)

    def step(l: int, layer: Layer, pairs: list[tuple[Array, tuple[Array, Array]]]) -> tuple[Array, Array]:
        """The size behind the mask, and what of it is left over."""
        size = sizes[l - 1]
        if [*layer.inputs] == [0] and chain not in ADJOINTS:
            out[l - 1] = margins(size, size, net.widths[0], net.has_radii)
            left_over = np.zeros(len(size))
        else:
            width = sum(A.shape[1] for A, _ in pairs)
            terms, left = (graph.total(A @ part[k] for A, part in pairs) for k in (0, 1))
            margin = margins(size, terms, width, net.has_radii) + left
            out[l - 1] = np.where((size > 0) & np.isfinite(margin), margin, 0.0)
            left_over = np.where(out[l - 1] > size, out[l - 1], 0.0)
        if layer.activation in ("relu", "identity"):
            return size, left_over
        steepest = np.maximum(*map(np.abs, layer.slopes))
        return steepest * size, steepest * left_over

    with np.errstate(all="ignore"):
        if chain in ADJOINTS:
            c = np.abs(problem.coefficients)
            c = c.sum(axis=0) if problem.is_vector else c
            graph.backward(
                net.enclosed, (c, np.zeros(len(c))),
                lambda l, layer, above: step(l, layer, [(largest(A).T, a) for A, a in above]),
            )  # fmt: skip
        else:
            t = np.isin(np.arange(net.widths[0]), problem.directions_of(net.widths[0])).astype(np.float64)
            graph.forward(
                net.enclosed[:-1], (t, np.zeros(len(t))),
                lambda l, layer, below: step(l, layer, [(largest(A), y) for A, y in below]),
            )  # fmt: skip
    return out


def raised(bound: Array, margin: Array) -> Array:
    """bound + margin, at least the bound and finite."""
    with np.errstate(all="ignore"):
        return np.maximum(bound, np.minimum(bound + margin, np.finfo(np.float64).max))


def exponents(size: Array, given: Array | None, what: str) -> Array:
    """(n,) int64 with size < 2**exponent, or those given if they are as large; any is for what is 0.

    Raises:
        ValueError: scales that are too small, beyond LARGEST_SCALE, or not as many as sizes.
    """
    smallest = np.frexp(size)[1].astype(np.int64)  # size < 2**smallest
    if given is None:
        given = smallest
    else:
        smallest[size == 0] = -LARGEST_SCALE
        if np.shape(given) != np.shape(size):
            raise ValueError(f"{len(size)} scales are needed, but their shape is {np.shape(given)}")
        if (given < smallest).any():
            raise ValueError(f"a neuron's scale is smaller than its {what} bound")
    if (given > LARGEST_SCALE).any():
        raise ValueError(f"a neuron's scale is beyond 2**{LARGEST_SCALE}")
    return given


def on_grid(value: Array, exponent: Array) -> Array:
    """The least multiple of 2**-GRID at or above value / 2**exponent (above 0, one if it underflows)."""
    with np.errstate(under="ignore", over="ignore"):
        steps = np.ceil(np.ldexp(value, clipped_exponent(GRID - exponent)))
    steps = np.where((value > 0) & (steps == 0), 1.0, steps)  # an underflow must not round down
    return np.ldexp(steps, -GRID)


def proved(stated: Array, bound: Array, exponent: Array, what: str, least: float = -1.0) -> Array:
    """The stated multiples of 2**(exponent - GRID), proved to be at or above the bounds.

    Args:
        stated: (n,) float64, what a certificate says.
        bound: (n,) float64, what is proved here.
        exponent: (n,) int64.
        what: of which bound, for the refusal.
        least: the least that may be stated; the most is 1.

    Raises:
        ValueError: what is stated is no such multiple, or smaller than what is proved.
    """
    if np.shape(stated) != np.shape(bound):
        raise ValueError(f"{len(bound)} {what} bounds are needed, but their shape is {np.shape(stated)}")
    if not ((stated >= least) & (stated <= 1.0) & (np.ldexp(stated, GRID) == np.rint(np.ldexp(stated, GRID)))).all():
        raise ValueError(f"{what} bounds must be multiples of 2**-{GRID} from {least:g} to 1")
    if (np.abs(exponent) > LARGEST_SCALE).any():
        raise ValueError(f"a neuron's scale is beyond 2**{LARGEST_SCALE}")
    if not (on_grid(bound, exponent) <= stated).all():
        raise ValueError(f"a neuron's {what} bound is smaller than the one that can be proved")
    return stated
