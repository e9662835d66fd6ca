"""The search for slopes that make linear bounds tight. Steering only: `linear.py` proves, whatever comes out here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from ... import graph
from ...arithmetic.float64 import Array
from ...network import Network
from ...problem import Problem
from ...text import shown
from ..interval import Pair
from ..linear import layer_bounds, work_of
from .targets import Targets

METHODS = ("interval", "linear", "lp", "split")
# Inputs and neurons up to a target's layer for which HiGHS solves the relaxation, a program per target: the ascent ends
# near its value, HiGHS at it.
HIGHS_SIZE = 200
# Of a neuron's upper bound, how far from 0 its lower one may be by rounding.
NEAR = 2.0**-40
# Multiplications of one backward pass for all targets of all layers: beyond these a method is not cheap.
LP_WORK, LINEAR_WORK = 2e9, 2e11


def pick_method(net: Network, problem: Problem) -> str:
    """ "interval", "linear" or "lp": the tightest bounds that are cheap at this size.

    "interval" for a global problem, which has no bounds, and at depth 1, where it is exact; but a largest value has an
    output besides, whose bounds are a few milliseconds' work and decide most questions of `certify`.
    """
    if not problem.is_local or (net.depth <= 1 and problem.quantity != "maximum"):
        return "interval"
    if net.depth <= 1:
        return "linear"
    work = pass_work(net)
    return "lp" if work <= LP_WORK and net.is_chain else "linear" if work <= LINEAR_WORK else "interval"


def pass_work(net: Network) -> int:
    """Multiplications of one backward pass for all targets of all layers."""
    if not net.is_chain:
        return work_of(net)
    work, before = 0, 0
    for k in range(1, net.depth):
        before += net.widths[k] * net.widths[k - 1]
        work += 2 * net.widths[k + 1] * before
    return work


def find_slopes(
    net: Network, problem: Problem, method: str, seconds: float | None = None, seed: int = 0
) -> dict[tuple[int, int], Array]:
    """Slopes for `preactivation_bounds`: (l, k) -> float64 (2, p_l, p_k).

    Args:
        net: the network.
        problem: a local problem.
        method: "interval": none. "linear": per target the best of a few rules. "lp": tightened towards the
            optimum of Planet's relaxation, which slopes attain: exactly (HiGHS) for small sizes and
            boxes, else by projected gradient ascent. Only neurons that "linear" leaves undecided are tightened.
            "split": those of parts of the domain besides (parts.py), in chains.
        seconds: when to stop tightening (the ascent ends the round it is in); None: no limit.
        seed: of the ascent's start.

    Raises:
        ValueError: an unknown method, a global problem, or bounds that overflow float64.
    """
    if method not in METHODS:
        raise ValueError(f"bounds must be one of {', '.join(METHODS)}, but {shown(method)} was given")
    end = None if seconds is None else time.monotonic() + seconds
    bounds: list[Pair] = []
    result: dict[tuple[int, int], Array] = {}
    if method == "interval":
        return result
    hidden = len(net.layers) - 1
    for l in range(1, hidden + 1):
        if not graph.sources(net.layers, l):  # affine in x, so that nothing is to be chosen
            bounds = [*bounds, layer_bounds(net, problem, l, bounds, None)]
            continue
        steady = _steady(bounds)
        targets = Targets.of_layer(net, problem, l, steady)
        slopes = _settled(_by_rule(targets), bounds)
        pair = _bounds_with(net, problem, l, bounds, slopes)
        parts = None
        if method in ("lp", "split"):
            undecided = (pair[0] < 0) & (pair[1] > 0)
            slopes = _tightened(targets, slopes, np.tile(undecided, 2), _share(end, hidden + 1 - l), seed)
            slopes = _settled(slopes, bounds)
            pair = _bounds_with(net, problem, l, bounds, slopes)
        if method == "split" and net.is_chain:
            from .parts import find_parts

            parts = _settled_parts(find_parts(net, problem, l, steady, pair, _share(end, hidden + 1 - l)), bounds)
            pair = _bounds_with(net, problem, l, bounds, slopes, parts)
        result |= {(l, k): values.reshape(2, net.widths[l], -1) for k, values in slopes.items()}
        result |= {} if parts is None else {(l, 0): parts}
        bounds = [*bounds, pair]
    return result


def find_output_slopes(
    net: Network,
    problem: Problem,
    bounds: Sequence[Pair],
    method: str,
    seconds: float | None = None,
    seed: int = 0,
) -> dict[int, Array] | None:
    """Slopes for `output_range` with these proved bounds: k -> float64 (2, p_k); None for method "interval".

    Raises:
        ValueError: an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"bounds must be one of {', '.join(METHODS)}, but {shown(method)} was given")
    if method == "interval":
        return None
    end = None if seconds is None else time.monotonic() + seconds
    with np.errstate(all="ignore"):
        targets = Targets.of_output(net, problem, _steady(bounds))
    slopes = _by_rule(targets)
    if method in ("lp", "split"):
        slopes = _tightened(targets, slopes, np.ones(2, dtype=bool), end, seed)
    return _settled(slopes, bounds)


