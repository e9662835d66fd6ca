"""Exact values of small networks in rational numbers, and multipliers to prove bounds of them with."""

from fractions import Fraction
from itertools import combinations, pairwise, product
from math import isqrt

import clarabel
import numpy as np
import scipy.sparse

from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.network import Network
from hr2jax.problem import Problem
from hr2jax.relaxation.families import catalogue

from .enclosures import exact

# The truth ----------------------------------------------------------------------------------------------


def rational(values):
    values = np.asarray(values, dtype=np.float64)
    return exact([Fraction(float(v)) for v in values.flat], values.shape)


def gradient_norm(net: Network, problem: Problem, pattern) -> Fraction:
    """The L1 norm (norm 2: the Euclidean one, rounded down), over the free inputs, of the gradient in that cell."""
    free = problem.domain.free(net.widths[0])
    c = rational(problem.coefficients) @ rational(net.weights[1])
    gradient = (c * np.array(pattern, dtype=object)) @ rational(net.weights[0][:, free])
    if problem.norm == "inf":
        return sum(abs(g) for g in gradient)
    square = sum(g * g for g in gradient)
    return Fraction(isqrt((square.numerator << 200) // square.denominator), 2**100)


def exact_z(net: Network, x):
    return rational(net.weights[0]) @ x + rational(net.biases[0])


def cells_met(net: Network, problem: Problem, rng, segments: int):
    """(x, pattern) in the interior of every cell that some segments between points of the box (or ball) cross."""
    c, r = rational(problem.domain.center), rational(problem.domain.radius)
    if problem.norm == 2:
        r = r / len(r)  # such a box is inside the ball
    moving = net.weights[0][:, problem.domain.free(net.widths[0])].any(axis=1)
    for k in range(segments):
        a, b = rng.choice([-1.0, 1.0], (2, len(c)))
        if k == 0:
            b = -a
        elif k > 2:
            a, b = rng.uniform(-1, 1, (2, len(c)))
        start, stop = c + r * rational(a), c + r * rational(b)
        z0, z1 = exact_z(net, start), exact_z(net, stop)
        cuts = {Fraction(0), Fraction(1)}
        cuts |= {u / (u - v) for u, v in zip(z0, z1, strict=True) if u != v and 0 < u / (u - v) < 1}
        cuts = sorted(cuts)
        for s in [*((p + q) / 2 for p, q in pairwise(cuts)), Fraction(0), Fraction(1)]:
            z = (1 - s) * z0 + s * z1
            if all(value != 0 or not moves for value, moves in zip(z, moving, strict=True)):
                yield (1 - s) * start + s * stop, tuple(int(value > 0) for value in z)


def ordered_patterns(net: Network) -> list[tuple[int, ...]]:
    """Every pattern of the neurons, but for those in which two of exactly proportional rows contradict each other.

    The masks of rows k_i r are those that some s = r . y has: below, between and above where they switch.
    """
    A, b = rational(net.weights[0]), rational(net.biases[0])
    met: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for i, j in combinations(range(len(b)), 2):
        at = next((k for k, value in enumerate(A[i]) if value != 0), None)
        if at is None or A[j][at] == 0 or any(A[i][at] * q != A[j][at] * p for p, q in zip(A[i], A[j], strict=True)):
            continue
        k = A[j][at] / A[i][at]  # row j is k times row i, and s is row i's
        switches = sorted({-b[i], -b[j] / k})
        between = [(p + q) / 2 for p, q in pairwise(switches)]
        met[i, j] = {
            (int(s + b[i] > 0), int(k * s + b[j] > 0)) for s in (switches[0] - 1, *between, switches[-1] + 1)
        }
    return [
        pattern for pattern in product((0, 1), repeat=len(b))
        if all((pattern[i], pattern[j]) in pairs for (i, j), pairs in met.items())
    ]  # fmt: skip


def exact_constant(net: Network, problem: Problem, rng, segments=6) -> Fraction:
    """Global: the largest norm of any pattern that the families are about. Local: of the cells that are met."""
    if problem.is_local:
        patterns = {pattern for _, pattern in cells_met(net, problem, rng, segments)}
    else:
        patterns = set(ordered_patterns(net))
    return max((gradient_norm(net, problem, pattern) for pattern in patterns), default=Fraction(0))


# Multipliers --------------------------------------------------------------------------------------------


def available(lifting):
    """The families that exist on this lifting."""
    return list(catalogue(lifting).values())


SIZES = {
    "zero": 0.0,
    "tiny": 1e-300,
    "small": 1e-3,
    "normal": 1.0,
    "large": 1e3,
    "huge": 1e200,
    "negative": -1.0,
}


def random_multipliers(lifting, rng, sizes):
    """Multipliers of every family, each family of one of the sizes."""
    return {f.name: SIZES[rng.choice(sizes)] * rng.random(f.shape) for f in available(lifting)}


def best_multipliers(lifting):
    """(d, multipliers) of the least bound that the catalogue proves, by an interior-point solver.

    min sum d  over  Diag(d) - M(Lambda) >= 0 (PSD),  Lambda >= 0,  d >= 0 where y_k^2 may be below 1.
    """
    families = [family for family in available(lifting) if family.F.rows]
    N = lifting.size
    columns, rows = np.tril_indices(N)  # the upper triangle, column by column
    root = np.where(rows == columns, 1.0, np.sqrt(2.0))
    zero = lagrangian_matrix(lifting, {}).mid
    places = [(family, i) for family in families for i in np.ndindex(*family.shape)]
    units = []
    for family, i in places:
        values = np.zeros(family.shape)
        values[i] = 1.0
        units.append(lagrangian_matrix(lifting, {family.name: values}).mid - zero)
    unknown = [-np.diag(row) for row in np.eye(N)] + units
    A = np.array([(matrix[rows, columns]) * root for matrix in unknown]).T
    signed = [*np.flatnonzero(~lifting.square_is_one), *range(N, len(unknown))]
    A = scipy.sparse.csc_matrix(np.vstack([-np.eye(len(unknown))[signed], A]))
    b = np.concatenate([np.zeros(len(signed)), -zero[rows, columns] * root])
    cones = [clarabel.NonnegativeConeT(len(signed)), clarabel.PSDTriangleConeT(N)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    nothing = scipy.sparse.csc_matrix((len(unknown), len(unknown)))
    cost = np.concatenate([np.ones(N), np.zeros(len(units))])
    x = np.array(clarabel.DefaultSolver(nothing, cost, A, b, cones, settings).solve().x)
    multipliers = {family.name: np.zeros(family.shape) for family in families}
    for (family, i), value in zip(places, x[N:], strict=True):
        multipliers[family.name][i] = value
    return x[:N], multipliers
