"""A problem's sizes, which decide how much memory an engine needs (each kind of engines has a memory.py)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ..graph import Structure
from ..network import Network
from ..problem import Problem, checked_problem
from ..relaxation.basis import Lifting
from ..relaxation.lifting import is_tensored, lift
from ..relaxation.presolve import Presolve, presolve


@dataclass(frozen=True)
class Sizes:
    """What decides the size of a problem.

    Attributes:
        n: neurons with a variable.
        q: inputs that can move.
        pairs: cliques {u_i, t_i}.
        local: whether there is an x: a ball, and neurons that can switch.
        masked: variables behind masks (several hidden layers).
        derived: rows of derived groups (several hidden layers).
        depth: hidden layers.
        blocks: whether there are block forms: one hidden layer, norm inf, no ball, one output.
        outputs: s's entries, where f has several values.
        directions: t's entries; None: q.
    """

    n: int
    q: int
    pairs: int
    local: bool
    masked: int = 0
    derived: int = 0
    depth: int = 1
    blocks: bool = True
    outputs: int = 0
    directions: int | None = None

    @staticmethod
    def of(problem: Problem, fixed: Presolve) -> Sizes:
        """Sizes of a presolved problem."""
        n, structure = fixed.switching, fixed.structure
        outputs = len(problem.coefficients) if problem.is_vector else 0
        along = fixed.directions if problem.has_t else fixed.directions[:0]
        is_own = problem.directions is not None or fixed.section is not None
        directions = len(along) if is_own else None
        pairs = sum(len(np.intersect1d(fixed.members(l), along)) for l in structure.first)
        if problem.quantity == "maximum" or fixed.chains == ("q",):
            smooth, is_maximum = sum(len(fixed.members(l)) for l in fixed.ranges), problem.quantity == "maximum"
            signs, derived = (n - smooth, n + 3 * smooth) if is_maximum else (0, n)
            return Sizes(signs, len(fixed.free), 0, False, n, derived, fixed.depth, False, outputs, directions)
        local = fixed.has_values(problem)
        if is_tensored(problem, fixed):
            x = sum(len(fixed.members(l)) for l in fixed.of_values) if local else 0
            p = sum(len(fixed.members(l)) for l in fixed.carried(*fixed.chains))
            z = sum(len(fixed.members(l)) for l in fixed.valued) if local else 0
            if fixed.tied and local:
                e = sum(len(fixed.members(l)) for l in fixed.of_curves)
                x, z = x + e, z + 3 * e + 2 * sum(len(fixed.members(l)) for l in fixed.ranges)
            return Sizes(
                outputs * n, outputs * len(fixed.free), 0, local, p + outputs * x, p + outputs * z, fixed.depth, False,
                outputs - 1, len(along),
            )  # fmt: skip
        valued = {l: len(fixed.members(l)) for l in fixed.valued} if local else {}
        chained = sum(len(fixed.members(l)) for chain in fixed.chains for l in fixed.carried(chain))
        masked = chained + sum(valued.get(l, 0) for l in fixed.of_values)
        derived = chained + sum(valued.values()) if masked else 0
        if fixed.tied and local:  # e, with f, fa and fb; z and d
            masked += sum(len(fixed.members(l)) for l in fixed.of_curves)
            derived += sum((2 + 3 * (l in fixed.of_curves)) * len(fixed.members(l)) for l in fixed.ranges)
        if fixed.section is not None:  # one is not in the basis, and what its layer has is derived
            masked, derived = masked - 1, derived + max(valued.values())
        is_plain = structure == Structure.chain(1) and fixed.section is None and not outputs
        blocks = is_plain and problem.norm == problem.domain.shape == "inf"
        return Sizes(n, len(fixed.free), pairs, local, masked, derived, fixed.depth, blocks, outputs, directions)

    @property
    def N(self) -> int:
        """Side of M_1."""
        return 1 + self.n + self.local * self.q + self.t + self.masked + self.outputs

    @property
    def t(self) -> int:
        """t's entries."""
        return self.q if self.directions is None else self.directions

    def count(self, kind: str) -> int:
        """How many there are of a kind: "pair", the groups "v" and "z" (neurons), "t" and "xi" (inputs)."""
        if kind in ("pair", "t"):
            return self.pairs if kind == "pair" else self.t
        return self.n if kind in ("v", "z") else self.q


class Need(NamedTuple):
    """Bytes: of the process on the host, and of the engine's arrays wherever the engine runs."""

    host: float
    engine: float

    def on(self, gpu: bool) -> float:
        """Bytes of host memory."""
        return self.host + (0.0 if gpu else self.engine)


@lru_cache
def smallest_lifting(local: bool) -> Lifting:
    """One input, one neuron: whatever exists for each pair, neuron or input exists here once (`Sizes.count`)."""
    net = Network([[[1.0]], [[1.0]]], [[0.1], [0.0]])
    problem = checked_problem(net, center=[0.0], radius=1.0) if local else checked_problem(net)
    return lift(net, problem, presolve(net, problem))
