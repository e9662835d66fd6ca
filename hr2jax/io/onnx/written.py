"""Activations that graphs write out, entry by entry, recognised as what they are: SiLU, Mish, both GELUs, ...

Each x may be a multiple of one and the same expression. What multiplies an expression with itself is no affine one: it
is held as a polynomial (`Power`), tanh of it as that (`Bent`), until it is the tanh form of GELU, or is refused.

A number is what the file says: x is scaled by what it is more or less than the activation's own. GELU's tanh form has
two, sqrt(2/pi) and 0.044715: what float32 makes of them is a member of `GELU_FLOAT32`, of which hulls are of all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ...arithmetic.activations import GELU_CUBIC, GELU_FLOAT32
from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ..algebra import maps, numbers
from ..algebra.affine import Affine, Builder
from ..algebra.numbers import Number
from .rules import floats

ROUNDING = 2.0**-21  # of products of two or three float32 numbers
STEEPNESS = math.sqrt(2.0 / math.pi)


class Recognised(NamedTuple):
    """An activation, its argument and parameters, and what its value is multiplied by."""

    argument: Affine
    name: str
    factor: Number | None = None
    parameters: Mapping[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Ended:
    """What a Softmax, LogSoftmax or Sigmoid makes of an expression: at a network's end no layer."""

    before: Affine
    what: str  # the node
    operator: str


@dataclass(frozen=True, eq=False)
class Power(Ended):
    """A polynomial in one expression, which is `before`.

    Attributes:
        coefficients: of its powers 0 to 3.
        parts: multiples of it that were met, and how many times it they are.
    """

    coefficients: tuple[float, float, float, float]
    parts: tuple[tuple[Affine, Number], ...]


@dataclass(frozen=True, eq=False)
class Bent(Power):
    """shift + factor tanh(polynomial)."""

    shift: Number
    factor: Number


