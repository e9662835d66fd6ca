"""One iteration of ADMM on the block form, jitted."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from ...arithmetic.float64 import Array
from ...machine.run import compiled
from ...relaxation.basis import V1
from .cliques import CliqueBatch
from .eigenspace import Eigenspace, follow
from .form import BlockForm
from .projection import Method, psd_part

OVER_RELAXATION = 1.6
ACCURATE = 0.1  # a followed eigenspace's error may be this share of what an iteration changes


class Maps(NamedTuple):
    """The linear maps of the block form (a pytree of arrays: arguments of the jitted functions)."""

    C: Any  # (N, N)
    pinned: Any  # (N,) bool
    z_one: Any  # (n, 1) z's coefficients, or (0, 1)
    z_xi: Any  # (n, q), or (0, 0)
    pairs: Any  # (m, 2) shared functionals: entries (a, b), a <= b, of the extended moment matrix
    woodbury: Any  # (m, m) (I + K G)^-1, or its blocks per batch (n, k, k)
    K: Any  # per batch (n, k, k)
    constants: Any  # per batch (n, D): the blocks' constant terms
    to_shared: Any  # per batch (n, D, k)
    to_own: Any  # per batch (n, D, own)
    residual: Any  # per batch (n, k, D): Es^T P, P the projector off the range of to_own
    solve_own: Any  # per batch (n, own, D): least squares for h


class AdmmState(NamedTuple):
    """Iterates; those of the small blocks per batch (n, D), all its blocks' entries side by side."""

    X: Any  # (parts, M, M): 1 part of side N, or 2 parts of M_1
    U: Any
    X_small: Any
    U_small: Any
    Y: Any  # (N, N)
    spaces: tuple[Eigenspace, ...]  # per part, of the matrix that is projected
    change: Any  # (): what the last iteration changed in the parts, or left to change


Shapes = tuple[tuple[int, ...], ...]  # per batch, the sides of its blocks


def build_maps(form: BlockForm, scale: float) -> tuple[Maps, Shapes]:
    """Arrays of the block form, the objective divided by `scale`."""
    lifting, E = form.lifting, form.extended()
    none = np.zeros((0, 2), dtype=np.int64)  # a relaxation may have no block but M_1
    pairs = np.sort(np.concatenate([none, *(batch.shared.reshape(-1, 2) for batch in form.batches)]), axis=1)
    a, b = pairs.T
    inside = a < len(form.C)
    if not (a[~inside] == b[~inside]).all():
        raise ValueError("a block has the product of two neurons' z")
    parts = [_eliminate(batch) for batch in form.batches]
    if inside.all() and b.max(initial=0) < len(form.C) and len(np.unique(pairs, axis=0)) == len(pairs):
        woodbury: Any = _separate(form, a, b, parts)
    else:
        # G: inner products of the functionals, in the metric that the affine step inverts
        G = _inner_products(E, a, b)
        if form.chordal:
            twice = slice(0, lifting.slice(V1).stop)  # entries of (1, v) are in both parts
            G -= 0.5 * _inner_products(E[:, twice], a, b)
        fixed = E[a][:, form.pinned] * E[b][:, form.pinned] / np.sqrt(_copies(form)[form.pinned])
        G -= fixed @ fixed.T  # pinned entries of Y do not move
        K = scipy.linalg.block_diag(*[block for part in parts for block in part["K"]])
        woodbury = np.linalg.inv(np.eye(len(pairs)) + K @ G)
    has_z = lifting.z_one is not None and lifting.z_xi is not None
    maps = Maps(
        form.C / scale, form.pinned,
        lifting.z_one.mid if has_z else np.zeros((0, 1)),  # type: ignore[union-attr]
        lifting.z_xi.mid if has_z else np.zeros((0, 0)),  # type: ignore[union-attr]
        pairs, woodbury,
        *(tuple(part[name] for part in parts) for name in Maps._fields[6:]),
    )  # fmt: skip
    return maps, tuple(tuple(block.index.shape[0] for block in batch.blocks) for batch in form.batches)


