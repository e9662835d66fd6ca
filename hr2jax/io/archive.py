"""Zip archives of .npz and .pt: what their directories declare is compared with the bytes that are there."""

from __future__ import annotations

import zipfile
from typing import IO

from .budget import Budget
from .layers import reason

_TAIL = 22 + 65535 + 20 + 56  # what ends an archive, with the longest comment and what large files have before it
_ENTRY = 16  # a member's entry takes so many times more memory than it takes room in the file
_INFLATED = 1032  # deflate never makes more bytes of one


def opened(file: IO[bytes], budget: Budget) -> zipfile.ZipFile:
    """The archive in `file`, whose members are where its directory says and can be as long as it says.

    Raises:
        ValueError: damaged, incomplete, members that overlap or cannot have the length that they declare; one
            reason, for use inside a sentence.
    """
    size = file.seek(0, 2)
    budget.take(_ENTRY * _directory(file, size), "the directory of the archive")
    try:
        archive = zipfile.ZipFile(file)
        _check([*archive.infolist()], size)
    except Exception as error:  # damaged bytes make zipfile raise nearly anything
        raise ValueError(reason(error)) from None
    return archive


def _check(members: list[zipfile.ZipInfo], size: int) -> None:
    for member in members:
        stored = member.compress_type == zipfile.ZIP_STORED
        if not stored and member.compress_type != zipfile.ZIP_DEFLATED:
            raise ValueError("a member is compressed by neither of the two methods that are read")
        most = member.compress_size * (1 if stored else _INFLATED)
        if member.file_size > most or (stored and member.file_size != most):
            raise ValueError(f"a member declares {member.file_size} bytes, but {member.compress_size} are there")
    if sum(member.compress_size for member in members) > size:
        raise ValueError("its members overlap or are longer than the file")


def _directory(file: IO[bytes], size: int) -> int:
    """How long the archive's directory says it is; 0 where no end of an archive is found."""
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    found = 0
    for at in {len(tail) - 22, tail.rfind(b"PK\5\6")}:
        if at >= 0 and tail[at : at + 4] == b"PK\5\6":
            found = max(found, int.from_bytes(tail[at + 12 : at + 16], "little") % 0xFFFFFFFF)
            large = at - 20 - 56
            if large >= 0 and tail[large : large + 4] == b"PK\6\6":
                found = max(found, int.from_bytes(tail[large + 40 : large + 48], "little"))
    return min(found, size)
