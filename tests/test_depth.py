"""Several hidden layers, both norms: what is proved is never below the exact constant, and is what the relaxation says.

Most tests prove with random multipliers, which need no engine; a few networks are solved, and shared by the others.
"""

import dataclasses
import functools
import itertools
import operator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import CertificateError, Network, Status
from hr2jax.bounds.slopes.search import find_slopes
from hr2jax.certificate.certificate import Certificate, certify_multipliers
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.certificate.prover import prover_of
from hr2jax.linalg.diagonal import feasible
from hr2jax.options import CUT_NAMES, WITH_X
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.families import catalogue, preset
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.products import GLOBAL_PAIRS, LOCAL_PAIRS, PRODUCTS, FactorTable
from hr2jax.relaxation.triangles import TRIANGLES
from tests.reference.effort import examples

from .reference.brute import exact_constant
from .reference.cases import random_net
from .reference.product import every_product, every_triangle, solve_product_form

# what `exact_constant` may miss by rounding
EXACT = 1 - 1e-9
CHAINS = ("forward", "adjoint", "both")


# Random networks with the structure that trips programs up -------------------------------------------------


@st.composite
def networks(draw, depths=(1, 2, 3, 4), widest=4):
    """Width-1 layers, zero and repeated rows, dead and stable neurons, no biases, weights of very unlike sizes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    depth = draw(st.sampled_from(depths))
    widths = [draw(st.integers(1, widest)) for _ in range(depth + 1)] + [draw(st.integers(1, 2))]
    net = random_net(rng, widths, 1.0, draw(st.sampled_from([0.0, 0.3])))
    A, b = [w.copy() for w in net.weights], [v.copy() for v in net.biases]
    for l in range(depth):
        k = rng.integers(widths[l + 1])
        match draw(st.sampled_from(["nothing", "nothing", "zero", "same", "on", "off", "unbiased", "unlike"])):
            case "zero":
                A[l][k] = 0.0
            case "same":
                A[l][k], b[l][k] = A[l][0], b[l][0]
            case "on":
                b[l][k] = 100.0
            case "off":
                b[l][k] = -100.0
            case "unbiased":
                b[l][:] = 0.0
            case "unlike":
                scale = 10.0 ** rng.integers(-6, 7, widths[l + 1])
                A[l], b[l], A[l + 1] = A[l] * scale[:, None], b[l] * scale, A[l + 1] / scale
    if draw(st.integers(0, 4)) == 0:  # the function as such, its layers of absurd sizes
        powers = draw(st.sampled_from([[330, -330], [-330, 330], [200, 200], [-200, -200]]))
        for l in range(2):
            A[l], b[l] = np.ldexp(A[l], powers[l]), np.ldexp(b[l], sum(powers[: l + 1]))
        for l in range(2, depth + 1):
            b[l] = np.ldexp(b[l], sum(powers))
    return Network(A, b), rng


@st.composite
def questions(draw, depths=(1, 2, 3, 4)):
    """(net, problem, rng): an output of any kind, either norm, globally or on a ball, zeros among a box' radii."""
    net, rng = draw(networks(depths))
    outputs, p = net.widths[-1], net.widths[0]
    output = draw(st.sampled_from([0, outputs - 1, (0, outputs - 1), rng.standard_normal(outputs)]))
    norm = draw(st.sampled_from(["inf", 2]))
    if draw(st.booleans()):
        return net, checked_problem(net, output, norm), rng
    radius = draw(st.sampled_from([0.01, 0.3, 3.0]))
    if norm == "inf" and draw(st.booleans()):
        radius = radius * rng.integers(0, 2, p)
        radius[rng.integers(p)] = 0.3
    return net, checked_problem(net, output, norm, rng.standard_normal(p), radius), rng


def exact(net, problem):
    """The constant by enumeration, in a network scaled to sizes that it can take: a power of two per layer."""
    if not all(A.any() for A in net.weights):
        return 0.0
    powers = [int(np.frexp(np.abs(A).max())[1]) for A in net.weights]
    A = [np.ldexp(A, -k) for A, k in zip(net.weights, powers, strict=True)]
    b = [np.ldexp(v, -sum(powers[: l + 1])) for l, v in enumerate(net.biases)]
    return float(np.ldexp(exact_constant(Network(A, b), problem), sum(powers)))


