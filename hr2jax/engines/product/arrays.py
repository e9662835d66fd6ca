"""The product form at Y = V V^T: arrays for the device, the objective and the families' products.

Groups of one kind are merged over the layers, families whose forms have as many terms are stacked into one, and every
dimension is padded to a multiple that grows with it: the program's size does not depend on the depth, and problems of
nearby sizes share a compiled one. Padding rows have coefficient 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.basis import BEFORE_MASK, ONE, Group, Lifting, Placement
from ...relaxation.forms import Family, Form
from .program import MEMORY, Data, Rows, Spec


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
# On the host, whose walks over it are what a step costs, half of that is.
LONG_MEMORY, HOST_MEMORY = 60, 30
CHAINS = ("p", "a", "q")
NOTHING = "nothing"  # the kind of rows that are there only to be divided


def _by_kind(groups: Mapping[Group, int], kinds: Mapping[Group, str]) -> tuple[dict[str, int], dict[Group, int]]:
    """Kind -> number of its groups' entries, and group -> where its own begin among them."""
    total: dict[str, int] = {}
    within = {}
    for group, size in groups.items():
        within[group] = total.get(kinds[group], 0)
        total[kinds[group]] = within[group] + size
    return total, within


def _kinds(lifting: Lifting) -> dict[Group, str]:
    """What groups are merged as; derived ones of a kind that the basis has too are another (x, of a reach lifting)."""
    own = {group.kind for group in lifting.sizes}
    names = {group: group.kind for group in lifting.sizes}
    return names | {group: group.kind + "'" * (group.kind in own) for group in lifting.derived}


class Factored:
    """A lifting with its families, ready for the device; without padding for the host.

    Attributes:
        spec: static structure.
        stacks: the families of each stack.
        placement: where each group, basis or derived, lies among the padded extended rows: those of one kind one behind
            the other, derived ones behind the basis.
        rows: (N,) positions of the basis entries among the padded ones.
    """

    def __init__(self, lifting: Lifting, families: list[Family], pads: bool = True, mesh: Any = None):
        """mesh: the devices that share the rows (`sharding`), whose number then divides N; None: one."""
        self.lifting, self.pads = lifting, pads
        self._kinds = kinds = _kinds(lifting)
        basis, within = _by_kind(lifting.sizes, kinds)
        derived, within_derived = _by_kind({group: lifting.length(group) for group in lifting.derived}, kinds)
        self._within = within | within_derived
        self._terms: dict[str, list[str]] = {}
        for group, terms in lifting.derived.items():
            known = self._terms.setdefault(kinds[group], [])
            known += [kind for kind in dict.fromkeys(other.kind for other in terms) if kind not in known]
        self.coarse = lifting.masked_layers > 0
        self.sizes = {kind: 1 if kind == "one" else self.padded(size) for kind, size in basis.items()}
        if mesh is not None and (left := -sum(self.sizes.values()) % mesh.size):
            self.sizes[NOTHING] = left
        self._every = self.sizes | {kind: self.padded(size) for kind, size in derived.items()}
        ends = np.cumsum([0, *self._every.values()]).tolist()
        starts = dict(zip(self._every, ends, strict=False))
        places = {group: starts[kinds[group]] + start for group, start in self._within.items()}
        self.placement = Placement(lifting.extended.lengths, places, ends[-1])
        self.rows = np.concatenate([self.placement.places(group) for group in lifting.sizes])
        by_structure: dict[Any, list[Family]] = {}
        for family in families:
            key = (_terms_of(family.F), _terms_of(family.G), family.pairs)
            # a family of all pairs is a matrix of its own; rows of diagonal families can be stacked
            by_structure.setdefault(key if family.pairs == "diagonal" else (*key, family.name), []).append(family)
        self.stacks = list(by_structure.values())
        objective = dict.fromkeys((g.kind, h.kind) for g, h in lifting.objective)
        self.spec = Spec(
            tuple(self.sizes.items()),
            tuple(objective),
            tuple((kind, tuple(terms)) for kind, terms in self._terms.items()),
            tuple(key[:3] for key in by_structure),
            MEMORY if not lifting.masked_layers else LONG_MEMORY if pads else HOST_MEMORY,
            mesh,
        )
        typical = typical_squares(lifting)
        self.unit = np.ones((self.size, 1))
        for group in lifting.sizes:
            if group.kind in CHAINS:
                self.unit[self.placement.places(group), 0] = np.sqrt(typical[group])
        self.row_scales = [[row_scale(lifting, f, typical) for f in stack] for stack in self.stacks]

    def padded(self, n: int) -> int:
        """`padded`, coarsely where there are chains of layers; n itself for what is not compiled."""
        return padded(n, self.coarse) if self.pads else n

    def extend(self, V: Array) -> Array:
        """The padded extended rows (extended size, r) of the basis' rows V (N, r)."""
        return self.lifting.extend(V, self.placement)

    @property
    def size(self) -> int:
        """Padded N."""
        return sum(self.sizes.values())

    def data(self, scale: float, dtype: Any) -> Data:
        """The arrays, the objective divided by `scale`."""
        lifting, every = self.lifting, self._every
        objective = {pair: np.zeros((every[pair[0]], every[pair[1]]), dtype) for pair in self.spec.objective}
        for (g, h), block in lifting.objective.items():
            objective[g.kind, h.kind][self._slice(g), self._slice(h)] = block.mid / scale
        derived = {
            kind: {other: np.zeros((every[kind], every[other]), dtype) for other in terms}
            for kind, terms in self.spec.derived
        }
        for group, terms in lifting.derived.items():
            for other, matrix in terms.items():
                derived[self._kinds[group]][other.kind][self._slice(group), self._slice(other)] = matrix.mid
        slack = np.zeros((self.size, 1))
        slack[self.rows, 0] = ~lifting.square_is_one
        budget = np.zeros(0, np.int32)
        if lifting.balls:
            shared = np.arange(self.size)
            for group in lifting.balls:
                places = self.placement.places(group)
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

    def _slice(self, group: Group) -> slice:
        """A group's entries among those of its kind."""
        return slice(self._within[group], self._within[group] + self.placement.lengths[group])

    def _stack(self, forms: list[Form], dtype: Any) -> Rows:
        shape = (self.padded(sum(form.rows for form in forms)),)
        constants = [
            sum((t.coefficient for t in form.terms if t.group == ONE), np.zeros(form.rows)) for form in forms
        ]
        others = [[t for t in form.terms if t.group != ONE] for form in forms]
        index = [np.concatenate([t.places(self.placement) for t in terms]) for terms in zip(*others, strict=True)]
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


