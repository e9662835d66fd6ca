"""The augmented Lagrangian of the product form and its minimisation in NumPy, for what is solved before it is compiled.

The same function, steps and numbers as in lagrangian.py and lbfgs.py, up to rounding; derivatives are written out. A
problem of a few hundred entries takes some tenths of a millisecond for an inner step, where compiling takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...machine.stopping import is_interrupted
from .parts import Parts
from .program import FIRST_STEP, LONGEST_STEP, MAX_SHORTENINGS, SHORTEN, Cuts, Data, Rows, Spec, Step, extended_rows


class Host:
    """One problem, ready for inner minimisations in float64.

    Args:
        spec, data: as the jitted functions take them (`Factored.spec`, `Factored.data`).
    """

    def __init__(self, spec: Spec, data: Data):
        self.spec, self.data = spec, data
        self.size = sum(size for _, size in spec.sizes)
        rows = extended_rows(spec, data, np.eye(self.size))
        derived = np.concatenate([rows[kind] for kind, _ in spec.derived]) if spec.derived else None
        self._derived = derived
        self._one = next(start for start, name in _starts(spec) if name == "one")
        self._objective = self._symmetric(rows)
        # all diagonal stacks are one: F's rows, then G's; a stack of all pairs, which is a matrix, stays by itself
        every = [tuple(_matrix(form, self._one, self._extended) for form in (F, G)) for F, G, *_ in data.families]
        diagonal = [pairs == "diagonal" for *_, pairs in spec.stacks]
        self._parts = Parts([e.shape for *_, e in data.families], diagonal)
        forms = self._parts.ordered(every)
        self._forms = sp.vstack(forms).tocsr() if forms else None
        self._forms_T = None if self._forms is None else self._forms.T.tocsr()
        self._scale = self._parts.joined([scale for _, _, scale, _ in data.families])
        self._least = np.where(self._parts.joined([equality for *_, equality in data.families]), -np.inf, 0.0)

    @property
    def _extended(self) -> int:
        return self.size + (0 if self._derived is None else len(self._derived))

    def _symmetric(self, rows: dict[str, Array]) -> Array:
        """C (N, N) with <C, V V^T> the objective, from the basis' rows of the identity."""
        C = np.zeros((self.size, self.size))
        for (g, h), block in zip(self.spec.objective, self.data.objective, strict=True):
            C += rows[g].T @ block @ rows[h]
        return 0.5 * (C + C.T)

    def extend(self, V: Array) -> Array:
        """V's rows, derived ones behind them."""
        return V if self._derived is None else np.concatenate([V, self._derived @ V])

    def _back(self, dE: Array) -> Array:
        """The derivative by V of a derivative by the extended rows."""
        return dE if self._derived is None else dE[: self.size] + self._derived.T @ dE[self.size :]

    def rows_of(self, P: Array) -> tuple[Array, Array]:
        """P's rows normalised (N, r + 1), those that share a bound together, and their lengths (N, 1)."""
        data = self.data
        scaled = P * data.unit
        scaled[:, -1:] = P[:, -1:] * data.slack
        squares = np.einsum("ij,ij->i", scaled, scaled)
        if len(data.budget):
            squares = np.bincount(data.budget, squares, minlength=len(P))[data.budget]
        length = np.sqrt(squares)[:, None]
        return scaled / length, length

    def _back_to(self, Q: Array, length: Array, dV: Array) -> Array:
        """The derivative by P, from that by V = Q[:, :-1]."""
        data = self.data
        along = np.einsum("ij,ij->i", Q[:, :-1], dV)
        if len(data.budget):
            along = np.bincount(data.budget, along, minlength=len(Q))[data.budget]
        out = np.empty_like(Q)
        out[:, :-1] = (dV - along[:, None] * Q[:, :-1]) / length * data.unit
        out[:, -1:] = -along[:, None] * Q[:, -1:] / length * data.slack
        return out

    def products(self, E: Array) -> tuple[Array, Array]:
        """All forms' rows at the extended rows E, and the scaled products, joined (`Parts`)."""
        if self._forms is None:
            return E[:0], np.zeros(0)
        values = self._forms @ E
        return values, self._scale * self._parts.products(values)

    def steps(self, multipliers: Array, products: Array, sigma: float) -> Array:
        """lambda - sigma p, at least 0 unless p is to be 0 (`lagrangian._steps`)."""
        return np.maximum(multipliers - sigma * products, self._least)

    def value_and_gradient(
        self, P: Array, multipliers: list[Array], sigma: float, cuts: tuple[Cuts, ...] = (),
        cut_multipliers: list[Array] | None = None, cut_sigma: float = 1.0,
    ) -> tuple[float, Array]:  # fmt: skip
        """`lagrangian.augmented_lagrangian` and its derivative by P."""
        return self._evaluate(P, self._parts.joined(multipliers), sigma, self._joined(cuts, cut_multipliers), cut_sigma)

    def _joined(self, cuts: tuple[Cuts, ...], multipliers: list[Array] | None) -> _Joined | None:
        if not cuts:
            return None
        return _Joined(cuts, multipliers or [], self.size if len(cuts) < 2 else self._extended)

    def _evaluate(
        self, P: Array, multipliers: Array, sigma: float, cuts: _Joined | None, cut_sigma: float
    ) -> tuple[float, Array]:
        Q, length = self.rows_of(P)
        V = Q[:, :-1]
        E = self.extend(V)
        CV = self._objective @ V
        values, products = self.products(E)
        weights = self.steps(multipliers, products, sigma)
        total = -float(np.vdot(CV, V)) + float(weights @ weights) / (2.0 * sigma)
        dV = -2.0 * CV
        dE = None
        if self._forms_T is not None:
            dE = self._forms_T @ self._parts.back(values, -self._scale * weights)
        if cuts is not None:
            penalty, dR = cuts.penalty(E[: cuts.size], cut_sigma)
            total += penalty
            if cuts.size == self.size:
                dV += dR
            else:
                dE = dR if dE is None else dE + dR
        if dE is not None:
            dV += self._back(dE)
        return total, self._back_to(Q, length, dV)

    def minimise(
        self, P: Array, multipliers: list[Array], sigma: float, cuts: tuple[Cuts, ...], cut_multipliers: list[Array],
        cut_sigma: float, tolerance: float, steps: int,
    ) -> Step:  # fmt: skip
        """Minimise from P (N, r + 1), then update the multipliers (`lagrangian.minimise`)."""
        shape, given, joined = P.shape, self._parts.joined(multipliers), self._joined(cuts, cut_multipliers)

        def evaluate(x: Array) -> tuple[float, Array]:
            value, gradient = self._evaluate(x.reshape(shape), given, sigma, joined, cut_sigma)
            return value, gradient.ravel()

        longest = LONGEST_STEP * float(np.linalg.norm(P))
        first = FIRST_STEP * float(np.sqrt(shape[0]))
        x, gradient, used = minimise(evaluate, P.ravel(), self.spec.memory, first, tolerance, steps, longest)
        P = x.reshape(shape)
        E = self.extend(self.rows_of(P)[0][:, :-1])
        updated = self._parts.split(self.steps(given, self.products(E)[1], sigma))
        values = [] if joined is None else joined.split(joined.values(E[: joined.size]))
        moved = [np.maximum(m - cut_sigma * v, 0.0) for m, v in zip(cut_multipliers, values, strict=True)]
        return Step(P, updated, moved, values, np.linalg.norm(gradient), used)


