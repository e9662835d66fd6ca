"""Low-rank augmented Lagrangian on the product form: Y = V V^T.

Burer and Monteiro's factorisation with rows of norm 1 (or at most 1), families as matrix products, cutting
planes as entries of Y, a jitted L-BFGS inside each step of the method of multipliers. Float32 steers, float64
finishes; the multipliers go to the certificate, which trusts none of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...arithmetic.float64 import Array
from ...arithmetic.midpoint import Middle
from ...certificate.lagrangian import kept_rows, lagrangian_matrix
from ...linalg.arrow import Arrow
from ...linalg.diagonal import cost, feasible, lowest, stationary, tighten
from ...linalg.on_device import definite_on_device
from ...machine.compile_clock import compile_seconds
from ...machine.device import is_accelerated
from ...machine.interrupts import undisturbed
from ...machine.threads import few_threads
from ...relaxation.basis import Lifting
from ...relaxation.forms import Family
from ...relaxation.products import PRODUCTS
from ...relaxation.triangles import TRIANGLES
from ...result import Status
from ..monitor import Monitor, Stop
from ..pace import COMPILING, certificate_seconds
from ..scale import ABSURD, in_units, mean_diagonal, unit_rows
from .arrays import Factored
from .lagrangian import Cuts, Data, Spec, minimise
from .newton import FEW_WITH_CUTS, affordable, solve_newton
from .newton_cuts import solve_with_cuts
from .product_cuts import ProductPool
from .schedule import SMALL, Schedule, columns_for, schedule_for
from .triangle_cuts import Pool, Separator

# Rows of P may be this many times as long as random ones when a round begins.
LONGEST = 10.0
# Gradients that float32 can still tell from rounding.
FLOAT32 = 2e-5
# Up to this size Newton's method on the diagonal takes no longer than a round of inner steps.
QUICK_NEWTON = 1000
# On an accelerator a finishing round of a large problem has this many times as many steps.
FREE = 3
# A warm start that has not settled gets penalties so many times as large, up to so many times the schedule's first.
FASTER, FAR = 5.0, 30.0
# Mean gradients from which Newton's method on the diagonal is worth while.
NEAR = 1e-3
# V is of deficient rank where its least singular value is below this share of the largest.
DEFICIENT = 1e-3
# The length of a new column, relative to V's.
NUDGE = 0.05
# Of what the terms of the objective add up to, what float64 cannot tell from 0.
ROUNDING = 1e-13
# Structures for which this process has compiled a program.
_KNOWN: set[Spec] = set()
# Certificates without progress until a run is called stalled.
PATIENCE = 6


class Steered(NamedTuple):
    """Where a run stands after its steering rounds (`batch.steer_together`)."""

    P: Array
    multipliers: list[Array]
    sigma: float
    scale: float
    iteration: int


def solve_lowrank(
    lifting: Lifting,
    families: list[Family],
    monitor: Monitor,
    *,
    cuts: tuple[str, ...] = (),
    seed: int = 0,
    start: Mapping[str, Array] | None = None,
    steered: Steered | None = None,
    schedule: Schedule | None = None,
) -> Status:
    """Solve the product form; every round's multipliers are offered to the monitor's certificate.

    Args:
        lifting, families: the relaxation.
        monitor: certifies, records, says when to stop (raises `Stop`).
        cuts: which cutting planes to separate (`triangle_cuts.kinds`, "triangles"); none for a fixed relaxation.
        seed: of the random start.
        start: multipliers to begin from (a warm start), by family name.
        steered: a run to continue instead of steering.
        schedule: effort.

    Returns:
        SOLVED when bound - estimate <= tol * bound, the estimate being the Lagrangian's value, settled to
        within the tolerance; with cuts on a small problem, when another look for cuts changed nothing besides, or by
        Newton's method (`solve_with_cuts`). STALLED when rounds stop improving before that.
    """
    schedule = schedule or schedule_for(lifting, monitor.tolerance, bool(cuts))
    run = Run(lifting, families, monitor, schedule, cuts, seed, start)
    try:
        with few_threads(lifting.size):
            run.scale_objective()
            if monitor.remaining() < np.inf and not cuts:  # which rows are eliminated decides how long a proof takes
                run.certifying = certificate_seconds(kept_rows(lifting, run.unscaled(), Middle))
            if run.factored.spec not in _KNOWN and monitor.remaining() < COMPILING:
                raise Stop(Status.TIME_LIMIT)
            status = run.solve(steered)
            if run.is_warm and status is not Status.SOLVED and not run.newton_may_follow:  # the start was misleading
                run.start_cold()
                status = run.solve()
            if status is Status.STALLED and run.newton_may_follow:
                start = run.unscaled()  # cuts with large multipliers: slow here, and small enough for Newton's method
                return solve_with_cuts(lifting, families, monitor, cuts, start, run.iteration)
            return status
    except Stop as stop:
        run.offer()
        return stop.status
    except KeyboardInterrupt:
        run.offer()  # a second Ctrl-C leaves at once
        return Status.STOPPED


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
    ):
        self.lifting, self.families, self.schedule = lifting, families, schedule
        self._monitor = monitor
        self.factored = Factored(lifting, families)
        self.separator = Separator(lifting, self.factored.rows, cuts) if cuts else None
        masked = lifting.masked_layers > 0
        self.products = ProductPool(lifting, self.factored, cuts) if cuts and masked else None
        self.budget = lifting.budget if lifting.balls else None
        # whether there is another way to go on where this one stalls
        self.newton_may_follow = bool(cuts) and affordable(lifting, families, FEW_WITH_CUTS)
        # whether inner steps cost next to nothing beside what is done on the host
        self.accelerated = lifting.size > SMALL and is_accelerated()
        self.definite = definite_on_device()  # who factors the diagonal less the Lagrangian matrix
        # whether inner steps may be cheaper than Newton's method on the diagonal
        self.is_patient = lifting.size > SMALL and not cuts and bool(families)
        self.rng = np.random.default_rng(seed)
        self.scale = 1.0
        self.iteration = 0
        self.gradient = np.inf
        self.seconds = 1e-6  # per inner step, measured as it runs
        # what feasible, Newton's method and the proof take, measured as it runs: N^3
        self.certifying, self.certified, self.began = certificate_seconds(lifting.size), -1, time.perf_counter()
        self.start = start or {}
        self.multipliers: list[Array] = []
        self._data: dict[Any, Data] = {}
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
        self.polished = False
        self.pool = Pool.empty()
        if self.products is not None:
            self.products.clear()
        self.is_warm = False

    def solve(self, steered: Steered | None = None) -> Status:
        """Steer, or go on from where that was done, then finish."""
        dtype = np.float64 if self.lifting.size <= SMALL else np.float32
        if steered is None:
            self.bulk(dtype)
        else:
            self.P, self.multipliers, self.sigma, self.scale, self.iteration = steered
            self._data = {}
        if self.separator is not None:
            self.steer_cuts(dtype)
        return self.finish()

    def scale_objective(self) -> None:
        """Work in units in which the mean entry of the diagonal is about 1; take the start's multipliers over."""
        attained = 0.0
        if self._monitor is not None and self._monitor.lower > 0:
            # between what is attained and what intervals prove; not far from the first, which is often the nearer
            attained = min(np.sqrt(self._monitor.lower * self._monitor.baseline), 3.0 * self._monitor.lower)
        self.scale = mean_diagonal(self.lifting, self.rng, attained)
        self._data = {}
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
        if self.products is not None and PRODUCTS in self.start:
            self.products.decode(self.start[PRODUCTS], self.scale)
            if self.products.multipliers.max(initial=0.0) < ABSURD:
                self.is_warm = True
            else:
                self.products.clear()

    def bulk(self, dtype: Any) -> None:
        """Rounds of falling inner tolerance and growing penalty; from given multipliers the last few are enough.

        A loosely solved first round would undo those: its steps of the multipliers are as large as they are.
        """
        rounds = self.schedule.bulk_rounds if self.families else 1
        steps = self.schedule.bulk_steps if self.families else 300
        first, last = 0, rounds if self.separator is None else min(rounds, self.schedule.base_rounds)
        if self.is_warm:
            first, last = max(rounds - self.schedule.warm_rounds, 0), rounds
            steps = self.schedule.finish_steps
        for k in range(first, last):
            tolerance = 10 ** (-2 - k / max(rounds - 1, 1))
            if self.minimise(dtype, tolerance, steps):
                self.sigma *= self.schedule.growth
            self.monitor.report(self.iteration, float("nan"), self.gradient)

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
            if k == pairs and self.lifting.size > SMALL:
                self.first_certificate(dtype)
            added = self.separate(triangles=k >= pairs, least=least)
            if self.minimise(dtype, tolerance, schedule.cut_steps):
                self.cut_sigma *= schedule.pair_growth if k < pairs else schedule.triangle_growth
            self.monitor.report(self.iteration, float("nan"), self.gradient)
            if not added and k >= pairs and len(self.pool) == 0 and not self.products:
                return

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
        if self.products is not None:
            self.products.keep((self.products.multipliers > 0) | (self.products.values < 0))
            added += self.products.separate(self.factored.extend(V), schedule.pairs_per_row * n, min(least, 0.02))
        return added

    def minimise(self, dtype: Any, tolerance: float, steps: int) -> bool:
        """One inner minimisation and multiplier update; returns whether the tolerance was about met."""
        with undisturbed():  # what an interrupt waits for is kept
            return self._minimise(dtype, tolerance, steps)

    def _minimise(self, dtype: Any, tolerance: float, steps: int) -> bool:
        factored, size = self.factored, np.sqrt(self.lifting.size)
        left = self.monitor.remaining(self.certifying)
        if left <= 0 < self.iteration:
            raise Stop(Status.TIME_LIMIT)
        steps = max(int(min(steps, self.monitor.iterations_left(), left / self.seconds)), 1)
        self.P = shortened(self.P)
        began, compiled = time.perf_counter(), compile_seconds()
        with jax.enable_x64(dtype == np.float64):
            if dtype not in self._data:
                self._data[dtype] = jax.tree.map(jnp.asarray, factored.data(self.scale, dtype))
            cuts, cut_multipliers = self.cuts(dtype)
            step = minimise(
                jnp.asarray(self.P, dtype), self._data[dtype],
                [jnp.asarray(m, dtype) for m in self.next_multipliers()], jnp.asarray(self.sigma, dtype),
                cuts, cut_multipliers, jnp.asarray(self.cut_sigma, dtype),
                jnp.asarray(tolerance * size, dtype), steps, spec=factored.spec,
            )  # fmt: skip
            taken = int(step.used)
            _KNOWN.add(factored.spec)
        spent = time.perf_counter() - began - (compile_seconds() - compiled)
        self.seconds = max(spent / max(taken, 1), 1e-6)
        self.P = np.asarray(step.P, dtype=np.float64)
        self.multipliers = [np.asarray(m, dtype=np.float64) for m in step.multipliers]
        for pool, updated, values in zip(self.pools, step.cut_multipliers, step.cut_values, strict=False):
            pool.multipliers = np.asarray(updated, dtype=np.float64)[: len(pool)]
            pool.values = np.asarray(values, dtype=np.float64)[: len(pool)]
        self.gradient = float(step.gradient) / size
        self.iteration += taken
        return self.gradient <= 1.5 * tolerance

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
    def pools(self) -> tuple[Pool | ProductPool, ...]:
        """The pools of cuts there are."""
        return (self.pool,) if self.products is None else (self.pool, self.products)

    def cuts(self, dtype: Any) -> tuple[tuple[Cuts, ...], list[Any]]:
        """Their arrays; nothing before the first cut."""
        if not any(len(pool) for pool in self.pools):
            return (), []
        size = self.factored.size if self.products is None else self.factored.extended_size
        arrays = [self.pool.arrays(size, dtype)]
        if self.products is not None:
            arrays.append(self.products.arrays(dtype))
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
        if self.products is not None and self.products.multipliers.any():
            out[PRODUCTS] = self.products.encoded(self.scale)
        return out

    def finish(self) -> Status:
        """Float64 rounds until the certified gap is met.

        A round is certified once the Lagrangian's value has settled, and now and then before; near the time
        limit every round is, since each may be the last. The diagonal is repaired by eigenvectors as long as
        more inner steps may make that cheap enough, and by Newton's method when they no longer do.
        """
        tol, best, idle, tolerance = self.monitor.tolerance, np.inf, 0, self.schedule.finish
        # with cuts, chains of layers or float32, a round of steering and one of these may agree far from the end
        is_near = self.separator is None and not self.lifting.masked_layers and self.lifting.size <= SMALL
        previous = self.value() if is_near else np.nan
        value, settled, solved, once_more = np.nan, False, np.inf, False
        # the multipliers of another output are near, but in a box those of its input's variables lag behind
        is_nearer = self.is_warm and not self.lifting.masked_layers and "xi" not in self.lifting.sizes
        tightening = 0.6 if self.separator is not None else 0.5 if is_nearer else 0.3
        steps = (FREE if self.accelerated else 1) * self.schedule.finish_steps
        # so many certificates before the time limit each round has one; an accelerator's rounds are shorter than those
        near_end = 3.0 if self.accelerated else 10.0
        patient, early = (4, 1 if self.lifting.size <= QUICK_NEWTON else 2) if self.is_patient else (0, 0)
        for number in range(self.schedule.finish_rounds):
            if self.separator is not None and (once_more or not settled):  # else its multipliers are what is missing
                self.separate(triangles=True, least=0.005)
            once_more = False
            coarse = self.lifting.size > SMALL and tolerance >= FLOAT32
            self.minimise(np.float32 if coarse else np.float64, tolerance, steps)
            multipliers, M, d = self.dual()
            if not (M.is_finite() and np.isfinite(d).all()):
                return Status.NUMERICAL_ERROR
            least = cost(d, self.budget)
            value = in_units(least, self.lifting)
            settled = self.within(abs(value - previous), 0.5, value)
            settled = settled or not (self.families or self.separator)
            close = self.gradient <= 2 * tolerance
            if self.accelerated:
                due = (settled and close) or number % 6 == 5
            else:
                due = settled or (close and (number > 0 or not self.is_patient)) or number % 3 == 2
            if due or self.monitor.remaining() < near_end * self.certifying:
                bound, d = self.certify(multipliers, M, d, newton=number >= patient or (close and number >= early))
                self.monitor.report(self.iteration, value, self.gradient)
                if settled and bound < np.inf and self.within(bound - value, 0.5, bound):
                    # it may have settled on the way, with cuts missing: small problems can afford another look
                    if not self.newton_may_follow or self.within(solved - bound, 0.5, bound):
                        return Status.SOLVED
                    solved, once_more = bound, True
                idle = 0 if bound < best - 0.02 * tol * self.magnitude(min(best, bound)) else idle + 1
                best = min(best, bound)
                if (settled or number >= 2) and (status := self.polish(multipliers, d)) is not None:
                    return status
                if idle >= PATIENCE:
                    break
                if (close or idle) and bound - value > 0.3 * tol * self.magnitude(bound):
                    self.raise_rank(M, d)
            else:
                self.monitor.report(self.iteration, value, self.gradient)
            lags = close and not settled  # the multipliers do
            largest = FAR * self.schedule.sigma
            if lags and number and self.is_warm and self.sigma < largest:
                # a start from so far away that it needs the penalties which steering ends with
                self.sigma, tolerance = min(FASTER * self.sigma, largest), self.schedule.finish
            elif close:
                tolerance = max(tightening * tolerance, 1e-9)
                if lags:
                    self.sigma *= self.schedule.growth
            previous = np.nan if once_more else value
        # half of the tolerance was for what more progress might bring
        is_close = settled and best < np.inf and self.within(best - value, 1.0, best)
        return Status.SOLVED if is_close and not self.newton_may_follow else Status.STALLED

    def value(self) -> float:
        """The Lagrangian's value where the steering ended."""
        d = self.dual()[2]
        return in_units(cost(d, self.budget), self.lifting) if np.isfinite(d).all() else np.nan

    def within(self, difference: float, share: float, value: float) -> bool:
        """Whether it is within a share of the tolerance, relative to the value, or cannot be told from 0."""
        rounding = ROUNDING * abs(in_units(self.scale * self.lifting.size, self.lifting))
        return bool(difference <= max(share * self.monitor.tolerance * self.magnitude(value), rounding))

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

    def polish(self, multipliers: dict[str, Array], d: Array) -> Status | None:
        """Newton's method from here, where layers make the last percent slow; None where it is of no use."""
        if self.polished or not self.lifting.masked_layers or not affordable(self.lifting, self.families):
            return None
        self.polished = True
        status = solve_newton(
            self.lifting, self.families, self.monitor, start=multipliers, d=d, V=self.rows_on_host(),
            iteration=self.iteration,
        )  # fmt: skip
        return None if status is Status.STALLED else status

    def dual(self) -> tuple[dict[str, Array], Arrow, Array]:
        """The multipliers, the Lagrangian matrix M, and d from the stationarity of V's rows."""
        multipliers = self.unscaled()
        M = lagrangian_matrix(self.lifting, multipliers, Middle).middle()
        return multipliers, M, stationary(M, self.rows_on_host(), self.lifting.square_is_one, self.budget)

    def offer(self) -> None:
        """Certify what there is, at the end of an interrupted run; a random factor alone proves next to nothing."""
        has_begun = self.iteration > 0 or bool(self.start)
        if has_begun and self.iteration != self.certified and (self.multipliers or not self.families):
            multipliers, M, d = self.dual()
            if M.is_finite() and np.isfinite(d).all():
                # far from a stationary point Newton's method would take long and gain little
                self.certify(multipliers, M, d, newton=self.gradient <= NEAR)

    def raise_rank(self, M: Arrow, d: Array) -> None:
        """Leave a saddle: more columns, along the eigenvectors of S that want to be negative.

        A stationary V of deficient rank is no saddle (Burer and Monteiro 2005): then nothing is done.
        """
        if self.lifting.size > SMALL:
            V = self.rows_on_host()
            spectrum = np.linalg.eigvalsh(V.T @ V)
            if spectrum[0] < DEFICIENT**2 * spectrum[-1]:
                return
        wanted = self.rank if self.separator is None else 8 * -(-self.rank // 16)  # few shapes to compile
        added = min(wanted, self.lifting.size - self.rank)
        if added <= 0:
            return
        vectors = lowest(M, d, added, self.definite)
        new = np.zeros((self.factored.size, added))
        new[self.factored.rows, : vectors.shape[1]] = vectors * np.sqrt(self.lifting.size) * NUDGE
        new *= np.linalg.norm(self.P, axis=1, keepdims=True)
        self.P = np.concatenate([self.P[:, :-1], new, self.P[:, -1:]], axis=1)
        self.rank += added


def shortened(P: Array) -> Array:
    """P with no very long row: one that a step has made so would hardly move again, for its gradient shrinks."""
    longest = LONGEST * np.sqrt(P.shape[1])
    return P * np.minimum(longest / np.linalg.norm(P, axis=1, keepdims=True), 1.0)
