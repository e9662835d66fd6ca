"""lifting="reach": global bounds that know which patterns occur, against the constants themselves."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import CertificateError, Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation import plane
from hr2jax.relaxation.section import find_section, refusal
from tests.reference.brute import exact_constant
from tests.reference.cases import random_net
from tests.reference.certificates import entries_of, write
from tests.reference.effort import FULL
from tests.reference.section_points import random_kinked


def net_of(seed, widths, bias=True):
    net = random_net(np.random.default_rng(seed), widths)
    return net if bias else Network(net.weights, [0 * b for b in net.biases])


def reach(net, **options):
    return hr2jax.solve(net, **{"relaxation": "hr2+", "lifting": "reach", "witness": 0} | options)


# hr2+ without it: 1.03 to 1.5 times the constant
@pytest.mark.parametrize("widths, bias, most", [
    ((2, 6, 1), True, 1.03), ((2, 12, 1), True, 1.01), ((3, 8, 1), False, 1.005), ((2, 6, 6, 1), True, 1.15),
])  # fmt: skip
@pytest.mark.parametrize("norm", ["inf", 2])
def test_the_bound_is_near_the_constant_where_few_patterns_occur(widths, bias, most, norm, tmp_path):
    net = net_of(3, widths, bias)
    constant = exact_constant(net, checked_problem(net, norm=norm))
    result = reach(net, norm=norm)
    lifting = "forward" if net.depth == 1 else "adjoint"
    plain = hr2jax.solve(net, norm=norm, relaxation="hr2+", lifting=lifting, witness=0)
    assert constant * (1 - 1e-9) <= result.bound <= min(most * constant, plain.bound * (1 + 1e-3))
    assert result.problem["lifting"] == result.certificate.lifting == "reach"
    result.certificate.save(tmp_path / "reach.npz")
    loaded = hr2jax.Certificate.load(tmp_path / "reach.npz")
    assert loaded.verify(net, norm=norm, center=None) == result.bound


def attained(net, norm, output_norm, rng):
    """The largest slope at random points of all scales."""
    x = rng.standard_normal((400, net.widths[0])) * 10.0 ** rng.uniform(-3, 3, (400, 1))
    J = net.jacobian(x)
    if net.widths[-1] == 1:
        return np.abs(J[:, 0]).sum(axis=1).max() if norm == "inf" else np.linalg.norm(J[:, 0], axis=1).max()
    assert norm == output_norm == 2
    return np.linalg.norm(J, 2, axis=(1, 2)).max()


@settings(max_examples=10 if FULL else 5, deadline=None)  # test_enumerated_local.py has more
@given(seed=st.integers(0, 2**32 - 1))
def test_no_slope_anywhere_exceeds_the_bound(seed):
    """Of any piecewise linear network, with skips, without biases, of one output or several."""
    rng = np.random.default_rng(seed)
    net = random_kinked(rng)
    assume(not refusal(net) and find_section(net) is not None)
    norm = 2 if net.widths[-1] > 1 else [2, "inf"][rng.integers(2)]
    result = reach(net, norm=norm, max_iterations=30)
    assert result.bound >= attained(net, norm, 2, rng) * (1 - 1e-9)
    assert result.certificate.verify(net) == result.bound


def test_balls_prove_it_too():
    net = net_of(0, (2, 4, 1))
    result = reach(net)
    assert result.certificate.verify(net, arithmetic="ball") == pytest.approx(result.bound, rel=1e-6)


@pytest.fixture(scope="module")
def proved():
    net = net_of(1, (2, 5, 4, 1))
    return net, reach(net, norm=2).certificate, exact_constant(net, checked_problem(net, norm=2))


@pytest.mark.parametrize("name", [
    "section/weights", "section/constant", "section/inverse", "section/radius", "low/1", "high/1", "high/2",
])  # fmt: skip
@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.5, 0.999, 1.001, 2.0])
def test_a_changed_number_makes_no_bound_false(proved, name, factor, tmp_path):
    net, certificate, constant = proved
    entries = entries_of(certificate)
    entries[name] = entries[name] * factor
    path = write(tmp_path / "changed.npz", entries)
    try:
        bound = hr2jax.Certificate.load(path).verify(net)
    except CertificateError:
        return
    assert bound >= constant * (1 - 1e-9)


@pytest.mark.parametrize("change", [
    lambda e: e.pop("section/inverse"),
    lambda e: e.update({"section/more": np.zeros(1)}),
    lambda e: e.update({"section/columns": np.array([0], dtype=np.int64)}),
    lambda e: e.update({"section/columns": e["section/columns"].astype(np.float64)}),
    lambda e: e.update({"section/weights": e["section/weights"][1:]}),
    lambda e: e.update({"claim": np.array(str(e["claim"]).replace('"reach"', '"adjoint"'))}),
])  # fmt: skip
def test_a_section_that_does_not_fit_is_refused(proved, change, tmp_path):
    net, certificate, _ = proved
    entries = entries_of(certificate)
    change(entries)
    with pytest.raises(CertificateError):
        hr2jax.Certificate.load(write(tmp_path / "changed.npz", entries)).verify(net)


def test_a_lifting_without_its_section_is_refused(proved):
    net, certificate, _ = proved
    bare = dataclasses.replace(certificate, layout=dataclasses.replace(certificate.layout, section=None))
    with pytest.raises(CertificateError, match="section"):
        bare.verify(net)


def test_hr2_plus_tries_both_and_keeps_the_smaller_bound():
    net = net_of(3, (2, 5, 1))
    plain = hr2jax.solve(net, relaxation="hr2+", lifting="forward", witness=0)
    both = hr2jax.solve(net, relaxation="hr2+", witness=0)
    assert plain.certificate.lifting == "forward" and "lifting" not in plain.problem
    assert both.bound < 0.999 * plain.bound and both.problem["lifting"] == "reach"
    assert both.bound == both.certificate.verify(net) == reach(net).bound
    assert plain.bound >= both.relaxation_value == reach(net).relaxation_value


@pytest.mark.parametrize("witness", [0, 1])
def test_larger_ones_are_tried_where_a_witness_leaves_a_gap(witness, monkeypatch):
    monkeypatch.setattr("hr2jax.solving.reach.LARGEST", 0)
    monkeypatch.setattr("hr2jax.solving.cases.MOST_WITH_FACES", 0)  # which would leave no gap
    found = hr2jax.solve(net_of(3, (2, 6, 1)), relaxation="hr2+", witness=witness)
    assert found.certificate.lifting == ("reach" if witness else "forward")


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.2])
def test_a_time_limit_ends_it_with_what_is_proved(seconds):
    net = net_of(0, (2, 8, 8, 1))
    result = hr2jax.solve(net, relaxation="hr2+", witness=0, time_limit=seconds)
    assert result.bound >= attained(net, "inf", None, np.random.default_rng(0))
    assert result.certificate.verify(net) == result.bound


def test_where_every_pattern_occurs_it_is_not_tried(monkeypatch):
    net = net_of(0, (4, 4, 1))
    monkeypatch.setattr("hr2jax.solving.run._beside", lambda *_: pytest.fail("there is nothing beside"))
    assert hr2jax.solve(net, relaxation="hr2+", witness=0).certificate.lifting == "forward"


def test_other_relaxations_and_liftings_are_what_they_were():
    net = net_of(3, (2, 5, 5, 1))
    for options in ({"relaxation": "hr2"}, {"lifting": "adjoint"}):
        result = hr2jax.solve(net, **{"relaxation": "hr2+", "witness": 0} | options)
        assert result.certificate.lifting == "adjoint"


def test_refusals_say_what_reach_is_for():
    net = net_of(0, (2, 5, 1))
    with pytest.raises(ValueError, match="global Lipschitz constants, but a local constant"):
        reach(net, center=[0, 0], radius=1.0)
    with pytest.raises(NotImplementedError, match="'shor', 'hr2', 'hr2\\+'"):
        reach(net, relaxation="lipsdp")
    with pytest.raises(NotImplementedError, match="piecewise linear layers, but layer 1 is tanh"):
        reach(Network(net.weights, net.biases, activation="tanh"))
    with pytest.raises(ValueError, match="every pattern of the first layer occurs"):
        reach(net_of(0, (5, 5, 1)))


ONE_SLOPE = [("prelu", {"weight": np.array([0.0, 1.0])}), ("leaky_relu", {"negative_slope": 1.0})]


@pytest.mark.parametrize("first", ONE_SLOPE)
@pytest.mark.parametrize("norm", ["inf", 2, 1])
def test_a_neuron_of_one_slope_carries_x_where_entries_of_it_are_fixed(first, norm):
    """relu(x_2 - relu(x_1)), x_2 behind a PReLU of weight 1: a right inverse fixed x_2 at 0, and 0 was proved."""
    name, parameters = first
    if name == "leaky_relu":  # beside a layer of two slopes
        layers = [
            hr2jax.Layer({0: np.array([[1.0, 0, 0]])}, np.zeros(1), "relu"),
            hr2jax.Layer({0: np.array([[0, 1.0, 0]])}, np.zeros(1), name, parameters),
            hr2jax.Layer({1: np.array([[-1.0]]), 2: np.array([[1.0]])}, np.zeros(1), "relu"),
        ]
    else:
        layers = [
            hr2jax.Layer({0: np.array([[1.0, 0, 0], [0, 1.0, 0]])}, np.zeros(2), name, parameters),
            hr2jax.Layer({1: np.array([[-1.0, 1.0]])}, np.zeros(1), "relu"),
        ]
    net = Network.from_layers([*layers, hr2jax.Layer({len(layers): np.array([[1.0]])}, np.zeros(1), "identity")])
    constant = {"inf": 2.0, 2: 2**0.5, 1: 1.0}[norm]
    for options in ({"lifting": "reach"}, {}):
        try:
            bound = hr2jax.solve(net, norm=norm, relaxation="hr2+", witness=0, **options).bound
        except ValueError as error:
            assert "lifting='reach' was given, but" in str(error)
            continue
        assert bound >= constant


def test_a_file_may_have_its_neurons_in_any_order():
    """The section's weights are the neurons', not those of the order in a file: 3.0025 was proved of 10."""
    net = Network(
        [np.array([[1.0], [-1.0], [0.5]]), np.array([[-0.1, 1.0, 1.0]]), np.array([[10.0]])],
        [np.array([0.0, 1.0, 1.0]), np.array([0.1]), np.zeros(1)],
    )
    section = find_section(net)
    posed, problem = section.posed(net, checked_problem(net))
    section = dataclasses.replace(section, weights=np.array([100.0, 0.01, 0.02]))
    domain = problem.domain
    object.__setattr__(domain, "section", section)
    fixed = SimpleNamespace(structure=posed.structure, layers=[SimpleNamespace(unstable=np.array([1, 0, 2]))])
    np.testing.assert_array_equal(plane._weights_of(posed, fixed, domain)[1], [0.01, 100.0, 0.02])
    fixed.layers[0].unstable = np.array([0, 2])
    with pytest.raises(ValueError, match="not those that have variables"):
        plane._weights_of(posed, fixed, domain)
