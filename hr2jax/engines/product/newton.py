"""A primal-dual interior-point method on the product form, its multipliers row by row: engine `newton`.

With S = Diag(d) - C - sum_r lambda_r A_r positive definite, A_r = (f_r g_r^T + g_r f_r^T)/2, and Y the moment matrix,
it follows Y S = mu along mu -> 0 (Helmberg, Rendl, Vanderbei, Wolkowicz 1996, with Mehrotra's corrector). What makes it
fast: Newton's matrix  <A_r, Y A_s S^-1>  needs products of entries of E Y E^T and E S^-1 E^T only, E the extended
basis, in which forms have few entries. So a step costs some products of N x N matrices and one factorisation of a
matrix with a row for each multiplier. Nothing is compiled.

Small problems it solves alone. Where there are several layers it also ends what `lowrank` began: a factor V says soon
what the optimum is, but slowly, by eigenvalues of S a little below 0, which multipliers prove it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from ...arithmetic.float64 import Array
from ...machine.memory import available_bytes
from ...machine.threads import few_threads
from ...relaxation.basis import Lifting
from ...relaxation.forms import Family
from ...relaxation.products import PRODUCTS
from ...relaxation.triangles import TRIANGLES
from ...result import Status
from ..monitor import Monitor, Stop
from ..pace import certificate_seconds
from ..scale import in_units, mean_diagonal, rounding
from .memory import MOST, newton_bytes
from .newton_step import Interior, Problem
from .turned import turned

STEPS = 60
# What the moments attain is believed when their equations hold to within this.
RESIDUAL = 1e-4
# A step that leaves so much of the gap brings little, where all of the tolerance is met.
LITTLE = 0.7
# Between two certificates passes so many times what one takes.
SELDOM = 5.0


def affordable(lifting: Lifting, families: list[Family], most: int = MOST) -> bool:
    """Whether the multipliers are few enough, and given row by row."""
    if not all(f.pairs == "diagonal" for f in families) or _count(lifting, families) > most:
        return False
    rows = sum(f.F.rows for f in families)
    return newton_bytes(lifting.size, rows, lifting.extended.size) <= 0.7 * available_bytes()


def _count(lifting: Lifting, families: list[Family]) -> int:
    return lifting.size + sum(f.F.rows for f in families)


def solve_newton(
    lifting: Lifting, families: list[Family], monitor: Monitor, *, start: Mapping[str, Array] | None = None,
    d: Array | None = None, V: Array | None = None, iteration: int = 0, share: float = 1.0,
) -> Status:  # fmt: skip
    """Solve the product form; the multipliers of steps that are worth it are offered to the monitor's certificate.

    Args:
        lifting, families: the relaxation.
        monitor: certifies, records, says when to stop.
        start: multipliers to begin from.
        d, V: (N,) and (N, r) a diagonal and a factor of the moment matrix to begin from.
        iteration: how many another engine has reported.
        share: of the tolerance, which is sought as long as steps bring much; all of it is enough to be SOLVED.

    Returns:
        SOLVED when bound - estimate <= tol * bound, the estimate being what the moments attain; STALLED when no step
        is possible before.
    """
    has_cuts = start is not None and (TRIANGLES in start or PRODUCTS in start)  # which may be of t's entries
    smaller = None if has_cuts else turned(lifting, families)
    if smaller is not None:
        d, V = (None if d is None else smaller.reduced(d)), (None if V is None else smaller.factor(V))
    problem = Problem(lifting if smaller is None else smaller.lifting, families, start or {})
    if problem.count > MOST:
        return Status.STALLED
    try:
        with few_threads(problem.count):
            state, back = problem.begin(d, V), None if smaller is None else smaller.diagonal
            return follow(problem, state, monitor, monitor.tolerance, iteration, back, share)[0]
    except Stop as stop:
        return stop.status
    except KeyboardInterrupt:
        return Status.STOPPED


def follow(
    problem: Problem, state: Interior, monitor: Monitor, tolerance: float, iteration: int = 0,
    back: Callable[[Array], Array] | None = None, share: float = 1.0,
) -> tuple[Status, int, float]:
    """From a point inside, which it moves, to the end of the path, a relative gap of `tolerance`, or a share of it.

    `back` makes the problem's diagonal that of the lifting which the monitor certifies, where that is another.

    Returns:
        SOLVED or STALLED, the iterations so far, and the bound certified last.
    """
    lifting = problem.lifting
    best, before, seconds, offered, bound = np.inf, np.inf, 0.0, False, np.inf
    distance, least, wanted, is_near = np.inf, -np.inf, 0.0, False
    certified, spent = time.perf_counter(), 0.0
    least_told = rounding(mean_diagonal(lifting, np.random.default_rng(0)), lifting)

    def certify() -> float:
        nonlocal certified, spent
        began = time.perf_counter()
        d = problem.diagonal(state.x)
        bound = monitor.certify(problem.multipliers(state.x), d if back is None else back(d))
        certified = time.perf_counter()
        spent = certified - began
        return bound

    try:
        for number in range(1, STEPS + 1):
            if number > 1 and monitor.remaining(certificate_seconds(lifting.size)) < seconds:
                raise Stop(Status.TIME_LIMIT)
            if monitor.iterations_left() < 1:
                raise Stop(Status.ITERATION_LIMIT)
            began, offered = time.perf_counter(), False
            with np.errstate(all="ignore"):  # at the end of the path numbers are as large and as small as they get
                moved = problem.step(state)
            seconds = time.perf_counter() - began
            total, gap = problem.cost(state.x), problem.gap(state)
            least = in_units(total - gap - float(state.x @ state.residual), lifting)
            residual = float(np.abs(state.residual).max())
            wanted = max(tolerance * abs(in_units(total, lifting) - monitor.origin), least_told)
            farther, distance = distance, in_units(total, lifting) - least
            was_near, is_near = is_near, distance <= 0.5 * wanted and residual < RESIDUAL
            is_done = not moved or (is_near and (distance <= 0.5 * share * wanted or distance > LITTLE * farther))
            due = began - certified > SELDOM * spent or (is_near and not was_near)  # what is near is kept
            if is_done or (due and total < best and gap < 0.3 * before):
                best, before, offered = min(best, total), gap, True
                bound = min(certify(), bound) if was_near else certify()
                if is_done:
                    monitor.report(iteration + number, least, residual)
                    return Status.SOLVED if bound - least <= wanted else Status.STALLED, iteration + number, bound
            monitor.report(iteration + number, least, residual)
    except (Stop, KeyboardInterrupt) as end:
        if not offered:
            bound = min(certify(), bound)
        is_limit = isinstance(end, Stop) and end.status in (Status.TIME_LIMIT, Status.ITERATION_LIMIT)
        if is_limit and share < 1.0 and is_near and bound - least <= wanted:
            return Status.SOLVED, iteration + number, bound  # all that was asked for
        raise
    is_solved = is_near and bound - least <= wanted
    return Status.SOLVED if is_solved else Status.STALLED, iteration + STEPS, bound
