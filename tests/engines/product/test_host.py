"""The augmented Lagrangian in NumPy: against the compiled one, whose derivative is JAX's, and on what it minimises."""

import itertools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hr2jax
from hr2jax import Network
from hr2jax.engines.product import host, lbfgs
from hr2jax.engines.product.arrays import Factored
from hr2jax.engines.product.device import Device
from hr2jax.engines.product.host import Host
from hr2jax.engines.product.lagrangian import augmented_lagrangian, joined
from hr2jax.engines.product.product_cuts import FactorRows, ProductPool
from hr2jax.engines.product.triangle_cuts import Pool
from hr2jax.problem import checked_problem
from hr2jax.relaxation import Family, lift, preset
from hr2jax.relaxation.basis import ONE, V1, T
from hr2jax.relaxation.forms import entries
from hr2jax.relaxation.presolve import LIFTINGS, presolve

from ...reference.monitor import lifting_of

pytestmark = pytest.mark.usefixtures("compiled_quickly")


def deep_lifting(chains, local):
    rng = np.random.default_rng(3)
    widths = (3, 4, 5, 3, 1)
    weights = [rng.standard_normal((b, a)) for a, b in itertools.pairwise(widths)]
    net = Network(weights, [0.3 * rng.standard_normal(len(A)) for A in weights])
    problem = checked_problem(net, **({"center": np.zeros(3), "radius": 1.0} if local else {}))
    return lift(net, problem, presolve(net, problem, chains=LIFTINGS[chains]))


def with_all_pairs(lifting):
    """The preset's, and one family of all pairs (none of the presets has one)."""
    some = entries(ONE, np.zeros(3, dtype=np.int64)) + entries(V1, np.array([0, 2, 1]), np.array([0.5, -1.0, 0.25]))
    every = entries(T, np.arange(lifting.sizes[T]), -1.0)
    return [*preset("hr2", lifting), Family("pairs", 1, some, every, "all")]


def one_layer(local, norm):
    lifting = lifting_of(3, 5, local, norm=norm)
    return lifting, with_all_pairs(lifting)


def deep(chains, local):
    lifting = deep_lifting(chains, local)
    return lifting, preset("hr2", lifting)


CASES = {
    "one layer, global": lambda: one_layer(False, "inf"),
    "one layer, local": lambda: one_layer(True, "inf"),
    "one layer, global, shared bounds": lambda: one_layer(False, 2),
    "one layer, local, shared bounds": lambda: one_layer(True, 2),
    "tangents": lambda: deep("forward", True),
    "adjoints": lambda: deep("adjoint", False),
    "both": lambda: deep("both", True),
}


def arguments(case, cuts, seed=0):
    """A problem's arrays, and where the Lagrangian is looked at: P, multipliers, penalties, cuts and theirs."""
    lifting, families = CASES[case]()
    factored, rng = Factored(lifting, families), np.random.default_rng(seed)
    P = rng.standard_normal((factored.size, 5))
    multipliers = [
        factored.stack([rng.standard_normal(f.shape) * (rng.random(f.shape) < 0.7) for f in stack])
        for stack in factored.stacks
    ]
    multipliers = [np.where(e, m, np.abs(m)) for m, e in zip(multipliers, factored.equalities(), strict=True)]
    pools = []
    if cuts:
        triples = rng.choice(factored.rows, (20, 3))
        pools.append(Pool(triples, np.arange(20) % 4, rng.random(20), np.zeros(20)).arrays(factored.placement.size))
        if lifting.masked_layers:
            pool = ProductPool(lifting, factored, FactorRows(lifting, factored), ())
            pool.pairs = rng.integers(0, pool.factors.table.count, (30, 2))
            pool.multipliers = rng.random(30)
            pools.append(pool.arrays())
        else:
            pools = [Pool(triples, np.arange(20) % 4, rng.random(20), np.zeros(20)).arrays(factored.size)]
    data = factored.data(0.37, np.float64)
    return factored.spec, data, (P, multipliers, 0.7, tuple(c for c, _ in pools), [m for _, m in pools], 0.3)


