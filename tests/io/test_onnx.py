import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax.network import Network
from tests.reference.data import shared
from tests.reference.effort import examples
from tests.reference.exact_layers import exact as exact_of
from tests.reference.exact_layers import members_at

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

RNG = np.random.default_rng(0)
W1, B1 = RNG.standard_normal((4, 3)).astype("f4"), RNG.standard_normal(4).astype("f4")
W2, B2 = RNG.standard_normal((2, 4)).astype("f4"), RNG.standard_normal(2).astype("f4")
CONSTANTS = {
    "W1": W1,
    "b1": B1,
    "W2": W2,
    "b2": B2,
    "W1T": W1.T,
    "W2T": W2.T,
    "two": np.array(2, "f4"),
    "three": np.array(3, "f4"),
    "half": np.array([0.5], "f4"),
    "shift": np.array([1, 2, 3], "f4"),
    "twos": np.array([2, 4, -0.5, 8], "f4"),
    "flat": np.array([1, -1], "i8"),
    "zero_flat": np.array([0, -1], "i8"),
    "rows": np.array([3, 1], "i8"),
    "axes": np.array([0], "i8"),
    "last": np.array([2], "i8"),
    "first": np.array(0, "i8"),
    "minus": np.array([-1], "i8"),
    "ints": np.array([1, 2, 3, 4], "i4"),
    "ones": np.ones(4, "f4"),
    "zeros": np.zeros(4, "f4"),
    "var": np.array([0.25, 1, 4, 16], "f4"),
    "mean": np.array([1, -2, 0.5, 0], "f4"),
    "perm": np.eye(4, dtype="f4")[[2, 0, 3, 1]],
}
FIRST = ("Gemm x W1 b1 > h", {"transB": 1})
LAST = ("Gemm r W2 b2 > y", {"transB": 1})


def model(*nodes, shape=("N", 3), outputs=("y",), constants=None, opset=15, inputs=None):
    """A graph from lines such as "Gemm x W b > y", or pairs of such a line and attributes."""
    constants = CONSTANTS | (constants or {})
    made, used = [], set()
    for line, found in (n if isinstance(n, tuple) else (n, {}) for n in nodes):
        left, right = line.split(" > ")
        op, *reads = left.split()
        used |= set(reads)
        made.append(
            helper.make_node(op, ["" if r == "_" else r for r in reads], right.split(), name=f"n{len(made)}", **found)
        )
    kinds = inputs or [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outs = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs]
    tensors = [
        v if isinstance(v, TensorProto) else numpy_helper.from_array(np.ascontiguousarray(v).reshape(np.shape(v)), k)
        for k, v in constants.items()
        if k in used
    ]
    return helper.make_model(
        helper.make_graph(made, "g", kinds, outs, tensors), opset_imports=[helper.make_opsetid("", opset)], ir_version=8
    )


def write(folder, graph, name="net.onnx"):
    path = folder / name
    path.write_bytes(graph if isinstance(graph, bytes) else graph.SerializeToString())
    return path


def agree(folder, graph, shape=(1, 3), inputs="x"):
    """The loaded network, after comparing it with ONNX's own reference evaluator."""
    net = hr2jax.load(write(folder, graph))
    evaluator = ReferenceEvaluator(graph)
    for _ in range(5):
        x = np.random.default_rng().standard_normal(shape).astype("f4")
        expected = np.concatenate([v.ravel() for v in evaluator.run(None, {inputs: x})])
        np.testing.assert_allclose(net(x.ravel().astype(float)), expected, rtol=1e-4, atol=1e-5)
    return net


@pytest.mark.parametrize(("name", "widths"), [("256x2", (784, 256, 256, 10)), ("256x4", (784, 256, 256, 256, 256, 10))])
def test_the_networks_of_the_competition(name, widths):
    path = shared("data", "onnx", f"mnist-net_{name}.onnx")
    net = hr2jax.load(path)
    assert net.widths == widths
    evaluator = ReferenceEvaluator(onnx.load(path))
    for seed in range(5):
        x = np.random.default_rng(seed).random((1, 784, 1)).astype("f4")
        (expected,) = evaluator.run(None, {"0": x})
        assert abs(net(x.ravel().astype(float)) - expected.ravel()).max() <= 1e-4 * abs(expected).max()


