from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic import exact
from tests.reference.effort import examples

FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-64, 64).map(float),
    st.builds(lambda m, e: m * 2.0**e, st.integers(-9, 9), st.integers(-1074, 1019)),
)
LARGEST = Fraction(np.finfo(float).max)


def holds(value):
    """Whether float64 holds a fraction exactly, by Python's correctly rounded division."""
    return abs(value) <= LARGEST and Fraction(float(value)) == value


@settings(deadline=None, max_examples=examples(500))
@given(FLOATS, FLOATS)
@pytest.mark.parametrize(
    ("function", "true"),
    [
        (exact.total, lambda a, b: a + b),
        (exact.product, lambda a, b: a * b),
        (exact.quotient, lambda a, b: a / b if b else None),
        (lambda a, b: exact.root(abs(a)), None),
    ],
    ids=["sum", "product", "quotient", "root"],
)
def test_what_is_returned_is_the_exact_value_and_only_rounding_is_refused(function, true, a, b):
    value = None if true is None else true(Fraction(a), Fraction(b))
    try:
        result = Fraction(function(np.array(a), np.array(b)).item())
    except ValueError:
        assert value is None or not holds(value)
    else:
        assert result * result == abs(Fraction(a)) if true is None else result == value


@settings(deadline=None)
@given(st.lists(FLOATS, min_size=6, max_size=6), st.lists(FLOATS, min_size=6, max_size=6))
def test_a_matrix_product_is_exact_or_refused(a, b):
    a, b = np.reshape(a, (2, 3)), np.reshape(b, (3, 2))
    try:
        result = exact.matmul(a, b)
    except exact.InexactError:
        return
    for i, j in np.ndindex(2, 2):
        assert Fraction(result[i, j]) == sum(Fraction(a[i, k]) * Fraction(b[k, j]) for k in range(3))


def test_matrices_of_small_integers_and_permutations_are_multiplied():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-9, 10, shape).astype(float) for shape in ((3, 40), (40, 5)))
    assert (exact.matmul(a, b) == a @ b).all()
    p, w = np.eye(30)[rng.permutation(30)], rng.standard_normal((30, 4))
    assert (exact.matmul(p, w) == p @ w).all()


def test_what_would_not_fit_into_memory_is_refused():
    row = np.ones(2**20)
    for function in (exact.total, exact.product, exact.quotient):
        with pytest.raises(ValueError, match="at most"):
            function(row[:, None], row[None, :])
    with pytest.raises(ValueError, match="at most"):
        exact.matmul(row[:, None], row[None, :])
