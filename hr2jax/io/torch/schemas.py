"""The arguments of the operators that TorchScript's code may call, in their order, with PyTorch's defaults.

TorchScript leaves trailing arguments out where they have their defaults. A test compares the table with PyTorch's own.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

_CONV = "input, weight, bias=None, stride=1, padding=0"
_NORM = "input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled"
_MAX = "self, kernel_size, stride=[], padding=0, dilation=1, ceil_mode=False"
_AVG = "self, kernel_size, stride=[], padding=0, ceil_mode=False, count_include_pad=True"
_SAID = {
    "relu relu6 tanh sigmoid erf atan mish hardswish hardsigmoid neg abs silu selu detach": "self",
    "leaky_relu": "self, negative_slope=0.01",
    "elu": "self, alpha=1, scale=1, input_scale=1",
    "celu": "self, alpha=1.0",
    "gelu": "self, approximate='none'",
    "softplus": "self, beta=1, threshold=20",
    "log_sigmoid": "self",
    "threshold": "self, threshold, value",
    "hardtanh": "self, min_val=-1, max_val=1",
    "clamp": "self, min=None, max=None",
    "clamp_min": "self, min",
    "clamp_max": "self, max",
    "prelu": "self, weight",
    "rrelu": "self, lower=0.125, upper=0.3333333333333333, training=False, generator=None",
    "softmax log_softmax": "self, dim, dtype=None",
    "dropout feature_dropout alpha_dropout feature_alpha_dropout": "input, p, train",
    "add sub": "self, other, alpha=1",
    "rsub": "self, other, alpha=1",
    "mul div maximum minimum matmul": "self, other",
    "mm": "self, mat2",
    "addmm": "self, mat1, mat2, beta=1, alpha=1",
    "linear": "input, weight, bias=None",
    "conv1d conv2d conv3d": f"{_CONV}, dilation=1, groups=1",
    "conv_transpose1d conv_transpose2d conv_transpose3d": f"{_CONV}, output_padding=0, groups=1, dilation=1",
    "_convolution": "input, weight, bias, stride, padding, dilation, transposed, output_padding, groups, benchmark, "
                    "deterministic, cudnn_enabled, allow_tf32",
    "_convolution_mode": "input, weight, bias, stride, padding, dilation, groups",
    "batch_norm": _NORM,
    "max_pool1d max_pool2d max_pool3d": _MAX,
    "avg_pool1d": _AVG,
    "avg_pool2d avg_pool3d": f"{_AVG}, divisor_override=None",
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d": "self, output_size",
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d": "input, output_size, scale_factors",
    "upsample_linear1d upsample_bilinear2d upsample_trilinear3d": "input, output_size, align_corners, scale_factors",
    "pad": "self, pad, mode='constant', value=None",
    "constant_pad_nd": "self, pad, value=0",
    "reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d": "self, padding",
    "t": "self",
    "transpose": "self, dim0, dim1",
    "permute": "self, dims",
    "contiguous": "self, memory_format=0",
    "clone": "self, memory_format=None",
    "view": "self, size",
    "reshape": "self, shape",
    "flatten": "self, start_dim=0, end_dim=-1",
    "unflatten": "self, dim, sizes",
    "squeeze": "self, dim=None",
    "unsqueeze": "self, dim",
    "slice": "self, dim=0, start=None, end=None, step=1",
    "select": "self, dim, index",
    "cat stack": "tensors, dim=0",
    "amax amin": "self, dim=[], keepdim=False",
    "cumsum": "self, dim, dtype=None",
    "_weight_norm": "v, g, dim=0",
    "lerp": "self, end, weight",
    "mean sum": "self, dim=None, keepdim=False, dtype=None",
}  # fmt: skip
SCHEMAS: dict[str, tuple[tuple[str, Any], ...]] = {}
REQUIRED: Any = object()
# Those whose values may share their numbers with an argument's.
VIEWS = ("detach", "dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "t", "transpose",
         "permute", "contiguous", "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "slice",
         "select")  # fmt: skip


def _arguments(said: str) -> tuple[tuple[str, Any], ...]:
    parts = ast.parse(f"def f({said}): pass").body[0].args  # type: ignore[attr-defined]
    defaults = [ast.literal_eval(value) for value in parts.defaults]
    names = [a.arg for a in parts.args]
    return tuple(zip(names, [REQUIRED] * (len(names) - len(defaults)) + defaults, strict=True))


for _names, _said in _SAID.items():
    SCHEMAS.update(dict.fromkeys(_names.split(), _arguments(_said)))


def arguments(name: str, args: Sequence[Any], named: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call of the operator, by their names, in the order of the schema.

    Raises:
        ValueError: they are none of its; the operator has another form that is not read.
    """
    schema = SCHEMAS[name]
    known = [argument for argument, _ in schema]
    if len(args) > len(known) or {*named} - {*known[len(args) :]}:
        raise ValueError("it is called with arguments that are not read")
    said = dict(zip(known, args, strict=False)) | named
    given = {argument: said.get(argument, default) for argument, default in schema}  # in the schema's order
    for argument, value in given.items():
        if value is REQUIRED:
            raise ValueError(f"it is called without {argument}")
    return given
