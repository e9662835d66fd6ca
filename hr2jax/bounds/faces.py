"""Global constants case by case: trees of cases on the faces of a box around 0, in the cone that patterns live on.

With tau > 0 the network F(x, tau) = tau f(x / tau) has no biases but a column of tau; it is positively homogeneous,
and its gradient with respect to x is that of f at x / tau. Every ray {s (x, 1) : s > 0} meets a *face* of the box
|x_i| <= r_i, 0 <= tau <= 1: that of tau = 1, or one of x_i = r_i or x_i = -r_i. Signs are the same along a ray, so that
trees whose leaves cover the faces cover all x, and the largest bound of them all is one of f's constant, whatever the
radii r are (docs/theory/cases.md). Where no hidden layer has a bias f is homogeneous itself: tau is left out, and its
face too.

A certificate states the radii, and the trees and their slopes one behind the other, in the order of `faces`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..domain import Box
from ..layer import Layer, dense
from ..network import Network
from ..problem import Problem
from .cases import CASES, MOST_WORK, Cases, constant_of, decode_all, is_for, width_of, work_of_case
from .interval import Pair, finite, interval_step, values_before
from .jacobian import Masks
from .linear import layer_bounds, steepest, work_of

RADII = f"{CASES}/radii"
# Multiplications that take as long as what is done for a face however small its network is, some milliseconds.
WORK_OF_FACE = 2**21


def has_tau(net: Network) -> bool:
    """Whether the cone has a tau: a hidden layer has a bias, or x is one number, whose faces were points without it."""
    is_biased = any(layer.bias.any() or layer.bias_radius is not None for layer in net.layers[:-1])
    return is_biased or net.widths[0] == 1


def homogeneous(net: Network) -> Network:
    """F(x, tau) but for the output's bias: tau is the last input; the network itself where there is none."""
    if not has_tau(net):
        return net
    last = len(net.layers)
    return Network.from_layers([_homogeneous(net, layer, l == last) for l, layer in enumerate(net.layers, 1)])


def _homogeneous(net: Network, layer: Layer, is_last: bool) -> Layer:
    inputs: dict[int, Any] = {k: (A, layer.radii[k]) if k in layer.radii else A for k, A in layer.inputs.items()}
    none, radius = np.zeros(layer.width), None if is_last else layer.bias_radius
    bias = none if is_last else layer.bias
    if 0 in inputs or bias.any() or radius is not None:
        shape = layer.width, net.widths[0]
        mid, rad = (dense(of[0]) if 0 in of else np.zeros(shape) for of in (layer.inputs, layer.radii))
        rad = np.column_stack([rad, none if radius is None else radius])
        mid = np.column_stack([mid, bias])
        inputs[0] = (mid, rad) if rad.any() else mid
    return Layer(inputs, none, layer.activation, layer.parameters)


def count_of(net: Network) -> int:
    """How many faces there are."""
    return 2 * net.widths[0] + has_tau(net)


def faces(net: Network, problem: Problem, radii: Array) -> Iterator[Problem]:
    """The problem on each face: tau = 1 if there is a tau, x_0 = -r_0, x_0 = r_0, x_1 = -r_1, ...

    One after the other: all of them would take the square of the inputs in memory.

    Args:
        net: the network f.
        problem: a global problem; those of the faces are about no directions, which are asked for apart.
        radii: (p_0,) r > 0.
    """
    tau = [1.0] * has_tau(net)
    low, high = np.append(-radii, np.zeros(len(tau))), np.append(radii, tau)
    fixed = [(len(radii), 1.0)] * len(tau) + [(i, end) for i, r in enumerate(radii.tolist()) for end in (-r, r)]
    for i, value in fixed:
        own = np.arange(len(low)) == i
        box = Box(np.where(own, value, low), np.where(own, value, high))
        yield replace(problem, domain=box, directions=None)


def face_bounds(net: Network, problem: Problem, arithmetic: type[Enclosure] = Enclosure) -> list[Pair]:
    """Pre-activation bounds on a face of the homogeneous network: intervals, and lines that need no slopes stated."""
    box, bounds = problem.domain, list[Pair]()
    assert isinstance(box, Box)
    for l, layer in enumerate(net.enclosed[:-1], 1):
        sources = graph.sources(net.layers, l)
        flat = steepest(bounds, sources)
        slopes = {k: np.broadcast_to(a, (2, layer.width, len(a))) for k, a in flat.items()} if sources else None
        low, high = layer_bounds(net, problem, l, bounds, slopes, arithmetic)
        # b tau with b < 0 is 0 at most, exactly: a middle and a half of the same size would leave a rounding of it
        values = {k: values_before(net, k, bounds) if k else (box.low, box.high) for k in layer.inputs}
        own = finite(interval_step([(A, values[k]) for k, A in layer.inputs.items()], layer.bias, None, arithmetic), l)
        bounds.append((np.maximum(low, own[0]), np.minimum(high, own[1])))
    return bounds


def face_masks(bounds: list[Pair]) -> tuple[Masks, Masks]:
    """Per hidden layer (p_l,) bool: z >= 0, and z <= 0, on the whole face, and so on the rays through it.

    Nothing else makes a mask known: x_i is fixed on a face, but derivatives along it count.
    """
    return [low >= 0 for low, _ in bounds], [high <= 0 for _, high in bounds]


def faces_constant(
    net: Network, problem: Problem, free: Array, tree: Array, slopes: Array, radii: Array,
    arithmetic: type[Enclosure] = Enclosure,
) -> float:  # fmt: skip
    """The largest bound of all faces' cases, rounded up.

    Args:
        net: the network.
        problem: a global problem.
        free: (q,) indices of the inputs along which t points.
        tree, slopes: those of all faces, one behind the other (cases.py).
        radii: (p_0,) of the box.
        arithmetic: the arithmetic that proves the bound.

    Raises:
        ValueError: another problem, arrays that are not as said, or a case that is not proved to be empty.
    """
    if problem.is_local or not is_for(net, problem):
        raise ValueError("cases with radii are for global Lipschitz constants of piecewise linear networks")
    if radii.dtype != np.float64 or radii.shape != (net.widths[0],):
        raise ValueError(f"the radii of cases must be {net.widths[0]} float64, one for each input")
    if not (np.isfinite(radii).all() and (radii > 0).all()):
        raise ValueError("the radii of cases must be positive and finite")
    count = count_of(net)
    if np.size(tree) < count:
        raise ValueError(f"{count} trees of cases are needed, one for each face")
    posed = homogeneous(net)
    work = np.size(tree) * work_of_case(posed, problem, free) + count * (work_of(posed) + WORK_OF_FACE)
    if work > MOST_WORK:
        raise ValueError(f"{np.size(tree)} cases of this network take more than {MOST_WORK} multiplications")
    trees = decode_all(tree, slopes, width_of(posed), count)
    return max(
        _constant_on(posed, face, free, found, arithmetic, len(radii))
        for face, found in zip(faces(net, problem, radii), trees, strict=True)
    )


def _constant_on(
    net: Network, face: Problem, free: Array, found: Cases, arithmetic: type[Enclosure], inputs: int
) -> float:
    bounds = face_bounds(net, face, arithmetic)
    return constant_of(net, face, free, *face_masks(bounds), bounds, found, arithmetic, inputs)
