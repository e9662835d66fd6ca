"""What gzip has compressed, taken from the memory that is free piece by piece."""

from __future__ import annotations

import io
import zlib
from typing import IO

from .budget import Budget

GZIP = b"\x1f\x8b"


def decompressed(data: bytes, budget: Budget, each: int = 1) -> bytes:
    """The bytes that are compressed; what does not fit, `each` bytes of memory for one, is refused before it is there.

    Raises:
        ValueError: so much is not free, or the data are damaged or incomplete.
    """
    out, rest = bytearray(), data
    while rest:
        machine = zlib.decompressobj(wbits=31)
        try:
            while not machine.eof:
                piece = machine.decompress(rest, 2**20)
                rest = machine.unconsumed_tail
                if not piece and not rest and not machine.eof:
                    raise ValueError("the file is incomplete: its compressed data end too early")
                budget.take(each * len(piece), "the decompressed file")
                out += piece
        except zlib.error as error:
            raise ValueError(f"its compressed data are damaged: {error}") from None
        rest = machine.unused_data
    return bytes(out)


class Decompressed(io.BytesIO):
    """A file that gzip has compressed, with the name that it had before."""

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        data = budget.contents(file)
        if data[:2] != GZIP:
            raise ValueError("this is not a .gz file")
        super().__init__(decompressed(data, budget, 2))  # the bytes, and their copy here
        self.name = str(file.name)[: -len(".gz")]
