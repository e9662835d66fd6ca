"""`prove`: verdicts are never wrong, and proofs prove them again."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import hr2jax
from hr2jax import Proof
from hr2jax.io import read_vnnlib
from tests.reference.data import shared
from tests.reference.effort import examples
from tests.reference.general import member, pre_activations, random_general
from tests.reference.properties import box, conditions, head, small_networks
from tests.reference.segments import satisfiable


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


@pytest.mark.parametrize(
    ("epsilon", "verdict"), [("0.05", "violated"), pytest.param("0.03", "verified", marks=pytest.mark.slow)]
)
def test_properties_of_the_competition(epsilon, verdict, tmp_path):
    """Where the first is violated, gradients vanish on most of the box: from its lower end they lead there."""
    pytest.importorskip("onnx")
    net = hr2jax.load(shared("data", "onnx", "mnist-net_256x2.onnx"))
    path = shared("data", "onnx", f"prop_0_{epsilon}.vnnlib")
    proof = hr2jax.prove(net, path)
    assert proof.verdict == verdict
    proof.save(tmp_path / "p.npz")
    assert Proof.load(tmp_path / "p.npz").verify(net, path) == verdict


# --- verdicts against exact answers ---------------------------------------------------------------------------


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


def farthest(net, condition_rows, rhs, low, high):
    """min over the box of max_i (m_i . F(x) - h_i) of a ReLU chain, by a linear program for each activation pattern."""
    hidden = sum(net.widths[1:-1])
    p = net.widths[0]
    best = np.inf
    for pattern in itertools.product((0.0, 1.0), repeat=hidden):
        masks = np.split(np.array(pattern), np.cumsum(net.widths[1:-1])[:-1])
        A, b, rows, sides = np.eye(p), np.zeros(p), [], []
        for W, shift, on in zip(net.weights[:-1], net.biases[:-1], masks, strict=True):
            A, b = W @ A, W @ b + shift
            sign = 1.0 - 2.0 * on  # z <= 0 where off, -z <= 0 where on
            rows.append(sign[:, None] * A)
            sides.append(-sign * b)
            A, b = on[:, None] * A, on * b
        A, b = net.weights[-1] @ A, net.weights[-1] @ b + net.biases[-1]
        rows.append(condition_rows @ A)
        sides.append(rhs - condition_rows @ b)
        last = np.concatenate([np.zeros(hidden), -np.ones(len(rhs))])
        found = linprog(
            np.append(np.zeros(p), 1.0), np.column_stack([np.concatenate(rows), last]), np.concatenate(sides),
            bounds=[*zip(low, high, strict=True), (None, None)],
        )  # fmt: skip
        if found.status == 0:
            best = min(best, found.fun)
    return best


@settings(deadline=None, max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31), st.integers(1, 3))
def test_conjunctions_on_several_inputs_are_never_decided_wrongly(tmp_path_factory, seed, count):
    rng = np.random.default_rng(seed)
    widths = [int(rng.integers(2, 4)), *rng.integers(1, 4, int(rng.integers(1, 3))).tolist(), 3]
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    net = hr2jax.Network([rng.normal(size=s) for s in shapes], [rng.normal(size=s[0]) for s in shapes])
    center, radius = rng.normal(size=widths[0]), rng.uniform(0.1, 1.5)
    low, high = center - radius, center + radius
    M = rng.integers(-2, 3, (count, 3)).astype(float)
    M[np.arange(count), rng.integers(0, 3, count)] = 1.0
    sample = net(rng.uniform(low, high, (500, widths[0]))) @ M.T
    h = np.quantile(sample, rng.uniform(0, 0.3), axis=0) - rng.uniform(-0.2, 0.4, count)
    text = head(widths[0], 3) + box(low.tolist(), high.tolist())
    for row, side in zip(M.tolist(), h.tolist(), strict=True):
        text += f"(assert (<= (+ {' '.join(f'(* {a!r} Y_{i})' for i, a in enumerate(row))}) {side!r}))"
    path = tmp_path_factory.getbasetemp() / "several.vnnlib"
    path.write_text(text)
    proof = hr2jax.prove(net, path)
    least = farthest(net, M, h, low, high)
    event(f"{proof.verdict}, {'met' if least < 0 else 'not met'}")
    if abs(least) > 1e-7:
        assert proof.verdict in ("unknown", "violated" if least < 0 else "verified")
    assert proof.verify(net, path) == proof.verdict


SMOOTH = ("tanh", "sigmoid", "gelu", "silu", "softplus")


@settings(deadline=None, max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31), st.sampled_from(SMOOTH))
def test_smooth_networks_are_never_decided_wrongly(tmp_path_factory, seed, kind):
    rng = np.random.default_rng(seed)
    shapes = ((4, 2), (3, 4), (2, 3))[: rng.integers(2, 4)] if rng.random() < 0.5 else ((4, 2), (2, 4))
    shapes = (*shapes[:-1], (2, shapes[-1][1]))
    net = hr2jax.Network([rng.normal(size=s) for s in shapes], [rng.normal(size=s[0]) for s in shapes], activation=kind)
    low, high = -rng.uniform(0.05, 0.5, 2), rng.uniform(0.05, 0.5, 2)
    grid = np.stack(np.meshgrid(*(np.linspace(a, b, 60) for a, b in zip(low, high, strict=True))), -1).reshape(-1, 2)
    values = net(grid)[:, 0] - 0.5 * net(grid)[:, 1]
    level = float(values.max() + rng.uniform(-0.2, 0.3))
    path = tmp_path_factory.getbasetemp() / "smooth.vnnlib"
    path.write_text(head(2, 2) + box(low.tolist(), high.tolist()) + f"(assert (>= (- Y_0 (* 0.5 Y_1)) {level!r}))")
    proof = hr2jax.prove(net, path)
    event(f"{proof.verdict}, {'met' if level <= values.max() else 'perhaps not met'}")
    if proof.verdict == "verified":
        assert values.max() < level + 1e-12
    if proof.verdict == "violated":
        y = net(proof.witness)
        assert y[0] - 0.5 * y[1] >= level - 1e-12
        assert (low <= proof.witness).all() and (proof.witness <= high).all()
    assert proof.verify(net, path) == proof.verdict


def test_smooth_networks_are_proved_by_largest_values(tmp_path):
    rng = np.random.default_rng(0)
    shapes = ((8, 3), (8, 8), (2, 8))
    weights = [rng.normal(size=s) / np.sqrt(s[1]) for s in shapes]
    net = hr2jax.Network(weights, [0.5 * rng.normal(size=s[0]) for s in shapes], activation="tanh")
    where = {"output": (0, 1), "center": np.zeros(3), "radius": 0.4}
    lines, values = (hr2jax.maximum(net, relaxation=name, **where) for name in ("interval", "hr2"))
    path = tmp_path / "p.vnnlib"
    for level, verdict in ((0.5 * lines.bound + 0.5 * values.bound, "verified"), (values.lower - 0.01, "violated")):
        path.write_text(head(3, 2) + box([-0.4] * 3, [0.4] * 3) + f"(assert (>= (- Y_0 Y_1) {level!r}))")
        proof = hr2jax.prove(net, path)
        assert proof.verdict == verdict == proof.verify(net, path)
        proof.save(tmp_path / "p.npz")
        assert Proof.load(tmp_path / "p.npz").verify(net, path) == verdict


def test_an_input_fixed_at_a_decimal(tmp_path):
    """No float64 is in the box: the witness is a rational number."""
    net = hr2jax.Network([np.eye(2), np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    path = tmp_path / "p.vnnlib"
    for condition, verdict in (("(>= Y_0 1.1)", "violated"), ("(> Y_0 1.1)", "verified"), ("(<= Y_0 0.1)", "violated")):
        fixed = "(assert (and (<= X_0 0.1) (>= X_0 0.1) (>= X_1 0) (<= X_1 1)))"
        path.write_text(head(2, 1) + fixed + f"(assert {condition})")
        proof = hr2jax.prove(net, path)
        assert proof.verdict in (verdict, "unknown"), condition
        assert (proof.verdict == "unknown") <= (condition == "(> Y_0 1.1)")  # missed by nothing, but for a strict sign
        if verdict == "violated":
            assert proof.exact[0] == Fraction(1, 10) and proof.witness[0] == 0.1
        proof.save(tmp_path / "p.npz")
        assert Proof.load(tmp_path / "p.npz").verify(net, path) == proof.verdict


def test_a_point_is_decided(tmp_path):
    net = hr2jax.Network([np.eye(2), np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    path = tmp_path / "p.vnnlib"
    for condition, verdict in (("(>= Y_0 0.3)", "violated"), ("(> Y_0 0.3)", "verified"), ("(!= Y_0 0.3)", "verified")):
        fixed = "(assert (and (<= X_0 0.1) (>= X_0 0.1) (>= X_1 0.2) (<= X_1 0.2)))"
        path.write_text(head(2, 1) + fixed + f"(assert {condition})")
        proof = hr2jax.prove(net, path)
        assert proof.verdict == verdict == proof.verify(net)


def test_a_property_of_another_network_is_refused(net, tmp_path):
    path = tmp_path / "p.vnnlib"
    for inputs, outputs, message in (
        (2, 2, "2 inputs, but the network has 3"),
        (3, 1, "1 outputs, but the network has 2"),
    ):
        path.write_text(head(inputs, outputs) + box([0] * inputs, [1] * inputs))
        with pytest.raises(ValueError, match=message):
            hr2jax.prove(net, path)
    path.write_text(head(3, 2) + box([-1] * 3, [1] * 3).replace("1))", "1e400))", 1))
    with pytest.raises(ValueError, match="larger than float64 can hold"):
        hr2jax.prove(net, path)
    for name, value in (("tol", -1), ("time_limit", -1), ("exact", 1), ("seed", -1), ("device", "tpu")):
        with pytest.raises(ValueError, match=name):
            hr2jax.prove(net, path, **{name: value})


def test_no_time_is_unknown(net, tmp_path):
    path = asked(tmp_path, "(assert (>= Y_0 Y_1))(assert (<= Y_0 (+ Y_1 1e-9)))")
    proof = hr2jax.prove(net, path, time_limit=0)
    assert proof.verdict == "unknown" and "time limit" in proof.message
    assert proof.verify(net) == "unknown"
    assert proof.counterexample == "unknown\n"


@settings(deadline=None, max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31), st.sampled_from([0.0, 0.4]))
def test_skips_and_every_member_of_networks_with_radii(tmp_path_factory, seed, radii):
    rng = np.random.default_rng(seed)
    net = random_general(rng, radii=radii, outputs=2)
    p = net.widths[0]
    low, high = -rng.uniform(0, 1, p), rng.uniform(0, 1, p)
    x = rng.uniform(low, high, (30, p))
    level = float(np.quantile((net(x) @ [1, -1]), 0.95) + rng.choice([-0.1, 0.1, 1.0]))
    path = tmp_path_factory.getbasetemp() / "general.vnnlib"
    path.write_text(head(p, 2) + box(low.tolist(), high.tolist()) + f"(assert (>= (- Y_0 Y_1) {level!r}))")
    proof = hr2jax.prove(net, path)
    event(f"{proof.verdict}, {'radii' if net.has_radii else 'exact'}")
    assert proof.verify(net, path) == proof.verdict
    for _ in range(3):
        layers = member(net, rng)
        if proof.verdict == "violated":
            y = pre_activations(layers, list(proof.exact))[-1]
            assert y[0] - y[1] >= Fraction(level)
        if proof.verdict == "verified":
            for point in x[:10]:
                y = pre_activations(layers, [Fraction(v) for v in point.tolist()])[-1]
                assert y[0] - y[1] < Fraction(level)


def test_conditions_on_inputs_and_outputs_by_a_certificate(tmp_path):
    """0.3 is no float64: what the certificate's combination misses is bounded besides."""
    rng = np.random.default_rng(3)
    shapes = ((7, 3), (6, 7), (2, 6))
    net = hr2jax.Network([rng.standard_normal(s) for s in shapes], [rng.standard_normal(s[0]) for s in shapes])
    x = rng.uniform(-0.5, 0.5, (20_000, 3))
    level = float((net(x) @ [1, 0.3] - 2 * x[:, 0]).max() + 0.3)
    path = tmp_path / "p.vnnlib"
    text = head(3, 2) + box([-0.5] * 3, [0.5] * 3) + "(assert (>= (+ Y_0 (* -2 X_0) (* 0.3 Y_1)) {!r}))"
    for value, verdict in ((level, "verified"), (level - 0.4, "violated")):
        path.write_text(text.format(value))
        proof = hr2jax.prove(net, path)
        assert proof.verdict == verdict == proof.verify(net, path)
        assert len(proof.certificates) == (verdict == "verified")


