"""Bounds from large matrices in the time that a solve has: a decomposition of 3000 rows takes half a minute."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

from ..arithmetic.norms import Haste, hasty_work, in_haste
from ..network import Network

# The share of a time limit that all of a network's norms may take, or its interval Jacobian; multiplications a second,
# of one core.
SHARE, PACE = 0.5, 1e10


@contextlib.contextmanager
def norms_in_time(net: Network, time_limit: float | None) -> Iterator[None]:
    """With a time limit, norms within are those in haste (`arithmetic.norms.in_haste`), all together in time.

    Which are proved how follows from the limit and the sizes: bounds that are stated and proved again within are the
    same.
    """
    if time_limit is None:
        yield
        return
    with in_haste(Haste(most_work(net, time_limit), SHARE * time_limit * PACE)):
        yield


def most_work(net: Network, time_limit: float) -> float:
    """The most multiplications that the norm of one matrix may take: the smallest ones come first."""
    left, most = SHARE * time_limit * PACE, 0.0
    for work in sorted(hasty_work(A.shape) for layer in net.layers for A in layer.inputs.values()):
        left -= work
        if left < 0:
            return most
        most = work
    return math.inf
