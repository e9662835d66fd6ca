"""Which inputs move, which neurons can switch, how large all is: what is fixed before any relaxation is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure, TooLargeError
from ..arithmetic.float64 import Array
from ..bounds import preactivation_bounds
from ..bounds.interval import sizes_of_terms
from ..graph import Structure, is_masked
from ..layer import Layer
from ..network import Network
from ..problem import Problem
from .derivatives import with_reach
from .layout import OF_OUTPUTS, Layout, carried, check_layout
from .neurons import Neurons, ends
from .scales import exponents, margins, on_grid, proved, raised
from .section import Section, SectionBox, section_bounds

# lifting -> the chains of variables that carry the derivative (docs/theory/depth.md): none where values are bounded,
# and slope-restricted tangents without signs in LipSDP's relaxation; of several outputs the adjoints of s . M F, s
# apart from all else, or times all that is even in t, with one output's tangents (docs/theory/several-outputs.md); and
# two of these on a section of the cone (docs/theory/reach.md); "none" where intervals and norm products are all; and
# "tied", in which slopes of smooth neurons are functions of z, and "tensored tied", its copies and s . M F's adjoints
LIFTINGS: dict[str, tuple[str, ...]] = {
    "forward": ("p",), "adjoint": ("a",), "both": ("p", "a"), "values": (), "lipsdp": ("q",),
    "separate": (OF_OUTPUTS,), "reach": ("a",), "reach separate": (OF_OUTPUTS,), "tensored": ("p",), "xL": ("a",),
    "tensored xL": ("p",), "none": (), "tied": ("a",), "tensored tied": ("a",),
}  # fmt: skip
ON_SECTIONS = ("reach", "reach separate")
WITH_LAST = ("xL", "tensored xL")  # those with x of the last layers too
WITH_TIES = ("tied", "tensored tied")  # those of one output and of several

# The liftings of several outputs, and those of one.
OF_VALUES = ("separate", "tensored", "tensored xL", "lipsdp", "reach separate", "none", "tensored tied")
OF_ONE = tuple(name for name in LIFTINGS if name in ("lipsdp", "none") or name not in OF_VALUES)
Slopes = Mapping[tuple[int, int], Array]


@dataclass(frozen=True)
class Presolve:
    """The inputs and neurons that get variables, and their scales.

    Attributes:
        free: (q,) indices of the inputs that can move (all of them globally).
        directions: indices of the inputs that t has entries of (`Problem.directions_of`).
        layers: one entry per hidden layer, of an identity too.
        slopes: what proves the pre-activation bounds beside intervals (`bounds.preactivation_bounds`); None: nothing.
            With depth + 1 in place of a layer, those of the output's range (`bounds.output_range`).
        chains: which chains of variables carry the derivative through the layers (`LIFTINGS`).
        unit: the objective is in units of 2**unit; None: of its own size.
        given: which of the layers have variables; None: those of a chain.
        ranges: by smooth layer, from 1, (alpha, beta) around the derivatives of each neuron, (p_l,) each.
        section: of a reach lifting: all of this is of the problem on it (`posed`).
        with_last: whether the last layers have an x too; on a section they do.
        tied: whether slopes of smooth neurons are functions of z (ties.py), with values behind them.
    """

    free: Array
    directions: Array
    layers: tuple[Neurons, ...]
    slopes: Slopes | None = None
    chains: tuple[str, ...] = ("p",)
    unit: int | None = None
    given: Structure | None = None
    ranges: Mapping[int, tuple[Array, Array]] = field(default_factory=dict)
    section: Section | None = None
    with_last: bool = False
    tied: bool = False

    @cached_property
    def structure(self) -> Structure:
        """Which of the layers have variables."""
        return Structure.chain(len(self.layers)) if self.given is None else self.given

    @property
    def depth(self) -> int:
        """L, the most masked layers on one way."""
        return self.structure.depth

    def carried(self, chain: str) -> tuple[int, ...]:
        """The layers, from 1, that have variables of a chain."""
        return carried(chain, self.structure)

    def relaxed(self, net: Network) -> Network:
        """The network, its smooth layers with the slopes between which their derivatives are."""
        return relaxed(net, self.ranges)

    def posed(self, net: Network, problem: Problem) -> tuple[Network, Problem]:
        """The network and the problem that are presolved: those given, or what they are on the section."""
        return (net, problem) if self.section is None else self.section.posed(net, problem)

    @property
    def has_last(self) -> bool:
        """Whether the last layers have an x too."""
        return self.with_last or self.section is not None

    @property
    def valued(self) -> tuple[int, ...]:
        """The layers whose masks say the sign of z, z being known: all kinked ones where smooth ones have values."""
        if self.tied:
            return tuple(l for l in self.structure.masked if l not in self.ranges)
        return self.structure.valued

    @property
    def of_values(self) -> tuple[int, ...]:
        """The layers that have an x where z is known: those that feed others with an activation, or all."""
        numbers = self.structure.masked if self.has_last else self.structure.inner
        return tuple(l for l in numbers if l in self.valued)

    @property
    def of_curves(self) -> tuple[int, ...]:
        """The smooth layers whose values have variables, where a constant is bounded: those that feed others."""
        return tuple(l for l in self.structure.inner if l in self.ranges) if self.tied else ()

    def has_values(self, problem: Problem) -> bool:
        """Whether there is an x: a bounded domain, and a neuron with a variable whose z is known."""
        is_bounded = problem.is_local or self.section is not None
        return is_bounded and any(len(self.members(l)) for l in (*self.valued, *(self.ranges if self.tied else ())))

    @property
    def switching(self) -> int:
        """How many neurons have a variable."""
        return sum(len(layer.unstable) for layer in self.layers)

    def members(self, layer: int) -> Array:
        """The neurons of a hidden layer (from 1), or (0) the inputs, that have a variable."""
        return self.layers[layer - 1].unstable if layer else self.free

    def layout(self) -> Layout:
        """What a certificate states."""
        numbers = {c: self.carried(c) for c in self.chains}
        with_reach = {c: [self.layers[l - 1] for l in own] for c, own in numbers.items()}
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
            carried=numbers,
            middle={c: tuple(x.middle[c] for x in layers) for c, layers in with_reach.items()} if self.tied else None,
            section=self.section,
        )


def presolve(
    net: Network,
    problem: Problem,
    arithmetic: type[Enclosure] = Enclosure,
    layout: Layout | None = None,
    slopes: Slopes | None = None,
    chains: tuple[str, ...] = ("p",),
    section: Section | None = None,
    bounds: list[tuple[Array, Array]] | None = None,
    with_last: bool = False,
    tied: bool = False,
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
        section: see `Presolve`; a layout has its own, which is proved here.
        with_last, tied: see `Presolve`.
        bounds: what `pre_bounds` has proved of another output or direction on the same domain; None: it does here.

    Raises:
        ValueError: if a neuron that `layout` leaves out cannot be proved stable, a bound or scale is too small, or the
            layout does not fit the network; or where bounds overflow float64.
    """
    if tied and (not problem.is_local or problem.quantity != "lipschitz"):
        raise ValueError("the tied lifting is for local Lipschitz constants")
    section = section if layout is None else layout.section
    if section is not None:
        if problem.is_local or problem.quantity != "lipschitz":
            raise ValueError("the reach lifting is for global Lipschitz constants")
        section.check(net, arithmetic)
        net, problem = section.posed(net, problem)
    free, directions = problem.domain.free(net.widths[0]), problem.directions_of(net.widths[0])
    if not (directions < net.widths[0]).all():
        raise ValueError(f"directions must be inputs, of which there are {net.widths[0]}, but one is {directions[-1]}")
    if layout is not None:
        check_layout(layout, net, chains, free, problem.is_local)
    if bounds is None:
        bounds = pre_bounds(net, problem, slopes, arithmetic)
    terms = None if bounds is None else sizes_of_terms(net, problem, bounds)
    layers: list[Neurons] = []
    ranges: dict[int, tuple[Array, Array]] = {}

    def step(l: int, layer: Layer, below: graph.Pairs) -> Array:
        """Which values move."""
        still = ~graph.touched(below)
        pair = None if bounds is None else bounds[l - 1]
        of_x = [*layer.inputs] == [0] and not net.has_radii
        terms_of, width = None if terms is None else terms[l - 1], sum(A.shape[1] for A, _ in below)
        shape = layer.width, width
        on, off, margin = _signs(pair, terms_of, shape, exact=of_x or layout is not None, has_radii=net.has_radii)
        if not layer.is_kinked:
            on, off = np.zeros((2, layer.width), dtype=bool)
            ranges[l] = _slopes_between(layer, pair, margin if layout is None else np.zeros(layer.width))
        alpha, beta = layer.slopes if layer.is_kinked else ranges[l]
        # where values have variables, what is behind a smooth layer is no multiple of z
        same = (alpha == beta) & (layer.is_kinked or not (tied or problem.quantity == "maximum"))
        found = _neurons(still, on | same, off & ~same, l - 1, len(net.layers) - 1, layout)
        off_too = ~still
        off_too[found.unstable] = off_too[found.active] = False
        found = replace(found, inactive=np.flatnonzero(off_too & (alpha != 0)))
        if pair is not None and is_masked(layer):
            found = _with_range(found, pair, margin, l - 1, layout)
            if l in ranges:
                ranges[l] = _as_stated(layer, found, ranges[l])
        layers.append(found)
        moves = np.zeros(layer.width, dtype=bool)
        for some in (found.unstable, found.active, found.inactive):
            moves[some] = True
        return moves

    graph.forward(net.enclosed[:-1], np.isin(np.arange(net.widths[0]), free), step)
    if any(carried(chain, net.structure) for chain in chains):
        layers = with_reach(relaxed(net, ranges), problem, directions, layers, arithmetic, layout, chains, tied)
    unit, structure = None if layout is None else layout.unit, net.structure
    return Presolve(free, directions, tuple(layers), slopes, chains, unit, structure, ranges, section, with_last, tied)


