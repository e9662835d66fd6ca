"""Split squares: they hold at feasible points for all alpha and beta, exactly, and nothing else is taken for one."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax import Certificate, CertificateError
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.certificate.names import named, numbered
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.basis import Group, S, T
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.squares import SPLIT_SQUARES, MaskTable, square_entries
from tests.golden.make import HERE as GOLDEN
from tests.golden.networks import load
from tests.reference.effort import examples
from tests.reference.lifted_cases import lifted_cases
from tests.reference.lifted_points import form_values, lifted_point, sum_of_terms
from tests.test_outputs import formal_constant, random_network

from .test_cones import separate_point


def random_rows(lifting, rng, count):
    """(count, 5) of random masked forms, one neuron's own among them, and scales, some huge or tiny."""
    scales = rng.standard_normal((count, 2)) * rng.choice([0.0, 1.0, 1e-9, 1e6], (count, 2))
    weights = rng.choice([0.0, 0.1, 1.0, -2.0, 3e-7], count) * rng.random(count)
    return np.column_stack([rng.integers(0, MaskTable(lifting).count, (count, 2)), scales, weights])


@settings(max_examples=examples(100), deadline=None)
@given(lifted_cases(), st.sampled_from([Enclosure, Arb]), st.integers(1, 12))
def test_the_quadratic_form_encloses_the_squares(case, kind, count):
    """sum lambda ((alpha b - beta c)^2 + 4 alpha beta m n) is nonnegative, and what the form's entries say, exactly."""
    net, problem, fixed, lifting, rng = case
    table = MaskTable(lifting)
    if not table.count:
        return
    rows = random_rows(lifting, rng, count)
    terms = square_entries(lifting, rows, kind)
    for _ in range(3):
        point = lifted_point(net, problem, fixed, rng)
        before, behind = (np.concatenate([form_values(form, point.y) for form in forms if form.rows])
                          for forms in (table.before, table.behind))  # fmt: skip
        wanted = size = Fraction(0)
        for i, j, *scales, weight in rows:
            alpha, beta = map(Fraction, scales)
            (b, c), (m, n) = ((forms[int(i)], forms[int(j)]) for forms in (before, behind))
            square = (alpha * b - beta * c) ** 2 + 4 * alpha * beta * m * n
            assert square >= 0
            wanted += Fraction(max(weight, 0.0)) * square
            size += Fraction(max(weight, 0.0)) * (alpha**2 + beta**2)
        middle, spread = sum_of_terms(terms, point)
        assert abs(middle - wanted) <= spread
        assert spread <= Fraction(1e-12) * size * 64 + Fraction(1e-280)  # underflow


@settings(max_examples=examples(60), deadline=None)
@given(lifted_cases(), st.integers(1, 12))
def test_names_say_the_same(case, count):
    net, _, _, lifting, rng = case
    if MaskTable(lifting).count:
        rows = random_rows(lifting, rng, count)
        entries = named(lifting, {SPLIT_SQUARES: rows}, net.widths[0])
        np.testing.assert_array_equal(numbered(lifting, entries, net.widths)[SPLIT_SQUARES], rows)


def lipsdp_point(net, problem, fixed, lifting, rng):
    """y of LipSDP's basis at a random direction, combination and masks."""
    t, s = rng.standard_normal(len(fixed.directions)), rng.standard_normal(len(problem.coefficients))
    y, q = {Group("one"): np.ones(1), T: t / np.linalg.norm(t), S: s / np.linalg.norm(s)}, t / np.linalg.norm(t)
    for l, A in enumerate(net.weights[:-1], 1):
        q = rng.integers(0, 2, len(A)) * (A @ q)
        y[Group("q", l)] = q[fixed.layers[l - 1].unstable] / 2.0 ** fixed.layers[l - 1].reach_exponent["q"]
    return np.concatenate([y[group] for group in lifting.sizes])


