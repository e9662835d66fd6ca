"""One question: is rival j excluded within this radius of this input? What answers it is chosen by `via`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..api import maximum
from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate
from ..network import Network
from ..options import VIA
from ..result import Progress, Status
from ..solving.many import solve_all
from .margins import Clip, clipped_ball, exceeds, largest_radius


@dataclass(frozen=True)
class Question:
    """Whether F_label - F_rival > 0 on {y : ||y - x|| <= radius}, y in the clip box.

    Attributes:
        margin: a lower bound of F_label(x) - F_rival(x).
        options: of `solve`.
        deadline: time.time() at which to stop; None without a time limit.
        keep: takes the bound that was proved, and its certificate.
    """

    net: Network
    x: Array
    label: int
    rival: int
    radius: float
    margin: float
    norm: str | int
    clip: Clip | None
    options: Mapping[str, Any]
    deadline: float | None
    keep: Callable[[float, Certificate], None] = lambda bound, certificate: None


class Stopped(Exception):
    """The deadline ended the search for an answer."""

# A test returns a radius, at most the question's, within which the rival is proved to be excluded (0: none);
# it raises Stopped where it was told to stop before it knew, TooLargeError where float64 cannot hold the ball.
Test = Callable[[Question], float]


def lipschitz_local(question: Question) -> float:
    """By the constant L of F_label - F_rival on the ball intersected with the clip box: margin > L radius.

    The box is convex and has x in it, so |f(y) - f(x)| <= L ||y - x|| for each of its points y.
    """
    center, half = question.x, np.asarray(question.radius)
    if question.norm == "inf":
        center, half = clipped_ball(question.x, question.radius, question.clip)
        if not half.any():  # the clip box holds nothing but x
            return question.radius if question.margin > 0 else 0.0

    def decided(record: Progress) -> bool:
        enough = bool(exceeds(question.margin, record.bound, question.radius))
        hopeless = record.lower * question.radius > question.margin
        return enough or hopeless

    left = None if question.deadline is None else max(question.deadline - time.time(), 0.0)
    (result,) = solve_all(
        question.net, [(question.label, question.rival)], norm=question.norm, center=center, radius=half,
        callback=decided, time_limit=left, **question.options,
    )  # fmt: skip
    question.keep(result.bound, result.certificate)
    radius = min(question.radius, float(largest_radius(question.margin, result.bound)))
    if radius < question.radius:
        if result.status is Status.TIME_LIMIT:
            raise Stopped
        if result.status is Status.STOPPED and not decided(_last(result)):
            raise KeyboardInterrupt  # which solve_all has kept for itself
    return radius


def _last(result: Any) -> Progress:
    return Progress(0, 0.0, result.bound, result.lower, result.gap, result.relaxation_value, 0.0)


def margin_sdp(question: Question) -> float:
    """By an upper bound of F_rival - F_label on the ball (Raghunathan et al. 2018): below 0, it is excluded."""
    center, half = question.x, np.asarray(question.radius)
    if question.norm == "inf":
        center, half = clipped_ball(question.x, question.radius, question.clip)
        if not half.any():  # the clip box holds nothing but x
            return question.radius if question.margin > 0 else 0.0

    def decided(record: Progress) -> bool:
        return record.bound < 0 or record.lower >= 0

    left = None if question.deadline is None else max(question.deadline - time.time(), 0.0)
    options = {name: value for name, value in question.options.items() if name not in ("method", "lifting", "witness")}
    result = maximum(
        question.net, output=(question.rival, question.label), norm=question.norm, center=center, radius=half,
        callback=decided, time_limit=left, **options,
    )  # fmt: skip
    question.keep(result.bound, result.certificate)
    if result.bound < 0:
        return question.radius
    if result.status is Status.TIME_LIMIT:
        raise Stopped
    if result.status is Status.STOPPED and result.lower < 0:
        raise KeyboardInterrupt
    return 0.0


# via -> its test; None: what the global constants say is all there is.
TESTS: dict[str, Test | None] = dict(zip(VIA, (None, lipschitz_local, margin_sdp), strict=True))
