"""The low-rank engine: its arrays against dense algebra, its values against an interior-point solver."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hr2jax import Status
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.engines.product import device, lowrank
from hr2jax.engines.product.arrays import Factored, padded, row_scale, typical_squares
from hr2jax.engines.product.carried import LONGEST
from hr2jax.engines.product.finish import Finishing, finish
from hr2jax.engines.product.lagrangian import (
    augmented_lagrangian,
    joined,
    objective_at,
    parts_of,
    products_at,
    rows_of,
    table_of,
)
from hr2jax.engines.product.lowrank import solve_lowrank
from hr2jax.engines.product.program import extended_rows
from hr2jax.engines.product.schedule import Schedule
from hr2jax.engines.product.steering import SETTLING, Run
from hr2jax.engines.product.triangle_cuts import Pool
from hr2jax.engines.scale import in_units, mean_diagonal, unit_rows
from hr2jax.relaxation import Family, preset
from hr2jax.relaxation.basis import ONE, V1, XI, T
from hr2jax.relaxation.forms import entries
from tests.reference.product import dense_form, objective, product_rows, solve_product_form

from ...reference.monitor import Monitor, lifting_of

RELAXATIONS = ("shor", "hr2", "hr2z")
BOTH = pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
ALL = pytest.mark.parametrize("relaxation", RELAXATIONS)


# The arrays ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "size"), [(0, 8), (1, 8), (8, 8), (9, 16), (64, 64), (65, 96), (512, 512), (513, 576)])
def test_padding(n, size):
    assert padded(n) == size


def test_padding_never_falls_and_wastes_little():
    sizes = [padded(n) for n in range(1, 3000)]
    assert sizes == sorted(sizes)
    assert all(n <= size <= 1.5 * n or size <= n + 8 for n, size in enumerate(sizes, start=1))


def padded_factor(factored, V):
    """V (N, r) among the padded rows, the padding filled with noise."""
    out = np.random.default_rng(9).standard_normal((factored.size, V.shape[1]))
    out[factored.rows] = V
    return out


def value_and_products(factored, scale, V):
    """The engine's objective and products at the padded rows of V, in float64."""
    with jax.enable_x64(True):
        data, rows = factored.data(scale, np.float64), jnp.asarray(padded_factor(factored, V))

        @jax.jit
        def both(data, rows):
            y = extended_rows(factored.spec, data, rows, jnp)
            found = products_at(factored.spec, data, table_of(factored.spec, data), rows, y)
            return objective_at(factored.spec, data, y), parts_of(factored.spec, data).split(found)

        return both(data, rows)


def families_of(lifting, relaxation):
    """The preset's, and one family of all pairs of unlike numbers of rows (none of the presets has one)."""
    one = entries(ONE, np.zeros(3, dtype=np.int64))
    some = one + entries(V1, np.array([0, 2, 1]), np.array([0.5, -1.0, 0.25]))
    every = entries(T, np.arange(lifting.sizes[T]), -1.0)
    return [*preset(relaxation, lifting), Family("pairs", 1, some, every, "all")]


@ALL
@BOTH
@pytest.mark.parametrize(("p", "m"), [(3, 5), (9, 4)])
@pytest.mark.usefixtures("compiled_quickly")
def test_objective_and_products_are_those_of_the_dense_relaxation(relaxation, local, p, m):
    lifting = lifting_of(p, m, local)
    families = families_of(lifting, relaxation)
    factored = Factored(lifting, families)
    scale = 0.37
    V = np.random.default_rng(1).standard_normal((lifting.size, 4))
    Y = V @ V.T
    value, products = value_and_products(factored, scale, V)
    assert float(value) == pytest.approx((objective(lifting) * Y).sum() / scale, rel=1e-12)
    found = factored.unstack([np.asarray(product) for product in products])
    assert set(found) == {family.name for family in families}
    for family in families:
        F, G = dense_form(lifting, family.F), dense_form(lifting, family.G)
        dense = F @ Y @ G.T
        dense = np.diag(dense) if family.pairs == "diagonal" else dense
        scales = row_scale(lifting, family, typical_squares(lifting))
        np.testing.assert_allclose(found[family.name], scales * dense, rtol=1e-10, atol=1e-12)


