"""How long JAX has spent tracing and compiling in this process, so that it can be told apart from solving."""

from __future__ import annotations

import time

# Spans (start, seconds) that do not overlap. JAX reports a span when it ends, inner ones (a jitted function
# traced within another) before outer ones, so an outer span replaces those that it contains.
_spans: list[tuple[float, float]] = []
_closed = 0.0  # seconds of spans no longer listed
KEPT = 1000


def listen(event: str, duration_secs: float, **_: str | int) -> None:
    """Called by JAX, once machine/run.py has asked it to."""
    global _closed  # noqa: PLW0603 (JAX's listeners are process-wide, so is this clock)
    if not event.startswith("/jax/core/compile/"):
        return
    start = time.perf_counter() - duration_secs
    while _spans and _spans[-1][0] >= start:
        _spans.pop()
    _spans.append((start, duration_secs))
    if len(_spans) > KEPT:
        _closed += sum(seconds for _, seconds in _spans[:-1])
        del _spans[:-1]


def compile_seconds() -> float:
    """Seconds of tracing, lowering and compiling so far in this process."""
    return _closed + sum(seconds for _, seconds in _spans)


class Stopwatch:
    """Measures from when it is made, what is compiled meanwhile left out."""

    def __init__(self) -> None:
        self._began = time.perf_counter() - compile_seconds()

    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - compile_seconds() - self._began
