"""What is proved about one input: its margins, and the radius that a margin and a constant give.

Plain NumPy float64 with `Enclosure`: the statements are about the exact reals of the stored data.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from .. import graph
from ..arithmetic.enclosure import Enclosure, enclose
from ..arithmetic.float64 import Array
from ..layer import Layer
from ..network import Network

# Inputs whose enclosures are computed together: what they need stays small beside the weights.
INPUTS = 1024

Clip = tuple[Array, Array]


class Rows(Protocol):
    """(n, p_0) numbers of which some rows are asked for: an array, or a file's (`inputs.Mapped`)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Array: ...


def margins(net: Network, inputs: Rows, labels: Array) -> tuple[Array, Array]:
    """Float64 lower and upper bounds, (n, K) each, of F_k(x) - F_j(x), k the input's label, of every member, exactly.

    F_k - F_j is evaluated as one function, so that what both outputs share does not widen it. The label's own
    column is +infinity in both. Where float64 overflows nothing is known: -infinity and +infinity.

    Args:
        net: the network, any depth, K >= 2 outputs.
        inputs: (n, p_0) float64.
        labels: (n,) integers in 0..K-1.
    """
    n, outputs = len(inputs), net.widths[-1]
    low, high = np.full((n, outputs), np.inf), np.full((n, outputs), np.inf)
    with np.errstate(all="ignore"):
        for start in range(0, n, INPUTS):
            rows = np.arange(start, min(start + INPUTS, n))
            for own, rivals, difference in _differences(net, inputs[rows], labels[rows]):
                place = np.ix_(rows[own], rivals)
                low[place], high[place] = difference.lower(), difference.upper()
    unknown = ~(np.isfinite(low) & np.isfinite(high))
    unknown[np.arange(n), labels] = False
    low[unknown], high[unknown] = -np.inf, np.inf
    return low, high


def _differences(net: Network, inputs: Array, labels: Array) -> list[tuple[Array, Array, Enclosure]]:
    """Per label k the inputs that have it, bool (n,), its rivals (K - 1,), and F_k - F_rival at those inputs."""
    found: list[tuple[Array, Array, Enclosure]] = []

    def step(l: int, layer: Layer, below: graph.Pairs) -> Enclosure | None:
        if l < len(net.layers):
            return graph.activated(layer, graph.rows_forward(layer, below))
        for k in np.unique(labels):
            own, rivals = labels == k, np.flatnonzero(np.arange(layer.width) != k)
            linear = graph.total(y[own] @ (C[k] - enclose(C[rivals])).T for C, y in below)
            found.append((own, rivals, linear + (layer.bias[k] - enclose(layer.bias[rivals]))))
        return None

    graph.forward(net.enclosed, Enclosure(inputs), step)
    return found


def exceeds(margin: ArrayLike, bound: ArrayLike, radius: ArrayLike) -> Array:
    """Whether margin > bound * radius is proved: |f(y) - f(x)| <= bound * radius then leaves f(y) > 0."""
    with np.errstate(all="ignore"):
        change = np.nextafter(np.multiply(bound, radius), np.inf)  # above the exact product, also where it underflows
    proved: Array = np.less(change, margin)
    return proved


def largest_radius(margin: ArrayLike, bound: ArrayLike) -> Array:
    """The largest float64 radius (to a few units in the last place) with `exceeds(margin, bound, radius)`.

    `margin` and `bound` broadcast. 0 where the margin is not positive or the bound is infinite; infinity where
    the bound is 0 (or the margin +infinity): no change of the input changes the sign.
    """
    margin, bound = np.broadcast_arrays(np.asarray(margin, float), np.asarray(bound, float))
    with np.errstate(all="ignore"):
        radius = np.minimum(margin / bound, np.finfo(float).max)
    free = (margin > 0) & ((bound == 0) | (margin == np.inf))
    none = ~(margin > 0) | ~(bound < np.inf)
    radius = np.where(none | free, 0.0, radius)
    shrink = 2.0**-53
    while (open_ := (radius > 0) & ~exceeds(margin, bound, radius)).any():
        smaller = np.minimum(np.nextafter(radius, 0.0), radius * (1.0 - shrink))
        radius = np.where(open_, smaller, radius)
        shrink = min(2.0 * shrink, 0.5)  # among subnormal numbers single steps would take forever
    return np.where(free, np.inf, radius)


def clipped_ball(x: Array, radius: float, clip: Clip | None) -> tuple[Array, Array]:
    """Center and half-widths, (p_0,) each, of a box that contains {y : |y - x| <= radius} and y in the clip box.

    Where the clip box does not cut, they are x and radius exactly; where it leaves one value, the half-width is 0.
    """
    center, half = x.copy(), np.full(x.shape, radius)
    if clip is None:
        return center, half
    with np.errstate(over="ignore", invalid="ignore"):
        low = np.maximum(np.nextafter(x - radius, -np.inf), clip[0])
        high = np.minimum(np.nextafter(x + radius, np.inf), clip[1])
        middle = np.where(low == high, low, 0.5 * low + 0.5 * high)
        # where rounding makes one side the longer one, let it be a side that the clip box does not cut
        below, above = _difference_up(middle, low), _difference_up(high, middle)
        middle = np.where((below > above) & (high == clip[1]), np.nextafter(middle, -np.inf), middle)
        middle = np.where((above > below) & (high != clip[1]), np.nextafter(middle, np.inf), middle)
        reach = np.maximum(_difference_up(high, middle), _difference_up(middle, low))
    smaller = ((low == clip[0]) | (high == clip[1])) & (reach < radius)  # one that only touches stays as it is
    return np.where(smaller, middle, center), np.where(smaller, reach, half)


def _difference_up(a: Array, b: Array) -> Array:
    """a - b, exact where float64 can hold it, else rounded up (Knuth's two-sum tells)."""
    total = a - b
    part = total - a
    error = (a - (total - part)) - (b + part)
    return np.where(error == 0, total, np.nextafter(total, np.inf))


def inner_box(x: Array, radius: float, clip: Clip | None) -> Clip:
    """Float64 low and high, shaped as x, of a box inside {y : |y - x| <= radius} and the clip box; x is in it."""
    with np.errstate(over="ignore"):
        low = np.minimum(np.nextafter(x - radius, np.inf), x)
        high = np.maximum(np.nextafter(x + radius, -np.inf), x)
    largest = np.finfo(float).max
    low, high = np.maximum(low, -largest), np.minimum(high, largest)
    return (low, high) if clip is None else (np.maximum(low, clip[0]), np.minimum(high, clip[1]))
