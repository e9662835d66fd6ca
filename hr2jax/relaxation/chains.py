"""Factors and families of several hidden layers: a single M_1, linear in the number of neurons (docs/theory/depth.md).

In every layer but the last (in a graph: that feeds another with an activation), each *chain* has a variable behind the
mask, m = u b, b being what the mask multiplies:
x = u z (values), p = u w (tangents), a = u g (adjoints); and u = u 1. Then E[m (b' - m')] = 0 for every pair of
chains: where u = 0 the first factor vanishes, where u = 1 the second. The last layer has such variables only where f
itself is bounded. LipSDP (Fazlyab et al. 2019, neuron form) has no u, and in every layer q (y - q) >= 0.

Factors are linear forms that are >= 0 at every feasible point:

    T    1 +- t                    X0   1 +- xi
    U    u, 1 - u
    V    W u +- p                  VC   W (1-u) +- (w - p)          W >= |w|;  A, AC: the same of a and g
    S    1 +- s                    AS, ASC: of the adjoints of s . M F, which the last layers have too
    X    x, h u - x                XC   x - z, (z - x) - l (1-u)    l <= z <= h
    Z    z - l, h - z              E    1 +- e                      of a smooth layer with e, without u (curves.py)
    F    f and the ends of its range; FA, FB: the same of fa and fb
    K    1 +- k                    D    d - low, high - d           of a smooth layer of the lifting "tied" (ties.py),
    B    (d - low) (W +- b)        BC   (high - d) (W +- b)         where d b is a: both linear in a, b and d

Each of them alone and times its mirror is a family of every relaxation; other products are cutting planes
(products.py). All of it in the variables' scales: p stands for p / 2**reach_exponent and so on.
"""


from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .basis import BEFORE_MASK, XI, Group, Lifting, S, T, once
from .curves import DERIVED
from .forms import Family, Form, chosen, constant, entries
from .layout import OF_OUTPUTS
from .ties import moving

# chain -> the kinds of its factors, those of its variables and those of their complements
KINDS = {"p": ("V", "VC"), "a": ("A", "AC"), "x": ("X", "XC"), OF_OUTPUTS: ("AS", "ASC")}


class FactorName(NamedTuple):
    """Factors of one kind and sign, 1 or -1, of a hidden layer counted from 1 or (0) of the input."""

    kind: str
    sign: int
    layer: int = 0

    def __str__(self) -> str:
        return f"{self.kind}{'+' if self.sign > 0 else '-'}{self.layer or ''}"


def u_of(lifting: Lifting, layer: int) -> Form:
    """u = (1 + v)/2 of a layer's unstable neurons."""
    return _half_of_signs(lifting, layer, 0.5)


def off_of(lifting: Lifting, layer: int) -> Form:
    """1 - u."""
    return _half_of_signs(lifting, layer, -0.5)


def _half_of_signs(lifting: Lifting, layer: int, factor: float) -> Form:
    signs = Group("v", layer)
    n = lifting.sizes[signs]
    return constant(0.5, n) + entries(signs, np.arange(n), factor)


def _times(form: Form, factor: np.ndarray) -> Form:
    """The form's rows times numbers that are exact products: the coefficients are of few bits here."""
    return Form(tuple(type(t)(t.group, t.index, t.coefficient * factor) for t in form.terms))


def masked_pair(lifting: Lifting, chain: str, layer: int) -> tuple[Form, Form]:
    """(m, b) of a chain in a layer: behind the mask and before it."""
    if chain == "u":
        return u_of(lifting, layer), constant(1.0, len(lifting.presolve.members(layer)))
    masked = Group(chain, layer)
    every = np.arange(lifting.length(masked))
    return entries(masked, every), entries(Group(BEFORE_MASK[chain], layer), every)


def layer_factors(lifting: Lifting, layer: int) -> dict[FactorName, Form]:
    """Factors of a layer, in mirrored pairs."""
    if lifting.presolve.chains == ("q",):
        return {}
    if layer in lifting.curves or layer in lifting.ties:
        of_curves = _curve_factors(lifting, layer) if layer in lifting.curves else _range_factors(lifting, layer, {})
        return of_curves | (_tie_factors(lifting, layer) if layer in lifting.ties else {})
    u, off = u_of(lifting, layer), off_of(lifting, layer)
    out = _mirrored("U", layer, u, off)
    if layer not in lifting.masked:
        return out
    neurons = lifting.presolve.layers[layer - 1]
    for chain in lifting.chains_of(layer):
        (m, b), (kind, complement) = masked_pair(lifting, chain, layer), KINDS[chain]
        if chain == "x":
            # h is on the grid and at most 1, so its half is exact
            out |= _mirrored(kind, layer, m, _times(u, neurons.high) - m)
            out |= _mirrored(complement, layer, m - b, b - m - _times(off, neurons.low))
        else:
            on_W, off_W = _times(u, neurons.reach[chain]), _times(off, neurons.reach[chain])
            out |= _mirrored(kind, layer, on_W + m, on_W - m)
            out |= _mirrored(complement, layer, off_W + (b - m), off_W - (b - m))
    return out


def _curve_factors(lifting: Lifting, layer: int) -> dict[FactorName, Form]:
    """Factors of a smooth layer whose values are variables."""
    curves = lifting.curves[layer]
    ranges = {kind.upper(): (kind, curves.low[kind], curves.high[kind]) for kind in DERIVED}
    return _unit_factors(lifting, "E", layer) | _range_factors(lifting, layer, ranges)


