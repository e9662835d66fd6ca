"""What PyTorch's operators mean, said in the words of ONNX's (`io/onnx/rules.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ..algebra import numbers
from ..algebra.affine import Affine
from ..layers import reason
from ..onnx.choices import Sign
from ..onnx.rules import shape_of
from ..onnx.walk import Ended, Walk, refuse_powers

Given = dict[str, Any]
EVAL = "call .eval() on it first"
_SAME = ("clone", "contiguous", "detach", "alias", "lift", "lift_fresh_copy", "_to_copy", "to", "positive", "dropout",
         "feature_dropout", "alpha_dropout", "feature_alpha_dropout")  # fmt: skip
COMPARED = {"gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual"}
# Those that may take a comparison:
CHOICES = (*_SAME, "_assert_tensor_metadata", "where", "masked_fill", "logical_not", "bitwise_not", "mul")
_HINTS = {
    "layer_norm": "it divides by what the network computes; BatchNorm in evaluation mode is read",
    "group_norm": "it divides by what the network computes; BatchNorm in evaluation mode is read",
    "instance_norm": "it divides by what the network computes; BatchNorm in evaluation mode is read",
    "attention": "it multiplies values that the network computes, which is not piecewise linear",
    "lstm": "it multiplies values that the network computes; unrolled ReLU cells are read",
    "gru": "it multiplies values that the network computes; unrolled ReLU cells are read",
    "rnn_tanh": "its activation is smooth, and only piecewise linear ones can be bounded today",
    "pow": "it multiplies what the network computes with itself",
    "eq": "it jumps",
    "ne": "it jumps",
    "sign": "it jumps",
    "round": "it jumps",
    "floor": "it jumps",
    "ceil": "it jumps",
    "upsample": "of interpolations the nearest and the linear ones without antialias are read",
}


class Aten:
    """One node of a trace.

    Attributes:
        walk: the layers made so far.
        what: the node, for messages.
        name: its operator.
        shape: of its value, as the trace has it; None for several values.
        floating: whether its value is of floats.
    """

    def __init__(self, walk: Walk, what: str, name: str, shape: tuple[int, ...] | None, floating: bool):
        self.walk, self.what, self.name, self.shape, self.floating = walk, what, name, shape, floating

    def call(self, given: Given) -> Any:
        """The value of the operator with its arguments by their names.

        Raises:
            ValueError: it is not read, or gives a tensor of another shape than the trace says.
        """
        rule = TABLE.get(self.name)
        if rule is None:
            other = "it is none of the operators that are read"
            why = next((hint for word, hint in _HINTS.items() if word in self.name), other)
            raise ValueError(f"{self.what} is not read: {why}")
        if given.get("train") or given.get("training"):
            raise ValueError(f"{self.what} is in training mode, in which it does something else; {EVAL}")
        if self.name not in CHOICES and any(isinstance(v, Sign) for v in given.values()):
            raise ValueError(f"{self.what} computes with a comparison of what the network computes, which may jump")
        try:
            value = rule(self, given)
        except ValueError as error:
            said = reason(error)
            raise ValueError(said if said.startswith(self.what) else f"{self.what}: {said}") from None
        except Exception as error:
            refuse_powers([*given.values()])
            raise ValueError(f"{self.what} is not read with these arguments ({reason(error)})") from None
        if value is None:
            return None
        inner = value.before if isinstance(value, Ended) else value
        if self.shape is not None and not isinstance(inner, list) and shape_of(inner) != self.shape:
            raise ValueError(f"{self.what} gives a tensor of shape {shape_of(inner)}, but the trace says {self.shape}")
        if self.shape is not None and not self.floating and not isinstance(value, np.ndarray | Sign):
            raise ValueError(f"{self.what} makes integers of what the network computes, so that it jumps")
        if isinstance(value, np.ndarray) and value.dtype == np.float64 and self.shape is not None and not self.floating:
            raise ValueError(f"{self.what} makes integers of a constant of floats, which is not read")
        return value

    def do(self, operator: str, *inputs: Any, outputs: int = 1, version: int = 0, **attributes: Any) -> Any:
        """An operator of ONNX, in its newest version where none is given."""
        return self.walk.do(self.what, operator, *inputs, outputs=outputs, version=version, **attributes)

    def number(self, value: Any) -> Any:
        """A number of the code as a constant; what is computed stays."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return float_of(value)
        if not np.isfinite(value):
            raise ValueError(f"the number {value} is not finite")
        return np.asarray(float(value))


def float_of(value: Any) -> Any:
    """A constant of integers as one of floats."""
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype.kind in "ib" else value


def whole(*values: int) -> Array:
    """A constant list of integers."""
    return np.array(values, dtype=np.int64)


TABLE: dict[str, Callable[[Aten, Given], Any]] = {}


