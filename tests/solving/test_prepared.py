"""Whoever stops a search for slopes has a bound all the same: it is proved before, by intervals."""

import os
import signal
import threading

import numpy as np
import pytest

import hr2jax
from hr2jax.bounds.slopes.search import find_slopes
from hr2jax.interrupted import Terminated
from hr2jax.machine import stopping
from hr2jax.solving import prepared


def network(outputs=3, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((8, 5), (8, 8), (outputs, 8))
    return hr2jax.Network(
        [rng.standard_normal(s) / np.sqrt(s[1]) for s in shapes], [0.3 * rng.standard_normal(s[0]) for s in shapes]
    )


BOX = {"center": np.linspace(-0.5, 0.5, 5), "radius": 0.4}
CALLS = {
    "solve": lambda net, **more: hr2jax.solve(net, output=0, **BOX, **more),
    "rows": lambda net, **more: hr2jax.solve(net, **BOX, **more),
    "columns": lambda net, **more: hr2jax.solve(net, norm=1, output_norm=2, **BOX, **more),
    "maximum": lambda net, **more: hr2jax.maximum(net, output=0, **BOX, **more),
    "solve_all": lambda net: hr2jax.solve_all(net, **BOX),
}


@pytest.fixture
def hindered(monkeypatch):
    """A search for slopes that does not hear the signal it is sent."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    goes_on = threading.Event()

    def search(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        goes_on.wait(60)
        return {}

    monkeypatch.setattr(prepared, "find_slopes", search)
    monkeypatch.setattr(stopping, "GRACE", 0.2)
    yield
    goes_on.set()
    for thread in stopping._left:
        thread.join()
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.usefixtures("hindered")
def test_the_search_for_slopes_is_stopped(name, tmp_path):
    """There was none, and no checkpoint: up to a minute of a solve left nothing."""
    net, path = network(), tmp_path / "c.npz"
    with pytest.raises(hr2jax.Interrupted) as stop:
        CALLS[name](net, **({} if name == "solve_all" else {"checkpoint": path}))
    found = stop.value.result
    for result in found if name == "solve_all" else [found]:
        assert result.status is hr2jax.Status.STOPPED and result.message.startswith("Ctrl-C stopped it")
        assert result.certificate.verify(net) == result.bound < np.inf
    if name != "solve_all":
        assert hr2jax.Certificate.load(path).verify(net) == found.bound


@pytest.mark.usefixtures("hindered")
def test_sigterm_is_called_by_its_name():
    def terminate(*_):
        raise Terminated

    signal.signal(signal.SIGINT, terminate)
    with pytest.raises(hr2jax.Interrupted, match="stopped by SIGTERM") as stop:
        CALLS["solve"](network())
    assert stop.value.result.message == "SIGTERM stopped it; the bound is the best certified so far"


@pytest.mark.parametrize("name", ["solve", "rows"])
def test_the_bound_by_intervals_is_gone_on_from(name, tmp_path, monkeypatch):
    """It has no lifting, and what it leaves in a checkpoint is no hindrance."""
    net, path = network(), tmp_path / "c.npz"

    def die(*_, **__):
        raise MemoryError

    monkeypatch.setattr(prepared, "find_slopes", die)
    with pytest.raises(MemoryError):
        CALLS[name](net, checkpoint=path)
    first = hr2jax.Certificate.load(path).verify(net)
    monkeypatch.setattr(prepared, "find_slopes", find_slopes)
    again, anew = CALLS[name](net, checkpoint=path), CALLS[name](net)
    assert again.bound == pytest.approx(anew.bound, rel=1e-3)
    assert again.bound < first
    assert hr2jax.Certificate.load(path).verify(net) == again.bound
