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
        layers.append(Layer(inputs, draw(p), activation, drawn_parameters(rng, activation, p)))
        widths.append(p)
    if not any(0 in layer.inputs for layer in layers):  # then x's width is no one's
        raise AssertionError("some layer takes x: the first can take nothing else")
    return layers


KINDS = ("relu", "identity", "leaky_relu", "prelu", "abs")


def drawn_parameters(rng, activation, width):
    """Slopes that are exact in few bits, some negative, some above 1."""
    if activation == "leaky_relu":
        return {"negative_slope": float(rng.choice([0.25, 0.5, -0.5, 2.0]))}
    if activation == "prelu" and rng.random() < 0.8:
        return {"weight": rng.choice([0.125, 0.5, -0.25, 1.0, 0.0, 1.5], size=width if rng.random() < 0.5 else 1)}
    return {}


def used_layers(rng, count, **options):
    """`random_layers`, in which every layer but the last feeds a later one."""
    layers = random_layers(rng, count, **options)
    for l in range(len(layers) - 1, 0, -1):
        if not any(l in layer.inputs for layer in layers[l:]):
            k = int(rng.integers(l, len(layers)))
            taker, A = layers[k], rng.integers(-3, 4, size=(layers[k].width, layers[l - 1].width))
            layers[k] = Layer({**taker.inputs, l: A}, taker.bias, taker.activation, taker.parameters)
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
        y[l] = [v * slope_at(layer, i, v) for i, v in enumerate(z[l])]
    return {l: (z[l], y[l]) for l in z}


def slope_at(layer, i, z):
    """The slope of neuron i of a layer at z, by the activation's name."""
    if layer.activation == "identity" or z > 0:
        return Fraction(1)
    parameters = layer.parameters
    if layer.activation == "prelu":
        weight = np.ravel(parameters.get("weight", 0.25))
        return Fraction(float(weight[i if len(weight) > 1 else 0]))
    slopes = {"relu": 0.0, "abs": -1.0, "leaky_relu": parameters.get("negative_slope", 0.01)}
    return Fraction(float(slopes[layer.activation]))


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
            J = np.array([[float(slope_at(layers[l - 1], i, v))] for i, v in enumerate(exact[l][0])]) * J
        total += J
    return total
