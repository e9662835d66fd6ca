"""`certify`: check, evaluate, attack, bound, assemble the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arithmetic.enclosure import TooLargeError, check_arithmetic
from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate
from ..machine.device import on_device
from ..machine.programs import keeping
from ..machine.stopping import check, hear, stoppable, tell
from ..network import Network
from ..options import VIA, Options
from ..problem import checked_problem
from ..progress import Line
from ..reading import Model, as_network
from ..relaxation.table import RELAXATIONS, names
from ..result import Status
from ..solving.many import solve_all
from ..text import shown
from ..version import versions
from . import bilinear
from .attack import broken
from .inputs import check_count, checked_accuracy, checked_inputs, checked_labels, checked_radii, solve_options
from .margins import Clip, largest_radius, margins
from .report import RobustnessReport
from .rivals import TESTS
from .search import Setting, Task, search_all

# Of several, the one that a report has is the last of these.
WORSE = (
    Status.SOLVED, Status.STALLED, Status.ITERATION_LIMIT, Status.NUMERICAL_ERROR, Status.TIME_LIMIT, Status.STOPPED,
)  # fmt: skip


@stoppable
@keeping()
def certify(
    net: Model,
    inputs: ArrayLike,
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
        inputs: (n, p_0), or (n, ...) flattened in C order, any real dtype; the float64 values are what is meant.
        labels: (n,) integers; None: the network's own predictions.
        radii: positive numbers, in any order, or one number.
        norm: "inf", 2 or 1.
        clip: (lo, hi), numbers or arrays shaped as an input: the box where inputs live, so that only its points count.
            The inputs must be in it. Global constants do not use it.
        via: "lipschitz-global": one constant for each pair of labels, the same for all inputs; "lipschitz-local": from
            what that certifies on, constants on the ball around the input; "sdp": there, the largest value of
            F_j - F_k on the ball (`maximum`).
        relaxation: of `solve`.
        workers: processes that share the inputs of a local search (started by spawn: a script needs its
            `if __name__ == "__main__":`); None: this process.
        radius_accuracy: the certified radius of an input is bisected between two of `radii` to this relative
            accuracy (local); None: `radius` says no more than `certified` does. Global radii are exact.
        attack_steps, attack_starts: of the attack, the first from the input itself; attack_starts=0: none.
        time_limit: seconds; what is not decided by then counts as not certified.
        seed: of every random choice.
        progress: show a line on a terminal, else messages in the log "hr2jax", after 2 seconds.
        options: others of `solve`: tol, method, max_iterations, device, bounds, cuts.

    Returns:
        A RobustnessReport.

    Raises:
        Interrupted: Ctrl-C; its `result` is the report of what was decided so far, with status STOPPED, or None.
        ValueError, NotImplementedError: what cannot be done or means nothing, before any work.
        TypeError: an option that `solve` does not have.
    """
    began = time.time()
    net = as_network(net)
    if net.widths[-1] < 2:
        raise ValueError("net must have at least two outputs, the largest of which names the label, but it has 1")
    if not isinstance(via, str) or via not in TESTS:
        raise ValueError(f"via must be one of {', '.join(map(repr, TESTS))}, but {shown(via)} was given")
    chosen = solve_options(net, norm, relaxation, seed, time_limit, progress, options)
    p = checked_problem(net, (0, 1), norm).norm
    x, box = checked_inputs(net, inputs, clip)
    r = checked_radii(radii)
    check_count("workers", workers, 1, none=True)
    check_count("attack_steps", attack_steps, 1)
    check_count("attack_starts", attack_starts, 0)
    accuracy = checked_accuracy(radius_accuracy)
    k = checked_labels(net, x, labels)
    if via == "sdp" and "maximum" not in RELAXATIONS[relaxation].quantities:
        of_values = ", ".join(names(quantities="maximum"))
        raise ValueError(f"relaxation must be one of {of_values} for via='sdp', but {relaxation!r} was given")
    if via == "sdp" and net.smooth:
        raise NotImplementedError(
            f"via='sdp' is built for piecewise linear layers, but {net.smooth}; via='lipschitz-local' is for any"
        )
    if via == "sdp" and chosen["method"] not in ("auto", "lowrank"):
        raise ValueError(f"method must be 'auto' or 'lowrank' for via='sdp', but {shown(chosen['method'])} was given")
    check_arithmetic()

    low, _ = margins(net, x, k)
    right = low.min(axis=1) > 0
    run = Certifying(net, x, k, low, right, r, p, box, began, time_limit)
    problem = {
        "widths": list(net.widths), "network_hash": net.hash, "norm": p, "via": via, "relaxation": relaxation,
        "clip": None if box is None else [side.tolist() for side in box], "inputs": len(x), "seed": seed,
        "labels": "predictions" if labels is None else "given", "attack_steps": attack_steps,
        "attack_starts": attack_starts, "time_limit": time_limit, "radius_accuracy": accuracy,
        "options": {name: chosen[name] for name in sorted(options)}, "versions": versions(),
    }  # fmt: skip
    tell(lambda: run.report(problem, Status.STOPPED, attacked=attack_starts > 0))
    status = Status.SOLVED
    with on_device(chosen["device"]), Line(progress, began) as line:
        try:
            if attack_starts:
                run.attack(attack_steps, attack_starts, seed, line.show)
            status = run.bound_pairs(chosen | {"progress": progress}, line)  # the search begins from what they certify
            if status is not Status.STOPPED and via != "lipschitz-global":
                status = run.search(via, accuracy, chosen, workers, line.show)
        except KeyboardInterrupt:
            hear()
            status = Status.STOPPED
    return run.report(problem, status, attacked=attack_starts > 0)


