"""One question: is rival j excluded within this radius of this input? What answers it is chosen by `via`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..arithmetic.float64 import Array
from ..bounds.jumps import may_jump
from ..certificate.certificate import Certificate
from ..network import Network
from ..options import VIA, Options
from ..problem import checked_problem
from ..result import Progress, Result, Status
from ..solving.prepared import known_of
from ..solving.run import run
from .margins import Clip, clipped_ball, exceeds, largest_radius

# What largest values have no choice of.
OF_CONSTANTS = ("method", "lifting", "witness")


@dataclass(frozen=True, eq=False)
class Ball:
    """{y : ||y - x|| <= radius}, y in the clip box: what rivals are asked about there has its bounds in common.

    Attributes:
        options: of `solve`.
    """

    net: Network
    x: Array
    radius: float
    norm: str | int
    clip: Clip | None
    options: Mapping[str, Any]

    @cached_property
    def box(self) -> tuple[Array, Array]:
        """Center and radius, or half-widths, of a ball or box around it."""
        if self.norm == "inf":
            return clipped_ball(self.x, self.radius, self.clip)
        return self.x, np.asarray(self.radius)

    @property
    def is_point(self) -> bool:
        """Whether the clip box holds nothing but x."""
        return not self.box[1].any()

    @property
    def may_jump(self) -> bool:
        """Whether the network may jump here, by what `solve` has found out."""
        return may_jump(self.net, self.__dict__["known"].bounds)

    def solve(
        self, output: tuple[int, int], quantity: str, options: Mapping[str, Any], deadline: float | None,
        callback: Callable[[Progress], bool], earlier: Result | None = None,
    ) -> Result:  # fmt: skip
        """The Lipschitz constant or the largest value of F_k - F_j here, from that of another ball."""
        began, left = time.perf_counter(), None if deadline is None else max(deadline - time.time(), 0.0)
        problem = checked_problem(self.net, output, self.norm, *self.box, quantity)
        chosen = Options(callback=callback, time_limit=left, warm_start=earlier, **options).check(self.net, problem)
        if "known" not in self.__dict__:
            self.__dict__["known"] = known_of(self.net, problem, chosen)
        return run(self.net, problem, chosen, began, self.__dict__["known"])


@dataclass(frozen=True)
class Question:
    """Whether F_label - F_rival > 0 on a ball.

    Attributes:
        margin: a lower bound of F_label(x) - F_rival(x).
        deadline: time.time() at which to stop; None without a time limit.
        keep: takes the bound that was proved, and its certificate.
        solved: by rival, what an engine has found in another ball around the input, to begin from.
    """

    ball: Ball
    label: int
    rival: int
    margin: float
    deadline: float | None
    keep: Callable[[float, Certificate], None] = lambda bound, certificate: None
    solved: dict[int, Result] = field(default_factory=dict)

    def answer(
        self, output: tuple[int, int], quantity: str, options: Mapping[str, Any], callback: Callable[[Progress], bool]
    ) -> Result:
        """What the ball says, once it is decided; its bound is kept."""
        result = self.ball.solve(output, quantity, options, self.deadline, callback, self.solved.get(self.rival))
        self.keep(result.bound, result.certificate)
        if result.iterations:
            self.solved[self.rival] = result
        return result

    @property
    def radius(self) -> float:
        """The ball's."""
        return self.ball.radius


class Stopped(Exception):
    """The deadline ended the search for an answer."""

# A test returns a radius, at most the question's, within which the rival is proved to be excluded (0: none);
# it raises Stopped where it was told to stop before it knew, TooLargeError where float64 cannot hold the ball.
Test = Callable[[Question], float]


def lipschitz_local(question: Question) -> float:
    """By the constant L of F_label - F_rival on the ball intersected with the clip box: margin > L radius.

    The box is convex and has x in it, so |f(y) - f(x)| <= L ||y - x|| for each of its points y, if nothing jumps there.
    """
    if question.ball.is_point:
        return question.radius if question.margin > 0 else 0.0

    def decided(record: Progress) -> bool:
        enough = bool(exceeds(question.margin, record.bound, question.radius))
        hopeless = record.lower * question.radius > question.margin
        return enough or hopeless

    result = question.answer((question.label, question.rival), "lipschitz", question.ball.options, decided)
    if question.ball.may_jump:
        return 0.0
    radius = min(question.radius, float(largest_radius(question.margin, result.bound)))
    if radius < question.radius:
        if result.status is Status.TIME_LIMIT:
            raise Stopped
        if result.status is Status.STOPPED and not decided(_last(result)):
            raise KeyboardInterrupt  # which the solve has kept for itself
    return radius


def _last(result: Any) -> Progress:
    return Progress(0, 0.0, result.bound, result.lower, result.gap, result.relaxation_value, 0.0)


def margin_sdp(question: Question) -> float:
    """By an upper bound of F_rival - F_label on the ball (Raghunathan et al. 2018): below 0, it is excluded."""
    if question.ball.is_point:
        return question.radius if question.margin > 0 else 0.0

    def decided(record: Progress) -> bool:
        return record.bound < 0 or record.lower >= 0

    options = {name: value for name, value in question.ball.options.items() if name not in OF_CONSTANTS}
    result = question.answer((question.rival, question.label), "maximum", options, decided)
    if result.bound < 0:
        return question.radius
    if result.status is Status.TIME_LIMIT:
        raise Stopped
    if result.status is Status.STOPPED and result.lower < 0:
        raise KeyboardInterrupt
    return 0.0


# via -> its test; None: what the global constants say is all there is.
TESTS: dict[str, Test | None] = dict(zip(VIA, (None, lipschitz_local, margin_sdp), strict=True))
