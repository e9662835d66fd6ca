"""`certify`'s arguments, checked before any work."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arithmetic.float64 import Array, exact_float64, rank
from ..network import Network
from ..options import Options
from ..problem import checked_problem
from ..solving.many import ONE_PROBLEM
from ..text import shown
from .margins import Clip
from .spool import spooled

# Options that `certify` has of its own, or sets.
ROWS = 8192  # inputs that are looked at together
OWN = ("relaxation", "seed", "time_limit", "callback", "progress")


# --- what is given ----------------------------------------------------------------------------------


def solve_options(
    net: Network, norm: Any, relaxation: Any, seed: Any, time_limit: Any, progress: Any, options: dict[str, Any]
) -> dict[str, Any]:
    """Those of `solve` for every problem, checked; defaults are its own."""
    shared = [field.name for field in fields(Options) if field.name not in (*OWN, *ONE_PROBLEM)]
    for name in options:
        if name not in shared:
            raise TypeError(f"certify() got an unexpected keyword argument {name!r}")
    checked = Options(relaxation=relaxation, seed=seed, time_limit=time_limit, progress=progress, **options)
    checked.check(net, checked_problem(net, (0, 1), norm))
    return {name: getattr(checked, name) for name in (*shared, "relaxation", "seed")} | options


class Mapped:
    """(n, p_0) inputs of a file that is mapped into memory: those that are asked for are read, as float64."""

    def __init__(self, given: np.memmap, width: int):
        """given: (n, ...) with `width` numbers each, checked."""
        self.given, self.shape = given, (len(given), width)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Array:
        found = np.array(self.given[rows], dtype=np.float64, order="C") + 0.0
        return found.reshape(-1) if isinstance(rows, int | np.integer) else found.reshape(len(found), -1)


def checked_inputs(net: Network, inputs: ArrayLike | Iterator[Any], clip: Any) -> tuple[Array | Mapped, Clip | None]:
    """(n, p_0) float64 inputs, from (n, ...) in C order or an iterator of such batches, and the clip box."""
    width = net.widths[0]
    if isinstance(inputs, Iterator):
        inputs = spooled(inputs, width)
    given: Any = inputs
    is_mapped = isinstance(inputs, np.memmap) and inputs.ndim > 1 and len(inputs) > 0
    if isinstance(inputs, np.memmap) and is_mapped:
        for start in range(0, len(inputs), ROWS):
            exact_float64(inputs[start : start + ROWS], "inputs", inputs.ndim)
    else:
        given = exact_float64(given, "inputs", rank(given, 2))
    shape = given.shape
    if given.ndim < 2 or not len(given) or math.prod(shape[1:]) != width:
        single = f"; a single input x is given as x[None], of shape (1, {width})" if given.size == width else ""
        raise ValueError(
            f"inputs must have shape (n, {width}), or (n, ...) with {width} entries each, n at least 1, but their "
            f"shape is {shape}{single}"
        )
    x = Mapped(given, width) if isinstance(given, np.memmap) else given.reshape(len(given), width)
    if clip is None:
        return x, None
    if not isinstance(clip, tuple | list) or len(clip) != 2:
        raise ValueError(f"clip must be None or a pair (lo, hi), but {shown(clip)} was given")
    sides = []
    for name, side in zip(("lo", "hi"), clip, strict=True):
        value = exact_float64(side, f"clip's {name}", rank(side, 1))
        if value.shape not in ((), x.shape[1:], shape[1:]):
            raise ValueError(f"clip's {name} must be a number or have shape {x.shape[1:]}, but has {value.shape}")
        sides.append(np.array(np.broadcast_to(value.reshape(-1), x.shape[1:])))
    low, high = sides
    if (low > high).any():
        j = int(np.argmax(low > high))
        raise ValueError(f"clip's lo must not exceed its hi, but at input entry {j} they are {low[j]} and {high[j]}")
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS]
        outside = (rows < low) | (rows > high)
        if outside.any():
            i, j = np.argwhere(outside)[0].tolist()
            raise ValueError(
                f"inputs must lie in the clip box, but entry {j} of input {start + i} is {rows[i, j]}, not in "
                f"[{low[j]}, {high[j]}]"
            )
    return x, (low, high)


def checked_radii(radii: Any) -> Array:
    """(m,) float64 radii; a number is one of them."""
    r = np.atleast_1d(exact_float64(radii, "radii", min(rank(radii, 1), 1)))
    if not len(r):
        raise ValueError("radii must hold at least one radius, but it is empty")
    if not (r > 0).all():
        raise ValueError(f"radii must be positive, but {float(r.min())} was given")
    return r


def checked_labels(net: Network, x: Array | Mapped, labels: ArrayLike | None) -> Array:
    """(n,) int64 labels; None: the network's own."""
    if labels is None:
        with np.errstate(all="ignore"):
            parts = [np.argmax(net(x[start : start + ROWS]), axis=1) for start in range(0, len(x), ROWS)]
            return np.concatenate(parts).astype(np.int64)
    try:
        given = np.asarray(labels)
    except ValueError:
        raise ValueError(f"labels must be {len(x)} integers, one an input, but {shown(labels)} was given") from None
    if given.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, but their dtype is {given.dtype}")
    if given.shape != (len(x),):
        raise ValueError(f"labels must have shape ({len(x)},), one for each input, but their shape is {given.shape}")
    bad = (given < 0) | (given >= net.widths[-1])
    if bad.any():
        raise ValueError(f"labels must lie in 0..{net.widths[-1] - 1}, but {int(given[bad][0])} was given")
    return given.astype(np.int64)


def checked_accuracy(value: Any) -> float | None:
    """A relative accuracy, or None."""
    if value is None:
        return None
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not 0 < value <= sys.float_info.max:
        raise ValueError(f"radius_accuracy must be None or a positive finite number, but {shown(value)} was given")
    return float(value)
