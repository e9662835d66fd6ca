"""A certificate's file: its entries, and the reading of them (docs/certificate.md is the specification).

Every entry is found by name, and all of them are used: what a reader does not know it refuses, so that no later
entry can change what an earlier reader believes to have proved.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arithmetic.float64 import Array
from ..arithmetic.norms import NORMS
from ..domain import domain_from
from ..machine.files import replaced
from ..problem import Problem
from ..relaxation.layout import Layout
from ..relaxation.presolve import LIFTINGS, ON_SECTIONS, WITH_TIES
from ..relaxation.section import Section
from ..text import shown
from .errors import CertificateError

FORMAT = "hr2jax certificate 3"
EARLIER = ("hr2jax certificate 1", "hr2jax certificate 2")
KEYS = (
    "format", "bound", "quantity", "norm", "output_norm", "domain", "relaxation", "proof", "lifting", "bounds", "depth",
    "network_hash", "versions",
)  # fmt: skip
BOUNDS = ("interval", "linear")
# What a relaxation may be called: people are shown it, so that it may hold no line of a report, nor move a cursor.
NAME = re.compile(r"(?!.*  )[A-Za-z0-9+._ -]{0,60}")
PARTS = "parts"  # the lifting and the proof of several problems of one value or column each: the largest bound counts
SECTION = ("weights", "constant", "columns", "inverse", "radius")  # of a reach lifting
OUTPUT = "output"  # what slopes are called that bound the output instead of a hidden layer


@dataclass(frozen=True)
class Content:
    """All that a certificate's file holds; `Certificate` says what each field is."""

    bound: float
    lipschitz_problem: Problem
    relaxation: str
    network_hash: str
    layout: Layout
    multipliers: Mapping[str, Array]
    diagonal: Mapping[str, Array] | None
    versions: Mapping[str, str] = field(default_factory=dict)
    lifting: str = "forward"
    slopes: Mapping[tuple[int, int], Array] | None = None
    parts: tuple[Content, ...] = ()


def proof_of(multipliers: Mapping[str, Array], diagonal: Mapping[str, Array] | None, relaxation: str) -> str:
    """What proves: "lagrangian" (multipliers, a diagonal), "krivine" (LipOpt's products), "cases" (a tree of them), or
    without any "interval" (interval arithmetic), "product" (norm products) or "baseline" (the better of the two).
    """
    if own := {"krivine", "cases"} & {name.partition("/")[0] for name in multipliers}:
        return max(own)
    if multipliers or diagonal is not None:
        return "lagrangian"
    return relaxation if relaxation in ("interval", "product") else "baseline"


# --- writing ----------------------------------------------------------------------------------------------


def entries(content: Content) -> dict[str, Array]:
    """The file's entries, but for the digest."""
    claim, layout = content.lipschitz_problem, content.layout
    head = {
        "format": FORMAT,
        "bound": float(content.bound).hex(),
        "quantity": claim.quantity,
        "norm": claim.norm,
        "output_norm": claim.output_norm if claim.is_vector else None,
        "domain": claim.domain.kind,
        "relaxation": content.relaxation,
        "proof": PARTS if content.parts else proof_of(content.multipliers, content.diagonal, content.relaxation),
        "lifting": content.lifting,
        "bounds": "interval" if content.slopes is None else "linear",
        "depth": len(layout.unstable),
        "network_hash": content.network_hash,
        "versions": dict(content.versions),
    }
    out = {"claim": np.array(json.dumps(head, sort_keys=True)), "coefficients": claim.coefficients}
    out |= {f"domain/{name}": values for name, values in claim.domain.arrays().items()}
    out |= {} if claim.directions is None else {"directions": claim.directions}
    if content.parts:
        return out | {f"part/{k}/{n}": v for k, part in enumerate(content.parts) for n, v in entries(part).items()}
    out |= _layout_entries(layout)
    for (l, k), values in (content.slopes or {}).items():
        out[f"slopes/{OUTPUT if l == len(layout.unstable) + 1 else l}.{k}" if k else f"splits/{l}"] = values
    out |= {f"diagonal/{name}": values for name, values in (content.diagonal or {}).items()}
    return out | {f"multipliers/{name}": _double(values) for name, values in content.multipliers.items()}


def _double(values: Array) -> Array:
    """Single precision as float64, exactly; anything else as it is."""
    array = np.asarray(values)
    return array.astype(np.float64) if array.dtype in (np.float16, np.float32) else array


