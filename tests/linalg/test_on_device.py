"""Which device JAX computes on, and what the engine makes of it."""

import jax
import numpy as np
import pytest

import hr2jax
from hr2jax.engines.product import schedule
from hr2jax.linalg import on_device as device
from hr2jax.machine.device import default_device, is_accelerated
from hr2jax.machine.run import run


def test_the_default_device():
    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        assert default_device() is cpu
        assert not is_accelerated()
    with jax.default_device("cpu"):
        assert default_device() is cpu
    assert default_device() is jax.devices()[0]


def test_products_of_float32_are_not_rounded_to_less_in_a_program():
    before = jax.config.jax_default_matmul_precision
    assert run(lambda: jax.config.jax_default_matmul_precision) == "highest"
    assert jax.config.jax_default_matmul_precision == before


@pytest.mark.parametrize("relaxation", ["shor", "hr2"])
def test_where_inner_steps_are_free_the_bound_is_as_good(relaxation, monkeypatch):
    rng = np.random.default_rng(0)
    p = (schedule.SMALL + 40) // 2
    A, c = rng.standard_normal((p, p)) / np.sqrt(p), rng.standard_normal((1, p)) / np.sqrt(p)
    net = hr2jax.Network([A, c], [rng.standard_normal(p), [0.0]])
    monkeypatch.setattr(device, "LARGE", 100)
    sizes, there = [], device._logdet
    monkeypatch.setattr(device, "_logdet", lambda M, d: (sizes.append(len(d)), there(M, d))[1])
    bounds = []
    for accelerated in (False, True):
        for module in ("hr2jax.linalg.on_device", "hr2jax.machine.device"):
            monkeypatch.setattr(f"{module}.is_accelerated", lambda accelerated=accelerated: accelerated)
        result = hr2jax.solve(net, relaxation=relaxation, tol=1e-3)
        assert result.status is hr2jax.Status.SOLVED
        assert result.relaxation_value <= result.bound <= (1 + 1e-3) * result.relaxation_value
        bounds.append(result.bound)
        assert bool(sizes) == accelerated  # the diagonal's factorisations are made where the inner steps are
    assert bounds[1] == pytest.approx(bounds[0], rel=1e-3)
