"""The tensored lifting: every row holds at actual points, in any direction, and for one output it is one output's."""

import dataclasses
import itertools

import numpy as np
import pytest

import hr2jax
from hr2jax import Network
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.bound import dual_bound
from hr2jax.certificate.lagrangian import families_of, lagrangian_matrix, matrices_of
from hr2jax.problem import Problem, checked_problem
from hr2jax.relaxation import catalogue, lift
from hr2jax.relaxation.basis import XI, Group, S, T
from hr2jax.relaxation.clauses import clause_heights
from hr2jax.relaxation.clauses import decode as decode_clauses
from hr2jax.relaxation.copied_cuts import (
    BALLS,
    CLAUSES,
    CONES,
    CUTS,
    EVENTS,
    EXCLUSIONS,
    LITERALS,
    PRODUCTS,
    PROVED,
    TRIANGLES,
    cone_lengths,
    factor_parities,
)
from hr2jax.relaxation.exclusions import EXTRA, NONE, PARTS
from hr2jax.relaxation.forms import Family
from hr2jax.relaxation.literals import literal_layers, width_of
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.products import FactorTable
from hr2jax.relaxation.tensored import Tensored, copied

from ..reference.copied_points import copied_point, extended, values_of
from ..reference.effort import FULL

CHAINS = LIFTINGS["tensored"]
CASES = [
    (p, q, where) for p in ("inf", 2) for q in (2, 1) for where in ("everywhere", "box", "ball", "fixed", "ball xL")
]  # fmt: skip


def random_network(rng, widths):
    pairs = list(itertools.pairwise(widths))
    return Network([rng.normal(size=(b, a)) for a, b in pairs], [0.3 * rng.normal(size=b) for _, b in pairs])


def posed(p, q, where, widths=(3, 4, 3, 2), seed=0):
    rng = np.random.default_rng([seed, len(str(p)), q, len(where)])
    net, center = random_network(rng, widths), 0.3 * rng.normal(size=widths[0])
    domain = {
        "everywhere": {}, "box": {"domain": hr2jax.Box(center - 0.8, center + 0.8)},
        "ball": {"domain": hr2jax.Ball(center, 0.9)},
        "fixed": {"domain": hr2jax.Box(center - np.array([0.0, 1.0, 0.6]), center + np.array([0.0, 1.0, 0.6]))},
    }[where.removesuffix(" xL")]  # fmt: skip
    problem = checked_problem(net, norm=p, output_norm=q, **domain)
    fixed = presolve(net, problem, chains=CHAINS, with_last=where.endswith("xL"))
    return net, problem, fixed, lift(net, problem, fixed), rng


def random_rows(lifting, record, rng, count):
    """Rows of a record in random directions, some sparse, some huge or tiny."""
    K, even = lifting.outputs, np.flatnonzero(factor_parities(lifting))
    scale = rng.choice([1.0, 1e-9, 1e6], (count, 1))
    q = rng.standard_normal((count, K)) * (rng.random((count, K)) < 0.7) * scale
    weight = rng.choice([0.0, 0.1, 1.0, -2.0, 3e-7], count)
    if record == PRODUCTS:
        return np.column_stack([rng.integers(0, len(factor_parities(lifting)), (count, 2)), q, weight])
    if record == TRIANGLES:
        signs = np.flatnonzero(lifting.one.square_is_one)
        others = rng.integers(0, lifting.one.size, (count, 2))
        corners = np.column_stack([rng.choice(signs, count), others]) + 1
        return np.column_stack([corners * rng.choice([-1, 1], corners.shape), q, weight])
    if record in PROVED:
        return proved_rows(lifting, record, rng, q, weight)
    width = K * lifting.one.sizes[T] if record == CONES else lifting.one.sizes[XI]
    mu = rng.standard_normal((count, width)) * (rng.random((count, width)) < 0.8) * scale[::-1]
    return np.column_stack([rng.choice(even, count), *((q,) if record == BALLS else ()), mu, weight])


