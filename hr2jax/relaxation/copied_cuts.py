"""Cutting planes of the tensored lifting: one output's, in a direction among the copies (docs/theory/cuts.md).

Rows of float64, whose last number is the multiplier (a certificate names them: certificate/copied_names.py):

    products   two factors' numbers, a direction (K): (q.s)^2 f g >= 0 where both are even, else what m says
    triangles  three signed positions a, b, c in one output's basis, counted from 1, and a direction (K): the product of
               a + b and a + c, a a sign: 1 + ab + ac + bc >= 0
    cones      an even factor's number, a matrix mu (K, length of t): L phi - phi s^T mu t >= 0, where L is at least
               max s^T mu t; of signs s a length for each row of mu
    balls      an even factor's number, a direction (K) and mu (length of xi): (q.s)^2 phi (||mu|| - mu.xi) >= 0
    events     one output's event row (events.py) without its multiplier, and a direction (K): (q.s)^2 times it
    clauses    one output's clause (clauses.py) in the same way
    exclusions one output's factor times an exclusion (exclusions.py), and a direction (K): as of products

Every direction and mu is valid. They are scaled by powers of two to lengths of about 1 before anything is multiplied.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import row_norms, sqrt_up
from ..arithmetic.protocol import Arithmetic
from .basis import ONE, XI, Group, S, T
from .chains import FactorName
from .clauses import LENGTH, clause_heights
from .clauses import decode as decode_clauses
from .cones import of_unit_length
from .copies import NO_COPY, ROUNDINGS, Entries, Parts, entries_of, joined, mixed_parts
from .events import decode as decode_events
from .exclusions import NONE, row_width
from .exclusions import decode as decode_exclusions
from .forms import Form, Term, constant
from .literals import Literals, heights, width_of
from .products import FactorTable, Terms, summed
from .tensored import ODD, Tensored, copied, is_odd

PRODUCTS, TRIANGLES, CONES, BALLS = "tensored.products", "tensored.triangles", "tensored.cones", "tensored.balls"
EVENTS, CLAUSES, EXCLUSIONS = "tensored.events", "tensored.clauses", "tensored.exclusions"
TINY = 2.0**-1000


def factor_parities(lifting: Tensored) -> Array:
    """(count,) bool: which factors of one output are even."""
    table = FactorTable(lifting.one)
    even = [not any(is_odd(term.group) for term in form.terms) for form in table.forms]
    return np.repeat(np.array(even, dtype=bool), [form.rows for form in table.forms])


def stacked(lifting: Tensored, numbers: Array) -> Form:
    """The factors of these numbers as one form, a row each."""
    table = FactorTable(lifting.one)
    kind = table.of(numbers)
    terms: dict[tuple[Group, int], tuple[Array, Array]] = {}
    for k in np.unique(kind).tolist():
        here = np.flatnonzero(kind == k)
        seen: dict[Group, int] = {}
        for term in table.forms[k].terms:  # a group's second term is another's
            seen[term.group] = seen.get(term.group, -1) + 1
            key = term.group, seen[term.group]
            index, coefficient = terms.setdefault(key, (np.zeros(len(kind), np.int64), np.zeros(len(kind))))
            row = numbers[here] - table.starts[k]
            index[here], coefficient[here] = term.index[row], term.coefficient[row]
    return Form(tuple(Term(group, *arrays) for (group, _), arrays in terms.items()))


def of_positions(lifting: Tensored, positions: Array, coefficients: Array) -> Form:
    """Forms (m,) of some entries each of one output's basis, (m, r) positions and coefficients."""
    groups = list(lifting.one.sizes)
    number, index = lifting.one.placement.groups_of(positions)
    terms = []
    for k, group in enumerate(groups):
        for column in range(positions.shape[1]):
            here = number[:, column] == k
            if here.any():
                at = np.where(here, index[:, column], 0)
                terms.append(Term(group, at, np.where(here, coefficients[:, column], 0.0)))
    return Form(tuple(terms))


def _split(rows: Array, what: str, *widths: int) -> tuple[Array, ...]:
    """The columns of rows by their widths, and the multipliers, clipped at 0.

    Raises:
        ValueError: rows of another width.
    """
    if np.ndim(rows) != 2 or np.shape(rows)[1] != sum(widths) + 1:
        raise ValueError(f"{what} must be rows of {sum(widths) + 1} numbers, but their shape is {np.shape(rows)}")
    parts = np.split(np.asarray(rows, dtype=np.float64), np.cumsum(widths), axis=1)
    return (*parts[:-1], np.maximum(parts[-1][:, 0], 0.0))


