"""The proof of a verdict about a property: a counterexample, or multipliers and bounds that leave none."""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from ..arithmetic.enclosure import check_arithmetic
from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate, held, of_content
from ..certificate.errors import CertificateError
from ..io.vnnlib import VnnlibProperty, parsed, read_vnnlib
from ..machine.files import strict, written
from ..network import Network
from ..problem import Problem
from ..text import cases_text, table, widths_text
from . import file
from .lines import Lines, least_of
from .point import known, nearest_floats
from .question import Area, Question, is_empty, question, target

BY_LINES = -1  # in place of a certificate's number


class Verdict(enum.StrEnum):
    """What is proved about a property's counterexamples."""

    VERIFIED = "verified"  # there is none
    VIOLATED = "violated"  # here is one
    UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False, repr=False)
class Proof:
    """A verdict and what proves it.

    Attributes:
        verdict: "verified" (the property's file asks for a counterexample, and there is none), "violated" (the witness
            is one), or "unknown".
        message: why, in a sentence.
        witness: (p_0,) float64, the counterexample (nearest, where an input is fixed at a decimal that float64 does
            not hold); None without one.
        exact: the same as p_0 rational numbers; it is they that are proved to be a counterexample.
        outputs: (K,) float64, about F(witness).
        certificates: those of largest values that the proof uses beside linear bounds, which need none.
        multipliers: one array for each case of the property, its inequalities' multipliers.
        proved_by: the number of a certificate for each case, or -1 for linear bounds.
        seconds: how long it took.
        text: the property's file.
        problem: what was asked: network hash, widths, the property's name, sizes, options, versions.
    """

    verdict: Verdict
    message: str
    witness: Array | None
    exact: tuple[Fraction, ...] | None
    outputs: Array | None
    certificates: tuple[Certificate, ...]
    multipliers: tuple[Array, ...]
    proved_by: tuple[int, ...]
    seconds: float
    text: str
    problem: Mapping[str, Any] = field(default_factory=dict)

    def verify(self, net: Network, property_path: str | os.PathLike[str] | None = None) -> Verdict:
        """Prove the verdict again, from the network's weights, the property's text and what this proof holds.

        Args:
            net: the network that it is about.
            property_path: a VNN-LIB file that must say what this proof's says, byte for byte once decompressed; None:
                the verdict is about the property that the proof holds (`text`).

        Returns:
            The verdict: "verified" or "violated", or "unknown", of which there is no proof.

        Raises:
            CertificateError: another network, another property, or a proof that proves nothing.
            ValueError, OSError: `property_path` cannot be read.
        """
        check_arithmetic()
        if not isinstance(net, Network):
            raise CertificateError(
                f"a proof is verified against a Network, not {type(net).__name__}; hr2jax.as_network(model) makes one"
            )
        if net.hash != _plain_text(self.problem.get("network_hash")):
            raise CertificateError("the proof belongs to another network: the hash of the weights differs")
        text = _plain_text(self.text)  # as all that follows: whatever Python object somebody has made, it is copied
        if text is None:
            raise CertificateError("the proof does not hold its property's text")
        if property_path is not None and read_vnnlib(property_path).text != text:
            raise CertificateError("the proof is of another property than the one given")
        try:
            verdict = Verdict(self.verdict)
            if verdict is Verdict.UNKNOWN:
                return verdict
            asked = question(net, parsed(text))
            if verdict is Verdict.VIOLATED:
                prove_witness(asked.net, asked.prop, self.exact)
            else:
                self._prove_none(asked)
        except CertificateError:
            raise
        except file.WRONG as error:
            raise CertificateError(f"the proof does not fit its property: {error}") from error
        return verdict

    def _prove_none(self, asked: Question) -> None:
        multipliers = [np.array(own, dtype=np.float64) for own in self.multipliers]
        proved_by = np.array([*self.proved_by], dtype=np.int64).tolist()
        certificates = tuple(self.certificates)
        if not len(multipliers) == len(proved_by) == asked.count:
            raise CertificateError(f"the proof has {len(multipliers)} cases, but its property has {asked.count}")
        bounds: dict[int, tuple[Problem, float]] = {}
        start = 0
        for area in asked.areas:
            end = start + len(area.cases)
            _prove_area(asked, area, multipliers[start:end], proved_by[start:end], certificates, bounds)
            start = end

    @property
    def counterexample(self) -> str:
        """What VNN-COMP asks for as an answer: sat and the counterexample, unsat, or unknown."""
        if self.witness is None or self.outputs is None:
            return "unsat\n" if self.verdict is Verdict.VERIFIED else "unknown\n"
        pairs = [f"(X_{i} {v!r})" for i, v in enumerate(self.witness.tolist())]
        pairs += [f"(Y_{i} {v!r})" for i, v in enumerate(self.outputs.tolist())]
        inner = "\n".join(pairs)
        return f"sat\n({inner})\n"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the proof to `path` (a NumPy .npz archive, docs/prove.md), all or nothing."""
        file.write(path, file.entries(self))

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Proof:
        """Read a proof; it is data only, and what it claims is proved by `verify` alone.

        Raises:
            CertificateError: the file is not a whole, unaltered proof.
            FileNotFoundError: there is no such file.
        """
        found = file.read(path)
        exact, outputs = found.pop("exact"), found.pop("outputs")
        witness = None if exact is None else nearest_floats(exact)
        return Proof(
            verdict=Verdict(found.pop("verdict")), exact=exact, witness=witness, outputs=outputs,
            certificates=tuple(map(of_content, found.pop("certificates"))), **found,
        )  # fmt: skip

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Strict JSON of all but the certificates and the property's text; written to `path`, if one is given."""
        exact = None if self.exact is None else [str(value) for value in self.exact]
        plain = {
            "verdict": str(self.verdict), "message": self.message, "witness": self.witness, "exact": exact,
            "outputs": self.outputs, "seconds": self.seconds, "problem": self.problem,
            "cases": [
                {"multipliers": own, "proved_by": "lines" if by == BY_LINES else self.certificates[by].relaxation}
                for own, by in zip(self.multipliers, self.proved_by, strict=True)
            ],
        }  # fmt: skip
        return written(json.dumps(strict(plain), allow_nan=False, indent=1), path)

    def __str__(self) -> str:
        problem = self.problem
        rows = [
            ("verdict", f"{self.verdict}: {self.message}"),
            ("property", f"{problem.get('property', '')}: {cases_text(problem)}"),
            ("network", widths_text(problem["widths"]) if "widths" in problem else "?"),
        ]  # fmt: skip
        if self.verdict is Verdict.VERIFIED:
            lines = sum(by == BY_LINES for by in self.proved_by)
            names = [self.certificates[by].relaxation for by in self.proved_by if by != BY_LINES]
            parts = [f"{lines} by linear bounds"] * bool(lines)
            parts += [f"{names.count(name)} by {name}" for name in sorted(set(names))]
            rows.append(("cases", ", ".join(parts) or "none is left to be proved"))
        if self.witness is not None and self.outputs is not None:
            rows += [("witness x", _few(self.witness)), ("F(x)", _few(self.outputs))]
        rows.append(("seconds", f"{self.seconds:.1f}"))
        return table(rows)

    def __repr__(self) -> str:
        return f"Proof({self.verdict}, {self.problem.get('property', '')!r}, {self.seconds:.1f} s)"


