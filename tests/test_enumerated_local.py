"""Local hr2+ of many deep networks of one output, and global reach, against the constants of their linear regions."""

import sys
from pathlib import Path

import numpy as np
import pytest

import hr2jax
from hr2jax.bounds import preactivation_bounds
from hr2jax.problem import checked_problem
from hr2jax.relaxation.section import find_section, refusal

from .reference.brute import exact_constant
from .reference.cases import random_net
from .reference.effort import FULL
from .reference.section_points import random_kinked

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
regions = pytest.importorskip("regions")

NETWORKS, BLOCK = 2000, 100
EVERY = 100 if FULL else 250  # of all networks the lean suite takes one in so many: every norm and shape of a domain
SHAPES = ("box", "box", 2, 1)


def drawn(seed):
    """A deep network of one output, a norm and a domain."""
    rng = np.random.default_rng(seed)
    widths = (int(rng.integers(2, 4)), *rng.integers(2, 5, rng.integers(2, 4)).tolist(), 1)
    net, norm, shape = random_net(rng, widths), ("inf", 2, 1)[seed % 3], SHAPES[seed // 3 % len(SHAPES)]
    center, radius = rng.normal(size=widths[0]), rng.uniform(0.1, 1.5, widths[0])
    domain = hr2jax.Box(center - radius, center + radius) if shape == "box" else hr2jax.Ball(center, radius[0], shape)
    return rng, net, norm, shape, center, radius, domain


def check_cases(seed):
    """What `hr2+` has beside a witness, which is of cases where few neurons switch."""
    _, net, norm, _, _, _, domain = drawn(seed)
    result = hr2jax.solve(net, norm=norm, domain=domain, relaxation="hr2+", max_iterations=40)
    exact = regions.exact_constant(net, norm, "inf", domain=domain)
    assert exact * (1 - 1e-9) <= result.bound, f"seed {seed}: {result.bound} below {exact}"
    assert result.certificate.verify(net) <= result.bound * (1 + 1e-9), f"seed {seed}"


def check_local(seed):
    """The bound with the last layers' x, split bounds, event rows, clauses and exclusions; it is proved again."""
    rng, net, norm, shape, center, radius, domain = drawn(seed)
    widths = net.widths
    result = hr2jax.solve(net, norm=norm, domain=domain, relaxation="hr2+", witness=0, max_iterations=40)
    exact = regions.exact_constant(net, norm, "inf", domain=domain)
    assert exact * (1 - 1e-9) <= result.bound, f"seed {seed}: {result.bound} below {exact}"
    assert result.certificate.verify(net) <= result.bound * (1 + 1e-9), f"seed {seed}"
    bounds = preactivation_bounds(net, checked_problem(net, domain=domain), result.certificate.slopes)
    x = rng.uniform(-1, 1, (2000, widths[0]))
    x = x if shape == "box" else x / np.maximum(np.linalg.norm(x, shape, axis=1), 1.0)[:, None]
    y = center + (radius if shape == "box" else radius[0]) * x * (1 - 1e-12)
    for A, b, (low, high) in zip(net.weights, net.biases, bounds, strict=False):
        z = y @ A.T + b
        near = 1e-11 * (1.0 + np.abs(z).max())
        assert (z >= low - near).all() and (z <= high + near).all(), f"seed {seed}"
        y = np.maximum(z, 0.0)


def check_reach(seed):
    """Of any piecewise linear network everywhere: the largest slope at points, and the constant of small chains."""
    rng = np.random.default_rng(seed)
    net = random_kinked(rng)
    if refusal(net) or find_section(net) is None:
        return
    norm = 2 if net.widths[-1] > 1 else [2, "inf"][seed % 2]
    result = hr2jax.solve(net, relaxation="hr2+", lifting="reach", witness=0, norm=norm, max_iterations=40)
    J = net.jacobian(rng.standard_normal((400, net.widths[0])) * 10.0 ** rng.uniform(-3, 3, (400, 1)))
    attained = np.linalg.norm(J, 2, axis=(1, 2)) if norm == 2 else np.abs(J[:, 0]).sum(axis=1)
    assert result.bound >= attained.max() * (1 - 1e-9), f"seed {seed}"
    if net.is_chain and net.widths[-1] == 1:
        assert result.bound >= exact_constant(net, checked_problem(net, norm=norm)) * (1 - 1e-7), f"seed {seed}"


CHECKS = pytest.mark.parametrize("check", [check_local, check_cases, check_reach])


@CHECKS
@pytest.mark.parametrize("seed", range(0, NETWORKS, EVERY))
def test_no_bound_is_below_a_region(check, seed):
    check(seed)


@CHECKS
@pytest.mark.slow
@pytest.mark.parametrize("block", range(NETWORKS // BLOCK if FULL else 1))
def test_no_bound_of_many_networks_is_below_a_region(check, block):
    for seed in range(BLOCK * block, BLOCK * (block + 1)):
        check(seed)
