"""The followed eigenspace, against the projection of the whole matrix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.engines.block.eigenspace import SHARE, STEP, Eigenspace, begin, columns_for, follow, narrowed
from hr2jax.engines.block.projection import psd_part
from tests.reference.effort import examples

look = jax.jit(follow)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


def symmetric(values, seed=0):
    """A matrix with these eigenvalues."""
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(values), len(values))))[0]
    return (Q * values) @ Q.T


def space_of(A, columns, dtype=np.float64):
    values, vectors = np.linalg.eigh(A)
    w = vectors[:, np.argmax(np.abs(values))]
    return Eigenspace(jnp.asarray(vectors[:, len(A) - columns :], dtype), jnp.asarray(w, dtype))


def exact(A):
    values, vectors = np.linalg.eigh(A)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def some_matrix(rng, N=90, positive=7):
    return symmetric(np.r_[-10 * rng.random(N - positive), 30 * rng.random(positive) ** 3], rng.integers(1000))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_nearby_matrix_is_projected_to_within_the_tolerance(dtype):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        A = some_matrix(rng)
        E = rng.standard_normal(A.shape)
        B = A + 1e-3 * (E + E.T)
        found = look(jnp.asarray(B, dtype), space_of(A, 24, dtype), jnp.asarray(1e-3, dtype))
        assert float(found.error) <= 1e-3
        assert np.linalg.norm(np.asarray(found.part, np.float64) - exact(B)) <= 3e-3
        assert found.part.dtype == found.space.V.dtype == found.space.w.dtype == dtype


def test_a_path_is_followed():
    """Many small steps, none of which may lose what the last has found."""
    rng = np.random.default_rng(1)
    A, E = some_matrix(rng), rng.standard_normal((90, 90))
    space, worst = space_of(A, 24), 0.0
    for k in range(1, 60):
        B = A + 0.001 * k * (E + E.T)
        found = look(jnp.asarray(B), space, jnp.asarray(0.01))
        assert float(found.error) <= 0.01
        space, worst = found.space, max(worst, float(np.linalg.norm(found.part - exact(B))))
        np.testing.assert_allclose(space.V.T @ space.V, np.eye(24), atol=1e-10)
    assert worst <= 0.05


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 24), st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 1.0]))
def test_the_error_tells_of_columns_and_vectors_that_are_missing(seed, positive, distance):
    """An error that is said to be small is (factor 10), but for what was not there before: at most what has changed.

    A matrix that had no positive eigenvalue may have got one whose vector nobody has looked at: the next sweeps do.
    """
    rng = np.random.default_rng(seed)
    values = np.r_[-rng.random(40 - positive), rng.random(positive)]
    A, E = symmetric(values, seed), rng.standard_normal((40, 40))
    B = A + distance * (E + E.T) / 10
    found = look(jnp.asarray(B), space_of(A, 12), jnp.asarray(1e-4))
    off = float(np.linalg.norm(found.part - exact(B)))
    assert not float(found.error) <= 1e-4 or off <= 1e-3 + np.linalg.norm(B - A)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scales_do_not_matter(scale):
    A = some_matrix(np.random.default_rng(2))
    found = look(jnp.asarray(scale * A, jnp.float32), space_of(A, 24, np.float32), jnp.float32(scale * 1e-2))
    np.testing.assert_allclose(np.asarray(found.part, np.float64) / scale, exact(A), atol=1e-2)


def test_what_is_not_a_number_is_an_error_and_leaves_the_space_usable():
    space = space_of(symmetric(np.linspace(-1, 0.1, 30)), 8)
    for bad in (np.nan, np.inf):
        A = np.zeros((30, 30))
        A[3, 3] = bad
        found = look(jnp.asarray(A), space, jnp.asarray(1e-3))
        assert not float(found.error) <= 1e-3
        np.testing.assert_array_equal(found.space.V, space.V)


def test_the_zero_matrix():
    """Its Chebyshev polynomials are constants: nothing is lost, and nothing is positive."""
    found = look(jnp.zeros((30, 30)), space_of(symmetric(np.linspace(-1, 0.1, 30)), 8), jnp.asarray(1e-3))
    assert not np.asarray(found.part).any()
    assert np.isfinite(np.asarray(found.space.V)).all()


def test_a_matrix_without_positive_eigenvalues():
    A = symmetric(-1.0 - np.arange(40.0))
    found = look(jnp.asarray(A), space_of(A, 8), jnp.asarray(1e-9))
    np.testing.assert_array_equal(found.part, np.zeros_like(A))
    assert float(found.error) == 0.0


def test_how_many_columns_are_worth_while():
    assert columns_for(10, 1000) % STEP == 0
    assert 10 < columns_for(10, 1000) < 40
    assert columns_for(300, 1000) == 0
    assert columns_for(0, int(STEP / SHARE) - 1) == 0
    values = np.r_[np.full(300, -2.0), np.full(20, 1e-9), np.full(5, 1.0)]
    vectors = np.eye(325)
    assert begin(values, vectors, 1e-3).V.shape == (325, columns_for(5, 325))
    assert begin(values, vectors, 0.0).V.shape == (325, columns_for(25, 325))
    np.testing.assert_array_equal(begin(values, vectors, 1e-3).w, vectors[:, 0])
    np.testing.assert_array_equal(begin(-values[::-1], vectors, 1e-3).w, vectors[:, -1])


def test_fewer_columns_pay_where_products_cost_little():
    assert columns_for(60, 2000) == 96
    assert columns_for(60, 2000, "products") == 96
    assert columns_for(60, 2000, "halves") == 0
    assert columns_for(20, 2000, "halves") == columns_for(20, 2000)
    vectors = np.eye(325)
    assert begin(np.r_[np.full(305, -2.0), np.ones(20)], vectors, 0.0, "halves").V.shape == (325, 0)


def test_columns_that_are_not_needed_any_more_are_left_out():
    """Those of the largest eigenvalues stay, and lead to the same part."""
    A = some_matrix(np.random.default_rng(6), N=400, positive=5)
    found = look(jnp.asarray(A), space_of(A, 80), jnp.asarray(1e-9))
    few = narrowed(found.space, found.part, 1e-9)
    assert few.V.shape == (400, columns_for(5, 400))
    np.testing.assert_array_equal(few.V, found.space.V[:, -few.V.shape[1] :])
    np.testing.assert_allclose(look(jnp.asarray(A), few, jnp.asarray(1e-9)).part, exact(A), atol=1e-7)
    assert narrowed(few, found.part, 1e-9) is few
    many = some_matrix(np.random.default_rng(7), N=400, positive=60)
    space = space_of(many, 96)
    assert narrowed(space, jnp.asarray(exact(many)), 1e-9) is space


def test_psd_part_is_what_it_stands_for():
    A = some_matrix(np.random.default_rng(5))
    found = look(jnp.asarray(A), space_of(A, 24), jnp.asarray(1e-9))
    np.testing.assert_allclose(found.part, psd_part(jnp.asarray(A)), atol=1e-8)
