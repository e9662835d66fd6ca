"""Whether a certificate's claim is the one that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arithmetic.float64 import Array, exact_float64
from ..arithmetic.norms import parse_norm
from ..domain import Ball, Domain, parse_radius
from ..network import Network
from ..problem import QUANTITIES, Problem, output_coefficients
from ..text import output_text, shown
from .errors import CertificateError


class _Unasked:
    """The default of `verify`'s arguments: whatever the claim says."""

    def __repr__(self) -> str:
        return "..."


UNASKED: Any = _Unasked()


@dataclass(frozen=True)
class Asked:
    """What `Certificate.verify` was given; UNASKED: anything will do.

    Attributes:
        quantity: "lipschitz" or "maximum".
        output: as in `solve`; None: F itself, all outputs.
        norm: as in `solve`.
        output_norm: as in `solve`; None: the claim's norm; of one output it makes no difference.
        center, radius: as in `solve`; None, either: the global claim.
        domain: the same set in other words will do; None: the global claim.
    """

    quantity: Any = UNASKED
    output: Any = UNASKED
    norm: Any = UNASKED
    output_norm: Any = UNASKED
    center: Any = UNASKED
    radius: Any = UNASKED
    domain: Any = UNASKED

    def check(self, claim: Problem, net: Network) -> None:
        """Refuse another claim.

        Raises:
            CertificateError: the claim is not the one asked for.
            ValueError: what was given is none of a problem's.
        """
        self._check_quantity(claim)
        if self.norm is not UNASKED and parse_norm(self.norm) != claim.norm:
            raise CertificateError(f"the certificate is for norm {claim.norm}, but {self.norm} was asked for")
        if self.norm is not UNASKED and claim.directions is not None:
            raise CertificateError(
                f"the certificate is for differences of inputs {shown(claim.directions.tolist())} alone, a part of "
                f"what norm {claim.norm} is"
            )
        if self.output_norm is not UNASKED:
            asked = claim.norm if self.output_norm is None else parse_norm(self.output_norm, name="output_norm")
            if claim.is_vector and asked != claim.output_norm:
                raise CertificateError(
                    f"the certificate is for output_norm {claim.output_norm}, but {asked} was asked for"
                )
        self._check_output(claim, net)
        self._check_domain(claim, net)

    def _check_quantity(self, claim: Problem) -> None:
        if self.quantity is UNASKED:
            return
        if not isinstance(self.quantity, str) or self.quantity not in QUANTITIES:
            raise ValueError(f'quantity must be "lipschitz" or "maximum", but {shown(self.quantity)} was given')
        if self.quantity != claim.quantity:
            words = {"lipschitz": "a Lipschitz constant", "maximum": "the largest value"}
            raise CertificateError(
                f"the certificate is for {words[claim.quantity]}, but {words[self.quantity]} was asked for"
            )

    def _check_output(self, claim: Problem, net: Network) -> None:
        if self.output is UNASKED:
            return
        outputs, claimed = net.widths[-1], output_text(claim.coefficients.tolist())
        if self.output is None and outputs != 1 and not claim.is_vector:
            raise CertificateError(f"the certificate is for output {claimed} of {outputs}, but F itself was asked for")
        if not np.array_equal(output_coefficients(self.output, outputs), claim.coefficients):
            raise CertificateError(f"the certificate is for output {claimed}, but {shown(self.output)} was asked for")

    def _check_domain(self, claim: Problem, net: Network) -> None:
        where = claim.domain
        for name, given in (("center", self.center), ("radius", self.radius), ("domain", self.domain)):
            if given is None and where.is_bounded:
                raise CertificateError(
                    "the certificate is for a local constant, but the global one was asked for "
                    f"({name}=None, or --global)"
                )
        if self.domain is not UNASKED and self.domain is not None:
            if not isinstance(self.domain, Domain):
                raise ValueError(f"domain must be a hr2jax.Box or a hr2jax.Ball, but {shown(self.domain)} was given")
            if self.domain != where:
                raise CertificateError(
                    f"the certificate is for another domain than was asked for: {shown(where)}, "
                    f"not {shown(self.domain)}"
                )
        for name, given in (("center", self.center), ("radius", self.radius)):
            if given is not UNASKED and given is not None:
                _check_ball(name, given, claim, net.widths[0])


def _check_ball(name: str, given: Any, claim: Problem, width: int) -> None:
    """Refuse a claim about another ball of its norm than the one whose `name`, center or radius, was given."""
    where = claim.domain
    if name == "center" and np.shape(given) not in ((), (width,)):
        raise ValueError(f"center must have shape ({width},), but its shape is {np.shape(given)}")
    if not where.is_bounded:
        raise CertificateError(f"a {name} was given, but the certificate is for the global constant")
    if not (isinstance(where, Ball) and where.norm == claim.norm):
        raise CertificateError(f"a {name} was given, but the certificate is for the domain {where.kind}")
    claimed = where.arrays()[name]
    value = parse_radius(given, width, claim.norm) if name == "radius" else exact_float64(given, name, 1)
    if value.shape != claimed.shape or not np.array_equal(value, claimed):
        raise CertificateError(f"the certificate is for another {name} than was asked for: {_first(claimed, value)}")


def _first(claimed: Array, asked: Array) -> str:
    """The first entry where two centers or radii differ, and both its values."""
    if claimed.shape != asked.shape:
        return f"{claimed.size} entries, not {asked.size}"
    i = int(np.flatnonzero(claimed != asked)[0])
    return f"entry {i} is {float(claimed.flat[i])!r}, not {float(asked.flat[i])!r}"
