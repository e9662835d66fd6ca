"""Kinds of steps for random modules (random_torch.py): each is given the module and a tensor, and makes a function.

None where the kind does not fit the tensor; what cannot be called is drawn again.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations


def _same(a):
    return lambda shape: shape == a.shape


# Entry by entry


def activation(d, a):
    kinds = [nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Hardsigmoid, lambda: nn.LeakyReLU(d.among([0.1, 0.5, -0.2])), nn.RReLU,
             nn.Identity, nn.Dropout, lambda: nn.Hardtanh(-0.5, 1.5), lambda: nn.ReLU(inplace=False)]  # fmt: skip
    return d.layer(d.among(kinds)())


def smooth(d, a):
    kinds = [nn.Tanh, nn.Softplus, nn.Softsign, nn.ELU, nn.SELU, nn.CELU, nn.SiLU, nn.GELU, nn.Mish, nn.Hardswish,
             lambda: nn.GELU(approximate="tanh"), lambda: nn.ELU(0.5), lambda: nn.CELU(1.5),
             lambda: nn.Softplus(2.0, 30.0)]  # fmt: skip
    return d.layer(d.among(kinds)())


def functional(d, a):
    return d.among([F.relu, torch.relu, F.relu6, F.hardtanh, torch.abs, torch.neg, lambda x: F.leaky_relu(x, 0.3),
                    lambda x: x.clamp(-0.5, 0.8), lambda x: torch.clamp(x, max=0.7), lambda x: x.clamp(min=0.25),
                    lambda x: -x, lambda x: x.tanh(), F.softplus, lambda x: x * torch.sigmoid(x),
                    lambda x: F.elu(x, 1.25), lambda x: F.dropout(x, training=False), lambda x: x.clone(),
                    lambda x: F.hardsigmoid(x) - x.sigmoid(), F.rrelu, lambda x: x.detach() * 2])  # fmt: skip


def prelu(d, a):
    return d.layer(nn.PReLU(a.shape[1] if a.ndim > 1 and d.chance(0.6) else 1))


def in_place(d, a):
    def relu_(x):
        return x.clone().relu_()

    def piece(x):
        y = x.clone()
        y[..., :1].mul_(0.5).add_(0.25)
        return y

    def assigned(x):
        y = x * 1.0
        y[:, 0] = F.relu(x[:, -1])
        return y

    def filled(x):
        y = torch.zeros_like(x)
        y[..., ::2] += x[..., ::2]
        return y.sub_(x, alpha=0.5)

    return d.among([relu_, piece, filled] + [assigned] * (a.ndim > 1))


def arithmetic(d, a):
    c = d.among([0.5, -1.5, 3.0, 2])
    return d.among([lambda x: x + c, lambda x: c - x, lambda x: x * c, lambda x: x / c, lambda x: (x - c) / 0.3,
                    lambda x: torch.sub(x, 1.0, alpha=c), lambda x: torch.rsub(x, c), lambda x: x.mul(c).add(1),
                    lambda x: torch.add(c * torch.ones_like(x), x, alpha=2)])  # fmt: skip


def with_constant(d, a):
    shape = tuple(n if d.chance(0.7) else 1 for n in a.shape)[d.rng.integers(a.ndim + 1) :]
    c = d.buffer(*shape)
    return d.among([lambda x: x + c.c, lambda x: c.c - x, lambda x: x * c.c, lambda x: x / (c.c.abs() + 0.3),
                    lambda x: torch.maximum(x, c.c), lambda x: torch.minimum(c.c, x), lambda x: (x - c.c) * 0.5,
                    lambda x: torch.where(c.c > 0, x, c.c), lambda x: torch.where(c.c > 0, -x, x)])  # fmt: skip


def joined(d, a):
    d.other(_same(a))
    return d.among([torch.add, torch.sub, torch.maximum, torch.minimum, torch.max, lambda x, y: (x + y) / 2,
                    lambda x, y: torch.add(x, y, alpha=-0.5), lambda x, y: x.min(y), lambda x, y: sum([x, y, x]),
                    lambda x, y: torch.lerp(x, y, 0.25)])  # fmt: skip


def strange(d, a):
    """What may be refused, but must not be another function."""
    d.is_strange = True
    d.other(_same(a))
    return d.among([lambda x, y: x * y, lambda x, y: x / (1 + y.abs()), lambda x, y: x * torch.sigmoid(y),
                    lambda x, y: F.softmax(x, -1), lambda x, y: F.layer_norm(x, x.shape[-1:]), lambda x, y: x.exp(),
                    lambda x, y: torch.cumsum(x, -1), lambda x, y: x.half().double(),
                    lambda x, y: torch.where(x > 0, x, y), lambda x, y: x.round(), torch.heaviside,
                    lambda x, y: torch.diff(x), lambda x, y: x.sin(), lambda x, y: x.norm(), lambda x, y: x.std(-1),
                    torch.cdist, lambda x, y: F.threshold(x, 0.1, 0.0), lambda x, y: x.cummax(0)[0],
                    lambda x, y: x.sigmoid(), lambda x, y: F.logsigmoid(x), lambda x, y: F.hardshrink(x),
                    lambda x, y: F.softshrink(x, 0.25), lambda x, y: F.tanhshrink(x), lambda x, y: F.glu(x, -1),
                    lambda x, y: F.upsample(x, scale_factor=2, mode="bilinear"), lambda x, y: x.median(-1)[0],
                    lambda x, y: F.lp_pool1d(x, 2, 2), lambda x, y: x.floor(), lambda x, y: x % 1.0])  # fmt: skip


# Layers


def linear(d, a):
    return d.layer(nn.Linear(a.shape[-1], int(d.rng.integers(1, 6)), bias=d.chance(0.7)))


def parametrised(d, a):
    kind = d.among([parametrizations.weight_norm, parametrizations.spectral_norm,
                    lambda layer: parametrizations.weight_norm(layer, dim=d.among([None, 0, 1]))])  # fmt: skip
    return d.layer(kind(nn.Linear(a.shape[-1], int(d.rng.integers(1, 5)))))


def twice(d, a):
    layer, end = d.layer(nn.Linear(a.shape[-1], a.shape[-1])), d.among([F.relu, torch.tanh, torch.abs])
    return lambda x: layer(end(layer(x)))


def block(d, a):
    m, n = int(d.rng.integers(1, 5)), a.shape[-1]
    layers = d.layer(nn.Sequential(nn.Linear(n, m), nn.ReLU(), nn.Dropout(0.3), nn.Linear(m, n)))
    return d.among([lambda x: x + layers(x), lambda x: F.relu(layers(x) - x), lambda x: torch.cat([x, layers(x)], -1)])


def norm(d, a):
    if a.ndim < 2:
        return None
    kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}.get(a.ndim)
    return kind and d.layer(kind(a.shape[1], affine=d.chance(0.7), eps=d.among([1e-5, 0.1])))


def _sized(d, dims, most=3):
    return d.rng.integers(1, most + 1, dims).tolist()


def conv(d, a):
    dims = a.ndim - 2
    if dims not in (1, 2) or a.shape[0] != 1:
        return None
    groups = d.among([g for g in (1, 2, 3) if a.shape[1] % g == 0])
    kernel, dilation = _sized(d, dims), _sized(d, dims, 2)
    given = {"dilation": dilation, "groups": groups, "bias": d.chance(0.6)}
    if d.chance(0.25):
        given["padding"] = d.among(["same", "valid"])
    else:
        given |= {"padding": [int(d.rng.integers(0, 2)) for _ in kernel], "stride": _sized(d, dims, 2)}
        if d.chance(0.3):
            given["padding_mode"] = d.among(["reflect", "replicate", "circular"])
    kind = (nn.Conv1d, nn.Conv2d)[dims - 1]
    return d.layer(kind(a.shape[1], groups * int(d.rng.integers(1, 3)), kernel, **given))


def transposed(d, a):
    dims = a.ndim - 2
    if dims not in (1, 2) or a.shape[0] != 1:
        return None
    groups = d.among([g for g in (1, 2) if a.shape[1] % g == 0])
    stride = _sized(d, dims, 2)
    given = {"stride": stride, "padding": [int(d.rng.integers(0, 2)) for _ in stride], "groups": groups,
             "output_padding": [int(d.rng.integers(s)) for s in stride], "dilation": _sized(d, dims, 2)}  # fmt: skip
    kind = (nn.ConvTranspose1d, nn.ConvTranspose2d)[dims - 1]
    return d.layer(kind(a.shape[1], groups * int(d.rng.integers(1, 3)), _sized(d, dims), **given))


def pool(d, a):
    dims = a.ndim - 2
    if dims not in (1, 2):
        return None
    kernel = [min(k, n) for k, n in zip(_sized(d, dims), a.shape[2:], strict=True)]
    given = {"stride": _sized(d, dims, 2), "ceil_mode": d.chance(0.3)}
    given["padding"] = [int(d.rng.integers(0, k // 2 + 1)) for k in kernel]
    if d.chance(0.5):
        given["dilation"] = _sized(d, dims, 2)
        return d.layer((nn.MaxPool1d, nn.MaxPool2d)[dims - 1](kernel, **given))
    given["count_include_pad"] = d.chance(0.5)
    d.is_strange |= given["count_include_pad"] and given["ceil_mode"]  # of which operator sets say different things
    return d.layer((nn.AvgPool1d, nn.AvgPool2d)[dims - 1](kernel, **given))


def adaptive(d, a):
    dims = a.ndim - 2
    if dims not in (1, 2):
        return None
    kinds = [(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)]
    return d.layer(d.among(kinds)[dims - 1](d.among([1, _sized(d, dims, 4)])))


# Matrices


def matrices(d, a):
    n, m = a.shape[-1], int(d.rng.integers(1, 5))
    right, left, vector = d.buffer(n, m), d.buffer(m, a.shape[-2] if a.ndim > 1 else n), d.buffer(n)
    return d.among([lambda x: x @ right.c, lambda x: torch.matmul(left.c, x), lambda x: x @ vector.c,
                    lambda x: F.linear(x, right.c.T, right.c[0]), lambda x: torch.tensordot(x, right.c, 1),
                    lambda x: F.linear(x, vector.c)])  # fmt: skip


def einsum(d, a):
    n, m = a.shape[-1], int(d.rng.integers(1, 4))
    c, v = d.buffer(n, m), d.buffer(*a.shape[-2:])
    kinds = [lambda x: torch.einsum("...i,ij->...j", x, c.c), lambda x: torch.einsum("ji,...j->i...", c.c, x)]
    if a.ndim == 3:
        kinds += [lambda x: torch.einsum("bij,jk->bki", x, c.c), lambda x: torch.einsum("bij,ij->bj", x, v.c),
                  lambda x: torch.einsum("bij->bji", x)]  # fmt: skip
    if a.ndim == 4:
        kinds += [lambda x: torch.einsum("bcij,ij->bc", x, v.c), lambda x: torch.einsum("nchw,wk->nkch", x, c.c)]
    return d.among(kinds)


def products(d, a):
    if a.ndim not in (2, 3):
        return None
    m = int(d.rng.integers(1, 4))
    c, b = d.buffer(a.shape[-1], m), d.buffer(m)
    if a.ndim == 2:
        return d.among([lambda x: torch.mm(x, c.c), lambda x: torch.addmm(b.c, x, c.c, beta=0.5, alpha=2.0),
                        lambda x: torch.addmm(b.c, x, c.c)])  # fmt: skip
    return lambda x: torch.bmm(x, c.c.expand(x.shape[0], -1, -1))


# Entries moved


def shaped(d, a):
    n = a.numel()
    return d.among([nn.Flatten(), nn.Flatten(0), lambda x: x.view(x.shape[0], -1), lambda x: x.reshape(-1),
                    lambda x: x.flatten(1), torch.flatten, lambda x: x.unsqueeze(1), lambda x: x[None],
                    lambda x: x.squeeze(), lambda x: x.reshape(1, n), lambda x: x.unsqueeze(-1), lambda x: x[:, None],
                    lambda x: x.unflatten(-1, (x.shape[-1], 1)), lambda x: x.reshape(x.size(0), -1, 1),
                    lambda x: x.squeeze(0), torch.atleast_2d, lambda x: x.ravel()])  # fmt: skip


def permuted(d, a):
    order = d.rng.permutation(a.ndim).tolist()
    i, j = (int(k) for k in d.rng.integers(0, a.ndim, 2))
    return d.among([lambda x: x.permute(order), lambda x: x.transpose(i, j), lambda x: torch.movedim(x, i, j),
                    lambda x: x.permute(*order).contiguous(), lambda x: x.swapaxes(i, j),
                    lambda x: x.permute(order).reshape(x.shape[order[0]], -1), lambda x: x.mT])  # fmt: skip


def cut(d, a):
    i, n = int(d.rng.integers(a.ndim)), a.shape
    first = int(d.rng.integers(0, n[i]))
    length = int(d.rng.integers(1, n[i] - first + 1))
    index = torch.as_tensor(d.rng.integers(0, n[-1], 3))
    return d.among([lambda x: x[..., ::2], lambda x: x[..., 1:], lambda x: x.narrow(i, first, length),
                    lambda x: x.select(i, first), lambda x: x[..., -1], lambda x: x.index_select(-1, index),
                    lambda x: x[..., index], lambda x: x[:, -2:], lambda x: x[..., [0, -1]], lambda x: x[0],
                    lambda x: x[..., :-1]])  # fmt: skip


def turned(d, a):
    i = int(d.rng.integers(a.ndim))
    return d.among([lambda x: x.flip(i), lambda x: torch.flip(x, [0, -1]), lambda x: x.roll(1, i),
                    lambda x: torch.roll(x, 2), lambda x: torch.rot90(x, 1, [x.ndim - 2, x.ndim - 1])
                    if x.ndim > 1 else x.flip(0), lambda x: x.fliplr() if x.ndim > 1 else x.flip(0)])  # fmt: skip


def repeated(d, a):
    i = int(d.rng.integers(a.ndim))
    return d.among([lambda x: x.repeat_interleave(2, i), lambda x: x.repeat(*[2] * x.ndim), lambda x: x.tile(2),
                    lambda x: x[None].expand(2, *x.shape), lambda x: x.unsqueeze(-1).expand(*x.shape, 3),
                    lambda x: torch.broadcast_to(x, (2, *x.shape))])  # fmt: skip


def pieces(d, a):
    i = int(d.rng.integers(a.ndim))
    n = a.shape[i]
    first = int(d.rng.integers(1, n)) if n > 1 else 1
    return d.among([lambda x: x.chunk(2, i), lambda x: x.split(2, i), lambda x: x.split([first, n - first], i),
                    lambda x: x.unbind(i)[:3], lambda x: torch.tensor_split(x, 2, i),
                    lambda x: torch.cat([*x.chunk(2, i)][::-1], i), lambda x: torch.stack(x.unbind(i)[::-1], -1),
                    lambda x: torch.hsplit(x, [1])])  # fmt: skip


def put_together(d, a):
    i = int(d.rng.integers(a.ndim))
    d.other(lambda s: len(s) == a.ndim and s[:i] + s[i + 1 :] == a.shape[:i] + a.shape[i + 1 :])
    d.other(_same(a))
    c = d.buffer(*a.shape)
    return d.among([lambda x, y, z: torch.cat([x, y], i), lambda x, y, z: torch.cat((y, c.c, x), i - x.ndim),
                    lambda x, y, z: torch.stack([x, z], i), lambda x, y, z: torch.stack((z, c.c), -1),
                    lambda x, y, z: torch.hstack([x, z]), lambda x, y, z: torch.vstack([x, z])])  # fmt: skip


def padded(d, a):
    p = [int(k) for k in d.rng.integers(0, 3, 2 * min(a.ndim, 2))]
    kinds = [lambda x: F.pad(x, p), lambda x: F.pad(x, p[:2], value=0.5), lambda x: F.pad(x, (-1, 1))]
    if a.ndim == 3:
        kinds += [lambda x, m=m: F.pad(x, p[:2], mode=m) for m in ("reflect", "replicate", "circular")]
        kinds += [nn.ConstantPad1d(1, 0.25), nn.ReplicationPad1d((1, 2)), nn.ReflectionPad1d(1)]
    if a.ndim == 4:
        kinds += [lambda x: F.pad(x, p, "reflect"), lambda x: F.pad(x, p, "replicate"), nn.ZeroPad2d((1, 0, 0, 2)),
                  lambda x: F.pad(x, p, "circular"), nn.ReflectionPad2d(1), nn.ReplicationPad2d(1)]  # fmt: skip
    return d.among(kinds)


def reduced(d, a):
    i, keep = int(d.rng.integers(a.ndim)), d.chance(0.5)
    dims = sorted({int(k) for k in d.rng.integers(0, a.ndim, 2)})
    return d.among([lambda x: x.mean(dims, keepdim=keep), lambda x: x.sum(i, keepdim=keep), lambda x: x.mean(),
                    lambda x: x.amax(dims, keepdim=keep), lambda x: x.amin(i, keepdim=keep), lambda x: x.max(),
                    lambda x: x.max(i, keepdim=keep)[0], lambda x: torch.min(x, i).values, lambda x: x.sum(dims),
                    lambda x: torch.mean(x, -1, True), lambda x: x.max(i).values - x.min(i).values])  # fmt: skip


def ordered(d, a):
    i = int(d.rng.integers(a.ndim))
    if a.shape[i] > 5:
        return None
    k = int(d.rng.integers(1, a.shape[i] + 1))
    return d.among([lambda x: x.sort(i)[0], lambda x: torch.sort(x, dim=i, descending=True).values,
                    lambda x: x.topk(k, i).values, lambda x: x.topk(k, i, largest=False)[0], torch.msort])  # fmt: skip


def images(d, a):
    if a.ndim == 3:
        return d.among([nn.Upsample(scale_factor=2), lambda x: F.interpolate(x, size=5), nn.Upsample(size=4)])
    if a.ndim != 4:
        return None
    kinds = [nn.Upsample(scale_factor=2), nn.Upsample(size=(5, 3)), lambda x: F.interpolate(x, scale_factor=(2, 1)),
             lambda x: F.interpolate(x, scale_factor=1.5), nn.UpsamplingNearest2d(scale_factor=2),
             nn.PixelUnshuffle(2)]  # fmt: skip
    if a.shape[1] % 4 == 0:
        kinds += [nn.PixelShuffle(2)] * 3
    if a.shape[1] % 2 == 0:
        kinds += [nn.ChannelShuffle(2)] * 2
    return d.among(kinds)


def masked(d, a):
    mask = torch.as_tensor(d.rng.random(tuple(a.shape)) < 0.5)
    return d.among([lambda x: torch.tril(x) if x.ndim > 1 else x, lambda x: x.triu(1) if x.ndim > 1 else -x,
                    lambda x: x.masked_fill(mask, 0.5), lambda x: x * mask, lambda x: torch.where(mask, x, 0.25),
                    lambda x: torch.where(mask, x, -x)])  # fmt: skip


KINDS = [
    *[activation] * 2, smooth, *[functional] * 2, prelu, *[in_place] * 2, arithmetic, *[with_constant] * 2,
    *[joined] * 2, strange, *[linear] * 3, parametrised, twice, *[block] * 2, norm, *[conv] * 3, transposed,
    *[pool] * 2, adaptive, matrices, einsum, products, *[shaped] * 2, permuted, cut, turned, repeated, *[pieces] * 2,
    *[put_together] * 2, padded, *[reduced] * 2, ordered, *[images] * 2, masked,
]  # fmt: skip
