"""Factors and families of several hidden layers: a single M_1, linear in the number of neurons (docs/theory/depth.md).

In every layer but the last, each *chain* has a variable behind the mask, m = u b, b being what the mask multiplies:
x = u z (values), p = u w (tangents), a = u g (adjoints); and u = u 1. Then E[m (b' - m')] = 0 for every pair of
chains: where u = 0 the first factor vanishes, where u = 1 the second. The last layer has such variables only where f
itself is bounded. LipSDP (Fazlyab et al. 2019, neuron form) has no u, and in every layer q (y - q) >= 0.

Factors are linear forms that are >= 0 at every feasible point:

    T    1 +- t                    X0   1 +- xi
    U    u, 1 - u
    V    W u +- p                  VC   W (1-u) +- (w - p)          W >= |w|;  A, AC: the same of a and g
    X    x, h u - x                XC   x - z, (z - x) - l (1-u)    l <= z <= h

Each of them alone and times its mirror is a family of every relaxation; other products are cutting planes
(products.py). All of it in the variables' scales: p stands for p / 2**reach_exponent and so on.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .basis import BEFORE_MASK, Lifting, tag
from .forms import Family, Form, constant, entries

# chain -> the letters of its factors
LETTERS = {"p": "V", "a": "A"}


def u_of(lifting: Lifting, l: int) -> Form:
    """u = (1 + v)/2 of layer l's unstable neurons."""
    name = f"v{tag(l, lifting.presolve.depth)}"
    n = lifting.sizes[name]
    return constant(0.5, n) + entries(name, np.arange(n), 0.5)


def off_of(lifting: Lifting, l: int) -> Form:
    """1 - u."""
    name = f"v{tag(l, lifting.presolve.depth)}"
    n = lifting.sizes[name]
    return constant(0.5, n) + entries(name, np.arange(n), -0.5)


def _times(form: Form, factor: np.ndarray) -> Form:
    """The form's rows times numbers that are exact products: the coefficients are 0.5 or -0.5 here."""
    return Form(tuple(type(t)(t.group, t.index, t.coefficient * factor) for t in form.terms))


def _pair(lifting: Lifting, chain: str, l: int) -> tuple[Form, Form]:
    """(m, b) of a chain in layer l: behind the mask and before it."""
    if chain == "u":
        n = len(lifting.presolve.layers[l].unstable)
        return u_of(lifting, l), constant(1.0, n)
    name = tag(l, lifting.presolve.depth)
    every = np.arange(lifting.sizes[f"{chain}{name}"])
    return entries(f"{chain}{name}", every), entries(f"{BEFORE_MASK[chain]}{name}", every)


def layer_factors(lifting: Lifting, l: int) -> dict[str, Form]:
    """Factors of layer l, in mirrored pairs NAME+ and NAME-."""
    if lifting.presolve.chains == ("q",):
        return {}
    out = {"U+": u_of(lifting, l), "U-": off_of(lifting, l)}
    if l >= lifting.masked_layers:
        return out
    layer = lifting.presolve.layers[l]
    for chain in lifting.chains:
        m, b = _pair(lifting, chain, l)
        if chain == "x":
            # h is on the grid and at most 1, so its half is exact
            out |= {"X+": m, "X-": _times(u_of(lifting, l), layer.high) - m}
            out |= {"XC+": m - b, "XC-": b - m - _times(off_of(lifting, l), layer.low)}
        else:
            W, letter = layer.reach[chain], LETTERS[chain]
            on, off = _times(u_of(lifting, l), W), _times(off_of(lifting, l), W)
            out |= {f"{letter}+": on + m, f"{letter}-": on - m}
            out |= {f"{letter}C+": off + (b - m), f"{letter}C-": off - (b - m)}
    return out


def input_factors(lifting: Lifting) -> dict[str, Form]:
    """Factors of t and xi."""
    out: dict[str, Form] = {}
    for letter, group in (("T", "t"), ("X0", "xi")):
        if group in lifting.sizes:
            every = np.arange(lifting.sizes[group])
            one = constant(1.0, len(every))
            out |= {f"{letter}+": one + entries(group, every), f"{letter}-": one - entries(group, every)}
    return out


def factors(lifting: Lifting) -> dict[str, Form]:
    """Every factor of the problem, named LETTER SIGN LAYER; the order and the names are part of the certificate."""
    out = input_factors(lifting)
    for l in range(lifting.presolve.depth):
        out |= {f"{name}{tag(l, lifting.presolve.depth)}": form for name, form in layer_factors(lifting, l).items()}
    return out


def _equality(lifting: Lifting, l: int, first: str, second: str) -> Family:
    """m (b' - m') = 0."""
    m, (n, b) = _pair(lifting, first, l)[0], _pair(lifting, second, l)
    name = f"{first}.({'1-u' if second == 'u' else f'{BEFORE_MASK[second]}-{second}'}){tag(l, lifting.presolve.depth)}"
    return Family(name, m, off_of(lifting, l) if second == "u" else b - n, equality=True)


def base_families(lifting: Lifting) -> dict[str, Callable[[], Family]]:
    """The families of every relaxation at several hidden layers, by name."""
    out: dict[str, Callable[[], Family]] = {}

    def add(family: Family) -> None:
        out[family.name] = lambda: family

    depth = lifting.presolve.depth
    for l in range(lifting.masked_layers):
        if lifting.presolve.chains == ("q",):
            q, y = _pair(lifting, "q", l)
            add(Family(f"q.(y-q){tag(l, depth)}", q, y - q))
            continue
        chains = ["u", *lifting.chains]
        for first in chains:
            for second in chains:
                if (first, second) != ("u", "u"):
                    add(_equality(lifting, l, first, second))
        every = layer_factors(lifting, l)
        for letter in dict.fromkeys(name[:-1] for name in every):
            if letter == "U":
                continue  # u (1 - u) = 0 is v^2 = 1
            plus, minus = every[f"{letter}+"], every[f"{letter}-"]
            one = constant(1.0, plus.rows)
            name = tag(l, depth)
            add(Family(f"{letter}+{name}", one, plus))
            add(Family(f"{letter}-{name}", one, minus))
            add(Family(f"{letter}+.{letter}-{name}", plus, minus))
    return out
