"""What PyTorch's operators mean that go over images with a window, move entries or reduce dimensions."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np

from ..algebra import kinks, maps, numbers, windows
from ..algebra.affine import Affine
from ..algebra.resize import Places, interpolation
from ..onnx.rules import plain, shape_of
from .aten import Aten, Given, aten, float_of, whole

# Windows


def _each(value: Any, dims: int) -> list[int]:
    found = [int(v) for v in value] if isinstance(value, list) else [int(value)]
    return found * dims if len(found) == 1 else found


def _image(t: Aten, a: Any) -> tuple[int, ...]:
    """The dimensions of the images, as many as the operator's name says.

    Raises:
        ValueError: another number: without a batch PyTorch takes the first dimension for the channels.
    """
    dims, shape = int(re.findall(r"(\d)d", t.name)[0]), shape_of(a)
    if len(shape) != dims + 2:
        raise ValueError(f"its input has the shape {shape}, but (batch, channels, ...) of {dims + 2} dimensions was "
                         "expected; give an example of a batch of 1")  # fmt: skip
    return shape[2:]


@aten("conv1d", "conv2d", "conv3d")
def _conv(t: Aten, g: Given) -> Any:
    weight = g["weight"]
    dims = len(_image(t, g["input"]))
    stride, dilation = _each(g["stride"], dims), _each(g["dilation"], dims)
    if g["padding"] == "same":
        total = [d * (k - 1) for d, k in zip(dilation, shape_of(weight)[2:], strict=True)]
        pads = [n // 2 for n in total] + [n - n // 2 for n in total]
    else:
        pads = [0] * 2 * dims if g["padding"] == "valid" else _each(g["padding"], dims) * 2
    return t.do("Conv", g["input"], weight, g.get("bias"), strides=stride, pads=pads, dilations=dilation,
                group=int(g["groups"]))  # fmt: skip


@aten("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv_transpose(t: Aten, g: Given) -> Any:
    dims = len(_image(t, g["input"]))
    return t.do("ConvTranspose", g["input"], g["weight"], g.get("bias"), strides=_each(g["stride"], dims),
                pads=_each(g["padding"], dims) * 2, output_padding=_each(g["output_padding"], dims),
                dilations=_each(g["dilation"], dims), group=int(g["groups"]))  # fmt: skip


@aten("avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d",
      "max_pool2d_with_indices", "max_pool3d_with_indices")  # fmt: skip
def _pool(t: Aten, g: Given) -> Any:
    a = g["self"]
    dims = len(_image(t, a))
    kernel = _each(g["kernel_size"], dims)
    found: dict[str, Any] = {"kernel_shape": kernel, "strides": _each(g["stride"] or kernel, dims),
                             "pads": _each(g["padding"], dims) * 2, "ceil_mode": int(g["ceil_mode"])}  # fmt: skip
    own = g.get("divisor_override")
    counts = "avg" in t.name and own is None and g["count_include_pad"]
    if g["ceil_mode"] and not counts:  # a window that begins in the padding is none in PyTorch
        dilation = _each(g.get("dilation", 1), dims)
        found |= {"ceil_mode": 0, "pads": _ceiled(shape_of(a)[2:], kernel, dilation, found["strides"], found["pads"])}
    if "avg" in t.name:
        value = t.do("AveragePool", a, count_include_pad=int(counts or own is not None), **found)
        if own is None:
            return value
        return t.do("Div", t.do("Mul", value, np.asarray(float(np.prod(kernel)))), np.asarray(float(own)))
    value = t.do("MaxPool", a, dilations=_each(g["dilation"], dims), **found)
    return [value] if "with_indices" in t.name else value


def _ceiled(size: Any, kernel: list[int], dilation: list[int], stride: list[int], pads: list[int]) -> list[int]:
    """The padding with which a pool has the windows that ceil_mode gives it."""
    dims, after = len(size), pads[len(size) :]
    for i, (n, p) in enumerate(zip(size, pads, strict=False)):
        extent = (kernel[i] - 1) * dilation[i] + 1
        last = max(-(-(n + 2 * p - extent) // stride[i]), 0)  # of the windows, counted from 0
        last -= int(last * stride[i] >= n + p)
        after[i] = max(after[i], last * stride[i] + extent - n - p)
    return [*pads[:dims], *after]


@aten("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d",
      "upsample_trilinear3d")  # fmt: skip
def _upsampled(t: Aten, g: Given) -> Any:
    """By the sizes, or by scales, which then say where an entry lies even where they give no whole size."""
    a = t.walk.inside(t.what, g["input"] if "input" in g else g["self"])
    size = _image(t, a)
    scales = g.get("scale_factors") or [g.get("scales", g.get(f"scales_{c}")) for c in "dhw"[-len(size) :]]
    out = g["output_size"] or [int(n * float(s)) for n, s in zip(size, scales, strict=True)]
    mode = "asymmetric" if "nearest" in t.name else "align_corners" if g["align_corners"] else "half_pixel"
    along = {}
    for d, (n, m, s) in enumerate(zip(size, out, scales, strict=True), start=2):
        if m < 1 or (s is not None and not 0.0 < s < np.inf):
            raise ValueError(f"it makes images of {list(out)}, by {scales}")
        along[d] = Places.of(mode, n, int(m), Fraction(int(m), n) if s is None else Fraction(float(s)))
    if "nearest" in t.name:
        for d, places in along.items():
            a = t.do("Gather", a, places.nearest("floor"), axis=d)
        return a
    matrix, after = interpolation(shape_of(a), {d: places.linear() for d, places in along.items()})
    builder = t.walk.builder
    return plain(builder.apply(matrix, a if isinstance(a, Affine) else builder.constant(a), after))


@aten("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d")
def _adaptive(t: Aten, g: Given) -> Any:
    a = g["self"]
    size = _image(t, a)
    said = g["output_size"] if isinstance(g["output_size"], list) else [g["output_size"]] * len(size)
    out = [n if m is None else int(m) for n, m in zip(size, said * len(size) if len(said) == 1 else said, strict=True)]
    if any(n % m for n, m in zip(size, out, strict=True)):
        value = _uneven(t, a, size, out)
        return value if "avg" in t.name else [value]
    kernel = [n // m for n, m in zip(size, out, strict=True)]
    value = t.do("AveragePool" if "avg" in t.name else "MaxPool", a, kernel_shape=kernel, strides=kernel)
    return value if "avg" in t.name else [value]


def _uneven(t: Aten, a: Any, size: tuple[int, ...], out: list[int]) -> Any:
    """An adaptive pool whose windows overlap or are of several sizes."""
    builder, entries = t.walk.builder, windows.adaptive(size, out)
    a = a if isinstance(a, Affine) else builder.constant(a)
    channels, count, shape = a.shape[0] * a.shape[1], int(np.prod(size)), (*a.shape[:2], *out)
    if "avg" in t.name:
        matrix = windows.averages_of(channels, entries, (entries >= 0).sum(axis=1), count)
        return plain(builder.apply(matrix, a, shape))
    return plain(kinks.largest(builder, a, windows.pooled_of(channels, entries, count), shape))


# Entries moved


@aten("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_copy")
def _view(t: Aten, g: Given) -> Any:
    assert t.shape is not None
    return t.do("Reshape", g["self"], whole(*t.shape), allowzero=1)


@aten("t", "transpose", "permute", "numpy_T", "mT")
def _permute(t: Aten, g: Given) -> Any:
    ndim = len(shape_of(g["self"]))
    if "dims" in g:
        order = [int(d) % ndim for d in g["dims"]]
    else:
        order = list(range(ndim))
        a, b = (int(g["dim0"]), int(g["dim1"])) if "dim0" in g else (-2, -1) if ndim > 1 else (0, 0)
        order[a], order[b] = order[b], order[a]
    return t.do("Transpose", g["self"], perm=order)


@aten("slice")
def _slice(t: Aten, g: Given) -> Any:
    start = 0 if g["start"] is None else int(g["start"])
    end = 2**62 if g["end"] is None else int(g["end"])
    return t.do("Slice", g["self"], *(whole(v) for v in (start, end, int(g["dim"]), int(g["step"]))))


@aten("select")
def _select(t: Aten, g: Given) -> Any:
    return t.do("Gather", g["self"], np.array(int(g["index"]), dtype=np.int64), axis=int(g["dim"]))


@aten("index_select")
def _index_select(t: Aten, g: Given) -> Any:
    return t.do("Gather", g["self"], g["index"], axis=int(g["dim"]))


@aten("index")
def _index(t: Aten, g: Given) -> Any:
    given = [(i, v) for i, v in enumerate(g["indices"]) if v is not None]
    if len(given) != 1 or not isinstance(given[0][1], np.ndarray) or given[0][1].dtype != np.int64:
        raise ValueError("only one constant list of indices is read")
    return t.do("Gather", g["self"], given[0][1], axis=given[0][0])


@aten("slice_scatter", "select_scatter")
def _scatter(t: Aten, g: Given) -> Any:
    """The tensor with some entries along a dimension replaced."""
    a, source, builder = g["self"], g["src"], t.walk.builder
    a, source = (v if isinstance(v, Affine) else builder.constant(v) for v in (a, source))
    dim = int(g["dim"]) % len(a.shape)
    index = np.arange(a.size).reshape(a.shape)
    if "index" in g:
        cut: Any = int(g["index"])
    else:
        cut = slice(g["start"], None if g["end"] is None else int(g["end"]), int(g["step"]))
    place: tuple[Any, ...] = (slice(None),) * dim + (cut,)
    index[place] = a.size + np.arange(source.size).reshape(index[place].shape)
    both = builder.joined([a.shaped((a.size,)), source.shaped((source.size,))], 0)
    return plain(builder.taken(both, index, a.shape))


@aten("split", "split_with_sizes", "chunk", "unbind")
def _split(t: Aten, g: Given) -> Any:
    a, dim = g["self"], int(g["dim"])
    n = shape_of(a)[dim]
    if "unbind" in t.name:
        return [t.do("Gather", a, np.array(i, dtype=np.int64), axis=dim) for i in range(n)]
    if "chunks" in g:
        each: Any = -(-n // int(g["chunks"]))
    else:
        each = g.get("split_size", g.get("split_sizes"))
    sizes = each if isinstance(each, list) else [min(int(each), n - i) for i in range(0, n, int(each))]
    found = t.do("Split", a, whole(*sizes), axis=dim, outputs=len(sizes))
    return found if isinstance(found, list) else [found]


@aten("cat", "stack")
def _cat(t: Aten, g: Given) -> Any:
    parts, dim = [float_of(v) for v in g["tensors"]], int(g["dim"])
    if "stack" in t.name:
        at = dim % (len(shape_of(parts[0])) + 1)
        parts = [t.do("Unsqueeze", v, whole(at)) for v in parts]
        dim = at
    return t.do("Concat", *parts, axis=dim)


@aten("hstack", "vstack", "dstack", "column_stack", "row_stack")
def _stacked(t: Aten, g: Given) -> Any:
    """Along the first dimension, or the second or third that they get where they have it not."""
    parts = [float_of(v) for v in g["tensors"]]
    least = {"v": 2, "r": 2, "d": 3}.get(t.name[0], 1)

    def formed(shape: tuple[int, ...]) -> tuple[int, ...]:
        if t.name[0] == "c" and len(shape) < 2:
            return (*shape, *[1] * (2 - len(shape)))
        front = (1,) * max(min(least, 2) - len(shape), 0)
        return (*front, *shape, *[1] * (least - len(front) - len(shape)))

    parts = [t.do("Reshape", v, whole(*formed(shape_of(v))), allowzero=1) for v in parts]
    axis = {"v": 0, "r": 0, "d": 2, "c": 1}.get(t.name[0], min(len(shape_of(parts[0])) - 1, 1))
    return t.do("Concat", *parts, axis=axis)


@aten("copy")
def _copy(t: Aten, g: Given) -> Any:
    """The second tensor in the first one's shape: what is assigned to entries."""
    return t.do("Expand", float_of(g["src"]), whole(*shape_of(g["self"])))


