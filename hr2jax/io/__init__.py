"""Network files. One module a format, imported on use; a file is data and nothing in it is ever executed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ..layer import Layer
from ..machine.files import opened, replaced
from .budget import Budget
from .layers import Graph, Layers
from .packed import Decompressed
from .told import Told
from .vnnlib import VnnlibProperty, read_vnnlib

__all__ = ["Graph", "Told", "VnnlibProperty", "read", "read_vnnlib", "write"]

# Suffix -> module of this package with  read(file, told, budget) -> Layers | Graph  or  write(layers, file).
_READERS = {
    ".npz": "npz",
    ".mat": "mat",
    ".onnx": "onnx.read",
    ".nnet": "nnet",
    ".safetensors": "safetensors",
    ".pt": "pt",
    ".pth": "pt",
    ".ckpt": "pt",
    ".zip": "sb3",
    ".keras": "keras.file",
    ".h5": "keras.file",
    ".hdf5": "keras.file",
}
_WRITERS = {".npz": "npz"}
_OBJECTS = (".pkl", ".pickle", ".joblib")  # of Python's objects
_GZ = ".gz"  # behind any of the readers' suffixes


def read(path: Path, told: Told | None = None) -> Layers | Graph:
    """The layers in the network file `path`; see `hr2jax.load`."""
    if path.is_dir():
        raise ValueError(f"{path} is a directory, but a network file was expected")
    module = _module(path, _READERS, "read")
    told = told or Told()
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ValueError(f"{path} is empty, but a network file was expected")
        try:
            budget = Budget()
            given = Decompressed(file, budget) if path.suffix.lower() == _GZ else file
            layers: Layers | Graph = module.read(given, told, budget)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        except MemoryError as error:
            raise ValueError(f"{path}: its layers take more memory than there is ({error})") from None
    return layers


def write(layers: Sequence[Layer], path: Path) -> None:
    """Write a network to exactly `path`; see `Network.save`."""
    module = _module(path, _WRITERS, "written")
    with replaced(path) as file:
        module.write(layers, file)


def _module(path: Path, formats: dict[str, str], done: str) -> Any:
    named = Path(path.stem) if formats is _READERS and path.suffix.lower() == _GZ else path
    suffix = named.suffix.lower()
    if suffix in formats:
        return import_module(f".{formats[suffix]}", __package__)
    if suffix in _READERS:
        raise NotImplementedError(f"{path}: {suffix} files cannot be {done} yet; today {_joined(formats, 'and')} can")
    if suffix in _OBJECTS:
        raise ValueError(
            f"{path} is a pickle, which may run code, and is not opened; load it in Python, and give the object to "
            "hr2jax.as_network(model), whose .save(\"net.npz\") writes a network file"
        )
    given = f"the suffix {''.join(path.suffixes[-2:])}" if path.suffix else "no suffix"
    raise ValueError(f"{path} has {given}, but the name of a network file ends in {_joined(formats, 'or')}")


def _joined(words: Iterable[str], last: str) -> str:
    *rest, word = words
    return f"{', '.join(rest)} {last} {word}" if rest else word
