"""Alternating maximisation of a bilinear chain over unit rows, in JAX."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

# Columns of V. The optimum of such a problem has low rank; fewer columns could end in a local maximum.
RANK = 8
# Sweeps from nothing, and in each training step.
COLD, WARM = 60, 1
POWER_STEPS = 2  # of the power iteration for s, for each sweep


class PenaltyState(NamedTuple):
    """Where the solver was: what the next call begins from.

    Attributes:
        V: (P, p_1, RANK) rows of norm 1, for P pairs of outputs.
        z: (P, p_0) the power iteration's vector.
    """

    V: Any
    z: Any


def cold(pairs: int, shape: tuple[int, ...], dtype: Any) -> PenaltyState:
    """Random, but always the same."""
    neurons, inputs = shape
    key = jax.random.key(0)
    V = jax.random.normal(key, (pairs, neurons, RANK), dtype)
    return PenaltyState(_unit(V), jax.random.normal(jax.random.fold_in(key, 1), (pairs, inputs), dtype))


def _unit(rows: Any) -> Any:
    """Rows of length 1; a row of zeros stays one."""
    return rows / jnp.maximum(jnp.linalg.norm(rows, axis=-1, keepdims=True), jnp.finfo(rows.dtype).tiny)


def _weighted(w: Any, V: Any, e: float) -> Any:
    """(P, p_1, RANK): w_i (e + v_i), with e so many times the first unit vector."""
    return w[..., None] * V.at[..., 0].add(e)


def _directions(A: Any, w: Any, V: Any, g: Any, e: float) -> Any:
    """(P, p_0, RANK): what each t_j is multiplied by; 2 g is the gradient's part that does not vary (0 globally)."""
    G = jnp.einsum("ij,pir->pjr", A, _weighted(w, V, e))
    return G if g is None else G.at[..., 0].add(2.0 * g)


def objective(A: Any, w: Any, V: Any, g: Any = None, e: float = 1.0) -> Any:
    """(P,): the relaxation's objective at V, with the best T; e: 1.0, or 0.0 where no constant is added to the rows."""
    return 0.5 * jnp.sum(_length(_directions(A, w, V, g, e)), axis=-1)


def _length(rows: Any) -> Any:
    """Row lengths whose gradient is 0, not NaN, at a row of zeros."""
    square = jnp.sum(rows * rows, axis=-1)
    safe = jnp.where(square > 0, square, 1.0)
    return jnp.where(square > 0, jnp.sqrt(safe), 0.0)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def estimate(A: Any, w: Any, state: PenaltyState, sweeps: int, e: float = 1.0) -> tuple[Any, PenaltyState]:
    """(P,) estimated upper bounds and the new state; e as in `objective`."""
    return _solve(A, w, state, sweeps, e)


@partial(jax.jit, static_argnums=(3, 4))  # also outside of somebody's jit: its loops would be compiled at every call
def _solve(A: Any, w: Any, state: PenaltyState, sweeps: int, e: float) -> tuple[Any, PenaltyState]:
    with jax.default_matmul_precision("highest"):  # a GPU's TF32 is off by more than what the bound lies above
        V = jax.lax.fori_loop(0, sweeps, lambda _, V: sweep(A, w, V, e=e), state.V)
        of_e, own, length, z = diagonal(A, w, V, state.z, POWER_STEPS * sweeps, e=e)
    return of_e + jnp.sum(own, axis=-1) + jnp.sum(length, axis=-1), PenaltyState(V, z)


