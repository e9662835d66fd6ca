"""The proof (docs/theory/certificate-proof.md, one hidden layer, inf norm) against exact rational arithmetic.

Each bound is compared, as a rational number, with the gradients of cells that exist; nothing is compared
within a tolerance, so a bound below the truth by one rounding error fails.
"""

from dataclasses import replace
from fractions import Fraction
from functools import cache, reduce
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds import interval
from hr2jax.certificate import prover
from hr2jax.certificate.bound import dual_bound, scale_up
from hr2jax.certificate.form import QuadraticForm, add_family
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.certificate.prover import prove
from hr2jax.linalg.diagonal import tighten
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation import presolve
from hr2jax.relaxation.basis import ONE, V1, XI, Z1, T
from hr2jax.relaxation.families import catalogue
from hr2jax.relaxation.forms import Family, entries
from hr2jax.relaxation.layout import Layout
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.scales import LARGEST_SCALE
from tests.reference.effort import examples

from ..reference.enclosures import assert_encloses, ends, exact
from ..reference.intervals import exact_range
from ..reference.proofs import (
    SIZES,
    available,
    best_multipliers,
    cells_met,
    exact_constant,
    exact_z,
    gradient_norm,
    random_multipliers,
    rational,
)

ULP = 2.0**-52
KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])

# Networks and boxes -------------------------------------------------------------------------------------

WEIGHTS = {
    "plain": st.floats(-2.0, 2.0),
    "powers": st.builds(lambda s, e: s * 2.0**e, st.sampled_from([-1, 0, 1]), st.integers(-3, 3)),
    "ties": st.sampled_from([0.0, 1.0, -1.0, 0.1, -0.1, 0.3]),
    "mixed": st.builds(
        lambda s, m, e: s * m * 10.0**e,
        st.sampled_from([-1, 1]),
        st.floats(0.1, 1.0),
        st.sampled_from([-160, -30, -9, 0, 0, 9, 30, 160]),
    ),
    "tiny": st.builds(lambda m: m * 1e-155, st.floats(-1.0, 1.0)),
}


@st.composite
def networks(draw, most=5):
    """One hidden layer of widths 1..most, one to three outputs."""
    p, m, k = (draw(st.integers(1, n)) for n in (most, most, 3))

    def array(*shape):
        numbers = WEIGHTS[draw(st.sampled_from(sorted(WEIGHTS)))]
        n = int(np.prod(shape))
        return np.reshape(draw(st.lists(numbers, min_size=n, max_size=n)), shape)

    return Network([array(m, p), array(k, m)], [array(m), array(k)])


@st.composite
def problems(draw, net, local, norm="inf"):
    """A problem for the network: any output, pair or combination; a box with scalar or per-entry radii, or a ball."""
    k, p = net.widths[-1], net.widths[0]
    outputs = [*range(k), *product(range(k), repeat=2), np.linspace(-1.1, 1.3, k)]
    output = draw(st.sampled_from(outputs))
    if not local:
        return checked_problem(net, output, norm)
    numbers = WEIGHTS[draw(st.sampled_from(["plain", "ties", "mixed"]))]
    center = draw(st.lists(numbers, min_size=p, max_size=p))
    size = st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 1e-12, 1e-150, 1e9, 1e150])
    radius = draw(size if norm == 2 else st.one_of(size, st.lists(size, min_size=p, max_size=p)))
    assume(np.any(np.array(radius) > 0))
    return checked_problem(net, output, norm, center, radius)


def diagonals(lifting, M, rng):
    """No diagonal, zeros, noise, row sums, a shifted one that works, an absurd one."""
    N, middle = lifting.size, M.mid
    shift = 0.0
    if np.isfinite(middle).all() and np.abs(middle).max() < 1e100:
        shift = float(np.linalg.eigvalsh(middle)[-1]) * (1 + 1e-9)
    return [
        None,
        np.zeros(N),
        rng.standard_normal(N),
        np.abs(middle).sum(axis=1),
        np.full(N, shift),
        shift * rng.uniform(0.5, 1.2, N),
        np.full(N, 1e300) * rng.choice([-1, 1], N),
    ]


def best_bound(net, problem):
    fixed = prover.presolve(net, problem)  # the name that `prove` uses
    d, multipliers = best_multipliers(lift(net, problem, fixed))
    return prove(net, problem, fixed.layout(), multipliers, d)


