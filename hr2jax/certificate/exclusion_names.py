"""Exclusions (relaxation/exclusions.py) by name, as a certificate's file has them, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arithmetic.float64 import Array
from ..relaxation.basis import Lifting
from ..relaxation.exclusions import EXCLUSIONS, EXTRA, LENGTH, NONE, PARTS, decode
from ..relaxation.literals import width_of
from .tables import columns, factor_numbers, read

ENTRIES = ("kind", "sign", "layer", "index", "factors", "directions", "slopes", "multipliers")
NUMBERS, DIRECTIONS = 1 + LENGTH + EXTRA, PARTS * (LENGTH + EXTRA)


def named_exclusions(lifting: Lifting, rows: Array) -> dict[str, Array]:
    """A record's entries."""
    numbers = rows[:, :NUMBERS].astype(np.int64)
    used = np.unique(numbers[numbers != NONE])
    return columns(factor_numbers(lifting).table(used), EXCLUSIONS, "kind", signed=True) | {
        f"{EXCLUSIONS}/factors": np.where(numbers == NONE, NONE, np.searchsorted(used, numbers)).astype(np.int64),
        f"{EXCLUSIONS}/directions": np.array(rows[:, NUMBERS : NUMBERS + DIRECTIONS], dtype=np.float64),
        f"{EXCLUSIONS}/slopes": np.array(rows[:, NUMBERS + DIRECTIONS : -1], dtype=np.float64),
        f"{EXCLUSIONS}/multipliers": np.array(rows[:, -1], dtype=np.float64),
    }


def numbered_exclusions(lifting: Lifting, entries: Mapping[str, Array], strict: bool = True) -> Array:
    """The inverse; not `strict`: without those of neurons that there are none of.

    Raises:
        ValueError, KeyError: entries that do not fit, or prove nothing.
    """
    table = read(entries, EXCLUSIONS, "kind", signed=True)
    places, directions, slopes, weight = (entries[f"{EXCLUSIONS}/{name}"] for name in ENTRIES[4:])
    if places.dtype != np.int64 or places.shape != (len(weight), NUMBERS):
        raise ValueError(f"an exclusion's factors must be int64 rows of {NUMBERS}")
    if not ((places >= NONE) & (places < len(table))).all():
        raise ValueError(f"an exclusion's factors must be rows of its table, or {NONE}")
    wanted = {"directions": (directions, DIRECTIONS), "slopes": (slopes, PARTS * width_of(lifting))}
    for name, (values, width) in wanted.items():
        if values.dtype != np.float64 or values.shape != (len(places), width):
            raise ValueError(f"the {name} of exclusions must be float64 rows of {width}")
    if weight.dtype != np.float64 or weight.shape != (len(places),):
        raise ValueError(f"the multipliers of exclusions must be {len(places)} float64 numbers")
    numbering = factor_numbers(lifting)
    known = np.append(numbering.required(table, "factor") if strict else numbering.numbers(table), NONE)
    kept = ((known[places] >= 0) | (places == NONE)).all(axis=1)
    rows = np.column_stack([known[places], directions, slopes, weight])[kept].astype(np.float64)
    decode(lifting, rows)
    return rows
