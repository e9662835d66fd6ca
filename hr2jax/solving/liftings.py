"""Other liftings of the same problem, which a solve takes up after its own where they are sought and small."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..network import Network
from ..options import Options
from ..problem import Problem
from ..relaxation.presolve import Presolve
from . import last, reach, tensored, tied


def other_presolves(
    net: Network, problem: Problem, fixed: Presolve, options: Options, is_open: Callable[[], bool]
) -> Iterator[Presolve]:
    """The problem presolved for each of them, one after the other; `is_open`: whether a witness leaves a gap."""
    is_limited, found = options.time_limit is not None, None
    if tensored.is_sought(problem, options) and not fixed.tied:
        found = tensored.prepared(net, problem, fixed, is_limited)
    if found is not None:
        yield found
    found = tied.beside(net, problem, options, fixed)
    if found is not None:
        yield found
    found = last.beside(problem, options, fixed)
    if found is not None:
        yield found
    is_sought, is_worthy = reach.is_sought(problem, options), is_limited or is_open()
    found = reach.prepared_on_section(net, problem, is_worthy) if is_sought else None
    if found is not None:
        yield found
