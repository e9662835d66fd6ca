"""Trees of cases: whatever their cuts and slopes are, what they prove holds, or they are refused."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError, graph
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds import cases, preactivation_bounds
from hr2jax.bounds.slopes.search import find_slopes
from hr2jax.engines.cases.search import Search
from hr2jax.problem import checked_problem
from hr2jax.relaxation.neurons import masks
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from tests.reference.brute import exact_constant
from tests.reference.cases import exact, random_net
from tests.reference.certificates import entries_of, proves_nothing_false, with_first, write
from tests.reference.effort import examples
from tests.reference.general import gradient, is_at_most, member, pre_activations
from tests.reference.section_points import random_kinked

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
regions = pytest.importorskip("regions")

LEAF, EMPTY = cases.LEAF, cases.EMPTY


def random_tree(rng, width, most=8):
    """A tree of at most so many cuts, in preorder."""
    cuts = [0]

    def node(free):
        if not len(free) or cuts[0] >= most or rng.random() < 0.3:
            return [LEAF]
        cuts[0] += 1
        k = int(rng.choice(free))
        rest = free[free != k]
        return [k, *node(rest), *node(rest)]

    return np.array(node(np.arange(width)), dtype=np.int64)


def domains(rng, n):
    """A box, some of its inputs fixed, or a ball."""
    center, radius = rng.standard_normal(n), float(rng.choice([0.1, 0.5, 2.0]))
    shape = rng.choice(["box", "inf", "2", "1"])
    if shape != "box":
        return hr2jax.Ball(center, radius, shape)
    widths = radius * rng.random(n) * (rng.random(n) < 0.8)
    widths[0] = radius
    return hr2jax.Box(center - widths, center + widths)


def points(rng, domain, count):
    """Points of the domain, exact, faces and corners among them."""
    for _ in range(count):
        xi = rng.uniform(-1, 1, len(domain.center))
        xi = np.where(rng.random(len(xi)) < 0.3, np.sign(xi), xi)
        if domain.shape != "inf":
            xi /= max(1.0, np.linalg.norm(xi, domain.shape)) * (1 + 1e-12)
        x = domain.into(domain.center + domain.radius * xi)
        assert domain.contains(x)
        yield exact(x)


def prepared(net, problem, slopes=None):
    """What `cases_constant` takes beside the tree."""
    fixed = presolve(net, problem, slopes=slopes, chains=LIFTINGS["none"])
    return fixed.directions, *masks(net, fixed.layers), preactivation_bounds(net, problem, slopes)


def z_of_sources(net, x):
    """The exact pre-activations of the neurons that cases are told by."""
    z = pre_activations(member(net, None), x)
    return np.concatenate([z[k - 1] for k in graph.sources(net.layers)])


@pytest.mark.parametrize("kind", [Enclosure, Enclosure, Arb])
@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_constant_of_any_tree_is_above_every_gradient(kind, seed):
    rng = np.random.default_rng(seed)
    net, norm = random_kinked(rng), ["inf", 2, 1][rng.integers(3)]
    c = rng.standard_normal(net.widths[-1])
    problem = checked_problem(net, c, norm, domain=domains(rng, net.widths[0]))
    tree = random_tree(rng, cases.width_of(net))
    bound = cases.cases_constant(net, problem, *prepared(net, problem), tree, np.zeros((0, cases.width_of(net))), kind)
    free = problem.domain.free(net.widths[0])
    for x in points(rng, problem.domain, 6):
        g = gradient(member(net, rng), x, exact(c))
        if g is not None:
            assert max(abs(g[free])) <= bound if norm == 1 else is_at_most(g[free], norm, bound)


@pytest.mark.parametrize("kind", [Enclosure, Enclosure, Arb])
@settings(max_examples=examples(150), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_case_that_a_point_is_in_is_proved_to_be_empty(kind, seed):
    """Whatever the slopes are, those of a program and what it says of signs among them, times any factor."""
    rng = np.random.default_rng(seed)
    net = random_kinked(rng)
    problem = checked_problem(net, np.ones(net.widths[-1]), domain=domains(rng, net.widths[0]))
    bounds, width = preactivation_bounds(net, problem), cases.width_of(net)
    search = search_of(net, problem)
    for x in points(rng, problem.domain, 3):
        z = z_of_sources(net, x)
        own = np.array([(v > 0) - (v < 0) for v in z], dtype=np.int8)
        own = np.where(own == 0, rng.choice([-1, 1], width), own).astype(np.int8)
        signs = np.where(rng.random((5, width)) < 0.6, own, 0).astype(np.int8)
        lines = rng.random(signs.shape) * 10.0 ** rng.choice([-3, 0, 0, 1], signs.shape)
        wrong = np.where(rng.random(signs.shape) < 0.2, -signs, signs)  # of which a program may prove something
        lines[:3] = search.programs.solve(wrong).slopes[:3]
        lines = np.where(signs == 0, np.clip(lines, 0.0, 1.0), lines)
        assert (cases.emptiness(net, problem, bounds, signs, lines, kind) <= 0.0).all()


def ties(sign=1.0):
    """A network whose first neuron, x_1 + x_2 -+ 2, is 0 in a corner of its box and on one side elsewhere."""
    A, C = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, -1.0]]), np.array([[1.0, 1.0, 1.0], [1.0, -1.0, 1.0]])
    net = hr2jax.Network([A, C, np.ones((1, 2))], [sign * np.array([-2.0, -1.0, 0.0]), np.zeros(2), np.zeros(1)])
    return net, checked_problem(net, center=np.zeros(2), radius=1.0)


@pytest.mark.parametrize("kind", [Enclosure, Arb])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("off", [0.0, 4e-16])
def test_a_case_that_a_sign_of_a_stable_neuron_refutes_is_empty_in_every_arithmetic(kind, sign, off):
    """Where a kink is on the domain's border, a neuron may switch up to rounding, and be stable in balls."""
    net, problem = ties(sign)
    bounds = preactivation_bounds(net, problem)
    bounds[0][sign > 0][0] = sign * off  # the upper end, or the lower
    signs = np.array([[sign, -sign, 0, 0, 0]], dtype=np.int8)  # z_1 >= 0 and z_2 <= 0, though z_1 = z_2 - 1
    found = cases.emptiness(net, problem, bounds, signs, np.abs(signs).astype(float), kind)
    assert 0.99 < found[0] <= 1.0


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_proved_of_a_case_hangs_on_no_rounding_of_a_signs_bounds(seed):
    """A neuron that has a sign is what that says, whether its bounds end at 0 or a little beyond."""
    rng = np.random.default_rng(seed)
    net = random_kinked(rng)
    problem = checked_problem(net, np.ones(net.widths[-1]), domain=domains(rng, net.widths[0]))
    bounds, width = preactivation_bounds(net, problem), cases.width_of(net)
    signs = rng.integers(-1, 2, (6, width)).astype(np.int8)
    signs[:, : net.widths[1]] = rng.choice([-1, 1], (6, net.widths[1]))
    slopes = rng.random(signs.shape)
    low, high = bounds[0]
    low, high = np.minimum(low, -0.1), np.maximum(high, 0.1)
    is_on = rng.random(len(low)) < 0.5  # as if they were so on this domain
    found = []
    for off in (0.0, 1e-14):
        pair = np.where(is_on, -off, low), np.where(is_on, high, off)
        found.append(cases.emptiness(net, problem, [pair, *bounds[1:]], signs, slopes))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", [Enclosure, Arb])
