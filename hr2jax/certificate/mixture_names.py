"""Mixtures (relaxation/mixtures.py) by name: neurons by layer and index, what masks multiply by chain and copy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arithmetic.float64 import Array
from ..relaxation.basis import Lifting
from ..relaxation.mixtures import MIXTURES, Column, MixtureTable, decode
from ..relaxation.tensored import Tensored
from .tables import Numbering, Table, positions_of, weights_of

ENTRIES = ("layer", "index", "chains", "copies", "pairs", "scales", "multipliers")
NEURON = "v"  # the kind of all in the table


def named_mixtures(lifting: Lifting, rows: Array) -> dict[str, Array]:
    """The entries of mixtures, from an engine's rows."""
    used, pairs = np.unique(rows[:, :2].astype(np.int64), return_inverse=True)
    columns, table = MixtureTable(lifting).columns, _neurons(lifting).table(used)
    values = (
        table.layer, table.index, np.array([column.chain for column in columns], dtype=str),
        np.array([column.copy for column in columns], dtype=np.int64), pairs.reshape(-1, 2).astype(np.int64),
        np.array(rows[:, 2:-1], dtype=np.float64), np.array(rows[:, -1], dtype=np.float64),
    )  # fmt: skip
    return {f"{MIXTURES}/{name}": array for name, array in zip(ENTRIES, values, strict=True)}


def numbered_mixtures(lifting: Lifting, entries: Mapping[str, Array], strict: bool = True) -> Array:
    """The rows of mixtures' entries, the inverse of `named_mixtures`; not `strict`: those that there may be.

    Raises:
        ValueError: what is of another type or shape, or a name that this problem does not have.
    """
    layer, index, chains, copies, pairs, scales = (entries[f"{MIXTURES}/{name}"] for name in ENTRIES[:-1])
    if chains.dtype.kind != "U" or chains.ndim != 1 or copies.dtype != np.int64 or copies.shape != chains.shape:
        raise ValueError("what masks multiply must be given by chains, text, and copies, int64, one each")
    given = [Column(str(chain), int(copy)) for chain, copy in zip(chains, copies, strict=True)]
    known = {column: k for k, column in enumerate(MixtureTable(lifting).columns)}
    if len(set(given)) != len(given):
        raise ValueError("what masks multiply must not be given twice")
    table = Table.checked(np.full(len(layer), NEURON), None, layer, index)
    pairs = positions_of(pairs, 2, len(table), "the neurons of mixtures")
    if scales.dtype != np.float64 or scales.shape != (len(pairs), 4 * len(given)):
        raise ValueError(f"the scales of mixtures must be {len(pairs)} float64 rows of {4 * len(given)}")
    weight, numbering = weights_of(entries, MIXTURES, len(pairs)), _neurons(lifting)
    scales, own = scales.reshape(len(pairs), 4, len(given)), np.zeros((len(pairs), 4, len(known)))
    kept = np.ones(len(pairs), dtype=bool)
    for k, column in enumerate(given):
        if column in known:
            own[:, :, known[column]] = scales[:, :, k]
            continue
        if strict:
            raise ValueError(f"there is no {column.chain[:10]!r} of copy {column.copy} that masks multiply here")
        kept &= (scales[:, :, k] == 0).all(axis=1)
    numbers = numbering.required(table, "neuron") if strict else numbering.numbers(table)
    kept &= (numbers[pairs] >= 0).all(axis=1)
    rows = np.column_stack([numbers[pairs], own.reshape(len(pairs), 4 * len(known)), weight])[kept].astype(np.float64)
    if not strict and len(rows):
        has = MixtureTable(lifting).has()[rows[:, :2].astype(np.int64)][:, :, None]
        fits = ((rows[:, 2:-1].reshape(len(rows), 2, 2, len(known)) == 0) | has).all(axis=(1, 2, 3))
        rows = rows[fits]
    decode(lifting, rows)
    return rows


def _neurons(lifting: Lifting) -> Numbering:
    """The neurons that have masks, numbered as `MixtureTable` does."""
    one, layers = lifting.one if isinstance(lifting, Tensored) else lifting, MixtureTable(lifting).layers
    return Numbering(tuple((NEURON, 0, layer) for layer in layers), tuple(map(one.presolve.members, layers)))
