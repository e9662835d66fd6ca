"""What is fixed before a relaxation is built: stable neurons, free inputs, scaled bounds on their grid."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.prover import prove
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation.layout import Layout
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.scales import GRID, LARGEST_SCALE, MARGIN, on_grid
from tests.reference.effort import examples

from ..reference.ids import ids
from ..reference.intervals import NUMBERS, TAME, exact_range, local_problems

KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])
ROWS = [[1.0, 0.0], [-1.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [0.0, 5.0], [0.0, 0.0], [1.0, 1.0]]
BIASES = [3.0, -3.0, 2.0, -2.0, 0.5, 0.1, -1.0, 1.999]
# radius (1, 0) around (0, 1): z in [2,4], [-4,-2], [2,4], [-2,0], [-1.5,.5], 5.1, -1, [1.999,3.999]
NET = Network([ROWS, np.ones((1, 8))], [BIASES, np.zeros(1)])
BOX = checked_problem(NET, norm="inf", center=[0.0, 1.0], radius=[1.0, 0.0])


@KINDS
def test_stable_neurons_fixed_inputs_and_rows_without_effect_need_no_variable(kind):
    fixed = presolve(NET, BOX, kind)
    assert fixed.free.tolist() == [0]
    assert fixed.layers[0].unstable.tolist() == [4]
    assert fixed.layers[0].active.tolist() == [0, 2, 7]
    assert fixed.layers[0].exponent.tolist() == [1]  # 1.5 < 2
    # a little above what is proved, for those whose rounding is another: 1e-10 of 1.5, in units of 2
    assert -0.75 - 1.1 * 0.75 * MARGIN <= fixed.layers[0].low[0] <= -0.75 - 0.9 * 0.75 * MARGIN
    assert 0.25 + 0.9 * 0.75 * MARGIN <= fixed.layers[0].high[0] <= 0.25 + 1.1 * 0.75 * MARGIN


@KINDS
def test_a_neuron_just_on_the_boundary_is_stable(kind):
    net = Network([[[0.1], [-0.1], [0.1]], np.ones((1, 3))], [[0.0, 0.0, -(2.0**-60)], [0.0]])
    fixed = presolve(net, checked_problem(net, norm="inf", center=[0.3], radius=0.3), kind)
    assert fixed.layers[0].active.tolist() == [0]
    assert fixed.layers[0].unstable.tolist() == [2]


def test_globally_every_neuron_that_matters_gets_a_variable():
    fixed = presolve(NET, checked_problem(NET))
    assert fixed.free.tolist() == [0, 1]
    assert fixed.layers[0].unstable.tolist() == [0, 1, 2, 3, 4, 5, 7]
    one = fixed.layers[0]
    assert one.active.tolist() == one.low.tolist() == one.high.tolist() == one.exponent.tolist() == []


@KINDS
def test_a_certificate_may_keep_neurons_that_are_stable(kind):
    kept = np.array([7, 4, 1, 6])
    fixed = presolve(NET, BOX, kind, Layout((kept,)))
    assert fixed.layers[0].unstable.tolist() == kept.tolist()
    assert fixed.layers[0].active.tolist() == [0, 2]
    assert (fixed.layers[0].low > 0).tolist() == [True, False, False, False]
    assert (fixed.layers[0].high < 0).tolist() == [False, False, True, True]
    everything = presolve(NET, checked_problem(NET), kind, Layout((np.arange(8),)))
    assert everything.layers[0].unstable.tolist() == list(range(8))


@KINDS
def test_a_neuron_that_can_switch_may_not_be_left_out(kind):
    with pytest.raises(ValueError, match="neuron 4 cannot be proved to keep its sign"):
        presolve(NET, BOX, kind, Layout((np.array([0, 1]),)))
    with pytest.raises(ValueError, match="neuron 2 cannot be proved to keep its sign"):
        presolve(NET, checked_problem(NET), kind, Layout((np.array([0, 1, 3, 4, 5, 7]),)))


@KINDS
def test_scales_must_be_valid(kind):
    kept = np.array([4, 0])
    smallest = presolve(NET, BOX, kind, Layout((kept,))).layers[0].exponent
    assert smallest.tolist() == [1, 3]  # 4 < 2**3: an outward bound of 4 may be above it
    for larger in (smallest, smallest + 1, smallest + 2000, np.array([LARGEST_SCALE, 3])):
        fixed = presolve(NET, BOX, kind, Layout((kept,), (larger,)))
        assert fixed.layers[0].exponent.tolist() == larger.tolist()
        low, high = fixed.layers[0].low, fixed.layers[0].high
        assert (low < high).all() and (np.abs([low, high]) <= 1).all()
    for smaller in (smallest - [1, 0], smallest - [0, 5], np.array([-(2**63), 3])):
        with pytest.raises(ValueError, match="scale is smaller than its pre-activation bound"):
            presolve(NET, BOX, kind, Layout((kept,), (smaller,)))
    for beyond in (np.array([2**62, 2**63 - 1]), np.array([1, LARGEST_SCALE + 1])):
        with pytest.raises(ValueError, match="scale is beyond"):
            presolve(NET, BOX, kind, Layout((kept,), (beyond,)))
    for wrong in (smallest[:1], smallest[:0], np.append(smallest, 3)):
        with pytest.raises(ValueError, match="2 scales are needed"):
            presolve(NET, BOX, kind, Layout((kept,), (wrong,)))


@KINDS
@pytest.mark.parametrize(
    "wrong",
    [np.array([False, True]), np.array([4.0, 0.0]), np.array([4, 0], np.int32), np.array([[4], [0]]), [4, 0], "40"],
    ids=ids,
)
def test_neurons_and_scales_of_another_type_are_refused(kind, wrong):
    """Booleans once counted as the indices 0 and 1 here, and as a mask there: neurons that switch were left out."""
    kept = np.array([4, 0])
    smallest = presolve(NET, BOX, kind, Layout((kept,))).layers[0].exponent
    for layout in (Layout((wrong,)), Layout((kept,), (wrong,)), Layout((kept,), (smallest,), {"p": (wrong,)})):
        with pytest.raises(ValueError, match=r"vectors of int64|not one of 1 hidden layers"):
            presolve(NET, BOX, kind, layout)


@KINDS
def test_what_is_exactly_0_has_any_scale(kind):
    """In float64 it may have been a rounding's leftover, which decided the scale that a certificate keeps."""
    net = Network([[[1.0], [0.5]], [[0.0, 0.0]], [[0.5], [0.25]]], [[0, 0], [0], [0, 0]])
    problem = checked_problem(net, (0, 1))
    layout = presolve(net, problem, chains=("a",)).layout()
    assert layout.reach_exponent["a"][0].tolist() == [0, 0]
    for scale in (-54, 0, 3, -LARGEST_SCALE):
        scales = {"a": tuple(np.full_like(e, scale) for e in layout.reach_exponent["a"])}
        fixed = presolve(net, problem, kind, replace(layout, reach_exponent=scales), chains=("a",))
        assert not fixed.layers[0].reach["a"].any()
    with pytest.raises(ValueError, match="scale is smaller"):
        scales = {"a": tuple(np.full_like(e, -LARGEST_SCALE - 1) for e in layout.reach_exponent["a"])}
        presolve(net, problem, kind, replace(layout, reach_exponent=scales), chains=("a",))


