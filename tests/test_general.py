"""Networks that are no ReLU chains, from layers to bounds, witnesses and certificates, against exact enumeration."""

import dataclasses
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

import hr2jax
from hr2jax.certificate.certificate import certify_multipliers
from hr2jax.engines.product.newton import solve_newton
from hr2jax.layer import Layer
from hr2jax.lower.attained import attained
from hr2jax.lower.values import value_at
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.families import preset
from hr2jax.relaxation.presolve import LIFTINGS, presolve

from .reference.cases import exact
from .reference.general import gradient, is_at_most, member, pre_activations, random_general, region_points

OUTPUT = Layer({1: [[1.0]]}, [0.0], "identity")


class Certifying:
    """A monitor that makes certificates of all that an engine offers, and ends it after `iterations`."""

    origin = lower = 0.0
    tolerance = 1e-3

    def __init__(self, net, problem, fixed, relaxation, iterations=8):
        self.of, self.iterations, self.best = (net, problem, relaxation, fixed), iterations, None
        self.bound = np.inf

    def certify(self, multipliers, diagonal):
        certificate = certify_multipliers(*self.of, multipliers, diagonal)
        if certificate.bound < self.bound:
            self.best, self.bound = certificate, certificate.bound
        return certificate.bound

    def report(self, iteration, relaxation_value, residual):
        self.iterations -= 1

    def remaining(self, last=0.0):
        return np.inf

    def iterations_left(self):
        return self.iterations


def residual(seed=0, q=2, h=3, activation="leaky_relu"):
    """x -> z -> a residual block -> output, 3 h neurons."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.normal(size=shape) / np.sqrt(shape[-1])

    return Network.from_layers([
        Layer({0: draw(h, q)}, draw(h), activation),
        Layer({1: draw(h, h)}, draw(h), activation),
        Layer({1: np.eye(h), 2: draw(h, h)}, draw(h), "identity"),
        Layer({0: draw(2, q), 3: draw(2, h)}, draw(2), "identity"),
    ])  # fmt: skip


def drawn(seed, *, local=None, quantity="lipschitz", radii=None):
    """A random network, a problem, points of all regions that were found, and the generator."""
    rng = np.random.default_rng(seed)
    net = random_general(rng, radii=(0.5 if seed % 3 == 0 else 0.0) if radii is None else radii)
    q, outputs = net.widths[0], net.widths[-1]
    norm = ["inf", 2][int(rng.integers(2))]
    local = bool(rng.integers(2)) if local is None else local
    center, radius = rng.normal(size=q), float(rng.choice([0.5, 1.0, 2.0]))
    ball = {"center": center, "radius": radius} if local else {}
    problem = checked_problem(net, rng.normal(size=outputs), norm, quantity=quantity, **ball)
    if not local:
        center, radius = np.zeros(q), 20.0
    half = radius if norm == "inf" else radius / np.sqrt(q)
    points = [*rng.uniform(center - half, center + half, size=(20, q))]
    points += region_points(net, center - half, center + half, 30)
    return net, problem, [x for x in points if not local or problem.domain.contains(x)], rng


def exceeds_all(net, problem, bound, points, rng):
    """Whether no gradient at the points, of any member that is drawn, has a dual norm above the bound: exactly."""
    c = exact(problem.coefficients)
    for x in points:
        g = gradient(member(net, rng), exact(x), c)
        if g is not None and not is_at_most(g, problem.norm, bound):
            return False
    return True


def bound_without_solver(seed):
    net, problem, points, rng = drawn(seed)
    fixed = presolve(net, problem, chains=LIFTINGS["adjoint"])
    for name in ("interval", "product"):
        certificate = certify_multipliers(net, problem, name, fixed, {})
        assert exceeds_all(net, problem, certificate.bound, points, rng), name
        assert certificate.verify(net) == certificate.bound


def solved(seed):
    """A few steps of `newton`: every certificate that is offered on the way is a bound."""
    net, problem, points, rng = drawn(seed)
    lifting = str(rng.choice(["forward", "adjoint", "both"])) if net.depth > 1 else "forward"
    if not problem.is_local and rng.random() < 0.3:
        lifting = "lipsdp"
    fixed = presolve(net, problem, chains=LIFTINGS[lifting])
    relaxation = "lipsdp" if lifting == "lipsdp" else str(rng.choice(["shor", "hr2", "hr2+"]))
    lifted = lift(net, problem, fixed)
    monitor = Certifying(net, problem, fixed, relaxation)
    solve_newton(lifted, preset(relaxation, lifted), monitor)
    certificate = monitor.best
    assert exceeds_all(net, problem, certificate.bound, points, rng)
    assert certificate.verify(net) == certificate.bound


def attains(seed):
    """What `attained` says is no more than any member's slope there, and without radii hardly less."""
    net, problem, points, rng = drawn(seed)
    c = exact(problem.coefficients)
    for x in points[:10]:
        lower = attained(net, problem, x)
        for _ in range(3):
            g = gradient(member(net, rng), exact(x), c)
            if g is None:
                continue
            assert not is_at_most(g, problem.norm, np.nextafter(lower, 0.0)) or lower == 0.0
            if not net.has_radii:
                assert is_at_most(g, problem.norm, lower * (1 + 1e-8))


