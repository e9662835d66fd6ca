"""What a solve gives back."""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, SupportsIndex, overload

import numpy as np

from .arithmetic.float64 import Array
from .certificate.certificate import Certificate
from .machine.files import replaced, strict
from .text import lower_text, output_text, table, upper_text, where_text, widths_text


def result_table(result: Result) -> str:
    """The result as the table that `print(result)` shows."""
    problem, timings = result.problem, result.timings
    what = "largest value" if problem["quantity"] == "maximum" else "constant"
    rows = [
        ("network", f"{widths_text(problem['widths'])}, output {output_text(problem['output'])}"),
        (what, f"{where_text(problem)}, norm {problem['norm']} on the input"),
        ("certified bound", f"{upper_text(result.bound)}   ({_way(problem)})"),
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


def _way(problem: Mapping[str, Any]) -> str:
    """Relaxation, engine and lifting that ran."""
    asked, proved = problem["relaxation"], problem["bound_by"]
    parts = [asked if asked == proved else f"{asked}: {proved}"]
    if problem["engine"] != "none":
        parts.append(problem["engine"])
    if "lifting" in problem:
        parts.append(f"{problem['lifting']} lifting")
    return ", ".join(parts)


class Status(enum.Enum):
    """Why a solve ended; the value is the user's sentence. The bound is certified whatever it says."""

    SOLVED = "the certified bound is within tol of the relaxation's optimum, as far as the duality gap tells"
    TIME_LIMIT = "the time limit was reached; the bound is the best certified so far"
    ITERATION_LIMIT = "the iteration limit was reached; the bound is the best certified so far"
    STALLED = "the solver makes no more progress; the bound is the best certified so far"
    NUMERICAL_ERROR = "the solver broke down numerically; the bound is the best certified so far"
    STOPPED = "stopped by the user; the bound is the best certified so far"


# The message beside STOPPED in the result of `Interrupted`; without it a callback has stopped the solve.
CTRL_C = "Ctrl-C stopped it; the bound is the best certified so far"
# Said of a solve that is SOLVED where `bound` and `lower` are apart all the same.
RELAXATION_SOLVED = "relaxation solved; the gap is the relaxation's, or what the search for a witness has missed"


@dataclass(frozen=True)
class Progress:
    """One line of a running solve.

    Attributes:
        iteration: the engine's iterations so far.
        seconds: wall time since `solve` was called.
        bound: best certified upper bound so far.
        lower: best attained lower bound so far.
        gap: (bound - lower) / bound.
        relaxation_value: the engine's estimate of the relaxation's optimum (not certified).
        residual: the engine's relative residual.
    """

    iteration: int
    seconds: float
    bound: float
    lower: float
    gap: float
    relaxation_value: float
    residual: float


LONGEST_TABLE = 40  # rows of results that a table shows


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A certified bound and all that belongs to it; a number where a number is expected.

    Two are equal where `problem`, `bound`, `lower`, `witness` and the certificate's multipliers are: seconds do not
    count.

    Attributes:
        bound: certified upper bound of the Lipschitz constant (of `maximum`: of the largest value).
        lower: proved lower bound, attained at `witness`.
        witness: (p_0,) float64, a point of the domain.
        relaxation_value: the engine's estimate of the relaxation's optimum (not certified).
        gap: (bound - lower) / bound; 0 when bound is 0.
        status, message: why it ended.
        certificate: proves `bound`.
        iterations: of the engine.
        history: arrays `seconds`, `iteration`, `bound`, `relaxation_value`, `residual`.
        timings: seconds `setup`, `compile`, `solve`, `certify`, `lower`; `peak_bytes` (of this process).
        problem: what was asked, with sizes, versions and `estimated_bytes` (engines/memory.py; as `peak_bytes`).
    """

    bound: float
    lower: float
    witness: Array
    relaxation_value: float
    gap: float
    status: Status
    message: str
    certificate: Certificate
    iterations: int
    history: Mapping[str, Array]
    timings: Mapping[str, float]
    problem: Mapping[str, Any]

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Strict JSON (null for a number that is not finite); written to `path`, all or nothing, if one is given."""
        text = json.dumps(
            strict(
                {
                    "bound": self.bound,
                    "lower": self.lower,
                    "gap": self.gap,
                    "relaxation_value": self.relaxation_value,
                    "status": self.status.name,
                    "message": self.message,
                    "iterations": self.iterations,
                    "problem": self.problem,
                    "timings": self.timings,
                    "history": self.history,
                    "witness": self.witness,
                }
            ),
            allow_nan=False,
            indent=1,
        )
        if path is not None:
            with replaced(path) as file:
                file.write(f"{text}\n".encode("ascii"))
        return text

    def __str__(self) -> str:
        return result_table(self)

    def __repr__(self) -> str:
        return f"Result(bound={self.bound!r}, lower={self.lower!r}, gap={self.gap:.3g}, status={self.status.name})"

    def __float__(self) -> float:
        return self.bound

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        return (
            (self.problem, self.bound, self.lower) == (other.problem, other.bound, other.lower)
            and np.array_equal(self.witness, other.witness)
            and _same(self.certificate.multipliers, other.certificate.multipliers)
        )

    def __hash__(self) -> int:
        return hash((self.problem["network_hash"], self.bound, self.lower, tuple(np.ravel(self.witness).tolist())))


def _same(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(values, b[name]) for name, values in a.items())


class Results(list[Result]):
    """Results of several outputs, as `solve_all` gives them: a list, whose slices are Results too."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Result: ...

    @overload
    def __getitem__(self, index: slice, /) -> Results: ...

    def __getitem__(self, index: SupportsIndex | slice, /) -> Result | Results:
        if isinstance(index, slice):
            return Results(super().__getitem__(index))
        return super().__getitem__(index)

    def __str__(self) -> str:
        """A table of at most LONGEST_TABLE results, the first and the last of them where there are more."""
        rows: list[tuple[str, ...]] = [
            (output_text(r.problem["output"]), upper_text(r.bound), lower_text(r.lower), f"{100 * r.gap:.2f} %",
             r.status.name)
            for r in self
        ]  # fmt: skip
        if len(rows) > LONGEST_TABLE:
            first = LONGEST_TABLE // 2
            last = LONGEST_TABLE - first - 1
            rows = [*rows[:first], (f"... {len(rows) - first - last} more", "", "", "", ""), *rows[-last:]]
        rows = [("output", "bound", "lower", "gap", "status"), *rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        aligned = ([row[0].ljust(widths[0]), *map(str.rjust, row[1:4], widths[1:4]), row[4]] for row in rows)
        return "\n".join("  ".join(row).rstrip() for row in aligned)

    def __repr__(self) -> str:
        return f"Results({len(self)} of them)"


def relative_gap(bound: float, lower: float) -> float:
    """(bound - lower) / bound; 0 when bound is 0. Of values that may be negative, relative to the larger magnitude."""
    largest = max(abs(bound), abs(lower)) if min(bound, lower) < 0 else bound
    return (bound - lower) / largest if largest > 0 else 0.0