@pytest.mark.parametrize("lifting", ["forward", "adjoint", "both"])
@pytest.mark.parametrize("box", [{}, {"center": [0.1, 0.2], "radius": 1.0}])
def test_scales_whose_sums_overflow_an_integer_are_refused(box, lifting):
    """2**63 - 1, as a scale of tangents, once made the unit of the bound a tiny one: 6e-288 was proved of 7e5."""
    rng = np.random.default_rng(0)
    shapes = [(3, 2), (3, 3), (1, 3)]
    net = Network([100 * rng.standard_normal(shape) for shape in shapes], [np.zeros(n) for n, _ in shapes])
    problem, chains = checked_problem(net, **box), LIFTINGS[lifting]
    layout = presolve(net, problem, chains=chains).layout()
    least = prove(net, problem, layout, {}, None, lifting=lifting)
    slope = max(np.abs(net.gradient(x, 0)).sum() for x in rng.uniform(-0.7, 0.7, (500, 2)))
    for value in (50, 900, LARGEST_SCALE, LARGEST_SCALE + 1, 2**61, 2**62, 2**63 - 20, 2**63 - 1):
        larger = {c: tuple(np.full_like(e, value) for e in scales) for c, scales in layout.reach_exponent.items()}
        of_z = layout.exponent if not box else tuple(np.full_like(e, value) for e in layout.exponent)
        for changed in (replace(layout, reach_exponent=larger), replace(layout, exponent=of_z)):
            if value <= LARGEST_SCALE or (not box and changed.reach_exponent is layout.reach_exponent):
                assert prove(net, problem, changed, {}, None, lifting=lifting) == least
                size = lift(net, problem, presolve(net, problem, layout=changed, chains=chains)).size
                assert prove(net, problem, changed, {}, np.zeros(size), lifting=lifting) >= slope
            else:
                with pytest.raises(ValueError, match="scale is beyond"):
                    presolve(net, problem, layout=changed, chains=chains)


