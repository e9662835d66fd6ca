"""The shipped classifier and digits are whole, small and what their docstring says."""

from __future__ import annotations

from importlib import resources

import numpy as np

from hr2jax import load
from hr2jax.data import digits


def test_shapes_and_dtypes() -> None:
    net, inputs, labels = digits()
    assert net.widths == (64, 64, 10)
    assert inputs.shape == (20, 64)
    assert inputs.dtype == np.float64
    assert labels.shape == (20,)
    assert labels.dtype.kind == "i"


def test_every_shipped_digit_is_classified_correctly() -> None:
    net, inputs, labels = digits()
    assert np.array_equal(net(inputs).argmax(axis=1), labels)
    assert np.array_equal(np.bincount(labels), np.full(10, 2))
    assert len(np.unique(inputs, axis=0)) == 20


def test_inputs_are_sixteenths_in_the_unit_interval() -> None:
    _, inputs, _ = digits()
    assert np.array_equal(inputs * 16, np.round(inputs * 16))
    assert inputs.min() == 0.0
    assert inputs.max() == 1.0


def test_weights_are_exact_in_float32() -> None:
    net, _, _ = digits()
    for array in (*net.weights, *net.biases):
        assert np.array_equal(array.astype(np.float32), array)


def test_the_file_is_small_and_a_network_file() -> None:
    with resources.as_file(resources.files("hr2jax.data") / "digits.npz") as path:
        assert path.stat().st_size < 100_000
        with np.load(path) as data:
            assert all(data[key].dtype == np.float32 for key in ("A_1", "b_1", "C", "d", "inputs"))
        assert load(path).hash == digits()[0].hash
