"""The structured Lagrangian matrix: the same numbers as the dense one, and a proof as sound."""

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax.arithmetic import enclosure
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure, pieces
from hr2jax.arithmetic.midpoint import Middle
from hr2jax.certificate import bound as proof
from hr2jax.certificate.bound import Factor, dual_bound, residual_row_sums
from hr2jax.certificate.form import QuadraticForm
from hr2jax.certificate.lagrangian import kept_rows, lagrangian_matrix
from hr2jax.certificate.prover import prove
from hr2jax.linalg import arrow
from hr2jax.linalg.arrow import PIECE, Arrow, ArrowEnclosure
from hr2jax.linalg.definite import Definite
from hr2jax.linalg.diagonal import feasible, is_feasible, lowest, tighten
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation.basis import V1, XI, T
from hr2jax.relaxation.families import catalogue
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import presolve
from tests.reference.effort import examples

from ..reference.proofs import available, exact_constant, rational

ULP = 2.0**-52
KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])
RELAXATIONS = ("shor", "hr2", "hr2z")


@pytest.fixture
def small_pieces(monkeypatch):
    """Every large product in several pieces."""
    monkeypatch.setattr(arrow, "PIECE", 7)
    monkeypatch.setattr(proof, "PIECE", 7)
    monkeypatch.setattr(enclosure, "IN_CACHE", 7)
    monkeypatch.setattr(arrow, "LONG_PIECE", 9)
    monkeypatch.setattr(proof, "LONG_PIECE", 9)


def case(p, m, local, kind=Enclosure, seed=0):
    rng = np.random.default_rng(seed)
    net = Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [0.1 * rng.standard_normal(m), [0.0]])
    box = {"center": 0.1 * rng.standard_normal(p), "radius": 1.0} if local else {}
    problem = checked_problem(net, None, "inf", **box)
    return net, problem, lift(net, problem, presolve(net, problem, kind), kind)


def some_multipliers(lifting, names, rng):
    return {name: 0.1 * rng.random(catalogue(lifting)[name].shape) for name in names}


def names_of(relaxation, lifting):
    from hr2jax.relaxation.families import preset

    return [family.name for family in preset(relaxation, lifting)]


def random_arrow(rng, n, m):
    order = rng.permutation(n + m)
    block = rng.standard_normal((m, m))
    return Arrow(
        np.sort(order[:n]), np.sort(order[n:]), rng.standard_normal(n), rng.standard_normal((n, m)), block + block.T
    )


SHAPES = pytest.mark.parametrize(("n", "m"), [(0, 4), (1, 1), (5, 3), (3, 8), (30, 1)])


@SHAPES
@pytest.mark.usefixtures("small_pieces")
def test_an_arrow_is_its_dense_matrix(n, m):
    rng = np.random.default_rng(0)
    A = random_arrow(rng, n, m)
    M = A.dense()
    V = rng.standard_normal((n + m, 3))
    assert np.array_equal(M, M.T)
    assert A.size == n + m
    assert np.allclose(A @ V, M @ V)
    assert np.allclose(A @ V[:, 0], M @ V[:, 0])
    assert np.allclose(A.row_sums(), np.abs(M).sum(axis=1))
    assert np.array_equal(A.diag(), np.diag(M))
    assert A.largest() == np.abs(M).max()
    assert A.is_finite()
    d = np.abs(M).sum(axis=1) + 1.0
    root, K, C = A.eliminate(d[A.eliminated] - A.diagonal)
    L = np.zeros((n + m, n + m))
    L[A.eliminated, A.eliminated] = root
    L[np.ix_(A.kept, A.eliminated)] = K.T
    L[np.ix_(A.kept, A.kept)] = np.linalg.cholesky(np.diag(d[A.kept]) - C)
    assert np.allclose(L @ L.T, np.diag(d) - M)


def test_pieces_cover_all_rows_once():
    for rows, columns in ((0, 5), (1, 0), (10, 2**19), (5, 2**30), (100, 2**14)):
        covered = [i for c in pieces((rows, columns), PIECE) for i in range(rows)[c]]
        assert covered == list(range(rows))


