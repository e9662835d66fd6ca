"""What a solve gives back."""

from __future__ import annotations

import enum
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from .arithmetic.float64 import Array
from .certificate.certificate import Certificate
from .machine.files import opened, strict, written
from .machine.stopping import stopped_by
from .text import (
    html_table,
    lower_text,
    norms_text,
    output_text,
    shown,
    statement_text,
    table,
    upper_text,
    way_text,
    where_text,
    widths_text,
)


def result_table(result: Result) -> str:
    """The result as the table that `print(result)` shows."""
    return table(_rows(result))


def _rows(result: Result) -> list[tuple[str, str]]:
    problem, timings = result.problem, result.timings
    what = "largest value" if problem["quantity"] == "maximum" else "constant"
    return [
        ("network", f"{widths_text(problem['widths'])}, output {output_text(problem['output'])}"),
        (what, f"{where_text(problem)}, {norms_text(problem)}"),
        ("claim", statement_text(problem, upper_text(result.bound))),
        ("certified bound", f"{upper_text(result.bound)}   ({way_text(problem)})"),
        ("attained (lower)", lower_text(result.lower)),
        ("gap", f"{100 * result.gap:.2f} %"),
        ("status", f"{result.status.name}: {result.message}"),
        (
            "seconds",
            ", ".join(f"{name} {timings[name]:.2f}" for name in ("setup", "compile", "solve", "certify", "lower")),
        ),
        ("peak memory", f"{timings['peak_bytes'] / 2**20:.0f} MiB"),
    ]


class Status(enum.Enum):
    """Why a solve ended; the value is the user's sentence. The bound is certified whatever it says."""

    SOLVED = "the certified bound is within tol of the relaxation's optimum, as far as the duality gap tells"
    TIME_LIMIT = "the time limit was reached; the bound is the best certified so far"
    ITERATION_LIMIT = "the iteration limit was reached; the bound is the best certified so far"
    STALLED = "the solver makes no more progress; the bound is the best certified so far"
    NUMERICAL_ERROR = "the solver broke down numerically; the bound is the best certified so far"
    STOPPED = "stopped by the user; the bound is the best certified so far"


# What `problem` always has.
ASKED = ("widths", "quantity", "output", "norm", "domain", "radius", "relaxation", "engine", "bound_by", "network_hash")
# What `to_json` writes, for those who read it; a key that changes its meaning gets another number.
FORMAT = "hr2jax result 1"
# Said of a solve that is SOLVED where `bound` and `lower` are apart all the same: there is a witness; none was found;
# none was searched for.
RELAXATION_SOLVED = "relaxation solved; the gap is the relaxation's, or what the search for a witness has missed"
NO_WITNESS = "relaxation solved; no witness was found, so the gap says nothing about the bound"
NOT_SEARCHED = "relaxation solved; no witness was searched for, so the gap says nothing about the bound"


def interrupted_message() -> str:
    """The message beside STOPPED in the result of `Interrupted`; with another one a callback has stopped the solve."""
    return f"{stopped_by()} stopped it; the bound is the best certified so far"


