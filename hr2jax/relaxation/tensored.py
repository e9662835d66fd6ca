"""The tensored lifting of several outputs: s times all that is even (docs/theory/several-outputs.md).

Of one output f the basis has what is even in t (1, v, xi, x) and what is odd (t, p), and its objective is bilinear in
the two. Of several, s^T J t, the even part is taken K times, once with each entry of s in front: s_k, s_k v, s_k xi,
s_k x, s_k z, entry by entry within a copy; the odd part stays as it is. So the objective keeps its degree, and for
K = 1 it is that of one output. s is a unit vector, at which the maximum is attained (`output_norm` 2), or has entries
+-1 ("inf" dual to `output_norm` 1): in either case by an equality, the squares of s (of s times a sign) add up to 1, or
are 1 each. What a product of two forms of one output says of the copies is said in copies.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import DUAL, Norm, is_euclidean
from .basis import ONE, XI, Group, Lifting, LinearMap, S, T
from .objective import Objective
from .presolve import Presolve

if TYPE_CHECKING:
    from .copies import CopiedFamily

COPY = "s"  # how the kinds of copied groups begin; the constant's copies are s itself
# Kinds of groups that change their sign with t, or in the lifting "tensored tied" with s.
ODD = ("t", "p", "w", "a", "g")


def is_odd(group: Group) -> bool:
    """Whether a group of the lifting of one output changes its sign with t or with the output."""
    return group.kind in ODD


def copied(group: Group) -> Group:
    """The group in which an even group of one output's lifting has its copies."""
    return S if group == ONE else Group(COPY + group.kind, group.layer)


@dataclass(frozen=True, kw_only=True)
class Tensored(Lifting):
    """The tensored lifting; positions of copies are k n + i, copy by copy.

    Attributes:
        one: the lifting of one output, whose objective is that of the first.
        outputs: K, the entries of s.
        is_unit: whether s is a unit vector; else it has entries +-1.
    """

    one: Lifting
    outputs: int
    is_unit: bool

    @cached_property
    def even(self) -> tuple[Group, ...]:
        """The even groups of one output's basis, in order."""
        return tuple(group for group in self.one.sizes if not is_odd(group))

    @cached_property
    def families(self) -> Mapping[str, CopiedFamily]:
        """Every family that exists on it, by name."""
        from .copies import copied_families  # here: they are made of this
        from .families import catalogue

        return copied_families(self, catalogue(self.one).values())

    def copy_of(self, group: Group) -> Group:
        """Where the copies of an even group are, of the basis or derived."""
        return copied(group)

    @property
    def square_is_one(self) -> Array:
        """(N,) bool: the squares that share a bound add up to 1 at every feasible point (elsewhere to at most 1)."""
        mask = np.zeros(self.size, dtype=bool)
        for group in self.sizes:
            if group == S or group.kind == COPY + "v" or (group == T and T not in self.balls):
                mask[self.slice(group)] = True
        return mask

    @property
    def budget(self) -> Array:
        """(N,) int64: entries of one number share one bound: s times one variable, of a unit vector s; balls."""
        out = np.arange(self.size)
        for group in self.even:
            n, where = self.one.sizes[group], self.slice(copied(group))
            first = np.arange(self.outputs)[:, None] * 0 if self.is_unit else np.arange(self.outputs)[:, None]
            entry = np.arange(n)[None] * (group not in self.one.balls)
            out[where] = (where.start + first * n + entry).ravel()
        if T in self.balls:
            out[self.slice(T)] = self.slice(T).start
        return np.unique(out, return_inverse=True)[1]

    def owners(self, group: Group) -> Array:
        """Of a basis group's entries, their numbers: of s times a variable k n + i."""
        return np.arange(self.sizes[group])


def tensored(
    liftings: Sequence[Lifting], objectives: Sequence[Objective], output_norm: Norm, fixed: Presolve
) -> Tensored:
    """The lifting from those of the outputs and their objectives in one unit; of tangents the first output's will do.

    Raises:
        ValueError: s is neither a unit vector nor one of signs, or there is no t.
    """
    one = liftings[0]
    if T not in one.sizes or output_norm not in (2, 1):
        raise ValueError(
            f"the tensored lifting is for several directions and output_norm 2 or 1, but output_norm is "
            f"{output_norm!r} and there are {one.sizes.get(T, 0)}"
        )
    K, is_unit = len(objectives), is_euclidean(DUAL[output_norm])
    sizes = {copied(group): K * n for group, n in one.sizes.items() if not is_odd(group)}
    sizes |= {group: n for group, n in one.sizes.items() if is_odd(group)}
    derived: dict[Group, LinearMap] = {}
    for group, rows in one.derived.items():
        if is_odd(group):
            derived[group] = _of_all([lifting.derived[group] for lifting in liftings])
        else:
            derived[copied(group)] = {copied(other): _block_diagonal(block, K) for other, block in rows.items()}
    blocks: dict[tuple[Group, Group], Enclosure] = {}
    for pair in dict.fromkeys(pair for objective in objectives for pair in objective.blocks):
        g, h = pair
        first = next(o.blocks[pair] for o in objectives if pair in o.blocks)
        if is_odd(g):  # of all outputs the same
            blocks[g, h] = first
            continue
        n, arithmetic = one.sizes[g], type(first)
        block = arithmetic(np.zeros((K * n, one.sizes[h])))
        for k, objective in enumerate(objectives):
            if pair in objective.blocks:
                block[k * n : (k + 1) * n] = objective.blocks[pair]
        blocks[copied(g), h] = block
    norms = {T: one.norms[T], S: DUAL[output_norm]} | ({copied(XI): one.norms[XI]} if XI in one.norms else {})
    balls = tuple(g for g in (S, T, copied(XI)) if g in norms and is_euclidean(norms[g]))
    return Tensored(
        sizes, derived, blocks, objectives[0].exponent, fixed, balls, norms, one=one, outputs=K, is_unit=is_unit,
    )  # fmt: skip


def _of_all(rows: Sequence[LinearMap]) -> LinearMap:
    """An odd group of s . F: each output's rows of what is even, in its copy; of what is odd those that all have."""
    out: LinearMap = {}
    for other in dict.fromkeys(group for each in rows for group in each):
        first = next(each[other] for each in rows if other in each)
        if is_odd(other):
            out[other] = first
            continue
        (m, n), K = first.shape, len(rows)
        block = type(first)(np.zeros((m, K * n)))
        for k, each in enumerate(rows):
            if other in each:
                block[:, k * n : (k + 1) * n] = each[other]
        out[copied(other)] = block
    return out


def one_unit(objectives: Sequence[Objective]) -> int:
    """The exponent in which all of them can be stated: the largest of those that are not 0."""
    def moves(objective: Objective) -> bool:
        return any(bool((b.mid != 0).any() or (b.rad != 0).any()) for b in objective.blocks.values())

    moving = [objective.exponent for objective in objectives if moves(objective)]
    return max(moving, default=objectives[0].exponent)


def in_unit(objective: Objective, unit: int) -> Objective:
    """The same objective in units of 2**unit."""
    shift = objective.exponent - unit
    return replace(objective, blocks={pair: b.scaled(shift) for pair, b in objective.blocks.items()}, exponent=unit)


def _block_diagonal(block: Enclosure, copies: int) -> Enclosure:
    m, n = block.shape
    out = type(block)(np.zeros((copies * m, copies * n)))
    for k in range(copies):
        out[k * m : (k + 1) * m, k * n : (k + 1) * n] = block
    return out
