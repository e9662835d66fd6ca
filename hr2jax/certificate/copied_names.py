"""Cutting planes of the tensored lifting by name (relaxation/copied_cuts.py): their factors and variables are one
output's, their directions among the outputs in order (docs/certificate.md).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arithmetic.float64 import Array
from ..relaxation import exclusions
from ..relaxation.basis import XI, T
from ..relaxation.copied_cuts import BALLS, CLAUSES, CONES, EVENTS, EXCLUSIONS, LITERALS, PRODUCTS, TRIANGLES
from ..relaxation.literals import width_of
from ..relaxation.tensored import Tensored
from .exclusion_names import ENTRIES, named_exclusions, numbered_exclusions
from .tables import Table, columns, factor_numbers, read, variables

Named = Mapping[str, Array]
_FACTORS = ("kind", "sign", "layer", "index")
COPIED_RECORDS = {
    PRODUCTS: (*_FACTORS, "pairs", "directions", "multipliers"),
    TRIANGLES: ("group", "layer", "index", "corners", "signs", "directions", "multipliers"),
    CONES: (*_FACTORS, "factors", "directions", "multipliers"),
    BALLS: (*_FACTORS, "factors", "directions", "normals", "multipliers"),
    EVENTS: (*_FACTORS, "literals", "combinations", "slopes", "directions", "multipliers"),
    CLAUSES: (*_FACTORS, "literals", "combinations", "slopes", "directions", "multipliers"),
    EXCLUSIONS: (*_FACTORS, "factors", "combinations", "slopes", "directions", "multipliers"),
}
# What the numbers of factors in a row are called, and how many of them there are.
_PLACES = {PRODUCTS: ("pairs", 2), CONES: ("factors", 1), BALLS: ("factors", 1)} | {
    record: ("literals", count) for record, count in LITERALS.items()
}


def named_cuts(lifting: Tensored, record: str, rows: Array) -> dict[str, Array]:
    """The entries of a record, from an engine's rows."""
    if record == EXCLUSIONS:  # as one output's, whose directions are combinations here
        of_one, directions = np.split(rows[:, :-1], [-lifting.outputs], axis=1)
        own = named_exclusions(lifting.one, np.column_stack([of_one, rows[:, -1]]))
        out = {_renamed(name, EXCLUSIONS, "combinations"): values for name, values in own.items()}
        return out | {f"{record}/directions": np.array(directions, dtype=np.float64)}
    if record == TRIANGLES:
        numbers = np.abs(rows[:, :3]).astype(np.int64) - 1
        used, places = np.unique(numbers, return_inverse=True)
        out = columns(variables(lifting.one).table(used), record, "group")
        out[f"{record}/corners"] = places.reshape(-1, 3).astype(np.int64)
        out[f"{record}/signs"] = np.sign(rows[:, :3]).astype(np.int64)
        at = 3
    else:
        name, at = _PLACES[record]
        used, places = np.unique(rows[:, :at].astype(np.int64), return_inverse=True)
        out = columns(factor_numbers(lifting.one).table(used), record, "kind", signed=True)
        out[f"{record}/{name}"] = places.reshape((-1, at) if at > 1 else (-1,)).astype(np.int64)
    for name, width in _widths(lifting, record).items():
        out[f"{record}/{name}"] = np.array(rows[:, at : at + width], dtype=np.float64)
        at += width
    return out | {f"{record}/multipliers": np.array(rows[:, -1], dtype=np.float64)}


def _renamed(name: str, record: str, directions: str) -> str:
    entry = name.partition("/")[2]
    return f"{record}/{directions if entry == 'directions' else entry}"


def numbered_cuts(lifting: Tensored, record: str, entries: Named) -> Array:
    """The rows of a record's entries, the inverse of `named_cuts`.

    Raises:
        ValueError: what is of another type or shape, or a name that this problem does not have.
    """
    own = {name: entries[f"{record}/{name}"] for name in COPIED_RECORDS[record]}
    if record == EXCLUSIONS:
        of_one = {f"{exclusions.EXCLUSIONS}/{name}": own["combinations" if name == "directions" else name]
                  for name in ENTRIES}  # fmt: skip
        rows, directions = numbered_exclusions(lifting.one, of_one), own["directions"]
        if directions.dtype != np.float64 or directions.shape != (len(rows), lifting.outputs):
            raise ValueError(f"the directions of {record!r} must be float64 of shape {(len(rows), lifting.outputs)}")
        return np.column_stack([rows[:, :-1], directions, rows[:, -1]])
    weight = own["multipliers"]
    if weight.dtype != np.float64 or weight.ndim != 1:
        raise ValueError(f"the multipliers of {record!r} must be a vector of float64")
    m = len(weight)
    if record == TRIANGLES:
        table = read(entries, record, "group")
        places = _places(own["corners"], (m, 3), table, record)
        signs = own["signs"]
        if signs.dtype != np.int64 or signs.shape != (m, 3) or not (np.abs(signs) == 1).all():
            raise ValueError("a triangle's signs must be 1 or -1, one for each corner")
        first = signs * (variables(lifting.one).required(table, "variable")[places] + 1)
    else:
        table = read(entries, record, "kind", signed=True)
        name, count = _PLACES[record]
        places = _places(own[name], (m, count) if count > 1 else (m,), table, record)
        first = factor_numbers(lifting.one).required(table, "factor")[places].reshape(m, -1)
    vectors = []
    for name, width in _widths(lifting, record).items():
        values = own[name]
        if values.dtype != np.float64 or values.shape != (m, width):
            raise ValueError(f"the {name} of {record!r} must be float64 of shape {(m, width)}, not {values.shape}")
        vectors.append(values)
    return np.column_stack([first, *vectors, weight]).astype(np.float64)


def _widths(lifting: Tensored, record: str) -> dict[str, int]:
    """How many numbers a row's directions have."""
    K = lifting.outputs
    if record == CONES:
        return {"directions": K * lifting.one.sizes[T]}
    if record in LITERALS:
        count = LITERALS[record]
        return {"combinations": count, "slopes": width_of(lifting.one), "directions": K}
    return {"directions": K} | ({"normals": lifting.one.sizes.get(XI, 0)} if record == BALLS else {})


def _places(values: Array, shape: tuple[int, ...], table: Table, record: str) -> Array:
    if values.dtype != np.int64 or values.shape != shape:
        raise ValueError(f"the places of {record!r} must be int64 of shape {shape}, not {values.shape}")
    if not ((values >= 0) & (values < len(table))).all():
        raise ValueError(f"the places of {record!r} must be rows of its table, from 0 to {len(table) - 1}")
    return values
