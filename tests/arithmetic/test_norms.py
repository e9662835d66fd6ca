"""Norms rounded up, against exact rational values."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic import norms
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.banded import square_of_norm
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.arithmetic.factored import square_by_factor, work_of_factor
from hr2jax.arithmetic.norms import Haste, hasty_work, in_haste, row_norms, spectral_norm, times_up, vector_norm
from tests.reference.effort import examples

from ..reference.cases import exact
from ..reference.intervals import NUMBERS

KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])
LISTS = st.lists(NUMBERS, min_size=1, max_size=5)


@KINDS
@settings(max_examples=examples(150), deadline=None)
@given(row=LISTS)
def test_row_norms_are_at_least_the_exact_ones_and_close(kind, row):
    with np.errstate(under="ignore"):
        one, two = float(row_norms(np.array([row]), "inf", kind)[0]), vector_norm(np.array(row), 2, kind)
    total, square = sum(abs(exact(row))), sum(exact(row) ** 2)
    assert Fraction(one) >= total
    assert Fraction(two) ** 2 >= square
    assert (one == 0) == (two == 0) == (total == 0)
    assert Fraction(one) <= total * Fraction(1 + 1e-14) + Fraction(1e-280)
    assert Fraction(two) ** 2 <= square * Fraction(1 + 1e-14) + Fraction(1e-320)


@KINDS
@settings(max_examples=examples(150), deadline=None)
@given(a=LISTS, b=LISTS)
def test_the_spectral_norm_of_a_rank_one_matrix(kind, a, b):
    """a b^T with powers of 2 in b is exact in float64, and its norm is |a| |b|."""
    a = np.array(a)
    b = np.sign(b) * 2.0 ** (np.arange(len(b)) % 3)
    with np.errstate(all="ignore"):
        A = np.outer(a, b)
    if not np.isfinite(A).all() or ((np.abs(A) < 1e-300) & (A != 0)).any():
        return
    found = spectral_norm(A, kind)
    square = sum(exact(a) ** 2) * sum(exact(b) ** 2)
    assert Fraction(found) ** 2 >= square
    assert Fraction(found) ** 2 <= square * Fraction(1 + 1e-11)


@KINDS
@pytest.mark.parametrize("shape", [(7, 7), (12, 3), (3, 12), (1, 1)])
@pytest.mark.parametrize("scale", [1.0, 1e-250, 1e250])
def test_spectral_norms_are_tight(kind, shape, scale):
    A = np.random.default_rng(0).standard_normal(shape)
    true = np.linalg.norm(A, 2)
    found = spectral_norm(A * scale, kind) / scale
    assert true * (1 - 1e-14) <= found <= true * (1 + 1e-11)


@KINDS
def test_orthogonal_matrices_have_norm_one(kind):
    H = np.array([[1.0]])
    for _ in range(4):
        H = np.block([[H, H], [H, -H]])
    assert 4.0 <= spectral_norm(H, kind) <= 4.0 * (1 + 1e-12)


def test_kept_spectral_norms_are_those_of_their_own_matrix(monkeypatch):
    """Large matrices' are kept: by every bit and the shape, and each arithmetic's own; the oldest go."""
    monkeypatch.setattr(norms, "_FOUND", {})
    monkeypatch.setattr(norms, "MOST_FOUND", 3)
    A = np.random.default_rng(0).standard_normal((70, 90))
    first = spectral_norm(A)
    assert spectral_norm(A.copy()) == first == norms._spectral_norm(A, Enclosure)
    assert len(norms._FOUND) == 1
    A[3, 5] = np.nextafter(A[3, 5], 9.0)
    A[0, 0] += 50.0
    changed = spectral_norm(A)
    assert changed == norms._spectral_norm(A, Enclosure) != first
    assert spectral_norm(A.T.copy()) >= np.linalg.norm(A, 2)
    for scale in (2.0, 3.0):
        assert spectral_norm(scale * A) == pytest.approx(scale * changed, rel=1e-9)
    assert len(norms._FOUND) == 3


def test_a_wrong_decomposition_costs_tightness_only(monkeypatch):
    A = np.random.default_rng(0).standard_normal((6, 4))
    true = np.linalg.norm(A, 2)
    monkeypatch.setattr(np.linalg, "eigh", lambda G: (np.full(4, 0.1), np.eye(4)))
    assert true < spectral_norm(A) <= np.linalg.norm(A) * (1 + 1e-12)

    def fail(G):
        raise np.linalg.LinAlgError

    monkeypatch.setattr(np.linalg, "eigh", fail)
    assert true < spectral_norm(A) <= np.linalg.norm(A) * (1 + 1e-12)
    monkeypatch.setattr(np.linalg, "eigh", lambda G: (np.full(4, np.nan), np.full((4, 4), np.nan)))
    assert true < spectral_norm(A) <= np.linalg.norm(A) * (1 + 1e-12)


@KINDS
def test_empty_zero_and_infinite(kind):
    assert spectral_norm(np.zeros((3, 0)), kind) == spectral_norm(np.zeros((2, 2)), kind) == 0
    for norm in ("inf", 2):
        assert row_norms(np.zeros((2, 0)), norm, kind).tolist() == [0, 0]
        assert row_norms(np.zeros((0, 2)), norm, kind).shape == (0,)
        assert row_norms(np.array([[0.0, np.inf], [0.0, 0.0]]), norm, kind).tolist() == [np.inf, 0]
        assert vector_norm(np.full(4, 1.7e308), norm, kind) == np.inf
    tiny = 2.0**-1074
    assert 2 * tiny <= vector_norm(np.full(4, tiny), 2, kind) <= 4 * tiny
    assert times_up(0.0, np.inf) == 0 < times_up(tiny, tiny) <= tiny
    assert times_up(1e200, 1e200) == np.inf


def test_planted_fault_of_rounding_to_nearest_is_caught(monkeypatch):
    monkeypatch.setattr(norms, "sqrt_up", np.sqrt)
    monkeypatch.setattr(Enclosure, "upper", lambda self: self.mid)
    rows = np.random.default_rng(0).standard_normal((50, 3))
    found = row_norms(rows, 2)
    assert any(Fraction(float(f)) ** 2 < sum(exact(r) ** 2) for f, r in zip(found, rows, strict=True))


def convolution(seed, side, into, out, shuffled):
    """The matrix of a 3 x 3 convolution of a padded image, rows and columns in channels' order or in none."""
    rng = np.random.default_rng(seed)
    kernel = rng.standard_normal((out, into, 3, 3))
    A = np.zeros((out, side, side, into, side, side))
    for i, j, a, b in np.ndindex(side, side, 3, 3):
        if 0 <= i + a - 1 < side and 0 <= j + b - 1 < side:
            A[:, i, j, :, i + a - 1, j + b - 1] = kernel[:, :, a, b]
    A = A.reshape(out * side**2, into * side**2)
    return A[rng.permutation(len(A))][:, rng.permutation(A.shape[1])] if shuffled else A


