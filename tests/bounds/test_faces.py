"""Trees of cases on the faces of a box in the cone: what they prove of all inputs holds, or they are refused."""

import itertools
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError, Layer, Network, graph
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds import cases, faces
from hr2jax.bounds.vanishing import ENOUGH, vanishing
from hr2jax.certificate.certificate import certify_multipliers
from hr2jax.engines.cases.faces import FaceSearch
from hr2jax.engines.cases.vanishing import Vanishing
from hr2jax.problem import checked_problem
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from tests.reference.brute import exact_constant
from tests.reference.cases import exact, random_net
from tests.reference.certificates import entries_of, proves_nothing_false, with_first, write
from tests.reference.effort import FULL, examples
from tests.reference.general import gradient, is_at_most, member, pre_activations, random_general
from tests.reference.section_points import random_kinked

from .test_cases import random_tree

LEAF, EMPTY = cases.LEAF, cases.EMPTY
PIECEWISE = ("relu", "relu", "relu", "identity", "leaky_relu", "abs", "prelu")


def without_biases(net):
    """The same network with no bias but the output's."""
    layers = [
        Layer({k: (A, layer.radii[k]) if k in layer.radii else A for k, A in layer.inputs.items()},
              layer.bias if layer is net.layers[-1] else np.zeros(layer.width), layer.activation, layer.parameters)
        for layer in net.layers
    ]  # fmt: skip
    return Network.from_layers(layers)


def drawn(rng):
    """A piecewise linear network: a chain, or a graph with radii."""
    while True:
        net = random_kinked(rng) if rng.random() < 0.5 else random_general(rng, kinds=PIECEWISE, radii=0.4)
        if rng.random() < 0.25:
            net = without_biases(net)
        if graph.sources(net.layers):
            return net


def middle(net):
    """The network of the midpoints."""
    return Network.from_layers([Layer(one.inputs, one.bias, one.activation, one.parameters) for one in net.layers])


def points(rng, n, count):
    """Points at any scale, exact, some entries 0."""
    for _ in range(count):
        scale = 10.0 ** float(rng.choice([-6, -2, -1, 0, 0, 1, 2, 6]))
        yield exact(scale * rng.standard_normal(n) * (rng.random(n) > 0.1))


def searched(net, problem, goal=0.0, most=10**6):
    search = FaceSearch(net, problem, problem.directions_of(net.widths[0]), np.zeros((1, net.widths[0])))
    is_whole = search.run(goal, most, lambda: False)
    return search, is_whole


@pytest.mark.parametrize("kind", [Enclosure, Enclosure, Arb])
@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_constant_of_any_trees_is_above_every_gradient(kind, seed):
    """Whatever the radii are, and with empty cases of a search's among the leaves."""
    rng = np.random.default_rng(seed)
    net, norm = drawn(rng), ["inf", 2, 1][rng.integers(3)]
    c, n, width = rng.standard_normal(net.widths[-1]), net.widths[0], cases.width_of(net)
    problem, free = checked_problem(net, c, norm), np.arange(n)
    if rng.random() < 0.5:
        trees = [random_tree(rng, width, 4) for _ in range(faces.count_of(net))]
        tree, slopes, radii = np.concatenate(trees), np.zeros((0, width)), 10.0 ** rng.uniform(-3, 3, n)
    else:
        search, _ = searched(net, problem, 0.0, int(rng.choice([30, 200])))
        (tree, slopes), radii = search.trees(), search.radii
    bound = faces.faces_constant(net, problem, free, tree, slopes, radii, kind)
    for x in points(rng, n, 8):
        layers = member(net, rng)
        g = gradient(layers, x, exact(c))
        if g is not None:
            assert max(map(abs, g)) <= Fraction(bound) if norm == 1 else is_at_most(g, norm, bound)


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_homogeneous_network_is_tau_times_that_at_x_over_tau(seed):
    rng = np.random.default_rng(seed)
    net = drawn(rng)
    posed = faces.homogeneous(net)
    own, of_posed = (member(middle(one), None) for one in (net, posed))
    (x,), tau = points(rng, net.widths[0], 1), Fraction(int(rng.integers(1, 9)), 4)
    inputs = np.append(tau * x, [tau] * faces.has_tau(net))
    found = pre_activations(of_posed, inputs)
    for z, scaled, layer in zip(pre_activations(own, x)[:-1], found[:-1], posed.layers, strict=False):
        assert (tau * z == scaled).all() and not layer.bias.any()
    for layer, one in zip(net.layers[:-1], posed.layers, strict=False):
        if layer.bias_radius is not None:
            assert np.array_equal(one.radii[0][:, -1], layer.bias_radius)
        assert all(np.array_equal(one.radii[k][:, : A.shape[1]], A) for k, A in layer.radii.items())


