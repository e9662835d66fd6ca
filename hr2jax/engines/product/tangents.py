"""LipSDP by vectors that meet its equations (vectors.py): L-BFGS on unit vectors, without penalties or multipliers.

Every value is what some moments attain, so that it bounds the relaxation's from below whatever the round; the
multipliers that stationarity asks for prove a bound from above. It is the low-rank engine of LipSDP's relaxation.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from ...arithmetic.float64 import Array
from ...arithmetic.midpoint import Middle
from ...certificate.lagrangian import kept_rows, lagrangian_matrix
from ...linalg.arrow import Arrow
from ...linalg.diagonal import cost, feasible, stationary, tighten
from ...machine.interrupts import undisturbed
from ...machine.stopping import check
from ...machine.threads import few_threads
from ...relaxation.basis import Lifting
from ...relaxation.families import preset
from ...result import Status
from ..monitor import Monitor, Stop
from ..pace import certificate_seconds
from ..scale import in_units, rounding
from .host import Memory, minimise
from .newton import affordable, solve_newton
from .program import FIRST_STEP, LONGEST_STEP, MEMORY
from .schedule import RANK
from .vectors import Tangents

# Steps of the first round, at least and at most, how many times as many each next one has, and rounds.
STEPS, MOST_STEPS, LONGER, ROUNDS = 60, 500, 1.5, 14
# A round is not worth a proof that takes longer; of the two costs: seconds of a proof per cube of the rows that are
# kept, multiplications a second of a step. No clock decides.
PER_PROOF, MULTIPLICATIONS = 6e-10, 1.2e9
# The least gradient; rows are that much longer than their number of columns' root to begin with, which damps steps.
LEAST, LENGTH = 1e-10, 3.0
# The share of the tolerance that is sought: steps cost little, another proof does where many rows are kept.
SHARE, SHARE_OF_DEAR = 0.05, 0.3
# A round that leaves more than this share of the gap makes no progress; after so many of them columns are added, of
# this length relative to the others.
IDLE, PATIENCE, NUDGE = 0.7, 2, 0.05
# Each round is certified where so many proofs are left before the time limit.
NEAR_END = 6.0
# Of what a proof takes for which a diagonal is repaired by Newton's method, the share that it takes here, about.
QUICKER = 0.25
# Directions that are tried until one has a value above 0.
TRIES = 4


class Solved(NamedTuple):
    """How it has ended, with the last multipliers by family and the vectors V (N, r) that ask for them, if any do."""

    status: Status
    multipliers: dict[str, Array]
    V: Array | None


def solve_tangents(lifting: Lifting, monitor: Monitor, *, seed: int = 0) -> Solved:
    """Solve LipSDP's relaxation; multipliers of rounds that are worth it are offered to the monitor's certificate.

    Args:
        lifting: LipSDP's.
        monitor: certifies, records, says when to stop.
        seed: of the random start.

    Its status is SOLVED when bound - value <= tol * bound, the value being attained by moments; STALLED when rounds
    and, where the multipliers are few enough for it, Newton's method do not come so near.
    """
    run = _Run(lifting, monitor, seed)
    try:
        with few_threads(lifting.size):
            status = run.rounds()
        families = preset("lipsdp", lifting)
        if status is Status.STALLED and affordable(lifting, families):
            status = solve_newton(lifting, families, monitor, start=run.given, iteration=run.iteration)
    except Stop as stop:
        run.offer()
        status = stop.status
    except KeyboardInterrupt:
        run.offer()
        status = Status.STOPPED
    return Solved(status, run.given, run.V)


class _Run:
    """Where the rounds stand: P (N, r), the value it attains, the least gap of a dual point."""

    def __init__(self, lifting: Lifting, monitor: Monitor, seed: int):
        self.lifting, self.monitor, self.tangents = lifting, monitor, Tangents(lifting)
        self.budget = lifting.budget if lifting.balls else None
        self.rng = np.random.default_rng(seed)
        self.iteration, self.certified, self.seconds, self.share = 0, 0, 1e-6, SHARE
        self.proof = QUICKER * certificate_seconds(lifting.size)
        self.given: dict[str, Array] = {}
        self.V: Array | None = None
        self.P: Array | None = None

    def rounds(self) -> Status:
        """Rounds until the gap is met or they make no more progress."""
        self.P = self._beginning(RANK)
        if self.P is None:
            return Status.STALLED
        past, steps, gap, idle = Memory(MEMORY, self.P.size), self._first_steps(), np.inf, 0
        self.share = SHARE if steps == STEPS else SHARE_OF_DEAR
        for number in range(ROUNDS):
            moved = self._minimise(int(steps), past)
            before, (value, bound) = gap, self._certify(is_last=number == ROUNDS - 1)
            gap = bound - value
            self.monitor.report(self.iteration, value, self.gradient)
            if gap <= self._wanted(bound, self.share):
                return Status.SOLVED
            idle = 0 if gap < IDLE * before else idle + 1
            if not moved or idle >= PATIENCE:
                if self.P.shape[1] + RANK > self.lifting.size or number > ROUNDS // 2:
                    break
                self._widen()
                past, idle = Memory(MEMORY, self.P.size), 0
            steps *= LONGER
        value, bound = self._certify(is_last=True)
        return Status.SOLVED if bound - value <= self._wanted(bound, 1.0) else Status.STALLED

    def offer(self) -> None:
        """Certify what there is, at the end of an interrupted run."""
        if self.P is not None and self.iteration > self.certified:
            self._certify(is_last=True)

    def _wanted(self, bound: float, share: float) -> float:
        """The gap that this share of the tolerance allows."""
        unit = bound / self.lifting.size
        with np.errstate(invalid="ignore"):
            return max(share * self.monitor.tolerance * bound, rounding(unit, self.lifting))

    def _beginning(self, rank: int) -> Array | None:
        """Random directions of a value above 0; None where none is found."""
        for _ in range(TRIES):
            P = LENGTH * self.rng.standard_normal((self.lifting.size, rank))
            for group in (None, *self.tangents.free):  # the value is linear in the last of them
                if group is not None:
                    P[self.lifting.slice(group)] *= -1.0
                if self.tangents.value_and_gradient(P)[0] > 0.0:
                    return P
        return None

    def _first_steps(self) -> float:
        """As many as cost what the proof behind them does, told from sizes: fewer of them leave it little to prove."""
        assert self.P is not None
        kept = kept_rows(self.lifting, self.tangents.multipliers(self.P)[1], Middle)
        each = 2.0 * RANK * (self.tangents.entries + self.lifting.size) / MULTIPLICATIONS
        return float(np.clip(PER_PROOF * kept**3 / each, STEPS, MOST_STEPS))

    def _widen(self) -> None:
        """More columns: where V has all that it can use, a stationary one may be a saddle."""
        assert self.P is not None
        new = self.rng.standard_normal((len(self.P), RANK)) * NUDGE
        new *= np.linalg.norm(self.P, axis=1, keepdims=True) / np.sqrt(RANK)
        self.P = np.concatenate([self.P, new], axis=1)

    def _minimise(self, steps: int, past: Memory) -> bool:
        """A round; whether another one would go on from here."""
        left = self.monitor.remaining(self.proof)
        if left <= 0:
            raise Stop(Status.TIME_LIMIT)
        steps = max(int(min(steps, self.monitor.iterations_left(), left / self.seconds)), 1)
        assert self.P is not None
        shape, N = self.P.shape, self.lifting.size

        def evaluate(x: Array) -> tuple[float, Array]:
            value, gradient = self.tangents.value_and_gradient(x.reshape(shape))
            # its logarithm knows no units; N, that gradients' means are of size 1
            return (-N * np.log(value), -N / value * gradient.ravel()) if value > 0 else (np.inf, np.zeros(x.size))

        began, root = time.perf_counter(), float(np.sqrt(N))
        with undisturbed():
            x, gradient, used = minimise(
                evaluate, self.P.ravel(), MEMORY, FIRST_STEP * root, LEAST * root, steps,
                LONGEST_STEP * float(np.linalg.norm(self.P)), past,
            )  # fmt: skip
            self.P = x.reshape(shape)
            self.iteration += used
            self.gradient = float(np.linalg.norm(gradient)) / root
            self.seconds = max((time.perf_counter() - began) / max(used, 1), 1e-6)
        check()
        return used >= steps

    def _dual(self) -> tuple[float, Arrow, Array]:
        """What the vectors attain, the Lagrangian matrix of their multipliers, and the diagonal they ask for."""
        assert self.P is not None
        value, self.given, self.V = self.tangents.multipliers(self.P)
        M = lagrangian_matrix(self.lifting, self.given, Middle).middle()
        return value, M, stationary(M, self.V, self.lifting.square_is_one, self.budget)

    def _certify(self, is_last: bool) -> tuple[float, float]:
        """(value, bound) in the problem's units; offered where that is good enough, or the last."""
        began = time.perf_counter()
        value, M, d = self._dual()
        there = in_units(value, self.lifting)
        if not (M.is_finite() and np.isfinite(d).all()):
            return there, np.inf
        d = feasible(M, d, self.budget)
        bound = in_units(cost(d, self.budget), self.lifting)
        is_met = bound - there <= self._wanted(bound, self.share)
        if is_last and not is_met and (seconds := min(10.0, self.monitor.remaining(self.proof))) > 0:
            d = tighten(
                M, self.lifting.square_is_one, d, tolerance=0.2 * self.monitor.tolerance, reachable=value,
                seconds=seconds, budget=self.budget,
            )  # fmt: skip
        # a proof takes about as long as that again
        self.proof = max(self.proof, 2.0 * (time.perf_counter() - began))
        if is_met or is_last or self.monitor.remaining() < NEAR_END * self.proof:
            bound = self.monitor.certify(self.given, d)
            self.certified, self.proof = self.iteration, max(self.proof, time.perf_counter() - began)
        return there, bound
