"""Interior-point references as an engine: their answer goes through the same certificate as everybody's."""

from __future__ import annotations

import math

from ..diagonal import tighten
from ..proof import lagrangian_matrix
from ..relaxation.block import BlockForm, clique_multipliers
from ..result import Status
from .interior_point import solve_interior_point
from .monitor import Monitor

STATUSES = {"solved": Status.SOLVED, "time limit": Status.TIME_LIMIT, "iteration limit": Status.ITERATION_LIMIT}


def solve_reference(form: BlockForm, solver: str, monitor: Monitor) -> Status:
    """Solve the block form's dual by an interior-point solver and certify its multipliers.

    Raises:
        ImportError, RuntimeError, MemoryError: as `solve_interior_point`.
    """
    limit = monitor.remaining()
    solution = solve_interior_point(form, solver, time_limit=None if math.isinf(limit) else max(limit, 0.0))
    multipliers = clique_multipliers(form, solution.polynomials)
    M = lagrangian_matrix(form.lifting, multipliers).mid
    value = solution.value * 2.0**form.lifting.exponent
    d = tighten(M, form.lifting.square_is_one, solution.diagonal, tolerance=min(0.1 * monitor.tolerance, 1e-6))
    bound = monitor.certify(multipliers, d)
    monitor.report(solution.iterations, value, abs(bound - value) / max(bound, 1e-300))
    if bound - value <= monitor.tolerance * bound:
        return Status.SOLVED  # whatever the solver says of itself, at the last digits it often complains
    return STATUSES.get(solution.status, Status.NUMERICAL_ERROR) if solution.status != "solved" else Status.STALLED
