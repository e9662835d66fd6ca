"""One solve, before its engine."""

import numpy as np

import hr2jax
from hr2jax.options import Options
from hr2jax.problem import checked_problem
from hr2jax.solving import run
from hr2jax.solving.prepared import by_intervals
from tests.test_outputs import random_network


def test_whoever_stops_a_search_for_slopes_has_what_one_pass_proves(monkeypatch):
    """The bound was that of intervals, twenty times as large as LipSDP's a moment later."""
    net, told = random_network(np.random.default_rng(0), (10, 20, 20, 20, 1)), []
    where = {"center": np.zeros(10), "radius": 0.5}
    options, problem = Options(relaxation="hr2+"), checked_problem(net, **where)
    monkeypatch.setattr(run, "tell", told.append)
    known = by_intervals(net, problem, options)
    run.tell_at_once(net, problem, known, options, None)
    result = told[0]()
    assert result.status is hr2jax.Status.STOPPED
    assert result.bound < 0.5 * hr2jax.solve(net, relaxation="interval", **where).bound
    assert result.certificate.verify(net, **where) == result.bound
    random = np.random.default_rng(1)
    x = random.uniform(-0.5, 0.5, (2000, 10))
    assert np.abs(net.gradient(x)).sum(axis=1).max() <= result.bound
