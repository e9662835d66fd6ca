"""The lifting "tied": every statement holds at points of the network, whose slopes are what they are there."""

from dataclasses import replace

import numpy as np
import pytest

import hr2jax
from hr2jax import CertificateError, Layer, Network, graph
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.certificate import certify_multipliers
from hr2jax.certificate.prover import prover_of
from hr2jax.problem import checked_problem
from hr2jax.relaxation.basis import ONE, XI, Group, T
from hr2jax.relaxation.chains import factors
from hr2jax.relaxation.families import catalogue, preset
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.ties import COARSE, ties_of
from tests.reference.effort import examples
from tests.test_smooth import EVERY, SMOOTH, form_values, network, sampled

KINDS = (*SMOOTH, "relu", "leaky_relu", "abs")


def where_of(rng, p):
    """A domain, a norm and a radius of any size."""
    where = {"center": rng.normal(size=p), "radius": float(10.0 ** rng.uniform(-2, 0.7))}
    return where | ({"norm": 2} if rng.random() < 0.3 else {})


def presolved(net, problem, **more):
    return presolve(net, problem, chains=LIFTINGS["tied"], tied=True, **more)


def known(reach, exponent):
    """Where two lines are apart by more than the rounding of what lies between them."""
    return reach > 1e-12 * 2.0**exponent


def point(net, problem, lifting, rng):
    """What every group is at an input and a direction, float64, and the objective."""
    fixed = lifting.presolve
    free, domain, exponents = fixed.free, problem.domain, {}
    xi = rng.uniform(-1, 1, len(free)) / (1 if domain.shape == "inf" else np.sqrt(len(free)))
    xi = np.where(rng.random(len(free)) < 0.3, np.sign(xi), xi) if domain.shape == "inf" else xi
    t = rng.choice([-1.0, 1.0], len(free)) / (1.0 if problem.norm == "inf" else np.sqrt(len(free)))
    x, along = domain.center.copy(), np.zeros(net.widths[0])
    x[free], along[free] = domain.center[free] + domain.radius[free] * xi, t
    y, z, slope = {ONE: np.ones(1), T: t, XI: xi}, [], []
    graph.evaluate(net.layers, x, lambda l, values: z.append(values))
    layers, g = net.layers, {len(net.layers) - 1: net.layers[-1].inputs[len(net.layers) - 1].T @ problem.coefficients}
    for l, (layer, values) in enumerate(zip(layers[:-1], z, strict=False), 1):
        alpha_beta = layer.slopes if layer.is_kinked else (0.0, 0.0)
        slope.append(np.where(values > 0, *alpha_beta[::-1]) if layer.is_kinked else layer.derivative(values))
        neurons = fixed.layers[l - 1]
        kept, exponents[l] = neurons.unstable, neurons.exponent
        own, ties = values[kept], lifting.ties.get(l)
        y[Group("z", l)] = own / 2.0 ** neurons.exponent
        if ties is None:
            y[Group("v", l)] = np.where(own > 0, 1.0, -1.0)
            y[Group("x", l)] = np.maximum(own, 0.0) / 2.0 ** neurons.exponent
            continue
        own_slope = slope[-1][kept]
        y[Group("d", l)] = (own_slope - ties.middle) / 2.0 ** ties.exponent
        rest = own_slope - ties.slope * own - ties.shift
        y[Group("k", l)] = np.divide(rest, ties.reach, out=np.zeros(len(own)), where=known(ties.reach, ties.exponent))
        if l in lifting.curves:
            curves, sigma = lifting.curves[l], layer.value(own)
            rest = sigma - curves.slope * own - curves.shift
            e = np.divide(rest, curves.reach, out=np.zeros(len(own)), where=known(curves.reach, curves.exponent["f"]))
            middle = 0.5 * curves.at_middle[0] + 0.5 * curves.at_middle[1]
            from_middle, rise = sigma - middle, own - curves.middle
            sides = {"f": sigma, "fa": from_middle - curves.least * rise, "fb": curves.most * rise - from_middle}
            for kind, side in sides.items():
                there = side if kind == "f" else np.where(curves.known, side, e)
                y[Group(kind, l)] = there / 2.0 ** curves.exponent[kind]
            y[Group("e", l)] = e
    for l in range(len(layers) - 1, 0, -1):
        g[l - 1] = layers[l - 1].inputs[l - 1].T @ (slope[l - 1] * g[l])
        neurons = fixed.layers[l - 1]
        if Group("a", l) in lifting.sizes:
            b = (g[l][neurons.unstable] - neurons.middle["a"]) / 2.0 ** neurons.reach_exponent["a"]
            by = y[Group("d", l)] if l in lifting.ties else (y[Group("v", l)] + 1) / 2
            y |= {Group("g", l): b, Group("a", l): by * b}
    return y, float(g[0] @ along)