class _Joined:
    """The cuts of all kinds as one sparse matrix over the entries of the Gram matrix of `size` rows."""

    def __init__(self, cuts: tuple[Cuts, ...], multipliers: list[Array], size: int):
        self.size = size
        self.multipliers = np.concatenate(multipliers)
        self.constant = np.concatenate([cut.constant for cut in cuts])
        counts = [len(cut.constant) for cut in cuts]
        self._ends = np.cumsum(counts).tolist()
        starts = [0, *self._ends[:-1]]
        numbers = [
            np.broadcast_to(start + np.arange(n), cut.place.shape)
            for start, n, cut in zip(starts, counts, cuts, strict=True)
        ]
        rows, places, values = (
            np.concatenate([part.ravel() for part in parts])
            for parts in (numbers, [cut.place for cut in cuts], [cut.coefficient for cut in cuts])
        )
        self._matrix = sp.csr_matrix((values, (rows, places)), shape=(len(self.constant), size * size))
        self._transposed = self._matrix.T.tocsr()

    def values(self, E: Array) -> Array:
        """The cuts' values (m,) at the rows E."""
        return np.asarray(self.constant + self._matrix @ (E @ E.T).ravel())

    def split(self, values: Array) -> list[Array]:
        """By kind."""
        return np.split(values, self._ends[:-1])

    def penalty(self, E: Array, sigma: float) -> tuple[float, Array]:
        """`lagrangian.cut_penalty` and its derivative by E."""
        weights = np.maximum(self.multipliers - sigma * self.values(E), 0.0)
        square = (self._transposed @ weights).reshape(self.size, self.size)
        return float(weights @ weights) / (2.0 * sigma), -((square + square.T) @ E)


def _starts(spec: Spec) -> list[tuple[int, str]]:
    ends = np.cumsum([0, *(size for _, size in spec.sizes)]).tolist()
    return [(start, name) for start, (name, _) in zip(ends, spec.sizes, strict=False)]


