"""Slopes of smooth neurons as functions of z: the lifting "tied" (docs/theory/depth.md).

    sigma'(z) = s z + c + r k,  |k| <= 1           on l <= z <= h, between two parallel lines (bounds/lines.py)
    d = (sigma'(z) - m) / 2**exponent              from low to high, in [-1, 1]

k is the variable, d is linear in it and z. What d multiplies is the adjoint less a middle that a certificate states,
b = g - g0, and a = d b is the variable behind it. All of it is said of the slopes that an input has, none is free.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arithmetic.enclosure import Enclosure, TooLargeError, clipped_exponent
from ..arithmetic.float64 import Array
from ..bounds.lines import slope_lines
from ..layer import Layer
from ..network import Network
from .basis import ONE, Group, LinearMap
from .neurons import Neurons, ends
from .pieces import Piece, add
from .presolve import Presolve
from .scales import LARGEST_SCALE, exponents

# The bounds of d are multiples of 2**-COARSE, so that their products with those of b, on the grid, are exact.
COARSE = 12
# An adjoint counts as constant where it moves by less than 2**-STILL of its middle.
STILL = 24


@dataclass(frozen=True)
class Ties:
    """What is known of the slopes of a smooth layer's neurons that have a variable, (n,) each.

    Attributes:
        slope, shift, reach: s, c and r, float64 numbers.
        middle: m.
        low, high: of d, multiples of 2**-COARSE in [-1, 1].
        exponent: of d, int64.
    """

    slope: Array
    shift: Array
    reach: Array
    middle: Array
    low: Array
    high: Array
    exponent: Array

    def rows(self, l: int, z: LinearMap, scale: Array, arithmetic: type[Enclosure]) -> LinearMap:
        """d, linear in z's groups and k; z is given over 2**scale."""
        s = arithmetic(self.slope).reshape(-1, 1)
        out = {g: (m * s).scaled((scale - self.exponent).reshape(-1, 1)) for g, m in z.items()}
        n = len(self.exponent)
        of_k = arithmetic(np.zeros((n, n)))
        of_k[np.arange(n), np.arange(n)] = arithmetic(self.reach).scaled(-self.exponent)
        shift = (arithmetic(self.shift) - self.middle).scaled(-self.exponent).reshape(-1, 1)
        add(out, {ONE: shift, Group("k", l): of_k})
        return out


def ties_of(layer: Layer, neurons: Neurons) -> Ties:
    """A smooth layer's, its slopes known (`Layer.with_slopes`), of the neurons with a variable.

    Raises:
        TooLargeError: slopes that overflow float64.
    """
    low, high = ends(neurons)
    alpha, beta = (side[neurons.unstable] for side in layer.slopes)
    with np.errstate(all="ignore"):
        s, below, above = slope_lines(layer, low, high)
        c, m = 0.5 * below + 0.5 * above, 0.5 * alpha + 0.5 * beta
        r = np.maximum(np.maximum((Enclosure(above) - c).upper(), (Enclosure(c) - below).upper()), 0.0)
        least, most = (Enclosure(alpha) - m).lower(), (Enclosure(beta) - m).upper()
    if not all(np.isfinite(side).all() for side in (s, c, r, least, most)):
        raise TooLargeError(f"the slopes of a layer of {layer.activation} overflow float64")
    scale = exponents(np.maximum(np.abs(least), np.abs(most)), None, "slope's")
    return Ties(s, c, r, m, -_on_coarse(-least, scale), _on_coarse(most, scale), scale)


def mean_slack(net: Network, fixed: Presolve) -> float:
    """The mean share of the slopes' ranges that the lines leave open; 1 is all of it."""
    net, shares = fixed.relaxed(net), []
    for l in fixed.ranges:
        ties = ties_of(net.layers[l - 1], fixed.layers[l - 1])
        half = 0.5 * np.ldexp(ties.high - ties.low, clipped_exponent(ties.exponent))
        shares.append(ties.reach[half > 0] / half[half > 0])
    every = np.concatenate([np.zeros(0), *shares])
    return float(every.mean()) if every.size else 0.0