# Which rows are eliminated ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("relaxation", "local", "p", "m", "expected"),
    [
        ("shor", False, 5, 3, {T}),
        ("shor", False, 3, 5, {V1}),
        ("hr2", False, 3, 5, {V1}),
        ("hr2", True, 5, 3, {T, XI}),  # t and xi meet v only
        ("hr2", True, 2, 7, {V1}),
        ("hr2z", True, 2, 7, {V1}),  # z^2 couples xi with itself, the cliques xi with t
        ("hr2z", True, 7, 2, {T}),
    ],
)
def test_what_is_eliminated_is_as_much_as_can_be(relaxation, local, p, m, expected):
    _, _, lifting = case(p, m, local)
    rng = np.random.default_rng(0)
    multipliers = some_multipliers(lifting, names_of(relaxation, lifting), rng)
    M = lagrangian_matrix(lifting, multipliers)
    assert kept_rows(lifting, multipliers) == kept_rows(lifting, multipliers, Middle) == len(M.kept)
    where = np.concatenate([np.arange(lifting.size)[lifting.slice(g)] for g in lifting.sizes if g in expected])
    assert np.array_equal(M.eliminated, where)
    assert np.array_equal(np.sort(np.concatenate([M.eliminated, M.kept])), np.arange(lifting.size))


@KINDS
def test_a_product_within_a_group_keeps_it_and_a_square_does_not(kind):
    _, _, lifting = case(3, 5, False, kind)
    for rows, columns, expected in (([0, 2], [1, 2], (T,)), ([0, 2], [0, 2], (V1,))):
        form = QuadraticForm(lifting, kind)
        form.add(V1, T, slice(None), slice(None), lifting.objective_v)
        form.add(V1, V1, np.array(rows), np.array(columns), kind(np.array([3.0, 5.0])))
        assert form.eliminable() == expected
        M = form.matrix()
        assert M.mid[1:6, 1:6].sum() == 8.0
        assert np.array_equal(M.mid, form.matrix(eliminate=False).mid)


