"""Circuits: what is proved to exclude each other does, whatever the file says; times any factor it is at least 0."""

from fractions import Fraction
from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError, Layer, Network
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.names import named, numbered
from hr2jax.engines.product.arrays import Factored
from hr2jax.engines.product.circuit_cuts import circuit_forms, circuit_pools
from hr2jax.problem import checked_problem
from hr2jax.relaxation import circuits, lift
from hr2jax.relaxation.circuits import CIRCUITS, are_excluded, circuit_entries, decode, length_of, planes_of
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.products import FactorTable
from hr2jax.relaxation.section import find_section
from tests.reference.brute import exact_constant
from tests.reference.cases import random_net
from tests.reference.certificates import entries_of, write
from tests.reference.effort import examples
from tests.reference.excluded import check_enclosed, check_products, value_of
from tests.reference.section_points import random_x, section_point
from tests.relaxation.test_plane import reach_cases

FILTERED = [HealthCheck.filter_too_much, HealthCheck.too_slow]


def pool_of(lifting):
    return circuit_pools(lifting, Factored(lifting, [], pads=False), ("exclusions",)).get(CIRCUITS)


def rows_of(pool, neurons, signs, rng):
    """Rows of literals (m, k) with random factors and multipliers."""
    numbers = np.where(signs > 0, pool._numbers[1][neurons], pool._numbers[-1][neurons])
    factor = rng.integers(-1, pool.factors.table.count, len(neurons))
    weight = rng.random(len(neurons)) * rng.choice([0.1, 1.0, -2.0, 3e-7], len(neurons))
    return np.column_stack([factor, numbers, weight]).astype(float)


def found_rows(lifting, rng, count):
    """Proved rows of the lifting; none where there are none."""
    pool = pool_of(lifting)
    if pool is None or not len(pool.excluded[0]):
        return np.zeros((0, 2 + length_of(lifting)))
    neurons, signs = pool.excluded
    chosen = rng.integers(len(neurons), size=count)
    return rows_of(pool, neurons[chosen], signs[chosen], rng)


def points_of(net, problem, fixed, rng, count):
    """Points of the section, at kinks too."""
    every = [random_x(rng, fixed.section, net.widths[0]) for _ in range(count)]
    points = [section_point(net, problem, fixed, rng, x) for x in every]
    return [point for point in points if point is not None]


@settings(max_examples=examples(60), deadline=None, suppress_health_check=FILTERED)
@given(st.integers(0, 2**32 - 1), st.sampled_from([Enclosure, Enclosure, Arb]))
def test_what_is_found_holds_at_points_of_the_section_and_is_what_the_form_encloses(seed, kind):
    net, problem, fixed, lifting, rng = reach_cases(seed, kind)
    rows = found_rows(lifting, rng, 5)
    assume(len(rows))
    found, terms = decode(lifting, rows), circuit_entries(lifting, rows, kind)
    check_enclosed(lifting, found, terms, points_of(net, problem, fixed, rng, 4))
    again = numbered(lifting, named(lifting, {CIRCUITS: rows}, 0), net.widths)[CIRCUITS]
    np.testing.assert_array_equal(again, rows)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=FILTERED)
@given(st.integers(0, 2**32 - 1))
def test_of_any_literals_those_are_refused_or_never_there(seed):
    net, problem, fixed, lifting, rng = reach_cases(seed)
    k, w = length_of(lifting), len(planes_of(lifting).place)
    assume(0 < k <= w)
    neurons = np.array([rng.permutation(w)[:k] for _ in range(40)])
    signs = rng.choice([-1, 1], neurons.shape)
    kept = are_excluded(planes_of(lifting), neurons, signs)
    assume(kept.any() and pool_of(lifting) is not None)
    rows = rows_of(pool_of(lifting), neurons[kept], signs[kept], rng)
    found = decode(lifting, rows)
    for point in points_of(net, problem, fixed, rng, 6):
        for k in range(len(rows)):
            value_of(lifting, found, k, point.y)


def lifting_of(widths=(2, 6, 1), seed=3, bias=True, norm="inf"):
    net = random_net(np.random.default_rng(seed), widths)
    net = net if bias else Network(net.weights, [0 * b for b in net.biases])
    problem = checked_problem(net, norm=norm)
    return net, lift(net, problem, presolve(net, problem, chains=LIFTINGS["reach"], section=find_section(net)))


