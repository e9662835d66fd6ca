"""Products of a factor and a cone: any direction holds at feasible points, and no length is below the exact one."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError, Network
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.certificate.names import named, numbered
from hr2jax.problem import checked_problem
from hr2jax.relaxation import catalogue, lift
from hr2jax.relaxation.basis import ONE, XI, Group, S, T
from hr2jax.relaxation.cones import BOUNDED, CONES, cone_entries, lengths_of, width_of
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.products import FactorTable
from tests.reference.cases import exact
from tests.reference.effort import examples
from tests.reference.lifted_points import form_values, lifted_point, sum_of_terms
from tests.test_outputs import PAIRS, formal_constant, random_network, sampled

from ..reference.lifted_cases import lifted_cases


def random_rows(lifting, rng, count):
    """(count, 3 + w) rows of random directions, some sparse, some huge or tiny."""
    groups = [k for k, group in enumerate(BOUNDED) if lifting.sizes.get(group)]
    number = rng.choice(groups, count)
    mu = rng.standard_normal((count, width_of(lifting))) * rng.choice([0.0, 1.0, 1e-9, 1e6], (count, 1))
    mu *= rng.random(mu.shape) < 0.7
    for k, group in enumerate(BOUNDED):
        mu[number == k, lifting.sizes.get(group, 0) :] = 0.0
    weights = rng.choice([0.0, 0.1, 1.0, -2.0, 3e-7], count) * rng.random(count)
    return np.column_stack([rng.integers(0, FactorTable(lifting).count, count), number, mu, weights])


@settings(max_examples=examples(100), deadline=None)
@given(lifted_cases(), st.sampled_from([Enclosure, Arb]), st.integers(1, 12))
def test_the_quadratic_form_encloses_the_products(case, kind, count):
    """sum lambda phi (n - mu.y), n the length that is used: nonnegative, and what the form's entries say, exactly."""
    net, problem, fixed, lifting, rng = case
    rows = random_rows(lifting, rng, count)
    terms = cone_entries(lifting, rows, kind)
    point = lifted_point(net, problem, fixed, rng)
    every = np.concatenate([form_values(form, point.y) for form in FactorTable(lifting).forms if form.rows])
    number = rows[:, 1].astype(int)
    length = lengths_of(lifting, number, rows[:, 2:-1])
    wanted = size = Fraction(0)
    for row, k, n in zip(rows, number, length, strict=True):
        y = point.y[BOUNDED[k]]
        side = Fraction(n) - exact(row[2 : 2 + len(y)]) @ y
        assert side >= 0
        wanted += Fraction(max(row[-1], 0.0)) * every[int(row[0])] * side
        size += Fraction(max(row[-1], 0.0)) * Fraction(n) * (1 + len(y))
    assert wanted >= 0
    middle, spread = sum_of_terms(terms, point)
    assert abs(middle - wanted) <= spread
    assert spread <= Fraction(1e-12) * size * 64 + Fraction(1e-280)  # underflow


@settings(max_examples=examples(60), deadline=None)
@given(lifted_cases(), st.integers(1, 12))
def test_names_say_the_same(case, count):
    net, _, _, lifting, rng = case
    rows = random_rows(lifting, rng, count)
    entries = named(lifting, {CONES: rows}, net.widths[0])
    np.testing.assert_array_equal(numbered(lifting, entries, net.widths)[CONES], rows)


# --- several outputs --------------------------------------------------------------------------------------


