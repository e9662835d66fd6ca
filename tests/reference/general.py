"""Networks of layers with several inputs, slopes and radii, in rational arithmetic, independent of the package's walks.

Feasible points of their liftings (`lifted`), exact values and gradients of members, and their activation regions.
"""

import itertools
from fractions import Fraction

import numpy as np
from scipy.optimize import linprog

from hr2jax.layer import Layer
from hr2jax.network import Network
from hr2jax.relaxation.basis import BEFORE_MASK, ONE, XI, Group, T

from .cases import exact
from .graphs import KINDS, drawn_parameters, slope_at
from .lifted_points import LiftedPoint, direction, inside, power

ZERO, UNIT = Fraction(0), Fraction(1)


# --- networks ----------------------------------------------------------------------------------------------


def random_general(rng, *, layers=None, width=3, kinds=KINDS, radii=0.0, inputs=None, outputs=None):
    """A network of `layers` layers over at most `width` neurons each, with skips; a share `radii` of radii."""
    count = int(rng.integers(1, 6)) if layers is None else layers
    widths = [int(rng.integers(1, width + 1)) if inputs is None else inputs]
    taken, built = set(), []
    for l in range(1, count + 1):
        p = int(rng.integers(1, width + 1)) if l < count or outputs is None else outputs
        chosen = {int(k) for k in np.flatnonzero(rng.random(l) < 0.4)} | ({l - 1} if rng.random() < 0.6 else set())
        if l == count:
            chosen |= set(range(1, count)) - taken
        chosen = sorted(chosen or {int(rng.integers(l))})
        taken |= set(chosen)
        arrays = {k: _coefficients(rng, (p, widths[k]), radii) for k in chosen}
        kind = "identity" if l == count else str(rng.choice(kinds))
        bias = _coefficients(rng, (p,), radii)
        built.append(Layer(arrays, bias, kind, drawn_parameters(rng, kind, p)))
        widths.append(p)
    return Network.from_layers(built)


def _coefficients(rng, shape, radii):
    values = rng.choice([0.0, 1.0, 1.0], size=shape) * rng.normal(size=shape)
    if rng.random() < 0.2:
        values = np.round(2 * values) / 2
    if rng.random() >= radii:
        return values
    return values, rng.choice([0.0, 0.125, 2.0**-40], size=shape) * rng.random(size=shape)


def member(net, rng):
    """A network within the radii of `net`, as [(inputs {k: fractions}, bias fractions, layer)]."""

    def within(mid, radius):
        out = exact(mid.toarray() if hasattr(mid, "toarray") else mid)
        if radius is None:
            return out
        radius = radius.toarray() if hasattr(radius, "toarray") else radius
        return out + exact(radius) * exact(rng.choice([-1.0, 0.0, 1.0, 0.5], size=radius.shape))

    def within_all(layer):
        return {k: within(A, layer.radii.get(k)) for k, A in layer.inputs.items()}

    return [(within_all(layer), within(layer.bias, layer.bias_radius), layer) for layer in net.layers]


# --- values and gradients ------------------------------------------------------------------------------------


def pre_activations(layers, x):
    """z of every layer of a member at rational x, the output's last."""
    y, out = {0: x}, []
    for l, (inputs, bias, layer) in enumerate(layers, 1):
        z = bias + sum(A @ y[k] for k, A in inputs.items())
        y[l] = np.array([v * slope_at(layer, i, v) for i, v in enumerate(z)], dtype=object)
        out.append(z)
    return out


def slopes_of(layer, u):
    """beta u + alpha (1 - u) of masks u."""
    alpha = np.array([slope_at(layer, i, Fraction(-1)) for i in range(layer.width)], dtype=object)
    return u + alpha * (1 - u)


def tangents(layers, u, t):
    """w of every layer (before its mask), the output's last, for masks u per hidden layer."""
    y, out = {0: t}, []
    for l, (inputs, _, layer) in enumerate(layers, 1):
        w = sum(A @ y[k] for k, A in inputs.items())
        out.append(w)
        if l < len(layers):
            y[l] = slopes_of(layer, u[l - 1]) * w
    return out


