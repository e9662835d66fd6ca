"""Random numbers of JAX from the seeds that users give."""

from __future__ import annotations

from typing import Any

import jax

from .run import run


def key_of(seed: int) -> Any:
    """A key of any seed from 0 on; JAX takes those below 2^63 only."""
    return run(jax.random.key, seed % 2**63)


def key_within(key: Any, number: int) -> Any:
    """Another key for each number."""
    return run(jax.random.fold_in, key, number)
