"""The certificate: a claim, and the multipliers that prove it. Imports no engine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arithmetic.enclosure import check_arithmetic
from ..arithmetic.float64 import Array, exact_float64
from ..arithmetic.norms import parse_norm
from ..domain import Ball, domain_from, parse_radius
from ..machine.files import replaced
from ..network import Network
from ..problem import QUANTITIES, Output, Problem, output_coefficients
from ..relaxation.presolve import LIFTINGS, Layout, Presolve, reached
from ..text import shown
from .prover import Prover, arithmetic_of, lifting_of, prove, prover_of

FORMAT = "hr2jax certificate 2"
# What a relaxation may be called: people are shown it, so that it may hold no line of a report, nor move a cursor.
NAME = re.compile(r"(?!.*  )[A-Za-z0-9+._ -]{0,60}")
# What entries of the wrong type, shape or range make NumPy and Python raise.
WRONG = (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, RecursionError)
# A certificate takes at most so many bytes: that of (3072, 10000) with every product of x and t has a quarter of it.
MOST_BYTES = 2**32


class CertificateError(ValueError):
    """The certificate is not whole, belongs to another network, or claims something else."""

@dataclass(frozen=True)
class Certificate:
    """A claim and its multipliers.

    Attributes:
        bound: the proved upper bound, in the units of f per unit of the input norm.
        lipschitz_problem: what is bounded.
        relaxation: the relaxation that the multipliers came from (descriptive: every family is valid).
        network_hash: `Network.hash` of the network it is about.
        layout: the neurons that have variables, and scales.
        lifting: "forward", "adjoint" or "both" (`presolve.LIFTINGS`).
        slopes: what proves the pre-activation bounds beside intervals; None: nothing.
        multipliers: family name -> float64 array >= 0 (negative entries count as 0, but for equalities).
        diagonal: (N,) float64, d; None proves with the sum of |M| alone.
    """

    bound: float
    lipschitz_problem: Problem
    relaxation: str
    network_hash: str
    layout: Layout
    multipliers: Mapping[str, Array]
    diagonal: Array | None
    versions: Mapping[str, str] = field(default_factory=dict)
    lifting: str = "forward"
    slopes: Mapping[tuple[int, int], Array] | None = None

    @property
    def problem(self) -> dict[str, Any]:
        """The claim in full: quantity, output, norms, domain, relaxation, weights hash."""
        claim = self.lipschitz_problem
        return {
            "quantity": claim.quantity,
            "output": claim.coefficients.tolist(),
            "norm": claim.norm,
            **claim.domain.description(),
            "relaxation": self.relaxation,
            "network_hash": self.network_hash,
        }

    def verify(
        self,
        net: Network,
        *,
        output: Output = None,
        norm: Any = None,
        center: ArrayLike | None = None,
        radius: Any = None,
        domain: Any = None,
        arithmetic: str = "float",
    ) -> float:
        """Prove the bound again from the network's weights and the multipliers alone.

        Args:
            net: the network the certificate is about.
            output, norm, center, radius, domain: if given, must equal the claim's; the domain as a set.
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
            raise CertificateError(f"a certificate is verified against a Network, not {type(net).__name__}")
        if net.hash != self.network_hash:
            raise CertificateError("the certificate belongs to another network: the hash of the weights differs")
        try:
            # whatever Python object somebody has made: what is proved is what a file of it would hold
            whole = _from_arrays({name: np.array(values) for name, values in self._arrays().items()})
        except CertificateError:
            raise
        except WRONG as error:
            raise CertificateError(f"this is not a whole certificate: {_reason(error)}") from error
        whole._check_claim(net, output, norm, center, radius, domain)
        try:
            bound = prove(
                net, whole.lipschitz_problem, whole.layout, whole.multipliers, whole.diagonal, numbers,
                relaxation=whole.relaxation, lifting=whole.lifting, slopes=whole.slopes,
            )  # fmt: skip
        except WRONG as error:
            raise CertificateError(f"the certificate's multipliers do not fit its problem: {_reason(error)}") from error
        if not np.isfinite(bound):
            raise CertificateError("the certificate's multipliers overflow or are not finite, so they prove nothing")
        return bound

    def with_bound(self, bound: float) -> Certificate:
        """The same certificate, stating `bound` (which `verify` has just proved)."""
        return replace(self, bound=bound)

    def _check_claim(self, net: Network, output: Output, norm: Any, center: Any, radius: Any, domain: Any) -> None:
        claim = self.lipschitz_problem
        if norm is not None and parse_norm(norm) != claim.norm:
            raise CertificateError(f"the certificate is for norm {claim.norm}, not {norm!r}")
        if output is not None and not np.array_equal(output_coefficients(output, net.widths[-1]), claim.coefficients):
            raise CertificateError(f"the certificate is for another output than {output!r}")
        if domain is not None and domain != claim.domain:
            raise CertificateError(f"the certificate is for another domain than {shown(domain)}")
        for name, given in (("center", center), ("radius", radius)):
            if given is None:
                continue
            if name == "center" and np.shape(given) not in ((), (net.widths[0],)):
                raise ValueError(f"center must have shape ({net.widths[0]},), but its shape is {np.shape(given)}")
            if not claim.domain.is_bounded:
                raise CertificateError(f"a {name} was given, but the certificate is for the global constant")
            if not (isinstance(claim.domain, Ball) and claim.domain.norm == claim.norm):
                raise CertificateError(f"a {name} was given, but the certificate is for the domain {claim.domain.kind}")
            claimed = claim.domain.arrays()[name]
            width = net.widths[0]
            value = parse_radius(given, width, claim.norm) if name == "radius" else exact_float64(given, name, 1)
            if value.shape != claimed.shape or not np.array_equal(value, claimed):
                raise CertificateError(f"the certificate is for another {name} than the one given")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate to `path` (a NumPy .npz archive, docs/certificate.md), all or nothing."""
        arrays = self._arrays()
        arrays["digest"] = np.array(_digest(arrays))
        with replaced(path) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    def _arrays(self) -> dict[str, Array]:
        claim = self.lipschitz_problem
        head = {
            "format": FORMAT,
            "bound": float(self.bound).hex(),
            "norm": claim.norm,
            "domain": claim.domain.kind,
            "quantity": claim.quantity,
            "relaxation": self.relaxation,
            "lifting": self.lifting,
            "depth": len(self.layout.unstable),
            "network_hash": self.network_hash,
            "versions": dict(self.versions),
        }
        arrays = {"claim": np.array(json.dumps(head, sort_keys=True)), "coefficients": claim.coefficients}
        for l, (unstable, exponent) in enumerate(zip(self.layout.unstable, self.layout.exponent or (), strict=True)):
            arrays |= {f"unstable/{l + 1}": unstable, f"exponent/{l + 1}": exponent}
        for chain, of_layers in (self.layout.reach_exponent or {}).items():
            arrays |= {f"reach/{chain}{l + 1}": values for l, values in enumerate(of_layers)}
        for (l, k), values in (self.slopes or {}).items():
            arrays[f"slopes/{l}.{k}"] = values
        if self.slopes is not None:
            arrays["slopes"] = np.zeros(0)  # linear bounds, even where no slope is free
        if self.diagonal is not None:
            arrays["diagonal"] = self.diagonal
        arrays |= claim.domain.arrays()
        for name, values in self.multipliers.items():
            arrays[f"multipliers/{name}"] = np.asarray(values, dtype=np.float64)
        return arrays

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Certificate:
        """Read a certificate; it is data only, and what it claims is proved by `verify` alone.

        Raises:
            CertificateError: the file is not a whole, unaltered certificate.
            FileNotFoundError: there is no such file.
        """
        what = os.fspath(path)
        try:
            with open(path, "rb") as file:
                if not zipfile.is_zipfile(file):
                    raise CertificateError(f"{what} is not a whole certificate: it is no NumPy .npz archive")
                file.seek(0)
                with np.load(file, allow_pickle=False) as archive:
                    if "digest" not in archive.files:
                        raise CertificateError(f"{what} is not a whole certificate: it has no entry 'digest'")
                    size = sum(entry.file_size for entry in archive.zip.infolist())
                    if size > MOST_BYTES:
                        raise CertificateError(
                            f"{what} has {size} bytes once decompressed; a certificate has {MOST_BYTES} at most"
                        )
                    arrays = {name: archive[name] for name in archive.files}
            if str(arrays.pop("digest")) != _digest(arrays):
                raise CertificateError("the certificate was altered or damaged: its digest does not match its content")
            return _from_arrays(arrays)
        except FileNotFoundError:
            raise
        except CertificateError:
            raise
        except (Exception, zipfile.BadZipFile) as error:  # whatever a damaged archive makes a reader raise
            raise CertificateError(f"{what} is not a whole certificate: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    return f"it has no entry {error}" if isinstance(error, KeyError) else str(error)


def _from_arrays(arrays: dict[str, Array]) -> Certificate:
    """The certificate that a file's entries, less the digest, describe; every type is checked."""
    head = json.loads(str(arrays.pop("claim")))
    if head["format"] != FORMAT:
        raise CertificateError(f"the certificate's format is {head['format']!r}; {FORMAT!r} is expected")
    coefficients = _vector(arrays.pop("coefficients"), "coefficients")
    diagonal = arrays.pop("diagonal", None)
    given = [name for name in ("center", "radius", "low", "high") if name in arrays]
    where: dict[str, Array] = {name: _vector(arrays.pop(name), name) for name in given}
    if ("center" in where) != ("radius" in where):
        raise CertificateError("the certificate has a center or a radius without the other")
    norm = parse_norm(head["norm"])
    layout, slopes = _layout_from(arrays, head)
    multipliers = {}
    for name, values in arrays.items():
        kind, _, family = name.partition("/")
        if kind != "multipliers":
            raise CertificateError(f"the certificate has an unknown entry {name!r}")
        multipliers[family] = _floats(values, name)
    # an older file does not name its domain: it is the ball of its norm, or everything
    kind = head.get("domain", f"ball {norm}" if where else "everywhere")
    problem = Problem(coefficients, norm, norm, domain_from(kind, where), head["quantity"])
    if problem.quantity not in QUANTITIES or (problem.quantity == "maximum") != (head["lifting"] == "values"):
        raise CertificateError(f"the certificate's quantity {problem.quantity!r} is not one that its lifting bounds")
    if not NAME.fullmatch(head["relaxation"]):
        raise CertificateError(f"the certificate's relaxation is no name: {shown(head['relaxation'])}")
    bound = float.fromhex(head["bound"])
    if not np.isfinite(bound) or (bound < 0 and problem.quantity == "lipschitz"):
        raise CertificateError("the certificate's bound is not a finite nonnegative number")
    return Certificate(
        bound, problem, head["relaxation"], str(head["network_hash"]), layout,
        multipliers, None if diagonal is None else _floats(diagonal, "diagonal"), dict(head["versions"]),
        head["lifting"], slopes,
    )  # fmt: skip


