"""`certify`'s results as they come: a file of strict JSON lines that a later run continues, and its certificates.

The first line is the question. Each other one is a pair of labels with its global constant, or an input that is
finished. What a file says is taken from it; `hr2jax verify` proves its certificates again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate, CertificateError
from ..machine.files import path_of, strict
from ..machine.lines import Lines
from ..machine.stopping import is_left
from ..network import Network
from ..progress import LOG
from ..result import Status
from ..text import shown
from .inputs import Mapped

FORMAT = "hr2jax certify results 1"
HASHED = ("network", "inputs", "labels", "clip")
ROUNDING = 1e-9  # what a certificate proves on another machine may differ by so much
HASH_ROWS = 1024
KEPT = 10.0  # seconds after which a run says again how many it has used
# What a line that is none of ours makes Python raise.
DAMAGED = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Rival:
    """What is known of an input's label against another one.

    Attributes:
        rival: that label.
        margin: a lower bound of F_label - F_rival at the input.
        radius: within which the rival is excluded.
        bound: of the constant (`by` a via "lipschitz-..."), or of F_rival - F_label on the ball ("sdp"), that says so.
        by: the `via` that it comes from.
        certificate: the name of its file in the folder of certificates, if it is kept.
    """

    rival: int
    margin: float
    radius: float
    bound: float
    by: str
    certificate: str | None


@dataclass(frozen=True)
class Entry:
    """An input that is finished; `adversarial` is a point that breaks it within `broken_at`, (p_0,), or None."""

    index: int
    label: int
    right: bool
    radius: float
    certified: list[bool]
    broken_at: float
    adversarial: list[float] | None
    pairs: list[Rival]


@dataclass(frozen=True)
class Constant:
    """The global constant of a pair of labels."""

    pair: tuple[int, int]
    bound: float
    status: Status
    certificate: str | None


def question_of(
    net: Network, x: Array | Mapped, labels: Array, radii: Array, clip: tuple[Array, Array] | None,
    others: Mapping[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """What a file answers, as strict JSON: its first line."""
    digest = hashlib.sha256(repr(x.shape).encode())
    for start in range(0, len(x), HASH_ROWS):
        digest.update(np.ascontiguousarray(x[start : start + HASH_ROWS], dtype="<f8").tobytes())
    sides = None if clip is None else hashlib.sha256(np.stack(clip).astype("<f8").tobytes()).hexdigest()
    hashes = {
        "network": net.hash, "inputs": digest.hexdigest(),
        "labels": hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest(), "clip": sides,
    }  # fmt: skip
    return json.loads(json.dumps(strict({"format": FORMAT, **hashes, "radii": radii, **others}), default=str))


class Journal:
    """The file of a run.

    Attributes:
        constants: the pairs of labels that it had when it was opened, once `read` has come to its end.
        seconds: the same of the seconds that runs with a time limit have used.
    """

    def __init__(self, path: str | os.PathLike[str], question: Mapping[str, Any], began: float | None = None):
        """Begin the file, or go on with it.

        Args:
            path, question: of the file.
            began: time.time() when this run did, if it has a time limit: the file then says what has been used of it.

        Raises:
            ValueError: another run writes it, it is no such file, or it answers another question; the message says
                what differs.
            OSError: it cannot be written.
        """
        self.lines = Lines(path, _line({"format": FORMAT})[:-2])
        self.constants: dict[tuple[int, int], Constant] = {}
        self.radii = len(question["radii"])
        self.seconds, self.began, self._due = 0.0, began, (began or 0.0) + KEPT
        self._numbers: dict[tuple[int, int], int] = {}  # of their lines
        self._was_told = False
        try:
            if self.lines.first is None:
                if not self.lines.append(_line(question)):
                    raise OSError(f"{self.lines.path} cannot be written: {self.lines.unwritten}")
                return
            self._compare(self.lines.first, question)
        except BaseException:
            self.close()
            raise

    def _compare(self, first: bytes, asked: Mapping[str, Any]) -> None:
        path = self.lines.path
        try:
            known = json.loads(first, parse_constant=_refuse)
            is_ours = known["format"] == FORMAT
        except DAMAGED:
            is_ours = False
        if not is_ours:
            raise ValueError(f"{path} exists and holds no results of certify (its first line is no {FORMAT!r})")
        different = [name for name in {**known, **asked} if known.get(name) != asked.get(name)]
        if different:
            said = ", ".join(
                f"another {name}" if name in HASHED else
                f"{name} {shown(known.get(name))} (now {shown(asked.get(name))})"
                for name in different
            )  # fmt: skip
            raise ValueError(f"{path} holds results of another question: {said}; give another file for this one")

    def read(self, labels: Array, inputs: int, outputs: int) -> Iterator[Entry]:
        """The finished inputs that it had when it was opened; ValueError of a line that is damaged.

        Args:
            labels: (n,) of the inputs.
            inputs, outputs: numbers of the network's.
        """
        for number, text in enumerate(self.lines.read(), 1):
            if number > 1 and (entry := self._read(number, text, labels, inputs, outputs)) is not None:
                yield entry

    def _read(self, number: int, text: bytes, labels: Array, inputs: int, outputs: int) -> Entry | None:
        try:
            line = json.loads(text, parse_constant=_refuse)
            if "seconds" in line:
                if not 0.0 <= (seconds := _number(line["seconds"], math.inf)) < math.inf:
                    raise ValueError
                self.seconds = max(self.seconds, seconds)
                return None
            if "pair" in line:
                constant = _constant(line, outputs)
                self.constants[constant.pair], self._numbers[constant.pair] = constant, number
                return None
            return _entry(line, labels, inputs, outputs, self.radii)
        except DAMAGED:
            raise ValueError(f"line {number} of {self.lines.path} is damaged; remove it, and it is redone") from None

    def check(self, constant: Constant, certificate: Certificate) -> None:
        """Refuse a constant that was read and is below what its certificate states, with a ValueError."""
        if constant.bound < certificate.bound:
            raise ValueError(
                f"line {self._numbers[constant.pair]} of {self.lines.path} has the bound {constant.bound!r}, but its "
                f"certificate {constant.certificate!r} states {certificate.bound!r}; remove the line, and it is redone"
            )

    def add(self, results: Iterable[Entry | Constant]) -> None:
        """Write them; a file that cannot be written is worth a warning, and is tried again with the next ones."""
        if is_left():  # another run may be at that file by now
            return
        text = b"".join(_line(_json(result)) for result in results)
        if self.began is not None and time.time() >= self._due:
            text, self._due = text + self._used(), time.time() + KEPT
        if text and not self.lines.append(text) and self.lines.unwritten and not self._was_told:
            self._was_told = True
            LOG.warning(
                "results %r could not be written (%s); the run goes on, but what it finds is not saved there until "
                "it can be", str(self.lines.path), self.lines.unwritten,
            )  # fmt: skip

    @property
    def note(self) -> str:
        """What a report's message says of a file that has not everything; "" where it has."""
        reason = self.lines.unwritten
        return "" if reason is None else f"; results {str(self.lines.path)!r} could not be written ({reason})"

    def _used(self) -> bytes:
        """The line that says how many seconds have been used."""
        return _line({"seconds": round(self.seconds + time.time() - (self.began or 0.0), 2)})

    def close(self) -> None:
        """The file is free for others."""
        if self.began is not None and not is_left():
            self.lines.append(self._used())
            self.began = None
        self.lines.close()


