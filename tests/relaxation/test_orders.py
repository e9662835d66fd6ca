"""Masks of proportional rows: what is found, that it holds for the masks of every x, and what it is good for."""

import numpy as np
import pytest

import hr2jax
from hr2jax import layers
from hr2jax.layer import Layer
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation import orders as module
from hr2jax.relaxation.orders import IMPLIED, KINDS, NOT_BOTH_OFF, NOT_BOTH_ON, ordered_masks
from hr2jax.relaxation.presolve import presolve

from ..reference.cases import exact
from ..reference.general import member, pre_activations, random_general, with_proportional_rows
from .test_general import check_point, lifted


def orders(A, b, activation="relu"):
    net = Network.from_layers([Layer({0: A}, b, activation), Layer({1: np.ones((1, len(b)))}, [0.0], "identity")])
    found = ordered_masks(net, presolve(net, checked_problem(net)))
    return {kind: pairs.tolist() for (kind, _), pairs in found.items()}


ROW = np.array([1.0, -3.0, 0.1])


def test_what_is_found():
    assert orders([ROW, ROW], [0.0, 1.0]) == {IMPLIED: [[1, 0]]}  # the one of the larger bias is on first
    assert orders([ROW, 2 * ROW], [0.0, -1.0]) == {IMPLIED: [[0, 1]]}
    assert orders([-ROW, -ROW], [0.0, 1.0]) == {IMPLIED: [[1, 0]]}
    assert orders([ROW, -ROW], [-1.0, -1.0]) == {NOT_BOTH_ON: [[1, 0]]}
    assert orders([ROW, -ROW], [1.0, 1.0]) == {NOT_BOTH_OFF: [[0, 1]]}
    assert orders([ROW, ROW, -ROW, ROW], [3.0, 1.0, 0.0, -1.0]) == {
        IMPLIED: [[0, 1], [1, 3]], NOT_BOTH_OFF: [[1, 2]], NOT_BOTH_ON: [[2, 3]],
    }  # fmt: skip


def test_what_is_not_proportional_is_not_found():
    assert orders([ROW, np.nextafter(ROW, 2.0)], [0.0, 1.0]) == {}
    assert orders([ROW, ROW + np.array([0.0, 0.0, 1e-13])], [0.0, 1.0]) == {}
    assert orders([ROW, 0.0 * ROW], [0.0, 1.0]) == {}
    assert orders((np.array([ROW, ROW]), np.array([0.0 * ROW, 0.0 * ROW + 1e-9])), [0.0, 1.0]) == {}  # a radius


def test_large_matrices_are_compared_by_some_columns_first(monkeypatch):
    monkeypatch.setattr(module, "MOST_COMPARED", 3)
    test_what_is_found()
    test_what_is_not_proportional_is_not_found()


def drawn(seed):
    rng = np.random.default_rng(seed)
    return with_proportional_rows(random_general(rng, layers=int(rng.integers(2, 5)), width=4), rng), rng


@pytest.mark.parametrize("seed", range(20))
def test_it_holds_for_the_masks_of_every_x(seed):
    net, rng = drawn(seed)
    problem = checked_problem(net, np.eye(net.widths[-1])[0])
    fixed = presolve(net, problem)
    found = ordered_masks(net, fixed)
    for _ in range(30):
        z = pre_activations(member(net, rng), exact(rng.normal(size=net.widths[0]) * 10.0 ** rng.integers(-2, 3)))
        for (kind, l), pairs in found.items():
            values = z[l - 1][fixed.members(l)]
            if not all(values):
                continue
            on = values > 0
            for i, j in pairs:
                both = on[i] and on[j]
                assert {IMPLIED: on[i] or not on[j], NOT_BOTH_ON: not both, NOT_BOTH_OFF: on[i] or on[j]}[kind]
    lifting = lift(net, problem, fixed)
    for _ in range(4):
        if (point := lifted(net, problem, fixed, rng, real=True)) is not None:
            check_point(lifting, point, real=True)


def test_every_kind_is_found_among_the_random_ones():
    kinds = set()
    for seed in range(20):
        net, _ = drawn(seed)
        problem = checked_problem(net, np.eye(net.widths[-1])[0])
        kinds |= {kind for kind, _ in ordered_masks(net, presolve(net, problem))}
    assert kinds == set(KINDS)


def test_a_clip_has_the_slope_1_globally():
    """Without the order its two ReLUs have slopes from -1 to 1, and a sum of two of opposite signs has 2."""
    net = Network.from_layers([
        Layer({0: [[1.0, 0.0], [1.0, 1.0]]}, [0.0, 0.5], "identity"),
        *layers.clip(1, 2, 2, -1.0, 1.0),
        Layer({3: [[1.0, -1.0]]}, [0.0], "identity"),
    ])  # fmt: skip
    loose, tight = (hr2jax.solve(net, relaxation=name, witness=0) for name in ("hr2", "hr2+"))
    assert tight.bound <= 2.0 + 1e-2
    assert loose.bound >= 2.9
    assert any(name.startswith(IMPLIED) for name in tight.certificate.multipliers)
    assert tight.certificate.verify(net) == tight.bound


def test_rows_whose_multiple_is_beyond_float64_are_not_proportional():
    """1e300 is no float64 times 1e-300: the product with infinity was a warning, an error with -W error."""
    net = Network([[[1e-300], [1e300], [2e300]], [[1.0, 1.0, 1.0]]], [[0.1, 0.2, 0.3], [0.0]])
    problem = checked_problem(net)
    fixed = presolve(net, problem)
    with np.errstate(all="raise"):
        found = ordered_masks(net, fixed)
    assert all(0 not in np.ravel(pairs) for pairs in found.values())
