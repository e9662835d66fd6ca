"""The stages of a solve: which families and engine, to what tolerance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..arithmetic.float64 import Array
from ..engines.choose import choose_engine, engine_for, tensored_engine
from ..engines.monitor import Engine
from ..options import BLOCK_METHODS, Options
from ..relaxation import Lifting, preset
from ..relaxation.basis import XI
from ..relaxation.table import RELAXATIONS, Names, Relaxation
from ..relaxation.tensored import Tensored
from ..relaxation.triangles import TRIANGLES

if TYPE_CHECKING:
    from ..engines.product.lowrank import Steered


# The tolerance of what is only climbed over.
COARSE = 1e-2


@dataclass(frozen=True)
class Stage:
    """One relaxation to solve, to a tolerance, in the time that is left.

    `is_afresh`: not from the multipliers of the stages before it. With one layer cuts change them all, so that they are
    no good start (SDP-NN, global hr2+: 16.076 instead of 16.065 after as many rounds); with more it would take long to
    come as far again.
    """

    relaxation: Relaxation
    families: frozenset[str]
    engine: Engine
    method: str
    tolerance: float
    is_afresh: bool = False

    def own(self, multipliers: Mapping[str, Array]) -> dict[str, Array]:
        """Those of this relaxation."""
        return {name: values for name, values in multipliers.items() if name in self.families}


def stages_of(lifting: Lifting, options: Options, steered: Steered | None) -> list[Stage]:
    """The relaxation asked for and what comes before it, or those that `best` climbs: to a first idea, but the last.

    With a time limit what comes before is solved to its end, so that in the same time no tighter relaxation has a bound
    above a cheaper one's.
    """
    if isinstance(lifting, Tensored):  # which begins from nothing
        engine = tensored_engine(lifting, options.record.hardest, options)
        return [Stage(options.record.hardest, frozenset(), engine, "newton", options.tol)]
    depth, local = lifting.presolve.depth, XI in lifting.sizes
    if options.time_limit is None:
        asked = [RELAXATIONS[name] for name in options.record.climbs or (options.record.name,)]
        found = there(asked, depth, local) if options.record.climbs else asked
    else:
        found = one_after_another(options.record.hardest, depth > 1 or not lifting.presolve.chains)
    if options.method in BLOCK_METHODS:
        found = found[-1:]
    stages = []
    for record in found:
        families = preset(record.name, lifting)
        known = {family.name for family in families} | ({TRIANGLES} if record.cuts else set())
        is_only_climbed = options.time_limit is None and record is not found[-1]
        tolerance = max(options.tol, COARSE) if is_only_climbed else options.tol
        engine = choose_engine(lifting, families, record, options, steered)
        method = engine_for(lifting, families, record, options)
        stages.append(Stage(record, frozenset(known), engine, method, tolerance, record.cuts and depth == 1))
    is_limited = options.time_limit is not None and len(stages) > 1
    if is_limited and stages[0].relaxation.name == "shor" and stages[1].method == "newton":
        return stages[1:]  # it takes hardly longer with more products, and does not go on from others' multipliers
    return stages


def there(asked: Sequence[Relaxation], depth: int, local: bool) -> list[Relaxation]:
    """Those that exist here, none that equals one before it."""
    out: dict[tuple[Names, bool], Relaxation] = {}
    for record in asked:
        families = record.families(depth, local)
        if families is not None:
            out.setdefault((families, record.cuts), record)
    return list(out.values())


def one_after_another(record: Relaxation, is_deep: bool) -> list[Relaxation]:
    """What is solved in a time limit: of several layers what comes before it, it without its cuts, and it.

    All families that have no cuts at once take no longer than `hr2z`'s, and prove more (bench/climb.py).
    """
    first = [RELAXATIONS[name] for name in record.before] if is_deep else []
    return [*first, *([replace(record, cuts=False)] if record.cuts else []), record]