def check_bound(net, problem, rng, sizes, arithmetic=Enclosure):
    """Whatever the multipliers and the diagonal, what `prove` returns is not below the exact constant."""
    truth = exact_constant(net, problem, rng)
    with np.errstate(all="ignore"):
        try:
            fixed = presolve.presolve(net, problem, arithmetic)
        except ValueError as error:
            assert "overflow float64" in str(error)
            return
        keep_more = rng.random() < 0.3
        if keep_more:  # a certificate may give stable neurons a variable, and larger scales than needed
            kept = rng.permutation(net.widths[1])
            fixed = presolve.presolve(net, problem, arithmetic, Layout((kept,)))
            if problem.is_local:
                larger = Layout((kept,), (fixed.layers[0].exponent + rng.integers(0, 9),))
                fixed = presolve.presolve(net, problem, arithmetic, larger)
        lifting = lift(net, problem, fixed, arithmetic)
        multipliers = random_multipliers(lifting, rng, sizes)
        M = lagrangian_matrix(lifting, multipliers, arithmetic)
        choices = diagonals(lifting, M, rng)
    for d in [choices[i] for i in rng.permutation(len(choices))[:3]]:
        bound = prove(net, problem, fixed.layout(), multipliers, d, arithmetic)
        assert bound == np.inf or Fraction(bound) >= truth
    plain = prove(net, problem, fixed.layout(), {}, None, arithmetic)
    assert plain == np.inf or Fraction(plain) >= truth


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32), size=st.sampled_from([1e-3, 0.1, 1.0, 1e3]), local=st.booleans())
def test_a_diagonal_never_proves_less_than_none(seed, size, local):
    """The sum of |M| is left out only where it is more."""
    rng = np.random.default_rng(seed)
    net = Network([rng.standard_normal((4, 3)), rng.standard_normal((1, 4))], [rng.standard_normal(4), [0.0]])
    problem = checked_problem(net, **({"center": np.zeros(3), "radius": 1.0} if local else {}))
    lifting = lift(net, problem, presolve.presolve(net, problem))
    M = lagrangian_matrix(lifting, random_multipliers(lifting, rng, ["small", "normal"]))
    d = size * rng.random(lifting.size) * np.abs(M.mid).sum(axis=1).max()
    assert dual_bound(lifting, M, d) <= dual_bound(lifting, M)


@settings(max_examples=examples(150), deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), sizes=st.lists(st.sampled_from(sorted(SIZES)), min_size=1))
def test_no_global_bound_is_below_the_exact_constant(data, seed, sizes):
    net = data.draw(networks())
    check_bound(net, data.draw(problems(net, local=False)), np.random.default_rng(seed), sizes)


@settings(max_examples=examples(250), deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), sizes=st.lists(st.sampled_from(sorted(SIZES)), min_size=1))
def test_no_local_bound_is_below_the_exact_constant(data, seed, sizes):
    net = data.draw(networks())
    check_bound(net, data.draw(problems(net, local=True)), np.random.default_rng(seed), sizes)


@pytest.mark.parametrize("local", [False, True])
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), sizes=st.lists(st.sampled_from(sorted(SIZES)), min_size=1))
def test_no_bound_in_balls_is_below_the_exact_constant(local, data, seed, sizes):
    net = data.draw(networks(most=3))
    check_bound(net, data.draw(problems(net, local)), np.random.default_rng(seed), sizes, Arb)


@pytest.mark.parametrize("local", [False, True])
@settings(max_examples=examples(100), deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), sizes=st.lists(st.sampled_from(sorted(SIZES)), min_size=1))
def test_no_bound_in_norm_2_is_below_the_exact_constant(local, data, seed, sizes):
    net = data.draw(networks())
    check_bound(net, data.draw(problems(net, local, norm=2)), np.random.default_rng(seed), sizes)


@settings(max_examples=examples(25), deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), sizes=st.lists(st.sampled_from(sorted(SIZES)), min_size=1))
def test_no_bound_in_norm_2_in_balls_is_below_the_exact_constant(data, seed, sizes):
    net = data.draw(networks(most=3))
    check_bound(net, data.draw(problems(net, True, norm=2)), np.random.default_rng(seed), sizes, Arb)


def test_nearly_optimal_multipliers_prove_bounds_at_or_just_above_the_exact_constant():
    """Where the relaxation is exact the solver's value lies below the truth; the proved bound does not."""
    rng = np.random.default_rng(0)
    sharp = 0
    for _ in range(25):
        p, m = rng.integers(1, 4, 2)
        net = net_of(rng.standard_normal((m, p)), rng.standard_normal(m), 0.3 * rng.standard_normal(m))
        center, radius = 0.3 * rng.standard_normal(p), rng.choice([0.3, 1.0, 3.0])
        problem = checked_problem(net, norm="inf", center=center, radius=radius)
        truth, bound = exact_constant(net, problem, rng, 12), Fraction(best_bound(net, problem))
        assert bound >= truth
        sharp += bound <= truth * (1 + Fraction(1, 10**6))
    assert sharp >= 20


# The families and the Lagrangian matrix, point by point --------------------------------------------------


def feasible_points(net, problem, fixed, lifting, rng):
    """y by groups, exactly: (1, v, t, xi, z) at points of the box with their patterns."""
    n, q = lifting.sizes[V1], lifting.sizes[T]
    if not problem.is_local:
        cases = [(None, tuple(rng.integers(0, 2, net.widths[1]))) for _ in range(3)]
    else:
        cases = list(cells_met(net, problem, rng, 4))
    for x, pattern in cases:
        t = rational(rng.choice([-1.0, 1.0], q))
        y = {ONE: exact([Fraction(1)], (1,)), T: t if problem.norm == "inf" else t / max(q, 1)}
        y[V1] = exact([Fraction(2 * int(pattern[i]) - 1) for i in fixed.layers[0].unstable], (n,))
        if XI in lifting.sizes:
            c, r = rational(problem.domain.center)[fixed.free], rational(problem.domain.radius)[fixed.free]
            y[XI] = (x[fixed.free] - c) / r
            scale = exact([Fraction(2) ** int(e) for e in fixed.layers[0].exponent], (n,))
            y[Z1] = exact_z(net, x)[fixed.layers[0].unstable] / scale
        yield pattern, y


