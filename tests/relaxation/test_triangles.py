"""Triangle inequalities: valid on the whole cube, and `triangle_entries` is their exact sum, in either arithmetic."""

from fractions import Fraction
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax import Network
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.form import QuadraticForm
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, triangles
from hr2jax.relaxation.presolve import presolve
from hr2jax.relaxation.triangles import EDGES, PATTERNS, decode, encode, triangle_entries
from tests.reference.effort import examples

from ..reference.enclosures import assert_encloses

KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])
BOTH = pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
SIZE = 7  # of the basis in the tests of rows alone


def lifting_of(local, p=3, m=4):
    """A problem whose neurons are all unstable: N = 1 + m + p (+ p)."""
    rng = np.random.default_rng([p, m])
    net = Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [0.1 * rng.standard_normal(m), [0.0]])
    problem = checked_problem(net, None, "inf", **({"center": np.zeros(p), "radius": 1.0} if local else {}))
    return lift(net, problem, presolve(net, problem))


def value_of_row(row, y):
    """lambda (1 + ab + bc + ca) of one row at a point, in rational numbers; nothing shared with `decode`."""
    a, b, c = ((1 if corner > 0 else -1) * Fraction(float(y[abs(int(corner)) - 1])) for corner in row[:3])
    return max(Fraction(float(row[3])), Fraction(0)) * (1 + a * b + b * c + c * a)


def exact_sums(rows, size):
    """The (N, N) upper triangle of the rows' quadratic form, in rational numbers."""
    out = np.full((size, size), Fraction(0), dtype=object)
    for row in rows:
        place, sign = [abs(int(k)) - 1 for k in row[:3]], [1 if k > 0 else -1 for k in row[:3]]
        weight = max(Fraction(float(row[3])), Fraction(0))
        out[0, 0] += weight
        for a, b in ((0, 1), (1, 2), (2, 0)):
            i, j = sorted((place[a], place[b]))
            out[i, j] += weight * sign[a] * sign[b]
    return out


def dense_sums(lifting, rows, kind):
    """`triangle_entries` as a dense upper triangle; every position must occur in one term only, and only there."""
    found, seen = kind(np.zeros((lifting.size, lifting.size))), np.zeros((lifting.size, lifting.size), dtype=int)
    for g, h, i, j, values in triangle_entries(lifting, rows, kind):
        assert isinstance(values, kind)
        index = (i + lifting.slice(g).start, j + lifting.slice(h).start)
        assert (i >= 0).all() and (i < lifting.sizes[g]).all() and (j >= 0).all() and (j < lifting.sizes[h]).all()
        found[index] = values
        np.add.at(seen, index, 1)
    assert seen.max(initial=0) <= 1
    assert not np.tril(seen, -1).any()
    return found


corners = st.integers(-SIZE, SIZE).filter(bool)
multipliers = st.one_of(
    st.floats(0.0, 1.0),
    st.sampled_from([0.0, 0.1, 1.0, 1e-300, 5e-324, 1e200, 3.0, -1.0, -1e300]),
    st.builds(lambda m, e: m * 10.0**e, st.floats(0.1, 1.0), st.integers(-150, 150)),
)


