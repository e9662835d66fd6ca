"""Small networks as their frameworks wrote them: each is read as the function that it is, or refused."""

import json

import numpy as np
import pytest

import hr2jax
from tests.reference.data import shared

# What the index says is to be read, but is refused today, and by which words: smooth activations.
REFUSED = {
    "onnx_gelu.onnx": "its activation gelu is smooth",
    "pt_tanh.pt": "'tanh' is known, but only piecewise linear networks",
    "npz_torch.npz": "'tanh' is known, but only piecewise linear networks",
    "sb3_ppo.pth": "'tanh' is known, but only piecewise linear networks",
}


def test_every_file_is_read_as_what_it_is_or_refused():
    folder = shared("data", "models")
    index = json.loads((folder / "index.json").read_text())["models"]
    assert len(index) >= 25
    with np.load(folder / "inputs_outputs.npz") as arrays:
        points = dict(arrays)
    read = 0
    for entry in index:
        name = entry["file"]
        if name.endswith(".onnx"):
            pytest.importorskip("onnx")
        if entry["verdict"] == "refuses" or name in REFUSED:
            with pytest.raises(ValueError) as caught:
                hr2jax.load(folder / name, **entry["kwargs"])
            said = str(caught.value)
            assert said.startswith(str(folder / name)) and "\n" not in said
            if entry["verdict"] == "refuses":
                assert any(word in said for word in entry["says_one_of"]), said
            else:
                assert caught.match(REFUSED[name])
            continue
        net = hr2jax.load(folder / name, **entry["kwargs"])
        x, y = points[entry["inputs"]], points[entry["outputs"]]
        tolerance = entry["relative_tolerance"]
        ours = net(x.reshape(len(x), -1))
        np.testing.assert_allclose(ours, y.reshape(len(y), -1), rtol=tolerance, atol=tolerance * abs(y).max())
        read += 1
    assert read >= 19


@pytest.mark.parametrize("name", REFUSED)
def test_no_activation_makes_another_network_of_what_is_refused(name):
    """What says itself what it is stays refused whatever the caller says; a state dict is what the caller says."""
    path = shared("data", "models", name)
    if path.suffix == ".onnx":
        pytest.importorskip("onnx")
    if path.suffix in (".onnx", ".nnet"):
        with pytest.raises(ValueError):
            hr2jax.load(path, activation="relu", logits=True)
    else:
        with pytest.raises(ValueError, match=r"activation|not expected"):
            hr2jax.load(path)
