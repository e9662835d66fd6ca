"""Modules of PyTorch are read as what they compute in float64."""

import numpy as np
import pytest

import hr2jax
from tests.reference.frameworks import framework

pytestmark = pytest.mark.framework("torch")
torch = framework("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from tests.reference.exact_layers import members_at  # noqa: E402


def check(module, shape, points=40, tolerance=1e-9, **options):
    """The network of a module, after comparing it with the module in double precision."""
    module = module.double().eval()
    net = hr2jax.as_network(module, example=np.zeros(shape), **options)
    rng = np.random.default_rng(0)
    for i in range(points):
        x = rng.standard_normal(shape) * (3.0 if i else 0.0)
        with torch.no_grad():
            expected = module(torch.as_tensor(x)).numpy().ravel()
        value = net(x.ravel())
        assert value.shape == expected.shape
        assert abs(value - expected).max() <= tolerance * max(1.0, abs(expected).max())
    return net


class Of(nn.Module):
    """A module of a function."""

    def __init__(self, function, *modules, **buffers):
        super().__init__()
        self.function, self.inner = function, nn.ModuleList(modules)
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x):
        return self.function(self, x)


def norms(module):
    """BatchNorm layers with statistics that are not 0 and 1."""
    for m in module.modules():
        if hasattr(m, "running_mean"):
            m.running_mean.normal_()
            m.running_var.uniform_(0.2, 2.0)
            nn.init.normal_(m.weight)
    return module


torch.manual_seed(0)
IMG = (1, 2, 6, 5)
MODULES = {
    "sequential": (nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3)), (1, 4)),
    "batch norm": (norms(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.LeakyReLU(0.1), nn.Linear(6, 3))),
                   (1, 4)),
    "slopes": (nn.Sequential(nn.Linear(4, 6), nn.PReLU(), nn.Linear(6, 6), nn.PReLU(6), nn.RReLU(), nn.Linear(6, 2)),
               (1, 4)),
    "clips": (nn.Sequential(nn.Linear(4, 6), nn.Hardtanh(), nn.Linear(6, 6), nn.ReLU6(), nn.Hardsigmoid()),
              (1, 4)),
    "smooth": (nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6), nn.SELU(),
                             nn.Linear(6, 6), nn.Softplus(2.0, 1.5), nn.Linear(6, 6), nn.ELU(1.5), nn.Linear(6, 3),
                             nn.CELU(0.5), nn.Linear(3, 3), nn.SiLU(), nn.GELU(approximate="tanh"), nn.Mish()), (1, 4)),
    "cnn": (norms(nn.Sequential(nn.Conv2d(2, 4, 3, padding=1, stride=2), nn.BatchNorm2d(4), nn.ReLU(inplace=True),
                                nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 3))), IMG),
    "conv": (nn.Sequential(nn.Conv2d(2, 4, (3, 2), padding="same", dilation=2, groups=2, bias=False), nn.ReLU(),
                           nn.AvgPool2d(3, 2, padding=1), nn.Conv2d(4, 2, 2, padding=(1, 0))), IMG),
    "conv1d": (nn.Sequential(nn.Conv1d(2, 3, 3, padding=2, padding_mode="zeros"), nn.ReLU(), nn.MaxPool1d(2),
                             nn.ConvTranspose1d(3, 2, 3, stride=2, output_padding=1)), (1, 2, 7)),
    "padding": (nn.Sequential(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.ReplicationPad2d(1),
                              nn.Conv2d(2, 1, 3, padding=1, padding_mode="circular"), nn.ZeroPad2d((1, 0, 2, 0))), IMG),
    "pools": (nn.Sequential(nn.AvgPool2d(2, count_include_pad=False, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
              IMG),
    "adaptive": (nn.Sequential(nn.AdaptiveMaxPool2d((3, 5)), nn.ReLU(), nn.Flatten(0), nn.Unflatten(0, (2, 15))), IMG),
    "adaptive of several sizes": (nn.Sequential(nn.AdaptiveAvgPool2d((4, None)), nn.AdaptiveMaxPool2d((3, 2))), IMG),
    "images moved": (nn.Sequential(nn.Upsample(scale_factor=2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2),
                                   nn.PixelShuffle(2), nn.MaxPool2d(3, 3, 1, ceil_mode=True)), IMG),
    "interpolated": (nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(2, 3, 2),
                                   nn.Upsample(size=(4, 13), mode="bilinear", align_corners=True), nn.ReLU(),
                                   nn.Upsample(scale_factor=(1.7, 0.6), mode="bilinear"), nn.Upsample(size=(9, 5))),
                     IMG),
    "interpolated rows": (nn.Sequential(nn.Upsample(scale_factor=2.5, mode="linear"), nn.ReLU()), (1, 2, 5)),
    "transposed": (nn.Sequential(nn.ConvTranspose2d(2, 4, 3, 2, 1, groups=2, dilation=2), nn.ReLU()), IMG),
    "weight norm": (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 5)), nn.ReLU(), nn.Linear(5, 2)),
                    (1, 4)),
    "weight norm of the whole": (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 5), dim=None)),
                                 (1, 4)),
    "weight norm of columns": (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 5), dim=1)), (1, 4)),
    "spectral norm": (nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 5)), nn.ReLU(),
                                    nn.utils.parametrizations.spectral_norm(nn.Linear(5, 2))), (1, 4)),
    "tokens": (nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)), (1, 3, 4)),
    "normalised": (Of(lambda m, x: m.inner[0]((x - m.mean) / m.std), nn.Linear(4, 3), mean=torch.randn(4),
                      std=torch.rand(4) + 0.3), (1, 4)),
    "residual": (Of(lambda m, x: x + m.inner[1](F.relu(m.inner[0](x))), nn.Linear(4, 6), nn.Linear(6, 4)), (1, 4)),
    "shared": (Of(lambda m, x: m.inner[0](F.relu(m.inner[0](x))), nn.Linear(4, 4)), (1, 4)),
}  # fmt: skip


