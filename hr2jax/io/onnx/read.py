"""ONNX graphs of fully connected ReLU networks. The graph is walked over as data; nothing in it is run."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import MutableMapping
from dataclasses import replace
from typing import IO, Any

import numpy as np

from ...arithmetic import exact
from ...arithmetic.float64 import Array
from ..budget import Budget
from ..layers import Layers, reason
from ..told import Told, few
from .chain import Chain, Ended
from .operators import RULES
from .shapes import Value
from .tensors import FLOATS, External, attributes, tensor
from .wire import check_size

# Ends of a network that are no layer, and what may follow them because it only changes a shape.
_FINAL = ("Softmax", "LogSoftmax", "Sigmoid")
_SHOWN = 8  # nodes of a layer in a refusal
_SHAPES = ("Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze")


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers:
    """The layers of an .onnx file, read as a function of exact reals.

    The graph must be a chain of affine operations and Relu from one input; a symbolic batch is taken as 1, and
    the tensors' flat order is the order of the network's inputs and outputs. Several outputs of the same last
    ReLU layer are put below one another. Affine operations without a Relu between them become one layer where
    that is exact in float64, and are refused where the layer would have to be rounded. A network that ends in a
    Relu gets the identity as its C; of one that ends in a Softmax or the like, what comes before it is read if the
    caller says so. What the graph's own float32 arithmetic would round is not part of the
    network.

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
    graph, functions = model.graph, {f.name for f in model.functions if f.domain in ("", "ai.onnx")}
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not graph.node or not versions:
        raise ValueError("this is not an ONNX model: it has no graph of nodes or no operator set")
    if min(versions) < 7:
        raise ValueError(f"the graph is of operator set {min(versions)}, but sets from 7 on are read")
    if graph.sparse_initializer:
        raise ValueError("the graph has sparse initializers, which are not read")
    values: dict[str, Value | Ended] = {}
    external = External(file.name, budget)
    for t in graph.initializer:
        what = f"the initializer {t.name!r}"
        _define(values, t.name, tensor(t, what, external), "the initializers")
    inputs = [given for given in graph.input if given.name not in values]
    if len(inputs) > 1:
        names = few([repr(given.name) for given in inputs])
        raise ValueError(f"the graph has the inputs {names}, but only networks with one input are read")
    for given in inputs:
        _define(values, given.name, Chain(given.name, _shape(given)), "the inputs")
    for number, node in enumerate(graph.node):
        if not (isinstance(node.op_type, str) and node.op_type.isidentifier()):  # damaged text comes as bytes
            raise ValueError(f"node {number} has no operator, but {node.op_type[:60]!r}")
        what = f"node {number} ({node.op_type[:60]}{f' {node.name[:60]!r}' if node.name else ''})"
        outputs = [name for name in node.output if name]
        if node.op_type in functions:
            raise ValueError(f"{what} is a function of the model's own, which is not read")
        value = _result(node, what, values)
        if not outputs or outputs[0] != node.output[0]:
            raise ValueError(f"{what} has no output")
        _define(values, outputs[0], value, what)
    found = _network([(o.name, values.get(o.name)) for o in graph.output], told)
    told.check_said(["" for _ in found.weights], "the graph")
    for weight in found.weights:
        budget.numbers(weight.shape, "a layer of the graph")
    return found


def _model(data: bytes) -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f'reading .onnx needs the onnx package: pip install "hr2jax[onnx]" ({error})') from None
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own errors
        raise ValueError(f"this is not a whole ONNX file ({reason(error)})") from None


def _shape(given: Any) -> tuple[int, ...]:
    """The declared shape of a graph's input, with a batch of 1."""
    what, kind = f"the input {given.name!r}", given.type
    if kind.WhichOneof("value") != "tensor_type" or kind.tensor_type.elem_type not in FLOATS:
        raise ValueError(f"{what} is not a tensor of floats")
    if not kind.tensor_type.HasField("shape"):
        raise ValueError(f"{what} does not say its shape")
    dims = [d.dim_value if d.HasField("dim_value") else None for d in kind.tensor_type.shape.dim]
    if len(dims) > 1 and dims[0] is None:
        dims[0] = 1
    shape = tuple(d for d in dims if d is not None and d > 0)
    if len(shape) < len(dims):
        raise ValueError(f"{what} has a shape with an unknown or empty dimension besides the batch: {dims}")
    exact.limited(*shape)
    return shape