@pytest.mark.parametrize("widths, bias", [((1, 4, 1), True), ((2, 6, 1), True), ((3, 5, 1), True), ((3, 6, 1), False)])
def test_all_that_no_input_has_is_found_in_general_position(widths, bias):
    """Of k planes of k - 1 dimensions one cell is missing; without biases, through 0, it and its mirror."""
    net, lifting = lifting_of(widths, bias=bias)
    neurons, signs = pool_of(lifting).excluded
    choices = list(combinations(range(widths[1]), widths[0] + 1))
    assert len(neurons) == len(choices) * (1 if bias else 2)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100_000, widths[0])) * 10.0 ** rng.uniform(-2, 2, (100_000, 1))
    on = np.sign(x @ net.weights[0].T + net.biases[0])[:, lifting.presolve.members(1)]
    known = {(*n, *s) for n, s in zip(neurons.tolist(), signs.tolist(), strict=True)}
    for choice, pattern in product(choices, product((-1, 1), repeat=widths[0] + 1)):
        if (on[:, choice] == pattern).all(axis=1).any():
            assert (*choice, *pattern) not in known


def cells(A):
    """(n, w) the signs of A x, A (w, 2), in all cells: exactly, on the lines x_2 = 1 and x_2 = -1."""
    found = []
    for x_2 in (1, -1):
        kinks = sorted({-Fraction(row[1]) * x_2 / Fraction(row[0]) for row in A if row[0]} | {Fraction(0)})
        inner = [(p + q) / 2 for p, q in pairwise(kinks)]
        for x_1 in (kinks[0] - 1, *inner, kinks[-1] + 1):
            z = [Fraction(row[0]) * x_1 + Fraction(row[1]) * x_2 for row in A]
            if all(z):
                found.append([1 if v > 0 else -1 for v in z])
    return np.array(found)


@pytest.mark.parametrize("bits", range(47, 53))
def test_no_thin_cell_between_planes_that_are_nearly_the_same_is_excluded(bits):
    """Of these the dependency in float64 has any signs: what it misses, and what it says nothing of, tell so."""
    rng = np.random.default_rng(bits)
    for _ in range(15):
        c = rng.uniform(0.5, 1.0, 4) * rng.choice([-1, 1], 4)
        A = np.vstack([np.column_stack([c, c + rng.integers(-4, 5, 4) * 2.0**-bits]), [[0.0, 1.0], [1.0, 1.0]]])
        net = Network([A, np.ones((1, 6))], [np.zeros(6), np.zeros(1)])
        problem = checked_problem(net)
        lifting = lift(net, problem, presolve(net, problem, chains=LIFTINGS["reach"], section=find_section(net)))
        neurons, signs = all_literals(6, 3)
        patterns = cells(A)[:, lifting.presolve.members(1)]
        is_there = (patterns[:, neurons] == signs).all(axis=2).any(axis=0)
        assert not (are_excluded(planes_of(lifting), neurons, signs) & is_there).any()


def all_literals(w, k):
    """All choices of k of w neurons, with all signs: (m, k) each."""
    choices, signs = np.array(list(combinations(range(w), k))), list(product((-1, 1), repeat=k))
    return np.repeat(choices, len(signs), axis=0), np.tile(signs, (len(choices), 1))


def test_circuits_go_through_all_layers_that_take_the_input_alone():
    rng = np.random.default_rng(2)
    A, b = rng.standard_normal((5, 2)), rng.standard_normal(5)
    layers = [Layer({0: A[:2]}, b[:2], "relu"), Layer({0: A[2:]}, b[2:], "abs")]
    layers += [Layer({1: rng.standard_normal((3, 2)), 2: rng.standard_normal((3, 3))}, rng.standard_normal(3), "relu")]
    net = Network.from_layers([*layers, Layer({3: np.ones((1, 3))}, np.zeros(1), "identity")])
    problem = checked_problem(net)
    lifting = lift(net, problem, presolve(net, problem, chains=LIFTINGS["reach"], section=find_section(net)))
    neurons, signs = all_literals(5, 3)
    order = np.concatenate([lifting.presolve.members(1), 2 + lifting.presolve.members(2)])
    x = rng.standard_normal((100_000, 2)) * 10.0 ** rng.uniform(-2, 2, (100_000, 1))
    patterns = np.unique(np.sign(x @ A.T + b)[:, order], axis=0)
    is_there = (patterns[:, neurons] == signs).all(axis=2).any(axis=0)
    rows = rows_of(pool_of(lifting), neurons, signs, rng)
    assert len(decode(lifting, rows[~is_there]).weights) == 10  # one of the 8 of each choice
    for row in rows[is_there]:
        with pytest.raises(ValueError, match="cannot be proved"):
            decode(lifting, row[None])


def test_newton_has_the_products_that_certificates_have():
    _, lifting = lifting_of()
    rng = np.random.default_rng(0)
    rows = found_rows(lifting, rng, 20)
    check_products(lifting, rng, rows, circuit_forms(lifting, rows), circuit_entries(lifting, rows))