def in_a_view(x):
    y = x * 1
    y[:, 1:3].clamp_(-0.1, 0.2)
    return y


def assigned(x):
    y = torch.zeros_like(x)
    y[:, 1:] += x[:, :3]
    y[:, 0] = F.relu(x[:, 2])
    return torch.hstack([y, x.masked_fill(torch.tensor([True, False, False, True]), 0.5).msort()])


FUNCTIONS = {
    "pieces": lambda x: torch.cat([torch.maximum(x[:, :2], x[:, 2:]), x.chunk(2, 1)[1].abs(), x[:, ::2], x.flip(1)], 1),
    "arithmetic": lambda x: (2 * x - 1) / 3 + torch.sub(1, x, alpha=2) - (1 - x) * 0.1,
    "in place": lambda x: torch.stack([x.clone()[:, 1:].relu_(), x[:, :-1]], 1).mul_(2).add_(x[:, None, :3], alpha=0.5),
    "a view in place": in_a_view,
    "reduced": lambda x: torch.cat([x.mean(1), x.sum(1), x.amax(1), x.max(1)[0], x.min(1, True)[0][0], x.amin(1)]),
    "shapes": lambda x: x.view(1, 2, 2).transpose(1, 2).reshape(-1)[None].repeat(2, 1).squeeze().permute(1, 0).t(),
    "moved": lambda x: F.pad(x, (1, 2), value=0.5)[:, [3, 0, -1]].expand(3, 3) + x[:, None, 1],
    "matrices": lambda x: torch.arange(8.0, dtype=x.dtype).reshape(2, 4) @ x.T - (x @ x.new_ones(4, 1)),
    "split": lambda x: sum(torch.split(x, [1, 2, 1], 1)[i].sum() * (i + 1) for i in range(3)) + x.unbind(1)[0],
    "ends": lambda x: x.clamp(min=-0.2).clamp(max=0.4).minimum(x.new_full((4,), 0.3)) + torch.min(x, x * 2),
    "group sort": lambda x: torch.cat([x.view(1, 2, 2).sort(-1)[0].flatten(1), x.sort(1, True)[0], x.topk(3)[0]], 1),
    "max min": lambda x: torch.stack([x.view(1, 2, 2).amax(2), x.view(1, 2, 2).amin(2)], 2).flatten(1),
    "silu by hand": lambda x: x * torch.sigmoid(x) + torch.sigmoid(x),
    "smooth of constants": lambda x: torch.cat([x.relu(), F.celu(x.new_ones(1, 2) / 3), F.gelu(x.new_ones(1, 1))], 1),
    "softsign": lambda x: F.softsign(2 * x) + x / (1 + x.abs()),
    "assigned": assigned,
    "turned": lambda x: torch.cat([x.roll(1, 1), x.view(2, 2).rot90().tril()[None].flatten(1), x.narrow(1, 1, 2)], 1),
    "einsum": lambda x: torch.einsum("bi,ij->j", x, torch.arange(8.0, dtype=x.dtype).view(4, 2)),
    "between": lambda x: x.lerp(2 * x, 0.3),
    "nearest": lambda x: F.interpolate(x[None], size=7, mode="nearest-exact")[0] + F.interpolate(x[None], size=7)[0],
    "logarithm of a sigmoid": F.logsigmoid,
    "threshold": lambda x: F.threshold(x, 0.25, 0.25) + F.threshold(x, 0.0, 0.0),
    "sums so far": lambda x: torch.cumsum(F.relu(x), 1) + x.view(1, 2, 2).cumsum(-2).view(1, 4),
    "where": lambda x: torch.where(torch.tensor([True, False, True, False]), x, -x),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(name):
    module, shape = MODULES[name]
    check(module, shape)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    check(Of(lambda m, x: FUNCTIONS[name](x)), (1, 4))


def test_a_chain_has_the_hash_of_its_arrays():
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval()
    weights, biases = ([p.detach().numpy() for p in module.parameters()][i::2] for i in (0, 1))
    net = hr2jax.as_network(module)
    assert net.hash == hr2jax.Network(weights, biases).hash == hr2jax.as_network((weights, biases)).hash


def test_a_parametrised_weight_is_enclosed():
    """g v / ||v|| of float32 numbers lies within the radii, by exact rationals of its square."""
    layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2, bias=False)).eval()
    net = hr2jax.as_network(layer)
    (first, *_) = net.layers
    assert first.has_radii and len(net.layers) == 1
    low, high = members_at(net.layers, np.array([1.0, 0.0, 0.0]))
    from tests.reference.exact_layers import exact

    v, g = (exact(getattr(layer.parametrizations.weight, f"original{i}").detach().numpy()) for i in (1, 0))
    true = (g[:, 0] * v[:, 0]) ** 2 / (v * v).sum(axis=1)  # squared
    sign = np.array([1 if a * b > 0 else -1 for a, b in zip(g[:, 0], v[:, 0], strict=True)])
    ends = np.sort(np.array([sign * low * abs(low), sign * high * abs(high)]), axis=0)
    assert (ends[0] <= true).all() and (true <= ends[1]).all()
    assert (abs(high - low) < 1e-12).all()


