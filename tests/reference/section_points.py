"""Feasible points of a reach lifting in rational arithmetic: from an x, its network's values and derivatives.

No coefficient of the lifting is used, only its scales. Networks are any of piecewise linear layers.
"""

from fractions import Fraction

import numpy as np

from hr2jax import Layer, Network, graph
from hr2jax.graph import is_masked
from hr2jax.relaxation.basis import BEFORE_MASK, ONE, REST, XI, Group, S, T
from hr2jax.relaxation.section import find_section, refusal
from tests.reference.cases import exact
from tests.reference.lifted_points import LiftedPoint, direction, mask, power


def random_section(net, rng):
    """A section of the network with any weights that `find_section` may give; None where there is none."""
    if refusal(net):
        return None
    adjoints = None if rng.random() < 0.3 else [rng.exponential(1.0, layer.width) ** 4 for layer in net.layers[:-1]]
    return find_section(net, float(rng.choice([0.3, 1.0, 3.0])), adjoints)


def section_point(net, problem, fixed, rng, x):
    """The point of x (p_0,) fractions, on the section: with its patterns, a coin where a neuron is at 0.

    Where inputs of the section are fixed, x must be 0 there.
    """
    z = values(net, x)
    section, first = fixed.section, []
    for l in net.structure.first:
        first.append(np.abs(z[l])[exact_rows(net, l)])
    w = exact(section.weights)
    total = (w * np.concatenate(first)).sum() + (exact(section.constant).sum() if section.has_constant else 0)
    if total == 0:
        return None
    s = 1 / total
    inputs, box = net.widths[0], fixed.posed(net, problem)[1].domain
    xi = np.append(s * x, [s] * len(section.constant))
    low, high = exact(box.low)[fixed.free], exact(box.high)[fixed.free]
    t = direction(problem.t_norm, len(fixed.directions), rng)
    y = {ONE: exact([1.0]), T: t, XI: (2 * xi[fixed.free] - low - high) / (high - low)}
    on = {}
    for l, neurons in enumerate(fixed.layers, 1):
        on[l], kept = mask(z[l], neurons, rng), neurons.unstable
        off = np.setdiff1d(np.arange(len(z[l])), np.concatenate([kept, neurons.active]))
        on[l][off] = Fraction(0)  # at 0 too
        if is_masked(net.layers[l - 1]):
            scaled = s * z[l][kept] / power(neurons.exponent)
            y[Group("v", l)] = 2 * on[l][kept] - 1
            y[Group("z", l)], y[Group("x", l)] = scaled, on[l][kept] * scaled
            y[Group(REST, l)] = y[Group("x", l)][1:]
    if problem.is_vector:
        y[S] = direction({"inf": 1, 2: 2, 1: "inf"}[problem.output_norm], len(problem.coefficients), rng)
        top = y[S] @ exact(problem.coefficients)
    else:
        top = exact(problem.coefficients)
    full = exact(np.zeros(inputs))
    full[fixed.directions] = t
    chain = fixed.chains[0]

    def step(l, layer, above):
        g = sum(exact(A).T @ a for A, a in above)
        if l in fixed.carried(chain):
            kept, neurons = fixed.members(l), fixed.layers[l - 1]
            scaled = g[kept] / power(neurons.reach_exponent[chain])
            y[Group(BEFORE_MASK[chain], l)], y[Group(chain, l)] = scaled, on[l][kept] * scaled
        alpha, beta = (exact(slopes) for slopes in layer.slopes)
        out = g * (beta * on[l] + alpha * (1 - on[l])) if is_masked(layer) else 1 * g
        out[fixed.layers[l - 1].constant] = 0
        return out

    gradient = sum(exact(A).T @ a for A, a in graph.backward(net.layers, top, step))
    return LiftedPoint(y, gradient @ full)


def exact_rows(net, l):
    """Which neurons of a layer that takes x alone have a row that is not 0 and a kink."""
    alpha, beta = net.layers[l - 1].slopes
    return np.asarray(net.layers[l - 1].inputs[0]).any(axis=1) & (alpha != beta)


def values(net, x):
    """Layer -> its pre-activations, fractions."""
    found = {}

    def step(l, layer, below):
        z = found[l] = sum(exact(A) @ y for A, y in below) + exact(layer.bias)
        alpha, beta = (exact(slopes) for slopes in layer.slopes)
        return np.array([b * v if v > 0 else a * v for v, a, b in zip(z, alpha, beta, strict=True)], dtype=object)

    graph.forward(net.layers, x, step)
    return found


def random_kinked(rng, graphs=True):
    """A network of one to three hidden layers that reach may gain something for: few inputs; sometimes a graph."""
    depth, p = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    widths = [p, *rng.integers(2, 6, depth)]
    kind = rng.choice(["relu", "relu", "leaky_relu", "abs", "prelu"])
    bias = rng.choice([0.0, 0.3, 3.0])
    layers = []
    for l, width in enumerate(map(int, widths[1:]), 1):
        A = rng.standard_normal((width, widths[l - 1])) * (rng.random((width, widths[l - 1])) >= rng.choice([0.0, 0.3]))
        inputs = {l - 1: A}
        if graphs and l > 1 and rng.random() < 0.2:
            inputs[0] = rng.standard_normal((width, p))
        own = {"weight": rng.choice([-0.5, 0.0, 0.3, 1.0], width)} if kind == "prelu" else {}
        layers.append(Layer(inputs, bias * rng.standard_normal(width), kind, own))
    outputs = int(rng.integers(1, 3))
    layers.append(Layer({depth: rng.standard_normal((outputs, widths[-1]))}, rng.standard_normal(outputs), "identity"))
    return Network.from_layers(layers)


def random_x(rng, section, inputs):
    """A point at any scale, some entries 0, those that the section fixes."""
    x = np.zeros(inputs)
    scale = 10.0 ** float(rng.choice([-9, -3, -1, 0, 0, 1, 3, 9]))
    x[section.columns] = scale * rng.standard_normal(len(section.columns)) * (rng.random(len(section.columns)) > 0.2)
    return np.array([Fraction(float(v)) for v in x], dtype=object)
