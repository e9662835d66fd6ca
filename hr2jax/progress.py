"""Progress for people: a live line on a terminal, else messages of `logging.getLogger("hr2jax")` now and then."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from .text import lower_text, upper_text

if TYPE_CHECKING:
    from .result import Progress

LOG = logging.getLogger("hr2jax")
# Seconds over which a rate is told.
WINDOW = 3.0
# Seconds without a better bound that are told, and by how much it is better.
STILL, MOVED = 30.0, 1e-5
# Seconds between messages: a log wants few, and that of a batch system, of hours, one a minute.
LOG_INTERVAL, LONG, LONG_INTERVAL = 5.0, 60.0, 60.0


def log_interval(elapsed: float) -> float:
    """Seconds until the next message of work that has taken so many."""
    return LOG_INTERVAL if elapsed < LONG else LONG_INTERVAL


class State:
    """Where the work of this process stands, for whoever asks.

    Attributes:
        is_asked_for: whether somebody may ask, also where no progress is wanted.
    """

    def __init__(self) -> None:
        self.is_asked_for = False
        self._said: tuple[float, str] | None = None

    def say(self, text: str) -> None:
        """It stands there now."""
        self._said = time.monotonic(), text

    def __str__(self) -> str:
        if self._said is None:
            return "nothing to tell yet"
        since, text = self._said
        return f"{text} ({time.monotonic() - since:.0f} s ago)"


STATE = State()


class Show(Protocol):
    """Shows where a solve stands, after what it is about and what is being done."""

    def __call__(self, record: Progress, about: str = "", doing: str = "") -> None:  # noqa: D102
        ...


@contextlib.contextmanager
def progress_line(wanted: bool) -> Iterator[Show | None]:
    """A function that shows a Progress, or None: one live line on a terminal, few messages in the log."""
    if not wanted:
        yield _remembered if STATE.is_asked_for else None
    elif _is_terminal():
        with _live_line() as show:
            yield show
    else:
        with _log_lines() as show:
            yield show


def _remembered(record: Progress, about: str = "", doing: str = "") -> None:
    STATE.say(about + doing + _progress_text(record, math.nan))


def _is_terminal() -> bool:
    """Whether stderr is there (pythonw has none) and somebody looks at it."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextlib.contextmanager
def _live_line() -> Iterator[Show]:
    from tqdm import tqdm

    rate, still = Rate(), Still()
    with tqdm(bar_format="{desc}", file=sys.stderr, leave=True) as bar:

        def show(record: Progress, about: str = "", doing: str = "") -> None:
            text = about + doing + _progress_text(record, rate.of(record), still.of(record))
            STATE.say(text)
            bar.set_description_str(text)

        yield show


@contextlib.contextmanager
def _log_lines() -> Iterator[Show]:
    began, due, last, rate, still = time.monotonic(), -math.inf, "", Rate(), Still()

    def show(record: Progress, about: str = "", doing: str = "") -> None:
        nonlocal due, last
        last = about + doing + _progress_text(record, rate.of(record), still.of(record))
        STATE.say(last)
        if time.monotonic() >= due:
            LOG.info("%s", last)
            due, last = time.monotonic() + log_interval(time.monotonic() - began), ""

    try:
        yield show
    finally:
        if last:
            LOG.info("%s", last)


class Rate:
    """Iterations a second, over the last reports: WINDOW seconds of them at least."""

    def __init__(self) -> None:
        self.seen: deque[tuple[float, int]] = deque()

    def of(self, record: Progress) -> float:
        """The rate as of this report; NaN where nothing tells it."""
        if self.seen and (record.seconds, record.iteration) < self.seen[-1]:
            self.seen.clear()  # another problem has begun
        self.seen.append((record.seconds, record.iteration))
        while len(self.seen) > 2 and record.seconds - self.seen[1][0] >= WINDOW:
            self.seen.popleft()
        (since, before), (now, after) = self.seen[0], self.seen[-1]
        return (after - before) / (now - since) if after > before and now > since else math.nan


class Still:
    """Seconds since the bound has moved, by more than MOVED of itself."""

    def __init__(self) -> None:
        self.bound, self.since = math.inf, 0.0

    def of(self, record: Progress) -> float:
        """So many as of this report."""
        is_another = record.bound > self.bound or record.seconds < self.since  # another problem has begun
        if is_another or not math.isfinite(self.bound) or self.bound - record.bound > MOVED * abs(self.bound):
            self.bound, self.since = record.bound, record.seconds
        return record.seconds - self.since


def _progress_text(record: Progress, rate: float, still: float = 0.0) -> str:
    speed = "" if math.isnan(rate) else f"  {rate:.3g} it/s"
    left = "" if math.isinf(record.left) else f", {record.left:.0f} s left"
    attained = f"lower {lower_text(record.lower)}  gap {100 * record.gap:.2f} %" if record.lower != 0 else ""
    unmoved = f"bound unchanged for {still:.0f} s" if still >= STILL else ""
    said = "  ".join(part for part in (f"certified {upper_text(record.bound)}", attained, unmoved) if part)
    return f"iteration {record.iteration}  {said}{speed}  {record.seconds:.1f} s{left}"


# Seconds of work that need no line.
QUIET = 2.0


class Line:
    """Shows what is being done: one live line on a terminal, a line now and then in a log.

    Args:
        wanted: whether anybody is shown anything.
        began: when the work did, as `time.time` says.
        deadline: when it has to end; None: when it is done.
    """

    def __init__(self, wanted: bool, began: float, deadline: float | None = None):
        self.wanted, self.due, self.width = wanted, began + QUIET, 0
        self.began, self.deadline = began, deadline
        self.what, self.since, self.before = "", began, 0

    def __enter__(self) -> Line:
        return self

    def show(self, text: str, done: int | None = None, total: int = 0) -> None:
        """Say `text` if it is time to, and where `done` of `total` such things are, at which rate they are done."""
        now, left = time.time(), math.inf if self.deadline is None else self.deadline - time.time()
        if done is not None:
            if text != self.what or done < self.before:
                self.what, self.since, self.before = text, now, done  # these have just begun
            rate = (done - self.before) / (now - self.since) if done > self.before and now > self.since else 0.0
            text = f"{text}: {done} of {total}"
            if rate:
                text, left = f"{text}, {rate:.3g} a second", min(left, (total - done) / rate)
        STATE.say(text)
        if not self.wanted or now < self.due:
            return
        text = f"{text}, {now - self.began:.0f} s"
        if left < math.inf:
            text = f"{text}, {max(left, 0.0):.0f} s left"
        if _is_terminal():
            print(f"\r{text:<{self.width}}", end="", file=sys.stderr, flush=True)
            self.width, self.due = len(text), now + 0.1
        else:
            LOG.info("%s", text)
            self.due = now + log_interval(now - self.began)

    def end(self) -> None:
        """Leave the live line, if there is one, for what others write."""
        if self.width:
            print(file=sys.stderr)
        self.width = 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
