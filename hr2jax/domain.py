"""Where the inputs live: everywhere, in a box, or in a ball. The exact reals that were given are meant.

A point of a bounded domain is x = center + scale * xi, xi in the unit ball of the domain's `shape`, "inf", 2 or 1:
bounds of pre-activations and xi ask the domain. The direction t and the gradient ask the problem's norm, which is
another thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from .arithmetic.enclosure import Enclosure
from .arithmetic.float64 import Array, exact_float64, rank
from .arithmetic.norms import NORMS, Norm, parse_norm, row_norms, unknown_norm
from .arithmetic.sums import exact_dot, half_sum
from .text import shown


class Domain:
    """A convex set of inputs.

    Attributes:
        shape: the norm whose unit ball xi lives in.
        center: (p_0,) float64 nearest to the center. Steering only: proofs take `middle` and `scale`.
        radius: (p_0,) float64 >= 0 likewise, the scale of xi: half-widths of a box, of a ball equal entries. 0 exactly
            where an input is fixed. Neither exists where the domain is unbounded.
    """

    shape: Norm = "inf"
    center: Array
    radius: Array

    @property
    def width(self) -> int | None:
        """p_0, how many inputs; None: any number."""
        return None

    @property
    def is_bounded(self) -> bool:
        """Whether it is not all of the input space."""
        return True

    def free(self, width: int) -> Array:
        """Indices of the inputs, of `width`, that can move."""
        raise NotImplementedError

    def directions(self, width: int) -> Array:
        """Indices of the inputs, of `width`, along which derivatives count."""
        return self.free(width)

    def middle(self, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
        """(p_0,) the exact center, enclosed."""
        raise NotImplementedError

    def scale(self, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
        """(p_0,) the exact scale of xi, enclosed."""
        raise NotImplementedError

    def reach(self, A: Array, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
        """(n,) upper bounds of the largest |A (x - center)| of each row of A (n, p_0), rounded outward."""
        raise NotImplementedError

    def signs(self, row: Array, shift: float) -> tuple[bool, bool]:
        """Whether row . x + shift, row (p_0,), is >= 0, and whether it is <= 0, on the whole domain, exactly."""
        raise NotImplementedError

    def contains(self, x: Array) -> bool:
        """Whether a finite x (p_0,) lies in the domain: decided exactly."""
        raise NotImplementedError

    def into(self, x: Array) -> Array:
        """The point of the domain, inside it in exact arithmetic, that a finite x (p_0,) a bit outside means."""
        raise NotImplementedError

    def arrays(self) -> dict[str, Array]:
        """The numbers that define it, by name; with `kind` they are all that `domain_from` needs."""
        raise NotImplementedError

    @property
    def kind(self) -> str:
        """ "everywhere", "box", or "ball" and its norm."""
        raise NotImplementedError

    def description(self) -> dict[str, Any]:
        """The domain as a result and a certificate show it, for JSON; "center" and "radius" None where it has none."""
        known: dict[str, Any] = {"domain": "local" if self.is_bounded else "global", "domain_kind": self.kind}
        known |= {"center": None, "radius": None}
        return known | {name: values.tolist() for name, values in self.arrays().items()}

    def __eq__(self, other: object) -> bool:
        """Whether both are the same set, as far as their shapes tell."""
        if not isinstance(other, Domain):
            return NotImplemented
        if self.kind == other.kind:
            mine, others = self.arrays(), other.arrays()
            return all(np.array_equal(mine[name], others[name]) for name in mine)
        ends, of_other = _exact_ends(self), _exact_ends(other)
        return ends is not None and ends == of_other

    __hash__ = None  # type: ignore[assignment]


class Everywhere(Domain):
    """All of the input space: the global problem."""

    @property
    def is_bounded(self) -> bool:
        """False."""
        return False

    def free(self, width: int) -> Array:
        """All of them."""
        return np.arange(width)

    def contains(self, x: Array) -> bool:
        """True."""
        return True

    def into(self, x: Array) -> Array:
        """The point itself."""
        return x

    def arrays(self) -> dict[str, Array]:
        """None."""
        return {}

    @property
    def kind(self) -> str:
        """ "everywhere"."""
        return "everywhere"

    def __repr__(self) -> str:
        return "Everywhere()"


@dataclass(frozen=True, eq=False)
class Box(Domain):
    """{x : low <= x <= high}, entry by entry.

    Its center and half-widths are no float64 in general: what is proved encloses the exact ones.

    Args:
        low, high: (p_0,) any real dtype, units of the input; low == high fixes an entry, not all of them.

    Raises:
        ValueError: infinities or NaN, shapes that differ, low above high, or a box that is a point.
    """

    low: Array
    high: Array
    center: Array = field(init=False, repr=False)
    radius: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        low, high = (exact_float64(v, f"Box's {name}", 1) for name, v in (("low", self.low), ("high", self.high)))
        if low.shape != high.shape:
            raise ValueError(f"Box's low and high must have one shape, but theirs are {low.shape} and {high.shape}")
        if (low > high).any():
            j = int(np.argmax(low > high))
            raise ValueError(f"Box's low must not exceed its high, but at entry {j} they are {low[j]} and {high[j]}")
        if not (low < high).any():
            raise ValueError("Box's low must be below its high in at least one entry, but the box is a point")
        half = np.where(low < high, np.maximum(0.5 * high - 0.5 * low, 5e-324), 0.0)  # 0 means fixed
        _freeze(self, low=low, high=high, center=np.clip(0.5 * low + 0.5 * high, low, high), radius=half)

    @property
    def width(self) -> int:
        """p_0."""
        return len(self.low)

    def free(self, width: int) -> Array:
        """Those with low < high."""
        return np.flatnonzero(self.low < self.high)

    def middle(self, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
        """(low + high) / 2, enclosed; without radius where that is a float64."""
        return half_sum(self.low, self.high, self.center, arithmetic)

    def scale(self, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
        """(high - low) / 2, enclosed; without radius where that is a float64."""
        return half_sum(-self.low, self.high, self.radius, arithmetic)

    def reach(self, A: Array, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
        """|A| times the half-widths."""
        return arithmetic(np.abs(A)) @ self.scale(arithmetic)

    def signs(self, row: Array, shift: float) -> tuple[bool, bool]:
        """By the corners where the row is least and largest."""
        least = exact_dot(row, np.where(row > 0, self.low, self.high))
        largest = exact_dot(row, np.where(row > 0, self.high, self.low))
        return least >= -Fraction(float(shift)), largest <= -Fraction(float(shift))

    def contains(self, x: Array) -> bool:
        """Comparisons of float64 are exact."""
        return bool(((self.low <= x) & (x <= self.high)).all())

    def into(self, x: Array) -> Array:
        """The nearest point."""
        return np.clip(x, self.low, self.high)

    def arrays(self) -> dict[str, Array]:
        """low and high."""
        return {"low": self.low, "high": self.high}

    @property
    def kind(self) -> str:
        """ "box"."""
        return "box"


@dataclass(frozen=True, eq=False)
class Ball(Domain):
    """{x : ||x - center|| <= radius} in the norm "inf", 2 or 1, the numbers given taken as exact reals.

    Args:
        center: (p_0,) any real dtype, units of the input.
        radius: a positive number; for norm "inf" also (p_0,) half-widths, one per input: zeros fix an entry, not all.
        norm: "inf", 2 or 1, in any spelling of `solve`'s.

    Raises:
        ValueError: in one sentence, what was given and what was expected.
    """

    center: Array
    radius: Array
    norm: Norm = 2

    def __post_init__(self) -> None:
        norm = parse_norm(self.norm)
        center = exact_float64(self.center, "center", 1)
        _freeze(self, center=center, radius=parse_radius(self.radius, len(center), norm), norm=norm, shape=norm)

    @property
    def width(self) -> int:
        """p_0."""
        return len(self.center)

    def free(self, width: int) -> Array:
        """Those of positive radius."""
        return np.flatnonzero(self.radius > 0)

    def middle(self, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
        """The center, exactly."""
        return arithmetic(self.center)

    def scale(self, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
        """The radius, exactly."""
        return arithmetic(self.radius)

    def reach(self, A: Array, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
        """|A| times the half-widths; or the rows' dual norms (for norm 1 the largest magnitude) times the radius."""
        if self.norm == "inf":
            return arithmetic(np.abs(A)) @ self.radius
        return arithmetic(row_norms(A, self.norm, arithmetic)) * self.radius[0]

    def signs(self, row: Array, shift: float) -> tuple[bool, bool]:
        """|row . center + shift| against the largest |row . (x - center)|, for norm 2 the squares of both."""
        middle = Fraction(float(shift)) + exact_dot(row, self.center)
        spreads = [abs(Fraction(float(row[j]))) * Fraction(float(self.radius[j])) for j in np.flatnonzero(row)]
        if self.norm == "inf":
            clear = abs(middle) >= sum(spreads, Fraction(0))
        elif self.norm == 2:
            clear = middle * middle >= sum((s * s for s in spreads), Fraction(0))
        elif self.norm == 1:
            clear = abs(middle) >= max(spreads, default=Fraction(0))
        else:
            raise unknown_norm(self.norm)
        return clear and middle >= 0, clear and middle <= 0

    def contains(self, x: Array) -> bool:
        """Enclosures decide where they can, else rational numbers."""
        if self.norm == "inf":
            return not self._outside(x).any()
        power = _POWERS[self.norm]
        with np.errstate(all="ignore"):
            distance = Enclosure(x) - self.center
            distance = Enclosure(np.abs(distance.mid), distance.rad)
            slack = power(Enclosure(self.radius[0])) - power(distance).sum()
        if slack.is_finite() and abs(float(slack.mid)) > float(slack.rad):
            return bool(slack.mid > 0)
        steps = (Fraction(float(a)) - Fraction(float(b)) for a, b in zip(x, self.center, strict=True))
        return sum((power(abs(step)) for step in steps), Fraction(0)) <= power(Fraction(float(self.radius[0])))

    def into(self, x: Array) -> Array:
        """Towards the center: entry by entry for norm inf, else along the ray."""
        if self.contains(x):
            return x
        if self.norm == "inf":
            for _ in range(4):
                out = self._outside(x)
                if not out.any():
                    return x
                x = np.where(out, np.nextafter(x, self.center), x)
            return np.where(out, self.center, x)
        for shrink in (1e-15, 1e-13, 1e-11, 1e-9, 1e-6):
            inner = self.center + (1.0 - shrink) * (x - self.center)
            if self.contains(inner):
                return inner
        return self.center.copy()

    def _outside(self, x: Array) -> Array:
        """(p_0,) bool: the entries of a finite x (p_0,) that leave the box, in exact arithmetic; norm inf."""
        with np.errstate(over="ignore"):
            distance = np.abs(x - self.center)
        # Rounding is monotone: a rounded distance beside the radius decides, only equality is open.
        out = distance > self.radius
        for j in np.flatnonzero(distance == self.radius):
            exact = abs(Fraction(float(x[j])) - Fraction(float(self.center[j])))
            out[j] = exact > Fraction(float(self.radius[j]))
        return out

    def arrays(self) -> dict[str, Array]:
        """center and radius, (p_0,) both."""
        return {"center": self.center, "radius": self.radius}

    @property
    def kind(self) -> str:
        """ "ball" and the norm."""
        return f"ball {self.norm}"


