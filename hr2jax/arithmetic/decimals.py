"""Decimals of doubles, rounded the way that keeps a claim true."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation
from fractions import Fraction

# Characters of a decimal; every float64 in full needs fewer than 1100.
LONGEST = 2000


def decimal(text: str, what: str) -> Fraction:
    """The exact value of a decimal; one too small for any float64 is replaced by a larger such one.

    Raises:
        ValueError: no number, beyond float64, or of more than `LONGEST` characters; it names `what`.
    """
    value = _finite(text, what)
    if value and value.adjusted() < -400:  # 1e-999999999 has an exact value nobody wants to wait for
        return Fraction(int(math.copysign(1, value)), 10**400)
    return Fraction(value) if value else Fraction(0)


def rational(text: str, what: str) -> Fraction:
    """The exact value of a decimal.

    Raises:
        ValueError: as `decimal`, or a number other than 0 below 1e-`LONGEST` in magnitude.
    """
    value = _finite(text, what)
    if value and value.adjusted() < -LONGEST:
        raise ValueError(f"{what}: {text!r} is too small a number; 0 is the nearest that is read")
    return Fraction(value) if value else Fraction(0)


def _finite(text: str, what: str) -> Decimal:
    if len(text) > LONGEST:  # exact arithmetic takes quadratic time
        raise ValueError(f"{what}: a number of {len(text)} characters was given, and at most {LONGEST} are read")
    try:
        value = Decimal(text if "_" not in text else "")
    except InvalidOperation:
        raise ValueError(f"{what}: {text!r} is not a number") from None
    if not value.is_finite() or (value.adjusted() > 400 and value):
        raise ValueError(f"{what}: {text!r} is not a finite float64 number")
    return value


def nearest_float(value: Fraction, what: str) -> float:
    """The float64 nearest to `value`; ValueError beyond float64, naming `what`."""
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{what}: a number is larger than float64 can hold") from None


def round_up(value: Fraction) -> float:
    """The least float64 at or above `value`."""
    nearest = nearest_float(value, "radius")
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)
