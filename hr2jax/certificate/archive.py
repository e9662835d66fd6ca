"""The reading of a certificate's archive: what it declares is compared with what is there and what is free, first.

By the same checks as every network file (`hr2jax/io/npz.py`); it needs no JAX.
"""

from __future__ import annotations

import os

from ..arithmetic.float64 import Array
from ..io import archive as zips
from ..io.budget import Budget
from ..io.npz import array_of
from ..machine.files import opened, path_of
from .errors import CertificateError
from .file import digest

# A certificate takes at most so many bytes: that of (3072, 10000) with every product of x and t has a quarter of it.
MOST_BYTES = 2**32


def read(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The entries of a file, whose digest is right.

    Raises:
        CertificateError: no digest or the wrong one, an entry twice, or more than a certificate has.
        ValueError: no regular file, no archive, a damaged one, or more than memory is free for.
    """
    what, budget = path_of(path), Budget()
    with opened(path) as file:
        if file.read(2) != b"PK":
            raise CertificateError(f"{what} is not a whole certificate: it is no NumPy .npz archive")
        with zips.opened(file, budget) as archive:
            members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            if "digest" not in members:
                raise CertificateError(f"{what} is not a whole certificate: it has no entry 'digest'")
            if len(members) != len(archive.infolist()):
                raise CertificateError(f"{what} is not a whole certificate: it has an entry twice")
            size = sum(entry.file_size for entry in members.values())
            if size > MOST_BYTES:
                raise CertificateError(
                    f"{what} has {size} bytes once decompressed; a certificate has {MOST_BYTES} at most"
                )
            arrays = {name: array_of(archive, name, entry, budget) for name, entry in members.items()}
    if str(arrays.pop("digest")) != digest(arrays):
        raise CertificateError("the certificate was altered or damaged: its digest does not match its content")
    return arrays
