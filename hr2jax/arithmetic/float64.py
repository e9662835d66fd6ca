"""What was given, as float64 arrays with exactly the same real values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray


def exact_float64(value: ArrayLike, what: str, ndim: int) -> Array:
    """`value` as a finite float64 array of `ndim` dimensions with exactly the same real values.

    A certificate speaks of the exact reals that were given, so a conversion that rounds is refused
    (large int64, longdouble), and so is everything that is not a real number.

    Raises:
        ValueError: naming `what`, if the rank is wrong, an entry is not a finite real number, or its
            float64 value would differ.
    """
    try:
        given = np.asarray(value)
    except Exception as error:  # whatever the conversion of somebody's object raises
        ragged = isinstance(error, ValueError) and "inhomogeneous" in str(error)
        reason = "rows of unequal lengths were given" if ragged else f"{type(value).__name__} was given"
        raise ValueError(f"{what} must be an array of real numbers of {_dimensions(ndim)}, but {reason}") from None
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{what} must hold all its numbers, but some are masked; fill them in first (.filled)")
    if given.dtype.kind == "V" and given.dtype.name.startswith(("bfloat", "float")):  # ml_dtypes': bfloat16, ...
        given = given.astype(np.float32)
    if given.dtype == bool or given.dtype.kind not in "iuf":
        raise ValueError(f"{what} must hold real numbers (integers or floats), but its dtype is {given.dtype}")
    if given.ndim != ndim:
        raise ValueError(f"{what} must have {_dimensions(ndim)}, but its shape is {given.shape}")
    with np.errstate(over="ignore"):
        converted = np.array(given, dtype=np.float64, order="C")
    if given.dtype.kind == "f":
        if not np.isfinite(given).all():
            raise ValueError(f"{what} must be finite, but it contains NaN or infinity")
        same = given.dtype == np.float64 or np.array_equal(converted.astype(given.dtype), given)
        same = same and bool(np.isfinite(converted).all())
    else:  # Python compares int with float exactly; NumPy's int64 == float64 comparison rounds
        same = given.dtype.itemsize <= 4 or all(
            int(a) == int(b) for a, b in zip(converted.ravel().tolist(), given.ravel().tolist(), strict=True)
        )
    if not same:
        raise ValueError(f"{what} has dtype {given.dtype} and a value that float64 cannot hold exactly; round it first")
    converted += 0.0  # -0.0 becomes 0.0: one real number, one hash
    return converted


def flat_float64(value: ArrayLike, what: str) -> Array:
    """`exact_float64` of any rank, flattened in C order: an image's pixels as a network's inputs."""
    return exact_float64(value, what, rank(value, 1)).reshape(-1)


def rank(value: object, ragged: int) -> int:
    """How many dimensions `value` has, or `ragged`, to be refused later, where that cannot be said."""
    try:
        return np.ndim(value)  # type: ignore[arg-type]
    except ValueError:
        return ragged


def _dimensions(count: int) -> str:
    return f"{count} dimension" if count == 1 else f"{count} dimensions"
