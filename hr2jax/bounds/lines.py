"""Two parallel lines that a smooth activation, or its derivative, lies between on an interval, all roundings in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..graph import between
from ..layer import Layer

# What a certificate states of e (relaxation/curves.py) is in units of these lines: another number is another format.
PIECES = 8  # of the interval, on each of which the hull of the slopes says how far values are from those at its ends
SLOPE_PIECES = 16  # the same of the slopes themselves, whose own slopes are enclosed less tightly
Between = Callable[[Array, Array], tuple[Array, Array]]


def parallel_lines(layer: Layer, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """(s, below, above), float64 (p_l,) each: s z + below <= sigma(z) <= s z + above for low <= z <= high.

    s is about the chord's slope; where sigma jumps, or nothing better is known, 0. Infinite where it overflows.
    """
    return _lines(layer.values_between, layer.slopes_between, low, high, jumps(layer, low, high), PIECES)


def slope_lines(layer: Layer, low: Array, high: Array) -> tuple[Array, Array, Array]:
    """The same of sigma' in place of sigma, one-sided derivatives; s is 0 where it jumps."""
    flat = jumps(layer, low, high)
    for at in layer.breaks:
        flat = flat | ((low <= at) & (at <= high))
    s, below, above = _lines(layer.slopes_between, layer.bends_between, low, high, flat, SLOPE_PIECES)
    least, most = layer.slopes_between(low, high)
    known = np.isfinite(below) & np.isfinite(above)
    return np.where(known, s, 0.0), np.where(known, below, least), np.where(known, above, most)


def _lines(
    values: Between, slopes: Between, low: Array, high: Array, flat: Array, pieces: int
) -> tuple[Array, Array, Array]:
    """Lines around a function, by hulls of its values and of what lies around its derivatives; s = 0 where `flat`."""
    parts = np.linspace(0.0, 1.0, pieces + 1)[:, None]
    with np.errstate(all="ignore"):
        x = np.maximum.accumulate(np.clip(low + parts * (high - low), low, high))
        x[0], x[-1] = low, high
        ends = between(Enclosure, *_each(values, x, x))
        least, most = _each(slopes, x[:-1], x[1:])
        s = (ends.mid[-1] - ends.mid[0]) / (high - low)
        s = np.where(np.isfinite(s), s, least[0])
        s = np.where(flat | ~np.isfinite(s), 0.0, s)
        above_line = ends - Enclosure(x) * s
        width = Enclosure(x[1:]) - x[:-1]
        rises = width * np.maximum((Enclosure(most) - s).upper(), 0.0)
        falls = width * np.maximum((Enclosure(s) - least).upper(), 0.0)
        top = np.minimum((above_line[:-1] + rises).upper(), (above_line[1:] + falls).upper()).max(axis=0)
        bottom = np.maximum((above_line[:-1] - falls).lower(), (above_line[1:] - rises).lower()).min(axis=0)
        lowest, highest = values(low, high)
    return s, np.where(s == 0, lowest, bottom), np.where(s == 0, highest, top)


def _each(of: Between, low: Array, high: Array) -> tuple[Array, Array]:
    """`of` at arrays of any shape."""
    found = of(low.ravel(), high.ravel())
    return found[0].reshape(low.shape), found[1].reshape(low.shape)


def jumps(layer: Layer, low: Array, high: Array) -> Array:
    """(p_l,) bool: where softplus may jump inside, that is, beta z meets its threshold: no slope says by how much."""
    if layer.activation != "softplus":
        return np.zeros(len(low), dtype=bool)
    own = layer.numbers
    at = own["threshold"] / own["beta"]
    near = 1e-9 * abs(at) + 1e-300
    return (low <= at + near) & (high >= at - near)