@aten("expand", "repeat")
def _expand(t: Aten, g: Given) -> Any:
    assert t.shape is not None
    if "expand" in t.name:
        return t.do("Expand", g["self"], whole(*t.shape))
    a, repeats = g["self"], g["repeats"]
    wide = t.do("Reshape", a, whole(*[1] * (len(repeats) - len(shape_of(a))), *shape_of(a)))
    return t.do("Tile", wide, whole(*repeats))


@aten("flip")
def _flip(t: Aten, g: Given) -> Any:
    value = g["self"]
    for d in g["dims"]:
        value = t.do("Slice", value, *(whole(v) for v in (-1, -(2**62), int(d), -1)))
    return value


@aten("constant_pad_nd", "pad", "reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d")
def _pad(t: Aten, g: Given) -> Any:
    a, pads = g["self"], g["pad"] if "pad" in g else g["padding"]
    ndim = len(shape_of(a))
    before, after = [0] * ndim, [0] * ndim
    for i in range(len(pads) // 2):  # from the last dimension on
        before[-1 - i], after[-1 - i] = int(pads[2 * i]), int(pads[2 * i + 1])
    named = "reflect" if "reflection" in t.name else "replicate" if "replication" in t.name else "constant"
    mode = {"replicate": "edge", "circular": "wrap"}.get(g.get("mode", named), g.get("mode", named))
    fill = np.asarray(float(g.get("value") or 0.0)) if mode == "constant" else None
    return t.do("Pad", a, whole(*before, *after), fill, mode=mode)


# Reduced


@aten("mean", "sum")
def _mean(t: Aten, g: Given) -> Any:
    a = float_of(g["self"])
    ndim = len(shape_of(a))
    dims = list(range(ndim)) if g.get("dim") in (None, []) else g["dim"]
    axes = tuple(int(d) % ndim for d in (dims if isinstance(dims, list) else [dims]))
    keep, divide = bool(g.get("keepdim", False)), "mean" in t.name
    if isinstance(a, Affine):
        return windows.means(t.walk.builder, a, axes, keep, divide)
    count = int(np.prod([shape_of(a)[d] for d in axes])) if divide else 1
    return numbers.mean(a, axes, keep, count)


@aten("cumsum")
def _cumsum(t: Aten, g: Given) -> Any:
    return t.do("CumSum", float_of(g["self"]), whole(int(g["dim"])))


@aten("amax", "amin", "max", "min")
def _extreme(t: Aten, g: Given) -> Any:
    if "other" in g:
        return t.do("Max" if "max" in t.name else "Min", g["self"], g["other"])
    a, dims = g["self"], g.get("dim")
    given = [] if dims in (None, []) else [whole(*(dims if isinstance(dims, list) else [dims]))]
    largest = "max" in t.name
    value = t.do("ReduceMax" if largest else "ReduceMin", a, *given, keepdims=int(bool(g.get("keepdim", False))))
    return [value] if isinstance(dims, int) and "aten.a" not in t.what else value


@aten("sort", "topk", "msort")
def _sort(t: Aten, g: Given) -> Any:
    a = g["self"] if isinstance(g["self"], Affine) else t.walk.builder.constant(g["self"])
    dim = int(g.get("dim", 0)) % len(a.shape)
    n = a.shape[dim]
    k, descending = int(g.get("k", n)), bool(g.get("descending", g.get("largest")))
    index = np.moveaxis(np.arange(a.size).reshape(a.shape), dim, -1)
    ordered = kinks.in_order(t.walk.builder, a, index.reshape(-1, n), descending)
    back = np.moveaxis(np.arange(a.size).reshape(index.shape)[..., :k], -1, dim)
    value = t.walk.builder.taken(ordered, back, back.shape)
    return value if t.name == "msort" else [value]


@aten("where")
def _where(t: Aten, g: Given) -> Any:
    return t.do("Where", g["condition"], t.number(g["self"]), t.number(g["other"]))


@aten("masked_fill")
def _masked_fill(t: Aten, g: Given) -> Any:
    return t.do("Where", g["mask"], t.number(g["value"]), g["self"])


@aten("full", "zeros", "ones", "full_like", "zeros_like", "ones_like", "new_full", "new_zeros", "new_ones")
def _full(t: Aten, g: Given) -> Any:
    assert t.shape is not None
    value = float(g["fill_value"]) if "fill_value" in g else 1.0 if "ones" in t.name else 0.0
    maps.room(float(np.prod([float(n) for n in t.shape])))
    return np.full(t.shape, value, dtype=np.float64 if t.floating else np.int64)


@aten("arange")
def _arange(t: Aten, g: Given) -> Any:
    start, step = float(g.get("start") or 0), float(g.get("step") or 1)
    assert t.shape is not None
    maps.room(float(t.shape[0]))
    if start % 1 or step % 1:
        raise ValueError("its numbers are no integers")
    return (start + step * np.arange(t.shape[0])).astype(np.float64 if t.floating else np.int64)


@aten("scalar_tensor")
def _scalar(t: Aten, g: Given) -> Any:
    return np.asarray(float(g["s"]))


