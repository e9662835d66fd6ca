"""Random feed-forward networks with skips, and what they are in rational arithmetic, path by path."""

import itertools
from fractions import Fraction

import numpy as np

from hr2jax.layer import Layer


def random_layers(rng, count, *, width=4, integers=True, activations=("relu", "identity")):
    """`count` layers over 1-`width` neurons with random inputs among all earlier layers, the last an identity."""
    widths, layers = [int(rng.integers(1, width + 1))], []
    for l in range(1, count + 1):
        p = int(rng.integers(1, width + 1))
        taken = np.flatnonzero(rng.random(l) < 0.5)
        taken = taken if len(taken) else [int(rng.integers(l))]
        draw = (lambda s: rng.integers(-3, 4, size=s)) if integers else (lambda s: rng.normal(size=s))
        inputs = {int(k): draw((p, widths[k])) for k in taken}
        activation = "identity" if l == count else str(rng.choice(activations))
        layers.append(Layer(inputs, draw(p), activation))
        widths.append(p)
    if not any(0 in layer.inputs for layer in layers):  # then x's width is no one's
        raise AssertionError("some layer takes x: the first can take nothing else")
    return layers


def exact_values(layers, x):
    """Every layer's z and y as lists of Fractions: {l: (z_l, y_l)}, by the definition."""
    y = {0: [Fraction(float(v)) for v in x]}
    z = {}
    for l, layer in enumerate(layers, 1):
        z[l] = [Fraction(float(b)) for b in layer.bias]
        for k, A in layer.inputs.items():
            for i, row in enumerate(A.tolist()):
                z[l][i] += sum((Fraction(a) * v for a, v in zip(row, y[k], strict=True)), Fraction(0))
        y[l] = [max(v, Fraction(0)) if layer.activation == "relu" else v for v in z[l]]
    return {l: (z[l], y[l]) for l in z}


def paths(layers, l):
    """Every way from x to layer l, as tuples of layer numbers (0, ..., l)."""
    if l == 0:
        return [(0,)]
    return [(*way, l) for k in layers[l - 1].inputs for way in paths(layers, k)]


def jacobian_by_paths(layers, x):
    """sum over ways of A D A ... D A, (p_n, p_0) as floats: exact for small integers."""
    exact = exact_values(layers, x)
    n = len(layers)
    total = np.zeros((layers[-1].width, len(x)))
    for way in paths(layers, n):
        J = np.eye(len(x))
        for k, l in itertools.pairwise(way):
            J = layers[l - 1].inputs[k] @ J
            if layers[l - 1].activation == "relu":
                J = np.array([[float(v > 0)] for v in exact[l][0]]) * J
        total += J
    return total
