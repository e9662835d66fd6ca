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
from .program import Cuts, Data, Rows, Spec, Step
from .sharding import put_divided
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
            self.data = self._put_data(data)

    def put(self, array: Any, dtype: Any = None, axis: int = 0) -> Any:
        """The array on the device, or that axis of it divided among the devices."""
        return put(array, dtype) if self.spec.mesh is None else put_divided(array, dtype, self.spec.mesh, axis)

    def _put_data(self, data: Data) -> Data:
        def rows(form: Rows) -> Rows:
            return Rows(self.put(form.constant), self.put(form.index, axis=1), self.put(form.coefficient, axis=1))

        families = tuple((rows(F), rows(G), *map(self.put, rest)) for F, G, *rest in data.families)
        return jax.tree.map(self.put, data._replace(families=()))._replace(families=families)

    def _precision(self) -> Any:
        return jax.enable_x64(self.dtype == np.float64)

    def beginning(self, P: Array) -> dict[str, Any]:
        """The state of a minimisation from P, there."""
        state = begin(np.asarray(P, self.dtype), self.spec)
        return {name: self.put(value, axis=name == "past") for name, value in state.items()}

    def problem(
        self, multipliers: list[Array], sigma: float, cuts: tuple[Cuts, ...], cut_multipliers: list[Array],
        cut_sigma: float,
    ) -> tuple[Any, ...]:  # fmt: skip
        """What is minimised, there."""
        padded = [padded_cuts(c, m) for c, m in zip(cuts, cut_multipliers, strict=True)]

        def there(array: Any, axis: int = 0) -> Any:
            return self.put(array, self.dtype, axis)

        return (
            self.data, [there(m) for m in multipliers], there(sigma),
            tuple(Cuts(self.put(c.place, axis=1), there(c.coefficient, 1), there(c.constant)) for c, _ in padded),
            [there(m) for _, m in padded], there(cut_sigma),
        )  # fmt: skip

    def minimise(
        self, P: Array, multipliers: list[Array], sigma: float, cuts: tuple[Cuts, ...], cut_multipliers: list[Array],
        cut_sigma: float, tolerance: float, steps: int,
    ) -> Step:  # fmt: skip
        """Minimise from P (N, r + 1), then update the multipliers (`lagrangian.minimise`); less where interrupted."""
        with self._precision():
            start, problem = self.put(P, self.dtype), self.problem(multipliers, sigma, cuts, cut_multipliers, cut_sigma)
            state = self.beginning(P)
            taken = until = 0
            while taken == until < steps and not is_interrupted():
                until = min(until + self.piece, steps)
                watch = Stopwatch()
                state = run(minimise_on, state, start, *problem, self.put(tolerance, self.dtype), until, spec=self.spec)
                before, taken = taken, int(state["used"])
                self.piece = max(int(PIECE / max(watch.seconds(), 1e-6) * max(taken - before, 1)), 1)
            step = run(end, state, start, *problem, spec=self.spec)
        KNOWN.add(self.spec)
        return step