@KINDS
@settings(max_examples=examples(100), deadline=None)
@given(case=local_problems(1, st.one_of(NUMBERS, TAME)), more=st.integers(0, 60))
def test_decisions_and_scaled_bounds_agree_with_the_exact_ranges(kind, case, more):
    net, problem = case
    try:
        fixed = presolve(net, problem, kind)
    except ValueError as error:
        assert "overflow float64" in str(error)
        return
    ranges = exact_range(net, problem)
    rows = net.weights[0][:, fixed.free]
    assert fixed.free.tolist() == [j for j, r in enumerate(problem.domain.radius) if r > 0]
    for i, (least, greatest) in enumerate(ranges):
        if not rows[i].any():
            assert i not in fixed.layers[0].unstable and i not in fixed.layers[0].active
        else:
            assert (i in fixed.layers[0].active) == (least >= 0)
            assert (i in fixed.layers[0].unstable) == (least < 0 < greatest)
    check_scaled(fixed, ranges)
    kept = np.arange(net.widths[1])[::-1]
    everything = presolve(net, problem, kind, Layout((kept,)))
    check_scaled(everything, ranges)
    check_scaled(presolve(net, problem, kind, Layout((kept,), (everything.layers[0].exponent + more,))), ranges)


def check_scaled(fixed, ranges):
    """low and high are on the grid, in [-1, 1], around the exact range, and tight where float64 allows it."""
    for k, (i, e) in enumerate(zip(fixed.layers[0].unstable, fixed.layers[0].exponent, strict=True)):
        least, greatest = (value / Fraction(2) ** int(e) for value in ranges[i])
        l, h = Fraction(float(fixed.layers[0].low[k])), Fraction(float(fixed.layers[0].high[k]))
        assert l <= least and greatest <= h
        assert -1 <= l <= h <= 1
        assert (l * 2**GRID).denominator == (h * 2**GRID).denominator == 1
        for value in ((h + l) / 2, (h - l) / 2):  # what the factors are made of
            assert Fraction(float(value)) == value


@pytest.mark.parametrize(
    ("value", "exponent", "steps"),
    [
        (0.0, 0, 0),
        (2.0**-1074, 0, 1),
        (2.0**-1074, 2000, 1),
        (-(2.0**-1074), 0, 0),
        (-(2.0**-1074), 2**62, 0),
        (1.0, 2**62, 1),
        (2.0**-1074, -1073, 2 ** (GRID - 1)),
        (1.5, 1, 3 * 2 ** (GRID - 2)),
        (1.5 + 2.0**-52, 1, 3 * 2 ** (GRID - 2) + 1),
        (-1.5 - 2.0**-52, 1, -3 * 2 ** (GRID - 2)),
        (np.nextafter(1.0, 0.0), 0, 2**GRID),
        (1.7e308, 1024, None),
    ],
)
def test_the_grid_rounds_up_even_where_scaling_underflows(value, exponent, steps):
    result = on_grid(np.array([value]), np.array([exponent]))[0]
    least = Fraction(value) / Fraction(2) ** exponent if abs(exponent) < 10**4 else Fraction(0)
    assert Fraction(float(result)) >= least
    if steps is not None:
        assert result == steps * 2.0**-GRID


def test_planted_fault_of_bounds_rounded_to_nearest_on_the_grid_is_caught(monkeypatch):
    net = Network([[[1 / 3]], [[1.0]]], [[0.0], [0.0]])
    problem = checked_problem(net, norm="inf", center=[0.0], radius=1.0)
    monkeypatch.setattr("hr2jax.relaxation.scales.MARGIN", 0.0)  # either would hide it
    monkeypatch.setattr("hr2jax.relaxation.scales.ROUNDINGS", 0.0)
    check_scaled(presolve(net, problem), exact_range(net, problem))
    monkeypatch.setattr("hr2jax.relaxation.scales.np.ceil", np.floor)
    with pytest.raises(AssertionError):
        check_scaled(presolve(net, problem), exact_range(net, problem))