def test_a_case_of_which_nothing_is_proved_is_not_empty(kind):
    """In balls 0 is 0: what is at or above it proves nothing."""
    net, problem = ties()
    tree = np.array([1, LEAF, EMPTY], dtype=np.int64)
    with pytest.raises(ValueError, match="cannot be proved to be empty"):
        cases.cases_constant(net, problem, *prepared(net, problem), tree, np.zeros((1, 5)), kind)


def search_of(net, problem, slopes=None):
    free, on, off, bounds = prepared(net, problem, slopes)
    return Search(net, problem, free, on, off, bounds, problem.domain.center[None])


def test_emptiness_is_proved_where_it_is_so():
    """Of all patterns that no points are known of programs prove most to be empty, and none of the others."""
    rng = np.random.default_rng(3)
    for shape in ("inf", 2, 1):
        net = random_net(rng, (2, 4, 4, 1))
        problem = checked_problem(net, domain=hr2jax.Ball(np.zeros(2), 2.0, shape))
        search, bounds = search_of(net, problem), preactivation_bounds(net, problem)
        open_ = search.programs.open
        signs = np.zeros((2 ** len(open_), 8), dtype=np.int8)
        signs[:, open_] = list(itertools.product((-1, 1), repeat=len(open_)))
        found = search.programs.solve(signs)
        seen = (signs[:, None, open_] == search.patterns[None][..., open_]).all(axis=2).any(axis=1)
        is_empty = found.tau > 1e-6
        assert len(open_) > 5 and seen.sum() > 5 and not (seen & is_empty).any()
        assert is_empty.sum() >= 0.9 * (~seen).sum()
        assert (cases.emptiness(net, problem, bounds, signs[is_empty], found.slopes[is_empty]) > 5e-7).all()


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_whole_tree_is_the_constant(seed):
    rng = np.random.default_rng(seed)
    net = random_net(rng, [(2, 5, 4, 1), (3, 4, 4, 1), (2, 3, 3, 3, 1), (3, 7, 1)][rng.integers(4)])
    norm, center = ["inf", 2][rng.integers(2)], rng.standard_normal(net.widths[0])
    problem = checked_problem(net, None, norm, center, float(rng.choice([0.3, 1.0])))
    search = search_of(net, problem)
    assert search.run(0.0, 10**6, lambda: False)
    tree, slopes = search.tree()
    bound = cases.cases_constant(net, problem, *prepared(net, problem), tree, slopes)
    constant = exact_constant(net, problem)
    assert constant * (1 - 1e-9) <= bound <= constant * (1 + 1e-6) + 1e-12
    assert bound == pytest.approx(search.bound, rel=1e-9)


