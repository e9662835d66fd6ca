"""From region to neighbouring region: one neuron switches at a time, where its hyperplane bounds the region.

The gradient beyond a neuron's hyperplane is that of the pattern with the neuron switched. The largest of all such
gradients is looked for first; a least-distance program says whether there is such a region. Where no neighbour is
better, the walk goes on from a few switches away, as often as `KICKS` says without progress.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ... import graph
from ...arithmetic.float64 import Array
from ...network import Network
from ..effort import LEAST_DISTANCE, PROGRAM, Effort
from ..norms import dual_norm
from .regions import NARROW, inner_point, region_rows
from .units import Units

MARGIN = 1e-6  # a region thinner than this, in units of the domain, is not entered
KICKS = 8  # kicks without progress before the end
SWITCHES = (2, 3, 4, 6)  # of a kick, in turn
TRIES = 12  # programs for one step
GAIN = 1e-9  # what gains less is no progress


class Walk:
    """Walks over the regions of one problem.

    Args:
        net: the network.
        units: the problem's units.
        effort: what may be spent.
        offer: called with points x (p_0,) worth proving.
    """

    def __init__(self, net: Network, units: Units, effort: Effort, offer: Callable[[Array], float]):
        self.net, self.units, self.effort, self.offer = net, units, effort, offer
        self.slopes = [layer.slopes for layer in net.layers[:-1]]
        widths = [len(alpha) for alpha, _ in self.slopes]
        self.ends = np.cumsum(widths)[:-1]
        # identities have no sides
        bends = [np.full(n, layer.activation != "identity") for n, layer in zip(widths, net.layers, strict=False)]
        self.bends = np.flatnonzero(np.concatenate(bends))

    def pattern(self, x: Array) -> Array:
        """(neurons,) bool: which neurons are on at x (p_0,)."""
        return np.concatenate([on[0] for on in graph.switches(self.net.layers[:-1], x[None])]).astype(bool)

    def values(self, patterns: Array) -> Array:
        """(k,): the dual norms of the gradients of patterns (k, neurons)."""
        parts = np.split(patterns, self.ends, axis=1)
        masks = [np.where(on, beta, alpha) for on, (alpha, beta) in zip(parts, self.slopes, strict=True)]
        self.effort.spend(0.5 * len(patterns))
        top = np.broadcast_to(self.units.problem.coefficients, (len(patterns), self.net.layers[-1].width))
        gradients = graph.pull_back(self.net.layers, masks, top)
        return dual_norm(gradients[:, self.units.free[self.units.along]], self.units.problem.norm)

    def climb(self, x: Array, random: np.random.Generator) -> None:
        """From x (p_0,), until KICKS kicks in a row bring nothing or all is spent."""
        here = self.pattern(x)
        value = float(self.values(here[None])[0])
        best, top, idle = here, value, 0
        known: dict[bytes, bool] = {}
        while idle < KICKS and not self.effort.is_over():
            step = self._step(here, value, known)
            if step is not None:
                here, value = step
                if value > top * (1 + GAIN):
                    best, top, idle = here, value, 0
                continue
            here, value = self._kick(best, SWITCHES[idle % len(SWITCHES)], random, known)
            idle += 1

    def _neighbours(self, here: Array) -> Array:
        flips = np.repeat(here[None], len(self.bends), axis=0)
        flips[np.arange(len(self.bends)), self.bends] ^= True
        return flips

    def _step(self, here: Array, value: float, known: dict[bytes, bool]) -> tuple[Array, float] | None:
        """The best neighbour that there is, if it is better."""
        flips = self._neighbours(here)
        found = self.values(flips)
        order = np.argsort(-found, kind="stable")[:TRIES]
        for k in order[found[order] > value * (1 + GAIN)]:
            if self._exists(flips[k], known):
                return flips[k], float(found[k])
        return None

    def _kick(
        self, here: Array, switches: int, random: np.random.Generator, known: dict[bytes, bool]
    ) -> tuple[Array, float]:
        """So many steps to neighbours, whatever they are worth."""
        for _ in range(switches):
            flips = self._neighbours(here)
            for k in random.permutation(len(flips))[:TRIES]:
                if self._exists(flips[k], known):
                    here = flips[k]
                    break
        return here, float(self.values(here[None])[0])

    def _exists(self, pattern: Array, known: dict[bytes, bool]) -> bool:
        """Whether a region of this pattern was found; a point of it is offered."""
        name = pattern.tobytes()
        if name not in known:
            G, h = region_rows(self.net, self.units, np.split(pattern, self.ends))
            self.effort.spend_program(len(h), G.shape[1], PROGRAM if G.shape[1] > NARROW else LEAST_DISTANCE)
            xi = inner_point(G, h, self.units, MARGIN) if np.isfinite(G).all() and np.isfinite(h).all() else None
            known[name] = xi is not None
            if xi is not None:
                self.offer(self.units.point(xi))
        return known[name]
