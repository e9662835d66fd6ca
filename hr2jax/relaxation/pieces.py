"""A layer's vector in pieces: what a lifting knows of the values, tangents or adjoints behind a layer's masks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..layer import Layer, largest
from ..problem import Problem
from .basis import NOTHING, ONE, Group, LinearMap


@dataclass(frozen=True)
class Piece:
    """Entries `columns` of a layer's vector: 2**exponent times the entries of a group, or the rows of a linear map.

    Where there are `slopes` (alpha, beta) of the neurons and a map `before`, a group m with b before its mask, the
    entries are beta m + alpha (b - m).
    """

    columns: Array
    exponent: Array
    of: Group | LinearMap
    slopes: tuple[Array, Array] | None = None
    before: LinearMap | None = None

    def times(self, factor: Enclosure) -> LinearMap:
        """factor (n, columns) times the entries without their 2**exponent."""
        if not isinstance(self.of, Group):
            return {g: factor @ m for g, m in self.of.items()}
        if self.slopes is None or self.before is None:
            return {self.of: factor}
        alpha, beta = self.slopes
        out: LinearMap = {self.of: factor * (type(factor)(beta) - alpha)}
        if alpha.any():
            straight = factor * alpha
            add(out, {g: straight @ m for g, m in self.before.items()})
        return out


# A matrix and the vector that it multiplies, in pieces; of a layer's inputs, or of those it feeds.
Below = list[tuple[Any, list[Piece]]]


# Stands for the output's coefficients, as a vector in pieces.
TOP: list[Piece] = []


def piece_of(layer: Layer, columns: Array, exponent: Array, group: Group, before: LinearMap) -> Piece:
    """The entries of a masked layer's unstable neurons."""
    if layer.activation == "relu":
        return Piece(columns, exponent, group)
    alpha, beta = (slopes[columns] for slopes in layer.slopes)
    return Piece(columns, exponent, group, (alpha, beta), before)


def behind_mask(layer: Layer, rows: Array, l: int, c: Enclosure) -> LinearMap:
    """c (beta u + alpha (1 - u)) of a layer's unstable neurons, over v and one."""
    n = len(rows)
    if layer.activation == "relu":
        of_v = of_one = c.scaled(-1)
    else:
        alpha, beta = (type(c)(slopes[rows]) for slopes in layer.slopes)
        of_v, of_one = (c * (beta - alpha)).scaled(-1), (c * (beta + alpha)).scaled(-1)
    of_signs = type(c)(np.zeros((n, n)))
    of_signs[np.arange(n), np.arange(n)] = of_v
    return {Group("v", l): of_signs, ONE: of_one.reshape(-1, 1)}


def sloped(value: Enclosure, layer: Layer, rows: Array, u: int) -> Enclosure:
    """What neurons whose u is known make of values or rows before their masks."""
    slopes = layer.slopes[u][rows]
    if (slopes == 1.0).all():
        return value
    return value * slopes.reshape((-1,) + (1,) * (len(value.shape) - 1))


def constant_values(layer: Layer, rows: Array, z: Enclosure) -> Enclosure:
    """sigma of values (n, 1) that do not move."""
    if layer.activation == "identity":
        return z
    if layer.activation == "relu":
        return type(z)(np.maximum(z.mid, 0.0), z.rad)  # max(z, 0) moves no farther than z does
    alpha, beta = (slopes[rows].reshape(-1, 1) for slopes in layer.slopes)
    return z.kinked(alpha, beta)


def add(total: LinearMap, terms: LinearMap) -> None:
    """Adds linear maps of as many rows, group by group, to those in `total`."""
    for group, term in terms.items():
        total[group] = total[group] + term if group in total else term


def input_exponents(A: Any, b: Any, problem: Problem) -> Array:
    """(n,) int64: about the size of rows of A x + b."""
    domain = problem.domain
    of_x = max(exponent_of(domain.center), exponent_of(domain.radius))
    most = np.frexp(largest(A).max(axis=1, initial=0.0))[1] + of_x
    return np.maximum(most, exponents_of(b)).astype(np.int64)


def exponents_of(b: Any) -> Array:
    """(n,) int64: the entries' exponents; NOTHING for zeros."""
    size = largest(b)
    return np.where(size != 0, np.frexp(size)[1], NOTHING).astype(np.int64)


def exponent_of(array: Array) -> int:
    """e with every |entry| < 2**e, as small as possible; 0 for an array of zeros."""
    largest = float(np.max(np.abs(array), initial=0.0))
    return int(np.frexp(largest)[1]) if largest > 0 else 0
