"""What SIGINT (Ctrl-C), SIGTERM and SIGUSR1 do to the command line."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from ..interrupted import Terminated
from ..progress import STATE

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_STOPPING = b"\nhr2jax: stopping (again: at once)\n"


class Signals:
    """What has come so far.

    Attributes:
        code: 128 and the first signal's number, which the command then exits with; 0 before any.
        answering: whether an answer is being written, which a signal does not end any more.
    """

    def __init__(self) -> None:
        self.code = 0
        self.answering = False

    def hear(self, number: int, frame: Any) -> None:
        """The first signal interrupts what runs, as Ctrl-C does in Python, by its name; another one leaves at once."""
        if self.code:
            os._exit(128 + number)
        self.code = 128 + number
        if self.answering:
            return
        os.write(2, _STOPPING)  # not by print: it may have been interrupted while it held its lock
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt


@contextlib.contextmanager
def listening(signals: Signals) -> Iterator[None]:
    """Within: SIGINT and SIGTERM stop the command, in the main thread; one that is ignored (nohup, &) stays so.

    SIGUSR1 prints on stderr where it stands, and stops nothing.
    """
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # only there may handlers be set
        before = {n: h for n in SIGNALS if (h := signal.getsignal(n)) not in (signal.SIG_IGN, None)}
    try:
        for number in before:
            signal.signal(number, signals.hear)
        if before and hasattr(signal, "SIGUSR1"):
            before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, _tell) or signal.SIG_DFL
            STATE.is_asked_for = True
        yield
    finally:
        signals.answering = True  # one that comes now is counted, and interrupts nothing
        for number, handler in before.items():
            signal.signal(number, handler)
        STATE.is_asked_for = False


def _tell(number: int, frame: Any) -> None:
    os.write(2, f"hr2jax: {STATE}\n".encode())  # not by print: it may have been interrupted while it held its lock