def _separate(form: BlockForm, a: Array, b: Array, parts: list[dict[str, Array]]) -> tuple[Array, ...]:
    """(I + K G)^-1 per batch (n, k, k), where every functional is an entry of Y of its own: G is diagonal."""
    G = np.where(a == b, 1.0, 0.5)
    if form.chordal:
        G[b < form.lifting.slice(V1).stop] *= 0.5  # an entry of both parts
    G[(a == b) & form.pinned[a]] = 0.0
    out, start = [], 0
    for part in parts:
        n, k = part["K"].shape[:2]
        out.append(np.linalg.inv(np.eye(k) + part["K"] * G[start : start + n * k].reshape(n, 1, k)))
        start += n * k
    return tuple(out)


def _inner_products(E: Array, a: Array, b: Array) -> Array:
    """<sym(e_a e_b^T), sym(e_c e_d^T)> of all pairs of functionals (a, b), (c, d), the e rows of E."""
    gram = E @ E.T
    return 0.5 * (gram[np.ix_(a, a)] * gram[np.ix_(b, b)] + gram[np.ix_(a, b)] * gram[np.ix_(b, a)])


def _copies(form: BlockForm) -> Array:
    """(N,): in how many parts of M_1 a diagonal entry lies."""
    copies = np.ones(len(form.C))
    if form.chordal:
        copies[: form.lifting.slice(V1).stop] = 2.0
    return copies


def _eliminate(batch: CliqueBatch) -> dict[str, Array]:
    """Least squares over a clique's own moments, done once."""
    dense, k = batch.dense(), batch.shared.shape[1]
    shared, own = dense[:, :, 1 : 1 + k], dense[:, :, 1 + k :]
    # every own moment is an entry of a moment matrix, so the normal equations are regular
    solve = np.linalg.solve(own.transpose(0, 2, 1) @ own, own.transpose(0, 2, 1))
    turned = shared.transpose(0, 2, 1)
    residual = turned - (turned @ own) @ solve
    return dict(
        K=residual @ shared, constants=dense[:, :, 0], to_shared=shared, to_own=own, residual=residual, solve_own=solve
    )


def _shared(maps: Maps, Y: Any) -> Any:
    """The shared functionals of Y, (m,)."""
    a, b = maps.pairs[:, 0], maps.pairs[:, 1]
    N, (n, q) = Y.shape[0], maps.z_xi.shape
    if n == 0:
        return Y[b, a]
    rows = maps.z_one * Y[0] + maps.z_xi @ Y[N - q :]
    squares = jnp.sum(rows[:, N - q :] * maps.z_xi, axis=1) + rows[:, 0] * maps.z_one[:, 0]
    found = jnp.concatenate([Y, rows])[b, jnp.minimum(a, N - 1)]
    return jnp.where(a < N, found, squares[jnp.maximum(a - N, 0)])


def _adjoint(maps: Maps, psi: Any) -> Any:
    """sum_j psi_j sym(e_a e_b^T), (N, N)."""
    a, b = maps.pairs[:, 0], maps.pairs[:, 1]
    N, (n, q) = maps.C.shape[0], maps.z_xi.shape
    rows = jnp.zeros((N + n, N), psi.dtype).at[b, jnp.minimum(a, N - 1)].add(jnp.where(a < N, psi, 0.0))
    total = rows[:N]
    if n:
        squares = jnp.zeros((n,), psi.dtype).at[jnp.maximum(a - N, 0)].add(jnp.where(a < N, 0.0, psi))
        of_z = rows[N:].at[:, :1].add(squares[:, None] * maps.z_one).at[:, N - q :].add(squares[:, None] * maps.z_xi)
        total = total.at[0].add(maps.z_one[:, 0] @ of_z).at[N - q :].add(maps.z_xi.T @ of_z)
    return 0.5 * (total + total.T)