def _near(pair: Pair) -> Array:
    """Neurons whose lower bound is 0 but for rounding: always on in one arithmetic, not in another."""
    low, high = pair
    near: Array = (np.abs(low) <= NEAR * high) & (high > 0)
    return near


def _steady(bounds: Sequence[Pair]) -> list[Pair]:
    """The bounds, those neurons always on: whoever verifies then finds the same, whether or not they are for him."""
    return [(np.where(_near(pair), np.maximum(pair[0], 0.0), pair[0]), pair[1]) for pair in bounds]


def _settled(slopes: Mapping[int, Array], bounds: Sequence[Pair]) -> dict[int, Array]:
    """The slopes with those neurons' 1, what a neuron's that is always on is."""
    return {k: np.where(_near(bounds[k - 1]), 1.0, values) for k, values in slopes.items()}


def _settled_parts(parts: Array | None, bounds: Sequence[Pair]) -> Array | None:
    """The same of parts of a chain."""
    if parts is None:
        return None
    near = np.concatenate([_near(pair) for pair in bounds])
    out, width = parts.copy(), len(near)
    open_ = parts[:, 1 : 1 + width] == 0
    out[:, 1 + width :] = np.where(open_ & near, 1.0, parts[:, 1 + width :])
    return out


def _bounds_with(
    net: Network, problem: Problem, l: int, bounds: Sequence[Pair], slopes: Mapping[int, Array],
    parts: Array | None = None,
) -> Pair:  # fmt: skip
    split = {k: values.reshape(2, net.widths[l], -1) for k, values in slopes.items()}
    split |= {} if parts is None else {0: parts}
    return layer_bounds(net, problem, l, bounds, split)


def _share(end: float | None, parts: int) -> float | None:
    """When to stop if what is left until `end` is for `parts` layers."""
    now = time.monotonic()
    return None if end is None else now + max(0.0, end - now) / parts


def _by_rule(targets: Targets) -> dict[int, Array]:
    """Per target the best of four rules: CROWN's (x >= z if h > -l, else x >= 0), x >= 0, x >= z, the upper slope."""
    n = targets.count
    rules: list[dict[int, Array]] = [{}, {}, {}, {}]
    with np.errstate(all="ignore"):
        for k in targets.layers:
            low, high = targets.bounds[k - 1]
            unstable = (low < 0) & (high > 0)
            parallel = np.where(unstable, high / (high - low), 0.0)
            lines = (high > -low, np.zeros(len(low)), np.ones(len(low)), np.nan_to_num(parallel, nan=0.0))
            for rule, line in zip(rules, lines, strict=True):
                rule[k] = np.broadcast_to(np.asarray(line, dtype=np.float64), (n, len(low)))
    best, value = rules[0], targets.values(rules[0])
    for rule in rules[1:]:
        best, value = better(best, value, rule, targets.values(rule))
    return best


def better(
    a: Mapping[int, Array], value_a: Array, b: Mapping[int, Array], value_b: Array
) -> tuple[dict[int, Array], Array]:
    """Per target the slopes of the larger value, and that value."""
    first = ~(value_b > value_a)
    return {k: np.where(first[:, None], a[k], b[k]) for k in a}, np.where(first, value_a, value_b)


def _tightened(
    targets: Targets, slopes: dict[int, Array], which: Array, end: float | None, seed: int
) -> dict[int, Array]:
    """`slopes` with those of the targets `which` improved until `end`."""
    some = np.flatnonzero(which)
    if not len(some) or not any(((low < 0) & (high > 0)).any() for low, high in targets.bounds):
        return slopes
    if end is not None and time.monotonic() >= end:
        return slopes
    if not targets.net.is_chain:  # both ways of tightening walk chains
        return slopes
    part, start = targets.chosen(some), {k: values[some] for k, values in slopes.items()}
    size = sum(targets.net.widths[: len(targets.bounds) + 1])
    if targets.problem.domain.shape == "inf" and size <= HIGHS_SIZE:
        from .lp import planet_slopes

        found = planet_slopes(part, start, end)
    else:
        from .ascent import ascend

        found = ascend(part, start, end, seed)
    best, _ = better(start, part.values(start), found, part.values(found))
    result = {k: np.array(values) for k, values in slopes.items()}
    for k, values in best.items():
        result[k][some] = values
    return result
