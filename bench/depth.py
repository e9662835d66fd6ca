"""Networks of several hidden layers: certified bounds beside the exact constant, and beside other relaxations.

    python bench/depth.py [--networks 320] [--class-networks 12] [--seconds S]     brute force
    python bench/depth.py --published [--quick]                                     the published sizes (p, p, 10, 1)
    python bench/depth.py --liftings [--sizes 40-40-40-1] [--class-networks 12]      forward, adjoint, both
    python bench/depth.py --engines [--sizes 8-8-8-1 20-20-20-1]                     newton, lowrank

Brute force: random networks with 1-4 hidden layers of widths 2-8, weights standard normal / sqrt(fan in), biases 0.3
standard normal, centers 0.3 standard normal; norm inf with radius 0.3, norm 2 with radius 0.3 sqrt(p_0); globally and
locally, in every combination as often as the others; local ones with LP pre-activation bounds. It stops at once where
lower <= exact <= bound does not hold. Then classes of networks: widths 5-8, 2 and 3 hidden layers.

`exact` is the largest dual norm of the gradient over the linear regions that exist (tests/reference/brute.py). No
global relaxation sees which regions exist: `formal` is the largest over all patterns, which is what they bound, so that
bound/formal is what they lose.

`--published`: norm inf, weights by the published generator (bench/networks.py: one hidden layer; here of the layers
p, p, 10, 1), trial 0, centre of the domain as there, radius 0.1. `shor` globally is GeoLIP's relaxation; norm 2 has
eclipse-nn (pip install eclipse-nn torch) as a peer, where it is installed: ECLipsE-Fast, in the ball ECLipsE-Gen-Local.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import hr2jax
from hr2jax.problem import checked_problem
from hr2jax.relaxation import RELAXATIONS
from measure import RESULTS, Table, solve_alone, strict
from networks import deep_published_network

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.reference.brute import TooManyRegionsError, exact_constant

RADIUS = 0.3
LIFTINGS = ("forward", "adjoint", "both")
MOST_PATTERNS = 2**24  # for `formal`
CONSTANT = 1 - 1e-9  # what the enumeration may lose by rounding


def random_case(widths: Iterable[int], seed: int, norm: Any, local: bool) -> tuple[hr2jax.Network, dict[str, Any]]:
    """A network (widths without the output, which is one) and the keyword arguments that say what is asked."""
    rng = np.random.default_rng(seed)
    every = [*widths, 1]
    weights = [rng.standard_normal((m, n)) / np.sqrt(n) for n, m in itertools.pairwise(every)]
    net = hr2jax.Network(weights, [0.3 * rng.standard_normal(m) for m in every[1:]])
    center = 0.3 * rng.standard_normal(every[0])
    radius = RADIUS if norm == "inf" else RADIUS * float(np.sqrt(every[0]))
    return net, dict(norm=norm) | (dict(center=center, radius=radius) if local else {})


def formal_constant(net: hr2jax.Network, norm: Any) -> float:
    """The largest dual norm of A_1^T D_1 ... D_L c over all patterns, or NaN where there are too many of them."""
    widths = net.widths[1:-1]
    if 2 ** sum(widths) > MOST_PATTERNS:
        return float("nan")
    backward = net.weights[-1]
    for A in net.weights[-2:0:-1]:
        backward = np.unique((_patterns(len(A))[:, None] * backward[None]).reshape(-1, len(A)) @ A, axis=0)
    A, best = net.weights[0], 0.0
    for pattern in _patterns(len(A)):
        gradients = (backward * pattern) @ A
        size = np.abs(gradients).sum(axis=1) if norm == "inf" else np.linalg.norm(gradients, axis=1)
        best = max(best, float(size.max()))
    return best


def _patterns(n: int) -> np.ndarray:
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def solved(net: hr2jax.Network, ask: dict[str, Any], relaxation: str, lifting: str, **more: Any) -> hr2jax.Result:
    bounds = "lp" if "center" in ask else "auto"
    return hr2jax.solve(net, relaxation=relaxation, lifting=lifting, bounds=bounds, **ask, **more)


def brute_force(count: int, most: float) -> list[dict]:
    """`count` networks, every one checked."""
    rows: list[dict] = []
    began = time.perf_counter()
    kinds = list(itertools.product((1, 2, 3, 4), ("inf", 2), (False, True)))
    for k in range(count):
        if time.perf_counter() - began > most:
            print(f"stopped after {k} networks: {most:.0f} s are over")
            break
        depth, norm, local = kinds[k % len(kinds)]
        lifting = LIFTINGS[k // len(kinds) % 3] if depth > 1 else "auto"
        relaxation = ("hr2+", "hr2", "shor", "hr2")[k // len(kinds) % 4]
        widths = np.random.default_rng([1, k]).integers(2, 9, depth + 1).tolist()
        net, ask = random_case(widths, k, norm, local)
        exact = exact_constant(net, checked_problem(net, **ask))
        result = solved(net, ask, relaxation, lifting)
        holds = result.lower * CONSTANT <= exact and exact * CONSTANT <= result.bound
        rows.append(
            dict(kind="brute", depth=depth, norm=str(norm), local=local, lifting=lifting, relaxation=relaxation,
                 widths=widths, seed=k, lower=result.lower, exact=exact, bound=result.bound,
                 status=result.status.name, seconds=result.timings["solve"], compile=result.timings["compile"])
        )  # fmt: skip
        if not holds:
            raise SystemExit(f"WRONG: lower {result.lower!r}, exact {exact!r}, bound {result.bound!r}: {rows[-1]}")
    print(f"{len(rows)} networks: lower <= exact <= bound in all of them")
    summary(rows, lambda row: (row["depth"], row["norm"], "local" if row["local"] else "global", row["relaxation"]))
    return rows


def classes(count: int, depths: tuple[int, ...] = (2, 3), liftings: tuple[str, ...] = LIFTINGS) -> list[dict]:
    """Classes of networks: widths 5-8; hr2+ in each lifting, hr2 in one."""
    rows: list[dict] = []
    for norm, local, depth, k in itertools.product(("inf", 2), (False, True), depths, range(count)):
        widths = np.random.default_rng([2, depth, k]).integers(5, 9, depth + 1).tolist()
        net, ask = random_case(widths, 1000 + k, norm, local)
        exact = exact_constant(net, checked_problem(net, **ask))
        formal = float("nan") if local else formal_constant(net, norm)
        for relaxation, lifting in [*(("hr2+", lifting) for lifting in liftings), *(("hr2", lf) for lf in liftings)]:
            result = solved(net, ask, relaxation, lifting)
            if not (result.lower * CONSTANT <= exact and exact * CONSTANT <= result.bound):
                raise SystemExit(f"WRONG: {result.lower!r} {exact!r} {result.bound!r} {widths} {ask}")
            rows.append(
                dict(kind="class", depth=depth, norm=str(norm), local=local, lifting=lifting, relaxation=relaxation,
                     widths=widths, seed=1000 + k, lower=result.lower, exact=exact, formal=formal,
                     bound=result.bound, status=result.status.name, seconds=result.timings["solve"],
                     compile=result.timings["compile"])
            )  # fmt: skip
    summary(rows, _class_of)
    return rows


def _class_of(row: dict) -> tuple:
    return row["norm"], "local" if row["local"] else "global", row["depth"], row["relaxation"], row["lifting"]


def summary(rows: list[dict], key: Callable[[dict], tuple]) -> None:
    """Mean and largest bound/exact and bound/formal of each class, and the seconds."""
    names = ("nets", "mean", "most", "formal", "seconds", "compile", "unsolved")
    print(f"{'class':<40} {' '.join(f'{name:>8}' for name in names)}")
    for group in sorted({key(row) for row in rows}, key=str):
        mine = [row for row in rows if key(row) == group]
        ratio = [row["bound"] / row["exact"] for row in mine if row["exact"] > 0]
        formal = [row["bound"] / row["formal"] for row in mine if row.get("formal", 0) > 0]
        seconds, compiling = (np.mean([row[name] for row in mine]) for name in ("seconds", "compile"))
        unsolved = sum(row["status"] != "SOLVED" for row in mine)
        print(f"{' '.join(map(str, group)):<40} {len(mine):>8} {np.mean(ratio or [np.nan]):>8.4f} "
              f"{max(ratio, default=np.nan):>8.4f} {np.mean(formal or [np.nan]):>8.4f} {seconds:>8.2f} "
              f"{compiling:>8.2f} {unsolved:>8}", flush=True)  # fmt: skip


def liftings(sizes: list[str], count: int, time_limit: float) -> list[dict]:
    """Which lifting is tighter, and faster, where there is no exact constant: relative to the least bound."""
    rows: list[dict] = []
    for size, norm, local, k in itertools.product(sizes, ("inf", 2), (False, True), range(count)):
        widths = [int(p) for p in size.split("-")][:-1]
        net, ask = random_case(widths, 2000 + k, norm, local)
        mine = []
        for relaxation, lifting in itertools.product(("hr2", "hr2+"), LIFTINGS):
            result = solve_alone(net, relaxation=relaxation, lifting=lifting, time_limit=time_limit,
                                 bounds="linear" if local else "auto", **ask)  # fmt: skip
            mine.append(
                dict(kind="lifting", size=size, depth=len(widths) - 1, norm=str(norm), local=local, lifting=lifting,
                     relaxation=relaxation, bound=result.bound, status=result.status.name,
                     seconds=result.timings["solve"], compile=result.timings["compile"])
            )  # fmt: skip
        for relaxation in ("hr2", "hr2+"):
            least = min(row["bound"] for row in mine if row["relaxation"] == relaxation)
            for row in mine:
                if row["relaxation"] == relaxation:
                    row["exact"] = least  # the least bound stands for it
        rows += mine
        for row in mine:
            print(f"  {size} {norm} {'local' if local else 'global'} {row['relaxation']:<5} {row['lifting']:<8} "
                  f"{row['bound']:.6g} {row['bound'] / row['exact']:.4f} {row['seconds']:.1f} s {row['status']}",
                  flush=True)  # fmt: skip
    print("relative to the least bound of the three liftings")
    summary(rows, lambda row: (row["size"], *_class_of(row)))
    return rows


def engines(sizes: list[str], time_limit: float) -> list[dict]:
    """`newton` alone beside `lowrank` (which it ends without cuts): what method="auto" rests on."""
    rows: list[dict] = []
    print(f"{'size':<16} {'domain':<7} {'relaxation':<10} {'N':>5} {'method':<8} {'bound':>11} {'seconds':>8} "
          f"{'compile':>8} status")  # fmt: skip
    for relaxation, size, local in itertools.product(("hr2", "hr2+"), sizes, (False, True)):
        net, ask = random_case([int(p) for p in size.split("-")][:-1], 3000, "inf", local)
        for method in ("newton", "lowrank"):
            result = solve_alone(net, relaxation=relaxation, method=method, time_limit=time_limit,
                                 bounds="linear" if local else "auto", **ask)  # fmt: skip
            rows.append(
                dict(kind="engine", size=size, local=local, relaxation=relaxation, method=method,
                     N=result.problem["moment_matrix"], bound=result.bound, status=result.status.name,
                     seconds=result.timings["solve"] + result.timings["certify"], compile=result.timings["compile"])
            )  # fmt: skip
            row = rows[-1]
            print(f"{size:<16} {'local' if local else 'global':<7} {relaxation:<10} {row['N']:>5} {method:<8} "
                  f"{row['bound']:>11.6f} {row['seconds']:>8.2f} {row['compile']:>8.2f} {row['status']}",
                  flush=True)  # fmt: skip
    return rows


COLUMNS = {
    "p": ">3", "domain": "<7", "norm": "<4", "lower": ">9.5f", "exact": ">9.5f", "formal": ">9.5f", "hr2+": ">9.5f",
    "hr2": ">9.5f", "shor": ">9.5f", "lipsdp": ">9.5f", "interval": ">10.4f", "product": ">10.4f", "eclipse": ">9.5f",
    "seconds": ">8.1f",
}  # fmt: skip


def published(quick: bool, time_limit: float) -> None:
    """The sizes (p, p, 10, 1) of the published two-layer tables; what exists of each."""
    table = Table(COLUMNS, ("p", "domain", "norm"), RESULTS / "depth_published.json")
    table.header()
    for p, norm, local in itertools.product((5, 10) if quick else (5, 10, 20, 30, 40, 50), ("inf", 2), (False, True)):
        net, center = deep_published_network((p, p, 10, 1), 0)
        radius = 0.1 if norm == "inf" else 0.1 * float(np.sqrt(p))
        ask: dict[str, Any] = dict(norm=norm) | (dict(center=center, radius=radius) if local else {})
        row: dict[str, Any] = dict(p=p, domain="local" if local else "global", norm=str(norm), lower=0.0, seconds=0.0)
        for relaxation in ("interval", "product", "shor", "lipsdp", "hr2", "hr2+"):
            if relaxation not in RELAXATIONS or (relaxation == "lipsdp" and (norm == "inf" or local)):
                continue
            began = time.perf_counter()
            try:
                result = hr2jax.solve(net, relaxation=relaxation, time_limit=time_limit, **ask)
            except NotImplementedError:
                continue
            row[relaxation], row["lower"] = result.bound, max(row["lower"], result.lower)
            row["seconds"] += time.perf_counter() - began
        if p <= 10:
            with contextlib.suppress(TooManyRegionsError):
                row["exact"] = exact_constant(net, checked_problem(net, **ask), programs=100_000)
        row["formal"] = float("nan") if local else formal_constant(net, norm)
        if norm == 2:
            row["eclipse"] = eclipse(net, *((center, radius) if local else ()))
        table.add(row)


def eclipse(net: hr2jax.Network, center: np.ndarray | None = None, radius: float = 0.0) -> float | None:
    """eclipse-nn's value of the Euclidean constant (layer by layer, its fast variants), or None without the package.

    Globally ECLipsE-Fast; in the ball, if one is given, ECLipsE-Gen-Local.
    """
    try:
        import torch
        from eclipse_nn.LipConstEstimator import LipConstEstimator
    except ImportError as error:
        print(f"(eclipse-nn is skipped: {error})", file=sys.stderr)
        return None
    weights, biases = ([torch.tensor(A, dtype=torch.float64) for A in many] for many in (net.weights, net.biases))
    if center is None:
        return float(LipConstEstimator(weights=weights).estimate(method="ECLipsE_Fast"))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        estimator = LipConstEstimator(weights=weights, biases=biases)
        return float(estimator.estimate_gen_local(torch.tensor(center), radius, algo="Fast")[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--published", action="store_true", help="the table of the published sizes instead")
    parser.add_argument("--liftings", action="store_true", help="compare the liftings instead")
    parser.add_argument("--engines", action="store_true", help="compare the engines instead")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller ones")
    parser.add_argument("--networks", type=int, default=320, help="of the brute force (default 320)")
    parser.add_argument("--class-networks", type=int, default=12, help="of each class (default 12)")
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 3], help="of the classes")
    parser.add_argument("--class-liftings", nargs="+", choices=LIFTINGS, default=list(LIFTINGS))
    parser.add_argument("--sizes", nargs="+", default=["40-40-40-1"], help="for --liftings and --engines")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for the brute force, at most")
    parser.add_argument("--time-limit", type=float, default=120.0, help="of each solve of the other tables")
    parser.add_argument("--json", type=Path, help="default: under bench/results")
    arguments = parser.parse_args()
    began = time.perf_counter()
    if arguments.published:
        published(arguments.quick, arguments.time_limit)
    else:
        if arguments.engines:
            rows = engines(arguments.sizes, arguments.time_limit)
        elif arguments.liftings:
            rows = liftings(arguments.sizes, arguments.class_networks, arguments.time_limit)
        else:
            few = 16 if arguments.quick else arguments.networks
            rows = brute_force(few, arguments.seconds) if few else []
            count = 2 if arguments.quick else arguments.class_networks
            rows += classes(count, tuple(arguments.depths), tuple(arguments.class_liftings)) if count else []
        table = "_engines" if arguments.engines else "_liftings" if arguments.liftings else ""
        path = arguments.json or RESULTS / f"depth{table}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(strict(rows), indent=0, allow_nan=False) + "\n")
    print(f"{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
