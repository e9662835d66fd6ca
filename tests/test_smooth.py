"""Networks with smooth layers: from names to bounds, witnesses and certificates that hold."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import hr2jax
from hr2jax import CertificateError, Layer, Network, graph
from hr2jax.arithmetic.activations import DEFAULTS
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.certificate import certify_multipliers
from hr2jax.certificate.prover import prover_of
from hr2jax.lower.attained import attained
from hr2jax.problem import checked_problem
from hr2jax.relaxation.basis import ONE, XI, Group, T
from hr2jax.relaxation.chains import factors
from hr2jax.relaxation.families import catalogue, preset
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from tests.reference.effort import FULL

SMOOTH = tuple(DEFAULTS)
EVERY = pytest.mark.parametrize("activation", SMOOTH)
DUAL = {"inf": 1, 2: 2}
FREE_OF_SIGNS = ("v.z", "u.z", "(1-u).(-z)", "u.(h-z)", "(1-u).(z-l)", "z.(hu+l(1-u)-z)", "X", "x.", "(1-u).u'")


def network(rng, activation, widths=(3, 5, 4, 1)):
    names = [activation] * (len(widths) - 2) if isinstance(activation, str) else activation
    weights = [rng.normal(size=pair[::-1]) for pair in pairwise(widths)]
    return Network(weights, [rng.normal(size=n) for n in widths[1:]], activation=names)


def points_inside(domain, rng, count):
    """At most `count` points of a box or a ball, (k, p), so far from the boundary that rounding moves none out."""
    steps = (1 - 1e-9) * rng.uniform(-1, 1, (count, len(domain.center)))
    if domain.shape != "inf":
        steps = steps[np.linalg.norm(steps, domain.shape, axis=1) <= 1 - 1e-9]
    return domain.center + domain.radius * steps


def sampled(net, problem, rng, count=2000):
    """The largest dual norm of a gradient at random points of the domain, most of them where much happens."""
    domain, p = problem.domain, net.widths[0]
    if domain.is_bounded:
        x = points_inside(domain, rng, count)
    else:
        x = rng.normal(size=(count, p)) * 10.0 ** rng.uniform(-2, 1, (count, 1))
    gradients = net.gradient(x)
    return float(np.linalg.norm(gradients, ord=DUAL[problem.norm], axis=1).max())


def places(rng, p):
    yield {}
    yield {"center": rng.normal(size=p), "radius": float(10.0 ** rng.uniform(-2, 0.5))}
    yield {"center": rng.normal(size=p), "radius": 0.3, "norm": 2}


@EVERY
def test_a_smooth_network_is_bounded_attained_and_verified(activation):
    rng = np.random.default_rng([1, *activation.encode()])
    net = network(rng, activation)
    for where in places(rng, 3):
        result = hr2jax.solve(net, relaxation="hr2", witness=0.2, **where)
        problem = checked_problem(net, **where)
        assert sampled(net, problem, rng) <= result.bound * (1 + 1e-12)
        assert 0 < result.lower <= result.bound
        slope = np.linalg.norm(net.gradient(result.witness), ord=DUAL[problem.norm])
        assert result.lower <= slope * (1 + 1e-12) and result.lower >= slope * (1 - 1e-9)
        assert result.certificate.verify(net) <= result.bound * (1 + 1e-9)
        assert result.certificate.verify(net, arithmetic="ball") <= result.bound * (1 + 1e-9)


@pytest.mark.parametrize("relaxation", ["shor", "hr2z", "hr2+", "lipsdp", "interval", "product"])
@pytest.mark.parametrize("widths", [(2, 4, 1), (2, 3, 3, 1)])
def test_every_relaxation_is_above_what_is_sampled(relaxation, widths):
    rng = np.random.default_rng(len(widths))
    if relaxation == "hr2z" and len(widths) > 3:
        pytest.skip("hr2z is for one hidden layer")
    for activation in ("gelu", "selu"):
        net = network(rng, activation, widths)
        for where in places(rng, 2):
            if relaxation == "lipsdp":
                where["norm"] = 2
            result = hr2jax.solve(net, relaxation=relaxation, witness=0, **where)
            assert sampled(net, checked_problem(net, **where), rng) <= result.bound * (1 + 1e-12)
            assert result.certificate.verify(net) <= result.bound * (1 + 1e-9)


@pytest.mark.parametrize("lifting", ["forward", "adjoint", "both"])
@pytest.mark.parametrize(
    "names", [["tanh", "relu"], ["relu", "tanh"], ["relu", "gelu", "relu"], ["leaky_relu", "abs", "elu"]], ids="-".join
)
def test_kinked_and_smooth_layers_go_together(lifting, names):
    rng = np.random.default_rng(len(names))
    net = network(rng, names, (3, *[4] * len(names), 1))
    for where in places(rng, 3):
        result = hr2jax.solve(net, lifting=lifting, witness=0.2, **where)
        assert sampled(net, checked_problem(net, **where), rng) <= result.bound * (1 + 1e-12)
        assert 0 < result.lower <= result.bound
        assert result.certificate.verify(net) <= result.bound * (1 + 1e-9)


def test_skips_radii_and_parameters():
    rng = np.random.default_rng(5)
    layers = [
        Layer({0: (rng.normal(size=(4, 2)), np.full((4, 2), 1e-3))}, rng.normal(size=4), "softplus", {"beta": 3.0}),
        Layer({0: rng.normal(size=(4, 2)), 1: rng.normal(size=(4, 4))}, rng.normal(size=4), "relu"),
        Layer({1: rng.normal(size=(3, 4)), 2: rng.normal(size=(3, 4))}, rng.normal(size=3), "gelu",
              {"approximate": "tanh"}),
        Layer({0: rng.normal(size=(1, 2)), 2: rng.normal(size=(1, 4)), 3: rng.normal(size=(1, 3))}, [0.0], "identity"),
    ]  # fmt: skip
    net = Network.from_layers(layers)
    for where in places(rng, 2):
        result = hr2jax.solve(net, witness=0.2, **where)
        assert sampled(net, checked_problem(net, **where), rng) <= result.bound * (1 + 1e-12)
        assert 0 < result.lower <= result.bound
        assert result.certificate.verify(net) <= result.bound * (1 + 1e-9)


@pytest.mark.slow
@EVERY
def test_no_slope_of_very_many_networks_is_above_the_bound(activation):
    for seed in range(1000):
        check_bound(activation, seed)


@EVERY
def test_no_slope_is_above_the_bound(activation):
    for seed in range(50) if FULL else range(0, 50, 11):  # every place and lifting
        check_bound(activation, seed)


def check_bound(activation, seed):
    """What random multipliers prove by each lifting, and intervals: all of them are above the slopes."""
    rng = np.random.default_rng([seed, *activation.encode()])
    depth = int(rng.integers(1, 4))
    net = network(rng, activation, (int(rng.integers(1, 4)), *rng.integers(1, 5, depth).tolist(), 1))
    where = list(places(rng, net.widths[0]))[seed % 3]
    problem = checked_problem(net, **where)
    chains = (("p",), ("a",), ("p", "a"))[seed // 3 % 3] if depth > 1 else ("p",)
    slopes = sampled(net, problem, rng, 200)
    for tied in (False, True)[: 1 + problem.is_local]:
        fixed = presolve(net, problem, chains=LIFTINGS["tied"] if tied else chains, tied=tied)
        lifting, prover = lift(net, problem, fixed), prover_of(net, problem, fixed)
        multipliers = {
            family.name: rng.exponential(size=family.shape) * (rng.choice([-1.0, 1.0]) if family.equality else 0.1)
            for family in preset("hr2", lifting)
        }
        for chosen in ({}, multipliers):
            certificate = certify_multipliers(net, problem, "hr2", fixed, chosen, prover=prover)
            assert slopes <= certificate.bound * (1 + 1e-12)
            if seed % 10 == 0:
                assert certificate.verify(net) == certificate.bound
        assert fixed.ranges.keys() == set(range(1, depth + 1))
        assert not tied or certificate.lifting == "tied"


def test_nothing_ties_a_smooth_mask_to_a_sign():
    rng = np.random.default_rng(0)
    net = network(rng, ["relu", "tanh", "relu"], (3, 4, 4, 4, 1))
    problem = checked_problem(net, center=np.zeros(3), radius=0.5)
    lifting = lift(net, problem, presolve(net, problem, chains=("p", "a")))
    families = catalogue(lifting)
    assert net.structure.valued == (1,)
    for l in (2, 3):
        assert not [name for name in families if name.endswith(f"/{l}") and name.startswith(FREE_OF_SIGNS)]
    assert [name for name in families if name.endswith("/1") and name.startswith("X")]
    # proportional rows: masks of a smooth layer are not ordered
    twins = Network([np.ones((3, 2)), np.ones((1, 3))], [np.arange(3.0), [0.0]], activation="tanh")
    problem = checked_problem(twins)
    assert not lift(twins, problem, presolve(twins, problem)).orders


def lifted_point(net, problem, fixed, rng):
    """What every group is at a point, float64, and the objective: smooth masks are whatever they are."""
    structure, free = fixed.structure, fixed.free
    x, t = rng.normal(size=net.widths[0]), np.zeros(net.widths[0])
    t[free] = rng.choice([-1.0, 1.0], len(free)) if problem.norm == "inf" else 0.99 / np.sqrt(len(free))
    y = {ONE: np.ones(1), T: t[free]}
    if problem.is_local:
        xi = rng.uniform(-1, 1, len(free)) / (1 if problem.domain.shape == "inf" else len(free))
        x, y[XI] = problem.domain.center + problem.domain.radius * xi, xi
    z, u, slope, tangent = [], [], [], [t]
    graph.evaluate(net.layers, x, lambda l, values: z.append(values))
    layers = net.layers
    for l, (layer, neurons) in enumerate(zip(layers[:-1], fixed.layers, strict=True), 1):
        alpha, beta = layer.slopes if layer.is_kinked else fixed.ranges[l]
        free_mask = rng.integers(0, 2, layer.width) if l in fixed.ranges or not problem.is_local else z[l - 1] > 0
        u.append(np.where(np.isin(np.arange(layer.width), neurons.active), 1, free_mask))
        slope.append(np.where(u[-1] == 1, beta, alpha))
        w = layer.inputs[l - 1] @ tangent[-1]
        tangent.append(slope[-1] * w)
        kept = neurons.unstable
        y[Group("v", l)] = 2.0 * u[-1][kept] - 1
        if l in structure.valued and problem.is_local:
            y[Group("z", l)] = z[l - 1][kept] / 2.0 ** neurons.exponent
            y[Group("x", l)] = u[-1][kept] * y[Group("z", l)]
        if "p" in fixed.chains and l in structure.inner:
            y[Group("w", l)] = w[kept] / 2.0 ** neurons.reach_exponent["p"]
            y[Group("p", l)] = u[-1][kept] * y[Group("w", l)]
    g = layers[-1].inputs[len(layers) - 1].T @ problem.coefficients
    value = float(g @ tangent[-1])
    for l in range(len(layers) - 1, 0, -1):
        if "a" in fixed.chains and l in structure.inner:
            kept, neurons = fixed.layers[l - 1].unstable, fixed.layers[l - 1]
            y[Group("g", l)] = g[kept] / 2.0 ** neurons.reach_exponent["a"]
            y[Group("a", l)] = u[l - 1][kept] * y[Group("g", l)]
        g = layers[l - 1].inputs[l - 1].T @ (slope[l - 1] * g)
    return y, value


@pytest.mark.parametrize("chains", [("p",), ("a",), ("p", "a")])
@pytest.mark.parametrize(
    "names",
    [["tanh"], ["gelu", "gelu"], ["relu", "mish", "relu"], ["selu", "relu", "elu"], ["relu", "leaky_relu", "erf"]],
    ids="-".join,
)  # fmt: skip
def test_every_statement_holds_whatever_the_smooth_masks_are(names, chains):
    """Products, factors, derived groups and the objective at points of the network, all masks of smooth ones tried."""
    rng = np.random.default_rng(len(names))
    net = network(rng, names, (3, *rng.integers(2, 5, len(names)).tolist(), 1))
    for where in places(rng, 3):
        problem = checked_problem(net, **where)
        fixed = presolve(net, problem, chains=chains if net.depth > 1 else ("p",))
        lifting = lift(net, problem, fixed)
        families, forms = catalogue(lifting).values(), factors(lifting).values()
        for _ in range(20):
            y, value = lifted_point(net, problem, fixed, rng)
            for family in families:
                product = form_values(family.F, y) * form_values(family.G, y)
                assert (np.abs(product) < 1e-9).all() if family.equality else (product > -1e-9).all()
            for form in forms:
                assert (form_values(form, y) > -1e-9).all()
            for group, terms in lifting.derived.items():
                assert np.allclose(sum(m.mid @ y[other] for other, m in terms.items()), y[group], atol=1e-9)
            objective = sum(y[g] @ block.mid @ y[h] for (g, h), block in lifting.objective.items())
            assert np.isclose(objective * 2.0**lifting.exponent, value, atol=1e-9 * max(1.0, abs(value)))


def form_values(form, y):
    return sum(term.coefficient * y[term.group][term.index] for term in form.terms)


def test_stated_bounds_that_would_make_smaller_slopes_are_refused():
    rng = np.random.default_rng(2)
    net = network(rng, "tanh")
    certificate = hr2jax.solve(net, center=rng.normal(size=3), radius=0.2).certificate
    for name in ("low", "high"):
        for l in (0, 1):
            stated = list(getattr(certificate.layout, name))
            middle = 0.5 * (certificate.layout.low[l] + certificate.layout.high[l])
            stated[l] = np.ldexp(np.rint(np.ldexp(0.999 * stated[l] + 0.001 * middle, 40)), -40)
            tampered = replace(certificate, layout=replace(certificate.layout, **{name: tuple(stated)}))
            with pytest.raises(CertificateError, match="bound is smaller than the one that can be proved"):
                tampered.verify(net)


def test_another_activation_is_another_network():
    rng = np.random.default_rng(3)
    net = network(rng, "tanh")
    certificate = hr2jax.solve(net).certificate
    other = Network.from_layers([Layer(x.inputs, x.bias, "erf" if x.activation == "tanh" else "identity")
                                 for x in net.layers])  # fmt: skip
    with pytest.raises(CertificateError, match="another network"):
        certificate.verify(other)


def test_certificates_and_networks_are_saved(tmp_path):
    rng = np.random.default_rng(4)
    net = network(rng, ["softplus", "celu"])
    result = hr2jax.solve(net, center=np.zeros(3), radius=0.1)
    result.certificate.save(tmp_path / "a.cert.npz")
    net.save(tmp_path / "net.npz")
    again = hr2jax.load(tmp_path / "net.npz")
    assert again.hash == net.hash
    assert hr2jax.Certificate.load(tmp_path / "a.cert.npz").verify(again) == result.certificate.verify(net)


@EVERY
def test_enclosed_evaluation_holds_the_value(activation):
    rng = np.random.default_rng(6)
    net = network(rng, activation)
    x = rng.normal(size=(20, 3))
    for kind in (Enclosure, Arb):
        for point, value in zip(x, net(x), strict=True):
            enclosed = graph.evaluate(net.layers, kind(point))
            assert (np.abs(value - enclosed.mid) <= enclosed.rad + 1e-12).all()
            assert (enclosed.rad < 1e-10).all()


def test_a_kink_at_the_point_counts_with_both_sides():
    """hardswish at -3: left of it the slope is 0, so that no more than 0 is attained there; beside it -1/2 is."""
    net = Network([[[1.0]], [[1.0]]], [[0.0], [0.0]], activation="hardswish")
    problem = checked_problem(net, center=[-3.0], radius=1.0)
    assert attained(net, problem, np.array([-3.0])) == 0.0
    assert np.isclose(attained(net, problem, np.array([-2.999999])), 0.5, atol=1e-5)
    assert hr2jax.solve(net, center=[-3.0], radius=1.0).lower <= 0.5


@EVERY
def test_one_neuron_is_bounded_by_its_steepest_slope(activation):
    """Of one neuron the relaxation is exact: the bound is the interval's steepest slope, no less and little more."""
    rng = np.random.default_rng([7, *activation.encode()])
    for _ in range(5 if FULL else 3):
        center, radius = rng.normal() * 2, float(10.0 ** rng.uniform(-3, 0.5))
        net = Network([[[1.5]], [[-2.0]]], [[0.25], [0.0]], activation=activation)
        slopes = np.abs(net.gradient(np.linspace(center - radius, center + radius, 20001)[:, None]))
        result = hr2jax.solve(net, center=[center], radius=radius, witness=0)
        assert slopes.max() <= result.bound * (1 + 1e-13)
        kink = any(abs(1.5 * center + 0.25 - at) <= 1.5 * radius * (1 + 1e-9) for at in (-3.0, 0.0, 3.0))
        assert kink or result.bound <= slopes.max() * (1 + 2e-3) + 1e-9


