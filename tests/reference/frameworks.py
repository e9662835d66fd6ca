"""Frameworks that some tests compare with: skipped without them, but for HR2JAX_FRAMEWORKS=1, which `.ci/run` says."""

import importlib
import os
from types import ModuleType

import pytest


def framework(name: str) -> ModuleType:
    """The module `name`; without it the test is skipped, or fails where HR2JAX_FRAMEWORKS=1 says that it is there."""
    if os.environ.get("HR2JAX_FRAMEWORKS") == "1":
        return importlib.import_module(name)
    return pytest.importorskip(name)
