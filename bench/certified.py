"""The slides' tables of certified classifiers, on networks trained here: spheres (80,80) and MNIST (784,500).

    python bench/certified.py --quick      # spheres: shor, hr2, hr2+; MNIST: shor. Minutes
    python bench/certified.py              # and LipOpt-3 for the spheres, hr2+ for MNIST, hr2z around its inputs at 0.1

Every row is kept in bench/results/certified.json as it comes. The slides' networks were others (MNIST's was trained
on all 60000 images with an SDP penalty; ours on 8000 of the test images, certified on the other 2000).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import hr2jax
from measure import RESULTS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import mnist
import spheres
from training import beside

# Minutes on two quiet cores, by what is run.
MINUTES = {True: 4, False: 80}
LOCAL_LIMIT = 900.0  # seconds that the search around MNIST's inputs may take
PAIR_LIMIT = 60.0  # seconds that hr2+ may take for each of MNIST's 45 pairs


def table(name: str, example: Any, relaxations: list[str], clip: tuple[int, int] | None, limit: float | None,
          workers: int = 1) -> dict:  # fmt: skip
    began = time.perf_counter()
    net = example.network()
    *_, inputs, labels = example.data()
    row: dict[str, Any] = dict(
        classifier=name, radii=example.RADII, inputs=len(labels), network_hash=net.hash,
        train_seconds=time.perf_counter() - began, slides=example.SLIDES, ours={},
    )  # fmt: skip
    for relaxation in relaxations:
        pairs = net.widths[-1] * (net.widths[-1] - 1) // 2
        report = hr2jax.certify(
            net, inputs, labels, example.RADII, clip=clip, relaxation=relaxation, progress=True,
            attack_starts=2 if relaxation == relaxations[0] else 0,
            time_limit=limit * pairs + 30 if limit and relaxation == "hr2+" else None,
        )  # fmt: skip
        row["ours"][relaxation] = dict(
            ratio=(100 * report.ratio).round(2).tolist(), clean=100 * report.clean_accuracy, status=report.status.name,
            mean_bound=float(np.mean(list(report.bounds.values()))), seconds=report.timings["total"],
            attack=None if report.attack_accuracy is None else (100 * report.attack_accuracy).round(2).tolist(),
        )  # fmt: skip
        print(report, end="\n\n", flush=True)
    if limit:
        report = hr2jax.certify(
            net, inputs, labels, example.RADII[-1:], clip=clip, via="lipschitz-local", relaxation="hr2z",
            radius_accuracy=None, workers=workers, tol=1e-2, time_limit=LOCAL_LIMIT, progress=True, witness=0,
        )  # fmt: skip
        print(report, end="\n\n", flush=True)
        row["local"] = dict(
            radius=example.RADII[-1], relaxation="hr2z", ratio=100 * float(report.ratio[0]), workers=workers,
            undecided=int((~report.decided).sum()), status=report.status.name, seconds=report.timings["total"],
        )  # fmt: skip
    rows = {f"{relaxation} (ours)": cell["ratio"] for relaxation, cell in row["ours"].items()}
    print(f"{name}\n{beside(example.RADII, rows | example.SLIDES)}\n", flush=True)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="no LipOpt-3; MNIST by shor only")
    parser.add_argument("--only", choices=("spheres", "mnist"))
    parser.add_argument("--workers", type=int, default=1, help="processes of the search around inputs (1)")
    parser.add_argument("--relaxations", type=lambda text: text.split(","), help="of the global constants")
    arguments = parser.parse_args()
    print(f"about {MINUTES[arguments.quick]} minutes on two quiet cores", flush=True)
    for name in ("spheres", "mnist"):
        if arguments.only not in (None, name):
            continue
        if name == "spheres":
            every = ["shor", "hr2", "hr2+"] if arguments.quick else ["shor", "hr2", "hr2+", "lipopt3"]
            row = table(name, spheres, arguments.relaxations or every, None, None)
        else:
            mine = arguments.relaxations or (["shor"] if arguments.quick else ["shor", "hr2+"])
            row = table(name, mnist, mine, (0, 1),
                        None if arguments.quick else PAIR_LIMIT, arguments.workers)  # fmt: skip
        keep(row)


def keep(row: dict) -> None:
    """Replace the classifier's row; relaxations that were not run this time stay, if the network is the same."""
    path = RESULTS / "certified.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    for other in rows:
        if other["classifier"] == row["classifier"] and other["network_hash"] == row["network_hash"]:
            row = other | row | dict(ours=other["ours"] | row["ours"])
    rows = [other for other in rows if other["classifier"] != row["classifier"]] + [row]
    path.write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
