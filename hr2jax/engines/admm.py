"""ADMM on the block form, jitted: the faithful engine.

min -<C, Y>  subject to  X_k = A_k(Y, h),  X_k >= 0, over M_1 = Y with pinned entries and the cliques' own
moments h (DESIGN section 2). In scaled form, with multipliers U_k and penalty rho:

    (Y, h) = argmin -<C, Y>/rho + 1/2 sum_k ||A_k(Y, h) - X_k + U_k||^2,
    X_k = the PSD part of A_k(Y, h) + U_k,     U_k = U_k + A_k(Y, h) - X_k,

so that Z_k = -rho U_k >= 0 are the dual matrices. The first step is exact and cheap: h is eliminated
clique by clique, and what is left is the identity plus the few functionals of Y that cliques share
(Woodbury with one matrix of their number, factored once and for all rho). The second is one batched
eigendecomposition per block shape. Over-relaxed (Boyd et al. 2011, section 3.4.3), rho balanced by the
residuals.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from ..diagonal import feasible, tighten
from ..proof import SOS, add_squares, lagrangian_matrix
from ..relaxation.block import BlockForm, CliqueBatch, clique_multipliers, clique_polynomials
from ..result import Status
from .monitor import Monitor, Stop
from .scale import ABSURD, in_units, mean_diagonal

Array = np.ndarray

OVER_RELAXATION = 1.6
CHUNK = 40  # iterations between looks at the residuals
PATIENCE = 30  # chunks without a better certificate before the run is called stalled


class Maps(NamedTuple):
    """The linear maps of the block form (a pytree of arrays: arguments of the jitted functions)."""

    C: Any  # (N, N)
    pinned: Any  # (N,) bool
    E: Any  # (N + n, N) the extended basis
    pairs: Any  # (m, 2) shared functionals as entries of E Y E^T
    woodbury: Any  # (m, m) (I + K G)^-1
    K: Any  # per batch (n, k, k)
    constants: Any  # per batch (n, D): the blocks' constant terms
    to_shared: Any  # per batch (n, D, k)
    to_own: Any  # per batch (n, D, own)
    residual: Any  # per batch (n, k, D): Es^T P, P the projector off the range of to_own
    solve_own: Any  # per batch (n, own, D): least squares for h


class State(NamedTuple):
    """Iterates; per batch arrays are (n, D), all its blocks' entries side by side."""

    X: Any
    U: Any
    X_small: Any
    U_small: Any
    Y: Any


Shapes = tuple[tuple[int, ...], ...]  # per batch, the sides of its blocks


def build_maps(form: BlockForm, scale: float) -> tuple[Maps, Shapes]:
    """Arrays of the block form, the objective divided by `scale`."""
    E = form.extended()
    pairs = np.concatenate([batch.shared.reshape(-1, 2) for batch in form.batches])
    a, b = pairs.T
    gram = E @ E.T
    G = 0.5 * (gram[np.ix_(a, a)] * gram[np.ix_(b, b)] + gram[np.ix_(a, b)] * gram[np.ix_(b, a)])
    fixed = E[a][:, form.pinned] * E[b][:, form.pinned]
    G -= fixed @ fixed.T  # pinned entries of Y do not move
    parts = [_eliminate(batch) for batch in form.batches]
    K = scipy.linalg.block_diag(*[block for part in parts for block in part["K"]])
    maps = Maps(
        form.C / scale, form.pinned, E, pairs, np.linalg.inv(np.eye(len(pairs)) + K @ G),
        *(tuple(part[name] for part in parts) for name in Maps._fields[5:]),
    )  # fmt: skip
    return maps, tuple(tuple(block.index.shape[0] for block in batch.blocks) for batch in form.batches)


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
    rows = maps.E @ Y
    return jnp.sum(rows[maps.pairs[:, 0]] * maps.E[maps.pairs[:, 1]], axis=1)


