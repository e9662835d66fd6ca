"""ONNX graphs in float64 for tests, and their values by ONNX's own reference evaluator."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import hr2jax

KIND = "KIND"  # the number of the graph's own floats, in an attribute


def double_model(nodes, shape, opset=18, outputs=("y",), kind=TensorProto.DOUBLE, **constants):
    """A graph from lines such as "Gemm x W b > y", or pairs of such a line and attributes; x of `shape`."""
    made, used = [], set()
    for number, given in enumerate(nodes):
        line, attributes = given if isinstance(given, tuple) else (given, {})
        left, right = line.split(" > ")
        operator, *reads = left.split()
        used |= set(reads)
        reads, writes = (["" if r == "_" else r for r in part] for part in (reads, right.split()))
        attributes = {k: _attribute(v, kind) for k, v in attributes.items()}
        made.append(helper.make_node(operator, reads, writes, name=f"n{number}", **attributes))
    tensors = [numpy_helper.from_array(_tensor(v, kind), k) for k, v in constants.items() if k in used]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(o, kind, None) for o in outputs],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _attribute(value, kind):
    if isinstance(value, np.ndarray):
        return numpy_helper.from_array(_tensor(value, kind))
    return kind if isinstance(value, str) and value == KIND else value


def _tensor(value, kind):
    array = np.asarray(value)
    return array.astype(helper.tensor_dtype_to_np_dtype(kind)) if array.dtype.kind == "f" else array


def loaded(folder, graph, name="net.onnx", **options):
    """The network of a graph."""
    path = folder / name
    path.write_bytes(graph.SerializeToString())
    return hr2jax.load(path, **options)


def check(folder, graph, shape, points=4, tolerance=1e-9, seed=0, evaluator=None):
    """The loaded network, after comparing it with the reference evaluator at some points, kinks among them."""
    net = loaded(folder, graph)
    evaluator = evaluator or ReferenceEvaluator(graph)
    rng = np.random.default_rng(seed)
    for i in range(points):
        x = rng.standard_normal(shape) * 3 if i else np.zeros(shape)
        expected = np.concatenate([np.ravel(v) for v in evaluator.run(None, {"x": x})])
        value = net(x.ravel())
        assert value.shape == expected.shape, (value.shape, expected.shape)
        assert abs(value - expected).max() <= tolerance * max(1.0, abs(expected).max()), (i, value, expected)
    return net
