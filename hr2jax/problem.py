"""What is asked: the function, the norm and the domain, checked before any work is done."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arithmetic.float64 import Array, exact_float64
from .network import Network
from .text import shown

Output = int | tuple[int, int] | ArrayLike | None


@dataclass(frozen=True, eq=False)
class LipschitzProblem:
    """The Lipschitz constant of f = coefficients . F, inputs measured in `norm`, on a box or everywhere.

    The constant is  sup ||gradient f(x)||_*  over the domain (Chen et al. 2020, section 2). Where an
    entry of `radius` is 0 that input is fixed: f is restricted to the box, and only the gradient's
    other entries count.

    Attributes:
        coefficients: (K,) float64, the exact combination of the outputs.
        norm: "inf" or 2.
        center: (p_0,) float64, or None for the global constant.
        radius: (p_0,) float64 half-widths >= 0, not all 0; None exactly when center is. For norm 2 all entries are the
            radius of the Euclidean ball.
        quantity: "lipschitz", or "maximum" for the largest value of f on the domain.
    """

    coefficients: Array
    norm: str | int
    center: Array | None
    radius: Array | None
    quantity: str = "lipschitz"

    @property
    def is_local(self) -> bool:
        """Whether the domain is a box around `center` rather than the whole input space."""
        return self.center is not None

    @property
    def free_inputs(self) -> Array:
        """Indices of the inputs that can move: all of them globally, those of positive radius locally."""
        if self.radius is None:
            raise ValueError("free_inputs of a global problem are all of the network's inputs")
        return np.flatnonzero(self.radius > 0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LipschitzProblem):
            return NotImplemented
        return (self.norm, self.quantity) == (other.norm, other.quantity) and all(
            (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))
            for a, b in (
                (self.coefficients, other.coefficients),
                (self.center, other.center),
                (self.radius, other.radius),
            )
        )

    __hash__ = None  # type: ignore[assignment]


def lipschitz_problem(
    net: Network, output: Output = None, norm: Any = "inf", center: ArrayLike | None = None, radius: Any = None,
    quantity: str = "lipschitz",
) -> LipschitzProblem:  # fmt: skip
    """The checked problem that `solve`'s arguments describe (API.md's meanings).

    Raises:
        ValueError: in one sentence, what was given and what was expected.
    """
    coefficients = output_coefficients(output, net.widths[-1])
    p = parse_norm(norm)
    if (center is None) != (radius is None):
        given, missing = ("radius", "center") if center is None else ("center", "radius")
        raise ValueError(f"a {given} was given without a {missing}; give both (local constant) or neither (global)")
    if center is None:
        if quantity != "lipschitz":
            raise ValueError("the largest value is sought on a ball: give center and radius")
        return LipschitzProblem(coefficients, p, None, None)
    width = net.widths[0]
    c = exact_float64(center, "center", 1)
    if c.shape != (width,):
        raise ValueError(f"center must have shape ({width},), the network's input, but its shape is {c.shape}")
    return LipschitzProblem(coefficients, p, c, parse_radius(radius, width, p), quantity)


def output_coefficients(output: Output, outputs: int) -> Array:
    """The (K,) float64 coefficients of f in F: a unit vector, a difference of two, or the vector given."""
    if output is None:
        if outputs != 1:
            raise ValueError(
                f"the network has {outputs} outputs; give output=k for F_k, (k, j) for F_k - F_j, or a vector c for c.F"
            )
        output = 0
    expected = f"an index in 0..{outputs - 1}, a pair (k, j) of such indices, or a 1-D float array of length {outputs}"
    coefficients = np.zeros(outputs)
    if isinstance(output, int | np.integer) and not isinstance(output, bool):
        pair = [int(output)]
    elif isinstance(output, tuple) and len(output) == 2 and all(map(_is_index, output)):
        pair = [int(k) for k in output]
    else:
        if isinstance(output, str | bytes | bool):
            raise ValueError(f"output must be {expected}, but {shown(output)} was given")
        vector = exact_float64(output, "output", _ndim(output, 1))
        if vector.shape != (outputs,):
            raise ValueError(f"output must be {expected}, but an array of shape {vector.shape} was given")
        return vector
    for index, sign in zip(pair, (1.0, -1.0), strict=False):
        if not 0 <= index < outputs:
            raise ValueError(f"output must be {expected}, but {shown(output)} was given")
        coefficients[index] += sign
    return coefficients


def parse_norm(norm: Any) -> str | int:
    """ "inf" or 2 from any of the accepted spellings ("inf", "linf", numpy.inf; 2, "2", "l2")."""
    if isinstance(norm, str):
        name = norm.lower()
        if name in ("inf", "linf"):
            return "inf"
        if name in ("2", "l2"):
            return 2
    elif isinstance(norm, int | float | np.number) and not isinstance(norm, bool):
        if norm == math.inf:
            return "inf"
        if norm == 2:
            return 2
    raise ValueError(f'norm must be "inf" or 2, but {shown(norm)} was given')


def parse_radius(radius: Any, width: int, norm: str | int) -> Array:
    """The (p_0,) float64 half-widths; a scalar is repeated, an array is allowed for the inf norm only."""
    ndim = _ndim(radius, 1)
    if ndim not in (0, 1):
        raise ValueError(f"radius must be a number or have shape ({width},), but its shape is {np.shape(radius)}")
    r = exact_float64(radius, "radius", ndim)
    if ndim == 1 and norm != "inf":
        raise ValueError(
            f"radius must be a single number for norm 2, but an array of shape {r.shape} was given "
            "(one half-width per input is for norm inf)"
        )
    if ndim == 1 and r.shape != (width,):
        raise ValueError(f"radius must be a number or have shape ({width},), but its shape is {r.shape}")
    if (r < 0).any():
        raise ValueError(f"radius must not be negative, but {float(r.min())} was given")
    if not (r > 0).any():
        raise ValueError("radius must be positive in at least one entry, but it is 0 everywhere: the domain is a point")
    return np.array(np.broadcast_to(r, (width,)))


def _ndim(value: Any, ragged: int) -> int:
    """How many dimensions `value` has, or `ragged`, to be refused later, where that cannot be said."""
    try:
        return np.ndim(value)
    except ValueError:
        return ragged


def _is_index(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
