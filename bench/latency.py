"""What a call costs, and where: the processor's seconds of import, setup, compilation, engine, proof and witness.

    python bench/latency.py                          everything but hr2+ of (784, 500); 8 minutes on two quiet cores
    python bench/latency.py --only "(40, 40)"        problems whose name has this
    python bench/latency.py --old PATH               beside another checkout's, such as a git worktree of 14fbe95, each
                                                     of whose calls may take 20 s (--old-limit); 15 minutes
    python bench/latency.py --clock wall             the split in wall seconds; on a busy machine they say little
    python bench/latency.py --targets                the last lines only: today's figures beside what is wanted

Each problem has two processes, the first with an empty folder of compiled programs (HR2JAX_CACHE), the second with
what the first has left there; the second solves it twice, and `warm` is the second time. `wall` and `processor` of a
process are all of it, the interpreter included; of a warm call they are the call's. Parts are from `Result.timings`,
whose clock is replaced by the processor's (children included), and stands still while modules are imported. Rows are
kept in bench/results/latency.json. The other solvers are measured once, in this checkout.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from hr2jax import Network
from latency_call import PARTS, processor
from measure import RESULTS, Table
from networks import deep_published_network, published_network, sdp_nn

HERE = Path(__file__).resolve()
SIZES = (6, 20, 40, 80, 160)
COLUMNS = {
    "problem": "<24", "method": "<9", "run": "<7", "checkout": "<8", "clock": "<9", "wall": ">7.2f",
    "processor": ">9.2f", "import": ">7.2f", **dict.fromkeys(PARTS, ">7.2f"), "bound": ">10.5f", "lower": ">10.5f",
    "status": "<10",
}  # fmt: skip


def problems() -> dict[str, tuple[str, bool, dict]]:
    """Name -> the network's, whether local, options."""
    out = {}
    for size in SIZES:
        out |= {f"({size}, {size}) local hr2z": (f"p{size}", True, {"relaxation": "hr2z"}),
                f"({size}, {size}) local hr2+": (f"p{size}", True, {"relaxation": "hr2+"}),
                f"({size}, {size}) global shor": (f"p{size}", False, {"relaxation": "shor"})}  # fmt: skip
    return out | {
        "(784, 500) local hr2z": ("sdp_nn", True, {"relaxation": "hr2z"}),
        "(784, 500) local hr2+": ("sdp_nn", True, {"relaxation": "hr2+"}),
        "(784, 500) global shor": ("sdp_nn", False, {"relaxation": "shor"}),
        "10-10-10 local hr2+": ("deep", True, {"relaxation": "hr2+"}),
        "eclipse L20 w80 hr2": ("eclipse", False, {"relaxation": "hr2", "norm": 2}),
        "(40, 40) hr2z sdpa": ("p40", True, {"relaxation": "hr2z", "method": "sdpa"}),
        "(40, 40) hr2z clarabel": ("p40", True, {"relaxation": "hr2z", "method": "clarabel"}),
        "(80, 80) hr2z sdpa": ("p80", True, {"relaxation": "hr2z", "method": "sdpa"}),
        "(80, 80) hr2z clarabel": ("p80", True, {"relaxation": "hr2z", "method": "clarabel"}),
    }


LEFT_OUT = ("(784, 500) local hr2+",)


def nonnegative(depth: int = 20, width: int = 80, trial: int = 0) -> Network:
    """A random network as ECLipsE (Xu, Sivaranjani 2024) makes them: no entry is negative, so the bound is attained."""
    random = np.random.RandomState(77 * trial + 7 * width + 13 * depth)
    weights, biases, widths = [], [], [4, *[width] * (depth - 1), 1]
    for n, m in itertools.pairwise(widths):
        norm = random.uniform(0.4, 1.8)
        W = random.rand(m, n)
        weights.append(W * (norm / np.linalg.norm(W, 2)))
        biases.append(random.rand(m))
    return Network(weights, biases)


def written(folder: Path, name: str) -> tuple[str, str]:
    """The files of a network and its center."""
    paths = folder / f"{name}.npz", folder / f"{name}.npy"
    if not paths[0].exists():
        if name == "sdp_nn":
            net, center = sdp_nn()
        elif name == "deep":
            net, center = deep_published_network((10, 10, 10, 1), 0)
        elif name == "eclipse":
            net, center = nonnegative(), np.zeros(4)
        else:
            net, center = published_network(int(name[1:]), int(name[1:]), 0)
        net.save(paths[0])
        np.save(paths[1], center)
    return str(paths[0]), str(paths[1])