def aten(*names: str) -> Callable[[Callable[[Aten, Given], Any]], Callable[[Aten, Given], Any]]:
    """Say that a function is what the operators of these names mean."""

    def decorate(function: Callable[[Aten, Given], Any]) -> Callable[[Aten, Given], Any]:
        TABLE.update(dict.fromkeys(names, function))
        return function

    return decorate


# Entry by entry


@aten(*_SAME)
def _same(t: Aten, g: Given) -> Any:
    return next(iter(g.values()))


def _binary(name: str, operator: str) -> None:
    @aten(name)
    def apply(t: Aten, g: Given) -> Any:
        a, b = t.number(g["self"]), t.number(g["other"])
        if g.get("rounding_mode") is not None:
            raise ValueError("it rounds a quotient, so that it jumps")
        if g.get("alpha", 1) != 1:
            scaled = t.number(g["alpha"])
            if name == "rsub":
                a = t.do("Mul", a, scaled)
            else:
                b = t.do("Mul", b, scaled)
        return t.do(operator, b, a) if name == "rsub" else t.do(operator, a, b)


for _name, _operator in (("add", "Add"), ("sub", "Sub"), ("mul", "Mul"), ("div", "Div"), ("rsub", "Sub"),
                         ("maximum", "Max"), ("minimum", "Min")):  # fmt: skip
    _binary(_name, _operator)
for _name, _operator in (("neg", "Neg"), ("abs", "Abs"), ("relu", "Relu"), ("sqrt", "Sqrt"), ("tanh", "Tanh"),
                         ("reciprocal", "Reciprocal"), ("sigmoid", "Sigmoid"), ("softsign", "Softsign"),
                         ("erf", "Erf"), ("atan", "Atan"), ("mish", "Mish"), ("hardswish", "HardSwish")):  # fmt: skip
    TABLE[_name] = lambda t, g, operator=_operator: t.do(operator, float_of(g["self"]))  # type: ignore[misc]


for _name, _operator in COMPARED.items():
    _binary(_name, _operator)


@aten("logical_not", "bitwise_not")
def _not(t: Aten, g: Given) -> Any:
    return t.do("Not", g["self"])


@aten("_assert_tensor_metadata")
def _checked(t: Aten, g: Given) -> Any:
    return None


@aten("rsqrt")
def _rsqrt(t: Aten, g: Given) -> Any:
    return t.do("Reciprocal", t.do("Sqrt", g["self"]))


@aten("pow")
def _pow(t: Aten, g: Given) -> Any:
    a, power = g["self"], g["exponent"]
    if isinstance(power, bool) or not isinstance(power, int | float):
        raise ValueError(_HINTS["pow"])
    return t.do("Pow", a, np.asarray(float(power)))


@aten("leaky_relu")
def _leaky_relu(t: Aten, g: Given) -> Any:
    return t.do("LeakyRelu", g["self"], alpha=float(g["negative_slope"]))


@aten("prelu", "_prelu_kernel")
def _prelu(t: Aten, g: Given) -> Any:
    weight = g["weight"]
    return t.do("PRelu", g["self"], weight, version=6 if len(shape_of(weight)) == 1 else 0)


@aten("rrelu")
def _rrelu(t: Aten, g: Given) -> Any:
    middle = (float(g["lower"]) + float(g["upper"])) / 2
    return t.do("LeakyRelu", g["self"], alpha=middle)


@aten("hardtanh", "clamp", "clamp_min", "clamp_max", "relu6")
def _clamp(t: Aten, g: Given) -> Any:
    low, high = g.get("min", g.get("min_val")), g.get("max", g.get("max_val"))
    if "relu6" in t.name:
        low, high = 0.0, 6.0
    if any(end is not None and not isinstance(end, int | float) for end in (low, high)):
        found = g["self"] if low is None else t.do("Max", g["self"], t.number(low))  # the upper end wins
        return found if high is None else t.do("Min", found, t.number(high))
    ends = [None if end is None or abs(end) == np.inf else np.asarray(float(end)) for end in (low, high)]
    if low == np.inf or high == -np.inf:
        raise ValueError("it clips everything to infinity")
    return t.do("Clip", g["self"], *ends)


@aten("hardsigmoid")
def _hard_sigmoid(t: Aten, g: Given) -> Any:
    """min(max(x + 3, 0), 6) / 6."""
    above = t.do("Clip", t.do("Add", g["self"], np.asarray(3.0)), np.asarray(0.0), np.asarray(6.0))
    return t.do("Div", above, np.asarray(6.0))


def _smooth(name: str, *parameters: str) -> None:
    @aten(name)
    def apply(t: Aten, g: Given) -> Any:
        return t.walk.activated(t.what, g["self"], name, **{k: g[k] for k in parameters})


_smooth("gelu", "approximate")
_smooth("silu")
_smooth("selu")
_smooth("celu", "alpha")
_smooth("softplus", "beta", "threshold")


