"""The product form at Y = V V^T: arrays for the device, the objective and the families' products.

Families of one structure are stacked into one, and every dimension is padded to a multiple that grows
with it, so that problems of nearby sizes share a compiled program. Padding rows have coefficient 0.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..relaxation.families import Family, Term
from ..relaxation.lifting import Lifting
from .lbfgs import lbfgs

Array = np.ndarray


class Data(NamedTuple):
    """Arrays of one problem in the engine's units, padded (a pytree: arguments of the jitted functions)."""

    objective_v: Any  # (n, q)
    objective_one: Any  # (1, q)
    z_one: Any  # (n, 1), or (0, 1) without xi
    z_xi: Any  # (n, q), or (0, 0) without xi
    slack: Any  # (N, 1): 1 where a row of V may be shorter than 1
    families: Any  # per stack: F's terms (index, coefficient), G's terms, row scale


class Cuts(NamedTuple):
    """Triangle inequalities  1 + sum_e sign_e Y_e >= 0  over three entries e of Y each (padding: no sign, no bound)."""

    place: Any  # (3, m) int32 positions in Y, flat
    sign: Any  # (3, m)


class Spec(NamedTuple):
    """What is static: padded group sizes and, per stack of families, the groups of its terms."""

    sizes: tuple[tuple[str, int], ...]
    stacks: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...]


