"""The interior-point references: they agree, refuse in words, keep limits, and are silent."""

import itertools
import sys
import types

import numpy as np
import pytest
import scipy.sparse as sp

from hr2jax import Network
from hr2jax.certificate.bound import dual_bound
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.engines.block import conic, conic_dual
from hr2jax.engines.block.form import block_form
from hr2jax.engines.block.interior_point import run_interior_point, solve_interior_point
from hr2jax.engines.monitor import Stop
from hr2jax.linalg.diagonal import tighten
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, preset
from hr2jax.relaxation.presolve import presolve
from hr2jax.result import Status
from tests.reference.product import solve_product_form

SOLVERS = ("clarabel", "cvxopt", "sdpa")


def form_of(relaxation="hr2z", local=True, p0=6, p1=6, bias=0.3):
    rng = np.random.default_rng([p0, p1])
    net = Network([rng.normal(size=(p1, p0)), rng.normal(size=(1, p1))], [bias * rng.normal(size=p1), [0.0]])
    domain = {"center": np.zeros(p0), "radius": 0.4} if local else {}
    problem = checked_problem(net, **domain)
    return block_form(relaxation, lift(net, problem, presolve(net, problem)))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("relaxation", ["shor", "hr2", "hr2z"])
@pytest.mark.parametrize("local", [True, False])
def test_solvers_agree(solver, relaxation, local):
    form = form_of(relaxation, local)
    lifting = form.lifting
    reference, _ = solve_product_form(lifting, preset(relaxation, lifting))
    solution = solve_interior_point(form, solver)
    assert solution.status in (Status.SOLVED, Status.STALLED)
    assert solution.value == pytest.approx(reference, rel=1e-5)
    # the moment matrix is the relaxation's optimal one
    assert np.linalg.eigvalsh(solution.M1).min() > -1e-6
    assert np.allclose(np.diag(solution.M1)[form.pinned], 1.0, atol=1e-6)
    assert (form.C * solution.M1).sum() == pytest.approx(reference, rel=1e-5)
    # and the multipliers prove the value
    M = lagrangian_matrix(lifting, solution.multipliers(form))
    units = 2.0**lifting.exponent
    assert dual_bound(lifting, M, solution.diagonal) == pytest.approx(reference * units, rel=1e-3)
    d = tighten(M.mid, lifting.square_is_one, solution.diagonal, tolerance=1e-8)
    assert dual_bound(lifting, M, d) == pytest.approx(reference * units, rel=1e-5)
    assert dual_bound(lifting, M, d) >= reference * units * (1 - 1e-7)
    assert [q.shape for q in solution.polynomials] == [(b.count, len(b.monomials)) for b in form.batches]
    assert all(not q[:, 1 + b.shared.shape[1] :].any() for q, b in zip(solution.polynomials, form.batches, strict=True))
    assert solution.iterations > 0
    assert solution.seconds > 0


@pytest.mark.parametrize("solver", ["clarabel", "cvxopt"])
def test_the_product_references_agree(solver):
    form = form_of("hr2z", p0=4, p1=3)
    value, _ = solve_product_form(form.lifting, preset("hr2z", form.lifting), solver, 1e-8)
    assert value == pytest.approx(solve_interior_point(form, "clarabel").value, rel=1e-6)


def test_the_dual_is_the_lagrangian_of_the_moment_problem():
    """h - G y over random y is the dual's matrices of the definition: S, and Z with q = adjoint, own part zero."""
    form = form_of("hr2z", p0=3, p1=4)
    duals = [conic_dual.DualBatch.of(batch) for batch in form.batches]
    problem = conic_dual.conic_dual(form, duals, 2.0)
    y = np.random.default_rng(0).normal(size=len(problem.cost))
    rows = problem.h - problem.G @ y
    N = len(form.C)
    S = -form.C / 2.0
    S[form.pinned, form.pinned] += y[: form.pinned.sum()]
    E = form.extended()
    value, small, large = y[: form.pinned.sum()].sum(), 0, problem.nonnegative + conic.svec_length(N)
    adjoints = [np.zeros((batch.count, len(batch.monomials))) for batch in form.batches]
    for batch, q in zip(form.batches, adjoints, strict=True):
        start = 0
        for block in batch.blocks:
            d = block.index.shape[0]
            length = conic.svec_length(d)
            maps = batch.dense()[:, start : start + d * d]
            start += d * d
            for i in range(batch.count):
                at = small if d == 1 else large
                Z = conic.matrix_of(rows[at : at + length], d)
                q[i] += maps[i].T @ Z.ravel()
                small, large = (small + length, large) if d == 1 else (small, large + length)
        for i, j in itertools.product(range(batch.count), range(batch.shared.shape[1])):
            a, b = E[batch.shared[i, j]]
            S -= q[i, 1 + j] * (np.outer(a, b) + np.outer(b, a)) / 2
        value += q[:, 0].sum()
        assert np.allclose(q[:, 1 + batch.shared.shape[1] :], 0.0, atol=1e-12)
    assert (small, large) == (problem.nonnegative, len(rows))
    start = problem.nonnegative
    assert np.allclose(conic.matrix_of(rows[start : start + conic.svec_length(N)], N), S, atol=1e-12)
    assert problem.cost @ y == pytest.approx(value)


def test_a_constant_function():
    net = Network([np.ones((2, 2)), np.ones((1, 2))], [[-9.0, -9.0], [0.0]])
    problem = checked_problem(net, center=np.zeros(2), radius=0.1)
    form = block_form("hr2", lift(net, problem, presolve(net, problem)))
    for solver in SOLVERS:
        solution = solve_interior_point(form, solver)
        assert abs(solution.value) < 1e-6
        assert np.allclose(solution.diagonal, 0.0, atol=1e-6)


