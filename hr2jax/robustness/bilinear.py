"""`shor` bounds of many problems at once: the penalty's solver for all of them, then a proof of each.

One hidden layer, norm inf. Matrix products that all problems share make this much faster than one solve after
another. Everywhere: pairs of outputs. Around inputs: pairs of input and rival; on a small ball neurons that keep
their sign are constant, so the gradient of F_k - F_j varies with the others only. That is weaker than `solve` (which
also relates the neurons to the input), and hundreds of times cheaper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..arithmetic.enclosure import TooLargeError
from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate, certify_multipliers
from ..engines.bilinear.maximise import RANK, PenaltyState, diagonal, estimate, objective, sweep
from ..machine.run import compiled, put, run
from ..network import Network
from ..problem import Problem, checked_problem
from ..relaxation import lift
from ..relaxation.presolve import Presolve, presolve
from ..version import versions
from .margins import Clip, Rows, clipped_ball, largest_radius

SWEEPS = 40
# Of the power iteration: in float32, and in float64 after rounds of sweeps.
POWER_STEPS, LAST_STEPS, ROUNDS = 40, 60, 12
BATCH = 32  # programs are compiled for this many pairs of input and rival
# Above this many numbers in V the pairs of outputs are divided.
MOST = 20_000_000
# d is made this much larger: the power iteration's s is a little too small. The first that is large enough is best.
SLACK, SLACKS = 1e-3, (1e-5, 1e-4, 1e-3, 1e-2)


def in_units(net: Network) -> tuple[Array, Array, float]:
    """(A_1, C) divided by their largest entries, which float32 could not hold, and the product of those."""
    sizes = [max(float(np.abs(weight).max()), 1e-300) for weight in net.weights]
    A, C = (weight / size for weight, size in zip(net.weights, sizes, strict=True))
    return A, C, sizes[0] * sizes[1]


def dual(
    A: Array, w: Array, g: Array | None = None, *, tol: float = 0.0, over: Callable[[], bool] = lambda: False
) -> list[Array]:
    """Diagonals, feasible but for rounding: d of e (P,), of V (P, p_1), of T (P, p_0), float64.

    Args:
        A: (p_1, p_0).
        w: (P, p_1) what the neurons that vary are multiplied by.
        g: (P, p_0) the gradients' part that does not vary: float32 and so many sweeps do. None: there is none, and the
            relaxations are solved until the duality gap is about tol, or `over`, the diagonal then taken in float64.
    """
    if g is not None:
        start = _start(len(w), A.shape)
        parts = run(_in_float32, *(put(part, jnp.float32) for part in (A, w, g)), start)
        return [np.asarray(part, dtype=np.float64) for part in parts]
    with jax.enable_x64(True):
        A32, w32 = put(A, jnp.float32), put(w, jnp.float32)
        state = _start(len(w), A.shape)
        for _ in range(ROUNDS):
            values, attained, state = run(_round, A32, w32, state)
            values, attained = np.asarray(values), np.asarray(attained)
            if over() or bool((values - attained <= 0.5 * tol * values).all()):
                break
        parts = run(_in_float64, put(A), put(w), state)
        return [np.asarray(part, dtype=np.float64) for part in parts]


def _start(pairs: int, shape: tuple[int, ...]) -> PenaltyState:
    """Random, but always the same: NumPy's numbers, for JAX's take longer to compile than all the rest to run."""
    neurons, inputs = shape
    rng = np.random.default_rng(0)
    V = rng.standard_normal((pairs, neurons, RANK), np.float32)
    V /= np.linalg.norm(V, axis=-1, keepdims=True)
    return PenaltyState(put(V), put(rng.standard_normal((pairs, inputs), np.float32)))


@compiled
def _in_float32(A: Any, w: Any, g: Any, start: PenaltyState) -> Any:
    V = jax.lax.fori_loop(0, SWEEPS, lambda _, V: sweep(A, w, V, g), start.V)
    return diagonal(A, w, V, start.z, POWER_STEPS, g)[:3]


@compiled
def _round(A: Any, w: Any, state: PenaltyState) -> tuple[Any, Any, PenaltyState]:
    values, state = estimate(A, w, state, SWEEPS)
    return values, objective(A, w, state.V), state


@compiled
def _in_float64(A: Any, w: Any, state: PenaltyState) -> Any:
    V, z = (jnp.asarray(part, jnp.float64) for part in state)
    return diagonal(A, w, V / jnp.linalg.norm(V, axis=-1, keepdims=True), z, LAST_STEPS)[:3]


# --- pairs of outputs, everywhere -----------------------------------------------------------------------


def serves(net: Network, norm: str | int, relaxation: str, method: str) -> bool:
    """Whether these problems are what the penalty's solver solves."""
    return net.is_chain and net.depth == 1 and norm == "inf" and relaxation == "shor" and method in ("auto", "lowrank")