PLAIN = Network([W1, W2], [B1, B2])


@pytest.mark.parametrize(
    "nodes",
    [
        (FIRST, "Relu h > r", LAST),
        ("MatMul x W1T > m", "Add b1 m > h", "Relu h > r", "MatMul r W2T > k", "Add k b2 > y"),
        (("Transpose W1 > t", {"perm": [1, 0]}), "Gemm x t b1 > h", "Relu h > r", LAST),
        (
            "Identity x > i",
            ("Flatten i > f", {"axis": 1}),
            ("Gemm f W1 b1 > h", {"transB": 1}),
            "Relu h > r",
            "Dropout r > e m",
            ("Gemm e W2 b2 > y", {"transB": 1}),
        ),
        (FIRST, "Relu h > q", "Relu q > r", LAST),
        (FIRST, "Relu h > r", LAST, "Gemm r W1 > unused"),
    ],
)
def test_ways_to_write_the_same_network(tmp_path, nodes):
    graph = model(*nodes[:-1]) if "unused" in nodes[-1] else model(*nodes)
    assert agree(tmp_path, graph).hash == PLAIN.hash


@pytest.mark.parametrize("shape", [(1, 3), ("N", 3), (None, 3), (1, 3, 1), (1, 1, 3), ("N", 1, 1, 3), (3,), (3, 1)])
def test_shapes_of_the_input(tmp_path, shape):
    graph = model("Reshape x flat > f", ("Gemm f W1 b1 > h", {"transB": 1}), "Relu h > r", LAST, shape=shape)
    assert agree(tmp_path, graph, tuple(n if isinstance(n, int) else 1 for n in shape)).hash == PLAIN.hash


FLAT = ("Reshape x flat > f", ("Gemm f W1 b1 > h", {"transB": 1}), "Relu h > r", LAST)


@pytest.mark.parametrize("shape", [None, ("N", "M"), ("N", "M", 1), ("N", 1, "M"), ("N", "C", "H", 1), (1, 3)])
def test_an_example_says_what_the_graph_does_not(tmp_path, shape):
    path = write(tmp_path, model(*FLAT, shape=shape))
    example = np.zeros({None: (1, 3), ("N", "C", "H", 1): (1, 1, 3, 1)}.get(shape, (1, 3, 1, 1)[: len(shape or ())]))
    if shape == ("N", 1, "M"):
        example = np.zeros((1, 1, 3))
    assert hr2jax.load(path, example=example).hash == PLAIN.hash
    if shape != (1, 3):
        with pytest.raises(ValueError, match=r"example=, or --example 1,3,32,32"):
            hr2jax.load(path)


@pytest.mark.parametrize(
    ("shape", "example", "words"),
    [
        ((1, 3), (1, 4), r"example has the shape \(1, 4\), which is 4 numbers, but the network has 3 inputs"),
        ((1, 3), (2, 3), "6 numbers"),
        (("N", "M"), (2, 3), r"has the shape \[1, None\], None being unknown, but the example's is \(2, 3\)"),
        (("N", "M"), (3,), "None being unknown"),
        (("N", "C", 3), (1, 1, 4), "None being unknown"),
        (("N", "M"), (1, 2**62), "memory|numbers|limit|too"),
    ],
)
def test_an_example_that_contradicts_the_graph_is_refused(tmp_path, shape, example, words):
    path = write(tmp_path, model(*FLAT, shape=shape))
    with pytest.raises(ValueError, match=words):
        hr2jax.load(path, example=np.broadcast_to(0.0, example))


def test_operations_on_shapes(tmp_path):
    graph = model(
        "Shape x > s",
        "Gather s first > n",
        "Unsqueeze n axes > u",
        ("Concat u minus > t", {"axis": 0}),
        "Reshape x t > f",
        "Unsqueeze f last > w",
        ("Transpose w > v", {"perm": [0, 2, 1]}),
        "Squeeze v axes > q",
        "Reshape q zero_flat > p",
        ("Cast p > c", {"to": TensorProto.DOUBLE}),
        ("Cast c > e", {"to": TensorProto.FLOAT}),
        ("Gemm e W1 b1 > h", {"transB": 1}),
        "Relu h > r",
        LAST,
        shape=("N", 3, 1),
    )
    assert agree(tmp_path, graph, (1, 3, 1)).hash == PLAIN.hash


