"""Hulls of smooth activations against mpmath, their ends one-sided; and that they turn where `hulls` says, alone."""

import math

import mpmath
import numpy as np
import pytest
from flint import arb, arb_series, ctx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic import activations, hulls
from hr2jax.layer import Layer
from tests.reference.effort import examples

CASES = [
    ("tanh", {}), ("sigmoid", {}), ("softplus", {}), ("softplus", {"beta": 2.5, "threshold": 3.0}), ("elu", {}),
    ("elu", {"alpha": 1.7}), ("elu", {"alpha": -0.4}), ("selu", {}), ("celu", {"alpha": 0.6}), ("silu", {}),
    ("gelu", {}), ("gelu", {"approximate": "tanh"}), ("mish", {}), ("softsign", {}), ("arctan", {}), ("erf", {}),
    ("hardswish", {}),
]  # fmt: skip
EVERY = pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
m = mpmath.mp


@pytest.fixture(autouse=True)
def many_digits():
    before, ctx.prec = ctx.prec, 256
    with m.workdps(60):
        yield
    ctx.prec = before


def exactly(name, z, beta=1.0, threshold=20.0, alpha=1.0, approximate="none"):
    """sigma(z) by its definition."""
    z = m.mpf(z)
    if name == "softplus":
        return z if beta * z > threshold else m.log1p(m.exp(beta * z)) / beta
    if name in ("elu", "selu", "celu"):
        scale, alpha = (activations.SELU_SCALE, activations.SELU_ALPHA) if name == "selu" else (1.0, alpha)
        divisor = m.mpf(alpha) if name == "celu" else m.mpf(1)
        return m.mpf(scale) * z if z > 0 else m.mpf(scale) * alpha * m.expm1(z / divisor)
    if name == "gelu" and approximate == "tanh":
        return z / 2 * (1 + m.tanh(m.sqrt(2 / m.pi) * (z + m.mpf(0.044715) * z**3)))
    return {
        "tanh": m.tanh, "sigmoid": lambda z: 1 / (1 + m.exp(-z)), "silu": lambda z: z / (1 + m.exp(-z)),
        "gelu": lambda z: z * m.erfc(-z / m.sqrt(2)) / 2, "mish": lambda z: z * m.tanh(m.log1p(m.exp(z))),
        "softsign": lambda z: z / (1 + abs(z)), "arctan": m.atan, "erf": m.erf,
        "hardswish": lambda z: z * min(max(z + 3, 0), 6) / 6,
    }[name](z)  # fmt: skip


def derivative(name, parameters, z, side=0):
    """sigma'(z) to 30 digits (no kink is in the way of a random z): a central difference, or one from a side."""
    h = m.mpf(10) ** -18
    if side:
        a, b, c = (exactly(name, z + side * k * h, **parameters) for k in (0, 1, 2))
        return side * (4 * b - 3 * a - c) / (2 * h)
    return (exactly(name, z + h, **parameters) - exactly(name, z - h, **parameters)) / (2 * h)


def holds(low, value, high):
    """Whether value, right to 1e-28, is in the interval."""
    return low - m.mpf(10) ** -28 <= value <= high + m.mpf(10) ** -28


def intervals(rng, count):
    width = 10.0 ** rng.uniform(-8, 1, count)
    low = rng.normal(size=count) * rng.choice([0.5, 2.0, 8.0], count)
    return low, low + width * (rng.random(count) > 0.05)


@EVERY
def test_hulls_hold_values_and_derivatives_at_points_inside(name, parameters):
    rng = np.random.default_rng(0)
    low, high = intervals(rng, examples(500))
    values = hulls.values(name, parameters, low, high)
    slopes = hulls.slopes(name, parameters, low, high)
    for i, (l, h) in enumerate(zip(low, high, strict=True)):
        for z in (l, h, l + (h - l) * rng.random()):
            assert holds(values[0][i], exactly(name, z, **parameters), values[1][i])
            assert holds(slopes[0][i], derivative(name, parameters, z), slopes[1][i])


