"""The .nnet text files of Stanford's ACAS Xu networks."""

from __future__ import annotations

from itertools import pairwise
from typing import IO

import numpy as np

from ..arithmetic.float64 import Array
from .budget import Budget
from .layers import Layers
from .told import Told, few

_UNLIMITED = 3.4e38  # what converters write for "no limit" is the largest float32, 3.4028e38
_LINES = 25  # "1," becomes a float of Python's and its place in a list
_HEADINGS = ("the sizes of the network", "the widths", "a flag", "input minima", "input maxima", "means", "ranges")


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers:
    """The layers of a file whose inputs and outputs are not normalised; ReLU by definition.

    An .nnet file is the function  x -> range * N((clip(x, minima, maxima) - means) / ranges) + mean,  N its layers.
    It is read where that is N: means 0, ranges 1, and minima and maxima beyond every float32. Decimals are read as
    the nearest float64, and that is the network a certificate is for.

    Raises:
        ValueError: not a whole .nnet file, naming the line or the layer, or one that normalises.
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
    _check_normalisation(dict(zip(_HEADINGS[3:], rows[3:], strict=True)), widths[0])
    told.check_said([str(i + 1) for i in range(sizes[0])], "an .nnet file")
    weights, biases, at = [], [], 0
    for m, n in pairwise(widths):
        weights.append(flat[at : at + m * n].reshape(n, m))
        biases.append(flat[at + m * n : at + m * n + n])
        at += (m + 1) * n
    return Layers(weights, biases)


def _check_normalisation(rows: dict[str, Array], inputs: int) -> None:
    for name, row in rows.items():
        expected = inputs if name.startswith("input") else inputs + 1  # the last of the others is the outputs'
        if len(row) < expected:
            raise ValueError(f"the {name} must be {expected} numbers, but {len(row)} are there")
    changed = [
        name
        for name, row in rows.items()
        if not {
            "input minima": (row <= -_UNLIMITED).all(),
            "input maxima": (row >= _UNLIMITED).all(),
            "means": (row == 0.0).all(),
            "ranges": (row == 1.0).all(),
        }[name]
    ]
    if changed:
        raise ValueError(
            f"the file's {few(changed)} are part of its function (inputs clipped to [minima, maxima], "
            "(x - mean) / range, outputs times range plus mean), which is not read yet; files with means 0, "
            "ranges 1 and no limits on the inputs (minima -3.4e38, maxima 3.4e38) are"
        )


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
