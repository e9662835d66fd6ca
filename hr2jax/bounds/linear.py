"""Backward linear bounds (CROWN): each neuron between two lines, their slopes given, every rounding accounted for.

On l <= z <= h with l < 0 < h, ReLU(z) lies above a z for any a in [0, 1], and below s z + max(-s l, h - s h) for
any s in [0, 1] (s = h / (h - l) makes both terms equal). A target row . x_{l-1} + shift is bounded below by
replacing every neuron, from the last layer to the first, by the line that its coefficient's sign asks for.
A neuron of slopes alpha and beta is alpha z + (beta - alpha) ReLU(z). Bounds of parts of the domain that cover it are
tighter, and their least one is a bound too (splits.py). A smooth neuron lies between two parallel lines
(lines.py), which nobody states; so in a network that has one no slopes are given, and those of the others follow too.
H. Zhang et al., *Efficient neural network robustness certification with general activation functions*, 2018.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure, TooLargeError, enclosed_in
from ..arithmetic.float64 import Array
from ..layer import Layer
from ..network import Network
from ..problem import Problem
from .interval import Pair, layer_interval, value_interval, values_before
from .lines import parallel_lines
from .splits import Parts, decode

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
        slopes: at (l, k), l a hidden layer and k one with an activation from which a way leads to l, the float64
            (2, p_l, p_k) slopes of the lower lines of layer k's neurons in the lower ([0]) and the upper ([1]) bound of
            each neuron of layer l; none of a network with smooth layers, whose linear bounds need none. Clipped to
            [0, 1]; any of them prove a valid bound. A layer l has all its keys or none. At (l, 0), beside these,
            parts of the domain for some of its bounds (splits.py).
        arithmetic: the arithmetic that proves the bounds.

    Raises:
        ValueError: a global problem, bounds that overflow float64, or slopes that are not as said.
    """
    by_layer = checked_slopes(net, slopes or {})
    bounds: list[Pair] = []
    for layer in range(1, len(net.layers)):
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
    """(l, h) of hidden layer `layer` from the earlier layers' `bounds` and its slopes by layer, (2, p_l, p_k)."""
    low, high = layer_interval(net, problem, layer, bounds, arithmetic)
    sources = graph.sources(net.layers, layer)
    if slopes is None and ([*net.layers[layer - 1].inputs] == [0] or (sources and not net.smooth)):
        return low, high
    # by identities, x comes on several ways: their sum is what is to be bounded
    rows, shift = both_ways(net, layer, arithmetic)
    flat = {k: np.concatenate(list(values)) for k, values in (slopes or {}).items() if k}
    if net.smooth:
        flat = steepest(bounds, sources)
    both = backward(net, problem, rows, shift, bounds[: layer - 1], flat, arithmetic)
    if slopes is not None and 0 in slopes:
        parts = parts_of(net, layer, slopes[0])
        own = {k: A[parts.target] for k, A in rows.items()}
        signs, lines = (per_layer(net, layer, values) for values in (parts.signs, parts.slopes))
        least = backward(net, problem, own, shift[parts.target], bounds[: layer - 1], lines, arithmetic, signs)
        numbers, starts = parts.targets
        if len(numbers):
            both[numbers] = np.maximum(both[numbers], np.minimum.reduceat(least, starts))
    return np.maximum(low, both[: len(low)]), np.minimum(high, -both[len(low) :])


def parts_of(net: Network, layer: int, rows: Array) -> Parts:
    """The parts for the bounds of a hidden layer that an array says.

    Raises:
        ValueError: `splits.decode`.
    """
    width = sum(net.widths[k] for k in graph.sources(net.layers, layer))
    return decode(rows, 2 * net.widths[layer], width, f" of target layer {layer}")


def per_layer(net: Network, layer: int, values: Array) -> dict[int, Array]:
    """(n, w) numbers of the neurons of all layers that a layer depends on, by layer."""
    sources = graph.sources(net.layers, layer)
    ends = np.cumsum([net.widths[k] for k in sources])
    return dict(zip(sources, np.split(values, ends[:-1], axis=1), strict=True))


def work_of(net: Network) -> int:
    """Multiplications of one backward pass for all targets of all layers: each walks all layers before it."""
    work, before = 0, 0
    for layer in net.layers[:-1]:
        work += 2 * layer.width * before
        before += sum(int(np.prod(A.shape)) for A in layer.inputs.values())
    return work


def steepest(bounds: Sequence[Pair], sources: Sequence[int]) -> dict[int, Array]:
    """Of the two steepest lines below a ReLU the one with the smaller area under it: their slopes, (p_k,) each."""
    return {k: (bounds[k - 1][1] > -bounds[k - 1][0]).astype(np.float64) for k in sources}


