"""Layers of Keras that multiply by matrices, go over images with a window, or move entries."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from .entrywise import activated
from .layer import Call, rule, shape, whole

_CONV = "filters kernel_size strides padding data_format dilation_rate groups activation use_bias"
_DEPTHWISE = "depth_multiplier kernel_size strides padding data_format dilation_rate activation use_bias"


def _biased(call: Call, value: Any, column: tuple[int, ...]) -> Any:
    """With the layer's bias, one an entry or a channel, and its activation."""
    return call.do("Add", value, call.weight("bias").reshape(column)) if call.layer.use_bias else value


@rule("Dense", "units activation use_bias")
def _dense(call: Call, given: Any) -> Any:
    value = call.do("MatMul", call.single(given), call.weight("kernel"))
    return activated(call, _biased(call, value, (-1,)), call.layer.activation)


def _padding(mode: str) -> str:
    if mode not in ("valid", "same"):
        raise ValueError(f"its padding {mode!r} is none of valid, same")
    return "SAME_UPPER" if mode == "same" else "VALID"


def _convolved(call: Call, value: Any, kernel: Any, groups: int, plain: bool = False) -> Any:
    """A convolution of (1, channels, ...) with a kernel (out, in / groups, ...)."""
    layer, dims = call.layer, kernel.ndim - 2
    found: dict[str, Any] = {"strides": [1] * dims, "dilations": [1] * dims, "auto_pad": "VALID"}
    if not plain:
        strides, dilations = whole(layer.strides, dims), whole(layer.dilation_rate, dims)
        mode = layer.padding
        if mode == "causal" and dims == 1:
            before = dilations[0] * (kernel.shape[2] - 1)
            value = call.do("Pad", value, np.array([0, 0, before, 0, 0, 0]))
            mode = "valid"
        found = {"strides": strides, "dilations": dilations, "auto_pad": _padding(mode)}
    return call.do("Conv", value, kernel, group=groups, **found)


def _first(kernel: Any) -> Any:
    """(out, in, ...) of Keras's (..., in, out)."""
    n = kernel.ndim
    return np.ascontiguousarray(kernel.transpose([n - 1, n - 2, *range(n - 2)]))


def _ended(call: Call, value: Any, dims: int) -> Any:
    value = _biased(call, value, (1, -1, *[1] * dims))
    return activated(call, call.restored(value), call.layer.activation)


