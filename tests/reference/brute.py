"""The exact Lipschitz constant of tiny networks, any depth, both norms: not part of the package, shares no code of it.

    exact_constant(net, problem) = max ||gradient||_* over the linear regions that have an interior in the domain

Activation patterns are enumerated depth-first, layer by layer and neuron by neuron: inside a pattern of the
layers below, a neuron's pre-activation is affine in the input. A side of a neuron is known to be met when one of
many random points lies there; otherwise one least-distance program decides (Lawson and Hanson, *Solving Least
Squares Problems*, ch. 23: a nonnegative least-squares solve of a handful of variables). What cannot beat the best
gradient so far, whatever the undecided neurons do, is not entered: `_table`.

Float64, not rigorous: regions thinner than MARGIN (in units of the domain) are missed, the norm is good to 1e-12.
"""

from dataclasses import dataclass, field
from itertools import product

import numpy as np
from scipy.optimize import linprog, nnls

from hr2jax import Network
from hr2jax.problem import Problem

MARGIN = 1e-7  # in units of the domain: the half-widths, the radius, or the hyperplanes' distances (global)
SAMPLES = 4096
WIDEST = 12
TABLE = 2**17  # the most gradients at once


class TooManyRegionsError(RuntimeError):
    """The network is not tiny."""

def exact_constant(net: Network, problem: Problem, *, programs: int = 400_000, seed: int = 0) -> float:
    """The largest dual norm of the gradient over the free inputs, over regions with an interior.

    Args:
        net: hidden widths up to WIDEST.
        problem: norm inf or 2; everywhere, in a box, or in a Euclidean ball.
        programs: how many least-distance programs to solve before giving up.
        seed: of the random points; the answer does not depend on it.

    Raises:
        TooManyRegionsError: `programs` were not enough.
    """
    if max(net.widths[1:-1]) > WIDEST:
        raise TooManyRegionsError(f"hidden widths up to {WIDEST} are enumerated, not {net.widths}")
    return _Enumeration(net, problem, programs, np.random.default_rng(seed)).run()