def _adjoint(maps: Maps, psi: Any) -> Any:
    """sum_j psi_j sym(e_a e_b^T), (N, N)."""
    left = maps.E[maps.pairs[:, 0]] * psi[:, None]
    product = left.T @ maps.E[maps.pairs[:, 1]]
    return 0.5 * (product + product.T)


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
    """(Y, h) nearest to the targets less the objective; returns Y and the small blocks there."""
    diagonal = jnp.diag_indices(T.shape[0])
    free = T + maps.C / rho
    free = free.at[diagonal].set(jnp.where(maps.pinned, 1.0, free[diagonal]))
    wanted = _split(maps, _shared(maps, free))
    right = [
        jnp.einsum("nij,nj->ni", K, s) + jnp.einsum("nid,nd->ni", r, c - t)
        for K, s, r, c, t in zip(maps.K, wanted, maps.residual, maps.constants, T_small, strict=True)
    ]
    Y = free - _adjoint(maps, maps.woodbury @ _join(right))
    Y = Y.at[diagonal].set(jnp.where(maps.pinned, 1.0, Y[diagonal]))
    small = []
    at_Y = _split(maps, _shared(maps, Y))
    parts = zip(at_Y, maps.constants, maps.to_shared, maps.to_own, maps.solve_own, T_small, strict=True)
    for s, c, shared, own, solve, t in parts:
        value = c + jnp.einsum("ndk,nk->nd", shared, s)
        h = jnp.einsum("nod,nd->no", solve, t - value)
        small.append(value + jnp.einsum("ndo,no->nd", own, h))
    return Y, small


def _psd_part(A: Any) -> Any:
    values, vectors = jnp.linalg.eigh(A)
    return (vectors * jnp.maximum(values, 0.0)[..., None, :]) @ jnp.swapaxes(vectors, -1, -2)


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
        done = jnp.maximum(stacked, 0.0) if side == 1 else _psd_part(0.5 * (stacked + jnp.swapaxes(stacked, 1, 2)))
        first = 0
        for b, start, block in blocks:
            out[b][start] = done[first : first + block.shape[0]].reshape(block.shape[0], side * side)
            first += block.shape[0]
    return [jnp.concatenate([pieces_of[start] for start in sorted(pieces_of)], axis=1) for pieces_of in out]


@partial(jax.jit, static_argnames=("shapes",))
def iterate(maps: Maps, state: State, rho: Any, count: Any, *, shapes: Shapes) -> tuple[State, Any]:
    """`count` iterations; returns the state and [primal residual, dual residual, objective, <Z, A(Y) - X>]."""

    def body(_: Any, carry: Any) -> Any:
        state, _ = carry
        Y, small = _affine_step(
            maps, state.X - state.U, [x - u for x, u in zip(state.X_small, state.U_small, strict=True)], rho
        )
        relaxed = OVER_RELAXATION * Y + (1 - OVER_RELAXATION) * state.X
        relaxed_small = [
            OVER_RELAXATION * a + (1 - OVER_RELAXATION) * x for a, x in zip(small, state.X_small, strict=True)
        ]
        X = _psd_part(relaxed + state.U)
        X_small = _project_small([a + u for a, u in zip(relaxed_small, state.U_small, strict=True)], shapes)
        U = state.U + relaxed - X
        U_small = [u + a - x for u, a, x in zip(state.U_small, relaxed_small, X_small, strict=True)]
        gaps = [Y - X, *(a - x for a, x in zip(small, X_small, strict=True))]
        moves = [X - state.X, *(x - y for x, y in zip(X_small, state.X_small, strict=True))]
        duals = [U, *U_small]
        size = jnp.sqrt(sum(jnp.sum(x**2) for x in (X, *X_small)))
        dual_size = jnp.sqrt(sum(jnp.sum(u**2) for u in duals)) + 1e-30
        info = jnp.array([
            jnp.sqrt(sum(jnp.sum(g**2) for g in gaps)) / size,
            jnp.sqrt(sum(jnp.sum(m**2) for m in moves)) / dual_size,
            jnp.sum(maps.C * Y),
            -rho * sum(jnp.sum(u * g) for u, g in zip(duals, gaps, strict=True)),
        ])  # fmt: skip
        return State(X, U, X_small, U_small, Y), info

    return jax.lax.fori_loop(0, count, body, (state, jnp.zeros(4, state.X.dtype)))


