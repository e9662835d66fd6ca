"""Which inputs move, which neurons can switch, how large all is: what is fixed before any relaxation is built."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..arithmetic.enclosure import Enclosure, TooLargeError
from ..arithmetic.float64 import Array
from ..bounds import adjoint_bounds, interval_bounds, preactivation_bounds, tangent_bounds
from ..network import Network
from ..problem import Problem
from .scales import exponents, margins, on_grid, proved, raised

# lifting -> the chains of variables that carry the derivative (docs/theory/depth.md): none where values are bounded,
# and slope-restricted tangents without signs in LipSDP's relaxation
LIFTINGS: dict[str, tuple[str, ...]] = {
    "forward": ("p",), "adjoint": ("a",), "both": ("p", "a"), "values": (), "lipsdp": ("q",),
}  # fmt: skip

# Beyond any unit that an objective needs, and within what `clipped_exponent` leaves alone.
LARGEST_UNIT = 2**18

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
    """What a certificate states of a `Presolve`: it is proved to be valid, not decided again. None: decided here.

    Attributes:
        unstable: per layer, the neurons that have a variable.
        exponent: per layer, the scales of their z (empty globally).
        reach_exponent: chain -> per layer that has its variables, the scales of what its mask multiplies.
        active: per layer, the neurons without a variable that are always on and move.
        low, high: per layer, `Layer.low` and `Layer.high`.
        reach: chain -> per layer that has its variables, `Layer.reach`.
        free: the inputs that have variables.
        unit: the objective is in units of 2**unit.
    """

    unstable: tuple[Array, ...]
    exponent: tuple[Array, ...] | None = None
    reach_exponent: Mapping[str, tuple[Array, ...]] | None = None
    active: tuple[Array, ...] | None = None
    low: tuple[Array, ...] | None = None
    high: tuple[Array, ...] | None = None
    reach: Mapping[str, tuple[Array, ...]] | None = None
    free: Array | None = None
    unit: int | None = None

    def members(self, layer: int, free: Array) -> Array:
        """The neurons of a hidden layer (from 1) that have a variable, or (0) the inputs `free`, which do."""
        return self.unstable[layer - 1] if layer else free


@dataclass(frozen=True)
class Presolve:
    """The inputs and neurons that get variables, and their scales.

    Attributes:
        free: (q,) indices of the inputs that can move (all of them globally).
        layers: one entry per hidden layer.
        slopes: what proves the pre-activation bounds beside intervals (`bounds.preactivation_bounds`); None: nothing.
            With depth + 1 in place of a layer, those of the output's range (`bounds.output_range`).
        chains: which chains of variables carry the derivative through the layers (`LIFTINGS`).
        unit: the objective is in units of 2**unit; None: of its own size.
    """

    free: Array
    layers: tuple[Layer, ...]
    slopes: Slopes | None = None
    chains: tuple[str, ...] = ("p",)
    unit: int | None = None

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

    def members(self, layer: int) -> Array:
        """The neurons of a hidden layer (from 1), or (0) the inputs, that have a variable."""
        return self.layers[layer - 1].unstable if layer else self.free

    def layout(self) -> Layout:
        """What a certificate states."""
        with_reach = {c: self.layers[: reached(c, self.depth)] for c in self.chains}
        return Layout(
            unstable=tuple(layer.unstable for layer in self.layers),
            exponent=tuple(layer.exponent for layer in self.layers),
            reach_exponent={c: tuple(x.reach_exponent[c] for x in layers) for c, layers in with_reach.items()},
            active=tuple(layer.active for layer in self.layers),
            low=tuple(layer.low for layer in self.layers),
            high=tuple(layer.high for layer in self.layers),
            reach={c: tuple(x.reach[c] for x in layers) for c, layers in with_reach.items()},
            free=self.free,
            unit=self.unit,
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
        layout: a certificate's choice, which another machine's rounding must not change: what it states is proved to
            be valid in `arithmetic`, and then used. Without one, bounds are stated a little above what is proved, and
            neurons called stable a little within it, so that others can prove them too.
        slopes: of linear pre-activation bounds; None: intervals.
        chains: see `Presolve`.

    Raises:
        ValueError: if a neuron that `layout` leaves out cannot be proved stable, a bound or scale is too small, or the
            layout does not fit the network; or where bounds overflow float64.
    """
    free = problem.domain.free(net.widths[0])
    if layout is not None:
        check_layout(layout, net, chains, free, problem.is_local)
    bounds = pre_bounds(net, problem, slopes, arithmetic)
    terms = None if bounds is None else _terms(net, problem, bounds)
    layers: list[Layer] = []
    moving = free
    for l, A in enumerate(net.weights[:-1]):
        still = np.asarray(~A[:, moving].any(axis=1))
        pair = None if bounds is None else bounds[l]
        on, off, margin = _signs(pair, None if terms is None else terms[l], A.shape, exact=l == 0 or layout is not None)
        layer = _neurons(still, on, off, l, net.depth, layout)
        if pair is not None:
            layer = _with_range(layer, pair, margin, l, layout)
        layers.append(layer)
        moving = np.union1d(layer.unstable, layer.active)
    if any(reached(chain, net.depth) for chain in chains):
        layers = _with_reach(net, problem, free, layers, arithmetic, layout, chains)
    return Presolve(free, tuple(layers), slopes, chains, None if layout is None else layout.unit)


