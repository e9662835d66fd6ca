"""The only way into compiled JAX programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp

from .compile_clock import listen
from .interrupts import undisturbed
from .programs import begin
from .stopping import check

jax.monitoring.register_event_duration_secs_listener(listen)  # what runs is told apart from being compiled

P = ParamSpec("P")
T = TypeVar("T")


def run(program: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """program(*args, **kwargs), all of whose arrays are ready: nothing of it runs on after the call.

    An interrupt that comes meanwhile (traced, compiled or run) waits for the end: see `undisturbed`. What has to stay
    whole then, such as the state that an iteration leaves, is assigned by the program itself: it may be any function.
    Other modules call no jitted function but through here, tests/machine/test_run.py says; only the penalty's are
    called as they are, for they belong to whoever differentiates them.
    """
    check()
    begin()
    # float32 products are those of float32, where a GPU would take TF32's 10 bits
    with undisturbed(), jax.default_matmul_precision("highest"):
        return jax.block_until_ready(program(*args, **kwargs))


def put(array: Any, dtype: Any = None) -> Any:
    """The array on the device, which takes a program of its own: jnp.asarray."""
    return run(jnp.asarray, array, dtype)
