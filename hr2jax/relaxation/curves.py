"""Values behind a smooth layer as variables: what is known of sigma(z) on l <= z <= h (docs/theory/depth.md).

    sigma(z) = s z + c + r e,  |e| <= 1            between two parallel lines, proved in bounds/lines.py
    f  = sigma(z)                                  within its hull
    fa = sigma(z) - sigma(m) - alpha (z - m)       rises with z, alpha <= sigma' <= beta on the interval
    fb = beta (z - m) - (sigma(z) - sigma(m))      rises with z, too; both are 0 at m, its middle, so that fa fb >= 0

e is the variable, the others are linear in it and z. All follow from the bounds l and h that a certificate states.
Where sigma is straight, or may jump (softplus at its threshold), fa = fb = e stand in, of which the same is true.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arithmetic.enclosure import Enclosure, TooLargeError
from ..arithmetic.float64 import Array
from ..bounds.lines import jumps, parallel_lines
from ..graph import between
from ..layer import Layer
from .basis import ONE, Group, LinearMap
from .neurons import Neurons, ends
from .pieces import add
from .scales import GRID, exponents, on_grid

DERIVED = ("f", "fa", "fb")


@dataclass(frozen=True)
class Curves:
    """What is known of the values of a smooth layer's neurons that have a variable, (n,) each.

    Attributes:
        slope, shift, reach: s, c and r, float64 numbers.
        least, most: alpha and beta.
        middle: m.
        at_middle: (low, high) of sigma(m).
        known: whether fa and fb are what is said above, and not e.
        low, high: of each of `DERIVED`: the multiples of 2**-GRID, in [-1, 1], between which it is over 2**exponent.
        exponent: of each of `DERIVED`, int64.
    """

    slope: Array
    shift: Array
    reach: Array
    least: Array
    most: Array
    middle: Array
    at_middle: tuple[Array, Array]
    known: Array
    low: dict[str, Array]
    high: dict[str, Array]
    exponent: dict[str, Array]

    def rows(self, kind: str, l: int, z: LinearMap, scale: Array, arithmetic: type[Enclosure]) -> LinearMap:
        """f, fa or fb over its 2**exponent, linear in z's groups and e; z is given over 2**scale."""
        s, c, r = arithmetic(self.slope), arithmetic(self.shift), arithmetic(self.reach)
        if kind != "f":
            bent = self.least if kind == "fa" else self.most
            s, c = s - bent, c - between(arithmetic, *self.at_middle) + arithmetic(self.middle) * bent
            known = self.known.astype(np.float64) * (1.0 if kind == "fa" else -1.0)
            s, c, r = s * known, c * known, r * known + np.where(self.known, 0.0, 1.0)
        exponent = self.exponent[kind]
        out = {g: (m * s.reshape(-1, 1)).scaled((scale - exponent).reshape(-1, 1)) for g, m in z.items()}
        n = len(exponent)
        of_e = arithmetic(np.zeros((n, n)))
        of_e[np.arange(n), np.arange(n)] = r.scaled(-exponent)
        add(out, {ONE: c.scaled(-exponent).reshape(-1, 1), Group("e", l): of_e})
        return out


def curves_of(layer: Layer, neurons: Neurons) -> Curves:
    """A smooth layer's, its slopes known (`Layer.with_slopes`), of the neurons with a variable.

    Raises:
        TooLargeError: values that overflow float64.
    """
    low, high = ends(neurons)
    alpha, beta = (side[neurons.unstable] for side in layer.slopes)
    with np.errstate(all="ignore"):
        s, below, above = parallel_lines(layer, low, high)
        c = 0.5 * below + 0.5 * above
        r = np.maximum(np.maximum((Enclosure(above) - c).upper(), (Enclosure(c) - below).upper()), 0.0)
        m = np.clip(0.5 * low + 0.5 * high, low, high)
        at, at_low, at_high = (between(Enclosure, *layer.values_between(x, x)) for x in (m, low, high))
        known = np.isfinite(alpha) & np.isfinite(beta) & ~jumps(layer, low, high)
        alpha, beta = np.where(known, alpha, 0.0), np.where(known, beta, 0.0)
        to_low, to_high, down, up = Enclosure(low) - m, Enclosure(high) - m, at_low - at, at_high - at
        sides = {
            "f": layer.values_between(low, high),
            "fa": ((down - to_low * alpha).lower(), (up - to_high * alpha).upper()),
            "fb": ((to_low * beta - down).lower(), (to_high * beta - up).upper()),
        }
        farthest = np.maximum(np.abs(low), np.abs(high)) * np.maximum(np.abs(alpha), np.abs(beta))
        roundings = np.ldexp(np.maximum(np.abs(at_low.mid), np.abs(at_high.mid)) + farthest, -GRID)
        for kind in ("fa", "fb"):
            lowest, highest = sides[kind]
            known &= np.isfinite(lowest) & np.isfinite(highest) & (highest - lowest > roundings)
            sides[kind] = np.minimum(lowest, 0.0), np.maximum(highest, 0.0)
    if not all(np.isfinite(side).all() for side in (s, c, r, *sides["f"])):
        raise TooLargeError(f"the values of a layer of {layer.activation} overflow float64")
    lows, highs, scales = {}, {}, {}
    ranges = {"f": sides["f"]}
    for kind in DERIVED[1:]:
        ranges[kind] = np.where(known, sides[kind][0], -1.0), np.where(known, sides[kind][1], 1.0)
    for kind, (lowest, highest) in ranges.items():
        scales[kind] = exponents(np.maximum(np.abs(lowest), np.abs(highest)), None, "value's")
        lows[kind], highs[kind] = -on_grid(-lowest, scales[kind]), on_grid(highest, scales[kind])
    return Curves(s, c, r, alpha, beta, m, (at.lower(), at.upper()), known, lows, highs, scales)
