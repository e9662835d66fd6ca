"""The engines on whatever device JAX has: seconds per iteration, and the bounds beside those of the CPU.

    python bench/gpu.py [--sizes 500 1000 2000 4000 8000 16000] [--seconds 540]
    python bench/gpu.py --quick          # a smoke test, also on a CPU

First SDP-NN (if its file is there, see networks.py), solved twice: seconds of the second time, with everything
compiled. Then random dense networks (p, p) whose moment matrix has side N = 1 + 2 p, `hr2`, global. Per size: the
CPU's bound (lowrank; up to --cpu-to), then on the device lowrank and (up to --admm-to) ADMM with each projection:
of the whole matrix by eigh or by products, or following few eigenvectors from one iteration to the next.
`ms` is per iteration, compilation apart; for ADMM in float32 and float64 beside each other, measured on the jitted
iterations alone, and `psd` is the projection of M_1 by itself. `difference` is the bound over the CPU's, less 1: both
are certified, so that it says how far from the optimum they are, not who is right. The search for witnesses is left
out. Every row is a process of its own: what fails, runs out of memory or out of time is a row that says so.
The rows are written after each, on a GPU to bench/results/gpu-<device>.json, on a CPU only where --json says.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

SIZES = (500, 1000, 2000, 4000, 8000, 16000)
ENGINES = ("cpu lowrank", "lowrank", "admm eigh", "admm products", "admm followed")
# Problems on SDP-NN: options, and the seconds to reach with everything compiled (on an H200).
REAL = {
    "local 0.1 hr2z": (dict(relaxation="hr2z", tol=1e-3), 1.0),
    "local 0.1 hr2+": (dict(relaxation="hr2+", tol=1e-2), 10.0),
}
LEAST = 15.0  # seconds that a row needs at least: a process starts, JAX starts, something compiles


def network(N: int):
    """The (p, p) network of the problem of size N = 1 + 2 p."""
    from networks import random_network

    p = (N - 1) // 2
    return random_network(p, p, seed=N)


def iteration_ms(N: int, method: str, seconds: float) -> dict:
    """Milliseconds of one ADMM iteration in float32 and float64."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from hr2jax.engines.block import admm
    from hr2jax.engines.block.projection import psd_part
    from hr2jax.machine.threads import few_threads
    from hr2jax.problem import checked_problem
    from hr2jax.relaxation import lift
    from hr2jax.relaxation.presolve import presolve

    net = network(N)
    problem = checked_problem(net)
    form = admm.admm_form("hr2", lift(net, problem, presolve(net, problem)))
    followed, out = method == "followed", {}
    with jax.enable_x64(True), jax.default_matmul_precision("highest"), few_threads(N):
        run = admm.Admm(form, None, 1.0, None if followed else method)
        run.begin({})
        for dtype in (np.float32, np.float64):
            run.use(dtype)
            for _ in range(30 if followed else 0):  # until there is something to follow
                if any(space.V.shape[1] for space in run.state.spaces):
                    break
                run.advance(admm.LOOK_EVERY)
            out["from_iteration"] = run.iteration

            def spent(count: int, run=run, dtype=dtype) -> tuple[float, int]:
                began = time.perf_counter()
                run.state, info, wholes = admm.iterate(
                    run.maps, run.state, jnp.asarray(run.rho, dtype), count, shapes=run.shapes, method=run.projection
                )
                assert np.isfinite(np.asarray(info)).all(), "an iteration is not finite"
                return time.perf_counter() - began, int(np.asarray(wholes).sum())

            spent(1)
            once, _ = spent(1)
            count = int(min(max(0.05 * seconds / once, 1), admm.LOOK_EVERY))
            took, wholes = spent(count)
            name = np.dtype(dtype).name
            out[f"ms_{name}"] = 1e3 * took / count
            if followed:
                columns = [space.V.shape[1] for space in run.state.spaces]
                out |= {f"columns_{name}": columns, f"wholes_{name}": wholes / count}
            else:
                A = run.state.X[0] + run.state.U[0]
                psd_part(A, run.projection).block_until_ready()
                began = time.perf_counter()
                for _ in range(min(count, 10)):
                    part = psd_part(A, run.projection)
                part.block_until_ready()
                out[f"psd_{name}"] = 1e3 * (time.perf_counter() - began) / min(count, 10)
            print(json.dumps(out), flush=True)  # kept, should what follows run out of time
    return out


