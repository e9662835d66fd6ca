"""`lasserre2`: its matrices at feasible points, its place below `hr2`, its certificates."""

import dataclasses
import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError, Network, Status
from hr2jax.certificate.certificate import certify_multipliers
from hr2jax.engines import memory
from hr2jax.engines.block.form import block_form
from hr2jax.engines.block.interior_point import solve_interior_point
from hr2jax.engines.sizes import Sizes
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.basis import V1, XI, T
from hr2jax.relaxation.lasserre import lasserre_matrices, moment_places, reduce
from hr2jax.relaxation.presolve import presolve
from hr2jax.solving import run, stages
from tests.reference.effort import examples
from tests.reference.truth import truth

from ..reference.certificates import with_multipliers

TOL = 1e-3


def random_net(p, m, seed=0, bias=0.3):
    rng = np.random.default_rng([seed, p, m])
    return Network(
        [rng.standard_normal((m, p)), rng.standard_normal((1, m))], [bias * rng.standard_normal(m), [0.0]]
    )


def box(p, radius=1.0):
    return {"center": np.linspace(-0.1, 0.2, p), "radius": radius}


def lifting_of(net, domain):
    problem = checked_problem(net, None, "inf", **domain)
    return problem, lift(net, problem, presolve(net, problem))


CASES = {
    "global (2, 3)": (random_net(2, 3, seed=5), {}),
    "local (2, 2)": (random_net(2, 2, seed=7), box(2)),
    "local (1, 3)": (random_net(1, 3, seed=11), box(1)),
}
EVERY = pytest.mark.parametrize("name", CASES)


# The matrices -------------------------------------------------------------------------------------------


def feasible_points(net, problem, lifting, rng, count=30):
    """Points y of the basis (1, v, t, xi); t at vertices and inside."""
    fixed = lifting.presolve
    for _ in range(count):
        t = rng.uniform(-1, 1, lifting.sizes[T])
        t = np.sign(t) if rng.random() < 0.5 else t
        if XI in lifting.sizes:
            xi = rng.uniform(-1, 1, lifting.sizes[XI])
            x = problem.domain.center.copy()
            x[fixed.free] += problem.domain.radius[fixed.free] * xi
            v = np.where(net.weights[0] @ x + net.biases[0] > 0, 1.0, -1.0)[fixed.layers[0].unstable]
        else:
            xi, v = np.zeros(0), rng.choice([-1.0, 1.0], lifting.sizes[V1])
        yield np.concatenate([[1.0], v, t, xi])


def monomial_at(y, monomial):
    return math.prod(y[k] for k in monomial)


@EVERY
def test_every_factor_is_nonnegative_at_feasible_points(name):
    net, domain = CASES[name]
    problem, lifting = lifting_of(net, domain)
    matrices = lasserre_matrices(lifting)
    plan = moment_places(matrices, lifting)
    assert plan.monomials[0] == ()
    assert len({m.key for m in matrices}) == len(matrices)
    for y in feasible_points(net, problem, lifting, np.random.default_rng(0)):
        values = np.array([monomial_at(y, m) for m in plan.monomials])
        assert (np.abs(values) <= 1 + 1e-12).all()  # what the certificate charges for the others
        for matrix, index in zip(matrices, plan.index, strict=True):
            g = sum(float(c.mid) * monomial_at(y, m) for m, c in matrix.factor.items())
            assert g >= -1e-12
            b = np.array([monomial_at(y, m) for m in matrix.basis])
            coefficients = np.array([float(c.mid) for c in matrix.factor.values()])
            np.testing.assert_allclose(values[index] @ coefficients, g * np.outer(b, b), atol=1e-12)


def test_squares_of_signs_are_one():
    _, lifting = lifting_of(*CASES["local (2, 2)"])  # positions: 1 | v v | t t | xi xi
    assert reduce((1, 1), lifting) == ()
    assert reduce((1, 2, 1), lifting) == (2,)
    assert reduce((3, 3), lifting) == (3, 3)
    assert reduce((6, 1, 6, 1, 1), lifting) == (1, 6, 6)


@EVERY
def test_no_basis_repeats_a_monomial(name):
    _, lifting = lifting_of(*CASES[name])
    for matrix in lasserre_matrices(lifting):
        assert len(set(matrix.basis)) == len(matrix.basis)
        assert matrix.basis[0] == ()


# The hierarchy ------------------------------------------------------------------------------------------


@cache
def solved(name, relaxation):
    net, domain = CASES[name]
    return hr2jax.solve(net, relaxation=relaxation, tol=TOL, **domain)


