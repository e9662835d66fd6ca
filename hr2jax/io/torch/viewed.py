"""The shapes that PyTorch's operators give which only change a shape."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

Shape = tuple[int, ...]


def viewed(name: str, shape: Shape, given: Mapping[str, Any]) -> Shape | None:
    """The shape of the value of the operator `name` on a tensor of `shape`; None of an operator of another kind.

    Raises:
        ValueError: the arguments do not fit the shape.
    """
    if name in ("view", "reshape"):
        return _filled(given["size" if name == "view" else "shape"], prod(shape))
    n = len(shape)
    if name == "flatten":
        first, last = _dim(given["start_dim"], n), _dim(given["end_dim"], n)
        if first > last:
            raise ValueError("its start_dim is behind its end_dim")
        return (*shape[:first], prod(shape[first : last + 1]), *shape[last + 1 :])
    if name == "unflatten":
        at = _dim(given["dim"], n)
        return (*shape[:at], *_filled(given["sizes"], shape[at]), *shape[at + 1 :])
    if name == "unsqueeze":
        at = _dim(given["dim"], n + 1)
        return (*shape[:at], 1, *shape[at:])
    if name == "squeeze":
        dims = given["dim"]
        at_ones = {_dim(d, n) for d in (dims if isinstance(dims, list) else [dims])} if dims is not None else range(n)
        return tuple(m for i, m in enumerate(shape) if m != 1 or i not in at_ones)
    return None


def _dim(value: Any, n: int) -> int:
    if type(value) is not int or not -max(n, 1) <= value < max(n, 1):
        raise ValueError(f"it says the dimension {str(value)[:40]}, but its input has {n}")
    return value % max(n, 1)


def _filled(sizes: Any, count: int) -> Shape:
    """The sizes, of which one may be -1."""
    if not isinstance(sizes, list | tuple) or any(type(m) is not int or m < -1 for m in sizes) or sizes.count(-1) > 1:
        raise ValueError("the sizes that it says are no shape")
    rest = prod(m for m in sizes if m != -1)
    if -1 not in sizes:
        found = tuple(sizes)
    elif rest and count % rest == 0:
        found = tuple(count // rest if m == -1 else m for m in sizes)
    else:
        found = ()
    if prod(found) != count or (not found and count != 1):
        raise ValueError(f"its input has {count} entries, which do not fit into {[*sizes]}")
    return found
