"""Finishing of the low-rank engine: rounds of ever smaller tolerance, until the certified gap is met."""

from __future__ import annotations

import numpy as np

from ...arithmetic.float64 import Array
from ...linalg.arrow import Arrow
from ...linalg.diagonal import cost, lowest
from ...relaxation.basis import XI
from ...result import Status
from ..scale import in_units, rounding
from .newton import affordable, solve_newton
from .steering import Run

# Gradients that float32 can still tell from rounding.
FLOAT32 = 2e-5
# Up to this size Newton's method on the diagonal takes no longer than a round of inner steps.
QUICK_NEWTON = 1000
# With more numbers and multipliers a step of Newton's method on the whole problem takes as long as some rounds do, and
# it needs some twenty: it waits for so many rounds, or for so many certificates in a row without progress.
MANY, LATE, SLOW = 3000, 8, 2
# The share of the tolerance that Newton's method seeks where there are no more than that: some more of its steps.
FINE = 0.05
# On an accelerator a finishing round of a large problem has this many times as many steps.
FREE = 3
# The first two rounds from a cheaper relaxation's optimum have so many times fewer.
NEARER = 3
# A warm start that has not settled gets penalties so many times as large, up to so many times the schedule's first.
FASTER, FAR = 5.0, 30.0
# V is of deficient rank where its least singular value is below this share of the largest: at 7e-4, where one of
# SDP-NN's global hr2+ begins to finish, more columns still save rounds (16.053 instead of 16.065 after 110 s).
DEFICIENT = 1e-4
# The length of a new column, relative to V's.
NUDGE = 0.05
# Certificates without progress until a run is called stalled; what counts as progress, as a share of the tolerance.
UNIMPROVED, PROGRESS = 6, 0.02
# Shares of the tolerance: of what the value may have moved in a round, and the bound lie above it, at the end; of the
# gap that is worth more columns.
HALF, WORTH_COLUMNS = 0.5, 0.3
# The least inner tolerance.
LEAST = 1e-9
# New cuts are violated by more than this.
VIOLATED = 0.005


def finish(run: Run) -> Status:
    """Rounds of inner minimisations and multiplier updates from where the steering ended.

    A run is SOLVED once its Lagrangian's value has settled (no round moves it by more than half of the tolerance) and
    a certified bound lies above that value by no more than half of the tolerance; where there are cuts, and so few
    rows that Newton's method may follow, only if that held before and another look for cuts has not improved the bound
    by more than half of the tolerance since. It is STALLED after UNIMPROVED certificates in a row without progress, or
    when the schedule's rounds are over: then with a settled value and the best bound within all of the tolerance it is
    SOLVED all the same, unless Newton's method may follow. With several layers Newton's method on the whole problem
    takes over once the value has settled or rounds are slow (`is_slow`), and its status is the run's, unless it stalls.
    A run that begins at a cheaper relaxation's optimum and has no cuts is SOLVED, too, where what that has proved is
    within half of the tolerance of the settled value: first in rounds of a third as many steps.
    """
    return Finishing(run).rounds()


