"""Ctrl-C waits for the compiled program that runs.

JAX gives a KeyboardInterrupt to whoever waits for a compilation or a program, while its threads go on with them: they
take the cores from what is to be certified now, and if the interpreter ends first it does so by a segmentation fault.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let the first interrupt (SIGINT, SIGTERM) wait until the block has ended; a second one does not wait.

    A handler with an attribute `announce` has that called at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    waiting: list[int] = []
    handlers = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM)
        if callable(handler := signal.getsignal(number))
    }  # fmt: skip

    def later(number: int, frame: FrameType | None) -> None:
        if waiting:
            handlers[signal.Signals(number)](number, frame)
        waiting.append(number)
        getattr(handlers[signal.Signals(number)], "announce", lambda: None)()

    later.announce = lambda: None  # type: ignore[attr-defined]
    for number in handlers:
        signal.signal(number, later)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if waiting:
            handlers[signal.Signals(waiting[0])](waiting[0], None)
