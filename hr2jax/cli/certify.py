"""`hr2jax certify`: its arguments, its data file, its answer."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options import DEVICES, VIA, Options
from ..relaxation.table import RELAXATIONS
from .answer import checked_outputs
from .arguments import add_network, add_workers, client_of, network

if TYPE_CHECKING:
    from ..arithmetic.float64 import Array
    from ..robustness.report import RobustnessReport

DESCRIPTION = """Count the inputs whose label provably cannot change while the input moves by at most R (in every
entry; with --norm 2 in Euclidean distance), for each R of --radii. An input that is classified wrong is never counted.

DATA.npz has the array inputs, (n, p_0), and labels, n integers; without labels the network's own predictions
are taken. Instead of it two .npy files may be given. Inputs of a .npy, and many of a .npz, are read as
they are needed. Radii are in the units of the inputs: for pixels in 0..1, 0.05 is 5 % of the
range. Decimals are taken exactly: radii are rounded up, the clip box outward.

Printed: for each radius the share of all inputs that is certified, rounded down, and the share that an attack
(projected gradient ascent) leaves: the truth lies between them. Ctrl-C and SIGTERM print what was decided so far.
With --results each input has a line of JSON in a file as soon as it is finished; whatever ends the command, even
kill -9, the same command goes on from there.
"""
EXAMPLES = """examples:
  hr2jax certify model.npz data.npz --radii 0.01,0.02,0.05 --clip 0,1
  hr2jax certify model.npz data.npz --radii 0.1 --via lipschitz-local --workers 2 --time-limit 600
  hr2jax certify model.npz data.npz --radii 0.1 --json robust.json --plot robust.png
  hr2jax certify model.npz data.npz --radii 0.1 --results run.jsonl --certificates proofs

"""

def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Everything after `hr2jax certify`."""
    add = parser.add_argument
    add_network(parser)
    add("data", metavar="DATA.npz", help="the arrays inputs and, if known, labels; or a .npy of inputs, which is read "
                                         "as it is needed")  # fmt: skip
    add("--labels", metavar="LABELS.npy", help="the labels, where DATA is a .npy")
    add("--radii", required=True, metavar="R,R,...", help="positive numbers, in the units of the inputs")
    add("--via", default=VIA[0], metavar="HOW",
        help=f"{', '.join(VIA)} (default {VIA[0]}: one constant for each pair of labels)")  # fmt: skip
    add("--norm", default="inf", metavar="inf|2|1", help="norm on the input")
    add("--clip", metavar="LO,HI", help="all entries of all inputs lie between these: only such points count")
    add("--relaxation", default=Options.relaxation, metavar="NAME",
        help=f"{', '.join(RELAXATIONS)} (default %(default)s)")  # fmt: skip
    add("--tol", type=float, default=Options.tol, metavar="T",
        help="of each solve, as for hr2jax solve (default %(default)g)")  # fmt: skip
    add_workers(parser, "pairs of labels and inputs")
    add("--time-limit", type=float, metavar="S", help="seconds; what is undecided by then is not certified")
    add("--device", choices=DEVICES, help="where the solver runs (default: JAX's choice)")
    add("--seed", type=int, default=Options.seed, metavar="N", help="of every random choice (default %(default)s)")
    add("--no-attack", action="store_true", help="do not look for adversarial points")
    add("--results", metavar="RUN.jsonl", help="a line an input, written as it is finished; the same command goes on "
                                               "with it")  # fmt: skip
    add("--certificates", metavar="DIR", help="keep the certificates here, for hr2jax verify DIR NET")
    add("--json", metavar="OUT.json", help="write everything that was found out about every input")
    add("--plot", metavar="OUT.png", help='draw certified accuracy against radius (.png, .pdf, .svg; needs matplotlib)')
    add("--quiet", action="store_true", help="no progress on stderr")


