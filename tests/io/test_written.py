"""Activations that ONNX graphs write out are read as what they are, and what is nearly one is refused by name."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto  # noqa: E402

from tests.reference.onnx_graphs import check, double_model, loaded  # noqa: E402

F = np.float32
SHAPE = (1, 4)
K, C = float(F(np.sqrt(2 / np.pi))), float(F(0.044715))
CONSTANTS = {
    "k": np.array(K), "c": np.array(C), "one": np.array(1.0), "half": np.array(0.5), "two": np.array(2.0),
    "three": np.array(3.0), "whole3": np.array(3, np.int64), "twok": np.array(2 * K), "wide3": np.full((1, 4), 3.0),
    "widec": np.full(4, C), "thin": np.full((1, 1), 0.5), "zero": np.array(0.0), "six": np.array(6.0),
    "sixth": np.array(float(F(1 / 6))), "beta": np.array(1.5), "scale": np.array(0.3), "tenth": np.array(0.1),
    "slopes": np.array([0.1, 0.2, 0.3, 0.4]), "kk": np.array(0.8), "cc": np.array(0.0447), "minus": np.array(-C),
    "mixed": np.array([C, C, C, 0.05]), "off": np.array(1.01), "exact_k": np.array(np.sqrt(2 / np.pi)),
    "exact_c": np.array(0.044715), "to": np.array([4, 1], np.int64),
}  # fmt: skip
CUBE = ("Pow x three > p", "Mul p c > q", "Add x q > r", "Mul r k > s", "Tanh s > t", "Add t one > u")
GELUS = {
    "pow": (*CUBE, "Mul x half > v", "Mul v u > y"),
    "pow of an integer": ("Pow x whole3 > p", *CUBE[1:], "Mul half x > v", "Mul u v > y"),
    "products": ("Mul x x > a", "Mul a x > p", *CUBE[1:], "Mul x u > v", "Mul half v > y"),
    "x times a square": ("Pow x two > a", "Mul x a > p", *CUBE[1:], "Mul u half > w", "Mul w x > y"),
    "factored": ("Mul x x > a", "Mul a c > b", "Add one b > q", "Mul q x > r", "Mul k r > s", "Tanh s > t",
                 "Mul t half > h", "Add half h > u", "Mul u x > y"),
    "constant first": ("Mul c x > a", "Mul a x > b", "Add b one > q", "Mul x k > e", "Mul e q > s", "Tanh s > t",
                       "Add one t > u", "Mul half x > v", "Mul v u > y"),
    "sigmoid": ("Mul x x > a", "Mul x a > p", "Mul c p > q", "Add q x > r", "Mul r twok > s", "Sigmoid s > t",
                "Mul t x > y"),
    "divided": (*CUBE, "Div x two > v", "Identity u > w", "Mul v w > y"),
    "of a multiple": ("Mul x scale > z", "Pow z three > p", "Mul p c > q", "Add z q > r", *CUBE[3:], "Mul z u > v",
                      "Mul v half > y"),
    "constants of other shapes": ("Pow x wide3 > p", "Mul p widec > q", *CUBE[2:], "Mul x thin > v", "Mul v u > y"),
    "float64's numbers": ("Pow x three > p", "Mul p exact_c > q", "Add x q > r", "Mul r exact_k > s", *CUBE[4:],
                          "Mul x half > v", "Mul v u > y"),
}  # fmt: skip
OTHERS = {
    "silu": (("Sigmoid x > s", "Mul x s > y"), "silu"),
    "swish": (("Mul x beta > b", "Sigmoid b > s", "Mul s x > y"), "silu"),
    "mish": (("Softplus x > s", "Tanh s > t", "Mul t x > y"), "mish"),
    "a multiple of mish": (("Mul x two > b", "Softplus x > s", "Tanh s > t", "Mul b t > y"), "mish"),
    "hardswish": ((("HardSigmoid x > s", {"alpha": 1 / 6, "beta": 0.5}), "Mul x s > y"), "hardswish"),
    "a steeper hardswish": ((("HardSigmoid x > s", {"alpha": 0.4, "beta": 0.5}), "Mul x s > y"), "hardswish"),
    "hardswish by clip": (("Add x three > a", "Clip a zero six > b", "Mul x b > m", "Div m six > y"), "hardswish"),
    "sixth first": (("Add three x > a", "Clip a zero six > b", "Mul b sixth > m", "Mul m x > y"), "hardswish"),
    "relu and min": (("Add x three > a", "Relu a > b", "Min b six > e", "Mul e x > m", "Div m six > y"), "hardswish"),
    "max and min": (("Add x three > a", "Min a six > b", "Max zero b > e", "Mul x e > m", "Div m six > y"),
                    "hardswish"),
    "softsign": (("Abs x > a", "Add one a > b", "Div x b > y"), "softsign"),
    "leaky": (("Mul x tenth > a", "Max x a > y"), "relu"),
    "prelu": (("Relu x > r", "Neg x > n", "Relu n > s", "Mul s slopes > t", "Sub r t > y"), "relu"),
    "tanhshrink": (("Tanh x > t", "Sub x t > y"), "tanh"),
}  # fmt: skip


@pytest.mark.parametrize("name", GELUS)
def test_the_tanh_form_of_gelu_is_read(tmp_path, name):
    graph = double_model(GELUS[name], SHAPE, **CONSTANTS)
    net = check(tmp_path, graph, SHAPE, points=1000, tolerance=3e-8)  # numbers of float32 count as those they are of
    assert [layer.activation for layer in net.layers if layer.activation != "identity"] == ["gelu"]
    assert net.layers[0].parameters == {"approximate": "tanh float32"} or len(net.layers) > 2
    float32 = loaded(tmp_path, double_model(GELUS[name], SHAPE, kind=TensorProto.FLOAT, **CONSTANTS))
    assert [layer.activation for layer in float32.layers] == [layer.activation for layer in net.layers]


@pytest.mark.parametrize("name", OTHERS)
def test_other_activations_are_read(tmp_path, name):
    nodes, activation = OTHERS[name]
    net = check(tmp_path, double_model(nodes, SHAPE, **CONSTANTS), SHAPE, points=1000, tolerance=1e-7)
    assert {layer.activation for layer in net.layers} - {"identity"} == {activation}


@pytest.mark.parametrize(("operator", "opset", "attributes"), [
    ("Selu", 17, {}), ("Selu", 17, {"alpha": 1.5, "gamma": 0.75}), ("Swish", 24, {}), ("Swish", 24, {"alpha": 1.5}),
])  # fmt: skip
def test_operators_that_are_multiples_of_activations(tmp_path, operator, opset, attributes):
    check(tmp_path, double_model([(f"{operator} x > y", attributes)], SHAPE, opset), SHAPE, points=200, tolerance=1e-6)


TWO = "multiplies two values that the network computes, which no slopes bound"
GELU = r"GELU where a = sqrt\(2 / pi\), b = 0.044715 a and c = d, but a, b, c, d = "
END = ("Mul x half > v", "Mul v u > y")
NEARLY = {
    "another cubic": ((CUBE[0], "Mul p cc > q", *CUBE[2:], *END), GELU + "0.79788458., 0.03566544"),
    "another slope": ((*CUBE[:3], "Mul r kk > s", *CUBE[4:], *END), GELU + "0.8"),
    "another constant": ((*CUBE[:5], "Add t off > u", *END), GELU + ".*1.01, 1$"),
    "a square": (("Pow x two > p", *CUBE[1:], *END), TWO),
    "a negative cubic": ((CUBE[0], "Mul p minus > q", *CUBE[2:], *END), TWO),
    "a cubic for each neuron": ((CUBE[0], "Mul p mixed > q", *CUBE[2:], *END), TWO),
    "times another": ((*CUBE, "Add x one > v", "Mul v u > y"), TWO),
    "the tanh alone": ((*CUBE[:5], "Mul t half > y"), TWO),
    "sigmoid of a cubic is no silu": (("Pow x three > p", "Mul p c > q", "Add x q > r", "Sigmoid r > s", "Mul x s > y"),
                                      GELU + "0.5"),
    "a square at the end": (("Mul x x > y",), TWO),
    "a power at the end": (("Pow x three > y",), TWO),
    "a fourth power": (("Mul x x > a", "Mul a a > y"), TWO),
    "a root": (("Pow x half > y",), "only powers of constants are read"),
    "a square and a sum": (("Mul x x > a", "Add a x > y"), TWO),
    "a ReLU of a square": (("Mul x x > a", "Relu a > y"), TWO),
    "a square in another shape": (("Mul x x > a", "Reshape a to > y"), TWO),
    "two inputs": (("Mul x beta > a", "Relu x > b", "Mul a b > y"), TWO),
    "mish of more": (("Softplus x > s", "Add s one > a", "Tanh a > t", "Mul x t > y"), TWO),
    "mish of another": (("Neg x > n", "Softplus n > s", "Tanh s > t", "Mul x t > y"), TWO),
    "another HardSigmoid": ((("HardSigmoid x > s", {"alpha": 0.2, "beta": 0.25}), "Mul x s > y"), TWO),
    "another offset": (("Add x two > a", "Clip a zero six > b", "Mul x b > m", "Div m six > y"), TWO),
    "another end": (("Add x three > a", "Clip a zero three > b", "Mul x b > m", "Div m six > y"), TWO),
    "an end alone": (("Add x three > a", "Clip a zero > b", "Mul x b > y"), TWO),
    "softsign of more": (("Abs x > a", "Add two a > b", "Div x b > y"), "divides by what the network computes"),
    "elu by Where": (("Exp x > e", "Sub e one > m", "Greater x zero > g", "Where g x m > y"),
                      "Exp.*only the exponential of a constant"),
    "leaky with a jump": (("Mul x tenth > m", "Greater x one > g", "Where g x m > y"), "may jump"),
    "softplus": (("Exp x > e", "Add e one > a", "Log a > y"), "Exp.*only the exponential of a constant"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEARLY)
def test_what_is_nearly_an_activation_is_refused(tmp_path, name):
    nodes, words = NEARLY[name]
    with pytest.raises(ValueError, match=words):
        loaded(tmp_path, double_model(nodes, SHAPE, **CONSTANTS))


def test_constants_to_powers(tmp_path):
    nodes = ("Pow slopes three > a", "Pow slopes whole3 > b", "Pow slopes half > d", "Add a b > e", "Add e d > f",
             "Mul x f > y")  # fmt: skip
    check(tmp_path, double_model(nodes, SHAPE, **CONSTANTS), SHAPE)
