"""Exclusions: what is proved never to occur does not, whatever the file says; times any factor it is at least 0."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds.slopes.search import find_slopes
from hr2jax.certificate.names import named, numbered
from hr2jax.engines.product.arrays import Factored
from hr2jax.engines.product.exclusion_cuts import exclusion_forms, exclusion_pools
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.exclusions import EXCLUSIONS, NONE, decode, exclusion_entries, row_width
from hr2jax.relaxation.literals import width_of
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.products import FactorTable
from tests.reference.brute import exact_constant
from tests.reference.cases import random_net
from tests.reference.certificates import entries_of, write
from tests.reference.effort import examples
from tests.reference.excluded import check_enclosed, check_products, value_of
from tests.reference.lifted_points import lifted_point

WIDTHS, BOX = (4, 6, 6, 1), {"center": [0.3, -0.2, 0.1, 0.5], "radius": 0.9}


def case_of(seed, kind=Enclosure):
    """A local problem of two or three hidden layers, on the lifting xL."""
    rng = np.random.default_rng(seed)
    net = random_net(rng, [(3, 5, 4, 1), (2, 4, 3, 3, 1)][rng.integers(2)])
    norm, center = ["inf", 2][rng.integers(2)], rng.standard_normal(net.widths[0])
    problem = checked_problem(net, None, norm, center, float(rng.choice([0.3, 1.0])))
    slopes = find_slopes(net, problem, ["linear", "split"][rng.integers(2)]) if norm == "inf" else None
    fixed = presolve(net, problem, slopes=slopes, chains=LIFTINGS["xL"], with_last=True)
    return net, problem, fixed, lift(net, problem, fixed, kind), rng


def found_rows(lifting, rng, count):
    """Proved exclusions of the lifting, times random factors."""
    pool = exclusion_pools(lifting, Factored(lifting, [], pads=False), (EXCLUSIONS,)).get(EXCLUSIONS)
    proofs = [] if pool is None else [pool._proof(literals) for literals in rng.permutation(pool.unseen)[:6]]
    proofs = [proof for proof in proofs if proof is not None]
    if not proofs:
        return np.zeros((0, row_width(lifting)))
    chosen = [proofs[k] for k in rng.integers(len(proofs), size=count)]
    factor = rng.integers(NONE, FactorTable(lifting).count, count)
    return np.column_stack([factor, chosen, rng.random(count) * rng.choice([0.1, 1.0, -2.0, 3e-7], count)])


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32 - 1), st.sampled_from([Enclosure, Enclosure, Arb]))
def test_what_is_found_holds_at_points_of_the_domain_and_is_what_the_form_encloses(seed, kind):
    net, problem, fixed, lifting, rng = case_of(seed, kind)
    rows = found_rows(lifting, rng, 5)
    assume(len(rows))
    found, terms = decode(lifting, rows), exclusion_entries(lifting, rows, kind)
    check_enclosed(lifting, found, terms, [lifted_point(net, problem, fixed, rng) for _ in range(4)])
    again = numbered(lifting, named(lifting, {EXCLUSIONS: rows}, 0), net.widths)[EXCLUSIONS]
    np.testing.assert_array_equal(again, rows)


def lifting_of():
    net = random_net(np.random.default_rng(3), WIDTHS)
    problem = checked_problem(net, **BOX)
    return lift(net, problem, presolve(net, problem, chains=LIFTINGS["xL"], with_last=True))


def test_newton_has_the_products_that_certificates_have():
    lifting, rng = lifting_of(), np.random.default_rng(0)
    rows = found_rows(lifting, rng, 20)
    check_products(lifting, rng, rows, exclusion_forms(lifting, rows), exclusion_entries(lifting, rows))


def test_what_is_no_exclusion_is_refused():
    lifting = lifting_of()
    good = found_rows(lifting, np.random.default_rng(1), 3)
    assert len(good) == 3
    factors, end = FactorTable(lifting), 55 + 8 * width_of(lifting)  # of the slopes
    not_a_mask = factors.starts[[name.kind == "T" for name in factors.names].index(True)]
    for column, value, message in (
        (0, factors.count, "be the number of one"), (0, 0.5, "be the number of one"), (1, NONE, "two literals"),
        (2, good[1, 1], "different neurons"), (1, not_a_mask, "u or 1 - u"), (6, good[1, 1], "after the other|differ"),
        (7, 1.5, "directions"), (7, np.nan, "directions"), (55, -0.1, "slopes"), (end - 1, 2.0, "slopes"),
    ):  # fmt: skip
        bad = good.copy()
        bad[1, column] = value
        with pytest.raises(ValueError, match=message):
            decode(lifting, bad)
    with pytest.raises(ValueError, match="rows of"):
        decode(lifting, good[:, 1:])
    bad = good.copy()
    bad[:, 7 : 7 + 48] = 0.0
    with pytest.raises(ValueError, match="cannot be proved"):
        decode(lifting, bad)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.integers(0, 2**32 - 1))
def test_changed_literals_and_proofs_are_refused_or_right(seed):
    """Whatever literals, neurons of parts, directions and slopes: what is not refused holds at points of the domain."""
    net, problem, fixed, lifting, rng = case_of(seed)
    rows = found_rows(lifting, rng, 3)
    assume(len(rows))
    points = [lifted_point(net, problem, fixed, rng).y for _ in range(4)]
    for _ in range(10):
        bad = rows.copy()
        for _ in range(int(rng.integers(1, 3))):
            k, column = rng.integers(len(bad)), rng.choice([1, 2, 3, 4, 5, 6, rng.integers(7, bad.shape[1] - 1)])
            other = rng.choice([NONE, *rows[:, 1:4].ravel(), rng.integers(40)])
            bad[k, column] = rng.random() if column > 6 else other
        try:
            found = decode(lifting, bad)
        except ValueError:
            continue
        for y in points:
            for k in range(len(bad)):
                value_of(lifting, found, k, y)


@pytest.fixture(scope="module")
def proved():
    net = random_net(np.random.default_rng(3), WIDTHS)
    result = hr2jax.solve(net, **BOX, relaxation="hr2+", witness=0, lifting="xL", cuts=["exclusions", "T.U"])
    assert "exclusions/factors" in result.certificate.multipliers
    return net, result.certificate, exact_constant(net, checked_problem(net, **BOX))


def test_a_certificate_with_exclusions_is_tighter_and_verifies_in_both_arithmetics(proved, tmp_path):
    net, certificate, constant = proved
    plain = hr2jax.solve(net, **BOX, relaxation="hr2+", witness=0, lifting="xL", cuts=["T.U"])
    assert constant * (1 - 1e-9) <= certificate.bound < 0.999 * plain.bound
    certificate.save(tmp_path / "excluded.npz")
    loaded = Certificate.load(tmp_path / "excluded.npz")
    assert loaded.verify(net) == certificate.bound
    assert loaded.verify(net, arithmetic="ball") == pytest.approx(certificate.bound, rel=1e-6)


@pytest.mark.parametrize("entry", ["factors", "directions", "slopes", "multipliers", "sign", "index", "layer"])
def test_tampering_never_proves_less_than_the_truth(proved, entry, tmp_path):
    net, certificate, constant = proved
    rng, name = np.random.default_rng(0), f"multipliers/exclusions/{entry}"
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


def test_literals_of_one_neuron_are_looked_for_nowhere():
    pool = exclusion_pools(lifting_of(), Factored(lifting_of(), [], pads=False), (EXCLUSIONS,))[EXCLUSIONS]
    own = np.where(pool.unseen >= 0, pool.unseen % pool.polytope.w, -1 - np.arange(3))
    assert len(own) and (np.diff(np.sort(own, axis=1), axis=1) != 0).all()
    assert not exclusion_pools(lifting_of(), Factored(lifting_of(), [], pads=False), ("events",))
