"""What `certify` knows so far about every input: from the attack, from global constants, from searches around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..arithmetic.enclosure import TooLargeError
from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate
from ..machine.stopping import check, is_interrupted
from ..machine.workers import LostError
from ..network import Network
from ..options import VIA
from ..progress import Line
from ..result import Status
from ..solving.many import solve_outputs
from . import bilinear
from .attack import broken
from .inputs import Mapped
from .journal import Constant, Entry, Folder, Journal, Rival, input_name, pair_name
from .jumps import below_jumps
from .margins import Clip, largest_radius
from .report import RobustnessReport
from .search import Found, Setting, Task, search_all

# Of several, the one that a report has is the last of these.
WORSE = (
    Status.SOLVED, Status.STALLED, Status.ITERATION_LIMIT, Status.NUMERICAL_ERROR, Status.TIME_LIMIT, Status.STOPPED,
)  # fmt: skip
# What ended by time is not the last word.
UNFINISHED = (Status.TIME_LIMIT, Status.STOPPED)


KEPT = 0.15  # the share of a time limit that global constants leave to an attack
WRITTEN = 1024  # lines that are written together
ATTACKED = 8192  # inputs whose points are in memory together


def _over(show: Callable[..., None], radius: float, start: int, count: int, done: int) -> None:
    """Say how many inputs the attack is over."""
    show(f"attack at radius {radius:g}", start + done, count)


class Certifying:
    """What is known so far about every input.

    Attributes:
        radius: (n, K) radii within which each rival is excluded.
        decided: (n,) whether nothing is left to be tried.
        finished: (n,) whether its line is written, or was there when the run began: nothing is done of those again.
        first_broken: (n,) the least of the radii at which an adversarial point is known, or infinity.
    """

    def __init__(
        self, net: Network, x: Array | Mapped, labels: Array, margin: Array, right: Array, radii: Array,
        norm: str | int, clip: Clip | None, began: float, time_limit: float | None, folder: Folder | None = None,
    ):  # fmt: skip
        self.net, self.x, self.labels, self.margin, self.right = net, x, labels, margin, right
        self.radii, self.norm, self.clip, self.began = radii, norm, clip, began
        self.deadline = None if time_limit is None else began + time_limit
        self.radius = np.zeros(margin.shape)
        self.found = np.zeros(len(x))  # the certified radius of each input
        self.decided = ~right
        self.first_broken = np.full(len(x), np.inf)
        self.adversarial: dict[int, Array] = {}  # input -> a point that breaks it
        self.constants: dict[tuple[int, int], Certificate] = {}
        self.known: dict[tuple[int, int], Constant] = {}  # of the same pairs, and of those that a file tells
        self.finished = np.zeros(len(x), dtype=bool)
        self.journal: Journal | None = None
        self.lost = ""  # how workers were lost, for the report's message
        self.folder = folder
        # input and rival -> the bound that excludes it nearest to the end, how it was found, its certificate's name
        self.proofs: dict[tuple[int, int], tuple[float, str, str | None]] = {}
        self.is_attacked, self.attacked_until = False, 0.0
        self.seconds: dict[str, float] = {}

    def attack(self, steps: int, starts: int, seed: int, show: Callable[..., None]) -> None:
        """Smallest radius first: what breaks an input there breaks it at larger ones."""
        since, self.is_attacked = time.time(), True
        for radius in np.unique(self.radii).tolist():
            left = np.flatnonzero(self.right & ~self.finished & np.isinf(self.first_broken))
            if not len(left):
                self.attacked_until = float(self.radii.max())
                break
            if self._is_over():
                break
            for start in range(0, len(left), ATTACKED):
                rows = left[start : start + ATTACKED]
                hit, points = broken(
                    self.net, self.x[rows], self.labels[rows], radius, norm=self.norm, clip=self.clip, steps=steps,
                    starts=starts, seed=seed, is_over=self._is_over,
                    show=partial(_over, show, radius, start, len(left)),
                )  # fmt: skip
                self.first_broken[rows[hit]] = radius
                self.adversarial |= zip(rows[hit].tolist(), points[hit], strict=True)
            if not self._is_over():
                self.attacked_until = radius
        self.seconds["attack"] = time.time() - since

    def bound_pairs(
        self, options: Mapping[str, Any], line: Line, workers: int | None, client: Any, attack_follows: bool = False
    ) -> Status:
        """Global constants of F_k - F_j for the labels k that occur; F_j - F_k has the same."""
        since = time.time()
        rows = np.flatnonzero(self.right & ~self.finished)
        present, outputs = np.unique(self.labels[rows]), self.net.widths[-1]
        needed = {(min(k, j), max(k, j)) for k in present.tolist() for j in range(outputs) if j != k}
        pairs = sorted(needed - self.known.keys())
        line.show(f"constants of {len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} of labels")
        worst = max((constant.status for constant in self.known.values()), default=Status.SOLVED, key=WORSE.index)
        until = None if self.deadline is None else max(self.deadline, since)
        if until is not None and attack_follows:
            until -= KEPT * (until - since)
        if pairs and options["max_iterations"] is None and bilinear.serves(
            self.net, self.norm, options["relaxation"], options["method"]
        ):  # fmt: skip
            proved = bilinear.certificates(self.net, pairs, options["tol"], until)
            is_late = until is not None and time.time() >= until
            status = Status.TIME_LIMIT if is_late else Status.SOLVED
            worst = max(worst, status, key=WORSE.index)
            self.keep({pair: (found, status) for pair, found in zip(pairs, proved, strict=True)})
        left = [pair for pair in pairs if pair not in self.known]
        options = {**options, "witness": 0.0}  # a global constant's is not looked at
        limit = None if until is None else max(until - time.time(), 0.0)
        try:
            if left:
                line.end()  # solve_outputs has a line of its own
                found = solve_outputs(
                    self.net, left, norm=self.norm, time_limit=limit, workers=workers, client=client, **options,
                    found=lambda k, result: self.keep({left[k]: (result.certificate, result.status)}),
                )  # fmt: skip
                if not is_interrupted() and (lost := [r for r in found if r.status is Status.STOPPED]):
                    raise LostError(lost[0].message)
            worst = max(worst, *(self.known[pair].status for pair in left), key=WORSE.index) if left else worst
        except TooLargeError:
            worst = Status.NUMERICAL_ERROR
            self.known = {pair: Constant(pair, np.inf, worst, None) for pair in left} | self.known
        bounds = np.full((outputs, outputs), np.inf)
        for (k, j), constant in self.known.items():
            bounds[k, j] = bounds[j, k] = constant.bound
        if len(rows):
            margin = below_jumps(self.net, self.margin[rows], self.labels[rows])
            self.radius[rows] = largest_radius(margin, bounds[self.labels[rows]])
            self.found[rows] = self.radius[rows].min(axis=1)
        if worst in UNFINISHED:
            self.decided[self._is_settled()] = True
        else:
            self.decided[:] = True
        self.seconds["pairs"] = time.time() - since
        return worst

    def search(
        self, via: str, accuracy: float | None, options: Mapping[str, Any], workers: int | None,
        client: Any, show: Callable[..., None],
    ) -> Status:  # fmt: skip
        """Around each input that the global constants leave undecided."""
        since = time.time()
        is_quick = self.net.is_chain and self.net.depth == 1 and self.norm == "inf"
        if is_quick and (via == "lipschitz-local" or self.deadline is not None):  # or less is certified by what is slow
            self.exclude_together(show)
        self.decided = self.finished | ~self.right | (self.found >= self.radii.max())
        if accuracy is None:  # only the radii themselves count
            self.decided[self._is_settled()] = True
        self.finish(np.flatnonzero(self.decided))
        rows = np.flatnonzero(~self.decided)
        rows = rows[np.argsort(-self.found[rows], kind="stable")].tolist()  # those nearest to success first
        tasks = (
            Task(i, self.x[i], int(self.labels[i]), self.margin[i], self.radius[i], float(self.first_broken[i]))
            for i in rows
        )
        radii = tuple(np.unique(self.radii).tolist())
        setting = Setting(
            self.net, via, self.norm, self.clip, radii, accuracy, options, self.deadline, self.folder is not None
        )
        try:
            for done, found in enumerate(search_all(setting, tasks, len(rows), workers, client)):
                self._take(via, found)
                check()
                show("around inputs", done + 1, len(rows))
        finally:
            self.seconds["search"] = time.time() - since
        return Status.SOLVED if self.decided.all() else Status.TIME_LIMIT

    def exclude_together(self, show: Callable[[str], None]) -> None:
        """What local constants that are found for many inputs at once can decide."""
        for radius in np.unique(self.radii).tolist():
            near = (self.found < radius) & (radius < self.first_broken)
            rows = np.flatnonzero(self.right & ~self.finished & near)
            rows = rows[np.argsort(-self.found[rows], kind="stable")]
            show(f"around inputs, together: {len(rows)} at radius {radius:g}")
            try:
                bilinear.exclude(
                    self.net, self.x, self.labels, self.margin, self.radius, rows, radius, self.clip, self._is_over,
                    lambda row, rival, proof: self._prove(row, rival, proof.bound, "lipschitz-local", proof),
                )
            finally:
                self.found[rows] = self.radius[rows].min(axis=1)

    def go_on(self, journal: Journal) -> None:
        """From what a file has, and with it."""
        self.journal = journal
        for entry in journal.read(self.labels, *self.net.widths[:: len(self.net.widths) - 1]):
            i = entry.index
            self.finished[i] = self.decided[i] = True
            self.found[i], self.first_broken[i] = entry.radius, entry.broken_at
            if entry.adversarial is not None and not isinstance(self.x, Mapped):
                self.adversarial[i] = np.array(entry.adversarial)
            for rival in entry.pairs:
                self.radius[i, rival.rival] = rival.radius
        if self.deadline is not None:  # the limit is the total of all runs
            self.deadline -= journal.seconds
        for pair, constant in journal.constants.items():
            if self.folder is not None:
                certificate = self.folder.load(constant, self.net, self.norm)
                if certificate is None:
                    continue  # it is found again, with a certificate
                journal.check(constant, certificate)
                self.constants[pair] = certificate
            self.known[pair] = constant

    def keep(self, found: Mapping[tuple[int, int], tuple[Certificate, Status]]) -> None:
        """Global constants: known from now on, and written where they are final."""
        new = []
        for pair, (certificate, status) in found.items():
            self.constants[pair] = certificate
            is_final = status not in UNFINISHED
            name = self.folder.save(pair_name(pair), certificate) if self.folder and is_final else None
            self.known[pair] = Constant(pair, certificate.bound, status, name)
            if is_final and np.isfinite(certificate.bound):
                new.append(self.known[pair])
        if self.journal is not None:
            self.journal.add(new)

    def _prove(self, row: int, rival: int, bound: float, by: str, certificate: Certificate | None) -> None:
        """Keep what excludes a rival of an input farther than anything before did."""
        if self.folder is None and self.journal is None:
            return
        label, name = int(self.labels[row]), None
        if self.folder is not None:
            name = self.folder.save(input_name(row, label, rival), certificate)
        self.proofs[row, rival] = bound, by, name

    def _take(self, via: str, found: Found) -> None:
        """What a search around an input has found."""
        i = found.index
        for rival, (bound, certificate) in found.proofs.items():
            self._prove(i, rival, bound, via, certificate)
        if found.known is not None:
            self.radius[i] = np.maximum(self.radius[i], found.known)
        self.found[i] = max(self.found[i], found.radius)
        self.decided[i] = found.finished
        if found.finished:
            self.finish([i])

    def finish(self, rows: Iterable[int]) -> None:
        """Write those of these inputs, which are decided, whose answer more time would not change."""
        if self.journal is None:
            return
        final = {pair for pair, constant in self.known.items() if constant.status not in UNFINISHED}
        outputs, last, done = self.net.widths[-1], float(self.radii.max()), []
        for i in map(int, rows):
            k = int(self.labels[i])
            needed = ((min(k, j), max(k, j)) for j in range(outputs) if j != k)
            is_attacked = not self.is_attacked or self.attacked_until >= last or self.found[i] >= last
            if not self.finished[i] and (not self.right[i] or (is_attacked and final.issuperset(needed))):
                done.append(self._entry(i))
                self.finished[i] = True
            if len(done) >= WRITTEN:
                self.journal.add(done)
                done = []
        self.journal.add(done)

    def _entry(self, i: int) -> Entry:
        k, pairs = int(self.labels[i]), []
        for j in range(self.net.widths[-1]) if self.right[i] else ():
            if j != k:
                constant = self.known[min(k, j), max(k, j)]
                bound, by, name = self.proofs.pop((i, j), (constant.bound, VIA[0], constant.certificate))
                pairs.append(Rival(j, float(self.margin[i, j]), float(self.radius[i, j]), bound, by, name))
        point = self.adversarial[i].tolist() if i in self.adversarial else None
        if isinstance(self.x, Mapped):
            self.adversarial.pop(i, None)  # the line has it
        return Entry(
            i, k, bool(self.right[i]), float(self.found[i]), (self.right[i] & (self.radii <= self.found[i])).tolist(),
            float(self.first_broken[i]), point, pairs,
        )  # fmt: skip

    def _is_settled(self) -> Array:
        """(n,) whether at each of the radii the input is certified or broken."""
        known = (self.found[:, None] >= self.radii) | (self.first_broken[:, None] <= self.radii)
        return np.asarray(known.all(axis=1))

    def settle(self) -> None:
        """Say which inputs are decided by what is known of them, whatever more time would find."""
        self.decided |= self._is_settled()

    def _is_over(self) -> bool:
        check()
        return self.deadline is not None and time.time() >= self.deadline

    def report(self, problem: dict[str, Any], status: Status) -> RobustnessReport:
        """What is known now."""
        certified = self.right[:, None] & (self.radii <= self.found[:, None])
        unbroken = self.right[:, None] & (self.radii < self.first_broken[:, None])
        n, is_known = len(self.x), self.radii <= self.attacked_until
        points = None
        if not isinstance(self.x, Mapped):
            points = np.full(self.x.shape, np.nan)
            for i, point in self.adversarial.items():
                points[i] = point
        saved = "" if self.journal is None else self.journal.note
        return RobustnessReport(
            radii=self.radii,
            certified=certified,
            ratio=certified.sum(axis=0) / n,
            radius=self.found,
            labels=self.labels,
            right=self.right,
            clean_accuracy=float(self.right.sum() / n),
            attack_accuracy=np.where(is_known, unbroken.sum(axis=0) / n, np.nan) if self.is_attacked else None,
            broken_at=self.first_broken,
            adversarial=points,
            decided=self.decided,
            bounds={pair: self.known[pair].bound for pair in sorted(self.known) if self.known[pair].bound < np.inf},
            certificates=self.constants,
            status=status,
            timings=self.seconds | {"total": time.time() - self.began},
            problem=problem,
            note=saved,
            reason=self.lost,
        )
