"""The search finds the exact constant of small networks, and good points of real ones."""

from itertools import product

import numpy as np
import pytest

import hr2jax
from hr2jax import Network
from hr2jax.lower import attained, search
from hr2jax.problem import checked_problem
from tests.reference.effort import examples

from ...reference.data import shared
from ...reference.truth import truth

COUNT = examples(40)


def small_problem(seed, local):
    rng = np.random.default_rng(seed)
    p, m = rng.integers(2, 7, 2)
    net = Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [rng.standard_normal(m), np.zeros(1)])
    return net, checked_problem(net, **(dict(center=rng.standard_normal(p), radius=0.7) if local else {}))


def realisable(net):
    """Globally: the largest gradient norm over the patterns of cells, which a box that holds every vertex meets."""
    far = checked_problem(net, center=np.zeros(net.widths[0]), radius=1e3)
    return float(truth(net, far).attained)


@pytest.mark.parametrize("local", [False, True])
def test_the_exact_value_of_small_networks_is_found_in_95_percent(local):
    found = 0
    for seed in range(COUNT):
        net, problem = small_problem(seed, local)
        lower, witness = search(net, problem, seconds=5.0, seed=seed)
        assert lower == attained(net, problem, witness)
        exact = float(truth(net, problem).attained) if local else realisable(net)
        assert lower <= (truth(net, problem).most if local else max(
            np.abs((net.weights[1][0] * u) @ net.weights[0]).sum() for u in product((0, 1), repeat=net.widths[1])
        )) * (1 + 1e-12)  # fmt: skip
        found += lower >= exact * (1 - 1e-9)
    assert found >= 0.95 * COUNT


def test_no_time_gives_no_bound_but_a_point_of_the_domain():
    net, problem = small_problem(3, True)
    lower, witness = search(net, problem, seconds=0.0)
    assert lower >= 0.0
    assert (np.abs(witness - problem.domain.center) <= problem.domain.radius).all()


def test_a_start_is_used():
    net, problem = small_problem(5, True)
    best, witness = search(net, problem, seconds=5.0)
    again, _ = search(net, problem, seconds=0.01, starts=witness[None])
    assert again >= best * (1 - 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("radius, least", [(None, 15.15), (10.0, 15.15), (0.1, 9.2)])
def test_sdp_nn(radius, least):
    path = shared("data", "sdp_nn.npz")
    net, center = hr2jax.load(path), np.load(path)["x00"]
    problem = checked_problem(net, **({} if radius is None else dict(center=center, radius=radius)))
    lower, witness = search(net, problem, seconds=50.0)
    assert lower >= least
    assert np.abs(net.gradient(witness)).sum() == pytest.approx(lower, rel=1e-9)
