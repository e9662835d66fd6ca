"""The certificate: a claim, and the multipliers that prove it. Imports no engine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..arithmetic.enclosure import check_arithmetic
from ..arithmetic.float64 import Array
from ..arithmetic.norms import in_haste
from ..bounds.cases import TREE
from ..network import Network
from ..problem import Problem
from ..relaxation.layout import Layout
from ..relaxation.presolve import Presolve
from . import archive, file
from .claim import UNASKED, Asked
from .errors import CertificateError, reason
from .names import diagonal_of, named, named_diagonal, numbered
from .prover import Prover, arithmetic_of, lifting_of, prover_of

__all__ = ["Certificate", "CertificateError", "certify_multipliers", "whole_of"]

# What entries of the wrong type, shape or range make NumPy and Python raise.
WRONG = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Certificate(file.Content):
    """A claim and its multipliers, which `verify` proves.

    Attributes:
        bound: the proved upper bound, in the units of f per unit of the input norm.
        lipschitz_problem: what is bounded.
        relaxation: the relaxation that the multipliers came from (descriptive: every family is valid).
        network_hash: `Network.hash` of the network it is about.
        layout: the neurons and inputs that have variables, their bounds and scales.
        multipliers: by name, "u.z/1" or "triangles/corners": arrays as in docs/certificate.md. Those of families and
            cuts are >= 0 (negative ones count as 0, but for equalities).
        diagonal: group -> float64 array, d; None proves with the sum of |M| alone.
        lifting: "forward", "adjoint", "values", "separate", ... (`presolve.LIFTINGS`); "parts" of those.
        slopes: what proves the pre-activation bounds beside intervals; None: nothing.
        parts: where f has several values and each is a problem of its own, the certificates of all of them, in order;
            of norm 1 each of them in turn those of its columns, each of one column or of several.
    """

    @property
    def problem(self) -> dict[str, Any]:
        """The claim in full: quantity, output, norms, domain, relaxation, weights hash."""
        claim = self.lipschitz_problem
        return {
            "quantity": claim.quantity,
            "output": claim.coefficients.tolist(),
            "norm": claim.norm,
            "output_norm": claim.output_norm if claim.is_vector else None,
            **({} if claim.directions is None else {"directions": claim.directions.tolist()}),
            **claim.domain.description(),
            "relaxation": self.relaxation,
            "network_hash": self.network_hash,
        }

    def verify(
        self,
        net: Network,
        *,
        quantity: Any = UNASKED,
        output: Any = UNASKED,
        norm: Any = UNASKED,
        output_norm: Any = UNASKED,
        center: Any = UNASKED,
        radius: Any = UNASKED,
        domain: Any = UNASKED,
        arithmetic: str = "float",
    ) -> float:
        """Prove the bound again from the network's weights and the multipliers alone.

        Args:
            net: the network the certificate is about.
            quantity, output, norm, output_norm, center, radius, domain: what is given, as in `solve`, must equal the
                claim's, the domain as a set. None is given, too: as `center`, `radius` or `domain` it demands the
                global claim, as `output` F itself, all outputs.
            arithmetic: "float" (float64 with enclosures) or "ball" (arbitrary precision, python-flint; slow).

        Returns:
            The upper bound proved here, rounded up; it need not equal `bound` to the last bit.

        Raises:
            CertificateError: another network, another claim, or multipliers that are not finite or do not
                fit the problem.
            ImportError: arithmetic="ball" without python-flint.
        """
        numbers = arithmetic_of(arithmetic)
        check_arithmetic()
        if not isinstance(net, Network):
            raise CertificateError(
                f"a certificate is verified against a Network, not {type(net).__name__}; "
                "hr2jax.as_network(model) makes one"
            )
        if net.hash != self.network_hash:
            raise CertificateError("the certificate belongs to another network: the hash of the weights differs")
        try:
            whole = held(self.entries())
        except CertificateError:
            raise
        except WRONG as error:
            raise CertificateError(f"this is not a whole certificate: {reason(error)}") from error
        Asked(quantity, output, norm, output_norm, center, radius, domain).check(whole.lipschitz_problem, net)
        try:
            with in_haste(None):  # what somebody has stated in haste, whoever has time proves, too
                bound = proved(net, whole, numbers)
        except WRONG as error:
            raise CertificateError(f"the certificate's multipliers do not fit its problem: {reason(error)}") from error
        if not np.isfinite(bound):
            raise CertificateError("the certificate's multipliers overflow or are not finite, so they prove nothing")
        return bound

    def with_bound(self, bound: float) -> Certificate:
        """The same certificate, stating `bound` (which `verify` has just proved)."""
        return replace(self, bound=bound)

    def entries(self) -> dict[str, Array]:
        """The entries of its file, but for the digest."""
        return file.entries(self)

    @property
    def digest(self) -> str:
        """SHA-256 over the entries, as its file states it (docs/certificate.md)."""
        return file.digest(self.entries())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate to `path` (a NumPy .npz archive, docs/certificate.md), all or nothing."""
        file.write(path, self.entries())

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Certificate:
        """Read a certificate; it is data only, and what it claims is proved by `verify` alone.

        Raises:
            CertificateError: the file is not a whole, unaltered certificate, or one of an earlier hr2jax.
            FileNotFoundError: there is no such file.
        """
        try:
            content = file.content(archive.read(path))
            return of_content(content)
        except (FileNotFoundError, CertificateError):
            raise
        except Exception as error:  # whatever a damaged archive makes a reader raise
            raise CertificateError(f"{path!s} is not a whole certificate: {reason(error)}") from error


