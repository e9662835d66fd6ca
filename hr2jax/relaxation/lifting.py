"""The lifted basis y and the objective as a quadratic form of it (docs/theory/depth.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arithmetic.enclosure import Enclosure, clipped_exponent
from ..arithmetic.float64 import Array
from ..arithmetic.norms import is_euclidean
from ..network import Network
from ..problem import Problem
from .basis import BEFORE_MASK, NOTHING, Lifting, LinearMap, tag
from .presolve import Presolve, reached


@dataclass(frozen=True)
class _Piece:
    """Entries `columns` of a layer's vector: 2**exponent times the rows of `map` (None: of the basis group `group`)."""

    columns: Array
    exponent: Array
    map: LinearMap | None
    group: str = ""


def lift(
    net: Network, problem: Problem, fixed: Presolve, arithmetic: type[Enclosure] = Enclosure
) -> Lifting:
    """The lifting of a network, every coefficient enclosed in `arithmetic`."""
    depth, q = net.depth, len(fixed.free)
    counts = {tag(l, depth): len(layer.unstable) for l, layer in enumerate(fixed.layers)}
    inner = dict(list(counts.items())[:-1])
    if problem.quantity == "maximum":
        sizes = {"one": 1} | {f"v{k}": n for k, n in counts.items()} | {"xi": q}
        sizes |= {f"x{k}": n for k, n in counts.items()}
        derived, objective, exponent = _maximum(net, problem, fixed, sizes, arithmetic)
        return Lifting(sizes, derived, objective, exponent, fixed, _balls(problem, sizes))
    if fixed.chains == ("q",):
        sizes = {"one": 1, "t": q} | {f"q{k}": n for k, n in counts.items()}
        derived, objective, exponent = _tangents(net, problem, fixed, sizes, arithmetic)
        return Lifting(sizes, derived, objective, exponent, fixed, _balls(problem, sizes))
    local = problem.is_local and sum(counts.values()) > 0
    sizes = {"one": 1} | {f"v{k}": n for k, n in counts.items()} | {"t": q}
    for chain in fixed.chains:
        sizes |= {f"{chain}{k}": n for k, n in inner.items()}
    if local:
        sizes |= {"xi": q} | {f"x{k}": n for k, n in inner.items()}
    derived = {}
    if local:
        derived = _values(net, problem, fixed, sizes, arithmetic)[0]
    if "a" in fixed.chains:
        of_adjoints, objective, exponent = _adjoints(net, problem, fixed, sizes, arithmetic)
        derived |= of_adjoints
    if "p" in fixed.chains:
        of_tangents, objective, exponent = _tangents(net, problem, fixed, sizes, arithmetic)
        derived |= of_tangents
    return Lifting(sizes, derived, objective, exponent, fixed, _balls(problem, sizes))


def _balls(problem: Problem, sizes: Mapping[str, int]) -> tuple[str, ...]:
    """The groups in a Euclidean ball (or in one of norm 1, which it holds): t by the norm, xi by the domain's shape."""
    norms = {"t": problem.norm, "xi": problem.domain.shape}
    return tuple(group for group, norm in norms.items() if group in sizes and is_euclidean(norm))


