"""Operators of ONNX that go over images with a window: convolutions and pools, of one dimension or more."""

from __future__ import annotations

import numpy as np

from ...arithmetic.float64 import Array
from ..algebra import kinks, numbers, windows
from ..algebra.affine import Affine
from ..algebra.maps import Map, room
from ..algebra.windows import Windows, checked
from .rules import Node, Value, floats, plain, rule


def _image(node: Node) -> tuple[Affine, tuple[int, ...]]:
    """The input (batch, channels, ...) and the dimensions of its images."""
    a = node.computed()
    if len(a.shape) < 3:
        raise ValueError(f"its input has the shape {a.shape}, but (batch, channels, ...) was expected")
    return a, a.shape[2:]


def _windows(node: Node, size: tuple[int, ...], kernel: tuple[int, ...], ceil: bool) -> tuple[Windows, bool]:
    """Where the windows stand, and whether each of them lies within the padded image."""
    dims = len(size)
    strides = checked("strides", node.integers("strides"), dims, 1, 1)
    dilations = checked("dilations", node.integers("dilations"), dims, 1, 1)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    before, after = _padding(node, size, extent, strides)
    inside, count = True, []
    for n, e, s, p, q in zip(size, extent, strides, before, after, strict=True):
        free = n + p + q - e
        if free < 0:
            raise ValueError(f"a window of {e} does not fit into an image of {n} with its padding")
        many = free // s + 1
        if ceil and free % s:
            if node.word("auto_pad", "NOTSET") != "NOTSET":
                raise ValueError("it says ceil_mode and auto_pad, of which operator sets say different things")
            if many * s >= n + p:
                raise ValueError("its last window begins in the padding, of which operator sets say different things")
            inside, many = False, many + 1
        count.append(many)
    return Windows(size, kernel, strides, dilations, before, tuple(count)), inside


def _padding(
    node: Node, size: tuple[int, ...], extent: list[int], strides: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    dims, mode, given = len(size), node.word("auto_pad", "NOTSET"), node.integers("pads")
    pads = checked("pads", given, 2 * dims, 0, 0)
    if mode == "NOTSET":
        return pads[:dims], pads[dims:]
    if any(pads):
        raise ValueError(f"it says both pads and auto_pad = {mode[:20]}")
    if mode == "VALID":
        return pads[:dims], pads[dims:]
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"its auto_pad {mode[:20]!r} is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    total = [max((-(-n // s) - 1) * s + e - n, 0) for n, e, s in zip(size, extent, strides, strict=True)]
    small, large = tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)
    return (small, large) if mode == "SAME_UPPER" else (large, small)


def _weight(node: Node, dims: int) -> tuple[numbers.Number, tuple[int, ...], int]:
    weight = floats(node.inputs[1])
    kernel = tuple(weight.shape[2:])
    if len(weight.shape) != dims + 2 or 0 in weight.shape:
        raise ValueError(f"its weight has the shape {weight.shape}, which does not fit an image of {dims} dimensions")
    said = node.integers("kernel_shape")
    if said is not None and tuple(said) != kernel:
        raise ValueError(f"its kernel_shape says {said}, but its weight has {kernel}")
    groups = node.integer("group", 1)
    if groups < 1 or weight.shape[0] % groups:
        raise ValueError(f"its weight of {weight.shape[0]} channels cannot be in {groups} groups")
    return weight, kernel, groups


def _single(a: Affine) -> int:
    """The number of channels of one image."""
    if a.shape[0] != 1:
        raise ValueError(f"its input has the shape {a.shape}, but a batch of 1 is read; "
                         "export the model with a batch of 1 or a dynamic one")  # fmt: skip
    return a.shape[1]


def _biased(node: Node, a: Affine, channels: int) -> Value:
    bias = node.input(2)
    if bias is None:
        return plain(a)
    if floats(bias).shape != (channels,):
        raise ValueError(f"its bias has the shape {bias.shape}, but ({channels},) was expected")

    def spread(v: Array) -> Array:
        return np.broadcast_to(v.reshape(channels, *[1] * (len(a.shape) - 2)), a.shape)

    return node.builder.plus(a, numbers.moved(spread, floats(bias)))


@rule("Conv", (1, 11, 22), "auto_pad dilations group kernel_shape pads strides")
def _conv(node: Node) -> Value:
    a, size = _image(node)
    channels = _single(a)
    weight, kernel, groups = _weight(node, len(size))
    if weight.shape[1] * groups != channels:
        raise ValueError(f"its weight takes {weight.shape[1]} channels in {groups} groups, but {channels} are there")
    found, _ = _windows(node, size, kernel, False)
    matrix = windows.convolution(weight, groups, found)
    return _biased(node, node.builder.apply(matrix, a, (1, weight.shape[0], *found.count)), weight.shape[0])


