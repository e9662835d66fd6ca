"""hr2+ by the low-rank engine: against an interior-point solve with every pair and every triangle written out."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

import hr2jax
from hr2jax import Network, Status
from hr2jax.engines.product import device, schedule
from hr2jax.options import CUT_NAMES as EVERY
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, preset
from hr2jax.relaxation.presolve import presolve
from hr2jax.solving import run
from tests.reference.effort import FULL
from tests.reference.product import every_triangle, solve_product_form

CUTS = EVERY[: EVERY.index("triangles") + 1]  # the others are for several hidden layers
BOTH = pytest.mark.parametrize("local", [False, True], ids=["global", "local"])


@pytest.fixture(autouse=True)
def no_lower_search(monkeypatch):
    monkeypatch.setattr(run, "_search", lambda *_: None)


@cache
def problem_of(p, m, local, seed):
    """A network and what is asked of it; neither is to be changed."""
    rng = np.random.default_rng([seed, p, m])
    net = Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [0.1 * rng.standard_normal(m), [0.0]])
    return net, ({"center": 0.1 * rng.standard_normal(p), "radius": 1.0} if local else {})


@cache
def interior_point_value(*question, cuts=CUTS):
    """Of `problem_of`'s question, in the problem's own units."""
    net, ask = problem_of(*question)
    problem = checked_problem(net, None, "inf", **ask)
    lifting = lift(net, problem, presolve(net, problem))
    extra = every_triangle(lifting, cuts)
    value = solve_product_form(lifting, preset("hr2+", lifting), tolerance=1e-8, extra=extra)[0]
    return value * 2.0**lifting.exponent


@BOTH
@pytest.mark.parametrize("width", [(4, 5), (6, 4), (3, 7), (4, 8)])
def test_it_reaches_the_value_with_every_triangle_enumerated(width, local):
    """And so lies below hr2 and hr2z; by the reach lifting it may lie lower (tests/test_reach.py)."""
    for seed in range(2 if FULL else 1):
        net, ask = problem_of(*width, local, seed)
        value = interior_point_value(*width, local, seed)
        result = hr2jax.solve(net, relaxation="hr2+", lifting="forward", **ask)
        assert result.status is Status.SOLVED
        assert value * (1 - 1e-6) <= result.bound <= value * (1 + 1e-3)
        for weaker in ("hr2", "hr2z"):
            assert result.bound <= hr2jax.solve(net, relaxation=weaker, **ask).bound * (1 + 1e-3)


@BOTH
def test_every_kind_of_cut_does_what_it_does_when_enumerated(local):
    """One kind after the other: the bounds fall, and each is that of its own relaxation; likewise without one."""
    net, ask = problem_of(4, 5, local, 0)
    values = []
    for k in range(len(CUTS) + 1):
        value = interior_point_value(4, 5, local, 0, cuts=CUTS[:k])
        bound = hr2jax.solve(net, relaxation="hr2+", cuts=CUTS[:k], **ask).bound
        assert value * (1 - 1e-6) <= bound <= value * (1 + 1e-3)
        values.append(value)
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(values))
    assert values[-1] < 0.995 * values[0]
    for name in CUTS:
        rest = tuple(other for other in CUTS if other != name)
        value = interior_point_value(4, 5, local, 0, cuts=rest)
        bound = hr2jax.solve(net, relaxation="hr2+", cuts=rest, **ask).bound
        assert value * (1 - 1e-6) <= bound <= value * (1 + 1e-3)
        assert bound >= values[-1] * (1 - 1e-6)


@BOTH
def test_without_cuts_it_is_the_relaxation_it_begins_from(local):
    net, ask = problem_of(4, 5, local, 0)
    result = hr2jax.solve(net, relaxation="hr2+", cuts=[], **ask)
    value = interior_point_value(4, 5, local, 0, cuts=())
    assert not any(name.startswith("triangles/") for name in result.certificate.multipliers)
    assert value * (1 - 1e-6) <= result.bound <= value * (1 + 1e-3)
    if not local:  # there the base is hr2
        assert result.bound == hr2jax.solve(net, relaxation="hr2", **ask).bound


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_clearly_tighter(seed):
    net, ask = problem_of(10, 10, True, seed)
    plus = hr2jax.solve(net, relaxation="hr2+", **ask)
    assert plus.bound < 0.99 * hr2jax.solve(net, relaxation="hr2z", **ask).bound
    assert plus.certificate.verify(net) == plus.bound


@pytest.mark.slow  # test_host.py compares both ways too
def test_the_float32_steering_reaches_it_too(monkeypatch):
    """With an early certificate, which larger problems have."""
    monkeypatch.setattr(schedule, "SMALL", 0)
    net, ask = problem_of(4, 5, True, 1)
    value = interior_point_value(4, 5, True, 1)
    result = hr2jax.solve(net, relaxation="hr2+", **ask)
    assert value * (1 - 1e-6) <= result.bound <= value * (1 + 1e-3)


@BOTH
@pytest.mark.parametrize("limit", [1, 30, 75])
def test_it_never_takes_more_iterations_than_are_left(limit, local):
    net, ask = problem_of(4, 5, local, 1)
    result = hr2jax.solve(net, relaxation="hr2+", max_iterations=limit, tol=1e-12, **ask)
    assert result.status is Status.ITERATION_LIMIT
    assert result.iterations == limit
    assert result.bound >= interior_point_value(4, 5, local, 1) * (1 - 1e-6)


def test_a_start_with_misleading_triangles_is_given_up():
    """Every triangle of an earlier certificate with a multiplier of 50: it begins again and ends where it should."""
    net, ask = problem_of(4, 5, True, 1)
    value = interior_point_value(4, 5, True, 1)
    first = hr2jax.solve(net, relaxation="hr2+", **ask)
    multipliers = first.certificate.multipliers["triangles/multipliers"]
    assert len(multipliers)
    first.certificate.multipliers["triangles/multipliers"] = np.full_like(multipliers, 50.0)
    result = hr2jax.solve(net, relaxation="hr2+", warm_start=first, **ask)
    assert value * (1 - 1e-6) <= result.bound <= value * (1 + 1e-3)


# Compilation --------------------------------------------------------------------------------------------


def shapes_of_calls(monkeypatch):
    """The shapes with which `minimise_on` is called: of P, its type, and of the cuts."""
    seen, original = [], device.minimise_on

    def recorded(state, P, data, multipliers, sigma, cuts, *rest, spec):
        stacks = tuple(values.shape for values in multipliers)
        of_cuts = tuple((pool.place.shape, str(pool.coefficient.dtype)) for pool in cuts)
        seen.append((P.shape, str(P.dtype), stacks, of_cuts, spec))
        return original(state, P, data, multipliers, sigma, cuts, *rest, spec=spec)

    monkeypatch.setattr(device, "minimise_on", recorded)
    return seen, original


@BOTH
@pytest.mark.parametrize("relaxation", ["hr2z", "hr2+"])
@pytest.mark.usefixtures("compiled_quickly")
def test_solves_of_one_shape_compile_once_for_each_shape_of_cuts_and_rank(relaxation, local, monkeypatch):
    """With hr2+, what is new is the number of cuts, doubled from SMALLEST, and the rank where it was raised."""
    monkeypatch.setattr("hr2jax.engines.product.schedule.SMALL", 0)
    seen, original = shapes_of_calls(monkeypatch)
    original.quick.clear_cache()
    for seed in range(4 if FULL else 2):
        net, ask = problem_of(4, 5, local, seed)
        compiled, earlier = original.quick._cache_size(), set(seen)
        assert compiled == len(earlier)
        result = hr2jax.solve(net, relaxation=relaxation, lifting="forward", **ask)
        assert original.quick._cache_size() == len(set(seen))
        if seed > 0 and set(seen) == earlier:
            assert result.timings["compile"] == 0.0
        if seed > 0 and relaxation == "hr2z":
            assert set(seen) == earlier
    # cuts of (4, 5) never fill the first size: without cuts, and with some, to steer and to finish
    some = {(((3, 4096), dtype),) for dtype in ("float32", "float64")}
    of_cuts = {shape[3] for shape in seen}
    assert of_cuts == {()} if relaxation == "hr2z" else () in of_cuts and of_cuts & some and of_cuts <= {(), *some}


@pytest.mark.parametrize("relaxation", ["hr2+", "best"])
def test_a_constant_of_zero_is_solved(relaxation):
    """Two stable neurons that cancel: what is left is rounding, of which no share is within a relative tolerance."""
    A = np.array([[-0.13742, -0.29135], [2.0, -1.2], [-0.13742, -0.29135]])
    net = Network([A, np.array([[-1.0, 0.0, 1.0]])], [np.array([4.7, -0.3, 4.7]), np.zeros(1)])
    result = hr2jax.solve(net, relaxation=relaxation, center=[0.1, 0.0], radius=1.0)
    assert result.status is Status.SOLVED
    assert 0 <= result.bound < 1e-12


def test_where_the_factor_stalls_newtons_method_goes_on():
    """A small constant beside its terms: 40 rounds ended 1 % above what the cuts prove."""
    A = [
        [1.0, -1.0, 0.1, -0.1, -0.1], [-1.0, 0.1, 0.3, -0.1, -1.0], [0.0, -1.0, 0.3, 0.0, -1.0],
        [-0.1, 0.3, 1.0, -0.1, 0.0], [0.0, 1.0, 0.0, -0.1, 1.0], [0.3, 0.0, 1.0, -1.0, 0.1],
    ]  # fmt: skip
    b = [0.9475615196067676, 3.838363107093362, 0.048837556804232435, -3.636322539659697, 5.386094844172343,
         1.620626245831923]  # fmt: skip
    c = [0.00032883131943117674, -0.0008279592161763515, -0.0012103201974887792, -0.00039759242476829177,
         -0.0009135785452672921, -0.0003931242374064278]  # fmt: skip
    net = Network([np.array(A), np.array([c])], [np.array(b), np.zeros(1)])
    center = [-0.22819216, 1.04668643, 0.93706719, -0.25827088, -0.32151982]
    bounds = {}
    for method in ("auto", "newton"):
        result = hr2jax.solve(net, relaxation="hr2+", method=method, center=center, radius=[0.3, 0.7, 2.0, 1.0, 2.0])
        assert result.status is Status.SOLVED
        bounds[method] = result.bound
    assert bounds["auto"] == pytest.approx(bounds["newton"], rel=2e-3)