def _tangents(
    net: Network, problem: Problem, fixed: Presolve, sizes: dict[str, int], arithmetic: type[Enclosure]
) -> tuple[dict[str, LinearMap], dict[tuple[str, str], Enclosure], int]:
    """The groups w, and the objective sum_k c_k u_{L,k} w_{L,k} with its exponent."""
    depth = fixed.depth
    chain = "q" if "q" in fixed.chains else "p"
    derived: dict[str, LinearMap] = {}
    pieces = [_Piece(fixed.free, np.zeros(len(fixed.free), dtype=np.int64), None, "t")]
    for l, layer in enumerate(fixed.layers[: reached(chain, depth)]):
        A, name = net.weights[l], tag(l, depth)
        exponent = layer.reach_exponent[chain]
        derived[f"{BEFORE_MASK[chain]}{name}"] = _through(A[layer.unstable], pieces, exponent, sizes, arithmetic)
        always = A[layer.active]
        own = _row_exponents(always, pieces)
        pieces = [
            _Piece(layer.unstable, exponent, None, f"{chain}{name}"),
            _Piece(layer.active, own, _through(always, pieces, own, sizes, arithmetic)),
        ]
    if chain == "q":
        row, _shift, unit = _output(net, problem, fixed, pieces, sizes, arithmetic)
        return derived, {("one", group): coefficients for group, coefficients in row.items()}, unit
    last = fixed.layers[-1]
    rows = np.concatenate([last.unstable, last.active]).astype(np.int64)
    n = len(last.unstable)
    # row by row first, then one unit for all: c_i may be tiny just where A_i is huge, and c_i A_i is what counts
    c, exponent_c = _output_row(net, problem, rows, arithmetic)
    exponent_w = _row_exponents(net.weights[depth - 1][rows], pieces)
    matter = (exponent_c > NOTHING) & (exponent_w > NOTHING)
    unit = int((exponent_c + exponent_w)[matter].max(initial=NOTHING)) if matter.any() else 0
    unit = unit if fixed.unit is None else fixed.unit
    w = _through(net.weights[depth - 1][rows], pieces, exponent_w, sizes, arithmetic)
    objective: dict[tuple[str, str], Enclosure] = {}
    # a row that is not 0 may have come down to NOTHING, through many layers
    up = np.where(exponent_c > NOTHING, exponent_c + exponent_w - unit, 0).reshape(-1, 1)
    for group, coefficients in w.items():
        weighted = (c.reshape(-1, 1) * coefficients).scaled(up)
        half = weighted[:n].scaled(-1)
        objective[f"v{tag(depth - 1, depth)}", group] = half
        objective["one", group] = (half.sum(axis=0) + weighted[n:].sum(axis=0)).reshape(1, -1)
    return derived, objective, unit


def _adjoints(
    net: Network, problem: Problem, fixed: Presolve, sizes: dict[str, int], arithmetic: type[Enclosure]
) -> tuple[dict[str, LinearMap], dict[tuple[str, str], Enclosure], int]:
    """The groups g, and the objective sum_j t_j (A_1^T a_1)_j with its exponent; several hidden layers."""
    depth = fixed.depth
    last, name = fixed.layers[-1], tag(depth - 1, depth)
    rows = np.concatenate([last.unstable, last.active]).astype(np.int64)
    n = len(last.unstable)
    c, exponent_c = _output_row(net, problem, rows, arithmetic)
    exponent_c = np.where(exponent_c > NOTHING, exponent_c, 0)
    halves = c[:n].scaled(-1)
    of_signs = arithmetic(np.zeros((n, n)))
    of_signs[np.arange(n), np.arange(n)] = halves
    pieces = [
        _Piece(last.unstable, exponent_c[:n], {f"v{name}": of_signs, "one": halves.reshape(-1, 1)}),
        _Piece(last.active, exponent_c[n:], {"one": c[n:].reshape(-1, 1)}),
    ]
    derived: dict[str, LinearMap] = {}
    for l in range(depth - 2, -1, -1):
        layer, back, name = fixed.layers[l], net.weights[l + 1].T, tag(l, depth)
        exponent = layer.reach_exponent["a"]
        derived[f"g{name}"] = _through(back[layer.unstable], pieces, exponent, sizes, arithmetic)
        always = back[layer.active]
        own = _row_exponents(always, pieces)
        pieces = [
            _Piece(layer.unstable, exponent, None, f"a{name}"),
            _Piece(layer.active, own, _through(always, pieces, own, sizes, arithmetic)),
        ]
    back = net.weights[0].T[fixed.free]
    unit = int(_row_exponents(back, pieces).max(initial=NOTHING))
    unit = fixed.unit if fixed.unit is not None else unit if unit > NOTHING else 0
    gradient = _through(back, pieces, np.full(len(back), unit), sizes, arithmetic)
    return derived, {(group, "t"): coefficients.T for group, coefficients in gradient.items()}, unit


def _maximum(
    net: Network, problem: Problem, fixed: Presolve, sizes: dict[str, int], arithmetic: type[Enclosure]
) -> tuple[dict[str, LinearMap], dict[tuple[str, str], Enclosure], int]:
    """The groups z, and the objective c.(C x_L + d) with its exponent."""
    derived, pieces = _values(net, problem, fixed, sizes, arithmetic, inner_only=False)
    row, shift, unit = _output(net, problem, fixed, pieces, sizes, arithmetic)
    row["one"] = row["one"] + shift if "one" in row else shift
    return derived, {("one", group): coefficients for group, coefficients in row.items()}, unit


