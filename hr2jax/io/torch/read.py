"""A torch.nn.Module as layers: traced by torch.export with tensors without numbers, then walked over as data."""

from __future__ import annotations

import contextlib
import operator as python
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from .. import halves
from ..algebra.affine import Builder
from ..budget import Budget
from ..layers import Graph, reason
from ..onnx.walk import Walk, last_values
from ..told import Told
from . import evident, moving, places
from .aten import COMPARED, EVAL, TABLE, Aten

_MODULES = (moving,)  # which fill the table
# Operators whose values are different in training, and where they say so.
_TRAINING = {"batch_norm": 5, "dropout": 2, "alpha_dropout": 2, "feature_dropout": 2, "feature_alpha_dropout": 2,
             "rrelu": 3}  # fmt: skip


def read(module: Any, example: Any, told: Told, budget: Budget) -> Graph:
    """The layers of a module in evaluation mode, its parameters and the numbers in its code taken as exact reals.

    Args:
        module: a torch.nn.Module of one input.
        example: an input, (1, ...); None where the module begins with a Linear.
        told: the options; `logits` is the one that has a meaning here.
        budget: the memory that is free.

    Raises:
        ValueError: a module that cannot be traced or read; it names the operator.
    """
    told.refuse_said("a module")
    for name, part in module.named_modules():
        if f"{type(part).__module__}.".startswith(evident.QUANTISED_MODULES):
            raise ValueError(f"the module's {type(part).__name__} {name!r} {evident.QUANTISED}")
    given = _example(module, example)
    halves.say("the module", given.dtype)
    program = _traced(module, given)
    for node in program.graph.nodes:
        _check_evaluation(node)
    if program.graph_signature.buffers_to_mutate:
        raise ValueError(f"the module changes its own buffers while it runs; {EVAL}")
    _without_jumps(program.graph)
    try:
        with _quiet():
            program = program.run_decompositions({})  # what is done in place becomes functions of values
    except Exception as error:
        raise ValueError(f"the module's trace cannot be made functional by torch.export ({reason(error)})") from None
    try:
        return _layers(program, told, budget)
    except ValueError as error:
        raise ValueError(f"{error}{_parametrised(module)}") from None


def _parametrised(module: Any) -> str:
    """What can be done where the computation of a weight, as of an orthogonal one, is what is not read."""
    from torch.nn.utils.parametrize import is_parametrized

    names = [name or "module" for name, part in module.named_modules() if is_parametrized(part)]
    if not names:
        return ""
    return (
        f"; {names[0]!r} computes its weight by a parametrisation: where that is what is refused, "
        "torch.nn.utils.parametrize.remove_parametrizations(layer, \"weight\") on a copy keeps the weight as it is now"
    )


def _example(module: Any, example: Any) -> Any:
    import torch

    held = [*module.parameters(), *module.buffers()]
    found = next((p.dtype for p in held if p.is_floating_point()), None)
    if example is None:
        kinds = [m for m in module.modules() if isinstance(m, torch.nn.Linear) or _is_leaf(m)]
        names = ["Linear" if isinstance(m, torch.nn.Linear) else type(m).__name__ for m in kinds]
        weights = [tuple(m.weight.shape) if isinstance(m, torch.nn.Linear) else None for m in kinds]
        return torch.zeros(evident.evident(zip(names, weights, strict=True)), dtype=found or torch.float32)
    try:
        given = torch.as_tensor(example).detach()
    except Exception as error:
        raise ValueError(f"example must be an array or a tensor, but it is none ({reason(error)})") from None
    if found is None:
        found = given.dtype if given.is_floating_point() else torch.float32
    return torch.zeros(evident.checked(tuple(given.shape)), dtype=found)


def _is_leaf(module: Any) -> bool:
    return not [*module.children()] and bool([*module.parameters(recurse=False)])


def _traced(module: Any, example: Any) -> Any:
    import torch

    differ = (torch.nn.modules.batchnorm._NormBase, torch.nn.modules.dropout._DropoutNd, torch.nn.RReLU)
    for name, part in module.named_modules():
        if part.training and isinstance(part, differ) and getattr(part, "p", 1.0) != 0.0:
            what = f"{type(part).__name__} {name!r}" if name else type(part).__name__
            raise ValueError(f"the module is in training mode, in which its {what} does something else; {EVAL}")
    devices = {str(t.device) for t in [*module.parameters(), *module.buffers()]}
    if devices - {"cpu"}:
        raise ValueError(f"the module is on {', '.join(sorted(devices))}; call .cpu() on a copy of it first")
    try:
        with _quiet():
            return torch.export.export(module, (example,))
    except Exception as error:
        what = type(error).__name__
        raise ValueError(
            f"torch.export cannot trace the module with an input of shape {tuple(example.shape)} "
            f"({what}: {reason(error)}); give example= of another shape, or a module without control flow that looks "
            "at values"
        ) from None


def _without_jumps(graph: Any) -> None:
    """Softshrink as x - clamp(x, -c, c): torch.export would write it with jumps that cancel one another."""
    import torch

    for node in [*graph.nodes]:
        if node.target is torch.ops.aten.softshrink.default:
            x, c = node.args[0], node.args[1] if len(node.args) > 1 else node.kwargs.get("lambd", 0.5)
            with graph.inserting_before(node):
                clamped = graph.call_function(torch.ops.aten.clamp.default, (x, -c, c))
            clamped.meta = dict(node.meta)
            node.target, node.args, node.kwargs = torch.ops.aten.sub.Tensor, (x, clamped), {}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What torch.export says of its own code's future is nothing for its caller."""
    with warnings.catch_warnings():
        for kind in (FutureWarning, DeprecationWarning):
            warnings.simplefilter("ignore", kind)
        yield


