"""Cutting planes by Newton's method: `hr2+` where it is small.

Each round solves the relaxation with the cuts there are, more accurately from round to round, drops those that are
slack and adds those that the moments violate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from ...arithmetic.float64 import Array
from ...linalg.definite import cholesky
from ...machine.threads import few_threads
from ...relaxation.basis import Lifting
from ...relaxation.forms import Family
from ...relaxation.squares import SPLIT_SQUARES
from ...relaxation.triangles import TRIANGLES
from ...result import Status
from ..monitor import Monitor, Stop
from .arrays import Factored
from .circuit_cuts import circuit_pools
from .cone_cuts import pools_of
from .event_cuts import event_pools
from .exclusion_cuts import exclusion_pools
from .memory import MOST, MOST_CUTS
from .mixture_cuts import mixture_pools
from .newton import follow
from .newton_step import Problem
from .triangle_cuts import Pool, Separator
from .turned import turned

# Rounds, and the relative gap that the first are solved to: each time a share of the last one, down to the tolerance.
ROUNDS, FIRST, SHARE = 25, 0.03, 0.1
# New cuts in a round, times N, and what violates a cut.
PER_ROW, LEAST = 3, 0.005
# Of the xL lifting triangles add little to what event rows say: at most N in a round, and what improves the bound by
# less than the tolerance is not worth a round.
# On a section products of what two neurons let through say most: more of them in a round, and so many at most (abalone
# 9-16-16-1: 1.0060 of the constant with 1000 of them, 1.0017 with these and tol 2e-4).
PER_ROW_ON_SECTION, MOST_ON_SECTION = 6, 2500
# A cut is dropped where its moments are farther from 0, relative to its size, than so many times the root of what the
# central path has for the product of that and its multiplier's share of the value.
SLACK = 30.0


def solve_with_cuts(
    lifting: Lifting, families: list[Family], monitor: Monitor, cuts: tuple[str, ...],
    start: Mapping[str, Array] | None = None, iteration: int = 0,
) -> Status:  # fmt: skip
    """Solve the product form with cutting planes; every round's multipliers are offered to the certificate.

    Args:
        lifting, families: the relaxation.
        monitor: certifies, records, says when to stop.
        cuts: which cutting planes (`triangle_cuts.kinds`, relaxation/products.py's pairs, "triangles").
        start: multipliers, of which the cuts are the first ones here.
        iteration: how many another engine has reported.

    Returns:
        SOLVED when the gap is within the tolerance and no cut is violated or new ones change nothing any more.
    """
    try:
        with few_threads(lifting.size):
            # of LipSDP's lifting no cut is of t's entries
            smaller = turned(lifting, families) if lifting.presolve.chains == ("q",) else None
            if lifting.presolve.chains == ("q",):
                cuts = tuple(name for name in cuts if name == SPLIT_SQUARES)
            pools = _Cuts(lifting if smaller is None else smaller.lifting, families, cuts)
            pools.take(start or {})
            return rounds(pools.lifting, monitor, pools, iteration, None if smaller is None else smaller.diagonal)
    except Stop as stop:
        return stop.status
    except KeyboardInterrupt:
        return Status.STOPPED


class Pools(Protocol):
    """The cuts of a problem."""

    on_section: bool
    is_brief: bool

    def __len__(self) -> int:
        """How many."""

    def problem(self) -> Problem:
        """The program with them."""

    def renew(self, kept: Array, Y: Array) -> int | None:
        """Drop cuts that are not to be kept, add what Y violates; how many, or None where Y is too near singular."""


def rounds(
    lifting: Lifting, monitor: Monitor, cuts: Pools, iteration: int = 0, back: Callable[[Array], Array] | None = None
) -> Status:
    """Solve, drop and add cuts, until nothing is left to be gained; `back`: see `newton.follow`."""
    before, status = np.inf, Status.STALLED
    is_brief, improved, last = cuts.on_section or cuts.is_brief, np.inf, np.inf
    little = (1.0 if cuts.is_brief else 0.25) * monitor.tolerance
    for k in range(2 if cuts.is_brief and len(cuts) else 0, ROUNDS):  # with known cuts no coarse rounds are needed
        accuracy = max(monitor.tolerance, FIRST * SHARE**k)
        if is_brief and k > 1 and np.isfinite(improved):  # while rounds bring much, each is solved to a share of that
            accuracy = max(accuracy, min(FIRST * SHARE, SHARE * improved))
        # always from the beginning: from the last round's end it is little less far, and multipliers of cuts that
        # together are equations run away
        problem = cuts.problem()
        state = problem.begin()
        status, iteration, bound = follow(problem, state, monitor, accuracy, iteration, back)
        improved, last = (last - bound) / max(abs(bound - monitor.origin), 1e-300), bound
        left = monitor.bound - monitor.lower
        if is_brief and left <= monitor.tolerance * abs(monitor.bound - monitor.origin):
            return Status.SOLVED  # there is nothing below what is attained
        if accuracy == monitor.tolerance:
            if before - bound < little * abs(bound - monitor.origin):
                return status
            before = min(before, bound)
        slack = (state.w / problem.sizes(np.diag(state.Y)))[problem.count - len(cuts) :]
        most_slack = SLACK * np.sqrt(problem.gap(state) / (problem.parameter * abs(problem.cost(state.x))))
        added = cuts.renew(slack < most_slack, state.Y)
        if added is None:
            return Status.STALLED
        if not added and accuracy == monitor.tolerance:
            return status
    return status


class _Cuts:
    """The triangles and products in use."""

    def __init__(self, lifting: Lifting, families: list[Family], names: tuple[str, ...]):
        self.lifting, self.factored = lifting, Factored(lifting, families, pads=False)
        self.families = families
        self.on_section, self.is_brief = lifting.presolve.section is not None, lifting.presolve.with_last
        most = MOST_ON_SECTION if self.on_section else MOST_CUTS
        self.room = min(most, MOST - lifting.size - sum(f.F.rows for f in families))
        self.separator = Separator(lifting, self.factored.rows, names)
        self.triangles = Pool.empty()
        self.others: dict[str, Any] = {}
        for pools in (pools_of, event_pools, exclusion_pools, circuit_pools, mixture_pools):
            self.others |= pools(lifting, self.factored, names)
        self.position = np.zeros(self.factored.size, np.int64)
        self.position[self.factored.rows] = np.arange(lifting.size)

    def __len__(self) -> int:
        return sum(map(len, self.pools))

    @property
    def pools(self) -> list[Any]:
        """Those that there are, in the order of the multipliers."""
        return [self.triangles, *self.others.values()]

    def problem(self) -> Problem:
        """The program with the cuts in use."""
        return Problem(self.lifting, self.families, self.encoded())

    def encoded(self) -> dict[str, Array]:
        """All of them, as a certificate has them."""
        out = {}
        if len(self.triangles):
            out[TRIANGLES] = self.triangles.encoded(self.position, 1.0, every=True)
        return out | {name: pool.encoded(1.0, every=True) for name, pool in self.others.items() if len(pool)}

    def take(self, multipliers: Mapping[str, Array]) -> None:
        """Those of given multipliers that Newton's method can have as rows; of each kind the largest, if too many."""
        if TRIANGLES in multipliers:
            self.triangles = Pool.decoded(multipliers[TRIANGLES], self.factored.rows, 1.0)
            self.triangles.keep(self._has_one(self.triangles.triples))
        for name, pool in self.others.items():
            if name in multipliers:
                pool.decode(multipliers[name], 1.0)
        most = self.room // len(self.pools)
        for pool in self.pools:
            if len(pool) > most:
                pool.keep(np.sort(np.argsort(-pool.multipliers)[:most]))

    def renew(self, kept: Array, Y: Array) -> int | None:
        """Drop cuts that are not to be kept, add what Y violates; how many, or None where Y is too near singular."""
        ends = np.cumsum([len(pool) for pool in self.pools])
        for pool, which in zip(self.pools, np.split(kept, ends[:-1]), strict=True):
            pool.keep(which)
        per_row = PER_ROW_ON_SECTION if self.on_section else PER_ROW
        limit = min(per_row * self.lifting.size, (self.room - len(self)) // 3)
        if limit <= 0:
            return 0
        factor = cholesky(Y)
        if factor is None:
            return None
        V = np.tril(factor)
        gram = self.separator.gram(V)
        before, most = len(self), min(limit, self.lifting.size) if self.is_brief else limit
        for triples, pattern, values in (
            self.separator.pairs(gram, limit, LEAST), self.separator.others(gram, most, LEAST),
        ):  # fmt: skip
            kept = self._has_one(triples)
            self.triangles.add(triples[kept], pattern[kept], values[kept], self.factored.size)
        for pool in self.others.values():
            pool.separate(self.factored.extend(V), limit, LEAST)
        return len(self) - before

    def _has_one(self, triples: Array) -> Array:
        return self.lifting.square_is_one[self.position[triples]].any(axis=1)
