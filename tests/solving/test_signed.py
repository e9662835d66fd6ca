"""Output norm 1 by sums of the values with signs: one by one where they are few, and nothing less than all of them."""

import dataclasses
import itertools

import numpy as np
import pytest

import hr2jax
from hr2jax import Certificate, CertificateError
from hr2jax.problem import MOST_SIGNED, Problem, checked_problem
from tests.test_outputs import formal_constant, random_network


@pytest.fixture(scope="module")
def solved():
    net = random_network(np.random.default_rng(4), (2, 3, 3, 3))
    return net, hr2jax.solve(net, norm=2, output_norm=1, relaxation="hr2+")


def test_rows_are_all_sums_with_signs():
    net = random_network(np.random.default_rng(0), (2, 3, 5))
    M = np.arange(20.0).reshape(4, 5) - 7.0
    problem = checked_problem(net, output=M, norm=2, output_norm=1)
    found = {tuple(row.coefficients) for row in problem.rows()}
    wanted = {tuple(np.array((1.0, *signs)) @ M) for signs in itertools.product((1.0, -1.0), repeat=3)}
    assert found == wanted and len(problem.rows()) == 8
    assert all(isinstance(row, Problem) and not row.is_vector and row.output_norm == 2 for row in problem.rows())


@pytest.mark.parametrize(("M", "norm", "output_norm"), [
    ([[1.0, 0.0], [2.0**-60, 1.0]], 2, 1),  # a sum that float64 does not hold
    (np.eye(MOST_SIGNED + 1), 2, 1), (np.eye(2), 2, 2), (np.eye(2), 1, 1),
    ([[1e308, 0.0], [1e308, 1.0]], 2, 1),
])  # fmt: skip
def test_others_are_no_such_problems(M, norm, output_norm):
    net = random_network(np.random.default_rng(0), (2, 3, len(M[0])))
    problem = checked_problem(net, output=M, norm=norm, output_norm=output_norm)
    assert len(problem.rows()) == 1 and problem.rows()[0] is problem


def test_the_largest_part_is_the_bound_and_near_the_constant_of_all_patterns(solved, tmp_path):
    net, found = solved
    certificate = found.certificate
    assert len(certificate.parts) == 4
    assert found.bound == max(part.bound for part in certificate.parts)
    assert found.lower <= found.bound <= 1.01 * formal_constant(net, 2, 1)
    assert found.problem["output_norm"] == 1 and np.array_equal(found.problem["output"], np.eye(3))
    certificate.save(tmp_path / "c.npz")
    read = Certificate.load(tmp_path / "c.npz")
    assert read.verify(net, output=None, norm=2, output_norm=1, domain=None) == pytest.approx(found.bound, rel=1e-9)
    for other in ({"output_norm": 2}, {"output": 0}, {"norm": "inf"}):
        with pytest.raises(CertificateError):
            read.verify(net, **other)


def test_one_sum_left_out_exchanged_or_of_another_claim_is_no_proof(solved):
    net, found = solved
    certificate = found.certificate
    parts = certificate.parts
    other = hr2jax.solve(net, output=[1.0, 0.5, 0.5], norm=2).certificate
    for wrong in (parts[:3], parts[::-1], (parts[0],) * 4, (*parts[:3], other), (*parts, parts[0]), ()):
        with pytest.raises(CertificateError):
            dataclasses.replace(certificate, parts=wrong).verify(net)
    claim = certificate.lipschitz_problem
    for changed in ({"output_norm": 2}, {"output_norm": "inf"}, {"norm": "inf"}, {"coefficients": 2.0 * np.eye(3)}):
        forged = dataclasses.replace(certificate, lipschitz_problem=dataclasses.replace(claim, **changed))
        with pytest.raises(CertificateError):
            forged.verify(net)


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("local", [False, True])
def test_sampled_slopes_are_below(norm, local):
    rng = np.random.default_rng([local, len(str(norm))])
    net = random_network(rng, (2, 3, 2))
    where = {"domain": hr2jax.Box([-0.5, -0.5], [0.5, 0.75])} if local else {}
    found = hr2jax.solve(net, norm=norm, output_norm=1, relaxation="hr2+", **where)
    for x in rng.uniform(-0.5, 0.5, (200, 2)):
        J = net.jacobian(x)
        rows = np.array([[1.0, 1.0], [1.0, -1.0]]) @ J
        value = np.abs(rows).sum(axis=1).max() if norm == "inf" else np.linalg.norm(rows, axis=1).max()
        assert value <= found.bound * (1 + 1e-12)
    assert found.certificate.parts


def test_a_checkpoint_of_sums_goes_on_and_one_of_all_at_once_as_well(tmp_path):
    net = random_network(np.random.default_rng(4), (2, 3, 3, 2))
    options = {"norm": 2, "output_norm": 1, "checkpoint": tmp_path / "c.npz"}
    first = hr2jax.solve(net, relaxation="hr2+", **options)
    again = hr2jax.solve(net, relaxation="hr2+", **options)
    assert first.certificate.parts and again.certificate.parts and again.bound <= first.bound
    (tmp_path / "c.npz").unlink()
    at_once = hr2jax.solve(net, relaxation="hr2", **options)
    then = hr2jax.solve(net, relaxation="hr2+", **options)
    assert not at_once.certificate.parts and not then.certificate.parts and then.bound <= at_once.bound


def test_the_tensored_lifting_goes_on_from_a_checkpoint_of_sums(tmp_path):
    """The sums are of one value, which has no such lifting: a KeyError was all that came of it."""
    rng = np.random.default_rng(0)
    net = random_network(rng, (2, 4, 4, 2))
    asked = {"norm": "inf", "output_norm": 1, "center": [0.0, 0.0], "radius": 0.7, "relaxation": "hr2+"}
    asked |= {"max_iterations": 3, "witness": 0}
    first = hr2jax.solve(net, checkpoint=tmp_path / "c.npz", **asked)
    assert first.certificate.parts
    again = hr2jax.solve(net, checkpoint=tmp_path / "c.npz", lifting="tensored", **asked)
    assert again.bound <= first.bound