@ALL
@BOTH
@pytest.mark.usefixtures("compiled_quickly")
def test_the_products_are_the_derivative_of_the_lagrangian(relaxation, local):
    """<M(lambda), Y> grows in every multiplier by that multiplier's product: engine and proof agree."""
    lifting = lifting_of(3, 4, local)
    families = preset(relaxation, lifting)
    factored = Factored(lifting, families)
    V = np.random.default_rng(2).standard_normal((lifting.size, 3))
    Y = V @ V.T
    value, products = value_and_products(factored, 1.0, V)
    zero = (lagrangian_matrix(lifting, {}).mid * Y).sum()
    assert float(value) == pytest.approx(zero, rel=1e-12)
    found = factored.unstack([np.asarray(product) for product in products])
    for family in families:
        for k in range(family.shape[0]):
            unit = np.zeros(family.shape)
            unit[k] = 1.0
            change = (lagrangian_matrix(lifting, {family.name: unit}).mid * Y).sum() - zero
            scale = row_scale(lifting, family, typical_squares(lifting))[k]
            assert found[family.name][k] == pytest.approx(scale * change, rel=1e-9, abs=1e-10)


@pytest.mark.parametrize("norm", ["inf", 2])
@ALL
@BOTH
@pytest.mark.usefixtures("compiled_quickly")
def test_padding_has_no_effect(relaxation, local, norm):
    """Neither on the Lagrangian nor on its gradient at the real rows; the padding's own gradient is 0."""
    lifting = lifting_of(3, 5, local, norm=norm)
    factored = Factored(lifting, families_of(lifting, relaxation))
    rng = np.random.default_rng(3)
    P = rng.standard_normal((factored.size, 5))
    real = np.zeros(factored.size, dtype=bool)
    real[factored.rows] = True
    with jax.enable_x64(True):
        data = factored.data(1.0, np.float64)
        multipliers = [factored.stack([rng.random(f.shape) for f in stack]) for stack in factored.stacks]

        @jax.jit
        def fun(P, data, multipliers, *rest):
            given = joined(factored.spec, data, multipliers)
            return jax.value_and_grad(augmented_lagrangian)(P, factored.spec, data, given, *rest)

        triples = np.random.default_rng(5).choice(factored.rows, (20, 3))
        pool = Pool(triples, np.arange(20) % 4, rng.random(20), np.zeros(20))
        cuts, cut_multipliers = pool.arrays(factored.size)
        rest = (data, multipliers, 0.7, (cuts,), [cut_multipliers], 0.3)
        value, gradient = fun(P, *rest)
        P[~real] = rng.standard_normal(((~real).sum(), 5))
        other, other_gradient = fun(P, *rest)
    assert float(value) == float(other)
    np.testing.assert_array_equal(np.asarray(gradient)[real], np.asarray(other_gradient)[real])
    np.testing.assert_array_equal(np.asarray(gradient)[~real], 0.0)


@ALL
@BOTH
def test_unstack_is_the_inverse_of_stack(relaxation, local):
    lifting = lifting_of(3, 5, local)
    factored = Factored(lifting, families_of(lifting, relaxation))
    rng = np.random.default_rng(4)
    given = {f.name: rng.random(f.shape) for stack in factored.stacks for f in stack}
    stacked = [factored.stack([given[f.name] for f in stack]) for stack in factored.stacks]
    back = factored.unstack(stacked)
    assert set(back) == set(given)
    for name, values in given.items():
        np.testing.assert_array_equal(back[name], values)
    assert sum(np.count_nonzero(s) for s in stacked) == sum(v.size for v in given.values())


def test_families_of_one_structure_are_stacked():
    """Those with as many terms beside the constant: v.z and (1 +- v)(1 +- t); of hr2z, u (h - z) and the like too."""
    lifting = lifting_of(3, 5, local=True)
    factored = Factored(lifting, preset("hr2", lifting))
    assert [len(stack) for stack in factored.stacks] == [5]
    factored = Factored(lifting, preset("hr2z", lifting))
    assert sorted(len(stack) for stack in factored.stacks) == [1, 8]


@BOTH
def test_row_scales_bring_products_to_one_norm(local):
    """Each scaled product is a matrix of Frobenius norm of size 1, whatever the network's scale."""
    lifting = lifting_of(4, 4, local)
    families = preset("hr2z" if local else "hr2", lifting)
    scales = np.concatenate([row_scale(lifting, family, typical_squares(lifting)) for family in families])
    norms = np.array([np.linalg.norm(row) for row in product_rows(lifting, families)])
    assert (scales * norms <= 2 + 1e-12).all()
    assert (scales * norms >= 0.2).all()


