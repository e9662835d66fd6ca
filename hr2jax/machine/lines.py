"""A file of lines that grows, whole line by whole line, written by one process at a time.

What is killed in the middle of a line leaves a half one, which whoever opens the file next drops.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from .files import path_of, refusal

try:
    import fcntl
except ImportError:  # not on Windows, where two writers are not told from one
    fcntl = None  # type: ignore[assignment]


PIECE = 2**16  # bytes that are looked at for the last end of a line


class BusyError(ValueError):
    """Somebody else is writing the file."""


class Lines:
    """The file, open and locked until `close`; the lock ends with the process that has it, however that ends.

    Attributes:
        first: the first line that it had, without its end; None where it had none.
        unwritten: why it has not all that it was given; None where it has.
    """

    def __init__(self, path: str | os.PathLike[str], beginning: bytes):
        """Open it, or make it.

        Args:
            path: of a file, which is there or not.
            beginning: how each such file begins: a single half line is ours to drop if it begins so.

        Raises:
            BusyError: another run has it open.
            ValueError: a folder, a pipe or a device.
            OSError: it cannot be written.
        """
        self.path = path_of(path)
        if not self.path.is_file() and (reason := refusal(self.path)) is not None:
            raise ValueError(f"{self.path} cannot be written: {reason}")
        if self.path.exists() and not self.path.is_file():
            raise ValueError(f"{self.path} is a pipe or a device, but a file was expected")
        self._descriptor: int | None = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        self.unwritten: str | None = None
        self._left = b""
        try:
            self._lock(self._descriptor)
            self._length = size = os.fstat(self._descriptor).st_size
            while self._length and os.pread(self._descriptor, 1, self._length - 1) != b"\n":
                start = max(self._length - PIECE, 0)
                self._length = start + os.pread(self._descriptor, self._length - start, start).rfind(b"\n") + 1
            if size > self._length:
                half = os.pread(self._descriptor, len(beginning), 0)
                if not self._length and half != beginning[: len(half)]:
                    raise ValueError(f"{self.path} exists and is no such file: it has no line")
                os.ftruncate(self._descriptor, self._length)
            self.first = next(self.read(), None)
        except BaseException:
            self.close()
            raise

    def _lock(self, descriptor: int) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{self.path} is being written by another run; give another file, or wait") from None

    def read(self) -> Iterator[bytes]:
        """The whole lines that are there, one after the other, without their ends."""
        if self._descriptor is not None:
            with open(self.path, "rb") as file:
                yield from (line[:-1] for line in file)

    def append(self, lines: bytes) -> bool:
        """Write whole lines, each with its end, and whatever could not be written before, to the disk.

        Returns:
            Whether all is there. If not, `unwritten` says why, and the file is as it was.
        """
        if self._descriptor is None:
            return False
        self._left += lines
        try:
            done = 0
            while done < len(self._left):
                done += os.write(self._descriptor, self._left[done:])
            os.fsync(self._descriptor)
        except OSError as error:
            self.unwritten = (error.strerror or str(error)).lower()
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._length)
            return False
        self._length += done
        self._left, self.unwritten = b"", None
        return True

    def close(self) -> None:
        """Close and unlock it; what is appended after that is dropped."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
