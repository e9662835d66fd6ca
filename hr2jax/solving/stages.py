"""The stages of a solve: which families and engine, to what tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..arithmetic.float64 import Array
from ..engines.choose import choose_engine, engine_for, tensored_engine
from ..engines.monitor import Engine
from ..options import Options
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
    """One relaxation to solve: to a tolerance, within a share of the time limit.

    `is_afresh`: not from the multipliers of the stages before it. With one layer cuts change them all, so that they are
    no good start (SDP-NN, global hr2+: 16.076 instead of 16.065 after as many rounds); with more it would take long to
    come as far again.
    """

    relaxation: Relaxation
    families: frozenset[str]
    engine: Engine
    method: str
    tolerance: float
    share: float
    is_afresh: bool = False

    def own(self, multipliers: Mapping[str, Array]) -> dict[str, Array]:
        """Those of this relaxation."""
        return {name: values for name, values in multipliers.items() if name in self.families}


def stages_of(lifting: Lifting, options: Options, steered: Steered | None) -> list[Stage]:
    """The relaxation asked for and what comes before it, or those that `best` climbs: to a first idea, but the last."""
    asked, stages = options.record, []
    depth, local = lifting.presolve.depth, XI in lifting.sizes
    before: list[tuple[Names | None, bool]] = []
    steps = [(RELAXATIONS[name], share) for name, share in asked.climbs] or [(asked, 1.0)]
    if isinstance(lifting, Tensored):  # which begins from nothing
        steps = [(asked.hardest, 1.0)]
    elif options.time_limit is not None and asked.before:
        # all families that have no cuts at once take no longer than `hr2z`'s, and prove more (bench/climb.py)
        steps = [(replace(asked, cuts=False), asked.before), *steps]
    for record, share in steps:
        states = (record.families(depth, local), record.cuts)
        if asked.climbs and (states[0] is None or states in before):
            continue  # it does not exist here, or equals one before it
        before.append(states)
        if isinstance(lifting, Tensored):
            engine = tensored_engine(lifting, record, options)
            stages.append(Stage(record, frozenset(), engine, "newton", options.tol, 1.0))
            continue
        families = preset(record.name, lifting)
        known = {family.name for family in families} | ({TRIANGLES} if record.cuts else set())
        is_only_climbed = asked.climbs and record.name != asked.hardest.name
        tolerance = max(options.tol, COARSE) if is_only_climbed else options.tol
        engine = choose_engine(lifting, families, record, options, steered)
        method = engine_for(lifting, families, record, options)
        # some steps of newton end what comes before, and what comes next takes longer: a limit it needs is all its own
        is_quick = method == "newton" and asked.cuts and not record.cuts and not asked.climbs
        own = 1.0 if is_quick else share
        stages.append(Stage(record, frozenset(known), engine, method, tolerance, own, record.cuts and depth == 1))
    return stages
