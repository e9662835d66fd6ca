"""Small networks as their frameworks wrote them: each is read as the function that it is, or refused."""

import json

import numpy as np
import pytest

import hr2jax
from tests.reference.data import shared

# Files that say themselves what they are, or are state dicts.
SAID = ("onnx_gelu.onnx", "pt_tanh.pt", "npz_torch.npz", "sb3_ppo.pth")


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
        if entry["verdict"] == "refuses":
            with pytest.raises(ValueError) as caught:
                hr2jax.load(folder / name, **entry["kwargs"])
            said = str(caught.value)
            assert said.startswith(str(folder / name)) and "\n" not in said
            assert any(word in said for word in entry["says_one_of"]), said
            continue
        net = hr2jax.load(folder / name, **entry["kwargs"])
        x, y = points[entry["inputs"]], points[entry["outputs"]]
        tolerance = entry["relative_tolerance"]
        ours = net(x.reshape(len(x), -1))
        np.testing.assert_allclose(ours, y.reshape(len(y), -1), rtol=tolerance, atol=tolerance * abs(y).max())
        read += 1
    assert read >= 23


@pytest.mark.parametrize("name", SAID)
def test_no_activation_makes_another_network_of_a_file(name):
    """What says itself what it is stays that whatever the caller says; a state dict is what the caller says."""
    path = shared("data", "models", name)
    if path.suffix == ".onnx":
        pytest.importorskip("onnx")
    if path.suffix in (".onnx", ".nnet"):
        with pytest.raises(ValueError):
            hr2jax.load(path, activation="relu", logits=True)
    else:
        with pytest.raises(ValueError, match=r"activation|not expected"):
            hr2jax.load(path)


@pytest.mark.parametrize("name", ["mlp_L3_W16", "cnn_C3_CH8"])
def test_networks_whose_graph_normalises_its_weights(name):
    """GLipSDP's scaling study as torch exports it: large weights and their spectral norm's vectors are in the graph."""
    reference = pytest.importorskip("onnx.reference")
    path = shared("data", "peers", "glipsdp", f"{name}.onnx")
    net, evaluator = hr2jax.load(path), reference.ReferenceEvaluator(str(path))
    for x in np.random.default_rng(0).standard_normal((3, 1, 1, 28, 28)).astype(np.float32):
        (y,) = evaluator.run(None, {"input": x})
        np.testing.assert_allclose(net(x.ravel().astype(np.float64)), y.ravel(), atol=1e-6 * abs(y).max())