def _layout_entries(layout: Layout) -> dict[str, Array]:
    out: dict[str, Any] = {"inputs": layout.free}
    for name in ("unstable", "active", "low", "high", "exponent"):
        out |= {f"{name}/{l + 1}": values for l, values in enumerate(getattr(layout, name) or ())}
    for name in ("reach", "reach_exponent", "middle"):
        for chain, of_layers in (getattr(layout, name) or {}).items():
            numbers = layout.carried_by(chain, len(of_layers))
            out |= {f"{name}/{chain}{l}": values for l, values in zip(numbers, of_layers, strict=True)}
    if layout.section is not None:
        out |= {f"section/{name}": getattr(layout.section, name) for name in SECTION}
    if layout.unit is not None:
        out["unit"] = np.array(layout.unit, dtype=np.int64)
    return out


def digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over every entry's name, type, shape and bytes: tells damage, not who made the file."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.asarray(arrays[name])
        total.update(f"{name}|{values.dtype.str}|{values.shape}|".encode())
        total.update(np.ascontiguousarray(values).tobytes())
    return total.hexdigest()


def write(path: str | os.PathLike[str], arrays: Mapping[str, Array]) -> None:
    """Write the entries and their digest to `path`, all or nothing."""
    with replaced(path) as file:
        np.savez_compressed(file, **arrays, digest=np.array(digest(arrays)))  # type: ignore[arg-type]


# --- reading ----------------------------------------------------------------------------------------------


def content(arrays: Mapping[str, Array]) -> Content:
    """What the entries, less the digest, say; every type is checked.

    Raises:
        CertificateError: an entry that is unknown, missing, or of another type.
        ValueError, KeyError, ...: what is no JSON or no certificate at all.
    """
    rest = dict(arrays)
    head = claim_of(rest.pop("claim"))
    depth, lifting = head["depth"], head["lifting"]
    if type(depth) is not int or not 0 <= depth <= len(arrays):
        raise CertificateError(f"the certificate's number of hidden layers is {depth!r}")
    if not isinstance(lifting, str) or lifting not in (*LIFTINGS, PARTS):
        raise CertificateError(f"the certificate's lifting must be one of {', '.join(LIFTINGS)}, not {lifting!r}")
    problem = _problem(rest, head)
    if lifting == PARTS:
        return _whole(rest, head, problem)
    layout = _layout(rest, depth, lifting)
    slopes = _slopes(rest, depth, head["bounds"])
    diagonal = _all_of(rest, "diagonal")
    multipliers = _all_of(rest, "multipliers")
    if rest:
        raise CertificateError(f"the certificate has an unknown entry {min(rest)!r}")
    _check_words(head)
    proof = proof_of(multipliers, diagonal or None, head["relaxation"])
    if head["proof"] != proof:
        raise CertificateError(f"the certificate's proof is not {shown(head['proof'])}: its entries are of {proof!r}")
    if layout.unit is None and proof in ("lagrangian", "krivine"):
        raise CertificateError("the certificate has no entry 'unit', in which its multipliers would be given")
    return Content(
        _bound(head, problem), problem, head["relaxation"], head["network_hash"], layout, multipliers, diagonal or None,
        head["versions"], lifting, slopes,
    )  # fmt: skip


def _check_words(head: Mapping[str, Any]) -> None:
    """Refuse a claim whose relaxation, versions or network hash are of another type."""
    if not isinstance(head["relaxation"], str) or not NAME.fullmatch(head["relaxation"]):
        raise CertificateError(f"the certificate's relaxation is no name: {shown(head['relaxation'])}")
    versions = head["versions"]
    if not isinstance(versions, dict) or not all(isinstance(value, str) for value in versions.values()):
        raise CertificateError("the certificate's versions are not names and texts")
    if not isinstance(head["network_hash"], str):
        raise CertificateError("the certificate's network hash is no text")


def _bound(head: Mapping[str, Any], problem: Problem) -> float:
    bound = float.fromhex(head["bound"])
    if not np.isfinite(bound) or (bound < 0 and problem.quantity == "lipschitz"):
        raise CertificateError("the certificate's bound is not a finite nonnegative number")
    return bound


