"""Problems of one network on one domain, one after the other or shared by workers, in one time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..arithmetic.enclosure import check_arithmetic
from ..machine.cluster import keeping_processes
from ..machine.device import is_accelerated, on_device
from ..machine.stopping import hear, is_interrupted, tell
from ..machine.workers import Here, LostError, Workers
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..progress import LOG, Line, Show, progress_line
from ..relaxation import lift, preset
from ..relaxation.presolve import Presolve
from ..result import Result, Status, interrupted_message
from ..results import Results
from ..text import output_text
from .haste import norms_in_time
from .parts import is_solved_in_parts, solve_parts
from .prepared import Known, bare, by_intervals, known_of, prepare
from .run import bounded_at_once, solve_checked
from .several import LEAST_SHARE, WORTHWHILE, better, most_like


@dataclass(frozen=True)
class Shared:
    """What the problems share.

    Attributes:
        until: time.time() at which all are to end; None: never.
        show: takes the progress of each, where this is the calling process; None: nobody looks.
    """

    net: Network
    options: Options
    known: Known
    until: float | None
    show: Show | None = None


@dataclass(frozen=True)
class Task:
    """One problem.

    Attributes:
        place: which of all it is.
        turns: among so many, one after the other, is the time shared that is left: this one and those to come.
        earlier: a result to begin from; None: none.
        fixed: the presolved problem; None: whoever works finds it.
        about: what progress is about.
    """

    place: int
    problem: Problem
    turns: int
    earlier: Result | None = None
    fixed: Presolve | None = None
    steered: Any = None
    about: str = ""


def solve_one(shared: Shared, task: Task) -> tuple[int, Result]:
    """The place and the result of a problem, in its share of the time."""
    now, net, problem = time.perf_counter(), shared.net, task.problem
    limit = None if shared.until is None else max(shared.until - time.time(), 0.0) / task.turns
    own = replace(shared.options, warm_start=task.earlier, time_limit=limit)
    show = partial(shared.show, about=task.about) if shared.show is not None and task.about else shared.show
    with on_device(own.device):
        if is_solved_in_parts(net, problem, own):
            return task.place, solve_parts(net, problem, own, None, show, now, known=shared.known)
        fixed = prepare(net, problem, own, shared.known) if task.fixed is None else task.fixed
        return task.place, solve_checked(net, problem, fixed, own, None, show, now, task.steered)


def solve_elsewhere(shared: Shared, task: Task) -> tuple[int, Result]:
    """`solve_one` in another process than the one whose arithmetic was tested."""
    check_arithmetic()
    with norms_in_time(shared.net, shared.options.time_limit):
        return solve_one(shared, task)


class Each:
    """The problems and what is known of each: a result, at last."""

    def __init__(
        self, net: Network, problems: Sequence[Problem], options: Options, others: Workers,
        found: Callable[[int, Result], Any] | None, began: float,
    ):  # fmt: skip
        """began: time.time() from which the time limit counts; see `solve_all` for the others."""
        self.net, self.problems, self.options, self.others, self.found = net, problems, options, others, found
        self.until = None if options.time_limit is None else began + options.time_limit
        self.is_here = isinstance(others, Here)
        self.done: dict[int, Result] = {}
        self.is_stopped, self.message = False, Status.STOPPED.value
        self._fixed: dict[int, Presolve] = {}
        early = by_intervals(net, problems[0], options)
        if early is not None:  # whoever stops the search for slopes has bounds
            self.known = early
            tell(lambda: self._all(interrupted_message()))
        self.known = known_of(net, problems[0], options)

    def results(self) -> Results:
        """Of all, in their order; of those that nobody finished what is proved at once."""
        tell(lambda: self._all(interrupted_message()))
        try:
            with keeping_processes(), progress_line(self.options.progress and self.is_here) as show:
                self._solve(show)
        except KeyboardInterrupt:
            hear()
            self.message = interrupted_message()
        except LostError as error:
            self.message = str(error)
            LOG.warning("%s; what was finished is kept", error)
        if is_interrupted():
            self.message = interrupted_message()
        left, all_ = set(range(len(self.problems))) - self.done.keys(), self._all(self.message)
        if self.found is not None:
            for k in sorted(left):
                self.found(k, all_[k])
        return all_

    def _all(self, message: str) -> Results:
        done = self.done.copy()
        return Results([done[k] if k in done else self._at_once(k, message) for k in range(len(self.problems))])

    def _at_once(self, k: int, message: str) -> Result:
        fixed = self._fixed[k] if k in self._fixed else bare(self.net, self.problems[k], self.known)
        with norms_in_time(self.net, self.options.time_limit):  # whoever asks may be another thread
            return bounded_at_once(self.net, self.problems[k], fixed, self.options, message)

    def fixed(self, k: int) -> Presolve:
        """The k-th problem, presolved."""
        if k not in self._fixed:
            self._fixed[k] = prepare(self.net, self.problems[k], self.options, self.known)
        return self._fixed[k]

    def _solve(self, show: Show | None) -> None:
        steered = self._steered() if self.is_here else [None] * len(self.problems)
        options = self.options if self.is_here else replace(self.options, progress=False)
        shared = Shared(self.net, options, self.known, self.until, show)
        self._pass(shared, range(len(self.problems)), steered)
        is_better = self.until is not None
        while is_better and not self.is_stopped:  # what is left is for those that their share of it has ended
            pending = [k for k in sorted(self.done) if self.done[k].status is Status.TIME_LIMIT]
            is_better = self._pass(shared, pending, [None] * len(self.problems), again=True)

    def _pass(self, shared: Shared, places: Sequence[int], steered: Sequence[Any], again: bool = False) -> bool:
        """Solve those; `again`: on from what they have. Whether that has brought something."""
        is_better = False
        with Line(self.options.progress and not self.is_here, time.time(), self.until) as line:
            work = solve_one if self.is_here else solve_elsewhere
            answers = self.others.answers(work, shared, self._tasks(places, steered, again), shared.until)
            for count, (k, result) in enumerate(answers, 1):
                is_better |= self._take(k, result)
                line.show("problems solved" + " on" * again, count, len(places))
        return is_better

    def _tasks(self, places: Sequence[int], steered: Sequence[Any], again: bool) -> Iterator[Task]:
        """The tasks, each when it is due: from what is known by then."""
        at_once = max(self.others.at_once, 1)
        for i, k in enumerate(places):
            turns = -(-len(places) // at_once) - i // at_once
            if self.is_stopped or (again and (self.until or 0.0) - time.time() < LEAST_SHARE * turns):
                return
            earlier = self.done[k] if again else None
            if earlier is None and self.is_here and self.done and steered[k] is None:
                earlier = self.done[most_like(self.problems[k], self.problems, reversed(range(k)))]
            about = f"{k + 1} of {len(self.problems)}, {output_text(self.problems[k].coefficients.tolist())}: "
            yield Task(
                k, self.problems[k], turns, earlier, self.fixed(k) if self.is_here else None, steered[k],
                about if len(self.problems) > 1 else "",
            )  # fmt: skip

    def _take(self, k: int, result: Result) -> bool:
        """Keep a result; whether it is better than the one before by what is worth going on for."""
        before = self.done.get(k)
        self.is_stopped |= self.is_here and result.status is Status.STOPPED
        if before is None:
            self.done[k] = result
        elif result.bound < before.bound or result.status is not Status.TIME_LIMIT:
            self.done[k] = better(before, result)
        else:
            return False
        if self.found is not None:
            self.found(k, self.done[k])
        return before is not None and result.bound < (1.0 - WORTHWHILE) * before.bound

    def _steered(self) -> list[Any]:
        """The first rounds of the small problems of `lowrank`, done together; None for the others."""
        out: list[Any] = [None] * len(self.problems)
        options = self.options
        # rounds that are the same for all problems: without cuts
        if options.method not in ("auto", "lowrank") or not options.record.by_products or options.record.cuts:
            return out
        if any(problem.is_vector or problem.has_parts for problem in self.problems):
            return out
        if options.time_limit is not None or options.max_iterations is not None or not _pays():
            return out
        from ..engines.product.batch import steer_together
        from ..engines.product.schedule import is_small

        liftings = [lift(self.net, problem, self.fixed(k)) for k, problem in enumerate(self.problems)]
        # small ones of several layers are `newton`'s
        small = [k for k, lifting in enumerate(liftings) if is_small(lifting.size) and not lifting.masked_layers]
        if len(small) > 1:
            chosen = [(liftings[k], preset(options.relaxation, liftings[k])) for k in small]
            for k, steered in zip(small, steer_together(chosen, tolerance=options.tol, seed=options.seed), strict=True):
                out[k] = steered
        return out


def _pays() -> bool:
    """Whether steering together does: on a CPU it takes as long as one after the other, and compiles more besides.

    Measured (bench/many.py --small).
    """
    return is_accelerated()
