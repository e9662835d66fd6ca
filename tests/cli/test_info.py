"""`hr2jax info`: what was read."""

import numpy as np
import pytest

import hr2jax
from hr2jax.cli.main import main
from hr2jax.layer import Layer

A, b, C = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([0.25, -1.0]), np.array([[1.0, 1.0]])


@pytest.fixture
def chain(tmp_path):
    hr2jax.Network([A, C], [b, np.ones(1)]).save(tmp_path / "net.npz")
    return tmp_path / "net.npz"


def lines(capsys):
    return dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())


def test_values_at_0_and_at_given_inputs(chain, tmp_path, capsys):
    x = np.array([[0.5, -1.0], [3.0, 2.0]])
    np.save(tmp_path / "x.npy", x)
    assert main(["info", str(chain), "--input", str(tmp_path / "x.npy")]) == 0
    said = lines(capsys)
    net = hr2jax.load(chain)
    assert float(said["F(0)"]) == float(net(np.zeros(2))[0]) == 1.25
    assert [float(said[f"F(x_{i})"]) for i in range(2)] == net(x)[:, 0].tolist()
    (tmp_path / "x.csv").write_text("0.5, -1")
    assert main(["info", str(chain), "--input", str(tmp_path / "x.csv")]) == 0
    assert float(lines(capsys)["F(x)"]) == float(net(x[0])[0])


def test_inputs_of_another_size_are_refused(chain, tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros(3))
    assert main(["info", str(chain), "--input", str(tmp_path / "x.npy")]) == 2
    assert "x.npy holds 3 numbers, but inputs of the network have 2" in capsys.readouterr().err


def test_the_layers_of_a_graph(tmp_path, capsys):
    layers = [
        Layer({0: A}, b, "leaky_relu", {"negative_slope": 0.25}),
        Layer({0: (np.eye(2) / 3, np.full((2, 2), 2.0**-56)), 1: A}, b, "identity"),
    ]
    hr2jax.Network.from_layers(layers).save(tmp_path / "net.npz")
    assert main(["info", str(tmp_path / "net.npz")]) == 0
    said = lines(capsys)
    assert said["y_1"] == "2 leaky_relu negative_slope 0.25 of x (4 of 2 x 2)"
    assert said["y_2"] == "= F     2 affine of x (2 of 2 x 2) + y_1 (4 of 2 x 2), enclosed to 1.4e-17"
    assert "within a radius" in said["numbers"]


def test_the_operators_that_layers_were_made_of(tmp_path, capsys):
    pytest.importorskip("onnx")
    from tests.reference.onnx_graphs import double_model

    nodes = [
        ("Conv x K > a", {"pads": [1, 1]}), "BatchNormalization a s s s v > b", "Relu b > c",
        ("MaxPool c > d", {"kernel_shape": [2]}), "Flatten d > e", "Gemm e W > y",
    ]  # fmt: skip
    constants = {"K": np.ones((2, 1, 3)), "s": np.ones(2), "v": np.full(2, 3.0), "W": np.ones((6, 2))}
    graph = double_model(nodes, (1, 1, 4), **constants)
    (tmp_path / "net.onnx").write_bytes(graph.SerializeToString())
    assert main(["info", str(tmp_path / "net.onnx")]) == 0
    said = lines(capsys)
    ends = ["Conv", "BatchNormalization, Relu", "MaxPool", "MaxPool, Flatten, Gemm"]
    for l, end in enumerate(ends, start=1):
        assert said[f"y_{l}"].rsplit("   ", 1)[1] == end, said


def test_of_large_deep_networks_no_derivative_is_bounded(tmp_path, capsys, monkeypatch):
    """Bounds of a convolutional network took minutes, before anything was printed."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=size) for size in ((4, 3), (4, 4), (2, 4))]
    net = hr2jax.Network(weights, [np.ones(len(A)) for A in weights])
    net.save(tmp_path / "net.npz")
    assert main(["info", str(tmp_path / "net.npz")]) == 0
    small = lines(capsys)
    for name in ("relaxation.derivatives.tangent_bounds", "certificate.prover.interval_constant"):
        monkeypatch.setattr(f"hr2jax.{name}", None)
    monkeypatch.setattr("hr2jax.cli.info.BOUNDED_SIZE", 10)
    assert main(["info", str(tmp_path / "net.npz")]) == 0
    large = lines(capsys)
    assert large["memory"] == small["memory"]
    assert small["F_0"].startswith("constant <= ")  # "F_0 <= 40" said it of the output itself
    assert "hr2jax solve" in large["bounds"] and "F_0" not in large