@pytest.mark.parametrize("norms", [(2, 2), ("inf", "inf"), (1, 1), (1, 2), (2, "inf")])
def test_of_several_outputs_too(norms):
    """The largest operator norm over all regions."""
    net = random_net(np.random.default_rng(7), (3, 5, 4, 2))
    box = hr2jax.Box(-np.ones(3), np.ones(3))
    problem = checked_problem(net, norm=norms[0], output_norm=norms[1], domain=box)
    search = search_of(net, problem)
    assert search.run(0.0, 10**6, lambda: False)
    bound = cases.cases_constant(net, problem, *prepared(net, problem), *search.tree())
    constant = regions.exact_constant(net, *norms, domain=box)
    assert constant * (1 - 1e-12) <= bound <= constant * (1 + 1e-9)


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_of_several_outputs_any_tree_is_above_every_jacobian(seed):
    """Of few cuts, whose Jacobians are far from known: a norm is one of a matrix and of what that may be off by."""
    rng = np.random.default_rng(seed)
    net, norms = random_net(rng, (2, 4, 3, 3)), [["inf", 2, 1][k] for k in rng.integers(3, size=2)]
    problem = checked_problem(net, norm=norms[0], output_norm=norms[1], domain=domains(rng, 2))
    tree = random_tree(rng, cases.width_of(net), 2)
    bound = cases.cases_constant(net, problem, *prepared(net, problem), tree, np.zeros((0, 7)))
    free = problem.domain.free(2)
    x = [x.astype(float) for x in points(rng, problem.domain, 40)]
    for J in net.jacobian(np.array(x))[:, :, free]:
        assert regions.operator_norm(J, *norms) <= bound * (1 + 1e-12)


@pytest.mark.parametrize(("tree", "slopes", "message"), [
    ([0, LEAF], 0, "fewer leaves"), ([LEAF, LEAF], 0, "end with its last leaf"), ([], 0, "a vector of at most"),
    ([0, 0, LEAF, LEAF, LEAF], 0, "that has a sign"), ([3, LEAF, LEAF], 0, "must be neurons"),
    ([-3], 0, "must be neurons"), ([0, LEAF, EMPTY], 0, "slopes of empty cases"), ([LEAF], 1, "slopes of empty cases"),
    ([[LEAF]], 0, "a vector of at most"), ([0.0, LEAF, LEAF], 0, "a vector of at most"),
])  # fmt: skip
def test_what_is_no_tree_is_refused(tree, slopes, message):
    tree = np.array(tree, dtype=None if tree and isinstance(tree[0], float) else np.int64)
    with pytest.raises(ValueError, match=message):
        cases.decode(tree, np.zeros((slopes, 3)), 3)


def test_slopes_are_taken_as_far_as_they_are_some():
    """Whatever a file says: lines from 0 to 1, and of a neuron with a sign no b below 0."""
    tree, slopes = np.array([1, LEAF, EMPTY], dtype=np.int64), np.array([[-0.5, -3.0, 7.0], [0.25, 4.0, 1.0]])
    for given_, taken in zip(slopes, [[0.0, 0.0, 1.0], [0.25, 4.0, 1.0]], strict=True):
        np.testing.assert_array_equal(cases.decode(tree, given_[None], 3).slopes, [taken])


