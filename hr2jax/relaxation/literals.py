"""What pre-activations obey together where some masks are known: proved heights (docs/theory/cuts.md).

A *literal* says of a neuron that it is on, or that it is off. Where some hold, a combination of those neurons' z is at
most a height: from the last layer to the first each x = u z is z or 0 where a literal says so, and else lies above
a z, a in [0, 1], and below the line through its values at the ends of z's bounds; what remains is linear in the input,
whose largest value is a norm. Any a, the *slopes*, are valid; those of the linear program's dual are the best.
Combinations of neurons that take the input alone need none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arithmetic.float64 import Array
from ..arithmetic.norms import row_norms
from .basis import ONE, XI, Group, Lifting
from .products import FactorTable, numbers_of


class Literals(NamedTuple):
    """Rows of k literals each.

    Attributes:
        signs: (m, k) 1 where it says on, -1 where off.
        layers: (m, k).
        place: (m, k) positions among the layer's neurons that have a variable.
    """

    signs: Array
    layers: Array
    place: Array


def literal_layers(lifting: Lifting) -> tuple[int, ...]:
    """The layers of whose neurons there are literals: all that have x; none on a section, or where smooth layers do."""
    has_others = lifting.by_chains or bool(lifting.ties)
    if XI not in lifting.sizes or lifting.presolve.section is not None or has_others:
        return ()
    return tuple(l for l in lifting.masked if Group("x", l) in lifting.sizes)


def width_of(lifting: Lifting) -> int:
    """How many neurons have literals, and so slopes: layer by layer, in the order of their variables."""
    return sum(lifting.sizes[Group("x", l)] for l in literal_layers(lifting))


def decode(lifting: Lifting, numbers: Array, what: str, layers: tuple[int, ...] | None = None) -> Literals:
    """The literals of numbers (m, k) of factors u and 1 - u (`products.FactorTable`), of `literal_layers` or others.

    Raises:
        ValueError: other factors, or two of one neuron in a row.
    """
    table, known = FactorTable(lifting), literal_layers(lifting) if layers is None else layers
    numbers = numbers_of(numbers, table.count, f"{what} must be numbers of factors")
    name = table.of(numbers)
    is_mask = np.array([n.kind == "U" and n.layer in known for n in table.names], dtype=bool)
    if not is_mask[name].all():
        raise ValueError(f"{what} must be u or 1 - u of layers that have x")
    signs, own = np.array([(n.sign, n.layer) for n in table.names], dtype=np.int64).reshape(-1, 2).T
    out = Literals(signs[name], own[name], numbers - table.starts[name])
    code = np.sort(out.layers * (table.count + 1) + out.place, axis=1)
    if (code[:, 1:] == code[:, :-1]).any():
        raise ValueError(f"{what} must be of different neurons")
    return out


def check_proofs(lifting: Lifting, directions: Array, slopes: Array, what: str) -> None:
    """Refuse directions beyond [-1, 1] and slopes that are not numbers from 0 to 1.

    Raises:
        ValueError: see above.
    """
    if not (np.abs(directions) <= 1.0).all():
        raise ValueError(f"directions of {what} must be numbers from -1 to 1")
    if slopes.shape[1] != width_of(lifting) or not ((slopes >= 0.0) & (slopes <= 1.0)).all():
        raise ValueError(f"slopes of {what} must be rows of {width_of(lifting)} numbers from 0 to 1")


def heights(lifting: Lifting, literals: Literals, directions: Array, slopes: Array) -> Array:
    """(m,) float64 at or above  sum_k directions_k z_k  where the row's literals hold; infinite after an overflow.

    Args:
        lifting: of a bounded domain, its coefficients enclosed.
        literals: m rows of k.
        directions: (m, k) float64, for z in its scale.
        slopes: (m, width_of) float64 in [0, 1].
    """
    layers = literal_layers(lifting)
    maps = {l: lifting.derived[Group("z", l)] for l in layers}
    kind: Any = type(next(iter(maps[layers[0]].values())))
    m, row = len(directions), np.arange(len(directions))
    starts = np.cumsum([0, *(lifting.sizes[Group("x", l)] for l in layers)]).tolist()
    constant, of_xi = kind(np.zeros((m, 1))), kind(np.zeros((m, lifting.sizes[XI])))
    of_x = {l: kind(np.zeros((m, lifting.sizes[Group("x", l)]))) for l in layers}
    with np.errstate(all="ignore"):
        for l, start in reversed(list(zip(layers, starts, strict=False))):
            neurons = lifting.presolve.layers[l - 1]
            of_z, says = np.zeros((2, m, len(neurons.unstable)))
            for k in range(directions.shape[1]):
                here = literals.layers[:, k] == l
                of_z[row[here], literals.place[here, k]] = directions[here, k]
                says[row[here], literals.place[here, k]] = literals.signs[here, k]
            M, missed = of_x[l].mid, of_x[l].rad  # of what coefficients miss, x is at most 1
            low, high = np.minimum(neurons.low, 0.0), np.maximum(neurons.high, 0.0)
            width = np.where(high > low, high - low, 1.0)  # exact: both on the grid
            steep = np.nextafter(high / width, np.inf)
            above, below = np.where(says == 0, np.maximum(M, 0.0), 0.0), np.where(says == 0, np.minimum(M, 0.0), 0.0)
            lines = kind(above) * steep
            constant = constant + (kind(missed).sum(axis=1) - (lines * low).sum(axis=1)).reshape(-1, 1)
            own = slopes[:, start : start + len(neurons.unstable)]
            of_z = lines + kind(below) * own + np.where(says == 1, M, 0.0) + of_z
            for group, matrix in maps[l].items():
                if group == ONE:
                    constant = constant + of_z @ matrix
                elif group == XI:
                    of_xi = of_xi + of_z @ matrix
                else:
                    of_x[group.layer] = of_x[group.layer] + of_z @ matrix
        length = row_norms(of_xi.magnitude(), lifting.norms[XI])
        out = (constant.reshape(-1) + length).upper()
    return np.where(np.isfinite(out), out, np.inf)
