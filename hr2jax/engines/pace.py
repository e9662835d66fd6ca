"""What a proof takes on this machine, about."""

from __future__ import annotations

import time
from functools import cache

import numpy as np

# A diagonal and a proof: so many seconds times the cube of the number of rows of M_1 that are kept, where a product of
# two matrices of side PRODUCT takes PRODUCT_SECONDS (two cores). Measured: 20 s with 4000 kept, 3.6 s with 1601.
PROOF, PRODUCT, PRODUCT_SECONDS = 3e-10, 768, 6.2e-3
# Up to so many rows the guess is short enough to need no look at the machine.
EVERYWHERE = 1500
# A look may meet a busy moment, and not all of a proof is products.
SLOWEST, FASTEST = 2.0, 0.125
# Columns of a factor, about, and multiplications a second, in `engine_seconds`.
RANK, MULTIPLICATIONS = 30, 7e10
# With fewer seconds left than this, nothing that must be compiled first comes to anything.
COMPILING = 2.0


def certificate_seconds(size: int) -> float:
    """What a diagonal and a proof take, about, with `size` rows of M_1 kept: a guess, until measured."""
    least = SLOWEST * PROOF * min(size, EVERYWHERE) ** 3
    return max(least, _slowness() * PROOF * size**3) if size > EVERYWHERE else least


def engine_seconds(method: str, size: int, iterations: int) -> float:
    """About what an engine's iterations took, told from their number and the basis' size alone: no clock decides.

    Multiplications of an iteration (the low-rank engine's with RANK columns, of the few entries that M_1 has: SDP-NN's
    local hr2z takes 2.3 s on two quiet cores, and is told 3.4; others' as eigendecompositions or Cholesky
    factors of some N x N matrices), and what an iteration takes whatever its size.
    """
    each, products = (3e-4, 2.0 * RANK * size**2) if method == "lowrank" else (2e-3, 30.0 * size**3)
    return iterations * (each + products / MULTIPLICATIONS)


@cache
def _slowness() -> float:
    """How long matrix products take here, in units of what they took where PROOF was measured."""
    A = np.ones((PRODUCT, PRODUCT))
    out = A @ A
    spent = []
    for _ in range(5):
        began = time.perf_counter()
        np.matmul(A, A, out=out)
        spent.append(time.perf_counter() - began)
    return min(max(min(spent) / PRODUCT_SECONDS, FASTEST), SLOWEST)
