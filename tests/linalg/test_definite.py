"""Diag(d) - M by LAPACK and, on JAX's device, by an accelerator: against NumPy, and one against the other."""

import jax
import numpy as np
import pytest

from hr2jax.linalg import on_device as device
from hr2jax.linalg.definite import Definite, shifted_cholesky
from hr2jax.linalg.on_device import OnDevice

BOTH = pytest.mark.parametrize("definite", [Definite, OnDevice])


@pytest.fixture(autouse=True)
def everything_there(monkeypatch):
    """Small matrices go to the device too."""
    monkeypatch.setattr(device, "LARGE", 1)


def case(N, seed=0, inside=0.5):
    """M and d; Diag(d) - M is positive definite if `inside` > 0."""
    rng = np.random.default_rng(seed)
    M = rng.standard_normal((N, N))
    M = M + M.T
    slack = rng.random(N)
    d = slack + np.linalg.eigvalsh(M - np.diag(slack))[-1] + inside
    return M, d


@BOTH
@pytest.mark.parametrize("N", [1, 2, 30])
def test_determinants_inverses_and_solutions(definite, N):
    M, d = case(N)
    dense, S = np.diag(d) - M, definite(M)
    for _ in range(2):  # buffers are used again
        assert S.logdet(d) == pytest.approx(np.linalg.slogdet(dense)[1])
        inverse, logdet = S.inverse(d)
        assert logdet == pytest.approx(S.logdet(d))
        np.testing.assert_allclose(np.tril(inverse), np.tril(np.linalg.inv(dense)), atol=1e-10)
        b = np.arange(1.0, N + 1)
        below = np.tril(inverse) + np.triu(np.full((N, N), np.nan), 1)  # what is above the diagonal must not matter
        np.testing.assert_allclose(S.solve(below, b), dense @ b, rtol=1e-7)


@BOTH
def test_what_is_not_positive_definite(definite):
    M, d = case(20, inside=-0.5)
    S = definite(M)
    assert S.logdet(d) == -np.inf
    assert S.inverse(d) == (None, -np.inf)
    assert S.solve(np.diag(d) - M, d) is None
    for bad in (np.nan, np.inf):
        assert S.logdet(np.where(np.arange(20) == 3, bad, d + 50.0)) == -np.inf
        assert definite(np.full((20, 20), bad)).logdet(d) == -np.inf
    assert S.logdet(d + 1.0) > -np.inf  # none of it has lasted


@BOTH
@pytest.mark.parametrize("limit", [10**9, 10])
def test_lowest_eigenvectors(definite, limit, monkeypatch):
    monkeypatch.setattr(definite, "LANCZOS", limit)
    M, d = case(60)
    root = np.sqrt(1.0 + np.arange(60))
    for scale, given in ((np.ones(60), None), (root, root)):
        values, vectors = definite(M).lowest(d, 3, given)
        S = (np.diag(d) - M) / np.outer(scale, scale)
        assert 1 <= len(values) == vectors.shape[1] <= 3
        np.testing.assert_allclose(S @ vectors, vectors * values, atol=1e-2 * np.abs(S).max())
        assert values[0] == pytest.approx(np.linalg.eigvalsh(S)[0], rel=1e-2)


@BOTH
def test_the_matrix_stays_as_it_was(definite):
    M, d = case(15)
    before = M.copy()
    S = definite(M)
    S.inverse(d), S.lowest(d, 2), S.logdet(d), S.lowest(d, 1, d)
    np.testing.assert_array_equal(M, before)
    np.testing.assert_array_equal(S.negative, -before)


def test_cholesky_in_place():
    M, d = case(12)
    S = -M
    factor = shifted_cholesky(S, d, S)
    L = np.tril(factor)
    np.testing.assert_allclose(L @ L.T, np.diag(d) - M, atol=1e-12)


def test_a_device_without_room_leaves_it_to_the_host(monkeypatch):
    def full(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")

    M, d = case(25)
    expected = [Definite(M).logdet(d), Definite(M).inverse(d)[1], Definite(M).lowest(d, 2)[0]]
    step = Definite(M).solve(np.diag(d) - M, d)
    for name in ("_logdet", "_inverse", "eigh", "_solve"):
        monkeypatch.setattr(device, name, full)
    S = OnDevice(M)
    assert S.logdet(d) == expected[0]
    assert S.inverse(d)[1] == expected[1]
    np.testing.assert_array_equal(S.lowest(d, 2)[0], expected[2])
    np.testing.assert_array_equal(S.solve(np.diag(d) - M, d), step)


def test_small_matrices_stay_on_the_host(monkeypatch):
    monkeypatch.setattr(device, "LARGE", 100)
    M, d = case(25)
    S = OnDevice(M)
    assert S.logdet(d) == Definite(M).logdet(d)
    assert S._there is None


def test_numbers_that_are_not_finite_have_no_eigenvectors():
    """SciPy's ValueError ended a solve instead of its engine."""
    M, d = case(25)
    M[0, 0] = np.nan
    for S in (Definite(M), OnDevice(M)):
        with pytest.raises(np.linalg.LinAlgError, match="not finite"):
            S.lowest(d, 2)
