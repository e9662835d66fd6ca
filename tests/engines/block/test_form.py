"""The block form and the product form describe the same relaxations (docs/theory/moment-relaxation.md)."""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from hr2jax import Network
from hr2jax.certificate.bound import dual_bound
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.engines.block.form import block_form
from hr2jax.engines.block.interior_point import solve_interior_point
from hr2jax.linalg.diagonal import tighten
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift, preset
from hr2jax.relaxation.basis import V1, XI, T
from hr2jax.relaxation.presolve import presolve
from hr2jax.result import Status
from tests.reference.product import solve_product_form

RELAXATIONS = ("shor", "hr2", "hr2z")


def random_net(rng, p0, p1, bias=1.0):
    A = rng.normal(size=(p1, p0))
    return Network([A, rng.normal(size=(1, p1))], [bias * rng.normal(size=p1), [0.0]])


def dense(p0, p1, seed, radius, bias=1.0):
    rng = np.random.default_rng([seed, p0, p1])
    net = random_net(rng, p0, p1, bias)
    return net, {"center": rng.normal(size=p0) * 0.3, "radius": radius}


def zero_row():
    net, domain = dense(4, 5, 7, 0.6)
    A = net.weights[0].copy()
    A[2] = 0.0
    return Network([A, net.weights[1]], net.biases), domain


def on_the_boundary():
    """Dyadic numbers: l = 0 exactly for neuron 0, h = 0 exactly for neuron 1, z = 0 at the centre for neuron 2."""
    A = np.array([[1.0, 0.5, -0.25], [0.5, 1.0, 2.0], [1.0, -1.0, 0.5], [0.25, 0.75, 1.0], [-1.0, 0.5, 0.125]])
    center, radius = np.array([0.5, -1.0, 0.25]), 0.5
    reach = radius * np.abs(A).sum(axis=1)
    b = -A @ center + np.array([reach[0], -reach[1], 0.0, 0.125, -0.25])
    return Network([A, [[1.0, -2.0, 1.5, -1.0, 0.5]]], [b, [0.0]]), {"center": center, "radius": radius}


def some_zero_radii():
    net, domain = dense(5, 4, 8, 0.6)
    return net, domain | {"radius": np.array([0.5, 0.0, 0.7, 0.0, 0.2])}


def a_row_on_fixed_inputs_only():
    net, domain = dense(4, 4, 9, 0.6)
    A = net.weights[0].copy()
    A[1, 1:] = 0.0
    return Network([A, net.weights[1]], net.biases), domain | {"radius": np.array([0.0, 0.8, 0.5, 0.5])}


def all_stable():
    net, domain = dense(3, 4, 10, 0.2)
    shift = np.array([9.0, -9.0, 9.0, 9.0])
    return Network(net.weights, [net.biases[0] + shift, [0.0]]), domain


def all_off():
    net, domain = dense(3, 4, 11, 0.2)
    return Network(net.weights, [net.biases[0] - 9.0, [0.0]]), domain


def one_unstable():
    net, domain = dense(4, 3, 12, 0.3)
    A, center = net.weights[0], domain["center"]
    return Network(net.weights, [-A @ center + np.array([9.0, 0.1, -9.0]), [0.0]]), domain


def equal_neurons():
    net, domain = dense(3, 4, 13, 0.7)
    A, b = net.weights[0].copy(), net.biases[0].copy()
    A[1], b[1] = A[0], b[0]
    return Network([A, net.weights[1]], [b, [0.0]]), domain


def lopsided():
    """l close to 0 and h not, and the other way round."""
    net, domain = dense(3, 4, 14, 0.5)
    A, center = net.weights[0], domain["center"]
    reach = 0.5 * np.abs(A).sum(axis=1)
    return Network(net.weights, [-A @ center + reach * np.array([0.98, -0.98, 0.9, -0.5]), [0.0]]), domain


