"""The diagonal of the dual against an independent semidefinite solve, and on input that nobody wants."""

import signal
import threading

import clarabel
import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.linalg import on_device as device
from hr2jax.linalg.arrow import Arrow
from hr2jax.linalg.definite import Definite
from hr2jax.linalg.diagonal import CHEAP, MAX_CORRECTED, cost, feasible, is_feasible, levelled, lowest, tighten
from hr2jax.linalg.on_device import OnDevice
from tests.reference.effort import examples

KINDS = ("gauss", "low rank", "bipartite", "definite", "negative", "blocks")


def matrix(kind, N, rng):
    M = rng.standard_normal((N, N))
    M = M + M.T
    if kind == "low rank":
        v = rng.standard_normal((N, 2))
        M = np.outer(v[:, 0], v[:, 0]) - 0.5 * np.outer(v[:, 1], v[:, 1])
    if kind == "bipartite":  # what an objective looks like
        M[: N // 2, : N // 2] = M[N // 2 :, N // 2 :] = 0.0
    if kind == "definite":
        M = M @ M.T
    if kind == "negative":
        M = -M @ M.T
    if kind == "blocks":
        M[: N // 2, N // 2 :] = M[N // 2 :, : N // 2] = 0.0
    return M


def box_of(N, rng, some):
    return rng.random(N) < 0.4 if some else np.zeros(N, dtype=bool)


def optimum(M, box, budget=None):
    """min sum x  over  Diag(d) - M >= 0 (PSD), d = x[budget], d >= 0 on the box, by an interior-point solver.

    What a shared bound costs is the largest d of it, so that equal ones are best.
    """
    N = len(M)
    share = np.eye(N) if budget is None else np.eye(int(budget.max()) + 1)[budget]  # d = share x
    columns, rows = np.tril_indices(N)  # the upper triangle, column by column
    root = np.where(rows == columns, 1.0, np.sqrt(2.0))
    A = np.zeros((len(rows), N))
    A[np.flatnonzero(rows == columns), np.arange(N)] = -1.0
    signed, count = np.flatnonzero(box), share.shape[1]
    cones = [clarabel.NonnegativeConeT(len(signed)), clarabel.PSDTriangleConeT(N)]
    options = clarabel.DefaultSettings()
    options.verbose = False
    options.tol_gap_abs = options.tol_gap_rel = options.tol_feas = 1e-10
    solution = clarabel.DefaultSolver(
        sp.csc_matrix((count, count)), np.ones(count), sp.csc_matrix(np.vstack([-np.eye(N)[signed], A]) @ share),
        np.concatenate([np.zeros(len(signed)), -M[rows, columns] * root]), cones[len(signed) == 0 :], options,
    ).solve()  # fmt: skip
    return float(solution.obj_val), share @ np.array(solution.x)


def starts(M, box, best):
    rows = np.abs(M).sum(axis=1)
    return {
        "zero": np.zeros(len(M)),
        "row sums": rows,
        "near": best + 1e-3 * np.abs(best),
        "below": best - 1e-3 * rows,
        "negative": -rows,
    }


# A negative optimum is no relaxation's (0 is a value of every objective): negative matrices have signs only.
CASES = [(kind, some) for kind in KINDS for some in (False, True) if not (kind == "negative" and some)]


@pytest.mark.parametrize(("kind", "some"), CASES)
@pytest.mark.parametrize("N", [1, 2, 5, 14, 40])
def test_tighten_is_feasible_and_within_its_tolerance_of_the_optimum(kind, N, some):
    rng = np.random.default_rng([KINDS.index(kind), N])
    M, box = matrix(kind, N, rng), box_of(N, rng, some)
    value, best = optimum(M, box)
    slack = 1e-8 * N * np.abs(M).max() + 1e-12  # the solver's
    for name, start in starts(M, box, best).items():
        for tolerance in (1e-2, 1e-5):
            d = tighten(M, ~box, start, tolerance=tolerance, iterations=60)
            assert is_feasible(M, d), name
            assert (d[box] >= 0).all()
            assert value - slack <= d.sum() <= value + 1.05 * tolerance * abs(value) + slack, name


@pytest.mark.parametrize("some", [False, True])
def test_tighten_stops_at_what_is_reachable(some):
    """Told the optimum, it needs a few steps, and what it returns is within the tolerance of it."""
    rng = np.random.default_rng(1)
    for N in (3, 12, 30):
        M, box = matrix("bipartite", N, rng), box_of(N, rng, some)
        value, best = optimum(M, box)
        for start in (best, best - 1e-4 * np.abs(best)):
            d = tighten(M, ~box, start, tolerance=1e-3, reachable=value)
            assert is_feasible(M, d)
            assert (d[box] >= 0).all()
            assert d.sum() <= value * (1 + 1e-3)


def test_tighten_is_never_worse_than_feasible():
    rng = np.random.default_rng(2)
    for N in (1, 4, 20):
        for kind in KINDS:
            M = matrix(kind, N, rng)
            signs = np.ones(N, dtype=bool)
            for start in starts(M, ~signs, np.zeros(N)).values():
                for iterations in (0, 1, 3):
                    d = tighten(M, signs, start, iterations=iterations)
                    assert d.sum() <= feasible(M, start).sum() + 1e-12 * np.abs(M).sum()
                    assert is_feasible(M, d)


@pytest.mark.parametrize("exponent", [-900, -301, -7, 8, 301, 900])
def test_tighten_does_not_depend_on_the_scale(exponent):
    """Powers of two change no bit but the exponent, so long as nothing under- or overflows."""
    rng = np.random.default_rng(3)
    M, box = matrix("gauss", 9, rng), box_of(9, rng, some=True)
    plain = tighten(M, ~box, np.zeros(9))
    scaled = tighten(np.ldexp(M, exponent), ~box, np.zeros(9))
    if exponent % 2 == 0:
        np.testing.assert_array_equal(scaled, np.ldexp(plain, exponent))
    else:
        np.testing.assert_allclose(scaled, np.ldexp(plain, exponent), rtol=1e-4)


# feasible on nasty input --------------------------------------------------------------------------------


@pytest.fixture
def alarm():
    """Turns an endless loop into a failure."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_):
        raise AssertionError("it does not end")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("N", [1, 2, 7])
@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-150, 1.0, 1e150])
@pytest.mark.parametrize("start", [0.0, 1.0, -1.0, 1e-300, -1e150])
def test_any_matrix_and_any_start_is_made_feasible(N, scale, start):
    rng = np.random.default_rng(N)
    for M in (scale * matrix("gauss", N, rng), -scale * np.eye(N), scale * np.ones((N, N)), np.zeros((N, N))):
        d0 = np.full(N, start)
        d = feasible(M, d0)
        assert d.shape == (N,)
        assert is_feasible(M, d)
        assert (d >= d0).all()
        signs = np.ones(N, dtype=bool)
        for mask in (signs, ~signs):
            tight = tighten(M, mask, d0)
            assert is_feasible(M, tight)
            assert mask[0] or (tight >= 0).all()


@pytest.mark.usefixtures("alarm")
def test_a_feasible_diagonal_is_returned_as_it_is():
    rng = np.random.default_rng(5)
    M = matrix("gauss", 6, rng)
    d = np.abs(M).sum(axis=1) + 1.0
    assert feasible(M, d) is d


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("entries", ["equal", "unlike"])
def test_entries_near_the_largest_float_end_as_well(entries):
    N = 4
    M = np.full((N, N), 1e307) if entries == "equal" else np.diag([1e307, 1.0, 1e-300, 0.0])
    with np.errstate(all="ignore"):
        d = feasible(M, np.zeros(N))
    assert d.shape == (N,)


@pytest.mark.parametrize("N", [MAX_CORRECTED + 30, CHEAP + 20])
def test_many_negative_eigenvalues_take_the_weighted_shift(N):
    """More than are corrected one by one: a single shift, in proportion to the diagonal."""
    rng = np.random.default_rng(6)
    M = matrix("gauss", N, rng)
    for start in (np.zeros(N), rng.uniform(0.5, 1.5, N) * np.sqrt(N)):
        d = feasible(M, start)
        assert is_feasible(M, d)
        shift = np.linalg.eigvalsh(M - np.diag(start))[-1]
        if not start.any():
            assert d.sum() <= N * shift * (1 + 1e-6)
        assert (d >= start).all()


def test_a_correction_costs_little_where_the_eigenvector_is_concentrated():
    """One bad entry among many: the correction pays for it alone, a uniform shift pays everywhere."""
    rng = np.random.default_rng(7)
    N = 50
    M = 0.001 * matrix("gauss", N, rng)
    d = np.ones(N)
    M[3, 3] += 1.5
    fixed = feasible(M, d)
    assert is_feasible(M, fixed)
    assert fixed.sum() - d.sum() < 0.6
    assert N * -np.linalg.eigvalsh(np.diag(d) - M)[0] > 20


@settings(max_examples=examples(60), deadline=None)
@given(
    N=st.integers(1, 8), seed=st.integers(0, 2**32), kind=st.sampled_from(KINDS),
    size=st.floats(-60, 60), start=st.floats(-60, 60), some=st.booleans(),
)  # fmt: skip
def test_whatever_the_start_the_result_is_feasible(N, seed, kind, size, start, some):
    rng = np.random.default_rng(seed)
    M, box = 10.0**size * matrix(kind, N, rng), box_of(N, rng, some)
    d = tighten(M, ~box, 10.0**start * rng.standard_normal(N))
    assert is_feasible(M, d)
    assert (d[box] >= 0).all()
    # a second time changes little: it is at or near the optimum already
    assert tighten(M, ~box, d).sum() <= d.sum() + 1e-9 * np.abs(d).sum()


# Shared bounds ------------------------------------------------------------------------------------------


def budgets(N, rng):
    """Each its own; all one; a signs' part and two balls; a ball whose entries are not neighbours."""
    each = np.arange(N)
    parts = np.unique(np.where(each < N // 3, each, np.where(each < 2 * N // 3, N, N + 1)), return_inverse=True)[1]
    shuffled = rng.permutation(parts)
    return {"own": each, "one": np.zeros(N, dtype=np.int64), "balls": parts, "shuffled": shuffled}


def test_a_shared_bound_costs_what_its_largest_entry_does():
    d, budget = np.array([1.0, -2.0, 3.0, 5.0, -1.0]), np.array([0, 1, 2, 1, 2])
    assert cost(d) == 6.0
    assert cost(d, np.arange(5)) == 6.0
    assert cost(d, budget) == 1.0 + 5.0 + 3.0
    assert cost(-d, budget) == -1.0 + 2.0 + 1.0
    assert cost(d, np.zeros(5, dtype=np.int64)) == 5.0
    np.testing.assert_array_equal(levelled(d, budget), [1.0, 5.0, 3.0, 5.0, 3.0])
    assert levelled(d, None) is d
    assert cost(levelled(d, budget), budget) == cost(d, budget)


@settings(max_examples=examples(100), deadline=None)
@given(N=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_the_cost_bounds_the_quadratic_form_on_the_balls(N, seed):
    """sum_k d_k y_k^2 <= cost(d) for d >= 0 where the squares of each bound's entries add up to at most 1."""
    rng = np.random.default_rng(seed)
    for budget in budgets(N, rng).values():
        d, y = rng.exponential(size=N) * rng.choice([0.0, 1.0], N), rng.standard_normal(N)
        length = np.sqrt(np.bincount(budget, y**2))[budget]
        y = y / np.maximum(length, 1e-300)
        assert (d * y**2).sum() <= cost(d, budget) * (1 + 1e-14) + 1e-300


@pytest.mark.parametrize("shared", ["own", "one", "balls", "shuffled"])
@pytest.mark.parametrize(("kind", "some"), CASES)
@pytest.mark.parametrize("N", [2, 14])
def test_with_shared_bounds_newton_reaches_the_reference(kind, some, N, shared):
    rng = np.random.default_rng([KINDS.index(kind), N])
    budget = budgets(N, rng)[shared]
    M = matrix(kind, N, rng)
    box = box_of(int(budget.max()) + 1, rng, some)[budget]  # of entries that share a bound, none or all are signs
    value, best = optimum(M, box, budget)
    slack = 1e-8 * N * np.abs(M).max() + 1e-12
    for name, start in starts(M, box, best).items():
        tolerance = 1e-2 if name == "below" else 1e-5
        d = tighten(M, ~box, start, tolerance=tolerance, iterations=60, budget=budget)
        assert is_feasible(M, d), name
        assert (d[box] >= 0).all()
        assert value - slack <= cost(d, budget) <= value + 1.05 * tolerance * abs(value) + slack, name
        np.testing.assert_array_equal(d, levelled(d, budget))


def test_with_bounds_of_their_own_nothing_changes():
    rng = np.random.default_rng(8)
    for N in (1, 6, 25):
        M, box = matrix("bipartite", N, rng), box_of(N, rng, some=True)
        value = optimum(M, box)[0]
        for start in (np.zeros(N), np.abs(M).sum(axis=1)):
            np.testing.assert_array_equal(feasible(M, start, np.arange(N)), feasible(M, start))
            own = tighten(M, ~box, start, budget=np.arange(N)).sum()
            plain = tighten(M, ~box, start).sum()
            assert own == pytest.approx(plain, rel=1e-5, abs=1e-8)
            assert plain == pytest.approx(value, rel=1e-5, abs=1e-8)


def test_one_shared_bound_costs_the_largest_eigenvalue():
    rng = np.random.default_rng(9)
    for N in (2, 9, 30):
        M, budget = matrix("gauss", N, rng), np.zeros(N, dtype=np.int64)
        largest = np.linalg.eigvalsh(M)[-1]
        d = tighten(M, np.ones(N, dtype=bool), np.zeros(N), budget=budget)
        assert largest <= cost(d, budget) <= largest * (1 + 1e-5)
        assert cost(feasible(M, np.zeros(N), budget), budget) <= largest * (1 + 1e-6)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize("scale", [0.0, 1e-150, 1.0, 1e150])
@pytest.mark.parametrize("start", [0.0, 1.0, -1.0, 1e-300, -1e150])
def test_any_start_with_shared_bounds_is_made_feasible(scale, start):
    rng = np.random.default_rng(3)
    for M in (scale * matrix("gauss", 7, rng), -scale * np.eye(7), np.zeros((7, 7))):
        for budget in budgets(7, rng).values():
            d = feasible(M, np.full(7, start), budget)
            assert is_feasible(M, d)
            assert (d >= start).all()
            np.testing.assert_array_equal(d, levelled(d, budget))
            for mask in (np.ones(7, dtype=bool), np.zeros(7, dtype=bool)):
                tight = tighten(M, mask, np.full(7, start), budget=budget)
                assert is_feasible(M, tight)
                assert mask[0] or (tight >= 0).all()


def arrow_of(n, m, rng):
    """An arrow of n eliminated and m kept rows, in mixed order, and the same matrix in full."""
    places = rng.permutation(n + m)
    B = rng.standard_normal((m, m))
    A = Arrow(
        np.sort(places[:n]), np.sort(places[n:]), rng.standard_normal(n), rng.standard_normal((n, m)), B + B.T
    )
    return A, A.dense()


@pytest.mark.parametrize("newton", [Definite.NEWTON, 0])  # 0: the kept rows alone are moved
def test_arrows_with_shared_bounds(newton, monkeypatch):
    """A ball among the eliminated rows, one among the kept ones, and one of both."""
    monkeypatch.setattr(Definite, "NEWTON", newton)
    rng = np.random.default_rng(10)
    for n, m in ((5, 3), (12, 9)):
        A, M = arrow_of(n, m, rng)
        budget = np.zeros(n + m, dtype=np.int64)
        budget[A.eliminated] = np.minimum(np.arange(n), 3)
        budget[A.kept] = 3 + np.maximum(np.arange(m) - 1, 0)
        box = (budget == 0) | (budget == 3)
        for start in (np.zeros(n + m), np.abs(M).sum(axis=1)):
            d = feasible(A, start, budget)
            assert np.linalg.eigvalsh(np.diag(d) - M)[0] > 0
            assert (d >= start).all()
            np.testing.assert_array_equal(d, levelled(d, budget))
            tight = tighten(A, ~box, start, budget=budget)
            assert is_feasible(A, tight)
            assert cost(tight, budget) <= cost(d, budget) * (1 + 1e-12)
            value = optimum(M, box, budget)[0]
            assert cost(tight, budget) >= value * (1 - 1e-8)


def test_coinciding_eigenvalues_do_not_break_the_search_for_eigenvectors(monkeypatch):
    eigh = scipy.linalg.eigh

    def fails(S, **options):
        if "subset_by_index" in options:
            raise np.linalg.LinAlgError("Internal Error.")
        return eigh(S, **options)

    monkeypatch.setattr(scipy.linalg, "eigh", fails)
    M = np.diag([3.0, 3.0, 1.0, 3.0])
    vectors = lowest(M, np.full(4, 2.0), 3)
    assert vectors.shape == (4, 3)
    assert np.abs(vectors[2]).max() < 1e-12
    assert np.allclose(vectors.T @ vectors, np.eye(3))


@pytest.mark.parametrize("share", [False, True])
def test_on_a_device_the_diagonals_are_the_same(share, monkeypatch):
    """What is made feasible and what is tightened, dense and as an arrow, with bounds shared and not."""
    monkeypatch.setattr(device, "LARGE", 1)
    A, M = arrow_of(12, 9, np.random.default_rng(8))
    box = np.arange(21) < 6
    budget = np.arange(21) // 2 if share else None
    start = np.where(box, 0.5, -1.0)
    for matrix in (A, M):
        found, expected = (feasible(matrix, start, budget, definite=who) for who in (OnDevice, Definite))
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        found, expected = (
            tighten(matrix, ~box, start, 1e-8, budget=budget, definite=who) for who in (OnDevice, Definite)
        )
        assert is_feasible(M, found)
        assert cost(found, budget) == pytest.approx(cost(expected, budget), rel=1e-7)
