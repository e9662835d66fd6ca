"""ADMM on the block form, jitted: the faithful engine.

min -<C, Y>  subject to  X_k = A_k(Y, h),  X_k >= 0, over M_1 = Y with pinned entries and the cliques' own
moments h (DESIGN section 2). In scaled form, with multipliers U_k and penalty rho:

    (Y, h) = argmin -<C, Y>/rho + 1/2 sum_k ||A_k(Y, h) - X_k + U_k||^2,
    X_k = the PSD part of A_k(Y, h) + U_k,     U_k = U_k + A_k(Y, h) - X_k,

so that Z_k = -rho U_k >= 0 are the dual matrices. The first step is exact and cheap: h is eliminated
clique by clique, and what is left is the identity (or, where M_1 is split, the number of its parts that an
entry lies in) plus the few functionals of Y that cliques share (Woodbury with one matrix of their number,
factored once and for all rho). The second is a projection of each part of M_1 (projection.py; eigenspace.py, once
few of its eigenvalues are positive) and one batched projection per shape of small block. Over-relaxed (Boyd
et al. 2011, section 3.4.3), rho balanced by what infeasibility costs on either side.

The start is the central path's: d from Newton's method for the multipliers there are (none: those of `shor`
without z), S = Diag(d) - M, and moments in proportion to S^-1. It saves up to two thirds of the iterations.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse

from ..diagonal import feasible, tighten
from ..interrupts import undisturbed
from ..proof import SOS, add_squares, lagrangian_matrix
from ..relaxation.block import BlockForm, CliqueBatch, block_form, duals_of, multipliers_of, splits
from ..relaxation.lifting import Lifting
from ..result import Status
from .compile_clock import compile_seconds
from .device import definite_on_device, eigh
from .eigenspace import Eigenspace, begin, columns_for, follow, narrowed
from .monitor import Monitor, Stop
from .projection import Method, choose_projection, in_float32, psd_part
from .scale import ABSURD, in_units, mean_diagonal
from .threads import few_threads

Array = np.ndarray

OVER_RELAXATION = 1.6
CHUNK = 40  # iterations between looks at the residuals
LOOKS = 4  # chunks between certificates (thrice as many above SMALL)
PATIENCE = 15  # certificates without a better bound before the run is called stalled
CONVERGED = 1e-2  # or 3 of them, once the residual is below this share of the tolerance
SMALL = 400  # up to this N all is float64: a second compilation would cost more than float32 saves
NEWTON = 1000  # up to this N Newton's method on the diagonal is cheap beside the iterations it saves
COLD, WARM = 1e-2, 1e-3  # its tolerance, without multipliers to start from and with them
COARSE = 1e-4  # float32 steers until the residual is below this, or no longer falls
ACCURATE = 0.1  # a followed eigenspace's error may be this share of what an iteration changes
# Iterations times the side's cube before it is followed, or times its square and the columns before they become fewer:
# about what compiling takes on a CPU core
EARNED = 4e9
FAILURES = 0.5  # share of iterations that may need full projections of a part that is followed


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


class State(NamedTuple):
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
            twice = slice(0, lifting.slice("v").stop)  # entries of (1, v) are in both parts
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
        G[b < form.lifting.slice("v").stop] *= 0.5  # an entry of both parts
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
        copies[: form.lifting.slice("v").stop] = 2.0
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


@partial(jax.jit, static_argnames=("shapes", "method"))
def iterate(
    maps: Maps, state: State, rho: Any, count: Any, *, shapes: Shapes, method: Method = "eigh"
) -> tuple[State, Any, Any]:
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
        return State(X, U, X_small, U_small, Y, spaces, change), info, wholes

    return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(4, state.X.dtype), jnp.zeros(parts, int)))


def admm_form(relaxation: str, lifting: Lifting) -> BlockForm:
    """The layout of a relaxation that ADMM solves fastest: products, and M_1 split where nothing couples x with t.

    Measured on the published local (40, 40), same penalty: the split takes 520 iterations instead of 800 (`shor`)
    and 640 instead of 1200 (`hr2`), each of two thirds of the work; the product layout needs as many as cliques
    do, or fewer, without small eigendecompositions.
    """
    if relaxation == "lasserre2":
        return block_form(relaxation, lifting)
    form = block_form(relaxation, lifting, layout="product")
    return dataclasses.replace(form, chordal=splits(form))


def solve_admm(
    form: BlockForm,
    monitor: Monitor,
    *,
    start: Mapping[str, Array] | None = None,
    seed: int = 0,
    projection: Method | None = None,
) -> Status:
    """Solve the block form; certify as the residuals fall; stop on the certified gap.

    Args:
        form: the relaxation.
        monitor: certifies, records, says when to stop.
        start: product-form multipliers to begin from (a warm start).
        seed: of the scale's estimate.
        projection: of M_1; None: what `choose_projection` says.

    Returns:
        SOLVED when |bound - objective| + |<Z, A(Y) - X>| <= tol * bound / 2; STALLED when certificates stop improving.
    """
    scale = mean_diagonal(form.lifting, np.random.default_rng(seed))
    # float32's products are exact ones on a CPU only: a GPU would round their factors to 10 bits
    with jax.enable_x64(True), jax.default_matmul_precision("highest"), few_threads(len(form.C)):
        run = _Run(form, monitor, scale, projection)
        try:
            run.begin(start or {})
            return run.loop()
        except Stop as stop:
            run.offer()
            return stop.status
        except KeyboardInterrupt:
            run.offer()
            return Status.STOPPED


class _Run:
    def __init__(self, form: BlockForm, monitor: Monitor, scale: float, projection: Method | None = None):
        self.form, self.monitor, self.scale = form, monitor, scale
        self.exact, self.shapes = build_maps(form, scale)
        self.rho, self.iteration = 0.3, 0
        self.seconds = 0.0  # per iteration, measured as it runs
        self.look_after = 0  # iterations before another look for eigenspaces to follow
        self.state: State | None = None
        self.method = projection
        self.use(np.float64 if len(form.C) <= SMALL else np.float32)

    def use(self, dtype: Any) -> None:
        """Work in float32 or float64 from now on."""

        def convert(array: Any) -> Any:
            return jnp.asarray(array, dtype if jnp.issubdtype(array.dtype, jnp.floating) else None)

        self.dtype = np.dtype(dtype)
        self.maps = jax.tree.map(convert, self.exact)
        if self.state is not None:
            self.state = jax.tree.map(lambda array: jnp.asarray(np.asarray(array), dtype), self.state)
        device = next(iter(self.maps.C.devices()))
        self.projection = self.method or choose_projection(len(self.form.C), device.platform)
        if self.dtype == np.float32:
            self.projection = in_float32(self.projection, device)

    def begin(self, start: Mapping[str, Array]) -> None:
        """Y = I and no duals, or the dual matrices that the given multipliers describe."""
        # in NumPy: JAX would compile each of these few operations
        N, lifting = len(self.form.C), self.form.lifting
        Y, S, U_small = np.eye(N), np.zeros((N, N)), [np.zeros_like(c) for c in self.exact.constants]
        with np.errstate(all="ignore"):
            M = lagrangian_matrix(lifting, start).mid / self.scale
        if (start or N <= NEWTON) and np.abs(M).max() < ABSURD:
            far = np.abs(M).sum(axis=1)
            d = tighten(
                M, lifting.square_is_one, far, tolerance=WARM if start else COLD, definite=definite_on_device()
            )
            S = np.diag(d) - M
            root = np.sqrt(np.abs(np.diag(inverse := np.linalg.inv(S))))
            Y = inverse / np.outer(root, root)  # S^-1 is the moment matrix of the central path, up to its scale
            U_small = [-Z / (self.scale * self.rho) for Z in duals_of(self.form, start)]
        U = -self.split(S) / self.rho if S.any() else np.zeros_like(self.parts(Y))
        X = self.parts(Y)
        unknown = Eigenspace(np.zeros((X.shape[1], 0)), np.zeros(X.shape[1]))
        state = State(X, U, self.small_at(Y), U_small, Y, len(X) * (unknown,), np.zeros(()))
        self.state = jax.tree.map(lambda array: jnp.asarray(array, self.dtype), state)

    def parts(self, Y: Array) -> Array:
        """(1 or 2, M, M): `take_parts`, in NumPy."""
        if not self.form.chordal:
            return Y[None]
        t, xi = self.form.lifting.slice("t"), self.form.lifting.slice("xi")
        return np.stack([np.delete(np.delete(Y, other, 0), other, 1) for other in (xi, t)])

    def small_at(self, Y: Array) -> list[Array]:
        """The small blocks at Y, their own moments such that the blocks are small."""
        E, exact, start, out = scipy.sparse.csr_array(self.form.extended()), self.exact, 0, []
        maps = zip(exact.constants, exact.to_shared, exact.to_own, exact.solve_own, strict=True)
        for constants, shared, own, solve in maps:
            n, k = constants.shape[0], shared.shape[2]
            a, b = exact.pairs[start : start + n * k].T
            moments = np.asarray(E[a].multiply(E[b] @ Y).sum(axis=1)).reshape(n, k)
            value = constants + np.einsum("ndk,nk->nd", shared, moments)
            out.append(value - np.einsum("ndo,noe,ne->nd", own, solve, value, optimize=True))
            start += n * k
        return out

    def split(self, S: Array) -> Array:
        """PSD parts (1 or 2, M, M) that sum to the positive definite S, whose entries (t, xi) are 0 if there are 2."""
        if not self.form.chordal:
            return S[None]
        n, q = self.maps.z_xi.shape
        k, end = 1 + n, 1 + n + q
        first, rest = S[:end, :end].copy(), np.delete(np.delete(S, np.s_[k:end], 0), np.s_[k:end], 1)
        # the least first part is that of a Schur complement 0; the other takes half of what is left of S
        least = S[:k, k:end] @ np.linalg.solve(S[k:end, k:end], S[k:end, :k])
        other = S[:k, end:] @ np.linalg.solve(S[end:, end:], S[end:, :k])
        half = 0.5 * (S[:k, :k] - least - other)
        first[:k, :k], rest[:k, :k] = least + half, other + half
        return np.stack([first, rest])

    def loop(self) -> Status:
        if not self.form.C.any():  # nothing to maximise: no multiplier can improve on none
            self.offer()
            self.monitor.report(0, 0.0, 0.0)
            return Status.STALLED
        best, idle, checked, least, since, rounds = np.inf, 0, np.inf, np.inf, 0, 0
        often = LOOKS if len(self.form.C) <= SMALL else 3 * LOOKS
        while True:
            count = self.count()
            primal, dual, objective, error = self.advance(count)
            rounds += 1
            if not np.isfinite([primal, dual, objective]).all():
                return Status.NUMERICAL_ERROR
            residual, value = max(primal, dual), in_units(objective * self.scale, self.form.lifting)
            error = in_units(error * self.scale, self.form.lifting)
            # certificates cost as much as a few iterations: only when the residual has halved, or now and then
            bound = np.inf
            if residual < 0.5 * checked or rounds % often == 0:
                checked = residual
                bound = self.offer()
                idle = 0 if bound < best * (1 - 0.01 * self.monitor.tolerance) else idle + 1
                best = min(best, bound)
            self.monitor.report(self.iteration, value, residual)
            # half of the tolerance, because the objective of an iterate may lie above the optimum; and a small
            # residual, because all three numbers may agree by chance on the way
            gap, tolerance = max(abs(best - value), abs(error)), self.monitor.tolerance
            if best < np.inf and gap <= 0.5 * tolerance * best and residual <= tolerance:
                return Status.SOLVED
            # what is left of the gap once converged is rounding, or an objective as small as its own radii
            converged = residual < CONVERGED * self.monitor.tolerance
            if idle >= (3 if converged else PATIENCE):
                return Status.STALLED
            least, since = (residual, 0) if residual < 0.9 * least else (least, since + 1)
            if self.dtype == np.float32 and (residual < COARSE or since >= 10):
                self.use(np.float64)
            if bound < np.inf:
                self.balance((abs(error), primal), (bound - (value + error), dual))

    def advance(self, count: int) -> tuple[float, float, float, float]:
        """`count` iterations; what `iterate` says of the last one."""
        began, compiled = time.perf_counter(), compile_seconds()
        rho = jnp.asarray(self.rho, self.dtype)
        with undisturbed():
            self.state, info, wholes = jax.block_until_ready(
                iterate(self.maps, self.state, rho, count, shapes=self.shapes, method=self.projection)
            )
        primal, dual, objective, error = map(float, info)
        self.seconds = (time.perf_counter() - began - (compile_seconds() - compiled)) / count
        self.iteration += count
        if 2 * count >= CHUNK and self.iteration >= self.look_after:
            self.follow(np.asarray(wholes) / count)
        return primal, dual, objective, error

    def follow(self, wholes: Array) -> None:
        """Begin to follow the eigenspaces of parts with few positive eigenvalues, or begin anew where that failed.

        Args:
            wholes: (parts,) the share of the last iterations in which all of a part was projected.
        """
        state = self.state
        assert state is not None
        side = state.X.shape[1]
        if self.iteration * side**3 < EARNED or not columns_for(0, side, self.projection):
            return
        # a look decomposes: seldom, where there was nothing to follow
        self.look_after = int(1.5 * self.iteration)
        spaces, tolerance = list(state.spaces), ACCURATE * float(state.change)
        for k, whole in enumerate(wholes):
            if whole > FAILURES:
                with undisturbed():
                    values, vectors = map(np.asarray, eigh(state.X[k] + state.U[k]))
                space = begin(values, vectors, tolerance, self.projection)
                spaces[k] = Eigenspace(*(jnp.asarray(array, self.dtype) for array in space))
            elif self.iteration * spaces[k].V.size * side >= EARNED:
                with undisturbed():
                    spaces[k] = narrowed(spaces[k], state.X[k], tolerance)
        self.state = state._replace(spaces=tuple(spaces))

    def count(self) -> int:
        """How many iterations until the next look: no more than are left, nor than half of the time left allows."""
        left, seconds = self.monitor.iterations_left(), self.monitor.remaining()
        if len(self.form.C) > SMALL and seconds < np.inf:
            left = min(left, 0.5 * seconds / self.seconds if self.seconds else 1)
        return int(max(min(CHUNK, left), 1))

    def balance(self, primal: tuple[float, float], dual: tuple[float, float]) -> None:
        """Keep what infeasibility costs on either side within a factor of 2; a change of rho rescales U.

        Args:
            primal: |<Z, A(Y) - X>|, the multipliers' value of the primal residual; and that residual.
            dual: the certified bound less the dual's value, which is what the dual residual costs, and that
                residual. The bound has other costs too (radii, rounding), so a side whose residual is much
                the smaller is not asked to give more.
        """
        factor = float(np.clip(np.sqrt(primal[0] / max(dual[0], 1e-300)), 0.5, 2.0))
        if (factor > 1 and primal[1] < 0.1 * dual[1]) or (factor < 1 and dual[1] < 0.1 * primal[1]):
            return
        if not 0.7 < factor < 1.4:
            assert self.state is not None
            self.rho *= factor
            self.state = self.state._replace(U=self.state.U / factor, U_small=[u / factor for u in self.state.U_small])

    def offer(self) -> float:
        """Certify the current duals."""
        if self.state is None:
            return float("inf")
        form, lifting = self.form, self.form.lifting
        unit = -self.rho * self.scale
        duals = [unit * np.asarray(U, dtype=np.float64) for U in self.state.U_small]
        multipliers = multipliers_of(form, duals) | self.square_factors(duals)
        M = add_squares(lifting, multipliers, lagrangian_matrix(lifting, multipliers))[0].mid
        if not np.isfinite(M).all():
            return float("inf")
        d = np.diag(M) + unit * self.dual_diagonal()
        definite = definite_on_device()
        d = feasible(M, np.where(lifting.square_is_one, d, np.maximum(d, 0.0)), definite=definite)
        if lifting.size <= NEWTON:
            d = tighten(M, lifting.square_is_one, d, tolerance=0.1 * self.monitor.tolerance, definite=definite)
        return self.monitor.certify(multipliers, d)

    def dual_diagonal(self) -> Array:
        """(N,): the diagonal of the sum of M_1's parts' multipliers U, each where it belongs."""
        assert self.state is not None
        diagonals = np.diagonal(np.asarray(self.state.U, dtype=np.float64), axis1=1, axis2=2)
        if not self.form.chordal:
            return diagonals[0]
        k = 1 + self.maps.z_xi.shape[0]
        return np.concatenate([diagonals[0, :k] + diagonals[1, :k], diagonals[0, k:], diagonals[1, k:]])

    def square_factors(self, duals: list[Array]) -> dict[str, Array]:
        """lasserre2's dual matrices as factors L, Z = L L^T (the product form has no families for them)."""
        out = {}
        for batch, dual in zip(self.form.batches, duals, strict=True):
            start = 0
            for block in batch.blocks:
                d = block.index.shape[0]
                if block.name.startswith(SOS):
                    Z = dual[0, start : start + d * d].reshape(d, d)
                    values, vectors = np.linalg.eigh(0.5 * (Z + Z.T))
                    out[block.name] = vectors * np.sqrt(np.maximum(values, 0.0))
                start += d * d
        return out
