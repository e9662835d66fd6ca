"""What every test shares: JAX's compilation cache, for this process and for those that tests start.

Many tests solve problems of the same few shapes, some in child processes: each program is compiled once, kept in
pytest's cache folder, and read back where it is needed again. A worker of pytest-xdist has a folder of its own, since a
file that one writes while another reads it would be half a program.
"""

import os
from collections.abc import Iterator

import pytest

from tests.reference.effort import FULL
from tests.reference.frameworks import framework


def pytest_configure(config: pytest.Config) -> None:
    """Set before anything imports NumPy or JAX, and inherited by child processes."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    if worker != "main":  # as many processes as cores: threads of their own would wait for each other
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    folder = config.rootpath / ".pytest_cache" / "jax" / worker
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a test is marked to compare with is there, or the test is skipped (tests/reference/frameworks.py)."""
    for mark in item.iter_markers("framework"):
        for name in mark.args:
            framework(name)


@pytest.fixture
def compiled_quickly() -> Iterator[None]:
    """XLA leaves most optimisations out: for tests whose programs take longer to compile than to run.

    Not with HR2JAX_TESTS=full, where programs are those that a user gets.
    """
    import jax

    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", before or not FULL)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
