"""How large what the chains' masks multiply can be: proved, and stated in a scale (docs/theory/depth.md)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..arithmetic.enclosure import Enclosure, TooLargeError
from ..arithmetic.float64 import Array
from ..arithmetic.norms import DUAL, row_norms
from ..bounds import adjoint_bounds, adjoint_ranges, tangent_bounds
from ..network import Network
from ..problem import Problem
from .layout import ADJOINTS, Layout, carried
from .neurons import Neurons, masks
from .scales import exponents, on_grid, proved, raised, reach_margins


def with_reach(
    net: Network, problem: Problem, directions: Array, layers: list[Neurons], arithmetic: type[Enclosure],
    layout: Layout | None, chains: tuple[str, ...], tied: bool,
) -> list[Neurons]:  # fmt: skip
    """The layers with the sizes of what the chains' masks multiply; if `tied`, less their middles (ties.py).

    Raises:
        ValueError: a layout states a smaller size than is proved here, or none that fits.
    """
    on, off = masks(net, layers)
    reach: list[dict[str, Array]] = [{} for _ in layers]
    scales: list[dict[str, Array]] = [{} for _ in layers]
    middles: list[dict[str, Array]] = [{} for _ in layers]
    smooth = {l for l, layer in enumerate(net.layers, 1) if not layer.is_kinked}
    given_middles = None if layout is None else layout.middle
    if tied and layout is not None and given_middles is None:
        raise ValueError("a layout of the tied lifting has the middles of its adjoints")
    for chain in chains:
        bounds = adjoint_bounds if chain in ADJOINTS else tangent_bounds
        sizes = bounds(net, problem, directions, on, off, arithmetic)
        margin = reach_margins(net, problem, sizes, chain)
        pairs = [adjoint_ranges(net, one, on, off, arithmetic) for one in _values(problem)] if tied else []
        for place, number in enumerate(carried(chain, net.structure)):
            l, layer = number - 1, layers[number - 1]
            moving = np.concatenate([layer.unstable, layer.active, layer.inactive]).astype(np.int64)
            if not np.isfinite(sizes[l][moving]).all():
                raise TooLargeError(f"the bounds of layer {l + 1}'s derivatives overflow float64")
            size, given, stated = sizes[l][layer.unstable], None, None
            if tied:
                low, high = (np.concatenate([each[l][k][layer.unstable] for each in pairs]) for k in (0, 1))
                middle = _middle(low, high, number in smooth) if given_middles is None else given_middles[chain][place]
                if np.shape(middle) != np.shape(low):
                    raise ValueError(f"{len(low)} middles are needed, but their shape is {np.shape(middle)}")
                middles[l][chain] = middle
                size = np.maximum((Enclosure(high) - middle).upper(), (Enclosure(middle) - low).upper())
                if problem.is_vector:  # of s . M F for every s of norm 1, as the middle is of s times these
                    size = row_norms(size.reshape(len(pairs), -1).T, DUAL[problem.output_norm], arithmetic)
            if layout is not None and layout.reach_exponent is not None:
                given = layout.reach_exponent[chain][place]
                stated = None if layout.reach is None else layout.reach[chain][place]
            if stated is None or given is None:
                size = raised(size, margin[l][layer.unstable])
            scales[l][chain] = exponents(size, given, "derivative's")
            if stated is None or given is None:
                reach[l][chain] = on_grid(size, scales[l][chain])
            else:
                reach[l][chain] = proved(stated, size, given, "derivative's", least=0.0)
    found = zip(layers, reach, scales, middles, strict=True)
    return [replace(x, reach=r, reach_exponent=e, middle=m) for x, r, e, m in found]


def _values(problem: Problem) -> list[Problem]:
    """The problems of the values, one by one."""
    return [problem.along(row) for row in np.atleast_2d(problem.coefficients)]


def _middle(low: Array, high: Array, is_smooth: bool) -> Array:
    """What the adjoints of a layer are taken from: of kinked ones 0, as equalities of what is near 0 fix a.

    The interior that Newton's method walks through would be lost with that.
    """
    return 0.5 * low + 0.5 * high if is_smooth else np.zeros(len(low))
