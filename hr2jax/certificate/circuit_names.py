"""Circuits (relaxation/circuits.py) by name, as a certificate's file has them, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arithmetic.float64 import Array
from ..relaxation.basis import Lifting
from ..relaxation.circuits import CIRCUITS, decode, length_of
from ..relaxation.exclusions import NONE
from .tables import columns, factor_numbers, read, weights_of

ENTRIES = ("kind", "sign", "layer", "index", "factors", "multipliers")


def named_circuits(lifting: Lifting, rows: Array) -> dict[str, Array]:
    """A record's entries."""
    numbers = rows[:, :-1].astype(np.int64)
    used = np.unique(numbers[numbers != NONE])
    return columns(factor_numbers(lifting).table(used), CIRCUITS, "kind", signed=True) | {
        f"{CIRCUITS}/factors": np.where(numbers == NONE, NONE, np.searchsorted(used, numbers)).astype(np.int64),
        f"{CIRCUITS}/multipliers": np.array(rows[:, -1], dtype=np.float64),
    }


def numbered_circuits(lifting: Lifting, entries: Mapping[str, Array], strict: bool = True) -> Array:
    """The inverse; not `strict`: without those of neurons that there are none of.

    Raises:
        ValueError, KeyError: entries that do not fit, or exclude nothing.
    """
    table, places = read(entries, CIRCUITS, "kind", signed=True), entries[f"{CIRCUITS}/factors"]
    width = 1 + length_of(lifting)
    if places.dtype != np.int64 or places.ndim != 2 or places.shape[1] != width:
        raise ValueError(f"a circuit's factors must be int64 rows of {width}")
    if not ((places >= NONE) & (places < len(table))).all():
        raise ValueError(f"a circuit's factors must be rows of its table, or {NONE}")
    weight, numbering = weights_of(entries, CIRCUITS, len(places)), factor_numbers(lifting)
    known = np.append(numbering.required(table, "factor") if strict else numbering.numbers(table), NONE)
    kept = ((known[places] >= 0) | (places == NONE)).all(axis=1)
    rows = np.column_stack([known[places], weight])[kept].astype(np.float64)
    decode(lifting, rows)
    return rows
