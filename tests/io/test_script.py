"""TorchScript archives: read as what their code says, without PyTorch, or refused by name."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from tests.reference.effort import examples
from tests.reference.frameworks import framework
from tests.reference.pt_files import ARRAYS, CODE, FUNCTIONAL, dictionary, module, script, tensor


def load(folder, data, **options):
    (folder / "net.pt").write_bytes(data)
    return hr2jax.load(folder / "net.pt", **{"example": np.zeros((1, 2)), **options})


def test_an_archive_without_pytorch(tmp_path):
    net = load(tmp_path, script())
    A, b, C, d = (a.reshape(s).astype(float) for a, s in zip(ARRAYS, ((3, 2), (3,), (1, 3), (1,)), strict=True))
    assert [w.tolist() for w in net.weights] == [A.tolist(), C.tolist()]
    assert [v.tolist() for v in net.biases] == [b.tolist(), (d + 2).tolist()]
    with pytest.raises(ValueError, match="TorchScript says itself what it does"):
        load(tmp_path, script(), activation="relu")


def changed(before, after, code=CODE):
    assert before in code
    return code.replace(before, after)


FORWARD = '    y = torch.relu_((self).inner(torch.view(x, [torch.size(x, 0), -1]), ))\n'  # fmt: skip
REFUSED = {
    "a loop": (changed(FORWARD, FORWARD + "    for i in range(3):\n      y = torch.relu(y)\n"), "has a For, which"),
    "a choice of values": (changed("torch.__is__(self.bias, None)", "torch.gt(x, 0)"), "torch.gt is not read|torch.gt"),
    "an operator": (changed("torch.relu_", "torch.sign"), "torch.sign"),
    "an unknown function": (changed("__torch__.functional.linear", "__torch__.functional.other"), "not in the archive"),
    "a function elsewhere": (changed("__torch__.functional.linear", "__torch__.os.system"), "holds no code of"),
    "a name of Python": (changed("torch.relu_(", "__import__("), "names '__import__', which is not known"),
    "an attribute of Python": (changed("self.weight, bias)", "self.__class__, bias)"), "has no '__class__'"),
    "hooks": (changed("  scale : ", "  __forward_hooks__ = [\"hook\"]\n  scale : "), "has '__forward_hooks__'"),
    "a state of its own": (changed("  def inner(", "  def __setstate__(s: int) -> int:\n    return s\n  def inner("),
                           "'__setstate__'"),
    "an attribute changed": (changed(FORWARD, FORWARD + "    self.weight = x\n"), "changes what a module holds"),
    "weights in place": (changed(FORWARD, FORWARD + "    _1 = torch.relu_(self.weight)\n"), "changes what the module"),
    "a view in place": (changed("add((_0).forward(y, ),", "add((_0).forward(z, ),", changed(
        "torch.relu_((self)", "torch.sigmoid((self)", changed(FORWARD, FORWARD + "    z = torch.view(y, [3])\n"
                                                              "    _9 = torch.relu_(y)\n"))), "through another view"),
    "training": (changed(FORWARD, FORWARD + "    y = torch.dropout(y, 0.5, True)\n"), "training mode"),
    "integers": (changed(FORWARD, FORWARD + "    y = torch.to(y, 4)\n"), "numbers of another kind"),
    "an error": (changed(FORWARD, FORWARD + '    ops.prim.RaiseException("no")\n'), "raises an error"),
    "a constant that is not there": (changed("CONSTANTS.c0", "CONSTANTS.c7"), "no constant 'c7'"),
    "an argument that is not known": (changed("alpha=2", "beta=2"), "torch.add: it is called with arguments"),
    "a kernel": (changed("torch.relu_", "torch.conv1d"), "torch.conv1d"),
    "no method": (changed("def inner(", "def outer("), "has no method 'inner'"),
    "itself": (changed(FORWARD, "    y = (self).forward(x, )\n"), "deeper than any module's"),
    "no syntax": (changed("    return torch.add(", "    return torch add("), "is damaged"),
    "brackets": (changed("alpha=2", "alpha=" + "(" * 5000 + "2" + ")" * 5000), "is damaged"),
    "a statement": (CODE + "import os\n", "holds something beside classes and functions"),
    "huge numbers": (changed("alpha=2", "alpha=1e999"), "a number that is too large"),
    "no tensor": (changed("    return torch.add((_0).forward(y, ), CONSTANTS.c0, alpha=2)", "    return 3"),
                  "no tensor"),
    "a size that does not fit": (changed("-1])", "5])"), "do not fit into"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(tmp_path, name):
    code, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, script(code))
    assert "\n" not in str(caught.value)


def test_other_archives_are_refused(tmp_path):
    for value, message in ((tensor(0, 3, 2), "no module of TorchScript"), (module("activation ReLU"), "no module of"),
                           (b"c__torch__\nOther\n)\x81" + dictionary({}) + b"b", "not in the archive"),
                           (b"c__torch__\nNet\n)\x81K\x03b", "of something that is no module")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            load(tmp_path, script(value=value))
    with pytest.raises(ValueError, match="constants of the archive are damaged"):
        load(tmp_path, script(constants=b"K\x01"))
    with pytest.raises(ValueError, match=r"not evident \(it begins with Net\); give an input"):
        load(tmp_path, script(), example=None)
    doubled = "".join(f"def f{i}(x: Tensor) -> Tensor:\n  return __torch__.functional.f{i - 1}("
                      f"__torch__.functional.f{i - 1}(x, ), )\n" for i in range(1, 40))  # fmt: skip
    doubled += "def f0(x: Tensor) -> Tensor:\n  return x\n" + FUNCTIONAL
    with pytest.raises(ValueError, match="more than 20000 steps"):
        load(tmp_path, script(changed("torch.relu_(", "__torch__.functional.f39("), doubled))


def test_arguments_by_name_in_any_order_are_the_schemas(tmp_path):
    """sub(other=y, self=x) is x - y."""
    body = "    y = (self).inner(x, )\n    z = torch.sub(other=torch.neg(y), self=y)\n    y = torch.relu(z)\n"
    code = changed(FORWARD, body)
    net, plain = load(tmp_path, script(code)), load(tmp_path, script())
    x = np.array([0.3, -2.0])
    A, b = plain.weights[0], plain.biases[0]
    assert np.allclose(net(x), plain.weights[1] @ np.maximum(2 * (A @ x + b), 0.0) + plain.biases[1])


def test_an_operator_in_place_changes_what_is_used_afterwards(tmp_path):
    """y = x A; z = relu_(y); y + z is 2 relu(x A), as PyTorch computes it."""
    code = changed(FORWARD, "    y = (self).inner(x, )\n    z = torch.relu_(y)\n    y = torch.add(y, z)\n")
    net, plain = load(tmp_path, script(code)), load(tmp_path, script())
    x = np.array([0.3, -2.0])
    A, b = plain.weights[0], plain.biases[0]
    expected = plain.weights[1] @ (2 * np.maximum(A @ x + b, 0.0)) + plain.biases[1]
    assert np.allclose(net(x), expected)


@settings(deadline=None, max_examples=examples(200))
@given(st.lists(st.tuples(st.integers(0, len(CODE) - 1), st.text(max_size=3)), min_size=1, max_size=3))
def test_damaged_code_only_raises_value_error(tmp_path_factory, changes):
    code = CODE
    for at, new in changes:
        code = code[:at] + new + code[at + 1 :]
    folder = tmp_path_factory.getbasetemp()
    try:
        load(folder, script(code.encode("utf-8", "replace").decode()))
    except ValueError as error:
        assert "\n" not in str(error)


def test_nothing_is_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "made"), "w")

    evil = pickle.dumps(Evil(), 2)[2:-1]
    for data in (script(constants=evil + b"\x85"), script(value=evil),
                 script(changed("torch.relu_(", f'open("{tmp_path / "made"}", "w", '))):  # fmt: skip
        with pytest.raises(ValueError):
            load(tmp_path, data)
    assert not (tmp_path / "made").exists()


# With PyTorch


@pytest.mark.framework("torch")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("form", ["traced", "scripted", "frozen"])
def test_archives_are_read_as_what_pytorch_computes(tmp_path, form):
    torch = framework("torch")
    from .script_modules import MODULES, TRACED

    for name, (net, shape) in (MODULES | TRACED if form == "traced" else MODULES).items():
        net = net.double().eval()  # noqa: PLW2901
        x = torch.zeros(shape, dtype=torch.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = torch.jit.trace(net, x) if form == "traced" else torch.jit.script(net)
            made = torch.jit.freeze(made) if form == "frozen" else made
        torch.jit.save(made, tmp_path / "net.pt")
        found = hr2jax.as_network(tmp_path / "net.pt", example=np.zeros(shape))
        rng = np.random.default_rng(0)
        for _ in range(10):
            x = rng.standard_normal(shape) * 3.0
            with torch.no_grad():
                expected = net(torch.as_tensor(x))
            expected = torch.cat([v.flatten() for v in expected]) if isinstance(expected, tuple) else expected
            expected = expected.numpy().ravel()
            assert abs(found(x.ravel()) - expected).max() <= 1e-9 * max(1.0, abs(expected).max()), name


@pytest.mark.framework("torch")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_training_mode_and_hooks_of_pytorch_are_refused(tmp_path):
    torch = framework("torch")
    from torch import nn

    net = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Dropout()).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = torch.jit.script(net), torch.jit.trace(net, torch.randn(3, 4), check_trace=False)
    for made in both:
        torch.jit.save(made, tmp_path / "net.pt")
        with pytest.raises(ValueError, match=r"training mode|raises an error"):
            hr2jax.load(tmp_path / "net.pt")


@pytest.mark.framework("torch")
@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_the_table_of_arguments_is_pytorchs():
    torch = framework("torch")
    from hr2jax.io.torch.schemas import REQUIRED, SCHEMAS

    for name, known in SCHEMAS.items():
        forms = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
        for form in forms:
            theirs = [(a.name, a.default_value if a.has_default_value() else REQUIRED) for a in form.arguments]
            if [argument for argument, _ in theirs] == [argument for argument, _ in known]:
                for (argument, default), (_, said) in zip(theirs, known, strict=True):
                    spread = [said] * len(default) if isinstance(default, list) else said  # a number for each dim
                    same = default is said or default in (said, spread)
                    assert same or name in ("squeeze", "mean", "sum"), (name, argument, default, said)
                break
        else:
            assert name in ("squeeze", "mean", "sum"), (name, forms)
