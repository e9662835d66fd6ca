"""Split squares: what two neurons' masks say of what they multiply, whatever that is (docs/theory/cuts.md).

A chain has b before a neuron's mask and m = u b behind it; b - m is behind the other mask, 1 - u. Let m_1 be one of the
two of one neuron, m_2 of another. Where their product is not 0 both masks are 1, so that m_1 = b_1 and m_2 = b_2, and

    (alpha b_1 - beta b_2)^2 + 4 alpha beta m_1 m_2

is (alpha b_1 + beta b_2)^2 there and (alpha b_1 - beta b_2)^2 elsewhere: >= 0 for all alpha and beta. Together they say
|E[b_1 b_2] - 2 E[m_1 m_2]| <= (E[b_1^2] E[b_2^2])^(1/2), which no bound of b is needed for. Multipliers are the rows of
one array of float64, (m, 5): the numbers of two masked forms (`MaskTable`), alpha, beta, and the multiplier.

Certificates may have them; what is sought now is mixtures (mixtures.py), of which they are a kind.
"""

from __future__ import annotations

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import row_norms
from ..arithmetic.protocol import Arithmetic
from .basis import BEFORE_MASK, Group, Lifting
from .chains import FactorName, masked_pair
from .cones import of_unit_length
from .forms import Form
from .products import Terms, by_kinds, numbers_of, put, summed

SPLIT_SQUARES = "squares"


class MaskTable:
    """All masked forms of a lifting, numbered: of each chain and layer those behind u (sign 1), then 1 - u (sign -1).

    Attributes:
        names: of each block; their kind is the chain.
        before, behind: forms, block by block.
        starts: (len(names) + 1,) number of the first of each.
    """

    def __init__(self, lifting: Lifting):
        self.names: list[FactorName] = []
        self.before: list[Form] = []
        self.behind: list[Form] = []
        for layer in lifting.masked:
            for chain in () if layer in lifting.curves else chains_of(lifting, layer):
                m, b = masked_pair(lifting, chain, layer)
                self.names += [FactorName(chain, 1, layer), FactorName(chain, -1, layer)]
                self.before += [b, b]
                self.behind += [m, b - m]
        self.starts = np.cumsum([0, *(form.rows for form in self.before)])

    @property
    def count(self) -> int:
        """How many."""
        return int(self.starts[-1])


def chains_of(lifting: Lifting, layer: int) -> tuple[str, ...]:
    """The chains that have variables in a masked layer, LipSDP's among them."""
    return tuple(c for c in BEFORE_MASK if Group(c, layer) in lifting.sizes or Group(c, layer) in lifting.derived)


def decode(lifting: Lifting, rows: Array) -> tuple[Array, Array, Array]:
    """Numbers (m, 2) int64, alpha and beta (m, 2), and multipliers (m,) clipped at 0, of a certificate's rows.

    Raises:
        ValueError: not rows of five numbers, or numbers of no masked forms.
    """
    if np.ndim(rows) != 2 or np.shape(rows)[1] != 5:
        raise ValueError(f"split squares must be rows of five numbers, but their shape is {np.shape(rows)}")
    what = "split squares must be of two numbers of masked forms"
    return numbers_of(rows[:, :2], MaskTable(lifting).count, what), rows[:, 2:4], np.maximum(rows[:, 4], 0.0)


def square_entries(
    lifting: Lifting, rows: Array, arithmetic: type[Arithmetic] = Enclosure
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What sum lambda ((alpha b_1 - beta b_2)^2 + 4 alpha beta m_1 m_2) adds to a quadratic form; no position twice.

    Raises:
        ValueError: see `decode`; or numbers beyond float64.
    """
    numbers, scales, weight = decode(lifting, rows)
    scales, _, weight = of_unit_length(scales, weight, lambda mu: row_norms(mu, 2), 2)
    table = MaskTable(lifting)
    block = np.searchsorted(table.starts, numbers, side="right") - 1
    parts: Terms = {}
    for (first, second), here in by_kinds(block):
        i, j = (numbers[here, n] - table.starts[name] for n, name in enumerate((first, second)))
        alpha, beta = scales[here].T
        # one term a form but behind 1 - u, where they are b's and m's; coefficients are 1 or -1, and b_i is b's entry i
        (b,), (c,) = table.before[first].terms, table.before[second].terms
        put(parts, b.group, b.group, i, i, weight[here] * alpha * alpha)
        put(parts, c.group, c.group, j, j, weight[here] * beta * beta)
        across = weight[here] * alpha * beta
        put(parts, b.group, c.group, i, j, -2.0 * across)
        for f in table.behind[first].terms:
            for g in table.behind[second].terms:
                put(parts, f.group, g.group, i, j, 4.0 * across * (f.coefficient[i] * g.coefficient[j]))
    return summed(lifting, parts, arithmetic)
