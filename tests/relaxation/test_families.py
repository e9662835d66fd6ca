"""Forms and families on small networks, against explicit matrices and against points of the domain."""

import numpy as np
import pytest

from hr2jax import Network
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.form import QuadraticForm, add_family
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.problem import checked_problem
from hr2jax.relaxation import RELAXATIONS, Family, lift, preset
from hr2jax.relaxation.basis import V1, XI, Z1, T
from hr2jax.relaxation.families import catalogue, clique_pairs
from hr2jax.relaxation.forms import constant, entries, family_name
from hr2jax.relaxation.presolve import presolve
from hr2jax.relaxation.table import UT, XT, Z_EXACT
from tests.reference.product import dense_form, extended_basis, objective

PRESETS = [name for name, record in RELAXATIONS.items() if record.one_layer]


def network():
    """Inputs 0, 1, 3, 4 free (2 is fixed); neuron 1 always on, 4 always off, 0, 2, 3, 5 unstable."""
    rng = np.random.default_rng(3)
    A = rng.normal(size=(6, 5))
    center, radius = rng.normal(size=5) * 0.3, np.array([0.5, 0.3, 0.0, 0.4, 0.6])
    b = -A @ center + 0.1 * rng.normal(size=6)
    b[1] += 9.0
    b[4] -= 9.0
    return Network([A, rng.normal(size=(1, 6))], [b, [0.7]]), center, radius


def lifted(local=True):
    net, center, radius = network()
    problem = checked_problem(net, **({"center": center, "radius": radius} if local else {}))
    return net, problem, lift(net, problem, presolve(net, problem))


def points(net, problem, lifting, count=50):
    """Random feasible points: y (count, N), and u, t of the whole network."""
    rng = np.random.default_rng(0)
    fixed, q = lifting.presolve, net.widths[0]
    center = problem.domain.center if problem.is_local else np.zeros(q)
    radius = problem.domain.radius if problem.is_local else np.full(q, 3.0)
    for _ in range(count):
        x = center + radius * rng.uniform(-1, 1, q)
        u = (net.weights[0] @ x + net.biases[0] > 0).astype(float)
        t = np.zeros(q)
        t[fixed.free] = rng.choice([-1.0, 1.0], len(fixed.free))
        y = [np.ones(1), 2 * u[fixed.layers[0].unstable] - 1, t[fixed.free]]
        if XI in lifting.sizes:
            y.append((x - center)[fixed.free] / radius[fixed.free])
        yield np.concatenate(y), u, t


@pytest.mark.parametrize("local", [True, False])
def test_the_quadratic_form_is_the_directional_derivative(local):
    net, problem, lifting = lifted(local)
    C = lagrangian_matrix(lifting, {}).mid
    assert np.allclose(C, objective(lifting), rtol=0, atol=1e-16)
    for y, u, t in points(net, problem, lifting):
        exact = t @ (net.weights[0].T @ (u * net.weights[1][0]))
        if not local:  # every neuron is a variable there
            u_all = (y[lifting.slice(V1)] + 1) / 2
            assert np.array_equal(u_all, u)
        assert np.ldexp(y @ C @ y, lifting.exponent) == pytest.approx(exact, abs=1e-12)


def test_z_is_the_scaled_preactivation():
    net, problem, lifting = lifted()
    fixed, basis = lifting.presolve, extended_basis(lifting)
    for y, _, _ in points(net, problem, lifting):
        x = problem.domain.center.copy()
        x[fixed.free] += problem.domain.radius[fixed.free] * y[lifting.slice(XI)]
        z = (net.weights[0] @ x + net.biases[0])[fixed.layers[0].unstable]
        assert np.allclose(np.ldexp(basis[Z1] @ y, fixed.layers[0].exponent), z, atol=1e-12)


@pytest.mark.parametrize("name", [family_name(p, 0 if p in XT else 1) for p in ("v.z", *Z_EXACT, *UT, *XT)])
def test_every_product_is_nonnegative_at_every_point(name):
    net, problem, lifting = lifted()
    family = catalogue(lifting)[name]
    F, G = dense_form(lifting, family.F), dense_form(lifting, family.G)
    assert family.shape == (len(F),) == (len(G),)
    products = np.array([(F @ y) * (G @ y) for y, _, _ in points(net, problem, lifting, 200)])
    assert products.min() > -1e-12
    assert products.max() > 1e-3  # and says something


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("relaxation", PRESETS)
def test_lagrangian_matrix_is_the_dense_product(relaxation, local):
    """M = C + sum sym(F^T Diag(lambda) G), with the negative multipliers counted as 0."""
    _, _, lifting = lifted(local)
    rng = np.random.default_rng(1)
    families = preset(relaxation, lifting)
    multipliers = {family.name: rng.normal(size=family.shape) for family in families}
    expected = objective(lifting)
    for family in families:
        F, G = dense_form(lifting, family.F), dense_form(lifting, family.G)
        product = F.T @ np.diag(np.maximum(multipliers[family.name], 0.0)) @ G
        expected = expected + (product + product.T) / 2
    M = lagrangian_matrix(lifting, multipliers)
    assert np.allclose(M.mid, expected, rtol=0, atol=1e-14)
    assert np.array_equal(M.mid, M.mid.T)
    assert (np.abs(M.mid - expected) <= M.rad + 1e-15).all()


