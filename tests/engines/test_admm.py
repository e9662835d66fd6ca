"""ADMM: its exact steps against dense algebra, its values against interior point. Few shapes: each compiles."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hr2jax import Network, Status
from hr2jax.engines import admm
from hr2jax.engines.admm import _affine_step, _project_small, _psd_part, build_maps, iterate, solve_admm
from hr2jax.engines.monitor import Stop
from hr2jax.engines.scale import in_units
from hr2jax.presolve import presolve
from hr2jax.problem import lipschitz_problem
from hr2jax.proof import lagrangian_matrix
from hr2jax.relaxation import lift, preset
from hr2jax.relaxation.block import block_form, clique_multipliers
from tests.product_reference import solve_product_form

from .test_lowrank import Monitor

RELAXATIONS = ("shor", "hr2", "hr2z")
BOTH = pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
ALL = pytest.mark.parametrize("relaxation", RELAXATIONS)


def lifting_of(local, seed=0, p=4, m=4):
    """A problem whose neurons are all unstable."""
    rng = np.random.default_rng([seed, p, m])
    net = Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [0.1 * rng.standard_normal(m), [0.0]])
    box = {"center": 0.1 * rng.standard_normal(p), "radius": 1.0} if local else {}
    problem = lipschitz_problem(net, None, "inf", **box)
    return lift(net, problem, presolve(net, problem))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


# The affine step ----------------------------------------------------------------------------------------


def dense_step(form, T, T_small, rho, scale):
    """The same minimisation over every entry of Y and every own moment, by one dense least squares."""
    N, E = len(form.C), form.extended()
    i, j = np.tril_indices(N)
    free = np.flatnonzero(~((i == j) & form.pinned[i]))
    basis = np.zeros((len(i), N, N))
    basis[np.arange(len(i)), i, j] = basis[np.arange(len(i)), j, i] = 1.0
    start = np.diag(form.pinned.astype(float))
    own = [batch.count * batch.own for batch in form.batches]
    columns = len(free) + sum(own)

    def blocks(Y):
        for batch in form.batches:
            a, b = np.moveaxis(batch.shared, 2, 0)
            dense = batch.dense()
            shared = (E @ Y @ E.T)[a, b]
            yield np.einsum("ndk,nk->nd", dense[:, :, 1 : 1 + shared.shape[1]], shared)

    def everything(Y):
        return np.concatenate([Y.ravel(), *(block.ravel() for block in blocks(Y))])

    A = np.zeros((everything(start).size, columns))
    for column, entry in enumerate(free):
        A[:, column] = everything(basis[entry])
    row, column = N * N, len(free)
    constants = []
    for batch in form.batches:
        dense = batch.dense()
        constants.append(dense[:, :, 0].ravel())
        k = 1 + batch.shared.shape[1]
        for n in range(batch.count):
            D = dense.shape[1]
            A[row : row + D, column : column + batch.own] = dense[n, :, k:]
            row, column = row + D, column + batch.own
    constant = everything(start) + np.concatenate([np.zeros(N * N), *constants])
    target = np.concatenate([T.ravel(), *(t.ravel() for t in T_small)])
    objective = np.array([(form.C * basis[entry]).sum() for entry in free]) / (scale * rho)
    right = A.T @ (target - constant) + np.concatenate([objective, np.zeros(sum(own))])
    x = np.linalg.lstsq(A.T @ A, right, rcond=None)[0]
    value = constant + A @ x
    out, row = [], N * N
    for batch in form.batches:
        D = batch.dense().shape[1]
        out.append(value[row : row + batch.count * D].reshape(batch.count, D))
        row += batch.count * D
    return value[: N * N].reshape(N, N), out


@ALL
@BOTH
def test_the_affine_step_is_the_exact_minimiser(relaxation, local):
    rng = np.random.default_rng(1)
    form = block_form(relaxation, lifting_of(local, p=3, m=3))
    scale, rho = 0.7, 0.4
    maps, _ = build_maps(form, scale)
    N = len(form.C)
    T = rng.standard_normal((N, N))
    T = (T + T.T) / 2
    T_small = [rng.standard_normal(c.shape) for c in maps.constants]
    Y, small = _affine_step(maps, jnp.asarray(T), [jnp.asarray(t) for t in T_small], rho)
    expected, expected_small = dense_step(form, T, T_small, rho, scale)
    np.testing.assert_allclose(Y, expected, atol=1e-10)
    np.testing.assert_allclose(np.diag(np.asarray(Y))[form.pinned], 1.0, atol=1e-14)
    for a, b in zip(small, expected_small, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


# The projections ----------------------------------------------------------------------------------------


def test_the_psd_part_is_the_nearest_psd_matrix():
    rng = np.random.default_rng(2)
    A = rng.standard_normal((6, 7, 7))
    A = A + np.swapaxes(A, 1, 2)
    X = np.asarray(_psd_part(jnp.asarray(A)))
    assert (np.linalg.eigvalsh(X) >= -1e-12).all()
    rest = X - A  # Moreau: also PSD, and orthogonal to X
    assert (np.linalg.eigvalsh((rest + np.swapaxes(rest, 1, 2)) / 2) >= -1e-12).all()
    np.testing.assert_allclose((X * rest).sum(axis=(1, 2)), 0.0, atol=1e-10)


@pytest.mark.parametrize("relaxation", ["hr2", "hr2z"])
def test_every_small_block_is_projected(relaxation):
    rng = np.random.default_rng(3)
    form = block_form(relaxation, lifting_of(local=True))
    maps, shapes = build_maps(form, 1.0)
    given = [rng.standard_normal(c.shape) for c in maps.constants]
    projected = _project_small([jnp.asarray(g) for g in given], shapes)
    for before, after, sides in zip(given, projected, shapes, strict=True):
        assert after.shape == before.shape
        start = 0
        for side in sides:
            piece = slice(start, start + side**2)
            A = before[:, piece].reshape(-1, side, side)
            X = np.asarray(after)[:, piece].reshape(-1, side, side)
            np.testing.assert_allclose(X, _psd_part(jnp.asarray((A + np.swapaxes(A, 1, 2)) / 2)), atol=1e-12)
            start += side**2
        assert start == before.shape[1]


def test_iterates_stay_psd_and_their_duals_prove_a_bound():
    """X and -U are PSD after any number of iterations; X and U are complementary."""
    form = block_form("hr2z", lifting_of(local=True))
    maps, shapes = build_maps(form, 0.1)
    run = admm._Run(form, Monitor(form.lifting), 0.1)
    run.begin({})
    state, info = iterate(maps, run.state, 0.3, 7, shapes=shapes)
    X, U = np.asarray(state.X), np.asarray(state.U)
    assert np.linalg.eigvalsh(X)[0] >= -1e-12
    assert np.linalg.eigvalsh(-U)[0] >= -1e-12
    assert abs((X * U).sum()) <= 1e-10
    assert np.isfinite(np.asarray(info)).all()
    polynomials = [
        np.einsum("ndq,nd->nq", batch.dense(), -np.asarray(u))
        for batch, u in zip(form.batches, state.U_small, strict=True)
    ]
    assert all((values >= 0).all() for values in clique_multipliers(form, polynomials).values())


# The engine ---------------------------------------------------------------------------------------------


@ALL
@BOTH
def test_it_reaches_the_interior_point_value(relaxation, local):
    for seed in range(3):
        lifting = lifting_of(local, seed)
        value = solve_product_form(lifting, preset(relaxation, lifting))[0]
        monitor = Monitor(lifting, 1e-3)
        assert solve_admm(block_form(relaxation, lifting), monitor) is Status.SOLVED
        assert value * (1 - 1e-7) <= monitor.best <= value * (1 + 1e-3)
        assert monitor.values[-1] == pytest.approx(in_units(value, lifting), rel=2e-3)


@pytest.mark.parametrize(("relaxation", "local"), [("hr2", False), ("hr2", True), ("hr2z", True)])
def test_a_warm_start_takes_fewer_iterations(relaxation, local):
    before = after = 0
    for seed in range(6):
        lifting = lifting_of(local, seed)
        form = block_form(relaxation, lifting)
        cold, warm = Monitor(lifting, 1e-4), Monitor(lifting, 1e-4)
        assert solve_admm(form, cold) is Status.SOLVED
        start = cold.offered[-1][0]
        assert solve_admm(form, warm, start=start) is Status.SOLVED
        assert warm.best == pytest.approx(cold.best, rel=1e-4)
        before, after = before + cold.reports[-1], after + warm.reports[-1]
    assert after < before


@pytest.mark.parametrize("limit", [1, 39, 40, 41, 100])
def test_it_never_takes_more_iterations_than_are_left(limit):
    lifting = lifting_of(local=True)
    monitor = Monitor(lifting, tolerance=1e-12, iterations=limit)
    assert solve_admm(block_form("hr2", lifting), monitor) is Status.ITERATION_LIMIT
    assert monitor.reports[-1] == limit
    assert monitor.offered


@pytest.mark.parametrize("stop_at", [1, 3])
def test_a_stop_is_passed_on_after_a_last_certificate(stop_at):
    lifting = lifting_of(local=True)
    monitor = Monitor(lifting, tolerance=1e-12, stop_at=stop_at)
    assert solve_admm(block_form("hr2", lifting), monitor) is Status.STOPPED
    assert len(monitor.reports) == stop_at
    assert monitor.offered


def test_an_interrupt_is_a_stop():
    lifting = lifting_of(local=True)

    class Interrupted(Monitor):
        def report(self, *values):
            super().report(*values)
            raise KeyboardInterrupt

    monitor = Interrupted(lifting)
    assert solve_admm(block_form("hr2", lifting), monitor) is Status.STOPPED
    assert monitor.offered


def test_an_infinite_bound_is_not_a_solution():
    lifting = lifting_of(local=True)
    monitor = Monitor(lifting, prove=math.inf, iterations=4000)
    status = solve_admm(block_form("hr2", lifting), monitor)
    assert status in (Status.STALLED, Status.ITERATION_LIMIT)


def test_numbers_that_break_down_end_the_run(monkeypatch):
    def broken(maps, state, rho, count, *, shapes):
        return state, np.full(4, np.nan)

    monkeypatch.setattr(admm, "iterate", broken)
    lifting = lifting_of(local=True)
    assert solve_admm(block_form("hr2", lifting), Monitor(lifting)) is Status.NUMERICAL_ERROR


def test_a_change_of_the_penalty_keeps_the_dual_matrices():
    lifting = lifting_of(local=True)
    run = admm._Run(block_form("hr2", lifting), Monitor(lifting), 1.0)
    run.begin({})
    state, _ = iterate(run.maps, run.state, run.rho, 5, shapes=run.shapes)
    run.state, run.iteration = state, 2 * admm.CHUNK
    dual = run.rho * np.asarray(state.U)
    for primal, dual_residual, direction in ((1.0, 0.1, 1), (0.1, 1.0, -1), (1.0, 1.0, 0)):
        rho = run.rho
        run.balance(primal, dual_residual)
        assert np.sign(run.rho - rho) == direction
        np.testing.assert_allclose(run.rho * np.asarray(run.state.U), dual, rtol=1e-12)


def test_what_it_certifies_is_the_products_of_its_dual_matrices():
    """The bound that the multipliers prove is the dual's value: nothing is lost on the way to product form."""
    lifting = lifting_of(local=True)
    for relaxation in ("hr2", "hr2z"):
        monitor = Monitor(lifting, 1e-6)
        assert solve_admm(block_form(relaxation, lifting), monitor) is Status.SOLVED
        multipliers, d, bound = monitor.offered[-1]
        M = lagrangian_matrix(lifting, multipliers).mid
        assert np.linalg.eigvalsh(np.diag(d) - M)[0] >= -1e-9
        value = solve_product_form(lifting, preset(relaxation, lifting))[0]
        assert value * (1 - 1e-7) <= bound <= value * (1 + 1e-6)


def test_stop_carries_its_status():
    assert Stop(Status.TIME_LIMIT).status is Status.TIME_LIMIT
    assert str(Stop(Status.TIME_LIMIT)) == "TIME_LIMIT"