def both_ways(net: Network, l: int, arithmetic: type[Enclosure] = Enclosure) -> tuple[dict[int, Enclosure], Enclosure]:
    """z_l and -z_l as targets of `backward`: rows by layer, and the shift."""
    layer = net.enclosed[l - 1]

    def twice(value: Any) -> Enclosure:
        if not isinstance(value, Enclosure):
            return arithmetic(np.concatenate([value, -value]))
        return arithmetic(np.concatenate([value.mid, -value.mid]), np.concatenate([value.rad, value.rad]))

    return {k: twice(A) for k, A in layer.inputs.items()}, twice(layer.bias)


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
        slopes_out: at each k of `graph.sources` the (2, p_k) slopes of layer k's lower lines in the lower ([0]) and the
            upper ([1]) bound; None: interval propagation from the last layer only, and with smooth layers, whose
            linear bounds need no slopes, the better of the two.
        bounds: proved pre-activation bounds of every hidden layer; None: by interval propagation.
        arithmetic: the arithmetic that proves the range.

    Raises:
        ValueError: a global problem, slopes that are not as said, or a range that overflows float64.
    """
    if bounds is None:
        bounds = preactivation_bounds(net, problem, None, arithmetic)
    if slopes_out is None and net.smooth:
        slopes_out = steepest(bounds, graph.sources(net.layers))
    elif slopes_out is not None:
        wanted = graph.sources(net.layers)
        slopes_out = {k: _checked(slopes_out, k, (2, net.widths[k])) for k in _all_keys(slopes_out, wanted)}
    with np.errstate(all="ignore"):
        rows, shift = combined_output(net, problem, arithmetic)
        ends: list[Enclosure] = []
        for sign in (1, -1):
            parts = []
            for k, row in rows.items():
                signed, values = (row if sign > 0 else -row), values_before(net, k, bounds)
                parts.append(_least(signed, values, problem, arithmetic))
            ends.append(graph.total(parts))
        lo, hi = float((ends[0] + shift).lower()), -float((ends[1] - shift).lower())
        if slopes_out is not None:
            twice, shifts = {}, arithmetic(np.zeros(2))
            for k, row in rows.items():
                twice[k] = arithmetic(np.zeros((2, row.shape[0])))
                twice[k][0], twice[k][1] = row, -row
            shifts[0], shifts[1] = shift, -shift
            both = backward(net, problem, twice, shifts, bounds, slopes_out, arithmetic)
            lo, hi = np.fmax(lo, both[0]), np.fmin(hi, -both[1])
    if not (np.isfinite(lo) and np.isfinite(hi)):
        raise TooLargeError("the range of the output overflows float64 on this domain")
    return float(lo), float(hi)


def combined_output(
    net: Network, problem: Problem, arithmetic: type[Enclosure] = Enclosure
) -> tuple[dict[int, Enclosure], Enclosure]:
    """coefficients . C_k by layer k, (p_k,) each, and coefficients . d."""
    output, c = net.enclosed[-1], arithmetic(problem.coefficients[None])
    return {k: (c @ enclosed_in(arithmetic, C))[0] for k, C in output.inputs.items()}, (c @ output.bias)[0]


def _least(row: Enclosure, values: Pair | None, problem: Problem, arithmetic: type[Enclosure]) -> Enclosure:
    """A number whose lower end is below row . y for y in the intervals; None: for x in the domain."""
    if values is None:
        return row @ problem.domain.middle(arithmetic) - problem.domain.reach(row.magnitude()[None], arithmetic)[0]
    y_low, y_high = values
    positive = y_low >= 0  # there the least coefficients make the least value
    c = np.where(positive, row.lower(), row.mid)
    value = arithmetic(np.maximum(c, 0.0)) @ y_low + arithmetic(np.minimum(c, 0.0)) @ y_high
    missed = np.where(positive, 0.0, row.rad)
    return value - arithmetic(missed) @ np.maximum(np.abs(y_low), np.abs(y_high)) if missed.any() else value


def backward(
    net: Network,
    problem: Problem,
    rows: Mapping[int, Enclosure],
    shift: Enclosure,
    bounds: Sequence[Pair],
    slopes: Mapping[int, Array],
    arithmetic: type[Enclosure] = Enclosure,
    signs: Mapping[int, Array] | None = None,
) -> Array:
    """Lower bounds, float64 (n,), of sum_k rows_k . y_k + shift on the domain; -inf where float64 overflows.

    Args:
        net: the network.
        problem: a local problem.
        rows: by layer k <= len(bounds), ascending, (n, p_k) enclosures of the targets' coefficients.
        shift: (n,) enclosure.
        bounds: proved bounds of the first layers.
        slopes: at each of these with an activation that is reached, float64 (n, p) in [0, 1]: the lower lines' slopes.
        arithmetic: the arithmetic that proves the bounds.
        signs: by layer as `slopes`, (n, p): of each target a part of the domain (splits.py), whose b the slopes have
            where they are not 0; None: the domain.
    """
    domain, value = problem.domain, shift

    def step(k: int, layer: Layer, targets: graph.Pairs) -> Enclosure:
        nonlocal value
        low, high = bounds[k - 1]
        rows = _pulled(targets)
        # From here on the coefficients are floats; what they miss, times the largest y, goes to the value.
        M, missed = rows.mid, rows.rad
        off, on = high <= 0, (low >= 0) & (high > 0)
        unstable = ~(on | off)
        if missed.any():
            y_low, y_high = value_interval(layer, (low, high))
            value = value - arithmetic(missed) @ np.maximum(y_high, -y_low)
        if layer.activation == "identity":
            coefficients = arithmetic(M)
            value = value + coefficients @ layer.bias
            return coefficients
        if not layer.is_kinked:
            s, least, most = parallel_lines(layer, low, high)
            value = value + arithmetic(np.maximum(M, 0.0)) @ least + arithmetic(np.minimum(M, 0.0)) @ most
            along = arithmetic(M) * s
            value = value - arithmetic(along.rad) @ np.maximum(np.abs(low), np.abs(high))
            coefficients = arithmetic(along.mid)
            value = value + coefficients @ layer.bias
            return coefficients
        said = np.zeros(len(low)) if signs is None else signs[k]
        # signs say what a stable neuron is, too: what is stable in one arithmetic need not be in another
        open_, on = unstable & (said == 0), on & (said >= 0)
        upper_slope = np.where(unstable, np.clip(high / (high - low), 0.0, 1.0), 0.0)
        line = arithmetic(upper_slope)
        intercept = np.maximum((line * -low).upper(), (arithmetic(high) - line * high).upper())
        intercept = np.where(unstable, intercept, 0.0)
        bent, straight = M, None  # the coefficients of ReLU(z), and of z
        if layer.activation != "relu":
            alpha, beta = layer.slopes
            of_relu = arithmetic(M) * (arithmetic(beta) - alpha)
            bent, missed = of_relu.mid, np.where(unstable | (said != 0), of_relu.rad, 0.0)
            if missed.any():
                value = value - arithmetic(missed) @ np.maximum(high, 0.0)
            straight = arithmetic(M) * np.where(on, beta, alpha)
        above, below = np.where(open_, np.maximum(bent, 0.0), 0.0), np.where(open_, np.minimum(bent, 0.0), 0.0)
        # fl(above * slope) lies in [0, above]: it is above times some slope in [0, 1], with no error. fl(c - b) is at
        # most c: c less some b >= 0. Of each neuron without a sign one of these is not 0.
        lower = np.where(open_, above * slopes[k], 0.0)
        lower += np.where(said == 0, 0.0, np.where((said > 0) & ~on, bent, 0.0) - said * slopes[k])
        upper = arithmetic(below) * upper_slope
        if straight is None:
            N = np.where(on, M, 0.0) + lower + upper.mid
            missed = upper.rad
        else:
            lines = straight + upper + lower
            N, missed = lines.mid, lines.rad
        value = value + arithmetic(below) @ intercept
        if missed.any():
            some = unstable if straight is None else np.ones(len(low), dtype=bool)
            value = value - arithmetic(missed) @ np.where(some, np.maximum(high, -low), 0.0)
        coefficients = arithmetic(N)
        value = value + coefficients @ layer.bias
        return coefficients

    with np.errstate(all="ignore"):
        target = Layer.of_checked(rows, shift, "identity")
        of_input = graph.backward([*net.enclosed[: len(bounds)], target], None, step)
        if of_input:
            of_x = _pulled(of_input)
            value = value + of_x @ domain.middle(arithmetic)
            value = value - domain.reach(of_x.magnitude(), arithmetic)
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
    hidden = len(net.layers) - 1
    if slopes and net.smooth:
        raise ValueError(f"slopes of linear bounds are for piecewise linear layers, but {net.smooth}; give none")
    wanted = {l: graph.sources(net.layers, l) for l in range(2, hidden + 1)}
    pairs = {(l, k) for l, below in wanted.items() if below for k in (0, *below)}
    for key in slopes:
        if key not in pairs:
            raise ValueError(f"slopes are for pairs of layers (l, k), 1 <= k < l <= {hidden}, but {key!r} was given")
    result: dict[int, dict[int, Array]] = {}
    for l in sorted({l for l, _ in slopes}):
        own = {k: values for (target, k), values in slopes.items() if target == l}
        parts = {k: own.pop(k) for k in (0,) if k in own}
        result[l] = parts | {
            k: _checked(own, k, (2, net.widths[l], net.widths[k]), f" of target layer {l}")
            for k in _all_keys(own, wanted[l], f" of target layer {l}")
        }
    return result


def _all_keys(slopes: Mapping[int, Array], wanted: tuple[int, ...], where: str = "") -> tuple[int, ...]:
    if set(slopes) != set(wanted):
        given = sorted(slopes, key=repr)
        named = f"1..{len(wanted)}" if wanted == tuple(range(1, len(wanted) + 1)) else f"{wanted}"
        raise ValueError(f"slopes{where} are needed for the layers {named}, but {given} were given")
    return wanted


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
