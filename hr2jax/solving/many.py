"""`solve_all`: many outputs of one network; compiled programs and multipliers are used again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from numpy.typing import ArrayLike

from ..arithmetic.enclosure import check_arithmetic
from ..bounds.jumps import refuse_jumps
from ..machine.device import on_device
from ..machine.stopping import stoppable
from ..machine.workers import Here
from ..network import Network
from ..options import Options, checked_workers
from ..problem import Output, checked_problem
from ..reading import Model, as_network
from ..result import Result
from ..results import Results
from ..text import shown
from .each import Each
from .haste import norms_in_time
from .run import check_there

DOMAIN = ("norm", "output_norm", "center", "radius", "domain")
ONE_PROBLEM = ("output", "warm_start", "checkpoint")


@stoppable
def solve_all(
    net: Model, pairs: Sequence[Output] | None = None, *, found: Callable[[int, Result], Any] | None = None,
    workers: int | None = None, client: Any = None, example: ArrayLike | None = None, **options: Any,
) -> Results:  # fmt: skip
    """`solve` for several outputs: one compilation, and each problem begins from what the others found.

    On an accelerator small problems of one shape are steered together (vmapped); others warm-start from an earlier pair
    that shares a label.

    Args:
        net: a ReLU network, or what holds one: a file, a module (see `hr2jax.as_network`).
        pairs: outputs as in `solve`: k, (k, j), or coefficients; None: all pairs (k, j), k < j.
        found: called with the place in `pairs` and the result of each as it is known, and again where what is left of
            a time limit has improved it; in the thread of the work.
        workers: processes on this machine that share the problems, by Dask (extra `cluster`; started by spawn: a script
            needs its `if __name__ == "__main__":`), each problem from nothing; None: this process.
        client: a distributed.Client, whose workers do (docs/scale.md); None: none.
        example: an input, of a module or function that does not say the shape of its own.
        options: those of `solve`, for every problem, but for `output`, `warm_start` and `checkpoint` (and `callback`,
            where others work), and that `time_limit` is the total of all: each has its share of what is left, and what
            some leave the others have.

    Returns:
        A list with a Result for each of `pairs`, in their order, that prints as one table. A `callback` that returns
        true ends the problem that runs, and those after it are bounded at once, with status STOPPED; so are those that
        are not finished where a scheduler is lost, which their message says.

    Raises:
        Interrupted: Ctrl-C; its `result` is that list, ended as a callback ends it, or None before there is one.
        ValueError, NotImplementedError: as `solve`, before any work.
        ImportError: `workers` or `client` without Dask.
        TypeError: an option that `solve` does not have.
    """
    net = as_network(net, example)
    return solve_outputs(net, pairs, found=found, workers=workers, client=client, may_jump=False, **options)


def solve_outputs(
    net: Network, pairs: Sequence[Output] | None, *, found: Callable[[int, Result], Any] | None = None,
    workers: int | None = None, client: Any = None, may_jump: bool = True, **options: Any,
) -> Results:  # fmt: skip
    """`solve_all` for whoever takes account of jumps (`bounds.jumps`), of which constants say nothing."""
    began = time.time()
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
    others = checked_workers(workers, client, len(problems))
    if chosen.callback is not None and not isinstance(others, Here):
        raise ValueError(
            "callback must be None where workers or a client solve, which cannot call it between their steps, but one "
            "was given; found is told of each result"
        )
    if not problems:
        return Results()
    if not may_jump:
        refuse_jumps(net, problems[0])
    check_arithmetic()
    with on_device(chosen.device):
        check_there(chosen)
        with norms_in_time(net, chosen.time_limit):
            return Each(net, problems, chosen, others, found, began).results()


def _outputs(net: Network, pairs: Sequence[Output] | None) -> list[Any]:
    outputs = net.widths[-1]
    if pairs is not None:
        if isinstance(pairs, str | bytes) or not hasattr(pairs, "__iter__") or getattr(pairs, "ndim", 1) == 0:
            raise ValueError(f"pairs must be a list of outputs, but {shown(pairs)} was given")
        return list(pairs)
    return [0] if outputs == 1 else [(k, j) for k in range(outputs) for j in range(k + 1, outputs)]
