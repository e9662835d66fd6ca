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
from .program import FIRST_STEP, LONGEST_STEP, MAX_SHORTENINGS, SHORTEN, Cuts, Data, Rows, Spec, Step


class Host:
    """One problem, ready for inner minimisations in float64.

    Args:
        spec, data: as the jitted functions take them (`Factored.spec`, `Factored.data`).
    """

    def __init__(self, spec: Spec, data: Data):
        self.spec, self.data = spec, data
        self.size = sum(size for _, size in spec.sizes)
        rows = self._rows_by_kind(np.eye(self.size))
        derived = np.concatenate([rows[kind] for kind, _ in spec.derived]) if spec.derived else None
        self._derived = derived
        self._one = next(start for start, name in _starts(spec) if name == "one")
        self._objective = self._symmetric(rows)
        forms = [_matrix(form, self._one, self._extended) for F, G, *_ in data.families for form in (F, G)]
        self._ends = np.cumsum([0, *(form.shape[0] for form in forms)])
        self._forms = sp.vstack(forms).tocsr() if forms else None
        self._forms_T = None if self._forms is None else self._forms.T.tocsr()

    @property
    def _extended(self) -> int:
        return self.size + (0 if self._derived is None else len(self._derived))

    def _rows_by_kind(self, V: Array) -> dict[str, Array]:
        """`lagrangian.extended_rows`."""
        y, start = {}, 0
        for name, size in self.spec.sizes:
            y[name] = V[start : start + size]
            start += size
        for (kind, terms), matrices in zip(self.spec.derived, self.data.derived, strict=True):
            y[kind] = sum(m * y["one"] if t == "one" else m @ y[t] for t, m in zip(terms, matrices, strict=True))
        return y

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

    def products(self, E: Array) -> tuple[Array, list[Array]]:
        """All forms' rows at the extended rows E, and per stack the scaled products."""
        if self._forms is None:
            return E[:0], []
        values, found = self._forms @ E, []
        for k, ((*_, pairs), (_, _, scale, _)) in enumerate(zip(self.spec.stacks, self.data.families, strict=True)):
            f, g = self._part(values, 2 * k), self._part(values, 2 * k + 1)
            found.append(scale * (np.einsum("ij,ij->i", f, g) if pairs == "diagonal" else f @ g.T))
        return values, found

    def _part(self, values: Array, k: int) -> Array:
        return values[self._ends[k] : self._ends[k + 1]]

    def steps(self, multipliers: list[Array], products: list[Array], sigma: float) -> list[Array]:
        """lambda - sigma p, at least 0 unless p is to be 0 (`lagrangian._steps`)."""
        shifted = [m - sigma * p for m, p in zip(multipliers, products, strict=True)]
        return [
            np.where(equality, s, np.maximum(s, 0.0))
            for s, (*_, equality) in zip(shifted, self.data.families, strict=True)
        ]

    def value_and_gradient(
        self, P: Array, multipliers: list[Array], sigma: float, cuts: tuple[Cuts, ...] = (),
        cut_multipliers: list[Array] | None = None, cut_sigma: float = 1.0,
    ) -> tuple[float, Array]:  # fmt: skip
        """`lagrangian.augmented_lagrangian` and its derivative by P."""
        Q, length = self.rows_of(P)
        V = Q[:, :-1]
        E = self.extend(V)
        CV = self._objective @ V
        values, products = self.products(E)
        weights = self.steps(multipliers, products, sigma)
        total = -float(np.vdot(CV, V)) + sum(float(np.vdot(w, w)) for w in weights) / (2.0 * sigma)
        dV = -2.0 * CV
        if self._forms_T is not None:
            back = np.empty_like(values)
            for k, ((*_, pairs), (_, _, scale, _)) in enumerate(zip(self.spec.stacks, self.data.families, strict=True)):
                w, f, g = -scale * weights[k], self._part(values, 2 * k), self._part(values, 2 * k + 1)
                diagonal = pairs == "diagonal"
                self._part(back, 2 * k)[:] = w[:, None] * g if diagonal else w @ g
                self._part(back, 2 * k + 1)[:] = w[:, None] * f if diagonal else w.T @ f
            dV += self._back(self._forms_T @ back)
        if cuts:
            rows = V if len(cuts) < 2 else E
            penalty, dR = _cut_penalty(rows, cuts, cut_multipliers or [], cut_sigma)
            total += penalty
            dV += dR if len(cuts) < 2 else self._back(dR)
        return total, self._back_to(Q, length, dV)

    def minimise(
        self, P: Array, multipliers: list[Array], sigma: float, cuts: tuple[Cuts, ...], cut_multipliers: list[Array],
        cut_sigma: float, tolerance: float, steps: int,
    ) -> Step:  # fmt: skip
        """Minimise from P (N, r + 1), then update the multipliers (`lagrangian.minimise`)."""
        shape = P.shape

        def evaluate(x: Array) -> tuple[float, Array]:
            value, gradient = self.value_and_gradient(
                x.reshape(shape), multipliers, sigma, cuts, cut_multipliers, cut_sigma
            )
            return value, gradient.ravel()

        longest = LONGEST_STEP * float(np.linalg.norm(P))
        first = FIRST_STEP * float(np.sqrt(shape[0]))
        x, gradient, used = minimise(evaluate, P.ravel(), self.spec.memory, first, tolerance, steps, longest)
        P = x.reshape(shape)
        V = self.rows_of(P)[0][:, :-1]
        E = self.extend(V)
        updated = self.steps(multipliers, self.products(E)[1], sigma)
        values = cut_values(V if len(cuts) < 2 else E, cuts) if cuts else []
        moved = [np.maximum(m - cut_sigma * v, 0.0) for m, v in zip(cut_multipliers, values, strict=True)]
        return Step(P, updated, moved, values, np.linalg.norm(gradient), used)


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