def reach_of(problem: Problem) -> str:
    """The reach lifting of one output or of several."""
    return ON_SECTIONS[problem.is_vector]


def ties_for(problem: Problem) -> str:
    """The tied lifting of one output or of several."""
    return WITH_TIES[problem.is_vector]


def relaxed(net: Network, ranges: Mapping[int, tuple[Array, Array]]) -> Network:
    """`Presolve.relaxed`."""
    if not ranges:
        return net
    given = [layer.with_slopes(*ranges[l]) if l in ranges else layer for l, layer in enumerate(net.layers, 1)]
    return Network.from_layers(given)


def _slopes_between(layer: Layer, pair: tuple[Array, Array] | None, margin: Array) -> tuple[Array, Array]:
    """(alpha, beta) of a smooth layer's neurons between their bounds, `margin` farther apart, or of all reals.

    Raises:
        TooLargeError: they overflow.
    """
    if pair is None:
        alpha, beta = layer.slopes_between(*np.array([[-np.inf], [np.inf]]))
        alpha, beta = np.repeat(alpha, layer.width), np.repeat(beta, layer.width)
    else:
        with np.errstate(over="ignore"):
            alpha, beta = layer.slopes_between(-raised(-pair[0], margin), raised(pair[1], margin))
    if not (np.isfinite(alpha).all() and np.isfinite(beta).all()):
        raise TooLargeError(f"the slopes of a layer of {layer.activation} overflow float64")
    return alpha, beta


