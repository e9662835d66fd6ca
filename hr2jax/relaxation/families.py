"""Families of valid products: what separates `shor`, `hr2` and `hr2z` (DESIGN sections 1, 3, 4).

A *form* is a linear form of the extended basis (1, v, t, xi, z), one per row. A *family* is a pair of
lists of forms (F, G) with f.y g.y >= 0 at every feasible point, row by row or for all pairs of rows.
All coefficients of forms are exact float64 numbers; only z itself carries an enclosure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..enclosure import Array
from .lifting import Lifting
from .triangles import TRIANGLES, moved


@dataclass(frozen=True)
class Term:
    """coefficient * y[group][index], row by row; `index` (n,) has no repeats unless the group is `one`."""

    group: str
    index: Array
    coefficient: Array


@dataclass(frozen=True)
class Form:
    """n linear forms: the sum of the terms, each with n rows."""

    terms: tuple[Term, ...]

    @property
    def rows(self) -> int:
        """n."""
        return len(self.terms[0].index)

    def __add__(self, other: Form) -> Form:
        return Form(self.terms + other.terms)

    def __neg__(self) -> Form:
        return Form(tuple(Term(t.group, t.index, -t.coefficient) for t in self.terms))

    def __sub__(self, other: Form) -> Form:
        return self + (-other)


@dataclass(frozen=True)
class Family:
    """Products f.y g.y >= 0: row by row (`diagonal`, multipliers (n,)) or all pairs (`all`, multipliers (n, m))."""

    name: str
    F: Form
    G: Form
    pairs: Literal["diagonal", "all"] = "diagonal"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the family's multipliers."""
        return (self.F.rows,) if self.pairs == "diagonal" else (self.F.rows, self.G.rows)


def entries(group: str, index: Array, coefficient: Array | float = 1.0) -> Form:
    """coefficient * y[group][index] as a form."""
    index = np.asarray(index, dtype=np.int64)
    return Form((Term(group, index, np.broadcast_to(np.asarray(coefficient, dtype=np.float64), index.shape)),))


def constant(value: Array | float, rows: int) -> Form:
    """A constant as a form of `rows` rows."""
    return entries("one", np.zeros(rows, dtype=np.int64), value)


def _neurons(lifting: Lifting) -> tuple[Array, Form, Form]:
    i = np.arange(lifting.sizes["v"])
    return i, entries("v", i), entries("z", i)


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
    return Family("u.(h-z)", constant(1.0, len(i)) + v, constant(lifting.presolve.high, len(i)) - z)


def _off_low(lifting: Lifting) -> Family:
    """(1-u)(z - l) >= 0."""
    i, v, z = _neurons(lifting)
    return Family("(1-u).(z-l)", constant(1.0, len(i)) - v, z - constant(lifting.presolve.low, len(i)))


def _z_range(lifting: Lifting) -> Family:
    """z (h u + l (1-u) - z) >= 0: z^2 <= h z where on, z^2 <= l z where off; (h +- l)/2 are exact on the grid."""
    i, _, z = _neurons(lifting)
    low, high = lifting.presolve.low, lifting.presolve.high
    bound = constant((high + low) / 2, len(i)) + entries("v", i, (high - low) / 2)
    return Family("z.(hu+l(1-u)-z)", z, bound - z)


def _signed(name: str, group: str, other: str, a: float, b: float) -> Callable[[Lifting], Family]:
    """(1 +- y_i)(1 +- y'_i) >= 0 for the cliques {y_i, y'_i}."""

    def build(lifting: Lifting) -> Family:
        first, second = clique_pairs(lifting, group, other)
        rows = len(first)
        one = constant(1.0, rows)
        return Family(name, one + entries(group, first, a), one + entries(other, second, b))

    return build


def clique_pairs(lifting: Lifting, group: str, other: str) -> tuple[Array, Array]:
    """Positions (in their groups) of the cliques {u_i, t_i} or {x_i, t_i}, i in the network's numbering.

    {u_i, t_i} exists for i <= min(p_0, p_1); where neuron i is stable or input i is fixed the products
    say nothing that M_1 does not, and the clique is left out.
    """
    if (group, other) == ("v", "t"):
        _, first, second = np.intersect1d(lifting.presolve.unstable, lifting.presolve.free, return_indices=True)
        return first, second
    every = np.arange(lifting.sizes[other])
    return every, every


SIGNS = (("+", 1.0), ("-", -1.0))

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

UT = tuple(f"(1{a}v).(1{b}t)" for a, _ in SIGNS for b, _ in SIGNS)
XT = tuple(f"(1{a}x).(1{b}t)" for a, _ in SIGNS for b, _ in SIGNS)
Z_EXACT = ("u.z", "(1-u).(-z)", "u.(h-z)", "(1-u).(z-l)", "z.(hu+l(1-u)-z)")

# relaxation -> (families of the global problem, families of the local one)
PRESETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "shor": ((), ("v.z",)),
    "hr2": (UT, ("v.z", *UT)),
    "hr2z": ((), (*Z_EXACT, *XT)),
    "hr2+": (UT, (*Z_EXACT, *UT, *XT)),  # and cutting planes from triangles.py, by method="lowrank" only
    "lasserre2": ((), ("v.z",)),  # and the matrices of lasserre.py, in block form only
}


def preset(relaxation: str, lifting: Lifting) -> list[Family]:
    """The families of a named relaxation on this lifting, none of them empty."""
    names = PRESETS[relaxation]["xi" in lifting.sizes]
    built = [CATALOGUE[name](lifting) for name in names]
    return [family for family in built if family.F.rows]


def transfer(multipliers: Mapping[str, Array], unstable: Array, free: Array, to: Lifting) -> dict[str, Array]:
    """Multipliers given for the neurons `unstable` and inputs `free`, laid out for another problem's.

    What has no counterpart starts at 0; families of all pairs are not carried over.
    """
    out = {}
    for name, values in multipliers.items():
        if name == TRIANGLES:
            out[name] = moved(values, _places(unstable, free, to))
            continue
        old = _row_labels(name, unstable, free)
        new = _row_labels(name, to.presolve.unstable, to.presolve.free)
        if values.ndim != 1 or len(values) != len(old):
            continue
        _, there, here = np.intersect1d(old, new, return_indices=True)
        out[name] = np.zeros(len(new))
        out[name][here] = np.maximum(values[there], 0.0)
    return out


def _places(unstable: Array, free: Array, to: Lifting) -> Array:
    """Where each entry of the basis (1, v, t, xi) of those neurons and inputs lies in another's; -1: nowhere."""

    def within(group: str, old: Array, new: Array) -> Array:
        out = np.full(len(old), -1)
        _, there, here = np.intersect1d(old, new, return_indices=True)
        out[there] = to.slice(group).start + here if group in to.sizes else -1
        return out

    fixed = to.presolve
    inputs = [within(group, free, fixed.free) for group in ("t", "xi")]
    return np.concatenate([[0], within("v", unstable, fixed.unstable), *inputs])


def _row_labels(name: str, unstable: Array, free: Array) -> Array:
    """Which neuron or input each row of a diagonal family belongs to."""
    if name in UT:
        return np.intersect1d(unstable, free)
    return free if name in XT else unstable
