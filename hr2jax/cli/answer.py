"""The command line's exit codes, and how an answer or an error reaches the user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

YES, NO, BAD, INTERRUPTED, NO_READER = 0, 1, 2, 130, 141

EXIT_CODES = """exit codes:
  0    a certified bound, also when a limit or Ctrl-C ended the solve
  1    the answer is no: a certificate that does not verify
  2    bad usage or bad input, in one line on stderr
  130  Ctrl-C before there was any bound
  141  nobody reads the output any more (a closed pipe)
"""


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
    finally:  # also when Ctrl-C ends the writing
        print(answer)
    if failures:
        raise ValueError("; ".join(failures))
    return YES
