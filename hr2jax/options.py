"""`solve`'s options: what each may be, its default, and which of them go together, checked before any work."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .machine.files import refusal
from .machine.workers import LostError, Workers, workers_of
from .relaxation.table import CHOICES, RELAXATIONS, Relaxation, names
from .text import shown

if TYPE_CHECKING:
    from .network import Network
    from .problem import Problem
    from .result import Progress, Result

BOUNDS = ("auto", "interval", "linear", "lp", "split")
DEVICES = ("cpu", "gpu")
VIA = ("lipschitz-global", "lipschitz-local", "sdp")  # how `certify` proves, its default first
INTERIOR_POINT = ("clarabel", "cvxopt", "sdpa", "mosek")
PRODUCT_METHODS = ("lowrank", "newton")  # any depth and norm, cutting planes too
BLOCK_METHODS = ("admm", *INTERIOR_POINT)  # block forms: one hidden layer, norm inf
METHODS = ("auto", "admm", "lowrank", "newton", *INTERIOR_POINT)
# Pairs of factors, triangle inequalities not through the constant, and factors times the cones of balls
# (docs/theory/cuts.md); and the products that exist with several hidden layers only (relaxation/products.py).
WITH_X = ("events", "clauses", "exclusions")  # of neurons that have an x; on a section "exclusions" alone
FLAT_CUTS = ("T.U", "U.U", "T.T", "X0.U", "T.X0", "X0.X0", "triangles", "cones", *WITH_X)
DEEP_CUTS = (
    "T.V", "T.VC", "U.V", "U.VC", "T.A", "T.AC", "U.A", "U.AC", "U.X", "U.XC", "X0.X", "X0.XC",
    "X.X",  # and all others of two factors of one chain
    # of several outputs, also with one hidden layer
    "squares",  # of what two masks multiply (relaxation/mixtures.py)
    "S.U", "T.AS", "T.ASC", "U.AS", "U.ASC",
)  # fmt: skip
CUT_NAMES = (*FLAT_CUTS, *DEEP_CUTS)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to solve, each option checked by itself; `check` says whether they do for a problem. Owns the defaults.

    Attributes:
        relaxation: its name (relaxation/table.py).
        bounds: pre-activation bounds of local problems, of BOUNDS.
        method: the engine, of METHODS; "auto" is engines/choose.py's choice.
        tol: stop when bound - relaxation optimum <= tol * bound, as estimated by the duality gap.
        time_limit: seconds; None: none.
        max_iterations: of the engine; None: as many as it takes.
        device: where JAX runs, of DEVICES; None: JAX's default.
        devices: among so many of that kind `lowrank` divides its factor's rows; None: one has them all.
        seed: of every random choice, a nonnegative integer.
        witness: effort of the search of `lower`, in evaluated points: "auto", which is 1 (as many as follow from sizes
            and the engine's counted iterations), a number that scales it, 0 for none.
        warm_start: an earlier Result of the same widths, whose multipliers to begin from.
        progress: whether a live line is shown on a terminal, or messages in the log "hr2jax".
        callback: called with a Progress now and then; returning True stops.
        checkpoint: path of a certificate file that always holds the best bound so far; resumed from if it exists.
        cuts: names of the cutting planes to separate, of CUT_NAMES, in that order; None: all, where there are any.
        lifting: with several hidden layers, which variables carry the derivative: "auto" or of table.CHOICES.

    Raises:
        ValueError: what was given and what was expected.
    """

    relaxation: str = "hr2"
    bounds: str = "auto"
    method: str = "auto"
    tol: float = 1e-3
    time_limit: float | None = None
    max_iterations: int | None = None
    device: str | None = None
    devices: int | None = None
    seed: int = 0
    witness: str | float = "auto"
    warm_start: Result | None = None
    progress: bool = False
    callback: Callable[[Progress], Any] | None = None
    checkpoint: Path | None = None
    cuts: Sequence[str] | None = None
    lifting: str = "auto"

    def __post_init__(self) -> None:
        _one_of("relaxation", self.relaxation, tuple(RELAXATIONS))
        _one_of("bounds", self.bounds, BOUNDS)
        _one_of("method", self.method, METHODS)
        _one_of("lifting", self.lifting, ("auto", *CHOICES))
        self._keep("tol", _number("tol", self.tol, positive=True))
        if self.time_limit is not None:
            self._keep("time_limit", _number("time_limit", self.time_limit, positive=False))
        if self.max_iterations is not None and (not _is_int(self.max_iterations) or self.max_iterations < 1):
            given = shown(self.max_iterations)
            raise ValueError(f"max_iterations must be None or an integer of at least 1, but {given} was given")
        if not _is_int(self.seed) or self.seed < 0:
            raise ValueError(f"seed must be a nonnegative integer, but {shown(self.seed)} was given")
        self._keep("seed", int(self.seed))
        if isinstance(self.witness, str):
            if self.witness != "auto":
                raise ValueError(f"witness must be 'auto' or a nonnegative number, but {shown(self.witness)} was given")
        else:
            self._keep("witness", _number("witness", self.witness, positive=False))
        if self.device is not None:
            _one_of("device", self.device, DEVICES)
        check_count("devices", self.devices, 1, none=True)
        if self.devices is not None and self.method not in ("auto", "lowrank"):
            raise ValueError(
                f"devices are what method='lowrank' divides its rows among ('auto' is that for whatever is large), but "
                f"method={self.method!r} was given"
            )
        if not isinstance(self.progress, bool):
            raise ValueError(f"progress must be True or False, but {shown(self.progress)} was given")
        if self.callback is not None and not callable(self.callback):
            raise ValueError(f"callback must be None or a function of a Progress, but {shown(self.callback)} was given")
        if self.warm_start is not None:
            _check_result(self.warm_start)
        if self.checkpoint is not None:
            self._keep("checkpoint", _writable(self.checkpoint))
        if self.cuts is not None:
            if not self.record.cuts:
                raise ValueError(
                    f"cuts are part of relaxation={' and '.join(map(repr, names(cuts=True)))}, but "
                    f"relaxation={self.relaxation!r} was given"
                )
            self._keep("cuts", _names("cuts", self.cuts, CUT_NAMES))

    def _check_further(self, net: Network, problem: Problem) -> None:
        """Refuse what the liftings "reach", "xL" and "tied" are not for.

        Raises:
            ValueError, NotImplementedError: what was given and what was expected.
        """
        from .relaxation.section import refusal  # here: the command line's help needs no relaxations

        is_reach, word = self.lifting == "reach", f"lifting={self.lifting!r}"
        if problem.is_local == is_reach or problem.quantity != "lipschitz":
            what = f"a {'local' if problem.is_local else 'global'} constant"
            what = what if problem.quantity == "lipschitz" else "a largest value"
            own = "global" if is_reach else "local"
            raise ValueError(f"{word} is for {own} Lipschitz constants, but {what} was asked for; give 'auto'")
        if not self.record.by_products or self.record.lifting is not None or self.method in BLOCK_METHODS:
            raise NotImplementedError(
                f"{word} is for products of any depth ('shor', 'hr2', 'hr2+' by {_listed(PRODUCT_METHODS)}), "
                f"but relaxation={self.relaxation!r} with method={self.method!r} was given"
            )
        if self.lifting == "tied" and not net.smooth:
            raise ValueError(f"{word} is for networks with smooth layers, but the network is {net!r}; give 'auto'")
        is_of_several = problem.is_vector and not problem.is_of_rows and self.lifting == "tied"
        if is_of_several and (problem.norm == 1 or self.method not in ("auto", "newton")):
            raise NotImplementedError(
                f"{word} of several outputs is for norm 'inf' or 2 to 2 or 1 by 'newton', but norm={problem.norm!r} "
                f"and method={self.method!r} were given; give 'auto'"
            )
        if is_reach and (reason := refusal(net)):
            raise NotImplementedError(f"{word} was given, but {reason}; give 'auto'")

    def _check_tensored(self, problem: Problem) -> None:
        """Refuse what the tensored lifting is not for.

        Raises:
            ValueError, NotImplementedError: what was given and what was expected.
        """
        if not problem.is_vector or problem.has_parts:
            what = f"norms {problem.norm!r} and {problem.output_norm!r} of" if problem.is_vector else "one"
            raise ValueError(
                f"lifting='tensored' is for several outputs from norm 'inf' or 2 to 2 or 1, but {what} "
                f"{len(problem.coefficients) if problem.is_vector else 'output'} were asked for; give 'auto'"
            )
        if not self.record.by_products or self.record.lifting is not None or self.method not in ("auto", "newton"):
            raise NotImplementedError(
                f"lifting='tensored' is for 'shor', 'hr2', 'hr2+' by 'newton', but relaxation={self.relaxation!r} with "
                f"method={self.method!r} was given"
            )

    def _keep(self, name: str, value: Any) -> None:
        """Replace what was given by what it means; for `__post_init__` alone."""
        object.__setattr__(self, name, value)

    @property
    def record(self) -> Relaxation:
        """The relaxation."""
        return RELAXATIONS[self.relaxation]

    @property
    def effort(self) -> float:
        """`witness` as a number."""
        return 1.0 if isinstance(self.witness, str) else self.witness

    @property
    def planes(self) -> tuple[str, ...]:
        """The cutting planes to separate where the relaxation has any."""
        return CUT_NAMES if self.cuts is None else tuple(self.cuts)

    def check(self, net: Network, problem: Problem) -> Options:
        """These options, if they do for this problem.

        Raises:
            ValueError: what was given and what was expected.
            NotImplementedError: a combination that is not built, and the nearest that is.
        """
        record, blocks = self.record, self.method in BLOCK_METHODS
        if self.warm_start is not None and tuple(self.warm_start.problem["widths"]) != net.widths:
            widths = tuple(self.warm_start.problem["widths"])
            raise ValueError(f"warm_start is for widths {widths}, but the network's are {net.widths}")
        if net.depth == 1 and not problem.is_vector and self.cuts and set(self.cuts) <= set(DEEP_CUTS):
            raise ValueError(
                f"cuts must name some that exist with one hidden layer, but {_listed(self.cuts)} need several"
            )
        if problem.quantity not in record.quantities:
            raise ValueError(
                f"relaxation must be one of {_listed(names(quantities=problem.quantity))} for a largest value, but "
                f"{self.relaxation!r} was given"
            )
        if self.lifting in ("reach", "xL", "tied"):
            self._check_further(net, problem)
        elif self.lifting == "tensored":
            self._check_tensored(problem)
        elif net.depth == 1 and self.lifting not in ("auto", "forward"):
            raise ValueError(
                f"lifting={self.lifting!r} was given, but with one hidden layer there is nothing to choose: 'auto', "
                "'forward', 'reach' of a global constant, 'xL' of a local one, or 'tied' of a smooth one"
            )
        is_whole = problem.is_vector and not problem.is_of_rows
        if is_whole and (record.matrices or record.degree is not None):
            others = names(any_depth=True, by_products=True)
            raise NotImplementedError(
                f"relaxation={self.relaxation!r} is for one output, or for several with output_norm='inf', but "
                f"output_norm is {problem.output_norm!r}; {_listed(others)} are for any"
            )
        if is_whole and self.lifting not in ("auto", "reach", "tensored", "tied"):
            raise ValueError(
                f"lifting={self.lifting!r} is one of one output, but f has {len(problem.coefficients)} values with "
                f"output_norm={problem.output_norm!r}; give 'auto', 'tensored', 'tied' or 'reach'"
            )
        if (record.matrices or record.degree is not None) and not net.is_chain:
            raise NotImplementedError(
                f"relaxation={self.relaxation!r} is for chains of ReLU layers, but the network is {net!r}; "
                f"{_listed(names(any_depth=True, by_products=True))} are for any"
            )
        if not record.any_depth and net.depth > 1:
            raise NotImplementedError(
                f"relaxation={self.relaxation!r} is for one hidden layer and the network has {net.depth}; "
                f"{_listed(names(any_depth=True, by_products=True))} are for any number"
            )
        if problem.norm not in record.norms:
            others = names(any_depth=True, by_products=True)
            raise NotImplementedError(
                f"relaxation={self.relaxation!r} is for norm={record.norms[0]!r}; {_listed(others)} are for "
                f"norm={problem.norm!r} too"
            )
        if self.method not in methods_of(record):
            why = "has a block form only" if record.by_blocks else "is HiGHS's"
            if record.by_products:
                why = "adds cutting planes as it goes" if record.cuts else "has no block form"
            raise NotImplementedError(
                f"method={self.method!r} was given, but relaxation={self.relaxation!r} {why}: "
                f"method={' or '.join(map(repr, methods_of(record)))}"
            )
        if net.smooth and self.bounds in ("lp", "split"):
            raise NotImplementedError(
                f"bounds={self.bounds!r} was asked for, which is built for piecewise linear layers only, but "
                f"{net.smooth}; bounds='linear' is for any"
            )
        single = net.structure.hidden == net.structure.depth == 1 and not net.smooth and not is_whole
        if blocks and (not single or problem.norm != "inf"):
            what = f"norm={problem.norm!r}" if single else f"{net.depth} hidden layers" if net.is_chain else f"{net!r}"
            what = f"{len(problem.coefficients)} outputs" if is_whole else what
            raise NotImplementedError(
                f"method={self.method!r} is for one hidden layer and norm='inf', but the problem has {what}; "
                f"{_listed(PRODUCT_METHODS)} are for any"
            )
        if (blocks or record.matrices) and problem.domain.shape != "inf":
            raise NotImplementedError(
                f"relaxation={self.relaxation!r} by method={self.method!r} is for a box, but the domain is a "
                f"{problem.domain.kind}; {_listed(PRODUCT_METHODS)} solve 'shor', 'hr2' and 'hr2+' on any"
            )
        return self


