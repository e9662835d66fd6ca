"""Low-rank augmented Lagrangian on the product form: Y = V V^T, never formed.

Burer and Monteiro's factorisation with rows of norm 1 (or at most 1), families as matrix products, a
jitted L-BFGS inside each step of the method of multipliers. Float32 steers, float64 finishes; the
multipliers go to the certificate, which trusts none of it.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..relaxation.families import Family
from ..relaxation.lifting import Lifting

Array = np.ndarray


class Data(NamedTuple):
    """Arrays of one problem, in the engine's units (a pytree: arguments of the jitted functions)."""

    objective_v: Any  # (n, q)
    objective_one: Any  # (q,)
    z_one: Any  # (n, 1) or (0, 1)
    z_xi: Any  # (n, q) or (0, 0)
    slack: Any  # (N, 1): 1 where a row's norm may be below 1
    families: Any  # per family: (coefficients of F's terms, of G's terms, indices of both, row scale)


class Spec(NamedTuple):
    """What is static: group sizes and, per family, the groups of its terms."""

    sizes: tuple[tuple[str, int], ...]
    families: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...]


def describe(lifting: Lifting, families: list[Family], scale: float, dtype: Any) -> tuple[Spec, Data]:
    """Split a lifting and its families into what is static and what is data; objective divided by `scale`."""
    spec = Spec(
        tuple(lifting.sizes.items()),
        tuple(
            (tuple(t.group for t in f.F.terms), tuple(t.group for t in f.G.terms), f.pairs) for f in families
        ),
    )
    rows = []
    for family in families:
        F, G = family.F.terms, family.G.terms
        norm_f, norm_g = _row_norms(lifting, F), _row_norms(lifting, G)
        norm = norm_f * norm_g if family.pairs == "diagonal" else np.outer(norm_f, norm_g)
        rows.append(
            (
                tuple((t.index, t.coefficient.astype(dtype)) for t in F),
                tuple((t.index, t.coefficient.astype(dtype)) for t in G),
                (2.0 / norm).astype(dtype),
            )
        )
    has_z = lifting.z_xi is not None
    data = Data(
        (lifting.objective_v.mid / scale).astype(dtype),
        (lifting.objective_one.mid[0] / scale).astype(dtype),
        (lifting.z_one.mid if lifting.z_one is not None else np.zeros((0, 1))).astype(dtype),
        (lifting.z_xi.mid if lifting.z_xi is not None and has_z else np.zeros((0, 0))).astype(dtype),
        (~lifting.square_is_one)[:, None].astype(dtype),
        tuple(rows),
    )
    return spec, data


def _row_norms(lifting: Lifting, terms: Any) -> Array:
    """Euclidean norms of forms in the basis."""
    total = np.zeros(len(terms[0].index))
    for term in terms:
        if term.group == "z":
            assert lifting.z_one is not None and lifting.z_xi is not None
            square = lifting.z_one.mid[:, 0] ** 2 + (lifting.z_xi.mid**2).sum(axis=1)
            total += term.coefficient**2 * square[term.index]
        else:
            total += term.coefficient**2
    return np.sqrt(np.maximum(total, 1e-30))


def rows_of(P: Any, data: Data) -> Any:
    """V (N, r): P's rows (N, r + 1) normalised; the last column is the slack of rows that may be shorter."""
    mask = jnp.concatenate([jnp.ones((P.shape[0], P.shape[1] - 1), P.dtype), data.slack], axis=1)
    P = P * mask
    return (P / jnp.sqrt(jnp.sum(P * P, axis=1, keepdims=True)))[:, :-1]


def _groups(spec: Spec, data: Data, V: Any) -> dict[str, Any]:
    out, start = {}, 0
    for name, size in spec.sizes:
        out[name] = V[start : start + size]
        start += size
    if "xi" in out:
        out["z"] = data.z_one * out["one"] + data.z_xi @ out["xi"]
    return out


def objective_and_products(spec: Spec, data: Data, V: Any) -> tuple[Any, list[Any]]:
    """<C, V V^T> and, per family, the scaled products  row_scale * (F V)(G V)^T  (diagonal or all)."""
    y = _groups(spec, data, V)
    directions = y["v"].T @ data.objective_v + y["one"].T @ data.objective_one[None, :]
    value = jnp.sum(directions * y["t"].T)
    products = []
    for (f_groups, g_groups, pairs), (f_terms, g_terms, row_scale) in zip(spec.families, data.families, strict=True):
        f = sum(c[:, None] * y[g][i] if g != "one" else c[:, None] * y[g] for g, (i, c) in zip(f_groups, f_terms, strict=True))
        g = sum(c[:, None] * y[h][i] if h != "one" else c[:, None] * y[h] for h, (i, c) in zip(g_groups, g_terms, strict=True))
        products.append(row_scale * (jnp.sum(f * g, axis=1) if pairs == "diagonal" else f @ g.T))
    return value, products