def _define(values: dict[str, Value | Ended], name: str, value: Value | Ended, what: str) -> None:
    if not name or name in values:
        raise ValueError(f"{what}: the name {name!r} is empty or already taken")
    values[name] = value


def _result(node: Any, what: str, values: MutableMapping[str, Value | Ended]) -> Value | Ended:
    if node.domain not in ("", "ai.onnx"):
        raise ValueError(f"{what} is of the domain {node.domain!r}, whose operators are not read")
    if "Conv" in node.op_type or "Pool" in node.op_type:
        raise ValueError(f"{what} is of a convolutional network, but only fully connected networks are read")
    final = next((v for v in map(values.get, node.input) if isinstance(v, Ended)), None)
    if final is not None:
        if node.op_type not in _SHAPES:
            raise ValueError(f"{what} uses what {final.what} gives, but that is read at the end of a network only")
        shaped = _result(node, what, ChainMap({node.input[0]: final.before}, values))
        return replace(final, before=shaped) if isinstance(shaped, Chain) else shaped
    if node.op_type in _FINAL and len(node.input) == 1:
        end = values.get(node.input[0])
        if isinstance(end, Chain):
            return Ended(end, what)
    rule = RULES.get(node.op_type)
    if rule is None:
        raise ValueError(f"{what}: of operators, only {', '.join(RULES)} are read")
    names = list(node.input)
    while names and not names[-1]:  # optional ones that are left out
        names.pop()
    for name in names:
        if name and name not in values:
            raise ValueError(f"{what} reads {name!r}, which nothing before it gives")
    if not rule.least <= len(names) <= rule.most:
        raise ValueError(f"{what} has {len(names)} inputs, but {rule.least} to {rule.most} are expected")
    inputs = [values[name] if name else None for name in names]
    chains = [value for value in inputs if isinstance(value, Chain)]
    if len(chains) > 1:
        raise ValueError(f"{what} joins two branches, but only networks that are one chain of layers are read")
    try:
        result = rule.apply(inputs, attributes(node, rule.attributes))
    except exact.InexactError as error:
        before = " and ".join(chains[0].nodes) if chains and chains[0].nodes else "the constants before it"
        raise ValueError(
            f"{what} cannot be made one layer with {before}: {error}, and a certificate speaks of exact reals"
        ) from None
    except ValueError as error:
        raise ValueError(f"{what}: {reason(error)}") from None
    except Exception as error:  # whatever NumPy raises for values no valid graph has
        raise ValueError(f"{what} is not valid ({reason(error)})") from None
    if (
        isinstance(result, Chain)
        and chains
        and (result.linear is not chains[0].linear or result.shift is not chains[0].shift)
        and node.op_type != "Relu"
    ):
        result = replace(result, nodes=(*result.nodes[:_SHOWN], what))
    return result


def _network(outputs: list[tuple[str, Value | Ended | None]], told: Told) -> Layers:
    if not outputs:
        raise ValueError("the graph has no output")
    chains: list[Chain] = []
    for name, value in outputs:
        if isinstance(value, Ended):
            if not told.logits:
                raise ValueError(
                    f"the network ends in {value.what}, which is no layer; "
                    "logits=True (--logits) reads what comes before it"
                )
            if len(outputs) > 1:
                raise ValueError(f"logits was given, but of {len(outputs)} outputs others may be the logits")
            value = value.before  # noqa: PLW2901
        if not isinstance(value, Chain):
            raise ValueError(f"the output {name!r} is not computed from the graph's input")
        chains.append(value)
        first = chains[0]
        if not value.layers:
            raise ValueError(f"the output {name!r} does not depend on any Relu, but a ReLU network was expected")
        if len(value.layers) != len(first.layers) or value.layers[-1] is not first.layers[-1]:
            raise ValueError(f"the outputs {outputs[0][0]!r} and {name!r} are not of the same last ReLU layer")
    ends = [chain.layer() for chain in chains]
    exact.limited(sum(C.shape[0] for C, _ in ends), ends[0][0].shape[1])
    C: Array = ends[0][0] if len(ends) == 1 else np.vstack([C for C, _ in ends])
    d = np.concatenate([d for _, d in ends])
    return Layers([*(A for A, _ in chains[0].layers), C], [*(b for _, b in chains[0].layers), d])