CASES = {
    "2-2": functools.partial(dense, 2, 2, 0, 0.8),
    "3-5": functools.partial(dense, 3, 5, 0, 0.7),
    "5-3": functools.partial(dense, 5, 3, 0, 0.7),
    "2-8": functools.partial(dense, 2, 8, 0, 0.5),
    "8-2": functools.partial(dense, 8, 2, 0, 0.3),
    "4-4": functools.partial(dense, 4, 4, 0, 0.5, 0.2),
    "6-6": functools.partial(dense, 6, 6, 0, 0.3),
    "6-6 wide": functools.partial(dense, 6, 6, 1, 1.5, 0.3),
    "7-5": functools.partial(dense, 7, 5, 0, 0.4),
    "5-7 many stable": functools.partial(dense, 5, 7, 0, 0.1),
    "8-8 many stable": functools.partial(dense, 8, 8, 0, 0.08),
    "7-4 many stable": functools.partial(dense, 7, 4, 3, 0.1),
    "8-8": functools.partial(dense, 8, 8, 1, 0.25),
    "zero row": zero_row,
    "on the boundary": on_the_boundary,
    "some zero radii": some_zero_radii,
    "a row on fixed inputs only": a_row_on_fixed_inputs_only,
    "all stable": all_stable,
    "all off": all_off,
    "one unstable": one_unstable,
    "equal neurons": equal_neurons,
    "lopsided": lopsided,
}


def lifted(case, domain):
    net, box = CASES[case]()
    problem = checked_problem(net, **(box if domain == "local" else {}))
    return net, problem, lift(net, problem, presolve(net, problem))


def optimum(form):
    """The interior-point optimum of a block form in the network's units."""
    solution = solve_interior_point(form, "clarabel", tolerance=1e-9)
    assert solution.status in (Status.SOLVED, Status.STALLED)
    return solution, np.ldexp(solution.value, form.lifting.exponent)


@functools.cache
def block_optimum(case, domain, relaxation):
    _, _, lifting = lifted(case, domain)
    form = block_form(relaxation, lifting)
    return form, *optimum(form)


def close(a, b, relative=1e-6):
    return abs(a - b) <= relative * max(abs(a), abs(b)) + 1e-9


def below(a, b, relative=1e-7):
    return a <= b + relative * abs(b) + 1e-9


def attained(net, problem):
    """The largest l1 norm of a gradient over all activation patterns that some open set of the domain has."""
    A, b = net.weights[0], net.biases[0]
    c = problem.coefficients @ net.weights[1]
    fixed = presolve(net, problem)
    best = 0.0
    for signs in itertools.product([1.0, -1.0], repeat=len(fixed.layers[0].unstable)):
        u = np.zeros(len(b))
        u[fixed.layers[0].active] = 1.0
        u[fixed.layers[0].unstable] = (np.array(signs) + 1) / 2
        norm = np.abs((c * u) @ A)[fixed.free].sum()
        kept = fixed.layers[0].unstable
        if norm > best and has_interior(A[kept], b[kept], np.array(signs), problem):
            best = norm
    return best


def has_interior(A, b, signs, problem):
    """Whether signs (A x + b) > 0 somewhere in the domain: by its largest margin, capped at 1."""
    bounds = [(None, None)] * A.shape[1]
    if problem.is_local:
        center, radius = problem.domain.center, problem.domain.radius
        bounds = list(zip(center - radius, center + radius, strict=True))
    rows = np.hstack([-signs[:, None] * A, np.ones((len(b), 1))])
    cost = np.zeros(A.shape[1] + 1)
    cost[-1] = -1.0
    found = linprog(cost, A_ub=rows, b_ub=signs * b, bounds=[*bounds, (None, 1.0)])
    return found.status == 0 and found.x[-1] > 1e-7


every_case = pytest.mark.parametrize(
    ("case", "domain"), [(case, domain) for case in CASES for domain in ("global", "local")]
)


@pytest.mark.parametrize("relaxation", RELAXATIONS)
@every_case
def test_both_forms_have_the_same_optimum(case, domain, relaxation):
    form, _, value = block_optimum(case, domain, relaxation)
    product, _ = solve_product_form(form.lifting, preset(relaxation, form.lifting))
    assert close(value, np.ldexp(product, form.lifting.exponent))