def test_matrices_on_the_left_of_a_column(tmp_path):
    graph = model("MatMul W1 x > h", "Relu h > r", ("Gemm W2T r > y", {"transA": 1}), shape=(3, 1))
    assert agree(tmp_path, graph, (3, 1)).hash == Network([W1, W2], [B1 * 0, B2 * 0]).hash
    graph = model("MatMul W1 x > h", "Relu h > r", "MatMul W2 r > y", shape=(3,))
    assert agree(tmp_path, graph, (3,)).hash == Network([W1, W2], [B1 * 0, B2 * 0]).hash


def test_every_float_type_and_constants_in_nodes(tmp_path):
    for code, dtype in ((TensorProto.FLOAT16, "f2"), (TensorProto.DOUBLE, "f8"), (TensorProto.BFLOAT16, "f4")):
        cut = W1.astype(dtype)
        if code == TensorProto.BFLOAT16:
            cut = (W1.view("u4") & 0xFFFF0000).view("f4")
        node = ("Constant > W", {"value": helper.make_tensor("W", code, [4, 3], cut.ravel().tolist())})
        graph = model(
            node, ("Cast W > V", {"to": TensorProto.DOUBLE}), ("Gemm x V > h", {"transB": 1}), "Relu h > r", LAST
        )
        net = hr2jax.load(write(tmp_path, graph))
        assert net.weights[0].tolist() == cut.astype(float).tolist()


def test_gemm_multiplies_exactly(tmp_path):
    graph = model(("Gemm x W1 b1 > h", {"transB": 1, "alpha": 0.3, "beta": 0.7}), "Relu h > r", LAST)
    net = agree(tmp_path, graph)
    alpha, beta = (Fraction(float(np.float32(v))) for v in (0.3, 0.7))
    assert all(
        Fraction(a) == alpha * Fraction(float(w)) for a, w in zip(net.weights[0].ravel(), W1.ravel(), strict=True)
    )
    assert all(Fraction(a) == beta * Fraction(float(w)) for a, w in zip(net.biases[0], B1, strict=True))


FOLDS = {
    "powers of two": (FIRST, "Mul h twos > a", "Div a two > b", "Neg b > c", "Relu c > r", LAST),
    "a bias after": ("MatMul x W1T > m", "Add m shift4 > a", "Sub a mean > h", "Relu h > r", LAST),
    "from a constant": ("MatMul x W1T > m", "Sub shift4 m > h", "Relu h > r", LAST),
    "a permutation": (FIRST, "MatMul h perm > p", "Relu p > r", LAST),
    "input scaled": ("Mul x two > a", "Div a half > b", ("Gemm b W1 b1 > h", {"transB": 1}), "Relu h > r", LAST),
    "input shifted": ("Sub x shift > a", ("Gemm a integers > h", {"transB": 1}), "Relu h > r", LAST),
    "constants": ("Mul ones two > a", "Add a mean > b", "MatMul x W1T > m", "Add m b > h", "Relu h > r", LAST),
    "output scaled": (FIRST, "Relu h > r", ("Gemm r W2 b2 > k", {"transB": 1}), "Mul k two > y"),
    "after a ReLU": (FIRST, "Relu h > q", "Mul q twos > s", "Sub s mean > t", "Relu t > r", LAST),
    "ends in ReLU": (FIRST, "Relu h > q", ("Gemm q W2 b2 > k", {"transB": 1}), "Relu k > y"),
    "batch norm": (
        FIRST,
        ("BatchNormalization h ones mean zeros var > a", {"epsilon": 0.0}),
        "Relu a > q",
        ("BatchNormalization q twos mean mean ones > r", {"epsilon": 0.0}),
        ("Gemm r W2 > y", {"transB": 1}),
    ),
    "integers cast": (
        ("Cast ints > c", {"to": TensorProto.FLOAT}),
        FIRST,
        "Mul h two > a",
        "Relu a > q",
        "Add q c > b",
        "Relu b > r",
        LAST,
    ),
}
MORE = {"shift4": np.array([1, 0.5, 0, -2], "f4"), "integers": np.arange(12, dtype="f4").reshape(4, 3)}


@pytest.mark.parametrize("name", FOLDS)
def test_exact_folds(tmp_path, name):
    constants = MORE | ({"W2": W2.astype("f2").astype("f4")} if name == "batch norm" else {})
    agree(tmp_path, model(*FOLDS[name], constants=constants))


