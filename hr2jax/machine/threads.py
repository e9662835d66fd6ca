"""BLAS threads: as many as matrices of a size are worth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import threadpoolctl


@contextlib.contextmanager
def few_threads(N: int) -> Iterator[None]:
    """One BLAS thread for matrices of moderate size, within.

    JAX's own threads spin besides: inverses at N = 24 took 40 ms with two BLAS threads, 0.03 ms with one.
    JAX's eigendecomposition on a CPU is SciPy's LAPACK, whose threads spin while they wait for each other: on
    a machine that others use too, an iteration at N = 108 took 150 ms with two threads and 2 ms with one; at
    N = 600 on an idle one two are no faster than one.
    """
    if N > 1000:
        yield
        return
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        yield
