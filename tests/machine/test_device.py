"""Whether JAX would see more than CPUs is found out where JAX itself looks, and without starting it."""

import subprocess
import sys
from importlib import metadata

import pytest

from hr2jax.machine import device


def test_a_plugin_is_found_where_jax_looks(monkeypatch):
    monkeypatch.setattr(device, "find_spec", lambda name: None)
    monkeypatch.setattr(device, "entry_points", lambda group: metadata.EntryPoints())
    assert not device._has_plugin()
    point = metadata.EntryPoint("cuda12", "jax_plugins.xla_cuda12", "jax_plugins")
    monkeypatch.setattr(device, "entry_points", lambda group: metadata.EntryPoints([point]).select(group=group))
    assert device._has_plugin()


@pytest.mark.parametrize("name", ["jax_plugins/xla_cuda12/__init__.py", "libtpu/__init__.py"])
def test_so_is_a_namespace_package(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
    code = "import sys; sys.path.append(sys.argv[1]); from hr2jax.machine import device as d; print(d._has_plugin())"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]