def test_folds_are_the_exact_composition(tmp_path):
    net = hr2jax.load(write(tmp_path, model(*FOLDS["powers of two"])))
    scale = -np.array([2, 4, -0.5, 8]) / 2
    assert net.weights[0].tolist() == (W1.astype(float) * scale[:, None]).tolist()
    assert net.biases[0].tolist() == (B1.astype(float) * scale).tolist()
    net = hr2jax.load(write(tmp_path, model(*FOLDS["ends in ReLU"])))
    assert net.weights[-1].tolist() == np.eye(2).tolist() and net.biases[-1].tolist() == [0, 0] and net.depth == 2


TINY = {"tiny": np.full(4, 1e-30, "f4"), "mean3": np.array([0.1307], "f4")}


@pytest.mark.parametrize(
    ("nodes", "layers"),
    [
        ((FIRST, "Add h tiny > s", "Relu s > r", LAST), ["identity", "relu", "identity"]),
        ((FIRST, "Div h three > s", "Relu s > r", LAST), ["identity", "relu with radii", "identity"]),
        (
            ("Sub x mean3 > a", ("Gemm a W1 b1 > h", {"transB": 1}), "Relu h > r", LAST),
            ["identity", "relu", "identity"],
        ),
        (
            ("Div x three > a", ("Gemm a W1 b1 > h", {"transB": 1}), "Relu h > r", LAST),
            ["identity with radii", "relu", "identity"],
        ),
        (
            (FIRST, "BatchNormalization h ones mean zeros var > s", "Relu s > r", LAST),
            ["identity", "relu with radii", "identity"],
        ),
        ((FIRST, "Gemm h perm2 > s", "Relu s > r", LAST), ["identity", "relu", "identity"]),
    ],
)
def test_folds_that_would_round_stay_two_maps(tmp_path, nodes, layers):
    graph = model(*nodes, constants=TINY | {"perm2": RNG.standard_normal((4, 4)).astype("f4")})
    net = agree(tmp_path, graph)
    assert [layer.activation + " with radii" * layer.has_radii for layer in net.layers] == layers


@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_a_chain_is_the_exact_composition_or_encloses_it(tmp_path_factory, data):
    """Random affine chains: the layers in rational arithmetic are what the nodes say in rational arithmetic."""
    entries = st.one_of(st.integers(-4, 4).map(float), st.floats(-8, 8, width=16), st.floats(-8, 8, width=32))
    nodes, constants, value = [], {}, "x"
    linear, shift = np.array([[Fraction(i == j) for j in range(3)] for i in range(3)]), np.array([Fraction(0)] * 3)
    for i in range(data.draw(st.integers(1, 4))):
        op = data.draw(st.sampled_from(["MatMul", "Add", "Sub", "Mul", "Div"]))
        size = (3, 3) if op == "MatMul" else (3,)
        c = np.reshape(data.draw(st.lists(entries, min_size=3 ** len(size), max_size=3 ** len(size))), size)
        if op == "Div":
            c = np.where(c == 0, 1.0, c)
        exact = np.vectorize(Fraction, otypes=[object])(c)
        if op == "MatMul":
            linear, shift = exact.T.dot(linear), exact.T.dot(shift)
        elif op in ("Mul", "Div"):
            f = exact if op == "Mul" else 1 / exact
            linear, shift = f[:, None] * linear, f * shift
        else:
            shift = shift + (exact if op == "Add" else -exact)
        constants[f"c{i}"] = c
        nodes.append(f"{op} {value} c{i} > v{i}")
        value = f"v{i}"
    inputs = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ("N", 3))]
    graph = model(*nodes, f"Relu {value} > y", constants=constants, inputs=inputs)
    net = hr2jax.load(write(tmp_path_factory.getbasetemp(), graph, "chain.onnx"))
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(3)
        low, high = members_at(net.layers, x)
        truth = linear.dot(exact_of(x)) + shift
        assert (low <= np.maximum(truth, 0)).all() and (np.maximum(truth, 0) <= high).all()
        if not any(layer.has_radii for layer in net.layers):
            assert (low == high).all()
    if [layer.activation for layer in net.layers] == ["relu", "identity"] and not net.layers[0].has_radii:
        assert [[Fraction(v) for v in row] for row in net.weights[0].tolist()] == linear.tolist()
        assert [Fraction(v) for v in net.biases[0].tolist()] == shift.tolist()