def _unit_factors(lifting: Lifting, kind: str, layer: int) -> dict[FactorName, Form]:
    """1 + y and 1 - y of a group of the kind's name."""
    group = Group(kind.lower(), layer)
    one, y = constant(1.0, lifting.sizes[group]), entries(group, np.arange(lifting.sizes[group]))
    return _mirrored(kind, layer, one + y, one - y)


def _range_factors(
    lifting: Lifting, layer: int, ranges: dict[str, tuple[str, np.ndarray, np.ndarray]]
) -> dict[FactorName, Form]:
    """What lies between z's ends, and groups between others: kind -> (group's kind, low, high)."""
    neurons = lifting.presolve.layers[layer - 1]
    every = np.arange(len(neurons.unstable))
    out: dict[FactorName, Form] = {}
    for kind, (group, low, high) in ({"Z": ("z", neurons.low, neurons.high)} | ranges).items():
        form = entries(Group(group, layer), every)
        out |= _mirrored(kind, layer, form - constant(low, len(every)), constant(high, len(every)) - form)
    return out


def _tie_factors(lifting: Lifting, layer: int) -> dict[FactorName, Form]:
    """Factors of a smooth layer whose slopes are functions of z."""
    ties, neurons = lifting.ties[layer], lifting.presolve.layers[layer - 1]
    every = np.arange(len(neurons.unstable))
    n, d = len(every), entries(Group("d", layer), every)
    from_low, to_high = d - constant(ties.low, n), constant(ties.high, n) - d
    out = _unit_factors(lifting, "K", layer) | _mirrored("D", layer, from_low, to_high)
    if "a" not in lifting.chains_of(layer):
        return out
    (over, under), W = _around(lifting, layer), neurons.reach["a"]
    # multiples of 2**-12 and of 2**-40, whose products are exact
    low, high = _times(from_low, W), _times(to_high, W)
    out |= _mirrored("B", layer, low + over, low - over)
    return out | _mirrored("BC", layer, high + under, high - under)


def _around(lifting: Lifting, layer: int) -> tuple[Form, Form]:
    """a - low b = (d - low) b and high b - a = (high - d) b."""
    ties, every = lifting.ties[layer], np.arange(lifting.sizes[Group("a", layer)])
    a, b = entries(Group("a", layer), every), Group("g", layer)
    return a - entries(b, every, ties.low), entries(b, every, ties.high) - a


def _mirrored(kind: str, layer: int, plus: Form, minus: Form) -> dict[FactorName, Form]:
    return {FactorName(kind, 1, layer): plus, FactorName(kind, -1, layer): minus}


def input_factors(lifting: Lifting) -> dict[FactorName, Form]:
    """Factors of t, s and xi."""
    out: dict[FactorName, Form] = {}
    for kind, group in (("T", T), ("S", S), ("X0", XI)):
        if group in lifting.sizes:
            every = np.arange(lifting.sizes[group])
            one = constant(1.0, len(every))
            out |= _mirrored(kind, 0, one + entries(group, every), one - entries(group, every))
    return out


@once
def factors(lifting: Lifting) -> dict[FactorName, Form]:
    """Every factor of the problem, the input's first and then layer by layer."""
    out = input_factors(lifting)
    for layer in lifting.presolve.structure.masked:
        out |= layer_factors(lifting, layer)
    return out


def _equality(lifting: Lifting, layer: int, first: str, second: str) -> Family:
    """m (b' - m') = 0."""
    m, (n, b) = masked_pair(lifting, first, layer)[0], masked_pair(lifting, second, layer)
    other = "1-u" if second == "u" else f"{BEFORE_MASK[second]}-{second}"
    return Family(
        f"{first}.({other})", layer, m, off_of(lifting, layer) if second == "u" else b - n, equality=True
    )


def chain_families(lifting: Lifting) -> list[Family]:
    """The families of every relaxation in the layers that have variables behind their masks, or a k."""
    return [family for layer in sorted({*lifting.masked, *lifting.ties}) for family in _of_layer(lifting, layer)]


def _of_layer(lifting: Lifting, layer: int) -> list[Family]:
    if lifting.presolve.chains == ("q",):
        q, y = masked_pair(lifting, "q", layer)
        return [Family("q.(y-q)", layer, q, y - q)]
    if layer in lifting.curves or layer in lifting.ties:
        rows, out = np.arange(len(lifting.presolve.members(layer))), []
        if layer in lifting.curves:
            fa, fb = (entries(Group(side, layer), rows) for side in ("fa", "fb"))
            out.append(Family("fa.fb", layer, fa, fb))
        if layer in lifting.ties and "a" in lifting.chains_of(layer):  # (d - low) (high - d) b^2 >= 0
            over, under = _around(lifting, layer)
            kept = moving(lifting.presolve.layers[layer - 1])
            out.append(Family("(a-low.b).(high.b-a)", layer, chosen(over, kept), chosen(under, kept)))
    else:
        chains = ["u", *lifting.chains_of(layer)]
        pairs = [(first, second) for first in chains for second in chains if (first, second) != ("u", "u")]
        out = [_equality(lifting, layer, first, second) for first, second in pairs]
    every = layer_factors(lifting, layer)
    for kind in dict.fromkeys(name.kind for name in every):
        if kind in ("U", "E", "K", "Z"):  # u (1 - u) = 0 is v^2 = 1, (1 + e) (1 - e) >= 0 is e^2 <= 1
            continue  # and what is known of sigma(z) says what z's bounds do
        plus, minus = every[FactorName(kind, 1, layer)], every[FactorName(kind, -1, layer)]
        one = constant(1.0, plus.rows)
        out.append(Family(f"{kind}+", layer, one, plus))
        out.append(Family(f"{kind}-", layer, one, minus))
        out.append(Family(f"{kind}+.{kind}-", layer, plus, minus))
    return out