def _on_coarse(value: Array, exponent: Array) -> Array:
    """The least multiple of 2**-COARSE at or above value / 2**exponent."""
    with np.errstate(under="ignore"):
        steps = np.ceil(np.ldexp(value, clipped_exponent(COARSE - exponent)))
    return np.ldexp(np.where((value > 0) & (steps == 0), 1.0, steps), -COARSE)


def moving(neurons: Neurons) -> Array:
    """Places of neurons whose adjoints are not as good as constant: what says that a is 0 leaves no interior.

    What a certificate states decides, so that whoever verifies it has the same rows.
    """
    exponent, middle = neurons.reach_exponent["a"], neurons.middle["a"]
    return np.flatnonzero(exponent > np.where(middle == 0, -LARGEST_SCALE, np.frexp(middle)[1] - STILL))


@dataclass(frozen=True)
class Sloped:
    """The slopes of a layer's neurons that have a variable, and the pieces that they make of what they multiply.

    Attributes:
        slopes: (n,) rows over the basis' groups.
        scale: (n,) int64, they are those times 2**scale.
        straight, bent: (n,) each: a slope times b is straight b + bent a, a the variable behind the mask; of smooth
            neurons the middle and 2**exponent, of others alpha and beta - alpha.
    """

    slopes: LinearMap
    scale: Array
    straight: Any
    bent: Any

    def times(self, c: Enclosure) -> LinearMap:
        """c (n,) times the slopes, over 2**scale."""
        return {g: m * c.reshape(-1, 1) for g, m in self.slopes.items()}

    def piece(self, columns: Array, exponent: Array, middle: Array, own: Group, before: LinearMap) -> Piece:
        """Slopes times adjoints g = middle + 2**exponent b, where `own` is the variable behind and `before` is b."""
        arithmetic = type(self.straight)
        whole = np.maximum(exponent, np.frexp(middle)[1].astype(np.int64))
        down = (exponent - whole - self.scale).reshape(-1, 1)
        center = arithmetic(middle).scaled(-whole)
        out = self.times(center)
        add(out, {g: (m * self.straight.reshape(-1, 1)).scaled(down) for g, m in before.items()})
        n = len(columns)
        of_own = arithmetic(np.zeros((n, n)))
        of_own[np.arange(n), np.arange(n)] = self.bent.scaled(down.ravel())
        add(out, {own: of_own})
        return Piece(columns, whole + self.scale, out)


def sloped_of(layer: Layer, l: int, rows: Array, ties: Ties | None, d: LinearMap, arithmetic: Any) -> Sloped:
    """Of a layer's neurons `rows`: `ties` and their `d` where it is smooth."""
    n = len(rows)
    if ties is not None:
        # over 2**scale, at or above the slopes themselves
        scale = np.maximum(ties.exponent, np.frexp(ties.middle)[1].astype(np.int64))
        slopes = {g: m.scaled((ties.exponent - scale).reshape(-1, 1)) for g, m in d.items()}
        add(slopes, {ONE: arithmetic(ties.middle).scaled(-scale).reshape(-1, 1)})
        one = arithmetic(np.ones(n))
        return Sloped(slopes, scale, arithmetic(ties.middle), one.scaled(ties.exponent))
    alpha, beta = (arithmetic(slopes[rows]) for slopes in layer.slopes)
    of_v = arithmetic(np.zeros((n, n)))
    of_v[np.arange(n), np.arange(n)] = (beta - alpha).scaled(-1)
    slopes = {Group("v", l): of_v, ONE: (beta + alpha).scaled(-1).reshape(-1, 1)}
    return Sloped(slopes, np.zeros(n, dtype=np.int64), alpha, beta - alpha)