def test_several_inputs_and_outputs(tmp_path):
    two = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ("N", 3)) for n in ("x", "z")]
    with pytest.raises(ValueError, match="the graph has the inputs 'x' and 'z', but only networks with one input"):
        hr2jax.load(write(tmp_path, model(FIRST, "Relu h > r", LAST, inputs=two)))
    graph = model(FIRST, "Relu h > r", LAST, "Mul y two > k", outputs=("y", "k", "r"))
    net = agree(tmp_path, graph)
    assert net.weights[1].tolist() == np.vstack([W2, 2 * W2, np.eye(4)]).tolist()
    initializer_too = [*two[:1], helper.make_tensor_value_info("W1", TensorProto.FLOAT, (4, 3))]
    assert hr2jax.load(write(tmp_path, model(FIRST, "Relu h > r", LAST, inputs=initializer_too))).hash == PLAIN.hash


def changed(graph, change):
    change(graph)
    return graph


def external(graph):
    graph.graph.initializer[0].data_location = TensorProto.EXTERNAL
    graph.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")


def initializer(**fields):
    def change(graph):
        for name, value in fields.items():
            if name == "dims":
                graph.graph.initializer[0].dims[:] = value
            else:
                setattr(graph.graph.initializer[0], name, value)

    return change


GOOD = (FIRST, "Relu h > r", LAST)
X3 = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ("N", 3)) for n in ("x", "z")]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (changed(model(*GOOD), external), "in '/etc/passwd', and only a file in the model's folder"),
        (changed(model(*GOOD), initializer(dims=[10**9, 10**9])), "does not hold as many numbers"),
        (changed(model(*GOOD), initializer(dims=[-1, 3])), "has the shape"),
        (changed(model(*GOOD), initializer(dims=[4, 2])), "is damaged"),
        (changed(model(*GOOD), initializer(data_type=TensorProto.STRING)), "is of data type 8"),
        (changed(model(*GOOD), initializer(data_type=99)), "is of data type 99"),
        (changed(model(*GOOD), initializer(data_type=TensorProto.INT8)), r"3 \(INT8\).*a quantised network rounds"),
        (changed(model(*GOOD), initializer(data_type=TensorProto.INT32)), "tensor of floats was expected"),
        (changed(model(*GOOD), initializer(raw_data=np.full((4, 3), np.nan, "f4").tobytes())), "must be finite"),
        (changed(model(*GOOD), initializer(name="b1")), "already taken"),
        (model(FIRST, "Relu r > r", LAST), r"node 1 \(Relu 'n1'\) reads 'r', which nothing before it gives"),
        (model("Relu b > a", "Relu a > b", "Relu b > y"), "reads 'b', which nothing before it gives"),
        (model("Gemm x missing b1 > h", "Relu h > y"), "reads 'missing'"),
        (model("Gemm x > h", "Relu h > y"), "has 1 inputs, but 2 to 3 are expected"),
        (model(*GOOD, outputs=("z",)), "the output 'z' is not computed"),
        (model(*GOOD, outputs=()), "no output"),
        (model(*GOOD, opset=5), "operator set 5, but sets from 6 to"),
        (model(*GOOD, opset=99), "operator set 99, but sets from 6 to"),
        (model(FIRST, "Relu h > r", LAST, "Gemm r W1 > h"), "node 3"),
        (model("Conv x W1 > h", "Relu h > y"), r"\(batch, channels, ...\) was expected"),
        (model("MaxPool x > h", "Relu h > y"), r"\(batch, channels, ...\) was expected"),
        (model("MaxPool x > h", "Relu h > y", shape=(1, 2, 3)), "does not say its kernel_shape"),
        (model(*GOOD, "Softmax y > s", outputs=("s",)), r"ends in node 3 \(Softmax 'n3'\), .* logits=True"),
        (model("Mul x x > y"), "multiplies two values that the network computes"),
        (model(FIRST, "MatMul h h > y"), "multiplies two values that the network computes"),
        (model("Gemm x W1 b1 > h", "Relu h > y"), r"shapes \(1, 3\) and \(4, 3\) cannot be multiplied"),
        (
            model(("Gemm x W1 b1 > h", {"transB": 1, "broadcast": 1}), "Relu h > y"),
            "attribute 'broadcast' is not expected",
        ),
        (model(("Gemm x W1 b1 > h", {"transB": 1.0}), "Relu h > y"), "'transB' must be an integer"),
        (model(("Gemm x W1 b1 > h", {"transB": 1, "alpha": [1]}), "Relu h > y"), "node 0"),
        (model(FIRST, "Div two h > y"), "divides by what the network computes"),
        (model("Gemm x x > y"), "multiplies two values that the network computes"),
        (model(FIRST, ("Cast h > r", {"to": TensorProto.INT64}), LAST), "not a float"),
        (model(("Transpose x > t", {"perm": [0, 2, 2]}), "Relu t > y", shape=("N", 3, 2)), "are not those of a tensor"),
        (model("LSTM x W1 b1 > y"), r"\(LSTM 'n0'\) is not read: it multiplies values that the network computes"),
        (model("LayerNormalization x ones > y", opset=17), "divides by what the network computes; BatchNorm"),
        (model("Gelu x > y", opset=19), "is no operator of the operator set 19"),
        (model(*GOOD, shape=(64, 3)), "a batch of 1"),
        (model(*GOOD, shape=(0, 3)), "empty dimension"),
        (model(*GOOD, shape=("N", "M")), "unknown"),
        (model(*GOOD, shape=None), "does not say its shape"),
        (model("Flatten x > y", shape=("N", 10**9)), "at most"),
        (model("Relu x > y", shape=(10**12, 10**12)), "at most"),
        (model("Reshape x rows > t", "Relu t > y", shape=(1, 6)), "cannot take the shape"),
        (
            model(*GOOD, inputs=[helper.make_tensor_value_info("x", TensorProto.INT64, (1, 3))]),
            "not a tensor of floats",
        ),
        (
            model("MatMul x W1T > h", "Relu h > r", "MatMul z W1T > k", "Relu k > s", "Add r s > y", inputs=X3),
            "the inputs 'x' and 'z'",
        ),
        (b"PK\x03\x04 not a graph at all", "not a whole ONNX file|not an ONNX model"),
        (b"\x00" * 64, "not a whole ONNX file|not an ONNX model"),
    ],
)
def test_what_is_refused(tmp_path, graph, message):
    path = write(tmp_path, graph)
    with pytest.raises(ValueError, match=message) as caught:
        hr2jax.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


