"""Inner minimisations on JAX's device, cut into pieces between which Ctrl-C is heard."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ...arithmetic.float64 import Array
from ...machine.run import put, run
from ...machine.stopping import is_interrupted
from .lagrangian import begin, minimise_on
from .program import Cuts, Data, Spec, Step
from .triangle_cuts import padded_cuts

# A minimisation is cut into pieces of about so many multiplications, half a second of one core, between which Ctrl-C is
# heard; an accelerator does so many times as many. An inner step has STEP of them for each entry of N x N times P.
PIECE, ACCELERATED, STEP = 4e9, 100, 12
# Structures for which this process has compiled a program.
KNOWN: set[Spec] = set()


class Device:
    """One problem, ready for inner minimisations (`host.Host`) in the data's precision.

    Args:
        spec, data: of the jitted functions (`Factored.spec`, `Factored.data`).
        accelerated: whether the device is faster than a CPU.
    """

    def __init__(self, spec: Spec, data: Data, accelerated: bool):
        self.spec, self.accelerated = spec, accelerated
        self.dtype = data.unit.dtype
        with self._precision():
            self.data = jax.tree.map(put, data)

    def _precision(self) -> Any:
        return jax.enable_x64(self.dtype == np.float64)

    def minimise(
        self, P: Array, multipliers: list[Array], sigma: float, cuts: tuple[Cuts, ...], cut_multipliers: list[Array],
        cut_sigma: float, tolerance: float, steps: int,
    ) -> Step:  # fmt: skip
        """Minimise from P (N, r + 1), then update the multipliers (`lagrangian.minimise`); less where interrupted."""
        dtype = self.dtype
        padded = [padded_cuts(c, m) for c, m in zip(cuts, cut_multipliers, strict=True)]

        def there(array: Any) -> Any:
            return put(array, dtype)

        with self._precision():
            given = (
                there(P), self.data, [there(m) for m in multipliers], there(sigma),
                tuple(Cuts(put(c.place), there(c.coefficient), there(c.constant)) for c, _ in padded),
                [there(m) for _, m in padded], there(cut_sigma), there(tolerance),
            )  # fmt: skip
            state, taken, until = begin(np.asarray(P, dtype), self.spec), 0, 0
            while taken == until < steps and not is_interrupted():
                until = min(until + self.piece(P.size), steps)
                state, step = run(minimise_on, state, *given, until, spec=self.spec)
                taken = int(step.used)
        KNOWN.add(self.spec)
        return step

    def piece(self, entries: int) -> int:
        """Inner steps between two looks at whether this is to end; by size alone, `entries` being P's."""
        size = sum(size for _, size in self.spec.sizes)
        budget = PIECE * (ACCELERATED if self.accelerated else 1)
        return max(int(budget / (STEP * size * entries)), 1)