def prove_witness(net: Network, prop: VnnlibProperty, x: Sequence[Fraction] | None) -> None:
    """Prove that x is a counterexample.

    Raises:
        CertificateError: it is none, or that is not proved.
    """
    point = None if x is None else [*map(_plain_rational, x)]
    if point is None or len(point) != prop.inputs:
        raise CertificateError("the proof's witness is no input of the network")
    if (answer := known(net, prop.formula, point)) is not True:
        raise CertificateError(
            f"the proof's witness is {'no' if answer is False else 'not proved to be a'} counterexample"
        )


def _plain_text(value: Any) -> str | None:
    """A text without what a subclass makes of its comparisons; None of anything else."""
    return str.__str__(value) if isinstance(value, str) else None


def _plain_rational(value: Any) -> Fraction:
    found = Fraction(value)
    return Fraction(int.__index__(found.numerator), int.__index__(found.denominator))


def _prove_area(
    asked: Question, area: Area, multipliers: Sequence[Array], proved_by: Sequence[int],
    certificates: Sequence[Certificate], bounds: dict[int, tuple[Problem, float]],
) -> None:  # fmt: skip
    """Prove that none of the cases of an area is met.

    Raises:
        CertificateError: of one it is not proved.
    """
    if area.is_point and known(asked.net, asked.prop.formula, area.region.low) is False:
        return
    lines: Lines | None = None
    for conditions, own in zip(area.cases, multipliers, strict=True):
        if own.shape != (len(conditions.rows),) or not (np.isfinite(own).all() and (own >= 0).all()):
            raise CertificateError("the proof's multipliers are not one number of at least 0 for each inequality")
    by_lines = [i for i, by in enumerate(proved_by) if by == BY_LINES]
    width = asked.wide.widths[-1]
    least: dict[int, tuple[Array, float]] = {}
    if by_lines:
        lines = Lines(asked.wide, area.domain)
        targets = [target(area.cases[i], multipliers[i].tolist(), width) for i in by_lines]
        least = dict(zip(by_lines, zip(targets, least_of(lines, targets).tolist(), strict=True), strict=True))
    for i, by in enumerate(proved_by):
        if by != BY_LINES:
            if not 0 <= by < len(certificates):
                raise CertificateError(f"the proof has no certificate {by}")
            least[i] = _certified(asked, area, by, certificates[by], bounds)
        along, value = least[i]
        reach = None
        if not is_empty(area.cases[i], multipliers[i].tolist(), along, value, None):
            lines = lines or Lines(asked.wide, area.domain)
            reach = lines.reach
        if not is_empty(area.cases[i], multipliers[i].tolist(), along, value, reach):
            raise CertificateError("a case of the property is not proved to be empty")


def _certified(
    asked: Question, area: Area, by: int, certificate: Certificate, bounds: dict[int, tuple[Problem, float]]
) -> tuple[Array, float]:
    """(c, v) with c . G >= v on the area, as a certificate of the largest value of -c . G proves."""
    if not isinstance(certificate, Certificate):
        raise CertificateError(f"a certificate of the proof is a {type(certificate).__name__}")
    whole = None if by in bounds else of_content(held(Certificate.entries(certificate)))
    claim = bounds[by][0] if whole is None else whole.lipschitz_problem
    if claim.domain.kind != "box" or claim.domain.width != asked.net.widths[0] or not area.is_within(claim.domain):  # type: ignore[arg-type]
        raise CertificateError("a certificate of the proof is of another box")
    if whole is not None:
        coefficients, box = claim.coefficients, claim.domain  # what is proved is about these
        bounds[by] = claim, whole.verify(asked.wide, quantity="maximum", output=coefficients, domain=box)
    return -claim.coefficients, -bounds[by][1]


def _few(values: Array) -> str:
    return np.array2string(values, threshold=8, edgeitems=4, max_line_width=10**6)
