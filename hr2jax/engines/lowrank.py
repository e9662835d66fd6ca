"""Low-rank augmented Lagrangian on the product form: Y = V V^T, never formed.

Burer and Monteiro's factorisation with rows of norm 1 (or at most 1), families as matrix products, a
jitted L-BFGS inside each step of the method of multipliers. Float32 steers, float64 finishes; the
multipliers go to the certificate, which trusts none of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..arrow import Arrow
from ..diagonal import feasible, lowest, tighten
from ..proof import lagrangian_matrix
from ..relaxation.families import Family
from ..relaxation.lifting import Lifting
from ..result import Status
from .compile_clock import compile_seconds
from .factored import Factored, minimise
from .monitor import Monitor, Stop
from .scale import ABSURD, in_units, mean_diagonal, unit_rows

Array = np.ndarray


@dataclass(frozen=True)
class Schedule:
    """How hard the method of multipliers works; the numbers were found on SDP-NN and random (p, p) networks.

    Attributes:
        sigma, growth: the penalty (in units where the mean diagonal is 1) and its growth per round; it grows
            only when the inner tolerance was met, or the certificate would get worse (SOLVERS.md, pitfalls).
        bulk_rounds, bulk_steps: rounds that steer, and inner steps of each.
        warm_rounds: how many of those, the last ones, a warm start takes.
        finish_steps: inner steps of a float64 round.
        finish_rounds: at most this many of those.
    """

    sigma: float = 1.0
    growth: float = 1.4
    bulk_rounds: int = 15
    bulk_steps: int = 60
    warm_rounds: int = 2
    finish_steps: int = 300
    finish_rounds: int = 40


# Below this size everything runs in float64: a second compilation would cost more than float32 saves.
SMALL = 400
# Columns of V to begin with, whatever N: networks of nearby sizes then share a compiled program.
RANK = 20
# Rows of P may be this many times as long as random ones when a round begins.
LONGEST = 10.0


def solve_lowrank(
    lifting: Lifting,
    families: list[Family],
    monitor: Monitor,
    *,
    seed: int = 0,
    start: Mapping[str, Array] | None = None,
    schedule: Schedule | None = None,
) -> Status:
    """Solve the product form; every round's multipliers are offered to the monitor's certificate.

    Args:
        lifting, families: the relaxation.
        monitor: certifies, records, says when to stop (raises `Stop`).
        seed: of the random start.
        start: multipliers to begin from (a warm start), by family name.
        schedule: effort.

    Returns:
        SOLVED when bound - estimate <= tol * bound, the estimate being the Lagrangian's value, settled to
        within the tolerance; STALLED when rounds stop improving before that.
    """
    schedule = schedule or Schedule()
    run = _Run(lifting, families, monitor, schedule, seed, start)
    try:
        run.scale_objective()
        status = run.solve()
        if run.is_warm and status is not Status.SOLVED:  # the start was misleading
            run.start_cold()
            status = run.solve()
        return status
    except Stop as stop:
        run.offer()
        return stop.status
    except KeyboardInterrupt:
        run.offer()  # a second Ctrl-C leaves at once
        return Status.STOPPED


class _Run:
    """State of one solve: the factor P, scaled multipliers, the penalty."""

    def __init__(
        self,
        lifting: Lifting,
        families: list[Family],
        monitor: Monitor,
        schedule: Schedule,
        seed: int,
        start: Mapping[str, Array] | None,
    ):
        self.lifting, self.families, self.monitor, self.schedule = lifting, families, monitor, schedule
        self.factored = Factored(lifting, families)
        self.rng = np.random.default_rng(seed)
        self.scale = 1.0
        self.iteration = 0
        self.gradient = np.inf
        self.seconds = 1e-6  # per inner step, measured as it runs
        self.start = start or {}
        self.multipliers: list[Array] = []
        self.start_cold()

    def start_cold(self) -> None:
        """A random factor, the first penalty, no multipliers."""
        self.rank = RANK
        self.P: Array = self.rng.standard_normal((self.factored.size, self.rank + 1))
        self.sigma = self.schedule.sigma
        self.multipliers = [np.zeros_like(values) for values in self.multipliers]
        self.is_warm = False

    def solve(self) -> Status:
        """Steer, then finish."""
        self.bulk(np.float64 if self.lifting.size <= SMALL else np.float32)
        return self.finish()

    def scale_objective(self) -> None:
        """Work in units in which the mean entry of the diagonal is about 1."""
        self.scale = mean_diagonal(self.lifting, self.rng)
        factored = self.factored

        def begin(family: Family, row_scale: Array) -> Array:
            zero = np.zeros(family.shape)
            with np.errstate(over="ignore"):
                scaled = self.start.get(family.name, zero) / (self.scale * row_scale)
            return scaled if scaled.max(initial=0.0) < ABSURD else zero

        self.multipliers = [
            factored.stack([begin(f, r) for f, r in zip(stack, scales, strict=True)])
            for stack, scales in zip(factored.stacks, factored.row_scales, strict=True)
        ]
        self.is_warm = any(family.name in self.start for family in self.families)

    def bulk(self, dtype: Any) -> None:
        """Rounds of falling inner tolerance and growing penalty; from given multipliers the last few are enough.

        A loosely solved first round would undo those: its steps of the multipliers are as large as they are.
        """
        rounds = self.schedule.bulk_rounds if self.families else 1
        steps = self.schedule.bulk_steps if self.families else 300
        first = 0
        if self.is_warm:
            first, steps = max(rounds - self.schedule.warm_rounds, 0), self.schedule.finish_steps
        for k in range(first, rounds):
            tolerance = 10 ** (-2 - k / max(rounds - 1, 1))
            self.minimise(dtype, tolerance, steps, grow=True)
            self.monitor.report(self.iteration, float("nan"), self.gradient)

    def minimise(self, dtype: Any, tolerance: float, steps: int, grow: bool) -> None:
        """One inner minimisation and multiplier update."""
        factored, size = self.factored, np.sqrt(self.lifting.size)
        steps = max(int(min(steps, self.monitor.iterations_left(), self.monitor.remaining() / self.seconds)), 1)
        # a row that one step has made very long would hardly move again: its gradient shrinks as it grows
        longest = LONGEST * np.sqrt(self.P.shape[1])
        self.P = self.P * np.minimum(longest / np.linalg.norm(self.P, axis=1, keepdims=True), 1.0)
        began, compiled = time.perf_counter(), compile_seconds()
        with jax.enable_x64(dtype == np.float64):
            P, multipliers, norm, taken = minimise(
                jnp.asarray(self.P, dtype), factored.data(self.scale, dtype),
                [jnp.asarray(m, dtype) for m in self.multipliers], jnp.asarray(self.sigma, dtype),
                jnp.asarray(tolerance * size, dtype), steps, spec=factored.spec,
            )  # fmt: skip
            taken = int(taken)
        spent = time.perf_counter() - began - (compile_seconds() - compiled)
        self.seconds = max(spent / max(taken, 1), 1e-6)
        self.P = np.asarray(P, dtype=np.float64)
        self.multipliers = [np.asarray(m, dtype=np.float64) for m in multipliers]
        self.gradient = float(norm) / size
        self.iteration += taken
        if grow and self.gradient <= 1.5 * tolerance:
            self.sigma *= self.schedule.growth

    def unscaled(self) -> dict[str, Array]:
        """The multipliers of the product form."""
        scaled = [
            self.scale * self.factored.stack(scales) * m
            for scales, m in zip(self.factored.row_scales, self.multipliers, strict=True)
        ]
        return self.factored.unstack(scaled)

    def finish(self) -> Status:
        """Float64 rounds until the certified gap is met.

        A round is certified once the Lagrangian's value has settled; with a time limit every round is, since
        each may be the last. The diagonal is repaired by eigenvectors as long as more inner steps may make
        that cheap enough, and by Newton's method when they no longer do.
        """
        tol, previous, best, idle, tolerance = self.monitor.tolerance, np.nan, np.inf, 0, 1e-4
        patient = 0 if self.lifting.size <= SMALL else 4
        for number in range(self.schedule.finish_rounds):
            self.minimise(np.float64, tolerance, self.schedule.finish_steps, grow=False)
            multipliers, M, d = self.dual()
            if not (M.is_finite() and np.isfinite(d).all()):
                return Status.NUMERICAL_ERROR
            least = float(d.sum())
            value = in_units(least, self.lifting)
            settled = abs(value - previous) <= 0.5 * tol * abs(value) or not self.families
            close = self.gradient <= 2 * tolerance
            if settled or close or self.monitor.remaining() < np.inf:
                d = feasible(M, d)
                cheap = d.sum() - least <= 0.3 * tol * abs(least)
                if not cheap and (close or number >= patient):
                    d = tighten(M, self.lifting.square_is_one, d, tolerance=0.2 * tol, reachable=least)
                bound = self.monitor.certify(multipliers, d)
                self.monitor.report(self.iteration, value, self.gradient)
                if settled and bound < np.inf and bound - value <= 0.5 * tol * bound:
                    return Status.SOLVED
                idle = 0 if bound < best * (1 - 0.02 * tol) else idle + 1
                best = min(best, bound)
                if idle >= 4:
                    return Status.STALLED
                if close and bound - value > 0.3 * tol * bound:
                    self.raise_rank(M, d)
            else:
                self.monitor.report(self.iteration, value, self.gradient)
            previous, tolerance = value, max(0.3 * tolerance, 1e-9)
        return Status.STALLED

    def dual(self) -> tuple[dict[str, Array], Arrow, Array]:
        """The multipliers, the Lagrangian matrix M, and d from the stationarity of V's rows."""
        multipliers = self.unscaled()
        M = lagrangian_matrix(self.lifting, multipliers).middle()
        V = _rows_of(self.P[self.factored.rows], self.lifting)
        d = np.einsum("ij,ij->i", V, M @ V)
        return multipliers, M, np.where(self.lifting.square_is_one, d, np.maximum(d, 0.0))

    def offer(self) -> None:
        """Certify what there is, at the end of an interrupted run."""
        if self.multipliers or not self.families:
            multipliers, M, d = self.dual()
            if M.is_finite() and np.isfinite(d).all():
                self.monitor.certify(multipliers, feasible(M, d))

    def raise_rank(self, M: Arrow, d: Array) -> None:
        """Leave a saddle: more columns, along the eigenvectors of S that want to be negative."""
        added = min(self.rank, self.lifting.size - self.rank)  # doubled: few shapes to compile
        if added <= 0:
            return
        vectors = lowest(M, d, added)
        new = np.zeros((self.factored.size, added))
        new[self.factored.rows, : vectors.shape[1]] = vectors * np.sqrt(self.lifting.size) * 1e-2
        new *= np.linalg.norm(self.P, axis=1, keepdims=True)
        self.P = np.concatenate([self.P[:, :-1], new, self.P[:, -1:]], axis=1)
        self.rank += added


def _rows_of(P: Array, lifting: Lifting) -> Array:
    mask = np.ones(P.shape)
    mask[lifting.square_is_one, -1] = 0.0
    P = P * mask
    return unit_rows(P)[:, :-1]