def separate_point(net, problem, fixed, lifting, rng):
    """(y of the extended basis, J, s, t) at a random point, direction and combination; float64."""
    domain, free = problem.domain, fixed.free
    if problem.is_local:
        xi = rng.standard_normal(len(free))
        xi /= np.abs(xi).max() if domain.shape == "inf" else np.linalg.norm(xi, domain.shape)
        x = domain.center.copy()
        x[free] += domain.radius[free] * xi
    s = rng.standard_normal(len(problem.coefficients))
    s = np.sign(s) if problem.output_norm == 1 else s / np.linalg.norm(s, {2: 2, "inf": 1}[problem.output_norm])
    t = rng.standard_normal(len(fixed.directions))
    t = np.sign(t) if problem.t_norm == "inf" else t / np.linalg.norm(t, problem.t_norm)
    y, masks = {ONE: np.ones(1), T: t, S: s}, []
    value = x if problem.is_local else None
    for l, (A, b) in enumerate(zip(net.weights[:-1], net.biases[:-1], strict=True), 1):
        u = rng.integers(0, 2, len(b)) if value is None else (A @ value + b > 0)
        if value is not None:
            value = u * (A @ value + b)
            y[Group("x", l)] = value[fixed.layers[l - 1].unstable]
        masks.append(u.astype(float))
        y[Group("v", l)] = 2.0 * u[fixed.layers[l - 1].unstable] - 1.0
    if problem.is_local:
        y[XI] = xi
    g = net.weights[-1].T @ (problem.coefficients.T @ s)
    for l in range(net.depth, 0, -1):
        neurons = fixed.layers[l - 1]
        a = masks[l - 1] * g
        y[Group("as", l)] = a[neurons.unstable] / 2.0 ** neurons.reach_exponent["as"]
        if problem.is_local:
            y[Group("x", l)] = y[Group("x", l)] / 2.0**neurons.exponent
        g = net.weights[l - 1].T @ a
    basis = np.concatenate([y[group] for group in lifting.sizes])
    along = g[fixed.directions]
    return basis, lifting.extend(basis[:, None])[:, 0], float(along @ t if problem.has_t else along[0])


@pytest.mark.parametrize("p", ["inf", 2, 1])
@pytest.mark.parametrize("q", ["inf", 2, 1])
@pytest.mark.parametrize("is_local", [False, True])
def test_every_family_and_cone_holds_at_points_of_several_outputs(p, q, is_local):
    rng = np.random.default_rng([3, len(str(p)), len(str(q)), is_local])
    for widths in ((3, 4, 2), (3, 4, 3, 2)):
        net = random_network(rng, widths)
        where = {"center": 0.3 * rng.normal(size=3), "radius": 0.7} if is_local else {}
        problem = checked_problem(net, norm=p, output_norm=q, **where)
        problem = problem.towards([int(rng.integers(3))]) if p == 1 else problem
        fixed = presolve(net, problem, chains=LIFTINGS["separate"])
        lifting = lift(net, problem, fixed)
        table, families = FactorTable(lifting), catalogue(lifting)
        M = lagrangian_matrix(lifting, {}).middle() @ np.eye(lifting.size)
        factors = sp.vstack([form.csr(lifting.extended) for form in table.forms]).tocsr()
        products = [(family.equality, *(form.csr(lifting.extended) for form in (family.F, family.G)))
                    for family in families.values()]  # fmt: skip
        for _ in range(20):
            basis, extended, value = separate_point(net, problem, fixed, lifting, rng)
            assert np.ldexp(basis @ M @ basis, lifting.exponent) == pytest.approx(value, abs=1e-9)
            for group, norm in lifting.norms.items():
                assert np.linalg.norm(basis[lifting.slice(group)], np.inf if norm == "inf" else norm) <= 1 + 1e-12
            for equality, F, G in products:
                product = (F @ extended) * (G @ extended)
                assert (np.abs(product) if equality else -product).max(initial=0.0) <= 1e-9
            assert (factors @ extended).min() >= -1e-9
            rows = random_rows(lifting, rng, 8)
            rows[:, -1] = 1.0
            added = lagrangian_matrix(lifting, {CONES: rows}).middle() @ np.eye(lifting.size) - M
            size = 1.0 + lengths_of(lifting, rows[:, 1].astype(int), rows[:, 2:-1]).max()
            assert basis @ added @ basis >= -1e-9 * size


# --- solves and certificates ------------------------------------------------------------------------------


def test_cones_make_a_local_constant_of_norm_2_smaller():
    net = random_network(np.random.default_rng(10), (3, 3, 3, 2))
    where = {"center": np.full(3, 0.1), "radius": 0.7}
    none = [name for name in hr2jax.options.CUT_NAMES if name != "cones"]
    with_cones = hr2jax.solve(net, norm=2, relaxation="hr2+", **where)
    without = hr2jax.solve(net, norm=2, relaxation="hr2+", cuts=none, witness=0, **where)
    assert with_cones.bound < without.bound
    assert with_cones.lower <= with_cones.bound
    for method in ("newton", "lowrank"):
        result = hr2jax.solve(net, norm=2, relaxation="hr2+", cuts=["cones"], method=method, witness=0, **where)
        assert any(name.startswith("cones/") for name in result.certificate.multipliers)
        assert result.bound >= sampled(net, 2, 2, where["center"], 0.5, np.random.default_rng(0))
        assert result.certificate.verify(net, arithmetic="ball") <= result.bound * (1 + 1e-9)