@dataclass(frozen=True, eq=False)
class Patterns:
    """What is known of the expressions that a walk has met.

    Attributes:
        builder: the layers made so far.
        multiples: of an expression that is one number times another: itself, the other, and the number.
        shifted: of one that is another and a number: itself, the other, and the number.
        clipped: of one that is another between two numbers: itself, the other, and the two.
        hard: of one that is HardSigmoid of another, with offset 1/2: itself, the other, and the slope.
    """

    builder: Builder
    multiples: dict[tuple[int, int], tuple[Affine, Affine, Number]] = field(default_factory=dict)
    shifted: dict[tuple[int, int], tuple[Affine, Affine, float]] = field(default_factory=dict)
    clipped: dict[tuple[int, int], tuple[Affine, Affine, float, float]] = field(default_factory=dict)
    hard: dict[tuple[int, int], tuple[Affine, Affine, float]] = field(default_factory=dict)

    def recognised(self, what: str, operator: str, inputs: Sequence[Any]) -> Recognised | Ended | None:
        """What an operator on these values is, beyond its rule: an activation, or what may become one.

        Raises:
            ValueError: it is nearly one.
        """
        if operator in ("Tanh", "Sigmoid", "Identity") and len(inputs) == 1 and isinstance(inputs[0], Power):
            return inputs[0] if operator == "Identity" else _bent(what, operator, inputs[0])
        if len(inputs) != 2:
            return None
        a, b = inputs
        if operator == "Div":
            x = self._within(b, "abs")
            if x is not None:
                return Recognised(a, "softsign") if is_same(a, x) else None
            if (divisor := _scalar(b)) is None:
                return None
            return _scaled(what, a, numbers.divide(np.ones(()), np.asarray(divisor))) if isinstance(a, Power) else None
        if operator == "Pow":
            return self._raised(what, a, b)
        if operator == "Add":
            return self._sum(what, a, b)
        if operator != "Mul":
            return None
        for x, y in ((a, b), (b, a)):
            found = self._silu(x, y) or self._gelu(x, y) or self._mish(x, y) or self._hardswish(x, y)
            if found is None and isinstance(x, Power) and (factor := _scalar(y)) is not None:
                return _scaled(what, x, np.asarray(factor))
            if found is None and isinstance(x, Affine) and isinstance(y, Bent):
                found = self._tanh_gelu(x, y)
            if found is not None:
                return found
        return self._product(what, a, b)

    def remember(self, operator: str, inputs: Sequence[Any], result: Affine, attributes: Mapping[str, Any]) -> None:
        """What of a result may become a part of an activation: products with one number, sums with one, Clip."""
        values = [v for v in inputs if isinstance(v, Affine)]
        if len(values) != 1 or values[0].shape != result.shape:
            return
        (value,) = values
        if operator == "HardSigmoid":
            slope, offset = (float(attributes.get(k, default)) for k, default in (("alpha", 0.2), ("beta", 0.5)))
            if offset == 0.5 and slope > 0.0:
                self.hard[_key(result)] = result, value, slope
            return
        ends = [None if v is None else _scalar(v) for v in inputs if not isinstance(v, Affine)]
        if operator in ("Mul", "Div", "Add") and len(inputs) == 2 and ends[0] is not None:
            self._remember_number(operator, value, ends[0], result)
        elif operator == "Clip":
            low, high = [*ends, None, None][:2] if ends else (attributes.get("min"), attributes.get("max"))
            self._remember_clip(value, low, high, result)
        elif operator in ("Max", "Min") and len(inputs) == 2 and ends[0] is not None:
            before = self.clipped.get(_key(value))
            inner, low, high = (value, -math.inf, math.inf) if before is None else before[1:]
            low, high = (max(low, ends[0]), high) if operator == "Max" else (low, min(high, ends[0]))
            if low < high:
                self.clipped[_key(result)] = result, inner, low, high
        elif operator == "Relu":
            self.clipped[_key(result)] = result, value, 0.0, math.inf

    def _remember_number(self, operator: str, value: Affine, given: float, result: Affine) -> None:
        if operator == "Add":
            self.shifted[_key(result)] = result, value, given
            return
        base, before = self.multiple(value)
        if given == 0.0 or base.shape != result.shape:
            return
        factor = np.asarray(given)
        whole = numbers.multiply(before, factor) if operator == "Mul" else numbers.divide(before, factor)
        self.multiples[_key(result)] = result, base, whole

    def _remember_clip(self, value: Affine, low: Any, high: Any, result: Affine) -> None:
        if low is not None and high is not None and float(low) < float(high):
            self.clipped[_key(result)] = result, value, float(low), float(high)

    def multiple(self, value: Affine) -> tuple[Affine, Number]:
        """An expression and the number, so many times which the value is."""
        known = self.multiples.get(_key(value))
        return (value, np.ones(())) if known is None else known[1:]

    # --- activations ---

    def _silu(self, a: Any, end: Any) -> Recognised | None:
        """x sigmoid(x)."""
        if not (isinstance(a, Affine) and isinstance(end, Ended) and end.operator == "Sigmoid"):
            return None
        if is_same(a, end.before):
            return Recognised(a, "silu")
        (x, p), (y, q) = self.multiple(a), self.multiple(end.before)
        if not is_same(x, y) or numbers.mid(q) == 0.0:
            return None
        return Recognised(end.before, "silu", numbers.divide(p, q))

    def _gelu(self, a: Any, b: Any) -> Recognised | None:
        """p x q (1 + erf(r x)) = 2 p q gelu(s x) / s with s = sqrt(2) r, whatever r's sign."""
        if not (isinstance(a, Affine) and isinstance(b, Affine)):
            return None
        one_more, q = self.multiple(b)
        inside = self._within(one_more, "erf")
        if inside is None:
            return None
        (x, p), (y, r) = self.multiple(a), self.multiple(inside)
        if not (is_same(x, y) and numbers.mid(r) != 0.0):
            return None
        two = np.asarray(2.0)
        s = numbers.root(numbers.multiply(numbers.multiply(r, r), two))
        s = s if numbers.mid(r) > 0.0 else numbers.negative(s)
        factor = numbers.divide(numbers.multiply(numbers.multiply(p, q), two), s)
        return Recognised(self.times(x, s), "gelu", factor)

    def _mish(self, a: Any, b: Any) -> Recognised | None:
        """x tanh(softplus(x)), and multiples of it."""
        if not (isinstance(a, Affine) and isinstance(b, Affine)):
            return None
        value, q = self.multiple(b)
        soft = self._within(value, "tanh", 0.0)
        x = None if soft is None else self._within(soft, "softplus", 0.0)
        if x is None or not self._is_plain_softplus(soft):
            return None
        (base, p), (other, r) = self.multiple(a), self.multiple(x)
        if not is_same(base, other) or numbers.mid(r) == 0.0:
            return None
        return Recognised(x, "mish", numbers.divide(numbers.multiply(p, q), r))

    def _is_plain_softplus(self, value: Affine | None) -> bool:
        """Whether it is log(1 + exp(x)), where torch's threshold changes nothing that float64 shows."""
        assert value is not None
        ((l, _),) = value.terms.items()
        own = self.builder.layers[l - 1].parameters
        return own.get("beta", 1.0) == 1.0 and own.get("threshold", 20.0) >= 20.0

    def _hardswish(self, a: Any, b: Any) -> Recognised | None:
        """x clip(x + 3, 0, 6) = 6 hardswish(x), and x clip(c x + 1/2, 0, 1) = hardswish(s x) / s with s = 6 c."""
        if not (isinstance(a, Affine) and isinstance(b, Affine)):
            return None
        value, q = self.multiple(b)
        s: Number = np.ones(())
        if _key(value) in self.hard:
            _, x, slope = self.hard[_key(value)]
            s = numbers.multiply(np.asarray(slope), np.asarray(6.0))
        else:
            _, inside, low, high = self.clipped.get(_key(value), (value, value, 0.0, 0.0))
            moved = self.shifted.get(_key(inside))
            if (low, high) != (0.0, 6.0) or moved is None or moved[2] != 3.0:
                return None
            x, q = moved[1], numbers.multiply(q, np.asarray(6.0))
        (base, p), (other, r) = self.multiple(a), self.multiple(x)
        if not is_same(base, other) or numbers.mid(r) == 0.0:
            return None
        x = x if numbers.mid(s) == 1.0 and numbers.rad(s) is None else self.times(x, s)
        return Recognised(x, "hardswish", numbers.divide(numbers.multiply(p, q), numbers.multiply(r, s)))

    def _tanh_gelu(self, a: Affine, bent: Bent) -> Recognised | None:
        """p x q (1 + tanh(sqrt(2 / pi) (s x + 0.044715 (s x)^3))) = 2 p q gelu(s x) / s.

        Raises:
            ValueError: other numbers.
        """
        x, p = self.multiple(a)
        if not is_same(x, bent.before):
            return None
        _, first, _, third = bent.coefficients
        for part, s in (*bent.parts, (a, p)):
            scale = float(numbers.mid(s))
            if _is_near(first, STEEPNESS * scale) and _is_near(third, STEEPNESS * GELU_CUBIC * scale**3):
                if float(numbers.mid(bent.shift)) != float(numbers.mid(bent.factor)):
                    break
                two = np.asarray(2.0)
                factor = numbers.divide(numbers.multiply(numbers.multiply(p, bent.factor), two), s)
                return Recognised(part, "gelu", factor, {"approximate": GELU_FLOAT32})
        raise ValueError(
            "it multiplies x with c + d tanh(a x + b x^3), which is GELU where a = sqrt(2 / pi), b = 0.044715 a and "
            f"c = d, but a, b, c, d = {first:.9g}, {third:.9g}, {float(numbers.mid(bent.shift)):.9g}, "
            f"{float(numbers.mid(bent.factor)):.9g}"
        )

    # --- polynomials ---

    def _power(self, value: Any) -> Power | None:
        """A multiple of an expression, or a polynomial, as one."""
        if isinstance(value, Bent) or not isinstance(value, Affine | Power):
            return None
        if isinstance(value, Power):
            return value
        base, p = self.multiple(value)
        return Power(base, "", "", (0.0, float(numbers.mid(p)), 0.0, 0.0), ((value, p),))

    def _product(self, what: str, a: Any, b: Any) -> Power | None:
        first, second = self._power(a), self._power(b)
        if first is None or second is None or not is_same(first.before, second.before):
            return None
        whole = np.convolve(first.coefficients, second.coefficients)
        if whole[4:].any():
            return None
        return Power(first.before, what, "", _four(whole), (*first.parts, *second.parts))

    def _raised(self, what: str, a: Any, b: Any) -> Power | None:
        base, power = self._power(a), _scalar(b)
        if base is None or power not in (2.0, 3.0) or isinstance(a, Power):
            return None
        whole = [0.0] * 4
        whole[int(power)] = base.coefficients[1] ** power
        return Power(base.before, what, "", _four(whole), base.parts)

    def _sum(self, what: str, a: Any, b: Any) -> Ended | None:
        for x, y in ((a, b), (b, a)):
            if not isinstance(x, Power):
                continue
            number = _scalar(y)
            if isinstance(x, Bent):
                return None if number is None else replace(x, what=what, shift=numbers.add(x.shift, np.asarray(number)))
            if number is not None:
                return replace(x, what=what, coefficients=_four([x.coefficients[0] + number, *x.coefficients[1:]]))
            other = self._power(y)
            if other is not None and is_same(x.before, other.before):
                whole = _four(np.add(x.coefficients, other.coefficients))
                return Power(x.before, what, "", whole, (*x.parts, *other.parts))
        return None

    # --- expressions ---

    def _within(self, value: Any, activation: str, shift: float = 1.0) -> Affine | None:
        """x, where the value is shift + activation(x), entry by entry."""
        if not isinstance(value, Affine) or len(value.terms) != 1 or isinstance(value.shift, Enclosure):
            return None
        ((l, matrix),) = value.terms.items()
        if not l or self.builder.layers[l - 1].activation != activation:
            return None
        x, places = self.builder.layers[l - 1].value, maps.placement(matrix)
        is_whole = places is not None and len(places) == x.size and bool((places == np.arange(x.size)).all())
        return x if x.shape == value.shape and is_whole and bool((value.shift == shift).all()) else None

    def times(self, value: Affine, factor: Number) -> Affine:
        """A value times one number."""
        return self.builder.scale(value, numbers.moved(lambda a: np.full(value.shape, a), factor))


