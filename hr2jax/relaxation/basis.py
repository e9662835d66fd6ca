"""The lifted basis: one vector of variables, and the linear forms over it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from .presolve import Presolve

NOTHING = -(2**16)  # the exponent of 0: below that of every product of float64 numbers

# chain -> what its mask multiplies: the tangents p = u w, the values x = u z, the adjoints a = u g; LipSDP's tangents q
# lie between 0 and y
BEFORE_MASK = {"p": "w", "x": "z", "a": "g", "q": "y"}

LinearMap = dict[str, Enclosure]  # rows of linear forms: basis group -> (rows, size of the group) coefficients


@dataclass(frozen=True)
class Lifting:
    """The maximum of  t^T A_1^T D(u_1) ... A_L^T D(u_L) c,  or of f itself, as a quadratic form.

    Basis groups, every entry at most 1 in magnitude at every feasible point; those of hidden layer l end in the
    layer's tag, its number, or nothing where there is one layer only:
      one   the constant 1
      v     signs of the layer's unstable neurons, v = 2u - 1 in {-1, 1}
      t     (q,) the direction; in {-1, 1} for norm inf (a linear function of t is largest at a vertex)
      p     tangents after the mask, u_l (A_l p_{l-1}), p_0 = t, scaled; in all layers but the last
      a     adjoints after the mask, u_l (A_{l+1}^T a_{l+1}), a_L = c u_L, scaled; in all layers but the last
      xi    (q,) the input, x = center + scale * xi (`Domain`); local problems with unstable neurons only
      x     values after the mask, u_l z_l, scaled; local problems, in all layers but the last
    and derived groups, linear in the basis: z, w and g, what the masks of x, p and a multiply, in their scales:
      z     pre-activations  z_i / 2**exponent_i;  local problems only
      w, g  tangents and adjoints before the mask, over 2**reach_exponent_i
    Where f itself is bounded there are one, v, xi and x, in all layers; in LipSDP's relaxation one, t, and in all
    layers q with its y, tangents whose mask may be anything from 0 to 1.

    Attributes:
        sizes: group name -> number of entries, in basis order.
        derived: derived group -> its coefficients.
        objective: (g, h) -> (size g, size h) enclosure B; the objective is the sum of y_g^T B y_h.
        exponent: the true objective is 2**exponent times that.
        presolve: the neurons and inputs that the groups stand for.
        balls: groups whose squares add up to at most 1: t in norm 2, xi in a ball; every other entry has its own bound.
    """

    sizes: dict[str, int]
    derived: dict[str, LinearMap]
    objective: dict[tuple[str, str], Enclosure]
    exponent: int
    presolve: Presolve
    balls: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """N, the number of basis entries: the side of M_1."""
        return sum(self.sizes.values())

    def slice(self, group: str) -> slice:
        """Where a basis group lies in y."""
        names = list(self.sizes)
        start = sum(self.sizes[name] for name in names[: names.index(group)])
        return slice(start, start + self.sizes[group])

    @property
    def square_is_one(self) -> Array:
        """(N,) bool: y_k^2 = 1 at every feasible point (elsewhere y_k^2 <= 1)."""
        mask = np.zeros(self.size, dtype=bool)
        for group in self.sizes:
            if _letter(group) in ("one", "v") or (group == "t" and "t" not in self.balls):
                mask[self.slice(group)] = True
        return mask

    @property
    def chains(self) -> tuple[str, ...]:
        """The chains that have variables, "x" first."""
        values = ("x",) if any(kind == "x" for kind in map(_letter, self.sizes)) else ()
        return values + self.presolve.chains

    @property
    def masked_layers(self) -> int:
        """How many layers, from the first on, have variables behind their masks."""
        every = self.presolve.chains in ((), ("q",))
        return self.presolve.depth - (0 if every else 1)

    @property
    def budget(self) -> Array:
        """(N,) int64: entries of one number share one bound, the sum of their squares is at most 1."""
        out = np.arange(self.size)
        for group in self.balls:
            where = self.slice(group)
            out[where] = where.start
        return np.unique(out, return_inverse=True)[1]

    def length(self, group: str) -> int:
        """Number of entries of a basis or derived group."""
        return self.sizes[group] if group in self.sizes else next(iter(self.derived[group].values())).shape[0]

    def rows(self, group: str) -> LinearMap | None:
        """A derived group's coefficients; None for a basis group."""
        return self.derived.get(group)

    # --- one hidden layer ---

    @property
    def z_one(self) -> Enclosure | None:
        """(n, 1) z's constants; None without xi."""
        return self.derived["z"]["one"] if "z" in self.derived else None

    @property
    def z_xi(self) -> Enclosure | None:
        """(n, q) z's coefficients of xi; None without xi."""
        return self.derived["z"]["xi"] if "z" in self.derived else None

    @property
    def objective_v(self) -> Enclosure:
        """(n, q); the objective is sum_ij objective_v_ij v_i t_j + sum_j objective_one_j t_j."""
        return self.objective["v", "t"]

    @property
    def objective_one(self) -> Enclosure:
        """(1, q)."""
        return self.objective["one", "t"]


def _letter(group: str) -> str:
    """A group's name without its layer."""
    return group.rstrip("0123456789")


def tag(l: int, depth: int) -> str:
    """What the groups of hidden layer l = 0 .. depth - 1 end in."""
    return str(l + 1) if depth > 1 else ""
