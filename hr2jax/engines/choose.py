"""Which engine solves a relaxation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..options import INTERIOR_POINT, Options
from ..relaxation.basis import Lifting
from ..relaxation.forms import Family
from ..relaxation.table import Relaxation
from .monitor import Engine

if TYPE_CHECKING:
    from .product.lowrank import Steered


def choose_engine(
    lifting: Lifting, families: list[Family], record: Relaxation, options: Options, steered: Steered | None = None
) -> Engine:
    """What `options.method` names, ready to run from some multipliers; refuses here what it cannot take.

    "auto" is `lowrank`, the fastest to a certified bound at every size from (10, 10) to (784, 500)
    (bench/engines.py), but `newton` for several layers with few multipliers (bench/depth.py --engines), and `admm` for
    lasserre2, which exists in block form only.
    """
    cuts = options.planes if record.cuts else ()
    if options.method == "newton" or (options.method == "auto" and lifting.presolve.depth > 1):
        from .product.newton import FEW, FEW_WITH_CUTS, MOST, affordable, solve_newton
        from .product.newton_cuts import solve_with_cuts

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
    if options.method == "lowrank" or (options.method == "auto" and record.by_products):
        from .product.lowrank import solve_lowrank

        return lambda monitor, start: solve_lowrank(
            lifting, families, monitor, cuts=cuts, seed=options.seed, start=start, steered=steered
        )
    if options.method in INTERIOR_POINT:
        from .block.form import block_form
        from .block.interior_point import run_interior_point

        form = block_form(record.name, lifting)
        return lambda monitor, _: run_interior_point(form, options.method, monitor)
    from .block.admm import admm_form, solve_admm

    chosen = admm_form(record.name, lifting)
    return lambda monitor, start: solve_admm(chosen, monitor, start=start, seed=options.seed)
