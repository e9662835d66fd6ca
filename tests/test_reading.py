"""Whatever holds a network becomes one, or is refused by its type."""

import subprocess
import sys

import numpy as np
import pytest

import hr2jax
from hr2jax.layer import Layer

A, C = np.array([[1.0, 2.0], [3.0, -1.0]]), np.ones((1, 2))
NET = hr2jax.Network([A, C], [np.zeros(2), np.zeros(1)])


def test_networks_paths_and_pairs(tmp_path):
    NET.save(tmp_path / "net.npz")
    assert hr2jax.as_network(NET) is NET
    for model in (tmp_path / "net.npz", str(tmp_path / "net.npz"), ([A, C], [np.zeros(2), np.zeros(1)])):
        assert hr2jax.as_network(model).hash == NET.hash


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (3, {}, "a pair \\(weights, biases\\), a torch.nn.Module, .* but a int was given"),
        ({"A_1": A}, {}, "but a dict was given"),
        ([A], {}, "but a list was given"),
        (A, {}, "but a numpy.ndarray was given"),
        (([A, C], [np.zeros(2)]), {}, "2 biases are expected"),
        (NET, {"logits": True}, "are of files, but a hr2jax.network.Network was given"),
        (NET, {"activation": "relu"}, "are of files"),
        (NET, {"example": np.zeros((1, 2))}, "example is an input of a module"),
    ],
)
def test_what_holds_none_is_refused_by_its_type(model, options, message):
    with pytest.raises(ValueError, match=message):
        hr2jax.as_network(model, **options)


def test_layers_that_do_not_fit_into_memory_are_refused(tmp_path, monkeypatch):
    def full(layers):
        raise MemoryError("Unable to allocate 8.00 GiB")

    hr2jax.Network.from_layers([Layer({0: A}, np.zeros(2), "abs"), Layer({1: C}, np.zeros(1), "identity")]).save(
        tmp_path / "net.npz"
    )
    monkeypatch.setattr(hr2jax.Network, "from_layers", full)
    with pytest.raises(ValueError, match=r"net.npz: its layers take more memory .*8.00 GiB"):
        hr2jax.load(tmp_path / "net.npz")


