"""Whether a point is a counterexample: rational numbers for piecewise linear networks, enclosures for others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from .. import graph
from ..arithmetic.decimals import round_up
from ..arithmetic.dyadic import Dyadic, bits, dyadic
from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..io.vnnlib import Formula
from ..io.vnnlib.formula import truth
from ..layer import Layer
from ..network import Network

MOST_WEIGHTS = 3_000_000  # seconds
MOST_BITS = 40_000  # of the integers, all layers together, and of a point's denominators


def meets(net: Network, formula: Formula, x: Sequence[Fraction]) -> bool:
    """Whether (x, F(x)) is proved to meet the formula; p_0 rational numbers x."""
    return known(net, formula, x) is True


def known(net: Network, formula: Formula, x: Sequence[Fraction]) -> bool | None:
    """Whether (x, F(x)) meets the formula; None where that is not proved either way."""
    found = _enclosed_values(net, x)
    answer = None if found is None else truth(formula, [*x, *found[0]], [*x, *found[1]])
    if answer is False:
        return False
    exact = exact_values(net, x)
    if exact is not None:
        return truth(formula, [*x, *exact], [*x, *exact])
    return answer


def exact_values(net: Network, x: Sequence[Fraction]) -> list[Fraction] | None:
    """F(x), K rational numbers; None of a network with smooth layers or radii, or one that is too large for this.

    Piecewise linear layers are positively homogeneous: for D > 0, D F(x) is the network's value at D x with D times the
    biases, and with D a common denominator these are integers times powers of two.
    """
    if net.smooth or net.has_radii:
        return None
    denominator = math.lcm(*(value.denominator for value in x))
    matrices = [A for layer in net.enclosed for A in layer.inputs.values()]
    slopes = [np.stack(layer.slopes) for layer in net.layers if layer.activation not in ("relu", "identity")]
    arrays = [*matrices, *(layer.bias for layer in net.layers), *slopes]
    if sum(A.size for A in matrices) > MOST_WEIGHTS:
        return None
    if sum(map(bits, arrays)) + denominator.bit_length() > MOST_BITS:
        return None
    point = Dyadic(np.array([int(value * denominator) for value in x], dtype=object), 0)
    layers = [layer.mapped(dyadic) for layer in net.enclosed]

    def step(l: int, layer: Layer, below: graph.Pairs) -> Dyadic:
        bias = Dyadic(layer.bias.ints * denominator, layer.bias.exponent)
        z = graph.total(A.times(y) for A, y in below) + bias
        if layer.activation == "identity":
            return z
        on = np.array([k > 0 for k in z.ints], dtype=bool)
        if layer.activation == "relu":
            return Dyadic(np.where(on, z.ints, 0), z.exponent)
        given = dyadic(np.stack(net.layers[l - 1].slopes))
        return Dyadic(z.ints * np.where(on, given.ints[1], given.ints[0]), z.exponent + given.exponent)

    out = graph.forward(layers, point, step)
    scale = Fraction(2) ** out.exponent / denominator
    return [int(value) * scale for value in out.ints]


def nearest_floats(x: Sequence[Fraction]) -> Array:
    """(p_0,) the float64 numbers nearest to x."""
    return np.array([float(value) for value in x])


def _enclosed(x: Sequence[Fraction]) -> Enclosure:
    mid = nearest_floats(x)
    rad = [round_up(abs(value - Fraction(near))) for value, near in zip(x, mid.tolist(), strict=True)]
    return Enclosure(mid, np.array(rad))


Ends = tuple[list[Fraction], list[Fraction]]


def _enclosed_values(net: Network, x: Sequence[Fraction]) -> Ends | None:
    with np.errstate(all="ignore"):
        return _ends(graph.evaluate(net.layers, _enclosed(x)))


def _ends(values: Enclosure) -> Ends | None:
    low, high = values.lower(), values.upper()
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return None
    return [Fraction(v) for v in low.tolist()], [Fraction(v) for v in high.tolist()]
