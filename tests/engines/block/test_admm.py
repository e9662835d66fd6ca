"""ADMM: its exact steps against dense algebra, its values against interior point. Few shapes: each compiles."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hr2jax import Network, Status
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.engines.block import admm, eigenspace
from hr2jax.engines.block.admm import admm_form, solve_admm
from hr2jax.engines.block.admm_step import (
    _adjoint,
    _affine_step,
    _project_small,
    _shared,
    build_maps,
    iterate,
    merge_parts,
    take_parts,
)
from hr2jax.engines.block.duals import duals_of, multipliers_of
from hr2jax.engines.block.form import block_form, splits
from hr2jax.engines.block.projection import psd_part
from hr2jax.engines.monitor import Stop
from hr2jax.engines.scale import in_units
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, preset
from hr2jax.relaxation.basis import XI, T
from hr2jax.relaxation.presolve import presolve
from tests.reference.product import solve_product_form

from ...reference.monitor import Monitor

pytestmark = pytest.mark.usefixtures("compiled_quickly")

RELAXATIONS = ("shor", "hr2", "hr2z")
BOTH = pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
ALL = pytest.mark.parametrize("relaxation", RELAXATIONS)
FORMS = [(r, layout, False) for r in RELAXATIONS for layout in ("clique", "product")]
FORMS += [(r, layout, True) for r in ("shor", "hr2") for layout in ("clique", "product")]
LOCAL_FORMS = pytest.mark.parametrize(("relaxation", "layout", "chordal"), FORMS)


def lifting_of(local, seed=0, p=4, m=4):
    """A problem whose neurons are all unstable."""
    rng = np.random.default_rng([seed, p, m])
    net = Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [0.1 * rng.standard_normal(m), [0.0]])
    box = {"center": 0.1 * rng.standard_normal(p), "radius": 1.0} if local else {}
    problem = checked_problem(net, None, "inf", **box)
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
    parts = parts_of(form)
    used = np.zeros((N, N), dtype=bool)
    for part in parts:
        used[np.ix_(part, part)] = True
    free = np.flatnonzero(~((i == j) & form.pinned[i]) & used[i, j])
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
        return np.concatenate([*(Y[np.ix_(p, p)].ravel() for p in parts), *(block.ravel() for block in blocks(Y))])

    A = np.zeros((everything(start).size, columns))
    for column, entry in enumerate(free):
        A[:, column] = everything(basis[entry])
    large = sum(len(p) ** 2 for p in parts)
    row, column = large, len(free)
    constants = []
    for batch in form.batches:
        dense = batch.dense()
        constants.append(dense[:, :, 0].ravel())
        k = 1 + batch.shared.shape[1]
        for n in range(batch.count):
            D = dense.shape[1]
            A[row : row + D, column : column + batch.own] = dense[n, :, k:]
            row, column = row + D, column + batch.own
    constant = everything(start) + np.concatenate([np.zeros(large), *constants])
    target = np.concatenate([T.ravel(), *(t.ravel() for t in T_small)])
    objective = np.array([(form.C * basis[entry]).sum() for entry in free]) / (scale * rho)
    right = A.T @ (target - constant) + np.concatenate([objective, np.zeros(sum(own))])
    x = np.linalg.lstsq(A.T @ A, right, rcond=None)[0]
    value = constant + A @ x
    out, row = [], large
    for batch in form.batches:
        D = batch.dense().shape[1]
        out.append(value[row : row + batch.count * D].reshape(batch.count, D))
        row += batch.count * D
    return start + np.einsum("k,kij->ij", x[: len(free)], basis[free]), out


def parts_of(form):
    """Positions of the parts of M_1."""
    every = np.arange(len(form.C))
    if not form.chordal:
        return [every]
    t, xi = form.lifting.slice(T), form.lifting.slice(XI)
    return [np.delete(every, xi), np.delete(every, t)]


def some_form(relaxation, local, layout="clique", chordal=False, **size):
    return block_form(relaxation, lifting_of(local, **size), layout, chordal)


def check_affine_step(form):
    rng = np.random.default_rng(1)
    scale, rho = 0.7, 0.4
    maps, _ = build_maps(form, scale)
    sides = [len(part) for part in parts_of(form)]
    T = rng.standard_normal((len(sides), sides[0], sides[0]))
    T = (T + T.transpose(0, 2, 1)) / 2
    T_small = [rng.standard_normal(c.shape) for c in maps.constants]
    Y, small = jax.jit(_affine_step)(maps, T, T_small, rho)
    expected, expected_small = dense_step(form, T, T_small, rho, scale)
    np.testing.assert_allclose(Y, expected, atol=1e-10)
    np.testing.assert_allclose(np.diag(np.asarray(Y))[form.pinned], 1.0, atol=1e-14)
    for a, b in zip(small, expected_small, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


@LOCAL_FORMS
def test_the_affine_step_is_the_exact_minimiser(relaxation, layout, chordal):
    check_affine_step(some_form(relaxation, True, layout, chordal, p=3, m=3))


@pytest.mark.parametrize("layout", ["clique", "product"])
@ALL
def test_the_affine_step_of_a_global_problem(relaxation, layout):
    check_affine_step(some_form(relaxation, False, layout, p=3, m=3))


@LOCAL_FORMS
def test_functionals_and_their_adjoint(relaxation, layout, chordal):
    """The structured maps against E Y E^T."""
    rng = np.random.default_rng(4)
    form = some_form(relaxation, True, layout, chordal, p=3, m=5)
    maps, _ = build_maps(form, 1.0)
    E, Y = form.extended(), rng.standard_normal(form.C.shape)
    Y = Y + Y.T
    a, b = maps.pairs.T
    np.testing.assert_allclose(jax.jit(_shared)(maps, Y), (E @ Y @ E.T)[a, b], atol=1e-12)
    psi = rng.standard_normal(len(a))
    dense = np.einsum("j,jk,jl->kl", psi, E[a], E[b])
    np.testing.assert_allclose(jax.jit(_adjoint)(maps, psi), (dense + dense.T) / 2, atol=1e-12)


def test_parts_are_taken_and_merged():
    form = some_form("hr2", True, chordal=True, p=3, m=5)
    maps, _ = build_maps(form, 1.0)
    T = np.random.default_rng(5).standard_normal((2, 9, 9))
    Y = np.asarray(jax.jit(merge_parts)(maps, T))
    parts, copies, total = parts_of(form), np.zeros((12, 12)), np.zeros((12, 12))
    for part, values in zip(parts, T, strict=True):
        copies[np.ix_(part, part)] += 1
        total[np.ix_(part, part)] += values
    np.testing.assert_allclose(Y, total / np.maximum(copies, 1))
    for part, values in zip(parts, np.asarray(jax.jit(take_parts, static_argnums=2)(maps, Y, 2)), strict=True):
        np.testing.assert_array_equal(values, Y[np.ix_(part, part)])


# The projections ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("relaxation", ["hr2", "hr2z"])
def test_every_small_block_is_projected(relaxation):
    rng = np.random.default_rng(3)
    form = block_form(relaxation, lifting_of(local=True))
    maps, shapes = build_maps(form, 1.0)
    given = [rng.standard_normal(c.shape) for c in maps.constants]
    projected = jax.jit(_project_small, static_argnums=1)(given, shapes)
    for before, after, sides in zip(given, projected, shapes, strict=True):
        assert after.shape == before.shape
        start = 0
        for side in sides:
            piece = slice(start, start + side**2)
            A = before[:, piece].reshape(-1, side, side)
            X = np.asarray(after)[:, piece].reshape(-1, side, side)
            np.testing.assert_allclose(X, jax.jit(psd_part)((A + np.swapaxes(A, 1, 2)) / 2), atol=1e-12)
            start += side**2
        assert start == before.shape[1]


@pytest.mark.parametrize(
    ("relaxation", "layout", "chordal", "projection"),
    [
        ("hr2", "product", True, "eigh"), ("hr2", "product", True, "products"),
        *(pytest.param("hr2z", "clique", False, name, marks=pytest.mark.slow) for name in ("eigh", "products")),
    ],
)  # fmt: skip
def test_iterates_stay_psd_and_their_duals_prove_a_bound(relaxation, layout, chordal, projection):
    """X and -U are PSD after any number of iterations (products: up to 1e-5 of the norm); they are complementary."""
    form = some_form(relaxation, True, layout, chordal)
    run = admm.Admm(form, Monitor(form.lifting), 0.1, projection)
    run.begin({})
    state, info, _ = iterate(run.maps, run.state, 0.3, 7, shapes=run.shapes, method=projection)
    X, U = np.asarray(state.X), np.asarray(state.U)
    loose = 1e-12 if projection == "eigh" else 1e-5 * np.abs(np.linalg.eigvalsh(X)).max()
    assert np.linalg.eigvalsh(X).min() >= -loose
    assert np.linalg.eigvalsh(-U).min() >= -loose
    assert abs((X * U).sum()) <= 1e-10 + loose**2 * X.size
    assert np.isfinite(np.asarray(info)).all()
    assert all((values >= 0).all() for values in multipliers_of(form, [-np.asarray(u) for u in state.U_small]).values())


# The engine ---------------------------------------------------------------------------------------------


def check_value(form, value, **options):
    monitor = Monitor(form.lifting, 1e-3)
    assert solve_admm(form, monitor, **options) is Status.SOLVED
    assert value * (1 - 1e-7) <= monitor.best <= value * (1 + 1e-3)
    assert monitor.values[-1] == pytest.approx(in_units(value, form.lifting), rel=2e-3)


@pytest.mark.parametrize(
    ("relaxation", "local"),
    [
        ("shor", False), ("hr2z", True),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (
            ("hr2", False), ("hr2z", False), ("shor", True), ("hr2", True),
        )),
    ],
)  # fmt: skip
def test_it_reaches_the_interior_point_value(relaxation, local):
    """In both layouts, with M_1 split or not."""
    forms = [("clique", False), ("product", False)]
    if local and relaxation != "hr2z":
        forms += [("clique", True), ("product", True)]
    for seed in range(2):
        lifting = lifting_of(local, seed)
        value = solve_product_form(lifting, preset(relaxation, lifting))[0]
        for layout, chordal in forms:
            check_value(block_form(relaxation, lifting, layout, chordal), value)


def test_products_reach_the_same_value():
    lifting = lifting_of(True)
    value = solve_product_form(lifting, preset("hr2", lifting))[0]
    check_value(admm_form("hr2", lifting), value, projection="products")


def test_float32_steers_to_the_same_value(monkeypatch):
    monkeypatch.setattr(admm, "SMALL", 0)
    used = []
    use = admm.Admm.use
    monkeypatch.setattr(admm.Admm, "use", lambda run, dtype: (used.append(np.dtype(dtype).name), use(run, dtype)))
    lifting = lifting_of(True)
    form = admm_form("hr2", lifting)
    value = solve_product_form(lifting, preset("hr2", lifting))[0]
    for projection in ("eigh", "products"):
        used.clear()
        monitor = Monitor(lifting, 1e-6, iterations=4000)
        assert solve_admm(form, monitor, projection=projection) is Status.SOLVED
        assert used == ["float32", "float64"]
        assert monitor.best == pytest.approx(value, rel=1e-6)


def follow_early(monkeypatch):
    """Small matrices are followed too, from the first look; returns what the looks have found to do."""
    monkeypatch.setattr(admm, "EARNED", 0.0)
    monkeypatch.setattr(eigenspace, "STEP", 4)
    monkeypatch.setattr(eigenspace, "SHARE", 0.7)
    seen = []
    follow = admm.Admm.follow

    def watched(run, wholes):
        follow(run, wholes)
        run.look_after = 0
        seen.append((wholes, [space.V.shape[1] for space in run.state.spaces]))

    monkeypatch.setattr(admm.Admm, "follow", watched)
    return seen


@pytest.mark.parametrize(
    ("relaxation", "local", "small"),
    [
        ("shor", False, 0),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (
            ("shor", False, 400), ("hr2z", True, 0), ("hr2z", True, 400), ("hr2", True, 0), ("hr2", True, 400),
        )),
    ],
)  # fmt: skip
def test_a_followed_eigenspace_reaches_the_same_value(relaxation, local, small, monkeypatch):
    """In float64 and from float32 on, M_1 whole and split; and most iterations did without a whole projection."""
    seen = follow_early(monkeypatch)
    monkeypatch.setattr(admm, "SMALL", small)
    lifting = lifting_of(local, p=16, m=16)
    value = solve_product_form(lifting, preset(relaxation, lifting))[0]
    form = admm_form(relaxation, lifting)
    monitor = Monitor(lifting, 1e-6, iterations=20000)
    assert solve_admm(form, monitor) is Status.SOLVED
    assert value * (1 - 1e-7) <= monitor.best <= value * (1 + 1e-6)
    followed = [wholes[k] for (_, before), (wholes, _) in itertools.pairwise(seen)
                for k, columns in enumerate(before) if columns]  # fmt: skip
    assert len(followed) >= 2
    assert np.mean(followed) <= 0.2


@pytest.mark.slow
def test_iterations_that_follow_are_those_that_do_not(monkeypatch):
    follow_early(monkeypatch)
    form = admm_form("hr2z", lifting_of(True, p=16, m=16))
    states = []
    for share in (0.7, 0.0):
        monkeypatch.setattr(eigenspace, "SHARE", share)
        run = admm.Admm(form, Monitor(form.lifting), 1.0)
        with jax.enable_x64(True):
            run.begin({})
            for _ in range(10):
                run.advance(admm.LOOK_EVERY)
        states.append(run.state)
        assert bool(run.state.spaces[0].V.shape[1]) == (share > 0)
    np.testing.assert_allclose(states[0].X, states[1].X, atol=2e-2 * float(np.abs(states[1].X).max()))


@pytest.mark.slow
def test_an_eigenspace_that_is_lost_is_no_loss(monkeypatch):
    """Vectors that have nothing to do with the matrix: it is projected whole, and they are looked for anew."""
    seen = follow_early(monkeypatch)
    form = admm_form("hr2z", lifting_of(True, p=16, m=16))
    run = admm.Admm(form, Monitor(form.lifting), 1.0)
    with jax.enable_x64(True):
        run.begin({})
        for _ in range(3):
            run.advance(admm.LOOK_EVERY)
        columns = run.state.spaces[0].V.shape[1]
        assert columns > 0
        wrong = run.state.spaces[0]._replace(V=jnp.full((len(form.C), columns), jnp.nan))
        run.state = run.state._replace(spaces=(wrong,))
        run.advance(admm.LOOK_EVERY)
        assert seen[-1][0].tolist() == [1.0]
        run.advance(admm.LOOK_EVERY)
    assert seen[-1][0][0] < 0.5
    assert np.isfinite(np.asarray(run.state.X)).all()


# Layouts ------------------------------------------------------------------------------------------------


def test_the_layout_that_admm_takes():
    assert not splits(some_form("shor", False, "product"))
    assert not splits(some_form("hr2z", True, "product"))
    for relaxation, local, chordal in (("hr2", True, True), ("shor", True, True), ("hr2z", True, False)):
        form = admm_form(relaxation, lifting_of(local))
        assert (form.layout, form.chordal) == ("product", chordal)
        assert all(block.index.shape[:2] == (1, 1) for batch in form.batches for block in batch.blocks)
        assert form.pinned.tolist() == form.lifting.square_is_one.tolist()
    assert admm_form("lasserre2", lifting_of(True, p=2, m=2)).layout == "clique"


def test_what_has_no_such_form_is_refused():
    with pytest.raises(ValueError, match="no product layout"):
        some_form("lasserre2", True, "product", p=2, m=2)
    for relaxation, local in (("hr2z", True), ("hr2", False)):
        with pytest.raises(ValueError, match="no chordal form"):
            some_form(relaxation, local, "product", True)


@LOCAL_FORMS
def test_multipliers_and_dual_matrices_are_inverse(relaxation, layout, chordal):
    form = some_form(relaxation, True, layout, chordal)
    rng = np.random.default_rng(6)
    given = {family.name: rng.random(family.shape) for family in preset(relaxation, form.lifting)}
    found = multipliers_of(form, duals_of(form, given))
    assert found.keys() == given.keys()
    for name, values in given.items():
        np.testing.assert_allclose(found[name], values, atol=1e-10)


@pytest.mark.parametrize("layout", ["clique", "product"])
def test_the_split_duals_add_up_to_the_full_one(layout):
    """Diag(d) - M is the sum of the parts' dual matrices, each PSD: so is it, without any repair."""
    lifting = lifting_of(True)
    form = block_form("hr2", lifting, layout, chordal=True)
    monitor = Monitor(lifting, 1e-7)
    run = admm.Admm(form, monitor, 0.1)
    run.begin({})
    run.state, *_ = iterate(run.maps, run.state, run.rho, 4000, shapes=run.shapes)
    unit = -run.rho * run.scale
    multipliers = multipliers_of(form, [unit * np.asarray(U) for U in run.state.U_small])
    M = lagrangian_matrix(lifting, multipliers).mid
    d = np.diag(M) + unit * run.dual_diagonal()
    S = np.zeros_like(M)
    for part, U in zip(parts_of(form), np.asarray(run.state.U), strict=True):
        assert np.linalg.eigvalsh(unit * U)[0] >= -1e-10
        S[np.ix_(part, part)] += unit * U
    np.testing.assert_allclose(np.diag(d) - M, S, atol=1e-6)
    value = solve_product_form(lifting, preset("hr2", lifting))[0]
    assert d.sum() == pytest.approx(value, rel=1e-5)
    assert run.offer() == pytest.approx(in_units(value, lifting), rel=1e-6)


