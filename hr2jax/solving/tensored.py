"""The tensored lifting of a solve: asked for, or where it is small (docs/theory/several-outputs.md)."""

from __future__ import annotations

from dataclasses import replace

from ..engines.product.memory import MOST, copied_bytes, copied_rows
from ..machine.memory import available_bytes
from ..machine.threads import few_threads
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..relaxation.presolve import LIFTINGS, Presolve, presolve

# Equalities between copies up to which it is solved without being asked for: some ten seconds by Newton's method
# (LipBaB's SD 10-20-15-10-3, which has 1134, takes 90); and with a time limit, of which it has what is left.
LARGEST, LARGEST_IN_TIME = 800, 2500


def is_sought(problem: Problem, options: Options) -> bool:
    """Whether it is a part of what was asked."""
    is_whole = problem.is_vector and not problem.has_parts and problem.has_t
    return is_whole and options.lifting == "auto" and options.record.hardest.reaches and options.cuts is None


def prepared(net: Network, problem: Problem, fixed: Presolve, is_limited: bool) -> Presolve | None:
    """The problem presolved for it, with the pre-activation bounds of another presolve; None where it is too large."""
    if copied_rows(problem, fixed) > (LARGEST_IN_TIME if is_limited else LARGEST):
        return None
    with few_threads(max(net.widths)):
        found = presolve(net, problem, slopes=fixed.slopes, chains=LIFTINGS["tensored"])
    found = with_last(problem, found, is_limited)
    return found if copied_bytes(problem, found) <= 0.7 * available_bytes() else None


def with_last(problem: Problem, fixed: Presolve, is_limited: bool) -> Presolve:
    """The same with x of the last layers too, of a local problem where that is small."""
    found = replace(fixed, with_last=True)
    is_small = copied_rows(problem, found) <= (LARGEST_IN_TIME if is_limited else LARGEST)
    return found if problem.is_local and fixed.has_values(problem) and is_small else fixed


def check_size(problem: Problem, fixed: Presolve) -> float:
    """About how many bytes it takes.

    Raises:
        NotImplementedError: more multipliers than there may be, or more memory than there is.
    """
    rows, needed = copied_rows(problem, fixed), copied_bytes(problem, fixed)
    if rows > MOST or needed > 0.7 * available_bytes():
        raise NotImplementedError(
            f"lifting='tensored' takes at most {MOST} equalities between copies, but here they are {rows}, or more "
            f"memory than there is: {needed / 1e9:.1f} GB; 'auto' is for any number"
        )
    return needed
