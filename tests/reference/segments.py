"""Whether a network of one input meets a formula somewhere on an interval: exactly, strict inequalities too."""

from fractions import Fraction
from itertools import pairwise

from hr2jax.io.vnnlib import Inequality
from hr2jax.io.vnnlib.formula import truth


def satisfiable(net, formula, low, high):
    """Whether (x, F(x)) meets the formula for some low <= x <= high, rational numbers; layers of two exact slopes."""
    low, high = Fraction(low), Fraction(high)
    places = sorted({low, high})
    for layer in range(1, len(net.layers)):  # between two places all earlier layers are affine
        pre = [values(net, x)[0][layer - 1] for x in places]
        crossings = [
            a + (b - a) * p / (p - q)
            for (a, b), (z, w) in zip(pairwise(places), pairwise(pre), strict=True)
            for p, q in zip(z, w, strict=True)
            if p * q < 0
        ]
        places = sorted({*places, *crossings})
    points = [[x, *values(net, x)[1]] for x in places]
    if any(truth(formula, v, v) for v in points):
        return True
    return any(_between(formula, v, w) for v, w in pairwise(points))


def _between(formula, v, w):
    """Whether the formula holds somewhere on the segment from v to w: between places where a comparison turns."""
    turns = {Fraction(0), Fraction(1)}
    for part in atoms(formula):
        a, b = (sum(c * u[i] for i, c in part.terms.items()) - part.rhs for u in (v, w))
        if a * b < 0 or (a != b and a * b == 0):
            turns.add(a / (a - b))
    turns = sorted(turns)
    for t in [*turns, *((s + r) / 2 for s, r in pairwise(turns))]:
        u = [p + t * (q - p) for p, q in zip(v, w, strict=True)]
        if truth(formula, u, u):
            return True
    return False


def atoms(formula):
    """The formula's inequalities."""
    if isinstance(formula, Inequality):
        return [formula]
    return [part for below in formula.parts for part in atoms(below)]


def values(net, x):
    """(pre-activations by hidden layer, F(x)) of rational numbers."""
    y, pre = {0: [Fraction(x)] if not isinstance(x, list) else x}, []
    for l, layer in enumerate(net.layers, 1):
        z = [Fraction(float(b)) for b in layer.bias]
        for k, A in layer.inputs.items():
            rows = [[Fraction(float(a)) for a in row] for row in A]
            z = [s + sum(a * u for a, u in zip(row, y[k], strict=True)) for s, row in zip(z, rows, strict=True)]
        slopes = zip(*(map(Fraction, map(float, side)) for side in layer.slopes), strict=True)
        y[l] = [(beta if s > 0 else alpha) * s for s, (alpha, beta) in zip(z, slopes, strict=True)]
        pre.append(z)
    return pre[:-1], y[len(net.layers)]
