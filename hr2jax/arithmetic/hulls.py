"""Hulls of smooth activations and of their one-sided derivatives on intervals, proved by python-flint's balls.

An activation is one smooth piece or more. Within a piece its derivative turns, and it is flat itself, only at the
points listed here, so that a hull is that of the values at an interval's ends and at the listed points inside. That no
others exist is elementary but for silu, mish and gelu's tanh form: tests/arithmetic/test_hulls.py proves these. Where
pieces meet both of their derivatives count. Second derivatives are enclosed by balls alone: no hulls, and the wider the
interval, the wider.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .activations import DEFAULTS, GELU_CUBIC, GELU_FLOAT32, SELU_ALPHA, SELU_SCALE
from .arb import arb, at_precision, float_above
from .float64 import Array

Function = Callable[[Any], Any]
# How far the values, slopes and second derivatives of members of `GELU_FLOAT32` are from those of gelu's tanh form.
# With g = a z + b z^3, |z| <= |g| / a, |z g'| <= 3 |g|, g' <= 0.91 + 3 |g|, |z g''| <= 2 g'; a member's g, g' and g''
# differ by at most e = 2^-21 of themselves; t sech(t)^2 <= 0.448 and t^2 sech(t)^2 <= 0.44. So values differ by at most
# 0.3 e, slopes by 2.3 e, and second derivatives by (0.91 + 3 t) (2 + 4 t + 3 t (2 + 3 t)) sech(t)^2 e <= 40 e, t = |g|.
SPREAD = {"sigma": 2.0**-21, "slope": 2.0**-19, "bend": 2.0**-15}


@dataclass(frozen=True)
class Piece:
    """sigma between two points.

    Attributes:
        sigma, slope: the function and its derivative, of balls whose sign is known.
        bend: its second derivative, of any balls.
        low, high: the ends, balls; None: infinite.
        turns: where the derivative has no sign of its own: all zeros of sigma'' inside.
        flats: all zeros of sigma' inside.
        ends: the derivative's limits where an end is infinite.
    """

    sigma: Function
    slope: Function
    bend: Function
    low: Any = None
    high: Any = None
    turns: tuple[Any, ...] = ()
    flats: tuple[Any, ...] = ()
    ends: tuple[Any, Any] = (0, 0)


def values(name: str, parameters: Mapping[str, Any], low: Array, high: Array) -> tuple[Array, Array]:
    """(n,) float64 each: sigma on low <= z <= high lies between them; not finite where it may overflow."""
    return _hulls(name, parameters, low, high, "sigma")


def slopes(name: str, parameters: Mapping[str, Any], low: Array, high: Array) -> tuple[Array, Array]:
    """(n,) float64 each, the hull of the one-sided derivatives on low <= z <= high, which may be infinite."""
    return _hulls(name, parameters, low, high, "slope")


def _room(name: str, parameters: Mapping[str, Any], of: str) -> float:
    """By how much members of a family of functions differ from the one that the pieces are."""
    return SPREAD[of] if name == "gelu" and parameters.get("approximate") == GELU_FLOAT32 else 0.0


@at_precision
def bends(name: str, parameters: Mapping[str, Any], low: Array, high: Array) -> tuple[Array, Array]:
    """(n,) float64 each: sigma'' on low <= z <= high, where pieces do not meet, lies between them; or infinite."""
    every = pieces(name, parameters)
    both = np.array([_bend(every, *pair) for pair in zip(low.tolist(), high.tolist(), strict=True)], dtype=np.float64)
    both = both.reshape(-1, 2)
    return _widened(both, _room(name, parameters, "bend"))


def _widened(both: Array, spread: float) -> tuple[Array, Array]:
    if not spread:
        return both[:, 0].copy(), both[:, 1].copy()
    return np.nextafter(both[:, 0] - spread, -np.inf), np.nextafter(both[:, 1] + spread, np.inf)


def _bend(every: list[Piece], low: float, high: float) -> tuple[float, float]:
    balls = []
    if math.isfinite(low) and math.isfinite(high):
        for piece in every:
            if (within := _within(piece, low, high)) is not None:
                balls.append(piece.bend(within[0].union(within[1])))
    if not balls or not all(ball.is_finite() for ball in balls):
        return -math.inf, math.inf
    return 0.0 - max(_above(-ball) for ball in balls), max(_above(ball) for ball in balls)


def _within(piece: Piece, low: float, high: float) -> tuple[Any, Any] | None:
    """The part of an interval that is the piece's, its ends balls; None: none of it is."""
    a, b = arb(low), arb(high)
    if (piece.low is not None and b < piece.low) or (piece.high is not None and a > piece.high):
        return None
    if piece.low is not None and not a > piece.low:
        a = piece.low
    if piece.high is not None and not b < piece.high:
        b = piece.high
    return a, b


