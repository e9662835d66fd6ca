"""Numbers in the code of TorchScript: shapes of tensors, comparisons and sums of them, which say what is done."""

from __future__ import annotations

import operator as python
from collections.abc import Callable
from typing import Any

_LARGEST = 2**63
_COMPARED: dict[str, Callable[[Any, Any], Any]] = {
    "eq": python.eq, "ne": python.ne, "lt": python.lt, "le": python.le, "gt": python.gt, "ge": python.ge,
}  # fmt: skip
_COUNTED: dict[str, Callable[[Any, Any], Any]] = {
    "add": python.add, "sub": python.sub, "mul": python.mul, "floordiv": python.floordiv, "remainder": python.mod,
    "div": python.truediv,
}  # fmt: skip
ON_TENSORS = ("size", "dim", "len", "is_floating_point")  # of which only the shape is asked
ON_ANYTHING = ("__is__", "__isnot__", "format", "warn")


def checked(value: Any) -> Any:
    """A literal.

    Raises:
        ValueError: a number that is too large or not finite.
    """
    if isinstance(value, int | float) and not abs(value) < (_LARGEST if isinstance(value, int) else float("inf")):
        raise ValueError("its code holds a number that is too large")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def of_shape(name: str, shape: tuple[int, ...], rest: list[Any]) -> Any:
    """What is asked of a tensor's shape."""
    if name == "size" and len(rest) == 1 and type(rest[0]) is int and -len(shape) <= rest[0] < len(shape):
        return shape[rest[0]]
    if not rest and (name != "len" or shape):
        return {"size": [*shape], "dim": len(shape), "len": shape[0] if shape else 0, "is_floating_point": True}[name]
    raise ValueError(f"torch.{name} is called in a way that is not followed")


def operator(name: str, args: list[Any]) -> Any:
    """The value of an operator of numbers, texts and lists.

    Raises:
        ValueError: it is none that is followed.
    """
    if name in ("__is__", "__isnot__") and len(args) == 2 and any(a is None for a in args):
        return (args[0] is args[1]) == (name == "__is__")
    if name == "__not__" and len(args) == 1 and isinstance(args[0], bool):
        return not args[0]
    if name in ("format", "warn"):
        return ""
    if name == "len" and len(args) == 1 and isinstance(args[0], list | tuple):
        return len(args[0])
    plain = len(args) == 2 and all(_is_number(a) for a in args)
    texts = len(args) == 2 and all(isinstance(a, str) for a in args)
    lists = len(args) == 2 and all(isinstance(a, list) and all(_is_number(n) for n in a) for a in args)
    if (plain or ((texts or lists) and name in ("eq", "ne"))) and name in _COMPARED:
        return _COMPARED[name](*args)
    if plain and name in _COUNTED and not (args[1] == 0 and name in ("floordiv", "remainder", "div")):
        return checked(_COUNTED[name](*args))
    if name == "neg" and len(args) == 1 and _is_number(args[0]):
        return -args[0]
    raise ValueError(f"torch.{name[:60]} is not read, or not with these arguments")


def primitive(path: str, args: list[Any]) -> Any:
    """The value of a primitive of a number.

    Raises:
        ValueError: it is none that is followed.
    """
    if path == "ops.prim.RaiseException":
        raise ValueError("its code raises an error for an input of this shape; give another example=")
    if len(args) == 1 and _is_number(args[0]):
        if path == "ops.prim.NumToTensor":
            return args[0]
        if path in ("int", "float", "bool"):
            return checked({"int": int, "float": float, "bool": bool}[path](args[0]))
    raise ValueError(f"{path[:60]} is not read, or not with these arguments")
