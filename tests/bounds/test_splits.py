"""Bounds of parts that cover a domain: whatever their signs and slopes are, they hold, or are refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import Certificate, CertificateError
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds import preactivation_bounds
from hr2jax.bounds.slopes.search import find_slopes
from hr2jax.bounds.splits import decode
from hr2jax.problem import checked_problem
from tests.reference.brute import exact_constant
from tests.reference.cases import exact, forward, points, random_cases, random_net
from tests.reference.certificates import entries_of, write
from tests.reference.effort import examples
from tests.reference.section_points import random_kinked


def random_parts(rng, width):
    """Signs (n, width) of parts that cover the domain, by a few cuts of random ones of them."""
    parts = [np.zeros(width)]
    for _ in range(int(rng.integers(0, 6))):
        part = parts.pop(int(rng.integers(len(parts))))
        free = np.flatnonzero(part == 0)
        if not len(free):
            parts.append(part)
            continue
        k = rng.choice(free)
        parts += [np.where(np.arange(width) == k, sign, part) for sign in (1.0, -1.0)]
    return np.array(parts)


def any_slopes(net, rng):
    """Slopes of every pair of layers, and parts for some of the targets, numbers beyond what is used among them."""
    slopes, kinked = {}, [l for l in range(1, len(net.layers)) if net.layers[l - 1].activation != "identity"]
    for l in kinked[1:]:
        below = [k for k in kinked if k < l]
        slopes |= {(l, k): rng.uniform(-0.3, 1.3, (2, net.widths[l], net.widths[k])) for k in below}
        rows = []
        for target in np.flatnonzero(rng.random(2 * net.widths[l]) < 0.7):
            signs = random_parts(rng, sum(net.widths[k] for k in below))
            lines = rng.uniform(-0.3, 1.3, signs.shape) * 10.0 ** rng.choice([-3, 0, 0, 1], signs.shape)
            rows.append(np.hstack([np.full((len(signs), 1), target), signs, lines]))
        if rows:
            slopes[l, 0] = np.vstack(rows)
    return slopes


def check_contains(net, problem, rng, bounds):
    directions = list(rng.standard_normal((4, net.widths[0])))
    for x in points(problem, directions, rng, count=6):
        for layer, (low, high) in zip(forward(net, x)[0], bounds, strict=True):
            assert (exact(low) <= layer).all()
            assert (layer <= exact(high)).all()


@pytest.mark.parametrize("kind", [Enclosure, Arb])
@settings(max_examples=examples(60), deadline=None)
@given(case=random_cases(depths=(2, 3, 4), widest=5))
def test_any_parts_that_cover_contain_every_point(kind, case):
    net, problem, rng = case
    slopes = any_slopes(net, rng)
    bounds = preactivation_bounds(net, problem, slopes, kind)
    check_contains(net, problem, rng, bounds)
    plain = preactivation_bounds(net, problem, {key: v for key, v in slopes.items() if key[1]}, kind)
    assert (bounds[1][0] >= plain[1][0]).all() and (bounds[1][1] <= plain[1][1]).all()


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_of_other_slopes_and_graphs_too(seed):
    rng = np.random.default_rng(seed)
    net = random_kinked(rng)
    center, radius = rng.standard_normal(net.widths[0]), float(rng.choice([0.1, 1.0]))
    problem = checked_problem(net, np.ones(net.widths[-1]), "inf", center, radius)
    wide = preactivation_bounds(net, problem)
    bounds = preactivation_bounds(net, problem, any_slopes(net, rng))
    for _ in range(200):
        x, y = center + radius * rng.uniform(-1, 1, len(center)), {}
        y[0] = np.clip(x, center - radius, center + radius)
        for l, layer in enumerate(net.layers[:-1], 1):
            z = sum(A @ y[k] for k, A in layer.inputs.items()) + layer.bias
            near = 1e-12 * (1 + np.abs(wide[l - 1]).max(axis=0))
            assert (bounds[l - 1][0] - near <= z).all() and (z <= bounds[l - 1][1] + near).all()
            y[l] = np.where(z > 0, layer.slopes[1], layer.slopes[0]) * z


@settings(max_examples=examples(25), deadline=None)
@given(case=random_cases(depths=(2, 3), widest=5))
def test_found_parts_contain_every_point(case):
    net, problem, rng = case
    if problem.norm == "inf":  # the ascent's compilation is tested elsewhere
        check_contains(net, problem, rng, preactivation_bounds(net, problem, find_slopes(net, problem, "split")))


def extremes(net, center, radius, l):
    """The least and the largest values of z_l, by a linear program for each pattern of the layers before."""
    from scipy.optimize import linprog

    least, most = np.full(net.widths[l], np.inf), np.full(net.widths[l], -np.inf)
    box = list(zip(center - radius, center + radius, strict=True))
    for pattern in itertools.product((0.0, 1.0), repeat=sum(net.widths[1:l])):
        A, b, G, h, at = np.eye(net.widths[0]), np.zeros(net.widths[0]), [], [], 0
        for k in range(l):
            A, b = net.weights[k] @ A, net.weights[k] @ b + net.biases[k]
            if k == l - 1:
                break
            on = np.array(pattern[at : at + len(b)])
            at += len(b)
            G, h = [*G, (1 - 2 * on)[:, None] * A], [*h, -(1 - 2 * on) * b]
            A, b = on[:, None] * A, on * b
        for i in range(len(b)):
            for sign, ends in ((1.0, least), (-1.0, most)):
                found = linprog(sign * A[i], A_ub=np.vstack(G), b_ub=np.concatenate(h), bounds=box)
                if found.status == 0:
                    value = sign * found.fun + b[i]
                    ends[i] = min(ends[i], value) if sign > 0 else max(ends[i], value)
    return least, most


@pytest.mark.parametrize("widths", [(3, 4, 4, 1), (2, 3, 3, 3, 1)])
def test_found_parts_make_the_bounds_of_undecided_neurons_exact(widths):
    rng = np.random.default_rng(5)
    net, center = random_net(rng, widths), rng.standard_normal(widths[0])
    problem = checked_problem(net, None, "inf", center, 1.5)
    bounds = {m: preactivation_bounds(net, problem, find_slopes(net, problem, m)) for m in ("lp", "split")}
    gained = 0
    for l in range(2, net.depth + 1):
        low, high = bounds["split"][l - 1]
        least, most = extremes(net, center, 1.5, l)
        open_ = (least < 0) & (most > 0)
        np.testing.assert_allclose(low[open_], least[open_], atol=1e-5)
        np.testing.assert_allclose(high[open_], most[open_], atol=1e-5)
        assert (low <= least + 1e-9).all() and (high >= most - 1e-9).all()
        gained += (np.subtract(*bounds["lp"][l - 1]) < np.subtract(low, high) - 1e-4).sum()
    assert gained >= 2


@settings(max_examples=examples(200), deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_only_parts_that_cover_are_taken(seed):
    """Those that have each pattern of signs once, others are refused."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 5))
    signs = random_parts(rng, width)
    change = rng.integers(4)
    if change == 1:
        signs = np.delete(signs, rng.integers(len(signs)), axis=0)
    elif change == 2:
        signs[rng.integers(len(signs)), rng.integers(width)] = rng.choice([-1.0, 0.0, 1.0])
    elif change == 3:
        signs = np.vstack([signs, random_parts(rng, width)])
    patterns = np.array(list(itertools.product((-1.0, 1.0), repeat=width)))
    has = ((signs[:, None] == 0) | (signs[:, None] == patterns[None])).all(axis=2).sum(axis=0)
    rows = np.hstack([np.zeros((len(signs), 1)), signs, rng.random(signs.shape)])
    if len(signs) and not (has == 1).all():
        with pytest.raises(ValueError, match="do not cover the domain"):
            decode(rows, 2, width)
    else:
        np.testing.assert_array_equal(decode(rows, 2, width).signs, signs)


