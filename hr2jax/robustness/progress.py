"""A line on stderr for what takes longer than a moment."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from ..report import LOG_INTERVAL

# Seconds of work that need no line.
PATIENCE = 2.0


class Line:
    """Shows what is being done: one live line on a terminal, a line now and then in a log."""

    def __init__(self, wanted: bool, began: float):
        self.wanted, self.due, self.width = wanted, began + PATIENCE, 0
        self.began = began

    def __enter__(self) -> Line:
        return self

    def show(self, text: str) -> None:
        """Say `text` if it is time to."""
        now = time.time()
        if not self.wanted or now < self.due:
            return
        text = f"{text}, {now - self.began:.0f} s"
        if sys.stderr.isatty():
            print(f"\r{text:<{self.width}}", end="", file=sys.stderr, flush=True)
            self.width, self.due = len(text), now + 0.1
        else:
            print(text, file=sys.stderr, flush=True)
            self.due = now + LOG_INTERVAL

    def end(self) -> None:
        """Leave the live line, if there is one, for what others write."""
        if self.width:
            print(file=sys.stderr)
        self.width = 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
