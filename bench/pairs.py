"""Which cutting planes of `hr2+` pay: each kind alone, and one after the other.

    python bench/pairs.py [--quick] [--time-limit 600] [--json bench/results/pairs.json] [--markdown]

SDP-NN and the densest published (80, 80) network, globally and in the box of radius 0.1 (`--quick`: the published
network of (10, 10)). `base` has no cutting planes, `+ U.U` has U.U besides all kinds that come before it in ORDER.
Each row runs in a process of its own, so that its peak is its own; seconds are of solving and certifying,
compilation apart; `number` counts the cuts with a multiplier in the certificate; `less` is how much lower than the
base's bound. `--markdown` prints the rows that the file has and runs nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from hr2jax.options import CUT_NAMES
from measure import RESULTS, Table, in_process, solve_alone, solve_seconds
from networks import published_network, sdp_nn

# The order they are added in; a global problem has none of those with X0.
ORDER = ("T.U", "X0.U", "U.U", "T.X0", "T.T", "X0.X0", "triangles")
NETWORKS = {"sdp-nn": sdp_nn, "(80, 80)": lambda: published_network(80, 80, 0)}
QUICK = {"(10, 10)": lambda: published_network(10, 20, 0)}
RADIUS = 0.1

COLUMNS = {
    "network": "<9", "domain": "<7", "cuts": "<11", "bound": ">9.5f", "less": ">7.2%", "value": ">9.5f",
    "seconds": ">8.2f", "compile": ">8.2f", "number": ">7", "MiB": ">6.0f", "status": "<10", "message": "<1",
}  # fmt: skip


def selections(local: bool) -> dict[str, list[str]]:
    """What is tried, by the name of its row: nothing, each kind alone, then cumulatively."""
    kinds = [kind for kind in ORDER if local or "X0" not in kind]
    alone = {kind: [kind] for kind in kinds}
    return {"base": []} | alone | {f"+ {kind}": kinds[: k + 1] for k, kind in enumerate(kinds) if k}


def measure(network: str, local: bool, cuts: list[str], tol: float, time_limit: float | None) -> dict:
    """One row, in this process."""
    net, center = (NETWORKS | QUICK)[network]()
    domain = dict(center=center, radius=RADIUS) if local else {}
    result = solve_alone(net, relaxation="hr2+", cuts=cuts, tol=tol, time_limit=time_limit, **domain)
    t = result.timings
    return dict(
        bound=result.bound, value=result.relaxation_value, seconds=solve_seconds(result), compile=t["compile"],
        number=len(result.certificate.multipliers.get("triangles/multipliers", ())), MiB=t["peak_bytes"] / 2**20,
        status=result.status.name, iterations=result.iterations, timings=dict(t),
    )  # fmt: skip


def main() -> None:
    assert set(ORDER) == set(CUT_NAMES[: CUT_NAMES.index("triangles") + 1])  # the others are for several hidden layers
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="only the published network of (10, 10)")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--domains", nargs="+", choices=["global", "local"], default=["global", "local"])
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--time-limit", type=float, default=600.0, help="seconds for each solve (default 600)")
    parser.add_argument("--json", type=Path, default=RESULTS / "pairs.json", help="rows are kept here")
    parser.add_argument("--markdown", action="store_true", help="print what the file has, for docs/")
    parser.add_argument("--row", help=argparse.SUPPRESS)  # one row, for the process that measures it
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(*json.loads(arguments.row))))
        return
    table = Table(COLUMNS, ("network", "domain", "cuts"), arguments.json)
    if arguments.markdown:
        print(table.markdown())
        return
    table.header()
    for network in QUICK if arguments.quick else arguments.networks:
        for domain in arguments.domains:
            base = None
            for name, cuts in selections(domain == "local").items():
                task = [network, domain == "local", cuts, arguments.tol, arguments.time_limit]
                row = in_process(__file__, task, 3 * arguments.time_limit + 120)
                base = row.get("bound") if name == "base" else base
                if base and "bound" in row:
                    row["less"] = 1 - row["bound"] / base
                table.add(dict(network=network, domain=domain, cuts=name) | row)


if __name__ == "__main__":
    main()
