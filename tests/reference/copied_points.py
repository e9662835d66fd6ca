"""Points of the tensored lifting: what its basis is at an input, a direction and a combination of the outputs."""

import numpy as np

from hr2jax.relaxation.basis import ONE, XI, Group, S, T
from hr2jax.relaxation.tensored import copied, is_odd


def directions(rng, problem, count):
    """s, a unit vector or signs, and t, of norm at most 1 or a corner; now and then of few entries."""
    s = rng.standard_normal(len(problem.coefficients)) * (rng.random(len(problem.coefficients)) < 0.8)
    s = s if s.any() else np.eye(len(s))[0]
    s = np.where(s < 0, -1.0, 1.0) if problem.output_norm == 1 else s / np.linalg.norm(s)
    t = rng.standard_normal(count) * (rng.random(count) < 0.8)
    t = t if t.any() else np.eye(count)[0]
    return s, np.where(t < 0, -1.0, 1.0) if problem.t_norm == "inf" else t / np.linalg.norm(t)


def inside(rng, problem, free):
    """(x, xi) of the domain, often on its boundary; None, None everywhere."""
    if not problem.is_local:
        return None, None
    xi, domain = rng.standard_normal(len(free)), problem.domain
    size = np.abs(xi).max() if domain.shape == "inf" else np.linalg.norm(xi, domain.shape)
    xi *= rng.choice([0.5, 1.0]) / size
    x = domain.center.copy()
    x[free] += np.broadcast_to(domain.radius, x.shape)[free] * xi
    return x, xi


def copied_point(net, problem, fixed, lifting, rng):
    """(basis (N,), s^T M J t) at a random point of a chain of ReLU layers; everywhere, of random masks."""
    x, xi = inside(rng, problem, fixed.free)
    s, t = directions(rng, problem, len(fixed.directions))
    y = {ONE: np.ones(1), T: t, XI: xi}
    of_t = np.zeros(net.widths[0])
    of_t[fixed.directions] = t
    p, value = of_t, x
    for l, (A, b) in enumerate(zip(net.weights[:-1], net.biases[:-1], strict=True), 1):
        neurons = fixed.layers[l - 1]
        own = neurons.unstable
        if value is None:
            u = rng.integers(0, 2, len(b)).astype(float)
        else:
            u = (A @ value + b > 0).astype(float)
            value = u * (A @ value + b)
            y[Group("x", l)] = value[own] / 2.0**neurons.exponent
        p = u * (A @ p)
        y[Group("v", l)] = 2.0 * u[own] - 1.0
        if "p" in neurons.reach_exponent:
            y[Group("p", l)] = p[own] / 2.0 ** neurons.reach_exponent["p"]
    every = {copied(g): np.outer(s, y[g]).ravel() for g in lifting.one.sizes if not is_odd(g)}
    every |= {g: y[g] for g in lifting.one.sizes if is_odd(g)}
    assert set(every) == set(lifting.sizes)
    np.testing.assert_array_equal(every[S], s)
    basis = np.concatenate([every[group] for group in lifting.sizes])
    return basis, float(s @ problem.coefficients @ net.weights[-1] @ p)


def extended(lifting, points):
    """(extended size, k): what points of the basis, k of (N,), are in the extended one."""
    return lifting.extend(np.array(points).T)


def values_of(terms, lifting, Y):
    """(value, size, error) of the terms of a quadratic form at `extended` points, (k,) each.

    The size is with all magnitudes, the error of the radii.
    """
    value, size, error = np.zeros((3, Y.shape[1]))
    for g, h, i, j, entries in terms:
        products = Y[lifting.extended.slice(g)][i] * Y[lifting.extended.slice(h)][j]
        value += entries.mid @ products
        size += np.abs(entries.mid) @ np.abs(products)
        error += entries.rad @ np.abs(products)
    return value, size, error
