"""Families of valid products: what separates `shor`, `hr2` and `hr2z` (docs/theory/moment-relaxation.md).

A *form* is a linear form of the extended basis, one per row. A *family* is a pair of lists of forms (F, G) with
f.y g.y >= 0 at every feasible point, row by row or for all pairs of rows. All coefficients of forms are exact
float64 numbers; only derived groups such as z carry enclosures. Here is what one hidden layer, or the last of
several, has; chains.py adds the layers before it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arithmetic.float64 import Array
from .basis import Lifting, tag
from .chains import base_families
from .forms import Family, Form, Term, constant, entries
from .table import RELAXATIONS

__all__ = ["Family", "Form", "Term", "catalogue", "constant", "entries", "preset"]


def _last(lifting: Lifting) -> str:
    """What the groups of the last hidden layer end in."""
    return tag(lifting.presolve.depth - 1, lifting.presolve.depth)


def _neurons(lifting: Lifting) -> tuple[Array, Form, Form]:
    """Indices, v and z of the last hidden layer."""
    name = _last(lifting)
    i = np.arange(lifting.sizes[f"v{name}"])
    return i, entries(f"v{name}", i), entries(f"z{name}", i)


def _sign_times_z(lifting: Lifting) -> Family:
    """(u - 1/2) z >= 0, `shor`'s only statement about z."""
    _, v, z = _neurons(lifting)
    return Family("v.z", v, z)


def _on_z(lifting: Lifting) -> Family:
    """u z >= 0."""
    i, v, z = _neurons(lifting)
    return Family("u.z", constant(1.0, len(i)) + v, z)


def _off_z(lifting: Lifting) -> Family:
    """(1-u)(-z) >= 0."""
    i, v, z = _neurons(lifting)
    return Family("(1-u).(-z)", constant(1.0, len(i)) - v, -z)


def _on_high(lifting: Lifting) -> Family:
    """u (h - z) >= 0."""
    i, v, z = _neurons(lifting)
    return Family("u.(h-z)", constant(1.0, len(i)) + v, constant(lifting.presolve.layers[-1].high, len(i)) - z)


def _off_low(lifting: Lifting) -> Family:
    """(1-u)(z - l) >= 0."""
    i, v, z = _neurons(lifting)
    return Family("(1-u).(z-l)", constant(1.0, len(i)) - v, z - constant(lifting.presolve.layers[-1].low, len(i)))


def _z_range(lifting: Lifting) -> Family:
    """z (h u + l (1-u) - z) >= 0: z^2 <= h z where on, z^2 <= l z where off; (h +- l)/2 are exact on the grid."""
    i, _, z = _neurons(lifting)
    low, high = lifting.presolve.layers[-1].low, lifting.presolve.layers[-1].high
    bound = constant((high + low) / 2, len(i)) + entries(f"v{_last(lifting)}", i, (high - low) / 2)
    return Family("z.(hu+l(1-u)-z)", z, bound - z)


def _signed(name: str, group: str, other: str, a: float, b: float) -> Callable[[Lifting], Family]:
    """(1 +- y_i)(1 +- y'_i) >= 0 for the cliques {y_i, y'_i}."""

    def build(lifting: Lifting) -> Family:
        first, second = clique_pairs(lifting, group, other)
        rows = len(first)
        one = constant(1.0, rows)
        signs = f"v{tag(0, lifting.presolve.depth)}" if group == "v" else group
        return Family(name, one + entries(signs, first, a), one + entries(other, second, b))

    return build


def clique_pairs(lifting: Lifting, group: str, other: str) -> tuple[Array, Array]:
    """Positions (in their groups) of the cliques {u_i, t_i} or {x_i, t_i}, i in the network's numbering.

    u is the first hidden layer's. {u_i, t_i} exists for i <= min(p_0, p_1); where neuron i is stable or input i is
    fixed the products say nothing that M_1 does not, and the clique is left out.
    """
    if (group, other) == ("v", "t"):
        _, first, second = np.intersect1d(lifting.presolve.unstable, lifting.presolve.free, return_indices=True)
        return first, second
    every = np.arange(lifting.sizes[other])
    return every, every


SIGNS = (("+", 1.0), ("-", -1.0))

# the names' products of z are of the last hidden layer, those of t of the first
CATALOGUE: dict[str, Callable[[Lifting], Family]] = {
    "v.z": _sign_times_z,
    "u.z": _on_z,
    "(1-u).(-z)": _off_z,
    "u.(h-z)": _on_high,
    "(1-u).(z-l)": _off_low,
    "z.(hu+l(1-u)-z)": _z_range,
} | {
    f"(1{a}{g}).(1{b}t)": _signed(f"(1{a}{g}).(1{b}t)", group, "t", x, y)
    for g, group in (("v", "v"), ("x", "xi"))
    for a, x in SIGNS
    for b, y in SIGNS
}

def catalogue(lifting: Lifting) -> dict[str, Callable[[], Family]]:
    """Every family that exists on this lifting, by name."""
    local = "xi" in lifting.sizes

    def of(build: Callable[[Lifting], Family]) -> Callable[[], Family]:
        return lambda: build(lifting)

    out = {n: of(build) for n, build in CATALOGUE.items() if local or not ("z" in n or "x" in n)}
    if "t" not in lifting.sizes or lifting.presolve.chains == ("q",):
        return base_families(lifting)
    return out | base_families(lifting)


def preset(relaxation: str, lifting: Lifting) -> list[Family]:
    """The families of a named relaxation on this lifting, none of them empty."""
    known, local = catalogue(lifting), "xi" in lifting.sizes
    depth = lifting.presolve.depth
    if "t" not in lifting.sizes or lifting.presolve.chains == ("q",):
        names = list(known)
    else:
        before = (n for n in known if n not in CATALOGUE) if depth > 1 else ()
        names = [*before, *(RELAXATIONS[relaxation].families(depth, local) or ())]
    built = [known[name]() for name in names]
    return [family for family in built if family.F.rows]
