"""Choices by comparisons: kinks are read as what they are, jumps are refused."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
import hr2jax  # noqa: E402
from tests.reference.onnx_graphs import check, double_model, loaded  # noqa: E402

WHERE = [
    ["Greater x zero > c", "Mul x tenth > b", "Where c x b > y"],
    ["MatMul M x > z", "LessOrEqual z zero > c", "Mul z slopes > b", "Where c b z > y"],
    ["Less x zero > c", "Where c zero x > y"],
    ["Less x zero > c", "Neg x > b", "Where c b x > y"],
    ["Greater x half > c1", "Not c1 > c2", "Sub x half > s", "Mul s two > t",
     "Add t half > a", "Where c2 x a > y"],
    ["MatMul M x > z", "Greater z x > c", "Where c z x > y"],
    ["Greater x half > c", "Sub x half > a", "Where c a zero > u", "Less x minus > d", "Add x half > b",
     "Where d b zero > v", "Add u v > y"],
    ["Greater x zero > c", "Cast c to=11 > f", "MatMul M x > z", "Mul f x > w", "Add w z > y"],
]  # fmt: skip
C = {
    "zero": np.array(0.0), "tenth": np.array(0.1), "half": np.array(0.5), "minus": np.array(-0.5), "two": np.array(2.0),
    "M": np.array([[1.5, -2.0, 0.25], [0.0, 1.0, 3.0], [-1.0, 0.5, 0.125]]), "slopes": np.array([0.1, -0.3, 2.0]),
    "a3": np.ones(3), "b3": np.zeros(3),
}  # fmt: skip


def nodes_of(lines):
    return [(line.replace(" to=11", ""), {"to": 11} if "to=11" in line else {}) for line in lines]


@pytest.mark.parametrize("lines", WHERE, ids=str)
def test_kinks_in_onnx(tmp_path, lines):
    check(tmp_path, double_model(nodes_of(lines), (3,), 18, ["y"], **C), (3,), points=8, tolerance=1e-14)


JUMPS = [
    ["Greater x zero > c", "Where c a3 b3 > y"], ["Greater x zero > c", "Where c x a3 > y"],
    ["MatMul M x > z", "Greater z zero > c", "Where c x b3 > y"], ["Greater x zero > c", "Add c c > y"],
    ["Equal x zero > c", "Where c x b3 > y"], ["Greater x half > c", "Where c x b3 > y"],
    ["Greater x zero > c", "Cast c to=11 > y"], ["Greater x zero > c", "Cast c to=11 > f", "Add f x > y"],
    ["Greater x half > c", "Less x two > d", "And c d > e", "Where e x b3 > y"],
]  # fmt: skip


@pytest.mark.parametrize("lines", JUMPS, ids=str)
def test_jumps_in_onnx(tmp_path, lines):
    with pytest.raises(ValueError, match=r"jump|takes|computes with"):
        loaded(tmp_path, double_model(nodes_of(lines), (3,), 18, ["y"], **C))


def test_random_choices_are_read_or_refused_as_they_are_continuous(tmp_path):
    """A = B + s z meets B where z = 0; with any entry of A changed it does not, and is refused."""
    rng = np.random.default_rng(0)
    read = refused = 0
    for _ in range(40):
        n = int(rng.integers(1, 4))
        z, b = (np.round(rng.standard_normal((n, 4)) * 4) / 4 for _ in range(2))
        z[np.arange(n), rng.integers(0, 4, n)] = 0.75  # no row is a constant
        s = np.round(rng.standard_normal(n) * 4) / 4 + 0.125
        a = b + s[:, None] * z
        jump = rng.random() < 0.5
        if jump:
            a[rng.integers(n), rng.integers(4)] += rng.choice([-1.0, 2.0**-20])
        shifts = {}
        for name, matrix in (("Z", z), ("A", a), ("B", b)):
            shifts |= {name: matrix[:, :3], name.lower(): matrix[:, 3]}
        lines = [f"MatMul {m} x > m{m}" for m in "ZAB"] + [f"Add m{m} {m.lower()} > v{m}" for m in "ZAB"]
        lines += [f"{rng.choice(['Greater', 'GreaterOrEqual'])} vZ zero > c", "Where c vA vB > y"]
        graph = double_model(lines, (3,), 18, ["y"], zero=C["zero"], **shifts)
        if jump:
            with pytest.raises(ValueError, match="may jump"):
                loaded(tmp_path, graph)
        else:
            check(tmp_path, graph, (3,), points=6, tolerance=1e-13)
        read, refused = read + (not jump), refused + jump
    assert min(read, refused) > 5


def _modules():
    import torch
    from torch import nn
    from torch.nn import functional

    class Of(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.linear, self.function = nn.Linear(6, 6), function

        def forward(self, x):
            return self.function(self.linear(x), x, self.linear.bias)

    where, ones = torch.where, torch.ones_like
    kinks = {
        "slope": Of(lambda y, x, b: where(x > 0, x, 0.1 * x)),
        "of a layer": Of(lambda y, x, b: where(y > 0, y, 0.1 * y)),
        "absolute": Of(lambda y, x, b: where(y < 0, -y, y)), "masked": Of(lambda y, x, b: y.masked_fill(y < 0, 0.0)),
        "not": Of(lambda y, x, b: x.masked_fill(~(x > 0), 0)), "times": Of(lambda y, x, b: x * (x > 0)),
        "as floats": Of(lambda y, x, b: (y > 0).float() * y), "maximum": Of(lambda y, x, b: where(y > x, y, x)),
        "constant": Of(lambda y, x, b: where(x >= 0.5, x, 0.5 * ones(x))),
        "prelu": Of(lambda y, x, b: where(y > 0, y, b * y)),
        "elsewhere": Of(lambda y, x, b: where(x > 1, 2 * x - 1, x)),
        "a constant": Of(lambda y, x, b: where(b > 0, y, x)),
        "softshrink": nn.Sequential(nn.Linear(6, 6), nn.Softshrink(0.4)), "plain": nn.Softshrink(),
        "ends": Of(lambda y, x, b: torch.clamp(x, min=b - 1, max=b + 0.5)),
        "low": Of(lambda y, x, b: torch.clamp_min(x, b)),
        "crossed ends": Of(lambda y, x, b: torch.clamp(x, min=b, max=-b)),
        "high": Of(lambda y, x, b: torch.clamp(x, max=b)),
    }  # fmt: skip
    jumps = {
        "hardshrink": nn.Hardshrink(0.4), "filled": Of(lambda y, x, b: x.masked_fill(x < 0, 1.0)),
        "another": Of(lambda y, x, b: where(y > 0, y, 0.1 * x)), "equal": Of(lambda y, x, b: where(x == 0, x, 2 * x)),
        "indicator": Of(lambda y, x, b: (x > 0).float()), "added": Of(lambda y, x, b: (x > 0).float() + x),
        "counted": Of(lambda y, x, b: (x > 0).sum(-1, keepdim=True) * x),
        "one of all": Of(lambda y, x, b: where(x[:, :1] > 0, x, -x)),
        "threshold": Of(lambda y, x, b: functional.threshold(x, 0.1, 20)),
        "near": Of(lambda y, x, b: where(x > 1, 2 * x - 1, x + 1e-3)),
    }  # fmt: skip
    return kinks, jumps


@pytest.mark.framework("torch")
def test_kinks_and_jumps_in_torch():
    import torch

    kinks, jumps = _modules()
    for name, module in kinks.items():
        net = hr2jax.as_network(module.eval(), example=np.zeros((1, 6), np.float32))
        for i in range(8):
            x = np.random.default_rng(i).standard_normal((1, 6)).astype(np.float32) * 2.0 ** (i - 3)
            expected = module(torch.tensor(x)).detach().numpy().ravel()
            assert abs(net(x.ravel()) - expected).max() <= 1e-5 * (1.0 + abs(expected).max()), name
    for name, module in jumps.items():
        with pytest.raises(ValueError, match=r"jump"):
            print(name, hr2jax.as_network(module.eval(), example=np.zeros((1, 6), np.float32)))


@pytest.mark.framework("torch")
def test_a_pool_with_a_divisor_of_its_own():
    import torch
    from torch import nn

    for given in ((2, 2, 0, False, True), (3, 2, 1, False, True), (3, 2, 1, True, True), (3, 2, 1, True, False)):
        module = nn.AvgPool2d(*given, divisor_override=5)
        net = hr2jax.as_network(module, example=np.zeros((1, 2, 6, 7), np.float32))
        x = np.random.default_rng(0).standard_normal((1, 2, 6, 7)).astype(np.float32)
        assert abs(net(x.ravel()) - module(torch.tensor(x)).numpy().ravel()).max() <= 1e-5


@pytest.mark.framework("torch")
def test_a_pool_of_powers_is_refused_as_one():
    from torch import nn

    with pytest.raises(ValueError, match="multiplies two values that the network computes"):
        hr2jax.as_network(nn.LPPool2d(2, 2), example=np.zeros((1, 2, 6, 6), np.float32))
