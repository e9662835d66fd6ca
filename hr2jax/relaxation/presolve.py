"""Which inputs move, which neurons can switch, how large all is: what is fixed before any relaxation is built."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..arithmetic.enclosure import Enclosure, TooLargeError, clipped_exponent
from ..arithmetic.float64 import Array
from ..bounds import adjoint_bounds, interval_bounds, preactivation_bounds, tangent_bounds
from ..network import Network
from ..problem import Problem

# l and h are rounded outward to multiples of 2^-GRID of their neuron's scale: sums, differences and
# halves of them are then exact in float64, so the factors h u + l (1-u) - z carry no rounding error.
GRID = 40

# lifting -> the chains of variables that carry the derivative (docs/theory/depth.md): none where values are bounded,
# and slope-restricted tangents without signs in LipSDP's relaxation
LIFTINGS: dict[str, tuple[str, ...]] = {
    "forward": ("p",), "adjoint": ("a",), "both": ("p", "a"), "values": (), "lipsdp": ("q",),
}  # fmt: skip

# Scales beyond any that float64 numbers need: int64 sums of them would overflow, and with them the unit of the bound.
LARGEST_SCALE = 2**15

Slopes = Mapping[tuple[int, int], Array]


@dataclass(frozen=True)
class Layer:
    """One hidden layer's neurons, by what they need.

    A neuron is stable when its sign is known almost everywhere on the domain (l >= 0: always on, h <= 0:
    always off) or when nothing that moves reaches it (it cannot change f). Stable neurons need no variable
    (docs/theory/the-problem.md).

    Attributes:
        unstable: (n,) indices of the neurons that get a variable v = 2u - 1.
        active: (m,) indices of the neurons whose u is 1.
        constant: indices of the neurons that do not move.
        low, high: (n,) scaled bounds: 2**exponent * low <= z <= 2**exponent * high on the domain,
            multiples of 2**-GRID in [-1, 1]; empty globally.
        exponent: (n,) int64.
        reach: chain ("p", "a", "q") -> (n,) scaled bounds of what the chain's mask multiplies, multiples of 2**-GRID in
            [0, 1]: |w| <= 2**reach_exponent * reach for tangents, |g| for adjoints. In the last layer only for "q".
        reach_exponent: chain -> (n,) int64.
    """

    unstable: Array
    active: Array
    constant: Array
    low: Array
    high: Array
    exponent: Array
    reach: Mapping[str, Array] = field(default_factory=dict)
    reach_exponent: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """What a certificate fixes of a `Presolve`, so that another machine's rounding does not change it.

    Attributes:
        unstable: per layer, the neurons that have a variable.
        exponent: per layer, the scales of their z (empty globally); None: the smallest.
        reach_exponent: chain -> per layer that has its variables, the scales of what its mask multiplies; None: the
            smallest.
    """

    unstable: tuple[Array, ...]
    exponent: tuple[Array, ...] | None = None
    reach_exponent: Mapping[str, tuple[Array, ...]] | None = None


@dataclass(frozen=True)
class Presolve:
    """The inputs and neurons that get variables, and their scales.

    Attributes:
        free: (q,) indices of the inputs that can move (all of them globally).
        layers: one entry per hidden layer.
        slopes: what proves the pre-activation bounds beside intervals (`bounds.preactivation_bounds`); None: nothing.
            With depth + 1 in place of a layer, those of the output's range (`bounds.output_range`).
        chains: which chains of variables carry the derivative through the layers (`LIFTINGS`).
    """

    free: Array
    layers: tuple[Layer, ...]
    slopes: Slopes | None = None
    chains: tuple[str, ...] = ("p",)

    @property
    def depth(self) -> int:
        """L."""
        return len(self.layers)

    @property
    def unstable(self) -> Array:
        """The first layer's."""
        return self.layers[0].unstable

    @property
    def active(self) -> Array:
        """The first layer's."""
        return self.layers[0].active

    @property
    def low(self) -> Array:
        """The first layer's."""
        return self.layers[0].low

    @property
    def high(self) -> Array:
        """The first layer's."""
        return self.layers[0].high

    @property
    def exponent(self) -> Array:
        """The first layer's."""
        return self.layers[0].exponent

    @property
    def switching(self) -> int:
        """How many neurons have a variable."""
        return sum(len(layer.unstable) for layer in self.layers)

    def layout(self) -> Layout:
        """What a certificate must fix."""
        return Layout(
            tuple(layer.unstable for layer in self.layers),
            tuple(layer.exponent for layer in self.layers),
            {c: tuple(x.reach_exponent[c] for x in self.layers[: reached(c, self.depth)]) for c in self.chains},
        )


