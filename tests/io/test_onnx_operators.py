"""Every operator of ONNX that is read, in the operator sets that say it differently, against ONNX's own evaluator."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import defs  # noqa: E402

from hr2jax.io.onnx import read  # noqa: E402, F401  (fills RULES)
from hr2jax.io.onnx.rules import RULES  # noqa: E402
from tests.reference.onnx_graphs import check, double_model, loaded  # noqa: E402

RNG = np.random.default_rng(0)


def draw(*shape):
    return np.round(RNG.standard_normal(shape), 3)


def i8(*values):
    return np.array(values, dtype=np.int64)


C = {
    "M": draw(3, 4), "row": draw(3), "col": draw(3, 1), "half": np.array(0.5), "third": np.array(3.0),
    "stack": draw(2, 3, 4), "left": draw(4, 2), "four": draw(4), "K1": draw(4, 2, 3), "K2": draw(4, 2, 3, 2),
    "KG": draw(4, 1, 3, 3), "KT": draw(2, 3, 3, 2), "KTG": draw(4, 1, 2, 3), "B4": draw(4), "B3": draw(3),
    "B2": draw(2), "scale": draw(2), "bias": draw(2), "mean": draw(2), "var": abs(draw(2)) + 0.1,
    "s1": np.array([0.25]), "s2": draw(2, 1, 1), "sfull": draw(2, 5, 4), "schannel": draw(2),
    "lo": np.array(-0.5), "hi": np.array(1.25), "big": np.array(3.5e38), "no": np.array(False), "yes": np.array(True),
    "i0": i8(0), "i1": i8(1), "i2": i8(2), "i01": i8(0, 1), "im1": i8(-1), "scalar1": np.array(1, np.int64),
    "i23": i8(2, 3), "sizes": i8(1, 3, 1), "starts": i8(3, -1), "ends": i8(-100, 0), "axes": i8(2, 1),
    "steps": i8(-2, -1), "pads": i8(0, 1, 2, 0, 0, 1), "crop": i8(0, 0, -1, 0, 2, -1), "pads4": i8(1, 2, 0, 1),
    "grid": np.array([[0, 2], [-1, 1]], np.int64), "to": i8(0, -1), "to2": i8(5, 4, -1), "shape3": i8(2, 5, 4),
    "mask": np.array([[True, False, True, False]]), "repeats": i8(1, 2, 1), "fill": np.array(0.75),
}  # fmt: skip
IMG = (1, 2, 5, 4)
PLACES = "coordinate_transformation_mode"
# line, attributes, shape of x, operator sets
CASES = [
    ("Gemm x M row > y", {"transB": 1, "alpha": 0.75, "beta": -2.0}, (1, 4), (7, 9, 11, 13)),
    ("Gemm x M > y", {"alpha": 0.1}, (1, 3), (11, 13)),
    ("Gemm x M row > y", {"transA": 1, "transB": 1}, (4, 1), (7, 13)),
    ("Gemm M x col > y", {"beta": 0.5}, (4, 2), (7, 13)),
    ("Gemm left x > y", {"transA": 1, "transB": 1}, (3, 4), (11, 13)),
    ("MatMul x M > y", {}, (1, 3), (6, 9, 13)),
    ("MatMul x M > y", {}, (3,), (13,)),
    ("MatMul M x > y", {}, (4,), (13,)),
    ("MatMul x row > y", {}, (2, 3), (13,)),
    ("MatMul row x > y", {}, (2, 3, 4), (13,)),
    ("MatMul x stack > y", {}, (2, 3), (13,)),
    ("MatMul x stack > y", {}, (3, 1, 2, 3), (13,)),
    ("MatMul stack x > y", {}, (4, 2), (13,)),
    ("MatMul stack x > y", {}, (2, 4, 1), (13,)),
    ("MatMul row x > y", {}, (3,), (13,)),
    ("Einsum x M > y", {"equation": "ij,jk->ki"}, (2, 3), (12, 13)),
    ("Einsum x M > y", {"equation": " i j , j k "}, (2, 3), (12,)),
    ("Einsum M x > y", {"equation": "...j,...j->...j"}, (2, 3, 4), (12,)),
    ("Einsum stack x row > y", {"equation": "bij,bij,i->jb"}, (2, 3, 4), (12,)),
    ("Einsum x four > y", {"equation": "bij,k->k"}, (2, 3, 4), (12,)),
    ("Einsum stack x > y", {"equation": "bij,bjk->bik"}, (2, 4, 2), (12,)),
    ("Einsum x > y", {"equation": "iij->ji"}, (3, 3, 2), (12,)),
    ("Einsum x > y", {"equation": "...ij->...ji"}, (1, 2, 3), (12,)),
    ("Einsum x > y", {"equation": "ij->"}, (2, 3), (12,)),
    ("Einsum half x > y", {"equation": ",ij->ij"}, (2, 3), (12,)),
    ("Add x col > y", {}, (1, 4), (7, 13, 14)),
    ("Add row x > y", {}, (2, 3), (7, 14)),
    ("Sub x M > y", {}, (4,), (7, 14)),
    ("Sub M x > y", {}, (1, 3, 1), (7, 14)),
    ("Mul x row > y", {}, (2, 3), (7, 13, 14)),
    ("Mul half x > y", {}, (2, 3), (7, 14)),
    ("Div x third > y", {}, (2, 3), (7, 13, 14)),
    ("Div x M > y", {}, (3, 1), (7, 14)),
    ("Neg x > y", {}, (2, 3), (6, 13)),
    ("Sum x row x > y", {}, (2, 3), (8, 13)),
    ("Mean x row x > y", {}, (2, 3), (8, 13)),
    ("Identity x > y", {}, (2, 3), (6, 14, 16)),
    ("Dropout x > y mask", {"ratio": 0.3}, (2, 3), (7, 10)),
    ("Dropout x half no > y", {}, (2, 3), (12, 13, 22)),
    ("Cast x > y", {"to": 11}, (2, 3), (9, 13, 19, 28)),
    ("Flatten x > y", {"axis": 2}, IMG, (6, 9, 13, 25)),
    ("Flatten x > y", {"axis": 0}, IMG, (6, 13)),
    ("Flatten x > y", {"axis": -1}, IMG, (11, 13)),
    ("Reshape x to > y", {}, IMG, (6, 13, 14, 25)),
    ("Reshape x to2 > y", {"allowzero": 0}, IMG, (14,)),
    ("Squeeze x > y", {"axes": [0]}, IMG, (6, 11)),
    ("Squeeze x > y", {"axes": [-4]}, IMG, (11,)),
    ("Squeeze x i0 > y", {}, IMG, (13, 25)),
    ("Squeeze x > y", {}, (1, 2, 1, 3), (6, 13)),
    ("Unsqueeze x > y", {"axes": [0, 3]}, (2, 3), (6, 11)),
    ("Unsqueeze x i01 > y", {}, (2, 3), (13, 25)),
    ("Transpose x > y", {"perm": [2, 0, 3, 1]}, IMG, (6, 13, 25)),
    ("Transpose x > y", {}, (2, 3, 4), (13,)),
    ("Slice x > y", {"starts": [1, -3], "ends": [100, -1], "axes": [2, 3]}, IMG, (6,)),
    ("Slice x > y", {"starts": [0, 1], "ends": [1, 2]}, (2, 3), (6,)),
    ("Slice x starts ends axes steps > y", {}, (2, 5, 4), (10, 11, 13)),
    ("Slice x i1 i2 > y", {}, (2, 3), (10, 13)),
    ("Slice x i1 i2 im1 > y", {}, (2, 3), (11, 13)),
    ("Gather x i01 > y", {"axis": 2}, IMG, (6, 11, 13)),
    ("Gather x grid > y", {"axis": -1}, IMG, (11, 13)),
    ("Gather x scalar1 > y", {"axis": 1}, IMG, (11, 13)),
    ("Split x > y z w", {"axis": 2, "split": [1, 3, 1]}, IMG, (6, 11)),
    ("Split x > y z", {"axis": -1}, IMG, (11, 13)),
    ("Split x sizes > y z w", {"axis": 2}, IMG, (13, 18)),
    ("Split x > y z w", {"axis": 2, "num_outputs": 3}, IMG, (18,)),
    ("Concat x x x > y", {"axis": 1}, IMG, (6, 11, 13)),
    ("Concat x row > y", {"axis": -1}, (4,), (11, 13)),
    ("Expand x shape3 > y", {}, (2, 1, 4), (8, 13)),
    ("Tile x repeats > y", {}, (2, 1, 4), (6, 13)),
    ("Where mask x half > y", {}, (3, 1), (9, 16)),
    ("Where mask row3 x > y", {}, (3, 1), (16,)),
    ("Pad x > y", {"pads": [0, 1, 2, 0, 0, 1], "value": 0.75}, (2, 5, 4), (6,)),
    ("Pad x > y", {"pads": [0, 1, 2, 0, 0, 1], "mode": "reflect"}, (2, 5, 4), (6,)),
    ("Pad x pads fill > y", {}, (2, 5, 4), (11, 13, 18, 25)),
    ("Pad x pads > y", {"mode": "edge"}, (2, 5, 4), (11, 19)),
    ("Pad x pads > y", {"mode": "reflect"}, (2, 5, 4), (11, 19)),
    ("Pad x pads > y", {"mode": "wrap"}, (2, 5, 4), (19, 25)),
    ("Pad x pads4 fill i23n > y", {}, IMG, (18, 25)),
    ("ReduceMean x > y", {"axes": [2, 3]}, IMG, (6, 11, 13)),
    ("ReduceMean x > y", {"keepdims": 0}, (2, 3), (6, 13)),
    ("ReduceMean x i23 > y", {"keepdims": 0}, IMG, (18,)),
    ("ReduceMean x > y", {"noop_with_empty_axes": 1}, IMG, (18,)),
    ("ReduceSum x > y", {"axes": [-1]}, (2, 3), (11,)),
    ("ReduceSum x i1 > y", {"keepdims": 0}, (2, 3), (13,)),
    ("ReduceMax x > y", {"axes": [1, -1]}, (2, 5, 3), (11, 13)),
    ("ReduceMax x i1 > y", {"keepdims": 0}, (2, 5, 3), (18, 20)),
    ("ReduceMin x i1 > y", {}, (2, 5, 3), (18, 20)),
    ("Relu x > y", {}, (2, 3), (6, 13, 14)),
    ("LeakyRelu x > y", {"alpha": 0.3}, (2, 3), (6, 16)),
    ("LeakyRelu x > y", {}, (2, 3), (6, 16)),
    ("LeakyRelu x > y", {"alpha": -1.5}, (2, 3), (16,)),
    ("Tanh x > y", {}, (2, 3), (6, 13)),
    ("Softplus x > y", {}, (2, 3), (6, 22)),
    ("Softsign x > y", {}, (2, 3), (6, 22)),
    ("Elu x > y", {"alpha": 1.5}, (2, 3), (6, 22)),
    ("Celu x > y", {"alpha": 0.75}, (2, 3), (12,)),
    ("Selu x > y", {}, (2, 3), (6, 22)),
    ("Selu x > y", {"alpha": 1.25, "gamma": 0.3}, (2, 3), (6, 22)),
    ("Swish x > y", {}, (2, 3), (24,)),
    ("Swish x > y", {"alpha": -0.3}, (2, 3), (24,)),
    ("Erf x > y", {}, (2, 3), (9, 13)),
    ("Atan x > y", {}, (2, 3), (7, 22)),
    ("Mish x > y", {}, (2, 3), (18, 22)),
    ("HardSwish x > y", {}, (2, 3), (14, 22)),
    ("Gelu x > y", {}, (2, 3), (20,)),
    ("Gelu x > y", {"approximate": "tanh"}, (2, 3), (20,)),
    ("PRelu x s1 > y", {}, (1, 2, 5, 4), (6, 7, 9, 16)),
    ("PRelu x s2 > y", {}, IMG, (7, 9, 16)),
    ("PRelu x sfull > y", {}, IMG, (7, 16)),
    ("Abs x > y", {}, (2, 3), (6, 13)),
    ("Clip x > y", {"min": -0.5, "max": 1.25}, (2, 3), (6,)),
    ("Clip x > y", {"max": 1.25}, (2, 3), (6,)),
    ("Clip x > y", {}, (2, 3), (6, 11)),
    ("Clip x lo hi > y", {}, (2, 3), (11, 12, 13)),
    ("Clip x _ hi > y", {}, (2, 3), (11, 13)),
    ("Clip x lo > y", {}, (2, 3), (11, 13)),
    ("Clip x lo big > y", {}, (2, 3), (13,)),
    ("HardSigmoid x > y", {}, (2, 3), (6, 22)),
    ("HardSigmoid x > y", {"alpha": 0.5, "beta": 0.25}, (2, 3), (6, 22)),
    ("Max x row half > y", {}, (2, 3), (8, 12, 13)),
    ("Min row x > y", {}, (2, 3), (8, 12, 13)),
    ("Max x > y", {}, (2, 3), (6, 13)),
    ("TopK x k3 > y mask", {"axis": 1}, (2, 5, 3), (10, 11, 24)),
    ("TopK x k5 > y mask", {"axis": -2, "largest": 0}, (2, 5, 3), (11, 24)),
    ("Conv x K1 B4 > y", {"kernel_shape": [3], "strides": [2], "pads": [2, 1]}, (1, 2, 7), (6, 11, 22)),
    ("Conv x K2 > y", {"dilations": [2, 3], "pads": [1, 2, 3, 0]}, IMG, (6, 11, 22)),
    ("Conv x K2 B4 > y", {"auto_pad": "SAME_UPPER", "strides": [2, 3]}, IMG, (6, 11, 22)),
    ("Conv x K2 B4 > y", {"auto_pad": "SAME_LOWER", "strides": [2, 3]}, IMG, (6, 11, 22)),
    ("Conv x K2 B4 > y", {"auto_pad": "VALID"}, IMG, (6, 22)),
    ("Conv x KG B4 > y", {"group": 2, "pads": [1, 1, 1, 1]}, IMG, (6, 22)),
    ("ConvTranspose x KT B3 > y", {"strides": [2, 1], "pads": [1, 0, 0, 1], "output_padding": [1, 0]}, IMG, (6, 11)),
    ("ConvTranspose x KT > y", {"dilations": [1, 2], "strides": [3, 2]}, IMG, (6, 11)),
    ("AveragePool x > y", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 0]}, IMG, (7, 10, 11, 19, 22)),
    ("AveragePool x > y", {"kernel_shape": [3, 2], "strides": [2, 1]}, IMG, (6, 7, 22)),
    ("AveragePool x > y", {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0], "count_include_pad": 1}, IMG, (7, 10, 19, 22)),
    ("AveragePool x > y", {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1}, IMG, (10, 19, 22)),
    ("AveragePool x > y", {"kernel_shape": [2, 2], "dilations": [2, 1]}, IMG, (19, 22)),
    ("AveragePool x > y", {"kernel_shape": [2, 3], "auto_pad": "SAME_UPPER"}, IMG, (7, 11, 22)),
    ("AveragePool x > y", {"kernel_shape": [2, 3], "auto_pad": "SAME_LOWER"}, IMG, (7, 11, 22)),
    ("GlobalAveragePool x > y", {}, IMG, (6, 22)),
    ("GlobalMaxPool x > y", {}, IMG, (6, 22)),
    ("MaxPool x > y", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 0]}, IMG, (6, 8, 10, 12, 22)),
    ("MaxPool x > y", {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1}, IMG, (10, 11, 22)),
    ("MaxPool x > y", {"kernel_shape": [2, 2], "dilations": [2, 1]}, IMG, (10, 12, 22)),
    ("MaxPool x > y", {"kernel_shape": [3], "auto_pad": "SAME_UPPER", "strides": [2]}, (1, 2, 6), (8, 22)),
    ("DepthToSpace x > y", {"blocksize": 2}, (1, 8, 2, 3), (6, 11, 13)),
    ("DepthToSpace x > y", {"blocksize": 2, "mode": "CRD"}, (1, 8, 2, 3), (11, 13)),
    ("SpaceToDepth x > y", {"blocksize": 2}, (1, 2, 4, 6), (6, 13)),
    ("SpaceToDepth x > y", {"blocksize": 2, "mode": "CRD"}, (1, 2, 4, 6), (28,)),
    ("CumSum x axis1 > y", {}, (2, 5, 3), (11, 14)),
    ("CumSum x last > y", {"exclusive": 1, "reverse": 1}, (2, 5, 3), (11, 14)),
    ("Upsample x twice > y", {"mode": "nearest"}, IMG, (9,)),
    ("Upsample x > y", {"mode": "linear", "scales": [1.0, 1.0, 2.0, 1.5]}, IMG, (7,)),
    ("Resize x none twice > y", {}, IMG, (11, 13, 18, 19)),
    ("Resize x none twice > y", {"mode": "linear", "exclude_outside": 1}, IMG, (11, 13, 18, 19)),
    ("Resize x none odd > y", {"mode": "linear"}, IMG, (11, 13, 19)),
    ("Resize x none none seven > y", {"nearest_mode": "floor", PLACES: "half_pixel"}, IMG, (13, 19)),
    ("Resize x none none seven > y", {"mode": "linear", PLACES: "align_corners"}, IMG, (11, 19)),
    ("Resize x none none seven > y", {"mode": "linear", PLACES: "asymmetric"}, IMG, (11, 19)),
    ("Resize x none none ones > y", {"mode": "linear", PLACES: "pytorch_half_pixel"}, IMG, (11, 19)),
    ("Resize x _ _ width > y", {"mode": "linear", "axes": [3]}, IMG, (18, 19)),
    ("Resize x _ _ width > y", {"nearest_mode": "ceil", "axes": [3], PLACES: "half_pixel_symmetric"},
     IMG, (19,)),
    ("BatchNormalization x scale bias mean var > y", {"epsilon": 0.01}, IMG, (7, 9, 14, 15)),
    ("BatchNormalization x scale bias mean var > y", {}, (1, 2), (9, 15)),
]  # fmt: skip
# What the evaluator of onnx 1.23 and onnxruntime compute differently; the newer sets' values are those of both.
EVALUATED_WRONGLY = {("BatchNormalization", 7), ("BatchNormalization", 9)}
IN_FLOAT32 = ("Erf", "HardSwish", "Gelu")  # what the evaluator computes or rounds so
C["k3"], C["k5"] = i8(3), i8(5)
C["twice"], C["seven"], C["ones"] = np.array([1.0, 1.0, 2.0, 3.0]), i8(1, 2, 7, 3), i8(1, 2, 1, 1)
C["width"], C["odd"] = i8(2), np.array([1.0, 1.0, 1.7, 1.0])
C["axis1"], C["last"] = np.array(1, np.int64), np.array(-1, np.int64)
C["long"], C["larger"] = i8(1, 1, 100_000, 1), i8(1, 2, 10**9, 10**9)
C["below"] = np.array([1.0, 1.0, float(np.float32(0.7)), 1.0])
C["none"], C["border"], C["smaller"] = np.zeros(0), i8(1, 1, 7, 1), np.array([1.0, 1.0, 0.75, 1.0])
C["row3"], C["i23n"] = draw(3, 4), i8(2, -1)


@pytest.mark.parametrize(("line", "attributes", "shape", "opsets"), CASES, ids=lambda v: str(v).replace(" ", "_")[:60])
def test_an_operator_is_what_onnx_says(tmp_path, line, attributes, shape, opsets):
    outputs = [name for name in line.split(" > ")[1].split() if name != "mask"]
    values = []
    for opset in opsets:
        graph = double_model([(line, attributes)], shape, opset, outputs, **C)
        try:
            net = loaded(tmp_path, graph) if (line.split()[0], opset) in EVALUATED_WRONGLY else check(
                tmp_path, graph, shape, tolerance=1e-6 if line.startswith(IN_FLOAT32) else 1e-9
            )
        except (NotImplementedError, onnx.defs.SchemaError, TypeError) as error:  # the evaluator's
            assert opset < 12, error
            net = loaded(tmp_path, graph)
        values.append(net(np.arange(np.prod(shape)) / 7 - 1))
    assert all((value == values[-1]).all() for value in values)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_the_first_resize_is_asymmetric(tmp_path, mode):
    """Operator set 10 has no word for its places, and the evaluator does not compute it; set 13 says them."""
    words = {"mode": mode, PLACES: "asymmetric", "nearest_mode": "floor"}
    first = loaded(tmp_path, double_model([("Resize x twice > y", {"mode": mode})], IMG, 10, ["y"], **C))
    again = loaded(tmp_path, double_model([("Resize x none twice > y", words)], IMG, 13, ["y"], **C))
    assert first.hash == again.hash


# What graphs make of weights before they take them: spectral, weight and other normalisations.
WEIGHTS = [
    ["MatMul M four > a", "MatMul row a > b", "Div M b > W"],
    ["MatMul M left > a", "MatMul stack left > b", "ReduceSum b i0 > c", "Div a c > d", "MatMul d leftT > W"],
    ["ReduceL2 M i1 > a", "Div M a > W"],
    ["ReduceL1 M i0 > a", "Sqrt a > b", "Div M b > W"],
    ["ReduceSumSquare M i01 > a", "Pow a power > b", "Mul M b > W"],
    ["Exp col > a", "Mul M a > W"],
    ["Pow M two > W"],
    ["ReduceL2 M > a", "Pow a three > b", "Div M b > W"],
    ["Reciprocal M > a", "Abs a > b", "ReduceL1 b i1 > c", "Div b c > W"],
]
C |= {"power": np.array(-0.5), "two": np.array(2.0), "three": i8(3).reshape(()), "leftT": draw(2, 4)}


@pytest.mark.parametrize("lines", WEIGHTS, ids=lambda lines: lines[0].split()[0] + lines[-1].split()[0])
def test_weights_that_the_graph_computes(tmp_path, lines):
    """Torch's exporter leaves the norms of large weights in the graph: GLipSDP's mlp_L3_W16 was refused."""
    graph = double_model([*((line, {}) for line in lines), ("MatMul W x > y", {})], (4,), 18, ["y"], **C)
    net = check(tmp_path, graph, (4,), tolerance=1e-12)
    assert net.has_radii or "two" in lines[0]  # what had to be rounded has a radius
    for layer in net.layers:
        assert all(radius.max() <= 1e-12 * np.abs(layer.inputs[k]).max() for k, radius in layer.radii.items())


def test_a_sigmoid_within_and_a_softplus_beyond_the_threshold_of_torch(tmp_path):
    """ONNX's softplus has no threshold; a sigmoid at the end would be one of the logits."""
    nodes = [("Sigmoid x > s", {}), ("Mul s row > t", {}), ("Softplus t > y", {})]
    check(tmp_path, double_model(nodes, (2, 3), 13, ["y"], **C), (2, 3))
    net = loaded(tmp_path, double_model([("Softplus x > y", {})], (1, 2), 13, ["y"], **C))
    x = np.array([20.5, 30.0])
    assert (net(x) == x + np.log1p(np.exp(-x))).all() and net(x)[0] > 20.5