@pytest.mark.parametrize("kind", [Enclosure])
@pytest.mark.parametrize(("side", "into", "out"), [(16, 1, 1), (20, 1, 2), (22, 2, 1)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_norms_of_convolutions_by_their_bands_are_tight(kind, side, into, out, shuffled):
    """4096 rows and columns and more take minutes otherwise: a CNN's product of norms took five."""
    A = convolution(side, side, into, out, shuffled) / 4.0
    true, found = np.linalg.norm(A, 2), np.sqrt(square_of_norm(A, kind))
    assert true * (1 - 1e-14) <= found <= true * (1 + 1e-8)


def test_a_band_that_is_not_narrow_is_left_to_the_eigendecomposition():
    assert square_of_norm(np.random.default_rng(0).standard_normal((40, 30)), Enclosure) == np.inf


@settings(max_examples=examples(40), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(8, 60), band=st.integers(0, 2), scale=st.sampled_from([1.0, 1e-6]))
def test_a_norm_by_a_band_is_no_smaller_than_the_true_one(seed, n, band, scale):
    rng = np.random.default_rng(seed)
    A = np.triu(np.tril(rng.standard_normal((n, n)), band), -band) * scale
    A[:, rng.random(n) < 0.2] = 0.0
    found = square_of_norm(A[:, rng.permutation(n)], Enclosure)
    assert found >= np.linalg.norm(A, 2) ** 2 * (1 - 1e-13)


def test_norms_of_huge_convolutions_go_by_their_bands(monkeypatch):
    A = convolution(3, 16, 1, 1, False)
    plain = spectral_norm(A)
    monkeypatch.setattr(norms, "HUGE", 200)
    norms._FOUND.clear()
    seen = []
    monkeypatch.setattr(norms, "square_of_norm", lambda B, kind: seen.append(B.shape) or square_of_norm(B, kind))
    assert spectral_norm(A) == pytest.approx(plain, rel=1e-8)
    assert seen == [A.shape]
    norms._FOUND.clear()


# --- in haste -------------------------------------------------------------------------------------------


def hasty_matrices():
    rng = np.random.default_rng(3)
    yield rng.standard_normal((40, 30))
    yield rng.standard_normal((30, 40)) * 1e100
    yield np.abs(rng.standard_normal((35, 35)))
    yield np.eye(33)[:, rng.permutation(33)]  # all singular values coincide
    yield np.outer(rng.standard_normal(40), rng.standard_normal(30))
    yield rng.standard_normal((40, 30)) * 10.0 ** rng.uniform(-8, 8, 30)
    yield np.zeros((30, 40))


@pytest.mark.parametrize("A", [*hasty_matrices()])
@pytest.mark.parametrize("most", [np.inf, 0.0])
def test_norms_in_haste_are_no_less_than_what_a_decomposition_proves(A, most, monkeypatch):
    """Or whoever verifies would find what is stated by them too small."""
    monkeypatch.setattr(norms, "SLOW", 8)
    monkeypatch.setattr(norms, "LARGE", 8)
    in_time = spectral_norm(A)
    with in_haste(Haste(most)):
        assert spectral_norm(A) >= in_time * (1 + 0.9e-6 * (np.linalg.norm(A, "fro") > in_time * (1 + 1e-9)))
        tight = spectral_norm(A) <= in_time * (1 + 1e-5)
        assert tight or most == 0.0
        with in_haste(None):
            assert spectral_norm(A) == in_time
        rough = np.sqrt(np.abs(A).sum(axis=0).max()) * np.sqrt(np.abs(A).sum(axis=1).max())
        assert spectral_norm(A) <= min(rough * (1 + 3e-6), np.linalg.norm(A, "fro") * (1 + 1e-9))
    assert spectral_norm(A) == in_time


def test_what_the_factor_suggests_is_not_trusted(monkeypatch):
    """Whatever a Cholesky factor is, and whatever Lanczos' method says, the bound holds."""
    A = np.random.default_rng(0).standard_normal((40, 30))
    true, cholesky = np.linalg.norm(A, 2) ** 2, np.linalg.cholesky
    assert true <= square_by_factor(A, Enclosure) <= true * (1 + 1e-5)
    for wrong in (lambda C: 0.0 * C, lambda C: 1.1 * C, lambda C: C.T, lambda C: C + 1e-9):
        with monkeypatch.context() as patch:
            patch.setattr(np.linalg, "cholesky", lambda S, wrong=wrong: wrong(cholesky(S)))
            assert square_by_factor(A, Enclosure) >= true
    for value in (0.0, 0.5 * true, 3.0 * true):
        with monkeypatch.context() as patch:
            patch.setattr("scipy.sparse.linalg.eigsh", lambda *_, value=value, **__: [value])
            patch.setattr(np.linalg, "cholesky", np.tril)  # which never fails
            assert square_by_factor(A, Enclosure) >= true


def test_what_takes_how_much_in_haste():
    assert hasty_work((512, 9000)) == 0.0
    assert hasty_work((600, 1000)) == hasty_work((1000, 600)) == work_of_factor((1000, 600)) > 600**3