def test_a_warm_start_is_split_into_psd_parts():
    form = some_form("hr2", True, "product", True)
    run = admm.Admm(form, Monitor(form.lifting), 1.0)
    A = np.random.default_rng(7).standard_normal((13, 26))
    S = A @ A.T
    S[form.lifting.slice(T), form.lifting.slice(XI)] = S[form.lifting.slice(XI), form.lifting.slice(T)] = 0
    S += np.diag(np.maximum(0.1 - np.linalg.eigvalsh(S)[0], 0) * np.ones(13))
    total = np.zeros_like(S)
    for part, values in zip(parts_of(form), run.split(S), strict=True):
        assert np.linalg.eigvalsh(values)[0] >= -1e-10
        total[np.ix_(part, part)] += values
    np.testing.assert_allclose(total, S, atol=1e-10)


# How it runs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("relaxation", "local"), [("hr2", False), ("hr2", True), ("hr2z", True)])
def test_a_warm_start_takes_fewer_iterations(relaxation, local):
    before = after = 0
    for seed in range(6):
        lifting = lifting_of(local, seed)
        form = admm_form(relaxation, lifting)
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
    def broken(maps, state, rho, count, *, shapes, method):
        return state, np.full(4, np.nan), np.zeros(1, int)

    monkeypatch.setattr(admm, "iterate", broken)
    lifting = lifting_of(local=True)
    assert solve_admm(block_form("hr2", lifting), Monitor(lifting)) is Status.NUMERICAL_ERROR