def test_what_is_no_circuit_is_refused():
    _, lifting = lifting_of()
    good = found_rows(lifting, np.random.default_rng(1), 3)
    factors = FactorTable(lifting)
    not_a_mask = factors.starts[[name.kind == "T" for name in factors.names].index(True)]
    for column, value, message in (
        (0, factors.count, "be the number of one"), (0, 0.5, "be the number of one"), (1, -1, "numbers of factors"),
        (1, not_a_mask, "u or 1 - u"), (2, good[1, 1], "different neurons"),
    ):  # fmt: skip
        bad = good.copy()
        bad[1, column] = value
        with pytest.raises(ValueError, match=message):
            decode(lifting, bad)
    with pytest.raises(ValueError, match="rows of"):
        decode(lifting, good[:, 1:])
    neurons, signs = pool_of(lifting).excluded
    with pytest.raises(ValueError, match="cannot be proved"):
        decode(lifting, rows_of(pool_of(lifting), neurons, -signs, np.random.default_rng(0)))
    assert not are_excluded(planes_of(lifting), neurons, -signs).any()
    one = np.where(np.arange(len(signs)) == len(signs) // 2, -1, 1)[:, None]  # among others that are proved
    with pytest.raises(ValueError, match="cannot be proved"):
        decode(lifting, rows_of(pool_of(lifting), neurons, one * signs, np.random.default_rng(0)))


def test_circuits_are_proved_some_at_once_and_millions_of_choices_are_refused(monkeypatch):
    """A file of 0.5 MB names 10^5 orders of literals: arrays of all of them took arrays of all at once."""
    _, lifting = lifting_of((2, 8, 1))
    pool = pool_of(lifting)
    neurons, signs = pool.excluded
    rows = rows_of(pool, neurons, signs, np.random.default_rng(0))
    mixed = np.where(np.random.default_rng(1).random(len(signs)) < 0.5, 1, -1)[:, None] * signs
    wanted = are_excluded(pool.planes, neurons, mixed)
    assert wanted.any() and not wanted.all()
    monkeypatch.setattr(circuits, "TOGETHER", 3 * 8 * 4)
    np.testing.assert_array_equal(are_excluded(pool.planes, neurons, mixed), wanted)
    assert len(decode(lifting, rows).weights) == len(rows)
    monkeypatch.setattr(circuits, "MOST_CHOICES", len(rows) - 1)
    with pytest.raises(ValueError, match="choices of literals"):
        decode(lifting, rows)


def test_where_there_is_no_section_there_are_none():
    net = random_net(np.random.default_rng(3), (2, 6, 1))
    problem = checked_problem(net)
    lifting = lift(net, problem, presolve(net, problem))
    assert length_of(lifting) == 0 and pool_of(lifting) is None
    with pytest.raises(ValueError, match="of a section"):
        decode(lifting, np.zeros((1, 5)))


@pytest.fixture(scope="module")
def proved():
    net = random_net(np.random.default_rng(3), (2, 6, 1))
    options = {"relaxation": "hr2+", "witness": 0, "lifting": "reach"}
    result = hr2jax.solve(net, cuts=["exclusions", "T.U"], **options)
    assert "circuits/factors" in result.certificate.multipliers
    plain = hr2jax.solve(net, cuts=["T.U"], **options)
    return net, result.certificate, plain.bound, exact_constant(net, checked_problem(net))


def test_a_certificate_with_circuits_is_tighter_and_verifies_in_both_arithmetics(proved, tmp_path):
    net, certificate, plain, constant = proved
    assert constant * (1 - 1e-9) <= certificate.bound < 0.999 * plain
    certificate.save(tmp_path / "circuits.npz")
    loaded = Certificate.load(tmp_path / "circuits.npz")
    assert loaded.verify(net) == certificate.bound
    assert loaded.verify(net, arithmetic="ball") == pytest.approx(certificate.bound, rel=1e-6)


@pytest.mark.parametrize("entry", ["factors", "multipliers", "sign", "index", "layer"])
def test_tampering_never_proves_less_than_the_truth(proved, entry, tmp_path):
    net, certificate, _, constant = proved
    rng, name = np.random.default_rng(0), f"multipliers/circuits/{entry}"
    for _ in range(8):
        entries = entries_of(certificate)
        values = entries[name]
        spot = tuple(rng.integers(0, s) for s in values.shape)
        values[spot] = rng.integers(-1, 6) if values.dtype.kind == "i" else rng.uniform(-1, 3)
        try:
            bound = Certificate.load(write(tmp_path / "changed.npz", entries)).verify(net)
        except CertificateError:
            continue
        assert bound >= constant * (1 - 1e-9)
