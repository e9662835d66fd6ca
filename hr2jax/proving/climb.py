"""Largest values (`maximum`) of the cases that linear bounds leave, by tighter and tighter relaxations."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arithmetic.float64 import Array
from ..bounds import preactivation_bounds
from ..bounds.slopes.search import find_output_slopes, find_slopes, pick_method
from ..certificate.errors import CertificateError
from ..domain import Box
from ..machine.stopping import check, is_interrupted
from ..options import Options
from ..problem import Problem, checked_problem
from ..proof.lines import Lines
from ..proof.question import Area, is_empty, target
from ..result import Progress, Result
from ..solving.prepared import Known, prepare
from ..solving.run import solve_checked
from ..text import lower_text, upper_text
from .attack import offered
from .multipliers import multipliers

if TYPE_CHECKING:
    from .prove import Proving

RELAXATIONS = ("interval", "hr2", "hr2+")
UPDATES = 6  # of a case's multipliers, in one relaxation
SLOPE_SECONDS = 60.0

NO_MULTIPLIERS = "no multipliers of their conditions separate them on the whole box, which branch and bound would split"


class Climb:
    """The climb of one `Proving`.

    Attributes:
        reason: why cases are left, where any are.
        doing: what is being done, for the line of progress.
    """

    def __init__(self, proving: Proving, show: Callable[[str], None]):
        self.proving, self.show = proving, show
        self.asked, self.options = proving.asked, proving.options
        self.doing = ""
        self.reason = "the relaxations are not tight enough, and branch and bound is not built yet"
        self.points: dict[tuple[int, int], list[Array]] = {}
        self.results: dict[tuple[int, int], Result] = {}
        self.slopes: dict[int, Any] = {}
        self.lines: dict[int, Lines] = {}

    def run(self) -> tuple[Fraction, ...] | None:
        """A counterexample, or None once nothing is left or more cannot be done."""
        for relaxation in RELAXATIONS:
            cases = [(a, c) for a in range(len(self.asked.areas)) for c in self.proving.left(a)]
            for k, (a, c) in enumerate(cases):
                if self.proving.is_over():
                    self.reason = "the time limit was reached"
                    return None
                self.doing = f"{relaxation}: {k + 1} of {len(cases)} cases"
                self.show(self.doing)
                share = self.proving.remaining() / (len(cases) - k) * (1.0 if relaxation == "hr2+" else 0.5)
                try:
                    witness = self.case(a, c, relaxation, share)
                except (ValueError, NotImplementedError) as error:  # beyond float64, or beyond memory
                    self.reason = f"beyond linear bounds: {error}"
                    return None
                if witness is not None:
                    return witness
                if relaxation == RELAXATIONS[-1] and (a, c) not in self.proving.steps:
                    return None  # whatever becomes of the others, this one stays
        return None

    def case(self, a: int, c: int, relaxation: str, seconds: float) -> tuple[Fraction, ...] | None:
        """Try to prove a case empty; the counterexample that is found on the way, or None."""
        area, until = self.asked.areas[a], time.time() + seconds
        conditions = area.cases[c]
        attack = self.proving.attacks.get(a)
        points = self.points.setdefault((a, c), [] if attack is None else [*attack.points(c)])
        before = None
        for _ in range(UPDATES):
            values = (
                conditions.values(self.asked.wide(np.array(points))) if points else np.zeros((0, len(conditions.rhs)))
            )
            own, most = multipliers(values)
            if most <= 0 and len(own) > 1:
                self.reason = NO_MULTIPLIERS
                return None
            if before is not None and np.array_equal(own, before):
                return None
            before = own
            result = self.bound(a, c, own, relaxation, until)
            if result is None:
                return None
            if self.accept(a, c, own, result):
                return None
            if result.witness is not None:
                if (found := offered(self.asked, area, result.witness)) is not None:
                    return found
                points.append(result.witness)
            if len(own) == 1 or time.time() >= until:
                return None
        return None

    def bound(self, a: int, c: int, own: Array, relaxation: str, until: float) -> Result | None:
        """The largest value of -lambda . M G on the box, as far as it matters; None where nothing is to be gained."""
        area, net = self.asked.areas[a], self.asked.wide
        along = target(area.cases[c], own.tolist(), net.widths[-1])
        goal = -float(area.cases[c].combined(own.tolist())[1])
        problem = checked_problem(net, -along, quantity="maximum", domain=area.domain)
        limit = None if np.isinf(until) else max(until - time.time(), 0.0)

        def is_decided(record: Progress) -> bool:
            return record.bound < goal - 1e-9 * abs(goal) or record.lower >= goal

        options = Options(
            relaxation=relaxation, tol=self.options.tol, time_limit=limit, device=self.options.device,
            seed=self.options.seed, callback=is_decided, warm_start=self.results.get((a, c)),
        ).check(net, problem)  # fmt: skip
        slopes = self.slopes_of(a, area, problem)
        if slopes is None and relaxation == "interval":
            return None  # linear bounds were as good
        fixed = prepare(net, problem, options, Known(slopes, self.slopes[a][2]))

        def show(record: Progress, about: str = "", doing: str = "") -> None:
            self.show(f"{self.doing}, {upper_text(record.bound)} to come below {lower_text(goal)}")

        result = solve_checked(net, problem, fixed, options, None, show, time.perf_counter())
        if is_interrupted():
            raise KeyboardInterrupt
        if relaxation != "interval":
            self.results[a, c] = result
        return result

    def slopes_of(self, a: int, area: Area, problem: Problem) -> Any:
        """What proves the pre-activation bounds beside intervals: the hidden layers' once for each area."""
        net = self.asked.wide
        if a not in self.slopes:
            method = "interval" if net.smooth else pick_method(net, problem)
            seconds = min(SLOPE_SECONDS, 0.1 * self.proving.remaining())
            found = None
            if method != "interval":
                found = find_slopes(net, problem, method, seconds=seconds, seed=self.options.seed)
            self.slopes[a] = method, found, preactivation_bounds(net, problem, found)
        method, found, proved = self.slopes[a]
        if method == "interval":
            return None
        seconds = min(SLOPE_SECONDS, 0.05 * self.proving.remaining())
        last = find_output_slopes(net, problem, proved, method, seconds=seconds, seed=self.options.seed) or {}
        return dict(found) | {(len(net.layers), k): values for k, values in last.items()}

    def accept(self, a: int, c: int, own: Array, result: Result) -> bool:
        """Keep the certificate where it proves the case empty, by what it proves when it is verified."""
        check()
        area, certificate = self.asked.areas[a], result.certificate
        claim = certificate.lipschitz_problem
        least = -result.bound
        if not self.is_proved(a, c, own, -claim.coefficients, least):
            return False
        assert isinstance(claim.domain, Box) and area.is_within(claim.domain)
        try:
            least = -certificate.verify(self.asked.wide)
        except CertificateError:
            return False
        if not self.is_proved(a, c, own, -claim.coefficients, least):
            return False
        self.proving.steps[a, c] = own, certificate
        return True

    def is_proved(self, a: int, c: int, own: Array, along: Array, least: float) -> bool:
        """`is_empty`, with bounds of the outputs where multipliers are not those of the certificate exactly."""
        conditions, numbers = self.asked.areas[a].cases[c], own.tolist()
        if is_empty(conditions, numbers, along, least, None):
            return True
        if a not in self.lines:
            self.lines[a] = Lines(self.asked.wide, self.asked.areas[a].domain)
        return is_empty(conditions, numbers, along, least, self.lines[a].reach)
