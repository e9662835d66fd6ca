"""The stages of a solve: which families and engine, to what tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..arithmetic.float64 import Array
from ..engines.choose import choose_engine
from ..engines.monitor import Engine
from ..options import Options
from ..relaxation import Lifting, preset
from ..relaxation.triangles import TRIANGLES

if TYPE_CHECKING:
    from ..engines.product.lowrank import Steered


@dataclass(frozen=True)
class Stage:
    """One relaxation to solve: to a tolerance, within a share of the time limit."""

    relaxation: str
    families: frozenset[str]
    engine: Engine
    tolerance: float
    share: float

    def own(self, multipliers: Mapping[str, Array]) -> dict[str, Array]:
        """Those of this relaxation."""
        return {name: values for name, values in multipliers.items() if name in self.families}


def stages_of(lifting: Lifting, options: Options, steered: Steered | None) -> list[Stage]:
    """The relaxation asked for, or those that `best` climbs; the easy ones need no more than a first idea."""
    if options.relaxation != "best":
        names = {options.relaxation: (options.tol, 1.0)}
    else:
        coarse = max(options.tol, 1e-2)
        names = {"shor": (coarse, 0.05), "hr2": (coarse, 0.05), "hr2z": (coarse, 0.1), "hr2+": (options.tol, 1.0)}
        if "xi" not in lifting.sizes or lifting.presolve.depth > 1:
            del names["hr2z"]  # equals shor, or does not exist
    stages = []
    for name, effort in names.items():
        families = preset(name, lifting)
        known = {family.name for family in families} | ({TRIANGLES} if name == "hr2+" else set())
        engine = choose_engine(lifting, families, replace(options, relaxation=name), steered)
        stages.append(Stage(name, frozenset(known), engine, *effort))
    return stages