class Folder:
    """Where certificates are kept, by name; made if it is missing.

    Raises:
        ValueError: it cannot be made, or is no folder.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = path_of(path)
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise ValueError(f"certificates cannot be kept in {self.path}: {(error.strerror or '').lower()}") from None
        if not os.access(self.path, os.W_OK):
            raise ValueError(f"certificates cannot be kept in {self.path}: permission denied")
        self._was_told = False

    def save(self, name: str, certificate: Certificate | None) -> str | None:
        """The name of its file, once it is there; None where it could not be written, which is said once."""
        if certificate is None or is_left():
            return None
        try:
            certificate.save(self.path / name)
        except (OSError, ValueError) as error:
            if not self._was_told:
                self._was_told = True
                reason = getattr(error, "strerror", None) or str(error)
                LOG.warning("certificate %r could not be written (%s)", str(self.path / name), reason)
            return None
        return name

    def load(self, constant: Constant, net: Network, norm: str | int) -> Certificate | None:
        """The certificate of a pair's global constant, proved again; None where there is none that proves it."""
        if constant.certificate is None:
            return None
        try:
            found = Certificate.load(self.path / Path(constant.certificate).name)
            proven = found.verify(
                net, quantity="lipschitz", output=constant.pair, norm=norm, center=None, radius=None
            )  # fmt: skip
        except (CertificateError, OSError):
            return None
        return found if proven <= found.bound * (1.0 + ROUNDING) else None


def pair_name(pair: Sequence[int]) -> str:
    """The file of a global constant's certificate."""
    return f"pair-{pair[0]}-{pair[1]}.cert.npz"


def input_name(index: int, label: int, rival: int) -> str:
    """The file of a certificate about an input's label against another one."""
    return f"input-{index}-{label}-{rival}.cert.npz"


def _json(result: Entry | Constant) -> dict[str, Any]:
    if isinstance(result, Entry):
        return asdict(result)
    return asdict(result) | {"status": result.status.name}


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(strict(value), allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _constant(line: Mapping[str, Any], outputs: int) -> Constant:
    """A line's constant of a pair; one of `DAMAGED` of what is none."""
    k, j = line["pair"]
    bound, status = _number(line["bound"], math.inf), Status[line["status"]]
    if not 0 <= _index(k, outputs) < _index(j, outputs) or not 0 <= bound < math.inf:
        raise ValueError
    return Constant((k, j), bound, status, _name(line["certificate"]))


def _entry(line: Mapping[str, Any], labels: Array, inputs: int, outputs: int, radii: int) -> Entry:
    """A line's finished input; one of `DAMAGED` of what is none."""
    index = _index(line["index"], len(labels))
    pairs = [
        Rival(_index(pair["rival"], outputs), _number(pair["margin"], -math.inf), _radius(pair["radius"]),
              _number(pair["bound"], math.inf), _text(pair["by"]), _name(pair["certificate"]))
        for pair in line["pairs"]
    ]  # fmt: skip
    point = line["adversarial"]
    if point is not None:
        point = [_number(value, math.nan) for value in point]
        if len(point) != inputs or not np.isfinite(point).all():
            raise ValueError
    certified = [_truth(known) for known in line["certified"]]
    if len(certified) != radii or _index(line["label"], outputs) != labels[index]:
        raise ValueError
    return Entry(
        index, line["label"], _truth(line["right"]), _radius(line["radius"]), certified, _radius(line["broken_at"]),
        point, pairs,
    )  # fmt: skip


def _index(value: Any, count: int) -> int:
    if type(value) is not int or not 0 <= value < count:
        raise ValueError
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _radius(value: Any) -> float:
    found = _number(value, math.inf)
    if found < 0:
        raise ValueError
    return found


def _number(value: Any, missing: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ValueError
    return missing if value is None else float(value)


def _name(value: Any) -> str | None:
    if not isinstance(value, str | None):
        raise ValueError
    return value
