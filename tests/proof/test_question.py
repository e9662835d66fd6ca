"""What multipliers and bounds prove: never that a case is empty which is not, whoever chose them."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import CertificateError, Proof
from hr2jax.io.vnnlib import parsed
from hr2jax.proof.question import Conditions, is_empty, question
from tests.reference.effort import examples
from tests.reference.properties import conditions, head, small_networks
from tests.reference.segments import satisfiable


def forged(net, text, multipliers, certificates=(), proved_by=None):
    """A proof that claims that there is no counterexample."""
    by = (-1,) * len(multipliers) if proved_by is None else proved_by
    return Proof(
        hr2jax.Verdict.VERIFIED, "", None, None, None, tuple(certificates), tuple(multipliers), by, 0.0, text,
        {"network_hash": net.hash},
    )  # fmt: skip


@settings(deadline=None, max_examples=examples(150), suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_multipliers_prove_what_is_not_so(data):
    """Nobody has looked for a counterexample here: claims about networks of one input, against exact answers."""
    net = data.draw(small_networks())
    low, high = data.draw(st.sampled_from([("-1", "1"), ("0", "0.3"), ("-0.1", "0.7"), ("0.3", "0.3")]))
    text = head(1, net.widths[-1]) + f"(assert (and (>= X_0 {low}) (<= X_0 {high})))"
    text += f"(assert {data.draw(conditions(1, net.widths[-1], depth=1))})"
    try:
        asked = question(net, parsed(text))
    except ValueError as error:
        assert "is above" in str(error)
        return
    sizes = [len(case.rows) for area in asked.areas for case in area.cases]
    number = st.sampled_from([0.0, 1.0, 1.0, 0.1, 3.0])
    multipliers = [np.array(data.draw(st.lists(number, min_size=r, max_size=r))) for r in sizes]
    try:
        verdict = forged(net, text, multipliers).verify(net)
    except CertificateError:
        event("refused")
        return
    event("proved")
    assert verdict == "verified" and not satisfiable(net, asked.prop.formula, low, high)


RELU = hr2jax.Network([[[1.0]], [[1.0], [-1.0]]], [[0.0], [0.0, 0.0]])  # (r, -r) of r = ReLU(x)
UNIT = head(1, 2) + "(assert (>= X_0 -1))(assert (<= X_0 1))"


@pytest.mark.parametrize(
    ("condition", "multipliers", "holds"),
    [
        ("(< Y_0 0)", [1.0], True),
        ("(<= Y_0 0)", [1.0], False),  # met at 0
        ("(>= Y_0 1.001)", [1.0], True),
        ("(>= Y_0 0.999)", [1.0], False),
        ("(and (>= Y_0 0.7) (>= Y_1 -0.6))", [1.0, 1.0], True),
        ("(and (>= Y_0 0.7) (>= Y_1 -0.6))", [1.0, 0.0], False),
        ("(and (>= Y_0 0.7) (>= Y_1 -0.7))", [1.0, 1.0], False),
        ("(and (> Y_0 0.7) (<= Y_1 -0.7))", [0.0, 1.0], False),  # the strict one has no multiplier
        ("(and (> Y_0 0.7) (>= Y_1 -0.7))", [1.0, 1.0], True),
        ("(and (>= Y_0 0.6) (<= (- X_0 Y_1) 0.5))", [1.0, 1.0], False),
        ("(and (>= Y_0 0.6) (>= (- X_0 Y_0) 0.7))", [1.0, 1.0], True),
    ],
)  # fmt: skip
def test_what_is_proved(condition, multipliers, holds):
    proof = forged(RELU, UNIT + f"(assert {condition})", [np.array(multipliers)])
    if holds:
        assert proof.verify(RELU) == "verified"
    else:
        with pytest.raises(CertificateError, match="not proved to be empty"):
            proof.verify(RELU)


def test_a_certificate_of_another_combination_proves_only_what_follows():
    """What its combination misses counts as much as the outputs can be."""
    rng = np.random.default_rng(0)
    net = hr2jax.Network(
        [rng.standard_normal((5, 2)), rng.standard_normal((2, 5))], [rng.standard_normal(5), np.zeros(2)]
    )
    box = hr2jax.Box([-1, -1], [1, 1])
    top = float(hr2jax.maximum(net, output=0, domain=box).bound)
    text = head(2, 2) + "".join(f"(assert (and (>= X_{i} -1) (<= X_{i} 1)))" for i in range(2))
    near = [([1, 0], 1e-3, True), ([1, 1e-9], 1e-3, True), ([0.99, 0], 5.0, True)]
    far = [([0.5, 0], 1e-3, False), ([1, 0.1], 1e-3, False), ([0, 0.01], 1e-3, False)]
    for combination, by, holds in (*near, *far):
        certificate = hr2jax.maximum(net, output=combination, domain=box).certificate
        proof = forged(net, f"{text}(assert (>= Y_0 {top + by!r}))", [np.ones(1)], [certificate], (0,))
        if holds:
            assert proof.verify(net) == "verified", combination
        else:
            with pytest.raises(CertificateError, match="not proved to be empty"):
                proof.verify(net)


def test_margins_are_exact():
    third = Conditions(({0: Fraction(1, 3)},), (Fraction(1, 3),), (False,))
    along = np.array([1 / 3])
    least = 1 / 3
    missed = Fraction(1, 3) - Fraction(1 / 3)  # along . G misses that much of G_0 / 3
    assert missed > 0
    assert not is_empty(third, [1.0], along, 1.0, None)
    assert not is_empty(third, [1.0], along, least, np.array([0.0]))  # below 1/3
    assert is_empty(third, [1.0], along, np.nextafter(least, 1), np.array([1.0]))
    assert not is_empty(third, [1.0], along, np.nextafter(least, 1), np.array([10.0]))
    for bad in (np.inf, np.nan, -np.inf):
        assert not is_empty(third, [1.0], along, bad, np.array([1.0]))
        assert not is_empty(third, [1.0], along, 1.0, np.array([bad]))


def test_inputs_in_conditions_are_outputs():
    prop = parsed(UNIT + "(assert (<= (+ X_0 (* 2 Y_1)) 1))")
    asked = question(RELU, prop)
    assert asked.wide.widths == (1, 1, 3)
    x = np.linspace(-1, 1, 7)[:, None]
    np.testing.assert_array_equal(asked.wide(x), np.concatenate([RELU(x), x], axis=1))
    assert asked.areas[0].cases[0].rows == ({2: 1, 1: 2},)
    assert question(RELU, parsed(UNIT + "(assert (<= Y_1 1))")).wide is RELU
