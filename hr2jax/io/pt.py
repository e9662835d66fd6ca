"""PyTorch's .pt files of a state dict (torch.save since 1.6). Neither torch nor pickle's machine is used.

The pickle inside is decoded by `pickletools`, which only splits it into operations, and those few that make
dictionaries, tuples and tensors are carried out here; whatever else is asked for is refused. Nothing in the file can
call anything.
"""

from __future__ import annotations

import pickletools
import zipfile
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from ..arithmetic import exact
from ..arithmetic.float64 import Array
from .names import named
from .npz import Layers, reason

_STORAGES = {"HalfStorage": "<f2", "BFloat16Storage": "<u2", "FloatStorage": "<f4", "DoubleStorage": "<f8"}
_DICT, _TENSOR, _PARAMETER = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
_LITERALS = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_EMPTY: dict[str, type] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def read(file: IO[bytes]) -> Layers:
    """(weights, biases) of a .pt file that holds a state dict; its keys as `names.named` takes them.

    Raises:
        ValueError: another PyTorch file, such as a whole module, or a damaged one.
    """
    try:
        archive = zipfile.ZipFile(file)
        names = archive.namelist()
    except Exception as error:  # damaged bytes make zipfile raise nearly anything
        raise ValueError(
            f"this is not a whole .pt file, which is a zip archive since PyTorch 1.6 ({reason(error)})"
        ) from None
    with archive:
        roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
        if len(roots) != 1 or len(set(names)) < len(names):
            raise ValueError("this is not a .pt file of torch.save: it does not hold one data.pkl")
        if f"{roots[0]}byteorder" in names and _member(archive, f"{roots[0]}byteorder") != b"little":
            raise ValueError("the .pt file was written on a big-endian machine, which is not read")
        try:
            state = _state(_member(archive, f"{roots[0]}data.pkl"))
        except (IndexError, KeyError, TypeError, AttributeError, OverflowError):
            raise ValueError("the pickle in the .pt file is damaged") from None
        return named(state, lambda key: state[key].array(archive, f"{roots[0]}data/", key))


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
            raise ValueError("it is compressed, which torch.save never does")
        return archive.read(name)
    except Exception as error:  # as above
        raise ValueError(f"{name} in the .pt file is missing or damaged ({reason(error)})") from None


@dataclass(frozen=True)
class _Global:
    """A name in the pickle; it is compared and never looked up."""

    name: str


@dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self, archive: zipfile.ZipFile, folder: str, name: str) -> Array:
        """The numbers as float64, which holds every one of them exactly."""
        data = _member(archive, folder + self.storage.key)
        width = np.dtype(self.storage.dtype).itemsize
        last = self.offset + sum((n - 1) * s for n, s in zip(self.size, self.stride, strict=True))
        if len(data) % width or (0 not in self.size and last >= len(data) // width):
            raise ValueError(f"{name} is damaged or incomplete: its numbers are not where the file says")
        exact.limited(*self.size)
        flat = np.frombuffer(data, self.storage.dtype)
        if self.storage.dtype == "<u2":  # bfloat16 is the upper half of a float32
            flat = (flat.astype(np.uint32) << 16).view(np.float32)
        if 0 in self.size:
            return np.zeros(self.size)
        strides = [s * flat.itemsize for s in self.stride]
        with np.errstate(invalid="ignore"):  # signalling NaN, which Network refuses
            return np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, strides).astype(np.float64)


def _state(pickle: bytes) -> dict[str, _Tensor]:
    """The dictionary of tensors that the pickle describes."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def popped() -> list[Any]:
        at = marks.pop()
        items = stack[at:]
        del stack[at:]
        return items

    for operation, argument, _ in _operations(pickle):
        if operation in _LITERALS:
            stack.append(argument)
        elif operation in _CONSTANTS:
            stack.append(_CONSTANTS[operation])
        elif operation in _EMPTY:
            stack.append(_EMPTY[operation]())
        elif operation in _TUPLES:
            count = _TUPLES[operation]
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
            stack.append(_Global(argument))
        elif operation == "STACK_GLOBAL":
            name = stack.pop()
            stack.append(_Global(f"{stack.pop()} {name}"))
        elif operation == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif operation == "REDUCE":
            arguments = stack.pop()
            stack.append(_made(stack.pop(), arguments))
        elif operation in ("SETITEM", "SETITEMS"):
            items = popped() if operation == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _fill(stack[-1], items)
        elif operation == "BUILD":  # the state dict's _metadata: version numbers of modules
            stack.pop()
            if not isinstance(stack[-1], dict):
                raise ValueError("the .pt file holds more than a state dict; save model.state_dict() instead")
        elif operation == "STOP":
            return _checked(stack.pop())
        else:
            raise ValueError(f"the .pt file holds Python objects ({operation}); save model.state_dict() instead")
    raise ValueError("the pickle in the .pt file is incomplete")


def _operations(pickle: bytes) -> list[tuple[str, Any, int | None]]:
    try:
        return [(code.name, argument, at) for code, argument, at in pickletools.genops(pickle)]
    except Exception as error:  # damaged bytes
        raise ValueError(f"the pickle in the .pt file is damaged ({reason(error)})") from None


def _storage(identity: Any) -> _Storage:
    tag, kind, key, _, _ = identity
    dtype = _STORAGES.get(kind.name.removeprefix("torch ")) if isinstance(kind, _Global) else None
    if tag != "storage" or not isinstance(key, str):
        raise TypeError
    if dtype is None:
        raise ValueError(
            f"the .pt file holds a tensor of {str(getattr(kind, 'name', 'something'))[:60]}, not of floats"
        )
    return _Storage(dtype, key)


def _made(what: Any, arguments: Any) -> Any:
    """What the call of a name gives; only three names are known."""
    name = what.name if isinstance(what, _Global) else "something"
    if name == _DICT and arguments == ():
        return {}
    if name == _PARAMETER and isinstance(arguments[0], _Tensor):
        return arguments[0]
    if name == _TENSOR:
        storage, offset, size, stride = arguments[:4]
        numbers = [offset, *size, *stride]
        if not isinstance(storage, _Storage) or len(size) != len(stride) or len(size) > 32:
            raise TypeError
        if any(type(n) is not int or not 0 <= n < 2**40 for n in numbers):
            raise TypeError
        return _Tensor(storage, offset, tuple(size), tuple(stride))
    raise ValueError(
        f"the .pt file asks for {name.replace(' ', '.')[:80]!r}, and nothing in a file is executed; "
        "save model.state_dict() instead"
    )


def _fill(target: Any, items: list[Any]) -> None:
    if type(target) is not dict or len(items) % 2 or any(not isinstance(key, str) for key in items[::2]):
        raise TypeError
    for key, value in zip(items[::2], items[1::2], strict=True):
        if key in target:
            raise ValueError(f"{key[:80]!r} is there more than once")
        target[key] = value


def _checked(state: Any) -> dict[str, _Tensor]:
    if type(state) is not dict:
        raise ValueError("the .pt file does not hold a state dict; save model.state_dict() instead")
    for key, value in state.items():
        if not isinstance(value, _Tensor):
            raise ValueError(f"{key[:80]!r} in the .pt file is not a tensor; save model.state_dict() and nothing else")
    return state
