"""Every operation of both arithmetics against exact rational numbers."""

import math
import sys
from fractions import Fraction

import flint
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic import enclosure
from hr2jax.arithmetic.arb import Arb, float_above
from hr2jax.arithmetic.enclosure import TINY, Enclosure, U, UnsoundArithmeticError, check_arithmetic, enclose, gamma
from tests.reference.effort import examples

from ..reference.enclosures import assert_encloses, at_most, ends, exact

TINIEST, SMALLEST, LARGEST = 2.0**-1074, sys.float_info.min, sys.float_info.max
KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])
quick = settings(max_examples=examples(50), deadline=None)

NASTY = st.one_of(
    st.sampled_from(
        [0.0, 1.0, 1.0 + 2 * U, 1.0 - U, U, 0.1, 1 / 3, 3.0, 2.0**53 + 2, TINIEST, 3 * TINIEST, SMALLEST]
    ),
    st.sampled_from([SMALLEST - TINIEST, TINY, 1e-300, 1e-160, 1e160, 1e300, LARGEST, LARGEST / 2]),
    st.floats(0.5, 2.0),
    st.floats(0.0, LARGEST),
)
NUMBERS = st.builds(lambda size, sign: size * sign, NASTY, st.sampled_from([1.0, -1.0]))
RADII = st.one_of(st.just(0.0), NASTY)
PLACES = st.sampled_from([Fraction(0), Fraction(1), Fraction(-1), Fraction(1, 3)])


@st.composite
def known(draw, *shape):
    """(mid, rad, an exact member) of an enclosure of that shape."""
    n = int(np.prod(shape))
    mid = draw(st.lists(NUMBERS, min_size=n, max_size=n))
    rad = draw(st.one_of(st.just([0.0] * n), st.lists(RADII, min_size=n, max_size=n)))
    place = draw(st.lists(PLACES, min_size=n, max_size=n))
    member = [Fraction(m) + Fraction(r) * p for m, r, p in zip(mid, rad, place, strict=True)]
    return np.reshape(mid, shape), np.reshape(rad, shape), exact(member, shape)


def fractions(values):
    values = np.asarray(values, dtype=np.float64)
    return exact([Fraction(float(x)) for x in values.flat], values.shape)


def check(kind, operation, *operands):
    """`operation` on enclosures of the operands' kind holds the same operation on their exact members."""
    members = operation(*(member for _, _, member in operands))
    with np.errstate(all="ignore"):
        result = operation(*(kind(mid, rad) for mid, rad, _ in operands))
    assert isinstance(result, kind)
    assert_encloses(result, exact(np.ravel(members), np.shape(members)))


OPERATIONS = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "fused": lambda a, b: (a - b) * (a + b) - a * a,
    "neg": lambda a, b: -a + b,
    "broadcast": lambda a, b: a.reshape(-1, 1) * b,
}


@KINDS
@pytest.mark.parametrize("name", OPERATIONS)
@quick
@given(data=st.data())
def test_entrywise_operations_enclose_the_exact_result(kind, name, data):
    check(kind, OPERATIONS[name], data.draw(known(3)), data.draw(known(3)))


def small():
    """Multiples of the least float64 about where sums begin to round."""
    return st.builds(lambda k, e: k * 2.0 ** (e - 1074), st.integers(-(2**53) + 1, 2**53 - 1), st.integers(0, 4))


@quick
@given(
    mid=st.tuples(small(), small()), rad=st.tuples(small().map(abs), small().map(abs)),
    place=st.tuples(PLACES, PLACES),
)  # fmt: skip
def test_sums_near_the_least_float_enclose_the_exact_result(mid, rad, place):
    parts = zip(mid, rad, place, strict=True)
    a, b = ((np.array([m]), np.array([r]), exact([Fraction(m) + Fraction(r) * p], (1,))) for m, r, p in parts)
    check(Enclosure, OPERATIONS["add"], a, b)
    check(Enclosure, OPERATIONS["sub"], a, b)


@KINDS
@quick
@given(a=known(3, 2), b=known(3, 2), in_cache=st.sampled_from([1, 4, 100]))
def test_sums_in_pieces_and_in_place_and_halves_enclose_the_exact_result(kind, a, b, in_cache):
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        patch.setattr(enclosure, "IN_CACHE", in_cache)
        check(kind, OPERATIONS["add"], a, b)
        left, right = (kind(mid.copy(), rad.copy()) for mid, rad, _ in (a, b))
        half = kind(a[0].copy(), a[1].copy())
        half.halve()
        assert_encloses(half, a[2] * Fraction(1, 2))
        expected = a[2].copy()
        expected[1:] += b[2][1:]
        left.increase(slice(1, None), right[1:])
        assert_encloses(left, expected)
        expected[:, :1] += b[2][:, 1:]
        left.increase((slice(None), slice(0, 1)), right[:, 1:])
        assert_encloses(left, expected)
        assert_encloses(right, b[2])  # as it was