def _check_evaluation(node: Any) -> None:
    name = str(getattr(node.target, "_opname", ""))
    at = _TRAINING.get(name.rstrip("_"))
    if at is not None and len(node.args) > at and node.args[at] is True:
        raise ValueError(f"the module is in training mode ({name}); {EVAL}")


def _layers(program: Any, told: Told, budget: Budget) -> Graph:
    signature = program.graph_signature
    kinds = {spec.arg.name: spec for spec in signature.input_specs}
    values: dict[str, Any] = {}
    tensors = _Tensors(program, budget)
    walk: Walk | None = None
    outputs: list[tuple[str, Any]] = []
    for node in program.graph.nodes:
        if node.op == "placeholder":
            spec = kinds[node.name]
            kind = spec.kind.name
            if kind == "USER_INPUT":
                if walk is not None:
                    raise ValueError("the module takes several tensors, but only networks with one input are read")
                shape = tuple(int(n) for n in node.meta["val"].shape)
                walk = Walk(Builder(shape), shape[0] if len(shape) > 1 else 1)
                values[node.name] = walk.builder.source
            elif kind in ("PARAMETER", "BUFFER", "CONSTANT_TENSOR"):
                values[node.name] = (tensors, spec.target) if node.users else None
            else:
                raise ValueError(f"the module holds {node.name!r}, a {kind.lower()}, which is not read")
        elif node.op == "output":
            (found,) = node.args
            names = [spec.arg.name for spec in signature.output_specs]
            if any(spec.kind.name != "USER_OUTPUT" for spec in signature.output_specs):
                raise ValueError(f"the module changes what it holds while it runs; {EVAL}")
            outputs = [(name, values[v.name]) for name, v in zip(names, found, strict=True)]
        elif walk is None:
            raise ValueError("the module takes no tensor")
        elif node.op == "call_function":
            values[node.name] = _called(walk, node, values)
        else:
            raise ValueError(f"the trace holds {node.name!r}, a {node.op}, which is not read")
    assert walk is not None
    layers, made = zip(*walk.builder.described(last_values(outputs, told)), strict=True)
    return Graph([*layers], (), made)


def _called(walk: Walk, node: Any, values: dict[str, Any]) -> Any:
    def given(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [given(v) for v in value]
        if hasattr(value, "op") and hasattr(value, "name"):
            held = values[value.name]
            return held[0].array(held[1]) if isinstance(held, tuple) else held
        return value

    args, kwargs = given(node.args), {k: given(v) for k, v in node.kwargs.items()}
    if node.target is python.getitem:
        return args[0][args[1]]
    name, overload = str(getattr(node.target, "_opname", node.target)), str(getattr(node.target, "_overloadname", ""))
    what = f"{node.name} (aten.{name}.{overload or 'default'})"
    schema = getattr(node.target, "_schema", None)
    if schema is None or schema.is_mutable or getattr(node.target, "namespace", "") != "aten":
        raise ValueError(f"{node.name} ({node.target}) is no function of PyTorch's own, which is not read")
    meta = node.meta.get("val")
    shape, dtype = getattr(meta, "shape", None), getattr(meta, "dtype", None)
    floating = dtype is None or bool(dtype.is_floating_point)
    held = dict(zip([argument.name for argument in schema.arguments], args, strict=False)) | kwargs
    found = {a.name: held.get(a.name, a.default_value) for a in schema.arguments}
    if name in places.OPERATORS:
        return places.placed(walk, what, node.target, found)
    constant = all(isinstance(given(n), np.ndarray) for n in node.all_input_nodes)
    if (name not in TABLE or name in COMPARED) and not floating and constant:
        return places.counted(node.target, found)
    value = Aten(walk, what, name, None if shape is None else tuple(shape), floating).call(found)
    return _rounded(what, value, dtype, [v.meta.get("val") for v in node.all_input_nodes])


def _rounded(what: str, value: Any, dtype: Any, given: list[Any]) -> Any:
    """A constant in its dtype; what the network computes is none that is cast to halves.

    Raises:
        ValueError: it is.
    """
    kinds = {v.dtype for v in given if getattr(v, "dtype", None) is not None}
    if dtype is None or dtype in kinds or not kinds or not dtype.is_floating_point:
        return value
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        import torch

        return torch.as_tensor(value).to(dtype).double().numpy()
    if halves.is_half(dtype):
        try:
            halves.refuse(dtype)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
    return value


class _Tensors:
    """The module's tensors as arrays of float64, int64 or bool, each converted once."""

    def __init__(self, program: Any, budget: Budget):
        self.held = {**program.state_dict, **program.constants}
        self.budget = budget
        self.found: dict[Any, Array] = {}

    def array(self, name: str) -> Array:
        """The tensor called `name`.

        Raises:
            ValueError: it holds no real numbers, NaN or infinity, or does not fit into memory.
        """
        import torch

        tensor = self.held[name].detach()
        what = f"the module's {name}"
        if tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided or tensor.is_complex():
            raise ValueError(f"{what} is a tensor without real numbers of its own (meta, quantised, sparse or complex)")
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if key not in self.found:
            self.budget.numbers(tuple(tensor.shape), what)
            if tensor.dtype == torch.bool:
                array = tensor.cpu().numpy()
            elif tensor.is_floating_point():
                array = np.array(tensor.cpu().double().numpy())
                if not np.isfinite(array).all():
                    raise ValueError(f"{what} must be finite, but it contains NaN or infinity")
            else:
                array = tensor.cpu().long().numpy()
            self.found[key] = array
        return self.found[key]
