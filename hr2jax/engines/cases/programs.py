"""Linear programs that tell whether a case (bounds/cases.py) is empty, and prove that it is. They only steer.

A case is met by x and r = ReLU(z) of the neurons that are open on the domain, r = z where they are on and 0 where they
are off; of those without a sign r is between its lines. The program is that of the least tau by which signs must be
given up, below 0 where there is room for all. Its dual is the proof: slopes, and what signs add. Programs of one call
are blocks that share nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ... import graph
from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ...bounds.interval import Pair
from ...layer import Layer
from ...network import Network
from ...problem import Problem

# What signs must be given up by, in units of z's range, to be more than rounding.
REFUTED = 1e-7
# Rounds of planes that cut what is beyond a ball off its box, how far beyond it a point may be, and how many planes are
# kept for each input, the last ones: with six rounds and all planes a tree took five times as long. Where nothing else
# is left to be done for a case there are more rounds.
ROUNDS, LAST_ROUNDS, BEYOND, PLANES = 2, 12, 1e-6, 4


class Found(NamedTuple):
    """What the programs of n cases found.

    Attributes:
        tau: (n,) at least; 0 or less where the relaxation has such points.
        slopes: (n, w) as `emptiness` takes them.
        xi: (n, q) points of the relaxation, in units of the domain.
        off: (n, w) how far r is from ReLU(z) there.
    """

    tau: Array
    slopes: Array
    xi: Array
    off: Array


class Programs:
    """The programs of one network and domain.

    Attributes:
        open: (m,) the neurons whose sign bounds leave open, among the w of all sources.
    """

    def __init__(self, net: Network, problem: Problem, bounds: list[Pair]):
        self.net, self.problem = net, problem
        domain, sources = problem.domain, graph.sources(net.layers)
        low, high = (np.concatenate([bounds[k - 1][side] for k in sources]) for side in (0, 1))
        self.width, self.open = len(low), np.flatnonzero((low < 0) & (high > 0))
        self.low, self.high = low[self.open], high[self.open]
        self.free = domain.free(net.widths[0])
        self.q, self.m = len(self.free), len(self.open)
        x = np.zeros((net.widths[0], 1 + self.q + self.m))
        x[:, 0], x[self.free, 1 + np.arange(self.q)] = domain.center, domain.radius[self.free]
        rows: list[Array] = []
        at = 1 + self.q

        def step(l: int, layer: Layer, below: graph.Pairs) -> Array:
            nonlocal at
            z: Array = graph.total(middle(A) @ y for A, y in below)
            z[:, 0] += middle(layer.bias)
            if not graph.is_masked(layer):
                return z
            below_, above = bounds[l - 1]
            is_open = (below_ < 0) & (above > 0)
            alpha, beta = layer.slopes
            y: Array = np.where(is_open | (above <= 0), alpha, beta)[:, None] * z
            if l in sources:
                here = np.flatnonzero(is_open)
                rows.append(z[here])
                y[here, at + np.arange(len(here))] += (beta - alpha)[here]
                at += len(here)
            return y

        graph.forward(net.layers[:-1], x, step)
        self.z = np.concatenate(rows) if rows else np.zeros((0, at))
        self.steep = self.high / (self.high - self.low)
        self.size = self.high - self.low
        # over xi, r and tau: z - r, r - z, r - s z, -z - size tau, z - size tau  at most `right`
        of_r = np.hstack([np.zeros((self.m, self.q)), np.eye(self.m)])
        z, none, tau = self.z[:, 1:], np.zeros((self.m, 1)), np.ones((self.m, 1))
        unit = z / self.size[:, None]
        self.rows = np.vstack([
            np.hstack([z - of_r, none]), np.hstack([of_r - z, none]), np.hstack([of_r - self.steep[:, None] * z, none]),
            np.hstack([-unit, -tau]), np.hstack([unit, -tau]),
        ])  # fmt: skip
        constant = self.z[:, 0]
        self.right = np.concatenate([
            -constant, constant, self.steep * (constant - self.low), constant / self.size, -constant / self.size,
        ])  # fmt: skip
        self.planes = np.zeros((0, self.q))  # mu with mu . xi <= 1 in the domain's ball

    def solve(self, signs: Array, rounds: int = ROUNDS) -> Found:
        """Of cases (n, w)."""
        own = signs[:, self.open]
        for k in range(rounds):
            tau, slopes, x = self._solved(own)
            beyond = self._planes_beyond(x[:, : self.q]) if k < rounds - 1 else np.zeros((0, self.q))
            if not len(beyond):
                break
            self.planes = np.vstack([self.planes, beyond])[-PLANES * self.q :]
        z = self.z[:, 0] + x @ self.z[:, 1:].T
        off, lines = np.zeros((2, len(signs), self.width))
        off[:, self.open] = np.where(own == 0, np.abs(x[:, self.q :] - np.maximum(z, 0.0)) / self.size, 0.0)
        lines[:, self.open] = slopes
        return Found(tau, lines, x[:, : self.q], off)

    def _planes_beyond(self, xi: Array) -> Array:
        """Planes that cut points off which are outside of the ball."""
        shape = self.problem.domain.shape
        if shape == "inf":
            return np.zeros((0, self.q))
        if shape == 1:
            return np.unique(np.sign(xi[np.abs(xi).sum(axis=1) > 1.0 + BEYOND]), axis=0)
        length = np.linalg.norm(xi, axis=1)
        outside = length > 1.0 + BEYOND
        return xi[outside] / length[outside, None]

    def _solved(self, signs: Array) -> tuple[Array, Array, Array]:
        from scipy.optimize import linprog  # here: the slowest import, and not for those who look for no cases

        m, q, count, p = self.m, self.q, len(signs), len(self.planes)
        columns = q + m + 1
        low, high = np.full((count, columns), -1.0), np.full((count, columns), 1.0)
        low[:, q:-1], high[:, q:-1] = np.where(signs > 0, -np.inf, 0.0), np.where(signs < 0, 0.0, np.inf)
        low[:, -1], high[:, -1] = -1.0, np.inf
        always = np.ones((count, p), dtype=bool)
        kept = np.hstack([signs >= 0, signs > 0, signs == 0, signs > 0, signs < 0, always])
        block = np.vstack([self.rows, np.hstack([self.planes, np.zeros((p, m + 1))])])
        which, row = np.nonzero(kept)
        entries = block[row]
        at, column = np.nonzero(entries)
        A = sp.csr_matrix((entries[at, column], (at, which[at] * columns + column)), (len(row), count * columns))
        right = np.append(self.right, np.ones(p))[row]
        cost = np.tile(np.append(np.zeros(q + m), 1.0), count)
        found = linprog(cost, A_ub=A, b_ub=right, bounds=np.column_stack([low.ravel(), high.ravel()]), method="highs")
        if found.status != 0:  # nothing is known
            return np.zeros(count), np.zeros((count, m)), np.zeros((count, q + m))
        dual = np.zeros(kept.shape)
        dual[which, row] = -found.ineqlin.marginals
        along, _, above, on, off = np.moveaxis(dual[:, : 5 * m].reshape(count, 5, m), 1, 0)
        flat = np.maximum(found.lower.marginals.reshape(count, columns)[:, q:-1], 0.0)
        M = along - above + np.where(signs == 0, flat, 0.0)
        with np.errstate(all="ignore"):
            slopes = np.nan_to_num(np.where(M > 0, (along - above * self.steep) / M, 0.0))
        slopes = np.where(signs == 0, np.clip(slopes, 0.0, 1.0), np.where(signs > 0, on, off) / self.size)
        x = found.x.reshape(count, columns)
        return x[:, -1], np.maximum(slopes, 0.0), x[:, :-1]


def middle(A: Any) -> Any:
    """The midpoints of what is enclosed."""
    return A.mid if isinstance(A, Enclosure) else A
