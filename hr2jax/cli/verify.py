"""`hr2jax verify`."""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from .answer import EXIT_CODES, YES
from .arguments import network

if TYPE_CHECKING:
    from ..arithmetic.float64 import Array
    from ..certificate.certificate import Certificate
    from ..network import Network

# A stated bound this much below what its certificate proves is wrong, not rounded differently.
ROUNDING = Fraction(1, 10**9)
MANY = 100  # certificates for which it pays to start processes
NAMED = 3  # of those that fail, with their reasons


def verify_command(arguments: argparse.Namespace) -> int:
    """Prove a certificate's bound, or a proof's verdict, again and print it."""
    from ..bounds.jumps import largest_jump
    from ..certificate.certificate import Certificate
    from ..machine.files import opened
    from ..proof.file import is_proof
    from ..text import norms_text, output_text, statement_text, table, upper_text, where_text, widths_text
    from .prove import verify_proof

    net = network(arguments)
    if os.path.isdir(arguments.certificate):
        return verify_folder(arguments, net)
    with opened(arguments.certificate):  # what cannot be read is bad input; what is no certificate is a no
        pass
    if is_proof(arguments.certificate):
        return verify_proof(arguments, net)
    if arguments.property is not None:
        raise ValueError("--property is of a proof, but the file is a certificate or none of ours")
    certificate = Certificate.load(arguments.certificate)
    proven = _proven(certificate, net, _asked(arguments), arguments.is_local, arguments.arithmetic)
    claim = certificate.lipschitz_problem
    f, text = output_text(claim.coefficients.tolist()), upper_text(proven)
    rows = [
        ("verified", statement_text(certificate.problem | {"jump": largest_jump(net, claim)}, text)),
        ("proven bound", f"{text}   ({arguments.arithmetic} arithmetic; {upper_text(certificate.bound)} is stated)"),
        ("function", f"f = {f} of the network {widths_text(net.widths)}"),
        ("network hash", certificate.network_hash),
        ("domain", where_text(certificate.problem)),
        ("norm", norms_text(certificate.problem)),
        ("relaxation", f"{certificate.relaxation} (where the multipliers came from; the proof does not rest on it)"),
    ]
    numbers = claim.domain.arrays()
    rows[5:5] = [(name, _few(values)) for name, values in numbers.items() if name != "radius"]
    print(table(rows))
    return YES


def verify_folder(arguments: argparse.Namespace, net: Network) -> int:
    """Prove all certificates of a folder again, several at a time; it raises CertificateError if one does not."""
    from ..certificate.errors import CertificateError
    from ..machine.workers import workers_of
    from ..progress import Line
    from ..text import table, widths_text

    folder = arguments.certificate
    if arguments.property is not None:
        raise ValueError("--property is of a proof, but a folder of certificates was given")
    names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".npz"))
    if not names:
        raise ValueError(f"{folder} has no certificates: none of its files ends in .npz")
    count = arguments.workers
    if count is None and len(names) >= MANY and find_spec("distributed") and find_spec("cryptography"):
        count = os.cpu_count()
    if count is not None and count < 1:
        raise ValueError(f"--workers must be at least 1, but {count} was given")
    shared = net, _asked(arguments), arguments.is_local, arguments.arithmetic
    claims: Counter[str] = Counter()
    failed: dict[str, str] = {}
    with Line(True, time.time()) as line:
        tasks = [os.path.join(folder, name) for name in names]
        for done, (path, claim, reason) in enumerate(workers_of(count, len(tasks)).answers(prove_again, shared, tasks)):
            claims[claim] += reason is None
            if reason is not None:
                failed[os.path.basename(path)] = reason
            line.show(f"proving again ({len(failed)} failed)", done + 1, len(tasks))
    if failed:
        named = "; ".join(f"{name}: {failed[name]}" for name in sorted(failed)[:NAMED])
        others = f"; and {len(failed) - NAMED} others" if len(failed) > NAMED else ""
        raise CertificateError(f"{len(failed)} of {len(names)} certificates in {folder} do not verify: {named}{others}")
    rows = [("verified", f"all {len(names)} certificates in {folder}   ({arguments.arithmetic} arithmetic)")]
    rows += [("", f"{number} of {claim}") for claim, number in sorted(claims.items())]
    print(table([*rows, ("network", widths_text(net.widths)), ("network hash", net.hash)]))
    return YES