# What the evaluator does not know or computes differently from onnxruntime, against another way to say the same.
IMG4 = (1, 4, 3, 2)
C["first"], C["second"], C["bfirst"], C["bsecond"] = C["KTG"][:2], C["KTG"][2:], C["B2"][:1], C["B2"][1:]
C["column"], C["planes"] = C["row"][:, None], C["schannel"].reshape(2, 1, 1)
SAME = [
    (6, [("Add x four > y", {"broadcast": 1})], ["Add x four > y"], (2, 3, 4)),
    (6, [("Sub x row > y", {"broadcast": 1, "axis": 1})], ["Sub x column > y"], (2, 3, 4)),
    (6, [("Mul x schannel > y", {"broadcast": 1, "axis": 0})], ["Mul x planes > y"], (2, 3, 4)),
    (6, [("Div x four > y", {"broadcast": 1, "axis": -1})], ["Div x four > y"], (2, 3, 4)),
    (6, [("Gemm x M row > y", {"transB": 1, "broadcast": 1})], [("Gemm x M row > y", {"transB": 1})], (1, 4)),
    (6, ["PRelu x schannel > y"], ["PRelu x planes > y"], IMG),
    (6, [("Dropout x > y", {"is_test": 1})], ["Dropout x > y"], (2, 3)),
    (6, [("BatchNormalization x scale bias mean var > y", {"is_test": 1})],
     ["BatchNormalization x scale bias mean var > y"], IMG),
    (11, [("ConvTranspose x KT > y", {"output_shape": [7, 4], "dilations": [2, 2]})],
     [("ConvTranspose x KT > y", {"pads": [1, 1, 1, 1], "dilations": [2, 2]})], IMG),
    (11, [("ConvTranspose x KTG B2 > y", {"group": 2})],
     [("Split x > a b", {"axis": 1}), "ConvTranspose a first bfirst > c", "ConvTranspose b second bsecond > d",
      ("Concat c d > y", {"axis": 1})], IMG4),
    (13, ["Pad x crop fill > y"], ["Slice x i1 i100 i1 > s", "Slice s i0 im1 i2 > t", "Pad t pads_ fill > y"],
     (2, 5, 4)),
    (12, [("MaxPool x > y", {"kernel_shape": [3], "auto_pad": "SAME_LOWER", "strides": [2]})],
     [("MaxPool x > y", {"kernel_shape": [3], "pads": [1, 0], "strides": [2]})], (1, 2, 6)),
]  # fmt: skip
C["i100"], C["pads_"], C["crop"] = i8(100), i8(0, 0, 0, 0, 2, 0), i8(0, -1, 0, 0, 2, -1)


