"""Operator norms that are the largest of several constants: to "inf" those of the rows, to 1 those of their sums with
signs, from 1 those of the columns.

A row is a problem of one output; a column is one whose direction t is along one input. The largest of the parts' bounds
is the bound, so that a part whose cheap bound is no larger than another's proved one is not solved, and those are begun
with that may decide. All columns are one part, bounded by interval arithmetic and norm products, from which those are
taken one by one that are solved: the column of the largest cheap bound first.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..arithmetic.float64 import Array
from ..bounds.jacobian import column_constants
from ..certificate.certificate import Certificate, whole_of
from ..machine.stopping import is_interrupted
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..progress import Show
from ..relaxation.neurons import masks
from ..relaxation.presolve import Presolve
from ..result import Progress, Result, Status, interrupted_message, relative_gap, solved_message
from ..text import output_text
from .checkpoint import Checkpoint, seconds_used
from .prepared import Known, bare, by_intervals, known_of, prepare
from .run import LEAST, bounded_at_once, effort_of, searched, solve_checked
from .several import LEAST_SHARE, better, most_like

# Of several parts' statuses the first of these is that of all.
GRAVEST = (
    Status.STOPPED, Status.TIME_LIMIT, Status.ITERATION_LIMIT, Status.NUMERICAL_ERROR, Status.STALLED, Status.SOLVED,
)  # fmt: skip
# Values whose sums with signs are solved one by one, in place of the problem of all.
MOST_SUMMED = 4
SMALL = 220  # inputs, neurons and outputs of networks of which that is done
# Rows that are not solved of which a witness is looked for.
MOST_LOOKED = 10
# Seconds in which a part of a small network has LipSDP's bound by one pass.
CHEAP_SHARE = 0.1
# Chains whose bounds are of all directions: those of the tangents are smaller of one.
OF_TANGENTS = {"p", "q"}


def is_solved_in_parts(net: Network, problem: Problem, options: Options, start: Certificate | None = None) -> bool:
    """Whether `solve_parts` solves a problem: one that `has_parts`, or a small one that few signed sums tell."""
    if options.record.baseline:
        return False
    if start is not None and not problem.has_parts:
        return bool(start.parts)
    is_free = options.lifting == "auto" and options.cuts is None and options.record.hardest.reaches
    is_small = len(problem.coefficients) <= MOST_SUMMED and sum(net.widths) <= SMALL
    return problem.has_parts or (is_free and is_small and problem.may_have_parts)


def solve_parts(
    net: Network, problem: Problem, options: Options, start: Certificate | None, show: Show | None, began: float,
    tell: Callable[[Callable[[], Result]], None] | None = None, known: Known | None = None,
) -> Result:  # fmt: skip
    """The Result of a problem, part by part; `start` is its checkpoint's, `tell` `solve_checked`'s."""
    if options.lifting == "tensored":  # of several values; those that a checkpoint has are of one
        options = replace(options, lifting="auto")
    early = by_intervals(net, problem, options) if known is None and start is None else None
    if tell is not None and early is not None:  # whoever stops the search for slopes has bounds
        first = _Parts(net, problem, options, show, began, None, early, bare)
        tell(lambda: first.result(interrupted_message()))
    parts = _Parts(net, problem, options, show, began, start, known)
    if tell is not None:
        tell(lambda: parts.result(interrupted_message()))
    while (part := parts.next()) is not None:
        parts.solve(part)
    parts.look_around()
    return parts.result()


@dataclass(frozen=True, eq=False)
class _Part:
    """A row, a column, or columns of which none has been solved; its cheap result to begin with.

    Attributes:
        start: what a checkpoint proves of it.
        is_done: whether it has been solved.
        is_open: whether it could be solved on: the last thing that ended it was its share of the time.
        had: seconds of its last share.
    """

    net: Network
    problem: Problem
    fixed: Presolve
    result: Result
    start: Certificate | None = None
    is_done: bool = False
    is_open: bool = True
    had: float = 0.0

    @cached_property
    def columns(self) -> Array:
        """(q,) what interval arithmetic says of each column: only the order follows from it."""
        net, fixed = self.fixed.relaxed(self.net), self.fixed
        return column_constants(net, self.problem, fixed.directions, *masks(net, fixed.layers))

    @property
    def name(self) -> str:
        """What a person calls it."""
        output = output_text(self.problem.coefficients.tolist())
        if self.problem.norm != 1:
            return output
        inputs = self.fixed.directions
        return f"{output} along " + (f"input {inputs[0]}" if len(inputs) == 1 else f"{len(inputs)} inputs")

    def count(self, lower: float) -> int:
        """How many problems it may still become: those whose bounds exceed `lower`."""
        if not self.is_open or self.result.bound <= lower:
            return 0
        return max(int((self.columns > lower).sum()), 1) if self.problem.is_of_columns else 1


class _Parts:
    """The parts so far, row by row."""

    def __init__(
        self, net: Network, problem: Problem, options: Options, show: Show | None, began: float,
        start: Certificate | None, known: Known | None = None, presolved: Callable[..., Presolve] | None = None,
    ):  # fmt: skip
        """presolved: makes a Presolve of the network, a problem and what is known; None: `prepare`."""
        self.net, self.problem, self.options, self.show, self.began = net, problem, options, show, began
        problems = problem.rows() if start is None else [part.lipschitz_problem for part in start.parts]
        self.known = known_of(net, problems[0], options) if known is None else known
        self.cheap = replace(options, checkpoint=None, callback=None)
        made = partial(prepare, options=options) if presolved is None else presolved
        self.parts = [self._begun(part, made(net, part, known=self.known)) for part in problems]
        if start is not None:
            proved = [_proved(net, part) for part in start.parts]
            self.parts = [_started(*pair) for pair in zip(self.parts, proved, strict=True)]
        self.checkpoint = Checkpoint(options.checkpoint, net, began)
        self.checkpoint.used = seconds_used(start)
        self.checkpoint.save(self._certificate())

    def _begun(self, problem: Problem, fixed: Presolve) -> _Part:
        return _Part(self.net, problem, fixed, bounded_at_once(self.net, problem, fixed, self.cheap, ""))

    def _open(self) -> _Part | None:
        """The part of the largest bound, if that may become smaller."""
        part = max(self.parts, key=lambda part: part.result.bound)
        if not part.is_open:
            return None
        is_closed = relative_gap(part.result.bound, self._largest().lower) <= self.options.tol
        return None if is_closed and any(part.is_done for part in self.parts) else part

    def next(self) -> _Part | None:
        """The part to solve, if there is time."""
        done = [part for part in self.parts if part.is_done]
        if any(part.result.status is Status.STOPPED for part in done) or (done and self._left() <= 0):
            return None
        part = self._open()
        if part is None or (part.is_done and self._left() < LEAST_SHARE):
            return None
        return self._split(part) if part.problem.is_of_columns else part

    def _split(self, part: _Part) -> _Part:
        """The column of the largest cheap bound, apart from the others of its part."""
        inputs, k = part.fixed.directions, int(np.argmax(part.columns))
        own = part.problem.towards(inputs[k : k + 1])
        if OF_TANGENTS & set(part.fixed.chains):
            fixed = prepare(self.net, own, self.options, self.known)
        else:
            fixed = replace(part.fixed, directions=inputs[k : k + 1])
        column, found = self._begun(own, fixed), []
        if len(inputs) > 1:
            rest = np.delete(inputs, k)
            others = self._begun(part.problem.towards(rest), replace(part.fixed, directions=rest))
            others.__dict__["columns"] = np.delete(part.columns, k)
            found = [others]
        at = self.parts.index(part)
        self.parts = [*self.parts[:at], column, *found, *self.parts[at + 1 :]]
        return column

    def _share(self, part: _Part) -> float:
        """Seconds for the next part: no less than brings something, for the others' bounds do not count before its.

        One that its share has not been enough for has twice as much.
        """
        lower, left = self._largest().lower, self._left()
        if math.isinf(left):
            return left
        equal = left / max(sum(other.count(lower) for other in self.parts), 1)
        # the bound is that of the part that had least: all have a cheap relaxation's before one has an engine's
        least = LEAST_SHARE if part.had else CHEAP_SHARE
        return max(min(left, max(equal, least, 2.0 * part.had)), 0.0)

    def _left(self) -> float:
        limit = self.options.time_limit
        return math.inf if limit is None else limit - (time.perf_counter() - self.began)

    def _largest(self) -> Result:
        """The result of the largest lower bound."""
        return max((part.result for part in self.parts), key=lambda result: result.lower)

    def solve(self, part: _Part) -> None:
        """Solve one part, or solve it on, in its share of the time that is left."""
        now, share, so_far = time.perf_counter(), self._share(part), list[Callable[[], Result]]()
        own = replace(
            self.options, checkpoint=None, callback=self._callback(part, so_far),
            time_limit=None if math.isinf(share) else share, warm_start=self._warm(part),
        )  # fmt: skip
        named = self.show if self.show is None else partial(self.show, about=f"{part.name}: ")
        found = solve_checked(self.net, part.problem, part.fixed, own, part.start, named, now, tell=so_far.append)
        if part.is_done:
            found = better(part.result, found)
        is_open = found.status is Status.TIME_LIMIT
        solved = replace(part, result=found, is_done=True, is_open=is_open, start=found.certificate, had=share)
        self.parts = [solved if other is part else other for other in self.parts]
        self.checkpoint.save(self._certificate())

    def look_around(self) -> None:
        """Look for a witness of the rows that have not been solved, whose bounds are no larger than those that have.

        What is attained may be theirs all the same: their own search is as short as that before any engine.
        """
        rows = [part for part in self.parts if not (part.is_done or part.problem.is_of_columns)]
        if is_interrupted() or not self.options.effort:
            return
        for part in sorted(rows, key=lambda part: part.result.bound, reverse=True)[:MOST_LOOKED]:
            best = self._largest()
            if relative_gap(part.result.bound, best.lower) <= self.options.tol or self._left() <= 0:
                continue
            effort = effort_of(self.net, self.options, LEAST, self._left())
            value, witness = searched(self.net, part.problem, self.options, effort, best.witness)
            if value > part.result.lower:
                found = replace(part, result=replace(part.result, lower=value, witness=witness))
                self.parts = [found if other is part else other for other in self.parts]

    def _warm(self, part: _Part) -> Result | None:
        """What to begin from: the solved part most like this one, or what the caller gave."""
        if part.is_done:
            return part.result
        done = [other for other in self.parts if other.is_done]
        same = [k for k, other in enumerate(done)
                if np.array_equal(other.problem.coefficients, part.problem.coefficients)]  # fmt: skip
        if same:
            return done[same[-1]].result
        if not done:
            return self.options.warm_start
        return done[most_like(part.problem, [other.problem for other in done], range(len(done)))].result

    def _callback(self, part: _Part, so_far: list[Callable[[], Result]]) -> Callable[[Progress], Any] | None:
        """The caller's, who is told of all parts rather than of one; and what a long part has is saved now and then."""
        given = self.options.callback
        if given is None and self.options.checkpoint is None:
            return None
        others = [other.result for other in self.parts if other is not part]

        def tell(progress: Progress) -> Any:
            if self.checkpoint.is_due:
                self.checkpoint.save(self._certificate(part, so_far[-1]()))
            if given is None:
                return None
            bound = max([progress.bound, *(result.bound for result in others)])
            lower = max([progress.lower, *(result.lower for result in others)])
            return given(replace(
                progress, bound=bound, lower=lower, gap=relative_gap(bound, lower),
                seconds=time.perf_counter() - self.began,
            ))  # fmt: skip

        return tell

    def _certificate(self, of: _Part | None = None, so_far: Result | None = None) -> Certificate:
        """Of all parts; of one of them what is known `so_far`."""
        results = [so_far if so_far is not None and part is of else part.result for part in self.parts]
        found = [result.certificate for result in results]
        assert all(part is not None for part in found)
        return whole_of(self.problem, [part for part in found if part is not None], self.options.relaxation)

    def result(self, message: str | None = None) -> Result:
        """All parts in one; `message`: None for what the gravest of them says."""
        parts = self.parts
        dearest, best = max(parts, key=lambda part: part.result.bound), self._largest()
        solved = [part.result for part in parts if part.is_done]
        certificate = self._certificate()
        statuses = [result.status for result in solved] or [Status.STOPPED]
        if message is None and self._open() is not None:
            statuses.append(Status.TIME_LIMIT)
        gap = relative_gap(certificate.bound, best.lower)
        if gap <= self.options.tol and Status.STOPPED not in statuses:
            statuses = [Status.SOLVED]  # whatever ended single parts
        status = Status.STOPPED if message is not None else min(statuses, key=GRAVEST.index)
        if message is None:
            message = next((result.message for result in solved if result.status is status), status.value)
            if status is Status.STOPPED and is_interrupted():
                message = interrupted_message()
            elif status is Status.SOLVED:
                message = solved_message(gap > self.options.tol, self.options.effort > 0, best.lower > 0)
        timings = {
            name: sum(part.result.timings[name] for part in parts) if name != "peak_bytes" else value
            for name, value in max((p.result for p in parts), key=lambda r: r.timings["peak_bytes"]).timings.items()
        }
        said = {"output": self.problem.coefficients.tolist()}
        said |= {"output_norm": self.problem.output_norm} if self.problem.is_vector else {}
        return replace(
            dearest.result, bound=certificate.bound, lower=best.lower, witness=best.witness, gap=gap, status=status,
            message=f"{message}; {dearest.name} has the largest of {len(parts)} bounds{self.checkpoint.note}",
            certificate=certificate, iterations=sum(result.iterations for result in solved), timings=timings,
            problem={**dearest.result.problem, **said},
        )  # fmt: skip


def _started(part: _Part, proved: Certificate) -> _Part:
    """The part with what a checkpoint's certificate proves of it, where that is better."""
    if proved.bound < part.result.bound:
        part = replace(part, result=replace(part.result, bound=proved.bound, certificate=proved))
    return part if part.problem.is_of_columns else replace(part, start=proved)


def _proved(net: Network, part: Any) -> Certificate:
    """A checkpoint's part, stating what it proves."""
    return part.with_bound(part.verify(net))
