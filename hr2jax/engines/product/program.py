"""The product form as arrays: what `lagrangian` compiles and `host` runs as it is. No JAX here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Data(NamedTuple):
    """Arrays of one problem in the engine's units, padded (a pytree: arguments of the jitted functions)."""

    objective: Any  # per block of `Spec.objective`, (rows, columns)
    derived: Any  # per derived kind, per kind of its terms, (rows, columns)
    unit: Any  # (N, 1): about the length of V's rows; P's are in it
    slack: Any  # (N, 1): 1 where a row of V may be shorter than 1; of rows that share a bound, the first has it
    budget: Any  # (N,) int32: rows of one number share a bound; empty where none do
    families: Any  # per stack: F and G (`Rows`), row scale, and where the product is to be 0 (rows,)


class Rows(NamedTuple):
    """Linear forms of the extended rows: constant + sum_k coefficient_k y[index_k], n of them."""

    constant: Any  # (n,)
    index: Any  # (K, n)
    coefficient: Any  # (K, n)


class Cuts(NamedTuple):
    """Inequalities  constant + sum_e coefficient_e G_e >= 0  over entries e of G, the Gram matrix of the extended rows.

    Padding: no coefficient, constant 1.
    """

    place: Any  # (E, m) int32 positions in G, flat
    coefficient: Any  # (E, m)
    constant: Any  # (m,)


class Spec(NamedTuple):
    """What is static: padded sizes of the kinds of groups, and which kinds the arrays of `Data` are for."""

    sizes: tuple[tuple[str, int], ...]
    objective: tuple[tuple[str, str], ...]
    derived: tuple[tuple[str, tuple[str, ...]], ...]
    stacks: tuple[tuple[int, int, str], ...]  # terms of F and of G, pairs
    memory: int  # of L-BFGS
    mesh: Any = None  # the devices that share the rows (`sharding`); None: one


class Step(NamedTuple):
    """What one inner minimisation returns."""

    P: Any  # (N, r + 1)
    multipliers: Any  # updated, per stack
    cut_multipliers: Any  # per kind of cuts, (m,) updated
    cut_values: Any  # per kind of cuts, (m,)
    gradient: Any  # its norm
    used: Any  # evaluations


# Steps that L-BFGS remembers, if nothing else is said.
MEMORY = 10
# A step that is not accepted is shortened to this share of it, at most so many times.
SHORTEN, MAX_SHORTENINGS = 0.4, 12
# No inner step is longer than so many times P: rows' directions are all that counts. The first has this length, times
# the root of N.
LONGEST_STEP, FIRST_STEP = 10.0, 0.1


def extended_rows(spec: Spec, data: Data, V: Any, xp: Any = np) -> dict[str, Any]:
    """V's rows by kind of group, derived ones too; V's arrays are those of xp, NumPy or jax.numpy."""
    ends = np.cumsum([size for _, size in spec.sizes])[:-1]
    y = dict(zip((name for name, _ in spec.sizes), xp.split(V, ends), strict=True))
    for (kind, terms), matrices in zip(spec.derived, data.derived, strict=True):
        y[kind] = sum(m * y["one"] if t == "one" else m @ y[t] for t, m in zip(terms, matrices, strict=True))
    return y
