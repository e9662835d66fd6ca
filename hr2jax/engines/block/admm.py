"""ADMM on the block form, jitted: the faithful engine.

min -<C, Y>  subject to  X_k = A_k(Y, h),  X_k >= 0, over M_1 = Y with pinned entries and the cliques' own
moments h (docs/algorithms/admm.md). In scaled form, with multipliers U_k and penalty rho:

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
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from ...arithmetic.float64 import Array
from ...certificate.lagrangian import SOS, add_squares, lagrangian_matrix
from ...linalg.diagonal import feasible, tighten
from ...linalg.on_device import definite_on_device, eigh
from ...machine.compile_clock import Stopwatch
from ...machine.run import put, run
from ...machine.threads import few_threads
from ...relaxation.basis import XI, Lifting, T
from ...relaxation.table import RELAXATIONS
from ...result import Status
from ..monitor import Monitor, Stop
from ..scale import ABSURD, in_units, mean_diagonal
from .admm_step import ACCURATE, AdmmState, build_maps, iterate
from .duals import duals_of, multipliers_of
from .eigenspace import Eigenspace, begin, columns_for, narrowed
from .form import BlockForm, block_form, splits
from .projection import Method, choose_projection, in_float32

LOOK_EVERY = 40  # iterations between looks at the residuals
LOOKS = 4  # chunks between certificates (thrice as many above SMALL)
UNIMPROVED = 15  # certificates without a better bound before the run is called stalled
CONVERGED = 1e-2  # or 3 of them, once the residual is below this share of the tolerance
SMALL = 400  # up to this N all is float64: a second compilation would cost more than float32 saves
NEWTON = 1000  # up to this N Newton's method on the diagonal is cheap beside the iterations it saves
COLD, WARM = 1e-2, 1e-3  # its tolerance, without multipliers to start from and with them
COARSE = 1e-4  # float32 steers until the residual is below this, or no longer falls
# Iterations times the side's cube before it is followed, or times its square and the columns before they become fewer:
# about what compiling takes on a CPU core
EARNED = 4e9
# Ctrl-C is heard after so many iterations times the cube of M_1's side: half a second of one core, about.
PIECE = 3e8
FAILURES = 0.5  # share of iterations that may need full projections of a part that is followed


def admm_form(relaxation: str, lifting: Lifting) -> BlockForm:
    """The layout of a relaxation that ADMM solves fastest: products, and M_1 split where nothing couples x with t.

    Measured on the published local (40, 40), same penalty: the split takes 520 iterations instead of 800 (`shor`)
    and 640 instead of 1200 (`hr2`), each of two thirds of the work; the product layout needs as many as cliques
    do, or fewer, without small eigendecompositions.
    """
    if not RELAXATIONS[relaxation].by_products:
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
        run = Admm(form, monitor, scale, projection)
        try:
            run.begin(start or {})
            return run.loop()
        except Stop as stop:
            run.offer()
            return stop.status
        except KeyboardInterrupt:
            run.offer()
            return Status.STOPPED


class Admm:
    """One run: the iterates, the penalty rho, the projection of M_1."""

    def __init__(self, form: BlockForm, monitor: Monitor, scale: float, projection: Method | None = None):
        self.form, self.monitor, self.scale = form, monitor, scale
        self.exact, self.shapes = build_maps(form, scale)
        self.rho, self.iteration = 0.3, 0
        self.seconds = 0.0  # per iteration, measured as it runs
        self.look_after = 0  # iterations before another look for eigenspaces to follow
        self.state: AdmmState | None = None
        self.method = projection
        self.use(np.float64 if len(form.C) <= SMALL else np.float32)

    def use(self, dtype: Any) -> None:
        """Work in float32 or float64 from now on."""

        def convert(array: Any) -> Any:
            return put(array, dtype if jnp.issubdtype(array.dtype, jnp.floating) else None)

        self.dtype = np.dtype(dtype)
        self.maps = run(jax.tree.map, convert, self.exact)
        if self.state is not None:
            self.state = run(jax.tree.map, lambda array: put(np.asarray(array), dtype), self.state)
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
        state = AdmmState(X, U, self.small_at(Y), U_small, Y, len(X) * (unknown,), np.zeros(()))
        self.state = run(jax.tree.map, lambda array: put(array, self.dtype), state)

    def parts(self, Y: Array) -> Array:
        """(1 or 2, M, M): `take_parts`, in NumPy."""
        if not self.form.chordal:
            return Y[None]
        t, xi = self.form.lifting.slice(T), self.form.lifting.slice(XI)
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
        """Iterate, look, certify until it is known how it ends."""
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
            if idle >= (3 if converged else UNIMPROVED):
                return Status.STALLED
            least, since = (residual, 0) if residual < 0.9 * least else (least, since + 1)
            if self.dtype == np.float32 and (residual < COARSE or since >= 10):
                self.use(np.float64)
            if bound < np.inf:
                self.balance((abs(error), primal), (bound - (value + error), dual))

    def advance(self, count: int) -> tuple[float, float, float, float]:
        """`count` iterations; what `iterate` says of the last one."""
        watch = Stopwatch()
        piece, total = max(int(PIECE / len(self.form.C) ** 3), 1), np.zeros(())
        for done in range(0, count, piece):
            info, wholes = run(self._iterate, min(piece, count - done))
            total = total + np.asarray(wholes)
        primal, dual, objective, error = map(float, info)
        self.seconds = watch.seconds() / count
        if 2 * count >= LOOK_EVERY and self.iteration >= self.look_after:
            self.follow(total / count)
        return primal, dual, objective, error

    def _iterate(self, count: int) -> tuple[Any, Any]:
        assert self.state is not None
        rho = jnp.asarray(self.rho, self.dtype)
        self.state, *said = iterate(self.maps, self.state, rho, count, shapes=self.shapes, method=self.projection)
        self.iteration += count
        return tuple(said)

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
                values, vectors = map(np.asarray, run(_decomposed, state, k))
                space = begin(values, vectors, tolerance, self.projection)
                spaces[k] = Eigenspace(*(put(array, self.dtype) for array in space))
            elif self.iteration * spaces[k].V.size * side >= EARNED:
                spaces[k] = run(_narrowed, state, k, tolerance)
        self.state = state._replace(spaces=tuple(spaces))

    def count(self) -> int:
        """How many iterations until the next look: no more than are left, nor than half of the time left allows."""
        left, seconds = self.monitor.iterations_left(), self.monitor.remaining()
        if len(self.form.C) > SMALL and seconds < np.inf:
            left = min(left, 0.5 * seconds / self.seconds if self.seconds else 1)
        return int(max(min(LOOK_EVERY, left), 1))

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
            run(self._rescale, factor)

    def _rescale(self, factor: float) -> None:
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


def _decomposed(state: AdmmState, k: int) -> Any:
    return eigh(state.X[k] + state.U[k])


def _narrowed(state: AdmmState, k: int, tolerance: float) -> Eigenspace:
    return narrowed(state.spaces[k], state.X[k], tolerance)