def some_rows(draw, size, most=20):
    """Rows of many repeated entries: few corners, in any order, the constant and one corner twice among them."""
    corner = st.sampled_from([k for s in (1, 2, size // 2, size) for k in (s, -s)])
    rows = draw(st.lists(st.tuples(corner, corner, corner, multipliers), max_size=most))
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


# The inequality -----------------------------------------------------------------------------------------


@settings(max_examples=examples(300), deadline=None)
@given(
    y=st.lists(st.floats(-1.0, 1.0) | st.sampled_from([-1.0, 0.0, 1.0]), min_size=SIZE - 1, max_size=SIZE - 1),
    triple=st.tuples(corners, corners, corners),
)
def test_every_triangle_is_nonnegative_on_the_cube(y, triple):
    """Whatever the signs, with a corner twice or three times, and through the constant; as rational numbers."""
    assert value_of_row((*triple, 1.0), [1.0, *y]) >= 0


def test_the_patterns_are_all_the_signs_there_are():
    """Of eight choices of signs four differ, and encode writes each as its row of PATTERNS says."""
    products = {tuple(s[a] * s[b] for a, b in EDGES) for s in product((1, -1), repeat=3)}
    assert {tuple(row) for row in PATTERNS.tolist()} == products
    assert len(PATTERNS) == 4
    for pattern in range(4):
        i, j, k, _ = encode(np.array([[0, 1, 2]]), np.array([pattern]), np.ones(1))[0]
        assert [np.sign(i * j), np.sign(j * k), np.sign(i * k)] == PATTERNS[pattern].tolist()


@pytest.mark.parametrize("pattern", range(4))
def test_every_pattern_is_attained_and_cuts_something_off(pattern):
    """Zero at some vertex of the cube; below zero at a matrix of unit rows that is no moment matrix."""
    row = encode(np.array([[1, 2, 3]]), np.array([pattern]), np.ones(1))[0]
    assert min(value_of_row(row, [1.0, *y]) for y in product((-1.0, 1.0), repeat=3)) == 0
    angles = 2 * np.pi / 3 * np.arange(3)  # three unit vectors in a plane: all products are -1/2
    V = np.sign(row[:3])[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    Y = V @ V.T
    assert 1 + PATTERNS[pattern] @ [Y[0, 1], Y[1, 2], Y[0, 2]] == pytest.approx(-0.5)


def test_through_the_constant_it_is_a_product_of_two_factors():
    rng = np.random.default_rng(0)
    for (a, i), (b, j) in product(product((1, -1), (2, 3)), repeat=2):
        y = [1.0, *rng.uniform(-1, 1, 2)]
        u, v = (Fraction(s) * Fraction(y[k - 1]) for s, k in ((a, i), (b, j)))
        assert value_of_row((1, a * i, b * j, 1.0), y) == (1 + u) * (1 + v)


# Rows ---------------------------------------------------------------------------------------------------


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(*3 * [st.integers(0, SIZE - 1)], st.integers(0, 3), st.floats(0, 1e300)), max_size=20))
def test_what_is_encoded_is_decoded(cuts):
    triples = np.array([c[:3] for c in cuts], dtype=np.int64).reshape(-1, 3)
    pattern, weight = np.array([c[3] for c in cuts], dtype=np.int64), np.array([c[4] for c in cuts])
    rows = encode(triples, pattern, weight)
    assert rows.shape == (len(cuts), 4)
    assert rows.dtype == np.float64
    index, signs, back = decode(rows, SIZE)
    np.testing.assert_array_equal(index, triples)
    np.testing.assert_array_equal(back, weight)
    assert index.dtype == np.int64
    for e, (a, b) in enumerate(EDGES):
        np.testing.assert_array_equal(signs[:, a] * signs[:, b], PATTERNS[pattern][:, e])


@pytest.mark.parametrize("column", [0, 1, 2])
@pytest.mark.parametrize("corner", [0.0, -0.0, 0.5, 1.5, -2.25, 8.0, -8.0, 1e300, np.nan, np.inf, -np.inf, 2.0**63])
def test_what_is_no_position_is_refused(column, corner):
    rows = np.array([[1.0, 2.0, 3.0, 1.0], [1.0, -2.0, SIZE, 1.0]])
    decode(rows, SIZE)
    rows[1, column] = corner
    with pytest.raises(ValueError, match="positions from 1 to 7"):
        decode(rows, SIZE)


@pytest.mark.parametrize("shape", [(), (4,), (3, 3), (3, 5), (0,), (0, 3), (2, 4, 1), (4, 1)])
def test_what_are_no_rows_of_four_is_refused(shape):
    for size in (SIZE, 1):
        with pytest.raises(ValueError, match="rows of four"):
            decode(np.ones(shape), size)


@BOTH
def test_corners_outside_the_basis_are_refused_by_the_proof(local):
    lifting = lifting_of(local)
    last = np.array([[1.0, -2.0, lifting.size, 0.5]])
    assert lagrangian_matrix(lifting, {"triangles": last}).is_finite()
    outside = [[1.0, -2.0, lifting.size + 1, 0.5]], [[0.0, -2.0, 3.0, 0.5]], [[1.0, -2.5, 3.0, 0.5]]
    for bad in (*map(np.array, outside), last[:, :3], last[0]):
        with pytest.raises(ValueError, match="triangle"):
            lagrangian_matrix(lifting, {"triangles": bad})


def test_negative_multipliers_count_as_zero():
    rows = np.array([[1.0, 2.0, 3.0, -1.0], [2.0, -3.0, 4.0, -1e308], [1.0, 2.0, 3.0, 0.25]])
    np.testing.assert_array_equal(decode(rows, SIZE)[2], [0.0, 0.0, 0.25])
    lifting = lifting_of(local=True)
    M = lagrangian_matrix(lifting, {"triangles": rows}).middle()
    kept = lagrangian_matrix(lifting, {"triangles": rows[2:]}).middle()
    np.testing.assert_array_equal(M @ np.eye(lifting.size), kept @ np.eye(lifting.size))


# The quadratic form -------------------------------------------------------------------------------------


@KINDS
@BOTH
@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_entries_enclose_the_exact_sums(kind, local, data):
    """Every entry of the form, with many rows on one entry, multipliers of unlike sizes, and sums that cancel."""
    lifting = lifting_of(local)
    rows = some_rows(data.draw, lifting.size)
    if data.draw(st.booleans()):  # every row once more with another corner's sign changed: entries cancel
        flipped = rows * data.draw(st.sampled_from([[-1, 1, 1, 1], [1, -1, 1, 1], [1, 1, -1, 1]]))
        rows = np.concatenate([rows, flipped])[data.draw(st.permutations(range(2 * len(rows))))]
    exact = exact_sums(rows, lifting.size)
    found = dense_sums(lifting, rows, kind)
    assert_encloses(found, exact)
    touched = np.isin(np.arange(lifting.size), [0, *np.abs(rows[:, :3]).astype(int).ravel() - 1])
    assert not found.magnitude()[~(touched[:, None] & touched[None, :])].any()


def test_the_enclosure_is_needed_and_not_much_too_wide():
    """1 + 2^-60 + ... : the float64 sum loses all but the first, the radius of a few units of it keeps them."""
    lifting = lifting_of(local=False)
    rows = np.tile([[2.0, 3.0, 4.0, 2.0**-60]], (50, 1))
    rows[0, 3] = 1.0
    exact = exact_sums(rows, lifting.size)
    found = dense_sums(lifting, rows, Enclosure)
    assert_encloses(found, exact)
    assert Fraction(found.mid[1, 2]) < exact[1, 2]
    assert found.rad.max() < 60 * 2.0**-53
    alone = dense_sums(lifting, rows[:1], Enclosure)  # nothing added, nothing rounded
    assert not alone.rad[1:, 1:].any()


@BOTH
def test_the_form_is_the_dense_sum_at_any_point(local):
    """Among all corners, with repeats and through the constant: y^T (M - C) y against the sum over the rows."""
    lifting = lifting_of(local)
    rng = np.random.default_rng(1)
    every = list(combinations_with_replacement(range(1, lifting.size + 1), 3))
    rows = np.column_stack([rng.permutation(every * 2), rng.exponential(size=2 * len(every))])
    rows[:, :3] *= rng.choice([-1, 1], (len(rows), 3))
    form = QuadraticForm(lifting, Enclosure)
    for term in triangle_entries(lifting, rows):
        form.add(*term)
    matrices = {
        "its own": form.matrix().mid,
        "added": lagrangian_matrix(lifting, {"triangles": rows}).mid - lagrangian_matrix(lifting, {}).mid,
    }
    for name, M in matrices.items():
        for _ in range(20):
            y = rng.uniform(-1, 1, lifting.size)
            y[0] = 1.0
            expected = float(sum(value_of_row(row, y) for row in rows))
            assert y @ M @ y == pytest.approx(expected, rel=1e-12), name
            assert expected >= 0


@KINDS
def test_no_rows_add_nothing(kind):
    lifting = lifting_of(local=True)
    assert triangle_entries(lifting, np.zeros((0, 4)), kind) == []
    with_none = lagrangian_matrix(lifting, {"triangles": np.zeros((0, 4))}, kind)
    np.testing.assert_array_equal(with_none.mid, lagrangian_matrix(lifting, {}, kind).mid)


def test_multipliers_that_overflow_together_are_not_finite():
    lifting = lifting_of(local=True)
    rows = np.tile([[2.0, 3.0, 4.0, 1.7e308]], (3, 1))
    with np.errstate(all="ignore"):
        assert not lagrangian_matrix(lifting, {"triangles": rows}).is_finite()


# Planted faults -----------------------------------------------------------------------------------------


def check_sums():
    """Badly scaled multipliers on one entry."""
    lifting = lifting_of(local=False)
    rows = np.tile([[2.0, 3.0, 4.0, 0.49 * 2.0**-52]], (200, 1))
    rows[0, 3] = 1.0
    assert_encloses(dense_sums(lifting, rows, Enclosure), exact_sums(rows, lifting.size))


def test_planted_fault_of_sums_without_their_rounding_term_is_caught(monkeypatch):
    check_sums()
    original = triangles.sums_by_place

    def faulty(*args):
        places, total, rad = original(*args)
        return places, total, 0.0 * rad

    monkeypatch.setattr(triangles, "sums_by_place", faulty)
    with pytest.raises(AssertionError):
        check_sums()


def check_rows_of_all_patterns():
    lifting = lifting_of(local=False)
    rows = encode(np.tile([1, 2, 3], (4, 1)), np.arange(4), np.array([1.0, 2.0, 4.0, 8.0]))
    products = np.array([1.0, 2.0, 4.0, 8.0]) @ PATTERNS
    found = dense_sums(lifting, rows, Enclosure).mid
    assert [found[1, 2], found[2, 3], found[1, 3]] == products.tolist()
    assert found[0, 0] == 15.0


@pytest.mark.parametrize("pattern", range(4))
def test_planted_fault_of_one_wrong_row_of_signs_is_caught(pattern, monkeypatch):
    check_rows_of_all_patterns()
    signs = triangles._SIGNS.copy()
    signs[pattern] *= [1, 1, -1]
    monkeypatch.setattr(triangles, "_SIGNS", signs)
    with pytest.raises(AssertionError):
        check_rows_of_all_patterns()


def test_planted_fault_of_a_forgotten_constant_is_caught(monkeypatch):
    original = triangles.sums_by_place
    check_rows_of_all_patterns()

    def faulty(place, value):
        count = len(place) // 4
        return original(place[: 3 * count], value[: 3 * count])

    monkeypatch.setattr(triangles, "sums_by_place", faulty)
    with pytest.raises(AssertionError):
        check_rows_of_all_patterns()
