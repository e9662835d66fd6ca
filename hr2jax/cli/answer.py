"""The command line's exit codes, and how an answer or an error reaches the user."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .signals import Signals

YES, NO, BAD, UNKNOWN, INTERRUPTED, NO_READER = 0, 1, 2, 3, 130, 141

EXIT_CODES = """exit codes:
  0    a certified bound, also when a limit ended the solve
  1    the answer is no: a certificate that does not verify, a property that is violated, a
       selftest that fails
  2    bad usage or bad input, in one line on stderr
  3    unknown: a property that is neither proved nor violated
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


def checked_outputs(outputs: dict[str, Path], read: Iterable[str | os.PathLike[str] | None]) -> dict[str, Path]:
    """The files to write, by name, if they can be: refused now rather than after an hour of solving.

    Args:
        outputs: the option's name -> path; a "plot" is checked to be one.
        read: the files that this command reads; None where an option is not given.

    Raises:
        ValueError: a file that cannot be written, or that is another file of this command.
        ImportError: a plot without matplotlib.
    """
    from ..machine.files import refusal

    taken = {os.path.realpath(path) for path in read if path}
    for name, path in outputs.items():
        if reason := refusal(path):
            raise ValueError(f"--{name} {path} cannot be written: {reason}")
        if os.path.realpath(path) in taken:
            raise ValueError(f"--{name} {path} would overwrite another file of this command")
        taken.add(os.path.realpath(path))
    if "plot" in outputs:
        from ..plot import check_plot

        check_plot(outputs["plot"])
    return outputs


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