DAMAGED = model(
    "Sub x shift > a",
    ("Flatten a > f", {"axis": 1}),
    ("Gemm f integers > h", {"transB": 1}),
    "Mul h twos > m",
    "Relu m > q",
    ("BatchNormalization q twos mean mean ones > r", {"epsilon": 0.0}),
    "Shape r > s",
    "Reshape r s > t",
    ("Gemm t V b2 > y", {"transB": 1}),
    constants=MORE | {"V": np.arange(8, dtype="f4").reshape(2, 4)},
).SerializeToString()


@settings(deadline=None, max_examples=examples(200))
@given(
    st.lists(st.tuples(st.integers(0, len(DAMAGED) - 1), st.binary(max_size=2)), max_size=3),
    st.integers(0, len(DAMAGED)),
)
@pytest.mark.parametrize("cuts", [False, True])
def test_damaged_files_only_raise_value_error(tmp_path_factory, cuts, changes, cut):
    data = bytearray(DAMAGED)
    for at, new in changes:
        data[at : at + 1] = new
    path = write(tmp_path_factory.getbasetemp(), bytes(data[:cut] if cuts else data), "fuzz.onnx")
    try:
        hr2jax.load(path)
    except ValueError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, model(*GOOD))
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match='pip install "onnx>='):
        hr2jax.load(path)