def reached(chain: str, depth: int) -> int:
    """How many layers have variables of a chain: all but the last, or all."""
    return depth if chain == "q" else depth - 1


def presolve(
    net: Network,
    problem: Problem,
    arithmetic: type[Enclosure] = Enclosure,
    layout: Layout | None = None,
    slopes: Slopes | None = None,
    chains: tuple[str, ...] = ("p",),
) -> Presolve:
    """Decide what gets a variable, from bounds proved in `arithmetic`.

    Args:
        net: the network.
        problem: the problem.
        arithmetic: the arithmetic that proves the bounds.
        layout: neurons to keep as variables although they may be stable, and scales (a certificate's choice, which
            another machine's rounding must not change). Every other neuron must be proved stable, every scale valid.
        slopes: of linear pre-activation bounds; None: intervals.
        chains: see `Presolve`.

    Raises:
        ValueError: if a neuron that `layout` leaves out cannot be proved stable, a scale is too small, or the layout
            does not fit the network; or where bounds overflow float64.
    """
    free = problem.domain.free(net.widths[0])
    depth = net.depth
    if layout is not None:
        _check_layout(layout, net, chains)
    bounds = pre_bounds(net, problem, slopes, arithmetic)
    layers: list[Layer] = []
    moving = free
    for l, A in enumerate(net.weights[:-1]):
        still = ~A[:, moving].any(axis=1)
        kept = None if layout is None else layout.unstable[l]
        none = np.zeros(0)
        if bounds is None:
            open_ = np.flatnonzero(~still)
            kept = open_ if kept is None else kept
            _require(np.isin(open_, kept), open_, l, depth)
            active = np.zeros(0, dtype=np.int64)
            low, high, exponent = none, none, none.astype(np.int64)
        else:
            low, high = bounds[l]
            on, off = low >= 0, high <= 0
            open_ = np.flatnonzero(~(on | off | still))
            kept = open_ if kept is None else kept
            _require(np.isin(open_, kept), open_, l, depth)
            active = np.setdiff1d(np.flatnonzero(on & ~still), kept)
            size = np.maximum(np.abs(low[kept]), np.abs(high[kept]))
            given = None if layout is None or layout.exponent is None else layout.exponent[l]
            exponent = _exponents(size, given, "pre-activation")
            if depth > 1 or problem.quantity == "maximum":  # else nothing is ever added to them
                _check_largest(exponent)
            low, high = -_ceil(-low[kept], exponent), _ceil(high[kept], exponent)
        # a kept neuron counts as one that moves, whatever reaches it
        constant = np.setdiff1d(np.flatnonzero(still), kept)
        layers.append(Layer(kept, active, constant, low, high, exponent))
        moving = np.union1d(kept, active)
    if any(reached(chain, depth) for chain in chains):
        layers = _with_reach(net, problem, free, layers, arithmetic, layout, chains)
    return Presolve(free, tuple(layers), slopes, chains)


def pre_bounds(
    net: Network, problem: Problem, slopes: Slopes | None, arithmetic: type[Enclosure]
) -> list[tuple[Array, Array]] | None:
    """Pre-activation bounds of every layer; None for a global problem, which has none."""
    if not problem.is_local:
        return None
    if slopes is None:
        return interval_bounds(net, problem, arithmetic)
    if problem.quantity == "maximum":  # the others are the output's
        slopes = {key: values for key, values in slopes.items() if key[0] <= net.depth}
    return preactivation_bounds(net, problem, slopes, arithmetic)


def masks(net: Network, layers: tuple[Layer, ...] | list[Layer]) -> tuple[list[Array], list[Array]]:
    """Per layer (p_l,) bool: neurons whose mask is 1 always, and those whose mask is 0 or without effect."""
    on, off = [], []
    for layer, width in zip(layers, net.widths[1:], strict=False):
        always = np.zeros(width, dtype=bool)
        always[layer.active] = True
        never = ~always
        never[layer.unstable] = False
        on.append(always)
        off.append(never)
    return on, off


