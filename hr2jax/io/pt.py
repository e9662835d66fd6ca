"""PyTorch's files (torch.save since 1.6): .pt, .pth, and Lightning's checkpoints, .ckpt.

They hold a state dict, a whole module of torch.nn (`torch/saved.py`) or TorchScript (`torch/script.py`). Neither torch
nor pickle's machine is used; see `pickled`.
"""

from __future__ import annotations

import math
import zipfile
from typing import IO, Any

import numpy as np

from ..arithmetic.float64 import Array
from . import archive as zips
from .budget import Budget
from .layers import Graph, Layers, reason
from .names import named
from .pickled import OPERATION, Called, Made, Tensor, unpickled
from .told import Told, few

_TYPES = {"HalfStorage": "<f2", "BFloat16Storage": "<u2", "FloatStorage": "<f4", "DoubleStorage": "<f8"}
_INTEGERS = {"LongStorage": "<i8", "IntStorage": "<i4", "ShortStorage": "<i2"}  # of the numbers in TorchScript's code
# The keys of a checkpoint: the state dict, and what training goes on from, which is no part of the network.
_STATE = ("state_dict", "model_state_dict")
_TRAINING = {
    "epoch", "global_step", "step", "loss", "best_loss", "lr", "pytorch-lightning_version", "loops", "callbacks",
    "optimizer", "optimizer_state_dict", "optimizer_states", "scheduler", "scheduler_state_dict", "lr_schedulers",
    "hparams_name", "hparams_type", "hyper_parameters", "native_amp_scaling_state", "MixedPrecision",
    "MixedPrecisionPlugin", "datamodule_hparams_name", "datamodule_hyper_parameters",
}  # fmt: skip


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers | Graph:
    """The layers of a file that holds a state dict, its names as `names.named` takes them, a module or TorchScript.

    Raises:
        ValueError: another PyTorch file, a module that is not read, or a damaged file.
    """
    try:
        archive = zips.opened(file, budget)
    except ValueError as error:
        raise ValueError(
            f"this is not a whole .pt file, which is a zip archive since PyTorch 1.6 ({reason(error)})"
        ) from None
    with archive:
        names = archive.namelist()
        roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
        if len(roots) != 1 or len(set(names)) < len(names):
            raise ValueError("this is not a .pt file of torch.save: it does not hold one data.pkl")
        held = Held(archive, roots[0], budget)
        if "byteorder" in held and held.member("byteorder") != b"little":
            raise ValueError("the .pt file was written on a big-endian machine, which is not read")
        value = held.unpickled("data.pkl")
        if "constants.pkl" in held:
            from .torch.script import read as read_script  # here: SciPy is loaded where it is needed

            return read_script(value, held, told, budget)
        if isinstance(value, Made) and type(value.state) is dict and "_modules" in value.state:
            from .torch.saved import read as read_module

            return read_module(value, held.finite, told)
        state = _state(value)
        if told.example is not None:
            raise ValueError("example was given, but a state dict says itself how many inputs there are")
        return named(state, lambda name: held.array(state[name], name), told, in_order=True)


class Held:
    """The members of one archive of torch.save.

    Attributes:
        archive, root, budget: the archive, the name before those of its members, and the memory that is free.
    """

    def __init__(self, archive: zipfile.ZipFile, root: str, budget: Budget) -> None:
        self.archive, self.root, self.budget = archive, root, budget
        self._names = {*archive.namelist()}
        self._storages: dict[str, bytes] = {}  # tensors may share one

    def __contains__(self, name: str) -> bool:
        return f"{self.root}{name}" in self._names

    def member(self, name: str, packed: bool = False) -> bytes:
        """The bytes of a member, which is compressed only where `packed` says that it may be.

        Raises:
            ValueError: it is missing or damaged.
        """
        try:
            member = self.archive.getinfo(f"{self.root}{name}")
            if member.compress_type != zipfile.ZIP_STORED and not packed:
                raise ValueError("it is compressed, which torch.save never does")
            self.budget.take(member.file_size, "it")
            return self.archive.read(member)
        except Exception as error:  # damaged bytes make zipfile raise nearly anything
            named = ascii(f"{self.root}{name}"[:80])[1:-1]
            raise ValueError(f"{named} in the .pt file is missing or damaged ({reason(error)})") from None

    def unpickled(self, name: str) -> Any:
        """The value of a pickle."""
        pickle = self.member(name)
        self.budget.take(OPERATION * len(pickle), "the pickle in the file")
        return unpickled(pickle)

    def array(self, tensor: Tensor, name: str, folder: str = "data") -> Array:
        """The numbers of a tensor called `name` as float64; integers of the folder `constants` too.

        Raises:
            ValueError: they are no floats, or are not where the file says.
        """
        key = f"{folder}/{tensor.storage.key}"
        types = _TYPES | _INTEGERS if folder == "constants" else _TYPES
        if tensor.storage.kind in types and key not in self._storages:
            self._storages[key] = self.member(key)
        return _array(tensor, self._storages.get(key, b""), name, self.budget, types.get(tensor.storage.kind))

    def finite(self, tensor: Tensor, name: str, folder: str = "data") -> Array:
        """`array`, of numbers that a layer may have."""
        found = self.array(tensor, name, folder)
        if not np.isfinite(found).all():
            raise ValueError(f"{name} must be finite, but it contains NaN or infinity")
        return found


def _array(tensor: Tensor, data: bytes, name: str, budget: Budget, dtype: str | None) -> Array:
    """The numbers as float64, which holds every one of them exactly."""
    if dtype is None:
        kind = ascii(tensor.storage.kind[:60])[1:-1]
        raise ValueError(f"{name} in the .pt file is a tensor of {kind}, not of floats")
    width = np.dtype(dtype).itemsize
    held, size = len(data) // width, math.prod(tensor.size)
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.size, tensor.stride, strict=True))
    if len(data) % width or size > held or (size and last >= held):  # more than are held: numbers that stand for many
        raise ValueError(f"{name} is damaged or incomplete: its numbers are not where the file says")
    budget.numbers(tensor.size, name)
    if not size:
        return np.zeros(tensor.size)
    flat = np.frombuffer(data, dtype)[tensor.offset : last + 1]
    if dtype == "<u2":  # bfloat16 is the upper half of a float32
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    strides = [s * flat.itemsize for s in tensor.stride]
    with np.errstate(invalid="ignore"):  # signalling NaN, which Network refuses
        found = np.lib.stride_tricks.as_strided(flat, tensor.size, strides)
        if dtype == "<i8" and (np.abs(found // 2) >= 2**52).any():
            raise ValueError(f"{name} holds integers that float64 does not")
        return found.astype(np.float64)


def _state(value: Any) -> dict[str, Tensor]:
    """The state dict: the whole value, or what a checkpoint holds beside the state of training."""
    if isinstance(value, dict) and not any(isinstance(entry, Tensor) for entry in value.values()):
        found = [key for key in _STATE if key in value]
        if len(found) == 1:
            if unused := [str(key)[:60] for key in value if key not in (*found, *_TRAINING)]:
                raise ValueError(
                    f"beside {found[0]} the checkpoint holds {ascii(few(unused))[1:-1]}, which may change what the "
                    "network is; save model.state_dict() and nothing else"
                )
            value = value[found[0]]
    if type(value) is not dict:
        raise ValueError(f"the .pt file does not hold a state dict{_asked(value)}; save model.state_dict() instead")
    for key, entry in value.items():
        if not isinstance(key, str):
            raise ValueError("the pickle in the .pt file is damaged: a tensor's name is no text")
        if not isinstance(entry, Tensor):
            raise ValueError(
                f"{key[:80]!r} in the .pt file is not a tensor{_asked(entry)}; save model.state_dict() and nothing else"
            )
    return value


def _asked(value: Any) -> str:
    if not isinstance(value, Called | Made):
        return ""
    return f", but asks for {value.name.replace(' ', '.')[:80]!r}, and nothing in a file is executed"