def certificates(
    net: Network, pairs: Sequence[tuple[int, int]], tol: float, deadline: float | None = None
) -> list[Certificate]:
    """A certificate of the `shor` bound of F_k - F_j, everywhere, norm inf, for each of `pairs`.

    The relaxations are solved until the duality gap is about tol, or until time.time() is `deadline`, after which
    pairs get the bound that needs no solver; what is proved holds in any case.
    """

    def over() -> bool:
        return deadline is not None and time.time() >= deadline

    A, C, scale = in_units(net)
    share = max(1, MOST // (8 * sum(net.widths[:2])))
    out: list[Certificate] = []
    for start in range(0, len(pairs), share):
        some = pairs[start : start + share]
        first, second = np.array(some).T
        diagonals = [] if over() else [scale * part for part in dual(A, C[first] - C[second], tol=tol, over=over)]
        for i, pair in enumerate(some):
            out.append(_proved(net, pair, None if over() else [part[i] for part in diagonals]))
    return out


def _proved(net: Network, pair: tuple[int, int], parts: Sequence[Any] | None) -> Certificate:
    """From d of e, V and T, (), (p_1,), (p_0,); None: the bound that needs no solver."""
    problem = checked_problem(net, pair)
    fixed = presolve(net, problem)
    best = certify_multipliers(net, problem, "shor", fixed, {}, None, versions())
    if not parts:
        return best
    e, v, t = parts
    with np.errstate(all="ignore"):
        d = np.concatenate([[e], v[fixed.layers[0].unstable], t]) * np.ldexp(1.0, -lift(net, problem, fixed).exponent)
    for slack in SLACKS if np.isfinite(d).all() else ():
        proved = certify_multipliers(net, problem, "shor", fixed, {}, d * (1.0 + slack), versions())
        if proved.bound >= best.bound:
            break
        best = proved
    return best


# --- pairs of input and rival, around the input ---------------------------------------------------------


class Item(NamedTuple):
    """One input and one rival.

    Attributes:
        row, rival: which.
        margin: a lower bound of F_label - F_rival at the input.
        fixed: which neurons vary on the ball.
    """

    row: int
    rival: int
    margin: float
    problem: Problem
    fixed: Presolve


def exclude(
    net: Network, x: Rows, labels: Array, margin: Array, known: Array, rows: Array, radius: float, clip: Clip | None,
    over: Callable[[], bool], keep: Callable[[int, int, Certificate], None] = lambda row, rival, proof: None,
) -> None:  # fmt: skip
    """Raise `known` (n, K), in place, for inputs `rows` where every rival can be excluded within `radius`.

    Estimates say which inputs those are; what is written to `known` is proved, by what `keep` is given. One hidden
    layer, norm inf.
    """
    queue: list[Item] = []
    for i in rows.tolist():
        queue += items_of(net, x, labels, margin, known, i, radius, clip)
        if len(queue) >= BATCH or i == rows[-1]:
            _settle(net, queue, known, radius, over, keep)
            queue = []
        if over():
            return


def items_of(
    net: Network, x: Rows, labels: Array, margin: Array, known: Array, i: int, radius: float, clip: Clip | None
) -> list[Item]:
    """Input i with each rival that is not excluded yet; none where presolve says that float64 does not hold it."""
    center, half = clipped_ball(x[i], radius, clip)
    if not half.all():
        return []  # inputs that are fixed: left to solve
    label, out = int(labels[i]), []
    fixed: Presolve | None = None
    for rival in np.flatnonzero(known[i] < radius).tolist():
        problem = checked_problem(net, (label, rival), "inf", center, half)
        try:
            fixed = fixed or presolve(net, problem)  # the neurons' signs do not depend on the output
        except TooLargeError:
            return []
        out.append(Item(i, rival, float(margin[i, rival]), problem, fixed))
    return out


def _settle(
    net: Network, queue: list[Item], known: Array, radius: float, over: Callable[[], bool],
    keep: Callable[[int, int, Certificate], None],
) -> None:  # fmt: skip
    values, diagonals = [], []
    for start in range(0, len(queue), BATCH):
        estimated, parts = estimates(net, queue[start : start + BATCH])
        values += estimated
        diagonals += parts
    hopeless = {item.row for item, value in zip(queue, values, strict=True) if item.margin <= value * radius}
    for item, d in zip(queue, diagonals, strict=True):
        if item.row in hopeless or over() or not np.isfinite(d).all():
            continue
        with np.errstate(all="ignore"):
            lifting = lift(net, item.problem, item.fixed)
            scaled = np.zeros(lifting.size)
            scaled[: len(d)] = d * (1.0 + SLACK) * np.ldexp(1.0, -lifting.exponent)
        proved = certify_multipliers(net, item.problem, "shor", item.fixed, {}, scaled, versions())
        within = min(radius, float(largest_radius(item.margin, proved.bound)))
        if within > known[item.row, item.rival]:
            known[item.row, item.rival] = within
            keep(item.row, item.rival, proved)
        if within < radius:
            hopeless.add(item.row)


def estimates(net: Network, items: list[Item]) -> tuple[list[float], list[Array]]:
    """Estimated bounds of at most BATCH items, and d of one, v (unstable neurons) and t."""
    A, C, scale = in_units(net)
    w, g = np.zeros((BATCH, A.shape[0])), np.zeros((BATCH, A.shape[1]))
    for row, item in enumerate(items):
        c = item.problem.coefficients @ C
        w[row, item.fixed.layers[0].unstable] = c[item.fixed.layers[0].unstable]
        g[row] = c[item.fixed.layers[0].active] @ A[item.fixed.layers[0].active]
    e, v, t = (scale * part for part in dual(A, w, g))
    values = (e + v.sum(axis=1) + t.sum(axis=1)).tolist()
    rows = enumerate(items)
    diagonals = [np.concatenate([[e[r]], v[r, item.fixed.layers[0].unstable], t[r]]) for r, item in rows]
    return values[: len(items)], diagonals
