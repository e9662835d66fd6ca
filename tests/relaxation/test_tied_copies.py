"""The lifting "tensored tied": every row holds at points of smooth networks of several outputs."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import hr2jax
from hr2jax import CertificateError, Network
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.certificate import certify_multipliers
from hr2jax.certificate.lagrangian import families_of
from hr2jax.certificate.prover import prover_of
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.basis import XI, Group, S, T
from hr2jax.relaxation.copied_cuts import BALLS, CONES, CUTS, PRODUCTS, TRIANGLES
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.relaxation.tensored import Tensored, copied, is_odd
from hr2jax.relaxation.ties import ties_of
from tests.reference.copied_points import directions, extended, values_of
from tests.relaxation.test_copies import random_rows
from tests.relaxation.test_ties import KINDS, changed, point
from tests.test_smooth import SMOOTH, points_inside

PAIRS = [(p, q) for p in ("inf", 2) for q in (2, 1)]


def several(rng, names, widths):
    weights = [rng.normal(size=pair[::-1]) for pair in pairwise(widths)]
    return Network(weights, [rng.normal(size=n) for n in widths[1:]], activation=list(names))


def presolved(net, problem, **more):
    return presolve(net, problem, chains=LIFTINGS["tensored tied"], tied=True, **more)


def of_each(net, problem, lifting):
    """Per output its lifting as the tensored one has it, for `test_ties.point`."""
    fixed, K = lifting.presolve, len(problem.coefficients)
    for k, row in enumerate(problem.coefficients):
        layers = tuple(replace(x, middle={c: m.reshape(K, -1)[k] for c, m in x.middle.items()}) for x in fixed.layers)
        yield problem.along(row), replace(lifting.one, presolve=replace(fixed, layers=layers))


def copied_point(net, problem, lifting, rng):
    """(basis (N,), s^T M J t): what is odd is s times each output's."""
    s, _ = directions(rng, problem, len(lifting.presolve.directions))
    seed = int(rng.integers(2**32))
    found = [point(net, one, own, np.random.default_rng(seed)) for one, own in of_each(net, problem, lifting)]
    y = found[0][0]
    every = {copied(g): np.outer(s, y[g]).ravel() for g in lifting.one.sizes if not is_odd(g)}
    every |= {g: sum(s_k * own[g] for s_k, (own, _) in zip(s, found, strict=True))
              for g in lifting.one.sizes if is_odd(g) and g != T}  # fmt: skip
    every[T] = y[T]
    assert set(every) == set(lifting.sizes)
    return np.concatenate([every[group] for group in lifting.sizes]), float(s @ [value for _, value in found])


def posed(seed, p, q):
    """A random network and problem, presolved and lifted; None where no neuron moves."""
    rng = np.random.default_rng([seed, len(str(p)), q])
    names = [str(rng.choice(KINDS)) for _ in range(int(rng.integers(1, 4)))]
    if not set(names) & set(SMOOTH):
        names[-1] = str(rng.choice(SMOOTH))
    net = several(rng, names, (3, *rng.integers(2, 4, len(names)).tolist(), int(rng.integers(2, 4))))
    where = {"center": rng.normal(size=3), "radius": float(10.0 ** rng.uniform(-2, 0.3))}
    problem = checked_problem(net, norm=p, output_norm=q, **where)
    fixed, kind = presolved(net, problem), Arb if seed % 5 == 0 else Enclosure
    lifting = lift(net, problem, presolved(net, problem, arithmetic=kind, layout=fixed.layout()), kind)
    assert isinstance(lifting, Tensored)
    return net, problem, lifting, rng


