"""What a property asks of a network: boxes, and cases that are empty or not.

A case holds where s_i(x) = m_i . G(x) - h_i <= 0 for all of its inequalities i, or < 0 for strict ones, G the network's
outputs and those inputs that inequalities name. For multipliers lambda >= 0 a lower bound of sum_i lambda_i s_i on the
box that is positive (or 0, where a strict inequality has a positive multiplier) proves that it holds nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from .. import compose
from ..arithmetic.decimals import round_up
from ..arithmetic.float64 import Array
from ..domain import Box
from ..io.vnnlib import Inequality, Region, VnnlibProperty
from ..network import Network

LARGEST = Fraction(float(np.finfo(np.float64).max))
SCALED = 900  # sums of such numbers are far from float64's end


@dataclass(frozen=True, eq=False)
class Conditions:
    """One case: m_i . G <= h_i, the m_i by the columns that are not 0, all numbers exact.

    One with numbers beyond float64 is scaled (docs/prove.md).

    Attributes:
        rows: by inequality {column of G: coefficient}.
        rhs: h_i.
        strict: whether it is < instead of <=.
    """

    rows: tuple[dict[int, Fraction], ...]
    rhs: tuple[Fraction, ...]
    strict: tuple[bool, ...]

    def combined(self, multipliers: Sequence[float]) -> tuple[dict[int, Fraction], Fraction, bool]:
        """sum_i lambda_i m_i by columns, sum_i lambda_i h_i, and whether a strict one has a positive multiplier."""
        row: dict[int, Fraction] = {}
        rhs, is_strict = Fraction(0), False
        for multiplier, own, h, strict in zip(multipliers, self.rows, self.rhs, self.strict, strict=True):
            if multiplier == 0:
                continue
            exact = Fraction(multiplier)
            for column, a in own.items():
                row[column] = row.get(column, Fraction(0)) + exact * a
            rhs += exact * h
            is_strict = is_strict or strict
        return row, rhs, is_strict

    def values(self, G: Array) -> Array:
        """(n, r) float64 s_i at values G (n, K'); steering only."""
        M, h = self.floats(G.shape[1])
        out: Array = G @ M.T - h
        return out

    def floats(self, width: int) -> tuple[Array, Array]:
        """(r, K') the m_i and (r,) the h_i, nearest float64; steering only."""
        M = np.zeros((len(self.rows), width))
        for i, row in enumerate(self.rows):
            M[i, [*row]] = [float(a) for a in row.values()]
        return M, np.array([float(h) for h in self.rhs])


@dataclass(frozen=True, eq=False)
class Area:
    """A box and its cases.

    Attributes:
        region: exactly what the file says.
        domain: a box of float64 numbers around it.
        cases: in the region's order.
    """

    region: Region
    domain: Box
    cases: tuple[Conditions, ...]

    @property
    def is_point(self) -> bool:
        """Whether the region is one point."""
        return self.region.low == self.region.high

    def is_within(self, box: Box) -> bool:
        """Whether a box contains the region: decided exactly."""
        pairs = zip(box.low.tolist(), self.region.low, box.high.tolist(), self.region.high, strict=True)
        return all(Fraction(a) <= low and high <= Fraction(b) for a, low, b, high in pairs)


@dataclass(frozen=True, eq=False)
class Question:
    """A property of a network.

    Attributes:
        net: the network F.
        wide: G: F, and as further outputs the inputs that cases name beside their boxes.
        prop: what was read.
        areas: its regions.
    """

    net: Network
    wide: Network
    prop: VnnlibProperty
    areas: tuple[Area, ...]

    @property
    def count(self) -> int:
        """How many cases there are."""
        return sum(len(area.cases) for area in self.areas)


def question(net: Network, prop: VnnlibProperty) -> Question:
    """The property of that network.

    Raises:
        ValueError: it declares other numbers of inputs or outputs than the network has, or has bounds beyond float64.
    """
    for what, has, width in (("inputs", prop.inputs, net.widths[0]), ("outputs", prop.outputs, net.widths[-1])):
        if has != width:
            raise ValueError(f"the property declares {has} {what}, but the network has {width}")
    named = sorted({
        i for region in prop.regions for case in region.cases for part in case for i in part.terms if i < prop.inputs
    })  # fmt: skip
    wide = Network.from_layers(compose.with_inputs(net.layers, np.array(named))) if named else net
    column = {i: prop.outputs + k for k, i in enumerate(named)}
    column |= {prop.inputs + k: k for k in range(prop.outputs)}
    # by identity: cases share their inequalities
    known: dict[int, tuple[dict[int, Fraction], Fraction, bool, Inequality]] = {}

    def row(part: Inequality) -> tuple[dict[int, Fraction], Fraction, bool]:
        if id(part) not in known:
            scale = _scale(part)
            terms = {column[i]: a * scale for i, a in part.terms.items()}
            known[id(part)] = terms, part.rhs * scale, part.strict, part
        return known[id(part)][:3]

    areas = []
    for region in prop.regions:
        found = tuple(
            Conditions(*(tuple(row(part)[k] for part in case) for k in range(3)))  # type: ignore[arg-type]
            for case in region.cases
        )
        areas.append(Area(region, _around(region, prop), found))
    return Question(net, wide, prop, tuple(areas))


def _scale(part: Inequality) -> Fraction:
    """1, or the power of two that an inequality with numbers beyond float64 is multiplied by: its largest one is then
    about 2^`SCALED`, and what it says is the same.
    """
    size = max(map(abs, (*part.terms.values(), part.rhs)))
    if size <= LARGEST:
        return Fraction(1)
    return Fraction(2) ** (SCALED + size.denominator.bit_length() - size.numerator.bit_length())


def _around(region: Region, prop: VnnlibProperty) -> Box:
    low, high = np.empty(prop.inputs), np.empty(prop.inputs)
    for i, (a, b) in enumerate(zip(region.low, region.high, strict=True)):
        try:
            low[i], high[i] = -round_up(-a), round_up(b)
        except ValueError:
            low[i] = np.inf
        if not (np.isfinite(low[i]) and np.isfinite(high[i])):
            raise ValueError(f"the bounds of {prop.variables.name('X', i)} are larger than float64 can hold")
    if (low == high).all():
        low[0] = np.nextafter(low[0], -np.inf)  # a Box is no point
    return Box(low, high)


def target(conditions: Conditions, multipliers: Sequence[float], width: int) -> Array:
    """(K',) the float64 combination nearest to sum_i lambda_i m_i."""
    out = np.zeros(width)
    for column, a in conditions.combined(multipliers)[0].items():
        out[column] = float(a)
    return out


def is_empty(
    conditions: Conditions, multipliers: Sequence[float], along: Array, least: float, reach: Array | None
) -> bool:
    """Whether the case holds nowhere, as `along . G >= least` on its box proves with the multipliers.

    Args:
        conditions: the case.
        multipliers: one finite number >= 0 for each inequality.
        along: (K',) float64, as good as `target`: what it misses is bounded by `reach`.
        least: the proved lower bound.
        reach: (K',) proved upper bounds of |G|; None: none is known, and `along` has to be exact.
    """
    row, rhs, is_strict = conditions.combined(multipliers)
    if not row or not np.isfinite(least):
        return False
    margin = Fraction(least) - rhs
    for column in {*row, *np.flatnonzero(along).tolist()}:
        missed = abs(row.get(column, Fraction(0)) - Fraction(float(along[column])))
        if missed:
            if reach is None or not np.isfinite(reach[column]):
                return False
            margin -= missed * Fraction(float(reach[column]))
    return margin > 0 or (margin == 0 and is_strict)
