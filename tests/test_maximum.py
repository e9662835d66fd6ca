"""The largest value of an output on a ball, against the semidefinite program of Raghunathan et al. 2018.

That program is written out here over all neurons, stable ones too, and solved by an interior-point method.
"""

import itertools

import clarabel
import numpy as np
import pytest
import scipy.sparse as sp

import hr2jax
from hr2jax import Network
from hr2jax.problem import checked_problem
from tests.reference.effort import FULL


def random_case(seed):
    """A network of 1-3 hidden layers with stable neurons among the others, a center, a radius."""
    rng = np.random.default_rng(seed)
    widths = [*rng.integers(2, 5, rng.integers(2, 5)).tolist(), 2]
    A = [rng.standard_normal((m, n)) / np.sqrt(n) for n, m in itertools.pairwise(widths)]
    b = [0.5 * rng.standard_normal(len(w)) for w in A]
    return Network(A, b), rng.standard_normal(widths[0]), float(rng.choice([0.2, 0.5, 1.0]))


def raghunathan(net, problem):
    """max f over  P = E[(1, x_0, ..., x_L)(...)^T] >= 0  with

    x_l >= 0,  x_l >= A x_{l-1} + b,  x_l^2 = x_l (A x_{l-1} + b),  x_l^2 <= (l + u) x_l - l u  for every layer, l and u
    the interval bounds of its values.
    """
    widths, depth = net.widths[:-1], net.depth
    N, starts = 1 + sum(widths), np.cumsum([1, *widths])
    i, j = np.tril_indices(N)
    place = np.zeros((N, N), dtype=int)
    place[i, j] = place[j, i] = np.arange(len(i))

    def row(terms):
        out = np.zeros(len(i))
        for a, b, value in terms:
            out[place[a, b]] += value
        return out

    low, high = problem.domain.center - problem.domain.radius, problem.domain.center + problem.domain.radius
    equal, at_least = [(row([(0, 0, 1.0)]), 1.0)], []
    for l in range(depth + 1):
        where = starts[l] + np.arange(widths[l])
        if l:
            A, b = net.weights[l - 1], net.biases[l - 1]
            before = starts[l - 1] + np.arange(widths[l - 1])
            low, high = (
                np.maximum(np.maximum(A, 0) @ low + np.minimum(A, 0) @ high + b, 0),
                np.maximum(np.maximum(A, 0) @ high + np.minimum(A, 0) @ low + b, 0),
            )
            for k, p in enumerate(where):
                at_least.append((row([(0, p, 1.0)]), 0.0))
                inner = [(0, q, -A[k, m]) for m, q in enumerate(before)]
                at_least.append((row([(0, p, 1.0), *inner]), b[k]))
                products = [(p, q, -A[k, m]) for m, q in enumerate(before)]
                equal.append((row([(p, p, 1.0), *products, (0, p, -b[k])]), 0.0))
        for k, p in enumerate(where):
            at_least.append((row([(0, p, low[k] + high[k]), (p, p, -1.0)]), low[k] * high[k]))
    C, d = problem.coefficients @ net.weights[-1], float(problem.coefficients @ net.biases[-1])
    objective = row([(0, starts[-2] + k, value) for k, value in enumerate(C)])
    svec = -sp.diags(np.where(i == j, 1.0, np.sqrt(2.0)))
    rows = sp.csc_matrix(sp.vstack([np.array([r for r, _ in equal]), -np.array([r for r, _ in at_least]), svec]))
    right = np.concatenate([[v for _, v in equal], [-v for _, v in at_least], np.zeros(len(i))])
    cones = [
        clarabel.ZeroConeT(len(equal)), clarabel.NonnegativeConeT(len(at_least)), clarabel.PSDTriangleConeT(N),
    ]  # fmt: skip
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    empty = sp.csc_matrix((len(i), len(i)))
    solution = clarabel.DefaultSolver(empty, -objective, rows, right, cones, settings).solve()
    if str(solution.status) not in ("Solved", "AlmostSolved"):
        pytest.skip(f"Clarabel ended with {solution.status}")
    return -solution.obj_val + d


