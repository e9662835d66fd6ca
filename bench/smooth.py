"""Smooth networks: bounds beside the vertex maximum over slopes and the largest sampled slope; tanh at MNIST's size.

    python bench/smooth.py                         every row; some ten minutes
    python bench/smooth.py --only small actor      rows whose name has one of these
    python bench/smooth.py --relaxation hr2+       another relaxation than hr2

`small` is tanh 4-16-16-1, `actor` tanh 4-64-64-2 with orthogonal weights as stable-baselines3 makes them (gain
sqrt(2), at the end 1), norm inf, output 0, on boxes of the radii 0.01 to 0.1 around a random centre; `pair` is tanh
4-16-16-2, both outputs, from norm 2 to 2 and from inf to 1, with slopes tied to x as "auto" has them and, `free`,
without. `vertex` is the largest dual norm of C D_2 A_2 D_1 A_1 over slopes at the ends of the ranges that the
certificate proves, found by coordinate ascent from random starts (a lower bound of that maximum); a relaxation that
does not tie the slopes to x bounds that maximum, which is above the true constant. `sampled` is the largest slope that
the search for a witness proves. `over vertex` and `over sampled` are bound / each - 1. `mnist` is 784-256-256-10, tanh
beside ReLU of the same weights, output 0, everywhere and on a box of radius 0.01, and LipSDP's relaxation of norm 2
everywhere: seconds of the engine and its proofs, of the whole call, of all processors, and the process's peak of
memory. Every row has a process of its own. Rows are kept in bench/results/smooth.json.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise

import numpy as np

import hr2jax
from hr2jax.certificate.prover import Prover
from measure import RESULTS, Table, in_process, solve_seconds

COLUMNS = {
    "row": "<22", "radius": ">6.2f", "bound": ">9.5f", "vertex": ">9.5f", "sampled": ">9.5f", "over vertex": ">11.2%",
    "over sampled": ">12.2%", "lifting": "<14", "status": "<11", "seconds": ">8.2f", "wall": ">8.2f", "cpu": ">8.2f",
    "MiB": ">6.0f",
}  # fmt: skip
RADII = (0.01, 0.02, 0.05, 0.1)
SEEDS = (0, 1, 2)
STARTS = 100  # of the coordinate ascent


def orthogonal(rng: np.random.Generator, m: int, n: int, gain: float) -> np.ndarray:
    """A matrix (m, n) whose rows or columns are orthogonal, of length `gain`."""
    q, r = np.linalg.qr(rng.normal(size=(max(m, n), min(m, n))))
    q = q * np.sign(np.diag(r))
    return gain * (q if m >= n else q.T)


def network(name: str, seed: int, activation: str = "tanh") -> hr2jax.Network:
    """`small`, `pair`, `actor` or `mnist`."""
    rng = np.random.default_rng(seed)
    if name == "actor":
        weights = [orthogonal(rng, 64, 4, 2**0.5), orthogonal(rng, 64, 64, 2**0.5), orthogonal(rng, 2, 64, 1.0)]
        biases = [0.1 * rng.normal(size=len(A)) for A in weights]
    else:
        widths = {"small": (4, 16, 16, 1), "pair": (4, 16, 16, 2), "mnist": (784, 256, 256, 10)}[name]
        scale = 3.0**-0.5 if name == "mnist" else 1.0  # the former as PyTorch's default law
        weights = [scale * rng.normal(size=(m, n)) / n**0.5 for n, m in pairwise(widths)]
        biases = [0.1 * rng.normal(size=m) for m in widths[1:]]
    return hr2jax.Network(weights, biases, activation=activation)


def vertex(net: hr2jax.Network, certificate: hr2jax.Certificate, rng: np.random.Generator) -> float:
    """The largest 1-norm of a gradient of output 0 over slopes at the ends of their ranges, from STARTS starts."""
    problem, layout = certificate.lipschitz_problem, certificate.layout
    prover = Prover(net, problem, layout, lifting=certificate.lifting, slopes=certificate.slopes)
    matrices = [next(iter(layer.inputs.values())) for layer in net.layers]
    ranges = [prover.fixed.ranges[l] for l in range(1, len(net.layers))]
    best = 0.0
    for _ in range(STARTS):
        chosen = [np.where(rng.random(len(a)) < 0.5, a, b) for a, b in ranges]
        before, value = -1.0, 0.0
        while value > before:
            before = value
            for l, (alpha, beta) in enumerate(ranges):
                ahead = matrices[-1][0]
                for k in range(len(ranges) - 1, l, -1):
                    ahead = (ahead * chosen[k]) @ matrices[k]
                behind = matrices[0]
                for k in range(1, l + 1):
                    behind = matrices[k] @ (chosen[k - 1][:, None] * behind)
                parts = ahead[:, None] * behind  # of each neuron, times its slope the gradient's
                total = chosen[l] @ parts
                for i in range(len(alpha)):
                    rest = total - chosen[l][i] * parts[i]
                    ends = [(np.abs(rest + end * parts[i]).sum(), end) for end in (alpha[i], beta[i])]
                    value, chosen[l][i] = max(ends)
                    total = rest + chosen[l][i] * parts[i]
            value = float(np.abs(total).sum())
        best = max(best, value)
    return best


def row(
    name: str, seed: int, radius: float | None, activation: str, more: dict, relaxation: str, limit: float
) -> dict:
    """One row, measured in this process."""
    net, where = network(name, seed, activation), {"output": 0, "relaxation": relaxation} | more
    if radius is not None:
        where |= {"center": np.random.default_rng([seed, 1]).uniform(-0.5, 0.5, net.widths[0]), "radius": radius}
    began, processors = time.perf_counter(), time.process_time()
    result = hr2jax.solve(net, time_limit=limit, witness=0 if name == "mnist" else 4, **where)
    out = {"bound": result.bound, "status": result.status.name, "seconds": solve_seconds(result),
           "message": result.message, "wall": time.perf_counter() - began,
           "cpu": time.process_time() - processors, "lifting": result.certificate.lifting,
           "MiB": result.timings["peak_bytes"] / 2**20}  # fmt: skip
    if name == "pair":
        out |= {"sampled": result.lower, "over sampled": result.bound / result.lower - 1}
    elif name != "mnist":
        at = vertex(net, result.certificate, np.random.default_rng([seed, 2]))
        out |= {"vertex": at, "sampled": result.lower, "over vertex": result.bound / at - 1,
                "over sampled": result.bound / result.lower - 1}  # fmt: skip
    return out


def rows() -> dict[str, tuple[str, int, float | None, str, dict]]:
    """Name -> network, seed, radius, activation, further options."""
    out: dict[str, tuple[str, int, float | None, str, dict]] = {}
    for name in ("small", "actor"):
        for seed in SEEDS:
            out |= {f"{name} {seed} {radius}": (name, seed, radius, "tanh", {}) for radius in RADII}
    for p, q in ((2, 2), ("inf", 1)):
        for radius in (0.02, 0.1):
            norms = {"output": None, "norm": p, "output_norm": q}
            for kind, more in (("", {}), (" free", {"lifting": "tensored"})):
                out[f"pair 0 {p}-{q} {radius}{kind}"] = ("pair", 0, radius, "tanh", norms | more)
    lipsdp = {"relaxation": "lipsdp", "norm": 2}
    for what, radius, more in (("", None, {}), (" lipsdp", None, lipsdp), (" box", 0.01, {})):
        out |= {f"mnist {a}{what}": ("mnist", 0, radius, a, more) for a in ("tanh", "relu")}
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""])
    parser.add_argument("--relaxation", default="hr2")
    parser.add_argument("--time-limit", type=float, default=90.0)
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(row(*json.loads(arguments.row))))
        return
    table = Table(COLUMNS, ("row", "relaxation"), RESULTS / "smooth.json")
    table.header()
    for name, case in rows().items():
        if any(word in name for word in arguments.only):
            found = in_process(__file__, [*case, arguments.relaxation, arguments.time_limit])
            table.add({"row": name, "relaxation": arguments.relaxation, "radius": case[2]} | found)


if __name__ == "__main__":
    main()
