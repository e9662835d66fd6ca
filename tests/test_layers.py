"""Operators as layers, against what they are in NumPy, at points with ties and kinks; exact for small integers."""

import numpy as np
import pytest

from hr2jax import graph, layers
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.layer import Layer
from hr2jax.network import Network

WIDTH = 6
RISING = np.arange(6.0)


def values(built, points):
    """The operator's values behind an identity layer, which is number 1."""
    net = Network.from_layers([Layer({0: np.eye(WIDTH)}, np.zeros(WIDTH), "identity"), *built])
    return net(points)


@pytest.fixture
def points():
    return np.random.default_rng(5).integers(-4, 5, size=(200, WIDTH)).astype(float)


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (layers.clip(1, WIDTH, 2, -1.0, 2.0), lambda y: np.clip(y, -1.0, 2.0)),
        (layers.clip(1, WIDTH, 2, -RISING - 1, RISING), lambda y: np.clip(y, -RISING - 1, RISING)),
        (layers.clip(1, WIDTH, 2, -np.inf, 2.0), lambda y: np.minimum(y, 2.0)),
        (layers.clip(1, WIDTH, 2, 1.0, np.inf), lambda y: np.maximum(y, 1.0)),
        (layers.clip(1, WIDTH, 2, -np.inf, np.inf), lambda y: y),
        (layers.relu6(1, WIDTH, 2), lambda y: np.clip(y, 0, 6)),
        (layers.hardtanh(1, WIDTH, 2), lambda y: np.clip(y, -1, 1)),
        (layers.max_min(1, WIDTH, 2), lambda y: -np.sort(-y.reshape(-1, 3, 2), axis=2).reshape(y.shape)),
    ],
)
def test_entry_by_entry(built, expected, points):
    assert values(built, points).tolist() == expected(points).tolist()


def test_hardsigmoid_lies_within_its_radii(points):
    built = [Layer({0: np.eye(WIDTH)}, np.zeros(WIDTH), "identity"), *layers.hardsigmoid(1, WIDTH, 2)]
    sixfold = np.clip(points + 3, 0, 6)
    enclosed = graph.evaluate(built, Enclosure(points))
    assert (6 * enclosed.lower() <= sixfold).all() and (sixfold <= 6 * enclosed.upper()).all()
    assert np.allclose(enclosed.mid, sixfold / 6, atol=1e-15)


@pytest.mark.parametrize(
    "groups",
    [
        [[0, 1, 2, 3, 4, 5]], [[3], [1, 5, 2]], [[0, 1], [1, 2], [2, 3, 4, 5]], [[5, -1, -1, 0], [2, -1]], [[1], [0]],
        [[2, 2]],
    ],
)
@pytest.mark.parametrize("largest", [True, False])
def test_extremes(groups, largest, points):
    built = (layers.maximum if largest else layers.minimum)(1, WIDTH, 2, groups)
    extreme = np.max if largest else np.min
    expected = np.stack([extreme(points[:, [k for k in group if k >= 0]], axis=1) for group in groups], axis=1)
    assert values(built, points).tolist() == expected.tolist()


@pytest.mark.parametrize("groups", [[[0, 1, 2, 3, 4, 5]], [[4, 1, 3]], [[0, 3], [1, 4], [2, 5]], [[2], [0]]])
@pytest.mark.parametrize("descending", [False, True])
def test_sorted_groups(groups, descending, points):
    expected = points.copy()
    for group in groups:
        expected[:, group] = np.sort(points[:, group], axis=1)[:, :: -1 if descending else 1]
    assert values(layers.group_sort(1, WIDTH, 2, groups, descending), points).tolist() == expected.tolist()


@pytest.mark.parametrize("size", range(1, 12))
def test_the_sorting_network_sorts(size):
    """Every sequence of zeros and ones, which is enough (Knuth's 0-1 principle)."""
    every = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    for rank in layers.comparator_ranks(size):
        assert len({k for pair in rank for k in pair}) == 2 * len(rank)
        for i, j in rank:
            every[:, [i, j]] = np.sort(every[:, [i, j]], axis=1)
    assert (np.diff(every, axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: layers.clip(1, WIDTH, 2, 1.0, 0.0), "low must be at most high"),
        (lambda: layers.clip(1, WIDTH, 2, np.zeros(2), 1.0), r"low must be a number or have shape \(6,\)"),
        (lambda: layers.maximum(1, WIDTH, 2, [[0], []]), "groups must hold one or more numbers of entries 0..5 each"),
        (lambda: layers.maximum(1, WIDTH, 2, [[6]]), "groups must hold one or more numbers"),
        (lambda: layers.maximum(1, WIDTH, 2, []), "groups must hold one or more numbers"),
        (lambda: layers.group_sort(1, WIDTH, 2, [[0, 0]]), "groups must be an array .* of distinct entries"),
        (lambda: layers.group_sort(1, WIDTH, 2, [[0, 6]]), "groups must count entries 0..5"),
    ],
)
def test_what_is_no_operator_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_large_operators_are_sparse():
    built = layers.maximum(1, 400, 2, np.arange(400).reshape(-1, 4))
    assert all(hasattr(A, "tocsr") for layer in built for k, A in layer.inputs.items())