@EVERY
def test_it_lies_between_hr2_and_the_constant(name):
    net, domain = CASES[name]
    shor, hr2, lasserre2 = (solved(name, relaxation) for relaxation in ("shor", "hr2", "lasserre2"))
    assert lasserre2.status is Status.SOLVED
    assert shor.bound >= hr2.bound * (1 - TOL)
    assert hr2.bound >= lasserre2.bound * (1 - TOL)
    known = truth(net, checked_problem(net, None, "inf", **domain))
    assert Fraction(lasserre2.bound) >= known.attained
    assert lasserre2.lower <= known.most * (1 + 1e-12)
    # so small, it is nearly exact
    assert lasserre2.bound <= float(known.attained) * 1.02


@EVERY
def test_it_is_the_interior_point_value(name):
    """The engine's bound is within the tolerance of the value of the same block form; never below it."""
    _, lifting = lifting_of(*CASES[name])
    value = solve_interior_point(block_form("lasserre2", lifting), "clarabel").value * 2.0**lifting.exponent
    assert value * (1 - 1e-6) <= solved(name, "lasserre2").bound <= value * (1 + TOL)


def test_few_iterations_are_sound_too():
    net, domain = CASES["local (2, 2)"]
    known = truth(net, checked_problem(net, None, "inf", **domain))
    for iterations in (1, 2, 5, 50):
        result = hr2jax.solve(net, relaxation="lasserre2", max_iterations=iterations, **domain)
        assert Fraction(result.bound) >= known.attained
        assert result.certificate.verify(net) == result.bound


# Certificates -------------------------------------------------------------------------------------------


@EVERY
def test_its_certificate_survives_a_file_and_ball_arithmetic(name, tmp_path):
    net, _ = CASES[name]
    certificate = solved(name, "lasserre2").certificate
    assert any(key.startswith("sos/") for key in certificate.multipliers)
    certificate.save(tmp_path / "c.npz")
    loaded = Certificate.load(tmp_path / "c.npz")
    assert loaded.relaxation == "lasserre2"
    assert loaded.verify(net) == certificate.bound
    in_balls = loaded.verify(net, arithmetic="ball")
    assert in_balls <= certificate.bound
    assert in_balls == pytest.approx(certificate.bound, rel=1e-9)


def tampered(certificate, change):
    numbers = {key: change(values) for key, values in certificate.multipliers.items() if values.dtype == np.float64}
    return dataclasses.replace(certificate, multipliers=certificate.multipliers | numbers)


@EVERY
def test_factors_that_do_not_fit_are_refused(name):
    net, _ = CASES[name]
    certificate = solved(name, "lasserre2").certificate
    key = next(key for key in certificate.multipliers if key.endswith("/factor"))
    values, name = certificate.multipliers[key], key.removesuffix("/factor")
    monomials = certificate.multipliers[f"{name}/monomials"]

    def refused(match, **changes):
        entries = {f"{name}/{k}" if k != "index" else "sos/index": v for k, v in changes.items()}
        with pytest.raises(CertificateError, match=match):
            dataclasses.replace(certificate, multipliers=certificate.multipliers | entries).verify(net)

    for wrong in (values[:-1], values.ravel(), np.ones(()), np.ones((len(values) + 1, 2)), values[None]):
        refused("row for each monomial", factor=wrong)
    for wrong in (monomials[:, 0], monomials.astype(float), monomials + 10**6, monomials - 5):
        refused("monomials must be int64 rows", monomials=wrong)
    refused("row for each monomial", monomials=monomials[:-1])
    refused("distinct ones", monomials=np.vstack([monomials[:-1], monomials[:1]]))
    refused("distinct ones|square of a sign", monomials=np.column_stack([monomials, monomials, monomials]))
    refused("no variable", index=certificate.multipliers["sos/index"] + 77)
    with pytest.raises(CertificateError, match="no matrix"):
        refusing = {"sos/M_3(x)/factor": values, "sos/M_3(x)/monomials": monomials}
        dataclasses.replace(certificate, multipliers=certificate.multipliers | refusing).verify(net)
    with pytest.raises(CertificateError, match="unknown or missing"):
        dataclasses.replace(certificate, multipliers=certificate.multipliers | {f"{name}/more": values}).verify(net)
    for bad in (np.nan, np.inf):
        with pytest.raises(CertificateError):
            tampered(certificate, lambda v, bad=bad: np.full(v.shape, bad)).verify(net)