REFUSED = {
    "training batch norm": (nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)).train(), r"training mode.*\.eval\(\)"),
    "training dropout": (nn.Sequential(nn.Linear(4, 6), nn.Dropout()).train(), r"training mode.*\.eval\(\)"),
    "layer norm": (nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6)).eval(), "layer_norm.*divides by what the network"),
    "attention": (Of(lambda m, x: F.scaled_dot_product_attention(x, x, x)), "multiplies values|multiplies two values"),
    "product": (Of(lambda m, x: x * x), "multiplies two values"),
    "square": (Of(lambda m, x: x**2), "multiplies two values that the network computes"),
    "silu of two": (Of(lambda m, x: x * torch.sigmoid(x.flip(1))), "multiplies two values"),
    "softsign of two": (Of(lambda m, x: x / (1 + x.flip(1).abs())), "divides by what the network computes"),
    "another softsign": (Of(lambda m, x: x / (2 + x.abs())), "divides by what the network computes"),
    "an inner softsign": (Of(lambda m, x: x / (1 + (2 * x).abs())), "divides by what the network computes"),
    "quotient": (Of(lambda m, x: 1 / x), "computed by the network|divides"),
    "jump": (Of(lambda m, x: torch.where(x > 1, x, 2 * x)), "may jump"),
    "threshold": (nn.Threshold(0.5, 0.0), "so that it jumps"),
    "cast": (Of(lambda m, x: x.to(torch.int64).to(x.dtype)), "makes integers"),
    "half": (Of(lambda m, x: x.half().to(x.dtype)), "rounds what the network computes to float16"),
    "bfloat": (Of(lambda m, x: x.to(torch.bfloat16).float()), "rounds what the network computes to bfloat16"),
    "control": (Of(lambda m, x: x if x.sum() > 0 else -x), "cannot trace"),
    "softmax": (nn.Sequential(nn.Linear(4, 6), nn.Softmax(1)).eval(), "logits=True"),
    "constant": (Of(lambda m, x: torch.ones(3)), "not computed from|takes no tensor"),
    "nan": (Of(lambda m, x: x + m.b, b=torch.tensor(float("nan"))), "must be finite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    module, message = REFUSED[name]
    with pytest.raises(ValueError, match=message) as caught:
        hr2jax.as_network(module, example=torch.zeros(1, 4))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of what it will move elsewhere
def test_a_quantised_module_is_refused_as_one(tmp_path):
    """Its layers hold no parameters, so that the shape of its input was asked for, and then it could not be traced."""
    floats = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    module = torch.ao.quantization.quantize_dynamic(floats, {nn.Linear}, dtype=torch.qint8)
    torch.save(module, tmp_path / "net.pt")
    for options in ({}, {"example": torch.zeros(1, 4)}):
        with pytest.raises(ValueError, match=r"Linear '0' is quantised.*give the float model"):
            hr2jax.as_network(module, **options)
    with pytest.raises(ValueError, match=r"'0' \(Linear\) is quantised.*give the float model"):
        hr2jax.load(tmp_path / "net.pt")


def test_constants_are_rounded_where_the_code_casts_them(caplog):
    tenth = torch.tensor(0.1, dtype=torch.float64)
    net = hr2jax.as_network(Of(lambda m, x: x * m.c.float(), c=tenth), example=torch.zeros(1, 2, dtype=torch.float64))
    assert net(np.ones(2))[0] == float(np.float32(0.1))
    hr2jax.as_network(nn.Linear(2, 2).bfloat16())
    assert "the module computes in bfloat16" in caplog.text


def test_training_mode_without_a_layer_that_differs_is_read():
    check(nn.Sequential(nn.Linear(4, 6), nn.ReLU()).train(), (1, 4))


def test_examples():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()).eval()
    with pytest.raises(ValueError, match=r"not evident \(it begins with Conv2d\); give example="):
        hr2jax.as_network(module)
    with pytest.raises(ValueError, match=r"a batch of 1, but its shape is \(5, 1, 4, 4\)"):
        hr2jax.as_network(module, example=np.zeros((5, 1, 4, 4)))
    with pytest.raises(ValueError, match="module is on meta"):
        hr2jax.as_network(nn.Linear(2, 2, device="meta"))
    assert hr2jax.as_network(module, example=np.zeros((1, 1, 4, 5), "f4")).widths[0] == 20


