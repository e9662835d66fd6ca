"""Lipschitz constants to train with: differentiable estimates of the `shor` bounds of all pairs of outputs.

One hidden layer, norm inf, everywhere. With w = C_k - C_j and unit vectors e, v_i, t_j the relaxation is

    maximise  1/2 sum_ij w_i A_ij (e + v_i).t_j  =  1/2 sum_j || sum_i w_i A_ij (e + v_i) ||,

solved by alternating maximisation over the v_i and the t_j from where the last training step ended. Its dual:
for any d >= 0 with Diag(d) - M positive semidefinite (M the form's matrix) the constant is at most sum d. The
stationary d are the lengths of the rows of M (e, V, T); scaled by s, the largest eigenvalue of D^-1/2 M D^-1/2,
they are feasible, so s sum d is an upper bound. Float32 and a few steps of a power iteration for s make it an
estimate to steer by: `solve` and `certify` prove. The gradient is that of the objective at fixed v and t (the
envelope theorem), so nothing is differentiated through the iterations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .arithmetic.norms import Norm, parse_norm
from .engines.bilinear.maximise import COLD, RANK, WARM, PenaltyState, cold, estimate
from .text import shown


def lipschitz_penalty(
    params: Mapping[str, Any], state: PenaltyState | None = None, *, sweeps: int | None = None, output_norm: Any = None
) -> Any:
    """The mean over all pairs k < j of the estimated bound of F_k - F_j (of F_0, where it is the only output).

    With `output_norm` the estimated bound of all outputs at once.

    A scalar to add to a training loss; differentiable, and fine under jax.jit. In a training loop
    `lipschitz_bounds` hands back the state that makes the next step cheap.

    Args, raises: as `lipschitz_bounds`.
    """
    bounds, _ = lipschitz_bounds(params, state, sweeps=sweeps, output_norm=output_norm)
    count = bounds.shape[0]
    return bounds[0, 0] if count == 1 else jnp.sum(bounds / (count * (count - 1)))


def lipschitz_bounds(
    params: Mapping[str, Any], state: PenaltyState | None = None, *, sweeps: int | None = None, output_norm: Any = None
) -> tuple[Any, PenaltyState]:
    """(K, K) estimated upper bounds of the global constants of F_k - F_j, norm inf, and the state for the next call.

    Symmetric with a zero diagonal; for a single output (1, 1), the bound of F_0 itself. Differentiable with
    respect to A_1 and C. With `output_norm` (1, 1), the bound of all outputs at once.

    Args:
        params: "A_1" (p_1, p_0) and "C" (K, p_1), as in a network's .npz; biases do not matter. Any float dtype.
        state: from an earlier call with the same shapes; None: begin from nothing.
        sweeps: alternating maximisations; None: COLD from nothing, else WARM.
        output_norm: "inf" or 1: of F itself, inputs in norm inf and outputs in this one, as `solve` has them.

    Raises:
        ValueError: no arrays of floats, or shapes that do not fit.
        NotImplementedError: more than one hidden layer.
    """
    if not isinstance(params, Mapping):
        raise ValueError(f"params must be a dict of arrays A_1 and C, but {type(params).__name__} was given")
    if "A_1" not in params or "C" not in params:
        raise ValueError(f"params must hold A_1 and C, but it holds {', '.join(map(str, params)) or 'nothing'}")
    if "A_2" in params:
        raise NotImplementedError(
            "params has A_2, but the penalty is for one hidden layer, A_1 and C; hr2jax.solve bounds any depth"
        )
    A, C = jnp.asarray(params["A_1"]), jnp.asarray(params["C"])
    for name, array in (("A_1", A), ("C", C)):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{name} must be an array of floats, but its dtype is {array.dtype}")
    if state is not None and not isinstance(state, PenaltyState):
        raise ValueError(f"state must be None or what an earlier call gave, but {type(state).__name__} was given")
    if A.ndim != 2 or C.ndim != 2 or C.shape[1] != A.shape[0]:
        raise ValueError(f"A_1 must be (p_1, p_0) and C (K, p_1), but their shapes are {A.shape} and {C.shape}")
    if sweeps is not None and (isinstance(sweeps, bool) or not isinstance(sweeps, int | np.integer) or sweeps < 1):
        raise ValueError(f"sweeps must be None or an integer of at least 1, but {shown(sweeps)} was given")
    outputs = C.shape[0]
    of_all = None if output_norm is None else parse_norm(output_norm, ("inf", 1), "output_norm")
    if of_all is not None:
        return _of_all(A, C, of_all, state, sweeps)
    first, second = np.triu_indices(outputs, 1) if outputs > 1 else (np.array([0]), np.array([0]))
    w = C if outputs == 1 else C[first] - C[second]
    state, count = _beginning(len(first), A.shape, A.dtype, state, sweeps)
    unit_A, unit_w = _unit(A, None), _unit(w, -1)
    values, state = estimate(A / unit_A, w / unit_w, jax.lax.stop_gradient(state), count)
    values = values * unit_w[:, 0] * unit_A
    if outputs == 1:
        return values.reshape(1, 1), state
    upper = jnp.zeros((outputs, outputs), values.dtype).at[first, second].set(values)
    return upper + upper.T, state


def _of_all(
    A: Any, C: Any, output_norm: Norm, state: PenaltyState | None, sweeps: int | None
) -> tuple[Any, PenaltyState]:
    """(1, 1) the bound from inf to the output's norm, and the state.

    To "inf" it is the largest of the outputs'. To 1 it is a maximum over signs s_k too, and the relaxation one of the
    products s_k u_i: with unit vectors e_k for s_k and v_ki for s_k (2 u_i - 1),

        maximise  1/2 sum_kij C_ki A_ij (e_k + v_ki).t_j,

    a bilinear form of unit vectors again, of K (p_1 + 1) and of p_0. That v_ki.v_hi = e_k.e_h is left out, so that it
    is looser than `shor` in `solve` (27.4 to 21.6, where the sum of the outputs' bounds is 29.6, of a 5-7-3 network).
    """
    unit_A, unit_C = _unit(A, None), _unit(C, None)
    if output_norm == "inf":
        state, count = _beginning(len(C), A.shape, A.dtype, state, sweeps)
        values, state = estimate(A / unit_A, C / unit_C, jax.lax.stop_gradient(state), count)
        return (jnp.max(values) * unit_A * unit_C).reshape(1, 1), state
    scaled_A, scaled_C = A / unit_A, C / unit_C
    rows = jnp.concatenate([jnp.tile(scaled_A, (len(C), 1)), scaled_C @ scaled_A])
    weights = jnp.concatenate([scaled_C.ravel(), jnp.ones(len(C), C.dtype)])[None]
    state, count = _beginning(1, rows.shape, A.dtype, state, sweeps)
    values, state = estimate(rows, weights, jax.lax.stop_gradient(state), count, 0.0)
    return (values[0] * unit_A * unit_C).reshape(1, 1), state


def _beginning(
    problems: int, shape: tuple[int, ...], dtype: Any, state: PenaltyState | None, sweeps: int | None
) -> tuple[PenaltyState, int]:
    """Where to begin, and how many sweeps to take.

    Raises:
        ValueError: a state of other shapes.
    """
    count = int(sweeps) if sweeps is not None else COLD if state is None else WARM
    if state is None:
        return cold(problems, shape, dtype), count
    given, wanted = (jnp.shape(state.V), jnp.shape(state.z)), ((problems, shape[0], RANK), (problems, shape[1]))
    if given != wanted:
        raise ValueError(
            f"state is of a network of other shapes: V and z must be {wanted[0]} and {wanted[1]} for these params, "
            f"but are {given[0]} and {given[1]}; begin from state=None"
        )
    return state, count


def _unit(values: Any, axis: int | None) -> Any:
    """Powers of two near the largest magnitude along `axis`, kept; 1 of zeros. The bounds are linear in A_1 and in C.

    In these units no square of a weight leaves the range of float32: the bounds do only where they must.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(values), axis=axis, keepdims=axis is not None, initial=0.0))
    _, exponent = jnp.frexp(largest)
    return jnp.where(largest > 0, jnp.ldexp(jnp.ones_like(largest), exponent - 1), 1.0)
