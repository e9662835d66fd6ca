"""The checkpoint of a solve: a certificate's file that always holds the best bound so far."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

from ..certificate.certificate import Certificate, CertificateError
from ..machine.stopping import is_left
from ..network import Network
from ..options import Options
from ..problem import Problem
from ..progress import LOG

# Among the versions that a checkpoint's certificate names: the seconds that solving it has taken, in all runs.
USED = "seconds"
# The file is written again, for these, after so many.
KEPT = 30.0


def seconds_used(certificate: Certificate | None) -> float:
    """The seconds that a checkpoint says; 0 where it says none."""
    try:
        seconds = float("0" if certificate is None else certificate.versions.get(USED, "0"))
    except ValueError:
        return 0.0
    return seconds if 0.0 <= seconds < math.inf else 0.0


class Checkpoint:
    """The file at `path`; None: there is none, and nothing is done.

    Attributes:
        began: time.perf_counter() when the call did.
        used: the seconds that calls before it took.
        unsaved: why it does not have the best certificate; None where it has.
    """

    def __init__(self, path: Path | None, net: Network, began: float):
        self.path, self.net, self.began = path, net, began
        self.used, self._due = 0.0, began + KEPT
        self.unsaved: str | None = None
        # what the file was when it was read or written last
        self._written = None if path is None else _signature(path)

    def save(self, certificate: Certificate) -> None:
        """Save the best certificate; a file that cannot be written is worth a warning, not the result."""
        if self.path is None or is_left():  # another solve may be at that file by now
            return
        try:
            if self._is_better_on_disk(self.path, certificate):
                return
            used = self.used + time.perf_counter() - self.began
            replace(certificate, versions={**certificate.versions, USED: f"{used:.2f}"}).save(self.path)
            self._due = time.perf_counter() + KEPT
            self._written, self.unsaved = _signature(self.path), None
        except (OSError, ValueError) as error:  # ValueError: a folder of that name has appeared
            was_told, self.unsaved = self.unsaved, str(getattr(error, "strerror", None) or error)
            if was_told is None:  # once; but each better certificate tries again
                LOG.warning(
                    "checkpoint %r could not be written (%s); the solve goes on, but what it finds is not saved there "
                    "until it can be", str(self.path), self.unsaved,
                )  # fmt: skip

    def keep(self, certificate: Certificate, is_last: bool = False) -> None:
        """Save it again, for the time that has been used since, now and then and at the end."""
        if is_last or self.is_due:
            self.save(certificate)

    @property
    def is_due(self) -> bool:
        """Whether it is time to."""
        return self.path is not None and time.perf_counter() >= self._due

    @property
    def note(self) -> str:
        """What a result's message says of a file that could not be written and still has not the best certificate."""
        return "" if self.unsaved is None else f"; checkpoint {str(self.path)!r} could not be written ({self.unsaved})"

    def _is_better_on_disk(self, path: Path, certificate: Certificate) -> bool:
        """Whether somebody else has left a certificate of this problem there that proves at least as good a bound."""
        if _signature(path) in (None, self._written):
            return False
        try:
            found = Certificate.load(path)
            is_same = found.lipschitz_problem == certificate.lipschitz_problem
            return is_same and found.verify(self.net) <= certificate.bound
        except CertificateError:
            return False


def _signature(path: Path) -> tuple[int, ...] | None:
    """What tells a file from one that has taken its place; None without a file."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def load_checkpoint(net: Network, problem: Problem, options: Options) -> Certificate | None:
    """The certificate to go on from, stating what it proves; None where there is no file yet.

    Raises:
        ValueError: a file that proves nothing, or is of another problem.
    """
    path = options.checkpoint
    if path is None or not path.exists():
        return None
    try:
        certificate = Certificate.load(path)
        bound = certificate.verify(net)
    except CertificateError as error:
        raise ValueError(f"checkpoint {str(path)!r} exists but cannot be resumed from: {error}") from None
    # a certificate names the step that it came from
    if certificate.lipschitz_problem != problem or certificate.relaxation not in options.record.steps:
        raise ValueError(f"checkpoint {str(path)!r} exists but is of another problem; give another path or remove it")
    return certificate.with_bound(bound)
