import copy
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

import hr2jax
from hr2jax.layer import ACTIVATIONS, Layer


def test_a_layer_holds_float64_that_cannot_be_written():
    A, b = np.eye(2, dtype=np.float32), [1, 2]
    layer = hr2jax.Layer({3: A, 0: [[1, 2, 3], [4, 5, 6]]}, b)
    A[0, 0] = 9
    assert list(layer.inputs) == [0, 3]
    assert layer.inputs[3].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert (layer.activation, dict(layer.parameters), layer.width) == ("relu", {}, 2)
    assert {array.dtype for array in (*layer.inputs.values(), layer.bias)} == {np.dtype(np.float64)}
    with pytest.raises(ValueError, match="read-only"):
        layer.inputs[3][0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        layer.bias[0] = 1.0
    with pytest.raises(TypeError):
        layer.inputs[1] = A
    with pytest.raises(AttributeError):
        layer.bias = b
    assert repr(layer) == "Layer({0: 2x3, 3: 2x2}, relu)"


@pytest.mark.parametrize("again", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_a_copy_is_the_same_layer(again):
    layer = again(Layer({0: [[1.0, 2.0]]}, [3.0], "leaky_relu", {"negative_slope": 0.5}))
    assert layer.inputs[0].tolist() == [[1.0, 2.0]]
    assert layer.bias.tolist() == [3.0]
    assert (layer.activation, dict(layer.parameters)) == ("leaky_relu", {"negative_slope": 0.5})
    with pytest.raises(TypeError):
        layer.inputs[1] = layer.bias


@pytest.mark.parametrize(
    ("inputs", "bias", "message"),
    [
        ({}, [1.0], "inputs must be a dict"),
        ([[1.0]], [1.0], "inputs must be a dict"),
        ({-1: [[1.0]]}, [1.0], "keys must be layers' numbers 0, 1, 2, ..., but -1 was given"),
        ({True: [[1.0]]}, [1.0], "but True was given"),
        ({"x": [[1.0]]}, [1.0], "but 'x' was given"),
        ({0: [1.0]}, [1.0], r"inputs\[0\] must have 2 dimensions"),
        ({0: [[1.0]]}, 1.0, "bias must have 1 dimension"),
        ({0: [[1.0]], 2: [[1.0], [2.0]]}, [1.0], r"bias has shape \(1,\), but inputs\[2\] has 2 rows"),
        ({0: np.ones((0, 2))}, [], r"inputs\[0\] has shape \(0, 2\); every width must be at least 1"),
        ({0: [[np.nan]]}, [1.0], r"inputs\[0\] must be finite"),
        ({0: [[1.0]]}, [np.inf], "bias must be finite"),
        ({0: [[2**53 + 1]]}, [1.0], "float64 cannot hold exactly"),
        ({0: [[1j]]}, [1.0], "must hold real numbers"),
    ],
)
def test_what_is_no_layer_is_refused(inputs, bias, message):
    with pytest.raises(ValueError, match=message):
        Layer(inputs, bias)


@pytest.mark.parametrize("activation", ["ReLU", "", None, 1, ["relu"], "softmax"])
def test_an_unknown_activation_is_refused(activation):
    with pytest.raises(ValueError, match=r"activation must be one of identity, relu, .* was given"):
        Layer({0: [[1.0]]}, [0.0], activation)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_taken_with_its_parameters_and_no_others(activation):
    values = {"weight": [0.25], "approximate": "tanh"}
    given = {name: values.get(name, 0.5) for name in ACTIVATIONS[activation]}
    layer = Layer({0: [[1.0]]}, [0.0], activation, given)
    assert {name: np.asarray(value).tolist() for name, value in layer.parameters.items()} == given
    with pytest.raises(ValueError, match=f"{activation} takes .*, but the parameter 'inplace' was given"):
        Layer({0: [[1.0]]}, [0.0], activation, {"inplace": True})


@pytest.mark.parametrize(
    ("activation", "parameters", "message"),
    [
        ("leaky_relu", {"negative_slope": np.nan}, "negative_slope must be finite"),
        ("leaky_relu", {"negative_slope": "0.1"}, "negative_slope must hold real numbers"),
        ("leaky_relu", {"negative_slope": [0.1]}, "negative_slope must have 0 dimensions"),
        ("prelu", {"weight": [0.1, 0.2, 0.3]}, r"weight must have shape \(2,\) or \(1,\), but its shape is \(3,\)"),
        ("gelu", {"approximate": "sigmoid"}, "one of none, tanh, tanh float32, but 'sigmoid' was given"),
        ("gelu", {"approximate": np.array(["none", "tanh"])}, "one of none, tanh, tanh float32, but an array"),
        ("relu", [1], r"parameters must be a dict, but \[1\] was given"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(activation, parameters, message):
    with pytest.raises(ValueError, match=message):
        Layer({0: np.ones((2, 1))}, np.zeros(2), activation, parameters)


def test_a_midpoint_and_a_radius():
    layer = Layer({0: (np.ones((2, 1)), [[0.5], [0.0]]), 1: np.eye(2)}, (np.zeros(2), [0.0, 1.0]))
    assert (layer.inputs[0].tolist(), layer.radii[0].tolist()) == ([[1.0], [1.0]], [[0.5], [0.0]])
    assert ([*layer.radii], layer.bias_radius.tolist(), layer.has_radii) == ([0], [0.0, 1.0], True)
    enclosed = layer.enclosed()
    assert enclosed.inputs[0].rad.tolist() == [[0.5], [0.0]]
    assert enclosed.inputs[1] is layer.inputs[1]
    assert enclosed.bias.rad.tolist() == [0.0, 1.0]
    again = pickle.loads(pickle.dumps(layer))
    assert (again.radii[0].tolist(), again.bias_radius.tolist()) == ([[0.5], [0.0]], [0.0, 1.0])


def test_radii_of_0_are_none():
    layer = Layer({0: (np.ones((2, 1)), np.zeros((2, 1)))}, (np.zeros(2), np.zeros(2)))
    assert not layer.has_radii
    assert layer.enclosed() is layer
    assert Layer({0: ([1.0, 2.0], [3.0, 4.0])}, (0.0, 1.0)).width == 2  # two rows, two numbers


@pytest.mark.parametrize(
    ("A", "message"),
    [
        ((np.ones((1, 2)), np.ones((1, 1))), r"the radius of inputs\[0\] has shape \(1, 1\), but its midpoint has"),
        ((np.ones((1, 2)), -np.ones((1, 2))), "must be at least 0"),
        ((np.ones((1, 2)), np.full((1, 2), np.inf)), r"the radius of inputs\[0\] must be finite"),
        (sp.csr_array(np.array([[np.nan]])), r"inputs\[0\] must be finite"),
    ],
)
def test_a_pair_that_is_none_is_refused(A, message):
    with pytest.raises(ValueError, match=message):
        Layer({0: A}, [0.0])


def test_a_sparse_matrix_stays_one():
    A = sp.coo_matrix(([1.0, 2.0, 0.0], ([0, 1, 1], [2, 0, 1])), shape=(2, 3))
    layer = Layer({0: A, 1: (A.tocsr(), np.full((2, 3), 0.25))}, [0.0, 1.0])
    assert (layer.inputs[0].nnz, layer.inputs[0].toarray().tolist()) == (2, [[0.0, 0.0, 1.0], [2.0, 0.0, 0.0]])
    assert layer.radii[1].nnz == 6
    assert layer.enclosed().inputs[0].tolist() == A.toarray().tolist()
    with pytest.raises(ValueError, match="read-only"):
        layer.inputs[0].data[0] = 3.0
    assert pickle.loads(pickle.dumps(layer)).inputs[0].toarray().tolist() == A.toarray().tolist()


@pytest.mark.parametrize(
    ("activation", "parameters", "alpha"),
    [
        ("identity", {}, [1.0, 1.0]),
        ("relu", {}, [0.0, 0.0]),
        ("abs", {}, [-1.0, -1.0]),
        ("leaky_relu", {}, [0.01, 0.01]),
        ("leaky_relu", {"negative_slope": 0.5}, [0.5, 0.5]),
        ("prelu", {}, [0.25, 0.25]),
        ("prelu", {"weight": [0.5]}, [0.5, 0.5]),
        ("prelu", {"weight": [0.5, -2.0]}, [0.5, -2.0]),
    ],
)
def test_slopes(activation, parameters, alpha):
    found = Layer({0: np.ones((2, 1))}, np.zeros(2), activation, parameters).slopes
    assert [array.tolist() for array in found] == [alpha, [1.0, 1.0]]


def test_a_smooth_activation_has_no_slopes():
    with pytest.raises(NotImplementedError, match="tanh is not piecewise linear"):
        _ = Layer({0: [[1.0]]}, [0.0], "tanh").slopes
