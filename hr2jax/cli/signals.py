"""What signals do to the command line."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

# --- commands ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def kill_is_interrupt() -> Iterator[None]:
    """SIGTERM stops a solve as Ctrl-C does: the best bound so far is printed. The first of them is answered at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    heard = False

    def announce() -> None:
        nonlocal heard
        if not heard:
            heard = True
            # not by print: it may have been interrupted while it held its lock
            os.write(2, b"\nhr2jax: stopping, once the running step has ended (again: at once)\n")

    def stop(number: int, frame: Any) -> None:
        announce()
        signal.default_int_handler(number, frame)

    stop.announce = announce  # type: ignore[attr-defined]  # see interrupts.undisturbed
    # a signal that is ignored (nohup, a script's &) stays so
    before = {n: h for n in (signal.SIGTERM, signal.SIGINT) if (h := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
