"""The lifted basis: groups of variables, where their entries lie in a vector, and what is linear in them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import Norm
from .layout import OF_OUTPUTS
from .presolve import Presolve

if TYPE_CHECKING:
    from .curves import Curves
    from .ties import Ties

Made = TypeVar("Made")

NOTHING = -(2**16)  # the exponent of 0: below that of every product of float64 numbers

# chain -> what its mask multiplies: the tangents p = u w, the values x = u z, the adjoints a = u g; LipSDP's tangents q
# lie between 0 and y
BEFORE_MASK = {"p": "w", "x": "z", "a": "g", "q": "y", OF_OUTPUTS: "gs"}


class Group(NamedTuple):
    """Variables of one kind (`Lifting`), of a hidden layer counted from 1, or of none: the constant's, the inputs'."""

    kind: str
    layer: int = 0

    def __str__(self) -> str:
        return f"{self.kind}{self.layer}" if self.layer else self.kind


# The x of a layer but the first, of which the plane of a reach lifting says what it is (plane.py).
REST = "xr"
ONE, T, S, XI = Group("one"), Group("t"), Group("s"), Group("xi")
# Of the first hidden layer, where there may be no other.
V1, Z1 = Group("v", 1), Group("z", 1)

LinearMap = dict[Group, Enclosure]  # rows of linear forms: basis group -> (rows, size of the group) coefficients


@dataclass(frozen=True)
class Placement:
    """Where the entries of groups lie in a vector, those of each one behind the other.

    Attributes:
        lengths: group -> number of entries.
        starts: group -> where they begin.
        size: of the vector.
    """

    lengths: Mapping[Group, int]
    starts: Mapping[Group, int]
    size: int

    @staticmethod
    def of(lengths: Mapping[Group, int]) -> Placement:
        """The groups one behind the other, in their order."""
        ends = np.cumsum([0, *lengths.values()]).tolist()
        return Placement(lengths, dict(zip(lengths, ends, strict=False)), ends[-1])

    def slice(self, group: Group) -> slice:
        """A group's entries."""
        return slice(self.starts[group], self.starts[group] + self.lengths[group])

    def places(self, group: Group) -> Array:
        """(length,) positions of a group's entries."""
        return self.starts[group] + np.arange(self.lengths[group])

    def groups_of(self, positions: Array) -> tuple[Array, Array]:
        """Which group each position is of, counted in their order, and which entry of it; of a vector without gaps."""
        starts = np.array(list(self.starts.values()), dtype=np.int64)
        number = np.searchsorted(starts, positions, side="right") - 1
        return number, positions - starts[number]


@dataclass(frozen=True)
class Basis:
    """Groups of variables, one behind the other in a vector y (N,), and groups derived from them.

    The *extended* basis has the derived groups behind the others: (N + M,).

    Attributes:
        sizes: group -> number of entries, in basis order.
        derived: derived group -> its coefficients.
    """

    sizes: dict[Group, int]
    derived: dict[Group, LinearMap]

    @cached_property
    def placement(self) -> Placement:
        """Of the groups in y."""
        return Placement.of(self.sizes)

    @cached_property
    def extended(self) -> Placement:
        """Of basis and derived groups in the extended basis."""
        return Placement.of({group: self.length(group) for group in (*self.sizes, *self.derived)})

    @property
    def size(self) -> int:
        """N, the number of basis entries: the side of M_1."""
        return self.placement.size

    def slice(self, group: Group) -> slice:
        """Where a basis group lies in y."""
        return self.placement.slice(group)

    def length(self, group: Group) -> int:
        """Number of entries of a basis or derived group."""
        return self.sizes[group] if group in self.sizes else next(iter(self.derived[group].values())).shape[0]

    def rows(self, group: Group) -> LinearMap | None:
        """A derived group's coefficients; None for a basis group."""
        return self.derived.get(group)

    def derived_rows(self) -> Array:
        """(M, N): the derived groups' rows over the basis, the middles of their coefficients."""
        out = np.zeros((self.extended.size - self.size, self.size))
        for group, terms in self.derived.items():
            places = self.extended.places(group) - self.size
            for other, matrix in terms.items():
                out[places, self.slice(other)] = matrix.mid
        return out

    def extend(self, V: Array, placement: Placement | None = None) -> Array:
        """The extended rows (size, r) of the basis' rows V (N, r), placed as `placement` says (default: `extended`)."""
        placement = self.extended if placement is None else placement
        E = np.zeros((placement.size, V.shape[1]))
        for group in self.sizes:
            E[placement.slice(group)] = V[self.slice(group)]
        for group, terms in self.derived.items():
            E[placement.slice(group)] = sum(m.mid @ V[self.slice(other)] for other, m in terms.items())
        return E


