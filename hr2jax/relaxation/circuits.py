"""Circuits: masks of first layers that no part of a section has at once, times any factor (docs/theory/reach.md).

The planes zeta_i = 0 of the first layers cut the cone of (xi, tau) in cells, whose signs are known by the circuits of
the rows, dependencies of as few of them as are dependent. Literals s_1 zeta_1 >= 0, ..., s_k zeta_k >= 0, and
tau >= 0, exclude each other on the section where they hold together at 0 alone: then at most k - 1 of them hold, so
that with their indicators phi and a factor f >= 0

    f (k - 1 - phi_1 - ... - phi_k) >= 0,

as of exclusions (exclusions.py). In general position k is one more than the columns of the section, and a factor and k
literals are all that is stated: whoever reads it finds the proof. With y_i >= 0 the forms s_i zeta_i and tau, the
circuit, there are d > 0 and B with

    sum_i d_i y_i = e,    w_j |zeta_j| <= sum_i |B_ji| y_i + r_j,

e and r no more than rounding. Then y_i <= e / d_i, and S, the sum of the w_j |zeta_j| and w_0 tau, is far below 1.
Multipliers are the rows of one array of float64, (m, 2 + k): the numbers of f (-1: 1) and of phi_1 to phi_k
(`products.FactorTable`), and the multiplier.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arithmetic.enclosure import Enclosure, pieces
from ..arithmetic.float64 import Array
from ..arithmetic.protocol import Arithmetic
from .basis import ONE, XI, Group, Lifting
from .exclusions import Exclusions, factors_of, product_entries_of
from .literals import Literals
from .literals import decode as decode_literals

CIRCUITS = "circuits"
# What S may be where the literals hold, and d the least relative to its largest: both far from what rounding does.
LARGEST_SUM, LEAST_SHARE = 0.5, 1e-9
# Choices of literals that are proved for one bound, some seconds, and numbers of them that an array takes at once: a
# small file can name millions.
MOST_CHOICES, TOGETHER = 2**16, 2**22


class Planes(NamedTuple):
    """The neurons whose signs the cells have, layer by layer in the order of their variables.

    Attributes:
        z: (w, 1 + q) enclosures: z in its scale over 1 and xi.
        sizes: (w,) upper bounds of what |z| is multiplied by in S.
        layers, place: (w,) of each neuron.
        tau: whether there is a tau, whose form is 1 + xi_q, and what that is multiplied by in S.
    """

    z: Any
    sizes: Array
    layers: Array
    place: Array
    tau: float


def length_of(lifting: Lifting) -> int:
    """k, how many literals there are; 0 where there are no circuits."""
    section = lifting.presolve.section
    if section is None or XI not in lifting.sizes or lifting.by_chains:
        return 0
    return len(section.columns) + 1 if len(section.columns) < len(section.weights) else 0


def planes_of(lifting: Lifting) -> Planes:
    """The neurons that S adds up."""
    fixed, section = lifting.presolve, lifting.presolve.section
    assert section is not None
    layers = [l for l in fixed.structure.first if len(fixed.members(l))]
    maps = [lifting.derived[Group("z", l)] for l in layers]
    count, q = sum(len(fixed.members(l)) for l in layers), lifting.sizes[XI]
    kind: Any = type(next(iter(maps[0].values())))
    z, sizes, at = kind(np.zeros((count, 1 + q))), np.zeros(count), 0
    for l, of_layer in zip(layers, maps, strict=True):
        unstable, exponent = fixed.members(l), fixed.layers[l - 1].exponent
        rows = slice(at, at + len(unstable))
        for group, columns in ((ONE, slice(0, 1)), (XI, slice(1, 1 + q))):
            if group in of_layer:
                z[rows, columns] = of_layer[group]
        own = section.weights[rows][np.searchsorted(np.sort(unstable), unstable)]
        with np.errstate(all="ignore"):
            sizes[rows] = np.ldexp(own, exponent.astype(np.intc))
        at += len(unstable)
    tau = float(section.constant[0] * section.radius[-1]) if section.has_constant else 0.0
    every = [np.arange(len(fixed.members(l))) for l in layers]
    return Planes(z, sizes, np.repeat(layers, [len(e) for e in every]), np.concatenate(every), tau)


def forms_at(planes: Planes, neurons: Array, signs: Array) -> Any:
    """(m, k + 1, 1 + q) the forms y of literals (m, k), that of tau behind them; (m, k, 1 + q) without tau."""
    kind: Any = type(planes.z)
    (m, k), width, has_tau = neurons.shape, planes.z.shape[1], planes.tau > 0.0
    out = kind(np.zeros((m, k + has_tau, width)))
    out[:, :k] = planes.z[neurons.ravel()].reshape(m, k, width) * signs[:, :, None].astype(np.float64)
    if has_tau:
        last = np.zeros((m, width))
        last[:, [0, -1]] = 1.0
        out[:, k] = kind(last)
    return out


def are_excluded(planes: Planes, neurons: Array, signs: Array, margin: float = 1.0) -> Array:
    """(m,) bool: whether it is proved that no point of the section has all literals (m, k).

    `margin`: so many times as far from the thresholds: on another machine d and B may be others in their last places.
    """
    out = np.zeros(len(neurons), dtype=bool)
    for some in pieces((len(neurons), *planes.z.shape), TOGETHER):
        out[some] = _are_excluded(planes, neurons[some], signs[some], margin)
    return out


def _are_excluded(planes: Planes, neurons: Array, signs: Array, margin: float) -> Array:
    """`are_excluded` of some that arrays take at once."""
    forms = forms_at(planes, neurons, signs)
    middle, count = forms.mid, forms.shape[1]
    in_range = np.isfinite(planes.sizes) & (planes.sizes > np.finfo(np.float64).tiny)
    if not (np.isfinite(middle).all() and in_range.all()):
        return np.zeros(len(neurons), dtype=bool)
    kind: Any = type(planes.z)
    try:
        d, inverse = dependency(middle), np.linalg.pinv(middle)
    except np.linalg.LinAlgError:  # of numbers near the end of float64
        return np.zeros(len(neurons), dtype=bool)
    with np.errstate(all="ignore"):
        B = planes.z.mid @ inverse
        # with enclosures: how far sum d y is from 0, and each z from B y, where |xi| <= 1
        total, missed = kind(np.zeros(middle[:, 0].shape)), planes.z[None] + np.zeros((len(d), 1, 1))
        for i in range(count):
            total = total + forms[:, i] * d[:, i, None]
            missed = missed + forms[:, i][:, None] * -B[:, :, i, None]
        error, rest = total.magnitude().sum(axis=1), missed.magnitude().sum(axis=2) @ planes.sizes
        share = (planes.sizes[:, None] * np.abs(B)).sum(axis=1)
        if planes.tau > 0.0:
            share[:, -1] += planes.tau
        # sums and products of numbers >= 0, far from exact in their last places only
        S = (share / d).max(axis=1) * error + rest
        is_positive = (d >= margin * LEAST_SHARE * np.abs(d).max(axis=1, keepdims=True)).all(axis=1)
    return np.asarray(is_positive & (margin * S <= LARGEST_SUM))


def dependency(middle: Array) -> Array:
    """(m, c) of norm 1, about the d with sum d y = 0 of forms y (m, c, 1 + q), their sum >= 0."""
    d = np.linalg.svd(middle)[0][:, :, -1]
    return np.asarray(d * np.where(d.sum(axis=1) < 0.0, -1.0, 1.0)[:, None])


def decode(lifting: Lifting, rows: Array) -> Exclusions:
    """What a certificate's rows say, every exclusion proved.

    Raises:
        ValueError: rows that are not as said, or masks that are not proved never to be there at once.
    """
    k = length_of(lifting)
    if not k or np.ndim(rows) != 2 or np.shape(rows)[1] != 2 + k:
        raise ValueError(f"circuits must be rows of {2 + k} numbers, of a section with some, not {np.shape(rows)}")
    factor, planes = factors_of(lifting, rows[:, 0]), planes_of(lifting)
    known = tuple(np.unique(planes.layers).tolist())
    every, inverse = np.unique(rows[:, 1:-1], axis=0, return_inverse=True)
    if len(every) > MOST_CHOICES:
        raise ValueError(f"circuits must be of at most {MOST_CHOICES} choices of literals, not {len(every)}")
    literals = decode_literals(lifting, every, "a circuit's literals", known)
    starts = np.searchsorted(planes.layers, known)
    neurons = starts[np.searchsorted(known, literals.layers)] + literals.place
    if not are_excluded(planes, neurons, literals.signs).all():
        raise ValueError("a circuit's masks cannot be proved never to be there at once")
    own = Literals(*(values[np.ravel(inverse)] for values in literals))
    return Exclusions(factor, own, np.maximum(rows[:, -1], 0.0))


def circuit_entries(
    lifting: Lifting, rows: Array, arithmetic: type[Arithmetic] = Enclosure
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What sum lambda f (k - 1 - phi_1 - ... - phi_k) adds to a quadratic form; no position twice.

    Raises:
        ValueError: see `decode`.
    """
    return product_entries_of(lifting, decode(lifting, rows), arithmetic)
