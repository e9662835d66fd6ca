"""The rebuilt published networks give the published bounds; the local ones also check biases and centre."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from hr2jax import Network

from .reference.data import shared

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
from networks import published_network, random_network, sdp_nn


def published(p: int, sparsity: int, trial: int, domain: str) -> float:
    """The published `shor` value, or the interior-point solve that confirmed it where there is one."""
    rows = json.loads(shared("reference", "published_one_hidden.json").read_text())["rows"]
    key = ("shor", domain, p, sparsity, trial)
    (row,) = (r for r in rows if (r["method"], r["range"], r["p"], r["sparsity"], r["trial"]) == key)
    return row.get("recomputed", row["published"])


def global_shor(net: Network) -> tuple[float, float]:
    """Bounds from both sides of max sum_kj c_k A_kj (1 + v_k)/2 t_j over moment matrices with unit diagonal.

    The matrix couples (1, v) with t only, so each side's best unit vectors follow from the other's: the
    lower value is the one attained by alternating. The upper one is the dual's, whatever the ascent did.
    """
    A, c = net.weights[0], net.weights[1][0]
    B = np.vstack([c @ A, c[:, None] * A]) / 2
    N = sum(B.shape)
    T = np.random.default_rng(0).standard_normal((B.shape[1], int(np.sqrt(2 * N)) + 2))
    value, previous = 0.0, -1.0
    while value - previous > 1e-11 * value:
        previous = value
        for _ in range(20):
            T /= np.linalg.norm(T, axis=1, keepdims=True)
            U = B @ T
            u = np.linalg.norm(U, axis=1)
            U /= u[:, None]
            T = B.T @ U
            t = np.linalg.norm(T, axis=1)
        value = t.sum()
    S = np.diag(np.concatenate([u, t]))
    S[: len(u), len(u) :] = -B
    S[len(u) :, : len(u)] = -B.T
    return value, (S.trace() + N * max(0.0, -np.linalg.eigvalsh(S)[0])) / 2


def local_shor(net: Network, center: np.ndarray, radius: float) -> float:
    """The relaxation with E[(u - 1/2) z] >= 0 and x = center + radius xi in the basis, by interior point.

    Neurons whose sign is known on the box lose their variable. Sizes of p = 10 only: one dense matrix of
    1 + 3p rows.
    """
    clarabel = pytest.importorskip("clarabel")
    A, c = net.weights[0], net.weights[1][0]
    p = len(center)
    z, reach = A @ center + net.biases[0], radius * np.abs(A).sum(axis=1)
    unstable = np.abs(z) < reach
    m = int(unstable.sum())
    xi, v, t = slice(1, 1 + p), slice(1 + p, 1 + p + m), slice(1 + p + m, 1 + 2 * p + m)
    N = 1 + 2 * p + m

    # Symmetric matrices as Clarabel wants them: the upper triangle by columns, sqrt(2) off the diagonal.
    column, row = np.tril_indices(N)
    scale = np.where(row == column, 1.0, np.sqrt(2.0))

    def form(M: np.ndarray) -> np.ndarray:
        return ((M + M.T) / 2)[row, column] * scale

    objective = np.zeros((N, N))
    objective[0, t] = c[z >= reach] @ A[z >= reach] + c[unstable] @ A[unstable] / 2
    objective[v, t] = c[unstable, None] * A[unstable] / 2
    signs = []
    for i, k in enumerate(np.flatnonzero(unstable)):
        M = np.zeros((N, N))
        M[v.start + i, 0], M[v.start + i, xi] = z[k], radius * A[k]
        signs.append(-form(M))
    diagonal = np.array([form(np.diag(e)) for e in np.eye(N)])
    equal = np.r_[0, v]  # 1 and v = +-1; the rest of the diagonal is at most 1
    atmost = np.r_[xi, t]
    rows = np.vstack([diagonal[equal], diagonal[atmost], *signs, -np.eye(len(row))])
    right = np.concatenate([np.ones(N), np.zeros(m + len(row))])
    cones = [clarabel.ZeroConeT(1 + m), clarabel.NonnegativeConeT(2 * p + m), clarabel.PSDTriangleConeT(N)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    P = sparse.csc_matrix((len(row), len(row)))
    solver = clarabel.DefaultSolver(P, -form(objective), sparse.csc_matrix(rows), right, cones, settings)
    return -solver.solve().obj_val


@pytest.mark.parametrize(
    ("p", "sparsity", "trial"),
    [(10, 4, 0), (10, 12, 0), (10, 12, 4), (10, 20, 1), (20, 16, 2), (40, 70, 3), (80, 50, 0)],
)
def test_global_shor_value_is_the_published_one(p: int, sparsity: int, trial: int) -> None:
    lower, upper = global_shor(published_network(p, sparsity, trial)[0])
    assert upper - lower <= 1e-6 * upper
    assert lower == pytest.approx(published(p, sparsity, trial, "global"), rel=1e-5)


def test_the_value_to_check_a_generator_by() -> None:
    lower, upper = global_shor(published_network(10, 12, 0)[0])
    assert lower <= upper
    assert lower == pytest.approx(1.23558, abs=1e-5)


@pytest.mark.parametrize(("sparsity", "trial"), [(4, 1), (12, 0), (20, 2), (20, 4)])
def test_local_shor_value_is_the_published_one(sparsity: int, trial: int) -> None:
    net, center = published_network(10, sparsity, trial)
    assert local_shor(net, center, 0.1) == pytest.approx(published(10, sparsity, trial, "local"), rel=1e-5)


def test_the_band_keeps_half_the_sparsity_each_side() -> None:
    net, center = published_network(10, 4, 3)
    row, column = np.nonzero(net.weights[0])
    assert np.abs(row - column).max() == 1
    assert net.widths == (10, 10, 1)
    assert center.shape == (10,)
    dense, _ = published_network(10, 40, 3)
    assert np.array_equal(net.weights[0][row, column], dense.weights[0][row, column])
    assert np.array_equal(net.weights[1], dense.weights[1])


def test_random_network_is_float32_within_its_law_and_its_seeds_differ() -> None:
    net = random_network(30, 20, seed=1)
    assert net.widths == (30, 20, 1)
    for array, fan_in in zip((*net.weights, *net.biases), (30, 20, 30, 20), strict=True):
        assert np.array_equal(array.astype(np.float32), array)
        assert np.abs(array).max() <= np.float32(fan_in**-0.5)
    assert np.abs(net.weights[0]).max() > 0.9 * 30**-0.5
    assert net.hash == random_network(30, 20, seed=1).hash != random_network(30, 20, seed=2).hash


def test_sdp_nn_is_the_published_network() -> None:
    shared("data", "sdp_nn.npz")
    net, x00 = sdp_nn()
    assert net.widths == (784, 500, 1)
    assert x00.shape == (784,)
    lower, upper = global_shor(net)
    assert lower == pytest.approx(17.84867, rel=1e-6)
    assert upper == pytest.approx(17.84867, rel=1e-5)