def diagonal(
    A: Any, w: Any, V: Any, z: Any, steps: int, g: Any = None, e: float = 1.0
) -> tuple[Any, Any, Any, Any]:
    """d of e (P,), of V (P, p_1), of T (P, p_0), feasible as far as `steps` of the power iteration tell; and its z."""
    G = _directions(A, w, V, g, e)
    length, T = _length(G), _unit(G)
    # row lengths of 4 M (e, V, T); the form is bipartite: {e, v} against {t}
    H = w[..., None] * jnp.einsum("ij,pjr->pir", A, T)
    towards = e * jnp.sum(H, axis=-2)
    towards = towards if g is None else towards + 2.0 * jnp.einsum("pj,pjr->pr", g, T)
    own, of_e = _length(H), _length(towards)
    s, z = _largest(A, w, own, of_e, length, z, steps, g)
    # Diag(a d_ev, d_t / a) is as feasible for every a > 0: the best one balances the two sums
    left, right = jnp.sum(own, axis=-1) + of_e, jnp.sum(length, axis=-1)
    a = jnp.sqrt(jnp.where(left > 0, right / jnp.where(left > 0, left, 1.0), 1.0))
    to_t = jnp.where(a > 0, 1.0 / jnp.where(a > 0, a, 1.0), 0.0)
    return 0.25 * s * a * of_e, 0.25 * (s * a)[:, None] * own, 0.25 * (s * to_t)[:, None] * length, z


def sweep(A: Any, w: Any, V: Any, g: Any = None, e: float = 1.0) -> Any:
    """The best T for V, then the best V for that T."""
    T = _unit(_directions(A, w, V, g, e))
    H = w[..., None] * jnp.einsum("ij,pjr->pir", A, T)
    moved = jnp.sum(H * H, axis=-1, keepdims=True) > 0
    return jnp.where(moved, _unit(H), V)


def _largest(A: Any, w: Any, own: Any, e: Any, length: Any, z: Any, steps: int, g: Any) -> tuple[Any, Any]:
    """The largest singular value of D^-1/2 (4 M) D^-1/2, (P,), by power iteration from z (P, p_0)."""

    def root(d: Any) -> Any:
        return jnp.where(d > 0, jax.lax.rsqrt(jnp.where(d > 0, d, 1.0)), 0.0)

    by_t, by_v, by_e = root(length), root(own) * w, root(e)

    def forth(z: Any) -> tuple[Any, Any]:
        moved = (by_t * z) @ A.T
        x_e = jnp.sum(w * moved, axis=-1)
        if g is not None:
            x_e = x_e + 2.0 * jnp.sum(g * by_t * z, axis=-1)
        return by_v * moved, by_e * x_e

    def step(_: int, z: Any) -> Any:
        x, x_e = forth(_unit(z))
        own_e = (by_e * x_e)[:, None]
        back: Any = (by_v * x + own_e * w) @ A
        return by_t * (back if g is None else back + 2.0 * own_e * g)

    z = _unit(jax.lax.fori_loop(0, steps, step, z))
    x, x_e = forth(z)
    return jnp.maximum(jnp.sqrt(jnp.sum(x * x, axis=-1) + x_e**2), 1.0), z


def _forward(A: Any, w: Any, state: PenaltyState, sweeps: int, e: float) -> tuple[Any, Any]:
    values, state = _solve(A, w, state, sweeps, e)
    return (values, state), (A, w, state.V, values)


def _backward(sweeps: int, e: float, kept: Any, cotangents: Any) -> Any:
    """d/d(A, w) of the objective at V, scaled so that A . gradient is the value itself, as for the constant."""
    A, w, V, values = kept
    return (*_pull(A, w, V, values, cotangents[0], e), jax.tree.map(jnp.zeros_like, cotangents[1]))


estimate.defvjp(_forward, _backward)


@partial(jax.jit, static_argnums=5)
def _pull(A: Any, w: Any, V: Any, values: Any, cotangent: Any, e: float) -> Any:
    with jax.default_matmul_precision("highest"):
        attained, pull = jax.vjp(lambda A, w: objective(A, w, V, e=e), A, w)
        ratio = jnp.where(attained > 0, values / jnp.where(attained > 0, attained, 1.0), 1.0)
        return pull(cotangent * ratio)
