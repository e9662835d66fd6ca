"""Low-rank augmented Lagrangian on the product form: Y = V V^T.

Burer and Monteiro's factorisation with rows of norm 1 (or at most 1), families as matrix products, cutting
planes as entries of Y, a jitted L-BFGS inside each step of the method of multipliers. Float32 steers, float64
finishes; the multipliers go to the certificate, which trusts none of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...arithmetic.float64 import Array
from ...arithmetic.midpoint import Middle
from ...certificate.lagrangian import kept_rows
from ...machine.threads import few_threads
from ...relaxation.basis import Lifting
from ...relaxation.forms import Family
from ...result import Status
from ..monitor import Monitor, Stop
from ..pace import COMPILING, certificate_seconds
from .finish import finish
from .newton_cuts import solve_with_cuts
from .schedule import Schedule, is_small, schedule_for
from .steering import Run, Steered

# Where a cheaper relaxation's optimum is known, so many times what compiling takes at least must be left.
PATIENCE = 3.0


def solve_lowrank(
    lifting: Lifting,
    families: list[Family],
    monitor: Monitor,
    *,
    cuts: tuple[str, ...] = (),
    seed: int = 0,
    start: Mapping[str, Array] | None = None,
    V: Array | None = None,
    steered: Steered | None = None,
    schedule: Schedule | None = None,
    devices: int | None = None,
) -> Status:
    """Solve the product form; every round's multipliers are offered to the monitor's certificate.

    Args:
        lifting, families: the relaxation.
        monitor: certifies, records, says when to stop (raises `Stop`).
        cuts: which cutting planes to separate (`triangle_cuts.kinds`, "triangles"); none for a fixed relaxation.
        seed: of the random start.
        start: multipliers to begin from (a warm start), by family name.
        V: (N, r) a factor of the moment matrix that these multipliers ask for, where it is known.
        steered: a run to continue instead of steering.
        schedule: effort.
        devices: among so many the factor's rows are divided; None: one has them all. Small problems are NumPy's.

    Returns:
        SOLVED when bound - estimate <= tol * bound, the estimate being the Lagrangian's value, settled to
        within the tolerance; with cuts on a small problem, when another look for cuts changed nothing besides, or by
        Newton's method (`solve_with_cuts`). STALLED when rounds stop improving before that.
    """
    schedule = schedule or schedule_for(lifting, monitor.tolerance, bool(cuts))
    pads = steered is not None or not is_small(lifting.size)  # what was steered together is padded
    mesh = None
    if devices is not None and pads:
        from .sharding import mesh_of  # here: small problems need no JAX

        mesh = mesh_of(devices)
    run = Run(lifting, families, monitor, schedule, cuts, seed, start, pads, mesh)
    run.is_known = V is not None
    try:
        with few_threads(lifting.size):
            run.scale_objective()
            if monitor.remaining() < np.inf and not cuts:  # which rows are eliminated decides how long a proof takes
                run.certifying = certificate_seconds(kept_rows(lifting, run.unscaled(), Middle))
            compiling = COMPILING if V is None else PATIENCE * COMPILING
            if not run.is_small and monitor.remaining() < compiling and not run.is_compiled():
                raise Stop(Status.TIME_LIMIT)
            run.steer(steered, V)
            status = finish(run)
            if run.is_warm and status is not Status.SOLVED and not run.newton_may_follow:  # the start was misleading
                run.start_cold()
                run.steer()
                status = finish(run)
            if status is Status.STALLED and run.newton_may_follow:
                start = run.unscaled()  # cuts with large multipliers: slow here, and small enough for Newton's method
                return solve_with_cuts(lifting, families, monitor, cuts, start, run.iteration)
            return status
    except Stop as stop:
        run.offer()
        return stop.status
    except KeyboardInterrupt:
        run.offer()  # a second Ctrl-C leaves at once
        return Status.STOPPED