def test_rows_are_normalised_and_only_slack_rows_may_be_shorter():
    rng = np.random.default_rng(5)
    P, slack = rng.standard_normal((6, 4)), np.array([[0], [0], [1], [1], [0], [1]], dtype=float)
    V = np.asarray(jax.jit(rows_of)(P, np.ones((6, 1)), slack, np.zeros(0, np.int32)))
    assert V.shape == (6, 3)
    length = np.linalg.norm(V, axis=1)
    np.testing.assert_allclose(length[slack[:, 0] == 0], 1.0, rtol=1e-6)
    assert (length[slack[:, 0] == 1] < 1.0).all()


@BOTH
def test_rows_of_a_ball_are_normalised_together(local):
    """Norm 2: the squares of t's rows add up to 1 at most, and so do those of xi's; the signs' rows have length 1."""
    lifting = lifting_of(3, 5, local, norm=2)
    assert lifting.balls == ((T, XI) if local else (T,))
    factored = Factored(lifting, preset("hr2", lifting))
    data = factored.data(1.0, np.float64)
    rng = np.random.default_rng(5)
    for size in (1e-3, 1.0, 1e3):
        P = size * rng.standard_normal((factored.size, 4))
        with jax.enable_x64(True):
            V = jax.jit(rows_of)(P, data.unit, data.slack, data.budget)
        V = np.asarray(V)[factored.rows]
        square = (V**2).sum(axis=1)
        np.testing.assert_allclose(square[lifting.square_is_one], 1.0, rtol=1e-12)
        for group in lifting.balls:
            rows = np.arange(factored.size)[factored.placement.places(group)]
            total = square[lifting.slice(group)].sum()
            expected = (P[rows, :-1] ** 2).sum() / ((P[rows, :-1] ** 2).sum() + P[rows[0], -1] ** 2)
            assert total == pytest.approx(expected, rel=1e-12)
            assert total < 1.0
            np.testing.assert_allclose(  # directions and proportions stay
                V[lifting.slice(group)] / np.sqrt(total), P[rows, :-1] / np.linalg.norm(P[rows, :-1]), rtol=1e-10
            )


@BOTH
def test_with_the_norm_inf_no_rows_share_a_bound(local):
    lifting = lifting_of(3, 5, local)
    assert lifting.balls == ()
    assert Factored(lifting, []).data(1.0, np.float32).budget.size == 0
    np.testing.assert_array_equal(lifting.budget, np.arange(lifting.size))


def test_unit_rows_and_the_scale():
    np.testing.assert_allclose(unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]])
    for local, norm in ((False, "inf"), (True, "inf"), (False, 2), (True, 2)):
        lifting = lifting_of(4, 5, local, norm=norm)
        scale = mean_diagonal(lifting, np.random.default_rng(0))
        shor = solve_product_form(lifting, [])[0]  # without families the alternation finds the optimum
        assert scale * lifting.size == pytest.approx(shor, rel=1e-2)


@pytest.mark.parametrize("exponent", [-3000, -1100, 0, 1100, 3000])
def test_units_never_overflow_an_integer_or_raise(exponent):
    lifting = lifting_of(1, 1, local=False)
    object.__setattr__(lifting, "exponent", exponent)
    expected = {-3000: 0.0, -1100: 0.0, 0: 1.5, 1100: math.inf, 3000: math.inf}[exponent]
    assert in_units(1.5, lifting) == expected


# The engine ---------------------------------------------------------------------------------------------


@ALL
@BOTH
@pytest.mark.parametrize("tolerance", [1e-3, 1e-5])
def test_it_reaches_the_interior_point_value(relaxation, local, tolerance):
    lifting = lifting_of(4, 5, local)
    families = preset(relaxation, lifting)
    value = solve_product_form(lifting, families)[0]
    monitor = Monitor(lifting, tolerance)
    assert solve_lowrank(lifting, families, monitor) is Status.SOLVED
    assert value * (1 - 1e-7) <= monitor.best <= value * (1 + tolerance)
    assert monitor.values[-1] == pytest.approx(in_units(value, lifting), rel=tolerance)
    assert monitor.reports == sorted(monitor.reports)


