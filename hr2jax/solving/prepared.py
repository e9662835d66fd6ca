"""The presolved problem: which lifting is asked for, and the pre-activation bounds, which outputs share."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..bounds import preactivation_bounds
from ..bounds.interval import Pair
from ..bounds.slopes.search import find_output_slopes, find_slopes, pick_method
from ..machine.threads import few_threads
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..relaxation.presolve import LIFTINGS, Presolve, pre_bounds, presolve
from .reach import required_on_section

# At most so long is spent on pre-activation bounds.
BOUND_SECONDS = 60.0


class Known(NamedTuple):
    """What is known of the pre-activations of one network on one domain, for whatever output and direction.

    Attributes:
        slopes: what proves their bounds beside intervals; None: nothing.
        bounds: what they prove; None: that is still to be found out.
    """

    slopes: Any
    bounds: list[Pair] | None = None


def known_of(net: Network, problem: Problem, options: Options) -> Known:
    """The pre-activation bounds that the options ask for, proved; of this problem and all others on its domain."""
    slopes = slopes_of(net, problem, options)
    with few_threads(max(net.widths)):
        return Known(slopes, pre_bounds(net, problem, slopes))


def prepare(net: Network, problem: Problem, options: Options, known: Known | None = None) -> Presolve:
    """The presolved problem, with the pre-activation bounds (`slopes_of`) and the lifting that the options ask for."""
    chosen = options.lifting
    if chosen == "auto" or net.depth <= 1:
        chosen = "adjoint" if net.depth > 1 else "forward"  # as bench/depth.py --liftings and bench/deep.py measured
    if problem.quantity == "maximum":
        chosen = "values"
    elif options.record.lifting is not None:
        chosen = options.record.lifting
    elif options.lifting == "reach":
        return required_on_section(net, problem)
    elif problem.is_vector:
        chosen = "separate"
    if known is None:
        known = Known(slopes_of(net, problem, options))
    with few_threads(max(net.widths)):
        return presolve(net, problem, slopes=known.slopes, chains=LIFTINGS[chosen], bounds=known.bounds)


def slopes_of(net: Network, problem: Problem, options: Options) -> Any:
    """What proves the pre-activation bounds beside intervals; None: nothing."""
    method = options.bounds
    is_exact = net.depth <= 1 and problem.quantity != "maximum"  # what intervals say
    if not problem.is_local or is_exact or net.smooth:
        method = "interval"
    elif method == "auto":
        method = pick_method(net, problem)
    slopes = None
    if method != "interval":
        limit = math.inf if options.time_limit is None else options.time_limit
        seconds = min(0.2 * limit, BOUND_SECONDS)
        with few_threads(max(net.widths)):
            slopes = find_slopes(net, problem, method, seconds=seconds, seed=options.seed)
            if problem.quantity == "maximum":
                proved = preactivation_bounds(net, problem, slopes)
                last = find_output_slopes(net, problem, proved, method, seconds=seconds, seed=options.seed) or {}
                slopes = dict(slopes) | {(len(net.layers), k): values for k, values in last.items()}
    return slopes