def value_of(form, y):
    """The form's rows at y, exactly."""
    return sum(rational(term.coefficient) * y[term.group][term.index] for term in form.terms)


def products_of(family, y):
    f, g = value_of(family.F, y), value_of(family.G, y)
    return f * g if family.pairs == "diagonal" else f[:, None] * g[None, :]


def check_families(net, problem, rng):
    """Every product of every family of the catalogue is >= 0 at every feasible point."""
    fixed = presolve.presolve(net, problem)
    lifting = lift(net, problem, fixed)
    for _, y in feasible_points(net, problem, fixed, lifting, rng):
        for family in available(lifting):
            if family.F.rows:
                assert all(value >= 0 for value in np.ravel(products_of(family, y))), family.name


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("local", [False, True])
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_every_product_of_the_catalogue_is_nonnegative_at_feasible_points(local, norm, data, seed):
    net = data.draw(networks())
    problem = data.draw(problems(net, local, norm))
    try:
        check_families(net, problem, np.random.default_rng(seed))
    except ValueError as error:
        assert "overflow float64" in str(error)


@KINDS
@pytest.mark.parametrize(("local", "norm"), [(False, "inf"), (True, "inf"), (True, 2)])
@settings(max_examples=examples(40), deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32))
def test_the_lagrangian_matrix_encloses_objective_plus_products(kind, local, norm, data, seed):
    """y^T M y = t^T A^T D(u) c + sum Lambda (f.y)(g.y), at every feasible y, within M's radius."""
    rng = np.random.default_rng(seed)
    net = data.draw(networks(most=3))
    problem = data.draw(problems(net, local, norm))
    try:
        fixed = presolve.presolve(net, problem, kind)
    except ValueError as error:
        assert "overflow float64" in str(error)
        return
    lifting = lift(net, problem, fixed, kind)
    multipliers = random_multipliers(lifting, rng, ["zero", "small", "normal", "negative"])
    with np.errstate(all="ignore"):
        M = lagrangian_matrix(lifting, multipliers, kind).dense()
    if not M.is_finite():
        return
    lowest, highest = ends(M)
    middle, radius = (lowest + highest) / 2, (highest - lowest) / 2
    c = rational(problem.coefficients) @ rational(net.weights[1])
    for pattern, y in feasible_points(net, problem, fixed, lifting, rng):
        full = reduce(lambda a, b: np.concatenate([a, b]), [y[group] for group in lifting.sizes])
        A = rational(net.weights[0][:, fixed.free])
        expected = ((c * np.array(pattern, dtype=object)) @ A) @ y[T] / Fraction(2) ** lifting.exponent
        for family in available(lifting):
            if family.F.rows:
                weights = rational(family.clipped(multipliers[family.name]))
                expected += (weights * products_of(family, y)).sum()
        slack = np.abs(full) @ radius @ np.abs(full)
        assert abs(full @ middle @ full - expected) <= slack


# The rounding rules of docs/theory/certificate-proof.md, one by one --------------------------------------


def net_of(A, c, b=0.0):
    A = np.atleast_2d(np.asarray(A, dtype=np.float64))
    c = np.asarray(c, dtype=np.float64).reshape(1, -1)
    return Network([A, c], [np.broadcast_to(np.asarray(b, dtype=np.float64), A.shape[:1]), [0.0]])


def bound_of(net, problem, multipliers=None, d=None, arithmetic=Enclosure):
    """The bound with the presolve's own choices; `d` may be a function of the lifting."""
    fixed = prover.presolve(net, problem, arithmetic)
    multipliers = multipliers or {}
    if callable(d):
        d = d(lift(net, problem, fixed, arithmetic))
    return prove(net, problem, fixed.layout(), multipliers, d, arithmetic)


@KINDS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_data_are_the_exact_reals_of_the_stored_weights(kind, dtype):
    A, c = np.array([[0.1, -0.7, 1e-9]], dtype=dtype), np.array([[0.3]], dtype=dtype)
    net = Network([A, c], [[0.0], [0.0]])
    truth = Fraction(float(c[0, 0])) * sum(abs(Fraction(float(a))) for a in A[0])
    bound = Fraction(bound_of(net, checked_problem(net), arithmetic=kind))
    assert truth <= bound <= truth * (1 + Fraction(1, 10**14))


@KINDS
def test_center_and_radius_are_exact_reals(kind):
    """z = x - c over |x - c| <= r is never on or off; one ulp to the side it is on throughout."""
    for r in (0.1, 1e-300, 1e300):
        net = Network([[[1.0], [1.0]], [[1.0, -1.0]]], [[-0.0, np.nextafter(r, np.inf)], [0.0]])
        problem = checked_problem(net, norm="inf", center=[0.0], radius=r)
        assert bound_of(net, problem, arithmetic=kind) == pytest.approx(1.0)  # u_1 - 1
        fixed = presolve.presolve(net, problem, kind)
        assert fixed.layers[0].unstable.tolist() == [0]
        assert fixed.layers[0].active.tolist() == [1]


