"""Floats shorter than float32: rounding to them is no part of a network of exact reals: refused, or said."""

from __future__ import annotations

import logging
from typing import Any

LOG = logging.getLogger("hr2jax")


def is_half(dtype: Any) -> bool:
    """Whether a dtype of NumPy, JAX or PyTorch, or its name, is of floats with fewer digits than float32's."""
    name = str(dtype).removeprefix("torch.")
    return name in ("half", "float16", "bfloat16") or name.startswith(("float8_", "float6_", "float4_"))  # not float64


def refuse(dtype: Any) -> None:
    """Refuse a cast of what the network computes.

    Raises:
        ValueError: always.
    """
    name = str(dtype).removeprefix("torch.")
    raise ValueError(f"it rounds what the network computes to {name}, so that it jumps; give the model in float32")


def say(what: str, dtype: Any) -> None:
    """Warn that a model computes in halves throughout, if it does."""
    if is_half(dtype):
        name = str(dtype).removeprefix("torch.")
        LOG.warning("%s computes in %s, whose rounding is no part of the network that is read: bounds are of the "
                    "function of exact reals with these weights", what, name)  # fmt: skip