def measure_real(name: str, seconds: float) -> None:
    """`measure` of a problem on SDP-NN: the first time it compiles."""
    from measure import solve_alone
    from networks import sdp_nn

    net, center = sdp_nn()
    options, target = REAL[name]
    for limit in (0.6 * seconds, 0.25 * seconds):
        result = solve_alone(net, center=center, radius=0.1, time_limit=limit, **options)
        t = result.timings
        print(json.dumps({
            "bound": result.bound, "value": result.relaxation_value, "iterations": result.iterations,
            "status": result.status.name, "tol": options["tol"], "target": target, "solve": t["solve"],
            "certify": t["certify"], "seconds": t["solve"] + t["certify"], "setup": t["setup"],
        } | ({"compile": t["compile"]} if limit > 0.5 * seconds else {})), flush=True)  # fmt: skip


def measure(engine: str, N: int, seconds: float, tol: float) -> None:
    """One row, printed as lines of JSON to be merged; runs in a process of its own."""
    began = time.perf_counter()
    import jax

    from hr2jax.engines.block import admm
    from measure import solve_alone

    where = jax.devices("cpu")[0] if engine.startswith("cpu") else jax.devices()[0]
    print(json.dumps({"device": where.device_kind, "platform": where.platform, "jax": jax.__version__}), flush=True)
    if engine == "probe":
        return
    if engine in REAL:
        measure_real(engine, seconds - (time.perf_counter() - began))
        return
    name, *projection = engine.removeprefix("cpu ").split()
    if projection:
        followed = projection[0] == "followed"
        if not followed:
            admm.choose_projection = lambda *_: projection[0]
            admm.columns_for = lambda *_: 0
        iteration_ms(N, projection[0], seconds)
    # a process that is killed reports nothing: leave time for the last certificate
    left = max(0.7 * (seconds - (time.perf_counter() - began)), 1.0)
    result = solve_alone(
        network(N), relaxation="hr2", method=name, tol=tol, time_limit=left,
        device="cpu" if engine.startswith("cpu") else None,
    )  # fmt: skip
    timings = result.timings
    print(json.dumps({
        "bound": result.bound, "value": result.relaxation_value, "iterations": result.iterations,
        "status": result.status.name, "side": result.problem["moment_matrix"], "ms": 1e3 * timings["solve"]
        / max(result.iterations, 1), **{k: timings[k] for k in ("solve", "certify", "compile", "peak_bytes")},
    }), flush=True)  # fmt: skip


def row(engine: str, N: int, seconds: float, tol: float) -> dict:
    """Run `measure` in a process; whatever happens to it is told in the row."""
    out: dict = {"engine": engine, "N": N}
    if seconds < LEAST and engine != "probe":
        return out | {"status": "SKIPPED", "reason": "no time left (--seconds)"}
    command = [sys.executable, __file__, "--row", engine, str(N), str(seconds), str(tol)]
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment, check=False)
        text, problem = done.stdout, None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()] or [""]
            problem = f"exit {done.returncode}: {lines[-1][:300]}"
    except subprocess.TimeoutExpired as late:
        text, problem = late.stdout or "", f"stopped after {seconds:.0f} s"
        text = text.decode() if isinstance(text, bytes) else text
    for line in text.splitlines():
        try:
            out |= json.loads(line)
        except (json.JSONDecodeError, TypeError):  # something else printed it
            continue
    return out if problem is None else out | {"status": "FAILED", "reason": problem}


def has_real() -> bool:
    """Whether SDP-NN's file is there."""
    from networks import DATA

    return (DATA / "data" / "sdp_nn.npz").exists()


