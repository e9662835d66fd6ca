"""`hr2jax`, and `python -m hr2jax`: the command line. Imports JAX only where Ctrl-C already ends it in one line."""

import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
UNHEARD = (signal.default_int_handler, signal.SIG_DFL)  # one that is ignored stays so


def run() -> NoReturn:
    """The command line; ends the process.

    Without the interpreter's end: a compilation that is left running there is a segmentation fault.
    """
    ours = [number for number in SIGNALS if signal.getsignal(number) in UNHEARD]
    # an exception among half-imported extension modules may come out as anything: leave without one
    for number in ours:
        signal.signal(number, _leave)
    from .cli.main import main
    from .machine import programs

    programs.keep()

    def ready() -> None:
        for number in ours:
            signal.signal(number, _leave_quietly)  # until the command listens, and when it has ended

    code = main(ready=ready)
    programs.end()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _leave(number: int, _: Any) -> None:
    os.write(2, b"hr2jax: interrupted: stopped before there was an answer\n")
    os._exit(128 + number)


def _leave_quietly(number: int, _: Any) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    run()