def proved_rows(lifting, record, rng, q, weight):
    """Event rows of random directions, clauses, of which most that are tried are not proved, or a factor times one."""
    if record == EXCLUSIONS:
        of_clauses = proved_rows(lifting, CLAUSES, rng, q, weight)
        m, w = len(of_clauses), width_of(lifting.one)
        phi, d, slopes, rest = np.split(of_clauses, [3, 6, 6 + w], axis=1)
        directions, lines = np.zeros((m, PARTS, 3 + EXTRA)), np.zeros((m, PARTS, w))
        directions[:, 0, :3], lines[:, 0] = d, slopes
        factor = rng.integers(NONE, len(factor_parities(lifting)), m)
        none = np.full((m, EXTRA), float(NONE))
        return np.column_stack([factor, phi, none, directions.reshape(m, PARTS * (3 + EXTRA)),
                                lines.reshape(m, PARTS * w), rest])  # fmt: skip
    one, count, many = lifting.one, LITERALS[record], 300 if record == CLAUSES else len(q)
    table, layers = FactorTable(one), literal_layers(one)
    masks = np.concatenate([
        np.arange(start, start + form.rows)
        for name, form, start in zip(table.names, table.forms, table.starts, strict=False)
        if name.kind == "U" and name.sign == 1 and name.layer in layers
    ])  # fmt: skip
    off = {name.layer: start for name, start in zip(table.names, table.starts, strict=False) if name[:2] == ("U", -1)}
    on = {name.layer: start for name, start in zip(table.names, table.starts, strict=False) if name[:2] == ("U", 1)}
    chosen = np.array([rng.choice(masks, count, replace=False) for _ in range(many)])
    layer = np.array([name.layer for name in table.names])[table.of(chosen)]
    mirror = np.vectorize(lambda l: off[l] - on[l])(layer)
    numbers = np.where(rng.random(chosen.shape) < 0.5, chosen, chosen + mirror)
    low = 0.0 if record == CLAUSES else -1.0
    rows = np.column_stack([numbers, rng.uniform(low, 1.0, (many, count)), rng.random((many, width_of(one)))])
    if record == CLAUSES:
        literals, d, slopes, _ = decode_clauses(one, np.column_stack([rows, np.ones(many)]))
        rows = rows[clause_heights(one, literals, d, slopes) < 0][: len(q)]
    return np.column_stack([rows, q[: len(rows)], weight[: len(rows)]])


