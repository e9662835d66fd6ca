"""The Lagrangian matrix of a problem's families and multipliers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, overload

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.protocol import A, Arithmetic
from ..linalg.arrow import ArrowEnclosure
from ..relaxation.basis import V1, XI, Lifting, T
from ..relaxation.circuits import CIRCUITS, circuit_entries
from ..relaxation.clauses import CLAUSES, clause_entries
from ..relaxation.cones import CONES, cone_entries
from ..relaxation.copied_cuts import CUTS
from ..relaxation.copies import CopiedFamily
from ..relaxation.events import EVENTS, event_entries
from ..relaxation.exclusions import EXCLUSIONS, exclusion_entries
from ..relaxation.families import catalogue
from ..relaxation.forms import Family
from ..relaxation.lasserre import LocalizingMatrix, lasserre_matrices, lasserre_size, moment_places
from ..relaxation.mixtures import MIXTURES, mixture_entries
from ..relaxation.products import PRODUCTS, product_entries
from ..relaxation.squares import SPLIT_SQUARES, square_entries
from ..relaxation.tensored import Tensored
from ..relaxation.triangles import TRIANGLES, triangle_entries
from .form import QuadraticForm, add_family

# cutting planes: multipliers of this name are rows, and what those add to a form is these functions'
# (the tensored lifting's: CUTS)
ROWS = {
    TRIANGLES: triangle_entries, PRODUCTS: product_entries, CONES: cone_entries, EVENTS: event_entries,
    CLAUSES: clause_entries, EXCLUSIONS: exclusion_entries, SPLIT_SQUARES: square_entries,
    MIXTURES: mixture_entries, CIRCUITS: circuit_entries,
}  # fmt: skip
SOS = "sos."  # multipliers of this name are factors of lasserre2's dual matrices
# More than any solver finds: rows of cuts, and entries of lasserre2's matrices, which Python enumerates.
MOST_ROWS, MOST_ENTRIES = 10**7, 10**6


@overload
def lagrangian_matrix(lifting: Lifting, multipliers: Mapping[str, Array]) -> ArrowEnclosure[Enclosure]: ...
@overload
def lagrangian_matrix(lifting: Lifting, multipliers: Mapping[str, Array], arithmetic: type[A]) -> ArrowEnclosure[A]: ...
def lagrangian_matrix(lifting: Lifting, multipliers: Mapping[str, Array], arithmetic: Any = Enclosure) -> Any:
    """M = C + sum sym(F^T Lambda G), (N, N), enclosed; multipliers are clipped at 0, but for equalities.

    Which rows are eliminated depends on the families that have multipliers; none are where `add_squares` will add.

    Raises:
        ValueError: a family that does not exist on this lifting, or multipliers of the wrong shape.
    """
    form = _lagrangian(lifting, multipliers, arithmetic)
    return form.matrix(eliminate=not any(name.startswith(SOS) for name in multipliers))


def kept_rows(lifting: Lifting, multipliers: Mapping[str, Array], arithmetic: type[Arithmetic] = Enclosure) -> int:
    """How many rows of `lagrangian_matrix` are not eliminated: their number decides how long a proof takes."""
    eliminated = _lagrangian(lifting, multipliers, arithmetic).eliminable()
    return lifting.size - sum(lifting.sizes[group] for group in eliminated)


def _lagrangian(lifting: Lifting, multipliers: Mapping[str, Array], arithmetic: type[A]) -> QuadraticForm[A]:
    """The Lagrangian as a form of the extended basis."""
    form = QuadraticForm(lifting, arithmetic)
    every = slice(None)
    for (g, h), block in lifting.objective.items():
        form.add(g, h, every, every, block)
    known, rows = families_of(lifting), _rows_of(lifting)
    for name, values in multipliers.items():
        if name.startswith(SOS):
            continue
        if name in rows:
            if len(values) > MOST_ROWS:
                raise ValueError(f"{len(values)} rows of {name!r} are more than the {MOST_ROWS} that can be checked")
            for term in rows[name](lifting, values, arithmetic):
                form.add(*term)
            continue
        if name not in known:
            raise ValueError(f"there is no family {name!r} in this problem")
        family = known[name]
        if np.shape(values) != family.shape:
            raise ValueError(f"the multipliers of {name!r} have shape {np.shape(values)}, not {family.shape}")
        if isinstance(family, CopiedFamily):
            assert isinstance(lifting, Tensored)
            for term in family.entries(lifting, values, arithmetic):
                form.add(*term)
        elif family.F.rows:
            add_family(form, family, arithmetic(family.clipped(values)))
    return form


def _rows_of(lifting: Lifting) -> dict[str, Callable[..., list[Any]]]:
    """What rows of cuts there may be, and what they add."""
    return {**CUTS, MIXTURES: mixture_entries} if isinstance(lifting, Tensored) else dict(ROWS)


def families_of(lifting: Lifting) -> Mapping[str, Family | CopiedFamily]:
    """Every family that exists on this lifting, by name."""
    return lifting.families if isinstance(lifting, Tensored) else catalogue(lifting)


def matrices_of(
    lifting: Lifting, names: Iterable[str], arithmetic: type[Enclosure] = Enclosure
) -> dict[str, LocalizingMatrix]:
    """The matrices of `lasserre2` with these names ("sos.M_2(x,u)", ...).

    Raises:
        ValueError: one that does not exist on this lifting, or a problem for which no `lasserre2` can have been solved.
    """
    if isinstance(lifting, Tensored):
        raise ValueError("lasserre2 has no matrices of several outputs")
    count, _ = lasserre_size(lifting.sizes.get(V1, 0), lifting.sizes.get(T, 0), XI in lifting.sizes)
    if count > MOST_ENTRIES:  # before they are enumerated
        raise ValueError(f"the matrices of lasserre2 would have {count} entries here; {MOST_ENTRIES} can be checked")
    matrices = {matrix.key: matrix for matrix in lasserre_matrices(lifting, arithmetic)}
    unknown = sorted(set(names) - matrices.keys())
    if unknown:
        raise ValueError(f"there is no matrix {unknown[0]!r} in this problem")
    return {name: matrices[name] for name in names}


def add_squares(
    lifting: Lifting, multipliers: Mapping[str, Array], M: ArrowEnclosure[Enclosure],
    arithmetic: type[Enclosure] = Enclosure,
) -> tuple[ArrowEnclosure[Enclosure], float]:  # fmt: skip
    """M with the polynomials sum <L L^T, g b b^T> of `lasserre2` added, and what their other monomials cost.

    Monomials of degree 2 or less are entries of y y^T; each other one is at most 1 in magnitude, so the
    polynomial is at most its entries' part plus the sum of the others' |coefficients|.

    Raises:
        ValueError: a matrix that does not exist on this lifting, a factor of the wrong shape, or a problem for which
            no `lasserre2` can have been solved.
    """
    factors = {name: values for name, values in multipliers.items() if name.startswith(SOS)}
    if not factors:
        return M, 0.0
    used = list(matrices_of(lifting, factors, arithmetic).values())
    plan = moment_places(used, lifting)
    assert len(M.kept) == lifting.size  # nothing eliminated: M.block is all of M
    values, positions = [], []
    for matrix, index, L in zip(used, plan.index, factors.values(), strict=True):
        if np.ndim(L) != 2 or len(L) != len(matrix.basis):
            raise ValueError(f"the factor of {matrix.key!r} has shape {np.shape(L)}, not ({len(matrix.basis)}, r)")
        gram = arithmetic(L) @ arithmetic(L).T
        for k, coefficient in enumerate(matrix.factor.values()):
            values.append((gram * coefficient.reshape(1, 1)).reshape(-1))
            positions.append(index[:, :, k].ravel())
    rest = arithmetic(np.zeros(()))
    by_monomial: dict[int, list[Enclosure]] = {}
    for value, position in zip(values, positions, strict=True):
        order = np.argsort(position, kind="stable")
        ids, starts = np.unique(position[order], return_index=True)
        for k, chunk in zip(ids.tolist(), np.split(order, starts[1:]), strict=True):
            by_monomial.setdefault(k, []).append(value[chunk].sum())
    for k, parts in by_monomial.items():
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        monomial = plan.monomials[k]
        if len(monomial) > 2:
            rest = rest + arithmetic(total.magnitude())
        else:
            a, b = (0, 0, *monomial)[-2:]
            half = total.scaled(-1).reshape(1, 1)
            for entry in ((slice(a, a + 1), slice(b, b + 1)), (slice(b, b + 1), slice(a, a + 1))):
                M.block[entry] = M.block[entry] + half
    return M, float(rest.upper())
