"""The command line's exit codes, and how an answer or an error reaches the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .signals import Signals

YES, NO, BAD, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141

EXIT_CODES = """exit codes:
  0    a certified bound, also when a limit ended the solve
  1    the answer is no: a certificate that does not verify
  2    bad usage or bad input, in one line on stderr
  130  Ctrl-C; where a bound was proved by then it is printed, and the files are written
  143  SIGTERM, likewise
  141  nobody reads the output any more (a closed pipe)
"""


def found(signals: Signals, work: Callable[[], Any]) -> Any:
    """The work's answer; after a signal what was proved by then, if anything was. Then no signal stops the command."""
    answer = None
    try:
        answer = work()
        signals.answering = True
    except KeyboardInterrupt as stop:
        answer = getattr(stop, "result", answer)
        if answer is None:
            raise
        signals.answering = True
    return answer


def deliver(answer: Any, outputs: dict[str, Path], write: Callable[[Any, str, Path], None]) -> int:
    """Write the files, print the answer; a file that cannot be written is said after it."""
    failures = []
    try:
        for name, path in outputs.items():
            try:
                write(answer, name, path)
            except Exception as error:  # the answer is worth more than one of its files
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                failures.append(f"--{name} {path} could not be written: {reason}")
    finally:
        print(answer)
    if failures:
        raise ValueError("; ".join(failures))
    return YES