def _with_reach(
    net: Network, problem: Problem, free: Array, layers: list[Layer], arithmetic: type[Enclosure],
    layout: Layout | None, chains: tuple[str, ...],
) -> list[Layer]:  # fmt: skip
    """The layers with the sizes of what the chains' masks multiply."""
    on, off = masks(net, layers)
    reach: list[dict[str, Array]] = [{} for _ in layers]
    exponents: list[dict[str, Array]] = [{} for _ in layers]
    for chain in chains:
        bounds = adjoint_bounds if chain == "a" else tangent_bounds
        sizes = bounds(net, problem, free, on, off, arithmetic)
        for l, layer in enumerate(layers[: reached(chain, net.depth)]):
            size = sizes[l][layer.unstable]
            if not np.isfinite(sizes[l][np.concatenate([layer.unstable, layer.active]).astype(np.int64)]).all():
                raise TooLargeError(f"the bounds of layer {l + 1}'s derivatives overflow float64")
            fixed = None if layout is None else layout.reach_exponent
            exponents[l][chain] = _exponents(size, None if fixed is None else fixed[chain][l], "derivative's")
            _check_largest(exponents[l][chain])
            reach[l][chain] = _ceil(size, exponents[l][chain])
    return [
        Layer(x.unstable, x.active, x.constant, x.low, x.high, x.exponent, r, e)
        for x, r, e in zip(layers, reach, exponents, strict=True)
    ]


def _check_layout(layout: Layout, net: Network, chains: tuple[str, ...]) -> None:
    exponents, scales = layout.exponent, layout.reach_exponent
    counts = {len(layout.unstable)} | (set() if exponents is None else {len(exponents)})
    if counts != {net.depth} or (scales is not None and set(scales) != set(chains)):
        raise ValueError(f"the layout is not one of {net.depth} hidden layers")
    numbers = [*layout.unstable, *(exponents or ()), *itertools.chain.from_iterable((scales or {}).values())]
    if not all(isinstance(array, np.ndarray) and array.dtype == np.int64 and array.ndim == 1 for array in numbers):
        raise ValueError("a layout's neurons and scales must be vectors of int64")
    for l, kept in enumerate(layout.unstable):
        if len(np.unique(kept)) != len(kept) or not ((kept >= 0) & (kept < net.widths[l + 1])).all():
            raise ValueError(f"the unstable neurons must be distinct indices of hidden layer {l + 1}")
    for chain, of_chain in (scales or {}).items():
        if len(of_chain) != reached(chain, net.depth):
            raise ValueError(f"the layout is not one of {net.depth} hidden layers")


def _exponents(size: Array, given: Array | None, what: str) -> Array:
    """(n,) int64 with size < 2**exponent, or those given if they are as large; any is for what is 0."""
    smallest = np.frexp(size)[1].astype(np.int64)  # size < 2**smallest
    if given is None:
        return smallest
    smallest[size == 0] = -LARGEST_SCALE
    if np.shape(given) != np.shape(size):
        raise ValueError(f"{len(size)} scales are needed, but their shape is {np.shape(given)}")
    if (given < smallest).any():
        raise ValueError(f"a neuron's scale is smaller than its {what} bound")
    return given


def _check_largest(exponent: Array) -> None:
    if (exponent > LARGEST_SCALE).any():
        raise ValueError(f"a neuron's scale is beyond 2**{LARGEST_SCALE}")


def _ceil(value: Array, exponent: Array) -> Array:
    """The least multiple of 2**-GRID at or above value / 2**exponent (above 0, one if it underflows)."""
    with np.errstate(under="ignore"):
        steps = np.ceil(np.ldexp(value, clipped_exponent(GRID - exponent)))
    steps = np.where((value > 0) & (steps == 0), 1.0, steps)  # an underflow must not round down
    return np.ldexp(steps, -GRID)


def _require(covered: Array, neurons: Array, layer: int, depth: int) -> None:
    if not covered.all():
        where = f" of hidden layer {layer + 1}" if depth > 1 else ""
        raise ValueError(
            f"neuron {int(neurons[~covered][0])}{where} cannot be proved to keep its sign on the domain"
        )
