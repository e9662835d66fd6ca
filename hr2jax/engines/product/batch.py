"""Many problems of one shape at once: the low-rank engine's steering rounds, vmapped."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...machine.run import compiled, run
from ...relaxation.basis import Lifting
from ...relaxation.forms import Family
from .lagrangian import minimise
from .program import Spec, Step
from .schedule import schedule_for
from .steering import Run, Steered

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
    for one in runs:
        one.scale_objective()
        groups.setdefault(one.shapes(), []).append(one)
    for group in groups.values():
        _steer(group)
    return [one.steered() for one in runs]


def _steer(runs: list[Run]) -> None:
    """`Run.bulk` of all of them."""
    with jax.enable_x64(True):
        data = run(_stacked, _filled([one.factored.data(one.scale, np.float64) for one in runs]))
        for tolerance, steps in runs[0].bulk_rounds():
            starts = _filled([one.begin_round(tolerance) for one in runs])
            given = run(_stacked, starts)
            step = jax.tree.map(np.asarray, run(_minimise, *given, data, steps, spec=runs[0].factored.spec))
            for i, one in enumerate(runs):
                one.end_bulk_round(jax.tree.map(lambda part, i=i: part[i], step), tolerance)


def _filled(parts: list[Any]) -> list[Any]:
    return parts + [parts[-1]] * (-len(parts) % MULTIPLE)


def _stacked(parts: list[Any]) -> Any:
    return jax.tree.map(lambda *same: jnp.stack([jnp.asarray(one) for one in same]), *parts)


@partial(compiled, static_argnames=("spec",))
def _minimise(P: Any, multipliers: Any, sigma: Any, tolerance: Any, data: Any, steps: Any, *, spec: Spec) -> Step:
    together = jax.vmap(partial(minimise, spec=spec), in_axes=(0, 0, 0, 0, None, None, None, 0, None))
    return together(P, data, multipliers, sigma, (), [], jnp.asarray(1.0), tolerance, steps)
