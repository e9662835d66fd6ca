"""Whole modules in .pt files: read as what they compute, without PyTorch, or refused by name."""

import warnings

import numpy as np
import pytest

import hr2jax
from tests.reference.pt_files import ARRAYS, SEQUENTIAL, file_of, linear, module, sequential, tensor, text


def load(folder, value, **options):
    (folder / "net.pt").write_bytes(file_of(value))
    return hr2jax.as_network(folder / "net.pt", **options)


def relu(**attributes):
    return module("activation ReLU", **attributes)


def test_a_sequential_without_pytorch(tmp_path):
    net = load(tmp_path, SEQUENTIAL)
    assert net.weights[0].tolist() == [[0, 0.25], [0.5, 0.75], [1, 1.25]]
    assert net.biases[1].tolist() == [-3] and net.depth == 1
    nested = load(tmp_path, sequential(sequential(linear(0, 3, 2), relu()), linear(2, 1, 3)))
    assert nested.hash == net.hash == hr2jax.load(tmp_path / "net.pt").hash
    assert load(tmp_path, linear(0, 3, 2)).widths == (2, 3)


def test_what_the_caller_says_of_a_module_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a whole module says itself what it does"):
        load(tmp_path, SEQUENTIAL, activation="relu")
    with pytest.raises(ValueError, match=r"a batch of 1, but its shape is \(3, 2\)"):
        load(tmp_path, SEQUENTIAL, example=np.zeros((3, 2)))


def whole(*numbers):
    every = [b"K" + bytes([n]) for n in numbers]
    return every[0] if len(every) == 1 else b"(" + b"".join(every) + b"t"


def test_images_without_a_batch_are_refused(tmp_path):
    """PyTorch pools (1, 4, 4) in both dimensions behind the first, its channels: not in the last one alone."""
    flat = module("flatten Flatten", start_dim=whole(0), end_dim=b"J\xff\xff\xff\xff")
    every = {"stride": whole(1), "padding": whole(1), "ceil_mode": b"\x89"}
    for name, own in (
        ("MaxPool2d", {"kernel_size": whole(3), "dilation": whole(1), "return_indices": b"\x89", **every}),
        ("AvgPool2d", {"kernel_size": whole(3), "count_include_pad": b"\x88", **every}),
        ("AdaptiveAvgPool2d", {"output_size": whole(4)}), ("AdaptiveAvgPool2d", {"output_size": whole(4, 4)}),
        ("AdaptiveMaxPool2d", {"output_size": whole(4), "return_indices": b"\x89"}),
    ):  # fmt: skip
        pooled = sequential(module(f"pooling {name}", **own), flat, linear(0, 1, 16))
        arrays = [np.ones(16, "<f4"), np.zeros(1, "<f4")]
        (tmp_path / "net.pt").write_bytes(file_of(pooled, arrays))
        assert hr2jax.as_network(tmp_path / "net.pt", example=np.zeros((1, 1, 4, 4))).widths[0] == 16
        with pytest.raises(ValueError, match=r"layer '0' \(\w+\).* shape \(1, 4, 4\).* a batch of 1"):
            hr2jax.as_network(tmp_path / "net.pt", example=np.zeros((1, 4, 4)))


def test_what_a_convolution_says_of_itself_that_its_class_is_not_is_refused(tmp_path):
    """PyTorch's Conv1d does not ask for `transposed`."""
    own = {"stride": whole(1), "padding": whole(0), "dilation": whole(1), "groups": whole(1),
           "padding_mode": text("zeros"), "output_padding": whole(0)}  # fmt: skip
    for name in ("Conv1d", "ConvTranspose1d"):
        for said, flag in ((True, b"\x88"), (False, b"\x89")):
            layer = module(f"conv {name}", {"weight": tensor(0, 2, 2, 1)}, transposed=flag, **own)
            (tmp_path / "net.pt").write_bytes(file_of(layer, [np.arange(4, dtype="<f4")]))
            if said == ("Transpose" in name):
                net = hr2jax.as_network(tmp_path / "net.pt", example=np.zeros((1, 2, 1)))
                assert net(np.eye(2)).T.tolist() == ([[0, 2], [1, 3]] if said else [[0, 1], [2, 3]])
            else:
                with pytest.raises(ValueError, match=r"transposed, which its class is not"):
                    hr2jax.as_network(tmp_path / "net.pt", example=np.zeros((1, 2, 1)))


