"""What LipOpt-3 and LipOpt-4 are made of: cliques of variables, their monomials, their inequalities.

The published linear program has all products of `degree` factors over {t_j} and the neurons that input j reaches,
and over the neurons pairwise reached by a common input. A product's own monomial occurs in the other signs of the
same variables only, so it is eliminated: what is left is (up to scale)
  * products of degree - 1 factors,
  * for three variables a, b, c:  1 + s ab + r ac + s r bc >= 0  (the sum of two products of three),
  * in degree 4, each of these times 1 +- d (d the fourth).
Far fewer columns; the inequalities, far more than can be active, are separated (lipopt.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.basis import Lifting

TUPLES = 2**17  # tuples whose inequalities are evaluated together
TRIANGLE_SIGNS = tuple((s, r) for s in (1, -1) for r in (1, -1))  # of the triangle inequalities of three variables


@dataclass(frozen=True)
class Kind:
    """Inequalities that tuples of so many variables have in common.

    Attributes:
        subsets: the monomials that occur, as positions in the tuple; () is the constant.
        coefficients: (c, len(subsets)) one row per inequality, that of the constant is 1.
        products: (c, r, size) signs of the r products whose sum is `scale` times the inequality.
        scale: 1 or 2.
    """

    subsets: tuple[tuple[int, ...], ...]
    coefficients: Array
    products: Array
    scale: float


@dataclass(frozen=True)
class Group:
    """All tuples of a kind.

    Attributes:
        kind: their inequalities.
        variables: (K, size) int64, ascending numbers (certificate/krivine.py's).
        columns: (K, len(kind.subsets)) int32, each monomial's column; the constant's is 0.
    """

    kind: Kind
    variables: Array
    columns: Array

    def values(self, x: Array) -> Iterator[tuple[int, Array]]:
        """(first tuple, (k, c) values of the inequalities at x, the constant's entry 1), chunk by chunk."""
        for start in range(0, len(self.columns), TUPLES):
            yield start, x[self.columns[start : start + TUPLES]] @ self.kind.coefficients.T


@dataclass(frozen=True)
class Program:
    """maximise objective . x over x_0 = 1, -1 <= x <= 1 and the inequalities of the groups (steering only).

    Attributes:
        degree: 3 or 4.
        objective: (M,) float64; x has one entry per monomial.
        v: (n,) columns of the neurons' variables.
        groups: the inequalities.
    """

    degree: int
    objective: Array
    v: Array
    groups: list[Group]


@lru_cache
def products_kind(size: int) -> Kind:
    """The products of 1 +- y over `size` variables."""
    subsets = _subsets(size, size)
    signs = np.array(list(product((1, -1), repeat=size)))
    return Kind(subsets, _expanded(signs, subsets), signs[:, None, :], 1.0)


@lru_cache
def triangles_kind(size: int) -> Kind:
    """Triangle inequalities of three variables, times 1 +- the fourth of four."""
    signs = []
    for other in range(size) if size == 4 else (None,):
        three = [k for k in range(size) if k != other]
        for (s, r), sign in product(TRIANGLE_SIGNS, (1, -1) if size == 4 else (1,)):
            pair = np.full((2, size), sign)
            pair[:, three] = [[1, s, r], [-1, -s, -r]]
            signs.append(pair)
    pairs = np.array(signs)
    subsets = _subsets(size, size - 1)
    coefficients = (_expanded(pairs[:, 0], subsets) + _expanded(pairs[:, 1], subsets)) / 2.0
    used = [k for k in range(len(subsets)) if coefficients[:, k].any()]
    return Kind(tuple(subsets[k] for k in used), coefficients[:, used], pairs, 2.0)


def _subsets(size: int, largest: int) -> tuple[tuple[int, ...], ...]:
    return tuple(s for r in range(largest + 1) for s in combinations(range(size), r))


def _expanded(signs: Array, subsets: tuple[tuple[int, ...], ...]) -> Array:
    """Coefficients of prod (1 + sign y) at the subsets, one row per row of signs."""
    return np.stack([np.prod(signs[:, list(s)], axis=1) for s in subsets], axis=1).astype(np.float64)


def krivine_program(lifting: Lifting, degree: int, inputs: int, neurons: int) -> Program:
    """The linear program of degree 3 or 4 for a lifting of a network with that many inputs and neurons."""
    base = inputs + neurons + 1
    reached, t, v = _reached(lifting), 1 + lifting.presolve.free, 1 + inputs + lifting.presolve.layers[0].unstable
    tuples = {size: _tuples(reached, t, v, size) for size in range(2, degree + 1)}
    # degree 4 has those of degree 3 too, which it implies: they come first, so that their solution is a start
    kinds = [kind for size in range(3, degree + 1) for kind in
             ((size - 1, products_kind(size - 1)), (size, triangles_kind(size)))]  # fmt: skip
    codes = [np.zeros(1, np.int64), t, v, (t * base + v[:, None])[reached]]
    for size, kind in kinds:
        codes += [_codes(tuples[size], s, base) for s in kind.subsets]
    known = np.unique(np.concatenate(codes))
    objective = np.zeros(len(known))
    objective[np.searchsorted(known, t)] = lifting.objective_one.mid[0]
    objective[np.searchsorted(known, (t * base + v[:, None])[reached])] = lifting.objective_v.mid[reached]
    groups = []
    for size, kind in kinds:
        columns = [np.searchsorted(known, _codes(tuples[size], s, base)).astype(np.int32) for s in kind.subsets]
        groups.append(Group(kind, tuples[size], np.stack(columns, axis=1)))
    return Program(degree, objective, np.searchsorted(known, v), groups)


def _codes(variables: Array, subset: tuple[int, ...], base: int) -> Array:
    code = np.zeros(len(variables), np.int64)
    for k in subset:
        code = code * base + variables[:, k]
    return code


def _reached(lifting: Lifting) -> Array:
    """(n, q) bool: which unstable neurons an input reaches, if they count in f."""
    return np.asarray(lifting.objective_v.mid != 0)


def adjacency(reached: Array) -> Array:
    """(n, n) bool: neurons that some input reaches both of; none with itself."""
    # float32 counts: exact up to 2^24, and only 0 or not matters
    both = reached.astype(np.float32) @ reached.T.astype(np.float32) > 0
    np.fill_diagonal(both, False)
    return np.asarray(both)


def _tuples(reached: Array, t: Array, v: Array, size: int) -> Array:
    """(K, size) variables: {t_j} and size - 1 of its neurons, then `size` neurons pairwise adjacent."""
    parts = []
    count = reached.sum(axis=0)
    for m in np.unique(count[count >= size - 1]).tolist():  # inputs that reach equally many, together
        j = np.flatnonzero(count == m)
        near = np.nonzero(reached[:, j].T)[1].reshape(len(j), m)
        chosen = v[near[:, _choices(m, size - 1)]].reshape(-1, size - 1)
        parts.append(np.column_stack([np.repeat(t[j], len(chosen) // len(j)), chosen]))
    parts.append(v[cliques(adjacency(reached), size)])
    return np.concatenate(parts)


@lru_cache(maxsize=8)
def _choices(m: int, size: int) -> Array:
    """(C(m, size), size) ascending positions."""
    out = np.zeros((1, 0), np.int64)
    for _ in range(size):
        last = out[:, -1] if out.shape[1] else np.full(len(out), -1)
        row, nxt = np.nonzero(np.arange(m) > last[:, None])
        out = np.column_stack([out[row], nxt])
    return out


def cliques(adjacent: Array, size: int) -> Array:
    """(K, size) ascending positions of all cliques of that size."""
    n = len(adjacent)
    out = np.arange(n)[:, None]
    common = adjacent & (np.arange(n) > np.arange(n)[:, None])  # what can extend each, above its last
    later = common
    for step in range(1, size):
        row, nxt = np.nonzero(common)
        out = np.column_stack([out[row], nxt])
        if step < size - 1:
            common = common[row] & later[nxt]
    return out
