"""Pictures of a page: drawn here as SVG in the page's colours, without a library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..text import lower_text, upper_text
from .html import Markup, join, tag

WIDTH, HEIGHT = 460.0, 250.0  # of the view box: narrow, so that 12 px of text can be read at 400 px too
LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 12.0, 36.0
# Ticks of an axis, about; points of a curve, at most.
TICKS, MOST_POINTS = 5, 1000
HATCH = Markup(
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<line x1="0" y1="0" x2="0" y2="6" class="hatched"/></pattern></defs>'
)


@dataclass(frozen=True)
class Curve:
    """A line of a chart: points in order; a name for the legend.

    Attributes:
        name: its legend.
        points: (x, y); what is not finite is left out.
        style: classes of the page's style.
        steps: whether y holds until the next x.
        dots: whether points are marked.
    """

    name: str
    points: Sequence[tuple[float, float]]
    style: str
    steps: bool = False
    dots: bool = False


def gap_picture(lower: float, bound: float) -> Markup:
    """Where the true value can be: attained up to `lower`, excluded above `bound`, open between."""
    least = min(0.0, lower, bound)
    span = max(lower, bound) - least
    most = max(lower, bound) + (0.08 * span or 1.0)
    if not math.isfinite(most - least):
        return Markup("")

    def at(value: float) -> float:
        return 8.0 + (WIDTH - 16.0) * (value - least) / (most - least)

    def bar(start: float, end: float, style: str) -> Markup:
        return tag("rect", x=f"{at(start):.2f}", y=26, width=f"{max(at(end) - at(start), 0.0):.2f}", height=22,
                   class_=style)  # fmt: skip

    def label(value: float, text: str, y: float) -> Markup:
        x = at(value)
        anchor = "start" if x < 0.25 * WIDTH else "end" if x > 0.6 * WIDTH else "middle"
        return tag("text", text, x=f"{x:.2f}", y=y, text_anchor=anchor)

    start = least if lower >= 0 else lower
    return _picture(
        82.0, f"attained up to {lower_text(lower)}, excluded above {upper_text(bound)}",
        HATCH, bar(start, lower, "in-lower"), bar(lower, bound, "in-gap"), bar(bound, most, "in-rest"),
        tag("line", x1=f"{at(bound):.2f}", x2=f"{at(bound):.2f}", y1=20, y2=54, class_="bound", stroke_width=2),
        label(bound, f"certified: at most {upper_text(bound)}", 14.0),
        tag("line", x1=f"{at(lower):.2f}", x2=f"{at(lower):.2f}", y1=26, y2=56, class_="lower", stroke_width=2),
        label(lower, f"attained: at least {lower_text(lower)}", 72.0),
    )  # fmt: skip


def share_bar(parts: Sequence[tuple[float, str, str]]) -> Markup:
    """Parts of a whole, (size, style, name), side by side."""
    whole = sum(size for size, _, _ in parts) or 1.0
    x, out = 0.0, []
    for size, style, _ in parts:
        out.append(tag("rect", x=f"{x:.3f}", y=0, width=f"{100 * size / whole:.3f}", height=10, class_=style))
        x += 100 * size / whole
    said = ", ".join(f"{size:g} {name}" for size, _, name in parts)
    return tag("svg", tag("title", said), *out, viewBox="0 0 100 10", role="img", preserveAspectRatio="none",
               style="height:.8rem", aria_label=said)  # fmt: skip


def chart(
    curves: Sequence[Curve], x_label: str, y_label: str, *, logarithmic: bool = False,
    y_range: tuple[float, float] | None = None, y_text: Callable[[float], str] = lambda value: f"{value:g}",
) -> Markup:  # fmt: skip
    """Curves over common axes, with a legend below.

    Args:
        curves: what is drawn.
        x_label, y_label: what the axes measure, with units.
        logarithmic: whether y is drawn by its logarithm; all y are positive then.
        y_range: (least, greatest) y; None: what the curves have.
        y_text: of a tick of y.
    """
    curves = [Curve(c.name, _thinned(c), c.style, c.steps, c.dots) for c in curves]
    points = [point for curve in curves for point in curve.points]
    if not points:
        return Markup("")
    low_x, high_x = _widened(min(x for x, _ in points), max(x for x, _ in points), 0.0)
    low_y, high_y = y_range or _widened(min(y for _, y in points), max(y for _, y in points), 0.05)
    if logarithmic:
        least, most = (math.log10(f(y for _, y in points)) for f in (min, max))
        pad = 0.05 * (most - least) or 0.1
        low_y, high_y = least - pad, most + pad

    def x_at(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - low_x) / (high_x - low_x)

    def y_at(y: float) -> float:
        value = math.log10(y) if logarithmic else y
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low_y) / (high_y - low_y)

    shapes: list[Markup] = []
    for y in _logarithmic_ticks(low_y, high_y) if logarithmic else _ticks(low_y, high_y):
        shapes.append(_line(LEFT, y_at(y), WIDTH - RIGHT, y_at(y), "axis"))
        shapes.append(tag("text", y_text(y), x=LEFT - 6, y=f"{y_at(y) + 4:.2f}", text_anchor="end"))
    for x in _ticks(low_x, high_x):
        shapes.append(_line(x_at(x), HEIGHT - BOTTOM, x_at(x), HEIGHT - BOTTOM + 4, "axis"))
        shapes.append(tag("text", f"{x:g}", x=f"{x_at(x):.2f}", y=HEIGHT - BOTTOM + 17, text_anchor="middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    shapes.append(tag("text", x_label, x=middle, y=HEIGHT - 3, text_anchor="middle", class_="quiet"))
    for curve in curves:
        places = [(x_at(x), y_at(y)) for x, y in curve.points]
        shapes.append(tag("path", d=_path(places, curve.steps), class_=f"curve {curve.style}"))
        if curve.dots:
            shapes += [tag("circle", cx=f"{x:.2f}", cy=f"{y:.2f}", r=3, class_="dots") for x, y in places]
    legend = join((
        tag("span", tag("svg", _line(0, 5, 24, 5, f"curve {curve.style}"), viewBox="0 0 24 10",
                        style="display:inline-block;width:24px;height:10px", aria_hidden="true"), f" {curve.name}",
            class_="name")
        for curve in curves
    ), " &nbsp; ")  # fmt: skip
    names = "; ".join(curve.name for curve in curves)
    picture = _picture(HEIGHT, f"{y_label} against {x_label}: {names}", *shapes)
    return tag("figure", tag("figcaption", y_label), picture, tag("figcaption", legend))


def _picture(height: float, said: str, *shapes: Markup) -> Markup:
    return tag("svg", tag("title", said), *shapes, viewBox=f"0 0 {WIDTH:g} {height:g}", role="img", aria_label=said)


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return tag("line", x1=f"{x1:.2f}", y1=f"{y1:.2f}", x2=f"{x2:.2f}", y2=f"{y2:.2f}", class_=style)


def _path(places: Sequence[tuple[float, float]], steps: bool) -> str:
    words = []
    for i, (x, y) in enumerate(places):
        if steps and i:
            words.append(f"H{x:.2f}V{y:.2f}")
        else:
            words.append(f"{'L' if i else 'M'}{x:.2f} {y:.2f}")
    return "".join(words)


def _thinned(curve: Curve) -> list[tuple[float, float]]:
    """At most MOST_POINTS of its finite points, first and last among them."""
    points = [(x, y) for x, y in curve.points if math.isfinite(x) and math.isfinite(y)]
    if len(points) <= MOST_POINTS:
        return points
    step = (len(points) - 1) / (MOST_POINTS - 1)
    return [points[round(i * step)] for i in range(MOST_POINTS)]


def _widened(low: float, high: float, share: float) -> tuple[float, float]:
    """A range a little larger, of positive width."""
    pad = share * (high - low) or (0.0 if high > low else 0.01 * abs(high) or 1.0)
    return low - pad, high + pad


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers within a range, about TICKS of them."""
    raw = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= 0.999 * raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(k * step, 12 - math.floor(math.log10(step))) for k in range(first, last + 1)]


def _logarithmic_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within a range of logarithms, and 2 and 5 times these where there are few."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [f * 10.0**p for p in powers for f in factors if low <= math.log10(f * 10.0**p) <= high]
        if len(ticks) >= 3:
            break
    return ticks[:: max(len(ticks) // 8, 1)] or [10.0**low, 10.0**high]
