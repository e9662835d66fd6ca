"""Event rows and clauses: whatever their directions and slopes are, they hold at points of the domain."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError, Network
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.names import PROVED, named, numbered
from hr2jax.engines.product.event_search import Polytope
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.basis import Group
from hr2jax.relaxation.clauses import CLAUSES, clause_entries, clause_heights
from hr2jax.relaxation.clauses import decode as decode_clauses
from hr2jax.relaxation.events import EVENTS, decode, event_entries
from hr2jax.relaxation.literals import Literals, heights, literal_layers, width_of
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.products import FactorTable
from tests.reference.cases import exact, random_net
from tests.reference.effort import examples
from tests.reference.lifted_cases import lifted_cases
from tests.reference.lifted_points import lifted_point, sum_of_terms

CASES = {"chains": st.sampled_from(["xL", "xL", "adjoint"]), "with_global": False}
BOX = {"center": [0.3, -0.2, 0.1], "radius": 0.8}


def masks_of(lifting):
    """(factors,) bool: those of literals."""
    table, layers = FactorTable(lifting), literal_layers(lifting)
    return np.concatenate([
        np.full(form.rows, name.kind == "U" and name.layer in layers)
        for name, form in zip(table.names, table.forms, strict=True)
    ])  # fmt: skip


def random_rows(lifting, rng, count, k):
    """(count, 2 k + w + 1) rows of k literals each, of different neurons."""
    numbers = np.flatnonzero(masks_of(lifting))
    chosen = np.array([rng.permutation(len(numbers) // 2)[:k] for _ in range(count)])
    table = FactorTable(lifting)
    on = np.flatnonzero([name.sign > 0 for name in table.names])
    is_on = np.isin(table.of(numbers), on)
    picked = np.where(rng.random(chosen.shape) < 0.5, numbers[is_on][chosen], numbers[~is_on][chosen])
    directions = rng.uniform(-1.0, 1.0, (count, k)) * rng.choice([0.0, 1.0, 1e-9], (count, k), p=[0.1, 0.8, 0.1])
    slopes = rng.choice([0.0, 1.0, 0.3, rng.random()], (count, width_of(lifting)))
    weights = rng.choice([0.0, 0.1, 1.0, -2.0, 3e-7], count) * rng.random(count)
    return np.column_stack([picked, directions, slopes, weights])


def literals_hold(literals, y):
    """(m,) bool: whether all of a row's do at a point."""
    return np.array([
        all(y[Group("v", l)][p] == s for s, l, p in zip(*row, strict=True))
        for row in zip(literals.signs, literals.layers, literals.place, strict=True)
    ])  # fmt: skip


@settings(max_examples=examples(50), deadline=None)
@given(lifted_cases(**CASES), st.sampled_from([Enclosure, Arb]), st.integers(1, 12))
def test_the_quadratic_form_encloses_the_event_rows(case, kind, count):
    net, problem, fixed, lifting, rng = case
    assume(width_of(lifting) > 1)
    rows = random_rows(lifting, rng, count, 2)
    literals, directions, slopes, weights = decode(lifting, rows)
    h = heights(lifting, literals, directions, slopes)
    terms = event_entries(lifting, rows, kind)
    for _ in range(4):
        point = lifted_point(net, problem, fixed, rng)
        wanted = size = Fraction(0)
        for k, holds in enumerate(literals_hold(literals, point.y)):
            z = [point.y[Group("z", l)][p] for l, p in zip(literals.layers[k], literals.place[k], strict=True)]
            value = Fraction(h[k]) - exact(directions[k]) @ np.array(z, dtype=object)
            assert not holds or value >= 0
            wanted += Fraction(weights[k]) * (value if holds else 0)
            size += Fraction(weights[k]) * (abs(Fraction(h[k])) + 2)
        middle, spread = sum_of_terms(terms, point)
        assert abs(middle - wanted) <= spread
        assert spread <= Fraction(1e-12) * size * 64 + Fraction(1e-280)


