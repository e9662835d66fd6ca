"""What the classes of torch.nn compute in evaluation, in aten's operators, from the attributes that they have.

A class is known by its whole name, so that nobody else's Linear is taken for one, and with all attributes that may
change what it computes: one that is not known here is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..algebra.affine import Affine
from ..onnx.rules import shape_of
from ..onnx.walk import Ended, Walk
from .aten import EVAL, Aten, Given
from .evident import QUANTISED, QUANTISED_MODULES
from .viewed import viewed

# Attributes of every module: those that say nothing about its values in evaluation, and those that must be empty.
_PLAIN = ("training", "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_backward_pre_hooks",
          "_backward_hooks", "_is_full_backward_hook", "_state_dict_hooks", "_state_dict_pre_hooks",
          "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks", "inplace", "_version",
          "__overloads__")  # fmt: skip
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called",
          "_forward_pre_hooks_with_kwargs")  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A class: its meaning, and the names of its attributes, parameters and buffers."""

    apply: Callable[[Part, Any], Any]
    attributes: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A module that is no container, as it is called once.

    Attributes:
        walk: the layers made so far.
        what: its name and class, for messages.
        attributes: as they are.
        tensors: its parameters and buffers, as arrays; None for those that it has not.
    """

    walk: Walk
    what: str
    attributes: Mapping[str, Any]
    tensors: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        """An attribute.

        Raises:
            ValueError: it has none of that name.
        """
        if name not in self.attributes:
            raise ValueError(f"{self.what} does not say its {name}, as those of older versions of PyTorch; load it "
                             "with PyTorch and give the module")  # fmt: skip
        return self.attributes[name]

    def number(self, name: str) -> float:
        """An attribute that is a number."""
        value = self[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{self.what} has a {name} that is no number")
        return float(value)

    def do(self, operator: str, shape: tuple[int, ...] | None = None, /, **given: Any) -> Any:
        """An operator of aten with all its arguments."""
        return Aten(self.walk, self.what, operator, shape, True).call(given)


KINDS: dict[str, Kind] = {}


def _kinds(names: str, kind: Kind) -> None:
    """Say what the classes "file Class" of torch.nn.modules mean; `{}` stands for 1, 2 and 3."""
    place, *classes = names.split()
    for name in classes:
        for dims in "123" if "{}" in name else "0":
            KINDS[f"torch.nn.modules.{place} {name.format(dims)}"] = kind


def classed(name: str) -> str:
    """The class's own name in "module Class"."""
    return name.rpartition(" ")[2]


def checked(what: str, name: str, state: Any) -> dict[str, Any]:
    """The attributes of a module of the class `name`.

    Raises:
        ValueError: the class is not known, or an attribute may change what it computes.
    """
    if type(state) is not dict or not all(isinstance(key, str) for key in state):
        raise ValueError(f"{what} is damaged: it has no attributes")
    kind = KINDS.get(name)
    if name.replace(" ", ".").startswith(QUANTISED_MODULES):
        raise ValueError(f"{what} {QUANTISED}")
    if kind is None and name not in CONTAINERS:
        raise ValueError(f"{what} is of the class {name.replace(' ', '.')[:100]}, which is none of torch.nn's that are "
                         "read, and its code is not in the file; load it with PyTorch and give the module")  # fmt: skip
    if any(type(state[hook]) is not dict or state[hook] for hook in _HOOKS if hook in state):
        raise ValueError(f"{what} has a forward hook (such as of weight_norm), which may compute anything; remove it, "
                         "or load it with PyTorch and give the module")  # fmt: skip
    known = (*_PLAIN, *_HOOKS, *(kind.attributes if kind else ()))
    held = [part for key in ("_parameters", "_buffers", "_modules") for part in _names(what, state, key)]
    allowed = (*kind.parameters, *kind.buffers) if kind else held
    for key in (*state, *held):
        if key not in known and key not in allowed:
            raise ValueError(f"{what} has the attribute {key[:60]!r}, which is not known and may change what it "
                             "computes")  # fmt: skip
    if not isinstance(state.get("training"), bool):
        raise ValueError(f"{what} does not say whether it is in training mode")
    return state


def _names(what: str, state: dict[str, Any], key: str) -> list[str]:
    held = state.get(key)
    if type(held) is not dict or not all(isinstance(name, str) for name in held):
        raise ValueError(f"{what} is damaged: its {key} are no dict")
    return [*held]


CONTAINERS = ("torch.nn.modules.container Sequential",)


# Entry by entry


def _does(operator: str, *attributes: str, **fixed: Any) -> Callable[[Part, Any], Any]:
    def apply(part: Part, value: Any) -> Any:
        given = {name: part[name] if name == "approximate" else part.number(name) for name in attributes}
        return part.do(operator, self=value, **given, **fixed)

    return apply


