"""The product form at Y = V V^T: arrays for the device, the objective and the families' products.

Groups of one kind are merged over the layers, families whose forms have as many terms are stacked into one, and every
dimension is padded to a multiple that grows with it: the program's size does not depend on the depth, and problems of
nearby sizes share a compiled one. Padding rows have coefficient 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.basis import BEFORE_MASK, Lifting
from ...relaxation.forms import Family, Form
from .lagrangian import Data, Rows, Spec
from .lbfgs import MEMORY


def padded(n: int, coarse: bool = False) -> int:
    """The size to which n is padded: at most an eighth more, from 64 on; `coarse`: a power of two up to 64.

    Small deep networks are of so many shapes, each of which would take longer to compile than to solve.
    """
    if coarse and n <= 64:
        return max(1 << max(n - 1, 0).bit_length(), 16)
    step = 8 if n <= 64 else 32 if n <= 512 else 64
    return max(step * -(-n // step), 8)


# Chains of layers make typical values small; what is smaller than this counts as this.
LEAST_TYPICAL = 1e-3
# Products of variables of several layers make the inner problem ill-conditioned: more of the past is worth its price.
LONG_MEMORY = 60
CHAINS = ("p", "a", "q")


def kind_of(group: str) -> str:
    """A group's name without its layer's number."""
    return group.rstrip("0123456789")


class Factored:
    """A lifting with its families, ready for the device.

    Attributes:
        spec: static structure.
        stacks: the families of each stack.
        rows: (N,) positions of the basis entries among the padded ones.
        offset: group, basis or derived -> where it begins in the group of its kind.
        starts: kind -> where its group begins among the extended rows, derived ones behind the basis.
    """

    def __init__(self, lifting: Lifting, families: list[Family]):
        self.lifting = lifting
        self.offset: dict[str, int] = {}
        basis: dict[str, int] = {}
        derived: dict[str, int] = {}
        self._terms: dict[str, list[str]] = {}
        for group, size in lifting.sizes.items():
            self.offset[group] = basis.get(kind_of(group), 0)
            basis[kind_of(group)] = self.offset[group] + size
        for group, terms in lifting.derived.items():
            kind = kind_of(group)
            self.offset[group] = derived.get(kind, 0)
            derived[kind] = self.offset[group] + lifting.length(group)
            known = self._terms.setdefault(kind, [])
            known += [k for k in dict.fromkeys(map(kind_of, terms)) if k not in known]
        self.coarse = lifting.masked_layers > 0
        self.sizes = {kind: 1 if kind == "one" else self.padded(size) for kind, size in basis.items()}
        every = self.sizes | {kind: self.padded(size) for kind, size in derived.items()}
        self.starts = dict(zip(every, np.cumsum([0, *every.values()])[:-1].tolist(), strict=True))
        self.extended_size = sum(every.values())
        self._every = every
        self.rows = np.concatenate([self.places(group) for group in lifting.sizes])
        by_structure: dict[Any, list[Family]] = {}
        for family in families:
            key = (_terms_of(family.F), _terms_of(family.G), family.pairs)
            # a family of all pairs is a matrix of its own; rows of diagonal families can be stacked
            by_structure.setdefault(key if family.pairs == "diagonal" else (*key, family.name), []).append(family)
        self.stacks = list(by_structure.values())
        objective = dict.fromkeys((kind_of(g), kind_of(h)) for g, h in lifting.objective)
        self.spec = Spec(
            tuple(self.sizes.items()),
            tuple(objective),
            tuple((kind, tuple(terms)) for kind, terms in self._terms.items()),
            tuple(key[:3] for key in by_structure),
            LONG_MEMORY if lifting.masked_layers else MEMORY,
        )
        typical = typical_squares(lifting)
        self.unit = np.ones((self.size, 1))
        for group in lifting.sizes:
            if kind_of(group) in CHAINS:
                self.unit[self.places(group), 0] = np.sqrt(typical[group])
        self.row_scales = [[row_scale(lifting, f, typical) for f in stack] for stack in self.stacks]

    def padded(self, n: int) -> int:
        """`padded`, coarsely where there are chains of layers."""
        return padded(n, self.coarse)

    def extend(self, V: Array) -> Array:
        """The extended rows (extended_size, r) of the basis' rows V (N, r)."""
        E = np.zeros((self.extended_size, V.shape[1]))
        E[self.rows] = V
        for group, terms in self.lifting.derived.items():
            E[self.places(group)] = sum(m.mid @ V[self.lifting.slice(g)] for g, m in terms.items())
        return E

    def places(self, group: str) -> Array:
        """Positions of a group's entries among the extended rows."""
        return self.starts[kind_of(group)] + self.offset[group] + np.arange(self.lifting.length(group))

    @property
    def size(self) -> int:
        """Padded N."""
        return sum(self.sizes.values())

    def data(self, scale: float, dtype: Any) -> Data:
        """The arrays, the objective divided by `scale`."""
        lifting, every = self.lifting, self._every
        objective = {pair: np.zeros((every[pair[0]], every[pair[1]]), dtype) for pair in self.spec.objective}
        for (g, h), block in lifting.objective.items():
            objective[kind_of(g), kind_of(h)][self._within(g), self._within(h)] = block.mid / scale
        derived = {
            kind: {other: np.zeros((every[kind], every[other]), dtype) for other in terms}
            for kind, terms in self.spec.derived
        }
        for group, terms in lifting.derived.items():
            for other, matrix in terms.items():
                derived[kind_of(group)][kind_of(other)][self._within(group), self._within(other)] = matrix.mid
        slack = np.zeros((self.size, 1))
        slack[self.rows, 0] = ~lifting.square_is_one
        budget = np.zeros(0, np.int32)
        if lifting.balls:
            shared = np.arange(self.size)
            for group in lifting.balls:
                places = self.places(group)
                shared[places] = places[0]
                slack[places[1:]] = 0.0
            budget = np.unique(shared, return_inverse=True)[1].astype(np.int32)
        stacks = tuple(
            (
                self._stack([f.F for f in stack], dtype),
                self._stack([f.G for f in stack], dtype),
                self.stack(scales).astype(dtype),
                equality,
            )
            for stack, scales, equality in zip(self.stacks, self.row_scales, self.equalities(), strict=True)
        )
        return Data(
            tuple(objective.values()),
            tuple(tuple(terms.values()) for terms in derived.values()),
            self.unit.astype(dtype), slack.astype(dtype), budget, stacks,
        )  # fmt: skip

    def equalities(self) -> list[Array]:
        """Per stack, the shape of its multipliers, bool: whose products are to be 0."""
        return [self.stack([np.full(f.shape, f.equality) for f in stack]) for stack in self.stacks]

    def _within(self, group: str) -> slice:
        return slice(self.offset[group], self.offset[group] + self.lifting.length(group))

    def _stack(self, forms: list[Form], dtype: Any) -> Rows:
        shape = (self.padded(sum(form.rows for form in forms)),)
        constants = [
            sum((t.coefficient for t in form.terms if t.group == "one"), np.zeros(form.rows)) for form in forms
        ]
        others = [[t for t in form.terms if t.group != "one"] for form in forms]
        index = [np.concatenate([self.places(t.group)[t.index] for t in terms]) for terms in zip(*others, strict=True)]
        coefficient = [np.concatenate([t.coefficient for t in terms]) for terms in zip(*others, strict=True)]
        empty = np.zeros((0, *shape))
        return Rows(
            _pad(np.concatenate(constants), shape).astype(dtype),
            np.array([_pad(i, shape) for i in index], np.int32) if index else empty.astype(np.int32),
            np.array([_pad(c, shape) for c in coefficient], dtype) if index else empty.astype(dtype),
        )

    def stack(self, arrays: list[Array]) -> Array:
        """One padded array from one array per family of a stack."""
        if arrays[0].ndim == 2:
            return _pad(arrays[0], (self.padded(arrays[0].shape[0]), self.padded(arrays[0].shape[1])))
        joined = np.concatenate(arrays)
        return _pad(joined, (self.padded(len(joined)),))

    def unstack(self, stacked: list[Array]) -> dict[str, Array]:
        """Family name -> its array, the inverse of `stack` over all stacks."""
        out = {}
        for stack, values in zip(self.stacks, stacked, strict=True):
            start = 0
            for family in stack:
                if family.pairs == "all":
                    out[family.name] = values[: family.shape[0], : family.shape[1]]
                else:
                    out[family.name] = values[start : start + family.shape[0]]
                    start += family.shape[0]
        return out


