"""Cases of a homogeneous network that hold nothing, though no bound above 0 says so: they close where tau = 0.

On a face (faces.py) tau may be 0, where signs meet that meet at no tau > 0: of rho >= 0, z_1 = rho - 2 tau and
z_2 = tau - rho are both at least 0 where rho = tau = 0 alone. So no bound on the face is above 0, and one near 0 says
nothing. But -2 z_1 - 3 z_2, at most 0 in the case, is rho + tau, above 0 where tau is. No rounding is in the way of
that: rho, which is at least 0 and has a coefficient that surely is, is left out, and what must be 0 is 0 by structure.

A case here is where z > 0 or z <= 0, as its signs say: each point is in one leaf of a tree (docs/theory/cases.md).
"""

from __future__ import annotations

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..layer import Layer
from ..network import Network
from .interval import Pair
from .linear import per_layer
from .spans import plus, pulled, sloped

# A b that stands for what leaves a coefficient of 0.
ENOUGH = 2.0**1000


def vanishing(
    net: Network, inputs: int, bounds: list[Pair], signs: Array, slopes: Array, arithmetic: type[Enclosure] = Enclosure
) -> Array:
    """(n,) bool: whether no point of the cone with tau > 0 is in each case (n, w).

    As in `linear.backward`, -b z of neurons that are on and b z of those that are off are added up, which is at most
    0, and less where a b > 0 is of one that is on; neurons are replaced by what they are at least, from the last layer
    to the first, of which nothing is a constant. What is left must be an exact 0 of x and at least 0 of tau; it or what
    it is below must not be 0. Or a bound alone says that a neuron has another sign.

    Args:
        net: homogeneous, piecewise linear.
        inputs: how many of its inputs x has; what is behind is tau.
        bounds: of every hidden layer, proved on the face.
        signs: (n, w) int8.
        slopes: (n, w) float64 >= 0: b of neurons with a sign, ENOUGH standing for what leaves a coefficient of 0; of
            the others what the lower line's slope is, 0 of those on that are left out.
        arithmetic: the arithmetic that proves it.
    """
    n, last = len(signs), len(net.layers)
    said, lines = (per_layer(net, last, values) for values in (signs, slopes))
    none = np.zeros((net.layers[-1].width, n))
    is_proved, is_strict, is_not = np.ones(n, dtype=bool), *np.zeros((2, n), dtype=bool)

    def step(l: int, layer: Layer, above: graph.Pairs) -> Pair:
        g = pulled(above, arithmetic)
        if layer.activation == "identity":
            return g
        low, high = bounds[l - 1]
        on, off = (low >= 0)[:, None], (high <= 0)[:, None]
        own, line = said[l].T, lines[l].T
        is_on, is_off = (own > 0) | (on & (own == 0)), (own < 0) | (off & ~on & (own == 0))
        is_not.__ior__((((own > 0) & off) | ((own < 0) & (low > 0)[:, None])).any(axis=0))
        is_open = ~(is_on | is_off)
        alpha, beta = (sloped(g, slope[:, None]) for slope in layer.slopes)
        # of z where a sign or a bound says what the neuron is; else of sigma(z)
        c_low, c_high = (np.where(is_on, b, np.where(is_off, a, 0.0)) for a, b in zip(alpha, beta, strict=True))
        is_out = np.where(own == 0, line == 0, line >= ENOUGH) & np.where(is_on, c_low >= 0, c_high <= 0)
        b = np.where(own == 0, 0.0, np.where(own > 0, -line, line))
        with_b = plus((c_low, c_high), (b, b), arithmetic)
        touched = b != 0
        c_low, c_high = np.where(touched, with_b[0], c_low), np.where(touched, with_b[1], c_high)
        is_strict.__ior__(((own > 0) & np.where(is_out, beta[0] > 0, line > 0)).any(axis=0))
        if layer.activation == "relu":  # at least any line of a slope in [0, 1]
            some = sloped(g, line)
            is_known = ~is_open | (g[0] >= 0)
            c_low, c_high = np.where(is_open, some[0], c_low), np.where(is_open, some[1], c_high)
        else:
            is_known = ~is_open | ((g[0] == 0) & (g[1] == 0))
        is_proved.__iand__(is_known.all(axis=0))
        return np.where(is_out & ~is_open, 0.0, c_low), np.where(is_out & ~is_open, 0.0, c_high)

    with np.errstate(all="ignore"):
        low, high = pulled(graph.backward(net.enclosed, (none, none), step), arithmetic)
        is_zero = ((low[:inputs] == 0) & (high[:inputs] == 0)).all(axis=0)
        of_tau = low[inputs:]
        is_less = (of_tau >= 0).all(axis=0) & (is_strict | (of_tau > 0).any(axis=0))
        return is_not | (is_proved & is_zero & is_less)