def _matrix(form: Rows, one: int, size: int) -> sp.csr_matrix:
    """The forms as a matrix over the extended rows; `one` is the constant's place."""
    n = len(form.constant)
    at = np.arange(n)
    rows = np.concatenate([at, *([at] * len(form.index))])
    columns = np.concatenate([np.full(n, one), *form.index])
    values = np.concatenate([form.constant, *form.coefficient])
    used = values != 0
    return sp.csr_matrix((values[used], (rows[used], columns[used])), shape=(n, size))


class Memory:
    """The last steps and gradient changes, and the products of the compact form (Byrd, Nocedal and Schnabel 1994)."""

    def __init__(self, slots: int, size: int):
        self.slots = slots
        self.S, self.D = np.zeros((slots, size)), np.zeros((slots, size))
        self.SD, self.DD = np.zeros((slots, slots), order="F"), np.zeros((slots, slots), order="F")
        self.clear()

    def clear(self) -> None:
        """Nothing is remembered."""
        self.count, self.next = 0, 0

    def add(self, step: Array, change: Array) -> None:
        """Remember one more, and forget the oldest where there is no room.

        The matrices are in the steps' order, the oldest first, at their end; rows of S and D are where there was room.
        """
        if self.count == self.slots:
            self.SD[:-1, :-1], self.DD[:-1, :-1] = self.SD[1:, 1:].copy(), self.DD[1:, 1:].copy()
            self.count -= 1
        self.S[self.next], self.D[self.next] = step, change
        self.next, self.count = (self.next + 1) % self.slots, self.count + 1
        order, k = self.order(), self.count - 1
        self.SD[: k + 1, k] = (self.S @ change)[order]
        self.DD[: k + 1, k] = self.DD[k, : k + 1] = (self.D @ change)[order]

    def order(self) -> Array:
        """The rows in use, the oldest first."""
        return (self.next - self.count + np.arange(self.count)) % self.slots

    def inverse_hessian_times(self, g: Array) -> Array:
        """H g (equation 3.3 there; `lbfgs._inverse_hessian_times`)."""
        if self.count == 0:
            return g.copy()
        order, n = self.order(), self.count
        R, Q = self.SD[:n, :n], self.DD[:n, :n]  # of R, its upper triangle
        a, b = (self.S @ g)[order], (self.D @ g)[order]
        gamma = R[-1, -1] / (Q[-1, -1] + 1e-30)
        trtrs = scipy.linalg.lapack.dtrtrs
        u = trtrs(R, a)[0]
        w = trtrs(R, R.diagonal() * u + gamma * (Q @ u - b), trans=1)[0]
        weights = np.zeros((2, self.slots))
        weights[0, order], weights[1, order] = w, -gamma * u
        out: Array = gamma * g + weights[0] @ self.S + weights[1] @ self.D
        return out


def minimise(
    value_and_gradient: Callable[[Array], tuple[float, Array]], x: Array, memory: int, first_step: float,
    tolerance: float, steps: int, longest: float, past: Memory | None = None,
) -> tuple[Array, Array, int]:  # fmt: skip
    """L-BFGS from x (n,) as in lbfgs.py, whose rules of acceptance these are: x, the gradient there, evaluations.

    `past` is what an earlier call has left, to go on from, and this one leaves.
    """
    eps = float(np.finfo(np.float64).eps)
    value, g = value_and_gradient(x)
    past = Memory(memory, len(x)) if past is None else past
    length, tries, used = first_step / (float(np.linalg.norm(g)) + 1e-30), 0, 0
    p = -g
    if past.count:
        p, length = -past.inverse_hessian_times(g), 1.0
    while used < steps and float(np.linalg.norm(g)) > tolerance and tries <= MAX_SHORTENINGS and not is_interrupted():
        step = length * p
        new_value, new_g = value_and_gradient(x + step)
        used += 1
        slope = float(np.vdot(g, step))
        close = new_value <= value + 4 * eps * abs(value) and float(np.vdot(new_g, step)) <= -0.8 * slope
        if not (new_value <= value + 1e-4 * slope or close):
            length, tries = SHORTEN * length, tries + 1
            continue
        change = new_g - g
        if float(np.vdot(step, change)) > 1e-10 * eps * float(np.vdot(change, change)):
            past.add(step, change)
        p = -past.inverse_hessian_times(new_g)
        reach = float(np.linalg.norm(p))
        if float(np.vdot(p, new_g)) < 0 and np.isfinite(reach):
            length = min(longest / (reach + 1e-30), 1.0)
        else:
            past.clear()
            p, length = -float(np.linalg.norm(step)) / (float(np.linalg.norm(new_g)) + 1e-30) * new_g, 1.0
        x, value, g, tries = x + step, new_value, new_g, 0
    return x, g, used
