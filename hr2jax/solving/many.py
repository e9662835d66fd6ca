"""`solve_all`: many outputs of one network; compiled programs and multipliers are used again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import repeat
from typing import Any

from ..arithmetic.enclosure import check_arithmetic
from ..machine.device import is_accelerated, on_device
from ..machine.stopping import check, is_interrupted, stoppable, tell
from ..network import Network
from ..options import Options
from ..problem import Output, checked_problem
from ..progress import progress_line
from ..reading import Model, as_network
from ..relaxation import lift, preset
from ..result import CTRL_C, Result, Status
from ..results import Results
from ..text import output_text, shown
from .parts import solve_parts
from .run import bounded_at_once, check_package, prepare, solve_checked
from .several import LEAST_SHARE, WORTHWHILE, better, most_like

DOMAIN = ("norm", "output_norm", "center", "radius", "domain")
ONE_PROBLEM = ("output", "warm_start", "checkpoint")


@stoppable
def solve_all(
    net: Model, pairs: Sequence[Output] | None = None, *, found: Callable[[int, Result], Any] | None = None,
    **options: Any,
) -> Results:  # fmt: skip
    """`solve` for several outputs: one compilation, and each problem begins from what the others found.

    On an accelerator small problems of one shape are steered together (vmapped); others warm-start from an earlier pair
    that shares a label.

    Args:
        net: a ReLU network, or what holds one: a file, a module (see `hr2jax.as_network`).
        pairs: outputs as in `solve`: k, (k, j), or coefficients; None: all pairs (k, j), k < j.
        found: called with the place in `pairs` and the result of each as it is known, and again where what is left of
            a time limit has improved it; in the thread of the work.
        options: those of `solve`, for every problem, but for `output`, `warm_start` and `checkpoint`, and that
            `time_limit` is the total of all: each has its share of what is left, and what some leave the others have.

    Returns:
        A list with a Result for each of `pairs`, in their order, that prints as one table. A `callback` that returns
        true ends the problem that runs, and those after it are bounded at once, with status STOPPED.

    Raises:
        Interrupted: Ctrl-C; its `result` is that list, ended as a callback ends it, or None before there is one.
        ValueError, NotImplementedError: as `solve`, before any work.
        TypeError: an option that `solve` does not have.
    """
    began = time.perf_counter()
    net = as_network(net)
    for name in ONE_PROBLEM:
        if name in options:
            raise ValueError(f"{name} is for one problem: it is given to solve, not to solve_all")
    outputs = _outputs(net, pairs)
    unknown = sorted(options.keys() - {*DOMAIN, *(field.name for field in fields(Options))})
    if unknown:
        raise TypeError(f"solve_all() got an unexpected keyword argument {unknown[0]!r}")
    domain = {name: options.pop(name) for name in DOMAIN if name in options}
    problems = [checked_problem(net, output, **domain) for output in outputs]
    chosen = Options(**options)
    for problem in problems or [checked_problem(net, 0, **domain)]:
        chosen.check(net, problem)
    if not problems:
        return Results()
    check_arithmetic()
    check_package(chosen)
    results = Results()

    def at_once(k: int, message: str) -> Result:
        return bounded_at_once(net, problems[k], fixed[k], chosen, message)

    with on_device(chosen.device), progress_line(chosen.progress) as show:
        each = chosen if chosen.time_limit is None else replace(chosen, time_limit=chosen.time_limit / len(problems))
        fixed = [prepare(net, problem, each) for problem in problems]
        tell(lambda: Results([*results, *map(at_once, range(len(results), len(problems)), repeat(CTRL_C))]))
        steered: list[Any] = [None] * len(problems)
        # steered together are rounds that are the same for all problems: without cuts
        if chosen.method in ("auto", "lowrank") and chosen.record.by_products and not chosen.record.cuts:
            steered = _steered(net, problems, fixed, chosen)

        def solved(k: int, earlier: Result | None, among: int) -> Result:
            """The k-th, from an earlier result, in its share of the time, `among` problems that are still to come."""
            now = time.perf_counter()
            limit = None if chosen.time_limit is None else max(chosen.time_limit - (now - began), 0.0) / among
            own, named = replace(chosen, warm_start=earlier, time_limit=limit), show
            if show is not None and len(problems) > 1:
                output = output_text(problems[k].coefficients.tolist())
                named = partial(show, about=f"{k + 1} of {len(problems)}, {output}: ")
            if problems[k].has_parts and not chosen.record.baseline:
                return solve_parts(net, problems[k], own, None, named, now)
            return solve_checked(net, problems[k], fixed[k], own, None, named, now, steered[k])

        for k, problem in enumerate(problems):
            check()
            if results and results[-1].status is Status.STOPPED:
                results.append(at_once(k, CTRL_C if is_interrupted() else Status.STOPPED.value))
                if found is not None:
                    found(k, results[k])
                continue
            warm = results and steered[k] is None
            earlier = results[most_like(problem, problems, reversed(range(k)))] if warm else None
            results.append(solved(k, earlier, len(problems) - k))
            if found is not None:
                found(k, results[k])
        _improve(results, solved, found, lambda: began + (chosen.time_limit or 0.0) - time.perf_counter())
    return results


def _improve(
    results: Results, solved: Callable[[int, Result | None, int], Result], found: Callable[[int, Result], Any] | None,
    left: Callable[[], float],
) -> None:  # fmt: skip
    """Use what is left of a time limit for those that ended by their share of it, as long as that brings something."""
    is_better = True
    while is_better:
        pending = [k for k, result in enumerate(results) if result.status is Status.TIME_LIMIT]
        is_better = False
        for i, k in enumerate(pending):
            check()
            if left() / (len(pending) - i) < LEAST_SHARE or results[-1].status is Status.STOPPED:
                return
            again = solved(k, results[k], len(pending) - i)
            if again.bound < results[k].bound or again.status is not Status.TIME_LIMIT:
                is_better = is_better or again.bound < (1.0 - WORTHWHILE) * results[k].bound
                results[k] = better(results[k], again)
                if found is not None:
                    found(k, results[k])
            if again.status is Status.STOPPED:
                return


def _outputs(net: Network, pairs: Sequence[Output] | None) -> list[Any]:
    outputs = net.widths[-1]
    if pairs is not None:
        if isinstance(pairs, str | bytes) or not hasattr(pairs, "__iter__") or getattr(pairs, "ndim", 1) == 0:
            raise ValueError(f"pairs must be a list of outputs, but {shown(pairs)} was given")
        return list(pairs)
    return [0] if outputs == 1 else [(k, j) for k in range(outputs) for j in range(k + 1, outputs)]


def _steered(net: Network, problems: list[Any], fixed: list[Any], options: Any) -> list[Any]:
    """The first rounds of the small problems of `lowrank`, done together; None for the others."""
    out: list[Any] = [None] * len(problems)
    if any(problem.is_vector or problem.has_parts for problem in problems):
        return out
    if options.time_limit is not None or options.max_iterations is not None or not _pays():
        return out
    from ..engines.product.batch import steer_together
    from ..engines.product.schedule import is_small

    liftings = [lift(net, problem, f) for problem, f in zip(problems, fixed, strict=True)]
    # small ones of several layers are `newton`'s
    small = [k for k, lifting in enumerate(liftings) if is_small(lifting.size) and not lifting.masked_layers]
    if len(small) > 1:
        chosen = [(liftings[k], preset(options.relaxation, liftings[k])) for k in small]
        for k, steered in zip(small, steer_together(chosen, tolerance=options.tol, seed=options.seed), strict=True):
            out[k] = steered
    return out


def _pays() -> bool:
    """Whether steering together does: on a CPU it takes as long as one after the other, and compiles more besides.

    Measured (bench/many.py --small).
    """
    return is_accelerated()