@pytest.mark.parametrize(("case", "cuts"), [*((case, True) for case in sorted(CASES)), ("tangents", False)])
def test_value_and_gradient_are_those_of_the_compiled_function(case, cuts):
    spec, data, (P, multipliers, sigma, pools, cut_multipliers, cut_sigma) = arguments(case, cuts)
    value, gradient = Host(spec, data).value_and_gradient(P, multipliers, sigma, pools, cut_multipliers, cut_sigma)
    with jax.enable_x64(True):

        @jax.jit
        def compiled(P, data, multipliers, *rest):
            return jax.value_and_grad(augmented_lagrangian)(P, spec, data, joined(spec, data, multipliers), *rest)

        expected, its = compiled(P, data, multipliers, sigma, pools, cut_multipliers, cut_sigma)
    assert value == pytest.approx(float(expected), rel=1e-12)
    its = np.asarray(its)
    np.testing.assert_allclose(gradient, its, rtol=1e-10, atol=1e-12 * np.abs(its).max())


@pytest.mark.parametrize("case", ["both", "one layer, local, shared bounds"])
def test_a_minimisation_ends_as_the_compiled_one_does(case):
    """To a tolerance that few steps reach: the steps are the same, up to rounding."""
    spec, data, given = arguments(case, True)
    steps = 12
    ours, theirs = (one.minimise(*given, 1e-9, steps) for one in (Host(spec, data), Device(spec, data)))
    assert ours.used == theirs.used == steps
    np.testing.assert_allclose(ours.P, theirs.P, rtol=1e-6, atol=1e-8)
    assert float(ours.gradient) == pytest.approx(float(theirs.gradient), rel=1e-5)
    for name in ("multipliers", "cut_multipliers", "cut_values"):
        for one, other in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(one, np.asarray(other)[: len(one)], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("memory", [1, 3, 10])
def test_a_quadratic_is_minimised_and_steps_are_lbfgs_own(memory):
    rng = np.random.default_rng(0)
    A = rng.standard_normal((12, 12))
    A, b = A @ A.T + np.eye(12), rng.standard_normal(12)

    def quadratic(x):
        return float(0.5 * x @ A @ x - b @ x), A @ x - b

    x, g, used = host.minimise(quadratic, np.zeros(12), memory, 0.1, 1e-9, 2000, np.inf)
    np.testing.assert_allclose(x, np.linalg.solve(A, b), rtol=1e-6, atol=1e-9)
    assert np.linalg.norm(g) <= 1e-9
    assert used < 2000

    def traced(x):
        return 0.5 * x @ A @ x - b @ x, A @ x - b

    with jax.enable_x64(True):
        run = jax.jit(lambda step: lbfgs.advance(traced, lbfgs.beginning(jnp.zeros(12), memory), step, 1e-9, 8))
        state = run(0.1)
    np.testing.assert_allclose(
        host.minimise(quadratic, np.zeros(12), memory, 0.1, 1e-9, 8, np.inf)[0], state["x"], rtol=1e-7, atol=1e-10
    )


def test_a_function_that_overflows_ends_the_minimisation():
    def wild(x):
        return float("nan"), np.full_like(x, np.nan)

    x, _, used = host.minimise(wild, np.ones(3), 5, 0.1, 1e-9, 100, np.inf)
    assert used == 0
    np.testing.assert_array_equal(x, 1.0)


def test_small_problems_import_no_jax():
    """`hr2+` on one layer and a certificate, in a process of its own; the search for a witness too."""
    code = """
import sys
import numpy as np
import hr2jax
rng = np.random.default_rng(0)
net = hr2jax.Network([rng.standard_normal((9, 7)), rng.standard_normal((1, 9))], [rng.standard_normal(9), np.zeros(1)])
result = hr2jax.solve(net, relaxation="hr2+", center=np.zeros(7), radius=0.5)
assert result.status is hr2jax.Status.SOLVED and result.certificate.verify(net) == result.bound
print("jax" in sys.modules, result.timings["compile"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "0.0"], done.stderr


def test_results_are_those_of_the_compiled_way(monkeypatch):
    """Within the tolerance: the same relaxation."""
    rng = np.random.default_rng(1)
    net = Network([rng.standard_normal((8, 6)), rng.standard_normal((1, 8))], [0.1 * rng.standard_normal(8), [0.0]])
    for relaxation in ("hr2z", "hr2+"):
        asked = {"relaxation": relaxation, "center": np.zeros(6), "radius": 0.5, "lifting": "forward"}
        here = hr2jax.solve(net, **asked)
        with monkeypatch.context() as patch:
            patch.setattr("hr2jax.engines.product.schedule.SMALL", 0)
            there = hr2jax.solve(net, **asked)
        assert there.iterations != here.iterations  # float32 steering
        assert here.bound == pytest.approx(there.bound, rel=2e-3)