def breaks(name: str, parameters: Mapping[str, Any]) -> tuple[float, ...]:
    """Where sigma' jumps and sigma does not."""
    if name == "hardswish":
        return (-3.0, 3.0)
    if name == "elu":
        return () if parameters.get("alpha", DEFAULTS["elu"]["alpha"]) == 1.0 else (0.0,)
    return (0.0,) if name == "selu" else ()


@at_precision
def _hulls(name: str, parameters: Mapping[str, Any], low: Array, high: Array, of: str) -> tuple[Array, Array]:
    every = pieces(name, parameters)
    known: dict[tuple[float, float], tuple[float, float]] = {}
    found = []
    for pair in zip(low.tolist(), high.tolist(), strict=True):
        if pair not in known:
            known[pair] = _hull(every, *pair, of)
        found.append(known[pair])
    both = np.array(found, dtype=np.float64).reshape(-1, 2)
    return _widened(both, _room(name, parameters, of))


def _hull(every: list[Piece], low: float, high: float, of: str) -> tuple[float, float]:
    """One neuron's; (-inf, inf) where nothing is known."""
    if math.isnan(low) or math.isnan(high):
        return -math.inf, math.inf
    balls = []
    for piece in every:
        within = _within(piece, low, high)
        if within is None:
            continue
        a, b = within
        function = piece.sigma if of == "sigma" else piece.slope
        for end, limit in zip((a, b), piece.ends, strict=True):
            if end.is_finite():
                balls.append(function(end))
            elif of == "slope":
                balls.append(arb(limit))
            else:
                return -math.inf, math.inf
        inside = piece.flats if of == "sigma" else piece.turns
        balls += [function(point) for point in inside if not (point < a or point > b)]
    if not all(ball.is_finite() for ball in balls):
        return -math.inf, math.inf
    return 0.0 - max(_above(-ball) for ball in balls), max(_above(ball) for ball in balls)  # no -0.0


@at_precision
def jump(parameters: Mapping[str, Any]) -> float:
    """How far softplus falls where it jumps, at its threshold, rounded up: log(1 + exp(-threshold)) / beta."""
    own = {**DEFAULTS["softplus"], **parameters}
    fall = (-arb(own["threshold"])).exp().log1p() / arb(own["beta"])
    return _above(fall) if fall.is_finite() else math.inf


@at_precision
def exponential(a: Array) -> tuple[Array, Array]:
    """exp(a), entry by entry, rounded down and up; a float64, infinite where float64 ends."""
    balls = [arb(float(v)).exp() for v in a.ravel()]
    return np.reshape([-_above(-v) for v in balls], a.shape), np.reshape([_above(v) for v in balls], a.shape)


def _above(ball: Any) -> float:
    return float_above(*map(int, ball.upper().man_exp()))


# --- the pieces -------------------------------------------------------------------------------------------


@at_precision
def pieces(name: str, parameters: Mapping[str, Any]) -> list[Piece]:
    """An activation's pieces, from left to right."""
    return _PIECES[name](**{**DEFAULTS[name], **parameters})


def _near(digits: str) -> Any:
    """A ball around a number of which more digits are right than its radius needs."""
    return arb(digits) + arb(0, 1e-25)