def take_parts(maps: Maps, Y: Any, count: int) -> Any:
    """The parts of M_1 = Y that must be PSD: (1, N, N), or (2, M, M) over (1, v, t) and (1, v, xi)."""
    if count == 1:
        return Y[None]
    n, q = maps.z_xi.shape
    k, end = 1 + n, 1 + n + q
    second = jnp.block([[Y[:k, :k], Y[:k, end:]], [Y[end:, :k], Y[end:, end:]]])
    return jnp.stack([Y[:end, :end], second])


def merge_parts(maps: Maps, T: Any) -> Any:
    """(N, N): the mean of what the parts T (1 or 2, M, M) say of each entry, 0 where none says anything."""
    if T.shape[0] == 1:
        return T[0]
    n, q = maps.z_xi.shape
    k, zero = 1 + n, jnp.zeros((q, q), T.dtype)
    return jnp.block([
        [0.5 * (T[0, :k, :k] + T[1, :k, :k]), T[0, :k, k:], T[1, :k, k:]],
        [T[0, k:, :k], T[0, k:, k:], zero],
        [T[1, k:, :k], zero, T[1, k:, k:]],
    ])  # fmt: skip


def _split(maps: Maps, flat: Any) -> list[Any]:
    out, start = [], 0
    for K in maps.K:
        n, k = K.shape[:2]
        out.append(flat[start : start + n * k].reshape(n, k))
        start += n * k
    return out


def _join(parts: list[Any]) -> Any:
    return jnp.concatenate([part.ravel() for part in parts])


def _affine_step(maps: Maps, T: Any, T_small: Any, rho: Any) -> tuple[Any, list[Any]]:
    """(Y, h) nearest to the targets less the objective; returns Y and the small blocks there.

    The objective's entries (v, t) and (1, t) lie in one part of M_1, so C needs no mean.
    """
    free = merge_parts(maps, T) + maps.C / rho
    diagonal = jnp.diag_indices(free.shape[0])
    free = free.at[diagonal].set(jnp.where(maps.pinned, 1.0, free[diagonal]))
    wanted = _split(maps, _shared(maps, free))
    right = [
        jnp.einsum("nij,nj->ni", K, s) + jnp.einsum("nid,nd->ni", r, c - t)
        for K, s, r, c, t in zip(maps.K, wanted, maps.residual, maps.constants, T_small, strict=True)
    ]
    if isinstance(maps.woodbury, tuple):
        solved = [jnp.einsum("nij,nj->ni", w, r) for w, r in zip(maps.woodbury, right, strict=True)]
        correction = _adjoint(maps, _join(solved)) if right else jnp.zeros_like(free)
    else:
        correction = _adjoint(maps, maps.woodbury @ _join(right))
    if T.shape[0] == 2:
        k = 1 + maps.z_xi.shape[0]
        correction = correction.at[:k, :k].multiply(0.5)
    Y = free - correction
    Y = Y.at[diagonal].set(jnp.where(maps.pinned, 1.0, Y[diagonal]))
    small = []
    at_Y = _split(maps, _shared(maps, Y))
    parts = zip(at_Y, maps.constants, maps.to_shared, maps.to_own, maps.solve_own, T_small, strict=True)
    for s, c, shared, own, solve, t in parts:
        value = c + jnp.einsum("ndk,nk->nd", shared, s)
        h = jnp.einsum("nod,nd->no", solve, t - value)
        small.append(value + jnp.einsum("ndo,no->nd", own, h))
    return Y, small


def _project_small(parts: list[Any], shapes: Shapes) -> list[Any]:
    """The PSD part of every small block: one batched eigendecomposition per side."""
    pieces: dict[int, list[tuple[int, int, Any]]] = {}
    for b, (part, sides) in enumerate(zip(parts, shapes, strict=True)):
        start = 0
        for side in sides:
            block = part[:, start : start + side * side].reshape(-1, side, side)
            pieces.setdefault(side, []).append((b, start, block))
            start += side * side
    out: list[dict[int, Any]] = [{} for _ in parts]
    for side, blocks in pieces.items():
        stacked = jnp.concatenate([block for _, _, block in blocks])
        done = psd_part(0.5 * (stacked + jnp.swapaxes(stacked, 1, 2)))
        first = 0
        for b, start, block in blocks:
            out[b][start] = done[first : first + block.shape[0]].reshape(block.shape[0], side * side)
            first += block.shape[0]
    return [jnp.concatenate([pieces_of[start] for start in sorted(pieces_of)], axis=1) for pieces_of in out]