@settings(max_examples=examples(200), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_leaves_have_each_pattern_once(seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 6))
    tree = random_tree(rng, width, 12)
    tree = np.where((tree == LEAF) & (rng.random(len(tree)) < 0.4), EMPTY, tree)
    found = cases.decode(tree, np.zeros(((tree == EMPTY).sum(), width)), width)
    signs = np.vstack([found.signs, found.empty])
    patterns = np.array(list(itertools.product((-1, 1), repeat=width)))
    has = ((signs[:, None] == 0) | (signs[:, None] == patterns[None])).all(axis=2).sum(axis=0)
    assert (has == 1).all()


@pytest.fixture(scope="module")
def proved():
    """A certificate whose tree has empty cases."""
    from hr2jax.certificate.certificate import certify_multipliers

    net, where = random_net(np.random.default_rng(4), (3, 5, 5, 1)), {"center": [0.3, -0.2, 0.1], "radius": 0.8}
    problem = checked_problem(net, **where)
    slopes = find_slopes(net, problem, "split")
    search = search_of(net, problem, slopes)
    assert search.run(0.0, 10**6, lambda: False)
    tree, lines = search.tree()
    fixed = presolve(net, problem, slopes=slopes, chains=LIFTINGS["none"])
    certificate = certify_multipliers(net, problem, "hr2+", fixed, {cases.TREE: tree, cases.SLOPES: lines})
    assert len(lines) > 3
    return net, certificate, exact_constant(net, problem)


def test_a_certificate_of_cases_verifies_in_both_arithmetics(proved, tmp_path):
    net, certificate, constant = proved
    certificate.save(tmp_path / "cases.npz")
    loaded = Certificate.load(tmp_path / "cases.npz")
    assert constant * (1 - 1e-9) <= loaded.verify(net) == certificate.bound <= constant * (1 + 1e-9)
    assert loaded.verify(net, arithmetic="ball") == pytest.approx(certificate.bound, rel=1e-9)


def test_a_tree_that_takes_minutes_to_verify_is_refused_at_once():
    """Of 4096 leaves, some kilobytes in a file: a leaf takes a multiplication for each entry, input and value."""
    net = random_net(np.random.default_rng(0), (40, 300, 300, 1))
    problem = checked_problem(net, center=np.zeros(40), radius=1.0)

    def whole(depth, k=0):
        return [LEAF] if k == depth else [k, *whole(depth, k + 1), *whole(depth, k + 1)]

    free, masks_of = np.arange(40), [np.zeros(300, dtype=bool)] * 2
    bounds = preactivation_bounds(net, problem)
    none = np.zeros((0, 600))
    few = np.array(whole(3), dtype=np.int64)
    assert cases.cases_constant(net, problem, free, masks_of, masks_of, bounds, few, none) > 0.0
    with pytest.raises(ValueError, match="multiplications"):
        cases.cases_constant(net, problem, free, masks_of, masks_of, bounds, np.array(whole(12), dtype=np.int64), none)
    with pytest.raises(ValueError, match="signs"):
        cases.decode(np.full(2**17, LEAF), none, 2**11)


def test_each_empty_case_must_be_proved(proved, tmp_path):
    """One that is not, among others that are."""
    net, certificate, _ = proved
    for k in range(len(certificate.multipliers[cases.SLOPES])):
        entries = entries_of(certificate)
        entries["multipliers/cases/slopes"][k] = 0.0
        with pytest.raises(CertificateError, match="cannot be proved to be empty"):
            Certificate.load(write(tmp_path / "changed.npz", entries)).verify(net)


@pytest.mark.parametrize(("name", "change"), [
    ("tree", lambda t: with_first(t, EMPTY, LEAF)), ("tree", lambda t: with_first(t, LEAF, EMPTY)),
    ("tree", lambda t: t[:-1]), ("tree", lambda t: np.append(t, LEAF)), ("tree", lambda t: t[::-1].copy()),
    ("tree", lambda t: np.where(t >= 0, (t + 1) % 10, t)), ("tree", lambda t: np.where(t == LEAF, EMPTY, t)),
    ("tree", lambda t: np.array([LEAF])), ("tree", lambda t: t.astype(np.float64)), ("tree", lambda t: t[None]),
    ("tree", lambda t: np.array([EMPTY])), ("slopes", lambda s: s[1:]), ("slopes", lambda s: -s),
    ("slopes", lambda s: 0 * s), ("slopes", lambda s: 10 * s), ("slopes", lambda s: np.roll(s, 1, axis=0)),
    ("slopes", lambda s: np.roll(s, 1, axis=1)), ("slopes", lambda s: s[:, 1:]), ("slopes", lambda s: 1e300 + s),
    ("slopes", lambda s: s.astype(np.int64)), ("slopes", lambda s: np.random.default_rng(0).random(s.shape)),
])  # fmt: skip
def test_changed_cases_prove_nothing_false(proved, name, change, tmp_path):
    proves_nothing_false(proved, name, change, tmp_path)


