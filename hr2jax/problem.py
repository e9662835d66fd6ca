"""What is asked: the function, the norm and the domain, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arithmetic.exact import rounded_total
from .arithmetic.float64 import Array, exact_float64, flat_float64, rank
from .arithmetic.norms import NORMS, Norm, parse_norm, unknown_norm
from .domain import Ball, Domain, Everywhere, domain_from
from .network import Network
from .text import shown

QUANTITIES = ("lipschitz", "maximum")
MOST_SIGNED = 6  # values, of whose sums with signs there are half of two to that
Output = int | tuple[int, int] | ArrayLike | None


@dataclass(frozen=True, eq=False)
class Problem:
    """The Lipschitz constant, or the largest value, of f = coefficients . F on a domain.

    The constant is  sup ||gradient f(x)||_*  over the domain (Chen et al. 2020, section 2), whatever the shape of that:
    norm and domain are independent. Where an input is fixed f is restricted to the others, and only the gradient's
    other entries count. Of several values, f = M F, it is the supremum of the Jacobian's operator norm from `norm` to
    `output_norm` (docs/theory/several-outputs.md).

    Attributes:
        coefficients: (K,) float64, the exact combination of the outputs; or M (m, K), m > 1, of several values.
        norm: "inf", 2 or 1, on the input: the direction t and the gradient's dual norm ask it.
        output_norm: "inf", 2 or 1 on f's values; where f has one, on which all norms agree, it is `norm`.
        domain: where x may be: bounds of pre-activations and xi ask it.
        quantity: "lipschitz", or "maximum" for the largest value of f on the domain.
        directions: the inputs that t has entries of, in increasing order, int64; None: all that can move. The domain
            keeps all of its inputs: it is a part of a problem of norm 1, in which only columns of the Jacobian count.

    Raises:
        ValueError: a norm or a quantity that there is not, or directions in which nothing moves.
    """

    coefficients: Array
    norm: Norm
    output_norm: Norm
    domain: Domain
    quantity: str = "lipschitz"
    directions: Array | None = None

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise unknown_norm(self.norm)
        if self.is_vector:
            if self.output_norm not in NORMS:
                raise unknown_norm(self.output_norm, name="output_norm")
            if self.quantity == "maximum":
                raise ValueError(
                    f"the largest value is one function's, but f has {len(self.coefficients)} values; give output=k, "
                    "(k, j) or a vector"
                )
        elif self.output_norm != self.norm:
            raise ValueError(
                f"output_norm must be the norm, {self.norm!r}, where f has one value, but {shown(self.output_norm)} "
                "was given"
            )
        if self.quantity not in QUANTITIES:
            raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}, but {shown(self.quantity)} was given")
        if self.directions is not None:
            self._check_directions(self.directions)

    def _check_directions(self, given: Array) -> None:
        is_list = isinstance(given, np.ndarray) and given.dtype == np.int64 and given.ndim == 1
        if not (is_list and len(given) and given[0] >= 0 and (np.diff(given) > 0).all()):
            raise ValueError(f"directions must be increasing indices of inputs, int64, but {shown(given)} was given")
        if self.norm != 1 or self.quantity != "lipschitz":
            raise ValueError(
                f"directions are those of a Lipschitz constant of norm 1, but they were given for {self.quantity!r} of "
                f"norm {self.norm!r}"
            )
        width = self.domain.width
        if width is not None and not np.isin(given, self.domain.directions(width)).all():
            raise ValueError("directions must be inputs that can move, but the domain fixes one of them")

    def directions_of(self, width: int) -> Array:
        """Indices of the inputs, of `width`, that t has entries of."""
        return self.domain.directions(width) if self.directions is None else self.directions

    @property
    def is_local(self) -> bool:
        """Whether the domain is bounded rather than the whole input space."""
        return self.domain.is_bounded

    @property
    def is_vector(self) -> bool:
        """Whether f has several values."""
        return np.ndim(self.coefficients) == 2

    @property
    def is_of_rows(self) -> bool:
        """Whether f has several values, each of which is a problem of its own: the largest of their constants counts.

        An operator norm to "inf" is the largest of the rows' dual norms.
        """
        return self.is_vector and self.output_norm == "inf"

    @property
    def is_of_columns(self) -> bool:
        """Whether t may be along several inputs, each of which is a problem of its own: the largest constant counts.

        An operator norm from 1 is the largest of the columns' norms.
        """
        is_one = self.directions is not None and len(self.directions) == 1
        return self.norm == 1 and self.quantity == "lipschitz" and not is_one

    @property
    def has_parts(self) -> bool:
        """Whether it is the largest of several constants."""
        return self.is_of_rows or self.is_of_columns

    @property
    def may_have_parts(self) -> bool:
        """Whether it may be proved as the largest of several constants, whatever else is possible."""
        return self.has_parts or len(self.rows()) > 1

    @property
    def t_norm(self) -> Norm:
        """The norm that bounds t: of a single entry, on which all agree, "inf"."""
        return self.norm if self.directions is None or len(self.directions) > 1 else "inf"

    @property
    def has_t(self) -> bool:
        """Whether t varies: beside s, of either sign, a single entry of it may be 1."""
        return not (self.is_vector and self.directions is not None and len(self.directions) == 1)

    def row(self, k: int) -> Problem:
        """The problem of the k-th value alone."""
        return self.along(self.coefficients[k])

    def rows(self) -> list[Problem]:
        """Problems of one value, the largest of whose constants is this one's; itself where it is not told by any.

        Those of the values to "inf"; to 1 those of their sums with signs, half of them and the first of all plus, where
        there are at most MOST_SIGNED values and float64 holds the sums' coefficients.
        """
        if self.is_of_rows:
            return [self.row(k) for k in range(len(self.coefficients))]
        signed = self._signed_sums() if self.is_vector and self.output_norm == 1 and self.norm != 1 else None
        return [self] if signed is None else [self.along(coefficients) for coefficients in signed]

    def _signed_sums(self) -> Array | None:
        """(2^(m - 1), K) the sums of the values with signs, exact; None: not so."""
        if len(self.coefficients) > MOST_SIGNED:
            return None
        sums = self.coefficients[:1]
        for row in self.coefficients[1:]:
            (plus, is_plus), (minus, is_minus) = rounded_total(sums, row), rounded_total(sums, -row)
            if not (is_plus.all() and is_minus.all()):
                return None
            sums = np.concatenate([plus, minus])
        return sums

    def along(self, coefficients: Array) -> Problem:
        """The same question of one combination of the outputs, (K,) float64."""
        return replace(self, coefficients=coefficients, output_norm=self.norm)

    def towards(self, directions: Array) -> Problem:
        """The same question of the columns of these inputs alone."""
        return replace(self, directions=np.asarray(directions, dtype=np.int64))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Problem):
            return NotImplemented
        return (
            (self.norm, self.output_norm, self.quantity) == (other.norm, other.output_norm, other.quantity)
            and np.array_equal(self.coefficients, other.coefficients)
            and _listed(self.directions) == _listed(other.directions)
            and self.domain == other.domain
        )

    __hash__ = None  # type: ignore[assignment]


def _listed(directions: Array | None) -> list[int] | None:
    return None if directions is None else directions.tolist()


def checked_problem(
    net: Network, output: Output = None, norm: Any = "inf", center: ArrayLike | None = None, radius: Any = None,
    quantity: str = "lipschitz", *, output_norm: Any = None, domain: Any = None,
) -> Problem:  # fmt: skip
    """The checked problem that `solve`'s arguments describe.

    Raises:
        ValueError: in one sentence, what was given and what was expected.
    """
    if output is None and quantity == "maximum" and net.widths[-1] != 1:
        raise ValueError(
            f"the largest value is one function's, but the network has {net.widths[-1]} outputs; give output=k for "
            "F_k, (k, j) for F_k - F_j, or a vector c for c.F"
        )
    coefficients = output_coefficients(output, net.widths[-1])
    p = parse_norm(norm)
    q = p if output_norm is None else parse_norm(output_norm, name="output_norm")
    if coefficients.ndim == 1:
        q = p  # f has one value, on which all norms agree
    where = _checked_domain(net.widths[0], p, center, radius, domain)
    if quantity == "maximum" and not where.is_bounded:
        raise ValueError(
            "the largest value is sought on a bounded domain, but none was given; give center and radius, or domain"
        )
    return Problem(coefficients, p, q, where, quantity)


def _checked_domain(width: int, norm: Norm, center: ArrayLike | None, radius: Any, domain: Any) -> Domain:
    """The domain that was given in one of two ways, or everywhere."""
    if domain is not None:
        if center is not None or radius is not None:
            raise ValueError("a domain was given beside center and radius; give one or the other")
        if not isinstance(domain, Domain):
            raise ValueError(f"domain must be a hr2jax.Box or a hr2jax.Ball, but {shown(domain)} was given")
        if domain.width not in (None, width):
            raise ValueError(f"the domain must have {width} entries, the network's inputs, but it has {domain.width}")
        return domain_from(domain.kind, domain.arrays())
    if (center is None) != (radius is None):
        given, missing = ("radius", "center") if center is None else ("center", "radius")
        raise ValueError(f"a {given} was given without a {missing}; give both (local constant) or neither (global)")
    if center is None:
        return Everywhere()
    c = flat_float64(center, "center")
    if len(c) != width or rank(center, 1) == 0:
        raise ValueError(
            f"center must have shape ({width},), the network's input, or another shape of {width} entries, but its "
            f"shape is {np.shape(center)}"
        )
    if rank(radius, 1) > 1 and np.size(radius) == width:
        radius = flat_float64(radius, "radius")
    return Ball(c, radius, norm)


def output_coefficients(output: Output, outputs: int) -> Array:
    """The float64 coefficients of f in F: (K,) of one value, a unit vector, a difference of two, or the vector given.

    (m, K) of several values: the matrix given, or the unit matrix that F itself is; of one row that row.
    """
    if output is None:
        if outputs != 1:
            return np.eye(outputs)
        output = 0
    expected = (
        f"None for F itself, an index in 0..{outputs - 1}, a pair (k, j) of such indices, a 1-D float array of length "
        f"{outputs}, or a 2-D one of {outputs} columns"
    )
    coefficients = np.zeros(outputs)
    if isinstance(output, int | np.integer) and not isinstance(output, bool):
        pair = [int(output)]
    elif isinstance(output, tuple) and len(output) == 2 and all(map(_is_index, output)):
        pair = [int(k) for k in output]
    else:
        if isinstance(output, str | bytes | bool):
            raise ValueError(f"output must be {expected}, but {shown(output)} was given")
        given = exact_float64(output, "output", 2 if rank(output, 1) == 2 else rank(output, 1))
        if given.shape[-1:] != (outputs,) or given.ndim > 2 or len(given) == 0:
            listed = given.ndim == 1 and all(k == int(k) and 0 <= k < outputs for k in given)
            rows = ", ".join(str(int(k)) for k in given) if listed and len(given) else ""
            remedy = f"; outputs {rows} together are output=np.eye({outputs})[[{rows}]]" if rows else ""
            raise ValueError(f"output must be {expected}, but an array of shape {given.shape} was given{remedy}")
        return given[0] if given.ndim == 2 and len(given) == 1 else given
    for index, sign in zip(pair, (1.0, -1.0), strict=False):
        if not 0 <= index < outputs:
            of_pair = f" of {shown(output)}" if len(pair) > 1 else ""
            numbered = f"outputs, numbered 0 to {outputs - 1}" if outputs > 1 else "output, number 0"
            raise ValueError(f"output {shown(index)}{of_pair} was asked for, but the network has {outputs} {numbered}")
        coefficients[index] += sign
    return coefficients


def _is_index(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