@rule(
    "ConvTranspose", (1, 11, 22), "auto_pad dilations group kernel_shape output_padding output_shape pads strides"
)
def _conv_transpose(node: Node) -> Value:
    """The transpose of the matrix of a convolution that takes its output to its input."""
    a, size = _image(node)
    channels, dims = _single(a), len(size)
    weight, kernel, groups = _weight(node, dims)
    if weight.shape[0] != channels:
        raise ValueError(f"its weight takes {weight.shape[0]} channels, but {channels} are there")
    strides = checked("strides", node.integers("strides"), dims, 1, 1)
    dilations = checked("dilations", node.integers("dilations"), dims, 1, 1)
    more = checked("output_padding", node.integers("output_padding"), dims, 0, 0)
    pads = checked("pads", node.integers("pads"), 2 * dims, 0, 0)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    full = [s * (n - 1) + o + e for n, s, o, e in zip(size, strides, more, extent, strict=True)]
    mode, given = node.word("auto_pad", "NOTSET"), node.integers("output_shape")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise ValueError(f"its auto_pad {mode[:20]!r} is none of NOTSET, VALID, SAME_UPPER, SAME_LOWER")
    if mode != "NOTSET" and any(pads):
        raise ValueError(f"it says both pads and auto_pad = {mode}")
    if given is not None or mode.startswith("SAME"):
        shape = checked("output_shape", given, dims, 1, 1) if given is not None else tuple(
            n * s for n, s in zip(size, strides, strict=True)
        )
        total = [f - n for f, n in zip(full, shape, strict=True)]
        if any(t < 0 or t % 2 for t in total) or any(pads) or any(more):
            raise ValueError("it says its output's shape, of whose padding operator sets say different things; "
                             "say pads instead")  # fmt: skip
        before = after = tuple(t // 2 for t in total)
    else:
        before, after = pads[:dims], pads[dims:]
    out = tuple(f - p - q for f, p, q in zip(full, before, after, strict=True))
    if min(out) < 1:
        raise ValueError(f"its output would have the dimensions {list(out)}")
    room(float(np.prod([float(n) for n in out])) * weight.shape[1] * groups, "its output")
    there = windows.convolution(weight, groups, Windows(out, kernel, strides, dilations, before, size))
    back = Map(*(None if m is None else m.T.tocsr() for m in (there.mid, there.rad)))
    made = weight.shape[1] * groups
    return _biased(node, node.builder.apply(back, a, (1, made, *out)), made)


def _kernel(node: Node, dims: int) -> tuple[int, ...]:
    given = node.integers("kernel_shape")
    if given is None:
        raise ValueError("it does not say its kernel_shape")
    return checked("kernel_shape", given, dims, 1, 1)


@rule("AveragePool", (1, 7, 10, 11, 19, 22), "auto_pad ceil_mode count_include_pad dilations kernel_shape pads strides")
def _average_pool(node: Node) -> Value:
    a, size = _image(node)
    kernel = _kernel(node, len(size))
    found, inside = _windows(node, size, kernel, node.flag("ceil_mode"))
    if node.flag("count_include_pad"):
        if not inside:
            raise ValueError("it counts its padding, and a window reaches beyond it by ceil_mode, of which operator "
                             "sets say different things")  # fmt: skip
        counts = np.full(int(np.prod(found.count)), int(np.prod(kernel)))
    else:
        counts = (found.entries() >= 0).sum(axis=1)
        if node.version < 7 and (counts < int(np.prod(kernel))).any():
            raise ValueError("it does not say whether its padding counts; operator sets from 7 on do")
    return _averaged(node, a, found, counts)


def _averaged(node: Node, a: Affine, found: Windows, counts: Array) -> Value:
    if (counts == 0).any():
        raise ValueError("one of its windows holds padding only")
    channels = a.shape[0] * a.shape[1]
    matrix = windows.averages(channels, found, counts)
    return plain(node.builder.apply(matrix, a, (*a.shape[:2], *found.count)))


@rule("GlobalAveragePool", (1, 22))
def _global_average_pool(node: Node) -> Value:
    a, size = _image(node)
    return windows.means(node.builder, a, tuple(range(2, len(size) + 2)), True)


@rule(
    "MaxPool", (1, 8, 10, 11, 12, 22), "auto_pad ceil_mode dilations kernel_shape pads storage_order strides"
)
def _max_pool(node: Node) -> Value:
    a, size = _image(node)
    found, _ = _windows(node, size, _kernel(node, len(size)), node.flag("ceil_mode"))
    groups = windows.pooled(a.shape[0] * a.shape[1], found)
    if (groups < 0).all(axis=1).any():
        raise ValueError("one of its windows holds padding only")
    return kinks.largest(node.builder, a, groups, (*a.shape[:2], *found.count))


@rule("GlobalMaxPool", (1, 22))
def _global_max_pool(node: Node) -> Value:
    a, size = _image(node)
    groups = np.arange(a.size).reshape(a.shape[0] * a.shape[1], -1)
    return kinks.largest(node.builder, a, groups, (*a.shape[:2], *[1] * len(size)))
