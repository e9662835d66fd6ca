"""The presolved problem: which lifting is asked for, and the pre-activation bounds, which outputs share."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

from ..arithmetic.enclosure import TooLargeError
from ..bounds.interval import Pair
from ..bounds.slopes.search import HIGHS_SIZE, find_output_slopes, find_slopes, pass_work, pick_method
from ..engines.memory import check_memory
from ..engines.sizes import Sizes
from ..machine.threads import few_threads
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..relaxation.presolve import LIFTINGS, WITH_LAST, WITH_TIES, Presolve, pre_bounds, presolve, ties_for
from . import last, tensored, tied
from .reach import required_on_section

# At most so long is spent on pre-activation bounds.
BOUND_SECONDS = 60.0
# Multiplications of a backward pass a second, where it is proved, and made for each rule that is tried.
PACE = 2e9
# Neurons and inputs of a network so large that whether it fits is asked first.
BIG = 8000


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
    method, slopes = _method(net, problem, options), None
    with few_threads(max(net.widths)):
        if method != "interval":
            slopes = find_slopes(net, problem, method, seconds=_seconds(options), seed=options.seed)
        return Known(slopes, pre_bounds(net, problem, slopes))


def by_intervals(net: Network, problem: Problem, options: Options) -> Known | None:
    """What intervals say at once, where a search for slopes would come before the first bound; None where none does.

    With one hidden layer, and of a network with smooth ones, there is none, or one of an instant.
    """
    if net.depth <= 1 or _method(net, problem, options) == "interval":
        return None
    try:
        with few_threads(max(net.widths)):
            return Known(None, pre_bounds(net, problem, None))
    except TooLargeError:  # slopes may do better
        return None


def bare(net: Network, problem: Problem, known: Known) -> Presolve:
    """The presolved problem without a lifting: what bounds that need no solver are proved with."""
    with few_threads(max(net.widths)):
        return presolve(net, problem, slopes=known.slopes, chains=LIFTINGS["none"], bounds=known.bounds)


def prepare(net: Network, problem: Problem, options: Options, known: Known | None = None) -> Presolve:
    """The presolved problem, with the pre-activation bounds (`known_of`) and the lifting that the options ask for."""
    chosen = options.lifting
    if chosen == "auto" or (net.depth <= 1 and chosen not in ("xL", "tied")):
        chosen = "adjoint" if net.depth > 1 else "forward"  # as bench/depth.py --liftings and bench/deep.py measured
    if problem.quantity == "maximum":
        chosen = "values"
    elif options.record.lifting is not None:
        chosen = options.record.lifting
    elif options.record.baseline and net.depth > 1:
        chosen = "none"
    elif options.lifting == "reach":
        return required_on_section(net, problem)
    elif problem.is_vector:
        chosen = {"tensored": "tensored", "tied": ties_for(problem)}.get(options.lifting, "separate")
    if known is None:
        known = known_of(net, problem, options)
    if problem.quantity == "maximum":
        known = _with_output(net, problem, options, known)
    if (found := tied.in_place(net, problem, options, known.bounds)) is not None:
        return found
    with few_threads(max(net.widths)):
        if sum(net.widths) > BIG:
            _refuse_at_once(net, problem, options, known, LIFTINGS[chosen])
        fixed = presolve(
            net, problem, slopes=known.slopes, chains=LIFTINGS[chosen], bounds=known.bounds,
            with_last=chosen in WITH_LAST, tied=chosen in WITH_TIES,
        )  # fmt: skip
    if chosen == "tensored" and options.record.hardest.reaches:
        return tensored.with_last(problem, fixed, options.time_limit is not None)
    return last.in_place(problem, options, fixed) or fixed


def _refuse_at_once(
    net: Network, problem: Problem, options: Options, known: Known, chains: tuple[str, ...]
) -> None:
    """Refuse what does not fit in memory before its variables' bounds are found, which takes long where it is large.

    Raises:
        ValueError: it does not fit.
    """
    record = options.record
    if record.baseline or record.degree is not None or problem.quantity == "maximum" or chains == LIFTINGS["tensored"]:
        return
    found = bare(net, problem, known)
    of_lipsdp = replace(found, chains=LIFTINGS["lipsdp"])
    check_memory(options, Sizes.of(problem, replace(found, chains=chains)), lambda: Sizes.of(problem, of_lipsdp))


def _with_output(net: Network, problem: Problem, options: Options, known: Known) -> Known:
    """With slopes of the output's range beside, where there are none."""
    method, output = _method(net, problem, options), len(net.layers)
    if method == "interval" or any(l == output for l, _ in known.slopes or {}):
        return known
    with few_threads(max(net.widths)):
        bounds = pre_bounds(net, problem, known.slopes) if known.bounds is None else known.bounds
        assert bounds is not None  # of a bounded domain
        found = find_output_slopes(net, problem, bounds, method, seconds=_seconds(options), seed=options.seed) or {}
    return Known({**(known.slopes or {}), **{(output, k): values for k, values in found.items()}}, bounds)


def _method(net: Network, problem: Problem, options: Options) -> str:
    """What proves bounds: of `bounds.slopes.search.METHODS`."""
    is_exact = net.depth <= 1 and problem.quantity != "maximum"  # what intervals say
    if not problem.is_local or is_exact or net.smooth:
        return "interval"
    if options.bounds != "auto":
        return options.bounds
    if options.time_limit is not None and pass_work(net) > PACE * _seconds(options):
        return "interval"
    method = pick_method(net, problem)
    is_small = net.is_chain and sum(net.widths) <= HIGHS_SIZE
    is_hard = options.record.hardest.reaches and problem.quantity == "lipschitz"  # which is worth some programs
    return "split" if method == "lp" and is_small and is_hard else method


def _seconds(options: Options) -> float:
    """That a search for slopes may take."""
    return min(0.2 * (math.inf if options.time_limit is None else options.time_limit), BOUND_SECONDS)