@KINDS
@pytest.mark.parametrize("local", [False, True])
@settings(max_examples=examples(40), deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_the_arrow_is_the_matrix_that_keeps_every_row(kind, local, data, seed):
    """Any subset of the families, midpoints to rounding and each within the other's radius."""
    rng = np.random.default_rng(seed)
    p, m = rng.integers(1, 5, 2)
    _, _, lifting = case(p, m, local, kind, seed)
    families = sorted(family.name for family in available(lifting))
    multipliers = some_multipliers(lifting, data.draw(st.sets(st.sampled_from(families))), rng)
    M = lagrangian_matrix(lifting, multipliers, kind)
    full = lagrangian_matrix(lifting, multipliers | {"sos.none": np.zeros(0)}, kind)
    assert len(full.kept) == lifting.size
    assert len(M.kept) < lifting.size
    assert (np.abs(M.mid - full.mid) <= M.rad + full.rad + 1e-300).all()
    assert np.array_equal(M.dense().mid, M.dense().mid.T)


# The proof ----------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_block_by_block_the_proof_is_the_dense_one(relaxation, local, kind):
    rng = np.random.default_rng(1)
    for p, m in ((4, 7), (7, 4), (1, 1), (1, 5)) if kind is Enclosure else ((2, 4), (4, 2)):
        _, _, lifting = case(p, m, local, kind)
        M = lagrangian_matrix(lifting, some_multipliers(lifting, names_of(relaxation, lifting), rng), kind)
        shift = max(np.linalg.eigvalsh(M.mid)[-1], 0.0) + 1e-3
        assert dual_bound(lifting, M, None, kind) == pytest.approx(dual_bound(lifting, M.dense(), None, kind))
        for d in (np.full(lifting.size, shift), shift * rng.uniform(1.0, 2.0, lifting.size)):
            arrowed, dense = dual_bound(lifting, M, d, kind), dual_bound(lifting, M.dense(), d, kind)
            assert arrowed == pytest.approx(dense, rel=1e-12)
            assert arrowed <= d.sum() * 2.0**lifting.exponent * (1 + 1e-12)


def badly_scaled(rng, kind):
    """An arrow with radii, a diagonal and a factor that has little to do with them, entries from 1e-9 to 1e9."""

    def values(*shape):
        return rng.standard_normal(shape) * 10.0 ** rng.integers(-9, 10, shape)

    n, m = rng.integers(0, 5), rng.integers(1, 5)
    positions = rng.permutation(n + m)
    block = values(m, m)
    M = ArrowEnclosure(
        np.sort(positions[:n]), np.sort(positions[n:]), kind(values(n), np.abs(values(n))),
        kind(values(n, m), np.abs(values(n, m)) * rng.integers(0, 2, (n, m))), kind(block + block.T),
    )  # fmt: skip
    L = Factor(values(n), values(n, m), np.tril(values(m, m)))
    if rng.random() < 0.7:  # one that fits, so that what is left is small
        root = np.abs(L.root)
        M = ArrowEnclosure(M.eliminated, M.kept, M.diagonal, kind(-root[:, None] * L.coupling), M.block)
        L = Factor(root, L.coupling, L.block)
    return M, values(n + m), L


def exact_row_sums(M, d, L):
    """sum_j max |Diag(d) - M - L L^T|_ij over the members of M, in rational arithmetic."""
    N, E, R = M.size, M.eliminated, M.kept
    factor, middle, radius = np.zeros((N, N)), M.dense().mid, M.dense().rad
    factor[E, E] = L.root
    factor[np.ix_(R, E)] = L.coupling.T
    factor[np.ix_(R, R)] = L.block
    S = rational(np.diag(d)) - rational(middle) - rational(factor) @ rational(factor).T
    return (abs(S) + rational(radius)).sum(axis=1)


def check_row_sums(kind=Enclosure, trials=60):
    for seed in range(trials):
        M, d, L = badly_scaled(np.random.default_rng(seed), kind)
        found, exact = residual_row_sums(M, d, L, kind).upper(), exact_row_sums(M, d, L)
        size = max(1.0, *(float(np.abs(part).max(initial=0.0)) for part in (L.root, L.coupling, L.block)))
        for value, truth in zip(found, exact, strict=True):
            assert truth <= Fraction(float(value)) <= truth + Fraction(1e-12) * Fraction(size) ** 2 + 1


@KINDS
@pytest.mark.usefixtures("small_pieces")
def test_row_sums_of_the_residual_are_bounds_of_the_exact_ones(kind):
    check_row_sums(kind, 60 if kind is Enclosure else 20)


BLOCKWISE = ("own_residual", "coupling_residual", "kept_residual")


@pytest.mark.parametrize("name", BLOCKWISE)
def test_planted_fault_of_a_block_left_out_of_the_residual_is_caught(name, monkeypatch):
    right = getattr(proof, name)
    monkeypatch.setattr(proof, name, lambda *args: Enclosure(0.0 * right(*args).mid))
    with pytest.raises(AssertionError):
        check_row_sums()


@pytest.mark.parametrize("name", BLOCKWISE)
def test_planted_fault_of_a_block_without_ms_radius_is_caught(name, monkeypatch):
    right = getattr(proof, name)

    def blind(M, *args):
        exact = [Enclosure(part.mid) for part in (M.diagonal, M.coupling, M.block)]
        return right(ArrowEnclosure(M.eliminated, M.kept, *exact), *args)

    def with_radii(seed):
        M, d, L = badly_scaled(np.random.default_rng(seed), Enclosure)
        block = Enclosure(M.block.mid, np.full(M.block.shape, 1e9))
        coupling = Enclosure(M.coupling.mid, np.full(M.coupling.shape, 1e9))
        return ArrowEnclosure(M.eliminated, M.kept, M.diagonal, coupling, block), d, L

    def check():
        for seed in range(20):
            M, d, L = with_radii(seed)
            found, exact = residual_row_sums(M, d, L, Enclosure).upper(), exact_row_sums(M, d, L)
            assert all(truth <= Fraction(float(value)) for value, truth in zip(found, exact, strict=True))

    check()
    monkeypatch.setattr(proof, name, blind)
    with pytest.raises(AssertionError):
        check()


def check_dust():
    """Sums of one 1 and 1999 terms of 0.4 ulp, which a running float64 sum does not notice."""
    dust = np.full((2000, 2), 0.4 * ULP)
    dust[0] = 1.0
    zero, none = np.zeros(2000), np.zeros((2, 2))
    E, R, d = np.arange(2000), np.arange(2000, 2002), np.zeros(2002)
    exact = 1 + 1999 * Fraction(0.4 * ULP)
    M = ArrowEnclosure(E, R, Enclosure(zero), Enclosure(dust), Enclosure(none))
    assert all(Fraction(float(e)) >= exact for e in residual_row_sums(M, d, None, Enclosure).upper()[R])
    root = np.sqrt(dust)
    exact = 2 * sum(Fraction(float(x)) ** 2 for x in root[:, 0])
    M = ArrowEnclosure(E, R, Enclosure(zero), Enclosure(np.zeros((2000, 2))), Enclosure(none))
    L = Factor(zero, root, none)
    assert all(Fraction(float(e)) >= exact for e in residual_row_sums(M, d, L, Enclosure).upper()[R])


@pytest.mark.parametrize("operation", ["gram", "__mul__", "__sub__", "sum"])
def test_planted_fault_of_rounding_terms_dropped_in_the_residual_is_caught(operation, monkeypatch):
    check_dust()
    right = getattr(Enclosure, operation)
    monkeypatch.setattr(Enclosure, operation, lambda *args, **kwargs: Enclosure(right(*args, **kwargs).mid))
    with pytest.raises(AssertionError):
        check_row_sums()
        check_dust()


def check_forgetful_factor():
    """A factor without the coupling of v with t proves nothing but the norm-product bound."""
    net, problem, lifting = case(3, 5, False)
    M = lagrangian_matrix(lifting, {})
    d = np.full(lifting.size, 1e-3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            proof, "_factor",
            lambda d, A, _: (
                d, Factor(np.sqrt(d[A.eliminated]), np.zeros(A.coupling.shape), np.eye(len(A.kept)) * 0.03)
            ),
        )  # fmt: skip
        assert Fraction(dual_bound(lifting, M, d)) >= exact_constant(net, problem, np.random.default_rng(0))


def test_planted_fault_of_a_forgotten_coupling_gives_a_false_bound(monkeypatch):
    check_forgetful_factor()
    right = proof.coupling_residual
    # without L it is the norm-product bound that would be false as well: the fault is in the proof with L only
    monkeypatch.setattr(
        proof, "coupling_residual",
        lambda M, L, *rest: right(M, L, *rest) if L is None else Enclosure(0.0 * right(M, L, *rest).mid),
    )  # fmt: skip
    with pytest.raises(AssertionError):
        check_forgetful_factor()


GARBAGE = {
    "zeros": lambda x: 0.0 * x,
    "noise": lambda x: np.random.default_rng(0).standard_normal(x.shape),
    "huge": lambda x: 1e150 * np.random.default_rng(0).standard_normal(x.shape),
    "NaN": lambda x: np.full_like(x, np.nan),
    "infinite": lambda x: np.full_like(x, np.inf),
    "negative": lambda x: -x,
    "too small": lambda x: 0.5 * x,
}


@KINDS
@pytest.mark.parametrize("part", ["root", "coupling", "block"])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_no_part_of_the_factor_is_trusted(garbage, part, kind, monkeypatch):
    original = proof._cholesky

    def faulty(d, M):
        L = original(d, M)
        parts = {name: getattr(L, name) for name in ("root", "coupling", "block")}
        return Factor(**(parts | {part: GARBAGE[garbage](parts[part])}))

    monkeypatch.setattr(proof, "_cholesky", faulty)
    rng = np.random.default_rng(2)
    for p, m, local in ((2, 4, False), (4, 2, False), (2, 3, True)):
        net, problem, lifting = case(p, m, local, kind)
        truth = exact_constant(net, problem, rng)
        M = lagrangian_matrix(lifting, {}, kind)
        shift = np.linalg.eigvalsh(M.mid)[-1]
        for d in (np.full(lifting.size, 1.001 * shift), np.full(lifting.size, 0.5 * shift)):
            with np.errstate(all="ignore"):
                bound = dual_bound(lifting, M, d, kind)
            assert Fraction(bound) >= truth


# The diagonal -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_pieces")
@SHAPES
@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-150, 1.0, 1e150])
def test_any_arrow_and_any_start_is_made_feasible(n, m, scale):
    rng = np.random.default_rng(n)
    A = random_arrow(rng, n, m)
    A = Arrow(A.eliminated, A.kept, scale * A.diagonal, scale * A.coupling, scale * A.block)
    for start in (0.0, 1.0, -1.0, 1e-300, -1e150):
        d0 = np.full(n + m, start)
        d = feasible(A, d0)
        assert is_feasible(A, d)
        assert (d >= d0).all()
        slack = 1e-12 * (np.abs(d).max() + A.largest())
        assert is_feasible(A.dense(), d + slack)