@pytest.mark.parametrize("relaxation", RELAXATIONS)
@every_case
def test_the_block_forms_dual_proves_its_optimum_in_product_form(case, domain, relaxation):
    form, solution, value = block_optimum(case, domain, relaxation)
    lifting = form.lifting
    M = lagrangian_matrix(lifting, solution.multipliers(form))
    bound = dual_bound(lifting, M, tighten(M.mid, lifting.square_is_one, solution.diagonal, tolerance=1e-9))
    assert close(bound, value)
    assert below(value, bound)


@every_case
def test_order_of_the_relaxations(case, domain):
    net, problem, _ = lifted(case, domain)
    shor, hr2, hr2z = (block_optimum(case, domain, relaxation)[2] for relaxation in RELAXATIONS)
    truth = attained(net, problem)
    assert below(hr2, shor)
    assert below(hr2z, shor)
    assert below(truth, hr2)
    assert below(truth, hr2z)
    if domain == "global":
        assert close(hr2z, shor)


def test_the_cases_tell_the_relaxations_apart():
    """Otherwise the comparisons above would compare nothing."""
    local = {case: [block_optimum(case, "local", r)[2] for r in RELAXATIONS] for case in CASES}
    assert sum(hr2 < shor * (1 - 1e-4) for shor, hr2, _ in local.values()) >= 5
    assert sum(hr2z < shor * (1 - 1e-4) for shor, _, hr2z in local.values()) >= 5
    assert any(hr2z < hr2 * (1 - 1e-4) for _, hr2, hr2z in local.values())
    assert any(hr2 < hr2z * (1 - 1e-4) for _, hr2, hr2z in local.values())
    sizes = [lifted(case, "local")[2].sizes for case in CASES]
    assert sum(XI not in size for size in sizes) >= 2
    assert any(size[V1] < size[T] for size in sizes)
    assert any(size[V1] > size[T] for size in sizes)


@pytest.mark.parametrize("case", ["2-2", "3-5", "one unstable", "equal neurons", "lopsided"])
@pytest.mark.parametrize("domain", ["global", "local"])
def test_lasserre2_is_the_tightest(case, domain):
    net, problem, lifting = lifted(case, domain)
    value = optimum(block_form("lasserre2", lifting))[1]
    assert all(below(value, block_optimum(case, domain, relaxation)[2], 1e-6) for relaxation in RELAXATIONS)
    assert below(attained(net, problem), value, 1e-6)


@pytest.mark.parametrize("relaxation", RELAXATIONS)
@pytest.mark.parametrize("case", ["3-5", "7-5", "some zero radii", "on the boundary"])
@pytest.mark.parametrize("domain", ["global", "local"])
def test_every_block_holds_at_every_point(case, domain, relaxation):
    """Each block evaluated at a point is PSD, and each shared moment is the product that its entry of y y^T is."""
    net, problem, lifting = lifted(case, domain)
    form = block_form(relaxation, lifting)
    rng = np.random.default_rng(0)
    center, radius = np.zeros(net.widths[0]), 2.0
    if domain == "local":
        center, radius = problem.domain.center, problem.domain.radius
    for _ in range(20):
        x = center + radius * rng.uniform(-1.0, 1.0, len(center))
        z = net.weights[0] @ x + net.biases[0]
        y = np.ones(lifting.size)
        y[lifting.slice(V1)] = np.where(z[lifting.presolve.layers[0].unstable] > 0, 1.0, -1.0)
        y[lifting.slice(T)] = rng.choice([-1.0, 1.0], lifting.sizes[T])
        if XI in lifting.sizes:
            y[lifting.slice(XI)] = ((x - center) / np.where(radius > 0, radius, 1.0))[lifting.presolve.free]
        extended = form.extended() @ y
        for batch in form.batches:
            variables = variables_of(batch)
            values = extended[variables]
            w = np.stack([values[:, list(m)].prod(axis=1) for m in batch.monomials], axis=1)
            entries = extended[batch.shared].prod(axis=2)
            assert np.allclose(w[:, 1 : 1 + entries.shape[1]], entries, atol=1e-12)
            start, stacked = 0, np.einsum("ndm,nm->nd", batch.dense(), w)
            for block in batch.blocks:
                d = block.index.shape[0]
                matrices = stacked[:, start : start + d * d].reshape(-1, d, d)
                assert np.linalg.eigvalsh(matrices).min() > -1e-12
                assert np.array_equal(matrices, matrices.transpose(0, 2, 1))
                start += d * d


