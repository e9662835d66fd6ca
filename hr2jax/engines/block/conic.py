"""Conic solvers as they are: one semidefinite program in, its two solutions out.

Every adapter takes the same `ConicProblem` and returns the same `ConicSolution`; what a solver wants
(triangles or full squares, its own sparse matrices, its own words for the outcome) stays in here.
Packages are imported when they are asked for.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...machine.child import ChildError
from ...machine.stopping import check, is_interrupted
from ...machine.workers import Killed, call
from ...result import Status
from ...text import install

ALMOST = 1e-5  # relative errors of an answer that missed its tolerance and is still worth having
ITERATIONS = 200  # far more than an interior-point method needs; a stalled one ends here


@dataclass(frozen=True)
class ConicProblem:
    """min <cost, y> over y with h - G y in the cone R_+^nonnegative x S_+^sides[0] x S_+^sides[1] x ...

    A symmetric matrix is a vector of its lower triangle row by row, off-diagonal entries times sqrt(2)
    ("svec"): inner products of matrices are inner products of vectors. The dual is
    max -<h, X> over X in the same cone with G^T X = -cost.

    Attributes:
        cost: (m,) float64.
        G: (rows, m) float64 CSC, its indices sorted.
        h: (rows,) float64.
        nonnegative: number of leading rows that are plain nonnegative numbers.
        sides: (k,) int64, sides of the matrices, in row order.
    """

    cost: Array
    G: sp.csc_matrix
    h: Array
    nonnegative: int
    sides: Array


@dataclass(frozen=True)
class ConicSolution:
    """What a solver returned.

    Attributes:
        y: (m,) float64; zeros where the solver returned nothing.
        X: (rows,) float64, the dual solution in svec; zeros where the solver returned nothing.
        status: SOLVED, STALLED where it came nearly there, TIME_LIMIT, ITERATION_LIMIT or NUMERICAL_ERROR.
        word: the solver's own.
        iterations: of the solver.
    """

    y: Array
    X: Array
    status: Status
    word: str
    iterations: int


def svec_length(side: Array | int) -> Any:
    """Length of the svec of a matrix of that side."""
    return side * (side + 1) // 2


def svec_position(i: Array, j: Array) -> Array:
    """Where entry (i, j), or (j, i), of a symmetric matrix stands in its svec."""
    large, small = np.maximum(i, j), np.minimum(i, j)
    return svec_length(large) + small


def matrix_of(svec: Array, side: int) -> Array:
    """The symmetric (side, side) matrix of an svec of shape (side (side + 1) / 2,)."""
    i, j = np.tril_indices(side)
    out = np.zeros((side, side))
    out[i, j] = out[j, i] = svec * np.where(i == j, 1.0, np.sqrt(0.5))
    return out


def full_squares(problem: ConicProblem) -> sp.csc_matrix:
    """U (full rows, rows): from svec to full square matrices, column by column; U^T U = 1, so U^T goes back."""
    sides = problem.sides
    starts = problem.nonnegative + np.concatenate([[0], np.cumsum(svec_length(sides))])
    squares = problem.nonnegative + np.concatenate([[0], np.cumsum(sides**2)])
    rows, columns = [np.arange(problem.nonnegative)], [np.arange(problem.nonnegative)]
    values = [np.ones(problem.nonnegative)]
    for side in np.unique(sides):
        which = np.flatnonzero(sides == side)
        i, j = (index.ravel() for index in np.indices((side, side)))
        rows.append((squares[which][:, None] + j * side + i).ravel())
        columns.append((starts[which][:, None] + svec_position(i, j)).ravel())
        values.append(np.tile(np.where(i == j, 1.0, np.sqrt(0.5)), len(which)))
    shape = (int(squares[-1]), int(starts[-1]))
    return sp.csc_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)


def solve_clarabel(
    clarabel: Any, problem: ConicProblem, tolerance: float, time_limit: float | None, iterations: int, verbose: bool
) -> ConicSolution:
    """Clarabel: svec cones as they are."""
    settings = clarabel.DefaultSettings()
    settings.verbose = verbose
    settings.max_iter = iterations
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = tolerance
    if time_limit is not None:
        settings.time_limit = time_limit
    cones = [clarabel.NonnegativeConeT(problem.nonnegative)] if problem.nonnegative else []
    cones += [clarabel.PSDTriangleConeT(int(side)) for side in problem.sides]
    size = len(problem.cost)
    solver = clarabel.DefaultSolver(sp.csc_matrix((size, size)), problem.cost, problem.G, problem.h, cones, settings)
    solver.set_termination_callback(lambda _: is_interrupted())
    solution = solver.solve()
    check()
    words = {
        "Solved": Status.SOLVED,
        "AlmostSolved": Status.STALLED,
        "MaxTime": Status.TIME_LIMIT,
        "MaxIterations": Status.ITERATION_LIMIT,
    }
    word = str(solution.status)
    status = words.get(word, Status.NUMERICAL_ERROR)
    return _solution(problem, solution.x, solution.z, status, word, solution.iterations)


def solve_cvxopt(
    cvxopt: Any, problem: ConicProblem, tolerance: float, time_limit: float | None, iterations: int, verbose: bool
) -> ConicSolution:
    """CVXOPT's conelp: full squares, its own matrices.

    It has no time limit, but ends with its last iterate when a factorisation fails: past the limit the
    next one is made to.
    """
    misc, solvers = (importlib.import_module(f"cvxopt.{name}") for name in ("misc", "solvers"))
    U = full_squares(problem)
    G = (U @ problem.G).tocoo()
    indices = (cvxopt.matrix(index.astype(np.int64)) for index in (G.row, G.col))
    sparse = cvxopt.spmatrix(cvxopt.matrix(G.data), *indices, G.shape, "d")
    dims = {"l": problem.nonnegative, "q": [], "s": problem.sides.tolist()}
    factor = misc.kkt_chol(sparse, dims, cvxopt.spmatrix([], [], [], (0, G.shape[1]), "d"))
    deadline = np.inf if time_limit is None else time.perf_counter() + time_limit
    stopped = False
    calls = 0

    def factor_in_time(scaling: Any) -> Any:
        nonlocal stopped, calls
        check()
        calls += 1
        if calls > 1 and time.perf_counter() > deadline:  # the first is for the starting point
            stopped = True
            raise ArithmeticError
        return factor(scaling)

    result = solvers.conelp(
        cvxopt.matrix(problem.cost),
        sparse,
        cvxopt.matrix(U @ problem.h),
        dims,
        kktsolver=factor_in_time,
        options={
            "show_progress": verbose, "maxiters": iterations,
            "abstol": tolerance, "reltol": tolerance, "feastol": tolerance,
        },
    )  # fmt: skip
    status = Status.SOLVED if result["status"] == "optimal" else Status.NUMERICAL_ERROR
    errors = [result[k] for k in ("relative gap", "primal infeasibility", "dual infeasibility")]
    if status is not Status.SOLVED and all(error is not None and error < ALMOST for error in errors):
        status = Status.STALLED
    if stopped:
        status = Status.TIME_LIMIT
    elif status is not Status.SOLVED and result["iterations"] >= iterations:
        status = Status.ITERATION_LIMIT
    x, z = (None if result[k] is None else np.array(result[k]).ravel() for k in ("x", "z"))
    return _solution(problem, x, None if z is None else U.T @ z, status, result["status"], result["iterations"])


def solve_sdpa(
    sdpap: Any, problem: ConicProblem, tolerance: float, time_limit: float | None, iterations: int, verbose: bool
) -> ConicSolution:
    """SDPA through sdpa-python: full squares, in SeDuMi's standard form; in a process that is killed at the limit.

    Its call to the C++ library is used as it is: sdpap.solve around it checks the result's eigenvalues by
    an iteration that warns, prints and need not converge. Below 1e-7 SDPA breaks down more often than it
    gets there, so it is not asked for less. With two threads of its own (BLAS has others) one run in
    thirty broke down, and not the same one each time; with one thread none did.
    """
    parameters = importlib.import_module("sdpap.param")
    U = full_squares(problem)
    option = parameters.param({
        "print": "display" if verbose else "no",
        "maxIteration": iterations,
        "epsilonStar": max(tolerance, 1e-7),
        "epsilonDash": max(tolerance, 1e-7),
        "numThreads": 1,
    })  # fmt: skip
    A = sp.csc_matrix((U @ problem.G).T)
    b, c = sp.csc_matrix(-problem.cost[:, None]), sp.csc_matrix((U @ problem.h)[:, None])
    K = sdpap.SymCone(l=problem.nonnegative, s=tuple(problem.sides.tolist()))
    try:
        workers = Killed(time_limit, quiet=not verbose)
        ((X, y, _, info),) = workers.answers(call, ("sdpap.sdpacall.sdpacall", "solve_sdpa"), [(A, b, c, K, option)])
    except TimeoutError:
        return _solution(problem, None, None, Status.TIME_LIMIT, "killed at the time limit", 0)
    except ChildError as error:
        return _solution(problem, None, None, Status.NUMERICAL_ERROR, str(error), 0)
    phase = info["phasevalue"]
    errors = [info["dualityGap"] / max(1.0, abs(info["primalObj"])), info["primalError"], info["dualError"]]
    status = Status.SOLVED if phase == "pdOPT" else Status.NUMERICAL_ERROR
    if status is not Status.SOLVED and all(error < ALMOST for error in errors):
        status = Status.STALLED
    elif status is not Status.SOLVED and info["iteration"] >= iterations:
        status = Status.ITERATION_LIMIT
    return _solution(problem, y.toarray().ravel(), U.T @ X.toarray().ravel(), status, phase, info["iteration"])


def mosek_triplets(problem: ConicProblem) -> tuple[Array, ...]:
    """The problem's dual over matrix variables, as MOSEK takes it.

    max <F_0, X> with <F_i, X> = cost_i, X >= 0, where F_0 = -h and F_i = -G's column i: a 1x1 matrix for
    every nonnegative row, then the matrices.

    Returns:
        i, matrix, row, column (int32, as MOSEK wants them) and value (float64), all (entries,): the lower
        triangles of the F_i, i = -1 standing for F_0.
    """
    sides = np.concatenate([np.ones(problem.nonnegative, dtype=np.int64), problem.sides])
    data = sp.hstack([sp.csc_matrix(problem.h[:, None]), problem.G]).tocoo()
    which = np.repeat(np.arange(len(sides)), svec_length(sides))
    entry = np.arange(len(which)) - np.repeat(np.cumsum(svec_length(sides)) - svec_length(sides), svec_length(sides))
    row = ((np.sqrt(8.0 * entry + 1.0) - 1.0) / 2.0).astype(np.int64)
    row += (entry >= svec_length(row + 1)).astype(np.int64) - (entry < svec_length(row)).astype(np.int64)
    column = entry - svec_length(row)
    at = data.row
    value = -data.data * np.where(row[at] == column[at], 1.0, np.sqrt(0.5))
    indices = (data.col.astype(np.int64) - 1, which[at], row[at], column[at])
    return *(index.astype(np.int32) for index in indices), value


def solve_mosek(
    mosek: Any, problem: ConicProblem, tolerance: float, time_limit: float | None, iterations: int, verbose: bool
) -> ConicSolution:
    """MOSEK's Task interface on the matrix variables of `mosek_triplets`.

    Not run by the project's tests, which have no licence; only its input is checked there.
    """
    sides = [1] * problem.nonnegative + problem.sides.tolist()
    i, matrix, row, column, value = mosek_triplets(problem)
    with mosek.Task() as task:
        if verbose:
            task.set_Stream(mosek.streamtype.log, lambda text: print(text, end=""))
        task.appendbarvars(sides)
        task.appendcons(len(problem.cost))
        task.putobjsense(mosek.objsense.maximize)
        first = i < 0
        task.putbarcblocktriplet(matrix[first], row[first], column[first], value[first])
        rest = ~first
        task.putbarablocktriplet(i[rest], matrix[rest], row[rest], column[rest], value[rest])
        bounds = [mosek.boundkey.fx] * len(problem.cost)
        task.putconboundslice(0, len(problem.cost), bounds, problem.cost, problem.cost)
        for parameter in ("intpnt_co_tol_rel_gap", "intpnt_co_tol_pfeas", "intpnt_co_tol_dfeas"):
            task.putdouparam(getattr(mosek.dparam, parameter), tolerance)
        if time_limit is not None:
            task.putdouparam(mosek.dparam.optimizer_max_time, time_limit)
        task.putintparam(mosek.iparam.intpnt_max_iterations, iterations)
        try:
            reason = task.optimize()
        except mosek.Error as error:
            if "license" in str(error).lower() or "licence" in str(error).lower():
                raise RuntimeError(
                    f"MOSEK found no valid licence ({str(error).strip()}); get one at https://www.mosek.com/try/ (free "
                    "for academics: https://www.mosek.com/products/academic-licenses/) and set MOSEKLM_LICENSE_FILE "
                    "to the path of its file mosek.lic"
                ) from error
            raise
        interior = mosek.soltype.itr
        iterations = task.getintinf(mosek.iinfitem.intpnt_iter)
        if not task.solutiondef(interior):
            return _solution(problem, None, None, Status.NUMERICAL_ERROR, str(reason), iterations)
        outcome = task.getsolsta(interior)
        status = Status.SOLVED if outcome == mosek.solsta.optimal else Status.NUMERICAL_ERROR
        if reason == mosek.rescode.trm_max_time:
            status = Status.TIME_LIMIT
        elif reason == mosek.rescode.trm_max_iterations:
            status = Status.ITERATION_LIMIT
        # A matrix variable comes as its lower triangle column by column.
        parts = [_rows_first(np.asarray(task.getbarxj(interior, k)), side) for k, side in enumerate(sides)]
        y = np.asarray(task.gety(interior))
        return _solution(problem, y, np.concatenate(parts), status, str(outcome), iterations)


def _rows_first(columns: Array, side: int) -> Array:
    """svec of a matrix given as its lower triangle column by column."""
    full = np.zeros((side, side))
    full.T[np.triu_indices(side)] = columns
    i, j = np.tril_indices(side)
    return full[i, j] * np.where(i == j, 1.0, np.sqrt(2.0))


def _solution(
    problem: ConicProblem, y: Any, X: Any, status: Status, word: str, iterations: int
) -> ConicSolution:
    """Plain arrays; zeros, and NUMERICAL_ERROR, where nothing usable came back."""
    out = []
    for given, length in ((y, len(problem.cost)), (X, len(problem.h))):
        values = np.zeros(length) if given is None else np.asarray(given, dtype=np.float64)
        if values.shape != (length,) or not np.isfinite(values).all():
            values, status = np.zeros(length), Status.NUMERICAL_ERROR
        out.append(values)
    return ConicSolution(out[0], out[1], status, str(word), int(iterations))


class Solver(NamedTuple):
    """A solver: its module, its adapter."""

    package: str
    solve: Callable[[Any, ConicProblem, float, float | None, int, bool], ConicSolution]


SOLVERS = {
    "clarabel": Solver("clarabel", solve_clarabel),
    "cvxopt": Solver("cvxopt", solve_cvxopt),
    "sdpa": Solver("sdpap", solve_sdpa),
    "mosek": Solver("mosek", solve_mosek),
}


def package(solver: str) -> Any:
    """The solver's imported package.

    Raises:
        ValueError: an unknown solver.
        ImportError: its package is missing; the message has the command that brings it.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, but {solver!r} was given")
    name = SOLVERS[solver].package
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{solver} needs the package {name}, which cannot be imported: {install(name)}"
        ) from error