# norm -> what is added up over the entries' distances, and compared with the radius's
_POWERS: dict[Norm, Callable[[Any], Any]] = {2: lambda distance: distance * distance, 1: lambda distance: distance}


def domain_from(kind: str, arrays: Mapping[str, Array]) -> Domain:
    """The domain of that `kind` and those `arrays`, checked anew.

    Raises:
        ValueError: an unknown kind, other arrays than it has, or numbers that make no domain.
    """
    names = {"everywhere": (), "box": ("low", "high")} | {f"ball {norm}": ("center", "radius") for norm in NORMS}
    if kind not in names:
        raise ValueError(f"a domain is one of {', '.join(names)}, but {shown(kind)} was given")
    if set(arrays) != set(names[kind]):
        raise ValueError(f"a domain of kind {kind!r} has the arrays {names[kind]}, not {sorted(arrays)}")
    if kind == "everywhere":
        return Everywhere()
    if kind == "box":
        return Box(arrays["low"], arrays["high"])
    norm = parse_norm(kind.removeprefix("ball "))
    radius = arrays["radius"] if norm == "inf" else np.asarray(_single(arrays["radius"]))
    return Ball(arrays["center"], radius, norm)


def parse_radius(radius: Any, width: int, norm: Norm) -> Array:
    """The (p_0,) float64 half-widths; a scalar is repeated, an array is allowed for the inf norm only."""
    ndim = rank(radius, 1)
    if ndim not in (0, 1):
        raise ValueError(f"radius must be a number or have shape ({width},), but its shape is {np.shape(radius)}")
    r = exact_float64(radius, "radius", ndim)
    if ndim == 1 and norm != "inf":
        raise ValueError(
            f"radius must be a single number for norm {norm}, but an array of shape {r.shape} was given "
            "(one half-width per input is for norm inf)"
        )
    if ndim == 1 and r.shape != (width,):
        raise ValueError(f"radius must be a number or have shape ({width},), but its shape is {r.shape}")
    if (r < 0).any():
        raise ValueError(f"radius must not be negative, but {float(r.min())} was given")
    if not (r > 0).any():
        raise ValueError("radius must be positive in at least one entry, but it is 0 everywhere: the domain is a point")
    return np.array(np.broadcast_to(r, (width,)))


def _single(radius: Array) -> float:
    """The radius of a ball from its (p_0,) array of equal entries."""
    if not (np.ndim(radius) == 1 and len(radius) and (radius == radius[0]).all()):
        raise ValueError(f"a ball's radius must be one number, but {shown(radius)} was given; half-widths are a Box's")
    return float(radius[0])


def _freeze(domain: Domain, **values: Any) -> None:
    """Set the attributes of a frozen dataclass, arrays read-only."""
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
        object.__setattr__(domain, name, value)


def _exact_ends(domain: Domain) -> tuple[list[Fraction], list[Fraction]] | None:
    """low and high of what is a box, in whichever words; None for another domain."""
    if isinstance(domain, Box):
        return [Fraction(v) for v in domain.low.tolist()], [Fraction(v) for v in domain.high.tolist()]
    if not (isinstance(domain, Ball) and domain.norm == "inf"):
        return None
    pairs = [(Fraction(c), Fraction(r)) for c, r in zip(domain.center.tolist(), domain.radius.tolist(), strict=True)]
    return [c - r for c, r in pairs], [c + r for c, r in pairs]