@ALL
@BOTH
def test_it_reaches_the_interior_point_value_in_norm_2(relaxation, local):
    for p, m in ((4, 5), (1, 3), (6, 2)):
        lifting = lifting_of(p, m, local, norm=2)
        families = preset(relaxation, lifting)
        value = solve_product_form(lifting, families)[0]
        monitor = Monitor(lifting)
        assert solve_lowrank(lifting, families, monitor) is Status.SOLVED
        assert value * (1 - 1e-7) <= monitor.best <= value * (1 + 1e-3)
        assert monitor.values[-1] == pytest.approx(in_units(value, lifting), rel=1e-3)


@pytest.mark.usefixtures("compiled_quickly")
@pytest.mark.parametrize("norm", ["inf", 2])
def test_the_float32_bulk_reaches_it_too(monkeypatch, norm):
    monkeypatch.setattr("hr2jax.engines.product.schedule.SMALL", 0)
    lifting = lifting_of(4, 5, local=True, norm=norm)
    families = preset("hr2", lifting)
    value = solve_product_form(lifting, families)[0]
    monitor = Monitor(lifting)
    assert solve_lowrank(lifting, families, monitor) is Status.SOLVED
    assert value * (1 - 1e-7) <= monitor.best <= value * (1 + 1e-3)


def test_a_rank_that_is_too_small_is_raised(monkeypatch):
    """From one column, a saddle: the eigenvectors of S lead out of it."""
    monkeypatch.setattr("hr2jax.engines.product.schedule.RANK", 1)
    lifting = lifting_of(4, 5, local=True)
    families = preset("hr2", lifting)
    value = solve_product_form(lifting, families)[0]
    ranks = []
    raise_rank = Finishing.raise_rank

    def count(self, M, d):
        raise_rank(self, M, d)
        ranks.append(self.run.rank)
        assert self.run.P.shape == (self.run.factored.size, self.run.rank + 1)

    monkeypatch.setattr(Finishing, "raise_rank", count)
    monitor = Monitor(lifting)
    assert solve_lowrank(lifting, families, monitor) is Status.SOLVED
    assert ranks[-1] > 1
    assert value * (1 - 1e-7) <= monitor.best <= value * (1 + 1e-3)


@pytest.mark.parametrize("limit", [1, 2, 11, 40, 65, 100])
def test_it_never_takes_more_iterations_than_are_left(limit):
    lifting = lifting_of(4, 5, local=True)
    monitor = Monitor(lifting, tolerance=1e-12, iterations=limit)
    assert solve_lowrank(lifting, preset("hr2", lifting), monitor) is Status.ITERATION_LIMIT
    assert monitor.reports[-1] == limit
    assert monitor.offered  # what there is at the end is certified


@pytest.mark.parametrize("stop_at", [1, 5, 12, 14])  # of 15 reports
def test_a_stop_is_passed_on_after_a_last_certificate(stop_at):
    lifting = lifting_of(4, 5, local=True)
    monitor = Monitor(lifting, tolerance=1e-12, stop_at=stop_at)
    assert solve_lowrank(lifting, preset("hr2", lifting), monitor) is Status.STOPPED
    assert len(monitor.reports) == stop_at
    assert monitor.offered


def test_little_time_means_little_work():
    lifting = lifting_of(4, 5, local=True)
    monitor = Monitor(lifting, tolerance=1e-12, seconds=0.0, stop_at=4)
    solve_lowrank(lifting, preset("hr2", lifting), monitor)
    assert max(np.diff([0, *monitor.reports])) <= 1


def test_an_infinite_bound_is_not_a_solution():
    lifting = lifting_of(4, 5, local=True)
    monitor = Monitor(lifting, prove=math.inf)
    assert solve_lowrank(lifting, preset("hr2", lifting), monitor) is Status.STALLED


def test_numbers_that_break_down_end_the_run():
    lifting = lifting_of(4, 5, local=True)
    families = preset("shor", lifting)
    monitor = Monitor(lifting)
    run = Run(lifting, families, monitor, Schedule(), (), 0, None)
    run.scale_objective()
    run.P = np.full_like(run.P, np.nan)
    run.offer()
    assert not monitor.offered
    assert finish(run) is Status.NUMERICAL_ERROR


