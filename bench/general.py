"""Convolutions, residuals and GroupSort that others published: our bounds beside theirs, with seconds and memory.

    python bench/general.py                              every row; some half an hour
    python bench/general.py --only cnn2 "FC-R18 lipsdp"  rows whose name has one of these
    python bench/general.py --time-limit 60              of each solve, instead of the row's own

Norm 2, everywhere; of GLipSDP's networks output 7 of 10, of ExLipBaB's the only one. `reached` says whether the bound
is below `wanted`: what is to be reached, or product's bound. Each row has a process of its own, so that its peak of
memory is its own; it solves once (`seconds`: engine and proofs, compilation apart; `wall`: the whole call) and, where
that was quick, once more (`warm`: the whole call). Rows are kept in bench/results/general.json.
"""

from __future__ import annotations

import argparse
import json
import time

import peers

import hr2jax
from measure import RESULTS, Table, in_process, solve_seconds

COLUMNS = {
    "row": "<24", "bound": ">9.4f", "wanted": ">9.4f", "reached": "<7", "lower": ">9.4f", "published": ">9.4f",
    "product": ">9.2f", "status": "<11", "size": ">5", "seconds": ">8.2f", "compile": ">8.2f", "wall": ">8.2f",
    "warm": ">8.2f", "limit": ">6.0f", "MiB": ">6.0f",
}  # fmt: skip
# A second solve, with what the first has compiled, where that took at most so many seconds.
QUICK = 60.0
# The least bounds that were known when this was written, and of others' networks what is to be reached.
WANTED = {
    "cnn2_seed0 shor": 7.2765, "cnn2_seed0 hr2+": 7.2265, "cnn3_seed0 lipsdp": 17.8765, "cnn3_seed0 shor": 17.8695,
    "FC-R18 lipsdp": 20.0, "FC-R18 shor": 20.0, "wine_groupsort hr2+": 1.05 * 2.788306161469607,
}  # fmt: skip


def rows() -> dict[str, tuple[str, str, float]]:
    """Name -> network, relaxation, seconds that the solve may take."""
    out = {}
    for seed in range(5):
        for relaxation in ("lipsdp", "shor", "hr2", "hr2+"):
            out[f"cnn2_seed{seed} {relaxation}"] = (f"cnn2_seed{seed}", relaxation, 60.0)
    for seed in range(5):
        for relaxation in ("lipsdp", "shor"):
            out[f"cnn3_seed{seed} {relaxation}"] = (f"cnn3_seed{seed}", relaxation, 180.0)
    out["cnn3_seed0 hr2+"] = ("cnn3_seed0", "hr2+", 300.0)
    for name in ("FC-R18", "LeNet5", "2C2F"):
        for relaxation in ("lipsdp", "shor"):
            out[f"{name} {relaxation}"] = (name, relaxation, 400.0)
    for relaxation in ("lipsdp", "shor", "hr2", "hr2+"):
        out[f"wine_groupsort {relaxation}"] = ("wine_groupsort", relaxation, 60.0)
    return out


def published(name: str) -> float | None:
    """Their bound of the same quantity; None where they have none."""
    values = peers.published()
    if name.startswith("cnn"):
        kind, seed = name.split("_seed")
        return values["glipsdp"]["values"][kind]["Lip_GLipSDP_c"][int(seed)]
    if name == "wine_groupsort":
        return values["exlipbab"]["GroupSort"]["wine_net_11x12x12x1_GroupSort_numGroups6"]
    return None


def row(name: str, relaxation: str, limit: float) -> dict:
    """One row, measured in this process."""
    net = peers.network(name)
    asked = {"output": 7 if net.widths[-1] > 1 else 0, "norm": 2}

    def timed() -> tuple[hr2jax.Result, float]:
        began = time.perf_counter()
        return hr2jax.solve(net, relaxation=relaxation, time_limit=limit, **asked), time.perf_counter() - began

    result, wall = timed()
    warm = timed()[1] if wall <= QUICK else None
    peak = result.timings["peak_bytes"]
    assert result.certificate.verify(net) <= result.bound * (1 + 1e-12)
    product = hr2jax.solve(net, relaxation="product", witness=0, **asked).bound
    return dict(
        bound=result.bound, lower=result.lower, product=product, status=result.status.name,
        size=result.problem["moment_matrix"], engine=result.problem["engine"], bound_by=result.problem["bound_by"],
        seconds=solve_seconds(result), compile=result.timings["compile"], wall=wall, warm=warm, MiB=peak / 2**20,
        limit=limit, iterations=result.iterations,
    )  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[""], help="rows whose name has one of these")
    parser.add_argument("--time-limit", type=float, help="seconds of each solve (default: each row its own)")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row is not None:
        print(json.dumps(row(*json.loads(arguments.row))))
        return
    table = Table(COLUMNS, ("row",), RESULTS / "general.json")
    table.header()
    for name, (network, relaxation, limit) in rows().items():
        if not any(part in name for part in arguments.only):
            continue
        seconds = arguments.time_limit or limit
        # a second solve, a verification and a search for a witness come on top
        found = in_process(__file__, [network, relaxation, seconds], patience=4 * seconds + 120)
        wanted = WANTED.get(name, found.get("product"))
        reached = "yes" if found.get("bound", float("inf")) < (wanted or 0.0) else "no"
        table.add({"row": name, "published": published(network), "wanted": wanted, "reached": reached} | found)


if __name__ == "__main__":
    main()
