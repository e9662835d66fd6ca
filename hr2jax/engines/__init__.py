"""Engines: solvers of a relaxation. What they return steers; only the certificate proves."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..enclosure import Array
from ..options import INTERIOR_POINT, Options
from ..relaxation.families import Family
from ..relaxation.lifting import Lifting
from ..result import Status
from .monitor import Monitor

Engine = Callable[[Monitor, Mapping[str, Array]], Status]


def choose_engine(lifting: Lifting, families: list[Family], options: Options) -> Engine:
    """What `options.method` names, ready to run from some multipliers; refuses here what it cannot take.

    "auto" is `lowrank`, the fastest to a certified bound at every size from (10, 10) to (784, 500)
    (bench/engines.py), and `admm` for lasserre2, which exists in block form only.
    """
    block_only = options.relaxation == "lasserre2"
    if options.method == "lowrank" or (options.method == "auto" and not block_only):
        from .lowrank import solve_lowrank

        cuts = options.cuts if options.relaxation == "hr2+" else ()
        return lambda monitor, start: solve_lowrank(
            lifting, families, monitor, cuts=cuts, seed=options.seed, start=start
        )
    if options.method in INTERIOR_POINT:
        from ..relaxation.block import block_form
        from .interior_point import run_interior_point

        form = block_form(options.relaxation, lifting)
        return lambda monitor, _: run_interior_point(form, options.method, monitor)
    from .admm import admm_form, solve_admm

    chosen = admm_form(options.relaxation, lifting)
    return lambda monitor, start: solve_admm(chosen, monitor, start=start, seed=options.seed)