def test_a_change_of_the_penalty_keeps_the_dual_matrices():
    lifting = lifting_of(local=True)
    run = admm.Admm(block_form("hr2", lifting), Monitor(lifting), 1.0)
    run.begin({})
    run.state, *_ = iterate(run.maps, run.state, run.rho, 5, shapes=run.shapes)
    dual = run.rho * np.asarray(run.state.U)
    for primal, cost, direction in ((1.0, 0.1, 1), (0.1, 1.0, -1), (1.0, 1.0, 0), (1.0, 0.0, 1), (1.0, -1.0, 1)):
        rho = run.rho
        run.balance((primal, 1.0), (cost, 1.0))
        assert np.sign(run.rho - rho) == direction
        assert rho / 2 <= run.rho <= 2 * rho
        np.testing.assert_allclose(run.rho * np.asarray(run.state.U), dual, rtol=1e-12)


def test_a_side_that_has_converged_is_not_asked_for_more():
    """Costs that no penalty changes (a bound's radii) must not drive it to 0 or infinity."""
    lifting = lifting_of(local=True)
    run = admm.Admm(block_form("hr2", lifting), Monitor(lifting), 1.0)
    run.begin({})
    rho = run.rho
    run.balance((1e-9, 1.0), (1.0, 0.05))
    run.balance((1.0, 0.05), (1e-9, 1.0))
    assert run.rho == rho


