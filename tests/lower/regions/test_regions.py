"""Points inside a region."""

import numpy as np

from hr2jax import Network
from hr2jax.lower.regions.regions import inner_point, region_rows
from hr2jax.lower.regions.units import build_units
from hr2jax.problem import checked_problem


def test_a_region_without_rows_has_an_inner_point():
    """It ended the process with SIGABRT: on a ball of radius 1e-170 no row was left, and nnls had no columns."""
    net = Network([np.ones((4, 3)), np.ones((1, 4))], [np.ones(4), np.zeros(1)])
    units = build_units(net, checked_problem(net, norm=2, center=np.ones(3), radius=1e-170))
    G, h = region_rows(net, units, [np.ones(4, dtype=bool)])
    assert inner_point(G[:0], h[:0], units, 1e-3).tolist() == [0.0, 0.0, 0.0]
    assert (G @ inner_point(G, h, units, 1e-3) <= h).all()