def _positive(z: Any) -> bool:
    return bool(z.mid() >= 0)


def _step(z: Any) -> Any:
    """1 / (1 + exp(-z)), whose exponentials do not overflow."""
    if _positive(z):
        return 1 / (1 + (-z).exp())
    return z.exp() / (1 + z.exp())


def _bump(z: Any) -> Any:
    """Its derivative."""
    e = (-abs(z)).exp()
    return e / (1 + e) ** 2


def _spread(function: Function, low: Any, high: Any) -> Any:
    """The values of a monotone function between two numbers: balls as wide as intervals lose more by arithmetic."""
    return function(low).union(function(high))


def _bumps(z: Any) -> Any:
    """`_bump` of a ball of any width, largest where |z| is least."""
    return _spread(_bump, z.abs_lower(), z.abs_upper())


def _bent(z: Any) -> Any:
    """The second derivative of 1 / (1 + exp(-z)), of a ball of any width."""
    return _bumps(z) * (1 - 2 * _spread(_step, z.lower(), z.upper()))


def _tanh() -> list[Piece]:
    return [Piece(lambda z: z.tanh(), lambda z: 4 * _bump(2 * z), lambda z: 8 * _bent(2 * z), turns=(arb(0),))]


def _sigmoid() -> list[Piece]:
    return [Piece(_step, _bump, _bent, turns=(arb(0),))]


def _softplus(beta: float, threshold: float) -> list[Piece]:
    def soft(z: Any) -> Any:
        y = beta * z
        return ((y if _positive(y) else 0) + (-abs(y)).exp().log1p()) / beta

    ends = arb(threshold) / arb(beta)
    return [
        Piece(soft, lambda z: _step(arb(beta) * z), lambda z: arb(beta) * _bumps(arb(beta) * z), high=ends),
        Piece(lambda z: z, lambda z: arb(1), lambda z: arb(0), low=ends, ends=(1, 1)),
    ]


def _elu(alpha: float, scale: float = 1.0, divisor: float = 1.0) -> list[Piece]:
    most = arb(scale) * arb(alpha)
    return [
        Piece(
            lambda z: most * (z / divisor).expm1(), lambda z: most / divisor * (z / divisor).exp(),
            lambda z: most / (arb(divisor) * divisor) * (z / divisor).exp(), high=arb(0),
        ),
        Piece(lambda z: scale * z, lambda z: arb(scale), lambda z: arb(0), low=arb(0), ends=(scale, scale)),
    ]


def _silu() -> list[Piece]:
    turn = _near("2.39935728051546766783273969728228388852291757683")
    flat = _near("-1.27846454276107379510935873902298015543947748861")
    return [
        Piece(
            lambda z: z * _step(z), lambda z: _step(z) + z * _bump(z), lambda z: 2 * _bumps(z) + z * _bent(z),
            turns=(-turn, turn), flats=(flat,), ends=(0, 1),
        )
    ]  # fmt: skip


def _gelu(approximate: str) -> list[Piece]:
    if approximate != "none":
        turn = _near("1.418504008790828360191012112157729398053")
        flat = _near("-0.7524614220710162604853412210105606349103")
        k = 2 * (arb(2) / arb.pi()).sqrt()

        def inner(z: Any) -> Any:
            return k * (z + GELU_CUBIC * z**3)

        def bend(z: Any) -> Any:
            first, second = k * (1 + 3 * arb(GELU_CUBIC) * z * z), 6 * k * arb(GELU_CUBIC) * z
            return (2 * first + z * second) * _bumps(inner(z)) + z * first * first * _bent(inner(z))

        return [
            Piece(
                lambda z: z * _step(inner(z)),
                lambda z: _step(inner(z)) + z * _bump(inner(z)) * k * (1 + 3 * arb(GELU_CUBIC) * z * z), bend,
                turns=(-turn, turn), flats=(flat,), ends=(0, 1),
            )
        ]  # fmt: skip
    root = arb(2).sqrt()
    flat = _near("-0.751791524693564457457904946779524039664471153423")

    def below(z: Any) -> Any:
        return (-z / root).erfc() / 2

    def density(z: Any) -> Any:
        return (-z * z / 2).exp() / (2 * arb.pi()).sqrt()

    return [
        Piece(
            lambda z: z * below(z), lambda z: below(z) + z * density(z), lambda z: (2 - z * z) * density(z),
            turns=(-root, root), flats=(flat,), ends=(0, 1),
        )
    ]  # fmt: skip


