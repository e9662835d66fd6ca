"""A proof's file: its entries, and the reading of them (docs/prove.md)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arithmetic.float64 import Array
from ..certificate import archive
from ..certificate.errors import CertificateError, reason
from ..certificate.file import content, write
from ..machine.files import strict
from ..text import shown

if TYPE_CHECKING:
    from .proof import Proof

__all__ = ["FORMAT", "WRONG", "entries", "is_proof", "read", "write"]

FORMAT = "hr2jax proof 1"
KEYS = ("format", "verdict", "message", "seconds", "problem", "exact")
VERDICTS = ("verified", "violated", "unknown")
# What entries of the wrong type, shape or range make NumPy and Python raise.
WRONG = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, RecursionError)
_LONGEST = 20_000  # characters of a rational number
_RATIONAL = re.compile("-?[0-9]+(/[1-9][0-9]*)?")


def entries(proof: Proof) -> dict[str, Array]:
    """The file's entries, but for the digest."""
    claim = {
        "format": FORMAT,
        "verdict": str(proof.verdict),
        "message": proof.message,
        "seconds": float(proof.seconds),
        "problem": strict(proof.problem),
        "exact": None if proof.exact is None else [str(value) for value in proof.exact],
    }
    none = np.zeros(0)
    out: dict[str, Array] = {
        "claim": np.array(json.dumps(claim, allow_nan=False)),
        "property": np.frombuffer(proof.text.encode(), dtype=np.uint8),
        "outputs": none if proof.outputs is None else proof.outputs,
        "multipliers": np.concatenate([none, *proof.multipliers]),
        "inequalities": np.array([len(own) for own in proof.multipliers], dtype=np.int64),
        "proved_by": np.array(proof.proved_by, dtype=np.int64),
    }
    for i, certificate in enumerate(proof.certificates):
        out |= {f"certificate/{i}/{name}": values for name, values in certificate.entries().items()}
    return out


def is_proof(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a proof, rather than a certificate or nothing of ours.

    Raises:
        OSError: it is missing or may not be read.
    """
    try:
        return bool(_claim(archive.read(path))["format"] == FORMAT)
    except OSError:
        raise
    except Exception:  # whatever a damaged archive makes a reader raise
        return False


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of a `Proof`, every type checked; certificates as `certificate.file.Content`.

    Raises:
        CertificateError: the file is not a whole, unaltered proof.
        FileNotFoundError: there is no such file.
    """
    try:
        return _fields(archive.read(path))
    except (FileNotFoundError, CertificateError):
        raise
    except Exception as error:  # whatever a damaged archive makes a reader raise
        raise CertificateError(f"{path!s} is not a whole proof: {reason(error)}") from error


def _claim(arrays: Mapping[str, Array]) -> dict[str, Any]:
    head = json.loads(str(arrays["claim"]))
    if not isinstance(head, dict):
        raise CertificateError("the proof's claim is no JSON object")
    return head


def _fields(arrays: Mapping[str, Array]) -> dict[str, Any]:
    rest = dict(arrays)
    head = _claim(rest)
    del rest["claim"]
    if head.get("format") != FORMAT:
        raise CertificateError(f"the proof's format is {shown(head.get('format'))}; {FORMAT!r} is expected")
    if set(head) != set(KEYS):
        raise CertificateError(f"the proof's claim must have the entries {', '.join(KEYS)} and no others")
    if head["verdict"] not in VERDICTS or not isinstance(head["message"], str):
        raise CertificateError(f"the proof's verdict is {shown(head['verdict'])}")
    if not isinstance(head["problem"], dict) or not isinstance(head["seconds"], int | float):
        raise CertificateError("the proof's claim does not say what was asked")
    text = _typed(rest.pop("property"), np.uint8, "property").tobytes().decode()
    outputs = _typed(rest.pop("outputs"), np.float64, "outputs")
    exact = None if head["exact"] is None else tuple(map(_rational, head["exact"]))
    counts = _typed(rest.pop("inequalities"), np.int64, "inequalities")
    flat = _typed(rest.pop("multipliers"), np.float64, "multipliers")
    if (counts < 0).any() or counts.sum() != len(flat):
        raise CertificateError("the proof's multipliers are not as many as its inequalities")
    proved_by = _typed(rest.pop("proved_by"), np.int64, "proved_by")
    certificates = _certificates(rest)
    if len(proved_by) != len(counts):
        raise CertificateError(f"the proof says of {len(proved_by)} cases how they are proved, and has {len(counts)}")
    if ((proved_by < -1) | (proved_by >= len(certificates))).any():
        raise CertificateError("the proof has no certificate of one of its cases")
    return {
        "verdict": head["verdict"],
        "message": head["message"],
        "exact": exact,
        "outputs": outputs if len(outputs) else None,
        "certificates": certificates,
        "multipliers": tuple(np.split(flat, np.cumsum(counts)[:-1])) if len(counts) else (),
        "proved_by": tuple(proved_by.tolist()),
        "seconds": float(head["seconds"]),
        "text": text,
        "problem": head["problem"],
    }


def _certificates(rest: Mapping[str, Array]) -> list[Any]:
    """Certificates 0, 1, ...; nothing else may be left."""
    parts: dict[int, dict[str, Array]] = {}
    for name, values in rest.items():
        found = re.fullmatch(r"certificate/(0|[1-9][0-9]{0,8})/(.+)", name)
        if found is None:
            raise CertificateError(f"the proof has an unknown entry {name!r}")
        parts.setdefault(int(found[1]), {})[found[2]] = values
    if sorted(parts) != list(range(len(parts))):
        raise CertificateError("the proof's certificates are not numbered one after another")
    return [content(parts[i]) for i in range(len(parts))]


def _typed(values: Array, kind: Any, name: str) -> Array:
    if values.dtype != kind or values.ndim != 1:
        raise CertificateError(f"{name} must be a vector of {np.dtype(kind).name}")
    return values


def _rational(text: Any) -> Fraction:
    if not isinstance(text, str) or len(text) > _LONGEST or not _RATIONAL.fullmatch(text):
        raise CertificateError(f"{shown(text)} is no rational number")
    return Fraction(text)
