"""The .safetensors format: the length of a JSON heading, the heading, and little-endian numbers.

Read here rather than by the package safetensors: the heading is all there is to it, the package's NumPy side does not
read bfloat16, and a whole dependency would stand for these lines.
"""

from __future__ import annotations

import json
import math
from typing import IO, Any

import numpy as np

from ..arithmetic.float64 import Array
from .budget import Budget
from .layers import Graph, Layers, reason
from .names import named
from .own import is_own
from .told import Told, few

_WIDTHS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
_LONGEST = 100_000_000  # the format's own limit of the heading
_JSON = 40  # a character of JSON can take so many bytes of memory: "[]," is a list and its place in another


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers | Graph:
    """The layers of a .safetensors file; every float type is exact in float64.

    Names are A_1, b_1, ..., C, d, or PyTorch's; see `names.named`.

    Raises:
        ValueError: not a whole .safetensors file with the keys of a network.
    """
    data = memoryview(budget.contents(file))
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _LONGEST):
        raise ValueError("this is not a whole .safetensors file: its heading is longer than the file")
    budget.take(_JSON * length, "the heading of the .safetensors file")
    try:
        heading = json.loads(bytes(data[8 : 8 + length]).decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the heading of the .safetensors file is damaged ({reason(error)})") from None
    if not isinstance(heading, dict):
        raise ValueError("the heading of the .safetensors file is not a JSON object")
    metadata = heading.pop("__metadata__", {})
    if not isinstance(metadata, dict):
        raise ValueError("the metadata of the .safetensors file are not a JSON object")
    if any(is_own(key) for key in heading) and (unused := sorted({*metadata} - {"format"})):
        raise ValueError(
            f"the metadata of the file, {ascii(few(unused))[1:-1]}, may change what a file with the keys A_1, b_1, ... "
            "means; save it without"
        )
    return named(heading, lambda key: _tensor(heading[key], key, data[8 + length :], budget), told)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there more than once")
    return found


def _tensor(entry: Any, key: str, data: memoryview, budget: Budget) -> Array:
    entry = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = (entry.get(name) for name in ("dtype", "shape", "data_offsets"))
    if kind not in [*_WIDTHS]:
        raise ValueError(f"{key} must be of dtype {', '.join(_WIDTHS)}, but {str(kind)[:40]!r} was given")
    if not _naturals(shape) or len(shape) > 32 or not _naturals(offsets) or len(offsets) != 2:
        raise ValueError(f"{key} is damaged: its shape or its place in the file is not a list of integers")
    start, end = offsets
    size = math.prod(shape)
    if not start <= end <= len(data) or end - start != size * _WIDTHS[kind]:
        raise ValueError(f"{key} is damaged or incomplete: its numbers are not where the heading says")
    budget.numbers(tuple(shape), key)
    if kind == "BF16":  # the upper half of a float32
        values = (np.frombuffer(data[start:end], "<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = np.frombuffer(data[start:end], f"<f{_WIDTHS[kind]}")
    with np.errstate(invalid="ignore"):  # signalling NaN, which Network refuses
        return values.astype(np.float64).reshape(shape)


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)
