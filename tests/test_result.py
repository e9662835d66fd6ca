"""What a Result is besides its fields: equal to another, hashable, a number, one line."""

import dataclasses

import numpy as np
import pytest

import hr2jax
from hr2jax import Network


def solved(**options):
    rng = np.random.default_rng(0)
    net = Network([rng.standard_normal((4, 3)), rng.standard_normal((1, 4))], [rng.standard_normal(4), np.zeros(1)])
    return hr2jax.solve(net, **{"relaxation": "product"} | options)


def test_results_are_compared_by_what_they_say():
    """`==` raised "The truth value of an array ... is ambiguous", `hash` "unhashable type"."""
    result, again = solved(), solved()
    assert result.timings != again.timings
    assert result == again
    assert hash(result) == hash(again)
    assert len({result, again}) == 1
    assert result != solved(norm=2)
    assert result != "a result"
    for change in ({"bound": 2 * result.bound}, {"lower": 0.0}, {"witness": result.witness + 1}):
        assert result != dataclasses.replace(result, **change)
    other = dataclasses.replace(result.certificate, multipliers={"u.z": np.ones(4)})
    assert result != dataclasses.replace(result, certificate=other)


def test_a_result_is_its_bound_where_a_number_is_expected():
    """`float` raised TypeError."""
    result = solved()
    assert float(result) == result.bound
    assert f"{float(result):.3f}" == f"{result.bound:.3f}"


def test_the_repr_is_one_line():
    """It was every array in full: a screen and more."""
    result = solved()
    assert "\n" not in repr(result)
    assert len(repr(result)) < 120
    assert repr(result.bound) in repr(result)


@pytest.mark.parametrize("sign", [0.0, -0.0])
def test_equal_results_have_one_hash_whatever_the_sign_of_0(sign):
    result = solved()
    a, b = (dataclasses.replace(result, witness=np.full(3, zero)) for zero in (0.0, sign))
    assert a == b
    assert hash(a) == hash(b)
