"""Bounds of all outputs, the whole Jacobian, beside exact or published values:  python bench/outputs.py

Rows are LipBaB's networks on their boxes, ExLipBaB's iris, GLipSDP's FC-R18 (`--only FC-R18`), random networks by
torch's initialisation (their exact constants by regions.py, everywhere those of all patterns), and 64-64-10. Writes
bench/results/outputs.json.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from regions import exact_constant, operator_norm
from scipy.io import loadmat

import hr2jax
from measure import RESULTS, Table
from networks import DATA

PAIRS = ((2, 2), ("inf", 1), ("inf", 2), (2, 1), (1, 2))
PEERS = DATA / "data" / "peers"
COLUMNS = {
    "network": "<26", "p->q": "<9", "relaxation": "<10", "lifting": "<9",
    "bound": ">10.4f", "lower": ">10.4f", "known": ">10.4f",
    "ratio": ">8.4f", "seconds": ">8.2f", "status": "<12",
}  # fmt: skip


@dataclass
class Row:
    """A question, and what is known of its answer: exact, or published."""

    name: str
    net: hr2jax.Network
    norm: Any
    output_norm: Any
    relaxation: str
    known: float | None
    domain: dict[str, Any]
    limits: float = 1.0  # how many times the time limit it has


def random_network(widths: tuple[int, ...], seed: int) -> hr2jax.Network:
    """torch's default initialisation, from `numpy.random.default_rng(seed)`."""
    rng, weights, biases = np.random.default_rng(seed), [], []
    for m, n in itertools.pairwise(widths):
        k = 1 / np.sqrt(m)
        weights.append(rng.uniform(-k, k, (n, m)))
        biases.append(rng.uniform(-k, k, n))
    return hr2jax.Network(weights, biases)


def formal_constant(net: hr2jax.Network, p: Any, q: Any) -> float:
    """The largest operator norm over all patterns of masks, those of no input too."""
    hidden, best = net.widths[1:-1], 0.0
    for bits in itertools.product((0.0, 1.0), repeat=sum(hidden)):
        J = net.weights[0]
        for on, A in zip(np.split(np.array(bits), np.cumsum(hidden)[:-1]), net.weights[1:], strict=True):
            J = A @ (on[:, None] * J)
        best = max(best, operator_norm(J, p, q))
    return best


def iris() -> hr2jax.Network:
    """ExLipBaB's iris 4-6-6-3."""
    folder = PEERS / "exlipbab"
    found = [loadmat(folder / f"iris_net_4x6x6x3_ReLU_{what}.mat") for what in ("weights", "biases")]
    arrays = [[values for name, values in part.items() if not name.startswith("__")] for part in found]
    weights = [np.atleast_2d(A) for A in (arrays[0][0].ravel() if len(arrays[0]) == 1 else arrays[0])]
    biases = [np.ravel(b) for b in (arrays[1][0].ravel() if len(arrays[1]) == 1 else arrays[1])]
    return hr2jax.Network(weights, biases)


def rows() -> Iterator[Row]:
    """All questions."""
    for name, file, most, values in (
        ("LipBaB iris 4-5-5-3", "lb_iris_net_4x5x5x3", 1.0,
         {2: 6.771454513402937, "inf": 12.605085581416922, 1: 5.958048912394726}),
        ("LipBaB SD 10-15-10-3", "lb_SDnet_10x15x10x3", 0.1,
         {2: 9.530716922306004, "inf": 16.274810805318676, 1: 10.41286850374477}),
        ("LipBaB SD 10-20-15-10-3", "lb_SDnet_10x20x15x10x3", 0.1,
         {2: 40.05651016370293, "inf": 72.28569774866806, 1: 48.04897158493324}),
    ):  # fmt: skip
        net = hr2jax.load(PEERS / "lipbab" / f"{file}.npz")
        box = hr2jax.Box(np.zeros(net.widths[0]), np.full(net.widths[0], most))
        for norm, exact in values.items():
            yield Row(name, net, norm, norm, "hr2+", exact, {"domain": box})
    yield Row("ExLipBaB iris 4-6-6-3", iris(), 2, 2, "hr2+", 11.634355134114875, {})
    for widths in ((64, 64, 10), (64, 64, 64, 10)):
        for relaxation in ("lipsdp", "shor", "hr2"):
            name = "-".join(map(str, widths))
            yield Row(name, random_network(widths, 0), 2, 2, relaxation, None, {})
    for widths, radius in (((3, 5, 5, 2), 0.5), ((4, 4, 4, 3), 1.0), ((2, 4, 4, 4, 2), 1.0)):
        for seed in range(4):
            net = random_network(widths, seed)
            center = np.random.default_rng(seed + 99).uniform(-1, 1, widths[0])
            name, domain = "-".join(map(str, widths)) + f" seed {seed}", {"domain": hr2jax.Ball(center, radius)}
            for p, q in PAIRS:
                exact = exact_constant(net, p, q, **domain)
                for relaxation in ("hr2", "hr2+") if (p, q) == (2, 2) else ("hr2+",):
                    yield Row(name, net, p, q, relaxation, exact, domain)
    for widths, p, q in (((3, 3, 3, 3, 2), 2, 2), ((4, 5, 5, 3), "inf", 1)):
        for seed in range(5):
            net = random_network(widths, seed)
            name = "-".join(map(str, widths)) + f" seed {seed}"
            yield Row(name, net, p, q, "hr2+", formal_constant(net, p, q), {})
    if (PEERS / "glipsdp" / "FC-R18.pt").exists():
        try:
            from peers import network
        except ImportError:
            return
        # GLipSDP's 20.956 is of the network without the outer ReLUs (peers.residual)
        for name, known in (("FC-R18 inner", 20.956), ("FC-R18", None)):
            for relaxation in ("lipsdp", "lipsdp+"):
                yield Row(name, network(name), 2, 2, relaxation, known, {}, 3.0)


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--lifting", default="auto", help="of hr2+'s rows from inf or 2 to 2 or 1")
    parser.add_argument("--time-limit", type=float, default=60.0, help="seconds a row")
    arguments = parser.parse_args()
    table = Table(COLUMNS, ("network", "p->q", "relaxation"), RESULTS / "outputs.json")
    table.header()
    for row in rows():
        if arguments.only not in row.name:
            continue
        is_free = row.relaxation == "hr2+" and row.norm != 1 and row.output_norm != "inf"
        started = time.perf_counter()
        result = hr2jax.solve(
            row.net, norm=row.norm, output_norm=row.output_norm, relaxation=row.relaxation,
            time_limit=row.limits * arguments.time_limit, lifting=arguments.lifting if is_free else "auto",
            **row.domain,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        known = result.lower if row.known is None else row.known
        table.add({
            "network": row.name, "p->q": f"{row.norm}->{row.output_norm}", "relaxation": row.relaxation,
            "lifting": result.problem["lifting"],
            "bound": result.bound, "lower": result.lower, "known": row.known, "ratio": result.bound / known,
            "seconds": seconds, "status": result.status.name,
        })  # fmt: skip


if __name__ == "__main__":
    main()
