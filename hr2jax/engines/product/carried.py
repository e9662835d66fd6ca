"""What LipSDP's optimum is in a lifting with signs: multipliers that prove the same there, and vectors that attain it.

Of one output, everywhere. Where the vectors of LipSDP's tangents are q and y = what their mask multiplies, b = y - q is
orthogonal to q, so that the constant's vector e, reflected at b, is one of the neuron's sign v: (e + v) b = 0 and
(e - v) q = 0. With multipliers lambda of q (y - q) the tangents p are q, and the adjoints a are lambda q, whose
multiplier is 1 / lambda; the last layer's sign needs none. So no such lifting has a bound above LipSDP's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.basis import BEFORE_MASK, ONE, Group, Lifting, S, T
from ...relaxation.forms import family_name
from .arrays import Factored

# The size of what is random beside a factor that is known.
NEW = 1e-3
# Rows of P may be this many times as long as random ones when a round begins.
LONGEST = 10.0


class Carried(NamedTuple):
    """Multipliers by family, and V (N, r)."""

    multipliers: dict[str, Array]
    V: Array


def carried(of: Lifting, multipliers: Mapping[str, Array], V: Array, to: Lifting) -> Carried | None:
    """LipSDP's multipliers and vectors V (N, r) in another lifting; None where that has other variables."""
    if S in to.sizes or T not in of.sizes or any(g.kind not in ("one", "t", "v", "p", "a") for g in to.sizes):
        return None
    E, rows, found = of.extend(V), [], {}
    e = E[of.extended.slice(ONE)]
    for group, size in to.sizes.items():
        q = Group("q", group.layer)
        if (of.sizes.get(group) if group in (ONE, T) else of.sizes.get(q)) != size:
            return None
        if group in (ONE, T):
            rows.append(E[of.extended.slice(group)])
            continue
        masked, before = E[of.extended.slice(q)], E[of.extended.slice(Group(BEFORE_MASK["q"], group.layer))]
        if group.kind == "v":
            off = before - masked
            squares = np.einsum("ij,ij->i", off, off)[:, None]
            rows.append(e - np.where(squares > 0, 2.0 * (off @ e.T) / np.where(squares > 0, squares, 1.0), 0.0) * off)
            continue
        neurons = of.presolve.layers[group.layer - 1]
        own, other = (
            layer.reach_exponent[kind].astype(np.float64)
            for layer, kind in ((neurons, "q"), (to.presolve.layers[group.layer - 1], group.kind))
        )
        with np.errstate(all="ignore"):  # of dead neurons nothing comes through
            chosen = multipliers[family_name("q.(y-q)", group.layer)] * np.exp2(of.exponent - 2.0 * own)
            scale = np.exp2(2.0 * other - to.exponent)
            part, value = (1.0, chosen * scale) if group.kind == "p" else (chosen, scale / chosen)
            part = part * np.exp2(own - other)
        if group.kind == "p" or "p" not in to.presolve.chains:  # of two chains, the objective is the tangents'
            name = family_name(f"{group.kind}.({BEFORE_MASK[group.kind]}-{group.kind})", group.layer)
            found[name] = np.where(np.isfinite(value), value, 0.0)
        rows.append(np.where(np.isfinite(part), part, 0.0)[:, None] * masked)
    return Carried(found, np.concatenate(rows))


def factor_at(V: Array, factored: Factored, rank: int, rng: np.random.Generator) -> Array:
    """P (N, columns + 1) of the low-rank engine at V (N, r), with at least `rank` columns and a last one of slacks."""
    budget, places = factored.lifting.budget, factored.rows
    left = 1.0 - np.bincount(budget, np.einsum("ij,ij->i", V, V))[budget]
    has_slack = np.zeros(len(V), dtype=bool)
    has_slack[np.unique(budget, return_index=True)[1]] = True  # of entries that share a bound, the first
    has_slack &= ~factored.lifting.square_is_one
    P = NEW * rng.standard_normal((factored.size, max(rank, V.shape[1]) + 1))
    P[places, : V.shape[1]] += V / factored.unit[places]
    P[places, -1] = np.where(has_slack, np.sqrt(np.maximum(left, 0.0)), 0.0)
    return np.asarray(P * np.sqrt(P.shape[1] - 1))


def shortened(P: Array) -> Array:
    """P with no very long row: one that a step has made so would hardly move again, for its gradient shrinks."""
    longest = LONGEST * np.sqrt(P.shape[1])
    return P * np.minimum(longest / np.linalg.norm(P, axis=1, keepdims=True), 1.0)
