import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax.arithmetic.float64 import exact_float64
from hr2jax.layer import Layer
from hr2jax.network import Network
from tests.reference.effort import examples

from .reference.graphs import KINDS, exact_values, jacobian_by_paths, used_layers


def random_network(rng, *widths):
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    return Network([rng.normal(size=s) for s in shapes], [rng.normal(size=s[0]) for s in shapes])


def by_hand(net, x):
    """F(x) neuron by neuron, in Python floats."""
    value = [float(entry) for entry in x]
    for i, (A, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        value = [
            sum(float(a) * v for a, v in zip(row, value, strict=True)) + float(s)
            for row, s in zip(A, b, strict=True)
        ]
        if i < net.depth:
            value = [max(v, 0.0) for v in value]
    return value


# exact_float64


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u1", "i4", "u4", "i8", "u8"])
def test_real_dtypes_are_taken_exactly(dtype):
    given_values = (
        np.array([0, 1, 3, 100], dtype) / np.array(8, dtype)
        if "f" in dtype
        else np.array([0, 1, 3, 100], dtype)
    )
    result = exact_float64(given_values, "A_1", 1)
    assert result.dtype == np.float64
    assert [float(v) for v in given_values] == result.tolist()


def test_float32_keeps_its_own_value():
    assert exact_float64(np.float32([0.1]), "A_1", 1)[0] == float(np.float32(0.1)) != 0.1


@pytest.mark.parametrize(
    "extreme", [np.float16(6e-8), np.float32(1e-45), np.float64(5e-324), np.finfo("f8").max]
)
def test_extremes_are_taken_exactly(extreme):
    assert exact_float64([extreme], "A_1", 1)[0] == float(extreme) != 0


@settings(deadline=None, max_examples=examples(50))
@given(st.integers(-(2**63), 2**63 - 1))
def test_int64_is_taken_exactly_or_refused(value):
    if int(float(value)) == value:
        assert int(exact_float64(np.int64([value]), "A_1", 1)[0]) == value
    else:
        with pytest.raises(ValueError, match="A_1 has dtype int64"):
            exact_float64(np.int64([value]), "A_1", 1)


@pytest.mark.parametrize(
    "value", [np.int64(2**53 + 1), np.int64(-(2**53) - 1), np.uint64(2**64 - 1), np.int64(2**63 - 1)]
)
def test_an_integer_that_float64_rounds_is_refused(value):
    with pytest.raises(ValueError, match="float64 cannot hold exactly"):
        exact_float64([value], "C", 1)


def test_large_integers_that_float64_holds_are_taken():
    assert exact_float64(np.array([2**62, -(2**63)]), "C", 1).tolist() == [2.0**62, -(2.0**63)]


def test_longdouble_is_taken_when_it_is_a_float64_and_refused_otherwise():
    assert exact_float64(np.longdouble([0.1]), "C", 1)[0] == 0.1
    if np.finfo(np.longdouble).nmant > 52:
        for value in (np.longdouble(1) / 3, np.finfo(np.longdouble).max):
            with pytest.raises(ValueError, match=r"C has dtype .* float64 cannot hold exactly"):
                exact_float64(np.array([value]), "C", 1)


@pytest.mark.parametrize(
    "value",
    [[1j], [True], [None], ["1"], [b"1"], np.array([1.0], object), [2**70], np.array(["2020"], "M8[Y]")],
)
def test_what_is_no_real_number_is_refused(value):
    with pytest.raises(ValueError, match=r"b_1 must hold real numbers .* dtype is"):
        exact_float64(value, "b_1", 1)


def test_a_ragged_list_is_refused():
    with pytest.raises(ValueError, match="A_1 must be an array of real numbers"):
        exact_float64([[1.0], [1.0, 2.0]], "A_1", 2)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", np.longdouble])
def test_nan_and_infinity_are_refused(value, dtype):
    with pytest.raises(ValueError, match="d must be finite"):
        exact_float64(np.array([value], dtype), "d", 1)


def test_minus_zero_becomes_zero():
    assert not np.signbit(exact_float64([-0.0, 0.0], "d", 1)).any()


def test_the_result_is_a_copy():
    given_values = np.ones(2)
    exact_float64(given_values, "d", 1)[0] = 7
    assert given_values[0] == 1


# Network


def test_widths_depth_and_repr():
    net = random_network(np.random.default_rng(0), 4, 3, 5, 2)
    assert (net.widths, net.depth, repr(net)) == ((4, 3, 5, 2), 2, "Network(4-3-5-2)")


def test_the_network_does_not_follow_its_arguments_and_cannot_be_written():
    A, b = np.eye(2), np.zeros(2)
    net = Network([A, np.ones((1, 2))], [b, [0.0]])
    A[0, 0] = 9
    assert net.weights[0][0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        net.weights[0][0, 0] = 2


ONES = {
    "A_1": np.ones((3, 2)),
    "b_1": np.ones(3),
    "A_2": np.ones((4, 3)),
    "b_2": np.ones(4),
    "C": np.ones((2, 4)),
    "d": np.ones(2),
}


def build(**changed):
    arrays = ONES | changed
    return Network([arrays[k] for k in ("A_1", "A_2", "C")], [arrays[k] for k in ("b_1", "b_2", "d")])


@pytest.mark.parametrize("layer", ONES)
@pytest.mark.parametrize("entry", [np.nan, np.inf, 1j, 2**53 + 1])
def test_a_bad_entry_names_its_layer(layer, entry):
    bad = ONES[layer].astype(type(entry) if isinstance(entry, complex | int) else float)
    bad.flat[0] = entry
    with pytest.raises(ValueError, match=f"^{layer} "):
        build(**{layer: bad})


@pytest.mark.parametrize("layer", ONES)
def test_a_wrong_rank_names_its_layer(layer):
    with pytest.raises(ValueError, match=f"^{layer} must have [12] dimension"):
        build(**{layer: ONES[layer][None]})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"b_1": np.ones(2)}, r"^b_1 has shape \(2,\), but A_1 has 3 rows"),
        ({"d": np.ones(3)}, r"^d has shape \(3,\), but C has 2 rows"),
        ({"A_2": np.ones((4, 5))}, r"^A_2 has shape \(4, 5\), but the layer before it has 3 outputs"),
        ({"C": np.ones((2, 3))}, r"^C has shape \(2, 3\), but the layer before it has 4 outputs"),
        ({"A_1": np.ones((3, 0))}, r"^A_1 has shape \(3, 0\); every width must be at least 1"),
        ({"C": np.ones((0, 4)), "d": np.ones(0)}, r"^C has shape \(0, 4\)"),
    ],
)
def test_widths_that_do_not_chain_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        build(**changed)


