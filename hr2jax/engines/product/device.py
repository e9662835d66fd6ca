"""Inner minimisations on JAX's device, cut into pieces between which Ctrl-C is heard."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ...arithmetic.float64 import Array
from ...machine.compile_clock import Stopwatch
from ...machine.run import put, run
from ...machine.stopping import is_interrupted
from .lagrangian import begin, end, minimise_on
from .program import Cuts, Data, Spec, Step
from .triangle_cuts import padded_cuts

# A minimisation is cut into pieces of so many seconds, between which Ctrl-C is heard. Its numbers are the same however
# it is cut, so that a clock may say how many steps that is.
PIECE = 0.4
# Structures for which this process has compiled a program.
KNOWN: set[Spec] = set()


class Device:
    """One problem, ready for inner minimisations (`host.Host`) in the data's precision.

    Args:
        spec, data: of the jitted functions (`Factored.spec`, `Factored.data`).
    """

    def __init__(self, spec: Spec, data: Data):
        self.spec, self.dtype = spec, data.unit.dtype
        self.piece = 1  # steps of the next piece
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
            start = there(P)
            problem = (
                self.data, [there(m) for m in multipliers], there(sigma),
                tuple(Cuts(put(c.place), there(c.coefficient), there(c.constant)) for c, _ in padded),
                [there(m) for _, m in padded], there(cut_sigma),
            )  # fmt: skip
            state, taken, until = jax.tree.map(put, begin(np.asarray(P, dtype), self.spec)), 0, 0
            while taken == until < steps and not is_interrupted():
                until = min(until + self.piece, steps)
                watch = Stopwatch()
                state = run(minimise_on, state, start, *problem, there(tolerance), until, spec=self.spec)
                before, taken = taken, int(state["used"])
                self.piece = max(int(PIECE / max(watch.seconds(), 1e-6) * max(taken - before, 1)), 1)
            step = run(end, state, start, *problem, spec=self.spec)
        KNOWN.add(self.spec)
        return step
