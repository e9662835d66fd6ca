"""Where a network jumps: softplus at its threshold, as torch has it. No constant bounds what is across a jump.

torch's default threshold, 20, is there for float32's sake: softplus falls by 2.1e-9 / beta, and what a constant says is
said beside it. Of a lower threshold, which a caller has chosen, the jump is part of the function: it has no constant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arithmetic.float64 import Array
from ..layer import Layer
from ..network import Network
from ..problem import Problem
from .linear import preactivation_bounds
from .lines import jumps

# Jumps, times beta, that are rounding of a runtime in float32.
SMALL = 1e-8
# ... and those of a threshold that no float64 exceeds: ONNX's softplus, which has none.
NONE = 1e-300


def may_jump(net: Network, bounds: Sequence[tuple[Array, Array]] | None) -> bool:
    """Whether a neuron may meet a threshold within pre-activation bounds, (p_l,) each; None: everywhere."""
    return bool(_jumping(net, bounds))


def largest_jump(net: Network, problem: Problem) -> float:
    """By how much a softplus may fall at its threshold in the domain, at or above; 0 where none does."""
    return max((fall_of(layer) for layer in _of(net, problem)), default=0.0)


def refuse_jumps(net: Network, problem: Problem) -> None:
    """Refuse a Lipschitz constant of what has none.

    Raises:
        ValueError: a softplus of the network may fall in the domain by more than rounding.
    """
    for layer in _of(net, problem):
        fall, own = fall_of(layer), layer.numbers
        if fall * float(own["beta"]) > SMALL:
            where = "the domain may meet" if problem.domain.is_bounded else "inputs meet"
            raise ValueError(
                f"the network has no Lipschitz constant: a softplus of threshold {float(own['threshold']):g}, which "
                f"{where}, falls there by {fall:.3g}; give one of threshold 20 (torch's default) or more, or a domain "
                "that keeps away from it (maximum and certify(via='sdp') take it as it is)"
            )


def _of(net: Network, problem: Problem) -> list[Layer]:
    if not any(layer.activation == "softplus" for layer in net.layers):
        return []
    return _jumping(net, preactivation_bounds(net, problem) if problem.is_local else None)


def _jumping(net: Network, bounds: Sequence[tuple[Array, Array]] | None) -> list[Layer]:
    found = []
    for l, layer in enumerate(net.layers[:-1]):
        low, high = np.array([[-np.inf], [np.inf]]) if bounds is None else bounds[l]
        if jumps(layer, low, high).any() and fall_of(layer) > NONE:
            found.append(layer)
    return found


def fall_of(layer: Layer) -> float:
    """A number at or above what a softplus falls by where it jumps; 0 of other layers."""
    if layer.activation != "softplus":
        return 0.0
    from ..arithmetic.hulls import jump  # here: it loads python-flint

    return jump(layer.numbers)