@pytest.mark.parametrize(
    ("weights", "biases", "message"),
    [
        ([], [], "at least one hidden layer, but 0"),
        ([np.ones((1, 2))], [np.ones(1)], "at least one hidden layer, but 1"),
        ([np.ones((1, 1))] * 2, [np.ones(1)], "2 weights were given, so 2 biases are expected, not 1"),
        ("abc", [], "weights must be a list of arrays, but str"),
        ({"A": 1}, [], "weights must be a list of arrays, but dict"),
        (None, [], "weights must be a list of arrays, but NoneType"),
        ([np.ones((1, 1))] * 2, 5, "biases must be a list of arrays, but int"),
    ],
)
def test_lists_that_are_none_are_refused(weights, biases, message):
    with pytest.raises(ValueError, match=message):
        Network(weights, biases)


@pytest.mark.parametrize("widths", [(3, 4, 1), (4, 5, 3, 2), (1, 1, 1), (2, 3, 4, 3, 2)])
def test_evaluation_is_what_the_definition_says(widths):
    rng = np.random.default_rng(1)
    net, x = random_network(rng, *widths), rng.normal(size=(6, widths[0]))
    assert net(x).shape == (6, widths[-1])
    for row, value in zip(x, net(x), strict=True):
        np.testing.assert_allclose(net(row), by_hand(net, row), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(value, net(row), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("widths", [(3, 4, 1), (4, 5, 3, 2), (2, 3, 4, 3, 2)])
def test_the_gradient_is_that_of_finite_differences(widths):
    rng = np.random.default_rng(2)
    net, step = random_network(rng, *widths), 1e-6
    for x in rng.normal(size=(6, widths[0])):  # almost surely further than a step away from every kink
        for output in range(widths[-1]):
            moved = step * np.eye(widths[0])
            slopes = (net(x + moved) - net(x - moved))[:, output] / (2 * step)
            np.testing.assert_allclose(net.gradient(x, output), slopes, rtol=1e-6, atol=1e-7)


def test_the_gradient_is_the_product_of_the_active_rows():
    rng = np.random.default_rng(3)
    net, x = random_network(rng, 4, 5, 3, 2), rng.normal(size=4)
    first = net.weights[0] @ x + net.biases[0]
    second = net.weights[1] @ np.maximum(first, 0) + net.biases[1]
    jacobian = net.weights[2] @ np.diag(second > 0) @ net.weights[1] @ np.diag(first > 0) @ net.weights[0]
    for output in range(2):
        np.testing.assert_allclose(net.gradient(x, output), jacobian[output], rtol=1e-12)


def test_the_gradient_of_a_batch_is_that_of_its_rows():
    rng = np.random.default_rng(4)
    net, x = random_network(rng, 4, 5, 3, 2), rng.normal(size=(7, 4))
    batch = net.gradient(x, 1)
    assert batch.shape == (7, 4)
    np.testing.assert_allclose(batch, [net.gradient(row, 1) for row in x], rtol=1e-12)


def test_the_formal_gradient_takes_the_slope_of_relu_at_zero_to_be_zero():
    net = Network([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    assert net.gradient([0.0]).tolist() == [0.0]
    assert net.gradient([1e-300]).tolist() == [1.0]


@pytest.mark.parametrize("output", [2, -1, True, 0.0, "0", None, (0, 1)])
def test_the_gradient_of_no_output_is_refused(output):
    with pytest.raises(ValueError, match=r"output must be an integer in 0\.\.1"):
        build().gradient([1.0, 1.0], output)


@pytest.mark.parametrize("x", [1.0, [1.0], [1.0] * 3, [[1.0]], [[[1.0, 1.0]]]])
def test_a_point_of_the_wrong_shape_is_refused(x):
    for evaluate in (build(), build().gradient):
        with pytest.raises(ValueError, match=r"x must have shape \(2,\) or \(n, 2\), not"):
            evaluate(x)


def test_the_hash_is_of_the_values_and_the_widths():
    net = build()
    assert net.hash == build(A_1=np.ones((3, 2), np.float32), b_1=[1, 1, 1]).hash
    assert net.hash == build(A_1=np.asfortranarray(ONES["A_1"])).hash
    assert build(d=[0.0, 0.0]).hash == build(d=[-0.0, 0.0]).hash
    changed = [build(**{k: np.nextafter(v, 2)}).hash for k, v in ONES.items()]
    assert len({net.hash, *changed}) == 1 + len(changed)
    # The same numbers in the same order, in other widths.
    one = Network([np.ones((2, 3)), np.ones((1, 2))], [np.ones(2), np.ones(1)])
    other = Network([np.ones((3, 2)), np.ones((1, 3))], [np.ones(3), np.ones(1)])
    assert one.hash != other.hash


@pytest.mark.parametrize(("rows", "layer"), [([[1.0], [2.0, 3.0]], "A_1"), ([[1.0, 2.0], 3.0], "A_1")])
def test_rows_of_unequal_lengths_are_refused_in_one_sentence(rows, layer):
    """NumPy's own explanation (setting an array element ...) stood in brackets in the middle of the message."""
    with pytest.raises(ValueError) as error:
        Network([rows, [[1.0, 1.0]]], [[0.0, 0.0], [0.0]])
    assert str(error.value) == (
        f"{layer} must be an array of real numbers of 2 dimensions, but rows of unequal lengths were given"
    )


def test_points_that_are_no_numbers_are_refused_in_one_sentence():
    net = Network([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    for x in ([[1.0], [1.0, 2.0]], "one", {"x": 1}):
        with pytest.raises(ValueError, match=r"^x must hold numbers and have shape \(1,\)") as error:
            net(x)
        assert "\n" not in str(error.value)


def test_bfloat16_is_a_real_dtype():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    A = np.array([[1.5, -2.0]]).astype(ml_dtypes.bfloat16)
    net = Network([A, [[1.0]]], [[0.0], [0.0]])
    assert net.weights[0].dtype == np.float64
    assert net.weights[0].tolist() == [[1.5, -2.0]]


def test_complex_points_are_refused():
    net = Network([np.eye(2), [[1.0, 1.0]]], [np.zeros(2), [0.0]])
    for call in (net, net.gradient):
        with pytest.raises(ValueError, match="x must hold numbers"):
            call(np.array([1.0 + 1j, 0.0]))


# Layers


def test_the_layers_are_the_chain_and_share_its_arrays():
    net = build()
    assert [(list(layer.inputs), layer.activation) for layer in net.layers] == [
        ([0], "relu"), ([1], "relu"), ([2], "identity"),
    ]  # fmt: skip
    for l, layer in enumerate(net.layers):
        assert layer.inputs[l] is net.weights[l]
        assert layer.bias is net.biases[l]


def test_a_network_of_layers_is_the_chain_that_they_are(tmp_path):
    net = random_network(np.random.default_rng(5), 3, 4, 2, 2)
    names = ("relu", "relu", "identity")
    layers = [Layer({l: net.weights[l]}, net.biases[l], name) for l, name in enumerate(names)]
    same = Network.from_layers(layers)
    assert (same.hash, same.widths, same.depth) == (net.hash, net.widths, net.depth)
    assert same.weights[1] is layers[1].inputs[1]
    assert Network.from_layers(net.layers).hash == net.hash
    for each, name in ((net, "a.npz"), (same, "b.npz")):
        each.save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


OUTPUT = Layer({1: [[1.0]]}, [0.0], "identity")


def test_activations_are_given_by_name():
    A, b = [[1.0, 2.0]], [0.5]
    net = Network([A, [[1.0]], [[3.0]]], [b, [0.0], [0.0]], activation=["tanh", "leaky_relu"])
    assert [layer.activation for layer in net.layers] == ["tanh", "leaky_relu", "identity"]
    assert Network([A, [[3.0]]], [b, [0.0]], "tanh").hash != Network([A, [[3.0]]], [b, [0.0]], "erf").hash
    assert Network([A, [[3.0]]], [b, [0.0]], activation="relu").is_chain
    with pytest.raises(ValueError, match=r"^activation 2 must be one of identity, relu, .*, but 'tanhh' was given$"):
        Network([A, [[1.0]], [[3.0]]], [b, [0.0], [0.0]], activation=["tanh", "tanhh"])
    with pytest.raises(ValueError, match=r"^activation must be a name, or one for each of 1 hidden layers, not 2"):
        Network([A, [[3.0]]], [b, [0.0]], activation=["tanh", "tanh"])


@pytest.mark.parametrize("activation", [5, None])
def test_an_activation_that_is_no_name_is_refused_as_such(activation):
    with pytest.raises(ValueError, match=r"^activation must be a name or a list of names, but (int|NoneType) was"):
        Network([np.ones((1, 1))] * 2, [np.ones(1)] * 2, activation=activation)


def test_what_a_smooth_activation_takes_is_part_of_the_hash():
    def net(**parameters):
        return Network.from_layers([Layer({0: [[1.0]]}, [0.0], "softplus", parameters), OUTPUT])

    assert net().hash == net(beta=1.0, threshold=20.0).hash
    assert len({net().hash, net(beta=2.0).hash, net(threshold=2.0).hash}) == 3
    with pytest.raises(ValueError, match=r"^softplus's beta must be above 0, but -1 was given$"):
        net(beta=-1.0)


def general(seed, **options):
    rng = np.random.default_rng(seed)
    layers = used_layers(rng, int(rng.integers(1, 6)), activations=KINDS, **options)
    return Network.from_layers(layers), rng


@pytest.mark.parametrize("seed", range(20))
def test_a_general_network_is_its_layers(seed, tmp_path):
    net, rng = general(seed)
    assert net.widths == (net.layers[0].inputs[0].shape[1], *(layer.width for layer in net.layers))
    for x in rng.integers(-3, 4, size=(3, net.widths[0])).astype(float):
        assert net(x).tolist() == [float(v) for v in exact_values(net.layers, x)[len(net.layers)][1]]
        jacobian = jacobian_by_paths(net.layers, x)
        assert net.jacobian(x).tolist() == jacobian.tolist()
        assert net.gradient(x, net.widths[-1] - 1).tolist() == jacobian[-1].tolist()
    net.save(tmp_path / "net.npz")
    again = hr2jax.load(tmp_path / "net.npz")
    assert again.hash == net.hash
    assert [repr(layer) for layer in again.layers] == [repr(layer) for layer in net.layers]
    assert pickle.loads(pickle.dumps(net)).hash == net.hash


def test_an_affine_network_has_its_matrix_as_jacobian_everywhere():
    C = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 1.0]])
    through = [Layer({0: np.eye(3)}, np.ones(3), "identity"), Layer({1: C}, np.zeros(2), "identity")]
    for net in (Network.from_layers([Layer({0: C}, np.zeros(2), "identity")]), Network.from_layers(through)):
        assert net.jacobian(np.zeros((4, 3))).tolist() == [C.tolist()] * 4
        assert net.jacobian(np.zeros(3)).tolist() == C.tolist()
        assert net.gradient(np.zeros((4, 3)), 1).tolist() == [C[1].tolist()] * 4


def test_only_a_chain_of_relus_has_weights():
    net = Network.from_layers([Layer({0: [[1.0]]}, [0.0], "abs"), OUTPUT])
    for name in ("weights", "biases"):
        with pytest.raises(ValueError, match=rf"only a chain of ReLU layers has {name}; .* Network\(1-1-1, abs\)"):
            getattr(net, name)


def relu_chain(A, activation="relu", parameters=None, bias=(0.0,), C=((1.0,),)):
    return Network.from_layers([Layer({0: A}, bias, activation, parameters or {}), Layer({1: C}, [0.0], "identity")])


def test_every_part_of_a_general_network_is_in_its_hash():
    A, skip = np.array([[1.0, 0.0]]), Layer({0: [[1.0, 0.0]], 1: [[1.0]]}, [0.0], "identity")
    nets = [
        relu_chain(A), relu_chain(A, "abs"), relu_chain(A, "leaky_relu"), relu_chain(A, "identity"),
        relu_chain(A, "leaky_relu", {"negative_slope": 0.0}), relu_chain(A, "leaky_relu", {"negative_slope": 0.02}),
        relu_chain(A, "prelu", {"weight": [0.01]}), relu_chain((A, A)), relu_chain((A, 2 * A)),
        relu_chain(A, bias=([0.0], [1.0])), relu_chain(A, C=(np.ones((1, 1)), np.ones((1, 1)))),
        relu_chain(A, "abs", bias=[1.0]), relu_chain(A[:, ::-1], "abs"), relu_chain(2 * A, "abs"),
        relu_chain([[1.0]], "abs"), relu_chain([[1.0, 0.0, 0.0]], "abs"),
        Network.from_layers([Layer({0: A}, [0.0]), skip]), Network.from_layers([Layer({0: A}, [0.0], "identity")]),
    ]  # fmt: skip
    assert len({net.hash for net in nets}) == len(nets)


def test_the_hash_of_a_sparse_matrix_is_that_of_the_dense_one():
    A = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 2.0]])
    for activation in ("relu", "abs"):
        given = A, sp.csr_array(A), sp.coo_array(A)
        nets = [relu_chain(M, activation, bias=np.zeros(3), C=np.ones((1, 3))) for M in given]
        assert len({net.hash for net in nets}) == 1
    assert nets[0].is_chain is False
    chain = relu_chain(sp.csr_array(A), bias=np.zeros(3), C=np.ones((1, 3)))
    assert chain.hash == Network([A, np.ones((1, 3))], [np.zeros(3), np.zeros(1)]).hash
    assert chain.weights[0].tolist() == A.tolist()


