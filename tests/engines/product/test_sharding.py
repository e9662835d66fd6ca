"""Several devices: the same bounds as on one, and a share of the memory. In processes whose host has eight devices."""

import json
import os
import subprocess
import sys

import pytest

import hr2jax
from hr2jax.machine import device
from hr2jax.options import Options

SCRIPT = """
import json, sys
import jax, numpy as np
import hr2jax
from hr2jax.engines.product import device, schedule
from hr2jax.engines.product.lagrangian import minimise_on

schedule.SMALL = 0  # else NumPy's
jax.config.update("jax_disable_most_optimizations", True)
name, widths, where = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
net = hr2jax.Network([rng.standard_normal((b, a)) / a**0.5 for a, b in zip(widths, widths[1:])],
                     [0.3 * rng.standard_normal(b) for b in widths[1:]])
found, shapes = {}, {}
run = device.run

def seen(program, state, *arguments, **named):
    if program is minimise_on:
        shapes[count] = [(len(state[key].sharding.device_set), state[key].addressable_shards[0].data.shape[-1])
                         for key in ("x", "past")], state["x"].shape
    return run(program, state, *arguments, **named)

device.run = seen
for count in (None, 8):
    options = dict(center=np.zeros(widths[0]), radius=0.2) if where == "local" else {}
    result = hr2jax.solve(net, relaxation=name, method="lowrank", tol=1e-3, devices=count, witness=0, **options)
    found[str(count)] = [result.bound, result.status.name, result.certificate.verify(net)]
print(json.dumps([found, {str(k): v for k, v in shapes.items()}]))
"""


@pytest.mark.parametrize(("name", "widths", "where"), [
    ("hr2", (6, 9, 1), "global"),
    pytest.param("hr2z", (6, 9, 1), "local", marks=pytest.mark.slow),
    pytest.param("hr2+", (6, 9, 1), "local", marks=pytest.mark.slow),
    pytest.param("hr2", (4, 6, 5, 1), "local", marks=pytest.mark.slow),
    pytest.param("shor", (6, 9, 2), "global", marks=pytest.mark.slow),
])  # fmt: skip
def test_eight_devices_find_what_one_does(name, widths, where):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-c", SCRIPT, json.dumps([name, widths, where])]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found, shapes = json.loads(done.stdout.splitlines()[-1])
    one, eight = found["None"], found["8"]
    assert eight[1] == one[1] == "SOLVED"
    assert eight[0] == pytest.approx(one[0], rel=2e-3)
    assert eight[2] <= eight[0] * (1 + 1e-12)
    shares, (whole,) = shapes["8"]
    assert shares == [[8, whole // 8], [8, whole // 8]]
    assert all(count == 1 for count, _ in shapes["None"][0])


def test_what_means_nothing_is_refused(monkeypatch):
    net = hr2jax.Network([[[1.0]], [[1.0]]], [[0.0], [0.0]])
    for devices in (0, 1.5, True):
        with pytest.raises(ValueError, match="devices must be"):
            hr2jax.solve(net, devices=devices)
    with pytest.raises(ValueError, match="'admm' was given"):
        Options(devices=2, method="admm")
    with pytest.raises(ValueError, match=r"devices=\d+ was given, but JAX sees \d+ of kind 'cpu' here"):
        hr2jax.solve(net, devices=len(device.devices_of(1)) + 10**6)
