"""Wall time that compilation does not count against."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ..machine.stopping import check


class Clock:
    """A deadline `seconds` from now, put off by what happens inside `paused`."""

    def __init__(self, seconds: float):
        self.deadline = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds to the deadline, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    def is_over(self) -> bool:
        """Whether the deadline has passed; every step asks, so that Ctrl-C is heard here too."""
        check()
        return self.left() == 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Time spent inside does not count."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.deadline += time.monotonic() - start
