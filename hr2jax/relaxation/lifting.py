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
from .basis import BEFORE_MASK, NOTHING, ONE, XI, Group, Lifting, LinearMap, T
from .presolve import Presolve, reached


@dataclass(frozen=True)
class _Piece:
    """Entries `columns` of a layer's vector: 2**exponent times the entries of a group, or the rows of a linear map."""

    columns: Array
    exponent: Array
    of: Group | LinearMap

    def times(self, factor: Enclosure) -> LinearMap:
        """factor (n, columns) times the entries without their 2**exponent."""
        return {self.of: factor} if isinstance(self.of, Group) else {g: factor @ m for g, m in self.of.items()}


@dataclass(frozen=True)
class _Chain:
    """A chain's derived groups, and the vector behind its last mask, in pieces."""

    derived: dict[Group, LinearMap]
    end: list[_Piece]


@dataclass(frozen=True)
class _Objective:
    """2**exponent times the sum of y_g^T B y_h over the blocks (g, h) -> B."""

    blocks: dict[tuple[Group, Group], Enclosure]
    exponent: int


def lift(net: Network, problem: Problem, fixed: Presolve, arithmetic: type[Enclosure] = Enclosure) -> Lifting:
    """The lifting of a network, every coefficient enclosed in `arithmetic`."""
    return _Builder(net, problem, fixed, arithmetic).lifting()