def test_a_row_that_became_very_long_is_shortened():
    lifting = lifting_of(4, 5, local=False)
    monitor = Monitor(lifting)
    run = Run(lifting, preset("hr2", lifting), monitor, Schedule(), (), 0, None)
    run.scale_objective()
    run.P[3] *= 1e5
    direction = run.P[3] / np.linalg.norm(run.P[3])
    run.minimise(np.float64, 1e9, 1)  # stops at once
    assert np.linalg.norm(run.P[3]) == pytest.approx(LONGEST * np.sqrt(run.P.shape[1]))
    np.testing.assert_allclose(run.P[3] / np.linalg.norm(run.P[3]), direction, atol=1e-12)


@pytest.mark.parametrize("late", [False, True])
def test_before_a_time_limit_steering_leaves_the_time_of_a_finishing_round(late):
    """SDP-NN, local hr2+, 16 s of a processor for a quarter of it: 5.75, where cuts were added to the end 6.12."""
    lifting = lifting_of(4, 9, local=True)
    schedule = Schedule()
    monitor = Monitor(lifting)
    run = Run(lifting, preset("hr2+", lifting), monitor, schedule, ("T.U", "X0.U", "T.X0", "triangles"), 0, None)
    run.scale_objective()
    run.bulk(np.float64)
    finishing = SETTLING * schedule.finish_steps * 1e-3
    monitor.seconds, minimise = np.inf, run.minimise

    def measured(*given):
        met = minimise(*given)
        run.seconds, run.certifying = 1e-3, 1.0
        monitor.seconds = 1.0 + finishing * (0.9 if late else 1.1)
        return met

    run.minimise = measured
    run.steer_cuts(np.float64)
    rounds = len(monitor.reports) - schedule.base_rounds
    assert len(run.pool)
    assert rounds == 1 if late else rounds > schedule.pair_rounds


@ALL
def test_a_warm_start_takes_fewer_iterations(relaxation):
    rng, before, after = np.random.default_rng(0), 0, 0
    for seed in range(4):
        lifting = lifting_of(4, 5, True, seed)
        families = preset(relaxation, lifting)
        cold, warm = Monitor(lifting, 1e-4), Monitor(lifting, 1e-4)
        assert solve_lowrank(lifting, families, cold) is Status.SOLVED
        near = {name: values * rng.uniform(0.9, 1.1, values.shape) for name, values in cold.offered[-1][0].items()}
        assert solve_lowrank(lifting, families, warm, start=near) is Status.SOLVED
        assert warm.best == pytest.approx(cold.best, rel=1e-4)
        before, after = before + cold.reports[-1], after + warm.reports[-1]
    assert after < 0.7 * before


def test_a_misleading_start_is_given_up(monkeypatch):
    monkeypatch.setattr("hr2jax.engines.scale.ABSURD", math.inf)
    lifting = lifting_of(4, 5, local=True)
    families = preset("hr2", lifting)
    value = solve_product_form(lifting, families)[0]
    monitor = Monitor(lifting)
    wrong = {family.name: np.full(family.shape, 50.0) for family in families}
    assert solve_lowrank(lifting, families, monitor, start=wrong) is Status.SOLVED
    assert value * (1 - 1e-7) <= monitor.best <= value * (1 + 1e-3)
    assert monitor.reports == sorted(monitor.reports)


def test_the_penalty_grows_only_where_the_inner_tolerance_was_met():
    lifting = lifting_of(4, 5, local=True)
    run = Run(lifting, preset("hr2", lifting), Monitor(lifting), Schedule(), (), 0, None)
    run.scale_objective()
    assert not run.minimise(np.float64, 1e-9, 1)
    assert run.minimise(np.float64, 1e9, 1)
    run = Run(lifting, preset("hr2", lifting), Monitor(lifting), Schedule(bulk_steps=1), (), 0, None)
    run.scale_objective()
    run.bulk(np.float64)
    assert run.sigma == Schedule().sigma


def test_a_random_factor_is_not_certified(monkeypatch):
    """With no time to compile anything it proves next to nothing, and takes as long as a good one."""
    lifting = lifting_of(6, 5, local=False)
    families = preset("hr2", lifting)
    monkeypatch.setattr(device, "KNOWN", set())
    monkeypatch.setattr("hr2jax.engines.product.schedule.SMALL", 0)
    monitor = Monitor(lifting, seconds=0.5 * lowrank.COMPILING)
    assert solve_lowrank(lifting, families, monitor) is Status.TIME_LIMIT
    assert not monitor.offered
    start = {family.name: np.full(family.shape, 1e-3) for family in families}
    assert solve_lowrank(lifting, families, monitor, start=start) is Status.TIME_LIMIT
    assert len(monitor.offered) == 1
