"""PyTorch's files of a state dict (torch.save since 1.6): .pt, .pth, and Lightning's checkpoints, .ckpt.

Neither torch nor pickle's machine is used; see `pickled`.
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
from .pickled import OPERATION, Called, Tensor, unpickled
from .told import Told, few

_TYPES = {"HalfStorage": "<f2", "BFloat16Storage": "<u2", "FloatStorage": "<f4", "DoubleStorage": "<f8"}
# The keys of a checkpoint: the state dict, and what training goes on from, which is no part of the network.
_STATE = ("state_dict", "model_state_dict")
_TRAINING = {
    "epoch", "global_step", "step", "loss", "best_loss", "lr", "pytorch-lightning_version", "loops", "callbacks",
    "optimizer", "optimizer_state_dict", "optimizer_states", "scheduler", "scheduler_state_dict", "lr_schedulers",
    "hparams_name", "hparams_type", "hyper_parameters", "native_amp_scaling_state", "MixedPrecision",
    "MixedPrecisionPlugin", "datamodule_hparams_name", "datamodule_hyper_parameters",
}  # fmt: skip


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers | Graph:
    """The layers of a file that holds a state dict; its names as `names.named` takes them.

    Raises:
        ValueError: another PyTorch file, such as a whole module, or a damaged one.
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
        root = roots[0]
        if f"{root}byteorder" in names and _member(archive, f"{root}byteorder", budget) != b"little":
            raise ValueError("the .pt file was written on a big-endian machine, which is not read")
        pickle = _member(archive, f"{root}data.pkl", budget)
        budget.take(OPERATION * len(pickle), "the pickle in the file")
        state = _state(unpickled(pickle))
        storages: dict[str, bytes] = {}  # tensors may share one

        def array(name: str) -> Array:
            tensor = state[name]
            key = tensor.storage.key
            if tensor.storage.kind in _TYPES and key not in storages:
                storages[key] = _member(archive, f"{root}data/{key}", budget)
            return _array(tensor, storages.get(key, b""), name, budget)

        return named(state, array, told, in_order=True)


def _member(archive: zipfile.ZipFile, name: str, budget: Budget) -> bytes:
    try:
        member = archive.getinfo(name)
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError("it is compressed, which torch.save never does")
        budget.take(member.file_size, "it")
        return archive.read(member)
    except Exception as error:  # damaged bytes make zipfile raise nearly anything
        raise ValueError(f"{ascii(name[:80])[1:-1]} in the .pt file is missing or damaged ({reason(error)})") from None


def _array(tensor: Tensor, data: bytes, name: str, budget: Budget) -> Array:
    """The numbers as float64, which holds every one of them exactly."""
    dtype = _TYPES.get(tensor.storage.kind)
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
        return np.lib.stride_tricks.as_strided(flat, tensor.size, strides).astype(np.float64)


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
    if not isinstance(value, Called):
        return ""
    return f", but asks for {value.name.replace(' ', '.')[:80]!r}, and nothing in a file is executed"