@pytest.mark.slow
@EVERY
def test_hulls_hold_at_points_inside_of_very_many_intervals(name, parameters):
    """10^5 intervals; of an activation with kinks one in ten begins or ends at one, whose side within them counts."""
    rng = np.random.default_rng(1)
    low, high = intervals(rng, 100_000)
    kinks = {"elu": (0.0,), "selu": (0.0,), "celu": (0.0,), "hardswish": (-3.0, 3.0)}.get(name, ())
    side = np.zeros(len(low), dtype=int)
    if kinks:
        at = rng.choice(kinks, len(low))
        side = rng.choice([-1, 0, 1], len(low), p=[0.05, 0.9, 0.05])
        width = high - low
        low = np.where(side > 0, at, np.where(side < 0, at - width, low))
        high = np.where(side > 0, at + width, np.where(side < 0, at, high))
    values, slopes = (of(name, parameters, low, high) for of in (hulls.values, hulls.slopes))
    for i, (l, h) in enumerate(zip(low, high, strict=True)):
        z = l + (h - l) * rng.random() if side[i] == 0 else (l if side[i] > 0 else h)
        assert holds(values[0][i], exactly(name, z, **parameters), values[1][i])
        assert holds(slopes[0][i], derivative(name, parameters, z, int(side[i])), slopes[1][i])


def member(z, first, third):
    """GELU's tanh form with other numbers."""
    return z / 2 * (1 + m.tanh(first * z + third * z**3))


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(z=st.floats(-9, 9), width=st.floats(0, 2), place=st.floats(0, 1), first=st.floats(-1, 1), third=st.floats(-1, 1))
def test_hulls_of_the_tanh_form_in_float32_hold_for_all_its_members(z, width, place, first, third):
    parameters, root = {"approximate": activations.GELU_FLOAT32}, m.sqrt(2 / m.pi)
    numbers = root * (1 + first * m.mpf(2) ** -21), root * m.mpf(0.044715) * (1 + third * m.mpf(2) ** -21)
    low, high = np.array([z]), np.array([z + width])
    at, h = m.mpf(min(z + place * width, z + width)), m.mpf(10) ** -15
    slope = (member(at + h, *numbers) - member(at - h, *numbers)) / (2 * h)
    bend = (member(at + h, *numbers) - 2 * member(at, *numbers) + member(at - h, *numbers)) / h**2
    for of, value in ((hulls.values, member(at, *numbers)), (hulls.slopes, slope), (hulls.bends, bend)):
        (least,), (most,) = of("gelu", parameters, low, high)
        assert least <= value <= most


def test_members_of_the_tanh_form_use_some_of_the_room_that_they_have():
    """The worst of them differ by more than a hundredth of what is allowed for."""
    root, numbers = m.sqrt(2 / m.pi), [1 + s * m.mpf(2) ** -21 for s in (-1, 1)]
    differ = {"sigma": 0, "slope": 0, "bend": 0}
    h = m.mpf(10) ** -15
    for at in np.linspace(-4, 4, 81):
        z = m.mpf(at)
        for a, b in ((a, b) for a in numbers for b in numbers):
            f = [member(z + k * h, root * a, root * m.mpf(0.044715) * b) -
                 member(z + k * h, root, root * m.mpf(0.044715)) for k in (-1, 0, 1)]  # fmt: skip
            found = {"sigma": f[1], "slope": (f[2] - f[0]) / (2 * h), "bend": (f[2] - 2 * f[1] + f[0]) / h**2}
            differ = {key: max(differ[key], abs(found[key])) for key in differ}
    for key, spread in hulls.SPREAD.items():
        assert spread / 100 < differ[key] < 0.6 * spread, (key, float(differ[key] / spread))


@EVERY
def test_second_derivatives_are_enclosed(name, parameters):
    """Where pieces do not meet, at points inside of intervals; and on narrow ones not by much more."""
    rng = np.random.default_rng(4)
    low, high = intervals(rng, examples(400))
    least, most = hulls.bends(name, parameters, low, high)
    own = {**activations.DEFAULTS[name], **parameters}
    kinks = (0.0, -3.0, 3.0, own["threshold"] / own["beta"] if name == "softplus" else 0.0)
    h = m.mpf(10) ** -15
    for i, (l, u) in enumerate(zip(low, high, strict=True)):
        for z in (l, u, l + (u - l) * rng.random()):
            if min(abs(z - kink) for kink in kinks) < 1e-9:
                continue
            slopes = [derivative(name, parameters, z + s * h) for s in (-1, 1)]
            bend = (slopes[1] - slopes[0]) / (2 * h)
            assert least[i] - 1e-12 <= bend <= most[i] + 1e-12
            if u - l < 1e-3 and not any(l - 1e-6 <= kink <= u + 1e-6 for kink in kinks):
                assert most[i] - least[i] <= 30 * (u - l) * max(1.0, own.get("beta", 1.0)) ** 2 + 1e-12


def test_second_derivatives_of_wide_intervals_are_finite():
    for name in ("tanh", "sigmoid", "softplus", "elu", "selu", "celu", "softsign", "hardswish"):
        least, most = hulls.bends(name, {}, np.array([-20.0]), np.array([20.0]))
        assert np.isfinite([least, most]).all() and (np.abs([least, most]) < 4).all(), name
    assert hulls.bends("tanh", {}, np.array([0.0]), np.array([np.inf]))[1] == np.inf


