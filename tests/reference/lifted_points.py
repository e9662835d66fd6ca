"""Feasible points of a lifting in rational arithmetic, built from an input, a direction and a choice at each kink.

What the forward pass, the forward derivative and the backward derivative of the network itself give, divided by the
scales: no coefficient of the lifting is used. So products, derived groups and the objective can be checked exactly.
"""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from hr2jax.relaxation.basis import BEFORE_MASK, ONE, XI, Group, T
from tests.reference.cases import exact, forward

HALF, UNIT = Fraction(1, 2), Fraction(1)


@dataclass
class LiftedPoint:
    """`y`: group, basis or derived -> values (object array of fractions); `value`: the objective's true value."""

    y: dict
    value: Fraction


def power(exponent):
    return np.array([Fraction(2) ** int(e) for e in exponent], dtype=object)


def lifted_point(net, problem, fixed, rng, x=None, t=None):
    """A random one; globally with any masks, locally with those of x (a coin decides at kinks).

    x: (p_0,) fractions inside the domain; t: (len(fixed.directions),) fractions of dual-feasible size.
    """
    depth, free, along = net.depth, fixed.free, fixed.directions
    A = [exact(W) for W in net.weights]
    c = exact(problem.coefficients) @ A[-1]
    t = direction(problem.t_norm, len(along), rng) if t is None else t
    y = {ONE: np.array([UNIT], dtype=object), T: t}
    if problem.is_local:
        x = inside(problem, rng) if x is None else x
        z, _ = forward(net, x)
        u = [mask(values, layer, rng) for values, layer in zip(z, fixed.layers, strict=True)]
        center, radius = exact(problem.domain.center)[free], exact(problem.domain.radius)[free]
        y[XI] = (x[free] - center) / radius
    else:
        u = [exact(rng.integers(0, 2, W.shape[0])) for W in A[:-1]]
    full = np.array([Fraction(0)] * net.widths[0], dtype=object)
    full[along] = t
    tangent, w = [full], []
    for W, on in zip(A[:-1], u, strict=True):
        w.append(W @ tangent[-1])
        tangent.append(on * w[-1])
    adjoint, g = {depth: c * u[-1]}, {}
    for l in range(depth - 1, 0, -1):
        g[l] = A[l].T @ adjoint[l + 1]
        adjoint[l] = u[l - 1] * g[l]
    for l, layer in enumerate(fixed.layers):
        kept = layer.unstable
        y[Group("v", l + 1)] = 2 * u[l][kept] - 1
        if problem.is_local:
            scaled = z[l][kept] / power(layer.exponent)
            y |= {Group("z", l + 1): scaled, Group("x", l + 1): u[l][kept] * scaled}
        if l + 1 < depth:
            for chain, before in (("p", w[l]), ("a", g[l + 1])):
                if chain in fixed.chains:
                    scaled = before[kept] / power(layer.reach_exponent[chain])
                    y |= {Group(BEFORE_MASK[chain], l + 1): scaled, Group(chain, l + 1): u[l][kept] * scaled}
    return LiftedPoint(y, c @ tangent[-1])


def direction(norm, q, rng):
    """A vertex of the box, or a rational point of the ball, on its boundary but for rounding."""
    if norm == "inf":
        return exact(rng.choice([-1.0, 1.0], q))
    t = rng.standard_normal(q)
    return exact(t / np.linalg.norm(t, norm) * (1 - 2.0**-50))


def inside(problem, rng):
    """A rational point of the domain: on its boundary, where two coins say so."""
    n = len(problem.domain.center)
    if problem.domain.shape == "inf":
        xi = exact(rng.choice([-1.0, 1.0, rng.uniform(-1, 1)], n))
    else:
        xi = direction(problem.domain.shape, n, rng) * exact(rng.choice([1.0, rng.uniform(0, 1)], 1))[0]
    return exact(problem.domain.center) + exact(problem.domain.radius) * xi


def mask(z, layer, rng):
    """dReLU(z): any value of {0, 1} at 0, but for neurons that the presolve calls active."""
    u = np.array([UNIT if v > 0 else Fraction(0) if v < 0 else Fraction(int(rng.integers(2))) for v in z], dtype=object)
    u[layer.active] = UNIT
    return u


def form_values(form, y):
    """(rows,) fractions: what the form is at y."""
    return sum(exact(term.coefficient) * y[term.group][term.index] for term in form.terms)


def encloses(enclosures, pairs, value, exponent=0):
    """Whether sum over `pairs` (values, values) of enclosed coefficients meets `value`, exactly evaluated."""
    middle = spread = Fraction(0)
    for block, (left, right) in zip(enclosures, pairs, strict=True):
        middle += left @ exact(block.mid) @ right
        spread += abs(left) @ exact(block.rad) @ abs(right)
    return abs(middle - value / Fraction(2) ** exponent) <= spread


def sum_of_terms(terms, point):
    """What terms (g, h, i, j, values) of a form come to at a point, exactly: the sums of the middles and the radii."""
    middle = spread = Fraction(0)
    for g, h, i, j, values in terms:
        assert len(np.unique(i * 10**6 + j)) == len(i)
        value = point.y[g][i] * point.y[h][j]
        middle += exact(values.mid) @ value
        spread += exact(values.rad) @ abs(value)
    return middle, spread
