"""`lasserre2`: the full order-2 sparse relaxation on the cliques {x, u} and {u, t_i} (tiny networks only).

A moment or localizing matrix is a basis b of monomials and a polynomial g >= 0 on the feasible set:
g b b^T >= 0 at every feasible point, so <L L^T, g b b^T> >= 0 for any L: its multipliers are such an L
per matrix (docs/theory/certificate-proof.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..graph import Structure
from .basis import V1, XI, Lifting, T

Monomial = tuple[int, ...]  # positions in the basis (1, v, t, xi), sorted, with repeats; () is 1


@dataclass(frozen=True)
class LocalizingMatrix:
    """g b b^T; `factor` maps g's monomials to scalar enclosures (g = 1 for a moment matrix)."""

    name: str
    basis: tuple[Monomial, ...]
    factor: dict[Monomial, Enclosure]

    @property
    def key(self) -> str:
        """The name of its multipliers."""
        return f"sos.{self.name}"


def reduce(monomial: Sequence[int], lifting: Lifting) -> Monomial:
    """Substitute v^2 = 1."""
    v, out = lifting.slice(V1), []
    for k in sorted(set(monomial)):
        power = monomial.count(k)
        out += [k] * (power % 2 if v.start <= k < v.stop else power)
    return tuple(out)


def lasserre_matrices(lifting: Lifting, arithmetic: type[Enclosure] = Enclosure) -> list[LocalizingMatrix]:
    """All matrices of the relaxation: M_2({x,u}) and its localizers (local), M_2({u,t_j}) and M_1(1-t_j^2).

    Their names count neurons and inputs as the network does.

    Raises:
        ValueError: several hidden layers, or another quantity than a Lipschitz constant.
    """
    if lifting.presolve.structure != Structure.chain(1) or T not in lifting.sizes or V1 not in lifting.sizes:
        raise ValueError("lasserre2 is a relaxation of the Lipschitz constant of networks with one hidden layer")
    neurons, inputs = lifting.presolve.layers[0].unstable.tolist(), lifting.presolve.free.tolist()
    v = list(range(*lifting.slice(V1).indices(lifting.size)))
    t = list(range(*lifting.slice(T).indices(lifting.size)))
    one, minus = arithmetic(np.ones(())), arithmetic(-np.ones(()))

    def basis(variables: list[int], degree: int) -> tuple[Monomial, ...]:
        every = (m for k in range(degree + 1) for m in combinations_with_replacement(variables, k))
        return tuple(dict.fromkeys(reduce(m, lifting) for m in every))

    out = []
    if lifting.z_one is not None and lifting.z_xi is not None:
        xi = list(range(*lifting.slice(XI).indices(lifting.size)))
        first = basis(v + xi, 1)
        out.append(LocalizingMatrix("M_2(x,u)", basis(v + xi, 2), {(): one}))
        for j, x in zip(inputs, xi, strict=True):
            out.append(LocalizingMatrix(f"M_1(1-x_{j}^2)", first, {(): one, (x, x): minus}))
        for i, s in enumerate(v):
            name = f"M_1((u_{neurons[i]}-1/2)z_{neurons[i]})"
            factor = {(s,): lifting.z_one[i, 0]} | {
                tuple(sorted((s, x))): lifting.z_xi[i, j] for j, x in enumerate(xi)
            }
            out.append(LocalizingMatrix(name, first, factor))
    for j, x in zip(inputs, t, strict=True):
        out.append(LocalizingMatrix(f"M_2(u,t_{j})", basis([*v, x], 2), {(): one}))
        out.append(LocalizingMatrix(f"M_1(1-t_{j}^2)", basis([*v, x], 1), {(): one, (x, x): minus}))
    return out


def lasserre_size(n: int, q: int, local: bool) -> tuple[int, int]:
    """Matrix entries and moments of `lasserre2`, counted without enumerating them."""

    def signs(degree: int) -> int:
        """Monomials of the n signs up to a degree, none squared."""
        return sum(math.comb(n, k) for k in range(degree + 1))

    def basis(m: int, degree: int) -> int:
        """Monomials up to a degree of the signs and m other variables."""
        return sum(math.comb(m + k - 1, k) * signs(degree - k) for k in range(degree + 1))

    entries = q * (basis(1, 2) ** 2 + basis(1, 1) ** 2)
    moments = q * (basis(1, 4) - signs(4)) + signs(4)
    if local:
        entries += basis(q, 2) ** 2 + (n + q) * basis(q, 1) ** 2
        moments += basis(q, 4) - signs(4)
    return entries, moments


@dataclass(frozen=True)
class MomentPlaces:
    """Where the terms of a matrix go: monomials in order, and per matrix (d, d, terms) positions among them."""

    monomials: tuple[Monomial, ...]
    index: tuple[Array, ...]


def moment_places(matrices: Sequence[LocalizingMatrix], lifting: Lifting) -> MomentPlaces:
    """Number the monomials of all the matrices, 1 first and then by degree."""
    tables = [
        [[[reduce(a + b + m, lifting) for m in matrix.factor] for b in matrix.basis] for a in matrix.basis]
        for matrix in matrices
    ]
    every = {m for table in tables for row in table for entry in row for m in entry}
    monomials = tuple(sorted(every | {()}, key=lambda m: (len(m), m)))
    position = {m: k for k, m in enumerate(monomials)}
    return MomentPlaces(
        monomials,
        tuple(
            np.array([[[position[m] for m in entry] for entry in row] for row in table], dtype=np.int64)
            for table in tables
        ),
    )