def _project(A: Any, space: Eigenspace, tolerance: Any, method: Method) -> tuple[Any, Eigenspace, Any]:
    """The PSD part of a part of M_1, its eigenspace, and whether all of it had to be projected."""
    if space.V.shape[1] == 0:
        return psd_part(A, method), space, True
    near = follow(A, space, tolerance)

    def whole() -> tuple[Any, Eigenspace, Any]:
        return psd_part(A, method), near.space, True

    def part() -> tuple[Any, Eigenspace, Any]:
        return near.part, near.space, False

    return jax.lax.cond(near.error <= tolerance, part, whole)


@partial(compiled, static_argnames=("shapes", "method"))
def iterate(
    maps: Maps, state: AdmmState, rho: Any, count: Any, *, shapes: Shapes, method: Method = "eigh"
) -> tuple[AdmmState, Any, Any]:
    """`count` iterations of ADMM.

    Returns:
        The state, [primal residual, dual residual, objective, <Z, A(Y) - X>], and how many projections of each part
        were of all of it.
    """
    parts = state.X.shape[0]

    def body(_: Any, carry: Any) -> Any:
        state, _, wholes = carry
        Y, small = _affine_step(
            maps, state.X - state.U, [x - u for x, u in zip(state.X_small, state.U_small, strict=True)], rho
        )
        at_Y = take_parts(maps, Y, parts)
        relaxed = OVER_RELAXATION * at_Y + (1 - OVER_RELAXATION) * state.X
        relaxed_small = [
            OVER_RELAXATION * a + (1 - OVER_RELAXATION) * x for a, x in zip(small, state.X_small, strict=True)
        ]
        # part by part: a GPU's batched eigendecomposition is for small matrices
        projected = [
            _project(A, space, ACCURATE * state.change, method)
            for A, space in zip(relaxed + state.U, state.spaces, strict=True)
        ]
        X, spaces = jnp.stack([X for X, _, _ in projected]), tuple(space for _, space, _ in projected)
        wholes = wholes + jnp.stack([jnp.asarray(whole, wholes.dtype) for _, _, whole in projected])
        X_small = _project_small([a + u for a, u in zip(relaxed_small, state.U_small, strict=True)], shapes)
        U = state.U + relaxed - X
        U_small = [u + a - x for u, a, x in zip(state.U_small, relaxed_small, X_small, strict=True)]
        gaps = [at_Y - X, *(a - x for a, x in zip(small, X_small, strict=True))]
        moves = [X - state.X, *(x - y for x, y in zip(X_small, state.X_small, strict=True))]
        duals = [U, *U_small]
        size = jnp.sqrt(sum(jnp.sum(x**2) for x in (X, *X_small)))
        dual_size = jnp.sqrt(sum(jnp.sum(u**2) for u in duals)) + 1e-30
        info = jnp.stack([
            jnp.sqrt(sum(jnp.sum(g**2) for g in gaps)) / size,
            jnp.sqrt(sum(jnp.sum(m**2) for m in moves)) / dual_size,
            jnp.sum(maps.C * Y),
            -rho * sum(jnp.sum(u * g) for u, g in zip(duals, gaps, strict=True)),
        ])  # fmt: skip
        change = jnp.minimum(jnp.linalg.norm(gaps[0]), jnp.linalg.norm(moves[0]))
        return AdmmState(X, U, X_small, U_small, Y, spaces, change), info, wholes

    return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(4, state.X.dtype), jnp.zeros(parts, int)))
