"""The search for a tree of cases (bounds/cases.py) whose largest bound is as small as it can be: best first.

Of the cases so far those of the largest bounds are taken. Where no known point lies in one, a linear program says
whether it is empty; else it is cut at the neuron whose sign lowers its parts' bounds most, or, where the Jacobian is
known already, at the one whose line is farthest from the program's point. It only steers: bounds here are in float64.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ... import graph
from ...arithmetic.enclosure import pieces
from ...arithmetic.float64 import Array
from ...bounds.cases import EMPTY, LEAF, SLOPES, TREE, case_masks, emptiness, interval_jacobians
from ...bounds.interval import Pair
from ...bounds.jacobian import Masks
from ...bounds.spans import size_of
from ...bounds.vanishing import vanishing
from ...machine.stopping import check
from ...network import Network
from ...problem import Problem
from .programs import LAST_ROUNDS, REFUTED, ROUNDS, Programs
from .vanishing import Vanishing

# Points of the domain that are looked at; cases whose programs are solved together.
SAMPLES, SEED, TOGETHER = 4096, 0, 16
# A Jacobian known so well, relative to its bound, gains nothing by cuts; what a point may be off its case's lines.
KNOWN, LEAST_OFF = 1e-9, 1e-9
LEAST_TAU = 1e-6  # of points that are looked at: at 0 signs meet that meet nowhere else
AT_ONCE = 2**18  # numbers that an array takes of many cases
LEAST_GAIN = 1e-6  # of a part that a cut lowers by nothing, in units of the bound


@dataclass
class _Node:
    """A case: its signs (w,), about its bound, and what is known of it; its parts once it is cut."""

    signs: Array
    bound: float
    spread: float  # how much of its bound is that the Jacobian is not known
    is_met: bool = False  # a known point is in it
    off: Array | None = None  # how far a program's point is off its lines
    slopes: Array | None = None  # of an empty one
    cut: int = LEAF
    parts: tuple[_Node, ...] = ()


@dataclass
class Search:
    """A tree of cases, and what comes next.

    Args:
        net: piecewise linear.
        problem: local.
        free, on, off, bounds: as `cases_constant` takes them.
        points: (k, p_0) points of the domain that are known.
        inputs: on a face of the cone (bounds/faces.py) how many of the network's inputs x has, another being tau; None:
            of a domain.

    Attributes:
        patterns, points: (k, w) int8 the different signs that are known, and (k, p_0) a point of each.
    """

    net: Network
    problem: Problem
    free: Array
    on: Masks
    off: Masks
    bounds: list[Pair]
    points: Array
    inputs: int | None = None
    nodes: int = 1
    reached: float = 0.0  # the largest bound of a case that cannot be lowered
    _ahead: list[tuple[float, int, _Node]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.programs = Programs(self.net, self.problem, self.bounds)
        self.vanishing = None if self.inputs is None else Vanishing(self.net, self.inputs, self.bounds)
        self.patterns = np.zeros((0, self.programs.width), dtype=np.int8)
        points, self.points = self.points, self.points[:0]
        self._see(np.vstack([points, self._sample()]))
        signs = np.zeros((1, self.programs.width), dtype=np.int8)
        (bound,), (spread,) = self._about(signs)
        self.root = _Node(signs[0], float(bound), float(spread), is_met=True)
        self._ahead = [(-self.root.bound, 0, self.root)]

    @property
    def ahead(self) -> float:
        """About the largest bound of a case that may be lowered."""
        return -self._ahead[0][0] if self._ahead else 0.0

    @property
    def bound(self) -> float:
        """About the largest of the cases' bounds."""
        return max(self.reached, self.ahead)

    def run(self, goal: float, most: int, is_over: Callable[[], bool]) -> bool:
        """Cut until no bound exceeds `goal` but of cases that cannot be lowered; False: that takes too much.

        Args:
            goal: a bound that is low enough.
            most: nodes that the tree may have.
            is_over: whether it has taken too long.
        """
        while self._ahead and -self._ahead[0][0] > max(goal, self.reached):
            check()
            if self.nodes >= most or is_over():
                return False
            least, taken = max(goal, self.reached), list[_Node]()
            while len(taken) < TOGETHER and self._ahead and -self._ahead[0][0] > least:
                taken.append(heapq.heappop(self._ahead)[2])
            self._look(taken)
            self._cut([node for node in taken if node.slopes is None], least)
        return True

    def entries(self) -> dict[str, Array]:
        """What a certificate has of it."""
        tree, slopes = self.tree()
        return {TREE: tree, SLOPES: slopes}

    def tree(self) -> tuple[Array, Array]:
        """The nodes in preorder, and the slopes of the empty ones."""
        nodes, slopes, ahead = [], [], [self.root]
        while ahead:
            node = ahead.pop()
            nodes.append(EMPTY if node.slopes is not None else node.cut)
            if node.slopes is not None:
                slopes.append(node.slopes)
            ahead += node.parts[::-1]
        return np.array(nodes, dtype=np.int64), np.array(slopes).reshape(-1, self.programs.width)

    def _look(self, nodes: list[_Node], rounds: int = ROUNDS) -> None:
        """Find out which cases are empty."""
        for node in nodes:
            has = node.signs != 0
            node.is_met = node.is_met or bool((self.patterns[:, has] == node.signs[has]).all(axis=1).any())
        asked = [node for node in nodes if not node.is_met]
        if not asked:
            return
        signs = np.array([node.signs for node in asked])
        found = self.programs.solve(signs, rounds)
        is_empty = found.tau > REFUTED
        proved = emptiness(self.net, self.problem, self.bounds, signs[is_empty], found.slopes[is_empty])
        is_empty[is_empty] = proved > 0.5 * REFUTED
        domain = self.problem.domain
        x = np.tile(domain.center, (len(asked), 1))
        x[:, self.programs.free] += domain.radius[self.programs.free] * self._within(found.xi)
        if self.vanishing is not None:
            is_near = (x[:, self.inputs :] <= LEAST_TAU).all(axis=1) & (found.tau > -REFUTED)
            for k in np.flatnonzero(is_near & ~is_empty).tolist():
                is_empty[k] = self._vanishes(signs[k], found.slopes[k])
        for k, node in enumerate(asked):
            node.slopes, node.off = found.slopes[k] if is_empty[k] else None, found.off[k]
        self._see(x[~is_empty])

    def _vanishes(self, signs: Array, slopes: Array) -> bool:
        """Whether a case (w,) is found to close at infinity, which the `slopes` then prove."""
        assert self.vanishing is not None and self.inputs is not None
        lines = self.vanishing.slopes(signs)
        if lines is None or not vanishing(self.net, self.inputs, self.bounds, signs[None], lines[None])[0]:
            return False
        slopes[:] = lines
        return True

    def _cut(self, nodes: list[_Node], goal: float) -> None:
        """Cut cases in two; of those whose bounds cannot be lowered the largest is what is reached."""
        open_ = self.programs.open
        left = [(node, open_[node.signs[open_] == 0]) for node in nodes]
        for node, candidates in left:
            if node.spread <= KNOWN * node.bound or not len(candidates):
                self._cut_known(node)
        left = [(node, some) for node, some in left if node.spread > KNOWN * node.bound and len(some)]
        if not left:
            return
        tried = []
        for node, candidates in left:
            signs = np.repeat(node.signs[None], 2 * len(candidates), axis=0).reshape(2, len(candidates), -1)
            signs[0, np.arange(len(candidates)), candidates] = 1
            signs[1, np.arange(len(candidates)), candidates] = -1
            tried.append(signs.reshape(-1, len(node.signs)))
        bounds, spreads = self._about(np.concatenate(tried))
        ends = np.cumsum([len(signs) for signs in tried])[:-1]
        each = zip(left, np.split(bounds, ends), np.split(spreads, ends), strict=True)
        for (node, candidates), flat, spread in each:
            own = flat.reshape(2, -1)
            gain = np.clip(node.bound - own, LEAST_GAIN * node.bound, max(node.bound - goal, LEAST_GAIN * node.bound))
            best = int((gain[0] * gain[1]).argmax())
            self._part(node, int(candidates[best]), own[:, best], spread.reshape(2, -1)[:, best])

    def _cut_known(self, node: _Node) -> None:
        """The same of a case whose Jacobian is known: it is cut where it may be empty, if not empty after all."""
        if self._is_last(node):
            self._look([node], LAST_ROUNDS)
        if node.slopes is not None:
            return
        if node.off is None or self._is_last(node):
            self.reached = max(self.reached, node.bound)
        else:
            self._part(node, int(node.off.argmax()), np.full(2, node.bound), np.full(2, node.spread))

    def _part(self, node: _Node, cut: int, bounds: Array, spreads: Array) -> None:
        parts = []
        for sign, bound, spread in zip((1, -1), bounds, spreads, strict=True):
            own = node.signs.copy()
            own[cut] = sign
            parts.append(_Node(own, float(min(bound, node.bound)), float(spread)))
            heapq.heappush(self._ahead, (-parts[-1].bound, self.nodes, parts[-1]))
            self.nodes += 1
        node.cut, node.parts = cut, (parts[0], parts[1])

    @staticmethod
    def _is_last(node: _Node) -> bool:
        """Whether no cut is known that could lower the bound of a case whose Jacobian is known."""
        return node.is_met or node.off is None or bool(node.off.max(initial=0.0) <= LEAST_OFF)

    def _about(self, signs: Array) -> tuple[Array, Array]:
        """(n,) about the bounds of cases (n, w), and how much of them is that the Jacobian is not known."""
        widest = max(len(self.net.widths), *self.net.widths)
        entries = widest * (len(self.free) + len(np.atleast_2d(self.problem.coefficients)))
        found = [self._about_some(signs[some]) for some in pieces((len(signs), entries), AT_ONCE)]
        bounds, spreads = zip(*found, strict=True)
        return np.concatenate(bounds), np.concatenate(spreads)

    def _about_some(self, signs: Array) -> tuple[Array, Array]:
        """(n,) about the bounds of cases (n, w), and how much of them is that the Jacobian is not known."""
        masks = case_masks(self.net, self.on, self.off, signs)
        low, high = interval_jacobians(self.net, self.problem, self.free, *masks)
        half = 0.5 * (high - low)
        spread = half.max(axis=(1, 2), initial=0.0)
        size, norm = size_of((low, high)), self.problem.norm
        if not self.problem.is_vector:
            order = {"inf": 1, 2: 2, 1: np.inf}[norm]
            return np.linalg.norm(size[:, 0], order, axis=1), spread
        if norm == 1 or self.problem.output_norm == "inf":
            of_columns = norm == 1
            order = {"inf": 1, 2: 2, 1: np.inf}[norm]
            order = {"inf": np.inf, 2: 2, 1: 1}[self.problem.output_norm] if of_columns else order
            return np.linalg.norm(size, order, axis=1 if of_columns else 2).max(axis=1), spread
        whole = np.linalg.norm(0.5 * (low + high), 2, axis=(1, 2)) + np.linalg.norm(half, 2, axis=(1, 2))
        return np.minimum(whole, np.linalg.norm(size, 2, axis=(1, 2))), spread

    def _see(self, x: Array) -> None:
        """Know the signs at points (n, p_0), too."""
        if self.inputs is not None:
            x[:, self.inputs :] = np.maximum(x[:, self.inputs :], LEAST_TAU)
        found = graph.switches(self.net.layers[:-1], x)
        on = np.concatenate([found[k - 1] for k in graph.sources(self.net.layers)], axis=1)
        patterns, points = np.vstack([self.patterns, np.where(on, 1, -1)]), np.vstack([self.points, x])
        _, first = np.unique(patterns, axis=0, return_index=True)
        self.patterns, self.points = patterns[first].astype(np.int8), points[first]

    def _sample(self) -> Array:
        """(n, p_0) points of the domain, corners and faces among them."""
        domain, rng = self.problem.domain, np.random.default_rng(SEED)
        xi = rng.uniform(-1.0, 1.0, (SAMPLES, len(domain.center)))
        xi = np.where(np.abs(xi) > rng.uniform(0.0, 1.0, (SAMPLES, 1)), np.sign(xi), xi)
        return domain.center + domain.radius * self._within(xi)

    def _within(self, xi: Array) -> Array:
        """(n, q) points of the box, in units of the domain, drawn into the ball: programs know it by planes alone."""
        shape = self.problem.domain.shape
        if shape == "inf":
            return xi
        return xi / np.maximum(np.linalg.norm(xi, 2.0 if shape == 2 else 1.0, axis=1, keepdims=True), 1.0)
