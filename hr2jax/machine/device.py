"""Where JAX runs."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any


@contextlib.contextmanager
def on_device(device: str | None) -> Iterator[None]:
    """Within: that device; None: JAX's default, which need not be asked for before something is compiled."""
    if device is None:
        yield
        return
    import jax

    try:
        chosen = jax.devices(device)[0]
    except RuntimeError:
        seen = ", ".join(sorted({d.platform for d in jax.devices()}))
        raise ValueError(f"device={device!r} was given, but JAX sees only {seen} here; give one of these") from None
    with jax.default_device(chosen):
        yield


def default_device() -> Any:
    """The device that new arrays are put on: `jax.default_device`'s, or else JAX's first."""
    import jax

    default: Any = getattr(jax.config, "jax_default_device", None)
    return jax.devices(default)[0] if default is None or isinstance(default, str) else default


def devices_of(count: int) -> list[Any]:
    """So many of the devices of the default one's kind.

    Raises:
        ValueError: there are not so many.
    """
    import jax

    kind = default_device().platform
    there = jax.devices(kind)
    if len(there) < count:
        raise ValueError(f"devices={count} was given, but JAX sees {len(there)} of kind {kind!r} here; give no more")
    return list(there[:count])


def is_accelerated() -> bool:
    """Whether that is no CPU: then the inner steps are nearly free, next to what is done on the host."""
    return _may_be_accelerated() and default_device().platform != "cpu"


def _may_be_accelerated() -> bool:
    """Whether JAX is worth asking: it has been imported, or something is installed by which it sees more than CPUs.

    It takes a second to start.
    """
    return "jax" in sys.modules or _has_plugin()


def _has_plugin() -> bool:
    """Whether something is installed that brings JAX other devices than CPUs: where JAX itself looks for it."""
    return any(map(find_spec, ("jax_plugins", "libtpu"))) or bool(entry_points(group="jax_plugins"))


def device_bytes() -> float | None:
    """Bytes that the engine can have on the accelerator JAX uses; None on a CPU, infinity where it does not say."""
    if not is_accelerated():
        return None
    try:
        stats = default_device().memory_stats() or {}
    except Exception:  # not every backend has them
        stats = {}
    limit = stats.get("bytes_limit")
    return math.inf if limit is None else float(limit - stats.get("bytes_in_use", 0))
