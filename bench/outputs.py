"""Bounds of all outputs, the whole Jacobian, beside exact or published values.

    python bench/outputs.py                  all rows but the slow ones; some ten minutes on two quiet cores
    python bench/outputs.py --slow           those too: more seeds, LipBaB's larger network again, FC-R18 by lipsdp+
    python bench/outputs.py --only FC-R18 --slow

Rows are LipBaB's networks on their boxes, ExLipBaB's iris and wine, GLipSDP's fnn2 and fnn3 (output 7, as published)
and FC-R18, random networks by torch's initialisation (their exact constants by regions.py, everywhere those of all
patterns), and 64-64-10. `ratio` is the bound over what is known, or else over the lower bound. Each has a time limit of
its own. Writes bench/results/outputs.json.

FC-R18: GLipSDP's 20.956 is of another network than the trained one. Its code leaves out the ReLUs behind the residual
blocks ("FC-R18 inner"; `peers.residual`). What is known of both is a norm that a pattern of masks has (`ascent`).
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from peers import network, published
from regions import exact_constant, operator_norm
from scipy.io import loadmat

import hr2jax
from measure import RESULTS, Table
from networks import DATA

PAIRS = ((2, 2), ("inf", 1), ("inf", 2), (2, 1), (1, 2))
PEERS = DATA / "data" / "peers"
COLUMNS = {
    "network": "<26", "p->q": "<9", "relaxation": "<10", "lifting": "<9",
    "bound": ">10.5f", "lower": ">10.5f", "known": ">10.5f", "published": ">10.5f",
    "ratio": ">8.5f", "seconds": ">8.2f", "processor": ">9.2f", "limit": ">6.0f", "status": "<12",
}  # fmt: skip


@dataclass
class Row:
    """A question, what is known of its answer (exact, or of all patterns), and what others have published."""

    name: str
    net: hr2jax.Network
    norm: Any
    output_norm: Any
    relaxation: str
    known: float | None
    domain: dict[str, Any]
    limit: float = 60.0  # seconds
    published: float | None = None
    output: int | None = None
    is_slow: bool = False


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


def ascent(net: hr2jax.Network, starts: int = 20, sweeps: int = 200) -> float:
    """A 2 -> 2 norm that some pattern of masks attains, which an input need not have: what global bounds cannot pass.

    s^T J t is linear in the masks of a layer: those that make it largest, layer after layer, then s and t anew.
    """
    best, layers = 0.0, net.layers
    for seed in range(starts):
        rng = np.random.default_rng(seed)
        on = [rng.integers(0, 2, len(layer.bias)).astype(float) if layer.activation == "relu" else
              np.ones(len(layer.bias)) for layer in layers]  # fmt: skip
        t, s, before = rng.standard_normal(net.widths[0]), rng.standard_normal(net.widths[-1]), 0.0
        for _ in range(sweeps):
            for l in range(len(layers)):
                behind = _adjoints(layers, on, s / np.linalg.norm(s))
                ahead = _tangents(layers, on, t / np.linalg.norm(t))
                if layers[l].activation == "relu":
                    on[l] = (ahead[l][0] * behind[l + 1] > 0).astype(float)
            t = _adjoints(layers, on, s / np.linalg.norm(s))[0]
            s = _tangents(layers, on, t / np.linalg.norm(t))[-1][1]
            value = float(np.linalg.norm(s))
            if value <= before * (1 + 1e-9):
                break
            before = value
        best = max(best, before)
    return best


def _tangents(layers: Sequence[hr2jax.Layer], on: list[np.ndarray], t: np.ndarray) -> list[tuple[np.ndarray, ...]]:
    """Of each layer w before and p behind its masks."""
    values, out = [t], []
    for layer, mask in zip(layers, on, strict=True):
        w = sum(A @ values[k] for k, A in layer.inputs.items())
        values.append(mask * w)
        out.append((w, values[-1]))
    return out


def _adjoints(layers: Sequence[hr2jax.Layer], on: list[np.ndarray], s: np.ndarray) -> list[np.ndarray]:
    """The derivative of s . f by x and by what is behind each layer's masks."""
    out = [np.zeros(layers[0].inputs[0].shape[1]), *(np.zeros(len(layer.bias)) for layer in layers)]
    out[-1] = s
    for l in range(len(layers), 0, -1):
        for k, A in layers[l - 1].inputs.items():
            out[k] = out[k] + A.T @ (on[l - 1] * out[l])
    return out