def process(arguments: list[str], checkout: Path, cache: Path) -> tuple[str, float, float, str]:
    """What a process prints, its wall and processor seconds, and what it complains of."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"PYTHONPATH": str(checkout), "HR2JAX_CACHE": str(cache)}
    began, used = time.perf_counter(), processor()
    done = subprocess.run(  # away from here: `python -m` would take the package that lies in this folder
        [sys.executable, *arguments], env=environment, cwd=cache, capture_output=True, text=True, check=False
    )
    lines = done.stderr.strip().splitlines() if done.returncode else []
    return done.stdout, time.perf_counter() - began, processor() - used, lines[-1][:100] if lines else ""


def measure(
    table: Table, name: str, checkouts: dict[str, Path], folder: Path, base: str, limits: dict[str, float]
) -> None:
    network, is_local, options = problems()[name]
    path, center = written(folder, network)
    own = checkouts if options.get("method") is None or "here" not in checkouts else {"here": checkouts["here"]}
    for version, checkout in own.items():
        options = {"method": "auto"} | options | {"time_limit": limits[version]}
        cache = Path(tempfile.mkdtemp(dir=folder))
        for run, calls in (("first", 1), ("second", 2)):
            job = json.dumps([path, center if is_local else None, options, base, calls])
            out, wall, _, why = process([str(HERE.with_name("latency_call.py")), job], checkout, cache)
            key = {"problem": name, "method": options["method"], "checkout": version, "clock": base,
                   "limit": limits[version]}  # fmt: skip
            if why:
                table.add(key | {"run": run, "status": "FAILED", "message": why})
                break
            rows = json.loads(out.splitlines()[-1])
            rows[0]["wall"] = wall - sum(entry["wall"] for entry in rows[1:])
            for which, entry in zip((run, "warm"), rows, strict=False):
                table.add(key | {"run": which} | entry)


def targets(table: Table, folder: Path, checkouts: dict[str, Path], limit: float) -> None:
    """Figures beside what is wanted of them: whole commands in processor seconds, the rest from the table's rows.

    Another checkout's commands have a time limit of so many seconds: one of 14fbe95 takes more than ten minutes.
    """
    print("\nwanted, on two cores; the command line's are processor seconds of the whole process")
    p40, x40 = written(folder, "p40")
    deep, x = written(folder, "deep")
    commands = {
        "hr2jax --help": (["--help"], 0.3),
        "hr2jax solve, (40, 40) local hr2": (["solve", p40, "--center", x40, "--radius", "0.1"], 2.0),
        "hr2jax solve, (40, 40) local hr2z": (
            ["solve", p40, "--center", x40, "--radius", "0.1", "--relaxation", "hr2z"], 2.0),
        "hr2jax solve, 10-10-10 local hr2+": (
            ["solve", deep, "--center", x, "--radius", "0.1", "--relaxation", "hr2+"], 4.0),
        "hr2jax solve, eclipse L20 w80": (["solve", written(folder, "eclipse")[0], "--norm", "2"], 1.0),
    }  # fmt: skip
    for name, (words, wanted) in commands.items():
        for version, checkout in checkouts.items():
            cache = Path(tempfile.mkdtemp(dir=folder))
            limited = ["--time-limit", f"{limit:g}"] if version != "here" and words[0] == "solve" else []
            for run in ("first", "second"):
                _, wall, used, why = process(["-m", "hr2jax", *words, *limited], checkout, cache)
                goal, clock = (wall, "wall") if "eclipse" in name else (used, "processor")
                said = why or ("met" if goal <= wanted else f"{goal / wanted:.1f} times as long")
                print(f"{name:<36} {run:<7} {version:<8} wall {wall:6.2f}  processor {used:6.2f}  wanted {wanted:g} of "
                      f"{clock}: {said}", flush=True)  # fmt: skip
                add = {"problem": name, "method": "command", "run": run, "checkout": version, "clock": "processor"}
                table.keep(add | {"wall": wall, "processor": used, "status": why or "OK"})
    rows = {(r["problem"], r["run"], r["checkout"]): r for r in table.rows()}
    for version in checkouts:
        ours = rows.get(("(80, 80) local hr2z", "warm", version), {})
        for solver in ("sdpa", "clarabel"):
            theirs = rows.get((f"(80, 80) hr2z {solver}", "warm", version), {})
            if ours.get("wall") and theirs.get("wall"):
                times = theirs["wall"] / ours["wall"]
                print(f"warm (80, 80) local hr2z, {version}: {times:.1f} times less wall than {solver}, processor "
                      f"{theirs['processor'] / ours['processor']:.1f}; wanted 30 times less than SDPA")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="problems whose name has it")
    parser.add_argument("--skip", action="append", default=[], metavar="PART", help="not those whose name has it")
    parser.add_argument("--old", type=Path, metavar="PATH", help="another checkout, measured beside this one")
    parser.add_argument("--only-old", action="store_true", help="the other checkout alone")
    parser.add_argument("--clock", choices=("processor", "wall"), default="processor", help="of the parts")
    parser.add_argument("--time-limit", type=float, metavar="S", default=120.0, help="of each call (120)")
    parser.add_argument("--old-limit", type=float, metavar="S", default=20.0, help="of the other checkout's (20)")
    parser.add_argument("--targets", action="store_true", help="the commands and ratios alone")
    parser.add_argument("--json", type=Path, default=RESULTS / "latency.json", help="rows are kept here")
    arguments = parser.parse_args()
    checkouts = {} if arguments.only_old else {"here": HERE.parents[1]}
    if arguments.old:
        checkouts["old"] = arguments.old.resolve()
    table = Table(COLUMNS, ("problem", "method", "run", "checkout", "clock"), arguments.json)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if not arguments.targets:
            table.header()
            for name in problems():
                wanted = any(part in name for part in arguments.only) if arguments.only else name not in LEFT_OUT
                if wanted and not any(part in name for part in arguments.skip):
                    limits = {"here": arguments.time_limit, "old": arguments.old_limit}
                    measure(table, name, checkouts, folder, arguments.clock, limits)
        if arguments.targets or not arguments.only:
            targets(table, folder, checkouts, arguments.old_limit)


if __name__ == "__main__":
    main()