LINEARS = linear(0, 3, 2), linear(2, 1, 3)


def then(*modules):
    return sequential(LINEARS[0], *modules)


MODULES = {
    "layers of somebody else": (sequential(module("mine Linear")), "class torch.nn.modules.mine.Linear, which is none"),
    "a subclass of Sequential": (module("mine.net Net", modules={"0": LINEARS[0]}), r"the module \(Net\) is of"),
    "a list": (module("container ModuleList", modules={"0": LINEARS[0]}), "ModuleList, which is none of torch.nn's"),
    "a normalisation": (then(module("normalization LayerNorm")), "layer '1' .* is none of torch.nn's"),
    "a forward of its own": (then(relu(forward=b"cmine\nforward\n")), "attribute 'forward', which is not"),
    "a hook": (then(relu(hooks=b"}K\x00cmine\nhook\ns")), "layer '1' .* has a forward hook"),
    "a hook on the whole": (sequential(*LINEARS, hooks=b"}K\x00cmine\nhook\ns"), r"the module \(Sequential\) has a f"),
    "hooks of another kind": (then(relu(hooks=b"cmine\nDict\n)\x81")), "has a forward hook"),
    "a parameter more": (module("linear Linear", {"weight": tensor(0, 3, 2), "scale": tensor(1, 3)}), "'scale'"),
    "a module within a layer": (module("activation ReLU", modules={"0": LINEARS[0]}), "attribute '0', which is not"),
    "training dropout": (then(module("dropout Dropout", p=b"G?\xe0\0\0\0\0\0\0", training=True)),
                         r"layer '1' \(Dropout\) is in training mode.*\.eval\(\)"),
    "training batch norm": (then(module("batchnorm BatchNorm1d", eps=b"K\x01", training=True)),
                            "training mode"),
    "no statistics": (then(module("batchnorm BatchNorm1d", eps=b"K\x01")), "statistics of its batch"),
    "no mode": (then(relu(training=None)), "does not say whether it is in training mode"),
    "an older GELU": (then(module("activation GELU")), "does not say its approximate"),
    "another gelu": (then(module("activation GELU", approximate=text("fast"))), "approximate"),
    "a text for a slope": (then(module("activation LeakyReLU", negative_slope=text("a"))), "no number"),
    "indices": (sequential(module("pooling MaxPool1d", kernel_size=b"K\x01", stride=b"K\x01", padding=b"K\0",
                                  return_indices=b"\x88")), "returns indices"),
    "nothing": (sequential(), "it has no layer"),
    "no module": (sequential(text("Linear")), "the module '0' is no module of PyTorch"),
    "no weight": (module("linear Linear", {"weight": b"N", "bias": tensor(1, 3)}), "begins with Linear"),
    "layers that do not fit": (then(LINEARS[0]), "layer '1'"),
    "integers": (module("linear Linear", {"weight": tensor(0, 3, 2, kind=b"LongStorage")}), "LongStorage, not of"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_what_is_refused(tmp_path, name):
    value, message = MODULES[name]
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, value, **({"example": np.zeros((1, 1, 4))} if name == "indices" else {}))
    assert "\n" not in str(caught.value)


def test_a_module_that_holds_itself_or_is_countless_is_refused(tmp_path):
    first = b"ctorch.nn.modules.container\nSequential\n)\x81q\x01"
    state = sequential().removeprefix(b"ctorch.nn.modules.container\nSequential\n)\x81")
    itself = first + state.replace(b"}(u", b"}(" + text("0") + b"h\x01u")
    assert itself.count(b"h\x01") >= 1
    doubled = relu()
    for i in range(40):
        doubled = doubled + b"q" + bytes([i + 2])
        again = b"h" + bytes([i + 2])
        doubled += module("container Sequential", modules={"0": again, "1": again})
    for value in (itself, doubled):
        with pytest.raises(ValueError, match=r"more modules than any network|attribute '0'"):
            load(tmp_path, value, example=np.zeros((1, 2)))


def test_a_layer_applied_twice_and_numbers_that_are_not_finite(tmp_path):
    square = module("linear Linear", {"weight": tensor(0, 2, 2), "bias": b"N"})
    twice = sequential(square + b"q\x09", relu(), b"h\x09")
    net = load(tmp_path, twice)
    assert net.weights[0].tolist() == net.weights[1].tolist() and not net.biases[1].any()
    (tmp_path / "net.pt").write_bytes(file_of(SEQUENTIAL, [ARRAYS[0] * np.nan, *ARRAYS[1:]]))
    with pytest.raises(ValueError, match=r"weight of layer '0' \(Linear\) must be finite"):
        hr2jax.load(tmp_path / "net.pt")


def sequentials():
    from torch import nn

    from .test_torch import MODULES as ALL

    refused = nn.Upsample, nn.PixelUnshuffle, nn.ChannelShuffle  # by their names: nothing of PyTorch is run
    for name, pair in ALL.items():
        is_read = type(pair[0]) is nn.Sequential and not any(isinstance(layer, refused) for layer in pair[0])
        if is_read and "norm" not in name:
            yield name, *pair
    yield "batch norm", *ALL["batch norm"]
    for name, layer in {"leaky": nn.LeakyReLU(0.3), "elu": nn.ELU(0.7), "celu": nn.CELU(2.0), "selu": nn.SELU(),
                        "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid(), "softsign": nn.Softsign(), "mish": nn.Mish(),
                        "hardswish": nn.Hardswish(), "softplus": nn.Softplus(3.0, 2.0), "silu": nn.SiLU(True),
                        "gelu": nn.GELU("tanh"), "rrelu": nn.RReLU(0.2, 0.4), "prelu": nn.PReLU(5, 0.1),
                        "hardtanh": nn.Hardtanh(-0.5, 2.0), "relu6": nn.ReLU6(), "hardsigmoid": nn.Hardsigmoid(),
                        "dropout": nn.AlphaDropout(), "identity": nn.Identity()}.items():  # fmt: skip
        yield name, nn.Sequential(nn.Linear(4, 5), layer, nn.Linear(5, 2)), (1, 4)
    yield "norm", nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, eps=0.1, affine=False), nn.ReLU()), (1, 4)
    pads = nn.Sequential(nn.ConstantPad2d((1, 0, 2, 1), 0.5), nn.CircularPad2d(1), nn.ReLU())
    yield "constant pads", pads, (1, 2, 6, 5)
    yield "ceil", nn.Sequential(nn.MaxPool2d(2, ceil_mode=True), nn.ReLU(), nn.AvgPool2d((2, 1), divisor_override=None),
                                nn.AdaptiveAvgPool2d((1, None))), (1, 2, 6, 5)  # fmt: skip


