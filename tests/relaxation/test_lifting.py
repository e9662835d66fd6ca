"""The objective's unit: rows of very unlike sizes whose products with the output weights are of one size."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Network
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.certificate.prover import prove
from hr2jax.linalg.diagonal import tighten
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import presolve
from tests.reference.effort import examples

P, M = 3, 4
BOX = {"center": np.array([0.25, -0.5, 1.0]), "radius": np.array([1.0, 0.0, 0.5])}
POWERS = st.lists(st.integers(-300, 300), min_size=M, max_size=M)
KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])


def random_net(seed, outputs=2):
    rng = np.random.default_rng(seed)
    return Network(
        [rng.standard_normal((M, P)), rng.standard_normal((outputs, M))],
        [rng.standard_normal(M), np.zeros(outputs)],
    )


def rescaled(net, powers):
    """The same function: row i of A and b times 2^k_i, column i of C times 2^-k_i, all of it exact."""
    (A, C), (b, d) = net.weights, net.biases
    k = np.asarray(powers)
    return Network([np.ldexp(A, k[:, None]), np.ldexp(C, -k)], [np.ldexp(b, k), d])


def shor_bound(net, output, domain, kind=Enclosure):
    """Certified: the global problem with Shor's own diagonal, the local one with a diagonal alone."""
    problem = checked_problem(net, output, **domain)
    fixed = presolve(net, problem)
    lifting = lift(net, problem, fixed)
    M = lagrangian_matrix(lifting, {}).mid
    d = tighten(M, lifting.square_is_one, np.abs(M).sum(axis=1))
    return prove(net, problem, fixed.layout(), {}, d, kind)


OUTPUTS = pytest.mark.parametrize("output", [0, (0, 1), (1, 1), [0.3, -1e-5]])


@OUTPUTS
@pytest.mark.parametrize("domain", [{}, BOX])
@settings(max_examples=examples(25), deadline=None)
@given(powers=POWERS, seed=st.integers(0, 20))
def test_moving_a_power_of_two_from_outputs_to_rows_changes_no_bound(output, domain, powers, seed):
    net = random_net(seed)
    plain = shor_bound(net, output, domain)
    assert shor_bound(rescaled(net, powers), output, domain) == pytest.approx(plain, rel=1e-9)


@KINDS
@settings(max_examples=examples(25), deadline=None)
@given(powers=POWERS, more=st.integers(-300, 300), seed=st.integers(0, 20))
def test_the_objective_is_enclosed_tightly_in_the_same_unit(kind, powers, more, seed):
    """Also where outputs are combined by coefficients of unlike sizes."""
    net = rescaled(random_net(seed), powers)
    for output in (0, (0, 1), [0.3, -0.7], [float(np.ldexp(0.3, more)), -0.7]):
        problem = checked_problem(net, output)
        lifting = lift(net, problem, presolve(net, problem), kind)
        assert lifting.exponent == lift(net, problem, presolve(net, problem)).exponent
        (A, C), k = net.weights, problem.coefficients
        unit = Fraction(2) ** lifting.exponent
        largest = max(float(np.max(lifting.objective_v.magnitude())), 1e-30)
        assert 2.0**-8 <= largest <= 2.0 or output == (0, 1)  # rows may cancel there
        for i in range(M):
            c = sum(Fraction(float(k[o])) * Fraction(float(C[o, i])) for o in range(len(k)))
            for j in range(P):
                exact = c * Fraction(float(A[i, j])) / 2 / unit
                entry = lifting.objective_v[i : i + 1, j : j + 1]
                assert Fraction(float(entry.lower()[0, 0])) <= exact <= Fraction(float(entry.upper()[0, 0]))
                assert float((entry.upper() - entry.lower())[0, 0]) <= 1e-14 * largest


def test_a_huge_row_that_cancels_in_the_output_sets_no_unit():
    """F_0 - F_1 does not depend on the first neuron, whose weights are 2^900 times the others'."""
    net = random_net(5)
    A, C = (w.copy() for w in net.weights)
    C[:, 0] = 2.0**500
    A[0] *= 2.0**400
    C[:, 1:] *= 2.0**-200
    A[1:] *= 2.0**-200
    without = Network([A[1:], C[:, 1:]], [net.biases[0][1:], net.biases[1]])
    bound = shor_bound(Network([A, C], net.biases), (0, 1), {})
    assert bound == pytest.approx(shor_bound(without, (0, 1), {}), rel=1e-9)
    assert bound > 0


@pytest.mark.parametrize("domain", [{}, BOX])
@pytest.mark.parametrize("relaxation", ["hr2", "hr2z"])
def test_rows_of_1e200_and_1e_minus_200_with_inverse_outputs_lose_nothing(domain, relaxation):
    """One common exponent for all rows left a valid but useless bound."""
    net = random_net(7, outputs=1)
    unlike = rescaled(net, [664, -664, 300, -300])
    plain = hr2jax.solve(net, relaxation=relaxation, **domain)
    result = hr2jax.solve(unlike, relaxation=relaxation, **domain)
    assert result.bound == pytest.approx(plain.bound, rel=1e-9)
    assert result.status is plain.status
    assert result.certificate.verify(unlike) == result.bound
    assert result.certificate.verify(unlike, arithmetic="ball") == pytest.approx(result.bound, rel=1e-9)
    assert result.lower <= result.bound
