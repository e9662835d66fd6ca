"""The contract between an engine and `solve`: offer multipliers, report, stop when told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from ..arithmetic.float64 import Array
from ..result import Status


class Stop(Exception):
    """Raised by a monitor's `report` when the engine must return; carries the status."""

    def __init__(self, status: Status):
        super().__init__(status.name)
        self.status = status


class Monitor(Protocol):
    """What an engine sees of the solve that runs it. An engine never keeps a bound of its own."""

    tolerance: float
    lower: float  # attained so far, in the objective's own units
    baseline: float  # certified before any solver began: what steers must not depend on what this process did before
    origin: float  # tolerances are relative to distances from it: 0 unless values are bounded, which may be negative

    @property
    def bound(self) -> float:
        """Certified so far, in the objective's own units."""

    def certify(self, multipliers: Mapping[str, Array], diagonal: Array | None) -> float:
        """The bound these prove (in the objective's own units); the best one is kept."""

    def report(self, iteration: int, relaxation_value: float, residual: float) -> None:
        """Record progress; raises Stop on a limit or at the user's wish."""

    def remaining(self, last: float = 0.0) -> float:
        """Seconds left (infinite without a time limit), less what a last certificate takes: `last`, or more."""

    def iterations_left(self) -> float:
        """Engine iterations left (infinite without a limit)."""

class Timings:
    """Seconds of a clock by what they were spent on; nested spans count for the inner one only."""

    def __init__(self, clock: Callable[[], float]):
        self.seconds: dict[str, float] = {}
        self._clock = clock
        self._stack: list[str] = []
        self._since = clock()

    def _switch(self) -> None:
        now = self._clock()
        if self._stack:
            name = self._stack[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now

    def so_far(self) -> dict[str, float]:
        """`seconds` and those of the span that is open, also asked from another thread while it is."""
        now, seconds, since = self._clock(), dict(self.seconds), self._since
        for name in self._stack[-1:]:
            seconds[name] = seconds.get(name, 0.0) + max(now - since, 0.0)
        return seconds

    def span(self, name: str) -> Timings:
        """`with timings.span("certify"): ...`"""
        self._switch()
        self._stack.append(name)
        return self

    def __enter__(self) -> Timings:
        return self

    def __exit__(self, *_: object) -> None:
        self._switch()
        self._stack.pop()


# Solves from multipliers by family and a factor V (N, r) of the moments, where one is known.
Engine = Callable[[Monitor, Mapping[str, Array], Array | None], Status]