@KINDS
def test_scales_are_fixed_floats_proved_valid(kind):
    net = net_of([[1.0], [0.75]], [1.0, 1.0])
    problem = checked_problem(net, norm="inf", center=[0.25], radius=1.0)
    fixed = presolve.presolve(net, problem, kind)
    for k, exponent in enumerate(fixed.layers[0].exponent):
        least, greatest = exact_range(net, problem)[fixed.layers[0].unstable[k]]
        assert Fraction(2) ** int(exponent) >= max(-least, greatest)
    given = fixed.layers[0].exponent
    for bad in (given - 1, given - [0, 1], given[:1], np.full(2, -(10**6))):
        with pytest.raises(ValueError, match="scale"):
            prove(net, problem, Layout((fixed.layers[0].unstable,), (bad,)), {}, None, kind)
    for good in (fixed.layers[0].exponent + 3, np.full(2, LARGEST_SCALE)):
        assert prove(net, problem, Layout((fixed.layers[0].unstable,), (good,)), {}, None, kind) >= 1.75
    for beyond in (np.full(2, LARGEST_SCALE + 1), np.full(2, 2**62)):
        with pytest.raises(ValueError, match="scale is beyond"):
            prove(net, problem, Layout((fixed.layers[0].unstable,), (beyond,)), {}, None, kind)


@KINDS
def test_a_neuron_that_cannot_change_f_gets_no_variable(kind):
    net = net_of([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], [1.0, 1.0, 1.0], 0.0)
    problem = checked_problem(net, norm="inf", center=[0.0, 0.0], radius=[1.0, 0.0])
    assert presolve.presolve(net, problem, kind).layers[0].unstable.tolist() == [0]
    assert bound_of(net, problem, arithmetic=kind) == pytest.approx(1.0)


@KINDS
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_everything_else_is_an_enclosure(kind, data):
    """C_k - C_j, c*A, the stable neurons' constant part, A center + b and radius*A."""
    net = data.draw(networks(most=3))
    problem = data.draw(problems(net, local=True))
    try:
        fixed = presolve.presolve(net, problem, kind)
    except ValueError as error:
        assert "overflow float64" in str(error)
        return
    with np.errstate(all="ignore"):
        lifting = lift(net, problem, fixed, kind)
    unit = Fraction(2) ** lifting.exponent
    A, c = rational(net.weights[0]), rational(problem.coefficients) @ rational(net.weights[1])
    W = c[:, None] * A[:, fixed.free] / unit
    half = W[fixed.layers[0].unstable] / 2
    zero = exact([Fraction(0)] * len(fixed.free), (len(fixed.free),))
    constant = sum(half, zero) + sum(W[fixed.layers[0].active], zero)
    assert_encloses(lifting.objective_v, half.reshape(-1, len(fixed.free)))
    assert_encloses(lifting.objective_one, constant.reshape(1, -1))
    if XI in lifting.sizes:
        scale = exact([Fraction(2) ** int(e) for e in fixed.layers[0].exponent], (-1, 1))
        kept = fixed.layers[0].unstable
        middle = (A @ rational(problem.domain.center) + rational(net.biases[0]))[kept].reshape(-1, 1)
        assert_encloses(lifting.z_one, middle / scale)
        spread = A[fixed.layers[0].unstable][:, fixed.free] * rational(problem.domain.radius)[fixed.free]
        assert_encloses(lifting.z_xi, spread / scale)


@KINDS
def test_the_radii_are_added_to_the_diagonal(kind):
    """The bound from an enclosure M +- Delta is at or above the bound's value for every member of M."""
    rng = np.random.default_rng(0)
    net = net_of(rng.standard_normal((3, 2)), rng.standard_normal(3))
    problem = checked_problem(net)
    lifting = lift(net, problem, presolve.presolve(net, problem))
    N = lifting.size
    middle = lagrangian_matrix(lifting, {}).mid
    d = np.full(N, np.linalg.eigvalsh(middle)[-1] + 1e-6)
    for size in (0.0, 1e-12, 1e-3, 10.0):
        Delta = np.full((N, N), size)
        bound = dual_bound(lifting, kind(middle, Delta), d, kind)
        for signs in rng.choice([-1.0, 1.0], (20, N)):
            member = middle + size * np.outer(signs, signs)
            assert bound * 2.0**-lifting.exponent >= signs @ member @ signs * (1 - 1e-15)
    assert dual_bound(lifting, kind(middle, np.full((N, N), np.inf)), d, kind) == np.inf


def test_exact_products_take_errors_of_either_sign():
    """A z far below its rounding error (center and bias cancel) weighs in with |mu| in the radius of M."""
    net = net_of([[1.0, 1.0]], [1.0], -(2.0**60))
    problem = checked_problem(net, norm="inf", center=[2.0**60 - 2.0**8, 2.0**8], radius=[1.0, 1.0])
    lifting = lift(net, problem, presolve.presolve(net, problem))
    for name in ("v.z/1", "u.z/1", "(1-u).(-z)/1"):
        plain, used = (lagrangian_matrix(lifting, {name: np.array([mu])}) for mu in (0.0, 1e6))
        assert used.rad.max() >= 1e6 * lifting.z_one.rad.max() / 2 > plain.rad.max()