def methods_of(record: Relaxation) -> tuple[str, ...]:
    """What may be given as `method` with a relaxation; a baseline runs none of them."""
    if record.baseline:
        return METHODS
    forms = PRODUCT_METHODS * record.by_products + BLOCK_METHODS * record.by_blocks
    return tuple(name for name in METHODS if name == "auto" or name in forms)


MOST = 10**9  # of what is counted: steps, starts, processes


def check_count(name: str, value: Any, least: int, none: bool = False) -> None:
    """Refuse what is no integer of at least `least`, or more than anybody can mean."""
    if none and value is None:
        return
    if not _is_int(value) or not least <= value <= MOST:
        kind = f"{'None or ' if none else ''}an integer of at least {least} and at most {MOST}"
        raise ValueError(f"{name} must be {kind}, but {shown(value)} was given")


def checked_workers(count: Any, client: Any, tasks: int) -> Workers:
    """Who works on so many tasks: `count` processes, those of a Dask client, or this process.

    Raises:
        ValueError: what was given and what was expected.
        ImportError: Dask is needed and not installed.
    """
    check_count("workers", count, 1, none=True)
    if count is not None and client is not None:
        raise ValueError("workers and client cannot both be given: a client has its own workers")
    try:
        return workers_of(count, tasks, client)
    except LostError as error:
        raise ValueError(str(error)) from None


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {_listed(allowed)}, but {shown(value)} was given")


