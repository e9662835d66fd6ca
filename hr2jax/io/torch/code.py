"""The code of a TorchScript archive: its classes, methods and functions, as syntax trees that nothing compiles."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ClassOf:
    """A class of the archive: its methods, and its constants."""

    methods: dict[str, ast.FunctionDef]
    constants: dict[str, Any]

    @staticmethod
    def own_name(name: str) -> str:
        """The class's own name in "module Class"."""
        return name.rpartition(" ")[2][:60]


class Code:
    """Classes and functions by their whole names, each file parsed once.

    Args:
        source: gives the tree of a file, such as __torch__/torch/nn/modules/linear.
    """

    def __init__(self, source: Callable[[str], ast.Module]) -> None:
        self._source = source
        self._files: dict[str, dict[str, ast.stmt]] = {}
        self._classes: dict[str, ClassOf] = {}

    def _definition(self, name: str) -> ast.stmt:
        place, _, own = name.rpartition(".")
        path = place.replace(".", "/")
        if not place.startswith("__torch__"):
            raise ValueError(f"its code asks for {name[:100]!r}, which is not in the archive")
        if path not in self._files:
            found: dict[str, ast.stmt] = {}
            for part in self._source(path).body:
                if not isinstance(part, ast.ClassDef | ast.FunctionDef) or part.decorator_list or part.name in found:
                    raise ValueError(f"its code {path[:100]} holds something beside classes and functions")
                found[part.name] = part
            self._files[path] = found
        if own not in self._files[path]:
            raise ValueError(f"its code asks for {name[:100]!r}, which is not in the archive")
        return self._files[path][own]

    def function(self, name: str) -> ast.FunctionDef:
        """The function of a whole name.

        Raises:
            ValueError: there is none.
        """
        found = self._definition(name)
        if not isinstance(found, ast.FunctionDef):
            raise ValueError(f"its code calls {name[:100]!r}, which is no function")
        return found

    def class_of(self, name: str) -> ClassOf:
        """The class of a whole name, "module Class".

        Raises:
            ValueError: there is none, or it has hooks or anything else that is not known.
        """
        if name not in self._classes:
            found = self._definition(name.replace(" ", "."))
            if not isinstance(found, ast.ClassDef):
                raise ValueError(f"{name[:100]!r} is no class")
            self._classes[name] = _class(found)
        return self._classes[name]


def _class(found: ast.ClassDef) -> ClassOf:
    methods: dict[str, ast.FunctionDef] = {}
    constants: dict[str, Any] = {}
    bases = [base.id for base in found.bases if isinstance(base, ast.Name)]
    if bases != ["Module"] or len(found.bases) != 1 or found.keywords:
        raise ValueError(f"the class {found.name[:60]!r} is no module")
    for part in found.body:
        match part:
            case ast.FunctionDef(name=name, decorator_list=[]) if name not in methods and "state__" not in name:
                methods[name] = part
            case ast.Assign(targets=[ast.Name(id="__parameters__" | "__buffers__")]):
                pass
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="__annotations__"))]):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                if value is not None:
                    constants[name] = _literal(value, name)
            case ast.Pass():
                pass
            case _:
                what = _said(part)
                raise ValueError(f"the class {found.name[:60]!r} has {what[:60]}, such as hooks, which is not read")
    return ClassOf(methods, constants)


def _literal(value: ast.expr, name: str) -> Any:
    try:
        return ast.literal_eval(value)
    except Exception:
        raise ValueError(f"the constant {name[:60]!r} is none that is read") from None


def _said(part: ast.stmt) -> str:
    match part:
        case ast.FunctionDef(name=name):
            return f"a method {name!r} of its own"
        case ast.Assign(targets=[ast.Name(id=name)]):
            return repr(name)
        case _:
            return f"a statement ({type(part).__name__})"