def _numbers(values: Array, count: int, what: str) -> Array:
    if not ((values >= 0) & (values < count) & (values == np.rint(values))).all():
        raise ValueError(f"{what} must be numbers from 0 to {count - 1}")
    return values.astype(np.int64)


def _lengths(lifting: Tensored) -> Callable[[Array], Array]:
    """Of directions among copies: Euclidean, or of signs s the sum of magnitudes."""
    return lambda m: row_norms(m, lifting.norms[S])


def _in_directions(
    lifting: Tensored, F: Form, G: Form, is_even: Array, directions: Array, weight: Array,
    arithmetic: type[Arithmetic],
) -> Entries:  # fmt: skip
    """What products of forms in directions add to a quadratic form."""
    q, _, squared = of_unit_length(directions, weight, lambda mu: row_norms(mu, 2), 2)
    m, length, weight = of_unit_length(directions, weight, _lengths(lifting))
    K = lifting.outputs
    row, k, h = (index.ravel() for index in np.indices((len(q), K, K)))
    squares = Parts(row, row, row, k, h, q[row, k] * q[row, h])
    squares = Parts(*(column[is_even[row]] for column in squares))
    mixed = mixed_parts(lifting, m, length)
    mixed = Parts(*(column[~is_even[mixed.multiplier]] for column in mixed))
    weights = np.where(is_even, squared, weight)
    return entries_of(lifting, F, G, joined(squares, mixed), weights, arithmetic)


def product_entries(lifting: Tensored, rows: Array, arithmetic: type[Arithmetic] = Enclosure) -> Entries:
    """What products add to a quadratic form, as arguments of its `add`.

    Raises:
        ValueError: rows of another width, numbers that are no factors, or a direction beyond float64.
    """
    pair, directions, weight = _split(rows, "products", 2, lifting.outputs)
    even = factor_parities(lifting)
    a, b = _numbers(pair, len(even), "a product's factors").T
    F, G = stacked(lifting, a), stacked(lifting, b)
    return _in_directions(lifting, F, G, even[a] & even[b], directions, weight, arithmetic)


def decode_triangles(lifting: Tensored, corners: Array) -> tuple[Array, Array]:
    """Positions (m, 3) in one output's basis and signs (m, 3), of signed positions counted from 1.

    Raises:
        ValueError: no positions of the basis, or a first corner that is no sign.
    """
    size = lifting.one.size
    if not ((np.abs(corners) >= 1) & (np.abs(corners) <= size) & (corners == np.rint(corners))).all():
        raise ValueError(f"a triangle's corners must be signed positions from 1 to {size}")
    positions = np.abs(corners).astype(np.int64) - 1
    if not (lifting.one.square_is_one[positions[:, 0]]).all():
        raise ValueError("a triangle's first corner must be a sign")
    return positions, np.sign(corners)


def triangle_forms(lifting: Tensored, positions: Array, signs: Array) -> tuple[Form, Form, Array]:
    """a + b and a + c of triangles, and which are even."""
    F, G = (of_positions(lifting, positions[:, [0, k]], signs[:, [0, k]]) for k in (1, 2))
    groups = list(lifting.one.sizes)
    odd = np.array([group.kind in ODD for group in groups])
    return F, G, ~odd[lifting.one.placement.groups_of(positions)[0]].any(axis=1)


def triangle_entries(lifting: Tensored, rows: Array, arithmetic: type[Arithmetic] = Enclosure) -> Entries:
    """What triangles add to a quadratic form, as arguments of its `add`.

    Raises:
        ValueError: rows of another width, corners that are none, or a direction beyond float64.
    """
    corners, directions, weight = _split(rows, "triangles", 3, lifting.outputs)
    F, G, is_even = triangle_forms(lifting, *decode_triangles(lifting, corners))
    return _in_directions(lifting, F, G, is_even, directions, weight, arithmetic)


def _even_factors(lifting: Tensored, values: Array) -> Array:
    even = factor_parities(lifting)
    numbers = _numbers(values, len(even), "a cone's factors")[:, 0]
    if not even[numbers].all():
        raise ValueError("a cone's factor must be one of what is even in t")
    return numbers