@EVERY
def test_slopes_jump_where_it_is_said_and_nowhere_else(name, parameters):
    """sigma' beside -3, 0 and 3, where pieces meet; softplus jumps itself."""
    breaks = hulls.breaks(name, parameters)
    for at in (-3.0, 0.0, 3.0):
        left, right = (derivative(name, parameters, at, side) for side in (-1, 1))
        assert (abs(left - right) > 1e-9) == (at in breaks)


@EVERY
def test_hulls_are_no_wider_than_a_dense_grid_says(name, parameters):
    rng = np.random.default_rng(2)
    low, high = intervals(rng, 200)
    z = low + (high - low) * np.linspace(0.0, 1.0, 4001)[:, None]
    for of, floats in ((hulls.values, activations.value), (hulls.slopes, activations.derivative)):
        found, (least, most) = floats(name, parameters, z), of(name, parameters, low, high)
        step = np.abs(np.diff(found, axis=0)).max(axis=0)
        for kink in (-3.0, 0.0, 3.0):  # a kink counts with both sides, also at an interval's end
            step = np.where((low <= kink) & (kink <= high), 2.0, step)
        assert (least >= found.min(axis=0) - step - 1e-12).all()
        assert (most <= found.max(axis=0) + step + 1e-12).all()


@EVERY
def test_float64_values_and_derivatives_are_in_the_hulls_of_points(name, parameters):
    far = [0.0, 40.0, -40.0, 700.0, -800.0, 1e300, -1e300]
    z = np.concatenate([np.random.default_rng(3).normal(size=300) * 5, far])
    for of, floats in ((hulls.values, activations.value), (hulls.slopes, activations.derivative)):
        (low, high), found = of(name, parameters, z, z), floats(name, parameters, z)
        near = 1e-13 * np.maximum(np.abs(z), 1.0)
        assert np.isfinite(found).all()
        assert ((low - near <= found) & (found <= high + near)).all()


@pytest.mark.parametrize(
    ("name", "parameters", "kink", "left", "right"),
    [
        ("elu", {"alpha": 1.5}, 0.0, 1.5, 1.0), ("selu", {}, 0.0, 1.75809934, 1.05070099),
        ("hardswish", {}, -3.0, 0.0, -0.5), ("hardswish", {}, 3.0, 1.5, 1.0),
        ("softplus", {"threshold": 1.0}, 1.0, 0.731058578, 1.0),
    ],
)  # fmt: skip
def test_a_kink_counts_with_both_sides(name, parameters, kink, left, right):
    point = np.array([kink])
    low, high = hulls.slopes(name, parameters, point, point)
    assert np.allclose([low[0], high[0]], sorted((left, right)), rtol=1e-8)
    if name != "softplus":
        for side in (-1, 1):
            assert holds(low[0], derivative(name, parameters, kink, side), high[0])


def test_a_jump_counts_with_both_sides():
    low, high = hulls.values("softplus", {"threshold": 1.0}, np.array([1.0]), np.array([1.0]))
    assert low[0] == 1.0 and math.isclose(high[0], math.log1p(math.e), rel_tol=1e-15)


@EVERY
def test_all_reals_have_the_slopes_of_the_whole_function(name, parameters):
    least, most = hulls.slopes(name, parameters, np.array([-np.inf]), np.array([np.inf]))
    z = np.linspace(-60.0, 60.0, 1_200_001)
    found = activations.derivative(name, parameters, z)
    assert np.isclose(least[0], found.min(), atol=1e-3) and np.isclose(most[0], found.max(), atol=1e-3)
    assert least[0] <= found.min() + 1e-15 and found.max() <= most[0] + 1e-15


def test_exact_slopes_are_exact():
    assert [s.tolist() for s in hulls.slopes("tanh", {}, *np.array([[-np.inf], [np.inf]]))] == [[0.0], [1.0]]
    assert [s.tolist() for s in hulls.slopes("sigmoid", {}, *np.array([[-1.0], [np.inf]]))][1] == [0.25]
    assert [s.tolist() for s in hulls.slopes("elu", {}, *np.array([[0.5], [3.0]]))] == [[1.0], [1.0]]
    assert [s.tolist() for s in hulls.slopes("hardswish", {}, *np.array([[-9.0], [-4.0]]))] == [[0.0], [0.0]]


def test_what_is_not_finite_says_nothing():
    assert hulls.slopes("tanh", {}, *np.array([[np.nan], [1.0]]))[1] == np.inf
    assert hulls.values("tanh", {}, *np.array([[0.0], [np.inf]]))[1] == np.inf