def size_of(net, problem):
    """What values differ by on the ball, about."""
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (64, net.widths[0]))
    corners = problem.domain.center + problem.domain.radius * signs
    return float(np.ptp(net(corners) @ problem.coefficients)) + 1e-3


@pytest.mark.parametrize("seed", range(12))
def test_as_tight_as_raghunathan_et_al(seed):
    """With their intervals, for the bounds are part of the relaxation; more of them can only help."""
    net, center, radius = random_case(seed)
    ask = dict(output=(0, 1), center=center, radius=radius)
    problem = checked_problem(net, ask["output"], "inf", center, radius, "maximum")
    theirs, size = raghunathan(net, problem), size_of(net, problem)
    ours = hr2jax.maximum(net, bounds="interval", tol=1e-5, **ask)
    assert ours.bound <= theirs + 1e-4 * size
    assert ours.bound >= ours.lower


def test_an_objective_without_the_last_layer_is_scaled():
    """f depends on the ball through the first layer's values only: the last has no neuron that can switch."""
    net, center, radius = random_case(10)
    result = hr2jax.maximum(net, bounds="interval", tol=1e-5, output=(0, 1), center=center, radius=radius)
    assert not len(result.certificate.layout.unstable[-1])
    assert result.status is hr2jax.Status.SOLVED


def other_stable_neurons(seed):
    """A network and two centers around which other neurons switch, in every hidden layer and in number."""
    net, center, _ = random_case(seed)
    return net, center, center + np.random.default_rng(seed + 100).choice([-1.0, 1.0], len(center))


@pytest.mark.parametrize("relaxation", ["hr2", "hr2+"])
@pytest.mark.parametrize("seed", [1, 4, 7] if FULL else [1, 7])
def test_multipliers_of_another_center_are_a_start(relaxation, seed):
    """Those of `hr2+` ended in an IndexError: cuts of neurons that are stable here."""
    net, center, other = other_stable_neurons(seed)
    ask = {"output": 0, "relaxation": relaxation, "tol": 1e-3}
    earlier = hr2jax.maximum(net, center=center, radius=0.5, **ask)
    for there, radius in ((other, 0.5), (center, 0.1), (center, 2.0)):
        cold = hr2jax.maximum(net, center=there, radius=radius, **ask)
        warm = hr2jax.maximum(net, center=there, radius=radius, warm_start=earlier, **ask)
        assert warm.lower <= warm.bound and warm.certificate.verify(net) <= warm.bound
        size = max(abs(cold.bound), abs(cold.lower), 1e-9)
        assert abs(warm.bound - cold.bound) <= 5e-3 * size + max(cold.bound - cold.lower, 0.0)


def test_the_centers_have_other_unstable_neurons():
    sizes = set()
    for seed in (1, 4, 7):
        net, *centers = other_stable_neurons(seed)
        found = [hr2jax.maximum(net, output=0, relaxation="interval", center=c, radius=0.5).problem for c in centers]
        sizes.add(tuple(p["unstable_neurons"] for p in found))
    assert any(a != b for a, b in sizes)


def test_one_hidden_layer_begins_with_lines_behind_it_and_ends_by_newton():
    """Its first bound was that of intervals, several times as far from the truth, and its engine three times slower."""
    rng = np.random.default_rng(0)
    net = Network([rng.standard_normal((20, 8)), rng.standard_normal((2, 20))], [rng.standard_normal(20), np.zeros(2)])
    asked = dict(output=(0, 1), center=np.zeros(8), radius=0.2)
    lines, intervals = (
        hr2jax.maximum(net, **asked, relaxation="interval", bounds=bounds).bound for bounds in ("auto", "interval")
    )
    result = hr2jax.maximum(net, **asked, tol=1e-4)
    assert result.problem["engine"] == "newton"
    assert result.bound <= lines < intervals
    assert lines - result.bound < 0.5 * (intervals - result.bound)
    assert result.lower <= result.certificate.verify(net, quantity="maximum") <= result.bound * (1 + 1e-12)
