"""What every test shares, set for this process and for those that tests start.

JAX's compilation cache: many tests solve problems of the same few shapes, some in child processes; each program is
compiled once, kept in pytest's cache folder, and read back where it is needed again. Workers of pytest-xdist share the
folder: where one reads while another writes, JAX warns of half a program (a warning that pyproject.toml ignores) and
compiles it.

XLA's older emitters (but for HR2JAX_TESTS=full): they compile a program in a third to two thirds of the time.

The package's bytecode, also where PYTHONDONTWRITEBYTECODE is set: each worker and each child process would compile all
its modules again.
"""

import compileall
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.reference.effort import FULL
from tests.reference.frameworks import framework

PACKAGE = Path(__file__).parents[1] / "hr2jax"
# XLA ends the process where a flag is unknown, so only versions of jaxlib are told that know this one.
EMITTERS, KNOWN = "--xla_cpu_use_fusion_emitters=false", ((0, 8), (0, 9), (0, 10))


def pytest_configure(config: pytest.Config) -> None:
    """Set before anything imports NumPy or JAX, and inherited by workers and child processes."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: their threads would wait for each other
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, "1")
    else:
        compileall.compile_dir(PACKAGE, quiet=2)
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(config.rootpath / ".pytest_cache" / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    flags = os.environ.get("XLA_FLAGS", "")
    jaxlib = tuple(int(part) for part in version("jaxlib").split(".")[:2])
    if not FULL and jaxlib in KNOWN and "fusion_emitters" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {EMITTERS}".strip()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes do not name a test: gzip's hold the time, so that two of pytest-xdist's workers would collect two tests."""
    return argname if isinstance(val, bytes) else None


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
