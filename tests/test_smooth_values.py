"""Largest values of networks with smooth layers: what holds of every lifting, bounds, witnesses, certificates."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import CertificateError, Layer, Network, graph
from hr2jax.arithmetic.activations import DEFAULTS
from hr2jax.arithmetic.arb import Arb
from hr2jax.certificate.certificate import certify_multipliers
from hr2jax.certificate.prover import prover_of
from hr2jax.problem import checked_problem
from hr2jax.relaxation.basis import ONE, XI, Group
from hr2jax.relaxation.chains import factors
from hr2jax.relaxation.curves import DERIVED
from hr2jax.relaxation.families import catalogue
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import presolve
from tests.reference.effort import examples

SMOOTH = tuple(DEFAULTS)
KINKED = ("relu", "leaky_relu", "abs", "identity")
NORMS = ("inf", 2, 1)


def network(rng, kinds, skips=False, outputs=1, radii=False):
    """Hidden layers of these kinds, of up to 5 neurons; some layers take x too, some neurons do not move."""
    layers, widths = [], [int(rng.integers(1, 4))]
    for l, kind in enumerate([*kinds, "identity"]):
        width = outputs if l == len(kinds) else int(rng.integers(1, 6))
        sources = [l, *([0] if skips and l and rng.random() < 0.5 else [])]
        inputs = {k: rng.normal(size=(width, widths[k])) for k in sources}
        if kind != "identity" and rng.random() < 0.2:
            for A in inputs.values():
                A[0] = 0.0
        inputs = {k: (A, 1e-9 * np.abs(A)) if radii else A for k, A in inputs.items()}
        layers.append(Layer(inputs, rng.normal(size=width), kind))
        widths.append(width)
    return Network.from_layers(layers)


def place(rng, net):
    radius, norm = float(10.0 ** rng.uniform(-3, 0.7)), NORMS[rng.integers(0, 3)]
    return {"center": 2 * rng.normal(size=net.widths[0]), "radius": radius, "norm": norm}


def points(rng, domain, count):
    """(count, p_0) of the domain, many of them at its border."""
    x = rng.uniform(-1, 1, (count, len(domain.center)))
    length = {"inf": np.abs(x).max(axis=1), 2: np.linalg.norm(x, axis=1), 1: np.abs(x).sum(axis=1)}[domain.shape]
    x = x / np.maximum(length, 1e-9)[:, None] * np.minimum(1.0, rng.uniform(0, 2, count))[:, None]
    return domain.center + domain.radius * x * (1 - 1e-12)


def lifted_point(lifting, net, problem, x):
    """What every group is at a point, float64."""
    fixed, y = lifting.presolve, {ONE: np.ones(1)}
    y[XI] = ((x - problem.domain.center) / np.where(problem.domain.radius > 0, problem.domain.radius, 1.0))[fixed.free]
    seen = []
    graph.evaluate(net.layers, x, lambda l, z: seen.append(z))
    for l, (layer, neurons) in enumerate(zip(net.layers[:-1], fixed.layers, strict=True), 1):
        kept, z = neurons.unstable, seen[l - 1][neurons.unstable]
        y[Group("z", l)] = z / 2.0**neurons.exponent
        if l not in lifting.curves:
            y[Group("v", l)], y[Group("x", l)] = np.where(z > 0, 1.0, -1.0), np.maximum(y[Group("z", l)], 0.0)
            continue
        curves, value = lifting.curves[l], layer.value(seen[l - 1])[kept]
        with np.errstate(all="ignore"):
            e = (value - curves.slope * z - curves.shift) / curves.reach
        y[Group("e", l)] = np.where(curves.reach > 0, e, 0.0)
        up, at = z - curves.middle, value - layer.value(curves.middle)
        e = y[Group("e", l)]
        of = {
            "f": value, "fa": np.where(curves.known, at - curves.least * up, e),
            "fb": np.where(curves.known, curves.most * up - at, e),
        }  # fmt: skip
        y |= {Group(kind, l): of[kind] / 2.0 ** curves.exponent[kind] for kind in DERIVED}
    return y


def form_values(form, y):
    return sum(term.coefficient * y[term.group][term.index] for term in form.terms)


KINDS = st.lists(st.sampled_from(SMOOTH + KINKED), min_size=1, max_size=3).filter(lambda kinds: {*kinds} & {*SMOOTH})


@settings(deadline=None, max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31), KINDS, st.booleans())
def test_every_statement_about_values_holds(seed, kinds, skips):
    """Products, factors, derived groups and the objective at points, and the bounds of random multipliers."""
    rng = np.random.default_rng(seed)
    net = network(rng, kinds, skips)
    problem = checked_problem(net, quantity="maximum", **place(rng, net))
    fixed = presolve(net, problem, chains=())
    lifting, x = lift(net, problem, fixed), points(rng, problem.domain, 300)
    families = catalogue(lifting)
    for one in x[:20]:
        y = lifted_point(lifting, net, problem, one)
        slack = {group: 1e-9 for group in y}
        for l, curves in lifting.curves.items():
            # in units so small that roundings count
            of_z = np.abs(curves.slope * np.ldexp(1.0, fixed.layers[l - 1].exponent))
            noise = 1e-14 * (1 + np.abs(curves.shift) + of_z)
            slack[Group("e", l)] = float((1e-9 + noise / np.maximum(curves.reach, 1e-300)).max(initial=0.0))
            for kind in DERIVED:
                slack[Group(kind, l)] = float((1e-9 + noise * np.ldexp(1.0, -curves.exponent[kind])).max(initial=0.0))
        for family in families.values():
            off = sum(slack[term.group] for form in (family.F, family.G) for term in form.terms)
            product = form_values(family.F, y) * form_values(family.G, y)
            assert (np.abs(product) < 4 * off).all() if family.equality else (product > -4 * off).all()
        for form in factors(lifting).values():
            assert (form_values(form, y) > -sum(slack[term.group] for term in form.terms)).all()
        for group, terms in lifting.derived.items():
            row = sum(m.mid @ y[other] for other, m in terms.items())
            assert np.allclose(row, y[group], rtol=0, atol=10 * slack[group])
        for group in lifting.sizes:
            assert (np.abs(y[group]) <= 1 + slack[group]).all()
        value = sum(y[g] @ block.mid @ y[h] for (g, h), block in lifting.objective.items()) * 2.0**lifting.exponent
        assert np.isclose(value, net(one)[0], atol=1e-9 * max(1.0, np.abs(net(one)[0])))
    multipliers = {
        family.name: 0.1 * rng.exponential(size=family.shape) * (rng.choice([-1.0, 1.0]) if family.equality else 1.0)
        for family in families.values() if family.F.rows
    }  # fmt: skip
    most, prover = float(net(x).max()), prover_of(net, problem, fixed)
    for chosen in ({}, multipliers):
        certificate = certify_multipliers(net, problem, "hr2", fixed, chosen, prover=prover)
        assert most <= certificate.bound + 1e-12 * abs(most)
        assert certificate.verify(net) == certificate.bound
    if seed % 10 == 0:
        assert certificate.verify(net, arithmetic="ball") == pytest.approx(certificate.bound, rel=1e-6)
        lift(net, problem, presolve(net, problem, Arb, chains=()), Arb)


@pytest.mark.parametrize("activation", SMOOTH)
def test_the_largest_value_is_bounded_attained_and_verified(activation, tmp_path):
    rng = np.random.default_rng([4, *activation.encode()])
    weights = [rng.normal(size=(5, 3)), rng.normal(size=(1, 5))]
    net = Network(weights, [rng.normal(size=5), [0.5]], activation=activation)
    for radius in (0.05, 1.0):
        where = {"center": rng.normal(size=3), "radius": radius}
        result = hr2jax.maximum(net, relaxation="shor", **where)
        x = points(rng, result.certificate.lipschitz_problem.domain, 20000)
        most = float(net(x).max())
        interval = hr2jax.maximum(net, relaxation="interval", **where)
        assert most <= result.bound * (1 + 1e-12 * np.sign(result.bound))
        assert result.lower <= result.bound <= interval.bound
        assert result.lower >= most - 1e-9 * abs(most)  # the climb finds what samples find
        assert net(result.witness)[0] == pytest.approx(result.lower)
        result.certificate.save(tmp_path / "c.npz")
        assert hr2jax.Certificate.load(tmp_path / "c.npz").verify(net, quantity="maximum", **where) == result.bound
        assert result.status is hr2jax.Status.SOLVED
        # what the relaxation misses, of the way from the center to the top
        assert result.bound - result.lower <= (0.2 if radius < 1 else 1.5) * (result.lower - net(where["center"])[0])


@pytest.mark.parametrize(
    "kinds", [("tanh", "relu"), ("relu", "gelu"), ("silu", "identity", "mish"), ("elu", "abs", "erf")], ids="-".join
)
@pytest.mark.parametrize("relaxation", ["shor", "hr2+"])
def test_kinked_and_smooth_layers_go_together(kinds, relaxation):
    rng = np.random.default_rng(len(kinds))
    net = network(rng, kinds, skips=True, radii=kinds[0] == "silu")
    where = {"center": rng.normal(size=net.widths[0]), "radius": 0.3}
    result = hr2jax.maximum(net, relaxation=relaxation, **where)
    x = points(rng, result.certificate.lipschitz_problem.domain, 20000)
    assert net(x).max() <= result.bound + 1e-12
    assert result.certificate.verify(net) == result.bound
    assert result.bound <= hr2jax.maximum(net, relaxation="interval", **where).bound


def test_sigma_at_a_point_and_far_away():
    """Inputs that hardly move, and values at which activations are flat or straight to the last bit."""
    rng = np.random.default_rng(2)
    for activation in SMOOTH:
        for center, radius in ((0.3, 1e-12), (-40.0, 0.5), (60.0, 30.0), (20.0, 0.5), (900.0, 1.0)):
            weights = [np.array([[1.0], [-1.0]]), rng.normal(size=(1, 2))]
            net = Network(weights, [[0.0, 0.1], [0.0]], activation=activation)
            problem = checked_problem(net, quantity="maximum", center=[center], radius=radius)
            fixed = presolve(net, problem, chains=())
            families = [family for family in catalogue(lift(net, problem, fixed)).values() if family.F.rows]
            chosen = {family.name: rng.exponential(size=family.shape) for family in families}
            certificate = certify_multipliers(net, problem, "shor", fixed, chosen)
            x = np.linspace(center - radius, center + radius, 2001)[:, None]
            assert net(x).max() <= certificate.bound + 1e-12 * abs(certificate.bound), activation


def test_a_jump_of_softplus_is_no_slope():
    """A coarse threshold: sigma falls by 0.1 there, so that it does not rise as its derivative says."""
    hidden = Layer({0: [[1.0]]}, [0.0], "softplus", {"threshold": 2.0})
    for sign in (1.0, -1.0):
        net = Network.from_layers([hidden, Layer({1: [[sign]]}, [0.0], "identity")])
        problem = checked_problem(net, quantity="maximum", center=[2.0], radius=0.01)
        lifting = lift(net, problem, presolve(net, problem, chains=()))
        assert not lifting.curves[1].known.any()
        result = hr2jax.maximum(net, center=[2.0], radius=0.01, relaxation="shor")
        assert net(np.linspace(1.99, 2.01, 2001)[:, None]).max() <= result.bound


@pytest.mark.parametrize("kinds", [("tanh",), ("gelu", "relu")])
def test_what_is_tampered_with_is_refused_or_loosens(kinds):
    rng = np.random.default_rng(5)
    widths = (3, *(6 for _ in kinds), 1)
    weights = [rng.normal(size=pair[::-1]) for pair in pairwise(widths)]
    net = Network(weights, [rng.normal(size=n) for n in widths[1:]], activation=kinds)
    where = {"center": rng.normal(size=net.widths[0]), "radius": 0.4}
    result = hr2jax.maximum(net, relaxation="shor", **where)
    certificate = result.certificate
    most = float(net(points(rng, certificate.lipschitz_problem.domain, 20000)).max())
    for name in ("low", "high"):
        stated = list(getattr(certificate.layout, name))
        middle = 0.5 * (certificate.layout.low[0] + certificate.layout.high[0])
        stated[0] = np.ldexp(np.rint(np.ldexp(0.999 * stated[0] + 0.001 * middle, 40)), -40)
        tampered = replace(certificate, layout=replace(certificate.layout, **{name: tuple(stated)}))
        with pytest.raises(CertificateError, match="bound is smaller than the one that can be proved"):
            tampered.verify(net)
    first, *others = certificate.layout.unstable
    left_out = replace(certificate.layout, unstable=(first[1:], *others))
    with pytest.raises(CertificateError):
        replace(certificate, layout=left_out).verify(net)
    for _ in range(20):
        changed = {
            name: values * rng.uniform(-1, 3, values.shape) if values.dtype == np.float64 else values
            for name, values in certificate.multipliers.items()
        }
        assert replace(certificate, multipliers=changed).verify(net) >= most
    for unknown in ("ga.gb", "fa.fb/9"):
        with pytest.raises(CertificateError, match="there is no family"):
            replace(certificate, multipliers={**certificate.multipliers, unknown: np.ones(2)}).verify(net)
    # a layer of another activation, with the same bounds
    other = [Layer(x.inputs, x.bias, "softsign" if x.activation == kinds[0] else x.activation) for x in net.layers]
    with pytest.raises(CertificateError, match="another network"):
        certificate.verify(Network.from_layers(other))


def test_active_neurons_of_smooth_layers_are_refused():
    """What is behind a smooth layer is no multiple of z, even where elu is z: others are not where slopes are equal."""
    net = Network([[[1.0]], [[1.0]]], [[0.0], [0.0]], activation="elu")
    certificate = hr2jax.maximum(net, center=[2.0], radius=1.0, relaxation="shor").certificate
    none, one, bounds = np.zeros(0, np.int64), np.zeros(1, np.int64), (np.zeros(0),)
    layout = replace(
        certificate.layout, unstable=(none,), active=(one,), low=bounds, high=bounds, exponent=(none,)
    )  # fmt: skip
    with pytest.raises(CertificateError, match="cannot be proved to keep its sign"):
        replace(certificate, layout=layout).verify(net)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_certified_radii_by_values_hold(norm):
    rng = np.random.default_rng(8)
    weights = [rng.normal(size=(6, 3)), rng.normal(size=(5, 6)), rng.normal(size=(3, 5))]
    net = Network(weights, [rng.normal(size=6), rng.normal(size=5), rng.normal(size=3)], activation=["tanh", "silu"])
    x, radii = rng.normal(size=(3, 3)), [0.003, 0.05]
    report = hr2jax.certify(net, x, radii=radii, norm=norm, via="sdp", relaxation="shor")
    labels = net(x).argmax(axis=1)
    for j, radius in enumerate(radii):
        move = rng.normal(size=(2000, 1, 3))
        move = np.sign(move) if norm == "inf" else move / np.linalg.norm(move, axis=2, keepdims=True)
        broken = (net((x + radius * move).reshape(-1, 3)).argmax(axis=1).reshape(-1, len(x)) != labels).any(axis=0)
        assert not (broken & report.certified[:, j]).any()
    by_constants = hr2jax.certify(net, x, radii=radii, norm=norm, via="lipschitz-global", relaxation="shor")
    assert (report.certified >= by_constants.certified).all() and report.certified[:, 0].any()


@pytest.mark.parametrize("kinds", [("tanh",), ("gelu", "gelu"), ("relu", "tanh")], ids="-".join)
def test_cutting_planes_of_smooth_layers(kinds):
    """Products of a neuron's sides with others' make hr2+ tighter, and its certificates name them."""
    rng = np.random.default_rng(2)
    widths = (3, *(8 for _ in kinds), 1)
    weights = [rng.normal(size=pair[::-1]) / np.sqrt(pair[0]) for pair in pairwise(widths)]
    net = Network(weights, [0.5 * rng.normal(size=n) for n in widths[1:]], activation=kinds)
    where = {"center": rng.normal(size=3), "radius": 1.0}
    plain = hr2jax.maximum(net, relaxation="shor", **where)
    result = hr2jax.maximum(net, relaxation="hr2+", **where)
    certificate = result.certificate
    most = float(net(points(rng, certificate.lipschitz_problem.domain, 20000)).max())
    top = max(result.lower, plain.lower)
    assert most <= result.bound
    assert result.bound - top < 0.95 * (plain.bound - top)
    assert {"E", "F", "FA", "FB"} & set(certificate.multipliers["products/kind"].tolist())
    assert certificate.verify(net) == result.bound
    none = hr2jax.maximum(net, relaxation="hr2+", cuts=(), **where)
    assert "products/kind" not in none.certificate.multipliers and result.bound <= none.bound


def test_the_numbers_that_multipliers_of_e_are_about():
    """s, c and r, to the digits: certificates depend on them (docs/certificate.md)."""
    low, high = -1.0, 2.0
    at = np.linspace(low, high, 9)
    slope = (np.tanh(high) - np.tanh(low)) / 3
    rest = np.tanh(at) - slope * at
    left, right = 1 - np.tanh(at[:-1]) ** 2, 1 - np.tanh(at[1:]) ** 2
    steepest = np.where((at[:-1] < 0) & (at[1:] > 0), 1.0, np.maximum(left, right))
    flattest = np.minimum(left, right)
    rises, falls = 0.375 * np.maximum(steepest - slope, 0), 0.375 * np.maximum(slope - flattest, 0)
    above = np.minimum(rest[:-1] + rises, rest[1:] + falls).max()
    below = np.maximum(rest[:-1] - falls, rest[1:] - rises).min()
    net = Network([[[1.0]], [[1.0]]], [[0.0], [0.0]], activation="tanh")
    problem = checked_problem(net, quantity="maximum", center=[0.5], radius=1.5)
    curves = lift(net, problem, presolve(net, problem, chains=())).curves[1]
    found = [*curves.slope, *curves.shift, *curves.reach, *curves.middle, *curves.least, *curves.most]
    expected = [slope, (above + below) / 2, (above - below) / 2, 0.5, 1 - np.tanh(2.0) ** 2, 1.0]
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    np.testing.assert_allclose(np.ldexp(curves.high["f"], curves.exponent["f"]), np.tanh(2.0), rtol=1e-8)


def test_another_centers_multipliers_are_a_start():
    rng = np.random.default_rng(11)
    weights = [rng.normal(size=(8, 3)), rng.normal(size=(1, 8))]
    net = Network(weights, [rng.normal(size=8), [0.0]], activation="gelu")
    first = hr2jax.maximum(net, center=np.zeros(3), radius=0.5, relaxation="shor")
    where = {"center": np.full(3, 0.05), "radius": 0.5}
    cold, warm = (hr2jax.maximum(net, relaxation="shor", warm_start=start, **where) for start in (None, first))
    assert warm.bound == pytest.approx(cold.bound, rel=1e-2) and warm.certificate.verify(net) == warm.bound