def _as_stated(layer: Layer, neurons: Neurons, between: tuple[Array, Array]) -> tuple[Array, Array]:
    """The slopes of a smooth layer, those of the neurons with a variable between the bounds that a certificate states.

    Whoever verifies it then has the very same.
    """
    alpha, beta = between[0].copy(), between[1].copy()
    alpha[neurons.unstable], beta[neurons.unstable] = layer.slopes_between(*ends(neurons))
    return alpha, beta


def _signs(
    pair: tuple[Array, Array] | None, terms: Array | None, shape: tuple[int, ...], exact: bool, has_radii: bool = False
) -> tuple[Array, Array, Array]:
    """(on, off, margin) of a layer's neurons: which are always on, always off; and what is added to their bounds.

    `exact`: whoever proves it decides signs as they are proved here; otherwise only beyond the margin, or at 0 itself.
    """
    if pair is None or terms is None:
        return np.zeros(shape[0], dtype=bool), np.zeros(shape[0], dtype=bool), np.zeros(shape[0])
    low, high = pair
    margin = margins(np.maximum(np.abs(low), np.abs(high)), terms, shape[1], has_radii)
    if exact:
        return low >= 0, high <= 0, margin
    return (low == 0) | (low >= margin), (high == 0) | (-high >= margin), margin


def _neurons(still: Array, on: Array, off: Array, l: int, depth: int, layout: Layout | None) -> Neurons:
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
    return Neurons(kept, active, constant, none, none, none.astype(np.int64))


def _with_range(layer: Neurons, pair: tuple[Array, Array], margin: Array, l: int, layout: Layout | None) -> Neurons:
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
    net: Network, problem: Problem, slopes: Slopes | None, arithmetic: type[Enclosure] = Enclosure
) -> list[tuple[Array, Array]] | None:
    """Pre-activation bounds of every layer; None for a global problem, which has none."""
    if not problem.is_local:
        return None
    if isinstance(problem.domain, SectionBox):
        return section_bounds(net, problem, arithmetic)
    if slopes is None:
        return preactivation_bounds(net, problem, None, arithmetic)
    if problem.quantity == "maximum":  # the others are the output's
        slopes = {key: values for key, values in slopes.items() if key[0] < len(net.layers)}
    return preactivation_bounds(net, problem, slopes, arithmetic)


def _require(covered: Array, neurons: Array, layer: int, depth: int) -> None:
    if not covered.all():
        where = f" of hidden layer {layer + 1}" if depth > 1 else ""
        raise ValueError(
            f"neuron {int(neurons[~covered][0])}{where} cannot be proved to keep its sign on the domain"
        )
