"""Liftings of networks that are no ReLU chains, at feasible points in rational arithmetic: every statement holds."""

from fractions import Fraction

import numpy as np
import pytest

from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds import interval as bounds_interval
from hr2jax.bounds import jacobian
from hr2jax.bounds.slopes.search import find_slopes
from hr2jax.layer import Layer
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, pieces
from hr2jax.relaxation import lifting as lifting_module
from hr2jax.relaxation import presolve as presolve_module
from hr2jax.relaxation.basis import ONE, Group
from hr2jax.relaxation.chains import factors
from hr2jax.relaxation.families import catalogue
from hr2jax.relaxation.orders import KINDS
from hr2jax.relaxation.pieces import behind_mask
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from tests.reference.general import lifted, random_general
from tests.reference.lifted_points import encloses, form_values

RELU = Layer({0: np.ones((9, 1))}, np.zeros(9))
LEAN = range(15)
MANY = range(2000)


def check(seed):
    """One random network, problem and lifting at some of its feasible points."""
    rng = np.random.default_rng(seed)
    net = random_general(rng, radii=0.5 if seed % 3 == 0 else 0.0)
    outputs, q = net.widths[-1], net.widths[0]
    norm = ["inf", 2][int(rng.integers(2))]
    lifting = str(rng.choice(["forward", "adjoint", "both", "values", "lipsdp"]))
    quantity = "maximum" if lifting == "values" else "lipschitz"
    local = lifting != "lipsdp" and (quantity == "maximum" or bool(rng.integers(2)))
    ball = {"center": rng.normal(size=q), "radius": float(rng.choice([0.25, 1.0, 2.0]))} if local else {}
    c = rng.normal(size=outputs) if rng.random() < 0.5 else np.eye(outputs)[0]
    problem = checked_problem(net, c, norm, quantity=quantity, **ball)
    slopes = find_slopes(net, problem, "linear") if local and rng.random() < 0.5 else None
    kind = Arb if seed % 7 == 0 else Enclosure
    fixed = presolve(net, problem, slopes=slopes, chains=LIFTINGS[lifting])
    again = presolve(net, problem, kind, fixed.layout(), slopes, LIFTINGS[lifting])  # as whoever verifies
    lifted_up = lift(net, problem, again, kind)
    for _ in range(6):
        check_point(lifted_up, lifted(net, problem, again, rng))
        if (point := lifted(net, problem, again, rng, real=lifting != "lipsdp")) is not None:
            check_point(lifted_up, point, real=True)


def check_point(lifting, point, real=False):
    y = point.y
    for group, size in lifting.sizes.items():
        assert len(y[group]) == size
        assert all(abs(v) <= 1 for v in y[group]), group
    for group, rows in lifting.derived.items():
        for i, value in enumerate(y[group]):
            pairs = [(y[ONE], y[other]) for other in rows]
            blocks = [m[i].reshape(1, -1) for m in rows.values()]
            assert encloses(blocks, pairs, value), group
    pairs = [(y[g], y[h]) for g, h in lifting.objective]
    assert encloses(list(lifting.objective.values()), pairs, point.value, lifting.exponent)
    for name, form in factors(lifting).items():
        assert (form_values(form, y) >= 0).all(), name
    for name, family in catalogue(lifting).items():
        if family.product in KINDS and not real:
            continue  # of the masks that some x has
        F, G = form_values(family.F, y), form_values(family.G, y)
        products = np.multiply.outer(F, G) if family.pairs == "all" else F * G
        assert (products == 0).all() if family.equality else (products >= 0).all(), name
    assert isinstance(point.value, Fraction)


@pytest.mark.parametrize("seed", LEAN)
def test_what_a_lifting_states_holds(seed):
    check(seed)


@pytest.mark.slow
def test_what_many_liftings_state_holds():
    for seed in MANY:
        check(seed)



def faulty_piece(self, factor):
    """A piece that forgets what an off neuron lets through."""
    return {self.of: factor} if isinstance(self.of, Group) else {g: factor @ m for g, m in self.of.items()}


@pytest.mark.parametrize(
    ("where", "name", "fault"),
    [
        (pieces.Piece, "times", faulty_piece),
        (lifting_module, "behind_mask", lambda layer, rows, l, c: behind_mask(RELU, np.arange(len(rows)), l, c)),
        (jacobian, "masked", lambda interval, on, off, layer: interval),
        (bounds_interval, "value_interval", lambda layer, pair: tuple(np.maximum(side, 0.0) for side in pair)),
        (presolve_module, "is_masked", lambda layer: layer.activation in ("relu", "leaky_relu")),
    ],
)
def test_planted_faults_are_caught(monkeypatch, where, name, fault):
    monkeypatch.setattr(where, name, fault)
    with pytest.raises((AssertionError, ValueError, KeyError, IndexError)):
        for seed in range(40):
            check(seed)