@pytest.fixture(scope="module")
def proved():
    net, where = random_net(np.random.default_rng(4), (3, 5, 5, 1)), {"center": [0.3, -0.2, 0.1], "radius": 0.8}
    certificate = hr2jax.solve(net, **where, relaxation="hr2+", witness=0).certificate
    assert "splits/2" in certificate.entries()
    return net, certificate, exact_constant(net, checked_problem(net, **where))


def test_a_certificate_with_parts_verifies_in_both_arithmetics(proved, tmp_path):
    net, certificate, constant = proved
    certificate.save(tmp_path / "split.npz")
    loaded = Certificate.load(tmp_path / "split.npz")
    assert constant * (1 - 1e-9) <= loaded.verify(net) == certificate.bound
    assert loaded.verify(net, arithmetic="ball") == pytest.approx(certificate.bound, rel=1e-6)


@pytest.mark.parametrize("change", [
    lambda rows: rows[1:], lambda rows: rows[:-1], lambda rows: -rows, lambda rows: rows * 0, lambda rows: rows * 0.5,
    np.abs, lambda rows: rows[:, :-1], lambda rows: rows[::-1], lambda rows: rows + 1,
    lambda rows: np.column_stack([rows[:, 0], -rows[:, 1:]]), lambda rows: np.vstack([rows, rows[-1:]]),
    lambda rows: np.column_stack([rows[:, 0], np.roll(rows[:, 1:], 1, axis=1)]), lambda rows: rows.astype(np.int64),
    lambda rows: np.where(np.arange(rows.shape[1]) > rows.shape[1] // 2, 10 * rows, rows), lambda rows: rows[:0],
])  # fmt: skip
def test_changed_parts_prove_nothing_false(proved, change, tmp_path):
    net, certificate, constant = proved
    entries = entries_of(certificate)
    entries["splits/2"] = change(entries["splits/2"])
    try:
        bound = Certificate.load(write(tmp_path / "changed.npz", entries)).verify(net)
    except CertificateError:
        return
    assert bound >= constant * (1 - 1e-9)


@pytest.mark.parametrize("layer", ["1", "3", "output", "2.1"])
def test_parts_of_layers_that_have_none_are_refused(proved, layer, tmp_path):
    net, certificate, _ = proved
    entries = entries_of(certificate)
    entries[f"splits/{layer}"] = entries["splits/2"]
    with pytest.raises(CertificateError):
        Certificate.load(write(tmp_path / "changed.npz", entries)).verify(net)
