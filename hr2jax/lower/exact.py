"""The gradient at a point in exact arithmetic: float64 numbers are integers times a power of two.

For networks of several layers where enclosures are too wide, or a pre-activation is within rounding of 0.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from .. import graph
from ..arithmetic.dyadic import Dyadic, bits, dyadic
from ..arithmetic.float64 import Array
from ..arithmetic.norms import Norm, unknown_norm
from ..layer import Layer
from ..network import Network
from ..problem import Problem

MOST_WEIGHTS = 1_500_000  # a second or so
MOST_BITS = 12_000  # of the integers, all layers together


def exact_attained(net: Network, problem: Problem, x: Array) -> float:
    """What `attained` says, without rounding but of the result; x (p_0,) must be finite and in the domain.

    The network has no radii.

    Returns:
        The dual norm rounded down; 0.0 when a pre-activation that matters is exactly 0, the result is
        beyond float64, or the network is too large for this.
    """
    matrices = [A for layer in net.enclosed for A in layer.inputs.values()]
    arrays = [*matrices, *(layer.bias for layer in net.layers[:-1]), problem.coefficients, x]
    arrays += [slopes for layer in net.layers[:-1] for slopes in layer.slopes if layer.activation != "relu"]
    if sum(A.size for A in matrices) > MOST_WEIGHTS or sum(map(bits, arrays)) > MOST_BITS:
        return 0.0
    free = np.isin(np.arange(len(x)), problem.domain.free(len(x)))
    layers = [layer.mapped(dyadic) for layer in net.enclosed]
    slopes = [None if layer.activation == "relu" else dyadic(np.stack(layer.slopes)) for layer in net.layers[:-1]]
    signs: list[Array] = []

    def up(l: int, layer: Layer, below: graph.Pairs) -> Dyadic:
        z = graph.total(A.times(y) for A, y in below) + layer.bias
        signs.append(np.array([(k > 0) - (k < 0) for k in z.ints], dtype=np.int64))
        return masked(l, z)

    def masked(l: int, value: Dyadic) -> Dyadic:
        """What is left of what the neurons of layer l let through."""
        on, given = signs[l - 1] > 0, slopes[l - 1]
        if given is None:
            return Dyadic(np.where(on, value.ints, 0), value.exponent)
        return Dyadic(value.ints * np.where(on, given.ints[1], given.ints[0]), value.exponent + given.exponent)

    graph.forward(layers[:-1], dyadic(x), up)
    of_layers = [layer.slopes for layer in net.layers[:-1]]
    alive = [(sign >= 0) | (alpha != 0) for sign, (alpha, _) in zip(signs, of_layers, strict=True)]
    moving = graph.moving(net.enclosed[:-1], free, alive)
    kinks = False

    def down(l: int, layer: Layer, above: graph.Pairs) -> Dyadic:
        nonlocal kinks
        g = graph.total(A.adjoint_times(a) for A, a in above)
        used = moving[l - 1] & (g.ints != 0)
        alpha, beta = of_layers[l - 1]
        kinks = kinks or bool((used & (alpha != beta) & (signs[l - 1] == 0)).any())
        return masked(l, Dyadic(np.where(used, g.ints, 0), g.exponent))

    above = graph.backward(layers, dyadic(problem.coefficients), down)
    if kinks:
        return 0.0
    gradient = graph.total(A.adjoint_times(a) for A, a in above)
    sizes = [abs(int(g)) for g in gradient.ints[problem.directions_of(len(x))]]
    return _norm_below(sizes, gradient.exponent, problem.norm)


def _norm_below(sizes: list[int], exponent: int, norm: Norm) -> float:
    """The norm dual to `norm` of sizes * 2**exponent, rounded down to a float64; 0.0 beyond the largest."""
    if norm == "inf":
        total = sum(sizes)
    elif norm == 1:
        total = max(sizes, default=0)
    elif norm != 2:
        raise unknown_norm(norm)
    else:
        squares = sum(size * size for size in sizes)
        shift = max(0, 64 - squares.bit_length() // 2)  # 64 bits of the root are enough
        total, exponent = math.isqrt(squares << (2 * shift)), exponent - shift
    exact = Fraction(total) * (Fraction(2) ** exponent)
    try:
        rounded = float(exact)
    except OverflowError:
        return 0.0
    if math.isinf(rounded):
        return 0.0
    return rounded if Fraction(rounded) <= exact else math.nextafter(rounded, 0.0)