def largest_value(seed):
    net, problem, points, rng = drawn(seed, local=True, quantity="maximum")
    fixed = presolve(net, problem, chains=LIFTINGS["values"])
    certificate = certify_multipliers(net, problem, "interval", fixed, {})
    c = exact(problem.coefficients)
    lifted = lift(net, problem, fixed)
    monitor = Certifying(net, problem, fixed, "hr2")
    solve_newton(lifted, preset("hr2", lifted), monitor)
    for x in points[:20]:
        for _ in range(2):
            value = c @ pre_activations(member(net, rng), exact(x))[-1]
            assert value <= Fraction(certificate.bound)
            assert value <= Fraction(monitor.best.bound)
            assert Fraction(value_at(net, problem, x)) <= value


CHECKS = (bound_without_solver, solved, attains, largest_value)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("check", CHECKS)
def test_random_networks(check, seed):
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_many_random_networks(check):
    for seed in range(2000):
        check(seed)


# --- the thread ----------------------------------------------------------------------------------------------


@cache
def result(norm, local, relaxation):
    where = {"center": np.zeros(2), "radius": 3.0} if local else {}
    return hr2jax.solve(residual(), output=0, norm=norm, relaxation=relaxation, **where)


@pytest.mark.parametrize(("norm", "local", "relaxation"), [
    ("inf", True, "hr2"), pytest.param(2, False, "shor", marks=pytest.mark.slow),
])
def test_from_layers_to_a_certificate_that_verifies(norm, local, relaxation, tmp_path):
    net, found = residual(), result(norm, local, relaxation)
    half = 3.0 if local else 50.0
    points = region_points(net, np.full(2, -half), np.full(2, half))
    assert len(points) > 4
    slopes = [gradient(member(net, np.random.default_rng(0)), exact(x), exact([1.0, 0.0])) for x in points]
    assert all(is_at_most(g, norm, found.bound) for g in slopes)
    at = gradient(member(net, np.random.default_rng(0)), exact(found.witness), exact([1.0, 0.0]))
    assert is_at_most(at, norm, found.bound)
    assert not is_at_most(at, norm, np.nextafter(found.lower, 0.0))
    attained_best = max(float(np.linalg.norm(g.astype(float), 1 if norm == "inf" else 2)) for g in slopes)
    assert found.lower == pytest.approx(attained_best, rel=1e-6)  # the search finds the best region
    assert found.bound <= 1.25 * found.lower
    found.certificate.save(tmp_path / "c.npz")
    again = hr2jax.Certificate.load(tmp_path / "c.npz")
    assert again.verify(net) == found.bound
    assert again.verify(net, arithmetic="ball") == pytest.approx(found.bound, rel=1e-9)
    for other in (residual(activation="relu"), residual(activation="abs"), residual(1)):
        with pytest.raises(hr2jax.CertificateError, match="belongs to another network"):
            again.verify(other)