@KINDS
@quick
@given(data=st.data(), m=st.integers(0, 3), n=st.integers(0, 5), k=st.integers(0, 2))
def test_matrix_products_enclose_the_exact_result(kind, data, m, n, k):
    A, B, x = data.draw(known(m, n)), data.draw(known(n, k)), data.draw(known(n))
    zero = Fraction(0)

    def product(a, b):
        if not isinstance(a, np.ndarray):
            return a @ b
        rows, columns = np.atleast_2d(a), b[:, None] if b.ndim == 1 else b
        sums = [sum((x * y for x, y in zip(r, c, strict=True)), zero) for r in rows for c in columns.T]
        return exact(sums, a.shape[:-1] + b.shape[1:])

    check(kind, product, A, B)
    check(kind, product, A, x)
    check(kind, product, x, B)


@KINDS
@pytest.mark.parametrize("axis", [None, 0, 1])
@quick
@given(data=st.data(), m=st.integers(0, 4), n=st.integers(0, 4))
def test_sums_enclose_the_exact_result(kind, axis, data, m, n):
    def total(a):
        return a.sum(axis=axis, initial=Fraction(0)) if isinstance(a, np.ndarray) else a.sum(axis=axis)

    check(kind, total, data.draw(known(m, n)))


@KINDS
@quick
@given(operand=known(3), power=st.one_of(st.integers(-1200, 1200), st.sampled_from([-1, 1, -1074, 2098])))
@example((np.array([3 * TINIEST]), np.array([1.0]), exact([3 * Fraction(TINIEST) - 1], (1,))), -1)
def test_scaling_encloses_the_exact_result(kind, operand, power):
    mid, rad, member = operand
    with np.errstate(all="ignore"):
        assert_encloses(
            kind(mid, rad).scaled(power), exact([x * Fraction(2) ** power for x in member], mid.shape)
        )


@KINDS
@pytest.mark.parametrize("power", [2**62, -(2**62), 2**63 - 1, 10**6, -(10**6)])
def test_scaling_by_an_absurd_power_is_infinite_or_nearly_zero(kind, power):
    with np.errstate(all="ignore"):
        result = kind([1.0, -LARGEST]).scaled(power)
        high, low = result.upper(), result.lower()
        zero = kind([0.0]).scaled(power)
    if power > 0:
        assert not result.is_finite() or (high[0] == np.inf and low[1] == -np.inf)
    else:
        assert (
            (high >= 0).all() and (high <= 2 * TINY).all() and (low >= -2 * TINY).all() and (low <= 0).all()
        )
    assert zero.upper() == zero.lower() == 0


@KINDS
@quick
@given(operand=known(2, 2))
def test_rearranging_keeps_the_members(kind, operand):
    mid, rad, member = operand
    value = kind(mid, rad)
    assert_encloses(value, member)
    assert_encloses(value.T, member.T)
    assert_encloses(value[1], member[1])
    assert_encloses(value[0, 1], exact([member[0, 1]], ()))
    assert_encloses(value.reshape(4), member.reshape(4))
    assert_encloses(value.reshape(1, -1), member.reshape(1, -1))
    target = kind(np.zeros((3, 2)))
    target[[2, 0]] = value
    assert_encloses(target, np.stack([member[1], exact([Fraction(0)] * 2, (2,)), member[0]]))


@KINDS
@quick
@given(operand=known(3), other=st.lists(NUMBERS, min_size=3, max_size=3))
def test_numpy_arrays_are_exact_operands_on_either_side(kind, operand, other):
    mid, rad, member = operand
    value, array, numbers = kind(mid, rad), np.array(other), fractions(other)
    with np.errstate(all="ignore"):
        for result, expected in (
            (array + value, numbers + member),
            (value + array, numbers + member),
            (array - value, numbers - member),
            (value - array, member - numbers),
            (array * value, numbers * member),
            (array[0] * value, numbers[0] * member),
        ):
            assert isinstance(result, kind)
            assert_encloses(result, expected)
        assert_encloses(np.stack([array, array]) @ value, exact([numbers @ member] * 2, (2,)))


@KINDS
def test_data_are_exact(kind):
    values = np.array([0.1, TINIEST, -1e308, 0.0])
    assert [x.tolist() for x in ends(kind(values))] == [fractions(values).tolist()] * 2
    assert kind(values).upper().tolist() == kind(values).lower().tolist() == values.tolist()
    assert kind(values).magnitude().tolist() == np.abs(values).tolist()