@dataclass(frozen=True)
class Lifting(Basis):
    """The maximum of  t^T A_1^T D(u_1) ... A_L^T D(u_L) c,  or of f itself, as a quadratic form.

    Kinds of basis groups, every entry at most 1 in magnitude at every feasible point; but for one, t and xi there is a
    group for each hidden layer:
      one   the constant 1
      v     signs of the layer's unstable neurons, v = 2u - 1 in {-1, 1}
      t     (q,) the direction; in {-1, 1} for norm inf (a linear function of t is largest at a vertex); a single entry
            where it is along one input (norm 1), none where s, of either sign, is beside that
      p     tangents after the mask, u_l (A_l p_{l-1}), p_0 = t, scaled; in all layers but the last
      a     adjoints after the mask, u_l (A_{l+1}^T a_{l+1}), a_L = c u_L, scaled; in all layers but the last
      xi    (q,) the input, x = center + scale * xi (`Domain`); local problems with unstable neurons only
      x     values after the mask, u_l z_l, scaled; local problems, in all layers but the last
      e     of a smooth layer, where the values lie between two parallel lines of z; where f itself is bounded, and in
            the lifting "tied" in all layers but the last
      k     of a smooth layer of the lifting "tied", in place of v: where its slopes lie between two parallel lines of z
    (u is 1[z > 0]; a neuron of slopes alpha and beta gives beta m + alpha (b - m), b before and m behind the mask; in a
    graph the layers but the last are those that feed one with an activation; a smooth neuron's u is free, its slopes
    lie around its derivatives, and from its layer on there are no z and x)
    and of derived groups, linear in the basis: z, w and g, what the masks of x, p and a multiply, in their scales:
      z     pre-activations  z_i / 2**exponent_i;  local problems only
      w, g  tangents and adjoints before the mask, over 2**reach_exponent_i
      f, fa, fb  values behind a smooth layer, how far they are from the flattest and the steepest line (curves.py)
      d     slopes of a smooth layer of the lifting "tied", where g is less a middle, and a is d g (ties.py)
    Where f itself is bounded there are one, v, xi and x, in smooth layers e in place of v and x, in all layers; in
    LipSDP's relaxation one, t, and in all layers q with its y, tangents whose mask may be anything from 0 to 1.

    Attributes:
        objective: (g, h) -> (size g, size h) enclosure B; the objective is the sum of y_g^T B y_h.
        exponent: the true objective is 2**exponent times that.
        presolve: the neurons and inputs that the groups stand for.
        balls: groups whose squares add up to at most 1: t in norm 2, xi in a ball; every other entry has its own bound.
        norms: which norm bounds t, s and xi by 1, of those that there are.
        orders: by kind and layer, pairs of unstable neurons whose masks are ordered (orders.py).
        curves: by smooth layer that has an e, what is known of its values.
        ties: by smooth layer that has a k, what is known of its slopes.
    """

    objective: dict[tuple[Group, Group], Enclosure]
    exponent: int
    presolve: Presolve
    balls: tuple[Group, ...] = ()
    norms: Mapping[Group, Norm] = field(default_factory=dict)
    orders: Mapping[tuple[str, int], Array] = field(default_factory=dict)
    curves: Mapping[int, Curves] = field(default_factory=dict)
    ties: Mapping[int, Ties] = field(default_factory=dict)

    @cached_property
    def made(self) -> dict[str, Any]:
        """What `once` keeps."""
        return {}

    @property
    def square_is_one(self) -> Array:
        """(N,) bool: y_k^2 = 1 at every feasible point (elsewhere y_k^2 <= 1)."""
        mask = np.zeros(self.size, dtype=bool)
        for group in self.sizes:
            if group.kind in ("one", "v") or (group in (T, S) and group not in self.balls):
                mask[self.slice(group)] = True
        return mask

    @property
    def chains(self) -> tuple[str, ...]:
        """The chains that have variables, "x" first."""
        values = ("x",) if any(group.kind == "x" for group in (*self.sizes, *self.derived)) else ()
        return values + self.presolve.chains

    def chains_of(self, layer: int) -> tuple[str, ...]:
        """The chains that have variables in a masked layer, "x" first."""
        return tuple(c for c in self.chains if Group(c, layer) in self.sizes or Group(c, layer) in self.derived)

    @property
    def by_chains(self) -> bool:
        """Whether all products are of the chains' variables: f itself is bounded, or tangents without signs."""
        return self.presolve.chains in ((), ("q",))

    @property
    def masked_layers(self) -> int:
        """How many layers have variables behind their masks."""
        return len(self.masked)

    @property
    def masked(self) -> tuple[int, ...]:
        """The layers that have variables behind their masks."""
        presolve = self.presolve
        has_all = self.by_chains or OF_OUTPUTS in presolve.chains or presolve.has_last or presolve.tied
        return self.presolve.structure.masked if has_all else self.presolve.structure.inner

    @property
    def budget(self) -> Array:
        """(N,) int64: entries of one number share one bound, the sum of their squares is at most 1."""
        out = np.arange(self.size)
        for group in self.balls:
            where = self.slice(group)
            out[where] = where.start
        return np.unique(out, return_inverse=True)[1]

    def owners(self, group: Group) -> Array:
        """Of a basis group's entries, the neurons or inputs in the network's numbering; 0 of the constant, k of s_k."""
        if group in (ONE, S):
            return np.arange(self.sizes[group])
        if group == T:
            return self.presolve.directions
        members = self.presolve.members(group.layer)
        return members[1:] if group.kind == REST else members

    # --- one hidden layer ---

    @property
    def z_one(self) -> Enclosure | None:
        """(n, 1) z's constants; None without xi."""
        return self.derived[Z1][ONE] if Z1 in self.derived else None

    @property
    def z_xi(self) -> Enclosure | None:
        """(n, q) z's coefficients of xi; None without xi."""
        return self.derived[Z1][XI] if Z1 in self.derived else None

    @property
    def objective_v(self) -> Enclosure:
        """(n, q); the objective is sum_ij objective_v_ij v_i t_j + sum_j objective_one_j t_j."""
        return self.objective[V1, T]

    @property
    def objective_one(self) -> Enclosure:
        """(1, q)."""
        return self.objective[ONE, T]


def once(make: Callable[[Lifting], Made]) -> Callable[[Lifting], Made]:
    """A function of a lifting that makes what nobody changes: called once for each, and what it made kept there."""
    name = f"{make.__module__}.{make.__qualname__}"

    @functools.wraps(make)
    def kept(lifting: Lifting) -> Made:
        if name not in lifting.made:
            lifting.made[name] = make(lifting)
        made: Made = lifting.made[name]
        return made

    return kept
