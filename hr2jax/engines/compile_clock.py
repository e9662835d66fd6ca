"""How long JAX has spent tracing and compiling in this process, so that it can be told apart from solving."""

from __future__ import annotations

import jax

_seconds = 0.0


def _listen(event: str, duration_secs: float, **_: str | int) -> None:
    global _seconds  # noqa: PLW0603 (JAX's listeners are process-wide, so is this counter)
    if event.startswith("/jax/core/compile/"):
        _seconds += duration_secs


jax.monitoring.register_event_duration_secs_listener(_listen)


def compile_seconds() -> float:
    """Seconds of tracing, lowering and compiling so far in this process."""
    return _seconds
