import copy
import pickle

import numpy as np
import pytest

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
        ("gelu", {"approximate": "sigmoid"}, "approximate must be one of none, tanh, but 'sigmoid' was given"),
        ("relu", [1], r"parameters must be a dict, but \[1\] was given"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(activation, parameters, message):
    with pytest.raises(ValueError, match=message):
        Layer({0: np.ones((2, 1))}, np.zeros(2), activation, parameters)


def test_a_midpoint_and_a_radius_are_not_built_yet():
    pair = np.ones((1, 1)), np.zeros((1, 1))
    with pytest.raises(NotImplementedError, match=r"inputs\[0\] is a midpoint and a radius, which is not built yet"):
        Layer({0: pair}, [0.0])
    with pytest.raises(NotImplementedError, match="bias is a midpoint and a radius"):
        Layer({0: np.ones((1, 1))}, (np.zeros(1), np.zeros(1)))
    assert Layer({0: ([1.0, 2.0], [3.0, 4.0])}, (0.0, 1.0)).width == 2  # two rows, two numbers
