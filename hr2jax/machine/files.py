"""Files that appear whole or not at all, and whether they can be written."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any


def strict(value: Any) -> Any:
    """Plain JSON values: arrays as lists, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if hasattr(value, "tolist"):  # an array or one of its numbers
        return strict(value.tolist())
    if isinstance(value, list | tuple):
        return [strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def path_of(name: str | os.PathLike[str]) -> Path:
    """The path of a file.

    Raises:
        ValueError: `name` is no text and no path; of a number, open() would take the file of that descriptor.
    """
    if not isinstance(name, str | os.PathLike):
        raise ValueError(f"the name of a file must be a text or a path, but {type(name).__name__} was given")
    return Path(name)


def opened(path: str | os.PathLike[str]) -> IO[bytes]:
    """A regular file, open for reading; a pipe would be waited for, and a device has no end.

    Raises:
        ValueError: `path` is a directory, a pipe or a device.
        OSError: it is missing or may not be read.
    """
    path = path_of(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory, but a file was expected")
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError(f"{os.fspath(path)} is a pipe or a device, but a file was expected")
    return file


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file to write that takes `path`'s place when the block ends well, and vanishes when it does not.

    What was at `path` stays until the new file is complete. A device or a pipe (/dev/stdout) is written as it is.

    Raises:
        ValueError: `path` is a directory.
        OSError: the folder is missing or may not be written.
    """
    path = path_of(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory, but the name of a file to write was expected")
    if _is_device(path):
        with open(path, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(path))  # write through a link, as open() would
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {target.parent}")
    scratch = _scratch(target)
    try:
        with open(scratch, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name with no contents
        os.replace(scratch, target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def written(text: str, path: str | os.PathLike[str] | None, end: str = "\n") -> str:
    """The text; where `path` is given it is written there too, all or nothing. Raises what `replaced` does."""
    if path is not None:
        with replaced(path) as file:
            file.write(f"{text}{end}".encode())
    return text


def refusal(path: str | os.PathLike[str]) -> str | None:
    """Why `replaced` could not write `path`, such as "permission denied"; None where nothing stands in its way.

    Found out by making the file that `replaced` begins with, and removing it: permission bits alone do not tell.
    """
    try:
        if os.path.isdir(path):
            return "it is a folder, not the name of a file"
        if _is_device(path):
            return None if os.access(path, os.W_OK) else "permission denied"
        target = Path(os.path.realpath(path))
        if not target.name or not target.parent.is_dir():
            return f"there is no folder {target.parent}"
        with contextlib.suppress(FileNotFoundError):
            target.lstat()  # refuses a name that is too long
        scratch = _scratch(target)
        try:
            scratch.touch(exist_ok=False)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    except ValueError as error:  # a null byte
        return str(error)
    return None


def _is_device(path: str | os.PathLike[str]) -> bool:
    """Whether `path` exists and is no regular file: to put one in the place of /dev/null would be a disaster."""
    return os.path.exists(path) and not os.path.isfile(path)


def _scratch(target: Path) -> Path:
    """A new name in the same folder, so that taking `target`'s place is atomic."""
    return target.with_name(f".hr2jax-{secrets.token_hex(8)}.tmp")
