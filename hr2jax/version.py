"""The version, in one place, and those of the packages that a result depends on."""

from functools import cache
from importlib import import_module

__version__ = "0.2.0"


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    import numpy as np

    return {"hr2jax": __version__, "numpy": np.__version__, "jax": _installed("jax")}


@cache
def _installed(package: str) -> str:
    """The package's version, without importing it: small problems need no JAX."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # a source tree on the path
        return str(import_module(package).__version__)