def _output(
    net: Network, problem: Problem, fixed: Presolve, pieces: list[_Piece], sizes: Mapping[str, int],
    arithmetic: type[Enclosure],
) -> tuple[LinearMap, Enclosure, int]:  # fmt: skip
    """c.C times the last layer's vector, and c.d (1, 1), both over 2**exponent."""
    every = np.arange(net.widths[-2])
    c, exponent_c = _output_row(net, problem, every, arithmetic)
    k, d = problem.coefficients, net.biases[-1]
    of_shift = np.where((k != 0) & (d != 0), np.frexp(k)[1] + np.frexp(d)[1], NOTHING)
    sizes_of = [int(of_shift.max(initial=NOTHING))]
    for piece in pieces:
        exponent = exponent_c[piece.columns] + piece.exponent
        sizes_of.append(int(exponent[exponent_c[piece.columns] > NOTHING].max(initial=NOTHING)))
    unit = max(sizes_of) if max(sizes_of) > NOTHING // 2 else 0
    unit = unit if fixed.unit is None else fixed.unit
    out: LinearMap = {}
    for piece in pieces:
        columns = piece.columns
        up = np.where(exponent_c[columns] > NOTHING, exponent_c[columns] + piece.exponent - unit, 0)
        weights = c[columns].scaled(up).reshape(1, -1)
        terms = {piece.group: weights} if piece.map is None else {g: weights @ m for g, m in piece.map.items()}
        for group, term in terms.items():
            out[group] = out[group] + term if group in out else term
    used = np.flatnonzero(of_shift > NOTHING)
    low = np.frexp(k[used])[1]
    shift = arithmetic(k[used]).scaled(-low) * arithmetic(d[used]).scaled(low - unit)
    return out, shift.sum().reshape(1, 1), unit


def _values(
    net: Network, problem: Problem, fixed: Presolve, sizes: dict[str, int], arithmetic: type[Enclosure],
    inner_only: bool = True,
) -> tuple[dict[str, LinearMap], list[_Piece]]:  # fmt: skip
    """The groups z, and the last layer's values in pieces (not if `inner_only`: then the layer's before it)."""
    depth = fixed.depth
    derived: dict[str, LinearMap] = {}
    pieces: list[_Piece] = []
    for l, layer in enumerate(fixed.layers):
        A, b, name = net.weights[l], net.biases[l], tag(l, depth)

        def rows(
            index: Array, exponent: Array | None, A: Array = A, b: Array = b, pieces: list[_Piece] = pieces
        ) -> _Piece:
            if not pieces:
                own = _input_exponents(A[index], b[index], problem) if exponent is None else exponent
                return _Piece(index, own, _first(A[index], b[index], problem, fixed, own, arithmetic))
            own = np.maximum(_row_exponents(A[index], pieces), _exponents(b[index])) if exponent is None else exponent
            out = _through(A[index], pieces, own, sizes, arithmetic)
            shift = arithmetic(b[index]).scaled(-own).reshape(-1, 1)
            out["one"] = out["one"] + shift if "one" in out else shift
            return _Piece(index, own, out)

        unstable = rows(layer.unstable, layer.exponent)
        assert unstable.map is not None
        derived[f"z{name}"] = unstable.map
        if inner_only and l + 1 == depth:
            break
        active, constant = rows(layer.active, None), rows(layer.constant, None)
        assert constant.map is not None
        value = constant.map["one"]
        positive = arithmetic(np.maximum(value.mid, 0.0), value.rad)  # max(z, 0) moves no farther than z does
        pieces = [
            _Piece(layer.unstable, layer.exponent, None, f"x{name}"),
            active,
            _Piece(layer.constant, constant.exponent, {"one": positive}),
        ]
    return derived, pieces


def _first(
    A: Array, b: Array, problem: Problem, fixed: Presolve, exponent: Array, arithmetic: type[Enclosure]
) -> LinearMap:
    """Rows (A x + b) / 2**exponent over one and xi; scaled before multiplying, so that no product underflows."""
    domain = problem.domain
    e_center, e_radius = _exponent(domain.center), _exponent(domain.radius)
    every = arithmetic(A).scaled((e_center - exponent).reshape(-1, 1))
    shift = arithmetic(b).scaled(-exponent)
    one = (every @ domain.middle(arithmetic).scaled(-e_center) + shift).reshape(-1, 1)
    moving = arithmetic(A[:, fixed.free]).scaled((e_radius - exponent).reshape(-1, 1))
    return {"one": one, "xi": moving * domain.scale(arithmetic)[fixed.free].scaled(-e_radius)}


