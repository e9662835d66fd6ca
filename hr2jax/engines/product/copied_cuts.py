"""Cutting planes of the tensored lifting by Newton's method: the pool, and the search for violated ones.

What is violated most by the moments is found in closed form: of an even product the least eigenvector of
E[s s^T f g] is its direction, of one with an odd part the vector E[s (f_e g_o + f_o g_e)], of a cone the orthogonal
factor of E[phi s t^T].
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from ...arithmetic.float64 import Array
from ...linalg.definite import cholesky
from ...machine.threads import few_threads
from ...relaxation.basis import ONE, XI, Group, T
from ...relaxation.copied_cuts import (
    BALLS,
    CONES,
    EXCLUSIONS,
    LITERALS,
    PRODUCTS,
    PROVED,
    TRIANGLES,
    factor_parities,
    width_of_one,
)
from ...relaxation.copies import CopiedFamily
from ...relaxation.mixtures import MIXTURES
from ...relaxation.products import OF_CHAINS, OF_VALUES, WITHIN, FactorTable, pairs_of
from ...relaxation.squares import SPLIT_SQUARES
from ...relaxation.tensored import Tensored, is_odd
from ...result import Status
from ..monitor import Monitor, Stop
from .copied import CopiedProblem, Copies, factor_rows, of_families
from .copied_events import CopiedEvents
from .memory import MOST, MOST_COPIED_CUTS
from .mixture_cuts import MOST_NEURONS, MaskRows, most_in_a_round, new_mixtures
from .newton_cuts import rounds

# Kinds of factors that meet cones; a direction is new whose cosine with those of the same factors is below ALIKE.
KINDS, ALIKE = ("U", "X", "XC"), 0.999
# New cuts of a kind in a round, times N, and what violates a cut.
PER_ROW, LEAST = 3, 0.003
# Triangles are looked for among so many variables, and at so many triples at once.
MOST_CORNERS, AT_ONCE = 90, 2**16
TURNS = 8  # of the search for the two directions of a ball's cone
PATTERNS = np.array([(a, b) for a in (1.0, -1.0) for b in (1.0, -1.0)])


def solve_copied(
    lifting: Tensored, families: list[CopiedFamily], monitor: Monitor, names: tuple[str, ...]
) -> Status:
    """Solve the tensored lifting, with the cutting planes of these names (`newton_cuts.solve_with_cuts`)."""
    try:
        with few_threads(lifting.size):
            return rounds(lifting, monitor, CopiedCuts(lifting, families, names))
    except Stop as stop:
        return stop.status
    except KeyboardInterrupt:
        return Status.STOPPED


class CopiedCuts:
    """The cuts in use, a list of rows for each record, and the search for more."""

    is_brief = False
    on_section = False

    def __init__(self, lifting: Tensored, families: list[CopiedFamily], names: tuple[str, ...]):
        self.lifting, self.families, self.copies = lifting, families, Copies(lifting)
        self.known = of_families(self.copies, families)
        one, K = lifting.one, lifting.outputs
        width = {
            PRODUCTS: 2 + K, TRIANGLES: 3 + K, CONES: 1 + K * one.sizes[T], BALLS: 1 + K + one.sizes.get(XI, 0),
            **{record: width_of_one(lifting, record) + K for record in PROVED},
        }  # fmt: skip
        self.masks = MaskRows(lifting, lifting.extended)
        if SPLIT_SQUARES in names and self.masks.table.count <= MOST_NEURONS:
            width[MIXTURES] = self.masks.table.width - 1
        self.events = CopiedEvents(lifting, names)
        self.rows: dict[str, Array] = {record: np.zeros((0, size + 1)) for record, size in width.items()}
        self.factors, self.even = factor_rows(self.copies), factor_parities(lifting)
        largest = abs(self.factors).max(axis=1).toarray().ravel()
        self.unit = 1.0 / np.maximum(largest, 1e-300)
        self.names, self.table = names, FactorTable(one)
        self.kinds = np.array([name.kind for name in self.table.names])
        self.signs = np.array([name.sign for name in self.table.names])
        asked = {*names, *((*OF_CHAINS, *OF_VALUES) if WITHIN in names else ())}
        self.pairs = [tuple(name.split(".")) for name in pairs_of(one) if name in asked]
        known = sum(len(family.used) for family in families) + lifting.size
        self.room = min(MOST_COPIED_CUTS, MOST - known)

    def __len__(self) -> int:
        return sum(map(len, self.rows.values()))

    def problem(self) -> CopiedProblem:
        """The program with the cuts in use."""
        return CopiedProblem(self.lifting, self.families, self.encoded(), self.copies, self.known)

    def encoded(self) -> dict[str, Array]:
        """All of them, as a certificate has them."""
        return {record: rows for record, rows in self.rows.items() if len(rows)}

    def renew(self, kept: Array, Y: Array) -> int | None:
        """Drop cuts that are not to be kept, add what Y violates; how many, or None where Y is too near singular."""
        ends = np.cumsum([len(rows) for rows in self.rows.values()])
        for record, which in zip(self.rows, np.split(kept, ends[:-1]), strict=True):
            self.rows[record] = self.rows[record][which]
        limit = min(PER_ROW * self.lifting.size, (self.room - len(self)) // 3)
        if limit <= 0:
            return 0
        factor = cholesky(Y)
        if factor is None:
            return None
        moments = _Moments(self, self.lifting.extend(np.tril(factor)))
        before = len(self)
        for record, found in (
            (PRODUCTS, moments.products()), (CONES, moments.cones()), (BALLS, moments.balls()),
            (TRIANGLES, moments.triangles()), *((record, moments.proved(record, limit)) for record in PROVED),
        ):  # fmt: skip
            self._add(record, found, limit)
        if MIXTURES in self.rows:
            known = self.rows[MIXTURES]
            most = min(limit, most_in_a_round(self.lifting.size))
            rows, _ = new_mixtures(self.masks, moments.extended, known[:, :-1], most)
            self.rows[MIXTURES] = np.concatenate([known, np.column_stack([rows, np.zeros(len(rows))])])
        return len(self) - before

    def _add(self, record: str, found: Iterator[tuple[Array, Array]], limit: int) -> None:
        """The most violated of some rows that are new."""
        parts = [part for part in found if len(part[0])]
        if not parts:
            return
        rows, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        worst = np.argsort(values, kind="stable")[:limit]
        rows, known = rows[worst], self.rows[record]
        if len(known) and len(rows):
            keys = {PRODUCTS: 2, TRIANGLES: 3, EXCLUSIONS: 4, **LITERALS}.get(record, 1)
            start = rows.shape[1] - self.lifting.outputs if record in PROVED else keys  # of the direction
            same = (rows[:, None, :keys] == known[None, :, :keys]).all(axis=2)
            cosine = rows[:, start:] @ known[:, start:-1].T
            lengths = np.linalg.norm(rows[:, start:], axis=1)[:, None] * np.linalg.norm(known[:, start:-1], axis=1)
            rows = rows[~(same & (np.abs(cosine) > ALIKE * lengths)).any(axis=1)]
        self.rows[record] = np.concatenate([known, np.column_stack([rows, np.zeros(len(rows))])])


class _Moments:
    """What a factor V of the moments says of products of copies: rows E (extended basis, r)."""

    def __init__(self, cuts: CopiedCuts, E: Array):
        self.cuts, self.lifting, copies = cuts, cuts.lifting, cuts.copies
        one, self.extended = self.lifting.one, E
        self.K = self.lifting.outputs
        self.of_t = E[self.lifting.extended.slice(T)]
        # copies of one output's extended rows (K, ., r), 0 where odd; and those that are odd
        self.even = np.stack([selection @ E for selection in copies.copy])
        self.odd = copies.odd @ E
        scaled = (cuts.factors.multiply(cuts.unit[:, None])).tocsr()
        self.of_factors = np.stack([scaled @ rows for rows in self.even]), scaled @ self.odd
        places = np.concatenate([one.extended.places(g) for g in one.sizes])
        self.of_basis = self.even[:, places], self.odd[places]

    def _numbers(self, kind: str, sign: int = 0) -> Array:
        cuts = self.cuts
        blocks = np.flatnonzero((cuts.kinds == kind) & ((cuts.signs == sign) | (sign == 0)))
        starts = cuts.table.starts
        return np.concatenate([np.zeros(0, np.int64), *(np.arange(starts[k], starts[k + 1]) for k in blocks)])

    def _worst(self, squares: Array) -> tuple[Array, Array]:
        """The least eigenvalues of matrices (m, K, K) and their vectors (m, K)."""
        values, vectors = np.linalg.eigh(0.5 * (squares + np.swapaxes(squares, 1, 2)))
        return values[:, 0], vectors[:, :, 0]

    def _mixed(self, squares: Array, of_odd: Array, across: Array) -> tuple[Array, Array]:
        """The least value over directions of even (m, K) + odd (m,) parts and c (m, K), and the directions."""
        if self.lifting.is_unit:
            length = np.linalg.norm(across, axis=1)
            directions = -across / np.maximum(length, 1e-300)[:, None]
            directions[length < 1e-200] = np.eye(self.K)[0]  # any does: nothing is odd
            return squares.sum(axis=1) + of_odd - length, directions
        values = squares + of_odd[:, None] - np.abs(across)
        k, m = np.argmin(values, axis=1), np.arange(len(values))
        directions = np.zeros(across.shape)
        directions[m, k] = np.where(across[m, k] > 0, -1.0, 1.0)
        return values[m, k], directions

    def _in_pairs(self, F: tuple[Array, Array], G: tuple[Array, Array], is_even: bool) -> tuple[Array, Array]:
        """Least values and directions of products of rows (K, m, r), (m, r) of F and of G, pair by pair."""
        if is_even:
            return self._worst(np.einsum("kmr,hmr->mkh", F[0], G[0], optimize=True))
        squares = np.einsum("kmr,kmr->mk", F[0], G[0])
        across = np.einsum("kmr,mr->mk", F[0], G[1]) + np.einsum("mr,kmr->mk", F[1], G[0])
        return self._mixed(squares, np.einsum("mr,mr->m", F[1], G[1]), across)

    def products(self) -> Iterator[tuple[Array, Array]]:
        """Violated products of factors."""
        even, odd = self.of_factors
        for first, second in self.cuts.pairs:
            a, b = self._numbers(first), self._numbers(second)
            if not len(a) or not len(b):
                continue
            is_even = bool(self.cuts.even[a[0]] and self.cuts.even[b[0]])
            if not is_even:  # the direction's sign is what turns both around
                is_mixed = not self.cuts.even[a[0]]
                a, b = (self._numbers(first, 1), b) if is_mixed else (a, self._numbers(second, 1))
            i, j = (index.ravel() for index in np.indices((len(a), len(b))))
            if first == second and is_even:
                i, j = i[a[i] < b[j]], j[a[i] < b[j]]
            step = max(AT_ONCE // 8, 1)
            for start in range(0, len(i), step):
                x, y = a[i[start : start + step]], b[j[start : start + step]]
                values, directions = self._in_pairs((even[:, x], odd[x]), (even[:, y], odd[y]), is_even)
                bad = (values < -LEAST) & (x != y)
                yield np.column_stack([x, y, directions])[bad], values[bad]

    def cones(self) -> Iterator[tuple[Array, Array]]:
        """Violated cones of t in a ball."""
        lifting, K, w = self.lifting, self.K, len(self.of_t)
        if T not in lifting.balls or w < 2 or "cones" not in self.cuts.names:
            return
        numbers = np.concatenate([self._numbers(kind) for kind in KINDS])
        even = self.of_factors[0][:, numbers]
        s = self.even[:, lifting.one.extended.slice(ONE)][:, 0]
        squares = np.einsum("kmr,kr->mk", even, s)
        X = np.einsum("kmr,jr->mkj", even, self.of_t)
        if lifting.is_unit:
            U, lengths, Vt = np.linalg.svd(X, full_matrices=False)
            values, mu = squares.sum(axis=1) - lengths.sum(axis=1), U @ Vt
            bad = values < -LEAST
            yield np.column_stack([numbers, mu.reshape(len(mu), K * w)])[bad], values[bad]
            return
        lengths = np.linalg.norm(X, axis=2)
        for k in range(K):
            values, mu = squares[:, k] - lengths[:, k], np.zeros(X.shape)
            mu[:, k] = X[:, k] / np.maximum(lengths[:, k, None], 1e-300)
            bad = values < -LEAST
            yield np.column_stack([numbers, mu.reshape(len(mu), K * w)])[bad], values[bad]

    def balls(self) -> Iterator[tuple[Array, Array]]:
        """Violated cones of xi in a ball, by turns in its two directions."""
        one = self.lifting.one
        if XI not in one.balls or one.sizes[XI] < 2 or "cones" not in self.cuts.names:
            return
        numbers = np.concatenate([self._numbers(kind) for kind in KINDS])
        even = self.of_factors[0][:, numbers]
        s, xi = (self.even[:, one.extended.slice(group)] for group in (ONE, XI))
        squares = np.einsum("kmr,hr->mkh", even, s[:, 0])
        X = np.einsum("kmr,hjr->mjkh", even, xi)
        X = 0.5 * (X + np.swapaxes(X, 2, 3))
        best, least = None, np.full(len(numbers), np.inf)
        for start in range(self.K):
            q = np.tile(np.eye(self.K)[start], (len(numbers), 1))
            for _ in range(TURNS):
                mu = np.einsum("mjkh,mk,mh->mj", X, q, q)
                mu = mu / np.maximum(np.linalg.norm(mu, axis=1), 1e-300)[:, None]
                values, q = self._worst(squares - np.einsum("mj,mjkh->mkh", mu, X))
            better = values < least
            row = np.column_stack([numbers, q, mu])
            best = row if best is None else np.where(better[:, None], row, best)
            least = np.where(better, values, least)
        bad = least < -LEAST
        if best is not None:
            yield best[bad], least[bad]

    def proved(self, record: str, limit: int) -> Iterator[tuple[Array, Array]]:
        """Violated event rows, clauses or exclusions."""
        even = self.of_factors[0] / self.cuts.unit[:, None]
        s = self.even[:, self.lifting.one.extended.slice(ONE)][:, 0]
        if record == EXCLUSIONS:
            odd, is_even = self.of_factors[1] / self.cuts.unit[:, None], np.append(True, self.cuts.even)
            yield self.cuts.events.excluded(
                even, odd, self.cuts.unit, s, is_even, self._in_pairs, LEAST, limit
            )
            return
        yield from self.cuts.events.found(record, even, s, LEAST, limit)

    def triangles(self) -> Iterator[tuple[Array, Array]]:
        """Violated triangles: a sign and two other variables; those through the constant are products."""
        if "triangles" not in self.cuts.names:
            return
        one = self.lifting.one
        kinds = np.concatenate([np.full(n, group.kind) for group, n in one.sizes.items()])
        corner = np.flatnonzero(np.isin(kinds, ("v", "t", "xi")))
        is_sign = one.square_is_one
        order = corner[np.argsort(~is_sign[corner], kind="stable")]
        if len(order) > MOST_CORNERS or len(order) < 3:
            return
        triples = np.array(list(combinations(order.tolist(), 3)))
        triples = triples[is_sign[triples[:, 0]]]
        odd = np.array([is_odd(Group(str(kind))) for kind in kinds])
        even_rows, odd_rows = self.of_basis
        is_even = ~odd[triples].any(axis=1)
        for which in (True, False):
            own = triples[is_even == which]
            for start in range(0, len(own), AT_ONCE // 8):
                a, b, c = own[start : start + AT_ONCE // 8].T
                for signs in PATTERNS:
                    F = even_rows[:, a] + signs[0] * even_rows[:, b], odd_rows[a] + signs[0] * odd_rows[b]
                    G = even_rows[:, a] + signs[1] * even_rows[:, c], odd_rows[a] + signs[1] * odd_rows[c]
                    values, directions = self._in_pairs(F, G, which)
                    bad = values < -LEAST
                    corners = np.column_stack([a + 1, signs[0] * (b + 1), signs[1] * (c + 1), directions])
                    yield corners[bad], values[bad]
