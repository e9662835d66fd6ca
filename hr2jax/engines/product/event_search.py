"""What proves event rows and clauses (relaxation/literals.py), from linear programs; it only steers.

Where masks are known z lies in a polytope's image: that of the box, each x = u z between 0, z and a line. Its dual says
which combination of z is farthest from what the moments say, and with which slopes. A ball is taken for its box.
"""

from __future__ import annotations

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.basis import ONE, XI, Group, Lifting
from ...relaxation.literals import literal_layers

SAMPLES, SEED = 4000, 0
REFUTED = 1e-7  # what a program's value must exceed, in units of z, to be more than rounding


class Polytope:
    """The linear relaxation of z and x over the domain, all neurons of `literal_layers` one behind the other.

    Attributes:
        layer, index: (w,) of each neuron, its position among those of its layer.
        z: (w, 1 + q + w) z over one, xi and x.
        low, high: (w,) z's bounds, 0 between them.
    """

    def __init__(self, lifting: Lifting):
        layers = literal_layers(lifting)
        sizes = [lifting.sizes[Group("x", l)] for l in layers]
        self.layer = np.repeat(np.array(layers, dtype=np.int64), sizes)
        self.index = np.concatenate([np.zeros(0, np.int64), *map(np.arange, sizes)])
        self.q, self.w = lifting.sizes.get(XI, 0), len(self.layer)
        starts = dict(zip(layers, (1 + self.q + np.cumsum([0, *sizes])).tolist(), strict=False))
        place = {Group("x", l): start for l, start in starts.items()} | {ONE: 0, XI: 1}
        self.z = np.zeros((self.w, 1 + self.q + self.w))
        for l, size in zip(layers, sizes, strict=True):
            rows = slice(starts[l] - 1 - self.q, starts[l] - 1 - self.q + size)
            for group, matrix in lifting.derived[Group("z", l)].items():
                self.z[rows, place[group] : place[group] + matrix.shape[1]] = matrix.mid
        own = [lifting.presolve.layers[l - 1] for l in layers]
        self.low = np.concatenate([np.zeros(0), *(np.minimum(n.low, 0.0) for n in own)])
        self.high = np.concatenate([np.zeros(0), *(np.maximum(n.high, 0.0) for n in own)])
        # z - x <= 0;  x - h (z - l) / (h - l) <= 0
        self._steep = self.high / np.where(self.high > self.low, self.high - self.low, 1.0)
        of_x = np.eye(self.w)
        self._above = self.z[:, 1:].copy()
        self._above[:, self.q :] -= of_x
        self._below = -self._steep[:, None] * self.z[:, 1:]
        self._below[:, self.q :] += of_x

    def values(self, lifting: Lifting) -> Array:
        """(samples, w) z at points of the domain, corners and faces among them."""
        rng = np.random.default_rng(SEED)
        xi = rng.uniform(-1.0, 1.0, (SAMPLES, self.q))
        xi = np.where(np.abs(xi) > rng.uniform(0.0, 1.0, (SAMPLES, 1)), np.sign(xi), xi)
        if XI in lifting.balls or lifting.norms[XI] == 1:
            power = 2.0 if lifting.norms[XI] == 2 else 1.0
            xi /= np.maximum(np.linalg.norm(xi, power, axis=1), 1.0)[:, None]
        z, x = np.zeros((SAMPLES, self.w)), np.zeros((SAMPLES, self.w))
        base = self.z[:, 0] + xi @ self.z[:, 1 : 1 + self.q].T
        for l in np.unique(self.layer):
            own = self.layer == l
            z[:, own] = base[:, own] + x @ self.z[own, 1 + self.q :].T
            x[:, own] = np.maximum(z[:, own], 0.0)
        return z

    def _solve(
        self, neurons: Array, signs: Array, rows: Array, right: Array
    ) -> tuple[float, Array, Array, Array] | None:
        """min tau of rows (r, q + w) (xi, x) - tau <= right: it, the rows' multipliers, slopes (w,), and (xi, x)."""
        from scipy.optimize import linprog  # here: the slowest import, and not for those who look for no events

        q, w = self.q, self.w
        free = np.ones(w, dtype=bool)
        free[neurons] = False
        kept = np.flatnonzero(free)
        columns = np.zeros((len(rows) + 2 * len(kept), 1))
        columns[: len(rows)] = -1.0
        A = np.hstack([np.vstack([rows, self._above[kept], self._below[kept]]), columns])
        b = np.concatenate([right, -self.z[kept, 0], self._steep[kept] * (self.z[kept, 0] - self.low[kept])])
        on, off = neurons[signs > 0], neurons[signs < 0]
        ends = np.zeros((q + w + 1, 2))
        ends[:q], ends[q:-1], ends[-1] = (-1.0, 1.0), np.column_stack([np.zeros(w), self.high]), (-2.0, 2.0)
        ends[q + off] = 0.0
        ends[q + on] = (-1.0, 1.0)
        equal = np.hstack([self._above[on], np.zeros((len(on), 1))])
        cost = np.zeros(q + w + 1)
        cost[-1] = 1.0
        found = linprog(
            cost, A_ub=A, b_ub=b, A_eq=equal if len(on) else None, b_eq=-self.z[on, 0] if len(on) else None,
            bounds=ends, method="highs",
        )  # fmt: skip
        if found.status != 0:
            return None
        dual = -found.ineqlin.marginals
        slopes = np.zeros(w)
        along, flat = dual[len(rows) : len(rows) + len(kept)], np.maximum(found.lower.marginals[q:-1][kept], 0.0)
        total = along + flat
        slopes[kept] = np.where(total > 1e-12, along / np.where(total > 1e-12, total, 1.0), 0.5)
        return float(found.x[-1]), dual[: len(rows)], np.clip(slopes, 0.0, 1.0), found.x[:-1]

    def farthest(self, neurons: Array, signs: Array, point: Array) -> tuple[Array, Array] | None:
        """The direction (2,) in which a point is farthest from where two literals hold, |c| + |s| = 1, and slopes."""
        rows = np.vstack([self.z[neurons, 1:], -self.z[neurons, 1:]])
        constant = self.z[neurons, 0]
        found = self._solve(neurons, signs, rows, np.concatenate([point - constant, constant - point]))
        if found is None or found[0] <= 0.0:
            return None
        dual = found[1]
        return np.clip(dual[2:] - dual[:2], -1.0, 1.0), found[2]

    def refuted(self, neurons: Array, signs: Array) -> tuple[Array, Array] | None:
        """Directions (k,) at least 0 whose sum of s z is below 0 where all literals hold, and slopes."""
        rows = -signs[:, None] * self.z[neurons, 1:]
        found = self._solve(neurons, signs, rows, signs * self.z[neurons, 0])
        if found is None or found[0] <= 0.0:
            return None
        return np.clip(found[1], 0.0, 1.0), found[2]

    def refuted_by_parts(
        self, neurons: Array, signs: Array, most: int
    ) -> tuple[list[int], Array, Array] | None:  # fmt: skip
        """`refuted` of the parts of which up to `most` other neurons are on and off: these, and each part's.

        Returns:
            e neurons; (2^e, k + e) directions of the others and them, and (2^e, w) slopes; part p has the i-th off
            where p has its bit. None where a part is not refuted.
        """
        extra: list[int] = []
        while True:
            every, found = np.append(neurons, np.array(extra, dtype=np.int64)), []
            for p in range(2 ** len(extra)):
                own = np.append(signs, [-1 if p >> i & 1 else 1 for i in range(len(extra))]).astype(np.int64)
                rows = -own[:, None] * self.z[every, 1:]
                one = self._solve(every, own, rows, own * self.z[every, 0])
                if one is None:
                    return None
                found.append(one)
                if one[0] <= REFUTED:
                    break
            tau, _, _, point = found[-1]
            if tau > REFUTED:
                return extra, np.clip([one[1] for one in found], 0.0, 1.0), np.array([one[2] for one in found])
            if len(extra) == most:
                return None
            x = point[self.q :]
            off = np.abs(x - np.maximum(self.z[:, 0] + self.z[:, 1:] @ point, 0.0))
            off[every] = 0.0
            if off.max(initial=0.0) <= REFUTED:  # a point that has them
                return None
            extra.append(int(off.argmax()))