HUGE = [
    ("(>= Y_0 1e400)", "verified"), ("(>= Y_0 (- 1e400))", "violated"), ("(>= (* 1e400 Y_0) 1)", "violated"),
    ("(<= (* 1e400 Y_0) (- 1e-400))", "violated"), ("(and (>= Y_0 100) (<= (* 1e400 Y_0) 1))", "verified"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "verdict"), HUGE)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_numbers_beyond_float64_in_conditions(net, activation, text, verdict, tmp_path):
    """An OverflowError came out."""
    path = asked(tmp_path, f"(assert {text})")
    weights, biases = net.weights, net.biases
    middle = hr2jax.Network(weights, biases, activation=activation)(np.zeros(3))
    net = hr2jax.Network(weights, [*biases[:-1], biases[-1] - middle], activation=activation)
    proof = hr2jax.prove(net, path)
    assert proof.verdict == verdict, proof
    proof.save(tmp_path / "p.npz")
    assert Proof.load(tmp_path / "p.npz").verify(net, path) == verdict


@pytest.mark.parametrize("end", ["1e308", "1.7976931348623157e308"])
@pytest.mark.parametrize(
    ("text", "verdicts"),
    [("(>= Y_0 0)", ["violated"]), ("(>= Y_0 1e310)", ["violated", "unknown"]),
     ("(and (>= Y_0 1e305) (>= Y_1 1e305) (<= X_0 (- 1e300)))", ["violated", "unknown"]),
     ("(<= (+ X_0 X_1) (- 1e309))", ["unknown"])],
)  # fmt: skip
def test_boxes_beyond_float64s_width(net, end, text, verdicts, tmp_path):
    """Points beyond all numbers were made rational, an OverflowError."""
    path = tmp_path / "p.vnnlib"
    path.write_text(head(3, 2) + "".join(f"(assert (>= X_{i} (- {end})))(assert (<= X_{i} {end}))" for i in range(3))
                    + f"(assert {text})")  # fmt: skip
    proof = hr2jax.prove(net, path)
    assert proof.verdict in verdicts, proof
    assert proof.verify(net, path) == proof.verdict
    proof.to_json(tmp_path / "p.json")
    assert str(proof)
