"""Domains: exact membership, reach and signs against rational numbers; norm and domain are independent."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Ball, Box, Network
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds import interval_bounds, output_range, preactivation_bounds
from hr2jax.bounds.slopes.search import find_slopes
from hr2jax.certificate.certificate import Certificate
from hr2jax.certificate.errors import CertificateError
from hr2jax.certificate.prover import prover_of
from hr2jax.domain import Everywhere, domain_from
from hr2jax.lower.attained import attained
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.basis import XI, T
from hr2jax.relaxation.presolve import presolve
from tests.reference.effort import examples

from .reference.brute import exact_constant

NORMS = ["inf", 2, 1]


def rational(values):
    return [Fraction(float(v)) for v in np.ravel(values)]


def random_domain(rng, n, kind):
    """A domain whose ends are no round numbers; in a box some entries may be fixed."""
    center = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4)
    if kind == "box":
        low = center
        high = low + np.where(rng.random(n) < 0.2, 0.0, rng.random(n) * 10.0 ** rng.integers(-12, 3, n))
        high[0] = np.nextafter(low[0], np.inf)  # a midpoint that is no float64
        return Box(low, high)
    if kind == "inf":
        return Ball(center, rng.random(n) * (rng.random(n) < 0.8) + 1e-3 * (np.arange(n) == 0), "inf")
    return Ball(center, float(rng.random()), kind)


def ends(domain):
    """The exact center and scale."""
    if isinstance(domain, Box):
        low, high = rational(domain.low), rational(domain.high)
        return [(a + b) / 2 for a, b in zip(low, high, strict=True)], [
            (b - a) / 2 for a, b in zip(low, high, strict=True)
        ]
    return rational(domain.center), rational(domain.radius)


def size_of(steps, scale, shape):
    """The exact length of a step in units of the domain, squared for norm 2."""
    if shape == "inf":
        return max((abs(s) / r if r else (Fraction(2) * bool(s))) for s, r in zip(steps, scale, strict=True))
    if shape == 2:
        return sum(s * s for s in steps) / scale[0] ** 2
    return sum(abs(s) for s in steps) / scale[0]


@pytest.mark.parametrize("kind", ["box", *NORMS])
@settings(max_examples=examples(40), deadline=None)
@given(seed=st.integers(0, 10**6))
def test_reach_encloses_what_rows_spread(kind, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    domain = random_domain(rng, n, kind)
    A = rng.standard_normal((3, n)) * (rng.random((3, n)) < 0.8)
    center, scale = ends(domain)
    middle, factor, reach = domain.middle(), domain.scale(), domain.reach(A)
    for j in range(n):
        for enclosure, exact in ((middle, center[j]), (factor, scale[j])):
            assert abs(Fraction(float(enclosure.mid[j])) - exact) <= Fraction(float(enclosure.rad[j]))
    for i, row in enumerate(A):
        terms = [abs(a) * r for a, r in zip(rational(row), scale, strict=True)]
        upper = Fraction(float(reach.upper()[i]))
        squares = sum((t * t for t in terms), Fraction(0))
        exact = {"inf": sum(terms, Fraction(0)), 1: max(terms), 2: squares}[domain.shape]
        assert (upper * upper if domain.shape == 2 else upper) >= exact
        assert float(upper) <= float(exact) ** (0.5 if domain.shape == 2 else 1.0) * (1 + 1e-12) + 1e-280


@pytest.mark.parametrize("kind", ["box", *NORMS])
@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 10**6))
def test_contains_is_exact_and_into_comes_inside(kind, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 5))
    domain = random_domain(rng, n, kind)
    center, scale = ends(domain)
    xi = rng.standard_normal(n)
    xi /= {"inf": np.abs(xi).max(), 2: np.linalg.norm(xi), 1: np.abs(xi).sum()}[domain.shape]
    for factor in (0.5, 1.0, 1.0 + 1e-15, 1.5):
        x = domain.center + domain.radius * xi * factor
        steps = [a - c for a, c in zip(rational(x), center, strict=True)]
        assert domain.contains(x) == (size_of(steps, scale, domain.shape) <= 1)
        inside = domain.into(x)
        steps = [a - c for a, c in zip(rational(inside), center, strict=True)]
        assert size_of(steps, scale, domain.shape) <= 1
        if domain.contains(x):
            assert np.array_equal(inside, x)
    assert domain.contains(domain.center)


@pytest.mark.parametrize("kind", ["box", *NORMS])
def test_signs_are_exact_where_the_domain_touches_the_hyperplane(kind):
    domain = Box([0.25, -0.5], [0.75, 0.5]) if kind == "box" else Ball([0.5, 0.0], 0.25, kind)
    a = np.array([1.0, 0.0])
    assert domain.signs(a, -0.25) == (True, False)
    assert domain.signs(a, np.nextafter(-0.25, -1.0)) == (False, False)
    assert domain.signs(a, -0.75) == (False, True)
    assert domain.signs(np.zeros(2), 0.0) == (True, True)


def test_a_fixed_entry_is_its_float_and_nothing_else():
    domain = Box([0.1, -1.0], [0.1, 1.0])
    assert domain.free(2).tolist() == [1]
    assert (domain.middle().mid[0], domain.middle().rad[0], domain.scale().mid[0]) == (0.1, 0.0, 0.0)
    assert not domain.contains(np.array([np.nextafter(0.1, 1.0), 0.0]))


def test_the_smallest_box_moves():
    domain = Box([0.0, 5e-324], [5e-324, 5e-324])
    assert domain.free(2).tolist() == [0]
    assert domain.radius[0] > 0 and domain.contains(domain.center)
    assert Fraction(float(domain.scale().upper()[0])) >= Fraction(5e-324) / 2


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ([0.0, np.inf], [1.0, np.inf], "finite"),
        ([0.0, np.nan], [1.0, 1.0], "finite"),
        ([0.0, 2.0], [1.0, 1.0], "must not exceed its high, but at entry 1 they are 2.0 and 1.0"),
        ([0.0, 1.0], [0.0, 1.0], "the box is a point"),
        ([0.0], [1.0, 1.0], r"one shape, but theirs are \(1,\) and \(2,\)"),
    ],
)
def test_what_is_no_box_is_refused(low, high, message):
    with pytest.raises(ValueError, match=message):
        Box(low, high)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0], -1.0), "radius must not be negative"),
        (([0.0], 0.0), "0 everywhere"),
        (([0.0, 0.0], [1.0, 1.0]), "a single number for norm 2"),
        (([0.0, 0.0], [1.0, 1.0], 1), "a single number for norm 1"),
        (([0.0], 1.0, 3), 'norm must be "inf", 2 or 1, but 3 was given'),
        (([np.nan], 1.0), "center must be finite"),
    ],
)
def test_what_is_no_ball_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ball(*arguments)


def test_domains_are_equal_as_sets():
    assert Box([0.0, 1.0], [1.0, 1.0]) == Ball([0.5, 1.0], [0.5, 0.0], "inf")
    assert Ball([0.5, 1.0], [0.5, 0.0], "inf") == Box([0.0, 1.0], [1.0, 1.0])
    assert Box([0.0], [0.1]) != Ball([0.05], 0.05, "inf") or 2 * Fraction(0.05) == Fraction(0.1)
    assert Ball([0.0, 0.0], 1.0, 2) != Ball([0.0, 0.0], 1.0, 1)
    assert Ball([0.0, 0.0], 1.0, 2) != Everywhere() and Everywhere() == Everywhere()


@pytest.mark.parametrize("kind", ["box", *NORMS])
def test_a_domain_is_what_its_arrays_say(kind):
    domain = random_domain(np.random.default_rng(0), 3, kind)
    again = domain_from(domain.kind, domain.arrays())
    assert again == domain and again.kind == domain.kind
    with pytest.raises(ValueError):
        domain_from(domain.kind, domain.arrays() | {"more": np.zeros(3)})
    with pytest.raises(ValueError, match="a domain is one of"):
        domain_from("ball 3", domain.arrays())


def network(seed, widths=(2, 4, 3, 1)):
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((b, a)) for a, b in pairwise(widths)]
    return Network(weights, [0.3 * rng.standard_normal(b) for b in widths[1:]])


def exact_values(net, x):
    """Pre-activations of each layer and the output at a rational point."""
    layers = []
    for A, b in zip(net.weights, net.biases, strict=True):
        z = [
            sum((Fraction(float(a)) * v for a, v in zip(row, x, strict=True)), Fraction(float(s)))
            for row, s in zip(A, b, strict=True)
        ]
        layers.append(z)
        x = [max(v, Fraction(0)) for v in z]
    return layers


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["box", *NORMS])
def test_bounds_enclose_exact_values_at_ends_and_between(kind, seed):
    rng, net = np.random.default_rng(seed), network(seed)
    domain = random_domain(rng, 2, kind)
    problem = checked_problem(net, domain=domain)
    proved = [interval_bounds(net, problem), preactivation_bounds(net, problem, find_slopes(net, problem, "linear"))]
    lo, hi = output_range(net, problem)
    center, scale = ends(domain)
    corners = [(1, 0), (-1, 0), (0, 1), (0, -1)]
    if domain.shape == "inf":
        corners = [(a, b) for a in (-1, 1) for b in (-1, 1)]
    elif domain.shape == 2:
        corners.append((Fraction(3, 5), Fraction(4, 5)))
    points = [*corners, *((Fraction(3, 7) * a, Fraction(-2, 7) * b) for a, b in corners)]
    for xi in points:
        *hidden, out = exact_values(net, [c + s * v for c, s, v in zip(center, scale, xi, strict=True)])
        for bounds in proved:
            for z, (low, high) in zip(hidden, bounds, strict=True):
                for value, l, h in zip(z, low, high, strict=True):
                    assert Fraction(float(l)) <= value <= Fraction(float(h))
        assert Fraction(lo) <= out[0] <= Fraction(hi)


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("kind", ["box", "inf", 2, 1])
def test_the_lifting_takes_t_from_the_norm_and_xi_from_the_domain(kind, norm):
    net = network(0)
    domain = Box([-2.0, -2.0], [2.0, 2.1]) if kind == "box" else Ball([0.0, 0.0], 3.0, kind)
    problem = checked_problem(net, norm=norm, domain=domain)
    lifting = lift(net, problem, presolve(net, problem))
    assert lifting.balls == ((T,) if norm == 2 else ()) + ((XI,) if kind in (2, 1) else ())
    assert lifting.square_is_one[lifting.slice(T)].all() == (norm == "inf")


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("widths", [(2, 3, 1), (2, 3, 3, 1)])
@pytest.mark.parametrize("kind", ["box", 2])
def test_any_norm_on_any_domain_against_enumeration(kind, widths, norm):
    net = network(3, widths)
    domain = Box([-1.0, -0.5], [0.7, 0.9]) if kind == "box" else Ball([0.2, -0.1], 0.8, 2)
    result = hr2jax.solve(net, norm=norm, domain=domain)
    exact = exact_constant(net, checked_problem(net, norm=norm, domain=domain))
    assert exact * (1 - 1e-9) <= result.bound <= exact * 1.5
    assert exact * (1 - 1e-6) <= result.lower <= exact * (1 + 1e-9)
    assert domain.contains(result.witness)
    assert result.certificate.verify(net, norm=norm, domain=domain) <= result.bound * (1 + 1e-9)


@pytest.mark.parametrize("relaxation", ["shor", "hr2", "hr2z", "hr2+"])
def test_a_box_is_the_ball_that_is_the_same_set(relaxation):
    net = network(1, (3, 5, 1))
    ask = dict(relaxation=relaxation, output=0)
    box = hr2jax.solve(net, domain=Box([0.0, -1.0, 0.25], [1.0, 0.5, 0.25]), **ask)
    ball = hr2jax.solve(net, center=[0.5, -0.25, 0.25], radius=[0.5, 0.75, 0.0], **ask)
    assert (box.bound, box.lower) == (ball.bound, ball.lower)
    assert box.certificate.lipschitz_problem == ball.certificate.lipschitz_problem


def test_maximum_takes_a_domain():
    net = network(2)
    low, high = np.array([-0.5, 0.1]), np.array([0.6, 0.4])
    result = hr2jax.maximum(net, domain=Box(low, high))
    x = np.random.default_rng(0).uniform(low, high, (500, 2))
    assert net(x).max() <= result.bound and result.lower <= result.bound
    round_ = hr2jax.maximum(net, domain=Ball([0.0, 0.2], 0.5, 2), norm="inf")
    assert round_.bound == pytest.approx(hr2jax.maximum(net, center=[0.0, 0.2], radius=0.5, norm=2).bound, rel=1e-9)


def test_a_certificate_keeps_its_box(tmp_path):
    net = network(4, (2, 3, 1))
    domain = Box([0.1, 0.2], [0.4, 0.7])
    result = hr2jax.solve(net, norm=2, domain=domain)
    result.certificate.save(tmp_path / "box.npz")
    loaded = Certificate.load(tmp_path / "box.npz")
    assert loaded.lipschitz_problem.domain == domain and loaded.problem["low"] == [0.1, 0.2]
    assert loaded.verify(net, domain=domain) == pytest.approx(result.bound, rel=1e-12)
    with pytest.raises(CertificateError, match="another domain"):
        loaded.verify(net, domain=Box([0.1, 0.2], [0.4, 0.8]))
    with pytest.raises(CertificateError, match="the domain box"):
        loaded.verify(net, center=[0.25, 0.45], radius=0.1)
    assert "a box" in str(result)


def test_another_domain_than_the_problems_is_another_claim():
    """What was proved on the small box is not claimed of a larger one."""
    net = network(5, (2, 6, 1))
    small, large = Box([0.0, 0.0], [0.1, 0.1]), Box([-3.0, -3.0], [3.0, 3.0])
    problem = checked_problem(net, domain=small)
    bound = prover_of(net, problem, presolve(net, problem)).bound({}, None)
    wide = checked_problem(net, domain=large)
    assert prover_of(net, wide, presolve(net, wide)).bound({}, None) >= bound
    with pytest.raises(ValueError, match="cannot be proved to keep its sign"):
        presolve(net, wide, Enclosure, presolve(net, problem).layout())


@pytest.mark.parametrize("norm", [1, "1", "l1", 1.0])
def test_norm_1_is_never_read_as_2(norm):
    """Of x_0 + x_1 the gradient's largest entry is 1, its length the root of 2."""
    net = Network([[[1.0, 1.0]], [[1.0], [0.0]]], [[0.0], [0.0, -1.0]])
    for result in (hr2jax.solve(net, norm=norm), *hr2jax.solve_all(net, norm=norm)):
        assert result.bound == pytest.approx(1.0)
    ball = {"center": [1.0, 1.0], "radius": 1.0}
    assert hr2jax.maximum(net, output=0, norm=norm, **ball).bound == pytest.approx(3.0, rel=2e-3)
    report = hr2jax.certify(net, [[1.0, 1.0]], radii=[2.5, 3.5], norm=norm)
    assert report.certified.tolist() == [[True, False]]