def _lagrangian(P: Any, spec: Spec, data: Data, multipliers: Any, sigma: Any) -> Any:
    """-<C, Y> + 1/(2 sigma) sum max(0, lambda - sigma p)^2, to be minimised over P."""
    value, products = objective_and_products(spec, data, rows_of(P, data))
    penalty = sum(
        jnp.sum(jnp.maximum(lam - sigma * p, 0.0) ** 2) for lam, p in zip(multipliers, products, strict=True)
    )
    return -value + penalty / (2.0 * sigma)


MEMORY = 10


@partial(jax.jit, static_argnames=("spec", "steps"))
def minimise(
    P: Any, data: Data, multipliers: Any, sigma: Any, tolerance: Any, *, spec: Spec, steps: int
) -> tuple[Any, Any, Any, Any]:
    """L-BFGS (memory 10, Armijo backtracking) on the augmented Lagrangian until its gradient is small.

    Returns P, the updated multipliers max(lambda - sigma p, 0), the gradient's norm and the steps taken.
    """
    fun = jax.value_and_grad(_lagrangian)
    shape = P.shape

    def evaluate(flat: Any) -> tuple[Any, Any]:
        value, gradient = fun(flat.reshape(shape), spec, data, multipliers, sigma)
        return value, gradient.ravel()

    def direction(g: Any, S: Any, D: Any, rho: Any, count: Any) -> Any:
        def backward(i: Any, carry: Any) -> Any:
            q, alpha = carry
            k = (count - 1 - i) % MEMORY
            a = rho[k] * jnp.vdot(S[k], q)
            return q - a * D[k], alpha.at[k].set(a)

        used = jnp.minimum(count, MEMORY)
        q, alpha = jax.lax.fori_loop(0, used, backward, (g, jnp.zeros(MEMORY, g.dtype)))
        last = (count - 1) % MEMORY
        gain = jnp.where(count > 0, 1.0 / (rho[last] * jnp.vdot(D[last], D[last]) + 1e-30), 1.0)

        def forward(i: Any, q: Any) -> Any:
            k = (count - used + i) % MEMORY
            return q + S[k] * (alpha[k] - rho[k] * jnp.vdot(D[k], q))

        return -jax.lax.fori_loop(0, used, forward, q * gain)

    def body(state: Any) -> Any:
        x, value, g, S, D, rho, count, step, _ = state
        p = direction(g, S, D, rho, count)
        slope = jnp.vdot(g, p)
        bad = slope >= 0
        p = jnp.where(bad, -g, p)
        slope = jnp.where(bad, -jnp.vdot(g, g), slope)
        count = jnp.where(bad, 0, count)
        first = jnp.where(count == 0, jnp.minimum(1.0, 0.1 * jnp.sqrt(shape[0]) / (jnp.linalg.norm(p) + 1e-30)), 1.0)

        def search(carry: Any) -> Any:
            length, _, _, tries = carry
            length = length * 0.4
            new_value, new_g = evaluate(x + length * p)
            return length, new_value, new_g, tries + 1

        def too_long(carry: Any) -> Any:
            length, new_value, _, tries = carry
            enough = value + 1e-4 * length * slope + 4 * jnp.finfo(x.dtype).eps * jnp.abs(value)
            return (~(new_value <= enough)) & (tries < 12)

        start = evaluate(x + first * p)
        length, new_value, new_g, tries = jax.lax.while_loop(too_long, search, (first, *start, 0))
        s, dg = length * p, new_g - g
        curvature = jnp.vdot(s, dg)
        keep = curvature > 1e-10 * jnp.vdot(dg, dg) * jnp.finfo(x.dtype).eps
        slot = count % MEMORY
        S = jnp.where(keep, S.at[slot].set(s), S)
        D = jnp.where(keep, D.at[slot].set(dg), D)
        rho = jnp.where(keep, rho.at[slot].set(1.0 / curvature), rho)
        count = jnp.where(keep, count + 1, count)
        failed = tries >= 12
        x = jnp.where(failed, x, x + s)
        return x, jnp.where(failed, value, new_value), jnp.where(failed, g, new_g), S, D, rho, count, step + 1, failed

    def go_on(state: Any) -> Any:
        g, step, failed = state[2], state[7], state[8]
        return (step < steps) & (jnp.linalg.norm(g) > tolerance) & ~failed

    x = P.ravel()
    value, g = evaluate(x)
    empty = jnp.zeros((MEMORY, x.size), x.dtype)
    state = (x, value, g, empty, empty, jnp.zeros(MEMORY, x.dtype), 0, 0, False)
    x, value, g, *_, step, _ = jax.lax.while_loop(go_on, body, state)
    P = x.reshape(shape)
    _, products = objective_and_products(spec, data, rows_of(P, data))
    updated = [jnp.maximum(lam - sigma * p, 0.0) for lam, p in zip(multipliers, products, strict=True)]
    return P, updated, jnp.linalg.norm(g), step
