"""Products of factors as rows of a certificate: any of them holds at feasible points."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import presolve
from hr2jax.relaxation.products import FactorTable, product_entries
from tests.reference.cases import random_net
from tests.reference.effort import examples
from tests.reference.lifted_points import form_values, lifted_point, sum_of_terms

from ..reference.lifted_cases import lifted_cases


@settings(max_examples=examples(150), deadline=None)
@given(lifted_cases(), st.sampled_from([Enclosure, Arb]), st.integers(1, 30))
def test_the_quadratic_form_encloses_the_products(case, kind, count):
    """sum lambda f_a f_b, its form's entries and their errors against the factors' exact values."""
    net, problem, fixed, lifting, rng = case
    table = FactorTable(lifting)
    pairs = rng.integers(0, table.count, (count, 2))
    pairs[rng.integers(count)] = pairs[0]  # the same product twice
    weights = rng.choice([0.0, 0.1, 1.0, -2.0, 3e-7, 1e6], count) * rng.random(count)
    rows = np.column_stack([pairs, weights])
    terms = product_entries(lifting, rows, kind)
    point = lifted_point(net, problem, fixed, rng)
    every = np.concatenate([form_values(form, point.y) for form in table.forms if form.rows])
    wanted = sum(Fraction(max(w, 0.0)) * every[a] * every[b] for (a, b), w in zip(pairs, weights, strict=True))
    assert wanted >= 0
    middle, spread = sum_of_terms(terms, point)
    assert abs(middle - wanted) <= spread
    assert spread <= Fraction(1e-12) * sum(Fraction(max(w, 0.0)) for w in weights) * 64 + Fraction(1e-280)  # underflow


def example():
    net = random_net(np.random.default_rng(3), (3, 4, 2, 1))
    problem = checked_problem(net, center=np.zeros(3), radius=3.0)
    return lift(net, problem, presolve(net, problem))


def test_factors_are_numbered_kind_by_kind():
    lifting = example()
    table = FactorTable(lifting)
    assert [name.kind for name in table.names[:4]] == ["T", "T", "X0", "X0"]
    assert {name.kind for name in table.names} == {"T", "X0", "U", "V", "VC", "X", "XC"}
    numbers = np.arange(table.count)
    assert [table.names[k] for k in table.of(numbers)] == [
        name for name, form in zip(table.names, table.forms, strict=True) for _ in range(form.rows)
    ]


@pytest.mark.parametrize(
    "rows", [np.zeros(3), np.zeros((2, 4)), [[0.5, 1, 1]], [[-1, 1, 1]], [[0, 10**9, 1]], [[0, np.nan, 1]]]
)
def test_what_is_no_product_is_refused(rows):
    with pytest.raises(ValueError, match=r"products must be rows of three|factors must be numbers from 0"):
        product_entries(example(), np.asarray(rows, dtype=float))