def exlipbab(stem: str) -> hr2jax.Network:
    """One of ExLipBaB's ReLU networks, by its widths: "iris_net_4x6x6x3_ReLU"."""
    weights, biases = (
        next(values for name, values in loadmat(PEERS / "exlipbab" / f"{stem}_{what}.mat").items() if name[0] != "_")
        for what in ("weights", "biases")
    )
    return hr2jax.Network(
        [np.atleast_2d(A).astype(np.float64) for A in weights.ravel()],
        [np.ravel(b).astype(np.float64) for b in biases.ravel()],
    )


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
        is_large = net.depth == 3
        for norm, exact in values.items():
            yield Row(name, net, norm, norm, "hr2+", exact, {"domain": box})
            if is_large and norm == 2:
                yield Row(f"{name}, longer", net, 2, 2, "hr2+", exact, {"domain": box}, 300.0, is_slow=True)
    yield Row("ExLipBaB iris 4-6-6-3", exlipbab("iris_net_4x6x6x3_ReLU"), 2, 2, "hr2+", 11.634355134114875, {})
    # of all patterns; its constant is 1.74337
    yield Row("ExLipBaB wine 11-12-12-1", exlipbab("wine_net_11x12x12x1_ReLU"), 2, 2, "hr2+", 1.77190, {})
    values = published()["glipsdp"]["values"]
    for name, seed in (("fnn2", 0), ("fnn3", 2)):
        own = values[name]["Lip_GLipSDP"][seed]
        yield Row(f"GLipSDP {name} seed {seed}", network(f"{name}_seed{seed}"), 2, 2, "hr2+", None, {}, 120.0, own, 7)
    for name, own in (("FC-R18 inner", 20.956), ("FC-R18", None)):
        net = network(name)
        pattern = ascent(net)
        yield Row(name, net, 2, 2, "lipsdp", pattern, {}, 60.0, own)
        yield Row(name, net, 2, 2, "lipsdp+", pattern, {}, 400.0, own, is_slow=True)
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
                    yield Row(name, net, p, q, relaxation, exact, domain, is_slow=seed > 1)
    for widths, p, q in (((3, 3, 3, 3, 2), 2, 2), ((4, 5, 5, 3), "inf", 1)):
        for seed in range(5):
            net = random_network(widths, seed)
            name = "-".join(map(str, widths)) + f" seed {seed}"
            yield Row(name, net, p, q, "hr2+", formal_constant(net, p, q), {}, is_slow=seed > 2)


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--lifting", default="auto", help="of hr2+'s rows from inf or 2 to 2 or 1")
    parser.add_argument("--time-limit", type=float, help="seconds of every row (default: each row its own)")
    parser.add_argument("--slow", action="store_true", help="the slow rows too")
    arguments = parser.parse_args()
    table = Table(COLUMNS, ("network", "p->q", "relaxation"), RESULTS / "outputs.json")
    table.header()
    for row in rows():
        if arguments.only not in row.name or (row.is_slow and not arguments.slow):
            continue
        limit = row.limit if arguments.time_limit is None else arguments.time_limit
        is_free = row.relaxation == "hr2+" and row.norm != 1 and row.output_norm != "inf"
        began, spent = time.perf_counter(), time.process_time()
        result = hr2jax.solve(
            row.net, norm=row.norm, output_norm=row.output_norm, relaxation=row.relaxation, output=row.output,
            time_limit=limit, lifting=arguments.lifting if is_free else "auto",
            **row.domain,
        )  # fmt: skip
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
        known = result.lower if row.known is None else row.known
        table.add({
            "network": row.name, "p->q": f"{row.norm}->{row.output_norm}", "relaxation": row.relaxation,
            "lifting": result.problem.get("lifting"),
            "bound": result.bound, "lower": result.lower, "known": row.known, "published": row.published,
            "ratio": result.bound / known, "seconds": seconds, "processor": spent, "limit": limit,
            "status": result.status.name,
        })  # fmt: skip


if __name__ == "__main__":
    main()
