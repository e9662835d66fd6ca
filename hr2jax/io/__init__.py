"""Network files. One module a format, imported on use; a file is data and nothing in it is ever executed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..machine.files import replaced
from ..network import Network
from .vnnlib import VnnlibProperty, read_vnnlib

__all__ = ["VnnlibProperty", "load", "read_vnnlib", "save"]

# Suffix -> module of this package with  read(file) -> (weights, biases)  or  write(net, file).
_READERS = {
    ".npz": "npz",
    ".mat": "mat",
    ".onnx": "onnx.read",
    ".nnet": "nnet",
    ".safetensors": "safetensors",
    ".pt": "pt",
}
_WRITERS = {".npz": "npz"}


def load(path: str | os.PathLike[str]) -> Network:
    """The network in the file `path`; the suffix, in any case, says the format.

    .npz: keys A_1, b_1, ..., A_L, b_L, C, d. A 1-D `c` is read as a single-row C, a missing d means
    zeros, other keys are ignored.
    .mat (MATLAB's save -v6 or -v7): the same names, or LipSDP's cell arrays `weights` and, optionally,
    `biases`.
    .onnx: a chain of Gemm, MatMul, Add, Relu and the like; affine operations that follow one another
    are folded only where that is exact. Needs the extra `onnx`.
    .nnet: the layers as they stand, between normalised inputs and normalised outputs.
    .safetensors: the keys of .npz, or PyTorch's 0.weight, 0.bias, 2.weight, ..., with a ReLU between
    any two layers.
    .pt: a state dict saved by PyTorch, with the same names; a file with anything else is refused.

    Raises:
        ValueError: an unknown suffix, something that is not a whole network file, or arrays that are
            not a network; one sentence that names the path and the key or layer.
        ImportError: .onnx without the package onnx.
        OSError: the file is missing or may not be read.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a directory, but a network file was expected")
    module = _module(path, _READERS, "read")
    status = path.stat()  # FileNotFoundError says it well
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait forever
        raise ValueError(f"{path} is not a regular file")
    if status.st_size == 0:
        raise ValueError(f"{path} is empty, but a network file was expected")
    with open(path, "rb") as file:
        try:
            return Network(*module.read(file))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def save(net: Network, path: str | os.PathLike[str]) -> None:
    """Write `net` to exactly `path`, a .npz: keys A_1, b_1, ..., A_L, b_L, C, d in float64.

    `load` gives a network of the same hash back. The file appears whole or not at all: a file that was
    there before stays until the new one is complete.

    Raises:
        ValueError: a suffix that is no network format, or `path` is a directory.
        NotImplementedError: a format that is known but not written.
        OSError: the folder is missing or may not be written.
    """
    path = Path(path)
    module = _module(path, _WRITERS, "written")
    with replaced(path) as file:
        module.write(net, file)


def _module(path: Path, formats: dict[str, str], done: str) -> Any:
    suffix = path.suffix.lower()
    if suffix in formats:
        return import_module(f".{formats[suffix]}", __package__)
    if suffix in _READERS:
        raise NotImplementedError(f"{path}: {suffix} files cannot be {done} yet; today {_joined(formats, 'and')} can")
    given = f"the suffix {path.suffix}" if suffix else "no suffix"
    raise ValueError(f"{path} has {given}, but the name of a network file ends in {_joined(formats, 'or')}")


def _joined(words: Iterable[str], last: str) -> str:
    *rest, word = words
    return f"{', '.join(rest)} {last} {word}" if rest else word
