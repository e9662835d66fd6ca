"""The certified radius of each input, by a test of one rival at one radius; in this process or in several."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arithmetic.enclosure import TINY, TooLargeError
from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate
from ..machine.stopping import is_interrupted
from ..machine.threads import few_threads
from ..machine.workers import workers_of
from ..network import Network
from ..result import Result
from .margins import Clip
from .rivals import TESTS, Ball, Question, Stopped, Test

Proofs = dict[int, tuple[float, Certificate | None]]


@dataclass(frozen=True)
class Setting:
    """What the inputs share.

    Attributes:
        radii: those asked for, ascending.
        accuracy: bisection between two radii ends when they differ by this factor less 1; None: no bisection.
        deadline: time.time() at which to stop, or None.
        keep: whether certificates are sent back.
    """

    net: Network
    via: str
    norm: str | int
    clip: Clip | None
    radii: tuple[float, ...]
    accuracy: float | None
    options: Mapping[str, Any]
    deadline: float | None
    keep: bool = False


@dataclass(frozen=True)
class Task:
    """One input.

    Attributes:
        index: which of the inputs.
        x: (p_0,).
        label: its label.
        margins: (K,) lower bounds of F_label(x) - F_j(x); infinity at the label.
        known: (K,) radii within which rival j is already excluded.
        broken: a radius at which an adversarial point is known; infinity where none is.
    """

    index: int
    x: Array
    label: int
    margins: Array
    known: Array
    broken: float


@dataclass(frozen=True)
class Found:
    """What a search found: the certified radius, and whether it came to its end.

    Attributes:
        known: (K,) the radii within which each rival is excluded.
        proofs: of those that the search has excluded farther, the bound that says so and, if kept, its certificate.
    """

    index: int
    radius: float
    finished: bool
    known: Array | None = field(default=None, compare=False)
    proofs: Proofs = field(default_factory=dict, compare=False)


def search(setting: Setting, task: Task) -> Found:
    """The certified radius of an input, no farther than the largest radius asked for.

    A radius is certified when each rival is excluded, so the first rival that cannot be ends the work on that
    radius. What is certified at one radius is at all smaller ones: the radii are searched by bisection, and then
    the interval between the largest certified and the smallest that failed.
    """
    with few_threads(max(setting.net.widths)):  # once, not for every question
        return _search(setting, task)


def _search(setting: Setting, task: Task) -> Found:
    test = TESTS[setting.via]
    assert test is not None
    known, proofs, solved = task.known.copy(), Proofs(), dict[int, Result]()
    radii = [r for r in setting.radii if r < task.broken]
    failed = task.broken
    try:
        low, high = 0, len(radii)  # radii[:low] are certified, radii[high:] are not
        while True:
            low = max(low, int(np.searchsorted(radii, known.min(), side="right")))
            if low >= high:
                break
            middle = (low + high) // 2
            if _excluded(setting, task, test, radii[middle], known, proofs, solved):
                low = middle + 1
            else:
                high, failed = middle, min(failed, radii[middle])
        if setting.accuracy is not None and failed <= setting.radii[-1]:
            _narrow(setting, task, test, setting.accuracy, failed, known, proofs, solved)
    except Stopped:
        return Found(task.index, float(known.min()), False, known, proofs)
    return Found(task.index, float(known.min()), True, known, proofs)


def _narrow(
    setting: Setting, task: Task, test: Test, accuracy: float, failed: float, known: Array, proofs: Proofs,
    solved: dict[int, Result],
) -> None:
    """Bisect between what is certified and what failed, to a relative accuracy: by the geometric mean.

    The arithmetic one takes a step for each power of 2 between them, of which there can be 2000.
    """
    least = max(setting.radii[0] * accuracy, TINY)  # what is certified below it counts as 0
    while failed > (certified := max(float(known.min()), least)) * (1.0 + accuracy):
        between = math.sqrt(certified) * math.sqrt(failed)  # their product may be beyond float64
        if not certified < between < failed:  # neighbours: nothing is between them
            break
        if not _excluded(setting, task, test, between, known, proofs, solved):
            failed = between


def _excluded(
    setting: Setting, task: Task, test: Test, radius: float, known: Array, proofs: Proofs, solved: dict[int, Result],
) -> bool:  # fmt: skip
    """Whether every rival is excluded within `radius`; the most dangerous one is tried first. Raises `known`."""
    found: list[tuple[float, Certificate | None]] = []

    def keep(bound: float, certificate: Certificate) -> None:
        found[:] = [(bound, certificate if setting.keep else None)]

    ball = Ball(setting.net, task.x, radius, setting.norm, setting.clip, setting.options)
    for rival in np.argsort(known, kind="stable"):
        if known[rival] >= radius:
            break
        if is_interrupted():
            raise KeyboardInterrupt  # also where a solve has heard it
        if setting.deadline is not None and time.time() >= setting.deadline:
            raise Stopped
        question = Question(ball, task.label, int(rival), float(task.margins[rival]), setting.deadline, keep, solved)
        try:
            proved = test(question)
        except TooLargeError:
            proved = 0.0
        if proved > known[rival]:
            known[rival] = proved
            if found:
                proofs[int(rival)] = found.pop()
        if proved < radius:
            return False
    return True


def search_all(
    setting: Setting, tasks: Iterable[Task], count: int, workers: int | None, client: Any = None
) -> Iterator[Found]:
    """`search` for each of `count` tasks, as they come; closing the iterator ends the workers."""
    return workers_of(workers, count, client).answers(search, setting, tasks, setting.deadline)
