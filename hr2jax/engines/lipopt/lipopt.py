"""LipOpt-3 and LipOpt-4 by cutting planes: HiGHS solves, violated inequalities are added, multipliers come back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ...arithmetic.float64 import Array
from ...certificate.krivine import KRIVINE, check_krivine
from ...machine.stopping import check
from ...network import Network
from ...problem import Problem
from ...relaxation.basis import Lifting
from ...relaxation.lifting import lift
from ...relaxation.presolve import presolve
from ...result import Status
from ..monitor import Engine, Monitor
from .memory import FIRST
from .pool import Group, Program, krivine_program

VIOLATED = 1e-6  # an inequality below -this is added
AT_ONCE = 4  # inequalities added in a later round, per monomial; the first takes FIRST of them, by degree
FEWER = 1e-9  # relative decrease after which slack inequalities are dropped: they can come back only finitely often

EXACT = 1e-9  # relative: signs that come as near to the value show that it is the maximum


@dataclass
class _Active:
    """The inequalities in use: group, tuple and inequality of each, (m,) int64."""

    group: Array
    tuple_: Array
    row: Array

    @staticmethod
    def none() -> _Active:
        empty = np.zeros(0, np.int64)
        return _Active(empty, empty, empty)

    def __len__(self) -> int:
        return len(self.group)

    def __getitem__(self, index: Array) -> _Active:
        return _Active(self.group[index], self.tuple_[index], self.row[index])

    def joined(self, other: _Active) -> _Active:
        return _Active(*(np.concatenate(pair) for pair in zip(self.fields, other.fields, strict=True)))

    @property
    def fields(self) -> tuple[Array, Array, Array]:
        return self.group, self.tuple_, self.row

    def codes(self) -> Array:
        """One integer each: there are at most 2**8 inequalities of a tuple and 4 groups."""
        return (self.tuple_ * 256 + self.row) * 4 + self.group


def solve_krivine(
    net: Network,
    problem: Problem,
    degree: int,
    time_limit: float | None = None,
    callback: Callable[[float, dict[str, Array]], object] | None = None,
) -> tuple[float, dict[str, Array], Status]:
    """The value of LipOpt of degree 3 or 4, and multipliers that prove about that much (`krivine_bound`).

    Args:
        net, problem: one hidden layer, inf norm, global or local.
        degree: 3 or 4. Degree 4 solves degree 3 first, and stops there where its value is attained.
        time_limit: seconds; the multipliers of the last linear program solved come back, which prove a bound too.
        callback: called with the value and multipliers after each linear program; what it returns true stops.

    Returns:
        The value in the problem's units (a solver's number, not a bound; the sum of the coefficients' magnitudes if
        no linear program was solved), {"krivine": (K, degree + 1)}, and SOLVED, TIME_LIMIT, STOPPED or NUMERICAL_ERROR.

    Raises:
        ValueError: another kind of problem.
    """
    began = time.perf_counter()
    check_krivine(net, problem, degree)
    lifting = lift(net, problem, presolve(net, problem))
    deadline = math.inf if time_limit is None else began + time_limit
    run = CuttingPlanes(lifting, degree, deadline, callback)
    for stage in range(3, degree + 1):
        if run.status is not Status.SOLVED or run.is_exact:
            break
        run.solve(krivine_program(lifting, stage, net.widths[0], net.widths[1]))
    return run.value, run.multipliers, run.status


class CuttingPlanes:
    """Rounds of HiGHS, and the best that came of them.

    Attributes:
        value, multipliers: those of the lowest linear program so far.
        status: SOLVED until something stops it.
        is_exact: signs attain the value, so no degree has a smaller one.
    """

    def __init__(
        self,
        lifting: Lifting,
        degree: int,
        deadline: float,
        callback: Callable[[float, dict[str, Array]], object] | None,
    ):
        self.lifting, self.degree, self.deadline, self.callback = lifting, degree, deadline, callback
        self.status, self.is_exact = Status.SOLVED, False
        size = np.abs(lifting.objective_v.mid).sum() + np.abs(lifting.objective_one.mid).sum()
        self.value = float(np.ldexp(size, lifting.exponent))
        self.multipliers = {KRIVINE: np.zeros((0, degree + 1))}
        self.active = _Active.none()

    def solve(self, program: Program) -> None:
        """Rounds until nothing is violated, the value is attained, or something stops them."""
        groups, objective = program.groups, program.objective
        scale = float(np.abs(objective).max(initial=0.0))
        if scale == 0.0:
            self.is_exact = True
            return
        cost = -objective[1:] / scale
        x = np.concatenate([[1.0], -np.sign(cost)])  # the box's vertex
        self.active = _Active.none()
        value, known, per_monomial = math.inf, np.zeros(0, np.int64), FIRST[program.degree]  # known: sorted codes
        while True:
            check()
            new = _violated(groups, x, per_monomial * len(objective), known)
            per_monomial = AT_ONCE
            if not len(new):
                break
            self.active = self.active.joined(new)
            left = self.deadline - time.perf_counter()
            solution = _linprog(groups, self.active, cost, left) if left > 0.0 else None
            if solution is None or solution.status != 0:
                late = solution is None or solution.status == 1
                self.status = Status.TIME_LIMIT if late else Status.NUMERICAL_ERROR
                return
            x = np.concatenate([[1.0], solution.x])
            dual = np.maximum(-solution.ineqlin.marginals, 0.0)
            self.keep(float(np.ldexp(-solution.fun * scale, self.lifting.exponent)), groups, dual * scale)
            if self.callback is not None and self.callback(self.value, self.multipliers):
                self.status = Status.STOPPED
                return
            if best_signs(self.lifting, x[program.v]) >= self.value * (1.0 - EXACT):
                self.is_exact = True
                return
            if -solution.fun < value * (1.0 - FEWER):
                self.active = self.active[(dual > 0.0) | (solution.slack < VIOLATED)]
            value = min(value, -solution.fun)
            known = np.sort(self.active.codes())

    def keep(self, value: float, groups: list[Group], dual: Array) -> None:
        """Remember the multipliers if no lower value was reached."""
        if value <= self.value:
            self.value, self.multipliers = value, {KRIVINE: _rows(groups, self.active, dual, self.degree)}


def _linprog(groups: list[Group], active: _Active, cost: Array, seconds: float) -> Any:
    """HiGHS's solution with the active inequalities."""
    from scipy.optimize import linprog  # the slowest import: only for those who solve one

    A = _matrix(groups, active, len(cost) + 1)
    options = {} if math.isinf(seconds) else {"time_limit": seconds}
    return linprog(cost, A_ub=-A[:, 1:], b_ub=A[:, :1].toarray()[:, 0], bounds=(-1.0, 1.0), method="highs-ipm",
                   options=options)  # fmt: skip


