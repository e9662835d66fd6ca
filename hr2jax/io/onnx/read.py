"""ONNX graphs as layers. The graph is walked over once, as data; nothing in it is run."""

from __future__ import annotations

from typing import IO, Any

from ...arithmetic import exact
from ...text import install
from .. import halves
from ..algebra.affine import Builder
from ..budget import Budget
from ..layers import Graph, Layers, reason
from ..told import Told, few
from .rules import RULES
from .tensors import FLOATS, HALVES, External, attributes, tensor
from .walk import Walk, last_values
from .wire import check_size

OLDEST = 6  # operator set
# Operators that are met often and are none of the algebra, and why.
_WHY = {
    "softmax": "it divides by what the network computes, and is read at the end of a network only (logits=True)",
    "attention": "it multiplies values that the network computes, which no slopes bound",
    "norm": "it divides by what the network computes; BatchNormalization in evaluation mode is read",
    "recurrent": "it multiplies values that the network computes; unrolled ReLU cells are read",
    "control": "it runs another graph; export the model without control flow",
    "jump": "it jumps; Relu, Max, Min, Clip are read",
    "sampling": "it takes entries at places that the network computes; Resize is read",
    "exponential": "activations that are written out with it are not read; export the model with an operator set that "
                   "has them (Elu, Selu, Softplus, Mish, ...)",
    "quantised": "it rounds; export the model before it is quantised",
}
_KINDS = {
    "softmax": "Softmax LogSoftmax Hardmax",
    "attention": "Attention MultiHeadAttention RotaryEmbedding",
    "norm": "LayerNormalization InstanceNormalization GroupNormalization RMSNormalization LpNormalization LRN "
            "MeanVarianceNormalization",
    "recurrent": "LSTM GRU RNN",
    "control": "If Loop Scan",
    "jump": "ArgMax ArgMin Sign Round ThresholdedRelu",
    "sampling": "GridSample",
    "exponential": "Log",
    "quantised": "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul ConvInteger "
                 "MatMulInteger",
}  # fmt: skip
_HINTS = {operator: _WHY[kind] for kind, operators in _KINDS.items() for operator in operators.split()}


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers | Graph:
    """The layers of an .onnx file, read as a function of exact reals.

    The graph has one input; a symbolic batch is taken as 1, and the tensors' flat order is the order of the network's
    inputs and outputs. Several outputs are put below one another. Affine operations that follow one another become one
    layer where that is exact in float64; otherwise they stay several, and coefficients that float64 does not hold are
    midpoints and radii. A network that ends in a Relu gets the identity as its last layer; of one that ends in a
    Softmax or the like, what comes before it is read if the caller says so. What the graph's own float32 arithmetic
    would round is not part of the network.

    Raises:
        ValueError: not an ONNX file, or a graph that is no such network; it names the node.
        ImportError: onnx is not installed.
    """
    if told.layers is not None:
        raise ValueError("layers was given, but a graph says itself in which order its layers are applied")
    data = budget.contents(file)
    budget.take(len(data), "the graph")
    check_size(data)
    model = _model(data)
    del data
    graph, version = model.graph, _version(model)
    if graph.sparse_initializer:
        raise ValueError("the graph has sparse initializers, which are not read")
    values: dict[str, Any] = {}
    external = External(file.name, budget)
    for t in graph.initializer:
        what = f"the initializer {t.name!r}"
        _define(values, t.name, tensor(t, what, external), "the initializers")
        t.Clear()
    inputs = [given for given in graph.input if given.name not in values]
    if len(inputs) != 1:
        names = few([repr(given.name) for given in inputs])
        raise ValueError(f"the graph has the inputs {names}, but only networks with one input are read")
    shape = _shape(inputs[0], told.example)
    halves.say("the graph", HALVES.get(inputs[0].type.tensor_type.elem_type))
    walk = Walk(Builder(shape), shape[0] if len(shape) > 1 else 1)
    _define(values, inputs[0].name, walk.builder.source, "the inputs")
    last = {name: i for i, node in enumerate(graph.node) for name in node.input}
    wanted = {o.name for o in graph.output}
    for i, node in enumerate(graph.node):
        _step(walk, model, version, i, node, values)
        for name in node.input:  # what nothing needs any more takes no memory
            if name in values and last[name] == i and name not in wanted:
                values[name] = _GONE
    outputs = last_values([(o.name, values.get(o.name)) for o in graph.output], told)
    layers, made = zip(*walk.builder.described(outputs), strict=True)
    said = [layer.activation for layer in layers[:-1] if layer.activation != "identity"]
    told.check_said([""] * (len(said) + 1), "the graph", said)
    return Graph([*layers], (), made)


_GONE: Any = object()


def _model(data: bytes) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"reading .onnx needs the onnx package: {install('onnx')} ({error})") from None
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own errors
        raise ValueError(f"this is not a whole ONNX file ({reason(error)})") from None