def check(seed, p, q):
    """Squares, families, cutting planes and the objective at some points."""
    net, problem, lifting, rng = posed(seed, p, q)
    if XI not in lifting.one.sizes:
        return
    points = [copied_point(net, problem, lifting, rng) for _ in range(6)]
    near = 1e-9 * (1 + max(float(np.abs(m.magnitude()).max(initial=0.0)) for r in lifting.derived.values()
                           for m in r.values()))  # fmt: skip
    near += max([float(np.max(1e-14 * np.abs(n.middle["a"]).reshape(len(problem.coefficients), -1).max(axis=0)
                              / 2.0 ** n.reach_exponent["a"], initial=0.0))
                 for n in lifting.presolve.layers if "a" in n.middle], default=0.0)  # fmt: skip
    for basis, value in points:
        every = sum(float(basis[lifting.slice(g)] @ b.mid @ basis[lifting.slice(h)])
                    for (g, h), b in lifting.objective.items())  # fmt: skip
        assert np.isclose(every * 2.0**lifting.exponent, value, atol=near * max(1.0, abs(value)))
        squares = np.bincount(lifting.budget, basis**2)
        assert (squares <= 1 + near).all()
        np.testing.assert_allclose(squares[lifting.budget[lifting.square_is_one]], 1.0, rtol=1e-12)
    Y = extended(lifting, [basis for basis, _ in points])
    for family in families_of(lifting).values():
        count = int(np.prod(family.shape))
        for unit in np.eye(count)[:: max(count // 6, 1)]:
            value, size, _ = values_of(family.entries(lifting, unit.reshape(family.shape)), lifting, Y)
            assert (value >= -near * np.maximum(size, 1.0)).all(), family.name
            assert not family.equality or (np.abs(value) <= near * np.maximum(size, 1.0)).all(), family.name
    for record in (PRODUCTS, TRIANGLES, CONES, BALLS):
        for row in random_rows(lifting, record, rng, 20):
            value, size, error = values_of(CUTS[record](lifting, row[None]), lifting, Y)
            assert (value >= -near * size - error).all(), (record, row)


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_every_row_holds_at_points_of_the_network(p, q):
    for seed in range(3):
        check(seed, p, q)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_every_row_holds_at_points_of_many_networks(p, q):
    for seed in range(3, 300):
        check(seed, p, q)


def test_a_fault_in_the_lines_is_caught(monkeypatch):
    import hr2jax.relaxation.lifting as module

    monkeypatch.setattr(module, "ties_of", lambda *a: replace(found := ties_of(*a), reach=0.5 * found.reach))
    with pytest.raises(AssertionError):
        for seed in range(20):
            check(seed, 2, 2)


def test_a_size_of_one_output_alone_is_caught(monkeypatch):
    """W must hold for every s: of the first output's adjoints alone it is too small."""
    import hr2jax.relaxation.derivatives as module

    monkeypatch.setattr(module, "row_norms", lambda M, *a: M[:, 0])
    with pytest.raises(AssertionError):
        for seed in range(20):
            check(seed, 2, 1)


def sampled(net, problem, rng, count=300):
    """The largest operator norm of a Jacobian, by directions that are best for the last one."""
    J = problem.coefficients @ net.jacobian(points_inside(problem.domain, rng, count))
    corner = (lambda v: np.where(v < 0, -1.0, 1.0)), (lambda v: v / np.linalg.norm(v, axis=1, keepdims=True))
    s = corner[problem.output_norm != 1](rng.normal(size=J.shape[:2]))
    for _ in range(5):
        t = corner[problem.norm == 2](np.einsum("kij,ki->kj", J, s))
        s = corner[problem.output_norm != 1](np.einsum("kij,kj->ki", J, t))
    return float(np.einsum("ki,kij,kj->k", s, J, t).max())


def check_bound(seed):
    """What random multipliers prove is above every Jacobian, and verifies."""
    p, q = PAIRS[seed % 4]
    net, problem, _, rng = posed(seed, p, q)
    fixed = presolved(net, problem)
    lifting, prover = lift(net, problem, fixed), prover_of(net, problem, fixed)
    multipliers = {
        name: 0.05 * rng.exponential(size=family.shape) * (rng.choice([-1.0, 1.0]) if family.equality else 1.0)
        for name, family in families_of(lifting).items() if np.prod(family.shape)
    }  # fmt: skip
    certificate = certify_multipliers(net, problem, "hr2", fixed, multipliers, prover=prover)
    assert certificate.lifting == "tensored tied"
    assert sampled(net, problem, rng, 50) <= certificate.bound * (1 + 1e-12)
    if seed % 5 == 0:
        assert certificate.verify(net) == certificate.bound


def test_no_jacobian_is_above_the_bound():
    for seed in range(12):
        check_bound(seed)


@pytest.mark.slow
def test_no_jacobian_of_many_networks_is_above_the_bound():
    for seed in range(12, 1000):
        check_bound(seed)


@pytest.mark.parametrize(("p", "q"), PAIRS)
def test_auto_is_below_the_lifting_of_free_slopes(p, q):
    rng = np.random.default_rng(3)
    net = several(rng, ["tanh", "gelu"], (3, 4, 4, 2))
    where = {"center": 0.3 * rng.normal(size=3), "radius": 0.02, "norm": p, "output_norm": q}
    tied, free = hr2jax.solve(net, **where), hr2jax.solve(net, lifting="tensored", witness=0, **where)
    assert tied.certificate.lifting == tied.problem["lifting"] == "tensored tied"
    most = sampled(net, checked_problem(net, **where), rng)
    assert most <= tied.bound * (1 + 1e-12) and tied.lower <= tied.bound
    assert tied.bound - most <= 0.4 * (free.bound - most)
    assert tied.certificate.verify(net) <= tied.bound * (1 + 1e-9)
    if (p, q) == (2, 2):
        assert tied.certificate.verify(net, arithmetic="ball") <= tied.bound * (1 + 1e-9)


@pytest.fixture(scope="module")
def solved():
    rng = np.random.default_rng(2)
    net = several(rng, ["tanh", "relu", "silu"], (3, 4, 4, 3, 2))
    where = {"center": 0.1 * rng.normal(size=3), "radius": 0.4, "norm": 2, "output_norm": 2}
    return net, hr2jax.solve(net, lifting="tied", relaxation="hr2+", witness=0, **where).certificate


def test_cutting_planes_and_kinked_layers_are_proved_again(solved, tmp_path):
    net, certificate = solved
    assert certificate.lifting == "tensored tied" and "tensored.products/pairs" in certificate.multipliers
    certificate.save(tmp_path / "a.cert.npz")
    again = hr2jax.Certificate.load(tmp_path / "a.cert.npz")
    assert again.verify(net) == certificate.verify(net) <= certificate.bound * (1 + 1e-9)
    problem = certificate.lipschitz_problem
    assert sampled(net, problem, np.random.default_rng(0)) <= certificate.bound


def test_what_is_stated_too_small_is_refused(solved):
    net, certificate = solved
    layout = certificate.layout
    for l in (0, 1):
        stated = list(layout.reach["a"])
        stated[l] = np.ldexp(np.floor(np.ldexp(0.999 * stated[l], 40)), -40)
        with pytest.raises(CertificateError, match="derivative's bound is smaller than the one that can be proved"):
            changed(certificate, reach={"a": tuple(stated)}).verify(net)
        moved = list(layout.middle["a"])
        moved[l] = moved[l] + 0.5 * np.tile(np.ldexp(layout.reach["a"][l], layout.reach_exponent["a"][l]), 2)
        with pytest.raises(CertificateError, match="smaller than"):
            changed(certificate, middle={"a": tuple(moved)}).verify(net)
        moved[l] = moved[l][: len(moved[l]) // 2]
        with pytest.raises(CertificateError, match="middles are needed"):
            changed(certificate, middle={"a": tuple(moved)}).verify(net)
    for name in ("low", "high"):
        stated = list(getattr(layout, name))
        stated[1] = np.ldexp(np.rint(np.ldexp(0.99 * stated[1], 40)), -40)
        with pytest.raises(CertificateError, match="bound is smaller than the one that can be proved"):
            changed(certificate, **{name: tuple(stated)}).verify(net)


def test_another_name_and_other_middles_prove_nothing_false(solved):
    net, certificate = solved
    for name in ("tensored", "separate", "tied"):
        with pytest.raises(CertificateError):
            replace(certificate, lifting=name).verify(net)
    most = sampled(net, certificate.lipschitz_problem, np.random.default_rng(1))
    rng = np.random.default_rng(5)
    for _ in range(5):
        other = {
            name: rng.uniform(0.5, 1.5) * values if values.dtype == np.float64 else values
            for name, values in certificate.multipliers.items()
        }  # directions too
        assert replace(certificate, multipliers=other).verify(net) >= most


def test_what_it_is_not_for_is_refused():
    rng = np.random.default_rng(0)
    net = several(rng, ["tanh"], (3, 4, 2))
    where = {"center": np.zeros(3), "radius": 0.1, "lifting": "tied"}
    for more in ({"norm": 1, "output_norm": 2}, {"norm": 2, "method": "lowrank"}):
        with pytest.raises(NotImplementedError, match="of several outputs is for norm"):
            hr2jax.solve(net, **where, **more)
    assert hr2jax.solve(net, norm=1, output_norm="inf", witness=0, **where).bound > 0  # rows, one by one


def test_groups_are_those_of_one_output_and_of_copies():
    lifting = posed(2, 2, 2)[2]
    assert {g.kind for g in lifting.sizes} >= {"s", "sk", "sxi", "t"} and lifting.sizes[S] == lifting.outputs
    assert all(name.split("/")[1].startswith("one.") for name in families_of(lifting) if name.startswith("symmetry/"))
    odd = [g for g in lifting.derived if is_odd(g)]
    assert {g.kind for g in odd} <= {"g"} and Group("sd", 1) in lifting.derived
