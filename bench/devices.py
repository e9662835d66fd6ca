"""What the low-rank engine takes on each of several devices, from the report of its own compiled program.

    python bench/devices.py [--widths 784 4000] [--devices 1 2 4 8] [--json bench/results/devices.json]
    python bench/devices.py --widths 784 100000 --devices 1 8

A random network, `shor` and `hr2` globally and `hr2` in a box of radius 0.1, float64, the precision of the last rounds.
Nothing is solved: the inner minimisation is compiled for so many devices of a host (XLA's
--xla_force_host_platform_device_count), and its `memory_analysis` says the bytes of each: `arguments` (what L-BFGS
remembers, the factor, the objective, forms and multipliers), `temporary` (one evaluation's), and with what comes out
beside them the `total`; `share` is its part of that on one device. `moved` are the bytes that an evaluation brings to
each device: the results of the program's collective operations, nearly all of which are in its loop. `gathered` is V,
N r numbers, of which all devices have all. Of more than LARGEST neurons a network of LARGEST is made, and the program
compiled for the shapes that it would have with so many.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

RADIUS, SEED, LARGEST = 0.1, 0, 4000
PROBLEMS = (("shor", "global"), ("hr2", "global"), ("hr2", "local"))
BYTES = {"f64": 8, "f32": 4, "s32": 4, "s64": 8, "pred": 1, "u32": 4}
COLLECTIVE = re.compile(
    r" = \(?((?:\w+\[[\d,]*\]\S* ?)+)\)? "
    r"(?:all-reduce|all-gather|reduce-scatter|collective-permute|all-to-all)(?:-start)?\("
)
COLUMNS = {
    "widths": "<13", "relaxation": "<10", "where": "<6", "devices": ">7", "N": ">6", "arguments": ">13.0f",
    "temporary": ">13.0f", "total": ">13.0f", "share": ">6.3f", "gathered": ">11.0f", "moved": ">11.0f",
    "compile": ">7.1f",
}  # fmt: skip


def moved_bytes(program: str) -> int:
    """Of what the collective operations of a program's text give, each counted once: its loop has nearly all."""
    total = 0
    for shapes in COLLECTIVE.findall(program):
        for kind, dimensions in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
            total += BYTES[kind] * math.prod(int(d) for d in dimensions.split(",") if d)
    return total


def measure(p0: int, p1: int, relaxation: str, where: str, devices: int) -> dict:
    """One row, in a process that sees so many devices."""
    import jax

    from hr2jax.engines.product.arrays import NOTHING, Factored, padded
    from hr2jax.engines.product.device import Device
    from hr2jax.engines.product.lagrangian import minimise_on
    from hr2jax.engines.product.schedule import columns_for
    from hr2jax.engines.product.sharding import mesh_of
    from hr2jax.problem import checked_problem
    from hr2jax.relaxation import lift, preset
    from hr2jax.relaxation.presolve import presolve
    from networks import random_network

    made = min(p1, LARGEST)
    net = random_network(p0, made, SEED)
    problem = checked_problem(net, 0, "inf", *((np.zeros(p0), RADIUS) if where == "local" else ()))
    lifting = lift(net, problem, presolve(net, problem))
    factored = Factored(lifting, preset(relaxation, lifting), True, mesh_of(devices))
    there = Device(factored.spec, factored.data(1.0, np.float64))
    columns = columns_for(lifting.size, False) + 1
    P = np.zeros((factored.size, columns))
    zeros = [factored.stack([np.zeros(f.shape) for f in stack]) for stack in factored.stacks]
    sizes = dict(factored.spec.sizes)
    wide = {name: padded(p1) if size == padded(made) else size for name, size in sizes.items()}
    if devices > 1:
        wide[NOTHING] = -sum(size for name, size in wide.items() if name != NOTHING) % devices
    before, after = sum(sizes.values()), sum(wide.values())
    known = {before: after, before * columns: after * columns, padded(made): padded(p1)}

    def shape_of(array: Any) -> Any:
        shape = tuple(known.get(n, n) for n in array.shape)
        return jax.ShapeDtypeStruct(shape, array.dtype, sharding=array.sharding)

    began = time.perf_counter()
    with jax.enable_x64(True):
        problem = there.problem(zeros, 1.0, (), [], 1.0)
        arguments = jax.tree.map(shape_of, (there.beginning(P), there.put(P), *problem, there.put(1e-3)))
        spec = factored.spec._replace(sizes=tuple((name, size) for name, size in wide.items() if size))
        compiled = minimise_on.plain.lower(*arguments, 10, spec=spec).compile()
    report = compiled.memory_analysis()
    return dict(
        N=lifting.size - made + p1, arguments=report.argument_size_in_bytes, temporary=report.temp_size_in_bytes,
        total=report.argument_size_in_bytes + report.temp_size_in_bytes
        + report.output_size_in_bytes - report.alias_size_in_bytes,
        gathered=8 * after * (columns - 1), moved=moved_bytes(compiled.as_text()),
        compile=time.perf_counter() - began,
    )  # fmt: skip


def in_process(arguments: list) -> dict:
    """`measure` in a process of its own, whose host looks like so many devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={max(arguments[-1], 1)}"
    environment = os.environ | {"XLA_FLAGS": flags.strip(), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, __file__, "--row", json.dumps(arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    from measure import RESULTS, Table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs=2, default=[784, 4000], metavar=("P0", "P1"))
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--json", type=Path, default=RESULTS / "devices.json", help="rows are kept here")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(*json.loads(arguments.row))))
        return
    table = Table(COLUMNS, ("widths", "relaxation", "where", "devices"), arguments.json)
    table.header()
    for relaxation, where in PROBLEMS:
        if where == "local" and arguments.widths[1] > LARGEST:
            continue  # how many neurons can switch is not known of what is not made
        alone = None
        for devices in arguments.devices:
            row = in_process([*arguments.widths, relaxation, where, devices])
            alone = alone or row["total"]
            table.add(dict(widths=str(tuple(arguments.widths)), relaxation=relaxation, where=where, devices=devices,
                           share=row["total"] / alone, **row))  # fmt: skip


if __name__ == "__main__":
    main()
