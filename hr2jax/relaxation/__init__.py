"""Relaxations: their table, the lifted basis, the families of products, the block form.

Imported on use, as the package's own names are: options and the command line's help need the table alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .table import RELAXATIONS, Relaxation

if TYPE_CHECKING:
    from .basis import Lifting
    from .families import catalogue, preset
    from .forms import Family, Form, Term
    from .lifting import lift

__all__ = ["RELAXATIONS", "Family", "Form", "Lifting", "Relaxation", "Term", "catalogue", "lift", "preset"]

_HOME = {
    "Lifting": "basis", "catalogue": "families", "preset": "families", "Family": "forms", "Form": "forms",
    "Term": "forms", "lift": "lifting",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME[name]}", __name__), name)
    return value
