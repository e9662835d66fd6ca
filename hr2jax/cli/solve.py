"""`hr2jax solve`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .answer import EXIT_CODES, checked_outputs, deliver, found
from .arguments import client_of, described_network

if TYPE_CHECKING:
    from ..network import Network
    from ..result import Result
    from ..results import Results
    from ..robustness.journal import Folder


def solve_command(arguments: argparse.Namespace) -> int:
    """Solve, write the files asked for, print the result."""
    from ..api import solve
    from .numbers import box

    net, _, made = described_network(arguments)
    center, radius = box(arguments.center, arguments.radius, arguments.norm)
    outputs = _outputs(arguments)
    asked = dict(
        norm=arguments.norm,
        output_norm=arguments.output_norm,
        center=center,
        radius=radius,
        relaxation=arguments.relaxation,
        method=arguments.method,
        tol=arguments.tol,
        time_limit=arguments.time_limit,
        max_iterations=arguments.max_iterations,
        device=arguments.device,
        devices=arguments.devices,
        seed=arguments.seed,
        witness=arguments.witness,
        progress=not arguments.quiet,
        cuts=None if arguments.cuts is None else [name for name in arguments.cuts.split(",") if name],
    )
    if arguments.pairs:
        return _solve_pairs(net, asked, arguments, made, outputs)
    for name in ("workers", "scheduler"):
        if getattr(arguments, name) is not None:
            raise ValueError(f"--{name} is for --pairs: a single problem is this process's")
    result = found(
        arguments.signals,
        lambda: solve(net, output=arguments.output, checkpoint=arguments.checkpoint, **asked),
    )
    return deliver(_named(result, arguments, made), outputs, _write)


def _solve_pairs(
    net: Network, asked: dict[str, Any], arguments: argparse.Namespace, made: tuple[str, ...], outputs: dict[str, Path],
) -> int:  # fmt: skip
    """The same of all pairs of outputs."""
    from ..results import Results
    from ..robustness.journal import Folder
    from ..solving.many import solve_all

    for name in ("output", "checkpoint", "plot"):
        if getattr(arguments, name) is not None:
            raise ValueError(f"--{name} is of one problem, but --pairs was given")
    if net.widths[-1] < 2:
        raise ValueError("--pairs needs at least two outputs, but the network has 1")
    folder = None if arguments.certificate is None else Folder(arguments.certificate)
    if folder is not None:
        outputs = outputs | {"certificate": folder.path}
    client = client_of(arguments)
    results = found(
        arguments.signals, lambda: solve_all(net, workers=arguments.workers, client=client, **asked)
    )
    named = Results(_named(result, arguments, made) for result in results)
    return deliver(named, outputs, lambda answer, name, path: _write_all(answer, name, path, folder))


def _write_all(results: Results, name: str, path: Path, folder: Folder | None) -> None:
    from ..robustness.journal import pair_name

    if name == "json":
        results.to_json(path)
    elif folder is not None:
        for result in results:
            c = result.problem["output"]
            if folder.save(pair_name((c.index(1.0), c.index(-1.0))), result.certificate) is None:
                raise ValueError("not all certificates are there")


def _named(result: Result, arguments: argparse.Namespace, made: tuple[str, ...]) -> Result:
    """The result, whose problem also has the file that was read, how, and what its layers were made of."""
    from dataclasses import replace

    file = {"name": os.path.basename(arguments.network), "activation": arguments.activation,
            "layers": arguments.layers, "logits": arguments.logits}  # fmt: skip
    layers = [
        {**layer, "name": said} if said else layer
        for layer, said in zip(result.problem["layers"], (*made, *[""] * len(result.problem["layers"])), strict=False)
    ]
    return replace(result, problem={**result.problem, "file": file, "layers": layers})


def _write(result: Result, name: str, path: Path) -> None:
    if name == "certificate":
        result.certificate.save(path)
    elif name == "json":
        result.to_json(path)
    else:
        result.plot(path)


# --- what is given ----------------------------------------------------------------------------------


def _outputs(arguments: argparse.Namespace) -> dict[str, Path]:
    """The files to write."""
    outputs = {
        name: Path(path)
        for name in ("certificate", "json", "plot")
        if (path := getattr(arguments, name)) is not None
    }
    if arguments.pairs:
        outputs.pop("certificate", None)  # a folder
    radius = arguments.radius if os.path.exists(arguments.radius or "") else None  # a number, or a file of them
    return checked_outputs(outputs, (arguments.network, arguments.center, arguments.checkpoint, radius))


SOLVE = """Prove an upper bound of the Lipschitz constant of the network F, or of one of its outputs (--output):
    max_k |F_k(x) - F_k(y)| <= bound * max_i |x_i - y_i|
for all x, y, or, with --center and --radius, for all x, y in the box |x_i - center_i| <= R. With --norm 2
distances are Euclidean, and the domain is the ball ||x - center||_2 <= R, with --norm 1 they are sums of
magnitudes. --output-norm measures the outputs in another norm than the inputs.
The bound is proved in rounding-safe arithmetic, whatever the solver did and whenever it was stopped
(Ctrl-C and SIGTERM stop it with the best bound so far).

R is in the units of the network's input: for pixels in 0..1, R = 0.05 is 5 % of the range.
Decimals are taken exactly: R and the center's rounding are rounded up, so the box proved contains yours.

Printed: the certified bound (rounded up), an attained lower bound (rounded down), the gap between
them, why the solver stopped, and where the seconds went.
"""
SOLVE_EXAMPLES = f"""examples:
  hr2jax solve model.npz --norm 2                                of all outputs, ||F(x) - F(y)||_2 <= bound ||x - y||_2
  hr2jax solve model.npz --output 3                              global constant of F_3
  hr2jax solve model.npz --output 3,5 --center x.npy --radius 0.05
                                                                 of F_3 - F_5 around x
  hr2jax solve model.npz --pairs --workers 4 --certificate DIR   all F_K - F_J, proofs for hr2jax verify DIR model.npz
  hr2jax solve model.npz --certificate bound.cert.npz --json bound.json --plot bound.png
  hr2jax solve model.npz --relaxation shor --time-limit 60       looser, sooner
  hr2jax solve model.npz --witness 0                             the bound alone
  hr2jax solve model.npz --relaxation best --time-limit 600      the tightest in ten minutes

{EXIT_CODES}"""