class Finishing:
    """Where the rounds of `finish` stand.

    Attributes:
        number: of rounds before this one.
        tolerance: of the inner minimisation, next time.
        value: the Lagrangian's, in the problem's units.
        previous: the same a round ago; NaN where it is of no use.
        settled: whether it has settled.
        best: the least certified bound.
        idle: certificates in a row without progress.
        confirmed: the bound when all was met for the first time, where another look for cuts follows.
        looks_again: whether it follows now.
    """

    def __init__(self, run: Run):
        self.run, self.lifting = run, run.lifting
        self.number, self.tolerance = 0, run.schedule.finish
        # with cuts, chains of layers or float32, a round of steering and one of these may agree far from the end
        is_near = run.separator is None and not self.lifting.masked_layers and run.is_small
        self.value, self.previous, self.settled = np.nan, self.value_now() if is_near else np.nan, False
        self.best, self.idle, self.confirmed, self.looks_again = np.inf, 0, np.inf, False
        self.polished = False
        # the multipliers of another output are near, but in a box those of its input's variables lag behind
        is_nearer = run.is_warm and not self.lifting.masked_layers and XI not in self.lifting.sizes
        self.tightening = 0.6 if run.separator is not None else 0.5 if is_nearer else 0.3
        self.steps = (FREE if run.accelerated else 1) * run.schedule.finish_steps
        if run.is_known and run.separator is None:
            self.steps //= NEARER

    def rounds(self) -> Status:
        """`finish`."""
        for number in range(self.run.schedule.finish_rounds):
            self.number = number
            if number == 2 and self.run.is_known:
                self.steps = max(self.steps, self.run.schedule.finish_steps)
            if (status := self.round()) is not None:
                return status
        return self.end()

    def round(self) -> Status | None:
        """One of them; a status where it is the last.

        A round is certified once the Lagrangian's value has settled, and now and then before; near the time limit
        every round is, since each may be the last. The diagonal is repaired by eigenvectors as long as more inner steps
        may make that cheap enough, and by Newton's method when they no longer do.
        """
        run = self.run
        if run.separator is not None and (self.looks_again or not self.settled):  # else its multipliers are missing
            run.separate(triangles=True, least=VIOLATED)
        self.looks_again = False
        coarse = not run.is_small and self.tolerance >= FLOAT32
        run.minimise(np.float32 if coarse else np.float64, self.tolerance, self.steps)
        multipliers, M, d = run.dual()
        if not (M.is_finite() and np.isfinite(d).all()):
            return Status.NUMERICAL_ERROR
        self.value = in_units(cost(d, run.budget), self.lifting)
        self.settled = self.within(abs(self.value - self.previous), HALF, self.value)
        self.settled = self.settled or not (run.families or run.separator)
        if self.is_known_enough():
            run.monitor.report(run.iteration, self.value, run.gradient)
            return Status.SOLVED
        close = run.gradient <= 2 * self.tolerance
        if not self.is_due(close):
            run.monitor.report(run.iteration, self.value, run.gradient)
            self.tighten(close)
            return None
        bound, d = run.certify(multipliers, M, d, newton=self.repairs_by_newton(close))
        run.monitor.report(run.iteration, self.value, run.gradient)
        if self.is_met(bound):
            return Status.SOLVED
        self.record(bound)
        if self.is_slow() and (status := self.polish(multipliers, d)) is not None:
            return status
        if self.idle >= UNIMPROVED:
            return self.end()
        if (close or self.idle) and bound - self.value > WORTH_COLUMNS * run.monitor.tolerance * run.magnitude(bound):
            self.raise_rank(M, d)
        self.tighten(close)
        return None

    # --- when it ends -----------------------------------------------------------------------------------

    def is_known_enough(self) -> bool:
        """Whether what was proved before, by the multipliers that this run began at, ends it (`finish`)."""
        run = self.run
        if not run.is_known or run.separator is not None or not self.settled:
            return False
        return self.within(run.monitor.bound - self.value, HALF, run.monitor.bound)

    def is_met(self, bound: float) -> bool:
        """Whether this certified bound ends the run as SOLVED (`finish`)."""
        if not (self.settled and bound < np.inf and self.within(bound - self.value, HALF, bound)):
            return False
        # it may have settled on the way, with cuts missing: small problems can afford another look
        if not self.run.newton_may_follow or self.within(self.confirmed - bound, HALF, bound):
            return True
        self.confirmed, self.looks_again = bound, True
        return False

    def record(self, bound: float) -> None:
        """Keep the best bound, and count the certificates since it was last improved by enough."""
        tolerance, size = self.run.monitor.tolerance, self.run.magnitude(min(self.best, bound))
        self.idle = 0 if bound < self.best - PROGRESS * tolerance * size else self.idle + 1
        self.best = min(self.best, bound)

    def end(self) -> Status:
        """The status where no more rounds follow; half of the tolerance was for what more progress might bring."""
        is_close = self.settled and self.best < np.inf and self.within(self.best - self.value, 1.0, self.best)
        return Status.SOLVED if is_close and not self.run.newton_may_follow else Status.STALLED

    def within(self, difference: float, share: float, value: float) -> bool:
        """Whether it is within a share of the tolerance, relative to the value, or cannot be told from 0."""
        run = self.run
        wanted = share * run.monitor.tolerance * run.magnitude(value)
        return bool(difference <= max(wanted, rounding(run.scale, self.lifting)))

    def value_now(self) -> float:
        """The Lagrangian's value where the steering ended."""
        d = self.run.dual()[2]
        return in_units(cost(d, self.run.budget), self.lifting) if np.isfinite(d).all() else np.nan

    # --- what a round does ------------------------------------------------------------------------------

    def is_due(self, close: bool) -> bool:
        """Whether this round's multipliers are certified."""
        run = self.run
        # so many certificates before the time limit each round has one; an accelerator's rounds are shorter than those
        if run.accelerated:
            due, near_end = (self.settled and close) or self.number % 6 == 5, 3.0
        else:
            due = self.settled or (close and (self.number > 0 or not run.is_patient)) or self.number % 3 == 2
            near_end = 10.0
        return due or run.monitor.remaining() < near_end * run.certifying

    def repairs_by_newton(self, close: bool) -> bool:
        """Whether Newton's method on the diagonal may take part, or more inner steps may be cheaper still."""
        if not self.run.is_patient:
            return True
        early = 1 if self.lifting.size <= QUICK_NEWTON else 2
        return self.number >= 4 or (close and self.number >= early)

    def tighten(self, close: bool) -> None:
        """The next round's inner tolerance and penalty."""
        run = self.run
        lags = close and not self.settled  # the multipliers do
        largest = FAR * run.schedule.sigma
        if lags and self.number and run.is_warm and run.sigma < largest:
            # a start from so far away that it needs the penalties which steering ends with
            run.sigma, self.tolerance = min(FASTER * run.sigma, largest), run.schedule.finish
        elif close:
            self.tolerance = max(self.tightening * self.tolerance, LEAST)
            if lags:
                run.sigma *= run.schedule.growth
        self.previous = np.nan if self.looks_again else self.value

    def is_slow(self) -> bool:
        """Whether more rounds may take longer than Newton's method on the whole problem."""
        if affordable(self.lifting, self.run.families, MANY):
            return self.settled or self.number >= 2
        return self.number >= LATE or self.idle >= SLOW

    def polish(self, multipliers: dict[str, Array], d: Array) -> Status | None:
        """Newton's method from here, where layers make the last percent slow; None where it is of no use."""
        if self.polished or not self.lifting.masked_layers or not affordable(self.lifting, self.run.families):
            return None
        self.polished = True
        share = FINE if affordable(self.lifting, self.run.families, MANY) else 1.0
        status = solve_newton(
            self.lifting, self.run.families, self.run.monitor, start=multipliers, d=d, V=self.run.rows_on_host(),
            iteration=self.run.iteration, share=share,
        )  # fmt: skip
        return None if status is Status.STALLED else status

    def raise_rank(self, M: Arrow, d: Array) -> None:
        """Leave a saddle: more columns, along the eigenvectors of S that want to be negative.

        A stationary V of deficient rank is no saddle (Burer and Monteiro 2005): then nothing is done.
        """
        run = self.run
        if not run.is_small:
            V = run.rows_on_host()
            spectrum = np.linalg.eigvalsh(V.T @ V)
            if spectrum[0] < DEFICIENT**2 * spectrum[-1]:
                return
        wanted = run.rank if run.separator is None else 8 * -(-run.rank // 16)  # few shapes to compile
        added = min(wanted, self.lifting.size - run.rank)
        if added <= 0:
            return
        vectors = lowest(M, d, added, run.definite)
        new = np.zeros((run.factored.size, added))
        new[run.factored.rows, : vectors.shape[1]] = vectors * np.sqrt(self.lifting.size) * NUDGE
        new *= np.linalg.norm(run.P, axis=1, keepdims=True)
        run.P = np.concatenate([run.P[:, :-1], new, run.P[:, -1:]], axis=1)
        run.rank += added
