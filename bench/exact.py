"""The Lipschitz constant of one hidden layer itself, and what sampling makes of it: references for the relaxations.

    python bench/exact.py [--quick] [--p 10] [--sparsity 20] [--trials 5] [--time-limit 60] [--json exact.json]

* `enumerated`: every activation pattern; locally a linear program decides which of them the box has. Tiny networks.
* `mixed_integer`: patterns as binaries, HiGHS. Its bound is the solver's claim, not a proof: its tolerances are
  absolute, and nothing checks its cuts. Locally it also counts patterns that only a face of the box has, so even
  what it attains may lie above the constant.
* `sampled`: the largest gradient norm of random points, as published (LBS: 10000 points, globally of [0, 10]^p).

Globally all three mean the relaxations' maximum over every pattern u in {0, 1}^p of ||A^T D(u) c||_1, whether or not
an input has that pattern; `sampled` only sees patterns that inputs have.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from hr2jax import Network
from hr2jax.bounds import interval_bounds
from hr2jax.problem import Problem, checked_problem
from measure import RESULTS, Table
from networks import published_network

SAMPLES = 10_000
DOMAINS, RADIUS = ("global", "local"), 0.1  # of the published runs
MOST = 20  # neurons whose patterns are enumerated globally


class Exact(NamedTuple):
    """The largest value found, what the solver claims no value exceeds, and its word on why it stopped."""

    value: float
    claimed_bound: float
    status: str


def gradients(net: Network, problem: Problem) -> np.ndarray:
    """(p_1, q) rows c_i A_i: the gradient on the inputs that can move is the sum of the active neurons' rows."""
    free = problem.domain.free(net.widths[0])
    return (problem.coefficients @ net.weights[-1])[:, None] * net.weights[0][:, free]


def enumerated(net: Network, problem: Problem) -> float:
    """The maximum over all patterns (global), or over those with an interior in the box (local).

    Raises:
        ValueError: too many neurons that can switch.
    """
    G = gradients(net, problem)
    fixed, open_ = _fixed(net, problem)
    if len(open_) > MOST:
        raise ValueError(f"at most {MOST} neurons can be enumerated, but {len(open_)} can switch")
    best = 0.0
    base = G[fixed == 1].sum(axis=0)
    norms = np.concatenate([
        np.abs(base + bits @ G[open_]).sum(axis=1) for bits in _patterns(len(open_))
    ])  # fmt: skip
    if not problem.is_local:
        return float(norms.max())
    for index in np.argsort(-norms):  # the first that the box has is the maximum
        pattern = fixed.copy()
        pattern[open_] = index >> np.arange(len(open_)) & 1
        if _has_interior(net, problem, pattern):
            best = float(norms[index])
            break
    return best


