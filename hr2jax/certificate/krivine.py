"""Krivine-Stengle certificates (Latorre, Rolland, Cevher, ICLR 2020): the relaxations LipOpt-3 and LipOpt-4.

One hidden layer, inf norm. The constant is the maximum of a polynomial f that is affine in each of the
t_j and v_i = 2 u_i - 1, all in [-1, 1]. A product of factors 1 +- t_j, 1 +- v_i of different variables is
nonnegative there, so for any weights w >= 0

    f <= f + sum_k w_k h_k = sum_m r_m m <= r_1 + sum over monomials m != 1 of |r_m|,

the coefficients r_m collected exactly: |m| <= 1. No product has to be one that the linear program had,
and no identity has to hold: what is left of the coefficients is paid for.

Here the products are the rows of one float64 array, (K, degree + 1): up to `degree` factors, then the weight; a
certificate names them (names.py). A factor +-(1 + j) is 1 +- t_j, j an input; +-(1 + p_0 + i) is 1 +- v_i, i a neuron;
0 is none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..network import Network
from ..problem import Problem
from ..relaxation.basis import Lifting
from ..relaxation.lifting import lift
from ..relaxation.presolve import presolve
from .bound import scale_up

KRIVINE = "krivine"
DEGREES = (3, 4)
BITS = 52  # weights are cut to integers whose sum stays below 2**BITS: float64 then adds them without rounding
LARGEST_CODE = 2**62


def krivine_bound(
    net: Network,
    problem: Problem,
    degree: int,
    multipliers: Mapping[str, Array],
    arithmetic: type[Enclosure] = Enclosure,
    lifting: Lifting | None = None,
) -> float:
    """The upper bound of the Lipschitz constant that any weights prove, rounded up; infinity if one is not finite.

    Args:
        net: one hidden layer, widths (p_0, p_1, K).
        problem: inf norm, global or local.
        degree: 3 or 4, how many factors a product may have.
        multipliers: {"krivine": (K, degree + 1) float64}, see above; negative weights count as 0. The weights are
            in the lifting's units (f / 2**exponent).
        arithmetic: the arithmetic of the proof.
        lifting: the problem's, in that arithmetic, whose units the weights are in; None: made here.

    Raises:
        ValueError: another kind of network or problem, or multipliers that do not fit it.
    """
    check_krivine(net, problem, degree)
    rows = _rows(multipliers, degree)
    if not np.isfinite(rows).all():
        return float("inf")
    inputs, neurons = net.widths[0], net.widths[1]
    factors, weights = _factors(rows[:, :-1], inputs + neurons), np.maximum(rows[:, -1], 0.0)
    with np.errstate(all="ignore"):
        if lifting is None:
            lifting = lift(net, problem, presolve(net, problem, arithmetic), arithmetic)
        integers, exponent = _integers(weights)
        if exponent > 1000:
            return float("inf")
        codes, sums = collected(factors, integers, inputs + neurons + 1)
        return _paid(lifting, codes, sums, exponent, inputs, neurons, arithmetic)


def check_krivine(net: Network, problem: Problem, degree: int) -> None:
    """Refuse what these certificates are not for.

    Raises:
        ValueError: several hidden layers, the 2-norm, a degree other than 3 or 4, or too many variables.
    """
    if degree not in DEGREES:
        raise ValueError(f"a Krivine certificate has degree 3 or 4, but {degree!r} was given")
    if net.depth != 1 or problem.norm != "inf":
        raise ValueError(
            f"Krivine certificates are for one hidden layer and the inf norm, but the network has {net.depth} "
            f"and the norm is {problem.norm}"
        )
    if (net.widths[0] + net.widths[1] + 1) ** degree > LARGEST_CODE:
        raise ValueError(
            f"a Krivine certificate of degree {degree} has at most {int(LARGEST_CODE ** (1 / degree)) - 1} inputs and "
            f"neurons, but the network has {net.widths[0] + net.widths[1]}"
        )


def collected(factors: Array, weights: Array, base: int) -> tuple[Array, Array]:
    """Monomials of sum_k weights_k prod_m (1 + sign y) and their coefficients, both (M,).

    Args:
        factors: (K, degree) int64 signed variables, in each row ascending in magnitude, 0 (none) first.
        weights: (K,) float64 integers >= 0 whose sum is below 2**53, so that nothing rounds here.
        base: above every variable's number; a monomial's code is its variables' digits in that base, the
            constant's is 0.
    """
    used = weights > 0
    factors, weights = factors[used], weights[used]
    names, signs = np.abs(factors), np.where(factors < 0, -1.0, 1.0)
    codes, values = [], []
    for subset in range(2 ** factors.shape[1]):
        code, value = np.zeros(len(weights), np.int64), weights
        for m in range(factors.shape[1]):
            if subset >> m & 1:
                code = code * base + names[:, m]
                value = value * np.where(names[:, m] > 0, signs[:, m], 0.0)
        there = value != 0
        codes.append(code[there])
        values.append(value[there])
    found, index = np.unique(np.concatenate(codes), return_inverse=True)
    return found, np.bincount(index, weights=np.concatenate(values), minlength=len(found))


def _rows(multipliers: Mapping[str, Array], degree: int) -> Array:
    if set(multipliers) != {KRIVINE}:
        raise ValueError(f"a Krivine certificate has the multipliers {KRIVINE!r} alone, not {sorted(multipliers)}")
    rows = np.asarray(multipliers[KRIVINE], dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != degree + 1:
        raise ValueError(f"the multipliers {KRIVINE!r} have shape {rows.shape}, not (K, {degree + 1})")
    return rows


def _factors(given: Array, largest: int) -> Array:
    """The factors as int64, in each row ascending in magnitude.

    Raises:
        ValueError: one that is no variable's number, or a variable twice in a product.
    """
    size = np.abs(given)
    if (size > largest).any() or (size != np.floor(size)).any():
        raise ValueError(f"a product's factors are signed integers of magnitude at most {largest}, 0 for none")
    order = np.argsort(size, axis=1)
    factors = np.take_along_axis(given, order, axis=1).astype(np.int64)
    size = np.abs(factors)
    if ((size[:, 1:] == size[:, :-1]) & (size[:, 1:] > 0)).any():
        raise ValueError("a product has a variable twice")
    return factors


def _integers(weights: Array) -> tuple[Array, int]:
    """Integers (float64) and an exponent: weights, rounded down, are integers * 2**exponent; their sum < 2**53."""
    total = float(np.sum(weights))
    if not total < np.inf:
        return weights, 2**16
    exponent = int(np.frexp(total)[1]) + 1 - BITS
    # above 2**-1000 whatever the weights: smaller units would only add underflow
    exponent = max(exponent, -1000)
    return np.floor(np.ldexp(weights, -exponent)), exponent


def _paid(
    lifting: Lifting, codes: Array, sums: Array, exponent: int, inputs: int, neurons: int, arithmetic: type[Enclosure]
) -> float:
    """r_1 + sum |r_m| in the problem's units, r the coefficients of f plus the products'."""
    base, fixed = inputs + neurons + 1, lifting.presolve
    of_v, of_one = np.zeros((len(fixed.layers[0].unstable), len(fixed.free))), np.zeros((1, len(fixed.free)))
    column, row = np.full(base, -1), np.full(base, -1)  # where a variable's number lies in them
    column[1 + fixed.free] = np.arange(len(fixed.free))
    row[1 + inputs + fixed.layers[0].unstable] = np.arange(len(fixed.layers[0].unstable))
    high, low = codes // base, codes % base  # t before v: (t_j, v_i) is high = t_j, low = v_i
    single, pair = high == 0, (high > 0) & (high < base)
    linear = single & (column[low] >= 0)
    bilinear = pair & (column[np.where(pair, high, 0)] >= 0) & (row[low] >= 0)
    of_one[0, column[low[linear]]] = sums[linear]
    of_v[row[low[bilinear]], column[high[bilinear]]] = sums[bilinear]
    others = ~(linear | bilinear | (codes == 0))
    constant = float(sums[codes == 0].sum())
    total = arithmetic(np.abs(sums[others])).sum() + constant
    total = total.scaled(exponent)
    for objective, products in ((lifting.objective_v, of_v), (lifting.objective_one, of_one)):
        total = total + arithmetic((objective + arithmetic(products).scaled(exponent)).magnitude()).sum()
    value = float(total.upper())
    return scale_up(value, lifting.exponent) if value < np.inf else float("inf")
