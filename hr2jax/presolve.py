"""Which inputs move, which neurons can switch: what is fixed before any relaxation is built."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .bounds import interval_bounds
from .enclosure import Array, Enclosure, clipped_exponent
from .network import Network
from .problem import LipschitzProblem

# l and h are rounded outward to multiples of 2^-GRID of their neuron's scale: sums, differences and
# halves of them are then exact in float64, so the factors h u + l (1-u) - z carry no rounding error.
GRID = 40


@dataclass(frozen=True)
class Presolve:
    """The neurons and inputs that get variables (one hidden layer).

    A neuron is stable when its sign is known almost everywhere on the domain (l >= 0: always on,
    h <= 0: always off) or when its row vanishes on the free inputs (it cannot change f). Stable
    neurons need no variable (DESIGN section 3).

    Attributes:
        free: (q,) indices of the inputs of positive radius (all of them globally).
        unstable: (n,) indices of the neurons that get a variable v = 2u - 1.
        active: (m,) indices of the neurons whose u is 1.
        low, high: (n,) scaled bounds: 2**exponent * low <= z <= 2**exponent * high on the domain,
            multiples of 2**-40 in [-1, 1]; empty globally.
        exponent: (n,) int64.
    """

    free: Array
    unstable: Array
    active: Array
    low: Array
    high: Array
    exponent: Array


def presolve(
    net: Network,
    problem: LipschitzProblem,
    arithmetic: type[Enclosure] = Enclosure,
    unstable: Array | None = None,
    exponent: Array | None = None,
) -> Presolve:
    """Decide what gets a variable, from bounds proved in `arithmetic`.

    Args:
        net: the network, one hidden layer.
        problem: the problem.
        arithmetic: the arithmetic that proves the bounds.
        unstable: neurons to keep as variables although they may be stable (a certificate's choice, which
            another machine's rounding must not change). Every other neuron must be proved stable.
        exponent: (n,) scales to use for them; must be valid.

    Raises:
        ValueError: if a neuron outside `unstable` cannot be proved stable, or a scale is too small.
    """
    A = net.weights[0]
    free = problem.free_inputs if problem.is_local else np.arange(A.shape[1])
    no_row = ~A[:, free].any(axis=1)
    if not problem.is_local:
        open_ = np.flatnonzero(~no_row)
        kept = open_ if unstable is None else unstable
        _require(np.isin(open_, kept), open_)
        none = np.zeros(0)
        return Presolve(free, kept, np.zeros(0, dtype=np.int64), none, none, none.astype(np.int64))
    low, high = interval_bounds(net, problem, arithmetic)[0]
    on, off = low >= 0, high <= 0
    open_ = np.flatnonzero(~(on | off | no_row))
    kept = open_ if unstable is None else unstable
    _require(np.isin(open_, kept), open_)
    active = np.setdiff1d(np.flatnonzero(on & ~no_row), kept)
    size = np.maximum(np.abs(low[kept]), np.abs(high[kept]))
    smallest = np.frexp(size)[1].astype(np.int64)  # size < 2**smallest
    if exponent is None:
        exponent = smallest
    elif np.shape(exponent) != np.shape(kept):
        raise ValueError(f"{len(kept)} scales are needed, but their shape is {np.shape(exponent)}")
    elif (exponent < smallest).any():
        raise ValueError("a neuron's scale is smaller than its pre-activation bound")
    return Presolve(free, kept, active, -_ceil(-low[kept], exponent), _ceil(high[kept], exponent), exponent)


def _ceil(value: Array, exponent: Array) -> Array:
    """The least multiple of 2**-GRID at or above value / 2**exponent (above 0, one if it underflows)."""
    with np.errstate(under="ignore"):
        steps = np.ceil(np.ldexp(value, clipped_exponent(GRID - exponent)))
    steps = np.where((value > 0) & (steps == 0), 1.0, steps)  # an underflow must not round down
    return np.ldexp(steps, -GRID)


def _require(covered: Array, neurons: Array) -> None:
    if not covered.all():
        raise ValueError(
            f"neuron {int(neurons[~covered][0])} cannot be proved to keep its sign on the domain"
        )