def _terms(net: Network, problem: Problem, bounds: list[tuple[Array, Array]]) -> list[Array]:
    """Per layer (p_l,), about the sum of the magnitudes of what a pre-activation is the sum of."""
    out, most = [], np.abs(problem.domain.center) + problem.domain.radius
    with np.errstate(all="ignore"):
        for A, b, (_, high) in zip(net.weights, net.biases, bounds, strict=False):
            out.append(np.abs(A) @ most + np.abs(b))
            most = np.maximum(high, 0.0)
    return out


def _signs(
    pair: tuple[Array, Array] | None, terms: Array | None, shape: tuple[int, ...], exact: bool
) -> tuple[Array, Array, Array]:
    """(on, off, margin) of a layer's neurons: which are always on, always off; and what is added to their bounds.

    `exact`: whoever proves it decides signs as they are proved here; otherwise only beyond the margin, or at 0 itself.
    """
    if pair is None or terms is None:
        return np.zeros(shape[0], dtype=bool), np.zeros(shape[0], dtype=bool), np.zeros(shape[0])
    low, high = pair
    margin = margins(np.maximum(np.abs(low), np.abs(high)), terms, shape[1])
    if exact:
        return low >= 0, high <= 0, margin
    return (low == 0) | (low >= margin), (high == 0) | (-high >= margin), margin


def _neurons(still: Array, on: Array, off: Array, l: int, depth: int, layout: Layout | None) -> Layer:
    """The neurons of layer l by what they need; what the layout leaves out is proved to need nothing.

    Raises:
        ValueError: a neuron that it leaves out may switch, or one that it calls active may be off or does not move.
    """
    open_ = np.flatnonzero(~(on | off | still))
    kept = open_ if layout is None else layout.unstable[l]
    _require(np.isin(open_, kept), open_, l, depth)
    active = np.setdiff1d(np.flatnonzero(on & ~still), kept)
    if layout is not None and layout.active is not None:
        active, rest = layout.active[l], np.setdiff1d(active, layout.active[l])
        _require(off[rest], rest, l, depth)
        _require(on[active] & ~still[active], active, l, depth)
    # a kept neuron counts as one that moves, whatever reaches it
    constant = np.setdiff1d(np.flatnonzero(still), kept)
    none = np.zeros(0)
    return Layer(kept, active, constant, none, none, none.astype(np.int64))


def _with_range(layer: Layer, pair: tuple[Array, Array], margin: Array, l: int, layout: Layout | None) -> Layer:
    """The layer with its scaled bounds, those that the layout states or those proved here."""
    kept, given = layer.unstable, None if layout is None or layout.exponent is None else layout.exponent[l]
    low, high = pair[0][kept], pair[1][kept]
    if layout is not None and layout.low is not None and layout.high is not None and given is not None:
        if np.shape(given) != np.shape(low):
            raise ValueError(f"{len(low)} scales are needed, but their shape is {np.shape(given)}")
        stated = layout.low[l], layout.high[l]
        return replace(
            layer,
            low=-proved(-stated[0], -low, given, "pre-activation"),
            high=proved(stated[1], high, given, "pre-activation"),
            exponent=given,
        )
    low, high = -raised(-low, margin[kept]), raised(high, margin[kept])
    exponent = exponents(np.maximum(np.abs(low), np.abs(high)), given, "pre-activation")
    return replace(layer, low=-on_grid(-low, exponent), high=on_grid(high, exponent), exponent=exponent)


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
    scales: list[dict[str, Array]] = [{} for _ in layers]
    for chain in chains:
        bounds = adjoint_bounds if chain == "a" else tangent_bounds
        sizes = bounds(net, problem, free, on, off, arithmetic)
        margin = _reach_margins(net, problem, sizes, chain)
        for l, layer in enumerate(layers[: reached(chain, net.depth)]):
            if not np.isfinite(sizes[l][np.concatenate([layer.unstable, layer.active]).astype(np.int64)]).all():
                raise TooLargeError(f"the bounds of layer {l + 1}'s derivatives overflow float64")
            size, given, stated = sizes[l][layer.unstable], None, None
            if layout is not None and layout.reach_exponent is not None:
                given = layout.reach_exponent[chain][l]
                stated = None if layout.reach is None else layout.reach[chain][l]
            if stated is None or given is None:
                size = raised(size, margin[l][layer.unstable])
            scales[l][chain] = exponents(size, given, "derivative's")
            if stated is None or given is None:
                reach[l][chain] = on_grid(size, scales[l][chain])
            else:
                reach[l][chain] = proved(stated, size, given, "derivative's", least=0.0)
    return [replace(x, reach=r, reach_exponent=e) for x, r, e in zip(layers, reach, scales, strict=True)]


