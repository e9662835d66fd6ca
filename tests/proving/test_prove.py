"""`prove`: verdicts are never wrong, and proofs prove them again."""

import numpy as np
import pytest

import hr2jax
from hr2jax import Proof
from tests.reference.data import shared


def head(inputs, outputs):
    return "".join(f"(declare-const X_{i} Real)" for i in range(inputs)) + "".join(
        f"(declare-const Y_{i} Real)" for i in range(outputs)
    )


def box(low, high):
    return "".join(
        f"(assert (>= X_{i} {a!r}))(assert (<= X_{i} {b!r}))" for i, (a, b) in enumerate(zip(low, high, strict=True))
    )


@pytest.fixture(scope="module")
def net():
    rng = np.random.default_rng(3)
    shapes = ((6, 3), (5, 6), (2, 5))
    return hr2jax.Network([rng.standard_normal(s) for s in shapes], [rng.standard_normal(s[0]) for s in shapes])


def asked(tmp_path, text):
    path = tmp_path / "p.vnnlib"
    path.write_text(head(3, 2) + box([-0.1] * 3, [0.1] * 3) + text)
    return path


def test_a_property_verified_and_one_violated(net, tmp_path):
    x = np.random.default_rng(0).uniform(-0.1, 0.1, (10_000, 3))
    largest = net(x).max(axis=0)
    path = asked(tmp_path, f"(assert (>= Y_0 {largest[0] + 0.5}))")
    proof = hr2jax.prove(net, path)
    assert (proof.verdict, proof.witness) == ("verified", None)
    proof.save(tmp_path / "p.npz")
    assert Proof.load(tmp_path / "p.npz").verify(net, path) == "verified"
    path = asked(tmp_path, f"(assert (>= Y_0 {largest[0] - 1e-3}))")
    proof = hr2jax.prove(net, path)
    assert proof.verdict == "violated"
    assert np.abs(proof.witness).max() <= 0.1 and net(proof.witness)[0] >= largest[0] - 1e-3
    assert proof.counterexample.startswith("sat\n((X_0 ")
    proof.save(tmp_path / "p.npz")
    assert Proof.load(tmp_path / "p.npz").verify(net, path) == "violated"
    with pytest.raises(NotImplementedError, match="branch and bound"):
        hr2jax.prove(net, path, exact=True)


@pytest.mark.slow
def test_a_property_of_the_competition(tmp_path):
    pytest.importorskip("onnx")
    net = hr2jax.load(shared("data", "onnx", "mnist-net_256x2.onnx"))
    path = shared("data", "onnx", "prop_0_0.03.vnnlib")
    proof = hr2jax.prove(net, path)
    assert proof.verdict == "verified"
    proof.save(tmp_path / "p.npz")
    assert Proof.load(tmp_path / "p.npz").verify(net, path) == "verified"