def run(arguments: argparse.Namespace) -> RobustnessReport:
    """The report that the arguments ask for."""
    from ..robustness.run import certify

    net = network(arguments)
    inputs, labels = read_data(arguments.data, arguments.labels)
    return certify(
        net,
        inputs,
        labels,
        radii=[_radius(text) for text in _fields(arguments.radii, "--radii")],
        norm=arguments.norm,
        clip=None if arguments.clip is None else _clip(arguments.clip),
        via=arguments.via,
        relaxation=arguments.relaxation,
        workers=arguments.workers,
        client=client_of(arguments),
        attack_starts=0 if arguments.no_attack else 2,
        time_limit=arguments.time_limit,
        seed=arguments.seed,
        progress=not arguments.quiet,
        tol=arguments.tol,
        device=arguments.device,
        results=arguments.results,
        certificates=arguments.certificates,
    )


def write(report: RobustnessReport, name: str, path: Path) -> None:
    """One of the files that were asked for."""
    if name == "json":
        report.to_json(path)
    else:
        report.plot(path)


def outputs(arguments: argparse.Namespace) -> dict[str, Path]:
    """The files to write."""
    paths = {name: Path(getattr(arguments, name)) for name in ("json", "plot") if getattr(arguments, name) is not None}
    return checked_outputs(paths, (arguments.network, arguments.data, arguments.labels, arguments.results))


def read_data(
    path: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
) -> tuple[Array, Array | None]:
    """The arrays inputs and labels (None where there is none) of a .npz, or of two .npy; no pickle is read.

    A .npy of inputs is mapped into memory, and so is a large array of a .npz, once it is unpacked.

    Raises:
        ValueError: it is no such file; the message names it.
        OSError: it is missing or may not be read.
    """
    import numpy as np

    from ..machine.files import opened
    from ..robustness.spool import unpacked
    from ..text import unread

    if os.fspath(path).endswith(".npy"):
        return _mapped(path, "r"), None if labels is None else np.array(_mapped(labels, "r"))
    if labels is not None:
        raise ValueError(f"--labels is for a DATA.npy, but {os.fspath(path)} was given, which has its own")
    with opened(path) as file:
        try:
            large = unpacked(file, "inputs")
            file.seek(0)
            loaded: Any = np.load(file, allow_pickle=False)
            arrays = {name: loaded[name] for name in ("inputs", "labels") if name in loaded and (
                name == "labels" or large is None)}  # fmt: skip
            arrays |= {} if large is None else {"inputs": large}
        except Exception as error:  # whatever a damaged archive makes a reader raise
            raise ValueError(f"{os.fspath(path)} is not a whole .npz file of numbers: {unread(error)}") from None
    if isinstance(loaded, np.ndarray) or "inputs" not in arrays:
        raise ValueError(f"{os.fspath(path)} has no array inputs; it must be a .npz with inputs and perhaps labels")
    return arrays["inputs"], arrays.get("labels")


def _mapped(path: str | os.PathLike[str], mode: Any) -> Array:
    import numpy as np

    from ..machine.files import opened
    from ..text import unread

    with opened(path):
        pass
    try:
        return np.lib.format.open_memmap(path, mode=mode)
    except Exception as error:  # whatever a damaged file makes a reader raise
        raise ValueError(f"{os.fspath(path)} is not a whole .npy file of numbers: {unread(error)}") from None


def _fields(text: str, what: str) -> list[str]:
    fields = [field.strip() for field in text.split(",")]
    if not all(fields):
        raise ValueError(f"{what} must be numbers separated by commas, but {text!r} was given")
    return fields


def _radius(text: str) -> float:
    from ..arithmetic.decimals import decimal, round_up

    value = decimal(text, "--radii")
    return round_up(value) if value > 0 else float(value)  # certify refuses that, and says what was given


def _clip(text: str) -> tuple[float, float]:
    from ..arithmetic.decimals import decimal, round_up

    fields = _fields(text, "--clip")
    if len(fields) != 2:
        raise ValueError(f"--clip must be two numbers LO,HI, but {text!r} was given")
    low, high = (decimal(field, "--clip") for field in fields)
    return -round_up(-low), round_up(high)