def _mish() -> list[Piece]:
    turns = _near("-2.25637639636079312000574854395016390626"), _near("1.490571179485428459294418908197909821128")
    flat = _near("-1.192431214515495212137588340420739405601")

    def ratio(z: Any) -> Any:
        e = (-abs(z)).exp()
        return (1 + 2 * e) / (1 + 2 * e + 2 * e * e) if _positive(z) else e * (2 + e) / (2 + 2 * e + e * e)

    def slope(z: Any) -> Any:
        e = (-abs(z)).exp()
        if _positive(z):
            return ratio(z) + z * 4 * e * e * (1 + e) / (1 + 2 * e + 2 * e * e) ** 2
        return ratio(z) + z * 4 * e * (1 + e) / (2 + 2 * e + e * e) ** 2

    def bend(z: Any) -> Any:
        """Of z ratio(z), ratio = 1 - 2/q with q = (1 + t)^2 + 1, t = exp(z)."""
        t = z.exp()
        q, first, second = (1 + t) ** 2 + 1, 2 * t * (1 + t), 2 * t * (1 + 2 * t)
        return 4 * first / q**2 + z * (2 * second / q**2 - 4 * (first / q) ** 2 / q)

    return [Piece(lambda z: z * ratio(z), slope, bend, turns=turns, flats=(flat,), ends=(0, 1))]


def _softsign() -> list[Piece]:
    def slope(z: Any) -> Any:
        return 1 / (1 + abs(z)) ** 2

    def bend(z: Any) -> Any:
        return _spread(lambda size: 2 / (1 + size) ** 3, z.abs_lower(), z.abs_upper())

    return [
        Piece(lambda z: z / (1 - z), slope, bend, high=arb(0)),
        Piece(lambda z: z / (1 + z), slope, lambda z: -bend(z), low=arb(0)),
    ]


def _arctan() -> list[Piece]:
    return [
        Piece(lambda z: z.atan(), lambda z: 1 / (1 + z * z), lambda z: -2 * z / (1 + z**2) ** 2, turns=(arb(0),))
    ]


def _erf() -> list[Piece]:
    scale = 2 / arb.pi().sqrt()
    return [
        Piece(
            lambda z: z.erf(), lambda z: scale * (-z * z).exp(), lambda z: -2 * z * scale * (-(z**2)).exp(),
            turns=(arb(0),),
        )
    ]  # fmt: skip


def _hardswish() -> list[Piece]:
    return [
        Piece(lambda z: arb(0), lambda z: arb(0), lambda z: arb(0), high=arb(-3)),
        Piece(
            lambda z: z * (z + 3) / 6, lambda z: (2 * z + 3) / 6, lambda z: arb(1) / 3, low=arb(-3), high=arb(3),
            flats=(arb(-1.5),),
        ),
        Piece(lambda z: z, lambda z: arb(1), lambda z: arb(0), low=arb(3), ends=(1, 1)),
    ]


_PIECES: dict[str, Callable[..., list[Piece]]] = {
    "tanh": _tanh, "sigmoid": _sigmoid, "softplus": _softplus, "elu": _elu,
    "selu": lambda: _elu(SELU_ALPHA, SELU_SCALE), "celu": lambda alpha: _elu(alpha, 1.0, alpha), "silu": _silu,
    "gelu": _gelu, "mish": _mish, "softsign": _softsign, "arctan": _arctan, "erf": _erf, "hardswish": _hardswish,
}  # fmt: skip
