"""The primal-dual method on the product form, against an interior-point solve of it that others wrote."""

import numpy as np
import pytest

import hr2jax
from hr2jax import Network, Status
from hr2jax.engines.product import newton, newton_step
from hr2jax.engines.product.lowrank import solve_lowrank
from hr2jax.relaxation.families import preset
from hr2jax.relaxation.products import PRODUCTS, FactorTable
from hr2jax.relaxation.triangles import TRIANGLES

from ...reference.cases import random_net
from ...reference.deep_monitor import Monitor, lifting_of
from ...reference.product import dense_form, solve_product_form

CASES = [
    ((4, 5), "inf", False, "forward"),
    ((4, 5), "inf", True, "forward"),
    ((4, 3, 3), "inf", False, "forward"),
    ((4, 3, 3), "inf", True, "adjoint"),
    ((3, 3, 3), 2, False, "both"),
    ((4, 3, 3), 2, True, "adjoint"),
    ((3, 4, 3, 4), "inf", True, "forward"),
]


@pytest.mark.parametrize(("widths", "norm", "local", "chains"), CASES)
@pytest.mark.parametrize("relaxation", ["shor", "hr2"])
def test_it_reaches_the_optimum_from_both_sides(widths, norm, local, chains, relaxation):
    lifting = lifting_of(1, widths, norm, local, chains)
    families = preset(relaxation, lifting)
    optimum = float(np.ldexp(solve_product_form(lifting, families)[0], lifting.exponent))
    monitor = Monitor(lifting, 1e-6)
    assert newton.solve_newton(lifting, families, monitor) is Status.SOLVED
    assert monitor.bounds[-1] == pytest.approx(optimum, rel=2e-6)
    assert monitor.reports[-1][1] <= optimum * (1 + 1e-7)
    assert monitor.reports[-1][1] == pytest.approx(optimum, rel=2e-6)
    assert [number for number, *_ in monitor.reports] == list(range(1, len(monitor.reports) + 1))


def test_a_share_of_the_tolerance_is_sought_and_all_of_it_is_enough():
    """GLipSDP's fnn3 was left 5e-5 above its relaxation's optimum, some steps of a tenth of a second away."""
    lifting = lifting_of(1, (4, 3, 3), "inf", True, "adjoint")
    families = preset("hr2", lifting)
    optimum = float(np.ldexp(solve_product_form(lifting, families)[0], lifting.exponent))
    whole, fine = Monitor(lifting, 1e-2), Monitor(lifting, 1e-2)
    assert newton.solve_newton(lifting, families, whole) is Status.SOLVED
    assert newton.solve_newton(lifting, families, fine, share=1e-4) is Status.SOLVED
    assert whole.bounds[-1] > optimum * (1 + 1e-5) > fine.bounds[-1]
    for count in range(1, len(fine.reports)):  # a limit is none once the tolerance is met
        limited = Monitor(lifting, 1e-2, iterations=count)
        found = newton.solve_newton(lifting, families, limited, share=1e-4)
        assert found is (Status.SOLVED if count >= len(whole.reports) else Status.ITERATION_LIMIT)
        assert min(limited.bounds) <= whole.bounds[-1] * (1 + 1e-9) or count < len(whole.reports)


@pytest.mark.parametrize(("norm", "seed"), [("inf", 9), (2, 3)])
def test_cuts_that_it_is_given_are_rows_of_its_own(norm, seed):
    """Triangles, also with corners in the box or the ball, and products: all of them at once."""
    lifting = lifting_of(seed, (3, 3, 2), norm, True, "adjoint")
    families = preset("shor", lifting)
    rng = np.random.default_rng(0)
    one = np.flatnonzero(lifting.square_is_one)
    triples = np.array([[i, j, k] for i in one for j in range(lifting.size) for k in range(j) if len({i, j, k}) == 3])
    triples = np.repeat(triples, 4, axis=0) + 1
    signs = np.tile([[1.0, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]], (len(triples) // 4, 1))
    start = {TRIANGLES: np.column_stack([signs * triples, np.zeros(len(triples))])}
    extra = []
    for row in start[TRIANGLES]:
        y = np.zeros((3, lifting.size))
        y[np.arange(3), np.abs(row[:3]).astype(int) - 1] = np.sign(row[:3])
        P = sum(np.outer(y[a], y[b]) + np.outer(y[b], y[a]) for a, b in ((0, 1), (1, 2), (0, 2))) / 2
        P[0, 0] += 1.0
        extra.append(P)
    table = FactorTable(lifting)
    rows = np.concatenate([dense_form(lifting, form) for form in table.forms])
    pairs = rng.integers(0, table.count, (200, 2))
    start[PRODUCTS] = np.column_stack([pairs, np.zeros(len(pairs))]).astype(float)
    extra += [(np.outer(rows[a], rows[b]) + np.outer(rows[b], rows[a])) / 2 for a, b in pairs]
    optimum = float(np.ldexp(solve_product_form(lifting, families, extra=extra)[0], lifting.exponent))
    monitor = Monitor(lifting, 1e-6)
    assert newton.solve_newton(lifting, families, monitor, start=start) is Status.SOLVED
    assert monitor.bounds[-1] == pytest.approx(optimum, rel=2e-6)
    plain = Monitor(lifting, 1e-6)
    newton.solve_newton(lifting, families, plain)
    assert plain.bounds[-1] > optimum * (1 + 1e-4)


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e30, 1e300])
def test_any_start_ends_at_the_optimum(size):
    lifting = lifting_of(1, (4, 3, 3), "inf", False, "forward")
    families = preset("hr2", lifting)
    rng = np.random.default_rng(0)
    start = {f.name: f.clipped(size * rng.standard_normal(f.shape)) for f in families}
    cold, warm = Monitor(lifting, 1e-6), Monitor(lifting, 1e-6)
    assert newton.solve_newton(lifting, families, cold) is Status.SOLVED
    assert newton.solve_newton(lifting, families, warm, start=start) is Status.SOLVED
    assert warm.bound == pytest.approx(cold.bound, rel=2e-6)