def _through(
    A: Array, pieces: list[_Piece], exponent: Array, sizes: Mapping[str, int], arithmetic: type[Enclosure]
) -> LinearMap:
    """Rows A (n, width) times a layer's vector, given in pieces, over 2**exponent (n,)."""
    out: LinearMap = {}
    for piece in pieces:
        if not len(piece.columns):
            if piece.map is None and piece.group not in out:
                out[piece.group] = arithmetic(np.zeros((len(A), sizes[piece.group])))
            continue
        part = arithmetic(A[:, piece.columns]).scaled(piece.exponent - exponent.reshape(-1, 1))
        terms = {piece.group: part} if piece.map is None else {g: part @ m for g, m in piece.map.items()}
        for group, term in terms.items():
            out[group] = out[group] + term if group in out else term
    # where nothing that moves comes through, the rows are 0
    return out or {"one": arithmetic(np.zeros((len(A), 1)))}


def _row_exponents(A: Array, pieces: list[_Piece]) -> Array:
    """(n,) int64: the largest exponent of a row's entries times their pieces'; NOTHING for a row of zeros.

    Integers and single float64 operations only: whoever made a certificate and whoever verifies it must agree.
    """
    out = np.full(len(A), NOTHING)
    for piece in pieces:
        part = A[:, piece.columns]
        exponent = np.where(part != 0, np.frexp(part)[1] + piece.exponent, NOTHING)
        out = np.maximum(out, exponent.max(axis=1, initial=NOTHING))
    return out.astype(np.int64)


def _input_exponents(A: Array, b: Array, problem: Problem) -> Array:
    """(n,) int64: about the size of rows of A x + b."""
    domain = problem.domain
    most = np.frexp(np.abs(A).max(axis=1, initial=0.0))[1] + max(_exponent(domain.center), _exponent(domain.radius))
    return np.maximum(most, _exponents(b)).astype(np.int64)


def _exponents(b: Array) -> Array:
    """(n,) int64: the entries' exponents; NOTHING for zeros."""
    return np.where(b != 0, np.frexp(b)[1], NOTHING).astype(np.int64)


def _output_row(
    net: Network, problem: Problem, rows: Array, arithmetic: type[Enclosure]
) -> tuple[Enclosure, Array]:
    """The entries of coefficients . C at `rows`, as an enclosure (m,) of size 1 times 2**exponents (m,).

    No rounding where a single row of C is meant. The exponents (NOTHING for a plain 0) do not depend on
    `arithmetic`, and only on single float64 operations: they set the unit in which multipliers are stated, on
    which whoever made a certificate and whoever verifies it must agree.
    """
    used = np.flatnonzero(problem.coefficients)
    k, C = problem.coefficients[used], net.weights[-1][used][:, rows]
    plain = len(used) <= 2 and bool((np.abs(k) == 1.0).all())
    weight = 0 if plain else np.frexp(k)[1].astype(np.int64).reshape(-1, 1)
    exponent = np.where(C != 0, np.frexp(C)[1] + weight, NOTHING).max(axis=0, initial=NOTHING)
    down = np.where(exponent > NOTHING, weight - exponent, 0)
    terms = arithmetic(C).scaled(down)
    if not plain:
        return (arithmetic(k).scaled(-np.ravel(weight)).reshape(-1, 1) * terms).sum(axis=0), exponent
    if len(used) == 0:
        return arithmetic(np.zeros(len(rows))), exponent
    signed = [terms[i] if sign > 0 else -terms[i] for i, sign in enumerate(k)]
    rounded = np.ldexp(C, clipped_exponent(down)) * k.reshape(-1, 1)
    shift = rounded[0] + rounded[1] if len(used) == 2 else rounded[0]  # 0 exactly where the difference is
    exponent = np.where(shift != 0, exponent + np.frexp(shift)[1], NOTHING)
    c = signed[0] + signed[1] if len(used) == 2 else signed[0]
    return c.scaled(-np.frexp(shift)[1].astype(np.int64)), exponent


def _exponent(array: Array) -> int:
    """e with every |entry| < 2**e, as small as possible; 0 for an array of zeros."""
    largest = float(np.max(np.abs(array), initial=0.0))
    return int(np.frexp(largest)[1]) if largest > 0 else 0
