"""The algebra of expressions: what is exact is exact, what is not lies within its radii."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from hr2jax.arithmetic.enclosure import Enclosure, enclose
from hr2jax.arithmetic.exact import InexactError
from hr2jax.io.algebra import affine, kinks, maps, numbers, windows
from hr2jax.io.algebra.affine import Builder
from hr2jax.io.algebra.maps import Map
from tests.reference.effort import examples
from tests.reference.exact_layers import exact, members_at

entry = st.one_of(st.integers(-4, 4).map(float), st.floats(-8, 8, width=16), st.floats(-1e3, 1e3),
                  st.floats(2.0**-1074, 2.0**-1000))  # fmt: skip


@settings(deadline=None, max_examples=examples(50))
@given(st.lists(st.tuples(entry, entry, st.floats(0, 0.1), st.floats(0, 0.1)), min_size=1, max_size=4), st.data())
def test_numbers_enclose_what_their_operands_can_be(drawn, data):
    """Sums, products, quotients, roots of members lie within the radii; exact operands with exact results have none."""
    rough = data.draw(st.booleans())
    a, b, r, s = (np.array(v) for v in zip(*drawn, strict=True))
    x, y = (Enclosure(a, r), Enclosure(b, s)) if rough else (a, b)
    signs = data.draw(st.tuples(st.sampled_from([-1, 0, 1]), st.sampled_from([-1, 0, 1])))
    p, q = (exact(numbers.mid(v)) + sign * exact(enclose(v).rad) for v, sign in zip((x, y), signs, strict=True))
    for name, value, true in (
        ("add", lambda: numbers.add(x, y), lambda: p + q),
        ("multiply", lambda: numbers.multiply(x, y), lambda: p * q),
        ("divide", lambda: numbers.divide(x, y), lambda: p / q),
        ("mean", lambda: numbers.mean(x, (0,), True, len(a)), lambda: np.array([sum(p) / len(a)])),
    ):
        try:
            found = value()
        except ValueError as error:
            assert name == "divide" and ("divisor" in str(error) or "too large" in str(error))
            continue
        lost = abs(exact(numbers.mid(found)) - true())
        assert (lost <= exact(enclose(found).rad)).all(), name
        if not rough and name != "mean":
            assert ((lost == 0) == (enclose(found).rad == 0)).all(), name
    positive = Enclosure(np.abs(a) + 0.5, r) if rough else np.abs(a)
    found = numbers.root(positive)
    low, high = (exact(numbers.mid(found)) + sign * exact(enclose(found).rad) for sign in (-1, 1))
    member = exact(numbers.mid(positive)) + signs[0] * exact(enclose(positive).rad)
    assert (np.where(low > 0, low * low, 0) <= member).all() and (high * high >= member).all()


def test_the_root_of_what_may_be_negative_and_a_divisor_that_may_be_0_are_refused():
    with pytest.raises(ValueError, match="negative"):
        numbers.root(Enclosure(np.array([0.1]), np.array([0.2])))
    with pytest.raises(ValueError, match="may be 0"):
        numbers.divide(np.ones(1), Enclosure(np.array([0.1]), np.array([0.1])))
    with pytest.raises(ValueError, match="too large"):
        numbers.multiply(np.array([1e200]), np.array([1e200]))


@pytest.mark.parametrize("seed", range(6))
def test_products_of_maps_are_exact_or_raise(seed):
    """Dense and sparse, integers, halves, float32, float64: the product of fractions, or InexactError."""
    rng = np.random.default_rng(seed)
    folded = 0
    for kind in range(24):
        a, b = (rng.standard_normal(s) * (rng.random(s) < 0.5) for s in ((3, 4), (4, 5)))
        if kind % 4 == 0:
            a, b = np.round(4 * a) / 4, np.round(4 * b) / 4
        elif kind % 4 == 1:
            a, b = a.astype("f2").astype(float), b.astype("f2").astype(float)
        elif kind % 4 == 2:
            b = np.eye(4, 5)[rng.permutation(4)] * rng.choice([1.0, 0.1], 4)[:, None]
        left, right = (sparse.csr_array(m) if rng.random() < 0.5 else m for m in (a, b))
        try:
            found = maps.times(Map(left), Map(right))
            shift = maps.vector_product(Map(left), np.round(4 * rng.standard_normal(4)))
        except InexactError:
            continue
        folded += 1
        dense = found.mid.toarray() if maps.is_sparse(found.mid) else found.mid
        assert (exact(dense) == exact(a).dot(exact(b))).all()
        assert shift.shape == (3,)
    assert folded >= 6


def test_a_map_with_radii_is_never_folded_into_another():
    rng = np.random.default_rng(0)
    rough = Map(rng.standard_normal((3, 3)), np.full((3, 3), 1e-16))
    for t, m in ((rough, Map(rng.standard_normal((3, 2)))), (Map(rng.standard_normal((2, 3))), rough)):
        with pytest.raises(InexactError):
            maps.times(t, m)
    with pytest.raises(InexactError):
        maps.plus(rough, Map(np.eye(3)))
    with pytest.raises(InexactError):
        maps.vector_product(rough, np.ones(3))


def brute_pool(x, kernel, strides, pads):
    """Largest entries of windows of an image, one by one."""
    rows = []
    for i in range(0, x.shape[0] + 2 * pads - kernel[0] + 1, strides[0]):
        for j in range(0, x.shape[1] + 2 * pads - kernel[1] + 1, strides[1]):
            rows.append(max(
                x[a - pads, b - pads] for a in range(i, i + kernel[0]) for b in range(j, j + kernel[1])
                if 0 <= a - pads < x.shape[0] and 0 <= b - pads < x.shape[1]
            ))  # fmt: skip
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_a_pool_is_a_tree_of_exact_maxima(seed):
    rng = np.random.default_rng(seed)
    kernel, strides = rng.integers(1, 4, 2), rng.integers(1, 3, 2)
    pads = int(rng.integers(0, max(1, min(kernel))))
    x = rng.integers(-9, 9, (4, 5)).astype(float)
    count = tuple((n + 2 * pads - k) // s + 1 for n, k, s in zip(x.shape, kernel, strides, strict=True))
    found = windows.Windows(x.shape, tuple(kernel), tuple(strides), (1, 1), (pads, pads), count)
    builder = Builder(x.shape)
    out = kinks.largest(builder, builder.source, windows.pooled(1, found), count)
    low, high = members_at(builder.finish([out]), x.ravel())
    assert (low == high).all()
    assert [float(v) for v in low] == brute_pool(x, kernel, strides, pads)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_taken_twice_is_one_number(seed):
    """max(a, b), min(a, b), clip(a) of a = x / 3: their kinks are at one member's numbers, not at two."""
    rng = np.random.default_rng(seed)
    builder = Builder((4,))
    third = builder.divide(builder.source, np.full(4, 3.0))
    other = builder.scale(builder.source, rng.standard_normal(4))
    made = {
        "max": kinks.maximum(builder, third, other), "min": kinks.minimum(builder, other, third),
        "clip": kinks.clip(builder, third, np.full(4, -0.1), np.full(4, 0.3)),
    }  # fmt: skip
    x = rng.standard_normal(4)
    a, b = exact(x) / 3, exact(numbers.mid(other.shift)) + exact(other.terms[0].mid.toarray()).dot(exact(x))
    true = {"max": np.maximum(a, b), "min": np.minimum(a, b),
            "clip": np.minimum(np.maximum(a, Fraction(-0.1)), Fraction(0.3))}  # fmt: skip
    for name, value in made.items():
        layers = builder.finish([value])
        low, high = members_at(layers, x)
        assert (low <= true[name]).all() and (true[name] <= high).all(), name
        for layer in layers[1:]:
            assert not layer.has_radii, name


