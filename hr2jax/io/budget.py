"""The memory that one file may take: what it declares is compared with what is there and what is free, first."""

from __future__ import annotations

import math
from typing import IO

from ..machine.memory import free_bytes

# Bytes for each number of a network: as the file has it, as float64, and the copies that Network compares it with.
NUMBER = 32


class Budget:
    """Counts down from the memory that is free; asked before anything is taken, since MemoryError comes too late.

    Args:
        free: bytes that may be taken; None: all that are free.
    """

    def __init__(self, free: float | None = None) -> None:
        self._free = self._left = free_bytes() if free is None else free

    @property
    def left(self) -> float:
        """Bytes that may still be taken."""
        return self._left

    def take(self, size: float, what: str) -> None:
        """Set `size` bytes aside for `what`.

        Raises:
            ValueError: so much is not free.
        """
        if size > self._left:
            raise ValueError(f"{what} would take {_shown(size)} of memory, but of {_shown(self._free)} that were free "
                             f"{_shown(self._left)} are left")  # fmt: skip
        self._left -= size

    def numbers(self, shape: tuple[int, ...], what: str) -> None:
        """Set aside what an array of the network takes.

        Raises:
            ValueError: so much is not free.
        """
        self.take(float(NUMBER) * math.prod(shape), f"{what}, of shape {shape},")

    def contents(self, file: IO[bytes]) -> bytes:
        """All of the file.

        Raises:
            ValueError: so much is not free.
        """
        size = file.seek(0, 2)
        file.seek(0)
        self.take(size, "the file")
        return file.read(size)


def _shown(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000.0:
            return f"{size:.3g} {unit}"
        size /= 1000.0
    return f"{size:.3g} TB"
