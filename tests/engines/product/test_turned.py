"""A direction of norm 2 in fewer dimensions: the same optimum, a diagonal and multipliers that prove it."""

from dataclasses import replace

import numpy as np
import pytest

import hr2jax
from hr2jax import Status
from hr2jax.engines.product import newton
from hr2jax.engines.product.turned import turned
from hr2jax.relaxation.basis import T
from hr2jax.relaxation.families import preset
from hr2jax.relaxation.forms import Form, Term

from ...reference.cases import random_net
from ...reference.deep_monitor import Monitor, lifting_of

CASES = [
    ((9, 3, 3), False, "both"), ((9, 3, 3), True, "adjoint"), ((12, 4, 2, 3), False, "adjoint"),
    ((9, 4), True, "forward"),
]  # fmt: skip


@pytest.mark.parametrize(("widths", "local", "chains"), CASES)
def test_the_optimum_is_the_same(widths, local, chains, monkeypatch):
    """The monitor certifies what comes out with the lifting that was given: t in all its entries."""
    lifting = lifting_of(1, widths, 2, local, chains)
    families = preset("shor", lifting)
    smaller = turned(lifting, families)
    assert smaller is not None
    assert smaller.lifting.sizes[T] <= widths[1] + 1 < lifting.sizes[T] == widths[0]
    ours, theirs = Monitor(lifting, 1e-6), Monitor(lifting, 1e-6)
    assert newton.solve_newton(lifting, families, ours) is Status.SOLVED
    monkeypatch.setattr(newton, "turned", lambda *_: None)
    assert newton.solve_newton(lifting, families, theirs) is Status.SOLVED
    assert ours.bounds[-1] == pytest.approx(theirs.bounds[-1], rel=2e-6)
    assert theirs.bounds[-1] > 1e-2  # of something


def test_lipsdp_is_the_same(monkeypatch):
    net = random_net(np.random.default_rng(2), (9, 3, 4, 1))
    asked = {"norm": 2, "relaxation": "lipsdp", "method": "newton", "tol": 1e-6, "witness": 0}
    ours = hr2jax.solve(net, **asked)
    monkeypatch.setattr(newton, "turned", lambda *_: None)
    theirs = hr2jax.solve(net, **asked)
    assert ours.bound == pytest.approx(theirs.bound, rel=2e-6)
    assert ours.iterations > 0
    assert ours.certificate.verify(net) <= ours.bound


@pytest.mark.parametrize(("widths", "norm"), [((3, 5), 2), ((9, 3), "inf")])
def test_what_cannot_be_turned_stays(widths, norm):
    """More neurons than inputs; a direction in a box."""
    lifting = lifting_of(0, widths, norm, False, "forward")
    assert turned(lifting, preset("shor", lifting)) is None


def test_products_of_the_direction_stay():
    """A family that has terms of t itself."""
    lifting = lifting_of(0, (9, 3), 2, True, "forward")
    family = preset("shor", lifting)[0]
    own = replace(family, F=Form((Term(T, np.arange(family.F.rows), np.ones(family.F.rows)),)))
    assert turned(lifting, [own]) is None


def test_a_start_goes_there_and_back():
    lifting = lifting_of(3, (9, 3, 3), 2, False, "both")
    smaller = turned(lifting, preset("shor", lifting))
    d = np.arange(1.0, lifting.size + 1)
    d[lifting.slice(T)] = 7.0  # one bound, one number
    np.testing.assert_array_equal(smaller.diagonal(smaller.reduced(d)), d)
    V = np.random.default_rng(0).standard_normal((lifting.size, 4))
    shorter = smaller.factor(V)
    rest = np.ones(lifting.size, bool)
    rest[lifting.slice(T)] = False
    own = smaller.lifting.slice(T)
    np.testing.assert_array_equal(np.delete(shorter, range(own.start, own.stop), axis=0), V[rest])
    for group, terms in lifting.derived.items():
        if T in terms:
            met = terms[T].mid @ V[lifting.slice(T)]
            np.testing.assert_allclose(smaller.lifting.derived[group][T].mid @ shorter[own], met, atol=1e-12)
