"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file to write that takes `path`'s place when the block ends well, and vanishes when it does not.

    What was at `path` stays until the new file is complete.

    Raises:
        ValueError: `path` is a directory.
        OSError: the folder is missing or may not be written.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory, but the name of a file to write was expected")
    target = Path(os.path.realpath(path))  # write through a link, as open() would
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path} cannot be written: there is no folder {target.parent}")
    scratch = target.with_name(f".hr2jax-{secrets.token_hex(8)}.tmp")  # same folder, so replace is atomic
    try:
        with open(scratch, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name with no contents
        os.replace(scratch, target)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
