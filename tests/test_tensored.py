"""The tensored lifting in `solve`: tighter than the separate one, never below enumeration, and not to be forged."""

import dataclasses
import itertools

import numpy as np
import pytest

import hr2jax
from hr2jax import Certificate, CertificateError

from .reference.effort import FULL
from .test_outputs import formal_constant, operator_norms, random_network, sampled

PAIRS = [(2, 2), ("inf", 1), ("inf", 2), (2, 1)]
SEEDS = 10 if FULL else 1


@pytest.mark.parametrize(("p", "q"), PAIRS)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_bound_is_below_enumeration(p, q, seed):
    rng = np.random.default_rng([seed, q])
    net = random_network(rng, (2, 3, 2) if seed % 2 else (2, 2, 3, 2))
    formal = formal_constant(net, p, q)
    center, radius = 0.3 * rng.normal(size=2), 0.6
    attained = sampled(net, p, q, center, radius, rng, 300)
    for relaxation in ("shor", "hr2", "hr2+") if FULL else ("hr2+",):
        options = {"norm": p, "output_norm": q, "relaxation": relaxation, "lifting": "tensored", "tol": 1e-2}
        everywhere = hr2jax.solve(net, **options)
        assert formal * (1 - 1e-12) <= everywhere.bound
        local = hr2jax.solve(net, center=center, radius=radius, **options)
        assert local.bound >= max(local.lower, attained) * (1 - 1e-12)
        assert local.certificate.verify(net) <= local.bound * (1 + 1e-9)
    assert everywhere.bound <= 1.03 * formal  # hr2+


@pytest.fixture(scope="module")
def solved():
    """A network with a gap, its local bound and what it was asked with."""
    rng, widths = np.random.default_rng(1), (2, 5, 5, 2)
    pairs = [(a, b, 1 / np.sqrt(a)) for a, b in itertools.pairwise(widths)]
    arrays = [(rng.uniform(-k, k, (b, a)), rng.uniform(-k, k, b)) for a, b, k in pairs]
    net = hr2jax.Network(*map(list, zip(*arrays, strict=True)))
    center = np.random.default_rng(100).uniform(-1, 1, 2)
    options = {"norm": 2, "relaxation": "hr2+", "domain": hr2jax.Ball(center, 0.5), "tol": 1e-2}
    return net, hr2jax.solve(net, lifting="tensored", **options), options


def test_auto_takes_the_tighter_and_says_which(solved):
    net, tensored, options = solved
    found = hr2jax.solve(net, witness=0, **options)  # beside a witness cases would be exact
    separate = hr2jax.solve(net, cuts=list(hr2jax.options.CUT_NAMES), **options)
    assert separate.problem["lifting"] == "separate" and found.problem["lifting"] == "tensored xL"
    assert found.bound == pytest.approx(tensored.bound, rel=1e-2)
    assert found.bound < 0.97 * separate.bound
    assert "tensored xL lifting" in str(found)


def test_a_saved_certificate_proves_the_same(solved, tmp_path):
    net, result, _ = solved
    result.certificate.save(tmp_path / "t.cert.npz")
    read = Certificate.load(tmp_path / "t.cert.npz")
    assert read.lifting == "tensored xL"
    assert read.verify(net, output=None, norm=2, output_norm=2) == result.certificate.verify(net)
    assert read.verify(net, arithmetic="ball") == pytest.approx(result.bound, rel=1e-6)


def with_entries(certificate, changed):
    return dataclasses.replace(certificate, multipliers={**certificate.multipliers, **changed})


def test_whatever_multipliers_are_made_of_it_proves_no_less_than_is_attained(solved):
    net, result, _ = solved
    certificate, rng = result.certificate, np.random.default_rng(0)
    records = {name.partition("/")[0] for name in certificate.multipliers}
    assert records >= {"tensored.products", "tensored.cones", "tensored.clauses"}
    every = {name: values for name, values in certificate.multipliers.items() if values.dtype == np.float64}
    for turn, scale in enumerate((1e-300, 1e-3, 1e3, 1e300)):
        noise = {name: rng.standard_normal(values.shape) for name, values in every.items()}
        forgeries = (
            {name: values * scale for name, values in every.items()},
            *({name: values + scale * noise[name]} for name, values in every.items() if name.startswith("tensored")),
            {name: values + scale * noise[name] for name, values in every.items() if not name.startswith("tensored")},
        )
        for forged in forgeries if FULL else forgeries[turn % 2 :: 2]:  # each by a small and by a large scale
            try:
                bound = with_entries(certificate, forged).verify(net)
            except CertificateError:
                continue
            assert bound >= result.lower
    # directions and multipliers of opposite sizes at once
    for record in ("tensored.products", "tensored.cones"):
        names = [f"{record}/{kind}" for kind in ("directions", "multipliers")]
        for exponent in (-1020, -500, 500, 1000):
            powers = np.ldexp(1.0, exponent), np.ldexp(1.0, -exponent)
            with np.errstate(all="ignore"):
                forged = {n: certificate.multipliers[n] * s for n, s in zip(names, powers, strict=True)}
            try:
                bound = with_entries(certificate, forged).verify(net)
            except CertificateError:
                continue
            assert bound >= result.lower


