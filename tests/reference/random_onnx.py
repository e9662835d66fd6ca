"""Random ONNX graphs of some ten nodes, of every kind of operator that is read, in float64."""

import numpy as np
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from tests.reference.onnx_graphs import double_model

LARGEST = 160  # entries of a tensor


class Draw:
    """A graph that grows: nodes and constants, and the value of each tensor at one point."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.opset = int(self.rng.choice([13, 18, 22]))
        shapes = [(3,), (1, 4), (2, 3), (1, 2, 5), (1, 2, 4, 3), (1, 1, 4, 4), (1, 3, 2, 3), (2, 3, 4)]
        self.shape = shapes[self.rng.integers(len(shapes))]
        self.nodes, self.constants = [], {}
        self.values = {"x": self.rng.standard_normal(self.shape)}
        for _ in range(int(self.rng.integers(3, 11))):
            self.grow()
        computed = [name for name in self.values if name != "x"]
        self.outputs = [computed[-1]] + [name for name in computed[:-1] if self.rng.random() < 0.15]

    @property
    def graph(self):
        return self.graph_of(TensorProto.DOUBLE)

    def graph_of(self, kind):
        """The graph in floats of a kind of TensorProto's."""
        return double_model(self.nodes, self.shape, self.opset, self.outputs, kind, **self.constants)

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def numbers(self, *shape):
        kind = self.rng.integers(4)
        value = self.rng.standard_normal(shape)
        if kind == 0:
            value = np.round(value * 4) / 4  # folds exactly
        elif kind == 1:
            value = value.astype("f4").astype("f8")
        elif kind == 2:
            value = value * (self.rng.random(shape) < 0.6)
        return self.constant(value)

    def ints(self, *values):
        return self.constant(np.array(values, dtype=np.int64))

    def grow(self):
        """One node more; what does not fit is drawn again."""
        for _ in range(200):
            name = list(self.values)[-1] if self.rng.random() < 0.7 else self.rng.choice(list(self.values))
            before = len(self.constants)
            kind = getattr(self, self.rng.choice(KINDS))
            node = kind(str(name), self.values[str(name)]) if self.values[str(name)].ndim else None
            if node is not None:
                line, attributes = node
                out = f"v{len(self.nodes)}"
                model = double_model([(f"{line} > {out}", attributes)], self.shape, self.opset, [out], **self.constants)
                held = {k: v for k, v in self.values.items() if k in line.split()}
                try:
                    (value,) = _evaluate(model, held)
                except (IndexError, ValueError):  # the evaluator's, of some pools
                    value = np.zeros(0)
                if 0 < value.size <= LARGEST and abs(value).max() < 1e4:
                    self.nodes.append((f"{line} > {out}", attributes))
                    self.values[out] = value
                    return
            for extra in list(self.constants)[before:]:
                del self.constants[extra]

    # One function a kind of node: (operator and inputs, attributes), or None where the tensor is of another kind.

    def relu(self, a, v):
        return f"Relu {a}", {}

    def leaky(self, a, v):
        return f"LeakyRelu {a}", {"alpha": float(self.rng.choice([0.25, 0.1, -0.5, 2.0]))}

    def prelu(self, a, v):
        return f"PRelu {a} {self.numbers(*v.shape[-1:])}", {}

    def absolute(self, a, v):
        return f"Abs {a}", {}

    def clip(self, a, v):
        ends = [self.constant(np.array(e)) for e in (-0.4, 0.7)]
        keep = self.rng.integers(3)
        return f"Clip {a} {'_' if keep == 0 else ends[0]} {'' if keep == 1 else ends[1]}".strip(), {}

    def hard_sigmoid(self, a, v):
        return f"HardSigmoid {a}", {"alpha": 0.3, "beta": 0.5}

    def negative(self, a, v):
        return f"Neg {a}", {}

    def with_constant(self, a, v):
        shape = tuple(n if self.rng.random() < 0.7 else 1 for n in v.shape)[self.rng.integers(v.ndim + 1) :]
        pair = [a, self.numbers(*shape)]
        operator = str(self.rng.choice(["Add", "Sub", "Mul", "Max", "Min"]))
        return f"{operator} {' '.join(pair[:: self.rng.choice([1, -1])])}", {}

    def divided(self, a, v):
        return f"Div {a} {self.constant(self.rng.choice([3.0, 0.7, -2.0], size=v.shape[-1:]))}", {}

    def joined(self, a, v):
        same = [k for k, w in self.values.items() if w.shape == v.shape]
        return f"{self.rng.choice(['Add', 'Sub', 'Max', 'Min'])} {a} {self.rng.choice(same)}", {}

    def averaged(self, a, v):
        same = [k for k, w in self.values.items() if w.shape == v.shape]
        return f"{self.rng.choice(['Sum', 'Mean'])} {a} {self.rng.choice(same)} {self.rng.choice(same)}", {}

    def concat(self, a, v):
        axis = int(self.rng.integers(v.ndim))
        rest = [k for k, w in self.values.items() if w.ndim == v.ndim and np.delete(w.shape, axis).tolist()
                == np.delete(v.shape, axis).tolist()]  # fmt: skip
        return f"Concat {a} {self.rng.choice(rest)} {self.numbers(*v.shape)}", {"axis": axis - v.ndim * (axis % 2)}

    def matmul(self, a, v):
        if self.rng.random() < 0.3 and v.ndim > 1:
            return f"MatMul {self.numbers(int(self.rng.integers(1, 4)), v.shape[-2])} {a}", {}
        return f"MatMul {a} {self.numbers(v.shape[-1], int(self.rng.integers(1, 6)))}", {}

    def gemm(self, a, v):
        if v.ndim != 2 or v.shape[0] == self.shape[0] > 1:
            return None
        n = int(self.rng.integers(1, 6))
        return f"Gemm {a} {self.numbers(n, v.shape[1])} {self.numbers(n)}", {"transB": 1, "alpha": 0.5, "beta": 1.5}

    def flatten(self, a, v):
        return f"Flatten {a}", {"axis": int(self.rng.integers(v.ndim + 1))}

    def reshape(self, a, v):
        if v.ndim < 2:
            return f"Unsqueeze {a} {self.ints(0)}", {}
        return f"Reshape {a} {self.ints(*v.shape[:-2], -1)}", {}

    def transpose(self, a, v):
        return f"Transpose {a}", {"perm": self.rng.permutation(v.ndim).tolist()}

    def slice(self, a, v):
        axis = int(self.rng.integers(v.ndim))
        start, end, step = self.rng.integers(-v.shape[axis] - 1, v.shape[axis] + 1, 3)
        parts = [self.ints(int(p)) for p in (start, end, axis, step or 1)]
        return f"Slice {a} {' '.join(parts)}", {}

    def gather(self, a, v):
        axis = int(self.rng.integers(v.ndim))
        index = self.rng.integers(-v.shape[axis], v.shape[axis], (int(self.rng.integers(1, 4)),))
        return f"Gather {a} {self.ints(*index)}", {"axis": axis}

    def pad(self, a, v):
        modes = ["constant", "edge", "reflect"] if min(v.shape) > 2 else ["constant", "edge"]
        pads = self.ints(*self.rng.integers(0, 3, 2 * v.ndim))
        mode = str(self.rng.choice(modes))
        fill = self.constant(np.array(0.5)) if mode == "constant" else ""
        return f"Pad {a} {pads} {fill}".strip(), {"mode": mode}

    def reduce(self, a, v):
        axes = sorted(set(self.rng.integers(0, v.ndim, 2).tolist()))
        found = {"keepdims": int(self.rng.integers(2))}
        operator = str(self.rng.choice(["ReduceMean", "ReduceMax", "ReduceMin"]))
        if self.opset < 18:
            return f"{operator} {a}", found | {"axes": axes}
        return f"{operator} {a} {self.ints(*axes)}", found

    def conv(self, a, v):
        if v.ndim < 3 or v.shape[0] != 1:
            return None
        dims = v.ndim - 2
        groups = int(self.rng.choice([g for g in (1, 2, 3) if v.shape[1] % g == 0]))
        kernel, out = self.rng.integers(1, 4, dims).tolist(), groups * int(self.rng.integers(1, 3))
        weight = self.numbers(out, v.shape[1] // groups, *kernel)
        found = {"group": groups, "strides": self.rng.integers(1, 3, dims).tolist(),
                 "dilations": self.rng.integers(1, 3, dims).tolist(), "kernel_shape": kernel}  # fmt: skip
        found["pads"] = [int(p) for k, d in zip(kernel * 2, found["dilations"] * 2, strict=True)
                         for p in [self.rng.integers(0, (k - 1) * d + 1)]]  # fmt: skip
        lengths = zip(v.shape[2:], found["pads"][:dims], found["pads"][dims:], kernel, found["dilations"], strict=True)
        room = [n + p + q - (k - 1) * d for n, p, q, k, d in lengths]
        return (f"Conv {a} {weight} {self.numbers(out)}", found) if min(room) > 0 else None

    def transposed(self, a, v):
        if v.ndim < 3 or v.shape[0] != 1:
            return None
        dims = v.ndim - 2
        kernel = self.rng.integers(1, 4, dims).tolist()
        return f"ConvTranspose {a} {self.numbers(v.shape[1], 2, *kernel)} {self.numbers(2)}", {
            "strides": self.rng.integers(1, 3, dims).tolist()}  # fmt: skip

    def pool(self, a, v):
        if v.ndim < 3:
            return None
        dims = v.ndim - 2
        kernel = [int(min(self.rng.integers(1, 4), n)) for n in v.shape[2:]]
        found = {"kernel_shape": kernel, "strides": self.rng.integers(1, 3, dims).tolist()}
        found["pads"] = [k // 2 if self.rng.random() < 0.5 else 0 for k in kernel * 2]
        if self.rng.random() < 0.5:  # the evaluator of onnx 1.23 knows a MaxPool of even padding only
            pad = min(found["pads"])
            return f"MaxPool {a}", found | {"pads": [pad] * 2 * dims}
        return f"AveragePool {a}", found | {"count_include_pad": int(self.rng.integers(2))}

    def norm(self, a, v):
        if v.ndim < 2:
            return None
        c = v.shape[1]
        positive = self.constant(self.rng.random(c) + 0.1)
        if self.opset < 15:
            return None
        return f"BatchNormalization {a} {self.numbers(c)} {self.numbers(c)} {self.numbers(c)} {positive}", {}

    def global_pool(self, a, v):
        return (f"{self.rng.choice(['GlobalAveragePool', 'GlobalMaxPool'])} {a}", {}) if v.ndim == 4 else None


KINDS = [name for name, kind in vars(Draw).items() if callable(kind) and not name.startswith("_")
         and name not in ("constant", "numbers", "ints", "grow", "graph_of")]  # fmt: skip


def _evaluate(model, held):
    inputs = model.graph.input
    del inputs[:]
    from onnx import helper

    inputs.extend(helper.make_tensor_value_info(k, TensorProto.DOUBLE, v.shape) for k, v in held.items())
    return ReferenceEvaluator(model).run(None, held)
