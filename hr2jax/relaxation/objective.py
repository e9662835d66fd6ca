"""The objective of a lifting: what the output makes of the chains' ends, as a quadratic form (docs/theory/depth.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure, clipped_exponent, enclosed_in
from ..arithmetic.float64 import Array
from ..graph import is_masked
from ..layer import Layer, largest
from ..network import Network
from ..problem import Problem
from .basis import NOTHING, ONE, Group, LinearMap, S, T
from .pieces import TOP, Below, Piece, add, sloped
from .presolve import Presolve


@dataclass(frozen=True)
class Objective:
    """2**exponent times the sum of y_g^T B y_h over the blocks (g, h) -> B."""

    blocks: dict[tuple[Group, Group], Enclosure]
    exponent: int


@dataclass(frozen=True)
class Objectives:
    """The objective from the ends of the chains, for one network, problem and presolve."""

    net: Network
    problem: Problem
    fixed: Presolve
    arithmetic: type[Enclosure]

    def _row_exponents(self, below: Below, rows: Array) -> Array:
        """(n,) int64: the largest exponent of a row's entries times their pieces'; NOTHING for a row of zeros.

        Integers and single float64 operations only: whoever made a certificate and whoever verifies it must agree.
        """
        out = np.full(len(rows), NOTHING)
        for A, pieces in below:
            if pieces is TOP:
                out = np.maximum(out, self._output_row(A.T, rows)[1])
                continue
            for piece in pieces:
                part = largest(A[rows][:, piece.columns])
                exponent = np.where(part != 0, np.frexp(part)[1] + piece.exponent, NOTHING)
                out = np.maximum(out, exponent.max(axis=1, initial=NOTHING))
        return out.astype(np.int64)

    def _through(self, below: Below, rows: Array, exponent: Array) -> LinearMap:
        """Rows (n,) of the sum of matrices times vectors, given in pieces, over 2**exponent (n,)."""
        out: LinearMap = {}
        for A, pieces in below:
            if pieces is TOP:
                c, own = self._output_row(A.T, rows)
                up = np.where(own > NOTHING, own - exponent, 0)
                add(out, {ONE: c.scaled(up).reshape(-1, 1)})
                continue
            for piece in pieces:
                if not len(piece.columns):
                    if isinstance(piece.of, Group) and piece.of not in out:
                        out[piece.of] = self.arithmetic(np.zeros((len(rows), 0)))
                    continue
                part = enclosed_in(self.arithmetic, A[rows][:, piece.columns])
                add(out, piece.times(part.scaled(piece.exponent - exponent.reshape(-1, 1))))
        # where nothing that moves comes through, the rows are 0
        return out or {ONE: self.arithmetic(np.zeros((len(rows), 1)))}

    def _unit(self, own: int) -> int:
        """The objective's exponent: its own size, unless a certificate has stated another."""
        return own if self.fixed.unit is None else self.fixed.unit

    def _of_top(self, back: Below, rows: Array) -> tuple[Enclosure, Array]:
        """The gradient of the output in rows of y_l where only identities are between: (n,) times 2**exponents (n,)."""
        if len(back) == 1 and back[0][1] is TOP:
            c, exponent = self._output_row(back[0][0].T, rows)
            return c, np.where(exponent > NOTHING, exponent, 0)
        exponent = self._row_exponents(back, rows)
        exponent = np.where(exponent > NOTHING, exponent, 0)
        return self._through(back, rows, exponent)[ONE].reshape(-1), exponent

    def _direct(self) -> dict[int, Below]:
        """By layer, with x as 0: its ways to the output on which only identities are, as `_of_top` takes them."""
        found: dict[int, Below] = {}

        def step(l: int, layer: Layer, above: list[tuple[Any, list[Piece] | None]]) -> list[Piece] | None:
            found[l] = [(A.T, pieces) for A, pieces in above if pieces is not None]
            if is_masked(layer) or not found[l]:
                return None
            every = np.arange(layer.width)
            c, exponent = self._of_top(found[l], every)
            return [Piece(every, exponent, {ONE: c.reshape(-1, 1)})]

        above = graph.backward(self.net.enclosed, TOP, step)
        found[0] = [(A.T, pieces) for A, pieces in above if pieces is not None]
        return {l: back for l, back in found.items() if back and (l == 0 or is_masked(self.net.layers[l - 1]))}

    def _of_tangents(self, takes: Mapping[int, Below]) -> Objective:
        """The sum over the layers that come to the output by identities alone: c_k (beta u + alpha (1 - u))_k w_k."""
        parts: list[tuple[int, Array, Enclosure, Array, LinearMap, Array]] = []
        for l, back in sorted(self._direct().items()):
            if l == 0:
                rows = self.fixed.directions
                w: LinearMap = {T: self.arithmetic(np.eye(len(rows)))}
                exponent_w = np.zeros(len(rows), dtype=np.int64)
            else:
                neurons = self.fixed.layers[l - 1]
                rows = np.concatenate([neurons.unstable, neurons.active, neurons.inactive]).astype(np.int64)
                exponent_w = self._row_exponents(takes[l], rows)
                w = self._through(takes[l], rows, exponent_w)
            c, exponent_c = self._of_top_with_zeros(back, rows)
            parts.append((l, rows, c, exponent_c, w, exponent_w))
        # row by row first, then one unit for all: c_i may be tiny just where A_i is huge, and c_i A_i is what counts
        exponent_c, exponent_w = (np.concatenate([part[k] for part in parts]) for k in (3, 5))
        matter = (exponent_c > NOTHING) & (exponent_w > NOTHING)
        unit = self._unit(int((exponent_c + exponent_w)[matter].max(initial=NOTHING)) if matter.any() else 0)
        blocks: dict[tuple[Group, Group], Enclosure] = {}
        for l, rows, c, exponent_c, w, exponent_w in parts:
            # a row that is not 0 may have come down to NOTHING, through many layers
            up = np.where(exponent_c > NOTHING, exponent_c + exponent_w - unit, 0).reshape(-1, 1)
            for group, coefficients in w.items():
                weighted = (c.reshape(-1, 1) * coefficients).scaled(up)
                self._add_masked(blocks, l, rows, group, weighted)
        return Objective(blocks, unit)

    def _of_top_with_zeros(self, back: Below, rows: Array) -> tuple[Enclosure, Array]:
        """`_of_top`, with NOTHING for rows of plain zeros."""
        if len(back) == 1 and back[0][1] is TOP:
            return self._output_row(back[0][0].T, rows)
        c, exponent = self._of_top(back, rows)
        return c, np.where((c.mid != 0) | (c.rad != 0), exponent, NOTHING)

    def _add_masked(
        self, blocks: dict[tuple[Group, Group], Enclosure], l: int, rows: Array, group: Group, weighted: Enclosure
    ) -> None:
        """Adds sum_k (beta u + alpha (1 - u))_k weighted_k . y_group of a layer's rows: the unstable ones first."""
        if l == 0:
            _add_block(blocks, ONE, group, weighted.sum(axis=0).reshape(1, -1))
            return
        layer, neurons = self.net.enclosed[l - 1], self.fixed.layers[l - 1]
        n, m = len(neurons.unstable), len(neurons.unstable) + len(neurons.active)
        if layer.activation == "relu":
            half = weighted[:n].scaled(-1)
            blocks[Group("v", l), group] = half
            _add_block(blocks, ONE, group, (half.sum(axis=0) + weighted[n:].sum(axis=0)).reshape(1, -1))
            return
        alpha, beta = (self.arithmetic(slopes[rows[:n]]).reshape(-1, 1) for slopes in layer.slopes)
        blocks[Group("v", l), group] = (weighted[:n] * (beta - alpha)).scaled(-1)
        one = (weighted[:n] * (beta + alpha)).scaled(-1).sum(axis=0)
        one = one + sloped(weighted[n:m], layer, rows[n:m], 1).sum(axis=0)
        one = one + sloped(weighted[m:], layer, rows[m:], 0).sum(axis=0)
        _add_block(blocks, ONE, group, one.reshape(1, -1))

    def _of_adjoints(self, end: Below) -> Objective:
        """sum_j t_j (sum_m A_{m,0}^T a_m)_j, of the adjoints behind the masks of the layers that take x."""
        inputs = self.fixed.directions
        own = int(self._row_exponents(end, inputs).max(initial=NOTHING))
        unit = self._unit(own if own > NOTHING else 0)
        gradient = self._through(end, inputs, np.full(len(inputs), unit))
        if not self.problem.has_t:  # a single row
            return Objective({(ONE, group): coefficients for group, coefficients in gradient.items()}, unit)
        return Objective({(group, T): coefficients.T for group, coefficients in gradient.items()}, unit)

    def _of_outputs(self, end: Below) -> Objective:
        """s . M C times the vectors that the output takes."""
        every, M = np.arange(self.net.widths[-1]), self.problem.coefficients
        own = self._row_exponents(end, every)
        shift = np.frexp(np.abs(M).max(axis=0, initial=0.0))[1].astype(np.int64)
        matter = own > NOTHING
        unit = self._unit(int((own + shift)[matter].max(initial=NOTHING)) if matter.any() else 0)
        of_values = self._through(end, every, np.where(matter, own, 0))
        down = np.where(matter, own - unit, 0).reshape(1, -1)
        weight = self.arithmetic(M).scaled(down)
        return Objective({(S, group): weight @ rows for group, rows in of_values.items()}, unit)

    def _of_output(self, end: Below, shifted: bool) -> Objective:
        """c.C times the vectors that the output takes, with c.d added if `shifted`."""
        output = self.net.enclosed[-1]
        rows = [self._output_row(A, np.arange(A.shape[1])) for A, _ in end]
        k, d = self.problem.coefficients, output.bias
        size_d = largest(d)
        of_shift = np.where((k != 0) & (size_d != 0), np.frexp(k)[1] + np.frexp(size_d)[1], NOTHING)
        sizes_of = [int(of_shift.max(initial=NOTHING))]
        for (_, exponent_c), (_, pieces) in zip(rows, end, strict=True):
            for piece in pieces:
                exponent = exponent_c[piece.columns] + piece.exponent
                sizes_of.append(int(exponent[exponent_c[piece.columns] > NOTHING].max(initial=NOTHING)))
        unit = self._unit(max(sizes_of) if max(sizes_of) > NOTHING // 2 else 0)
        row: LinearMap = {}
        for (c, exponent_c), (_, pieces) in zip(rows, end, strict=True):
            for piece in pieces:
                columns = piece.columns
                up = np.where(exponent_c[columns] > NOTHING, exponent_c[columns] + piece.exponent - unit, 0)
                add(row, piece.times(c[columns].scaled(up).reshape(1, -1)))
        if shifted:
            used = np.flatnonzero(of_shift > NOTHING)
            low = np.frexp(k[used])[1]
            shift = self.arithmetic(k[used]).scaled(-low) * enclosed_in(self.arithmetic, d[used]).scaled(low - unit)
            add(row, {ONE: shift.sum().reshape(1, 1)})
        return Objective({(ONE, group): coefficients for group, coefficients in row.items()}, unit)

    def _output_row(self, matrix: Any, rows: Array) -> tuple[Enclosure, Array]:
        """The entries of coefficients . C at `rows`, as an enclosure (m,) of size 1 times 2**exponents (m,).

        `matrix` is C. No rounding where a single row of C is meant. The exponents (NOTHING for a plain 0) do not depend
        on `arithmetic`, and only on single float64 operations: they set the unit in which multipliers are stated, on
        which whoever made a certificate and whoever verifies it must agree.
        """
        used = np.flatnonzero(self.problem.coefficients)
        k, C = self.problem.coefficients[used], matrix[used][:, rows]
        size = largest(C)
        plain = len(used) <= 2 and bool((np.abs(k) == 1.0).all()) and not isinstance(C, Enclosure)
        weight = 0 if plain else np.frexp(k)[1].astype(np.int64).reshape(-1, 1)
        exponent = np.where(size != 0, np.frexp(size)[1] + weight, NOTHING).max(axis=0, initial=NOTHING)
        down = np.where(exponent > NOTHING, weight - exponent, 0)
        terms = enclosed_in(self.arithmetic, C).scaled(down)
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


def _add_block(blocks: dict[tuple[Group, Group], Enclosure], g: Group, h: Group, block: Enclosure) -> None:
    blocks[g, h] = blocks[g, h] + block if (g, h) in blocks else block