@dataclass
class _Enumeration:
    net: Network
    problem: Problem
    programs: int
    rng: np.random.Generator
    best: float = 0.0
    solved: int = 0
    nodes: int = 0
    points: list = field(default_factory=list)

    def __post_init__(self):
        net, problem = self.net, self.problem
        self.A = [A.astype(float) for A in net.weights[:-1]]
        self.b = list(net.biases[:-1])
        self.c = problem.coefficients @ net.weights[-1]
        if not problem.is_local:
            self.kind, self.center = "all", np.zeros(net.widths[0])
            free = np.arange(net.widths[0])
            far = [np.abs(b).max() / np.median(size[size > 0])
                   for A, b in zip(self.A, self.b, strict=True)
                   if (size := np.linalg.norm(A, axis=1)).any()]  # fmt: skip
            size = max([f for f in far if f > 0], default=1.0)
            self.scale = np.full(len(free), size)
        else:
            self.kind = {"inf": "box", 2: "ball"}[problem.domain.shape]
            free = np.flatnonzero(problem.domain.radius > 0)
            self.center, self.scale = problem.domain.center, problem.domain.radius[free]
        self.free, self.n, self.L = free, len(free), len(self.A)
        self._vectors_above()

    def run(self):
        p = sum(A.shape[0] for A in self.A)
        self.G, self.h = np.zeros((p, self.n)), np.zeros(p)
        self._sample()
        start = np.zeros((len(self.scale), self.net.widths[0])).T
        start[self.free, np.arange(self.n)] = self.scale
        self._enter(0, start, self.center, 0, np.arange(len(self.signs[0])))
        return self.best

    # What the layers above can do --------------------------------------------------------------------

    def _vectors_above(self):
        """Per layer k: all a = A_{k+1}^T D_{k+1} ... D_L c, or None where too many; and their box."""
        S, lo, hi = self.c[None], self.c, self.c
        self.above, self.lo, self.hi = [S], [lo], [hi]
        for A in self.A[:0:-1]:
            p = A.shape[0]
            if S is not None and len(S) * 2**p <= TABLE:
                S = np.unique(((_patterns(p)[:, None] * S[None]).reshape(-1, p)) @ A, axis=0)
                lo, hi = S.min(axis=0), S.max(axis=0)
            else:
                S = None
                lo, hi = np.minimum(lo, 0.0), np.maximum(hi, 0.0)
                up, down = np.maximum(A, 0.0), np.minimum(A, 0.0)
                lo, hi = lo @ up + hi @ down, hi @ up + lo @ down
            self.above.insert(0, S)
            self.lo.insert(0, lo)
            self.hi.insert(0, hi)

    def _table(self, k, R, allowed):
        """(2, ..., 2): per pattern of layer k, what the gradient's norm cannot exceed; R = J^T A_k^T (n, p_k)."""
        p = R.shape[1]
        patterns = allowed.astype(float)
        S = self.above[k]
        if S is not None and len(S) * len(patterns) <= TABLE:
            values = np.empty(len(patterns))
            block = max(1, 2**21 // (len(S) * self.n))
            for i in range(0, len(patterns), block):
                g = (patterns[i : i + block, None, :] * R) @ S.T
                values[i : i + block] = self._norm(g, 1).max(axis=1)
        elif k + 1 < self.L and len(patterns) * 2 ** self.A[k + 1].shape[0] <= TABLE:
            # the pattern of layer k + 1 as well, and the box of what is above that
            above = _patterns(self.A[k + 1].shape[0])
            mid, rad = (self.lo[k + 1] + self.hi[k + 1]) / 2, (self.hi[k + 1] - self.lo[k + 1]) / 2
            values = np.empty(len(patterns))
            for i, pattern in enumerate(patterns):
                Q = (R * pattern) @ self.A[k + 1].T
                values[i] = self._norm(np.abs((above * mid) @ Q.T) + (above * rad) @ np.abs(Q).T, 1).max()
        else:
            up, down = np.maximum(R, 0.0), np.minimum(R, 0.0)
            most = (up * self.hi[k] + down * self.lo[k]) @ patterns.T
            least = (up * self.lo[k] + down * self.hi[k]) @ patterns.T
            values = self._norm(np.maximum(np.abs(most), np.abs(least)), 0)
        table = np.full((2,) * p, -1.0)
        table[tuple(allowed.T.astype(int))] = values
        return table

    def _norm(self, g, axis):
        if self.problem.norm == 1:
            return np.abs(g).max(axis=axis)
        return np.abs(g).sum(axis=axis) if self.problem.norm == "inf" else np.sqrt((g * g).sum(axis=axis))

    # Points -------------------------------------------------------------------------------------------

    def _sample(self):
        y = self.rng.standard_normal((SAMPLES, self.n))
        if self.kind == "box":
            y = self.rng.uniform(-1, 1, y.shape)
        elif self.kind == "ball":
            y *= (self.rng.random((SAMPLES, 1)) ** (1 / self.n)) / np.linalg.norm(y, axis=1, keepdims=True)
        else:
            y *= 10.0 ** self.rng.uniform(-1.5, 2.0, (SAMPLES, 1))
        self.signs = [np.zeros((0, A.shape[0]), dtype=bool) for A in self.A]
        self._add_points(y)
        g = np.broadcast_to(self.c, self.signs[-1].shape)
        for A, on in zip(self.A[::-1], self.signs[::-1], strict=True):
            g = (g * on) @ A
        self.best = float(self._norm(g[:, self.free], 1).max())

    def _add_points(self, y):
        x = np.tile(self.center, (len(y), 1))
        x[:, self.free] += self.scale * y
        for k, (A, b) in enumerate(zip(self.A, self.b, strict=True)):
            z = x @ A.T + b
            self.signs[k] = np.concatenate([self.signs[k], z > 0])
            x = np.maximum(z, 0.0)
        return len(self.signs[0]) - 1

    # The tree -----------------------------------------------------------------------------------------

    def _enter(self, k, J, value, q, members):
        """Layers below k are decided: x_k = J y + value, J (p_k, n); q rows of G hold; members: points inside."""
        W, w = self.A[k] @ J, self.A[k] @ value + self.b[k]
        size = np.linalg.norm(W, axis=1)
        constant = size <= 1e-12 * (np.abs(self.A[k]) @ np.linalg.norm(J, axis=1) + 1e-300)
        rise = np.abs(W).sum(axis=1) if self.kind == "box" else size if self.kind == "ball" else np.full(len(w), np.inf)
        rise = np.where(constant, 0.0, rise)
        sides = []
        for i in range(len(w)):
            if constant[i]:
                sides.append((bool(w[i] > 0),))
            else:
                sides.append(tuple(side for side in (False, True) if (w[i] if side else -w[i]) + rise[i] > 0))
        allowed = np.array(list(product(*sides)), dtype=bool).reshape(-1, len(w))
        R = (J / self.scale).T @ self.A[k].T
        table = self._table(k, R, allowed)
        if table.max() <= self.best * (1 + 1e-12):
            return
        size = np.where(constant, 1.0, size)
        self._layer(k, J, value, q, members, table, 0, W, w, W / size[:, None], w / size, constant, [])

    def _layer(self, k, J, value, q, members, table, i, W, w, rows, offsets, constant, pattern):
        """Neuron i of layer k and those after it; table: the bounds of the patterns that are left."""
        self.nodes += 1
        if i == len(w):
            if k + 1 == self.L:
                self.best = max(self.best, float(table))
                return
            on = np.array(pattern)
            self._enter(k + 1, W * on[:, None], w * on, q, members)
            return
        rest = (k, J, value)
        tail = (i + 1, W, w, rows, offsets, constant)
        for side in (0, 1) if table[0].max() > table[1].max() else (1, 0):
            part = table[side]
            if part.max() <= self.best * (1 + 1e-12):
                continue
            if constant[i]:
                self._layer(*rest, q, members, part, *tail, [*pattern, side])
                continue
            sign = 1.0 if side else -1.0
            self.G[q], self.h[q] = sign * rows[i], sign * offsets[i]
            inside = members[self.signs[k][members, i] == bool(side)]
            if not len(inside):
                y = self._least(self.G[: q + 1], self.h[: q + 1])
                if y is None:
                    continue
                inside = np.array([self._add_points(y[None])])
            self._layer(*rest, q + 1, inside, part, *tail, [*pattern, side])

    def _least(self, G, h):
        """The least-norm y of the domain with G y + h >= MARGIN, or None."""
        self.solved += 1
        if self.solved > self.programs:
            raise TooManyRegionsError(f"{self.programs} programs were not enough for {self.net!r}")
        G_all, h_all = G, h - MARGIN
        if self.kind == "box":
            G_all = np.vstack([G, np.eye(self.n), -np.eye(self.n)])
            h_all = np.concatenate([h - MARGIN, np.ones(2 * self.n)])
        E = np.vstack([G_all.T, -h_all])
        f = np.zeros(self.n + 1)
        f[-1] = 1.0
        try:
            u, _ = nnls(E, f)
        except RuntimeError:
            return self._deepest(G, h)
        r = E @ u - f
        if -r[-1] < 1e-12:
            return None
        y = -r[:-1] / r[-1]
        if self.kind == "ball" and np.linalg.norm(y) > 1.0 - MARGIN / 2:
            return None
        if (G @ y + h < MARGIN / 2).any() or (self.kind == "box" and (np.abs(y) > 1 + MARGIN / 2).any()):
            # inconsistent but for rounding, or far away
            return self._deepest(G, h) if self.kind != "ball" and -r[-1] > 1e-11 else None
        return np.clip(y, -1.0, 1.0) if self.kind == "box" else y

    def _deepest(self, G, h):
        """The same by a linear program (box and global)."""
        limit = (-1.0, 1.0) if self.kind != "all" else (None, None)
        found = linprog(np.append(np.zeros(self.n), -1.0), A_ub=np.column_stack([-G, np.ones(len(G))]), b_ub=h,
                        bounds=[limit] * self.n + [(None, 1.0)])  # fmt: skip
        if found.status != 0 or found.x[-1] < MARGIN or (G @ found.x[:-1] + h < MARGIN / 2).any():
            return None
        y = found.x[:-1]
        return None if self.kind == "ball" and np.linalg.norm(y) > 1 else y


def _patterns(p):
    return np.array(list(product((0.0, 1.0), repeat=p))).reshape(-1, p)
