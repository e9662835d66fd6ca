"""Which engine solves a relaxation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..options import INTERIOR_POINT, Options
from ..relaxation.basis import Lifting, S, T
from ..relaxation.forms import Family
from ..relaxation.table import Relaxation
from ..relaxation.tensored import Tensored
from .monitor import Engine

if TYPE_CHECKING:
    from .product.lowrank import Steered


# The engine of LipOpt's linear programs.
HIGHS = "HiGHS"


def engine_of(record: Relaxation, method: str, depth: int, is_few: Callable[[], bool]) -> str:
    """The engine that a method stands for with a relaxation: the one rule that says what "auto" is.

    "auto" is `lowrank`, the fastest to a certified bound at every size from (10, 10) to (784, 500)
    (bench/engines.py), but `newton` for several layers, or largest values, with few multipliers (bench/depth.py
    --engines; bench/throughput.py; `product.memory.few`), though not in LipSDP's relaxation, which `lowrank` solves
    without any (`product.tangents`) but for cutting planes, and `admm` for lasserre2, which exists in block form only.

    Args:
        record: the relaxation.
        method: of options.METHODS.
        depth: hidden layers; one more where f has several values, whose adjoints the last has too, or where the last
            has x, as largest values have.
        is_few: tells, by what is known so far, whether the multipliers are few enough for `newton`.
    """
    if record.baseline or record.degree is not None:
        return HIGHS if record.degree else "none"
    if method != "auto":
        return method
    if not record.by_products:
        return "admm"
    return "newton" if depth > 1 and (record.lifting is None or record.cuts) and is_few() else "lowrank"


def engine_for(lifting: Lifting, families: list[Family], record: Relaxation, options: Options) -> str:
    """`engine_of` a lifted problem."""

    def is_few() -> bool:
        from .product.memory import few
        from .product.newton import affordable

        most = few(record, record.cuts and bool(options.planes), lifting.presolve.has_last)
        return affordable(lifting, families, most)

    has_more = S in lifting.sizes or lifting.presolve.has_last or lifting.presolve.tied or T not in lifting.sizes
    return engine_of(record, options.method, lifting.presolve.depth + has_more, is_few)


def choose_engine(
    lifting: Lifting, families: list[Family], record: Relaxation, options: Options, steered: Steered | None = None
) -> Engine:
    """The engine of `engine_for`, ready to run from some multipliers.

    Raises:
        NotImplementedError: it cannot take so many multipliers.
    """
    cuts = options.planes if record.cuts else ()
    name = engine_for(lifting, families, record, options)
    if name == "newton":
        from .product.memory import MOST
        from .product.newton import affordable, solve_newton
        from .product.newton_cuts import solve_with_cuts

        if options.method == "newton" and not affordable(lifting, families, MOST):
            raise NotImplementedError(
                f"method='newton' takes at most {MOST} entries of the moment matrix and multipliers, row by row, but "
                f"here they are {lifting.size} and {sum(f.F.rows for f in families)}, or more memory than there is; "
                "method='lowrank' is for any number"
            )
        if cuts:
            return lambda monitor, start, _: solve_with_cuts(lifting, families, monitor, cuts, start)
        return lambda monitor, start, _: solve_newton(lifting, families, monitor, start=start)
    if name == "lowrank" and record.lifting == "lipsdp" and options.devices is None:
        from .product.tangents import solve_tangents

        return lambda monitor, *_: solve_tangents(lifting, monitor, seed=options.seed).status
    if name == "lowrank":
        from .product.lowrank import solve_lowrank

        return lambda monitor, start, V: solve_lowrank(
            lifting, families, monitor, cuts=cuts, seed=options.seed, start=start, V=V, steered=steered,
            devices=options.devices,
        )
    if name in INTERIOR_POINT:
        from .block.form import block_form
        from .block.interior_point import run_interior_point

        form = block_form(record.name, lifting)
        return lambda monitor, *_: run_interior_point(form, name, monitor)
    from .block.admm import admm_form, solve_admm

    chosen = admm_form(record.name, lifting)
    return lambda monitor, start, _: solve_admm(chosen, monitor, start=start, seed=options.seed)


def tensored_engine(lifting: Tensored, record: Relaxation, options: Options) -> Engine:
    """Newton's method on the tensored lifting, with cutting planes where the relaxation has any."""
    from ..relaxation.copies import copied_families
    from ..relaxation.families import preset
    from .product.copied_cuts import solve_copied

    every = copied_families(lifting, preset(record.name, lifting.one)).values()
    families = [family for family in every if len(family.used)]
    cuts = options.planes if record.cuts else ()
    return lambda monitor, *_: solve_copied(lifting, families, monitor, cuts)