def cone_lengths(lifting: Tensored, mu: Array) -> Array:
    """(m, K) float64 at or above max s^T mu t of each mu (m, K, w), the same K times; of signs s row by row of mu."""
    K = lifting.outputs
    if not lifting.is_unit:
        return np.stack([row_norms(mu[:, k], lifting.norms[T]) for k in range(K)], axis=1)
    if lifting.norms[T] == "inf":
        columns = np.stack([row_norms(mu[:, :, j], 2) for j in range(mu.shape[2])], axis=1)
        return np.repeat(row_norms(columns, "inf")[:, None], K, axis=1)
    # the largest row sum of the smaller Gram matrix is at least its largest eigenvalue
    rows = mu if mu.shape[2] >= K else np.swapaxes(mu, 1, 2)
    exponent = np.frexp(np.abs(rows).max(axis=(1, 2), initial=0.0))[1].astype(np.int64)
    rows = np.ldexp(rows, -exponent[:, None, None])
    sums = []
    for i in range(rows.shape[1]):
        entries = [(Enclosure(rows[:, i]) * rows[:, j]).sum(axis=1).magnitude() for j in range(rows.shape[1])]
        sums.append(Enclosure(np.stack(entries, axis=1)).sum(axis=1).upper())
    length = np.ldexp(sqrt_up(np.max(sums, axis=0, initial=0.0)), exponent)
    return np.repeat(np.nextafter(length, np.inf)[:, None], K, axis=1)


def cone_entries(lifting: Tensored, rows: Array, arithmetic: type[Arithmetic] = Enclosure) -> Entries:
    """What cones of t add to a quadratic form, as arguments of its `add`.

    Raises:
        ValueError: rows of another width, factors that are none or not even, or a mu beyond float64.
    """
    K, w = lifting.outputs, lifting.one.sizes[T]
    factor, mu, weight = _split(rows, "cones", 1, K * w)
    form = stacked(lifting, _even_factors(lifting, factor))
    shape = (len(mu), K, w)
    mu, _, weight = of_unit_length(mu, weight, lambda m: cone_lengths(lifting, m.reshape(shape)).max(axis=1))
    mu = mu.reshape(shape)
    lengths = cone_lengths(lifting, mu)
    found: Terms = {}
    for f in form.terms:
        group, n = copied(f.group), lifting.one.length(f.group)
        for k in range(K):
            value, at = weight * f.coefficient, k * n + f.index
            found.setdefault((group, S), []).append((at, np.full(len(at), k), value * lengths[:, k]))
            across = np.repeat(at, w), np.tile(np.arange(w), len(at)), (-value[:, None] * mu[:, k]).ravel()
            found.setdefault((group, T), []).append(across)
    return summed(lifting, found, arithmetic, ROUNDINGS)


def ball_entries(lifting: Tensored, rows: Array, arithmetic: type[Arithmetic] = Enclosure) -> Entries:
    """What cones of xi add to a quadratic form, as arguments of its `add`.

    Raises:
        ValueError: rows of another width, factors that are none or not even, a direction beyond float64, or no xi.
    """
    if XI not in lifting.one.sizes:
        raise ValueError("there is no xi in this problem")
    K, w = lifting.outputs, lifting.one.sizes[XI]
    factor, q, mu, weight = _split(rows, "balls", 1, K, w)
    F = stacked(lifting, _even_factors(lifting, factor))
    q, _, weight = of_unit_length(q, weight, lambda m: row_norms(m, 2), 2)
    mu, length, weight = of_unit_length(mu, weight, lambda m: row_norms(m, lifting.one.norms[XI]))
    every = np.arange(len(mu))
    G = Form((
        Term(ONE, np.zeros(len(mu), np.int64), length),
        *(Term(XI, np.full(len(mu), j), -mu[:, j]) for j in range(w)),
    ))  # fmt: skip
    row, k, h = (index.ravel() for index in np.indices((len(q), K, K)))
    parts = Parts(every[row], row, row, k, h, q[row, k] * q[row, h])
    return entries_of(lifting, F, G, parts, weight, arithmetic)


def event_forms(lifting: Tensored, rows: Array) -> tuple[tuple[Form, Form], ...]:
    """The two products of one output's event rows (m, 5 + w), h phi - c phi z and phi', phi and -s phi' z'.

    Raises:
        ValueError: see `events.decode`; or a height beyond float64.
    """
    literals, directions, slopes, _ = decode_events(lifting.one, rows)
    h = heights(lifting.one, literals, directions, slopes)
    if not np.isfinite(h).all():
        raise ValueError("an event's height is beyond float64")
    h = np.where(np.abs(h) < TINY, TINY, h)  # half of it is exact, then
    phi = [stacked(lifting, rows[:, k].astype(np.int64)) for k in (0, 1)]
    # all coefficients are exact: those of phi are halves, those of phi z (x, or z - x) are 1 or -1
    behind = [_times(_behind(lifting, literals, k), -directions[:, k]) for k in (0, 1)]
    return (_times(phi[0], h) + behind[0], phi[1]), (phi[0], behind[1])


def _behind(lifting: Tensored, literals: Literals, k: int) -> Form:
    """phi z of the rows' literals k: x where they say on, z - x where off."""
    table, sign = FactorTable(lifting.one), literals.signs[:, k]
    starts = dict(zip(table.names, table.starts.tolist(), strict=False))
    kinds = np.where(sign > 0, "X", "XC").tolist()
    first = [starts[FactorName(kind, 1, l)] for kind, l in zip(kinds, literals.layers[:, k].tolist(), strict=True)]
    return _times(stacked(lifting, np.array(first, dtype=np.int64) + literals.place[:, k]), sign)