@pytest.mark.parametrize("solver", [*SOLVERS, "mosek"])
def test_a_missing_package_is_named_with_a_command(solver, monkeypatch):
    monkeypatch.setitem(sys.modules, conic.SOLVERS[solver].package, None)
    with pytest.raises(ImportError, match=f'pip install "{solver}'):
        solve_interior_point(form_of(), solver)


def test_an_unknown_solver_is_refused():
    with pytest.raises(ValueError, match="clarabel, cvxopt, sdpa, mosek"):
        solve_interior_point(form_of(), "scs")


@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers_are_silent_and_stdout_survives(solver, capfd):
    for relaxation in ("shor", "hr2z"):  # SDPA's C++ code complains about some of these whatever it is told
        for seed in range(3):
            solve_interior_point(form_of(relaxation, p0=3, p1=3 + seed), solver, tolerance=1e-8)
    assert capfd.readouterr() == ("", "")
    print("still here")
    assert capfd.readouterr().out == "still here\n"


def test_verbose_solvers_print(capfd):
    solve_interior_point(form_of(p0=3, p1=3), "cvxopt", verbose=True)
    assert "pcost" in capfd.readouterr().out


@pytest.mark.parametrize("solver", ["clarabel", "cvxopt"])
def test_time_limit(solver):
    form = form_of()
    solution = solve_interior_point(form, solver, time_limit=0.0)
    assert solution.status is Status.TIME_LIMIT
    assert all(np.isfinite(q).all() for q in solution.polynomials)
    bound = dual_bound(form.lifting, lagrangian_matrix(form.lifting, solution.multipliers(form)), solution.diagonal)
    assert np.isfinite(bound)


@pytest.mark.parametrize("solver", SOLVERS)
def test_iteration_limit(solver):
    solution = solve_interior_point(form_of(), solver, max_iterations=2)
    assert solution.status is Status.ITERATION_LIMIT
    assert solution.iterations <= 2


class Recorder:
    """A monitor that certifies as `solve` does, without its clock."""

    tolerance = 1e-4

    def __init__(self, form, left=np.inf, seconds=np.inf, stop=None):
        self.form, self.left, self.seconds, self.stop = form, left, seconds, stop
        self.bound, self.reports = np.inf, []

    def certify(self, multipliers, diagonal):
        lifting = self.form.lifting
        self.bound = dual_bound(lifting, lagrangian_matrix(lifting, multipliers), diagonal)
        return self.bound

    def report(self, iteration, relaxation_value, residual):
        self.reports.append((iteration, relaxation_value, residual))
        if self.stop:
            raise Stop(self.stop)

    def remaining(self):
        return self.seconds

    def iterations_left(self):
        return self.left


@pytest.mark.parametrize("solver", SOLVERS)
def test_run_certifies_and_reports_once(solver):
    form = form_of("hr2")
    monitor = Recorder(form)
    assert run_interior_point(form, solver, monitor) is Status.SOLVED
    ((iteration, value, residual),) = monitor.reports
    assert iteration > 0
    assert monitor.bound == pytest.approx(value, rel=1e-6)
    assert residual < 1e-6


def test_run_says_why_it_ended():
    form = form_of("hr2")
    assert run_interior_point(form, "clarabel", Recorder(form, left=2)) is Status.ITERATION_LIMIT
    assert run_interior_point(form, "cvxopt", Recorder(form, seconds=0.0)) is Status.TIME_LIMIT
    assert run_interior_point(form, "clarabel", Recorder(form, stop=Status.STOPPED)) is Status.STOPPED


def test_mosek_triplets_are_the_conic_problem():
    form = form_of("hr2z", p0=3, p1=3)
    problem = conic_dual.conic_dual(form, [conic_dual.DualBatch.of(batch) for batch in form.batches], 1.0)
    i, matrix, row, column, value = conic.mosek_triplets(problem)
    assert (row >= column).all()
    sides = [1] * problem.nonnegative + problem.sides.tolist()
    y = np.random.default_rng(0).normal(size=len(problem.cost))
    full = [np.zeros((side, side)) for side in sides]
    for which, k, r, c, a in zip(i, matrix, row, column, value, strict=True):
        full[k][r, c] += a * (-1.0 if which < 0 else y[which])
        full[k][c, r] = full[k][r, c]
    U = conic.full_squares(problem)  # sum y_i F_i - F_0 = h - G y
    assert np.allclose(np.concatenate([m.ravel() for m in full]), U @ (problem.h - problem.G @ y), atol=1e-12)
    assert (U.T @ U - sp.eye(U.shape[1])).nnz == 0 or abs(U.T @ U - sp.eye(U.shape[1])).max() < 1e-15


def test_mosek_columns_to_rows():
    full = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]])
    by_columns = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert np.allclose(conic.matrix_of(conic._rows_first(by_columns, 3), 3), full)


def test_mosek_without_a_licence_says_how_to_get_one(monkeypatch):
    """A stand-in for the package: every call is accepted, and optimize finds no licence."""

    class Anything:
        def __getattr__(self, name):
            return Anything()

    class Error(Exception):
        pass

    class Task:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def __getattr__(self, name):
            return lambda *_: None

        def optimize(self):
            raise Error("rescode.err_missing_license_file(1008): License cannot be located.")

    module = types.ModuleType("mosek")
    for name in ("objsense", "boundkey", "dparam", "iparam"):
        setattr(module, name, Anything())
    module.Task, module.Error = Task, Error
    monkeypatch.setitem(sys.modules, "mosek", module)
    with pytest.raises(RuntimeError, match=r"mosek\.com.*MOSEKLM_LICENSE_FILE"):
        solve_interior_point(form_of(p0=2, p1=2), "mosek")