def check(seed):
    """One random network and problem, at some of its points."""
    rng = np.random.default_rng(seed)
    names = [str(rng.choice(KINDS)) for _ in range(int(rng.integers(1, 4)))]
    if not set(names) & set(SMOOTH):
        names[-1] = str(rng.choice(SMOOTH))
    net = network(rng, names, (3, *rng.integers(2, 5, len(names)).tolist(), 1))
    problem = checked_problem(net, **where_of(rng, 3))
    fixed, kind = presolved(net, problem), Arb if seed % 5 == 0 else Enclosure
    lifting = lift(net, problem, presolved(net, problem, arithmetic=kind, layout=fixed.layout()), kind)
    if XI not in lifting.sizes:
        return
    for _ in range(10):
        y, value = point(net, problem, lifting, rng)
        near = 1e-9 * (1 + max(float(np.abs(m.magnitude()).max(initial=0.0)) for r in lifting.derived.values()
                               for m in r.values()))  # fmt: skip
        # of an adjoint that does not move what is left is the rounding of this sum here
        near += max([float(np.max(1e-14 * np.abs(n.middle["a"]) / 2.0 ** n.reach_exponent["a"], initial=0.0))
                     for n in fixed.layers if "a" in n.middle], default=0.0)  # fmt: skip
        for group, size in lifting.sizes.items():
            assert y[group].shape == (size,) and (np.abs(y[group]) <= 1 + near).all(), group
        for group, terms in lifting.derived.items():
            found = sum(m.mid @ y[other] for other, m in terms.items())
            assert np.allclose(found, y[group], atol=near), group
        for name, form in factors(lifting).items():
            assert (form_values(form, y) > -near).all(), name
        for name, family in catalogue(lifting).items():
            product = form_values(family.F, y) * form_values(family.G, y)
            assert (np.abs(product) < near).all() if family.equality else (product > -near).all(), name
        objective = sum(y[g] @ block.mid @ y[h] for (g, h), block in lifting.objective.items())
        assert np.isclose(objective * 2.0**lifting.exponent, value, atol=near * max(1.0, abs(value)))


@pytest.mark.parametrize("seed", range(25))
def test_every_statement_holds_at_points_of_the_network(seed):
    check(seed)


@pytest.mark.slow
def test_every_statement_holds_at_points_of_very_many_networks():
    for seed in range(25, 3000):
        check(seed)


def test_a_fault_in_the_lines_is_caught(monkeypatch):
    """Lines that leave the slope's error out, and adjoints taken for less than they are."""
    import hr2jax.relaxation.lifting as module

    monkeypatch.setattr(module, "ties_of", lambda *a: replace(found := ties_of(*a), reach=0.5 * found.reach))
    with pytest.raises(AssertionError):
        for seed in range(20):
            check(seed)


def check_bound(seed):
    """What random multipliers prove, and intervals: all of them are above the slopes."""
    rng = np.random.default_rng(seed)
    names = [str(rng.choice(KINDS)) for _ in range(int(rng.integers(1, 4)))]
    net = network(rng, names, (int(rng.integers(1, 4)), *rng.integers(1, 5, len(names)).tolist(), 1))
    problem = checked_problem(net, **where_of(rng, net.widths[0]))
    fixed = presolved(net, problem)
    lifting, prover = lift(net, problem, fixed), prover_of(net, problem, fixed)
    multipliers = {
        family.name: 0.05 * rng.exponential(size=family.shape) * (rng.choice([-1.0, 1.0]) if family.equality else 1.0)
        for family in preset("hr2+", lifting)
    }
    certificate = certify_multipliers(net, problem, "hr2", fixed, multipliers, prover=prover)
    assert certificate.lifting == "tied"
    assert sampled(net, problem, rng, 300) <= certificate.bound * (1 + 1e-12)
    if seed % 5 == 0:
        assert certificate.verify(net) == certificate.bound


def test_no_slope_is_above_the_bound():
    for seed in range(examples(100)):
        check_bound(seed)


@pytest.mark.slow
def test_no_slope_of_very_many_networks_is_above_the_bound():
    for seed in range(3000):
        check_bound(seed)