def test_heights_are_the_largest_values_where_the_input_is_taken_alone():
    net = random_net(np.random.default_rng(1), (3, 5, 4, 1))
    problem = checked_problem(net, **BOX)
    lifting = lift(net, problem, presolve(net, problem, chains=("a",), with_last=True))
    n, q = lifting.sizes[Group("x", 1)], width_of(lifting)
    ones = np.ones((n, 2), dtype=np.int64)
    literals = Literals(ones, ones, np.column_stack([np.arange(n), np.roll(np.arange(n), 1)]))
    z = {group: matrix.mid for group, matrix in lifting.derived[Group("z", 1)].items()}
    directions = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    along = directions[:, :1] * z[Group("xi")] + directions[:, 1:] * np.roll(z[Group("xi")], 1, axis=0)
    constant = directions[:, 0] * z[Group("one")][:, 0] + directions[:, 1] * np.roll(z[Group("one")][:, 0], 1)
    found = heights(lifting, literals, directions, np.zeros((n, q)))
    np.testing.assert_allclose(found, constant + np.abs(along).sum(axis=1), rtol=1e-13)
    assert (found >= constant + np.abs(along).sum(axis=1) - 1e-15).all()


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(lifted_cases(depths=(2, 3), **CASES))
def test_clauses_that_are_proved_hold_at_points_of_the_domain(case):
    """Those that linear programs find, and random ones: refused, or right."""
    net, problem, fixed, lifting, rng = case
    assume(width_of(lifting) > 2)
    rows, polytope = random_rows(lifting, rng, 6, 3), Polytope(lifting)
    literals, directions, slopes, _ = decode_clauses(lifting, rows)
    start = {l: int(np.flatnonzero(polytope.layer == l)[0]) for l in np.unique(polytope.layer)}
    for k in range(len(rows)):
        neurons = np.array([start[l] + p for l, p in zip(literals.layers[k], literals.place[k], strict=True)])
        proof = polytope.refuted(neurons, literals.signs[k])
        if proof is not None:
            rows[k, 3:6], rows[k, 6:-1] = proof
    literals, directions, slopes, weights = decode_clauses(lifting, rows)
    proved = clause_heights(lifting, literals, directions, slopes) < 0
    if not proved.all():
        with pytest.raises(ValueError, match="cannot be proved never to be there"):
            clause_entries(lifting, rows)
    if not proved.any():
        return
    terms = clause_entries(lifting, rows[proved])
    for _ in range(4):
        point = lifted_point(net, problem, fixed, rng)
        assert not literals_hold(literals, point.y)[proved].any()
        wanted = Fraction(0)
        for k in np.flatnonzero(proved):
            phi = [
                (1 + int(s) * point.y[Group("v", l)][p]) / 2
                for s, l, p in zip(literals.signs[k], literals.layers[k], literals.place[k], strict=True)
            ]
            assert phi[0] * (1 - phi[1] - phi[2]) >= 0
            wanted += Fraction(weights[k]) * phi[0] * (1 - phi[1] - phi[2])
        middle, spread = sum_of_terms(terms, point)
        assert abs(middle - wanted) <= spread


@settings(max_examples=examples(25), deadline=None)
@given(lifted_cases(**CASES), st.integers(1, 12), st.sampled_from([EVENTS, CLAUSES]))
def test_names_say_the_same(case, count, record):
    net, _, _, lifting, rng = case
    k = PROVED[record][0]
    assume(width_of(lifting) >= k)
    rows = random_rows(lifting, rng, count, k)
    entries = named(lifting, {record: rows}, net.widths[0])
    np.testing.assert_array_equal(numbered(lifting, entries, net.widths)[record], rows)


def lifting_of(lifting="xL", **where):
    net = random_net(np.random.default_rng(1), (3, 5, 4, 1))
    problem = checked_problem(net, **(where or BOX))
    return lift(net, problem, presolve(net, problem, chains=LIFTINGS[lifting], with_last=lifting == "xL"))


