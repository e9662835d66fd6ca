"""The device that JAX's computations run on."""

from __future__ import annotations

from typing import Any

import jax


def default_device() -> Any:
    """The device that new arrays are put on: `jax.default_device`'s, or else JAX's first."""
    default: Any = getattr(jax.config, "jax_default_device", None)
    return jax.devices(default)[0] if default is None or isinstance(default, str) else default


def is_accelerated() -> bool:
    """Whether that is no CPU: then the inner steps are nearly free, next to what is done on the host."""
    return default_device().platform != "cpu"
