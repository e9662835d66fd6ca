"""Operators of PyTorch that only move, repeat, leave out or zero entries: what they do with the entries' numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..algebra import maps, numbers
from ..algebra.affine import Affine
from ..layers import reason
from ..onnx.choices import Sign
from ..onnx.rules import plain, shape_of
from ..onnx.walk import Walk

# Each is of one tensor, its first argument; the others are numbers, or constant tensors of places.
OPERATORS = {
    "roll", "rot90", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "repeat_interleave", "tile", "narrow",
    "movedim", "moveaxis", "swapaxes", "swapdims", "tril", "triu", "diagonal", "diag_embed", "diag", "unfold",
    "tensor_split", "hsplit", "vsplit", "dsplit", "fliplr", "flipud", "take_along_dim", "gather", "ravel",
    "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "expand_as", "view_as", "reshape_as", "im2col",
    "adjoint", "matrix_H", "mH",
}  # fmt: skip


def counted(target: Callable[..., Any], given: dict[str, Any]) -> Any:
    """The value of an operator of exact constants that gives integers or truth values: PyTorch's own."""
    import torch

    held = {k: [_tensor(v) for v in value] if isinstance(value, list) else _tensor(value) for k, value in given.items()}
    found = target(**held) if held else target()
    return found.numpy().astype(np.int64 if found.dtype != torch.bool else bool)


def placed(walk: Walk, what: str, target: Callable[..., Any], given: dict[str, Any]) -> Any:
    """The value of the operator, or the list of its values, by evaluating it on 1, 2, 3, ...: 0 is an entry of 0.

    Args:
        walk: the layers made so far.
        what: the node, for messages.
        target: PyTorch's operator.
        given: its arguments by their names, the tensor first.

    Raises:
        ValueError: PyTorch cannot evaluate it, or it does something else with entries.
    """
    import torch

    name, value = next(iter(given.items()))
    value = walk.inside(what, value)
    if isinstance(value, Sign):
        raise ValueError(f"{what} moves a comparison of what the network computes, which is not read")
    shape = shape_of(value)
    count = int(np.prod(shape))
    maps.room(float(count), "a tensor of places")
    entries = torch.arange(1.0, count + 1.0, dtype=torch.float64).reshape(shape)
    rest = {k: _tensor(v) for k, v in given.items() if k != name}
    try:
        with torch.no_grad():
            found = target(entries, **rest)
    except Exception as error:
        raise ValueError(f"{what} is not read with these arguments ({reason(error)})") from None
    if isinstance(found, torch.Tensor):
        return _taken(walk, what, value, found.numpy())
    return [_taken(walk, what, value, part.numpy()) for part in found]


def _tensor(value: Any) -> Any:
    import torch

    if isinstance(value, np.ndarray):
        return torch.as_tensor(value)
    if isinstance(value, Affine) or hasattr(value, "mid"):
        raise ValueError("it takes a second tensor that is no constant, which is not read")
    return value


def _taken(walk: Walk, what: str, value: Any, found: Any) -> Any:
    index = found.astype(np.int64) - 1
    if (index + 1 != found).any() or (index >= int(np.prod(shape_of(value)))).any() or (index < -1).any():
        raise ValueError(f"{what} does more than to move entries, which is not read")
    if isinstance(value, Affine):
        return plain(walk.builder.taken(value, index, index.shape))
    inside = np.maximum(index, 0)
    return numbers.moved(lambda a: np.where(index >= 0, a.ravel()[inside], 0), value)
