"""`solve`'s other arguments, checked before any work."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .machine.files import refusal
from .network import Network
from .problem import LipschitzProblem
from .relaxation.presolve import CHOICES
from .result import Progress, Result
from .text import shown

RELAXATIONS = (
    "shor", "hr2", "hr2z", "hr2+", "lasserre2", "best", "interval", "product", "lipsdp", "lipopt3", "lipopt4",
)  # fmt: skip
LIPOPT = {"lipopt3": 3, "lipopt4": 4}  # the degree of their Krivine-Stengle certificates
BASELINES = ("interval", "product")  # no solver
BOUNDS = ("auto", "interval", "linear", "lp")
INTERIOR_POINT = ("clarabel", "cvxopt", "sdpa", "mosek")
CUTTING = ("hr2+", "best")
# Pairs of factors, and triangle inequalities not through the constant (docs/mathematics.md).
CUTS = (
    "T.U", "U.U", "T.T", "X0.U", "T.X0", "X0.X0", "triangles",
    # several hidden layers only (relaxation/products.py)
    "T.V", "T.VC", "U.V", "U.VC", "T.A", "T.AC", "U.A", "U.AC", "U.X", "U.XC", "X0.X", "X0.XC",
)  # fmt: skip
METHODS = ("auto", "admm", "lowrank", "newton", *INTERIOR_POINT)


@dataclass(frozen=True)
class Options:
    """Checked options of `solve` (API.md)."""

    relaxation: str
    method: str
    tol: float
    time_limit: float | None
    max_iterations: int | None
    device: str | None
    seed: int
    warm_start: Result | None
    progress: bool
    callback: Callable[[Progress], Any] | None
    checkpoint: Path | None
    cuts: tuple[str, ...]
    bounds: str = "auto"
    lifting: str = "auto"


def check_options(
    net: Network,
    problem: LipschitzProblem,
    relaxation: Any,
    bounds: Any,
    method: Any,
    tol: Any,
    time_limit: Any,
    max_iterations: Any,
    device: Any,
    seed: Any,
    warm_start: Any,
    progress: Any,
    callback: Any,
    checkpoint: Any,
    cuts: Any = None,
    lifting: Any = "auto",
) -> Options:
    """Options if every argument means something, and can be done today.

    Raises:
        ValueError: what was given and what was expected.
        NotImplementedError: a combination that is not built.
    """
    _one_of("relaxation", relaxation, RELAXATIONS)
    _one_of("bounds", bounds, BOUNDS)
    _one_of("method", method, METHODS)
    _one_of("lifting", lifting, ("auto", *CHOICES))
    _number("tol", tol, positive=True)
    if time_limit is not None:
        _number("time_limit", time_limit, positive=False)
    if max_iterations is not None and (not _is_int(max_iterations) or max_iterations < 1):
        given = shown(max_iterations)
        raise ValueError(f"max_iterations must be None or an integer of at least 1, but {given} was given")
    if not _is_int(seed) or seed < 0:
        raise ValueError(f"seed must be a nonnegative integer, but {shown(seed)} was given")
    if device is not None:
        _one_of("device", device, ("cpu", "gpu"))
    if not isinstance(progress, bool):
        raise ValueError(f"progress must be True or False, but {shown(progress)} was given")
    if callback is not None and not callable(callback):
        raise ValueError(f"callback must be None or a function of a Progress, but {shown(callback)} was given")
    if warm_start is not None:
        if not isinstance(warm_start, Result):
            raise ValueError(f"warm_start must be an earlier Result, but {type(warm_start).__name__} was given")
        if tuple(warm_start.problem["widths"]) != net.widths:
            raise ValueError(
                f"warm_start is for widths {tuple(warm_start.problem['widths'])}, but the network's are {net.widths}"
            )
    if checkpoint is not None:
        if not isinstance(checkpoint, str | os.PathLike):
            raise ValueError(f"checkpoint must be a path, but {shown(checkpoint)} was given")
        reason = refusal(checkpoint) if os.fspath(checkpoint) else "its name is empty"
        if reason:
            raise ValueError(f"checkpoint must be a file that can be written, but {str(checkpoint)!r} cannot: {reason}")
        checkpoint = Path(checkpoint)
    if cuts is None:
        cuts = CUTS
    elif relaxation not in CUTTING:
        raise ValueError(f"cuts are part of relaxation='hr2+' and 'best', but relaxation={relaxation!r} was given")
    else:
        cuts = _names("cuts", cuts, CUTS)
        deep = [name for name in cuts if set(name.split(".")) & {"V", "VC", "A", "AC", "X", "XC"}]
        if net.depth == 1 and deep and len(deep) == len(cuts):
            raise ValueError(
                f"cuts must name some that exist with one hidden layer, but {', '.join(map(repr, deep))} need several"
            )
    if problem.quantity == "maximum" and relaxation not in ("shor", "hr2", "hr2+", "interval"):
        raise ValueError(
            "relaxation must be one of 'shor', 'hr2', 'hr2+', 'interval' for a largest value, but "
            f"{relaxation!r} was given"
        )
    if net.depth == 1 and lifting not in ("auto", "forward"):
        raise ValueError(
            f"lifting={lifting!r} was given, but with one hidden layer there is nothing to choose: 'auto' or 'forward'"
        )
    if relaxation in LIPOPT and method != "auto":
        raise NotImplementedError(
            f"method={method!r} does not solve relaxation={relaxation!r}; HiGHS does, by method='auto'"
        )
    if relaxation in ("hr2z", "lasserre2", *LIPOPT) and net.depth > 1:
        raise NotImplementedError(
            f"relaxation={relaxation!r} is for one hidden layer and the network has {net.depth}; "
            "'shor', 'hr2', 'hr2+' and 'best' are for any number"
        )
    if relaxation in ("lasserre2", *LIPOPT) and problem.norm != "inf":
        raise NotImplementedError(
            f"relaxation={relaxation!r} is for norm='inf'; 'shor', 'hr2' and 'hr2+' are for norm=2 too"
        )
    if method not in ("auto", "lowrank", "newton") and relaxation == "lipsdp":
        raise NotImplementedError(f"method={method!r} does not solve relaxation='lipsdp'; 'lowrank' and 'newton' do")
    if method not in ("auto", "lowrank", "newton") and (net.depth > 1 or problem.norm != "inf"):
        what = f"{net.depth} hidden layers" if net.depth > 1 else "norm=2"
        raise NotImplementedError(
            f"method={method!r} is for one hidden layer and norm='inf', but the problem has {what}; "
            "'lowrank' and 'newton' are for any"
        )
    if relaxation in CUTTING and method not in ("auto", "lowrank", "newton"):
        raise NotImplementedError(
            f"method={method!r} was given, but only 'lowrank' and 'newton' solve relaxation={relaxation!r}: "
            "they add cutting planes as they go"
        )
    if relaxation == "lasserre2" and method in ("lowrank", "newton"):
        raise NotImplementedError(
            f"method={method!r} was given, but relaxation='lasserre2' has a block form only: method='admm' or "
            f"{', '.join(map(repr, INTERIOR_POINT))} solve it"
        )
    return Options(
        relaxation, method, float(tol), None if time_limit is None else float(time_limit),
        max_iterations, device, int(seed), warm_start, progress, callback, checkpoint, cuts, bounds, lifting,
    )  # fmt: skip


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, but {shown(value)} was given")


def _names(name: str, value: Any, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """A selection of `allowed`, in that order."""
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        names = ", ".join(map(repr, allowed))
        raise ValueError(f"{name} must be a list of names among {names}, but {shown(value)} was given")
    for entry in value:
        _one_of(f"every entry of {name}", entry, allowed)
    return tuple(entry for entry in allowed if entry in value)


def _is_int(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _number(name: str, value: Any, positive: bool) -> None:
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    kind = "positive" if positive else "nonnegative"
    try:
        number = float(value) if real else math.nan
    except OverflowError:
        given = shown(value)
        raise ValueError(f"{name} must be a {kind} finite number, but {given} is beyond float64") from None
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise ValueError(f"{name} must be a {kind} finite number, but {shown(value)} was given")