def solve_admm(
    form: BlockForm, monitor: Monitor, *, start: Mapping[str, Array] | None = None, seed: int = 0
) -> Status:
    """Solve the block form; certify as the residuals fall; stop on the certified gap.

    Args:
        form: the relaxation.
        monitor: certifies, records, says when to stop.
        start: product-form multipliers to begin from (a warm start).
        seed: of the scale's estimate.

    Returns:
        SOLVED when |bound - objective| + |<Z, A(Y) - X>| <= tol * bound / 2; STALLED when certificates stop improving.
    """
    scale = mean_diagonal(form.lifting, np.random.default_rng(seed))
    run = _Run(form, monitor, scale)
    with jax.enable_x64(True):
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
    def __init__(self, form: BlockForm, monitor: Monitor, scale: float):
        self.form, self.monitor, self.scale = form, monitor, scale
        self.maps, self.shapes = build_maps(form, scale)
        self.rho, self.iteration = 0.3, 0
        self.state: State | None = None

    def begin(self, start: Mapping[str, Array]) -> None:
        """Y = I and no duals, or the dual matrices that the given multipliers describe."""
        identity = np.eye(self.form.lifting.size)
        U, U_small = np.zeros_like(identity), [np.zeros_like(c) for c in self.maps.constants]
        with np.errstate(all="ignore"):
            M = lagrangian_matrix(self.form.lifting, start).mid / self.scale
        if start and np.abs(M).max() < ABSURD:
            d = tighten(M, self.form.lifting.square_is_one, np.abs(M).sum(axis=1), tolerance=1e-4)
            U = -(np.diag(d) - M) / self.rho
            for k, (q, batch) in enumerate(zip(clique_polynomials(self.form, start), self.form.batches, strict=True)):
                dense = batch.dense()
                Z = np.einsum("ndq,nq->nd", np.linalg.pinv(dense.transpose(0, 2, 1)), q / self.scale)
                U_small[k] = -Z / self.rho
        Y, small = _affine_step(self.maps, jnp.asarray(identity), [jnp.zeros_like(u) for u in U_small], 1e30)
        self.state = State(Y, jnp.asarray(U), small, [jnp.asarray(u) for u in U_small], Y)

    def loop(self) -> Status:
        best, idle, checked = np.inf, 0, np.inf
        while True:
            count = int(max(min(CHUNK, self.monitor.iterations_left()), 1))
            self.state, info = iterate(self.maps, self.state, self.rho, count, shapes=self.shapes)
            primal, dual, objective, error = map(float, info)
            self.iteration += count
            if not np.isfinite([primal, dual, objective]).all():
                return Status.NUMERICAL_ERROR
            residual, value = max(primal, dual), in_units(objective * self.scale, self.form.lifting)
            # certificates cost as much as a few iterations: only when the residual has halved, or now and then
            if residual < 0.5 * checked or self.iteration % (10 * CHUNK) == 0:
                checked = residual
                bound = self.offer()
                idle = 0 if bound < best * (1 - 0.01 * self.monitor.tolerance) else idle + 1
                best = min(best, bound)
            self.monitor.report(self.iteration, value, residual)
            error = in_units(abs(error) * self.scale, self.form.lifting)
            # half of the tolerance, because the objective of an iterate may lie above the optimum
            if best < np.inf and abs(best - value) + error <= 0.5 * self.monitor.tolerance * best:
                return Status.SOLVED
            if idle >= PATIENCE:
                return Status.STALLED
            self.balance(primal, dual)

    def balance(self, primal: float, dual: float) -> None:
        """Keep the residuals within a factor of each other; a change of rho rescales U."""
        factor = 1.0
        if primal > 4 * dual:
            factor = 1.5
        elif dual > 4 * primal:
            factor = 1 / 1.5
        if factor != 1.0 and self.iteration % (2 * CHUNK) == 0:
            assert self.state is not None
            self.rho *= factor
            self.state = self.state._replace(
                U=self.state.U / factor, U_small=[u / factor for u in self.state.U_small]
            )

    def offer(self) -> float:
        """Certify the current duals."""
        if self.state is None:
            return float("inf")
        form, lifting = self.form, self.form.lifting
        polynomials = [
            np.einsum("ndq,nd->nq", batch.dense(), -self.rho * self.scale * np.asarray(U))
            for batch, U in zip(form.batches, self.state.U_small, strict=True)
        ]
        multipliers = clique_multipliers(form, polynomials) | self.square_factors()
        M = add_squares(lifting, multipliers, lagrangian_matrix(lifting, multipliers))[0].mid
        if not np.isfinite(M).all():
            return float("inf")
        d = np.diag(M) - self.rho * self.scale * np.diag(np.asarray(self.state.U))
        d = feasible(M, np.where(lifting.square_is_one, d, np.maximum(d, 0.0)))
        if lifting.size <= 1000:
            d = tighten(M, lifting.square_is_one, d, tolerance=0.1 * self.monitor.tolerance)
        return self.monitor.certify(multipliers, d)

    def square_factors(self) -> dict[str, Array]:
        """lasserre2's dual matrices as factors L, Z = L L^T (the product form has no families for them)."""
        assert self.state is not None
        out = {}
        for batch, U in zip(self.form.batches, self.state.U_small, strict=True):
            start = 0
            for block in batch.blocks:
                d = block.index.shape[0]
                if block.name.startswith(SOS):
                    Z = -self.rho * self.scale * np.asarray(U)[0, start : start + d * d].reshape(d, d)
                    values, vectors = np.linalg.eigh(0.5 * (Z + Z.T))
                    out[block.name] = vectors * np.sqrt(np.maximum(values, 0.0))
                start += d * d
        return out
