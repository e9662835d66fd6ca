"""One running solve: its clock, its best certificate, its record. The engines' `Monitor`."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate, certify_multipliers
from ..certificate.prover import prover_of
from ..engines.monitor import Stop, Timings
from ..lower.values import value_at
from ..machine.compile_clock import compile_seconds
from ..machine.stopping import check, in_callers_thread
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..progress import Show
from ..relaxation.presolve import Presolve
from ..result import Progress, Status, relative_gap
from .checkpoint import Checkpoint

# Tolerances that a gap has which is worth another lifting.
OPEN = 5.0
# What has run before any engine has.
NO_ENGINE = "none"


class Session:
    """Keeps what must not be lost: the best certificate (also in the checkpoint) and the best witness.

    Attributes:
        certificate: the best so far; a norm-product bound before any engine has run.
        lower, witness: the best attained lower bound so far.
        has_witness: whether the witness attains it, as any point does a value; a slope above 0 is to be found first.
        is_searched: whether all points that could attain more were searched.
        engine: the last that has run.
        cases: a tree of cases, or several, that may be cut further; None: none has been begun.
    """

    def __init__(
        self, net: Network, problem: Problem, fixed: Presolve, options: Options, versions: Mapping[str, str],
        show: Show | None, began: float,
    ):  # fmt: skip
        self.net, self.problem, self.fixed, self.options, self.versions = net, problem, fixed, options, versions
        self.show = show
        self.began = began
        self.relaxation, self.tolerance = options.relaxation, options.tol
        self._for_search, self._before = 0.0, 0
        self.timings = Timings(lambda: time.perf_counter() - compile_seconds())
        self.lower = 0.0
        self.witness = problem.domain.center.copy() if problem.is_local else np.zeros(net.widths[0])
        self.has_witness = problem.quantity == "maximum"
        self.is_searched = False
        self.cases: Any = None
        self.origin = 0.0
        self.iteration, self.engine = 0, NO_ENGINE
        self.size = 0
        self.relaxation_value = math.nan
        self.history: dict[str, list[float]] = {
            name: [] for name in ("seconds", "iteration", "bound", "relaxation_value", "residual")
        }
        start = time.perf_counter()
        with self.timings.span("certify"):
            self._prover, self._of = prover_of(net, problem, fixed), fixed
            self.certificate = self._certified({}, None)
        self.baseline = self.bound
        if problem.quantity == "maximum":
            self.lower = value_at(net, problem, self.witness)
            self.origin = self.lower - max(self.bound - self.lower, 0.0)
        # What a last certificate will take must be left before the time limit. This first one has no
        # factorisation and no eigenvectors: with them it took about eight times as long.
        self._first = time.perf_counter() - start
        self._reserve = 8.0 * self._first
        self.checkpoint = Checkpoint(options.checkpoint, net, began)
        if options.checkpoint is not None and not options.checkpoint.exists() and math.isfinite(self.bound):
            self.checkpoint.save(self.certificate)

    @property
    def bound(self) -> float:
        """The best certified bound so far."""
        return self.certificate.bound

    @property
    def unsaved(self) -> str | None:
        """Why the checkpoint does not have the best certificate; None where it has."""
        return self.checkpoint.unsaved

    def is_closed(self) -> bool:
        """Whether what is attained and what is proved agree to the tolerance."""
        return relative_gap(self.bound, self.lower) <= self.tolerance

    def is_open(self) -> bool:
        """Whether there is a witness, and a gap above it that is worth some time."""
        return self.lower > 0 and relative_gap(self.bound, self.lower) > OPEN * self.tolerance

    def offer(self, certificate: Certificate) -> None:
        """Keep a certificate if it is the best; write the checkpoint."""
        if certificate.bound < self.bound:
            self.certificate = certificate
            self.checkpoint.save(certificate)

    def certify(self, multipliers: Mapping[str, Array], diagonal: Array | None) -> float:
        """The bound these multipliers prove; the best one is kept (`Monitor.certify`)."""
        check()
        start = time.perf_counter()
        with self.timings.span("certify"):
            certificate = self._certified(multipliers, diagonal)
            self.offer(certificate)
        self._reserve = max(0.5 * self._reserve, 2.0 * (time.perf_counter() - start))
        return certificate.bound

    def _certified(self, multipliers: Mapping[str, Array], diagonal: Array | None) -> Certificate:
        return certify_multipliers(
            self.net, self.problem, self.relaxation, self._of, multipliers, diagonal, self.versions, self._prover
        )

    def expect(self, seconds: float) -> None:
        """Of a last certificate's time, all but what the first one took is no more than about so many seconds.

        In large networks norms of matrices take the first one long, and no other.
        """
        self._reserve = min(self._reserve, self._first + 2.0 * seconds)

    def seconds(self) -> float:
        """Wall time since `solve` was called."""
        return time.perf_counter() - self.began

    def left(self) -> float:
        """Seconds before the time limit, nothing kept for anything; infinity without one."""
        limit = self.options.time_limit
        return math.inf if limit is None else limit - self.seconds()

    def remaining(self, last: float = 0.0) -> float:
        """Seconds left before the time limit, less what a last certificate and the search for a witness take."""
        return self.left() - max(self._reserve, last) - self._for_search

    def is_over(self) -> bool:
        """Whether a limit has been reached."""
        return self.remaining() <= 0 or self.iterations_left() <= 0

    def keep_for_search(self, seconds: float) -> None:
        """Let the engines end so long before the time limit."""
        self._for_search = seconds

    @contextlib.contextmanager
    def stage(self, relaxation: str, tolerance: float) -> Iterator[None]:
        """Solve this relaxation, to this tolerance."""
        self.relaxation, self.tolerance, self._before = relaxation, tolerance, self.iteration
        try:
            yield
        finally:
            self.relaxation, self.tolerance = self.options.relaxation, self.options.tol

    @contextlib.contextmanager
    def on(self, fixed: Presolve) -> Iterator[None]:
        """Certify by another presolve of the same problem: another lifting's. `fixed` stays what is described."""
        kept, self._prover = (self._prover, self._of), prover_of(self.net, self.problem, fixed)
        self._of = fixed
        try:
            yield
        finally:
            self._prover, self._of = kept

    def iterations_left(self) -> float:
        """Engine iterations left."""
        limit = self.options.max_iterations
        return math.inf if limit is None else limit - self.iteration

    def report(self, iteration: int, relaxation_value: float, residual: float) -> None:
        """Record and show progress; raise Stop on a limit or when the callback says so (`Monitor.report`)."""
        check()
        self.iteration = self._before + iteration
        if not math.isnan(relaxation_value):
            self.relaxation_value = relaxation_value
        self.checkpoint.keep(self.certificate)
        record = self.record(residual)
        for name, values in self.history.items():
            values.append(float(getattr(record, name)))
        if self.show is not None:
            self.show(record)
        if self.options.callback is not None:
            answer = in_callers_thread(self.options.callback, record)
            if isinstance(answer, bool | np.bool_) and answer:
                raise Stop(Status.STOPPED)
        if self.iterations_left() <= 0:
            raise Stop(Status.ITERATION_LIMIT)
        if self.remaining() <= 0:
            raise Stop(Status.TIME_LIMIT)

    def record(self, residual: float = math.nan) -> Progress:
        """Where it stands."""
        return Progress(
            self.iteration, self.seconds(), self.bound, self.lower, relative_gap(self.bound, self.lower),
            self.relaxation_value, residual, max(self.left(), 0.0),
        )  # fmt: skip

    def arrays(self) -> dict[str, Any]:
        """The history as arrays."""
        length = min(map(len, self.history.values()))  # another thread may be adding to them
        return {name: np.asarray(values[:length]) for name, values in self.history.items()}
