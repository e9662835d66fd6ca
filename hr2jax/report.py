"""What a person sees: the result as a table, the live line."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .result import Progress, Result


def upper_text(value: float, digits: int = 6) -> str:
    """An upper bound with `digits` significant digits, rounded up: what is printed is still a bound."""
    return _rounded(value, digits, up=True)


def lower_text(value: float, digits: int = 6) -> str:
    """A lower bound with `digits` significant digits, rounded down."""
    return _rounded(value, digits, up=False)


def _rounded(value: float, digits: int, up: bool) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    text = f"{value:.{digits - 1}e}"
    wrong = float(text) < value if up else float(text) > value
    if wrong:
        # the next decimal of that many digits, in the direction that keeps the statement true
        mantissa, exponent = text.split("e")
        step = (1 if up else -1) * 10.0 ** -(digits - 1)
        text = f"{float(mantissa) + step:.{digits - 1}f}e{exponent}"
    short = f"{float(text):.{digits}g}"
    return short if float(short) == float(text) else text


def result_table(result: Result) -> str:
    """The result as the table that `print(result)` shows."""
    problem, timings = result.problem, result.timings
    widths = "-".join(map(str, problem["widths"]))
    radius = problem["radius"]
    if radius is None:
        domain = "global"
    else:
        low, high = float(np.min(radius)), float(np.max(radius))
        domain = f"local, radius {low:g}" if low == high else f"local, radii {low:g} to {high:g}"
    rows = [
        ("network", f"{widths}, output {output_text(problem['output'])}"),
        ("constant", f"{domain}, norm {problem['norm']} on the input"),
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
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def output_text(coefficients: list[float]) -> str:
    """F_k, F_k - F_j, or a combination."""
    c = np.asarray(coefficients)
    plus, minus = np.flatnonzero(c == 1), np.flatnonzero(c == -1)
    others = np.count_nonzero(c) - len(plus) - len(minus)
    if others == 0 and len(plus) == 1 and len(minus) <= 1:
        return f"F_{plus[0]}" + (f" - F_{minus[0]}" if len(minus) else "")
    return f"c.F with {np.count_nonzero(c)} nonzero coefficients"


@contextlib.contextmanager
def progress_line(wanted: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A function that shows a Progress on stderr, or None."""
    if not wanted:
        yield None
        return
    from tqdm import tqdm

    with tqdm(bar_format="{desc}", file=sys.stderr, leave=True) as bar:

        def show(record: Progress) -> None:
            bar.set_description_str(
                f"iteration {record.iteration}  certified {upper_text(record.bound)}  "
                f"lower {lower_text(record.lower)}  gap {100 * record.gap:.2f} %  {record.seconds:.1f} s"
            )

        yield show