def test_dot_products_are_bounded_whatever_their_order():
    rng = np.random.default_rng(1)
    A, center = rng.standard_normal((3, 40)) * 10.0 ** rng.integers(-9, 9, 40), rng.standard_normal(40)
    truth = rational(A) @ rational(center)
    for order in (np.arange(40), np.arange(40)[::-1], rng.permutation(40), rng.permutation(40)):
        assert_encloses(Enclosure(A[:, order]) @ center[order], truth)
        assert_encloses((Enclosure(A[:, order]) * center[order]).sum(axis=1), truth)


GARBAGE = {
    "zeros": np.zeros_like,
    "noise": lambda S: np.random.default_rng(0).standard_normal(S.shape),
    "not triangular, huge": lambda S: 1e150 * np.random.default_rng(0).standard_normal(S.shape),
    "overflowing": lambda S: np.full_like(S, 1e200),
    "NaN": lambda S: np.full_like(S, np.nan),
    "infinite": lambda S: np.full_like(S, np.inf),
    "of another matrix": lambda S: scipy.linalg.sqrtm(S @ S.T + 3 * np.eye(len(S))).real,
    "too small": lambda S: 0.5 * np.eye(len(S)),
    "negative": lambda S: -np.tril(S),
}


@KINDS
@pytest.mark.parametrize("garbage", GARBAGE)
def test_the_factor_is_not_trusted(kind, garbage, monkeypatch):
    """Whatever Cholesky and eigenvalue routines return, the bound is valid (or infinite)."""
    rng = np.random.default_rng(3)
    net = net_of(rng.standard_normal((4, 3)), rng.standard_normal(4), 0.1)
    cases = [checked_problem(net), checked_problem(net, norm="inf", center=[0.0, 0.1, 0.0], radius=1.0)]
    factor, eigenvalues = GARBAGE[garbage], lambda S, *args, **kwargs: np.full(len(S), -1e-30)
    for problem in cases:
        truth = exact_constant(net, problem, rng)
        fixed = presolve.presolve(net, problem, kind)
        lifting = lift(net, problem, fixed, kind)
        multipliers = random_multipliers(lifting, rng, ["zero", "small", "normal"])
        with monkeypatch.context() as patch:
            patch.setattr(np.linalg, "cholesky", lambda S, **_: factor(S))
            patch.setattr(scipy.linalg, "cholesky", lambda S, **_: factor(S))
            patch.setattr(scipy.linalg, "eigh", eigenvalues)
            patch.setattr(np.linalg, "eigvalsh", eigenvalues)
            for d in (np.zeros(lifting.size), np.full(lifting.size, -1.0), rng.standard_normal(lifting.size)):
                bound = prove(net, problem, fixed.layout(), multipliers, d, kind)
                assert bound == np.inf or Fraction(bound) >= truth


def test_a_true_factor_proves_what_eigenvalues_say():
    """Not sound only, but sharp: d = lambda_max costs nothing beyond rounding."""
    rng = np.random.default_rng(5)
    net = net_of(rng.standard_normal((6, 5)), rng.standard_normal(6))
    problem = checked_problem(net)
    fixed = presolve.presolve(net, problem)
    lifting = lift(net, problem, fixed)
    M = lagrangian_matrix(lifting, {}).mid
    d = np.full(lifting.size, np.linalg.eigvalsh(M)[-1] * (1 + 1e-12))
    bound = prove(net, problem, fixed.layout(), {}, d)
    assert bound <= d.sum() * 2.0**lifting.exponent * (1 + 1e-11)


@KINDS
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_multipliers_and_diagonals_that_are_not_finite_prove_nothing(kind, bad):
    net = net_of([[1.0], [0.5]], [1.0, -1.0], 0.1)
    problem = checked_problem(net, norm="inf", center=[0.0], radius=1.0)
    fixed = presolve.presolve(net, problem, kind)
    truth = exact_constant(net, problem, np.random.default_rng(0))
    N = lift(net, problem, fixed, kind).size
    for name, family in catalogue(lift(net, problem, fixed, kind)).items():
        values = np.full(family.shape, bad)
        assert prove(net, problem, fixed.layout(), {name: values}, np.ones(N), kind) == np.inf
    bound = prove(net, problem, fixed.layout(), {}, np.full(N, bad), kind)
    assert bound == np.inf or Fraction(bound) >= truth


def test_multipliers_that_overflow_prove_nothing():
    net = net_of([[1.0], [0.5]], [1.0, -1.0], 0.1)
    problem = checked_problem(net, norm="inf", center=[0.0], radius=1.0)
    multipliers = {name: np.full(2, 1.7e308) for name in ("u.z/1", "u.(h-z)/1", "z.(hu+l(1-u)-z)/1")}
    assert bound_of(net, problem, multipliers) == np.inf


@KINDS
def test_negative_multipliers_count_as_zero(kind):
    net = net_of([[1.0], [0.5]], [1.0, -1.0], 0.1)
    problem = checked_problem(net, norm="inf", center=[0.0], radius=1.0)
    lifting = lift(net, problem, presolve.presolve(net, problem, kind), kind)
    for family in available(lifting):
        zero, negative = (
            lagrangian_matrix(lifting, {family.name: np.full(family.shape, value)}, kind).dense()
            for value in (0.0, -3.0)
        )
        is_same = (negative.upper() == zero.upper()).all() and (negative.lower() == zero.lower()).all()
        assert is_same != family.equality  # products that are 0 take any sign


