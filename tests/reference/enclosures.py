"""What enclosures enclose, in rational numbers."""

from fractions import Fraction

import numpy as np

from hr2jax.arithmetic.arb import Arb


def exact(values, shape):
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result.reshape(shape)


def ends(value):
    """The exact least and greatest members, object arrays; None where an entry is not finite."""
    if isinstance(value, Arb):
        pairs = [ball_ends(x) for x in value.balls.flat]
    else:
        both = zip(value.mid.flat, value.rad.flat, strict=True)
        pairs = [
            (Fraction(float(m)) - Fraction(float(r)), Fraction(float(m)) + Fraction(float(r)))
            if np.isfinite(m) and np.isfinite(r)
            else (None, None)
            for m, r in both
        ]
    return [exact([pair[k] for pair in pairs], value.shape) for k in (0, 1)]


def ball_ends(x):
    if not x.is_finite():
        return None, None
    middle, radius = (int(m) * Fraction(2) ** int(e) for m, e in (x.mid().man_exp(), x.rad().man_exp()))
    return middle - radius, middle + radius


def assert_encloses(value, member):
    """Every finite entry of `value` holds the exact entry of `member`; so do the outward float bounds."""
    assert value.shape == member.shape
    least, greatest = ends(value)
    with np.errstate(all="ignore"):
        low, high, size = (np.asarray(side()) for side in (value.lower, value.upper, value.magnitude))
    for x, a, b, l, h, s in zip(
        member.flat, least.flat, greatest.flat, low.flat, high.flat, size.flat, strict=True
    ):
        if a is None:
            assert not value.is_finite()
            continue
        assert a <= x <= b
        assert at_most(l, a)
        assert at_most(b, h)
        assert at_most(max(-a, b), s)


def at_most(x, y):
    """x <= y, each a rational or a float, which may be infinite."""
    infinite = [isinstance(v, float) and np.isinf(v) for v in (x, y)]
    if any(infinite):
        return bool((infinite[0] and x < 0) or (infinite[1] and y > 0))
    return Fraction(x) <= Fraction(y)
