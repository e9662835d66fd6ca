"""A hidden layer's neurons, by what a presolve has found of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..arithmetic.enclosure import clipped_exponent
from ..arithmetic.float64 import Array
from ..network import Network


@dataclass(frozen=True)
class Neurons:
    """One hidden layer's neurons, by what they need.

    A neuron is stable when its sign is known almost everywhere on the domain (l >= 0: always on, h <= 0:
    always off), when both its slopes are the same, or when nothing that moves reaches it (it cannot change f). Stable
    neurons need no variable (docs/theory/the-problem.md).

    Attributes:
        unstable: (n,) indices of the neurons that get a variable v = 2u - 1.
        active: (m,) indices of the neurons whose u is 1, or may be said to be.
        constant: indices of the neurons that do not move.
        inactive: indices of the neurons that move, whose u is 0 and whose value is not.
        low, high: (n,) scaled bounds: 2**exponent * low <= z <= 2**exponent * high on the domain,
            multiples of 2**-GRID in [-1, 1]; empty globally.
        exponent: (n,) int64.
        reach: chain ("p", "a", "q") -> (n,) scaled bounds of what the chain's mask multiplies, multiples of 2**-GRID in
            [0, 1]: |w| <= 2**reach_exponent * reach for tangents, |g| for adjoints. In the last layer only for "q".
        reach_exponent: chain -> (n,) int64.
        middle: chain -> (n,) float64 that what its mask multiplies is less of, in the lifting "tied"; of m values
            (m n,), one behind the other, s times which it is less of; of other liftings none.
    """

    unstable: Array
    active: Array
    constant: Array
    low: Array
    high: Array
    exponent: Array
    reach: Mapping[str, Array] = field(default_factory=dict)
    reach_exponent: Mapping[str, Array] = field(default_factory=dict)
    middle: Mapping[str, Array] = field(default_factory=dict)
    inactive: Array = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def of_value(neurons: Neurons, k: int, values: int) -> Neurons:
    """The same with the middles of the k-th of several values alone."""
    return replace(neurons, middle={c: m.reshape(values, -1)[k] for c, m in neurons.middle.items()})


def ends(neurons: Neurons) -> tuple[Array, Array]:
    """(low, high) of z of those with a variable, (n,) float64 each, rounded outward where they are no float64."""
    sides = (neurons.low, neurons.high)
    whole = [np.ldexp(side, clipped_exponent(neurons.exponent)) for side in sides]
    exact = [np.ldexp(end, clipped_exponent(-neurons.exponent)) == side for end, side in zip(whole, sides, strict=True)]
    low, high = whole
    low = np.where(exact[0], low, np.nextafter(low, -np.inf))
    return low, np.where(exact[1], high, np.nextafter(high, np.inf))


def masks(net: Network, layers: tuple[Neurons, ...] | list[Neurons]) -> tuple[list[Array], list[Array]]:
    """Per layer (p_l,) bool: neurons whose mask is 1 always or may be, and those whose mask is 0 or without effect."""
    on, off = [], []
    for layer, width in zip(layers, net.widths[1:], strict=False):
        always = np.zeros(width, dtype=bool)
        always[layer.active] = True
        never = ~always
        never[layer.unstable] = False
        on.append(always)
        off.append(never)
    return on, off