def test_any_change_to_the_layout_is_refused_or_still_a_bound():
    net, found = residual(), result("inf", True, "hr2")
    points = region_points(net, np.full(2, -3.0), np.full(2, 3.0))
    layout, refused = found.certificate.layout, 0
    problem, rng = found.certificate.lipschitz_problem, np.random.default_rng(0)
    changes = []
    for l in range(3):
        kept = tuple(v[:-1] if k == l and len(v) else v for k, v in enumerate(layout.unstable))
        changes.append({"unstable": kept})
        changes.append({"active": tuple(v[:-1] if k == l and len(v) else v for k, v in enumerate(layout.active))})
        every = tuple(np.arange(3) if k == l else v for k, v in enumerate(layout.active))
        none = tuple(v[:0] if k == l else v for k, v in enumerate(layout.unstable))
        changes.append({"active": every, "unstable": none})
        for name in ("low", "high"):
            changes.append({name: tuple(0.5 * v if k == l else v for k, v in enumerate(getattr(layout, name)))})
    changes.append({"reach": {c: tuple(0.5 * v for v in of) for c, of in layout.reach.items()}})
    changes.append({"carried": {c: tuple(l + 1 for l in of) for c, of in layout.carried.items()}})
    for change in changes:
        certificate = dataclasses.replace(found.certificate, layout=dataclasses.replace(layout, **change))
        try:
            bound = certificate.verify(net)
        except hr2jax.CertificateError:
            refused += 1
        else:
            assert exceeds_all(net, problem, bound, points, rng)
    assert refused >= len(changes) // 2


def test_without_a_hidden_layer_the_bound_is_the_matrix_norm():
    C = np.array([[3.0, -4.0], [1.0, 1.0]])
    net = Network.from_layers([Layer({0: C}, [0.5, 0.0], "identity")])
    for norm, constant in (("inf", 7.0), (2, 5.0)):
        for where in ({}, {"center": [1.0, 1.0], "radius": 2.0}):
            found = hr2jax.solve(net, output=0, norm=norm, relaxation="interval", **where)
            assert found.bound == pytest.approx(constant, rel=1e-12)
            assert found.lower == pytest.approx(constant, rel=1e-12)
            assert found.certificate.verify(net) == found.bound


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relaxation": "lasserre2"}, r"relaxation='lasserre2' is for chains of ReLU layers, but .* Network\("),
        ({"relaxation": "lipopt3"}, "relaxation='lipopt3' is for chains of ReLU layers"),
        ({"method": "admm"}, "method='admm' is for one hidden layer and norm='inf'"),
    ],
)
def test_what_is_for_chains_says_so(options, message):
    with pytest.raises(NotImplementedError, match=message):
        hr2jax.solve(residual(), output=0, **options)


def test_the_largest_value_is_above_all_values_and_at_its_witness():
    net = residual(activation="abs")
    found = hr2jax.maximum(net, center=[0.5, -0.5], radius=3.0, output=1)
    layers = member(net, np.random.default_rng(0))
    points = region_points(net, np.array([-2.5, -3.5]), np.array([3.5, 2.5]))
    values = [pre_activations(layers, exact(x))[-1][1] for x in [*points, found.witness]]
    assert len(points) > 2
    assert max(values) <= Fraction(found.bound)
    assert Fraction(found.lower) <= values[-1]
    assert found.gap <= 0.05
    assert found.certificate.verify(net) == found.bound


@pytest.mark.parametrize("via", ["lipschitz-global", "lipschitz-local", "sdp"])
def test_certified_radii_hold_for_every_member(via):
    rng = np.random.default_rng(4)
    net = random_general(rng, layers=4, inputs=2, outputs=2, radii=0.5)
    inputs = rng.normal(size=(3, 2))
    report = hr2jax.certify(net, inputs, radii=[0.001, 0.1, 0.5], via=via, attack_steps=5, relaxation="shor")
    assert report.certified[:, 0].any()
    labels = np.argmax(net(inputs), axis=1)
    for i, radius in np.argwhere(report.certified):
        r = report.radii[radius]
        points = inputs[i] + rng.uniform(-r, r, size=(40, 2))
        for x in points:
            scores = pre_activations(member(net, rng), exact(x))[-1]
            assert scores[labels[i]] > scores[1 - labels[i]]
