"""Where JAX runs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import jax


@contextlib.contextmanager
def on_device(device: str | None) -> Iterator[None]:
    """Within: that device, and float32 products that are those of float32, where a GPU would take TF32's 10 bits."""
    try:
        chosen = None if device is None else jax.devices(device)[0]
    except RuntimeError:
        seen = ", ".join(sorted({d.platform for d in jax.devices()}))
        raise ValueError(f"device={device!r} was given, but JAX sees only {seen} here") from None
    here = contextlib.nullcontext() if chosen is None else jax.default_device(chosen)
    with here, jax.default_matmul_precision("highest"):
        yield


def default_device() -> Any:
    """The device that new arrays are put on: `jax.default_device`'s, or else JAX's first."""
    default: Any = getattr(jax.config, "jax_default_device", None)
    return jax.devices(default)[0] if default is None or isinstance(default, str) else default


def is_accelerated() -> bool:
    """Whether that is no CPU: then the inner steps are nearly free, next to what is done on the host."""
    return default_device().platform != "cpu"


def device_bytes() -> float | None:
    """Bytes that the engine can have on the accelerator JAX uses; None on a CPU, infinity where it does not say."""
    device = default_device()
    if device.platform == "cpu":
        return None
    try:
        stats = device.memory_stats() or {}
    except Exception:  # not every backend has them
        stats = {}
    limit = stats.get("bytes_limit")
    return math.inf if limit is None else float(limit - stats.get("bytes_in_use", 0))
