"""The walks over layers, against the definition in rational arithmetic and sums over all paths."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp

from hr2jax import graph
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.layer import Layer

from .reference.graphs import KINDS, exact_values, jacobian_by_paths, paths, random_layers, slope_at

SEEDS = range(40)


def drawn(seed, **options):
    rng = np.random.default_rng(seed)
    layers = random_layers(rng, int(rng.integers(1, 7)), **{"activations": KINDS} | options)
    width = next(layer.inputs[0].shape[1] for layer in layers if 0 in layer.inputs)
    return layers, rng.integers(-3, 4, size=(5, width)).astype(float), rng


def rows(values):
    return [float(v) for v in values]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_forward_walk_is_the_definition(seed):
    layers, points, _ = drawn(seed)
    seen = []
    batch = graph.evaluate(layers, points, lambda l, z: seen.append((l, z)))
    assert [l for l, _ in seen] == list(range(1, len(layers) + 1))
    for i, x in enumerate(points):
        exact = exact_values(layers, x)
        assert batch[i].tolist() == graph.evaluate(layers, x).tolist() == rows(exact[len(layers)][1])
        for l, z in seen:
            assert z[i].tolist() == rows(exact[l][0])
        for l, mask in enumerate(graph.masks(layers, x), 1):
            assert mask.tolist() == [float(slope_at(layers[l - 1], i, v)) for i, v in enumerate(exact[l][0])]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_backward_walk_is_the_sum_over_all_paths(seed):
    layers, points, rng = drawn(seed)
    for x in points:
        jacobian = jacobian_by_paths(layers, x)
        on = graph.masks(layers, x)
        top = rng.integers(-3, 4, size=layers[-1].width).astype(float)
        assert graph.pull_back(layers, on, top).tolist() == (top @ jacobian).tolist()
        assert graph.pull_back(layers, on, np.eye(len(top))).tolist() == jacobian.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_sparse_matrices_are_what_they_are_dense(seed):
    layers, points, _ = drawn(seed)
    sparse = [
        Layer({k: sp.csr_array(A) for k, A in layer.inputs.items()}, layer.bias, layer.activation, layer.parameters)
        for layer in layers
    ]
    assert graph.evaluate(sparse, points).tolist() == graph.evaluate(layers, points).tolist()
    on = [mask[..., None, :] for mask in graph.masks(sparse, points)]
    top = np.eye(layers[-1].width)
    assert graph.pull_back(sparse, on, top).tolist() == graph.pull_back(layers, on, top).tolist()
    assert graph.evaluate(sparse, Enclosure(points)).mid.tolist() == graph.evaluate(layers, points).tolist()
    every = [np.ones(layer.width, dtype=bool) for layer in layers]
    varies = np.arange(points.shape[1]) == 0
    for one, other in zip(graph.moving(sparse, varies, every), graph.moving(layers, varies, every), strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_an_enclosure_of_the_walk_holds_the_values_of_members(seed):
    layers, points, rng = drawn(seed)
    wide, member = [], []
    for layer in layers:
        pairs = {k: (A, rng.choice([0.0, 0.25, 1.0], size=A.shape)) for k, A in layer.inputs.items()}
        bias = layer.bias, rng.choice([0.0, 0.5], size=layer.width)
        inside = {k: A + r * rng.choice([-1.0, 0.0, 1.0], size=A.shape) for k, (A, r) in pairs.items()}
        wide.append(Layer(pairs, bias, layer.activation, layer.parameters))
        shift = bias[0] + bias[1] * rng.choice([-1.0, 0.0, 1.0], size=layer.width)
        member.append(Layer(inside, shift, layer.activation, layer.parameters))
    for x in points:
        value = graph.evaluate(wide, Enclosure(x))
        truth = exact_values(member, x)[len(layers)][1]
        for mid, rad, v in zip(value.mid.tolist(), value.rad.tolist(), truth, strict=True):
            assert abs(v - Fraction(mid)) <= Fraction(rad)
        assert graph.evaluate(wide, x).tolist() == graph.evaluate(layers, x).tolist()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("several", [False, True])
def test_an_enclosure_of_the_walk_holds_the_exact_values(seed, several):
    layers, points, rng = drawn(seed, integers=False)
    points = points + rng.normal(size=points.shape) / 7.0
    zs = []
    value = graph.evaluate(layers, Enclosure(points if several else points[0]), lambda _, z: zs.append(z))
    assert np.isfinite(value.rad).all()
    assert (value.rad <= 1e-11 * (1.0 + np.abs(value.mid))).all()
    for i, x in enumerate(points if several else points[:1]):
        exact = exact_values(layers, x)
        checked = [(z, exact[l][0]) for l, z in enumerate(zs, 1)] + [(value, exact[len(layers)][1])]
        for enclosed, truth in checked:
            part = enclosed[i] if several else enclosed
            for mid, rad, v in zip(part.mid.tolist(), part.rad.tolist(), truth, strict=True):
                assert abs(v - Fraction(mid)) <= Fraction(rad)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_longest_path_is_the_longest_of_all(seed):
    layers, _, rng = drawn(seed)
    lengths = [0, *rng.integers(0, 5, size=len(layers)).tolist()]
    ways = paths(layers, len(layers))
    assert graph.longest_path(layers, lambda l, _: lengths[l]) == max(sum(lengths[l] for l in way) for way in ways)
    kinked = [0] + [layer.activation != "identity" for layer in layers]
    assert graph.depth(layers) == max(sum(kinked[l] for l in way) for way in ways)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_moves_is_what_a_path_of_living_neurons_reaches(seed):
    layers, points, rng = drawn(seed)
    varies = rng.random(points.shape[1]) < 0.5
    alive = [rng.random(layer.width) < 0.6 for layer in layers]
    found = graph.moving(layers, varies, alive)
    counts = {0: varies.astype(float)}
    for l, layer in enumerate(layers, 1):  # how many ways come to each neuron
        ways = sum((A != 0).astype(float) @ counts[k] for k, A in layer.inputs.items())
        assert found[l - 1].tolist() == (ways > 0).tolist()
        counts[l] = ways * alive[l - 1]


def test_values_are_let_go_when_nothing_takes_them_any_more():
    layers = [Layer({k: np.eye(2)}, np.zeros(2)) for k in range(3)] + [Layer({1: np.eye(2), 3: np.eye(2)}, np.zeros(2))]
    held = []

    class Value:
        def __init__(self, l):
            self.l = l
            held.append(l)

        def __del__(self):
            held.remove(self.l)

    wanted = {1: set(), 2: {1}, 3: {1, 2}, 4: {1, 3}}  # beside x, which is the caller's

    def step(l, layer, below):
        assert [y.l for _, y in below] == list(layer.inputs)
        assert set(held) - {0} == wanted[l]
        return Value(l)

    assert graph.forward(layers, Value(0), step).l == 4
    assert held == []


def test_a_layer_that_feeds_nothing_has_no_adjoint():
    layers = [Layer({0: [[2.0]]}, [1.0]), Layer({0: [[3.0]]}, [0.0]), Layer({1: [[5.0]]}, [0.0], "identity")]
    asked = []

    def step(l, layer, above):
        asked.append(l)
        return graph.rows_back(above)

    assert graph.rows_back(graph.backward(layers, np.ones(1), step)).tolist() == [10.0]
    assert asked == [1]


def test_a_skip_over_everything_is_in_the_jacobian():
    x_to_all = Layer({0: [[7.0, 0.0]], 1: [[1.0]]}, [0.0], "identity")
    layers = [Layer({0: [[-1.0, -1.0]]}, [0.0]), x_to_all]
    on = graph.masks(layers, np.array([1.0, 1.0]))
    assert graph.pull_back(layers, on, np.ones(1)).tolist() == [7.0, 0.0]
    assert graph.pull_back(layers, graph.masks(layers, np.array([-1.0, -1.0])), np.ones(1)).tolist() == [6.0, -1.0]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "layers must hold at least one Layer"),
        ([1], "layer 1 must be a Layer, but int was given"),
        ([Layer({1: [[1.0]]}, [0.0], "identity")], r"layer 1 takes layer 1, but only layers 0 \(the input\) to 0 come"),
        (
            [Layer({0: [[1.0]]}, [0.0]), Layer({0: [[1.0, 1.0]]}, [0.0], "identity")],
            r"inputs\[0\] of layer 2 has shape \(1, 2\), but the input has 1 entries",
        ),
        (
            [Layer({0: [[1.0]]}, [0.0]), Layer({1: [[1.0, 1.0]]}, [0.0], "identity")],
            r"inputs\[1\] of layer 2 has shape \(1, 2\), but layer 1 has 1 neurons",
        ),
        ([Layer({0: [[1.0]]}, [0.0])], "layer 1 is the output, whose activation must be identity, not relu"),
    ],
)
def test_layers_that_make_no_network_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        graph.check(layers)


@pytest.mark.parametrize("seed", SEEDS)
def test_layers_that_make_a_network_are_not(seed):
    graph.check(drawn(seed)[0])


def test_a_smooth_layer_is_evaluated_and_named():
    layers = [Layer({0: [[2.0]]}, [1.0], "tanh"), Layer({1: [[1.0]]}, [0.0], "identity")]
    assert graph.evaluate(layers, np.array([0.25])) == np.tanh(1.5)
    assert np.allclose(graph.masks(layers, np.array([0.25]))[0], 1 - np.tanh(1.5) ** 2, rtol=1e-15)
    assert graph.smooth_layer(layers) == "layer 1 is tanh"
    assert graph.structure(layers).valued == ()
