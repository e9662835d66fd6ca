"""Local `shor`-like bounds of many inputs and rivals at once, before the search around single inputs.

On the ball the neurons that keep their sign are constant, so the gradient of F_k - F_j varies with the others only:
the penalty's solver, for all inputs and rivals together, gives the diagonal of a certificate for each. Weaker than
`solve` (which also relates the neurons to the input), and hundreds of times cheaper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..arithmetic.enclosure import TooLargeError
from ..arithmetic.float64 import Array
from ..certificate.certificate import certify_multipliers
from ..engines.bilinear.maximise import _cold, _diagonal, _sweep
from ..machine.interrupts import undisturbed
from ..network import Network
from ..problem import Problem, checked_problem
from ..relaxation import lift
from ..relaxation.presolve import Presolve, presolve
from ..version import versions
from .margins import Clip, clipped_ball, largest_radius

SWEEPS, POWER_STEPS = 40, 40
BATCH = 32  # programs are compiled for this many pairs of input and rival
SLACK = 1e-3


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
    net: Network, x: Array, labels: Array, margin: Array, known: Array, rows: Array, radius: float, clip: Clip | None,
    over: Callable[[], bool],
) -> None:  # fmt: skip
    """Raise `known` (n, K), in place, for inputs `rows` where every rival can be excluded within `radius`.

    Estimates say which inputs those are; what is written to `known` is proved. One hidden layer, norm inf.
    """
    queue: list[Item] = []
    for i in rows.tolist():
        queue += _items(net, x, labels, margin, known, i, radius, clip)
        if len(queue) >= BATCH or i == rows[-1]:
            _settle(net, queue, known, radius, over)
            queue = []
        if over():
            return


def _items(
    net: Network, x: Array, labels: Array, margin: Array, known: Array, i: int, radius: float, clip: Clip | None
) -> list[Item]:
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


def _settle(net: Network, queue: list[Item], known: Array, radius: float, over: Callable[[], bool]) -> None:
    values, diagonals = [], []
    for start in range(0, len(queue), BATCH):
        estimated, parts = _dual(net, queue[start : start + BATCH])
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
        known[item.row, item.rival] = max(known[item.row, item.rival], within)
        if within < radius:
            hopeless.add(item.row)


def _dual(net: Network, items: list[Item]) -> tuple[list[float], list[Array]]:
    """Estimated bounds, and d of one, v (unstable neurons) and t."""
    sizes = [max(float(np.abs(weight).max()), 1e-300) for weight in net.weights]
    A, C = (weight / size for weight, size in zip(net.weights, sizes, strict=True))
    w, g = np.zeros((BATCH, A.shape[0])), np.zeros((BATCH, A.shape[1]))
    for row, item in enumerate(items):
        c = item.problem.coefficients @ C
        w[row, item.fixed.unstable] = c[item.fixed.unstable]
        g[row] = c[item.fixed.active] @ A[item.fixed.active]
    with undisturbed():
        e, v, t = jax.block_until_ready(_solved(*(jnp.asarray(part, jnp.float32) for part in (A, w, g))))
    scale = sizes[0] * sizes[1]
    e, v, t = (scale * np.asarray(part, dtype=np.float64) for part in (e, v, t))
    values = (e + v.sum(axis=1) + t.sum(axis=1)).tolist()
    rows = enumerate(items)
    return values[: len(items)], [np.concatenate([[e[r]], v[r, item.fixed.unstable], t[r]]) for r, item in rows]


@jax.jit
def _solved(A: Any, w: Any, g: Any) -> Any:
    start = _cold(BATCH, A.shape, A.dtype)
    V = jax.lax.fori_loop(0, SWEEPS, lambda _, V: _sweep(A, w, V, g), start.V)
    return _diagonal(A, w, V, start.z, POWER_STEPS, g)[:3]
