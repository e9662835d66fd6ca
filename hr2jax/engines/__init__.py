"""Engines: solvers of a relaxation. What they return steers; only the certificate proves."""

from __future__ import annotations

from collections.abc import Mapping

from ..enclosure import Array
from ..options import INTERIOR_POINT, Options
from ..relaxation.families import Family
from ..relaxation.lifting import Lifting
from ..result import Status
from .monitor import Monitor


def solve_relaxation(
    lifting: Lifting, families: list[Family], options: Options, monitor: Monitor, start: Mapping[str, Array]
) -> Status:
    """Run the engine that `options.method` names, from the multipliers `start`.

    "auto" is `lowrank`: at every size from (10, 10) to (784, 500) it was the fastest to a certified bound
    (bench/engines.py).
    """
    if options.method in ("auto", "lowrank") and options.relaxation != "lasserre2":
        from .lowrank import solve_lowrank

        return solve_lowrank(lifting, families, monitor, seed=options.seed, start=start)
    from ..relaxation.block import block_form

    form = block_form(options.relaxation, lifting)
    if options.method in INTERIOR_POINT:
        from .interior_point import run_interior_point

        return run_interior_point(form, options.method, monitor)
    from .admm import solve_admm

    return solve_admm(form, monitor, start=start)
