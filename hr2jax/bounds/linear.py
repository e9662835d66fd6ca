"""Backward linear bounds (CROWN): each ReLU between two lines, their slopes given, every rounding accounted for.

On l <= z <= h with l < 0 < h, ReLU(z) lies above a z for any a in [0, 1], and below s z + max(-s l, h - s h) for
any s in [0, 1] (s = h / (h - l) makes both terms equal). A target row . x_{l-1} + shift is bounded below by
replacing every neuron, from the last layer to the first, by the line that its coefficient's sign asks for.
H. Zhang et al., *Efficient neural network robustness certification with general activation functions*, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure, TooLargeError
from ..arithmetic.float64 import Array
from ..layer import Layer
from ..network import Network
from ..problem import Problem
from .interval import Pair, finite, first_layer, interval_step

Slopes = Mapping[tuple[int, int], Array]


def preactivation_bounds(
    net: Network,
    problem: Problem,
    slopes: Slopes | None = None,
    arithmetic: type[Enclosure] = Enclosure,
) -> list[Pair]:
    """[(l_1, h_1), ..., (l_L, h_L)], float64 (p_l,) each: l_l <= z_l <= h_l on the whole domain.

    Interval propagation, and for the layers l that `slopes` has the backward linear bound, entry by entry the
    better of the two. Each layer uses the bounds already proved of the earlier ones.

    Args:
        net: the network.
        problem: a local problem.
        slopes: at (l, k), 1 <= k < l <= L, the float64 (2, p_l, p_k) slopes of the lower lines of layer k's
            neurons in the lower ([0]) and the upper ([1]) bound of each neuron of layer l. Clipped to
            [0, 1]; any of them prove a valid bound. A layer l has all its keys or none.
        arithmetic: the arithmetic that proves the bounds.

    Raises:
        ValueError: a global problem, bounds that overflow float64, or slopes that are not as said.
    """
    by_layer = checked_slopes(net, slopes or {})
    bounds = [first_layer(net, problem, arithmetic)]
    for layer in range(2, net.depth + 1):
        bounds.append(layer_bounds(net, problem, layer, bounds, by_layer.get(layer), arithmetic))
    return bounds


def layer_bounds(
    net: Network,
    problem: Problem,
    layer: int,
    bounds: Sequence[Pair],
    slopes: Mapping[int, Array] | None,
    arithmetic: type[Enclosure] = Enclosure,
) -> Pair:
    """(l, h) of hidden layer `layer` >= 2 from the earlier layers' `bounds` and its slopes by layer, (2, p_l, p_k)."""
    A, b = net.weights[layer - 1], net.biases[layer - 1]
    low, high = finite(interval_step(A, b, bounds[layer - 2], arithmetic), layer)
    if slopes is None:
        return low, high
    both = backward(
        net,
        problem,
        arithmetic(np.concatenate([A, -A])),
        arithmetic(np.concatenate([b, -b])),
        bounds[: layer - 1],
        {k: np.concatenate(list(values)) for k, values in slopes.items()},
        arithmetic,
    )
    return np.maximum(low, both[: len(low)]), np.minimum(high, -both[len(low) :])


def output_range(
    net: Network,
    problem: Problem,
    slopes_out: Mapping[int, Array] | None = None,
    bounds: Sequence[Pair] | None = None,
    arithmetic: type[Enclosure] = Enclosure,
) -> tuple[float, float]:
    """(lo, hi) with lo <= coefficients . F(x) <= hi for every x of the domain.

    Args:
        net: the network.
        problem: a local problem.
        slopes_out: at k = 1..L the (2, p_k) slopes of layer k's lower lines in the lower ([0]) and the upper
            ([1]) bound; None: interval propagation from the last layer only.
        bounds: proved pre-activation bounds of every hidden layer; None: by interval propagation.
        arithmetic: the arithmetic that proves the range.

    Raises:
        ValueError: a global problem, slopes that are not as said, or a range that overflows float64.
    """
    if bounds is None:
        bounds = preactivation_bounds(net, problem, None, arithmetic)
    if slopes_out is not None:
        slopes_out = {k: _checked(slopes_out, k, (2, net.widths[k])) for k in _all_keys(slopes_out, net.depth)}
    with np.errstate(all="ignore"):
        row = (arithmetic(problem.coefficients[None]) @ net.weights[-1])[0]
        shift = (arithmetic(problem.coefficients[None]) @ net.biases[-1])[0]
        x_low, x_high = (np.maximum(side, 0.0) for side in bounds[-1])
        ends = []
        for least in (row.lower(), (-row).lower()):  # x >= 0, so the least coefficients make the least value
            ends.append(arithmetic(np.maximum(least, 0.0)) @ x_low + arithmetic(np.minimum(least, 0.0)) @ x_high)
        lo, hi = float((ends[0] + shift).lower()), -float((ends[1] - shift).lower())
        if slopes_out is not None:
            rows, shifts = arithmetic(np.zeros((2, row.shape[0]))), arithmetic(np.zeros(2))
            rows[0], rows[1], shifts[0], shifts[1] = row, -row, shift, -shift
            both = backward(net, problem, rows, shifts, bounds, slopes_out, arithmetic)
            lo, hi = np.fmax(lo, both[0]), np.fmin(hi, -both[1])
    if not (np.isfinite(lo) and np.isfinite(hi)):
        raise TooLargeError("the range of the output overflows float64 on this domain")
    return float(lo), float(hi)


