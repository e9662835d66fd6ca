"""`prove`: verdicts are never wrong, and proofs prove them again."""

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Proof
from hr2jax.io import read_vnnlib
from tests.reference.data import shared
from tests.reference.effort import examples
from tests.reference.segments import satisfiable


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


# --- verdicts against exact answers ---------------------------------------------------------------------------

WEIGHTS = st.integers(-3, 3).map(lambda k: k / 2)


@st.composite
def small_networks(draw, inputs=1):
    """Chains of up to two hidden layers, of half-integers: what is met is often met just so."""
    widths = [inputs, *draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)), draw(st.integers(1, 2))]

    def array(*shape):
        count = int(np.prod(shape))
        return np.reshape(draw(st.lists(WEIGHTS, min_size=count, max_size=count)), shape)

    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    kind = draw(st.sampled_from(["relu", "relu", "abs", "leaky_relu"]))
    return hr2jax.Network([array(*shape) for shape in shapes], [array(shape[0]) for shape in shapes], activation=kind)


@st.composite
def conditions(draw, inputs, outputs, depth=2):
    word = draw(st.sampled_from(["<=", "<", ">=", ">", "<=", ">=", "==", "!="] + ["and", "or"] * 3 * (depth > 0)))
    if word in ("and", "or"):
        parts = draw(st.lists(conditions(inputs, outputs, depth - 1), min_size=1, max_size=3))
        return f"({word} {' '.join(parts)})"
    term = st.sampled_from([f"Y_{i}" for i in range(outputs)] * 3 + [f"X_{i}" for i in range(inputs)])
    number = st.sampled_from(["0", "1", "-1", "2", "-0.5", "0.1", "-3", "4"])
    sums = st.builds("(+ {} (* {} {}))".format, term, number, term)
    return f"({word} {draw(st.one_of(term, sums))} {draw(st.one_of(number, number, term, sums))})"


@settings(deadline=None, max_examples=examples(100), suppress_health_check=list(HealthCheck))
@given(st.data())
def test_verdicts_of_one_input_are_never_wrong(tmp_path_factory, data):
    """Against exact answers, where what is met may be met at one point alone, or missed by nothing."""
    net = data.draw(small_networks())
    low = data.draw(st.sampled_from(["-1", "0", "-0.1", "0.3"]))
    high = data.draw(st.sampled_from(["1", "0.3", "2", "0.7"]))
    outputs = net.widths[-1]
    text = head(1, outputs) + f"(assert (and (>= X_0 {low}) (<= X_0 {high})))"
    for condition in data.draw(st.lists(conditions(1, outputs), min_size=1, max_size=2)):
        text += f"(assert {condition})"
    path = tmp_path_factory.getbasetemp() / "one.vnnlib"
    path.write_text(text)
    try:
        proof = hr2jax.prove(net, path)
    except ValueError as error:
        assert "is above" in str(error)
        return
    truth = satisfiable(net, read_vnnlib(path).formula, low, high)
    event(f"{proof.verdict}, {'met' if truth else 'not met'}")
    assert proof.verdict in ("unknown", "violated" if truth else "verified")
    assert proof.verify(net, path) == proof.verdict