def power(problem):
    """Of the dual norm that is rational."""
    return 1 if problem.norm == "inf" else 2


def attained(net, problem, x):
    """The dual norm of the gradient at x, squared for norm 2, in rational arithmetic."""
    v = [Fraction(float(value)) for value in x]
    J = [[Fraction(int(i == j)) for j in range(len(v))] for i in range(len(v))]
    for l, (A, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        rows = [[Fraction(float(a)) for a in row] for row in A]
        z = [sum(map(operator.mul, row, v)) + Fraction(float(s)) for row, s in zip(rows, b, strict=True)]
        J = [[sum(map(operator.mul, row, column)) for column in zip(*J, strict=True)] for row in rows]
        if l < net.depth:
            assert all(s or not any(g) for s, g in zip(z, J, strict=True))  # inside a region
            v = [max(s, Fraction(0)) for s in z]
            J = [g if s > 0 else [Fraction(0)] * len(g) for s, g in zip(z, J, strict=True)]
    c = [Fraction(float(value)) for value in problem.coefficients]
    gradient = [sum(map(operator.mul, c, column)) for column in zip(*J, strict=True)]
    return sum(abs(g) ** power(problem) for g in gradient)


def random_multipliers(lifting, rng, share=0.7):
    """Of families, triangles and products, of sizes from 0 to far too large, some of them negative."""
    size = 10.0 ** rng.uniform(-4, 1)
    out = {}
    for name, family in catalogue(lifting).items():
        shape = family.shape
        if rng.random() < share:
            out[name] = size * rng.standard_normal(shape) * rng.integers(0, 2, shape)
    count = int(rng.integers(6))
    if lifting.size >= 3 and count:
        corners = np.array([rng.choice(lifting.size, 3, replace=False) + 1 for _ in range(count)])
        signs = rng.choice([-1.0, 1.0], corners.shape)
        out[TRIANGLES] = np.column_stack([corners * signs, size * rng.random(count)])
    factors = FactorTable(lifting).count
    if lifting.presolve.depth > 1 and count and factors:
        out[PRODUCTS] = np.column_stack([rng.integers(0, factors, (count, 2)), size * rng.random(count)])
    return out


def prove_something(net, problem, rng, chains, method="interval"):
    """A certificate of random multipliers with a diagonal that makes them prove something."""
    slopes = None
    if problem.is_local and net.depth > 1 and method != "interval":
        slopes = find_slopes(net, problem, method, seconds=0.05)
    fixed = presolve(net, problem, slopes=slopes, chains=LIFTINGS[chains])
    lifting = lift(net, problem, fixed)
    multipliers = random_multipliers(lifting, rng)
    with np.errstate(all="ignore"):
        M = lagrangian_matrix(lifting, multipliers).middle()
    diagonal = None
    if M.is_finite():
        d = rng.random(lifting.size) * max(M.largest(), 1e-300)
        diagonal = feasible(M, d, lifting.budget if lifting.balls else None)
    return certify_multipliers(net, problem, "hr2+", fixed, multipliers, diagonal)


def absurd(error):
    """Whether a network was refused for its sizes."""
    return "overflow" in str(error) or "float64" in str(error) or "2**" in str(error)


@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(questions(), st.sampled_from(CHAINS), st.sampled_from(["interval", "linear"]))
def test_any_multipliers_prove_a_bound(case, chains, method):
    net, problem, rng = case
    try:
        certificate = prove_something(net, problem, rng, chains if net.depth > 1 else "forward", method)
    except ValueError as error:
        assert absurd(error), error
        assume(False)
    least = exact(net, problem)
    assert certificate.bound >= least * EXACT
    if np.isfinite(certificate.bound):
        assert certificate.verify(net) >= least * EXACT
        if rng.random() < 0.2:
            assert certificate.verify(net, arithmetic="ball") >= least * EXACT


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(questions())
def test_baselines_and_lower_bounds_enclose_the_constant(case):
    """No engine: interval arithmetic, norm products, the search for a witness."""
    net, problem, _ = case
    least = exact(net, problem)
    ask = dict(output=problem.coefficients, norm=problem.norm, domain=problem.domain if problem.is_local else None)
    for relaxation in ("interval", "product"):
        try:
            result = hr2jax.solve(net, relaxation=relaxation, time_limit=0.1, bounds="interval", **ask)
        except ValueError as error:
            assert absurd(error) or "exceeds" in str(error), error
            continue
        assert result.lower <= result.bound
        # the enumeration misses regions that are as thin as these networks' can be; the witness' own is what counts
        if result.witness is not None and result.lower > 0:
            assert Fraction(result.lower) ** power(problem) <= attained(net, problem, result.witness)
        assert least * EXACT <= result.bound
        assert result.certificate.verify(net) == result.bound


# Solved networks ----------------------------------------------------------------------------------------------

# (depth, norm, local, lifting): few, since every shape is compiled
SOLVED = [(2, "inf", False, "both"), (2, 2, True, "adjoint"), (3, "inf", True, "forward"), (2, "inf", True, "forward")]
NAMES = ["-".join(map(str, case)) for case in SOLVED]
# in the lean suite the two of each norm that take least
CUT = [
    pytest.param(case, id=name, marks=[] if case in SOLVED[:2] else [pytest.mark.slow])
    for case, name in zip(SOLVED, NAMES, strict=True)
]
WIDTHS = {2: (4, 4, 4, 1), 3: (3, 3, 3, 2, 1)}


@functools.cache
def example(depth, norm, local):
    """(net, keyword arguments, problem, exact)."""
    rng = np.random.default_rng(8)
    net = random_net(rng, WIDTHS[depth])
    p = net.widths[0]
    ask = {"norm": norm} | ({"center": 0.3 * rng.standard_normal(p), "radius": 1.0} if local else {})
    problem = checked_problem(net, **ask)
    return net, ask, problem, exact_constant(net, problem)


@functools.cache
def solved(depth, norm, local, lifting, relaxation="hr2+", cuts=None, method="auto"):
    net, ask, _, _ = example(depth, norm, local)
    more = dict(cuts=cuts, method=method)
    return hr2jax.solve(net, relaxation=relaxation, lifting=lifting, bounds="linear", **more, **ask)


def lifted(depth, norm, local, lifting):
    """What `solve` lifts."""
    net, _, problem, _ = example(depth, norm, local)
    slopes = find_slopes(net, problem, "linear") if local else None
    return lift(net, problem, presolve(net, problem, slopes=slopes, chains=LIFTINGS[lifting]))


@pytest.mark.parametrize("case", SOLVED, ids=NAMES)
def test_lower_exact_and_bound_are_in_this_order(case):
    net, _, _, constant = example(*case[:3])
    result = solved(*case)
    assert result.status is Status.SOLVED
    assert result.lower <= constant / EXACT
    assert constant * EXACT <= result.bound <= 1.5 * constant
    assert result.lower >= 0.999 * constant  # so small a network is searched through
    assert result.certificate.verify(net) == pytest.approx(result.bound, rel=1e-12)
    ball = result.certificate.verify(net, arithmetic="ball")
    assert constant * EXACT <= ball == pytest.approx(result.bound, rel=1e-9)


@pytest.mark.parametrize(("case", "relaxation"), [(SOLVED[0], "hr2"), (SOLVED[1], "shor"), (SOLVED[2], "hr2")])
def test_values_agree_with_an_interior_point_solve(case, relaxation):
    lifting = lifted(*case)
    families = preset(relaxation, lifting)
    optimum = np.ldexp(solve_product_form(lifting, families)[0], lifting.exponent)
    result = solved(*case, relaxation)
    assert result.status is Status.SOLVED
    assert optimum * (1 - 1e-6) <= result.bound <= optimum * (1 + 2e-3)
    assert result.relaxation_value == pytest.approx(optimum, rel=2e-3)


@functools.cache
def optimum_of_all_cuts(depth, norm, local, lifting):
    """By an interior-point solve with all products and triangles at once."""
    lifted_problem = lifted(depth, norm, local, lifting)
    extra = [
        *every_product(lifted_problem, LOCAL_PAIRS if local else GLOBAL_PAIRS),
        *every_triangle(lifted_problem, ("T.U", "U.U", "T.X0", "X0.U", "triangles")),
    ]
    value = solve_product_form(lifted_problem, preset("hr2+", lifted_problem), extra=extra, tolerance=1e-7)[0]
    return np.ldexp(value, lifted_problem.exponent)


@pytest.mark.parametrize(("method", "above"), [("newton", 3e-3), ("lowrank", 0.02)])
@pytest.mark.parametrize("case", CUT)
def test_cutting_planes_reach_the_whole_pools_value(case, method, above):
    """All products and triangles at once, against those that were separated; of the rest there is none."""
    optimum = optimum_of_all_cuts(*case)
    cuts = tuple(name for name in CUT_NAMES if name not in ("cones", *WITH_X))
    result = solved(*case, cuts=cuts, method=method)
    assert result.status is Status.SOLVED
    assert optimum * (1 - 1e-5) <= result.bound <= optimum * (1 + above)


@pytest.mark.parametrize("case", [SOLVED[0], SOLVED[2]])
def test_a_tighter_relaxation_has_no_larger_bound(case):
    bounds = [solved(*case, relaxation).bound for relaxation in ("shor", "hr2", "hr2+")]
    assert bounds[2] <= bounds[1] * (1 + 1e-3)
    assert bounds[1] <= bounds[0] * (1 + 1e-3)
    assert bounds[2] < bounds[0] * (1 - 1e-3)


def test_cuts_never_loosen():
    """The same network with none, with products, with everything."""
    case = SOLVED[0]
    none, some, everything = (solved(*case, "hr2+", cuts).bound for cuts in ((), ("T.V", "T.U"), None))
    assert everything <= some * (1 + 2e-3)
    assert some <= none * (1 + 2e-3)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_bounds_hold_at_sampled_points(norm):
    net, _, problem, _ = example(2, norm, True)
    case = next(case for case in SOLVED if case[1:3] == (norm, True) and case[0] == 2)
    result = solved(*case)
    rng = np.random.default_rng(0)
    xi = rng.standard_normal((2000, net.widths[0]))
    xi = np.clip(xi, -1, 1) if norm == "inf" else xi / np.maximum(np.linalg.norm(xi, axis=1, keepdims=True), 1)
    gradients = np.array([net.gradient(x, 0) for x in problem.domain.center + problem.domain.radius * xi])
    dual = np.abs(gradients).sum(axis=1) if norm == "inf" else np.linalg.norm(gradients, axis=1)
    assert dual.max() <= result.bound
    assert result.bound <= 1.5 * dual.max()


@pytest.mark.parametrize("local", [False, True])
def test_one_hidden_layer_in_the_euclidean_norm(local):
    """Globally against the largest singular values by enumeration; the ball lies in the box of its radius."""
    rng = np.random.default_rng(1)
    net = random_net(rng, (4, 4, 1))
    ask = {"center": 0.3 * rng.standard_normal(4), "radius": 0.6} if local else {}
    constant = exact_constant(net, checked_problem(net, norm=2, **ask))
    result = hr2jax.solve(net, norm=2, relaxation="hr2", **ask)
    assert constant * EXACT <= result.bound <= 1.2 * constant
    assert result.lower <= constant / EXACT


# Certificates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", SOLVED, ids=NAMES)
def test_a_certificate_survives_a_file_and_fits_its_network_only(case, tmp_path):
    net, *_ = example(*case[:3])
    certificate = solved(*case).certificate
    certificate.save(tmp_path / "deep.npz")
    again = Certificate.load(tmp_path / "deep.npz")
    assert again.verify(net) == certificate.verify(net)
    assert again.bound == certificate.bound
    weights = [A.copy() for A in net.weights]
    weights[1][0, 0] = np.nextafter(weights[1][0, 0], 2.0)
    with pytest.raises(CertificateError, match="another network"):
        again.verify(Network(weights, net.biases))
    for other in ({"norm": 2 if case[1] == "inf" else "inf"}, {"radius": 0.9}, {"output": [2.0]}):
        with pytest.raises(CertificateError):
            again.verify(net, **other)


def mixed(layout, rng):
    """The neurons of a layer in another order, or fewer of them; or bounds and a unit moved on their grids."""
    kind, at = rng.choice(["order", "fewer", "bounds", "reach", "unit"]), int(rng.integers(len(layout.unstable)))
    if kind == "unit":
        return dataclasses.replace(layout, unit=layout.unit + int(rng.choice([-900, -3, 1, 900])))
    if kind == "reach":
        by = float(rng.choice([-1.0, 1.0])) * 2.0 ** -int(rng.integers(1, 41))
        reach = {c: tuple(np.clip(w + by, 0.0, 1.0) for w in of_layers) for c, of_layers in layout.reach.items()}
        return dataclasses.replace(layout, reach=reach)
    if kind == "bounds":
        by = float(rng.choice([-1.0, 1.0])) * 2.0 ** -int(rng.integers(1, 41))
        low = tuple(np.clip(l - by, -1.0, 1.0) for l in layout.low)
        return dataclasses.replace(layout, low=low, high=tuple(np.clip(h + by, -1.0, 1.0) for h in layout.high))
    n = len(layout.unstable[at])
    order = rng.permutation(n)[: n if kind == "order" else rng.integers(n + 1)]
    names = ("unstable", "exponent", "low", "high")

    def chosen(values, l):
        return values[order] if l == at and len(values) == n else values

    parts = {m: tuple(chosen(v, l) for l, v in enumerate(getattr(layout, m))) for m in names}
    for name in ("reach", "reach_exponent"):
        of_chains = getattr(layout, name).items()
        parts[name] = {c: tuple(chosen(v, l) for l, v in enumerate(of_layers)) for c, of_layers in of_chains}
    return dataclasses.replace(layout, **parts)


def tampered(certificate, rng):
    """The certificate with one of its parts changed, in one of many ways."""
    layout, change = certificate.layout, dataclasses.replace

    def noisy(values):
        values = np.array(values, dtype=float)
        match int(rng.integers(6)):
            case 0:
                return values * 10.0 ** rng.uniform(-3, 3)
            case 1:
                return values + 10.0 ** rng.uniform(-6, 2) * rng.standard_normal(values.shape)
            case 2:
                return -values
            case 3:
                return values[: len(values) // 2]
            case 4:
                values.flat[rng.integers(max(values.size, 1)) : None][:1] = rng.choice([np.nan, np.inf, 1e308, -1e308])
                return values
            case _:
                return rng.permutation(values)

    def shifted(groups, by):
        at = int(rng.integers(len(groups)))
        return tuple(values + by if l == at else values for l, values in enumerate(groups))

    match int(rng.integers(8)):
        case 0 | 1:
            numbers = [name for name, values in certificate.multipliers.items() if values.dtype == np.float64]
            name = rng.choice(numbers)
            changed = {name: noisy(certificate.multipliers[name])}
            return change(certificate, multipliers=certificate.multipliers | changed)
        case 2:
            group = rng.choice(list(certificate.diagonal))
            return change(certificate, diagonal=certificate.diagonal | {group: noisy(certificate.diagonal[group])})
        case 3:
            by = int(rng.choice([-40, -2, -1, 1, 5, 600]))
            return change(certificate, layout=change(layout, exponent=shifted(layout.exponent, by)))
        case 4:
            chain = rng.choice(list(layout.reach_exponent))
            by = int(rng.choice([-40, -2, -1, 1, 5, 600]))
            scales = layout.reach_exponent | {chain: shifted(layout.reach_exponent[chain], by)}
            return change(certificate, layout=change(layout, reach_exponent=scales))
        case 5:
            return change(certificate, layout=mixed(layout, rng))
        case 6:
            slopes = dict(certificate.slopes or {(2, 1): np.zeros(4)})
            if slopes:
                name = list(slopes)[rng.integers(len(slopes))]
                slopes[name] = noisy(slopes[name])
            return change(certificate, slopes=rng.choice([None, slopes]))
        case _:
            return change(certificate, lifting=rng.choice(["forward", "adjoint", "both", "lipsdp", "values"]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", SOLVED, ids=NAMES)
def test_a_tampered_certificate_proves_no_less_than_the_constant(case):
    net, _, _, constant = example(*case[:3])
    certificate = solved(*case).certificate
    assert certificate.verify(net) < 1.5 * constant
    rng, proved = np.random.default_rng(3), 0
    count = examples(200)
    for _ in range(count):
        other = certificate
        for _ in range(int(rng.integers(1, 3))):
            other = tampered(other, rng)
        try:
            bound = other.verify(net)
        except CertificateError:
            continue
        proved += 1
        assert bound >= constant * EXACT
    assert 0.15 * count < proved < count  # some of each


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_random_networks_against_brute_force(seed):
    """bench/depth.py does more of it; here are the outputs, radii and structures that it has not."""
    rng = np.random.default_rng(seed)
    net = random_net(rng, [*rng.integers(1, 6, rng.integers(3, 6)), 2], 1.0, rng.choice([0.0, 0.3]))
    p = net.widths[0]
    for norm in ("inf", 2):
        for local in (False, True):
            radius = rng.choice([0.0, 0.5, 2.0], p) if norm == "inf" else 0.7
            if norm == "inf":
                radius[rng.integers(p)] = 0.4
            ask = {"center": rng.standard_normal(p), "radius": radius} if local else {}
            problem = checked_problem(net, (0, 1), norm, **ask)
            constant = exact_constant(net, problem)
            chosen = dict(relaxation=rng.choice(["shor", "hr2", "hr2+"]), lifting=rng.choice(CHAINS))
            chosen["method"] = rng.choice(["auto", "lowrank"])
            result = hr2jax.solve(net, output=(0, 1), norm=norm, **chosen, **ask)
            assert result.lower <= constant / EXACT
            assert result.bound >= constant * EXACT
            assert result.certificate.verify(net) >= constant * EXACT


# But for the exponent where it happened, the lifting that has both chains is enough for everyday.
BELOW = (-4, -1, 0, 1, 4)
NEAR = [("forward", 0), ("adjoint", 0), *itertools.product(("both",), BELOW)]
FAR = [pytest.param(*case, marks=pytest.mark.slow) for case in itertools.product(CHAINS, BELOW) if case not in NEAR]


@pytest.mark.parametrize(("lifting", "below"), [*NEAR, *FAR])
def test_a_path_beyond_every_exponent_does_not_cancel_another(lifting, below, tmp_path):
    """62 layers of subnormal weights: a slope of 2^-65536 once counted as one of order 1; 1e-14 was proved of 1/2."""
    exponents = [-1073] * 61 + [below - 65536 + 61 * 1073]
    first = [float(np.ldexp(0.5, e)) for e in exponents]
    weights = [np.array([[first[0]], [1.0]]), *(np.diag([w, 1.0]) for w in first[1:]), np.array([[-0.5, 0.5]])]
    net = Network(weights, [np.array([1.0, 2.0])] * 62 + [np.zeros(1)])
    assert abs(net.gradient([0.1])[0]) == 0.5
    problem = checked_problem(net, center=[0.0], radius=0.5)
    fixed = presolve(net, problem, chains=LIFTINGS[lifting])
    size, prover = lift(net, problem, fixed).size, prover_of(net, problem, fixed)
    for d in (0.0, 0.3):
        certificate = certify_multipliers(net, problem, "shor", fixed, {}, np.full(size, d), prover=prover)
        assert certificate.bound >= 0.5
        certificate.save(tmp_path / "c.npz")
        assert Certificate.load(tmp_path / "c.npz").verify(net, arithmetic="ball") >= 0.5