def of_content(content: file.Content) -> Certificate:
    """The certificate that a file holds."""
    found = {f.name: getattr(content, f.name) for f in fields(content)}
    return Certificate(**found | {"parts": tuple(map(of_content, content.parts))})


def held(entries: Mapping[str, Array]) -> file.Content:
    """What a file of these entries would hold: that is proved, whatever Python object somebody has made.

    Raises:
        CertificateError, or one of `WRONG`: as `file.content`.
    """
    return file.content({name: np.array(values) for name, values in entries.items()})


def proved(net: Network, content: file.Content, arithmetic: Any) -> float:
    """The upper bound that a file's content proves for this network, or infinity.

    Raises:
        ValueError, KeyError: what does not fit.
    """
    if content.parts:
        file.check_columns(
            content.lipschitz_problem, [part.lipschitz_problem for part in content.parts], net.widths[0]
        )
        return max(proved(net, part, arithmetic) for part in content.parts)
    prover = Prover(
        net, content.lipschitz_problem, content.layout, arithmetic, lifting=content.lifting, slopes=content.slopes
    )
    if content.diagonal is None and (not content.multipliers or TREE in content.multipliers):
        return prover.bound(content.multipliers, None, content.relaxation)
    with np.errstate(all="ignore"):
        lifting = prover.lifted
        multipliers = numbered(lifting, content.multipliers, net.widths)
        diagonal = None if content.diagonal is None else diagonal_of(lifting, content.diagonal)
    return prover.bound(multipliers, diagonal, content.relaxation)


def whole_of(problem: Problem, parts: Sequence[Certificate], relaxation: str) -> Certificate:
    """The certificate of several values or columns, bounded by `parts`: the largest of their bounds."""
    first = parts[0]
    return Certificate(
        max(part.bound for part in parts), problem, relaxation, first.network_hash, Layout(unstable=()), {}, None,
        first.versions, file.PARTS, None, tuple(parts),
    )  # fmt: skip


def certify_multipliers(
    net: Network,
    problem: Problem,
    relaxation: str,
    fixed: Presolve,
    multipliers: Mapping[str, Array],
    diagonal: Array | None = None,
    versions: Mapping[str, str] | None = None,
    prover: Prover | None = None,
) -> Certificate:
    """A certificate of whatever bound the multipliers prove (any multipliers prove one; its bound may be infinite).

    Args:
        net, problem, fixed: the problem and its presolve.
        relaxation: where the multipliers came from.
        multipliers, diagonal: as engines have them, in the order of the problem's lifting.
        versions: of packages.
        prover: that of this network, problem and presolve (`prover_of`), where there are more to come.
    """
    prover = prover or prover_of(net, problem, fixed)
    bound = prover.bound(multipliers, diagonal, relaxation)
    layout = fixed.layout()
    if diagonal is None and (not multipliers or TREE in multipliers):
        return Certificate(
            bound, problem, relaxation, net.hash, layout, dict(multipliers), None, versions or {},
            lifting_of(problem, fixed), fixed.slopes,
        )  # fmt: skip
    lifting = prover.lifted
    return Certificate(
        bound, problem, relaxation, net.hash, replace(layout, unit=lifting.exponent),
        named(lifting, multipliers, net.widths[0]), None if diagonal is None else named_diagonal(lifting, diagonal),
        versions or {}, lifting_of(problem, fixed), fixed.slopes,
    )  # fmt: skip
