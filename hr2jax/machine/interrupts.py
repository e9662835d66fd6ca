"""Ctrl-C waits for the compiled program that runs.

JAX gives a KeyboardInterrupt to whoever waits for a compilation or a program, while its threads go on with them: they
take the cores from what is to be certified now, and if the interpreter ends first it does so by a segmentation fault.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let interrupts (SIGINT, SIGTERM) wait until the block has ended: the first then goes on, the others count as it.

    A handler with an attribute `announce` has that called at once. A block within another is part of that.
    """
    found = {int(number): signal.getsignal(number) for number in SIGNALS}
    inside = any(getattr(handler, "waits", False) for handler in found.values())
    if inside or threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    # others are not Python's, and raise nothing
    handlers: dict[int, Callable[[int, FrameType | None], Any]] = {n: h for n, h in found.items() if callable(h)}
    waiting: list[tuple[int, FrameType | None]] = []

    def later(number: int, frame: FrameType | None) -> None:
        if not later.waits:  # type: ignore[attr-defined]  # an interrupt came before this handler could be put back
            handlers[number](number, frame)
            return
        waiting.append((number, frame))
        if len(waiting) == 1:
            getattr(handlers[number], "announce", lambda: None)()

    later.waits = True  # type: ignore[attr-defined]
    try:
        for number in handlers:
            signal.signal(number, later)
        yield
    finally:
        later.waits = False  # type: ignore[attr-defined]
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if waiting:
            number, frame = waiting[0]
            handlers[number](number, frame)