@KINDS
def test_exact_zeros_stay_exact(kind):
    zeros, ones = kind(np.zeros((2, 2))), kind(np.full((2, 2), 0.1))
    for value in (
        zeros * ones,
        ones * zeros,
        zeros + zeros,
        zeros.sum(axis=0),
        zeros.sum(),
        zeros.scaled(-5),
    ):
        assert not value.upper().any() and not value.lower().any()
    assert kind(np.zeros((0, 3))).sum(axis=0).upper().tolist() == [0, 0, 0]


@KINDS
def test_what_overflows_or_is_nan_is_not_finite(kind):
    huge = kind(np.full((2, 2), LARGEST))
    with np.errstate(all="ignore"):
        for bad in (kind([np.inf]), kind([np.nan]), kind([1.0], [np.inf]), kind([1.0], [np.nan])):
            assert not bad.is_finite()
            assert not (bad + 1.0).is_finite()
            assert not (bad @ np.ones((1, 1))).is_finite()
            assert not bad.sum().is_finite()
            assert not (bad.upper() < np.inf).any()
            assert not (bad.magnitude() < np.inf).any()
        for over in (huge + huge, huge * huge, huge @ huge, huge.sum(), huge.scaled(1)):
            assert (
                not over.is_finite() or (over.upper() == np.inf).all()
            )  # a ball is wider than float64's range
    assert huge.is_finite()


