"""Limited-memory BFGS as one jitted loop: one function evaluation per turn, accepted or shortened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from .program import MAX_SHORTENINGS, MEMORY, SHORTEN


def beginning(x: Any, memory: int = MEMORY) -> dict[str, Any]:
    """The state of a minimisation from x (n,), NumPy's or JAX's arrays as x is one."""
    np_or_jnp = np if isinstance(x, np.ndarray) else jnp
    slots = memory + 1  # one to write to without losing what is remembered

    def zeros(*shape: int) -> Any:
        return np_or_jnp.zeros(shape, x.dtype)

    # the evaluation at x itself is a first turn with a step of length 0, always accepted and not counted
    return dict(
        x=x, value=np_or_jnp.full((), np.inf, x.dtype), g=zeros(x.size), p=zeros(x.size), length=zeros(),
        tries=np.int32(0), used=np.int32(-1), past=zeros(2 * slots, x.size), SD=zeros(slots, slots),
        DD=zeros(slots, slots), count=np.int32(0),
    )  # fmt: skip


def advance(
    value_and_gradient: Callable[[Any], tuple[Any, Any]], state: dict[str, Any], first_step: Any, tolerance: Any,
    steps: Any, longest: Any = jnp.inf,
) -> dict[str, Any]:  # fmt: skip
    """Minimise on from a state until the gradient's norm is below `tolerance` or `steps` evaluations are spent in all.

    Armijo backtracking on the compact form of the inverse Hessian's estimate (Byrd, Nocedal and Schnabel 1994): two
    products with all that is remembered, where the two-loop recursion has two per remembered step, and no branches,
    for which a GPU waits for its host. To be called inside jit; a single evaluation site keeps the compiled program
    small. `first_step` is the length of the first move, `longest` what no later step exceeds: where x is rows of
    directions, values hardly change far out, and a step that overflows would be accepted.

    Returns:
        The state: x, the gradient g there, and the evaluations used, among others.
    """
    dtype = state["x"].dtype
    eps = jnp.finfo(dtype).eps

    def go_on(s: Any) -> Any:
        unmet = jnp.linalg.norm(s["g"]) > tolerance
        return (s["used"] < 0) | ((s["used"] < steps) & unmet & (s["tries"] <= MAX_SHORTENINGS))

    def turn(s: Any) -> Any:
        step = s["length"] * s["p"]
        new_value, new_g = value_and_gradient(s["x"] + step)
        slope = jnp.vdot(s["g"], step)
        # Within the values' rounding noise slopes decide (Hager and Zhang 2005's approximate Wolfe condition):
        # without it, float32 accepts steps that overshoot, and their curvature spoils the memory.
        noise = 4 * eps * jnp.abs(s["value"])
        close = (new_value <= s["value"] + noise) & (jnp.vdot(new_g, step) <= -0.8 * slope)
        is_first = s["used"] < 0
        accept = (new_value <= s["value"] + 1e-4 * slope) | close | is_first
        moved = _accepted(s, step, new_g, accept, longest)
        kept = dict(x=s["x"] + step, value=new_value, g=new_g, p=moved["p"], length=moved["length"], tries=0)
        other = {k: s[k] for k in kept} | {"length": s["length"] * SHORTEN, "tries": s["tries"] + 1}
        chosen = {k: jnp.where(accept, kept[k], other[k]) for k in kept}
        first = (first_step / (jnp.linalg.norm(new_g) + 1e-30)).astype(dtype)
        chosen["length"] = jnp.where(is_first, first, chosen["length"])
        return s | moved | chosen | {"used": s["used"] + 1}

    out: dict[str, Any] = jax.lax.while_loop(go_on, turn, state)
    return out


def _accepted(s: Any, step: Any, new_g: Any, accept: Any, longest: Any) -> Any:
    """What is remembered after a step, nothing new unless `accept`, and the direction and length of the next one."""
    slots = len(s["SD"])
    change = new_g - s["g"]
    curvature = jnp.vdot(step, change)
    keep = accept & (curvature > 1e-10 * jnp.finfo(step.dtype).eps * jnp.vdot(change, change))
    slot = s["count"] % slots
    past = s["past"].at[slot].set(jnp.where(keep, step, 0.0))
    past = past.at[slots + slot].set(jnp.where(keep, change, 0.0))
    with_g, with_change = (past @ jnp.stack([new_g, change]).T).T
    # the newest step's row of S^T D is of no use: R has only what is not older than the step
    SD = s["SD"].at[:, slot].set(with_change[:slots])
    DD = s["DD"].at[:, slot].set(with_change[slots:]).at[slot].set(with_change[slots:])
    count = s["count"] + keep
    p = -_inverse_hessian_times(new_g, past, with_g, SD, DD, count)
    reach = jnp.linalg.norm(p)
    downhill = (jnp.vdot(p, new_g) < 0) & jnp.isfinite(reach)
    scale = jnp.linalg.norm(step) / (jnp.linalg.norm(new_g) + 1e-30)
    length = jnp.where(downhill, jnp.minimum(longest / (reach + 1e-30), 1.0), 1.0).astype(step.dtype)
    return {
        "past": past, "SD": SD, "DD": DD, "p": jnp.where(downhill, p, -scale * new_g), "length": length,
        "count": jnp.where(downhill | ~accept, count, 0),
    }  # fmt: skip


def _inverse_hessian_times(g: Any, past: Any, with_g: Any, SD: Any, DD: Any, count: Any) -> Any:
    """H g, H the inverse Hessian's estimate from the last steps S and gradient changes D, the rows of `past`.

    H = gamma I + [S  gamma D] [[R^-T (E + gamma D^T D) R^-1, -R^-T], [-R^-1, 0]] [S  gamma D]^T, R the upper triangle
    of S^T D in the steps' order and E its diagonal (equation 3.3 there).
    """
    slots = len(SD)
    order = (count + 1 + jnp.arange(slots - 1)) % slots  # the oldest first; what is unused before them
    used = jnp.arange(slots - 1) >= slots - 1 - count
    both = used[:, None] & used
    R = jnp.where(both, jnp.triu(SD[order][:, order]), jnp.eye(slots - 1, dtype=SD.dtype))
    E = jnp.where(used, jnp.diag(R), 0.0)
    Q = jnp.where(both, DD[order][:, order], 0.0)
    a, b = (jnp.where(used, part[order], 0.0) for part in (with_g[:slots], with_g[slots:]))
    gamma = jnp.where(count > 0, R[-1, -1] / (Q[-1, -1] + 1e-30), 1.0)
    u = solve_triangular(R, a)
    w = solve_triangular(R, E * u + gamma * (Q @ u - b), trans=1)
    weights = jnp.zeros(2 * slots, g.dtype).at[order].set(w).at[slots + order].set(-gamma * u)
    return gamma * g + weights @ past