def test_entries_that_do_not_fit_are_refused(solved):
    net, result, _ = solved
    entries = result.certificate.multipliers
    factors = len(entries["tensored.products/kind"])
    for changed in (
        {"tensored.products/pairs": entries["tensored.products/pairs"] + factors},
        {"tensored.products/pairs": entries["tensored.products/pairs"][:, :1]},
        {"tensored.products/directions": entries["tensored.products/directions"][:, :1]},
        {"tensored.products/multipliers": entries["tensored.products/multipliers"][1:]},
        {"tensored.products/kind": np.full(factors, "W")},
        {"tensored.cones/kind": np.full(len(entries["tensored.cones/kind"]), "V")},
        {"tensored.cones/directions": entries["tensored.cones/directions"][:, 1:]},
        {"tensored.cones/more": np.zeros(1)},
        {"tensored.clauses/kind": np.full(len(entries["tensored.clauses/kind"]), "X")},
        {"tensored.clauses/literals": entries["tensored.clauses/literals"][:, :2]},
        {"tensored.clauses/literals": entries["tensored.clauses/literals"][:, [0, 0, 1]]},
        {"tensored.clauses/sign": -entries["tensored.clauses/sign"]},
        {"tensored.clauses/combinations": 0.0 * entries["tensored.clauses/combinations"]},
        {"tensored.clauses/slopes": entries["tensored.clauses/slopes"] + 2.0},
        {"tensored.events/more": np.zeros(1)},
        {"events/kind": np.array(["U"])},
        {"products/kind": np.array(["U"])},
        {"u.(1-u)/1": np.zeros((2, 2, 9))},
        {"u.(1-u)/9": np.zeros((2, 2, 4))},
    ):
        with pytest.raises(CertificateError):
            with_entries(result.certificate, changed).verify(net)


def test_another_claim_or_lifting_is_not_proved(solved):
    net, result, options = solved
    certificate, claim = result.certificate, result.certificate.lipschitz_problem
    for name in ("tensored", "separate", "forward", "adjoint", "lipsdp", "reach separate"):
        with pytest.raises(CertificateError):
            dataclasses.replace(certificate, lifting=name).verify(net)
    separate = hr2jax.solve(net, cuts=["cones"], **options).certificate
    with pytest.raises(CertificateError):
        dataclasses.replace(separate, lifting="tensored").verify(net)
    for norm, output_norm in ((2, 1), ("inf", 2), (2, "inf"), (1, 2)):
        other = dataclasses.replace(claim, norm=norm, output_norm=output_norm)
        try:
            bound = dataclasses.replace(certificate, lipschitz_problem=other).verify(net)
        except CertificateError:
            continue
        points = claim.domain.center + np.random.default_rng(0).uniform(-0.35, 0.35, size=(50, 2))  # of the ball
        attained = operator_norms(net.jacobian(points), norm, output_norm).max()
        assert bound >= attained * (1 - 1e-12)


def test_refusals_are_sentences():
    net = random_network(np.random.default_rng(1), (3, 4, 2))
    for options in ({"output": 0}, {"output_norm": "inf"}, {"norm": 1, "output_norm": 2}):
        with pytest.raises(ValueError, match="lifting='tensored' is for several outputs"):
            hr2jax.solve(net, lifting="tensored", **options)
    for options in ({"relaxation": "lipsdp"}, {"method": "lowrank"}):
        with pytest.raises(NotImplementedError, match="lifting='tensored' is for"):
            hr2jax.solve(net, norm=2, lifting="tensored", **options)
    wide = random_network(np.random.default_rng(1), (10, 100, 100, 10))
    with pytest.raises(NotImplementedError, match="'auto' is for any number"):
        hr2jax.solve(wide, norm=2, lifting="tensored", relaxation="hr2")


def test_leaky_residual_and_smooth_networks_have_it_too():
    rng = np.random.default_rng(11)
    A, B, C = rng.normal(size=(3, 2)), rng.normal(size=(3, 3)), rng.normal(size=(2, 3))
    net = hr2jax.Network.from_layers([
        hr2jax.Layer({0: A}, np.zeros(3), "leaky_relu", {"negative_slope": 0.25}),
        hr2jax.Layer({1: B}, np.full(3, 0.1), "abs"),
        hr2jax.Layer({1: C, 2: C}, np.zeros(2), "identity"),
    ])  # fmt: skip
    smooth = hr2jax.Network([A, C], [np.zeros(3), np.zeros(2)], activation="tanh")
    for own in (net, smooth):
        for where in ({}, {"domain": hr2jax.Ball(np.zeros(2), 0.5)}):
            result = hr2jax.solve(own, norm=2, lifting="tensored", relaxation="hr2+", **where)
            points = rng.uniform(-0.35, 0.35, size=(200, 2))
            assert result.bound >= operator_norms(own.jacobian(points), 2, 2).max()
            result.certificate.verify(own)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_soundness_on_many_random_networks(block):
    """100 networks a block, of one to three hidden layers: no bound below a pattern's or a point's."""
    for seed in range(100 * block, 100 * block + 100):
        rng = np.random.default_rng([seed, 20])
        widths = (*rng.integers(2, 4, 1), *rng.integers(2, 5, rng.integers(1, 4)), *rng.integers(2, 5, 1))
        net = random_network(rng, tuple(int(w) for w in widths))
        p, q = PAIRS[seed % 4]
        options = {"norm": p, "output_norm": q, "lifting": "tensored"}
        options["relaxation"] = ("shor", "hr2", "hr2+")[seed // 4 % 3]
        formal = formal_constant(net, p, q)
        result = hr2jax.solve(net, **options)
        assert result.bound >= formal * (1 - 1e-12)
        assert result.certificate.verify(net) <= result.bound * (1 + 1e-9)
        center, radius = rng.normal(size=net.widths[0]), float(rng.uniform(0.05, 1.0))
        local = hr2jax.solve(net, center=center, radius=radius, **options)
        assert local.bound >= sampled(net, p, q, center, radius, rng, 50) * (1 - 1e-12)
        assert local.bound >= local.lower