def cut_values(E: Array, cuts: tuple[Cuts, ...]) -> list[Array]:
    """The cuts' values (m,) at the rows E, 1 for padding."""
    gram = (E @ E.T).ravel()
    return [_values(gram, cut) for cut in cuts]


def _values(gram: Array, cut: Cuts) -> Array:
    return np.asarray(cut.constant + np.einsum("em,em->m", cut.coefficient, gram[cut.place]))


def _cut_penalty(
    E: Array, cuts: tuple[Cuts, ...], multipliers: list[Array], sigma: float
) -> tuple[float, Array]:
    """`lagrangian.cut_penalty` and its derivative by E."""
    n = len(E)
    gram = (E @ E.T).ravel()
    total, W = 0.0, np.zeros(n * n)
    for cut, m in zip(cuts, multipliers, strict=True):
        weight = np.maximum(m - sigma * _values(gram, cut), 0.0)
        total += float(np.vdot(weight, weight))
        used = np.flatnonzero(weight)
        value = -weight[used] * cut.coefficient[:, used]
        W += np.bincount(cut.place[:, used].ravel(), value.ravel(), minlength=n * n)
    square = W.reshape(n, n)
    return total / (2.0 * sigma), (square + square.T) @ E


class _Memory:
    """The last steps and gradient changes, and the products of the compact form (Byrd, Nocedal and Schnabel 1994)."""

    def __init__(self, slots: int, size: int):
        self.slots = slots
        self.S, self.D = np.zeros((slots, size)), np.zeros((slots, size))
        self.SD, self.DD = np.zeros((slots, slots)), np.zeros((slots, slots))
        self.clear()

    def clear(self) -> None:
        """Nothing is remembered."""
        self.count, self.next = 0, 0

    def order(self) -> Array:
        """The slots in use, the oldest first."""
        return (self.next - self.count + np.arange(self.count)) % self.slots

    def add(self, step: Array, change: Array) -> None:
        """Remember one more, and forget the oldest where there is no room."""
        k = self.next
        self.S[k], self.D[k] = step, change
        self.next, self.count = (k + 1) % self.slots, min(self.count + 1, self.slots)
        self.SD[:, k] = self.S @ change
        self.DD[:, k] = self.DD[k] = self.D @ change

    def inverse_hessian_times(self, g: Array) -> Array:
        """H g (equation 3.3 there; `lbfgs._inverse_hessian_times`)."""
        if self.count == 0:
            return g.copy()
        order = self.order()
        R = np.triu(self.SD[np.ix_(order, order)])
        Q = self.DD[np.ix_(order, order)]
        a, b = (self.S @ g)[order], (self.D @ g)[order]
        gamma = R[-1, -1] / (Q[-1, -1] + 1e-30)
        trtrs = scipy.linalg.lapack.dtrtrs
        u = trtrs(R, a)[0]
        w = trtrs(R, np.diag(R) * u + gamma * (Q @ u - b), trans=1)[0]
        weights = np.zeros((2, self.slots))
        weights[0, order], weights[1, order] = w, -gamma * u
        out: Array = gamma * g + weights[0] @ self.S + weights[1] @ self.D
        return out


def minimise(
    value_and_gradient: Callable[[Array], tuple[float, Array]], x: Array, memory: int, first_step: float,
    tolerance: float, steps: int, longest: float,
) -> tuple[Array, Array, int]:  # fmt: skip
    """L-BFGS from x (n,) as in lbfgs.py, whose rules of acceptance these are: x, the gradient there, evaluations."""
    eps = float(np.finfo(np.float64).eps)
    value, g = value_and_gradient(x)
    past = _Memory(memory, len(x))
    p = -g
    length, tries, used = first_step / (float(np.linalg.norm(g)) + 1e-30), 0, 0
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