def typical_squares(lifting: Lifting) -> dict[str, Array]:
    """About what y_k^2 is, by group, derived ones too: 1 but for what a ball or a chain of layers makes smaller."""
    out = {g: np.full(n, 1.0 / n if g in lifting.balls else 1.0) for g, n in lifting.sizes.items()}
    before = {g: m for m, g in BEFORE_MASK.items()}
    order = [g for g in lifting.derived if kind_of(g) != "g"]
    order += [g for g in reversed(lifting.derived) if kind_of(g) == "g"]  # adjoints run backwards
    for group in order:
        terms = lifting.derived[group].items()
        out[group] = sum((m.mid**2 @ out[other] for other, m in terms), np.zeros(lifting.length(group)))
        chain = before[kind_of(group)]
        if chain != "x":  # between what independent directions give and the bound, which aligned ones reach
            out[group] = np.sqrt(out[group])
        if chain != "x" and (masked := group.replace(kind_of(group), chain)) in out:
            out[masked] = np.clip(out[group], LEAST_TYPICAL**2, 1.0)
    return out


def row_scale(lifting: Lifting, family: Family, typical: dict[str, Array]) -> Array:
    """What brings all the products of a family to one size, so that one penalty suits them all."""
    norm_f, norm_g = _row_norms(family.F, typical), _row_norms(family.G, typical)
    return 2.0 / (norm_f * norm_g if family.pairs == "diagonal" else np.outer(norm_f, norm_g))


def _row_norms(form: Form, typical: dict[str, Array]) -> Array:
    """Typical sizes of forms: Euclidean norms in the basis, its entries weighted."""
    total = np.zeros(form.rows)
    for term in form.terms:
        total += term.coefficient**2 * typical[term.group][term.index]
    return np.sqrt(np.maximum(total, 1e-30))


def _terms_of(form: Form) -> int:
    """Terms beside the constant."""
    return sum(t.group != "one" for t in form.terms)


def _pad(array: Array, shape: tuple[int, ...]) -> Array:
    return np.pad(array, [(0, n - k) for n, k in zip(shape, array.shape, strict=True)])


