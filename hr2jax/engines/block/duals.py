"""Between dual matrices of the block form and a certificate's multipliers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.families import preset
from ...relaxation.forms import family_name
from ...relaxation.lasserre import Monomial
from ...relaxation.table import XT
from .cliques import Polynomial
from .form import BlockForm


def multipliers_of(form: BlockForm, duals: Sequence[Array]) -> dict[str, Array]:
    """Multipliers of the product form, family name -> (n,), from dual matrices: per batch (n, D), block by block."""
    if form.layout == "clique":
        polynomials = [np.einsum("ndq,nd->nq", batch.dense(), Z) for batch, Z in zip(form.batches, duals, strict=True)]
        return clique_multipliers(form, polynomials)
    names = {family.name for family in preset(form.relaxation, form.lifting)}
    return {
        block.name: np.maximum(Z[:, k], 0.0)
        for batch, Z in zip(form.batches, duals, strict=True)
        for k, block in enumerate(batch.blocks)
        if block.name in names
    }


def duals_of(form: BlockForm, multipliers: Mapping[str, Array]) -> list[Array]:
    """Dual matrices that product-form multipliers describe, per batch (n, D): for a warm start."""
    if form.layout == "product":
        zero = {batch.name: np.zeros(batch.count) for batch in form.batches}
        return [
            np.stack([multipliers.get(block.name, zero[batch.name]) for block in batch.blocks], axis=1)
            for batch in form.batches
        ]
    return [
        np.einsum("ndq,nq->nd", np.linalg.pinv(batch.dense().transpose(0, 2, 1)), q)
        for q, batch in zip(clique_polynomials(form, multipliers), form.batches, strict=True)
    ]


def clique_multipliers(form: BlockForm, polynomials: Sequence[Array]) -> dict[str, Array]:
    """Multipliers of the product form from the dual polynomials of the cliques.

    Args:
        form: the block form.
        polynomials: per batch (n, 1 + k + m): the coefficients, on the clique's moments, of the sum of
            <Z, block> over the clique's blocks, Z >= 0 their dual matrices. Those on the clique's own
            moments vanish at a dual feasible point and are ignored.

    Returns:
        family name -> (n,) multipliers >= 0. A polynomial p(s, w), quadratic in w and nonnegative for both
        signs s on w's interval, is a square plus a multiple of (w - low)(high - w), which stay in M_1's
        dual matrix, plus for each s a linear function that its values at the interval's ends determine:
        those are the multipliers of the four products of factors.
    """
    out: dict[str, Array] = {}
    for batch, q in zip(form.batches, polynomials, strict=True):
        of = defaultdict(lambda n=batch.count: np.zeros(n), {m: q[:, k] for k, m in enumerate(batch.monomials)})  # type: ignore[misc]
        if batch.name == "{u_i,z_i}" and len(batch.blocks) == 1:
            out["v.z"] = np.maximum(of[0, 1], 0.0)
        elif batch.name == "{u_i,z_i}":
            low, high = form.lifting.presolve.layers[0].low, form.lifting.presolve.layers[0].high
            zero, square = np.zeros_like(low), of[1, 1]
            on = _ends(of[()] + of[0,], of[1,] + of[0, 1], square, zero, high)
            off = _ends(of[()] - of[0,], of[1,] - of[0, 1], square, low, zero)
            out["u.(h-z)"], out["u.z"] = on[0] / (2 * high), on[1] / (2 * high)
            out["(1-u).(-z)"], out["(1-u).(z-l)"] = off[0] / (-2 * low), off[1] / (-2 * low)
            out["z.(hu+l(1-u)-z)"] = np.maximum(-square, 0.0)
        elif batch.name == "{x_i,t_i}":
            one = np.ones(batch.count)
            for b, t in (("+", 1.0), ("-", -1.0)):
                ends = _ends(of[()] + of[1, 1] + t * of[1,], of[0,] + t * of[0, 1], of[0, 0], -one, one)
                out[f"(1-x).(1{b}t)"], out[f"(1+x).(1{b}t)"] = ends[0] / 4, ends[1] / 4
        elif batch.name == "{u_i,t_i}":
            for a, v in (("+", 1.0), ("-", -1.0)):
                for b, t in (("+", 1.0), ("-", -1.0)):
                    value = of[()] + of[1, 1] + v * of[0,] + t * of[1,] + v * t * of[0, 1]
                    out[f"(1{a}v).(1{b}t)"] = np.maximum(value / 4, 0.0)
    return {_name(product): values for product, values in out.items()}


def clique_polynomials(form: BlockForm, multipliers: Mapping[str, Array]) -> list[Array]:
    """The cliques' polynomials that product-form multipliers describe: per batch (n, 1 + k + m) coefficients.

    The part of `clique_multipliers`' inverse that the multipliers determine; a warm start needs no more.
    """
    out = []
    low, high = form.lifting.presolve.layers[0].low, form.lifting.presolve.layers[0].high
    for batch in form.batches:
        q = np.zeros((batch.count, len(batch.monomials)))
        column = {m: k for k, m in enumerate(batch.monomials)}

        def add(product: str, polynomial: Polynomial, q: Array = q, column: dict[Monomial, int] = column) -> None:
            for monomial, value in polynomial.items():
                q[:, column[monomial]] += multipliers.get(_name(product), 0.0) * value

        if batch.name == "{u_i,z_i}" and len(batch.blocks) == 1:
            add("v.z", {(0, 1): 1.0})
        elif batch.name == "{u_i,z_i}":
            add("u.z", {(1,): 1.0, (0, 1): 1.0})
            add("(1-u).(-z)", {(1,): -1.0, (0, 1): 1.0})
            add("u.(h-z)", {(): high, (0,): high, (1,): -1.0, (0, 1): -1.0})
            add("(1-u).(z-l)", {(): -low, (0,): low, (1,): 1.0, (0, 1): -1.0})
            add("z.(hu+l(1-u)-z)", {(1,): (high + low) / 2, (0, 1): (high - low) / 2, (1, 1): -1.0})
        elif batch.name in ("{x_i,t_i}", "{u_i,t_i}"):
            for a, s in (("+", 1.0), ("-", -1.0)):
                for b, t in (("+", 1.0), ("-", -1.0)):
                    product = f"(1{a}{'x' if 'x' in batch.name else 'v'}).(1{b}t)"
                    add(product, {(): 1.0, (0,): s, (1,): t, (0, 1): s * t})
        out.append(q)
    return out


def _name(product: str) -> str:
    """The name of a family, of one hidden layer or of the inputs."""
    return family_name(product, 0 if product in XT else 1)


def _ends(constant: Array, slope: Array, square: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Values at low and high of p(w) = constant + slope w + square w^2 less its square part.

    A convex p loses square (w - w0)^2, w0 its minimiser on [low, high]: the rest is linear and still
    nonnegative there. A concave p loses -square (w - low)(high - w), which vanishes at both ends.
    """
    convex = np.maximum(square, 0.0)
    best = np.clip(np.where(convex > 0, -slope / np.where(convex > 0, 2 * convex, 1.0), low), low, high)
    ends = []
    for w in (low, high):
        ends.append(np.maximum(constant + slope * w + square * w**2 - convex * (w - best) ** 2, 0.0))
    return ends[0], ends[1]
