"""Softplus falls at its threshold, as torch's does: no Lipschitz constant is claimed across that."""

import numpy as np
import pytest

import hr2jax
from hr2jax import Layer, Network
from hr2jax.cli.main import main

HERE = {"center": [0.1], "radius": 0.001}


def softplus(threshold, beta=1.0):
    first = Layer({0: [[1.0]]}, [0.0], "softplus", {"threshold": threshold, "beta": beta})
    return Network.from_layers([first, Layer({1: [[1.0], [2.0]]}, [0.0, 0.0], "identity")])


@pytest.mark.parametrize("threshold, beta", [(0.5, 5.0), (2.0, 1.0), (-1.0, 1.0), (15.0, 1.0)])
def test_a_low_threshold_has_no_constant(threshold, beta):
    net = softplus(threshold, beta)
    for call in (lambda **asked: hr2jax.solve(net, **asked), lambda **asked: hr2jax.solve_all(net, **asked)):
        with pytest.raises(ValueError, match="no Lipschitz constant: a softplus of threshold"):
            call()
        with pytest.raises(ValueError, match="which the domain may meet, falls there by"):
            call(center=[threshold / beta], radius=0.01)


def test_where_the_domain_keeps_away_there_is_one():
    result = hr2jax.solve(softplus(0.5, 5.0), output=0, center=[-1.0], radius=0.5)
    assert "jump" not in result.problem and "but for" not in str(result)


def test_torchs_own_threshold_is_said_beside_the_claim(tmp_path, capsys):
    net = softplus(20.0)
    result = hr2jax.solve(net, output=0)
    assert "(but for jumps of softplus at its threshold, of at most 2.1e-9 each)" in str(result)
    net.save(tmp_path / "net.npz")
    result.certificate.save(tmp_path / "c.npz")
    assert main(["verify", str(tmp_path / "c.npz"), str(tmp_path / "net.npz")]) == 0
    assert "but for jumps of softplus" in capsys.readouterr().out
    result.report(tmp_path / "page.html")
    assert "but for jumps of softplus" in (tmp_path / "page.html").read_text()
    assert "but for" not in str(hr2jax.solve(net, output=0, center=[3.0], radius=1.0))


def test_onnx_softplus_has_none():
    largest = float(np.finfo(np.float64).max)
    assert "but for" not in str(hr2jax.solve(softplus(largest), output=0))
