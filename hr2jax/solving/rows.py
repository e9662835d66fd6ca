"""Several outputs whose constants count one by one: an operator norm to "inf" is the largest of the rows' dual norms.

Each row is a problem of one output. The largest of the rows' bounds is the bound, so that a row whose cheap bound is no
larger than another's proved one is not solved, and those are begun with that may decide.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..certificate.certificate import Certificate, whole_of
from ..machine.stopping import is_interrupted
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..progress import Show
from ..relaxation.presolve import Presolve
from ..result import CTRL_C, Progress, Result, Status, relative_gap
from ..text import output_text
from .checkpoint import Checkpoint
from .many import most_like
from .run import bounded_at_once, prepare, slopes_of, solve_checked

# Of several rows' statuses the first of these is that of all.
GRAVEST = (
    Status.STOPPED, Status.TIME_LIMIT, Status.ITERATION_LIMIT, Status.NUMERICAL_ERROR, Status.STALLED, Status.SOLVED,
)  # fmt: skip


def solve_rows(
    net: Network, problem: Problem, options: Options, start: Certificate | None, show: Show | None, began: float,
    tell: Callable[[Callable[[], Result]], None],
) -> Result:  # fmt: skip
    """The Result of a problem of several values, `problem.is_of_rows`, row by row; `start` is its checkpoint's."""
    rows = _Rows(net, problem, options, show, began, start)
    tell(lambda: rows.result(CTRL_C))
    while (k := rows.next()) is not None:
        rows.solve(k)
    return rows.result()


class _Rows:
    """The rows' results so far, cheap ones to begin with."""

    def __init__(
        self, net: Network, problem: Problem, options: Options, show: Show | None, began: float,
        start: Certificate | None,
    ):  # fmt: skip
        self.net, self.problem, self.options, self.show, self.began = net, problem, options, show, began
        self.problems = [problem.row(k) for k in range(len(problem.coefficients))]
        slopes = slopes_of(net, self.problems[0], options)  # of pre-activations: no output makes a difference
        self.fixed: list[Presolve] = [prepare(net, row, options, slopes) for row in self.problems]
        cheap = replace(options, checkpoint=None, callback=None)
        self.results = [bounded_at_once(net, *pair, cheap, "") for pair in zip(self.problems, self.fixed, strict=True)]
        self.starts: list[Certificate | None] = [None] * len(self.results)
        if start is not None:
            self.starts = [_proved(net, part) for part in start.parts]
        for k, part in enumerate(self.starts):
            if part is not None and part.bound < self.results[k].bound:
                self.results[k] = replace(self.results[k], bound=part.bound, certificate=part)
        self.done: set[int] = set()
        self.checkpoint = Checkpoint(options.checkpoint, net)
        self.checkpoint.save(self._certificate())

    def next(self) -> int | None:
        """The row of the largest bound, if it has not been solved and there is time."""
        bounds = [result.bound for result in self.results]
        k = int(np.argmax(bounds))
        if k in self.done or any(self.results[i].status is Status.STOPPED for i in self.done):
            return None
        if self.done and (self._left() <= 0 or self.results[k].bound <= self._largest().lower):
            return None
        return k

    def _left(self) -> float:
        limit = self.options.time_limit
        return math.inf if limit is None else limit - (time.perf_counter() - self.began)

    def _largest(self) -> Result:
        """The result of the largest lower bound."""
        return max(self.results, key=lambda result: result.lower)

    def solve(self, k: int) -> None:
        """Solve one row, in its share of the time that is left."""
        lower = max(result.lower for result in self.results)
        ahead = sum(result.bound > lower for i, result in enumerate(self.results) if i not in self.done)
        now, left = time.perf_counter(), self._left()
        own = replace(
            self.options, checkpoint=None, callback=self._callback(k),
            time_limit=None if math.isinf(left) else max(left, 0.0) / max(ahead, 1),
            warm_start=self._warm(k),
        )  # fmt: skip
        named = self.show
        if named is not None:
            named = partial(named, about=f"{output_text(self.problems[k].coefficients.tolist())}: ")
        found = solve_checked(self.net, self.problems[k], self.fixed[k], own, self.starts[k], named, now)
        self.results[k] = found
        self.done.add(k)
        self.checkpoint.save(self._certificate())

    def _warm(self, k: int) -> Result | None:
        """What to begin from: the solved row most like this one, or what the caller gave."""
        if not self.done:
            return self.options.warm_start
        return self.results[most_like(self.problems[k], self.problems, sorted(self.done))]

    def _callback(self, k: int) -> Callable[[Progress], Any] | None:
        """The caller's, who is told of all rows rather than of one."""
        given = self.options.callback
        if given is None:
            return None
        others = [result for i, result in enumerate(self.results) if i != k]

        def tell(progress: Progress) -> Any:
            bound = max([progress.bound, *(result.bound for result in others)])
            lower = max([progress.lower, *(result.lower for result in others)])
            return given(replace(
                progress, bound=bound, lower=lower, gap=relative_gap(bound, lower),
                seconds=time.perf_counter() - self.began,
            ))  # fmt: skip

        return tell

    def _certificate(self) -> Certificate:
        parts = [result.certificate for result in self.results]
        assert all(part is not None for part in parts)
        return whole_of(self.problem, [part for part in parts if part is not None], self.options.relaxation)

    def result(self, message: str | None = None) -> Result:
        """All rows in one; `message`: None for what the gravest of them says."""
        dearest = max(self.results, key=lambda result: result.bound)
        best, solved = self._largest(), [self.results[k] for k in sorted(self.done)]
        certificate = self._certificate()
        statuses = [result.status for result in solved] or [Status.STOPPED]
        if message is None and self.next() is not None:
            statuses.append(Status.TIME_LIMIT)
        status = Status.STOPPED if message is not None else min(statuses, key=GRAVEST.index)
        gap = relative_gap(certificate.bound, best.lower)
        if message is None:
            of = next((result.message for result in solved if result.status is status), status.value)
            message = CTRL_C if status is Status.STOPPED and is_interrupted() else of
        timings = {
            name: sum(result.timings[name] for result in self.results) if name != "peak_bytes" else value
            for name, value in max(self.results, key=lambda r: r.timings["peak_bytes"]).timings.items()
        }
        name = output_text(self.problems[self.results.index(dearest)].coefficients.tolist())
        return replace(
            dearest, bound=certificate.bound, lower=best.lower, witness=best.witness, gap=gap, status=status,
            message=f"{message}; {name} has the largest of {len(self.results)} bounds{self.checkpoint.note}",
            certificate=certificate, iterations=sum(result.iterations for result in solved), timings=timings,
            problem={
                **dearest.problem, "output": self.problem.coefficients.tolist(),
                "output_norm": self.problem.output_norm,
            },
        )  # fmt: skip


def _proved(net: Network, part: Any) -> Certificate:
    """A checkpoint's part, stating what it proves."""
    return part.with_bound(part.verify(net))