def test_what_is_no_event_is_refused():
    lifting = lifting_of()
    rng = np.random.default_rng(0)
    good = random_rows(lifting, rng, 3, 2)
    decode(lifting, good)
    mask = masks_of(lifting)
    for column, value, message in (
        (0, np.flatnonzero(~mask)[0], "u or 1 - u"), (0, -1, "numbers of factors"), (1, 10**6, "numbers of factors"),
        (0, 0.5, "numbers of factors"), (2, 1.5, "directions"), (3, np.nan, "directions"), (4, -0.1, "slopes"),
        (5, np.nan, "slopes"),
    ):  # fmt: skip
        bad = good.copy()
        bad[1, column] = value
        with pytest.raises(ValueError, match=message):
            decode(lifting, bad)
    bad = good.copy()
    bad[:, 1] = bad[:, 0]
    with pytest.raises(ValueError, match="different neurons"):
        decode(lifting, bad)
    with pytest.raises(ValueError, match="rows of"):
        decode(lifting, good[:, 1:])
    assert width_of(lifting_of("adjoint")) < width_of(lifting)


# --- whole certificates -----------------------------------------------------------------------------------


def solved(norm="inf"):
    rng = np.random.default_rng(6)
    net = Network(
        [rng.standard_normal((4, 3)), rng.standard_normal((3, 4)), rng.standard_normal((1, 3))],
        [0.3 * rng.standard_normal(4), 0.3 * rng.standard_normal(3), np.zeros(1)],
    )
    return net, hr2jax.solve(net, relaxation="hr2+", norm=norm, witness=0, max_iterations=40, **BOX)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_certificates_with_events_verify_and_tampering_never_proves_less_than_the_truth(norm, tmp_path):
    net, result = solved(norm)
    path = tmp_path / "bound.cert.npz"
    result.certificate.save(path)
    certificate = Certificate.load(path)
    assert certificate.lifting == "xL"
    assert certificate.verify(net) == result.bound
    if norm == "inf":
        assert certificate.verify(net, arithmetic="ball") == pytest.approx(result.bound, rel=1e-9)
    entries = ("kind", "sign", "layer", "index", "literals", "directions", "slopes", "multipliers")
    kinds = {name for name in certificate.multipliers if name.startswith((EVENTS, CLAUSES))}
    assert kinds == {f"{record}/{entry}" for record in (EVENTS, CLAUSES) for entry in entries}
    points = np.array(BOX["center"]) + 0.8 * np.random.default_rng(0).uniform(-1, 1, (20000, 3)) / (
        1.0 if norm == "inf" else np.sqrt(3.0)
    )
    attained = np.linalg.norm(net.gradient(points), 1 if norm == "inf" else 2, axis=1).max()
    rng = np.random.default_rng(1)
    changed = refused = 0
    for name in sorted(kinds):
        for _ in range(2):
            values = np.array(certificate.multipliers[name])
            spot = tuple(rng.integers(0, s) for s in values.shape)
            values[spot] = {
                "U": rng.choice(["X", "V", "U"]), "i": int(rng.integers(-2, 6)), "f": float(rng.uniform(-2, 4)),
            }[values.dtype.kind]  # fmt: skip
            forged = Certificate(**{
                field: getattr(certificate, field) for field in certificate.__dataclass_fields__
            } | {"multipliers": certificate.multipliers | {name: values}})  # fmt: skip
            try:
                assert forged.verify(net) >= attained * (1 - 1e-9)
                changed += 1
            except CertificateError:
                refused += 1
    assert changed and refused


def test_a_clause_is_refused_where_its_masks_can_be_there():
    rng = np.random.default_rng(0)
    lifting = lifting_of()
    rows = random_rows(lifting, rng, 1, 3)
    rows[0, 3:6] = 0.0
    with pytest.raises(ValueError, match="cannot be proved"):
        clause_entries(lifting, rows)
