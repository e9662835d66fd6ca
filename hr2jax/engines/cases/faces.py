"""The search for trees of cases on all faces of a box in the cone (bounds/faces.py), that of the largest bound next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ... import graph
from ...arithmetic.float64 import Array
from ...bounds.cases import SLOPES, TREE
from ...bounds.faces import RADII, face_bounds, face_masks, faces, has_tau, homogeneous
from ...layer import dense
from ...network import Network
from ...problem import Problem
from .search import Search

# Of the distances from 0 to the planes where first neurons bend, in units of their largest: the box.
FACTOR = 3.0
# Nodes that a face may add before others are looked at again.
CHUNK = 50


def radii_of(net: Network) -> Array:
    """(p_0,) float64 > 0: a box around 0 that bends are inside of, each input in units of what it contributes."""
    rows, shifts = [np.zeros((0, net.widths[0]))], [np.zeros(0)]
    for layer in net.layers[:-1]:
        if 0 in layer.inputs:
            rows.append(dense(layer.inputs[0]))
            shifts.append(layer.bias)
    with np.errstate(all="ignore"):
        A = np.concatenate(rows)
        size = np.abs(A / np.abs(A).max(initial=0.0)).sum(axis=0)
        size = np.where(size > 0, size / size.max(), 1.0)
        far = np.abs(np.concatenate(shifts)) / np.linalg.norm(A / size, axis=1)
        far = far[np.isfinite(far) & (far > 0)]
        radii = FACTOR * (far.max() if len(far) else 1.0) / size
    return radii if np.isfinite(radii).all() and (radii > 0).all() else np.ones(net.widths[0])


class FaceSearch:
    """A tree of cases for each face, and what comes next.

    Args:
        net: piecewise linear.
        problem: global.
        free: as `faces_constant` takes them.
        points: (k, p_0) points that are known.

    Attributes:
        radii: of the box.
        on: the searches, in the order of `faces`.
    """

    def __init__(self, net: Network, problem: Problem, free: Array, points: Array):
        self.net, self.problem, self.free = net, problem, free
        self.radii, tau = radii_of(net), [1.0] * has_tau(net)
        posed = homogeneous(net)
        rays = np.column_stack([points, np.ones((len(points), len(tau)))])
        with np.errstate(all="ignore"):
            rays /= np.abs(rays / np.append(self.radii, tau)).max(axis=1, keepdims=True)
        self.on: list[Search] = []
        for face in faces(net, problem, self.radii):
            i, bounds = int(np.flatnonzero(face.domain.radius == 0)[0]), face_bounds(posed, face)
            own = rays[np.isclose(rays[:, i], face.domain.center[i], 1e-9, 0.0)]
            self.on.append(Search(posed, face, free, *face_masks(bounds), bounds, own, len(self.radii)))

    @property
    def nodes(self) -> int:
        """Of all trees."""
        return sum(search.nodes for search in self.on)

    @property
    def bound(self) -> float:
        """About the largest of the cases' bounds."""
        return max(search.bound for search in self.on)

    @property
    def reached(self) -> float:
        """The largest bound of a case that cannot be lowered."""
        return max(search.reached for search in self.on)

    def run(self, goal: float, most: int, is_over: Callable[[], bool]) -> bool:
        """`Search.run` of all of them."""
        while True:
            first, least = max(self.on, key=lambda search: search.ahead), max(goal, self.reached)
            if first.ahead <= least:
                return True
            left = most - self.nodes
            if left <= 0 or is_over():
                return False
            first.run(least, first.nodes + min(left, CHUNK), is_over)

    def trees(self) -> tuple[Array, Array]:
        """The trees, and the slopes of their empty cases, one behind the other."""
        trees, slopes = zip(*(search.tree() for search in self.on), strict=True)
        return np.concatenate(trees), np.concatenate(slopes)

    def entries(self) -> dict[str, Array]:
        """What a certificate has of them."""
        tree, slopes = self.trees()
        return {TREE: tree, SLOPES: slopes, RADII: self.radii}

    def best(self) -> Array:
        """(p_0,) of the points that were come across, the one of the largest gradient about."""
        n, found = len(self.radii), np.concatenate([search.points for search in self.on])
        x = found[:, :n] / found[:, n:] if found.shape[1] > n else found
        on = [mask[:, None] for mask in graph.masks(self.net.layers[:-1], x)]
        J = graph.pull_back(self.net.layers, on, np.atleast_2d(self.problem.coefficients))[..., self.free]
        best: Array = x[np.abs(J).sum(axis=(1, 2)).argmax()]
        return best