def test_all_pairs_are_the_dense_product():
    """A family of all pairs: sym(F^T Lambda G) with a full Lambda, of forms with several terms, z among them."""
    _, _, lifting = lifted()
    rng = np.random.default_rng(2)
    n, q = lifting.sizes[V1], lifting.sizes[T]
    v, z, t = entries(V1, np.arange(n)), entries(Z1, np.arange(n)), entries(T, np.arange(q), rng.normal(size=q))
    first, second = constant(rng.normal(size=n), n) + v - z, constant(2.0, q) - t
    for F, G in ((first, second), (second, first), (first, first), (v, v)):
        weights = rng.uniform(size=(F.rows, G.rows))
        form = QuadraticForm(lifting, Enclosure)
        add_family(form, Family("test", 1, F, G, "all"), Enclosure(weights))
        product = dense_form(lifting, F).T @ weights @ dense_form(lifting, G)
        assert np.allclose(form.matrix().mid, (product + product.T) / 2, rtol=0, atol=1e-13)


def test_form_arithmetic():
    _, _, lifting = lifted()
    i = np.array([2, 0])
    form = constant(np.array([1.0, 2.0]), 2) - entries(V1, i, 3.0) + (-entries(XI, i, np.array([4.0, 5.0])))
    expected = np.zeros((2, lifting.size))
    expected[:, 0] = 1.0, 2.0
    for row, k in enumerate(i):
        expected[row, lifting.slice(V1).start + k] = -3.0
        expected[row, lifting.slice(XI).start + k] = -(4.0, 5.0)[row]
    assert form.rows == 2
    assert np.array_equal(dense_form(lifting, form), expected)


def test_clique_pairs_with_stable_neurons_and_fixed_inputs():
    """Neurons 0, 2, 3, 5 and inputs 0, 1, 3, 4 have variables: {u_i, t_i} exists for i = 0 and 3."""
    _, _, lifting = lifted()
    assert lifting.presolve.layers[0].unstable.tolist() == [0, 2, 3, 5]
    assert lifting.presolve.free.tolist() == [0, 1, 3, 4]
    first, second = clique_pairs(lifting, V1)
    assert (first.tolist(), second.tolist()) == ([0, 2], [0, 2])
    first, second = clique_pairs(lifting, XI)
    assert (first.tolist(), second.tolist()) == ([0, 1, 2, 3], [0, 1, 2, 3])
    family = catalogue(lifting)["(1+v).(1-t)/1"]
    v, t = dense_form(lifting, family.F), dense_form(lifting, family.G)
    assert np.flatnonzero(v[1]).tolist() == [0, lifting.slice(V1).start + 2]
    assert np.flatnonzero(t[1]).tolist() == [0, lifting.slice(T).start + 2]
    assert (v[1].sum(), t[1].sum()) == (2.0, 0.0)


def test_clique_pairs_follow_the_networks_numbering():
    """A fixed input shifts t's positions but not the cliques."""
    net, center, radius = network()
    radius = np.array([0.0, 0.0, 0.5, 0.5, 0.5])
    problem = checked_problem(net, center=center, radius=radius)
    lifting = lift(net, problem, presolve(net, problem))
    first, second = clique_pairs(lifting, V1)
    neurons, inputs = lifting.presolve.layers[0].unstable[first], lifting.presolve.free[second]
    assert np.array_equal(neurons, inputs)
    assert set(neurons) == set(lifting.presolve.layers[0].unstable) & {2, 3, 4}
    assert not np.array_equal(first, second)


def test_globally_cliques_stop_at_the_smaller_width():
    for p0, p1 in ((3, 5), (5, 3)):
        rng = np.random.default_rng(0)
        net = Network([rng.normal(size=(p1, p0)), np.ones((1, p1))], [np.zeros(p1), [0.0]])
        problem = checked_problem(net)
        first, second = clique_pairs(lift(net, problem, presolve(net, problem)), V1)
        assert first.tolist() == second.tolist() == [0, 1, 2]


def test_presets():
    _, _, local = lifted()
    _, _, everywhere = lifted(False)
    names = {r: {family.product for family in preset(r, local)} for r in PRESETS}
    products = {f"(1{a}v).(1{b}t)" for a in "+-" for b in "+-"}
    assert names["shor"] == {"v.z"}
    assert names["hr2"] == {"v.z"} | products
    assert names["hr2z"] == {"u.z", "(1-u).(-z)", "u.(h-z)", "(1-u).(z-l)", "z.(hu+l(1-u)-z)"} | {
        f"(1{a}x).(1{b}t)" for a in "+-" for b in "+-"
    }
    names = {r: {family.product for family in preset(r, everywhere)} for r in PRESETS}
    assert names["shor"] == names["hr2z"] == set()
    assert names["hr2"] == products


def test_without_cliques_there_is_no_family():
    """One unstable neuron whose input does not exist: empty families are left out, their multipliers accepted."""
    rng = np.random.default_rng(5)
    A = rng.normal(size=(3, 2))
    net = Network([A, np.ones((1, 3))], [[9.0, -9.0, 0.0], [0.0]])
    problem = checked_problem(net, center=np.zeros(2), radius=0.1)
    lifting = lift(net, problem, presolve(net, problem))
    assert lifting.presolve.layers[0].unstable.tolist() == [2]
    assert {family.name for family in preset("hr2", lifting)} == {"v.z/1"}
    M = lagrangian_matrix(lifting, {"(1+v).(1+t)/1": np.zeros(0)})
    assert np.array_equal(M.mid, lagrangian_matrix(lifting, {}).mid)
