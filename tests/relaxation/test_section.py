"""The section of the cone: what a certificate states of it is proved, and no point of the cone is outside."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hr2jax import Layer, Network
from hr2jax.arithmetic.arb import Arb
from hr2jax.problem import checked_problem
from hr2jax.relaxation.presolve import pre_bounds
from hr2jax.relaxation.section import LEAST_IMPORTANCE, POWER, find_section
from tests.reference.cases import exact, random_net
from tests.reference.effort import examples
from tests.reference.section_points import exact_rows, random_kinked, random_section, random_x, values


def cases(seed):
    """(net, section, rng), where there is a section."""
    rng = np.random.default_rng(seed)
    net = random_kinked(rng)
    section = random_section(net, rng)
    assume(section is not None)
    return net, section, rng


def scaled(net, section, x):
    """x, tau and the layers' pre-activations on the section."""
    z = values(net, x)
    w = np.split(exact(section.weights), np.cumsum([exact_rows(net, l).sum() for l in net.structure.first])[:-1])
    total = sum((own * np.abs(z[l])[exact_rows(net, l)]).sum() for own, l in zip(w, net.structure.first, strict=True))
    total += exact(section.constant).sum() if section.has_constant else 0
    assume(total != 0)
    return x / total, 1 / total, {l: values / total for l, values in z.items()}


