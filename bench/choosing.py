"""Which relaxation when: bound, gap and seconds of each on one problem a class:  python bench/choosing.py

The digits' classifier that ships with the package, F_2 - F_3, and a random network by PyTorch's law; norm inf. A gap is
that to the best lower bound that any row of its problem attained. Writes bench/results/choosing.json; --markdown prints
the table of README and docs/choosing.md from it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import hr2jax
from measure import RESULTS, Table
from networks import deep_published_network

COLUMNS = {
    "network": "<16", "domain": "<12", "relaxation": "<10", "bound": ">12.6g", "gap": ">8.2%", "seconds": ">8.2f",
    "status": "<11",
}  # fmt: skip
RELAXATIONS = ("product", "interval", "shor", "hr2", "hr2z", "hr2+", "best")


def problems() -> Iterator[tuple[str, str, hr2jax.Network, dict[str, Any]]]:
    """Network and domain by name, the network, what is asked of it."""
    digits, x, _ = hr2jax.data.digits()
    yield "64-64-10", "everywhere", digits, {"output": (2, 3)}
    yield "64-64-10", "radius 0.05", digits, {"output": (2, 3), "center": x[12], "radius": 0.05}
    deep, center = deep_published_network((20, 20, 20, 1), 0)
    yield "20-20-20-1", "everywhere", deep, {}
    yield "20-20-20-1", "radius 0.1", deep, {"center": center, "radius": 0.1}


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds a row")
    parser.add_argument("--markdown", action="store_true", help="print the table that the file has")
    arguments = parser.parse_args()
    table = Table(COLUMNS, ("network", "domain", "relaxation"), RESULTS / "choosing.json")
    if arguments.markdown:
        print(markdown(table.rows()))
        return
    table.header()
    for network, domain, net, asked in problems():
        if arguments.only not in network:
            continue
        found, lower = [], 0.0
        for relaxation in RELAXATIONS:
            if relaxation == "hr2z" and (net.depth > 1 or domain == "everywhere"):
                continue  # globally it is shor; with several layers hr2+ has its products
            result = hr2jax.solve(net, relaxation=relaxation, time_limit=arguments.time_limit, **asked)
            lower = max(lower, result.lower)
            seconds = sum(result.timings[name] for name in ("setup", "compile", "solve", "certify"))
            found.append({"network": network, "domain": domain, "relaxation": relaxation, "bound": result.bound,
                          "seconds": seconds, "status": result.status.name})  # fmt: skip
        for row in found:
            table.add(row | {"lower": lower, "gap": (row["bound"] - lower) / row["bound"]})


def markdown(rows: list[dict]) -> str:
    """A line a problem, a column a relaxation: gap and seconds."""
    head = ["network, domain", *RELAXATIONS]
    lines = [head, ["---"] * len(head)]
    for name in dict.fromkeys((row["network"], row["domain"]) for row in rows):
        own = {row["relaxation"]: row for row in rows if (row["network"], row["domain"]) == name}
        cells = [
            f"{100 * own[r]['gap']:.1f} %, {max(own[r]['seconds'], 0.1):.1f} s" if r in own else "" for r in RELAXATIONS
        ]
        lines.append([", ".join(name), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
