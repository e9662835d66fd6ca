"""The search for parts of a domain that make a layer's bounds tight (bounds/splits.py). It only steers.

Of every target the part with the least bound is cut in two at the neuron whose line is farthest from it, until that
bound is attained. A linear program each says how low a part's bound is and proves it: its dual has the slopes and what
signs add. Programs of one round are one program of blocks that share nothing. A ball is taken for its box.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...machine.stopping import check
from ...network import Network
from ...problem import Problem
from ..interval import Pair

# Parts of a target, and programs of a layer, at most; programs that are solved as one.
MOST_PARTS, MOST_PROGRAMS, TOGETHER = 32, 1200, 24
# Below this share of the targets' scale nothing is left to be gained.
LEAST = 1e-6
# What a sign may cost, in units of a target: where no point has a part's signs, its bound is as high as that.
PENALTY = 1e3


@dataclass
class _Part:
    """A part of a target: its signs (w,), and what its program found."""

    target: int
    signs: Array
    value: float = -np.inf
    slopes: Array = field(default_factory=lambda: np.zeros(0))
    split: int = -1  # the neuron to cut it at; -1: the bound is attained


def find_parts(
    net: Network, problem: Problem, l: int, bounds: Sequence[Pair], pair: Pair, end: float | None
) -> Array | None:
    """Rows of parts for the bounds of layer l, of its neurons that `pair` leaves undecided; None where none help.

    Args:
        net: a chain.
        problem: a local problem.
        l: the layer, from 2.
        bounds: proved bounds of the layers before.
        pair: proved bounds of this one.
        end: when to stop; None: no limit.
    """
    undecided = (pair[0] < 0) & (pair[1] > 0)
    targets = np.flatnonzero(np.tile(undecided, 2))
    if end is not None and time.monotonic() >= end:  # the first round of programs is as long as all lines took
        return None
    program = _Program(net, problem, l, bounds)
    if not len(targets) or not len(program.neurons):
        return None
    known = np.concatenate([pair[0], -pair[1]])
    leaves: dict[int, list[_Part]] = {}
    highest = np.full(2 * net.widths[l], np.inf)  # attained values
    new = [_Part(int(i), np.zeros(len(program.neurons), dtype=np.int64)) for i in targets]
    solved = 0
    while new:
        for start in range(0, len(new), TOGETHER):
            check()
            program.solve(new[start : start + TOGETHER], highest)
        solved += len(new)
        for part in new:
            leaves.setdefault(part.target, []).append(part)
        new = []
        if solved >= MOST_PROGRAMS or (end is not None and time.monotonic() >= end):
            break
        for i, own in leaves.items():
            worst = min(range(len(own)), key=lambda k: own[k].value)
            part, enough = own[worst], min(highest[i] - LEAST * program.size[i], 0.0)
            # a neuron that is always on needs no bound
            if part.split < 0 or part.value >= enough or len(own) >= MOST_PARTS:
                continue
            own.pop(worst)
            for sign in (1, -1):
                signs = part.signs.copy()
                signs[part.split] = sign
                new.append(_Part(i, signs))
    rows = [
        np.concatenate([[i], program.spread(part.signs), program.spread(part.slopes)])
        for i, own in sorted(leaves.items())
        if len(own) > 1 and min(part.value for part in own) > known[i] + LEAST * program.size[i]
        for part in own
    ]
    return np.array(rows, dtype=np.float64) if rows else None


class _Program:
    """min of a target over xi in [-1, 1] and x of the undecided neurons before a layer, between their lines.

    Attributes:
        neurons: (m,) the undecided ones, among those of all layers before, one layer behind the other.
        size: (2 p,) of the targets, the sum of their coefficients.
    """

    def __init__(self, net: Network, problem: Problem, l: int, bounds: Sequence[Pair]):
        self.net, self.bounds, self.l = net, bounds, l
        center, radius = problem.domain.center, problem.domain.radius
        low, high = (np.concatenate(side) for side in zip(*bounds[: l - 1], strict=True))
        self.width = len(low)
        self.neurons = np.flatnonzero((low < 0) & (high > 0))
        self.low, self.high = low[self.neurons], high[self.neurons]
        self.q, self.m = len(center), len(self.neurons)
        # everything as rows over (1, xi, ReLU of the undecided neurons)
        size = 1 + self.q + self.m
        y = np.hstack([center[:, None], np.diag(radius), np.zeros((self.q, self.m))])
        z_of, at = [], 0
        for k in range(1, l + 1):
            z = net.weights[k - 1] @ y
            z[:, 0] += net.biases[k - 1]
            z_of.append(z)
            if k == l:
                break
            below, above = bounds[k - 1]
            y = np.where((below >= 0)[:, None], z, 0.0)
            here = np.flatnonzero((below < 0) & (above > 0))
            y[here, 1 + self.q + at + np.arange(len(here))] = 1.0
            at += len(here)
        self.z = np.concatenate(z_of[:-1])[self.neurons] if self.m else np.zeros((0, size))
        self.targets = np.vstack([z_of[-1], -z_of[-1]])
        self.size = np.abs(self.targets[:, 1:]).sum(axis=1)
        self.steep = self.high / (self.high - self.low)
        # (columns without the constant, and tau's) <= right:  z - y, y - s z, y - z - tau, -y - tau and y, z - tau
        of_y = np.hstack([np.zeros((self.m, self.q)), np.eye(self.m)])
        z, tau = self.z[:, 1:], np.ones((self.m, 1))
        none = np.zeros((self.m, 1))
        self.rows = sp.csr_matrix(np.vstack([
            np.hstack([z - of_y, none]), np.hstack([of_y - self.steep[:, None] * z, none]),
            np.hstack([of_y - z, none]), np.hstack([-of_y, -tau]), np.hstack([z, -tau]),
        ]))  # fmt: skip
        constant = self.z[:, 0]
        self.right = np.concatenate([
            -constant, self.steep * (constant - self.low), constant, np.zeros(self.m), -constant,
        ])  # fmt: skip

    def spread(self, values: Array) -> Array:
        """Of the undecided neurons, as numbers of all."""
        out = np.zeros(self.width)
        out[self.neurons] = values
        return out

    def solve(self, parts: list[_Part], highest: Array) -> None:
        """Fill in what the programs of these parts find; `highest`: what targets attain, lowered by their points."""
        from scipy.optimize import linprog  # here: the slowest import, and not for those who split nothing

        m, q, count = self.m, self.q, len(parts)
        columns = q + m + 1
        signs = np.array([part.signs for part in parts])
        target = np.array([part.target for part in parts])
        scale = np.maximum(self.size[target], 1e-300)
        cost = np.hstack([self.targets[target, 1:] / scale[:, None], np.full((count, 1), PENALTY)])
        low, high = np.full((count, columns), -1.0), np.full((count, columns), 1.0)
        low[:, q:-1], high[:, q:-1] = np.where(signs > 0, -np.inf, 0.0), np.where(signs < 0, 0.0, np.inf)
        low[:, -1], high[:, -1] = 0.0, np.inf
        kept = np.hstack([signs >= 0, signs == 0, signs > 0, signs > 0, signs < 0])
        A = sp.block_diag([self.rows] * count, format="csr")[np.flatnonzero(kept.ravel())]
        b = np.tile(self.right, count)[kept.ravel()]
        found = linprog(
            cost.ravel(), A_ub=A, b_ub=b, bounds=np.column_stack([low.ravel(), high.ravel()]), method="highs"
        )
        if found.status != 0:
            return
        dual = np.zeros(kept.size)
        dual[kept.ravel()] = -found.ineqlin.marginals
        along, above, _, at_least, at_most = np.moveaxis(dual.reshape(count, 5, m), 1, 0)
        flat = np.maximum(found.lower.marginals.reshape(count, columns)[:, q:-1], 0.0)
        flat = np.where(signs == 0, flat, 0.0)
        x = found.x.reshape(count, columns)
        values = (cost * x).sum(axis=1) * scale + self.targets[target, 0]
        M = along - above + flat
        with np.errstate(all="ignore"):
            slopes = np.where(M > 0, (along - above * self.steep) / M, 0.0)
        slopes = np.clip(np.nan_to_num(slopes), 0.0, 1.0)
        slopes = np.where(signs > 0, at_least * scale[:, None], np.where(signs < 0, at_most * scale[:, None], slopes))
        points = np.hstack([np.ones((count, 1)), x[:, :q]])
        z, z_target = self._forward(points)
        own = np.where(target < z_target.shape[1], 1.0, -1.0) * z_target[np.arange(count), target % z_target.shape[1]]
        np.minimum.at(highest, target, own)
        off = np.abs(M) * np.abs(x[:, q:-1] - np.maximum(z, 0.0)) * scale[:, None]
        off = np.where(signs == 0, off, 0.0)
        worst = off.argmax(axis=1)
        for k, part in enumerate(parts):
            part.value, part.slopes = float(values[k]), slopes[k]
            part.split = int(worst[k]) if off[k, worst[k]] > 0.1 * LEAST * scale[k] else -1

    def _forward(self, points: Array) -> tuple[Array, Array]:
        """z of the undecided neurons and of the layer at points (n, 1 + q) of the box, 1 first."""
        x = np.hstack([points, np.zeros((len(points), self.m))])
        last = np.concatenate([[0], np.cumsum([
            int(((low < 0) & (high > 0)).sum()) for low, high in self.bounds[: self.l - 1]
        ])])  # fmt: skip
        z = np.zeros((len(points), self.m))
        for a, b in itertools.pairwise(last.tolist()):
            z[:, a:b] = x @ self.z[a:b].T
            x[:, 1 + self.q + a : 1 + self.q + b] = np.maximum(z[:, a:b], 0.0)
        return z, x @ self.targets[: len(self.targets) // 2].T