@pytest.mark.parametrize(("opset", "nodes", "others", "shape"), SAME)
def test_two_ways_to_say_the_same(tmp_path, opset, nodes, others, shape):
    first = loaded(tmp_path, double_model(nodes, shape, opset, **C))
    second = loaded(tmp_path, double_model(others, shape, 15, **C))
    x = np.random.default_rng(0).standard_normal((5, int(np.prod(shape))))
    assert (first(x) == second(x)).all() and first(x).std() > 0


REFUSED = [
    ("Resize x none odd > y", {PLACES: "align_corners", "mode": "linear"}, 13, (1, 1, 4, 1), "give no whole sizes"),
    ("Resize x none none long > y", {}, 13, (1, 1, 10, 1), "up to 65536 are read"),
    ("Resize x none none larger > y", {}, 13, IMG, "GB of memory"),
    ("Resize x none below > y", {}, 13, (1, 1, 10, 1), "give no whole sizes"),
    ("Resize x none none seven > y", {"mode": "cubic"}, 13, IMG, "'cubic' is not read"),
    ("Resize x none none seven > y", {"antialias": 1, "mode": "linear"}, 18, IMG, "antialias"),
    ("Resize x none twice seven > y", {}, 13, IMG, "either its scales or its sizes"),
    ("Resize x none none seven > y", {PLACES: "tf_half_pixel_for_nn"}, 11, IMG, "tf_half_pixel_for"),
    ("Resize x none none border > y", {PLACES: "half_pixel", "nearest_mode": "floor"}, 13,
     (1, 1, 49, 1), "border of two entries"),
    ("Resize x smaller > y", {}, 10, (1, 2, 4, 4), "makes an image smaller"),
    ("Resize x none none seven > y", {"keep_aspect_ratio_policy": "not_larger"}, 18, IMG, "keeps the ratio"),
    ("Add x four > y", {}, 6, (2, 3, 4), "without broadcast"),
    ("Add x row > y", {"broadcast": 1, "axis": 0}, 6, (2, 3, 4), "does not fit into"),
    ("Add x four > y", {"broadcast": 1}, 7, (2, 3, 4), "'broadcast' is not expected"),
    ("Dropout x > y", {}, 6, (2, 3), "only inference is read"),
    ("Dropout x half yes > y", {}, 13, (2, 3), "only inference is read"),
    ("BatchNormalization x scale bias mean var > y", {}, 6, IMG, "only inference is read"),
    ("BatchNormalization x scale bias mean var > y", {"spatial": 0}, 7, IMG, "spatial = 0"),
    ("BatchNormalization x scale bias mean var > y", {"spatial": 1}, 9, IMG, "'spatial' is not expected"),
    ("BatchNormalization x scale bias mean var > y", {"training_mode": 1}, 15, IMG, "only inference is read"),
    ("BatchNormalization x scale bias mean var > y m v", {}, 9, IMG, "only inference is read"),
    ("Squeeze x > y", {"axes": [0]}, 13, IMG, "'axes' is not expected"),
    ("Squeeze x > y", {"axes": [-4]}, 6, IMG, "are not those of a tensor"),
    ("Squeeze x i1 > y", {}, 13, IMG, "cannot take the shape"),
    ("Flatten x > y", {"axis": -1}, 9, IMG, "cannot be flattened at axis -1"),
    ("Slice x > y", {"starts": [0], "ends": [1]}, 10, IMG, "inputs, but 3 to 5 are expected|not expected"),
    ("Slice x i2 i1 > y", {}, 13, (3, 4), "without entries"),
    ("Slice x i0 i1 i1 i0 > y", {}, 13, (3, 4), "a step is 0"),
    ("Gather x im1 > y", {"axis": 1}, 6, (3, 4), "not all entries of a dimension"),
    ("Gather x i01 > y", {"axis": 0}, 13, (1, 4), "not all entries of a dimension"),
    ("Split x > y z", {"axis": 2}, 13, IMG, "is split into"),
    ("Split x > y z", {"axis": 2, "num_outputs": 3}, 18, IMG, "is split into"),
    ("Concat x x > y", {}, 13, IMG, "does not say its axis"),
    ("Concat x four > y", {"axis": 0}, 13, (1, 4), "cannot be joined"),
    ("Pad x pads > y", {"mode": "wrap"}, 13, (2, 5, 4), "mode 'wrap'|is none of"),
    ("Pad x pads > y", {"mode": "reflect"}, 13, (2, 1, 4), "pads more by reflect"),
    ("Pad x crop > y", {}, 13, (2, 1, 1), "cuts more off"),
    ("ReduceMean x > y", {"axes": [1]}, 18, IMG, "'axes' is not expected"),
    ("Clip x > y", {"min": 0.0}, 11, (2, 3), "'min' is not expected"),
    ("Clip x hi lo > y", {}, 13, (2, 3), "is above its max"),
    ("Clip x row > y", {}, 13, (2, 3), "must be one number"),
    ("PRelu x four > y", {}, 16, (3, 1), "does not fit into"),
    ("Conv x K2 > y", {"auto_pad": "SAME_UPPER", "pads": [1, 1, 1, 1]}, 11, IMG, "both pads and auto_pad"),
    ("Conv x K2 > y", {"kernel_shape": [2, 2]}, 11, IMG, "its kernel_shape says"),
    ("Conv x K2 > y", {"pads": [-1, 0, 0, 0]}, 11, IMG, "pads is"),
    ("Conv x K2 > y", {}, 11, (2, 2, 5, 4), "a batch of 1 is read"),
    ("Conv x K2 > y", {"group": 2}, 11, IMG, "in 2 groups"),
    ("Conv x KT > y", {}, 11, IMG, "takes 3 channels"),
    ("Conv x K2 B3 > y", {}, 11, IMG, "its bias has the shape"),
    ("Conv x K2 > y", {"dilations": [9, 9]}, 11, IMG, "does not fit into an image"),
    ("ConvTranspose x KT > y", {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 11, IMG, "say different things"),
    ("MaxPool x > y", {"kernel_shape": [2, 2], "pads": [2, 0, 0, 0]}, 11, IMG, "holds padding only"),
    ("MaxPool x > y", {"kernel_shape": [2, 2], "dilations": [2, 2]}, 8, IMG, "'dilations' is not expected"),
    ("MaxPool x > y", {"kernel_shape": [1, 2], "strides": [1, 4], "pads": [0, 0, 0, 2], "ceil_mode": 1}, 12,
     (1, 1, 1, 5),
     "begins in the padding"),
    ("MaxPool x > z y", {"kernel_shape": [2, 2]}, 12, IMG, "not computed from"),
    ("AveragePool x > y", {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}, 19, IMG,
     "say different things"),
    ("AveragePool x > y", {"kernel_shape": [2, 2], "pads": [1, 0, 0, 0]}, 6, IMG, "whether its padding counts"),
    ("AveragePool x > y", {"kernel_shape": [2, 2], "count_include_pad": 1}, 6, IMG, "'count_include_pad' is not"),
    ("Max x row > y", {}, 6, (2, 3), "several shapes"),
    ("TopK x k5 > y i", {"axis": 1}, 11, (2, 4), "takes 5 of 4"),
    ("TopK x k3 > y i", {"sorted": 0}, 11, (2, 4), "in no order"),
    ("Cast x > y", {"to": 7}, 13, (2, 3), "not a float"),
    ("Cast x > y", {"to": 10}, 13, (2, 3), "rounds what the network computes to float16"),
    ("Cast x > y", {"to": 16}, 13, (2, 3), "rounds what the network computes to bfloat16"),
    ("Swish x > y", {"alpha": 0.0}, 24, (2, 3), "half its input"),
    ("Where x x x > y", {}, 16, (2, 3), "may jump"),
    ("Sqrt x > y", {}, 13, (2, 3), "computed by the network"),
    ("Softmax x > z", {}, 13, (2, 3), "not computed from"),
    ("Exp x > y", {}, 13, (2, 3), "only the exponential of a constant is read"),
    ("Pow x two > y", {}, 13, (2, 3), "multiplies two values that the network computes"),
    ("ReduceL2 x i1 > y", {}, 18, (2, 3), "only the norm of a constant is read"),
    ("Attention x x x > y", {}, 23, (2, 3), "it multiplies values that the network computes"),
    ("Einsum x x > y", {"equation": "ij,ij->ij"}, 13, (2, 3), "multiplies two values"),
    ("Einsum x M > y", {"equation": "ij,ij->ik"}, 13, (2, 3), "its equation 'ij,ij->ik' is none"),
    ("Einsum x M > y", {"equation": "ij,ij->i"}, 13, (2, 3), "its dimensions 'i' are 2 and 3"),
    ("Einsum x M > y", {"equation": "ij->i"}, 13, (2, 3), "is of 1 tensors, but 2 are given"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "attributes", "opset", "shape", "message"), REFUSED)
def test_what_is_not_read_is_refused_by_node_and_operator(tmp_path, line, attributes, opset, shape, message):
    with pytest.raises(ValueError, match=message) as caught:
        loaded(tmp_path, double_model([(line, attributes)], shape, opset, **C))
    assert "node 0" in str(caught.value) or "not computed from" in message
    assert "\n" not in str(caught.value)


# Attributes that are refused wherever they are given.
NEVER = {"Constant": {"sparse_value", "value_string", "value_strings"}}
REVIEWED = 28  # the last operator set whose changes have been read


def test_every_version_of_an_operator_has_been_read():
    """ONNX's own list of changes: what was in force at set 6 or came later is known to the rule, attributes too."""
    schemas = {}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.name in RULES and schema.since_version <= REVIEWED:
            schemas.setdefault(schema.name, []).append(schema)
    assert schemas.keys() == RULES.keys()
    for name, found in schemas.items():
        found.sort(key=lambda schema: schema.since_version)
        start = max((s.since_version for s in found if s.since_version <= 6), default=0)
        in_force = [s for s in found if s.since_version >= start]
        assert set(RULES[name].versions) == {s.since_version for s in in_force}, name
        known = set(RULES[name].attributes) | NEVER.get(name, set())
        assert {a for s in in_force for a in s.attributes} == known, name