for _name, _operator in (("ReLU", "relu"), ("Tanh", "tanh"), ("Sigmoid", "sigmoid"), ("SELU", "selu"), ("SiLU", "silu"),
                         ("Mish", "mish"), ("Softsign", "softsign"), ("Hardswish", "hardswish"),
                         ("Hardsigmoid", "hardsigmoid")):  # fmt: skip
    _kinds(f"activation {_name}", Kind(_does(_operator)))
_kinds("activation LeakyReLU", Kind(_does("leaky_relu", "negative_slope"), ("negative_slope",)))
_kinds("activation ELU", Kind(_does("elu", "alpha", scale=1, input_scale=1), ("alpha",)))
_kinds("activation CELU", Kind(_does("celu", "alpha"), ("alpha",)))
_kinds("activation GELU", Kind(_does("gelu", "approximate"), ("approximate",)))
_kinds("activation Softplus", Kind(_does("softplus", "beta", "threshold"), ("beta", "threshold")))
_kinds("activation Hardtanh ReLU6", Kind(_does("hardtanh", "min_val", "max_val"), ("min_val", "max_val")))
_kinds("activation Softmax", Kind(lambda part, value: part.do("softmax", self=value), ("dim",)))
_kinds("activation LogSoftmax", Kind(lambda part, value: part.do("log_softmax", self=value), ("dim",)))
_kinds("linear Identity", Kind(lambda part, value: value))


def _rrelu(part: Part, value: Any) -> Any:
    if part["training"]:
        raise ValueError(f"{part.what} is in training mode, in which it does something else; {EVAL}")
    return part.do("rrelu", self=value, lower=part.number("lower"), upper=part.number("upper"), training=False)


def _prelu(part: Part, value: Any) -> Any:
    return part.do("prelu", self=value, weight=_tensor(part, "weight"))


def _dropout(part: Part, value: Any) -> Any:
    if part["training"] and part.number("p") != 0.0:
        raise ValueError(f"{part.what} is in training mode, in which it does something else; {EVAL}")
    return value


_kinds("activation RReLU", Kind(_rrelu, ("lower", "upper")))
_kinds("activation PReLU", Kind(_prelu, ("num_parameters", "init"), ("weight",)))
_kinds("dropout Dropout Dropout{}d AlphaDropout FeatureAlphaDropout", Kind(_dropout, ("p",)))


# Matrices and windows


def _tensor(part: Part, name: str) -> Any:
    if part.tensors.get(name) is None:
        raise ValueError(f"{part.what} has no {name}")
    return part.tensors[name]


def _linear(part: Part, value: Any) -> Any:
    return part.do("linear", input=value, weight=_tensor(part, "weight"), bias=part.tensors.get("bias"))


_kinds("linear Linear", Kind(_linear, ("in_features", "out_features"), ("weight", "bias")))


def _whole(part: Part, name: str) -> Any:
    """An attribute that is an integer or several."""
    value = part[name]
    given = value if isinstance(value, tuple | list) else (value,)
    if not given or any(type(n) is not int or not -(2**31) < n < 2**31 for n in given):
        raise ValueError(f"{part.what} has a {name} that is no integer")
    return [*value] if isinstance(value, tuple | list) else value


def _conv(part: Part, value: Any) -> Any:
    weight = _tensor(part, "weight")
    dims = weight.ndim - 2
    given: Given = {name: _whole(part, name) for name in ("stride", "dilation", "groups")}
    given |= {"input": value, "weight": weight, "bias": part.tensors.get("bias")}
    transposed, mode = classed(part.what).startswith("(ConvTranspose"), part["padding_mode"]
    if part["transposed"] is not transposed:  # which PyTorch does not ask
        raise ValueError(f"{part.what} says that it is {'not ' * transposed}transposed, which its class is not")
    if mode not in ("zeros", "reflect", "replicate", "circular"):
        raise ValueError(f"{part.what} has the padding_mode {str(mode)[:40]!r}, which is not read")
    if transposed:
        if mode != "zeros":
            raise ValueError(f"{part.what} has the padding_mode {mode!r}, which is not read")
        given["output_padding"] = _whole(part, "output_padding")
    given["padding"] = part["padding"] if part["padding"] in ("same", "valid") else _whole(part, "padding")
    if mode != "zeros":
        pads = _whole(part, "_reversed_padding_repeated_twice")
        given["input"] = part.do("pad", self=value, pad=pads, mode=mode, value=None)
        given["padding"] = [0] * dims
    return part.do(f"conv_transpose{dims}d" if transposed else f"conv{dims}d", **given)


