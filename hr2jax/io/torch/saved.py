"""A whole pickled module of torch.nn as layers: a Sequential, or one layer. Its records are walked, nothing is run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..algebra.affine import Affine, Builder
from ..layers import Graph
from ..onnx.walk import Ended, Walk, last_values
from ..pickled import Made, Tensor
from ..told import Told
from . import evident, moving
from .modules import CONTAINERS, KINDS, Part, checked, classed

_MODULES = (moving,)  # which fill the table of operators
_MOST, _DEEPEST = 10_000, 50  # modules that are applied, and how far they lie within one another
HOW = "give an input (1, ...) to hr2jax.as_network(PATH, example=...), or its shape, --example 1,3,32,32"

Get = Callable[[Tensor, str], Any]  # the array of a tensor, and what it is


def read(module: Made, get: Get, told: Told) -> Graph:
    """The layers of a module in evaluation mode, its parameters taken as exact reals.

    Raises:
        ValueError: a class, an attribute or a hook that is not known, or a module in training mode; it says which.
    """
    told.refuse_said("a whole module")
    parts = [*_parts(module, "", 0, [0])]
    first = ((classed(part.name), _weight(part)) for _, part in parts if _holds(part))
    shape = evident.evident(first, HOW) if told.example is None else evident.checked(told.example)
    walk = Walk(Builder(shape), shape[0] if len(shape) > 1 else 1)
    value: Any = walk.builder.source
    for what, part in parts:
        state = part.state
        held = {**state["_parameters"], **state["_buffers"]}
        needed = {name: _array(held[name], f"{name} of {what}", get) for name in _used(held)}
        value = KINDS[part.name].apply(Part(walk, what, state, needed), value)
    if not isinstance(value, Affine | Ended):
        raise ValueError("the module gives no single tensor")
    layers, made = zip(*walk.builder.described(last_values([("output", value)], told)), strict=True)
    return Graph([*layers], (), made)


def _parts(module: Any, path: str, depth: int, count: list[int]) -> Iterator[tuple[str, Made]]:
    """(what, record) of the modules that are no containers, checked, in the order in which they are applied."""
    count[0] += 1
    where = f"the module {path!r}" if path else "the module"
    if not isinstance(module, Made):
        raise ValueError(f"{where} is no module of PyTorch")
    if count[0] > _MOST or depth > _DEEPEST:
        raise ValueError("the module holds more modules than any network, or one that holds itself")
    what = f"{f'layer {path[:60]!r}' if path else 'the module'} ({classed(module.name)[:60]})"
    state = checked(what, module.name, module.state)
    if module.name not in CONTAINERS:
        yield what, module
        return
    for key, inner in state["_modules"].items():
        yield from _parts(inner, f"{path}.{key}" if path else key, depth + 1, count)


def _used(held: dict[str, Any]) -> list[str]:
    """The names of the parameters and buffers that are not None and mean something."""
    return [name for name, tensor in held.items() if tensor is not None and name != "num_batches_tracked"]


def _holds(part: Made) -> bool:
    return any(tensor is not None for tensor in part.state["_parameters"].values())


def _weight(part: Made) -> tuple[int, ...] | None:
    weight = part.state["_parameters"].get("weight")
    return weight.size if isinstance(weight, Tensor) else None


def _array(tensor: Any, what: str, get: Get) -> Any:
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{what} is no tensor")
    return get(tensor, what)