def adjoints(layers, u, c):
    """g of x and of every hidden layer (before its mask), for masks u and coefficients c of the outputs."""
    n = len(layers)
    g = {l: sum([ZERO]) for l in range(n)}
    for l in range(n, 0, -1):
        inputs, _, layer = layers[l - 1]
        a = c if l == n else slopes_of(layer, u[l - 1]) * g[l]
        for k, A in inputs.items():
            g[k] = g[k] + A.T @ a
    return g


def gradient(layers, x, c):
    """The exact gradient of c.F of a member at rational x; None on a kink."""
    u = []
    for z, (_, _, layer) in zip(pre_activations(layers, x), layers[:-1], strict=False):
        if layer.activation != "identity" and any(v == 0 for v in z):
            return None
        u.append(np.array([UNIT if v > 0 else ZERO for v in z], dtype=object))
    found = adjoints(layers, u, c)[0]
    return found if isinstance(found, np.ndarray) else np.array([ZERO] * len(x), dtype=object)


def is_at_most(g, norm, bound):
    """Whether the dual norm of rational g is at most the float bound, exactly."""
    if norm == "inf":
        return sum(map(abs, g), ZERO) <= Fraction(bound)
    return sum((v * v for v in g), ZERO) <= Fraction(bound) ** 2


# --- activation regions -------------------------------------------------------------------------------------------


def region_points(net, low, high, most=4000):
    """Points inside the activation regions that meet a box, found neuron by neuron.

    They are random ones, and linear programs', in floats, where none of those is inside.
    """
    q = net.widths[0]
    points = np.random.default_rng(0).uniform(low, high, (500, q))
    units = [(l, i) for l, layer in enumerate(net.layers[:-1], 1) if layer.activation != "identity"
             for i in range(layer.width)]  # fmt: skip
    found = [((), (low + high) / 2)]
    for _ in units:
        grown = []
        for pattern, _ in found:
            for side in (1.0, -1.0):
                longer = (*pattern, side)
                rows, shifts = _constraints(net, units, longer)
                size = np.linalg.norm(rows, axis=1)
                if (np.asarray(shifts)[size < 1e-12] <= 0).any():
                    continue
                moving = size >= 1e-12
                depth = ((points @ rows[moving].T + shifts[moving]) / size[moving]).min(axis=1, initial=1.0)
                if depth.max() > 1e-6:
                    grown.append((longer, points[depth.argmax()]))
                    continue
                A = np.column_stack([-rows[moving] / size[moving, None], np.ones(moving.sum())])
                answer = linprog(
                    np.append(np.zeros(q), -1.0), A_ub=A, b_ub=shifts[moving] / size[moving],
                    bounds=np.array([*zip(low, high, strict=True), (-np.inf, 1.0)]),
                )  # fmt: skip
                if answer.status == 0 and answer.x[-1] > 1e-9:
                    grown.append((longer, answer.x[:-1]))
        found = grown[:most]
    return [x for _, x in found]


def _constraints(net, units, pattern):
    """rows . x + shift >= 0 of the neurons whose sign is fixed."""
    sign = dict(zip(units, pattern, strict=False))
    q = net.widths[0]
    J, v = {0: np.eye(q)}, {0: np.zeros(q)}
    rows, shifts = [], []
    for l, layer in enumerate(net.layers[:-1], 1):
        Jz = sum(A @ J[k] for k, A in layer.inputs.items())
        z = layer.bias + sum(A @ v[k] for k, A in layer.inputs.items())
        slope = np.ones(layer.width)
        if layer.activation != "identity":
            for i in range(layer.width):
                s = sign.get((l, i))
                if s is None:
                    return np.array(rows).reshape(-1, q), np.array(shifts)
                rows.append(s * Jz[i])
                shifts.append(s * z[i])
                slope[i] = float(slope_at(layer, i, Fraction(s)))
        J[l], v[l] = slope[:, None] * Jz, slope * z
    return np.array(rows).reshape(-1, q), np.array(shifts)


