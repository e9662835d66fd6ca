"""What `certify` gives back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate
from ..machine.files import strict, written
from ..plot import finished, new_axes
from ..result import Status
from ..text import html_table, percent_down, percent_up, radius_text, table, widths_text

# What `to_json` writes, for those who read it; a key that changes its meaning gets another number.
FORMAT = "hr2jax robustness 1"
LOOSER = "every input was decided, but some of the constants are looser than they could be: "
MESSAGES = {
    Status.SOLVED: "every input was decided",
    Status.STALLED: LOOSER + "the solver made no more progress",
    Status.ITERATION_LIMIT: LOOSER + "the iteration limit was reached",
    Status.NUMERICAL_ERROR: LOOSER + "the solver broke down numerically",
    Status.TIME_LIMIT: "the time limit was reached; what was not decided counts as not certified",
    Status.STOPPED: "stopped by the user; what was not decided counts as not certified",
}


@dataclass(frozen=True, eq=False, repr=False)
class RobustnessReport:
    """Certified robustness of n inputs at m radii.

    Attributes:
        radii: (m,) float64, in the order they were given.
        certified: (n, m) bool: proved that no point within the radius (and the clip box) has another label.
        ratio: (m,) share of all n inputs that are certified.
        radius: (n,) certified radius of each input; 0 where none is, infinity where nothing changes the label.
        labels: (n,) int64.
        right: (n,) bool: proved that the label's output is the largest at the input.
        clean_accuracy: share of the inputs that are `right`.
        attack_accuracy: (m,) share that is right and that the attack did not break; None without an attack, NaN
            at radii it did not come to. The true robust accuracy lies between `ratio` and this.
        broken_at: (n,) the least of `radii` at which an adversarial point was found; infinity where none was.
        adversarial: (n, p_0) that point, NaN where there is none; None where the inputs were a file that is mapped into
            memory: the lines of `results` have the points.
        decided: (n,) bool: False where time ran out.
        bounds, certificates: of the global constants, by pair of labels (k, j), k < j; of what was taken from a file
            of `results` there are the certificates that `certificates` has.
        status: the worst of the global constants' (`via="lipschitz-global"`) or SOLVED, TIME_LIMIT, STOPPED; what is
            certified holds whatever it says.
        timings: seconds of `attack`, `pairs`, `search`, `total`.
        problem: what was asked.
        note: what of `results` could not be written; "" where nothing is amiss.
        reason: what ended it where neither the user did nor a limit: the workers were lost; else "".
    """

    radii: Array
    certified: Array
    ratio: Array
    radius: Array
    labels: Array
    right: Array
    clean_accuracy: float
    attack_accuracy: Array | None
    broken_at: Array
    adversarial: Array | None
    decided: Array
    bounds: Mapping[tuple[int, int], float]
    certificates: Mapping[tuple[int, int], Certificate]
    status: Status
    timings: Mapping[str, float]
    problem: Mapping[str, Any]
    note: str = ""
    reason: str = ""

    @property
    def message(self) -> str:
        """The status as a sentence."""
        lost = f"{self.reason}; what was not decided counts as not certified"
        return (lost if self.reason else MESSAGES[self.status]) + self.note

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Strict JSON: null for an infinite radius (no change of the input matters, nothing was broken)."""
        text = json.dumps(
            strict(
                {
                    "format": FORMAT,
                    "radii": self.radii,
                    "ratio": self.ratio,
                    "clean_accuracy": self.clean_accuracy,
                    "attack_accuracy": self.attack_accuracy,
                    "status": self.status.name,
                    "message": self.message,
                    "undecided": int((~self.decided).sum()),
                    "certified": self.certified,
                    "radius": self.radius,
                    "labels": self.labels,
                    "right": self.right,
                    "decided": self.decided,
                    "broken_at": self.broken_at,
                    "bounds": [{"pair": list(pair), "bound": bound} for pair, bound in self.bounds.items()],
                    "timings": self.timings,
                    "problem": self.problem,
                }
            ),
            allow_nan=False,
            indent=1,
        )
        return written(text, path)

    def __repr__(self) -> str:
        n, m = self.certified.shape
        return f"RobustnessReport({n} inputs, {m} radii, ratio {percent_down(float(self.ratio.max()))} % at best, " \
               f"status={self.status.name})"

    def __str__(self) -> str:
        lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, (12, 11, 12), strict=True))
                 for row in self._by_radius()]  # fmt: skip
        return "\n".join((table(self._about()), "", *lines))

    def _repr_html_(self) -> str:
        return html_table(self._about(), is_headed=False) + html_table(self._by_radius())

    def _about(self) -> list[tuple[str, str]]:
        problem = self.problem
        n = len(self.certified)
        undecided = int((~self.decided).sum())
        return [
            ("network", widths_text(problem["widths"])),
            ("certified", f"via {problem['via']}, {problem['relaxation']}, norm {problem['norm']} on the input"
             + (", within the clip box" if problem["clip"] is not None else "")),
            ("inputs", f"{n}, {int(self.right.sum())} of them classified right "
             f"({percent_down(self.clean_accuracy)} %)"),
            ("status", f"{self.status.name}: {self.message}" + (f" ({undecided} undecided)" if undecided else "")),
            ("median radius", f"{radius_text(float(np.median(self.radius)))} certified"),
            ("seconds", ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.timings.items())),
        ]  # fmt: skip

    def _by_radius(self) -> list[tuple[str, str, str]]:
        rows = [("radius", "certified", "under attack")]
        attacked = np.full(len(self.radii), np.nan) if self.attack_accuracy is None else self.attack_accuracy
        for radius, ratio, other in zip(self.radii, self.ratio, attacked, strict=True):
            under = "-" if np.isnan(other) else f"{percent_up(float(other))} %"
            rows.append((radius_text(float(radius)), f"{percent_down(float(ratio))} %", under))
        return rows

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write one self-contained page of HTML about it, all or nothing, with the curve of certified accuracy.

        Raises:
            ValueError: `path` is a directory.
            OSError: `path` cannot be written.
        """
        from ..page.robustness import robustness_page

        written(robustness_page(json.loads(self.to_json())), path, end="")

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """A matplotlib Figure of certified accuracy against radius, and of what the attack leaves (extra `plot`).

        A notebook shows it. Written to `path`, as its suffix says, if one is given; `Result.plot` says what is raised.
        """
        return plot_report(self, path)


def plot_report(report: RobustnessReport, path: str | os.PathLike[str] | None = None) -> Any:
    """A Figure of the share of inputs certified, and left by the attack, against the radius; saved if `path` is given.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: a suffix that is no picture format.
        OSError: `path` cannot be written.
    """
    figure, axes = new_axes(path)
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
        # what is broken at a radius is broken at larger ones; between two nothing more is known
        axes.step(
            [0.0, *report.radii[order]], 100 * attacked, "s--", where="post", color="C1",
            label="not broken by the attack",
        )  # fmt: skip
    axes.axhline(100 * report.clean_accuracy, color="C2", linestyle=":", label="classified right")
    axes.set_xlim(0, end)
    axes.set_ylim(0, 100)
    problem = report.problem
    axes.set_xlabel(f"radius, norm {problem['norm']} on the input")
    axes.set_ylabel(f"% of {len(report.radius)} inputs")
    axes.set_title(f"network {widths_text(problem['widths'])}, via {problem['via']}, {problem['relaxation']}")
    axes.legend()
    axes.grid(alpha=0.3)
    return finished(figure, path)
