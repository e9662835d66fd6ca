"""What exclusions of every kind must be: at least 0 at points, what their form encloses, what Newton's method has."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hr2jax.relaxation.basis import Group, Lifting
from hr2jax.relaxation.exclusions import Exclusions
from hr2jax.relaxation.products import FactorTable
from tests.reference.lifted_points import form_values, sum_of_terms


def value_of(lifting: Lifting, found: Exclusions, k: int, y: Any) -> Fraction:
    """f (k - 1 - sum phi) at a point, exactly."""
    table = FactorTable(lifting)
    f, number = Fraction(1), found.factor[k]
    if number >= 0:
        kind = int(table.of(number))
        f = form_values(table.forms[kind], y)[number - table.starts[kind]]
    signs, layers, place = (values[k] for values in found.literals)
    has = [(int(s), int(l), int(p)) for s, l, p in zip(signs, layers, place, strict=True) if l]
    phi = sum((1 + s * y[Group("v", l)][p]) / 2 for s, l, p in has)
    assert f >= 0 and phi <= len(has) - 1
    return f * (len(has) - 1 - phi)


def check_enclosed(lifting: Lifting, found: Exclusions, terms: Any, points: Iterable[Any]) -> None:
    """At each point they hold, and their sum is what the form's `terms` enclose."""
    for point in points:
        values = [value_of(lifting, found, k, point.y) for k in range(len(found.factor))]
        wanted = sum((Fraction(w) * v for w, v in zip(found.weights, values, strict=True)), Fraction(0))
        middle, spread = sum_of_terms(terms, point)
        assert abs(middle - wanted) <= spread


def check_products(lifting: Lifting, rng: Any, rows: Any, forms: Any, entries: Any) -> None:
    """Newton's `forms` of rows are the products whose weighted sum certificates have as `entries`."""
    ((first, second),) = forms
    Y = rng.standard_normal((lifting.size, 4))
    E = np.vstack([np.eye(lifting.size), lifting.derived_rows()]) @ Y
    weights = np.maximum(rows[:, -1], 0.0)
    total = weights @ ((first @ E) * (second @ E)).sum(axis=1)
    placement, wanted = lifting.extended, 0.0
    for g, h, i, j, values in entries:
        wanted += values.mid @ (E[placement.starts[g] + i] * E[placement.starts[h] + j]).sum(axis=1)
    assert total == pytest.approx(wanted, rel=1e-9)
