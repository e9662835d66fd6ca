"""The device that JAX's computations run on, and what dense linear algebra an accelerator does faster than LAPACK."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from ..arithmetic.float64 import Array
from ..machine.device import is_accelerated
from ..machine.run import compiled, put, run
from .definite import Definite

T = TypeVar("T")

# Below this size LAPACK is as fast as the way there and back.
LARGE = 500


def definite_on_device() -> type[Definite]:
    """Who factors Diag(d) - M fastest here."""
    return OnDevice if is_accelerated() else Definite


class OnDevice(Definite):
    """`Definite` on JAX's default device, in float64; on the host where that has no room for it."""

    LANCZOS = 10_000
    NEWTON = 8000

    def __init__(self, M: Array):
        super().__init__(M)
        self._there: Any = None
        self._fits = len(M) >= LARGE

    def _or(self, there: Callable[[], T], here: Callable[[], T]) -> T:
        if self._fits:
            try:
                with jax.enable_x64(True):
                    return there()
            except jax.errors.JaxRuntimeError:  # out of memory, most likely, which trying again would not change
                self._there, self._fits, self.LANCZOS = None, False, Definite.LANCZOS
        return here()

    def _on_device(self) -> Any:
        if self._there is None:
            self._there = put(self.negative)
        return self._there

    def logdet(self, d: Array) -> float:
        """`Definite.logdet`."""

        def there() -> float:
            found = float(run(_logdet, self._on_device(), put(d)))
            return found if np.isfinite(found) else -np.inf

        return self._or(there, lambda: super(OnDevice, self).logdet(d))

    def inverse(self, d: Array) -> tuple[Array | None, float]:
        """`Definite.inverse`; all of it."""

        def there() -> tuple[Array | None, float]:
            inverse, logdet = run(_inverse, self._on_device(), put(d))
            return (np.array(inverse), float(logdet)) if np.isfinite(float(logdet)) else (None, -np.inf)

        return self._or(there, lambda: super(OnDevice, self).inverse(d))

    def _lowest(self, S: Array, count: int) -> tuple[Array, Array]:
        def there() -> tuple[Array, Array]:
            values, vectors = map(np.asarray, run(eigh, put(S)))
            if not np.isfinite(values).all():
                return super(OnDevice, self)._lowest(S, count)
            return values[:count], vectors[:, :count]

        return self._or(there, lambda: super(OnDevice, self)._lowest(S, count))

    def solve(self, H: Array, b: Array) -> Array | None:
        """`Definite.solve`."""

        def there() -> Array | None:
            x = np.asarray(run(_solve, put(H), put(b)))
            return x if np.isfinite(x).all() else None

        return self._or(there, lambda: super(OnDevice, self).solve(H, b))


def _factor(S: Any) -> Any:
    """The lower Cholesky factor, of whose matrix the lower triangle is read; NaN where there is none."""
    return jax.lax.linalg.cholesky(jnp.tril(S) + jnp.tril(S, -1).T, symmetrize_input=False)


@compiled
def _logdet(negative: Any, d: Any) -> Any:
    return 2.0 * jnp.log(jnp.diag(_factor(negative + jnp.diag(d)))).sum()


@compiled
def _inverse(negative: Any, d: Any) -> tuple[Any, Any]:
    factor = _factor(negative + jnp.diag(d))
    inverse = jax.scipy.linalg.cho_solve((factor, True), jnp.eye(len(d), dtype=factor.dtype))
    return inverse, 2.0 * jnp.log(jnp.diag(factor)).sum()


@compiled
def _solve(H: Any, b: Any) -> Any:
    return jax.scipy.linalg.cho_solve((_factor(H), True), b)


eigh = compiled(jnp.linalg.eigh)