def check_points_of_several_outputs(chains, record, random_rows):
    """Rows of a record are above 0 at points of networks with several outputs."""
    rng = np.random.default_rng(len(chains))
    for widths in ((3, 4, 2), (3, 4, 3, 2)):
        net = random_network(rng, widths)
        problem = checked_problem(net, norm=2)
        fixed = presolve(net, problem, chains=LIFTINGS[chains])
        lifting = lift(net, problem, fixed)
        M = lagrangian_matrix(lifting, {}).middle() @ np.eye(lifting.size)
        for _ in range(20):
            rows = random_rows(lifting, rng, 12)
            if chains == "lipsdp":
                basis = lipsdp_point(net, problem, fixed, lifting, rng)
            else:
                basis = separate_point(net, problem, fixed, lifting, rng)[0]
            added = lagrangian_matrix(lifting, {record: rows}).middle() @ np.eye(lifting.size) - M
            assert basis @ added @ basis >= -1e-9 * (1.0 + (rows[:, 2:-1] ** 2).sum())


@pytest.mark.parametrize("chains", ["separate", "lipsdp"])
def test_they_hold_at_points_of_several_outputs(chains):
    check_points_of_several_outputs(chains, SPLIT_SQUARES, random_rows)


def test_no_scales_prove_less_than_the_constant(tmp_path):
    """Of a certificate that an earlier hr2jax made: now mixtures are sought."""
    certificate = Certificate.load(GOLDEN / "three-lipsdp+.cert.npz")
    net = load(GOLDEN / "networks.npz")["three"]
    formal = formal_constant(net, 2, 2)
    certificate.save(tmp_path / "c.npz")
    assert Certificate.load(tmp_path / "c.npz").verify(net) == pytest.approx(certificate.bound)
    entries, rng = certificate.multipliers, np.random.default_rng(0)

    def forged(**changed):
        named = {f"squares/{name}": values for name, values in changed.items()}
        return dataclasses.replace(certificate, multipliers={**entries, **named})

    scales, weights, pairs = (entries[f"squares/{name}"] for name in ("scales", "multipliers", "pairs"))
    for size in (1e-3, 1.0, 1e3, 1e150):
        assert forged(scales=scales + size * rng.normal(size=scales.shape)).verify(net) >= formal * (1 - 1e-12)
        assert forged(multipliers=size * weights).verify(net) >= formal * (1 - 1e-12)
    assert forged(pairs=rng.permutation(pairs.ravel()).reshape(-1, 2)).verify(net) >= formal * (1 - 1e-12)
    assert forged(sign=-entries["squares/sign"]).verify(net) >= formal * (1 - 1e-12)
    for exponent in (-1000, -500, 500):
        powers = np.ldexp(1.0, exponent // 2), np.ldexp(1.0, -exponent)
        assert forged(scales=scales * powers[0], multipliers=weights * powers[1]).verify(net) >= formal * (1 - 1e-12)
    for wrong in (
        {"kind": np.full(len(entries["squares/kind"]), "a")}, {"pairs": pairs + 10**6}, {"pairs": pairs[:, :1]},
        {"scales": scales[:, :1]}, {"scales": np.full_like(scales, np.nan)}, {"more": np.zeros(1)},
        {"scales": np.full_like(scales, np.inf)}, {"multipliers": weights[1:]},
        {"layer": entries["squares/layer"] + 7}, {"sign": 0 * entries["squares/sign"]},
    ):  # fmt: skip
        with pytest.raises(CertificateError):
            forged(**wrong).verify(net)


@pytest.mark.parametrize("rows", [np.zeros(5), np.zeros((2, 4)), [[0.5, 0, 1, 1, 1]], [[0, 99, 1, 1, 1]]])
def test_what_is_no_split_square_is_refused(rows):
    net = random_network(np.random.default_rng(0), (2, 3, 3, 1))
    problem = checked_problem(net, norm=2)
    lifting = lift(net, problem, presolve(net, problem, chains=LIFTINGS["adjoint"]))
    with pytest.raises(ValueError, match="split squares must be"):
        square_entries(lifting, np.asarray(rows, dtype=float))
