"""What every test shares: JAX's compilation cache, for this process and for those that tests start.

Many tests solve problems of the same few shapes, some in child processes: each program is compiled once, kept in
pytest's cache folder, and read back where it is needed again. A worker of pytest-xdist has a folder of its own, since a
file that one writes while another reads it would be half a program.
"""

import os
from collections.abc import Iterator

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Set before anything imports JAX, and inherited by child processes."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    folder = config.rootpath / ".pytest_cache" / "jax" / worker
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


@pytest.fixture
def no_compilation_cache() -> Iterator[None]:
    """Within the test every program is compiled, as in a process that has no cache."""
    import jax

    was = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    yield
    jax.config.update("jax_enable_compilation_cache", was)