def best_signs(lifting: Lifting, start: Array) -> float:
    """What f reaches by alternating between the best t and the best v, from v = sign(start); problem's units."""
    H, constant = lifting.objective_v.mid, lifting.objective_one.mid[0]
    v, value = np.where(start < 0, -1.0, 1.0), -math.inf
    while True:
        t = np.where(v @ H + constant < 0, -1.0, 1.0)
        v = np.where(H @ t < 0, -1.0, 1.0)
        reached = float(v @ H @ t + constant @ t)
        if reached <= value:
            return float(np.ldexp(value, lifting.exponent))
        value = reached


def _violated(groups: list[Group], x: Array, most: int, known: Array) -> _Active:
    """The `most` most violated inequalities that are not known."""
    found, sizes = _Active.none(), np.zeros(0)
    for g, group in enumerate(groups):
        for start, values in group.values(x):
            check()
            tuple_, row = np.nonzero(values < -VIOLATED)
            chunk = _Active(np.full(len(row), g), tuple_ + start, row)
            fresh = ~np.isin(chunk.codes(), known)
            found, sizes = found.joined(chunk[fresh]), np.concatenate([sizes, values[tuple_, row][fresh]])
            if len(found) > 4 * most:  # in between, so that not all of them are ever held
                found, sizes = _worst(found, sizes, most)
    return _worst(found, sizes, most)[0]


def _worst(found: _Active, sizes: Array, most: int) -> tuple[_Active, Array]:
    if len(found) <= most:
        return found, sizes
    order = np.argsort(sizes, kind="stable")[:most]
    return found[order], sizes[order]


def _matrix(groups: list[Group], active: _Active, width: int) -> sparse.csc_matrix:
    """(m, width): each inequality's coefficients, the constant's in column 0."""
    rows, columns, values = [], [], []
    for g, group in enumerate(groups):
        of_group = np.flatnonzero(active.group == g)
        coefficients = group.kind.coefficients[active.row[of_group]]
        where, k = np.nonzero(coefficients)
        rows.append(of_group[where])
        columns.append(group.columns[active.tuple_[of_group][where], k])
        values.append(coefficients[where, k])
    shape = (len(active), width)
    return sparse.coo_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape).tocsc()


def _rows(groups: list[Group], active: _Active, dual: Array, degree: int) -> Array:
    """The certificate's rows: the products of every inequality, with its multiplier."""
    parts = [np.zeros((0, degree + 1))]
    for g, group in enumerate(groups):
        of_group = np.flatnonzero((active.group == g) & (dual > 0.0))
        signs = group.kind.products[active.row[of_group]]  # (m, r, size)
        out = np.zeros((*signs.shape[:2], degree + 1))
        out[:, :, degree - signs.shape[2] : degree] = signs * group.variables[active.tuple_[of_group]][:, None, :]
        out[:, :, -1] = dual[of_group, None] / group.kind.scale
        parts.append(out.reshape(-1, degree + 1))
    return np.concatenate(parts)


def krivine_engine(net: Network, problem: Problem, degree: int) -> Engine:
    """LipOpt as an engine: every linear program's multipliers are offered to the monitor's certificate."""

    def run(monitor: Monitor, start: Mapping[str, Array], V: Array | None) -> Status:
        del start, V
        rounds = 0

        def offer(value: float, multipliers: dict[str, Array]) -> None:
            nonlocal rounds
            rounds += 1
            monitor.certify(multipliers, None)
            monitor.report(rounds, value, math.nan)

        limit = monitor.remaining()
        _, multipliers, status = solve_krivine(
            net, problem, degree, None if limit == math.inf else max(limit, 0.0), offer
        )
        monitor.certify(multipliers, None)
        return status

    return run
