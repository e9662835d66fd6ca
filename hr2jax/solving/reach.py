"""The reach lifting of a solve: asked for, or beside another where it is small (docs/theory/reach.md)."""

from __future__ import annotations

import numpy as np

from ..bounds.jacobian import adjoint_bounds
from ..engines.sizes import Sizes
from ..machine.threads import few_threads
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..relaxation.presolve import LIFTINGS, Presolve, presolve, reach_of
from ..relaxation.section import find_section, refusal

# Sides of M_1 up to which it is solved without being asked for: some seconds by Newton's method; and up to which with a
# time limit, of which it has what is left, or where a witness says that there may be something to gain: a minute.
LARGEST, LARGEST_WORTHY = 50, 110


def is_sought(problem: Problem, options: Options) -> bool:
    """Whether it is a part of what was asked."""
    is_global = not problem.is_local and problem.quantity == "lipschitz"
    return is_global and options.lifting == "auto" and options.record.hardest.reaches and options.cuts is None


def prepared_on_section(net: Network, problem: Problem, is_worthy: bool) -> Presolve | None:
    """The problem presolved for it; None where that gains nothing, or is too large for what it may gain."""
    largest = LARGEST_WORTHY if is_worthy else LARGEST
    if sum(net.widths) > 2 * largest:
        return None
    try:
        fixed = _presolved(net, problem)
    except ValueError:  # beyond float64
        return None
    return None if fixed is None or largest < Sizes.of(problem, fixed).N else fixed


def required_on_section(net: Network, problem: Problem) -> Presolve:
    """The problem presolved for it.

    Raises:
        ValueError: every pattern occurs, or no section is found.
    """
    fixed = _presolved(net, problem)
    if fixed is None:
        raise ValueError(
            "lifting='reach' was given, but here it says no more than others do: every pattern of the first layer "
            "occurs, or its rows are so dependent that nothing is known of the input; give 'auto'"
        )
    return fixed


def _presolved(net: Network, problem: Problem) -> Presolve | None:
    with few_threads(max(net.widths)):
        masks = [np.zeros(layer.width, dtype=bool) for layer in net.layers[:-1]]
        free = np.arange(net.widths[0])
        section = None if refusal(net) else find_section(net, 1.0, adjoint_bounds(net, problem, free, masks, masks))
        if section is None:
            return None
        return presolve(net, problem, chains=LIFTINGS[reach_of(problem)], section=section)