# --- feasible points of liftings ---------------------------------------------------------------------------------


def lifted(net, problem, fixed, rng, real=False):
    """A random feasible point of the lifting of a random member; globally with any masks, locally with those of x.

    real: globally with those of some x, too; None where one of its pre-activations is 0.
    """
    layers, free, c = member(net, rng), fixed.free, exact(problem.coefficients)
    of_values, of_slopes = problem.quantity == "maximum", fixed.chains == ("q",)
    y = {ONE: np.array([UNIT], dtype=object)}
    t = direction(problem.t_norm, len(fixed.directions), rng)
    full = np.array([ZERO] * net.widths[0], dtype=object)
    full[fixed.directions] = t
    z = None
    if problem.is_local:
        x = inside(problem, rng)
        z = pre_activations(layers, x)
        center, radius = exact(problem.domain.center)[free], exact(problem.domain.radius)[free]
        y[XI] = (x[free] - center) / radius
    elif real:
        z = pre_activations(layers, exact(10.0 * rng.normal(size=net.widths[0])))
    masked = [layer.activation != "identity" for _, _, layer in layers]
    if real and any(v == 0 for values, is_masked in zip(z, masked, strict=True) if is_masked for v in values):
        return None
    u = []
    for l, neurons in enumerate(fixed.layers):
        width = layers[l][2].width
        on = exact(rng.integers(0, 2, width))
        if z is not None:
            on = np.array([UNIT if v > 0 else ZERO if v < 0 else coin for v, coin in zip(z[l], on, strict=True)])
        if of_slopes:
            on = exact(rng.choice([0.0, 1.0, 0.5, 0.25], width))
        on[neurons.active], on[neurons.inactive] = UNIT, ZERO
        u.append(on)
    if not of_values:
        y[T] = t
    w, g = tangents(layers, u, full), adjoints(layers, u, c)
    for l, neurons in enumerate(fixed.layers, 1):
        if layers[l - 1][2].activation == "identity":
            continue
        kept = neurons.unstable
        if not of_slopes:
            y[Group("v", l)] = 2 * u[l - 1][kept] - 1
        if problem.is_local:
            scaled = z[l - 1][kept] / power(neurons.exponent)
            y |= {Group("z", l): scaled, Group("x", l): u[l - 1][kept] * scaled}
        for chain, before in (("p", w[l - 1]), ("a", g[l]), ("q", w[l - 1])):
            if chain in neurons.reach_exponent:
                scaled = before[kept] / power(neurons.reach_exponent[chain])
                y |= {Group(BEFORE_MASK[chain], l): scaled, Group(chain, l): u[l - 1][kept] * scaled}
    value = c @ z[-1] if of_values else c @ w[-1]
    return LiftedPoint(y, value)


def every_member(net):
    """The 0/1 patterns of all hidden masked neurons, for small networks."""
    counts = [layer.width if layer.activation != "identity" else 0 for layer in net.layers[:-1]]
    for flat in itertools.product((ZERO, UNIT), repeat=sum(counts)):
        bits = iter(flat)
        yield [
            np.array([next(bits) for _ in range(layer.width)], dtype=object) if count else
            np.array([UNIT] * layer.width, dtype=object)
            for layer, count in zip(net.layers[:-1], counts, strict=True)
        ]  # fmt: skip


def with_proportional_rows(net, rng):
    """The network with some rows of its masked layers made multiples of others, of other biases."""
    built = []
    for layer in net.layers:
        inputs, bias = {k: np.array(A) for k, A in layer.inputs.items()}, np.array(layer.bias)
        if layer.activation != "identity":
            for i in range(1, layer.width):
                if rng.random() < 0.7:
                    k = int(rng.integers(i))
                    factor = float(rng.choice([1.0, 2.0, -1.0, -0.5]))
                    for A in inputs.values():
                        A[i] = factor * A[k]
                    if rng.random() < 0.3:
                        bias[i] = factor * bias[k]
        built.append(Layer(inputs, bias, layer.activation, layer.parameters))
    return Network.from_layers(built)
