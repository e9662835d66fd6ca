"""Modules of Flax, linen and nnx, as functions of one array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Function = Callable[[Any], Any]
_EVAL = "call .eval() on it first"


def of_linen(module: Any, variables: Any) -> Function:
    """A linen module with its variables {"params": ..., "batch_stats": ...}, or with its parameters alone.

    Raises:
        ValueError: the variables are no dict.
    """
    if not isinstance(variables, Mapping):
        raise ValueError(f"a module of flax.linen is given as (module, variables), variables the dict that init or "
                         f"training gives, but a {type(variables).__name__} was given")  # fmt: skip
    held = variables if isinstance(variables.get("params"), Mapping) else {"params": variables}
    return lambda x: module.apply(held, x)


def of_nnx(module: Any) -> Function:
    """A module of nnx in evaluation; it is not changed.

    Raises:
        ValueError: a part of it is in training mode.
    """
    from flax import nnx

    for path, part in nnx.iter_graph(module):
        training = getattr(part, "use_running_average", None) is False and hasattr(part, "momentum")
        training = training or (getattr(part, "deterministic", None) is False and getattr(part, "rate", 0.0) > 0.0)
        if isinstance(part, nnx.Module) and training:
            where = ".".join(str(p) for p in path)
            what = f"{type(part).__name__} {where!r}" if where else type(part).__name__
            raise ValueError(f"the module is in training mode, in which its {what} does something else; {_EVAL}")
    definition, state = nnx.split(module)

    def function(x: Any) -> Any:
        return nnx.merge(definition, state)(x)  # here: what a trace changes is of a copy that goes with it

    return function
