"""Limited-memory BFGS as one jitted loop: one function evaluation per turn, accepted or shortened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

MEMORY = 10
SHORTEN, MAX_SHORTENINGS = 0.4, 12


def lbfgs(
    value_and_gradient: Callable[[Any], tuple[Any, Any]], x: Any, first_step: Any, tolerance: Any, steps: Any,
    memory: int = MEMORY, longest: Any = jnp.inf,
) -> tuple[Any, Any, Any]:
    """Minimise from x (flat array) until the gradient's norm is below `tolerance` or `steps` evaluations are spent.

    Nocedal's two-loop recursion with Armijo backtracking. To be called inside jit; a single evaluation
    site keeps the compiled program small. `first_step` is the length of the first move, `memory` how many steps are
    remembered, `longest` what no later step exceeds: where x is rows of directions, values hardly change far out, and
    a step that overflows would be accepted.

    Returns:
        x, the gradient's norm there, and the evaluations used.
    """
    dtype = x.dtype
    eps = jnp.finfo(dtype).eps
    empty, zero = jnp.zeros((memory, x.size), dtype), jnp.zeros_like(x)
    # the evaluation at x itself is a first turn with a step of length 0, always accepted and not counted
    state = dict(
        x=x, value=jnp.full((), jnp.inf, dtype), g=zero, p=zero, length=jnp.zeros((), dtype), tries=0, used=-1,
        failed=False, S=empty, D=empty, rho=jnp.zeros(memory, dtype), count=0,
    )  # fmt: skip

    def go_on(s: Any) -> Any:
        return (s["used"] < 0) | ((s["used"] < steps) & (jnp.linalg.norm(s["g"]) > tolerance) & ~s["failed"])

    def turn(s: Any) -> Any:
        step = s["length"] * s["p"]
        new_value, new_g = value_and_gradient(s["x"] + step)
        slope = jnp.vdot(s["g"], step)
        # Within the values' rounding noise slopes decide (Hager and Zhang 2005's approximate Wolfe condition):
        # without it, float32 accepts steps that overshoot, and their curvature spoils the memory.
        noise = 4 * eps * jnp.abs(s["value"])
        close = (new_value <= s["value"] + noise) & (jnp.vdot(new_g, step) <= -0.8 * slope)
        accept = (new_value <= s["value"] + 1e-4 * slope) | close
        is_first = s["used"] < 0
        s = jax.lax.cond(accept | is_first, _accept, _shorten, s, step, new_value, new_g, longest)
        length = jnp.where(is_first, first_step / (jnp.linalg.norm(new_g) + 1e-30), s["length"])
        return s | {"used": s["used"] + 1, "length": length}

    s = jax.lax.while_loop(go_on, turn, state)
    return s["x"], jnp.linalg.norm(s["g"]), s["used"]


def _shorten(s: Any, step: Any, new_value: Any, new_g: Any, longest: Any) -> Any:
    tries = s["tries"] + 1
    return s | {"length": s["length"] * SHORTEN, "tries": tries, "failed": tries > MAX_SHORTENINGS}


def _accept(s: Any, step: Any, new_value: Any, new_g: Any, longest: Any) -> Any:
    change = new_g - s["g"]
    curvature = jnp.vdot(step, change)
    keep = curvature > 1e-10 * jnp.finfo(step.dtype).eps * jnp.vdot(change, change)
    slot = s["count"] % len(s["S"])
    S = jnp.where(keep, s["S"].at[slot].set(step), s["S"])
    D = jnp.where(keep, s["D"].at[slot].set(change), s["D"])
    rho = jnp.where(keep, s["rho"].at[slot].set(1.0 / curvature), s["rho"])
    count = s["count"] + keep
    p = _direction(new_g, S, D, rho, count)
    reach = jnp.linalg.norm(p)
    downhill = (jnp.vdot(p, new_g) < 0) & jnp.isfinite(reach)
    scale = jnp.linalg.norm(step) / (jnp.linalg.norm(new_g) + 1e-30)
    length = jnp.where(downhill, jnp.minimum(longest / (reach + 1e-30), 1.0), 1.0).astype(step.dtype)
    return s | {
        "x": s["x"] + step, "value": new_value, "g": new_g, "S": S, "D": D, "rho": rho,
        "p": jnp.where(downhill, p, -scale * new_g), "length": length, "tries": 0,
        "count": jnp.where(downhill, count, 0),
    }  # fmt: skip


def _direction(g: Any, S: Any, D: Any, rho: Any, count: Any) -> Any:
    """-H g, H the inverse Hessian's estimate from the last steps S and gradient changes D."""
    used = jnp.minimum(count, len(S))

    def backward(i: Any, carry: Any) -> Any:
        q, alpha = carry
        k = (count - 1 - i) % len(S)
        a = rho[k] * jnp.vdot(S[k], q)
        return q - a * D[k], alpha.at[k].set(a)

    def forward(i: Any, q: Any) -> Any:
        k = (count - used + i) % len(S)
        return q + S[k] * (alpha[k] - rho[k] * jnp.vdot(D[k], q))

    q, alpha = jax.lax.fori_loop(0, used, backward, (g, jnp.zeros(len(S), g.dtype)))
    last = (count - 1) % len(S)
    gain = jnp.where(count > 0, 1.0 / (rho[last] * jnp.vdot(D[last], D[last]) + 1e-30), 1.0)
    return -jax.lax.fori_loop(0, used, forward, q * gain)