def backward(
    net: Network,
    problem: Problem,
    rows: Enclosure,
    shift: Enclosure,
    bounds: Sequence[Pair],
    slopes: Mapping[int, Array],
    arithmetic: type[Enclosure] = Enclosure,
) -> Array:
    """Lower bounds, float64 (n,), of rows . x_k + shift on the domain; -inf where float64 overflows.

    Args:
        net: the network.
        problem: a local problem.
        rows: (n, p_k) enclosure of the targets' coefficients, k = len(bounds).
        shift: (n,) enclosure.
        bounds: proved bounds of layers 1..k.
        slopes: at each of 1..k, float64 (n, p) in [0, 1]: the lower lines' slopes.
        arithmetic: the arithmetic that proves the bounds.
    """
    domain, value = problem.domain, shift

    def step(k: int, layer: Layer, targets: graph.Pairs) -> Enclosure:
        nonlocal value
        low, high = bounds[k - 1]
        rows = _pulled(targets)
        off = high <= 0
        on = (low >= 0) & ~off
        unstable = ~(on | off)
        upper_slope = np.where(unstable, np.clip(high / (high - low), 0.0, 1.0), 0.0)
        line = arithmetic(upper_slope)
        intercept = np.maximum((line * -low).upper(), (arithmetic(high) - line * high).upper())
        intercept = np.where(unstable, intercept, 0.0)
        # From here on the coefficients are floats; what they miss, times the largest x, goes to the value.
        M, missed = rows.mid, rows.rad
        if missed.any():
            value = value - arithmetic(missed) @ np.where(off, 0.0, np.maximum(high, 0.0))
        above, below = np.where(unstable, np.maximum(M, 0.0), 0.0), np.where(unstable, np.minimum(M, 0.0), 0.0)
        # fl(above * slope) lies in [0, above]: it is above times some slope in [0, 1], with no error.
        upper = arithmetic(below) * upper_slope
        N = np.where(on, M, 0.0) + np.where(unstable, above * slopes[k], 0.0) + upper.mid
        value = value + arithmetic(below) @ intercept
        missed = upper.rad
        if missed.any():
            value = value - arithmetic(missed) @ np.where(unstable, np.maximum(high, -low), 0.0)
        coefficients = arithmetic(N)
        value = value + coefficients @ layer.bias
        return coefficients

    with np.errstate(all="ignore"):
        target = Layer.of_checked({len(bounds): rows}, shift, "identity")
        rows = _pulled(graph.backward([*net.layers[: len(bounds)], target], None, step))
        value = value + rows @ domain.middle(arithmetic)
        value = value - domain.reach(rows.magnitude(), arithmetic)
        bound = value.lower()
    return np.where(np.isfinite(bound), bound, -np.inf)


def _pulled(above: graph.Pairs) -> Enclosure:
    """The coefficients of a layer's values; None stands for the targets themselves, whose rows they are."""
    rows: Enclosure = graph.total(A if coefficients is None else coefficients @ A for A, coefficients in above)
    return rows


def checked_slopes(net: Network, slopes: Slopes) -> dict[int, dict[int, Array]]:
    """The slopes by target layer, then by layer, clipped to [0, 1].

    Raises:
        ValueError: an unknown or a missing key, a wrong shape, or an entry that is not finite.
    """
    pairs = {(l, k) for l in range(2, net.depth + 1) for k in range(1, l)}
    for key in slopes:
        if key not in pairs:
            raise ValueError(f"slopes are for pairs of layers (l, k), 1 <= k < l <= {net.depth}, but {key!r} was given")
    result: dict[int, dict[int, Array]] = {}
    for l in sorted({l for l, _ in slopes}):
        own = {k: values for (target, k), values in slopes.items() if target == l}
        result[l] = {
            k: _checked(own, k, (2, net.widths[l], net.widths[k]), f" of target layer {l}")
            for k in _all_keys(own, l - 1, f" of target layer {l}")
        }
    return result


def _all_keys(slopes: Mapping[int, Array], count: int, where: str = "") -> range:
    if set(slopes) != set(range(1, count + 1)):
        given = sorted(slopes, key=repr)
        raise ValueError(f"slopes{where} are needed for the layers 1..{count}, but {given} were given")
    return range(1, count + 1)


def _checked(slopes: Mapping[int, Any], k: int, shape: tuple[int, ...], where: str = "") -> Array:
    values = np.asarray(slopes[k])
    if values.dtype.kind not in "iuf" or values.shape != shape:
        raise ValueError(
            f"slopes{where} at layer {k} must be numbers of shape {shape}, "
            f"but dtype {values.dtype} and shape {values.shape} were given"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"slopes{where} at layer {k} must be finite, but they contain NaN or infinity")
    return np.clip(values.astype(np.float64), 0.0, 1.0)