def test_dead_parts_vanish_and_a_chain_stays_one():
    rng = np.random.default_rng(0)
    builder = Builder((3,))
    A, B, unused = rng.standard_normal((4, 3)), rng.standard_normal((2, 4)), rng.standard_normal((50, 3))
    builder.activate(builder.apply(Map(unused), builder.source, (50,)), "relu")
    hidden = builder.activate(builder.apply(Map(A), builder.source, (4,)), "relu")
    assert builder.activate(hidden, "relu") is hidden
    layers = builder.finish([builder.apply(Map(B), hidden, (2,))])
    assert [([*layer.inputs], layer.activation) for layer in layers] == [([0], "relu"), ([1], "identity")]
    assert (layers[0].inputs[0] == A).all() and (layers[1].inputs[1] == B).all()


def test_a_constant_that_a_sum_would_round_is_not_lost():
    """An expression without a layer, plus a constant: the sum lost the first where it was not exact (seed 5524)."""
    builder = Builder((2,))
    value = builder.plus(builder.constant(np.array([0.1, 0.2])), np.array([0.3, 1e-20]))
    low, high = members_at(builder.finish([builder.add(value, builder.source)]), np.zeros(2))
    assert [*low] == [*high] == [Fraction(0.1) + Fraction(0.3), Fraction(0.2) + Fraction(1e-20)]


def test_a_large_matrix_is_stored_in_full_only_within_three_times_its_bytes(monkeypatch):
    """A convolution of 512 channels took 8 GB so, where CSR takes 2."""
    monkeypatch.setattr(affine, "_LARGE", 10_000)
    n = 200
    for each, is_full in ((32, False), (64, True)):
        columns = np.tile(np.arange(each), n)
        matrix = maps.csr(np.full(n * each, 0.5), columns, np.arange(n + 1) * each, (n, n))
        stored = affine._stored(matrix)
        assert isinstance(stored, np.ndarray) == is_full
    small = maps.csr(np.ones(600), np.tile(np.arange(6), 100), np.arange(101) * 6, (100, 50))
    assert isinstance(affine._stored(small), np.ndarray)
