"""Products of two factors as cutting planes: what `hr2+` adds at several hidden layers (docs/theory/cuts.md).

Factors (chains.py) are numbered through, kind by kind. A cut is a pair of numbers: f_a.y f_b.y >= 0. Which kinds are
paired is the relaxation's choice; to the certificate every pair is valid.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations_with_replacement

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.protocol import Arithmetic
from ..arithmetic.sums import sums_by_place
from .basis import XI, Group, Lifting
from .chains import factors

# By pair of groups, (i, j, values): terms of the products of their entries.
Terms = dict[tuple[Group, Group], list[tuple[Array, Array, Array]]]

PRODUCTS = "products"

# pairs of kinds that hr2+ separates: globally, locally (see chains.py)
WITHIN = "X.X"  # what callers call all pairs of two factors of one chain
OF_CHAINS = ("V.V", "V.VC", "VC.VC", "A.A", "A.AC", "AC.AC", "AS.AS", "AS.ASC", "ASC.ASC")
OF_VALUES = ("X.X", "X.XC", "XC.XC")
CURVES = ("E", "F", "FA", "FB")  # of smooth layers whose values are variables; what Z says follows from F's
OF_CURVES = (
    *(".".join(pair) for pair in combinations_with_replacement(CURVES, 2)),
    *(f"{kind}.{curve}" for kind in ("X", "XC") for curve in CURVES),
)
TIES = ("D", "K", "B", "BC")  # of smooth layers whose slopes are functions of z
OF_TIES = (
    *(".".join(pair) for pair in combinations_with_replacement(TIES, 2)),
    *(f"{kind}.{tie}" for kind in ("A", "AC") for tie in TIES),
)
WITH_TIES = {kind: tuple(f"{kind}.{tie}" for tie in TIES) for kind in ("T", "X0", "U")}
WITH_CURVES = {kind: tuple(f"{kind}.{curve}" for curve in CURVES) for kind in ("X0", "U")}
GLOBAL_PAIRS = (
    "T.U", "T.V", "T.VC", "U.U", "U.V", "U.VC", "T.A", "T.AC", "U.A", "U.AC", "S.U",
    "T.AS", "T.ASC", "U.AS", "U.ASC", *OF_CHAINS,
)  # fmt: skip
LOCAL_PAIRS = (
    "T.U", "X0.U", "T.X0", "T.V", "T.VC", "U.U", "U.V", "U.VC", "U.X", "U.XC", "X0.X", "X0.XC", "T.A", "T.AC", "U.A",
    "U.AC", "S.U", "T.AS", "T.ASC", "U.AS", "U.ASC", *OF_CHAINS, *OF_VALUES, *OF_CURVES, *WITH_CURVES["X0"],
    *WITH_CURVES["U"], *OF_TIES, *WITH_TIES["T"], *WITH_TIES["X0"], *WITH_TIES["U"],
)  # fmt: skip


def pairs_of(lifting: Lifting) -> tuple[str, ...]:
    """The pairs of kinds that are separated on a lifting."""
    return LOCAL_PAIRS if XI in lifting.sizes else GLOBAL_PAIRS


class FactorTable:
    """All factors of a lifting, numbered.

    Attributes:
        names: one per kind, sign and layer.
        forms: their forms.
        starts: (len(names) + 1,) number of the first factor of each.
    """

    def __init__(self, lifting: Lifting):
        every = factors(lifting)
        self.names, self.forms = tuple(every), tuple(every.values())
        self.starts = np.cumsum([0, *(form.rows for form in self.forms)])

    @property
    def count(self) -> int:
        """How many factors."""
        return int(self.starts[-1])

    def of(self, number: Array) -> Array:
        """Which of `names` each number belongs to."""
        return np.searchsorted(self.starts, number, side="right") - 1


def numbers_of(values: Array, count: int, what: str) -> Array:
    """`values` as int64.

    Raises:
        ValueError: `what`, "... numbers", from 0 to count - 1: some are no such numbers.
    """
    if not ((values >= 0) & (values < count) & (values == np.rint(values))).all():
        raise ValueError(f"{what} from 0 to {count - 1}")
    return values.astype(np.int64)


def by_kinds(kinds: Array) -> Iterator[tuple[list[int], Array]]:
    """Every pair that occurs in `kinds` (m, 2), and the rows where it does."""
    pairs, inverse = np.unique(kinds, axis=0, return_inverse=True)
    for k, pair in enumerate(pairs.tolist()):
        yield pair, np.flatnonzero(np.ravel(inverse) == k)


def product_entries(
    lifting: Lifting, rows: Array, arithmetic: type[Arithmetic] = Enclosure
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What sum lambda f_a f_b adds to a quadratic form, as arguments of its `add`; no position twice.

    Args:
        lifting: the basis.
        rows: (m, 3) float64: two numbers of factors and a multiplier (clipped at 0), as a certificate has them.
        arithmetic: of the result.

    Raises:
        ValueError: not rows of three numbers, or numbers that are no factors.
    """
    if np.ndim(rows) != 2 or np.shape(rows)[1] != 3:
        raise ValueError(f"products must be rows of three numbers, but their shape is {np.shape(rows)}")
    table = FactorTable(lifting)
    pair = numbers_of(rows[:, :2], table.count, "a product's factors must be numbers")
    (a, b), weight = pair.T, np.maximum(rows[:, 2], 0.0)
    parts: Terms = {}
    for (first, second), here in by_kinds(table.of(pair)):
        i, j = a[here] - table.starts[first], b[here] - table.starts[second]
        for f in table.forms[first].terms:
            for g in table.forms[second].terms:
                # two roundings of the three factors: accounted for in the sums' error
                value = weight[here] * f.coefficient[i] * g.coefficient[j]
                put(parts, f.group, g.group, f.index[i], g.index[j], value)
    return summed(lifting, parts, arithmetic)


def put(parts: Terms, g: Group, h: Group, i: Array, j: Array, value: Array) -> None:
    """Add terms of y_g[i] y_h[j], which are those of (h, g) turned where that pair is there already."""
    if (g, h) in parts or (h, g) not in parts:
        parts.setdefault((g, h), []).append((i, j, value))
    else:
        parts[h, g].append((j, i, value))


def summed(
    lifting: Lifting, parts: Terms, arithmetic: type[Arithmetic], roundings: int = 2
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """Terms (i, j, values) by pair of groups, added up by position; values of three factors are of two roundings."""
    out = []
    for (g, h), terms in parts.items():
        i, j, value = (np.concatenate(column) for column in zip(*terms, strict=True))
        width = lifting.length(h)
        places, total, error = sums_by_place(i * width + j, value, roundings)
        out.append((g, h, *np.divmod(places, width), arithmetic(total, error)))
    return out