def test_nothing_to_maximise_ends_at_once():
    """An objective whose midpoint is zero: any iteration would work on rounding errors."""
    lifting = lifting_of(local=True)
    form = dataclasses.replace(admm_form("hr2", lifting), C=np.zeros((lifting.size, lifting.size)))
    monitor = Monitor(lifting, prove=1e-17)
    assert solve_admm(form, monitor) is Status.STALLED
    assert monitor.reports == [0]
    assert len(monitor.offered) == 1


def test_an_objective_as_small_as_its_radii_ends_soon():
    """The bound cannot come near the optimum, whatever the multipliers: converged is enough."""
    lifting = lifting_of(local=True)
    monitor = Monitor(lifting, prove=1.0)
    assert solve_admm(admm_form("hr2", lifting), monitor) is Status.STALLED
    assert monitor.reports[-1] < 3000


def test_what_it_certifies_is_the_products_of_its_dual_matrices():
    """The bound that the multipliers prove is the dual's value: nothing is lost on the way to product form."""
    lifting = lifting_of(local=True)
    for relaxation in ("hr2", "hr2z"):
        monitor = Monitor(lifting, 1e-6)
        assert solve_admm(admm_form(relaxation, lifting), monitor) is Status.SOLVED
        multipliers, d, bound = monitor.offered[-1]
        M = lagrangian_matrix(lifting, multipliers).mid
        assert np.linalg.eigvalsh(np.diag(d) - M)[0] >= -1e-9
        value = solve_product_form(lifting, preset(relaxation, lifting))[0]
        assert value * (1 - 1e-7) <= bound <= value * (1 + 1e-6)


def test_stop_carries_its_status():
    assert Stop(Status.TIME_LIMIT).status is Status.TIME_LIMIT
    assert str(Stop(Status.TIME_LIMIT)) == "TIME_LIMIT"
