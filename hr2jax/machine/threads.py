"""BLAS threads: as many as matrices of a size are worth."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import threadpoolctl

# The limit is the process's: of several threads within, the last one lifts it, or numbers would depend on the others.
_lock = threading.Lock()
_within = 0
_limit: Any = None


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
    global _within, _limit  # noqa: PLW0603
    with _lock:
        if not _within:
            _limit = threadpoolctl.threadpool_limits(1, user_api="blas")
        _within += 1
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if not _within:
                _limit.restore_original_limits()
