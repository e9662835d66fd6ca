"""Steering of the low-rank engine: a run's state, its inner minimisations, rounds that come near the optimum."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...arithmetic.float64 import Array
from ...arithmetic.midpoint import Middle
from ...certificate.lagrangian import lagrangian_matrix
from ...linalg.arrow import Arrow
from ...linalg.definite import Definite
from ...linalg.diagonal import cost, feasible, stationary, tighten
from ...machine.compile_clock import Stopwatch
from ...machine.interrupts import undisturbed
from ...machine.stopping import check
from ...relaxation.basis import Lifting
from ...relaxation.forms import Family
from ...relaxation.triangles import TRIANGLES
from ...result import Status
from ..monitor import Monitor, Stop
from ..pace import certificate_seconds
from ..scale import ABSURD, in_units, mean_diagonal, unit_rows
from .arrays import Factored
from .carried import factor_at, shortened
from .cone_cuts import ConePool, pools_of
from .host import Host
from .memory import FEW_WITH_CUTS
from .newton import affordable
from .product_cuts import ProductPool
from .program import Cuts, Step
from .schedule import Schedule, columns_for, is_small
from .triangle_cuts import Pool, Separator

# Mean gradients from which Newton's method on the diagonal is worth while.
NEAR = 1e-3
# Of a finishing round's steps, the share that steering leaves before a time limit.
SETTLING = 0.6


class Steered(NamedTuple):
    """Where a run stands after its steering rounds (`batch.steer_together`)."""

    P: Array
    multipliers: list[Array]
    sigma: float
    scale: float
    iteration: int


class Run:
    """State of one solve: the factor P, scaled multipliers, the penalties, the cuts."""

    def __init__(
        self,
        lifting: Lifting,
        families: list[Family],
        monitor: Monitor | None,
        schedule: Schedule,
        cuts: tuple[str, ...],
        seed: int,
        start: Mapping[str, Array] | None,
        pads: bool = True,
        mesh: Any = None,
    ):
        self.lifting, self.families, self.schedule, self._monitor = lifting, families, schedule, monitor
        self.factored = Factored(lifting, families, pads, mesh)
        self.separator = Separator(lifting, self.factored.rows, cuts) if cuts else None
        self.others = pools_of(lifting, self.factored, cuts) if cuts else {}  # of cuts beside triangles
        self.budget = lifting.budget if lifting.balls else None
        # whether there is another way to go on where this one stalls
        self.newton_may_follow = bool(cuts) and affordable(lifting, families, FEW_WITH_CUTS)
        self.is_small = is_small(lifting.size)
        self.accelerated, self.definite = (False, Definite) if self.is_small else _device()
        # whether inner steps may be cheaper than Newton's method on the diagonal
        self.is_patient = not self.is_small and not cuts and bool(families)
        self.rng = np.random.default_rng(seed)
        self.scale = 1.0
        self.iteration = 0
        self.gradient = np.inf
        self.seconds = 1e-6  # per inner step, measured as it runs
        # what feasible, Newton's method and the proof take, measured as it runs: N^3
        self.certifying, self.certified, self.began = certificate_seconds(lifting.size), -1, time.perf_counter()
        self.start = start or {}
        self.multipliers: list[Array] = []
        self._inners: dict[Any, Any] = {}
        self.start_cold()

    @property
    def monitor(self) -> Monitor:
        """Who certifies, records and says when to stop."""
        assert self._monitor is not None  # only `batch` steers without
        return self._monitor

    def start_cold(self) -> None:
        """A random factor, the first penalties, no multipliers."""
        self.rank = columns_for(self.lifting.size, cuts=self.separator is not None)
        self.P: Array = self.rng.standard_normal((self.factored.size, self.rank + 1))
        small = self.factored.unit[:, 0] < 1.0
        self.P[small, -1] = np.sqrt(self.rank)  # no longer than their unit
        self.sigma, self.cut_sigma = self.schedule.sigma, self.schedule.cut_sigma
        self.multipliers = [np.zeros_like(values) for values in self.multipliers]
        self.before: list[Array] = []
        self.rounds = 0
        self.pool = Pool.empty()
        for other in self.others.values():
            other.clear()
        self.is_warm = self.is_known = False

    def shapes(self) -> Any:
        """Equal for problems that may be steered together."""
        return self.factored.spec, tuple(m.shape for m in self.multipliers), bool(self.families)

    def steered(self) -> Steered:
        """Where it stands, for a run of the same problem to go on from."""
        return Steered(self.P, self.multipliers, self.sigma, self.scale, self.iteration)

    def steer(self, steered: Steered | None = None, V: Array | None = None) -> None:
        """Come near the optimum, or go on from where that was done, or from a factor V (N, r) of moments near it."""
        dtype = np.float64 if self.is_small else np.float32
        if V is not None:
            self.P = factor_at(V, self.factored, self.rank, self.rng)
            self.rank = self.P.shape[1] - 1
        elif steered is None:
            self.bulk(dtype)
        else:
            self.P, self.multipliers, self.sigma, self.scale, self.iteration = steered
            self._inners = {}
        if self.separator is not None:
            self.steer_cuts(dtype)

    def scale_objective(self) -> None:
        """Work in units in which the mean entry of the diagonal is about 1; take the start's multipliers over."""
        attained = 0.0
        if self._monitor is not None and self._monitor.lower > 0:
            # between what is attained and what intervals prove; not far from the first, which is often the nearer
            attained = min(np.sqrt(self._monitor.lower * self._monitor.baseline), 3.0 * self._monitor.lower)
        self.scale = mean_diagonal(self.lifting, self.rng, attained)
        self._inners = {}
        factored = self.factored

        def begin(family: Family, row_scale: Array) -> Array:
            zero = np.zeros(family.shape)
            with np.errstate(over="ignore"):
                scaled = self.start.get(family.name, zero) / (self.scale * row_scale)
            return scaled if np.abs(scaled).max(initial=0.0) < ABSURD else zero

        self.multipliers = [
            factored.stack([begin(f, r) for f, r in zip(stack, scales, strict=True)])
            for stack, scales in zip(factored.stacks, factored.row_scales, strict=True)
        ]
        # with cuts, multipliers without theirs are no good start: the cuts will change them all
        self.is_warm = self.separator is None and any(family.name in self.start for family in self.families)
        if self.separator is not None and TRIANGLES in self.start:
            with np.errstate(over="ignore"):
                pool = Pool.decoded(self.start[TRIANGLES], self.factored.rows, self.scale)
            if len(pool) and pool.multipliers.max(initial=0.0) < ABSURD:
                self.pool, self.is_warm = pool, True
        for name, other in self.others.items():
            if name in self.start:
                other.decode(self.start[name], self.scale)
                if other.multipliers.max(initial=0.0) < ABSURD:
                    self.is_warm = True
                else:
                    other.clear()

    def bulk(self, dtype: Any) -> None:
        """Rounds of falling inner tolerance and growing penalty; from given multipliers the last few are enough.

        A loosely solved first round would undo those: its steps of the multipliers are as large as they are.
        """
        for tolerance, steps in self.bulk_rounds():
            if self.minimise(dtype, tolerance, steps):
                self.sigma *= self.schedule.growth
            self.monitor.report(self.iteration, float("nan"), self.gradient)

    def bulk_rounds(self) -> list[tuple[float, int]]:
        """The inner tolerance and the most inner steps of each."""
        rounds = self.schedule.bulk_rounds if self.families else 1
        steps = self.schedule.bulk_steps if self.families else 300
        first, last = 0, rounds if self.separator is None else min(rounds, self.schedule.base_rounds)
        if self.is_warm:
            first, last = max(rounds - self.schedule.warm_rounds, 0), rounds
            steps = self.schedule.finish_steps
        return [(10 ** (-2 - k / max(rounds - 1, 1)), steps) for k in range(first, last)]

    def steer_cuts(self, dtype: Any) -> None:
        """Rounds that add pairs of factors, then rounds that add triangles too."""
        schedule = self.schedule
        pairs, rounds = schedule.pair_rounds, schedule.pair_rounds + schedule.triangle_rounds
        if self.is_warm:
            self.cut_sigma *= schedule.pair_growth**pairs
        for k in range(rounds - schedule.warm_rounds if self.is_warm else 0, rounds):
            late = (k - pairs) / max(schedule.triangle_rounds, 1)
            if k < pairs:
                tolerance, least = 10 ** (-2 - k / 12), 0.02
            else:
                tolerance, least = 10 ** (-2.3 - 0.7 * late), 0.1 * 0.8 ** (k - pairs)
            if self.is_late():
                return
            if k == pairs and not self.is_small:
                self.first_certificate(dtype)
            added = self.separate(triangles=k >= pairs, least=least)
            if self.minimise(dtype, tolerance, schedule.cut_steps):
                self.cut_sigma *= schedule.pair_growth if k < pairs else schedule.triangle_growth
            self.monitor.report(self.iteration, float("nan"), self.gradient)
            if not added and k >= pairs and not any(map(len, self.pools)):
                return

    def is_late(self) -> bool:
        """Whether no more time is left than a finishing round and its certificate may need."""
        return self.monitor.remaining(self.certifying) < SETTLING * self.schedule.finish_steps * self.seconds

    def first_certificate(self, dtype: Any) -> None:
        """Something to show, and to keep, before the longer part begins."""
        self.minimise(dtype, 3e-4, self.schedule.finish_steps)
        multipliers, M, d = self.dual()
        if M.is_finite() and np.isfinite(d).all():
            self.certify(multipliers, M, d, newton=True)
        self.monitor.report(self.iteration, float("nan"), self.gradient)

    def separate(self, triangles: bool, least: float) -> int:
        """Drop the cuts that do nothing, add violated ones; returns how many."""
        with undisturbed():
            return self._separate(triangles, least)

    def _separate(self, triangles: bool, least: float) -> int:
        assert self.separator is not None
        pool, schedule, n = self.pool, self.schedule, self.lifting.size
        pool.keep((pool.multipliers > 0) | (pool.values < 0))
        V = self.rows_on_host()
        Y = self.separator.gram(V)
        added = pool.add(*self.separator.pairs(Y, schedule.pairs_per_row * n, min(least, 0.02)), self.factored.size)
        if triangles:
            found = self.separator.others(Y, schedule.triangles_per_row * n, least)
            added += pool.add(*found, self.factored.size)
        for other in self.others.values():
            other.keep((other.multipliers > 0) | (other.values < 0))
            added += other.separate(self.factored.extend(V), schedule.pairs_per_row * n, min(least, 0.02))
        return added

    def minimise(self, dtype: Any, tolerance: float, steps: int) -> bool:
        """One inner minimisation and multiplier update; returns whether the tolerance was about met."""
        left = self.monitor.remaining(self.certifying)
        if left <= 0 < self.iteration:
            raise Stop(Status.TIME_LIMIT)
        steps = max(int(min(steps, self.monitor.iterations_left(), left / self.seconds)), 1)
        with undisturbed():  # what an interrupt waits for is kept
            inner = self._inner(dtype)
            P, multipliers, sigma, bound = self.begin_round(tolerance)
            cuts, cut_multipliers = self.cuts()
            watch = Stopwatch()
            step = inner.minimise(
                P, multipliers, float(sigma), cuts, cut_multipliers, self.cut_sigma, float(bound), steps
            )
            self.seconds = max(watch.seconds() / max(int(step.used), 1), 1e-6)
            met = self.end_round(step, tolerance)
        check()
        return met

    def _inner(self, dtype: Any) -> Any:
        """Who minimises, in this precision and the present scale."""
        if dtype not in self._inners:
            spec, data = self.factored.spec, self.factored.data(self.scale, dtype)
            if self.is_small:
                self._inners[dtype] = Host(spec, data)
            else:
                from .device import Device

                self._inners[dtype] = Device(spec, data)
        return self._inners[dtype]

    def is_compiled(self) -> bool:
        """Whether this process has compiled a program for problems of this structure."""
        from .device import KNOWN

        return self.factored.spec in KNOWN

    def begin_round(self, tolerance: float) -> tuple[Array, list[Array], Array, Array]:
        """The factor, the multipliers, the penalty and the gradient's norm with which an inner minimisation goes."""
        self.P = shortened(self.P)
        bound = tolerance * np.sqrt(self.lifting.size)
        return self.P, self.next_multipliers(), np.asarray(self.sigma), np.asarray(bound)

    def end_round(self, step: Step, tolerance: float) -> bool:
        """Take over where an inner minimisation ended; returns whether the tolerance was about met."""
        self.P = np.asarray(step.P, dtype=np.float64)
        self.multipliers = [np.asarray(m, dtype=np.float64) for m in step.multipliers]
        for pool, updated, values in zip(self.pools, step.cut_multipliers, step.cut_values, strict=False):
            pool.multipliers = np.asarray(updated, dtype=np.float64)[: len(pool)]
            pool.values = np.asarray(values, dtype=np.float64)[: len(pool)]
        self.gradient = float(step.gradient) / np.sqrt(self.lifting.size)
        self.iteration += int(step.used)
        return self.gradient <= 1.5 * tolerance

    def end_bulk_round(self, step: Step, tolerance: float) -> None:
        """The same in `bulk`, whose penalty grows where the tolerance was met."""
        if self.end_round(step, tolerance):
            self.sigma *= self.schedule.growth

    def rows_on_host(self) -> Array:
        """V (N, r): `factored.rows_of`, of the basis entries."""
        lifting, places = self.lifting, self.factored.rows
        P = self.P[places] * np.where(np.arange(self.P.shape[1]) < self.P.shape[1] - 1, self.factored.unit[places], 1.0)
        P[lifting.square_is_one, -1] = 0.0
        for group in lifting.balls:
            P[lifting.slice(group), -1][1:] = 0.0
        if self.budget is None:
            return unit_rows(P)[:, :-1]
        squares = np.bincount(self.budget, np.einsum("ij,ij->i", P, P))[self.budget]
        return (P / np.sqrt(np.maximum(squares, 1e-300))[:, None])[:, :-1]

    def next_multipliers(self) -> list[Array]:
        """Where the next round begins: the last multipliers, or beyond them, as far as the last two rounds went."""
        here, before = self.multipliers, self.before
        if not self.schedule.extrapolate:
            return here
        self.before = here
        if not before:
            return here
        self.rounds += 1
        share = self.rounds / (self.rounds + 3.0)
        moved = [m + share * (m - b) for m, b in zip(here, before, strict=True)]
        return [np.where(e, m, np.maximum(m, 0.0)) for e, m in zip(self.factored.equalities(), moved, strict=True)]

    @property
    def pools(self) -> tuple[Pool | ProductPool | ConePool, ...]:
        """The pools of cuts there are."""
        return self.pool, *self.others.values()

    def cuts(self) -> tuple[tuple[Cuts, ...], list[Array]]:
        """Their arrays; nothing before the first cut."""
        if not any(len(pool) for pool in self.pools):
            return (), []
        arrays = [self.pool.arrays(self.factored.placement.size if self.others else self.factored.size)]
        arrays += [pool.arrays() for pool in self.others.values()]
        cuts, multipliers = zip(*arrays, strict=True)
        return cuts, list(multipliers)

    def unscaled(self) -> dict[str, Array]:
        """The multipliers of the product form."""
        scaled = [
            self.scale * self.factored.stack(scales) * m
            for scales, m in zip(self.factored.row_scales, self.multipliers, strict=True)
        ]
        out = self.factored.unstack(scaled)
        if self.pool.multipliers.any():
            position = np.zeros(self.factored.size, np.int64)
            position[self.factored.rows] = np.arange(self.lifting.size)
            out[TRIANGLES] = self.pool.encoded(position, self.scale)
        return out | {k: other.encoded(self.scale) for k, other in self.others.items() if other.multipliers.any()}

    def magnitude(self, value: float) -> float:
        """What tolerances are relative to: the value itself, or its distance from the monitor's origin."""
        return abs(value - self.monitor.origin)

    def certify(self, multipliers: dict[str, Array], M: Arrow, d: Array, newton: bool) -> tuple[float, Array]:
        """Offer the multipliers with d made feasible, by Newton's method if that pays; the bound and that d."""
        began, tol, least = time.perf_counter(), self.monitor.tolerance, cost(d, self.budget)
        d = feasible(M, d, self.budget, self.definite)
        if self.monitor.origin:
            value = in_units(least, self.lifting)
            tol *= self.magnitude(value) / max(abs(value), 1e-300)
        if newton and cost(d, self.budget) - least > (0.45 if self.is_patient else 0.3) * tol * abs(least):
            # the clock must not decide anything where it does not matter
            patience = max(10.0, 3.0 * certificate_seconds(M.size), 0.1 * (began - self.began))
            patience = min(patience, max(self.monitor.remaining(), 0.0))
            d = tighten(
                M, self.lifting.square_is_one, d, tolerance=0.2 * tol, reachable=least, seconds=patience,
                budget=self.budget, definite=self.definite,
            )  # fmt: skip
        bound = self.monitor.certify(multipliers, d)
        self.certifying, self.certified = time.perf_counter() - began, self.iteration
        return bound, d

    def dual(self) -> tuple[dict[str, Array], Arrow, Array]:
        """The multipliers, the Lagrangian matrix M, and d from the stationarity of V's rows."""
        multipliers = self.unscaled()
        M = lagrangian_matrix(self.lifting, multipliers, Middle).middle()
        return multipliers, M, stationary(M, self.rows_on_host(), self.lifting.square_is_one, self.budget)

    def offer(self) -> None:
        """Certify what there is, at the end of an interrupted run; a random factor alone proves next to nothing."""
        has_begun = self.iteration > 0 or (bool(self.start) and not self.is_known)  # what is known is proved
        if has_begun and self.iteration != self.certified and (self.multipliers or not self.families):
            multipliers, M, d = self.dual()
            if M.is_finite() and np.isfinite(d).all():
                # far from a stationary point Newton's method would take long and gain little
                self.certify(multipliers, M, d, newton=self.gradient <= NEAR)


def _device() -> tuple[bool, type[Definite]]:
    """Whether inner steps cost next to nothing beside what is done on the host, and who factors there."""
    from ...linalg.on_device import definite_on_device
    from ...machine.device import is_accelerated

    return is_accelerated(), definite_on_device()