def _fixed(net: Network, problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Each neuron's known u (1, 0; -1: open), and the open ones."""
    if not problem.is_local:
        return np.full(net.widths[1], -1), np.arange(net.widths[1])
    low, high = interval_bounds(net, problem)[0]
    known = np.where(low >= 0, 1, np.where(high <= 0, 0, -1))
    return known, np.flatnonzero(known < 0)


def _patterns(n: int):
    for start in range(0, 2**n, 2**14):
        index = np.arange(start, min(start + 2**14, 2**n))
        yield (index[:, None] >> np.arange(n) & 1).astype(float)


def _has_interior(net: Network, problem: Problem, pattern: np.ndarray) -> bool:
    """Whether some x of the box has z_i > 0 exactly where the pattern is 1, with a margin (a linear program)."""
    A, b = net.weights[0], net.biases[0]
    sign = np.where(pattern == 1, 1.0, -1.0)[:, None]
    rows = np.hstack([-sign * A, np.ones((len(A), 1))])
    box = [(c - r, c + r) for c, r in zip(problem.domain.center, problem.domain.radius, strict=True)]
    cost = np.append(np.zeros(A.shape[1]), -1.0)
    solution = linprog(cost, A_ub=rows, b_ub=sign[:, 0] * b, bounds=[*box, (None, 1.0)], method="highs")
    return bool(solution.status == 0 and -solution.fun > 1e-10)


def mixed_integer(net: Network, problem: Problem, time_limit: float | None = None) -> Exact:
    """max sum_j y_j over binaries u_i, s_j with y_j <= +-g_j(u) + 2 m_j (1 - s_j or s_j); locally u_i tells z_i's sign.

    Variables in order: u (p_1), s (q), y (q), locally x (p_0).
    """
    G, A = gradients(net, problem), net.weights[0]
    p1, q = G.shape
    up, down = np.maximum(G, 0.0).sum(axis=0), np.maximum(-G, 0.0).sum(axis=0)  # -down <= g <= up
    eye = sparse.identity(q)
    # y <= g + 2 down (1 - s) and y <= -g + 2 up s
    blocks = [[-G.T, sparse.diags(2 * down), eye], [G.T, -sparse.diags(2 * up), eye]]
    upper = [2 * down, np.zeros(q)]
    extra = net.widths[0] if problem.is_local else 0
    known, _ = _fixed(net, problem)
    rows = [sparse.hstack([*line, sparse.csr_matrix((q, extra))]) for line in blocks]
    x_bounds = (np.zeros(0), np.zeros(0))
    if problem.is_local:
        low, high = interval_bounds(net, problem)[0]
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        b, wide = net.biases[0], sparse.csr_matrix((p1, 2 * q))
        # l (1 - u) <= A x + b <= h u
        rows += [sparse.hstack([-sparse.diags(high), wide, A]), sparse.hstack([-sparse.diags(low), wide, -A])]
        upper += [-b, b - low]
        x_bounds = (problem.domain.center - problem.domain.radius, problem.domain.center + problem.domain.radius)
    cost = np.concatenate([np.zeros(p1 + q), -np.ones(q), np.zeros(extra)])
    lower = np.concatenate([np.where(known == 1, 1.0, 0.0), np.zeros(q), np.full(q, 0.0), x_bounds[0]])
    highest = np.concatenate([np.where(known == 0, 0.0, 1.0), np.ones(q), np.maximum(up, down), x_bounds[1]])
    options = {"mip_rel_gap": 1e-9} | ({} if time_limit is None else {"time_limit": time_limit})
    solution = milp(
        cost, integrality=np.concatenate([np.ones(p1 + q), np.zeros(q + extra)]), bounds=Bounds(lower, highest),
        constraints=LinearConstraint(sparse.vstack(rows).tocsc(), -np.inf, np.concatenate(upper)), options=options,
    )  # fmt: skip
    value = 0.0 if solution.x is None else float(np.abs(np.round(solution.x[:p1]) @ G).sum())
    bound = math.inf if solution.mip_dual_bound is None else -float(solution.mip_dual_bound)
    return Exact(value, bound, {0: "OPTIMAL", 1: "TIME_LIMIT"}.get(solution.status, "FAILED"))


def sampled(net: Network, center: np.ndarray, radius: float, samples: int = SAMPLES, seed: int = 0) -> float:
    """The largest 1-norm of the gradient of the only output at random points of a box (LBS)."""
    points = center + radius * np.random.default_rng(seed).uniform(-1.0, 1.0, (samples, net.widths[0]))
    return float(max(np.abs(net.gradient(part)).sum(axis=1).max() for part in np.array_split(points, 10)))


def samples_of(domain: str, center: np.ndarray) -> tuple[np.ndarray, float]:
    """Center and radius of the box that the published samples are from."""
    return (center, RADIUS) if domain == "local" else (np.full(len(center), 5.0), 5.0)


COLUMNS = {
    "domain": "<7", "p": ">3", "sparsity": ">8", "trial": ">5", "enumerated": ">10.6f", "attained": ">10.6f",
    "claimed": ">10.6f", "sampled": ">10.6f", "seconds": ">8.2f", "status": "<10",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--p", type=int, nargs="+", default=[10])
    parser.add_argument("--sparsity", type=int, nargs="+", default=[4, 8, 12, 16, 20])
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds of each mixed-integer program")
    parser.add_argument("--quick", action="store_true", help="one trial of each sparsity")
    parser.add_argument("--json", type=Path, default=RESULTS / "exact.json", help="rows are kept here")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.trials = 1
    tasks = [
        (domain, p, sparsity, trial)
        for domain in DOMAINS for p in arguments.p
        for sparsity in arguments.sparsity for trial in range(arguments.trials)
    ]  # fmt: skip
    print(f"{len(tasks)} rows, at most {len(tasks) * arguments.time_limit:.0f} s")
    table = Table(COLUMNS, ("domain", "p", "sparsity", "trial"), arguments.json)
    table.header()
    for domain, p, sparsity, trial in tasks:
        net, center = published_network(p, sparsity, trial)
        problem = checked_problem(net, **(dict(center=center, radius=RADIUS) if domain == "local" else {}))
        began = time.perf_counter()
        result = mixed_integer(net, problem, arguments.time_limit)
        seconds = time.perf_counter() - began
        tiny = len(_fixed(net, problem)[1]) <= 12
        table.add(dict(
            domain=domain, p=p, sparsity=sparsity, trial=trial, attained=result.value, claimed=result.claimed_bound,
            enumerated=enumerated(net, problem) if tiny else None, sampled=sampled(net, *samples_of(domain, center)),
            seconds=seconds, status=result.status,
        ))  # fmt: skip


if __name__ == "__main__":
    main()
