"""The certified radius of each input, by a test of one rival at one radius; in this process or in several."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import connection, get_context, parent_process
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..arithmetic.enclosure import TooLargeError
from ..arithmetic.float64 import Array
from ..machine.stopping import GRACE, LOOK, check
from ..network import Network
from .margins import Clip
from .rivals import TESTS, Question, Stopped, Test


@dataclass(frozen=True)
class Setting:
    """What the inputs share.

    Attributes:
        radii: those asked for, ascending.
        accuracy: bisection between two radii ends when they differ by this factor less 1; None: no bisection.
        deadline: time.time() at which to stop, or None.
    """

    net: Network
    via: str
    norm: str | int
    clip: Clip | None
    radii: tuple[float, ...]
    accuracy: float | None
    options: Mapping[str, Any]
    deadline: float | None


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
    """What a search found: the certified radius, and whether it came to its end."""

    index: int
    radius: float
    finished: bool


def search(setting: Setting, task: Task, stop: Callable[[], bool]) -> Found:
    """The certified radius of an input, no farther than the largest radius asked for.

    A radius is certified when each rival is excluded, so the first rival that cannot be ends the work on that
    radius. What is certified at one radius is at all smaller ones: the radii are searched by bisection, and then
    the interval between the largest certified and the smallest that failed.
    """
    test = TESTS[setting.via]
    assert test is not None
    known = task.known.copy()
    radii = [r for r in setting.radii if r < task.broken]
    failed = task.broken
    try:
        low, high = 0, len(radii)  # radii[:low] are certified, radii[high:] are not
        while True:
            low = max(low, int(np.searchsorted(radii, known.min(), side="right")))
            if low >= high:
                break
            middle = (low + high) // 2
            if _excluded(setting, task, test, radii[middle], known, stop):
                low = middle + 1
            else:
                high, failed = middle, min(failed, radii[middle])
        while setting.accuracy is not None and failed <= setting.radii[-1]:
            certified = float(known.min())
            if failed <= certified * (1.0 + setting.accuracy) or failed <= setting.radii[0] * setting.accuracy:
                break
            between = 0.5 * certified + 0.5 * failed  # the sum may be beyond float64
            if not _excluded(setting, task, test, between, known, stop):
                failed = between
    except Stopped:
        return Found(task.index, float(known.min()), False)
    return Found(task.index, float(known.min()), True)


def _excluded(
    setting: Setting, task: Task, test: Test, radius: float, known: Array, stop: Callable[[], bool]
) -> bool:
    """Whether every rival is excluded within `radius`; the most dangerous one is tried first. Raises `known`."""
    for rival in np.argsort(known, kind="stable"):
        if known[rival] >= radius:
            break
        if stop() or (setting.deadline is not None and time.time() >= setting.deadline):
            raise Stopped
        question = Question(
            setting.net, task.x, task.label, int(rival), radius, float(task.margins[rival]), setting.norm,
            setting.clip, setting.options, setting.deadline, stop,
        )  # fmt: skip
        try:
            proved = test(question)
        except TooLargeError:
            proved = 0.0
        known[rival] = max(known[rival], proved)
        if proved < radius:
            return False
    return True


def search_all(setting: Setting, tasks: Sequence[Task], workers: int | None) -> Iterator[Found]:
    """`search` for every task, as they come; ends early at the deadline, and at a stop."""
    if workers is None or workers == 1 or len(tasks) < 2:
        for task in tasks:
            if setting.deadline is not None and time.time() >= setting.deadline:
                return
            yield search(setting, task, _never)
        return
    context = get_context("spawn")  # a fork would copy JAX's threads in the middle of their work
    halt = context.Event()
    with ProcessPoolExecutor(min(workers, len(tasks)), context, _initialise, (setting, halt)) as pool:
        pending: set[Future[Found]] = {pool.submit(_work, task) for task in tasks}
        try:
            while pending:
                check()
                done, pending = wait(pending, timeout=LOOK, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        finally:
            halt.set()  # whatever ended the loop: the workers end, and the rest is not begun
            pool.shutdown(wait=True, cancel_futures=True)


def _never() -> bool:
    return False


# --- in a worker ------------------------------------------------------------------------------------

_own: dict[str, Any] = {}


def _initialise(setting: Setting, halt: Any) -> None:
    """One thread each for BLAS and XLA, before JAX has started its own; Ctrl-C is for the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threadpool_limits(1)
    _own.update(setting=setting, stop=halt.is_set)
    threading.Thread(target=_watch, args=(halt,), daemon=True).start()


def _watch(halt: Any) -> None:
    """End this process where it does not end by itself soon after it was told to, and where its parent is no more."""
    parent = parent_process()
    while not halt.is_set():
        if parent is not None and connection.wait([parent.sentinel], timeout=LOOK):
            os._exit(1)
    time.sleep(GRACE)
    os._exit(0)


def _work(task: Task) -> Found:
    setting, stop = _own["setting"], _own["stop"]
    if stop() or (setting.deadline is not None and time.time() >= setting.deadline):
        return Found(task.index, float(task.known.min()), False)
    return search(setting, task, stop)
