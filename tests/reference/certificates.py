"""Certificates' multipliers in the order of their lifting, as engines have them, and back."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np

from hr2jax.certificate import file
from hr2jax.certificate.certificate import Certificate
from hr2jax.certificate.errors import CertificateError
from hr2jax.certificate.names import diagonal_of, named, named_diagonal, numbered
from hr2jax.certificate.prover import Prover
from hr2jax.network import Network
from hr2jax.relaxation.basis import Lifting


def entries_of(cert: Certificate) -> dict:
    """Its file's entries, but for the digest; arrays of their own."""
    return {name: np.array(values) for name, values in cert.entries().items()}


def write(path: Path, entries: dict, digest=None) -> Path:
    """A file with those entries and the digest that belongs to them (an adversary knows the format)."""
    entries = dict(entries)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entries["digest"] = np.array(file.digest(entries) if digest is None else digest)
        np.savez(path, **entries)
    return path


def same(a: Certificate, b: Certificate) -> bool:
    x, y = entries_of(a), entries_of(b)
    return x.keys() == y.keys() and all(
        x[k].dtype == y[k].dtype and x[k].shape == y[k].shape and x[k].tobytes() == y[k].tobytes() for k in x
    )


def lifting_of(cert: Certificate, net: Network) -> Lifting:
    """What the certificate's multipliers are multipliers of."""
    return Prover(net, cert.lipschitz_problem, cert.layout, lifting=cert.lifting, slopes=cert.slopes).lifted


def in_order(cert: Certificate, net: Network) -> tuple[dict, object]:
    """Multipliers and diagonal, in the lifting's order."""
    lifting = lifting_of(cert, net)
    d = None if cert.diagonal is None else diagonal_of(lifting, cert.diagonal)
    return numbered(lifting, cert.multipliers, net.widths), d


def with_multipliers(cert: Certificate, net: Network, multipliers: dict, diagonal: object = ...) -> Certificate:
    """The certificate with others, given in the lifting's order; the diagonal stays where it is not given."""
    lifting = lifting_of(cert, net)
    layout = dataclasses.replace(cert.layout, unit=lifting.exponent)
    cert = dataclasses.replace(cert, layout=layout, multipliers=named(lifting, multipliers, net.widths[0]))
    if diagonal is ...:
        return cert
    return dataclasses.replace(cert, diagonal=None if diagonal is None else named_diagonal(lifting, diagonal))


def with_first(tree, old, new):
    """A tree of cases with another node in place of the first one that is `old`."""
    out = tree.copy()
    out[np.flatnonzero(tree == old)[0]] = new
    return out


def proves_nothing_false(proved, name, change, folder):
    """Assert that a changed certificate of cases, (net, certificate, constant), is refused, or its bound is true."""
    net, certificate, constant = proved
    entries = entries_of(certificate)
    entries[f"multipliers/cases/{name}"] = change(entries[f"multipliers/cases/{name}"])
    try:
        bound = Certificate.load(write(folder / "changed.npz", entries)).verify(net)
    except CertificateError:
        return
    assert bound >= constant * (1 - 1e-9)
