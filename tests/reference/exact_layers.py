"""The values that a network's members have at a rational point, as intervals of exact rationals."""

from fractions import Fraction

import numpy as np

from hr2jax.layer import dense


def exact(array):
    """The entries as fractions."""
    return np.vectorize(lambda v: Fraction(float(v)), otypes=[object])(np.asarray(array, dtype=float))


def members_at(layers, x):
    """(low, high) of F(x), arrays of fractions; equal where no coefficient has a radius."""
    values = {0: (exact(x), exact(x))}
    for l, layer in enumerate(layers, start=1):
        radius = layer.bias_radius
        b, r = exact(layer.bias), exact(np.zeros(layer.width) if radius is None else radius)
        low, high = b - r, b + r
        for k, A in layer.inputs.items():
            a = exact(dense(A))
            e = exact(dense(layer.radii[k])) if k in layer.radii else a * 0
            y = values[k]
            ends = np.array([(a + s * e) * end[None, :] for s in (-1, 1) for end in y])
            low, high = low + ends.min(axis=0).sum(axis=1), high + ends.max(axis=0).sum(axis=1)
        alpha, beta = (exact(slope) for slope in layer.slopes)
        if (exact(layer.slopes[0]) < 0).any():
            both = [np.where(end > 0, beta * end, alpha * end) for end in (low, high)]
            across = (low < 0) & (high > 0)
            low, high = np.minimum(*both), np.maximum(*both)
            low = np.where(across, np.minimum(low, 0), low)
        else:
            low, high = (np.where(end > 0, beta * end, alpha * end) for end in (low, high))
        values[l] = (low, high)
    return values[len(layers)]
