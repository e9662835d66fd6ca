"""What an actual point proves of several outputs, and the search for one: points and combinations of outputs in turn.

||J||_{p -> q} is the largest dual norm of J^T s over all s of norm 1 in the norm dual to q: whatever s is, what the one
function s . f attains at a point, over the norm of s, is a lower bound (docs/theory/several-outputs.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.float64 import Array
from ..arithmetic.norms import DUAL, Norm, unknown_norm
from ..compose import combined
from ..network import Network
from ..problem import Problem
from .attained import attained_along
from .effort import Effort
from .norms import lengths

# How often a combination is chosen anew, the turns of the alternating maximisation that chooses it, points where it is
# looked for at first, and how far out globally.
ROUNDS, TURNS, SAMPLES, FAR = 4, 30, 48, 10.0

Search = Callable[..., tuple[float, Array]]


def outputs_of(net: Network, problem: Problem) -> Network:
    """The network M F."""
    M = problem.coefficients
    is_all = M.shape[0] == M.shape[1] and np.array_equal(M, np.eye(len(M)))
    return net if is_all else Network.from_layers(combined(M, net.layers))


def search_outputs(
    net: Network, problem: Problem, search: Search, *, effort: Effort, seed: int, starts: Sequence[Any] | Array
) -> tuple[float, Array]:  # fmt: skip
    """`search` of several outputs: it searches one combination after the other, each the best at the last point.

    Returns:
        lower, witness: as `search`, which finds points for one output.
    """
    values, domain = outputs_of(net, problem), problem.domain
    x = domain.center.copy() if domain.is_bounded else np.zeros(net.widths[0])
    x = np.asarray(starts[0], dtype=np.float64) if len(starts) else x
    lower, witness = 0.0, x
    tried: list[Array] = []
    ahead = _candidates(values, problem, [x, *_samples(net, problem, seed)], effort)
    for k in range(ROUNDS):
        s = best_combination(values, problem, x)
        while _is_known(s, tried) and ahead:
            s, x = ahead.pop(0)
        if _is_known(s, tried):
            break
        tried.append(s)
        for point in (witness, x):
            lower, witness = max((lower, witness), (attained_along(values, problem, point, s), point), key=_first)
        own = effort.share(1.0 / (ROUNDS - k))
        left = own.points - own.spent
        of_values = Effort(values, left, own.left())
        _, x = search(values, problem.along(s), effort=of_values, seed=seed + k, starts=[x, *starts[1:]])
        effort.spend(int(min(left, 2**62)))
        lower, witness = _better(values, problem, lower, witness, x, s)
        if effort.is_over():
            break
    left = effort.points - effort.spent
    if 0.0 < left < math.inf and effort.left() > 0.0:  # the combinations have ended before the effort
        s = best_combination(values, problem, witness)
        of_values = Effort(values, left, effort.left())
        _, x = search(values, problem.along(s), effort=of_values, seed=seed + ROUNDS, starts=[witness])
        lower, witness = _better(values, problem, lower, witness, x, s)
    return lower, witness


def _better(
    values: Network, problem: Problem, lower: float, witness: Array, x: Array, s: Array
) -> tuple[float, Array]:
    """The better of what is attained at the witness and at x, along s or the best combination there."""
    for combination in (s, best_combination(values, problem, x)):
        lower, witness = max((lower, witness), (attained_along(values, problem, x, combination), x), key=_first)
    return lower, witness


def _is_known(s: Array, tried: Sequence[Array]) -> bool:
    return any(np.allclose(s, other) or np.allclose(s, -other) for other in tried)


def _samples(net: Network, problem: Problem, seed: int) -> list[Array]:
    """Points of the domain, or about 0 at several distances."""
    random, domain = np.random.default_rng(seed), problem.domain
    far = np.geomspace(0.1, FAR, SAMPLES)[:, None]
    steps = random.uniform(-1.0, 1.0, (SAMPLES, net.widths[0]))
    if not domain.is_bounded:
        return list(far * steps)
    return [domain.into(x) for x in domain.center + domain.radius * steps]


def _candidates(
    values: Network, problem: Problem, points: list[Array], effort: Effort
) -> list[tuple[Array, Array]]:
    """(s, x) of the points and the best combinations there, the longest gradients first, as far as effort goes."""
    found: list[tuple[float, Array, Array]] = []
    for x in points:
        if found and (effort.is_over() or effort.spent > 0.2 * effort.points):
            break
        effort.spend(len(problem.coefficients))
        s = best_combination(values, problem, x)
        found.append((_value(values, problem, x, s), s, x))
    return [(s, x) for _, s, x in sorted(found, key=lambda each: -each[0])]


def _value(values: Network, problem: Problem, x: Array, s: Array) -> float:
    """About what s . f attains at x over the norm of s."""
    g = graph.gradients(values.layers, x, s)[problem.directions_of(len(x))]
    value = float(lengths(g, DUAL[problem.norm]) / lengths(s, DUAL[problem.output_norm]))
    return value if math.isfinite(value) else 0.0


def _first(pair: tuple[float, Array]) -> float:
    return pair[0]


def best_combination(values: Network, problem: Problem, x: Array) -> Array:
    """s (m,) of norm about 1 in the norm dual to `output_norm` whose J^T s is long, J the formal Jacobian at x."""
    J = np.asarray(graph.pull_back(values.layers, graph.masks(values.layers[:-1], x), np.eye(values.widths[-1])))
    J = J[:, problem.directions_of(len(x))]
    if not (np.isfinite(J).all() and J.any()):
        return np.eye(len(J))[0]
    J = J / np.abs(J).max()  # products of its entries are in range then
    if problem.norm == problem.output_norm == 2:
        return np.asarray(np.linalg.svd(J, full_matrices=False)[0][:, 0])
    best, longest = np.eye(len(J))[0], -1.0
    of_rows = lengths(J, DUAL[problem.norm])
    for start in (np.eye(len(J))[int(np.argmax(of_rows))], np.linalg.svd(J, full_matrices=False)[0][:, 0]):
        s = aligned(start, DUAL[problem.output_norm])
        for _ in range(TURNS):
            before, s = s, aligned(J @ aligned(J.T @ s, problem.norm), DUAL[problem.output_norm])
            if np.array_equal(s, before):  # as every turn after it
                break
        if (found := float(lengths(J.T @ s, DUAL[problem.norm]))) > longest:
            best, longest = s, found
    return best


def aligned(direction: Array, norm: Norm) -> Array:
    """The vector of norm about 1 whose product with `direction` (n,) is largest."""
    if norm == "inf":
        return np.where(direction < 0, -1.0, 1.0)
    if norm == 2:
        largest = np.abs(direction).max()
        if not largest > 0:
            return np.eye(len(direction))[0]
        direction = direction / largest  # whose squares are in range
        return direction / np.linalg.norm(direction)
    if norm == 1:
        k = int(np.argmax(np.abs(direction)))
        return np.eye(len(direction))[k] * (1.0 if direction[k] >= 0 else -1.0)
    raise unknown_norm(norm)