@EVERY
def test_auto_is_below_the_lifting_of_free_slopes(activation):
    """On a small box auto takes it, and its bound leaves less than a third of what free slopes leave."""
    rng = np.random.default_rng([2, *activation.encode()])
    net, where = network(rng, activation, (3, 8, 8, 1)), {"center": 0.3 * rng.normal(size=3) + 0.2, "radius": 0.01}
    problem = checked_problem(net, **where)
    tied, free = hr2jax.solve(net, **where), hr2jax.solve(net, lifting="adjoint", witness=0, **where)
    most = sampled(net, problem, rng)
    assert tied.certificate.lifting == "tied" and tied.problem["lifting"] == "tied"
    assert most <= tied.bound * (1 + 1e-12)
    assert tied.bound - tied.lower <= 0.34 * (free.bound - tied.lower) + 2e-3 * free.bound
    assert tied.certificate.verify(net) <= tied.bound * (1 + 1e-9)
    if activation in ("tanh", "gelu"):
        assert tied.certificate.verify(net, arithmetic="ball") <= tied.bound * (1 + 1e-9)


@pytest.mark.parametrize("radius", [0.3, 1.0, 3.0])
def test_auto_is_not_above_free_slopes_where_lines_say_little(radius):
    rng = np.random.default_rng(9)
    net = network(rng, ["tanh", "gelu"], (3, 6, 6, 1))
    where = {"center": np.zeros(3), "radius": radius}
    auto, free = hr2jax.solve(net, **where), hr2jax.solve(net, lifting="adjoint", **where)
    assert auto.bound <= free.bound * (1 + 2e-3)


def test_relus_behind_smooth_layers_have_values():
    """Masks behind a tanh are tied to its values: of free masks the bound would be above."""
    rng = np.random.default_rng(10)
    net = network(rng, ["tanh", "relu", "relu"], (3, 6, 6, 6, 1))
    where = {"center": np.zeros(3), "radius": 0.1}
    problem = checked_problem(net, **where)
    lifting = lift(net, problem, presolved(net, problem))
    names = catalogue(lifting)
    assert net.structure.valued == () and lifting.presolve.valued == (2, 3)
    assert {"X+/2", "x.(z-x)/2", "u.z/3"} <= names.keys() and "fa.fb/1" in names
    tied, free = (hr2jax.solve(net, lifting=name, witness=0, **where).bound for name in ("tied", "adjoint"))
    assert tied < 0.9 * free


def test_skips_and_radii():
    rng = np.random.default_rng(5)
    layers = [
        Layer({0: (rng.normal(size=(4, 2)), np.full((4, 2), 1e-3))}, rng.normal(size=4), "softplus", {"beta": 3.0}),
        Layer({0: rng.normal(size=(4, 2)), 1: rng.normal(size=(4, 4))}, rng.normal(size=4), "relu"),
        Layer({1: rng.normal(size=(3, 4)), 2: rng.normal(size=(3, 4))}, rng.normal(size=3), "gelu",
              {"approximate": "tanh"}),
        Layer({0: rng.normal(size=(1, 2)), 2: rng.normal(size=(1, 4)), 3: rng.normal(size=(1, 3))}, [0.0], "identity"),
    ]  # fmt: skip
    net = Network.from_layers(layers)
    for norm in ("inf", 2):
        where = {"center": [0.1, -0.2], "radius": 0.1}
        result = hr2jax.solve(net, lifting="tied", norm=norm, **where)
        free = hr2jax.solve(net, lifting="adjoint", norm=norm, witness=0, **where)
        assert 0 < result.lower <= result.bound <= free.bound
        assert result.certificate.verify(net) <= result.bound * (1 + 1e-9)


@pytest.fixture(scope="module")
def solved():
    rng = np.random.default_rng(2)
    net = network(rng, ["tanh", "relu", "silu"], (3, 5, 6, 4, 1))
    where = {"center": 0.1 * rng.normal(size=3), "radius": 0.4}
    certificate = hr2jax.solve(net, lifting="tied", witness=0, **where).certificate
    assert all(map(len, certificate.layout.low))
    return net, certificate


def changed(certificate, **layout):
    return replace(certificate, layout=replace(certificate.layout, **layout))


def test_stated_bounds_that_are_too_small_are_refused(solved):
    net, certificate = solved
    layout = certificate.layout
    for name in ("low", "high"):
        for l in (0, 1, 2):
            stated = list(getattr(layout, name))
            middle = 0.5 * (layout.low[l] + layout.high[l])
            stated[l] = np.ldexp(np.rint(np.ldexp(0.999 * stated[l] + 0.001 * middle, 40)), -40)
            with pytest.raises(CertificateError, match="bound is smaller than the one that can be proved"):
                changed(certificate, **{name: tuple(stated)}).verify(net)
    for l in (0, 1):
        stated = list(layout.reach["a"])
        stated[l] = np.ldexp(np.floor(np.ldexp(0.999 * stated[l], 40)), -40)
        with pytest.raises(CertificateError, match="derivative's bound is smaller than the one that can be proved"):
            changed(certificate, reach={"a": tuple(stated)}).verify(net)


