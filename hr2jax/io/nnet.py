"""The .nnet text files of Stanford's ACAS Xu networks."""

from __future__ import annotations

from itertools import pairwise
from typing import IO

import numpy as np

from ..arithmetic.float64 import Array
from .npz import Layers

_HEADINGS = ("the sizes of the network", "the widths", "a flag", "input minima", "input maxima", "means", "ranges")


def read(file: IO[bytes]) -> Layers:
    """(weights, biases) of the layers as they stand in the file.

    The minima, maxima, means and ranges of the heading are not applied: the network maps normalised inputs,
    (x - mean) / range, to normalised outputs, as is customary; folding them in would round. Decimals are read
    as the nearest float64, and that is the network a certificate is for.

    Raises:
        ValueError: not a whole .nnet file; it names the line or the layer.
    """
    try:
        lines = file.read().decode("ascii").splitlines()
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
    weights, biases, at = [], [], 0
    for m, n in pairwise(widths):
        weights.append(flat[at : at + m * n].reshape(n, m))
        biases.append(flat[at + m * n : at + m * n + n])
        at += (m + 1) * n
    return weights, biases


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