def _layout_from(
    arrays: dict[str, Array], head: Mapping[str, Any]
) -> tuple[Layout, dict[tuple[int, int], Array] | None]:
    """The layout and the slopes, taken out of `arrays`."""
    depth, lifting = head["depth"], head["lifting"]
    if type(depth) is not int or not 1 <= depth <= len(arrays):
        raise CertificateError(f"the certificate's number of hidden layers is {depth!r}")
    if lifting not in LIFTINGS:
        raise CertificateError(f"the certificate's lifting must be one of {', '.join(LIFTINGS)}, not {lifting!r}")

    def integers(name: str) -> Array:
        values = arrays.pop(name)
        if values.dtype != np.int64 or values.ndim != 1:
            raise CertificateError(f"{name} must be a vector of int64")
        return values

    unstable, exponent = (
        tuple(integers(f"{name}/{l + 1}") for l in range(depth)) for name in ("unstable", "exponent")
    )
    reach = {c: tuple(integers(f"reach/{c}{l + 1}") for l in range(reached(c, depth))) for c in LIFTINGS[lifting]}
    slopes: dict[tuple[int, int], Array] | None = None
    if arrays.pop("slopes", None) is not None:
        slopes = {}
        for name in [name for name in arrays if name.startswith("slopes/")]:
            l, _, k = name.removeprefix("slopes/").partition(".")
            slopes[int(l), int(k)] = _floats(arrays.pop(name), name)
    return Layout(unstable, exponent, reach), slopes


def _floats(values: Array, name: str) -> Array:
    if values.dtype != np.float64 or not np.isfinite(values).all():
        raise CertificateError(f"{name} must hold finite float64 numbers")
    return values


def _vector(values: Array, name: str) -> Array:
    if values.ndim != 1:
        raise CertificateError(f"{name} must be a vector, but its shape is {values.shape}")
    return _floats(values, name)


def _digest(arrays: Mapping[str, Array]) -> str:
    """SHA-256 over every entry's name, type, shape and bytes: tells damage, not who made the file."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.asarray(arrays[name])
        digest.update(f"{name}|{values.dtype.str}|{values.shape}|".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


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

    `prover`: that of this network, problem and presolve (`prover_of`), where there are more to come.
    """
    bound = (prover or prover_of(net, problem, fixed)).bound(multipliers, diagonal, relaxation)
    return Certificate(
        bound, problem, relaxation, net.hash, fixed.layout(), dict(multipliers), diagonal, versions or {},
        lifting_of(fixed), fixed.slopes,
    )  # fmt: skip
