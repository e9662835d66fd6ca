"""Inputs that come one batch after the other, or lie packed in an archive: in a file without a name that is mapped."""

from __future__ import annotations

import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from ..arithmetic.float64 import exact_float64, rank
from ..machine.stopping import check

# Bytes of an archive's array up to which it is read into memory at once.
SMALL = 2**26
BLOCK = 2**20


def spooled(batches: Iterator[Any], width: int) -> Any:
    """(n, width) float64, mapped, of arrays (k, ...) of k inputs, or (width,) of one; a batch is in memory at a time.

    Raises:
        ValueError: a batch of another shape, or numbers that float64 cannot hold.
        OSError: the disk is full.
    """
    count = 0
    with tempfile.TemporaryFile(prefix="hr2jax-") as file:
        for number, batch in enumerate(batches):
            check()
            rows = exact_float64(batch, f"batch {number} of inputs", rank(batch, 2))
            single = rows.ndim == 1 and rows.size == width
            if not single and (rows.ndim < 2 or math.prod(rows.shape[1:]) != width):
                raise ValueError(
                    f"an iterator of inputs must give arrays of shape (k, {width}), or (k, ...) with {width} entries "
                    f"each, but batch {number} has shape {rows.shape}"
                )
            file.write(np.ascontiguousarray(rows).data)
            count += 1 if single else len(rows)
        file.flush()
        return np.memmap(file, np.float64, "r", shape=(count, width)) if count else np.zeros((0, width))


def unpacked(file: IO[bytes], name: str) -> Any:
    """The array `name` of a .npz archive, mapped; None where it is small enough to be read at once, or is not there.

    Raises:
        ValueError: it is no array of numbers, or the disk has no room for it.
        OSError, zipfile.BadZipFile: the archive is damaged.
    """
    if not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:
        try:
            size = archive.getinfo(f"{name}.npy").file_size
        except KeyError:
            return None
        if size <= SMALL:
            return None
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if size > free:
            raise ValueError(f"the array {name} takes {size} bytes, but the disk of temporary files has {free} left")
        with tempfile.TemporaryFile(prefix="hr2jax-") as whole:
            with archive.open(f"{name}.npy") as entry:
                while block := entry.read(BLOCK):
                    check()
                    whole.write(block)
            whole.seek(0)
            version = np.lib.format.read_magic(whole)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, is_fortran, dtype = header(whole)
            if dtype.hasobject:
                raise ValueError(f"the array {name} holds Python objects, which are never read")
            return np.memmap(whole, dtype, "r", whole.tell(), shape, "F" if is_fortran else "C")