def prove_again(shared: tuple[Network, dict[str, Any], bool, str], path: str) -> tuple[str, str, str | None]:
    """Of one file: its path, what it is a claim about, and why it does not verify (None: it does)."""
    from ..certificate.certificate import Certificate, CertificateError

    net, asked, is_local, arithmetic = shared
    try:
        certificate = Certificate.load(path)
        _proven(certificate, net, asked, is_local, arithmetic)
    except (CertificateError, ValueError) as error:
        return path, "", str(error)
    except OSError as error:  # a link to nothing, say
        return path, "", f"it cannot be read: {(error.strerror or str(error)).lower()}"
    problem = certificate.lipschitz_problem
    where = "on a domain" if problem.is_local else "everywhere"
    what = "largest values" if certificate.problem["quantity"] == "maximum" else "Lipschitz constants"
    return path, f"{what} {where}", None


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the claim must be, of what is given."""
    from .numbers import box

    center, radius = box(arguments.center, arguments.radius, arguments.norm)
    given = {"quantity": arguments.quantity, "output": arguments.output, "norm": arguments.norm}
    given |= {"output_norm": arguments.output_norm, "center": center, "radius": radius}
    asked = {name: value for name, value in given.items() if value is not None}
    if arguments.is_global:
        if asked.keys() & {"center", "radius"}:
            raise ValueError("--global is of no center and no radius, but one was given")
        asked |= {"center": None, "radius": None}
    return asked


def _proven(
    certificate: Certificate, net: Network, asked: Mapping[str, Any], is_local: bool, arithmetic: str
) -> float:
    """The bound that a certificate proves, if its claim is what is asked."""
    from ..certificate.errors import CertificateError

    if is_local and not certificate.lipschitz_problem.is_local:
        raise CertificateError("--local was given, but the certificate is for the global constant")
    proven: float = certificate.verify(net, **asked, arithmetic=arithmetic)
    refuse_overstated(certificate, proven)
    return proven


def refuse_overstated(certificate: Certificate, proven: float) -> None:
    """Raise CertificateError where a certificate states a lower bound than it proves, by more than rounding."""
    from ..certificate.errors import CertificateError

    stated = Fraction(certificate.bound)
    if Fraction(proven) > stated + ROUNDING * abs(stated):
        raise CertificateError(
            f"the certificate states the bound {certificate.bound!r}, but it proves only {proven!r}"
        )


def _few(values: Array) -> str:
    import numpy as np

    return np.array2string(values, threshold=6, edgeitems=3, max_line_width=10**6)


VERIFY = """Prove a certificate's bound again, from the network's weights and the certificate's multipliers alone;
nothing of the solver is used or trusted. Printed: "verified", the bound proved here (rounded up), and
the claim in words: function, network, domain, norm. Read the claim: it is what was proved.
Of a proof (hr2jax prove --proof) the verdict is proved again; with --property it must be just that file's.
Of a folder (hr2jax certify --certificates) all of its certificates are, several at a time.
With --output, --norm, --output-norm, --center or --radius, --global or --local, --quantity the claim must be just that.
"""
VERIFY_EXAMPLES = f"""examples:
  hr2jax verify bound.cert.npz model.npz
  hr2jax verify bound.cert.npz model.npz --output 3,5 --center x.npy --radius 0.05
  hr2jax verify bound.cert.npz model.npz --global --quantity lipschitz
  hr2jax verify bound.cert.npz model.npz --arithmetic ball
  hr2jax verify proofs/ model.npz --workers 8
  hr2jax verify proof.npz model.onnx --property property.vnnlib

{EXIT_CODES}"""