def test_logits_are_what_comes_before_the_end():
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3), nn.LogSoftmax(1)).eval()
    assert hr2jax.as_network(module, logits=True).hash == hr2jax.as_network(module[:-1]).hash
    with pytest.raises(ValueError, match="a module says itself what it does"):
        hr2jax.as_network(module, activation="relu")


@pytest.mark.framework("onnx", "onnxscript")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # of torch.onnx.export itself
def test_a_module_and_its_onnx_file_are_the_same_network(tmp_path):
    module, shape = MODULES["cnn"][0].float(), MODULES["cnn"][1]
    torch.onnx.export(module.eval(), (torch.zeros(shape),), tmp_path / "net.onnx", verbose=False)
    a, b = hr2jax.load(tmp_path / "net.onnx"), hr2jax.as_network(module, example=torch.zeros(shape))
    x = np.random.default_rng(0).standard_normal((20, a.widths[0]))
    np.testing.assert_allclose(a(x), b(x), rtol=1e-5, atol=1e-6)


def test_a_refused_parametrisation_says_how_to_keep_its_weight():
    """The refusal named an operator inside the parametrisation alone."""
    from torch.nn.utils import parametrizations, parametrize

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), parametrizations.orthogonal(nn.Linear(4, 4))).double().eval()
    with pytest.raises(ValueError, match=r"'2' computes its weight by a parametrisation: .*remove_parametrizations"):
        hr2jax.as_network(module)
    x = torch.ones(1, 3, dtype=torch.float64)
    before = module(x)
    parametrize.remove_parametrizations(module[2], "weight")
    np.testing.assert_allclose(hr2jax.as_network(module)(x[0].numpy()), before[0].detach(), rtol=1e-12)
