"""Margins, radii and boxes against rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax.robustness.margins import clipped_ball, exceeds, inner_box, largest_radius, margins
from hr2jax.text import percent_down
from tests.reference.effort import examples

anything = st.floats(allow_nan=False, allow_infinity=False)
moderate = st.floats(-1e3, 1e3)
positive = st.floats(min_value=0, allow_nan=False, allow_infinity=False)


def exact_margins(net, x, label):
    """In rational arithmetic."""
    value = [Fraction(float(v)) for v in x]
    for depth, (A, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        value = [
            sum((Fraction(float(a)) * v for a, v in zip(row, value, strict=True)), Fraction(float(shift)))
            for row, shift in zip(A, b, strict=True)
        ]
        if depth < net.depth:
            value = [max(v, Fraction(0)) for v in value]
    return [value[label] - other for other in value]


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.sampled_from([1e-8, 1.0, 1e8]), st.booleans())
def test_margins_enclose_the_exact_ones(seed, depth, scale, shared):
    rng = np.random.default_rng(seed)
    widths = [3, *rng.integers(1, 6, depth), 4]
    weights = [scale * rng.standard_normal(shape) for shape in zip(widths[1:], widths[:-1], strict=True)]
    if shared:  # what the outputs have in common cancels
        weights[-1] += 1e12 * scale
    net = hr2jax.Network(weights, [rng.standard_normal(width) for width in widths[1:]])
    x, labels = rng.standard_normal((5, 3)), rng.integers(0, 4, 5)
    low, high = margins(net, x, labels)
    for i, label in enumerate(labels):
        exact = exact_margins(net, x[i], label)
        assert low[i, label] == high[i, label] == math.inf
        for j in set(range(4)) - {label}:
            assert Fraction(low[i, j]) <= exact[j] <= Fraction(high[i, j])
    known = np.isfinite(low)
    size = max(1.0, np.abs(net.weights[-1]).max()) * max(1.0, scale) ** depth
    assert (high[known] - low[known]).max() <= 1e-9 * size


def test_margins_that_overflow_are_unknown():
    net = hr2jax.Network([[[1e200]], [[1e200], [0.0]]], [[0.0], [0.0, 0.0]])
    low, high = margins(net, np.array([[1e5]]), np.array([0]))
    assert (low[0, 1], high[0, 1]) == (-math.inf, math.inf)


@settings(max_examples=examples(400))
@given(positive, positive, positive)
def test_exceeds_is_proved(margin, bound, radius):
    if exceeds(margin, bound, radius):
        assert Fraction(margin) > Fraction(bound) * Fraction(radius)


@settings(max_examples=examples(400))
@given(positive | st.just(math.inf), positive | st.just(math.inf))
def test_largest_radius_is_certified_and_hardly_smaller_than_possible(margin, bound):
    radius = float(largest_radius(margin, bound))
    if margin == math.inf:  # the label's own column
        assert radius == math.inf
    elif margin == 0 or bound == math.inf:
        assert radius == 0
    elif bound == 0:
        assert radius == math.inf
    else:
        assert Fraction(radius) * Fraction(bound) < Fraction(margin)
        possible = Fraction(margin) / Fraction(bound)
        if margin > 1e-280 and 1e-280 < possible < 1e300:
            assert Fraction(radius) >= possible * (1 - Fraction(1, 10**14))


def test_a_margin_that_is_only_reached_is_not_exceeded():
    assert not exceeds(1.0, 2.0, 0.5)
    assert exceeds(1.0, 2.0, 0.4999)
    assert largest_radius(1.0, 2.0) < 0.5
    assert largest_radius(-1.0, 2.0) == 0
    assert largest_radius(-1.0, 0.0) == 0


@settings(max_examples=examples(300))
@given(st.data())
def test_clipped_ball_loses_no_point_and_inner_box_adds_none(data):
    x = data.draw(moderate | st.floats(-1, 1))
    radius = data.draw(st.floats(1e-12, 1e3, exclude_min=True))
    low, high = sorted((data.draw(moderate | st.just(x)), data.draw(moderate | st.just(x))))
    low, high = min(low, x), max(high, x)
    clip = (np.array([low]), np.array([high])) if data.draw(st.booleans()) else None
    center, half = (Fraction(float(side[0])) for side in clipped_ball(np.array([x]), radius, clip))
    ends = [Fraction(x) - Fraction(radius), Fraction(x) + Fraction(radius)]
    if clip is None:
        assert (center, half) == (Fraction(x), Fraction(radius))
    else:
        ends = [max(ends[0], Fraction(low)), min(ends[1], Fraction(high))]
    assert center - half <= ends[0] <= ends[1] <= center + half
    assert half <= Fraction(radius)
    assert 2 * half <= (ends[1] - ends[0]) + Fraction(1e-10) * (1 + abs(Fraction(x)) + Fraction(radius))
    inside = [Fraction(float(side[0])) for side in inner_box(np.array([x]), radius, clip)]
    assert ends[0] <= inside[0] <= Fraction(x) <= inside[1] <= ends[1]


def test_what_the_clip_box_cuts_it_cuts_exactly():
    x = np.array([0.9, 0.1, 0.3, 1 / 3, 0.7])
    clip = (np.zeros(5), np.ones(5))
    for radius in (0.1, 0.5, 1 / 7):
        center, half = clipped_ball(x, radius, clip)
        for c, r, value in zip(center.tolist(), half.tolist(), x.tolist(), strict=True):
            if value + radius > 1 + 1e-9:
                assert Fraction(c) + Fraction(r) == 1
            elif value < radius - 1e-9:
                assert Fraction(c) - Fraction(r) == 0


def test_a_clip_box_of_one_value_fixes_the_input():
    x = np.array([0.1, 0.5])
    center, half = clipped_ball(x, 0.3, (np.array([0.1, 0.0]), np.array([0.1, 1.0])))
    assert center.tolist() == [0.1, 0.5]
    assert half.tolist() == [0.0, 0.3]


@pytest.mark.parametrize(("ratio", "text"), [(1.0, "100.00"), (2 / 3, "66.66"), (0.6763, "67.63"), (0.0, "0.00")])
def test_percent_down(ratio, text):
    assert percent_down(ratio) == text