def test_the_precision_of_flint_is_put_back():
    before = ctx.prec
    Layer({0: [[1.0]]}, [0.0], "gelu").slopes_between(np.zeros(1), np.ones(1))
    assert ctx.prec == before


# --- sigma'' has no other zeros than the turns ---------------------------------------------------------------
#
# Of sigma = z s(v(z)) with s the logistic function, sigma'' is s (1 - s) times
#     g = 2 v' + z v'' - z tanh(v / 2) v'^2,     v = z (silu) and v = 2 sqrt(2 / pi) (z + c z^3) (gelu's tanh form).
# v is odd, so g is even. silu: g = 2 - z tanh(z / 2), which falls for z > 0. gelu: for z >= 3, tanh(v / 2) > 0.99 and
# z v'' <= 2 v', so that g <= v' (4 - 0.99 z v') < 0, as z v' > 9.
# Of mish sigma'' is a positive function times
#     g = 4 + 8 t + 6 t^2 + 2 t^3 + z (2 + 2 t - 3 t^2 - 2 t^3),     t = exp(z).
# For z <= -4, t < 0.02 and g < 4.2 - 4 * 1.99 < 0. For z >= 3, t > 20, so that 2 + 2 t - 3 t^2 < -2.8 t^2 and
# 4 + 8 t + 6 t^2 < 6.5 t^2, and g < 6.5 t^2 - 3 * 2.8 t^2 + 2 t^3 (1 - 3) < 0. In between balls decide.


def gelu_sign(z):
    k, c = 2 * (arb(2) / arb.pi()).sqrt(), arb(activations.GELU_CUBIC)
    v = k * (z + c * z * z * z)
    first, second = k * (1 + 3 * c * z * z), 6 * c * k * z
    e = (-v).exp()
    return 2 * first + z * second - z * ((1 - e) / (1 + e)) * first * first


def silu_sign(z):
    e = (-z).exp()
    return 2 - z * ((1 - e) / (1 + e))


def mish_sign(z):
    t = z.exp()
    return 4 + 8 * t + 6 * t * t + 2 * t * t * t + z * (2 + 2 * t - 3 * t * t - 2 * t * t * t)


def slope_of(sign, ball):
    """An enclosure of the function's derivative on a ball."""
    return sign(arb_series([ball, arb(1)], 2))[1]


@pytest.mark.parametrize(
    ("name", "parameters", "sign", "low", "high"),
    [
        ("silu", {}, silu_sign, 0.0, 4.0), ("gelu", {"approximate": "tanh"}, gelu_sign, 0.0, 3.0),
        ("mish", {}, mish_sign, -4.0, 3.0),
    ],
)  # fmt: skip
def test_the_derivative_turns_where_it_says_and_nowhere_else(name, parameters, sign, low, high):
    turns = [turn for turn in hulls.pieces(name, parameters)[0].turns if low <= float(turn.mid()) <= high]
    for turn in turns:
        ends = [sign(end) for end in (turn.lower(), turn.upper())]
        assert (ends[0] > 0 and ends[1] < 0) or (ends[0] < 0 and ends[1] > 0)
    open_, crossed = [(low, high)], 0
    while open_:
        a, b = open_.pop()
        ball = arb((a + b) / 2, (b - a) / 2)
        value = sign(ball)
        if value > 0 or value < 0:
            continue
        slope = slope_of(sign, ball)
        if slope > 0 or slope < 0:  # at most one zero, which a turn is if one is in the ball
            here = [turn for turn in turns if turn.overlaps(ball)]
            ends = sign(arb(a)), sign(arb(b))
            assert len(here) == 1 or (ends[0] > 0 and ends[1] > 0) or (ends[0] < 0 and ends[1] < 0)
            crossed += len(here)
            continue
        assert b - a > 1e-6
        open_ += [(a, (a + b) / 2), ((a + b) / 2, b)]
    assert crossed == len(turns)


@pytest.mark.parametrize(
    ("name", "parameters"), [("silu", {}), ("gelu", {}), ("gelu", {"approximate": "tanh"}), ("mish", {})]
)
def test_the_function_is_flat_where_its_derivative_changes_sign(name, parameters):
    """sigma' is monotone between its turns: 0 at -inf and 1 at +inf, it has one zero, between the first two turns."""
    (piece,) = hulls.pieces(name, parameters)
    (flat,) = piece.flats
    first, last = piece.turns
    assert first < flat < last
    assert piece.slope(first) < 0 and piece.slope(last) > 1
    assert piece.slope(flat.lower()) < 0 and piece.slope(flat.upper()) > 0
