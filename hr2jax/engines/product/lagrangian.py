"""The augmented Lagrangian of the product form and its minimisation, jitted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...machine.run import compiled
from .lbfgs import advance, beginning
from .parts import Parts
from .program import FIRST_STEP, LONGEST_STEP, Cuts, Data, Spec, Step, extended_rows
from .sharding import divided, everywhere


def rows_of(P: Any, unit: Any, slack: Any, budget: Any, mesh: Any = None) -> Any:
    """V (N, r): P's rows (N, r + 1) normalised, those that share a bound together; the last column is the slack.

    Of rows that devices share, all have all of V.
    """
    P = jnp.concatenate([P[:, :-1] * unit, P[:, -1:] * slack], axis=1)
    squares = jnp.sum(P * P, axis=1, keepdims=True)
    if budget.shape[0]:
        squares = jax.ops.segment_sum(squares, budget, P.shape[0])[budget]
    return everywhere((P / jnp.sqrt(squares))[:, :-1], mesh)


class Table(NamedTuple):
    """The forms of all stacks as few arrays, joined before a minimisation: the program is short at any depth.

    Rows are in the order of `Parts.ordered`; of forms with equally many terms beside the constant, one behind the
    other, the terms are one array.
    """

    constant: Any  # (n,)
    index: Any  # (sum of K n_K,) rows of the extended ones, of a run's first terms, its second ones, and so on
    coefficients: Any  # per run of forms with K terms, (K, n_K)
    scale: Any  # (products,) as `Parts.joined` has them
    equality: Any  # (products,) bool


def parts_of(spec: Spec, data: Data) -> Parts:
    """How the stacks' products are joined."""
    return Parts([e.shape for *_, e in data.families], [pairs == "diagonal" for *_, pairs in spec.stacks], jnp)


def joined(spec: Spec, data: Data, multipliers: list[Any]) -> tuple[Table | None, Any]:
    """The families' forms and multipliers, each as one; the table is None where there are no families."""
    return table_of(spec, data), parts_of(spec, data).joined(multipliers)


def table_of(spec: Spec, data: Data) -> Table | None:
    """The families' forms, joined; None where there are no families."""
    if not data.families:
        return None
    parts = parts_of(spec, data)
    forms = parts.ordered([(F, G) for F, G, *_ in data.families])
    runs = [list(run) for _, run in groupby(forms, key=lambda form: len(form.index))]
    return Table(
        jnp.concatenate([form.constant for form in forms]),
        jnp.concatenate([jnp.concatenate([form.index for form in run], axis=1).ravel() for run in runs]),
        tuple(jnp.concatenate([form.coefficient for form in run], axis=1) for run in runs),
        parts.joined([scale for *_, scale, _ in data.families]),
        parts.joined([equality for *_, equality in data.families]),
    )


def objective_at(spec: Spec, data: Data, y: dict[str, Any]) -> Any:
    """<C, V V^T> at the extended rows."""
    by_column: dict[str, Any] = {}
    for (g, h), block in zip(spec.objective, data.objective, strict=True):
        part = block.T * y["one"] if g == "one" else block.T @ y[g]
        by_column[h] = by_column[h] + part if h in by_column else part
    return sum(jnp.sum(part * y[h]) for h, part in by_column.items())


def products_at(spec: Spec, data: Data, table: Table | None, V: Any, y: dict[str, Any]) -> Any:
    """The scaled products  row_scale * (F V)(G V)^T  (diagonal or all) of all stacks, joined (`Parts`)."""
    if table is None:
        return jnp.zeros(0, V.dtype)
    every = jnp.concatenate(list(y.values())) if spec.derived else V
    # one gather for all forms, hence one scatter in the derivative; a split's is one concatenation
    ends = np.cumsum([c.size for c in table.coefficients])[:-1]
    runs = zip(table.coefficients, jnp.split(every[table.index], ends), strict=True)
    terms = [jnp.sum(c[:, :, None] * part.reshape(*c.shape, every.shape[1]), axis=0) for c, part in runs]
    rows = divided(table.constant[:, None] * y["one"] + jnp.concatenate(terms), spec.mesh)
    return divided(table.scale * parts_of(spec, data).products(rows), spec.mesh)


@jax.custom_vjp
def cut_penalty(E: Any, cuts: tuple[Cuts, ...], multipliers: Any, sigma: Any) -> Any:
    """1/(2 sigma) sum max(0, lambda - sigma p)^2 over the cuts' values p at the Gram matrix of the rows E.

    It is formed: two products of size N^2 r serve any number of cuts, where gathering their rows would
    cost several rows for each. The derivative is written out, so that only one matrix is scattered to.
    """
    return _cut_penalty(E, cuts, multipliers, sigma)[0]


def _cut_penalty(E: Any, cuts: tuple[Cuts, ...], multipliers: Any, sigma: Any) -> tuple[Any, Any]:
    """The cuts' part of the augmented Lagrangian, and what its gradient needs."""
    gram = (E @ E.T).ravel()
    weights = [jnp.maximum(m - sigma * _values(gram, c), 0.0) for c, m in zip(cuts, multipliers, strict=True)]
    return sum(jnp.sum(w**2) for w in weights) / (2.0 * sigma), (E, cuts, weights)


def _cut_penalty_back(kept: Any, g: Any) -> tuple[Any, ...]:
    """The gradient of `_cut_penalty`."""
    E, cuts, weights = kept
    n = E.shape[0]
    W = jnp.zeros(n * n, E.dtype)
    for cut, weight in zip(cuts, weights, strict=True):
        i, j = jnp.divmod(jnp.ravel(cut.place), n)  # no method of it: constants have none in JAX 0.8.1
        # both halves of a symmetric matrix: a second scatter costs less than the product with the transpose
        place = jnp.concatenate([i * n + j, j * n + i])
        value = (-g * weight * cut.coefficient).ravel()
        W = W.at[place].add(jnp.concatenate([value, value]))
    return W.reshape(n, n) @ E, None, None, None