@pytest.mark.framework("torch")
def test_modules_are_read_as_what_pytorch_computes(tmp_path):
    import torch

    from .test_torch import check

    done = 0
    for name, net, shape in sequentials():
        net = net.double().eval()  # noqa: PLW2901
        torch.save(net, tmp_path / f"{done}.pt", pickle_protocol=(2, 4)[done % 2])
        found = hr2jax.as_network(tmp_path / f"{done}.pt", example=np.zeros(shape))
        assert found.hash == check(net, shape).hash, name
        done += 1
    assert done > 30


@pytest.mark.framework("torch")
def test_what_pytorch_writes_and_is_refused(tmp_path):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    changed = {
        "hook": lambda m: m[1].register_forward_hook(torch.relu),
        "pre-hook": lambda m: m.register_forward_pre_hook(torch.relu),
        "forward": lambda m: setattr(m[1], "forward", torch.tanh),
        "weight norm": lambda m: nn.utils.weight_norm(m[0]),
        "attribute": lambda m: setattr(m, "scale", 2.0),
        "training": lambda m: m.insert(1, nn.Dropout()),
    }
    for name, change in changed.items():
        torch.save(net, tmp_path / "net.pt")
        copy = torch.load(tmp_path / "net.pt", weights_only=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            change(copy)
        torch.save(copy, tmp_path / "net.pt")
        with pytest.raises(ValueError, match=r"forward hook|not known and may change|training mode"):
            print(name, hr2jax.load(tmp_path / "net.pt"))
    conv = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).eval()
    torch.save(conv, tmp_path / "conv.pt")
    with pytest.raises(ValueError, match=r"begins with Conv2d\); give an input .* to hr2jax.as_network"):
        hr2jax.load(tmp_path / "conv.pt")