def test_a_ball_of_norm_1_bounds_the_gradient_in_other_norms():
    net = network(6, (2, 4, 1))
    domain = Ball([0.1, 0.0], 0.5, 1)
    result = hr2jax.solve(net, norm="inf", domain=domain)
    rng = np.random.default_rng(0)
    xi = rng.standard_normal((200, 2))
    x = domain.center + 0.5 * xi / np.abs(xi).sum(axis=1, keepdims=True) * rng.random((200, 1))
    sampled = max(attained(net, checked_problem(net, domain=domain), domain.into(p)) for p in x)
    assert sampled <= result.lower * (1 + 1e-12) <= result.bound * (1 + 1e-12)
    assert domain.contains(result.witness)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"domain": Box([0.0], [1.0])}, "must have 2 entries, the network's inputs, but it has 1"),
        ({"domain": Box([0.0] * 2, [1.0] * 2), "center": [0.0, 0.0]}, "one or the other"),
        ({"domain": (0, 1)}, "domain must be a hr2jax.Box or a hr2jax.Ball"),
        ({"output_norm": 3}, '^output_norm must be "inf", 2 or 1'),
    ],
)
def test_what_is_no_domain_of_the_network_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        hr2jax.solve(network(0), **arguments)


@pytest.mark.parametrize("arguments", [{"method": "admm"}, {"relaxation": "lasserre2"}])
def test_block_forms_are_for_boxes(arguments):
    with pytest.raises(NotImplementedError, match="a box"):
        hr2jax.solve(network(0, (2, 3, 1)), domain=Ball([0.0, 0.0], 1.0, 2), **arguments)