def _whole(rest: Mapping[str, Array], head: Mapping[str, Any], problem: Problem) -> Content:
    """A certificate of parts: each is one of its own, and its claim is that of one value or of some columns.

    That the columns are all that there are is for whoever knows the network (`check_columns`).
    """
    _check_words(head)
    if head["proof"] != PARTS or head["depth"] != 0 or head["bounds"] != "interval" or not problem.may_have_parts:
        raise CertificateError("the certificate has parts, but its claim is not the largest of several constants")
    of_part: dict[int, dict[str, Array]] = {}
    for name, values in rest.items():
        found = re.fullmatch(r"part/(0|[1-9][0-9]{0,8})/(.+)", name)
        if found is None:
            raise CertificateError(f"the certificate has an unknown entry {name!r}")
        of_part.setdefault(int(found[1]), {})[found[2]] = values
    if sorted(of_part) != list(range(len(of_part))):
        raise CertificateError("the certificate's parts are not numbered from 0")
    parts = [content(of_part[k]) for k in range(len(of_part))]
    for k, part in enumerate(parts):
        if part.parts or part.network_hash != head["network_hash"]:
            raise CertificateError(f"the certificate's part {k} is no proof for its network")
    _rows_of_parts(problem, [part.lipschitz_problem for part in parts])
    return Content(
        _bound(head, problem), problem, head["relaxation"], head["network_hash"], Layout(unstable=()), {}, None,
        head["versions"], PARTS, None, tuple(parts),
    )  # fmt: skip


def _rows_of_parts(problem: Problem, parts: Sequence[Problem]) -> list[tuple[int, list[Problem]]]:
    """The parts of the claim's rows, in their order: of equal rows, one behind the other, together, with their number.

    CertificateError: a row has none, or more than it can, or a part is of another claim.
    """
    rows, found, at = problem.rows(), [], 0
    first = [k for k in range(len(rows)) if k == 0 or rows[k] != rows[k - 1]]  # of equal ones
    for k, behind in zip(first, [*first[1:], len(rows)], strict=True):
        start, most = at, len(parts) if rows[k].is_of_columns else at + behind - k
        while at < min(most, len(parts)) and replace(parts[at], directions=rows[k].directions) == rows[k]:
            at += 1
        if at == start:
            raise CertificateError(f"the certificate has no proof of value {k} of its claim")
        found.append((behind - k, list(parts[start:at])))
    if at < len(parts):
        raise CertificateError(f"the certificate's part {at} is not about its claim")
    return found


def check_columns(problem: Problem, parts: Sequence[Problem], width: int) -> None:
    """Refuse parts that are not all rows of the claim, and of each row all columns: `width` inputs, each once.

    What proves a row proves its equals: of m equal rows each column may have up to m proofs, and needs one; else it
    raises CertificateError.
    """
    wanted = problem.directions_of(width)
    for count, own in _rows_of_parts(problem, parts):
        found, proofs = np.unique(np.concatenate([part.directions_of(width) for part in own]), return_counts=True)
        if not np.array_equal(found, wanted) or (proofs > count).any():
            raise CertificateError("the certificate's parts do not have each input of its claim once")


def claim_of(text: Array) -> dict[str, Any]:
    """The claim's JSON, with exactly the keys that there are."""
    head = json.loads(str(text), object_pairs_hook=_unique, parse_constant=_no_number)
    if not isinstance(head, dict):
        raise CertificateError("the certificate's claim is no JSON object")
    if head["format"] != FORMAT:
        if head["format"] in EARLIER:
            raise CertificateError(
                f"the certificate was made by an earlier hr2jax ({head['format']!r}; {FORMAT!r} is read); solve again"
            )
        raise CertificateError(f"the certificate's format is {shown(head['format'])}; {FORMAT!r} is expected")
    for key in KEYS:
        head[key]  # a KeyError says what is missing
    if set(head) != set(KEYS):
        raise CertificateError(f"the certificate's claim has an unknown entry {shown(min(set(head) - set(KEYS)))}")
    return head


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise CertificateError("the certificate's claim says something twice")
    return found


def _no_number(text: str) -> Any:
    raise CertificateError(f"the certificate's claim has {text}, which is no number")


def _problem(rest: dict[str, Array], head: Mapping[str, Any]) -> Problem:
    coefficients = _coefficients(rest.pop("coefficients"))
    if type(head["norm"]) not in (str, int) or head["norm"] not in NORMS:
        raise CertificateError(f'the certificate\'s norm must be "inf", 2 or 1, not {shown(head["norm"])}')
    of_values = head["output_norm"]
    if coefficients.ndim == 1 and of_values is not None:
        raise CertificateError(f"of one output the output_norm must be null, not {shown(of_values)}")
    if coefficients.ndim == 2 and (type(of_values) not in (str, int) or of_values not in NORMS):
        raise CertificateError(f'the certificate\'s output_norm must be "inf", 2 or 1, not {shown(of_values)}')
    quantity = head["quantity"]
    if not isinstance(quantity, str) or (quantity == "maximum") != (head["lifting"] == "values"):
        raise CertificateError(f"the certificate's quantity {quantity!r} is not one that its lifting bounds")
    directions = None if "directions" not in rest else _integers(rest.pop("directions"), "directions")
    given = {n.removeprefix("domain/"): _vector(rest.pop(n), n) for n in sorted(rest) if n.startswith("domain/")}
    if not isinstance(head["domain"], str):
        raise CertificateError(f"the certificate's domain is no name: {shown(head['domain'])}")
    try:
        q = head["norm"] if of_values is None else of_values
        return Problem(coefficients, head["norm"], q, domain_from(head["domain"], given), quantity, directions)
    except ValueError as error:
        raise CertificateError(f"the certificate's claim is none: {error}") from error


