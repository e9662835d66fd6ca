"""`hr2jax verify`."""

from __future__ import annotations

import argparse
from fractions import Fraction

import numpy as np

from ..arithmetic.float64 import Array
from ..certificate.certificate import Certificate, CertificateError
from ..problem import LipschitzProblem
from ..reading import load
from ..text import domain_text, output_text, table, upper_text, widths_text
from .answer import EXIT_CODES, YES
from .numbers import box

# A stated bound this much below what its certificate proves is wrong, not rounded differently.
ROUNDING = Fraction(1, 10**9)


def verify_command(arguments: argparse.Namespace) -> int:
    """Prove a certificate's bound again and print it."""
    net = load(arguments.network)
    with open(arguments.certificate, "rb"):  # what cannot be read is bad input; what is no certificate is a no
        pass
    certificate = Certificate.load(arguments.certificate)
    center, radius = box(arguments.center, arguments.radius, arguments.norm)
    proven = certificate.verify(
        net,
        output=arguments.output,
        norm=arguments.norm,
        center=center,
        radius=radius,
        arithmetic=arguments.arithmetic,
    )
    stated = Fraction(certificate.bound)
    if Fraction(proven) > stated + ROUNDING * abs(stated):
        raise CertificateError(
            f"the certificate states the bound {certificate.bound!r}, but it proves only {proven!r}"
        )
    claim = certificate.lipschitz_problem
    radii = None if claim.radius is None else claim.radius.tolist()
    f, text = output_text(claim.coefficients.tolist()), upper_text(proven)
    rows = [
        ("verified", _statement(claim, text)),
        ("proven bound", f"{text}   ({arguments.arithmetic} arithmetic; {upper_text(certificate.bound)} is stated)"),
        ("function", f"f = {f} of the network {widths_text(net.widths)}"),
        ("network hash", certificate.network_hash),
        ("domain", domain_text(radii)),
        ("norm", f"{claim.norm} on the input"),
        ("relaxation", f"{certificate.relaxation} (where the multipliers came from; the proof does not rest on it)"),
    ]
    if claim.center is not None:
        rows.insert(5, ("center", _few(claim.center)))
    print(table(rows))
    return YES


def _statement(claim: LipschitzProblem, bound: str) -> str:
    """What a certificate proves, as an inequality and where it holds."""
    box = claim.norm == "inf"
    domain = " in the domain " + ("|x_i - center_i| <= radius_i" if box else "||x - center||_2 <= radius")
    where = "" if claim.center is None else domain
    if claim.quantity == "maximum":
        return f"f(x) <= {bound} for all x{where}"
    distance = "max_i |x_i - y_i|" if box else "||x - y||_2"
    return f"|f(x) - f(y)| <= {bound} {distance} for all x, y{where}"


def _few(values: Array) -> str:
    return np.array2string(values, threshold=6, edgeitems=3, max_line_width=10**6)


VERIFY = """Prove a certificate's bound again, from the network's weights and the certificate's multipliers alone;
nothing of the solver is used or trusted. Printed: "verified", the bound proved here (rounded up), and
the claim in words: function, network, domain, norm. Read the claim: it is what was proved.
With --output, --norm, --center or --radius the claim must be just that.
"""
VERIFY_EXAMPLES = f"""examples:
  hr2jax verify bound.cert.npz model.npz
  hr2jax verify bound.cert.npz model.npz --output 3,5 --center x.npy --radius 0.05
  hr2jax verify bound.cert.npz model.npz --arithmetic ball

{EXIT_CODES}"""