def padded(n: int) -> int:
    """The size to which n is padded: at most an eighth more, from 64 on."""
    step = 8 if n <= 64 else 32 if n <= 512 else 64
    return max(step * -(-n // step), 8)


class Factored:
    """A lifting with its families, ready for the device.

    Attributes:
        spec: static structure.
        stacks: the families of each stack.
        rows: (N,) positions of the basis entries among the padded ones.
    """

    def __init__(self, lifting: Lifting, families: list[Family]):
        self.lifting = lifting
        self.sizes = {g: 1 if g == "one" else padded(k) for g, k in lifting.sizes.items()}
        by_structure: dict[Any, list[Family]] = {}
        for family in families:
            key = (_groups_of(family.F.terms), _groups_of(family.G.terms), family.pairs)
            # a family of all pairs is a matrix of its own; rows of diagonal families can be stacked
            by_structure.setdefault(key if family.pairs == "diagonal" else (*key, family.name), []).append(family)
        self.stacks = list(by_structure.values())
        self.spec = Spec(tuple(self.sizes.items()), tuple(key[:3] for key in by_structure))
        starts = np.cumsum([0, *self.sizes.values()])[:-1]
        self.rows = np.concatenate(
            [start + np.arange(k) for start, k in zip(starts, lifting.sizes.values(), strict=True)]
        )
        self.row_scales = [[row_scale(lifting, f) for f in stack] for stack in self.stacks]

    @property
    def size(self) -> int:
        """Padded N."""
        return sum(self.sizes.values())

    def data(self, scale: float, dtype: Any) -> Data:
        """The arrays, the objective divided by `scale`."""
        lifting, n, q = self.lifting, self.sizes["v"], self.sizes["t"]
        slack = np.zeros((self.size, 1))
        slack[self.rows, 0] = ~lifting.square_is_one
        has_z = lifting.z_one is not None and lifting.z_xi is not None
        stacks = tuple(
            (
                _stack([f.F.terms for f in stack], dtype),
                _stack([f.G.terms for f in stack], dtype),
                self.stack(scales).astype(dtype),
            )
            for stack, scales in zip(self.stacks, self.row_scales, strict=True)
        )
        return Data(
            _pad(lifting.objective_v.mid / scale, (n, q)).astype(dtype),
            _pad(lifting.objective_one.mid / scale, (1, q)).astype(dtype),
            _pad(lifting.z_one.mid if has_z else np.zeros((0, 1)), (n if has_z else 0, 1)).astype(dtype),  # type: ignore[union-attr]
            _pad(lifting.z_xi.mid if has_z else np.zeros((0, 0)), (n, q) if has_z else (0, 0)).astype(dtype),  # type: ignore[union-attr]
            slack.astype(dtype),
            stacks,
        )

    def stack(self, arrays: list[Array]) -> Array:
        """One padded array from one array per family of a stack."""
        if arrays[0].ndim == 2:
            return _pad(arrays[0], (padded(arrays[0].shape[0]), padded(arrays[0].shape[1])))
        joined = np.concatenate(arrays)
        return _pad(joined, (padded(len(joined)),))

    def unstack(self, stacked: list[Array]) -> dict[str, Array]:
        """Family name -> its array, the inverse of `stack` over all stacks."""
        out = {}
        for stack, values in zip(self.stacks, stacked, strict=True):
            start = 0
            for family in stack:
                if family.pairs == "all":
                    out[family.name] = values[: family.shape[0], : family.shape[1]]
                else:
                    out[family.name] = values[start : start + family.shape[0]]
                    start += family.shape[0]
        return out


def row_scale(lifting: Lifting, family: Family) -> Array:
    """What brings all the products of a family to one norm, so that one penalty suits them all."""
    norm_f, norm_g = _row_norms(lifting, family.F.terms), _row_norms(lifting, family.G.terms)
    return 2.0 / (norm_f * norm_g if family.pairs == "diagonal" else np.outer(norm_f, norm_g))


def _row_norms(lifting: Lifting, terms: tuple[Term, ...]) -> Array:
    """Euclidean norms of forms in the basis."""
    total = np.zeros(len(terms[0].index))
    for term in terms:
        weight = np.ones(1)
        if term.group == "z":
            assert lifting.z_one is not None and lifting.z_xi is not None
            weight = (lifting.z_one.mid[:, 0] ** 2 + (lifting.z_xi.mid**2).sum(axis=1))[term.index]
        total += term.coefficient**2 * weight
    return np.sqrt(np.maximum(total, 1e-30))


def _groups_of(terms: tuple[Term, ...]) -> tuple[str, ...]:
    return tuple(t.group for t in terms)


def _stack(forms: list[tuple[Term, ...]], dtype: Any) -> Any:
    out = []
    for terms in zip(*forms, strict=True):
        index = np.concatenate([t.index for t in terms])
        shape = (padded(len(index)),)
        coefficient = np.concatenate([t.coefficient for t in terms])
        out.append((_pad(index, shape), _pad(coefficient, shape).astype(dtype)))
    return tuple(out)


def _pad(array: Array, shape: tuple[int, ...]) -> Array:
    return np.pad(array, [(0, n - k) for n, k in zip(shape, array.shape, strict=True)])


def rows_of(P: Any, slack: Any) -> Any:
    """V (N, r): P's rows (N, r + 1) normalised; the last column is the slack of rows that may be shorter."""
    mask = jnp.concatenate([jnp.ones((P.shape[0], P.shape[1] - 1), P.dtype), slack], axis=1)
    P = P * mask
    return (P / jnp.sqrt(jnp.sum(P * P, axis=1, keepdims=True)))[:, :-1]


def objective_and_products(spec: Spec, data: Data, V: Any) -> tuple[Any, list[Any]]:
    """<C, V V^T> and, per stack, the scaled products  row_scale * (F V)(G V)^T  (diagonal or all)."""
    y, start = {}, 0
    for name, size in spec.sizes:
        y[name] = V[start : start + size]
        start += size
    if "xi" in y:
        y["z"] = data.z_one * y["one"] + data.z_xi @ y["xi"]

    def form(groups: tuple[str, ...], terms: Any) -> Any:
        return sum(
            c[:, None] * (y[g] if g == "one" else y[g][index]) for g, (index, c) in zip(groups, terms, strict=True)
        )

    directions = data.objective_v.T @ y["v"] + data.objective_one.T * y["one"]
    products = []
    for (f_groups, g_groups, pairs), (f_terms, g_terms, scale) in zip(spec.stacks, data.families, strict=True):
        f, g = form(f_groups, f_terms), form(g_groups, g_terms)
        products.append(scale * (jnp.sum(f * g, axis=1) if pairs == "diagonal" else f @ g.T))
    return jnp.sum(directions * y["t"]), products


@jax.custom_vjp
def cut_penalty(V: Any, cuts: Cuts, multipliers: Any, sigma: Any) -> Any:
    """1/(2 sigma) sum max(0, lambda - sigma p)^2 over the cuts' values p at Y = V V^T.

    Y is formed: two products of size N^2 r serve any number of cuts, where gathering their rows of V would
    cost three rows for each. The derivative is written out, so that only one matrix is scattered to.
    """
    return _cut_penalty(V, cuts, multipliers, sigma)[0]


def _cut_penalty(V: Any, cuts: Cuts, multipliers: Any, sigma: Any) -> tuple[Any, Any]:
    weight = jnp.maximum(multipliers - sigma * cut_values(V, cuts), 0.0)
    return jnp.sum(weight**2) / (2.0 * sigma), (V, cuts, weight)


def _cut_penalty_back(kept: Any, g: Any) -> tuple[Any, ...]:
    V, cuts, weight = kept
    n = V.shape[0]
    i, j = jnp.divmod(cuts.place.ravel(), n)
    # both halves of a symmetric matrix: a second scatter costs less than the product with the transpose
    place = jnp.concatenate([i * n + j, j * n + i])
    value = (-g * weight * cuts.sign).ravel()
    W = jnp.zeros(n * n, V.dtype).at[place].add(jnp.concatenate([value, value]))
    return W.reshape(n, n) @ V, None, None, None


cut_penalty.defvjp(_cut_penalty, _cut_penalty_back)


def cut_values(V: Any, cuts: Cuts) -> Any:
    """1 + sum_e sign_e Y_e (m,), 1 for padding."""
    return 1.0 + jnp.sum(cuts.sign * (V @ V.T).ravel()[cuts.place], axis=0)


def augmented_lagrangian(
    P: Any, spec: Spec, data: Data, multipliers: Any, sigma: Any, cuts: Cuts, cut_multipliers: Any, cut_sigma: Any
) -> Any:
    """-<C, Y> + 1/(2 sigma) sum max(0, lambda - sigma p)^2, to be minimised over P."""
    V = rows_of(P, data.slack)
    value, products = objective_and_products(spec, data, V)
    penalty = sum(
        jnp.sum(jnp.maximum(lam - sigma * p, 0.0) ** 2) for lam, p in zip(multipliers, products, strict=True)
    )
    total = -value + penalty / (2.0 * sigma)
    return total + cut_penalty(V, cuts, cut_multipliers, cut_sigma) if cuts.place.shape[1] else total


class Step(NamedTuple):
    """What one inner minimisation returns."""

    P: Any  # (N, r + 1)
    multipliers: Any  # updated, per stack
    cut_multipliers: Any  # (m,) updated
    cut_values: Any  # (m,)
    gradient: Any  # its norm
    used: Any  # evaluations


@partial(jax.jit, static_argnames=("spec",))
def minimise(
    P: Any, data: Data, multipliers: Any, sigma: Any, cuts: Cuts, cut_multipliers: Any, cut_sigma: Any,
    tolerance: Any, steps: Any, *, spec: Spec,
) -> Step:  # fmt: skip
    """Minimise the augmented Lagrangian from P (N, r + 1), then update the multipliers: max(lambda - sigma p, 0)."""
    fun = jax.value_and_grad(augmented_lagrangian)
    shape = P.shape

    def evaluate(flat: Any) -> tuple[Any, Any]:
        value, gradient = fun(flat.reshape(shape), spec, data, multipliers, sigma, cuts, cut_multipliers, cut_sigma)
        return value, gradient.ravel()

    first_step = jnp.asarray(0.1 * np.sqrt(shape[0]), P.dtype)
    flat, norm, used = lbfgs(evaluate, P.ravel(), first_step, tolerance, steps)
    P = flat.reshape(shape)
    V = rows_of(P, data.slack)
    _, products = objective_and_products(spec, data, V)
    updated = [jnp.maximum(lam - sigma * p, 0.0) for lam, p in zip(multipliers, products, strict=True)]
    values = cut_values(V, cuts) if cuts.place.shape[1] else cut_multipliers
    return Step(P, updated, jnp.maximum(cut_multipliers - cut_sigma * values, 0.0), values, norm, used)