def test_any_direction_proves_a_bound_and_no_less_than_the_constant(tmp_path):
    net = random_network(np.random.default_rng(4), (3, 4, 3, 2))
    certificate = hr2jax.solve(net, norm=2, relaxation="hr2+", cuts=["cones"]).certificate
    certificate.save(tmp_path / "c.npz")
    assert Certificate.load(tmp_path / "c.npz").verify(net) == pytest.approx(certificate.bound)
    rng, formal = np.random.default_rng(0), formal_constant(net, 2, 2)
    entries = dict(certificate.multipliers)
    for scale in (1e-3, 1.0, 1e3):
        mu = entries["cones/directions"] + scale * rng.normal(size=entries["cones/directions"].shape)
        groups = np.array(entries["cones/groups"])
        for k, group in enumerate(("t", "s")):
            mu[groups == group, (3, 2)[k] :] = 0.0
        changed = Certificate(**{**vars(certificate), "multipliers": entries | {"cones/directions": mu}})
        assert changed.verify(net) >= formal * (1 - 1e-12)
    for name, wrong in {
        "cones/groups": np.full(len(groups), "v1"), "cones/factors": entries["cones/factors"] + 10**6,
        "cones/directions": entries["cones/directions"][:, :-1], "cones/kind": np.full(len(entries["cones/kind"]), "W"),
        "cones/multipliers": entries["cones/multipliers"][:-1], "cones/more": np.zeros(1),
    }.items():  # fmt: skip
        with pytest.raises(CertificateError):
            Certificate(**{**vars(certificate), "multipliers": entries | {name: wrong}}).verify(net)
    beyond = np.array(entries["cones/directions"])
    if (at := np.flatnonzero(groups == "s")).size:
        beyond[at[0], 2] = 1.0
        with pytest.raises(CertificateError):
            Certificate(**{**vars(certificate), "multipliers": entries | {"cones/directions": beyond}}).verify(net)


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_hr2_plus_with_all_cuts_is_not_below_the_regions(p, q):
    rng = np.random.default_rng(21)
    net = random_network(rng, (2, 3, 3, 2))
    center, radius = 0.3 * rng.normal(size=2), 0.6
    result = hr2jax.solve(net, norm=p, output_norm=q, relaxation="hr2+", center=center, radius=radius)
    assert result.bound >= sampled(net, p, q, center, radius, rng, 500) * (1 - 1e-12)


@pytest.mark.parametrize(
    "rows", [np.zeros(3), np.zeros((2, 4)), [[0.5, 0, 0, 0, 0, 1]], [[0, 3, 0, 0, 0, 1]], [[0, 1, 0, 0, 0, 1]]]
)
def test_what_is_no_cone_is_refused(rows):
    net = Network([np.ones((2, 3)), np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    problem = checked_problem(net, norm=2)
    with pytest.raises(ValueError, match="cone"):
        cone_entries(lift(net, problem, presolve(net, problem)), np.asarray(rows, dtype=float))


@pytest.mark.parametrize("exponent", [-1074, -600, 0, 600])
def test_a_cone_of_a_tiny_multiplier_and_a_huge_direction_adds_what_it_says(exponent):
    """The multiplier times a coefficient underflowed, and the direction made much of what was lost: 3e-15 was proved of
    a network of constant 1."""
    net = Network([np.eye(2), np.eye(2), np.eye(2)[:1]], [np.zeros(2), np.zeros(2), np.zeros(1)])
    problem = checked_problem(net, norm=2)
    lifting = lift(net, problem, presolve(net, problem, chains=LIFTINGS["adjoint"]))
    table, width = FactorTable(lifting), width_of(lifting)
    mu = np.array([0.75, -0.5]) * 2.0 ** min(-exponent - 52, 1000)
    for factor in range(table.count):
        rows = np.concatenate([[factor, BOUNDED.index(T)], np.pad(mu, (0, width - 2)), [2.0**exponent]])[None]
        added = {}
        for g, h, i, j, value in cone_entries(lifting, rows):
            for a, b, mid, rad in zip(i, j, value.mid, value.rad, strict=True):
                added[g, a, h, b] = (Fraction(mid), Fraction(rad))
        kind = int(table.of(np.array([factor]))[0])
        at = factor - int(table.starts[kind])
        for f in table.forms[kind].terms:
            weight = Fraction(2.0**exponent) * Fraction(float(f.coefficient[at]))
            for q, entry in enumerate(mu):
                mid, rad = added[f.group, int(f.index[at]), T, q]
                assert abs(mid + weight * Fraction(float(entry))) <= rad