@rule("Conv1D Conv2D Conv3D", _CONV)
def _conv(call: Call, given: Any) -> Any:
    value, kernel = call.channels_first(call.single(given)), _first(call.weight("kernel"))
    channels = shape(value)[1]
    if channels % kernel.shape[1]:
        raise ValueError(f"its kernel takes {kernel.shape[1]} channels, but {channels} are there")
    return _ended(call, _convolved(call, value, kernel, channels // kernel.shape[1]), kernel.ndim - 2)


@rule("Conv1DTranspose Conv2DTranspose Conv3DTranspose", f"{_CONV} output_padding")
def _conv_transpose(call: Call, given: Any) -> Any:
    """What each entry adds to a window of the output, cut to the size that Keras says."""
    layer, value, kernel = call.layer, call.channels_first(call.single(given)), _first(call.weight("kernel"))
    dims = kernel.ndim - 2
    strides, dilations = whole(layer.strides, dims), whole(layer.dilation_rate, dims)
    more = [None] * dims if layer.output_padding is None else whole(layer.output_padding, dims)
    _padding(layer.padding)
    extent = [(k - 1) * d + 1 for k, d in zip(kernel.shape[2:], dilations, strict=True)]
    found = [_cut(e, s, m, layer.padding) for e, s, m in zip(extent, strides, more, strict=True)]
    if sys.modules["keras"].backend.backend() == "torch":
        others = [_cut_by_torch(e, s, m, layer.padding) for e, s, m in zip(extent, strides, more, strict=True)]
        if others != found:
            raise ValueError("Keras cuts its output elsewhere with PyTorch than with its other backends; "
                             "load the model with KERAS_BACKEND=jax, or give it another padding")  # fmt: skip
    pads = [b for b, _ in found] + [max(a, 0) for _, a in found]
    beyond = [max(-a, 0) for _, a in found]
    value = call.do("ConvTranspose", value, kernel, strides=strides, dilations=dilations, pads=pads,
                    output_padding=beyond)  # fmt: skip
    return _ended(call, value, dims)


def _cut(extent: int, stride: int, more: int | None, mode: str) -> tuple[int, int]:
    """What is cut of the output of a transposed convolution, before it and after; below 0: zeros beside it."""
    if mode == "valid":
        return 0, -(max(extent, stride) - extent if more is None else more)
    total = stride + extent - 2 if more is None else extent + extent % 2 - 2 + more
    left = min(total // 2 + total % 2, extent - 1)
    return extent - 1 - left, extent - 1 - (total - left)


def _cut_by_torch(extent: int, stride: int, more: int | None, mode: str) -> tuple[int, int]:
    """`_cut` of Keras on PyTorch."""
    if mode == "valid":
        before, beyond = 0, max(extent, stride) - extent if more is None else more
    else:
        given = stride - extent % 2 if more is None else more
        before = max(-((extent % 2 - extent + given) // 2), 0)
        beyond = 2 * before + extent % 2 - extent + given
    return before, before - min(beyond, stride - 1)


def _depthwise(call: Call, value: Any, name: str) -> Any:
    kernel = call.weight(name)  # (..., in, multiplier)
    *size, channels, each = kernel.shape
    flat = np.moveaxis(kernel.reshape(*size, channels * each), -1, 0)[:, None]
    return _convolved(call, value, np.ascontiguousarray(flat), channels)


@rule("DepthwiseConv1D DepthwiseConv2D", _DEPTHWISE)
def _depthwise_conv(call: Call, given: Any) -> Any:
    value = _depthwise(call, call.channels_first(call.single(given)), "kernel")
    return _ended(call, value, len(shape(value)) - 2)


@rule("SeparableConv1D SeparableConv2D", f"{_DEPTHWISE} filters")
def _separable_conv(call: Call, given: Any) -> Any:
    value = _depthwise(call, call.channels_first(call.single(given)), "depthwise_kernel")
    value = _convolved(call, value, _first(call.weight("pointwise_kernel")), 1, True)
    return _ended(call, value, len(shape(value)) - 2)


@rule("BatchNormalization", "axis momentum epsilon center scale synchronized renorm renorm_clipping renorm_momentum")
def _batch_normalization(call: Call, given: Any) -> Any:
    """In inference; what renorm does is done in training only."""
    layer, value = call.layer, call.single(given)
    n = len(shape(value))
    (axis,) = whole(layer.axis, 1)
    axis %= n
    if axis == 0:
        raise ValueError("it normalises along the batch (axis 0), which is not read")
    order = [0, axis, *(d for d in range(1, n) if d != axis)]
    mean, variance = call.weight("moving_mean"), call.weight("moving_variance")
    scale = call.weight("gamma") if layer.scale else np.ones(mean.shape)
    shift = call.weight("beta") if layer.center else np.zeros(mean.shape)
    value = call.do("Transpose", value, perm=order)
    value = call.do("BatchNormalization", value, scale, shift, mean, variance, epsilon=float(layer.epsilon))
    return call.do("Transpose", value, perm=[order.index(d) for d in range(n)])


@rule("MaxPooling1D MaxPooling2D MaxPooling3D AveragePooling1D AveragePooling2D AveragePooling3D",
      "pool_size padding strides data_format")  # fmt: skip
def _pool(call: Call, given: Any) -> Any:
    layer, value = call.layer, call.channels_first(call.single(given))
    dims = len(shape(value)) - 2
    size = whole(layer.pool_size, dims)
    strides = size if layer.strides is None else whole(layer.strides, dims)
    operator = "MaxPool" if type(layer).__name__.startswith("Max") else "AveragePool"
    if operator == "AveragePool" and layer.padding == "same" and sys.modules["keras"].backend.backend() == "torch":
        found = zip(shape(value)[2:], size, strides, strict=True)
        if any(max((-(-n // s) - 1) * s + k - n, 0) % 2 for n, k, s in found):
            raise ValueError("Keras with PyTorch pads its images with their last entries and averages these too, "
                             "unlike with its other backends; load the model with KERAS_BACKEND=jax, or give it "
                             "another padding")  # fmt: skip
    value = call.do(operator, value, kernel_shape=size, strides=strides, auto_pad=_padding(layer.padding))
    return call.restored(value)


@rule("GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GlobalAveragePooling1D GlobalAveragePooling2D "
      "GlobalAveragePooling3D", "data_format keepdims")  # fmt: skip
def _global_pool(call: Call, given: Any) -> Any:
    value, n = call.single(given), len(shape(call.single(given)))
    axes = range(1, n - 1) if call.layer.data_format == "channels_last" else range(2, n)
    operator = "ReduceMax" if type(call.layer).__name__.startswith("GlobalMax") else "ReduceMean"
    return call.do(operator, value, np.array([*axes], dtype=np.int64), keepdims=int(bool(call.layer.keepdims)))


# What moves entries


@rule("Flatten", "data_format")
def _flatten(call: Call, given: Any) -> Any:
    value, n = call.single(given), len(shape(call.single(given)))
    if call.layer.data_format == "channels_first" and n > 2:
        value = call.do("Transpose", value, perm=[0, *range(2, n), 1])
    return call.reshaped(value, (1, -1))


@rule("Reshape", "target_shape")
def _reshape(call: Call, given: Any) -> Any:
    return call.reshaped(call.single(given), (1, *call.layer.target_shape))


@rule("Permute", "dims")
def _permute(call: Call, given: Any) -> Any:
    return call.do("Transpose", call.single(given), perm=[0, *(int(d) for d in call.layer.dims)])


@rule("RepeatVector", "n")
def _repeat(call: Call, given: Any) -> Any:
    value = call.single(given)
    target = (1, int(call.layer.n), shape(value)[1])
    return call.do("Expand", call.reshaped(value, (1, 1, -1)), np.array(target, dtype=np.int64))


@rule("ZeroPadding1D ZeroPadding2D ZeroPadding3D", "padding data_format")
@rule("Cropping1D Cropping2D Cropping3D", "cropping data_format")
def _border(call: Call, given: Any) -> Any:
    value, layer = call.single(given), call.layer
    cuts = type(layer).__name__.startswith("Cropping")
    pairs: Any = layer.cropping if cuts else layer.padding
    dims = len(shape(value)) - 2
    found = [whole(p, 2) for p in ([pairs] if dims == 1 and not isinstance(pairs[0], list | tuple) else pairs)]
    if len(found) != dims:
        raise ValueError(f"it says {pairs}, but its input has the shape {shape(value)}")
    last = getattr(layer, "data_format", "channels_last") == "channels_last"
    width = [[0, 0], *found, [0, 0]] if last else [[0, 0], [0, 0], *found]
    sign = -1 if cuts else 1
    return call.do("Pad", value, np.array([sign * p[i] for i in (0, 1) for p in width], dtype=np.int64))


@rule("UpSampling1D UpSampling2D UpSampling3D", "size data_format interpolation")
def _up_sampling(call: Call, given: Any) -> Any:
    """Every entry repeated, or the image interpolated linearly."""
    value, layer = call.single(given), call.layer
    how, dims = getattr(layer, "interpolation", "nearest"), len(shape(value)) - 2
    if how == "bilinear":
        value = call.channels_first(value)
        sizes = [1, shape(value)[1], *(n * m for n, m in zip(shape(value)[2:], whole(layer.size, dims), strict=True))]
        return call.restored(call.do("Resize", value, None, None, np.array(sizes, dtype=np.int64), mode="linear"))
    if how != "nearest":
        raise ValueError(f"its interpolation {how!r} is not read, only 'nearest' and 'bilinear'")
    first = 1 if getattr(layer, "data_format", "channels_last") == "channels_last" else 2
    for d, count in enumerate(whole(layer.size, dims)):
        index = np.repeat(np.arange(shape(value)[first + d]), count)
        value = call.do("Gather", value, index, axis=first + d)
    return value
