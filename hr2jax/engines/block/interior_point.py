"""Interior-point references: the block form's conic dual, given to a solver as published codes do."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...arithmetic.float64 import Array
from ...certificate.lagrangian import SOS, add_squares, lagrangian_matrix
from ...linalg.diagonal import tighten
from ...result import Status
from ..monitor import Monitor, Stop
from .conic import ITERATIONS, SOLVERS, matrix_of, package, svec_length
from .conic_dual import DualBatch, conic_dual
from .duals import clique_multipliers
from .form import BlockForm


@dataclass(frozen=True)
class InteriorPointSolution:
    """What an interior-point solver found; nothing of it is certified.

    Attributes:
        value: its estimate of the relaxation's optimum, in units of 2**lifting.exponent.
        polynomials: per batch of the form, (n, 1 + k + m) float64 as `clique_multipliers` takes them.
        factors: lasserre2's dual matrices as factors L, Z = L L^T, by name, for the certificate.
        diagonal: (N,) float64, the product form's d where the solution is optimal; `tighten` improves it.
        M1: (N, N) float64, the moment matrix Y.
        status, word: how it ended (`ConicSolution`), and the solver's own word for it.
        iterations: of the solver.
        seconds: wall time, building included.
    """

    value: float
    polynomials: list[Array]
    factors: dict[str, Array]
    diagonal: Array
    M1: Array
    status: Status
    word: str
    iterations: int
    seconds: float

    def multipliers(self, form: BlockForm) -> dict[str, Array]:
        """The certificate's multipliers."""
        return clique_multipliers(form, self.polynomials) | self.factors


def solve_interior_point(
    form: BlockForm,
    solver: str,
    *,
    tolerance: float = 1e-8,
    time_limit: float | None = None,
    max_iterations: int | None = None,
    verbose: bool = False,
) -> InteriorPointSolution:
    """Solve the dual of a block form by an interior-point solver, however large (`engines.memory` refuses before).

    Args:
        form: the relaxation in block form.
        solver: "clarabel", "cvxopt", "sdpa" or "mosek".
        tolerance: relative gap and infeasibility to stop at.
        time_limit: seconds for the solver, checked between its iterations. SDPA has none and ignores it.
        max_iterations: of the solver.
        verbose: let the solver print.

    Raises:
        ValueError: an unknown solver.
        ImportError: its package is not installed; the message names the extra that brings it.
        RuntimeError: MOSEK without a licence.
    """
    started = time.perf_counter()
    module = package(solver)
    duals = [DualBatch.of(batch) for batch in form.batches]
    # Duals of size 1. A power of two keeps the objective's bits.
    scale = 2.0 ** np.frexp(float(np.abs(form.C).sum()) / len(form.C))[1]
    problem = conic_dual(form, duals, scale)
    iterations = ITERATIONS if max_iterations is None else max_iterations
    solution = SOLVERS[solver].solve(module, problem, tolerance, time_limit, iterations, verbose)

    ends = np.cumsum([int(form.pinned.sum())] + [dual.count for dual in duals])
    parts = [
        part.reshape(len(dual.polynomial), -1)
        for dual, part in zip(duals, np.split(solution.y * scale, ends[:-1])[1:], strict=True)
    ]
    polynomials = [np.einsum("nmv,nv->nm", d.polynomial, part) for d, part in zip(duals, parts, strict=True)]
    factors = _square_factors(form, duals, parts)
    N = len(form.C)
    M1 = matrix_of(solution.X[problem.nonnegative :][: svec_length(N)], N)
    return InteriorPointSolution(
        value=float(problem.cost @ solution.y) * scale,
        polynomials=polynomials,
        factors=factors,
        diagonal=_diagonal(form, clique_multipliers(form, polynomials) | factors, M1),
        M1=M1,
        status=solution.status,
        word=solution.word,
        iterations=solution.iterations,
        seconds=time.perf_counter() - started,
    )


def run_interior_point(form: BlockForm, solver: str, monitor: Monitor) -> Status:
    """Solve, certify once, and say how it ended.

    Returns:
        SOLVED when bound - value <= tol * bound; STALLED when the solver ended by itself and they are apart;
        NUMERICAL_ERROR when it broke down before that; TIME_LIMIT or ITERATION_LIMIT.
    """
    remaining, left = monitor.remaining(), monitor.iterations_left()
    try:
        solution = solve_interior_point(
            form,
            solver,
            time_limit=remaining if np.isfinite(remaining) else None,
            max_iterations=int(min(left, ITERATIONS)),
        )
    except KeyboardInterrupt:
        return Status.STOPPED
    lifting, multipliers = form.lifting, solution.multipliers(form)
    M = add_squares(lifting, multipliers, lagrangian_matrix(lifting, multipliers))[0].mid
    tolerance = min(1e-8, 0.1 * monitor.tolerance)
    bound = monitor.certify(multipliers, tighten(M, lifting.square_is_one, solution.diagonal, tolerance=tolerance))
    value = float(np.ldexp(solution.value, lifting.exponent))
    try:
        monitor.report(solution.iterations, value, abs(bound - value) / max(bound, 1e-300))
    except Stop as stop:
        return stop.status
    if solution.status in (Status.TIME_LIMIT, Status.ITERATION_LIMIT):
        return solution.status
    if bound - value <= monitor.tolerance * bound:
        return Status.SOLVED
    return Status.STALLED if solution.status is Status.SOLVED else solution.status


def _diagonal(form: BlockForm, multipliers: Mapping[str, Array], Y: Array) -> Array:
    """d of the product form: at an optimum (Diag(d) - M) Y = 0, so d_k = (M Y)_kk / Y_kk."""
    M = add_squares(form.lifting, multipliers, lagrangian_matrix(form.lifting, multipliers))[0].mid
    return np.einsum("ij,ij->i", M, Y) / np.maximum(np.diag(Y), 1e-8)


def _square_factors(form: BlockForm, duals: Sequence[DualBatch], parts: Sequence[Array]) -> dict[str, Array]:
    """Factors of the dual matrices that product form has no families for; empty but for lasserre2."""
    out = {}
    for batch, dual, part in zip(form.batches, duals, parts, strict=True):
        start = 0
        for block, side in zip(batch.blocks, dual.sides, strict=True):
            entries = slice(start, start := start + svec_length(side))
            if block.name.startswith(SOS):
                values, vectors = np.linalg.eigh(matrix_of(dual.variables[0, entries] @ part[0], side))
                out[block.name] = vectors * np.sqrt(np.maximum(values, 0.0))
    return out
