"""Engines: solvers of a relaxation. What they return steers; only the certificate proves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..enclosure import Array
from ..options import INTERIOR_POINT, Options
from ..relaxation.families import Family
from ..relaxation.lifting import Lifting
from ..result import Status
from .monitor import Monitor

if TYPE_CHECKING:
    from .lowrank import Steered

Engine = Callable[[Monitor, Mapping[str, Array]], Status]


# A diagonal and a proof: so many seconds times the cube of the number of rows of M_1 that are kept, where a product of
# two matrices of side PRODUCT takes PRODUCT_SECONDS (two cores). Measured: 20 s with 4000 kept, 3.6 s with 1601.
PROOF, PRODUCT, PRODUCT_SECONDS = 3e-10, 768, 6.2e-3
# Up to so many rows the guess is short enough to need no look at the machine.
EVERYWHERE = 1500
# A look may meet a busy moment, and not all of a proof is products.
SLOWEST, FASTEST = 2.0, 0.125
# With fewer seconds left than this, nothing that must be compiled first comes to anything.
COMPILING = 2.0


def certificate_seconds(size: int) -> float:
    """What a diagonal and a proof take, about, with `size` rows of M_1 kept: a guess, until measured."""
    least = SLOWEST * PROOF * min(size, EVERYWHERE) ** 3
    return max(least, _slowness() * PROOF * size**3) if size > EVERYWHERE else least


@cache
def _slowness() -> float:
    """How long matrix products take here, in units of what they took where PROOF was measured."""
    A = np.ones((PRODUCT, PRODUCT))
    out = A @ A
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        np.matmul(A, A, out=out)
        spent.append(time.perf_counter() - began)
    return min(max(min(spent) / PRODUCT_SECONDS, FASTEST), SLOWEST)


def choose_engine(
    lifting: Lifting, families: list[Family], options: Options, steered: Steered | None = None
) -> Engine:
    """What `options.method` names, ready to run from some multipliers; refuses here what it cannot take.

    "auto" is `lowrank`, the fastest to a certified bound at every size from (10, 10) to (784, 500)
    (bench/engines.py), but `newton` for several layers with few multipliers (bench/depth.py --engines), and `admm` for
    lasserre2, which exists in block form only.
    """
    block_only = options.relaxation == "lasserre2"
    cuts = options.cuts if options.relaxation == "hr2+" else ()
    if options.method == "newton" or (options.method == "auto" and lifting.presolve.depth > 1):
        from .newton import FEW, FEW_WITH_CUTS, MOST, affordable, solve_newton
        from .newton_cuts import solve_with_cuts

        few = FEW_WITH_CUTS if cuts else FEW
        if affordable(lifting, families, MOST if options.method == "newton" else few):
            if cuts:
                return lambda monitor, start: solve_with_cuts(lifting, families, monitor, cuts, start)
            return lambda monitor, start: solve_newton(lifting, families, monitor, start=start)
        if options.method == "newton":
            raise NotImplementedError(
                f"method='newton' takes at most {MOST} entries of the moment matrix and multipliers, row by row, but "
                f"here they are {lifting.size} and {sum(f.F.rows for f in families)}, or more memory than there is; "
                "method='lowrank' is for any number"
            )
    if options.method == "lowrank" or (options.method == "auto" and not block_only):
        from .lowrank import solve_lowrank

        return lambda monitor, start: solve_lowrank(
            lifting, families, monitor, cuts=cuts, seed=options.seed, start=start, steered=steered
        )
    if options.method in INTERIOR_POINT:
        from ..relaxation.block import block_form
        from .interior_point import run_interior_point

        form = block_form(options.relaxation, lifting)
        return lambda monitor, _: run_interior_point(form, options.method, monitor)
    from .admm import admm_form, solve_admm

    chosen = admm_form(options.relaxation, lifting)
    return lambda monitor, start: solve_admm(chosen, monitor, start=start, seed=options.seed)
