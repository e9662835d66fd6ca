"""The large files that some tests read; they are not part of the repository."""

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[3] / "shared"


def shared(*parts: str) -> Path:
    """The file `parts` under $HR2JAX_DATA (else ../shared beside the repository); skips without it."""
    path = Path(os.environ.get("HR2JAX_DATA") or _DEFAULT).joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is missing; set HR2JAX_DATA to the folder that holds {'/'.join(parts)}")
    return path