def test_a_signalling_nan_is_refused_without_a_warning(tmp_path):
    bad = np.full((4, 3), 0x7F800001, "u4").tobytes()
    with pytest.raises(ValueError, match="must be finite"):
        hr2jax.load(write(tmp_path, changed(model(*GOOD), initializer(raw_data=bad))))


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_what_comes_before_the_end_is_read_where_logits_are_asked_for(tmp_path, end):
    found = {} if end == "Sigmoid" else {"axis": -1}
    before = (*GOOD[:-1], ("Gemm r W2 b2 > k", {"transB": 1}))
    for after in ([(f"{end} k > y", found)], [(f"{end} k > s", found), "Squeeze s axes > y"]):
        path = write(tmp_path, model(*before, *after))
        with pytest.raises(ValueError, match=rf"ends in node 3 \({end} 'n3'\), .* logits=True \(--logits\) reads what"):
            hr2jax.load(path)
        assert hr2jax.load(path, logits=True).hash == PLAIN.hash
    path = write(tmp_path, model(*GOOD))
    assert hr2jax.load(path, logits=True, activation="relu").hash == PLAIN.hash


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ((*GOOD, "Softmax y > s", "Mul s two > t"), ("t",), r"node 4 .* uses what node 3 \(Softmax.*a Softmax, which"),
        ((*GOOD, "Softmax y > s"), ("y", "s"), "of 2 outputs others may be the logits"),
    ],
)
def test_logits_are_what_comes_before_the_end_only(tmp_path, nodes, outputs, message):
    with pytest.raises(ValueError, match=message):
        hr2jax.load(write(tmp_path, model(*nodes, outputs=outputs)), logits=True)


def test_a_graph_says_its_activations_and_their_order(tmp_path):
    path = write(tmp_path, model(*GOOD))
    for options, message in (
        ({"activation": "tanh"}, "activation says tanh, but the graph has relu"),
        ({"layers": ["r"]}, "a graph says itself in which order"),
    ):
        with pytest.raises(ValueError, match=message):
            hr2jax.load(path, **options)


def beside(folder, **changed):
    """The plain network with W1 in a file beside it."""
    graph = model(*GOOD)
    (folder / "w.data").write_bytes(b"12345678" + W1.tobytes())
    entry = next(t for t in graph.graph.initializer if t.name == "W1")
    entry.ClearField("raw_data")
    entry.data_location = TensorProto.EXTERNAL
    for key, value in ({"location": "w.data", "offset": "8", "length": "48"} | changed).items():
        if value is not None:
            entry.external_data.add(key=key, value=value)
    return write(folder, graph)


def test_weights_in_a_file_beside_the_model(tmp_path):
    assert hr2jax.load(beside(tmp_path)).hash == PLAIN.hash
    assert hr2jax.load(beside(tmp_path, length=None)).hash == PLAIN.hash


def test_a_link_out_of_the_models_folder_is_not_followed(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = beside(folder)
    (folder / "w.data").rename(tmp_path / "w.data")
    (folder / "w.data").symlink_to(tmp_path / "w.data")
    with pytest.raises(ValueError, match=r"'w.data', which cannot be read .it is a link to"):
        hr2jax.load(path)
    (folder / "w.data").unlink()
    (tmp_path / "w.data").rename(folder / "inside.data")
    (folder / "w.data").symlink_to("inside.data")
    assert hr2jax.load(path).hash == PLAIN.hash
    (tmp_path / "linked").symlink_to(folder)  # the folder itself may be reached by a link
    assert hr2jax.load(tmp_path / "linked" / path.name).hash == PLAIN.hash


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"location": "../w.data"}, "only a file in the model's folder is read"),
        ({"location": None}, "only a file in the model's folder is read"),
        ({"location": ".."}, "only a file in the model's folder is read|is a directory"),
        ({"location": "gone.data"}, "'gone.data', which cannot be read"),
        ({"offset": "9"}, "56 bytes are there, but not the 48 of its shape"),
        ({"offset": "-8"}, "56 bytes are there, but not"),
        ({"offset": "9" * 30}, "56 bytes are there, but not"),
        ({"length": "44"}, "56 bytes are there, but not"),
        ({"key": "value"}, "only a file in the model's folder is read"),
    ],
)
def test_a_file_beside_the_model_that_does_not_hold_the_weights_is_refused(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message) as caught:
        hr2jax.load(beside(tmp_path, **changed))
    assert str(caught.value).startswith(str(tmp_path / "net.onnx")) and "\n" not in str(caught.value)


