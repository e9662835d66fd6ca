"""The low-rank engine on several devices: rows of its factor, and of all that goes with them, divided by jax.sharding.

Each device has a share of the factor, of what L-BFGS remembers, of the objective's blocks, the forms and the
multipliers; what is summed over rows is summed over the devices by XLA. V itself, N r numbers, is gathered to all of
them in every evaluation: forms take rows from anywhere (docs/scale.md has what that moves).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ...machine.device import devices_of
from ...machine.run import run

ROWS = "rows"


@lru_cache
def _mesh(devices: tuple[Any, ...]) -> Mesh:
    return Mesh(np.array(devices), (ROWS,))


def mesh_of(count: int | None) -> Mesh | None:
    """So many of the devices of JAX's default kind; None: no division. Raises what `devices_of` does."""
    return None if count is None or count == 1 else _mesh(tuple(devices_of(count)))


def divided(array: Any, mesh: Mesh | None, axis: int = 0) -> Any:
    """In a program: the array, that axis divided among the devices, if it is divisible; as it is without a mesh."""
    return array if mesh is None else jax.lax.with_sharding_constraint(array, _of(np.shape(array), mesh, axis))


def everywhere(array: Any, mesh: Mesh | None) -> Any:
    """In a program: the array, whole on every device; as it is without a mesh."""
    return array if mesh is None else jax.lax.with_sharding_constraint(array, NamedSharding(mesh, PartitionSpec()))


def put_divided(array: Any, dtype: Any, mesh: Mesh, axis: int = 0) -> Any:
    """The array on the devices, that axis divided among them if it is divisible."""
    array = np.asarray(array, dtype)
    return run(jax.device_put, array, _of(array.shape, mesh, axis))


def _of(shape: tuple[int, ...], mesh: Mesh, axis: int) -> NamedSharding:
    places: list[Any] = [None] * len(shape)
    if axis < len(shape) and shape[axis] > 0 and shape[axis] % mesh.size == 0:
        places[axis] = ROWS
    return NamedSharding(mesh, PartitionSpec(*places))