@KINDS
def test_multipliers_must_fit_a_family_of_the_problem(kind):
    net = net_of([[1.0], [0.5]], [1.0, -1.0], 0.1)
    local = checked_problem(net, norm="inf", center=[0.0], radius=1.0)
    for problem, name, values in (
        (local, "v.z/1", np.ones(3)),
        (local, "v.z/1", np.ones((2, 1))),
        (local, "v.z/1", np.float64(1.0)),
        (local, "nonsense", np.ones(2)),
        (local, "", np.ones(2)),
        (checked_problem(net), "v.z/1", np.ones(2)),
        (checked_problem(net), "(1+x).(1+t)", np.ones(1)),
    ):
        with pytest.raises(ValueError, match=r"multipliers of|there is no family"):
            bound_of(net, problem, {name: values}, arithmetic=kind)
    with pytest.raises(ValueError, match="the diagonal has shape"):
        bound_of(net, local, d=np.ones(3), arithmetic=kind)


@KINDS
@pytest.mark.parametrize("pairs", ["diagonal", "all"])
def test_a_form_that_repeats_an_index_is_refused(kind, pairs):
    """Of two values for one place of the matrix one would be lost, and the bound with it."""
    net = net_of([[1.0, 1.0], [0.5, 2.0]], [1.0, -1.0], 0.1)
    problem = checked_problem(net)
    form = QuadraticForm(lift(net, problem, presolve.presolve(net, problem, kind), kind), kind)
    repeated = Family("repeated", 1, entries(V1, np.array([0, 0])), entries(T, np.array([1, 1])), pairs)
    with pytest.raises(ValueError, match="repeats an index"):
        add_family(form, repeated, kind(np.ones(repeated.shape)))
    once = Family("once", 1, entries(V1, np.array([0, 0])), entries(T, np.array([1, 0])))
    add_family(form, once, kind(np.ones(2)))


@KINDS
def test_signs_are_fixed_only_on_outward_bounds(kind):
    """A neuron that float64 arithmetic calls off, though it is on: see `misjudged`."""
    net, problem, truth = misjudged()
    assert Fraction(bound_of(net, problem, arithmetic=kind)) >= truth


@KINDS
def test_a_neuron_that_can_switch_cannot_be_left_out(kind):
    net = net_of([[1.0], [1.0]], [1.0, 1.0], [0.5, 1.5])
    problem = checked_problem(net, norm="inf", center=[0.0], radius=1.0)
    none = np.zeros(0, dtype=np.int64)
    with pytest.raises(ValueError, match="neuron 0 cannot be proved to keep its sign"):
        prove(net, problem, Layout((none,), (none,)), {}, None, kind)
    for unstable in ([0, 0], [0, 2], [-1], [0, -2]):
        with pytest.raises(ValueError, match="distinct indices"):
            layout = Layout((np.array(unstable),), (np.full(len(unstable), 3),))
            prove(net, problem, layout, {}, None, kind)


@KINDS
def test_without_multipliers_the_bound_is_the_norm_product_bound(kind):
    rng = np.random.default_rng(2)
    net = net_of(rng.standard_normal((5, 4)), rng.standard_normal(5))
    problem = checked_problem(net)
    product_bound = float((np.abs(net.weights[1]) @ np.abs(net.weights[0])).sum())
    for d in (None, lambda lifting: np.zeros(lifting.size)):  # the baseline; the sum of |M|
        assert bound_of(net, problem, d=d, arithmetic=kind) <= product_bound * (1 + 1e-12)


def check_one_slope(budget=None):
    """|x_1 + ... + x_4| / 2 has slopes of Euclidean norm 1: t's squares add up to 1, the signs' do not."""
    net = net_of([[0.5] * 4, [-0.5] * 4], [1.0, 1.0])
    problem = checked_problem(net, norm=2)
    lifting = lift(net, problem, presolve.presolve(net, problem))
    M = lagrangian_matrix(lifting, {})
    shared = lifting.budget if budget is None else budget
    d = tighten(M.mid, lifting.square_is_one, np.zeros(lifting.size), budget=shared)
    with pytest.MonkeyPatch.context() as patch:
        if budget is not None:
            patch.setattr(type(lifting), "budget", budget)
        bound = dual_bound(lifting, M, d)
    assert Fraction(bound) >= gradient_norm(net, problem, (1, 0))
    assert bound <= 1.0 + 1e-5


def test_what_shares_a_bound_is_paid_for_once_and_nothing_else_is():
    check_one_slope()
    with pytest.raises(AssertionError):  # the two signs and the constant together
        check_one_slope(np.array([0, 0, 0, 1, 1, 1, 1]))
    with pytest.raises(AssertionError):  # everything together
        check_one_slope(np.zeros(7, dtype=np.int64))