def solved_message(is_apart: bool, is_searched: bool, is_found: bool) -> str:
    """The message beside SOLVED; `is_apart`: whether there is a gap left, `is_found`: whether there is a witness."""
    if not is_apart:
        return Status.SOLVED.value
    return (RELAXATION_SOLVED if is_found else NO_WITNESS) if is_searched else NOT_SEARCHED


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
        left: seconds until the time limit; infinity where there is none.
    """

    iteration: int
    seconds: float
    bound: float
    lower: float
    gap: float
    relaxation_value: float
    residual: float
    left: float = math.inf


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """A certified bound and all that belongs to it; a number where a number is expected.

    Two are equal where `problem`, `bound`, `lower`, `witness` and the certificate's multipliers are: seconds do not
    count.

    Attributes:
        bound: certified upper bound of the Lipschitz constant (of `maximum`: of the largest value).
        lower: proved lower bound, attained at `witness`.
        witness: (p_0,) float64, a point of the domain; None where none was searched (`solve`'s `witness=0`).
        relaxation_value: the engine's estimate of the relaxation's optimum (not certified).
        gap: (bound - lower) / bound; 0 when bound is 0.
        status, message: why it ended.
        certificate: proves `bound`; None where the result was read by `from_json`.
        iterations: of the engine.
        history: arrays `seconds`, `iteration`, `bound`, `relaxation_value`, `residual`.
        timings: seconds `setup`, `compile`, `solve`, `certify`, `lower`; `peak_bytes` (of this process).
        problem: what was asked, with sizes, versions and `estimated_bytes` (engines/memory.py; as `peak_bytes`).
    """

    bound: float
    lower: float
    witness: Array | None
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
        return written(json.dumps(self.plain(), allow_nan=False, indent=1), path)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """A matplotlib Figure of bound, attained value and the relaxation's estimate against seconds (extra `plot`).

        A notebook shows it. Written to `path`, as its suffix says, if one is given.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: a suffix that is no picture format.
            OSError: `path` cannot be written.
        """
        from .plot import plot_result

        return plot_result(self, path)

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write one self-contained page of HTML about it, all or nothing: the claim in words, pictures, hashes.

        Raises:
            ValueError: `path` is a directory.
            OSError: `path` cannot be written.
        """
        from .page.lipschitz import result_page

        written(result_page(self.plain()), path, end="")

    def plain(self) -> dict[str, Any]:
        """All but the certificate, whose digest is there, as plain JSON values (hr2jax/data/result.schema.json)."""
        plain: dict[str, Any] = strict(
            {
                "format": FORMAT,
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
                "certificate": None if self.certificate is None else {"digest": self.certificate.digest},
            }
        )
        return plain

    @classmethod
    def from_json(cls, source: str | os.PathLike[str]) -> Result:
        """The result that `to_json` wrote; its certificate, which has a file of its own, is None.

        What it says is believed, nothing is proved: that is `Certificate.verify`'s.

        Args:
            source: the JSON text (it begins with a brace), or the path of a file that holds it.

        Raises:
            ValueError: no JSON, or not a result's.
            OSError: the file is missing or may not be read.
        """
        text = source if isinstance(source, str) and source.lstrip()[:1] == "{" else _content(source)
        try:
            plain = json.loads(text, parse_constant=_no_number)
            if plain.get("format", FORMAT) != FORMAT:
                raise ValueError(f"its format is {shown(plain['format'])}, but {FORMAT!r} was expected")
            missing = [name for name in ASKED if name not in plain["problem"]]
            if missing or plain["bound"] is None or plain["lower"] is None:
                raise ValueError(f"its problem has no {missing[0]!r}" if missing else "its bounds are no numbers")
            numbers = {name: _number(plain[name]) for name in ("bound", "lower", "gap", "relaxation_value")}
            result = cls(
                **numbers,
                witness=None if plain["witness"] is None else np.array(plain["witness"], dtype=np.float64),
                status=Status[plain["status"]],
                message=str(plain["message"]),
                certificate=cast(Certificate, None),
                iterations=int(plain["iterations"]),
                history={name: np.array([*map(_number, values)]) for name, values in plain["history"].items()},
                timings=dict(plain["timings"]),
                problem=dict(plain["problem"]),
            )
            hash(result), result_table(result)  # values of other types than to_json writes are refused here
            return result
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
            why = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise ValueError(
                f"{'the text' if text is source else os.fspath(source)} is not the JSON of a Result, as to_json writes "
                f"it: {why}"
            ) from None

    def __str__(self) -> str:
        return result_table(self)

    def __repr__(self) -> str:
        return f"Result(bound={self.bound!r}, lower={self.lower!r}, gap={self.gap:.3g}, status={self.status.name})"

    def _repr_html_(self) -> str:
        return html_table(_rows(self), is_headed=False)

    def __float__(self) -> float:
        return self.bound

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        return (
            (self.problem, self.bound, self.lower) == (other.problem, other.bound, other.lower)
            and (self.witness is None) == (other.witness is None)
            and (self.witness is None or np.array_equal(self.witness, cast(Array, other.witness)))
            and _same(_multipliers(self), _multipliers(other))
        )

    def __hash__(self) -> int:
        witness = () if self.witness is None else tuple(np.ravel(self.witness).tolist())
        return hash((self.problem["network_hash"], self.bound, self.lower, witness))


def _multipliers(result: Result) -> Mapping[str, Array] | None:
    return None if result.certificate is None else result.certificate.multipliers


def _same(a: Mapping[str, Array] | None, b: Mapping[str, Array] | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.keys() == b.keys() and all(np.array_equal(values, b[name]) for name, values in a.items())


def _content(path: str | os.PathLike[str]) -> bytes:
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"source must be a Result's JSON text or its path, but {shown(path)} was given")
    with opened(path) as file:
        return file.read()


def _number(value: Any) -> float:
    """A number of strict JSON: null is one that was not finite."""
    return math.nan if value is None else float(value)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")


def relative_gap(bound: float, lower: float) -> float:
    """(bound - lower) / bound; 0 when bound is 0. Of values that may be negative, relative to the larger magnitude."""
    largest = max(abs(bound), abs(lower)) if min(bound, lower) < 0 else bound
    return (bound - lower) / largest if largest > 0 else 0.0
