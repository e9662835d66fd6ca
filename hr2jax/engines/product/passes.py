"""Multipliers of LipSDP by one pass through the layers, in closed form.

With q_l tangents behind layer l's masks and y_l = Y q_{<l} before them, a multiplier lambda of q (y - q) >= 0 puts
lambda on q's diagonal of S and -lambda Y / 2 beside it. What earlier layers leave to layer l, once they are eliminated,
is lambda P - lambda^2 P Q P with Q = Y S^-1 Y^T / 4, P the squares of the entries' scales; lambda = 1 / (2 ||P^1/2 Q
P^1/2||) makes it as large as can be (Xu, Sivaranjani, ECLipsE, NeurIPS 2024). In norm 2 and where layers take the one
before them alone the bound is at most the product of the layers' norms. It costs a factorisation a layer, where an
engine takes some of all of them in each of many steps.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.linalg as sl

from ...arithmetic.float64 import Array
from ...relaxation.basis import ONE, Group, Lifting, S, T
from ...relaxation.forms import family_name

# Scales of entries that lie further below the largest are those of dead neurons.
SPREAD = 40
# Turns of the power method for a norm, and how often it may have been that much too small.
TURNS, TRIES = 30, 4
# Of what is proved to be needed at the end, so much more is taken, for rounding.
SLACK = 1e-9

Blocks = dict[Group, Array]


def one_pass(lifting: Lifting) -> tuple[dict[str, Array], Array] | None:
    """Multipliers by family and a diagonal (N,) of LipSDP's lifting; None where numbers are beyond float64."""
    if T not in lifting.sizes:
        return None
    with np.errstate(all="ignore"):
        try:
            found = _pass(lifting)
        except (np.linalg.LinAlgError, ValueError):  # singular, or not finite
            return None
    if found is None or not all(np.isfinite(values).all() for values in (*found[0].values(), found[1])):
        return None
    return found


def _pass(lifting: Lifting) -> tuple[dict[str, Array], Array] | None:
    order = [T, *(group for group in lifting.sizes if group.kind == "q")]
    of_t = _of_t(lifting)
    factor: dict[Group, Blocks] = {T: {T: np.sqrt(of_t)}}  # rows of a Cholesky factor of S; t's block is a diagonal
    multipliers: dict[str, Array] = {}
    for group in order[1:]:
        before = order[: order.index(group)]
        Y = {other: terms.mid for other, terms in lifting.derived[Group("y", group.layer)].items()}
        X = _forward(factor, before, {other: block.T for other, block in Y.items()})
        weights = _weights(lifting, group)
        step, root = _step(_gram(X), weights)
        chosen = step * weights
        factor[group] = {other: -0.5 * chosen[:, None] * block.T for other, block in X.items()} | {group: root}
        multipliers[family_name("q.(y-q)", group.layer)] = chosen
    end = S if S in lifting.sizes else ONE
    if any(not {g, h} <= {end, *order} or end not in (g, h) for g, h in lifting.objective):
        return None
    ends = {h if g == end else g: B.mid.T if g == end else B.mid for (g, h), B in lifting.objective.items()}
    scale = max(float(np.abs(block).max(initial=0.0)) for block in ends.values())  # whose square may be no float64
    if not scale > 0:
        return None
    left = _gram(_forward(factor, order, {group: block / scale for group, block in ends.items()}))
    if end in lifting.balls or len(left) == 1:
        own = np.full(len(left), np.linalg.eigvalsh(left)[-1])
    else:
        own = np.abs(left).sum(axis=1)
    total = float(own[0] if end in lifting.balls else own.sum())
    if not total > 0:
        return None
    # what was found holds with any multiple of it, with the end's part divided by that
    unit, d = np.sqrt(total / (1.0 if T in lifting.balls else of_t.sum())), np.zeros(lifting.size)
    d[lifting.slice(T)], d[lifting.slice(end)] = scale * unit * of_t, scale * (own / unit) * (1 + SLACK)
    return {name: scale * unit * values for name, values in multipliers.items()}, d


def _of_t(lifting: Lifting) -> Array:
    """t's diagonal, up to a multiple: where its entries have bounds of their own, as long as what they are part of."""
    if T in lifting.balls:
        return np.ones(lifting.sizes[T])
    parts = [terms[T].mid for group, terms in lifting.derived.items() if group.kind == "y" and T in terms]
    length = np.sqrt(sum((part**2).sum(axis=0) for part in parts))
    return np.maximum(length, 1e-6 * length.max(initial=0.0))


def _weights(lifting: Lifting, group: Group) -> Array:
    """Squares of the scales of a group's entries, over the largest."""
    exponent = lifting.presolve.layers[group.layer - 1].reach_exponent["q"].astype(np.float64)
    return np.asarray(np.exp2(2.0 * np.maximum(exponent - exponent.max(initial=-np.inf), -SPREAD)))


def _forward(factor: Mapping[Group, Blocks], order: list[Group], right: Blocks) -> Blocks:
    """L^-1 R by groups, L the factor so far and R what is given by rows; groups in which it is 0 are left out."""
    out: Blocks = {}
    for group in order:
        rest = right.get(group)
        for other, block in factor[group].items():
            if other != group and other in out:
                rest = -block @ out[other] if rest is None else rest - block @ out[other]
        if rest is not None:
            root = factor[group][group]
            out[group] = rest / root[:, None] if root.ndim == 1 else sl.solve_triangular(root, rest, lower=True)
    return out


def _gram(X: Blocks) -> Array:
    """X^T X / 4."""
    total = sum(block.T @ block for block in X.values())
    return np.asarray(0.25 * total)


def _step(Q: Array, weights: Array) -> tuple[float, Array]:
    """The multiplier over the weights P, and the Cholesky factor of lambda P - lambda^2 P Q P."""
    half = np.sqrt(weights)
    scaled = half[:, None] * Q * half
    v = np.ones(len(Q)) / np.sqrt(max(len(Q), 1))
    for _ in range(TURNS):
        w = scaled @ v
        norm = float(np.linalg.norm(w))
        if not norm > 0:
            break
        v = w / norm
    norm = max(norm, float(np.diag(scaled).max(initial=0.0)), float(np.finfo(np.float64).tiny))
    for _ in range(TRIES):
        step = 0.5 / norm
        chosen = step * weights
        try:
            return step, np.linalg.cholesky(np.diag(chosen) - chosen[:, None] * Q * chosen)
        except np.linalg.LinAlgError:
            norm *= 2.0  # the power method had not come far enough
    raise np.linalg.LinAlgError("no multiplier of this layer leaves a positive definite matrix")