@settings(max_examples=examples(150), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_points_at_any_scale_are_within_the_box_and_the_bounds(seed):
    net, section, rng = cases(seed)
    section.check(net)
    posed, problem = section.posed(net, checked_problem(net))
    bounds = pre_bounds(posed, problem, None, type(problem.domain.middle()))
    for _ in range(4):
        xi, tau, z = scaled(net, section, random_x(rng, section, net.widths[0]))
        both = np.append(xi, [tau] * len(section.constant))
        assert (exact(problem.domain.low) <= both).all() and (both <= exact(problem.domain.high)).all()
        at = values(posed, both)
        for l, (low, high) in enumerate(bounds, 1):
            assert (at[l] == z[l]).all() or not section.has_constant
            assert (exact(low) <= z[l]).all() and (z[l] <= exact(high)).all()


def test_homogeneous_values_are_the_networks_own_times_tau():
    net = random_net(np.random.default_rng(0), (2, 4, 3, 1))
    posed, _ = find_section(net).posed(net, checked_problem(net))
    x = exact([0.25, -3.0])
    tau = Fraction(1, 7)
    for l, z in values(net, x).items():
        if l < 3:  # the output has no bias
            assert (values(posed, np.append(tau * x, [tau]))[l] == tau * z).all()


def test_the_bounds_of_the_second_layer_are_those_of_corners():
    """Not of an interval: a sum of what S bounds together is at most its largest term."""
    net = random_net(np.random.default_rng(1), (2, 8, 5, 1))
    section = find_section(net)
    posed, problem = section.posed(net, checked_problem(net))
    low, high = pre_bounds(posed, problem, None, type(problem.domain.middle()))[1]
    terms = np.column_stack([net.weights[1] / section.weights, net.biases[1] / section.constant])
    assert (high <= np.maximum(terms.max(axis=1), 0.0) * (1 + 1e-6)).all()
    assert (low >= np.minimum(terms.min(axis=1), 0.0) * (1 + 1e-6)).all()


def wide():
    return random_net(np.random.default_rng(2), (6, 4, 4, 1))


def narrow():
    return random_net(np.random.default_rng(2), (2, 5, 1))


@pytest.mark.parametrize("make", [wide, narrow])
@pytest.mark.parametrize("name, change", [
    ("radius", lambda a: a * 0.9),
    ("radius", lambda a: -a),
    ("weights", lambda a: a * 0.5),
    ("weights", lambda a: -a),
    ("weights", lambda a: a[1:]),
    ("weights", lambda a: np.full_like(a, np.nan)),
    ("constant", lambda a: a[:0]),
    ("constant", lambda a: 0.5 * a),
    ("inverse", lambda a: 0.0 * a),
    ("inverse", lambda a: 5.0 * a),
    ("inverse", lambda a: a.T),
    ("columns", lambda a: a[1:]),
    ("columns", lambda a: a[::-1].copy()),
    ("columns", lambda a: a + 5),
])  # fmt: skip
@pytest.mark.parametrize("arithmetic", [None, Arb])
def test_a_section_that_is_none_is_refused(make, name, change, arithmetic):
    net = make()
    section = find_section(net)
    more = () if arithmetic is None else (arithmetic,)
    section.check(net, *more)
    with pytest.raises(ValueError, match="section"):
        replace(section, **{name: change(getattr(section, name))}).check(net, *more)


def test_a_larger_box_and_any_larger_weights_are_sections_too():
    net = narrow()
    section = find_section(net)
    replace(section, radius=2.0 * section.radius).check(net)
    replace(section, weights=2.0 * section.weights, constant=3.0 * section.constant).check(net)


def test_inputs_that_other_layers_take_are_not_fixed():
    rng = np.random.default_rng(3)
    first = Layer({0: rng.standard_normal((2, 4))}, np.zeros(2), "relu")
    second = Layer({0: rng.standard_normal((3, 4)), 1: rng.standard_normal((3, 2))}, np.ones(3), "relu")
    last = Layer({2: rng.standard_normal((1, 3))}, np.zeros(1), "identity")
    skipping = Network.from_layers([first, second, last])
    assert find_section(skipping) is None
    plain = Network.from_layers([first, Layer({1: second.inputs[1]}, np.ones(3), "relu"), last])
    section = find_section(plain)
    section.check(plain)
    with pytest.raises(ValueError, match="other layers take"):
        section.check(skipping)


def test_neurons_weigh_what_they_matter():
    """By |df/dz| of each, but for neurons that hardly matter."""
    net, sizes = narrow(), np.array([1.0, 3.0, 0.5, 1e-9, 2.0])
    section = find_section(net, 1.0, [sizes])
    section.check(net)
    lengths = np.hypot.reduce(net.weights[0], axis=1)
    relative = section.weights * lengths
    expected = np.maximum(sizes * lengths / (sizes * lengths).max(), LEAST_IMPORTANCE) ** POWER
    np.testing.assert_allclose(relative / relative.max(), expected, rtol=1e-12)
    assert np.exp(np.log(relative).mean()) == pytest.approx(1.0)
    for unknown in (None, [np.zeros(5)], [np.full(5, np.inf)]):
        np.testing.assert_array_equal(find_section(net, 1.0, unknown).weights, 1.0 / lengths)


@pytest.mark.parametrize("size", [1e-200, 1e200, 1e-310])
def test_rows_whose_squares_are_no_numbers_have_lengths(size):
    """numpy.linalg.norm is 0 or infinite of them: a warning to whoever solved, and no section."""
    rng = np.random.default_rng(1)
    A = rng.normal(size=(4, 2))
    net = Network([size * A, rng.normal(size=(1, 4))], [np.zeros(4), np.zeros(1)])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        section = find_section(net)
    if size < 1e-300:  # 1 / size is beyond float64
        assert section is None
        return
    section.check(net)
    np.testing.assert_allclose(section.weights * size * np.hypot(*A.T), 1.0, rtol=1e-12)


def test_where_every_pattern_occurs_there_is_none():
    rng = np.random.default_rng(4)
    assert find_section(random_net(rng, (4, 4, 1))) is None
    assert find_section(random_net(rng, (6, 4, 1))) is None
    assert find_section(random_net(rng, (6, 4, 4, 1))) is not None


def test_without_biases_there_is_no_tau():
    net = narrow()
    plain = Network(net.weights, [0 * b for b in net.biases])
    section = find_section(plain)
    assert not section.has_constant and find_section(net).has_constant
    with pytest.raises(ValueError, match="biases"):
        section.check(net)
