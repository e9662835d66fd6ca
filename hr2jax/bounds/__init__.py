"""Bounds of pre-activations and of Jacobians, rounded outward: they hold for the exact reals of the data."""

from .interval import interval_bounds
from .jacobian import adjoint_bounds, interval_constant, product_constant, tangent_bounds
from .linear import output_range, preactivation_bounds
from .slopes import find_output_slopes, find_slopes, pick_method

__all__ = [
    "adjoint_bounds",
    "find_output_slopes",
    "find_slopes",
    "interval_bounds",
    "interval_constant",
    "output_range",
    "pick_method",
    "preactivation_bounds",
    "product_constant",
    "tangent_bounds",
]