@cache
def small_problem(seed):
    """A network with stable neurons, zero rows, fixed inputs, ...; its matrices, its certificate, the truth."""
    rng = np.random.default_rng([3, seed])
    p, m = rng.integers(1, 4, 2)
    A = rng.choice([0.0, 1.0, -1.0, 0.3, -0.7], (m, p)) if seed % 3 == 0 else rng.standard_normal((m, p))
    net = Network([A, rng.standard_normal((1, m))], [rng.choice([0.1, 2.0]) * rng.standard_normal(m), [0.0]])
    domain = {}
    if seed % 2:
        radius = rng.choice([0.0, 0.5, 1.0], p)
        radius[rng.integers(p)] = 0.8
        domain = {"center": 0.3 * rng.standard_normal(p), "radius": radius}
    problem, lifting = lifting_of(net, domain)
    certificate = certify_multipliers(net, problem, "lasserre2", lifting.presolve, {}, None)
    matrices = {matrix.key: len(matrix.basis) for matrix in lasserre_matrices(lifting)}
    return net, certificate, matrices, lifting.size, truth(net, problem)


@settings(max_examples=examples(200), deadline=None)
@given(
    seed=st.integers(0, 19),
    noise=st.integers(0, 2**32),
    size=st.sampled_from([0.0, 1e-200, 1e-6, 0.03, 0.3, 1.0, 1e6, 1e100]),
    columns=st.sampled_from([0, 1, 3, 20]),
    some=st.floats(0, 1),
    with_diagonal=st.booleans(),
    arithmetic=st.sampled_from(["float"] * 9 + ["ball"]),
)
def test_no_square_factors_prove_a_bound_below_the_constant(
    seed, noise, size, columns, some, with_diagonal, arithmetic
):
    net, certificate, matrices, N, known = small_problem(seed)
    rng = np.random.default_rng(noise)
    factors = {
        key: size * rng.standard_normal((rows, columns)) for key, rows in matrices.items() if rng.random() <= some
    }
    diagonal = size**2 * rng.standard_normal(N) if with_diagonal else None
    changed = with_multipliers(certificate, net, factors, diagonal)
    assert Fraction(changed.verify(net, arithmetic=arithmetic)) >= known.attained


@EVERY
def test_a_changed_certificate_stays_sound(name):
    net, domain = CASES[name]
    known = truth(net, checked_problem(net, None, "inf", **domain))
    certificate = solved(name, "lasserre2").certificate
    rng = np.random.default_rng(0)
    changes = [
        lambda v: -v,
        lambda v: 0.9 * v,
        lambda v: 2.0 * v,
        lambda v: v[::-1],
        lambda v: v * rng.uniform(0.99, 1.01, v.shape),
        lambda v: v + 1e-3 * rng.standard_normal(v.shape),
        lambda v: v[:, :1] if v.ndim == 2 else v,
    ]
    for change in changes:
        assert Fraction(tampered(certificate, change).verify(net)) >= known.attained
    # the sign of a factor says nothing: only its square counts
    flipped = {k: -v if k.endswith("/factor") else v for k, v in certificate.multipliers.items()}
    assert dataclasses.replace(certificate, multipliers=flipped).verify(net) == certificate.bound


# Size ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "m", "domain"), [(1, 1, {}), (3, 2, {}), (2, 4, {}), (1, 1, box(1)), (3, 2, box(3))])
def test_the_size_is_counted_without_building(p, m, domain, monkeypatch):
    problem, lifting = lifting_of(random_net(p, m, bias=0.01), domain)
    sizes = Sizes.of(problem, lifting.presolve)
    matrices = lasserre_matrices(lifting)
    plan = moment_places(matrices, lifting)
    entries = sum(len(matrix.basis) ** 2 for matrix in matrices)
    need = 8 * entries * len(plan.monomials)
    monkeypatch.setattr(memory, "MAX_MOMENT_BYTES", need)
    memory.refuse_many_moments(sizes)
    monkeypatch.setattr(memory, "MAX_MOMENT_BYTES", need - 1)
    with pytest.raises(ValueError, match=f"{entries} matrix entries and {len(plan.monomials)} moments"):
        memory.refuse_many_moments(sizes)


@pytest.mark.parametrize(("p", "m"), [(12, 12), (60, 60), (500, 500)])
@pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
def test_a_larger_network_is_refused_before_any_work(p, m, local, monkeypatch):
    monkeypatch.setattr(run, "Session", None)
    monkeypatch.setattr(stages, "choose_engine", None)
    with pytest.raises(ValueError, match="lasserre2") as error:
        hr2jax.solve(random_net(p, m), relaxation="lasserre2", **(box(p) if local else {}))
    text = str(error.value)
    assert "\n" not in text
    assert "tiny networks" in text
    assert "'hr2'" in text
    assert memory.MAX_MOMENT_BYTES == 2**30


def test_these_networks_tell_the_relaxations_apart():
    bounds = {name: [solved(name, r).bound for r in ("shor", "hr2", "lasserre2")] for name in CASES}
    assert max(shor / hr2 for shor, hr2, _ in bounds.values()) > 1.03
    assert max(hr2 / lasserre2 for _, hr2, lasserre2 in bounds.values()) > 1.05
