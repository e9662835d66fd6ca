"""What a certificate states of a presolved problem: which neurons have variables, their bounds and scales."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arithmetic.float64 import Array
from ..graph import Structure, is_masked
from ..network import Network
from .section import Section

# Beyond any unit that an objective needs, and within what `clipped_exponent` leaves alone.
LARGEST_UNIT = 2**18
# The chain of adjoints that begins with C^T M^T s, s a variable: the last layers have variables too.
OF_OUTPUTS = "as"
ADJOINTS = ("a", OF_OUTPUTS)


@dataclass(frozen=True)
class Layout:
    """What a certificate states of a `Presolve`: it is proved to be valid, not decided again. None: decided here.

    Attributes:
        unstable: per layer, the neurons that have a variable.
        exponent: per layer, the scales of their z (empty globally).
        reach_exponent: chain -> per layer that has its variables, the scales of what its mask multiplies.
        active: per layer, the neurons without a variable that are always on and move.
        low, high: per layer, `Neurons.low` and `Neurons.high`.
        reach: chain -> per layer that has its variables, `Neurons.reach`.
        free: the inputs that have variables.
        unit: the objective is in units of 2**unit.
        carried: chain -> the layers, from 1, that have its variables; None: the first ones.
        middle: chain -> per layer that has its variables, `Neurons.middle`, in the lifting "tied".
        section: of a reach lifting, whose problem is on it; None: it is another.
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
    carried: Mapping[str, tuple[int, ...]] | None = None
    middle: Mapping[str, tuple[Array, ...]] | None = None
    section: Section | None = None

    def carried_by(self, chain: str, count: int) -> tuple[int, ...]:
        """The layers, from 1, of the `count` entries of a chain."""
        return tuple(range(1, count + 1)) if self.carried is None else self.carried[chain]

    def members(self, layer: int, free: Array) -> Array:
        """The neurons of a hidden layer (from 1) that have a variable, or (0) the inputs `free`, which do."""
        return self.unstable[layer - 1] if layer else free


def carried(chain: str, structure: Structure) -> tuple[int, ...]:
    """The layers that have variables of a chain: the masked ones that feed others, or all."""
    return structure.masked if chain in ("q", OF_OUTPUTS) else structure.inner


def check_layout(layout: Layout, net: Network, chains: tuple[str, ...], free: Array, is_local: bool) -> None:
    """Refuse a layout that is none of this network, problem and chains (its numbers are proved elsewhere).

    Raises:
        ValueError: what does not fit.
    """
    hidden, structure = len(net.layers) - 1, net.structure
    per_layer = [values for values in (layout.exponent, layout.active, layout.low, layout.high) if values is not None]
    per_chain = [values for values in (layout.reach_exponent, layout.reach, layout.middle) if values is not None]
    if {len(layout.unstable), *map(len, per_layer)} != {hidden} or any(set(v) != set(chains) for v in per_chain):
        raise ValueError(f"the layout is not one of {hidden} hidden layers")
    for chain in chains:
        wanted = carried(chain, structure)
        if any(layout.carried_by(chain, len(values[chain])) != wanted for values in per_chain):
            raise ValueError(f"the layout is not one of {hidden} hidden layers, of which {wanted} have {chain}")
        if any(len(values[chain]) != len(wanted) for values in per_chain):
            raise ValueError(f"the layout is not one of {hidden} hidden layers")
    whole = [*layout.unstable, *(layout.exponent or ()), *(layout.active or ())]
    whole += [*itertools.chain.from_iterable((layout.reach_exponent or {}).values())]
    whole += [] if layout.free is None else [layout.free]
    if not all(isinstance(array, np.ndarray) and array.dtype == np.int64 and array.ndim == 1 for array in whole):
        raise ValueError("a layout's neurons and scales must be vectors of int64")
    numbers = [*(layout.low or ()), *(layout.high or ()), *itertools.chain.from_iterable((layout.reach or {}).values())]
    numbers += [*itertools.chain.from_iterable((layout.middle or {}).values())]
    if not all(isinstance(array, np.ndarray) and array.dtype == np.float64 and array.ndim == 1 for array in numbers):
        raise ValueError("a layout's bounds must be vectors of float64")
    for l, kept in enumerate(layout.unstable):
        named = kept if layout.active is None else np.concatenate([kept, layout.active[l]])
        if len(np.unique(named)) != len(named) or not ((named >= 0) & (named < net.widths[l + 1])).all():
            raise ValueError(f"the unstable neurons must be distinct indices of hidden layer {l + 1}")
        stated = (values[l] for values in (layout.unstable, layout.low, layout.high, layout.exponent) if values)
        if not is_masked(net.layers[l]) and any(map(len, stated)):
            raise ValueError(f"hidden layer {l + 1} has no activation, so that none of its neurons is unstable")
    if layout.free is not None and not np.array_equal(layout.free, free):
        raise ValueError("the layout's inputs are not those that can move")
    ranges = (*(layout.low or ()), *(layout.high or ()), *(layout.exponent or ()))
    if not is_local and any(len(values) for values in ranges):
        raise ValueError("a layout of a global problem has no pre-activation bounds")
    unit = layout.unit
    if unit is not None and not (type(unit) is int and abs(unit) <= LARGEST_UNIT):
        raise ValueError(f"the layout's unit must be an integer of magnitude at most {LARGEST_UNIT}, not {unit!r}")