def _coefficients(values: Array) -> Array:
    if values.ndim == 2 and len(values) > 1:
        return _floats(values, "coefficients")
    return _vector(values, "coefficients")


def _layout(rest: dict[str, Array], depth: int, lifting: str) -> Layout:
    """The layout, taken out of the entries."""

    def layers(name: str, of: Any) -> tuple[Array, ...]:
        return tuple(of(rest.pop(f"{name}/{l + 1}"), f"{name}/{l + 1}") for l in range(depth))

    # a presolve of the network says which layers must have them
    carried = {c: tuple(l for l in range(1, depth + 1) if f"reach/{c}{l}" in rest) for c in LIFTINGS[lifting]}

    def chains(name: str, of: Any) -> dict[str, tuple[Array, ...]]:
        return {c: tuple(of(rest.pop(f"{name}/{c}{l}"), f"{name}/{c}{l}") for l in own) for c, own in carried.items()}

    unit = rest.pop("unit", None)
    if unit is not None and (unit.dtype != np.int64 or unit.shape != ()):
        raise CertificateError("unit must be one int64")
    return Layout(
        unstable=layers("unstable", _integers),
        exponent=layers("exponent", _integers),
        reach_exponent=chains("reach_exponent", _integers),
        active=layers("active", _integers),
        low=layers("low", _vector),
        high=layers("high", _vector),
        reach=chains("reach", _vector),
        free=_integers(rest.pop("inputs"), "inputs"),
        unit=None if unit is None else int(unit),
        carried=carried,
        middle=chains("middle", _vector) if lifting in WITH_TIES else None,
        section=_section(rest) if lifting in ON_SECTIONS else None,
    )


def _section(rest: dict[str, Array]) -> Section:
    """The section, taken out of the entries; that it is one of the network is proved elsewhere."""
    given = {name: rest.pop(f"section/{name}") for name in SECTION}
    if given["inverse"].ndim != 2:
        raise CertificateError(f"section/inverse must be a matrix, but its shape is {given['inverse'].shape}")
    return Section(
        weights=_vector(given["weights"], "section/weights"),
        constant=_vector(given["constant"], "section/constant"),
        columns=_integers(given["columns"], "section/columns"),
        inverse=_floats(given["inverse"], "section/inverse"),
        radius=_vector(given["radius"], "section/radius"),
    )


def _slopes(rest: dict[str, Array], depth: int, bounds: Any) -> dict[tuple[int, int], Array] | None:
    """The slopes by target layer and layer, taken out of the entries; None where intervals are the bounds."""
    if not isinstance(bounds, str) or bounds not in BOUNDS:
        raise CertificateError(f"the certificate's bounds must be one of {', '.join(BOUNDS)}, not {bounds!r}")
    if bounds == "interval":
        return None
    out = {}
    for target in [*range(2, depth + 1), OUTPUT]:
        for k in range(1, depth + 1 if target == OUTPUT else int(target)):
            if (name := f"slopes/{target}.{k}") in rest:
                out[depth + 1 if target == OUTPUT else int(target), k] = _floats(rest.pop(name), name)
        if (name := f"splits/{target}") in rest and target != OUTPUT:
            out[int(target), 0] = _floats(rest.pop(name), name)
    return out


def _all_of(rest: dict[str, Array], group: str) -> dict[str, Array]:
    """The entries of a group by the rest of their names, taken out: finite float64, int64 or text."""
    out = {}
    for name, values in [(name, rest.pop(name)) for name in list(rest) if name.startswith(f"{group}/")]:
        is_table = group == "multipliers" and (values.dtype.kind == "U" or values.dtype == np.int64)
        out[name.removeprefix(f"{group}/")] = values if is_table else _floats(values, name)
    return out


def _integers(values: Array, name: str) -> Array:
    if values.dtype != np.int64 or values.ndim != 1:
        raise CertificateError(f"{name} must be a vector of int64")
    return values


def _floats(values: Array, name: str) -> Array:
    if values.dtype != np.float64 or not np.isfinite(values).all():
        raise CertificateError(f"{name} must hold finite float64 numbers")
    return values


def _vector(values: Array, name: str) -> Array:
    if values.ndim != 1:
        raise CertificateError(f"{name} must be a vector, but its shape is {values.shape}")
    return _floats(values, name)