def test_radii_and_sparse_matrices_come_back_from_a_file(tmp_path):
    A = sp.csr_array(np.array([[1.0, 0.0], [0.0, 2.0]]))
    layers = [
        Layer({0: (A, 0.5 * A)}, ([1.0, 2.0], [0.0, 0.5]), "prelu", {"weight": [0.5, 0.25]}),
        Layer({0: A, 1: np.eye(2)}, [0.0, 1.0], "identity"),
    ]
    net = Network.from_layers(layers)
    net.save(tmp_path / "net.npz")
    again = hr2jax.load(tmp_path / "net.npz")
    assert again.hash == net.hash
    assert again.layers[0].radii[0].toarray().tolist() == [[0.5, 0.0], [0.0, 1.0]]
    assert again.layers[0].bias_radius.tolist() == [0.0, 0.5]
    assert again.layers[1].inputs[0].nnz == 2


def test_a_file_of_a_general_network_that_is_damaged_is_refused(tmp_path):
    net, _ = general(3)
    net.save(tmp_path / "net.npz")
    whole = dict(np.load(tmp_path / "net.npz"))
    assert not {"A_1", "C", "c"} & {*whole}
    changes = {key: None for key in whole if ":parameter:" not in key} | {
        "extra": np.zeros(1), "1:extra": np.zeros(1), "99:bias": np.zeros(1), "hr2jax_network": np.array(3),
        "1:activation": np.array("softmax"), "1:0": np.zeros(3), "1:bias": np.array([np.nan]), "1:7": np.zeros((1, 1)),
        "1:0:data": np.zeros(1), "1:bias:radius": -np.ones(net.widths[1]),
    }  # fmt: skip
    for key, value in changes.items():
        changed = {name: array for name, array in {**whole, key: value}.items() if array is not None}
        np.savez(tmp_path / "changed.npz", **changed)
        with pytest.raises(ValueError, match=r"changed\.npz: "):
            hr2jax.load(tmp_path / "changed.npz")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (OUTPUT, "layers must be a list of Layers, but a single Layer was given"),
        (None, "layers must be a list of arrays, but NoneType was given"),
        ([OUTPUT], "layer 1 takes layer 1"),
        (
            [Layer({0: [[1.0]]}, [0.0]), Layer({0: [[1.0]]}, [0.0]), OUTPUT],
            "layer 2 feeds no other layer and is not the last one, so leave it out",
        ),
        ([Layer({0: [[1.0]]}, [0.0]), Layer({1: [[1.0]]}, [0.0])], "layer 2 is the output, whose activation must be"),
    ],
)
def test_layers_that_make_no_network_are_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        Network.from_layers(layers)


@pytest.mark.parametrize("widths", [(3, 4, 1), (4, 5, 3, 2), (2, 3, 4, 3, 5)])
def test_the_jacobian_has_the_gradients_as_rows(widths):
    rng = np.random.default_rng(6)
    net, x = random_network(rng, *widths), rng.normal(size=(7, widths[0]))
    assert net.jacobian(x[0]).shape == (widths[-1], widths[0])
    assert net.jacobian(x).shape == (7, widths[-1], widths[0])
    for row, batch in zip(x, net.jacobian(x), strict=True):
        gradients = [net.gradient(row, k) for k in range(widths[-1])]
        np.testing.assert_allclose(net.jacobian(row), gradients, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(batch, gradients, rtol=1e-12, atol=1e-12)


def test_a_pickled_network_is_the_same():
    net = random_network(np.random.default_rng(7), 3, 4, 2)
    again = pickle.loads(pickle.dumps(net))
    assert again.hash == net.hash
    assert again([1.0, 2.0, 3.0]).tolist() == net([1.0, 2.0, 3.0]).tolist()