def test_silu_and_softsign_as_graphs_write_them(tmp_path):
    """x sigmoid(x) and x / (1 + |x|) of one x; of two, or of another constant, they are refused."""
    x = np.random.default_rng(0).standard_normal((20, 3)) * 3.0
    one, two = {"one": np.ones(1, "f4")}, {"one": np.full(1, 2.0, "f4")}
    for nodes, function in ((("Sigmoid x > s", "Mul s x > y"), lambda x: x / (1 + np.exp(-x))),
                            (("Abs x > a", "Add one a > b", "Div x b > y"), lambda x: x / (1 + abs(x)))):  # fmt: skip
        (tmp_path / "net.onnx").write_bytes(model(*nodes, constants=one).SerializeToString())
        net = hr2jax.load(tmp_path / "net.onnx")
        assert np.allclose(net(x), function(x), rtol=1e-12) and len(net.layers) == 2
    for nodes, constants in ((("Neg x > n", "Sigmoid n > s", "Mul s x > y"), one),
                             (("Abs x > a", "Add one a > b", "Div x b > y"), two),
                             (("Neg x > n", "Abs n > a", "Add one a > b", "Div x b > y"), one)):  # fmt: skip
        (tmp_path / "net.onnx").write_bytes(model(*nodes, constants=constants).SerializeToString())
        with pytest.raises(ValueError, match="computes"):
            hr2jax.load(tmp_path / "net.onnx")


def test_gelu_as_graphs_write_it(tmp_path):
    """x (1 + erf(x / c)) / 2 in the orders that exporters write, of whatever c, and a quick GELU."""
    root, other = np.full(1, np.sqrt(2), "f4"), np.full(1, 0.75, "f4")
    constants = {"one": np.ones(1, "f4"), "half": np.full(1, 0.5, "f4"), "c": root, "k": np.full(1, 1.702, "f4")}
    erf = np.vectorize(math.erf)
    x = np.random.default_rng(0).standard_normal((20, 3)) * 3.0
    forms = {
        ("Div x c > d", "Erf d > e", "Add e one > f", "Mul x f > g", "Mul g half > y"): (1 / root, 0.5),
        ("Mul x c > d", "Erf d > e", "Add one e > f", "Mul f x > g", "Mul half g > y"): (root, 0.5),
        ("Mul half x > h", "Div x c > d", "Erf d > e", "Add e one > f", "Mul h f > y"): (1 / root, 0.5),
        ("Div x c > d", "Erf d > e", "Add e one > f", "Mul f half > g", "Mul x g > y"): (1 / root, 0.5),
        ("Div x c > d", "Erf d > e", "Add e one > f", "Mul d f > y"): (1 / root, 1 / root),
        ("Mul x half > h", "Erf h > e", "Add e one > f", "Mul x f > y"): (0.5, 1.0),
    }
    for values in (root, other):
        for nodes, (inside, outside) in forms.items():
            inside, outside = (  # noqa: PLW2901
                values.astype(float) if v is root else 1 / values.astype(float) if np.ndim(v) else v
                for v in (inside, outside)
            )
            graph = model(*nodes, constants=constants | {"c": values})
            (tmp_path / "net.onnx").write_bytes(graph.SerializeToString())
            net = hr2jax.load(tmp_path / "net.onnx")
            assert np.allclose(net(x), outside * x * (1 + erf(inside * x)), rtol=1e-12, atol=1e-14)
            assert [layer.activation for layer in net.layers].count("gelu") == 1
            assert "erf" not in [layer.activation for layer in net.layers]
    graph = model("Mul x k > d", "Sigmoid d > s", "Mul x s > y", constants=constants)
    (tmp_path / "net.onnx").write_bytes(graph.SerializeToString())
    k = float(np.float32(1.702))
    assert np.allclose(hr2jax.load(tmp_path / "net.onnx")(x), x / (1 + np.exp(-k * x)), rtol=1e-12)
    for nodes in (
        ("Div x c > d", "Erf d > e", "Add e k > f", "Mul x f > y"),  # k + erf
        ("Div x c > d", "Erf d > e", "Sub e one > f", "Mul x f > y"),
        ("Div x c > d", "Erf d > e", "Add e one > f", "Add x one > h", "Mul h f > y"),  # (1 + x) (1 + erf)
        ("Div x c > d", "Tanh d > e", "Add e one > f", "Mul x f > y"),
    ):
        (tmp_path / "net.onnx").write_bytes(model(*nodes, constants=constants).SerializeToString())
        with pytest.raises(ValueError, match="multiplies two values that the network computes"):
            hr2jax.load(tmp_path / "net.onnx")