cut_penalty.defvjp(_cut_penalty, _cut_penalty_back)


def _values(gram: Any, cut: Cuts) -> Any:
    return cut.constant + jnp.sum(cut.coefficient * gram[cut.place], axis=0)


def cut_values(E: Any, cuts: tuple[Cuts, ...]) -> list[Any]:
    """The cuts' values (m,), 1 for padding."""
    gram = (E @ E.T).ravel()
    return [_values(gram, cut) for cut in cuts]


def _all_rows(spec: Spec, y: dict[str, Any], V: Any, cuts: Sequence[Cuts]) -> Any:
    """The rows of which the cuts' Gram matrix is: derived ones too, where products of factors need them."""
    return V if len(cuts) < 2 else jnp.concatenate([V, *(y[kind] for kind, _ in spec.derived)])


def _steps(multipliers: Any, products: Any, sigma: Any, table: Table | None) -> Any:
    """The multipliers' update, and what the penalty squares: lambda - sigma p, at least 0 unless p is to be 0."""
    shifted = multipliers - sigma * products
    return shifted if table is None else jnp.where(table.equality, shifted, jnp.maximum(shifted, 0.0))


def augmented_lagrangian(
    P: Any, spec: Spec, data: Data, joined: tuple[Table | None, Any], sigma: Any, cuts: tuple[Cuts, ...],
    cut_multipliers: Any, cut_sigma: Any,
) -> Any:  # fmt: skip
    """-<C, Y> + 1/(2 sigma) sum max(0, lambda - sigma p)^2, to be minimised over P; equalities without the max.

    The table and lambda are `joined`'s.
    """
    table, multipliers = joined
    V = rows_of(P, data.unit, data.slack, data.budget, spec.mesh)
    y = extended_rows(spec, data, V, jnp)
    step = _steps(multipliers, products_at(spec, data, table, V, y), sigma, table)
    total = -objective_at(spec, data, y) + jnp.sum(step**2) / (2.0 * sigma)
    return total + cut_penalty(_all_rows(spec, y, V, cuts), cuts, cut_multipliers, cut_sigma) if cuts else total


def begin(P: Any, spec: Spec) -> dict[str, Any]:
    """The state of a minimisation from P (N, r + 1), for `minimise_on`."""
    return beginning(P.ravel(), spec.memory)


def minimise(
    P: Any, data: Data, multipliers: Any, sigma: Any, cuts: tuple[Cuts, ...], cut_multipliers: Any, cut_sigma: Any,
    tolerance: Any, steps: Any, *, spec: Spec,
) -> Step:  # fmt: skip
    """Minimise the augmented Lagrangian from P (N, r + 1), then update the multipliers: max(lambda - sigma p, 0)."""
    problem = (data, multipliers, sigma, cuts, cut_multipliers, cut_sigma)
    return end(minimise_on(begin(P, spec), P, *problem, tolerance, steps, spec=spec), P, *problem, spec=spec)


@partial(compiled, static_argnames=("spec",), donate_argnames=("state",))
def minimise_on(
    state: dict[str, Any], P: Any, data: Data, multipliers: Any, sigma: Any, cuts: tuple[Cuts, ...],
    cut_multipliers: Any, cut_sigma: Any, tolerance: Any, steps: Any, *, spec: Spec,
) -> dict[str, Any]:  # fmt: skip
    """The minimisation of `minimise` from P, on from a state of it: the state after `steps` evaluations in all.

    However many pieces a minimisation is cut into, its numbers are the same. The state that was given is used up.
    """
    fun = jax.value_and_grad(augmented_lagrangian)
    shape, once = P.shape, joined(spec, data, multipliers)  # not at each evaluation

    def evaluate(flat: Any) -> tuple[Any, Any]:
        value, gradient = fun(flat.reshape(shape), spec, data, once, sigma, cuts, cut_multipliers, cut_sigma)
        return value, gradient.ravel()

    first_step = jnp.asarray(FIRST_STEP * np.sqrt(shape[0]), P.dtype)
    longest = LONGEST_STEP * jnp.linalg.norm(P)
    return advance(evaluate, state, first_step, tolerance, steps, longest)


@partial(compiled, static_argnames=("spec",))
def end(
    state: dict[str, Any], P: Any, data: Data, multipliers: Any, sigma: Any, cuts: tuple[Cuts, ...],
    cut_multipliers: Any, cut_sigma: Any, *, spec: Spec,
) -> Step:  # fmt: skip
    """What a minimisation from P has come to with this state: the factor, the multipliers' update, the cuts' values.

    It costs about as much as an inner step, so that it is a program of its own and not the end of every piece.
    """
    P = state["x"].reshape(P.shape)
    V = rows_of(P, data.unit, data.slack, data.budget, spec.mesh)
    y = extended_rows(spec, data, V, jnp)
    table, given = joined(spec, data, multipliers)
    updated = parts_of(spec, data).split(_steps(given, products_at(spec, data, table, V, y), sigma, table))
    values = cut_values(_all_rows(spec, y, V, cuts), cuts) if cuts else []
    moved = [jnp.maximum(m - cut_sigma * v, 0.0) for m, v in zip(cut_multipliers, values, strict=True)]
    return Step(P, updated, moved, values, jnp.linalg.norm(state["g"]), state["used"])