@dataclass(frozen=True)
class _Builder:
    """A lifting in the making."""

    net: Network
    problem: Problem
    fixed: Presolve
    arithmetic: type[Enclosure]

    def lifting(self) -> Lifting:
        """The lifting: its groups, and the chains' and the objective's coefficients."""
        sizes, chains = self._sizes(), self.fixed.chains
        derived: dict[Group, LinearMap] = {}
        if self.problem.quantity == "maximum":
            values = self._values(self.fixed.depth)
            derived, objective = values.derived, self._of_output(values.end, shifted=True)
        elif chains == ("q",):
            tangents = self._tangents("q")
            derived, objective = tangents.derived, self._of_output(tangents.end, shifted=False)
        else:
            if XI in sizes:
                derived |= self._values(self.fixed.depth - 1).derived
            if "a" in chains:
                adjoints = self._adjoints()
                derived |= adjoints.derived
            if "p" in chains:
                tangents = self._tangents("p")
                derived |= tangents.derived
            objective = self._of_tangents(tangents.end) if "p" in chains else self._of_adjoints(adjoints.end)
        return Lifting(sizes, derived, objective.blocks, objective.exponent, self.fixed, _balls(self.problem, sizes))

    def _sizes(self) -> dict[Group, int]:
        """The basis groups, in order."""
        layers, q = self.fixed.layers, len(self.fixed.free)

        def of(kind: str, count: int = len(layers)) -> dict[Group, int]:
            return {Group(kind, l): len(layer.unstable) for l, layer in enumerate(layers[:count], start=1)}

        if self.problem.quantity == "maximum":
            return {ONE: 1} | of("v") | {XI: q} | of("x")
        if self.fixed.chains == ("q",):
            return {ONE: 1, T: q} | of("q")
        sizes, inner = {ONE: 1} | of("v") | {T: q}, len(layers) - 1
        for chain in self.fixed.chains:
            sizes |= of(chain, inner)
        has_values = self.problem.is_local and self.fixed.switching > 0
        return sizes | ({XI: q} | of("x", inner) if has_values else {})

    # --- chains ---

    def _tangents(self, chain: str) -> _Chain:
        """Tangents: the groups before the masks, w of p or y of q."""
        fixed, derived = self.fixed, {}
        pieces = [_Piece(fixed.free, np.zeros(len(fixed.free), dtype=np.int64), T)]
        for l, layer in enumerate(fixed.layers[: reached(chain, fixed.depth)]):
            A, exponent = self.net.weights[l], layer.reach_exponent[chain]
            derived[Group(BEFORE_MASK[chain], l + 1)] = self._through(A[layer.unstable], pieces, exponent)
            masked = _Piece(layer.unstable, exponent, Group(chain, l + 1))
            pieces = [masked, self._always(layer.active, A, pieces)]
        return _Chain(derived, pieces)

    def _adjoints(self) -> _Chain:
        """Adjoints, from the last layer to the first: the groups g."""
        fixed, depth, derived = self.fixed, self.fixed.depth, {}
        last = fixed.layers[-1]
        rows = np.concatenate([last.unstable, last.active]).astype(np.int64)
        n = len(last.unstable)
        c, exponent_c = self._output_row(rows)
        exponent_c = np.where(exponent_c > NOTHING, exponent_c, 0)
        halves = c[:n].scaled(-1)
        of_signs = self.arithmetic(np.zeros((n, n)))
        of_signs[np.arange(n), np.arange(n)] = halves
        pieces = [
            _Piece(last.unstable, exponent_c[:n], {Group("v", depth): of_signs, ONE: halves.reshape(-1, 1)}),
            _Piece(last.active, exponent_c[n:], {ONE: c[n:].reshape(-1, 1)}),
        ]
        for l in range(depth - 2, -1, -1):
            layer, back = fixed.layers[l], self.net.weights[l + 1].T
            exponent = layer.reach_exponent["a"]
            derived[Group("g", l + 1)] = self._through(back[layer.unstable], pieces, exponent)
            masked = _Piece(layer.unstable, exponent, Group("a", l + 1))
            pieces = [masked, self._always(layer.active, back, pieces)]
        return _Chain(derived, pieces)

    def _values(self, masked: int) -> _Chain:
        """Values: the groups z of all layers; x stands behind the masks of the first `masked` ones."""
        fixed, derived = self.fixed, {}
        pieces: list[_Piece] = []
        for l, layer in enumerate(fixed.layers):
            derived[Group("z", l + 1)] = self._preactivations(l, layer.unstable, pieces, layer.exponent)[1]
            if l >= masked:
                break
            on, constant = (self._preactivations(l, index, pieces) for index in (layer.active, layer.constant))
            value = constant[1][ONE]
            positive = self.arithmetic(np.maximum(value.mid, 0.0), value.rad)  # max(z, 0) moves no farther than z does
            pieces = [
                _Piece(layer.unstable, layer.exponent, Group("x", l + 1)),
                _Piece(layer.active, *on),
                _Piece(layer.constant, constant[0], {ONE: positive}),
            ]
        return _Chain(derived, pieces)

    def _always(self, active: Array, A: Array, pieces: list[_Piece]) -> _Piece:
        """Those entries behind a mask whose neurons are always on: rows of A times the pieces before it."""
        own = _row_exponents(A[active], pieces)
        return _Piece(active, own, self._through(A[active], pieces, own))

    def _preactivations(
        self, l: int, index: Array, pieces: list[_Piece], exponent: Array | None = None
    ) -> tuple[Array, LinearMap]:
        """The exponent (None: of the rows' own size) and rows `index` of A_{l+1} x + b_{l+1} over its power of two."""
        A, b = self.net.weights[l][index], self.net.biases[l][index]
        if l == 0:
            own = _input_exponents(A, b, self.problem) if exponent is None else exponent
            return own, self._of_input(A, b, own)
        own = np.maximum(_row_exponents(A, pieces), _exponents(b)) if exponent is None else exponent
        out = self._through(A, pieces, own)
        shift = self.arithmetic(b).scaled(-own).reshape(-1, 1)
        out[ONE] = out[ONE] + shift if ONE in out else shift
        return own, out

    def _of_input(self, A: Array, b: Array, exponent: Array) -> LinearMap:
        """Rows (A x + b) / 2**exponent over one and xi; scaled before multiplying, so that no product underflows."""
        domain, arithmetic, free = self.problem.domain, self.arithmetic, self.fixed.free
        e_center, e_radius = _exponent(domain.center), _exponent(domain.radius)
        every = arithmetic(A).scaled((e_center - exponent).reshape(-1, 1))
        shift = arithmetic(b).scaled(-exponent)
        one = (every @ domain.middle(arithmetic).scaled(-e_center) + shift).reshape(-1, 1)
        moving = arithmetic(A[:, free]).scaled((e_radius - exponent).reshape(-1, 1))
        return {ONE: one, XI: moving * domain.scale(arithmetic)[free].scaled(-e_radius)}

    def _through(self, A: Array, pieces: list[_Piece], exponent: Array) -> LinearMap:
        """Rows A (n, width) times a layer's vector, given in pieces, over 2**exponent (n,)."""
        out: LinearMap = {}
        for piece in pieces:
            if not len(piece.columns):
                if isinstance(piece.of, Group) and piece.of not in out:
                    out[piece.of] = self.arithmetic(np.zeros((len(A), 0)))
                continue
            part = self.arithmetic(A[:, piece.columns]).scaled(piece.exponent - exponent.reshape(-1, 1))
            _add(out, piece.times(part))
        # where nothing that moves comes through, the rows are 0
        return out or {ONE: self.arithmetic(np.zeros((len(A), 1)))}

    # --- the objective ---

    def _unit(self, own: int) -> int:
        """The objective's exponent: its own size, unless a certificate has stated another."""
        return own if self.fixed.unit is None else self.fixed.unit

    def _of_tangents(self, pieces: list[_Piece]) -> _Objective:
        """sum_k c_k u_{L,k} w_{L,k}, of the tangents before the last layer."""
        last, A, depth = self.fixed.layers[-1], self.net.weights[-2], self.fixed.depth
        rows = np.concatenate([last.unstable, last.active]).astype(np.int64)
        n = len(last.unstable)
        # row by row first, then one unit for all: c_i may be tiny just where A_i is huge, and c_i A_i is what counts
        c, exponent_c = self._output_row(rows)
        exponent_w = _row_exponents(A[rows], pieces)
        matter = (exponent_c > NOTHING) & (exponent_w > NOTHING)
        unit = self._unit(int((exponent_c + exponent_w)[matter].max(initial=NOTHING)) if matter.any() else 0)
        w = self._through(A[rows], pieces, exponent_w)
        blocks: dict[tuple[Group, Group], Enclosure] = {}
        # a row that is not 0 may have come down to NOTHING, through many layers
        up = np.where(exponent_c > NOTHING, exponent_c + exponent_w - unit, 0).reshape(-1, 1)
        for group, coefficients in w.items():
            weighted = (c.reshape(-1, 1) * coefficients).scaled(up)
            half = weighted[:n].scaled(-1)
            blocks[Group("v", depth), group] = half
            blocks[ONE, group] = (half.sum(axis=0) + weighted[n:].sum(axis=0)).reshape(1, -1)
        return _Objective(blocks, unit)

    def _of_adjoints(self, pieces: list[_Piece]) -> _Objective:
        """sum_j t_j (A_1^T a_1)_j, of the adjoints behind the first layer's mask; several hidden layers."""
        back = self.net.weights[0].T[self.fixed.free]
        own = int(_row_exponents(back, pieces).max(initial=NOTHING))
        unit = self._unit(own if own > NOTHING else 0)
        gradient = self._through(back, pieces, np.full(len(back), unit))
        return _Objective({(group, T): coefficients.T for group, coefficients in gradient.items()}, unit)

    def _of_output(self, pieces: list[_Piece], shifted: bool) -> _Objective:
        """c.C times the last layer's vector, with c.d added if `shifted`."""
        c, exponent_c = self._output_row(np.arange(self.net.widths[-2]))
        k, d = self.problem.coefficients, self.net.biases[-1]
        of_shift = np.where((k != 0) & (d != 0), np.frexp(k)[1] + np.frexp(d)[1], NOTHING)
        sizes_of = [int(of_shift.max(initial=NOTHING))]
        for piece in pieces:
            exponent = exponent_c[piece.columns] + piece.exponent
            sizes_of.append(int(exponent[exponent_c[piece.columns] > NOTHING].max(initial=NOTHING)))
        unit = self._unit(max(sizes_of) if max(sizes_of) > NOTHING // 2 else 0)
        row: LinearMap = {}
        for piece in pieces:
            columns = piece.columns
            up = np.where(exponent_c[columns] > NOTHING, exponent_c[columns] + piece.exponent - unit, 0)
            _add(row, piece.times(c[columns].scaled(up).reshape(1, -1)))
        if shifted:
            used = np.flatnonzero(of_shift > NOTHING)
            low = np.frexp(k[used])[1]
            shift = self.arithmetic(k[used]).scaled(-low) * self.arithmetic(d[used]).scaled(low - unit)
            _add(row, {ONE: shift.sum().reshape(1, 1)})
        return _Objective({(ONE, group): coefficients for group, coefficients in row.items()}, unit)

    def _output_row(self, rows: Array) -> tuple[Enclosure, Array]:
        """The entries of coefficients . C at `rows`, as an enclosure (m,) of size 1 times 2**exponents (m,).

        No rounding where a single row of C is meant. The exponents (NOTHING for a plain 0) do not depend on
        `arithmetic`, and only on single float64 operations: they set the unit in which multipliers are stated, on
        which whoever made a certificate and whoever verifies it must agree.
        """
        used = np.flatnonzero(self.problem.coefficients)
        k, C = self.problem.coefficients[used], self.net.weights[-1][used][:, rows]
        plain = len(used) <= 2 and bool((np.abs(k) == 1.0).all())
        weight = 0 if plain else np.frexp(k)[1].astype(np.int64).reshape(-1, 1)
        exponent = np.where(C != 0, np.frexp(C)[1] + weight, NOTHING).max(axis=0, initial=NOTHING)
        down = np.where(exponent > NOTHING, weight - exponent, 0)
        terms = self.arithmetic(C).scaled(down)
        if not plain:
            return (self.arithmetic(k).scaled(-np.ravel(weight)).reshape(-1, 1) * terms).sum(axis=0), exponent
        if len(used) == 0:
            return self.arithmetic(np.zeros(len(rows))), exponent
        signed = [terms[i] if sign > 0 else -terms[i] for i, sign in enumerate(k)]
        rounded = np.ldexp(C, clipped_exponent(down)) * k.reshape(-1, 1)
        shift = rounded[0] + rounded[1] if len(used) == 2 else rounded[0]  # 0 exactly where the difference is
        exponent = np.where(shift != 0, exponent + np.frexp(shift)[1], NOTHING)
        c = signed[0] + signed[1] if len(used) == 2 else signed[0]
        return c.scaled(-np.frexp(shift)[1].astype(np.int64)), exponent


def _add(total: LinearMap, terms: LinearMap) -> None:
    """Adds linear maps of as many rows, group by group, to those in `total`."""
    for group, term in terms.items():
        total[group] = total[group] + term if group in total else term


def _balls(problem: Problem, sizes: Mapping[Group, int]) -> tuple[Group, ...]:
    """The groups in a Euclidean ball (or in one of norm 1, which it holds): t by the norm, xi by the domain's shape."""
    norms = {T: problem.norm, XI: problem.domain.shape}
    return tuple(group for group, norm in norms.items() if group in sizes and is_euclidean(norm))


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


def _exponent(array: Array) -> int:
    """e with every |entry| < 2**e, as small as possible; 0 for an array of zeros."""
    largest = float(np.max(np.abs(array), initial=0.0))
    return int(np.frexp(largest)[1]) if largest > 0 else 0
