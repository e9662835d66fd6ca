"""What graphs compute of constant integers and booleans, shapes among them, against ONNX's own evaluator."""

import numpy as np
import pytest

import hr2jax

onnx = pytest.importorskip("onnx")
from tests.reference.onnx_graphs import check, double_model, loaded  # noqa: E402

RNG = np.random.default_rng(0)
C = {
    "a": np.array([[-7, 3, 5], [0, -2, 9]]), "b": np.array([2, -3, 4]), "c": np.array([[5], [-2]]),
    "p": np.array([[True, False, True], [False, False, True]]), "q": np.array([True, True, False]),
    "f": np.array([[-1.5, 2.0, 0.25], [3.0, 0.0, -4.0]]), "g": np.array([2.0, 2.0, -0.5]), "zero": np.array(0),
    "one": np.array(1), "seven": np.array(7), "minus": np.array(-2), "i0": np.array([0]), "i1": np.array([1]),
    "dims": np.array([1, 2, 3]), "nd": np.array([[1, 2], [0, -1]]), "rows": np.array([[1], [-2]]),
    "el": np.array([[2, -1, 0], [1, 0, 2]]), "part": np.array([[2], [0]]), "twice": np.array([[1], [1]]),
    "up2": np.array([0.5, -2.0]), "uprows": RNG.standard_normal((2, 3)), "iup": np.array([50, 60]),
    "uppart": np.array([[4.0], [8.0]]), "third": np.array(1.0 / 3.0), "three": np.array(3.0), "unit": np.array(1.0),
    "large": np.array([2**30, 5, 5]), "half": np.array(0.5), "k1": np.array(1), "km": np.array(-1),
}  # fmt: skip
FLOAT, BOOLS = 11, 9
# Lines whose last value, of integers or booleans, is added to an input of 2 by 3 that it broadcasts with.
FOLDED = [
    *[f"{operator} a b > k" for operator in ("Add", "Sub", "Mul", "Div", "Mod", "Max", "Min", "Equal", "Greater")],
    *[f"{operator} a c > k" for operator in ("Less", "GreaterOrEqual", "LessOrEqual", "Div", "Mod")],
    *[f"{operator} f g > k" for operator in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual")],
    *[f"{operator} p q > k" for operator in ("And", "Or", "Xor")],
    "Not p > k", "Neg a > k", "Abs a > k", "Size x > k", "Floor f > k", "Ceil f > k", "Where p a b > k",
    "Range one seven three_ > k_, Unsqueeze k_ i0 > k__, ReduceSum k__ i1 > k",
    "Range seven zero minus > r, ReduceMax r i0 > k", "NonZero p > n, ReduceSum n i1 > s, ReduceMin s i0 > k",
    "ReduceProd dims i0 > k", "Trilu a > k", "Trilu a km > k", "GatherElements a el > k", "GatherND a nd > m, "
    "ReduceSum m i0 > k", "ScatterND a nd iup > k", "Shape x > s, Equal s s > e, Where e s s > t, ReduceProd t i0 > k",
    "Shape x > s, ConstantOfShape s > z, Equal z z > e, Cast e to=7 > k", "Cast a to=9 > k",
]  # fmt: skip
C["three_"] = np.array(3)


def nodes_of(text):
    found = []
    for line in text.split(", "):
        words = line.split()
        attributes = {w.split("=")[0]: int(w.split("=")[1]) for w in words if "=" in w}
        if words[0] == "GatherElements":
            attributes["axis"] = 1
        found.append((" ".join(w for w in words if "=" not in w), attributes))
    return found


@pytest.mark.parametrize("text", FOLDED, ids=lambda text: text.replace(" ", "_")[:60])
def test_constants_are_folded_exactly(tmp_path, text):
    nodes = [*nodes_of(text), ("Cast k > kf", {"to": FLOAT}), ("Add x kf > y", {})]
    check(tmp_path, double_model(nodes, (2, 3), 18, ["y"], **C), (2, 3), tolerance=1e-15)


# Entries of what the network computes at constant places.
MOVED = [
    ("GatherElements x el > y", {"axis": 1}), ("GatherElements x part > y", {"axis": 1}), ("GatherND x nd > y", {}),
    ("GatherND x rows > y", {}), ("ScatterND x nd up2 > y", {}), ("ScatterND x last upone > y", {}),
    ("ScatterND uprows nd up2 > z, Add x z > y", {}), ("ScatterElements x part uppart > y", {"axis": 1}),
    ("ScatterElements x twice_ upone > y", {"axis": 0}), ("Trilu x > y", {}), ("Trilu x k1 > y", {"upper": 0}),
    ("ScatterND x twice uprows > y", {"reduction": "add"}), ("ScatterND uprows rows x > y", {}),
    ("ScatterElements x part uppart > y", {"axis": 1, "reduction": "add"}),
]  # fmt: skip
C["twice_"], C["last"], C["upone"] = np.array([[1, 0, -1]]), np.array([[-1]]), np.array([[5.0, -1.0, 2.5]])


@pytest.mark.parametrize(("text", "attributes"), MOVED)
def test_entries_at_constant_places(tmp_path, text, attributes):
    lines = text.split(", ")
    nodes = [(line, attributes if i == 0 else {}) for i, line in enumerate(lines)]
    check(tmp_path, double_model(nodes, (2, 3), 18, ["y"], **C), (2, 3), tolerance=1e-15)


REFUSED = [
    ("ScatterND x twice uprows > y", {}, "writes an entry twice"),
    ("ScatterND x nd up2 > y", {"reduction": "max"}, "its reduction 'max'"),
    ("Add large large > k", {}, "too large"), ("Mul large b > k", {}, "too large"),
    ("Div a zero > k", {}, "divided by 0"), ("Mod a zero > k", {}, "divided by 0"),
    ("Mod f g > k", {"fmod": 1}, "other than constant integers"), ("Range zero one zero > k", {}, "step is 0"),
    ("GatherND x dims > y", {}, "not constant integers|not all entries"), ("Floor x > y", {}, "it jumps"),
    ("GatherElements x twice3 > y", {"axis": 1}, "does not fit into"), ("NonZero x > y", {}, "may jump"),
]  # fmt: skip
C["twice3"] = np.zeros((3, 1), dtype=np.int64)


@pytest.mark.parametrize(("line", "attributes", "message"), REFUSED)
def test_what_is_in_doubt_is_refused(tmp_path, line, attributes, message):
    with pytest.raises(ValueError, match=message):
        loaded(tmp_path, double_model([(line, attributes)], (2, 3), 18, ["y"], **C))


@pytest.mark.parametrize("lines", [["Mul third three > t", "Less t unit > k"], ["Less unit above > k"],
                                   ["Equal third third > k"]])  # fmt: skip
def test_floats_that_rounding_may_reorder_are_not_compared(tmp_path, lines):
    """1/3 times 3 is 1 in the graph's arithmetic, but not as exact reals."""
    with pytest.raises(ValueError, match=r"rounding may decide|float64 holds exactly"):
        loaded(tmp_path, double_model(lines, (2, 3), 18, ["k"], **C))


C["above"] = np.array(1.0 + 2.0**-30)


def _legacy():
    """Ordinary modules, of whose shapes torch's exporter of before 2.9 leaves the arithmetic in the graph."""
    import torch
    from torch import nn

    class Of(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.linear, self.function = nn.Linear(6, 6), function

        def forward(self, x):
            return self.function(self.linear(x), x)

    def written(y, x):
        y[:, 1:3].mul_(5)
        y[:, 0] = 0.5
        return y.relu()

    def set_from(y, x):
        y[:, ::2] = x[:, :3] + 1
        return y.relu()

    vector, image = (1, 6), (1, 2, 7, 7)
    places = torch.tensor([[2, 0, 5]])
    return {
        "expand": (Of(lambda y, x: x.unsqueeze(1).expand(1, 3, 6).relu()), vector),
        "expand -1": (Of(lambda y, x: y[:, None, :].expand(-1, 4, -1).relu()), vector),
        "written": (Of(written), vector),
        "set": (Of(set_from), vector),
        "unflatten": (nn.Sequential(nn.Linear(6, 6), nn.Unflatten(1, (2, -1)), nn.ReLU()), vector),
        "unfold": (nn.Sequential(nn.Unfold(3), nn.ReLU()), image),
        "unfold of more": (nn.Unfold((3, 2), stride=2, padding=1, dilation=(1, 2)), image),
        "gather": (Of(lambda y, x: y.gather(1, places).relu()), vector),
        "scatter": (Of(lambda y, x: y.scatter(1, places, x[:, :3]).relu()), vector),
        "scatter_add": (Of(lambda y, x: y.scatter_add(1, torch.tensor([[2, 0, 2]]), x[:, :3]).relu()), vector),
        "tril": (Of(lambda y, x: torch.tril(y.view(1, 2, 3)).relu()), vector),
        "view": (Of(lambda y, x: y.view(x.size(0), -1, x.size(1) // 2).relu()), vector),
    }


@pytest.mark.framework("torch")
@pytest.mark.filterwarnings("ignore")
def test_what_torch_leaves_of_shapes_in_a_graph(tmp_path):
    import torch

    for name, (module, shape) in _legacy().items():
        path = tmp_path / "net.onnx"
        torch.onnx.export(module.eval(), (torch.zeros(shape),), path, dynamo=False, opset_version=17)
        net = hr2jax.load(path)
        for i in range(8):
            x = np.random.default_rng(i).standard_normal(shape).astype(np.float32) * 2.0 ** (i - 3)
            expected = module(torch.tensor(x)).detach().numpy().ravel()
            assert abs(net(x.ravel()) - expected).max() <= 1e-5 * (1.0 + abs(expected).max()), name
