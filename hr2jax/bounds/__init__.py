"""Bounds of pre-activations and of Jacobians, rounded outward: they hold for the exact reals of the data.

What searches for slopes (`slopes`, with `triangle` and `ascent`) steers only and is loaded on use: a verifier
that needs the bounds does not load it.
"""

from importlib import import_module
from typing import Any

from .interval import interval_bounds
from .jacobian import adjoint_bounds, interval_constant, product_constant, tangent_bounds
from .linear import output_range, preactivation_bounds

STEERING = ("find_output_slopes", "find_slopes", "pick_method")

__all__ = [
    "adjoint_bounds",
    "interval_bounds",
    "interval_constant",
    "output_range",
    "preactivation_bounds",
    "product_constant",
    "tangent_bounds",
]
__all__ += list(STEERING)


def __getattr__(name: str) -> Any:
    if name in STEERING:
        return getattr(import_module(".slopes", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
