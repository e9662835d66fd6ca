"""Points whose pattern is a wanted one, by regularised least squares."""

import numpy as np
import pytest

from hr2jax import Network
from hr2jax.lower.cells.cells import build_cells
from hr2jax.lower.cells.realise import elastic, least_squares
from hr2jax.lower.effort import Effort
from hr2jax.problem import checked_problem


def a_network(m, n, weights=None):
    random = np.random.default_rng(0)
    A = random.standard_normal((m, n)) if weights is None else weights
    return Network([A, random.standard_normal((1, m))], [random.standard_normal(m), np.zeros(1)])


@pytest.mark.parametrize("inputs", [6, 9])
def test_patterns_of_independent_rows_are_realised_or_better_ones_are(inputs):
    axes, _ = np.linalg.qr(np.random.default_rng(3).standard_normal((inputs, 6)))
    net = a_network(6, inputs, axes.T)
    cells = build_cells(net, checked_problem(net))
    point, random = least_squares(cells, Effort(net)), np.random.default_rng(1)
    for pattern in random.integers(0, 2, (20, 6)).astype(float):
        xi = point(pattern)
        assert cells.value(cells.pattern(xi)) >= cells.value(pattern)
        assert (np.abs(xi) <= 1.0).all()


def test_more_neurons_than_inputs_give_a_point_of_the_box():
    net = a_network(12, 3)
    cells = build_cells(net, checked_problem(net, center=np.zeros(3), radius=1.0))
    m = len(cells.b)
    xi = least_squares(cells, Effort(net))(np.ones(m))
    assert xi.shape == (3,) and (np.abs(xi) <= 1.0).all()
    assert cells.value(cells.pattern(xi)) >= cells.value(cells.pattern(np.zeros(3)))


def test_what_takes_more_than_is_left_is_not_begun(monkeypatch):
    net = a_network(60, 80)
    cells = build_cells(net, checked_problem(net))
    monkeypatch.setattr(np.linalg, "eigh", None)  # a call of it would raise
    monkeypatch.setattr("scipy.optimize.linprog", None)
    assert least_squares(cells, Effort(net, 0))(np.ones(60)) is None
    effort = Effort(net, 10)
    assert elastic(cells, np.ones(60), None, softness=1.0, effort=effort) is None
    assert effort.spent == 0
