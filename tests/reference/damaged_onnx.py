"""ONNX graphs with something wrong in them: numbers, names, operators, operator sets, shapes, bytes."""

import numpy as np
from onnx import TensorProto, numpy_helper

from tests.reference.random_onnx import Draw

NUMBERS = [-(2**63), -(2**31), -7, -1, 0, 1, 2, 3, 7, 1000, 10**6, 2**31, 2**40, 2**63 - 1]


def damaged(seed):
    """The bytes of a random graph, changed in one place to three."""
    rng = np.random.default_rng(seed)
    model = Draw(int(rng.integers(10**6))).graph
    for _ in range(int(rng.integers(1, 4))):
        _change(model, rng)
    data = bytearray(model.SerializeToString())
    if rng.random() < 0.05:
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
    return bytes(data)


def _change(model, rng):
    graph = model.graph
    node = graph.node[rng.integers(len(graph.node))]
    kind = rng.choice(7, p=[0.3, 0.3, 0.12, 0.12, 0.1, 0.03, 0.03])
    if kind == 0 and node.attribute:
        attribute = node.attribute[rng.integers(len(node.attribute))]
        if attribute.ints:
            attribute.ints[rng.integers(len(attribute.ints))] = int(rng.choice(NUMBERS))
        else:
            attribute.i, attribute.f = int(rng.choice(NUMBERS)), float(rng.choice([np.nan, np.inf, -1e38, 1e-40]))
    elif kind == 1 and graph.initializer:
        whole = [t for t in graph.initializer if t.data_type == TensorProto.INT64]
        tensors = whole if whole and rng.random() < 0.7 else graph.initializer
        tensor = tensors[rng.integers(len(tensors))]
        if 8 * np.prod([float(d) for d in tensor.dims]) != len(tensor.raw_data):
            return  # its shape is damaged already
        array = numpy_helper.to_array(tensor).copy()
        if array.size:
            floats = [0.0, 1e300, 1e-320, np.inf, -1e308]
            number = rng.choice(NUMBERS if array.dtype.kind == "i" else floats)
            array.flat[rng.integers(array.size)] = number
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    elif kind == 2 and len(node.input):
        names = [name for other in graph.node for name in (*other.input, *other.output)]
        node.input[rng.integers(len(node.input))] = str(rng.choice(names))
    elif kind == 3:
        node.op_type = str(rng.choice([other.op_type for other in graph.node]))
    elif kind == 4:
        model.opset_import[0].version = int(rng.integers(5, 30))
    elif kind == 5:
        dims = graph.input[0].type.tensor_type.shape.dim
        if len(dims):
            dims[rng.integers(len(dims))].dim_value = int(rng.choice(NUMBERS))
    elif graph.initializer:
        tensor = graph.initializer[rng.integers(len(graph.initializer))]
        if len(tensor.dims):
            tensor.dims[rng.integers(len(tensor.dims))] = int(rng.choice(NUMBERS))
