"""A TorchScript archive (torch.jit.save, traced or scripted) as layers: its code is followed, nothing is run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from typing import Any, Protocol

from ..algebra.affine import Builder
from ..budget import Budget
from ..layers import Graph, reason
from ..onnx.walk import Walk, last_values
from ..pickled import Made, Tensor
from ..told import Told
from . import evident
from .code import ClassOf, Code
from .interpreter import Box, Interpreter
from .saved import HOW

_NODE = 400  # bytes of memory that a byte of code can take as a tree
_LONGEST = 2**21  # bytes of code


class Members(Protocol):
    """The archive's members (`pt.Held`)."""

    def __contains__(self, name: str) -> bool: ...
    def member(self, name: str, packed: bool = False) -> bytes:
        """The bytes of a member."""
        ...

    def unpickled(self, name: str) -> Any:
        """The value of a pickle."""
        ...

    def finite(self, tensor: Tensor, name: str, folder: str = "data") -> Any:
        """The numbers of a tensor."""
        ...


def read(module: Any, held: Members, told: Told, budget: Budget) -> Graph:
    """The layers of a TorchScript module, its parameters and the numbers in its code taken as exact reals.

    Raises:
        ValueError: an operator, a statement or a hook that is not read, or a module in training mode; it names it.
    """
    told.refuse_said("TorchScript")
    if not isinstance(module, Made) or not module.name.startswith("__torch__"):
        raise ValueError("the archive holds no module of TorchScript")
    constants = held.unpickled("constants.pkl")
    if not isinstance(constants, tuple):
        raise ValueError("the constants of the archive are damaged")

    def source(path: str) -> ast.Module:
        name = f"code/{path}.py"
        if name not in held:
            raise ValueError(f"the archive holds no code of {path.replace('/', '.')[:100]}")
        text = held.member(name, packed=True)
        if len(text) > _LONGEST:
            raise ValueError(f"its code {name[:100]} is longer than any module's")
        budget.take(_NODE * len(text), "its code")
        try:
            with warnings.catch_warnings():  # of escapes in texts
                warnings.simplefilter("ignore")
                return ast.parse(text.decode("utf-8"))
        except Exception as error:  # also MemoryError and RecursionError, of brackets within one another
            raise ValueError(f"its code {name[:100]} is damaged ({reason(error)})") from None

    code = Code(source)
    shape = evident.evident(_layers(module, 0), HOW) if told.example is None else evident.checked(told.example)
    walk = Walk(Builder(shape), shape[0] if len(shape) > 1 else 1)

    def tensor(value: Tensor, what: str, is_constant: bool) -> Any:
        return held.finite(value, what, "constants" if is_constant else "data")

    interpreter = Interpreter(walk, code, constants, tensor)
    try:
        result = interpreter.method(module, "forward", [Box(walk.builder.source)])
    except RecursionError:
        raise ValueError("its code is deeper than any module's") from None
    outputs = [(f"output {i}", value) for i, value in enumerate(_tensors(result))]
    layers, made = zip(*walk.builder.described(last_values(outputs, told)), strict=True)
    return Graph([*layers], (), made)


def _tensors(result: Any) -> list[Any]:
    found = [*result] if isinstance(result, tuple) else [result]
    if not all(isinstance(value, Box) for value in found):
        raise ValueError("the module gives something that is no tensor")
    return [value.check("its output") for value in found]


def _layers(module: Made, depth: int) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """The modules that hold tensors: the class's name, and the weight's shape."""
    state = module.state if type(module.state) is dict else {}
    if depth > 50:
        return
    if any(isinstance(value, Tensor) for value in state.values()):
        weight = state.get("weight")
        yield ClassOf.own_name(module.name), weight.size if isinstance(weight, Tensor) else None
    for value in state.values():
        if isinstance(value, Made):
            yield from _layers(value, depth + 1)
