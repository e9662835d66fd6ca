"""`hr2jax`, and `python -m hr2jax`: the command line. Imports JAX only where Ctrl-C already ends it in one line."""

import os
import signal
import sys
from typing import Any


def run() -> int:
    """The command line's exit code."""
    # an exception among half-imported extension modules may come out as anything: leave without one
    is_heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_heard:
        signal.signal(signal.SIGINT, _leave)
    from .cli.main import main

    return main(ready=_hear if is_heard else lambda: None)


def _hear() -> None:
    """Let Ctrl-C raise again, where `run` found it so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: Any) -> None:
    os.write(2, b"hr2jax: interrupted: stopped before there was an answer\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(run())