def is_same(a: Any, b: Any) -> bool:
    """Whether both are one expression, entry by entry."""
    return isinstance(a, Affine) and isinstance(b, Affine) and a.shape == b.shape and (
        a.terms is b.terms and a.shift is b.shift)  # fmt: skip


def _key(value: Affine) -> tuple[int, int]:
    return id(value.terms), id(value.shift)


def _scalar(value: Any) -> float | None:
    """The one number that a constant holds; None of others."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fi" or not value.size:
        return None
    constant: Array = np.asarray(floats(value) if value.dtype == np.float64 else value, dtype=np.float64)
    return None if (constant != constant.flat[0]).any() else float(constant.flat[0])


def _is_near(value: float, ideal: float) -> bool:
    return abs(value - ideal) <= ROUNDING * abs(ideal)


def _four(values: Any) -> tuple[float, float, float, float]:
    a, b, c, d = (float(v) for v in [*values][:4])
    return a, b, c, d


def _scaled(what: str, value: Power, factor: Number) -> Power:
    if isinstance(value, Bent):
        shift, times = numbers.multiply(value.shift, factor), numbers.multiply(value.factor, factor)
        return replace(value, what=what, shift=shift, factor=times)
    return replace(value, what=what, coefficients=_four([float(numbers.mid(factor)) * c for c in value.coefficients]))


def _bent(what: str, operator: str, value: Power) -> Bent | None:
    """tanh, or 1 / (1 + exp(-p)) = (1 + tanh(p / 2)) / 2, of an odd polynomial p."""
    constant, first, second, third = value.coefficients
    if isinstance(value, Bent) or constant or second or not (first > 0 and third > 0):
        return None
    if operator == "Tanh":
        return Bent(value.before, what, "", value.coefficients, value.parts, np.zeros(()), np.ones(()))
    halves, half = _four([0.5 * c for c in value.coefficients]), np.asarray(0.5)
    return Bent(value.before, what, "", halves, value.parts, half, half)
