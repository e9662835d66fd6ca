"""The only way into compiled JAX programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from .compile_clock import listen
from .interrupts import undisturbed
from .programs import begin
from .stopping import check

jax.monitoring.register_event_duration_secs_listener(listen)  # what runs is told apart from being compiled

P = ParamSpec("P")
T = TypeVar("T")

# For CPUs: XLA's newer way to emit fused loops takes LLVM twice as long, and its loops are no faster.
QUICK: dict[str, str | bool] = {"xla_cpu_use_fusion_emitters": False, "xla_llvm_disable_expensive_passes": True}
_is_known = True  # whether this JAX knows the options


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


class compiled:
    """A jitted function that compiles quickly: `jax.jit`, as a decorator, with XLA's options for that.

    Half the time to compile (bench/compile.py), for the same values; but for deep fused expressions, which the older
    way writes out again and again: these are for `jax.jit`.
    Within another function that is traced it is part of that one. A JAX that does not know the options has none.

    Args:
        function: what `jax.jit` takes.
        options: `jax.jit`'s.
    """

    def __init__(self, function: Callable[..., Any], **options: Any):
        self.plain = jax.jit(function, **options)
        self.quick = jax.jit(function, compiler_options=QUICK, **options)
        update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function's value."""
        global _is_known  # noqa: PLW0603 (so is JAX, once a process)
        is_traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((args, kwargs)))
        if _is_known and not is_traced and jax.default_backend() == "cpu":
            try:
                return self.quick(*args, **kwargs)
            except jax.errors.JaxRuntimeError as error:
                if "No such compile option" not in str(error):
                    raise
                _is_known = False
        return self.plain(*args, **kwargs)


def put(array: Any, dtype: Any = None) -> Any:
    """The array on the device: jnp.asarray, without the program that that compiles for each shape of NumPy's arrays."""
    if isinstance(array, np.ndarray):
        # a copy, for the device may go on reading from it
        array = np.array(array, jax.dtypes.canonicalize_dtype(dtype or array.dtype))
        return run(jax.device_put, array)
    return run(jnp.asarray, array, dtype)