def test_other_middles_are_refused_or_prove_another_bound(solved):
    """A middle moved away from the adjoints needs a larger reach; one within what the reach leaves is as valid."""
    net, certificate = solved
    layout = certificate.layout
    for l in (0, 1):
        moved = list(layout.middle["a"])
        moved[l] = moved[l] + 0.5 * np.ldexp(layout.reach["a"][l], layout.reach_exponent["a"][l])
        with pytest.raises(CertificateError, match="smaller than"):
            changed(certificate, middle={"a": tuple(moved)}).verify(net)


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        (None, "middles of its adjoints"),
        ({"a": ()}, "not one of 3 hidden layers"),
        ({"p": (np.zeros(4), np.zeros(4))}, "not one of 3 hidden layers"),
        ({"a": (np.zeros(3), np.zeros(6))}, "middles are needed"),
    ],
)
def test_middles_of_another_shape_are_refused(solved, middle, words):
    net, certificate = solved
    problem = certificate.lipschitz_problem
    with pytest.raises(ValueError, match=words):
        presolved(net, problem, layout=replace(certificate.layout, middle=middle))


def test_a_certificate_under_another_name_is_refused(solved, tmp_path):
    net, certificate = solved
    certificate.save(tmp_path / "a.cert.npz")
    again = hr2jax.Certificate.load(tmp_path / "a.cert.npz")
    assert again.verify(net) == certificate.verify(net)
    with pytest.raises(CertificateError):
        replace(certificate, lifting="adjoint").verify(net)
    free = hr2jax.solve(net, center=np.zeros(3), radius=0.2, lifting="adjoint", witness=0).certificate
    with pytest.raises(CertificateError):
        replace(free, lifting="tied").verify(net)
    with pytest.raises(ValueError, match="tied lifting is for local Lipschitz constants"):
        presolve(net, checked_problem(net), chains=LIFTINGS["tied"], tied=True)


def test_bounds_of_slopes_are_on_their_grid():
    rng = np.random.default_rng(11)
    net = network(rng, "gelu")
    problem = checked_problem(net, center=rng.normal(size=3), radius=0.3)
    lifting = lift(net, problem, presolved(net, problem))
    for ties in lifting.ties.values():
        for side in (ties.low, ties.high):
            assert (np.ldexp(side, COARSE) == np.rint(np.ldexp(side, COARSE))).all() and (np.abs(side) <= 1).all()


def test_an_adjoint_that_does_not_move_leaves_an_interior():
    """Behind ReLUs that are stable adjoints are constant: what said that a is 0 kept Newton's method from a bound."""
    rng = np.random.default_rng(6)
    weights = [rng.normal(size=(5, 3)), rng.normal(size=(5, 5)), rng.normal(size=(4, 5)), rng.normal(size=(1, 4))]
    biases = [rng.normal(size=5), rng.normal(size=5), np.full(4, 50.0), np.zeros(1)]
    net = Network(weights, biases, activation=["relu", "sigmoid", "relu"])
    result = hr2jax.solve(net, center=np.zeros(3), radius=0.03, lifting="tied", tol=1e-4)
    assert result.status is hr2jax.Status.SOLVED and result.bound <= 1.01 * result.lower


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({}, ValueError, "local Lipschitz constants"),
        ({"center": np.zeros(3), "radius": 0.1, "relaxation": "lipsdp"}, NotImplementedError, "products of any depth"),
        ({"center": np.zeros(3), "radius": 0.1, "output": None, "norm": 1}, NotImplementedError, "of several outputs"),
    ],
)
def test_what_it_is_not_for_is_refused(more, error, words):
    net = network(np.random.default_rng(0), "tanh", (3, 4, 4, 2))
    with pytest.raises(error, match=words):
        hr2jax.solve(net, **{"output": 0, "lifting": "tied", "output_norm": 2} | more)


def test_relus_alone_are_refused():
    net = network(np.random.default_rng(0), "relu")
    with pytest.raises(ValueError, match="networks with smooth layers"):
        hr2jax.solve(net, lifting="tied", center=np.zeros(3), radius=0.1)


def test_a_network_of_which_no_neuron_moves():
    """Its smooth layers had neither signs nor slopes, and the tied lifting a KeyError."""
    zero, one, shift = np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1)
    net = Network.from_layers([
        Layer({0: zero}, shift, "sigmoid"), Layer({1: one}, shift, "sigmoid"),
        Layer({2: one, 0: -2.0 * one}, shift, "identity"),
    ])  # fmt: skip
    result = hr2jax.solve(net, center=[0.0], radius=1.0, norm=2, relaxation="hr2+", lifting="tied", witness=0)
    assert result.bound == pytest.approx(2.0, rel=1e-9) and result.certificate.verify(net) >= 2.0
