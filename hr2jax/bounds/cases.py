"""Constants case by case: a tree of signs of pre-activations, each of whose leaves is bounded or empty.

Each inner node of the tree cuts what it stands for in two: where a neuron's z >= 0, and where z <= 0. So the leaves'
*cases* cover the domain, whatever the tree is, and the largest of their constants is the domain's.

* A case is *empty* if backward linear bounds (linear.py) prove 0 > 0 in it: with the target 0, and what signs add.
* Otherwise the interval Jacobian bounds its constant, the masks of neurons with a sign being known. If that is 0 they
  may be anything: almost everywhere z is not 0 or does not move (docs/theory/cases.md).

Of a global constant there is a tree for each face of a box (faces.py), one behind the other.

A tree is an int64 vector, its nodes in preorder: the number of the neuron that a node is cut at, behind which come all
nodes where that is on and then all where it is off; LEAF; or EMPTY. Neurons are numbered through all layers that the
output depends on by activations, one layer behind the other. Each empty leaf has a row of float64, as a part in
splits.py has: a slope in [0, 1] for each neuron without a sign, else b >= 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure, pieces
from ..arithmetic.float64 import Array
from ..arithmetic.norms import mixed_norm, vector_norm
from ..layer import Layer
from ..network import Network
from ..problem import Problem
from .interval import Pair
from .jacobian import Masks, of_output
from .linear import backward, per_layer
from .members import ends_of, sum_up
from .spans import masked, pulled, size_of, times, total
from .vanishing import vanishing

CASES = "cases"
TREE, SLOPES = f"{CASES}/tree", f"{CASES}/slopes"
LEAF, EMPTY = -1, -2
# What verifying a tree may take, some seconds and a few hundred megabytes, as a small file can say millions of nodes:
# nodes, signs of all of them, and multiplications of intervals.
MOST_NODES, MOST_SIGNS, MOST_WORK = 2**18, 2**27, 2**34
# Numbers that an array takes of many cases at once.
TOGETHER = 2**22


class Cases(NamedTuple):
    """The leaves of a tree.

    Attributes:
        signs: (n, w) int8 of those that are bounded: 1, -1, or 0 for none.
        empty: (e, w) likewise.
        slopes: (e, w) float64 of the empty ones.
    """

    signs: Array
    empty: Array
    slopes: Array


def decode(tree: Array, slopes: Array, width: int) -> Cases:
    """What a tree of `width` neurons says.

    Raises:
        ValueError: arrays that are not as said.
    """
    return decode_all(tree, slopes, width, 1)[0]


def decode_all(tree: Array, slopes: Array, width: int, count: int) -> list[Cases]:
    """What `count` trees of `width` neurons, one behind the other, say; their slopes are so, too.

    Raises:
        ValueError: arrays that are not as said.
    """
    if tree.dtype != np.int64 or tree.ndim != 1 or not 0 < len(tree) <= MOST_NODES:
        raise ValueError(f"a tree of cases must be a vector of at most {MOST_NODES} int64 nodes")
    if not width:
        raise ValueError("cases are told by neurons with an activation, but the output depends on none")
    if len(tree) * width > MOST_SIGNS:
        raise ValueError(f"{len(tree)} cases of {width} neurons have more than {MOST_SIGNS} signs")
    if not ((tree >= EMPTY) & (tree < width)).all():
        raise ValueError(f"a tree's nodes must be neurons, of which there are {width}, {LEAF} or {EMPTY}")
    nodes = iter(tree.tolist())
    leaves = [_grown(nodes, width) for _ in range(count)]
    if next(nodes, None) is not None:
        raise ValueError("a tree of cases must end with its last leaf")
    ends = np.cumsum([len(empty) for _, empty in leaves])
    if slopes.dtype != np.float64 or slopes.shape != (ends[-1], width) or not np.isfinite(slopes).all():
        wanted = int(ends[-1]), width
        raise ValueError(f"slopes of empty cases must be finite float64 of shape {wanted}, not {slopes.shape}")
    return [
        Cases(signs, empty, np.where(empty == 0, np.clip(own, 0.0, 1.0), np.maximum(own, 0.0)))
        for (signs, empty), own in zip(leaves, np.split(slopes, ends[:-1]), strict=True)
    ]


def _grown(nodes: Iterator[int], width: int) -> tuple[Array, Array]:
    """The signs of the bounded leaves and of the empty ones of the next tree.

    Raises:
        ValueError: it has no end, or two signs of a neuron on one way.
    """
    leaves: dict[int, list[Array]] = {LEAF: [], EMPTY: []}
    ahead = [np.zeros(width, dtype=np.int8)]
    while ahead:
        node = next(nodes, None)
        if node is None:
            raise ValueError("a tree of cases has fewer leaves than its nodes need")
        signs = ahead.pop()
        if node < 0:
            leaves[node].append(signs)
        elif signs[node]:
            raise ValueError(f"a tree of cases must not cut at a neuron, {node}, that has a sign")
        else:
            on, off = signs, signs.copy()
            on[node], off[node] = 1, -1
            ahead += [off, on]
    bounded, empty = (np.array(leaves[kind], dtype=np.int8).reshape(-1, width) for kind in (LEAF, EMPTY))
    return bounded, empty


def width_of(net: Network) -> int:
    """w, how many neurons there are whose signs tell cases."""
    return sum(net.widths[k] for k in graph.sources(net.layers))


def work_of_case(net: Network, problem: Problem, free: Array) -> int:
    """Multiplications of intervals for the Jacobians of a case, of either way: `free` as in `cases_constant`."""
    entries = sum(math.prod(A.shape) for layer in net.layers for A in layer.inputs.values())
    return entries * (len(free) + len(np.atleast_2d(problem.coefficients)))


def is_for(net: Network, problem: Problem) -> bool:
    """Whether there are cases: of constants of piecewise linear networks; of global ones on faces (faces.py)."""
    return problem.quantity == "lipschitz" and not net.smooth


def cases_constant(
    net: Network, problem: Problem, free: Array, on: Masks, off: Masks, bounds: list[Pair] | None, tree: Array,
    slopes: Array, arithmetic: type[Enclosure] = Enclosure,
) -> float:  # fmt: skip
    """The largest bound of a tree's cases, rounded up.

    Args:
        net: the network.
        problem: a local problem.
        free: (q,) indices of the inputs along which t points.
        on, off: per hidden layer (p,) bool: neurons whose mask is 1, or 0, everywhere on the domain.
        bounds: of every hidden layer, proved; None of a global problem.
        tree, slopes: see above.
        arithmetic: the arithmetic that proves the bound.

    Raises:
        ValueError: another problem, arrays that are not as said, or a case that is not proved to be empty.
    """
    if bounds is None or not problem.is_local or not is_for(net, problem):
        raise ValueError("cases are for local Lipschitz constants of piecewise linear networks")
    if np.size(tree) * work_of_case(net, problem, free) > MOST_WORK:
        raise ValueError(f"{np.size(tree)} cases of this network take more than {MOST_WORK} multiplications")
    return constant_of(net, problem, free, on, off, bounds, decode(tree, slopes, width_of(net)), arithmetic)


def constant_of(
    net: Network, problem: Problem, free: Array, on: Masks, off: Masks, bounds: list[Pair], found: Cases,
    arithmetic: type[Enclosure] = Enclosure, inputs: int | None = None,
) -> float:  # fmt: skip
    """`cases_constant` of decoded cases; `inputs`: on a face of the cone, how many inputs x has (vanishing.py).

    Raises:
        ValueError: a case that is not proved to be empty.
    """
    is_empty = emptiness(net, problem, bounds, found.empty, found.slopes, arithmetic) > 0.0
    if inputs is not None:
        left = np.flatnonzero(~is_empty)
        for some in pieces((len(left), sum(net.widths)), TOGETHER):
            own = left[some]
            is_empty[own] = vanishing(net, inputs, bounds, found.empty[own], found.slopes[own], arithmetic)
    if not is_empty.all():
        raise ValueError("a case cannot be proved to be empty")
    if not len(found.signs):
        raise ValueError("a tree of cases must have one that is not empty")
    return float(case_bounds(net, problem, free, on, off, found.signs, arithmetic).max())


def emptiness(
    net: Network, problem: Problem, bounds: list[Pair], signs: Array, slopes: Array,
    arithmetic: type[Enclosure] = Enclosure,
) -> Array:  # fmt: skip
    """(n,) float64 at or below 0 in each case (n, w): above 0 where there is no such x."""
    out, ends = np.empty(len(signs)), [k for k in net.layers[-1].inputs if k]
    for some in pieces((len(signs), sum(net.widths)), TOGETHER):
        n = len(signs[some])
        zero, shift = {k: arithmetic(np.zeros((n, net.widths[k]))) for k in ends}, arithmetic(np.zeros(n))
        said, lines = (per_layer(net, len(net.layers), values[some]) for values in (signs, slopes))
        out[some] = backward(net, problem, zero, shift, bounds, lines, arithmetic, said)
    return out


def case_bounds(
    net: Network, problem: Problem, free: Array, on: Masks, off: Masks, signs: Array,
    arithmetic: type[Enclosure] = Enclosure,
) -> Array:  # fmt: skip
    """(n,) bounds of the constants of cases (n, w); the arguments are those of `cases_constant`."""
    out, widest = np.empty(len(signs)), max(len(net.widths), *net.widths)
    for some in pieces((len(signs), widest * (len(free) + len(np.atleast_2d(problem.coefficients)))), TOGETHER):
        low, high = interval_jacobians(net, problem, free, *case_masks(net, on, off, signs[some]), arithmetic)
        size, middle = size_of((low, high)), 0.5 * (low + high)
        with np.errstate(all="ignore"):
            half = np.maximum((arithmetic(high) - middle).upper(), (arithmetic(middle) - low).upper())
        out[some] = [
            _norm(problem, s, m, h, arithmetic) for s, m, h in zip(size, middle, np.maximum(half, 0.0), strict=True)
        ]
    return out


def _norm(problem: Problem, size: Array, middle: Array, half: Array, arithmetic: type[Enclosure]) -> float:
    """A bound of the operator norms of matrices (m, q) between middle - half and middle + half, `size` the largest."""
    if not problem.is_vector:
        return vector_norm(size[0], problem.norm, arithmetic)
    norms = problem.norm, problem.output_norm
    whole = mixed_norm(size, *norms, arithmetic)
    if not np.isfinite(middle).all():
        return whole
    return min(whole, float(sum_up([mixed_norm(middle, *norms, arithmetic), mixed_norm(half, *norms, arithmetic)])))


def case_masks(net: Network, on: Masks, off: Masks, signs: Array) -> tuple[list[Array], list[Array]]:
    """Per hidden layer (p, n) bool: `on` and `off` in each case, whose signs tell masks that are open on the domain."""
    said = per_layer(net, len(net.layers), signs)
    ons, offs = [], []
    for l, (always, never) in enumerate(zip(on, off, strict=True), 1):
        own = said[l].T if l in said else np.zeros((len(always), len(signs)), dtype=np.int8)
        own = np.where((always | never)[:, None], 0, own)
        ons.append(always[:, None] | (own > 0))
        offs.append(never[:, None] | (own < 0))
    return ons, offs


def interval_jacobians(
    net: Network, problem: Problem, free: Array, on: Masks, off: Masks, arithmetic: type[Enclosure] = Enclosure
) -> Pair:
    """(n, m, q) intervals of the Jacobians for masks (p, n): what the ways from the outputs and from the inputs allow.

    Of m values, one of one value, along the q inputs `free`. Cases stand beside each other in the walks' columns.
    """
    count, last = on[0].shape[1], len(net.layers)

    def behind(l: int, layer: Layer, value: Pair) -> Pair:
        """Behind the masks."""
        low, high = (end.reshape(len(end), count, -1) for end in value)
        low, high = masked((low, high), on[l - 1], off[l - 1], layer)
        return low.reshape(len(low), -1), high.reshape(len(high), -1)

    def of_each(value: Pair) -> Pair:
        return np.tile(value[0], (1, count)), np.tile(value[1], (1, count))

    def down(l: int, layer: Layer, above: graph.Pairs) -> Pair:
        return behind(l, layer, pulled(above, arithmetic))

    def up(l: int, layer: Layer, below: graph.Pairs) -> Pair:
        if l == last:
            parts = [(of_output(A, J, problem, free, arithmetic), J is None) for A, J in below]
            return total((of_each(value) if is_same else value for value, is_same in parts), arithmetic)
        # x itself is None, whose Jacobian is the identity of the free inputs
        own = (of_each(ends_of(A[:, free])) if J is None else times(A, J, arithmetic) for A, J in below)
        return behind(l, layer, total(own, arithmetic))

    coefficients = np.tile(np.atleast_2d(problem.coefficients).T, (1, count))
    above = graph.backward(net.enclosed, (coefficients, coefficients), down)
    g = pulled([(A[:, free], a) for A, a in above], arithmetic)
    back = [end.reshape(len(free), count, -1).transpose(1, 2, 0) for end in g]
    forward = [end.reshape(len(end), count, -1).transpose(1, 0, 2) for end in graph.forward(net.enclosed, None, up)]
    return np.maximum(back[0], forward[0]), np.minimum(back[1], forward[1])