def _times(form: Form, factor: Array) -> Form:
    return Form(tuple(Term(t.group, t.index, t.coefficient * factor) for t in form.terms))


def clause_forms(lifting: Tensored, rows: Array) -> tuple[tuple[Form, Form], ...]:
    """The product of one output's clauses (m, 7 + w), phi_1 and 1 - phi_2 - phi_3.

    Raises:
        ValueError: see `clauses.decode`; or masks that are not proved never to be there at once.
    """
    literals, directions, slopes, _ = decode_clauses(lifting.one, rows)
    if not (clause_heights(lifting.one, literals, directions, slopes) < 0.0).all():
        raise ValueError("a clause's masks cannot be proved never to be there at once")
    phi = [stacked(lifting, rows[:, k].astype(np.int64)) for k in range(LENGTH)]
    return ((phi[0], constant(1.0, len(rows)) - phi[1] - phi[2]),)


def exclusion_forms(lifting: Tensored, rows: Array) -> tuple[tuple[Form, Form], ...]:
    """The product of one output's exclusions, f and k - 1 - phi_1 - ... - phi_k.

    Raises:
        ValueError: see `exclusions.decode`.
    """
    found = decode_exclusions(lifting.one, rows)
    has_factor, has = found.factor != NONE, found.literals.layers > 0
    first = _times(stacked(lifting, np.where(has_factor, found.factor, 0)), has_factor.astype(np.float64))
    second = constant(has.sum(axis=1) - 1.0, len(rows))
    for k in range(has.shape[1]):
        number = np.where(has[:, k], rows[:, 1 + k], rows[:, 1]).astype(np.int64)
        second = second - _times(stacked(lifting, number), has[:, k].astype(np.float64))
    return ((first + constant((~has_factor).astype(np.float64), len(rows)), second),)


# By record of what is known of masks: the products that a row is the sum of, and how many literals those have that are
# proved by one combination of z.
PROVED: dict[str, Callable[[Tensored, Array], tuple[tuple[Form, Form], ...]]] = {
    EVENTS: event_forms, CLAUSES: clause_forms, EXCLUSIONS: exclusion_forms,
}  # fmt: skip
LITERALS = {EVENTS: 2, CLAUSES: LENGTH}


def width_of_one(lifting: Tensored, record: str) -> int:
    """The width of one output's rows of a record of PROVED, without the multiplier."""
    return 2 * LITERALS[record] + width_of(lifting.one) if record in LITERALS else row_width(lifting.one) - 1


def are_even(lifting: Tensored, record: str, known: Array) -> Array:
    """(m,) bool: which rows of one output of a record of PROVED are of even forms."""
    if record in LITERALS:
        return np.ones(len(known), dtype=bool)
    return np.append(factor_parities(lifting), True)[known[:, 0].astype(np.int64)]  # the last: no factor, -1


def of_one_output(lifting: Tensored, record: str, rows: Array) -> tuple[Array, Array, Array]:
    """One output's rows of a record of PROVED, with the multiplier 1, directions (m, K) and multipliers.

    Raises:
        ValueError: rows of another width.
    """
    width = width_of_one(lifting, record)
    known, directions, weight = _split(rows, record, width, lifting.outputs)
    return np.column_stack([known, np.ones(len(known))]), directions, weight


def _proved_entries(record: str) -> Callable[..., Entries]:
    forms_of = PROVED[record]

    def entries(lifting: Tensored, rows: Array, arithmetic: type[Arithmetic] = Enclosure) -> Entries:
        """What rows of the record add to a quadratic form, as arguments of its `add`.

        Raises:
            ValueError: rows of another width, rows that one output does not have, or a direction beyond float64.
        """
        known, directions, weight = of_one_output(lifting, record, rows)
        forms = forms_of(lifting, known)
        even = are_even(lifting, record, known)
        parts = [_in_directions(lifting, F, G, even, directions, weight, arithmetic) for F, G in forms]
        return [entry for part in parts for entry in part]

    return entries


CUTS: dict[str, Callable[..., Entries]] = {
    PRODUCTS: product_entries, TRIANGLES: triangle_entries, CONES: cone_entries, BALLS: ball_entries,
    **{record: _proved_entries(record) for record in PROVED},
}  # fmt: skip
__all__ = ["BALLS", "CLAUSES", "CONES", "CUTS", "EVENTS", "EXCLUSIONS", "NO_COPY", "PRODUCTS", "TRIANGLES"]
