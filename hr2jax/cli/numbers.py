"""Numbers that are given as text or in files, taken exactly.

"0.1" is no float64, so a radius is rounded up and covers the rounding of a center written in decimals.
"""

from __future__ import annotations

import io
import os
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ..arithmetic.decimals import decimal, nearest_float, round_up
from ..arithmetic.float64 import Array, exact_float64
from ..arithmetic.norms import is_euclidean, parse_norm
from ..machine.files import opened
from ..text import unread

SHAPE = re.compile(r"[0-9]+(\s*,\s*[0-9]+)*")
# Numbers rather than the name of a file, with commas between them.
NUMBERS = re.compile(r"[-+]?[0-9.][-+0-9.eE]*(\s*,\s*[-+]?[0-9.][-+0-9.eE]*)*")


def box(center_file: str | None, radius_text: str | None, norm: Any) -> tuple[Any, Any]:
    """center and radius for `solve`: floats whose box contains the one written in decimals.

    Args:
        center_file: a file of numbers, or None.
        radius_text: a number, or a file of numbers, or None.
        norm: of the box, in any of its spellings; None where it is not said.

    Raises:
        ValueError: what is no number, lengths that differ, or an input that is fixed where no float64 is.
        OSError: a file is missing or may not be read.
    """
    center: Any = None if center_file is None else read_numbers(center_file)
    radius: Any = None if radius_text is None else _radius(radius_text)
    errors: list[Fraction] = []
    if isinstance(center, list):
        floats = [nearest_float(value, "center") for value in center]
        errors = [abs(value - Fraction(f)) for value, f in zip(center, floats, strict=True)]
        center = np.array(floats)
    if radius is None:
        return center, None
    if any(errors) and not (isinstance(radius, Fraction) and radius <= 0):  # solve refuses that
        if isinstance(radius, Fraction) and norm is not None and is_euclidean(parse_norm(norm)):
            radius += sum(errors)  # the 1-norm of the center's error, which is at least its 2-norm
        else:
            radius = _widened(radius, errors)
    if isinstance(radius, Fraction):
        return center, round_up(radius)
    return center, np.array([round_up(r) for r in radius]) if isinstance(radius, list) else radius


def _widened(radius: Fraction | list[Fraction] | Array, errors: list[Fraction]) -> list[Fraction]:
    if isinstance(radius, Fraction):
        radius = [radius] * len(errors)
    elif isinstance(radius, np.ndarray):
        radius = [Fraction(r) for r in exact_float64(radius, "radius", 1).tolist()]
    if len(radius) != len(errors):
        raise ValueError(f"radius must be one number or {len(errors)}, as many as center has, but has {len(radius)}")
    for i, (r, error) in enumerate(zip(radius, errors, strict=True)):
        if r == 0 and error:  # a positive half-width would set free an input that is meant to be fixed
            raise ValueError(
                f"input {i} is fixed (its half-width is 0) at a decimal that float64 does not hold exactly; "
                "give the center as .npy, so that it says which float is meant"
            )
    return [r if r < 0 else r + error for r, error in zip(radius, errors, strict=True)]


def _radius(text: str) -> Fraction | list[Fraction] | Array:
    try:
        Decimal(text)
    except InvalidOperation:
        if not os.path.exists(text):
            raise ValueError(f"--radius must be a number or a file of numbers, but {text!r} was given") from None
        return read_numbers(text)
    value = decimal(text, "radius")
    if value < 0:  # said before it is rounded up, which would show another number
        raise ValueError(f"radius must not be negative, but {text} was given")
    return value


def read_numbers(path: str) -> Array | list[Fraction]:
    """The numbers in a file, flattened: the array of a .npy or .npz, the exact decimals of a .csv or .txt.

    Numbers themselves, with commas between them, are what they say.

    A .npz must hold one array, or name it center or x00. No pickle is read.

    Raises:
        ValueError: another suffix, or contents that are no such numbers; it names the path.
        OSError: the file is missing or may not be read.
    """
    suffix = Path(path).suffix.lower()
    if NUMBERS.fullmatch(path):
        return [decimal(field, "--center") for field in _fields(path)]
    if suffix in (".csv", ".txt"):
        with io.TextIOWrapper(opened(path), encoding="utf-8-sig") as lines:
            try:
                return [decimal(field, f"line {n + 1}") for n, line in enumerate(lines) for field in _fields(line)]
            except ValueError as error:  # also what is no text
                raise ValueError(f"{path}: {error}") from None
    if suffix not in (".npy", ".npz"):
        raise ValueError(f"{path}: the name of a file of numbers must end in .npy, .npz, .csv or .txt, and "
                         "numbers have commas between them")  # fmt: skip
    with opened(path) as file:
        try:
            return _array(np.load(file, allow_pickle=False)).ravel()
        except Exception as error:  # whatever a damaged archive makes a reader raise
            raise ValueError(f"{path} is not a whole {suffix} file of numbers: {unread(error)}") from None


def example(text: str) -> Array:
    """An array of the shape that is written, "1,3,32,32", or that a .npy file says; its numbers are of no account.

    Raises:
        ValueError: neither is given; it says what was.
        OSError: the file is missing or may not be read.
    """
    if SHAPE.fullmatch(text):
        shape = tuple(int(n) for n in text.split(","))
    elif Path(text).suffix.lower() == ".npy":
        with opened(text) as file:
            try:
                version = np.lib.format.read_magic(file)
                header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                shape = header[version](file)[0]
            except Exception as error:  # whatever a damaged header makes a reader raise
                raise ValueError(f"{text} is not a whole .npy file: {unread(error)}") from None
    else:
        raise ValueError(
            f"--example must be a shape such as 1,3,32,32, or a .npy file of an input, but {text[:60]!r} was given"
        )
    try:
        return np.broadcast_to(0.0, shape)  # of no memory, whatever its size
    except ValueError:
        raise ValueError(f"--example has the shape {','.join(map(str, shape))}, which no array can have") from None


def _array(loaded: Any) -> Array:
    if isinstance(loaded, np.ndarray):
        return loaded
    names = [name for name in ("center", "x00") if name in loaded.files] or loaded.files
    if len(names) != 1:
        raise ValueError(f"it must hold one array, or name it center or x00, but it holds {', '.join(names) or 'none'}")
    array: Array = loaded[names[0]]
    return array


def _fields(line: str) -> list[str]:
    line = line.partition("#")[0].strip()
    return re.split(r"\s*,\s*|\s+", line) if line else []
