"""What the code of TorchScript says, followed over expressions: its modules, its choices and its operators.

Python's own machine has no part in it. Only names, attributes, calls of the archive's functions and of operators that
are read, and choices between numbers are followed; a loop, and whatever else there may be, is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from ..layers import reason
from ..onnx.rules import shape_of
from ..onnx.walk import Ended, Walk
from ..pickled import Made, Tensor
from . import moving, numbers_of
from .aten import TABLE, Aten
from .code import ClassOf, Code
from .schemas import SCHEMAS, VIEWS, arguments
from .viewed import viewed

_MODULES = (moving,)  # which fill the table of operators
_MOST = 20_000  # expressions that are followed
_DEEPEST = 60  # calls within one another
_FLOATS, _HALVES = (None, 6, 7), {5: "float16", 15: "bfloat16"}  # PyTorch's numbers of its dtypes
_RETURNED: Any = object()


class Memory:
    """Where the numbers of a tensor and of its views are; what is done in place changes its version."""

    def __init__(self, is_held: bool = False) -> None:
        self.version, self.is_held = 0, is_held


class Box:
    """A tensor: its value, which an operator in place replaces, and where its numbers are."""

    def __init__(self, value: Any, memory: Memory | None = None) -> None:
        self.value, self.memory = value, memory or Memory()
        self.version = self.memory.version

    def check(self, what: str) -> Any:
        """The value.

        Raises:
            ValueError: the numbers were changed through another view of them.
        """
        if self.version != self.memory.version:
            raise ValueError(f"{what} is of numbers that an operator in place has changed through another view, which "
                             "is not followed; trace the module without operators in place")  # fmt: skip
        return self.value


class Stored(Box):
    """A tensor of the archive, read once it is used."""

    def __init__(self, get: Callable[[], Any]) -> None:
        super().__init__(None, Memory(True))
        self._get = get

    def check(self, what: str) -> Any:
        """The value."""
        if self.value is None:
            self.value = self._get()
        return self.value


class Interpreter:
    """One walk over the code of a module.

    Args:
        walk: the layers made so far.
        code: of the archive.
        constants: of the archive.
        tensor: gives the array of a tensor, what it is, and whether it is a constant.
    """

    def __init__(self, walk: Walk, code: Code, constants: Sequence[Any], tensor: Callable[[Tensor, str, bool], Any]):
        self.walk, self.code, self.constants, self.tensor = walk, code, constants, tensor
        self._held: dict[int, tuple[Tensor, Box]] = {}
        self._steps = self._depth = 0

    def method(self, module: Made, name: str, args: Sequence[Any]) -> Any:
        """The value of a method of a module."""
        found = self.code.class_of(module.name).methods.get(name)
        if found is None:
            raise ValueError(f"the class {ClassOf.own_name(module.name)!r} has no method {name[:60]!r}")
        return self._called(found, [module, *args])

    def _called(self, function: ast.FunctionDef, args: Sequence[Any]) -> Any:
        said = function.args
        if said.vararg or said.kwarg or said.kwonlyargs or said.posonlyargs:
            raise ValueError(f"the function {function.name[:60]!r} takes arguments that are not read")
        names, defaults = [a.arg for a in said.args], said.defaults
        first = len(names) - len(defaults)
        if not first <= len(args) <= len(names):
            raise ValueError(f"the function {function.name[:60]!r} is called with {len(args)} arguments")
        env = dict(zip(names, args, strict=False))
        for name, default in zip(names[len(args) :], defaults[len(args) - first :], strict=True):
            env[name] = self._value(default, {})
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("its functions call one another deeper than any module's")
        found = self._block(function.body, env)
        self._depth -= 1
        return None if found is None else found[0]

    def _block(self, body: Sequence[ast.stmt], env: dict[str, Any]) -> tuple[Any] | None:
        """What is returned, in a tuple; None where nothing is."""
        for statement in body:
            match statement:
                case ast.Assign(targets=[target], value=value):
                    self._assign(target, self._value(value, env), env)
                case ast.Expr(value=value):
                    self._value(value, env)
                case ast.Return(value=value):
                    return (None if value is None else self._value(value, env),)
                case ast.If(test=test, body=then, orelse=other):
                    found = self._block(then if self._choice(test, env) else other, env)
                    if found is not None:
                        return found
                case ast.Pass():
                    pass
                case _:
                    raise ValueError(f"its code has a {type(statement).__name__}, which is not followed; trace the "
                                     "module (torch.jit.trace), or give it alive")  # fmt: skip
        return None

    def _assign(self, target: ast.expr, value: Any, env: dict[str, Any]) -> None:
        match target:
            case ast.Name(id=name):
                env[name] = value
            case ast.Tuple(elts=parts) if isinstance(value, tuple | list) and len(parts) == len(value):
                for part, one in zip(parts, value, strict=True):
                    self._assign(part, one, env)
            case _:
                raise ValueError("its code changes what a module holds, or assigns in a way that is not followed")

    def _choice(self, test: ast.expr, env: dict[str, Any]) -> bool:
        found = self._value(test, env)
        if not isinstance(found, bool):
            raise ValueError("its code chooses by what the network computes, which is not followed")
        return found

    def _value(self, node: ast.expr, env: dict[str, Any]) -> Any:
        self._steps += 1
        if self._steps > _MOST:
            raise ValueError(f"its code takes more than {_MOST} steps")
        match node:
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return numbers_of.checked(value)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)) if isinstance(value, int | float):
                return numbers_of.checked(-value)
            case ast.Name(id=name) if name in env:
                return env[name]
            case ast.List(elts=parts):
                return [self._value(part, env) for part in parts]
            case ast.Tuple(elts=parts):
                return tuple(self._value(part, env) for part in parts)
            case ast.Subscript(value=inner, slice=index):
                return self._item(self._value(inner, env), self._value(index, env))
            case ast.IfExp(test=test, body=then, orelse=other):
                return self._value(then if self._choice(test, env) else other, env)
            case ast.Call():
                return self._call(node, env)
            case ast.Name(id=name):
                raise ValueError(f"its code names {name[:60]!r}, which is not known")
            case ast.Attribute(value=ast.Name(id="CONSTANTS"), attr=name):
                return self._constant(name)
            case ast.Attribute(value=inner, attr=name):
                path = _path(node)
                if path.startswith("__torch__.") and "__torch__" not in env:
                    return self.code.function(path)
                return self._attribute(self._value(inner, env), name)
            case _:
                raise ValueError(f"its code has a {type(node).__name__}, which is not followed")

    def _item(self, value: Any, index: Any) -> Any:
        if not isinstance(value, tuple | list) or type(index) is not int or not -len(value) <= index < len(value):
            raise ValueError("its code takes an entry of something that is no list, which is not followed")
        return value[index]

    def _constant(self, name: str) -> Any:
        number = name[1:]
        if not name.startswith("c") or not number.isdecimal() or len(number) > 9 or int(number) >= len(self.constants):
            raise ValueError(f"the archive has no constant {name[:60]!r}")
        return self._read(self.constants[int(number)], f"the constant {name}", True)

    def _attribute(self, module: Any, name: str) -> Any:
        if not isinstance(module, Made) or type(module.state) is not dict:
            raise ValueError(f"its code takes {name[:60]!r} of something that is no module")
        held, said = module.state, self.code.class_of(module.name).constants
        if name not in held and name not in said:
            raise ValueError(f"the module {ClassOf.own_name(module.name)!r} has no {name[:60]!r}")
        return self._read(held[name] if name in held else said[name], f"its {name[:60]}", False)

    def _read(self, value: Any, what: str, is_constant: bool) -> Any:
        if isinstance(value, Tensor):
            if id(value) not in self._held:
                self._held[id(value)] = (value, Stored(lambda: self.tensor(value, what, is_constant)))
            return self._held[id(value)][1]
        if isinstance(value, Made) and value.name.startswith("torch.jit._pickle build_") and len(value.arguments) == 1:
            return value.arguments[0]
        return value

    # Calls

    def _call(self, node: ast.Call, env: dict[str, Any]) -> Any:
        function, path = node.func, _path(node.func)
        if path in ("annotate", "unchecked_cast") and len(node.args) == 2 and not node.keywords:
            return self._value(node.args[1], env)
        if any(keyword.arg is None for keyword in node.keywords):
            raise ValueError("its code calls with arguments that are not followed")
        named = {str(keyword.arg): self._value(keyword.value, env) for keyword in node.keywords}
        if path.startswith("torch."):
            args = [self._value(part, env) for part in node.args]
            return self._operator(path.removeprefix("torch."), args, named)
        if path.startswith("ops.prim.") or path in ("int", "float", "bool", "getattr"):
            args = [self._value(part, env) for part in node.args]
            if path == "getattr" and len(args) == 2 and isinstance(args[1], str):
                return self._attribute(args[0], args[1])
            return numbers_of.primitive(path, args)
        if named:
            raise ValueError("its code calls with arguments that are not followed")
        if isinstance(function, ast.Attribute) and not path.startswith("__torch__."):
            module = self._value(function.value, env)
            if not isinstance(module, Made):
                raise ValueError(f"its code calls {function.attr[:60]!r} of something that is no module")
            return self.method(module, function.attr, [self._value(part, env) for part in node.args])
        found = self._value(function, env) if path else None
        if not isinstance(found, ast.FunctionDef):
            raise ValueError(f"its code calls {path[:60] or 'something'!r}, which is not read")
        return self._called(found, [self._value(part, env) for part in node.args])

    def _operator(self, name: str, args: list[Any], named: dict[str, Any]) -> Any:
        what = f"torch.{name[:60]}"
        if name in numbers_of.ON_TENSORS and len(args) and isinstance(args[0], Box):
            return numbers_of.of_shape(name, shape_of(_inner(args[0].check(what))), args[1:])
        if not any(isinstance(a, Box) or _has_box(a) for a in (*args, *named.values())):
            return numbers_of.operator(name, args)
        if name in numbers_of.ON_ANYTHING:
            return numbers_of.operator(name, args)
        in_place = name.endswith("_") and not name.endswith("__")
        plain = name.removesuffix("_") if in_place else name
        if plain == "to":
            return self._cast(what, args, named)
        if plain not in SCHEMAS and plain not in TABLE:
            return Aten(self.walk, what, plain, None, True).call({})  # refused by its name
        if plain not in SCHEMAS:
            raise ValueError(f"{what} is not read in TorchScript's code; give the module alive")
        try:
            given = arguments(plain, args, named)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from None
        first = next(iter(given.values()))
        if in_place and (not isinstance(first, Box) or first.memory.is_held):
            raise ValueError(
                f"{what} changes what the module holds, as a BatchNorm does in training mode; "
                "call .eval() before saving"
            )
        if given.get("dtype") not in _FLOATS or given.get("memory_format") not in (None, 0, 1):
            raise ValueError(f"{what} makes numbers of another kind, which is not read")
        value = self._applied(what, plain, {k: _plain(v, what) for k, v in given.items()})
        if in_place:
            if shape_of(_inner(value)) != shape_of(_inner(first.value)):
                raise ValueError(f"{what} changes the shape of a tensor")
            first.memory.version += 1
            first.version, first.value = first.memory.version, value
            return first
        return Box(value, first.memory if plain in VIEWS and isinstance(first, Box) else None)

    def _applied(self, what: str, name: str, given: dict[str, Any]) -> Any:
        if name == "_convolution_mode":
            return self._applied(what, f"conv{len(shape_of(given['weight'])) - 2}d", given)
        if name == "_convolution":
            dims = len(shape_of(given["weight"])) - 2
            kept = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
            form = {k: given[k] for k in kept}
            if not isinstance(given["transposed"], bool):
                raise ValueError(f"{what} does not say whether it is transposed")
            if given["transposed"]:
                form["output_padding"] = given["output_padding"]
            elif any(given["output_padding"]):
                raise ValueError(f"{what} says an output_padding, but is not transposed")
            return self._applied(what, f"conv_transpose{dims}d" if given["transposed"] else f"conv{dims}d", form)
        first = next(iter(given.values()))
        try:
            shape = viewed(name, shape_of(_inner(first)), given) if not isinstance(first, list) else None
        except ValueError as error:
            raise ValueError(f"{what}: {reason(error)}") from None
        value = Aten(self.walk, what, name, shape, True).call(given)
        if isinstance(value, list) or value is None:
            raise ValueError(f"{what} gives several tensors, which is not read")
        return value

    def _cast(self, what: str, args: list[Any], named: dict[str, Any]) -> Any:
        box, *rest = args
        if rest and type(rest[0]) is int and rest[0] in _HALVES:
            raise ValueError(f"{what} rounds to {_HALVES[rest[0]]}, so that it jumps; give the module in float32")
        if not rest or type(rest[0]) is not int or rest[0] not in _FLOATS or named:
            raise ValueError(f"{what} makes numbers of another kind, or is called in a way that is not read")
        return Box(box.check(what), box.memory)


def _path(node: ast.expr) -> str:
    """torch.nn.functional of an attribute of an attribute of a name; "" of anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *parts[::-1]]) if isinstance(node, ast.Name) else ""


def _inner(value: Any) -> Any:
    return value.before if isinstance(value, Ended) else value


def _has_box(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(v, Box) for v in value)


def _plain(value: Any, what: str) -> Any:
    """An argument for an operator: the values of tensors."""
    if isinstance(value, Box):
        return value.check(what)
    if isinstance(value, list | tuple):
        return [_plain(v, what) for v in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"{what} is called on something that is no tensor")
