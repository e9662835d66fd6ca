"""The search for a point whose gradient is large: patterns, points, and climbing between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arithmetic.enclosure import check_arithmetic
from ..arithmetic.float64 import Array
from ..network import Network
from ..problem import Problem
from .cells.cells import build_cells
from .cells.search import REACH, Best, search_cells
from .effort import Effort
from .outputs import search_outputs
from .regions.search import search_deep
from .smooth import search_smooth


def search(
    net: Network,
    problem: Problem,
    *,
    points: float = math.inf,
    seconds: float = math.inf,
    effort: Effort | None = None,
    seed: int = 0,
    starts: Sequence[ArrayLike] | Array = (),
) -> tuple[float, Array]:
    """The best lower bound of the Lipschitz constant found, and the point that attains it.

    Small networks are searched exhaustively. Otherwise, with one hidden layer, norm inf and a box, patterns are
    annealed and realised by linear programs, points are found by smoothed ascent, and the best of both are
    improved (`climb`); any other network is searched point by point (`search_deep`, `search_smooth`). The search ends
    early when several rounds bring nothing. Several outputs are searched one combination after the other (outputs.py).

    For one machine and one set of library versions the result depends on the arguments alone as long as
    `seconds` do not bind; where they do, the moment at which it stops is not reproducible.

    Args:
        net: the network, any number of hidden layers.
        problem: the problem.
        points: about so many are evaluated; programs count as points (`Effort`).
        seconds: a deadline.
        effort: what may be spent, in place of both, for whoever asks it afterwards what was.
        seed: of every random choice.
        starts: further starting points, (p_0,) each, moved into the domain, or patterns, (p_1 + ... + p_L,)
            bool each.

    Returns:
        lower: from `attained` at the witness; 0.0 when nothing better was proved.
        witness: (p_0,) float64, a point of the domain.

    Raises:
        ValueError: a start of the wrong shape.
        hr2jax.arithmetic.enclosure.UnsoundArithmeticError: when this process cannot prove anything.
    """
    effort = Effort(net, points, seconds) if effort is None else effort
    check_arithmetic()
    found = _search(net, problem, effort=effort, seed=seed, starts=starts)
    check_arithmetic()  # again: libraries that were loaded on the way may have changed its mode
    return found


def _search(
    net: Network, problem: Problem, *, effort: Effort, seed: int, starts: Sequence[ArrayLike] | Array
) -> tuple[float, Array]:
    """`search` without a look at the arithmetic."""
    if problem.is_vector:
        return search_outputs(net, problem, _search, effort=effort, seed=seed, starts=starts)
    known, patterns = _sort_starts(net, starts)
    if net.smooth:
        return search_smooth(net, problem, effort=effort, seed=seed, points=known)
    if not net.is_chain or net.depth != 1 or problem.norm != "inf" or problem.domain.shape != "inf":
        return search_deep(net, problem, effort=effort, seed=seed, points=known, patterns=patterns)
    with np.errstate(all="ignore"):
        cells = build_cells(net, problem, REACH[0])
        best = Best(net, problem, cells)
        best.offer_point(best.witness)
        for x in known:
            best.offer_point(cells.point(cells.locate(x)))
        sane = all(np.isfinite(a).all() for a in (cells.A, cells.b, cells.B, cells.g0, cells.scale))
        if len(cells.b) and sane:
            search_cells(best, effort, seed, [cells.locate(x) for x in known], patterns)
    return best.lower, best.witness


def _sort_starts(net: Network, starts: Any) -> tuple[list[Array], list[Array]]:
    """Points (p_0,) float64 and patterns (neurons,) bool among the starts."""
    points: list[Array] = []
    patterns: list[Array] = []
    for start in starts:
        array = np.asarray(start)
        kind, width = (patterns, sum(net.widths[1:-1])) if array.dtype == bool else (points, net.widths[0])
        if array.shape != (width,):
            raise ValueError(
                f"a start must be a point (p_0,) or a bool pattern of all hidden neurons, not of shape {array.shape}"
            )
        if array.dtype != bool and not np.isfinite(array).all():
            raise ValueError("a starting point must be finite")
        kind.append(array if array.dtype == bool else array.astype(np.float64))
    return points, patterns