def variables_of(batch):
    """(n, variables): positions of a batch's variables in the extended basis, from the monomials that name them."""
    columns = {}
    for j, monomial in enumerate(batch.monomials[1 : 1 + batch.shared.shape[1]]):
        for side, variable in enumerate(monomial):
            columns[variable] = batch.shared[:, j, side]
    return np.stack([columns[k] for k in range(len(columns))], axis=1)


def without(form, clique, *blocks):
    """The form without some blocks of a clique, or without the clique."""
    batches = []
    for batch in form.batches:
        left = batch.blocks
        if batch.name == clique:
            left = tuple(block for block in left if blocks and block.name not in blocks)
        if left:
            batches.append(dataclasses.replace(batch, blocks=left))
    assert batches != list(form.batches)
    return dataclasses.replace(form, batches=tuple(batches))


@pytest.mark.parametrize("case", ["5-3", "6-6", "7-5", "8-8 many stable", "some zero radii", "lopsided"])
def test_the_moments_of_one_input_add_nothing(case):
    """M_2({x_i}) with its localizer: a measure on the interval exists already."""
    form, _, value = block_optimum(case, "local", "hr2")
    assert close(optimum(without(form, "{x_i}"))[1], value)


@pytest.mark.parametrize("case", ["5-3", "6-6", "8-8 many stable", "lopsided", "one unstable"])
@pytest.mark.parametrize("domain", ["global", "local"])
def test_the_u_t_blocks_are_their_four_products(case, domain):
    """M_2({u_i,t_i}) with its localizers, against the same clique with the four products (1 +- v)(1 +- t) >= 0."""
    form, _, value = block_optimum(case, domain, "hr2")
    product, _ = solve_product_form(form.lifting, preset("hr2", form.lifting))
    assert close(value, np.ldexp(product, form.lifting.exponent))
    weaker = optimum(without(form, "{u_i,t_i}"))[1]
    assert close(weaker, block_optimum(case, domain, "shor")[2])


def test_the_u_z_blocks_lack_one_product():
    """z (h u + l (1-u) - z) >= 0 stands beside M_2({u_i,z_i}): where h != -l the localizers do not imply it."""
    gains = []
    for case in ("5-3", "6-6", "equal neurons", "lopsided"):
        form, _, value = block_optimum(case, "local", "hr2z")
        loose = optimum(without(form, "{u_i,z_i}", "z(hu+l(1-u)-z)"))[1]
        assert below(value, loose)
        gains.append(loose / value - 1)
    assert max(gains) > 1e-4


def test_the_x_t_blocks_nearly_imply_their_products():
    """The least E[(1-xi)(1-t)] that M_2({x_i,t_i}) and its localizers allow is a little below 0."""
    lifting = lifted("3-5", "local")[2]
    form = block_form("hr2z", lifting)
    f, g = np.zeros(lifting.size), np.zeros(lifting.size)
    f[0] = g[0] = 1.0
    f[lifting.slice(XI).start] = g[lifting.slice(T).start] = -1.0
    form = dataclasses.replace(form, C=-(np.outer(f, g) + np.outer(g, f)) / 2)
    names = [f"(1{a}xi_i)(1{b}t_i)" for a in "+-" for b in "+-"]
    assert abs(solve_interior_point(form, "clarabel", tolerance=1e-9).value) < 1e-7
    assert solve_interior_point(without(form, "{x_i,t_i}", *names), "clarabel").value == pytest.approx(0.011, abs=1e-3)
