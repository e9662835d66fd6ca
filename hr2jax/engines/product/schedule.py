"""How many steps and columns a low-rank solve begins with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...relaxation.basis import Lifting


@dataclass(frozen=True)
class Schedule:
    """How hard the method of multipliers works; the numbers were found on SDP-NN and random (p, p) networks.

    Attributes:
        sigma, growth: the penalty (in units where the mean diagonal is 1) and its growth per round; it grows
            only when the inner tolerance was met, or the certificate would get worse (docs/algorithms/lowrank.md).
        bulk_rounds, bulk_steps: rounds that steer, and inner steps of each.
        warm_rounds: how many of those, the last ones, a warm start takes.
        base_rounds: how many of those, the first ones, before cuts are added.
        cut_sigma, pair_growth, triangle_growth: the cuts' own penalty, which starts lower, and its growth.
        pair_rounds, triangle_rounds, cut_steps: rounds that add pairs of factors, then triangles, and inner steps.
        pairs_per_row, triangles_per_row: at most so many new ones in a round, times N.
        finish: the inner tolerance that finishing begins with.
        finish_steps: inner steps of a float64 round.
        finish_rounds: at most this many of those.
        extrapolate: begin each round from multipliers beyond the last ones (Nesterov's momentum on the dual).
    """

    sigma: float = 1.0
    growth: float = 1.4
    bulk_rounds: int = 15
    bulk_steps: int = 60
    warm_rounds: int = 2
    base_rounds: int = 8
    cut_sigma: float = 0.1
    pair_growth: float = 1.3
    triangle_growth: float = 1.1
    pair_rounds: int = 8
    triangle_rounds: int = 12
    cut_steps: int = 80
    pairs_per_row: int = 15
    triangles_per_row: int = 4
    finish: float = 1e-4
    finish_steps: int = 300
    finish_rounds: int = 40
    extrapolate: bool = False


# Up to this size everything runs in float64, in NumPy: to compile it would take longer than to solve it.
SMALL = 400
# Columns of V to begin with, whatever N: networks of nearby sizes then share a compiled program.
RANK = 20
# With cuts the optimum's rank grows with N: columns to begin with, times the square root of N.
CUT_RANK = 3.5


def is_small(size: int) -> bool:
    """Whether a basis of `size` entries is solved without compiling anything."""
    return size <= SMALL


def schedule_for(lifting: Lifting, tolerance: float, cuts: bool = False) -> Schedule:
    """The effort that a problem needs.

    Chains of layers ask for larger multipliers, which are extrapolated besides. Small problems without cuts take half
    the time or less with few rounds, extrapolated, and no more accuracy than was asked for.
    """
    if lifting.masked_layers:
        return Schedule(sigma=10.0, cut_sigma=2.0, bulk_steps=80, extrapolate=True)
    if lifting.size <= SMALL and not cuts:
        return Schedule(bulk_rounds=6, warm_rounds=1, extrapolate=True, finish=min(max(0.3 * tolerance, 1e-4), 3e-4))
    return Schedule() if cuts else Schedule(bulk_rounds=12)


def columns_for(size: int, cuts: bool) -> int:
    """Columns of V to begin with, for a basis of `size` entries."""
    return max(RANK, 8 * -(-int(CUT_RANK * np.sqrt(size)) // 8)) if cuts else RANK