@pytest.mark.parametrize("change", [
    {"multipliers/cases/more": np.zeros(1)}, {"multipliers/U+/1": np.zeros(5)}, {"diagonal/one": np.zeros(1)},
    {"multipliers/cases/slopes": None}, {"multipliers/cases/tree": None},
])  # fmt: skip
def test_cases_are_a_proof_of_their_own(proved, change, tmp_path):
    net, certificate, _ = proved
    entries = {name: v for name, v in (entries_of(certificate) | change).items() if v is not None}
    with pytest.raises(CertificateError):
        Certificate.load(write(tmp_path / "more.npz", entries)).verify(net)


def test_where_there_are_no_cases_they_are_refused():
    net = random_net(np.random.default_rng(0), (2, 3, 1))
    problem = checked_problem(net)
    on = off = [np.zeros(3, dtype=bool)]
    with pytest.raises(ValueError, match="local Lipschitz"):
        cases.cases_constant(net, problem, np.arange(2), on, off, [], np.array([LEAF]), np.zeros((0, 3)))
    assert not cases.is_for(hr2jax.Network([np.ones((2, 2)), np.ones((1, 2))], [np.ones(2), np.ones(1)], "tanh"),
                            checked_problem(net, center=[0.0, 0.0], radius=1.0))  # fmt: skip


@pytest.mark.parametrize("ask", [
    {"norm": 2}, {"norm": "inf"}, {"norm": 1}, {"norm": 2, "output_norm": 1},
    {"norm": 2, "output": 0, "relaxation": "best"},
])  # fmt: skip
def test_hr2plus_beside_a_witness_is_exact_where_few_neurons_switch(ask):
    """One of its relaxations leaves a gap of some percent here (test_tensored.py)."""
    rng = np.random.default_rng(1)
    net = random_net(rng, (2, 5, 5, 2))
    ball = hr2jax.Ball(np.array([0.3, -0.2]), 0.8)
    found = hr2jax.solve(net, domain=ball, **{"relaxation": "hr2+"} | ask)
    assert found.problem["engine"] == "cases" and found.bound <= found.lower * (1 + 1e-4)
    assert found.status is hr2jax.Status.SOLVED
    assert found.certificate.verify(net) == found.certificate.bound == found.bound
    own = found.certificate.parts or [found.certificate]
    assert any("multipliers/cases/tree" in part.entries() for part in own)
    assert "cases" in str(found)


def test_cases_are_no_start_for_relaxations_and_relaxations_are_sought_where_they_are_asked_for():
    net, where = random_net(np.random.default_rng(4), (3, 5, 5, 1)), {"center": [0.3, -0.2, 0.1], "radius": 0.8}
    first = hr2jax.solve(net, relaxation="hr2+", **where)
    assert first.problem["engine"] == "cases"
    plus = {"relaxation": "hr2+"}
    for asked in ({"relaxation": "hr2"}, plus | {"lifting": "adjoint"}, plus | {"cuts": []}):
        found = hr2jax.solve(net, warm_start=first, max_iterations=5, **asked, **where)
        assert found.problem["engine"] != "cases" and found.bound >= first.bound * (1 - 1e-9)


def test_no_tree_is_begun_of_a_network_whose_nodes_take_long():
    """Of 784-256-256-10 on a small ball, in which 11 neurons switch, 500 nodes would have taken many minutes."""
    from hr2jax.solving import cases as of_solve

    found = []
    for widths in ((2, 5, 5, 2), (300, 128, 128, 10)):
        rng = np.random.default_rng(0)
        net = random_net(rng, widths)
        problem = checked_problem(net, norm=2, center=np.zeros(widths[0]), radius=0.1)
        fixed = presolve(net, problem, chains=LIFTINGS["none"])
        session = type("Session", (), {"net": net, "problem": problem, "fixed": fixed})
        found.append(of_solve._affordable(session, of_solve.FIRST))
    assert found[0] == of_solve.FIRST and found[1] < of_solve.FEWEST


def test_a_case_beyond_a_ball_is_empty_however_many_planes_that_takes():
    """Two rounds of planes left a case that no point of the ball is in, and its bound, 2 % above the constant."""
    test_a_whole_tree_is_the_constant.hypothesis.inner_test(7493)


def test_points_of_programs_are_points_of_the_ball():
    """Beyond it, by what its planes leave, signs are others: a case was taken for met, and the bound 35 % above."""
    test_a_whole_tree_is_the_constant.hypothesis.inner_test(474)