@pytest.mark.parametrize(("p", "q", "where"), CASES)
def test_every_row_holds_at_points_of_the_domain(p, q, where):
    net, problem, fixed, lifting, rng = posed(p, q, where)
    points = [copied_point(net, problem, fixed, lifting, rng) for _ in range(5)]
    for basis, value in points:
        every = sum(float(basis[lifting.slice(g)] @ b.mid @ basis[lifting.slice(h)])
                    for (g, h), b in lifting.objective.items())  # fmt: skip
        assert every * 2.0**lifting.exponent == pytest.approx(value, rel=1e-12, abs=1e-12)
        squares = np.bincount(lifting.budget, basis**2)
        assert (squares <= 1 + 1e-12).all()
        np.testing.assert_allclose(squares[lifting.budget[lifting.square_is_one]], 1.0, rtol=1e-12)
    Y = extended(lifting, [basis for basis, _ in points])
    for family in families_of(lifting).values():
        units = np.eye(int(np.prod(family.shape)))[:: max(int(np.prod(family.shape)) // 6, 1)]
        for unit in units:
            value, size, _ = values_of(family.entries(lifting, unit.reshape(family.shape)), lifting, Y)
            assert (value >= -1e-13 * np.maximum(size, 1.0)).all(), family.name
            assert not family.equality or (np.abs(value) <= 1e-13 * np.maximum(size, 1.0)).all(), family.name
    for record, entries in CUTS.items():
        if record in (BALLS, *PROVED) and XI not in lifting.one.sizes:
            continue
        for row in random_rows(lifting, record, rng, 25 if FULL else 10):
            value, size, _ = values_of(entries(lifting, row[None]), lifting, Y)
            assert (value >= -1e-12 * size).all(), (record, row)


@pytest.mark.parametrize("q", [2, 1])
def test_a_direction_that_is_longer_than_said_does_not_hold(q):
    """The test above can fail: an even part that is too small is found."""
    net, problem, fixed, lifting, rng = posed("inf", q, "box")
    rows = random_rows(lifting, PRODUCTS, rng, 200)
    mixed = ~factor_parities(lifting)[rows[:, :2].astype(int)].all(axis=1)
    rows = rows[mixed]
    rows[:, -1] = 1.0
    rows[:, 2:-1] = rng.standard_normal(rows[:, 2:-1].shape)
    rows = rows[:30]
    Y = extended(lifting, [copied_point(net, problem, fixed, lifting, rng)[0] for _ in range(10)])
    broken = []
    for row in rows:
        longer, same = row.copy(), CUTS[PRODUCTS](lifting, row[None])
        longer[2:-1] *= 2.0
        across = CUTS[PRODUCTS](lifting, longer[None])  # twice all of it: take the even part once away
        flipped = row.copy()
        flipped[2:-1] *= -1.0
        flipped = CUTS[PRODUCTS](lifting, flipped[None])
        even = 0.5 * (values_of(same, lifting, Y)[0] + values_of(flipped, lifting, Y)[0])
        broken.append((values_of(across, lifting, Y)[0] - even).min())
    assert min(broken) < -0.1


@pytest.mark.parametrize("p", ["inf", 2])
@pytest.mark.parametrize("where", ["everywhere", "box", "ball"])
@pytest.mark.parametrize("q", [2, 1])
def test_of_one_output_it_is_one_outputs(p, where, q):
    """The same multipliers make the same matrix, and prove the same bound, to rounding."""
    net, problem, fixed, _, rng = posed(p, q, where)
    of_one = Problem(problem.coefficients[:1], p, q, problem.domain)
    one = lift(net, of_one.along(problem.coefficients[0]), fixed)
    copies = lift(net, of_one, fixed)
    assert isinstance(copies, Tensored) and not isinstance(one, Tensored)
    assert copies.exponent == one.exponent and copies.size == one.size
    own, known = families_of(copies), catalogue(one)
    multipliers = {name: rng.random(family.shape) for name, family in known.items()}
    shaped = {name: multipliers[name].reshape(own[name].shape) for name in known}
    assert set(own) == set(known)
    order = np.arange(one.size)
    there = np.concatenate([copies.placement.places(copied(g) if copied(g) in copies.sizes else g) for g in one.sizes])
    first = lagrangian_matrix(one, multipliers).middle() @ np.eye(one.size)
    second = lagrangian_matrix(copies, shaped).middle() @ np.eye(one.size)
    np.testing.assert_allclose(second[np.ix_(there, there)], first[np.ix_(order, order)], rtol=1e-13, atol=1e-14)
    d = np.full(one.size, 40.0)
    bounds = [dual_bound(l, lagrangian_matrix(l, m), d) for l, m in ((one, multipliers), (copies, shaped))]
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-13)


@pytest.mark.parametrize("p", ["inf", 2])
@pytest.mark.parametrize("q", [2, 1])
def test_no_length_of_a_cone_is_below_what_it_bounds(p, q):
    lifting, rng = posed(p, q, "ball", (3, 4, 2))[3:]
    K, w = lifting.outputs, lifting.one.sizes[T]
    mu = rng.standard_normal((50, K, w)) * 2.0 ** rng.integers(-300, 300, (50, 1, 1))
    lengths = cone_lengths(lifting, mu)
    for own, matrix in zip(lengths, mu, strict=True):
        s, t = rng.standard_normal((500, K)), rng.standard_normal((500, w))
        s = np.sign(s) if q == 1 else s / np.linalg.norm(s, axis=1)[:, None]
        t = np.sign(t) if p == "inf" else t / np.linalg.norm(t, axis=1)[:, None]
        attained = s[:, :, None] * matrix[None] * t[:, None, :]
        most = own.sum() if q == 1 else own[0]
        assert (attained.sum(axis=(1, 2)) <= most * (1 + 1e-12)).all()
    polar = np.linalg.qr(rng.standard_normal((20, w, K)))[0].swapaxes(1, 2)
    if p == 2:
        assert (cone_lengths(lifting, polar) <= 1 + 1e-12).all()  # of orthonormal rows they are 1


def test_clauses_are_found_for_the_test_of_rows():
    """It would say nothing of rows that there are none of."""
    for q in (2, 1):
        net, problem, fixed, lifting, rng = posed(2, q, "ball", seed=3)
        rows = random_rows(lifting, CLAUSES, rng, 25)
        assert len(rows) > 5 and len(random_rows(lifting, EVENTS, rng, 25)) == 25
        Y = extended(lifting, [copied_point(net, problem, fixed, lifting, rng)[0] for _ in range(20)])
        for record in (CLAUSES, EXCLUSIONS, EXCLUSIONS, EXCLUSIONS):
            for row in random_rows(lifting, record, rng, 25 if FULL else 10):
                row[-1] = 1.0
                value, size, _ = values_of(CUTS[record](lifting, row[None]), lifting, Y)
                assert (value >= -1e-12 * np.maximum(size, 1.0)).all(), record


def test_event_rows_that_are_not_proved_are_refused():
    lifting, rng = posed(2, 2, "ball", seed=3)[3:]
    event, clause, excluded = (random_rows(lifting, record, rng, 25)[-1] for record in (EVENTS, CLAUSES, EXCLUSIONS))
    for record, row, at, value, message in (
        (EVENTS, event, 0, 0.5, "numbers"), (EVENTS, event, 1, event[0], "different neurons"),
        (EVENTS, event, 0, len(factor_parities(lifting)) - 1, "u or 1 - u"), (EVENTS, event, 2, 1.5, "directions"),
        (EVENTS, event, 4, -0.1, "slopes"), (EVENTS, event, 4, np.nan, "slopes"),
        (CLAUSES, clause, slice(3, 6), 0.0, "never to be there"), (EVENTS, event, -2, np.inf, "float64"),
        (EXCLUSIONS, excluded, slice(7, 10), 0.0, "never to be there"), (EXCLUSIONS, excluded, 0, 0.5, "factor"),
        (EXCLUSIONS, excluded, -2, np.inf, "float64"),
    ):  # fmt: skip
        wrong = row.copy()
        wrong[at] = value
        with pytest.raises(ValueError, match=message):
            CUTS[record](lifting, wrong[None])
    for record in PROVED:
        with pytest.raises(ValueError, match="rows of"):
            CUTS[record](lifting, np.zeros((1, 5)))


def test_forms_that_do_not_fit_are_refused():
    lifting = posed(2, 2, "everywhere")[3]
    K, w, odd = lifting.outputs, lifting.one.sizes[T], int(np.flatnonzero(~factor_parities(lifting))[0])
    zeros = np.zeros(K)
    for record, row in (
        (PRODUCTS, [0, 1e6, *zeros, 1.0]), (PRODUCTS, [0, 0.5, *zeros, 1.0]), (PRODUCTS, [0, 0, 1.0]),
        (TRIANGLES, [0, 1, 2, *zeros, 1.0]), (TRIANGLES, [lifting.one.size, 1, 2, *zeros, 1.0]),
        (CONES, [odd, *np.zeros(K * w), 1.0]), (CONES, [0, *zeros, 1.0]), (BALLS, [0, *zeros, 1.0]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"must be|there is no"):
            CUTS[record](lifting, np.array([row]))
    for name in ("products", "triangles", "cones", "no such"):
        with pytest.raises(ValueError, match="there"):
            lagrangian_matrix(lifting, {name: np.zeros((1, 4))})
    with pytest.raises(ValueError, match="lasserre2"):
        matrices_of(lifting, ["sos.M_2(v,t)"])


@pytest.mark.parametrize("scale", [2.0**500, 2.0**-500, 2.0**1000, 2.0**-1060])
def test_multipliers_and_directions_of_any_size_prove_nothing_false(scale):
    """What underflows beside a huge direction, or overflows, is within the sums' error or refused."""
    net, problem, fixed, lifting, rng = posed(2, 2, "ball")
    Y = extended(lifting, [copied_point(net, problem, fixed, lifting, rng)[0] for _ in range(6)])
    for record, entries in CUTS.items():
        for row in random_rows(lifting, record, rng, 15):
            at = {PRODUCTS: 2, TRIANGLES: 3}.get(record, 1) if record not in PROVED else -1 - lifting.outputs
            row[at:-1] *= scale
            with np.errstate(all="ignore"):
                row[-1] = 1.0 / scale
                try:
                    terms = entries(lifting, row[None])
                except ValueError as error:
                    assert "float64" in str(error)
                    continue
                value, size, error = values_of(terms, lifting, Y)
                assert (~np.isfinite(size) | (value >= -error - 1e-12 * size)).all()


def test_other_norms_are_refused():
    net, problem, fixed, _, _ = posed(2, 2, "everywhere")
    with pytest.raises(ValueError, match="tensored"):
        lift(net, dataclasses.replace(problem, output_norm="inf"), fixed)


def test_groups_and_families_are_those_of_one_output_and_of_copies():
    lifting = posed(2, 1, "box")[3]
    assert {group.kind for group in lifting.sizes} == {"s", "sv", "sxi", "sx", "t", "p"}
    assert Group("sz", 1) in lifting.derived and lifting.sizes[S] == lifting.outputs == 2
    families = families_of(lifting)
    assert not any(isinstance(family, Family) for family in families.values())
    assert "same/one.v1" in families and "symmetry/v1.v2" in families and "u.(1-u)/1" in families
    for family in families.values():
        assert np.isfinite(family.entries(lifting, np.ones(family.shape), Enclosure)[0][4].mid).all()
