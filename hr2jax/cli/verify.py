"""`hr2jax verify`."""

from __future__ import annotations

import argparse
from fractions import Fraction
from typing import TYPE_CHECKING

from .answer import EXIT_CODES, YES
from .arguments import network

if TYPE_CHECKING:
    from ..arithmetic.float64 import Array
    from ..certificate.certificate import Certificate

# A stated bound this much below what its certificate proves is wrong, not rounded differently.
ROUNDING = Fraction(1, 10**9)


def verify_command(arguments: argparse.Namespace) -> int:
    """Prove a certificate's bound, or a proof's verdict, again and print it."""
    from ..certificate.certificate import Certificate, CertificateError
    from ..machine.files import opened
    from ..proof.file import is_proof
    from ..text import norms_text, output_text, statement_text, table, upper_text, where_text, widths_text
    from .numbers import box
    from .prove import verify_proof

    net = network(arguments)
    with opened(arguments.certificate):  # what cannot be read is bad input; what is no certificate is a no
        pass
    if is_proof(arguments.certificate):
        return verify_proof(arguments, net)
    if arguments.property is not None:
        raise ValueError("--property is of a proof, but the file is a certificate or none of ours")
    certificate = Certificate.load(arguments.certificate)
    center, radius = box(arguments.center, arguments.radius, arguments.norm)
    given = {"quantity": arguments.quantity, "output": arguments.output, "norm": arguments.norm}
    given |= {"output_norm": arguments.output_norm, "center": center, "radius": radius}
    asked = {name: value for name, value in given.items() if value is not None}
    if arguments.is_global:
        if asked.keys() & {"center", "radius"}:
            raise ValueError("--global is of no center and no radius, but one was given")
        asked |= {"center": None, "radius": None}
    if arguments.is_local and not certificate.lipschitz_problem.is_local:
        raise CertificateError("--local was given, but the certificate is for the global constant")
    proven = certificate.verify(net, **asked, arithmetic=arguments.arithmetic)
    refuse_overstated(certificate, proven)
    claim = certificate.lipschitz_problem
    f, text = output_text(claim.coefficients.tolist()), upper_text(proven)
    rows = [
        ("verified", statement_text(certificate.problem, text)),
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
With --output, --norm, --output-norm, --center or --radius, --global or --local, --quantity the claim must be just that.
"""
VERIFY_EXAMPLES = f"""examples:
  hr2jax verify bound.cert.npz model.npz
  hr2jax verify bound.cert.npz model.npz --output 3,5 --center x.npy --radius 0.05
  hr2jax verify bound.cert.npz model.npz --global --quantity lipschitz
  hr2jax verify bound.cert.npz model.npz --arithmetic ball
  hr2jax verify proof.npz model.onnx --property property.vnnlib

{EXIT_CODES}"""