def test_a_feasible_diagonal_of_an_arrow_is_returned_as_it_is():
    A = random_arrow(np.random.default_rng(3), 6, 4)
    d = A.row_sums() + 1.0
    assert feasible(A, d) is d


def test_correcting_the_kept_rows_costs_no_more_than_a_uniform_shift():
    """Near a diagonal that rows of norm 1 make stationary, as an engine's is."""
    rng = np.random.default_rng(4)
    _, _, lifting = case(30, 50, False)
    M = lagrangian_matrix(lifting, {}).middle()
    dense = M.dense()
    best = tighten(M, np.ones(M.size, dtype=bool), M.row_sums())
    for size in (1e-2, 1e-4):
        d = best * (1 - size * rng.random(M.size))
        shift = -np.linalg.eigvalsh(np.diag(d) - dense)[0]
        assert feasible(M, d).sum() - d.sum() <= 1.5 * M.size * shift


def test_tighten_is_the_same_for_an_arrow_and_its_dense_matrix():
    _, _, lifting = case(9, 14, True)
    M = lagrangian_matrix(lifting, {"v.z/1": np.full(lifting.sizes[V1], 0.2)}).middle()
    d = M.row_sums()
    np.testing.assert_allclose(
        tighten(M, lifting.square_is_one, d), tighten(M.dense(), lifting.square_is_one, d), rtol=1e-9
    )