def test_torch_is_not_looked_for_where_no_module_was_given():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import hr2jax\n"
        "class Module: pass\n"
        "for model in (Module(), type('Module', (), {'__module__': 'torch.nn.other'})()):\n"
        "    try: hr2jax.as_network(model)\n"
        "    except ValueError as error: assert 'was given' in str(error)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_file_of_keras_without_keras_says_how_to_install_it(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"PK")
    code = (
        "import sys; sys.modules['keras'] = None\n"
        "import hr2jax\n"
        "try: hr2jax.load(sys.argv[1])\n"
        "except ImportError as error: assert 'keras>=3.13' in str(error), error\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "model.keras"], check=True, timeout=60)


def test_what_bounds_takes_a_model_too(tmp_path):
    path = tmp_path / "net.npz"
    NET.save(path)
    bound = hr2jax.solve(NET, relaxation="product", witness=0).bound
    pair = ([A, C], [np.zeros(2), np.zeros(1)])
    for model in (path, str(path), pair):
        assert hr2jax.solve(model, relaxation="product", witness=0).bound == bound
        assert hr2jax.solve_all(model, [0], relaxation="product", witness=0)[0].bound == bound
        best = hr2jax.maximum(model, center=[0.0, 0.0], radius=1.0, relaxation="interval").bound
        assert best == hr2jax.maximum(NET, center=[0.0, 0.0], radius=1.0, relaxation="interval").bound
    two = (([A, np.eye(2)]), [np.zeros(2), np.zeros(2)])
    reports = [hr2jax.certify(m, [[1.0, 0.0]], radii=[0.01], attack_steps=1) for m in (two, hr2jax.Network(*two))]
    assert reports[0].certified.tolist() == reports[1].certified.tolist()
    for call in (hr2jax.solve, hr2jax.solve_all, lambda m: hr2jax.maximum(m, center=[0.0], radius=1.0),
                 lambda m: hr2jax.certify(m, [[0.0]])):  # fmt: skip
        with pytest.raises(ValueError, match=r"a model is a Network, .* but a dict was given"):
            call({"A_1": A})


def test_functions_of_jax_are_solved_with_an_example(tmp_path):
    """solve(f, example=x), and the same of `maximum`, `solve_all`, `certify` and `prove`."""
    import jax.numpy as jnp

    B = np.array([[1.0, 3.0], [-1.0, 2.0]])

    def f(x):
        return jnp.asarray(B) @ jnp.maximum(jnp.asarray(A) @ x, 0.0)

    net, x = hr2jax.Network([A, B], [np.zeros(2), np.zeros(2)]), np.array([0.5, -0.25])
    box = {"center": x, "radius": 0.1}
    assert hr2jax.as_network(f, example=x).hash == net.hash
    assert hr2jax.solve(f, example=x, **box).bound == hr2jax.solve(net, **box).bound
    assert hr2jax.maximum(f, example=x, output=0, **box).bound == hr2jax.maximum(net, output=0, **box).bound
    assert hr2jax.solve_all(f, example=x)[0].bound == hr2jax.solve_all(net)[0].bound
    report = hr2jax.certify(f, x[None], radii=[0.01], example=x)
    assert report.certified.tolist() == hr2jax.certify(net, x[None], radii=[0.01]).certified.tolist()
    text = "".join(f"(declare-const X_{i} Real)(assert (<= X_{i} 1))(assert (>= X_{i} 0))" for i in range(2))
    text += "(declare-const Y_0 Real)(declare-const Y_1 Real)(assert (>= Y_0 1000))"
    (tmp_path / "property.vnnlib").write_text(text)
    assert hr2jax.prove(f, tmp_path / "property.vnnlib", example=x).verdict == "verified"
    for call in (hr2jax.solve, hr2jax.maximum, hr2jax.solve_all):
        with pytest.raises(ValueError, match="not evident; give example="):
            call(f)
        with pytest.raises(ValueError, match="example is an input of a module"):
            call(net, example=x)


@pytest.mark.parametrize(
    ("given", "name", "parameters"),
    [
        ("leaky_relu:0.1", "leaky_relu", {"negative_slope": 0.1}),
        ("leaky_relu", "leaky_relu", {}),
        ("gelu:tanh", "gelu", {"approximate": "tanh"}),
        ("elu:0.5", "elu", {"alpha": 0.5}),
        ("softplus:2", "softplus", {"beta": 2.0}),
    ],
)
def test_an_activation_with_a_parameter(tmp_path, given, name, parameters):
    arrays = {"0.weight": A, "0.bias": np.zeros(2), "2.weight": A, "2.bias": np.zeros(2), "4.weight": C}
    np.savez(tmp_path / "state.npz", **arrays)
    net = hr2jax.load(tmp_path / "state.npz", activation=given)
    assert [(layer.activation, dict(layer.parameters)) for layer in net.layers[:2]] == [(name, parameters)] * 2
    mixed = hr2jax.load(tmp_path / "state.npz", activation=["relu", given])
    assert [layer.activation for layer in mixed.layers] == ["relu", name, "identity"]
    assert dict(mixed.layers[1].parameters) == parameters


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("leaky:0.1", "activation must be among .* but 'leaky:0.1' was given"),
        ("relu:0.1", "relu takes no parameter"),
        ("prelu:0.1", "prelu has a slope for each neuron"),
        ("leaky_relu:", "negative_slope: could not convert"),
        ("leaky_relu:nan", "negative_slope: "),
        ("gelu:fast", "approximate: "),
        ("softplus:0", "beta: "),
    ],
)
def test_an_activation_with_no_such_parameter_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        hr2jax.load("state.npz", activation=given)