@aten("elu")
def _elu(t: Aten, g: Given) -> Any:
    if g["scale"] != 1 or g["input_scale"] != 1:
        raise ValueError("it has scales of its own, which are not read")
    return t.walk.activated(t.what, g["self"], "elu", alpha=g["alpha"])


@aten("log_sigmoid", "log_sigmoid_forward")
def _log_sigmoid(t: Aten, g: Given) -> Any:
    """-softplus(-x)."""
    value = t.do("Neg", t.do("Softplus", t.do("Neg", g["self"])))
    return [value] if "forward" in t.name else value


@aten("threshold")
def _threshold(t: Aten, g: Given) -> Any:
    """x above a number, another one elsewhere."""
    if g["threshold"] != g["value"]:
        raise ValueError("what it gives below its threshold is another number than that, so that it jumps")
    return t.do("Max", g["self"], t.number(float(g["threshold"])))


@aten("softmax", "_softmax", "log_softmax", "_log_softmax")
def _softmax(t: Aten, g: Given) -> Any:
    return t.do("LogSoftmax" if "log" in t.name else "Softmax", g["self"])


# Matrices


@aten("linear")
def _linear(t: Aten, g: Given) -> Any:
    weight, bias = g["weight"], g.get("bias")
    if len(shape_of(weight)) == 2:
        weight = t.do("Transpose", weight, perm=[1, 0])
    product = t.do("MatMul", g["input"], weight)
    return product if bias is None else t.do("Add", product, bias)


@aten("matmul", "mm", "bmm", "mv", "dot", "vdot")
def _matmul(t: Aten, g: Given) -> Any:
    a, b = (v for k, v in g.items() if k in ("self", "other", "mat2", "vec", "tensor"))
    return t.do("MatMul", a, b)


@aten("einsum")
def _einsum(t: Aten, g: Given) -> Any:
    return t.do("Einsum", *(float_of(v) for v in g["tensors"]), equation=g["equation"])


@aten("tensordot")
def _tensordot(t: Aten, g: Given) -> Any:
    a, b = float_of(g["self"]), float_of(g["other"])
    letters = iter("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    first, second = ([next(letters) for _ in shape_of(v)] for v in (a, b))
    for i, k in zip(g["dims_self"], g["dims_other"], strict=True):
        second[k] = first[i]
    kept = [c for c in (*first, *second) if (c in first) != (c in second)]
    return t.do("Einsum", a, b, equation=f"{''.join(first)},{''.join(second)}->{''.join(kept)}")


@aten("lerp")
def _lerp(t: Aten, g: Given) -> Any:
    a, weight = g["self"], t.number(g["weight"])
    return t.do("Add", a, t.do("Mul", t.do("Sub", g["end"], a), weight))


@aten("addmm")
def _addmm(t: Aten, g: Given) -> Any:
    product = t.do("MatMul", g["mat1"], g["mat2"])
    return t.do("Gemm", g["mat1"], g["mat2"], g["self"], alpha=float(g["alpha"]), beta=float(g["beta"])) if (
        g["alpha"] != 1 or g["beta"] != 1) else t.do("Add", product, g["self"])  # fmt: skip


@aten("_weight_norm", "_weight_norm_interface")
def _weight_norm(t: Aten, g: Given) -> Any:
    """g v / ||v||, the norm over all dimensions but one, or over all of them (-1, which is no dimension)."""
    v, scale, kept = g["v"], g["g"], g["dim"]
    ndim = len(shape_of(v))
    dims = tuple(d for d in range(ndim) if kept == -1 or d != kept % ndim)
    return numbers.multiply(v, numbers.divide(scale, numbers.length(v, dims, True)))


@aten("linalg_vector_norm")
def _norm(t: Aten, g: Given) -> Any:
    a = g["self"]
    if isinstance(a, Affine) or g["ord"] != 2 or g["dim"] is None:
        raise ValueError("only the Euclidean norm of a constant is read")
    dims = tuple(d % len(shape_of(a)) for d in g["dim"])
    return numbers.length(a, dims, bool(g["keepdim"]))


@aten("batch_norm", "_native_batch_norm_legit_no_training", "_batch_norm_no_update")
def _batch_norm(t: Aten, g: Given) -> Any:
    a = g["input"]
    mean, var = g.get("running_mean"), g.get("running_var")
    if g.get("training") or mean is None or var is None:
        raise ValueError("it uses the statistics of its batch; only running_mean and running_var are read (.eval())")
    ones = np.ones(shape_of(mean))
    scale, bias = (ones if g.get("weight") is None else g["weight"], 0 * ones if g.get("bias") is None else g["bias"])
    value = t.do("BatchNormalization", a, scale, bias, mean, var, epsilon=float(g["eps"]))
    return [value] if "native" in t.name or "no_update" in t.name else value
