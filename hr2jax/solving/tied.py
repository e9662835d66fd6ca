"""The lifting "tied" of a local solve with smooth layers: asked for, in place of another, or beside it.

Where lines are near sigma' it says more than free slopes do: of 156 random problems of a mean slack below 0.4 the bound
was below theirs in all. Elsewhere it may say less, as what it says of a slope times an adjoint is no equality. Of
several outputs it is "tensored tied", by Newton's method alone, where that is small.
"""

from __future__ import annotations

from .. import graph
from ..bounds.interval import Pair
from ..engines.product.memory import copied_bytes
from ..engines.product.schedule import is_small
from ..engines.sizes import Sizes
from ..machine.memory import available_bytes
from ..machine.threads import few_threads
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..relaxation.presolve import LIFTINGS, Presolve, presolve, ties_for
from ..relaxation.ties import mean_slack

# Up to this mean of what lines leave of the slopes' ranges it is solved alone.
TIGHT = 0.3
# Sides of M_1 of several outputs up to which it is solved without being asked for: some ten seconds of one processor
# (tanh 4-16-16-2 has 126 and takes 8); and with a time limit, of which it has what is left (4-64-64-2: 462 and 140 s).
LARGEST, LARGEST_IN_TIME = 150, 500


def is_sought(net: Network, problem: Problem, options: Options) -> bool:
    """Whether it is a part of what was asked."""
    is_local = problem.is_local and problem.quantity == "lipschitz"
    methods = ("auto", "newton") if problem.is_vector else ("auto", "lowrank", "newton")
    is_free = options.lifting == "auto" and options.cuts is None and options.method in methods
    if problem.is_vector and (problem.has_parts or not problem.has_t):
        return False
    return bool(net.smooth) and is_local and is_free and options.record.by_products and options.record.lifting is None


def prepared(net: Network, problem: Problem, bounds: list[Pair] | None = None) -> Presolve:
    """The problem presolved for it, with the pre-activation bounds that are known."""
    with few_threads(max(net.widths)):
        return presolve(net, problem, chains=LIFTINGS[ties_for(problem)], bounds=bounds, tied=True)


def in_place(net: Network, problem: Problem, options: Options, bounds: list[Pair] | None) -> Presolve | None:
    """The problem presolved for it, where it is solved alone; None where it is not.

    Of large problems only without a time limit, within which the other lifting may come farther; of mixed networks
    never, as kinked layers are the other lifting's as much.
    """
    if not is_sought(net, problem, options) or any(graph.is_masked(x) and x.is_kinked for x in net.layers):
        return None
    fixed = prepared(net, problem, bounds)
    N = Sizes.of(problem, fixed).N
    is_early = N <= LARGEST if problem.is_vector else options.time_limit is None or is_small(N)
    return fixed if is_early and fixed.switching and mean_slack(net, fixed) <= TIGHT else None


def beside(net: Network, problem: Problem, options: Options, own: Presolve) -> Presolve | None:
    """The problem presolved for it, where it is solved in what is left of the time; None where it is not."""
    if own.tied or not own.switching or not is_sought(net, problem, options):
        return None
    fixed, is_limited = prepared(net, problem), options.time_limit is not None
    N = Sizes.of(problem, fixed).N
    if problem.is_vector:
        is_little = copied_bytes(problem, fixed) <= 0.7 * available_bytes()
        return fixed if is_little and (LARGEST_IN_TIME if is_limited else LARGEST) >= N else None
    return fixed if is_limited or is_small(N) else None
