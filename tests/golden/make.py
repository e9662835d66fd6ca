"""Makes the golden set:  python -m tests.golden.make [folder [pattern ...]]

Through the public interface alone, so that the same script runs before and after any file of the package moves.
Patterns (of shells) choose cases; without them all are made.
"""

import hashlib
import json
import os
import sys
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

import hr2jax

from .cases import cases
from .networks import networks, save

HERE = Path(__file__).parent
# What may change results bit by bit from one environment to another.
ENVIRONMENT = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "XLA_FLAGS", "JAX_PLATFORMS")
BALLS = 4  # one case of so many is proved in balls too: they are slow


def digest(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        total.update(f"{name}|{values.dtype.str}|{values.shape}|".encode())
        total.update(values.tobytes())
    return total.hexdigest()


def run(call: str, net: hr2jax.Network, options: dict[str, Any], results: dict[str, Any]) -> hr2jax.Result:
    """The case's result; of `solve_all`, that of the last pair, which began from those before it."""
    options = dict(options)
    if "warm_start" in options:
        options["warm_start"] = results[options["warm_start"]]
    if call == "solve_all":
        return hr2jax.solve_all(net, **options)[-1]
    return getattr(hr2jax, call)(net, **options)


def entry(result: hr2jax.Result, net: hr2jax.Network, path: Path, in_balls: bool) -> dict[str, Any]:
    """Saves the certificate; what the index says about it."""
    result.certificate.save(path)
    cert = hr2jax.Certificate.load(path)
    with np.load(path, allow_pickle=False) as file:  # the claim holds versions, and the digest depends on it
        arrays = {name: file[name] for name in file.files if name not in ("claim", "digest")}
    return {
        "quantity": cert.problem["quantity"],
        "norm": str(cert.problem["norm"]),
        "lifting": cert.lifting,
        "bound": result.bound.hex(),
        "lower": result.lower.hex(),
        "proved": cert.verify(net).hex(),
        **({"proved_in_balls": cert.verify(net, arithmetic="ball").hex()} if in_balls else {}),
        "iterations": result.iterations,
        "status": result.status.name,
        "multipliers": digest({**cert.multipliers, **{f"diagonal/{g}": d for g, d in (cert.diagonal or {}).items()}}),
        "entries": digest(arrays),
        "witness": digest({"witness": np.asarray(result.witness)}),
    }


def make(folder: Path, patterns: list[str]) -> None:
    """Solves every case; writes networks.npz, a certificate a case, and index.json. Of patterns, those cases alone.

    A case that is made already, and is not asked for by a pattern, stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nets, results, index = networks(), {}, {}
    listed = folder / "index.json"
    before = json.loads(listed.read_text(encoding="ascii")) if patterns and listed.exists() else {"cases": {}}
    save(nets, folder / "networks.npz")
    chosen = {k: v for k, v in cases().items() if not patterns or any(fnmatch(k, p) for p in patterns)}
    for old in folder.glob("*.cert.npz"):
        if not patterns:
            old.unlink()
    began = time.perf_counter()
    for number, (name, (call, network, options)) in enumerate(chosen.items()):
        start = time.perf_counter()
        results[name] = result = run(call, nets[network], options, results)
        index[name] = {"call": call, "network": network, "options": options} | entry(
            result, nets[network], folder / f"{name}.cert.npz", number % BALLS == 0
        )
        seconds = time.perf_counter() - start
        print(f"{name:36}{result.bound:14.6g}{result.lower:14.6g}  {result.status.name:16}{seconds:6.1f} s", flush=True)
    versions = results[next(iter(results))].problem["versions"]
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    every = before["cases"] | index
    index = {name: every[name] for name in cases() if name in every}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in index.items())
    head = {"versions": versions, "environment": environment} | {k: v for k, v in before.items() if k != "cases"}
    head["networks"] = {k: net.hash for k, net in nets.items()}
    text = f'{json.dumps(head)[:-1]},\n"cases": {{\n{lines}\n}}}}\n'  # a line a case, for `git diff`
    listed.write_text(text, encoding="ascii")
    print(f"{len(index)} cases in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE, sys.argv[2:])