def _reach_margins(net: Network, problem: Problem, sizes: list[Array], chain: str) -> list[Array]:
    """Per layer (p_l,), what is added to the bounds of a chain (`margins`).

    Where a size is nothing but a rounding's leftover, the next layer's is nothing else either.
    """
    out = [np.zeros(0)] * len(sizes)
    order = range(len(sizes) - 1, -1, -1) if chain == "a" else range(len(sizes))
    with np.errstate(all="ignore"):
        before, left_over = np.abs(problem.coefficients), np.zeros(len(problem.coefficients))
        for l in order:
            if chain == "a":
                A = np.abs(net.weights[l + 1].T)
            elif l == 0:
                out[0] = margins(sizes[0], sizes[0], net.widths[0])
                before, left_over = sizes[0], np.zeros(len(sizes[0]))
                continue
            else:
                A = np.abs(net.weights[l])
            margin = margins(sizes[l], A @ before, A.shape[1]) + A @ left_over
            out[l] = np.where((sizes[l] > 0) & np.isfinite(margin), margin, 0.0)
            before, left_over = sizes[l], np.where(out[l] > sizes[l], out[l], 0.0)
    return out


def check_layout(layout: Layout, net: Network, chains: tuple[str, ...], free: Array, is_local: bool) -> None:
    """Refuse a layout that is none of this network, problem and chains (its numbers are proved elsewhere).

    Raises:
        ValueError: what does not fit.
    """
    per_layer = [values for values in (layout.exponent, layout.active, layout.low, layout.high) if values is not None]
    per_chain = [values for values in (layout.reach_exponent, layout.reach) if values is not None]
    if {len(layout.unstable), *map(len, per_layer)} != {net.depth} or any(set(v) != set(chains) for v in per_chain):
        raise ValueError(f"the layout is not one of {net.depth} hidden layers")
    if any(len(values[chain]) != reached(chain, net.depth) for values in per_chain for chain in chains):
        raise ValueError(f"the layout is not one of {net.depth} hidden layers")
    whole = [*layout.unstable, *(layout.exponent or ()), *(layout.active or ())]
    whole += [*itertools.chain.from_iterable((layout.reach_exponent or {}).values())]
    whole += [] if layout.free is None else [layout.free]
    if not all(isinstance(array, np.ndarray) and array.dtype == np.int64 and array.ndim == 1 for array in whole):
        raise ValueError("a layout's neurons and scales must be vectors of int64")
    numbers = [*(layout.low or ()), *(layout.high or ()), *itertools.chain.from_iterable((layout.reach or {}).values())]
    if not all(isinstance(array, np.ndarray) and array.dtype == np.float64 and array.ndim == 1 for array in numbers):
        raise ValueError("a layout's bounds must be vectors of float64")
    for l, kept in enumerate(layout.unstable):
        named = kept if layout.active is None else np.concatenate([kept, layout.active[l]])
        if len(np.unique(named)) != len(named) or not ((named >= 0) & (named < net.widths[l + 1])).all():
            raise ValueError(f"the unstable neurons must be distinct indices of hidden layer {l + 1}")
    if layout.free is not None and not np.array_equal(layout.free, free):
        raise ValueError("the layout's inputs are not those that can move")
    ranges = (*(layout.low or ()), *(layout.high or ()), *(layout.exponent or ()))
    if not is_local and any(len(values) for values in ranges):
        raise ValueError("a layout of a global problem has no pre-activation bounds")
    unit = layout.unit
    if unit is not None and not (type(unit) is int and abs(unit) <= LARGEST_UNIT):
        raise ValueError(f"the layout's unit must be an integer of magnitude at most {LARGEST_UNIT}, not {unit!r}")


def _require(covered: Array, neurons: Array, layer: int, depth: int) -> None:
    if not covered.all():
        where = f" of hidden layer {layer + 1}" if depth > 1 else ""
        raise ValueError(
            f"neuron {int(neurons[~covered][0])}{where} cannot be proved to keep its sign on the domain"
        )
