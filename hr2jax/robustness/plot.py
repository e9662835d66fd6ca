"""Certified accuracy against radius, as a picture (extra `plot`)."""

from __future__ import annotations

import os

import numpy as np

from ..plot import _canvas, check_plot
from ..report import widths_text
from .report import RobustnessReport


def plot_report(report: RobustnessReport, path: str | os.PathLike[str]) -> None:
    """Draw the share of inputs certified, and left by the attack, against the radius; save as the suffix says.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: a suffix that is no picture format.
        OSError: `path` cannot be written.
    """
    check_plot(path)
    canvas = _canvas()
    figure = canvas.figure
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    end = float(report.radii.max())
    reach = np.sort(report.radius[report.right & (report.radius > 0)])
    inside = reach[reach < end]
    # certified at r: the inputs whose radius is at least r
    r = np.concatenate(([0.0], inside, [end]))
    count = np.concatenate(([report.right.sum()], len(reach) - np.arange(len(inside)), [len(reach) - len(inside)]))
    axes.step(r, 100 * count / len(report.radius), where="pre", color="C0", label="certified")
    axes.plot(report.radii, 100 * report.ratio, "o", color="C0")
    if report.attack_accuracy is not None:
        order = np.argsort(report.radii)
        attacked = np.concatenate(([report.clean_accuracy], report.attack_accuracy[order]))
        axes.plot([0.0, *report.radii[order]], 100 * attacked, "s--", color="C1", label="not broken by the attack")
    axes.axhline(100 * report.clean_accuracy, color="C2", linestyle=":", label="classified right")
    axes.set_xlim(0, end)
    axes.set_ylim(0, 100)
    problem = report.problem
    axes.set_xlabel(f"radius, norm {problem['norm']} on the input")
    axes.set_ylabel(f"% of {len(report.radius)} inputs")
    axes.set_title(f"network {widths_text(problem['widths'])}, via {problem['via']}, {problem['relaxation']}")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path)