def test_above_newtons_size_the_kept_rows_are_tightened(monkeypatch):
    _, _, lifting = case(9, 25, False)
    M = lagrangian_matrix(lifting, {}).middle()
    full = tighten(M, lifting.square_is_one, M.row_sums(), tolerance=1e-8)
    start = full * 1.01
    monkeypatch.setattr(Definite, "NEWTON", 20)
    for reachable in (None, float(full.sum())):
        part = tighten(M, lifting.square_is_one, start, tolerance=1e-6, reachable=reachable)
        assert is_feasible(M, part)
        assert full.sum() * (1 - 1e-6) <= part.sum() < start.sum()
        assert np.array_equal(part[M.eliminated], start[M.eliminated])
    monkeypatch.setattr(Definite, "NEWTON", 5)  # too many kept rows as well
    assert is_feasible(M, tighten(M, lifting.square_is_one, 0.9 * full))


@pytest.mark.parametrize("limit", [10**9, 60])
def test_lowest_directions_are_directions_of_descent(limit, monkeypatch):
    monkeypatch.setattr(Definite, "LANCZOS", limit)
    rng = np.random.default_rng(5)
    A = random_arrow(rng, 90, 70)
    d = A.row_sums()
    d[A.kept] *= 0.3
    S = np.diag(d) - A.dense()
    for M in (A, A.dense()):
        vectors = lowest(M, d, 5)
        assert vectors.shape[0] == len(S)
        assert 1 <= vectors.shape[1] <= 5
        assert np.allclose(np.linalg.norm(vectors, axis=0), 1.0)
        assert (vectors[:, 0] @ S @ vectors[:, 0] < 0) == (np.linalg.eigvalsh(S)[0] < 0)
    assert lowest(A, d, 500).shape == (160, 70)
    assert is_feasible(A, feasible(A, d))


# The whole way -------------------------------------------------------------------------------------------


def test_nothing_of_size_n_by_n_is_formed(monkeypatch):
    monkeypatch.setattr(Definite, "NEWTON", 1000)
    rng = np.random.default_rng(6)
    net = Network([rng.standard_normal((1500, 20)), rng.standard_normal((1, 1500))], [np.zeros(1500), [0.0]])
    problem = checked_problem(net)
    fixed = presolve(net, problem)
    lifting = lift(net, problem, fixed)
    multipliers = some_multipliers(lifting, names_of("hr2", lifting), rng)
    tracemalloc.start()
    try:
        middle = lagrangian_matrix(lifting, multipliers).middle()
        d = tighten(middle, lifting.square_is_one, 0.3 * middle.row_sums(), tolerance=1e-2)
        tracemalloc.reset_peak()
        bound = prove(net, problem, fixed.layout(), multipliers, 0.9 * d)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.isfinite(bound)
    assert peak < 0.5 * 8 * lifting.size**2


def test_a_solve_whose_diagonal_newtons_method_may_not_touch_as_a_whole(monkeypatch):
    """What solves of more than NEWTON rows do, at a small size."""
    net, _, _ = case(9, 25, False)
    known = {name: hr2jax.solve(net, relaxation=name, tol=1e-4).bound for name in ("shor", "hr2")}
    monkeypatch.setattr(Definite, "NEWTON", 20)
    for name, bound in known.items():
        result = hr2jax.solve(net, relaxation=name, tol=1e-2)
        assert result.status is hr2jax.Status.SOLVED
        assert bound * (1 - 1e-4) <= result.bound <= bound * (1 + 1e-2)
        assert result.certificate.verify(net) == result.bound
