"""Inputs a second of `certify` on the digits network that ships with the package, beside another checkout.

    python bench/throughput.py [--inputs 60] [--workers 1,2] [--other CHECKOUT] [--json bench/results/throughput.json]
    python bench/throughput.py --against 14fbe95             beside that commit's rows, which the file has already

The package's 20 digits and copies with seeded noise; radii 0.05, 0.1, 0.15, pixels in 0..1. Every run is a process of
its own, the checkouts take turns, and all that a run does counts: imports, compilation, the attack, global constants.
`seconds` are of the wall; `cpu` of this process and its children, which load by others does not change much. `radius`
is the mean certified radius, of at most 0.15; `least` the smallest ratio of an input's to that of the other checkout,
where both are positive: a radius is bisected to 5 %. The other checkout: `git worktree add --detach CHECKOUT 14fbe95`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from measure import RESULTS, Table

RADII = [0.05, 0.1, 0.15]
NOISE, SEED = 0.05, 0
COLUMNS = {
    "via": "<16", "commit": "<12", "workers": ">7", "inputs": ">6", "seconds": ">8.1f", "cpu": ">8.1f",
    "rate": ">8.2f", "cpu_rate": ">8.2f", "radius": ">8.5f", "least": ">7.3f", "faster": ">7.1f",
    "cpu_faster": ">10.1f",
}  # fmt: skip


def digits(count: int) -> tuple[Any, np.ndarray, np.ndarray]:
    """The network, so many inputs and their labels: the network's own."""
    from hr2jax import data

    net, x, _ = data.digits()
    rng, parts = np.random.default_rng(SEED), [x]
    while sum(map(len, parts)) < count:
        parts.append(np.clip(x + NOISE * rng.standard_normal(x.shape), 0, 1))
    inputs = np.concatenate(parts)[:count]
    return net, inputs, np.argmax(net(inputs), axis=1)


def row(via: str, count: int, workers: int) -> dict:
    """One run, in this process."""
    import hr2jax

    net, inputs, labels = digits(count)
    report = hr2jax.certify(
        net, inputs, labels, radii=RADII, clip=(0, 1), via=via, workers=workers if workers > 1 else None
    )
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return dict(
        cpu=sum(u.ru_utime + u.ru_stime for u in used), radii=np.minimum(report.radius, RADII[-1]).tolist(),
        ratio=report.ratio.tolist(), status=report.status.name,
    )  # fmt: skip


def run(checkout: Path, arguments: list[Any]) -> dict:
    """One run of a checkout, in a process of its own, from its start to its end."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--row", json.dumps(arguments)]
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) | {"seconds": time.perf_counter() - began}


def commit_of(checkout: Path) -> str:
    """What is checked out there; with a plus where something is changed."""
    git = ["git", "-C", str(checkout)]
    name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True, check=True).stdout
    changed = subprocess.run([*git, "status", "--porcelain", "hr2jax"], stdout=subprocess.PIPE, text=True, check=True)
    return name.strip() + "+" * bool(changed.stdout.strip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=60)
    parser.add_argument("--workers", default="1,2", help="numbers of processes")
    parser.add_argument("--via", default="lipschitz-local,sdp")
    parser.add_argument("--other", type=Path, help="another checkout to be compared with")
    parser.add_argument("--against", help="a commit whose rows the file has")
    parser.add_argument("--json", type=Path, default=RESULTS / "throughput.json", help="rows are kept here")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(row(*json.loads(arguments.row))))
        return
    here = Path(__file__).resolve().parent.parent
    table = Table(COLUMNS, ("via", "commit", "workers", "inputs"), arguments.json)
    table.header()
    for workers in map(int, arguments.workers.split(",")):
        for via in arguments.via.split(","):
            named = dict(via=via, commit=arguments.against, workers=workers, inputs=arguments.inputs)
            before = next((row for row in table.rows() if named.items() <= row.items()), None)
            for checkout in filter(None, (arguments.other, here)):
                found = run(checkout, [via, arguments.inputs, workers])
                radii = np.array(found.pop("radii"))
                found |= dict(via=via, commit=commit_of(checkout), workers=workers, inputs=arguments.inputs,
                              rate=arguments.inputs / found["seconds"], cpu_rate=arguments.inputs / found["cpu"],
                              radius=float(radii.mean()))  # fmt: skip
                if before is not None:
                    found |= dict(faster=found["rate"] / before["rate"],
                                  cpu_faster=found["cpu_rate"] / before["cpu_rate"])  # fmt: skip
                if before is not None and "radii" in before:
                    both = (radii > 0) & (before["radii"] > 0)
                    found |= dict(least=float((radii[both] / before["radii"][both]).min()))
                before = found | dict(radii=radii)
                table.add(found)


if __name__ == "__main__":
    main()