def _version(model: Any) -> int:
    """The operator set of the graph's operators."""
    from onnx import defs

    versions = {o.version for o in model.opset_import if o.domain in ("", "ai.onnx")}
    if not model.graph.node or not versions:
        raise ValueError("this is not an ONNX model: it has no graph of nodes or no operator set")
    if len(versions) > 1:
        raise ValueError(f"the graph is of several operator sets: {', '.join(map(str, sorted(versions)))}")
    (version,) = versions
    newest = defs.onnx_opset_version()
    if not OLDEST <= version <= newest:
        raise ValueError(f"the graph is of operator set {version}, but sets from {OLDEST} to {newest} are read "
                         "with the onnx package that is installed")  # fmt: skip
    return int(version)


def _shape(given: Any, example: tuple[int, ...] | None) -> tuple[int, ...]:
    """The declared shape of a graph's input, with a batch of 1; where it is unknown, the example's."""
    what, kind = f"the input {given.name!r}", given.type
    if kind.WhichOneof("value") != "tensor_type" or kind.tensor_type.elem_type not in FLOATS:
        raise ValueError(f"{what} is not a tensor of floats")
    if not kind.tensor_type.HasField("shape"):
        if example is None:
            raise ValueError(f"{what} does not say its shape; give an input of it as example=, or --example 1,3,32,32")
        exact.limited(*example)
        return example
    dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.tensor_type.shape.dim]
    if len(dims) > 1 and dims[0] is None:
        dims[0] = 1
    if example is not None and None in dims:
        if len(example) != len(dims) or any(d not in (None, e) for d, e in zip(dims, example, strict=True)):
            raise ValueError(f"{what} has the shape {dims}, None being unknown, but the example's is {example}")
        dims = [*example]
    shape = tuple(d for d in dims if d is not None and d > 0)
    if len(shape) < len(dims):
        raise ValueError(f"{what} has a shape with an unknown or empty dimension besides the batch: {dims}; an "
                         "input of it as example=, or --example 1,3,32,32, says what is unknown")  # fmt: skip
    exact.limited(*shape)
    return shape


def _define(values: dict[str, Any], name: str, value: Any, what: str) -> None:
    if not name or name in values:
        raise ValueError(f"{what}: the name {name!r} is empty or already taken")
    values[name] = value


def _step(walk: Walk, model: Any, version: int, number: int, node: Any, values: dict[str, Any]) -> None:
    """Add what a node gives to the values.

    Raises:
        ValueError: the node is not read; it names the node.
    """
    if not (isinstance(node.op_type, str) and node.op_type.isidentifier()):  # damaged text comes as bytes
        raise ValueError(f"node {number} has no operator, but {node.op_type[:60]!r}")
    what = f"node {number} ({node.op_type[:60]}{f' {node.name[:60]!r}' if node.name else ''})"
    if node.domain not in ("", "ai.onnx"):
        raise ValueError(f"{what} is of the domain {node.domain[:60]!r}, whose operators are not read")
    if any(f.name == node.op_type and f.domain in ("", "ai.onnx") for f in model.functions):
        raise ValueError(f"{what} is a function of the model's own, which is not read")
    if not node.output or not node.output[0]:
        raise ValueError(f"{what} has no output")
    names = list(node.input)
    while names and not names[-1]:  # optional ones that are left out
        names.pop()
    for name in names:
        if name and name not in values:
            raise ValueError(f"{what} reads {name!r}, which nothing before it gives")
    inputs = [values[name] if name else None for name in names]
    if node.op_type in ("Softmax", "LogSoftmax"):
        result = walk.result(what, node.op_type, version, inputs, dict)
    else:
        schema, allowed = _schema(node, what, version, inputs)
        result = walk.result(
            what, node.op_type, schema.since_version, inputs, lambda: attributes(node, allowed), list(node.output)
        )
    for name, value in zip(node.output, result if isinstance(result, list) else [result], strict=False):
        if name:
            _define(values, name, value, what)


def _schema(node: Any, what: str, version: int, inputs: list[Any]) -> tuple[Any, set[str]]:
    """What ONNX says of the node's operator in this operator set, and the attributes that it may have."""
    from onnx import defs

    rule = RULES.get(node.op_type)
    if rule is None:
        why = _HINTS.get(node.op_type, f"of operators, only {', '.join(sorted(RULES))} are read")
        raise ValueError(f"{what} is not read: {why}")
    try:
        schema = defs.get_schema(node.op_type, version, "")
    except Exception:
        raise ValueError(f"{what} is no operator of the operator set {version}") from None
    if schema.since_version not in rule.versions:
        known = ", ".join(map(str, rule.versions))
        raise ValueError(f"{what} means what operator set {schema.since_version} says, but sets {known} are read")
    if not schema.min_input <= len(inputs) <= schema.max_input:
        most = "more" if schema.max_input > 99 else str(schema.max_input)
        raise ValueError(f"{what} has {len(inputs)} inputs, but {schema.min_input} to {most} are expected")
    if any(v is None for v in inputs[: schema.min_input]):
        raise ValueError(f"{what} leaves an input out that it needs")
    return schema, {*rule.attributes} & {*schema.attributes}