_kinds("conv Conv{}d ConvTranspose{}d", Kind(_conv, (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "transposed", "output_padding",
    "groups", "padding_mode", "_reversed_padding_repeated_twice"), ("weight", "bias")))  # fmt: skip


def _batch_norm(part: Part, value: Any) -> Any:
    if part["training"]:
        raise ValueError(f"{part.what} is in training mode, in which it does something else; {EVAL}")
    tensors = {name: part.tensors.get(name) for name in ("weight", "bias", "running_mean", "running_var")}
    return part.do("batch_norm", input=value, training=False, eps=part.number("eps"), **tensors)


_kinds("batchnorm BatchNorm{}d", Kind(
    _batch_norm, ("num_features", "eps", "momentum", "affine", "track_running_stats"), ("weight", "bias"),
    ("running_mean", "running_var", "num_batches_tracked")))  # fmt: skip


def _dims(part: Part) -> int:
    """The dimensions of the images, which end the class's name."""
    return int(classed(part.what.rstrip(")"))[-2])


def _pool(operator: str) -> Callable[[Part, Any], Any]:
    def apply(part: Part, value: Any) -> Any:
        given: Given = {name: _whole(part, name) for name in ("kernel_size", "stride", "padding")}
        if operator == "max":
            if part["return_indices"]:
                raise ValueError(f"{part.what} returns indices, which jump")
            given["dilation"] = _whole(part, "dilation")
        else:
            given["count_include_pad"] = bool(part["count_include_pad"])
            given["divisor_override"] = part.attributes.get("divisor_override")
        return part.do(f"{operator}_pool{_dims(part)}d", self=value, ceil_mode=bool(part["ceil_mode"]), **given)

    return apply


def _adaptive(operator: str) -> Callable[[Part, Any], Any]:
    def apply(part: Part, value: Any) -> Any:
        if part.attributes.get("return_indices"):
            raise ValueError(f"{part.what} returns indices, which jump")
        size, image = part["output_size"], shape_of(value)[2:]
        found = [*size] if isinstance(size, tuple | list) else [size] * len(image)
        if len(found) != len(image):
            raise ValueError(f"{part.what} has an output_size of {len(found)} numbers, but its input has the shape "
                             f"{shape_of(value)}; give an example of a batch of 1")  # fmt: skip
        found = [n if m is None else m for m, n in zip(found, image, strict=True)]
        if any(type(n) is not int or n < 1 for n in found):
            raise ValueError(f"{part.what} has an output_size that is no integer")
        result = part.do(f"adaptive_{operator}_pool{_dims(part)}d", self=value, output_size=found)
        return result[0] if isinstance(result, list) else result

    return apply


_kinds("pooling MaxPool{}d", Kind(_pool("max"), ("kernel_size", "stride", "padding", "dilation", "return_indices",
                                                 "ceil_mode")))  # fmt: skip
_kinds("pooling AvgPool{}d", Kind(_pool("avg"), ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad",
                                                 "divisor_override")))  # fmt: skip
_kinds("pooling AdaptiveAvgPool{}d", Kind(_adaptive("avg"), ("output_size",)))
_kinds("pooling AdaptiveMaxPool1d AdaptiveMaxPool2d", Kind(_adaptive("max"), ("output_size", "return_indices")))


# Entries moved


def _flatten(part: Part, value: Any) -> Any:
    given = {"start_dim": _whole(part, "start_dim"), "end_dim": _whole(part, "end_dim")}
    return part.do("flatten", viewed("flatten", shape_of(_inner(value)), given), self=value, **given)


def _unflatten(part: Part, value: Any) -> Any:
    given = {"dim": _whole(part, "dim"), "sizes": _whole(part, "unflattened_size")}
    return part.do("unflatten", viewed("unflatten", shape_of(_inner(value)), given), self=value, **given)


def _inner(value: Any) -> Affine:
    found: Affine = value.before if isinstance(value, Ended) else value
    return found


def _padded(mode: str) -> Callable[[Part, Any], Any]:
    def apply(part: Part, value: Any) -> Any:
        fill = part.number("value") if mode == "constant" else None
        return part.do("pad", self=value, pad=_whole(part, "padding"), mode=mode, value=fill)

    return apply


_kinds("flatten Flatten", Kind(_flatten, ("start_dim", "end_dim")))
_kinds("flatten Unflatten", Kind(_unflatten, ("dim", "unflattened_size")))
_kinds("padding ZeroPad{}d ConstantPad{}d", Kind(_padded("constant"), ("padding", "value")))
_kinds("padding ReflectionPad{}d", Kind(_padded("reflect"), ("padding",)))
_kinds("padding ReplicationPad{}d", Kind(_padded("replicate"), ("padding",)))
_kinds("padding CircularPad{}d", Kind(_padded("circular"), ("padding",)))
