"""`prove`: a verdict about a VNN-LIB property, from cheap to strong."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from fractions import Fraction
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arithmetic.enclosure import check_arithmetic
from ..certificate.certificate import Certificate
from ..io.vnnlib import read_vnnlib
from ..machine.device import on_device
from ..machine.programs import keeping
from ..machine.stopping import check, hear, stoppable, stopped_by, tell
from ..machine.threads import few_threads
from ..options import Options
from ..progress import Line
from ..proof.point import exact_values, nearest_floats
from ..proof.proof import BY_LINES, Proof, Verdict, prove_witness
from ..proof.question import Question, question
from ..reading import Model, as_network
from ..text import counted
from ..version import versions
from .attack import SHORT, STEPS, Attack
from .climb import Climb
from .lines import lines_stage

LONG = 20  # rounds of the search for a counterexample, after one before linear bounds
STALE, GAIN = 6, 0.02  # rounds without such a gain end it

MESSAGES = {
    Verdict.VERIFIED: "no input meets the property's conditions",
    Verdict.VIOLATED: "the witness meets the property's conditions",
}


@stoppable
@keeping()
def prove(
    model: Model,
    property_path: str | os.PathLike[str],
    time_limit: float | None = None,
    tol: float = Options.tol,
    exact: bool = False,
    *,
    progress: bool = Options.progress,
    device: str | None = Options.device,
    seed: int = Options.seed,
    example: ArrayLike | None = None,
) -> Proof:
    """Whether a network meets a property: verified, violated with a witness, or unknown (docs/prove.md).

    A VNN-LIB file asks for a counterexample: an input x within bounds whose output F(x) meets conditions. The property
    is verified where it is proved that there is none, violated where one is found. Statements are about the network in
    real arithmetic; the file's decimals are taken as exact rational numbers.

    Args:
        model: a network, or what holds one (see `hr2jax.as_network`).
        property_path: a VNN-LIB file, version 1.0 or, with one network, 2.0; also .gz.
        time_limit: seconds; what is not decided by then is unknown. Compilations cannot be cut short.
        tol: of the bounds of largest values, as in `maximum`.
        exact: branch and bound, which is not built yet.
        progress: show a line on a terminal, else messages in the log "hr2jax", after 2 seconds.
        device: None (JAX's default), "cpu" or "gpu".
        seed: of every random choice.
        example: an input, of a module or function that does not say the shape of its own.

    Returns:
        A Proof: verdict, witness, certificates; it proves the verdict again (`verify`).

    Raises:
        Interrupted: Ctrl-C; its `result` is a Proof whose verdict is unknown, or None where nothing was read yet.
        ValueError: a file that is no such property, or one of another network, before any work.
        NotImplementedError: exact=True.
        OSError: a file is missing or may not be read.
    """
    began = time.time()
    if not isinstance(exact, bool):
        raise ValueError(f"exact must be True or False, but {exact!r} was given")
    if exact:
        raise NotImplementedError(
            "exact=True is branch and bound, which is not built yet; without it bounds decide what they can"
        )
    options = Options(tol=tol, time_limit=time_limit, progress=progress, device=device, seed=seed)
    net = as_network(model, example)
    prop = read_vnnlib(property_path)
    try:
        asked = question(net, prop)
    except ValueError as error:
        raise ValueError(f"{os.fspath(property_path)}: {error}") from None
    check_arithmetic()
    run = Proving(asked, options, began, os.path.basename(os.fspath(property_path)))
    tell(lambda: run.proof(Verdict.UNKNOWN, f"{stopped_by()} stopped it"))
    deadline = None if time_limit is None else began + time_limit
    with on_device(options.device), few_threads(max(net.widths)), Line(options.progress, began, deadline) as line:
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # of searches, on boxes near float64's end
                return run.run(line.show)
        except KeyboardInterrupt:
            hear()
            return run.proof(Verdict.UNKNOWN, f"{stopped_by()} stopped it")


class Proving:
    """What is known so far about a question.

    Attributes:
        steps: (area, case) -> the multipliers that prove it empty, and the certificate that does; None: linear bounds.
        attacks: by area, the search for counterexamples of the cases that are left.
    """

    def __init__(self, asked: Question, options: Options, began: float, name: str):
        self.asked, self.options, self.began, self.name = asked, options, began, name
        self.steps: dict[tuple[int, int], tuple[Any, Certificate | None]] = {}
        self.attacks: dict[int, Attack] = {}

    def left(self, area: int) -> list[int]:
        """The cases of an area that are not proved to be empty."""
        return [c for c in range(len(self.asked.areas[area].cases)) if (area, c) not in self.steps]

    def remaining(self) -> float:
        """Seconds to the time limit."""
        limit = self.options.time_limit
        return np.inf if limit is None else limit - (time.time() - self.began)

    def is_over(self) -> bool:
        """Whether the time limit is reached; also where Ctrl-C is heard."""
        check()
        return self.remaining() <= 0

    def run(self, show: Callable[[str], None]) -> Proof:
        """The verdict, once it is known or nothing more can be done."""
        areas = range(len(self.asked.areas))
        for rounds in (1, LONG):
            for a in areas:
                box = f"box {a + 1} of {len(areas)}, {counted(len(self.left(a)), 'case')}"
                show(f"looking for a counterexample: {box}")
                if (witness := self._attack(a, rounds)) is not None:
                    return self.violated(witness)
                if rounds == 1:
                    show(f"linear bounds: {box}")
                    self._lines(a)
            if not any(map(self.left, areas)):
                return self.proof(Verdict.VERIFIED, MESSAGES[Verdict.VERIFIED])
        climb = Climb(self, show)
        witness = climb.run()
        while witness is None and any(map(self.left, areas)) and not self.is_over() and self.remaining() < np.inf:
            show("bounds do not tell; looking for a counterexample until the time limit")  # which is to be used
            found = (self._attack(a, LONG, again=True) for a in areas)
            witness = next((one for one in found if one is not None), None)
        if witness is not None:
            return self.violated(witness)
        if not any(map(self.left, areas)):
            return self.proof(Verdict.VERIFIED, MESSAGES[Verdict.VERIFIED])
        return self.proof(Verdict.UNKNOWN, self._why(climb.reason))

    def _why(self, reason: str) -> str:
        count = sum(len(self.left(a)) for a in range(len(self.asked.areas)))
        return f"{count} of {counted(self.asked.count, 'case')} {'is' if count == 1 else 'are'} left: {reason}"

    def _attack(self, a: int, rounds: int, again: bool = False) -> tuple[Fraction, ...] | None:
        """The counterexample that so many rounds find in an area; `again`: beginning where the last ones ended."""
        left = self.left(a)
        if not left:
            return None
        attack = self.attacks.get(a)
        if attack is None or attack.cases != left:
            earlier = attack
            attack = self.attacks[a] = Attack(self.asked, self.asked.areas[a], left, self.options.seed)
            if earlier is not None:
                same = [earlier.cases.index(c) for c in left]
                attack.known, attack.closest = [earlier.known[i] for i in same], earlier.closest[same]
        stale, attack.rounds = 0, attack.rounds if again else 0
        for _ in range(rounds):
            before = attack.closest.copy()
            if (found := attack.round(self.is_over, SHORT if rounds == 1 else STEPS)) is not None or self.is_over():
                return found
            with np.errstate(invalid="ignore"):
                gained = bool((attack.closest < before - GAIN * np.abs(before)).any())
            stale = 0 if gained else stale + 1
            if stale == STALE:
                break
        return None

    def _lines(self, a: int) -> None:
        if not self.is_over():
            found = lines_stage(self.asked, self.asked.areas[a], self.attacks.get(a), self.left(a))
            self.steps |= {(a, c): (own, None) for c, own in found.items()}

    def violated(self, witness: tuple[Fraction, ...]) -> Proof:
        """The proof that the witness is."""
        prove_witness(self.asked.net, self.asked.prop, witness)
        return self.proof(Verdict.VIOLATED, MESSAGES[Verdict.VIOLATED], witness)

    def proof(self, verdict: Verdict, message: str, witness: tuple[Fraction, ...] | None = None) -> Proof:
        """What is known, as a proof."""
        asked, prop = self.asked, self.asked.prop
        certificates: list[Certificate] = []
        multipliers, proved_by = [], []
        if verdict is Verdict.VERIFIED:
            for a, area in enumerate(asked.areas):
                for c in range(len(area.cases)):
                    own, certificate = self.steps[a, c]
                    multipliers.append(own)
                    proved_by.append(BY_LINES if certificate is None else len(certificates))
                    certificates += [] if certificate is None else [certificate]
        outputs = None
        if witness is not None:
            values = exact_values(asked.net, witness)
            outputs = asked.net(nearest_floats(witness)) if values is None else np.array([*map(_nearest, values)])
        problem = {
            "property": self.name, "property_sha256": sha256(prop.text.encode()).hexdigest(),
            "network_hash": asked.net.hash, "widths": list(asked.net.widths), "inputs": prop.inputs,
            "outputs": prop.outputs, "regions": len(asked.areas), "cases": asked.count, "proved": len(self.steps),
            "tol": self.options.tol, "time_limit": self.options.time_limit, "seed": self.options.seed,
            "versions": versions(),
        }  # fmt: skip
        return Proof(
            verdict=verdict, message=message, witness=None if witness is None else nearest_floats(witness),
            exact=witness, outputs=outputs, certificates=tuple(certificates), multipliers=tuple(multipliers),
            proved_by=tuple(proved_by), seconds=time.time() - self.began, text=prop.text, problem=problem,
        )  # fmt: skip


def _nearest(value: Fraction) -> float:
    """The nearest float64, infinity of what is larger than all of them."""
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf
