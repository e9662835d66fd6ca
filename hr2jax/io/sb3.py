"""Files of stable-baselines3 (model.save), .zip: the state dict of the policy in them."""

from __future__ import annotations

import io
from typing import IO

from . import archive as zips
from . import pt
from .budget import Budget
from .layers import Graph, Layers, reason
from .told import Told

_POLICY = "policy.pth"


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers | Graph:
    """The layers of the policy, which the caller names; see `pt.read` of a state dict.

    Raises:
        ValueError: a .zip of something else, or a damaged one.
    """
    try:
        archive = zips.opened(file, budget)
    except ValueError as error:
        raise ValueError(f"this is not a whole .zip of stable-baselines3 ({reason(error)})") from None
    with archive:
        if archive.namelist().count(_POLICY) != 1:
            raise ValueError(f"this is not a .zip of stable-baselines3, which holds one {_POLICY}")
        member = archive.getinfo(_POLICY)
        budget.take(2 * member.file_size, _POLICY)
        try:
            data = archive.read(member)
        except Exception as error:  # damaged bytes make zipfile raise nearly anything
            raise ValueError(f"{_POLICY} is damaged ({reason(error)})") from None
    return pt.read(io.BytesIO(data), told, budget)