def shown(value: object, form: str) -> str:
    """A number in a format, or as many spaces."""
    return format(value, form) if isinstance(value, int | float) else " " * int(re.match(r"\d+", form)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="N, the side of M_1")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES, metavar="ENGINE")
    parser.add_argument("--seconds", type=float, default=540.0, help="for everything (default 540)")
    parser.add_argument("--row-seconds", type=float, default=60.0, help="for each row at most (default 60)")
    parser.add_argument("--cpu-to", type=int, default=4000, help="the largest N solved on the CPU too (default 4000)")
    parser.add_argument("--admm-to", type=int, default=4000, help="the largest N solved by ADMM (default 4000)")
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--quick", action="store_true", help="two small sizes and a loose tolerance")
    parser.add_argument("--json", type=Path, help="write the rows here (default on a GPU: bench/results/gpu-...)")
    parser.add_argument("--row", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        engine, N, seconds, tol = arguments.row
        measure(engine, int(N), float(seconds), float(tol))
        return
    began = time.perf_counter()
    sizes, tol = ([41, 101], 1e-2) if arguments.quick else (arguments.sizes, arguments.tol)
    about = row("probe", 0, 120.0, tol)
    if "platform" not in about:
        raise SystemExit(f"JAX does not start: {about.get('reason')}")
    path = arguments.json
    if path is None and about["platform"] != "cpu":
        device = re.sub(r"[^a-z0-9]+", "-", about["device"].lower()).strip("-")
        path = Path(__file__).parent / "results" / f"gpu-{device}.json"
    print(f"{about['device']} ({about['platform']}), jax {about['jax']}")
    print(f"{'N':>6} {'engine':<14} {'bound':>11} {'difference':>10} {'iterations':>10} {'ms':>9} {'ms f32':>9} "
          f"{'ms f64':>9} {'psd f32':>9} {'psd f64':>9} {'compile s':>9} {'solve s':>8} status")  # fmt: skip
    rows: list[dict] = []
    whole = {"device": about["device"], "platform": about["platform"], "jax": about["jax"], "cores": os.cpu_count(),
             "tol": tol}  # fmt: skip

    def keep(path: Path | None) -> None:
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(whole | {"rows": rows}, indent=1) + "\n")

    for name, (_, target) in REAL.items() if has_real() and not arguments.quick else ():
        left = arguments.seconds - (time.perf_counter() - began)
        r = row(name, 0, min(arguments.row_seconds + 30.0, left), tol)
        rows.append(r)
        seconds = r.get("seconds")
        met = "" if seconds is None else f", {seconds:.2f} s; to reach: {target:g} s"
        print(f"SDP-NN {name}: {shown(r.get('bound'), '9.5f')} {r.get('status', '')} {r.get('reason', '')}"
              f" (value {shown(r.get('value'), '9.5f')}), compile {shown(r.get('compile'), '5.1f')} s{met}",
              flush=True)  # fmt: skip
        keep(path)
    for N in sizes:
        reference = None
        for engine in arguments.engines:
            if (arguments.cpu_to if "cpu" in engine else arguments.admm_to if "admm" in engine else N) < N:
                continue
            left = arguments.seconds - (time.perf_counter() - began)
            r = row(engine, N, min(arguments.row_seconds, left), tol)
            if engine == "cpu lowrank":
                reference = r.get("bound")
            elif reference and "bound" in r:
                r["difference"] = r["bound"] / reference - 1
                r["agrees"] = abs(r["difference"]) <= 2 * tol or r["status"] not in ("SOLVED", "STALLED")
            rows.append(r)
            print(f"{N:>6} {engine:<14} {shown(r.get('bound'), '11.6f')} {shown(r.get('difference'), '10.1e')} "
                  f"{shown(r.get('iterations'), '10d')} {shown(r.get('ms'), '9.2f')} "
                  f"{shown(r.get('ms_float32'), '9.2f')} {shown(r.get('ms_float64'), '9.2f')} "
                  f"{shown(r.get('psd_float32'), '9.2f')} {shown(r.get('psd_float64'), '9.2f')} "
                  f"{shown(r.get('compile'), '9.1f')} {shown(r.get('solve'), '8.2f')} {r.get('status', '')} "
                  f"{r.get('reason', '')}", flush=True)  # fmt: skip
            keep(path)
        of = {r["engine"]: r for r in rows if r["N"] == N}
        for dtype in ("float32", "float64"):
            eigh = of.get("admm eigh", {}).get(f"ms_{dtype}")
            for name in ("products", "followed"):
                if eigh and (other := of.get(f"admm {name}", {}).get(f"ms_{dtype}")):
                    print(f"{N:>6} an iteration with eigh takes {eigh / other:.3g} times as long as {name}, {dtype}")


if __name__ == "__main__":
    main()
