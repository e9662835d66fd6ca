"""Results as pictures of matplotlib's (extra `plot`): a solve's history; axes for others."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .text import install, output_text, upper_text, where_text, widths_text

if TYPE_CHECKING:
    from .result import Result

# Above this ratio of the first bound to the best one, a linear axis shows nothing but the first.
LOGARITHMIC = 5.0

# The axis spans at least this part of the bound: what is equal should look equal.
SMALLEST_SPAN = 0.02


def check_plot(path: str | os.PathLike[str]) -> None:
    """Raise, before any work, what `plot_result` would raise after it.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: a suffix that is no picture format.
    """
    formats = _new_figure().canvas.get_supported_filetypes()
    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in formats:
        raise ValueError(f"{os.fspath(path)}: a plot's name must end in one of .{', .'.join(sorted(formats))}")


def new_axes(path: str | os.PathLike[str] | None = None) -> tuple[Any, Any]:
    """(figure, axes) of a picture that may be saved as `path`; raises what `check_plot` does."""
    if path is not None:
        check_plot(path)
    figure = _new_figure()
    figure.set_layout_engine("constrained")
    return figure, figure.add_subplot()


def finished(figure: Any, path: str | os.PathLike[str] | None) -> Any:
    """The figure, saved as the suffix of `path` says if one is given."""
    if path is not None:
        figure.savefig(path)
    return figure


def plot_result(result: Result, path: str | os.PathLike[str] | None = None) -> Any:
    """A Figure of certified bound, lower bound and relaxation estimate against seconds; saved if `path` is given.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: a suffix that is no picture format.
        OSError: `path` cannot be written.
    """
    figure, axes = new_axes(path)
    seconds, bound, estimate = (
        np.asarray(result.history[name], dtype=np.float64) for name in ("seconds", "bound", "relaxation_value")
    )
    end = sum(result.timings[name] for name in ("setup", "compile", "solve", "certify", "lower"))
    end = max(end, float(seconds[-1]) if len(seconds) else 0.0)
    known = np.isfinite(estimate)
    axes.step(
        [*seconds, end], [*bound, result.bound], where="post", color="C0", marker=".",
        label=f"certified bound, {upper_text(result.bound)} at the end",
    )  # fmt: skip
    if known.any():
        label = "relaxation optimum (estimate, not certified)"
        axes.plot(seconds[known], estimate[known], "--", color="C1", marker=".", label=label)
    if result.witness is not None:
        label = f"attained lower bound, gap {100 * result.gap:.2f} %"
        axes.axhline(result.lower, color="C2", linestyle=":", label=label)
    if result.lower > 0 and len(bound) and bound[0] > LOGARITHMIC * result.bound:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(useOffset=False)  # the numbers themselves, not differences from one
        bottom, top = axes.get_ylim()
        pad = max(0.5 * (SMALLEST_SPAN * result.bound - (top - bottom)), 0.0)
        axes.set_ylim(bottom - pad, top + pad)
    problem = result.problem
    axes.set_xlabel("seconds since the call, compilation included")
    if problem["quantity"] == "maximum":
        axes.set_ylabel(f"largest value of {output_text(problem['output'])}")
    else:
        axes.set_ylabel(f"Lipschitz constant of {output_text(problem['output'])}, norm {problem['norm']} on the input")
    axes.set_title(
        f"network {widths_text(problem['widths'])}, {where_text(problem)}, "
        f"{problem['relaxation']}, {result.status.name}"
    )
    axes.legend()
    axes.grid(alpha=0.3)
    return finished(figure, path)


def _new_figure() -> Any:
    """A figure on an Agg canvas of its own: pyplot's state and the user's backend stay as they are."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"plots need matplotlib: {install('matplotlib')} ({error})") from None

    class Picture(Figure):
        """A notebook shows it without pyplot."""

        def _repr_png_(self) -> bytes:
            out = io.BytesIO()
            self.savefig(out, format="png")
            return out.getvalue()

    figure = Picture(figsize=(7.0, 4.5), dpi=150)
    FigureCanvasAgg(figure)
    return figure
