"""The lifted basis y = (1, v, t, xi) and the objective as a quadratic form of it (DESIGN section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..enclosure import Array, Enclosure, clipped_exponent
from ..network import Network
from ..presolve import Presolve
from ..problem import LipschitzProblem

NOTHING = -(2**16)  # the exponent of 0: below that of every product of float64 numbers


@dataclass(frozen=True)
class Lifting:
    """One hidden layer, inf norm: the maximum of  t^T A^T D(u) c  as a quadratic form.

    Basis groups, in order, every entry at most 1 in magnitude at every feasible point:
      one  the constant 1
      v    (n,) signs of the unstable neurons, v = 2u - 1 in {-1, 1}
      t    (q,) the direction, in {-1, 1} (a linear function of t is largest at a vertex)
      xi   (q,) the input, x = center + radius xi; local problems with unstable neurons only
    and one derived group, linear in the basis:
      z    (n,) scaled pre-activations  z_i / 2**exponent_i = z_one_i + sum_j z_xi_ij xi_j

    Attributes:
        sizes: group name -> number of entries, in basis order.
        z_one, z_xi: (n, 1) and (n, q) enclosures of z's coefficients; None without xi.
        objective_v: (n, q) enclosure; the objective is sum_ij objective_v_ij v_i t_j + sum_j objective_one_j t_j.
        objective_one: (1, q) enclosure.
        exponent: the true objective is 2**exponent times that.
        presolve: the neurons and inputs that the groups stand for.
    """

    sizes: dict[str, int]
    z_one: Enclosure | None
    z_xi: Enclosure | None
    objective_v: Enclosure
    objective_one: Enclosure
    exponent: int
    presolve: Presolve

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
        mask = np.ones(self.size, dtype=bool)
        if "xi" in self.sizes:
            mask[self.slice("xi")] = False
        return mask

    def length(self, group: str) -> int:
        """Number of entries of a basis or derived group."""
        return self.sizes["v"] if group == "z" else self.sizes[group]


def lift(
    net: Network, problem: LipschitzProblem, fixed: Presolve, arithmetic: type[Enclosure] = Enclosure
) -> Lifting:
    """The lifting of a one-hidden-layer network, every coefficient enclosed in `arithmetic`."""
    free, unstable, active = fixed.free, fixed.unstable, fixed.active
    n, q = len(unstable), len(free)
    A = net.weights[0][:, free]
    rows = np.concatenate([unstable, active]).astype(np.int64)
    # row by row first, then one unit for all: c_i may be tiny just where A_i is huge, and c_i A_i is what counts
    c, exponent_c = _output_row(net, problem, rows, arithmetic)
    exponent_A = np.frexp(np.abs(A[rows]).max(axis=1, initial=0.0))[1].astype(np.int64)
    counts = (exponent_c > NOTHING) & A[rows].any(axis=1)
    exponent_W = int((exponent_c + exponent_A)[counts].max(initial=NOTHING)) if counts.any() else 0
    W = c.reshape(-1, 1) * arithmetic(A[rows]).scaled(-exponent_A.reshape(-1, 1))
    W = W.scaled(np.where(counts, exponent_c + exponent_A - exponent_W, 0).reshape(-1, 1))
    half = W[:n].scaled(-1)
    constant = half.sum(axis=0) + W[n:].sum(axis=0)
    sizes = {"one": 1, "v": n, "t": q}
    z_one = z_xi = None
    if problem.is_local and n:
        assert problem.center is not None and problem.radius is not None
        sizes["xi"] = q
        # scaled before multiplying, so that no product underflows
        exponent, e_center, e_radius = fixed.exponent, _exponent(problem.center), _exponent(problem.radius)
        every = arithmetic(net.weights[0][unstable]).scaled((e_center - exponent).reshape(-1, 1))
        shift = arithmetic(net.biases[0][unstable]).scaled(-exponent)
        z_one = (every @ arithmetic(problem.center).scaled(-e_center) + shift).reshape(-1, 1)
        moving = arithmetic(A[unstable]).scaled((e_radius - exponent).reshape(-1, 1))
        z_xi = moving * arithmetic(problem.radius[free]).scaled(-e_radius)
    return Lifting(sizes, z_one, z_xi, half, constant.reshape(1, -1), exponent_W, fixed)


def _output_row(
    net: Network, problem: LipschitzProblem, rows: Array, arithmetic: type[Enclosure]
) -> tuple[Enclosure, Array]:
    """The entries of coefficients . C at `rows`, as an enclosure (m,) of size 1 times 2**exponents (m,).

    No rounding where a single row of C is meant. The exponents (NOTHING for a plain 0) do not depend on
    `arithmetic`, and only on single float64 operations: they set the unit in which multipliers are stated, on
    which whoever made a certificate and whoever verifies it must agree.
    """
    used = np.flatnonzero(problem.coefficients)
    k, C = problem.coefficients[used], net.weights[-1][used][:, rows]
    plain = len(used) <= 2 and bool((np.abs(k) == 1.0).all())
    weight = 0 if plain else np.frexp(k)[1].astype(np.int64).reshape(-1, 1)
    exponent = np.where(C != 0, np.frexp(C)[1] + weight, NOTHING).max(axis=0, initial=NOTHING)
    down = np.where(exponent > NOTHING, weight - exponent, 0)
    terms = arithmetic(C).scaled(down)
    if not plain:
        return (arithmetic(k).scaled(-np.ravel(weight)).reshape(-1, 1) * terms).sum(axis=0), exponent
    if len(used) == 0:
        return arithmetic(np.zeros(len(rows))), exponent
    signed = [terms[i] if sign > 0 else -terms[i] for i, sign in enumerate(k)]
    rounded = np.ldexp(C, clipped_exponent(down)) * k.reshape(-1, 1)
    shift = rounded[0] + rounded[1] if len(used) == 2 else rounded[0]  # 0 exactly where the difference is
    exponent = np.where(shift != 0, exponent + np.frexp(shift)[1], NOTHING)
    c = signed[0] + signed[1] if len(used) == 2 else signed[0]
    return c.scaled(-np.frexp(shift)[1].astype(np.int64)), exponent


def _exponent(array: Array) -> int:
    """e with every |entry| < 2**e, as small as possible; 0 for an array of zeros."""
    largest = float(np.max(np.abs(array), initial=0.0))
    return int(np.frexp(largest)[1]) if largest > 0 else 0
