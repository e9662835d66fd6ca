"""Split squares by name (relaxation/squares.py): their masked forms by chain, sign, layer and neuron."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arithmetic.float64 import Array
from ..relaxation.basis import Lifting
from ..relaxation.squares import SPLIT_SQUARES, decode
from .tables import columns, mask_numbers, positions_of, read, weights_of


def named_split_squares(lifting: Lifting, rows: Array) -> dict[str, Array]:
    """The entries of split squares, from an engine's rows."""
    used, pairs = np.unique(rows[:, :2].astype(np.int64), return_inverse=True)
    return columns(mask_numbers(lifting).table(used), SPLIT_SQUARES, "kind", signed=True) | {
        f"{SPLIT_SQUARES}/pairs": pairs.reshape(-1, 2).astype(np.int64),
        f"{SPLIT_SQUARES}/scales": np.array(rows[:, 2:4], dtype=np.float64),
        f"{SPLIT_SQUARES}/multipliers": np.array(rows[:, 4], dtype=np.float64),
    }


def split_squares(lifting: Lifting, entries: Mapping[str, Array], strict: bool = True) -> Array:
    """The rows of split squares' entries, the inverse of `named_split_squares`; not `strict`: those that there may be.

    Raises:
        ValueError: what is of another type or shape, or a name that this problem does not have.
    """
    table, numbering = read(entries, SPLIT_SQUARES, "kind", signed=True), mask_numbers(lifting)
    pairs = positions_of(entries[f"{SPLIT_SQUARES}/pairs"], 2, len(table), "the masked forms of split squares")
    scales, weight = entries[f"{SPLIT_SQUARES}/scales"], weights_of(entries, SPLIT_SQUARES, len(pairs))
    if scales.dtype != np.float64 or scales.shape != pairs.shape:
        raise ValueError(f"the scales of split squares must be {len(pairs)} float64 rows of 2")
    numbers = numbering.required(table, "masked form") if strict else numbering.numbers(table)
    kept = (numbers[pairs] >= 0).all(axis=1)
    rows = np.column_stack([numbers[pairs], scales, weight])[kept].astype(np.float64)
    decode(lifting, rows)
    return rows