@pytest.mark.parametrize("local", [False, True])
def test_the_euclidean_bound_lies_between_the_constant_and_the_bound_in_the_norm_inf(local):
    """||g||_2 <= ||g||_1, and a ball lies in its box: with one diagonal for each, so do their bounds."""
    rng = np.random.default_rng(4)
    for _ in range(5):
        net = net_of(rng.standard_normal((5, 4)), rng.standard_normal(5), 0.1 * rng.standard_normal(5))
        domain = {"center": 0.1 * rng.standard_normal(4), "radius": 1.0} if local else {}
        bounds = []
        for norm in (2, "inf"):
            problem = checked_problem(net, norm=norm, **domain)
            lifting = lift(net, problem, presolve.presolve(net, problem))
            M = lagrangian_matrix(lifting, {}).mid
            d = tighten(M, lifting.square_is_one, np.abs(M).sum(axis=1), budget=lifting.budget)
            bounds.append(bound_of(net, problem, d=d))
            assert Fraction(bounds[-1]) >= exact_constant(net, problem, rng)
        assert bounds[0] < bounds[1]


@KINDS
def test_a_constant_function_has_the_bound_zero(kind):
    off = net_of([[1.0], [2.0]], [1.0, 1.0], -9.0)
    assert bound_of(off, checked_problem(off, norm="inf", center=[0.0], radius=1.0), arithmetic=kind) == 0.0
    for net in (net_of([[0.0], [0.0]], [1.0, 1.0]), net_of([[1.0], [2.0]], [0.0, 0.0])):
        assert bound_of(net, checked_problem(net), arithmetic=kind) == 0.0
    two = Network([[[1.0]], [[3.0], [3.0]]], [[0.0], [0.0, 5.0]])
    assert bound_of(two, checked_problem(two, (1, 1)), arithmetic=kind) == 0.0
    assert 0.0 <= bound_of(two, checked_problem(two, (0, 1)), arithmetic=kind) < 1e-14


@pytest.mark.parametrize("exponent", [0, 5, -5, 1023, 2000, -1074, -1080, -3000])
def test_the_units_of_the_bound_round_up(exponent):
    for value in (0.0, 1.0, 1.0 + ULP, 0.1, 2.0**-1074, 1e308):
        scaled = scale_up(value, exponent)
        true = Fraction(value) * Fraction(2) ** exponent
        assert scaled == np.inf or Fraction(scaled) >= true
    assert scale_up(-1.0, exponent) == 0.0
    assert scale_up(np.inf, exponent) == np.inf


@KINDS
def test_tiny_and_huge_networks_keep_a_sharp_bound(kind):
    """Scaling by powers of two, so far that products leave float64's range, changes nothing but the unit."""
    rng = np.random.default_rng(4)
    A, c = rng.standard_normal((4, 3)), rng.standard_normal(4)
    reference = bound_of(
        net_of(A, c), checked_problem(net_of(A, c)), d=lambda L: np.ones(L.size), arithmetic=kind
    )
    for a, b in ((-500, -500), (500, 500), (-900, 880), (-1000, 0), (0, -1000)):
        net = net_of(A * 2.0**a, c * 2.0**b)
        bound = bound_of(net, checked_problem(net), d=lambda L: np.ones(L.size), arithmetic=kind)
        assert bound == scale_up(reference, a + b)


# Planted faults: the faulty proof returns a bound below the truth, the right one does not ----------------


@cache
def misjudged():
    """One neuron, on throughout the box by less than the rounding error of A center: float64 calls it off."""
    rng = np.random.default_rng(0)
    while True:
        A, center = rng.standard_normal((1, 800)), rng.standard_normal(800)
        computed = (A @ center)[0]
        bias = -np.nextafter(computed, np.inf)
        net = net_of(A, [1.0], bias)
        problem = checked_problem(net, norm="inf", center=center, radius=1e-30)
        if exact_range(net, problem)[0][0] > 0 > computed + bias:
            return net, problem, sum(abs(a) for a in rational(A[0]))


def without_radius(operation):
    return lambda *args, **kwargs: Enclosure(operation(*args, **kwargs).mid)


def check_misjudged():
    net, problem, truth = misjudged()
    assert Fraction(bound_of(net, problem)) >= truth


def check_dust():
    """Neurons that are all on: one slope 1 and 999 of 0.49 ulp, which a running float64 sum never notices."""
    A = np.full((1000, 2), 0.49 * ULP)
    A[0] = 1.0
    net = net_of(A, np.ones(1000), 1.0)
    problem = checked_problem(net, norm="inf", center=[0.0, 0.0], radius=0.5)
    for d in (None, lambda lifting: np.zeros(lifting.size)):
        assert Fraction(bound_of(net, problem, d=d)) >= gradient_norm(net, problem, [1] * 1000)


def check_last_sliver():
    """ReLU(x - (1 - 2^-24)) on [-1, 1]: slope 1, on a sliver at the end.

    With h taken as negative,  u z >= 0  and  u (h - z) >= 0  would prove that the neuron is off.
    """
    net, problem = sliver()
    fixed = prover.presolve(net, problem)  # the name that `prove` uses
    lifting = lift(net, problem, fixed)
    weight = 1.0 / max(abs(fixed.layers[0].high[0]), 1e-9) * 2.0**-lifting.exponent
    multipliers = {
        "u.z/1": np.array([weight / 2]),
        "u.(h-z)/1": np.array([weight / 2]),
        "(1+v).(1-t)/1": np.array([2.0**-lifting.exponent / 2]),
    }
    d = np.full(lifting.size, 1e-9)
    assert Fraction(bound_of(net, problem, multipliers, d)) >= 1
    assert Fraction(bound_of(net, problem)) >= 1


