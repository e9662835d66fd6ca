"""Bounds of pre-activations and of Jacobians, rounded outward: they hold for the exact reals of the data.

What searches for slopes (`slopes`) steers only: nothing here loads it.
"""

from .interval import interval_bounds
from .jacobian import adjoint_bounds, adjoint_ranges, interval_constant, product_constant, tangent_bounds
from .linear import output_range, preactivation_bounds

__all__ = [
    "adjoint_bounds",
    "adjoint_ranges",
    "interval_bounds",
    "interval_constant",
    "output_range",
    "preactivation_bounds",
    "product_constant",
    "tangent_bounds",
]