@KINDS
def test_an_infinite_radius_is_not_hidden_by_a_finite_middle(kind):
    with np.errstate(all="ignore"):
        value = kind([[1.0, 1.0]], [[0.0, np.inf]]) @ np.array([1.0, 1.0])
    assert not value.is_finite()


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 128, 129, 1000, 4099])
@pytest.mark.parametrize("seed", [0, 1])
def test_long_sums_and_dot_products(n, seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((2, n)) * 2.0 ** rng.integers(-60, 60, (2, n))
    b = np.concatenate([[1.0], np.full(n - 1, 0.45 * 2 * U)])
    for x, y in ((a[0], a[1]), (a[0], b), (b, b), (b, np.ones(n)), (np.full(n, 0.1), np.full(n, 0.1))):
        product = sum(
            (Fraction(float(u)) * Fraction(float(v)) for u, v in zip(x, y, strict=True)), Fraction(0)
        )
        total = sum((Fraction(float(u)) for u in x), Fraction(0))
        for shape in ((1, n), (n, 1)):
            assert_encloses(Enclosure(x).reshape(*shape).sum(), exact([total], ()))
        assert_encloses(Enclosure(x.reshape(1, n)) @ y, exact([product], (1,)))
        assert_encloses(Enclosure(x) @ y.reshape(n, 1), exact([product], (1,)))


def test_radii_are_not_wasteful():
    rng = np.random.default_rng(0)
    a = Enclosure(rng.standard_normal((50, 50)))
    assert (a @ a).rad.max() < 1e-12
    assert ((a * a - a) + a).rad.max() < 1e-14
    assert max(float(x.rad()) for x in (Arb(a.mid) @ a.mid).balls.flat) < 1e-70


@given(st.integers(-(2**70), 2**70), st.one_of(st.integers(-1200, 1200), st.integers(-(2**62), 2**62)))
@settings(max_examples=examples(300), deadline=None)
@example(2**54 - 1, 970)
@example(-(2**54 - 1), 970)
@example(1, 1024)
@example(-1, 1024)
@example(1, -1075)
@example(-1, -1075)
@example(3, -1075)
@example(-3, -1075)
@example(2**53 + 1, 0)
@example(-(2**53 + 1), 0)
def test_a_dyadic_number_rounds_up_to_the_next_float(mantissa, exponent):
    above = float_above(mantissa, exponent)
    below = math.nextafter(above, -math.inf)
    if abs(exponent) > 1200:
        big = exponent > 0
        expected = {1: np.inf if big else TINIEST, 0: 0.0, -1: -LARGEST if big else 0.0}
        assert above == expected[(mantissa > 0) - (mantissa < 0)]
        return
    value = mantissa * Fraction(2) ** exponent
    assert at_most(value, above)
    assert not at_most(value, below)


@quick
@given(a=known(2), b=known(2))
def test_a_ball_takes_in_an_enclosure(a, b):
    for operation in (OPERATIONS["add"], OPERATIONS["sub"], OPERATIONS["mul"]):
        left, right = (Enclosure(a[0], a[1]), Arb(b[0], b[1])), (Arb(a[0], a[1]), Enclosure(b[0], b[1]))
        for x, y in (left, right):
            result = operation(x, y)
            assert isinstance(result, Arb)
            assert_encloses(result, operation(a[2], b[2]))


@quick
@given(operand=known(3))
def test_a_balls_float_middle_and_radius_enclose_it(operand):
    value = Arb(operand[0], operand[1]) * 3.0
    with np.errstate(all="ignore"):
        assert_encloses(Enclosure(value.mid, value.rad), 3 * operand[2])


def test_balls_leave_flints_precision_as_it_was():
    before = flint.ctx.prec
    value = Arb(np.full((2, 2), 0.1))
    _ = (value @ value + value * 2.0 - value).sum().upper(), value.mid, value.rad, value.scaled(3).magnitude()
    with pytest.raises(ValueError, match="matrix product of shapes"):
        value @ np.ones(3)
    assert flint.ctx.prec == before


def test_without_flint_the_message_names_the_package(monkeypatch):
    monkeypatch.delitem(sys.modules, "hr2jax.arithmetic.arb")
    monkeypatch.setitem(sys.modules, "flint", None)
    with pytest.raises(ImportError, match=r"pip install python-flint"):
        import hr2jax.arithmetic.arb  # noqa: F401


def test_the_arithmetic_of_this_process_is_fit():
    check_arithmetic()


@pytest.mark.parametrize(
    "fault",
    [
        lambda a, b: (np.asarray(a) @ np.asarray(b)) * (1 - U),  # directed rounding
        lambda a, b: np.where(
            np.abs(np.asarray(a) @ np.asarray(b)) < SMALLEST, 0.0, np.asarray(a) @ np.asarray(b)
        ),
    ],
    ids=["rounds down", "flushes subnormals"],
)
def test_an_unfit_matrix_product_is_noticed(fault, monkeypatch):
    class Faulty(np.ndarray):
        def __matmul__(self, other):
            return fault(self, other)

    zeros = np.zeros
    monkeypatch.setattr(enclosure.np, "zeros", lambda *args: zeros(*args).view(Faulty))
    with pytest.raises(UnsoundArithmeticError, match="verify in a fresh process"):
        check_arithmetic()


def test_gamma_is_an_upper_bound_and_refuses_absurd_lengths():
    for n in (0, 1, 2, 1000, 2**29):
        bound = Fraction(n) * Fraction(U)
        assert Fraction(gamma(n)) >= bound / (1 - bound)
    assert gamma(2**30) == np.inf


def test_enclose_keeps_an_enclosure():
    value = Enclosure([1.0])
    assert enclose(value) is value
    assert enclose(2.0).upper() == 2.0


# Planted faults: each operation without one term of its radius misses an exact value that `check` looks at.


def without_radius(operation):
    return lambda *args, **kwargs: Enclosure(operation(*args, **kwargs).mid)


ONE_AND_DUST = (
    np.array([[1.0] + [0.45 * 2 * U] * 7]),
    np.zeros((1, 8)),
    fractions([[1.0] + [0.45 * 2 * U] * 7]),
)
PAIR = (np.array([1.0, 1e300]), np.zeros(2), fractions([1.0, 1e300]))
DUST = (np.array([U / 2, 0.1]), np.zeros(2), fractions([U / 2, 0.1]))
SMALL = (np.array([1e-200]), np.zeros(1), fractions([1e-200]))
FAULTS = {
    "__add__": (lambda a, b: a + b, PAIR, DUST),
    "__mul__": (lambda a, b: a * b, PAIR, DUST),
    "__matmul__": (lambda a, b: a @ b.T, ONE_AND_DUST, ONE_AND_DUST),
    "sum": (lambda a: a.sum(axis=1), ONE_AND_DUST),
}


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_of_a_dropped_rounding_term_is_caught(name, monkeypatch):
    operation, *operands = FAULTS[name]
    check(Enclosure, operation, *operands)
    monkeypatch.setattr(Enclosure, name, without_radius(getattr(Enclosure, name)))
    with pytest.raises(AssertionError):
        check(Enclosure, operation, *operands)


def test_planted_fault_of_a_dropped_underflow_term_is_caught(monkeypatch):
    check(Enclosure, OPERATIONS["mul"], SMALL, SMALL)
    monkeypatch.setattr(enclosure, "TINY", 0.0)
    with pytest.raises(AssertionError):
        check(Enclosure, OPERATIONS["mul"], SMALL, SMALL)


def test_planted_fault_of_a_radius_rounded_to_nearest_is_caught(monkeypatch):
    a = (np.array([1.0]), np.array([1.0]), exact([Fraction(0)], (1,)))
    b = (np.array([1.0]), np.array([0.45 * 2 * U]), exact([1 - Fraction(0.45 * 2 * U)], (1,)))
    c = (np.array([-2.0 + 2 * U]), np.array([0.0]), exact([Fraction(-2.0 + 2 * U)], (1,)))
    operation = lambda a, b, c: a + b + c  # noqa: E731
    check(Enclosure, operation, a, b, c)
    monkeypatch.setattr(enclosure, "_up", lambda radius, operations: radius)
    monkeypatch.setattr(enclosure, "U", 0.0)
    with pytest.raises(AssertionError):
        check(Enclosure, operation, a, b, c)