def sliver():
    net = net_of([[1.0]], [1.0], -(1.0 - 2.0**-24))
    return net, checked_problem(net, norm="inf", center=[0.0], radius=1.0)


def shrunk_factor(monkeypatch, change):
    """The presolve's `high`, changed, wherever it is used: behind the proof of what a layout states."""
    original = presolve.presolve

    def faulty(net, problem, arithmetic=Enclosure, layout=None, *rest, **named):
        decided = layout if layout is None else replace(layout, low=None, high=None)
        fixed = original(net, problem, arithmetic, decided, *rest, **named)
        [layer] = fixed.layers
        return replace(fixed, layers=(replace(layer, high=change(layer.high)),))

    monkeypatch.setattr(presolve, "presolve", faulty)
    monkeypatch.setattr(prover, "presolve", faulty)


def check_last_cell():
    """ReLU(x) + ReLU(x - (1 - 2^-24)) on [-1, 1]: slope 2, in a cell at the end, where z_1 = h_1."""
    net = net_of([[1.0], [1.0]], [1.0, 1.0], [0.0, -(1.0 - 2.0**-24)])
    problem = checked_problem(net, norm="inf", center=[0.0], radius=1.0)
    assert 2 <= Fraction(best_bound(net, problem)) < 2 + Fraction(1, 10**6)


def test_planted_fault_of_a_factor_shrunk_by_a_millionth_is_caught(monkeypatch):
    check_last_cell()
    shrunk_factor(monkeypatch, lambda high: high * (1 - 1e-6))
    with pytest.raises(AssertionError):
        check_last_cell()


def test_planted_fault_of_a_factor_lowered_by_a_millionth_is_caught(monkeypatch):
    check_last_sliver()
    shrunk_factor(monkeypatch, lambda high: high - 1e-6)
    with pytest.raises(AssertionError):
        check_last_sliver()


def test_planted_fault_of_a_shrunk_factor_is_caught_point_by_point(monkeypatch):
    rng = np.random.default_rng(0)
    net = net_of(rng.standard_normal((3, 2)), [1.0, -1.0, 1.0], 0.1)
    problem = checked_problem(net, norm="inf", center=[0.0, 0.0], radius=1.0)
    for seed in range(4):
        check_families(net, problem, np.random.default_rng(seed))
    shrunk_factor(monkeypatch, lambda high: high * (1 - 1e-6))
    with pytest.raises(AssertionError):
        for seed in range(4):
            check_families(net, problem, np.random.default_rng(seed))


def test_planted_fault_of_a_pre_activation_bound_too_small_is_caught(monkeypatch):
    net, problem = sliver()
    assert Fraction(bound_of(net, problem)) >= 1
    original = presolve.preactivation_bounds

    def faulty(*args):
        [(low, high)] = original(*args)
        return [(low, high - 1e-6 * np.abs(low))]

    monkeypatch.setattr(presolve, "preactivation_bounds", faulty)
    with pytest.raises(AssertionError):
        assert Fraction(bound_of(net, problem)) >= 1


def test_planted_fault_of_sums_without_their_rounding_term_is_caught(monkeypatch):
    check_dust()
    monkeypatch.setattr(Enclosure, "sum", without_radius(Enclosure.sum))
    with pytest.raises(AssertionError):
        check_dust()


def test_planted_fault_of_dot_products_without_their_rounding_term_is_caught(monkeypatch):
    monkeypatch.setattr(interval, "_settle_exactly", lambda *_: None)  # exact arithmetic would set it right
    check_misjudged()
    monkeypatch.setattr(Enclosure, "__matmul__", without_radius(Enclosure.__matmul__))
    with pytest.raises(AssertionError):
        check_misjudged()


def test_planted_fault_of_a_unit_put_back_to_nearest_is_caught(monkeypatch):
    """A bound of 1.4 subnormal steps, scaled to nearest, becomes 1 step."""
    net = net_of([[1.4 * 2.0**-540]], [2.0**-534])

    def check():
        bound = bound_of(net, checked_problem(net), d=lambda lifting: np.zeros(lifting.size))
        assert Fraction(bound) >= gradient_norm(net, checked_problem(net), [1])

    check()
    monkeypatch.setattr(
        "hr2jax.certificate.bound.scale_up", lambda value, exponent, **_: float(np.ldexp(value, exponent))
    )
    with pytest.raises(AssertionError):
        check()


def test_planted_fault_of_unclipped_multipliers_is_caught(monkeypatch):
    net, problem = sliver()

    def check():
        lifting = lift(net, problem, presolve.presolve(net, problem))
        values = {"(1+v).(1+t)/1": np.array([-(2.0**-lifting.exponent) / 2])}
        assert Fraction(bound_of(net, problem, values, np.full(lifting.size, 1e-9))) >= 1

    check()
    monkeypatch.setattr(
        "hr2jax.relaxation.forms.np", SimpleNamespace(**{**vars(np), "maximum": lambda a, b: np.asarray(a)})
    )
    with pytest.raises(AssertionError):
        check()