def typical_squares(lifting: Lifting) -> dict[Group, Array]:
    """About what y_k^2 is, by group, derived ones too: 1 but for what a ball or a chain of layers makes smaller."""
    out = {g: np.full(n, 1.0 / n if g in lifting.balls else 1.0) for g, n in lifting.sizes.items()}
    before = {g: m for m, g in BEFORE_MASK.items()}
    order = [g for g in lifting.derived if g.kind != "g"]
    order += [g for g in reversed(lifting.derived) if g.kind == "g"]  # adjoints run backwards
    for group in order:
        terms = lifting.derived[group].items()
        out[group] = sum((m.mid**2 @ out[other] for other, m in terms), np.zeros(lifting.length(group)))
        chain = before.get(group.kind, "x")
        if chain != "x":  # between what independent directions give and the bound, which aligned ones reach
            out[group] = np.sqrt(out[group])
        if chain != "x" and (masked := Group(chain, group.layer)) in out:
            out[masked] = np.clip(out[group], LEAST_TYPICAL**2, 1.0)
    return out


def row_scale(lifting: Lifting, family: Family, typical: dict[Group, Array]) -> Array:
    """What brings all the products of a family to one size, so that one penalty suits them all."""
    norm_f, norm_g = _row_norms(family.F, typical), _row_norms(family.G, typical)
    return 2.0 / (norm_f * norm_g if family.pairs == "diagonal" else np.outer(norm_f, norm_g))


def _row_norms(form: Form, typical: dict[Group, Array]) -> Array:
    """Typical sizes of forms: Euclidean norms in the basis, its entries weighted."""
    total = np.zeros(form.rows)
    for term in form.terms:
        total += term.coefficient**2 * typical[term.group][term.index]
    return np.sqrt(np.maximum(total, 1e-30))


def _terms_of(form: Form) -> int:
    """Terms beside the constant."""
    return sum(t.group != ONE for t in form.terms)


def _pad(array: Array, shape: tuple[int, ...]) -> Array:
    return np.pad(array, [(0, n - k) for n, k in zip(shape, array.shape, strict=True)])