class Certifying:
    """What is known so far about every input.

    Attributes:
        radius: (n, K) radii within which each rival is excluded.
        decided: (n,) whether nothing is left to be tried.
        first_broken: (n,) the least of the radii at which an adversarial point is known, or infinity.
    """

    def __init__(
        self, net: Network, x: Array, labels: Array, margin: Array, right: Array, radii: Array, norm: str | int,
        clip: Clip | None, began: float, time_limit: float | None,
    ):  # fmt: skip
        self.net, self.x, self.labels, self.margin, self.right = net, x, labels, margin, right
        self.radii, self.norm, self.clip, self.began = radii, norm, clip, began
        self.deadline = None if time_limit is None else began + time_limit
        self.radius = np.zeros(margin.shape)
        self.found = np.zeros(len(x))  # the certified radius of each input
        self.decided = ~right
        self.first_broken = np.full(len(x), np.inf)
        self.adversarial = np.full(x.shape, np.nan)
        self.constants: dict[tuple[int, int], Certificate] = {}
        self.attacked_until = 0.0
        self.seconds: dict[str, float] = {}

    def attack(self, steps: int, starts: int, seed: int, show: Callable[[str], None]) -> None:
        """Smallest radius first: what breaks an input there breaks it at larger ones."""
        since = time.time()
        for radius in np.unique(self.radii).tolist():
            if self._is_over():
                break
            left = np.flatnonzero(self.right & np.isinf(self.first_broken))
            show(f"attack at radius {radius:g}: {len(left)} of {len(self.x)} inputs are not broken")
            hit, points = broken(
                self.net, self.x[left], self.labels[left], radius, norm=self.norm, clip=self.clip, steps=steps,
                starts=starts, seed=seed, is_over=self._is_over,
            )  # fmt: skip
            self.first_broken[left[hit]], self.adversarial[left[hit]] = radius, points[hit]
            if not self._is_over():
                self.attacked_until = radius
        self.seconds["attack"] = time.time() - since

    def bound_pairs(self, options: Mapping[str, Any], line: Line) -> Status:
        """Global constants of F_k - F_j for the labels k that occur; F_j - F_k has the same."""
        since = time.time()
        present, outputs = np.unique(self.labels[self.right]), self.net.widths[-1]
        pairs = sorted({(min(k, j), max(k, j)) for k in present.tolist() for j in range(outputs) if j != k})
        line.show(f"constants of {len(pairs)} pairs of labels")
        worst = Status.SOLVED
        until = None if self.deadline is None else max(self.deadline, since)
        if pairs and options["max_iterations"] is None and bilinear.serves(
            self.net, self.norm, options["relaxation"], options["method"]
        ):  # fmt: skip
            proved = bilinear.certificates(self.net, pairs, options["tol"], until)
            self.constants = dict(zip(pairs, proved, strict=True))
            if until is not None and time.time() >= until:
                worst = Status.TIME_LIMIT
        left = [pair for pair in pairs if pair not in self.constants]
        line.end()  # solve_all has a line of its own
        options = {**options, "witness": 0.0}  # a global constant's is not looked at
        limit = None if until is None else max(until - time.time(), 0.0)
        try:
            results = solve_all(self.net, left, norm=self.norm, time_limit=limit, **options) if left else []
            for pair, result in zip(left, results, strict=True):
                self.constants[pair] = result.certificate
                worst = max(worst, result.status, key=WORSE.index)
        except TooLargeError:
            worst = Status.NUMERICAL_ERROR
        bounds = np.full((outputs, outputs), np.inf)
        for (k, j), certificate in self.constants.items():
            bounds[k, j] = bounds[j, k] = certificate.bound
        rows = np.flatnonzero(self.right)
        if len(rows):
            self.radius[rows] = largest_radius(self.margin[rows], bounds[self.labels[rows]])
            self.found[rows] = self.radius[rows].min(axis=1)
        if worst in (Status.TIME_LIMIT, Status.STOPPED):
            self.decided[self._is_settled()] = True
        else:
            self.decided[:] = True
        self.seconds["pairs"] = time.time() - since
        return worst

    def search(
        self, via: str, accuracy: float | None, options: Mapping[str, Any], workers: int | None,
        show: Callable[[str], None],
    ) -> Status:  # fmt: skip
        """Around each input that the global constants leave undecided."""
        since = time.time()
        if via == "lipschitz-local" and self.net.is_chain and self.net.depth == 1 and self.norm == "inf":
            self.exclude_together(show)
        self.decided = ~self.right | (self.found >= self.radii.max())
        if accuracy is None:  # only the radii themselves count
            self.decided[self._is_settled()] = True
        rows = np.flatnonzero(~self.decided)
        rows = rows[np.argsort(-self.found[rows], kind="stable")].tolist()  # those nearest to success first
        tasks = [
            Task(i, self.x[i], int(self.labels[i]), self.margin[i], self.radius[i], float(self.first_broken[i]))
            for i in rows
        ]
        setting = Setting(
            self.net, via, self.norm, self.clip, tuple(np.unique(self.radii).tolist()), accuracy, options, self.deadline
        )
        try:
            for done, found in enumerate(search_all(setting, tasks, workers)):
                check()
                self.found[found.index] = max(self.found[found.index], found.radius)
                self.decided[found.index] = found.finished
                show(f"around inputs: {done + 1} of {len(tasks)}")
        finally:
            self.seconds["search"] = time.time() - since
        return Status.SOLVED if self.decided.all() else Status.TIME_LIMIT

    def exclude_together(self, show: Callable[[str], None]) -> None:
        """What local constants that are found for many inputs at once can decide."""
        for radius in np.unique(self.radii).tolist():
            rows = np.flatnonzero(self.right & (self.found < radius) & (radius < self.first_broken))
            rows = rows[np.argsort(-self.found[rows], kind="stable")]
            show(f"around inputs, together: {len(rows)} at radius {radius:g}")
            try:
                bilinear.exclude(
                    self.net, self.x, self.labels, self.margin, self.radius, rows, radius, self.clip, self._is_over
                )
            finally:
                self.found[rows] = self.radius[rows].min(axis=1)

    def _is_settled(self) -> Array:
        """(n,) whether at each of the radii the input is certified or broken."""
        known = (self.found[:, None] >= self.radii) | (self.first_broken[:, None] <= self.radii)
        return np.asarray(known.all(axis=1))

    def _is_over(self) -> bool:
        check()
        return self.deadline is not None and time.time() >= self.deadline

    def report(self, problem: dict[str, Any], status: Status, attacked: bool) -> RobustnessReport:
        """What is known now."""
        certified = self.right[:, None] & (self.radii <= self.found[:, None])
        unbroken = self.right[:, None] & (self.radii < self.first_broken[:, None])
        n = len(self.x)
        return RobustnessReport(
            radii=self.radii,
            certified=certified,
            ratio=certified.sum(axis=0) / n,
            radius=self.found,
            labels=self.labels,
            right=self.right,
            clean_accuracy=float(self.right.sum() / n),
            attack_accuracy=(
                np.where(self.radii <= self.attacked_until, unbroken.sum(axis=0) / n, np.nan) if attacked else None
            ),
            broken_at=self.first_broken,
            adversarial=self.adversarial,
            decided=self.decided,
            bounds={pair: certificate.bound for pair, certificate in self.constants.items()},
            certificates=self.constants,
            status=status,
            timings=self.seconds | {"total": time.time() - self.began},
            problem=problem,
        )
