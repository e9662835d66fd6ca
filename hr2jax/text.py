"""What a person sees: the result as a table, the live line."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context
from fractions import Fraction
from typing import Any


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


def counted(count: object, noun: str) -> str:
    """"1 case", "2 cases", "3 boxes"; what is not known is "?"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"


def cases_text(problem: Mapping[str, Any]) -> str:
    """How many cases of a property there are, in how many boxes."""
    return f"{counted(problem.get('cases', '?'), 'case')} in {counted(problem.get('regions', '?'), 'box')}"


def table(rows: Sequence[tuple[str, str]]) -> str:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def latex_cell(text: str) -> str:
    """A cell: what LaTeX reads as commands is escaped, a number's exponent typeset."""
    mantissa, e, exponent = text.partition("e")
    if e and exponent.lstrip("+-").isdigit():
        return rf"${mantissa} \cdot 10^{{{int(exponent)}}}$"
    return "".join(f"\\{c}" if c in "_%&#$" else c for c in text)


def html_table(rows: Sequence[Sequence[str]], is_headed: bool = True) -> str:
    """A table for a notebook; the first row or the first column has the names."""
    lines = []
    for row, cells in enumerate(rows):
        tags = ["th" if (row if is_headed else column) == 0 else "td" for column in range(len(cells))]
        inner = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for tag, cell in zip(tags, cells, strict=True))
        lines.append(f"<tr>{inner}</tr>")
    return "\n".join(("<table>", *lines, "</table>"))


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


def where_text(problem: Mapping[str, Any]) -> str:
    """`domain_text` of a result's or a claim's problem; the shape is named where it is not the norm's."""
    kind = problem.get("domain_kind", "")
    if kind == "box":
        widths = [Fraction(high) - Fraction(low) for low, high in zip(problem["low"], problem["high"], strict=True)]
        return domain_text([_below(width / 2) for width in widths]) + ", a box"
    text = domain_text(problem["radius"])
    return f"{text}, {kind}" if kind.startswith("ball") and kind != f"ball {problem['norm']}" else text


def _below(value: Fraction) -> float:
    """The largest float64 at or below value >= 0, one above 0 of the positive."""
    rounded = float(value)
    return rounded if Fraction(rounded) <= value else math.nextafter(rounded, 0.0)


def norms_text(problem: Mapping[str, Any]) -> str:
    """Which norms a result's or a claim's problem measures in."""
    of_values = problem.get("output_norm")
    return f"norm {problem['norm']} on the input" + ("" if of_values is None else f", {of_values} on the output")


INSIDE = {
    "box": "low_i <= x_i <= high_i", "ball inf": "|x_i - center_i| <= radius_i",
    "ball 2": "||x - center||_2 <= radius", "ball 1": "||x - center||_1 <= radius",
}  # fmt: skip
DISTANCES = {"inf": "max_i |x_i - y_i|", "2": "||x - y||_2", "1": "||x - y||_1"}
CHANGES = {"inf": "max_k |f_k(x) - f_k(y)|", "2": "||f(x) - f(y)||_2", "1": "||f(x) - f(y)||_1"}


def statement_text(problem: Mapping[str, Any], bound: str) -> str:
    """What a bound of a result's or a claim's problem says, as an inequality and where it holds."""
    kind = problem.get("domain_kind", f"ball {problem['norm']}")
    where = f" in the domain {INSIDE[kind]}" if problem["domain"] == "local" else ""
    if problem["quantity"] == "maximum":
        return f"f(x) <= {bound} for all x{where}"
    of_values = problem.get("output_norm")
    change = "|f(x) - f(y)|" if of_values is None else CHANGES[str(of_values)]
    inputs = problem.get("directions")
    apart = "" if inputs is None else f" that differ in inputs {shown(inputs)} alone"
    jump = problem.get("jump", 0.0)
    across = f" (but for jumps of softplus at its threshold, of at most {upper_text(jump, 2)} each)" if jump else ""
    return f"{change} <= {bound} {DISTANCES[str(problem['norm'])]} for all x, y{where}{apart}{across}"


def way_text(problem: Mapping[str, Any]) -> str:
    """Relaxation, engine and lifting of a result that ran."""
    asked, proved = problem["relaxation"], problem["bound_by"]
    parts = [asked if asked == proved else f"{asked}: {proved}"]
    if problem["engine"] != "none":
        parts.append(problem["engine"])
    if "lifting" in problem:
        parts.append(f"{problem['lifting']} lifting")
    return ", ".join(parts)


def percent_down(ratio: float, digits: int = 2) -> str:
    """A ratio in percent, rounded down."""
    scale: int = 10**digits
    return f"{math.floor(100 * scale * ratio + 1e-9) / scale:.{digits}f}"


def percent_up(ratio: float, digits: int = 2) -> str:
    """A ratio in percent, rounded up."""
    scale: int = 10**digits
    return f"{math.ceil(100 * scale * ratio - 1e-9) / scale:.{digits}f}"


def radius_text(radius: float) -> str:
    """A radius in six digits if they are the number that was given or one below it, else rounded down."""
    text = f"{radius:.6g}"
    return text if float(text) == radius or Fraction(text) <= Fraction(radius) else lower_text(radius)


def output_text(coefficients: Sequence[Any]) -> str:
    """F_k, F_k - F_j, a combination, F itself, or several combinations."""
    import numpy as np  # here: the command line's help needs no arrays

    c = np.asarray(coefficients)
    if c.ndim == 2:
        is_all = len(c) == c.shape[1] and np.array_equal(c, np.eye(len(c)))
        return f"F, all {len(c)} of its values" if is_all else f"M F of {len(c)} values"
    plus, minus = np.flatnonzero(c == 1), np.flatnonzero(c == -1)
    others = np.count_nonzero(c) - len(plus) - len(minus)
    if others == 0 and len(plus) == 1 and len(minus) <= 1:
        return f"F_{plus[0]}" + (f" - F_{minus[0]}" if len(minus) else "")
    return f"c.F with {np.count_nonzero(c)} nonzero coefficients"


LONGEST = 80


# What extras bring, with the oldest version that will do (pyproject.toml): hr2jax itself is on no index.
PACKAGES = {
    "matplotlib": "matplotlib>=3.8", "pandas": "pandas>=2.2", "onnx": "onnx>=1.16", "keras": "keras>=3.13.2",
    "clarabel": "clarabel>=0.10", "cvxopt": "cvxopt>=1.3.2", "sdpap": "sdpa-python>=0.2.2", "mosek": "mosek>=10.2",
    "sklearn": "scikit-learn>=1.4", "shtab": "shtab>=1.7",
}  # fmt: skip


def install(module: str) -> str:
    """The command that brings a module of an extra, wherever hr2jax came from."""
    return f'pip install "{PACKAGES[module]}"'


def unread(error: Exception) -> str:
    """Why NumPy could not load a file; where it says how to unpickle, this says that nobody does."""
    text = str(error)
    return "it is no NumPy file, or has Python objects, which are never read" if "pickle" in text else text


def shown(value: object) -> str:
    """repr(value) on one line of at most `LONGEST` characters, or a description where that says more.

    An error message is one sentence, whatever was given: an array's repr has many lines, an integer's may
    have thousands of digits (more than Python is willing to print).
    """
    import numpy as np  # here: the command line's help needs no arrays

    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, int) and value.bit_length() > 8 * 20:
        return f"an integer of {value.bit_length()} bits"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # somebody's object
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
