"""Pickles of PyTorch as data. Neither torch nor pickle's machine is used.

`pickletools` only splits a pickle into operations, and those that make dictionaries, lists, tuples and tensors are
carried out here. Whatever a pickle would call is kept as a name that is never looked up, and whatever such a call would
make as a record of what it is given: nothing in it can call anything.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .layers import reason

OPERATION = 200  # bytes of memory that an operation can take: an empty dictionary, its place on the stack and in a memo
_LONGEST = 200  # of a name that a pickle would import
_DICT, _SIZE, _TENSOR, _PARAMETER = (
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
_LITERALS = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_SET = "builtins set"  # an opcode in later protocols
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_KEYS = (str, int, float, type(None))  # hashing a tuple of tuples of ... can take for ever


@dataclass(frozen=True, eq=False, slots=True)
class Called:
    """The name of what would be called, "module name"; it is never looked up."""

    name: str


@dataclass(eq=False, slots=True)
class Made:
    """What only a call could make: the name, the arguments, and the state that it is given then."""

    name: str
    arguments: tuple[Any, ...]
    state: Any = None


@dataclass(frozen=True, eq=False)
class Storage:
    """Where a tensor's numbers are: PyTorch's name of their type, and the archive's member."""

    kind: str
    key: str


@dataclass(frozen=True, eq=False)
class Tensor:
    """What a tensor's pickle says of it, in numbers of the storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def unpickled(pickle: bytes) -> Any:
    """The value that the pickle describes, of dictionaries, lists, tuples, literals, `Tensor`, `Called` and `Made`.

    Raises:
        ValueError: it is damaged, or asks for something that such values do not need.
    """
    try:
        return _value(pickle)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError):
        raise ValueError("the pickle in the .pt file is damaged") from None


def _value(pickle: bytes) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def popped() -> list[Any]:
        at = marks.pop()
        items = stack[at:]
        del stack[at:]
        return items

    for operation, argument in _operations(pickle):
        if operation in _LITERALS:
            stack.append(argument)
        elif operation in _CONSTANTS:
            stack.append(_CONSTANTS[operation])
        elif operation in _EMPTY:
            stack.append(_EMPTY[operation]())
        elif operation == "EMPTY_SET":
            stack.append(Made(_SET, ([],)))
        elif operation in _TUPLES:
            count = _TUPLES[operation]
            if len(stack) < count:
                raise IndexError
            stack[-count:] = [tuple(stack[-count:])]
        elif operation in ("PROTO", "FRAME"):
            pass
        elif operation == "MARK":
            marks.append(len(stack))
        elif operation == "TUPLE":
            stack.append(tuple(popped()))
        elif operation in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif operation == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif operation in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif operation == "GLOBAL":
            stack.append(_called(*argument.split(" ")))
        elif operation == "STACK_GLOBAL":
            name = stack.pop()
            stack.append(_called(stack.pop(), name))
        elif operation == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif operation in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(_made(stack.pop(), arguments))
        elif operation in ("APPEND", "APPENDS"):
            items = popped() if operation == "APPENDS" else [stack.pop()]
            if not isinstance(stack[-1], Made):
                stack[-1].extend(items)
        elif operation == "ADDITEMS":
            items = popped()
            if not isinstance(stack[-1], Made) or stack[-1].name != _SET:
                raise TypeError
            stack[-1].arguments[0].extend(items)
        elif operation in ("SETITEM", "SETITEMS"):
            items = popped() if operation == "SETITEMS" else [stack.pop(-2), stack.pop()]
            if not isinstance(stack[-1], Made):
                _fill(stack[-1], items)
        elif operation == "BUILD":  # a state dict's _metadata, version numbers of modules; or an object's attributes
            state = stack.pop()
            if isinstance(stack[-1], Made):
                if stack[-1].state is not None:
                    raise TypeError
                stack[-1].state = state
            elif not isinstance(stack[-1], dict):
                raise TypeError
        elif operation == "STOP":
            return stack.pop()
        else:
            raise ValueError(f"the .pt file holds Python objects ({operation}); save model.state_dict() instead")
    raise ValueError("the pickle in the .pt file is incomplete")


def _operations(pickle: bytes) -> Iterator[tuple[str, Any]]:
    operations = pickletools.genops(pickle)
    while True:
        try:
            code, argument, _ = next(operations)
        except StopIteration:
            return
        except Exception as error:  # damaged bytes
            raise ValueError(f"the pickle in the .pt file is damaged ({reason(error)})") from None
        yield code.name, argument


def _called(module: Any, name: Any) -> Called:
    # Text only, and short: names put together from values that hold one another would double with every operation.
    if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > _LONGEST:
        raise TypeError
    return Called(f"{module} {name}")


def _storage(identity: Any) -> Storage:
    tag, kind, key, _, _ = identity
    if not isinstance(tag, str) or tag != "storage" or not isinstance(key, str) or not isinstance(kind, Called):
        raise TypeError
    return Storage(kind.name.removeprefix("torch "), key)


def _made(what: Any, arguments: Any) -> Any:
    """What the call of a name gives; only four names are known, of others what is given to them."""
    if not isinstance(what, Called) or not isinstance(arguments, tuple):
        raise TypeError
    if what.name == _DICT and len(arguments) == 0:
        return {}
    if what.name == _SIZE and len(arguments) == 1 and isinstance(arguments[0], tuple):
        return arguments[0]
    if what.name == _PARAMETER and isinstance(arguments[0], Tensor):
        return arguments[0]
    if what.name == _TENSOR:
        storage, offset, size, stride = arguments[:4]
        numbers = [offset, *size, *stride]
        if not isinstance(storage, Storage) or len(size) != len(stride) or len(size) > 32:
            raise TypeError
        if any(type(n) is not int or not 0 <= n < 2**40 for n in numbers):
            raise TypeError
        if len(arguments) > 6 and arguments[6]:  # that the numbers mean their negatives, say
            raise ValueError("a tensor in the .pt file has properties of its own, which are not read; clone it first")
        return Tensor(storage, offset, tuple(size), tuple(stride))
    return Made(what.name, arguments)


def _fill(target: Any, items: list[Any]) -> None:
    if type(target) is not dict or len(items) % 2 or any(not isinstance(key, _KEYS) for key in items[::2]):
        raise TypeError
    for key, value in zip(items[::2], items[1::2], strict=True):
        if key in target:
            raise ValueError(f"{str(key)[:80]!r} is there more than once")
        target[key] = value
