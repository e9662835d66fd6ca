"""Local search over cells: anneal the pattern on a tether, then a linear program moves the point after it.

The tether charges a switch by the neuron's distance from the point, so that what the annealing asks for
is near; the elastic program finds what of it fits together. Chains on tethers from loose to tight offer
choices from many switches to one. Where no choice is better, the best of the loose ones is taken all the
same, and the search goes on from there: it comes back when that leads nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...arithmetic.float64 import Array
from ..effort import Effort
from .cells import Cells
from .patterns import PatternSearch
from .realise import elastic

STALE_TURNS = 3  # turns without progress before a kick
KICKS = 3  # kicks without progress before the end
KICK = 6  # switches asked for by the first kick; the second asks for twice as many
TRIES = 3  # linear programs a turn
SOFTNESS = (0.1, 0.3, 0.03)


class _Place(NamedTuple):
    value: float
    xi: Array
    tightness: float


def climb(
    cells: Cells, patterns: PatternSearch, xi: Array, random: np.random.Generator, effort: Effort,
    offer: Callable[[Array], float],
) -> Array:  # fmt: skip
    """Improve xi (n,) until KICKS kicks bring nothing or all is spent; the best point found.

    Args:
        cells: the problem.
        patterns: its annealer.
        xi: where to start.
        random: of the annealing.
        effort: what may be spent.
        offer: called with every point better than all before.
    """
    top = here = _Place(float(cells.value(cells.pattern(xi))), xi, 0.03)
    stale, kicks, tried = 0, 0, set[bytes]()
    turn = 0
    while not effort.is_over():
        turn += 1
        found = _turn(cells, patterns, here, random, effort, tried, SOFTNESS[turn % 3], 1)
        best = max(found, key=lambda place: place.value, default=None)
        if best is not None and best.value > here.value * (1 + 1e-9):
            here, stale, tried = best, 0, set()
            if here.value > top.value * (1 + 1e-9):
                top, kicks = here, 0
                offer(top.xi)
            continue
        stale += 1
        here = here._replace(tightness=here.tightness * (0.5 if len(found) < TRIES else 1.5))
        if stale <= STALE_TURNS:
            continue
        if kicks == KICKS:
            break
        kicks += 1
        here, stale, tried = top._replace(tightness=0.03), 0, set()
        found = _turn(cells, patterns, here, random, effort, tried, SOFTNESS[0], KICK * kicks)
        here = max(found, key=lambda place: place.value, default=here)._replace(tightness=0.03)
    return top.xi


def _turn(
    cells: Cells,
    patterns: PatternSearch,
    here: _Place,
    random: np.random.Generator,
    effort: Effort,
    tried: set[bytes],
    softness: float,
    fewest: int,
) -> list[_Place]:
    """Up to TRIES points reached from `here`, after patterns not `tried` before, fewest switches first."""
    z = cells.preactivations(here.xi)
    pattern = (z > 0).astype(np.float64)
    tightness = here.tightness * np.geomspace(1 / 30, 30, patterns.chains)
    wishes = patterns.run(
        np.repeat(pattern[None], patterns.chains, axis=0),
        (2.0 * pattern - 1.0) * np.abs(z) * tightness[:, None] * cells.unit,
        random,
        int(np.clip(25 * len(z), 1000, 10_000)),
        hot=0.06,
    )
    switched = (wishes != pattern).sum(axis=1)
    better = np.flatnonzero((cells.value(wishes) > here.value * (1 + 1e-9)) & (switched >= fewest))
    found = list[_Place]()
    for chain in better[np.argsort(switched[better], kind="stable")]:
        if len(found) == TRIES or effort.is_over():
            break
        name = wishes[chain].astype(bool).tobytes()
        if name in tried:
            continue
        tried.add(name)
        point = elastic(cells, wishes[chain], here.xi, softness=softness, effort=effort)
        if point is not None:
            value = float(cells.value(cells.pattern(point)))
            found.append(_Place(value, point, float(np.sqrt(here.tightness * tightness[chain]))))
    return found