def test_limits_leave_what_was_reached():
    lifting = lifting_of(3, (4, 4, 4), "inf", False, "adjoint")
    families = preset("shor", lifting)
    for monitor, status in (
        (Monitor(lifting, 1e-6, remaining=0.0), Status.TIME_LIMIT),
        (Monitor(lifting, 1e-6, iterations=3), Status.ITERATION_LIMIT),
    ):
        assert newton.solve_newton(lifting, families, monitor) is status
        assert monitor.bounds
        assert len(monitor.reports) <= 3


def test_an_interrupt_certifies_the_last_step(monkeypatch):
    lifting = lifting_of(3, (4, 4, 4), "inf", False, "adjoint")
    monitor = Monitor(lifting, 1e-9)

    def report(iteration, *_):
        if iteration == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(monitor, "report", report)
    assert newton.solve_newton(lifting, preset("shor", lifting), monitor) is Status.STOPPED
    assert np.isfinite(monitor.bounds[-1])


def test_it_ends_what_lowrank_began(monkeypatch):
    """One long chain of layers, whose last percent the factor would take long for."""
    calls = []
    real = newton.solve_newton

    def counted(*args, **more):
        calls.append(more["iteration"])
        return real(*args, **more)

    monkeypatch.setattr("hr2jax.engines.product.finish.solve_newton", counted)
    lifting = lifting_of(4, (6, 6, 6, 6, 6), "inf", False, "adjoint")
    families = preset("shor", lifting)
    optimum = float(np.ldexp(solve_product_form(lifting, families)[0], lifting.exponent))
    monitor = Monitor(lifting, 1e-6)
    assert solve_lowrank(lifting, families, monitor) is Status.SOLVED
    assert calls and calls[0] > 0
    assert monitor.bound == pytest.approx(optimum, rel=2e-6)


def test_where_it_takes_long_it_lets_lowrank_end(monkeypatch):
    """It took over after three rounds at any size, and took longer than the rounds that were left."""
    calls = []

    def counted(*args, **more):
        calls.append(more["iteration"])
        return Status.SOLVED

    monkeypatch.setattr("hr2jax.engines.product.finish.solve_newton", counted)
    lifting = lifting_of(4, (6, 6, 6, 6, 6), "inf", False, "adjoint")
    families = preset("shor", lifting)
    first = []
    for many in (10**6, 0):
        monkeypatch.setattr("hr2jax.engines.product.finish.MANY", many)
        calls.clear()
        solve_lowrank(lifting, families, Monitor(lifting, 1e-6))
        first.append(calls[0] if calls else np.inf)
    assert first[0] < first[1]


def test_what_it_cannot_take_is_refused():
    net = Network([np.ones((2, 2)), np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    with pytest.raises(NotImplementedError, match="block form"):
        hr2jax.solve(net, relaxation="lasserre2", method="newton")


def test_too_many_multipliers_are_refused(monkeypatch):
    monkeypatch.setattr("hr2jax.engines.product.memory.MOST", 10)
    net = random_net(np.random.default_rng(0), [3, 3, 3, 1], 1.0, 0.3)
    with pytest.raises(NotImplementedError, match="at most 10"):
        hr2jax.solve(net, method="newton")


def test_auto_takes_it_for_few_multipliers_of_several_layers():
    net = random_net(np.random.default_rng(0), [3, 3, 3, 1], 1.0, 0.3)
    bounds = {method: hr2jax.solve(net, method=method, tol=1e-6).bound for method in ("auto", "newton", "lowrank")}
    assert bounds["auto"] == bounds["newton"]
    assert bounds["auto"] == pytest.approx(bounds["lowrank"], rel=2e-6)


@pytest.mark.parametrize("n", [40, 150])
@pytest.mark.parametrize("kind", ["indefinite", "low rank", "all alike", "nothing", "upwards"])
def test_the_longest_step_is_that_of_all_eigenvalues(n, kind):
    """By Lanczos' method above DENSE; where that does not converge or has nothing to find, by all of them."""
    rng = np.random.default_rng(n)
    A, B = rng.standard_normal((2, n, n))
    L = np.linalg.cholesky(A @ A.T / n + 0.1 * np.eye(n))
    inner = {
        "indefinite": B + B.T, "low rank": -B[:, :3] @ B[:, :3].T, "all alike": -2.0 * np.eye(n),
        "nothing": np.zeros((n, n)), "upwards": B @ B.T,
    }[kind]  # fmt: skip
    exact = np.linalg.eigvalsh(inner)[0]
    found = newton_step._least_eigenvalue(L, L @ inner @ L.T)
    assert found == pytest.approx(exact, rel=1e-3, abs=1e-3)
    assert newton_step._least_eigenvalue(L, np.full((n, n), np.nan)) == -np.inf
    if kind != "nothing":
        assert newton_step._least_eigenvalue(1e-200 * L, inner) == -np.inf