def test_linear_parts_have_no_variables():
    net = Network([[[1.0], [-1.0]], [[1.0, 1.0]]], [[0.0, 0.0], [0.0]], activation="elu")
    problem = checked_problem(net, center=[2.0], radius=1.0)
    fixed = presolve(net, problem)
    assert fixed.layers[0].active.tolist() == [0] and fixed.layers[0].unstable.tolist() == [1]
    assert hr2jax.solve(net, center=[2.0], radius=1.0).bound <= 1.0 + 1e-6


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net: hr2jax.solve(net, relaxation="lipopt3"), "is for chains of ReLU layers"),
        (lambda net: hr2jax.solve(net, relaxation="lasserre2"), "is for chains of ReLU layers"),
        (lambda net: hr2jax.solve(net, method="admm"), "method='admm' is for one hidden layer and norm='inf'"),
        (lambda net: hr2jax.solve(net, center=[0.0, 0.0], radius=1.0, bounds="lp"), "bounds='lp' was asked for"),
    ],
)  # fmt: skip
def test_what_is_not_built_is_refused_by_name(call, words):
    net = Network([np.eye(2), np.ones((1, 2))], [np.zeros(2), [0.0]], activation="tanh")
    with pytest.raises((NotImplementedError, ValueError), match=words):
        call(net)


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("via", ["lipschitz-global", "lipschitz-local"])
def test_certified_radii_hold_and_attacks_find_what_breaks(via, norm):
    rng = np.random.default_rng(8)
    net = network(rng, ["tanh", "silu"], (3, 5, 4, 3))
    x = rng.normal(size=(4 if FULL else 2, 3))
    radii = [0.003, 0.1, 1.0]
    report = hr2jax.certify(net, x, radii=radii, norm=norm, via=via)
    labels = net(x).argmax(axis=1)
    for j, radius in enumerate(radii):
        move = rng.normal(size=(500, 1, 3))
        move = np.sign(move) if norm == "inf" else move / np.linalg.norm(move, axis=2, keepdims=True)
        moved = net((x + radius * move).reshape(-1, 3)).argmax(axis=1).reshape(500, len(x))
        broken = (moved != labels).any(axis=0)
        assert not (broken & report.certified[:, j]).any()
        # the attack sees what random corners see, but for what it proves no tie of
        assert report.attack_accuracy[j] <= 1 - broken.mean() + 1e-12
    assert report.certified[:, 0].any() and not report.certified[:, -1].all()


def test_slopes_below_the_smallest_numbers_leave_the_bound_that_needs_no_engine():
    """The lifting's numbers are no float64 then: the engine ends, and the solve with a bound."""
    large, shifts = 2.0**200, [[0.0], [-2.0, 1.0], [-50.0], [0.0]]
    net = Network([[[0.5]], [[large], [-large]], [[-1.5, 1.0]], [[1.0]]], shifts, "softplus")
    result = hr2jax.solve(net, center=[1.0], radius=0.5, norm=2, relaxation="hr2+", witness=0)
    assert 0 <= result.bound == result.certificate.verify(net)
