"""The .nnet text files of Stanford's ACAS Xu networks."""

from __future__ import annotations

from itertools import pairwise
from typing import IO

import numpy as np

from ..arithmetic.float64 import Array
from .budget import Budget
from .layers import Graph, Layers
from .told import Told

_UNLIMITED = 3.4e38  # what converters write for "no limit" is the largest float32, 3.4028e38
_LINES = 25  # "1," becomes a float of Python's and its place in a list
_HEADINGS = ("the sizes of the network", "the widths", "a flag", "input minima", "input maxima", "means", "ranges")


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers | Graph:
    """The layers of a file; ReLU by definition.

    An .nnet file is the function  x -> range * N((clip(x, minima, maxima) - means) / ranges) + mean,  N its layers.
    Where that is N (means 0, ranges 1, minima and maxima beyond every float32) it is a chain. Decimals are read as the
    nearest float64, and that is the network a certificate is for; quotients of them are enclosed.

    Raises:
        ValueError: not a whole .nnet file, naming the line or the layer.
    """
    try:
        data = budget.contents(file)
        budget.take(_LINES * len(data), "the text of the .nnet file")
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise ValueError("this is not an .nnet file, which is plain text") from None
    first = next((n for n, line in enumerate(lines) if not line.lstrip().startswith("//")), len(lines))
    heading, body = lines[first : first + len(_HEADINGS)], lines[first + len(_HEADINGS) :]
    if len(heading) < len(_HEADINGS):
        raise ValueError("the .nnet file is incomplete: its heading has 7 lines of numbers")
    rows = [_numbers(line, first + n + 1, what) for n, (line, what) in enumerate(zip(heading, _HEADINGS, strict=True))]
    sizes, widths = _integers(rows[0], _HEADINGS[0]), _integers(rows[1], _HEADINGS[1])
    if len(sizes) != 4 or len(widths) != sizes[0] + 1 or (widths[0], widths[-1]) != (sizes[1], sizes[2]):
        raise ValueError(
            f"the heading says layers, inputs, outputs, largest width {sizes}, but the widths are {widths}"
        )
    numbers = [_numbers(line, first + len(_HEADINGS) + n + 1, "a layer") for n, line in enumerate(body)]
    flat = np.concatenate([np.zeros(0), *numbers])
    expected = sum(n * (m + 1) for m, n in pairwise(widths))
    if len(flat) != expected:
        raise ValueError(f"the widths {widths} need {expected} weights and biases, but the file has {len(flat)}")
    heading_rows = _checked_normalisation(dict(zip(_HEADINGS[3:], rows[3:], strict=True)), widths[0])
    told.check_said([str(i + 1) for i in range(sizes[0])], "an .nnet file")
    weights, biases, at = [], [], 0
    for m, n in pairwise(widths):
        weights.append(flat[at : at + m * n].reshape(n, m))
        biases.append(flat[at + m * n : at + m * n + n])
        at += (m + 1) * n
    changed = any((row != plain).any() for row, plain in zip(heading_rows, (-np.inf, np.inf, 0.0, 1.0), strict=True))
    return _normalised(weights, biases, *heading_rows) if changed else Layers(weights, biases)


def _checked_normalisation(rows: dict[str, Array], inputs: int) -> tuple[Array, Array, Array, Array]:
    """Minima and maxima (inputs,), infinite where there is no limit; means and ranges (inputs + 1,)."""
    found = []
    for name, row in rows.items():
        expected = inputs if name.startswith("input") else inputs + 1  # the last of the others is the outputs'
        if len(row) < expected:
            raise ValueError(f"the {name} must be {expected} numbers, but {len(row)} are there")
        found.append(row[:expected])
    low, high, means, ranges = found
    low, high = np.where(low <= -_UNLIMITED, -np.inf, low), np.where(high >= _UNLIMITED, np.inf, high)
    if not (low <= high).all() or (low == np.inf).any() or (high == -np.inf).any():
        raise ValueError("each of the input minima must be at most its maximum")
    if not np.isfinite(means).all() or not np.isfinite(ranges).all() or (ranges == 0.0).any():
        raise ValueError("the means and the ranges must be finite numbers, ranges other than 0")
    return low, high, means, ranges


def _normalised(
    weights: list[Array], biases: list[Array], low: Array, high: Array, means: Array, ranges: Array
) -> Graph:
    from .algebra import kinks  # here: SciPy is loaded where it is needed
    from .algebra.affine import Builder
    from .algebra.maps import Map

    for i, (A, b) in enumerate(zip(weights, biases, strict=True), start=1):
        if not (np.isfinite(A).all() and np.isfinite(b).all()):
            raise ValueError(f"the weights and biases of layer {i} must be finite")
    builder = Builder(low.shape)
    above, below = low > -np.inf, high < np.inf
    parts, order = [], []
    for kind in ((True, True), (True, False), (False, True), (False, False)):
        index = np.flatnonzero((above == kind[0]) & (below == kind[1]))
        if len(index):
            value = builder.taken(builder.source, index, index.shape)
            parts.append(kinks.clip(builder, value, low[index] if kind[0] else None, high[index] if kind[1] else None))
            order.append(index)
    x = builder.taken(builder.joined(parts, 0), np.argsort(np.concatenate(order)), low.shape)
    x = builder.divide(builder.plus(x, -means[:-1]), ranges[:-1])
    for i, (A, b) in enumerate(zip(weights, biases, strict=True)):
        x = builder.plus(builder.apply(Map(A), x, b.shape), b)
        if i < len(weights) - 1:
            x = builder.activate(x, "relu")
    x = builder.plus(builder.scale(x, np.full(x.shape, ranges[-1])), np.full(x.shape, means[-1]))
    return Graph(builder.finish([x]))


def _numbers(line: str, number: int, what: str) -> Array:
    fields = [field.strip() for field in line.strip().removesuffix(",").split(",")]
    try:
        return np.array([float(field) for field in fields if field or len(fields) > 1])
    except ValueError:
        raise ValueError(f"line {number} ({what}) must hold numbers with commas between them") from None


def _integers(row: Array, what: str) -> list[int]:
    if not all(0 < n < 2**31 and n == int(n) for n in row.tolist()):
        raise ValueError(f"{what} must be positive integers, but {row.tolist()} was given")
    return [int(n) for n in row]