def _names(name: str, value: Any, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """A selection of `allowed`, in that order."""
    if isinstance(value, str) or not isinstance(value, list | tuple | set | frozenset):
        raise ValueError(f"{name} is {shown(value)}, not a list of {', '.join(allowed)}")
    for entry in value:
        if not isinstance(entry, str) or entry not in allowed:
            raise ValueError(f"{name} has {shown(entry)}, which is none of {', '.join(allowed)}")
    return tuple(entry for entry in allowed if entry in value)


def _listed(values: Sequence[str]) -> str:
    return ", ".join(map(repr, values))


def _is_int(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _number(name: str, value: Any, positive: bool) -> float:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    kind = "positive" if positive else "nonnegative"
    try:
        number = float(value) if real else math.nan
    except OverflowError:
        given = shown(value)
        raise ValueError(f"{name} must be a {kind} finite number, but {given} is beyond float64") from None
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        raise ValueError(f"{name} must be a {kind} finite number, but {shown(value)} was given")
    return number


def _check_result(value: Any) -> None:
    from .result import Result  # here: the command line's help needs no certificates

    if not isinstance(value, Result):
        raise ValueError(f"warm_start must be an earlier Result, but {type(value).__name__} was given")
    if value.certificate is None:
        raise ValueError(
            "warm_start must be a Result with a certificate, whose multipliers it begins from, but from_json's has "
            "none; checkpoint= begins from a certificate's file"
        )


def _writable(value: Any) -> Path:
    """The path of a checkpoint that can be written."""
    if not isinstance(value, str | os.PathLike):
        raise ValueError(f"checkpoint must be a path, but {shown(value)} was given")
    reason = refusal(value) if os.fspath(value) else "its name is empty"
    if reason:
        raise ValueError(f"checkpoint must be a file that can be written, but {str(value)!r} cannot: {reason}")
    return Path(value)
