"""`certify`: check, evaluate, attack, bound, assemble the report."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arithmetic.enclosure import check_arithmetic
from ..machine.cluster import keeping_processes
from ..machine.device import on_device
from ..machine.programs import keeping
from ..machine.stopping import hear, stoppable, tell
from ..machine.workers import LostError
from ..options import VIA, Options, check_count, checked_workers
from ..problem import checked_problem
from ..progress import LOG, Line
from ..reading import Model, as_network
from ..relaxation.table import RELAXATIONS, names
from ..result import Status
from ..text import shown
from ..version import versions
from .certifying import Certifying
from .inputs import checked_accuracy, checked_inputs, checked_labels, checked_radii, solve_options
from .journal import Folder, Journal, question_of
from .margins import margins
from .report import RobustnessReport
from .rivals import TESTS


@stoppable
@keeping()
def certify(
    net: Model,
    inputs: ArrayLike | Iterator[Any],
    labels: ArrayLike | None = None,
    radii: ArrayLike = (),
    norm: Any = "inf",
    clip: tuple[Any, Any] | None = None,
    via: str = VIA[0],
    relaxation: str = Options.relaxation,
    workers: int | None = None,
    *,
    radius_accuracy: float | None = 0.05,
    attack_steps: int = 20,
    attack_starts: int = 2,
    time_limit: float | None = Options.time_limit,
    seed: int = Options.seed,
    progress: bool = Options.progress,
    client: Any = None,
    results: str | os.PathLike[str] | None = None,
    certificates: str | os.PathLike[str] | None = None,
    example: ArrayLike | None = None,
    **options: Any,
) -> RobustnessReport:
    """Which inputs a classifier provably keeps the label of, within each of `radii` (in the norm, units of the input).

    An input x of label k is certified at radius r when for every other label j the margin F_k(x) - F_j(x), rounded
    down, exceeds L r, rounded up, L a certified Lipschitz constant of F_k - F_j: everywhere, or around x. It is never
    certified where k is not strictly the largest output at x. Projected gradient ascent looks for adversarial points
    on the other side; where it finds one (checked in exact arithmetic), no certificate is tried.

    Args:
        net: a classifier with at least two outputs, the largest of which names the label, or what holds one (a file, a
            module: see `hr2jax.as_network`).
        inputs: (n, p_0), or (n, ...) flattened in C order, any real dtype; the float64 values are what is meant. Of a
            file that is mapped into memory (np.load(path, mmap_mode="r")) a part is read at a time; an iterator of
            batches (k, ...) is written to a temporary file first, of which the same is true.
        labels: (n,) integers; None: the network's own predictions.
        radii: positive numbers, in any order, or one number.
        norm: "inf", 2 or 1.
        clip: (lo, hi), numbers or arrays shaped as an input: the box where inputs live, so that only its points count.
            The inputs must be in it. Global constants do not use it.
        via: "lipschitz-global": one constant for each pair of labels, the same for all inputs; "lipschitz-local": from
            what that certifies on, constants on the ball around the input; "sdp": there, the largest value of
            F_j - F_k on the ball (`maximum`).
        relaxation: of `solve`.
        workers: processes on this machine that share the pairs of labels and the inputs of a local search, by Dask
            (extra `cluster`; started by spawn: a script needs its `if __name__ == "__main__":`); None: this process.
        client: a distributed.Client, whose workers do (docs/scale.md); None: none.
        radius_accuracy: the certified radius of an input is bisected between two of `radii` to this relative
            accuracy (local); None: `radius` says no more than `certified` does. Global radii are exact.
        attack_steps, attack_starts: of the attack, the first from the input itself; attack_starts=0: none.
        time_limit: seconds; what is not decided by then counts as not certified.
        seed: of every random choice.
        progress: show a line on a terminal, else messages in the log "hr2jax", after 2 seconds.
        results: a file (.jsonl) of strict JSON lines, one an input, written as inputs are finished. A call with the
            same question goes on with it, after whatever ended the one before; what the file has is taken from it.
        certificates: a folder, made if it is missing, that keeps the certificates of the constants and of the largest
            values that exclude rivals.
        example: an input, of a module or function that does not say the shape of its own.
        options: others of `solve`: tol, method, max_iterations, device, devices, bounds, cuts.

    Returns:
        A RobustnessReport.

    Raises:
        Interrupted: Ctrl-C; its `result` is the report of what was decided so far, with status STOPPED, or None.
        ValueError, NotImplementedError: what cannot be done or means nothing, before any work; `results` of another
            question, or that another run is writing.
        OSError: `results` cannot be written.
        ImportError: `workers` or `client` without Dask.
        TypeError: an option that `solve` does not have.
    """
    began = time.time()
    net = as_network(net, example)
    if net.widths[-1] < 2:
        raise ValueError("net must have at least two outputs, the largest of which names the label, but it has 1")
    if not isinstance(via, str) or via not in TESTS:
        raise ValueError(f"via must be one of {', '.join(map(repr, TESTS))}, but {shown(via)} was given")
    chosen = solve_options(net, norm, relaxation, seed, time_limit, progress, options)
    p = checked_problem(net, (0, 1), norm).norm
    r = checked_radii(radii)
    x, box = checked_inputs(net, inputs, clip)
    checked_workers(workers, client, len(x))  # refused now, where there are none
    check_count("attack_steps", attack_steps, 1)
    check_count("attack_starts", attack_starts, 0)
    accuracy = checked_accuracy(radius_accuracy)
    k = checked_labels(net, x, labels)
    if via == "sdp" and "maximum" not in RELAXATIONS[relaxation].quantities:
        of_values = ", ".join(names(quantities="maximum"))
        raise ValueError(f"relaxation must be one of {of_values} for via='sdp', but {relaxation!r} was given")
    if via == "sdp" and chosen["method"] not in ("auto", "lowrank"):
        raise ValueError(f"method must be 'auto' or 'lowrank' for via='sdp', but {shown(chosen['method'])} was given")
    check_arithmetic()

    problem = {
        "widths": list(net.widths), "network_hash": net.hash, "norm": p, "via": via, "relaxation": relaxation,
        "clip": None if box is None else [side.tolist() for side in box], "inputs": len(x), "seed": seed,
        "labels": "predictions" if labels is None else "given", "attack_steps": attack_steps,
        "attack_starts": attack_starts, "time_limit": time_limit, "radius_accuracy": accuracy,
        "options": {name: chosen[name] for name in sorted(options)}, "versions": versions(),
    }  # fmt: skip
    folder = None if certificates is None else Folder(certificates)
    with contextlib.ExitStack() as stack:
        journal = None
        if results is not None:
            asked = {name: problem[name] for name in ("norm", "via", "relaxation", "attack_steps", "attack_starts")}
            asked |= {"radius_accuracy": accuracy, "count": len(x)}
            asked |= {name: value for name, value in chosen.items() if name not in ("device", "devices", "progress")}
            journal = Journal(results, question_of(net, x, k, r, box, asked), began if time_limit is not None else None)
            stack.callback(journal.close)
        low, _ = margins(net, x, k)
        run = Certifying(net, x, k, low, low.min(axis=1) > 0, r, p, box, began, time_limit, folder)

        def so_far() -> RobustnessReport:
            """Where this is asked for nobody waits for the work any more, and the file is free for another run."""
            if journal is not None:
                journal.close()
            return run.report(problem, Status.STOPPED)

        tell(so_far)
        line = stack.enter_context(Line(progress, began, run.deadline))
        stack.enter_context(on_device(chosen["device"]))
        stack.enter_context(keeping_processes())
        if journal is not None:
            run.go_on(journal)
        status = Status.SOLVED
        try:
            is_late = bool(attack_starts) and time_limit is not None
            if attack_starts and not is_late:
                run.attack(attack_steps, attack_starts, seed, line.show)
            status = run.bound_pairs(chosen | {"progress": progress}, line, workers, client, is_late)
            if is_late and status is not Status.STOPPED:  # what it must compile may take longer than the constants
                run.attack(attack_steps, attack_starts, seed, line.show)
                run.settle()
            if via == VIA[0]:
                run.finish(np.flatnonzero(run.decided))
            elif status is not Status.STOPPED:
                status = run.search(via, accuracy, chosen, workers, client, line.show)  # from what those certify
        except KeyboardInterrupt:
            hear()
            status = Status.STOPPED
        except LostError as error:
            status, run.lost = Status.STOPPED, str(error)
            LOG.warning("%s; what was finished is kept%s", error, "" if results is None else f" in {str(results)!r}")
        return run.report(problem, status)
