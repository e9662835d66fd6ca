"""What a person sees: the result as a table, the live line."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from .result import Progress, Result

# Seconds between lines where stderr is a file: a log wants few.
LOG_INTERVAL = 5.0


def upper_text(value: float, digits: int = 6) -> str:
    """An upper bound with `digits` significant digits, rounded up: what is printed is still a bound."""
    return _rounded(value, digits, ROUND_CEILING)


def lower_text(value: float, digits: int = 6) -> str:
    """A lower bound with `digits` significant digits, rounded down."""
    return _rounded(value, digits, ROUND_FLOOR)


def _rounded(value: float, digits: int, rounding: str) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{abs(value) if value == 0 else value:g}"
    # the float's exact decimal expansion is rounded: 0.1 is above 1/10, and rounds up to 0.100001
    context = Context(prec=digits, rounding=rounding, Emin=MIN_EMIN, Emax=MAX_EMAX)
    rounded = context.create_decimal_from_float(float(value)).normalize(context)
    return f"{rounded:f}" if -5 <= rounded.adjusted() < digits else f"{rounded:e}"


def result_table(result: Result) -> str:
    """The result as the table that `print(result)` shows."""
    problem, timings = result.problem, result.timings
    what = "largest value" if problem["quantity"] == "maximum" else "constant"
    rows = [
        ("network", f"{widths_text(problem['widths'])}, output {output_text(problem['output'])}"),
        (what, f"{domain_text(problem['radius'])}, norm {problem['norm']} on the input"),
        ("certified bound", f"{upper_text(result.bound)}   ({problem['relaxation']}, {problem['method']})"),
        ("attained (lower)", lower_text(result.lower)),
        ("gap", f"{100 * result.gap:.2f} %"),
        ("status", f"{result.status.name}: {result.message}"),
        (
            "seconds",
            ", ".join(f"{name} {timings[name]:.2f}" for name in ("setup", "compile", "solve", "certify", "lower")),
        ),
        ("peak memory", f"{timings['peak_bytes'] / 2**20:.0f} MiB"),
    ]
    return table(rows)


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def widths_text(widths: Sequence[int]) -> str:
    """p_0-...-K."""
    return "-".join(map(str, widths))


def domain_text(radius: Sequence[float] | None) -> str:
    """Where the bound holds; radii are rounded down, so that the box named is inside the one proved."""
    if radius is None:
        return "global"
    smallest, largest = radius_text(min(radius)), radius_text(max(radius))
    if smallest == largest:
        return f"local, radius {smallest}"
    fixed = sum(r == 0 for r in radius)
    return f"local, radii {smallest} to {largest}" + (f" ({fixed} of {len(radius)} inputs fixed)" if fixed else "")


def radius_text(radius: float) -> str:
    """A radius in six digits if they are the number that was given or one below it, else rounded down."""
    text = f"{radius:.6g}"
    return text if float(text) == radius or Fraction(text) <= Fraction(radius) else lower_text(radius)


def output_text(coefficients: Sequence[float]) -> str:
    """F_k, F_k - F_j, or a combination."""
    c = np.asarray(coefficients)
    plus, minus = np.flatnonzero(c == 1), np.flatnonzero(c == -1)
    others = np.count_nonzero(c) - len(plus) - len(minus)
    if others == 0 and len(plus) == 1 and len(minus) <= 1:
        return f"F_{plus[0]}" + (f" - F_{minus[0]}" if len(minus) else "")
    return f"c.F with {np.count_nonzero(c)} nonzero coefficients"


class Show(Protocol):
    """Shows where a solve stands, after what it is about."""

    def __call__(self, record: Progress, about: str = "") -> None:  # noqa: D102
        ...


@contextlib.contextmanager
def progress_line(wanted: bool) -> Iterator[Show | None]:
    """A function that shows a Progress on stderr, or None: one live line on a terminal, few lines in a log."""
    if not wanted:
        yield None
    elif sys.stderr.isatty():
        with _live_line() as show:
            yield show
    else:
        with _log_lines() as show:
            yield show


@contextlib.contextmanager
def _live_line() -> Iterator[Show]:
    from tqdm import tqdm

    with tqdm(bar_format="{desc}", file=sys.stderr, leave=True) as bar:
        yield lambda record, about="": bar.set_description_str(about + _progress_text(record))


@contextlib.contextmanager
def _log_lines() -> Iterator[Show]:
    due, last = -math.inf, ""

    def show(record: Progress, about: str = "") -> None:
        nonlocal due, last
        last = about + _progress_text(record)
        if time.monotonic() >= due:
            print(last, file=sys.stderr, flush=True)
            due, last = time.monotonic() + LOG_INTERVAL, ""

    try:
        yield show
    finally:
        if last:
            print(last, file=sys.stderr, flush=True)


def _progress_text(record: Progress) -> str:
    return (
        f"iteration {record.iteration}  certified {upper_text(record.bound)}  "
        f"lower {lower_text(record.lower)}  gap {100 * record.gap:.2f} %  {record.seconds:.1f} s"
    )
