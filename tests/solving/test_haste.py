"""Norms in the time that a solve has: which are proved how, and that what is stated by them verifies."""

import itertools
import math

import numpy as np
import pytest

import hr2jax
from hr2jax.arithmetic import norms
from hr2jax.arithmetic.norms import hasty_work
from hr2jax.solving import haste


def network(widths, seed=0):
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in itertools.pairwise(widths)]
    return hr2jax.Network(weights, [0.2 * rng.standard_normal(b) for b in widths[1:]])


def test_the_smallest_matrices_come_first():
    net = network((600, 700, 800, 2))
    first, second = (hasty_work(shape) for shape in ((700, 600), (800, 700)))
    both = (first + second) / haste.SHARE / haste.PACE
    assert haste.most_work(net, both * 1.01) == math.inf
    assert haste.most_work(net, both * 0.99) == first
    assert haste.most_work(net, 0.0) == 0.0


@pytest.mark.parametrize("work", [1e12, 0.0])
@pytest.mark.parametrize("asked", [
    {"relaxation": "product", "norm": 2}, {"relaxation": "lipsdp", "norm": 2}, {"relaxation": "shor", "norm": 2},
    {"relaxation": "shor", "center": np.zeros(6), "radius": 0.2},
], ids=str)  # fmt: skip
def test_certificates_of_hasty_norms_verify(asked, work, monkeypatch):
    """By decompositions, which prove no more than is stated."""
    monkeypatch.setattr(norms, "SLOW", 4)
    monkeypatch.setattr(norms, "LARGE", 4)
    monkeypatch.setattr(haste, "PACE", work)
    net = network((6, 8, 7, 2))
    asked = {"output": 0} | asked
    result = hr2jax.solve(net, time_limit=60.0, **asked)
    proved, in_time = result.certificate.verify(net), hr2jax.solve(net, **asked)
    assert proved <= result.bound
    assert work == 0.0 or result.bound <= 1.01 * in_time.bound
    assert proved >= in_time.lower
    assert result.bound >= in_time.lower


def test_a_checkpoint_of_a_solve_without_a_limit_is_resumed_from_in_haste(tmp_path, monkeypatch):
    monkeypatch.setattr(norms, "SLOW", 4)
    monkeypatch.setattr(norms, "LARGE", 4)
    net, asked = network((6, 8, 7, 2)), {"output": 0, "norm": 2, "relaxation": "shor"}
    first = hr2jax.solve(net, checkpoint=tmp_path / "c.npz", **asked)
    again = hr2jax.solve(net, checkpoint=tmp_path / "c.npz", time_limit=60.0, **asked)
    assert again.bound <= first.bound


def test_solve_all_in_haste(monkeypatch):
    """Each has a share of the limit, and bounds that were stated in the whole of it."""
    monkeypatch.setattr(norms, "SLOW", 4)
    monkeypatch.setattr(norms, "LARGE", 4)
    monkeypatch.setattr(haste, "PACE", (hasty_work((8, 6)) + hasty_work((8, 7))) / 30.0)
    net = network((6, 8, 7, 2))
    for result in hr2jax.solve_all(net, relaxation="shor", time_limit=60.0, norm=2):
        assert result.certificate.verify(net) <= result.bound
