"""The bound is never below the constant: random networks against brute force, whatever the engine did."""

from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Network, Status
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.linalg.diagonal import tighten
from hr2jax.problem import checked_problem
from hr2jax.relaxation import catalogue, lift, preset
from hr2jax.relaxation.forms import family_name
from hr2jax.relaxation.presolve import presolve
from hr2jax.relaxation.table import UT, XT, Z_EXACT
from hr2jax.solving import run
from tests.reference.effort import FULL, examples

from .reference.certificates import in_order, with_multipliers
from .reference.product import solve_product_form
from .reference.proofs import gradient_norm
from .reference.truth import check, truth

pytestmark = pytest.mark.usefixtures("compiled_quickly")

RELAXATIONS = ("shor", "hr2", "hr2z")
CUTTING = ("hr2+", "best")
# how many networks of each relaxation, globally and locally, the lean suite takes; the slow one takes 90
NETWORKS = dict.fromkeys(RELAXATIONS, 24 if FULL else 12) | {"hr2+": 4, "best": 2}
WIDEST = 6


# Random problems ----------------------------------------------------------------------------------------


def numbers(rng, *shape):
    """Weights of one kind: Gaussian, float32, few values with ties and zeros, or of very unlike sizes."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.standard_normal(shape)
    if kind == 1:
        return rng.standard_normal(shape).astype(np.float32)
    if kind == 2:
        return rng.choice([0.0, 1.0, -1.0, 0.1, -0.1, 0.3], shape)
    return rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, (*shape[:-1], 1))


def random_network(rng):
    """Widths 1..6, one to three outputs; sometimes a zero row, a row twice, no bias, or large biases."""
    p, m = rng.integers(1, WIDEST + 1, 2)
    A, C = numbers(rng, m, p), numbers(rng, rng.integers(1, 4), m)
    b = rng.choice([0.0, 0.3, 1.0, 4.0]) * rng.standard_normal(m)
    if rng.random() < 0.2:
        A[rng.integers(m)] = 0.0
    if rng.random() < 0.2:
        source, target = rng.integers(m, size=2)
        A[target], b[target] = A[source], b[source]
    return Network([A, C], [b, rng.standard_normal(len(C))])


def random_question(rng, net, local):
    """What `solve` is asked: an output of any kind and a box of any kind."""
    outputs = net.widths[-1]
    ask = {"output": int(rng.integers(outputs))}
    if outputs > 1 and rng.random() < 0.5:
        ask["output"] = tuple(map(int, rng.permutation(outputs)[:2]))
    elif rng.random() < 0.3:
        ask["output"] = rng.standard_normal(outputs)
    if local:
        p = net.widths[0]
        ask["center"] = rng.choice([0.0, 0.5, 1.0]) * rng.standard_normal(p)
        ask["radius"] = float(rng.choice([0.01, 0.3, 1.0, 5.0]))
        if rng.random() < 0.5:
            ask["radius"] = rng.choice([0.0, 0.3, 1.0, 2.0], p)
            ask["radius"][rng.integers(p)] = 0.7
    return ask


def test_the_brute_force_finds_what_sampling_finds():
    rng = np.random.default_rng(1)
    for _ in range(20):
        net = random_network(rng)
        ask = random_question(rng, net, local=True)
        problem = checked_problem(net, ask["output"], "inf", ask["center"], ask["radius"])
        known = truth(net, problem)
        x = problem.domain.center + problem.domain.radius * rng.uniform(-1, 1, (2000, net.widths[0]))
        patterns = (x @ net.weights[0].T + net.biases[0] > 0).astype(float)
        moving = net.weights[0][:, problem.domain.free(net.widths[0])].any(axis=1)
        patterns = np.unique(patterns * moving, axis=0)
        sampled = max(gradient_norm(net, problem, p.astype(int)) for p in patterns)
        assert sampled <= known.attained
        assert float(known.attained) <= known.most * (1 + 1e-12)


@pytest.fixture
def no_lower_search(monkeypatch):
    monkeypatch.setattr(run, "_search", lambda *_: None)


@pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
@pytest.mark.parametrize(
    ("relaxation", "count"),
    [*NETWORKS.items(), *(pytest.param(name, 90, marks=pytest.mark.slow) for name in RELAXATIONS + CUTTING)],
)
def test_no_bound_is_below_the_constant(relaxation, count, local, monkeypatch):
    rng = np.random.default_rng([(RELAXATIONS + CUTTING).index(relaxation), local])
    search, solved, sharp = run._search, 0, 0
    for k in range(count):
        net = random_network(rng)
        ask = random_question(rng, net, local)
        problem = checked_problem(net, ask["output"], "inf", ask.get("center"), ask.get("radius"))
        known = truth(net, problem, ordered=relaxation in CUTTING)
        monkeypatch.setattr(run, "_search", search if k % 4 == 0 else lambda *_: None)
        result = hr2jax.solve(net, relaxation=relaxation, **ask)
        check(net, result, known)
        solved += result.status is Status.SOLVED
        sharp += Fraction(result.bound) <= known.attained * Fraction(1001, 1000)
        if k % 4 == 0 and local:  # in so small a network the search finds all there is
            assert result.lower >= float(known.attained) * (1 - 1e-9)
        if k % 3 == 0:
            for iterations in (1, 2, 5):
                result = hr2jax.solve(net, relaxation=relaxation, max_iterations=iterations, **ask)
                assert result.iterations <= iterations
                check(net, result, known)
    assert solved == count
    # where the relaxation is exact, nothing but the proof keeps the bound above
    assert sharp > count // 10


def square_network(rng):
    """(3, 3), every neuron unstable on the box: the shapes that ADMM compiles for are few."""
    A, b = rng.standard_normal((3, 3)), 0.1 * rng.standard_normal(3)
    return Network([A, rng.standard_normal((1, 3))], [b, [0.0]]), {"center": np.zeros(3), "radius": 1.0}


@pytest.mark.usefixtures("no_lower_search")
@pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
@pytest.mark.parametrize("relaxation", RELAXATIONS)
def test_no_bound_of_admm_is_below_the_constant(relaxation, local):
    rng = np.random.default_rng(5)
    for _ in range(6 if FULL else 3):
        net, box = square_network(rng)
        ask = box if local else {}
        known = truth(net, checked_problem(net, None, "inf", ask.get("center"), ask.get("radius")))
        for iterations in (1, 2, 5, None):
            result = hr2jax.solve(net, relaxation=relaxation, method="admm", max_iterations=iterations, **ask)
            check(net, result, known)
        assert result.status is Status.SOLVED


# Certificates with whatever multipliers -----------------------------------------------------------------


FAMILIES = sorted(family_name(product, 0 if product in XT else 1) for product in ("v.z", *Z_EXACT, *UT, *XT))


@cache
def certified(seed):
    """A random problem, its certificate after one iteration, the shapes its multipliers may have, and the truth."""
    rng = np.random.default_rng([7, seed])
    net = random_network(rng)
    ask = random_question(rng, net, local=bool(seed % 2))
    problem = checked_problem(net, ask["output"], "inf", ask.get("center"), ask.get("radius"))
    lifting = lift(net, problem, presolve(net, problem))
    shapes = {name: family.shape for name, family in catalogue(lifting).items()}
    result = hr2jax.solve(net, relaxation="shor", max_iterations=1, **ask)
    return net, result.certificate, shapes, lifting.size, truth(net, problem)


@pytest.mark.usefixtures("no_lower_search")
@settings(max_examples=examples(300), deadline=None)
@given(
    seed=st.integers(0, 39),
    noise=st.integers(0, 2**32),
    families=st.sets(st.sampled_from(FAMILIES)),
    size=st.sampled_from([0.0, 1e-300, 1e-9, 1e-3, 0.3, 1.0, 30.0, 1e9, 1e200]),
    sign=st.sampled_from([1, -1, 0]),
    triangles=st.sampled_from([0, 0, 1, 5, 40]),
    diagonal=st.sampled_from(["none", "kept", "zero", "noise", "huge", "negative"]),
)
def test_no_multipliers_prove_a_bound_below_the_constant(seed, noise, families, size, sign, triangles, diagonal):
    net, certificate, shapes, N, known = certified(seed)
    rng = np.random.default_rng(noise)

    def fill(shape):
        values = size * rng.random(shape)
        return values * (rng.choice([-1, 1], shape) if sign == 0 else sign)

    d = {
        "none": None,
        "kept": in_order(certificate, net)[1],
        "zero": np.zeros(N),
        "noise": size * rng.standard_normal(N),
        "huge": np.full(N, 1e300),
        "negative": np.full(N, -1.0),
    }[diagonal]
    multipliers = {name: fill(shapes[name]) for name in families if name in shapes}
    if triangles:
        multipliers["triangles"] = np.column_stack([random_corners(rng, N, triangles), fill(triangles)])
    changed = with_multipliers(certificate, net, multipliers, d)
    assert Fraction(changed.verify(net)) >= known.attained


def random_corners(rng, N, count):
    """Signed positions of triangles, with repeats and through the constant."""
    return rng.integers(1, N + 1, (count, 3)) * rng.choice([-1, 1], (count, 3))


@pytest.mark.usefixtures("no_lower_search")
@pytest.mark.parametrize("seed", range(40 if FULL else 12))
def test_an_adversary_who_picks_the_diagonal_proves_nothing_false(seed):
    """Negative multipliers, and the diagonal that would be best if they counted."""
    net, certificate, shapes, _, known = certified(seed)
    problem = certificate.lipschitz_problem
    lifting = lift(net, problem, presolve(net, problem))
    rng = np.random.default_rng(seed)
    zero = lagrangian_matrix(lifting, {}).mid
    size = np.abs(zero).max()
    picked = {name: (size * rng.random(shape), -1.0) for name, shape in shapes.items()}
    rows = np.column_stack([random_corners(rng, lifting.size, 20), size * rng.random(20)])
    picked["triangles"] = (rows, np.array([1, 1, 1, -1]))
    for name, (values, sign) in picked.items():
        M = 2 * zero - lagrangian_matrix(lifting, {name: values}).mid
        d = tighten(M, lifting.square_is_one, np.abs(M).sum(axis=1))
        changed = with_multipliers(certificate, net, {name: values * sign}, d)
        assert Fraction(changed.verify(net)) >= known.attained


def test_ball_and_float_arithmetic_prove_the_same_bounds():
    rng = np.random.default_rng(11)
    for k in range(18):
        net = random_network(rng)
        result = hr2jax.solve(net, relaxation=RELAXATIONS[k % 3], **random_question(rng, net, local=k % 2 == 0))
        in_balls = result.certificate.verify(net, arithmetic="ball")
        assert in_balls <= result.bound
        assert in_balls == pytest.approx(result.bound, rel=1e-9, abs=1e-300)


# Tightness ----------------------------------------------------------------------------------------------


@cache
def solved_by_interior_point(relaxation, local):
    """Two networks, what is asked of them, and the relaxation's value of each."""
    rng, found = np.random.default_rng(13), []
    for p, m in ((6, 6), (4, 5)):
        net = Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [rng.standard_normal(m), [0.0]])
        ask = {"center": 0.3 * rng.standard_normal(p), "radius": 0.8} if local else {}
        problem = checked_problem(net, None, "inf", ask.get("center"), ask.get("radius"))
        lifting = lift(net, problem, presolve(net, problem))
        value = solve_product_form(lifting, preset(relaxation, lifting))[0] * 2.0**lifting.exponent
        found.append((net, ask, value))
    return found


@pytest.mark.usefixtures("no_lower_search")
@pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
@pytest.mark.parametrize("relaxation", RELAXATIONS)
@pytest.mark.parametrize("tol", [1e-3, 1e-5])
def test_a_converged_bound_is_the_relaxations_own(relaxation, local, tol):
    """Against an interior-point solve of the product form: within tol above its value, never below."""
    for net, ask, value in solved_by_interior_point(relaxation, local):
        result = hr2jax.solve(net, relaxation=relaxation, tol=tol, **ask)
        assert result.status is Status.SOLVED
        assert value * (1 - 1e-7) <= result.bound <= value * (1 + tol)
        assert result.relaxation_value == pytest.approx(value, rel=tol)
