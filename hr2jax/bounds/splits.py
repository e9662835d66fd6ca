"""Parts of a domain told by signs of pre-activations: what a split bound states, and the check that they cover it.

A *part* says of some neurons that z >= 0, of others that z <= 0, and nothing of the rest. In it a backward linear bound
(linear.py) knows those neurons' values, z or 0, and may add to them what their signs allow: where z >= 0, a target with
M z lies above (M - b) z for every b >= 0, and where z <= 0, above b z. The least bound of parts that cover the domain
is one of the domain. Parts that are disjoint, and of k signs each add up to sum 2^-k = 1, are all patterns of signs.

The parts for a layer's bounds are the rows of one array of float64, (n, 1 + 2 w), w the neurons of the layers that it
depends on by activations, one layer behind the other: the number of the target (z_i for i < p, and -z_i as p + i), the
signs 1, -1 or 0, and a slope in [0, 1] where the sign is 0, else b. (S. Wang et al., *Beta-CROWN*, 2021, have bounds of
single parts so.)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arithmetic.float64 import Array

# A target's parts at most; a part's signs at most, so that sums of 2^-k are exact.
MOST_PARTS, MOST_SIGNS = 1024, 40


class Parts(NamedTuple):
    """The parts of some targets, each of which they cover the domain for.

    Attributes:
        target: (n,) int64, ascending.
        signs: (n, w) int64.
        slopes: (n, w) float64: in [0, 1] where the sign is 0, else at least 0.
    """

    target: Array
    signs: Array
    slopes: Array

    @property
    def targets(self) -> tuple[Array, Array]:
        """Those there are, and where each one's parts begin."""
        return np.unique(self.target, return_index=True)


def decode(rows: Array, count: int, width: int, where: str = "") -> Parts:
    """What an array says of `count` targets and `width` neurons.

    Raises:
        ValueError: an array that is not as said, or parts that do not cover the domain.
    """
    rows = np.asarray(rows)
    if rows.dtype != np.float64 or rows.ndim != 2 or rows.shape[1] != 1 + 2 * width:
        raise ValueError(f"parts{where} must be float64 rows of {1 + 2 * width} numbers, not {rows.shape}")
    numbers, signs, slopes = rows[:, 0], rows[:, 1 : 1 + width], rows[:, 1 + width :]
    if not np.isin(numbers, np.arange(count)).all() or (np.diff(numbers) < 0).any():
        raise ValueError(f"targets of parts{where} must be numbers from 0 to {count - 1}, ascending")
    if not np.isin(signs, (-1.0, 0.0, 1.0)).all() or not np.isfinite(slopes).all():
        raise ValueError(f"signs of parts{where} must be 1, -1 or 0, and slopes finite")
    signs = signs.astype(np.int64)
    slopes = np.where(signs == 0, np.clip(slopes, 0.0, 1.0), np.maximum(slopes, 0.0))
    parts = Parts(numbers.astype(np.int64), signs, slopes)
    for own in np.split(signs, parts.targets[1][1:]):
        _check_cover(own, where)
    return parts


def _check_cover(signs: Array, where: str) -> None:
    """Refuse signs (n, w) of one target's parts that do not cover all patterns; none at all are refused nowhere."""
    said = (signs != 0).sum(axis=1)
    if len(signs) > MOST_PARTS or (said > MOST_SIGNS).any():
        raise ValueError(f"at most {MOST_PARTS} parts{where} of {MOST_SIGNS} signs cover a domain")
    on, off = (signs > 0).astype(np.float64), (signs < 0).astype(np.float64)
    apart = on @ off.T  # exact counts, of small whole numbers
    apart += apart.T
    np.fill_diagonal(apart, 1.0)
    if len(signs) and not ((apart > 0).all() and np.ldexp(1.0, -said).sum() == 1.0):
        raise ValueError(f"parts{where} do not cover the domain, each of its patterns once")