def test_a_bias_of_a_radius_alone_has_a_tau():
    """ReLU(b - |x_0|) is 0 but for the members of b > 0."""
    A, C = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[-1.0, -1.0]])
    middles = [Layer({0: A}, np.zeros(2)), Layer({1: C}, ([0.0], [0.5])), Layer({2: [[1.0]]}, [0.0], "identity")]
    net = Network.from_layers(middles)
    search, is_whole = searched(net, checked_problem(net))
    assert faces.has_tau(net) and is_whole
    tree, slopes = search.trees()
    found = faces.faces_constant(net, checked_problem(net), np.arange(2), tree, slopes, search.radii)
    assert 1.0 <= found < 1.0 + 1e-12
    assert not faces.has_tau(middle(net))


def test_a_neuron_that_switches_by_next_to_nothing_is_open():
    """Any scale is one of pre-activations' on a face, whose tau may be 0."""
    low, high = np.array([-1e-300, 0.0, -1.0, 0.0, -5e-324]), np.array([1.0, 1e-300, 0.0, 0.0, 5e-324])
    (on,), (off,) = faces.face_masks([(low, high)])
    assert on.tolist() == [False, True, False, True, False] and off.tolist() == [False, False, True, True, False]


@settings(max_examples=examples(100), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_ray_meets_a_face(seed):
    rng = np.random.default_rng(seed)
    net = drawn(rng)
    n = net.widths[0]
    radii, problem = 10.0 ** rng.uniform(-3, 3, n), checked_problem(net, np.ones(net.widths[-1]))
    boxes = [face.domain for face in faces.faces(net, problem, radii)]
    assert len(boxes) == faces.count_of(net)
    for x in points(rng, n, 5):
        ray = np.append(x, [Fraction(1)] * faces.has_tau(net))
        size = max(abs(v) / Fraction(r) for v, r in zip(ray, np.append(radii, 1.0), strict=False))
        met = [
            box for box in boxes if size and all(
                low <= v / size <= high for v, low, high in zip(ray, exact(box.low), exact(box.high), strict=True)
            )
        ]  # fmt: skip
        assert met or not size


@pytest.mark.parametrize("kind", [Enclosure, Arb])
@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bounds_of_a_face_hold_at_its_corners(kind, seed):
    """Where those of the first layers are attained; of every member."""
    rng = np.random.default_rng(seed)
    net = drawn(rng)
    posed, radii = faces.homogeneous(net), 10.0 ** rng.uniform(-3, 3, net.widths[0])
    for face in faces.faces(net, checked_problem(net, np.ones(net.widths[-1])), radii):
        bounds, layers = faces.face_bounds(posed, face, kind), member(posed, rng)
        for _ in range(3):
            corner = np.where(rng.random(len(face.domain.low)) < 0.5, face.domain.low, face.domain.high)
            for z, (low, high) in zip(pre_activations(layers, exact(corner)), bounds, strict=False):
                assert (exact(low) <= z).all() and (z <= exact(high)).all()


def integral(rng):
    """A chain of ReLUs of small integers: points lie on planes, and first layers die in whole cones."""
    widths = [int(rng.integers(2, 4)), *rng.integers(2, 5, int(rng.integers(2, 4))), 1]
    weights = [rng.integers(-2, 3, (m, n)).astype(float) for n, m in itertools.pairwise(widths)]
    biases = [rng.integers(-2, 3, m).astype(float) * (rng.random() < 0.8) for m in widths[1:]]
    return Network(weights, biases)


def canonical(net, x):
    """(n, w) int8: 1 where z > 0, else -1, of points whose z are exact in float64."""
    found = graph.switches(net.layers[:-1], x)
    return np.where(np.concatenate([found[k - 1] for k in graph.sources(net.layers)], axis=1), 1, -1)


def vanished(rng, net):
    """Cases that are proved to vanish, with the points of their face: (signs (n, w), patterns of its points)."""
    n, sources = net.widths[0], graph.sources(net.layers)
    width = sum(net.widths[k] for k in sources)
    radii, posed = rng.integers(1, 9, n).astype(float), faces.homogeneous(net)
    x = np.vstack([rng.integers(-20, 21, (200, n)) / 4.0, rng.integers(-9, 10, (200, n)) * 64.0, np.zeros((1, n))])
    patterns, far = canonical(net, x), np.abs(x) / radii
    size = np.maximum(far.max(axis=1), 1.0 if faces.has_tau(net) else 0.0)
    for face in faces.faces(net, checked_problem(net), radii):
        i = int(np.flatnonzero(face.domain.radius == 0)[0])
        is_on = size == 1.0 if i == n else (far[:, i] == size) & (x[:, i] * face.domain.center[i] > 0)
        bounds = faces.face_bounds(posed, face)
        signs = np.where(rng.random((12, width)) < 0.7, rng.choice([-1, 1], (12, width)), 0).astype(np.int8)
        known = patterns[rng.choice(len(patterns), 6)]
        signs[:6] = np.where(signs[:6] != 0, known, 0)
        program = Vanishing(posed, n, bounds)
        lines = np.zeros((len(signs), width))
        for k, own in enumerate(signs):
            wrong = np.where(rng.random(width) < 0.2, -own, own)
            found = program.slopes(wrong if rng.random() < 0.5 else own)
            lines[k] = rng.choice([0.0, 0.5, 1.0, ENOUGH], width) if found is None or rng.random() < 0.1 else found
        odd = rng.random(lines.shape) < 0.05
        lines = np.where(odd, rng.choice([0.0, 0.5, 2.0, ENOUGH], lines.shape), lines)
        lines = np.where(signs == 0, np.clip(lines, 0.0, 1.0), lines)
        yield signs[vanishing(posed, n, bounds, signs, lines)], patterns[is_on]


@settings(max_examples=examples(150), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_case_vanishes_that_a_point_is_in(seed):
    rng = np.random.default_rng(seed)
    for signs, patterns in vanished(rng, integral(rng)):
        assert not ((signs[:, None] == 0) | (signs[:, None] == patterns)).all(axis=2).any()


def test_some_cases_vanish():
    """What the property above says is said of many cases."""
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        found += sum(len(signs) for signs, _ in vanished(rng, integral(rng)))
    assert found > 100


def vanished_of_kinks(rng):
    """Cases of networks of kinks of any slopes, by drawn slopes, as programs look for none: as `vanished`."""
    n, p, q = int(rng.integers(2, 4)), int(rng.integers(2, 4)), int(rng.integers(2, 4))
    shapes, kinds = [(p, n), (q, p), (1, q)], rng.choice(["relu", "abs", "leaky", "leaky"], 2)
    layers = []
    for l, shape in enumerate(shapes):
        kind = "identity" if l == 2 else "leaky_relu" if kinds[l] == "leaky" else kinds[l]
        slope = {"negative_slope": float(rng.choice([-1.0, -0.5, 0.5, 2.0]))} if kind == "leaky_relu" else {}
        A, b = rng.integers(-2, 3, shape).astype(float), rng.integers(-2, 3, shape[0]).astype(float)
        layers.append(Layer({l: A}, b, kind, slope))
    net = Network.from_layers(layers)
    x = np.vstack([rng.integers(-20, 21, (200, n)) / 4.0, rng.integers(-9, 10, (200, n)) * 64.0, np.zeros((1, n))])
    patterns, posed = canonical(net, x), faces.homogeneous(net)
    size = np.maximum(np.abs(x).max(axis=1), 1.0 if faces.has_tau(net) else 0.0)
    some = patterns[rng.integers(0, len(patterns), 400)]  # such that occur, but for a few signs, and any
    signs = np.where(rng.random(some.shape) < 0.2, rng.choice([-1, 0, 1], some.shape), some)
    signs = np.vstack([signs, rng.choice([-1, 1], some.shape)]).astype(np.int8)
    lines = rng.integers(0, 3, signs.shape).astype(float)
    lines[:, :p] = np.where(rng.random((len(lines), p)) < 0.9, ENOUGH, lines[:, :p])
    lines = np.where(signs == 0, np.clip(lines, 0.0, 1.0) * (rng.random(lines.shape) < 0.5), lines)
    for face in faces.faces(net, checked_problem(net), np.ones(n)):
        i = int(np.flatnonzero(face.domain.radius == 0)[0])
        is_on = size == 1.0 if i == n else (x[:, i] * face.domain.center[i] == size) & (size > 0)
        yield signs[vanishing(posed, n, faces.face_bounds(posed, face), signs, lines)], patterns[is_on]


@settings(max_examples=examples(150), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_no_case_of_kinks_of_any_slopes_vanishes_that_a_point_is_in(seed):
    rng = np.random.default_rng(seed)
    for signs, patterns in vanished_of_kinks(rng):
        assert not ((signs[:, None] == 0) | (signs[:, None] == patterns)).all(axis=2).any()


def test_some_cases_of_kinks_vanish():
    found = sum(len(signs) for seed in range(10) for signs, _ in vanished_of_kinks(np.random.default_rng(seed)))
    assert found > 100


@pytest.mark.parametrize("kind", [Enclosure, Arb])
def test_signs_that_meet_at_infinity_alone_vanish(kind):
    """rho - 2 tau >= 0 and tau - rho >= 0, rho = ReLU(x_0): behind a plane beyond which all else is off."""
    net = Network([np.eye(2), [[1.0, 0.0], [-1.0, 0.0]], np.ones((1, 2))], [np.zeros(2), [-2.0, 1.0], [0.0]])
    posed, signs = faces.homogeneous(net), np.array([[1, 0, 1, 1], [1, 0, 1, -1], [0, 0, 1, 1]], dtype=np.int8)
    slopes = np.array([[ENOUGH, 0.0, 2.0, 3.0], [ENOUGH, 0.0, 2.0, 3.0], [0.0, 0.0, 2.0, 3.0]])
    for face in faces.faces(net, checked_problem(net), np.ones(2)):
        bounds = faces.face_bounds(posed, face, kind)
        if all(low[0] < 0 < high[0] for low, high in bounds):
            assert vanishing(posed, 2, bounds, signs, slopes, kind).tolist() == [True, False, True]
            assert not (cases.emptiness(posed, face, bounds, signs, np.minimum(slopes, 3.0), kind) > 0).any()
    assert searched(net, checked_problem(net))[0].bound == pytest.approx(1.0)  # with both on it were |1 - 1| = 0


@pytest.mark.parametrize("kind", [Enclosure, Arb])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_coefficient_whose_sign_rounding_leaves_open_is_not_left_out(kind, sign):
    """|x_1| - 3 |x_0| > 0 and |x_0| - |x_1| / 3 > 0 are both so between 3 and the next float64: this third is below."""
    third, b = 1.0 / 3.0, np.zeros(2)
    assert 3 * Fraction(third) < 1
    net = Network([np.eye(2), [[-3.0, 1.0], [1.0, -third]], np.ones((1, 2))], [b, b, b[:1]], "abs")
    posed, signs = faces.homogeneous(net), np.array([[sign, sign, 1, 1]], dtype=np.int8)
    x, slopes = sign * exact([1.0, 3.0]), np.array([[ENOUGH, ENOUGH, 1.0, 3.0]])
    x[1] += sign * Fraction(1, 2**53)
    assert not faces.has_tau(net) and (pre_activations(member(net, None), x)[1] > 0).all()
    for face in faces.faces(net, checked_problem(net), np.ones(2)):
        if face.domain.center[1] == sign:
            assert not vanishing(posed, 2, faces.face_bounds(posed, face, kind), signs, slopes, kind).any()


@pytest.mark.parametrize("kind", [Enclosure, Arb])
@pytest.mark.parametrize(("shift", "vanishes"), [(-0.75, True), (-1.25, False)])
def test_an_open_neuron_is_above_lines_of_slopes_up_to_1_alone(kind, shift, vanishes):
    """2 rho + ReLU(1 - rho), which is at least 1: a line of slope 3/2 would say it is at least 3/2."""
    first, second = Layer({0: [[1.0, 0.0]]}, [0.0]), Layer({1: [[-1.0]]}, [1.0])
    third = Layer({1: [[2.0]], 2: [[1.0]]}, [shift])
    net = Network.from_layers([first, second, third, Layer({3: [[1.0]]}, [0.0], "identity")])
    posed, signs, slopes = faces.homogeneous(net), np.array([[1, 0, -1]], dtype=np.int8), np.array([[ENOUGH, 1.0, 1.0]])
    found = []
    for face in faces.faces(net, checked_problem(net), np.full(2, 8.0)):
        bounds = faces.face_bounds(posed, face, kind)
        if all(low[0] < 0 < high[0] for low, high in bounds):
            found.append(vanishing(posed, 2, bounds, signs, slopes, kind)[0])
    assert found and set(found) == {vanishes}


@pytest.mark.parametrize(("low", "vanishes"), [(0.0, True), (-1e-300, False)])
def test_a_neuron_that_is_off_by_next_to_nothing_is_not_left_out_as_on(low, vanishes):
    """Of an absolute value that is no z nothing is known."""
    net = Network([np.eye(2), [[1.0, 0.0], [-1.0, 0.0]], np.ones((1, 2))], [np.zeros(2), [-2.0, 1.0], [0.0]], "abs")
    one, signs = np.ones(2), np.array([[0, 0, 1, 1]], dtype=np.int8)
    bounds = [(np.array([low, -1.0]), one), (-one, one)]
    assert vanishing(faces.homogeneous(net), 2, bounds, signs, np.array([[0.0, 0.0, 2.0, 3.0]]))[0] == vanishes


@pytest.mark.parametrize("kind", [Enclosure, Arb])
def test_a_coefficient_of_x_that_is_0_but_for_rounding_is_none(kind):
    """As above, of the first layer's planes."""
    third, b = 1.0 / 3.0, np.zeros(2)
    net = Network([[[-3.0, 1.0], [1.0, -third]], np.ones((1, 2))], [b, b[:1]])
    posed, signs, slopes = faces.homogeneous(net), np.ones((1, 2), dtype=np.int8), np.array([[1.0, 3.0]])
    x = exact([1.0, 3.0])
    x[1] += Fraction(1, 2**53)
    assert not faces.has_tau(net) and (pre_activations(member(net, None), x)[0] > 0).all()
    for face in faces.faces(net, checked_problem(net), np.ones(2)):
        if face.domain.center[1] == 1:
            assert not vanishing(posed, 2, faces.face_bounds(posed, face, kind), signs, slopes, kind).any()


def brute(seed):
    """A chain, its problem and its constant by enumeration."""
    rng = np.random.default_rng(seed)
    choices = [(2, 5, 4, 1), (3, 4, 4, 1), (2, 3, 3, 3, 1), (3, 7, 1), (4, 5, 1), (2, 9, 1), (4, 3, 3, 1)]
    net = random_net(rng, choices[rng.integers(len(choices))])
    if rng.random() < 0.2:
        net = Network(net.weights, [0 * b for b in net.biases[:-1]] + net.biases[-1:])
    problem = checked_problem(net, None, ["inf", 2][rng.integers(2)])
    return net, problem, exact_constant(net, problem)


def check_exact(seed):
    net, problem, constant = brute(seed)
    search, is_whole = searched(net, problem)
    bound = faces.faces_constant(net, problem, np.arange(net.widths[0]), *search.trees(), search.radii)
    assert is_whole and constant * (1 - 1e-9) <= bound <= constant * (1 + 1e-6) + 1e-12
    assert bound == pytest.approx(search.bound, rel=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_whole_trees_are_the_constant(seed):
    check_exact(seed)


@pytest.mark.slow
@pytest.mark.skipif(not FULL, reason="takes minutes")
def test_whole_trees_are_the_constant_of_many():
    """Of three hidden layers some cases that close at infinity are not found to (docs/theory/cases.md)."""
    deep = loose = 0
    for seed in range(100, 1100):
        net, problem, constant = brute(seed)
        if net.depth < 3:
            check_exact(seed)
            continue
        search, _ = searched(net, problem)
        bound = faces.faces_constant(net, problem, np.arange(net.widths[0]), *search.trees(), search.radii)
        assert bound >= constant * (1 - 1e-9)
        deep, loose = deep + 1, loose + (bound > constant * (1 + 1e-6) + 1e-12)
    assert loose < deep / 5


@pytest.fixture(scope="module")
def proved():
    """A certificate whose trees have empty cases, some of which vanish."""
    net = random_net(np.random.default_rng(11), (3, 4, 4, 1))
    problem = checked_problem(net, norm=2)
    search, is_whole = searched(net, problem)
    assert is_whole
    fixed = presolve(net, problem, chains=LIFTINGS["none"])
    certificate = certify_multipliers(net, problem, "hr2+", fixed, search.entries())
    assert (search.trees()[1] >= ENOUGH).any() and len(search.trees()[1]) > 3
    return net, certificate, exact_constant(net, problem)


def test_a_certificate_of_faces_verifies_in_both_arithmetics(proved, tmp_path):
    net, certificate, constant = proved
    certificate.save(tmp_path / "faces.npz")
    loaded = Certificate.load(tmp_path / "faces.npz")
    assert constant * (1 - 1e-9) <= loaded.verify(net, center=None) == certificate.bound <= constant * (1 + 1e-9)
    assert loaded.verify(net, arithmetic="ball") == pytest.approx(certificate.bound, rel=1e-9)


def turned(tree):
    """The trees in another order: the last comes first."""
    ends, ahead = [], 1
    for k, node in enumerate(tree.tolist()):
        ahead += 1 if node >= 0 else -1
        if ahead == 0:
            ends.append(k + 1)
            ahead = 1
    return np.concatenate([tree[ends[-2] :], tree[: ends[-2]]])


@pytest.mark.parametrize(("name", "change"), [
    ("tree", lambda t: with_first(t, EMPTY, LEAF)), ("tree", lambda t: with_first(t, LEAF, EMPTY)),
    ("tree", lambda t: t[:-1]), ("tree", lambda t: np.append(t, LEAF)), ("tree", turned),
    ("tree", lambda t: np.where(t >= 0, (t + 1) % 8, t)), ("tree", lambda t: np.where(t == LEAF, EMPTY, t)),
    ("tree", lambda t: np.array([LEAF])), ("tree", lambda t: np.full(7, LEAF)), ("tree", lambda t: np.full(7, EMPTY)),
    ("tree", lambda t: t.astype(np.float64)), ("tree", lambda t: t[None]), ("slopes", lambda s: s[1:]),
    ("slopes", lambda s: 0 * s), ("slopes", lambda s: np.full_like(s, ENOUGH)), ("slopes", lambda s: 10 * s),
    ("slopes", lambda s: np.roll(s, 1, axis=0)), ("slopes", lambda s: np.roll(s, 1, axis=1)),
    ("slopes", lambda s: s[:, 1:]), ("slopes", lambda s: s + np.nan), ("slopes", lambda s: s[::-1].copy()),
    ("radii", lambda r: 2 * r), ("radii", lambda r: 0.01 * r), ("radii", lambda r: 1e3 * r),
    ("radii", lambda r: 1e-300 * r), ("radii", lambda r: r[::-1].copy()),
])  # fmt: skip
def test_changed_faces_prove_nothing_false(proved, name, change, tmp_path):
    proves_nothing_false(proved, name, change, tmp_path)


@pytest.mark.parametrize("radii", [
    [1.0], [1.0] * 4, [1.0, 1.0, 0.0], [1.0, 1.0, -1.0], [1.0, 1.0, np.nan], [np.inf, 1.0, 1.0], [[1.0] * 3], [1] * 3,
    np.ones(3, dtype=np.float32), 1.0, [],
])  # fmt: skip
def test_radii_that_are_none_are_refused(proved, radii, tmp_path):
    net, certificate, _ = proved
    entries = entries_of(certificate) | {"multipliers/cases/radii": np.array(radii)}
    with pytest.raises(CertificateError):
        Certificate.load(write(tmp_path / "radii.npz", entries)).verify(net)
    problem = checked_problem(net)
    tree, slopes = np.full(7, LEAF), np.zeros((0, 8))
    with pytest.raises(ValueError, match="radii of cases"):
        faces.faces_constant(net, problem, np.arange(3), tree, slopes, np.array(radii))
    assert faces.faces_constant(net, problem, np.arange(3), tree, slopes, np.ones(3)) > 0


@pytest.mark.parametrize("change", [
    {"multipliers/cases/more": np.zeros(1)}, {"multipliers/U+/1": np.zeros(5)}, {"diagonal/one": np.zeros(1)},
    {"multipliers/cases/slopes": None}, {"multipliers/cases/tree": None}, {"multipliers/cases/radii": None},
])  # fmt: skip
def test_faces_are_a_proof_of_their_own(proved, change, tmp_path):
    net, certificate, _ = proved
    entries = {name: v for name, v in (entries_of(certificate) | change).items() if v is not None}
    with pytest.raises(CertificateError):
        Certificate.load(write(tmp_path / "more.npz", entries)).verify(net)


def test_a_tree_of_a_local_claim_proves_no_global_one(proved, tmp_path):
    """Nor do faces prove a local one, whose bound may be smaller."""
    net, certificate, _ = proved
    local = hr2jax.solve(net, relaxation="hr2+", norm=2, center=np.zeros(3), radius=0.01, witness=0).certificate
    of_cases = {name: v for name, v in entries_of(certificate).items() if name.startswith("multipliers/cases")}
    entries = {name: v for name, v in entries_of(local).items() if not name.startswith(("multipliers", "diagonal"))}
    with pytest.raises(CertificateError):
        Certificate.load(write(tmp_path / "local.npz", entries | of_cases)).verify(net)


def test_what_takes_too_long_to_verify_is_refused_at_once():
    net = random_net(np.random.default_rng(0), (40, 300, 300, 1))
    problem, none = checked_problem(net), np.zeros((0, 600))
    tree = np.full(faces.count_of(net), LEAF)
    with pytest.raises(ValueError, match="one for each face"):
        faces.faces_constant(net, problem, np.arange(40), tree[1:], none, np.ones(40))
    with pytest.raises(ValueError, match="multiplications"):
        faces.faces_constant(net, problem, np.arange(40), np.full(2**13, LEAF), none, np.ones(40))


def test_faces_of_many_inputs_are_refused_at_once():
    """Each of them takes some milliseconds, of one neuron, too."""
    net = Network([np.ones((1, 5000)), np.ones((1, 1))], [np.ones(1), np.zeros(1)])
    problem, free = checked_problem(net, norm=1).towards(np.array([0])), np.array([0])
    tree = np.full(faces.count_of(net), LEAF)
    with pytest.raises(ValueError, match="multiplications"):
        faces.faces_constant(net, problem, free, tree, np.zeros((0, 1)), np.ones(5000))


def test_faces_take_the_memory_of_one():
    net = Network([np.ones((1, 400)), np.ones((1, 1))], [np.ones(1), np.zeros(1)])
    problem = checked_problem(net)
    tracemalloc.start()
    try:
        assert sum(1 for _ in faces.faces(net, problem, np.ones(400))) == 801
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_cases_that_vanish_take_the_memory_of_some(proved, monkeypatch):
    net, certificate, _ = proved
    counts = []

    def seen(net, inputs, bounds, signs, slopes, arithmetic):
        counts.append(len(signs))
        return vanishing(net, inputs, bounds, signs, slopes, arithmetic)

    monkeypatch.setattr(cases, "vanishing", seen)
    monkeypatch.setattr(cases, "TOGETHER", 1)
    assert certificate.verify(net) == certificate.bound
    assert set(counts) == {1} and len(counts) > 3
    tree, slopes, radii = (certificate.entries()[f"multipliers/cases/{name}"] for name in ("tree", "slopes", "radii"))
    for k in np.flatnonzero((slopes >= ENOUGH).any(axis=1))[:2]:
        none = slopes * (np.arange(len(slopes)) != k)[:, None]
        with pytest.raises(ValueError, match="a case cannot be proved"):
            faces.faces_constant(net, checked_problem(net, norm=2), np.arange(3), tree, none, radii)


def test_a_network_without_activations_has_no_cases():
    net = Network.from_layers([Layer({0: np.ones((1, 2))}, [0.0], "identity")])
    for width in (0, 1):
        with pytest.raises(ValueError, match="depends on none"):
            none = np.zeros((0, width))
            faces.faces_constant(net, checked_problem(net), np.arange(2), np.full(4, LEAF), none, np.ones(2))


def test_where_there_are_no_faces_they_are_refused():
    net = random_net(np.random.default_rng(0), (2, 3, 1))
    smooth = hr2jax.Network([np.ones((2, 2)), np.ones((1, 2))], [np.ones(2), np.ones(1)], "tanh")
    tree, none, free = np.full(5, LEAF), np.zeros((0, 3)), np.arange(2)
    for one, problem in ((net, checked_problem(net, center=[0.0, 0.0], radius=1.0)), (smooth, checked_problem(smooth))):
        with pytest.raises(ValueError, match="global Lipschitz"):
            faces.faces_constant(one, problem, free, tree, none, np.ones(2))


@pytest.mark.parametrize("ask", [
    {"norm": 2}, {"norm": "inf"}, {"norm": 1}, {"norm": 2, "output": 0, "relaxation": "best"},
    {"norm": "inf", "output": 1, "time_limit": 20.0},
])  # fmt: skip
def test_hr2plus_of_all_inputs_is_exact_where_few_patterns_occur(ask):
    """A relaxation leaves more than a percent here."""
    net = random_net(np.random.default_rng(1), (2, 5, 5, 2))
    found = hr2jax.solve(net, **{"relaxation": "hr2+"} | ask)
    assert found.problem["engine"] == "cases" and found.bound <= found.lower * (1 + 1e-4)
    assert found.status is hr2jax.Status.SOLVED
    assert found.certificate.verify(net, center=None) == found.certificate.bound == found.bound
    own = found.certificate.parts or [found.certificate]
    assert any("multipliers/cases/radii" in part.entries() for part in own)


def test_max_pools_and_skips_are_networks_too():
    """max(a, b) = b + ReLU(a - b) of two planes each, and x itself behind it."""
    rng = np.random.default_rng(0)
    A, b = rng.standard_normal((6, 2)), rng.standard_normal(6)
    P, Q = np.eye(6)[::2], np.eye(6)[1::2]
    net = Network.from_layers([
        Layer({0: (P - Q) @ A}, (P - Q) @ b), Layer({0: Q @ A, 1: np.eye(3)}, Q @ b),
        Layer({2: rng.standard_normal((3, 3)), 0: rng.standard_normal((3, 2))}, rng.standard_normal(3), "abs"),
        Layer({3: rng.standard_normal((1, 3)), 0: rng.standard_normal((1, 2))}, [0.0], "identity"),
    ])  # fmt: skip
    found = hr2jax.solve(net, norm=2, relaxation="hr2+")
    x = rng.standard_normal((20000, 2)) * 10.0 ** rng.uniform(-1, 2, (20000, 1))
    largest = np.linalg.norm(net.gradient(x), axis=1).max()
    assert found.problem["engine"] == "cases" and largest * (1 - 1e-12) <= found.bound <= largest * (1 + 1e-3)
