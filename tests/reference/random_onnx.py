"""Random ONNX graphs of some ten nodes, in float64, each said twice: in its operator set, and in one that is evaluated.

ONNX's evaluator knows the newer sets, and of some operators not all (pools of uneven padding, groups of transposed
convolutions). So a graph in any set from 6 on has a twin in set MEANT, of forms that the evaluator computes rightly.
"""

import numpy as np
from onnx import TensorProto, defs
from onnx.reference import ReferenceEvaluator

from tests.reference.onnx_evaluator import OPERATORS
from tests.reference.onnx_graphs import double_model

LARGEST = 160  # entries of a tensor
MEANT = 20
NEWEST = min(28, defs.onnx_opset_version())
SHAPES = [(3,), (1, 4), (2, 3), (1, 2, 5), (1, 2, 4, 3), (1, 1, 4, 4), (1, 3, 2, 3), (2, 3, 4), (1, 4, 3, 3), (1, 6)]


class Draw:
    """A graph that grows: nodes and constants, and the value of each tensor at one point.

    Attributes:
        opset: of the graph.
        shape: of its input; its first dimension has a name instead where `is_dynamic`.
        nodes, meant: of the graph and of its twin, pairs of a line such as "Gemm x W b > y" and attributes.
        constants: by name, arrays; those in `inside` are nodes of the graph, not initializers.
        inner: tensors that only their own kind of node uses.
        is_strange: whether something is in it that may be refused.
    """

    def __init__(self, seed):
        from tests.reference.random_onnx_nodes import KINDS

        self.rng = np.random.default_rng(seed)
        self.opset = int(self.rng.integers(6, NEWEST + 1))
        self.shape = SHAPES[self.rng.integers(len(SHAPES))]
        self.is_dynamic = len(self.shape) > 1 and self.shape[0] == 1 and self.rng.random() < 0.5
        self.nodes, self.meant, self.constants = [], [], {}
        self.inside, self.inner, self.is_strange = set(), set(), False
        self.values = {"x": self.rng.standard_normal(self.shape)}
        for _ in range(int(self.rng.integers(3, 11))):
            self._grow(KINDS)
        computed = [name for name in self._floats() if name != "x"]
        self.outputs = [computed[-1]] + [name for name in computed[:-1] if self.rng.random() < 0.15]

    @property
    def graph(self):
        """The graph in float64."""
        return self.graph_of(TensorProto.DOUBLE)

    def graph_of(self, kind):
        """The graph in floats of a kind of TensorProto's."""
        held = {k: v for k, v in self.constants.items() if k not in self.inside}
        shape = ("N", *self.shape[1:]) if self.is_dynamic else self.shape
        return double_model(self.nodes, shape, self.opset, self.outputs, kind, **held)

    @property
    def evaluator(self):
        """ONNX's evaluator of the twin."""
        model = double_model(self.meant, self.shape, MEANT, self.outputs, **self.constants)
        return ReferenceEvaluator(model, new_ops=OPERATORS)

    # What kinds of nodes are made of

    def chance(self, share):
        """True so often."""
        return bool(self.rng.random() < share)

    def among(self, options):
        """One of them."""
        return options[int(self.rng.integers(len(options)))]

    def constant(self, value):
        """The name of a constant: an initializer, or what a Constant gives."""
        name, value = f"c{len(self.constants)}", np.asarray(value)
        self.constants[name] = value
        if self.chance(0.15):
            self.inside.add(name)
            word = {"f": "float", "i": "int"}.get(value.dtype.kind, "")
            if self.opset >= 12 and value.ndim < 2 and word and self.chance(0.5) and (
                word == "int" or (value.astype("f4") == value).all()
            ):
                said = {f"value_{word}" + "s" * value.ndim: value.tolist()}
            else:
                said = {"value": value}
            self._pending.append((f"Constant > {name}", said))
        return name

    def numbers(self, *shape):
        """A constant of random numbers."""
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
        """A constant list of integers."""
        return self.constant(np.array(values, dtype=np.int64))

    def others(self, fits):
        """The tensors whose shape fits."""
        return [name for name in self._floats() if fits(self.values[name].shape)]

    def _floats(self):
        return [name for name, value in self.values.items() if value.dtype == np.float64 and name not in self.inner]

    def emit(self, line, attributes=None, meant=None, outputs=1):
        """A node; `meant` says the same in the twin: a line and attributes, or a list of them with names > for all.

        Returns:
            The name of its output, or the list of the names of several.
        """
        names = [f"v{self._count + i}" for i in range(outputs)]
        self._count += outputs
        right = " > " + " ".join(names)
        self._pending.append((line + right, attributes or {}))
        if isinstance(meant, list):
            self._meaning += [(a.replace("@", names[0]), b) for a, b in meant]
        else:
            said, given = meant or (line, attributes or {})
            self._meaning.append((said + right, given))
        self._made += names
        return names[0] if outputs == 1 else names

    def _grow(self, kinds):
        """One kind of node more; what does not fit is drawn again."""
        self._count = len(self.values)
        for _ in range(200):
            held = self._floats()
            name = held[-1] if self.chance(0.7) else self.among(held)
            kept, inside, strange = len(self.constants), set(self.inside), self.is_strange
            self._pending, self._meaning, self._made = [], [], []
            count = self._count
            if self.values[name].ndim:
                self.among(kinds)(self, name, self.values[name])
            if self._made and self._commit():
                return
            self.inside, self.is_strange, self._count = inside, strange, count
            for extra in list(self.constants)[kept:]:
                del self.constants[extra]

    def _commit(self):
        read = {word for line, _ in self._meaning for word in line.split()}
        held = {k: v for k, v in self.values.items() if k in read}
        model = double_model(self._meaning, self.shape, MEANT, self._made, **self.constants)
        del model.graph.input[:]
        from onnx import helper

        model.graph.input.extend(
            helper.make_tensor_value_info(k, TensorProto.DOUBLE, v.shape) for k, v in held.items()
        )
        try:
            with np.errstate(all="ignore"):  # what is not finite is drawn again
                found = ReferenceEvaluator(model, new_ops=OPERATORS).run(None, held)
        except (IndexError, ValueError):  # the evaluator's, of some pools
            return False
        found = [np.asarray(v) for v in found]
        if not all(0 < v.size <= LARGEST and v.ndim < 7 and abs(v).max() < 1e4 for v in found):
            return False
        self.nodes += self._pending
        self.meant += self._meaning
        self.values.update(zip(self._made, found, strict=True))
        return True
