"""Many problems of one shape at once: the low-rank engine's steering rounds, vmapped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...machine.interrupts import undisturbed
from ...relaxation.basis import Lifting
from ...relaxation.forms import Family
from .lagrangian import minimise
from .lowrank import Run, Steered, shortened
from .schedule import Schedule, schedule_for

# The batch is filled up to a multiple of this: few shapes to compile.
MULTIPLE = 8


def steer_together(
    problems: Sequence[tuple[Lifting, list[Family]]], *, tolerance: float, seed: int = 0
) -> list[Steered]:
    """Where `solve_lowrank` may begin to finish each problem; problems whose arrays have equal shapes go together.

    Float64: what is worth batching is small.
    """
    schedule = schedule_for(problems[0][0], tolerance)
    runs = [Run(lifting, families, None, schedule, (), seed, None) for lifting, families in problems]
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        run.scale_objective()
        shapes = tuple(m.shape for m in run.multipliers)
        groups.setdefault((run.factored.spec, shapes, bool(run.families)), []).append(run)
    for group in groups.values():
        _steer(group, schedule)
    return [Steered(run.P, run.multipliers, run.sigma, run.scale, run.iteration) for run in runs]


def _steer(runs: list[Run], schedule: Schedule) -> None:
    """`Run.bulk` of all of them."""
    rounds = schedule.bulk_rounds if runs[0].families else 1
    steps = schedule.bulk_steps if runs[0].families else 300
    every = [*runs, *([runs[-1]] * (-len(runs) % MULTIPLE))]
    size = np.array([np.sqrt(run.lifting.size) for run in every])
    with jax.enable_x64(True):
        data = jax.tree.map(
            lambda *parts: jnp.stack([jnp.asarray(p) for p in parts]),
            *(run.factored.data(run.scale, np.float64) for run in every),
        )
        together = jax.vmap(
            partial(minimise, spec=runs[0].factored.spec), in_axes=(0, 0, 0, 0, None, None, None, 0, None)
        )
        for k in range(rounds):
            tolerance = 10 ** (-2 - k / max(rounds - 1, 1))
            with undisturbed():
                step = jax.block_until_ready(together(
                    jnp.stack([shortened(run.P) for run in every]), data,
                    [jnp.stack(parts) for parts in zip(*(run.next_multipliers() for run in every), strict=True)],
                    jnp.asarray([run.sigma for run in every]), (), [], jnp.asarray(1.0),
                    jnp.asarray(tolerance * size), steps,
                ))  # fmt: skip
            P, gradient, used = np.asarray(step.P), np.asarray(step.gradient) / size, np.asarray(step.used)
            updated = [np.asarray(part) for part in step.multipliers]
            for i, run in enumerate(runs):
                run.P, run.multipliers = P[i], [part[i] for part in updated]
                run.iteration += int(used[i])
                if gradient[i] <= 1.5 * tolerance:
                    run.sigma *= schedule.growth
