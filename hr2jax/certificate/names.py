"""Multipliers by name: what a certificate holds, and what the proof of one lifting counts through.

An engine offers arrays that follow the order of a lifting's groups and factors. A certificate says of each multiplier
by name what it belongs to: the family and the layer, as engines do (`forms.Family.name`), or the variables or factors
by layer and index (tables.py). Both are the same multipliers; here one is made of the other. docs/certificate.md lists
the names, which mean what they mean for ever: whatever is new gets a new name, and a name that is not known is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..arithmetic.float64 import Array
from ..relaxation.basis import Lifting
from ..relaxation.circuits import CIRCUITS
from ..relaxation.clauses import CLAUSES
from ..relaxation.clauses import decode as decode_clauses
from ..relaxation.cones import BOUNDED, CONES, width_of
from ..relaxation.cones import decode as decode_cones
from ..relaxation.events import EVENTS
from ..relaxation.events import decode as decode_events
from ..relaxation.exclusions import EXCLUSIONS
from ..relaxation.families import catalogue
from ..relaxation.lasserre import Monomial, reduce
from ..relaxation.layout import Layout
from ..relaxation.literals import width_of as slopes_of
from ..relaxation.mixtures import MIXTURES
from ..relaxation.products import PRODUCTS
from ..relaxation.squares import SPLIT_SQUARES
from ..relaxation.tensored import Tensored
from ..relaxation.triangles import TRIANGLES
from . import circuit_names, exclusion_names, mixture_names
from .copied_names import COPIED_RECORDS, named_cuts, numbered_cuts
from .krivine import KRIVINE
from .lagrangian import SOS, families_of, matrices_of
from .square_names import named_split_squares, split_squares
from .tables import Table, columns, factor_numbers, positions_of, read, variables, weights_of

Named = Mapping[str, Array]

# What the entries of each record are called, behind the record's own name.
RECORDS = {
    TRIANGLES: ("group", "layer", "index", "corners", "signs", "multipliers"),
    PRODUCTS: ("kind", "sign", "layer", "index", "pairs", "multipliers"),
    CONES: ("kind", "sign", "layer", "index", "factors", "groups", "directions", "multipliers"),
    EVENTS: ("kind", "sign", "layer", "index", "literals", "directions", "slopes", "multipliers"),
    CLAUSES: ("kind", "sign", "layer", "index", "literals", "directions", "slopes", "multipliers"),
    SPLIT_SQUARES: ("kind", "sign", "layer", "index", "pairs", "scales", "multipliers"),
    MIXTURES: mixture_names.ENTRIES,
    EXCLUSIONS: exclusion_names.ENTRIES,
    CIRCUITS: circuit_names.ENTRIES,
    KRIVINE: ("group", "layer", "index", "factors", "signs", "multipliers"),
    **COPIED_RECORDS,
}
# Of lasserre2's matrices: the table of all, and two of each matrix.
SQUARES = "sos"
# Records of rows of so many literals each, that are proved by directions and slopes.
PROVED: dict[str, tuple[int, Callable[..., Any]]] = {EVENTS: (2, decode_events), CLAUSES: (3, decode_clauses)}
NO_VARIABLE = -1  # in a monomial of fewer variables than the others


# --- diagonals --------------------------------------------------------------------------------------------


def named_diagonal(lifting: Lifting, d: Array) -> dict[str, Array]:
    """The diagonal (N,) by group: "one", "t", "v1", ..."""
    return {str(group): np.array(d[lifting.slice(group)], dtype=np.float64) for group in lifting.sizes}


def diagonal_of(lifting: Lifting, named: Named) -> Array:
    """The inverse of `named_diagonal`.

    Raises:
        ValueError: groups that are not those of the basis, or of another length.
    """
    wanted = {str(group): size for group, size in lifting.sizes.items()}
    if set(named) != set(wanted):
        raise ValueError(f"the diagonal's groups must be {', '.join(wanted)}, not {', '.join(map(str, named))}")
    for name, size in wanted.items():
        if np.shape(named[name]) != (size,):
            raise ValueError(f"the diagonal of group {name} has shape {np.shape(named[name])}, not ({size},)")
    return np.concatenate([named[name] for name in wanted])


# --- all multipliers --------------------------------------------------------------------------------------


def named(lifting: Lifting, multipliers: Mapping[str, Array], inputs: int) -> dict[str, Array]:
    """The multipliers of a lifting by name; `inputs`: p_0, how many the network has."""
    out: dict[str, Array] = {}
    for name, values in multipliers.items():
        if name in COPIED_RECORDS and isinstance(lifting, Tensored):
            out |= named_cuts(lifting, name, values)
        elif name == TRIANGLES:
            out |= _named_triangles(lifting, values)
        elif name == PRODUCTS:
            out |= _named_products(lifting, values)
        elif name == CONES:
            out |= _named_cones(lifting, values)
        elif name == SPLIT_SQUARES:
            out |= named_split_squares(lifting, values)
        elif name == MIXTURES:
            out |= mixture_names.named_mixtures(lifting, values)
        elif name == EXCLUSIONS:
            out |= exclusion_names.named_exclusions(lifting, values)
        elif name == CIRCUITS:
            out |= circuit_names.named_circuits(lifting, values)
        elif name in PROVED:
            out |= _named_proved(lifting, values, name)
        elif name == KRIVINE:
            out |= _named_krivine(values, inputs)
        elif not name.startswith(SOS):
            out[name] = np.asarray(values, dtype=np.float64)
    return out | _named_squares(lifting, {k: v for k, v in multipliers.items() if k.startswith(SOS)})


def numbered(lifting: Lifting, entries: Named, widths: tuple[int, ...]) -> dict[str, Array]:
    """The multipliers of a lifting from those by name, the inverse of `named`; `widths` are the network's.

    Raises:
        ValueError, KeyError: a name that this problem does not have, or entries that do not fit it.
    """
    out: dict[str, Array] = {}
    records = records_of(entries)
    own = {*COPIED_RECORDS, MIXTURES} if isinstance(lifting, Tensored) else {*_RECORDS, KRIVINE, SQUARES}
    if foreign := records - set(own):
        raise ValueError(f"there are no {min(foreign)!r} in this problem")
    for record in records & COPIED_RECORDS.keys():
        assert isinstance(lifting, Tensored)
        out[record] = numbered_cuts(lifting, record, entries)
    for record, build in _RECORDS.items():
        if record in records:
            out[record] = build(lifting, entries)
    if KRIVINE in records:
        out[KRIVINE] = _krivine(entries, widths)
    if SQUARES in records:
        out |= _squares(lifting, entries)
    families = {name for name in entries if name.partition("/")[0] not in (*RECORDS, SQUARES)}
    unknown = families - families_of(lifting).keys() if families else set()
    if unknown:
        raise ValueError(f"there is no family {min(unknown)!r} in this problem")
    for name, values in entries.items():
        if name in families:
            if values.dtype != np.float64:
                raise ValueError(f"the multipliers of {name!r} must be float64, not {values.dtype}")
            out[name] = values
    return out


def records_of(entries: Named) -> set[str]:
    """The records (triangles, products, ...) that entries belong to, none of which may miss any.

    Raises:
        ValueError: an entry that is unknown or missing.
    """
    found = {name.partition("/")[0] for name in entries} & {*RECORDS, SQUARES}
    for record in found:
        own = {name.partition("/")[2] for name in entries if name.partition("/")[0] == record}
        wanted = set(RECORDS[record]) if record != SQUARES else _squares_wanted(own)
        if own != wanted:
            raise ValueError(f"{record!r} has the unknown or missing entry {min(own ^ wanted)!r}")
    return found


def transfer(entries: Named, layout: Layout, directions: Array, to: Lifting) -> dict[str, Array]:
    """Multipliers by name, those of a layout's neurons and the inputs `directions`, laid out for another problem.

    What has no counterpart starts at 0, what is nonsense is left out; LipOpt's and lasserre2's are not carried over.
    """
    out: dict[str, Array] = {}
    if isinstance(to, Tensored):
        return out  # it begins from nothing
    known = catalogue(to) if len(layout.unstable) == len(to.presolve.layers) else {}
    for name, values in entries.items():
        if name not in known:
            continue
        family = known[name]
        old, new = family.owners(layout, directions), family.owners(to.presolve.layout(), to.presolve.directions)
        if np.shape(values) != np.shape(old):
            continue
        _, there, here = np.intersect1d(old, new, return_indices=True)
        out[name] = np.zeros(len(new))
        out[name][here] = family.clipped(values[there])
    for record, build in _RECORDS.items():
        if record == PRODUCTS and not to.masked_layers:
            continue
        with contextlib.suppress(ValueError, KeyError):  # what is not whole is no start
            out[record] = build(to, entries, strict=False)
    return out


# --- cutting planes ---------------------------------------------------------------------------------------


def _named_triangles(lifting: Lifting, rows: Array) -> dict[str, Array]:
    used, corners = np.unique(np.abs(rows[:, :3]).astype(np.int64) - 1, return_inverse=True)
    return columns(variables(lifting).table(used), TRIANGLES, "group") | {
        f"{TRIANGLES}/corners": corners.reshape(-1, 3).astype(np.int64),
        f"{TRIANGLES}/signs": np.sign(rows[:, :3]).astype(np.int64),
        f"{TRIANGLES}/multipliers": np.array(rows[:, 3], dtype=np.float64),
    }


def _triangles(lifting: Lifting, entries: Named, strict: bool = True) -> Array:
    table = read(entries, TRIANGLES, "group")
    corners = positions_of(entries[f"{TRIANGLES}/corners"], 3, len(table), "a triangle's corners")
    signs, weight = entries[f"{TRIANGLES}/signs"], weights_of(entries, TRIANGLES, len(corners))
    if signs.dtype != np.int64 or signs.shape != corners.shape or not (np.abs(signs) == 1).all():
        raise ValueError("a triangle's signs must be 1 or -1, one for each corner")
    numbers = variables(lifting).required(table, "variable") if strict else variables(lifting).numbers(table)
    kept = (numbers[corners] >= 0).all(axis=1)
    return np.column_stack([signs * (numbers[corners] + 1), weight])[kept].astype(np.float64)


def _named_products(lifting: Lifting, rows: Array) -> dict[str, Array]:
    used, pairs = np.unique(rows[:, :2].astype(np.int64), return_inverse=True)
    return columns(factor_numbers(lifting).table(used), PRODUCTS, "kind", signed=True) | {
        f"{PRODUCTS}/pairs": pairs.reshape(-1, 2).astype(np.int64),
        f"{PRODUCTS}/multipliers": np.array(rows[:, 2], dtype=np.float64),
    }


def _products(lifting: Lifting, entries: Named, strict: bool = True) -> Array:
    table = read(entries, PRODUCTS, "kind", signed=True)
    pairs = positions_of(entries[f"{PRODUCTS}/pairs"], 2, len(table), "a product's factors")
    weight = weights_of(entries, PRODUCTS, len(pairs))
    numbering = factor_numbers(lifting)
    numbers = numbering.required(table, "factor") if strict else numbering.numbers(table)
    kept = (numbers[pairs] >= 0).all(axis=1)
    return np.column_stack([numbers[pairs], weight])[kept].astype(np.float64)


def _named_proved(lifting: Lifting, rows: Array, record: str) -> dict[str, Array]:
    k = PROVED[record][0]
    used, literals = np.unique(rows[:, :k].astype(np.int64), return_inverse=True)
    return columns(factor_numbers(lifting).table(used), record, "kind", signed=True) | {
        f"{record}/literals": literals.reshape(-1, k).astype(np.int64),
        f"{record}/directions": np.array(rows[:, k : 2 * k], dtype=np.float64),
        f"{record}/slopes": np.array(rows[:, 2 * k : -1], dtype=np.float64),
        f"{record}/multipliers": np.array(rows[:, -1], dtype=np.float64),
    }


def _proved(record: str) -> Callable[..., Array]:
    """Rows of literals with what proves them, of a record."""
    k, decode = PROVED[record]

    def build(lifting: Lifting, entries: Named, strict: bool = True) -> Array:
        table = read(entries, record, "kind", signed=True)
        literals = positions_of(entries[f"{record}/literals"], k, len(table), f"literals of {record}")
        weight, numbering = weights_of(entries, record, len(literals)), factor_numbers(lifting)
        directions, slopes = entries[f"{record}/directions"], entries[f"{record}/slopes"]
        for values, width in ((directions, k), (slopes, slopes_of(lifting))):
            if values.dtype != np.float64 or values.shape != (len(literals), width):
                raise ValueError(f"the directions and slopes of {record} must be float64 rows of {k} and of {width}")
        numbers = numbering.required(table, "factor") if strict else numbering.numbers(table)
        kept = (numbers[literals] >= 0).all(axis=1)
        rows = np.column_stack([numbers[literals], directions, slopes, weight])[kept].astype(np.float64)
        decode(lifting, rows)
        return rows

    return build


def _named_cones(lifting: Lifting, rows: Array) -> dict[str, Array]:
    used, factors = np.unique(rows[:, 0].astype(np.int64), return_inverse=True)
    names = np.array([str(group) for group in BOUNDED])
    return columns(factor_numbers(lifting).table(used), CONES, "kind", signed=True) | {
        f"{CONES}/factors": np.ravel(factors).astype(np.int64),
        f"{CONES}/groups": names[rows[:, 1].astype(np.int64)],
        f"{CONES}/directions": np.array(rows[:, 2:-1], dtype=np.float64),
        f"{CONES}/multipliers": np.array(rows[:, -1], dtype=np.float64),
    }


def _cones(lifting: Lifting, entries: Named, strict: bool = True) -> Array:
    table = read(entries, CONES, "kind", signed=True)
    factors, groups, mu = (entries[f"{CONES}/{name}"] for name in ("factors", "groups", "directions"))
    places = positions_of(factors.reshape(-1, 1), 1, len(table), "a cone's factor")[:, 0]
    if factors.shape != (len(places),) or groups.shape != factors.shape or groups.dtype.kind != "U":
        raise ValueError("cones must have one factor and one group, a text, each")
    known = {str(group): k for k, group in enumerate(BOUNDED)}
    if not set(groups.tolist()) <= set(known):
        raise ValueError(f"a cone's group must be one of {', '.join(known)}")
    if mu.dtype != np.float64 or mu.shape != (len(places), width_of(lifting)):
        raise ValueError(f"the directions of cones must be float64 rows of {width_of(lifting)} numbers")
    weight, numbering = weights_of(entries, CONES, len(places)), factor_numbers(lifting)
    numbers = numbering.required(table, "factor") if strict else numbering.numbers(table)
    kept = numbers[places] >= 0
    number = np.array([known[str(group)] for group in groups], dtype=np.int64)
    rows = np.column_stack([numbers[places], number, mu, weight])[kept].astype(np.float64)
    decode_cones(lifting, rows)
    return rows


_RECORDS: dict[str, Callable[..., Array]] = {
    TRIANGLES: _triangles, PRODUCTS: _products, CONES: _cones, EVENTS: _proved(EVENTS), CLAUSES: _proved(CLAUSES),
    SPLIT_SQUARES: split_squares, MIXTURES: mixture_names.numbered_mixtures,
    EXCLUSIONS: exclusion_names.numbered_exclusions, CIRCUITS: circuit_names.numbered_circuits,
}  # fmt: skip


# --- LipOpt and lasserre2 ---------------------------------------------------------------------------------


def _named_krivine(rows: Array, inputs: int) -> dict[str, Array]:
    given = np.asarray(rows, dtype=np.float64)
    size = np.abs(given[:, :-1]).astype(np.int64)
    used = np.unique(size[size > 0])
    of_input = used <= inputs
    table = Table(
        np.where(of_input, "t", "v"), np.zeros(len(used), np.int64), np.where(of_input, 0, 1),
        np.where(of_input, used - 1, used - 1 - inputs),
    )  # fmt: skip
    return columns(table, KRIVINE, "group") | {
        f"{KRIVINE}/factors": np.where(size > 0, np.searchsorted(used, size), 0),
        f"{KRIVINE}/signs": np.sign(given[:, :-1]).astype(np.int64),
        f"{KRIVINE}/multipliers": np.array(given[:, -1]),
    }


def _krivine(entries: Named, widths: tuple[int, ...]) -> Array:
    table = read(entries, KRIVINE, "group")
    factors, signs = entries[f"{KRIVINE}/factors"], entries[f"{KRIVINE}/signs"]
    if any(array.dtype != np.int64 or array.ndim != 2 for array in (factors, signs)) or factors.shape != signs.shape:
        raise ValueError("the factors and signs of LipOpt's products must be int64 rows of one shape")
    if not ((np.abs(signs) <= 1) & (factors >= 0) & ((signs == 0) | (factors < len(table)))).all():
        raise ValueError("a product's factors must be rows of its table, with signs 1, -1, or 0 for none")
    weight = weights_of(entries, KRIVINE, len(factors))
    of_input = (table.kind == "t") & (table.layer == 0)
    most = np.where(of_input, widths[0], widths[1])
    if not ((of_input | ((table.kind == "v") & (table.layer == 1))) & (table.index >= 0) & (table.index < most)).all():
        raise ValueError("LipOpt's variables must be t and v of inputs and neurons that the network has")
    codes = np.append(1 + table.index + np.where(of_input, 0, widths[0]), 0)
    numbers = codes[np.where(signs == 0, len(table), factors)]
    return np.column_stack([signs * numbers, weight]).astype(np.float64)


def _named_squares(lifting: Lifting, factors: Mapping[str, Array]) -> dict[str, Array]:
    if not factors:
        return {}
    matrices = matrices_of(lifting, factors)
    used = np.unique([k for matrix in matrices.values() for monomial in matrix.basis for k in monomial])
    used = used.astype(np.int64)
    out = columns(variables(lifting).table(used), SQUARES, "group")
    for key, matrix in matrices.items():
        monomials = np.full((len(matrix.basis), max(map(len, matrix.basis))), NO_VARIABLE)
        for row, monomial in enumerate(matrix.basis):
            monomials[row, : len(monomial)] = np.searchsorted(used, monomial)
        name = f"{SQUARES}/{key.removeprefix(SOS)}"
        out |= {f"{name}/monomials": monomials, f"{name}/factor": np.asarray(factors[key], dtype=np.float64)}
    return out


def _squares_wanted(own: set[str]) -> set[str]:
    """What entries there must be, by the matrices that have any."""
    table = {"group", "layer", "index"}
    return table | {f"{name.rpartition('/')[0]}/{e}" for name in own - table for e in ("monomials", "factor")}


def _squares(lifting: Lifting, entries: Named) -> dict[str, Array]:
    of_squares = [name for name in entries if name.startswith(f"{SQUARES}/")]
    own = [name.removesuffix("/factor") for name in of_squares if name.endswith("/factor")]
    matrices = matrices_of(lifting, [SOS + name.removeprefix(f"{SQUARES}/") for name in own])
    numbers = variables(lifting).required(read(entries, SQUARES, "group"), "variable")
    out = {}
    for name, (key, matrix) in zip(own, matrices.items(), strict=True):
        factor, given = entries[f"{name}/factor"], entries[f"{name}/monomials"]
        place = {monomial: k for k, monomial in enumerate(matrix.basis)}
        rows = [place.get(monomial, -1) for monomial in _monomials(given, numbers, lifting)]
        if factor.dtype != np.float64 or factor.ndim != 2 or len(factor) != len(rows):
            raise ValueError(f"the factor of {name!r} must be float64 and have one row for each monomial")
        if -1 in rows or len(set(rows)) != len(rows):
            raise ValueError(f"the monomials of {name!r} must be distinct ones of its basis")
        out[key] = np.zeros((len(matrix.basis), factor.shape[1]))
        out[key][rows] = factor
    return out


def _monomials(given: Array, numbers: Array, lifting: Lifting) -> list[Monomial]:
    if given.dtype != np.int64 or given.ndim != 2 or not ((given >= NO_VARIABLE) & (given < len(numbers))).all():
        raise ValueError(f"monomials must be int64 rows of variables in their table, {NO_VARIABLE} for none")
    rows = [tuple(sorted(int(numbers[k]) for k in row if k >= 0)) for row in given]
    if any(reduce(row, lifting) != row for row in rows):
        raise ValueError("a monomial has the square of a sign")
    return rows
