"""`shor` bounds of many pairs of outputs at once: the penalty's solver for all of them, then a proof of each.

Matrix products shared by all pairs make this much faster than one solve after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..certificate.certificate import Certificate, certify_multipliers
from ..engines.bilinear.maximise import _bounds, _cold, _diagonal, _objective
from ..network import Network
from ..problem import checked_problem
from ..relaxation import lift
from ..relaxation.presolve import presolve
from ..version import versions

SWEEPS, ROUNDS = 40, 12
POWER_STEPS = 60
# d is made this much larger: the power iteration's s is a little too small. The first that is large enough is best.
SLACKS = (1e-5, 1e-4, 1e-3, 1e-2)
# Above this many numbers in V the pairs are divided.
MOST = 20_000_000


def serves(net: Network, norm: str | int, relaxation: str, method: str) -> bool:
    """Whether these problems are what the penalty's solver solves."""
    return net.depth == 1 and norm == "inf" and relaxation == "shor" and method in ("auto", "lowrank")


def certificates(
    net: Network, pairs: Sequence[tuple[int, int]], tol: float, deadline: float | None = None
) -> list[Certificate]:
    """A certificate of the `shor` bound of F_k - F_j, everywhere, norm inf, for each of `pairs`.

    The relaxations are solved until the duality gap is about tol, or until time.time() is `deadline`, after which
    pairs get the bound that needs no solver; what is proved holds in any case.
    """

    def over() -> bool:
        return deadline is not None and time.time() >= deadline

    share = max(1, MOST // (8 * sum(net.widths[:2])))
    out: list[Certificate] = []
    for start in range(0, len(pairs), share):
        some = pairs[start : start + share]
        diagonals: list[Any] = []
        if not over():
            with jax.enable_x64(True):
                diagonals = _dual(net, some, tol, over)
        for i, pair in enumerate(some):
            out.append(_proved(net, pair, None if over() else [part[i] for part in diagonals]))
    return out


def _dual(net: Network, pairs: Sequence[tuple[int, int]], tol: float, over: Callable[[], bool]) -> list[Any]:
    """d of e (P,), of V (P, p_1), of T (P, p_0), float64, in units of the largest weights."""
    A, C = (weight / max(np.abs(weight).max(), 1e-300) for weight in net.weights)  # float32 could not hold any
    first, second = np.array(pairs).T
    exact = jnp.asarray(A), jnp.asarray(C[first] - C[second])
    A32, w32 = (part.astype(jnp.float32) for part in exact)
    state: Any = _cold(len(pairs), A.shape, jnp.float32)
    for _ in range(ROUNDS):
        values, state = _bounds(A32, w32, state, SWEEPS)
        attained = _objective(A32, w32, state.V)
        if over() or bool((values - attained <= 0.5 * tol * values).all()):
            break
    V, z = (jnp.asarray(part, jnp.float64) for part in state)
    parts = _diagonal(*exact, V / jnp.linalg.norm(V, axis=-1, keepdims=True), z, POWER_STEPS)[:3]
    scale = float(np.abs(net.weights[0]).max()) * float(np.abs(net.weights[1]).max())
    return [scale * np.asarray(part, dtype=np.float64) for part in parts]


def _proved(net: Network, pair: tuple[int, int], parts: Sequence[Any] | None) -> Certificate:
    """From d of e, V and T, (), (p_1,), (p_0,); None: the bound that needs no solver."""
    problem = checked_problem(net, pair)
    fixed = presolve(net, problem)
    best = certify_multipliers(net, problem, "shor", fixed, {}, None, versions())
    if not parts:
        return best
    e, v, t = parts
    with np.errstate(all="ignore"):
        d = np.concatenate([[e], v[fixed.unstable], t]) * np.ldexp(1.0, -lift(net, problem, fixed).exponent)
    for slack in SLACKS if np.isfinite(d).all() else ():
        proved = certify_multipliers(net, problem, "shor", fixed, {}, d * (1.0 + slack), versions())
        if proved.bound >= best.bound:
            break
        best = proved
    return best
