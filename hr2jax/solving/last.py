"""The lifting "xL" of a local solve: asked for, or in place of another or beside it where it is small.

It has x of the last layers too, so that event rows and clauses exist of all neurons (docs/theory/depth.md).
"""

from __future__ import annotations

from dataclasses import replace

from ..engines.sizes import Sizes
from ..options import Options
from ..problem import Problem
from ..relaxation.presolve import LIFTINGS, Presolve

# Sides of M_1 up to which it is taken in place of the others: some seconds by Newton's method; and with a time limit
# beside them, of which it has what is left.
LARGEST, LARGEST_IN_TIME = 50, 110


def in_place(problem: Problem, options: Options, fixed: Presolve) -> Presolve | None:
    """The problem presolved for it, where it is solved instead; None where it is not."""
    return None if options.time_limit is not None else _small(problem, options, fixed, LARGEST)


def beside(problem: Problem, options: Options, fixed: Presolve) -> Presolve | None:
    """The problem presolved for it, where it is solved in what is left of the time; None where it is not."""
    return None if options.time_limit is None else _small(problem, options, fixed, LARGEST_IN_TIME)


def _small(problem: Problem, options: Options, fixed: Presolve, largest: int) -> Presolve | None:
    is_local = problem.is_local and problem.quantity == "lipschitz" and not problem.is_vector
    is_free = options.lifting == "auto" and options.cuts is None and options.method in ("auto", "newton")
    if not (is_local and is_free and options.record.hardest.reaches and fixed.has_values(problem)):
        return None
    if fixed.with_last or fixed.tied or fixed.switching > largest:
        return None
    with_last = replace(fixed, chains=LIFTINGS["xL"], with_last=True)
    return None if largest < Sizes.of(problem, with_last).N else with_last
